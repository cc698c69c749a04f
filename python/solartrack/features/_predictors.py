"""Published predictors of flares: Schrijver's R, Falconer's WLsg, two SHARP keywords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from solartrack import _core
from solartrack._arrays import Float64Array
from solartrack.coordinates import header as header_facts
from solartrack.features._magnetogram import read_field, read_magnetogram
from solartrack.features._neutral_lines import NeutralLines, bilinear, neutral_lines
from solartrack.features._potential import fourier_field
from solartrack.features._scale import (
    CM2_PER_MM2,
    Scale,
    is_equal_area,
    pixel_sides,
    positive_quantity,
)
from solartrack.features._sharp_input import jsoc_scale, read_segments, sharp_mask

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = [
    "jsoc_log_r",
    "log_r",
    "meangbz",
    "opposite_polarities_meet",
    "r_value",
    "usflux",
    "weighted_length",
    "wlsg",
]

# R was defined for pixels of 2 arcsec, seen from one astronomical unit.
_R_PIXEL_MM = 1.45
# Longest side of a patch for R, which limits the grid to 3035 pixels.
_R_LONGEST_MM = 4400.0
# Of JSOC's R: coarse pixels in arcsec, gauss, and full width at half maximum in coarse pixels.
_JSOC_PIXEL_ARCSEC, _JSOC_THRESHOLD_GAUSS, _JSOC_WIDTH = 2.0, 150.0, 10.0


def r_value(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    threshold: u.Quantity | None = None,
    width: u.Quantity | None = None,
    convention: Literal["flux", "jsoc"] = "flux",
) -> float:
    """Schrijver's R: log10 of the unsigned flux, in maxwell, near strong-gradient neutral lines.

    With ``convention="jsoc"`` it is R_VALUE of SHARPs and SMARPs instead, in gauss times pixels, see Notes.

    1. The field is averaged over pixels of 1.45 Mm (2 arcsec at one astronomical unit), with the area
       of overlap as weight. The first begins at the first row and column that are not all zero, so
       empty ones around a region change nothing. If the given pixels are no larger, R depends on their
       side, and on where the patch was cut from a larger image, only through the position of the coarse
       pixels: by up to 0.4 for regions of a few coarse pixels; for weaker ones it decides whether there
       is a line.
    2. The pixels above `threshold`, and those below its negative, are each dilated by 3 x 3 pixels.
       The line is where the two overlap.
    3. The map of the line is convolved with a Gaussian of unit integral and full width at half maximum
       `width`, and the unsigned flux is summed with this weight, which is at most 1.

    Parameters
    ----------
    patch, pixel, wcs
        As for `physical`. The field is used as it is, not divided by mu.
    threshold : Quantity, optional
        Field of a strong pixel; default 150 G. Not with "jsoc", which has no choice.
    width : Quantity, optional
        Full width at half maximum of the Gaussian; default 15 Mm. Not with "jsoc".
    convention : {"flux", "jsoc"}
        "flux" is the definition above. "jsoc" is that of the keyword.

    Returns
    -------
    float
        "flux": log10(R / Mx), never negative; 0.0 if there is no such line. A line of one pixel gives more
        than 16. "jsoc": log10 of gauss times coarse pixels, never negative; 0.0 if the sum is below 1. Active
        regions have 3 to 5.

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `physical`.

    Notes
    -----
    R was defined for MDI line-of-sight images, in gauss times pixels, and JSOC's ``R_VALUE`` keeps that
    unit. To change the unit alone, subtract 16.32, the log10 of the area in cm2 of a 1.45 Mm pixel; not from
    0.0, which says that there is no line.

    "jsoc": with n = 2 arcsec / pixel, rounded, the field is averaged over boxes about every n-th pixel, from
    n // 2 on; a box reaches n // 2 pixels to each side. Lines as in step 2; the Gaussian has a full width at
    half maximum of 10 coarse pixels, and the sum is that of the absolute coarse field with this weight. Boxes
    of n x n pixels side by side, as the definition is often told, give 4.627 for the line-of-sight map of
    HARP 377, these 4.608; the published value is 4.607.

    References
    ----------
    Schrijver 2007, ApJ 655, L117. Bobra et al. 2014, Solar Physics 289, 3549.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.where(np.arange(64) < 32, -500.0, 500.0) * np.ones((64, 1))
    >>> round(features.r_value(gauss, pixel=0.36 * u.Mm), 2)
    20.38
    """
    if convention == "jsoc":
        if threshold is not None or width is not None:
            raise ValueError("threshold and width are fixed with convention='jsoc'; leave them out")
        b, own = read_field(patch)
        header = _header_of(wcs, own)
        radians = pixel_sides(pixel, header)[0] / header_facts.mm_per_radian(header)
        return jsoc_log_r(b, float(np.degrees(radians)) * 3600.0)
    if convention != "flux":
        raise ValueError(f"convention must be 'flux' or 'jsoc', got {convention!r}")
    b, scale = read_magnetogram(patch, pixel, wcs)
    least = 150.0 if threshold is None else positive_quantity(threshold, u.G, "threshold")
    return log_r(b, scale, least, 15.0 if width is None else positive_quantity(width, u.Mm, "width"))


def wlsg(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    transverse: u.Quantity = 150.0 * u.G,
) -> u.Quantity:
    """Falconer's WLsg: gradient-weighted length of the strong-field neutral line.

    The horizontal gradient of the field is integrated along those parts of the neutral lines where the
    transverse potential field is at least `transverse`. The potential field is that of the patch alone,
    above a plane, by a Fourier transform padded with zeros; flux outside the patch is not included.

    Parameters
    ----------
    patch, pixel, wcs
        As for `physical`; the radial field, or the line-of-sight field near disk centre.
    transverse : Quantity
        Least transverse potential field.

    Returns
    -------
    Quantity [G]
        0 if there is no such line.

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `physical`.

    Notes
    -----
    Lines and gradient are those of the field averaged over 10 x 10 pixels: 5 arcsec for HMI, about the
    resolution of the magnetograms used in the first publications.

    References
    ----------
    Falconer, Moore and Gary 2008, ApJ 689, 1433.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.where(np.arange(64) < 32, -500.0, 500.0) * np.ones((64, 1))
    >>> f"{features.wlsg(gauss, pixel=0.36 * u.Mm):.3g}"
    '6.1e+03 G'
    """
    b, scale = read_magnetogram(patch, pixel, wcs)
    least = positive_quantity(transverse, u.G, "transverse")
    return weighted_length(b, scale, neutral_lines(b, scale), least) * u.G


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
        Radial field, gauss unless it has another unit. NaN pixels are left out.
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
    It is the keyword of `sharp_keywords`, for maps of any projection. The pixel area of an equal-area map
    comes from its header as JSOC takes it, through angles on the sky; `pixel` in degrees gives 8e-6 more.

    References
    ----------
    Bobra et al. 2014, Solar Physics 289, 3549.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> br = np.full((64, 64), 100.0)
    >>> bitmap, conf_disambig = np.full((64, 64), 33), np.full((64, 64), 90)
    >>> features.usflux(br, bitmap, conf_disambig, pixel=0.36 * u.Mm)
    <Quantity 5.308416e+20 Mx>
    >>> features.usflux(br, bitmap, conf_disambig * 0, pixel=0.36 * u.Mm)  # no direction is reliable
    <Quantity nan Mx>
    """
    patch = read_segments({"Br": br, "bitmap": bitmap, "conf_disambig": conf_disambig})
    header = _header_of(wcs, patch.header)
    if pixel is None and is_equal_area(header):
        area_cm2 = jsoc_scale(header).area_cm2
    else:
        area_cm2 = float(np.prod(pixel_sides(pixel, header))) * CM2_PER_MM2
    (flux, _, pixels), _ = _core.field_sums(patch.planes["Br"], None, sharp_mask(patch.planes), True)
    return (flux * area_cm2 if pixels else np.nan) * u.Mx


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
        Mean magnitude of the gradient, by central differences. Pixels at the edge or beside a NaN pixel
        do not count; NaN if no pixel is left. JSOC documents its keyword in G / Mm, but its value is in
        G per pixel.

    Raises
    ------
    ValueError, TypeError, ImageError, FileNotFoundError
        As for `usflux`.

    References
    ----------
    Bobra et al. 2014, Solar Physics 289, 3549.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> br = np.tile(np.arange(-32.0, 32.0), (64, 1))  # 1 G from pixel to pixel
    >>> bitmap, conf_disambig = np.full((64, 64), 33), np.full((64, 64), 90)
    >>> features.meangbz(br, bitmap, conf_disambig)
    <Quantity 1. G / pix>
    >>> features.meangbz(br, bitmap, conf_disambig, pixel=0.36 * u.Mm).round(3)
    <Quantity 2.778 G / Mm>
    """
    patch = read_segments({"Br": br, "bitmap": bitmap, "conf_disambig": conf_disambig})
    _, (slopes, _, pixels) = _core.field_sums(patch.planes["Br"], None, sharp_mask(patch.planes), True)
    mean = slopes / pixels if pixels else np.nan
    return (
        mean * u.G / u.pix if pixel is None else mean / positive_quantity(pixel, u.Mm, "pixel") * u.G / u.Mm
    )


def _header_of(wcs: WCS | Header | None, header: Header) -> Header:
    """The header of world coordinates that were given, else the patch's own."""
    return header if wcs is None else wcs.to_header() if hasattr(wcs, "to_header") else wcs


