"""What is known of one tracked region: where its sides are, how well, and whether it is still there.

The sides are those of a rectangle in latitude and longitude that rotates with the Sun, as
catalogues of magnetic regions define them; in an image one sees its visible part. Each answer
of a network is a measurement of that part, and an extended Kalman filter weighs it against
what is known: the surer the network is of a side, and the less the filter, the more of its
answer counts. What a network says of a side errs much alike for days, for what it draws is not
quite what the start box was drawn around; that error is estimated beside the sides, from the
start image on. Without times or coordinates the same is done with a plain box.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.coordinates import (
    ImageGeometry,
    fit_rectangles,
    ordered,
    rectangle_jacobians,
    rectangles_to_boxes,
    rotate_rectangles,
    visible_parts,
)
from solartrack.errors import GeometryError
from solartrack.tracking.interface import FrameMeta, Step

__all__ = ["Region", "place"]

# Chosen on 24 simulated sequences (seeds 905000 to 905013, 905100 to 905109) that no reported figure comes
# from, with exact and with disturbed start boxes, with boxes of what is seen and with the catalogue's: about
# the largest sum of mean IoU and success, of near ties the fewest constants. How alike errors stay was
# measured there, too: by 0.9 after half a day, 0.5 to 0.8 after two; their size, 0.07 to 0.13 of the box.
#: Error of the network's sides from image to image, in its own spreads.
NOISE = 0.8
#: Random walk of each side: share of the region's size in a day (or from image to image, without times).
WALK = 0.12
#: Scatter of the error that lasts: share of the box; or, without a target, the network's spreads.
OFFSET, OFFSET_ALONE = 0.14, 1.2
#: Days (or images, without times) in which it is forgotten: western and eastern sides, southern and northern.
MEMORY = (1.0, 3.0)
#: Score below which an answer is not believed, and from which a lost region is found again.
BELIEVED, FOUND = 0.3, 0.5
#: Images in a row without a believed answer after which a region is lost.
PATIENCE = 3
# The network's score, and the IoU that boxes with this score had in those sequences. Of the filter's box
# a score that was given without a target tells nothing: the mean of exact and disturbed start boxes.
_SCORES = ((0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0), (0.0, 0.3, 0.64, 0.65, 0.74, 0.87, 0.92))
SCORE_ALONE = 0.7
#: A start box with a side known worse than this, in sizes of the box and in degrees, is a sliver at the limb,
#: and no likeness of its region. (Away from the limb an error of a pixel does not make it one.)
VAGUE, VAGUE_DEG = 0.05, 0.5
# Found on HARP 7269 from the limb. The size is what HARP 3604 bears out: its eastern and western sides change
# by 0.1 to 0.7 of its size in a day, two days from the limb and nearer, as more or less of it is counted in.
# Simulated boxes of what a magnetograph counts there (30 G along the line of sight) like it, too, those of
# the catalogue slightly less than none.
#: Share of its width to which the eastern and western sides of such a region are known at best at the start.
VAGUE_SIDES = 0.25
#: Smaller boxes, in pixels, are not shown to the network.
SMALLEST = 2.0
#: Degrees of longitude and latitude that are more than a region, somewhat less than what can be fitted.
LARGEST = (170.0, 85.0)


class Region:
    """A region from its start box on.

    Parameters
    ----------
    box : ndarray of float64, shape (4,)
        On the start image.
    meta : FrameMeta
        Of the start image.

    Attributes
    ----------
    target : ndarray or None
        Crop in which it was seen last, for the network; kept by the caller. None if it is looked for without.
    in_pixels : str
        Why the region is tracked without the Sun's rotation, "" if it is not.
    settled : bool
        Whether all sides were known well at the start. If not, at the limb, a crop around the box is no
        likeness of the region, and even days later that of the filter's box would tie it to its errors.

    Raises
    ------
    GeometryError
        If the box lies beyond the limb, or covers too much of the Sun to be a region.
    """

    _jacobian: Float64Array

    def __init__(self, box: Float64Array, meta: FrameMeta) -> None:
        self.target: Any = None
        self.score = 1.0
        self._missed, self._told = 0, False
        self._note, self._seen = "", False
        self._meta = meta
        self.in_pixels = ""
        if meta.geometry is None:
            self.in_pixels = "nothing tells where the Sun is"
        elif not np.isfinite(meta.days):
            self.in_pixels = "the start image has no time"
        self._box = box
        # The errors that last, each in its own scatter, and the covariance of the sides and them.
        self._offsets, self._covariance = np.zeros(4), np.eye(8)
        if self.in_pixels:
            size = np.tile(box[2:] - box[:2], 2)
            self._sides, self._covariance[:4, :4] = box.copy(), np.diag((0.01 * size + 0.25) ** 2)
            self.settled = True
            return
        assert meta.geometry is not None
        sides, covariances = fit_rectangles(box, meta.geometry)
        self._sides, self._covariance[:4, :4] = sides[0], covariances[0]
        wide = self._sides[2:] - self._sides[:2]
        if not (wide < LARGEST).all():
            x, y = meta.geometry.disk_center
            why = (
                "covers too much of the Sun for a region"
                if np.isfinite(wide).all()
                else "lies beyond the limb"
            )
            raise GeometryError(
                f"the box ({', '.join(f'{v:g}' for v in box)}) {why}: the disk has its centre at "
                f"({x:.1f}, {y:.1f}) and a radius of {meta.geometry.disk_radius:.1f} px"
            )
        self._box = visible_parts(box[None], meta.geometry)[0]
        self.settled = self._known()
        if not self.settled:
            least = (VAGUE_SIDES * (self._sides[2] - self._sides[0])) ** 2
            for side in (0, 2):
                self._covariance[side, side] = max(least, self._covariance[side, side])

    @property
    def geometry(self) -> ImageGeometry | None:
        """Where the Sun is in the image that it is in; None if `in_pixels`."""
        return None if self.in_pixels else self._meta.geometry

    @property
    def sides(self) -> Float64Array:
        """``(lon0, lat0, lon1, lat1)`` in Stonyhurst degrees, not wrapped; a box in pixels if `in_pixels`."""
        return self._sides

    def learn_offsets(
        self, found: Float64Array, spread: Float64Array, score: float, *, alone: bool = False
    ) -> bool:
        """Compare the network's answer for the start image with the start box; whether it was believed.

        What a box should hold is for the user or the catalogue to say: all that is bright, the strong
        field, or a region for the whole of its life. What is known of the box tells how the network
        draws otherwise, and is itself hardly changed; of a side that is not known, at the limb, the answer
        is the first measurement. The parameters are those of `correct`.
        """
        box = self._box
        place([self])
        seen = bool(np.isfinite(self._box).all())
        believed = seen and self.correct(found, spread, score, alone=alone)
        # It is no image after the start.
        self._box, self.score, self._missed, self._seen, self._note = box, 1.0, 0, False, ""
        return believed

    def move(self, meta: FrameMeta) -> None:
        """Go to the time of another image; `place` has to follow."""
        self._note, self._seen = "", False
        if self.in_pixels:
            if not self._told:
                self._note = f"{self.in_pixels}: followed without the Sun's rotation"
                self._told = True
            elapsed = 1.0
            self._meta = meta
        else:
            days, geometry = meta.days, meta.geometry
            if not np.isfinite(days):
                days, self._note = self._meta.days, "no time: taken to be that of the image before"
            if geometry is None:
                geometry = self._meta.geometry
                self._note = "nothing tells where the Sun is: taken to be as in the image before"
            elapsed = abs(days - self._meta.days)
            self._sides = rotate_rectangles(self._sides, days - self._meta.days)[0]
            self._meta = meta._replace(days=days, geometry=geometry)
        size = np.tile(self._sides[2:] - self._sides[:2], 2)
        left = np.concatenate([np.ones(4), np.exp(-elapsed / np.tile(MEMORY, 2))])
        self._offsets = left[4:] * self._offsets
        grown = np.concatenate([(WALK * size) ** 2 * elapsed, 1.0 - left[4:] ** 2])
        self._covariance = self._covariance * np.outer(left, left) + np.diag(grown)

    def prior(self) -> Step:
        """Where the region is by what was known before this image: "coasting", or "off_disk"."""
        if not np.isfinite(self._box).all():
            return Step(np.full(4, np.nan), 0.0, "off_disk", self._note)
        return Step(self._box, self.score, "coasting", self._note)

    def foresee(self, meta: FrameMeta) -> Float64Array:
        """Box of `prior` after `move`, shape (4,), without going there; NaN once it is behind the limb."""
        if self.in_pixels:
            return self._box
        days = meta.days if np.isfinite(meta.days) else self._meta.days
        sides = rotate_rectangles(self._sides, days - self._meta.days)
        geometry = meta.geometry or self._meta.geometry
        assert geometry is not None
        box: Float64Array = rectangles_to_boxes(sides, geometry)[0][0]
        return box

    def correct(
        self, found: Float64Array, spread: Float64Array, score: float, *, alone: bool = False
    ) -> bool:
        """Weigh a network's answer; `place` and `outcome` have to follow.

        Parameters
        ----------
        found : ndarray of float64, shape (4,)
            Box in pixels.
        spread : ndarray of float64, shape (4,)
            Its expected errors, pixels.
        score : float
            How sure the network is that it is the region, 0 to 1.
        alone : bool
            Whether no target was shown to the network.

        Returns
        -------
        bool
            Whether the answer was believed.
        """
        usable = np.isfinite([*found, *spread, score]).all() and (found[2:] > found[:2]).all()
        if not usable or score < (FOUND if self._missed >= PATIENCE else BELIEVED):
            self.miss(score if usable else 0.0)
            return False
        noise = np.diag((NOISE * spread) ** 2 + 0.25**2)
        size = np.tile(self._box[2:] - self._box[:2], 2)
        lasting = np.diag(OFFSET_ALONE * spread if alone else OFFSET * size)
        h, p = np.hstack([self._jacobian, lasting]), self._covariance
        off = found - self._box - lasting @ self._offsets
        gain = np.linalg.solve(h @ p @ h.T + noise, h @ p).T
        change = gain @ off
        sides = self._sides + change[:4]
        if self.in_pixels:
            there = sides if (sides[2:] - sides[:2] >= 1.0).all() else np.full(4, np.nan)
        else:
            assert self._meta.geometry is not None
            sides = ordered(sides[None], np.array([0.05]))[0]
            there = rectangles_to_boxes(sides, self._meta.geometry)[0][0]
        if not np.isfinite(there).all():  # no box, or one behind the limb
            self.miss(0.0)
            return False
        if self._missed >= PATIENCE:
            self._note = "found again"
        self._missed, self._seen, self._sides = 0, True, sides
        self._offsets = self._offsets + change[4:]
        # Joseph's form stays positive definite whatever the gain.
        rest = np.eye(8) - gain @ h
        self._covariance = rest @ p @ rest.T + gain @ noise @ gain.T
        self.score = SCORE_ALONE if alone else float(np.interp(score, *_SCORES))
        return True

    def miss(self, score: float, why: str = "", *, looked: bool = True) -> None:
        """Go on without an answer: the box stays where rotation takes it."""
        self._missed += looked
        self.score = min(self.score, float(score))
        self._note = why or self._note

    def outcome(self) -> Step:
        """What there is to tell after this image."""
        if not np.isfinite(self._box).all():
            return Step(np.full(4, np.nan), 0.0, "off_disk", self._note)
        state = "lost" if self._missed >= PATIENCE else "tracked" if self._seen else "coasting"
        return Step(self._box, self.score, state, self._note)

    def _known(self) -> bool:
        assert self._meta.geometry is not None
        size = np.tile(self._sides[2:] - self._sides[:2], 2)
        least = max(VAGUE_DEG, float(np.degrees(1.0 / self._meta.geometry.disk_radius)))
        return bool((np.sqrt(np.diag(self._covariance)[:4]) <= np.maximum(VAGUE * size, least)).all())


def place(regions: Sequence[Region]) -> None:
    """Find where regions that have moved or been corrected are in their image, all at once."""
    rotating = [region for region in regions if not region.in_pixels]
    for region in regions:
        if region.in_pixels:
            region._box, region._jacobian = region._sides.copy(), np.eye(4)
    if rotating:
        geometry = rotating[0]._meta.geometry
        assert geometry is not None
        boxes, jacobians, _ = rectangle_jacobians(np.array([r._sides for r in rotating]), geometry)
        for region, box, jacobian in zip(rotating, boxes, jacobians, strict=True):
            region._box, region._jacobian = box, jacobian
