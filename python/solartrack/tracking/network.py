"""A tracking network on whole images: crops in, boxes in pixels out, any number at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry
from solartrack.errors import ModelError
from solartrack.images import display_values
from solartrack.inference import SHIPPED, CropPair, Model, find_model, load_model

__all__ = ["Answers", "Network"]

# Spread of models that tell none: share of the box, what goturn-lite's comes to on average.
_USUAL_SPREAD = 0.05

# What is found without a target depends on where and how large the window happens to be. Of some thirty sets
# of windows this one of eight does as well as any, those of 27 among them, on simulated regions that begin at
# the limb.
#: Windows for which answers without a target are averaged: size, and shifts in x and y, in half the square
#: that `CropPair.squares` gives.
LOOKS = np.array(
    [
        (size, 0.35 * size * x, 0.35 * size * y)
        for size in (1.0, 1.6)
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
)


class Answers(NamedTuple):
    """What a network says of n regions.

    Attributes
    ----------
    boxes : ndarray of float64, shape (n, 4)
        Pixel edges, not cut to the image.
    spreads : ndarray of float64, shape (n, 4)
        Expected error of each side, pixels.
    scores : ndarray of float64, shape (n,)
        0 to 1; 1 where the model tells none.
    """

    boxes: Float64Array
    spreads: Float64Array
    scores: Float64Array


class Network:
    """A model with the crops it wants.

    Parameters
    ----------
    model : str, path or Model
        See `solartrack.inference.find_model`.
    device : str
        See `solartrack.inference.Model.load`.
    threads : int, optional
        Of the model on the CPU.

    Raises
    ------
    ModelError
        If there is no such model, or it does not take crops of two images.
    """

    def __init__(self, model: str | os.PathLike[str] | Model, device: str, threads: int | None) -> None:
        # What a copy in another process is made from: there, too, one session for all.
        self._arguments: tuple[Any, ...] = model, device, threads
        if isinstance(model, Model):
            self.model = model
        else:
            if model not in SHIPPED:
                self._arguments = find_model(model).resolve(), device, threads
            # One session for all tracks of a process: loading takes longer than a short track.
            self.model = load_model(model, device=device, threads=threads)
        if not isinstance(self.model.convention, CropPair):
            kind = self.model.convention.kind
            raise ModelError(
                f"{self.model.path}: a tracker needs a model of crop pairs, this one takes {kind}"
            )
        self.crops: CropPair = self.model.convention

    def __reduce__(self) -> tuple[Any, ...]:
        return Network, self._arguments

    @property
    def needs_target(self) -> bool:
        """Whether it can only follow what it is shown, and not find a region by its looks."""
        return self.crops.alone == 0.0

    @property
    def reach(self) -> float:
        """How far it looks without a target, in half the square that `CropPair.squares` gives."""
        return float((np.abs(LOOKS[:, 1:]).max(axis=1) + self.crops.context * LOOKS[:, 0]).max())

    def settings(self) -> dict[str, Any]:
        """What makes its answers repeatable."""
        info = self.model.info
        return {
            "model": info.name,
            "model_version": info.version,
            "model_sha256": info.sha256,
            "precision": info.precision,
            "device": self.model.device,
        }

    def crop(self, image: NDArray[Any], boxes: Float64Array) -> NDArray[np.float32]:
        """Crops around boxes, float32 of shape (n, side, side, channels).

        Where a window has several pixels for each one of the crop, they are averaged first: the
        network was trained on images in which it has about one, and single pixels of a
        4096-pixel image are noisier than that.
        """
        parts: list[NDArray[Any]] = []
        moved = np.empty_like(boxes)
        for row, box in enumerate(boxes):
            part, moved[row] = _averaged(image, box, self.crops)
            parts.append(part)
        if all(part is image for part in parts):
            return self.crops.crop(image, boxes)
        return self.crops.crop(parts, moved)

    def answer(
        self,
        targets: Sequence[NDArray[np.float32] | None],
        image: NDArray[Any],
        priors: Float64Array,
        geometry: ImageGeometry | None = None,
    ) -> Answers:
        """Find regions in an image.

        Parameters
        ----------
        targets : sequence of ndarray of float32, shape (side, side, channels)
            Crops in which they were last seen, from `crop`. None for a region of which only its place is
            known: the network, if `needs_target` is false, looks for whatever region is there, in several
            windows, whose answers are averaged.
        image : ndarray, shape (ny, nx)
            Display values.
        priors : ndarray of float64, shape (n, 4)
            Where to look, pixel edges.
        geometry : ImageGeometry, optional
            Of the image; needed if there is a None among the targets.

        Returns
        -------
        Answers
        """
        alone = np.array([target is None for target in targets])
        looks = np.where(alone, len(LOOKS), 1)
        rows = np.repeat(np.arange(len(alone)), looks)
        windows = priors[rows]
        if alone.any():
            assert geometry is not None
            windows[alone[rows]] = self._windows(priors[alone], geometry.disk_radius)
        blank = np.zeros(self.crops.inputs["target"], np.float32)
        given = [blank if target is None else target for target in targets]
        out = self.model.run({"target": np.stack(given)[rows], "search": self.crop(image, windows)})
        boxes = self.crops.to_frame(np.nan_to_num(out["box"], nan=-1e6), windows, None)
        size = np.tile(windows[:, 2:] - windows[:, :2], 2)
        scale = size * self.crops.context / self.crops.span
        if "spread" in out:
            spreads = out["spread"].astype(np.float64) * scale
        else:
            spreads = _USUAL_SPREAD * size
        scores = out["score"][:, 0].astype(np.float64) if "score" in out else np.ones(len(rows))
        first = np.cumsum(looks) - looks
        found = Answers(boxes[first], spreads[first], scores[first])
        for row in np.flatnonzero(alone):
            every = slice(first[row], first[row] + looks[row])
            weight = 1.0 / np.maximum(spreads[every], 1e-6) ** 2
            found.boxes[row] = (weight * boxes[every]).sum(axis=0) / weight.sum(axis=0)
            found.spreads[row] = 1.0 / np.sqrt(weight.mean(axis=0))
            found.scores[row] = scores[every].mean()
        return found

    def _windows(self, priors: Float64Array, radius: float) -> Float64Array:
        """Where to look without a target: shape (n times `LOOKS`, 4)."""
        low, high = np.split(self.crops.squares(priors, radius)[:, np.newaxis], 2, axis=2)
        centre, half = 0.5 * (low + high), 0.5 * (high - low)
        centre, half = centre + LOOKS[:, 1:] * half, LOOKS[:, :1] * half
        return np.concatenate([centre - half, centre + half], axis=2).reshape(-1, 4)


def shown(image: NDArray[Any], window: tuple[int, int, int, int] | None) -> NDArray[Any]:
    """An image as networks see it, when only a window of it was read."""
    if window is None or image.dtype == np.uint8:
        return display_values(image)
    x0, y0, x1, y1 = window
    whole = np.zeros(image.shape, np.float32)
    whole[y0:y1, x0:x1] = display_values(image[y0:y1, x0:x1])
    return whole


def _averaged(image: NDArray[Any], box: Float64Array, crops: CropPair) -> tuple[NDArray[Any], Float64Array]:
    """The image around a box with pixels averaged to at least half those of the crop, and the box in it."""
    sides = crops.context * (box[2:] - box[:2])
    fx, fy = (max(1, int(s / crops.side)) for s in sides)
    if fx == 1 and fy == 1:
        return image, box
    ny, nx = image.shape
    centre = 0.5 * (box[:2] + box[2:])
    # Whole blocks of the image, two more than the window needs on each side.
    first = [max(0, int((c - s / 2) // f - 2)) for c, s, f in zip(centre, sides, (fx, fy), strict=True)]
    last = [
        min(n // f, int((c + s / 2) // f + 3))
        for c, s, f, n in zip(centre, sides, (fx, fy), (nx, ny), strict=True)
    ]
    if last[0] <= first[0] or last[1] <= first[1]:
        return image, box
    part = image[first[1] * fy : last[1] * fy, first[0] * fx : last[0] * fx]
    # Strided sums take a tenth of the time of a mean over the axes of a reshaped array.
    rows = np.zeros((last[1] - first[1], part.shape[1]), np.float32)
    for k in range(fy):
        rows += part[k::fy]
    small = rows[:, ::fx].copy()
    for k in range(1, fx):
        small += rows[:, k::fx]
    small /= np.float32(fx * fy)
    factor = np.array([fx, fy, fx, fy], dtype=np.float64)
    return small, box / factor - [first[0], first[1], first[0], first[1]]
