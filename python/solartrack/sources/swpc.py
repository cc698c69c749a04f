"""NOAA/SWPC: Solar Region Summaries, event reports, and the regions of the last days.

`plan` says which files would be fetched, `solartrack.sources.fetch` fetches them, `read_srs` reads the
summaries, and `ar_list` makes of them the list of active regions from which magnetograms are planned.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tarfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from solartrack._tables import as_moment
from solartrack.errors import SourceError, SourceWarning
from solartrack.sources.store import plan_table
from solartrack.sources.transport import Transport

__all__ = [
    "DAILY_URLS",
    "KNOWN_GAPS",
    "RECENT_URL",
    "SRS_COLUMNS",
    "YEARLY_URLS",
    "Summaries",
    "ar_list",
    "full_region_number",
    "plan",
    "read_srs",
    "search",
]

#: Folders of daily files, tried in this order. ``{kind}``, ``{year}`` and ``{month}`` are filled in.
DAILY_URLS = (
    "https://www.ngdc.noaa.gov/stp/space-weather/swpc-products/daily_reports/{kind}/{year}/{month}/",
    "https://ftp.swpc.noaa.gov/pub/warehouse/{year}/{year}_{short}/",
)
#: Folders of yearly tar files.
YEARLY_URLS = ("https://ftp.swpc.noaa.gov/pub/warehouse/{year}/",)
#: The regions of the last days, as JSON.
RECENT_URL = "https://services.swpc.noaa.gov/json/solar_regions.json"

#: Days whose Solar Region Summary no host has.
KNOWN_GAPS = (datetime(2012, 1, 1), datetime(2016, 7, 19))

#: Columns of a table of regions, with their types.
SRS_COLUMNS = {
    "region": "int32",
    "time": "datetime64[us]",
    "section": "str",
    "lat": "float64",
    "lon": "float64",
    "carrington_lon": "float64",
    "area": "Int32",
    "mcintosh": "str",
    "extent": "Int32",
    "n_spots": "Int32",
    "mag_class": "str",
    "file": "str",
}

# kind of report -> folder at NGDC, part of the file's name, first year
_KINDS = {
    "srs": ("solar_region_summaries", "SRS", 1996),
    "events": ("solar_event_reports", "events", 1996),
}
_SECTION = re.compile(r"(IA|II|III|IV|I)\.\s")
_HEADING = re.compile(r"(NMBR|NONE)\b", re.IGNORECASE)
_ROW = re.compile(r"\d{4}\b")
_LOCATION = re.compile(r"([NS])(\d{1,2})([EW])(\d{1,3})")
_LATITUDE = re.compile(r"([NS])(\d{1,2})")
_MAGNETIC = {"alpha", "beta", "gamma", "delta"}
_ISSUED = re.compile(r":Issued:\s*(\d{4})\s+([A-Za-z]{3})\w*\s+(\d{1,2})", re.IGNORECASE)
_DAY_IN_NAME = re.compile(r"(\d{8})(?=SRS)", re.IGNORECASE)
# What follows the location in section I, in order: column, its form, and what to call it.
_FIELDS = (
    ("carrington_lon", re.compile(r"\d{1,3}"), "Carrington longitude"),
    ("area", re.compile(r"\d{4}"), "area"),
    ("mcintosh", re.compile(r"[A-HX][XRSAHK][XOIC]", re.IGNORECASE), "McIntosh class"),
    ("extent", re.compile(r"\d{1,3}"), "extent"),
    ("n_spots", re.compile(r"\d{1,3}"), "number of spots"),
    ("mag_class", re.compile(r"[A-Za-z]+(-[A-Za-z]+)*"), "magnetic class"),
)
_LARGEST_REPORT = 2**20


class Summaries(NamedTuple):
    """Solar Region Summaries that have been read.

    Attributes
    ----------
    regions : pandas.DataFrame
        A row for each region and day, in order of time and number; columns as `SRS_COLUMNS`. ``time`` is
        when the positions are valid: 00:00 UTC of the day of issue. ``section`` is "I" (regions with
        spots), "IA" (plages without spots) or "II" (due to return; ``lon`` is NaN). ``lat`` and ``lon`` are
        Stonyhurst degrees, north and west positive; ``carrington_lon`` degrees; ``area`` millionths of the
        hemisphere; ``extent`` degrees of longitude. What a row lacks is NaN, NA or "".
    days : pandas.DatetimeIndex
        Days of issue of all reports, those without regions included.
    troubles : pandas.DataFrame
        ``file``, ``line``, ``trouble``: lines that are not as they should be, and files that are none.
    """

    regions: pd.DataFrame
    days: pd.DatetimeIndex
    troubles: pd.DataFrame

    @property
    def gaps(self) -> pd.DatetimeIndex:
        """Days without a report between the first and the last one."""
        if not len(self.days):
            return self.days
        return pd.date_range(self.days[0], self.days[-1], unit="us").difference(self.days)


def full_region_number(number: int, time: Any) -> int:
    """The number of an active region with all its digits.

    Parameters
    ----------
    number : int
        As NOAA's texts give it, with four digits (1936), or already complete (11936).
    time : datetime-like
        When it was on the Sun.

    Returns
    -------
    int
        Since June 2002 the numbers in the texts have lacked their first digit, 1.

    Raises
    ------
    ValueError
        If the number is not positive.
    """
    if not number > 0:
        raise ValueError(f"the number of a region must be positive, got {number}")
    moment = pd.Timestamp(time)
    since_2003 = moment >= pd.Timestamp(2003, 1, 1)
    return (
        number + 10000
        if number < 10000 and (since_2003 or (moment.year == 2002 and number < 5000))
        else number
    )


def read_srs(source: Any) -> Summaries:
    """Read Solar Region Summaries.

    Parameters
    ----------
    source : path, bytes, or iterable of these
        Text files (``YYYYMMDDSRS.txt``), folders of them, tar files (plain or packed), or the content of
        one text file. All formats since 1996 are read.

    Returns
    -------
    Summaries
        Two reports of one day: the later one counts, in the order given.

    Warns
    -----
    SourceWarning
        Once, if lines are not as they should be. A line that lacks a value costs that value, one that
        lacks its number or place the row, and a file that is no summary itself.

    Raises
    ------
    FileNotFoundError
        If a file or folder is not there.
    SourceError
        If a tar file is damaged, or there is no summary at all.
    """
    reports: dict[datetime, list[dict[str, Any]]] = {}
    troubles: list[tuple[str, int, str]] = []
    count = 0
    for name, text in _texts(source):
        count += 1
        day = _day(name, text, troubles)
        if day is None:
            troubles.append((name, 0, "no date of issue: this is no Solar Region Summary"))
            continue
        if day in reports:
            troubles.append((name, 0, f"a second report of {day:%Y-%m-%d}, which replaces the first"))
        reports[day] = list(_rows(name, text, day, troubles))
    if not reports:
        found = f"none of {count} files is one" if count else "there are no files"
        raise SourceError(f"no Solar Region Summary: {found}", permanent=True)
    if troubles:
        name, line, trouble = troubles[0]
        place = f"{name}, line {line}" if line else name
        more = f", and {len(troubles) - 1} more; see troubles" if len(troubles) > 1 else ""
        warnings.warn(f"{place}: {trouble}{more}", SourceWarning, stacklevel=2)
    rows = [row for day in sorted(reports) for row in reports[day]]
    regions = pd.DataFrame({
        name: pd.Series([row.get(name) for row in rows], dtype=kind).fillna("")
        if kind == "str" else pd.Series([row.get(name) for row in rows], dtype=kind)
        for name, kind in SRS_COLUMNS.items()
    })  # fmt: skip
    return Summaries(
        regions.sort_values(["time", "region"], kind="stable", ignore_index=True),
        pd.DatetimeIndex(sorted(reports), dtype="datetime64[us]"),
        pd.DataFrame(troubles, columns=["file", "line", "trouble"]),
    )


def ar_list(summaries: Summaries, *, start: Any = "2010-05-01", end: Any = None) -> pd.DataFrame:
    """Active regions with spots, each with its first day and the number of days on which it was seen.

    Parameters
    ----------
    summaries : Summaries
    start, end : datetime-like, optional
        Days of issue, both included. The default start is the first day of HMI's magnetograms.

    Returns
    -------
    pandas.DataFrame
        ``region`` (all digits), ``first`` and ``last`` (days of issue), ``days_seen``, ``days`` (from the
        first to the last, both included: larger than ``days_seen`` if there are gaps), in order of first
        day and number.

    Raises
    ------
    ValueError
        If the end lies before the start.

    References
    ----------
    The published list (Boucheron et al. 2023, Sci. Data 10, 825) holds number, first day and days seen.
    """
    low, high = pd.Timestamp(start), pd.Timestamp.max if end is None else pd.Timestamp(end)
    if high < low:
        raise ValueError(f"end {end} lies before start {start}")
    rows = summaries.regions
    rows = rows[(rows["section"] == "I") & (rows["time"] >= low) & (rows["time"] <= high)]
    found = rows.groupby("region")["time"].agg(["min", "max", "nunique"]).reset_index()
    table = pd.DataFrame({
        "region": found["region"],
        "first": found["min"],
        "last": found["max"],
        "days_seen": found["nunique"],
        "days": (found["max"] - found["min"]).dt.days + 1,
    })  # fmt: skip
    return table.sort_values(["first", "region"], ignore_index=True)


def search(*, transport: Transport | None = None, base_url: str = RECENT_URL) -> pd.DataFrame:
    """The regions of the last days, from SWPC's JSON.

    Parameters
    ----------
    transport : Transport, optional
    base_url : str
        Of the file.

    Returns
    -------
    pandas.DataFrame
        Columns as `SRS_COLUMNS`; ``section`` is "I" for regions with spots, else "IA".

    Raises
    ------
    SourceError
        If the service does not answer, or with something else.
    """
    body = (transport or Transport()).get(base_url, check="json")
    records = json.loads(body)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise SourceError(
            f"{base_url} should hold a list of regions, got {str(records)[:80]!r}", permanent=True
        )
    rows = [row for record in records if (row := _recent(record, base_url)) is not None]
    table = pd.DataFrame({
        name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in SRS_COLUMNS.items()
    })  # fmt: skip
    return table.sort_values(["time", "region"], kind="stable", ignore_index=True)


def plan(
    kind: str,
    start: Any,
    end: Any,
    *,
    by: str = "day",
    base_url: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """What would be fetched of NOAA's daily reports.

    Parameters
    ----------
    kind : "srs" or "events"
        Solar Region Summaries or event reports.
    start, end : datetime-like
        Days of issue (of the events, for event reports), both included.
    by : "day" or "year"
        Daily text files, or yearly tar files: all years that the days touch.
    base_url : str or sequence of str, optional
        Folders to look in, in this order, in place of `DAILY_URLS` or `YEARLY_URLS`.

    Returns
    -------
    pandas.DataFrame
        A plan, see `solartrack.sources.plan_table`. Its files have no event.

    Warns
    -----
    SourceWarning
        If summaries are wanted of days that no host has (`KNOWN_GAPS`): they are left out.

    Raises
    ------
    ValueError
        If the end lies before the start or in the future, or the kind or `by` is unknown.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    if by not in ("day", "year"):
        raise ValueError(f"by must be 'day' or 'year', got {by!r}")
    folder, short, first_year = _KINDS[kind]
    days = _days(start, end)
    if days[0].year < first_year:
        raise ValueError(f"these reports begin in {first_year}, got {days[0]:%Y-%m-%d}")
    bases = (DAILY_URLS if by == "day" else YEARLY_URLS) if base_url is None else base_url
    bases = [bases] if isinstance(bases, str) else list(bases)
    rows = []
    if by == "year":
        for year in range(days[0].year, days[-1].year + 1):
            name = f"{year}_{short}.tar.gz"
            rows.append(_planned(f"{kind}-{year}", name, "tar", datetime(year, 1, 1), bases, folder, short))
        return plan_table(rows)
    gone = [day for day in days if kind == "srs" and day in KNOWN_GAPS]
    if gone:
        listed = ", ".join(f"{day:%Y-%m-%d}" for day in gone)
        warnings.warn(f"no host has the Solar Region Summary of {listed}", SourceWarning, stacklevel=2)
    for day in days:
        if day not in gone:
            name = f"{day:%Y%m%d}{short}.txt"
            rows.append(_planned(f"{kind}-{day:%Y%m%d}", name, "text", day, bases, folder, short))
    return plan_table(rows)


