"""The 29 magnetic complexity features of the published active-region data set (`boucheron2023`).

The numbers are those of the publication, its peculiarities included; they are not meant as physical
quantities. Cost is linear in the pixels: some 12 ns each on one core of a 2020s server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack import _core
from solartrack._arrays import Float64Array, as_threads
from solartrack._show import as_html, as_text
from solartrack.errors import ImageError
from solartrack.features._segments import refuse_others
from solartrack.features.units import in_gauss
from solartrack.images import as_image, row0

__all__ = ["COMPLEXITY_NAMES", "Complexity", "ComplexityProducts", "complexity", "complexity_batch"]

NanPolicy = Literal["raise", "zero"]

_PICTURE_ZERO = 128.0


@dataclass(frozen=True, eq=False, slots=True)
class ComplexityProducts:
    """What the features are computed from.

    Attributes
    ----------
    gradient : ndarray of float64, shape (ny, nx)
        Magnitude of the Sobel gradient (not divided by 8), zero-filled border.
    smoothed : ndarray of float64, shape (ny, nx)
        Mean over 10 x 10 pixels, rows i-5 to i+4 and the same for columns, zero-filled border;
        bit for bit what `scipy.signal.convolve2d` gives since SciPy 1.16.
    contours : tuple of ndarray of float64, shape (k, 2) each
        Zero contours of `smoothed` as ``(row, column)``; a closed one repeats its first point.
        Positions, order and starting points are bit for bit those of
        ``skimage.measure.find_contours(smoothed, 0)``.
    neutral_line : ndarray of bool, shape (ny, nx)
        Pixels that a contour point rounds to.
    strong : ndarray of bool, shape (ny, nx)
        Those of them with at least 20 % of the largest gradient among them (every pixel of the
        patch, where that largest gradient is 0).

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.linspace(-300, 300, 64) * np.ones((64, 1))
    >>> products = features.complexity(gauss, products=True).products
    >>> products.smoothed.shape, len(products.contours)
    ((64, 64), 1)
    >>> np.unique(products.neutral_line.nonzero()[1])  # columns of the neutral line
    array([32])
    """

    __repr__ = as_text
    _repr_html_ = as_html

    gradient: Float64Array
    smoothed: Float64Array
    contours: tuple[Float64Array, ...]
    neutral_line: NDArray[np.bool_]
    strong: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Complexity:
    """The 29 features of one patch, and how many of its pixels were NaN.

    Units follow from those of the patch (gauss, or counts) and from pixels as the unit of length.
    Without a neutral line all ``nl_`` features are 0. Where the gradient is the same at all pixels,
    its skewness and kurtosis are NaN.

    Attributes
    ----------
    gradient_mean, gradient_std, gradient_median, gradient_min, gradient_max : float
        Statistics of the Sobel gradient magnitude over all pixels, border included.
    gradient_skewness, gradient_kurtosis : float
        Biased skewness and excess kurtosis of the same.
    nl_length : float
        Number of neutral-line pixels with at least 20 % of the largest gradient among them.
    nl_fragments : float
        Number of 8-connected groups of those.
    nl_gradient_weighted_length : float
        Number of neutral-line pixels; the published name says something else.
    nl_curvature_mean, nl_curvature_std, nl_curvature_median, nl_curvature_min, nl_curvature_max : float
        Statistics of the orientation of the steps along all contours, radians.
    nl_bending_energy_mean, nl_bending_energy_std, nl_bending_energy_median : float
        Mean, deviation and median over contours of the mean squared change of orientation.
    nl_bending_energy_min, nl_bending_energy_max : float
        Smallest and largest of the same.
    wavelet_energy_l1, wavelet_energy_l2, wavelet_energy_l3, wavelet_energy_l4, wavelet_energy_l5 : float
        Sum of the absolute Haar details of a level; 1 is the finest.
    flux_positive, flux_negative, flux_signed, flux_unsigned : float
        Sum of the positive pixels, of the negative pixels, their sum, their difference.
    nan_pixels : int
        Pixels that were NaN and counted as 0.
    products : ComplexityProducts or None
        The fields behind the numbers, where they were asked for.

    References
    ----------
    Boucheron, Vincent, Grajeda and Wuest 2023, Scientific Data 10:825.
    Al-Ghraibah, Boucheron and McAteer 2015, A&A 579:A64.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.linspace(-300, 300, 64) * np.ones((64, 1))
    >>> found = features.complexity(gauss)
    >>> found.nl_length, found.nl_fragments
    (64.0, 1.0)
    >>> found.names[:2], found.as_array().shape
    (('gradient_mean', 'gradient_std'), (29,))
    >>> found.as_dict()["nl_fragments"]
    1.0
    """

    __repr__ = as_text
    _repr_html_ = as_html

    gradient_mean: float
    gradient_std: float
    gradient_median: float
    gradient_min: float
    gradient_max: float
    gradient_skewness: float
    gradient_kurtosis: float
    nl_length: float
    nl_fragments: float
    nl_gradient_weighted_length: float
    nl_curvature_mean: float
    nl_curvature_std: float
    nl_curvature_median: float
    nl_curvature_min: float
    nl_curvature_max: float
    nl_bending_energy_mean: float
    nl_bending_energy_std: float
    nl_bending_energy_median: float
    nl_bending_energy_min: float
    nl_bending_energy_max: float
    wavelet_energy_l1: float
    wavelet_energy_l2: float
    wavelet_energy_l3: float
    wavelet_energy_l4: float
    wavelet_energy_l5: float
    flux_positive: float
    flux_negative: float
    flux_signed: float
    flux_unsigned: float
    nan_pixels: int = 0
    products: ComplexityProducts | None = field(default=None, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the 29 features, in the published order."""
        return COMPLEXITY_NAMES

    def as_array(self) -> Float64Array:
        """The 29 features as float64, shape (29,)."""
        return np.array([getattr(self, name) for name in COMPLEXITY_NAMES])

    def as_dict(self) -> dict[str, float]:
        """The 29 features by name."""
        return {name: getattr(self, name) for name in COMPLEXITY_NAMES}


