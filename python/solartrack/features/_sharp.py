"""The SHARP and SMARP keywords of a patch: what JSOC computes for each region, from its maps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from solartrack import _core
from solartrack._arrays import Float64Array
from solartrack._show import as_html, as_text, rows_html
from solartrack.features._potential import Potential, as_potential, fourier_field, jsoc_field, jsoc_potential
from solartrack.features._predictors import jsoc_log_r, opposite_polarities_meet
from solartrack.features._segments import SEGMENTS
from solartrack.features._sharp_input import (
    Patch,
    PixelScale,
    active_mask,
    jsoc_scale,
    read_segments,
    sharp_mask,
)

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = [
    "SHARP_ERRORS",
    "SHARP_UNITS",
    "SMARP_NAMES",
    "SharpKeywords",
    "SharpMaps",
    "keywords_of",
    "sharp_keywords",
    "smarp_keywords",
]

#: Keywords and their units, in the order of the tables.
SHARP_UNITS: dict[str, u.UnitBase] = {
    "USFLUX": u.Mx,
    "MEANGAM": u.deg,
    "MEANGBT": u.G / u.pix,
    "MEANGBZ": u.G / u.pix,
    "MEANGBH": u.G / u.pix,
    "MEANJZD": u.mA / u.m**2,
    "TOTUSJZ": u.A,
    "MEANALP": u.Mm**-1,
    "MEANJZH": u.G**2 / u.m,
    "TOTUSJH": u.G**2 / u.m,
    "ABSNJZH": u.G**2 / u.m,
    "SAVNCPP": u.A,
    "MEANPOT": u.erg / u.cm**3,
    "TOTPOT": u.erg / u.cm,
    "MEANSHR": u.deg,
    "SHRGT45": u.percent,
    "R_VALUE": u.dimensionless_unscaled,
    "CMASK": u.dimensionless_unscaled,
    "USFLUXL": u.Mx,
    "MEANGBL": u.G / u.pix,
    "CMASKL": u.dimensionless_unscaled,
}

#: JSOC's name of the error of a keyword, where it has one.
SHARP_ERRORS: dict[str, str] = {
    "USFLUX": "ERRVF",
    "MEANGAM": "ERRGAM",
    "MEANGBT": "ERRBT",
    "MEANGBZ": "ERRBZ",
    "MEANGBH": "ERRBH",
    "MEANJZD": "ERRJZ",
    "TOTUSJZ": "ERRUSI",
    "MEANALP": "ERRALP",
    "MEANJZH": "ERRMIH",
    "TOTUSJH": "ERRTUI",
    "ABSNJZH": "ERRTAI",
    "SAVNCPP": "ERRJHT",
    "MEANPOT": "ERRMPOT",
    "TOTPOT": "ERRTPOT",
    "MEANSHR": "ERRMSHA",
}

#: The keywords of the line-of-sight field, which SMARPs have, too.
SMARP_NAMES = ("R_VALUE", "USFLUXL", "MEANGBL", "CMASKL")

_MU0 = 4e-7 * math.pi
_TESLA = 1e-4  # of one gauss
_VECTOR = ("Br", "Bt", "Bp", "bitmap", "conf_disambig")
_ERROR_MAPS = ("Br_err", "Bt_err", "Bp_err")
# Segments that a keyword needs, where they are not those of the vector field with its masks.
_NEEDS: dict[str, tuple[str, ...]] = {
    "USFLUX": ("Br", "bitmap", "conf_disambig"),
    "MEANGBZ": ("Br", "bitmap", "conf_disambig"),
    "CMASK": ("bitmap", "conf_disambig"),
    "R_VALUE": ("magnetogram",),
    "USFLUXL": ("magnetogram", "bitmap"),
    "MEANGBL": ("magnetogram", "bitmap"),
    "CMASKL": ("magnetogram", "bitmap"),
}

_NO_PIXEL = "no pixel of the mask has a value"

# A sum over pixels, its variance, and how many pixels entered it.
_Sum = tuple[float, float, int]


@dataclass(frozen=True, eq=False, slots=True)
class SharpMaps:
    """Maps from which the keywords are made; all have the shape of the patch, (ny, nx).

    Attributes
    ----------
    br : ndarray of float64
        The field upwards, gauss.
    mask : ndarray of bool
        Pixels of the vector keywords.
    jz : ndarray of float64
        Vertical current density, mA / m2; at the edges by one-sided differences of second order.
    shear : ndarray of float64
        Angle between the field and the potential field with the same vertical component, degrees.
    potential_x, potential_y : ndarray of float64
        The potential field to the west and to the north, gauss.
    free_energy : ndarray of float64
        Squared difference of the field and the potential field over 8 pi, erg / cm3.
    inversion_line : ndarray of bool
        Where pixels above 150 G and below -150 G of Br, each dilated by 3 x 3 pixels, meet.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> x = np.linspace(-30.0, 30.0, 61)
    >>> br = 1000 * np.exp(-(x**2 + x[:, None] ** 2) / 200)
    >>> active, sure = np.full(br.shape, 34), np.full(br.shape, 90)
    >>> maps = features.sharp_keywords(br, 0 * br, 0 * br, active, sure, pixel=0.36 * u.Mm, maps=True).maps
    >>> maps
    SharpMaps
      br              (61, 61) float64
      mask            (61, 61) bool
      jz              (61, 61) float64
      shear           (61, 61) float64
      potential_x     (61, 61) float64
      potential_y     (61, 61) float64
      free_energy     (61, 61) float64
      inversion_line  (61, 61) bool
    """

    __repr__ = as_text
    _repr_html_ = as_html

    br: Float64Array
    mask: NDArray[np.bool_]
    jz: Float64Array
    shear: Float64Array
    potential_x: Float64Array
    potential_y: Float64Array
    free_energy: Float64Array
    inversion_line: NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class SharpKeywords:
    """Keywords of a patch, by JSOC's names.

    ``result["USFLUX"]`` is a quantity, ``result.error("USFLUX")`` its error.

    Attributes
    ----------
    values : dict of str to float
        In the units of `SHARP_UNITS`; NaN where `reasons` says why.
    errors : dict of str to float
        For the keywords in `SHARP_ERRORS`, by the names of the keywords; NaN without error maps.
    reasons : dict of str to str
        Why a keyword is NaN.
    pixel : Quantity [Mm / pix]
        Side of a pixel: ``result["MEANGBZ"] / result.pixel`` is in G / Mm.
    maps : SharpMaps or None
        Where they were asked for.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.linspace(-300, 300, 64) * np.ones((64, 1))
    >>> found = features.smarp_keywords(gauss, np.full((64, 64), 33), pixel=0.36 * u.Mm)
    >>> found["USFLUXL"], found["MEANGBL"]
    (<Quantity 8.08901486e+20 Mx>, <Quantity 9.52380952 G / pix>)
    >>> sorted(found.as_row())
    ['CMASKL', 'MEANGBL', 'R_VALUE', 'USFLUXL']
    """

    values: dict[str, float]
    errors: dict[str, float]
    reasons: dict[str, str]
    pixel: u.Quantity
    maps: SharpMaps | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> u.Quantity:
        return self.values[name] * SHARP_UNITS[name]

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = []
        for name, value in self.values.items():
            error = self.errors.get(name, np.nan)
            spread = f" +- {error:.2g}" if np.isfinite(error) else ""
            said = f"{value:.6g}{spread} {SHARP_UNITS[name]}".rstrip()
            rows.append((name, said, self.reasons.get(name, "")))
        return rows

    def __repr__(self) -> str:
        """Return one keyword per line, with its error, its unit, and why it is NaN."""
        width = max(map(len, self.values), default=0)
        lines = [f"  {name:<{width}}  {said}  {reason}".rstrip() for name, said, reason in self._rows()]
        return "\n".join([f"{type(self).__name__}, pixels of {self.pixel:.4g}", *lines])

    def _repr_html_(self) -> str:
        return rows_html(f"{type(self).__name__}, pixels of {self.pixel:.4g}", self._rows())

    def error(self, name: str) -> u.Quantity:
        """Error of a keyword, in its unit; NaN without error maps."""
        return self.errors[name] * SHARP_UNITS[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the keywords."""
        return tuple(self.values)

    def as_dict(self) -> dict[str, u.Quantity]:
        """The keywords by name, with units."""
        return {name: self[name] for name in self.values}

    def as_row(self) -> dict[str, float]:
        """Keywords and errors as plain floats by JSOC's names: a row of a table."""
        return self.values | {SHARP_ERRORS[name]: error for name, error in self.errors.items()}


