"""Forecasts of flares for an archive of patches: its features, then what a model makes of them.

The features are those of `solartrack.archive.features`, in a folder inside that of the forecasts, so another
model that is put to the same folder measures nothing again. A part of the forecasts is made from a part of
the features.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from contextlib import closing
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from solartrack import __version__, _workers
from solartrack._files import replacing
from solartrack._progress import tqdm
from solartrack.archive._folder import NOTE, RunFolder, read_note, run_folder
from solartrack.archive._parts import read_part
from solartrack.archive.features import extract, working_place
from solartrack.errors import ArchiveError
from solartrack.features import COMPLEXITY_NAMES
from solartrack.flares.svm import SvmModel

__all__ = ["ArchiveForecasts", "forecast_archive"]

_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("region", pa.int32()),
        ("time", pa.timestamp("us")),
        ("probability", pa.float64()),
        ("flare", pa.bool_()),
    ]
)


class ArchiveForecasts(NamedTuple):
    """What `forecast_archive` has made.

    Attributes
    ----------
    table : Path
        Folder of Parquet files, which ``pandas.read_parquet`` reads as one table: file, region and time (UTC;
        as `solartrack.features.extract` tells them, missing if it does not), probability, flare
        (whether a flare is forecast); one row for each good file, in the order of the features.
    csv : Path
        The same, with a header.
    errors : Path
        CSV with header ``file,reason``: the files without a row in the table, those without features first.
    features : Path
        Folder of the features, as `solartrack.features.extract` makes it.
    rows, failed : int
        Number of files in the table and in `errors`.
    reused : int
        How many of both were measured in an earlier run.
    """

    table: Path
    csv: Path
    errors: Path
    features: Path
    rows: int
    failed: int
    reused: int


def forecast_archive(
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    model: str | PathLike[str],
    output: str | PathLike[str],
    *,
    nan_policy: Literal["raise", "zero"] = "raise",
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> ArchiveForecasts:
    """Forecasts of a model for every patch in an archive.

    Parameters
    ----------
    images : path-like or iterable of path-like
        Folders, patterns and files, see `solartrack.images.find_images`.
    model : path-like
        A file that `solartrack.flares.svm.SvmModel.save` wrote, of a model on the set "complexity".
    output : path-like
        Folder for the results; it is made. What an earlier run has made there is kept, if it depends on the
        same files and the same model.
    nan_policy : {"raise", "zero"}
        As for `solartrack.features.extract`.
    workers, scheduler, progress
        As for `solartrack.features.extract`; the workers of a cluster must see the model, too.

    Returns
    -------
    ArchiveForecasts
        The files it names are the same, byte for byte, wherever the work was done and however often it
        was interrupted.

    Raises
    ------
    FileNotFoundError
        If the model or a path does not exist, or there is no image at all.
    ModelError
        If the file of the model is not ours.
    ValueError
        If the model needs other features, or an argument is out of range.
    ArchiveError
        As for `solartrack.features.extract`.
    ImportError
        If scikit-learn or skops is missing, or dask.distributed, if `scheduler` is given.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from astropy.io import fits
    >>> from solartrack import archive, features
    >>> from solartrack.flares import svm
    >>> rng = np.random.default_rng(1)
    >>> labels = rng.integers(0, 2, 60)
    >>> known = pd.DataFrame(rng.normal(300, 50, (60, 29)), columns=features.COMPLEXITY_NAMES)
    >>> svm.train(known, labels, groups=np.arange(60) // 3).save("model.skops")
    >>> fits.writeto("1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits", rng.normal(0, 300, (64, 64)))
    >>> done = archive.forecast_archive("*.fits", "model.skops", "run", workers=1)
    >>> pd.read_parquet(done.table)[["region", "time"]]
       region                time
    0   11158 2011-02-15 01:59:26
    """
    file = Path(model).absolute()
    content = file.read_bytes()
    if (needs := SvmModel.load(file).feature_set) != "complexity":
        raise ValueError(
            f"{model} needs the features {needs!r}, and an archive is measured for 'complexity' alone; "
            "use the model's forecast_patches, or its forecast on a table"
        )
    place = working_place(workers, scheduler)
    settings = {"version": __version__, "model": hashlib.sha256(content).hexdigest()}
    with run_folder(Path(output), "forecasts") as folder:
        before = folder.count()
        folder.refuse_strays(before)
        manifest = {"solartrack": __version__, "settings": settings}
        with folder.working(manifest | {"units": before}):
            home = folder.path / "features"
            made = extract(
                images, home, nan_policy=nan_policy, workers=workers, scheduler=scheduler, progress=progress
            )
            parts = sorted(made.table.glob("part-*.parquet"))
            folder.record(manifest | {"units": max(before, len(parts)), "state": "running"})
            _forecast_parts(parts, file, settings, folder, place, progress)
            for path, number in folder.numbers().items():
                if number >= len(parts):
                    path.unlink()
            units = [folder.unit(k) for k in range(len(parts))]
            rows, failed = _write_texts(units, made.errors, folder.path)
        folder.record(manifest | {"units": len(parts), "state": "finished"})
    csv_file, errors = folder.path / "forecasts.csv", folder.path / "errors.csv"
    return ArchiveForecasts(folder.units, csv_file, errors, home, rows, failed, made.reused)


def _forecast_parts(
    parts: list[Path],
    model: Path,
    settings: dict[str, str],
    folder: RunFolder,
    place: _workers.Workplace,
    progress: bool,
) -> None:
    """Store the forecasts for each part of the features, unless they are there."""
    keys = {
        part: json.dumps([settings, hashlib.sha256(part.read_bytes()).hexdigest()], sort_keys=True)
        for part in parts
    }
    units = {part.absolute(): (folder.unit(k), keys[part]) for k, part in enumerate(parts)}
    missing = [p for p, (unit, key) in units.items() if (read_note(unit) or {}).get("key") != key]
    task = partial(_forecast, model=model, sha256=settings["model"])
    needs = str(model) if missing else None
    with (
        tqdm(total=len(parts), initial=len(parts) - len(missing), unit="part", disable=not progress) as bar,
        closing(_workers.run(task, missing, place, lost=_lost, needs_file=needs)) as results,
    ):
        for part, (table, refused) in results:
            unit, key = units[part]
            note = {NOTE: json.dumps({"key": key, "errors": refused}).encode()}
            with replacing(unit) as partial_file:
                pq.write_table(table.replace_schema_metadata(note), partial_file, write_page_checksum=True)
            bar.update()


def _forecast(part: Path, model: Path, sha256: str) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Forecasts for a part of the features, and the files without one with the reason; in the worker."""
    table = read_part(part)[0].to_pandas()
    fitted = _loaded(model, sha256)
    # A patch without any field has no skewness of its gradient.
    missing = ~np.isfinite(table[list(COMPLEXITY_NAMES)])
    refused = [
        (table["file"][row], f"its feature {of.idxmax()} is undefined, and the model has no forecast without")
        for row, of in missing[missing.any(axis=1)].iterrows()
    ]
    table = table[~missing.any(axis=1)]
    features = table[list(COMPLEXITY_NAMES)]
    found = fitted.predict_proba(features), fitted.predict(features)
    columns = (table["file"], table["region"], table["time"], *found)
    arrays = [pa.array(c, field.type, from_pandas=True) for c, field in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA), refused


@lru_cache(maxsize=1)
def _loaded(model: Path, sha256: str) -> SvmModel:
    """The model, read once by each process."""
    if hashlib.sha256(model.read_bytes()).hexdigest() != sha256:
        raise ArchiveError(f"{model} is another file than at the start of the run; start it again")
    return SvmModel.load(model)


def _lost(part: Path) -> Any:
    raise ArchiveError(f"no forecasts for the features in {part}: {_workers.DIED}")


def _write_texts(units: list[Path], of_features: Path, root: Path) -> tuple[int, int]:
    """Write ``forecasts.csv`` and ``errors.csv``; return the numbers of their rows."""
    count = 0
    with of_features.open(newline="", encoding="utf-8") as file:
        errors = list(csv.reader(file))
    with (
        replacing(root / "forecasts.csv") as partial_file,
        partial_file.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_SCHEMA.names)
        for unit in units:
            table, note = read_part(unit)
            columns = [column.to_pylist() for column in table.columns]
            for name, region, time, probability, flare in zip(*columns, strict=True):
                when = "" if time is None else time.isoformat(timespec="seconds")
                rows.writerow([name, "" if region is None else region, when, repr(probability), int(flare)])
            count += table.num_rows
            errors += note["errors"]
    with (
        replacing(root / "errors.csv") as partial_file,
        partial_file.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(errors)
    return count, len(errors) - 1
