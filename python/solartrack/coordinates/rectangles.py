"""Heliographic rectangles and the boxes around their visible parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_box
from solartrack.coordinates.geometry import INSIDE_LIMB, ImageGeometry, clamp_to_visible, half_turn

# Points along each side of a rectangle. An arc departs from the chord between two of them by less than
# 1e-3 of the side's length.
_SIDE_POINTS = 17
# Width over height of active regions on the surface: 1.84 over the life of HARP 3604, 1.7 +- 0.25
# (standard deviation of the natural logarithm) in `simulate`. The scatter is the one with which the default
# tracker does best on simulated regions that begin at the limb, from boxes that are off by a pixel.
_ASPECT, _ASPECT_SCATTER = 1.8, 0.35
# Error of a box's side near the limb, in radii of the disk: half a pixel of a 1024-pixel image of the Sun.
# EUV images show the limb, and people draw boxes, no better than that.
_LIMB_ERROR = 0.00125
# Cosine of the heliocentric angle at twice that distance from the limb. Nearer to it, a box cannot tell a
# visible side from a hidden one.
_AT_LIMB = np.sqrt(1.0 - (1.0 - 2.0 * _LIMB_ERROR) ** 2)
# Steps of the fit, and the number of loosely weighted ones at its start.
_STEPS, _LOOSE_STEPS = 14, 8


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
        Whether each side of a rectangle, in the order of its columns, faces the observer at least in part.

    Notes
    -----
    Catalogues of magnetic regions follow such rectangles: the HARP of SHARP data keeps its extent in
    latitude and longitude for a region's life, and its box in an image encloses the visible part
    (Bobra et al. 2014, Sol. Phys. 289, 3549). A box ends where the limb cuts the rectangle, and does not
    depend on the hidden part.

    Examples
    --------
    >>> from solartrack.coordinates import ImageGeometry, rectangles_to_boxes
    >>> sun = ImageGeometry.from_disk((512, 512), 400)
    >>> boxes, seen = rectangles_to_boxes([[-5, 10, 15, 20], [80, 10, 100, 20], [120, 10, 140, 20]], sun)
    >>> boxes.round(1)
    array([[477.5, 374.6, 614.4, 442.2],
           [882.4, 375.1, 905.9, 442.5],
           [  nan,   nan,   nan,   nan]])
    >>> seen
    array([[ True,  True,  True,  True],
           [ True,  True, False,  True],
           [False, False, False, False]])
    """
    boxes, seen, _ = _boxes(np.asarray(rectangles_deg, dtype=np.float64).reshape(-1, 4), geometry)
    return boxes, seen


def _boxes(r: Float64Array, geometry: ImageGeometry) -> tuple[Float64Array, NDArray[np.bool_], Float64Array]:
    """`rectangles_to_boxes`, and last the boxes as far as the last visible point of each side only."""
    turned = r - geometry.l0_deg * np.array([1.0, 0.0, 1.0, 0.0])
    turned[:, ::2] -= 360.0 * np.round(turned[:, ::2].mean(axis=1, keepdims=True) / 360.0)
    boxes, seen, near = _nearer_boxes(turned, geometry)
    # Seen from high latitudes a rectangle behind the pole may show at both ends of its parallels.
    behind = np.flatnonzero(np.abs(turned[:, ::2]).max(axis=1) > 180.0)
    if len(behind):
        other = turned[behind]
        other[:, ::2] -= 360.0 * np.sign(other[:, ::2].mean(axis=1, keepdims=True))
        more, seen_too, more_near = _nearer_boxes(other, geometry)
        boxes[behind], near[behind] = _around_both(boxes[behind], more), _around_both(near[behind], more_near)
        seen[behind] |= seen_too
    return boxes, seen, near


def _around_both(some: Float64Array, others: Float64Array) -> Float64Array:
    """Boxes around pairs of boxes; one that is NaN does not count."""
    low, high = np.fmin(some, others), np.fmax(some, others)
    return np.concatenate([low[:, :2], high[:, 2:]], axis=1)


