"""Flares as they are reported: NOAA's edited event reports, event lists and flare lists, compared.

An X-ray class from an operational report of GOES 8 to 15 was made 0.7 of what the satellite measured, so that
it agreed with earlier satellites. ``class_scale="science"`` takes the factor off. Where the satellite is not
said it is SWPC's primary one: GOES 8 to 15 from 1 March 1995 to 9 December 2019, 17:30 UTC.

References
----------
Machol, Codrescu & Peck 2021, User's Guide for GOES-R XRS L2 Products, NOAA NCEI, section 2: the factor. The
dates are those of SWPC's list of primary satellites, as the package fetchsep has it
(https://github.com/ktindiana/fetchsep, reference/GOES_Primary_Secondary_Status.csv).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from solartrack._files import write_bytes
from solartrack._show import as_html, as_text
from solartrack._tables import read_csv
from solartrack.errors import SourceError
from solartrack.flares._compare import compared
from solartrack.flares._event_rows import (
    EVENT_COLUMNS,
    Trouble,
    as_class,
    as_region,
    events_frame,
    is_complete,
    report_day,
    report_rows,
    scaled,
)
from solartrack.flares._flare_lists import FLARE_LISTS, layout_of, listed
from solartrack.sources._srs import decoded, report_texts, told

__all__ = [
    "EVENT_COLUMNS",
    "FLARE_LISTS",
    "Events",
    "compare_events",
    "read_event_list",
    "read_events",
    "read_flare_list",
    "write_event_list",
]

Convention = Literal["default", "published"]
ClassScale = Literal["operational", "science"]

_EVENT_LINE = re.compile(r"\s*(\d{4}) (\d{2}) (\d{2}),(\d{4}|////),(\d{0,5}),(\S*)\s*")


class Events(NamedTuple):
    """Events that have been read.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each event, in the order of the reports; columns as `EVENT_COLUMNS`: ``region`` (all
        digits, NA for none), ``start``, ``peak``, ``end`` (UTC, NaT where unknown), ``flare_class`` ("C5.7"),
        ``peak_flux`` (W/m2, 1 to 8 Angstrom; "" and NaN without a class), ``observatory``, ``quality``,
        ``location`` ("S10E01", as seen from the Earth), ``type``, ``particulars`` (as reported), ``day`` (of
        the report, which is that of the begin), ``file`` and ``line``.
    days : pandas.DatetimeIndex
        The UTC days that are covered, those without events included, but not a day whose report was made
        before its end: more events may follow. A list that does not say what it covers is taken to cover
        all days from its first to its last event.
    troubles : pandas.DataFrame
        ``file``, ``line``, ``trouble``: lines that are not as they should be, and files that are none.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> table = pd.DataFrame({"region": [11158], "peak": pd.to_datetime(["2011-02-15T01:56"])})
    >>> days = pd.date_range("2011-02-14", "2011-02-17")
    >>> events = flares.Events(table.assign(flare_class="X2.2"), days, pd.DataFrame())
    >>> len(events.table), len(events.days)
    (1, 4)
    """

    table: pd.DataFrame
    days: pd.DatetimeIndex
    troubles: pd.DataFrame

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def read_events(
    source: Any,
    *,
    types: Iterable[str] = ("XRA",),
    convention: Convention = "default",
    class_scale: ClassScale = "operational",
) -> Events:
    """Read edited event reports (``YYYYMMDDevents.txt``).

    Parameters
    ----------
    source : path, bytes, table of `solartrack.sources.swpc.reports`, or iterable of these
        Text files, folders of them, tar files (plain or packed), or the content of a text or tar file.
    types : iterable of str
        Types of events to keep, such as "XRA" (X-rays), "FLA" (optical flares), "RSP".
    convention : {"default", "published"}
        "published" gives the events of the published list: X-ray events with a region, each time on the day
        of its report even if midnight was passed, and the events of a day as often as it is reported.
    class_scale : {"operational", "science"}
        Classes as reported, or without the factor 0.7 of GOES 8 to 15, see `solartrack.flares.events`.

    Returns
    -------
    Events
        Two reports of one day: the later one counts, in the order given. The same line twice counts once.

    Warns
    -----
    SourceWarning
        Once, if lines are not as they should be. A value that is wrong (a time before the begin, "C" as
        a class) is missing; what is no event at all costs its line, and a file that is no report itself.

    Raises
    ------
    FileNotFoundError
        If a file or folder is not there.
    SourceError
        If a tar file is damaged, or there is no report at all.
    ValueError
        If an argument is unknown.

    Notes
    -----
    A report has times of the day only. The begin is on the day of the report, a maximum or an end that is
    earlier than what comes before it on the next day; if that makes it more than 12 hours later, it is wrong.
    Letters before times (A after, B before, U uncertain) are dropped.

    Examples
    --------
    >>> from solartrack import flares
    >>> report = b''':Product: 20170904events.txt
    ... :Created: 2017 Sep 07 0332 UT
    ... :Date: 2017 09 04
    ... #Event    Begin    Max       End  Obs  Q  Type  Loc/Frq   Particulars       Reg#
    ... 5850 +     2028   2033      2037  G13  5   XRA  1-8A      M5.5    2.1E-02   2673
    ... '''
    >>> flares.read_events(report).table[["region", "peak", "flare_class"]]
       region                peak flare_class
    0   12673 2017-09-04 20:33:00        M5.5
    """
    published = _is_published(convention)
    wanted = [types] if isinstance(types, str) else list(types)
    if not wanted or not all(isinstance(one, str) and re.fullmatch("[A-Z]{3}", one) for one in wanted):
        raise ValueError(f"types must be such as 'XRA' or 'FLA', got {types!r}")
    if published and wanted != ["XRA"]:
        raise ValueError(f"the published list has X-ray events only, got types={wanted!r}")
    _check_scale(class_scale)
    troubles: list[Trouble] = []
    reports: list[tuple[datetime, str, str]] = []
    place: dict[datetime, int] = {}
    count = 0
    for name, text in report_texts(source, "events"):
        count += 1
        day = report_day(name, text, troubles)
        if day is None:
            troubles.append((name, 0, "no date and no events: this is no report of events"))
        elif day in place and not published:
            if reports[place[day]][2] != text:
                troubles.append((name, 0, f"another report of {day:%Y-%m-%d}, which replaces the first"))
            reports[place[day]] = (day, name, text)
        else:
            place[day] = len(reports)
            reports.append((day, name, text))
    if not reports:
        found = f"none of {count} files is one, such as {name}" if count else "there are no files"
        raise SourceError(f"no report of events: {found}", permanent=True)
    if not published:
        reports.sort(key=lambda report: report[0])
    rows = [
        row
        for day, name, text in reports
        for row in report_rows(name, text, day, wanted, not published, troubles)
    ]
    table = events_frame(rows)
    if published:
        table = table[table["region"].notna()].reset_index(drop=True)
    else:
        table = _once(table, troubles)
    days = _days_of(day for day, _, text in reports if is_complete(text, day))
    return Events(_on_scale(table, class_scale), days, told(troubles))


def _once(table: pd.DataFrame, troubles: list[Trouble]) -> pd.DataFrame:
    again = table.duplicated([name for name in table if name not in ("file", "line")])
    troubles += [
        (row.file, row.line, "an event for the second time, which is left out")
        for row in table[again].itertuples()
    ]
    return table[~again].reset_index(drop=True)


def read_event_list(path: str | os.PathLike[str], *, class_scale: ClassScale = "operational") -> Events:
    """Read a list of X-ray events as it was published: ``YYYY MM DD,HHMM,region,class`` on each line.

    Parameters
    ----------
    path : path
        The time is that of the maximum, ``////`` where it is unknown.
    class_scale : {"operational", "science"}
        As for `read_events`.

    Returns
    -------
    Events
        In the order of the file, repeated lines included; ``start`` and ``end`` are NaT.

    Warns
    -----
    SourceWarning
        Once, if lines are left out, or lack a value.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If no line is of that form.

    Notes
    -----
    In the published list the day is that of the begin, and the time that of the maximum: an event that
    passed midnight before its maximum is a day early. It cannot be told from the list; read the reports.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import flares
    >>> _ = Path("events.txt").write_text("2011 02 15,0156,1158,X2.2")
    >>> flares.read_event_list("events.txt").table[["region", "peak", "flare_class"]]
       region                peak flare_class
    0   11158 2011-02-15 01:56:00        X2.2
    """
    _check_scale(class_scale)
    name, rows = os.fspath(path), []
    troubles: list[Trouble] = []
    for number, line in enumerate(decoded(Path(path).read_bytes()).splitlines(), 1):
        if not line.strip():
            continue
        match = _EVENT_LINE.fullmatch(line)
        try:
            if match is None:
                raise ValueError
            day = datetime(int(match[1]), int(match[2]), int(match[3]))
            peak = None if match[4] == "////" else datetime.strptime(match[4], "%H%M").time()
        except ValueError:
            troubles.append((name, number, f"expected YYYY MM DD,HHMM,region,class, got {line[:60]!r}"))
            continue
        wrong: list[str] = []
        text, flux = as_class(match[6], wrong)
        rows.append({
            "region": as_region(match[5], day, wrong), "flare_class": text, "peak_flux": flux, "type": "XRA",
            "peak": None if peak is None else datetime.combine(day, peak), "day": day, "file": name,
            "line": number,
        })  # fmt: skip
        if wrong:
            troubles.append((name, number, f"{', '.join(wrong)}: {line[:60]!r}"))
    if not rows:
        raise ValueError(f"{path} is no list of events: no line is like 2014 01 01,1852,1936,M9.9")
    table = events_frame(rows)
    return Events(_on_scale(table, class_scale), _days_between(table), told(troubles))


def write_event_list(events: Events | pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a list of X-ray events as it was published; see `read_event_list`.

    Parameters
    ----------
    events : Events or pandas.DataFrame
        X-ray events with a region are written, in their order; the list has no others.
    path : path

    Raises
    ------
    ValueError
        If a column is missing, or an event has no class, or neither a maximum nor a day, or its region
        would be read as another one.

    Notes
    -----
    Day and time are those of the maximum. Only of events read with ``convention="published"`` is the day that
    of the report, as in the published list.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import flares
    >>> _ = Path("events.txt").write_text("2011 02 15,0156,1158,X2.2")
    >>> flares.write_event_list(flares.read_event_list("events.txt"), "again.txt")
    >>> Path("again.txt").read_text().strip()
    '2011 02 15,0156,1158,X2.2'
    """
    table = _table(events)
    if "type" in table:
        table = table[table["type"].isin(["XRA", ""])]
    lines = []
    for row in table[table["region"].notna()].to_dict("records"):
        day = row["peak"] if pd.notna(row["peak"]) else row.get("day")
        flare_class, _ = as_class(str(row["flare_class"]), [])
        if day is None or pd.isna(day) or not flare_class:
            lacking = "day" if flare_class else "class"
            raise ValueError(
                f"an event of region {row['region']} has no {lacking}: start {row.get('start')}, maximum "
                f"{row['peak']}, class {row['flare_class']!r}; leave it out"
            )
        clock = "////" if pd.isna(row["peak"]) else f"{row['peak']:%H%M}"
        number = f"{row['region'] % 10000:04}"
        if as_region(number, day, []) != row["region"]:
            raise ValueError(
                f"region {row['region']} of {day:%Y-%m-%d} cannot be written: {number} would be "
                "read as another"
            )
        lines.append(f"{day:%Y %m %d},{clock},{number},{flare_class}\n")
    write_bytes(path, "".join(lines).encode())