#: Names of the 29 features, in the published order, which the compiled module keeps.
COMPLEXITY_NAMES: tuple[str, ...] = _core.COMPLEXITY_NAMES


def zero_field(path: Path, pixels: NDArray[Any]) -> float:
    """Pixel value of zero field in a file: 0 in FITS, 128 in 8-bit pictures.

    Raises
    ------
    ImageError
        If it is a picture of another depth.
    """
    if row0(path) == "bottom":  # FITS
        return 0.0
    if pixels.dtype != np.uint8:
        raise ImageError(
            f"is a picture with {8 * pixels.dtype.itemsize}-bit pixels, whose zero field is not known; "
            "give zero (--zero)"
        )
    return _PICTURE_ZERO


def _as_patch(patch: Any, name: str, zero: float) -> NDArray[Any]:
    """Pixels for the kernel, which subtracts `zero`; what lies about it in gauss if the unit is known."""
    image = as_image(patch)
    refuse_others(patch, image.header)
    pixels, gauss = in_gauss(image, name, counts=True)
    return pixels if gauss == 1.0 else (pixels - np.float64(zero)) * gauss + zero


def _as_options(nan_policy: NanPolicy, zero: float) -> tuple[bool, float]:
    if nan_policy not in ("raise", "zero"):
        raise ValueError(f"nan_policy must be 'raise' or 'zero', got {nan_policy!r}")
    if hasattr(zero, "unit"):
        raise TypeError(f"zero must be a plain number, a pixel value of the patch, got {zero!r}")
    if not np.isfinite(zero):
        raise ValueError(f"zero must be finite, got {zero!r}")
    return nan_policy == "zero", float(zero)


def _check(problem: _core.PatchProblem, name: str) -> None:
    if problem is _core.PatchProblem.NAN:
        raise ValueError(
            f"{name} contains NaN, which the published features exclude; crop it away from the limb, "
            "or take NaN as 0: nan_policy='zero', on the command line --nan zero"
        )
    if problem is _core.PatchProblem.INFINITE:
        raise ValueError(f"{name} contains infinite values; replace them first")
    if problem is _core.PatchProblem.TOO_LARGE:
        raise ValueError(
            f"{name} must have sides of at most 2^22 and at most 2^28 pixels, each of at most 1e70; "
            "it exceeds one of these"
        )


