"""Magnetogram patches as `MagnetogramPatch` wants them, and the published resize."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy import sparse

from solartrack import _files
from solartrack._arrays import as_count, as_pixels
from solartrack.errors import ImageError
from solartrack.features.units import in_gauss
from solartrack.images import SolarImage, as_image, read_patch, read_pixels, row0
from solartrack.inference.conventions import Float32Array, MagnetogramPatch

__all__ = ["read_field", "read_gauss", "resize", "resize_matrix", "try_field"]

_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


def read_gauss(patch: Any, convention: MagnetogramPatch) -> Float32Array:
    """One patch in gauss, ready to be the row of an input.

    Parameters
    ----------
    patch : path-like, array_like, SolarImage or sunpy map
        A FITS file in a unit of the magnetic field, converted to gauss; without ``BUNIT`` it is gauss. Or
        a grey PNG of 8 bits, where 0 to 255 stand for minus to plus ``convention.field_gauss``: it is
        resized to the convention's side by nearest neighbour, as Keras reads pictures, so that the network
        sees its values as they are. Or pixels, in gauss unless they have another unit.
    convention : MagnetogramPatch

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        Row 0 is the file's first row: in FITS the southern one, in PNG the northern one.

    Raises
    ------
    ImageError
        If the file cannot be read, is a picture of another kind, or has another unit than one of the field;
        if a pixel is NaN or infinite, or stronger than ``convention.strongest_gauss``; or a side is shorter
        than ``convention.smallest`` or longer than ``convention.largest``. The message names the file.
    FileNotFoundError
        If there is no such file.
    TypeError
        If an array is masked or does not hold real numbers.
    """
    if not isinstance(patch, str | os.PathLike):
        return _field(as_image(patch), "the patch", convention)
    path = Path(patch)
    if row0(path) == "top":
        return _picture(path, convention)
    return _field(read_patch(path), str(path), convention)


def read_field(patch: Any, convention: MagnetogramPatch) -> Float32Array:
    """One patch as the network sees it: `read_gauss`, then `resize` to the convention's side.

    A graph that resizes leaves it as it is, and patches of all sizes go into one batch.

    Returns
    -------
    ndarray of float32, shape (side, side)

    Raises
    ------
    ImageError, FileNotFoundError, TypeError
        As `read_gauss`.
    """
    return resize(read_gauss(patch, convention), convention.side)


def try_field(patch: Any, convention: MagnetogramPatch) -> Float32Array | str:
    """`read_field`, or in a line why there is none: for files of which a bad one must not stop the others."""
    name = os.fspath(patch) if isinstance(patch, str | os.PathLike) else ""
    try:
        if _files.shown(name) != name:
            raise ImageError("the file name is not UTF-8; rename the file")
        return read_field(patch, convention)
    except Exception as error:  # decoders have their own; whatever it is, the others are to be read
        reason = str(error).removeprefix(f"{name}: ") or type(error).__name__
        return " ".join(_files.shown(reason).split())


def _field(image: SolarImage, source: str, convention: MagnetogramPatch) -> Float32Array:
    try:
        pixels, gauss = in_gauss(image, "the image")
    except ValueError as error:  # its shape or unit
        raise ImageError(f"{source}: {error}") from error
    with np.errstate(over="ignore"):  # infinite values are refused
        field = np.asarray(pixels if gauss == 1.0 else pixels * gauss, np.float32)
    _check_sides(field.shape, source, convention)
    if not np.isfinite(field).all():
        wrong = field.size - int(np.isfinite(field).sum())
        raise ImageError(
            f"{source}: {wrong} of {field.size} pixels are NaN or infinite, the network needs all of them; "
            "leave this patch out"
        )
    strongest = float(np.abs(field).max())
    if strongest > convention.strongest_gauss:
        raise ImageError(
            f"{source}: a pixel has {strongest:.4g} gauss, and no field on the Sun has "
            f"{convention.strongest_gauss:g}; is it a value for missing pixels, or another unit?"
        )
    return field


def _check_sides(shape: tuple[int, ...], source: str, convention: MagnetogramPatch) -> None:
    if min(shape) < convention.smallest or max(shape) > convention.largest:
        raise ImageError(
            f"{source}: sides must be from {convention.smallest} to {convention.largest} pixels, got "
            f"{' x '.join(map(str, shape))}"
        )


def _picture(path: Path, convention: MagnetogramPatch) -> Float32Array:
    """The field of an 8-bit grey PNG, resized as Keras does."""
    with path.open("rb") as file:
        start = file.read(26)
    if not start.startswith(b"\x89PNG"):
        raise ImageError(f"{path}: patches are FITS files or grey PNG files of 8 bits; convert it")
    if start[24:26] != b"\x08\x00":  # depth and colour type
        bits, colour = (start[24], _COLOURS.get(start[25], "colour")) if len(start) == 26 else (0, "pixels")
        raise ImageError(
            f"{path}: a patch that is a PNG must be 8-bit grey, got {bits}-bit {colour}; "
            "make it again from the field, 0 to 255 for -5978.7 to 5978.7 gauss"
        )
    pixels = read_pixels(path)
    _check_sides(pixels.shape, str(path), convention)
    side = convention.side
    if pixels.shape != (side, side):
        pixels = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST))
    return ((pixels * (2 / 255) - 1) * convention.field_gauss).astype(np.float32)


def resize(field: ArrayLike, side: int) -> Float32Array:
    """A patch resized to a square, smoothed before it is made smaller.

    Equal to ``skimage.transform.resize(field, (side, side), order=1, mode="reflect", anti_aliasing=True)``
    of scikit-image up to the rounding of float32, and about ten times as fast.

    Parameters
    ----------
    field : array_like, shape (rows, columns)
        Finite; one NaN spreads to many pixels.
    side : int
        Pixels.

    Returns
    -------
    ndarray of float32, shape (side, side)
        The same values if `field` has this shape.

    Raises
    ------
    ValueError
        If `field` is not 2-D or has no pixels, or `side` is no positive integer.
    TypeError
        If `field` is masked or does not hold real numbers.

    See Also
    --------
    resize_matrix : what is done along each axis.
    """
    pixels, side = as_pixels(field, "field").astype(np.float32, copy=False), as_count(side, "side")
    rows, columns = (resize_matrix(n, side) for n in pixels.shape)
    # A sparse matrix times a contiguous one, twice.
    half = np.ascontiguousarray((rows @ pixels).T)
    return np.ascontiguousarray((columns @ half).T)


@lru_cache(maxsize=128)
def resize_matrix(n: int, side: int) -> sparse.csr_array:
    """The matrix that resizes one axis: a Gaussian, then linear interpolation.

    The Gaussian has sigma ``max(0, (n / side - 1) / 2)`` pixels and is cut at 4 sigma. Pixel i of the
    result is interpolated at ``(i + 0.5) * n / side - 0.5``. Beyond its ends the axis is mirrored about
    the centres of its first and last pixels.

    Parameters
    ----------
    n, side : int
        Length before and after.

    Returns
    -------
    scipy.sparse.csr_array of float32, shape (side, n)
        Rows add up to 1; the identity if `n` is `side`. Cached: do not change it.

    References
    ----------
    van der Walt et al. 2014, PeerJ 2, e453 (scikit-image), whose defaults these are.
    """
    sigma = max(0.0, (n / side - 1) / 2)
    radius = int(4 * sigma + 0.5)
    distance = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 * (distance / sigma) ** 2) if radius else np.ones(1)
    weight /= weight.sum()

    place = (np.arange(side) + 0.5) * (n / side) - 0.5
    before = np.floor(place)
    share = place - before
    left, right = (_mirrored(before.astype(np.int64) + k, n) for k in (0, 1))
    column = _mirrored(np.concatenate([left, right])[:, None] + distance, n)
    value = np.concatenate([1 - share, share])[:, None] * weight
    row = np.broadcast_to(np.tile(np.arange(side), 2)[:, None], column.shape)
    matrix = sparse.coo_array((value.ravel(), (row.ravel(), column.ravel())), shape=(side, n)).tocsr()
    matrix.eliminate_zeros()
    return matrix.astype(np.float32)


def _mirrored(index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Indices beyond an axis of `n` pixels, mirrored into it as often as needed."""
    if n == 1:
        return np.zeros_like(index)
    inside: NDArray[np.int64] = np.abs(index) % (2 * n - 2)
    return np.minimum(inside, 2 * n - 2 - inside)
