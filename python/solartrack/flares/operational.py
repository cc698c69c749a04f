"""Operational forecasts: tables in percent, and what happened in their windows."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from solartrack._tables import as_times
from solartrack.flares._baselines import as_moments
from solartrack.flares._columns import refuse_single

__all__ = ["occurrences", "read_percent_forecasts"]

_MOST_HOURS = 2_400_000.0  # the sum of a time and a window must fit into datetime64[us]
_PERCENT = re.compile(r"nan|[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def read_percent_forecasts(path: str | os.PathLike[str], columns: Sequence[str | None]) -> pd.DataFrame:
    """Read a table of forecasts in percent, with fields between blanks and no header.

    Such are the operational forecasts of the Met Office and of SWPC that were published with Murray et al.
    2017, Space Weather 15, 577.

    Parameters
    ----------
    path : path
        Empty lines are skipped.
    columns : sequence of str or None
        What each field is: the parts of the time by the names "year", "month", "day", "hour", "minute" or
        "hhmm" (four digits); other names are forecasts in percent, None is skipped. For example
        ``["year", "month", "day", "hour", "minute", "M day 1", "M day 2"]``.

    Returns
    -------
    pandas.DataFrame
        ``time`` (UTC), then a column for each forecast: probabilities from 0 to 1, NaN where the file says
        NaN.

    Raises
    ------
    ValueError
        If a line has another number of fields, a time that does not exist or a number outside 0 to 100;
        the message has its number. If there is no line, columns do not make a time, or a name comes twice.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack.flares.operational import read_percent_forecasts
    >>> _ = Path("forecasts.txt").write_text("2015 03 11 00 00 55 10")
    >>> read_percent_forecasts("forecasts.txt", ["year", "month", "day", "hour", "minute", "M", "X"])
            time     M    X
    0 2015-03-11  0.55  0.1
    """
    parts = ("year", "month", "day", "hour", "minute", "hhmm")
    names = [name for name in columns if name is not None and name not in parts]
    given = [name for name in columns if name is not None]
    if (
        not {"year", "month", "day"} <= set(given)
        or len(set(given)) < len(given)
        or "time" in names
        or not names
    ):
        raise ValueError(
            f"columns must name year, month, day and at least one forecast, each once, and none 'time', "
            f"got {list(columns)}"
        )
    times, rows = [], []
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != len(columns):
                raise ValueError(
                    f"{os.fspath(path)}, line {number} must have {len(columns)} fields, got {len(fields)}: "
                    f"{line.strip()[:80]!r}"
                )
            row = {name: field for name, field in zip(columns, fields, strict=True) if name is not None}
            try:
                times.append(_time_of(row))
                rows.append([_percent(row[name], name) for name in names])
            except ValueError as error:
                raise ValueError(f"{os.fspath(path)}, line {number}: {error}") from error
    if not rows:
        raise ValueError(f"{os.fspath(path)} has no forecasts: all its lines are empty")
    table = pd.DataFrame(np.array(rows, dtype=np.float64).reshape(-1, len(names)), columns=names)
    table.insert(0, "time", as_times(times))
    return table


def _time_of(row: dict[str, str]) -> datetime:
    clock = row.get("hhmm", "0000")
    if not re.fullmatch(r"\d{4}", clock, re.ASCII):
        raise ValueError(f"hhmm must be four digits, got {clock!r}")
    hour, minute = row.get("hour", clock[:2]), row.get("minute", clock[2:])
    fields = (row["year"], row["month"], row["day"], hour, minute)
    if not re.fullmatch(r"\d{4}( \d\d?){4}", " ".join(fields), re.ASCII):
        raise ValueError(f"the time must be a year of four digits and numbers of one or two, got {fields}")
    numbers = [int(field) for field in fields]
    return datetime(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])


def _percent(text: str, name: str) -> float:
    value = float(text) if _PERCENT.fullmatch(text) else math.inf
    if not (math.isnan(value) or 0 <= value <= 100):
        raise ValueError(f"{name} must be percent from 0 to 100, got {text!r}")
    return value / 100


def occurrences(
    time: ArrayLike,
    starts: ArrayLike,
    *,
    hours: float = 24.0,
    lead_hours: float = 0.0,
    covered: tuple[Any, Any] | None = None,
) -> pd.api.extensions.ExtensionArray:
    """Whether anything happened in the window of each forecast, for the whole disk.

    Parameters
    ----------
    time : array_like of datetime-like, shape (n,)
        When the forecasts begin to hold, UTC.
    starts : array_like of datetime-like, shape (m,)
        When the events that count began, UTC: choose their classes before.
    hours : float
        Length of the window.
    lead_hours : float
        From `time` to the start of the window: 24 for the second day.
    covered : (datetime-like, datetime-like), optional
        Between which the list of events is complete; by default everywhere.

    Returns
    -------
    pandas array of Int8, shape (n,)
        1 if an event begins at or after the start of the window and before its end; else 0, or NA if
        the window leaves `covered`.

    Raises
    ------
    ValueError
        If a time is missing or no time, `hours` is not positive, or one of the lengths is no number or
        more than 100 000 days.
    TypeError
        If `time` or `starts` is a single one.

    Examples
    --------
    >>> from solartrack.flares.operational import occurrences
    >>> occurrences(["2011-02-14", "2011-02-15"], ["2011-02-15T01:44"]).tolist()
    [0, 1]
    """
    numbers = all(isinstance(value, int | float | np.integer | np.floating) for value in (hours, lead_hours))
    if not numbers or not 0 < hours <= _MOST_HOURS or not abs(lead_hours) <= _MOST_HOURS:
        raise ValueError(
            f"hours must be positive and lead_hours finite, both numbers of at most {_MOST_HOURS:.0f}, "
            f"got {hours!r} and {lead_hours!r}"
        )
    for name, times_ in (("time", time), ("starts", starts)):
        refuse_single(times_, name)
    begin = as_moments(time) + np.timedelta64(round(float(lead_hours) * 3.6e9), "us")
    end = begin + np.timedelta64(round(float(hours) * 3.6e9), "us")
    at = np.sort(as_moments(starts))
    happened = np.searchsorted(at, end, side="left") > np.searchsorted(at, begin, side="left")
    out = pd.array(happened.astype(np.int8), dtype="Int8")
    if covered is not None:
        first, last = as_moments(covered)
        out[~happened & ((begin < first) | (end > last))] = pd.NA
    return out
