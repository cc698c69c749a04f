"""The record of one image, and the pixels that it gives access to."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from solartrack import images as image_files
from solartrack._arrays import as_pixels
from solartrack._show import as_html, as_text
from solartrack.coordinates import ImageGeometry
from solartrack.coordinates.header import wavelength_angstrom
from solartrack.errors import GeometryError, ImageError
from solartrack.sequence.times import mjd_of, utc_of

__all__ = ["NO_TIME", "Frame", "ImagePart", "Window", "frame_of_image", "read_frame"]

#: Columns x0 to x1 and rows y0 to y1, both exclusive.
Window = tuple[int, int, int, int]

NO_TIME = "the image has no time; give times or a cadence"
_NO_GEOMETRY = "the image has no header that tells where the Sun is; give the disk"


class ImagePart(NamedTuple):
    """Part of an image, or all of it.

    Attributes
    ----------
    pixels : ndarray, shape (ny, nx)
    x0, y0 : int
        Column and row of the image that the first of `pixels` is.

    Examples
    --------
    >>> from solartrack import sequence, simulate
    >>> table = simulate.write("sun", simulate.sequence(1, 1, size=64))
    >>> part = sequence.read_frame("sun/frame_0000.fits").read()
    >>> part.pixels.shape, part.x0, part.y0
    ((64, 64), 0, 0)
    """

    pixels: NDArray[Any]
    x0: int = 0
    y0: int = 0


@dataclass(frozen=True, eq=False)
class Frame:
    """What is known of an image beside its pixels.

    Attributes
    ----------
    number : int
        Frame number.
    file : str
        Its path, "" for an array.
    time : datetime or None
        UTC, without a time zone; None if unknown.
    mjd_tai : float
        The same as Modified Julian Date, TAI: the difference of two is the time between the images in
        days. NaN if unknown. Where only a cadence is known `time` is None, and this counts from the
        first image.
    geometry : ImageGeometry or None
        Where the Sun is in it.
    shape : tuple of int
        Rows and columns; (0, 0) if unknown.
    trouble : str
        Why its pixels cannot be used, "" if they can.
    no_geometry, no_time : str
        Why there is no geometry or no time, "" if there is.
    wavelength : float or None
        By the header, angstrom; None if that does not say.
    pixels : ndarray, shape (ny, nx), or None
        Of an image that is in memory.

    Examples
    --------
    >>> from solartrack import sequence, simulate
    >>> table = simulate.write("sun", simulate.sequence(1, 1, size=64))
    >>> frame = sequence.read_frame("sun/frame_0000.fits")
    >>> frame.time, frame.shape, frame.wavelength, frame.trouble
    (datetime.datetime(2014, 2, 1, 0, 0), (64, 64), 171.0, '')
    >>> frame.read().pixels.shape
    (64, 64)
    """

    __repr__ = as_text
    _repr_html_ = as_html

    number: int
    file: str = ""
    time: datetime | None = None
    mjd_tai: float = np.nan
    geometry: ImageGeometry | None = None
    shape: tuple[int, int] = (0, 0)
    trouble: str = ""
    no_geometry: str = ""
    no_time: str = ""
    wavelength: float | None = None
    pixels: NDArray[Any] | None = field(default=None, repr=False)

    def read(self, window: Window | None = None) -> ImagePart:
        """Read the pixels, or those in a window.

        Parameters
        ----------
        window : (int, int, int, int), optional
            ``(x0, y0, x1, y1)`` inside the image. Only this is decoded, where the format allows.

        Returns
        -------
        ImagePart

        Raises
        ------
        ImageError, FileNotFoundError
            As `solartrack.images.read`.
        """
        x0, y0 = (0, 0) if window is None else window[:2]
        if self.pixels is None:
            return ImagePart(as_pixels(image_files.read(self.file, window=window).array), x0, y0)
        if window is None:
            return ImagePart(self.pixels)
        return ImagePart(self.pixels[y0 : window[3], x0 : window[2]], x0, y0)


def read_frame(path: str | os.PathLike[str], number: int = 0, *, geometry: bool = True) -> Frame:
    """Read what an image's header tells; if it cannot be read, `Frame.trouble` says why.

    Parameters
    ----------
    path : path
        Of any format that `solartrack.images` reads.
    number : int
        Frame number to give it.
    geometry : bool
        Whether to look for the geometry, too.

    Returns
    -------
    Frame

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import sequence
    >>> written = Path("broken.fits").write_text("not an image")
    >>> sequence.read_frame("broken.fits").trouble
    "broken.fits: starts with b'not an image', which is none of FITS, PNG, JPG, JP2"
    """
    file = os.fspath(path)
    try:
        header, time = image_files.read_header(file)
        shape = int(header["NAXIS2"]), int(header["NAXIS1"])
    except (ImageError, OSError, KeyError, TypeError, ValueError) as error:
        return Frame(number, file, trouble=str(error))
    place, why = _geometry(header) if geometry else (None, "")
    known = Frame(number, file, utc_of(time), mjd_of(time), place, shape, no_geometry=why)
    return _known(replace(known, wavelength=wavelength_angstrom(header)))


def frame_of_image(item: Any, number: int, *, geometry: bool) -> Frame:
    """What is known of an array, a `SolarImage` or a sunpy Map."""
    if hasattr(item, "fits_header"):  # a sunpy Map, recognised without importing sunpy
        item = image_files.as_image(item)
    array, header, time = item if isinstance(item, tuple) and len(item) == 3 else (item, None, None)
    try:
        array = as_pixels(array)
    except (TypeError, ValueError) as error:
        return Frame(number, "", utc_of(time), mjd_of(time), trouble=str(error))
    place, why, wavelength = None, _NO_GEOMETRY, None
    if header is not None:
        wavelength = wavelength_angstrom(header)
        if geometry:
            place, why = _geometry(header)
    shape = array.shape[0], array.shape[1]
    known = Frame(number, "", utc_of(time), mjd_of(time), place, shape, no_geometry=why, pixels=array)
    return _known(replace(known, wavelength=wavelength))


def _known(frame: Frame) -> Frame:
    """Say why there is no time, if there is none."""
    return frame if np.isfinite(frame.mjd_tai) else replace(frame, no_time=NO_TIME)


def _geometry(header: Header) -> tuple[ImageGeometry | None, str]:
    """Where the Sun is, or why that is not known."""
    if "CTYPE1" not in header:
        return None, _NO_GEOMETRY
    try:
        return ImageGeometry.from_header(header), ""
    except (GeometryError, ImportError) as error:  # without sunpy a missing B0 stays missing
        return None, str(error)
