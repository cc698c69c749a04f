"""Where the Sun and the observer are, and which pixel sees which place.

Frame on the Sun: Carrington latitude and longitude, Cartesian with the third
axis to the north pole, in solar radii. Frame of the observer: x to the west
(right), y to the north (up), z to the observer.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RSUN_M = 695_700_000.0
AU_M = 149_597_870_700.0
ARCSEC_PER_RAD = 206_264.806_247_096_36
CARRINGTON_DEG_DAY = 14.1844  # sidereal
_J2000 = datetime(2000, 1, 1, 12)


def rotation_deg_day(lat_deg: Array | float) -> Array:
    """Sidereal rotation rate at a latitude, deg/day.

    References
    ----------
    Snodgrass & Ulrich 1990, ApJ 351, 309 (magnetic features as used by Howard).
    """
    s2 = np.sin(np.radians(lat_deg)) ** 2
    return np.asarray(14.713 - 2.396 * s2 - 1.787 * s2**2)


def drift_deg_day(lat_deg: Array | float) -> Array:
    """Change of Carrington longitude by differential rotation, deg/day."""
    return rotation_deg_day(lat_deg) - CARRINGTON_DEG_DAY


@dataclass(frozen=True)
class Observer:
    """Place of the observer: Carrington longitude and latitude of disk centre, distance."""

    l0_deg: float
    b0_deg: float
    distance_m: float

    @property
    def distance_rsun(self) -> float:
        """Distance to the Sun's centre, solar radii."""
        return self.distance_m / RSUN_M

    @property
    def rsun_arcsec(self) -> float:
        """Angular radius of the visible limb."""
        return float(np.arcsin(1.0 / self.distance_rsun)) * ARCSEC_PER_RAD


