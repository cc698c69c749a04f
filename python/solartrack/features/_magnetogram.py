"""A magnetogram patch as every function in physical units needs it: gauss, with its scale."""

from __future__ import annotations

import os
import re
from os import PathLike
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from numpy.typing import ArrayLike

from solartrack import images
from solartrack._arrays import Float64Array
from solartrack.features._scale import CM2_PER_MM2, Scale, is_equal_area, mu_of, pixel_sides
from solartrack.features._segments import refuse_others
from solartrack.features.units import in_gauss, pixel_unit

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.wcs import WCS

__all__ = ["field_of", "read_field", "read_magnetogram"]

# Closer to the limb than this (84 degrees) a division by mu only amplifies noise.
_LEAST_MU = 0.1
# Names of fields that are radial, or components of a vector, in JSOC's files; a word for itself.
_VECTOR_COMPONENT = re.compile(r"(?<![A-Za-z0-9])(Br|Mr|Bp|Bt|radial)(?![A-Za-z0-9])", re.IGNORECASE)


def read_field(patch: Any) -> tuple[Float64Array, Header]:
    """Field of a patch in gauss, NaN where missing, and its header.

    Parameters
    ----------
    patch : array_like or Quantity, shape (ny, nx); path of a FITS file; or sunpy map

    Raises
    ------
    ValueError
        If the patch is not 2-D, empty, infinite somewhere or NaN everywhere, or not a magnetic field, by its
        unit, its header or the name of its file.
    """
    image = images.as_image(patch)
    refuse_others(patch, image.header)
    b = np.array(field_of(image, "patch", patch))  # the caller's array stays as it is
    if np.isnan(b).all():
        raise ValueError(f"all {b.size} pixels of the patch are NaN")
    return b, image.header


def field_of(image: images.SolarImage, name: str, source: Any) -> Float64Array:
    """Field of an image in gauss, NaN where missing, in C order; `source` is what it was read from.

    Raises
    ------
    ValueError
        If it is not 2-D, empty, infinite somewhere, or not a magnetic field.
    """
    from_file = isinstance(source, (str, PathLike))
    if from_file and pixel_unit(image, name) is None and images.row0(source) == "top":
        raise ValueError(
            f"{source} is a picture, whose pixels are counts; subtract its zero level and pass the array "
            "times the gauss of one count"
        )
    pixels, gauss = in_gauss(image, name)
    b = np.ascontiguousarray(pixels, np.float64)
    if gauss != 1.0:
        b = b * gauss
    if np.isinf(b).any():
        raise ValueError(f"{name} contains infinite values; replace them with NaN, which is left out")
    return b


def read_magnetogram(
    patch: Any,
    pixel: u.Quantity | None,
    wcs: WCS | Header | None,
    mu: ArrayLike | None = None,
    *,
    foreshortening: bool = False,
    radial: bool = False,
) -> tuple[Float64Array, Scale]:
    """Field of a patch in gauss, NaN where missing, and its scale; arguments as for `physical`."""
    b, header = read_field(patch)
    if radial:
        _refuse_vector_component(patch, header)
    if wcs is not None:
        header = wcs.to_header() if hasattr(wcs, "to_header") else wcs
        if radial:
            _refuse_vector_component(None, header)
    side = pixel_sides(pixel, header)
    area: Any = side[0] * side[1] * CM2_PER_MM2
    if radial or foreshortening:
        cosine = mu_of(mu, header, b.shape)
        cosine = np.where(cosine >= _LEAST_MU, cosine, np.nan)
        b = np.where(np.isnan(cosine), np.nan, b)
        if np.isnan(b).all():
            raise ValueError(f"no pixel of the patch has a field and mu of at least {_LEAST_MU}")
        if radial:
            b = b / cosine
        if foreshortening and not is_equal_area(header):
            area = area / cosine
    return b, Scale(float(side[0]), float(side[1]), area)


def _refuse_vector_component(patch: Any, header: Header) -> None:
    """Refuse to divide by mu what the file's name or the header calls a component of the vector field."""
    said = {key: str(header.get(key, "")) for key in ("CONTENT", "SEGMENT", "EXTNAME")}
    if isinstance(patch, (str, PathLike)):
        said["file name"] = os.path.basename(os.fsdecode(patch))
    for source, text in said.items():
        if match := _VECTOR_COMPONENT.search(text):
            raise ValueError(
                f"radial=True is for line-of-sight fields, but the {source} {text!r} says {match[0]}; leave "
                "it out, or the field would be divided by mu a second time. If the field is that along the "
                "line of sight, pass the array, or correct the header"
            )
