"""Features of a magnetogram in physical units, and the predictors that the community compares with.

These are not the published 29 features (`solartrack.features.complexity`): units are physical, edges
and missing pixels are left out, curvature is curvature. Lengths and areas follow from the pixel side,
given or taken from the world coordinates.

Two kinds of maps are told apart by their world coordinates. Cylindrical equal-area maps (SHARP CEA)
have pixels of equal area on the Sun. Helioprojective images have pixels of equal area on the sky, at
the Sun's distance; on the Sun such a pixel covers 1/mu of that, mu the cosine of the heliocentric angle.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import astropy.units as u
import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack import images
from solartrack._arrays import Float64Array, as_pixels
from solartrack.coordinates import AU_M, RSUN_M, ImageGeometry
from solartrack.errors import GeometryError
from solartrack.features.complexity import complexity

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = [
    "PHYSICAL_UNITS",
    "MagnetogramLines",
    "Physical",
    "magnetogram_lines",
    "meangbz",
    "physical",
    "r_value",
    "usflux",
    "wlsg",
]

_CM2_PER_MM2 = 1e16
# Closer to the limb than this (84 degrees) a division by mu only amplifies noise.
_LEAST_MU = 0.1
# The kernel's 10 x 10 window of pixel i is i-5 .. i+4: its middle is half a pixel before i.
_WINDOW_SHIFT = -0.5
# Points that give the curvature at a point: this many pixel sides before and behind it, which is
# half of the smoothing window; closer ones would show the pixels instead of the line.
_CURVATURE_REACH = 5
# 2 arcsec at one astronomical unit, the pixels for which R was defined.
_R_PIXEL_MM = 1.45
# JSOC's mask: reliably disambiguated pixels of the active region.
_LEAST_CONFIDENCE, _LEAST_BITMAP = 70, 30


@dataclass(frozen=True, eq=False, slots=True)
class Physical:
    """Physical features of one magnetogram patch, as astropy quantities.

    Attributes
    ----------
    flux_positive, flux_negative, flux_net, flux_unsigned : Quantity [Mx]
        Field times pixel area summed over the positive pixels, the negative ones (a negative number),
        all of them, and its absolute value over all of them.
    gradient_mean, gradient_std, gradient_median, gradient_max : Quantity [G / Mm]
        Statistics of the horizontal gradient's magnitude, by the Sobel operator divided by 8, over the
        pixels that have all eight neighbours. NaN if there is none.
    gradient_skewness, gradient_kurtosis : Quantity [1]
        Biased skewness and excess kurtosis of the same; NaN where it is constant.
    nl_length : Quantity [Mm]
        Length of all neutral lines: zero contours of the field averaged over 10 x 10 pixels.
    nl_strong_length : Quantity [Mm]
        Length of their part where the gradient is at least `strong_gradient`. Along lines the gradient
        is that of the averaged field too: that of single pixels would be noise in weak fields.
    nl_gradient_weighted_length : Quantity [G]
        Integral of the gradient along all of them.
    nl_curvature_mean, nl_curvature_std, nl_curvature_median, nl_curvature_max : Quantity [1 / Mm]
        Statistics of the unsigned curvature at points one pixel side apart: the turn between the chords
        to the points 5 pixel sides before and behind, over that length. Lines shorter than 10 pixel
        sides are left out. NaN without a neutral line.
    nl_bending_energy : Quantity [1 / Mm]
        Integral of the squared curvature along all of them.
    nl_strong_curvature_mean, nl_strong_bending_energy : Quantity [1 / Mm]
        The same on the part with a strong gradient.
    haar_energy_l1, haar_energy_l2, haar_energy_l3, haar_energy_l4, haar_energy_l5 : Quantity [G2]
        Sum of the squared coefficients of the orthonormal Haar details of a level; 1 is the finest.
        With that of the approximation they add up to the sum of the squared field (even sides).
    r_value : Quantity [1]
        See `r_value`: log10 of maxwell.
    wlsg : Quantity [G]
        See `wlsg`.
    nan_pixels : int
        Pixels that were left out: NaN, beyond the limb, or too close to it for a division by mu.

    Notes
    -----
    Lengths of neutral lines depend on the pixel side, as coastlines do on the map: compare patches
    of one instrument at one resolution.
    """

    flux_positive: u.Quantity
    flux_negative: u.Quantity
    flux_net: u.Quantity
    flux_unsigned: u.Quantity
    gradient_mean: u.Quantity
    gradient_std: u.Quantity
    gradient_median: u.Quantity
    gradient_max: u.Quantity
    gradient_skewness: u.Quantity
    gradient_kurtosis: u.Quantity
    nl_length: u.Quantity
    nl_strong_length: u.Quantity
    nl_gradient_weighted_length: u.Quantity
    nl_curvature_mean: u.Quantity
    nl_curvature_std: u.Quantity
    nl_curvature_median: u.Quantity
    nl_curvature_max: u.Quantity
    nl_bending_energy: u.Quantity
    nl_strong_curvature_mean: u.Quantity
    nl_strong_bending_energy: u.Quantity
    haar_energy_l1: u.Quantity
    haar_energy_l2: u.Quantity
    haar_energy_l3: u.Quantity
    haar_energy_l4: u.Quantity
    haar_energy_l5: u.Quantity
    r_value: u.Quantity
    wlsg: u.Quantity
    nan_pixels: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(PHYSICAL_UNITS)

    def as_dict(self) -> dict[str, u.Quantity]:
        """The features by name, with units."""
        return {name: getattr(self, name) for name in PHYSICAL_UNITS}

    def as_row(self) -> dict[str, float]:
        """Plain floats by name and unit, such as ``flux_net_Mx``: a row of a table."""
        return {_column(name): float(getattr(self, name).value) for name in PHYSICAL_UNITS}


class MagnetogramLines(NamedTuple):
    """The fields and lines behind `physical`, for pictures.

    Attributes
    ----------
    field : ndarray of float64, shape (ny, nx)
        Gauss; NaN where missing.
    gradient : ndarray of float64, shape (ny, nx)
        G / Mm; NaN at the edges and beside missing pixels.
    pixel_mm : tuple of float
        Sides of a pixel, x and y.
    ends_mm : ndarray of float64, shape (n, 2, 2)
        Ends of the segments of the neutral lines, ``(x, y)`` in Mm from the middle of the patch.
    length_mm : ndarray of float64, shape (n,)
        Their lengths.
    strong : ndarray of bool, shape (n,)
        Whether the gradient of the averaged field is strong there.
    """

    field: Float64Array
    gradient: Float64Array
    pixel_mm: tuple[float, float]
    ends_mm: Float64Array
    length_mm: Float64Array
    strong: NDArray[np.bool_]


def _unit(name: str) -> u.UnitBase:
    if name in ("gradient_skewness", "gradient_kurtosis", "r_value"):
        return u.dimensionless_unscaled
    if name.startswith("haar"):
        return u.G**2
    if "curvature" in name or "bending" in name:
        return u.Mm**-1
    if name.startswith("flux"):
        return u.Mx
    if name in ("wlsg", "nl_gradient_weighted_length"):
        return u.G
    return u.Mm if name.startswith("nl") else u.G / u.Mm


#: Names and units of the physical features, in their order.
PHYSICAL_UNITS: dict[str, u.UnitBase] = {f.name: _unit(f.name) for f in fields(Physical)[:-1]}

_SUFFIX = {u.dimensionless_unscaled: "", u.G / u.Mm: "_G_per_Mm", u.Mm**-1: "_per_Mm", u.G**2: "_G2"}


def _column(name: str) -> str:
    if name == "r_value":
        return "r_value_log10_Mx"
    unit = PHYSICAL_UNITS[name]
    return name + _SUFFIX.get(unit, f"_{unit}")


def physical(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    mu: ArrayLike | None = None,
    foreshortening: bool = False,
    radial: bool = False,
    strong_gradient: u.Quantity = 50.0 * u.G / u.Mm,
) -> Physical:
    """Features of a magnetogram patch in physical units.

    Parameters
    ----------
    patch : array_like or Quantity, shape (ny, nx); path of a FITS file; or sunpy map
        Line-of-sight or radial field. Plain numbers and files without BUNIT are gauss. NaN pixels
        are left out of everything.
    pixel : Quantity, scalar or ``(x, y)``, optional
        Side of a pixel: a length, or an angle on the sky (the Sun one astronomical unit away if
        there is no header that says otherwise). Default: from the world coordinates.
    wcs : astropy.wcs.WCS or astropy.io.fits.Header, optional
        World coordinates, for an array. Default: those of the file or map.
    mu : array_like, scalar or shape (ny, nx), optional
        Cosine of the heliocentric angle. Default: from the world coordinates. NaN where there is
        no Sun.
    foreshortening : bool
        Divide the areas of pixels by mu. Changes nothing for equal-area maps, whose pixels are
        areas on the Sun already. Lengths along the line of sight's projection are not corrected.
    radial : bool
        Take the field as the line-of-sight part of a radial one: divide it by mu.
    strong_gradient : Quantity
        Gradient from which a neutral line counts as strong; Falconer's 50 G / Mm.

    Returns
    -------
    Physical

    Raises
    ------
    ValueError
        If the patch is not 2-D, empty, infinite somewhere or NaN everywhere, or not a magnetic field.
    TypeError
        If the pixels are not real numbers.
    GeometryError
        If nothing tells the side of a pixel, or mu where it is needed.
    ImageError, FileNotFoundError
        If a file cannot be read.

    See Also
    --------
    solartrack.features.complexity : the 29 published features.

    Examples
    --------
    >>> import numpy as np, astropy.units as u
    >>> field = np.tile(np.linspace(-100, 100, 40), (40, 1))
    >>> physical(field, pixel=0.5 * u.Mm).gradient_mean.round(2)
    <Quantity 10.26 G / Mm>
    """
    strong = _in(strong_gradient, u.G / u.Mm, "strong_gradient")
    b, scale = _prepare(patch, pixel, wcs, mu, foreshortening=foreshortening, radial=radial)
    slope = _gradient(b, scale)
    flux = b * scale.area_cm2
    line = _neutral_lines(b, scale)
    is_strong = line.slope >= strong
    k, k_strong = line.curvature, line.curvature[line.curvature_slope >= strong]
    with np.errstate(invalid="ignore"):
        positive, negative = np.nansum(flux[b > 0]), np.nansum(flux[b < 0])
    values = [
        positive,
        negative,
        positive + negative,
        positive - negative,
        *_moments(slope),
        line.length.sum(),
        line.length[is_strong].sum(),
        np.nansum(line.slope * line.length),
        *([k.mean(), k.std(), np.median(k), k.max()] if k.size else [np.nan] * 4),
        (k**2 * line.curvature_length).sum(),
        k_strong.mean() if k_strong.size else np.nan,
        (k_strong**2 * line.curvature_length[line.curvature_slope >= strong]).sum(),
        *_haar_energies(b),
        _r_value(b, scale, 150.0, 15.0),
        _wlsg(b, scale, line, 150.0),
    ]
    named = zip(PHYSICAL_UNITS.items(), values, strict=True)
    quantities = {name: float(value) * unit for (name, unit), value in named}
    return Physical(**quantities, nan_pixels=int(np.isnan(b).sum()))


def magnetogram_lines(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    strong_gradient: u.Quantity = 50.0 * u.G / u.Mm,
) -> MagnetogramLines:
    """Field, gradient and neutral lines of a patch as `physical` measures them.

    Parameters
    ----------
    patch, pixel, wcs, strong_gradient
        As for `physical`.

    Returns
    -------
    MagnetogramLines

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `physical`.
    """
    strong = _in(strong_gradient, u.G / u.Mm, "strong_gradient")
    b, scale = _prepare(patch, pixel, wcs)
    slope = _gradient(b, scale)
    line = _neutral_lines(b, scale)
    middle = np.array([b.shape[1] - 1, b.shape[0] - 1]) / 2
    ends = (line.ends[:, :, ::-1] - middle) * (scale.x, scale.y)
    return MagnetogramLines(b, slope, (scale.x, scale.y), ends, line.length, line.slope >= strong)


def r_value(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    threshold: u.Quantity = 150.0 * u.G,
    width: u.Quantity = 15.0 * u.Mm,
) -> float:
    """Schrijver's R: log10 of the unsigned flux, in maxwell, near strong-gradient neutral lines.

    1. The field is averaged over pixels of 1.45 Mm (2 arcsec at one astronomical unit), whatever
       the given ones are, each weighted with its overlap. So R depends on the pixel scale, as long
       as that resolves 1.45 Mm, only by where the coarse pixels fall: by 0.1 for small regions.
    2. Pixels above `threshold` and pixels below its negative are each dilated by 3 x 3 pixels;
       the line is where both meet.
    3. The line's map is convolved with a Gaussian of full width `width` at half maximum and unit
       integral, so that a pixel weighs at most 1, and multiplied with the unsigned flux.

    Parameters
    ----------
    patch, pixel, wcs
        As for `physical`. The field is used as it is, not divided by mu.
    threshold : Quantity
        Field of a strong pixel.
    width : Quantity
        Full width at half maximum of the Gaussian.

    Returns
    -------
    float
        log10(R / Mx); 0.0 if there is no such line (one pixel of it gives more than 16).

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `physical`.

    Notes
    -----
    R was defined on MDI line-of-sight images in units of gauss times pixels, and JSOC's ``R_VALUE``
    keeps that unit: for comparison subtract 16.32, the log10 of a 1.45 Mm pixel's area in cm2. JSOC
    computes it from the line-of-sight field of the whole HARP box before its projection onto the
    equal-area map, and brings that to 2 arcsec in its own way; so the two agree only roughly, and
    for weak regions, where a few pixels decide whether there is a line at all, not at all.

    References
    ----------
    Schrijver 2007, ApJ 655, L117. Bobra et al. 2014, Solar Physics 289, 3549.
    """
    b, scale = _prepare(patch, pixel, wcs)
    return _r_value(b, scale, _in(threshold, u.G, "threshold"), _in(width, u.Mm, "width"))


def wlsg(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    transverse: u.Quantity = 150.0 * u.G,
) -> u.Quantity:
    """Falconer's WLsg: gradient-weighted length of the strong-field neutral line.

    The integral of the horizontal gradient of the field along the neutral lines' parts where the
    transverse potential field is at least `transverse`. The potential field is that of the patch
    alone on a plane, by Fourier transform with zeros around it; flux outside the patch is not seen.

    Parameters
    ----------
    patch, pixel, wcs
        As for `physical`; the radial field, or the line-of-sight field near disk centre.
    transverse : Quantity
        Least transverse potential field.

    Returns
    -------
    Quantity [G]
        0 without such a line.

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `physical`.

    Notes
    -----
    Line and gradient are those of the field averaged over 10 x 10 pixels: 5 arcsec for HMI, about the
    resolution of the magnetograms of the first publications.

    References
    ----------
    Falconer, Moore and Gary 2008, ApJ 689, 1433.
    """
    b, scale = _prepare(patch, pixel, wcs)
    line = _neutral_lines(b, scale)
    return _wlsg(b, scale, line, _in(transverse, u.G, "transverse")) * u.G


def usflux(
    br: Any,
    bitmap: Any,
    conf_disambig: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
) -> u.Quantity:
    """Total unsigned flux as in the SHARP keyword USFLUX.

    Parameters
    ----------
    br : array_like or Quantity, shape (ny, nx); path of a FITS file; or sunpy map
        Radial field, gauss unless it says otherwise. NaN pixels are left out.
    bitmap, conf_disambig : array_like, path or sunpy map, shape (ny, nx)
        The SHARP segments of these names. Pixels count where ``bitmap >= 30`` (in the active
        region) and ``conf_disambig >= 70`` (direction of the transverse field reliable).
    pixel, wcs
        As for `physical`; by default the world coordinates of `br`.

    Returns
    -------
    Quantity [Mx]

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `physical`, and if the three have different shapes.

    Notes
    -----
    The pixel area is that on a sphere of radius RSUN_REF. JSOC goes by way of angles on the sky,
    which gives 8e-6 less.

    References
    ----------
    Bobra et al. 2014, Solar Physics 289, 3549.
    """
    b, scale = _prepare(br, pixel, wcs)
    mask = _sharp_mask(b.shape, bitmap, conf_disambig)
    return float(np.nansum(np.abs(b) * scale.area_cm2, where=mask)) * u.Mx


def meangbz(br: Any, bitmap: Any, conf_disambig: Any, *, pixel: u.Quantity | None = None) -> u.Quantity:
    """Mean horizontal gradient of the vertical field as in the SHARP keyword MEANGBZ.

    Parameters
    ----------
    br, bitmap, conf_disambig
        As for `usflux`.
    pixel : Quantity, optional
        Side of a pixel, a length.

    Returns
    -------
    Quantity [G / pix], or [G / Mm] with `pixel`
        Mean magnitude of the gradient by central differences. Pixels of the mask at the edge, or
        beside a NaN pixel, do not count. NaN if no pixel counts. JSOC's keyword is documented in
        G / Mm, but its value is in G per pixel.

    Raises
    ------
    ValueError, TypeError, ImageError, FileNotFoundError
        As for `usflux`.

    References
    ----------
    Bobra et al. 2014, Solar Physics 289, 3549.
    """
    b, _ = _field(br)
    mask = _sharp_mask(b.shape, bitmap, conf_disambig)
    if pixel is None:
        side, unit = np.ones(2), u.G / u.pix
    else:
        side, unit = _pair(pixel, u.Mm, "pixel"), u.G / u.Mm
    if min(b.shape) < 3:
        return np.nan * unit
    gx = (b[1:-1, 2:] - b[1:-1, :-2]) / (2 * side[0])
    gy = (b[2:, 1:-1] - b[:-2, 1:-1]) / (2 * side[1])
    slope = np.hypot(gx, gy)[mask[1:-1, 1:-1]]
    slope = slope[np.isfinite(slope)]
    return (float(slope.mean()) if slope.size else np.nan) * unit


# -- arguments ---------------------------------------------------------------------


class _Scale(NamedTuple):
    """Sides of a pixel in Mm, and its area in cm2 (one for all, or one for each)."""

    x: float
    y: float
    area_cm2: Any


def _in(value: Any, unit: u.UnitBase, name: str) -> float:
    """A positive quantity as a float in a unit."""
    try:
        number = float(u.Quantity(value).to_value(unit))
    except (u.UnitConversionError, TypeError) as error:
        raise ValueError(f"{name} must be one quantity such as {1.0 * unit}, got {value!r}") from error
    if not (np.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return number


def _pair(value: Any, unit: u.UnitBase, name: str) -> Float64Array:
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


def _field(patch: Any) -> tuple[Float64Array, Header]:
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


def _prepare(
    patch: Any,
    pixel: u.Quantity | None,
    wcs: WCS | Header | None,
    mu: ArrayLike | None = None,
    *,
    foreshortening: bool = False,
    radial: bool = False,
) -> tuple[Float64Array, _Scale]:
    b, header = _field(patch)
    if wcs is not None:
        header = wcs.to_header() if hasattr(wcs, "to_header") else wcs
    on_sun = str(header.get("CTYPE1", "")).upper().endswith("CEA")
    if pixel is not None:
        side = _pixel_mm(pixel, header)
        on_sun = False if not u.Quantity(pixel).unit.is_equivalent(u.Mm) else on_sun
    else:
        side = _header_pixel_mm(header)
    area: Any = side[0] * side[1] * _CM2_PER_MM2
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
    return b, _Scale(float(side[0]), float(side[1]), area)


def _pixel_mm(pixel: u.Quantity, header: Header) -> Float64Array:
    unit = u.Quantity(pixel).unit
    if unit.is_equivalent(u.Mm / u.pix) or unit.is_equivalent(u.arcsec / u.pix):
        pixel = u.Quantity(pixel) * u.pix
        unit = pixel.unit
    if unit.is_equivalent(u.arcsec):
        return _pair(pixel, u.rad, "pixel") * _sky_mm_per_radian(header)
    return _pair(pixel, u.Mm, "pixel")


def _number(header: Header, key: str) -> float | None:
    try:
        value = float(header[key])
    except (KeyError, TypeError, ValueError):
        return None
    return value if np.isfinite(value) and value else None


def _sky_mm_per_radian(header: Header) -> float:
    """Length across the line of sight at the Sun's distance that is seen under one radian."""
    rsun_m = _number(header, "RSUN_REF") or RSUN_M
    if distance_m := _number(header, "DSUN_OBS"):
        return rsun_m * 1e-6 / float(np.arcsin(rsun_m / distance_m))
    if rsun_arcsec := _number(header, "RSUN_OBS"):
        return rsun_m * 1e-6 / float(np.radians(rsun_arcsec / 3600.0))
    return AU_M * 1e-6


