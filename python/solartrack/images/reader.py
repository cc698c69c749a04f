"""Reading an image of any format, told from the file's content."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray

from solartrack._show import as_html, as_text
from solartrack.coordinates.header import time_of
from solartrack.errors import GeometryError, ImageError, ImageWarning
from solartrack.images.cut import Cut
from solartrack.images.find import time_from_name
from solartrack.images.fits import read_fits, read_fits_pixels
from solartrack.images.jp2 import read_jp2
from solartrack.images.pictures import read_picture

__all__ = [
    "ImageHeader",
    "SolarImage",
    "as_image",
    "read",
    "read_header",
    "read_patch",
    "read_pixels",
    "row0",
]

# Reads a part of a file, or only its header if the part is None.
_Reader = Callable[[Path, Cut | None], tuple[NDArray[Any] | None, fits.Header]]


class SolarImage(NamedTuple):
    """An image with what its file says about it.

    Attributes
    ----------
    array : ndarray, shape (ny, nx)
        Pixels in native byte order; row 0 is the file's first row.
    header : astropy.io.fits.Header
        Describes `array`: ``NAXISn``, the WCS if the file has one, and the file's
        other keywords. Keywords of the stored form are left out (``BITPIX``,
        ``BSCALE``, ``BLANK``, checksums, ...).
    time : astropy.time.Time or None
        When the image was taken, UTC.

    Examples
    --------
    >>> from solartrack import images, simulate
    >>> table = simulate.write("sun", simulate.sequence(1, 1, size=64))
    >>> image = images.read("sun/frame_0000.fits")
    >>> image.array.shape, image.time.isot
    ((64, 64), '2014-02-01T00:00:00.000')
    """

    array: NDArray[Any]
    header: fits.Header
    time: Time | None

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


class ImageHeader(NamedTuple):
    """What an image file says about its image.

    Attributes
    ----------
    header : astropy.io.fits.Header
        As in `SolarImage`, of the whole image.
    time : astropy.time.Time or None
        When the image was taken, UTC.

    Examples
    --------
    >>> from solartrack import images, simulate
    >>> table = simulate.write("sun", simulate.sequence(1, 1, size=64))
    >>> read = images.read_header("sun/frame_0000.fits")
    >>> read.time.isot, read.header["NAXIS1"], read.header["CUNIT1"]
    ('2014-02-01T00:00:00.000', 64, 'arcsec')
    """

    header: fits.Header
    time: Time | None

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def read(
    path: str | PathLike[str], *, window: tuple[int, int, int, int] | None = None, reduce: int = 1
) -> SolarImage:
    """Read an image; the format is told from the file's content, not its name.

    Parameters
    ----------
    path : path-like
        FITS (plain, gzipped, Rice-compressed): the first HDU that holds a 2-D image, or a cube of one
        plane, with BZERO and BSCALE applied and BLANK pixels as NaN. PNG and JPG: grey at 8
        or 16 bits as it is; 8-bit colour and palette images as ITU-R 601 luminance,
        transparency ignored; 16-bit colour or alpha is refused. JP2: grey; an embedded palette is ignored.
    window : (int, int, int, int), optional
        Read only columns x0 to x1 and rows y0 to y1 (both exclusive) of
        ``(x0, y0, x1, y1)``, full-resolution pixels of the stored array.
        x0 and y0 must be multiples of `reduce`.
    reduce : int
        A power of two; the result has ``ceil(n / reduce)`` pixels along each axis.
        For JP2 it is the decoder's own low resolution, whose pixel i is centred on
        full-resolution pixel ``i * reduce``. For the other formats it is the mean
        over blocks (taken in float64, given in the array's dtype; NaN if any pixel of
        the block is; blocks at the far edges may be smaller). The header accounts for
        the difference.

    Returns
    -------
    SolarImage

    Raises
    ------
    ImageError
        If the file is no readable 2-D image, is truncated, or `window` reaches
        outside the image. A damaged byte inside compressed pixels can go unnoticed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If `window` is empty, inverted or not a multiple of `reduce`, or `reduce` is not
        a power of two.

    Warns
    -----
    ImageWarning
        If header cards had to be dropped: FITS cards that do not parse (such as
        ``R_VALUE = nan``), or the WCS of a JP2 whose header is for another image size, cannot be read or
        has cards of the WCS that hold no number. NaN entries of a JP2's header, which FITS cannot hold, are
        dropped without a warning. Cards that say where the Sun is are kept as text instead of dropped
        (``CROTA2 = 'nan'``), so that nothing takes them as absent. Also if ``TIMESYS`` names a time
        scale that has no relation to UTC, such as LOCAL; the image then has no time.

    Notes
    -----
    The time is the first of DATE-AVG, T_OBS, DATE-OBS, DATE_OBS, DATE-BEG and T_REC
    that can be read (so the middle of the exposure where the file knows it), else that
    in the file name (see `time_from_name`).

    Several threads may read at once.

    Examples
    --------
    >>> from solartrack import images, simulate
    >>> table = simulate.write("sun", simulate.sequence(1, 1, size=64))
    >>> images.read("sun/frame_0000.fits").array.shape
    (64, 64)
    >>> images.read("sun/frame_0000.fits", window=(0, 32, 64, 64), reduce=4).array.shape
    (8, 16)
    """
    cut = Cut.from_arguments(window, reduce)
    path = Path(path)
    with _reading(path) as reader:
        array, header = reader(path, cut)
        assert array is not None
        return SolarImage(array, header, _time(header, path))


def as_image(source: Any) -> SolarImage:
    """An image from whatever holds one: a file, a sunpy map, or an array.

    Parameters
    ----------
    source : path-like, sunpy.map.GenericMap, SolarImage or array_like
        A path is read with `read`; masked pixels of a map become NaN.

    Returns
    -------
    SolarImage
        An array comes back as it is (a quantity keeps its unit), with an empty header and no time.

    Raises
    ------
    ImageError, FileNotFoundError
        As for `read`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import images
    >>> images.as_image(np.zeros((4, 6), np.float32))
    SolarImage
      array   (4, 6) float32
      header  0 keywords
      time    None
    """
    if isinstance(source, (str, PathLike)):
        return read(source)
    if isinstance(source, SolarImage):
        return source
    if hasattr(source, "fits_header"):  # a sunpy map, recognised without importing sunpy
        array = source.data if source.mask is None else np.where(source.mask, np.nan, source.data)
        return SolarImage(array, source.fits_header, source.date.utc)
    return SolarImage(np.asanyarray(source), fits.Header(), None)


def read_header(path: str | PathLike[str]) -> ImageHeader:
    """Header and time of an image, without decoding its pixels.

    Parameters
    ----------
    path : path-like
        As for `read`.

    Returns
    -------
    ImageHeader
        The header and time that `read` gives for the whole image.

    Raises
    ------
    ImageError, FileNotFoundError
        As for `read`, as far as the trouble shows without decoding.

    Warns
    -----
    ImageWarning
        As for `read`.

    Examples
    --------
    >>> from solartrack import images, simulate
    >>> table = simulate.write("sun", simulate.sequence(1, 1, size=64))
    >>> images.read_header("sun/frame_0000.fits").time.isot
    '2014-02-01T00:00:00.000'
    """
    path = Path(path)
    with _reading(path) as reader:
        _, header = reader(path, None)
        return ImageHeader(header, _time(header, path))


def read_pixels(path: str | PathLike[str]) -> NDArray[Any]:
    """Only the pixels of an image: those that `read` gives, without the work on the header.

    For archives of many small FITS files, where the header takes a third of the time.

    Parameters
    ----------
    path : path-like
        As for `read`.

    Returns
    -------
    ndarray, shape (ny, nx)

    Raises
    ------
    ImageError, FileNotFoundError
        As for `read`.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from solartrack import images
    >>> fits.writeto("patch.fits", np.zeros((40, 50), np.float32), overwrite=True)
    >>> images.read_pixels("patch.fits").shape
    (40, 50)
    """
    return read_patch(path).array


def read_patch(path: str | PathLike[str]) -> SolarImage:
    """Pixels of an image and their unit, without the rest of the header.

    Parameters
    ----------
    path : path-like
        As for `read`.

    Returns
    -------
    SolarImage
        The header of a FITS file holds ``BUNIT`` only; the time is None.

    Raises
    ------
    ImageError, FileNotFoundError
        As for `read`.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from solartrack import images
    >>> hdu = fits.PrimaryHDU(np.zeros((40, 50), np.float32))
    >>> hdu.header["BUNIT"] = "Gauss"
    >>> hdu.writeto("patch.fits", overwrite=True)
    >>> patch = images.read_patch("patch.fits")
    >>> patch.array.shape, patch.header["BUNIT"], patch.time
    ((40, 50), 'Gauss', None)
    """
    path = Path(path)
    with _reading(path) as reader:
        if reader is read_fits:
            return SolarImage(*read_fits_pixels(path), None)
        array, header = reader(path, Cut())
        assert array is not None
        return SolarImage(array, header, None)


def row0(path: str | PathLike[str]) -> Literal["top", "bottom"]:
    """Where the first stored row belongs when the image is shown: "bottom" in FITS, else "top".

    Parameters
    ----------
    path : path
        Of an image; its first bytes say the format.

    Returns
    -------
    {"top", "bottom"}

    Raises
    ------
    ImageError, FileNotFoundError
        If the file is of no known format.

    Examples
    --------
    >>> from PIL import Image
    >>> from solartrack import images
    >>> Image.new("L", (8, 8)).save("sun.png")
    >>> images.row0("sun.png")
    'top'
    """
    with _reading(Path(path)) as reader:
        return "bottom" if reader is read_fits else "top"


@contextmanager
def _reading(path: Path) -> Iterator[_Reader]:
    """Give the reader for the file's format, and name the file in whatever goes wrong."""
    if path.is_dir():
        raise ImageError(f"{path}: this is a folder; list its images with solartrack.images.find_images")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():  # reading from a pipe would wait for its other end
        raise ImageError(f"{path}: this is a pipe or a device, not a file; save what comes from it first")
    with path.open("rb") as file:
        start = file.read(12)
    try:
        yield _reader_for(path, start)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error.__cause__
    except (ImportError, Warning):  # a missing library; a warning that the user made an error
        raise
    except Exception as error:  # whatever a decoder throws at a damaged file
        raise ImageError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); "
            "it may be truncated or damaged: fetch it again"
        ) from error


def _reader_for(path: Path, start: bytes) -> _Reader:
    """The reader for a file that starts with these bytes."""
    if not start:
        raise ImageError("the file is empty; fetch it again")
    if start.startswith(b"\x1f\x8b"):
        with gzip.open(path) as file:
            start = file.read(12)
        if not start.startswith(b"SIMPLE  ="):
            raise ImageError(f"is gzipped, but not a FITS file (starts with {start!r}); unpack it first")
    if start.startswith(b"SIMPLE  ="):
        return read_fits
    if start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return read_picture
    if start.startswith(b"\x00\x00\x00\x0cjP  "):
        return read_jp2
    hint = "; was the download an error page?" if start.lstrip().startswith(b"<") else ""
    raise ImageError(f"starts with {start!r}, which is none of FITS, PNG, JPG, JP2{hint}")


def _time(header: fits.Header, path: Path) -> Time | None:
    try:
        time = time_of(header)
    except GeometryError as error:
        warnings.warn(f"{path}: {error}", ImageWarning, stacklevel=3)
        return None
    return time_from_name(path) if time is None else time
