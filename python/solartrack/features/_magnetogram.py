"""A magnetogram on the way to its features: field in gauss, side and area of a pixel, mu."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import astropy.units as u
import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack import images
from solartrack._arrays import Float64Array, as_pixels
from solartrack.coordinates import AU_M, ImageGeometry
from solartrack.coordinates import header as headers
from solartrack.errors import GeometryError

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = ["CM2_PER_MM2", "Scale", "in_unit", "pair_in_unit", "prepare", "read_field", "sharp_mask"]

CM2_PER_MM2 = 1e16
# Closer to the limb than this (84 degrees) a division by mu only amplifies noise.
_LEAST_MU = 0.1
# JSOC's mask for the SHARP keywords (Bobra et al. 2014).
_LEAST_CONFIDENCE, _LEAST_BITMAP = 70, 30


class Scale(NamedTuple):
    """Sides of a pixel in Mm, and its area in cm2 (one for all, or one for each)."""

    x: float
    y: float
    area_cm2: Any


def in_unit(value: Any, unit: u.UnitBase, name: str) -> float:
    """A positive quantity as a float in a unit."""
    try:
        number = float(u.Quantity(value).to_value(unit))
    except (u.UnitConversionError, TypeError) as error:
        raise ValueError(f"{name} must be one quantity such as {1.0 * unit}, got {value!r}") from error
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return number


def pair_in_unit(value: Any, unit: u.UnitBase, name: str) -> Float64Array:
    """A scalar or (x, y) quantity as two floats."""
    try:
        numbers = np.broadcast_to(u.Quantity(value).to_value(unit), 2).astype(np.float64)
    except (u.UnitConversionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a quantity such as {0.36 * unit}, or (x, y) of them, got {value!r}"
        ) from error
    if not (np.isfinite(numbers).all() and (numbers > 0).all()):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return numbers


def read_field(patch: Any) -> tuple[Float64Array, Header]:
    """Field in gauss, NaN where missing, and the header."""
    image = images.as_image(patch)
    array: Any = image.array
    unit: Any = getattr(array, "unit", None)
    said = image.header.get("BUNIT", "")
    if unit is None and str(said).strip():
        try:
            unit = u.Unit(said)
        except ValueError as error:
            raise ValueError(
                f"the header's BUNIT {said!r} is no unit; pass the array times its unit"
            ) from error
    if unit is None and isinstance(patch, (str, PathLike)) and images.row0(patch) == "top":
        raise ValueError(
            f"{patch} is a picture, whose pixels are counts; pass its array, zero subtracted, "
            "times the gauss of a count"
        )
    pixels = as_pixels(np.asanyarray(getattr(array, "value", array)), "patch")
    b = pixels.astype(np.float64)
    if unit is not None:
        try:
            b *= u.Unit(unit).to(u.G)
        except u.UnitConversionError as error:
            raise ValueError(f"patch must be a magnetic field (G, Mx / cm2, T), got {unit}") from error
    if np.isinf(b).any():
        raise ValueError("patch contains infinite values; replace them with NaN, which is left out")
    if np.isnan(b).all():
        raise ValueError(f"all {b.size} pixels of the patch are NaN")
    return b, image.header


def prepare(
    patch: Any,
    pixel: u.Quantity | None,
    wcs: WCS | Header | None,
    mu: ArrayLike | None = None,
    *,
    foreshortening: bool = False,
    radial: bool = False,
) -> tuple[Float64Array, Scale]:
    """Field in gauss, NaN where it does not count, and the pixels' sides and areas.

    Parameters are those of `physical`.
    """
    b, header = read_field(patch)
    if wcs is not None:
        header = wcs.to_header() if hasattr(wcs, "to_header") else wcs
    on_sun = headers.axis_types(header)[0].endswith("CEA")  # pixels are areas on the Sun
    if pixel is not None:
        side = _pixel_mm(pixel, header)
        on_sun = False if not u.Quantity(pixel).unit.is_equivalent(u.Mm) else on_sun
    else:
        side = _header_pixel_mm(header)
    area: Any = side[0] * side[1] * CM2_PER_MM2
    if radial or foreshortening:
        cosine = _as_mu(mu, b.shape) if mu is not None else _header_mu(header, b.shape)
        cosine = np.where(cosine >= _LEAST_MU, cosine, np.nan)
        b = np.where(np.isnan(cosine), np.nan, b)
        if np.isnan(b).all():
            raise ValueError(f"no pixel of the patch has a field and mu of at least {_LEAST_MU}")
        if radial:
            b = b / cosine
        if foreshortening and not on_sun:
            area = area / cosine
    return b, Scale(float(side[0]), float(side[1]), area)


def _pixel_mm(pixel: u.Quantity, header: Header) -> Float64Array:
    unit = u.Quantity(pixel).unit
    if unit.is_equivalent(u.Mm / u.pix) or unit.is_equivalent(u.arcsec / u.pix):
        pixel = u.Quantity(pixel) * u.pix
        unit = pixel.unit
    if unit.is_equivalent(u.arcsec):
        return pair_in_unit(pixel, u.rad, "pixel") * headers.mm_per_radian(header)
    return pair_in_unit(pixel, u.Mm, "pixel")


def _header_pixel_mm(header: Header) -> Float64Array:
    try:
        return headers.pixel_mm(header)
    except GeometryError as error:
        raise GeometryError(f"{error}; give pixel=, such as 0.36 * u.Mm, or wcs=") from error


def _as_mu(mu: ArrayLike, shape: tuple[int, ...]) -> Float64Array:
    cosine = np.asarray(getattr(mu, "value", mu), dtype=np.float64)
    if cosine.shape not in ((), shape):
        raise ValueError(f"mu must be one number or have the patch's shape {shape}, got {cosine.shape}")
    if (cosine > 1).any() or np.isinf(cosine).any():
        raise ValueError("mu must be a cosine, at most 1; NaN where there is no Sun")
    return np.broadcast_to(cosine, shape)


def _header_mu(header: Header, shape: tuple[int, ...]) -> Float64Array:
    """Cosine of the heliocentric angle of each pixel, NaN beyond the limb."""
    rows, cols = np.indices(shape)
    if headers.axis_types(header)[0].endswith("CEA"):
        return _equal_area_mu(header, rows, cols)
    geometry = ImageGeometry.from_header(header)
    tx, ty = geometry.pixel_to_helioprojective(cols + 0.5, rows + 0.5)
    sin_rho_2 = 1.0 - (np.cos(np.radians(tx / 3600)) * np.cos(np.radians(ty / 3600))) ** 2
    cos_2 = 1.0 - geometry.distance_rsun**2 * sin_rho_2
    return np.sqrt(np.where(cos_2 > 0, cos_2, np.nan))


def _equal_area_mu(header: Header, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Float64Array:
    carrington = headers.axis_types(header)[0].startswith("CRLN")
    observer = headers.observer(header)
    meridian = observer.carrington_lon_deg if carrington else observer.lon_deg
    if meridian is None or observer.lat_deg is None:
        key = "CRLN_OBS" if carrington else "HGLN_OBS"
        raise GeometryError(f"mu of an equal-area map needs the observer: {key} and CRLT_OBS; give mu=")
    world = headers.celestial_wcs(header)
    lon, lat = world.wcs_pix2world(cols.ravel(), rows.ravel(), 0)
    lon, lat = np.radians(lon - meridian), np.radians(lat)
    b0 = np.radians(observer.lat_deg)
    distance = (observer.distance_m or AU_M) / headers.solar_radius_m(header)
    centre = np.sin(lat) * np.sin(b0) + np.cos(lat) * np.cos(b0) * np.cos(lon)
    cosine = (distance * centre - 1.0) / np.sqrt(1.0 + distance**2 - 2.0 * distance * centre)
    return np.where(cosine > 0, cosine, np.nan).reshape(rows.shape)


def sharp_mask(shape: tuple[int, ...], bitmap: Any, conf_disambig: Any) -> NDArray[np.bool_]:
    """Pixels that enter the SHARP keywords: in the active region and reliably disambiguated."""
    mask = np.ones(shape, dtype=bool)
    for name, source, least in (
        ("bitmap", bitmap, _LEAST_BITMAP),
        ("conf_disambig", conf_disambig, _LEAST_CONFIDENCE),
    ):
        pixels = as_pixels(images.as_image(source).array, name)
        if pixels.shape != shape:
            raise ValueError(f"{name} must have the shape of br, {shape}, got {pixels.shape}")
        mask &= pixels >= least
    return mask
