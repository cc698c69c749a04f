"""Pixels, helioprojective and heliographic coordinates, and where rotation takes a box.

Three coordinate systems (Thompson 2006, A&A 449, 791):

pixel
    ``(x, y)`` in pixel-edge coordinates of the array as stored: the first
    stored pixel covers 0 to 1 in both, so a FITS pixel number is ``x + 0.5``.
helioprojective
    ``(tx, ty)`` in arcsec seen by the observer, west and solar north positive.
heliographic (Stonyhurst)
    ``(lon, lat)`` in degrees on the photosphere, west and north positive;
    longitude 0 is the meridian that faces the Earth.

All functions broadcast, and take and return plain floats with the unit in the
name: they run once per image and tracker. The formulas are exact (perspective from the
observer's distance, gnomonic projection), not the small-angle ones; tests
compare them with sunpy. For single coordinates with units use sunpy itself, or
`solartrack.boxes.to_skycoord`.

`header` reads what FITS and JP2 headers say, `geometry` holds `ImageGeometry`, `rotation` moves boxes
and rectangles with the Sun, `rectangles` converts between heliographic rectangles and boxes.
"""

from solartrack.coordinates.geometry import ImageGeometry, solar_b0_deg
from solartrack.coordinates.header import AU_M, RSUN_M
from solartrack.coordinates.rectangles import (
    fit_rectangles,
    ordered,
    rectangle_jacobians,
    rectangles_to_boxes,
    visible_parts,
)
from solartrack.coordinates.rotation import (
    DEFAULT_LAW,
    EARTH_DEG_DAY,
    LAWS,
    RotatedBox,
    RotationLaw,
    rotate_box,
    rotate_rectangles,
    rotation_law,
    rotation_rate,
)

__all__ = [
    "AU_M",
    "DEFAULT_LAW",
    "EARTH_DEG_DAY",
    "LAWS",
    "RSUN_M",
    "ImageGeometry",
    "RotatedBox",
    "RotationLaw",
    "fit_rectangles",
    "ordered",
    "rectangle_jacobians",
    "rectangles_to_boxes",
    "rotate_box",
    "rotate_rectangles",
    "rotation_law",
    "rotation_rate",
    "solar_b0_deg",
    "visible_parts",
]