def _planned(
    id: str, name: str, check: str, day: datetime, bases: Sequence[str], folder: str, short: str
) -> dict[str, Any]:
    urls = [
        base.rstrip("/").format(kind=folder, short=short, year=f"{day:%Y}", month=f"{day:%m}") + "/" + name
        for base in bases
    ]
    request = json.dumps({"mirrors": urls[1:]}) if len(urls) > 1 else ""
    row = {"source": "swpc", "id": id, "url": urls[0], "name": name, "check": check, "time": day}
    return row | {"request": request}


def _days(start: Any, end: Any) -> list[datetime]:
    moments = []
    for value, name in ((start, "start"), (end, "end")):
        moment = as_moment(value)
        if moment is None:
            raise ValueError(f"{name} must be a date such as 2014-01-31, got {value!r}")
        moments.append(moment.replace(hour=0, minute=0, second=0, microsecond=0))
    low, high = moments
    if high < low:
        raise ValueError(f"end {high:%Y-%m-%d} lies before start {low:%Y-%m-%d}")
    if high > datetime.now(UTC).replace(tzinfo=None):
        raise ValueError(f"end {high:%Y-%m-%d} lies in the future")
    return [day.to_pydatetime() for day in pd.date_range(low, high)]


def _texts(source: Any) -> Iterator[tuple[str, str]]:
    """Name and text of each report."""
    if isinstance(source, bytes):
        yield "the text", _decoded(source)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            for file in sorted(path.rglob("*SRS.txt")):
                yield str(file), _decoded(file.read_bytes())
        elif not path.is_file():
            raise FileNotFoundError(f"there is no file or folder {path}")
        elif tarfile.is_tarfile(path):
            yield from _packed(path)
        else:
            yield str(path), _decoded(path.read_bytes()[:_LARGEST_REPORT])
    elif isinstance(source, Iterable):
        for one in source:
            yield from _texts(one)
    else:
        raise TypeError(f"summaries are paths or bytes, got {type(source).__name__}")


