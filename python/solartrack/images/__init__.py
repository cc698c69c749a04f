"""Solar images from files: FITS, PNG, JPG and Helioviewer's JPEG 2000 (JP2).

Row 0 of every array is the first row in the file. In FITS that is the bottom row
(south, when north is up); in PNG, JPG and JP2 it is the top row. Nothing is flipped.
The returned header always describes the returned array: ``astropy.wcs.WCS(header)``
takes its columns and rows, whatever the format, window and reduction.
"""

import ctypes
import gzip
import math
import operator
import re
import struct
import threading
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from glob import glob
from os import PathLike, fspath
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import PIL
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray
from PIL import Image

from solartrack.coordinates.header import as_utc, time_of
from solartrack.errors import ImageError, ImageWarning
from solartrack.images.display import display_values

__all__ = [
    "SolarImage",
    "as_image",
    "display_values",
    "find_images",
    "read",
    "read_header",
    "read_pixels",
    "row0",
    "time_from_name",
]

_EXTENSIONS = (".fits", ".fts", ".fits.gz", ".fts.gz", ".fits.fz", ".png", ".jpg", ".jpeg", ".jp2")


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
    """

    array: NDArray[Any]
    header: fits.Header
    time: Time | None


class _Cut(NamedTuple):
    """What to read, in full-resolution pixels of the stored array."""

    window: tuple[int, int, int, int] | None
    reduce: int

    def within(self, nx: int, ny: int) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = self.window or (0, 0, nx, ny)
        if x0 < 0 or y0 < 0 or x1 > nx or y1 > ny:
            raise ImageError(
                f"window ({x0}, {y0}, {x1}, {y1}) reaches outside the image of {nx} x {ny} pixels; "
                "clip it to the image"
            )
        return x0, y0, x1, y1


def read(
    path: str | PathLike[str], *, window: tuple[int, int, int, int] | None = None, reduce: int = 1
) -> SolarImage:
    """Read an image; the format is told from the file's content, not its name.

    Parameters
    ----------
    path : path-like
        FITS (plain, gzipped, Rice-compressed): the first HDU that holds a 2-D image,
        with BZERO and BSCALE applied and BLANK pixels as NaN. PNG and JPG: grey at 8
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
        ``R_VALUE = nan``), or the WCS of a JP2 whose header is for another image size.
        NaN entries of a JP2's header, which FITS cannot hold, are dropped quietly.

    Notes
    -----
    The time is the first of DATE-AVG, T_OBS, DATE-OBS, DATE_OBS, DATE-BEG and T_REC
    that can be read (so the middle of the exposure where the file knows it), else that
    in the file name (see `time_from_name`).

    Several threads may read at once.
    """
    cut = _Cut(_as_window(window), _as_power_of_two(reduce))
    if cut.window and (cut.window[0] % cut.reduce or cut.window[1] % cut.reduce):
        x0, y0 = cut.window[:2]
        raise ValueError(
            f"window must start at multiples of reduce={reduce}, got ({x0}, {y0}); "
            f"use ({x0 - x0 % reduce}, {y0 - y0 % reduce})"
        )
    path = Path(path)
    with _reading(path) as reader:
        array, header = reader(path, cut)
        assert array is not None
        return SolarImage(array, header, _time(header, path))


def as_image(source: Any) -> SolarImage:
    """An image from whatever holds one: a file, a sunpy map, or an array.

    Parameters
    ----------
    source : path-like, sunpy.map.GenericMap or array_like
        A path is read with `read`; masked pixels of a map become NaN.

    Returns
    -------
    SolarImage
        An array comes back as it is (a quantity keeps its unit), with an empty header and no time.

    Raises
    ------
    ImageError, FileNotFoundError
        As for `read`.
    """
    if isinstance(source, (str, PathLike)):
        return read(source)
    if hasattr(source, "fits_header"):  # a sunpy map, told without importing sunpy
        array = source.data if source.mask is None else np.where(source.mask, np.nan, source.data)
        return SolarImage(array, source.fits_header, source.date.utc)
    return SolarImage(np.asanyarray(source), fits.Header(), None)


def read_header(path: str | PathLike[str]) -> tuple[fits.Header, Time | None]:
    """Header and time of an image, without decoding its pixels.

    Parameters
    ----------
    path : path-like
        As for `read`.

    Returns
    -------
    header : astropy.io.fits.Header
        The one that `read` gives for the whole image.
    time : astropy.time.Time or None
        UTC.

    Raises
    ------
    ImageError, FileNotFoundError
        As for `read`, as far as it shows without decoding.
    """
    path = Path(path)
    with _reading(path) as reader:
        _, header = reader(path, None)
        return header, _time(header, path)


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
    """
    path = Path(path)
    with _reading(path) as reader:
        if reader is not _read_fits:
            array, _ = reader(path, _Cut(None, 1))
            assert array is not None
            return np.asarray(array)
        with fits.open(path, memmap=False) as hdus:
            return _fits_pixels(_fits_image(hdus))