def _header_pixel_mm(header: Header) -> Float64Array:
    from astropy.wcs.utils import proj_plane_pixel_scales

    missing = [key for key in ("CTYPE1", "CTYPE2") if not header.get(key)]
    if missing:
        raise GeometryError(
            "nothing tells the side of a pixel: the header has no world coordinates "
            f"(lacks {', '.join(missing)}); give pixel=, such as 0.36 * u.Mm, or wcs="
        )
    world = _world(header)
    if world.pixel_n_dim != 2:
        raise GeometryError("the header has no two celestial axes; give pixel=, such as 0.36 * u.Mm")
    radians = np.radians(proj_plane_pixel_scales(world))
    kinds = {str(header[key]).upper()[-4:] for key in ("CTYPE1", "CTYPE2")}
    if kinds == {"-CEA"}:
        return np.asarray(radians * (_number(header, "RSUN_REF") or RSUN_M) * 1e-6)
    if kinds == {"-TAN"}:
        return np.asarray(radians * _sky_mm_per_radian(header))
    raise GeometryError(
        f"the map must be helioprojective (TAN) or equal-area (CEA), got {header['CTYPE1']}, "
        f"{header['CTYPE2']}; give pixel=, or reproject it first"
    )


def _world(header: Header) -> WCS:
    import warnings

    from astropy.wcs import WCS, FITSFixedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            return WCS(header).celestial
        except Exception as error:  # wcslib has many error classes
            raise GeometryError(f"the header's world coordinates cannot be read: {error}") from error


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
    if not str(header.get("CTYPE1", "")).upper().endswith("CEA"):
        geometry = ImageGeometry.from_header(header)
        tx, ty = geometry.pixel_to_helioprojective(cols + 0.5, rows + 0.5)
        sin_rho_2 = 1.0 - (np.cos(np.radians(tx / 3600)) * np.cos(np.radians(ty / 3600))) ** 2
        cos_2 = 1.0 - geometry.distance_rsun**2 * sin_rho_2
        return np.sqrt(np.where(cos_2 > 0, cos_2, np.nan))
    names = {"CRLN": "CRLN_OBS", "HGLN": "HGLN_OBS"}
    key = names.get(str(header["CTYPE1"]).upper()[:4], "")
    latitude = next((v for k in ("CRLT_OBS", "HGLT_OBS") if (v := _number(header, k)) is not None), None)
    if key not in header or latitude is None:
        raise GeometryError(
            f"mu of an equal-area map needs the observer: {key or 'CRLN_OBS'} and CRLT_OBS; give mu="
        )
    lon, lat = _world(header).wcs_pix2world(cols.ravel(), rows.ravel(), 0)
    lon, lat = np.radians(lon - float(header[key])), np.radians(lat)
    b0 = np.radians(latitude)
    rsun_m = _number(header, "RSUN_REF") or RSUN_M
    distance = (_number(header, "DSUN_OBS") or AU_M) / rsun_m
    centre = np.sin(lat) * np.sin(b0) + np.cos(lat) * np.cos(b0) * np.cos(lon)
    cosine = (distance * centre - 1.0) / np.sqrt(1.0 + distance**2 - 2.0 * distance * centre)
    return np.where(cosine > 0, cosine, np.nan).reshape(shape)


