"""A tracking network on whole images: boxes and templates in, boxes in pixels out, any number at a time."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry
from solartrack.errors import ModelError
from solartrack.images import display_values
from solartrack.inference import SHIPPED, CropPair, Model, find_model, load_model
from solartrack.sequence import Frame, ImagePart, Window
from solartrack.tracking.reading import clip_window

__all__ = ["SEARCH_WINDOWS", "Answers", "DisplayImage", "Network", "NetworkTracker", "windows_of_sizes"]

# Spread of models that predict none: share of the box, about the average of goturn-lite's.
_USUAL_SPREAD = 0.05
# Images of these kinds can be decoded in part; for others nothing would be gained.
_DECODED_IN_PARTS = (".jp2", ".j2k", ".jpx")
# A corrected box may be larger than the predicted one, around which an image is decoded.
_ROOM = 1.3


def windows_of_sizes(*sizes: float) -> Float64Array:
    """Four windows of each size, shifted up, down, left and right, as `SEARCH_WINDOWS`; shape (k, 3)."""
    shifts = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return np.array([(size, 0.35 * size * x, 0.35 * size * y) for size in sizes for x, y in shifts])


# Without a template, what is found depends on where and how large the window happens to be. Of some thirty
# sets of windows this one of eight does as well as any, including sets of 27, on simulated regions that
# begin at the limb.
#: Windows whose answers are averaged where there is no template: size, and shifts in x and y, in units of
#: half the square that `CropPair.squares` gives.
SEARCH_WINDOWS = windows_of_sizes(1.0, 1.6)


class Answers(NamedTuple):
    """What a network answers for n regions.

    Attributes
    ----------
    boxes : ndarray of float64, shape (n, 4)
        Pixel edges, not clipped to the image.
    spreads : ndarray of float64, shape (n, 4)
        Expected error of each side, pixels.
    scores : ndarray of float64, shape (n,)
        0 to 1; 1 where the model gives none.
    """

    boxes: Float64Array
    spreads: Float64Array
    scores: Float64Array


class DisplayImage:
    """An image on the scale that networks are trained on.

    Where a crop needs pixels that were not decoded, they are read now. So results never depend on how much
    of an image was decoded beforehand.

    Parameters
    ----------
    image : ImagePart
    frame : Frame
        The image's record.
    """

    def __init__(self, image: ImagePart, frame: Frame) -> None:
        self._frame = frame
        if image.pixels.dtype != np.uint8 and image.pixels.shape != frame.shape:
            image = frame.read()  # the range of brightness is that of the whole image
        self._part = image._replace(pixels=display_values(image.pixels))

    def cut(self, window: Window) -> NDArray[Any]:
        """Pixels of a window that lies inside the image."""
        x0, y0, x1, y1 = window
        part = self._part
        bottom, right = part.y0 + part.pixels.shape[0], part.x0 + part.pixels.shape[1]
        if x0 < part.x0 or y0 < part.y0 or x1 > right or y1 > bottom:
            part = self._part = self._frame.read(
                (min(x0, part.x0), min(y0, part.y0), max(x1, right), max(y1, bottom))
            )
        return part.pixels[y0 - part.y0 : y1 - part.y0, x0 - part.x0 : x1 - part.x0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the whole image."""
        return self._frame.shape