def row0(path: str | PathLike[str]) -> Literal["top", "bottom"]:
    """Where the first stored row belongs when the image is shown: "bottom" in FITS, else "top".

    Raises
    ------
    ImageError, FileNotFoundError
        If the file is of no known format.
    """
    with _reading(Path(path)) as reader:
        return "bottom" if reader is _read_fits else "top"


def find_images(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    """Image files named by paths, folders and patterns.

    Parameters
    ----------
    paths : path-like or iterable of path-like
        A file is taken as it is; a folder gives the images directly inside it; a
        pattern (``*``, ``?``, ``[...]``, ``**``) gives what it matches, folders included.

    Returns
    -------
    list of Path
        Without duplicates, in natural order of the file names (``2.png`` before
        ``10.png``). Empty if a folder or a pattern has no images. From folders and
        patterns only .fits, .fts, .fits.gz, .fts.gz, .fits.fz, .png, .jpg, .jpeg and
        .jp2 are taken, in either case.

    Raises
    ------
    FileNotFoundError
        If a path that is not a pattern does not exist.
    """
    found: set[Path] = set()
    for path in [paths] if isinstance(paths, (str, PathLike)) else paths:
        here = Path(path)
        if here.is_dir():
            found.update(p for p in here.iterdir() if _is_image_name(p))
        elif here.exists():
            found.add(here)
        elif any(c in fspath(path) for c in "*?["):
            for match in map(Path, glob(fspath(path), recursive=True)):
                inside = match.iterdir() if match.is_dir() else [match]
                found.update(p for p in inside if _is_image_name(p))
        else:
            raise FileNotFoundError(f"no such file or folder: {here}")
    return sorted(found, key=lambda p: (_natural(p.name), _natural(str(p.parent))))


def time_from_name(path: str | PathLike[str]) -> Time | None:
    """Time in a file name as archives write it.

    Parameters
    ----------
    path : path-like
        Known are Helioviewer's ``2015_12_21__00_10_34_34__SDO_...`` (digits after the
        seconds are their fraction), JSOC's ``..._20110215_020000_TAI...`` and
        ``....2014-01-01T000012Z...``, and ``20111231_220001`` or ``20140101_0000``
        anywhere in the name.

    Returns
    -------
    astropy.time.Time or None
        UTC; None if the name holds no such time.
    """
    name = Path(path).name
    for pattern in _NAME_TIMES:
        if match := pattern.search(name):
            part = match.groupdict()
            digits = re.sub(r"\D", "", part["date"])
            second = f"{part['s'] or '00'}.{part.get('fraction') or '0'}"
            return as_utc(
                f"{digits[:4]}-{digits[4:6]}-{digits[6:]}T{part['h']}:{part['m']}:{second}",
                "tai" if part.get("tai") else "utc",
            )
    return None


# -- arguments ---------------------------------------------------------------------


def _as_window(window: Any) -> tuple[int, int, int, int] | None:
    if window is None:
        return None
    try:
        x0, y0, x1, y1 = map(operator.index, window)
    except (TypeError, ValueError):
        raise ValueError(f"window must be four integers (x0, y0, x1, y1), got {window!r}") from None
    if x1 <= x0 or y1 <= y0:
        raise ValueError(
            f"window must have x1 > x0 and y1 > y0, got ({x0}, {y0}, {x1}, {y1}); "
            "it is (x0, y0, x1, y1), not (x, y, width, height)"
        )
    return x0, y0, x1, y1


def _as_power_of_two(reduce: Any) -> int:
    try:
        factor = operator.index(reduce)
    except TypeError:
        factor = 0
    if factor < 1 or factor & (factor - 1):
        raise ValueError(f"reduce must be a power of two (1, 2, 4, ...), got {reduce!r}")
    return factor


def _is_image_name(path: Path) -> bool:
    return path.name.lower().endswith(_EXTENSIONS) and path.is_file()


def _natural(name: str) -> tuple[list[Any], str]:
    parts: list[Any] = re.split(r"([0-9]+)", name)
    parts[1::2] = map(int, parts[1::2])
    return parts, name  # the name itself orders 1.png and 01.png


# -- formats -----------------------------------------------------------------------


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Give the reader for the file's format, and name the file in whatever goes wrong."""
    if path.is_dir():
        raise ImageError(f"{path}: this is a folder; list its images with solartrack.images.find_images")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(12)
    try:
        yield _reader(path, start)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error.__cause__
    except (ImportError, Warning):  # a missing library; a warning that the user made an error
        raise
    except Exception as error:  # whatever a decoder throws at a damaged file
        raise ImageError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); "
            "it may be truncated or damaged: fetch it again"
        ) from error


