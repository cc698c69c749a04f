"""JSOC's answers about records as tables with types, and its two time scales."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from astropy.utils.iers import LeapSeconds
from numpy.typing import NDArray

from solartrack.errors import SourceError

__all__ = ["as_object", "said", "status", "tai_text", "tai_to_utc", "typed_table", "utc_to_tai", "whole"]

_SECOND = np.timedelta64(1, "s")
_TIME = re.compile(
    r"(\d{4})[.-](\d\d)[.-](\d\d)[_T](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?(?:_?(TAI|UTC|UT|Z))?", re.IGNORECASE
)
_NO_TIME = re.compile(r"-\d")  # -4712.01.01: the beginning of the Julian day numbers
_HEX = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)
_MISSING = {"missing", "nan", "-nan", "", "invalid keylink"}
# Of the integer types: bits. The most negative number means that there is no value.
_INTEGERS = {"char": 8, "short": 16, "int": 32, "longlong": 64}
_REALS = ("float", "double")
_OF_A_SEGMENT = re.compile(r"(.+)_\d{3}")
_ADDRESS = re.compile(r"[^\s<>\"']+@[^\s<>\"']+")
_Times = NDArray[np.datetime64]
_Spans = NDArray[np.timedelta64]


class _LeapSeconds(NamedTuple):
    begin_utc: _Times
    begin_tai: _Times
    offset: _Spans  # TAI - UTC from then on


def tai_to_utc(tai: Any) -> _Times:
    """Times in TAI as UTC.

    Parameters
    ----------
    tai : array-like of datetime64, shape (n,)

    Returns
    -------
    ndarray of datetime64[us], shape (n,)
        NaT stays. A leap second, which datetime64 cannot express, becomes the last microsecond before it.

    Raises
    ------
    ValueError
        For times before 1972, when UTC had no whole seconds.

    Examples
    --------
    >>> from solartrack.sources import jsoc
    >>> jsoc.tai_to_utc(["2011-02-15T02:00:00"])
    array(['2011-02-15T01:59:26.000000'], dtype='datetime64[us]')
    """
    times = np.atleast_1d(np.asarray(tai, dtype="datetime64[us]"))
    leaps = _leap_seconds()
    at = _place(leaps.begin_tai, times)
    utc: _Times = np.subtract(times, leaps.offset[at])
    after = np.append(leaps.begin_utc, np.datetime64("NaT", "us"))[at + 1]
    return np.where(utc >= after, after - np.timedelta64(1, "us"), utc)


def utc_to_tai(utc: Any) -> _Times:
    """Times in UTC as TAI; see `tai_to_utc`.

    Parameters
    ----------
    utc : array_like of datetime64 or text, shape (n,) or one

    Returns
    -------
    ndarray of datetime64[us], shape (n,)
        With one element for one time.

    Examples
    --------
    >>> from solartrack.sources import jsoc
    >>> jsoc.utc_to_tai("2011-02-15T01:59:26")
    array(['2011-02-15T02:00:00.000000'], dtype='datetime64[us]')
    """
    times = np.atleast_1d(np.asarray(utc, dtype="datetime64[us]"))
    leaps = _leap_seconds()
    tai: _Times = np.add(times, leaps.offset[_place(leaps.begin_utc, times)])
    return tai


def tai_text(tai: Any) -> str:
    """A time in TAI as JSOC writes it: ``2011.02.11_00:00:00_TAI``, rounded to the second below."""
    moment: datetime = np.datetime64(tai, "us").astype(datetime)
    return f"{moment:%Y.%m.%d_%H:%M:%S}_TAI"


@cache
def _leap_seconds() -> _LeapSeconds:
    table = LeapSeconds.from_erfa()
    rows = [
        (f"{y:04}-{m:02}-01", round(float(s))) for y, m, s in table["year", "month", "tai_utc"] if y >= 1972
    ]
    begin = np.array([day for day, _ in rows], dtype="datetime64[us]")
    offset = np.array([seconds for _, seconds in rows]) * _SECOND
    return _LeapSeconds(begin, np.add(begin, offset), offset)


def _place(begin: _Times, times: _Times) -> NDArray[np.intp]:
    if (times < begin[0]).any():
        raise ValueError(f"times must be from 1972 on, got {times[times < begin[0]][0]}")
    return np.searchsorted(begin, times, side="right") - 1


def _read_times(name: str, values: Iterable[str]) -> tuple[_Times, bool]:
    """Times in TAI, and whether they came in TAI; all of a keyword come in one scale."""
    tai: list[Any] = []
    scales = set()
    for value in values:
        text = value.strip()
        if text.casefold() in _MISSING or _NO_TIME.match(text):
            tai.append(np.datetime64("NaT", "us"))
            continue
        match = _TIME.fullmatch(text)
        if match is None or match[7] is None:
            # JSOC reads a time without a zone as UTC, but writes none.
            raise SourceError(
                f"JSOC's {name} should be a time with its scale (TAI, UTC or Z), got {value[:60]!r}"
            )
        try:
            minute = np.datetime64("{}-{}-{}T{}:{}".format(*match.groups()[:5]), "us")
        except ValueError as error:
            raise SourceError(f"JSOC's {name}: {value!r} is no time") from error
        scales.add(match[7].upper() == "TAI")
        # Seconds are added in TAI, so the second 60 of a leap second counts.
        begin = minute if match[7].upper() == "TAI" else utc_to_tai(minute)[0]
        tai.append(begin + np.timedelta64(int(Decimal(match[6] or 0) * 1_000_000), "us"))
    if len(scales) > 1:
        raise SourceError(f"JSOC's {name} mixes TAI and UTC")
    return np.array(tai, dtype="datetime64[us]"), scales != {False}


def as_object(body: bytes | str | Mapping[str, Any], what: str) -> dict[str, Any]:
    """An answer that is a JSON object."""
    answer: Any = body
    if isinstance(body, bytes | str):
        try:
            # What programs add to HISTORY and COMMENT is not always UTF-8.
            answer = json.loads(body.decode("latin-1") if isinstance(body, bytes) else body)
        except ValueError as error:
            raise SourceError(f"{what} of JSOC should be JSON: {error}") from error
    if not isinstance(answer, Mapping):
        raise SourceError(f"{what} of JSOC should be a JSON object, got {str(answer)[:60]!r}")
    return dict(answer)


def status(answer: Mapping[str, Any]) -> int | None:
    """The status, which comes as a number or as text; None if there is none."""
    return whole(answer.get("status"))


def whole(value: Any) -> int | None:
    """A whole number that comes as a number or as text; None if it is none."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def said(answer: Mapping[str, Any]) -> str:
    """JSOC's words in an answer, without addresses of people: manifests keep them, and are shared."""
    for name in ("error", "msg"):
        if isinstance(answer.get(name), str) and answer[name]:
            return _ADDRESS.sub("...", " ".join(answer[name].split()))[:300]
    return f"status {str(answer.get('status'))[:20]}"


