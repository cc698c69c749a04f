"""Checks of content that came over a network, by decoding it to its end.

Servers cut files and call them complete, and send error pages under the name of what was asked for. So a
status, a length and a name prove nothing; each check reads all that a reader of the content would.
"""

from __future__ import annotations

import gzip
import html
import json
import re
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from solartrack.errors import ImageError, SourceError
from solartrack.images import _fits_checks

__all__ = ["CHECKS", "check_bytes", "words"]

#: Most bytes that a compressed file may unpack to, and most members of a tar file.
MAX_UNPACKED_BYTES = 64 * 2**30
MAX_MEMBERS = 1_000_000

_HEAD = 64 * 2**10
_STEP = 2**20
# So much of a page is searched for its title.
_WORDS = 8192
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_BLOCK, _TAR_BLOCK = 2880, 512
# A part of a tar file that must be in memory: names and other headers.
_LARGEST_HEADER = 16 * 2**20
# Atomic: no page of many comments makes this slow.
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?>(?:<!--.*?-->|<\?xml[^>]*>)\s*+)*+<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_TITLE = re.compile(rb"<(title|h1)\b[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)


def check_bytes(body: bytes, check: str) -> None:
    """Check a whole answer.

    Parameters
    ----------
    body : bytes
    check : "json", "text" or "any"

    Raises
    ------
    SourceError
        What it is in place of that.
    """
    if check == "any":
        return
    if check not in ("json", "text"):
        raise ValueError(f"check must be 'json', 'text' or 'any' for an answer in memory, got {check!r}")
    _refuse_pages(body[:_HEAD], check)
    if check == "text":
        if b"\0" in body:
            raise SourceError("expected a text, got binary data")
        return
    try:
        json.loads(as_text(body))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"expected JSON, got {_start(body)}; {error}") from error


def as_text(body: bytes) -> str:
    """Text in UTF-8, else in Latin-1, which the older services send."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def words(body: bytes) -> str:
    """What an error says, in one line: the title of a page, the message of a JSON answer, or the text."""
    if _PAGE.match(body):
        return _title(body)
    text = as_text(body[:_HEAD])
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        for key in ("error", "message", "error_message", "detail"):
            if isinstance(answer.get(key), str):
                text = answer[key]
                break
    return _line(text)


def _check_any(path: Path) -> None:
    """Anything goes."""


def _check_text(path: Path) -> None:
    check_bytes(path.read_bytes(), "text")


def _check_noaa(path: Path) -> None:
    """A report of NOAA's says at its beginning which it is."""
    body = path.read_bytes()
    check_bytes(body, "text")
    if not body.lstrip()[:9].lower() == b":product:":
        raise SourceError(f"expected a report of NOAA that begins with ':Product:', got {_start(body)}")


def _check_json(path: Path) -> None:
    check_bytes(path.read_bytes(), "json")


def _check_jp2(path: Path) -> None:
    """Boxes that end within the file, and a codestream that decodes."""
    _refuse_other(path, (b"\0\0\0\x0cjP  ",), "a JP2 image")
    _check_boxes(path)
    # A file with fewer resolutions than that cannot be decoded at this reduction.
    trouble = _decode(path, reduce=3) and _decode(path, reduce=0)
    if trouble:
        raise SourceError(f"the image does not decode: it is cut off or damaged ({trouble})")


def _check_image(path: Path) -> None:
    """PNG, JPEG, GIF, TIFF: all pixels decode."""
    with path.open("rb") as file:
        start = file.read(_HEAD)
    if start.startswith(b"\0\0\0\x0cjP  "):
        _check_jp2(path)
        return
    _refuse_pages(start, "an image")
    trouble = _decode(path)
    if not trouble and start.startswith(_PNG) and _PNG_END not in _last(path):
        trouble = "no end mark"
    if trouble:
        raise SourceError(f"the image does not decode: it is cut off or damaged ({trouble})")


def _check_fits(path: Path) -> None:
    """The file is as large as its headers demand; compressed images have tiles that can be true."""
    _refuse_other(path, (b"SIMPLE  =", b"\x1f\x8b"), "a FITS file")
    try:
        _fits_checks.check_fits(path, pixels=True)
        with _unpacked(path) as file:
            _check_size(file)
    except ImageError as error:
        raise SourceError(str(error)) from error
    except _DAMAGED as error:
        raise SourceError(f"the file does not unpack: it is cut off or damaged ({error})") from error


