"""The filter of one tracked region: where its sides are, how well they are known, whether it is still there.

The state of the filter is a rectangle in latitude and longitude that rotates with the Sun, the form in
which catalogues of magnetic regions define them. An image shows the visible part of it. Each answer of a
network is a measurement of that part, and an extended Kalman filter weighs the measurement against the
prediction: the smaller the network's error for a side, and the larger the filter's own, the more of the
answer counts.

Some regions keep their rectangle for days, others grow. What else shines there tells which is more likely,
see `Region.foresee`, and a region that may grow is followed more readily. So is, for a day, any region with
an answer that is far from what was expected. What makes a box smaller counts less than what makes it larger:
a part of the region may be faint, or hidden.

The errors of a network are correlated in time: it keeps drawing a region somewhat differently from the
start box. That bias is part of the state and is estimated from the start image on. Without times or
coordinates the same is done with a plain box in pixels.

References
----------
Bar-Shalom, Li & Kirubarajan 2001, *Estimation with Applications to Tracking and Navigation*: chapter 10
for the extended filter, section 8.2 for correlated measurement errors as part of the state, section
5.4 for the normalised innovation squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.coordinates import (
    DEFAULT_LAW,
    ImageGeometry,
    RotationLaw,
    fit_rectangles,
    ordered,
    rectangle_jacobians,
    rectangles_to_boxes,
    rotate_rectangles,
    visible_parts,
)
from solartrack.errors import GeometryError
from solartrack.sequence import Frame
from solartrack.tracking.interface import Step

__all__ = ["FilterSettings", "Region", "project"]


@dataclass(frozen=True)
class FilterSettings:
    """Constants of the filter; they are written into the settings of every track.

    The values were chosen on 24 simulated sequences (seeds 905000 to 905013 and 905100 to 905109), from
    which no published figure comes: with exact and with disturbed start boxes, with boxes of what is
    visible and with boxes from the catalogue. They give about the largest sum of mean IoU and success
    rate there. The correlation of the network's errors was measured on the same sequences: 0.9 after
    half a day and 0.5 to 0.8 after two days, with a standard deviation of 0.07 to 0.13 box sizes.

    Attributes
    ----------
    measurement_noise : float
        Standard deviation of the uncorrelated error of the network's sides, in units of the spread that
        the network predicts.
    inward_noise : float
        How many times larger than the network expects the error of a side is that makes the predicted box
        smaller: as time goes on catalogues rarely do, and what is found may be a part of the region, where it
        is bright or not hidden. Backwards in time it is that of a side that makes the box larger, but not for
        a region that began at the limb. Not for one that is followed without rotation.
    process_noise : tuple of float
        Random walk of each side, of a region that is likely to stay as it is and of any other one: standard
        deviation after one day (or one image, without times), in sizes of the region.
    room : float
        A region is likely to change if more shines there than its box holds: if what is recognised without a
        template is larger, and none of its sides is farther inside the box than this, in box sizes.
    surprise : float
        A region that was likely to stay as it is counts as one that changes, until the next day's look, from
        an answer on that is farther from what was expected: the normalised innovation squared, with four
        degrees of freedom, which exceeds 20 by chance in one of 2000 answers.
    bias_with_template : float
        Standard deviation of the correlated error if the network was given a template, in box sizes.
    bias_without_template : float
        The same without a template, in units of the network's spread.
    correlation_time : tuple of float
        Days (or images, without times) after which the correlated error has fallen to 1/e: for the
        eastern and western sides, for the southern and northern ones.
    gate : float
        An answer with a lower score is rejected.
    recovery_gate : float
        The same for a region that is lost.
    max_misses : int
        A region is lost after this many images in a row without an accepted answer.
    score_calibration : tuple of tuple of float
        Scores of the network, and the mean IoU that boxes with these scores had in the sequences 905000 to
        905007, with the four kinds of boxes.
    score_without_template : tuple of float
        The score of a row that was found without a template, where the network's own score says nothing
        about the filter's box, is the IoU to expect from what the filter knows: the first number, plus
        the second times the logarithm of the sum of the four sides' standard deviations (in widths and
        heights of the box), plus the third times the days since the start, two at most. Fitted to the 580
        rows of such regions in the sequences 905000 to 905007, with the four kinds of boxes.
    poorly_known : float
        A start box with a side that is known no better than this many box sizes, and no better than
        `poorly_known_deg`, is a sliver at the limb: its image is no template for the region.
    poorly_known_deg : float
        See above, degrees.
    limb_uncertainty : float
        Smallest initial standard deviation of the eastern and western sides of such a region, in widths
        of the region. Found on HARP 7269 and supported by HARP 3604, whose eastern and western sides
        change by 0.1 to 0.7 of its size in a day within two days of the limb.
    smallest_box_px : float
        Boxes that are thinner are not shown to the network, pixels.
    largest_deg : tuple of float
        Degrees of longitude and latitude above which a start box covers too much of the Sun to be a
        region.

    Raises
    ------
    ValueError
        If a constant is not finite, or not as many numbers as are wanted.

    Examples
    --------
    >>> from solartrack import tracking
    >>> settings = tracking.FilterSettings(max_misses=5)
    >>> settings.max_misses, settings.gate
    (5, 0.3)
    """

    measurement_noise: float = 0.8
    inward_noise: float = 5.0
    process_noise: tuple[float, float] = (0.04, 0.15)
    room: float = 0.25
    surprise: float = 20.0
    bias_with_template: float = 0.14
    bias_without_template: float = 1.2
    correlation_time: tuple[float, float] = (1.0, 3.0)
    gate: float = 0.3
    recovery_gate: float = 0.5
    max_misses: int = 3
    score_calibration: tuple[tuple[float, ...], tuple[float, ...]] = (
        (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0),
        (0.0, 0.3, 0.71, 0.755, 0.78, 0.9, 0.92),
    )
    score_without_template: tuple[float, float, float] = (0.756, -0.173, -0.029)
    poorly_known: float = 0.05
    poorly_known_deg: float = 0.5
    limb_uncertainty: float = 0.25
    smallest_box_px: float = 2.0
    largest_deg: tuple[float, float] = (170.0, 85.0)

    def __post_init__(self) -> None:
        for field in fields(self):
            value, default = getattr(self, field.name), cast(Any, field.default)
            wanted = np.shape(default)
            try:
                numbers = np.asarray(value)
            except ValueError:  # rows of different lengths
                numbers = np.array(np.nan)
            # Those of the score's calibration may be more or fewer.
            fits = numbers.shape[:1] == wanted[:1] and numbers.ndim == len(wanted) and numbers.size > 0
            if not (fits and numbers.dtype.kind in "iuf" and np.isfinite(numbers).all()):
                count = ("one finite number", "2 finite numbers", "2 rows of finite numbers")[len(wanted)]
                raise ValueError(f"{field.name} must be {count}, got {value!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return the constants as JSON can hold them.

        Examples
        --------
        >>> from solartrack import tracking
        >>> tracking.FilterSettings().as_dict()["gate"]
        0.3
        """
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


