"""One track beside its truth, validated once; every metric of one track is a function of it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack import _core
from solartrack._arrays import Float64Array, as_track

#: An IoU this little below a threshold reaches it. The coordinates' rounding makes an IoU of, say, one half
#: err by up to 4e-12, for boxes a tenth of a pixel wide on a 4096 px image.
ROUNDING = 1e-9


def reaches(iou: Float64Array, theta: float | Float64Array) -> NDArray[np.bool_]:
    """Where boxes match: IoU >= theta but for rounding, and IoU > 0. All metrics compare by this."""
    return (iou >= theta - ROUNDING) & (iou > 0.0)


def falls_below(iou: Float64Array, threshold: float) -> NDArray[np.bool_]:
    """Where a track is lost: IoU < threshold, but for rounding; never at 0."""
    return (iou < threshold) & ~reaches(iou, threshold)


@dataclass(frozen=True, eq=False)
class PairedTrack:
    """True and reported boxes of the same frames, and what the metrics derive from them.

    Attributes
    ----------
    truth, boxes : ndarray of float64, shape (n, 4)
        ``(x0, y0, x1, y1)``; rows of `boxes` without a report are zeros, an empty box.
    reported : ndarray of bool, shape (n,)
        Where the tracker reported a box.
    """

    truth: Float64Array
    boxes: Float64Array
    reported: NDArray[np.bool_]

    @classmethod
    def of(cls, truth: ArrayLike, boxes: ArrayLike) -> "PairedTrack":
        """Validate the boxes; see `solartrack.metrics.score` for what is accepted."""
        return cls(*as_track(truth, boxes))

    @property
    def n_frames(self) -> int:
        """Annotated frames."""
        return len(self.truth)

    @cached_property
    def n_reported(self) -> int:
        """Frames with a report."""
        return int(self.reported.sum())

    @cached_property
    def iou(self) -> Float64Array:
        """IoU in every frame, 0 in those without a report."""
        return _core.overlap_pairs(_core.Overlap.IOU, self.boxes, self.truth)

    def matched(self, theta: float) -> NDArray[np.bool_]:
        """Frames in which the boxes match, see `reaches`."""
        return reaches(self.iou, theta)

    def n_matched(self, theta: float) -> int:
        """How many frames match."""
        return int(self.matched(theta).sum())

    @cached_property
    def centre_error(self) -> Float64Array:
        """Distance of the centres in pixels, infinite in frames without a report."""
        return self._distance(self._centre_offset, self.reported)

    @cached_property
    def normalized_centre_error(self) -> Float64Array:
        """The same with x over the true width and y over the true height; infinite if one of them is 0."""
        size = self.truth[:, 2:] - self.truth[:, :2]
        offset = np.divide(self._centre_offset, size, out=np.zeros_like(size), where=size > 0.0)
        return self._distance(offset, self.reported & (size > 0.0).all(axis=1))

    @property
    def _centre_offset(self) -> Float64Array:
        g, t = self.truth, self.boxes
        return np.asarray(((t[:, :2] + t[:, 2:]) - (g[:, :2] + g[:, 2:])) / 2.0)

    @staticmethod
    def _distance(offset: Float64Array, known: NDArray[np.bool_]) -> Float64Array:
        return np.where(known, np.hypot(offset[:, 0], offset[:, 1]), np.inf)
