"""Tracks for a catalogue of events over an archive of images.

`track_archive` takes a table of events and an archive of images and fills a folder::

    manifest.json   what was run: version, settings, catalogue, counts, times
    index.parquet   the images with their times and geometry
    tracks/         one Parquet file per event: event, and the columns of a track
    errors.parquet  event, file, reason: all that could not be done

One event is a unit of work. Its file appears when it is complete, and is made again only if one of its
images has changed, or if the file is damaged; to redo one, delete its file and start again. The content
of ``tracks`` and ``errors.parquet`` depends on the events, the images and the settings alone, not on
where the work was done or how often it was interrupted. `pandas.read_parquet` reads the folder
``tracks`` as one table, with the settings of the run in its ``attrs["settings"]``; each file has them in the
metadata of its schema, and the units of numbers in those of its fields.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import solartrack
from solartrack import _workers, tracking
from solartrack._files import replacing, write_bytes
from solartrack._progress import tqdm
from solartrack.archive._catalogue import MOMENT_DAYS, Event, Failure, events_of, read_catalogue
from solartrack.archive._folder import NOTE, RunFolder, is_whole, read_note, run_folder
from solartrack.archive._follow import Job, Settings, follow_all, unit_key
from solartrack.archive._index import found_images, image_index, names_digest, row_digests, troubles
from solartrack.coordinates import ImageGeometry
from solartrack.errors import ArchiveError
from solartrack.sequence import as_days, geometry_numbers
from solartrack.tracking import Tracker

__all__ = ["track_archive"]

# What of a run may become more while it is continued.
_MAY_GROW = {"catalogue", "images"}
_FAILURES = pa.schema([("event", pa.string()), ("file", pa.string()), ("reason", pa.string())])


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
        of one channel, with times in their headers or names. A `solartrack.sources.Store` gives
        its complete files; of a store that holds several channels, or reports too, give the
        folders or files that are meant.
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
        A script that uses processes must call this below ``if __name__ == "__main__":``.
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
        folder is in use, of another run or holds files of others, processes cannot start, or
        the scheduler does not answer or goes away. Finished events are kept: start again to resume.
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
    nearest that can. An image that kills the process that reads it (a crash in a decoder)
    counts as one that cannot be used. A process that dies of something else costs the event
    that kills it again when tried alone. A file that has changed (size or time) is read again
    in the next run, and the events that may need it are followed again. Where `images` names more
    than before (a Store that has grown, another folder), the run takes in what has come: events
    that may need a new image are followed again, and so are those after it, since frames are
    numbered through all images. Images that are added to a folder are not seen until then.
    An event that has lost its images has no track any more, and a row in ``errors.parquet``.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import archive, demo
    >>> event = {"event": "NOAA 12670", "time": "2017-08-08", "duration": "2d"}
    >>> event |= dict(zip(["x0", "y0", "x1", "y1"], demo.AIA_BOX))
    >>> done = archive.track_archive(
    ...     pd.DataFrame([event]), demo.AIA_IMAGES, "run", tracker="rotation", workers=0
    ... )
    >>> done["counts"]
    {'events': 1, 'tracked': 1, 'failed': 0, 'rows': 4, 'errors': 0}
    >>> pd.read_parquet("run/tracks")["frame"].tolist()
    [0, 1, 2, 3]
    """
    place = _workers.workplace(workers, scheduler)
    made = tracking.make_tracker(tracker)
    length_days, tolerance_days = as_days(duration, "duration"), as_days(tolerance, "tolerance")
    settings = Settings(tracker, made.settings(), tolerance_days + MOMENT_DAYS, bool(both_ways), geometry)
    table = read_catalogue(catalogue)
    events, failures = events_of(table, length_days)
    patterns = [images] if isinstance(images, str | os.PathLike) else list(images)
    wanted = {
        "solartrack": solartrack.__version__,
        "catalogue": {
            "sha256": hashlib.sha256(table.to_csv(index=False).encode()).hexdigest(),
            "events": {event.event: _digest(event) for event in events},
        },
        "images": [os.path.abspath(path) for path in patterns],
        "tracker": {"name": made.name, "settings": made.settings()},
        "duration_days": length_days,
        "tolerance_days": tolerance_days,
        "both_ways": bool(both_ways),
        "geometry": None if geometry is None else geometry_numbers(geometry),
    }
    if not Path(output).exists():
        found_images(patterns)  # a start without images leaves nothing behind, not even a folder
    with run_folder(Path(output), "tracks") as folder:
        manifest = _begin(folder, json.loads(json.dumps(wanted)), events, len(table), patterns)
        index = image_index(folder, patterns, _workers.local(place), progress)
        failures += [Failure(-1, "", file, reason) for file, reason in troubles(index)]
        timed = index[np.isfinite(index["mjd_tai"])]
        if not len(timed):
            raise ArchiveError(f"none of {len(index)} images has a time; the first: {failures[-1].reason}")
        manifest |= {
            "index": {
                "files_sha256": names_digest(index["file"]), "images": len(index), "with_time": len(timed)
            },
            "finished": None,
        }  # fmt: skip
        with folder.working(manifest):
            jobs, units, none_near = _plan(folder, events, timed, settings)
            for failure in none_near:  # a track of images that are not there any more
                folder.unit(failure.number).unlink(missing_ok=True)
            good = timed["file"][timed["trouble"] == ""]
            needs_file = good.iloc[0] if len(good) and made.needs_pixels else None
            todo = (Job(event, timed.iloc[begin:end], settings, key) for event, begin, end, key in jobs)
            _finish(todo, units, folder, place, needs_file, total=len(jobs) + len(units), progress=progress)
            failures += none_near + _unit_failures(events, units)
            _write_failures(folder.path / "errors.parquet", failures)
        counts = _counts(units, len(table), len(failures))
        manifest |= {"state": "finished", "finished": _now(), "counts": counts}
        folder.record(manifest)
        return manifest


