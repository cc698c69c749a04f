"""Polarity inversion lines of a magnetogram: where they are, how steep, how curved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack._show import as_html, as_text
from solartrack.features._complexity import complexity
from solartrack.features._gradient import gradient
from solartrack.features._magnetogram import read_magnetogram
from solartrack.features._scale import Scale, positive_quantity

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = ["MagnetogramLines", "NeutralLines", "bilinear", "magnetogram_lines", "neutral_lines"]

# The kernel averages rows and columns i-5 .. i+4: the middle of that is half a pixel before i.
_WINDOW, _WINDOW_SHIFT = 10, -0.5
# Of a window with less than this share of its pixels the mean is not trusted.
_LEAST_SHARE = 0.2
# Distance, in pixel sides, of the points before and behind that give the curvature at a point: half
# of the smoothing window. Closer points would show the pixels instead of the line.
_CURVATURE_REACH = 5


class MagnetogramLines(NamedTuple):
    """The fields and lines behind `physical`, for plots.

    Attributes
    ----------
    field : ndarray of float64, shape (ny, nx)
        Gauss; NaN where missing.
    gradient : ndarray of float64, shape (ny, nx)
        G / Mm; NaN at the edges and beside missing pixels.
    pixel_mm : tuple of float
        Sides of a pixel, x and y.
    ends_mm : ndarray of float64, shape (n, 2, 2)
        Ends of the segments of the neutral lines, ``(x, y)`` in Mm from the middle of the patch.
    length_mm : ndarray of float64, shape (n,)
        Their lengths.
    strong : ndarray of bool, shape (n,)
        Whether the gradient of the averaged field is strong there.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.linspace(-300, 300, 64) * np.ones((64, 1))
    >>> lines = features.magnetogram_lines(gauss, pixel=0.36 * u.Mm)
    >>> lines.field.shape, lines.ends_mm.shape, round(float(lines.length_mm.sum()), 2)
    ((64, 64), (63, 2, 2), 22.68)
    """

    field: Float64Array
    gradient: Float64Array
    pixel_mm: tuple[float, float]
    ends_mm: Float64Array
    length_mm: Float64Array
    strong: NDArray[np.bool_]

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def magnetogram_lines(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    strong_gradient: u.Quantity = 50.0 * u.G / u.Mm,
) -> MagnetogramLines:
    """Field, gradient and neutral lines of a patch, as `physical` measures them.

    Parameters
    ----------
    patch, pixel, wcs, strong_gradient
        As for `physical`.

    Returns
    -------
    MagnetogramLines

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `physical`.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.linspace(-300, 300, 64) * np.ones((64, 1))  # a straight neutral line, 26 G / Mm
    >>> lines = features.magnetogram_lines(gauss, pixel=0.36 * u.Mm)
    >>> round(float(lines.length_mm.sum()), 2), bool(lines.strong.any())
    (22.68, False)
    >>> lines = features.magnetogram_lines(gauss, pixel=0.36 * u.Mm, strong_gradient=20 * u.G / u.Mm)
    >>> round(float(lines.length_mm[lines.strong].sum()), 2)
    21.96
    """
    strong = positive_quantity(strong_gradient, u.G / u.Mm, "strong_gradient")
    b, scale = read_magnetogram(patch, pixel, wcs)
    lines = neutral_lines(b, scale)
    middle = np.array([b.shape[1] - 1, b.shape[0] - 1]) / 2
    ends_mm = (lines.ends[:, :, ::-1] - middle) * (scale.x, scale.y)
    return MagnetogramLines(
        b, gradient(b, scale), (scale.x, scale.y), ends_mm, lines.length, lines.slope >= strong
    )


class NeutralLines(NamedTuple):
    """Neutral lines as n segments, and their curvature at m points along them.

    Attributes
    ----------
    ends : ndarray of float64, shape (n, 2, 2)
        Ends of the segments, ``(row, column)``; pixel centres are at integers.
    length : ndarray of float64, shape (n,)
        Mm.
    slope : ndarray of float64, shape (n,)
        Gradient of the averaged field at the segments, G / Mm; NaN where unknown.
    curvature : ndarray of float64, shape (m,)
        Unsigned, 1 / Mm.
    curvature_length : ndarray of float64, shape (m,)
        Length of line that each point stands for, Mm.
    curvature_slope : ndarray of float64, shape (m,)
        Gradient of the averaged field at the points.
    """

    ends: Float64Array
    length: Float64Array
    slope: Float64Array
    curvature: Float64Array
    curvature_length: Float64Array
    curvature_slope: Float64Array

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def neutral_lines(b: Float64Array, scale: Scale) -> NeutralLines:
    """Zero contours of the field averaged over 10 x 10 pixels, where both polarities are near.

    Parameters
    ----------
    b : ndarray of float64, shape (ny, nx)
        Gauss; NaN where missing.
    scale : Scale

    Returns
    -------
    NeutralLines
    """
    products = complexity(b, nan_policy="zero", products=True).products
    assert products is not None
    slope = gradient(_window_mean(b, products.smoothed), scale)
    between = _between_polarities(products.smoothed)
    found: list[tuple[Any, ...]] = [(np.empty((0, 2, 2)), *np.empty((5, 0)))]
    for contour in products.contours:
        if len(contour) < 2:
            continue
        middle = (contour[1:] + contour[:-1]) / 2
        real = between[tuple(np.floor(middle).astype(int).T)]
        middle += _WINDOW_SHIFT
        real &= ~np.isnan(_nearest(b, middle))
        if not real.any():
            continue
        xy = (contour * (scale.y, scale.x))[:, ::-1]
        length = np.hypot(*np.diff(xy, axis=0).T)
        at, kappa, share = _curvature(xy, length, float(np.sqrt(scale.x * scale.y)))
        keep = real[at]
        along = bilinear(slope, middle)
        ends = np.stack([contour[:-1], contour[1:]], axis=1)[real] + _WINDOW_SHIFT
        found.append((ends, length[real], along[real], kappa[keep], share[keep], along[at][keep]))
    return NeutralLines(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _nearest(field: Float64Array, at: Float64Array) -> Float64Array:
    # Not ndimage.map_coordinates: it rounds halves up, and points halfway between two pixels are common.
    row, col = np.clip(np.rint(at).astype(int), 0, np.array(field.shape) - 1).T
    return np.asarray(field[row, col])


def bilinear(field: Float64Array, at: Float64Array) -> Float64Array:
    """Field at points ``(row, column)``, shape (n, 2); beyond the edge its value at the edge."""
    from scipy import ndimage  # not at the top: its import takes 0.1 to 0.4 s

    return np.asarray(ndimage.map_coordinates(field, at.T, order=1, mode="nearest"))


def _window_mean(b: Float64Array, smoothed: Float64Array) -> Float64Array:
    """Mean over the pixels of a window that are there; NaN where they are too few.

    The kernel counts missing pixels as zeros. That moves no zero contour, but changes the gradient.
    """
    from scipy import ndimage

    # Multiplied by the pixels of a window, all sums and quotients in the filter are exact.
    pixels = float(_WINDOW**2)
    seen = ndimage.uniform_filter(pixels * ~np.isnan(b), _WINDOW, mode="constant") / pixels
    return np.where(seen > _LEAST_SHARE, smoothed / np.maximum(seen, 1 / pixels), np.nan)


def _between_polarities(smoothed: Float64Array) -> NDArray[np.bool_]:
    """Whether both polarities occur around the cell between pixels (i, j) and (i + 1, j + 1).

    A contour also runs around areas that are exactly zero (no data, off the disk), and there they do not.
    """
    from scipy import ndimage

    rounding = 1e-13 * np.abs(smoothed).max()
    window = {"size": 4, "origin": -1, "mode": "nearest"}  # from i-1 to i+2
    low, high = ndimage.minimum_filter(smoothed, **window), ndimage.maximum_filter(smoothed, **window)
    return np.asarray((low < -rounding) & (high > rounding))


def _curvature(
    xy: Float64Array, length: Float64Array, step: float
) -> tuple[NDArray[np.intp], Float64Array, Float64Array]:
    """Curvature of a contour at points about `step` apart.

    Parameters
    ----------
    xy : ndarray of float64, shape (k + 1, 2)
        Ends of the k segments.
    length : ndarray of float64, shape (k,)
        Their lengths.
    step : float
        In the unit of both.

    Returns
    -------
    segment : ndarray of intp, shape (m,)
        The segment on which each point lies.
    curvature : ndarray of float64, shape (m,)
        Unsigned.
    share : ndarray of float64, shape (m,)
        Length of contour that each point stands for.
    """
    ends = np.concatenate([[0.0], np.cumsum(length)])
    total = ends[-1]
    closed = np.array_equal(xy[0], xy[-1])
    n = round(total / step)
    if n < 2 * _CURVATURE_REACH:  # smaller than the smoothing window, its shape is noise
        return np.empty(0, dtype=np.intp), np.empty(0), np.empty(0)
    place = (np.arange(n) + 0.5) * (total / n)
    points = np.column_stack([np.interp(place, ends, xy[:, k]) for k in (0, 1)])
    reach = min(_CURVATURE_REACH, n // 3) if closed else _CURVATURE_REACH
    middle = np.arange(n) if closed else np.arange(reach, n - reach)
    before, here, behind = points[(middle - reach) % n], points[middle], points[(middle + reach) % n]
    p, q = here - before, behind - here
    # The angle between the two chords over the arc between their midpoints. It is exact on a circle, and
    # bounded where a line doubles back on itself; the circle through the three points is not.
    turn = np.abs(np.arctan2(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0], (p * q).sum(1)))
    at = np.clip(np.searchsorted(ends, place[middle], side="right") - 1, 0, len(length) - 1)
    return at, turn / (reach * total / n), np.full(turn.shape, total / n)
