"""What the networks learn from: pairs of crops, cut from sequences with known boxes.

For each region in a pair of frames there is one true example, its search window
around the *prior*, where rotation takes the previous box, as the tracker will do it;
some that start from a box as a tracker has it, stale or with sides that are off; some
with a window that is shifted and resized at random; and some in which the region is
lost or gone, so that the score learns to say so. Everything follows from seeds.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack import boxes as box_formats
from solartrack import images, metrics, simulate
from solartrack._arrays import Float64Array
from solartrack._optional import require
from solartrack.coordinates import (
    AU_M,
    ImageGeometry,
    fit_rectangles,
    rectangles_to_boxes,
    rotate_rectangles,
)
from solartrack.crop import frame_to_crop
from solartrack.errors import GeometryError
from solartrack.images import display_values
from solartrack.inference import CropPair

__all__ = [
    "RECIPES",
    "Examples",
    "Frame",
    "Recipe",
    "Source",
    "ann_source",
    "dataset",
    "pair_examples",
    "sequence_examples",
    "simulated_source",
    "still_source",
    "table_source",
    "write_simulated",
]

_BOX = ["x0", "y0", "x1", "y1"]
_SIDES = ["lon0", "lat0", "lon1", "lat1"]
# A thinner sliver, at the limb, cannot be told from the next pixel's.
_THINNEST = 4.0


class Frame(NamedTuple):
    """An image with the boxes that are known in it.

    Attributes
    ----------
    image : ndarray, shape (ny, nx)
        Display values, see `solartrack.images.display_values`.
    days : float
        Time, NaN if unknown; only differences matter.
    geometry : ImageGeometry or None
    ids : ndarray of int64, shape (n,)
    boxes : ndarray of float64, shape (n, 4)
    parts : tuple of ndarray
        Regions that have merged: ids, shape (k,), and the heliographic rectangles of single parts of
        them, shape (k, 4). None are known of real images.
    file : str
        Name of the image, "" if it has none.
    rectangles : ndarray of float64, shape (n, 4), or None
        What `fit_rectangles` makes of the boxes, if that has been done.
    """

    image: NDArray[Any]
    days: float
    geometry: ImageGeometry | None
    ids: NDArray[np.int64]
    boxes: Float64Array
    parts: tuple[NDArray[np.int64], Float64Array] = (np.empty(0, np.int64), np.empty((0, 4)))
    file: str = ""
    rectangles: Float64Array | None = None


#: Loads a sequence: only those in use are in memory.
Source = Callable[[], list[Frame]]


@dataclass(frozen=True)
class Recipe:
    """How examples are drawn.

    Attributes
    ----------
    shifted : int
        Further examples of each region in a pair of frames beside the first.
    window : float
        Share of the further ones whose window is moved and resized at random, off the prior.
    shift_rates, size_rates : tuple of float
        Rates of the Laplace distributions of the window's shift and growth, in box sizes; each
        example takes one of them.
    size_limit : float
        Largest growth.
    side_rates : tuple of float
        The same for the error of each side of a disturbed box.
    rotated : bool
        Put the true example's window where rotation takes the previous box, instead of leaving it.
    stale, disturbed : float
        Shares of the further ones that start from a box as a tracker has it instead of the true one:
        carried there by rotation from another frame of the sequence; or with its four sides off at
        random. The window is off by the same, so only the images can tell.
    lost : float
        Share of examples in which the window misses the region or the image is spoilt.
    gaps : int
        Largest step between the frames of a pair: dropped frames.
    reversed : bool
        Also from later to earlier frames.
    tone, tone_change : float
        Scatter of log gain and log gamma, of the pair and between its frames.
    noise : float
        Largest sigma of the noise added, counts of 255.
    alone : float
        Share of the further ones in which no target is shown and the size of the window tells nothing
        either, for a network that takes that: it has to know a region when it sees one.
    cluttered : float
        Share of these into which a place of a real image is blended, if there are real images.
    clutter : float
        Largest weight of the real image.
    mirrored : bool
        Also east-west and south-north mirror images.
    turned : float
        Share of examples turned by a right angle (mirrored, any of the eight orientations).
    """

    shifted: int = 10
    window: float = 1.0
    shift_rates: tuple[float, ...] = (5.0,)
    size_rates: tuple[float, ...] = (15.0,)
    size_limit: float = 0.4
    side_rates: tuple[float, ...] = (15.0,)
    rotated: bool = False
    stale: float = 0.0
    disturbed: float = 0.0
    lost: float = 0.0
    gaps: int = 1
    reversed: bool = False
    tone: float = 0.0
    tone_change: float = 0.0
    noise: float = 0.0
    alone: float = 0.0
    cluttered: float = 0.0
    clutter: float = 0.0
    mirrored: bool = False
    turned: float = 0.0


RECIPES = {
    # Held et al. 2016.
    "published": Recipe(),
    # Rotation is a good prior: most of what is left to learn is small, some is not.
    "solar": Recipe(
        shifted=4,
        window=0.25,
        shift_rates=(5.0, 12.0, 30.0),
        size_rates=(8.0, 15.0, 30.0),
        rotated=True,
        side_rates=(3.0, 6.0, 20.0),
        stale=0.3,
        disturbed=0.6,
        lost=0.1,
        gaps=4,
        reversed=True,
        tone=0.2,
        tone_change=0.05,
        noise=8.0,
        alone=0.5,
        cluttered=0.7,
        clutter=0.6,
        mirrored=True,
        turned=0.1,
    ),
}


class Examples(NamedTuple):
    """Arrays with one row for each example.

    Attributes
    ----------
    target, search : ndarray of float32, shape (n, side, side, channels)
    box : ndarray of float32, shape (n, 4)
        The true box in the coordinates of the search crop; may reach beyond it.
    present : ndarray of float32, shape (n, 1)
        0 where the region is lost; `box` means nothing there.
    """

    target: NDArray[np.float32]
    search: NDArray[np.float32]
    box: NDArray[np.float32]
    present: NDArray[np.float32]


def pair_examples(
    previous: Frame,
    current: Frame,
    crops: CropPair,
    recipe: Recipe,
    rng: np.random.Generator,
    history: "History | None" = None,
    clutter: Sequence[Frame] = (),
) -> Examples | None:
    """Examples from two frames; the same frame twice is a still image.

    Parameters
    ----------
    previous, current : Frame
    crops : CropPair
    recipe : Recipe
    rng : numpy.random.Generator
    history : History, optional
        Of their sequence, for stale boxes.
    clutter : sequence of Frame
        Real images with geometry, to be blended into what is seen without a target.

    Returns
    -------
    Examples or None
        None if no region is in both frames, larger than some pixels.
    """
    _, at_previous, at_current = np.intersect1d(
        previous.ids, current.ids, assume_unique=True, return_indices=True
    )
    was, now = previous.boxes[at_previous], current.boxes[at_current]
    large = (np.minimum(was[:, 2:] - was[:, :2], now[:, 2:] - now[:, :2]) >= _THINNEST).all(axis=1)
    if not large.any():
        return None
    was, now, ids = was[large], now[large], previous.ids[at_previous][large]
    prior = carried(was, previous, current, at_previous[large]) if recipe.rotated else was
    old_shown, old_anchors = was, prior
    if recipe.stale > 0 and history is not None:
        old_shown, old_anchors = history.stale(ids, was, prior, now, previous, current, rng)

    count = 1 + recipe.shifted
    shape = current.image.shape[0], current.image.shape[1]
    shown, anchors, truth = (np.repeat(a, count, axis=0) for a in (was, prior, now))
    further = np.arange(len(truth)) % count > 0
    draw = rng.random(len(truth))
    stale = further & (draw < recipe.stale)
    shown[stale] = np.repeat(old_shown, count, axis=0)[stale]
    anchors[stale] = np.repeat(old_anchors, count, axis=0)[stale]
    disturbed = further & (draw >= recipe.stale) & (draw < recipe.stale + recipe.disturbed)
    if disturbed.any():
        change = _sides(int(np.count_nonzero(disturbed)), recipe, rng)
        for boxes in (shown, anchors):
            boxes[disturbed] += change * np.tile(boxes[disturbed, 2:] - boxes[disturbed, :2], 2)
    # Elsewhere from where rotation points, by what rotation cannot know.
    off = np.flatnonzero(further & (rng.random(len(truth)) < recipe.window))
    anchors[off] = _shift(
        truth[off],
        rng.choice(recipe.shift_rates, len(off)),
        rng.choice(recipe.size_rates, len(off)),
        recipe.size_limit,
        shape,
        rng,
    )
    lost = rng.random(len(truth)) < recipe.lost
    alone = np.zeros(len(truth), bool)
    if crops.alone > 0 and recipe.alone > 0 and current.geometry is not None:
        alone = further & (rng.random(len(truth)) < recipe.alone)
        squares = crops.squares(anchors[alone], current.geometry.disk_radius)
        # Somewhat beside the middle, as what is seen of a region first may be a part of it; and smaller, as
        # real regions may be larger than simulated ones.
        centre, half = 0.5 * (squares[:, :2] + squares[:, 2:]), 0.5 * (squares[:, 2:] - squares[:, :2])
        centre += 0.4 * half * rng.uniform(-1.0, 1.0, (len(squares), 2))
        half *= rng.uniform(0.5, 1.0, (len(squares), 1))
        anchors[alone] = np.concatenate([centre - half, centre + half], axis=1)
        # Nothing says which region is meant but that it is there: only spoilt images lack it.
        lost &= ~alone | (rng.random(len(truth)) < 0.3)
    elsewhere = lost & ~alone & (rng.random(len(truth)) < 0.7)
    anchors[elsewhere] = _elsewhere(truth[elsewhere], shape, rng)
    gone, there = _gone(previous, current) if recipe.lost > 0 else (was[:0], was[:0])
    if len(gone):
        shown, anchors = np.concatenate([shown, gone]), np.concatenate([anchors, there])
        truth = np.concatenate([truth, there])
        lost = np.concatenate([lost, np.ones(len(gone), bool)])
        alone = np.concatenate([alone, np.zeros(len(gone), bool)])
        elsewhere = np.concatenate([elsewhere, np.ones(len(gone), bool)])

    grey = replace(crops, channels=1, mean=(0.0,))
    target = grey.crop(previous.image, shown, threads=1)
    search = grey.crop(current.image, anchors, threads=1)
    if len(clutter) and current.geometry is not None:
        chosen = np.flatnonzero(alone & (rng.random(len(alone)) < recipe.cluttered))
        _blend(search, anchors, chosen, current.geometry, grey, clutter, recipe, rng)
    _spoil(search, np.flatnonzero(lost & ~elsewhere), rng)
    _tone(target, search, recipe, rng)
    box = frame_to_crop(truth, anchors, context=crops.context, span=crops.span)
    _orient(target, search, box, recipe, crops.span, rng)
    mean = np.array(crops.mean, np.float32)
    target, search = target - mean, search - mean
    target[alone] = 0.0
    return Examples(target, search, box.astype(np.float32), (~lost).astype(np.float32)[:, np.newaxis])


class History:
    """The boxes of a sequence as heliographic rectangles, to carry each into any other frame.

    With them the parts of merged regions: what a tracker has that has followed one of them.

    Parameters
    ----------
    frames : sequence of Frame
    """

    def __init__(self, frames: Sequence[Frame]) -> None:
        none = np.empty(0, np.int64), np.empty((0, 4)), np.empty(0)
        found = [none]
        for frame in frames:
            large = (frame.boxes[:, 2:] - frame.boxes[:, :2] >= _THINNEST).all(axis=1)
            if frame.geometry is not None and np.isfinite(frame.days) and large.any():
                rectangles = _rectangles(frame, large)
                found.append((frame.ids[large], rectangles, np.full(len(rectangles), frame.days)))
            ids, parts = frame.parts
            found.append((ids, parts, np.full(len(ids), frame.days)))
        self._ids, self._rectangles, self._days = (np.concatenate(part) for part in zip(*found, strict=True))

    def stale(
        self,
        ids: NDArray[np.int64],
        was: Float64Array,
        prior: Float64Array,
        now: Float64Array,
        previous: Frame,
        current: Frame,
        rng: np.random.Generator,
    ) -> tuple[Float64Array, Float64Array]:
        """What rotation makes, in both frames, of a box that each region has in some frame.

        Boxes that are far from the truth by now are drawn more often: regions that have come over
        the limb or merged are few, and what a tracker has to learn.

        Parameters
        ----------
        ids : ndarray of int64, shape (n,)
        was, prior, now : ndarray of float64, shape (n, 4)
            True box in the previous frame, where rotation takes it, and true box in the current one.
        previous, current : Frame
        rng : numpy.random.Generator

        Returns
        -------
        shown, anchors : ndarray of float64, shape (n, 4)
            `was` and `prior` where there is no other box.
        """
        shown, anchors = was.copy(), prior.copy()
        if previous.geometry is None or current.geometry is None:
            return shown, anchors
        for row, number in enumerate(ids):
            mine = self._ids == number
            if not mine.any():
                continue
            rectangles, days = self._rectangles[mine], self._days[mine]
            moved = [
                rectangles_to_boxes(_carry(rectangles, previous.days - days), previous.geometry)[0],
                rectangles_to_boxes(_carry(rectangles, current.days - days), current.geometry)[0],
            ]
            fine = np.all([(b[:, 2:] - b[:, :2] >= _THINNEST).all(axis=1) for b in moved], axis=0)
            if not fine.any():
                continue
            before, after = moved[0][fine], moved[1][fine]
            weight = 1.05 - metrics.iou(after, np.repeat(now[row : row + 1], len(after), axis=0))
            pick = rng.choice(len(after), p=weight / weight.sum())
            shown[row], anchors[row] = before[pick], after[pick]
        return shown, anchors


def _rectangles(frame: Frame, which: Any) -> Float64Array:
    """Heliographic rectangles of some of a frame's boxes."""
    if frame.rectangles is not None:
        return np.asarray(frame.rectangles[which])
    assert frame.geometry is not None
    return fit_rectangles(frame.boxes[which], frame.geometry)[0]


