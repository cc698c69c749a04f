"""Where the Sun and the observer are, and which pixel sees which point of the surface.

Frame on the Sun: Carrington latitude and longitude; Cartesian with the third axis towards the north pole, in
solar radii. Frame of the observer: x to the west (right), y to the north (up), z to the observer.

The projection is that of `solartrack.coordinates.ImageGeometry`, and tests compare the two. It is written
again here for three reasons. Loops stand above the surface, where `ImageGeometry` has no coordinates. `see`
takes 35 ms for 1024 x 1024 pixels instead of 180, of about a second for the whole image, because it needs no
angles in the sky and uses float32 where that is enough. And boxes are exact at the limb, where
`rectangles_to_boxes` approximates.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solartrack.coordinates import AU_M, EARTH_DEG_DAY, RSUN_M, ImageGeometry, rotation_rate

Array = NDArray[np.float64]

ARCSEC_PER_RAD = 206_264.806_247_096_36
CARRINGTON_DEG_DAY = 14.1844  # sidereal
_J2000 = datetime(2000, 1, 1, 12)


def rotation_deg_day(lat_deg: Array | float) -> Array:
    """Sidereal rotation rate at a latitude, deg/day: the law of active regions."""
    return rotation_rate(lat_deg) + EARTH_DEG_DAY


def drift_deg_day(lat_deg: Array | float) -> Array:
    """Change of Carrington longitude by differential rotation, deg/day."""
    return rotation_deg_day(lat_deg) - CARRINGTON_DEG_DAY


@dataclass(frozen=True)
class Observer:
    """Where the observer is: Carrington longitude and latitude of the disk centre, and distance."""

    l0_deg: float
    b0_deg: float
    distance_m: float

    @property
    def distance_rsun(self) -> float:
        """Distance to the Sun's centre, solar radii."""
        return self.distance_m / RSUN_M


