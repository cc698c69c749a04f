"""Differential rotation: where it takes boxes and heliographic rectangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_box
from solartrack.coordinates.geometry import INSIDE_LIMB, ImageGeometry, clamp_to_visible, half_turn
from solartrack.errors import GeometryError


def rotation_rate(lat_deg: ArrayLike) -> Float64Array:
    """Synodic rotation rate of the photosphere, degrees per day.

    ``14.713 - 2.396 sin^2(lat) - 1.787 sin^4(lat)``, minus 0.9856 for the Earth's own
    motion. This is the rate of Doppler features; active regions follow it too, the
    boxes of HARP 3604 to 0.1 degree per day. sunpy's models are 3 to 4 % slower.

    Parameters
    ----------
    lat_deg : array_like
        Heliographic latitude, degrees.

    Returns
    -------
    ndarray of float64
        Degrees of Stonyhurst longitude per day, westward; NaN for NaN.

    References
    ----------
    Snodgrass & Ulrich 1990, ApJ 351, 309.
    """
    s2 = np.sin(np.radians(lat_deg)) ** 2
    return np.asarray(14.713 - 2.396 * s2 - 1.787 * s2 * s2 - 0.9856)


class RotatedBox(NamedTuple):
    """Where rotation has taken a box.

    Attributes
    ----------
    box : ndarray of float64, shape (4,)
        ``(x0, y0, x1, y1)``, pixel edges; NaN once no part of it faces the observer.
    visible : float
        Share of the box's points on the disk that still face the observer, 0 to 1.
    off_disk : bool
        Whether it has rotated behind the limb.
    """

    box: Float64Array
    visible: float
    off_disk: bool


def rotate_box(
    box: ArrayLike, days: float, source: ImageGeometry, target: ImageGeometry | None = None
) -> RotatedBox:
    """Carry a box with the Sun's differential rotation into another image.

    Points on the box's edges and on a grid inside it move at the rates of their
    own latitudes; the result encloses those that face the observer. A part
    of the box beyond the limb is taken to be at the limb. A part that rotates
    behind the limb ends at the limb.

    Parameters
    ----------
    box : array_like, shape (4,)
        ``(x0, y0, x1, y1)`` in the source image, pixel edges.
    days : float
        Time from the source image to the target image; negative goes back.
    source, target : ImageGeometry
        The two images; the target is the source if not given.

    Returns
    -------
    RotatedBox

    Raises
    ------
    ValueError
        If the box is empty, inverted or not finite, or `days` is not finite.
    GeometryError
        If no part of the box is on the disk.
    """
    corners = as_box(box)
    if isinstance(days, complex) or not isinstance(days, (int, float, np.number)) or not np.isfinite(days):
        raise ValueError(f"days must be a finite number, got {days!r}")
    target = source if target is None else target

    lon, lat, on_disk = _sample(corners, source)
    # Longitudes are measured from the source's central meridian and not wrapped: a month later the
    # region is behind the Sun, or back.
    travelled = half_turn(lon - source.l0_deg) + source.l0_deg + rotation_rate(lat) * days

    _, _, visible = target.heliographic_to_helioprojective(travelled, lat)
    share = float(np.mean(visible[on_disk]))
    if share == 0.0:
        return RotatedBox(np.full(4, np.nan), 0.0, True)
    # All points lose the same number of whole turns, so that those that lag behind the visible ones
    # stay behind them, and those ahead stay ahead: each is hidden by the limb that it is near.
    relative = travelled - target.l0_deg
    relative -= 360.0 * np.round(np.mean(relative[visible]) / 360.0)
    clamped, reaches = clamp_to_visible(relative, lat, target)
    px, py, _ = target.heliographic_to_pixel(clamped[reaches], lat[reaches])
    return RotatedBox(np.array([px.min(), py.min(), px.max(), py.max()]), share, False)


def _sample(
    box: Float64Array, geometry: ImageGeometry
) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
    """Heliographic positions that stand for a box.

    Returns
    -------
    lon, lat : ndarray of float64, shape (k,)
        Stonyhurst degrees.
    on_disk : ndarray of bool, shape (k,)
        False for a point that lay beyond the limb and was moved to it.

    Raises
    ------
    GeometryError
        If no part of the box is on the disk.
    """
    x0, y0, x1, y1 = box.tolist()

    def inside(x: Float64Array, y: Float64Array) -> NDArray[np.bool_]:
        return np.asarray((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))

    x, y = _grid(x0, y0, x1, y1)
    # The steps of the grid may be larger than the disk, which would then fall between its points. So the
    # disk's centre and points on its limb are added where the box holds them.
    limb = geometry.rsun_arcsec * INSIDE_LIMB
    angle = np.linspace(0.0, 2.0 * np.pi, 32, endpoint=False)
    disk_x, disk_y = geometry.helioprojective_to_pixel(
        np.append(limb * np.cos(angle), 0.0), np.append(limb * np.sin(angle), 0.0)
    )
    held = inside(disk_x, disk_y)
    x, y = np.concatenate([x, disk_x[held]]), np.concatenate([y, disk_y[held]])

    tx, ty = geometry.pixel_to_helioprojective(x, y)
    radius = np.hypot(tx, ty)
    on_disk = radius <= limb * (1.0 + 1e-9)
    if not on_disk.any():
        raise GeometryError(
            f"the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) lies beyond the limb: the disk has its centre at "
            "({:.1f}, {:.1f})".format(*geometry.disk_center)
            + f" and a radius of {geometry.disk_radius:.1f} px"
        )
    # Points beyond the limb move to it, which traces the limb inside the box. Those that would leave the
    # box on the way are dropped.
    pull = np.where(on_disk, 1.0, limb / np.maximum(radius, limb))
    tx, ty = tx * pull, ty * pull
    kept = on_disk | inside(*geometry.helioprojective_to_pixel(tx, ty))
    lon, lat = geometry.helioprojective_to_heliographic(tx[kept], ty[kept])
    return lon, lat, on_disk[kept]


def _grid(x0: float, y0: float, x1: float, y1: float) -> tuple[Float64Array, Float64Array]:
    """Points along the edges of a box, and on a grid inside it."""
    edge, grid = np.linspace(0.0, 1.0, 33), np.linspace(0.0, 1.0, 17)[1:-1]
    inner_u, inner_v = (a.ravel() for a in np.meshgrid(grid, grid))
    u = np.concatenate([edge, edge, 0.0 * edge, 0.0 * edge + 1.0, inner_u])
    v = np.concatenate([0.0 * edge, 0.0 * edge + 1.0, edge, edge, inner_v])
    return x0 + u * (x1 - x0), y0 + v * (y1 - y0)


def rotate_rectangles(rectangles_deg: ArrayLike, days: float) -> Float64Array:
    """Move heliographic rectangles with the Sun, each as a whole at the rate of its middle latitude.

    Parameters
    ----------
    rectangles_deg : array_like, shape (n, 4)
        ``(lon0, lat0, lon1, lat1)``, Stonyhurst degrees.
    days : float
        Negative goes back.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Longitudes are not wrapped.
    """
    r = np.asarray(rectangles_deg, dtype=np.float64).reshape(-1, 4)
    moved = rotation_rate(0.5 * (r[:, 1] + r[:, 3])) * days
    return r + np.stack([moved, 0.0 * moved, moved, 0.0 * moved], axis=1)
