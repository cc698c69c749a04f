"""The features of the patches of an archive: in worker processes or on a cluster, in constant memory.

The unit of work is a part: a fixed number of files in their order, stored once it is complete. So a killed
run loses at most the parts it was working on, and a second run measures only files that are new or changed,
or failed for a reason that may have passed: the results of other files are copied from the parts they were
in.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

import numpy as np
import pyarrow as pa
from pyarrow import csv as csv_format

from solartrack import __version__, _workers, images
from solartrack._arrays import as_threads
from solartrack._files import replacing, shown
from solartrack._progress import tqdm
from solartrack._tables import header_lines
from solartrack._workers import Workplace
from solartrack.archive._folder import RunFolder, read_note, run_folder
from solartrack.archive._labels import Label, labels_of_files, read_labels
from solartrack.archive._measure import (
    COLUMNS,
    UNITS,
    Measured,
    lost,
    measure,
    measure_physical,
    measure_sharp,
)
from solartrack.archive._parts import Part, Stamps, read_part, remove_aside, set_aside, stamp, stored_results
from solartrack.errors import ArchiveError
from solartrack.features import COMPLEXITY_NAMES
from solartrack.features._segments import group_segments

__all__ = ["Extraction", "Label", "extract", "read_labels"]

# Files of a part, which a killed run may lose; files that a worker gets at a time.
_PART, _TASK = 128, 16


class Extraction(NamedTuple):
    """What `extract` has made.

    Attributes
    ----------
    table : Path
        Folder of Parquet files, which ``pandas.read_parquet`` and pyarrow read as one table: file, region
        (NOAA number), harpnum and time (UTC), the features, class_label, flare_class; one row for each good
        file, in their order. Region and time are those of the file's name if that is a published one, else
        they and the HARP are of its header; what neither tells is missing. The features are the 29 and
        nan_pixels; of the set "physical" those features, whose names end with their units, and nan_pixels; of
        the set "sharp" AREA (of the header) and the keywords and their errors by JSOC's names, with T_REC as
        the time and as file what the names of the segments begin with. Fields of the schema whose column has
        a unit say so in their metadata (``unit``).
    csv : Path
        Of the 29 features in the published layout: no header line; the 29 values, class label, flare class,
        file name without its folders; ``NaN`` for a missing label. Of the other sets the table with a header.
    errors : Path
        CSV with header ``file,reason``: the files without a row in the table.
    rows, failed : int
        Number of files in the table and in `errors`.
    reused : int
        How many of both were there from an earlier run.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from solartrack import features
    >>> fits.writeto("patch.fits", np.random.default_rng(1).normal(0, 300, (64, 64)))
    >>> done = features.extract("patch.fits", "measured", workers=1)
    >>> done.csv.as_posix(), done.reused
    ('measured/features.csv', 0)
    >>> features.extract("patch.fits", "measured", workers=1).reused
    1
    """

    table: Path
    csv: Path
    errors: Path
    rows: int
    failed: int
    reused: int


def extract(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    feature_set: Literal["complexity", "physical", "sharp"] = "complexity",
    labels: str | PathLike[str] | None = None,
    zero: float | None = None,
    nan_policy: Literal["raise", "zero"] = "raise",
    units_row: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> Extraction:
    """The 29 published features, the physical ones, or the SHARP keywords, of every patch in an archive.

    Parameters
    ----------
    paths : path-like or iterable of path-like
        Folders, patterns (``2014/**`` for all folders in one) and files, see
        `solartrack.images.find_images`.
    output : path-like
        Folder for the results; it is made. With results of an earlier run in it, a file is measured
        again only if its path, size or time changed, or `zero`, `nan_policy` or the version did, or if
        it failed for want of memory, a library or access to it.
    feature_set : {"complexity", "physical", "sharp"}
        The 29 features of `complexity`, of every file; those of `physical`, of every FITS file whose WCS says
        the size of its pixels; or the keywords of `sharp_keywords`, of every patch
        and time, whose segments are files of the same folder that are named alike but for the segment.
        Keywords of missing segments are NaN.
    labels : path-like, optional
        See `read_labels`. The name of a SHARP is that of its files without the segment and what follows.
    zero : float, optional
        Pixel value of zero field. Default: 128 for 8-bit pictures, 0 for FITS. For "complexity" only.
    nan_policy : {"raise", "zero"}
        As for `complexity`; under ``"raise"`` a patch with NaN is an error row. For "complexity" only: the
        other sets leave NaN pixels out.
    units_row : bool
        Put a row with the units below the header of the CSV file; its first field says ``# unit``, and
        pandas needs ``skiprows=[1]``. Not for "complexity", whose CSV file has no header.
    workers : int, optional
        Processes; default ``$SOLARTRACK_NUM_THREADS``, else the cores this process may use. With 1
        the work is done in this process. A script that uses more must call this below
        ``if __name__ == "__main__":``.
    scheduler : str, optional
        Address of a Dask scheduler to work there instead; its workers must see the files under the
        same paths.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Extraction
        The files it names are the same, byte for byte, wherever the work was done and however often it
        was interrupted.

    Raises
    ------
    FileNotFoundError
        If a path does not exist, or there is no image at all.
    ValueError
        If the labels file is wrong (see `read_labels`) or names none of the images, or an argument is
        out of range.
    ArchiveError
        If the folder is in use, of another job or set, or holds other files; processes cannot start, or the
        scheduler does not answer or goes away. Complete parts are kept: start again to resume.
    ImportError
        If `scheduler` is given and dask.distributed is not installed.

    Warns
    -----
    UserWarning
        If labels are for files that are not there, with the first of their names.

    Notes
    -----
    Files are in the natural order of their names. A file that cannot be read or has no features becomes a
    row of the errors table; so does one that kills the process that measures it, when tried alone, too.
    Two runs into the same folder exclude each other. Files that a run did not make are never touched.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from astropy.io import fits
    >>> from solartrack import features
    >>> gauss = np.random.default_rng(1).normal(0, 300, (64, 64))
    >>> fits.writeto("patch.fits", gauss)
    >>> done = features.extract("patch.fits", "measured", workers=1)
    >>> done.rows, done.failed
    (1, 0)
    >>> table = pd.read_parquet(done.table)
    >>> table[list(features.COMPLEXITY_NAMES[:2])].round(1)
       gradient_mean  gradient_std
    0         1306.5         683.8
    """
    if nan_policy not in ("raise", "zero"):
        raise ValueError(f"nan_policy must be 'raise' or 'zero', got {nan_policy!r}")
    if zero is not None and not np.isfinite(zero):
        raise ValueError(f"zero must be finite, got {zero!r}")
    if feature_set not in COLUMNS:
        raise ValueError(f"feature_set must be one of {', '.join(COLUMNS)}, got {feature_set!r}")
    is_sharp = feature_set == "sharp"
    if feature_set != "complexity" and (zero is not None or nan_policy != "raise"):
        raise ValueError("zero and nan_policy are for the set 'complexity'; leave them out")
    if units_row and feature_set == "complexity":
        raise ValueError("units_row needs a CSV file with a header, which the published layout has not")
    place = working_place(workers, scheduler)
    found = _find(paths)
    sources = _patches(found) if is_sharp else {file: [file] for file in found}
    files = list(sources)
    known = labels_of_files(read_labels(labels), files, fspath(labels)) if labels is not None else {}
    settings = {
        "version": __version__,
        "zero": zero,
        "nan_policy": nan_policy,
        "set": "boucheron2023" if feature_set == "complexity" else feature_set,
    }
    with run_folder(Path(output), "features", adopt=_is_earlier_run) as folder:
        _refuse_another_set(folder, feature_set)
        before = folder.count()
        folder.refuse_strays(before)
        groups = [files[i : i + _PART] for i in range(0, len(files), _PART)]
        parts = [Part(folder.unit(k), group, feature_set) for k, group in enumerate(groups)]
        manifest = {"solartrack": __version__, "files": len(files), "settings": settings}
        # Asked before the files are read: of one that changes meanwhile the next run will notice it.
        # Other columns than an earlier version's are another table.
        depends_on = {**settings, "columns": list(COLUMNS[feature_set])}
        stamps = {file: stamp(file, depends_on, sources[file]) for file in files}
        with folder.working(manifest | {"units": max(before, len(parts))}):
            missing = [part for part in parts if not part.is_complete(stamps, known)]
            kept = set_aside(folder, {part.path for part in parts} - {part.path for part in missing})
            fresh = sum(stamps[file] not in kept for part in missing for file in part.files)
            done = len(files) - fresh
            with tqdm(total=len(files), initial=done, unit="file", disable=not progress) as bar:
                tasks: dict[str, Callable[[Path], Measured]] = {
                    "complexity": partial(measure, zero=zero, nan_policy=nan_policy),
                    "physical": measure_physical,
                    "sharp": measure_sharp,
                }
                task = tasks[feature_set]
                with closing(_completed(missing, stamps, kept, task, place, bar, sources)) as completed:
                    for part, results in completed:
                        part.write(results, stamps, known)
            remove_aside(folder)
            rows, failed = _write_texts(
                parts, folder.path, header=feature_set != "complexity", units_row=units_row
            )
        folder.record(manifest | {"units": len(parts), "state": "finished"})
    csv_file, errors = folder.path / "features.csv", folder.path / "errors.csv"
    return Extraction(folder.units, csv_file, errors, rows, failed, done)


def working_place(workers: int | None, scheduler: str | None) -> Workplace:
    """Where to work: with one worker in this process."""
    if scheduler is not None:
        return _workers.workplace(workers, scheduler)
    count = as_threads(workers)
    asked = workers is not None or bool(os.environ.get("SOLARTRACK_NUM_THREADS", "").strip())
    several = count if asked else None
    return _workers.workplace(several if count > 1 else 0, alone="workers=1")


def _refuse_another_set(folder: RunFolder, feature_set: str) -> None:
    """A second set would replace the tables of the first."""
    settings = folder.manifest.get("settings")
    made = settings.get("set") if isinstance(settings, dict) else None
    made = "complexity" if made == "boucheron2023" else made
    if made in COLUMNS and made != feature_set:
        raise ArchiveError(
            f"{folder.path} holds the features of the set {made!r}; choose a new folder for {feature_set!r}"
        )


def _find(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    given = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    files = images.find_images(given)
    if not files:
        raise FileNotFoundError(images.none_found(given))
    return files


def _patches(found: list[Path]) -> dict[Path, list[Path]]:
    """The files of the segments of each patch and time."""
    patches = group_segments(found)
    if not patches:
        raise FileNotFoundError(
            f"none of the {len(found)} images is a segment of a SHARP, named like "
            f"hmi.sharp_cea_720s.377.20110215_020000_TAI.Br.fits, but for example {found[0].name}"
        )
    return {patch: list(segments.values()) for patch, segments in patches.items()}


def _is_earlier_run(folder: Path) -> bool:
    """Whether a folder without a manifest is that of version 0.1.0, which made the same files."""
    table = folder / "features"
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if not names <= {"features", "features.csv", "errors.csv"} or not table.is_dir():
        return False
    parts = [path for path in table.iterdir() if not path.name.startswith((".", "_"))]
    return bool(parts) and all("stamps" in (read_note(path) or ()) for path in parts)


def _completed(
    parts: list[Part],
    stamps: Stamps,
    kept: Mapping[str, Path],
    task: Callable[[Path], Measured],
    place: Workplace,
    bar: tqdm,
    sources: Mapping[Path, list[Path]],
) -> Generator[tuple[Part, list[Measured]], None, None]:
    """Measure the files whose results are not kept; yield each part with its results once all are there."""
    # Absolute: the workers of a cluster have other working directories.
    fresh = {
        Path(os.path.abspath(file)): (k, file)
        for k, part in enumerate(parts)
        for file in part.files
        if stamps[file] not in kept
    }
    missing = Counter(k for k, _ in fresh.values())
    found: list[dict[Path, Measured]] = [{} for _ in parts]
    needs_file = next((os.path.abspath(sources[file][0]) for _, file in fresh.values() if stamps[file]), None)
    results = _workers.run(task, fresh, place, lost=lost, chunk=_TASK, needs_file=needs_file)
    with closing(results):
        for path, result in results:
            k, file = fresh[path]
            found[k][file] = result
            bar.update()
            if len(found[k]) == missing[k]:
                yield parts[k], _joined(parts[k], found[k], stamps, kept)
                found[k] = {}
    for k, part in enumerate(parts):
        if not missing[k]:
            yield part, _joined(part, {}, stamps, kept)


def _joined(
    part: Part, found: Mapping[Path, Measured], stamps: Stamps, kept: Mapping[str, Path]
) -> list[Measured]:
    """New results of a part and those that are kept, in the order of its files."""
    results = dict(found)
    sources: dict[Path, list[Path]] = {}
    for file in part.files:
        if file not in results:
            sources.setdefault(kept[str(stamps[file])], []).append(file)
    for source, files in sources.items():
        stored = stored_results(source, part.feature_set)
        results |= {file: stored[shown(file)] for file in files}
    return [results[file] for file in part.files]


def _write_texts(parts: list[Part], root: Path, *, header: bool, units_row: bool) -> tuple[int, int]:
    """Write ``features.csv`` and ``errors.csv`` from the parts; return the numbers of their rows.

    With a header the columns are those of the table, else those of the published layout.
    """
    rows = failed = 0
    with (
        replacing(root / "errors.csv") as errors_file,
        replacing(root / "features.csv") as features_file,
        _text_file(errors_file) as bad_file,
        _text_file(features_file) as good_file,
    ):
        good, bad = (csv.writer(file, lineterminator="\n") for file in (good_file, bad_file))
        bad.writerow(["file", "reason"])
        for k, part in enumerate(parts):
            table, note = read_part(part.path)
            bad.writerows(note["errors"])
            rows, failed = rows + table.num_rows, failed + len(note["errors"])
            if header:
                if k == 0 and units_row:
                    good_file.write(header_lines(table.column_names, UNITS))
                begins = k == 0 and not units_row
                options = csv_format.WriteOptions(include_header=begins, quoting_style="needed")
                text = pa.BufferOutputStream()
                csv_format.write_csv(table, text, options)
                good_file.write(text.getvalue().to_pybytes().decode())
                continue
            values = [table[column].to_pylist() for column in COMPLEXITY_NAMES]
            names = [name.rpartition("/")[2] for name in table["file"].to_pylist()]
            labels = [
                ["NaN" if x is None else x for x in table[column].to_pylist()]
                for column in ("class_label", "flare_class")
            ]
            # repr of a float: the shortest text that reads back as the same number.
            good.writerows(zip(*([_text(v) for v in c] for c in values), *labels, names, strict=True))
    return rows, failed


def _text_file(path: Path) -> TextIO:
    return path.open("w", newline="", encoding="utf-8")


def _text(value: float) -> str:
    return "NaN" if value != value else repr(value)
