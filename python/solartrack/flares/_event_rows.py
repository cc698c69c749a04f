"""Rows of a table of events from lines of reports: columns, times across midnight, classes."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from solartrack.flares.classes import flare_class, peak_flux
from solartrack.sources._srs import full_region_number

__all__ = [
    "EVENT_COLUMNS",
    "as_class",
    "as_region",
    "events_frame",
    "is_complete",
    "later",
    "report_day",
    "report_rows",
    "scaled",
]

#: Columns of a table of events, with their types.
EVENT_COLUMNS = {
    "region": "Int32",
    "start": "datetime64[us]",
    "peak": "datetime64[us]",
    "end": "datetime64[us]",
    "flare_class": "str",
    "peak_flux": "float64",
    "observatory": "str",
    "quality": "str",
    "location": "str",
    "type": "str",
    "particulars": "str",
    "day": "datetime64[us]",
    "file": "str",
    "line": "int32",
}

# Where the values of a line are; a letter before a time says after, before or uncertain.
_PARTS = {
    "number": slice(0, 4), "start": slice(10, 15), "peak": slice(17, 22), "end": slice(27, 32),
    "observatory": slice(34, 37), "quality": slice(39, 40), "type": slice(43, 46), "location": slice(48, 57),
    "particulars": slice(58, 75), "region": slice(75, None),
}  # fmt: skip
_TYPE = re.compile(r"[A-Z]{3}")
_CLOCK = re.compile(r"[ABU]?([01]\d|2[0-4])([0-5]\d)")
_NO_TIME = ("", "////")
_PLACE = re.compile(r"[NS]\d{2}[EW]\d{2,3}")
_LINE_END = re.compile(r"\r\n|\r|\n")
_NOTHING = re.compile(r"NO EVENT", re.IGNORECASE)
_DAY_IN_NAME = re.compile(r"(\d{8})(?=events)", re.IGNORECASE)
_DATE = re.compile(r":Date:\s*(\d{4})\s+(\d{1,2})\s+(\d{1,2})", re.IGNORECASE)
_CREATED = re.compile(r":Created:\s*(\d{4} [A-Za-z]{3} \d{1,2} \d{4})", re.IGNORECASE)
_EDITED = re.compile(r"Events for\s+(\d{4})\s+([A-Za-z]{3})\w*\s+(\d{1,2})", re.IGNORECASE)
# What seems to last longer than this once midnight is passed ends before it begins. Filaments disappear, and
# radio sweeps and noise go on, for longer.
_LONGEST, _DAY = timedelta(hours=12), timedelta(days=1)
_LONG = ("DSF", "RNS", "RSP")
_GOES = re.compile(r"G(?:OES|[O0])?[- ]?0?(\d{1,2})", re.IGNORECASE)
# Since then the primary satellites of SWPC for X-rays have been GOES 8 and later, and GOES 16 and later.
_GOES_8, _GOES_16 = np.datetime64("1995-03-01T00:00", "us"), np.datetime64("2019-12-09T17:30", "us")

Trouble = tuple[str, int, str]


def report_day(name: str, text: str, troubles: list[Trouble]) -> datetime | None:
    """Day of a report, as the file's name says, else as the text does; None if it is no report of events."""
    said = []
    for match, form in (
        (_DAY_IN_NAME.search(name.rpartition("/")[2]), "%Y%m%d"),
        (_DATE.search(text[:2000]), "%Y %m %d"),
        (_EDITED.search(text[:2000]), "%Y %b %d"),
    ):
        with contextlib.suppress(ValueError):
            if match is not None:
                said.append(datetime.strptime(" ".join(match.groups()), form))
    lines = _LINE_END.split(text)
    if not said or not any(
        line.startswith("#Event") or _NOTHING.search(line) or _TYPE.fullmatch(line[_PARTS["type"]])
        for line in lines
    ):
        return None
    if said[0] != said[-1]:
        troubles.append((name, 0, f"its text says that it is of {said[-1]:%Y-%m-%d}"))
    return said[0]


def is_complete(text: str, day: datetime) -> bool:
    """Whether a report of a day was made after its end, or does not say when."""
    match = _CREATED.search(text[:2000])
    if match is not None:
        with contextlib.suppress(ValueError):
            return datetime.strptime(match[1], "%Y %b %d %H%M") >= day + _DAY
    return True


