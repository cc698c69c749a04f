"""Times of images as users give them, and lengths of time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from astropy.time import Time, TimeDelta

__all__ = ["FROM_FILE", "as_days", "given_times", "mjd_of", "utc_of"]

#: Stands for the time that an image's file tells.
FROM_FILE = object()


def given_times(times: Any, cadence: Any, count: int) -> list[Any]:
    """For each image: its `Time`, None, days since the first one, what is wrong, or `FROM_FILE`."""
    single = isinstance(times, str | np.datetime64 | datetime) or (isinstance(times, Time) and times.isscalar)
    if cadence is not None:
        step = as_days(cadence, "cadence")
        if times is None:
            return [step * i for i in range(count)]
        if not single:
            raise ValueError("with a cadence, times may only be the time of the first image")
        first = _time(times)
        if not isinstance(first, Time):
            raise ValueError(first or f"times must be a date such as 2014-02-03T02:08:47, got {times!r}")
        return list(first + TimeDelta(step * np.arange(count), format="jd"))
    if times is None:
        return [FROM_FILE] * count
    values = [times] if single else list(times)
    if len(values) != count:
        raise ValueError(f"times must have one entry per image, got {len(values)} for {count} images")
    return [_time(value) for value in values]


def _time(value: Any) -> Time | str | None:
    """UTC, None where there is none, or a text that says what is wrong with it."""
    if isinstance(value, str):
        value = value.strip()
        if value.lower() in ("", "nan", "nat", "none"):
            return None
    elif value is None or (not isinstance(value, Time) and pd.isna(value)):
        return None
    try:
        if not isinstance(value, str | datetime):
            return Time(value) if not isinstance(value, np.datetime64) else Time(value, scale="utc")
        if isinstance(value, str):
            try:
                return Time(value.removesuffix("Z"), scale="utc")
            except ValueError:
                value = datetime.fromisoformat(value)  # has a time zone, or is no date
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return Time(value, scale="utc")
    except ValueError:
        return f"times must be dates such as 2014-02-03T02:08:47, got {value!r}"


def utc_of(time: Time | None) -> datetime | None:
    """UTC without a time zone."""
    if time is None:
        return None
    moment: datetime
    try:
        moment = time.utc.to_datetime()
    except ValueError:  # within a leap second, which a datetime cannot hold: the moment before
        moment = (time - TimeDelta(1.0, format="sec")).utc.to_datetime()
        moment = moment.replace(second=59, microsecond=999999)
    return moment


def mjd_of(time: Time | None) -> float:
    """Modified Julian Date, TAI; NaN for None."""
    return np.nan if time is None else float(time.tai.mjd)


def as_days(length: Any, name: str) -> float:
    """A length of time (astropy Quantity, timedelta or text such as "4h") in days; positive.

    Parameters
    ----------
    length : Quantity, timedelta or str
        Text has a unit.
    name : str
        What the message calls it.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is not positive and finite, or has no unit.
    TypeError
        If it is something else.

    Examples
    --------
    >>> from solartrack.sequence.times import as_days
    >>> as_days("12h", "cadence")
    0.5
    """
    if hasattr(length, "to_value"):
        days = float(length.to_value("day"))
    elif isinstance(length, timedelta | str | np.timedelta64):
        try:
            # Without a unit pandas takes it for nanoseconds.
            if isinstance(length, str) and not re.search("[a-zA-Z:]", length):
                raise ValueError("it has no unit")
            if isinstance(length, np.timedelta64) and np.datetime_data(length.dtype)[0] == "generic":
                raise ValueError("it has no unit")
            if isinstance(length, str):
                length = re.sub(r"(?<=[\d ])d(?![a-z])", "D", length)  # pandas 4 will not take 4d
            days = pd.Timedelta(length) / pd.Timedelta(days=1)
        except ValueError as error:
            raise ValueError(
                f"{name} must be a length of time such as '4h' or '12min', got {length!r}"
            ) from error
    else:
        raise TypeError(f"{name} must be a Quantity, timedelta or string such as '4h', got {length!r}")
    if not np.isfinite(days) or days <= 0:
        raise ValueError(f"{name} must be positive, got {length!r}")
    return days
