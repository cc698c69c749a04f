"""The unit of a magnetogram's pixels: of a quantity, or what the header's BUNIT says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import as_pixels
from solartrack.images import SolarImage

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["in_gauss", "pixel_unit", "plain"]

# Spellings in headers that astropy does not know; others it knows in one case only.
_SPELLINGS = {
    r"gauss(es)?": "G",
    r"k(ilo)?gauss": "kG",
    r"m(illi)?gauss": "mG",
    r"teslas?": "T",
    r"maxwells?": "Mx",
    r"mx": "Mx",
    r"cm": "cm",
    r"counts?": "ct",
    r"adu": "adu",
    r"dn": "DN",
}
_COUNTS = (u.dimensionless_unscaled, u.ct, u.adu, u.Unit("DN"))


def pixel_unit(image: SolarImage, name: str) -> u.UnitBase | None:
    """Unit of an image's pixels; None if neither the array nor the header tells it."""
    unit: u.UnitBase | None = getattr(image.array, "unit", None)
    said = _said(image.header)
    if unit is not None or not said:
        return unit
    for text in (said, re.sub(r"[A-Za-z]+", _spelled, said)):
        try:
            return u.Unit(text)
        except ValueError:
            pass
    raise ValueError(f"the header's BUNIT {said!r} is no unit; pass the array of {name} times its unit")


def in_gauss(image: SolarImage, name: str, *, counts: bool = False) -> tuple[NDArray[Any], float]:
    """Pixels that kernels read, and the gauss of one; 1 where nothing tells the unit.

    Parameters
    ----------
    image : SolarImage
    name : str
        What to call it in messages.
    counts : bool
        Whether counts and plain numbers are welcome, too; they are taken as they are.

    Raises
    ------
    ValueError
        If the unit is not one of a magnetic field.
    """
    unit = pixel_unit(image, name)
    pixels = as_pixels(image.array, name)
    if unit is None or (counts and unit in _COUNTS):
        return pixels, 1.0
    try:
        return pixels, float(unit.to(u.G))
    except u.UnitConversionError as error:
        allowed = "G, Mx / cm2, T" + ("; or counts" if counts else "")
        raise ValueError(f"{name} must be a magnetic field ({allowed}), got {unit}") from error


def plain(values: Any, name: str, unit: u.UnitBase = u.dimensionless_unscaled) -> NDArray[Any]:
    """An array without its unit, after conversion from another one of its kind."""
    given = getattr(values, "unit", None)
    if given is None:
        return np.asanyarray(values)
    try:
        return np.asanyarray(values.to_value(unit))
    except u.UnitConversionError as error:
        wanted = "a plain number" if unit == u.dimensionless_unscaled else f"in {unit}"
        raise ValueError(f"{name} must be {wanted}, got {given}") from error


def _said(header: Header) -> str:
    return str(header.get("BUNIT", "")).strip()


def _spelled(match: re.Match[str]) -> str:
    word = match[0]
    for pattern, unit in _SPELLINGS.items():
        if re.fullmatch(pattern, word, re.IGNORECASE):
            return unit
    return word
