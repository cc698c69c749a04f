"""The loop: images in, one row per image out, whatever happens in the middle."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from inspect import signature
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from astropy.io.fits import Header
from astropy.time import Time, TimeDelta
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

import solartrack
from solartrack import boxes
from solartrack import images as image_files
from solartrack._arrays import Float64Array, as_box, as_pixels
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, TrackError, TrackWarning
from solartrack.tracking.ahead import Read, ReadAhead, Window
from solartrack.tracking.interface import FrameMeta, KnownImage, Step, Tracker
from solartrack.tracking.table import STATES, as_table

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

#: name -> where its class is; a new tracker is one file and one line here.
TRACKERS = {
    "solar": "solartrack.tracking.solar:SolarTracker",
    "rotation": "solartrack.tracking.rotation:RotationTracker",
    "goturn": "solartrack.tracking.goturn:GoturnTracker",
}

Images = str | os.PathLike[str] | Iterable[Any]
NOWHERE = np.full(4, np.nan)
_FROM_FILE = object()
# Pixels: farther out no box was ever meant, and arithmetic loses its pixels.
_FARTHEST = 1e9
_NO_GEOMETRY = "the image has no header that tells where the Sun is; give the disk"


class Frame(NamedTuple):
    """One image of the sequence, pixels not yet read."""

    meta: FrameMeta
    utc: datetime | None
    read: Read
    # (state, message) if it is known already that it cannot be tracked.
    trouble: tuple[str, str] | None
    # Why the header gives no geometry.
    no_geometry: str


def track(
    images: Images,
    box: ArrayLike | SkyCoord,
    *,
    start: int | str | None = None,
    tracker: str | Tracker = "solar",
    times: Any = None,
    cadence: Any = None,
    geometry: ImageGeometry | Sequence[ImageGeometry] | None = None,
    arcsec: bool = False,
    both_ways: bool = True,
    progress: bool = False,
) -> pd.DataFrame:
    """Follow a box through a sequence of images.

    Parameters
    ----------
    images : path, or iterable of paths, arrays, `SolarImage` or `KnownImage`
        A folder, a file, or many; FITS, PNG, JPG and JP2. Arrays of shape
        (ny, nx) need `times` or `cadence`, and `geometry`.
    box : array_like, shape (4,), or SkyCoord
        ``(x0, y0, x1, y1)`` on the start image, pixel edges of the array as stored;
        or sky coordinates that it shall enclose, such as two opposite corners.
    start : int or str, optional
        Frame number or file name of the start image; default the first in time whose
        header can be used.
        A frame's number is that in its file's name if all names are numbers
        (``006.png``), else its place in the order given, from 0.
    tracker : str or Tracker
        A name from `TRACKERS`, or an object with that interface, such as `make_tracker` gives
        for another model or device.
    times : sequence, optional
        One per image (astropy `Time`, ISO 8601 strings, ``datetime64``), UTC unless they
        say otherwise; None or NaT where unknown. Default: from the headers or file names.
    cadence : astropy Quantity, timedelta or str, optional
        The time from each image to the next, such as ``"4h"``; `times` may then be the
        time of the first one, in the order given.
    geometry : ImageGeometry or sequence of it, optional
        Where the Sun is, in all images or in each. Default: from the headers.
    arcsec : bool
        Whether `box` is helioprojective, ``(tx0, ty0, tx1, ty1)`` in arcsec.
    both_ways : bool
        Follow the box into images before the start image, too.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    pandas.DataFrame
        One row per image in the order of time, see `solartrack.tracking.COLUMNS`.
        An image that cannot be used costs its own row, whose ``state`` and
        ``message`` say why; see `STATES`.

    Raises
    ------
    TrackError
        If there are no images, the start image or box cannot be used, or the
        tracker lacks what it needs there.
    ValueError
        If the box is empty, inverted or not finite, or the numbers of images,
        times and geometries differ.
    ImportError
        If the tracker needs ONNX Runtime and it is not installed; "rotation" does not.
    """
    rows = iter_track(
        images, box, start=start, tracker=tracker, times=times, cadence=cadence,
        geometry=geometry, arcsec=arcsec, both_ways=both_ways, progress=progress,
    )  # fmt: skip
    return as_table(rows)


def iter_track(
    images: Images,
    box: ArrayLike | SkyCoord,
    *,
    start: int | str | None = None,
    tracker: str | Tracker = "solar",
    times: Any = None,
    cadence: Any = None,
    geometry: ImageGeometry | Sequence[ImageGeometry] | None = None,
    arcsec: bool = False,
    both_ways: bool = True,
    progress: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `track` as they are made, so that an interruption loses none.

    The order is that of the work: the start image, the later ones, then the
    earlier ones backwards. `solartrack.tracking.table.as_table` sorts them.
    """
    in_pixels = not arcsec and not hasattr(box, "transform_to")
    if in_pixels or arcsec:
        box = as_box(box)
    worker = make_tracker(tracker)
    frames = frames_of(images, worker.needs_sun, times, cadence, geometry, progress)
    at = start_index(frames, start)
    first = frames[at]
    must_be_usable(first)
    start_box = as_box(box) if in_pixels else _in_pixels(box, first, arcsec)
    must_touch(first, start_box)
    frames = [since(frame, first) for frame in frames]
    if isinstance(geometry, ImageGeometry):
        frames = [same_size(frame, first) for frame in frames]
    first = frames[at]
    settings = as_text(worker.settings(), first, geometry)

    forward = [frames[i] for i in range(at + 1, len(frames))]
    backward = [frames[i] for i in range(at - 1, -1, -1)] if both_ways else []
    with (
        tqdm(total=1 + len(forward) + len(backward), disable=not progress, unit="image") as bar,
        closing(ReadAhead(worker)) as ahead,
    ):
        for direction, part in enumerate((forward, backward)):
            if direction and not part:
                break
            failed, said = "", None
            try:
                image = ahead.get(first.meta, first.read, start_box) if worker.needs_pixels else None
                said = worker.init(image, start_box, first.meta)
            except Exception as error:
                if not direction and isinstance(error, GeometryError | ImageError | OSError):
                    raise TrackError(cannot_start(first, error)) from error
                if not direction:
                    raise
                failed = in_words(error)  # the later images' rows are made already
            before = first, Step(start_box, 1.0, "start", said if isinstance(said, str) else "")
            if not direction:
                yield as_row(*before, worker.name, settings)
                bar.update()
            for frame, following in zip_longest(part, part[1:]):
                if failed and not frame.trouble:
                    step = Step(NOWHERE, 0.0, "failed", failed)
                else:
                    step = _step(worker, frame, before, ahead, following)
                if step.state in ("tracked", "coasting", "lost", "off_disk"):
                    before = frame, step
                yield as_row(frame, step, worker.name, settings)
                bar.update()


