"""Finding image files, and the times in their names."""

import re
from collections.abc import Iterable
from glob import glob
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from astropy.time import Time

from solartrack.coordinates.header import as_utc

__all__ = ["find_images", "none_found", "time_from_name"]

_EXTENSIONS = (".fits", ".fts", ".fits.gz", ".fts.gz", ".fits.fz", ".png", ".jpg", ".jpeg", ".jp2")
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


def none_found(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> str:
    """What to say where `find_images` gave nothing: where it looked, and whether subfolders have images."""
    paths = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    said = f"no images found in {', '.join(map(str, paths))}; expected FITS, PNG, JPG or JP2"
    for folder in filter(Path.is_dir, map(Path, paths)):
        if count := sum(map(_is_image_name, folder.rglob("*"))):
            said += f"; {count} images are in subfolders of {folder}: use '{folder}/**'"
    return said


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


def _is_image_name(path: Path) -> bool:
    return path.name.lower().endswith(_EXTENSIONS) and path.is_file()


def _natural(name: str) -> tuple[list[Any], str]:
    """Sort key that compares runs of digits as numbers."""
    parts: list[Any] = re.split(r"([0-9]+)", name)
    parts[1::2] = map(int, parts[1::2])
    return parts, name  # the name itself orders 1.png and 01.png
