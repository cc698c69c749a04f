"""Many regions through one sequence: each image read once, all its regions in one batch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from copy import copy
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm import tqdm

from solartrack._arrays import Float64Array, as_box, as_boxes
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, TrackError, TrackWarning
from solartrack.inference import Model
from solartrack.metrics.overlap import coverage, iou
from solartrack.tracking.ahead import ReadAhead
from solartrack.tracking.interface import FrameMeta, Step, Tracker
from solartrack.tracking.network import Network, shown
from solartrack.tracking.region import Region
from solartrack.tracking.run import (
    NOWHERE,
    Frame,
    Images,
    as_row,
    as_text,
    cannot_start,
    checked,
    frames_of,
    in_words,
    must_be_usable,
    must_touch,
    same_size,
    since,
    start_index,
    without_looking,
)
from solartrack.tracking.solar import (
    IN_PARTS,
    SolarTracker,
    advance,
    first_look,
    wanted,
    wanted_first,
    window_around,
)
from solartrack.tracking.table import as_table

__all__ = ["track_many"]

#: A track ends when so much more of it is inside an older one than when they met, share of its area, ...
COME_IN = 0.5
#: ... or when their IoU is this much, ...
ALIKE = 0.8
#: ... in so many images in a row.
IN_A_ROW = 3

_BOX = ["x0", "y0", "x1", "y1"]


def track_many(
    images: Images,
    boxes: ArrayLike | pd.DataFrame,
    *,
    start: int | str | None = None,
    model: str | os.PathLike[str] | Model = "goturn-lite",
    device: str = "auto",
    threads: int | None = None,
    times: Any = None,
    cadence: Any = None,
    geometry: ImageGeometry | Sequence[ImageGeometry] | None = None,
    both_ways: bool = True,
    progress: bool = False,
) -> pd.DataFrame:
    """Follow many regions through a sequence of images at once.

    Each region is followed as `track` with the tracker "solar" would follow it, but every image is
    read once for all of them, and the network looks at all regions of an image in one batch.

    Parameters
    ----------
    images : path, or iterable of paths, arrays, `SolarImage` or `KnownImage`
        As for `track`.
    boxes : array_like, shape (n, 4), or pandas.DataFrame
        ``(x0, y0, x1, y1)`` on the start image, pixel edges. A table has the columns ``x0``, ``y0``,
        ``x1``, ``y1`` and may have ``id``, distinct whole numbers, default 0 to n-1, and
        ``frame``, each region's own start image as for `start` (where it is missing, `start`).
    start : int or str, optional
        Frame number or file name of the start image; default the first in time whose header can be used.
    model, device : optional
        See `SolarTracker`.
    threads : int, optional
        For the network on the CPU; default all cores.
    times, cadence, geometry : optional
        As for `track`.
    both_ways : bool
        Follow each region into images before its start image, too.
    progress : bool
        Show a progress bar on standard error.

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
    ModelError, DeviceError
        If the model cannot be used, see `SolarTracker`.

    Warns
    -----
    TrackWarning
        Once, if regions are followed without the Sun's rotation since their start images have no
        time or geometry.

    Notes
    -----
    A track keeps its id: nothing is matched from image to image. Regions that pass one another
    stay apart since each has its own rectangle in latitude and longitude, rotating with the Sun.

    When two regions merge, both tracks come to hold the same. A track ends, with the state
    "merged" and the message "into ID", once in `IN_A_ROW` (3) used images one after the other an
    older track that is recognised has taken it in: the share of the younger one's rectangle that is
    inside the older one's has risen by `COME_IN` (half) since they met, or the two have become alike,
    with an IoU of `ALIKE` (0.8). Older is the earlier start, then the larger start box. What
    counts is the rise, so a spot that is given beside its group is followed to the end; and the
    overlap of the rectangles, since near the limb the boxes of neighbours cover one another. An
    older track that is taken in by a larger younger one does not end, and neither does the
    younger, until the older one has grown as well.
    Backwards in time the same holds, and the message is "out of ID".
    """
    ids, given, starts = _regions(boxes, start)
    network = Network(model, device, threads)
    frames = frames_of(images, False, times, cadence, geometry, progress)
    places = []
    for name, box, at in zip(ids, given, starts, strict=True):
        try:
            places.append(start_index(frames, at))
            must_be_usable(frames[places[-1]])
            must_touch(frames[places[-1]], box)
        except TrackError as error:
            raise TrackError(f"region {name}: {error}") from error
    # One count of days for all: the network is asked for all at once.
    timed = (frames[at] for at in sorted(places) if np.isfinite(frames[at].meta.days))
    reference = next(timed, frames[min(places)])
    common = [since(frame, reference) for frame in frames]
    own = network.settings()
    tracks = [
        _Track(name, box, at, frames[at], common[at], as_text(own, frames[at], geometry),
               isinstance(geometry, ImageGeometry))
        for name, box, at in zip(ids, given, places, strict=True)
    ]  # fmt: skip
    plain = [track.region.in_pixels for track in tracks if track.region.in_pixels]
    if plain:
        warnings.warn(
            f"{plain[0]}: {len(plain)} of {len(tracks)} regions are followed without the Sun's rotation, "
            "which is far less reliable; give times and the disk",
            TrackWarning,
            stacklevel=2,
        )
    work = _Work(tracks, frames, common, network, progress)
    return as_table(work.rows(both_ways), many=True)


class _Track:
    """A region, and what `track` would know of the sequence for it alone."""

    def __init__(
        self,
        name: int,
        box: Float64Array,
        at: int,
        first: Frame,
        common: Frame,
        settings: str,
        one_disk: bool,
    ) -> None:
        self.name, self.box, self.at, self.settings = name, box, at, settings
        self._first, self._one_disk = first, one_disk
        self.unstarted = ""
        try:
            self.started = Region(self.box, common.meta)
        except GeometryError as error:
            raise TrackError(f"region {name}: {cannot_start(first, error)}") from error
        self.restart()

    def restart(self) -> None:
        """Go back to the start image; what the network made of it is kept for the way back."""
        self.region = copy(self.started)
        self.begun, self.merged = False, ""
        self.before = self.view(self._first), Step(self.box, 1.0, "start")

    def view(self, frame: Frame) -> Frame:
        """An image with the days since this region's start."""
        mine = since(frame, self._first)
        return same_size(mine, self._first) if self._one_disk else mine

    def known(self, frame: Frame) -> Step | None:
        """What there is to say without looking at the image."""
        known = without_looking(frame, self.before)
        if known and known.state != "repeated":
            return known
        if self.unstarted:
            return Step(NOWHERE, 0.0, "failed", self.unstarted)
        return Step(NOWHERE, 0.0, "merged", self.merged) if self.merged else known

    def row(self, frame: Frame, step: Step) -> dict[str, Any]:
        """Put together a row of the table."""
        return {"id": self.name, **as_row(frame, step, SolarTracker.name, self.settings)}