def _reader(path: Path, start: bytes) -> Any:
    if not start:
        raise ImageError("the file is empty; fetch it again")
    if start.startswith(b"\x1f\x8b"):
        with gzip.open(path) as file:
            start = file.read(12)
        if not start.startswith(b"SIMPLE  ="):
            raise ImageError(f"is gzipped, but not a FITS file (starts with {start!r}); unpack it first")
    if start.startswith(b"SIMPLE  ="):
        return _read_fits
    if start.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return _read_picture
    if start.startswith(b"\x00\x00\x00\x0cjP  "):
        return _read_jp2
    hint = "; was the download an error page?" if start.lstrip().startswith(b"<") else ""
    raise ImageError(f"starts with {start!r}, which is none of FITS, PNG, JPG, JP2{hint}")


def _read_fits(path: Path, cut: _Cut | None) -> tuple[NDArray[Any] | None, fits.Header]:
    with fits.open(path, memmap=False) as hdus:
        hdu = _fits_image(hdus)
        cards, dropped = [], []
        for card in hdu.header.cards:
            try:
                _ = card.value
                card.verify("silentfix")  # harmless slips, such as 1e5 for 1E5
                cards.append(card)
            except (fits.VerifyError, ValueError):
                dropped.append(card.keyword)
        ny, nx = hdu.shape
        header = _header(cards, nx, ny)
        array = None
        if cut is not None:
            x0, y0, x1, y1 = cut.within(nx, ny)
            array = _block_mean(_fits_pixels(hdu, (x0, y0, x1, y1)), cut.reduce)
            _place(header, x0, y0, cut.reduce, array, centre=(cut.reduce - 1) / 2)
    if dropped:
        _warn(path, f"dropped header cards that cannot be read: {', '.join(dropped)}")
    return array, header


def _fits_image(hdus: Any) -> Any:
    """The first HDU that holds a 2-D image."""
    others = []
    for hdu in hdus:
        if hdu.is_image and hdu.header["NAXIS"] == 2:
            return hdu
        if hdu.is_image and hdu.header["NAXIS"]:
            others.append(hdu.shape)
    found = f"images of shape {others}" if others else "no image"
    raise ImageError(
        f"needs a 2-D image, but the file holds {found}; "
        "cut a plane from a cube first, or fetch the file again if it should have one"
    )


def _fits_pixels(hdu: Any, window: tuple[int, int, int, int] | None = None) -> NDArray[Any]:
    ny, nx = hdu.shape
    if not (nx and ny):
        raise ImageError(f"the image has no pixels, its shape is {hdu.shape}")
    x0, y0, x1, y1 = window or (0, 0, nx, ny)
    array = np.asarray(hdu.data[y0:y1, x0:x1])
    return array.astype(array.dtype.newbyteorder("="))


