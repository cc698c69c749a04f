"""Active regions as NOAA reports them: Solar Region Summaries and the list of regions, read and written."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from solartrack import __version__
from solartrack._files import write_bytes
from solartrack._tables import as_moment, as_times, read_csv
from solartrack.errors import SourceWarning
from solartrack.sources._srs import (
    SRS_COLUMNS,
    Summaries,
    decoded,
    full_region_number,
    full_region_numbers,
    place_name,
    read_srs,
    region_fields,
    regions_table,
    told,
)
from solartrack.sources.swpc import ar_list

__all__ = [
    "REGION_TABLES",
    "SRS_COLUMNS",
    "Summaries",
    "ar_list",
    "full_region_number",
    "read_ar_list",
    "read_region_table",
    "read_srs",
    "write_ar_list",
    "write_srs",
]

_HEADINGS = {
    "I": "I.  Regions with Sunspots.  Locations Valid at {before:%d}/2400Z\n"
    "Nmbr Location  Lo  Area  Z   LL   NN Mag Type",
    "IA": "IA. H-alpha Plages without Spots.  Locations Valid at {before:%d}/2400Z {before:%b}\n"
    "Nmbr  Location  Lo",
    "II": "II. Regions Due to Return {day:%d %b} to {last:%d %b}\nNmbr Lat    Lo",
}
# Columns that the sections have beside number and place.
_WRITTEN = {
    "I": ("carrington_lon", "area", "mcintosh", "extent", "n_spots", "mag_class"),
    "IA": ("carrington_lon",),
    "II": ("carrington_lon",),
}
_WIDTHS = {"carrington_lon": (5, "03"), "area": (5, "04"), "extent": (4, "02"), "n_spots": (4, "02")}
_AR_LINE = re.compile(r"\s*(\d{4,5})\s*,\s*(\d{8})\s*,\s*(\d{1,4})\s*")


def write_srs(summaries: Summaries | pd.DataFrame, folder: str | os.PathLike[str]) -> list[Path]:
    """Write Solar Region Summaries, a file ``YYYYMMDDSRS.txt`` for each day.

    Parameters
    ----------
    summaries : Summaries or pandas.DataFrame
        As from `read_srs`, or its table of regions. Of `Summaries`, days without regions get a file, too.
    folder : path
        It is made. Files of these days are replaced.

    Returns
    -------
    list of Path
        In order of time.

    Raises
    ------
    ValueError
        If a column is missing, or a row cannot be written so that `read_srs` gives it back. Nothing is
        written then.

    Notes
    -----
    The format has whole degrees, the last four digits of the numbers, and beside place and Carrington
    longitude no values in the sections IA and II: what a table has of these is not written.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> summaries = flares.read_srs(demo.SUMMARIES)
    >>> [path.name for path in flares.write_srs(summaries, "summaries")]
    ['20170904SRS.txt', '20170905SRS.txt']
    """
    rows, days = (summaries.regions, summaries.days) if isinstance(summaries, Summaries) else (summaries, [])
    if lacking := [name for name in SRS_COLUMNS if name not in rows and name != "file"]:
        raise ValueError(f"the table of regions lacks the columns {', '.join(lacking)}; see read_srs")
    rows = rows.assign(time=as_times(rows["time"]))
    if len(
        wrong := rows[~rows["section"].isin(list(_HEADINGS)) | rows["time"].ne(rows["time"].dt.floor("D"))]
    ):
        said = wrong.iloc[0]
        raise ValueError(
            f"region {said['region']}: expected section I, IA or II and a time of 00:00, got "
            f"{said['section']!r} and {said['time']}"
        )
    texts = {
        day: _text(rows[rows["time"] == day], day)
        for day in sorted({*pd.DatetimeIndex(days), *pd.DatetimeIndex(rows["time"])})
    }
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    written = []
    for day, text in texts.items():
        written.append(home / f"{day:%Y%m%d}SRS.txt")
        write_bytes(written[-1], text.encode("ascii"))
    return written


def _text(rows: pd.DataFrame, day: pd.Timestamp) -> str:
    """A summary, which has been read back."""
    dates = {"day": day, "before": day - pd.Timedelta(1, "D"), "last": day + pd.Timedelta(2, "D")}
    lines = [
        f":Product: {day:%m%d}SRS.txt",
        f":Issued: {day:%Y %b %d} 0030 UTC",
        f"# Written by solartrack {__version__}",
        "#",
        "Solar Region Summary",
    ]
    for section, heading in _HEADINGS.items():
        lines += heading.format(**dates).split("\n")
        own = [row for row in rows.to_dict("records") if row["section"] == section]
        lines += [_line(section, row) for row in own] or ["None"]
    text = "\n".join(lines) + "\n"
    if not text.isascii():
        raise ValueError(f"the regions of {day:%Y-%m-%d} have classes that are not ASCII text")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        again = read_srs(text.encode()).regions
    _refuse_losses(rows, again)
    return text


def _line(section: str, row: dict[str, Any]) -> str:
    lat, lon = (round(row[name]) if math.isfinite(row[name]) else None for name in ("lat", "lon"))
    if lat is None or abs(lat) > 90 or (section != "II" and (lon is None or abs(lon) > 180)):
        raise ValueError(f"region {row['region']} of {row['time']:%Y-%m-%d} has no place: {lat}, {lon}")
    place = place_name(lat, lon or 0)
    if section == "II":
        place = place[:3]
    words = [f"{int(row['region']) % 10000:04}", f"{place:<8}"]
    for name in _WRITTEN[section]:
        if name in _WIDTHS:
            width, form = _WIDTHS[name]
            value = "" if pd.isna(row[name]) else f"{round(row[name]):{form}}"
            words.append(f"{value:<{width}}")
        else:
            words.append(f"{row[name] or ''}")
    return " ".join(words).rstrip()


def _refuse_losses(rows: pd.DataFrame, again: pd.DataFrame) -> None:
    """Raise ValueError unless a table that was read back has all that the format can hold of the rows."""
    found = {(row["section"], row["region"]): row for row in again.to_dict("records")}
    seen = set()
    for row in rows.to_dict("records"):
        section, key = row["section"], (row["section"], int(row["region"]))
        said = f"region {row['region']} of {row['time']:%Y-%m-%d} in section {section}"
        if key not in found or key in seen:
            why = "comes twice" if key in seen else "has a number that the text cannot give back"
            raise ValueError(f"{said} {why}; it must be complete, such as 11158, and in a section once")
        seen.add(key)
        for name in _WRITTEN[section]:
            given, got = row[name], found[key][name]
            given = round(given) if isinstance(given, float) and math.isfinite(given) else given
            if not (given == got or (pd.isna(given) and pd.isna(got))):
                raise ValueError(
                    f"{said} cannot be written: {name} {given!r} would be read as {got!r}; "
                    "a value can be missing only if those to its right are, too, or are of another kind"
                )


def read_ar_list(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a list of active regions: ``number,YYYYMMDD,days`` on each line.

    Parameters
    ----------
    path : path
        Numbers have four digits, or all of them.

    Returns
    -------
    pandas.DataFrame
        ``region`` (all digits), ``first`` (day of issue) and ``days_seen``, in the order of the file.

    Warns
    -----
    SourceWarning
        Once, if lines are left out, with the first of them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it has no such line.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import flares
    >>> _ = Path("regions.txt").write_text("1158,20110212,10")
    >>> flares.read_ar_list("regions.txt")
       region      first  days_seen
    0   11158 2011-02-12         10
    """
    rows, troubles = [], []
    for number, line in enumerate(decoded(Path(path).read_bytes()).splitlines(), 1):
        if not line.strip():
            continue
        match = _AR_LINE.fullmatch(line)
        try:
            if match is None or not int(match[1]) or not int(match[3]):
                raise ValueError
            rows.append((int(match[1]), datetime.strptime(match[2], "%Y%m%d"), int(match[3])))
        except ValueError:
            troubles.append((os.fspath(path), number, f"expected number,YYYYMMDD,days, got {line[:60]!r}"))
    if not rows:
        raise ValueError(f"{path} is no list of active regions: no line is like 1158,20110212,10")
    told(troubles)
    table = pd.DataFrame(rows, columns=["region", "first", "days_seen"])
    table["first"] = table["first"].astype("datetime64[us]")
    return table.assign(region=full_region_numbers(table["region"], table["first"]).astype(np.int32))