def _carry(rectangles: Float64Array, days: Float64Array) -> Float64Array:
    """Rectangles, each carried by its own number of days."""
    return rectangles + (rotate_rectangles(rectangles, 1.0) - rectangles) * days[:, None]


def sequence_examples(
    frames: Sequence[Frame],
    crops: CropPair,
    recipe: Recipe,
    rng: np.random.Generator,
    clutter: Sequence[Frame] = (),
) -> Iterator[Examples]:
    """Cut a sequence into examples, pair of frames by pair; each frame is the current one once."""
    if len(frames) == 1:
        # Boxes on a lone image were drawn, not known: nothing in it tells that one is off.
        recipe = replace(recipe, stale=0.0, disturbed=0.0, window=1.0, alone=0.0)
    history = History(frames) if recipe.stale > 0 else None
    for now in rng.permutation(len(frames)):
        steps = np.arange(1, recipe.gaps + 1)
        steps = np.concatenate([-steps, steps]) if recipe.reversed else -steps
        before = now + steps
        before = before[(before >= 0) & (before < len(frames))]
        # A frame alone is a still image; so is, now and then, one of many.
        then = now if len(before) == 0 or rng.random() < 0.05 else rng.choice(before)
        made = pair_examples(frames[then], frames[now], crops, recipe, rng, history, clutter)
        if made is not None:
            yield made


