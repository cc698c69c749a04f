"""The horizontal gradient of a field, and its statistics."""

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.features._scale import Scale

__all__ = ["gradient", "gradient_statistics"]


def gradient(b: Float64Array, scale: Scale) -> Float64Array:
    """Magnitude of the horizontal gradient, by the Sobel operator divided by 8.

    Parameters
    ----------
    b : ndarray of float64, shape (ny, nx)
        Gauss; NaN where missing.
    scale : Scale

    Returns
    -------
    ndarray of float64, shape (ny, nx)
        G / Mm; NaN at the edges and beside missing pixels.
    """
    slope = np.full(b.shape, np.nan)
    if min(b.shape) >= 3:
        # Not ndimage.sobel: it multiplies the pixel itself by 0, so a missing pixel with all eight
        # neighbours would have no gradient.
        across = b[:, 2:] - b[:, :-2]
        along = b[2:] - b[:-2]
        gx = (across[:-2] + 2 * across[1:-1] + across[2:]) / (8 * scale.x)
        gy = (along[:, :-2] + 2 * along[:, 1:-1] + along[:, 2:]) / (8 * scale.y)
        slope[1:-1, 1:-1] = np.hypot(gx, gy)
    return slope


def gradient_statistics(slope: Float64Array) -> list[float]:
    """Mean, standard deviation, median, maximum, skewness and excess kurtosis of the finite gradients.

    All are NaN if there are none; skewness and kurtosis are NaN if all gradients are the same.
    """
    m = slope[np.isfinite(slope)]
    if not m.size:
        return [np.nan] * 6
    shape = [np.nan] * 2
    # In a linear field the gradients differ by rounding alone, whose moments mean nothing.
    if m.std() > 1e-12 * m.max():
        from scipy import stats  # not at the top: its import takes half a second

        shape = [float(stats.skew(m)), float(stats.kurtosis(m))]
    return [m.mean(), m.std(), np.median(m), m.max(), *shape]
