"""What an observer would write about a simulated region in a Solar Region Summary."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack.simulate.regions import Fragments

__all__ = ["describe"]

Floats = NDArray[np.float64]

# Where the field is stronger than this there is a spot, penumbra included.
_SPOT_GAUSS = 900.0
# Millionths of the hemisphere in a square degree of arc on the surface.
_MILLIONTHS_PER_DEG2 = 1e6 * np.radians(1.0) ** 2 / (2.0 * np.pi)
# Smaller spots have no penumbra, and up to twice this size a rudimentary one.
_PENUMBRA_MILLIONTHS = 25.0
# Spots that are wider than 2.5 degrees count as large (McIntosh 1990, Sol. Phys. 125, 251).
_LARGE_MILLIONTHS = _MILLIONTHS_PER_DEG2 * np.pi * 1.25**2
# Umbrae of both polarities within this distance share a penumbra: a delta configuration.
_DELTA_DEG = 2.0


def describe(f: Fragments, field: Floats, side_deg: float) -> dict[str, Any]:
    """Area, McIntosh class, extent, number of spots and magnetic class of a region.

    Parameters
    ----------
    f : Fragments
        Its flux concentrations; those in spots are counted.
    field : ndarray, shape (n, n)
        Gauss, without noise, row 0 in the south; strong enough to be a spot or not.
    side_deg : float
        Of the field, degrees.

    Returns
    -------
    dict
        ``section`` ("I", or "IA" of a region without spots, which has no classes), ``area`` (millionths of
        the hemisphere), ``mcintosh``, ``extent`` (degrees), ``n_spots`` and ``mag_class``, as in
        `solartrack.flares.regions.SRS_COLUMNS`.
    """
    cells = (side_deg / len(field)) ** 2 * _MILLIONTHS_PER_DEG2
    x, y, local = f.x_deg, f.y_deg, _at(field, f, side_deg)
    spot = (np.abs(local) > _SPOT_GAUSS) & (np.sign(local) == np.sign(f.peak_gauss))
    area = float((np.abs(field) > _SPOT_GAUSS).sum() * cells)
    if not spot.any() or area < 1.0:
        return {
            "section": "IA", "area": None, "mcintosh": "", "extent": None, "n_spots": None, "mag_class": ""
        }  # fmt: skip
    sign = np.sign(local)
    # Each concentration's own share of the spots, by the area of its core.
    share = np.where(spot, f.sigma_deg**2 * np.log(np.maximum(np.abs(f.peak_gauss) / _SPOT_GAUSS, 1.05)), 0.0)
    of_spot = area * share / share.sum()
    extent = float(np.ptp(x[spot])) if spot.sum() > 1 else float(2 * f.sigma_deg[spot][0])
    return {
        "section": "I",
        "area": max(10, 10 * round(area / 10)),  # as the reports round it
        "mcintosh": _mcintosh(x, sign, spot, of_spot, extent),
        "extent": max(1, round(extent)),
        "n_spots": int(spot.sum()),
        "mag_class": _magnetic(x, y, sign, spot),
    }


def _at(field: Floats, f: Fragments, side_deg: float) -> Floats:
    """Field where the concentrations are; 0 outside the patch."""
    n = len(field)
    column, row = (np.floor((at / side_deg + 0.5) * n).astype(int) for at in (f.x_deg, f.y_deg))
    inside = (column >= 0) & (column < n) & (row >= 0) & (row < n)
    values: Floats = np.where(inside, field[np.clip(row, 0, n - 1), np.clip(column, 0, n - 1)], 0.0)
    return values


def _mcintosh(x: Floats, sign: Floats, spot: Any, of_spot: Floats, extent: float) -> str:
    """The three letters (McIntosh 1990)."""
    largest = {s: float(of_spot[spot & (sign == s)].max(initial=0.0)) for s in (-1.0, 1.0)}
    has_penumbra = [s for s, size in largest.items() if size > _PENUMBRA_MILLIONTHS]
    if min(largest.values()) == 0.0:  # of one polarity
        zurich = "H" if has_penumbra else "A"
    elif not has_penumbra:
        zurich = "B"
    elif len(has_penumbra) == 1:
        zurich = "C"
    else:
        zurich = "D" if extent <= 10.0 else "E" if extent <= 15.0 else "F"
    size = max(largest.values())
    if zurich in "AB":
        penumbra = "x"
    elif size <= 2.0 * _PENUMBRA_MILLIONTHS:
        penumbra = "r"
    else:
        # A spot with others close to it is not symmetric.
        main = int(np.argmax(np.where(spot, of_spot, 0.0)))
        crowded = (spot & (np.abs(x - x[main]) < 1.0)).sum() > 2
        penumbra = ("ak" if crowded else "sh")[int(size > _LARGE_MILLIONTHS)]
    if zurich in "AH":
        return f"{zurich}{penumbra}x"
    west, east = x[spot].max(), x[spot].min()
    between = spot & (x > east + 0.3 * (west - east)) & (x < west - 0.3 * (west - east))
    compactness = "o" if between.sum() < 2 else "i"
    # "c" has a mature spot between the two, so no group of rudimentary ones has it.
    if zurich in "DEF" and penumbra != "r" and of_spot[between].max(initial=0.0) > _PENUMBRA_MILLIONTHS:
        compactness = "c"
    return f"{zurich}{penumbra}{compactness}"


def _magnetic(x: Floats, y: Floats, sign: Floats, spot: Any) -> str:
    """The Mount Wilson class: how the polarities of the spots lie."""
    west = {s: x[spot & (sign == s)] for s in (-1.0, 1.0)}
    if not all(map(len, west.values())):
        return "Alpha"
    leading = 1.0 if west[1.0].mean() > west[-1.0].mean() else -1.0
    mixed = west[leading].min() < west[-leading].max()  # no line parts the two
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    close = (apart < _DELTA_DEG) & (sign[:, None] * sign < 0) & spot[:, None] & spot
    return "Beta" + ("-Gamma" if mixed else "") + ("-Delta" if close.any() else "")