def report_rows(
    name: str, text: str, day: datetime, types: Iterable[str], rollover: bool, troubles: list[Trouble]
) -> Iterator[dict[str, Any]]:
    """Rows of a report. What is amiss goes to `troubles`."""
    for number, line in enumerate(_LINE_END.split(text), 1):
        line = line.rstrip()
        if not line or line[0] in "#:" or _NOTHING.search(line):
            continue
        words = {key: line[part].strip() for key, part in _PARTS.items()}
        if not words["number"].isdecimal() or _TYPE.fullmatch(words["type"]) is None:
            troubles.append((name, number, f"no event: {line[:60]!r}"))
        elif words["type"] in types:
            row, wrong = _row(words, day, rollover)
            if wrong:
                troubles.append((name, number, f"{', '.join(wrong)}: {line[:80]!r}"))
            yield row | {"file": name, "line": number}


def _row(words: dict[str, str], day: datetime, rollover: bool) -> tuple[dict[str, Any], list[str]]:
    """Values of a line, and what is wrong with them; a value that is wrong is missing."""
    wrong: list[str] = []
    row: dict[str, Any] = {"day": day, "type": words["type"]}
    anchor, before = day, "day"
    for column, what in (("start", "begin"), ("peak", "maximum"), ("end", "end")):
        text = words[column]
        row[column] = None
        if text in _NO_TIME:
            continue
        match = _CLOCK.fullmatch(text)
        if match is None or (match[1] == "24" and match[2] != "00"):
            wrong.append(f"no time of its {what}")
            continue
        moment = day + timedelta(hours=int(match[1]), minutes=int(match[2]))
        if rollover:
            moved = later(moment, anchor, _DAY if words["type"] in _LONG else _LONGEST)
            if moved is None:
                wrong.append(f"its {what} lies before its {before}")
                continue
            moment, anchor, before = moved, moved, what
        row[column] = moment
    for column in ("observatory", "quality"):
        row[column] = words[column]
    row["particulars"] = " ".join(words["particulars"].split())
    row["location"] = words["location"] if _PLACE.fullmatch(words["location"]) else ""
    row["flare_class"] = row["particulars"].partition(" ")[0] if words["type"] == "XRA" else ""
    if words["type"] == "XRA" and re.fullmatch(r"[\d.]+E[+-]\d+", row["flare_class"]):
        row["flare_class"] = ""  # the integrated flux: there is no class
    row["flare_class"], row["peak_flux"] = as_class(row["flare_class"], wrong, needed=words["type"] == "XRA")
    row["region"] = as_region(words["region"], day, wrong)
    return row, wrong


def later(moment: datetime, anchor: datetime, longest: timedelta = _LONGEST) -> datetime | None:
    """A time of the day at or after another one, maybe on the next day; None if that is too long after it.

    Parameters
    ----------
    moment : datetime
        On the day of `anchor`, or the one before it.
    """
    moved = moment
    while moved < anchor:
        moved += _DAY
    return None if moved != moment and moved - anchor > longest else moved


def as_class(text: str, wrong: list[str], *, needed: bool = True) -> tuple[str, float]:
    """A flare class and its peak flux; "" and NaN, with a word in `wrong`, where it is none."""
    text = text.strip().upper()
    if text:
        with contextlib.suppress(ValueError):
            return text, peak_flux(text)
    if needed:
        wrong.append(f"{text!r} is no flare class" if text else "no flare class")
    return "", math.nan


def as_region(value: Any, time: Any, wrong: list[str]) -> int | None:
    """Full number of a region; None for none (empty, 0), with a word in `wrong` where it is no number."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip().removesuffix(".0")
    if text in ("", "nan", "<NA>", "None"):
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        wrong.append(f"{text[:20]!r} is no number of a region")
        return None
    return full_region_number(int(text), time) if int(text) else None


def events_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns `EVENT_COLUMNS`."""
    return pd.DataFrame({
        name: pd.Series([row.get(name, "") for row in rows], dtype=kind) if kind == "str"
        else pd.Series([row.get(name) for row in rows], dtype=kind)
        for name, kind in EVENT_COLUMNS.items()
    })  # fmt: skip


def scaled(table: pd.DataFrame) -> pd.DataFrame:
    """Events with their classes on the scale of the science data: those of GOES 8 to 15 divided by 0.7."""
    goes = pd.to_numeric(table["observatory"].str.extract(f"^(?:{_GOES.pattern})$", flags=_GOES.flags)[0])
    time = table["peak"].fillna(table["start"]).fillna(table["day"])
    by_date = (time >= _GOES_8) & (time < _GOES_16)
    old = goes.between(8, 15).where(goes.notna(), by_date)
    # Rounded, as M7.0 must become X1.0 and not a little less: 7e-5 / 0.7 is 9.999999999999999e-05.
    flux = table["peak_flux"].where(~old, (table["peak_flux"] / 0.7).map(lambda x: float(f"{x:.12g}")))
    return table.assign(
        peak_flux=flux,
        flare_class=pd.Series(
            np.where(old, flare_class(flux.to_numpy()), table["flare_class"]), table.index, dtype="str"
        ),
    )
