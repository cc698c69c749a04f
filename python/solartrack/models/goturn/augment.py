"""Changes of the crops themselves: blended real images, spoilt images, tone, noise and orientation.

All functions change their arrays in place.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry
from solartrack.inference import CropPair
from solartrack.models.goturn.recipes import Recipe
from solartrack.sequence import Frame

__all__ = ["blend", "change_tone", "orient", "spoil"]

Crops = NDArray[np.float32]


def blend(
    search: Crops,
    anchors: Float64Array,
    rows: NDArray[np.intp],
    geometry: ImageGeometry,
    convention: CropPair,
    clutter: Sequence[Frame],
    recipe: Recipe,
    rng: np.random.Generator,
) -> None:
    """Blend parts of real images into some of the crops.

    Half of these parts have the same position on the disk as the window or its mirror image, so that a limb
    is blended with a limb. In half of the crops the real image itself is blended in, in the others only its
    texture, which gives structure even to saturated areas.

    Parameters
    ----------
    search : ndarray of float32, shape (n, side, side, 1)
    anchors : ndarray of float64, shape (n, 4)
        Boxes around which `search` was cut.
    rows : ndarray of int
        Which crops to change.
    geometry : ImageGeometry
        Of the image that `search` was cut from.
    convention : CropPair
        With one channel and no mean.
    clutter : sequence of Frame
        Real images with geometry, pixels are display values.
    recipe : Recipe
    rng : numpy.random.Generator
    """
    n = len(rows)
    choice, aligned = rng.integers(len(clutter), size=n), rng.random((n, 1)) < 0.5
    position = (0.5 * (anchors[rows, :2] + anchors[rows, 2:]) - geometry.disk_center) / geometry.disk_radius
    position = np.where(aligned, position, rng.uniform(-0.9, 0.9, (n, 2)))
    half = 0.5 * (anchors[rows, 2:] - anchors[rows, :2]) / geometry.disk_radius
    mirrored = rng.random((n, 2)) < 0.5
    weight = rng.uniform(0.0, recipe.clutter, (n, 1, 1, 1)).astype(np.float32)
    textured = rng.random((n, 1, 1, 1)) < 0.5
    for number in np.unique(choice):
        mine, other = choice == number, clutter[number]
        assert other.geometry is not None and other.pixels is not None
        at, flip, radius = rows[mine], mirrored[mine], other.geometry.disk_radius
        centre = other.geometry.disk_center + radius * np.where(flip, -position[mine], position[mine])
        reach = radius * half[mine]
        boxes = np.concatenate([centre - reach, centre + reach], axis=1)
        real = convention.crop(other.pixels, boxes, threads=1)
        for axis in (0, 1):
            real[flip[:, axis]] = np.flip(real[flip[:, axis]], axis=2 - axis)
        mean = np.maximum(real.mean(axis=(1, 2, 3), keepdims=True), 1.0)
        wanted = np.where(textured[mine], search[at] * np.minimum(real / mean, 2.0), real)
        search[at] += weight[mine] * (wanted - search[at])


def spoil(search: Crops, rows: NDArray[np.intp], rng: np.random.Generator) -> None:
    """Make these crops black, saturated or pure noise."""
    for row in rows:
        match rng.integers(3):
            case 0:
                search[row] = rng.uniform(0.0, 10.0)
            case 1:
                search[row] = 255.0
            case _:
                search[row] = rng.normal(rng.uniform(20, 200), rng.uniform(2, 40), search[row].shape)


def change_tone(target: Crops, search: Crops, recipe: Recipe, rng: np.random.Generator) -> None:
    """Change gain, contrast and noise, as they differ between telescopes, days and display stretches."""
    n = len(target)
    shape = (n, 1, 1, 1)
    gain, gamma = np.exp(rng.normal(0.0, recipe.tone, (2, *shape)))
    # Half of the pairs keep their tone, so that unchanged images remain the most common.
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


def orient(
    target: Crops, search: Crops, box: NDArray[Any], recipe: Recipe, span: float, rng: np.random.Generator
) -> None:
    """Mirror and transpose both crops and the box; `span` is the coordinate of a crop's far edges."""
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
