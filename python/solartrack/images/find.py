"""Finding image files, and the times in their names."""

import os
import re
from collections.abc import Iterable, Iterator
from glob import escape, glob
from itertools import islice
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from astropy.time import Time

from solartrack.coordinates.header import as_utc

__all__ = ["find_images", "none_found", "time_from_name"]

#: More files in subfolders than these are not counted.
_ENOUGH = 10_000

_FITS = tuple(name + packed for name in (".fits", ".fit", ".fts") for packed in ("", ".gz", ".fz"))
_EXTENSIONS = (*_FITS, ".png", ".jpg", ".jpeg", ".jp2")
_NAME_TIMES = (
    re.compile(
        r"(?P<date>\d{4}_\d\d_\d\d)__(?P<h>\d\d)_(?P<m>\d\d)_(?P<s>\d\d)(?:_(?P<fraction>\d{1,3}))?__"
    ),
    re.compile(r"(?P<date>\d{4}-\d\d-\d\d)T(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)Z"),
    re.compile(r"(?<!\d)(?P<date>(?:19|20)\d{6})_(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)?(?P<tai>_TAI)?(?!\d)"),
)


def find_images(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    """Image files named by paths, folders and patterns.

    Parameters
    ----------
    paths : path-like or iterable of path-like
        A file is taken as it is; a folder gives the images directly inside it; a
        pattern (``*``, ``?``, ``[...]``, ``**``) gives what it matches, folders included. Brackets are
        part of the name if something has that name, as in ``AR [11158]/*.fits``.

    Returns
    -------
    list of Path
        Without duplicates, also where a folder is named in two ways, in natural order of the file names
        (``2.png`` before ``10.png``). Empty if a folder or a pattern has no images. From folders and
        patterns only .fits, .fit and .fts (also with .gz or .fz), .png, .jpg, .jpeg and .jp2 are taken, in
        either case, and none of the ``._*`` files in which macOS keeps attributes.

    Raises
    ------
    FileNotFoundError
        If a path that is not a pattern does not exist.

    Examples
    --------
    >>> from solartrack import images, simulate
    >>> table = simulate.write("sun", simulate.sequence(1, 2, size=64))
    >>> [path.name for path in images.find_images("sun")]
    ['frame_0000.fits', 'frame_0001.fits']
    >>> images.find_images("sun/*.jp2")
    []
    """
    found: list[Path] = []
    for path in [paths] if isinstance(paths, (str, PathLike)) else paths:
        here = Path(path)
        if here.is_dir():
            found.extend(p for p in here.iterdir() if _is_image_name(p))
        elif here.exists():
            found.append(here)
        elif any(c in fspath(path) for c in "*?["):
            literal = fspath(path).replace("[", "[[]")
            for match in map(Path, glob(literal, recursive=True) or glob(fspath(path), recursive=True)):
                inside = match.iterdir() if match.is_dir() else [match]
                found.extend(p for p in inside if _is_image_name(p))
        else:
            raise FileNotFoundError(f"no such file or folder: {here}")
    folders = {folder: folder.resolve() for folder in {p.parent for p in found}}
    once = {folders[p.parent] / p.name: p for p in reversed(found)}  # as it was named first
    return sorted(once.values(), key=lambda p: (_natural(p.name), _natural(str(p.parent))))


def none_found(paths: Iterable[Any]) -> str:
    """What to say when `find_images` finds nothing; names the pattern that finds images in subfolders.

    Parameters
    ----------
    paths : iterable of path-like
        As given to `find_images`. Anything else in it is passed over.

    Returns
    -------
    str

    Examples
    --------
    >>> from solartrack import images
    >>> print(images.none_found(["aia/2014"]))
    no images found in aia/2014; expected FITS, PNG, JPG or JP2 files
    """
    names = [fspath(path) for path in paths if isinstance(path, (str, PathLike))]
    message = (
        f"no images found{' in ' if names else ''}{', '.join(names)}; expected FITS, PNG, JPG or JP2 files"
    )
    for name in filter(os.path.isdir, names):
        count = sum(1 for _ in islice(filter(_is_image_name, _all_files(name)), _ENOUGH))
        if count:
            number = f"{count} images are" if count < _ENOUGH else f"more than {_ENOUGH} images are"
            message += f"; {number} in subfolders: use {os.path.join(escape(name), '**')!r}"
    return message


def time_from_name(path: str | PathLike[str]) -> Time | None:
    """Time in a file name, as archives write it.

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

    Examples
    --------
    >>> from solartrack.images import time_from_name
    >>> time_from_name("2014_02_03__02_08_47_34__SDO_AIA_AIA_171.jp2").isot
    '2014-02-03T02:08:47.340'
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


def _all_files(folder: str) -> Iterator[Path]:
    """Files in a folder and all folders in it but hidden ones, which ``**`` does not match either."""
    for home, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(home, file) for file in files)


def _is_image_name(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(_EXTENSIONS) and not name.startswith("._") and path.is_file()


def _natural(name: str) -> tuple[list[Any], str]:
    """Sort key that compares runs of digits as numbers."""
    parts: list[Any] = re.split(r"([0-9]+)", name)
    parts[1::2] = map(int, parts[1::2])
    return parts, name  # the name itself orders 1.png and 01.png