def _nearer_boxes(
    r: Float64Array, geometry: ImageGeometry
) -> tuple[Float64Array, NDArray[np.bool_], Float64Array]:
    """`_boxes` of rectangles whose longitudes are relative to the central meridian and not wrapped."""
    along = np.linspace(0.0, 1.0, _SIDE_POINTS)
    zero, one = np.zeros(_SIDE_POINTS), np.ones(_SIDE_POINTS)
    # The sides in the order of the columns (east, south, west, north), _SIDE_POINTS each.
    u = np.concatenate([zero, along, one, along])
    v = np.concatenate([along, zero, along, one])
    width = r[:, 2:3] - r[:, 0:1]
    lon = r[:, 0:1] + u * width
    lat = r[:, 1:2] + v * (r[:, 3:4] - r[:, 1:2])
    clamped, reaches = clamp_to_visible(lon, lat, geometry)
    visible = reaches & (np.abs(clamped - geometry.l0_deg - lon) < 1e-12)
    limb = np.flatnonzero(~visible.all(axis=1))
    if len(limb):
        # If both ends of a parallel were moved to the same limb, all of it is hidden.
        part = lon[limb], lat[limb]
        ends = [clamp_to_visible(part[0] + (k - u) * width[limb], part[1], geometry)[0] for k in (0.0, 1.0)]
        reaches[limb] &= ends[1] > ends[0]
    seen = visible.reshape(len(r), 4, _SIDE_POINTS).any(axis=2)
    # A rectangle wider than the visible hemisphere has no visible side, and yet it fills the disk.
    across = (lon.min(axis=1) < 0.0) & (lon.max(axis=1) > 0.0)
    there = (np.any(seen, axis=1) | across) & np.any(reaches, axis=1)
    x, y, _ = geometry.heliographic_to_pixel(clamped, lat)
    near = _enclose(x, y, reaches)
    near[~there] = np.nan
    boxes = near.copy()
    if len(limb):
        # Between two points of a meridian the limb cuts it, and what is visible ends there.
        cut_lon, cut_lat, is_cut = _cuts(r[limb], geometry)
        x, y, _ = geometry.heliographic_to_pixel(cut_lon, cut_lat)
        ends_there = _around_both(near[limb], _enclose(x, y, is_cut))
        boxes[limb] = np.where(there[limb, None], ends_there, np.nan)
    return boxes, np.asarray(seen), near


def _enclose(x: Float64Array, y: Float64Array, counts: NDArray[np.bool_]) -> Float64Array:
    """Boxes around the points of each row that count; NaN if none does."""
    low, high = np.where(counts, [x, y], np.inf), np.where(counts, [x, y], -np.inf)
    boxes = np.stack([low[0].min(1), low[1].min(1), high[0].max(1), high[1].max(1)], axis=1)
    boxes[~counts.any(axis=1)] = np.nan
    return boxes


def _cuts(r: Float64Array, geometry: ImageGeometry) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
    """Where the limb cuts the eastern and western sides: longitudes, latitudes, and whether it does.

    On the limb ``sin b0 sin lat + cos b0 cos lon cos lat`` is the observer's distance inverted.
    """
    b0, level = np.radians(geometry.b0_deg), 1.0 / geometry.distance_rsun
    lon = r[:, [0, 0, 2, 2]]
    towards = np.cos(b0) * np.cos(np.radians(lon))
    reach, phase = np.hypot(np.sin(b0), towards), np.arctan2(np.sin(b0), towards)
    away = np.arccos(np.minimum(level / np.maximum(reach, level), 1.0)) * [-1.0, 1.0, -1.0, 1.0]
    lat = np.degrees(phase + away)
    cut = (reach > level) & (lat > r[:, 1:2]) & (lat < r[:, 3:4])
    return lon + geometry.l0_deg, np.where(cut, lat, r[:, 1:2]), cut


