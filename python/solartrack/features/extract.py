"""The 29 published features of an archive: in worker processes, in constant memory, resumable.

The unit of work is a part: a fixed number of files in their order. A part is stored under its final
name only once it is complete, together with a key made from everything it depends on. So a killed run
loses at most the parts it was working on, and a second run measures only files that are new or changed,
or failed for a reason that may have passed: what other files gave is copied from the parts they were in.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from glob import escape
from itertools import chain
from multiprocessing import get_context, parent_process
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from solartrack import __version__, images
from solartrack._arrays import as_threads
from solartrack.errors import ImageError, SolartrackError
from solartrack.features._complexity import COMPLEXITY_NAMES, NanPolicy, complexity

__all__ = ["Extraction", "Label", "extract", "read_labels"]

PathLike_ = str | PathLike[str]

# Files of a part, which a killed run may lose; files that a worker gets at a time.
_PART, _TASK = 512, 16
_META = b"solartrack"
_OLD = ".old-"  # hidden: readers of the folder skip it
_NOT_OURS = (OSError, pa.ArrowException, AttributeError, KeyError, TypeError, ValueError)
_PICTURE_ZERO = 128.0
_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        *((name, pa.float64()) for name in COMPLEXITY_NAMES),
        ("nan_pixels", pa.int64()),
        ("class_label", pa.int64()),
        ("flare_class", pa.string()),
    ]
)


class Label(NamedTuple):
    """What a labels file says about one patch.

    Attributes
    ----------
    class_label : int
        1 if it flares.
    flare_class : str
        Such as ``"M1.7"``; ``"0"`` without a flare.
    """

    class_label: int
    flare_class: str


class Extraction(NamedTuple):
    """What `extract` has made.

    Attributes
    ----------
    table : Path
        Folder of Parquet files, which ``pandas.read_parquet`` and pyarrow read as one table: file, the
        29 features, nan_pixels, class_label, flare_class; one row for each good file, in their order.
    csv : Path
        The same in the published layout: no header line; the 29 values, class label, flare class, file
        name without its folders; ``NaN`` for a missing label.
    errors : Path
        CSV with header ``file,reason``: the files without a row in the table.
    rows, failed : int
        Number of files in the table and in `errors`.
    reused : int
        How many of both were there from an earlier run.
    """

    table: Path
    csv: Path
    errors: Path
    rows: int
    failed: int
    reused: int


def extract(
    paths: PathLike_ | Iterable[PathLike_],
    output: PathLike_,
    *,
    labels: PathLike_ | None = None,
    zero: float | None = None,
    nan_policy: NanPolicy = "raise",
    workers: int | None = None,
    progress: bool = False,
) -> Extraction:
    """The 29 published features of every patch in an archive.

    Parameters
    ----------
    paths : path-like or iterable of path-like
        Files, folders (with all folders in them) and patterns; FITS, PNG, JPG or JP2.
    output : path-like
        Folder for the results; it is made. With results of an earlier run in it, a file is measured
        again only if its path, size or time changed, or `zero`, `nan_policy` or the version did, or if
        it failed for want of memory, a library or access to it.
    labels : path-like, optional
        See `read_labels`.
    zero : float, optional
        Pixel value of zero field. Default: 128 for 8-bit pictures, 0 for FITS.
    nan_policy : {"raise", "zero"}
        As for `complexity`; under ``"raise"`` a patch with NaN is an error row.
    workers : int, optional
        Processes; default ``$SOLARTRACK_NUM_THREADS``, else the cores this process may use. With 1
        the work is done in this process. With more, a script that calls this needs the usual
        ``if __name__ == "__main__":``.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Extraction
        The same, byte for byte, whatever the number of workers and however often it was interrupted.

    Raises
    ------
    FileNotFoundError
        If a path does not exist, or there is no image at all.
    ValueError
        If the labels file is wrong (see `read_labels`), or names none of the images.
    SolartrackError
        If a worker process died (killed, or out of memory). What is complete is kept.

    Warns
    -----
    UserWarning
        If labels are for files that are not there, with the first of their names.

    Notes
    -----
    Files are in the natural order of their names. Only one run at a time may write to `output`.
    A file that cannot be read or has no features becomes a row of the errors table.
    """
    if nan_policy not in ("raise", "zero"):
        raise ValueError(f"nan_policy must be 'raise' or 'zero', got {nan_policy!r}")
    if zero is not None and not np.isfinite(zero):
        raise ValueError(f"zero must be finite, got {zero!r}")
    count = as_threads(workers)
    files = _find(paths)
    known = _match(read_labels(labels), files, fspath(labels)) if labels is not None else {}
    root = Path(output)
    table = root / "features"
    table.mkdir(parents=True, exist_ok=True)

    settings = {"version": __version__, "zero": zero, "nan_policy": nan_policy, "set": "boucheron2023"}
    parts = [
        _Part(table / f"part-{k:06d}.parquet", files[i : i + _PART])
        for k, i in enumerate(range(0, len(files), _PART))
    ]
    # Before the files are read: of one that changes meanwhile the next run will notice it.
    stamps = {file: _stamp(file, settings) for file in files}
    missing = [part for part in parts if _stored_key(part.path) != part.key(stamps, known)]
    kept = _set_aside(table, {part.path for part in parts} - {part.path for part in missing})
    new = [[file for file in part.files if stamps[file] not in kept] for part in missing]
    done = len(files) - sum(map(len, new))
    with tqdm(total=len(files), initial=done, unit="file", disable=not progress) as bar:
        tasks = ((some[i : i + _TASK], zero, nan_policy) for some in new for i in range(0, len(some), _TASK))
        measured = _measure(tasks, count)
        for part, some in zip(missing, new, strict=True):
            fresh: list[_Measured] = []
            while len(fresh) < len(some):
                found = next(measured)
                fresh += found
                bar.update(len(found))
            results = dict(zip(some, fresh, strict=True))
            for path in dict.fromkeys(kept[stamps[file]] for file in part.files if file not in results):
                results |= {f: r for f, r in _results(path).items() if kept.get(stamps.get(f)) == path}
            part.write([results[file] for file in part.files], stamps, known)
    for path in table.glob(f"{_OLD}*"):
        path.unlink()
    rows, failed = _write_texts(parts, root)
    return Extraction(table, root / "features.csv", root / "errors.csv", rows, failed, done)


def read_labels(path: PathLike_) -> dict[str, Label]:
    """Labels of patches from a CSV file.

    Parameters
    ----------
    path : path-like
        A line for each patch: file name, class label (an integer), flare class; or file name and
        flare class alone, where ``0`` is no flare (class label 0). A first line whose first field
        is ``file``, ``filename`` or ``file_name`` is a header. Folders in file names are ignored.

    Returns
    -------
    dict of str to Label
        By file name.

    Raises
    ------
    ValueError
        If a line has another number of fields, a class label is not an integer, or a name comes twice.
    FileNotFoundError
        If there is no such file.
    """
    labels: dict[str, Label] = {}
    repeated = []
    with open(path, newline="", encoding="utf-8-sig") as file:
        for number, fields in enumerate(csv.reader(file, skipinitialspace=True), start=1):
            words = [field.strip() for field in fields]
            if not any(words) or (number == 1 and words[0].lower() in ("file", "filename", "file_name")):
                continue
            if len(words) == 2:
                words.insert(1, "0" if words[1] == "0" else "1")
            if len(words) != 3 or not words[0]:
                raise ValueError(
                    f"{path}, line {number}: expected file name, class label, flare class, "
                    f"got {','.join(fields)!r}"
                )
            try:
                label = Label(int(words[1]), words[2])
            except ValueError:
                raise ValueError(
                    f"{path}, line {number}: the class label must be an integer, got {words[1]!r}"
                ) from None
            name = words[0].replace("\\", "/").rpartition("/")[2]
            if name in labels:
                repeated.append(name)
            labels[name] = label
    if repeated:
        raise ValueError(
            f"{path} has {len(repeated)} names more than once: {_some(repeated)}; remove the repeats"
        )
    return labels


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _find(paths: PathLike_ | Iterable[PathLike_]) -> list[Path]:
    given = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    deep = [os.path.join(escape(fspath(p)), "**") if Path(p).is_dir() else p for p in given]
    files = images.find_images(deep)
    if not files:
        raise FileNotFoundError(
            f"no images in {', '.join(fspath(p) for p in given)}; expected FITS, PNG, JPG or JP2"
        )
    return files


def _match(labels: Mapping[str, Label], files: list[Path], source: str) -> dict[str, Label]:
    """The labels of the files that are there."""
    names = {path.name for path in files}
    unknown = [name for name in labels if name not in names]
    if len(unknown) == len(labels):
        raise ValueError(
            f"{source} names none of the {len(files)} images: it has {_some(unknown) or 'no lines'}, "
            f"the images are {_some([p.name for p in files])}"
        )
    if unknown:
        warnings.warn(
            f"{source} has {len(unknown)} names that are not among the images: {_some(unknown)}", stacklevel=3
        )
    return {name: label for name, label in labels.items() if name in names}


# -- parts -------------------------------------------------------------------------


class _Measured(NamedTuple):
    """The features of a file, or why there are none."""

    values: bytes  # 29 float64; empty if there is a reason
    nan_pixels: int
    reason: str
    passing: bool = False  # the reason is not the file's own and may be gone in the next run


class _Part(NamedTuple):
    path: Path
    files: list[Path]

    def key(self, stamps: Mapping[Path, str | None], labels: Mapping[str, Label]) -> str:
        """Changes with everything that the part's content depends on."""
        return _digest([[file.as_posix(), stamps[file], labels.get(file.name)] for file in self.files])

    def write(
        self,
        results: list[_Measured],
        stamps: Mapping[Path, str | None],
        labels: Mapping[str, Label],
    ) -> None:
        good = [(f, r) for f, r in zip(self.files, results, strict=True) if not r.reason]
        values = np.frombuffer(b"".join(r.values for _, r in good)).reshape(len(good), len(COMPLEXITY_NAMES))
        found = [labels.get(f.name) for f, _ in good]
        columns = [
            [f.as_posix() for f, _ in good],
            *values.T,
            [r.nan_pixels for _, r in good],
            [label and label.class_label for label in found],
            [label and label.flare_class for label in found],
        ]
        # The errors travel with the part, so that one rename makes both complete.
        errors = [(f.as_posix(), r.reason) for f, r in zip(self.files, results, strict=True) if r.reason]
        again = {f for f, r in zip(self.files, results, strict=True) if r.passing}
        about = {
            "key": None if again else self.key(stamps, labels),
            "stamps": {f.as_posix(): stamps[f] for f in self.files if f not in again},
            "errors": errors,
        }
        schema = _SCHEMA.with_metadata({_META: json.dumps(about).encode()})
        arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
        partial = self.path.with_name(f".{self.path.name}")  # hidden: readers of the folder skip it
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), partial)
        partial.replace(self.path)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _stamp(file: Path, settings: Mapping[str, Any]) -> str | None:
    """Changes with everything that the features of a file depend on; None if the file cannot be asked."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return _digest([settings, file.as_posix(), stat.st_size, stat.st_mtime_ns])


def _set_aside(table: Path, complete: set[Path]) -> dict[str | None, Path]:
    """Hide the other parts of earlier runs; where they, or those of a killed run, have which stamp."""
    for path in set(table.glob("part-*.parquet")) - complete:
        path.replace(path.with_name(f"{_OLD}{path.stat().st_mtime_ns}-{path.name}"))
    kept: dict[str | None, Path] = {}
    for path in sorted(table.glob(f"{_OLD}*")):
        try:
            kept |= dict.fromkeys(filter(None, _about(path)["stamps"].values()), path)
        except _NOT_OURS:
            path.unlink()
    return kept


def _results(path: Path) -> dict[Path, _Measured]:
    """What a part holds."""
    table = pq.read_table(path)
    values = np.column_stack([table[name].to_numpy() for name in COMPLEXITY_NAMES])
    names, nan_pixels = table["file"].to_pylist(), table["nan_pixels"].to_pylist()
    good = {
        Path(name): _Measured(row.tobytes(), count, "")
        for name, row, count in zip(names, values, nan_pixels, strict=True)
    }
    return good | {Path(name): _Measured(b"", 0, reason) for name, reason in _about(path)["errors"]}


def _about(path: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(pq.read_schema(path).metadata[_META])
    return about


def _stored_key(path: Path) -> str | None:
    try:
        key: str | None = _about(path)["key"]
    except _NOT_OURS:
        return None  # not there, or not ours: it is made anew
    return key


def _write_texts(parts: list[_Part], root: Path) -> tuple[int, int]:
    """``features.csv`` and ``errors.csv`` from the parts; number of their rows."""
    rows = failed = 0
    partial = [root / ".features.csv", root / ".errors.csv"]
    with _create(partial[0]) as good_file, _create(partial[1]) as bad_file:
        good, bad = (csv.writer(file, lineterminator="\n") for file in (good_file, bad_file))
        bad.writerow(["file", "reason"])
        for part in parts:
            table = pq.read_table(part.path)
            name, *columns = (column.to_pylist() for column in table.columns)
            values, (label, flare) = columns[:-3], columns[-2:]
            names = [n.rpartition("/")[2] for n in name]
            labels = [["NaN" if x is None else x for x in column] for column in (label, flare)]
            # repr of a float: the shortest text that reads back as the same number.
            good.writerows(zip(*([_text(v) for v in c] for c in values), *labels, names, strict=True))
            errors = _about(part.path)["errors"]
            bad.writerows(errors)
            rows, failed = rows + table.num_rows, failed + len(errors)
    for path in partial:
        path.replace(path.with_name(path.name[1:]))
    return rows, failed


def _create(path: Path) -> TextIO:
    return path.open("w", newline="", encoding="utf-8")


def _text(value: float) -> str:
    return "NaN" if value != value else repr(value)


# -- workers -----------------------------------------------------------------------

_Task = tuple[list[Path], float | None, NanPolicy]


def _measure(tasks: Iterator[_Task], workers: int) -> Iterator[list[_Measured]]:
    """Results of the tasks in their order."""
    first = next(tasks, None)
    if first is None:
        return  # everything is there: no process is started
    tasks = chain([first], tasks)
    if workers == 1:
        yield from map(_measure_files, tasks)
        return
    # Spawned, not forked: a fork copies the locks of threads that it does not copy.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    waiting: deque[Future[list[_Measured]]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(_measure_files, task))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise SolartrackError(
            "a worker process died (killed, or out of memory); complete parts are kept: "
            "run again to go on, perhaps with fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    parent = parent_process()
    assert parent is not None

    def leave_with_parent() -> None:
        parent.join()
        os._exit(1)

    # Without it the workers of a killed run would wait for tasks for ever.
    threading.Thread(target=leave_with_parent, daemon=True).start()


def _measure_files(task: _Task) -> list[_Measured]:
    files, zero, nan_policy = task
    return [_measure_file(path, zero, nan_policy) for path in files]


def _measure_file(path: Path, zero: float | None, nan_policy: NanPolicy) -> _Measured:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is in the errors table
            patch = images.read_pixels(path)
            offset = zero if zero is not None else _zero(path, patch)
        features = complexity(patch, zero=offset, nan_policy=nan_policy)
    except Exception as error:  # a bad file must not stop the archive
        reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
        return _Measured(b"", 0, " ".join(reason.split()), _may_pass(error))
    return _Measured(features.as_array().tobytes(), features.nan_pixels, "")


def _may_pass(error: BaseException) -> bool:
    """Whether it was the machine and not the file: no memory, no library, too many open files."""
    cause = error.__cause__ if isinstance(error, ImageError) and error.__cause__ else error
    # An errno is the system's; decoders raise OSError without one, or with EINVAL after a wild seek.
    return isinstance(cause, (MemoryError, ImportError)) or (
        isinstance(cause, OSError) and cause.errno not in (None, errno.EINVAL)
    )


def _zero(path: Path, patch: Any) -> float:
    if images.row0(path) == "bottom":  # FITS
        return 0.0
    if patch.dtype != np.uint8:
        raise ImageError(
            f"is a picture with {8 * patch.dtype.itemsize}-bit pixels, whose zero field is not known; "
            "give zero"
        )
    return _PICTURE_ZERO