def _step(
    worker: Tracker, frame: Frame, before: tuple[Frame, Step], ahead: ReadAhead, following: Frame | None
) -> Step:
    """One image; nothing that is wrong with it may reach the next."""
    known = without_looking(frame, before)
    if known:
        return known
    image = None
    try:
        if worker.needs_pixels:
            try:
                image = ahead.get(frame.meta, frame.read)
            except (ImageError, OSError) as error:
                return Step(NOWHERE, 0.0, "unreadable", str(error))
            if following and not following.trouble:
                ahead.start(following.meta, following.read)
        return checked(worker.update(image, frame.meta), frame.meta)
    except Exception as error:  # a tracker's fault must not cost the rows already made
        return Step(NOWHERE, 0.0, "failed", in_words(error))


def without_looking(frame: Frame, before: tuple[Frame, Step]) -> Step | None:
    """What can be said of an image by its header and the last one that was used; None if nothing."""
    if frame.trouble:
        return Step(NOWHERE, 0.0, *frame.trouble)
    previous, answer = before
    if frame.meta.days == previous.meta.days and (frame.meta.geometry, frame.meta.shape) == (
        previous.meta.geometry,
        previous.meta.shape,
    ):
        return Step(answer.box, answer.score, "repeated", f"same time as frame {previous.meta.frame}")
    return None