class _Work:
    """The loop over the images."""

    def __init__(
        self, tracks: list[_Track], frames: list[Frame], common: list[Frame], network: Network, progress: bool
    ) -> None:
        self._tracks, self._frames, self._common = tracks, frames, common
        self._network, self._progress = network, progress
        self._watched: list[_Track] = []

    def rows(self, both_ways: bool) -> Iterator[dict[str, Any]]:
        """All rows, in the order of the work."""
        places = [track.at for track in self._tracks]
        passes = [range(min(places), len(self._frames))]
        if both_ways and max(places) > 0:
            passes.append(range(max(places), -1, -1))
        with (
            tqdm(total=sum(map(len, passes)), disable=not self._progress, unit="image") as bar,
            closing(ReadAhead(cast(Tracker, self))) as ahead,
        ):
            for backward, part in enumerate(passes):
                if backward:
                    for track in self._tracks:
                        track.restart()
                merges = _Merges(self._tracks, "out of" if backward else "into")
                for place in part:
                    following = place + part.step
                    yield from self._image(
                        place, following if following in part else None, bool(backward), merges, ahead
                    )
                    bar.update()

    def window(self, meta: FrameMeta, start: Float64Array | None = None) -> tuple[int, int, int, int] | None:
        """Part of an image that holds the windows of all regions it is read for, see `Tracker`."""
        if not meta.file.lower().endswith(IN_PARTS):
            return None
        context = self._network.crops.context
        boxes = [
            wanted(self._network, track.region, meta)
            if track.begun
            else wanted_first(self._network, track.region)
            for track in self._watched
        ]
        windows = [window_around(box, context, meta.shape) for box in boxes if np.isfinite(box).all()]
        inside = np.array([window for window in windows if window is not None])
        if not len(inside):
            return window_around(NOWHERE, context, meta.shape)
        x0, y0 = inside[:, :2].min(axis=0).tolist()
        x1, y1 = inside[:, 2:].max(axis=0).tolist()
        return x0, y0, x1, y1

    def _image(
        self, place: int, following: int | None, backward: bool, merges: _Merges, ahead: ReadAhead
    ) -> Iterator[dict[str, Any]]:
        """Rows of one image; nothing that is wrong with it may reach the next."""
        frame = self._frames[place]
        steps: dict[_Track, Step] = {}
        asked: list[_Track] = []
        for track in self._tracks:
            if track.begun:
                known = track.known(track.view(frame))
                if known:
                    steps[track] = known
                else:
                    asked.append(track)
        new = [track for track in self._tracks if track.at == place]
        if not backward:  # on the way back their crops are there already, and their rows
            steps.update((track, track.before[1]) for track in new)
        self._look(place, following, asked, [] if backward else new, steps, ahead)
        for track in new:
            track.begun = True
        for track in asked:
            if steps[track].state in ("tracked", "coasting", "lost", "off_disk"):
                track.before = track.view(frame), steps[track]
        for track in merges.find([*asked, *(t for t in new if not t.unstarted)], steps):
            steps[track] = Step(NOWHERE, 0.0, "merged", track.merged)
        for track, step in steps.items():
            yield track.row(track.view(frame), step)

    def _look(
        self,
        place: int,
        following: int | None,
        asked: list[_Track],
        new: list[_Track],
        steps: dict[_Track, Step],
        ahead: ReadAhead,
    ) -> None:
        """Read the image, take the crops of those that start on it, follow the others into it."""
        self._watched = [*asked, *new]
        if not self._watched:
            return
        frame = self._common[place]
        try:
            image = shown(ahead.get(frame.meta, frame.read), self.window(frame.meta))
        except Exception as error:  # must not cost the rows already made
            for track in new:
                track.unstarted = cannot_start(self._frames[place], error)
            if all(track.unstarted for track in self._tracks):
                raise TrackError(self._tracks[0].unstarted) from error
            unreadable = isinstance(error, ImageError | OSError)
            trouble = ("unreadable", str(error)) if unreadable else ("failed", in_words(error))
            steps.update((track, Step(NOWHERE, 0.0, *trouble)) for track in self._watched)
            return
        if new:
            said = first_look(self._network, [track.region for track in new], image)
            for track, message in zip(new, said, strict=True):
                track.started = copy(track.region)
                steps[track] = steps[track]._replace(message=message)
        if following is not None and not self._common[following].trouble:
            for track in new:
                track.begun = True
            self._watched = [
                track
                for track in self._tracks
                if (track.begun or track.at == following) and not (track.merged or track.unstarted)
            ]
            if self._watched:
                ahead.start(self._common[following].meta, self._common[following].read)
        if asked:
            try:
                answers = advance(self._network, [track.region for track in asked], image, frame.meta)
                answers = [checked(step, frame.meta) for step in answers]
            except Exception as error:
                answers = [Step(NOWHERE, 0.0, "failed", in_words(error))] * len(asked)
            steps.update(zip(asked, answers, strict=True))