def dataset(
    sources: Sequence[Source],
    crops: CropPair,
    recipe: Recipe,
    *,
    batch: int,
    seed: int,
    epoch: int = 0,
    workers: int = 1,
    shuffle: int = 1024,
    clutter: Sequence[Frame] = (),
) -> Any:
    """Endless batches for Keras.

    Parameters
    ----------
    sources : sequence of Source
        Taken in another order in each round.
    crops : CropPair
    recipe : Recipe
    batch : int
    seed, epoch : int
        Decide the examples; a resumed run goes on with the next epoch's. With another number of
        `workers` they come in another order.
    workers : int
        Sequences that are read and cut at the same time.
    shuffle : int
        Examples held back to mix the sequences.
    clutter : sequence of Frame
        Real images, see `pair_examples`.

    Returns
    -------
    tf.data.Dataset
        Of ``({"target", "search"}, {"box", "present"})``.

    Raises
    ------
    ValueError
        If there are no sources, or they have no region that is seen twice.
    """
    tf = require("tensorflow", extra="train", purpose="training")
    if not sources:
        raise ValueError("there is nothing to learn from: give at least one sequence")
    workers = max(1, min(workers, len(sources)))

    def work(worker: Any) -> Iterator[tuple[Any, ...]]:
        turn = 0
        while True:
            order = np.random.default_rng([seed, epoch, turn]).permutation(len(sources))
            found = False
            for number in order[int(worker) :: workers]:
                rng = np.random.default_rng([seed, epoch, turn, int(number)])
                for made in sequence_examples(sources[number](), crops, recipe, rng, clutter):
                    found = True
                    yield (
                        {"target": made.target, "search": made.search},
                        {
                            "box": made.box,
                            "present": made.present,
                        },
                    )
            if not found:
                raise ValueError("no region is seen twice in the training sequences, larger than 4 pixels")
            turn += 1

    def rows(*shape: int) -> Any:
        return tf.TensorSpec((None, *shape), tf.float32)

    signature = (
        {name: rows(*shape) for name, shape in crops.inputs.items()},
        {"box": rows(4), "present": rows(1)},
    )
    made = tf.data.Dataset.range(workers).interleave(
        lambda worker: tf.data.Dataset.from_generator(work, output_signature=signature, args=(worker,)),
        cycle_length=workers,
        num_parallel_calls=workers,
        deterministic=True,
    )
    made = made.unbatch().shuffle(shuffle, seed=seed + 7919 * epoch, reshuffle_each_iteration=False)
    return made.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def table_source(
    table: pd.DataFrame, folder: str | os.PathLike[str], places: pd.DataFrame | None = None
) -> Source:
    """A sequence from a table of boxes, such as a track table or a simulated ``truth.csv``.

    Parameters
    ----------
    table : DataFrame
        Columns ``file``, ``x0``, ``y0``, ``x1``, ``y1`` in pixel edges of the image as stored, and
        ``id`` if there are several regions. Rows without a box are left out.
    folder : path
        What the file names are relative to.
    places : DataFrame, optional
        Columns ``file``, ``time``, ``center_x``, ``center_y``, ``radius_px``, ``b0_deg``,
        ``distance_m`` as in a simulated ``frames.csv``, for images without a header.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If columns are missing or there is no box.
    """
    missing = {"file", *_BOX} - set(table)
    if missing:
        raise ValueError(f"the table of boxes lacks the columns {', '.join(sorted(missing))}")
    rows = table[np.isfinite(table[_BOX].to_numpy(float)).all(axis=1)]
    if rows.empty:
        raise ValueError("the table of boxes has no box")
    rows = rows.assign(id=rows.get("id", 0))
    if rows.duplicated(["file", "id"]).any():
        raise ValueError("the table of boxes has several boxes of one region in one image; give an id column")
    where = {} if places is None else {row.file: row for row in places.itertuples()}
    base = Path(folder)

    def load() -> list[Frame]:
        frames = []
        for file, group in rows.groupby("file", sort=False):
            frame = _read(base / str(file))
            if (place := where.get(file)) is not None:
                geometry = ImageGeometry.from_disk(
                    (place.center_x, place.center_y),
                    place.radius_px,
                    b0_deg=place.b0_deg,
                    row0=images.row0(base / str(file)),
                    distance_au=place.distance_m / AU_M,
                )
                frame = frame._replace(geometry=geometry, days=_days(place.time))
            frames.append(
                frame._replace(
                    ids=group["id"].to_numpy(np.int64), boxes=group[_BOX].to_numpy(float), file=str(file)
                )
            )
        return sorted(frames, key=lambda f: f.days) if all(np.isfinite(f.days) for f in frames) else frames

    return load