def _packed(path: Path) -> Iterator[tuple[str, str]]:
    """Reports in a tar file, in the order of their names."""
    try:
        with tarfile.open(path) as tar:
            found = {}
            for member in tar:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name.upper().endswith("SRS.TXT") and member.size <= _LARGEST_REPORT:
                    file = tar.extractfile(member)
                    assert file is not None
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SourceError(f"{path} is damaged: {error}; fetch it again") from error
    for name in sorted(found):
        yield f"{path}/{name}", _decoded(found[name])


def _decoded(content: bytes) -> str:
    """Text; NOAA's files are ASCII, with a stray byte now and then."""
    return content.decode("latin-1").lstrip("\ufeff").replace("\x00", "")


def _day(name: str, text: str, troubles: list[tuple[str, int, str]]) -> datetime | None:
    """Day of issue: as the file's name says, else as the text does."""
    said = []
    in_name = _DAY_IN_NAME.search(name.rpartition("/")[2])
    issued = _ISSUED.search(text[:2000])
    for found, form in ((in_name, "%Y%m%d"), (issued, "%Y %b %d")):
        with contextlib.suppress(ValueError):
            if found is not None:
                said.append(datetime.strptime(" ".join(found.groups()), form))
    if not said or not any(_SECTION.match(line.upper()) for line in text.splitlines()):
        return None
    if said[0] != said[-1]:
        troubles.append((name, 0, f"its text says that it was issued on {said[-1]:%Y-%m-%d}"))
    return said[0]


