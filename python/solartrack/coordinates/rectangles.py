"""Heliographic rectangles and the boxes around their visible parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_box
from solartrack.coordinates.geometry import INSIDE_LIMB, ImageGeometry, clamp_to_visible, half_turn

# Points along each side of a rectangle: the sagitta between two is below 1e-3 of its length.
_SIDE_POINTS = 17
# Width over height of active regions on the surface: 1.84 over the life of HARP 3604, 1.7 +- 0.25
# (natural logarithm's deviation) for `simulate`. The scatter is what the default tracker does best with
# where simulated regions begin at the limb, from boxes that are off by a pixel.
_ASPECT, _ASPECT_SCATTER = 1.8, 0.35
# Error of a box's side near the limb in radii of the disk: half a pixel of a 1024-pixel image of the Sun,
# to which EUV images tell where the limb is, and boxes are drawn.
_LIMB_ERROR = 0.00125
# Cosine of the angle from the disk's centre, within twice that of the limb: who could say whether a side
# is seen there, or hidden?
_AT_LIMB = np.sqrt(1.0 - (1.0 - 2.0 * _LIMB_ERROR) ** 2)


def rectangles_to_boxes(
    rectangles_deg: ArrayLike, geometry: ImageGeometry
) -> tuple[Float64Array, NDArray[np.bool_]]:
    """Boxes around the visible parts of heliographic rectangles.

    Parameters
    ----------
    rectangles_deg : array_like, shape (n, 4)
        ``(lon0, lat0, lon1, lat1)`` in Stonyhurst degrees, ``lon0 < lon1`` and ``lat0 < lat1``, at
        most half a turn wide; longitudes need not be wrapped.
    geometry : ImageGeometry

    Returns
    -------
    boxes : ndarray of float64, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges; NaN where nothing faces the observer.
    seen : ndarray of bool, shape (n, 4)
        Which of the four sides of each rectangle faces the observer at least in part.

    Notes
    -----
    A rectangle is what catalogues of magnetic regions follow: the HARP of SHARP data is fixed in
    latitude and longitude for a region's life, and its box in an image is what can be seen of it
    (Bobra et al. 2014, Sol. Phys. 289, 3549). Points behind the limb are moved along their
    parallel to the limb, so a box ends there and does not depend on what is hidden.
    """
    r = np.asarray(rectangles_deg, dtype=np.float64).reshape(-1, 1, 4)
    along = np.linspace(0.0, 1.0, _SIDE_POINTS)
    zero, one = np.zeros(_SIDE_POINTS), np.ones(_SIDE_POINTS)
    # South, east (lon1 is the western side for an upright image), north, west: _SIDE_POINTS each.
    u = np.concatenate([zero, along, one, along])
    v = np.concatenate([along, zero, along, one])
    lon = r[..., 0] + u * (r[..., 2] - r[..., 0]) - geometry.l0_deg
    lat = r[..., 1] + v * (r[..., 3] - r[..., 1])
    lon -= 360.0 * np.round(lon.mean(axis=1, keepdims=True) / 360.0)
    clamped, reaches = clamp_to_visible(lon, lat, geometry)
    visible = reaches & (np.abs(clamped - geometry.l0_deg - lon) < 1e-12)
    # A parallel of which both ends are at the same limb is hidden from one end to the other.
    ends = [clamp_to_visible(lon + (k - u) * (r[..., 2] - r[..., 0]), lat, geometry)[0] for k in (0.0, 1.0)]
    reaches &= ends[1] > ends[0]
    x, y, _ = geometry.heliographic_to_pixel(clamped, lat)
    seen = visible.reshape(len(r), 4, _SIDE_POINTS).any(axis=2)
    # Wider than what faces the observer: no side is seen, and yet it is all there is to see.
    across = (lon.min(axis=1) < 0.0) & (lon.max(axis=1) > 0.0)
    there = (np.any(seen, axis=1) | across) & np.any(reaches, axis=1)
    low, high = np.where(reaches, [x, y], np.inf), np.where(reaches, [x, y], -np.inf)
    boxes = np.stack([low[0].min(1), low[1].min(1), high[0].max(1), high[1].max(1)], axis=1)
    boxes[~there] = np.nan
    return boxes, np.asarray(seen)


def fit_rectangles(boxes: ArrayLike, geometry: ImageGeometry) -> tuple[Float64Array, Float64Array]:
    """Heliographic rectangles whose visible parts fill given boxes.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges. What lies beyond the limb stands for nothing.
    geometry : ImageGeometry

    Returns
    -------
    rectangles_deg : ndarray of float64, shape (n, 4)
        ``(lon0, lat0, lon1, lat1)``, Stonyhurst degrees, see `rectangles_to_boxes`; NaN where the box
        lies beyond the limb.
    covariances : ndarray of float64, shape (n, 4, 4)
        How well each is known, degrees squared: to a hundredth of the box where it is seen well; near the
        limb to that and 0.00125 of the disk's radius in the image, which is a degree or several there. A
        side behind it follows more or less from the usual shape of an active region, 1.8 times as wide as
        high on the surface, to a third; an eastern or western one within 0.0025 radii of it is known no
        better than that.

    Raises
    ------
    ValueError
        If a box is empty, inverted or not finite.
    """
    # Sky that is asked for could only be had from a rectangle behind the limb.
    parts = visible_parts(boxes, geometry)
    there = np.isfinite(parts[:, 0])
    b = np.where(there[:, None], parts, [0.0, 0.0, 1.0, 1.0])
    n = len(b)
    # First guess: the extremes of a grid of points, those beyond the limb pulled to it.
    grid = np.linspace(0.0, 1.0, 9)
    u, v = (a.ravel() for a in np.meshgrid(grid, grid))
    x = b[:, :1] + u * (b[:, 2:3] - b[:, :1])
    y = b[:, 1:2] + v * (b[:, 3:] - b[:, 1:2])
    tx, ty = geometry.pixel_to_helioprojective(x, y)
    limb = geometry.rsun_arcsec * INSIDE_LIMB
    radius = np.hypot(tx, ty)
    pull = limb / np.maximum(radius, limb)
    lon, lat = geometry.helioprojective_to_heliographic(tx * pull, ty * pull)
    lon = half_turn(lon - geometry.l0_deg) + geometry.l0_deg
    # Without the outermost tenth: pulled points are bad guesses of far corners.
    rect = np.stack(
        [
            *np.quantile(lon, 0.1, axis=1, keepdims=True).T,
            *np.quantile(lat, 0.1, axis=1, keepdims=True).T,
            *np.quantile(lon, 0.9, axis=1, keepdims=True).T,
            *np.quantile(lat, 0.9, axis=1, keepdims=True).T,
        ],
        axis=1,
    ).reshape(n, 4)
    guess = rect

    size = np.maximum(b[:, 2:] - b[:, :2], 1.0)
    # Pixels for a degree, at disk centre.
    most_px = np.radians(1.0) * geometry.disk_radius
    smallest = 0.25 * np.degrees(size.min(axis=1) / geometry.disk_radius)
    information = np.zeros((n, 4, 4))
    # At first loosely, so that it finds its way; then what is seen well to the pixel, so that it does not
    # yield to what is believed. How well it is known is what the loose steps say.
    covariances: Float64Array = np.zeros((n, 4, 4))
    for turn in range(14):
        at, jacobian, _ = rectangle_jacobians(rect, geometry)
        if turn <= 8:
            # Near the limb a degree is less than half of that, and where the limb is, is uncertain, too.
            clear = np.abs(jacobian).max(axis=2) > 0.5 * most_px
            error = 0.01 * np.tile(size, 2) + np.where(clear, 0.25, _LIMB_ERROR * geometry.disk_radius)
            weight = 1.0 / error**2
        if turn == 8:
            covariances = np.asarray(np.linalg.inv(information), dtype=np.float64)
            weight = np.where(clear, weight * 1e4, weight)
        off = np.where(np.isfinite(at), b - at, 0.0)
        stretch = np.cos(np.radians(0.5 * (rect[:, 1] + rect[:, 3])))
        height, width = rect[:, 3] - rect[:, 1], (rect[:, 2] - rect[:, 0]) * stretch
        # A weak belief beside four measurements: the aspect, and that the first guess was not absurd.
        shape = np.stack([-stretch, np.full(n, _ASPECT), stretch, np.full(n, -_ASPECT)], axis=1)
        doubt = 1.0 / (_ASPECT_SCATTER * np.maximum(height, smallest) * _ASPECT) ** 2
        information = np.einsum("nki,nk,nkj->nij", jacobian, weight, jacobian)
        information += doubt[:, None, None] * shape[:, :, None] * shape[:, None, :]
        information += np.eye(4) * (1e-3 / np.maximum(height, smallest) ** 2)[:, None, None]
        towards = np.einsum("nki,nk,nk->ni", jacobian, weight, off)
        towards += (doubt * (_ASPECT * height - width))[:, None] * shape
        step = np.linalg.solve(information, towards[..., None])[..., 0]
        most = 0.5 * np.maximum(height, width) + 1.0
        rect = rect + np.clip(step, -most[:, None], most[:, None])
        rect = ordered(rect, smallest)
    # Near the poles, where parallels run along the limb, it may have lost its way.
    hidden = np.isnan(rectangles_to_boxes(rect, geometry)[0][:, 0])
    rect[hidden] = ordered(guess, smallest)[hidden]
    lat, b0 = np.radians(0.5 * (rect[:, 1] + rect[:, 3])), np.radians(geometry.b0_deg)
    height = rect[:, 3] - rect[:, 1]
    for side in (0, 2):
        lon = np.radians(rect[:, side] - geometry.l0_deg)
        cosine = np.sin(b0) * np.sin(lat) + np.cos(b0) * np.cos(lat) * np.cos(lon)
        least = np.where(cosine < _AT_LIMB, (_ASPECT_SCATTER * _ASPECT * height / np.cos(lat)) ** 2, 0.0)
        covariances[:, side, side] = np.maximum(covariances[:, side, side], least)
    rect[~there] = np.nan
    return rect, covariances


def rectangle_jacobians(
    rectangles_deg: Float64Array, geometry: ImageGeometry
) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
    """Boxes of rectangles, and how they change with the rectangles' sides.

    Parameters
    ----------
    rectangles_deg : ndarray of float64, shape (n, 4)
    geometry : ImageGeometry

    Returns
    -------
    boxes : ndarray of float64, shape (n, 4)
    jacobians : ndarray of float64, shape (n, 4, 4)
        Pixels per degree, ``[n, side of the box, side of the rectangle]``; 0 for a side that is hidden.
    seen : ndarray of bool, shape (n, 4)
        As `rectangles_to_boxes` has it.
    """
    n, step = len(rectangles_deg), 1e-4
    moved = rectangles_deg[:, None, :] + step * np.concatenate([np.zeros((1, 4)), np.eye(4)])
    boxes, seen = rectangles_to_boxes(moved.reshape(-1, 4), geometry)
    boxes = boxes.reshape(n, 5, 4)
    jacobians = (boxes[:, 1:] - boxes[:, :1]).transpose(0, 2, 1) / step
    return boxes[:, 0], np.nan_to_num(jacobians), seen.reshape(n, 5, 4)[:, 0]


def ordered(rectangles: Float64Array, smallest: Float64Array) -> Float64Array:
    """Rectangles with sides of at least `smallest` degrees, within the poles and half a turn."""
    out = rectangles.copy()
    out[:, 1::2] = np.clip(out[:, 1::2], -89.0, 89.0)
    centre = 0.5 * (out[:, :2] + out[:, 2:])
    half = np.clip(0.5 * (out[:, 2:] - out[:, :2]), 0.5 * smallest[:, None], [89.0, 44.0])
    return np.concatenate([centre - half, centre + half], axis=1)


def visible_parts(boxes: ArrayLike, geometry: ImageGeometry) -> Float64Array:
    """Smallest boxes around what of boxes is on the disk.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges.
    geometry : ImageGeometry

    Returns
    -------
    ndarray of float64, shape (n, 4)
        NaN where a box lies beyond the limb.

    Raises
    ------
    ValueError
        If a box is empty, inverted or not finite.
    """
    given = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    for box in given:
        as_box(box)
    # The disk is the ellipse a x^2 + 2 b x y + c y^2 <= 1 around its centre.
    xx, xy, yx, yy = geometry.matrix
    limb2 = geometry.disk_radius**2 * abs(xx * yy - xy * yx)
    a, b, c = (xx * xx + yx * yx) / limb2, (xx * xy + yx * yy) / limb2, (xy * xy + yy * yy) / limb2
    det = a * c - b * b
    reach = np.sqrt([c / det, a / det])
    centre = np.tile(geometry.disk_center, 2)
    low, high = np.maximum(given[:, :2] - centre[:2], -reach), np.minimum(given[:, 2:] - centre[2:], reach)
    there = (low < high).all(axis=1)
    out = np.concatenate([low, high], axis=1)
    for axis, (along, across) in enumerate(((a, c), (c, a))):
        for side, sign in ((axis, -1.0), (axis + 2, 1.0)):
            # Where on the other axis the ellipse's own extreme lies, or what the box has nearest to it.
            at = -sign * b / across * reach[axis]
            at = np.clip(at, low[:, 1 - axis], np.maximum(low, high)[:, 1 - axis])
            edge = (-b * at + sign * np.sqrt(np.maximum(along - det * at**2, 0.0))) / along
            out[:, side] = sign * np.minimum(sign * out[:, side], sign * edge)
    there &= (out[:, :2] < out[:, 2:]).all(axis=1)
    return np.where(there[:, None], out + centre, np.nan)