def checked(step: Step, meta: FrameMeta) -> Step:
    """Refuse an answer that is none, and say where a box is of no use."""
    box = np.asarray(step.box, dtype=np.float64)
    if box.shape != (4,) or np.isinf(box).any() or step.state not in STATES:
        raise TrackError(f"the tracker must give four numbers and a known state, got {step}")
    message = str(step.message)
    ny, nx = meta.shape
    if not message and (box[0] >= nx or box[1] >= ny or box[2] <= 0 or box[3] <= 0):
        message = "the box lies outside the image"
    return Step(box, float(step.score), step.state, message)


def as_row(frame: Frame, step: Step, tracker: str, settings: str) -> dict[str, Any]:
    """Put together a row of the table, see `COLUMNS`."""
    return {
        "frame": frame.meta.frame,
        "file": frame.meta.file,
        "time": frame.utc,
        "days": frame.meta.days,
        **dict(zip(("x0", "y0", "x1", "y1"), (float(v) for v in step.box), strict=True)),
        "score": float(step.score),
        "state": step.state,
        "message": step.message,
        "tracker": tracker,
        "settings": settings,
    }


def as_text(settings: dict[str, Any], first: Frame, geometry: Any) -> str:
    """All that makes a track repeatable, as JSON."""
    own = {
        "start": first.meta.frame,
        "geometry": "headers" if geometry is None else "given",
        "solartrack": solartrack.__version__,
    }
    return json.dumps({**settings, **own}, default=str)


def in_words(error: Exception) -> str:
    """Message of a failed image."""
    return f"{type(error).__name__}: {error}"


def cannot_start(first: Frame, why: object) -> str:
    """Message of a track that cannot begin."""
    return f"cannot start at {f'frame {first.meta.frame} {first.meta.file}'.rstrip()}: {why}"


def must_be_usable(first: Frame) -> None:
    """Refuse a start image of which it is known already that it cannot be tracked."""
    if first.trouble:
        raise TrackError(cannot_start(first, first.trouble[1]))


def must_touch(first: Frame, box: Float64Array) -> None:
    """Refuse a box that lies outside its start image, or is absurdly large."""
    ny, nx = first.meta.shape
    if box[0] >= nx or box[1] >= ny or box[2] <= 0 or box[3] <= 0:
        raise TrackError(
            f"the box {box.tolist()} lies outside the start image, which is {nx} x {ny} pixels; "
            "boxes are (x0, y0, x1, y1) with the first stored row at y = 0"
        )
    if np.abs(box).max() > _FARTHEST:
        raise TrackError(f"the box must lie within {_FARTHEST:g} pixels of the image, got {box.tolist()}")


def _in_pixels(box: Any, first: Frame, arcsec: bool) -> Float64Array:
    """A box in arcsec or sky coordinates, in pixels of the start image."""
    if first.meta.geometry is None:
        raise TrackError(f"the box is in sky coordinates, but {first.no_geometry or _NO_GEOMETRY}")
    if arcsec:
        return as_box(boxes.from_arcsec(box, first.meta.geometry))
    return as_box(boxes.from_skycoord(box, first.meta.geometry))


