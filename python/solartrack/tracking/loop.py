"""The loop: images in, one row per region and image out, whatever happens in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from solartrack._arrays import Float64Array
from solartrack._progress import tqdm
from solartrack.errors import GeometryError, ImageError, TrackError
from solartrack.sequence import Frame, ImagePart
from solartrack.tracking.census import MISSES, RENEW, SURE, Census, Found, Match, at_limb, match
from solartrack.tracking.interface import Step, Tracker
from solartrack.tracking.merging import Merging
from solartrack.tracking.reading import ReadAhead
from solartrack.tracking.sky import place_of
from solartrack.tracking.table import STATES

__all__ = ["Loop", "Track", "Trouble", "cannot_start", "trouble_of"]

NOWHERE = np.full(4, np.nan)
_NO_GEOMETRY = "the image has no header that tells where the Sun is; give the disk"
# States of an answer that the next image may repeat.
_ANSWERED = ("tracked", "coasting", "lost", "off_disk")


class Trouble(NamedTuple):
    """Why an image cannot be used: state and message of its rows."""

    state: str
    message: str


class Track:
    """A region on its way through the images.

    Parameters
    ----------
    number : int
        Its id.
    box : ndarray of float64, shape (4,)
        On its start image.
    at : int
        Place of the start image in the sequence.
    region : object
        The tracker's, see `Tracker.new_region`.
    settings : dict
        For its rows.
    """

    def __init__(
        self, number: int, box: Float64Array, at: int, region: Any, settings: dict[str, Any]
    ) -> None:
        self.number, self.box, self.at, self.settings = number, box, at, settings
        # What it is at the start, and what the tracker has made of it on the way.
        self.initial = self.region = region
        self.failed = ""  # why it cannot be followed
        self.merged = ""  # what it has become part of
        self.active = False
        self.last: tuple[Frame, Step] | None = None
        # Of a track that a census began: rows that wait until the region is found again, None if they need
        # not; the searches in a row in which it was not found; the track that it was a part of.
        self.held: list[dict[str, Any]] | None = None
        self.misses = 0
        self.out_of: Track | None = None


class Loop:
    """Follows tracks through a sequence of images, each read once for all of them.

    Parameters
    ----------
    tracker : Tracker
    frames : sequence of Frame
        In the order of time.
    troubles : sequence of Trouble or None
        Of the images, see `trouble_of`.
    tracks : sequence of Track
    one_disk : bool
        Whether one geometry was given for all images: it holds for those of the start image's size.
    progress : bool
    census : Census, optional
        Begins and ends tracks on the way, which is then forward only.
    settings : dict, optional
        For the rows of tracks that the census begins.

    Attributes
    ----------
    searches : int
        How many images the census has looked for regions in.
    unsearched : list of (Frame, str)
        Images in which the census could not look for regions, and why.
    refused : list of str
        Why the tracker could not begin with what was found.
    """

    def __init__(
        self,
        tracker: Tracker,
        frames: Sequence[Frame],
        troubles: Sequence[Trouble | None],
        tracks: Sequence[Track],
        *,
        one_disk: bool,
        progress: bool,
        census: Census | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self._tracker, self._frames, self._troubles, self._tracks = tracker, frames, troubles, list(tracks)
        self._one_disk, self._progress = one_disk, progress
        self._census, self._settings = census, settings or {}
        self.searches = 0
        self._begun = 0  # tracks of the census that are believed
        self.unsearched = [(f, t.message) for f, t in zip(frames, troubles, strict=True) if t and census]
        self.refused: list[str] = []
        by_age = sorted(tracks, key=lambda t: (t.at, -np.prod(t.box[2:] - t.box[:2]), t.number))
        self._rank = {track: rank for rank, track in enumerate(by_age)}

    def rows(self, both_ways: bool) -> Iterator[dict[str, Any]]:
        """Rows with ``id``, in the order of the work: from the start images on, then backwards."""
        places = [track.at for track in self._tracks] or [0]
        ways = [range(min(places), len(self._frames))]
        if both_ways and max(places) > 0:
            ways.append(range(max(places), -1, -1))
        with (
            tqdm(total=sum(map(len, ways)), disable=not self._progress, unit="image") as bar,
            closing(ReadAhead(self._tracker)) as reader,
        ):
            for backward, way in enumerate(ways):
                for track in self._tracks:
                    self._rewind(track, bool(backward))
                merging = Merging()
                for place in way:
                    after = place + way.step if place + way.step in way else None
                    steps = self._image(place, after, bool(backward), reader)
                    ready = self._take_census(place, steps, reader)
                    self._end_merged(place, steps, merging, "out of" if backward else "into")
                    yield from ready
                    for track, step in steps.items():
                        row = self._row(track, self._frames[place], step)
                        if track.held is None:
                            yield row
                        else:
                            track.held.append(row)
                        if self._census and _is_over(track, step):
                            self._tracks.remove(track)
                            yield from _given(track)
                    bar.update()
            for track in self._tracks:
                yield from _given(track)

    def _rewind(self, track: Track, backward: bool) -> None:
        """Go to the start image; on the way back what the tracker made of it is there already."""
        track.active, track.merged = False, ""
        track.last = self._frames[track.at], Step(track.box, 1.0, "start")
        try:
            track.region = copy(track.initial)
        except Exception as error:
            if not backward:
                raise
            track.failed = track.failed or _in_words(error)  # rows of the way forward are made already

    def _image(self, place: int, after: int | None, backward: bool, reader: ReadAhead) -> dict[Track, Step]:
        """Answers for one image; nothing that is wrong with it may affect the next."""
        frame = self._frames[place]
        steps: dict[Track, Step] = {}
        asked: list[Track] = []
        for track in self._tracks:
            if track.active:
                known = self._known(track, place)
                if known is None:
                    asked.append(track)
                else:
                    steps[track] = known
        new = [track for track in self._tracks if track.at == place]
        if not backward:
            steps.update((track, Step(track.box, 1.0, "start")) for track in new)
        seen = asked if backward else [*asked, *new]
        image = None
        if seen and self._tracker.needs_pixels:
            try:
                image = reader.get(frame, [track.region for track in seen])
            except Exception as error:
                self._unread(frame, error, steps, asked, new)
                asked, seen = [], []
            else:
                if not backward and new:
                    self._initialize(image, frame, new, steps)
        for track in new:
            track.active = True
        if after is not None and not self._troubles[after]:
            if image is not None:
                self._start_reading(after, backward, reader)
            if self._census and after in self._census.places:
                reader.start_search(self._frames[after], self._census.search)
        if asked:
            steps.update(zip(asked, self._ask(image, frame, asked), strict=True))
        for track in asked:
            if steps[track].state in _ANSWERED:
                track.last = frame, steps[track]
        return steps

    def _take_census(self, place: int, steps: dict[Track, Step], reader: ReadAhead) -> list[dict[str, Any]]:
        """Begin and end tracks by what is found in the image; give rows that have waited for that."""
        if not self._census or place not in self._census.places:
            return []
        frame = self._frames[place]
        geometry = frame.geometry
        try:
            found = reader.search(frame, self._census.search)
        except (ImageError, GeometryError, OSError, ValueError) as error:
            self.unsearched.append((frame, str(error)))
            for track, step in steps.items():
                steps[track] = step._replace(message=step.message or f"no regions were looked for: {error}")
            return []
        first, self.searches = not self.searches, self.searches + 1
        there = [track for track in self._tracks if track in steps and np.isfinite(steps[track].box).all()]
        pairs = match(np.array([steps[track].box for track in there]).reshape(-1, 4), found.boxes)
        assert geometry is not None
        ready: list[dict[str, Any]] = []
        again: dict[Track, Float64Array] = {}
        for track, k, overlap, seen in zip(there, pairs.found, pairs.overlaps, pairs.seen, strict=True):
            if k >= 0 or (seen and track.number >= 0):
                ready += self._believe(track)
                if 0.0 < overlap < RENEW:
                    again[track] = found.boxes[k]
            elif track.number < 0 or not at_limb(steps[track].box, geometry):
                ready += self._miss(track, steps)
        new = self._found_new(place, found, pairs, there)
        self._begin(place, list(new), again, steps, reader)
        for track, sure in new.items():
            if first or sure:
                ready += self._believe(track)
        return ready

    def _miss(self, track: Track, steps: dict[Track, Step]) -> list[dict[str, Any]]:
        """Let a track's rows wait, or end it; give the row that says so."""
        track.misses += 1
        if track.number >= 0 and track.misses < MISSES:
            if track.held is None:
                track.held = []
            return []
        self._tracks.remove(track)
        del steps[track]
        if track.number < 0:
            return []
        # The rows since it was found last show no region; only the first of them is given.
        assert track.held
        nowhere = dict.fromkeys(("x0", "y0", "x1", "y1", "lon", "lat", "tx0", "ty0", "tx1", "ty1"), np.nan)
        why = f"not found in {MISSES} searches in a row, this being the first"
        return [{**track.held[0], **nowhere, "score": 0.0, "state": "lost", "message": why}]

    def _found_new(self, place: int, found: Found, pairs: Match, there: Sequence[Track]) -> dict[Track, bool]:
        """Tracks for what is found and is none yet, and whether one search is enough to believe in each."""
        frame = self._frames[place]
        assert frame.geometry is not None
        new = {}
        for k, inside in pairs.part_of.items():
            box = found.boxes[k]
            try:
                region = self._tracker.new_region(box, frame)
            except (GeometryError, TrackError) as error:
                self.refused.append(f"frame {frame.number}: {error}")
                continue
            track = Track(-1, box, place, region, self._settings)
            track.held = []
            if inside >= 0 and there[inside].number >= 0:
                track.out_of = there[inside]
            plain = found.scores[k] > SURE or at_limb(box, frame.geometry) == "east"
            new[track] = plain and track.out_of is None
        return new

    def _begin(
        self,
        place: int,
        new: Sequence[Track],
        again: Mapping[Track, Float64Array],
        steps: dict[Track, Step],
        reader: ReadAhead,
    ) -> None:
        """Begin tracks, and others anew with another box, on an image that has been looked at already."""
        frame = self._frames[place]
        changed = []
        for track in sorted(new, key=lambda track: -float(np.prod(track.box[2:] - track.box[:2]))):
            self._tracks.append(track)
            self._rank[track] = len(self._rank)
            self._rewind(track, False)
            track.active = True
            steps[track] = Step(track.box, 1.0, "start")
            changed.append(track)
        for track, box in again.items():
            try:
                track.region = self._tracker.new_region(box, frame)
            except (GeometryError, TrackError):  # it goes on as it was
                continue
            steps[track] = Step(box, steps[track].score, "tracked", "begun anew with what was found")
            track.last = frame, steps[track]
            changed.append(track)
        if not changed or not self._tracker.needs_pixels:
            return
        try:
            image = reader.get(frame, [track.region for track in changed])
        except Exception as error:
            self._unread(frame, error, steps, [], changed)
        else:
            self._initialize(image, frame, changed, steps)

    def _believe(self, track: Track) -> list[dict[str, Any]]:
        """Give a track that is found its number, and the rows that have waited for that."""
        track.misses = 0
        rows, track.held = track.held or [], None
        if track.number < 0:
            track.number, self._begun = self._begun, self._begun + 1
            for row in rows:
                row["id"] = track.number
            if rows and track.out_of is not None:
                rows[0]["message"] = f"out of {track.out_of.number}"
        return rows

    def _known(self, track: Track, place: int) -> Step | None:
        """What can be said without looking at the image; None if nothing."""
        frame, trouble = self._frames[place], self._troubles[place]
        if trouble:
            return Step(NOWHERE, 0.0, *trouble)
        if self._one_disk and frame.shape != (shape := self._frames[track.at].shape):
            why = (
                f"the image is {frame.shape[1]} x {frame.shape[0]} pixels, the start image, for which the "
                f"disk was given, {shape[1]} x {shape[0]}"
            )
            return Step(NOWHERE, 0.0, "wrong_size", why)
        if track.failed:
            return Step(NOWHERE, 0.0, "failed", track.failed)
        if track.merged:
            return Step(NOWHERE, 0.0, "merged", track.merged)
        assert track.last is not None
        before, answer = track.last
        # Unknown times, NaN, are not the same.
        same_time = frame.mjd_tai == before.mjd_tai
        if same_time and (frame.geometry, frame.shape) == (before.geometry, before.shape):
            return Step(answer.box, answer.score, "repeated", f"same time as frame {before.number}")
        return None

    def _unread(
        self,
        frame: Frame,
        error: Exception,
        steps: dict[Track, Step],
        asked: Sequence[Track],
        new: Sequence[Track],
    ) -> None:
        """Rows of an image that could not be read; regions that start on it cannot be followed."""
        unreadable = isinstance(error, ImageError | OSError)
        trouble = ("unreadable", str(error)) if unreadable else ("failed", _in_words(error))
        steps.update((track, Step(NOWHERE, 0.0, *trouble)) for track in asked)
        self._cannot_start(frame, error, new)
        steps.update((track, Step(NOWHERE, 0.0, *trouble)) for track in new if track in steps)

    def _cannot_start(self, frame: Frame, error: Exception, new: Iterable[Track]) -> None:
        """Note that regions cannot be followed; an error if there are no others."""
        for track in new:
            track.failed = track.failed or cannot_start(frame, error)
        if all(track.failed for track in self._tracks):
            if isinstance(error, GeometryError | ImageError | OSError | TrackError):
                raise TrackError(self._tracks[0].failed) from error
            raise error

    def _initialize(
        self, image: ImagePart, frame: Frame, new: Sequence[Track], steps: dict[Track, Step]
    ) -> None:
        """Show new regions to the tracker."""
        try:
            messages = self._tracker.initialize(image, [track.region for track in new], frame)
            for track, message in zip(new, messages, strict=True):
                # Kept as it is now, for the way back.
                track.initial = copy(track.region)
                if isinstance(message, str) and message:
                    steps[track] = steps[track]._replace(message=message)
        except Exception as error:
            self._cannot_start(frame, error, new)
            steps.update((track, Step(NOWHERE, 0.0, "failed", _in_words(error))) for track in new)

    def _start_reading(self, place: int, backward: bool, reader: ReadAhead) -> None:
        """Begin to read the next image if anybody is going to look at it."""
        expected = [
            track.region
            for track in self._tracks
            if (track.active or (track.at == place and not backward)) and not (track.merged or track.failed)
        ]
        if expected:
            reader.start(self._frames[place], expected)

    def _ask(self, image: ImagePart | None, frame: Frame, asked: Sequence[Track]) -> list[Step]:
        """The tracker's answers; a fault of the tracker must not cost the rows already made."""
        try:
            answers = list(self._tracker.update(image, [track.region for track in asked], frame))
            if len(answers) != len(asked):
                raise TrackError(
                    f"the tracker must give an answer for each of {len(asked)} regions, got {len(answers)}"
                )
        except Exception as error:
            return [Step(NOWHERE, 0.0, "failed", _in_words(error))] * len(asked)
        return [_checked(answer, frame) for answer in answers]

    def _end_merged(self, place: int, steps: dict[Track, Step], merging: Merging, how: str) -> None:
        """Replace the answers of tracks that have become part of another one."""
        rectangles = getattr(self._tracker, "rectangles", None)
        if rectangles is None or len(self._tracks) < 2:
            return
        used = [
            track
            for track in self._tracks
            if track.active
            and not (track.failed or track.merged)
            and (
                track.at == place
                or (track in steps and track.last is not None and track.last[0] is self._frames[place])
            )
            and (track not in steps or np.isfinite(steps[track].box).all())
        ]
        used.sort(key=self._rank.__getitem__)
        places = np.asarray(rectangles([track.region for track in used])).reshape(-1, 4)
        in_degrees = np.isfinite(places).all(axis=1)
        for degrees in (True, False):  # they do not compare with pixels
            kind = [track for track, there in zip(used, in_degrees, strict=True) if there == degrees]
            if len(kind) < 2:
                continue
            areas = places[in_degrees] if degrees else [self._box(track, steps) for track in kind]
            sure = [track not in steps or steps[track].state in ("start", "tracked") for track in kind]
            ranks = [self._rank[track] for track in kind]
            by_rank = dict(zip(ranks, kind, strict=True))
            for ended, into in merging.find(ranks, np.array(areas), sure, degrees=degrees):
                track = by_rank[ended]
                track.merged = f"{how} {by_rank[into].number}"
                steps[track] = Step(NOWHERE, 0.0, "merged", track.merged)

    def _box(self, track: Track, steps: dict[Track, Step]) -> Float64Array:
        return steps[track].box if track in steps else track.box

    def _row(self, track: Track, frame: Frame, step: Step) -> dict[str, Any]:
        """Row of the table, see `COLUMNS`, and the settings."""
        return {
            "id": track.number,
            "frame": frame.number,
            "file": frame.file,
            "time": frame.time,
            "days": frame.mjd_tai - self._frames[track.at].mjd_tai,
            **dict(zip(("x0", "y0", "x1", "y1"), (float(v) for v in step.box), strict=True)),
            **place_of(step.box, frame.geometry),
            "score": float(step.score),
            "state": step.state,
            "message": step.message,
            "tracker": self._tracker.name,
            "settings": track.settings,
        }


