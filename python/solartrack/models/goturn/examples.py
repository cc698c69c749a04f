"""Training examples: pairs of crops, cut from sequences with known boxes.

For each region in a pair of images there is one true example, with the search window around the *prior*,
where rotation takes the previous box, as in the tracker. Others start from a box such as a tracker has, stale
or with errors of its sides; have a window that is shifted and resized at random; or do not show the region,
so that the score learns to say so. Everything follows from the random generator.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack.crop import frame_to_crop
from solartrack.inference import CropPair
from solartrack.models.goturn import augment
from solartrack.models.goturn.carried import History
from solartrack.models.goturn.recipes import Recipe
from solartrack.models.goturn.sources import LabelledFrame
from solartrack.models.goturn.windows import draw_windows
from solartrack.sequence import Frame

__all__ = ["Examples", "pair_examples", "sequence_examples"]


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
    previous: LabelledFrame,
    current: LabelledFrame,
    crops: CropPair,
    recipe: Recipe,
    rng: np.random.Generator,
    history: History | None = None,
    clutter: Sequence[Frame] = (),
) -> Examples | None:
    """Examples from two images; the same one twice is a still image.

    Parameters
    ----------
    previous, current : LabelledFrame
    crops : CropPair
    recipe : Recipe
    rng : numpy.random.Generator
    history : History, optional
        History of their sequence, for stale boxes.
    clutter : sequence of Frame
        Real images with geometry, from `sources.read_clutter`, to be blended into search windows without a
        target.

    Returns
    -------
    Examples or None
        None if no region of sufficient size is in both images.
    """
    windows = draw_windows(previous, current, crops, recipe, rng, history)
    if windows is None:
        return None
    grey = replace(crops, channels=1, mean=(0.0,))
    target = grey.crop(previous.pixels, windows.shown, threads=1)
    search = grey.crop(current.pixels, windows.anchors, threads=1)
    alone, anchors = windows.alone, windows.anchors
    if len(clutter) and current.geometry is not None:
        chosen = np.flatnonzero(alone & (rng.random(len(alone)) < recipe.cluttered))
        augment.blend(search, anchors, chosen, current.geometry, grey, clutter, recipe, rng)
    augment.spoil(search, np.flatnonzero(windows.lost & ~windows.elsewhere), rng)
    augment.change_tone(target, search, recipe, rng)
    box = frame_to_crop(windows.truth, anchors, context=crops.context, span=crops.span)
    augment.orient(target, search, box, recipe, crops.span, rng)
    mean = np.array(crops.mean, np.float32)
    target, search = target - mean, search - mean
    target[alone] = 0.0
    present = (~windows.lost).astype(np.float32)[:, np.newaxis]
    return Examples(target, search, box.astype(np.float32), present)


def sequence_examples(
    frames: Sequence[LabelledFrame],
    crops: CropPair,
    recipe: Recipe,
    rng: np.random.Generator,
    clutter: Sequence[Frame] = (),
) -> Iterator[Examples]:
    """Examples from a sequence, pair by pair; each image is the current one once."""
    if len(frames) == 1:
        # The boxes of a single image were drawn at random, so nothing in it shows that one is wrong.
        recipe = replace(recipe, stale=0.0, disturbed=0.0, window=1.0, alone=0.0)
    history = History(frames) if recipe.stale > 0 else None
    for now in rng.permutation(len(frames)):
        steps = np.arange(1, recipe.gaps + 1)
        steps = np.concatenate([-steps, steps]) if recipe.reversed else -steps
        before = now + steps
        before = before[(before >= 0) & (before < len(frames))]
        # A single image is its own predecessor; so is, now and then, one of many.
        then = now if len(before) == 0 or rng.random() < 0.05 else rng.choice(before)
        made = pair_examples(frames[then], frames[now], crops, recipe, rng, history, clutter)
        if made is not None:
            yield made