class Network:
    """A model with the crops it takes.

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
        # What a copy in another process is made from: there, too, one session serves all.
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
    def needs_template(self) -> bool:
        """Whether it can only follow what it is shown, and not detect a region by its looks."""
        return self.crops.alone == 0.0

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

    def surroundings(self, box: Float64Array, shape: tuple[int, int]) -> Window | None:
        """Whole pixels of an image from which the crops around a box, or a corrected one, are made.

        Parameters
        ----------
        box : ndarray of float64, shape (4,)
            NaN for a region behind the limb, for which no pixel is needed.
        shape : tuple of int
            Of the image.

        Returns
        -------
        tuple of int or None
            ``(x0, y0, x1, y1)``; None, the whole image, if they lie outside it.
        """
        if not np.isfinite(box).all():
            return 0, 0, min(16, shape[1]), min(16, shape[0])
        centre, half = 0.5 * (box[:2] + box[2:]), 0.5 * _ROOM * self.crops.context * (box[2:] - box[:2]) + 8.0
        return clip_window([*(centre - half), *(centre + half)], shape)

    def search_area(self, box: Float64Array, geometry: ImageGeometry) -> Float64Array:
        """Box whose `surroundings` hold all `SEARCH_WINDOWS` around a box, shape (4,)."""
        square = self.crops.squares(box[None], geometry.disk_radius)[0]
        reach = (np.abs(SEARCH_WINDOWS[:, 1:]).max(axis=1) + self.crops.context * SEARCH_WINDOWS[:, 0]).max()
        centre, half = 0.5 * (square[:2] + square[2:]), 0.5 * (square[2:] - square[:2])
        half *= float(reach) / (_ROOM * self.crops.context)
        return np.concatenate([centre - half, centre + half])

    def crop(self, image: DisplayImage, boxes: Float64Array) -> NDArray[np.float32]:
        """Crops around boxes, float32 of shape (n, side, side, channels).

        Where a window has several pixels for each pixel of the crop, they are averaged first: the network
        was trained on images in which it has about one, and single pixels of a 4096-pixel image are
        noisier than that.
        """
        if not len(boxes):
            return np.empty((0, *self.crops.inputs["search"]), np.float32)
        parts, moved = zip(*(_averaged(image, box, self.crops) for box in boxes), strict=True)
        return self.crops.crop(parts, np.array(moved))

    def answer(
        self,
        templates: Sequence[NDArray[np.float32] | None],
        image: DisplayImage,
        priors: Float64Array,
        geometry: ImageGeometry | None = None,
        windows: Float64Array = SEARCH_WINDOWS,
    ) -> Answers:
        """Find regions in an image.

        Parameters
        ----------
        templates : sequence of ndarray of float32, shape (side, side, channels)
            Crops in which they were last seen, from `crop`. None for a region of which only the place is
            known: the network, unless `needs_template`, looks for whatever region is there in several
            windows, and the answers are averaged.
        image : DisplayImage
        priors : ndarray of float64, shape (n, 4)
            Where to search, pixel edges.
        geometry : ImageGeometry, optional
            Of the image; needed if there is a None among the templates.
        windows : ndarray of float64, shape (k, 3)
            Those without a template are searched in, as `SEARCH_WINDOWS`.

        Returns
        -------
        Answers
        """
        searched = np.array([template is None for template in templates], dtype=bool)
        counts = np.where(searched, len(windows), 1)
        rows = np.repeat(np.arange(len(searched)), counts)
        shown = priors[rows]
        if searched.any():
            assert geometry is not None
            squares = self.crops.squares(priors[searched], geometry.disk_radius)
            shown[searched[rows]] = _shifted(squares, windows)
        boxes, spreads, scores = self._run(templates, image, rows, shown)
        first = np.cumsum(counts) - counts
        found = Answers(boxes[first], spreads[first], scores[first])
        for row in np.flatnonzero(searched):
            every = slice(first[row], first[row] + counts[row])
            weight = 1.0 / np.maximum(spreads[every], 1e-6) ** 2
            found.boxes[row] = (weight * boxes[every]).sum(axis=0) / weight.sum(axis=0)
            found.spreads[row] = 1.0 / np.sqrt(weight.mean(axis=0))
            found.scores[row] = scores[every].mean()
        return found

    def _run(
        self,
        templates: Sequence[NDArray[np.float32] | None],
        image: DisplayImage,
        rows: NDArray[np.intp],
        windows: Float64Array,
    ) -> Answers:
        """Answers for windows, of which each belongs to the region of a row."""
        blank = np.zeros(self.crops.inputs["target"], np.float32)
        given = [blank if template is None else template for template in templates]
        out = self.model.run({"target": np.stack(given)[rows], "search": self.crop(image, windows)})
        boxes = self.crops.to_frame(np.nan_to_num(out["box"], nan=-1e6), windows, None)
        size = np.tile(windows[:, 2:] - windows[:, :2], 2)
        if "spread" in out:
            spreads = out["spread"].astype(np.float64) * size * self.crops.context / self.crops.span
        else:
            spreads = _USUAL_SPREAD * size
        scores = out["score"][:, 0].astype(np.float64) if "score" in out else np.ones(len(rows))
        return Answers(boxes, spreads, scores)


class NetworkTracker(ABC):
    """What trackers with a network share: the network, its settings, and the part of an image it needs.

    Parameters
    ----------
    model, device, threads
        See `Network`.

    Attributes
    ----------
    network : Network
    """

    needs_pixels = True
    needs_sun = False

    def __init__(self, model: str | os.PathLike[str] | Model, device: str, threads: int | None) -> None:
        self.network = Network(model, device, threads)

    def settings(self) -> dict[str, Any]:
        """Return the model's identity and where it runs."""
        return self.network.settings()

    def window(self, regions: Sequence[Any], frame: Frame) -> Window | None:
        """Part of an image that the network will see, if its format can be decoded in part."""
        if not frame.file.lower().endswith(_DECODED_IN_PARTS):
            return None
        windows = []
        for region in regions:
            window = self.network.surroundings(self._searched(region, frame), frame.shape)
            if window is None:
                return None
            windows.append(window)
        return _union(windows)

    @abstractmethod
    def _searched(self, region: Any, frame: Frame) -> Float64Array:
        """Box around which a region is searched for in an image, its start image or a later one."""


