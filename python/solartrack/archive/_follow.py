"""One event of a catalogue, from its first image to its last: the unit of work of `track_archive`."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import warnings
from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import solartrack
from solartrack import _workers, boxes, tracking
from solartrack import images as image_files
from solartrack._tables import ATTRS, attrs_json, with_units
from solartrack._workers import DIED, Workplace
from solartrack.archive._catalogue import Event
from solartrack.archive._folder import NOTE
from solartrack.archive._index import KNOWN_WARNINGS
from solartrack.coordinates import ImageGeometry, rotate_box
from solartrack.errors import ArchiveError, GeometryError, ImageError, TrackError
from solartrack.sequence import Frame, frames_from_table, geometry_numbers
from solartrack.tracking import Tracker
from solartrack.tracking.run import settings_of
from solartrack.tracking.table import UNITS

__all__ = ["Job", "Settings", "follow", "follow_all", "lost", "unit_key"]

_SCHEMA = with_units(
    pa.schema(
        [
            ("event", pa.string()),
            ("frame", pa.int64()),
            ("file", pa.string()),
            ("time", pa.timestamp("us")),
            *((name, pa.float64()) for name in ("days", "x0", "y0", "x1", "y1")),
            *((name, pa.float64()) for name in ("lon", "lat", "tx0", "ty0", "tx1", "ty1", "score")),
            *((name, pa.string()) for name in ("state", "message", "tracker")),
        ]
    ),
    UNITS,
)
_thread = threading.local()


class Settings(NamedTuple):
    """What all events have in common.

    Attributes
    ----------
    tracker : str or Tracker
    tracker_settings : dict
        What its ``settings()`` must say in every worker.
    tolerance_days : float
    both_ways : bool
    geometry : ImageGeometry or None
        Where the Sun is in all images, if their headers shall not say it.
    """

    tracker: str | Tracker
    tracker_settings: dict[str, Any]
    tolerance_days: float
    both_ways: bool
    geometry: ImageGeometry | None


class Job(NamedTuple):
    """A unit of work, small enough to be sent.

    Attributes
    ----------
    event : Event
    images : pandas.DataFrame
        The rows of the index that the event may need.
    settings : Settings
    key : str
        See `unit_key`.
    """

    event: Event
    images: pd.DataFrame
    settings: Settings
    key: str


def unit_key(event: Event, images: Iterable[bytes], settings: Settings) -> str:
    """Changes with everything that a unit's file depends on.

    Parameters
    ----------
    event : Event
    images : iterable of bytes
        Digests of its rows of the index.
    settings : Settings
    """
    place = settings.geometry and geometry_numbers(settings.geometry)
    tracker = settings.tracker if isinstance(settings.tracker, str) else settings.tracker.name
    common = (tracker, settings.tracker_settings, settings.tolerance_days, settings.both_ways, place)
    # Not its number: a unit stays good where events are added to the catalogue.
    about = json.dumps(
        [event._replace(number=0), *common, _SCHEMA.names, solartrack.__version__], default=str
    )
    return hashlib.sha256(about.encode() + b"".join(images)).hexdigest()


def follow(job: Job) -> bytes:
    """Follow one event and return the content of its file."""
    settings = job.settings
    tracker = _tracker(settings.tracker) if isinstance(settings.tracker, str) else settings.tracker
    if (own := tracker.settings()) != settings.tracker_settings:
        raise ArchiveError(
            f"the worker's tracker has the settings {own}, the run needs {settings.tracker_settings}; "
            "give all workers the same model, and a device that all have"
        )
    with warnings.catch_warnings():
        for category in KNOWN_WARNINGS:
            warnings.simplefilter("ignore", category)
        try:
            rows, errors = _rows(job.event, frames_from_table(job.images), tracker, settings)
        except (ImportError, MemoryError):  # not the event's fault
            raise
        except Exception as error:
            rows, errors = [], [("", f"{type(error).__name__}: {error}")]
    return _unit(job, rows, errors)


def lost(job: Job) -> bytes:
    """Content of the file of an event that kills the process that works on it."""
    return _unit(job, [], [("", DIED)])


def follow_all(
    jobs: Iterable[Job], place: Workplace, needs_file: str | None
) -> Generator[tuple[Job, bytes], None, None]:
    """Follow events wherever the work is done; yield each with the content of its file.

    An event that kills its worker is followed once more, without the images that kill one when they are
    read alone. So a crash in a decoder costs the file, by name, and not the events that pass it.
    """
    died: list[Job] = []
    with closing(_workers.run(follow, jobs, place, lost=lambda job: b"", needs_file=needs_file)) as results:
        for job, content in results:
            if content:
                yield job, content
            else:
                died.append(job)
    if not died:
        return
    images = pd.concat([job.images for job in died])
    files = list(dict.fromkeys(images["file"][images["trouble"] == ""])) if needs_file else []
    with closing(_workers.run(_survives, files, place, lost=lambda file: False)) as results:
        deadly = {file for file, survived in results if not survived}
    again = []
    for job in died:
        kills = job.images["file"].isin(deadly)
        if kills.any():
            trouble = job.images["trouble"].mask(kills, DIED)
            again.append(job._replace(images=job.images.assign(trouble=trouble)))
        else:
            yield job, lost(job)
    with closing(_workers.run(follow, again, place, lost=lost, needs_file=needs_file)) as results:
        yield from results


def _survives(file: str) -> bool:
    """Read a file's pixels; True unless that ends the process."""
    with suppress(Exception), warnings.catch_warnings():  # what is wrong with it is said where it is used
        warnings.simplefilter("ignore")
        image_files.read_pixels(file)
    return True


