"""Names of magnetogram patches: the published scheme, read and written in one place.

``NNNN_hmi.M_720s.YYYYMMDD_HHMMSS_TAI.1.magnetogram.fits``: the number of the NOAA region, four digits in the
published set, and the time of the record in TAI. The 8-bit pictures made from them end with
``magnetogram_224.png``, the side in pixels.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from solartrack._files import shown
from solartrack._tables import as_moment
from solartrack.sources._srs import full_region_number, full_region_numbers
from solartrack.sources.jsoc import tai_to_utc, utc_to_tai

__all__ = ["PATCH_COLUMNS", "format_name", "parse_names"]

#: Columns of a table of patches, with their types.
PATCH_COLUMNS = {
    "file": "str",
    "name": "str",
    "region": "Int32",
    "number": "Int32",
    "time": "datetime64[us]",
    "time_tai": "datetime64[us]",
    "kind": "str",
    "trouble": "str",
}

_FORM = (
    r"(?i)^(?P<number>[0-9]{4,5})_hmi\.M_720s\."
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})_(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})"
    r"(?P<second>[0-9]{2})_TAI\.[0-9]\.magnetogram(?:\.(?P<fits>fits)|(?:_[0-9]{1,4})?\.png)$"
)
_WANTED = "the name is not like 1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits"
_FIRST_YEAR = 1972  # of whole seconds between UTC and TAI
_ENDS = {"fits": ".fits", "png": "_224.png"}


def parse_names(names: Any) -> pd.DataFrame:
    r"""Regions and times of patches, from the names of their files.

    Parameters
    ----------
    names : str, path, or iterable of them, length n
        File names, with or without folders in front, separated by ``/`` or ``\``.

    Returns
    -------
    pandas.DataFrame
        A row for each name, in their order; columns as `PATCH_COLUMNS`: ``file`` (as given), ``name``
        (without folders), ``region`` (number with all its digits), ``number`` (as written), ``time`` (UTC)
        and ``time_tai`` (as written), ``kind`` ("fits" or "png"), and ``trouble``: why a name is none of
        the scheme, else "". Such a row has NA, NaT and "" for what is not known.

    Notes
    -----
    Both cases are taken, as JSOC writes ``hmi.m_720s`` by default. A stamp within a leap second becomes
    the last microsecond before it, see `solartrack.sources.jsoc.tai_to_utc`.

    Examples
    --------
    >>> from solartrack.flares import parse_names
    >>> parse_names(["1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits"])["time"][0]
    Timestamp('2011-02-15 01:59:26')
    """
    one = isinstance(names, str | os.PathLike)
    files, given = _as_texts([names] if one else names)
    name = pc.replace_substring_regex(files, r"^.*[/\\]", "")
    parts = pc.extract_regex(name, _FORM)
    good = pc.is_valid(parts).to_numpy(zero_copy_only=False)
    trouble = np.full(len(files), "", dtype=object)
    trouble[~good] = _WANTED
    trouble[~given] = "there is no name"

    def field(key: str) -> NDArray[np.int64]:
        texts = pc.if_else(pc.is_valid(parts), pc.struct_field(parts, key), "0")
        numbers: NDArray[np.int64] = pc.cast(texts, pa.int64()).to_numpy()
        return numbers

    number = field("number")
    tai, is_time = _times(*(field(key) for key in ("year", "month", "day", "hour", "minute", "second")))
    trouble[good & ~is_time] = "its digits are no time"
    trouble[good & is_time & (number == 0)] = "there is no region 0"
    fine = trouble == ""
    tai[~fine] = np.datetime64("NaT")
    utc = tai.copy()
    utc[fine] = tai_to_utc(tai[fine])
    is_png = pc.fill_null(pc.equal(pc.struct_field(parts, "fits"), ""), False).to_numpy(zero_copy_only=False)
    region = full_region_numbers(number, np.where(fine, tai, np.datetime64("1970", "us")))
    return pd.DataFrame({
        "file": pd.Series(files.to_pandas(), dtype="str"),
        "name": pd.Series(name.to_pandas(), dtype="str"),
        "region": pd.arrays.IntegerArray(np.where(fine, region, 0).astype(np.int32), ~fine),
        "number": pd.arrays.IntegerArray(np.where(fine, number, 0).astype(np.int32), ~fine),
        "time": utc,
        "time_tai": tai,
        "kind": pd.Series(np.select([~fine, is_png], ["", "png"], "fits"), dtype="str"),
        "trouble": pd.Series(trouble, dtype="str"),
    })  # fmt: skip


def _as_texts(names: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Names as an Arrow array, and where there are any."""
    if not isinstance(names, Iterable) or isinstance(names, bytes):
        raise TypeError(f"names must be file names or paths, got {type(names).__name__}")
    values = list(names)
    given = np.full(len(values), True)
    if set(map(type, values)) <= {str}:  # a million of them take no time
        with contextlib.suppress(UnicodeError):  # bytes that are not UTF-8
            return pa.array(values, pa.string()), given
    given = np.array([isinstance(one, str | os.PathLike) for one in values], dtype=bool)
    texts = [shown(os.fspath(one)) if ok else "" for one, ok in zip(values, given, strict=True)]
    return pa.array(texts, pa.string()), given


