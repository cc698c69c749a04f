"""The catalogue of events: read as a table, checked row by row."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from astropy.time import Time
from astropy.utils.exceptions import AstropyWarning

from solartrack._arrays import as_box
from solartrack._tables import as_moment, read_csv
from solartrack.errors import ArchiveError
from solartrack.sequence import as_days

__all__ = ["MOMENT_DAYS", "Event", "Failure", "events_of", "read_catalogue"]

_PIXELS, _ARCSEC = ("x0", "y0", "x1", "y1"), ("tx0", "ty0", "tx1", "ty1")

#: A millisecond in days: an image at the very end of a time span is inside, whatever the rounding.
MOMENT_DAYS = 1.0 / 86400e3


class Event(NamedTuple):
    """A good row of the catalogue.

    Attributes
    ----------
    number : int
        Its row, from 0.
    event : str
        Its name.
    time : str
        UTC, ISO 8601.
    mjd_tai : float
        The same as Modified Julian Date, TAI.
    box : tuple of float
    in_arcsec : bool
        Whether the box is in arcsec, not in pixels.
    length_days : float
        How long to follow it.
    """

    number: int
    event: str
    time: str
    mjd_tai: float
    box: tuple[float, ...]
    in_arcsec: bool
    length_days: float


class Failure(NamedTuple):
    """A row of ``errors.parquet``, and the row of the catalogue it belongs to; -1 for the store's own."""

    number: int
    event: str
    file: str
    reason: str


def read_catalogue(catalogue: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """Read a catalogue and check that it has events, and columns to make them of."""
    if isinstance(catalogue, pd.DataFrame):
        name, table = "the catalogue", catalogue.reset_index(drop=True)
    else:
        name, table = str(catalogue), _read_table(Path(catalogue))
    found = ", ".join(map(str, table.columns))
    missing = [c for c in ("event", "time") if c not in table]
    in_pixels, in_arcsec = (all(c in table for c in names) for names in (_PIXELS, _ARCSEC))
    if in_pixels and in_arcsec:
        raise ArchiveError(f"{name} has boxes in pixels and in arcsec; keep one of them")
    if missing or not (in_pixels or in_arcsec):
        needed = "" if in_pixels or in_arcsec else "x0, y0, x1, y1 (pixels) or tx0, ty0, tx1, ty1 (arcsec)"
        lacking = " and ".join(filter(None, [", ".join(missing), needed]))
        raise ArchiveError(f"{name} lacks the columns {lacking}; it has {found}")
    if not len(table):
        raise ArchiveError(f"{name} has no events")
    return table


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ArchiveError(f"cannot read {path}: the suffix must be .csv or .parquet, got {path.suffix!r}")
    try:
        if path.suffix.lower() == ".csv":
            return read_csv(path)
        return pd.read_parquet(path).reset_index(drop=True)
    except Exception as error:  # pyarrow and pandas raise many kinds
        raise ArchiveError(f"{path} is not a readable table: {error}") from error


def events_of(table: pd.DataFrame, length_days: float) -> tuple[list[Event], list[Failure]]:
    """Good rows of a catalogue, and for each bad one the reason."""
    events, failures = [], []
    seen: dict[str, int] = {}
    for number, row in enumerate(table.to_dict("records")):
        name = _name(row["event"])
        try:
            if not name:
                raise ValueError(f"row {number + 1} has no event name")
            if name in seen:
                raise ValueError(
                    f"row {number + 1} has the event name of row {seen[name] + 1}; the first one is used"
                )
            seen[name] = number
            events.append(_event(number, name, row, length_days))
        except (TypeError, ValueError) as error:
            failures.append(Failure(number, name, "", str(error)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # leap seconds of years to come
        days = Time([e.time for e in events], scale="utc").tai.mjd if events else []
    return [e._replace(mjd_tai=float(d)) for e, d in zip(events, days, strict=True)], failures


def _event(number: int, name: str, row: dict[Any, Any], length_days: float) -> Event:
    """A row as an event, its ``mjd_tai`` still missing."""
    in_arcsec = all(c in row for c in _ARCSEC)
    time = _moment(row["time"], "time")
    box = as_box([_number(row[c], c) for c in (_ARCSEC if in_arcsec else _PIXELS)])
    end, own = row.get("end"), row.get("duration")
    if not _blank(end) and not _blank(own):
        raise ValueError("end and duration are both given; keep one")
    if not _blank(end):
        length_days = (_moment(end, "end") - time) / pd.Timedelta(days=1)
        if length_days <= 0:
            raise ValueError(f"end {end} is not after time {row['time']}")
    if not _blank(own):
        length_days = as_days(own, "duration")
    return Event(
        number, name, time.isoformat(), np.nan, tuple(box.tolist()), in_arcsec, length_days + MOMENT_DAYS
    )


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or bool(pd.isna(value))


def _name(value: Any) -> str:
    """Name of an event, "" where there is none."""
    if _blank(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of integers that has gaps
    return str(value).strip()


def _number(value: Any, column: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{column} must be a number, got {value!r}") from None


def _moment(value: Any, column: str) -> pd.Timestamp:
    """A time in UTC, without a time zone."""
    try:
        if _blank(value) or isinstance(value, int | float):
            raise ValueError
        moment = as_moment(value)
        if moment is None:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{column} must be a date such as 2014-02-03T02:08:47, got {value!r}") from None
    return pd.Timestamp(moment).as_unit("us")
