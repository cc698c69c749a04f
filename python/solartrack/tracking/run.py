"""Follow a region, or many, through a sequence of images."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

import solartrack
from solartrack import boxes as box_conventions
from solartrack._arrays import Float64Array, as_box, as_boxes
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, TrackError, TrackWarning
from solartrack.inference import Model
from solartrack.segmentation import KINDS
from solartrack.sequence import Frame, Images, as_days, frames_of
from solartrack.tracking.census import Census
from solartrack.tracking.interface import Tracker
from solartrack.tracking.loop import Loop, Track, Trouble, cannot_start, trouble_of
from solartrack.tracking.network import NetworkTracker
from solartrack.tracking.table import as_table
from solartrack.tracking.trackers import make_tracker

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = ["iter_track", "iter_track_all", "track", "track_all", "track_many"]

#: A start image: its frame number, or its file name or path; None for the first that can be used.
Start = int | str | os.PathLike[str] | None

_BOX = ["x0", "y0", "x1", "y1"]
# Pixels: farther out no box was ever meant, and arithmetic loses its pixels.
_FARTHEST = 1e9


def track(
    images: Images,
    box: ArrayLike | SkyCoord,
    *,
    start: Start = None,
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
    images : path, or iterable of paths, arrays, `SolarImage`, sunpy Maps or `solartrack.sequence.Frame`
        A folder, a file, or many; FITS, PNG, JPG and JP2. Arrays of shape
        (ny, nx) need `times` or `cadence`, and `geometry`.
    box : array_like, shape (4,), Quantity, SkyCoord or pandas.Series
        ``(x0, y0, x1, y1)`` on the start image, pixel edges of the array as stored; with the unit
        arcsec, ``(tx0, ty0, tx1, ty1)``; sky coordinates that it has to enclose, such as two opposite
        corners, see `solartrack.boxes.from_skycoord`; or a row of a track, whose ``frame`` is then the
        start image unless `start` says another.
    start : int, str or path, optional
        Frame number, file name or path of the start image; default the first in time whose
        header can be used. An image's frame number is the number in its file's name if all names
        are numbers (``006.png``), else its place in the order given, from 0.
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
        ``message`` say why; see `STATES`. Its ``attrs["settings"]`` tell the settings of the tracker,
        with its model, and the version.

    Raises
    ------
    TrackError
        If there are no images, the start image or box cannot be used, or the
        tracker lacks what it needs there.
    ValueError
        If the box is empty, inverted or not finite, or the numbers of images,
        times and geometries differ.
    ImportError
        If the tracker needs ONNX Runtime and it is not installed; "rotation" and
        "rectangle" do not.

    Warns
    -----
    TrackWarning
        If the region is followed without the Sun's rotation, since its start image has
        no time or geometry.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> table = tracking.track(demo.AIA_IMAGES, demo.AIA_BOX, tracker="rotation")
    >>> table[["x0", "y0", "x1", "y1", "state"]].round(1).head(3)
          x0     y0     x1     y1    state
    0  225.0  267.5  302.5  335.0    start
    1  255.8  266.5  331.9  335.1  tracked
    2  285.1  265.2  359.3  335.0  tracked
    """
    loop = _prepare_one(images, box, start, tracker, times, cadence, geometry, arcsec, progress)
    return as_table(_without_id(loop.rows(both_ways)))


