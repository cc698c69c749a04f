"""Flare classes of GOES as numbers: they compare as peak fluxes, never as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

__all__ = ["as_threshold", "flare_class", "fluxes_of", "peak_flux", "reaches"]

_FORM = re.compile(r"([ABCMX])\s?(\d+(?:\.\d*)?|\.\d+)", re.IGNORECASE)
_UNIT = {"A": 1e-8, "B": 1e-7, "C": 1e-6, "M": 1e-5, "X": 1e-4}


@overload
def peak_flux(flare_class: str) -> float: ...
@overload
def peak_flux(flare_class: Iterable[Any]) -> NDArray[np.float64]: ...
def peak_flux(flare_class: Any) -> Any:
    """Peak flux that a flare class stands for.

    Parameters
    ----------
    flare_class : str or iterable of str
        A letter (A, B, C, M, X) and a positive number: "C5.7". Numbers of 10 and more are taken as they
        are: M10.0, as lists round it, equals X1.0, and X17 is more than X9.3.

    Returns
    -------
    float or ndarray of float, shape (n,)
        W/m2 in the band 1 to 8 Angstrom, on the scale of the class. Of many, those that are missing ("",
        None, NaN) are NaN.

    Raises
    ------
    ValueError
        If one of them is no class, such as "C" or "B0". A single one must not be missing.

    Examples
    --------
    >>> from solartrack.flares import peak_flux
    >>> float(peak_flux("M1.0"))
    1e-05
    """
    if isinstance(flare_class, str):
        return _flux(flare_class)
    if not isinstance(flare_class, Iterable):
        raise TypeError(f"a flare class must be text such as 'C5.7', got {flare_class!r}")
    codes, classes = pd.factorize(np.asarray(list(flare_class), dtype=object))
    fluxes = np.array([math.nan if one == "" else _flux(one) for one in classes] + [math.nan])
    return fluxes[codes]  # missing ones have the code -1, the last


def _flux(text: Any) -> float:
    match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
    # Divided by a power of ten, not multiplied: C5.7 is then the float nearest to 5.7e-6.
    flux = float(f"{match[2]}e{round(math.log10(_UNIT[match[1].upper()]))}") if match else 0.0
    if not flux > 0:
        raise ValueError(
            f"a flare class must be a letter (A, B, C, M, X) and a positive number such as C5.7, got {text!r}"
        )
    return flux


@overload
def flare_class(flux: float) -> str: ...
@overload
def flare_class(flux: NDArray[np.floating]) -> NDArray[np.object_]: ...
def flare_class(flux: ArrayLike) -> Any:
    """Flare class of a peak flux.

    Parameters
    ----------
    flux : float or array_like of float, shape (n,)
        W/m2 in the band 1 to 8 Angstrom.

    Returns
    -------
    str or ndarray of str, shape (n,)
        With one digit after the point, rounded: "C5.7", and "X1.0" for 9.96e-5. Below A1.0 it is "A0.5" and
        the like. NaN gives "".

    Raises
    ------
    ValueError
        If a flux is negative or infinite, or too small for a class (below 5e-10).

    Examples
    --------
    >>> from solartrack.flares import flare_class
    >>> flare_class(3.1e-6)
    'C3.1'
    """
    fluxes = np.asarray(flux, dtype=np.float64)
    if fluxes.ndim == 0:
        return _class(float(fluxes))
    return np.array([_class(one) for one in fluxes.ravel()], dtype=object).reshape(fluxes.shape)


def _class(flux: float) -> str:
    if math.isnan(flux):
        return ""
    tenths = 0
    for letter in "XMCBA" if flux < math.inf else "":
        tenths = round(flux / _UNIT[letter] * 10)
        if round(flux / _UNIT[letter] * 100) >= 100:  # else the letter below has it, up to 9.9
            break
    if tenths < 1:
        raise ValueError(f"the peak flux of a flare must be positive and finite, in W/m2, got {flux}")
    return f"{letter}{tenths / 10:.1f}"


def as_threshold(value: str | float, name: str = "threshold") -> float:
    """A threshold as a peak flux in W/m2, given as a class such as "C1.0" or as the flux itself.

    Parameters
    ----------
    value : str or float
        Class, or W/m2.
    name : str
        What the message calls it.

    Returns
    -------
    float
        W/m2.

    Raises
    ------
    ValueError
        If it is neither; the message begins with `name`.

    Examples
    --------
    >>> from solartrack.flares.classes import as_threshold
    >>> as_threshold("C1.0")
    1e-06
    """
    try:
        flux = _flux(value) if isinstance(value, str) else float(value)
        if not 0 < flux < math.inf:
            raise ValueError(f"{value!r} is not positive and finite")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a flare class such as 'C1.0', or a peak flux in W/m2, got {value!r}"
        ) from error
    return flux


def fluxes_of(table: pd.DataFrame) -> NDArray[np.float64]:
    """Peak fluxes of a table of flares, W/m2: of ``peak_flux``, and of ``flare_class`` where that is missing.

    Parameters
    ----------
    table : pandas.DataFrame, n rows
        Flares.

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    ValueError
        If the table has neither column, or a flux or class is none.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack.flares.classes import fluxes_of
    >>> fluxes_of(pd.DataFrame({"flare_class": ["C5.7", "M1.0", "X2.2"]}))
    array([5.7e-06, 1.0e-05, 2.2e-04])
    """
    if "peak_flux" not in table and "flare_class" not in table:
        raise ValueError(
            "flares must have the column peak_flux (W/m2) or flare_class: peak_flux is missing, and the "
            f"other is, too; got {list(table.columns)}"
        )
    fluxes = np.full(len(table), np.nan)
    if "peak_flux" in table:
        try:
            fluxes = pd.to_numeric(table["peak_flux"]).to_numpy(np.float64, na_value=np.nan).copy()
        except (TypeError, ValueError) as error:
            raise ValueError(f"the column 'peak_flux' of events must hold numbers, W/m2: {error}") from error
    lacking = np.isnan(fluxes)
    if "flare_class" in table and lacking.any():
        fluxes[lacking] = peak_flux(table.loc[lacking, "flare_class"])
    return fluxes


def reaches(flux: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Whether fluxes are at least a threshold, up to the rounding of numbers in 32 bits; NaN is not.

    Parameters
    ----------
    flux : ndarray of float64
        W/m2.
    threshold : float
        W/m2.

    Returns
    -------
    ndarray of bool, of the shape of `flux`

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.flares.classes import reaches
    >>> reaches(np.array([9.9e-6, 1e-5, np.nan]), 1e-5)
    array([False,  True, False])
    """
    return np.asarray(flux >= threshold * (1 - 1e-6))