def _sharp_mask(shape: tuple[int, ...], bitmap: Any, conf_disambig: Any) -> NDArray[np.bool_]:
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


# -- what is measured --------------------------------------------------------------


def _gradient(b: Float64Array, scale: _Scale) -> Float64Array:
    """Magnitude of the gradient, G/Mm, shape of `b`; NaN at the edges and beside missing pixels."""
    slope = np.full(b.shape, np.nan)
    if min(b.shape) >= 3:
        across = b[:, 2:] - b[:, :-2]
        along = b[2:] - b[:-2]
        gx = (across[:-2] + 2 * across[1:-1] + across[2:]) / (8 * scale.x)
        gy = (along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]) / (8 * scale.y)
        slope[1:-1, 1:-1] = np.hypot(gx, gy)
    return slope


def _moments(slope: Float64Array) -> list[float]:
    m = slope[np.isfinite(slope)]
    if not m.size:
        return [np.nan] * 6
    d = m - m.mean()
    d2 = d * d
    second = d2.mean()
    # A linear field has one gradient up to rounding; moments of the rounding mean nothing.
    shape = [np.nan] * 2
    if np.sqrt(second) > 1e-12 * m.max():
        shape = [(d2 * d).mean() / second**1.5, (d2 * d2).mean() / second**2 - 3]
    return [m.mean(), np.sqrt(second), np.median(m), m.max(), *shape]


