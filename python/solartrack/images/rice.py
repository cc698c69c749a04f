"""Rice-compressed FITS images: astropy's decoder without its loop over tiles, which takes most of the time.

HMI's and AIA's files have a tile for each row of pixels. What is read here is bit by bit what astropy gives;
everything that is not an image as the archives have them, or that cannot be decoded, is left to astropy, and
so is what to say about a damaged file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import astropy
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from solartrack.images._fits_checks import TiledImage, rice_setting

__all__ = ["read_rice"]

# Cards that say what the pixels are, and those that check_fits has read in its own way.
_CARDS = re.compile(
    rb"BSCALE|BZERO|BLANK|BUNIT|ZMASKCMP|XTENSION|TTYPE|TFORM|ZCMPTYPE|ZNAME|ZVAL|ZQUANTIZ"
    rb"|ZSCALE|ZZERO|ZDITHER0|TZERO|TSCAL|TNULL"
)
_OTHERS = {"ZMASKCMP", "ZSCALE", "ZZERO", "ZDITHER0", "ZVAL3", "TZERO1", "TSCAL1", "TNULL1"}


def read_rice(
    path: Path, image: TiledImage, rows: tuple[int, int] | None = None
) -> tuple[NDArray[Any], fits.Header] | None:
    """Pixels of a tile-compressed image, if it holds whole numbers that are compressed by RICE_1.

    Parameters
    ----------
    path : Path
    image : TiledImage
        As `check_fits` found it.
    rows : (int, int), optional
        Only rows y0 to y1 (exclusive). Other tiles are not read.

    Returns
    -------
    (ndarray, astropy.io.fits.Header) or None
        With BSCALE and BZERO applied and BLANK pixels as NaN, in the type that astropy gives; and the cards
        that say what the pixels are. None if the image is to be read by astropy.
    """
    keywords = image.keywords
    if (decode := _decoder()) is None or not _as_archives_have_them(keywords):
        return None
    with path.open("rb") as file:
        try:
            header = _cards(file, image)
            scale, zero, blank = _scaling(header, keywords["ZBITPIX"])
            raw = _decoded(file, image, rows, decode)
        except Exception:  # whatever it is, astropy meets it again and names it
            return None
    return _scaled(raw, scale, zero, blank), header


@cache
def _decoder() -> Callable[[bytes, int, int, int], bytes] | None:
    """Astropy's decoder of one tile; None where this astropy has none of that name, or is older than 8.

    What 6.1 makes of damaged files differs from this; releases in between have not been tried.

    Its public functions lead through the loop. Other decoders (imagecodecs 2026.3 was tried) do not tell that
    bytes were left over, which is how most damaged tiles are found.
    """
    if int(astropy.__version__.split(".")[0]) < 8:
        return None
    try:
        from astropy.io.fits.hdu.compressed._compression import decompress_rice_1_c
    except ImportError:
        return None
    decode: Callable[[bytes, int, int, int], bytes] = decompress_rice_1_c
    return decode


def _as_archives_have_them(keywords: dict[str, Any]) -> bool:
    """Whether there is one column of bytes, and each tile holds whole rows of integers of 16 or 32 bits."""
    return (
        keywords.get("XTENSION") == "BINTABLE"
        and keywords["ZCMPTYPE"] in ("RICE_1", "RICE_ONE")
        and keywords["ZNAXIS"] == 2
        and keywords["ZNAXIS1"] > 0
        and keywords["ZNAXIS2"] > 0
        and keywords.get("ZTILE1", keywords["ZNAXIS1"]) == keywords["ZNAXIS1"]
        and keywords["ZBITPIX"] in (16, 32)
        and keywords["ZBITPIX"] == 8 * rice_setting(keywords, "BYTEPIX")
        and keywords["TFIELDS"] == 1
        and re.fullmatch(r"1?[PQ]B(\(\d+\))?", keywords["TFORM1"]) is not None
    )


def _cards(file: BinaryIO, image: TiledImage) -> fits.Header:
    """The cards that the pixels depend on: reading all 200 of them would take 1 ms.

    Raises
    ------
    Exception
        If astropy would find one of them unreadable.
    """
    file.seek(image.header)
    text = file.read(image.table - image.header)
    kept = {80 * (found.start() // 80) for found in _CARDS.finditer(text.upper())}
    for at in sorted(kept):
        while text.startswith(b"CONTINUE", at := at + 80):
            kept.add(at)
    end = next(
        at for at in range(len(text) - 2880, len(text), 80) if text[at : at + 8].upper().rstrip() == b"END"
    )
    cards = b"".join(text[at : at + 80] for at in sorted(kept) if at < end)
    header = fits.Header.fromstring(cards.decode("ascii"))
    for card in header.cards:
        _ = card.value
    return header


def _scaling(header: fits.Header, bits: int) -> tuple[float, float, int | None]:
    """BSCALE, BZERO and BLANK.

    Raises
    ------
    ValueError
        If one of them, or another keyword, asks for something else than a linear scale.
    """
    scale, zero = header.get("BSCALE", 1), header.get("BZERO", 0)
    blank = header.get("BLANK", header.get("ZBLANK"))
    for value in (scale, zero):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{value!r} is no number")
    if not scale or (scale == 1 and zero):  # the second may be unsigned integers
        raise ValueError(f"BSCALE = {scale}, BZERO = {zero}")
    # astropy does not look for a BLANK of 0, and refuses one that no pixel can have.
    most = 1 << (bits - 1)
    if blank is not None and (type(blank) is not int or not blank or not -most <= blank < most):
        raise ValueError(f"BLANK = {blank!r}")
    if header.get("ZBLANK", blank) != blank or not _OTHERS.isdisjoint(header):
        raise ValueError("two BLANK values, or a card that is not of such images")
    if not all(isinstance(header.get(key, 0), int) for key in ("ZVAL1", "ZVAL2")):
        raise ValueError("a setting that is no whole number")
    return scale, zero, blank


def _decoded(
    file: BinaryIO,
    image: TiledImage,
    rows: tuple[int, int] | None,
    decode: Callable[[bytes, int, int, int], bytes],
) -> NDArray[Any]:
    """Whole numbers as they are in the tiles."""
    keywords = image.keywords
    nx, ny = keywords["ZNAXIS1"], keywords["ZNAXIS2"]
    y0, y1 = rows or (0, ny)
    height = min(keywords.get("ZTILE2", 1), ny)
    first, last = y0 // height, -(-y1 // height)  # tiles
    top, bottom = first * height, min(last * height, ny)  # rows in them

    width = keywords["NAXIS1"]
    file.seek(image.table + first * width)
    pointers = np.frombuffer(file.read((last - first) * width), ">i4" if width == 8 else ">i8")
    sizes, starts = pointers.reshape(-1, 2).T.astype(np.int64)
    if sizes.min() <= 0:
        raise ValueError("a tile without data")
    begin, end = int(starts.min()), int((starts + sizes).max())
    file.seek(image.table + keywords.get("THEAP", width * keywords["NAXIS2"]) + begin)
    heap = file.read(end - begin)

    block, item = rice_setting(keywords, "BLOCKSIZE"), rice_setting(keywords, "BYTEPIX")
    pixels = [height * nx] * len(sizes)
    pixels[-1] = (bottom - (last - 1) * height) * nx
    tiles = [
        decode(heap[start : start + size], block, item, count)
        for size, start, count in zip(sizes.tolist(), (starts - begin).tolist(), pixels, strict=True)
    ]
    return np.frombuffer(bytearray().join(tiles), f"i{item}").reshape(bottom - top, nx)[y0 - top : y1 - top]


def _scaled(raw: NDArray[Any], scale: float, zero: float, blank: int | None) -> NDArray[Any]:
    """Numbers of the scale, in the type and with the rounding of astropy."""
    if scale == 1 and zero == 0 and blank is None:
        return raw
    kind = np.float32 if raw.itemsize == 2 else np.float64
    array: NDArray[Any] = raw.astype(kind) if scale == 1 else np.multiply(raw, scale, dtype=kind)
    if zero:
        np.add(array, zero, out=array)
    if blank is not None and (missing := raw == blank).any():
        array[missing] = np.nan
    return array