def _check_tar(path: Path) -> None:
    """All members are there, and the mark at the end."""
    with path.open("rb") as file:
        _refuse_pages(file.read(_HEAD), "a tar file")
    try:
        with _unpacked(path) as unpacked, _open_tar(unpacked) as tar:
            members = 0
            while tar.next() is not None:
                tar.members.clear()  # which would grow
                members += 1
                if members > MAX_MEMBERS:
                    raise SourceError(f"the tar file has more than {MAX_MEMBERS} members (MAX_MEMBERS)")
            unpacked.seek(tar.offset)
            if unpacked.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
                raise SourceError("the tar file has no mark at its end: it is cut off")
            while unpacked.read(_STEP):  # to the checksum of a compressed file
                pass
    except (tarfile.TarError, *_DAMAGED) as error:
        raise SourceError(
            f"the tar file cannot be read to its end: it is cut off or damaged ({error})"
        ) from error


#: What a file can be checked for: each raises SourceError.
CHECKS: dict[str, Callable[[Path], None]] = {
    "jp2": _check_jp2,
    "fits": _check_fits,
    "tar": _check_tar,
    "gzip-tar": _check_tar,
    "json": _check_json,
    "text": _check_text,
    "noaa": _check_noaa,
    "image": _check_image,
    "any": _check_any,
}

_DAMAGED = (OSError, EOFError, zlib.error, ValueError)


class _Bounded:
    """A file, unpacked while it is read, of bounded size; a single read is bounded, too."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> _Bounded:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise SourceError(f"a header in it claims {size} bytes: it is damaged")
        data: bytes = self._file.read(size)
        self._bound()
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        if place > MAX_UNPACKED_BYTES:
            self._too_large()
        return int(self._file.seek(place, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def _bound(self) -> None:
        if self._file.tell() > MAX_UNPACKED_BYTES:
            self._too_large()

    def _too_large(self) -> None:
        raise SourceError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes (MAX_UNPACKED_BYTES)")


def _unpacked(path: Path) -> _Bounded:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return _Bounded(gzip.open(path) if packed else path.open("rb"))


def _open_tar(file: _Bounded) -> Any:
    return tarfile.open(fileobj=file, mode="r:")  # type: ignore[call-overload]


def _check_size(file: Any) -> None:
    """Compare the size of a FITS file with what its headers demand, one after the other."""
    start = 0
    while (keywords := _fits_checks._keywords(file)) is not None:
        _, demanded = _fits_checks._claims(keywords)
        stop = file.tell() + -(-demanded // _BLOCK) * _BLOCK
        if demanded:
            file.seek(stop - 1)
            if not file.read(1):
                raise SourceError(f"the headers demand {stop} bytes, the file has fewer: it is cut off")
        start = stop
    file.seek(start)
    rest = file.read(_BLOCK)
    if start == 0 or (rest and b"XTENSION".startswith(rest[:8])):
        raise SourceError(f"the header at byte {start} has no end: the file is cut off")


def _check_boxes(path: Path) -> None:
    """Walk the boxes of a JP2 up to the first that is open-ended."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 0 and len(head) >= 8:
                return
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8 or at + length > size:
                raise SourceError(
                    f"the image is cut off or damaged: a box at byte {at} of {size} has {length} bytes"
                )
            at += length


def _decode(path: Path, reduce: int | None = None) -> str:
    """Decode all pixels; what went wrong, or ""."""
    try:
        with Image.open(path) as image:
            if reduce is not None:
                image.reduce = reduce  # type: ignore[method-assign, assignment]
            image.load()
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        TypeError,
        Image.DecompressionBombError,
    ) as error:
        return " ".join(str(error).replace(repr(str(path)), path.name).split()) or type(error).__name__
    return ""


def _refuse_other(path: Path, starts: tuple[bytes, ...], wanted: str) -> None:
    with path.open("rb") as file:
        start = file.read(_HEAD)
    if not start.startswith(starts):
        _refuse_pages(start, wanted)
        raise SourceError(f"expected {wanted}, got {_start(start)}")


def _refuse_pages(start: bytes, wanted: str) -> None:
    if not start:
        raise SourceError(f"expected {wanted}, got nothing: the answer is empty")
    if _PAGE.match(start):
        raise SourceError(f"expected {wanted}, got a web page: {_title(start)}")


def _last(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, _STEP), 2)
        return file.read()


def _title(page: bytes) -> str:
    page = re.sub(rb"<!--.*?-->", b"", page[:_WORDS], flags=re.DOTALL)
    match = _TITLE.search(page)
    text = match[2] if match else page
    return _line(html.unescape(as_text(re.sub(rb"<[^>]*>", b" ", text))))


def _start(body: bytes) -> str:
    text = as_text(body[:60])
    return f"{len(body)} bytes that begin with {text!r}" if len(body) < _HEAD else repr(text)


def _line(text: str) -> str:
    """A short text in one line, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 200 else line[:197] + "..."
