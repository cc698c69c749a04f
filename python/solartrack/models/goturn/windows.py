"""Where the two crops of each training example are cut, drawn at random as a recipe says."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.inference import CropPair
from solartrack.models.goturn.carried import History, carried, ended, large
from solartrack.models.goturn.recipes import Recipe
from solartrack.models.goturn.sources import LabelledFrame

__all__ = ["Windows", "draw_windows"]

Bools = NDArray[np.bool_]


@dataclass
class Windows:
    """Boxes and flags with one row for each example.

    Attributes
    ----------
    shown : ndarray of float64, shape (n, 4)
        Boxes around which the target is cut, in the previous image.
    anchors : ndarray of float64, shape (n, 4)
        Boxes around which the search window is cut, in the current image.
    truth : ndarray of float64, shape (n, 4)
        True boxes in the current image.
    lost : ndarray of bool, shape (n,)
        Whether the region is not to be seen in the window.
    elsewhere : ndarray of bool, shape (n,)
        Whether that is because the window lies elsewhere or the region has dissolved; in other lost
        examples the image is to be spoilt.
    alone : ndarray of bool, shape (n,)
        Whether no target is shown.
    """

    shown: Float64Array
    anchors: Float64Array
    truth: Float64Array
    lost: Bools
    elsewhere: Bools
    alone: Bools


def draw_windows(
    previous: LabelledFrame,
    current: LabelledFrame,
    crops: CropPair,
    recipe: Recipe,
    rng: np.random.Generator,
    history: History | None,
) -> Windows | None:
    """Draw the windows of all examples from a pair of images.

    The parameters are those of `solartrack.models.goturn.examples.pair_examples`. Random numbers are drawn
    in a fixed order, so that a training run can be repeated: keep it.

    Returns
    -------
    Windows or None
        None if no region of sufficient size is in both images.
    """
    _, before, after = np.intersect1d(previous.ids, current.ids, assume_unique=True, return_indices=True)
    fine = large(previous.boxes[before]) & large(current.boxes[after])
    if not fine.any():
        return None
    before, after = before[fine], after[fine]
    was, now = previous.boxes[before], current.boxes[after]
    prior = was
    if recipe.rotated:
        known = None if previous.rectangles is None else previous.rectangles[before]
        prior = carried(was, previous.frame, current.frame, known)
    stale = was, prior
    if recipe.stale > 0 and history is not None:
        ids = previous.ids[before]
        stale = history.stale(ids, was, prior, now, previous.frame, current.frame, rng)

    count, shape = 1 + recipe.shifted, (current.pixels.shape[0], current.pixels.shape[1])
    n = count * len(was)
    shown, anchors, truth = (np.repeat(a, count, axis=0) for a in (was, prior, now))
    windows = Windows(shown, anchors, truth, *np.zeros((3, n), bool))
    further = np.arange(n) % count > 0
    _replace_start(windows, further, stale, recipe, rng)
    # Away from where rotation points, by amounts that rotation cannot know.
    off = np.flatnonzero(further & (rng.random(n) < recipe.window))
    windows.anchors[off] = _shifted(windows.truth[off], recipe, shape, rng)
    windows.lost = rng.random(n) < recipe.lost
    if crops.alone > 0 and recipe.alone > 0 and current.geometry is not None:
        windows.alone = further & (rng.random(n) < recipe.alone)
        _forget_size(windows, crops, current.geometry.disk_radius, rng)
    windows.elsewhere = windows.lost & ~windows.alone & (rng.random(n) < 0.7)
    elsewhere = windows.elsewhere
    windows.anchors[elsewhere] = _beside(windows.truth[elsewhere], shape, rng)
    return _with_ended(windows, previous, current) if recipe.lost > 0 else windows


def _replace_start(
    windows: Windows,
    further: Bools,
    stale: tuple[Float64Array, Float64Array],
    recipe: Recipe,
    rng: np.random.Generator,
) -> None:
    """Let some examples start from stale boxes, others from boxes with random errors of their sides."""
    draw, count = rng.random(len(further)), 1 + recipe.shifted
    chosen = further & (draw < recipe.stale)
    windows.shown[chosen] = np.repeat(stale[0], count, axis=0)[chosen]
    windows.anchors[chosen] = np.repeat(stale[1], count, axis=0)[chosen]
    chosen = further & (draw >= recipe.stale) & (draw < recipe.stale + recipe.disturbed)
    if chosen.any():
        change = _side_errors(int(np.count_nonzero(chosen)), recipe, rng)
        for boxes in (windows.shown, windows.anchors):
            boxes[chosen] += change * np.tile(boxes[chosen, 2:] - boxes[chosen, :2], 2)


def _forget_size(windows: Windows, crops: CropPair, disk_radius: float, rng: np.random.Generator) -> None:
    """Cut the windows without a target around squares, whatever the size of the box."""
    alone = windows.alone
    squares = crops.squares(windows.anchors[alone], disk_radius)
    # Somewhat off centre, because at first perhaps only a part of a region is seen. Some are smaller, because
    # real regions may be larger than simulated ones.
    centre, half = 0.5 * (squares[:, :2] + squares[:, 2:]), 0.5 * (squares[:, 2:] - squares[:, :2])
    centre += 0.4 * half * rng.uniform(-1.0, 1.0, (len(squares), 2))
    half *= rng.uniform(0.5, 1.0, (len(squares), 1))
    windows.anchors[alone] = np.concatenate([centre - half, centre + half], axis=1)
    # Without a target any region in the window is the right one, so only spoilt images have none; fewer
    # examples are lost.
    windows.lost &= ~alone | (rng.random(len(alone)) < 0.3)


def _with_ended(windows: Windows, previous: LabelledFrame, current: LabelledFrame) -> Windows:
    """The windows, and one more for each region that has dissolved."""
    was, now = ended(previous, current)
    true, false = np.ones(len(was), bool), np.zeros(len(was), bool)
    return Windows(
        np.concatenate([windows.shown, was]),
        np.concatenate([windows.anchors, now]),
        np.concatenate([windows.truth, now]),
        np.concatenate([windows.lost, true]),
        np.concatenate([windows.elsewhere, true]),
        np.concatenate([windows.alone, false]),
    )


def _side_errors(count: int, recipe: Recipe, rng: np.random.Generator) -> Float64Array:
    """Errors of the four sides in box sizes, larger than the tracker's on purpose.

    The tracker weighs the network's answer against its own knowledge. If the errors here were as small as
    the tracker's usually are, the network would learn to repeat the box that it is shown.
    """
    change = rng.laplace(0.0, 1.0, (count, 4)) / rng.choice(recipe.side_rates, (count, 4))
    change[rng.random((count, 4)) < 0.2] = 0.0
    # Opposite sides must not change places.
    change[:, :2] = np.clip(change[:, :2], -0.8, 0.35)
    change[:, 2:] = np.clip(change[:, 2:], -0.35, 0.8)
    return np.asarray(change, dtype=np.float64)


def _shifted(
    boxes: Float64Array, recipe: Recipe, shape: tuple[int, int], rng: np.random.Generator, tries: int = 10
) -> Float64Array:
    """Boxes moved and resized at random, as published.

    They are redrawn until the centre lies in the old box's context window and the box in the image; where
    no try succeeds, only the size changes.
    """
    n = len(boxes)
    shift_rates, size_rates = rng.choice(recipe.shift_rates, n), rng.choice(recipe.size_rates, n)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = 0.5 * (boxes[:, 2:] + boxes[:, :2])
    growth: NDArray[Any] = rng.laplace(0.0, 1.0, (tries, n, 2)) / size_rates[:, None]
    growth = np.clip(growth, -recipe.size_limit, recipe.size_limit)
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


def _beside(boxes: Float64Array, shape: tuple[int, int], rng: np.random.Generator) -> Float64Array:
    """Boxes of the same size whose windows do not contain the region's centre."""
    size = boxes[:, 2:] - boxes[:, :2]
    angle = rng.uniform(0.0, 2.0 * np.pi, len(boxes))
    way = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    way /= np.abs(way).max(axis=1, keepdims=True)
    move = way * rng.uniform(1.3, 4.0, (len(boxes), 1)) * size
    # Towards the middle of the image, or the window would be black.
    centre = 0.5 * (boxes[:, 2:] + boxes[:, :2])
    middle = np.array([shape[1], shape[0]]) / 2
    outwards = np.abs(centre + move - middle) > 0.45 * np.array([shape[1], shape[0]])
    move = np.where(outwards, -move, move)
    return boxes + np.tile(move, 2)
