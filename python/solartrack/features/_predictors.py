"""Published predictors of flares: Schrijver's R, Falconer's WLsg, two SHARP keywords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from solartrack import images
from solartrack._arrays import Float64Array, as_pixels
from solartrack.features._magnetogram import read_field, read_magnetogram
from solartrack.features._neutral_lines import NeutralLines, bilinear, neutral_lines
from solartrack.features._scale import CM2_PER_MM2, Scale, positive_pair, positive_quantity
from solartrack.features.units import plain

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = ["log_r", "meangbz", "r_value", "usflux", "weighted_length", "wlsg"]

# R was defined for pixels of 2 arcsec, seen from one astronomical unit.
_R_PIXEL_MM = 1.45
# Longest side of a patch for R, which limits the grid to 3035 pixels.
_R_LONGEST_MM = 4400.0
# JSOC's mask for the SHARP keywords (Bobra et al. 2014).
_LEAST_CONFIDENCE, _LEAST_BITMAP = 70, 30


def r_value(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    threshold: u.Quantity = 150.0 * u.G,
    width: u.Quantity = 15.0 * u.Mm,
) -> float:
    """Schrijver's R: log10 of the unsigned flux, in maxwell, near strong-gradient neutral lines.

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
    threshold : Quantity
        Field of a strong pixel.
    width : Quantity
        Full width at half maximum of the Gaussian.

    Returns
    -------
    float
        log10(R / Mx), never negative; 0.0 if there is no such line. A line of one pixel gives more
        than 16.

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `physical`.

    Notes
    -----
    R was defined for MDI line-of-sight images, in gauss times pixels, and JSOC's ``R_VALUE`` keeps that
    unit: subtract 16.32, the log10 of the area in cm2 of a 1.45 Mm pixel, to compare; not from 0.0, which
    says that there is no line. JSOC computes it
    from the line-of-sight field of the whole HARP box, before the projection onto the equal-area map,
    and resamples that to 2 arcsec in another way. So the two agree only roughly, and not at all for
    weak regions, where a few pixels decide whether there is a line.

    References
    ----------
    Schrijver 2007, ApJ 655, L117. Bobra et al. 2014, Solar Physics 289, 3549.
    """
    b, scale = read_magnetogram(patch, pixel, wcs)
    return log_r(
        b, scale, positive_quantity(threshold, u.G, "threshold"), positive_quantity(width, u.Mm, "width")
    )


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
    The pixel area is that on a sphere of radius RSUN_REF. JSOC converts through angles on the sky, and
    its flux is smaller by 8e-6, relative.

    References
    ----------
    Bobra et al. 2014, Solar Physics 289, 3549.
    """
    b, scale = read_magnetogram(br, pixel, wcs)
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
    """
    b, _ = read_field(br)
    mask = _sharp_mask(b.shape, bitmap, conf_disambig)
    if pixel is None:
        side, unit = np.ones(2), u.G / u.pix
    else:
        side, unit = positive_pair(pixel, u.Mm, "pixel"), u.G / u.Mm
    if min(b.shape) < 3:
        return np.nan * unit
    gx = (b[1:-1, 2:] - b[1:-1, :-2]) / (2 * side[0])
    gy = (b[2:, 1:-1] - b[:-2, 1:-1]) / (2 * side[1])
    slope = np.hypot(gx, gy)[mask[1:-1, 1:-1]]
    slope = slope[np.isfinite(slope)]
    return (float(slope.mean()) if slope.size else np.nan) * unit


def _sharp_mask(shape: tuple[int, ...], bitmap: Any, conf_disambig: Any) -> NDArray[np.bool_]:
    """Pixels that enter the SHARP keywords: in the active region and reliably disambiguated."""
    mask = np.ones(shape, dtype=bool)
    for name, source, least in (
        ("bitmap", bitmap, _LEAST_BITMAP),
        ("conf_disambig", conf_disambig, _LEAST_CONFIDENCE),
    ):
        pixels = as_pixels(plain(images.as_image(source).array, name), name)
        if pixels.shape != shape:
            raise ValueError(f"{name} must have the shape of br, {shape}, got {pixels.shape}")
        mask &= pixels >= least
    return mask


def log_r(b: Float64Array, scale: Scale, threshold_gauss: float, width_mm: float) -> float:
    """`r_value` of a field in gauss, NaN where missing."""
    from scipy import ndimage  # not at the top: its import takes 0.1 to 0.4 s

    mean, share = _on_r_grid(b, scale)
    square = np.ones((3, 3), dtype=bool)
    positive = ndimage.binary_dilation(mean > threshold_gauss, square)
    line = positive & ndimage.binary_dilation(mean < -threshold_gauss, square)
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
    field = bilinear(_transverse_potential(b, scale), lines.ends.mean(1))
    return float(np.nansum((lines.slope * lines.length)[field >= transverse_gauss]))


def _transverse_potential(b: Float64Array, scale: Scale) -> Float64Array:
    """Horizontal part of the potential field whose vertical part in a plane is `b`."""
    ny, nx = b.shape
    spectrum = np.fft.rfft2(np.nan_to_num(b), (2 * ny, 2 * nx))
    ky = 2 * np.pi * np.fft.fftfreq(2 * ny, scale.y)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(2 * nx, scale.x)
    k = np.hypot(kx, ky)
    k[0, 0] = np.inf
    parts = [np.fft.irfft2(-1j * axis / k * spectrum, (2 * ny, 2 * nx))[:ny, :nx] for axis in (kx, ky)]
    return np.hypot(*parts)
