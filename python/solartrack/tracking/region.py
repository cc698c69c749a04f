"""What is known of one tracked region: where its sides are, how well, and whether it is still there.

The sides are those of a rectangle in latitude and longitude that rotates with the Sun, as
catalogues of magnetic regions define them; in an image one sees its visible part. Each answer
of a network is a measurement of that part, and an extended Kalman filter weighs it against
what is known: sides that have been seen for days hardly move, one that comes over the limb
takes what the network says. Without times or coordinates the same is done with a plain box.
"""

from typing import Any

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.coordinates import (
    fit_rectangles,
    ordered,
    rectangle_jacobians,
    rectangles_to_boxes,
    rotate_rectangles,
)
from solartrack.errors import GeometryError
from solartrack.tracking.interface import FrameMeta, Step

__all__ = ["Region"]

# Chosen on simulated sequences that no reported figure comes from, see docs/tracking.md.
#: Error of the network's sides in its own spreads: its errors in one frame resemble those in the last.
NOISE = 3.0
#: Random walk of each side: share of the region's size in a day (or from image to image, without times).
WALK = 0.03
#: Score below which an answer is not believed, and from which a lost region is found again.
BELIEVED, FOUND = 0.3, 0.5
#: Images in a row without a believed answer after which a region is lost.
PATIENCE = 3
#: Smaller boxes, in pixels, are not shown to the network.
SMALLEST = 2.0


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
        Crop in which it was seen last, for the network; kept by the caller.
    in_pixels : str
        Why the region is tracked without the Sun's rotation, "" if it is not.

    Raises
    ------
    GeometryError
        If the box lies beyond the limb.
    """

    def __init__(self, box: Float64Array, meta: FrameMeta) -> None:
        self.target: Any = None
        self.score = 1.0
        self._missed, self._told = 0, False
        self._meta = meta
        self.in_pixels = ""
        if meta.geometry is None:
            self.in_pixels = "nothing tells where the Sun is"
        elif not np.isfinite(meta.days):
            self.in_pixels = "the start image has no time"
        self._box = box
        if self.in_pixels:
            size = np.tile(box[2:] - box[:2], 2)
            self._sides, self._covariance = box.copy(), np.diag((0.01 * size + 0.25) ** 2)
            return
        assert meta.geometry is not None
        sides, covariances = fit_rectangles(box, meta.geometry)
        if not np.isfinite(sides).all():
            x, y = meta.geometry.disk_center
            raise GeometryError(
                f"the box ({', '.join(f'{v:g}' for v in box)}) lies beyond the limb: the disk has its centre "
                f"at ({x:.1f}, {y:.1f}) and a radius of {meta.geometry.disk_radius:.1f} px"
            )
        self._sides, self._covariance = sides[0], covariances[0]

    @property
    def sides(self) -> Float64Array:
        """``(lon0, lat0, lon1, lat1)`` in Stonyhurst degrees, not wrapped; a box in pixels if `in_pixels`."""
        return self._sides

    def predict(self, meta: FrameMeta) -> Step:
        """Where the region is by what was known before this image.

        Returns
        -------
        Step
            "off_disk" once it is behind the limb; else a box, as "coasting".
        """
        note = ""
        if self.in_pixels:
            if not self._told:
                note = f"{self.in_pixels}: followed without the Sun's rotation"
                self._told = True
            elapsed, size = 1.0, np.tile(self._sides[2:] - self._sides[:2], 2)
            self._meta = meta
        else:
            days, geometry = meta.days, meta.geometry
            if not np.isfinite(days):
                days, note = self._meta.days, "the image has no time: taken to be that of the image before"
            if geometry is None:
                geometry, note = (
                    self._meta.geometry,
                    "the image does not tell where the Sun is: taken from the image before",
                )
            passed = days - self._meta.days
            self._sides = rotate_rectangles(self._sides, passed)[0]
            self._meta = meta._replace(days=days, geometry=geometry)
            elapsed, size = abs(passed), np.tile(self._sides[2:] - self._sides[:2], 2)
        self._covariance = self._covariance + np.diag((WALK * size) ** 2 * elapsed)
        self._note = note
        self._project()
        if not np.isfinite(self._box).all():
            return Step(np.full(4, np.nan), 0.0, "off_disk", note)
        return Step(self._box, self.score, "coasting", note)

    def foresee(self, meta: FrameMeta) -> Float64Array:
        """Box of `predict`, shape (4,), without going there; NaN once it is behind the limb."""
        if self.in_pixels:
            return self._box
        days = meta.days if np.isfinite(meta.days) else self._meta.days
        sides = rotate_rectangles(self._sides, days - self._meta.days)
        geometry = meta.geometry or self._meta.geometry
        assert geometry is not None
        box: Float64Array = rectangles_to_boxes(sides, geometry)[0][0]
        return box

    def correct(self, found: Float64Array, spread: Float64Array, score: float) -> Step:
        """Weigh a network's answer.

        Parameters
        ----------
        found : ndarray of float64, shape (4,)
            Box in pixels.
        spread : ndarray of float64, shape (4,)
            Its expected errors, pixels.
        score : float
            How sure the network is that it is the region, 0 to 1.

        Returns
        -------
        Step
        """
        usable = np.isfinite([*found, *spread, score]).all() and (found[2:] > found[:2]).all()
        if not usable or score < (FOUND if self._missed >= PATIENCE else BELIEVED):
            return self.miss(score if usable else 0.0)
        again = self._missed >= PATIENCE
        self._missed = 0
        noise = np.diag((NOISE * spread) ** 2 + 0.25**2)
        h, p = self._jacobian, self._covariance
        gain = np.linalg.solve(h @ p @ h.T + noise, h @ p).T
        self._sides = self._sides + gain @ (found - self._box)
        # Joseph's form stays positive definite whatever the gain.
        rest = np.eye(4) - gain @ h
        self._covariance = rest @ p @ rest.T + gain @ noise @ gain.T
        if not self.in_pixels:
            self._sides = ordered(self._sides[None], np.array([0.05]))[0]
        elif (self._sides[2:] - self._sides[:2] < 1.0).any():
            self._sides = self._box.copy()
        before = self._box
        self._project()
        if not np.isfinite(self._box).all():
            self._box = before
        self.score = self._confidence(score)
        return Step(self._box, self.score, "tracked", "found again" if again else self._note)

    def miss(self, score: float, why: str = "", *, looked: bool = True) -> Step:
        """Go on without an answer: the box stays where rotation takes it."""
        self._missed += looked
        self.score = min(self.score, float(score))
        state = "lost" if self._missed >= PATIENCE else "coasting"
        return Step(self._box, self.score, state, why or self._note)

    def _project(self) -> None:
        if self.in_pixels:
            self._box, self._jacobian = self._sides.copy(), np.eye(4)
            return
        assert self._meta.geometry is not None
        boxes, jacobians, _ = rectangle_jacobians(self._sides[None], self._meta.geometry)
        self._box, self._jacobian = boxes[0], jacobians[0]

    def _confidence(self, score: float) -> float:
        return float(np.clip(score, 0.0, 1.0))