def _read_picture(path: Path, cut: _Cut | None) -> tuple[NDArray[Any] | None, fits.Header]:
    try:
        image = Image.open(path, formats=["PNG", "JPEG"])
    except Image.DecompressionBombError as error:
        raise ImageError(f"{error}; if it is a real image, raise PIL.Image.MAX_IMAGE_PIXELS") from error
    with image:
        header = _header([], *image.size)
        _refuse_deep_colour(path, image)
        if cut is None:
            return None, header
        x0, y0, x1, y1 = cut.within(*image.size)
        grey: Image.Image = image
        if image.mode in ("P", "PA"):
            grey = image.convert("RGBA").convert("L")  # straight to L would complain of transparency
        elif image.mode != "L" and not image.mode.startswith("I"):
            grey = image.convert("L")
        array = np.asarray(grey)[y0:y1, x0:x1]
    array = _block_mean(array.astype(array.dtype.newbyteorder("=")), cut.reduce)
    _place(header, x0, y0, cut.reduce, array, centre=(cut.reduce - 1) / 2)
    return array, header


def _refuse_deep_colour(path: Path, image: Image.Image) -> None:
    """Pillow cuts 16-bit samples to 8 bits without a word, except those of plain grey."""
    if image.format != "PNG":
        return
    with path.open("rb") as file:
        depth, colour = file.read(26)[24:]  # of the IHDR chunk, which comes first
    if depth == 16 and colour != 0:
        kinds = {2: "RGB", 4: "grey with alpha", 6: "RGB with alpha"}
        raise ImageError(
            f"needs grey or 8-bit pixels, but the PNG is 16-bit {kinds.get(colour, 'colour')}, "
            "which would be cut to 8 bits; convert it to 16-bit grey"
        )