def ann_source(folder: str | os.PathLike[str], annotation: str | os.PathLike[str]) -> Source:
    """A sequence in the layout of the published recipe: numbered images and an ``.ann`` file.

    Parameters
    ----------
    folder : path
        Images whose names are frame numbers, such as ``000012.png``.
    annotation : path
        ``.ann`` file with one region's box for each frame.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If no image has a box.
    """
    files = {int(p.stem): p.name for p in images.find_images([folder]) if p.stem.isdigit()}
    frames, found = box_formats.read_ann(annotation)
    known = [(files[n], *box) for n, box in zip(frames.tolist(), found.tolist(), strict=True) if n in files]
    if not known:
        raise ValueError(f"no image in {folder} has the number of a frame in {annotation}")
    return table_source(pd.DataFrame(known, columns=["file", *_BOX]), folder)


def simulated_source(folder: str | os.PathLike[str]) -> Source:
    """A sequence that `write_simulated` (or `solartrack.simulate.write`) has written.

    Boxes are those of what can be seen at that time (``seen.csv``, of `write_simulated`); else those of
    the catalogue (``truth.csv``), which hold a region for all of its life.
    """
    home = Path(folder)
    places = pd.read_csv(home / "frames.csv")
    if not (home / "seen.csv").exists():
        return table_source(pd.read_csv(home / "truth.csv"), home, places)
    seen = pd.read_csv(home / "seen.csv")
    groups = dict(iter(seen.groupby("file")))
    # Only the images and places are wanted from here.
    source = table_source(places.assign(x0=0.0, y0=0.0, x1=1.0, y1=1.0), home, places)
    # Fitting rectangles takes longer than everything else; in the next round they are here.
    done: dict[str, Frame] = {}

    def load() -> list[Frame]:
        out = []
        for frame in source():
            if frame.file in done:
                out.append(done[frame.file]._replace(image=frame.image))
                continue
            mine = groups.get(frame.file, seen[:0])
            whole, sides = mine["part"].to_numpy() == 0, mine[_SIDES].to_numpy(np.float64)
            ids = mine["id"].to_numpy(np.int64)
            assert frame.geometry is not None
            boxes, _ = rectangles_to_boxes(sides[whole], frame.geometry)
            ny, nx = frame.image.shape
            boxes = np.clip(boxes, 0.0, [nx, ny, nx, ny])
            there = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
            fitted, _ = fit_rectangles(boxes[there], frame.geometry)
            made = frame._replace(
                ids=ids[whole][there],
                boxes=boxes[there],
                parts=(ids[~whole], sides[~whole]),
                rectangles=fitted,
            )
            done[frame.file] = made._replace(image=np.empty(0))
            out.append(made)
        return out

    return load


