"""The header of an array as it is returned: size and world coordinates of a part, or of flipped rows."""

import math
import re
from collections.abc import Iterable
from typing import Any

from astropy.io import fits
from numpy.typing import NDArray

# How the array was stored, which the array itself no longer shows.
_STORAGE_KEY = re.compile(
    r"SIMPLE|XTENSION|EXTEND|BITPIX|NAXIS\d*|[PG]COUNT|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|TFIELDS"
    r"|T(TYPE|FORM)\d+|Z(IMAGE|SIMPLE|EXTEND|TENSION|BITPIX|NAXIS\d*|[PG]COUNT|TILE\d+|CMPTYPE|NAME\d+"
    r"|VAL\d+|QUANTIZ|DITHER0|BLANK|SCALE|ZERO|HECKSUM|DATASUM)"
)
_WCS_KEY = re.compile(
    r"(WCSAXES|WCSNAME|LONPOLE|LATPOLE|C(TYPE|UNIT|RVAL|RPIX|DELT|RDER|SYER)\d|(PC|CD|PV|PS)\d_\d+)[A-Z]?"
    r"|CROTA\d?"
)


def array_header(cards: Iterable[fits.Card], nx: int, ny: int) -> fits.Header:
    """Header of an array of `nx` columns and `ny` rows, without the cards of its stored form."""
    size = [("NAXIS", 2), ("NAXIS1", nx), ("NAXIS2", ny)]
    return fits.Header([*size, *(card for card in cards if not _STORAGE_KEY.fullmatch(card.keyword))])


def move_to_part(
    header: fits.Header, x0: int, y0: int, step: int, array: NDArray[Any], *, centre: float
) -> None:
    """Turn the header of a whole image into that of a part of it.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Changed in place.
    x0, y0 : int
        First column and row of the part, full-resolution pixels.
    step : int
        Full-resolution pixels per pixel of the part.
    array : ndarray, shape (ny, nx)
        The part.
    centre : float
        Pixel i of the part is centred on full-resolution pixel ``x0 + step * i + centre``.
    """
    header["NAXIS2"], header["NAXIS1"] = array.shape
    if not (x0 or y0 or step > 1):
        return
    for letter in _wcs_letters(header):
        for axis, start in ((1, x0), (2, y0)):
            reference = float(header.get(f"CRPIX{axis}{letter}", 0.0))  # FITS' own defaults
            header[f"CRPIX{axis}{letter}"] = (reference - 1 - start - centre) / step + 1
            scales = [key for key in (f"CD{axis}_1{letter}", f"CD{axis}_2{letter}") if key in header]
            for key in scales or [f"CDELT{axis}{letter}"]:
                header[key] = float(header.get(key, 1.0)) * step


def flip_rows(header: fits.Header, ny: int) -> None:
    """Turn the header of a bottom-up image into that of the same image stored top-down, in place."""
    for letter in _wcs_letters(header):
        header[f"CRPIX2{letter}"] = ny + 1 - float(header.get(f"CRPIX2{letter}", 0.0))
        if any(f"CD{i}_{j}{letter}" in header for i in (1, 2) for j in (1, 2)):
            for key in (f"CD1_2{letter}", f"CD2_2{letter}"):
                header[key] = -float(header.get(key, 0.0))
            continue
        names = [f"PC{i}_{j}{letter}" for i in (1, 2) for j in (1, 2)]
        if any(name in header for name in names):
            matrix = [float(header.get(name, one)) for name, one in zip(names, (1, 0, 0, 1), strict=True)]
        else:
            angle = math.radians(float(header.get("CROTA2", 0.0)) if not letter else 0.0)
            matrix = [1.0, 0.0, 0.0, 1.0]
            if angle:
                sine = math.sin(angle)
                ratio = float(header.get("CDELT2", 1.0)) / float(header.get("CDELT1", 1.0))
                matrix = [math.cos(angle), -sine * ratio, sine / ratio, math.cos(angle)]
        matrix[1], matrix[3] = -matrix[1], -matrix[3]
        header.update(zip(names, matrix, strict=True))
    for key in ("CROTA", "CROTA1", "CROTA2"):  # the matrix has it now
        header.remove(key, ignore_missing=True, remove_all=True)


def drop_wcs(header: fits.Header) -> None:
    """Remove all world coordinates, in place."""
    for key in [key for key in header if _WCS_KEY.fullmatch(key)]:
        header.remove(key, ignore_missing=True, remove_all=True)


def _wcs_letters(header: fits.Header) -> set[str]:
    """Letters of the coordinate systems in a header; the primary one is the empty string."""
    found = (re.fullmatch(r"(?:CTYPE|CRPIX|CRVAL|CDELT|CD\d_)\d([A-Z]?)", key) for key in header)
    return {match[1] for match in found if match}