def read_flare_list(
    source: str | os.PathLike[str] | pd.DataFrame,
    columns: Mapping[str, str] | str | None = None,
    *,
    class_scale: ClassScale = "operational",
) -> Events:
    """Events from a list of flares in any layout: a CSV file with a header, or a table.

    Parameters
    ----------
    source : path or pandas.DataFrame
        A file may be packed by gzip. Tables of `solartrack.sources.hek` are read, if they were asked for with
        ``columns=("fl_goescls", "event_peaktime")``; their rows without a class are left out.
    columns : mapping or str, optional
        Which column has what: ``{"peak": "max_time", "flare_class": "goes_class", "region": "noaa_ar"}``, or
        a name from `FLARE_LISTS`. Default: the first of these whose columns are all there. Known are the
        columns of a table of events but ``peak_flux``, ``file`` and ``line``; ``flare_class`` and one of
        ``start`` and ``peak`` are needed.
    class_scale : {"operational", "science"}
        As for `read_events`.

    Returns
    -------
    Events
        In the order of the list. ``line`` is the number of the row, from 1. Without a column of types all
        events have the type "XRA".

    Warns
    -----
    SourceWarning
        Once, if a row has no time and is left out, or lacks a value. A peak or an end that lies before what
        comes before it is taken on the next day, as lists with the day of the start in all times need it,
        or is missing if that makes it more than 12 hours later.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the columns are not there, or no row has a time.

    Notes
    -----
    Times are UTC. One of up to four digits is a time of the day, HHMM: a start on the ``day`` of its row, a
    maximum or an end at that time or later, as in event reports. Lists without times of the maximum (`liu`)
    have no peak; ``columns={**FLARE_LISTS["liu"], "peak": "Start Time"}`` takes another time for it.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> table = pd.DataFrame({"max_time": ["2011-02-15T01:56"], "goes_class": ["X2.2"], "noaa_ar": [11158]})
    >>> columns = {"peak": "max_time", "flare_class": "goes_class", "region": "noaa_ar"}
    >>> flares.read_flare_list(table, columns).table[["region", "peak", "flare_class", "peak_flux"]]
       region                peak flare_class  peak_flux
    0   11158 2011-02-15 01:56:00        X2.2    0.00022
    """
    _check_scale(class_scale)
    name = "the list" if isinstance(source, pd.DataFrame) else os.fspath(source)
    try:
        given = source if isinstance(source, pd.DataFrame) else read_csv(source, row_numbers=True)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    layout = layout_of(given, columns, name)
    if isinstance(source, pd.DataFrame) and "frm_name" in given and layout["flare_class"] == "fl_goescls":
        given = given[given["fl_goescls"].fillna("") != ""]
    picked = given[list(layout.values())].astype(object)
    picked.columns = pd.Index(layout)
    rows, troubles = [], []
    for number, record in enumerate(picked.to_dict("records"), 1):
        row, wrong = listed(record)
        if wrong:
            troubles.append((name, number, ", ".join(wrong)))
        if row:
            rows.append({"type": "XRA", **row, "file": name, "line": number})
    if not rows and len(given):
        raise ValueError(f"{name}: no row has a time; got {troubles[0][2]}, and the like")
    table = events_frame(rows)
    return Events(_on_scale(table, class_scale), _days_between(table), told(troubles))