def _block_mean(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Mean over blocks of size x size pixels; integers are rounded."""
    if size == 1:
        return array
    starts = [np.arange(0, n, size) for n in array.shape]
    counts = [np.diff(s, append=n) for s, n in zip(starts, array.shape, strict=True)]
    with np.errstate(invalid="ignore"):  # infinite pixels
        total = np.add.reduceat(array, starts[0], axis=0, dtype=np.float64)
        mean = np.add.reduceat(total, starts[1], axis=1) / np.outer(*counts)
    return (np.rint(mean) if array.dtype.kind in "iu" else mean).astype(array.dtype)


# -- JPEG 2000 ---------------------------------------------------------------------


def _read_jp2(path: Path, cut: _Cut | None) -> tuple[NDArray[Any] | None, fits.Header]:
    size = path.stat().st_size
    xml = codestream = None
    with path.open("rb") as file:
        for kind, start, stop in _jp2_boxes(file, size):
            if kind == b"jp2c" and codestream is None:
                file.seek(start)
                codestream = file.read(42)
                file.seek(stop - 2)
                if file.read(2) != b"\xff\xd9":
                    raise ImageError("the JPEG 2000 codestream has no end marker: truncated; fetch it again")
            elif kind == b"xml " and xml is None:
                file.seek(start)
                xml = file.read(stop - start)
    if codestream is None:
        raise ImageError("holds a header but no image (no 'jp2c' box); fetch the file again")
    nx, ny = _jp2_size(codestream)
    cards = []
    if xml is not None:
        try:
            cards = _xml_cards(xml)
        except ElementTree.ParseError as error:
            _warn(path, f"its XML header cannot be read ({error}), so it has no WCS")
    header = _header(cards, nx, ny)
    claimed = {"NAXIS1": nx, "NAXIS2": ny} | {c.keyword: c.value for c in cards if c.keyword in header}
    if (claimed["NAXIS1"], claimed["NAXIS2"]) == (nx, ny):
        _flip_rows(header, ny)
    else:
        for key in [key for key in header if _WCS_KEY.fullmatch(key)]:
            header.remove(key, ignore_missing=True, remove_all=True)
        _warn(
            path,
            f"its header is for {claimed['NAXIS1']} x {claimed['NAXIS2']} pixels, the image has "
            f"{nx} x {ny}; dropped the WCS, which cannot be trusted",
        )
    if cut is None:
        return None, header
    window = cut.within(nx, ny)
    array = _decode_jp2(path, window, cut.reduce)
    # A low-pass wavelet sample is centred on the even sample it replaces: no half-block shift.
    _place(header, window[0], window[1], cut.reduce, array, centre=0.0)
    return array, header


def _jp2_boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and stop of the content of each top-level box."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16).ljust(16, b"\0")
        length, kind, long_length = struct.unpack(">I4sQ", head)
        start = at + (16 if length == 1 else 8)
        stop = {0: size, 1: at + long_length}.get(length, at + length)
        if not start <= stop <= size:
            raise ImageError(
                f"truncated or damaged: the JP2 box at byte {at} should end at byte {stop}, "
                f"the file has {size}; fetch it again"
            )
        yield kind, start, stop
        at = stop


def _jp2_size(codestream: bytes) -> tuple[int, int]:
    """Width and height from a codestream's SIZ marker, for the images that we read."""
    if len(codestream) < 42 or codestream[:4] != b"\xff\x4f\xff\x51":
        raise ImageError("the JPEG 2000 codestream is damaged; fetch the file again")
    x1, y1, x0, y0 = struct.unpack(">4I", codestream[8:24])
    (components,) = struct.unpack(">H", codestream[40:42])
    if components != 1 or x0 or y0 or not (x1 and y1):
        raise ImageError(
            f"needs a grey image, but the codestream has {components} components and "
            f"spans ({x0}, {y0}) to ({x1}, {y1}); convert it to a grey PNG"
        )
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and x1 * y1 > 2 * limit:  # as Pillow does for PNG and JPG
        raise ImageError(
            f"claims {x1} x {y1} pixels, more than {2 * limit}; "
            "if it is a real image, raise PIL.Image.MAX_IMAGE_PIXELS"
        )
    return x1, y1


def _xml_cards(xml: bytes) -> list[fits.Card]:
    """FITS cards from a Helioviewer header, <meta><fits><KEYWORD>value</KEYWORD>..."""
    root = ElementTree.fromstring(xml.decode("utf-8-sig", "replace").strip("\0 \r\n\t"))
    values: dict[str, Any] = {}
    notes: list[fits.Card] = []
    for node in root.iterfind(".//fits/*"):
        key = node.tag.upper()
        text = (node.text or "").strip()
        if key in ("HISTORY", "COMMENT"):
            for line in (text or node.get("comment", "")).splitlines():
                line = _printable(line)
                notes.extend(fits.Card(key, line[i : i + 72]) for i in range(0, len(line), 72))
        elif text and not _NOT_FINITE.fullmatch(text):
            # A keyword given twice: the last counts, as in FITS readers.
            number = _NUMBER.fullmatch(text) if len(text) <= 40 else None
            if number is None:
                values[key] = _printable(text)
            else:
                values[key] = float(text) if number["float"] else int(text)
    cards = []
    for key, value in values.items():
        try:
            card = fits.Card(key if _FITS_KEY.fullmatch(key) else f"HIERARCH {key}", value)
            str(card)  # lays it out
        except ValueError:  # a FITS header cannot hold it
            continue
        cards.append(card)
    return cards + notes


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else " " if c.isspace() else "?" for c in text)