#: What trackers use unless other settings are given.
DEFAULT = FilterSettings()


class Region:
    """A region from its start box on.

    Parameters
    ----------
    box : ndarray of float64, shape (4,)
        On the start image, pixel edges.
    frame : Frame
        The start image.
    settings : FilterSettings
    law : str or RotationLaw
        Of rotation, see `solartrack.coordinates.rotation_rate`.

    Attributes
    ----------
    frame : Frame
        The image that it has been predicted for last.
    template : ndarray or None
        Crop in which it was last recognised, for the network; kept by the tracker.
    score : float
        Of the last accepted answer, or less.
    without_rotation : str
        Why the region is followed without the Sun's rotation, "" if it is not.
    has_template : bool
        Whether the start image shows enough of it for a template: all sides were known well there. If
        not, at the limb, a crop around the box is no likeness of the region, and even days later a crop
        around the filter's box would only confirm the filter's errors.

    Raises
    ------
    GeometryError
        If the box lies beyond the limb, or covers too much of the Sun to be a region.
    """

    _jacobian: Float64Array

    def __init__(
        self,
        box: Float64Array,
        frame: Frame,
        settings: FilterSettings = DEFAULT,
        law: str | RotationLaw = DEFAULT_LAW,
    ) -> None:
        self.settings, self.frame, self._law = settings, frame, law
        self.template: Any = None
        self.score = 1.0
        self._misses, self._explained, self._days = 0, False, 0.0
        self._message, self._accepted, self._alone = "", False, False
        self._stays, self._foreseen, self._backwards = False, -np.inf, False
        # What was known before images without a time.
        self._timed: tuple[Float64Array, Float64Array, Float64Array, bool] | None = None
        self.without_rotation = ""
        if frame.geometry is None:
            self.without_rotation = "nothing tells where the Sun is"
        elif not np.isfinite(frame.mjd_tai):
            self.without_rotation = "the start image has no time"
        self._mjd_tai, self._geometry = frame.mjd_tai, frame.geometry
        # The biases, each in units of its standard deviation; the covariance of sides and biases.
        self._bias, self._covariance = np.zeros(4), np.eye(8)
        if self.without_rotation:
            size = np.tile(box[2:] - box[:2], 2)
            self._box, self._sides = box, box.copy()
            self._covariance[:4, :4] = np.diag((0.01 * size + 0.25) ** 2)
            self.has_template = True
        else:
            self._fit(box)

    @property
    def geometry(self) -> ImageGeometry | None:
        """Where the Sun is in the image that it is in; None if `without_rotation`."""
        return None if self.without_rotation else self._geometry

    @property
    def box(self) -> Float64Array:
        """Box in the image that it is in, shape (4,); NaN if it is behind the limb."""
        return self._box

    @property
    def sides(self) -> Float64Array:
        """``(lon0, lat0, lon1, lat1)``, Stonyhurst degrees, not wrapped; a box if `without_rotation`."""
        return self._sides

    def initialize(
        self, found: Float64Array, spread: Float64Array, score: float, *, with_template: bool = True
    ) -> bool:
        """Compare the network's answer for the start image with the start box.

        What a box should hold is for the user or the catalogue to decide: everything bright, the strong
        field, or the region for all of its life. A side that is known tells how the network draws
        differently, and hardly changes. For a side that is not known, at the limb, the answer is the
        first measurement. The parameters are those of `correct`.

        Returns
        -------
        bool
            Whether the answer was accepted.
        """
        box = self._box
        project([self])
        accepted = bool(np.isfinite(self._box).all()) and self.correct(
            found, spread, score, with_template=with_template
        )
        # The start image's row has the start box.
        self._box, self.score = box, 1.0
        self._misses, self._accepted, self._message = 0, False, ""
        return accepted

    def foresee(self, seen: Float64Array) -> None:
        """Tell whether the region is likely to stay as it is, from what else shines in the image.

        Where flux emerges, what shines soon reaches farther than the field that a box is drawn around: at the
        start its area is 2.3 times that of the box (median) for simulated boxes of a field that grows by a
        third or more, and 0.9 times for boxes that stay (docs/tracking.md). Regions that merge shine as one.

        Parameters
        ----------
        seen : ndarray of float64, shape (4,)
            Box that the network gives what it recognises there without a template, pixels. If that is no box,
            nothing is known.
        """
        self._foreseen = self._days
        size, extent = self._box[2:] - self._box[:2], seen[2:] - seen[:2]
        if np.isfinite(seen).all() and (extent > 0.0).all():
            inside = np.concatenate([seen[:2] - self._box[:2], self._box[2:] - seen[2:]])
            larger = extent.prod() > size.prod() and (inside <= self.settings.room * np.tile(size, 2)).all()
            self._stays = not larger

    def days_since_foreseen(self, frame: Frame) -> float:
        """Days from the last use of `foresee` to an image; infinite if there was none."""
        ahead = abs(frame.mjd_tai - self._mjd_tai) if np.isfinite(frame.mjd_tai) else 0.0
        return float(self._days + ahead - self._foreseen)

    def predict(self, frame: Frame) -> None:
        """Go to the time of another image; `project` has to follow."""
        self.frame, self._message, self._accepted = frame, "", False
        if self.without_rotation:
            if not self._explained:
                self._message = f"{self.without_rotation}: followed without the Sun's rotation"
                self._explained = True
            elapsed = 1.0
        else:
            moment, geometry = frame.mjd_tai, frame.geometry
            if not np.isfinite(moment):
                moment, self._message = self._mjd_tai, "no time: taken to be that of the image before"
                if self._timed is None:
                    self._timed = self._sides, self._bias, self._covariance, self._stays
            elif self._timed is not None:
                # What was corrected since was how far the Sun had turned, which is known again.
                (self._sides, self._bias, self._covariance, self._stays), self._timed = self._timed, None
            if geometry is None:
                geometry = self._geometry
                self._message = "nothing tells where the Sun is: taken to be as in the image before"
            elapsed = abs(moment - self._mjd_tai)
            if elapsed > 0.0:
                self._backwards = moment < self._mjd_tai
            self._days += elapsed
            self._sides = rotate_rectangles(self._sides, moment - self._mjd_tai, self._law)[0]
            self._mjd_tai, self._geometry = moment, geometry
        correlation = np.exp(-elapsed / np.tile(self.settings.correlation_time, 2))
        self._bias = correlation * self._bias
        decay = np.concatenate([np.ones(4), correlation])
        noise = np.concatenate([self._walk(elapsed), 1.0 - correlation**2])
        self._covariance = self._covariance * np.outer(decay, decay) + np.diag(noise)

    def _walk(self, days: float) -> Float64Array:
        """Variances that the sides gain in some days, shape (4,)."""
        steady, changing = self.settings.process_noise
        size = np.tile(self._sides[2:] - self._sides[:2], 2)
        return np.asarray(((steady if self._stays else changing) * size) ** 2 * days)

    def predicted_box(self, frame: Frame) -> Float64Array:
        """Box that `predict` will give for an image, shape (4,); NaN if it is behind the limb there."""
        if self.without_rotation:
            return self._box
        moment = frame.mjd_tai if np.isfinite(frame.mjd_tai) else self._mjd_tai
        geometry = frame.geometry or self._geometry
        assert geometry is not None
        sides = rotate_rectangles(self._sides, moment - self._mjd_tai, self._law)
        return np.asarray(rectangles_to_boxes(sides, geometry)[0][0])

    def prediction(self) -> Step:
        """Where the region is by what was known before this image: "coasting", or "off_disk"."""
        if not np.isfinite(self._box).all():
            return Step(np.full(4, np.nan), 0.0, "off_disk", self._message)
        return Step(self._box, self.score, "coasting", self._message)

    def correct(
        self, found: Float64Array, spread: Float64Array, score: float, *, with_template: bool = True
    ) -> bool:
        """Weigh a network's answer; `project` and `result` have to follow.

        Parameters
        ----------
        found : ndarray of float64, shape (4,)
            Box in pixels.
        spread : ndarray of float64, shape (4,)
            Its expected errors, pixels.
        score : float
            How sure the network is that it is the region, 0 to 1.
        with_template : bool
            Whether the network was given a template.

        Returns
        -------
        bool
            Whether the answer was accepted.
        """
        constants = self.settings
        lost = self._misses >= constants.max_misses
        usable = np.isfinite([*found, *spread, score]).all() and (found[2:] > found[:2]).all()
        if not usable or score < (constants.recovery_gate if lost else constants.gate):
            self.miss(score if usable else 0.0)
            return False
        spread = spread * self._doubt(found)
        noise = np.diag((constants.measurement_noise * spread) ** 2 + 0.25**2)
        size = np.tile(self._box[2:] - self._box[:2], 2)
        bias = np.diag(
            constants.bias_with_template * size if with_template else constants.bias_without_template * spread
        )
        h, p = np.hstack([self._jacobian, bias]), self._covariance
        innovation = found - self._box - bias @ self._bias
        expected = h @ p @ h.T + noise
        if self._stays and innovation @ np.linalg.solve(expected, innovation) > constants.surprise:
            # It does not stay after all. What it may have changed in a day was missing so far.
            self._stays = False
            p = p + np.diag(np.concatenate([self._walk(1.0), np.zeros(4)]))
            expected = h @ p @ h.T + noise
        gain = np.linalg.solve(expected, h @ p).T
        change = gain @ innovation
        sides, box = self._checked(self._sides + change[:4])
        if not np.isfinite(box).all():  # no box, or one behind the limb
            self.miss(0.0)
            return False
        if lost:
            self._message = "found again"
        self._misses, self._accepted, self._sides = 0, True, sides
        self._bias = self._bias + change[4:]
        # Joseph's form stays positive definite whatever the gain.
        rest = np.eye(8) - gain @ h
        self._covariance = rest @ p @ rest.T + gain @ noise @ gain.T
        self.score, self._alone = float(np.interp(score, *constants.score_calibration)), not with_template
        return True

    def _doubt(self, found: Float64Array) -> Float64Array:
        """How many times larger than the network expects the errors of an answer are, shape (4,).

        1 for sides outside of the predicted box, and for those inside if the box only moves; up to
        `FilterSettings.inward_noise` as far as they make it smaller (backwards in time, larger).
        """
        if self.without_rotation:
            return np.ones(4)
        inward = np.concatenate([found[:2] - self._box[:2], self._box[2:] - found[2:]])
        if self._backwards and self.has_template:
            inward = -inward
        smaller = np.tile(inward[:2] + inward[2:], 2)
        share = np.clip(smaller / np.maximum(inward, 1e-9), 0.0, 1.0) * (inward > 0.0)
        return np.asarray(1.0 + (self.settings.inward_noise - 1.0) * share)

    def _expected_iou(self) -> float:
        """The IoU to expect from how well the sides are known, and for how long they have been followed."""
        h = self._jacobian
        spread = np.sqrt(np.diag(h @ self._covariance[:4, :4] @ h.T))
        unknown = float((spread / np.tile(self._box[2:] - self._box[:2], 2)).sum())
        start, by_spread, by_day = self.settings.score_without_template
        expected = start + by_spread * np.log(unknown) + by_day * min(self._days, 2.0)
        # No such row of those that this was fitted to was better known than this.
        return float(np.clip(expected, 0.0, 0.9))

    def miss(self, score: float, why: str = "", *, counts: bool = True) -> None:
        """Go on without an answer: the box stays where rotation takes it.

        Parameters
        ----------
        score : float
            The region's score is at most this from now on.
        why : str
            For the row's message.
        counts : bool
            Whether it is one of the misses in a row after which a region is lost.
        """
        self._misses += counts
        self.score = min(self.score, float(score))
        self._message = why or self._message

    def result(self) -> Step:
        """The row of this image."""
        if not np.isfinite(self._box).all():
            return Step(np.full(4, np.nan), 0.0, "off_disk", self._message)
        if self._accepted and self._alone:
            self.score = self._expected_iou()
        lost = self._misses >= self.settings.max_misses
        state = "lost" if lost else "tracked" if self._accepted else "coasting"
        return Step(self._box, self.score, state, self._message)

    def _fit(self, box: Float64Array) -> None:
        """Fit the rectangle to the start box."""
        geometry, constants = self._geometry, self.settings
        assert geometry is not None
        sides, covariances = fit_rectangles(box, geometry)
        self._sides, self._covariance[:4, :4] = sides[0], covariances[0]
        extent = self._sides[2:] - self._sides[:2]
        if not (extent < constants.largest_deg).all():
            x, y = geometry.disk_center
            fits = np.isfinite(extent).all()
            why = "covers too much of the Sun for a region" if fits else "lies beyond the limb"
            raise GeometryError(
                f"the box ({', '.join(f'{v:g}' for v in box)}) {why}: the disk has its centre at "
                f"({x:.1f}, {y:.1f}) and a radius of {geometry.disk_radius:.1f} px"
            )
        self._box = visible_parts(box[None], geometry)[0]
        least = max(constants.poorly_known_deg, float(np.degrees(1.0 / geometry.disk_radius)))
        allowed = np.maximum(constants.poorly_known * np.tile(extent, 2), least)
        self.has_template = bool((np.sqrt(np.diag(self._covariance)[:4]) <= allowed).all())
        if not self.has_template:
            variance = (constants.limb_uncertainty * extent[0]) ** 2
            for side in (0, 2):
                self._covariance[side, side] = max(variance, self._covariance[side, side])

    def _checked(self, sides: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Corrected sides in their order, and the box they give; NaN if they give none."""
        if self.without_rotation:
            return sides, sides if (sides[2:] - sides[:2] >= 1.0).all() else np.full(4, np.nan)
        assert self._geometry is not None
        sides = ordered(sides[None], np.array([0.05]))[0]
        return sides, rectangles_to_boxes(sides, self._geometry)[0][0]


def project(regions: Sequence[Region]) -> None:
    """Find where regions that were predicted or corrected are in their image, all at once."""
    rotating = [region for region in regions if not region.without_rotation]
    for region in regions:
        if region.without_rotation:
            region._box, region._jacobian = region._sides.copy(), np.eye(4)
    if rotating:
        geometry = rotating[0]._geometry
        assert geometry is not None
        boxes, jacobians, _ = rectangle_jacobians(np.array([r._sides for r in rotating]), geometry)
        for region, box, jacobian in zip(rotating, boxes, jacobians, strict=True):
            region._box, region._jacobian = box, jacobian