def typed_table(answer: Mapping[str, Any], types: Mapping[str, Any] | None) -> pd.DataFrame:
    """The keywords of an ``rs_list`` as a table; `types` is the ``series_struct`` of the series, or None."""
    if status(answer) != 0:
        raise SourceError(f"JSOC refuses the question: {said(answer)}")
    count = whole(answer.get("count"))
    kinds = {} if types is None else _kinds(types)
    columns: dict[str, pd.Series] = {}
    try:
        keywords = [(str(k["name"]), [_as_text(v) for v in k["values"]]) for k in answer.get("keywords", ())]
    except (KeyError, TypeError) as error:
        raise SourceError("JSOC's list of keywords lacks names or values") from error
    for name, values in keywords:
        if len(values) != count:
            raise SourceError(f"JSOC lists {count} records, but {len(values)} values of {name}")
        kind = kinds.get(name) or kinds.get(_OF_A_SEGMENT.sub(r"\1", name), "string")
        if kind == "time" or name == "T_REC":
            columns |= _time_columns(name, values)
        else:
            columns[name] = _column(name, kind, values)
    return pd.DataFrame(columns)


def _kinds(structure: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {keyword["name"]: keyword["type"] for keyword in structure["keywords"]}
    except (KeyError, TypeError) as error:
        raise SourceError(f"JSOC does not say what keywords there are: {said(structure)}") from error


def _as_text(value: Any) -> str:
    return "MISSING" if value is None else str(value)


def _time_columns(name: str, values: list[str]) -> dict[str, pd.Series]:
    tai, is_tai = _read_times(name, values)
    utc = pd.Series(tai_to_utc(tai), dtype="datetime64[us]")
    if name == "T_REC":
        return {"time": utc, "t_rec_tai": pd.Series(tai, dtype="datetime64[us]")}
    return {f"{name}_tai": pd.Series(tai, dtype="datetime64[us]")} if is_tai else {name: utc}


def _column(name: str, kind: str, values: list[str]) -> pd.Series:
    gone = [value.strip().casefold() in _MISSING for value in values]
    if kind in _INTEGERS:
        return _numbers(name, values, gone, lambda text: _integer(text, _INTEGERS[kind]), None, "Int64")
    if kind in _REALS:
        return _numbers(name, values, gone, float, np.nan, "float64")
    # "nan" and "" are texts like any other, "MISSING" is none.
    return pd.Series(["" if value.strip() == "MISSING" else value for value in values], dtype="str")


def _numbers(
    name: str, values: list[str], gone: list[bool], read: Callable[[str], Any], missing: Any, dtype: str
) -> pd.Series:
    numbers = []
    for value, is_gone in zip(values, gone, strict=True):
        try:
            numbers.append(missing if is_gone else read(value))
        except ValueError as error:
            raise SourceError(f"JSOC's {name} should be a number, got {value[:60]!r}") from error
    return pd.Series(numbers, dtype=dtype)


def _integer(text: str, bits: int) -> int | None:
    """An integer; a hexadecimal one is a set of bits, of which the highest is the sign."""
    if _HEX.fullmatch(text.strip()):
        # 0x80000000 is the QUALITY of a record without an image: bad, not unknown.
        number: int = int(text, 16) & ((1 << bits) - 1)
        return number - (1 << bits) if number >> (bits - 1) else number
    number = int(text)
    return None if number == -(1 << (bits - 1)) else number