def make_tracker(tracker: str | Tracker, **options: Any) -> Tracker:
    """Tracker of a name in `TRACKERS`; one that is made already passes.

    Parameters
    ----------
    tracker : str or Tracker
    **options
        For its class, such as ``model`` and ``device`` of "solar" and "goturn".

    Returns
    -------
    Tracker

    Raises
    ------
    TrackError
        If there is no such tracker, or it does not have such an option.
    ModelError, DeviceError, ImportError
        See `solartrack.tracking.solar.SolarTracker`.
    """
    if not isinstance(tracker, str):
        if options:
            raise TrackError(
                f"{', '.join(options)}: give the name of a tracker, not one that is made already"
            )
        return tracker
    try:
        module, _, name = TRACKERS[tracker].partition(":")
    except KeyError:
        raise TrackError(f"tracker must be one of {', '.join(TRACKERS)}, got {tracker!r}") from None
    kind = getattr(import_module(module), name)
    if unknown := set(options) - set(signature(kind).parameters):
        raise TrackError(f"the tracker {tracker!r} has no {' or '.join(sorted(unknown))}; leave it out")
    try:
        made: Tracker = kind(**options)
    except ImportError as error:
        if error.name != "onnxruntime":
            raise
        raise ImportError(
            f"the tracker {tracker!r} runs a network: {error}; "
            "or follow the Sun's rotation alone, which needs none: tracker 'rotation' (--tracker rotation)",
            name=error.name,
        ) from error
    return made


def _items(images: Images) -> list[Any]:
    """The images one by one; folders and patterns expanded, the order given kept."""
    if isinstance(images, str | os.PathLike):
        return list(image_files.find_images([images]))
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 3 else [images]
    items: list[Any] = []
    for item in images:
        if (
            isinstance(item, str | os.PathLike)
            and not Path(item).is_file()
            and (Path(item).is_dir() or any(c in os.fspath(item) for c in "*?["))
        ):
            items += image_files.find_images([item])
        else:
            items.append(item)  # a file that is not there keeps its place: its row will say so
    return items


def frames_of(
    images: Images, needs_sun: bool, times: Any, cadence: Any, geometry: Any, progress: bool
) -> list[Frame]:
    """All images with what is known of them, in the order of time."""
    items = _items(images)
    if not items:
        where = f" in {os.fspath(images)}" if isinstance(images, str | os.PathLike) else ""
        raise TrackError(f"no images found{where}; expected FITS, PNG, JPG or JP2 files")
    count = len(items)
    given_times = _times(times, cadence, count)
    if geometry is None or isinstance(geometry, ImageGeometry):
        places = [geometry] * count
    else:
        places = list(geometry)
        if len(places) != count:
            raise ValueError(f"geometry must be one or one per image, got {len(places)} for {count} images")

    frames = []
    shown = tqdm(items, disable=not progress, unit="header", leave=False)
    for item, number, time, place in zip(shown, frame_numbers(items), given_times, places, strict=True):
        frame = _frame(item, number, look_for_sun=geometry is None)
        no_time = "the image has no time; give times or a cadence"
        if time is not _FROM_FILE:
            when = time if isinstance(time, Time) else None
            days = time if isinstance(time, float) else _mjd(when)
            frame = frame._replace(meta=frame.meta._replace(days=days), utc=_utc(when))
            no_time = time if isinstance(time, str) else no_time
        if geometry is not None:
            frame = frame._replace(meta=frame.meta._replace(geometry=place))
        if needs_sun and not frame.trouble:
            if frame.meta.geometry is None:
                frame = frame._replace(trouble=("no_geometry", frame.no_geometry or _NO_GEOMETRY))
            elif not np.isfinite(frame.meta.days):
                frame = frame._replace(trouble=("no_time", no_time))
        frames.append(frame)

    # In the order of time; an image without a time stays behind its predecessor.
    keys: list[float] = []
    for frame in frames:
        known = np.isfinite(frame.meta.days)
        keys.append(frame.meta.days if known else (keys[-1] if keys else -np.inf))
    return [frames[i] for i in np.argsort(keys, kind="stable")]


