"""NOAA/SWPC: Solar Region Summaries, event reports, and the regions of the last days.

`search` gives the regions of some days, `reports` the texts of any report; `plan` says which files
`solartrack.sources.fetch` would fetch. `read_srs` reads summaries, and `ar_list` makes of them the list of
active regions from which magnetograms are planned.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from solartrack._files import write_bytes
from solartrack._progress import tqdm
from solartrack._tables import as_moment
from solartrack.errors import SourceError, SourceWarning
from solartrack.sources._checks import CHECKS
from solartrack.sources._srs import (
    SRS_COLUMNS,
    Summaries,
    full_region_number,
    packed_texts,
    place_of,
    read_srs,
    regions_table,
)
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
    "reports",
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

# kind of report -> folder at NGDC, part of the file's name, first year
_KINDS = {
    "srs": ("solar_region_summaries", "SRS", 1996),
    "events": ("solar_event_reports", "events", 1996),
}
# A file is complete, and may be kept, when its last day is so long ago.
_SETTLED = timedelta(days=30)
# A host that has failed so many reports in a row is not asked for the others.
_MOST_FAILURES = 3
_LARGEST_FILE = 64 * 2**20
_REPORT_COLUMNS = ("time", "name", "url", "text", "reason")


class _File(NamedTuple):
    """A file at NOAA: one report, or those of a year."""

    id: str
    name: str
    check: str
    days: list[datetime]  # those of its reports that are wanted
    urls: list[str]


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

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.flares.regions import ar_list
    >>> ar_list(flares.read_srs(demo.SUMMARIES))[["region", "first", "days_seen"]].head(3)
       region      first  days_seen
    0   12673 2017-09-04          2
    1   12674 2017-09-04          2
    2   12675 2017-09-04          2
    """
    low, high = _day_of(start, "start"), datetime.max if end is None else _day_of(end, "end")
    if high < low:
        raise ValueError(f"end {high:%Y-%m-%d} lies before start {low:%Y-%m-%d}")
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