def _finish(
    todo: Iterable[Job],
    units: dict[int, _Unit],
    folder: RunFolder,
    place: _workers.Workplace,
    needs_file: str | None,
    *,
    total: int,
    progress: bool,
) -> None:
    """Do the jobs; each event has its file and its entry in `units` as soon as it is finished."""
    results = follow_all(todo, place, needs_file)
    with (
        closing(results),
        tqdm(total=total, initial=len(units), disable=not progress, unit="event") as bar,
    ):
        for job, data in results:
            write_bytes(folder.unit(job.event.number), data)
            units[job.event.number] = _described(pq.read_metadata(io.BytesIO(data)))
            bar.update()


def _unit_failures(events: list[Event], units: dict[int, _Unit]) -> list[Failure]:
    """The images that could not be used, of each event that was followed."""
    return [
        Failure(event.number, event.event, file, reason)
        for event in events
        if event.number in units
        for file, reason in units[event.number].errors
    ]


def _counts(units: dict[int, _Unit], events: int, errors: int) -> dict[str, int]:
    tracked = sum(unit.rows > 0 for unit in units.values())
    return {
        "events": events,
        "tracked": tracked,
        "failed": events - tracked,
        "rows": sum(unit.rows for unit in units.values()),
        "errors": errors,
    }


def _begin(
    folder: RunFolder, wanted: dict[str, Any], events: list[Event], count: int, patterns: list[Any]
) -> dict[str, Any]:
    """The manifest of a new run, or of one that is to be continued."""
    manifest = folder.manifest
    missing = [key for key in wanted if key not in manifest]
    if manifest and missing:
        raise ArchiveError(
            f"{folder.path / 'manifest.json'} is not the manifest of an archive run: it lacks {missing[0]}"
        )
    differing = [key for key in wanted if manifest and _identity(manifest[key]) != _identity(wanted[key])]
    gone = [key for key in differing if key in _MAY_GROW and _gone(key, manifest, wanted)]
    if differing and manifest.get("state") == "reading headers" and not folder.numbers():
        # The run never came to its first event, such as for want of usable images: begin anew.
        (folder.path / "index.parquet").unlink(missing_ok=True)
        folder.manifest = manifest = {}
    elif differing and set(differing) <= _MAY_GROW and not gone:
        # What is finished stays good: each unit names the images that it depends on.
        if "images" in differing:
            _say_new_images(manifest, wanted)
            manifest.pop(
                "index", None
            )  # they are looked up again, also if this run ends before it has done so
            folder.record({**manifest, **wanted})
        if "catalogue" in differing:
            _say_changes(manifest, wanted)
            _move_units(folder, events)
    elif differing:
        shown = "; ".join(_difference(key, manifest, wanted) for key in differing)
        what = "put back what is lacking, or " if gone else ""
        raise ArchiveError(f"{folder.path} holds another run: {shown}; {what}choose a new folder")
    folder.refuse_strays(count)
    if not manifest:
        # New, or emptied by a power failure: then what is finished says itself whether it fits.
        found_images(patterns)  # nothing is written before there are some
        manifest = {"state": "reading headers", "started": _now(), "finished": None}
        folder.record({**wanted, **manifest})
    return {**manifest, **wanted}


def _identity(value: Any) -> Any:
    """What tells two values of the manifest apart; of a catalogue its hash."""
    return value["sha256"] if isinstance(value, dict) and "sha256" in value else value


def _digest(event: Event) -> str:
    """Changes with what a row of the catalogue says of an event."""
    return hashlib.sha256(json.dumps(event._replace(number=0)).encode()).hexdigest()[:12]


