"""The features of one patch: the unit that a worker of `extract` measures."""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from astropy.io.fits import Header

from solartrack import images
from solartrack._files import shown
from solartrack._workers import DIED
from solartrack.coordinates import header as header_facts
from solartrack.errors import ImageError
from solartrack.features import COMPLEXITY_NAMES, complexity
from solartrack.features._complexity import zero_field
from solartrack.features._physical import PHYSICAL_COLUMNS, PHYSICAL_UNITS, physical
from solartrack.features._segments import refuse_others, segments_of
from solartrack.features._sharp import SHARP_COLUMNS, SHARP_ERRORS, SHARP_UNITS, keywords_of
from solartrack.features._sharp_input import read_segments
from solartrack.flares.patches import parse_names
from solartrack.sources.jsoc import tai_to_utc

__all__ = ["COLUMNS", "UNITS", "Measured", "lost", "measure", "measure_physical", "measure_sharp"]

# Numbers of the NOAA region and of the HARP, and the time.
_WHOSE: dict[str, pa.DataType] = {
    "region": pa.int64(), "harpnum": pa.int64(), "time": pa.timestamp("us")
}  # fmt: skip
#: Columns of the table of each set, after ``file``: what a patch has. Moments are UTC.
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "complexity": {
        **_WHOSE,
        **dict.fromkeys(COMPLEXITY_NAMES, pa.float64()),
        "nan_pixels": pa.int64(),
    },
    "physical": {
        **_WHOSE,
        **dict.fromkeys(PHYSICAL_COLUMNS, pa.float64()),
        "nan_pixels": pa.int64(),
    },
    "sharp": {
        **_WHOSE,
        **dict.fromkeys(("AREA", *SHARP_COLUMNS), pa.float64()),
    },
}

#: Units of these columns, as astropy reads them; the published features have none.
UNITS: dict[str, str] = {
    **{
        column: unit.to_string()
        for column, unit in zip(PHYSICAL_COLUMNS, PHYSICAL_UNITS.values(), strict=True)
    },
    **{name: unit.to_string() for name, unit in SHARP_UNITS.items()},
    **{error: SHARP_UNITS[name].to_string() for name, error in SHARP_ERRORS.items()},
    "AREA": "1e-6 hemisphere",
}

_T_REC = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)_(\d\d:\d\d:\d\d)(?:\.\d*)?_TAI")


class Measured(NamedTuple):
    """The features of a patch, or why there are none.

    Attributes
    ----------
    values : bytes
        A float64 for each of the set's `COLUMNS`, NaN where there is none, moments in microseconds since
        1970; empty if there is a reason.
    reason : str
        Why there are no features, "" if there are.
    may_pass : bool
        The reason is not the file's own and may be gone in the next run.
    """

    values: bytes
    reason: str
    may_pass: bool = False


def measure(path: Path, zero: float | None, nan_policy: Any) -> Measured:
    """Measure a file; whatever is wrong with it is the result's reason.

    Parameters
    ----------
    path : Path
        Absolute: a worker of a cluster has another working directory.
    zero, nan_policy
        As for `solartrack.archive.features.extract`.
    """

    def values() -> list[float]:
        refuse_others(path)
        patch = images.read_patch(path)
        offset = zero if zero is not None else zero_field(path, patch.array)
        features = complexity(patch, zero=offset, nan_policy=nan_policy)
        read: list[images.ImageHeader] = []

        def cards() -> images.ImageHeader:
            read.append(_cards(path))
            return read[0]

        try:
            whose = _whose(path, cards)
        except Exception:  # the features need no header, whatever is wrong with it
            whose = [np.nan] * len(_WHOSE)
        if read:
            refuse_others(path, read[0].header)
        return [*whose, *features.as_array().tolist(), features.nan_pixels]

    return _measured(path, values)


def measure_physical(path: Path) -> Measured:
    """Measure the physical features of a file; whatever is wrong with it is the result's reason.

    Parameters
    ----------
    path : Path
        Absolute.
    """

    def values() -> list[float]:
        refuse_others(path)
        patch = images.read(path)
        if zero_field(path, patch.array):
            raise ImageError("a picture has no gauss, which physical features need; give the FITS file")
        found = physical(patch)
        whose = _whose(path, lambda: images.ImageHeader(patch.header, patch.time))
        return [*whose, *found.as_row().values(), found.nan_pixels]

    return _measured(path, values)