def search(
    start: Any = None,
    end: Any = None,
    *,
    by: str = "day",
    cache: str | os.PathLike[str] | None = None,
    transport: Transport | None = None,
    base_url: str | Sequence[str] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Regions on the Sun: those of some days from their summaries, or those of the last days.

    Parameters
    ----------
    start, end : datetime-like, optional
        Days of issue (UTC), both included. Without them: the last days, from SWPC's JSON.
    by, cache, progress
        As for `reports`.
    transport : Transport, optional
    base_url : str or sequence of str, optional
        As for `reports`; without days the URL of the JSON file, in place of `RECENT_URL`.

    Returns
    -------
    pandas.DataFrame
        Columns as `SRS_COLUMNS`, see `Summaries`. From the JSON, ``section`` is "I" for regions with spots,
        else "IA".

    Warns
    -----
    SourceWarning
        If a day has no report, or a report or record is not as it should be.

    Raises
    ------
    ValueError
        If the days are none, see `plan`.
    SourceError
        If no host answers, or with something else, or no day has a report.

    Examples
    --------
    >>> from solartrack import demo
    >>> from solartrack.sources import Transport, swpc
    >>> class Local(Transport):
    ...     # Copies reports that are here in place of downloading them.
    ...     def download(self, url, target, **options):
    ...         target.write_bytes((demo.SUMMARIES / url.rpartition("/")[2]).read_bytes())
    >>> regions = swpc.search("2017-09-04", "2017-09-05", transport=Local())
    >>> regions[["region", "time", "lat", "lon", "mcintosh"]].head(3)
       region       time   lat   lon mcintosh
    0   12673 2017-09-04 -10.0   2.0      Dsc
    1   12674 2017-09-04  14.0 -12.0      Fhc
    2   12675 2017-09-04  -7.0  63.0      Cro
    """
    transport = transport or Transport()
    if start is None and end is None:
        if not isinstance(base_url, str | None):
            raise ValueError(f"the regions of the last days are one file, got base_url={base_url!r}")
        return _recent_regions(transport, base_url or RECENT_URL)
    table = _reports("srs", start, end, by, cache, transport, base_url, progress)
    _warn_of_gaps(table)
    return read_srs(table).regions


def reports(
    kind: str,
    start: Any,
    end: Any,
    *,
    by: str = "day",
    cache: str | os.PathLike[str] | None = None,
    transport: Transport | None = None,
    base_url: str | Sequence[str] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """The texts of NOAA's daily reports, each from the first host that has it.

    Parameters
    ----------
    kind, start, end, by, base_url
        As for `plan`.
    cache : path, optional
        Folder that keeps what is older than a month, for good. What is younger is asked for each time.
    transport : Transport, optional
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    pandas.DataFrame
        A row for each day: ``time`` (the day, UTC), ``name`` (``YYYYMMDDSRS.txt``), ``url`` (of the file it
        came in; "" if that was in the cache), ``text``, and ``reason``: why there is no text, else "".
        `read_srs` takes a table of summaries.

    Warns
    -----
    SourceWarning
        If a day has no report.

    Raises
    ------
    ValueError
        As for `plan`.
    SourceError
        If a report came from no host, and one of them did not answer: it may be there. What came before
        is in the cache.

    Examples
    --------
    >>> from solartrack import demo
    >>> from solartrack.sources import Transport, swpc
    >>> class Local(Transport):
    ...     # Copies reports that are here in place of downloading them.
    ...     def download(self, url, target, **options):
    ...         target.write_bytes((demo.SUMMARIES / url.rpartition("/")[2]).read_bytes())
    >>> found = swpc.reports("srs", "2017-09-04", "2017-09-05", transport=Local())
    >>> found[["time", "name", "reason"]]
            time             name reason
    0 2017-09-04  20170904SRS.txt
    1 2017-09-05  20170905SRS.txt
    """
    table = _reports(kind, start, end, by, cache, transport or Transport(), base_url, progress)
    _warn_of_gaps(table)
    return table


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
        Daily text files, or yearly tar files: all years that the days touch. A year that ended less than a
        month ago, or goes on, is planned by day: its tar file may be missing, or still grow.
    base_url : str or sequence of str, optional
        Folders to look in, in this order, in place of `DAILY_URLS` or `YEARLY_URLS`. ``url`` has the first
        place of a file, and ``request`` the others ("mirrors").

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

    Examples
    --------
    >>> from solartrack.sources import swpc
    >>> swpc.plan("srs", "2017-09-04", "2017-09-05")[["source", "id", "name", "check", "time"]]
      source            id             name check       time
    0   swpc  srs-20170904  20170904SRS.txt  noaa 2017-09-04
    1   swpc  srs-20170905  20170905SRS.txt  noaa 2017-09-05
    """
    files = _files(kind, start, end, by, base_url)
    gone = [day for file in files for day in file.days if not file.urls]
    if gone:
        listed = ", ".join(f"{day:%Y-%m-%d}" for day in gone)
        warnings.warn(f"no host has the Solar Region Summary of {listed}", SourceWarning, stacklevel=2)
    return plan_table(
        {
            "source": "swpc", "id": file.id, "url": file.urls[0], "name": file.name, "check": file.check,
            "time": file.days[0].replace(month=1, day=1) if file.check == "tar" else file.days[0],
            "request": json.dumps({"mirrors": file.urls[1:]}) if file.urls[1:] else "",
        }
        for file in files
        if file.urls
    )  # fmt: skip


def _files(kind: str, start: Any, end: Any, by: str, base_url: str | Sequence[str] | None) -> list[_File]:
    """The files in which the reports of these days are; without places for a day that no host has."""
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    if by not in ("day", "year"):
        raise ValueError(f"by must be 'day' or 'year', got {by!r}")
    days = _days(start, end)
    _, short, first_year = _KINDS[kind]
    if days[0].year < first_year:
        raise ValueError(f"these reports begin in {first_year}, got {days[0]:%Y-%m-%d}")
    years: dict[int, list[datetime]] = {}
    for day in days:
        years.setdefault(day.year, []).append(day)
    files = []
    for year, wanted in years.items():
        # The tar file of a year that is not long over may be missing, or grow.
        if by == "year" and _is_settled(datetime(year, 12, 31)):
            name = f"{year}_{short}.tar.gz"
            files.append(_File(f"{kind}-{year}", name, "tar", wanted, _urls(kind, name, wanted[0], base_url)))
            continue
        for day in wanted:
            name = f"{day:%Y%m%d}{short}.txt"
            urls = [] if kind == "srs" and day in KNOWN_GAPS else _urls(kind, name, day, base_url)
            files.append(_File(f"{kind}-{day:%Y%m%d}", name, "noaa", [day], urls))
    return files


def _urls(kind: str, name: str, day: datetime, base_url: str | Sequence[str] | None) -> list[str]:
    """Where a file is, place by place."""
    folder, short, _ = _KINDS[kind]
    if base_url is None:
        base_url = YEARLY_URLS if name.endswith(".tar.gz") else DAILY_URLS
    bases = [base_url] if isinstance(base_url, str) else list(base_url)
    urls = []
    for base in bases:
        if not isinstance(base, str) or urlsplit(base).scheme not in ("http", "https"):
            raise ValueError(f"base_url must be http or https URLs of folders, got {base!r}")
        try:
            home = base.format(kind=folder, short=short, year=f"{day:%Y}", month=f"{day:%m}")
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise ValueError(
                f"base_url may have {{kind}}, {{short}}, {{year}} and {{month}} to fill in, got {base!r}"
            ) from error
        urls.append(f"{home.rstrip('/')}/{name}")
    if not urls:
        raise ValueError("base_url must name at least one folder, got none")
    return urls


def _is_settled(last_day: datetime) -> bool:
    return last_day + timedelta(days=1) + _SETTLED < datetime.now(UTC).replace(tzinfo=None)


def _reports(
    kind: str,
    start: Any,
    end: Any,
    by: str,
    cache: str | os.PathLike[str] | None,
    transport: Transport,
    base_url: str | Sequence[str] | None,
    progress: bool,
) -> pd.DataFrame:
    files = _files(kind, start, end, by, base_url)
    short = _KINDS[kind][1]
    kept = None if cache is None else Path(cache)
    hosts = _Hosts(transport)
    at_once = max(
        (transport.connections(urlsplit(f.urls[0]).hostname or "") for f in files if f.urls), default=1
    )
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(at_once) as pool:
        shown = tqdm(
            pool.map(lambda file: _rows_of(file, short, hosts, Path(temporary), kept), files),
            total=len(files), unit="file", disable=not progress,
        )  # fmt: skip
        rows = [row for found in shown for row in found]
    table = pd.DataFrame(rows, columns=list(_REPORT_COLUMNS))
    types = dict.fromkeys(_REPORT_COLUMNS, "str") | {"time": "datetime64[us]"}
    return table.astype(types)


def _rows_of(
    file: _File, short: str, hosts: _Hosts, temporary: Path, kept: Path | None
) -> list[tuple[datetime, str, str, str, str]]:
    """Rows of `reports` for the days of a file."""
    path, url, reason = temporary / file.name, "", "no host has it"
    texts: dict[str, str] = {}
    copy = None if kept is None else kept / file.name
    if copy is not None and _is_whole(copy, file.check):
        path, reason = copy, f"{file.name} lacks it"
    elif url := hosts.download(file, path):
        reason = f"{file.name} lacks it"
        if copy is not None and _is_settled(file.days[-1]):
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(copy, path.read_bytes())
    if path.is_file():
        texts = packed_texts(path, short) if file.check == "tar" else {file.name: path.read_text("latin-1")}
    rows = []
    for day in file.days:
        name = f"{day:%Y%m%d}{short}.txt"
        text = texts.get(name, "")
        rows.append((day, name, url if text else "", text, "" if text else reason))
    return rows


def _is_whole(path: Path, check: str) -> bool:
    if not path.is_file():
        return False
    try:
        CHECKS[check](path)
    except SourceError:
        return False
    return True


class _Hosts:
    """Hosts that are asked in turn; one that keeps failing is left in peace."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._failures: dict[str, int] = {}
        self._last: dict[str, SourceError] = {}

    def download(self, file: _File, target: Path) -> str:
        """Fetch a file; return the URL that had it, "" if none has it.

        Raises
        ------
        SourceError
            If it came from none, and one of them may have it.
        """
        trouble = None
        for url in file.urls:
            host = urlsplit(url).netloc
            if self._failures.get(host, 0) >= _MOST_FAILURES:
                trouble = trouble or self._last[host]
                continue
            try:
                self._transport.download(url, target, check=file.check, max_bytes=_LARGEST_FILE)
            except SourceError as error:
                if error.permanent:  # it answers, and lacks the file
                    self._failures[host] = 0
                else:
                    self._last[host] = error
                    self._failures[host] = self._failures.get(host, 0) + 1
                    trouble = trouble or error
            else:
                self._failures[host] = 0
                return url
        if trouble is not None:
            raise trouble
        return ""


def _warn_of_gaps(table: pd.DataFrame) -> None:
    gone = table.loc[table["text"] == "", "time"]
    if len(gone):
        listed = ", ".join(f"{day:%Y-%m-%d}" for day in gone[:10]) + (", ..." if len(gone) > 10 else "")
        warnings.warn(
            f"{len(gone)} of {len(table)} days have no report: {listed}", SourceWarning, stacklevel=3
        )


def _days(start: Any, end: Any) -> list[datetime]:
    low, high = _day_of(start, "start"), _day_of(end, "end")
    if high < low:
        raise ValueError(f"end {high:%Y-%m-%d} lies before start {low:%Y-%m-%d}")
    if high > datetime.now(UTC).replace(tzinfo=None):
        raise ValueError(f"end {high:%Y-%m-%d} lies in the future")
    return [day.to_pydatetime() for day in pd.date_range(low, high)]


def _day_of(value: Any, name: str) -> datetime:
    return _moment(value, name).replace(hour=0, minute=0, second=0, microsecond=0)


def _moment(value: Any, name: str) -> datetime:
    try:
        moment = as_moment(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a date in UTC such as 2014-01-31, got {value!r}") from error
    if moment is None:
        raise ValueError(f"{name} must be a date in UTC such as 2014-01-31, got {value!r}")
    return moment


def _recent_regions(transport: Transport, url: str) -> pd.DataFrame:
    records = json.loads(transport.get(url, check="json"))
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise SourceError(f"{url} should hold a list of regions, got {str(records)[:80]!r}", permanent=True)
    rows = [row for record in records if (row := _recent(record, url)) is not None]
    if lost := len(records) - len(rows):
        warnings.warn(
            f"{url}: {lost} of {len(records)} regions without number, day or place are left out",
            SourceWarning,
            stacklevel=3,
        )
    return regions_table(rows)


def _recent(record: dict[str, Any], url: str) -> dict[str, Any] | None:
    """A record of the JSON as a row; None if it has no number, day or place."""
    try:
        day = as_moment(record.get("observed_date"))
    except ValueError:
        return None
    number, place = _whole(record.get("region")), _recent_place(record)
    if day is None or number is None or number < 1 or place is None:
        return None
    letters = {"A": "Alpha", "B": "Beta", "G": "Gamma", "D": "Delta"}
    spots = _whole(record.get("number_spots"))
    carrington_lon = _whole(record.get("carrington_longitude"))
    return {
        "region": full_region_number(number, day),
        # Positions are valid at the end of the day of observation, as in a summary issued then.
        "time": (day + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0),
        "section": "I" if spots else "IA",
        "lat": place[0],
        "lon": place[1],
        "carrington_lon": np.nan if carrington_lon is None else float(carrington_lon),
        "area": _whole(record.get("area")),
        "mcintosh": str(record.get("spot_class") or ""),
        "extent": _whole(record.get("extent")),
        "n_spots": spots,
        "mag_class": "-".join(letters.get(c, c) for c in str(record.get("mag_class") or "")),
        "file": url,
    }


def _recent_place(record: dict[str, Any]) -> tuple[float, float] | None:
    if record.get("location"):
        return place_of(str(record["location"]))
    lat, lon = _whole(record.get("latitude")), _whole(record.get("longitude"))
    if lat is None or lon is None or abs(lat) > 90 or abs(lon) > 180:
        return None
    return float(lat), -float(lon)  # the numbers count eastward: W87 is -87


def _whole(value: Any) -> int | None:
    """A whole number, given as a number or a text; None if it is none, or does not fit into 32 bits."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if math.isfinite(number) and number.is_integer() and abs(number) < 2**31 else None