def jsoc_log_r(b: Float64Array, arcsec: float) -> float:
    """`r_value` with the convention "jsoc", of a field in gauss, NaN where missing."""
    mean = _coarse(b, max(1, round(_JSOC_PIXEL_ARCSEC / arcsec)))
    line = opposite_polarities_meet(mean, _JSOC_THRESHOLD_GAUSS)
    if not line.any():
        return 0.0
    sigma = _JSOC_WIDTH / np.sqrt(8 * np.log(2))
    weight = _gaussian(line.shape[0], sigma) @ line.astype(np.float64) @ _gaussian(line.shape[1], sigma)
    return max(0.0, float(np.log10(np.sum(np.abs(mean) * weight))))


def _coarse(b: Float64Array, n: int) -> Float64Array:
    """Mean of boxes about every n-th pixel from n // 2 on, of what is known there; 0 where nothing is."""
    half = n // 2
    rows, cols = (max(0, -(-(size - half) // n)) for size in b.shape)

    def box_sums(values: NDArray[Any]) -> Float64Array:
        down = np.zeros((rows, values.shape[1]))
        boxes = np.zeros((rows, cols))
        for k in range(2 * half + 1):
            part = values[k::n][:rows]
            down[: len(part)] += part
        for k in range(2 * half + 1):
            side = down[:, k::n][:, :cols]
            boxes[:, : side.shape[1]] += side
        return boxes

    known = np.isfinite(b)
    filled = b if known.all() else np.where(known, b, 0.0)
    return box_sums(filled) / np.maximum(box_sums(known), 1.0)


def opposite_polarities_meet(b: Float64Array, threshold_gauss: float) -> NDArray[np.bool_]:
    """Where pixels above a threshold and below its negative meet, each dilated by 3 x 3 pixels."""

    def dilated(strong: NDArray[np.bool_]) -> NDArray[np.bool_]:
        for axis in (0, 1):
            wide = strong.copy()
            to, of = np.moveaxis(wide, axis, 0), np.moveaxis(strong, axis, 0)
            to[1:] |= of[:-1]
            to[:-1] |= of[1:]
            strong = wide
        return strong

    return dilated(b > threshold_gauss) & dilated(b < -threshold_gauss)


def log_r(b: Float64Array, scale: Scale, threshold_gauss: float, width_mm: float) -> float:
    """`r_value` of a field in gauss, NaN where missing."""
    mean, share = _on_r_grid(b, scale)
    line = opposite_polarities_meet(mean, threshold_gauss)
    if not line.any():
        return 0.0
    sigma = width_mm / np.sqrt(8 * np.log(2)) / _R_PIXEL_MM
    weight = _gaussian(line.shape[0], sigma) @ line.astype(np.float64) @ _gaussian(line.shape[1], sigma)
    flux = np.sum(np.abs(mean) * share * weight) * _R_PIXEL_MM**2 * CM2_PER_MM2
    return max(0.0, float(np.log10(flux)))


def _gaussian(n: int, sigma: float) -> Float64Array:
    """Weights between n pixels in a row, shape (n, n), of a Gaussian with unit integral.

    Not `scipy.ndimage.gaussian_filter`: its time grows with sigma, without bound.
    """
    offset = np.arange(n) - np.arange(n)[:, None]
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    # The integral, except where the Gaussian is too narrow for pixels to sample it: there the sum.
    return np.asarray(kernel / max(sigma * np.sqrt(2 * np.pi), kernel[n // 2].sum()))


def _on_r_grid(b: Float64Array, scale: Scale) -> tuple[Float64Array, Float64Array]:
    """Mean field in pixels of 1.45 Mm, and the share of each that is in the patch and not NaN.

    The first of them begins at the first row and column that are not all zero, so that empty ones around a
    region change nothing.
    """
    longest = max(b.shape[0] * scale.y, b.shape[1] * scale.x)
    if longest > _R_LONGEST_MM:
        raise ValueError(
            f"a pixel of {scale.x:.4g} x {scale.y:.4g} Mm makes the patch of shape {b.shape} "
            f"{longest:.4g} Mm long, more than {_R_LONGEST_MM:.0f} Mm, around the Sun; "
            "give the true pixel= or correct the header"
        )
    b = _without_empty_frame(b)
    down, across = _overlaps(b.shape[0], scale.y), _overlaps(b.shape[1], scale.x)
    inside = np.outer(down.sum(1), across.sum(1))
    share = down @ np.isfinite(b).astype(np.float64) @ across.T
    mean = down @ np.nan_to_num(b) @ across.T / np.maximum(share, 1e-12)
    mean[share < 0.5 * inside] = 0.0  # too little is known of it to have a polarity
    return mean, share


def _without_empty_frame(b: Float64Array) -> Float64Array:
    """The smallest part of a field outside of which all is zero; all of it if there is nothing else."""
    holds = b != 0
    rows, cols = (np.flatnonzero(holds.any(axis)) for axis in (1, 0))
    return b[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] if rows.size else b


def _overlaps(n: int, side: float) -> Float64Array:
    """Share of each pixel of the R grid that each of n pixels covers, along one axis."""
    edges = np.arange(n + 1) * side
    grid = np.arange(int(np.ceil(round(edges[-1] / _R_PIXEL_MM, 9))) + 1) * _R_PIXEL_MM
    low = np.maximum(edges[:-1], grid[:-1, None])
    high = np.minimum(edges[1:], grid[1:, None])
    return np.asarray(np.maximum(high - low, 0.0) / _R_PIXEL_MM)


def weighted_length(b: Float64Array, scale: Scale, lines: NeutralLines, transverse_gauss: float) -> float:
    """`wlsg` of a field in gauss, NaN where missing, and its neutral lines."""
    if not lines.length.size:
        return 0.0
    field = bilinear(np.hypot(*fourier_field(b, scale.x, scale.y)), lines.ends.mean(1))
    return float(np.nansum((lines.slope * lines.length)[field >= transverse_gauss]))