#: Columns of `SharpKeywords.as_row` of `sharp_keywords`.
SHARP_COLUMNS: tuple[str, ...] = (*SHARP_UNITS, *SHARP_ERRORS.values())


def sharp_keywords(
    br: Any = None,
    bt: Any = None,
    bp: Any = None,
    bitmap: Any = None,
    conf_disambig: Any = None,
    *,
    magnetogram: Any = None,
    br_err: Any = None,
    bt_err: Any = None,
    bp_err: Any = None,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    potential: Potential = "jsoc",
    maps: bool = False,
) -> SharpKeywords:
    """The SHARP keywords of a patch, equal to those that JSOC writes into the headers.

    Parameters
    ----------
    br, bt, bp : array_like or Quantity, shape (ny, nx); path of a FITS file; or sunpy map
        The field upwards, to the south and to the west: the segments Br, Bt and Bp of an equal-area (CEA)
        SHARP. Gauss, unless they have another unit. NaN pixels are left out, and derivatives that
        need them. `br` alone may also be a folder with the segments of one patch and time, or what their file
        names begin with: ``folder/hmi.sharp_cea_720s.377.20110215_020000_TAI``.
    bitmap, conf_disambig : same
        The segments of these names. The mask of the vector keywords is ``bitmap >= 30`` (in the active
        region) and ``conf_disambig >= 70`` (direction of the transverse field reliable).
    magnetogram : same
        The line-of-sight field, for R_VALUE and, with `bitmap`, the keywords that end with L.
    br_err, bt_err, bp_err : same
        Standard errors of the field. Without all three the errors of the keywords are NaN; that of USFLUX
        and MEANGBZ needs the first alone.
    pixel : Quantity [length], optional
        Side of a pixel on the Sun, for arrays without a header; seen from the distance in the header, or
        from one astronomical unit. Default: from the header, as JSOC computes it.
    wcs : astropy.wcs.WCS or astropy.io.fits.Header, optional
        World coordinates, for arrays. Default: those of the first segment.
    potential : {"jsoc", "fourier"}
        What the free energy and the shear angle are measured from. "jsoc" is the field that the keywords have
        been computed with. Its sum is cut off so narrowly that it is nearly minus the gradient of Br
        in pixels: a measure of its own, not a potential field. "fourier" is the potential field of the patch.
    maps : bool
        Also return the maps between.

    Returns
    -------
    SharpKeywords
        All names of `SHARP_UNITS`. A keyword whose segment is missing, or whose mask has no pixel, is NaN,
        with the reason; R_VALUE is 0 without a line; CMASK and CMASKL count pixels.

    Raises
    ------
    ValueError
        If segments have different shapes, patches or times; a field is not 2-D, is empty, has infinite values
        or is not a magnetic field; a folder holds several patches; or `potential` is another.
    TypeError
        If pixels are not real numbers, or masked.
    GeometryError
        If the side of a pixel is unknown (no `pixel`, and a header without CDELT, or without both DSUN_OBS
        and RSUN_OBS), or the maps are not equal-area ones, as full-disk images.
    ImageError, FileNotFoundError
        If a file cannot be read.

    Notes
    -----
    Derivatives are central differences. The outermost pixels have none.

    Errors are those of first-order propagation. The errors of pixels are taken as independent, and what
    neighbouring derivatives have in common is left out of account, as JSOC does; the potential field is taken
    as exact. JSOC writes 0 as the error of MEANSHR; here it is propagated like the others.

    MEANGBT, MEANGBZ and MEANGBH are means over the pixels whose two derivatives do not add up to exactly 0.
    SAVNCPP has JSOC's own scale: multiply it by the square of the pixel's side in arcsec to get the current
    through the surface.

    The window of the "jsoc" potential is one pixel longer to the one side than to the other, so a mirrored
    patch has not exactly the same free energy and shear.

    References
    ----------
    Bobra et al. 2014, Solar Physics 289, 3549. Sakurai 1982, Solar Physics 76, 301 (potential field).
    Schrijver 2007, ApJ 655, L117 (R_VALUE).

    Examples
    --------
    >>> import numpy as np, astropy.units as u
    >>> x = np.linspace(-30.0, 30.0, 61)
    >>> br = 1000 * np.exp(-(x**2 + x[:, None] ** 2) / 200)
    >>> active, sure = np.full(br.shape, 34), np.full(br.shape, 90)
    >>> found = sharp_keywords(br, 0 * br, 0 * br, active, sure, pixel=0.36 * u.Mm)
    >>> found["TOTUSJZ"]
    <Quantity 0. A>
    """
    as_potential(potential)
    given = (br, bt, bp, bitmap, conf_disambig, magnetogram, br_err, bt_err, bp_err)
    patch = read_segments(dict(zip(SEGMENTS, given, strict=True)))
    return keywords_of(patch, tuple(SHARP_UNITS), pixel, wcs, potential, maps)


