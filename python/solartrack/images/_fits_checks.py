"""Checks of what a FITS file claims, before a decompressor believes it.

The decompressors of tile-compressed images are C code that trusts the header: a wrong number of bytes per
pixel, or a tile that is larger than its image, ends the process. So the structural keywords are read here
from the file's own bytes, without astropy, and are compared with each other, with the size of the file and
with the limit that Pillow sets for pictures (``PIL.Image.MAX_IMAGE_PIXELS``).
"""

import gzip
import math
import re
import zlib
from collections.abc import Collection
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from solartrack.errors import ImageError

__all__ = ["TiledImage", "check_fits", "check_keywords", "rice_setting"]

_BLOCK, _CARD = 2880, 80
# A header of more cards is no image's; astropy needs time that grows with their square.
_MOST_CARDS = 36_000
# Distortion and projection parameters: no projection has more, and wcslib compares each with all others.
_MOST_PARAMETERS = 200
_PARAMETER = re.compile(rb"P[VS]\d+_\d+")
_STRUCTURAL = re.compile(
    rb"SIMPLE|XTENSION|BITPIX|NAXIS\d*|[PG]COUNT|GROUPS|THEAP|TFIELDS|T(TYPE|FORM)\d+"
    rb"|Z(IMAGE|BITPIX|NAXIS\d*|TILE\d+|CMPTYPE|NAME\d+|VAL\d+|QUANTIZ|DITHER0)"
)
_BITPIX = (8, 16, 32, 64, -32, -64)
_COMPRESSIONS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS")
_RICE = {"BLOCKSIZE": (16, 32), "BYTEPIX": (1, 2, 4)}
_ITEM = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
_FORMAT = re.compile(r"(\d*)([LXBIJKAEDCMPQ])(.?)")
# Columns that point at tiles, and what their values may be.
_TILES = {"COMPRESSED_DATA": (*"BIJ",), "GZIP_COMPRESSED_DATA": (*"BIJ",), "UNCOMPRESSED_DATA": (*"BIJKED",)}
_CURE = "the file is damaged: fetch it again"
_Keywords = dict[str, Any]


class TiledImage(NamedTuple):
    """A tile-compressed image whose claims have been checked."""

    header: int
    """Byte of the file at which its header begins."""
    table: int
    """Byte at which its data begin: the table of tiles, then the heap."""
    keywords: _Keywords
    """The structural ones."""