def still_source(path: str | os.PathLike[str], seed: int, *, count: int = 24, largest: int = 1024) -> Source:
    """A real image without known boxes, as a still: windows around bright places stand for regions.

    Parameters
    ----------
    path : path
        Image with a header that tells where the Sun is.
    seed : int
        Decides the boxes.
    count : int
        Boxes.
    largest : int
        Larger images are reduced to at most this many pixels on a side.

    Returns
    -------
    Source
    """

    def load() -> list[Frame]:
        header, _ = images.read_header(path)
        frame = _read(path, reduce=_reduction(header, largest))
        if frame.geometry is None:
            raise GeometryError(f"{path}: nothing tells where the Sun is, so no boxes can be drawn")
        boxes = _bright_boxes(frame, count, np.random.default_rng(seed))
        return [frame._replace(ids=np.arange(len(boxes)), boxes=boxes)]

    return load


def read_clutter(path: str | os.PathLike[str], *, largest: int = 1024) -> Frame:
    """A real image of the whole Sun without boxes, to be blended into simulated ones.

    Parameters
    ----------
    path : path
    largest : int
        Larger images are reduced to at most this many pixels on a side.

    Returns
    -------
    Frame

    Raises
    ------
    GeometryError
        If its header does not tell where the Sun is.
    """
    header, _ = images.read_header(path)
    frame = _read(path, reduce=_reduction(header, largest))
    if frame.geometry is None:
        raise GeometryError(f"{path}: nothing tells where the Sun is, so it cannot be blended in")
    return frame


def _reduction(header: Any, largest: int) -> int:
    """Power of two by which an image has to be reduced."""
    factor = 1
    while max(int(header["NAXIS1"]), int(header["NAXIS2"])) // factor > largest:
        factor *= 2
    return factor


def write_simulated(folder: str | os.PathLike[str], seed: int, *, frames: int = 12, size: int = 1024) -> None:
    """Render a sequence with channel, telescope, cadence and date drawn from the seed.

    A folder that already holds a complete sequence is left as it is.

    Parameters
    ----------
    folder : path
    seed : int
    frames : int
        Images; some of them may be dropped.
    size : int
        Pixels on a side.
    """
    home = Path(folder)
    if (home / "seen.csv").exists():  # written last
        return
    rng = np.random.default_rng([seed, 20])
    cadence = float(rng.choice([1.0, 2.0, 4.0, 4.0, 8.0, 12.0]))
    start = np.datetime64("2010-06-01T00:00:00") + np.timedelta64(int(rng.integers(0, 5000 * 1440)), "m")
    instrument = simulate.Instrument(
        arcsec_per_pixel=2.4 * 1024 / size * float(rng.uniform(0.97, 1.1)),
        offset_px=(float(rng.normal(0.0, 2.0)), float(rng.normal(0.0, 2.0))),
        gain=float(np.exp(rng.normal(0.0, 0.25))),
        contrast=float(np.exp(rng.normal(0.0, 0.15))),
        blur_arcsec=float(rng.uniform(0.8, 2.5)),
        noise=float(rng.uniform(0.5, 2.0)),
    )
    model = simulate.SunModel(
        int(rng.integers(2**31)),
        n_regions=int(rng.integers(10, 31)),
        start=start,
        days=max(1.0, frames * cadence / 24.0),
        merging=float(rng.uniform(0.1, 0.6)),
    )
    if seed % 2:
        # Exposed so that nothing is saturated, and sharper: as real images of most days are.
        instrument = replace(
            instrument,
            gain=0.45 * instrument.gain,
            contrast=0.85 * instrument.contrast,
            blur_arcsec=0.5 * instrument.blur_arcsec,
        )
    made = simulate.sequence(
        model,
        frames,
        cadence,
        drop=0.1 if rng.random() < 0.3 else 0.0,
        size=size,
        channel=str(rng.choice(["171", "193", "magnetogram"], p=[0.55, 0.3, 0.15])),
        output="display",
        instrument=instrument,
    )
    if not (home / "truth.csv").exists():
        simulate.write(home, made, format="png")
    _write_seen(home, model)