def smarp_keywords(
    magnetogram: Any = None,
    bitmap: Any = None,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
) -> SharpKeywords:
    """The keywords of the line-of-sight field that SMARPs have, and SHARPs since.

    Parameters
    ----------
    magnetogram : array_like or Quantity, shape (ny, nx); path of a FITS file; or sunpy map
        Line-of-sight field of an equal-area (CEA) map. Alone it may also be a folder or the beginning of
        file names, as for `sharp_keywords`.
    bitmap : same
        The segment of that name. The mask is ``bitmap >= 36`` where the header says that the instrument is
        MDI, else ``bitmap >= 30``: HMI's bitmaps end at 34.
    pixel, wcs
        As for `sharp_keywords`.

    Returns
    -------
    SharpKeywords
        R_VALUE (see `r_value`, convention "jsoc"), USFLUXL, MEANGBL (a mean over all pixels of the mask) and
        CMASKL.

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `sharp_keywords`.

    References
    ----------
    Bobra et al. 2021, ApJS 256, 26.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.tile(np.arange(-32.0, 32.0), (64, 1))
    >>> features.smarp_keywords(gauss, np.full((64, 64), 33), pixel=0.36 * u.Mm)
    SharpKeywords, pixels of 0.36 Mm / pix
      R_VALUE  0
      USFLUXL  8.49347e+19 Mx
      MEANGBL  1 G / pix
      CMASKL   4096
    """
    patch = read_segments({"magnetogram": magnetogram, "bitmap": bitmap})
    return keywords_of(patch, SMARP_NAMES, pixel, wcs)


