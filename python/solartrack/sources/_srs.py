"""Solar Region Summaries as tables: the reader of NOAA's texts."""

from __future__ import annotations

import codecs
import contextlib
import io
import lzma
import os
import re
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack.errors import SourceError, SourceWarning

__all__ = [
    "SRS_COLUMNS",
    "Summaries",
    "decoded",
    "full_region_number",
    "full_region_numbers",
    "packed_texts",
    "place_name",
    "place_of",
    "read_srs",
    "region_fields",
    "region_row",
    "regions_table",
    "report_texts",
    "told",
]

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

_SECTION = re.compile(r"(IA|II|III|IV|I)\.\s")
_HEADING = re.compile(r"(NMBR|NONE)\b", re.IGNORECASE)
_ROW = re.compile(r"\d{4}(?!\S)")
_LIKE_A_ROW = re.compile(r"\d{4}\s+[NS]\d{2}[EW]\d{2}", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")
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
# The largest numbers that a summary has place for.
_MOST = {"carrington_lon": 360, "area": 9999, "extent": 360, "n_spots": 999}
_LARGEST_REPORT = 2**20
_END_OF_TAR = 1024  # zeros
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> summaries = flares.read_srs(demo.SUMMARIES)
    >>> len(summaries.regions), summaries.days.strftime("%Y-%m-%d").tolist(), len(summaries.troubles)
    (10, ['2017-09-04', '2017-09-05'], 0)
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

    Examples
    --------
    >>> from solartrack.flares.regions import full_region_number
    >>> full_region_number(1936, "2013-12-30"), full_region_number(9393, "2001-03-29")
    (11936, 9393)
    """
    if not number > 0:
        raise ValueError(f"the number of a region must be positive, got {number}")
    return number + 10000 if _lacks_first_digit(number, pd.Timestamp(time).year) else number


def full_region_numbers(numbers: Any, times: Any) -> NDArray[np.int64]:
    """Many numbers as `full_region_number` makes them; those that are not positive stay as they are.

    Parameters
    ----------
    numbers : array_like of int, shape (n,)
    times : array_like of datetime64, shape (n,) or ()

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    given = np.asarray(numbers, dtype=np.int64)
    years = np.asarray(times).astype("datetime64[Y]").astype(np.int64) + 1970
    full: NDArray[np.int64] = np.where((given > 0) & _lacks_first_digit(given, years), given + 10000, given)
    return full


def _lacks_first_digit(number: Any, year: Any) -> Any:
    return (number < 10000) & ((year >= 2003) | ((year == 2002) & (number < 5000)))


def read_srs(source: Any) -> Summaries:
    """Read Solar Region Summaries.

    Parameters
    ----------
    source : path, bytes, table of `solartrack.sources.swpc.reports`, or iterable of these
        Text files (``YYYYMMDDSRS.txt``), folders of them, tar files (plain or packed), or the content of
        a text or tar file. All formats since 1996 are read.

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

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> summaries = flares.read_srs(demo.SUMMARIES)
    >>> summaries.regions[["region", "time", "lat", "lon", "area", "mcintosh", "mag_class"]].head(3)
       region       time   lat   lon  area mcintosh   mag_class
    0   12673 2017-09-04 -10.0   2.0   130      Dsc  Beta-Gamma
    1   12674 2017-09-04  14.0 -12.0   930      Fhc        Beta
    2   12675 2017-09-04  -7.0  63.0    50      Cro        Beta
    """
    reports: dict[datetime, list[dict[str, Any]]] = {}
    troubles: list[tuple[str, int, str]] = []
    count = 0
    for name, text in report_texts(source, "SRS"):
        count += 1
        day = _day(name, text, troubles)
        if day is None:
            troubles.append((name, 0, "no date of issue: this is no Solar Region Summary"))
            continue
        if day in reports:
            troubles.append((name, 0, f"a second report of {day:%Y-%m-%d}, which replaces the first"))
        reports[day] = list(_rows(name, text, day, troubles))
    if not reports:
        found = f"none of {count} files is one, such as {name}" if count else "there are no files"
        raise SourceError(f"no Solar Region Summary: {found}", permanent=True)
    rows = [row for day in sorted(reports) for row in reports[day]]
    return Summaries(
        regions_table(rows),
        pd.DatetimeIndex(sorted(reports), dtype="datetime64[us]"),
        told(troubles),
    )


def told(troubles: list[tuple[str, int, str]]) -> pd.DataFrame:
    """Troubles (file, line, trouble) as a table; the caller's caller is warned of them, once."""
    if troubles:
        name, line, trouble = troubles[0]
        place = f"{name}, line {line}" if line else name
        more = f", and {len(troubles) - 1} more; see troubles" if len(troubles) > 1 else ""
        warnings.warn(f"{place}: {trouble}{more}", SourceWarning, stacklevel=3)
    table = pd.DataFrame(troubles, columns=["file", "line", "trouble"])
    return table.astype({"file": "str", "line": "int64", "trouble": "str"})


def regions_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns `SRS_COLUMNS`, in order of time and number."""
    rows = list(rows)
    table = pd.DataFrame({
        name: pd.Series([row.get(name) for row in rows], dtype=kind).fillna("")
        if kind == "str" else pd.Series([row.get(name) for row in rows], dtype=kind)
        for name, kind in SRS_COLUMNS.items()
    })  # fmt: skip
    return table.sort_values(["time", "region"], kind="stable", ignore_index=True)


def report_texts(source: Any, kind: str) -> Iterator[tuple[str, str]]:
    """Name and text of each report in files, folders, tar files, bytes, tables, or several of these.

    Parameters
    ----------
    source : path, bytes, table of `solartrack.sources.swpc.reports`, or iterable of these
    kind : str
        What the names of reports end with, before ``.txt``: "SRS" or "events".

    Raises
    ------
    FileNotFoundError
        If a file or folder is not there.
    SourceError
        If a tar file is damaged.
    """
    if isinstance(source, bytes):
        if _is_tar(source):
            yield from packed_texts(source, kind).items()
        else:
            yield "the text", decoded(source)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            for file in sorted(path.rglob(f"*{kind}.txt")):
                yield str(file), decoded(file.read_bytes())
        elif not path.is_file():
            raise FileNotFoundError(f"there is no file or folder {path}")
        else:
            with path.open("rb") as opened:
                content = opened.read(_LARGEST_REPORT)
            if _is_tar(content) or tarfile.is_tarfile(path):
                for name, text in packed_texts(path, kind).items():
                    yield f"{path}/{name}", text
            else:
                yield str(path), decoded(content)
    elif isinstance(source, pd.DataFrame):
        if lacking := [name for name in ("name", "text") if name not in source]:
            raise ValueError(
                f"a table of reports must have the columns name and text, as swpc.reports gives it; this one "
                f"lacks {', '.join(lacking)}: it has {', '.join(map(str, source.columns))[:200] or 'none'}"
            )
        yield from (
            (row.name, row.text) for row in source[["name", "text"]].itertuples(index=False) if row.text
        )
    elif isinstance(source, Iterable):
        for one in source:
            yield from report_texts(one, kind)
    else:
        raise TypeError(f"reports are paths or bytes, got {type(source).__name__}")


def _is_tar(content: bytes) -> bool:
    return content.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or content[257:262] == b"ustar"


def packed_texts(source: Path | bytes, kind: str) -> dict[str, str]:
    """Reports in a tar file, whatever folder they are in.

    Parameters
    ----------
    source : Path or bytes
    kind : str
        What their names end with, before ``.txt``: "SRS" or "events".

    Returns
    -------
    dict
        Name without the folder -> text, in order of the names.

    Raises
    ------
    SourceError
        If the file is damaged.
    """
    found: dict[str, str] = {}
    label = "the tar file" if isinstance(source, bytes) else str(source)
    try:
        opened = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        with opened, tarfile.open(fileobj=opened) as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if not name.casefold().endswith(f"{kind}.txt".casefold()) or member.size > _LARGEST_REPORT:
                    continue
                if member.isfile():
                    file = tar.extractfile(member)
                    assert file is not None
                    found[name] = decoded(file.read())
            # tarfile takes a damaged header for the end, and stops before the checksum of a packed file.
            stream: Any = tar.fileobj
            stream.seek(tar.offset)
            end = stream.read(_END_OF_TAR)
            if len(end) < _END_OF_TAR or any(end):
                raise tarfile.ReadError("its end is missing")
            while stream.read(_LARGEST_REPORT):
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise SourceError(f"{label} is damaged: {error}; fetch it again") from error
    return dict(sorted(found.items()))


def decoded(content: bytes) -> str:
    """Text; NOAA's files are ASCII, with a stray byte now and then. Editors add marks and zeros to it."""
    for mark in _MARKS:
        content = content.removeprefix(mark)
    return content.decode("latin-1").replace("\x00", "")


def _day(name: str, text: str, troubles: list[tuple[str, int, str]]) -> datetime | None:
    """Day of issue: as the file's name says, else as the text does."""
    said = []
    in_name = _DAY_IN_NAME.search(name.rpartition("/")[2])
    issued = _ISSUED.search(text[:2000])
    for found, form in ((in_name, "%Y%m%d"), (issued, "%Y %b %d")):
        with contextlib.suppress(ValueError):
            if found is not None:
                said.append(datetime.strptime(" ".join(found.groups()), form))
    if not said or not any(
        _SECTION.match(line.strip().upper()) or _LIKE_A_ROW.match(line.strip())
        for line in _LINE_END.split(text)
    ):
        return None
    if said[0] != said[-1]:
        troubles.append((name, 0, f"its text says that it was issued on {said[-1]:%Y-%m-%d}"))
    return said[0]


def _rows(
    name: str, text: str, day: datetime, troubles: list[tuple[str, int, str]]
) -> Iterator[dict[str, Any]]:
    """Rows of a report. What is amiss goes to `troubles`."""
    section = ""
    seen: dict[str, set[int]] = {}
    issued = False
    for number, line in enumerate(_LINE_END.split(text), 1):
        line = line.strip()
        heading = _SECTION.match(line.upper() + " ")
        if _ISSUED.match(line):
            if issued:
                troubles.append(
                    (name, number, "a second report begins, which is left out: give it by itself")
                )
                break
            issued = True
        elif heading is not None:
            section = heading[1]
            seen.setdefault(section, set())
        elif section not in ("I", "IA", "II") or not line or _HEADING.match(line):
            if not section and _LIKE_A_ROW.match(line):
                troubles.append((name, number, f"a region before the first section: {line[:60]!r}"))
        elif _ROW.match(line) is None:
            if section == "II" and line[0].isalpha():  # a message may follow the last section
                section = ""
            else:
                troubles.append((name, number, f"no region: {line[:60]!r}"))
        else:
            row, wrong = region_row(section, line.split(), day)
            if row and row["region"] in seen[section]:
                row, wrong = {}, ["a region for the second time, which is left out"]
            if wrong:
                troubles.append((name, number, f"{', '.join(wrong)}: {line[:60]!r}"))
            if row:
                seen[section].add(row["region"])
                yield row | {"file": name}
    if lacking := [wanted for wanted in ("I", "IA", "II") if wanted not in seen]:
        troubles.append((name, 0, f"no section {', no section '.join(lacking)}: it may be cut"))


def region_row(section: str, words: list[str], day: datetime) -> tuple[dict[str, Any], list[str]]:
    """A line as a row, and what is wrong with it; an empty row if it cannot be used."""
    row: dict[str, Any] = {"region": full_region_number(int(words[0]), day) if int(words[0]) else 10000}
    row |= {"time": day, "section": section}
    place = place_of(words[1] if len(words) > 1 else "", latitude_only=section == "II")
    if place is None:
        return {}, ["no location"]
    row["lat"], row["lon"] = place
    wrong, rest = [], words[2:]
    for column, form, what in _FIELDS if section == "I" else _FIELDS[:1]:
        if rest and form.fullmatch(rest[0]) and (column != "mag_class" or _is_magnetic(rest[0])):
            word = rest.pop(0)
            row[column] = int(word) if word.isdigit() else _written(word, column)
        else:
            wrong.append(f"no {what}")
    if row.get("carrington_lon", 0) > 360:
        wrong.append("no Carrington longitude")
        del row["carrington_lon"]
    if section == "I" and rest:  # plages have had comments
        wrong.append(f"more than a region ({' '.join(rest)[:40]!r})")
    return row, wrong


def region_fields(fields: Mapping[str, str], day: datetime) -> tuple[dict[str, Any], list[str]]:
    """Fields of a table as a row, and what is wrong with it; an empty row if it cannot be used.

    Each field stands for itself, so numbers need not be as wide as in a line of a summary: 130 is an area as
    0130 is, and 117.0 a longitude.

    Parameters
    ----------
    fields : mapping of str to str
        ``region``, a number; ``location``, or ``section``, ``lat`` and ``lon``; and the values of section I.
        Empty where one is missing.
    day : datetime
    """
    section = fields.get("section", "I")
    if section not in ("I", "IA", "II"):
        return {}, ["no section I, IA or II"]
    if "location" in fields:
        place = place_of(fields["location"])
    else:
        place = _degrees(fields["lat"], fields["lon"], latitude_only=section == "II")
    if place is None:
        return {}, ["no location"]
    row: dict[str, Any] = {"region": full_region_number(int(fields["region"]) or 10000, day)}
    row |= {"time": day, "section": section, "lat": place[0], "lon": place[1]}
    wrong = []
    for column, form, what in _FIELDS:
        word = fields[column]
        if column in _MOST:
            value = _number(word)
            good = 0 <= value <= _MOST[column] and (column == "carrington_lon" or value.is_integer())
            if good:
                row[column] = value if column == "carrington_lon" else int(value)
        elif good := form.fullmatch(word) is not None and (column != "mag_class" or _is_magnetic(word)):
            row[column] = _written(word, column)
        # Only regions with spots have values beside their place.
        if not good and (word or section == "I" or column == "carrington_lon"):
            wrong.append(f"no {what}")
    return row, wrong


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan


def _degrees(lat: str, lon: str, *, latitude_only: bool) -> tuple[float, float] | None:
    place = _number(lat), np.nan if latitude_only else _number(lon)
    return place if abs(place[0]) <= 90 and (latitude_only or abs(place[1]) <= 180) else None


def place_of(text: str, *, latitude_only: bool = False) -> tuple[float, float] | None:
    """Latitude and longitude of a place such as N12E40, None if it is none; NaN where a text lacks one."""
    match = (_LATITUDE if latitude_only else _LOCATION).fullmatch(text.upper())
    if match is None:
        return None
    lat = (1.0 if match[1] == "N" else -1.0) * int(match[2])
    lon = np.nan if latitude_only else (1.0 if match[3] == "W" else -1.0) * int(match[4])
    return None if abs(lat) > 90 or abs(lon) > 180 else (lat, lon)


def place_name(lat: float, lon: float) -> str:
    """A place such as N12E40, in whole degrees."""
    north, west = round(lat), round(lon)
    return f"{'N' if north >= 0 else 'S'}{abs(north):02}{'W' if west >= 0 else 'E'}{abs(west):02}"


def _is_magnetic(word: str) -> bool:
    return set(word.lower().split("-")) <= _MAGNETIC


def _written(word: str, column: str) -> str:
    """A class as it has been written since October 2000: "Beta-Gamma", "Dkc"."""
    return (
        "-".join(part.capitalize() for part in word.split("-"))
        if column == "mag_class"
        else word.capitalize()
    )