def _gone(key: str, manifest: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Events that an earlier catalogue had and this one has not, or paths of images."""
    if key == "images":
        named = set(wanted["images"])
        return [path for path in _listed(manifest["images"]) if path not in named]
    if "events" not in manifest["catalogue"]:
        return ["all"]  # an earlier version did not write them down
    return [name for name in manifest["catalogue"]["events"] if name not in wanted["catalogue"]["events"]]


def _listed(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def _difference(key: str, manifest: dict[str, Any], wanted: dict[str, Any]) -> str:
    if key == "images":
        was, is_, gone = _listed(manifest[key]), wanted[key], _gone(key, manifest, wanted)
        lacks = f", lacks {len(gone)} of them ({_some(gone)})" if gone else ""
        return f"images was {len(was)} paths ({_some(was)}), is {len(is_)} ({_some(is_)}){lacks}"
    if key != "catalogue" or "events" not in manifest[key]:
        return f"{key} was {manifest[key]!r}, is {wanted[key]!r}"
    gone = _gone(key, manifest, wanted)
    lacks = f", lacks {_some(gone)}" if gone else ""
    return f"{key} was of {len(manifest[key]['events'])} events, is of {len(wanted[key]['events'])}{lacks}"


def _say_new_images(manifest: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Warn of paths of images that are new in a run that is continued."""
    known = set(_listed(manifest["images"]))
    if new := [path for path in wanted["images"] if path not in known]:
        warnings.warn(
            f"images has {len(new)} paths more ({_some(new)}); the events that may need them, or whose "
            "frames have other numbers now, are followed again, the others are kept",
            stacklevel=4,
        )


def _say_changes(manifest: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Warn of what is new in the catalogue of a run that is continued."""
    old, new = manifest["catalogue"]["events"], wanted["catalogue"]["events"]
    added = [name for name in new if name not in old]
    changed = [name for name in new if name in old and new[name] != old[name]]
    said = [
        f"{len(names)} {what} ({_some(names)})"
        for what, names in (("added", added), ("changed", changed))
        if names
    ]
    if said:
        warnings.warn(
            f"the catalogue has events {' and '.join(said)}; they are followed now, the others are kept",
            stacklevel=4,
        )


def _move_units(folder: RunFolder, events: list[Event]) -> None:
    """Give each unit the number that its event has in a changed catalogue."""
    wanted = {event.event: folder.unit(event.number) for event in events}
    notes = {path: read_note(path) or {} for path in folder.numbers()}
    moves = {path: wanted.get(note.get("event", ""), path) for path, note in notes.items()}
    moves = {path: target for path, target in moves.items() if path != target}
    while moves:
        free = [path for path, target in moves.items() if not target.exists()]
        if free:
            free[0].rename(moves.pop(free[0]))
        else:  # they stand in each other's place: one is made again
            path = next(iter(moves))
            path.unlink()
            del moves[path]


def _plan(
    folder: RunFolder, events: list[Event], timed: pd.DataFrame, settings: Settings
) -> tuple[list[tuple[Event, int, int, str]], dict[int, _Unit], list[Failure]]:
    """What is to be done (event, first and last row of the index, key), what is done, what cannot be."""
    days, digests = timed["mjd_tai"].to_numpy(), row_digests(timed)
    jobs, units, failures = [], {}, []
    for event in events:
        begin, end, why = _choose(event, days, settings)
        if why:
            failures.append(Failure(event.number, event.event, "", why))
            continue
        key = unit_key(event, digests[begin:end], settings)
        if (unit := _finished(folder.unit(event.number), key)) is not None:
            units[event.number] = unit
        else:
            jobs.append((event, begin, end, key))
    return jobs, units, failures


def _choose(event: Event, days: Any, settings: Settings) -> tuple[int, int, str]:
    """First and last row (exclusive) of the index that an event needs, or why it cannot start."""
    slack = settings.tolerance_days
    nearest = float(days[np.argmin(np.abs(days - event.mjd_tai))])
    if abs(nearest - event.mjd_tai) > slack:
        gap = abs(nearest - event.mjd_tai) * 24.0
        side = "after" if nearest > event.mjd_tai else "before"
        return 0, 0, (
            f"no image within {slack * 24:g} h of {event.time}; the nearest is {gap:.1f} h {side} it"
        )  # fmt: skip
    back = event.length_days if settings.both_ways else 0.0
    # Any image within the tolerance may turn out to be the start.
    first = np.searchsorted(days, event.mjd_tai - max(slack, back))
    last = np.searchsorted(days, event.mjd_tai + max(slack, event.length_days), side="right")
    return int(first), int(last), ""


def _finished(path: Path, key: str) -> _Unit | None:
    """What a finished unit's file says; None if there is none, it is damaged, or made of something else."""
    note = read_note(path)
    if note is None or note.get("key") != key or not is_whole(path):
        return None
    return _described(pq.read_metadata(path))


def _described(metadata: pq.FileMetaData) -> _Unit:
    return _Unit(metadata.num_rows, json.loads(metadata.metadata[NOTE])["errors"])


def _write_failures(path: Path, failures: list[Failure]) -> None:
    """Write the table of errors, in the order of the catalogue."""
    rows = [failure._asdict() for failure in sorted(failures, key=lambda failure: failure.number)]
    with replacing(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, _FAILURES), partial, compression="zstd")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