def keywords_of(
    patch: Patch,
    names: tuple[str, ...] = tuple(SHARP_UNITS),
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    potential: Potential = "jsoc",
    maps: bool = False,
) -> SharpKeywords:
    """Some keywords of a patch that has been read; the rest as for `sharp_keywords`."""
    header = patch.header if wcs is None else (wcs.to_header() if hasattr(wcs, "to_header") else wcs)
    scale = jsoc_scale(header, pixel)
    table = _Table(scale)
    planes = patch.planes
    found = {
        name: [segment for segment in _NEEDS.get(name, _VECTOR) if segment not in planes] for name in names
    }
    for name, missing in found.items():
        if missing:
            table.leave(name, f"the segment {missing[0]} is missing")
    if not found.get("USFLUX", [""]):
        mask = sharp_mask(planes)
        _vertical(table, planes, mask)
        if not found["MEANJZD"]:
            _vector(table, planes, mask, potential)
    elif not found.get("CMASK", [""]):  # without Br the mask can be counted all the same
        table.values["CMASK"] = float(np.count_nonzero(sharp_mask(planes)))
    if not found["R_VALUE"]:
        table.values["R_VALUE"] = jsoc_log_r(planes["magnetogram"], scale.arcsec)
        if not found["USFLUXL"]:
            _line_of_sight(table, planes, active_mask(planes, header))
    made = None
    if maps:
        if found["MEANJZD"]:
            raise ValueError(f"maps need the segments {', '.join(_VECTOR)}; {found['MEANJZD'][0]} is missing")
        made = _maps(planes, mask, potential, scale)
    side = scale.metres * 1e-6 * u.Mm / u.pix
    values = {name: table.values[name] for name in names}
    errors = {name: table.errors.get(name, np.nan) for name in names if name in SHARP_ERRORS}
    return SharpKeywords(values, errors, table.reasons, side, made)


class _Table:
    """Keywords as they come: values, errors, and the reasons why some are NaN."""

    def __init__(self, scale: PixelScale) -> None:
        self.scale = scale
        self.values: dict[str, float] = {}
        self.errors: dict[str, float] = {}
        self.reasons: dict[str, str] = {}

    def leave(self, name: str, reason: str) -> None:
        self.values[name] = self.errors[name] = np.nan
        self.reasons[name] = reason

    def put(self, name: str, of: _Sum, factor: float = 1.0) -> None:
        """A keyword that is `factor` times a value, with its variance and the pixels that have made it."""
        value, variance, pixels = of
        if not pixels:
            self.leave(name, _NO_PIXEL)
            return
        self.values[name] = factor * value
        self.errors[name] = factor * math.sqrt(variance)

    def mean(self, name: str, of: _Sum, factor: float = 1.0) -> None:
        total, variance, pixels = of
        n = max(pixels, 1)
        self.put(name, (total / n, variance / n**2, pixels), factor)