def _times(
    year: NDArray[np.int64],
    month: NDArray[np.int64],
    day: NDArray[np.int64],
    hour: NDArray[np.int64],
    minute: NDArray[np.int64],
    second: NDArray[np.int64],
) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Times from their parts, and which of them are times."""
    months = (year - 1970) * 12 + month - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    same = (days.astype("datetime64[M]").astype(np.int64) == months) & (month >= 1) & (month <= 12)
    seconds = (3600 * hour + 60 * minute + second) * np.timedelta64(1, "s")
    times: NDArray[np.datetime64] = np.add(days.astype("datetime64[us]"), seconds)
    return times, same & (year >= _FIRST_YEAR) & (hour < 24) & (minute < 60) & (second < 60)


def format_name(
    region: int, time: Any, *, kind: Literal["fits", "png"] = "fits", scale: Literal["utc", "tai"] = "utc"
) -> str:
    """The published name of a patch.

    Parameters
    ----------
    region : int
        Number of the NOAA region with all its digits; the last four are written.
    time : datetime-like
        Of the record, to the second.
    kind : {"fits", "png"}
        A FITS file, or the 8-bit picture of 224 x 224 pixels.
    scale : {"utc", "tai"}
        Of `time`.

    Returns
    -------
    str
        Such as ``1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits``.

    Raises
    ------
    ValueError
        If the number is not positive or would be read as another, the time is none or lies before 1972, or
        another argument is unknown.

    Examples
    --------
    >>> from solartrack.flares import format_name
    >>> format_name(11158, "2011-02-15T02:00:00")
    '1158_hmi.M_720s.20110215_020034_TAI.1.magnetogram.fits'
    """
    if isinstance(region, bool) or not isinstance(region, int | np.integer) or region < 1:
        raise ValueError(f"region must be a positive integer, got {region!r}")
    if kind not in _ENDS:
        raise ValueError(f"kind must be 'fits' or 'png', got {kind!r}")
    if scale not in ("utc", "tai"):
        raise ValueError(f"scale must be 'utc' or 'tai', got {scale!r}")
    try:
        moment = as_moment(time)
    except ValueError as error:
        raise ValueError(f"time must be such as 2011-02-15T01:59:26, got {time!r}") from error
    if moment is None:
        raise ValueError(f"time must be such as 2011-02-15T01:59:26, got {time!r}")
    if scale == "utc":
        moment = utc_to_tai(moment)[0].item()
    short = int(region) % 10000
    if not short or full_region_number(short, moment) != region:
        raise ValueError(
            f"region must be one that the last four digits give back in {moment:%Y}, such as 11158 since "
            f"June 2002, got {region!r}"
        )
    stamp = f"{moment:%Y%m%d_%H%M%S}"
    return f"{short:04}_hmi.M_720s.{stamp}_TAI.1.magnetogram{_ENDS[kind]}"
