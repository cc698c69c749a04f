"""Boxes carried from image to image by rotation, as the tracker does it before its network answers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solartrack import metrics
from solartrack._arrays import Float64Array
from solartrack.coordinates import fit_rectangles, rectangles_to_boxes, rotate_rectangles
from solartrack.models.goturn.sources import LabelledFrame
from solartrack.sequence import Frame

__all__ = ["History", "carried", "ended", "large"]

# A thinner sliver, at the limb, cannot be told from those beside it.
_THINNEST = 4.0


def large(boxes: Float64Array) -> NDArray[np.bool_]:
    """Which boxes, shape (n, 4), are large enough to learn from: at least 4 pixels on both sides."""
    return np.asarray(np.all(boxes[:, 2:] - boxes[:, :2] >= _THINNEST, axis=1))


def carried(
    boxes: Float64Array, source: Frame, target: Frame, rectangles: Float64Array | None = None
) -> Float64Array:
    """Boxes where rotation takes them; where they were, if time, geometry or the result is unknown.

    Parameters
    ----------
    boxes : ndarray of float64, shape (n, 4)
    source, target : Frame
    rectangles : ndarray of float64, shape (n, 4), optional
        Their heliographic rectangles in the source, if they are known.

    Returns
    -------
    ndarray of float64, shape (n, 4)
    """
    days = target.mjd_tai - source.mjd_tai
    if source is target or source.geometry is None or target.geometry is None or not np.isfinite(days):
        return boxes
    if rectangles is None:
        rectangles = fit_rectangles(boxes, source.geometry)[0]
    moved, _ = rectangles_to_boxes(rotate_rectangles(rectangles, days), target.geometry)
    moved[~np.all(moved[:, 2:] - moved[:, :2] >= 1.0, axis=1)] = np.nan
    return np.asarray(np.where(np.isfinite(moved), moved, boxes))


def ended(previous: LabelledFrame, current: LabelledFrame) -> tuple[Float64Array, Float64Array]:
    """Boxes of regions that have dissolved between two images, and where they would be now."""
    none = np.empty((0, 4))
    gone = ~np.isin(previous.ids, current.ids) & large(previous.boxes)
    if not gone.any() or previous.geometry is None or current.geometry is None:
        return none, none
    was = previous.boxes[gone]
    days = current.frame.mjd_tai - previous.frame.mjd_tai
    rectangles = rotate_rectangles(fit_rectangles(was, previous.geometry)[0], days)
    moved, visible = rectangles_to_boxes(rectangles, current.geometry)
    # Not those that are behind the limb or have become part of another region.
    kept = np.all(visible, axis=1) & large(moved)
    if len(current.boxes):
        overlaps = metrics.iou(np.nan_to_num(moved), current.boxes, pairwise=False)
        kept &= np.all(overlaps < 0.05, axis=1)
    return was[kept], moved[kept]


class History:
    """The boxes of a sequence as heliographic rectangles, to carry each of them into any other image.

    The parts of merged regions are among them: a tracker that has followed one part still has its box.

    Parameters
    ----------
    frames : sequence of LabelledFrame
    """

    def __init__(self, frames: Sequence[LabelledFrame]) -> None:
        none = np.empty(0, np.int64), np.empty((0, 4)), np.empty(0)
        found = [none]
        for one in frames:
            days, fine = one.frame.mjd_tai, large(one.boxes)
            if one.geometry is not None and np.isfinite(days) and fine.any():
                if one.rectangles is None:
                    rectangles = fit_rectangles(one.boxes[fine], one.geometry)[0]
                else:
                    rectangles = one.rectangles[fine]
                found.append((one.ids[fine], rectangles, np.full(len(rectangles), days)))
            ids, parts = one.parts
            found.append((ids, parts, np.full(len(ids), days)))
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
        """A box that each region has in some image, carried by rotation into both images of a pair.

        Boxes that are far from the truth by now are drawn more often: regions that have come over the limb
        or merged are rare, and they are what a tracker has to learn.

        Parameters
        ----------
        ids : ndarray of int64, shape (n,)
        was, prior, now : ndarray of float64, shape (n, 4)
            True box in the previous image, where rotation takes it, and true box in the current image.
        previous, current : Frame
        rng : numpy.random.Generator

        Returns
        -------
        shown, anchors : ndarray of float64, shape (n, 4)
            In the previous and the current image; `was` and `prior` where there is no other box.
        """
        shown, anchors = was.copy(), prior.copy()
        if previous.geometry is None or current.geometry is None:
            return shown, anchors
        for row, number in enumerate(ids):
            mine = self._ids == number
            if not mine.any():
                continue
            rectangles, days = self._rectangles[mine], self._days[mine]
            before, after = (
                rectangles_to_boxes(_carry(rectangles, f.mjd_tai - days), g)[0]
                for f, g in ((previous, previous.geometry), (current, current.geometry))
            )
            fine = large(before) & large(after)
            if not fine.any():
                continue
            before, after = before[fine], after[fine]
            weight = 1.05 - metrics.iou(after, np.repeat(now[row : row + 1], len(after), axis=0))
            pick = rng.choice(len(after), p=weight / weight.sum())
            shown[row], anchors[row] = before[pick], after[pick]
        return shown, anchors


def _carry(rectangles: Float64Array, days: Float64Array) -> Float64Array:
    """Rectangles, each carried by its own number of days."""
    return rectangles + (rotate_rectangles(rectangles, 1.0) - rectangles) * days[:, None]
