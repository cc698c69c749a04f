"""Lists of flares in any layout: which column has what, and their rows as rows of events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from solartrack._tables import as_moment
from solartrack.flares._event_rows import EVENT_COLUMNS, as_class, as_region, later

__all__ = ["FLARE_LISTS", "layout_of", "listed"]

#: Known layouts of flare lists: column of a table of events -> name in the list.
FLARE_LISTS: dict[str, dict[str, str]] = {
    "solartrack": {name: name for name in ("region", "start", "peak", "end", "flare_class")},
    "hek": {
        "region": "ar_noaanum", "start": "time", "peak": "event_peaktime", "end": "end",
        "flare_class": "fl_goescls",
    },
    "swpc": {
        "day": "date", "start": "start_time", "peak": "max_time", "end": "end_time",
        "observatory": "goes_sat", "flare_class": "goes_class", "region": "noaa_ar",
    },
    "hayes": {
        "start": "event_starttime", "peak": "event_peaktime", "end": "event_endtime",
        "flare_class": "goes_class", "region": "noaa_ar", "location": "position_hgs",
    },
    "liu": {"start": "Start Time", "end": "End Time", "flare_class": "Flares", "region": "NOAA"},
}  # fmt: skip

_MAPPED = (*(name for name in EVENT_COLUMNS if name not in ("peak_flux", "file", "line")),)
_MAPPED = tuple(name for name in EVENT_COLUMNS if name not in ("peak_flux", "file", "line"))
_CLOCK = re.compile(r"\d{1,4}")


def layout_of(given: pd.DataFrame, columns: Mapping[str, str] | str | None, name: str) -> dict[str, str]:
    """Column of a table of events -> name in a list; arguments as for `read_flare_list`."""
    if columns is None:
        for layout in FLARE_LISTS.values():
            if all(own in given for own in layout.values()):
                extra = {key: key for key in _MAPPED if layout.get("start") == "start" and key in given}
                return {**extra, **layout}
        raise ValueError(
            f"{name} is of no known layout ({', '.join(FLARE_LISTS)}); give columns, such as "
            f"{{'start': 'begin', 'flare_class': 'class'}}; it has {', '.join(map(str, given.columns))[:200]}"
        )
    if isinstance(columns, str) and columns not in FLARE_LISTS:
        raise ValueError(f"columns must be a mapping or one of {', '.join(FLARE_LISTS)}, got {columns!r}")
    layout = dict(FLARE_LISTS[columns] if isinstance(columns, str) else columns)
    if unknown := [key for key in layout if key not in _MAPPED]:
        raise ValueError(f"columns may name {', '.join(_MAPPED)}, got {unknown[0]!r}")
    if "flare_class" not in layout or not {"start", "peak"} & set(layout):
        raise ValueError(f"columns must name flare_class, and start or peak, got {', '.join(layout)}")
    if lacking := [own for own in layout.values() if own not in given]:
        raise ValueError(f"{name} lacks the columns {', '.join(map(str, lacking))}")
    return layout


def listed(record: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A row of a list as a row of events, and what is wrong with it; an empty row if it has no time."""
    wrong: list[str] = []
    day = _listed_day(record.get("day"), wrong)
    row: dict[str, Any] = {}
    anchor, before = day, "day"
    for column in ("start", "peak", "end"):
        row[column] = None
        moment, is_clock = _listed_time(record.get(column), column, anchor, wrong)
        if moment is None:
            continue
        if before != "day" and anchor is not None and moment < anchor and not is_clock:
            # Some lists have the day of the start in all times.
            moved = later(moment, anchor) if anchor - moment < timedelta(days=1) else None
            taken = "" if moved is None else "; it is taken on the next day"
            wrong.append(f"its {column} {moment} lies before its {before} {anchor}{taken}")
            if moved is None:
                continue
            moment = moved
        row[column], anchor, before = moment, moment, column
    first = row["start"] or row["peak"]
    if first is None:
        return {}, [*wrong, "neither a start nor a peak: the row is left out"]
    row["day"] = day or first.replace(hour=0, minute=0, second=0, microsecond=0)
    row["flare_class"], row["peak_flux"] = as_class(_text(record.get("flare_class")), wrong)
    row["region"] = as_region(record.get("region"), first, wrong)
    for column in ("observatory", "quality", "location", "type", "particulars"):
        if column in record:
            row[column] = _text(record[column])
    return row, wrong


def _listed_day(value: Any, wrong: list[str]) -> datetime | None:
    text = _text(value).removesuffix(".0")
    try:
        if re.fullmatch(r"\d{8}", text):
            return datetime.strptime(text, "%Y%m%d")
        moment = as_moment(text if isinstance(value, str | int | float) else value)
    except ValueError:
        wrong.append(f"{text[:30]!r} is no day")
        return None
    return None if moment is None else moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _listed_time(
    value: Any, column: str, anchor: datetime | None, wrong: list[str]
) -> tuple[datetime | None, bool]:
    """A time, and whether it was one of the day only."""
    text = _text(value)
    if text in ("", "////"):
        return None, False
    clock = text.removesuffix(".0")
    if _CLOCK.fullmatch(clock):
        hours, minutes = divmod(int(clock), 100)
        if anchor is None:
            wrong.append(f"its {column} is a time of an unknown day")
        elif minutes > 59 or hours * 100 + minutes > 2400:
            wrong.append(f"{text!r} is no time of its {column}")
        else:
            midnight = anchor.replace(hour=0, minute=0, second=0, microsecond=0)
            moment = later(midnight + timedelta(hours=hours, minutes=minutes), anchor)
            if moment is None:
                wrong.append(f"its {column} {text} lies before {anchor}")
            return moment, True
        return None, True
    try:
        return as_moment(value if not isinstance(value, str) else text), False
    except ValueError:
        wrong.append(f"{text[:30]!r} is no time of its {column}")
        return None, False


def _text(value: Any) -> str:
    return "" if value is None or value is pd.NaT or value is pd.NA or value != value else str(value).strip()
