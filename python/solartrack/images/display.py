"""Pixels on the scale on which networks and people see images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import as_pixels

__all__ = ["display_values"]


def display_values(image: ArrayLike) -> NDArray[Any]:
    """An image scaled to 0 to 255 as Helioviewer shows it, which is what networks are trained on.

    Parameters
    ----------
    image : array_like, shape (ny, nx)
        uint8 is taken to be scaled already. An image with positive and negative values is a magnetogram
        in gauss, scaled linearly from -100 to 100. Anything else is intensity, whose square root is
        scaled, from the 1st to the 99.95th percentile.

    Returns
    -------
    ndarray, shape (ny, nx)
        uint8 as it is, else float32. Pixels that are not finite become 0, and so does an image without
        contrast.

    Raises
    ------
    ValueError, TypeError
        If it is not a 2-D image of real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import images
    >>> images.display_values(np.array([[-100.0, 0.0, 50.0, np.nan]])).round(1)  # a magnetogram
    array([[  1.3, 127.5, 191.2,   0. ]], dtype=float32)
    >>> images.display_values(np.array([[7, 200]], np.uint8))  # scaled already
    array([[  7, 200]], dtype=uint8)
    """
    pixels = as_pixels(image)
    if pixels.dtype == np.uint8:
        return pixels
    values = pixels.astype(np.float32)
    finite = np.isfinite(values)
    # Every third pixel in each direction is enough for the percentiles.
    sample = values[::3, ::3][finite[::3, ::3]]
    if sample.size == 0:
        return np.zeros(values.shape, np.float32)
    low, high = np.percentile(sample, (1.0, 99.95))
    if low < -0.05 * high:
        shown = np.clip(values + 100.0, 1.0, 200.0) * np.float32(255.0 / 200.0)
    else:
        low = max(float(low), 0.0)
        reach = np.sqrt(max(float(high), 0.0)) - np.sqrt(low)
        if reach <= 0.0:
            return np.zeros(values.shape, np.float32)
        root = np.sqrt(np.clip(values, low, max(float(high), low)))
        shown = np.minimum((root - np.float32(np.sqrt(low))) * np.float32(255.0 / reach), np.float32(255.0))
    return np.asarray(np.where(finite, shown, np.float32(0.0)), dtype=np.float32)
