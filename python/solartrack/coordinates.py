"""Pixels, helioprojective and heliographic coordinates, and where rotation takes a box.

Three coordinate systems (Thompson 2006, A&A 449, 791):

pixel
    ``(x, y)`` in pixel-edge coordinates of the array as stored: the first
    stored pixel covers 0 to 1 in both, so a FITS pixel number is ``x + 0.5``.
helioprojective
    ``(tx, ty)`` in arcsec seen by the observer, west and solar north positive.
heliographic (Stonyhurst)
    ``(lon, lat)`` in degrees on the photosphere, west and north positive;
    longitude 0 is the meridian that faces the Earth.

All functions broadcast and take and return plain floats with the unit in the
name: this is the per-frame path. The formulas are exact (perspective from the
observer's distance, gnomonic projection), not the small-angle ones; tests
compare them with sunpy. For single coordinates with units use sunpy itself, or
`solartrack.boxes.to_skycoord`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_box
from solartrack._optional import require
from solartrack.errors import GeometryError

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.time import Time

__all__ = [
    "ImageGeometry",
    "RotatedBox",
    "fit_rectangles",
    "rectangle_jacobians",
    "rectangles_to_boxes",
    "rotate_box",
    "rotate_rectangles",
    "rotation_rate",
    "visible_parts",
]

#: Photospheric radius and astronomical unit, metres (IAU 2015 resolution B3; IAU 2012 B2).
RSUN_M = 6.957e8
AU_M = 1.495978707e11

_ARCSEC = np.pi / 180.0 / 3600.0
# Points are kept this far inside the limb (as a share of the radius), where
# longitude is still a smooth function of position.
_INSIDE_LIMB = 1.0 - 1e-5
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


def rotation_rate(lat_deg: ArrayLike) -> Float64Array:
    """Synodic rotation rate of the photosphere, degrees per day.

    ``14.713 - 2.396 sin^2(lat) - 1.787 sin^4(lat)``, minus 0.9856 for the moving
    Earth. It is the rate of Doppler features, which also carries active regions: the
    boxes of HARP 3604 follow it to 0.1 degree a day. sunpy's models are 3 to 4 % slower.

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
        """Geometry from what can be seen in a picture: where the disk is.

        Parameters
        ----------
        center : tuple of float
            ``(x, y)`` of the disk centre, pixel edges: the middle of a 1024 px
            image is 512.
        radius : float
            Radius of the photosphere, pixels.
        b0_deg : float
            Heliographic latitude of the disk centre, degrees (-7.25 to 7.25 from
            the Earth; `solar_b0_deg` computes it from a date).
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
        """
        if not radius > 0.0:
            raise GeometryError(f"the disk radius must be a positive number of pixels, got {radius}")
        if row0 not in ("top", "bottom"):
            raise GeometryError(f"row0 must be 'top' or 'bottom', got {row0!r}")
        distance = distance_au * AU_M / RSUN_M
        if not distance > 1.0:
            raise GeometryError(f"distance_au must put the observer outside the Sun, got {distance_au}")
        # The limb is where the tangent from the observer touches: sin(angle) = 1 / distance.
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
        """Geometry from the world coordinates in a header, as `solartrack.images` returns it.

        Parameters
        ----------
        header : astropy.io.fits.Header
            Helioprojective, gnomonic (``HPLN-TAN``). The observer comes from
            ``HGLT_OBS``/``CRLT_OBS``, ``HGLN_OBS`` (0 if absent) and
            ``DSUN_OBS``, or ``RSUN_OBS``; where B0 or the distance is missing they are
            computed for the Earth at the header's date, with sunpy.

        Returns
        -------
        ImageGeometry

        Raises
        ------
        GeometryError
            Naming the cards that are missing or of another kind.
        """
        from astropy.wcs import WCS, FITSFixedWarning

        missing = [k for k in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2") if _number(header, k) is None]
        if _number(header, "CD1_1") is None:
            missing += [k for k in ("CDELT1", "CDELT2") if not _number(header, k)]
        if missing:
            raise GeometryError(
                f"the header lacks {', '.join(missing)}, so nothing tells where the Sun is; "
                "give the disk (centre, radius, B0) instead"
            )
        ctype = str(header.get("CTYPE1", "")).upper(), str(header.get("CTYPE2", "")).upper()
        cards = header
        if ctype[0].startswith("SOLAR") and ctype[1].startswith("SOLAR"):  # SOHO and older
            cards = header.copy()
            cards["CTYPE1"], cards["CTYPE2"] = "HPLN-TAN", "HPLT-TAN"
        elif ctype != ("HPLN-TAN", "HPLT-TAN"):
            raise GeometryError(
                f"the image must be helioprojective (CTYPE HPLN-TAN, HPLT-TAN), got {ctype[0]!r}, "
                f"{ctype[1]!r}; reproject it first, for example with sunpy"
            )
        units = str(header.get("CUNIT1", "")).strip(), str(header.get("CUNIT2", "")).strip()
        if not all(units):
            raise GeometryError("the header lacks CUNIT1 or CUNIT2, so the pixel scale is unknown")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            try:
                wcs = WCS(cards).celestial
            except Exception as error:  # wcslib has many error classes
                raise GeometryError(f"the header's world coordinates cannot be read: {error}") from error
        if abs(wcs.wcs.lonpole - 180.0) > 1e-9 or wcs.sip is not None:
            raise GeometryError("LONPOLE other than 180 and distortion tables are not supported")
        deg = 3600.0  # wcslib has converted CUNIT to degrees
        scale = wcs.pixel_scale_matrix * deg
        b0, l0, distance = _observer(header)
        return cls(
            reference=(float(wcs.wcs.crpix[0]) - 0.5, float(wcs.wcs.crpix[1]) - 0.5),
            matrix=(float(scale[0, 0]), float(scale[0, 1]), float(scale[1, 0]), float(scale[1, 1])),
            center_arcsec=(float(_half_turn(wcs.wcs.crval[0])) * deg, float(wcs.wcs.crval[1]) * deg),
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
            Pixel edges.

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
        """Pixel positions of arcsec ``(tx, ty)``; the inverse of `pixel_to_helioprojective`."""
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
        return _half_turn(lon), np.degrees(np.arcsin(np.clip(north, -1.0, 1.0)))

    def heliographic_to_helioprojective(
        self, lon_deg: ArrayLike, lat_deg: ArrayLike
    ) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
        """Arcsec ``(tx, ty)`` of points on the photosphere, and whether they are seen.

        Returns
        -------
        tx, ty : ndarray of float64
            Arcsec; also for points behind the limb, where they say only the direction.
        visible : ndarray of bool
            Whether the point is on the side that faces the observer.
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
        """Degrees ``(lon, lat)`` at pixel positions; NaN beyond the limb."""
        return self.helioprojective_to_heliographic(*self.pixel_to_helioprojective(x, y))

    def heliographic_to_pixel(
        self, lon_deg: ArrayLike, lat_deg: ArrayLike
    ) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
        """Pixel positions of points on the photosphere, and whether they are seen."""
        tx, ty, visible = self.heliographic_to_helioprojective(lon_deg, lat_deg)
        return *self.helioprojective_to_pixel(tx, ty), visible


class RotatedBox(NamedTuple):
    """Where rotation has taken a box.

    Attributes
    ----------
    box : ndarray of float64, shape (4,)
        ``(x0, y0, x1, y1)``, pixel edges; NaN once nothing of it faces the observer.
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

    Points on the box's edges and a grid inside it are moved each at the rate of
    its own latitude; the result encloses those that face the observer. A part
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
    x0, y0, x1, y1 = as_box(box).tolist()
    if isinstance(days, complex) or not isinstance(days, (int, float, np.number)) or not np.isfinite(days):
        raise ValueError(f"days must be a finite number, got {days!r}")
    target = source if target is None else target

    edge, grid = np.linspace(0.0, 1.0, 33), np.linspace(0.0, 1.0, 17)[1:-1]
    inner_u, inner_v = (a.ravel() for a in np.meshgrid(grid, grid))
    u = np.concatenate([edge, edge, 0.0 * edge, 0.0 * edge + 1.0, inner_u])
    v = np.concatenate([0.0 * edge, 0.0 * edge + 1.0, edge, edge, inner_v])
    x, y = x0 + u * (x1 - x0), y0 + v * (y1 - y0)
    # A disk smaller than the grid's steps would slip between its points: its centre
    # and points on its limb are added where the box holds them.
    limb = source.rsun_arcsec * _INSIDE_LIMB
    angle = np.linspace(0.0, 2.0 * np.pi, 32, endpoint=False)
    disk_x, disk_y = source.helioprojective_to_pixel(
        np.append(limb * np.cos(angle), 0.0), np.append(limb * np.sin(angle), 0.0)
    )
    held = (disk_x >= x0) & (disk_x <= x1) & (disk_y >= y0) & (disk_y <= y1)
    x, y = np.concatenate([x, disk_x[held]]), np.concatenate([y, disk_y[held]])

    tx, ty = source.pixel_to_helioprojective(x, y)
    radius = np.hypot(tx, ty)
    on_disk = radius <= limb * (1.0 + 1e-9)
    if not on_disk.any():
        raise GeometryError(
            f"the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) lies beyond the limb: the disk has its centre at "
            "({:.1f}, {:.1f})".format(*source.disk_center)
            + f" and a radius of {source.disk_radius:.1f} px"
        )
    # Points beyond the limb move to it, which traces the limb inside the box; those that
    # would leave the box on the way stand for nothing in it.
    pull = np.where(on_disk, 1.0, limb / np.maximum(radius, limb))
    tx, ty = tx * pull, ty * pull
    x, y = source.helioprojective_to_pixel(tx, ty)
    kept = on_disk | ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
    on_disk = on_disk[kept]
    lon, lat = source.helioprojective_to_heliographic(tx[kept], ty[kept])
    # Longitude from the source's central meridian, not wrapped: a month later the
    # region is behind the Sun, or back.
    travelled = _half_turn(lon - source.l0_deg) + source.l0_deg + rotation_rate(lat) * days

    _, _, visible = target.heliographic_to_helioprojective(travelled, lat)
    share = float(np.mean(visible[on_disk]))
    if share == 0.0:
        return RotatedBox(np.full(4, np.nan), 0.0, True)
    # Whole turns come off all points together, so that those that lag behind the visible
    # ones stay behind them, and those ahead ahead: each is hidden by the limb it is near.
    relative = travelled - target.l0_deg
    relative -= 360.0 * np.round(np.mean(relative[visible]) / 360.0)
    clamped, reaches = _clamp_to_visible(relative, lat, target)
    px, py, _ = target.heliographic_to_pixel(clamped[reaches], lat[reaches])
    return RotatedBox(np.array([px.min(), py.min(), px.max(), py.max()]), share, False)


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
    clamped, reaches = _clamp_to_visible(lon, lat, geometry)
    visible = reaches & (np.abs(clamped - geometry.l0_deg - lon) < 1e-12)
    # A parallel of which both ends are at the same limb is hidden from one end to the other.
    ends = [_clamp_to_visible(lon + (k - u) * (r[..., 2] - r[..., 0]), lat, geometry)[0] for k in (0.0, 1.0)]
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
    limb = geometry.rsun_arcsec * _INSIDE_LIMB
    radius = np.hypot(tx, ty)
    pull = limb / np.maximum(radius, limb)
    lon, lat = geometry.helioprojective_to_heliographic(tx * pull, ty * pull)
    lon = _half_turn(lon - geometry.l0_deg) + geometry.l0_deg
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


def rotate_rectangles(rectangles_deg: ArrayLike, days: float) -> Float64Array:
    """Carry heliographic rectangles with the Sun, each as a whole at the rate of its middle latitude.

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


def _clamp_to_visible(
    relative_deg: Float64Array, lat_deg: Float64Array, geometry: ImageGeometry
) -> tuple[Float64Array, NDArray[np.bool_]]:
    """Longitudes, moved along their parallel to the limb if hidden; False where all of it is hidden.

    They come relative to the central meridian, not wrapped, and are given as Stonyhurst longitudes.
    """
    b0, lat = np.radians(geometry.b0_deg), np.radians(lat_deg)
    # The limb is where the height towards the observer is 1 / distance.
    cos_limb = (1.0 / geometry.distance_rsun - np.sin(lat) * np.sin(b0)) / (np.cos(lat) * np.cos(b0))
    half = np.degrees(np.arccos(np.clip(cos_limb, -1.0, 1.0)))
    return np.clip(relative_deg, -half, half) + geometry.l0_deg, cos_limb < 1.0


def solar_b0_deg(time: Time) -> float:
    """Heliographic latitude of the Earth, degrees.

    Parameters
    ----------
    time : astropy.time.Time

    Returns
    -------
    float

    Raises
    ------
    ImportError
        If sunpy is not installed.
    """
    sun = require("sunpy.coordinates.sun", extra="sunpy", purpose="computing B0 from a date")
    return float(sun.B0(time).to_value("deg"))


def _half_turn(degrees: ArrayLike) -> Float64Array:
    """Angles between -180 and 180."""
    return np.asarray((np.asarray(degrees, dtype=np.float64) + 180.0) % 360.0 - 180.0)


def _number(header: Header, key: str) -> float | None:
    """A card's finite value, or None."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    return float(value) if np.isfinite(value) else None


def _observer(header: Header) -> tuple[float, float, float]:
    """B0 and Stonyhurst longitude in degrees, distance in solar radii."""
    rsun_m = _number(header, "RSUN_REF") or RSUN_M
    l0 = _number(header, "HGLN_OBS") or 0.0
    latitudes = (_number(header, k) for k in ("HGLT_OBS", "CRLT_OBS", "SOLAR_B0"))
    b0 = next((v for v in latitudes if v is not None), None)
    distance = None
    if dsun := _number(header, "DSUN_OBS"):
        distance = dsun / rsun_m
    elif rsun_arcsec := _number(header, "RSUN_OBS"):  # not SOLAR_R: pixels in EIT headers
        distance = 1.0 / np.sin(rsun_arcsec * _ARCSEC)
    if b0 is None or distance is None:
        from astropy.time import Time

        date = header.get("DATE-OBS") or header.get("DATE_OBS")
        if not date:
            lacking = "B0 (HGLT_OBS, CRLT_OBS)" if b0 is None else "the distance (DSUN_OBS, RSUN_OBS)"
            raise GeometryError(f"the header lacks {lacking} and a date to compute it from")
        try:
            time = Time(str(date).rstrip("Z"))
        except ValueError as error:
            raise GeometryError(f"the header's DATE-OBS {date!r} is not a date") from error
        if b0 is None:
            b0 = solar_b0_deg(time)
        if distance is None:
            sun = require("sunpy.coordinates.sun", extra="sunpy", purpose="computing the Sun's distance")
            distance = sun.earth_distance(time).to_value("m") / rsun_m
    return b0, l0, float(distance)