def _write_seen(home: Path, model: simulate.SunModel) -> None:
    """Write the rectangles of the field that each region has in each image, and of the parts of merged ones.

    The rectangle of a catalogue holds a region for all of its life, which nobody can see in an image.
    """
    assert model.regions is not None
    regions = {region.id: region for region in model.regions}
    rows: list[tuple[Any, ...]] = []
    for frame in pd.read_csv(home / "frames.csv").itertuples():
        days = model.days_at(str(frame.time))
        for patch in model.patches(str(frame.time)):
            members = [m.absorbed for m in model.merges if m.kept == patch.id and m.days <= days]
            found = []
            for region in (regions[number] for number in (patch.id, *members)):
                sides = _field(region, days) if region.lives(days) else None
                if sides is not None:
                    turn = -frame.l0_deg - 360.0 * round((0.5 * (sides[0] + sides[2]) - frame.l0_deg) / 360.0)
                    found.append(sides + np.array([turn, 0.0, turn, 0.0]))
            if not found:
                continue
            # Parts lie side by side: neither half a turn apart nor across the meridian behind the Sun.
            every = np.array(found)
            every[:, ::2] -= 360.0 * np.round((every[:, :1] - every[0, 0]) / 360.0)
            union = (*every[:, :2].min(axis=0), *every[:, 2:].max(axis=0))
            rows.append((frame.file, patch.id, 0, *union))
            if len(every) > 1:
                rows += [(frame.file, patch.id, 1, *sides) for sides in every]
    partial = home / ".seen.csv"
    pd.DataFrame(rows, columns=["file", "id", "part", *_SIDES]).to_csv(partial, index=False)
    partial.replace(home / "seen.csv")


def _field(region: simulate.Region, days: float) -> Float64Array | None:
    """Rectangle, in Carrington degrees, around where the field is at least 30 G; None if it is nowhere."""
    field = region.fragments(days)
    ratio = np.abs(field.peak_gauss) / 30.0
    strong = ratio > 1.0
    if not strong.any():
        return None
    reach = field.sigma_deg[strong] * np.sqrt(2.0 * np.log(ratio[strong]))
    x, y = field.x_deg[strong], field.y_deg[strong]
    stretch, lon = 1.0 / np.cos(np.radians(region.lat_deg)), region.lon_at(days)
    return np.array(
        [
            lon + (x - reach).min() * stretch,
            region.lat_deg + (y - reach).min(),
            lon + (x + reach).max() * stretch,
            region.lat_deg + (y + reach).max(),
        ]
    )


def _read(path: str | os.PathLike[str], *, reduce: int = 1) -> Frame:
    """An image without boxes."""
    found = images.read(path, reduce=reduce)
    geometry = None
    if "CTYPE1" in found.header:
        geometry = ImageGeometry.from_header(found.header)
    days = np.nan if found.time is None else float(found.time.mjd)
    return Frame(display_values(found.array), days, geometry, np.empty(0, np.int64), np.empty((0, 4)))


def _days(time: str) -> float:
    return float((np.datetime64(time) - np.datetime64("2000-01-01")) / np.timedelta64(1, "D"))


def carried(
    boxes: Float64Array, source: Frame, target: Frame, which: NDArray[Any] | None = None
) -> Float64Array:
    """Boxes where rotation takes them, as the solar tracker sees it; where they are, if that is not known.

    Parameters
    ----------
    boxes : ndarray of float64, shape (n, 4)
    source, target : Frame
    which : ndarray of int, shape (n,), optional
        Says that they are these of the source's own boxes.

    Returns
    -------
    ndarray of float64, shape (n, 4)
    """
    days = target.days - source.days
    if source is target or source.geometry is None or target.geometry is None or not np.isfinite(days):
        return boxes
    rectangles = fit_rectangles(boxes, source.geometry)[0] if which is None else _rectangles(source, which)
    there, _ = rectangles_to_boxes(rotate_rectangles(rectangles, days), target.geometry)
    size = there[:, 2:] - there[:, :2]
    there[~np.all(size >= 1.0, axis=1)] = np.nan
    return np.asarray(np.where(np.isfinite(there), there, boxes))


