"""Rows of the HEK as a table with fixed columns: boxes, times and region numbers that mean the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack._tables import as_moment

__all__ = [
    "BOX_COLUMNS",
    "EVENT_COLUMNS",
    "HEK_COLUMNS",
    "events_table",
    "noaa_numbers",
    "rings",
]

#: Columns of a table of events, and their types.
EVENT_COLUMNS = {
    "event": "str",
    "event_type": "str",
    "frm_name": "str",
    "frm_specificid": "str",
    "ar_noaanum": "Int64",
    "time": "datetime64[us]",
    "end": "datetime64[us]",
    "tx0": "float64",
    "ty0": "float64",
    "tx1": "float64",
    "ty1": "float64",
    "trouble": "str",
    "hpc_x": "float64",
    "hpc_y": "float64",
    "hpc_radius": "float64",
    "event_coordsys": "str",
    "boundbox_c1ll": "float64",
    "boundbox_c2ll": "float64",
    "boundbox_c1ur": "float64",
    "boundbox_c2ur": "float64",
    "obs_channelid": "str",
    "hpc_bbox": "str",
    "hpc_boundcc": "str",
    "kb_archivid": "str",
}
#: Of a box, arcsec.
BOX_COLUMNS = ["tx0", "ty0", "tx1", "ty1"]
#: What the table is made of, by its name in the HEK.
HEK_COLUMNS = (
    "event_type", "event_starttime", "event_endtime", "frm_name", "frm_specificid", "ar_noaanum", "hpc_bbox",
    "hpc_boundcc", "hpc_coord", "hpc_radius", "event_coordsys", "boundbox_c1ll", "boundbox_c2ll",
    "boundbox_c1ur", "boundbox_c2ur", "obs_channelid", "kb_archivid",
)  # fmt: skip

_NUMBERS = [name for name in HEK_COLUMNS if EVENT_COLUMNS.get(name) == "float64"]
# Narrower than this, arcsec, a box is a point or a line: a pixel of the finest imager is 0.17.
_NARROWEST = 0.1
_RINGS = re.compile(r"\s*POLYGON\s*\(\s*\(([^()]*)\)(?:\s*,\s*\([^()]*\))*\s*\)\s*", re.IGNORECASE)
_POINT = re.compile(r"\s*POINT\s*\(\s*(\S+)\s+(\S+?)\s*\)\s*", re.IGNORECASE)
# When NOAA reached a number (day, number): 10000 on 2002-06-14. Four digits are completed to the number
# that was due; half of the 10000 in between is 25 years, so that two points of the curve suffice.
_NOAA_DAYS = np.array(["1972-01-05", "2002-06-14", "2026-03-28"], dtype="datetime64[D]").astype(np.float64)
_NOAA_NUMBERS = np.array([0.0, 10000.0, 14405.0])


def events_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ()) -> pd.DataFrame:
    """A table of events from rows of the HEK.

    Parameters
    ----------
    rows : iterable of mapping
        As they come in ``result`` of an answer. Keys may be missing, and differ between methods.
    columns : sequence of str
        Further keys to keep, as text, "" where there is none.

    Returns
    -------
    pandas.DataFrame
        `EVENT_COLUMNS`, then the further ones, in order of time. Rows with the ``kb_archivid`` of an earlier
        row are left out. ``time`` and ``end`` are UTC (NaT where missing), boxes and positions in arcsec as
        seen from the Earth (NaN), region numbers as `noaa_numbers` says (NA), and text is "" where missing.
        ``trouble`` says why a row has no usable box; its box is NaN then.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "event_starttime": "2014-01-01T00:00:00", "ar_noaanum": 1936}
    >>> row["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> hek.events_table([row])[["time", "ar_noaanum", "tx0", "ty0", "tx1", "ty1", "trouble"]]
            time  ar_noaanum    tx0    ty0    tx1   ty1 trouble
    0 2014-01-01       11936  100.0 -200.0  300.0 -50.0
    """
    keys = [*HEK_COLUMNS, *columns]
    values: dict[str, list[Any]] = {key: [] for key in keys}
    seen: set[str] = set()
    for row in rows:
        name = _text(row.get("kb_archivid"))
        if name and name in seen:
            continue
        seen.add(name)
        for key in keys:
            values[key].append(row.get(key))
    table = {key: [_text(value) for value in values[key]] for key in keys}
    time, no_time = _times(table["event_starttime"])
    end, _ = _times(table["event_endtime"])
    boxes, troubles = _boxes(table["hpc_bbox"])
    backwards = end < time
    for i in np.flatnonzero(no_time | backwards):
        said = "its end lies before its start" if backwards[i] else "it has no time of its start"
        troubles[i] = "; ".join(filter(None, [troubles[i], said]))
    points = np.array([_point(text) for text in table["hpc_coord"]], dtype=np.float64).reshape(-1, 2)
    numbers = {key: np.array([_number(text) for text in table[key]]) for key in _NUMBERS}
    made: dict[str, Any] = {
        **{key: table[key] for key in keys if EVENT_COLUMNS.get(key) == "str"},
        **numbers,
        **dict(zip(BOX_COLUMNS, boxes.T, strict=True)),
        "event": [text.rpartition("/")[2] for text in table["kb_archivid"]],
        "ar_noaanum": noaa_numbers(table["ar_noaanum"], time),
        "time": time,
        "end": end,
        "trouble": troubles,
        "hpc_x": points[:, 0],
        "hpc_y": points[:, 1],
    }
    series = {name: pd.Series(made[name], dtype=kind) for name, kind in EVENT_COLUMNS.items()}
    series |= {name: pd.Series(table[name], dtype="str") for name in columns if name not in series}
    return pd.DataFrame(series).sort_values(["time", "kb_archivid"], kind="stable", ignore_index=True)


def noaa_numbers(numbers: Iterable[Any], times: Any) -> Any:
    """Region numbers of NOAA in full.

    Parameters
    ----------
    numbers : iterable of str, number or None, length n
        With four digits (1389, as SSW writes it) or all of them (11389). 0, empty, or none is missing.
    times : array_like of datetime64, shape (n,) or ()
        At which the region was seen, UTC. NaT is taken for a time of today's numbers.

    Returns
    -------
    pandas.arrays.IntegerArray, shape (n,)
        Five digits since 10000 was reached in June 2002, four before; NA where missing.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> hek.noaa_numbers([1389, "11389", 0], "2012-01-03").tolist()
    [11389, 11389, <NA>]
    """
    given = np.array([_number(_text(value)) for value in numbers], dtype=np.float64)
    days = np.broadcast_to(np.asarray(times, dtype="datetime64[D]"), given.shape)
    at = np.where(np.isnat(days), _NOAA_DAYS[-1], days.astype(np.float64))
    slope = (_NOAA_NUMBERS[-1] - _NOAA_NUMBERS[-2]) / (_NOAA_DAYS[-1] - _NOAA_DAYS[-2])
    due = np.interp(at, _NOAA_DAYS, _NOAA_NUMBERS) + slope * np.maximum(at - _NOAA_DAYS[-1], 0.0)
    with np.errstate(invalid="ignore"):
        good = (given >= 1) & (given <= 99999) & (given == np.round(given))
        turns = np.maximum(np.round((due - given) / 10000.0), 0.0)
    full = np.where(good, np.where(given < 10000, given + 10000.0 * turns, given), 0.0).astype(np.int64)
    return pd.arrays.IntegerArray(full, ~good)


def rings(polygons: Iterable[str]) -> list[Float64Array]:
    """The corners of ``POLYGON((x y,x y,...))``: of the outer ring, without the last, which closes it.

    Parameters
    ----------
    polygons : iterable of str

    Returns
    -------
    list of ndarray of float64, shape (k, 2)
        Without rows where there is no polygon, or a number of it is not finite.
    """
    found = []
    for text in polygons:
        numbers = _ring(text)
        corners = np.array(numbers or [], dtype=np.float64).reshape(-1, 2)
        if len(corners) > 1 and (corners[0] == corners[-1]).all():
            corners = corners[:-1]
        found.append(corners if np.isfinite(corners).all() else corners[:0])
    return found


def _ring(text: str) -> list[float] | None:
    """``x, y, x, y, ...``; None if it is no polygon."""
    match = _RINGS.fullmatch(text)
    if match is None:
        return None
    try:
        numbers = [float(word) for pair in match[1].split(",") for word in pair.split()]
    except ValueError:
        return None
    pairs = match[1].count(",") + 1
    return numbers if len(numbers) == 2 * pairs and pairs >= 3 else None


def _boxes(polygons: Sequence[str]) -> tuple[Float64Array, list[str]]:
    """Boxes around polygons, and for each why it is not usable."""
    boxes = np.full((len(polygons), 4), np.nan)
    troubles = []
    for i, text in enumerate(polygons):
        numbers = _ring(text) if text else None
        if numbers is None:
            troubles.append("hpc_bbox is no polygon" if text else "hpc_bbox is empty")
            continue
        x, y = numbers[0::2], numbers[1::2]
        box = min(x), min(y), max(x), max(y)
        if not np.isfinite(numbers).all():
            troubles.append("hpc_bbox is not finite")
            continue
        width, height = box[2] - box[0], box[3] - box[1]
        trouble = ""
        if max(width, height) < _NARROWEST:
            trouble = f"hpc_bbox is a single point, ({x[0]:.6g}, {y[0]:.6g})"
        elif min(width, height) < _NARROWEST:
            trouble = f"hpc_bbox is a strip of {width:.4g} x {height:.4g} arcsec: the event has no position"
        else:
            boxes[i] = box
        troubles.append(trouble)
    return boxes, troubles


def _times(texts: Sequence[str]) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Times, and where there is none."""
    moments = []
    for text in texts:
        try:
            moments.append(as_moment(text))
        except (ValueError, OverflowError):
            moments.append(None)
    times = np.array(moments, dtype="datetime64[us]")
    return times, np.isnat(times)


def _text(value: Any) -> str:
    """A value as text; "" for none."""
    if isinstance(value, str):
        return value.strip()
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value)


def _number(text: str) -> float:
    """A number; NaN for none."""
    try:
        number = float(text)
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan


def _point(text: str) -> tuple[float, float]:
    match = _POINT.fullmatch(text)
    return (np.nan, np.nan) if match is None else (_number(match[1]), _number(match[2]))
