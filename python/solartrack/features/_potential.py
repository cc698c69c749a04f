"""Horizontal components of potential fields above a plane, from the vertical one in it."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array

__all__ = ["Potential", "as_potential", "fourier_field", "jsoc_field", "jsoc_potential"]

Potential = Literal["jsoc", "fourier"]

# The depth of the monopoles and the pixels that count, from 10 before to 9 behind along each axis. Found by
# search: of the depths and windows tried only these give MEANPOT, MEANSHR and SHRGT45 of HARP 377.
_DEPTH, _BEFORE, _BEHIND = 0.001, 10, 9


def as_potential(potential: str) -> None:
    """Refuse what is none of the kinds of potential fields."""
    if potential not in get_args(Potential):
        raise ValueError(f"potential must be 'jsoc' or 'fourier', got {potential!r}")


def jsoc_potential(bz: Float64Array) -> Float64Array:
    """Scalar potential of what the SHARP keywords call the potential field.

    It is a sum over the pixels of a window: the potential of monopoles at a depth d, times d. That depth is
    a thousandth of a pixel, and a pixel's own monopole so near outweighs all others: the potential is hardly
    more than Bz itself, in gauss times pixels, and the field minus its gradient.

    Parameters
    ----------
    bz : ndarray of float64, shape (ny, nx)
        NaN is taken as no field.

    Returns
    -------
    ndarray of float64, shape (ny, nx)
        A part of a larger array.
    """
    from scipy import fft

    ny, nx = bz.shape
    # So many zeros that the window does not reach around; the kernel, 20 pixels long, must fit, too.
    shape = tuple(fft.next_fast_len(max(n, _BEFORE) + _BEFORE, True) for n in (ny, nx))
    spectrum = fft.rfft2(_source(bz), shape)
    spectrum *= _kernel_spectrum(shape)
    return np.asarray(fft.irfft2(spectrum, shape, overwrite_x=True)[:ny, :nx])


def jsoc_field(bz: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Bx and By of `jsoc_potential`.

    Returns
    -------
    bx, by : ndarray of float64, shape (ny, nx)
        Central differences; one-sided ones of second order at the edges. NaN where a side is shorter than
        3 pixels.
    """
    if min(bz.shape) < 3:
        return np.full(bz.shape, np.nan), np.full(bz.shape, np.nan)
    potential = jsoc_potential(bz)
    return _downhill(potential.T).T, _downhill(potential)


def _source(bz: Float64Array) -> Float64Array:
    """NaN taken as no field; a copy only where it must be: fresh memory costs as much as the work on it."""
    return np.nan_to_num(bz) if np.isnan(bz).any() else bz


def _downhill(values: Float64Array) -> Float64Array:
    """Minus the derivative from row to row, as np.gradient with edge_order=2, in one pass over new memory."""
    out = np.empty_like(values)
    np.subtract(values[:-2], values[2:], out=out[1:-1])
    out[0] = 3 * values[0] - 4 * values[1] + values[2]
    out[-1] = -3 * values[-1] + 4 * values[-2] - values[-3]
    out *= 0.5
    return out


@lru_cache(maxsize=4)  # patches of an archive come in sequences of one size
def _kernel_spectrum(shape: tuple[int, int]) -> NDArray[np.complex128]:
    """Fourier transform of the kernel: the weight of the pixel at (i + offset) for the one at i."""
    from scipy import fft

    offset = np.arange(-_BEFORE, _BEHIND + 1)
    weight = _DEPTH / np.sqrt(offset**2 + offset[:, None] ** 2 + _DEPTH**2)
    kernel = np.zeros(shape)
    kernel[np.ix_(-offset % shape[0], -offset % shape[1])] = weight
    return np.asarray(fft.rfft2(kernel))


def fourier_field(bz: Float64Array, side_x: float, side_y: float) -> tuple[Float64Array, Float64Array]:
    """Bx and By of the potential field of a patch alone, above a plane.

    Padded with zeros to twice the sides: there is no flux outside the patch but that of its copies, whole
    patches away.

    Parameters
    ----------
    bz : ndarray of float64, shape (ny, nx)
    side_x, side_y : float
        Sides of a pixel, in any unit.

    Returns
    -------
    bx, by : ndarray of float64, shape (ny, nx)
    """
    from scipy import fft

    ny, nx = bz.shape
    shape = (2 * ny, 2 * nx)
    spectrum = fft.rfft2(_source(bz), shape)
    ky = 2 * np.pi * np.fft.fftfreq(2 * ny, side_y)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(2 * nx, side_x)
    k = np.hypot(kx, ky)
    k[0, 0] = np.inf
    spectrum = spectrum * (-1j / k)
    # At the highest wavenumber a wave and its mirror image are the same: it has no slope.
    ky[ny] = kx[nx] = 0.0
    bx, by = (fft.irfft2(spectrum * axis, shape)[:ny, :nx] for axis in (kx, ky))
    return np.ascontiguousarray(bx), np.ascontiguousarray(by)
