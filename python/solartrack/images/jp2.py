"""Helioviewer's JPEG 2000 images (JP2): one grey component, and the FITS header as XML."""

from __future__ import annotations

import ctypes
import importlib
import re
import struct
import threading
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import PIL
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from solartrack.coordinates.header import NO_WCS, says_where
from solartrack.errors import ImageError, ImageWarning
from solartrack.images._fits_checks import check_keywords
from solartrack.images.array_header import array_header, drop_wcs, flip_rows, move_to_part, printable
from solartrack.images.cut import Cut

__all__ = ["openjpeg", "read_jp2"]

_SIZE_KEYS = ("NAXIS1", "NAXIS2")
_FITS_KEY = re.compile(r"[A-Z0-9_-]{1,8}")
_NUMBER = re.compile(r"[+-]?\d+|(?P<float>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def read_jp2(path: Path, cut: Cut | None) -> tuple[NDArray[Any] | None, fits.Header]:
    """Pixels and header of a JP2; without pixels if `cut` is None."""
    codestream, xmls = _contents(path)
    nx, ny = _size(codestream)
    header, trouble = _header(xmls, nx, ny)
    if trouble:
        # Level 3 is who called solartrack.images.read.
        warnings.warn(f"{path}: {trouble}", ImageWarning, stacklevel=3)
    if cut is None:
        return None, header
    window = cut.within(nx, ny)
    array = _decode(path, window, cut.reduce)
    # A low-pass wavelet sample is centred on the even sample it replaces: no half-block shift.
    move_to_part(header, window[0], window[1], cut.reduce, array, centre=0.0)
    return array, header


# -- file structure ----------------------------------------------------------------


def _contents(path: Path) -> tuple[bytes, list[bytes]]:
    """Start of the codestream, whose end is checked, and the XML boxes."""
    size = path.stat().st_size
    xmls: list[bytes] = []
    codestream = None
    with path.open("rb") as file:
        for kind, start, stop in _boxes(file, size):
            if kind == b"jp2c" and codestream is None:
                file.seek(start)
                codestream = file.read(42)
                file.seek(stop - 2)
                if file.read(2) != b"\xff\xd9":
                    raise ImageError("the JPEG 2000 codestream has no end marker: truncated; fetch it again")
            elif kind == b"xml ":
                file.seek(start)
                xmls.append(file.read(stop - start))
    if codestream is None:
        raise ImageError("holds a header but no image (no 'jp2c' box); fetch the file again")
    return codestream, xmls


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
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


def _size(codestream: bytes) -> tuple[int, int]:
    """Width and height from a codestream's SIZ marker; an error unless it is one grey component."""
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


# -- header ------------------------------------------------------------------------


def _header(xmls: list[bytes], nx: int, ny: int) -> tuple[fits.Header, str]:
    """Header of the whole image, and what had to be left out of it ("" if nothing)."""
    cards, trouble = _first_cards(xmls)
    header = array_header(cards, nx, ny)
    claimed = {"NAXIS1": nx, "NAXIS2": ny} | {c.keyword: c.value for c in cards if c.keyword in _SIZE_KEYS}
    if (claimed["NAXIS1"], claimed["NAXIS2"]) == (nx, ny):
        flip_rows(header, ny)
        if why := header.get(NO_WCS):
            trouble = f"dropped the WCS of its header, because {why}"
    else:
        why = f"its header is for {claimed['NAXIS1']} x {claimed['NAXIS2']} pixels, the image has {nx} x {ny}"
        drop_wcs(header, why)
        trouble = f"{why}; dropped the WCS, which cannot be trusted"
    return header, trouble


def _first_cards(xmls: list[bytes]) -> tuple[list[fits.Card], str]:
    """Cards of the first XML box that has some, and why there are none ("" if there need not be)."""
    reasons = []
    for xml in xmls:
        try:
            if cards := _xml_cards(xml):
                return cards, ""
            reasons.append("it has no <fits> element with keywords")
        except ElementTree.ParseError as error:
            reasons.append(str(error))
    return [], f"its XML header cannot be read ({'; '.join(reasons)}), so it has no WCS" if reasons else ""


def _xml_cards(xml: bytes) -> list[fits.Card]:
    """FITS cards from a Helioviewer header, <meta><fits><KEYWORD>value</KEYWORD>..., in any namespace."""
    root = ElementTree.fromstring(xml.decode("utf-8-sig", "replace").strip("\0 \r\n\t"))
    values: dict[str, Any] = {}
    notes: list[fits.Card] = []
    for node in (node for fits_node in root.iter() if _name(fits_node) == "FITS" for node in fits_node):
        key = _name(node)
        text = (node.text or "").strip()
        if key in ("HISTORY", "COMMENT"):
            for line in (text or node.get("comment", "")).splitlines():
                line = printable(line)
                notes.extend(fits.Card(key, line[i : i + 72]) for i in range(0, len(line), 72))
        elif text and (not _NOT_FINITE.fullmatch(text) or says_where(key)):
            # A keyword given twice: the last counts, as in FITS readers.
            number = _NUMBER.fullmatch(text) if len(text) <= 40 else None
            if number is None:
                values[key] = printable(text)
            else:
                values[key] = float(text) if number["float"] else int(text)
    check_keywords(values)
    cards = []
    for key, value in values.items():
        try:
            card = fits.Card(key if _FITS_KEY.fullmatch(key) else f"HIERARCH {key}", value)
            str(card)  # the layout shows whether a FITS header can hold it
        except ValueError:
            continue
        cards.append(card)
    return cards + notes


def _name(node: ElementTree.Element) -> str:
    """Name of an element without its namespace, in capitals."""
    return str(node.tag).rpartition("}")[2].upper()


# -- pixels ------------------------------------------------------------------------

_MESSAGE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)