def fit_rectangles(boxes: ArrayLike, geometry: ImageGeometry) -> tuple[Float64Array, Float64Array]:
    """Heliographic rectangles whose visible parts fill given boxes.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges. Parts beyond the limb are ignored.
    geometry : ImageGeometry

    Returns
    -------
    rectangles_deg : ndarray of float64, shape (n, 4)
        ``(lon0, lat0, lon1, lat1)``, Stonyhurst degrees, see `rectangles_to_boxes`; NaN where the box
        lies beyond the limb.
    covariances : ndarray of float64, shape (n, 4, 4)
        Uncertainty of the sides, degrees squared. A side that is clearly visible is known to a hundredth
        of the box. Near the limb 0.00125 of the disk's radius in the image is added to that, which is a
        degree or several there. A side behind the limb follows from the usual shape of an active region,
        1.8 times as wide as high on the surface, to about a third; an eastern or western side within
        0.0025 radii of the limb is known no better than that.

    Raises
    ------
    ValueError
        If a box is empty, inverted or not finite.

    Notes
    -----
    Gauss-Newton steps on the four sides, with the usual shape as a weak prior. The first steps weigh the
    measurements loosely, so that they converge from afar, and give the covariances. The last ones fit
    clearly visible sides to the pixel, so that the prior does not bias them.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.coordinates import ImageGeometry, fit_rectangles
    >>> sun = ImageGeometry.from_disk((512, 512), 400)
    >>> rectangles, covariances = fit_rectangles([[480, 380, 560, 430], [900, 480, 930, 540]], sun)
    >>> rectangles.round(1)
    array([[-4.7, 11.8,  7. , 19.2],
           [76.4, -4. , 91.9,  4.6]])
    >>> np.sqrt(covariances[:, [0, 2], [0, 2]]).round(1)  # of the eastern and western side, degrees
    array([[0.2, 0.2],
           [0.4, 5.4]])
    """
    # Sky beyond the limb could only be filled by a rectangle behind it.
    parts = visible_parts(boxes, geometry)
    there = np.isfinite(parts[:, 0])
    b = np.where(there[:, None], parts, [0.0, 0.0, 1.0, 1.0])
    size = np.maximum(b[:, 2:] - b[:, :2], 1.0)
    smallest = 0.25 * np.degrees(size.min(axis=1) / geometry.disk_radius)
    guess = rect = _first_guess(b, geometry)

    information = np.zeros((len(b), 4, 4))
    covariances: Float64Array = np.zeros((len(b), 4, 4))
    for step in range(_STEPS):
        at, jacobian, _ = rectangle_jacobians(rect, geometry)
        if step <= _LOOSE_STEPS:
            clear, weight = _weights(size, jacobian, geometry)
        if step == _LOOSE_STEPS:
            covariances = np.asarray(np.linalg.inv(information), dtype=np.float64)
            weight = np.where(clear, weight * 1e4, weight)
        off = np.where(np.isfinite(at), b - at, 0.0)
        information, towards = _normal_equations(rect, jacobian, weight, off, smallest)
        change = np.linalg.solve(information, towards[..., None])[..., 0]
        height, width = _height_and_width(rect)
        most = 0.5 * np.maximum(height, width) + 1.0
        rect = ordered(rect + np.clip(change, -most[:, None], most[:, None]), smallest)
    # Near the poles, where parallels run along the limb, the fit may diverge; then the guess is better.
    hidden = np.isnan(rectangles_to_boxes(rect, geometry)[0][:, 0])
    rect[hidden] = ordered(guess, smallest)[hidden]
    _widen_at_limb(covariances, rect, geometry)
    rect[~there] = np.nan
    return rect, covariances