def _gone(previous: Frame, current: Frame) -> tuple[Float64Array, Float64Array]:
    """Boxes of regions that have died between two frames, and where they would be."""
    none = np.empty((0, 4))
    dead = ~np.isin(previous.ids, current.ids)
    size = previous.boxes[:, 2:] - previous.boxes[:, :2]
    dead &= np.all(size >= _THINNEST, axis=1)
    if not dead.any() or previous.geometry is None or current.geometry is None:
        return none, none
    was = previous.boxes[dead]
    rectangles = rotate_rectangles(fit_rectangles(was, previous.geometry)[0], current.days - previous.days)
    there, seen = rectangles_to_boxes(rectangles, current.geometry)
    # Not those that went behind the limb or became part of another one.
    left = np.all(seen, axis=1) & np.all(there[:, 2:] - there[:, :2] >= _THINNEST, axis=1)
    if len(current.boxes):
        overlaps = metrics.iou(np.nan_to_num(there), current.boxes, pairwise=False)
        left &= np.all(overlaps < 0.05, axis=1)
    return was[left], there[left]


def _sides(count: int, recipe: Recipe, rng: np.random.Generator) -> Float64Array:
    """Errors of the four sides in box sizes, broad on purpose.

    The tracker weighs the network's answer against what it knows by itself. If the errors here were
    as small as its own usually are, the network would learn to repeat the box that it is shown.
    """
    change = rng.laplace(0.0, 1.0, (count, 4)) / rng.choice(recipe.side_rates, (count, 4))
    change[rng.random((count, 4)) < 0.2] = 0.0
    # A side stays on its side.
    change[:, :2] = np.clip(change[:, :2], -0.8, 0.35)
    change[:, 2:] = np.clip(change[:, 2:], -0.35, 0.8)
    return np.asarray(change, dtype=np.float64)


def _shift(
    boxes: Float64Array,
    shift_rates: NDArray[Any],
    size_rates: NDArray[Any],
    limit: float,
    shape: tuple[int, int],
    rng: np.random.Generator,
    tries: int = 10,
) -> Float64Array:
    """Boxes moved and resized at random.

    Redrawn until the centre stays in the old box's context window and the box in the image; where no
    try does, only the size changes.
    """
    n = len(boxes)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = 0.5 * (boxes[:, 2:] + boxes[:, :2])
    growth = np.clip(rng.laplace(0.0, 1.0, (tries, n, 2)) / size_rates[:, None], -limit, limit)
    moves = rng.laplace(0.0, 1.0, (tries, n, 2)) / shift_rates[:, None]
    new_size = np.maximum(size * (1.0 + growth), 1.0)
    new_centre = centre + moves * size
    low, high = new_centre - 0.5 * new_size, new_centre + 0.5 * new_size
    inside = (np.abs(moves) <= 1.0) & (low >= 0.0) & (high <= [shape[1], shape[0]])
    good = inside.all(axis=2)
    chosen = good.argmax(axis=0)
    rows = np.arange(n)
    at = np.where(good.any(axis=0)[:, None], new_centre[chosen, rows], centre)
    half = 0.5 * new_size[chosen, rows]
    return np.concatenate([at - half, at + half], axis=1)


def _elsewhere(boxes: Float64Array, shape: tuple[int, int], rng: np.random.Generator) -> Float64Array:
    """Boxes of the same size from whose windows the region's centre cannot be seen."""
    size = boxes[:, 2:] - boxes[:, :2]
    angle = rng.uniform(0.0, 2.0 * np.pi, len(boxes))
    way = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    way /= np.abs(way).max(axis=1, keepdims=True)
    move = way * rng.uniform(1.3, 4.0, (len(boxes), 1)) * size
    # Towards the middle of the image, or it would see nothing but black.
    centre = 0.5 * (boxes[:, 2:] + boxes[:, :2])
    middle = np.array([shape[1], shape[0]]) / 2
    outwards = np.abs(centre + move - middle) > 0.45 * np.array([shape[1], shape[0]])
    move = np.where(outwards, -move, move)
    return boxes + np.tile(move, 2)


def _blend(
    search: NDArray[np.float32],
    anchors: Float64Array,
    rows: NDArray[Any],
    geometry: ImageGeometry,
    convention: CropPair,
    images: Sequence[Frame],
    recipe: Recipe,
    rng: np.random.Generator,
) -> None:
    """Blend places of real images into some crops.

    Half of the places are the window's own on the disk, or its mirror image's, so that a limb meets a limb.
    Half of the crops get the real light on top, half its texture: what is saturated gets structure, too.
    """
    n = len(rows)
    choice, aligned = rng.integers(len(images), size=n), rng.random((n, 1)) < 0.5
    place = (0.5 * (anchors[rows, :2] + anchors[rows, 2:]) - geometry.disk_center) / geometry.disk_radius
    place = np.where(aligned, place, rng.uniform(-0.9, 0.9, (n, 2)))
    half = 0.5 * (anchors[rows, 2:] - anchors[rows, :2]) / geometry.disk_radius
    mirrored = rng.random((n, 2)) < 0.5
    weight = rng.uniform(0.0, recipe.clutter, (n, 1, 1, 1)).astype(np.float32)
    textured = rng.random((n, 1, 1, 1)) < 0.5
    for number in np.unique(choice):
        mine, other = choice == number, images[number].geometry
        assert other is not None
        at, flip = rows[mine], mirrored[mine]
        centre = other.disk_center + other.disk_radius * np.where(flip, -place[mine], place[mine])
        reach = other.disk_radius * half[mine]
        there = np.concatenate([centre - reach, centre + reach], axis=1)
        real = convention.crop(images[number].image, there, threads=1)
        for axis in (0, 1):
            real[flip[:, axis]] = np.flip(real[flip[:, axis]], axis=2 - axis)
        mean = np.maximum(real.mean(axis=(1, 2, 3), keepdims=True), 1.0)
        wanted = np.where(textured[mine], search[at] * np.minimum(real / mean, 2.0), real)
        search[at] += weight[mine] * (wanted - search[at])