def earth(time: datetime, b0_deg: float | None = None) -> Observer:
    """Observer at the Earth's centre, good to some hundredths of a degree.

    Parameters
    ----------
    time : datetime
        UTC, naive.
    b0_deg : float, optional
        Replaces the true latitude of disk centre.

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
    """A pinhole camera, which is what a helioprojective TAN image with reference at disk centre is.

    Coordinates are pixel edges: pixel ``i`` covers ``[i, i + 1)``.
    """

    observer: Observer
    center: tuple[float, float]
    arcsec_per_pixel: float
    size: int

    @property
    def focal(self) -> float:
        """Pixels per unit of tangent."""
        return ARCSEC_PER_RAD / self.arcsec_per_pixel

    @property
    def radius(self) -> float:
        """Radius of the visible limb, pixels."""
        return self.focal / float(np.sqrt(self.observer.distance_rsun**2 - 1.0))

    def matrix(self) -> Array:
        """Rotation from the Carrington to the observer's frame, shape (3, 3)."""
        lon, lat = np.radians(self.observer.l0_deg), np.radians(self.observer.b0_deg)
        cl, sl, cb, sb = np.cos(lon), np.sin(lon), np.cos(lat), np.sin(lat)
        return np.array([[-sl, cl, 0.0], [-sb * cl, -sb * sl, cb], [cb * cl, cb * sl, sb]])

    def project(self, points: NDArray[np.floating]) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Pixel-edge coordinates of points, and whether the Sun leaves them in sight.

        Parameters
        ----------
        points : ndarray, shape (n, 3)
            Carrington frame, solar radii.

        Returns
        -------
        x, y : ndarray, shape (n,)
        visible : ndarray of bool, shape (n,)
            False behind the horizon of the solar surface.
        """
        x, y, z = self.matrix() @ np.asarray(points, dtype=np.float64).T
        distance = self.observer.distance_rsun
        u, v = x / (distance - z), y / (distance - z)
        beside = (u * u + v * v) * (distance * distance - 1.0) > 1.0
        visible = beside | (z >= 1.0 / distance)
        return self.center[0] + self.focal * u, self.center[1] + self.focal * v, visible

    def project_lonlat(self, lon_deg: Array, lat_deg: Array) -> tuple[Array, Array]:
        """Pixel-edge coordinates of places on the surface, whether in sight or not."""
        x, y, _ = self.project(unit_vectors(lon_deg, lat_deg).reshape(-1, 3))
        return x, y

    def horizon_cosine(self) -> float:
        """Cosine of the angle from disk centre at which the surface goes out of sight."""
        return 1.0 / self.observer.distance_rsun


@dataclass(frozen=True)
class Disk:
    """What the pixels see, as flat float32 arrays over the pixels on the disk (C order).

    ``index`` are their flat indices; ``mu`` is the cosine to the surface normal.
    """

    index: NDArray[np.intp]
    mu: NDArray[np.float32]
    lon_deg: NDArray[np.float32]
    lat_deg: NDArray[np.float32]
    rho: NDArray[np.float32]  # whole image, distance from disk centre in limb radii


def see(view: View) -> Disk:
    """Surface coordinates under every pixel centre that meets the Sun."""
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
    # Cosine between the normal and the line of sight, which is not quite z.
    mu = ((d * z - 1.0) / np.sqrt(d * d + 1.0 - 2.0 * d * z)).astype(np.float32)
    lon = np.degrees(np.arctan2(b, a))
    lat = np.degrees(np.arcsin(np.clip(c, -1.0, 1.0)))
    rho = np.sqrt(q * (d * d - 1.0)).astype(np.float32)
    return Disk(index, np.clip(mu, 0.0, 1.0), lon, lat, rho)


def unit_vectors(lon_deg: NDArray[np.floating], lat_deg: NDArray[np.floating]) -> Array:
    """Places on the surface as Cartesian unit vectors, shape (..., 3)."""
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
        Carrington longitudes ``west < east`` (they grow to the right of the
        image) and latitudes, degrees.

    Returns
    -------
    ndarray, shape (4,), or None
        ``(x0, y0, x1, y1)``, pixel edges; None if nothing is visible. Not cut
        to the image.

    Notes
    -----
    The extremes lie on the edges of the rectangle, where the horizon crosses
    them, or on the horizon between. Edges are sampled at 181 points, which
    leaves less than a thousandth of a pixel at 1024 pixels.
    """
    lons, lats = np.linspace(west, east, 181), np.linspace(south, north, 181)
    lon = [lons, lons, np.full(181, west), np.full(181, east)]
    lat = [np.full(181, south), np.full(181, north), lats, lats]

    # Along the horizon: its points in the Carrington frame, those inside the rectangle.
    c = view.horizon_cosine()
    angle = np.linspace(0.0, 2.0 * np.pi, 7201)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)]) * np.sqrt(1.0 - c * c)
    ring[2] = c
    p = view.matrix().T @ ring
    ring_lat = np.degrees(np.arcsin(p[2]))
    ring_lon = west + (np.degrees(np.arctan2(p[1], p[0])) - west) % 360.0
    inside = (ring_lat >= south) & (ring_lat <= north) & (ring_lon <= east)

    # Where the horizon crosses the edges: sin b0 sin lat + cos b0 cos lat cos(lon - l0) = c.
    b0, l0 = np.radians(view.observer.b0_deg), view.observer.l0_deg
    for edge in (south, north):
        s = np.radians(edge)
        cosine = (c - np.sin(b0) * np.sin(s)) / (np.cos(b0) * np.cos(s))
        if abs(cosine) <= 1.0:
            for sign in (-1.0, 1.0):
                at = west + (l0 + sign * np.degrees(np.arccos(cosine)) - west) % 360.0
                if at <= east:
                    lon.append(np.array([at]))
                    lat.append(np.array([edge]))
    for edge in (west, east):
        k = np.cos(b0) * np.cos(np.radians(edge - l0))
        reach, phase = np.hypot(np.sin(b0), k), np.arctan2(np.sin(b0), k)
        if reach >= c:
            for sign in (-1.0, 1.0):
                at = np.degrees(phase + sign * np.arccos(c / reach))
                if south <= at <= north:
                    lon.append(np.array([edge]))
                    lat.append(np.array([at]))

    every_lon = np.concatenate([*lon, ring_lon[inside]])
    every_lat = np.concatenate([*lat, ring_lat[inside]])
    points = unit_vectors(every_lon, every_lat)
    depth = points @ view.matrix()[2]
    seen = depth >= c - 1e-9  # the crossings themselves count
    if not seen.any():
        return None
    x, y, _ = view.project(points[seen])
    return np.array([x.min(), y.min(), x.max(), y.max()])