def compare_events(
    a: Events | pd.DataFrame, b: Events | pd.DataFrame, *, tolerance: Any = "6min"
) -> pd.DataFrame:
    """The same flares in two sources, and how they differ.

    Parameters
    ----------
    a, b : Events or pandas.DataFrame
        As from `read_events`; tables in the layouts of `FLARE_LISTS` (such as those of
        `solartrack.sources.hek`) are read first. Sources that report a flare more than once, as HEK does by
        several methods, are best cut down to one method.
    tolerance : timedelta-like
        Largest difference of the times of the same flare; a number needs a unit.

    Returns
    -------
    pandas.DataFrame
        A row for each flare, in order of time: ``row_a``, ``row_b`` (number of the row in each, from 0; NA
        where it is in one only), ``time_a``, ``time_b`` (UTC), ``seconds`` (b after a), ``class_a``,
        ``class_b``, ``region_a``, ``region_b``, and ``differences``: of "time", "class", "region" those that
        differ, "only in a" or "only in b", "" if there is none.

    Raises
    ------
    ValueError
        If the tolerance is no length of time, or a table is of no known layout.

    Notes
    -----
    The time is that of the peak, of an event without one the start. The pair that is closest in time is taken
    first; of several as close, one whose regions and classes agree. An event is in one pair at most. Events
    without a time are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> columns = {"peak": "peak", "flare_class": "flare_class", "region": "region"}
    >>> ours = pd.DataFrame({"peak": ["2011-02-15T01:56"], "flare_class": ["X2.2"], "region": [11158]})
    >>> theirs = ours.assign(peak="2011-02-15T01:57")
    >>> lists = [flares.read_flare_list(one, columns) for one in (ours, theirs)]
    >>> flares.compare_events(*lists)[["class_a", "class_b", "seconds", "differences"]]
      class_a class_b  seconds differences
    0    X2.2    X2.2     60.0        time
    """
    try:
        if isinstance(tolerance, int | float | np.number) or re.fullmatch(r"[\d.\s+-]*", str(tolerance)):
            raise ValueError("it has no unit")  # pandas takes it for nanoseconds
        limit = pd.Timedelta(tolerance)
        if not limit >= pd.Timedelta(0):
            raise ValueError
    except (ValueError, TypeError) as error:
        raise ValueError(f"tolerance must be a length of time such as '6min', got {tolerance!r}") from error
    return compared(_table(a), _table(b), limit)