def earth(time: datetime, b0_deg: float | None = None) -> Observer:
    """Observer at the Earth's centre, to a few hundredths of a degree; needs no ephemeris.

    Parameters
    ----------
    time : datetime
        UTC, naive.
    b0_deg : float, optional
        Latitude of the disk centre to use instead of the true one.

    References
    ----------
    Meeus 1998, Astronomical Algorithms, chapters 25 (low accuracy) and 29.
    """
    day = (time - _J2000).total_seconds() / 86400.0
    anomaly = np.radians(357.529 + 0.98560028 * day)
    sun = np.radians(280.459 + 0.98564736 * day + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    au = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    node = np.radians(73.6667 + 1.3958333 * (day + 54787.0) / 36525.0)
    tilt = np.radians(7.25)
    turned = np.radians((day + 53325.0) * 360.0 / 25.38)
    b0 = np.degrees(np.arcsin(np.sin(sun - node) * np.sin(tilt)))
    eta = np.arctan2(-np.sin(sun - node) * np.cos(tilt), -np.cos(sun - node))
    l0 = float(np.degrees(eta - turned)) % 360.0
    return Observer(l0, float(b0) if b0_deg is None else float(b0_deg), float(au * AU_M))


@dataclass(frozen=True)
class View:
    """A helioprojective image (HPLN-TAN) with its reference at the disk centre: a pinhole camera.

    Coordinates are pixel edges: pixel ``i`` covers ``[i, i + 1)``.
    """

    observer: Observer
    center: tuple[float, float]
    arcsec_per_pixel: float
    size: int

    @cached_property
    def geometry(self) -> ImageGeometry:
        """The same for `solartrack.coordinates`; its longitudes are Carrington ones, too."""
        scale, observer = self.arcsec_per_pixel, self.observer
        return ImageGeometry(
            self.center,
            (scale, 0.0, 0.0, scale),
            b0_deg=observer.b0_deg,
            l0_deg=observer.l0_deg,
            distance_rsun=observer.distance_rsun,
        )

    @property
    def focal(self) -> float:
        """Pixels per unit of tangent."""
        return ARCSEC_PER_RAD / self.arcsec_per_pixel

    @property
    def radius(self) -> float:
        """Radius of the visible limb, pixels."""
        return self.geometry.disk_radius

    def matrix(self) -> Array:
        """Rotation from the Carrington frame to the observer's, shape (3, 3)."""
        lon, lat = np.radians(self.observer.l0_deg), np.radians(self.observer.b0_deg)
        cl, sl, cb, sb = np.cos(lon), np.sin(lon), np.cos(lat), np.sin(lat)
        return np.array([[-sl, cl, 0.0], [-sb * cl, -sb * sl, cb], [cb * cl, cb * sl, sb]])

    def project(self, points: NDArray[np.floating]) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Pixel-edge coordinates of points, and whether the Sun does not hide them.

        Parameters
        ----------
        points : ndarray, shape (n, 3)
            Carrington frame, solar radii.

        Returns
        -------
        x, y : ndarray, shape (n,)
        visible : ndarray of bool, shape (n,)
            False behind the horizon of the Sun's surface.
        """
        x, y, z = self.matrix() @ np.asarray(points, dtype=np.float64).T
        distance = self.observer.distance_rsun
        u, v = x / (distance - z), y / (distance - z)
        beside = (u * u + v * v) * (distance * distance - 1.0) > 1.0
        visible = beside | (z >= 1.0 / distance)
        return self.center[0] + self.focal * u, self.center[1] + self.focal * v, visible

    def horizon_cosine(self) -> float:
        """Cosine of the angle from the disk centre to the horizon of the surface."""
        return 1.0 / self.observer.distance_rsun


@dataclass(frozen=True)
class Disk:
    """Surface points under the pixels on the disk, as flat float32 arrays in C order.

    ``index`` holds the flat indices of these pixels; ``mu`` the cosine of the angle between the line of
    sight and the surface normal.
    """

    index: NDArray[np.intp]
    mu: NDArray[np.float32]
    lon_deg: NDArray[np.float32]
    lat_deg: NDArray[np.float32]
    rho: NDArray[np.float32]  # of the whole image: distance from the disk centre in limb radii


def see(view: View) -> Disk:
    """Surface coordinates under the centre of every pixel on the disk."""
    n = view.size
    u = (np.arange(n) + 0.5 - view.center[0]) / view.focal
    v = (np.arange(n) + 0.5 - view.center[1]) / view.focal
    q = np.add.outer(v * v, u * u)  # squared tangent of the angle from disk centre
    d = view.observer.distance_rsun
    index = np.flatnonzero(q * (d * d - 1.0) < 1.0)
    row, col = np.divmod(index, n)
    q_on = q.ravel()[index]
    t = (d - np.sqrt(np.maximum(1.0 - q_on * (d * d - 1.0), 0.0))) / (1.0 + q_on)
    x, y, z = t * u[col], t * v[row], d - t
    to_sun = view.matrix().T.astype(np.float32)
    a, b, c = to_sun @ np.stack([x, y, z]).astype(np.float32)
    # Between the normal and the line of sight, which is not quite z.
    mu = ((d * z - 1.0) / np.sqrt(d * d + 1.0 - 2.0 * d * z)).astype(np.float32)
    lon = np.degrees(np.arctan2(b, a))
    lat = np.degrees(np.arcsin(np.clip(c, -1.0, 1.0)))
    rho = np.sqrt(q * (d * d - 1.0)).astype(np.float32)
    return Disk(index, np.clip(mu, 0.0, 1.0), lon, lat, rho)


def unit_vectors(lon_deg: NDArray[np.floating], lat_deg: NDArray[np.floating]) -> Array:
    """Points of the surface as Cartesian unit vectors, shape (..., 3)."""
    lon, lat = np.radians(np.asarray(lon_deg, float)), np.radians(np.asarray(lat_deg, float))
    lon, lat = np.broadcast_arrays(lon, lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def wrap(lon_deg: NDArray[np.floating]) -> NDArray[np.floating]:
    """Longitude difference in [-180, 180)."""
    return (lon_deg + 180.0) % 360.0 - 180.0


def rectangle_box(view: View, west: float, east: float, south: float, north: float) -> Array | None:
    """Box around the visible part of a heliographic rectangle.

    Parameters
    ----------
    view : View
    west, east, south, north : float
        Carrington longitudes ``west < east`` (longitude grows to the right in the image) and latitudes,
        degrees. "West" is the smaller one.

    Returns
    -------
    ndarray, shape (4,), or None
        ``(x0, y0, x1, y1)``, pixel edges; None if nothing is visible. Not cut
        to the image.

    Notes
    -----
    The extremes lie on the edges of the rectangle, where the horizon crosses these, or on the horizon
    between. Edges are sampled at 181 points; the error is below a thousandth of a pixel at 1024 pixels.
    """
    lons, lats = np.linspace(west, east, 181), np.linspace(south, north, 181)
    lon = [lons, lons, np.full(181, west), np.full(181, east)]
    lat = [np.full(181, south), np.full(181, north), lats, lats]
    for more in (_crossings(view, west, east, south, north), _horizon(view, west, east, south, north)):
        lon.append(more[0])
        lat.append(more[1])
    points = unit_vectors(np.concatenate(lon), np.concatenate(lat))
    depth = points @ view.matrix()[2]
    seen = depth >= view.horizon_cosine() - 1e-9  # the crossings themselves count
    if not seen.any():
        return None
    x, y, _ = view.project(points[seen])
    return np.array([x.min(), y.min(), x.max(), y.max()])


def _horizon(view: View, west: float, east: float, south: float, north: float) -> tuple[Array, Array]:
    """Longitudes and latitudes of points on the horizon, those inside the rectangle."""
    c = view.horizon_cosine()
    angle = np.linspace(0.0, 2.0 * np.pi, 7201)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)]) * np.sqrt(1.0 - c * c)
    ring[2] = c
    p = view.matrix().T @ ring
    lat = np.degrees(np.arcsin(p[2]))
    lon = west + (np.degrees(np.arctan2(p[1], p[0])) - west) % 360.0
    inside = (lat >= south) & (lat <= north) & (lon <= east)
    return lon[inside], lat[inside]


def _crossings(view: View, west: float, east: float, south: float, north: float) -> tuple[Array, Array]:
    """Longitudes and latitudes where the horizon crosses the rectangle's edges.

    On the horizon ``sin b0 sin lat + cos b0 cos lat cos(lon - l0)`` is its cosine.
    """
    c, found = view.horizon_cosine(), []
    b0, l0 = np.radians(view.observer.b0_deg), view.observer.l0_deg
    for edge in (south, north):
        s = np.radians(edge)
        cosine = (c - np.sin(b0) * np.sin(s)) / (np.cos(b0) * np.cos(s))
        if abs(cosine) <= 1.0:
            for sign in (-1.0, 1.0):
                at = west + (l0 + sign * np.degrees(np.arccos(cosine)) - west) % 360.0
                if at <= east:
                    found.append((at, edge))
    for edge in (west, east):
        k = np.cos(b0) * np.cos(np.radians(edge - l0))
        reach, phase = np.hypot(np.sin(b0), k), np.arctan2(np.sin(b0), k)
        if reach >= c:
            for sign in (-1.0, 1.0):
                at = np.degrees(phase + sign * np.arccos(c / reach))
                if south <= at <= north:
                    found.append((edge, at))
    lon, lat = np.array(found, dtype=np.float64).reshape(-1, 2).T
    return lon, lat