def look(path: str | os.PathLike[str], frame: int, *, look_for_sun: bool = True) -> KnownImage:
    """Read what an image's header tells; if it cannot be read, `trouble` says why.

    Parameters
    ----------
    path : path
        Of any format that `solartrack.images` reads.
    frame : int
        Frame number to give it.
    look_for_sun : bool
        Whether to look for the geometry, too.

    Returns
    -------
    KnownImage
    """
    file = os.fspath(path)
    try:
        header, time = image_files.read_header(file)
        shape = int(header["NAXIS2"]), int(header["NAXIS1"])
    except (ImageError, OSError, KeyError, TypeError, ValueError) as error:
        return KnownImage(frame, file, None, np.nan, None, (0, 0), str(error))
    geometry, why = _geometry(header) if look_for_sun else (None, "")
    return KnownImage(frame, file, _utc(time), _mjd(time), geometry, shape, "", why)


def _frame(item: Any, number: int, *, look_for_sun: bool) -> Frame:
    """What is known of an image; pixels are left where they are."""
    if isinstance(item, str | os.PathLike):
        item = look(item, number, look_for_sun=look_for_sun)
    if isinstance(item, KnownImage):
        known = item

        def read_file(window: Window | None) -> NDArray[Any]:
            part = as_pixels(image_files.read(known.file, window=window).array)
            if window is None:
                return part
            whole = np.zeros(known.shape, part.dtype)  # pages that are never touched cost nothing
            whole[window[1] : window[3], window[0] : window[2]] = part
            return whole

        meta = FrameMeta(known.frame, known.file, known.days, known.geometry, known.shape)
        trouble = ("unreadable", known.trouble) if known.trouble else None
        return Frame(meta, known.time, read_file, trouble, known.no_geometry)

    array, header, time = item if isinstance(item, tuple) and len(item) == 3 else (item, None, None)
    geometry, no_geometry = None, _NO_GEOMETRY
    try:
        array = as_pixels(array)
        shape, trouble = (array.shape[0], array.shape[1]), None
    except (TypeError, ValueError) as error:
        shape, trouble = (0, 0), ("unreadable", str(error))
    if header is not None and not trouble and look_for_sun:
        geometry, no_geometry = _geometry(header)
    meta = FrameMeta(number, "", _mjd(time), geometry, shape)
    return Frame(meta, _utc(time), lambda _: array, trouble, no_geometry)


def _geometry(header: Header) -> tuple[ImageGeometry | None, str]:
    """Where the Sun is, or why that is not known."""
    if "CTYPE1" not in header:
        return None, _NO_GEOMETRY
    try:
        return ImageGeometry.from_header(header), ""
    except (GeometryError, ImportError) as error:  # without sunpy a missing B0 stays missing
        return None, str(error)


def _utc(time: Time | None) -> datetime | None:
    if time is None:
        return None
    moment: datetime
    try:
        moment = time.utc.to_datetime()
    except ValueError:  # within a leap second, which a datetime cannot hold: the moment before
        moment = (time - TimeDelta(1.0, format="sec")).utc.to_datetime()
        moment = moment.replace(second=59, microsecond=999999)
    return moment


def _mjd(time: Time | None) -> float:
    return np.nan if time is None else float(time.tai.mjd)


def since(frame: Frame, first: Frame) -> Frame:
    """Count the days from the start image."""
    return frame._replace(meta=frame.meta._replace(days=frame.meta.days - first.meta.days))


def same_size(frame: Frame, first: Frame) -> Frame:
    """A disk that was given once holds for images of the start image's size only."""
    if frame.trouble or frame.meta.shape == first.meta.shape:
        return frame
    (ny, nx), (rows, columns) = frame.meta.shape, first.meta.shape
    why = (
        f"the image is {nx} x {ny} pixels, the start image, for which the disk was given, {columns} x {rows}"
    )
    return frame._replace(trouble=("wrong_size", why))


def _times(times: Any, cadence: Any, count: int) -> list[Any]:
    """For each image: its `Time`, None, days since the first one, what is wrong, or `_FROM_FILE`."""
    single = isinstance(times, str | np.datetime64 | datetime) or (isinstance(times, Time) and times.isscalar)
    if cadence is not None:
        step = as_days(cadence, "cadence")
        if times is None:
            return [step * i for i in range(count)]
        if not single:
            raise ValueError("with a cadence, times may only be the time of the first image")
        first = _time(times)
        if not isinstance(first, Time):
            raise ValueError(first or f"times must be a date such as 2014-02-03T02:08:47, got {times!r}")
        return list(first + TimeDelta(step * np.arange(count), format="jd"))
    if times is None:
        return [_FROM_FILE] * count
    values = [times] if single else list(times)
    if len(values) != count:
        raise ValueError(f"times must have one entry per image, got {len(values)} for {count} images")
    return [_time(value) for value in values]