def _union(windows: Sequence[Window]) -> Window | None:
    if not windows:
        return None
    low, high = np.array(windows)[:, :2].min(axis=0), np.array(windows)[:, 2:].max(axis=0)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _shifted(squares: Float64Array, windows: Float64Array) -> Float64Array:
    """Windows around each of n squares, shape (n times k, 4), from their sizes and shifts, shape (k, 3)."""
    low, high = np.split(squares[:, np.newaxis], 2, axis=2)
    centre, half = 0.5 * (low + high), 0.5 * (high - low)
    centre, half = centre + windows[:, 1:] * half, windows[:, :1] * half
    return np.concatenate([centre - half, centre + half], axis=2).reshape(-1, 4)


def _averaged(image: DisplayImage, box: Float64Array, crops: CropPair) -> tuple[NDArray[Any], Float64Array]:
    """The image around a box with pixels averaged to at least half those of the crop, and the box in it.

    Blocks count from the image's first pixel, so it is the same from any part of the image.
    """
    ny, nx = image.shape
    sides, centre = crops.context * (box[2:] - box[:2]), 0.5 * (box[:2] + box[2:])
    fx, fy = (max(1, int(side / crops.side)) for side in sides)
    # Whole blocks, two more than the window needs on each side.
    x0, y0 = (max(0, int((c - s / 2) // f - 2)) * f for c, s, f in zip(centre, sides, (fx, fy), strict=True))
    x1, y1 = (
        min(n // f, int((c + s / 2) // f + 3)) * f
        for c, s, f, n in zip(centre, sides, (fx, fy), (nx, ny), strict=True)
    )
    if x1 <= x0 or y1 <= y0:  # all of the window is outside the image, which is taken to be black
        return np.zeros((1, 1), np.uint8), box
    part = image.cut((x0, y0, x1, y1))
    if fx == 1 and fy == 1:
        return part, box - [x0, y0, x0, y0]
    # Strided sums take a tenth of the time of a mean over the axes of a reshaped array.
    rows = np.zeros((part.shape[0] // fy, part.shape[1]), np.float32)
    for k in range(fy):
        rows += part[k::fy]
    small = rows[:, ::fx].copy()
    for k in range(1, fx):
        small += rows[:, k::fx]
    small /= np.float32(fx * fy)
    return small, box / [fx, fy, fx, fy] - [x0 // fx, y0 // fy, x0 // fx, y0 // fy]
