"""The scale of a magnetogram: pixel sides and mu, from arguments or from the header.

Two kinds of maps differ here. The pixels of a cylindrical equal-area map (CEA, such as SHARP's) have
equal areas on the Sun. Those of a helioprojective image (TAN) have equal areas on the sky, at the Sun's
distance; on the Sun such a pixel covers that area divided by mu, the cosine of the heliocentric angle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import astropy.units as u
import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry
from solartrack.coordinates import header as header_facts
from solartrack.errors import GeometryError
from solartrack.features.units import plain

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = [
    "CM2_PER_MM2",
    "Scale",
    "is_equal_area",
    "mu_of",
    "pixel_sides",
    "positive_pair",
    "positive_quantity",
]

CM2_PER_MM2 = 1e16
# The Sun is 1900 arcsec wide; a larger angle is one on the Sun: SHARP's 0.03 degree would be 108 arcsec.
_LARGEST_ON_SKY = 60.0 * u.arcsec


class Scale(NamedTuple):
    """Sides of a pixel, and its area.

    Attributes
    ----------
    x, y : float
        Megametres along columns and rows.
    area_cm2 : float or ndarray of float64, shape (ny, nx)
        One area for all pixels, or one for each.
    """

    x: float
    y: float
    area_cm2: Any


def positive_quantity(value: Any, unit: u.UnitBase, name: str) -> float:
    """A positive, finite quantity as a float in `unit`."""
    try:
        number = float(u.Quantity(value).to_value(unit))
    except (u.UnitConversionError, TypeError) as error:
        raise ValueError(f"{name} must be one quantity such as {1.0 * unit}, got {value!r}") from error
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return number


def positive_pair(value: Any, unit: u.UnitBase, name: str) -> Float64Array:
    """A positive, finite quantity, scalar or ``(x, y)``, as two floats in `unit`."""
    try:
        numbers = np.broadcast_to(u.Quantity(value).to_value(unit), 2).astype(np.float64)
    except (u.UnitConversionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a quantity such as {0.36 * unit}, or (x, y) of them, got {value!r}"
        ) from error
    if not (np.isfinite(numbers).all() and (numbers > 0).all()):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return numbers


def is_equal_area(header: Header) -> bool:
    """Whether the pixels have equal areas on the Sun, not on the sky."""
    return header_facts.axis_types(header)[0].endswith("CEA")


def pixel_sides(pixel: u.Quantity | None, header: Header) -> Float64Array:
    """Sides of a pixel in Mm, ``(x, y)``: from `pixel`, else from the header."""
    if pixel is None:
        try:
            return header_facts.pixel_mm(header)
        except GeometryError as error:
            raise GeometryError(f"{error}; give pixel=, such as 0.36 * u.Mm, or wcs=") from error
    unit = u.Quantity(pixel).unit
    if unit.is_equivalent(u.Mm / u.pix) or unit.is_equivalent(u.arcsec / u.pix):
        pixel = u.Quantity(pixel) * u.pix
        unit = pixel.unit
    if unit.is_equivalent(u.arcsec):
        return _sides_of_angle(positive_pair(pixel, u.rad, "pixel"), pixel, header)
    return positive_pair(pixel, u.Mm, "pixel")


def _sides_of_angle(radians: Float64Array, pixel: u.Quantity, header: Header) -> Float64Array:
    """Sides of a pixel in Mm from an angle: on the Sun in equal-area maps, else on the sky."""
    if is_equal_area(header):
        if u.Quantity(pixel).unit not in (u.deg, u.rad):
            raise ValueError(
                "the pixels of an equal-area map (CEA) are measured in degrees on the Sun; give pixel= in "
                f"degrees or as a length, got {pixel}"
            )
        return np.asarray(radians * header_facts.solar_radius_m(header) * 1e-6)
    if (radians > _LARGEST_ON_SKY.to_value(u.rad)).any():
        raise ValueError(
            f"pixel={pixel} is taken as an angle on the sky, where a pixel of more than {_LARGEST_ON_SKY} "
            "shows no active region; if it is an angle on the Sun, as in equal-area maps (CEA), give the "
            "map's header as wcs=, or a length"
        )
    return radians * header_facts.mm_per_radian(header)


def mu_of(mu: ArrayLike | None, header: Header, shape: tuple[int, ...]) -> Float64Array:
    """Cosine of the heliocentric angle of each pixel, NaN off the disk: from `mu`, else from the header."""
    if mu is None:
        return _mu_on_sun(header, shape) if is_equal_area(header) else _mu_on_sky(header, shape)
    if isinstance(getattr(mu, "mask", None), np.ndarray | np.bool_):
        raise TypeError("mu is a masked array; fill it first, for example with .filled(nan)")
    cosine = plain(mu, "mu, the cosine of the heliocentric angle,").astype(np.float64)
    if cosine.shape not in ((), shape):
        raise ValueError(f"mu must be one number or have the patch's shape {shape}, got {cosine.shape}")
    if (cosine > 1).any() or np.isinf(cosine).any():
        raise ValueError("mu must be a cosine, at most 1; NaN off the disk")
    return np.broadcast_to(cosine, shape)


def _mu_on_sky(header: Header, shape: tuple[int, ...]) -> Float64Array:
    """Mu in a helioprojective image."""
    rows, cols = np.indices(shape)
    geometry = ImageGeometry.from_header(header)
    tx, ty = geometry.pixel_to_helioprojective(cols + 0.5, rows + 0.5)
    sin_rho_2 = 1.0 - (np.cos(np.radians(tx / 3600)) * np.cos(np.radians(ty / 3600))) ** 2
    cos_2 = 1.0 - geometry.distance_rsun**2 * sin_rho_2
    return np.sqrt(np.where(cos_2 > 0, cos_2, np.nan))


def _mu_on_sun(header: Header, shape: tuple[int, ...]) -> Float64Array:
    """Mu in an equal-area map."""
    observer = header_facts.observer(header)
    axis = header_facts.axis_types(header)[0]
    system = axis[:4]
    if system not in ("CRLN", "HGLN"):
        raise GeometryError(
            f"mu of an equal-area map needs heliographic longitude, CRLN or HGLN, as CTYPE1, got {axis}; "
            "give mu="
        )
    lon0 = observer.carrington_lon_deg if system == "CRLN" else observer.lon_deg
    if lon0 is None or observer.lat_deg is None:
        raise GeometryError(
            f"mu of an equal-area map needs the observer: {system}_OBS and CRLT_OBS; give mu="
        )
    rows, cols = np.indices(shape)
    lon, lat = header_facts.celestial_wcs(header).wcs_pix2world(cols.ravel(), rows.ravel(), 0)
    lon, lat, b0 = np.radians(lon - lon0), np.radians(lat), np.radians(observer.lat_deg)
    distance = (observer.distance_m or header_facts.AU_M) / header_facts.solar_radius_m(header)
    centre = np.sin(lat) * np.sin(b0) + np.cos(lat) * np.cos(b0) * np.cos(lon)
    cosine = (distance * centre - 1.0) / np.sqrt(1.0 + distance**2 - 2.0 * distance * centre)
    return np.where(cosine > 0, cosine, np.nan).reshape(shape)