def iter_track(
    images: Images,
    box: ArrayLike | SkyCoord,
    *,
    start: Start = None,
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
    earlier ones backwards. `solartrack.tracking.as_table` sorts them. Arguments that
    `track` would refuse are refused before the first row.

    Parameters
    ----------
    images, box, start, tracker, times, cadence, geometry, arcsec, both_ways, progress
        As for `track`.

    Yields
    ------
    dict
        A row: a value for each of `COLUMNS`, and the same ``settings`` (dict) in each.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> rows = tracking.iter_track(demo.AIA_IMAGES, demo.AIA_BOX, tracker="rotation")
    >>> first = next(rows)
    >>> first["frame"], first["state"]
    (0, 'start')
    """
    loop = _prepare_one(images, box, start, tracker, times, cadence, geometry, arcsec, progress)
    return _without_id(loop.rows(both_ways))


def track_many(
    images: Images,
    boxes: ArrayLike | pd.DataFrame,
    *,
    start: Start = None,
    tracker: str | Tracker = "solar",
    times: Any = None,
    cadence: Any = None,
    geometry: ImageGeometry | Sequence[ImageGeometry] | None = None,
    arcsec: bool = False,
    both_ways: bool = True,
    progress: bool = False,
) -> pd.DataFrame:
    """Follow many regions through a sequence of images at once.

    Each region is followed as `track` would follow it, but every image is read once for all
    of them, and a network sees all regions of an image in one batch.

    Parameters
    ----------
    images : path, or iterable of paths, arrays, `SolarImage`, sunpy Maps or `solartrack.sequence.Frame`
        As for `track`.
    boxes : array_like, shape (n, 4), or pandas.DataFrame
        ``(x0, y0, x1, y1)`` on the start image, pixel edges. A table has the columns ``x0``, ``y0``,
        ``x1``, ``y1`` and may have ``id``, distinct whole numbers, default 0 to n-1, and
        ``frame``, each region's own start image as for `start` (where it is missing, `start`).
    start, tracker, times, cadence, geometry, arcsec, progress : optional
        As for `track`.
    both_ways : bool
        Follow each region into images before its start image, too.

    Returns
    -------
    pandas.DataFrame
        ``id`` and `COLUMNS`, by id and time: a row for each region and image, without
        `both_ways` from the region's start image on. An image that cannot be used costs its own
        rows, whose ``state`` and ``message`` say why. A region whose start image turns out to be
        broken has only such rows.

    Raises
    ------
    TrackError
        If there are no images, or a region's start image or box cannot be used; the region is named.
    ValueError
        If there are no boxes, one is empty, inverted or not finite, or ids occur twice.
    TypeError
        If ids are not whole numbers.
    ModelError, DeviceError, ImportError
        If the tracker's model cannot be used, see `solartrack.tracking.solar.SolarTracker`.

    Warns
    -----
    TrackWarning
        Once, if regions are followed without the Sun's rotation since their start images have no
        time or geometry.

    Notes
    -----
    A track keeps its id: nothing is matched from image to image. Regions that pass one another
    stay apart since each has its own rectangle in latitude and longitude, rotating with the Sun.

    When two regions merge, both tracks come to hold the same. With trackers that know rectangles ("solar",
    "rectangle") a track then ends, with the state "merged" and the message "into ID", once an older track
    that is recognised has contained it in three used images in a row: the share of the younger one's
    rectangle that is inside the older one's has risen by half since they met, or the two have become
    alike, with an IoU of 0.8. Older means the earlier start, then the larger start box. What counts is
    the rise, so a spot that is given beside its group is followed to the end; and the overlap of the
    rectangles, since near the limb the boxes of neighbours cover one another. An older track that is
    contained by a larger younger one does not end, and neither does the younger, until the older one
    has grown as well. Backwards in time the same holds, and the message is "out of ID".

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> boxes = [demo.AIA_BOX, (150, 250, 200, 300)]
    >>> table = tracking.track_many(demo.AIA_IMAGES, boxes, tracker="rotation")
    >>> table.groupby("id").size().tolist()
    [8, 8]
    """
    if not isinstance(boxes, pd.DataFrame):
        boxes, arcsec = _without_unit(boxes, arcsec)
    ids, given, starts = _regions(boxes, start)
    loop = _prepare(
        images, ids, given, starts, tracker, times, cadence, geometry, arcsec, progress, named=True
    )  # fmt: skip
    return as_table(loop.rows(both_ways), many=True)


def track_all(
    images: Images,
    kind: str = "active_region",
    *,
    every: Any = "6h",
    tracker: str | Tracker | None = None,
    times: Any = None,
    cadence: Any = None,
    geometry: ImageGeometry | Sequence[ImageGeometry] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Find all active regions or all coronal holes, and follow each from its first image to its last.

    Parameters
    ----------
    images : path, or iterable of paths, arrays, `SolarImage`, sunpy Maps or `solartrack.sequence.Frame`
        As for `track`: EUV images of the whole Sun, of one channel.
    kind : {"active_region", "coronal_hole"}
        As for `detect`.
    every : astropy Quantity, timedelta or str
        Regions are looked for in the first image and then at least this long after each search; in images
        without a time always. A search takes about a second, while the tracker goes on.
    tracker : str or Tracker, optional
        As for `track`. Default: "solar" for active regions, "segmentation" for coronal holes.
    times, cadence, geometry, progress : optional
        As for `track`.

    Returns
    -------
    pandas.DataFrame
        ``id`` and `COLUMNS`, by id and time: rows of each region from the image in which it was found
        first (state "start") to the one in which it ends. There are no rows if the Sun is quiet.

    Raises
    ------
    TrackError
        If there are no images, or none of them can be searched.
    ValueError
        If there is no such kind, or the numbers of images, times and geometries differ.
    ImportError
        If scikit-image is not installed, or the tracker needs ONNX Runtime and it is not.
    ModelError, DeviceError
        If the tracker's model cannot be used, see `solartrack.tracking.solar.SolarTracker`.

    Warns
    -----
    TrackWarning
        At the end, if images could not be searched (rows of regions in them say so, too), or the tracker
        could not begin with what was found, such as the hole at a pole.

    Notes
    -----
    Images are searched with `detect`, in which the tracker's network draws the boxes of active regions; with
    a tracker that has none they are those of the segmentation. What is found is matched with the boxes of the
    running tracks in the same image, so that the sum of IoU is largest, from an IoU of 0.2 on.

    * Of the first search, everything becomes a track. Later what matches no track does so if it is
      found in two searches in a row, at once if its score is above 0.7 or it is at the eastern limb.
    * What matches no track but lies by half in one is a part that has split off: after two searches it is a
      track with the message "out of ID".
    * A track that matches nothing in three searches in a row ends, state "lost": the region has decayed.
      Its last row is that of the first of these searches, without a box.
      Searches in which it is at the western limb do not count, nor those in which it is by half inside of
      what is found, or the other way round.
    * It ends as "merged" as in `track_many`, and as "off_disk" behind the limb; a region that comes back
      after half a rotation has a new id.

    An image that cannot be searched, since it is broken, of another channel than most, or shows too little
    of the disk, ends nothing: the tracks go on without it.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> table = tracking.track_all(demo.AIA_IMAGES, tracker="rotation", every="2d")
    >>> table.loc[table["state"] == "start", ["id", "frame", "lon", "lat"]].round().head(2)
       id  frame  lon  lat
    0   0      0 -3.0 -8.0
    8   1      0  7.0 -3.0
    """
    return as_table(
        iter_track_all(
            images,
            kind,
            every=every,
            tracker=tracker,
            times=times,
            cadence=cadence,
            geometry=geometry,
            progress=progress,
        ),
        many=True,
    )


def iter_track_all(
    images: Images,
    kind: str = "active_region",
    *,
    every: Any = "6h",
    tracker: str | Tracker | None = None,
    times: Any = None,
    cadence: Any = None,
    geometry: ImageGeometry | Sequence[ImageGeometry] | None = None,
    progress: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `track_all` as they are made, so that an interruption loses none.

    They come in the order of the images, but those of a region that has to be found again wait for that.
    Arguments that `track_all` would refuse are refused before the first row.

    Parameters
    ----------
    images, kind, every, tracker, times, cadence, geometry, progress
        As for `track_all`.

    Yields
    ------
    dict
        A row: ``id``, a value for each of `COLUMNS`, and the same ``settings`` (dict) in each.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> rows = tracking.iter_track_all(demo.AIA_IMAGES, tracker="rotation", every="2d")
    >>> first = next(rows)
    >>> first["id"], first["frame"], first["state"]
    (0, 0, 'start')
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    every_days = as_days(every, "every")
    if tracker is None:
        tracker = "solar" if kind == "active_region" else "segmentation"
    made = make_tracker(tracker, kind=kind) if tracker == "segmentation" else make_tracker(tracker)
    frames = frames_of(images, times=times, cadence=cadence, geometry=geometry, progress=progress)
    troubles = [trouble_of(frame, made) for frame in frames]
    if all(troubles):
        raise TrackError(cannot_start(frames[0], troubles[0].message if troubles[0] else ""))
    one_disk = isinstance(geometry, ImageGeometry)
    shape = frames[[bool(trouble) for trouble in troubles].index(False)].shape
    usable = [
        not trouble and (frame.shape == shape or not one_disk)
        for frame, trouble in zip(frames, troubles, strict=True)
    ]
    loop = Loop(
        made,
        frames,
        troubles,
        [],
        one_disk=one_disk,
        progress=progress,
        census=Census(kind, frames, usable, every_days, _detector(made)),
        settings=settings_of(made.settings(), geometry, kind=kind, every_days=every_days),
    )
    other_size = "the image is of another size than the one the disk was given for"
    loop.unsearched += [
        (frame, other_size)
        for frame, trouble, used in zip(frames, troubles, usable, strict=True)
        if not (trouble or used)
    ]
    return _searched(loop)


def _detector(tracker: Tracker) -> Model | None:
    """The tracker's network, if it has one that also finds regions; else boxes are of the segmentation."""
    if isinstance(tracker, NetworkTracker) and not tracker.network.needs_template:
        return tracker.network.model
    return None


def _searched(loop: Loop) -> Iterator[dict[str, Any]]:
    """Rows of a loop with a census; says at the end what could not be searched or begun."""
    yield from loop.rows(False)
    if loop.unsearched:
        frame, why = loop.unsearched[0]
        first = f"{f'frame {frame.number} {frame.file}'.rstrip()}: {why}"
        if not loop.searches:
            raise TrackError(f"no image could be searched; {first}")
        warnings.warn(
            f"{len(loop.unsearched)} images could not be searched, the first: {first}",
            TrackWarning,
            stacklevel=2,
        )
    if loop.refused:
        warnings.warn(
            f"{len(loop.refused)} times the tracker could not begin with what was found, the first in "
            f"{loop.refused[0]}",
            TrackWarning,
            stacklevel=2,
        )


def _without_id(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    try:
        for row in rows:
            del row["id"]
            yield row
    finally:
        rows.close()  # type: ignore[attr-defined]


def _prepare_one(
    images: Images,
    box: ArrayLike | SkyCoord,
    start: Start,
    tracker: str | Tracker,
    times: Any,
    cadence: Any,
    geometry: Any,
    arcsec: bool,
    progress: bool,
) -> Loop:
    if isinstance(box, pd.Series) and set(_BOX) <= set(box.index):  # a row of a track
        if start is None and "frame" in box:
            start = _start(box["frame"], None)
        box = box[_BOX].to_numpy(np.float64)
    if not hasattr(box, "transform_to"):  # no SkyCoord
        box, arcsec = _without_unit(box, arcsec)
        box = as_box(box)
    return _prepare(
        images, [0], [box], [start], tracker, times, cadence, geometry, arcsec, progress, named=False
    )  # fmt: skip


def _prepare(
    images: Images,
    ids: Sequence[int],
    boxes: Sequence[Any],
    starts: Sequence[Start],
    tracker: str | Tracker,
    times: Any,
    cadence: Any,
    geometry: Any,
    arcsec: bool,
    progress: bool,
    *,
    named: bool,
) -> Loop:
    """All that can be known before a pixel is read; errors name the region if there may be several."""
    made = make_tracker(tracker)
    frames = frames_of(images, times=times, cadence=cadence, geometry=geometry, progress=progress)
    troubles = [trouble_of(frame, made) for frame in frames]
    settings = settings_of(made.settings(), geometry)
    tracks = []
    for number, box, start in zip(ids, boxes, starts, strict=True):
        try:
            tracks.append(_begin(made, number, box, start, frames, troubles, arcsec, settings))
        except TrackError as error:
            raise TrackError(f"region {number}: {error}" if named else str(error)) from error.__cause__
    plain = [why for t in tracks if (why := getattr(t.region, "without_rotation", ""))]
    if plain:
        who = f"{len(plain)} of {len(tracks)} regions are" if named else "the region is"
        warnings.warn(
            f"{plain[0]}: {who} followed without the Sun's rotation, which is far less reliable; "
            "give times and the disk",
            TrackWarning,
            stacklevel=3 if named else 4,
        )
    one_disk = isinstance(geometry, ImageGeometry)
    return Loop(made, frames, troubles, tracks, one_disk=one_disk, progress=progress)


def _begin(
    tracker: Tracker,
    number: int,
    box: Any,
    start: Start,
    frames: Sequence[Frame],
    troubles: Sequence[Trouble | None],
    arcsec: bool,
    settings: dict[str, Any],
) -> Track:
    """A track at its start image."""
    at = _start_index(frames, troubles, start)
    first, trouble = frames[at], troubles[at]
    if trouble:
        raise TrackError(cannot_start(first, trouble.message))
    in_pixels = _in_pixels(box, first, arcsec)
    _must_touch(first, in_pixels)
    try:
        region = tracker.new_region(in_pixels, first)
    except (GeometryError, ImageError, OSError) as error:
        raise TrackError(cannot_start(first, error)) from error
    return Track(number, in_pixels, at, region, settings)


def settings_of(tracker: dict[str, Any], geometry: Any, **more: Any) -> dict[str, Any]:
    """What a table says about how it was made, in the types of JSON.

    Parameters
    ----------
    tracker : dict
        Its ``settings()``.
    geometry : object
        What was given; None if the headers say where the Sun is.
    **more
        Further settings.
    """
    settings = {
        **tracker,
        **more,
        "geometry": "headers" if geometry is None else "given",
        "solartrack": solartrack.__version__,
    }
    told: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return told


def _without_unit(boxes: Any, arcsec: bool) -> tuple[Any, bool]:
    """Boxes as plain numbers, and whether these are arcsec; a Quantity says that itself."""
    if isinstance(boxes, list | tuple) and any(hasattr(value, "to_value") for value in boxes):
        boxes = type(next(v for v in boxes if hasattr(v, "to_value")))(list(boxes))
    if not hasattr(boxes, "to_value"):
        return boxes, arcsec
    unit = str(boxes.unit)
    if unit in ("arcsec", "arcmin"):
        return boxes.to_value("arcsec"), True
    if unit in ("pix", "pixel") and not arcsec:
        return boxes.to_value(boxes.unit), False
    raise ValueError(
        f"a box must be in pixels or arcsec, got the unit {unit!r}; give heliographic degrees as a SkyCoord "
        "of two opposite corners"
    )


def _start_index(frames: Sequence[Frame], troubles: Sequence[Trouble | None], start: Start) -> int:
    """Place of the start image in the sequence."""
    if start is None:
        return next((i for i, trouble in enumerate(troubles) if not trouble), 0)
    name = os.fspath(start) if isinstance(start, str | os.PathLike) else None
    for index, frame in enumerate(frames):
        if name is not None:
            if frame.file and name in (frame.file, Path(frame.file).name):
                return index
        elif frame.number == start:
            return index
    by_name = name is not None
    known = [(by_name and Path(f.file).name) or f.number for f in frames[:5]]
    more = ", ..." if len(frames) > 5 else ""
    named = all(Path(f.file).stem.isdigit() for f in frames)
    source = " (the numbers in the file names)" if named and not by_name else ""
    asked = start if name is None else name
    listed = ", ".join(map(str, known))
    raise TrackError(f"there is no frame {asked!r} to start at; there are {listed}{more}{source}")


def _in_pixels(box: Any, first: Frame, arcsec: bool) -> Float64Array:
    """A box in pixels of the start image."""
    sky = hasattr(box, "transform_to")
    if not (arcsec or sky):
        return as_box(box)
    if first.geometry is None:
        why = first.no_geometry or "the image has no header that tells where the Sun is; give the disk"
        raise TrackError(f"the box is in sky coordinates, but {why}")
    if not sky:
        return as_box(box_conventions.from_arcsec(box, first.geometry))
    try:
        return as_box(box_conventions.from_skycoord(box, first.geometry, first.time))
    except ValueError as error:
        raise TrackError(f"the box, in sky coordinates, cannot be used: {error}") from error


def _named(frame: Frame) -> str:
    return f" ({frame.file})" if frame.file else ""


def _must_touch(first: Frame, box: Float64Array) -> None:
    """Refuse a box that lies outside its start image, or is absurdly large."""
    ny, nx = first.shape
    if box[0] >= nx or box[1] >= ny or box[2] <= 0 or box[3] <= 0:
        raise TrackError(
            f"the box {box.round(2).tolist()} lies outside the start image, which is {nx} x {ny} "
            f"pixels{_named(first)}; "
            "boxes are (x0, y0, x1, y1) with the first stored row at y = 0"
        )
    if np.abs(box).max() > _FARTHEST:
        raise TrackError(f"the box must lie within {_FARTHEST:g} pixels of the image, got {box.tolist()}")


def _regions(
    boxes: ArrayLike | pd.DataFrame, start: Start
) -> tuple[list[int], list[Float64Array], list[Start]]:
    """Ids, boxes and start images, in the order of the ids."""
    if isinstance(boxes, pd.DataFrame):
        missing = [column for column in _BOX if column not in boxes]
        if missing:
            raise ValueError(f"boxes needs the columns x0, y0, x1, y1; missing: {', '.join(missing)}")
        rows = boxes[_BOX].to_numpy()
        names = boxes["id"].to_numpy() if "id" in boxes else np.arange(len(rows))
        starts = [_start(v, start) for v in boxes["frame"]] if "frame" in boxes else [start] * len(rows)
    else:
        rows = as_boxes(boxes)
        names, starts = np.arange(len(rows)), [start] * len(rows)
    if not len(rows):
        raise ValueError("boxes must have at least one box, got none")
    if names.dtype.kind not in "iu":
        raise TypeError(f"ids must be whole numbers, got dtype {names.dtype}")
    found, counts = np.unique(names, return_counts=True)
    if counts.max() > 1:
        raise ValueError(f"ids must be distinct, got {found[counts.argmax()]} {counts.max()} times")
    order = np.argsort(names)
    return (
        [int(names[i]) for i in order],
        [as_box(rows[i], f"the box of region {names[i]}") for i in order],
        [starts[i] for i in order],
    )


def _start(value: Any, default: Start) -> Start:
    """Start image of one region as a table has it: pandas makes whole numbers float where one is missing."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return default
    return int(value) if isinstance(value, float) and value.is_integer() else value
