"""Differential rotation: where it takes boxes and heliographic rectangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import Float64Array, as_box
from solartrack.coordinates.geometry import INSIDE_LIMB, ImageGeometry, clamp_to_visible
from solartrack.coordinates.rectangles import fit_rectangles, rectangles_to_boxes, visible_parts
from solartrack.errors import GeometryError

# A rectangle wider or higher than this, in degrees, covers too much of the Sun to be a region.
_LARGEST = (170.0, 85.0)
# Least overlap (IoU) of a box with that of its rectangle. Boxes around a pole, or across the whole disk, are
# no rectangles in latitude and longitude.
_LEAST_OVERLAP = 0.9
# Points along each side of a rectangle for the visible share, and of a box that is no rectangle.
_SHARE_POINTS, _POINTS = 17, 401


#: Mean motion of the Earth around the Sun, degrees per day: sidereal minus synodic rates.
EARTH_DEG_DAY = 0.9856


class RotationLaw(NamedTuple):
    """A law of rotation: ``a + b sin^2(lat) + c sin^4(lat)``, sidereal degrees per day.

    Attributes
    ----------
    a, b, c : float
        Degrees per day, seen from the stars; the Earth's own motion is not taken off.

    Examples
    --------
    >>> from solartrack.coordinates import RotationLaw, rotation_rate
    >>> rotation_rate([0, 30], law=RotationLaw(14.71, -2.39, -1.78)).round(3)
    array([13.724, 13.016])
    """

    a: float
    b: float = 0.0
    c: float = 0.0


#: Laws by name.
#:
#: ``"active regions"``, the default, was fitted to 16 622 pairs of positions of 2496 NOAA regions from 1996
#: to 2018, five to seven days apart (``benchmarks/rotation_law.py``). Regions differ from it by 0.32 degrees
#: a day (standard deviation), at all latitudes alike. They were seen up to 45 degrees of latitude.
#: ``"doppler"`` is the plasma of the photosphere (Snodgrass & Ulrich 1990, ApJ 351, 309); ``"snodgrass"``
#: magnetic features (Snodgrass 1983, ApJ 270, 288); ``"komm"`` small ones (Komm, Howard & Harvey 1993,
#: Sol. Phys. 145, 1); ``"howard"`` magnetic fields (Howard, Harvey & Forgach 1990, Sol. Phys. 130, 295);
#: ``"rigid"`` turns at 13.4635 degrees a day seen from the Earth, the rate at which JSOC moves the boxes
#: of HMI's active region patches; ``"coronal holes"``, which turn more rigidly than the plasma below, is of
#: Timothy, Krieger & Vaiana 1975, Sol. Phys. 42, 135.
LAWS = {
    "active regions": RotationLaw(14.417, -2.451, -1.095),
    "doppler": RotationLaw(14.713, -2.396, -1.787),
    "snodgrass": RotationLaw(14.366, -2.297, -1.624),
    "komm": RotationLaw(14.42, -2.00, -2.09),
    "howard": RotationLaw(14.327, -2.119, -1.832),
    "rigid": RotationLaw(13.4635 + EARTH_DEG_DAY),
    "coronal holes": RotationLaw(13.25 + EARTH_DEG_DAY, -0.4),
}

#: The law of whatever is not given another one.
DEFAULT_LAW = "active regions"


def rotation_law(law: str | RotationLaw) -> RotationLaw:
    """A law by its name in `LAWS`; one that is a `RotationLaw` already passes.

    Parameters
    ----------
    law : str or RotationLaw

    Returns
    -------
    RotationLaw

    Raises
    ------
    ValueError
        If there is no law of that name.

    Examples
    --------
    >>> from solartrack.coordinates import LAWS, rotation_law
    >>> sorted(LAWS)
    ['active regions', 'coronal holes', 'doppler', 'howard', 'komm', 'rigid', 'snodgrass']
    >>> rotation_law("active regions")
    RotationLaw(a=14.417, b=-2.451, c=-1.095)
    """
    if isinstance(law, RotationLaw):
        if not np.isfinite(law).all():
            raise ValueError(f"law must have finite coefficients, got {law}")
        return law
    if not isinstance(law, str) or law not in LAWS:
        names = ", ".join(map(repr, LAWS))
        raise ValueError(f"law must be one of {names}, or a RotationLaw, got {law!r}")
    return LAWS[law]


def rotation_rate(lat_deg: ArrayLike, law: str | RotationLaw = DEFAULT_LAW) -> Float64Array:
    """Synodic rotation rate, degrees per day: a law minus 0.9856 for the Earth's own motion.

    Parameters
    ----------
    lat_deg : array_like
        Heliographic latitude, degrees.
    law : str or RotationLaw
        A name from `LAWS`, or a law of one's own. The default is that of active regions.

    Returns
    -------
    ndarray of float64
        Degrees of Stonyhurst longitude per day, westward; NaN for NaN.

    Raises
    ------
    ValueError
        If there is no such law.

    Notes
    -----
    Active regions lag behind the plasma around them. Carried by the law of Doppler features they are
    ahead of their NOAA positions by 0.2 to 0.3 degrees a day.

    Examples
    --------
    >>> from solartrack.coordinates import rotation_rate
    >>> rotation_rate([0, 15, 30, 45]).round(3)
    array([13.431, 13.262, 12.75 , 11.932])
    >>> rotation_rate([0, 45], law="rigid").round(3)
    array([13.464, 13.464])
    """
    a, b, c = rotation_law(law)
    s2 = np.sin(np.radians(lat_deg)) ** 2
    return np.asarray(a - EARTH_DEG_DAY + b * s2 + c * s2 * s2)


class RotatedBox(NamedTuple):
    """Where rotation has taken a box.

    Attributes
    ----------
    box : ndarray of float64, shape (4,)
        ``(x0, y0, x1, y1)``, pixel edges; NaN once no part of it faces the observer.
    visible : float
        Share of the region that faces the observer, 0 to 1.
    off_disk : bool
        Whether it has rotated behind the limb.

    Examples
    --------
    >>> from solartrack.coordinates import ImageGeometry, rotate_box
    >>> sun = ImageGeometry.from_disk((512, 512), 400)
    >>> later = rotate_box([480, 380, 560, 430], 9.0, sun)
    >>> later.off_disk, later.visible, later.box
    (True, 0.0, array([nan, nan, nan, nan]))
    """

    box: Float64Array
    visible: float
    off_disk: bool


def rotate_box(
    box: ArrayLike,
    days: float,
    source: ImageGeometry,
    target: ImageGeometry | None = None,
    *,
    law: str | RotationLaw = DEFAULT_LAW,
) -> RotatedBox:
    """Carry a box with the Sun's rotation into another image.

    The box is carried as the rectangle in latitude and longitude that it shows, as a whole, at the rate of
    its middle latitude. So its area on the Sun stays, however often it is carried on. A part of the box
    beyond the limb is taken to be at the limb, and a part that rotates behind the limb ends there.

    Parameters
    ----------
    box : array_like, shape (4,)
        ``(x0, y0, x1, y1)`` in the source image, pixel edges.
    days : float
        Time from the source image to the target image; negative goes back.
    source, target : ImageGeometry
        The two images; the target is the source if not given.
    law : str or RotationLaw
        See `rotation_rate`.

    Returns
    -------
    RotatedBox

    Raises
    ------
    ValueError
        If the box is empty, inverted or not finite, `days` is not finite, or there is no such law.
    GeometryError
        If no part of the box is on the disk.

    Notes
    -----
    What is no such rectangle, such as a box around a pole or across the whole disk, or a narrow one in a
    rolled image, is carried as the figure that it is, and the result encloses the figure's visible part.

    Examples
    --------
    >>> from solartrack.coordinates import ImageGeometry, rotate_box
    >>> sun = ImageGeometry.from_disk((512, 512), 400)
    >>> later = rotate_box([480, 380, 560, 430], 1.0, sun)
    >>> later.box.round(1), later.visible, later.off_disk
    (array([568.6, 380. , 648.2, 430. ]), 1.0, False)
    """
    corners = as_box(box)
    if isinstance(days, complex) or not isinstance(days, (int, float, np.number)) or not np.isfinite(days):
        raise ValueError(f"days must be a finite number, got {days!r}")
    rotation_law(law)
    target = source if target is None else target
    part = visible_parts(corners, source)[0]
    if np.isnan(part[0]):
        raise GeometryError(
            "the box ({:g}, {:g}, {:g}, {:g}) lies beyond the limb: ".format(*corners)
            + "the disk has its centre at ({:.1f}, {:.1f})".format(*source.disk_center)
            + f" and a radius of {source.disk_radius:.1f} px"
        )
    rectangle = _shown_rectangle(part, source)
    if rectangle is None:
        return _rotate_figure(part, days, source, target, law)
    moved = rotate_rectangles(rectangle, days, law)
    carried = part if days == 0 and target == source else rectangles_to_boxes(moved, target)[0][0]
    if np.isnan(carried[0]):
        return RotatedBox(carried, 0.0, True)
    lon, lat = np.meshgrid(*(np.linspace(moved[0, i], moved[0, i + 2], _SHARE_POINTS) for i in (0, 1)))
    share = target.heliographic_to_helioprojective(lon, lat)[2].mean()
    return RotatedBox(carried, max(float(share), 1.0 / lon.size), False)


def _shown_rectangle(part: Float64Array, geometry: ImageGeometry) -> Float64Array | None:
    """The rectangle that a box on the disk shows, shape (1, 4), up to the limb; None if it shows none."""
    rectangle = fit_rectangles(part, geometry)[0]
    extent = rectangle[0, 2:] - rectangle[0, :2]
    if not (extent < _LARGEST).all():
        return None
    # Nothing is known of what is behind the limb.
    lat = np.linspace(rectangle[0, 1], rectangle[0, 3], _SHARE_POINTS)
    middle = 0.5 * (rectangle[0, 0] + rectangle[0, 2]) - geometry.l0_deg
    for side, far in ((0, -180.0), (2, 180.0)):
        limb, reaches = clamp_to_visible(np.full(len(lat), far), lat, geometry)
        reach = np.abs(limb - geometry.l0_deg)[reaches].max(initial=0.0)
        if abs(middle) < reach:
            l0 = geometry.l0_deg
            rectangle[0, side] = l0 + np.clip(rectangle[0, side] - l0, -reach, reach)
    shown = rectangles_to_boxes(rectangle, geometry)[0][0]
    low, high = np.maximum(shown[:2], part[:2]), np.minimum(shown[2:], part[2:])
    common = np.prod(np.maximum(high - low, 0.0))
    union = np.prod(shown[2:] - shown[:2]) + np.prod(part[2:] - part[:2]) - common
    return rectangle if common > _LEAST_OVERLAP * union else None


def _rotate_figure(
    part: Float64Array, days: float, source: ImageGeometry, target: ImageGeometry, law: str | RotationLaw
) -> RotatedBox:
    """Carry all points of a box on the disk at the rate of its centre, and enclose the visible ones."""
    x, y = (a.ravel() for a in np.meshgrid(*(np.linspace(part[i], part[i + 2], _POINTS) for i in (0, 1))))
    # Between the limb and the last points before it there may be degrees of longitude.
    limb = source.rsun_arcsec * INSIDE_LIMB
    angle = np.linspace(0.0, 2.0 * np.pi, 4 * _POINTS, endpoint=False)
    limb_x, limb_y = source.helioprojective_to_pixel(limb * np.cos(angle), limb * np.sin(angle))
    held = (limb_x >= part[0]) & (limb_x <= part[2]) & (limb_y >= part[1]) & (limb_y <= part[3])
    lon, lat = source.pixel_to_heliographic(np.append(x, limb_x[held]), np.append(y, limb_y[held]))
    on_disk = np.isfinite(lon)
    lon, lat = lon[on_disk], lat[on_disk]
    _, centre = source.pixel_to_heliographic(0.5 * (part[0] + part[2]), 0.5 * (part[1] + part[3]))
    rate = rotation_rate(centre if np.isfinite(centre) else lat.mean(), law)
    px, py, visible = target.heliographic_to_pixel(lon + rate * days, lat)
    if not visible.any():
        return RotatedBox(np.full(4, np.nan), 0.0, True)
    px, py = px[visible], py[visible]
    return RotatedBox(np.array([px.min(), py.min(), px.max(), py.max()]), float(visible.mean()), False)


def rotate_rectangles(
    rectangles_deg: ArrayLike, days: float, law: str | RotationLaw = DEFAULT_LAW
) -> Float64Array:
    """Move heliographic rectangles with the Sun, each as a whole at the rate of its middle latitude.

    Parameters
    ----------
    rectangles_deg : array_like, shape (n, 4)
        ``(lon0, lat0, lon1, lat1)``, Stonyhurst degrees.
    days : float
        Negative goes back.
    law : str or RotationLaw
        See `rotation_rate`.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Longitudes are not wrapped.

    Examples
    --------
    >>> from solartrack.coordinates import rotate_rectangles
    >>> rotate_rectangles([[-5, 10, 15, 20], [-5, 40, 15, 50]], 1.0).round(2)
    array([[ 8.26, 10.  , 28.26, 20.  ],
           [ 6.93, 40.  , 26.93, 50.  ]])
    """
    r = np.asarray(rectangles_deg, dtype=np.float64).reshape(-1, 4)
    moved = rotation_rate(0.5 * (r[:, 1] + r[:, 3]), law) * days
    return r + np.stack([moved, 0.0 * moved, moved, 0.0 * moved], axis=1)