def trouble_of(frame: Frame, tracker: Tracker) -> Trouble | None:
    """Why an image cannot be used, by its record alone; None if nothing is known against it."""
    if frame.trouble:
        return Trouble("unreadable", frame.trouble)
    if tracker.needs_sun and frame.geometry is None:
        return Trouble("no_geometry", frame.no_geometry or _NO_GEOMETRY)
    if tracker.needs_sun and not np.isfinite(frame.mjd_tai):
        return Trouble("no_time", frame.no_time)
    return None


def cannot_start(frame: Frame, why: object) -> str:
    """Message of a track that cannot begin."""
    return f"cannot start at {f'frame {frame.number} {frame.file}'.rstrip()}: {why}"


def _given(track: Track) -> list[dict[str, Any]]:
    """Rows that need not wait any longer."""
    return track.held or [] if track.number >= 0 else []


def _is_over(track: Track, step: Step) -> bool:
    """Whether a track of a census ends here."""
    return step.state in ("merged", "off_disk") or bool(track.failed)


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _checked(step: Any, frame: Frame) -> Step:
    """An answer as it goes into the table; one that is none becomes a failure."""
    try:
        box = np.asarray(step.box, dtype=np.float64)
        if box.shape != (4,) or np.isinf(box).any() or step.state not in STATES:
            raise TrackError(f"the tracker must give four numbers and a known state, got {step}")
        message = str(step.message)
        ny, nx = frame.shape
        if not message and (box[0] >= nx or box[1] >= ny or box[2] <= 0 or box[3] <= 0):
            message = "the box lies outside the image"
        return Step(box, float(step.score), step.state, message)
    except Exception as error:  # of whatever kind the answer is
        return Step(NOWHERE, 0.0, "failed", _in_words(error))