def _first_guess(boxes: Float64Array, geometry: ImageGeometry) -> Float64Array:
    """Rectangles around the heliographic positions of a grid of points in each box."""
    grid = np.linspace(0.0, 1.0, 9)
    u, v = (a.ravel() for a in np.meshgrid(grid, grid))
    x = boxes[:, :1] + u * (boxes[:, 2:3] - boxes[:, :1])
    y = boxes[:, 1:2] + v * (boxes[:, 3:] - boxes[:, 1:2])
    tx, ty = geometry.pixel_to_helioprojective(x, y)
    # Points beyond the limb are pulled to it.
    limb = geometry.rsun_arcsec * INSIDE_LIMB
    radius = np.hypot(tx, ty)
    pull = limb / np.maximum(radius, limb)
    lon, lat = geometry.helioprojective_to_heliographic(tx * pull, ty * pull)
    lon = half_turn(lon - geometry.l0_deg) + geometry.l0_deg
    # Without the outermost tenth: pulled points are bad guesses of far corners.
    sides = [np.quantile(a, share, axis=1) for share in (0.1, 0.9) for a in (lon, lat)]
    return np.stack(sides, axis=1)


def _weights(
    size: Float64Array, jacobian: Float64Array, geometry: ImageGeometry
) -> tuple[NDArray[np.bool_], Float64Array]:
    """Which sides of boxes are clearly visible, and the weights of all as inverse variances.

    Near the limb a degree is less than half as many pixels as at disk centre, and the position of the
    limb itself is uncertain.
    """
    pixels_per_degree = np.radians(1.0) * geometry.disk_radius
    clear = np.abs(jacobian).max(axis=2) > 0.5 * pixels_per_degree
    error = 0.01 * np.tile(size, 2) + np.where(clear, 0.25, _LIMB_ERROR * geometry.disk_radius)
    return clear, 1.0 / error**2


def _normal_equations(
    rect: Float64Array,
    jacobian: Float64Array,
    weight: Float64Array,
    off: Float64Array,
    smallest: Float64Array,
) -> tuple[Float64Array, Float64Array]:
    """Information matrix and right-hand side of a Gauss-Newton step.

    Four measurements, the sides of the box, and two weak priors: the aspect ratio, and that the
    step is not absurdly long.
    """
    stretch = np.cos(np.radians(0.5 * (rect[:, 1] + rect[:, 3])))
    height, width = _height_and_width(rect)
    aspect = np.full(len(rect), _ASPECT)
    shape = np.stack([-stretch, aspect, stretch, -aspect], axis=1)
    doubt = 1.0 / (_ASPECT_SCATTER * np.maximum(height, smallest) * _ASPECT) ** 2
    information = np.einsum("nki,nk,nkj->nij", jacobian, weight, jacobian)
    information += doubt[:, None, None] * shape[:, :, None] * shape[:, None, :]
    information += np.eye(4) * (1e-3 / np.maximum(height, smallest) ** 2)[:, None, None]
    towards = np.einsum("nki,nk,nk->ni", jacobian, weight, off)
    towards += (doubt * (_ASPECT * height - width))[:, None] * shape
    return information, towards


