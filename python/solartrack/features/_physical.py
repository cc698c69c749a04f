"""Features of a magnetogram in physical units.

They differ from the 29 published features (`solartrack.features.complexity`): units are physical, edges
and missing pixels are left out, and curvature is the geometric one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import Float64Array
from solartrack._show import as_html, as_text
from solartrack.features._gradient import gradient, gradient_statistics
from solartrack.features._magnetogram import read_magnetogram
from solartrack.features._neutral_lines import neutral_lines
from solartrack.features._predictors import log_r, weighted_length
from solartrack.features._scale import positive_quantity

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = ["PHYSICAL_UNITS", "Physical", "physical"]


@dataclass(frozen=True, eq=False, slots=True)
class Physical:
    """Physical features of one magnetogram patch, as astropy quantities.

    Attributes
    ----------
    flux_positive, flux_negative, flux_net, flux_unsigned : Quantity [Mx]
        Field times pixel area, summed over the positive pixels; over the negative ones (a negative
        number); over all pixels; and the sum of its absolute value.
    gradient_mean, gradient_std, gradient_median, gradient_max : Quantity [G / Mm]
        Statistics of the magnitude of the horizontal gradient, by the Sobel operator divided by 8, over
        the pixels with all eight neighbours. NaN if there are none.
    gradient_skewness, gradient_kurtosis : Quantity [1]
        Biased skewness and excess kurtosis of the same; NaN where it is constant.
    nl_length : Quantity [Mm]
        Length of all neutral lines: zero contours of the field averaged over 10 x 10 pixels.
    nl_strong_length : Quantity [Mm]
        Length of the part where the gradient is at least `strong_gradient`. Along neutral lines the
        gradient is that of the averaged field, because that of single pixels is noise in weak fields.
    nl_gradient_weighted_length : Quantity [G]
        Integral of the gradient along all of them.
    nl_curvature_mean, nl_curvature_std, nl_curvature_median, nl_curvature_max : Quantity [1 / Mm]
        Statistics of the unsigned curvature at points one pixel side apart: the angle between the chords
        to the points 5 pixel sides before and after, divided by that distance. Lines shorter than 10
        pixel sides are left out. NaN without a neutral line.
    nl_bending_energy : Quantity [1 / Mm]
        Integral of the squared curvature along all of them.
    nl_strong_curvature_mean, nl_strong_bending_energy : Quantity [1 / Mm]
        The same on the part with a strong gradient.
    haar_energy_l1, haar_energy_l2, haar_energy_l3, haar_energy_l4, haar_energy_l5 : Quantity [G2]
        Sum of the squared orthonormal Haar detail coefficients of a level; 1 is the finest. If the sides
        are even at every level, the five and the energy of the approximation add up to the sum of the
        squared field.
    r_value : Quantity [1]
        See `r_value`: log10 of maxwell.
    wlsg : Quantity [G]
        See `wlsg`.
    nan_pixels : int
        Pixels that were left out: NaN, off the disk, or too close to the limb for a division by mu.

    Notes
    -----
    The length of a neutral line depends on the pixel side, as that of a coastline depends on the scale
    of the map. Compare only patches of one instrument at one resolution.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features
    >>> gauss = np.linspace(-300, 300, 64) * np.ones((64, 1))
    >>> found = features.physical(gauss, pixel=0.36 * u.Mm)
    >>> found.nl_length, found.flux_unsigned
    (<Quantity 22.68 Mm>, <Quantity 8.08901486e+20 Mx>)
    >>> list(found.as_row())[:2]
    ['flux_positive_Mx', 'flux_negative_Mx']
    """

    __repr__ = as_text
    _repr_html_ = as_html

    flux_positive: u.Quantity
    flux_negative: u.Quantity
    flux_net: u.Quantity
    flux_unsigned: u.Quantity
    gradient_mean: u.Quantity
    gradient_std: u.Quantity
    gradient_median: u.Quantity
    gradient_max: u.Quantity
    gradient_skewness: u.Quantity
    gradient_kurtosis: u.Quantity
    nl_length: u.Quantity
    nl_strong_length: u.Quantity
    nl_gradient_weighted_length: u.Quantity
    nl_curvature_mean: u.Quantity
    nl_curvature_std: u.Quantity
    nl_curvature_median: u.Quantity
    nl_curvature_max: u.Quantity
    nl_bending_energy: u.Quantity
    nl_strong_curvature_mean: u.Quantity
    nl_strong_bending_energy: u.Quantity
    haar_energy_l1: u.Quantity
    haar_energy_l2: u.Quantity
    haar_energy_l3: u.Quantity
    haar_energy_l4: u.Quantity
    haar_energy_l5: u.Quantity
    r_value: u.Quantity
    wlsg: u.Quantity
    nan_pixels: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(PHYSICAL_UNITS)

    def as_dict(self) -> dict[str, u.Quantity]:
        """The features by name, with units."""
        return {name: getattr(self, name) for name in PHYSICAL_UNITS}

    def as_row(self) -> dict[str, float]:
        """Plain floats by name and unit, such as ``flux_net_Mx``: a row of a table."""
        return {_column(name): float(getattr(self, name).value) for name in PHYSICAL_UNITS}


def _unit(name: str) -> u.UnitBase:
    if name in ("gradient_skewness", "gradient_kurtosis", "r_value"):
        return u.dimensionless_unscaled
    if name.startswith("haar"):
        return u.G**2
    if "curvature" in name or "bending" in name:
        return u.Mm**-1
    if name.startswith("flux"):
        return u.Mx
    if name in ("wlsg", "nl_gradient_weighted_length"):
        return u.G
    return u.Mm if name.startswith("nl") else u.G / u.Mm


#: Names and units of the physical features, in their order.
PHYSICAL_UNITS: dict[str, u.UnitBase] = {f.name: _unit(f.name) for f in fields(Physical)[:-1]}

_SUFFIX = {u.dimensionless_unscaled: "", u.G / u.Mm: "_G_per_Mm", u.Mm**-1: "_per_Mm", u.G**2: "_G2"}


def _column(name: str) -> str:
    if name == "r_value":
        return "r_value_log10_Mx"
    unit = PHYSICAL_UNITS[name]
    return name + _SUFFIX.get(unit, f"_{unit}")


#: Columns of the table that `Physical.as_row` gives a row of.
PHYSICAL_COLUMNS: tuple[str, ...] = tuple(_column(name) for name in PHYSICAL_UNITS)


def physical(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: WCS | Header | None = None,
    mu: ArrayLike | None = None,
    foreshortening: bool = False,
    radial: bool = False,
    strong_gradient: u.Quantity = 50.0 * u.G / u.Mm,
) -> Physical:
    """Features of a magnetogram patch in physical units.

    Parameters
    ----------
    patch : array_like or Quantity, shape (ny, nx); path of a FITS file; or sunpy map
        Line-of-sight or radial field. Plain numbers and files without BUNIT are gauss. NaN pixels
        are left out of everything.
    pixel : Quantity, scalar or ``(x, y)``, optional
        Side of a pixel: a length, or an angle. In equal-area maps (CEA) that is one on the Sun, in
        degrees; else it is on the sky, at most 60 arcsec, and converted at the Sun's distance in the
        header, or at one astronomical unit. Default: from the world coordinates.
    wcs : astropy.wcs.WCS or astropy.io.fits.Header, optional
        World coordinates, for an array. Default: those of the file or map.
    mu : array_like, scalar or shape (ny, nx), optional
        Cosine of the heliocentric angle, a plain number or per cent; NaN off the disk. Default: from
        the world coordinates.
    foreshortening : bool
        Divide pixel areas by mu. This changes nothing for equal-area maps, whose pixel areas are on
        the Sun already. Lengths are never corrected for projection.
    radial : bool
        Divide the field by mu: the line-of-sight field is assumed to be that of a radial one. Refused
        if the file's name (``*.Br.fits``) or the header calls the field radial, or ``Bp`` or ``Bt``.
    strong_gradient : Quantity
        Least gradient of a strong neutral line. The default is Falconer's 50 G / Mm.

    Returns
    -------
    Physical

    Raises
    ------
    ValueError
        If the patch is not 2-D, is empty, has infinite values, is all NaN, or is not a magnetic field.
    TypeError
        If the pixels are not real numbers.
    GeometryError
        If neither the arguments nor the header give the pixel side, or mu where it is needed.
    ImageError, FileNotFoundError
        If a file cannot be read.

    See Also
    --------
    solartrack.features.complexity : the 29 published features.

    Examples
    --------
    >>> import numpy as np, astropy.units as u
    >>> field = np.tile(np.linspace(-100, 100, 40), (40, 1))
    >>> physical(field, pixel=0.5 * u.Mm).gradient_mean.round(2)
    <Quantity 10.26 G / Mm>
    """
    strong = positive_quantity(strong_gradient, u.G / u.Mm, "strong_gradient")
    b, scale = read_magnetogram(patch, pixel, wcs, mu, foreshortening=foreshortening, radial=radial)
    flux = b * scale.area_cm2
    line = neutral_lines(b, scale)
    is_strong = line.slope >= strong
    k, k_strong = line.curvature, line.curvature[line.curvature_slope >= strong]
    with np.errstate(invalid="ignore"):
        positive, negative = np.nansum(flux[b > 0]), np.nansum(flux[b < 0])
    values = [
        positive,
        negative,
        positive + negative,
        positive - negative,
        *gradient_statistics(gradient(b, scale)),
        line.length.sum(),
        line.length[is_strong].sum(),
        np.nansum(line.slope * line.length),
        *([k.mean(), k.std(), np.median(k), k.max()] if k.size else [np.nan] * 4),
        (k**2 * line.curvature_length).sum(),
        k_strong.mean() if k_strong.size else np.nan,
        (k_strong**2 * line.curvature_length[line.curvature_slope >= strong]).sum(),
        *_haar_energies(b),
        log_r(b, scale, 150.0, 15.0),
        weighted_length(b, scale, line, 150.0),
    ]
    named = zip(PHYSICAL_UNITS.items(), values, strict=True)
    quantities = {name: float(value) * unit for (name, unit), value in named}
    return Physical(**quantities, nan_pixels=int(np.isnan(b).sum()))


def _haar_energies(b: Float64Array) -> list[float]:
    """Energy of the details at five levels; blocks with a missing pixel are left out."""
    energies = []
    for _ in range(5):
        # An odd last row or column is paired with itself, which adds no detail.
        b = np.pad(b, [(0, n % 2) for n in b.shape], mode="edge")
        p, q, r, s = b[::2, ::2], b[::2, 1::2], b[1::2, ::2], b[1::2, 1::2]
        details = ((p - q + r - s) / 2) ** 2 + ((p + q - r - s) / 2) ** 2 + ((p - q - r + s) / 2) ** 2
        energies.append(float(np.nansum(details)))
        b = (p + q + r + s) / 2
    return energies