def _decode_jp2(path: Path, window: tuple[int, int, int, int], reduce: int) -> NDArray[Any]:
    # OpenJPEG through glymur's binding: it alone takes a window. Not through glymur.Jp2kr, which is
    # slower (one copy more) and puts OpenJPEG's messages into a queue and warnings that all threads
    # share. Whole images take as long as with Pillow and 1.1 to 1.2 times imagecodecs (benchmarks/).
    opj = _openjpeg()
    messages: list[str] = []
    handler = _MESSAGE(lambda text, _: messages.append(text.decode(errors="replace").strip()))
    try:
        with ExitStack() as stack:
            stream = opj.stream_create_default_file_stream(str(path), True)
            stack.callback(opj.stream_destroy, stream)
            codec = opj.create_decompress(opj.CODEC_JP2)
            stack.callback(opj.destroy_codec, codec)
            opj.set_error_handler(codec, handler)
            opj.set_warning_handler(codec, handler)
            parameters = opj.set_default_decoder_parameters()
            parameters.cp_reduce = reduce.bit_length() - 1
            parameters.flags |= 1  # pixels, not the colours of an embedded palette
            opj.setup_decoder(codec, parameters)
            image = opj.read_header(stream, codec)
            stack.callback(opj.image_destroy, image)
            opj.set_decode_area(codec, image, *window)
            opj.decode(codec, stream, image)
            opj.end_decompress(codec, stream)
            pixels = image.contents.comps[0]
            if not pixels.data:
                raise ImageError("the JPEG 2000 decoder gave no pixels; fetch the file again")
            dtype = np.dtype(f"{'i' if pixels.sgnd else 'u'}{1 if pixels.prec <= 8 else 2}")
            if pixels.prec > 16:
                raise ImageError(f"has {pixels.prec} bits per pixel, more than 16")
            # A copy: the decoder's memory is freed on leaving.
            return np.ctypeslib.as_array(pixels.data, (pixels.h, pixels.w)).astype(dtype)
    except opj.OpenJPEGLibraryError as error:
        reason = "; ".join(messages).replace("\n", " ") or str(error) or "no reason given"
        cure = (
            "ask for a smaller reduce"
            if "resolutions to remove" in reason
            else "the file may be truncated or damaged: fetch it again"
        )
        raise ImageError(f"the JPEG 2000 image cannot be decoded ({reason}); {cure}") from error


_MESSAGE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)
_openjpeg_lock = threading.Lock()


@cache
def _openjpeg() -> Any:
    """The OpenJPEG binding of glymur, with the library it finds itself, else the one in Pillow's wheel."""
    with _openjpeg_lock:
        import glymur
        import glymur.lib.openjp2 as opj

        if opj.OPENJP2 is None:
            home = Path(PIL.__file__).parent
            found = [*home.parent.glob("pillow.libs/libopenjp2*"), *home.glob(".dylibs/libopenjp2*")]
            if not found:
                raise ImportError(
                    "reading JP2 needs the OpenJPEG library, and neither the system nor Pillow has one; "
                    "install libopenjp2 (Debian: apt install libopenjp2-7; conda: openjpeg), or name it "
                    "in glymur's configuration file"
                )
            _reload_glymur(glymur, opj, str(found[0]))
        if opj.OPENJP2 is None:
            raise ImportError("glymur's configuration file names no usable OpenJPEG library; correct it")
        return opj


def _reload_glymur(glymur: ModuleType, opj: ModuleType, library: str) -> None:
    """Let glymur, imported without a library, start again with this one.

    Setting ``opj.OPENJP2`` would not do: on import glymur lays out the C structures for
    the version it finds, and without a library for one that is too old.
    """
    import importlib

    import glymur.config as config  # type: ignore[no-redef]

    search = config.find_library
    config.find_library = lambda name: library if name == "openjp2" else search(name)
    try:
        importlib.reload(opj)
        importlib.reload(glymur.version)
    finally:
        config.find_library = search


# -- headers -----------------------------------------------------------------------