def _decode(path: Path, window: tuple[int, int, int, int], reduce: int) -> NDArray[Any]:
    """Pixels in a window, by OpenJPEG through glymur's binding of its C functions.

    The binding, `glymur.lib.openjp2`, is private, so pyproject.toml admits only glymur 0.14, where it
    has not changed. The public `glymur.Jp2k` takes a window and a reduction too, but it

    - puts OpenJPEG's errors into one queue for all threads, and its warnings into Python's warnings,
      so that threads get each other's messages;
    - switches warnings off and on with ``warnings.catch_warnings``, which is not thread-safe;
    - makes one copy more: 404 ms instead of 346 ms for a whole image of 4096 x 4096 pixels.

    Whole images take as long as with Pillow, and 1.1 to 1.2 times as long as with imagecodecs, neither of
    which takes a window (``benchmarks/bench_images.py``).
    """
    opj = openjpeg()
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
            return _copied(image.contents.comps[0])
    except opj.OpenJPEGLibraryError as error:
        reason = "; ".join(messages).replace("\n", " ") or str(error) or "no reason given"
        cure = (
            "ask for a smaller reduce"
            if "resolutions to remove" in reason
            else "the file may be truncated or damaged: fetch it again"
        )
        raise ImageError(f"the JPEG 2000 image cannot be decoded ({reason}); {cure}") from error


def _copied(component: Any) -> NDArray[Any]:
    """Pixels of a decoded component, copied from memory that OpenJPEG will free."""
    if not component.data:
        raise ImageError("the JPEG 2000 decoder gave no pixels; fetch the file again")
    if component.prec > 16:
        raise ImageError(f"has {component.prec} bits per pixel, more than 16")
    dtype = np.dtype(f"{'i' if component.sgnd else 'u'}{1 if component.prec <= 8 else 2}")
    return np.ctypeslib.as_array(component.data, (component.h, component.w)).astype(dtype)


# -- the OpenJPEG library ----------------------------------------------------------

_openjpeg_lock = threading.Lock()


@cache
def openjpeg() -> Any:
    """The OpenJPEG binding of glymur, with the library that glymur finds, else the one in Pillow's wheel.

    After this call glymur itself has a library too, for everyone in the process.

    Raises
    ------
    ImportError
        If there is no OpenJPEG library.
    """
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
    """Restart glymur, which was imported without a library, with this one.

    To set ``opj.OPENJP2`` is not enough: on import glymur lays out the C structures for the
    version it finds, and without a library for one that is too old.
    """
    import glymur.config as config  # type: ignore[no-redef]

    search = config.find_library
    config.find_library = lambda name: library if name == "openjp2" else search(name)
    try:
        importlib.reload(opj)
        importlib.reload(glymur.version)
    finally:
        config.find_library = search