def _tracker(name: str) -> Tracker:
    """One for each thread, so that a network is loaded once; a tracker follows one region at a time."""
    made: dict[str, Tracker] = _thread.__dict__
    if name not in made:
        made[name] = tracking.make_tracker(name)
    return made[name]


def _rows(
    event: Event, images: list[Frame], tracker: Tracker, settings: Settings
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """The track, and the images that cost something: file and reason."""
    near = sorted(images, key=lambda image: abs(image.mjd_tai - event.mjd_tai))
    near = [image for image in near if abs(image.mjd_tai - event.mjd_tai) <= settings.tolerance_days]
    back = event.length_days if settings.both_ways else 0.0
    errors: list[tuple[str, str]] = []
    for first in near:
        if first.trouble:
            errors.append((first.file, f"{first.trouble} (the event's image: starting at the next nearest)"))
            continue
        used = [i for i in images if -back <= i.mjd_tai - event.mjd_tai <= event.length_days or i is first]
        try:
            box = _start_box(event, near[0], first, settings.geometry)
            rows = list(
                tracking.iter_track(
                    used,
                    box,
                    start=first.number,
                    tracker=tracker,
                    geometry=settings.geometry,
                    both_ways=settings.both_ways,
                )
            )
        except (TrackError, GeometryError) as error:
            errors.append((first.file, str(error)))
            if isinstance(error.__cause__, ImageError | OSError):
                continue  # its header is good, its pixels are not
            return [], errors
        named = {file for file, _ in errors}
        for row in rows:
            if row["state"] in tracking.UNUSABLE and row["file"] not in named:
                errors.append((row["file"], f"{row['state']}: {row['message']}"))
        return rows, errors
    return [], errors


def _start_box(event: Event, nominal: Frame, first: Frame, given: ImageGeometry | None) -> Any:
    """The event's box in the image that the track starts with; `nominal` is the one that it is given for."""
    geometry = given or nominal.geometry or first.geometry
    box: Any = event.box
    if event.in_arcsec:
        if geometry is None:
            raise TrackError("a box in arcsec needs an image that says where the Sun is; give the disk")
        box = boxes.from_arcsec(event.box, geometry)[0]
    if first is nominal:
        return box
    if geometry is None:
        raise TrackError("the event's image cannot be used, and without a disk its box fits no other")
    moved = rotate_box(box, first.mjd_tai - nominal.mjd_tai, geometry, given or first.geometry)
    if moved.off_disk:
        raise TrackError("the event's image cannot be used, and in the next one it is behind the limb")
    return moved.box


def _unit(job: Job, rows: list[dict[str, Any]], errors: list[tuple[str, str]]) -> bytes:
    """A track and what was wrong with its images, as a Parquet file."""
    rows = sorted(rows, key=lambda row: (row["days"], row["frame"]))
    note = {"event": job.event.event, "key": job.key, "errors": errors}
    table = pa.Table.from_pylist([{"event": job.event.event, **row} for row in rows], _SCHEMA)
    out = io.BytesIO()
    # The same in all units: who reads their folder as one table is told those of the first.
    settings = settings_of(job.settings.tracker_settings, job.settings.geometry)
    table = table.replace_schema_metadata({NOTE: json.dumps(note), ATTRS: attrs_json({"settings": settings})})
    pq.write_table(table, out, compression="zstd", write_page_checksum=True)  # see is_whole
    return out.getvalue()
