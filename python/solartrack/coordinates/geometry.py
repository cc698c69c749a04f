"""Where the Sun is in an image: pixels, helioprojective and heliographic coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array
from solartrack.coordinates.ephemeris import earth
from solartrack.coordinates.header import AU_M, RSUN_M
from solartrack.coordinates.viewpoint import wcs_and_viewpoint
from solartrack.errors import GeometryError

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.time import Time

_ARCSEC = np.pi / 180.0 / 3600.0
#: Points at the limb are kept at this share of its radius, where longitude is still a smooth function
#: of position.
INSIDE_LIMB = 1.0 - 1e-5


@dataclass(frozen=True)
class ImageGeometry:
    """Where the Sun is in an image, and from where it is seen.

    Make one with `from_header` or `from_disk`.

    Attributes
    ----------
    reference : tuple of float
        ``(x, y)`` of the reference pixel, pixel-edge coordinates.
    matrix : tuple of float
        ``(xx, xy, yx, yy)``, arcsec per pixel: ``tx ~ xx dx + xy dy``, ``ty ~ yx dx + yy dy``.
        Carries scale, rotation and the direction of the rows.
    center_arcsec : tuple of float
        ``(tx, ty)`` at the reference pixel.
    b0_deg, l0_deg : float
        Heliographic latitude and Stonyhurst longitude of the observer, degrees.
    distance_rsun : float
        Distance of the observer from the Sun's centre, solar radii.

    Examples
    --------
    >>> from solartrack.coordinates import ImageGeometry
    >>> sun = ImageGeometry.from_disk((512, 512), 400, b0_deg=-6.2)
    >>> x, y, visible = sun.heliographic_to_pixel([0, 60, 120], [15, 15, 15])
    >>> x.round(1), visible
    (array([512. , 847.3, 845.8]), array([ True,  True, False]))
    >>> [float(v.round(3)) for v in sun.pixel_to_heliographic(x[1], y[1])]
    [60.0, 15.0]
    """

    reference: tuple[float, float]
    matrix: tuple[float, float, float, float]
    center_arcsec: tuple[float, float] = (0.0, 0.0)
    b0_deg: float = 0.0
    l0_deg: float = 0.0
    distance_rsun: float = AU_M / RSUN_M

    def __post_init__(self) -> None:
        numbers = (*self.reference, *self.matrix, *self.center_arcsec, self.b0_deg, self.l0_deg)
        if not np.isfinite([*numbers, self.distance_rsun]).all():
            raise GeometryError(f"the geometry of an image must be finite, got {self}")
        xx, xy, yx, yy = self.matrix
        if abs(xx * yy - xy * yx) < 1e-12:
            raise GeometryError(f"the pixel scale must not be zero or singular, got matrix {self.matrix}")
        if self.distance_rsun <= 1.0:
            raise GeometryError(f"the observer must be outside the Sun, got {self.distance_rsun} solar radii")
        if abs(self.b0_deg) > 90.0:
            raise GeometryError(f"B0 must be between -90 and 90 degrees, got {self.b0_deg}")

    @classmethod
    def from_disk(
        cls,
        center: tuple[float, float],
        radius: float,
        *,
        b0_deg: float = 0.0,
        north_angle_deg: float = 0.0,
        row0: str = "top",
        distance_au: float = 1.0,
    ) -> ImageGeometry:
        """Geometry from the position and size of the disk in a picture.

        Parameters
        ----------
        center : tuple of float
            ``(x, y)`` of the disk's centre, pixel edges: the middle of an image of 1024
            pixels is 512.
        radius : float
            Radius of the photosphere, pixels.
        b0_deg : float
            Heliographic latitude of the disk's centre, degrees (-7.25 to 7.25 from
            the Earth; `solar_b0_deg` computes it for a date).
        north_angle_deg : float
            Direction of solar north, degrees counter-clockwise from up as shown.
        row0 : {"top", "bottom"}
            Where the first stored row is shown: "top" in PNG, JPG and JP2,
            "bottom" in FITS.
        distance_au : float
            Distance of the observer, astronomical units.

        Returns
        -------
        ImageGeometry

        Raises
        ------
        GeometryError
            If the radius is not positive, a number is not finite or `row0` is unknown.

        Examples
        --------
        >>> from solartrack.coordinates import ImageGeometry
        >>> sun = ImageGeometry.from_disk((512, 512), 400)
        >>> sun.disk_center, round(sun.disk_radius, 6), round(sun.rsun_arcsec, 2)
        ((512.0, 512.0), 400.0, 959.23)
        >>> sun.pixel_to_heliographic([0], [0])  # beyond the limb
        (array([nan]), array([nan]))
        """
        if not radius > 0.0:
            raise GeometryError(f"the disk radius must be a positive number of pixels, got {radius}")
        if row0 not in ("top", "bottom"):
            raise GeometryError(f"row0 must be 'top' or 'bottom', got {row0!r}")
        distance = distance_au * AU_M / RSUN_M
        if not distance > 1.0:
            raise GeometryError(f"distance_au must put the observer outside the Sun, got {distance_au}")
        # At the limb the line of sight is tangent to the sphere: sin(angle) = 1 / distance.
        # The gnomonic projection puts it at tan(angle).
        scale = np.tan(np.arcsin(1.0 / distance)) / _ARCSEC / radius
        up = -1.0 if row0 == "top" else 1.0
        cos, sin = np.cos(np.radians(north_angle_deg)), np.sin(np.radians(north_angle_deg))
        matrix = (scale * cos, scale * sin * up, -scale * sin, scale * cos * up)
        return cls(
            reference=(float(center[0]), float(center[1])),
            matrix=tuple(float(v) for v in matrix),  # type: ignore[arg-type]
            b0_deg=float(b0_deg),
            distance_rsun=float(distance),
        )

    @classmethod
    def from_header(cls, header: Header) -> ImageGeometry:
        """Geometry from the world coordinates in a header.

        Parameters
        ----------
        header : astropy.io.fits.Header
            As `solartrack.images.read` and `read_header` return it; helioprojective and gnomonic
            (``HPLN-TAN``, or the older ``SOLAR-X``). Where the header needs knowledge of its
            instrument, such as EIT's, which names no unit, sunpy's map sources are asked.

        Returns
        -------
        ImageGeometry

        Raises
        ------
        GeometryError
            If cards are missing, cannot be read, contradict each other or do not describe such an image;
            the message names them.
        TypeError
            If `header` is something else, such as the whole answer of `read_header` or ``Map.meta``.

        Notes
        -----
        The observer's longitude is ``HGLN_OBS`` or ``CRLN_OBS``, or that of a position (``HEC_X``,
        ``HEQX_OBS``, ``HAEX_OBS``, ``HEEX_OBS``), converted at the header's time. Latitude and distance
        are those of `solartrack.coordinates.header.observer`; if they are
        missing, they are the Earth's. A date without a time of day will do. Without any longitude the
        observer is taken to be at the Earth's, if latitude and distance are within one degree
        and 3 % of the Earth's.

        Examples
        --------
        >>> from solartrack import simulate
        >>> from solartrack.coordinates import ImageGeometry
        >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=128)
        >>> sun = ImageGeometry.from_header(frame.header)
        >>> round(sun.b0_deg, 2), round(sun.disk_radius, 2)
        (-6.01, 50.71)
        """
        if not hasattr(header, "cards"):
            raise TypeError(
                f"header must be a FITS header, got {type(header).__name__}; solartrack.images.read and "
                "read_header return it as their attribute .header, sunpy Maps have it as .fits_header"
            )
        wcs, (l0, b0, distance) = wcs_and_viewpoint(header)
        deg = 3600.0  # wcslib has converted CUNIT to degrees
        scale = wcs.pixel_scale_matrix * deg
        return cls(
            reference=(float(wcs.wcs.crpix[0]) - 0.5, float(wcs.wcs.crpix[1]) - 0.5),
            matrix=(float(scale[0, 0]), float(scale[0, 1]), float(scale[1, 0]), float(scale[1, 1])),
            center_arcsec=(float(half_turn(wcs.wcs.crval[0])) * deg, float(wcs.wcs.crval[1]) * deg),
            b0_deg=b0,
            l0_deg=l0,
            distance_rsun=distance,
        )

    @property
    def rsun_arcsec(self) -> float:
        """Angular radius of the photosphere, arcsec."""
        return float(np.arcsin(1.0 / self.distance_rsun) / _ARCSEC)

    @property
    def disk_center(self) -> tuple[float, float]:
        """Pixel ``(x, y)`` of the Sun's centre."""
        x, y = self.helioprojective_to_pixel(0.0, 0.0)
        return float(x), float(y)

    @property
    def disk_radius(self) -> float:
        """Radius of the photosphere, pixels (geometric mean of the two axes)."""
        xx, xy, yx, yy = self.matrix
        limb = np.tan(np.arcsin(1.0 / self.distance_rsun)) / _ARCSEC
        return float(limb / np.sqrt(abs(xx * yy - xy * yx)))

    def pixel_to_helioprojective(self, x: ArrayLike, y: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Arcsec ``(tx, ty)`` of pixel positions.

        Parameters
        ----------
        x, y : array_like
            Pixel-edge coordinates.

        Returns
        -------
        tx, ty : ndarray of float64
            Arcsec, west and north positive.
        """
        dx = np.asarray(x, dtype=np.float64) - self.reference[0]
        dy = np.asarray(y, dtype=np.float64) - self.reference[1]
        xx, xy, yx, yy = self.matrix
        xi, eta = (xx * dx + xy * dy) * _ARCSEC, (yx * dx + yy * dy) * _ARCSEC
        tx0, ty0 = self.center_arcsec[0] * _ARCSEC, self.center_arcsec[1] * _ARCSEC
        # Gnomonic de-projection (Calabretta & Greisen 2002, A&A 395, 1077).
        forward = np.cos(ty0) - eta * np.sin(ty0)
        tx = tx0 + np.arctan2(xi, forward)
        ty = np.arctan2(np.sin(ty0) + eta * np.cos(ty0), np.hypot(xi, forward))
        return tx / _ARCSEC, ty / _ARCSEC

    def helioprojective_to_pixel(
        self, tx_arcsec: ArrayLike, ty_arcsec: ArrayLike
    ) -> tuple[Float64Array, Float64Array]:
        """Pixel positions of arcsec ``(tx, ty)``; the inverse of `pixel_to_helioprojective`.

        Parameters
        ----------
        tx_arcsec, ty_arcsec : array_like
            Arcsec, west and north positive.

        Returns
        -------
        x, y : ndarray of float64
            Pixel-edge coordinates.
        """
        ty = np.asarray(ty_arcsec, dtype=np.float64) * _ARCSEC
        dtx = (np.asarray(tx_arcsec, dtype=np.float64) - self.center_arcsec[0]) * _ARCSEC
        ty0 = self.center_arcsec[1] * _ARCSEC
        forward = np.sin(ty0) * np.sin(ty) + np.cos(ty0) * np.cos(ty) * np.cos(dtx)
        xi = np.cos(ty) * np.sin(dtx) / forward / _ARCSEC
        eta = (np.cos(ty0) * np.sin(ty) - np.sin(ty0) * np.cos(ty) * np.cos(dtx)) / forward / _ARCSEC
        xx, xy, yx, yy = self.matrix
        det = xx * yy - xy * yx
        x = self.reference[0] + (yy * xi - xy * eta) / det
        y = self.reference[1] + (xx * eta - yx * xi) / det
        return np.asarray(x), np.asarray(y)

    def helioprojective_to_heliographic(
        self, tx_arcsec: ArrayLike, ty_arcsec: ArrayLike
    ) -> tuple[Float64Array, Float64Array]:
        """Degrees ``(lon, lat)`` on the photosphere seen at arcsec ``(tx, ty)``.

        Parameters
        ----------
        tx_arcsec, ty_arcsec : array_like
            Arcsec, west and north positive.

        Returns
        -------
        lon, lat : ndarray of float64
            Stonyhurst degrees, longitude -180 to 180; NaN beyond the limb.
        """
        tx = np.asarray(tx_arcsec, dtype=np.float64) * _ARCSEC
        ty = np.asarray(ty_arcsec, dtype=np.float64) * _ARCSEC
        d = self.distance_rsun
        # Line of sight from the observer at (0, 0, d); the nearer crossing of the unit sphere.
        towards = np.cos(ty) * np.cos(tx)
        discriminant = np.asarray((d * towards) ** 2 - d * d + 1.0)
        seen = (discriminant >= 0.0) & (towards > 0.0)
        s = d * towards - np.sqrt(np.where(seen, discriminant, np.nan))
        x, y, z = s * np.cos(ty) * np.sin(tx), s * np.sin(ty), d - s * towards
        b0 = np.radians(self.b0_deg)
        north = y * np.cos(b0) + z * np.sin(b0)
        lon = np.degrees(np.arctan2(x, z * np.cos(b0) - y * np.sin(b0))) + self.l0_deg
        return half_turn(lon), np.degrees(np.arcsin(np.clip(north, -1.0, 1.0)))

    def heliographic_to_helioprojective(
        self, lon_deg: ArrayLike, lat_deg: ArrayLike
    ) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
        """Arcsec ``(tx, ty)`` of points on the photosphere, and whether they face the observer.

        Parameters
        ----------
        lon_deg, lat_deg : array_like
            Stonyhurst degrees.

        Returns
        -------
        tx, ty : ndarray of float64
            Arcsec; for points behind the limb too, where they are only directions.
        visible : ndarray of bool
            Whether the point faces the observer.
        """
        lon = np.radians(np.asarray(lon_deg, dtype=np.float64) - self.l0_deg)
        lat = np.radians(np.asarray(lat_deg, dtype=np.float64))
        b0, d = np.radians(self.b0_deg), self.distance_rsun
        x = np.cos(lat) * np.sin(lon)
        meridian = np.cos(lat) * np.cos(lon)
        y = np.sin(lat) * np.cos(b0) - meridian * np.sin(b0)
        z = np.sin(lat) * np.sin(b0) + meridian * np.cos(b0)
        tx = np.arctan2(x, d - z) / _ARCSEC
        ty = np.arctan2(y, np.hypot(x, d - z)) / _ARCSEC
        return tx, ty, np.asarray(z >= 1.0 / d)

    def pixel_to_heliographic(self, x: ArrayLike, y: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Degrees ``(lon, lat)`` at pixel positions.

        Parameters
        ----------
        x, y : array_like
            Pixel-edge coordinates.

        Returns
        -------
        lon, lat : ndarray of float64
            As from `helioprojective_to_heliographic`; NaN beyond the limb.
        """
        return self.helioprojective_to_heliographic(*self.pixel_to_helioprojective(x, y))

    def heliographic_to_pixel(
        self, lon_deg: ArrayLike, lat_deg: ArrayLike
    ) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
        """Pixel positions of points on the photosphere, and whether they face the observer.

        Parameters
        ----------
        lon_deg, lat_deg : array_like
            Stonyhurst degrees.

        Returns
        -------
        x, y : ndarray of float64
            Pixel-edge coordinates; for points behind the limb too, where they are only directions.
        visible : ndarray of bool
        """
        tx, ty, visible = self.heliographic_to_helioprojective(lon_deg, lat_deg)
        return *self.helioprojective_to_pixel(tx, ty), visible


def solar_b0_deg(time: Time) -> float | Float64Array:
    """Heliographic latitude of the Earth (B0), degrees.

    Parameters
    ----------
    time : astropy.time.Time

    Returns
    -------
    float or ndarray of float64
        One number for one time, an array of the times' shape for several.

    Examples
    --------
    >>> from astropy.time import Time
    >>> from solartrack.coordinates import solar_b0_deg
    >>> solar_b0_deg(Time(["2014-03-06", "2014-06-07", "2014-09-08"])).round(2)
    array([-7.25,  0.03,  7.25])
    """
    lat = earth(time).lat_deg
    return float(lat) if time.isscalar else lat


def clamp_to_visible(
    relative_deg: Float64Array, lat_deg: Float64Array, geometry: ImageGeometry
) -> tuple[Float64Array, NDArray[np.bool_]]:
    """Move hidden points along their parallels to the limb.

    Parameters
    ----------
    relative_deg : ndarray of float64
        Longitudes relative to the central meridian, not wrapped.
    lat_deg : ndarray of float64
        Latitudes, broadcast against the longitudes.
    geometry : ImageGeometry

    Returns
    -------
    lon_deg : ndarray of float64
        Stonyhurst longitudes.
    reaches : ndarray of bool
        Whether any point of the parallel faces the observer.
    """
    b0, lat = np.radians(geometry.b0_deg), np.radians(lat_deg)
    # The limb is where the height towards the observer is 1 / distance.
    cos_limb = (1.0 / geometry.distance_rsun - np.sin(lat) * np.sin(b0)) / (np.cos(lat) * np.cos(b0))
    half = np.degrees(np.arccos(np.clip(cos_limb, -1.0, 1.0)))
    return np.clip(relative_deg, -half, half) + geometry.l0_deg, cos_limb < 1.0


def half_turn(degrees: ArrayLike) -> Float64Array:
    """Angles in degrees, wrapped to -180 to 180."""
    return np.asarray((np.asarray(degrees, dtype=np.float64) + 180.0) % 360.0 - 180.0)