def measure_sharp(path: Path) -> Measured:
    """Measure the SHARP keywords of a patch; whatever is wrong with it is the result's reason.

    Parameters
    ----------
    path : Path
        What the names of its segments begin with, absolute.
    """

    def values() -> list[float]:
        patch = read_segments(segments_of(path))
        keywords = keywords_of(patch)
        row = keywords.as_row()
        if all(np.isnan(row[name]) for name in SHARP_COLUMNS):
            raise ImageError(f"no keyword can be made: {', '.join(sorted(set(keywords.reasons.values())))}")
        # Of the HARP, in millionths of a hemisphere: JSOC's own, not made from these maps.
        area = _number(patch.header, "AREA")
        found = [row[name] for name in SHARP_COLUMNS]
        return [*_numbers(patch.header), _microseconds(patch.header), area, *found]

    return _measured(path, values)


def _measured(path: Path, values: Callable[[], list[float]]) -> Measured:
    try:
        if shown(path) != path.as_posix():
            raise ImageError("the file name is not UTF-8; rename the file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is in the errors table
            found = values()
    except Exception as error:  # a bad file must not stop the archive
        reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
        return Measured(b"", " ".join(shown(reason).split()), _may_pass(error))
    return Measured(np.array(found, np.float64).tobytes(), "")


def _whose(path: Path, header: Callable[[], images.ImageHeader]) -> list[float]:
    """Region, HARP and time of a patch: of its name, if that is a published one, else of its header."""
    # Of other names a table would only say, in a millisecond, that they are none.
    if "_hmi.m_720s." in path.name.lower() and not (named := parse_names(path.name).iloc[0])["trouble"]:
        return [float(named["region"]), np.nan, float(np.datetime64(named["time"], "us").astype(np.int64))]
    cards, time = header()
    moment = np.nan if time is None else float(time.utc.datetime64.astype("datetime64[us]").astype(np.int64))
    return [*_numbers(cards), moment]


def _cards(path: Path) -> images.ImageHeader:
    """The header as it stands in a plain FITS file, and the time.

    `images.read_header` makes a header that describes the pixels, which takes three times as long as the
    features. Only cards that are asked for are parsed here.
    """
    with path.open("rb") as file:
        if file.read(9) != b"SIMPLE  =":
            return images.read_header(path)
        file.seek(0)
        header = Header.fromfile(file)
        if not header["NAXIS"]:
            header = Header.fromfile(file)
    is_image = header.get("XTENSION", "IMAGE").strip() == "IMAGE" or header.get("ZIMAGE")
    if header["NAXIS"] != 2 or not is_image:  # other data come before the image
        return images.read_header(path)
    time = header_facts.time_of(header)
    return images.ImageHeader(header, images.time_from_name(path) if time is None else time)


def _numbers(header: Header) -> list[float]:
    """Numbers of the NOAA region and of the HARP, or of MDI's TARP."""
    region, harp, tarp = (_number(header, key) for key in ("NOAA_AR", "HARPNUM", "TARPNUM"))
    return [region, tarp if np.isnan(harp) else harp]


def _number(header: Header, key: str) -> float:
    """A number of a region or patch; NaN where there is none, or 0, which stands for none."""
    return header_facts.number(header, key) or np.nan


def _microseconds(header: Header) -> float:
    """The time of the record, T_REC, as UTC since 1970; NaN if the header does not tell it."""
    match = _T_REC.fullmatch(str(header.get("T_REC", "")).strip())
    if match is None:
        return np.nan
    tai = np.datetime64("{}-{}-{}T{}".format(*match.groups()), "us")
    return float(tai_to_utc(tai)[0].astype(np.int64))


def lost(path: Path) -> Measured:
    """For a file that kills the process that measures it; memory may suffice in the next run."""
    return Measured(b"", DIED, may_pass=True)


def _may_pass(error: BaseException) -> bool:
    """Whether it was the machine and not the file: no memory, no library, no access, or not there."""
    cause = error.__cause__ if isinstance(error, ImageError) and error.__cause__ else error
    # An errno is the system's; decoders raise OSError without one, or with EINVAL after a wild seek.
    return isinstance(cause, MemoryError | ImportError | FileNotFoundError) or (
        isinstance(cause, OSError) and cause.errno not in (None, errno.EINVAL)
    )