class _Merges:
    """Which tracks have come to hold the same region as an older one, see `track_many`."""

    def __init__(self, tracks: list[_Track], how: str) -> None:
        self._how = how
        by_age = sorted(tracks, key=lambda track: (track.at, -_area(track.box), track.name))
        self._rank = {track: rank for rank, track in enumerate(by_age)}
        # For each younger (row) and older (column) track: the share of it inside the other when they
        # met, NaN before that; and the images in a row in which it was taken in.
        self._met = np.full((len(tracks), len(tracks)), np.nan, np.float32)
        self._count = np.zeros((len(tracks), len(tracks)), np.int8)

    def find(self, used: list[_Track], steps: dict[_Track, Step]) -> list[_Track]:
        """Tracks that end in an image that was looked at for `used`; their `merged` is set."""
        there = [track for track in used if track not in steps or np.isfinite(steps[track].box).all()]
        there.sort(key=self._rank.__getitem__)
        ended = []
        for plain in (False, True):  # degrees and pixels do not compare
            kind = [track for track in there if bool(track.region.in_pixels) == plain]
            if len(kind) > 1:
                ended += self._ended(kind, steps)
        return ended

    def _ended(self, tracks: list[_Track], steps: dict[_Track, Step]) -> list[_Track]:
        """The same for tracks in the order of age that have boxes."""
        sides = np.array([track.region.sides for track in tracks])
        if not tracks[0].region.in_pixels:  # whole turns apart is the same place
            middle = 0.5 * (sides[:, 0] + sides[:, 2])
            sides[:, ::2] -= 360.0 * np.round((middle - middle[0]) / 360.0)[:, None]
        contained = coverage(sides, sides, pairwise=False, threads=1).T
        pairs = np.ix_(rank := [self._rank[track] for track in tracks], rank)
        self._met[pairs] = np.where(np.isnan(self._met[pairs]), contained, self._met[pairs])
        sure = np.array(
            [track not in steps or steps[track].state in ("start", "tracked") for track in tracks]
        )
        alike = iou(sides, sides, pairwise=False, threads=1) >= ALIKE
        taken_in = sure & (alike | (contained - self._met[pairs] >= COME_IN))
        count = np.where(taken_in, np.minimum(self._count[pairs] + 1, IN_A_ROW), 0)
        self._count[pairs] = count

        ended: list[_Track] = []
        for row, track in enumerate(tracks):
            into = [i for i in range(row) if count[row, i] >= IN_A_ROW and not tracks[i].merged]
            if into:
                best = max(into, key=lambda i: contained[row, i])
                track.merged = f"{self._how} {tracks[best].name}"
                ended.append(track)
        return ended


def _area(box: Float64Array) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _regions(
    boxes: ArrayLike | pd.DataFrame, start: int | str | None
) -> tuple[list[int], list[Float64Array], list[int | str | None]]:
    """Ids, boxes and start images, in the order of the ids."""
    starts: list[int | str | None]
    if isinstance(boxes, pd.DataFrame):
        missing = [column for column in _BOX if column not in boxes]
        if missing:
            raise ValueError(f"boxes needs the columns x0, y0, x1, y1; missing: {', '.join(missing)}")
        rows = boxes[_BOX].to_numpy()
        names = boxes["id"].to_numpy() if "id" in boxes else np.arange(len(rows))
        starts = (
            [_start(value, start) for value in boxes["frame"]] if "frame" in boxes else [start] * len(rows)
        )
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


def _start(value: Any, default: int | str | None) -> int | str | None:
    """Start image of one region as a table has it: pandas makes whole numbers float where one is missing."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return default
    return int(value) if isinstance(value, float) and value.is_integer() else value
