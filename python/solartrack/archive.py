"""Tracks for a catalogue of events over an archive of images.

`track_archive` takes a table of events and an image store and fills a folder::

    manifest.json   what was run: version, settings, catalogue, counts, times
    index.parquet   the images with their times and geometry; headers are read once
    tracks/         one Parquet file per event: event, and the columns of a track
    errors.parquet  event, file, reason: all that could not be done

One event is a unit of work. Its file appears when it is complete, and is never made
again; to redo one, delete its file and start again. The content of ``tracks`` and
``errors.parquet`` depends on the events, the images and the settings alone, not on
where the work was done or how often it was interrupted. `pandas.read_parquet` reads
the folder ``tracks`` as one table.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import astuple
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.time import Time
from astropy.utils.exceptions import AstropyWarning
from tqdm import tqdm

import solartrack
from solartrack import boxes, tracking
from solartrack import images as image_files
from solartrack._arrays import as_box
from solartrack._optional import require
from solartrack.coordinates import ImageGeometry, rotate_box
from solartrack.errors import ArchiveError, GeometryError, ImageError, ImageWarning, TrackError
from solartrack.tracking import KnownImage, Tracker

__all__ = ["track_archive"]

_PIXELS, _ARCSEC = ("x0", "y0", "x1", "y1"), ("tx0", "ty0", "tx1", "ty1")

_TRACK = pa.schema(
    [
        ("event", pa.string()),
        ("frame", pa.int64()),
        ("file", pa.string()),
        ("time", pa.timestamp("us")),
        *((name, pa.float64()) for name in ("days", *_PIXELS, "score")),
        *((name, pa.string()) for name in ("state", "message", "tracker", "settings")),
    ]
)
_ERRORS = pa.schema([("event", pa.string()), ("file", pa.string()), ("reason", pa.string())])

# Numbers of an ImageGeometry, in the order of its fields.
_GEOMETRY = ("ref_x", "ref_y", "xx", "xy", "yx", "yy", "center_tx", "center_ty", "b0_deg", "l0_deg", "rsun")

# Headers per message to a worker process, and how many files make worker processes worth starting.
_HEADERS, _MANY_FILES = 64, 512

_CONNECT = "20s"

# A millisecond in days: an image at the very end of a time span is inside, whatever the rounding.
_MOMENT = 1.0 / 86400e3

# What a decoder or a header parser may warn of; the index has noted it once.
_KNOWN_WARNINGS = (ImageWarning, AstropyWarning)


class _Event(NamedTuple):
    """A good row of the catalogue."""

    number: int
    event: str
    time: str
    days: float
    box: tuple[float, float, float, float]
    in_arcsec: bool
    length_days: float


class _Error(NamedTuple):
    """A row of ``errors.parquet``, and the catalogue's row it belongs to; -1 for the store's own."""

    number: int
    event: str
    file: str
    reason: str


class _Settings(NamedTuple):
    """What every unit needs to know."""

    tracker: str | Tracker
    tracker_settings: dict[str, Any]
    tolerance_days: float
    both_ways: bool
    geometry: ImageGeometry | None
    version: str


class _Job(NamedTuple):
    """A unit of work, small enough to be sent."""

    event: _Event
    images: pd.DataFrame
    settings: _Settings


class _Unit(NamedTuple):
    """What a finished unit's file says of itself."""

    rows: int
    errors: list[list[str]]