_FITS_KEY = re.compile(r"[A-Z0-9_-]{1,8}")
_NUMBER = re.compile(r"[+-]?\d+|(?P<float>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)

# How the array was stored, which the array itself no longer shows.
_STORAGE_KEY = re.compile(
    r"SIMPLE|XTENSION|EXTEND|BITPIX|NAXIS\d*|[PG]COUNT|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|TFIELDS"
    r"|T(TYPE|FORM)\d+|Z(IMAGE|SIMPLE|EXTEND|TENSION|BITPIX|NAXIS\d*|[PG]COUNT|TILE\d+|CMPTYPE|NAME\d+"
    r"|VAL\d+|QUANTIZ|DITHER0|BLANK|SCALE|ZERO|HECKSUM|DATASUM)"
)
_WCS_KEY = re.compile(
    r"(WCSAXES|WCSNAME|LONPOLE|LATPOLE|C(TYPE|UNIT|RVAL|RPIX|DELT|RDER|SYER)\d|(PC|CD|PV|PS)\d_\d+)[A-Z]?"
    r"|CROTA\d?"
)


def _header(cards: Iterable[fits.Card], nx: int, ny: int) -> fits.Header:
    size = [("NAXIS", 2), ("NAXIS1", nx), ("NAXIS2", ny)]
    return fits.Header([*size, *(card for card in cards if not _STORAGE_KEY.fullmatch(card.keyword))])


def _wcs_letters(header: fits.Header) -> set[str]:
    """Letters of the coordinate systems in a header; the primary one is the empty string."""
    found = (re.fullmatch(r"(?:CTYPE|CRPIX|CRVAL|CDELT|CD\d_)\d([A-Z]?)", key) for key in header)
    return {match[1] for match in found if match}


def _place(header: fits.Header, x0: int, y0: int, step: int, array: NDArray[Any], *, centre: float) -> None:
    """Make the header of a whole image that of a part of it.

    Pixel i of the part is centred on full-resolution pixel ``x0 + step * i + centre``.
    """
    header["NAXIS2"], header["NAXIS1"] = array.shape
    if not (x0 or y0 or step > 1):
        return
    for letter in _wcs_letters(header):
        for axis, start in ((1, x0), (2, y0)):
            reference = float(header.get(f"CRPIX{axis}{letter}", 0.0))  # FITS' own defaults
            header[f"CRPIX{axis}{letter}"] = (reference - 1 - start - centre) / step + 1
            scales = [key for key in (f"CD{axis}_1{letter}", f"CD{axis}_2{letter}") if key in header]
            for key in scales or [f"CDELT{axis}{letter}"]:
                header[key] = float(header.get(key, 1.0)) * step


def _flip_rows(header: fits.Header, ny: int) -> None:
    """Make the header of a bottom-up image that of the same image stored top-down."""
    for letter in _wcs_letters(header):
        header[f"CRPIX2{letter}"] = ny + 1 - float(header.get(f"CRPIX2{letter}", 0.0))
        if any(f"CD{i}_{j}{letter}" in header for i in (1, 2) for j in (1, 2)):
            for key in (f"CD1_2{letter}", f"CD2_2{letter}"):
                header[key] = -float(header.get(key, 0.0))
            continue
        names = [f"PC{i}_{j}{letter}" for i in (1, 2) for j in (1, 2)]
        if any(name in header for name in names):
            matrix = [float(header.get(name, one)) for name, one in zip(names, (1, 0, 0, 1), strict=True)]
        else:
            angle = math.radians(float(header.get("CROTA2", 0.0)) if not letter else 0.0)
            matrix = [1.0, 0.0, 0.0, 1.0]
            if angle:
                sine = math.sin(angle)
                ratio = float(header.get("CDELT2", 1.0)) / float(header.get("CDELT1", 1.0))
                matrix = [math.cos(angle), -sine * ratio, sine / ratio, math.cos(angle)]
        matrix[1], matrix[3] = -matrix[1], -matrix[3]
        header.update(zip(names, matrix, strict=True))
    for key in ("CROTA", "CROTA1", "CROTA2"):  # said by the matrix now
        header.remove(key, ignore_missing=True, remove_all=True)


def _warn(path: Path, message: str) -> None:
    warnings.warn(f"{path}: {message}", ImageWarning, stacklevel=4)


# -- time --------------------------------------------------------------------------

_NAME_TIMES = (
    re.compile(
        r"(?P<date>\d{4}_\d\d_\d\d)__(?P<h>\d\d)_(?P<m>\d\d)_(?P<s>\d\d)(?:_(?P<fraction>\d{1,3}))?__"
    ),
    re.compile(r"(?P<date>\d{4}-\d\d-\d\d)T(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)Z"),
    re.compile(r"(?<!\d)(?P<date>(?:19|20)\d{6})_(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)?(?P<tai>_TAI)?(?!\d)"),
)


def _time(header: fits.Header, path: Path) -> Time | None:
    return time_of(header) or time_from_name(path)
