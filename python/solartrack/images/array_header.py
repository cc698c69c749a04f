"""The header of an array as it is returned: size and world coordinates of a part, or of flipped rows."""

import math
import re
from collections.abc import Iterable
from typing import Any

from astropy.io import fits
from numpy.typing import NDArray

from solartrack.coordinates.header import NO_WCS, WCS_NUMBER, as_number, radius_is_in_pixels, says_where

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
_LETTERED = re.compile(r"(?:CTYPE|CRPIX|CRVAL|CDELT|CD\d_)\d([A-Z]?)")
# The third and further axes of a cube of one plane.
_FURTHER_AXIS = re.compile(
    r"(C(TYPE|UNIT|RVAL|RPIX|DELT|RDER|SYER|NAME)[3-9]|(PC|CD)(\d_[3-9]|[3-9]_\d)|P[VS][3-9]_\d+)[A-Z]?"
    r"|WCSAXES[A-Z]?|CROTA[3-9]"
)


def array_header(cards: Iterable[fits.Card], nx: int, ny: int) -> fits.Header:
    """Header of an array of `nx` columns and `ny` rows, without the cards of its stored form.

    Numbers of the world coordinates are written anew where they stand in quotes or with the exponent D,
    so that `astropy.wcs.WCS`, which parses the text, finds them.
    """
    size = [("NAXIS", 2), ("NAXIS1", nx), ("NAXIS2", ny)]
    kept = (card for card in cards if not _STORAGE_KEY.fullmatch(card.keyword))
    return fits.Header([*size, *(_plain(card) for card in kept if not _FURTHER_AXIS.fullmatch(card.keyword))])


def _plain(card: fits.Card) -> fits.Card:
    """The card, or one written anew if wcslib would read another number than is there."""
    if not WCS_NUMBER.fullmatch(card.keyword) or (number := as_number(card.value)) is None:
        return card
    has_d = isinstance(card.value, float) and "D" in card.image[10:].partition("/")[0].upper()
    return fits.Card(card.keyword, number, card.comment) if has_d or isinstance(card.value, str) else card


def printable(text: str) -> str:
    """Text that a FITS header can hold."""
    return "".join(c if " " <= c <= "~" else " " if c.isspace() else "?" for c in text)


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
    if not (x0 or y0 or step > 1) or _unreadable(header):
        return
    if step > 1 and radius_is_in_pixels(header) and (radius := as_number(header.get("SOLAR_R"))) is not None:
        header["SOLAR_R"] = radius / step
    for letter in _wcs_letters(header):
        for axis, start in ((1, x0), (2, y0)):
            reference = float(header.get(f"CRPIX{axis}{letter}", 0.0))  # FITS' own defaults
            header[f"CRPIX{axis}{letter}"] = (reference - 1 - start - centre) / step + 1
            scales = [key for key in (f"CD{axis}_1{letter}", f"CD{axis}_2{letter}") if key in header]
            if step > 1 and not letter and not scales and f"CDELT{axis}" not in header:
                # The scale stands in cards that only the instrument knows, such as GONG's.
                return drop_wcs(header, f"reduced {step} times, and the header lacks CDELT{axis}")
            for key in scales or [f"CDELT{axis}{letter}"] if step > 1 else []:
                header[key] = float(header.get(key, 1.0)) * step


def flip_rows(header: fits.Header, ny: int) -> None:
    """Turn the header of a bottom-up image into that of the same image stored top-down, in place."""
    if _unreadable(header):
        return
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


def drop_wcs(header: fits.Header, why: str, keep: Iterable[str] = ()) -> None:
    """Remove all world coordinates but some cards, in place, and note why."""
    for key in {key for key in header if _WCS_KEY.fullmatch(key)} - set(keep):
        header.remove(key, ignore_missing=True, remove_all=True)
    header[NO_WCS] = why


def _unreadable(header: fits.Header) -> bool:
    """Whether world coordinates hold what is no number; if so, all but those cards are dropped."""
    bad = [
        key for key in header
        if WCS_NUMBER.fullmatch(key) and says_where(key)
        and isinstance(header[key], str) and header[key].strip() and as_number(header[key]) is None
    ]  # fmt: skip
    if bad:
        drop_wcs(header, ", ".join(f"{key} is {header[key]!r}, which is no number" for key in bad), keep=bad)
    return bool(bad)


def _wcs_letters(header: fits.Header) -> set[str]:
    """Letters of the coordinate systems in a header; the primary one is the empty string."""
    found = map(_LETTERED.fullmatch, header)
    return {match[1] for match in found if match}