class _Lines(NamedTuple):
    """Neutral lines as segments, and their curvature at points along them."""

    ends: Float64Array  # (n, 2, 2): both ends of the segments as (row, col), pixel centres at integers
    length: Float64Array  # Mm
    slope: Float64Array  # gradient of the averaged field there, G/Mm; NaN where unknown
    curvature: Float64Array  # 1/Mm, unsigned
    curvature_length: Float64Array  # Mm of line that each point stands for
    curvature_slope: Float64Array


def _neutral_lines(b: Float64Array, scale: _Scale) -> _Lines:
    products = complexity(b, nan_policy="zero", products=True).products
    assert products is not None
    # The kernel's mean counts what is missing as zeros, which moves no zero contour, but the gradient.
    seen = _window_share(~np.isnan(b))
    mean = np.where(seen > 0.2, products.smoothed / np.maximum(seen, 0.01), np.nan)
    slope = _gradient(mean, scale)
    found: list[tuple[Any, ...]] = [(np.empty((0, 2, 2)), *np.empty((5, 0)))]
    for contour in products.contours:
        if len(contour) < 2:
            continue
        # A contour also runs around fields that are only zero (no data, no Sun); a neutral line has
        # both polarities beside it.
        middle = (contour[1:] + contour[:-1]) / 2
        real = _between_polarities(products.smoothed, middle)
        middle += _WINDOW_SHIFT
        real &= ~np.isnan(_nearest(b, middle))
        if not real.any():
            continue
        xy = (contour * (scale.y, scale.x))[:, ::-1]
        length = np.hypot(*np.diff(xy, axis=0).T)
        at, kappa, share = _curvature(xy, length, float(np.sqrt(scale.x * scale.y)))
        keep = real[at]
        along = _bilinear(slope, middle)
        ends = np.stack([contour[:-1], contour[1:]], axis=1)[real] + _WINDOW_SHIFT
        found.append((ends, length[real], along[real], kappa[keep], share[keep], along[at][keep]))
    return _Lines(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _window_share(seen: NDArray[np.bool_]) -> Float64Array:
    """Share of the kernel's 10 x 10 window of each pixel that is seen."""
    total = np.zeros((seen.shape[0] + 1, seen.shape[1] + 1))
    total[1:, 1:] = seen.cumsum(0).cumsum(1)
    (top, bottom), (left, right) = (
        (np.clip(np.arange(n) - 5, 0, n), np.clip(np.arange(n) + 5, 0, n)) for n in seen.shape
    )
    rows = total[bottom] - total[top]
    return np.asarray((rows[:, right] - rows[:, left]) / 100)


def _between_polarities(smoothed: Float64Array, middle: Float64Array) -> NDArray[np.bool_]:
    row, col = np.floor(middle).astype(int).T
    step = np.arange(-1, 3)
    rows = np.clip(row[:, None, None] + step[:, None], 0, smoothed.shape[0] - 1)
    cols = np.clip(col[:, None, None] + step, 0, smoothed.shape[1] - 1)
    around = smoothed[rows, cols]
    rounding = 1e-13 * np.abs(smoothed).max()
    return np.asarray((around.min((1, 2)) < -rounding) & (around.max((1, 2)) > rounding))


def _nearest(field: Float64Array, at: Float64Array) -> Float64Array:
    row, col = np.clip(np.rint(at).astype(int), 0, np.array(field.shape) - 1).T
    return np.asarray(field[row, col])


def _bilinear(field: Float64Array, at: Float64Array) -> Float64Array:
    last = np.maximum(np.array(field.shape) - 2, 0)
    low = np.clip(np.floor(at).astype(int), 0, last)
    high = np.minimum(low + 1, np.array(field.shape) - 1)
    fr, fc = np.clip(at - low, 0.0, 1.0).T
    (r0, c0), (r1, c1) = low.T, high.T
    top = field[r0, c0] * (1 - fc) + field[r0, c1] * fc
    bottom = field[r1, c0] * (1 - fc) + field[r1, c1] * fc
    return np.asarray(top * (1 - fr) + bottom * fr)


def _curvature(
    xy: Float64Array, length: Float64Array, step: float
) -> tuple[NDArray[np.intp], Float64Array, Float64Array]:
    """Segment, unsigned curvature and share of the length of points about `step` apart."""
    ends = np.concatenate([[0.0], np.cumsum(length)])
    total = ends[-1]
    closed = np.array_equal(xy[0], xy[-1])
    n = round(total / step)
    if n < 2 * _CURVATURE_REACH:  # smaller than the smoothing window, its shape is noise
        return np.empty(0, dtype=np.intp), np.empty(0), np.empty(0)
    place = (np.arange(n) + 0.5) * (total / n)
    points = np.column_stack([np.interp(place, ends, xy[:, k]) for k in (0, 1)])
    reach = min(_CURVATURE_REACH, n // 3) if closed else _CURVATURE_REACH
    middle = np.arange(n) if closed else np.arange(reach, n - reach)
    before, here, behind = points[(middle - reach) % n], points[middle], points[(middle + reach) % n]
    p, q = here - before, behind - here
    # The chords' turn over the arc between their middles: exact on a circle, and bounded where a
    # line runs back beside itself, as a circle through three points is not.
    turn = np.abs(np.arctan2(p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0], (p * q).sum(1)))
    at = np.clip(np.searchsorted(ends, place[middle], side="right") - 1, 0, len(length) - 1)
    return at, turn / (reach * total / n), np.full(turn.shape, total / n)


def _haar_energies(b: Float64Array) -> list[float]:
    """Energy of five levels of details; blocks with a missing pixel are left out."""
    energies = []
    for _ in range(5):
        # The last of an odd number pairs with itself, which has no detail.
        b = np.pad(b, [(0, n % 2) for n in b.shape], mode="edge")
        p, q, r, s = b[::2, ::2], b[::2, 1::2], b[1::2, ::2], b[1::2, 1::2]
        details = ((p - q + r - s) / 2) ** 2 + ((p + q - r - s) / 2) ** 2 + ((p - q - r + s) / 2) ** 2
        energies.append(float(np.nansum(details)))
        b = (p + q + r + s) / 2
    return energies


def _overlaps(n: int, side: float) -> Float64Array:
    """How much of each of n pixels lies in each pixel of the R grid, as shares of the latter."""
    edges = np.arange(n + 1) * side
    grid = np.arange(int(np.ceil(round(edges[-1] / _R_PIXEL_MM, 9))) + 1) * _R_PIXEL_MM
    low = np.maximum(edges[:-1], grid[:-1, None])
    high = np.minimum(edges[1:], grid[1:, None])
    return np.asarray(np.maximum(high - low, 0.0) / _R_PIXEL_MM)


def _dilate(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = np.pad(mask, 1)
    rows = wide[:-2] | wide[1:-1] | wide[2:]
    return np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])