def _spoil(search: NDArray[np.float32], rows: NDArray[Any], rng: np.random.Generator) -> None:
    """Make these crops black, saturated or nothing but noise."""
    for row in rows:
        match rng.integers(3):
            case 0:
                search[row] = rng.uniform(0.0, 10.0)
            case 1:
                search[row] = 255.0
            case _:
                search[row] = rng.normal(rng.uniform(20, 200), rng.uniform(2, 40), search[row].shape)


def _tone(
    target: NDArray[np.float32], search: NDArray[np.float32], recipe: Recipe, rng: np.random.Generator
) -> None:
    """Gain, contrast and noise of other telescopes, days and stretches."""
    n = len(target)
    shape = (n, 1, 1, 1)
    gain, gamma = np.exp(rng.normal(0.0, recipe.tone, (2, *shape)))
    # Half of them keep their tone, so that unaltered images stay the commonest.
    plain = rng.random(shape) < 0.5
    for crops in (target, search):
        change_gain, change_gamma = np.exp(rng.normal(0.0, recipe.tone_change, (2, *shape)))
        power = np.where(plain, 1.0, gamma * change_gamma).astype(np.float32)
        factor = np.where(plain, 1.0, gain * change_gain).astype(np.float32)
        changed = np.flatnonzero(~plain)
        if recipe.tone > 0 and len(changed):
            value = np.power(np.clip(crops[changed], 0, 255) / np.float32(255), power[changed])
            crops[changed] = np.clip(value * factor[changed], 0, 1) * np.float32(255)
        noisy = np.flatnonzero(rng.random(n) < 0.4)
        if recipe.noise > 0 and len(noisy):
            sigma = rng.uniform(0.0, recipe.noise, (len(noisy), 1, 1, 1)).astype(np.float32)
            grain = rng.standard_normal((len(noisy), *crops.shape[1:]), dtype=np.float32)
            crops[noisy] = np.clip(crops[noisy] + sigma * grain, 0, 255)


def _orient(
    target: NDArray[np.float32],
    search: NDArray[np.float32],
    box: Float64Array,
    recipe: Recipe,
    span: float,
    rng: np.random.Generator,
) -> None:
    """Mirror images and right angles, of both crops and the box."""
    if recipe.mirrored:
        for axis, (low, high) in ((2, (0, 2)), (1, (1, 3))):
            rows = np.flatnonzero(rng.random(len(box)) < 0.5)
            for crops in (target, search):
                crops[rows] = np.flip(crops[rows], axis=axis)
            box[rows, low], box[rows, high] = span - box[rows, high], span - box[rows, low]
    if recipe.turned > 0:
        rows = np.flatnonzero(rng.random(len(box)) < recipe.turned)
        for crops in (target, search):
            crops[rows] = crops[rows].swapaxes(1, 2)
        box[rows] = box[rows][:, [1, 0, 3, 2]]


def _bright_boxes(frame: Frame, count: int, rng: np.random.Generator) -> Float64Array:
    """Boxes of the size and place of active regions, centred where the image is bright."""
    assert frame.geometry is not None
    centre, radius = frame.geometry.disk_center, frame.geometry.disk_radius
    ny, nx = frame.image.shape
    step = max(1, round(radius / 40))
    y, x = np.mgrid[step // 2 : ny - step : step, step // 2 : nx - step : step]
    means = frame.image[: ny // step * step, : nx // step * step].astype(float)
    means = means.reshape(ny // step, step, nx // step, step).mean(axis=(1, 3))[: len(y), : x.shape[1]]
    near = np.hypot(x - centre[0], y - centre[1]) < 0.95 * radius
    # Cubed: most at active regions, some anywhere on the disk.
    weight = np.where(near, (means - means[near].min() + 1.0) ** 3, 0.0).ravel()
    at = rng.choice(len(weight), size=count, p=weight / weight.sum())
    width = radius * np.exp(rng.normal(np.log(0.22), 0.45, count))
    height = width * np.exp(rng.normal(np.log(0.65), 0.25, count))
    # The Sun is round: near the east and west limbs regions are narrow.
    width *= np.sqrt(np.maximum(1.0 - ((x.ravel()[at] - centre[0]) / radius) ** 2, 0.05))
    mx, my = (
        x.ravel()[at] + rng.normal(0, 0.15, count) * width,
        y.ravel()[at] + rng.normal(0, 0.15, count) * height,
    )
    boxes = np.stack([mx - width / 2, my - height / 2, mx + width / 2, my + height / 2], axis=1)
    return box_formats.clip(boxes, (ny, nx))