def write_ar_list(regions: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a list of active regions as it was published; see `read_ar_list`.

    Parameters
    ----------
    regions : pandas.DataFrame
        ``region``, ``first`` and ``days_seen``, as from `ar_list`. The last four digits of the numbers are
        written.
    path : path

    Raises
    ------
    ValueError
        If a column or a value is missing, or a number would be read as another.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.flares.regions import ar_list
    >>> flares.write_ar_list(ar_list(flares.read_srs(demo.SUMMARIES)), "regions.txt")
    >>> flares.read_ar_list("regions.txt").head(2)
       region      first  days_seen
    0   12673 2017-09-04          2
    1   12674 2017-09-04          2
    """
    if lacking := [name for name in ("region", "first", "days_seen") if name not in regions]:
        raise ValueError(f"the list of regions lacks the columns {', '.join(lacking)}; see ar_list")
    rows = regions[["region", "first", "days_seen"]]
    if rows.isna().any(axis=None):
        raise ValueError("the list of regions has missing values; leave these rows out")
    numbers, first = rows["region"].to_numpy(np.int64), as_times(rows["first"])
    again = full_region_numbers(numbers % 10000, first)
    if (wrong := again != numbers).any():
        raise ValueError(
            f"region {numbers[wrong][0]} of {first[wrong][0]} would be read as {again[wrong][0]}; "
            "numbers must have all their digits"
        )
    days = pd.DatetimeIndex(first).strftime("%Y%m%d")
    lines = [f"{n % 10000:04},{d},{k}\n" for n, d, k in zip(numbers, days, rows["days_seen"], strict=True)]
    write_bytes(path, "".join(lines).encode())


#: Known layouts of tables of regions: what `read_region_table` reads -> name in the table.
REGION_TABLES: dict[str, dict[str, str]] = {
    "solartrack": {
        name: name
        for name in (
            "region", "time", "location", "carrington_lon", "area", "mcintosh", "extent", "n_spots",
            "mag_class",
        )
    },
    "read_srs": {name: name for name in SRS_COLUMNS if name != "file"},
    "hayes": {
        "region": "ar_noaanum", "time": "date", "location": "LOCATION", "carrington_lon": "Carrington_long",
        "area": "AREA", "mcintosh": "Z", "extent": "Longitude_extent", "n_spots": "No_sunspots",
        "mag_class": "MAGTYPE",
    },
}  # fmt: skip


def read_region_table(
    path: str | os.PathLike[str], columns: Mapping[str, str] | str | None = None
) -> Summaries:
    """Read regions of many summaries from one CSV file.

    Parameters
    ----------
    path : path
        CSV with a header; it may be packed by gzip, and rows may begin with their number.
    columns : mapping or str, optional
        What the file calls ``region``, ``time`` (of issue), the place, ``carrington_lon``, ``area``,
        ``mcintosh``, ``extent``, ``n_spots`` and ``mag_class``. The place is ``location`` ("S18W64"), and
        all rows are of section I; or it is ``section``, ``lat`` and ``lon`` as `read_srs` has them. Or a
        name from `REGION_TABLES`. Default: the first of these whose columns are all there; a table of
        `read_srs` that pandas' ``to_csv`` wrote is one of them.

    Returns
    -------
    Summaries
        As from `read_srs`; ``file`` is `path`. Days of which the file has no region are gaps: a table cannot
        tell a day without regions from one without a summary. Of two rows for a region, section and day the
        later issue counts.

    Warns
    -----
    SourceWarning
        Once, if rows are not as they should be; ``troubles`` has them. A missing value costs that value, a
        missing number, time or place the row.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no CSV file, lacks a column, or has no region.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> flares.read_srs(demo.SUMMARIES).regions.to_csv("regions.csv", index=False)
    >>> columns = ["region", "time", "lat", "lon", "area", "mcintosh", "mag_class"]
    >>> flares.read_region_table("regions.csv").regions[columns].head(3)
       region       time   lat   lon  area mcintosh   mag_class
    0   12673 2017-09-04 -10.0   2.0   130      Dsc  Beta-Gamma
    1   12674 2017-09-04  14.0 -12.0   930      Fhc        Beta
    2   12675 2017-09-04  -7.0  63.0    50      Cro        Beta
    """
    try:
        table = read_csv(path, row_numbers=True)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    names = _layout(table, columns, os.fspath(path))
    rows: dict[tuple[int, str, datetime], tuple[datetime, dict[str, Any]]] = {}
    troubles: list[tuple[str, int, str]] = []
    for number, words in enumerate(zip(*(table[name] for name in names.values()), strict=True), 1):
        fields = dict(zip(names, (word.strip() for word in words), strict=True))
        try:
            issued = as_moment(fields.pop("time"))
            if issued is None or not fields["region"].isdecimal() or len(fields["region"]) > 5:
                raise ValueError("no number or time")
        except ValueError as error:
            troubles.append((os.fspath(path), number, f"{error}: {','.join(words)[:60]!r}"))
            continue
        day = issued.replace(hour=0, minute=0, second=0, microsecond=0)
        row, wrong = region_fields(fields, day)
        if wrong:
            troubles.append((os.fspath(path), number, f"{', '.join(wrong)}: {','.join(words)[:60]!r}"))
        key = (row.get("region", 0), row.get("section", ""), day)
        if row and (key not in rows or rows[key][0] <= issued):
            rows[key] = (issued, row | {"file": os.fspath(path)})
    if not rows:
        raise ValueError(f"{os.fspath(path)} has no region in {len(table)} rows")
    told(troubles)
    regions = regions_table(row for _, row in rows.values())
    return Summaries(
        regions,
        pd.DatetimeIndex(regions["time"].unique(), dtype="datetime64[us]"),
        pd.DataFrame(troubles, columns=["file", "line", "trouble"]),
    )


def _layout(table: pd.DataFrame, columns: Mapping[str, str] | str | None, name: str) -> dict[str, str]:
    """What is read -> name in a table."""
    if columns is None:
        lacks = {
            known: [own for own in layout.values() if own not in table]
            for known, layout in REGION_TABLES.items()
        }
        nearest = min(lacks, key=lambda known: len(lacks[known]))
        if not lacks[nearest]:
            return REGION_TABLES[nearest]
        raise ValueError(
            f"{name} is of no known layout ({', '.join(REGION_TABLES)}): the nearest is {nearest!r}, of "
            f"which it lacks {', '.join(lacks[nearest])}; give columns, such as {{'region': 'noaa', "
            f"'time': 'date', ...}}; it has {', '.join(map(str, table.columns))[:200]}"
        )
    if isinstance(columns, str) and columns not in REGION_TABLES:
        raise ValueError(f"columns must be a mapping or one of {', '.join(REGION_TABLES)}, got {columns!r}")
    given = REGION_TABLES[columns] if isinstance(columns, str) else columns
    located, placed = REGION_TABLES["solartrack"], REGION_TABLES["read_srs"]
    if set(given) not in (set(located), set(placed)):
        raise ValueError(
            f"columns must name {', '.join(located)}, or section, lat and lon instead of location, got "
            f"{', '.join(map(str, given))}"
        )
    if lacking := [own for own in given.values() if own not in table]:
        raise ValueError(f"{name} lacks the columns {', '.join(map(str, lacking))}")
    return dict(given)