def _gaussian(n: int, sigma: float) -> Float64Array:
    at = np.arange(n)
    kernel = np.exp(-0.5 * ((at - at[:, None]) / sigma) ** 2)
    return np.asarray(kernel / (sigma * np.sqrt(2 * np.pi)))


def _r_value(b: Float64Array, scale: _Scale, threshold: float, width: float) -> float:
    down, across = _overlaps(b.shape[0], scale.y), _overlaps(b.shape[1], scale.x)
    seen = np.isfinite(b).astype(np.float64)
    share = down @ seen @ across.T
    mean = down @ np.nan_to_num(b) @ across.T / np.maximum(share, 1e-12)
    mean[share < 0.5 * share.max()] = 0.0  # too little of it seen to know its polarity
    line = _dilate(mean > threshold) & _dilate(mean < -threshold)
    if not line.any():
        return 0.0
    sigma = width / np.sqrt(8 * np.log(2)) / _R_PIXEL_MM
    weight = _gaussian(line.shape[0], sigma) @ line.astype(np.float64) @ _gaussian(line.shape[1], sigma)
    flux = np.sum(np.abs(mean) * share * weight) * _R_PIXEL_MM**2 * _CM2_PER_MM2
    return float(np.log10(flux))


def _transverse_potential(b: Float64Array, scale: _Scale) -> Float64Array:
    """Horizontal field of the potential field above a plane with the vertical field `b`."""
    ny, nx = b.shape
    spectrum = np.fft.rfft2(np.nan_to_num(b), (2 * ny, 2 * nx))
    ky = 2 * np.pi * np.fft.fftfreq(2 * ny, scale.y)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(2 * nx, scale.x)
    k = np.hypot(kx, ky)
    k[0, 0] = np.inf
    parts = [np.fft.irfft2(-1j * axis / k * spectrum, (2 * ny, 2 * nx))[:ny, :nx] for axis in (kx, ky)]
    return np.hypot(*parts)


def _wlsg(b: Float64Array, scale: _Scale, line: _Lines, transverse: float) -> float:
    if not line.length.size:
        return 0.0
    field = _bilinear(_transverse_potential(b, scale), line.ends.mean(1))
    return float(np.nansum((line.slope * line.length)[field >= transverse]))
