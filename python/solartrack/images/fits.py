"""FITS images: plain, gzipped or tile-compressed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from solartrack.coordinates.header import says_where
from solartrack.errors import ImageError, ImageWarning
from solartrack.images._fits_checks import check_fits
from solartrack.images.array_header import array_header, move_to_part, printable
from solartrack.images.cut import Cut, block_mean
from solartrack.images.rice import read_rice

__all__ = ["read_fits", "read_fits_pixels"]


def read_fits(path: Path, cut: Cut | None) -> tuple[NDArray[Any] | None, fits.Header]:
    """Pixels and header of the first 2-D image in a FITS file; without pixels if `cut` is None."""
    tiled = check_fits(path, pixels=cut is not None)
    with _first_image_of(path) as hdu:
        cards, dropped = _readable_cards(hdu.header)
        ny, nx = hdu.shape[-2:]
        header = array_header(cards, nx, ny)
        array = None
        if cut is not None:
            x0, y0, x1, y1 = cut.within(nx, ny)
            rows = read_rice(path, tiled, (y0, y1)) if tiled else None
            part = _pixels(hdu, (x0, y0, x1, y1)) if rows is None else rows[0][:, x0:x1]
            array = block_mean(part, cut.reduce)
            move_to_part(header, x0, y0, cut.reduce, array, centre=(cut.reduce - 1) / 2)
    if dropped:
        warnings.warn(
            f"{path}: dropped header cards that cannot be read: {', '.join(dropped)}",
            ImageWarning,
            stacklevel=3,  # who called solartrack.images.read
        )
    return array, header


def _readable_cards(header: fits.Header) -> tuple[list[fits.Card], list[str]]:
    """Cards that a header can hold, and keywords of the others.

    A card without a value that FITS knows, such as ``CROTA2 = nan``, is kept as text if it says where the
    Sun is: without it the image would be placed as if the card had never been there.
    """
    cards, dropped = [], []
    for card in header.cards:
        try:
            _ = card.value
            card.verify("silentfix")  # harmless slips, such as 1e5 for 1E5
            cards.append(card)
        except (fits.VerifyError, ValueError):
            if says_where(card.keyword):
                card.verify("silentfix")  # puts it in quotes
                cards.append(fits.Card(card.keyword, printable(str(card.value))))
            else:
                dropped.append(card.keyword)
    return cards, dropped


def read_fits_pixels(path: Path) -> tuple[NDArray[Any], fits.Header]:
    """The pixels of the first 2-D image in a FITS file; of the header only their unit, ``BUNIT``."""
    tiled = check_fits(path, pixels=True)
    if tiled and (found := read_rice(path, tiled)) is not None:
        return found[0], _unit(found[1])
    with _first_image_of(path) as hdu:
        header = _unit(hdu.header)
        return _pixels(hdu), header


def _unit(header: fits.Header) -> fits.Header:
    """What a header says about the unit of the pixels."""
    unit = fits.Header()
    if "BUNIT" in header:
        try:
            unit["BUNIT"] = header["BUNIT"]
        except (fits.VerifyError, ValueError) as error:
            raise ImageError("the header card BUNIT cannot be read; correct or remove it") from error
    return unit


@contextmanager
def _first_image_of(path: Path) -> Iterator[Any]:
    """The HDU of a file's first 2-D image."""
    with ExitStack() as stack:
        hdu = _first_image(stack.enter_context(fits.open(path, memmap=False)))
        if hdu.header.get("BITPIX") == 8 and _blank_of_offset(hdu) is not None:
            # Astropy tries to write NaN into signed bytes.
            hdu = _first_image(stack.enter_context(fits.open(path, memmap=False, ignore_blank=True)))
        yield hdu


def _first_image(hdus: Any) -> Any:
    """The first HDU that holds a 2-D image, or one plane of a cube of one."""
    others = []
    for hdu in hdus:
        if hdu.is_image and hdu.header["NAXIS"] >= 2 and set(hdu.shape[:-2]) <= {1}:
            return hdu
        if hdu.is_image and hdu.header["NAXIS"]:
            others.append(hdu.shape)
    found = f"images of shape {others}" if others else "no image"
    raise ImageError(
        f"needs a 2-D image, but the file holds {found}; "
        "cut a plane from a cube first, or fetch the file again if it should have one"
    )


def _pixels(hdu: Any, window: tuple[int, int, int, int] | None = None) -> NDArray[Any]:
    """Pixels in native byte order."""
    ny, nx = hdu.shape[-2:]
    if not (nx and ny):
        raise ImageError(f"the image has no pixels, its shape is {hdu.shape}")
    x0, y0, x1, y1 = window or (0, 0, nx, ny)
    blank = _blank_of_offset(hdu)
    array = np.asarray(hdu.data.reshape(ny, nx)[y0:y1, x0:x1])
    array = array.astype(array.dtype.newbyteorder("="))
    if blank is not None and (missing := array == blank).any():
        array = array.astype(np.float32 if array.itemsize <= 2 else np.float64)
        array[missing] = np.nan
    return array


def _blank_of_offset(hdu: Any) -> int | None:
    """The value of BLANK pixels where astropy gives integers, with BZERO applied; None elsewhere.

    Astropy makes BLANK pixels NaN, but not those of unsigned integers and signed bytes, which FITS stores
    with an offset.
    """
    header = hdu.header
    blank = header.get("BLANK", header.get("ZBLANK"))
    bits, zero = header.get("BITPIX"), header.get("BZERO", 0)
    offset = {8: -128, 16: 1 << 15, 32: 1 << 31, 64: 1 << 63}.get(bits, 0)
    if not isinstance(blank, int) or not offset or zero != offset or header.get("BSCALE", 1) != 1:
        return None
    return blank + offset