def _vertical(table: _Table, planes: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> None:
    """Keywords of Br alone."""
    magnitude, gradient = _core.field_sums(planes["Br"], planes.get("Br_err"), mask, True)
    table.put("USFLUX", magnitude, table.scale.area_cm2)
    table.mean("MEANGBZ", gradient)
    table.values["CMASK"] = float(magnitude[2])


def _line_of_sight(table: _Table, planes: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> None:
    magnitude, gradient = _core.field_sums(planes["magnetogram"], None, mask, False)
    table.put("USFLUXL", magnitude, table.scale.area_cm2)
    table.mean("MEANGBL", gradient)
    table.values["CMASKL"] = float(magnitude[2])


def _vector(
    table: _Table,
    planes: dict[str, NDArray[Any]],
    mask: NDArray[np.bool_],
    potential: Potential,
) -> None:
    """Keywords of the whole vector."""
    br = planes["Br"]
    errors = None
    if all(name in planes for name in _ERROR_MAPS):
        errors = planes["Bp_err"], planes["Bt_err"], planes["Br_err"]
    of = jsoc_potential(br) if potential == "jsoc" else fourier_field(br, 1.0, 1.0)
    sums = _core.vector_sums(planes["Bp"], planes["Bt"], br, of, errors, mask)
    side, arcsec = table.scale
    current, helicity = sums["current"], sums["helicity"]
    to_ampere = _TESLA / _MU0 * side  # of a current per pixel's side, through a pixel
    table.mean("MEANGAM", sums["inclination"], math.degrees(1.0))
    table.mean("MEANGBT", sums["total_gradient"])
    table.mean("MEANGBH", sums["horizontal_gradient"])
    table.mean("MEANJZD", current, 1e3 * to_ampere / side**2)
    table.put("TOTUSJZ", (sums["unsigned_current"], *current[1:]), to_ampere)
    vertical = sums["vertical_square"]
    if vertical > 0:
        alpha = helicity[0] / vertical
        # d alpha = (Bz dJz + (Jz - 2 alpha Bz) dBz) / sum(Bz^2) at each pixel.
        of_jz, of_bz = sums["variance_of_current"], sums["variance_jz_jz"]
        of_bz += -4 * alpha * sums["variance_bz_jz"] + 4 * alpha**2 * sums["variance_bz_bz"]
        table.put("MEANALP", (alpha, (of_jz + of_bz) / vertical**2, helicity[2]), 1e6 / side)
    else:
        table.leave("MEANALP", "Br is 0 at all pixels of the mask" if helicity[2] else _NO_PIXEL)
    table.mean("MEANJZH", helicity, 1 / side)
    table.put("TOTUSJH", (sums["unsigned_helicity"], *helicity[1:]), 1 / side)
    table.put("ABSNJZH", (abs(helicity[0]), *helicity[1:]), 1 / side)
    polarities = abs(sums["current_up"]) + abs(sums["current_down"])
    table.put("SAVNCPP", (polarities, sums["variance_up_down"], helicity[2]), to_ampere / arcsec**2)
    energy = sums["free_energy"]
    table.mean("MEANPOT", energy)
    table.put("TOTPOT", energy, table.scale.area_cm2)
    shear = sums["shear"]
    table.mean("MEANSHR", shear, math.degrees(1.0))
    table.mean("SHRGT45", (sums["sheared"], 0.0, shear[2]), 100.0)


def _maps(
    planes: dict[str, NDArray[Any]],
    mask: NDArray[np.bool_],
    potential: Potential,
    scale: PixelScale,
) -> SharpMaps:
    x, y, z = planes["Bp"], -planes["Bt"], planes["Br"]
    px, py = jsoc_field(z) if potential == "jsoc" else fourier_field(z, 1.0, 1.0)
    if min(z.shape) < 3:
        jz = np.full(z.shape, np.nan)
    else:
        jz = np.gradient(y, axis=1, edge_order=2) - np.gradient(x, axis=0, edge_order=2)
    # The angle from |B x P| and B . P; P has B's own z.
    cross = np.sqrt((z * (y - py)) ** 2 + (z * (px - x)) ** 2 + (x * py - y * px) ** 2)
    return SharpMaps(
        br=z,
        mask=mask,
        jz=jz * (1e3 * _TESLA / _MU0 / scale.metres),
        shear=np.degrees(np.arctan2(cross, x * px + y * py + z * z)),
        potential_x=px,
        potential_y=py,
        free_energy=((x - px) ** 2 + (y - py) ** 2) / (8 * np.pi),
        inversion_line=opposite_polarities_meet(np.nan_to_num(z), 150.0),
    )
