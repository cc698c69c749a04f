"""The gradient of a field, its neutral lines, and their curvature."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.features._complexity import complexity
from solartrack.features._magnetogram import Scale

__all__ = ["NeutralLines", "at_points", "gradient", "neutral_lines"]

# The kernel's 10 x 10 window of pixel i is i-5 .. i+4: its middle is half a pixel before i.
_WINDOW_SHIFT = -0.5
# Points that give the curvature at a point: this many pixel sides before and behind it, which is
# half of the smoothing window; closer ones would show the pixels instead of the line.
_CURVATURE_REACH = 5


def gradient(b: Float64Array, scale: Scale) -> Float64Array:
    """Magnitude of the gradient, G/Mm, shape of `b`; NaN at the edges and beside missing pixels."""
    slope = np.full(b.shape, np.nan)
    if min(b.shape) >= 3:
        across = b[:, 2:] - b[:, :-2]
        along = b[2:] - b[:-2]
        gx = (across[:-2] + 2 * across[1:-1] + across[2:]) / (8 * scale.x)
        gy = (along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]) / (8 * scale.y)
        slope[1:-1, 1:-1] = np.hypot(gx, gy)
    return slope


class NeutralLines(NamedTuple):
    """Neutral lines as segments, and their curvature at points along them."""

    ends: Float64Array  # (n, 2, 2): both ends of the segments as (row, col), pixel centres at integers
    length: Float64Array  # Mm
    slope: Float64Array  # gradient of the averaged field there, G/Mm; NaN where unknown
    curvature: Float64Array  # 1/Mm, unsigned
    curvature_length: Float64Array  # Mm of line that each point stands for
    curvature_slope: Float64Array


def neutral_lines(b: Float64Array, scale: Scale) -> NeutralLines:
    """Zero contours of the field averaged over 10 x 10 pixels, where both polarities are beside them."""
    products = complexity(b, nan_policy="zero", products=True).products
    assert products is not None
    # The kernel's mean counts missing pixels as zeros. That moves no zero contour, but lowers the gradient.
    seen = _window_share(~np.isnan(b))
    mean = np.where(seen > 0.2, products.smoothed / np.maximum(seen, 0.01), np.nan)
    slope = gradient(mean, scale)
    found: list[tuple[Any, ...]] = [(np.empty((0, 2, 2)), *np.empty((5, 0)))]
    for contour in products.contours:
        if len(contour) < 2:
            continue
        # A contour also runs around fields that are only zero (no data, no Sun); a neutral line has
        # both polarities beside it.
        middle = (contour[1:] + contour[:-1]) / 2
        real = _between_polarities(products.smoothed, middle)
        middle += _WINDOW_SHIFT
        real &= ~np.isnan(_nearest(b, middle))
        if not real.any():
            continue
        xy = (contour * (scale.y, scale.x))[:, ::-1]
        length = np.hypot(*np.diff(xy, axis=0).T)
        at, kappa, share = _curvature(xy, length, float(np.sqrt(scale.x * scale.y)))
        keep = real[at]
        along = at_points(slope, middle)
        ends = np.stack([contour[:-1], contour[1:]], axis=1)[real] + _WINDOW_SHIFT
        found.append((ends, length[real], along[real], kappa[keep], share[keep], along[at][keep]))
    return NeutralLines(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _window_share(seen: NDArray[np.bool_]) -> Float64Array:
    """Share of the kernel's 10 x 10 window of each pixel that is seen."""
    from scipy import ndimage  # not at import: it takes longer than the rest of the package

    share = ndimage.uniform_filter(seen.astype(np.float64), 10, mode="constant")
    return np.asarray(np.rint(100 * share) / 100)  # without the rounding of a running sum


def _between_polarities(smoothed: Float64Array, middle: Float64Array) -> NDArray[np.bool_]:
    row, col = np.floor(middle).astype(int).T
    step = np.arange(-1, 3)
    rows = np.clip(row[:, None, None] + step[:, None], 0, smoothed.shape[0] - 1)
    cols = np.clip(col[:, None, None] + step, 0, smoothed.shape[1] - 1)
    around = smoothed[rows, cols]
    rounding = 1e-13 * np.abs(smoothed).max()
    return np.asarray((around.min((1, 2)) < -rounding) & (around.max((1, 2)) > rounding))


def _nearest(field: Float64Array, at: Float64Array) -> Float64Array:
    # Not scipy.ndimage: it rounds halves up, and points half-way between two pixels are common here.
    row, col = np.clip(np.rint(at).astype(int), 0, np.array(field.shape) - 1).T
    return np.asarray(field[row, col])


def at_points(field: Float64Array, at: Float64Array) -> Float64Array:
    """Bilinear interpolation at ``(row, col)``, shape (n, 2); beyond the edge the value at the edge."""
    from scipy import ndimage  # as above

    return np.asarray(ndimage.map_coordinates(field, at.T, order=1, mode="nearest"))


def _curvature(
    xy: Float64Array, length: Float64Array, step: float
) -> tuple[NDArray[np.intp], Float64Array, Float64Array]:
    """Segment, unsigned curvature and share of the length of points about `step` apart."""
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
    # The chords' turn over the arc between their middles: exact on a circle, and bounded where a
    # line runs back beside itself, as a circle through three points is not.
    turn = np.abs(np.arctan2(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0], (p * q).sum(1)))
    at = np.clip(np.searchsorted(ends, place[middle], side="right") - 1, 0, len(length) - 1)
    return at, turn / (reach * total / n), np.full(turn.shape, total / n)
