"""Solar images from files: FITS, PNG, JPG and Helioviewer's JPEG 2000 (JP2).

Row 0 of every array is the first row in the file. In FITS that is the bottom row
(south, when north is up); in PNG, JPG and JP2 it is the top row. Nothing is flipped.
The returned header always describes the returned array: ``astropy.wcs.WCS(header)``
takes its columns and rows, whatever the format, window and reduction.
"""

from solartrack.images.display import display_values
from solartrack.images.find import find_images, none_found, time_from_name
from solartrack.images.reader import (
    ImageHeader,
    SolarImage,
    as_image,
    read,
    read_header,
    read_patch,
    read_pixels,
    row0,
)

__all__ = [
    "ImageHeader",
    "SolarImage",
    "as_image",
    "display_values",
    "find_images",
    "none_found",
    "read",
    "read_header",
    "read_patch",
    "read_pixels",
    "row0",
    "time_from_name",
]
