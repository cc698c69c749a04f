"""Which tracks have come to hold the same region as an older one."""

from collections.abc import Sequence

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.metrics.overlap import coverage, iou

__all__ = ["Merging"]

#: A track ends when the share of its area inside an older track has risen by this much since they met, ...
CONTAINED = 0.5
#: ... or when their IoU is this much, ...
ALIKE = 0.8
#: ... in so many images in a row.
IN_A_ROW = 3


class Merging:
    """Watches tracks from image to image. They are named by their rank: the oldest is 0."""

    def __init__(self) -> None:
        self._ended: set[int] = set()
        # For each younger (row) and older (column) track: the share of the younger inside the older when
        # they met, NaN before that; and the number of images in a row in which it was contained.
        self._met = np.full((0, 0), np.nan, np.float32)
        self._count = np.zeros((0, 0), np.int8)

    def find(
        self, ranks: Sequence[int], areas: Float64Array, recognised: Sequence[bool], *, degrees: bool
    ) -> list[tuple[int, int]]:
        """Tracks that end in an image.

        Parameters
        ----------
        ranks : sequence of int, shape (n,)
            Tracks that have a box in the image, the oldest first.
        areas : ndarray of float64, shape (n, 4)
            Where they are: rectangles in degrees of longitude and latitude, or boxes in pixels.
        recognised : sequence of bool, shape (n,)
            Whether each was recognised in the image: nothing ends in a track that was not.
        degrees : bool
            Whether `areas` are degrees: whole turns apart is the same place.

        Returns
        -------
        list of (int, int)
            Ranks of a track that ends and of the older one that contains it.
        """
        sides = np.array(areas)
        if degrees:
            middle = 0.5 * (sides[:, 0] + sides[:, 2])
            sides[:, ::2] -= 360.0 * np.round((middle - middle[0]) / 360.0)[:, None]
        contained = coverage(sides, sides, pairwise=False, threads=1).T
        self._make_room(1 + max(ranks))
        pairs = np.ix_(ranks, ranks)
        self._met[pairs] = np.where(np.isnan(self._met[pairs]), contained, self._met[pairs])
        alike = iou(sides, sides, pairwise=False, threads=1) >= ALIKE
        taken_in = np.asarray(recognised) & (alike | (contained - self._met[pairs] >= CONTAINED))
        count = np.where(taken_in, np.minimum(self._count[pairs] + 1, IN_A_ROW), 0)
        self._count[pairs] = count

        ended = []
        for row, rank in enumerate(ranks):
            into = [i for i in range(row) if count[row, i] >= IN_A_ROW and ranks[i] not in self._ended]
            if into:
                self._ended.add(rank)
                ended.append((rank, ranks[max(into, key=lambda i: contained[row, i])]))
        return ended

    def _make_room(self, count: int) -> None:
        """For this many tracks."""
        more = (0, 2 * count - len(self._met))
        if count > len(self._met):
            self._met = np.pad(self._met, (more, more), constant_values=np.nan)
            self._count = np.pad(self._count, (more, more))