class _Heap:
    """The compressed tiles, read only if they must be looked into."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, size: int) -> None:
        self._file, self.size = file, size

    @cached_property
    def content(self) -> memoryview:
        content = self._file.read(self.size)
        if len(content) < self.size:
            raise ImageError("truncated or damaged: its data end before its last tile; fetch it again")
        return memoryview(content)


class _Column(NamedTuple):
    """A column of a table: offset in a row, type of a value, type of what it points at ("" if nothing)."""

    at: int
    kind: str
    target: str


def check_fits(path: Path, *, pixels: bool) -> TiledImage | None:
    """Refuse a FITS file whose header, up to its first image, cannot be true.

    Parameters
    ----------
    path : Path
        Plain or gzipped.
    pixels : bool
        Whether pixels will be decompressed: then the compressed tiles are checked, too.

    Returns
    -------
    TiledImage or None
        If the first image of two axes in a plain file is tile-compressed, and no other could be meant.

    Raises
    ------
    ImageError
        Which claim is wrong. Files that are no valid FITS in other ways are left to astropy.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    size = None if packed else path.stat().st_size
    begin, only = 0, size is not None
    with gzip.open(path) if packed else path.open("rb") as file:
        while (keywords := _keywords(file)) is not None:
            shape, bytes_of_data = _claims(keywords)
            start = file.tell()
            if tiled := _one_of(keywords, "ZIMAGE", (True, False), False):
                if size is not None and start + bytes_of_data > size:
                    raise ImageError(
                        "cannot be read, truncated or damaged: the header needs "
                        f"{start + bytes_of_data} bytes, the file has {size}; fetch it again"
                    )
                shape = _compressed(keywords, file if pixels else None)
            elif packed and bytes_of_data > 8 * _limit():
                raise _too_large(f"{bytes_of_data} bytes of data")
            elif not _is_image(keywords):
                shape = ()
            if len([n for n in shape if n != 1]) == 2 or len(shape) == 2:
                found = only and tiled and len(shape) == 2
                return TiledImage(begin, start, keywords) if found else None  # what comes after is not read
            only &= len(shape) < 2
            begin = start + -(-bytes_of_data // _BLOCK) * _BLOCK
            file.seek(begin)
    return None


# -- headers -----------------------------------------------------------------------


def _keywords(file: BinaryIO | gzip.GzipFile) -> _Keywords | None:
    """Structural keywords of the next header; None at the end of the file, or if no header is there."""
    found: _Keywords = {}
    cards = parameters = 0
    while True:
        block = file.read(_BLOCK)
        if len(block) < _BLOCK or (not cards and not block.startswith((b"SIMPLE  =", b"XTENSION="))):
            return None
        for at in range(0, _BLOCK, _CARD):
            # astropy takes small letters, and strips HIERARCH, too.
            key, is_value = block[at : at + 8].upper().rstrip(), block[at + 8 : at + 10] == b"= "
            long = block[at + 8 : at + _CARD].partition(b"=")[0].strip().upper()
            if key == b"HIERARCH" and _STRUCTURAL.fullmatch(long):
                raise ImageError(f"its header has HIERARCH {long.decode()}; {_CURE}")
            if key == b"END":
                return found
            cards += 1
            if _STRUCTURAL.fullmatch(key) and is_value:
                value, name = _value(block[at + 10 : at + _CARD]), key.decode()
                if found.setdefault(name, value) != value:
                    raise ImageError(f"its header says {name} twice, {found[name]!r} and {value!r}; {_CURE}")
            elif _PARAMETER.match(key):
                parameters += 1
        _check_counts(cards, parameters)


def check_keywords(keywords: Collection[str]) -> None:
    """Refuse a header of so many keywords that reading it would take for ever; for those not from FITS."""
    _check_counts(len(keywords), sum(_PARAMETER.match(key.encode()) is not None for key in keywords))


def _check_counts(cards: int, parameters: int) -> None:
    if cards > _MOST_CARDS:
        raise ImageError(f"its header has more than {_MOST_CARDS} cards; {_CURE}")
    if parameters > _MOST_PARAMETERS:
        raise ImageError(f"its header has more than {_MOST_PARAMETERS} PVi_m or PSi_m cards; {_CURE}")


def _value(text: bytes) -> Any:
    """Value of a card: text, a truth value, a whole number, or the raw text of anything else."""
    if match := re.match(rb" *'((?:[^']|'')*)'", text):
        return match[1].decode("latin-1").rstrip()
    raw = text.split(b"/")[0].strip().decode("latin-1")
    if raw in ("T", "F"):
        return raw == "T"
    return int(raw) if re.fullmatch(r"[+-]?\d{1,40}", raw) else raw


def _whole(keywords: _Keywords, key: str, low: int, high: int, default: int | None = None) -> int:
    """The value of a keyword, if it is a whole number in range."""
    value = keywords.get(key, default)
    if value is None:
        raise ImageError(f"its header lacks {key}; {_CURE}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ImageError(f"{key} must be a whole number, got {value!r}; {_CURE}")
    if not low <= value <= high:
        raise ImageError(f"{key} = {value} cannot be, it must be from {low} to {high}; {_CURE}")
    return value


def _claims(keywords: _Keywords) -> tuple[tuple[int, ...], int]:
    """Shape and size in bytes of an HDU's data."""
    bits = _one_of(keywords, "BITPIX", _BITPIX)
    most = 2**62
    shape = tuple(
        _whole(keywords, f"NAXIS{i}", 0, most) for i in range(1, _whole(keywords, "NAXIS", 0, 999) + 1)
    )
    extra, groups = _whole(keywords, "PCOUNT", 0, most, 0), _whole(keywords, "GCOUNT", 0, most, 1)
    counted = shape[1:] if keywords.get("GROUPS") is True and shape[:1] == (0,) else shape
    pixels = math.prod(counted) if counted else 0
    return shape, abs(bits) // 8 * groups * (extra + pixels)


def _is_image(keywords: _Keywords) -> bool:
    return "XTENSION" not in keywords or keywords["XTENSION"] == "IMAGE"


def _one_of(keywords: _Keywords, key: str, known: tuple[Any, ...], default: Any = None) -> Any:
    value = keywords.get(key, default)
    if value not in known or isinstance(value, bool) != isinstance(known[0], bool):
        raise ImageError(f"{key} = {value!r} is none of {', '.join(map(str, known))}; {_CURE}")
    return value


def _limit() -> float:
    """Pixels that an image may have, as Pillow counts for pictures."""
    return math.inf if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def _too_large(what: str) -> ImageError:
    return ImageError(
        f"claims {what}, more than {_limit()} pixels; if it is a real image, raise PIL.Image.MAX_IMAGE_PIXELS"
    )


# -- tile-compressed images --------------------------------------------------------


def _compressed(keywords: _Keywords, data: BinaryIO | gzip.GzipFile | None) -> tuple[int, ...]:
    """Check a tile-compressed image against its table, and against its data if given; return its shape."""
    _one_of(keywords, "ZBITPIX", _BITPIX)
    how = _one_of(keywords, "ZCMPTYPE", _COMPRESSIONS)
    axes = range(1, _whole(keywords, "ZNAXIS", 1, 999) + 1)
    shape = [_whole(keywords, f"ZNAXIS{i}", 0, 2**31 - 1) for i in axes]
    tile = [_whole(keywords, f"ZTILE{i}", 1, 2**31 - 1, shape[0] if i == 1 else 1) for i in axes]
    pixels = math.prod(shape)
    if pixels > _limit():
        raise _too_large(" x ".join(map(str, shape)) + " pixels")
    if not pixels:
        return tuple(shape)
    tiles = [-(-n // t) for n, t in zip(shape, tile, strict=True)]
    rows, width = keywords["NAXIS2"], keywords["NAXIS1"]
    if keywords["NAXIS"] != 2 or keywords["BITPIX"] != 8 or math.prod(tiles) != rows:
        raise ImageError(
            f"its {' x '.join(map(str, shape))} pixels make {math.prod(tiles)} tiles of "
            f"{' x '.join(map(str, tile))}, its table has {rows}; {_CURE}"
        )
    if keywords.get("ZQUANTIZ", "").startswith("SUBTRACTIVE"):
        _whole(keywords, "ZDITHER0", 1, 10_000)  # an index into a table of random numbers
    if how.startswith("RICE"):
        rice_setting(keywords, "BLOCKSIZE")
        rice_setting(keywords, "BYTEPIX")
    elif how == "HCOMPRESS_1" and 8 * math.prod(map(min, shape, tile)) >= 2**31:
        raise _too_large(f"a tile of {' x '.join(map(str, tile))}")
    columns = _columns(keywords, width)
    begin = _whole(keywords, "THEAP", rows * width, rows * width + keywords.get("PCOUNT", 0), rows * width)
    if data is not None:
        start = data.tell()
        table = np.frombuffer(data.read(rows * width), np.uint8)
        if len(table) < rows * width:
            raise ImageError("truncated or damaged: its data end within its table; fetch it again")
        data.seek(start + begin)
        heap = _Heap(data, rows * width + keywords.get("PCOUNT", 0) - begin)
        _check_rows(how, shape, tile, tiles, columns, table.reshape(rows, width), heap)
    return tuple(shape)


def rice_setting(keywords: _Keywords, name: str) -> int:
    """A parameter of the compression RICE_1, checked; they stand in pairs ZNAMEi, ZVALi."""
    allowed = _RICE[name]
    for i in count(1):
        if f"ZNAME{i}" not in keywords:
            return allowed[-1]  # the default
        if str(keywords[f"ZNAME{i}"]).upper() == name:
            value = keywords.get(f"ZVAL{i}")
            if value not in allowed or isinstance(value, bool):
                raise ImageError(
                    f"ZVAL{i} = {value!r} ({name}) is none of {', '.join(map(str, allowed))}; {_CURE}"
                )
            return int(value)
    raise AssertionError("count has no end")


def _columns(keywords: _Keywords, width: int) -> dict[str, _Column]:
    """Columns of the table, which must fill its rows."""
    columns, at = {}, 0
    for i in range(1, _whole(keywords, "TFIELDS", 1, 999) + 1):
        form = str(keywords.get(f"TFORM{i}", ""))
        match = _FORMAT.match(form)
        if match is None:
            raise ImageError(f"TFORM{i} = {form!r} is no format of a column; {_CURE}")
        repeat, kind = int(match[1] or 1), match[2]
        columns[str(keywords.get(f"TTYPE{i}", "")).upper()] = _Column(
            at, kind, match[3] if kind in "PQ" else ""
        )
        at += -(-repeat // 8) if kind == "X" else repeat * _ITEM[kind]
        if kind in "PQ" and repeat != 1:
            raise ImageError(f"TFORM{i} = {form!r} must be one pointer; {_CURE}")
    if at != width:
        raise ImageError(f"its columns take {at} bytes, NAXIS1 = {width}; {_CURE}")
    if "COMPRESSED_DATA" not in columns:
        raise ImageError(f"its table has no column COMPRESSED_DATA; {_CURE}")
    for name in _TILES.keys() & columns.keys():
        if columns[name].target not in _TILES[name]:  # "" of a column that is no pointer is in none
            raise ImageError(f"its column {name} does not point at bytes; {_CURE}")
    return columns


def _check_rows(
    how: str,
    shape: list[int],
    tile: list[int],
    tiles: list[int],
    columns: dict[str, _Column],
    table: NDArray[np.uint8],
    heap: _Heap,
) -> None:
    """Check that each tile's data lie in the heap, once, and are what the decompressor takes them for."""
    for name in _TILES.keys() & columns.keys():
        at, kind, target = columns[name]
        item = np.dtype(">i4" if kind == "P" else ">i8")
        pointers = np.ascontiguousarray(table[:, at : at + 2 * item.itemsize]).view(item).astype(object)
        sizes, starts = pointers[:, 0] * _ITEM[target], pointers[:, 1]
        used = sizes != 0
        wrong = used & ((sizes < 0) | (starts < 0) | (starts + sizes > heap.size))
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            raise ImageError(
                f"tile {row + 1} claims {sizes[row]} bytes from byte {starts[row]} of {heap.size}; {_CURE}"
            )
        if sizes.sum() > heap.size:
            raise ImageError(f"its tiles claim {sizes.sum()} bytes of {heap.size}: they overlap; {_CURE}")
        stream = how if name == "COMPRESSED_DATA" else "GZIP_1" if name.startswith("GZIP") else "NOCOMPRESS"
        if stream in _STREAMS:
            for row in np.flatnonzero(used):
                place = np.unravel_index(row, tiles[::-1])[::-1]
                sides = [min(t, n - t * int(k)) for n, t, k in zip(shape, tile, place, strict=True)]
                if trouble := _STREAMS[stream](heap.content[starts[row] : starts[row] + sizes[row]], sides):
                    raise ImageError(f"tile {row + 1} {trouble}; {_CURE}")


def _hcompress_trouble(data: memoryview, sides: list[int]) -> str:
    """The stream has sides of its own, which the decompressor believes."""
    wanted = [n for n in sides if n != 1]
    head = bytes(data[:25])
    if len(head) < 25 or head[:2] != b"\xdd\x99":
        return "is not compressed with HCOMPRESS_1"
    got = [int.from_bytes(head[2:6], "big"), int.from_bytes(head[6:10], "big")]
    if got != wanted[::-1]:
        return f"has {got[1]} x {got[0]} pixels, the header says {' x '.join(map(str, wanted))}"
    if max(head[22:25]) > 64:
        return f"has {max(head[22:25])} bit planes"
    return ""


def _plio_trouble(data: memoryview, sides: list[int]) -> str:
    """The list of line segments says how long it is."""
    words = np.frombuffer(data, ">i2", len(data) // 2)
    if len(words) < 3:
        return "is too short for PLIO_1"
    # The old form has its length in the third word, the new one in two words of 15 bits.
    length = int(words[2]) if words[2] > 0 else (int(words[4]) << 15) + int(words[3]) if len(words) > 6 else 0
    if not 0 <= length <= len(words) or (words[2] <= 0 and words[1] < 0):
        return f"claims {length} words of {len(words)}"
    return ""


def _gzip_trouble(data: memoryview, sides: list[int]) -> str:
    """Unpacked it may be no more than its pixels."""
    most = 8 * math.prod(sides)
    unpacking = zlib.decompressobj(wbits=31)
    try:
        size = len(unpacking.decompress(data, most + 1))
    except zlib.error as error:
        return f"is not compressed with GZIP ({error})"
    if size > most or unpacking.unused_data.strip(b"\0"):
        return f"unpacks to more than {most} bytes"
    return "" if unpacking.eof else "is cut off"


_STREAMS = {
    "HCOMPRESS_1": _hcompress_trouble,
    "PLIO_1": _plio_trouble,
    "GZIP_1": _gzip_trouble,
    "GZIP_2": _gzip_trouble,
}