def _height_and_width(rect: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Height and width on the surface, in degrees of a great circle."""
    stretch = np.cos(np.radians(0.5 * (rect[:, 1] + rect[:, 3])))
    return rect[:, 3] - rect[:, 1], (rect[:, 2] - rect[:, 0]) * stretch


def _widen_at_limb(covariances: Float64Array, rect: Float64Array, geometry: ImageGeometry) -> None:
    """Give eastern and western sides at the limb at least the uncertainty of the usual shape, in place."""
    lat, b0 = np.radians(0.5 * (rect[:, 1] + rect[:, 3])), np.radians(geometry.b0_deg)
    height = rect[:, 3] - rect[:, 1]
    for side in (0, 2):
        lon = np.radians(rect[:, side] - geometry.l0_deg)
        cosine = np.sin(b0) * np.sin(lat) + np.cos(b0) * np.cos(lat) * np.cos(lon)
        least = np.where(cosine < _AT_LIMB, (_ASPECT_SCATTER * _ASPECT * height / np.cos(lat)) ** 2, 0.0)
        covariances[:, side, side] = np.maximum(covariances[:, side, side], least)


def rectangle_jacobians(
    rectangles_deg: Float64Array, geometry: ImageGeometry
) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
    """Boxes of rectangles, and their derivatives with respect to the rectangles' sides.

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
        As from `rectangles_to_boxes`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.coordinates import ImageGeometry, rectangle_jacobians
    >>> sun = ImageGeometry.from_disk((512, 512), 400)
    >>> boxes, jacobians, seen = rectangle_jacobians(np.array([[70.0, -5.0, 100.0, 5.0]]), sun)
    >>> seen
    array([[ True,  True, False,  True]])
    >>> jacobians[0].round(1) + 0.0  # the hidden western side moves nothing
    array([[ 2.4,  0. ,  0. , -0.6],
           [ 0. ,  0. ,  0. , -7. ],
           [ 0. ,  0. ,  0. ,  0. ],
           [ 0. , -7. ,  0. ,  0. ]])
    """
    n, step = len(rectangles_deg), 1e-4
    moved = rectangles_deg[:, None, :] + step * np.concatenate([np.zeros((1, 4)), np.eye(4)])
    # Where the limb cuts a side, its longitude moves the box, but says little: such a side counts as hidden.
    boxes, seen, near = _boxes(moved.reshape(-1, 4), geometry)
    near = near.reshape(n, 5, 4)
    jacobians = (near[:, 1:] - near[:, :1]).transpose(0, 2, 1) / step
    return boxes[::5], np.nan_to_num(jacobians), seen[::5]


def ordered(rectangles: Float64Array, smallest: Float64Array) -> Float64Array:
    """Limit rectangles to sides of at least `smallest` degrees and at most half a turn, clear of the poles.

    Parameters
    ----------
    rectangles : ndarray of float64, shape (n, 4)
        ``(lon0, lat0, lon1, lat1)``, degrees; swapped sides become the smallest allowed.
    smallest : ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of float64, shape (n, 4)

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.coordinates import ordered
    >>> ordered(np.array([[12.0, -5.0, 10.0, 5.0]]), np.array([1.0]))
    array([[10.5, -5. , 11.5,  5. ]])
    """
    out = rectangles.copy()
    out[:, 1::2] = np.clip(out[:, 1::2], -89.0, 89.0)
    centre = 0.5 * (out[:, :2] + out[:, 2:])
    half = np.clip(0.5 * (out[:, 2:] - out[:, :2]), 0.5 * smallest[:, None], [89.0, 44.0])
    return np.concatenate([centre - half, centre + half], axis=1)


def visible_parts(boxes: ArrayLike, geometry: ImageGeometry) -> Float64Array:
    """Smallest boxes around the parts of boxes that are on the disk.

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

    Examples
    --------
    >>> from solartrack.coordinates import ImageGeometry, visible_parts
    >>> sun = ImageGeometry.from_disk((512, 512), 400)
    >>> visible_parts([[480, 380, 560, 430], [880, 480, 960, 540], [950, 0, 999, 50]], sun).round(1)
    array([[480., 380., 560., 430.],
           [880., 480., 912., 540.],
           [ nan,  nan,  nan,  nan]])
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
            # Position on the other axis: that of the ellipse's extreme, or the box's nearest to it.
            at = -sign * b / across * reach[axis]
            at = np.clip(at, low[:, 1 - axis], np.maximum(low, high)[:, 1 - axis])
            edge = (-b * at + sign * np.sqrt(np.maximum(along - det * at**2, 0.0))) / along
            out[:, side] = sign * np.minimum(sign * out[:, side], sign * edge)
    there &= (out[:, :2] < out[:, 2:]).all(axis=1)
    return np.where(there[:, None], out + centre, np.nan)