def _time(value: Any) -> Time | str | None:
    """UTC, None where there is none, or a text that says what is wrong with it."""
    if isinstance(value, str):
        value = value.strip()
        if value.lower() in ("", "nan", "nat", "none"):
            return None
    elif value is None or (not isinstance(value, Time) and pd.isna(value)):
        return None
    try:
        if not isinstance(value, str | datetime):
            return Time(value) if not isinstance(value, np.datetime64) else Time(value, scale="utc")
        if isinstance(value, str):
            try:
                return Time(value.removesuffix("Z"), scale="utc")
            except ValueError:
                value = datetime.fromisoformat(value)  # has a time zone, or is no date
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return Time(value, scale="utc")
    except ValueError:
        return f"times must be dates such as 2014-02-03T02:08:47, got {value!r}"


def as_days(length: Any, name: str) -> float:
    """A length of time (astropy Quantity, timedelta or text such as "4h") in days; positive."""
    if hasattr(length, "to_value"):
        days = float(length.to_value("day"))
    elif isinstance(length, timedelta | str | np.timedelta64):
        try:
            # Without a unit pandas takes it for nanoseconds.
            if isinstance(length, str) and not re.search("[a-zA-Z:]", length):
                raise ValueError("it has no unit")
            if isinstance(length, np.timedelta64) and np.datetime_data(length.dtype)[0] == "generic":
                raise ValueError("it has no unit")
            if isinstance(length, str):
                length = re.sub(r"(?<=[\d ])d(?![a-z])", "D", length)  # pandas 4 will not take 4d
            days = pd.Timedelta(length) / pd.Timedelta(days=1)
        except ValueError as error:
            raise ValueError(
                f"{name} must be a length of time such as '4h' or '12min', got {length!r}"
            ) from error
    else:
        raise TypeError(f"{name} must be a Quantity, timedelta or string such as '4h', got {length!r}")
    if not np.isfinite(days) or days <= 0:
        raise ValueError(f"{name} must be positive, got {length!r}")
    return days


def frame_numbers(items: Sequence[Any]) -> list[int]:
    """Frame number of each image: the number that is its name if all names are, else its place from 0.

    Warns
    -----
    TrackWarning
        If most names are numbers, but not all.
    """
    if all(isinstance(item, str | os.PathLike) for item in items):
        stems = [Path(item).stem for item in items]
        numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
        if len(set(numbers)) == len(stems):
            return numbers
        if len(stems) // 2 < len(numbers) < len(stems):
            odd = next(stem for stem in stems if not (stem.isascii() and stem.isdigit()))
            warnings.warn(
                f"{len(numbers)} of {len(stems)} file names are numbers, but not all ({odd}): "
                "the frames are numbered by their place, from 0",
                TrackWarning,
                stacklevel=2,
            )
    return list(range(len(items)))


def start_index(frames: list[Frame], start: int | str | None) -> int:
    """Place of the start image in the sequence."""
    if start is None:
        return next((i for i, frame in enumerate(frames) if not frame.trouble), 0)
    for index, frame in enumerate(frames):
        if isinstance(start, str):
            if frame.meta.file and start in (frame.meta.file, Path(frame.meta.file).name):
                return index
        elif frame.meta.frame == start:
            return index
    known = [(isinstance(start, str) and Path(f.meta.file).name) or f.meta.frame for f in frames[:5]]
    more = ", ..." if len(frames) > 5 else ""
    raise TrackError(f"there is no frame {start!r} to start at; there are {', '.join(map(str, known))}{more}")
