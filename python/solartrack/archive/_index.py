"""The index of a run's images: what their headers say, in the order of time, read once.

A file whose size or time of change differs from the index is read again in the next run.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.utils.exceptions import AstropyWarning

from solartrack import _workers
from solartrack import images as image_files
from solartrack._files import replacing, shown
from solartrack._progress import tqdm
from solartrack._workers import Workplace
from solartrack.archive._folder import RunFolder
from solartrack.errors import ArchiveError, ImageWarning
from solartrack.sequence import Frame, frames_from_table, frames_of, frames_to_table, read_frame

__all__ = ["KNOWN_WARNINGS", "found_images", "image_index", "names_digest", "row_digests", "troubles"]

#: Warnings of decoders and header parsers; the index has noted them once.
KNOWN_WARNINGS = (ImageWarning, AstropyWarning)

# Headers that a worker gets at a time, and how many files make worker processes worth starting.
_HEADERS, _MANY_FILES = 64, 512

# Columns beside those of `frames_to_table`.
_OWN = ("warning", "size", "mtime_ns")
_Stamp = tuple[int, int]
_Read = tuple[Frame, str]


def image_index(folder: RunFolder, patterns: list[Any], place: Workplace, progress: bool) -> pd.DataFrame:
    """What the headers of all images say, in the order of time; brings ``index.parquet`` up to date.

    Parameters
    ----------
    folder : RunFolder
    patterns : list of path-like
        For `solartrack.images.find_images`.
    place : Workplace
        Where to read headers, if there are many.
    progress : bool
        Show a progress bar on standard error.

    Raises
    ------
    ArchiveError
        If there are no images, or they are not those that the run began with.
    """
    path = folder.path / "index.parquet"
    old = _stored(path)
    files = [] if old is None else old["file"].tolist()
    recorded = folder.manifest.get("index")
    recorded = recorded.get("files_sha256") if isinstance(recorded, dict) else None
    if old is None or recorded is None:  # the images are not settled yet, or have become more
        files = list(dict.fromkeys([*files, *found_images(patterns)]))
    if recorded not in (None, names_digest(files)):
        why = "is not the one this run began with; put it back" if old is not None else (
            "is lost, and the images found now are not those that this run began with; put them back"
        )  # fmt: skip
        raise ArchiveError(f"{path} {why}, or use a new folder")

    # Asked before the headers are read: of a file that changes meanwhile the next run will notice it.
    stamps = {file: _stamp(file) for file in files}
    if old is not None:
        known = dict(zip(old["file"], zip(old["size"], old["mtime_ns"], strict=True), strict=True))
        files = [file for file in files if stamps[file] != known.get(file)]
        if not files:
            return old
    read = _read(files, place, progress)
    if old is not None:
        kept = old[~old["file"].isin(files)]
        read += zip(frames_from_table(kept), kept["warning"], strict=True)
    table = _table(read, stamps)
    table = table.sort_values(["mjd_tai", "file"], kind="stable", na_position="last").reset_index(drop=True)
    with replacing(path) as partial:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), partial, compression="zstd")
    return pd.read_parquet(path)


def found_images(patterns: list[Any]) -> list[str]:
    """Absolute paths of all images.

    Raises
    ------
    ArchiveError
        If there are none.
    """
    found = (os.path.abspath(p) for p in image_files.find_images(patterns))
    files = list(dict.fromkeys(shown(p) for p in found))
    if not files:
        raise ArchiveError(image_files.none_found(patterns))
    return files


def troubles(index: pd.DataFrame) -> list[tuple[str, str]]:
    """File and reason for each image that cannot be used, or not fully."""
    no_time = "the image has no time in its header or name"
    return [
        (row.file, row.trouble or row.warning or no_time)
        for row in index.itertuples()
        if row.trouble or row.warning or not np.isfinite(row.mjd_tai)
    ]


def names_digest(files: Iterable[str]) -> str:
    """Tells sets of files apart."""
    return hashlib.sha256("\0".join(sorted(files)).encode()).hexdigest()


def row_digests(index: pd.DataFrame) -> list[bytes]:
    """For each row of an index a digest of all that a track depends on there: place, file, size, time."""
    columns = zip(index.index, index["file"], index["size"], index["mtime_ns"], strict=True)
    return [hashlib.sha256("\0".join(map(str, row)).encode()).digest() for row in columns]


def _stored(path: Path) -> pd.DataFrame | None:
    """The index of an earlier run; None if there is none, it is damaged, or another version made it."""
    try:
        table = pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError):
        return None
    wanted = {*frames_to_table([Frame(0)]), *_OWN}
    return table if set(table) == wanted and len(table) else None


def _stamp(file: str) -> _Stamp:
    try:
        stat = os.stat(file)
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def _read(files: list[str], place: Workplace, progress: bool) -> list[_Read]:
    """What the headers say, in the order of the files."""
    if len(files) < _MANY_FILES or place.processes < 2:
        place = Workplace()
    found: dict[str, _Read] = {}
    results = _workers.run(_read_header, files, place, lost=_lost, chunk=_HEADERS)
    with closing(results), tqdm(total=len(files), disable=not progress, unit="header", leave=False) as bar:
        for file, result in results:
            found[file] = result
            bar.update()
    return [found[file] for file in files]


def _read_header(file: str) -> _Read:
    """What a header says, and what its reader warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = _in_time(read_frame(file))
    if frame.trouble and "\\x" in file and not os.path.exists(file):  # see shown
        frame = replace(frame, trouble="its name is not UTF-8; rename it, or it is gone")
    noted = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, KNOWN_WARNINGS))
    return frame, "; ".join(noted)


def _lost(file: str) -> _Read:
    return _in_time(Frame(0, file, trouble=_workers.DIED)), ""


def _in_time(frame: Frame) -> Frame:
    """A broken image keeps its place in time, so that the tracks that pass it have a row for it."""
    if not frame.trouble or (time := image_files.time_from_name(frame.file)) is None:
        return frame
    named = frames_of([frame], times=[time])[0]
    return replace(frame, time=named.time, mjd_tai=named.mjd_tai)


def _table(read: list[_Read], stamps: dict[str, _Stamp]) -> pd.DataFrame:
    table = frames_to_table(frame for frame, _ in read)
    table["warning"] = [warning for _, warning in read]
    table["size"], table["mtime_ns"] = np.array([stamps[f] for f in table["file"]], np.int64).T
    return table