def complexity(
    patch: Any, *, zero: float = 0.0, nan_policy: NanPolicy = "raise", products: bool = False
) -> Complexity:
    """The 29 features of one line-of-sight magnetogram patch.

    Parameters
    ----------
    patch : array_like or Quantity, shape (ny, nx); path of a FITS or PNG file; sunpy map; SolarImage
        Gauss, or counts with `zero`; any shape from 1 x 1. A magnetic field in another unit, by the
        quantity's or the header's ``BUNIT``, is converted to gauss. uint8, uint16, int16, int32, float32 and
        float64 are read where they lie, whatever the strides.
    zero : float
        Pixel value of zero field, in the unit of the pixels, subtracted first: 128 for the 8-bit
        pictures of the data set.
    nan_policy : {"raise", "zero"}
        What to do about NaN: refuse the patch, or take NaN as zero field and report the number.
    products : bool
        Also return the gradient, the smoothed field, the contours and the neutral-line masks. They
        need the exact order of operations everywhere, which takes about twice as long.

    Returns
    -------
    Complexity
        Equal to the published definition to 1e-9 relative.

    Raises
    ------
    ValueError
        If the patch is not 2-D, is empty, contains infinite values, or NaN under ``"raise"``; or its
        unit is neither magnetic nor counts.
    TypeError
        If the pixels are not real numbers, or masked.
    ImageError, FileNotFoundError
        If a file cannot be read.

    References
    ----------
    Boucheron, Vincent, Grajeda and Wuest 2023, Scientific Data 10:825.

    Examples
    --------
    >>> import numpy as np
    >>> field = np.add.outer(np.arange(-8.0, 8.0), np.arange(16.0))
    >>> complexity(field).nl_length
    9.0
    """
    nan_as_zero, zero = _as_options(nan_policy, zero)
    values, nan_pixels, problem, made = _core.complexity(
        _as_patch(patch, "patch", zero), zero, nan_as_zero, products
    )
    _check(problem, "patch")
    intermediate = None
    if made is not None:
        gradient, smoothed, contours, neutral_line, strong = made
        intermediate = ComplexityProducts(gradient, smoothed, tuple(contours), neutral_line, strong)
    numbers = dict(zip(COMPLEXITY_NAMES, values.tolist(), strict=True))
    return Complexity(**numbers, nan_pixels=nan_pixels, products=intermediate)


def complexity_batch(
    patches: Iterable[ArrayLike],
    *,
    zero: float = 0.0,
    nan_policy: NanPolicy = "raise",
    threads: int | None = None,
) -> Float64Array:
    """The 29 features of many patches, on several threads.

    Parameters
    ----------
    patches : array_like, shape (n, ny, nx), or iterable of array_like, shape (ny, nx) each
        As for `complexity`; shapes and pixel types may differ.
    zero, nan_policy
        As for `complexity`.
    threads : int, optional
        Default ``$SOLARTRACK_NUM_THREADS``, else the cores this process may use.

    Returns
    -------
    ndarray of float64, shape (n, 29)
        Columns in the order of `COMPLEXITY_NAMES`.

    Raises
    ------
    ValueError, TypeError
        As for `complexity`; the message says which patch, and no result is returned.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import features
    >>> features.complexity_batch(np.zeros((3, 64, 64))).shape
    (3, 29)
    """
    nan_as_zero, zero = _as_options(nan_policy, zero)
    count = as_threads(threads)
    if isinstance(patches, np.ndarray) and patches.ndim != 3 and patches.dtype != object:
        raise ValueError(
            f"patches must have shape (n, rows, columns), got {patches.shape}"
            + ("; use complexity() for one patch" if patches.ndim == 2 else "")
        )
    fields_ = [_as_patch(patch, f"patch {k}", zero) for k, patch in enumerate(patches)]
    values, _, problems = _core.complexity_batch(fields_, zero, nan_as_zero, count)
    for k, problem in enumerate(problems):
        _check(problem, f"patch {k}")
    return values