def track_archive(
    catalogue: str | os.PathLike[str] | pd.DataFrame,
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    tracker: str | Tracker = "solar",
    duration: Any = "14d",
    tolerance: Any = "6h",
    both_ways: bool = False,
    geometry: ImageGeometry | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Follow every event of a catalogue through an archive of images; resumes where it was stopped.

    Parameters
    ----------
    catalogue : path or pandas.DataFrame
        CSV or Parquet, one row per event: ``event`` (a unique name), ``time`` (UTC, ISO
        8601), and its box in the image nearest to that time, either ``x0``, ``y0``,
        ``x1``, ``y1`` (pixel edges of the image as stored) or ``tx0``, ``ty0``, ``tx1``,
        ``ty1`` (helioprojective arcsec). Optionally ``end`` (UTC) or ``duration`` (such
        as ``36h``), blank where the argument is meant. Other columns are ignored.
    images : path or iterable of paths
        Folders, patterns (``2014/**/*.jp2``) and files, see `solartrack.images.find_images`;
        of one channel, with times in their headers or names.
    output : path
        Folder; made if absent, continued if it is of the same run.
    tracker : str or Tracker
        A name from `solartrack.tracking.TRACKERS`, or an object that can be pickled, such as
        `solartrack.tracking.make_tracker` gives for another model or device.
    duration : Quantity, timedelta or str
        How long to follow an event.
    tolerance : Quantity, timedelta or str
        How far the nearest image may be from an event's time.
    both_ways : bool
        Follow it as long backwards, too.
    geometry : ImageGeometry, optional
        Where the Sun is, in all images. Default: from their headers.
    workers : int, optional
        Local processes, default the cores this process may use; 0 works in this process.
    scheduler : str, optional
        Address of a Dask scheduler to work there instead; its workers must see the
        images under the same paths if the tracker needs pixels.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    dict
        The manifest; ``["counts"]`` says what became of the events.

    Raises
    ------
    ArchiveError
        If the catalogue lacks a column or has no rows, there are no usable images, the
        folder is in use or of another run, processes cannot start, or the scheduler
        does not answer or goes away. Finished events are kept: start again to resume.
    FileNotFoundError
        If a file or folder is not there.
    ValueError
        If an argument is out of range.
    ImportError
        If `scheduler` is given and dask.distributed is not installed, or the tracker needs ONNX
        Runtime and it is not.

    Notes
    -----
    A bad row of the catalogue, an event without an image in `tolerance`, and an image
    that cannot be used cost themselves only and are listed in ``errors.parquet``. If the
    image nearest to an event cannot be used, its box is carried by rotation to the next
    nearest that can. A process that dies (a crash in a decoder, memory) costs the event
    that kills it again when tried alone. Images that are added later are not seen: the
    index is made once.
    """
    if workers is not None and scheduler is not None:
        raise ValueError("give workers or scheduler, not both")
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or int(workers) != workers or workers < 0:
        raise ValueError(f"workers must be 0 or a number of processes, got {workers!r}")
    made = tracking.make_tracker(tracker)
    tolerance_days = tracking.as_days(tolerance, "tolerance")
    settings = _Settings(
        tracker, made.settings(), tolerance_days + _MOMENT, bool(both_ways), geometry, solartrack.__version__
    )
    table = _read_catalogue(catalogue)
    events, errors = _events(table, tracking.as_days(duration, "duration"))
    patterns = [images] if isinstance(images, str | os.PathLike) else list(images)
    wanted = {
        "solartrack": solartrack.__version__,
        "catalogue": {"sha256": hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()},
        "images": [os.path.abspath(path) for path in patterns],
        "tracker": {"name": made.name, "settings": made.settings()},
        "duration_days": tracking.as_days(duration, "duration"),
        "tolerance_days": tolerance_days,
        "both_ways": bool(both_ways),
        "geometry": None if geometry is None else _numbers(geometry),
    }

    folder = Path(output)
    with _only_one(folder):
        manifest = _open(folder, json.loads(json.dumps(wanted)))
        index = _index(folder, patterns, workers, progress)
        digest = hashlib.sha256((folder / "index.parquet").read_bytes()).hexdigest()
        if manifest.setdefault("index", {"sha256": digest})["sha256"] != digest:
            raise ArchiveError(
                f"{folder}/index.parquet is not the one this run began with; put it back, or use a new folder"
            )
        errors += [
            _Error(
                -1, "", row.file, row.trouble or row.warning or "the image has no time in its header or name"
            )
            for row in index.itertuples()
            if row.trouble or row.warning or not np.isfinite(row.days)
        ]
        timed = index[np.isfinite(index["days"])]
        if not len(timed):
            raise ArchiveError(f"none of {len(index)} images has a time; the first: {errors[-1].reason}")
        manifest["index"] |= {"images": len(index), "with_time": len(timed)}

        units: dict[int, _Unit] = {}
        jobs = []
        days = timed["days"].to_numpy()
        for event in events:
            begin, end, why = _choose(event, days, settings)
            if why:
                errors.append(_Error(event.number, event.event, "", why))
            elif (unit := _finished(_part(folder, event.number))) is not None:
                units[event.number] = unit
            else:
                jobs.append((event, begin, end))

        def todo() -> Iterator[_Job]:
            for event, begin, end in jobs:
                yield _Job(event, timed.iloc[begin:end], settings)

        if scheduler is not None:
            results = _on_cluster(todo(), scheduler, made.needs_pixels)
        elif workers == 0:
            results = ((job, _follow(job)) for job in todo())
        else:
            results = _on_processes(todo(), min(workers, max(1, len(jobs))))
        manifest |= {"state": "running", "finished": None}
        _write_json(folder / "manifest.json", manifest)
        try:
            with (
                closing(results),
                tqdm(
                    total=len(jobs) + len(units), initial=len(units), disable=not progress, unit="event"
                ) as bar,
            ):
                for job, data in results if jobs else ():
                    path = _part(folder, job.event.number)
                    _write(path, data)
                    units[job.event.number] = _described(pq.read_metadata(io.BytesIO(data)))
                    bar.update()
        except BaseException:
            _write_json(folder / "manifest.json", manifest | {"state": "interrupted"})
            raise

        for event in events:
            if event.number in units:
                for file, reason in units[event.number].errors:
                    errors.append(_Error(event.number, event.event, file, reason))
        errors.sort(key=lambda error: error.number)
        listed = pa.Table.from_pylist([error._asdict() for error in errors], _ERRORS)
        _write(folder / "errors.parquet", _as_parquet(listed))
        tracked = sum(unit.rows > 0 for unit in units.values())
        manifest |= {
            "state": "finished",
            "finished": _now(),
            "counts": {
                "events": len(table),
                "tracked": tracked,
                "failed": len(table) - tracked,
                "rows": sum(unit.rows for unit in units.values()),
                "errors": len(errors),
            },
        }
        _write_json(folder / "manifest.json", manifest)
        return manifest


# -- catalogue ---------------------------------------------------------------------


def _read_catalogue(catalogue: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    if isinstance(catalogue, pd.DataFrame):
        name, table = "the catalogue", catalogue.reset_index(drop=True)
    else:
        path = Path(catalogue)
        name = str(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        if path.suffix.lower() not in (".csv", ".parquet"):
            raise ArchiveError(
                f"cannot read {path}: the suffix must be .csv or .parquet, got {path.suffix!r}"
            )
        try:
            if path.suffix.lower() == ".csv":
                table = pd.read_csv(path, dtype=str, keep_default_na=False)
            else:
                table = pd.read_parquet(path).reset_index(drop=True)
        except Exception as error:  # pyarrow and pandas raise many kinds
            raise ArchiveError(f"{path} is not a readable table: {error}") from error
    found = ", ".join(map(str, table.columns))
    missing = [c for c in ("event", "time") if c not in table]
    in_pixels, in_arcsec = (all(c in table for c in names) for names in (_PIXELS, _ARCSEC))
    if in_pixels and in_arcsec:
        raise ArchiveError(f"{name} has boxes in pixels and in arcsec; keep one of them")
    if missing or not (in_pixels or in_arcsec):
        boxes = "" if in_pixels or in_arcsec else "x0, y0, x1, y1 (pixels) or tx0, ty0, tx1, ty1 (arcsec)"
        lacking = " and ".join(filter(None, [", ".join(missing), boxes]))
        raise ArchiveError(f"{name} lacks the columns {lacking}; it has {found}")
    if not len(table):
        raise ArchiveError(f"{name} has no events")
    return table


def _events(table: pd.DataFrame, length_days: float) -> tuple[list[_Event], list[_Error]]:
    """Good rows, and for each bad one the reason."""
    in_arcsec = all(c in table for c in _ARCSEC)
    events, errors = [], []
    seen: dict[str, int] = {}
    for number, row in enumerate(table.to_dict("records")):
        name = _name(row["event"])
        try:
            if not name:
                raise ValueError(f"row {number + 1} has no event name")
            if name in seen:
                raise ValueError(
                    f"row {number + 1} has the event name of row {seen[name] + 1}; the first one is used"
                )
            seen[name] = number
            time = _moment(row["time"], "time")
            box = as_box([_number(row[c], c) for c in (_ARCSEC if in_arcsec else _PIXELS)])
            length = length_days
            end, own = row.get("end"), row.get("duration")
            if not _blank(end) and not _blank(own):
                raise ValueError("end and duration are both given; keep one")
            if not _blank(end):
                length = (_moment(end, "end") - time) / pd.Timedelta(days=1)
                if length <= 0:
                    raise ValueError(f"end {end} is not after time {row['time']}")
            if not _blank(own):
                length = tracking.as_days(own, "duration")
        except (TypeError, ValueError) as error:
            errors.append(_Error(number, name, "", str(error)))
            continue
        iso = time.isoformat()
        events.append(_Event(number, name, iso, np.nan, tuple(box.tolist()), in_arcsec, length + _MOMENT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # leap seconds of years to come
        days = Time([e.time for e in events], scale="utc").tai.mjd if events else []
    return [e._replace(days=float(d)) for e, d in zip(events, days, strict=True)], errors


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or bool(pd.isna(value))


def _name(value: Any) -> str:
    if _blank(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of integers that has gaps
    return str(value).strip()


def _number(value: Any, column: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{column} must be a number, got {value!r}") from None


def _moment(value: Any, column: str) -> pd.Timestamp:
    """UTC without a zone."""
    try:
        if _blank(value) or isinstance(value, int | float):
            raise ValueError
        time = pd.to_datetime(value, utc=True, **({"format": "ISO8601"} if isinstance(value, str) else {}))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{column} must be a date such as 2014-02-03T02:08:47, got {value!r}") from None
    return time.tz_localize(None).as_unit("us")


# -- images ------------------------------------------------------------------------


def _index(folder: Path, patterns: list[Any], workers: int, progress: bool) -> pd.DataFrame:
    """What the headers of all images tell, in the order of time; read once."""
    path = folder / "index.parquet"
    if path.exists():
        return pd.read_parquet(path)
    files = [os.path.abspath(p) for p in image_files.find_images(patterns)]
    if not files:
        raise ArchiveError(
            f"no images found in {', '.join(map(str, patterns))}; expected FITS, PNG, JPG or JP2"
        )
    rows: list[dict[str, Any]] = []
    with tqdm(total=len(files), disable=not progress, unit="header", leave=False) as bar:
        chunks = [files[i : i + _HEADERS] for i in range(0, len(files), _HEADERS)]
        if workers > 1 and len(files) >= _MANY_FILES:
            with _processes(workers) as pool:
                try:
                    for part in pool.map(_look, chunks):
                        rows += part
                        bar.update(len(part))
                except BrokenProcessPool as error:
                    raise ArchiveError(
                        "a process died while reading headers; "
                        "use workers=0 to see why, or leave the file out that kills it"
                    ) from error
        else:
            for chunk in chunks:
                rows += _look(chunk)
                bar.update(len(chunk))
    table = pd.DataFrame(rows).sort_values(["days", "file"], kind="stable", na_position="last")
    table = table.reset_index(drop=True)
    _write(path, _as_parquet(pa.Table.from_pandas(table, preserve_index=False)))
    return pd.read_parquet(path)


def _look(files: Iterable[str]) -> list[dict[str, Any]]:
    rows = []
    for file in files:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known = tracking.look(file, 0)
            if known.trouble and (time := image_files.time_from_name(file)) is not None:
                # It keeps its place in time, so that the tracks that pass it have a row for it.
                known = known._replace(time=time.utc.to_datetime(), days=float(time.tai.mjd))
        numbers = [np.nan] * len(_GEOMETRY) if known.geometry is None else _numbers(known.geometry)
        noted = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, _KNOWN_WARNINGS))
        rows.append(
            {
                "file": file,
                "time": pd.Timestamp(known.time) if known.time else pd.NaT,
                "days": known.days,
                "rows": known.shape[0],
                "columns": known.shape[1],
                **dict(zip(_GEOMETRY, numbers, strict=True)),
                "trouble": known.trouble,
                "no_geometry": known.no_geometry,
                "warning": "; ".join(noted),
            }
        )
    return rows


def _numbers(geometry: ImageGeometry) -> list[float]:
    return [float(v) for v in np.hstack([np.ravel(part) for part in astuple(geometry)])]


def _known(images: pd.DataFrame) -> list[KnownImage]:
    """Rows of the index as images; their frame number is their place in it."""
    out = []
    for row in images.itertuples():
        numbers = [getattr(row, name) for name in _GEOMETRY]
        geometry = None
        if np.isfinite(numbers[0]):
            geometry = ImageGeometry(
                tuple(numbers[:2]), tuple(numbers[2:6]), tuple(numbers[6:8]), *numbers[8:]
            )  # type: ignore[arg-type]
        time = None if pd.isna(row.time) else row.time.to_pydatetime()
        shape = int(row.rows), int(row.columns)
        out.append(
            KnownImage(row.Index, row.file, time, row.days, geometry, shape, row.trouble, row.no_geometry)
        )
    return out


def _choose(event: _Event, days: Any, settings: _Settings) -> tuple[int, int, str]:
    """First and last row (exclusive) of the index that an event needs, or why it cannot start."""
    slack = settings.tolerance_days
    nearest = float(days[np.argmin(np.abs(days - event.days))])
    if abs(nearest - event.days) > slack:
        gap = abs(nearest - event.days) * 24.0
        side = "after" if nearest > event.days else "before"
        return 0, 0, (
            f"no image within {slack * 24:g} h of {event.time}; the nearest is {gap:.1f} h {side} it"
        )  # fmt: skip
    back = event.length_days if settings.both_ways else 0.0
    # Any image within the tolerance may turn out to be the start.
    first = np.searchsorted(days, event.days - max(slack, back))
    last = np.searchsorted(days, event.days + max(slack, event.length_days), side="right")
    return int(first), int(last), ""


# -- one unit of work --------------------------------------------------------------


@cache
def _tracker(name: str) -> Tracker:
    """One per process: a network is loaded once."""
    return tracking.make_tracker(name)


def _follow(job: _Job) -> bytes:
    """One event, start to end, as the content of its file."""
    event, settings = job.event, job.settings
    if settings.version != solartrack.__version__:
        raise ArchiveError(
            f"the worker has solartrack {solartrack.__version__}, the run needs {settings.version}"
        )
    tracker = settings.tracker
    tracker = _tracker(tracker) if isinstance(tracker, str) else tracker
    if (own := tracker.settings()) != settings.tracker_settings:
        raise ArchiveError(
            f"the worker's tracker has the settings {own}, the run needs {settings.tracker_settings}; "
            "give all workers the same model, and a device that all have"
        )
    with warnings.catch_warnings():
        for category in _KNOWN_WARNINGS:
            warnings.simplefilter("ignore", category)
        try:
            rows, errors = _rows(event, _known(job.images), tracker, settings)
        except (ImportError, MemoryError):  # not the event's fault
            raise
        except Exception as error:
            rows, errors = [], [["", f"{type(error).__name__}: {error}"]]
    return _unit_file(event, rows, errors)


def _rows(
    event: _Event, images: list[KnownImage], tracker: Tracker, settings: _Settings
) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """The track, and the images that cost something."""
    near = sorted(images, key=lambda image: abs(image.days - event.days))
    near = [image for image in near if abs(image.days - event.days) <= settings.tolerance_days]
    errors: list[list[str]] = []
    for first in near:
        if first.trouble:
            errors.append([first.file, f"{first.trouble} (the event's image: starting at the next nearest)"])
            continue
        try:
            box = _start_box(event, near[0], first, settings.geometry)
            back = event.length_days if settings.both_ways else 0.0
            used = [i for i in images if -back <= i.days - event.days <= event.length_days or i is first]
            rows = list(
                tracking.iter_track(
                    used,
                    box,
                    start=first.frame,
                    tracker=tracker,
                    geometry=settings.geometry,
                    both_ways=settings.both_ways,
                )
            )
        except (TrackError, GeometryError) as error:
            errors.append([first.file, str(error)])
            if isinstance(error.__cause__, ImageError | OSError):
                continue  # its header is good, its pixels are not
            return [], errors
        told = {file for file, _ in errors}
        for row in rows:
            if row["state"] in tracking.UNUSABLE and row["file"] not in told:
                errors.append([row["file"], f"{row['state']}: {row['message']}"])
        return rows, errors
    return [], errors


def _start_box(event: _Event, nominal: KnownImage, first: KnownImage, given: ImageGeometry | None) -> Any:
    """The event's box on the image that the track starts with."""
    place = given or nominal.geometry or first.geometry
    box: Any = event.box
    if event.in_arcsec:
        if place is None:
            raise TrackError("a box in arcsec needs an image that says where the Sun is; give the disk")
        box = boxes.from_arcsec(event.box, place)[0]
    if first is nominal:
        return box
    if place is None:
        raise TrackError("the event's image cannot be used, and without a disk its box fits no other")
    moved = rotate_box(box, first.days - nominal.days, place, given or first.geometry)
    if moved.off_disk:
        raise TrackError("the event's image cannot be used, and in the next one it is behind the limb")
    return moved.box


def _unit_file(event: _Event, rows: list[dict[str, Any]], errors: list[list[str]]) -> bytes:
    rows = sorted(rows, key=lambda row: (row["days"], row["frame"]))
    note = json.dumps({"event": event.event, "errors": errors})
    data = pa.Table.from_pylist([{"event": event.event, **row} for row in rows], _TRACK)
    return _as_parquet(data.replace_schema_metadata({"solartrack": note}))


def _described(metadata: pq.FileMetaData) -> _Unit:
    note = json.loads(metadata.metadata[b"solartrack"])
    return _Unit(metadata.num_rows, note["errors"])


# -- where the work is done --------------------------------------------------------

_Results = Generator[tuple[_Job, bytes], None, None]


def _on_processes(jobs: Iterator[_Job], workers: int) -> _Results:
    """Work in local processes; one that dies costs only the event that kills it."""
    while True:
        with _processes(workers) as pool:
            lost = yield from _flights(jobs, pool, lambda: 2 * workers)
        if not lost:
            return
        for job in lost:  # one of them took its process with it; alone, it shows itself
            with _processes(1) as pool:
                again = yield from _flights(iter([job]), pool, lambda: 1)
            if again:
                reason = "the process that worked on it died, twice (out of memory, or a crash in a decoder)"
                yield job, _unit_file(job.event, [], [["", reason]])


def _flights(
    jobs: Iterator[_Job], pool: Executor, ahead: Callable[[], int], fatal: tuple[type[Exception], ...] = ()
) -> Generator[tuple[_Job, bytes], None, list[_Job]]:
    """Results as they come, few jobs being underway at a time; returns those lost with a dead process."""
    underway: dict[Future[bytes], _Job] = {}
    while True:
        for job in islice(jobs, max(0, ahead() - len(underway))):
            try:
                underway[pool.submit(_follow, job)] = job
            except BrokenProcessPool:
                return [*underway.values(), job]
        if not underway:
            return []
        done, _ = wait(underway, return_when=FIRST_COMPLETED)
        for future in done:
            try:
                data = future.result()
            except BrokenProcessPool:
                return list(underway.values())
            except fatal as error:
                data = _unit_file(underway[future].event, [], [["", f"{type(error).__name__}: {error}"]])
            yield underway.pop(future), data


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker)
    try:
        try:
            pool.submit(os.getpid).result()
        except BrokenProcessPool as error:
            raise ArchiveError(
                "worker processes cannot start; a script must call track_archive below "
                "if __name__ == '__main__':, or use workers=0"
            ) from error
        yield pool
    except BaseException:
        # Nobody waits for what is underway: a unit that is not written does not exist.
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    os.environ.setdefault("SOLARTRACK_NUM_THREADS", "1")  # the processes share the cores already
    # A parent that was killed cannot say so: without this its workers would wait for work for ever.
    threading.Thread(target=_end_with, args=[multiprocessing.parent_process()], daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _on_cluster(jobs: Iterator[_Job], address: str, needs_pixels: bool) -> _Results:
    """Work on the cluster of a Dask scheduler."""
    distributed = require("distributed", extra="archive", purpose="working on a Dask cluster")
    try:
        client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ArchiveError(f"no Dask scheduler answers at {address}: {error}") from error
    try:
        pool = client.get_executor(pure=False)

        def ahead() -> int:
            return 2 * max(8, sum(map(int, client.nthreads().values())))

        if needs_pixels:
            first = next(jobs)
            jobs = _before(first, jobs)
            blind = [
                worker
                for worker, sees in client.run(os.path.exists, first.images["file"].iloc[0]).items()
                if not sees
            ]
            if blind:
                raise ArchiveError(f"the Dask worker {blind[0]} does not see {first.images['file'].iloc[0]}")
        yield from _flights(jobs, pool, ahead, fatal=(distributed.KilledWorker,))
    except (CancelledError, OSError, TimeoutError) as error:
        raise ArchiveError(
            f"the Dask scheduler at {address} went away ({type(error).__name__}); finished events are kept: "
            "start again to go on"
        ) from error
    finally:
        log = logging.getLogger("distributed.client")
        level = log.level
        log.setLevel(logging.CRITICAL)  # a scheduler that is gone is no news by now
        client.close(timeout=5)
        log.setLevel(level)


def _before(first: _Job, rest: Iterator[_Job]) -> Iterator[_Job]:
    yield first
    yield from rest


# -- the folder --------------------------------------------------------------------


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Make the folder and keep other runs out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArchiveError(f"another run is working in {folder}; wait for it, or end it") from error
        except OSError:
            pass  # a file system that has no locks
        yield


def _open(folder: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a new run or of one that is to be continued."""
    for stray in folder.glob(".part-*"):
        stray.unlink()
    path = folder / "manifest.json"
    if not path.exists():
        if others := sorted(p.name for p in folder.iterdir() if p.name != ".lock"):
            raise ArchiveError(f"{folder} holds other files ({others[0]}, ...); choose a new folder")
        (folder / "tracks").mkdir()
        manifest = {**wanted, "state": "reading headers", "started": _now(), "finished": None}
        _write_json(path, manifest)
        return manifest
    try:
        manifest = json.loads(path.read_text())
        differing = [key for key, value in wanted.items() if manifest[key] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path} is not the manifest of an archive run: {error}") from error
    if differing:
        shown = "; ".join(f"{key} was {manifest[key]!r}, is {wanted[key]!r}" for key in differing)
        raise ArchiveError(f"{folder} holds another run: {shown}; choose a new folder")
    (folder / "tracks").mkdir(exist_ok=True)
    return dict(manifest)


def _part(folder: Path, number: int) -> Path:
    return folder / "tracks" / f"part-{number:06}.parquet"


def _finished(path: Path) -> _Unit | None:
    """What a finished unit's file says; None if there is none, or a power failure emptied it."""
    try:
        return _described(pq.read_metadata(path))
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        path.unlink()
        return None


def _as_parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Write a file that is never seen half-written, not even after SIGKILL."""
    # At the top of the run's folder: a reader of tracks/ must not meet it.
    top = path.parent.parent if path.parent.name == "tracks" else path.parent
    partial = top / f".part-{os.getpid()}"
    partial.write_bytes(data)
    partial.replace(path)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    _write(path, (json.dumps(content, indent=2) + "\n").encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
