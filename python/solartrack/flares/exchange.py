"""Forecasts of the CCMC Flare Scoreboard, read and written.

The Scoreboard takes files of text or XML. No complete specification was found; what is read and written here
is what these sources show:

* text: the submission example on the poster of its planning group (Andries, Devos, Guerra et al., "Real
  time forecasting methods validation with the Flare Scoreboard"): the header, and the nine columns of a
  full-disk forecast with four decimals. The output of a registered method (nushio3/UFCORIN on GitHub):
  ``----`` for what is not given, and four columns for each class, of which the second and third are taken for
  the limits of the uncertainty. Rows of regions (number, time, location, NOAA number or ``----``, then the
  probabilities) are as a public reader of the archived files of ASSA and AMOS expects them; no official
  example was found.
* XML (ISES): programs that sent forecasts of the Met Office and of SolarMonitor (S. Murray), and notes of
  users on the archived files of NOAA and SIDC, which name the limits of the window differently.

Percentiles in XML files are not read.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from solartrack._files import write_bytes
from solartrack._tables import as_moment
from solartrack.errors import SourceWarning
from solartrack.sources.swpc import full_region_number

__all__ = [
    "SCOREBOARD_COLUMNS",
    "ScoreboardForecast",
    "read_scoreboard",
    "write_scoreboard",
]

#: Columns of a table of Scoreboard forecasts, with their types.
SCOREBOARD_COLUMNS = {
    "region": "Int32",
    "location": "str",
    "location_time": "datetime64[us]",
    "flare_class": "str",
    "probability": "float64",
    "uncertainty": "float64",
    "low": "float64",
    "high": "float64",
    "level": "Int8",
}

_LARGEST_FILE = 2**20
_CLASSES = ("X", "M", "C")  # in the order of the files
_MISSING = "----"
_HEADER = re.compile(
    r"#?\s*(forecasting method|issue time|prediction window start time|prediction window end time"
    r"|probability bins|input data)\s*:\s*(.*)",
    re.IGNORECASE,
)
_SECTION = re.compile(r"#?\s*(full disk|region) forecast\b", re.IGNORECASE)
_COLUMN = re.compile(r"([XMC])_(prob|uncert|level)", re.IGNORECASE)
# What the numbers of a class are, by how many there are.
_LAYOUTS = {
    1: ("probability",),
    3: ("probability", "uncertainty", "level"),
    4: ("probability", "low", "high", "level"),
}


@dataclass(frozen=True)
class ScoreboardForecast:
    """One forecast of the CCMC Flare Scoreboard.

    Attributes
    ----------
    method : str
        Name of the forecasting method.
    issued, start, end : datetime
        When it was issued, and the window that it is for, UTC.
    table : pandas.DataFrame
        A row for each probability, with columns as `SCOREBOARD_COLUMNS`: ``region`` (complete NOAA number;
        NA for the full disk, and for a region without a number), ``location`` ("S18W64", "" for the full
        disk), ``location_time`` (UTC), ``flare_class`` ("M+" is M1.0 and above; "M" where the file does
        not say so), ``probability`` (0 to 1), ``uncertainty`` of it, or its limits ``low`` and ``high``,
        and ``level`` (calibration: 1 low, 2 medium, 3 high).
    inputs : str
        Input data, in words.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> found = flares.scoreboard_forecast(flares.forecast(demo.SUMMARIES))
    >>> found.table["flare_class"].unique().tolist()
    ['C+', 'M+', 'X+']
    """

    method: str
    issued: datetime
    start: datetime
    end: datetime
    table: pd.DataFrame
    inputs: str = ""


def read_scoreboard(path: str | os.PathLike[str]) -> ScoreboardForecast:
    """Read a forecast file of the CCMC Flare Scoreboard, text or XML.

    Parameters
    ----------
    path : path
        Which of the two it is, is seen from its content: XML is also distributed with names in .txt.

    Returns
    -------
    ScoreboardForecast

    Raises
    ------
    ValueError
        If the method, the issue time or the window is missing or no time, or the file is no such forecast;
        the message has the name of the file.

    Warns
    -----
    SourceWarning
        For each row that cannot be read, with file and line; it is left out.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import exchange
    >>> found = flares.scoreboard_forecast(flares.forecast(demo.SUMMARIES))
    >>> exchange.write_scoreboard("forecast.xml", found)
    >>> exchange.read_scoreboard("forecast.xml").issued.isoformat()
    '2017-09-05T00:00:00'
    """
    path = Path(path)
    with path.open("rb") as file:
        raw = file.read(_LARGEST_FILE + 1)
    if len(raw) > _LARGEST_FILE:
        raise ValueError(f"{path}: a forecast is smaller than {_LARGEST_FILE} bytes, and this is larger")
    text = raw.decode("utf-8-sig", errors="replace")
    try:
        return (_read_xml if text.lstrip().startswith("<") else _read_text)(text, path)
    except (ValueError, ET.ParseError) as error:
        raise ValueError(f"{path}: {error}") from error


def _read_text(text: str, path: Path) -> ScoreboardForecast:
    header: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    kind, names = "full disk", [""]
    lines = list(enumerate(text.splitlines(), start=1))
    for _, line in lines:
        found = _HEADER.match(line.strip())
        if found:
            header.setdefault(found[1].lower(), found[2].strip())
    plus = "+" if "+" in header.get("probability bins", "") else ""
    forecast = _forecast(header, header.get("input data", ""))
    for number, line in lines:
        line = line.strip()
        section = _SECTION.match(line)
        if section:
            kind, names = section[1].lower(), [""]
        elif _COLUMN.search(line):
            names = line.lstrip("# ").split()
        elif line and not line.startswith("#") and (line[0].isdigit() or ":" not in line):  # no header line
            try:
                rows += _text_row(line.split(), kind, names, plus, forecast.issued)
            except ValueError as error:
                warnings.warn(f"{path}, line {number}: {error}", SourceWarning, stacklevel=4)
    return _with_rows(forecast, rows)


def _text_row(
    fields: list[str], kind: str, names: list[str], plus: str, issued: datetime
) -> Iterator[dict[str, Any]]:
    """Rows of the table from a line of a text file."""
    where: dict[str, Any] = {}
    if kind == "region":
        if len(fields) < 4:
            raise ValueError(f"a region must have number, time, location and NOAA number, got {fields}")
        where = _place(fields[3], fields[2], fields[1], issued)
        fields = fields[4:]
    columns = [one for one in map(_COLUMN.match, names) if one]
    classes = [one[1].upper() for one in columns] if len(columns) == len(fields) else [
        name for name in _CLASSES for _ in range(len(fields) // 3)
    ]  # fmt: skip
    if len(classes) != len(fields) or len(fields) % 3 or len(fields) // 3 not in _LAYOUTS:
        raise ValueError(
            f"the probabilities of X, M and C must be 3, 9 or 12 fields, got {len(fields)}: "
            f"{' '.join(fields)[:80]}"
        )
    layout = _LAYOUTS[len(fields) // 3]
    rows = []
    for name in dict.fromkeys(classes):
        own = [field for field, of in zip(fields, classes, strict=True) if of == name]
        if len(own) != len(layout):
            raise ValueError(f"each class must have {len(layout)} fields, got {len(own)} for {name}")
        numbers = dict(zip(layout, map(_number, own), strict=True))
        if not math.isnan(numbers["probability"]):
            rows.append({**where, "flare_class": name + plus, **_checked(numbers)})
    return iter(rows)


def _read_xml(text: str, path: Path) -> ScoreboardForecast:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("the XML declares entities, which a forecast has no use for")
    root = ET.fromstring(text)
    found = root if root.tag == "forecast" else root.find(".//forecast")
    if found is None:
        raise ValueError("the XML has no element <forecast>")

    def first(*names: str) -> str:
        return next((text.strip() for text in map(found.findtext, names) if text), "")

    window = "predictionwindow/"
    header = {
        "forecasting method": first("method"),
        "issue time": first("issuetime"),
        "prediction window start time": first(window + "starttime", window + "begin"),
        # "endttime" is in files of the Met Office
        "prediction window end time": first(window + "endtime", window + "endttime", window + "end"),
    }
    forecast = _forecast(header, first("inputdata", "input_data"))
    rows = [
        row
        for group in found.findall("group")
        for row in _xml_rows(group, (group.findtext("forecasttype") or "").strip(), forecast.issued, path)
    ]
    return _with_rows(forecast, rows)


def _xml_rows(group: ET.Element, kind: str, issued: datetime, path: Path) -> Iterator[dict[str, Any]]:
    where: dict[str, Any] = {}
    numbers = {
        (one.get("scheme") or "").lower(): (one.text or "").strip()
        for one in group.iterfind("sourceregion/id")
    }
    location = group.find("sourceregion/location")
    try:
        if kind.lower() == "region":
            noaa = next((text for scheme, text in numbers.items() if "noaa" in scheme), "")
            place, time = ("", "") if location is None else (location.text or "", location.get("time") or "")
            where = _place(noaa, place.strip(), time, issued)
        for entry in group.iterfind("entry"):
            bin_ = entry.find("fluxbin")
            name = "" if bin_ is None else (bin_.get("name") or "").strip().upper()
            value = entry.findtext("probability/value")
            if name.rstrip("+") not in _CLASSES or value is None:
                raise ValueError(
                    f"an entry must have a fluxbin C, M or X and a probability, got {name!r}, {value!r}"
                )
            yield {**where, "flare_class": name, **_checked({"probability": _number(value.strip())})}
    except ValueError as error:
        warnings.warn(f"{path}, group {kind} {[*numbers.values()]}: {error}", SourceWarning, stacklevel=6)
    for inner in group.iterfind("group"):
        yield from _xml_rows(inner, kind, issued, path)


def _forecast(header: dict[str, str], inputs: str) -> ScoreboardForecast:
    missing = [name for name in ("forecasting method", "issue time", "prediction window start time",
                                 "prediction window end time") if not header.get(name)]  # fmt: skip
    if missing:
        raise ValueError(f"a forecast of the Flare Scoreboard must have {missing[0]!r}, and this has none")
    method, *times = (header[name] for name in ("forecasting method", "issue time",
                      "prediction window start time", "prediction window end time"))  # fmt: skip
    issued, start, end = map(_time, times)
    if not start < end:
        raise ValueError(f"the window must start before it ends, got {start} to {end}")
    return ScoreboardForecast(method, issued, start, end, _table([]), inputs)


def _with_rows(forecast: ScoreboardForecast, rows: Sequence[dict[str, Any]]) -> ScoreboardForecast:
    return ScoreboardForecast(
        forecast.method, forecast.issued, forecast.start, forecast.end, _table(rows), forecast.inputs
    )


def _table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    defaults = {"location": "", "location_time": None}
    return pd.DataFrame(
        {
            name: pd.Series([row.get(name, defaults.get(name, pd.NA)) for row in rows], dtype=object).astype(
                "Float64" if kind == "float64" else kind
            ).astype(kind)
            for name, kind in SCOREBOARD_COLUMNS.items()
        }
    )  # fmt: skip


def _place(noaa: str, location: str, time: str, issued: datetime) -> dict[str, Any]:
    number = int(noaa) if noaa.isascii() and noaa.isdigit() and 0 < int(noaa) < 10**5 else None
    if number is None and noaa.strip("-"):
        raise ValueError(f"the NOAA number of a region must be a number or {_MISSING}, got {noaa!r}")
    return {
        "region": pd.NA if number is None else full_region_number(number, issued),
        "location": location.strip("-"),
        "location_time": _time(time) if time.strip("-") else None,
    }


def _time(text: str) -> datetime:
    with contextlib.suppress(ValueError):
        moment = as_moment(re.sub(r"\s*(UTC?|Z)$", "", text.strip(), flags=re.IGNORECASE))
        if moment is not None:
            return moment
    raise ValueError(f"a time must be like 2016-12-15T00:30Z, got {text!r}")


def _number(text: str) -> float:
    try:
        return float(text) if text.strip("-") else math.nan
    except ValueError:
        raise ValueError(f"expected a number or {_MISSING}, got {text!r}") from None


def _checked(numbers: dict[str, float]) -> dict[str, Any]:
    for name, value in numbers.items():
        if name == "level":
            if not (math.isnan(value) or value in (1, 2, 3)):
                raise ValueError(f"level must be 1, 2 or 3, got {value:g}")
        elif not (math.isnan(value) or 0 <= value <= 1):
            raise ValueError(f"{name} must be from 0 to 1, got {value:g}")
    return {name: pd.NA if math.isnan(value) else value for name, value in numbers.items()}


def write_scoreboard(path: str | os.PathLike[str], forecast: ScoreboardForecast) -> None:
    """Write a forecast for the CCMC Flare Scoreboard.

    Parameters
    ----------
    path : path
        XML if its name ends with ".xml", else text. The poster asks for names such as
        ``Flare_Forecast_METHOD_20161215_0030.txt``. Replaced if it exists.
    forecast : ScoreboardForecast
        Rows of its table with the same region and location belong together; each class once. All classes
        are "C+", "M+" or "X+". Probabilities are written with four decimals, times to the minute. XML
        holds no uncertainties and levels.

    Raises
    ------
    ValueError
        If a column is missing, a class or probability is none of the above, a class comes twice, or the
        method is empty or has line breaks or other characters that are not printed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import exchange
    >>> found = flares.scoreboard_forecast(flares.forecast(demo.SUMMARIES))
    >>> exchange.write_scoreboard("forecast.txt", found)
    >>> print(Path("forecast.txt").read_text().splitlines()[0])
    Forecasting method: solartrack text
    """
    table = forecast.table
    missing = [name for name in ("region", "flare_class", "probability") if name not in table]
    if missing:
        raise ValueError(f"the table must have the column {missing[0]!r}, got {list(table.columns)}")
    table = table.reindex(columns=[*SCOREBOARD_COLUMNS])
    table["location"] = table["location"].fillna("").astype(str)
    wrong = ~table["flare_class"].isin([f"{name}+" for name in _CLASSES])
    if wrong.any():
        raise ValueError(f"classes must be C+, M+ or X+, got {table['flare_class'][wrong].iloc[0]!r}")
    for name, largest in (("probability", 1), ("uncertainty", 1), ("low", 1), ("high", 1), ("level", 3)):
        wrong = ~table[name].astype("Float64").between(0, largest).fillna(name != "probability")
        if wrong.any():
            raise ValueError(f"{name} must be from 0 to {largest}, got {table[name][wrong].iloc[0]}")
    if table.duplicated(["region", "location", "flare_class"]).any():
        raise ValueError("each class must come once for the full disk and for each region, got one twice")
    for name, words in (("method", forecast.method), ("inputs", forecast.inputs)):
        if not words.isprintable() or (name == "method" and not words.strip()):
            raise ValueError(f"{name} must be one line of text, got {words!r}")
    if not forecast.start < forecast.end:
        raise ValueError(f"the window must start before it ends, got {forecast.start} to {forecast.end}")
    wrong = table["location"].map(lambda place: " " in place or not place.isprintable()).astype(bool)
    if wrong.any():
        raise ValueError(f"location must be one word, got {table['location'][wrong].iloc[0]!r}")
    places = [group for _, group in table.groupby(["region", "location"], dropna=False, sort=False)]
    disk = [group for group in places if _is_disk(group)]
    regions = [group for group in places if not _is_disk(group)]
    write = _xml_bytes if Path(path).suffix.lower() == ".xml" else _text_bytes
    write_bytes(path, write(forecast, disk, regions))


def _is_disk(group: pd.DataFrame) -> bool:
    return pd.isna(group["region"].iloc[0]) and not group["location"].iloc[0]


def _stamp(time: Any) -> str:
    moment = as_moment(time)
    return _MISSING if moment is None else moment.strftime("%Y-%m-%dT%H:%MZ")


def _text_bytes(
    forecast: ScoreboardForecast, disk: Sequence[pd.DataFrame], regions: Sequence[pd.DataFrame]
) -> bytes:
    bounds = any(group[["low", "high"]].notna().to_numpy().any() for group in (*disk, *regions))
    layout = _LAYOUTS[4 if bounds else 3]
    short = {"probability": "prob", "uncertainty": "uncert", "low": "uncert_low", "high": "uncert_high"}
    names = " ".join(f"{name}_{short.get(column, column)}" for name in _CLASSES for column in layout)

    def numbers(group: pd.DataFrame) -> str:
        by_class = group.set_index("flare_class")
        fields = []
        for name in _CLASSES:
            for column in layout:
                value = by_class[column].get(f"{name}+", pd.NA)
                fields.append(
                    _MISSING if pd.isna(value) else f"{int(value)}" if column == "level" else f"{value:.4f}"
                )
        return " ".join(fields)

    hours = (forecast.end - forecast.start).total_seconds() / 3600
    lines = [
        f"Forecasting method: {forecast.method}",
        f"Issue Time: {_stamp(forecast.issued)}",
        f"Prediction Window Start Time: {_stamp(forecast.start)}",
        f"Prediction Window End Time: {_stamp(forecast.end)}",
        "Probability Bins: M+",
        f"Input data: {forecast.inputs}",
        f"Prediction window (hours): {hours:g}",
    ]
    if disk:
        lines += ["#Full Disk Forecast", f"#{names}", *map(numbers, disk)]
    if regions:
        lines += ["#Region Forecast", f"#number time location NOAA {names}"]
    for i, group in enumerate(regions, start=1):
        first = group.iloc[0]
        noaa = _MISSING if pd.isna(first["region"]) else f"{int(first['region'])}"
        lines.append(
            f"{i} {_stamp(first['location_time'])} {first['location'] or _MISSING} {noaa} {numbers(group)}"
        )
    return ("\n".join(lines) + "\n").encode()


def _xml_bytes(
    forecast: ScoreboardForecast, disk: Sequence[pd.DataFrame], regions: Sequence[pd.DataFrame]
) -> bytes:
    message = ET.Element("message")
    root = ET.SubElement(message, "forecast")
    ET.SubElement(root, "method").text = forecast.method
    ET.SubElement(root, "issuetime").text = _stamp(forecast.issued)
    window = ET.SubElement(root, "predictionwindow")
    ET.SubElement(window, "starttime").text = _stamp(forecast.start)
    ET.SubElement(window, "endtime").text = _stamp(forecast.end)
    for kind, groups in (("Full Disk", disk), ("Region", regions)):
        for rows in groups:
            group = ET.SubElement(root, "group")
            ET.SubElement(group, "forecasttype").text = kind
            first = rows.iloc[0]
            if kind == "Region":
                source = ET.SubElement(group, "sourceregion")
                if not pd.isna(first["region"]):
                    number = ET.SubElement(source, "id", scheme="NOAA_AR_numbering_scheme")
                    number.text = f"{int(first['region'])}"
                if first["location"]:
                    location = ET.SubElement(source, "location")
                    location.text = first["location"]
                    if not pd.isna(first["location_time"]):
                        location.set("time", _stamp(first["location_time"]))
            for row in rows.itertuples():
                entry = ET.SubElement(group, "entry")
                ET.SubElement(entry, "fluxbin", name=row.flare_class)
                probability = ET.SubElement(entry, "probability")
                ET.SubElement(probability, "value").text = f"{row.probability:.4f}"
    ET.indent(message)
    written: bytes = ET.tostring(message, encoding="utf-8", xml_declaration=True)
    return written + b"\n"