def _rows(
    name: str, text: str, day: datetime, troubles: list[tuple[str, int, str]]
) -> Iterator[dict[str, Any]]:
    """Rows of a report. What is amiss goes to `troubles`."""
    section = ""
    for number, line in enumerate(io.StringIO(text), 1):
        line = line.strip()
        heading = _SECTION.match(line.upper() + " ")
        if heading is not None:
            section = heading[1]
        elif section not in ("I", "IA", "II") or not line or _HEADING.match(line):
            continue
        elif _ROW.match(line) is None:
            if section != "II" or line.startswith("*"):  # after section II there may be a message
                troubles.append((name, number, f"no region: {line[:60]!r}"))
            if section == "II" and not line.startswith("*"):
                section = ""
        else:
            row, lacking = _row(section, line.split(), day)
            if lacking:
                troubles.append((name, number, f"no {', no '.join(lacking)}: {line[:60]!r}"))
            if row:
                yield row | {"file": name}


def _row(section: str, words: list[str], day: datetime) -> tuple[dict[str, Any], list[str]]:
    """A line as a row, and what it lacks; an empty row if it cannot be used."""
    row: dict[str, Any] = {"region": full_region_number(int(words[0]), day) if int(words[0]) else 10000}
    row |= {"time": day, "section": section}
    place = (_LATITUDE if section == "II" else _LOCATION).fullmatch(
        words[1].upper() if len(words) > 1 else ""
    )
    if place is None:
        return {}, ["location"]
    row["lat"] = (1.0 if place[1] == "N" else -1.0) * int(place[2])
    row["lon"] = np.nan if section == "II" else (1.0 if place[3] == "W" else -1.0) * int(place[4])
    if not (abs(row["lat"]) <= 90 and not abs(row["lon"]) > 180):
        return {}, ["location"]
    lacking, rest = [], words[2:]
    for column, form, what in _FIELDS if section == "I" else _FIELDS[:1]:
        if rest and form.fullmatch(rest[0]) and (column != "mag_class" or _is_magnetic(rest[0])):
            word = rest.pop(0)
            row[column] = int(word) if word.isdigit() else _written(word, column)
        else:
            lacking.append(what)
    return row, lacking


