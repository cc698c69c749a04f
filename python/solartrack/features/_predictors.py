"""The predictors that others publish: Schrijver's R, Falconer's WLsg, two SHARP keywords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from solartrack._arrays import Float64Array
from solartrack.features._magnetogram import (
    CM2_PER_MM2,
    Scale,
    in_unit,
    pair_in_unit,
    prepare,
    read_field,
    sharp_mask,
)
from solartrack.features._neutral_lines import NeutralLines, at_points, neutral_lines

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = ["log_r", "meangbz", "r_value", "usflux", "weighted_length", "wlsg"]

# 2 arcsec at one astronomical unit, the pixels for which R was defined.
_R_PIXEL_MM = 1.45
_R_LONGEST_MM = 4400.0  # a side of the patch; bounds the grid to 3035 pixels


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
    b, scale = prepare(patch, pixel, wcs)
    return log_r(b, scale, in_unit(threshold, u.G, "threshold"), in_unit(width, u.Mm, "width"))


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
    b, scale = prepare(patch, pixel, wcs)
    line = neutral_lines(b, scale)
    return weighted_length(b, scale, line, in_unit(transverse, u.G, "transverse")) * u.G


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
    b, scale = prepare(br, pixel, wcs)
    mask = sharp_mask(b.shape, bitmap, conf_disambig)
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
    b, _ = read_field(br)
    mask = sharp_mask(b.shape, bitmap, conf_disambig)
    if pixel is None:
        side, unit = np.ones(2), u.G / u.pix
    else:
        side, unit = pair_in_unit(pixel, u.Mm, "pixel"), u.G / u.Mm
    if min(b.shape) < 3:
        return np.nan * unit
    gx = (b[1:-1, 2:] - b[1:-1, :-2]) / (2 * side[0])
    gy = (b[2:, 1:-1] - b[:-2, 1:-1]) / (2 * side[1])
    slope = np.hypot(gx, gy)[mask[1:-1, 1:-1]]
    slope = slope[np.isfinite(slope)]
    return (float(slope.mean()) if slope.size else np.nan) * unit


def log_r(b: Float64Array, scale: Scale, threshold: float, width: float) -> float:
    """`r_value` of a field in gauss; `threshold` in gauss, `width` in Mm."""
    from scipy import ndimage  # not at import: it takes longer than the rest of the package

    longest = max(b.shape[0] * scale.y, b.shape[1] * scale.x)
    if longest > _R_LONGEST_MM:
        raise ValueError(
            f"a pixel of {scale.x:.4g} x {scale.y:.4g} Mm makes the patch of shape {b.shape} "
            f"{longest:.4g} Mm long, more than {_R_LONGEST_MM:.0f} Mm, around the Sun; "
            "give the true pixel= or correct the header"
        )
    down, across = _overlaps(b.shape[0], scale.y), _overlaps(b.shape[1], scale.x)
    seen = np.isfinite(b).astype(np.float64)
    share = down @ seen @ across.T
    mean = down @ np.nan_to_num(b) @ across.T / np.maximum(share, 1e-12)
    mean[share < 0.5 * share.max()] = 0.0  # too little of it seen to know its polarity
    around = np.ones((3, 3), dtype=bool)
    line = ndimage.binary_dilation(mean > threshold, around) & ndimage.binary_dilation(
        mean < -threshold, around
    )
    if not line.any():
        return 0.0
    sigma = width / np.sqrt(8 * np.log(2)) / _R_PIXEL_MM
    weight = _gaussian(line.shape[0], sigma) @ line.astype(np.float64) @ _gaussian(line.shape[1], sigma)
    flux = np.sum(np.abs(mean) * share * weight) * _R_PIXEL_MM**2 * CM2_PER_MM2
    return float(np.log10(flux))


def _gaussian(n: int, sigma: float) -> Float64Array:
    """Weights between n pixels in a row, shape (n, n), of a Gaussian with unit integral.

    Not `scipy.ndimage.gaussian_filter`: its time grows with sigma, without bound.
    """
    offset = np.arange(n) - np.arange(n)[:, None]
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    # The integral, except where the Gaussian is too narrow for pixels to sample it: there the sum.
    return np.asarray(kernel / max(sigma * np.sqrt(2 * np.pi), kernel[n // 2].sum()))


def _overlaps(n: int, side: float) -> Float64Array:
    """How much of each of n pixels lies in each pixel of the R grid, as shares of the latter."""
    edges = np.arange(n + 1) * side
    grid = np.arange(int(np.ceil(round(edges[-1] / _R_PIXEL_MM, 9))) + 1) * _R_PIXEL_MM
    low = np.maximum(edges[:-1], grid[:-1, None])
    high = np.minimum(edges[1:], grid[1:, None])
    return np.asarray(np.maximum(high - low, 0.0) / _R_PIXEL_MM)


def weighted_length(b: Float64Array, scale: Scale, line: NeutralLines, transverse: float) -> float:
    """`wlsg` of a field in gauss with its neutral lines; `transverse` in gauss."""
    if not line.length.size:
        return 0.0
    field = at_points(_transverse_potential(b, scale), line.ends.mean(1))
    return float(np.nansum((line.slope * line.length)[field >= transverse]))


def _transverse_potential(b: Float64Array, scale: Scale) -> Float64Array:
    """Horizontal field of the potential field above a plane with the vertical field `b`."""
    ny, nx = b.shape
    spectrum = np.fft.rfft2(np.nan_to_num(b), (2 * ny, 2 * nx))
    ky = 2 * np.pi * np.fft.fftfreq(2 * ny, scale.y)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(2 * nx, scale.x)
    k = np.hypot(kx, ky)
    k[0, 0] = np.inf
    parts = [np.fft.irfft2(-1j * axis / k * spectrum, (2 * ny, 2 * nx))[:ny, :nx] for axis in (kx, ky)]
    return np.hypot(*parts)