def _table(events: Any) -> pd.DataFrame:
    """The table of events, read from another layout where it has one."""
    table = events.table if isinstance(events, Events) else events
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"events must be Events or a table, got {type(events).__name__}")
    kinds = ("region", "start", "peak", "flare_class")
    if all(str(table.get(name, pd.Series()).dtype) == EVENT_COLUMNS[name] for name in kinds):
        return table
    return read_flare_list(table).table


def _is_published(convention: str) -> bool:
    if convention not in ("default", "published"):
        raise ValueError(f"convention must be 'default' or 'published', got {convention!r}")
    return convention == "published"


def _check_scale(class_scale: str) -> None:
    if class_scale not in ("operational", "science"):
        raise ValueError(f"class_scale must be 'operational' or 'science', got {class_scale!r}")


def _on_scale(table: pd.DataFrame, class_scale: str) -> pd.DataFrame:
    return scaled(table) if class_scale == "science" else table


def _days_of(days: Iterable[datetime]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(sorted(set(days)), dtype="datetime64[us]")


def _days_between(table: pd.DataFrame) -> pd.DatetimeIndex:
    if table.empty:
        return _days_of([])
    # Not that of the last peak: the day after midnight was not reported on for having one.
    return pd.date_range(table["day"].min(), table["day"].max(), unit="us")