def _is_magnetic(word: str) -> bool:
    return set(word.lower().split("-")) <= _MAGNETIC


def _written(word: str, column: str) -> str:
    """A class as it has been written since October 2000: "Beta-Gamma", "Dkc"."""
    return (
        "-".join(part.capitalize() for part in word.split("-"))
        if column == "mag_class"
        else word.capitalize()
    )


def _recent(record: dict[str, Any], url: str) -> dict[str, Any] | None:
    """A record of the JSON as a row; None if it has no number, day or place."""
    day = as_moment(record.get("observed_date"))
    number, lat, lon = (record.get(name) for name in ("region", "latitude", "longitude"))
    if day is None or not number or lat is None or lon is None:
        warnings.warn(
            f"{url}: a region without number, day or place is left out", SourceWarning, stacklevel=3
        )
        return None
    letters = {"A": "Alpha", "B": "Beta", "G": "Gamma", "D": "Delta"}
    spots = record.get("number_spots")
    # The file counts longitudes westward only in its text: 87 degrees west is -87 and W87.
    place = _LOCATION.fullmatch(str(record.get("location") or ""))
    if place is not None:
        lon = (1.0 if place[3] == "W" else -1.0) * int(place[4])
    return {
        "region": full_region_number(int(number), day),
        # Positions are valid at the end of the day of observation, as in a summary issued then.
        "time": (day + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0),
        "section": "I" if spots else "IA",
        "lat": float(lat),
        "lon": float(lon),
        "carrington_lon": float(
            np.nan if record.get("carrington_longitude") is None else record["carrington_longitude"]
        ),
        "area": record.get("area"),
        "mcintosh": record.get("spot_class") or "",
        "extent": record.get("extent"),
        "n_spots": spots,
        "mag_class": "-".join(letters.get(c, c) for c in record.get("mag_class") or ""),
        "file": url,
    }
