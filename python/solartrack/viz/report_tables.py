"""Reading the tables that a report shows, and telling what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from solartrack import tracking
from solartrack._files import shown
from solartrack._tables import as_times, read_csv
from solartrack.features import COMPLEXITY_NAMES, PHYSICAL_UNITS, SHARP_UNITS
from solartrack.flares import parse_names, published
from solartrack.flares._feature_table import has_no_header
from solartrack.flares.text import TARGETS
from solartrack.tracking.table import COLUMNS, take_settings

__all__ = ["Content", "content_of", "read"]

_BOX = ["x0", "y0", "x1", "y1"]
_NUMBERS = ["days", *_BOX, "lon", "lat", "score"]
#: Columns that name the tracks of a table, and the samples of one.
_TRACK_NAMES = ("event", "id")
#: Job of a run, as its manifest names it: the folder of its table is called so, too.
_JOBS = ("tracks", "features", "forecasts")
_EXPECTED = (
    "expected a table of tracks (frame, x0, y0, x1, y1), of features (complexity, physical or SHARP "
    "keywords), or of forecasts (probability, or C_24h, M_24h, ...)"
)


class Content(NamedTuple):
    """A table that has been understood.

    Attributes
    ----------
    kind : str
        "tracks", "features" or "forecasts".
    table : DataFrame
        With ``track`` (text; tracks), or ``region`` (text, "" if unknown) and ``time`` (the others).
    names : tuple of str
        Columns of the features, or of the probabilities.
    """

    kind: str
    table: pd.DataFrame
    names: tuple[str, ...] = ()


def read(path: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A table of a file or of the folder of a run, and what that run could not do."""
    name = shown(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {name}")
    errors = None
    if path.is_dir():
        path, errors = _of_folder(path)
    try:
        return _read(path), errors
    except MemoryError:
        raise
    except Exception as error:  # pyarrow and pandas raise many kinds
        raise ValueError(f"{name} is not a readable table: {error}") from error


def _of_folder(path: Path) -> tuple[Path, pd.DataFrame | None]:
    """Folder of the Parquet files of a run, and its table of errors."""
    name = shown(path)
    if any(path.glob("*.parquet")) and not (path / "manifest.json").exists():
        return path, None
    try:
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        job = manifest.get("job", "tracks")
        if job not in _JOBS:
            raise ValueError(f"its job is {job!r}, expected one of {', '.join(_JOBS)}")
    except FileNotFoundError:
        raise ValueError(
            f"{name} is a folder without a manifest.json of a run, and without Parquet files; "
            "name the tables in it"
        ) from None
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{name} has a damaged manifest.json: {error}") from error
    if not any((path / job).glob("*.parquet")):
        raise ValueError(f"{name} has no results yet: {job}/ has no Parquet files")
    for errors in (path / "errors.parquet", path / "errors.csv"):
        if errors.exists():
            return path / job, _read(errors)
    return path / job, None


def _read(path: Path) -> pd.DataFrame:
    name = path.name.lower()
    if path.is_dir() or name.endswith(".parquet"):
        return pd.read_parquet(path)
    if name.endswith((".txt", ".ann")):
        return tracking.read_track(path)
    if not name.endswith((".csv", ".csv.gz")):
        raise ValueError("the suffix must be .csv, .parquet, .txt or .ann")
    if not name.endswith(".gz") and has_no_header(path):
        return published.read_features(path)
    return read_csv(path)


def content_of(table: Any, heading: str) -> Content:
    """Tell what a table is, and make its columns numbers, times and text."""
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{heading}: expected a pandas DataFrame or a path, got {type(table).__name__}")
    if not len(table):
        raise ValueError(f"{heading} has no rows")
    table = table.reset_index(drop=True)
    try:
        if {"frame", *_BOX} <= set(table):
            return Content("tracks", _tracks(table))
        if probabilities := [name for name in (*TARGETS, "probability") if name in table]:
            return _samples("forecasts", table, probabilities)
        known = (COMPLEXITY_NAMES, tuple(PHYSICAL_UNITS), tuple(SHARP_UNITS))
        # Some names are both of the complexity features and of the physical ones.
        if found := max(([name for name in names if name in table] for names in known), key=len):
            return _samples("features", table, found)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{heading}: {error}") from error
    has = ", ".join(map(str, table.columns))
    raise ValueError(f"{heading} is of no known kind: {_EXPECTED}; its columns are {has[:200]}")


def _tracks(table: pd.DataFrame) -> pd.DataFrame:
    table = take_settings(table)
    out = table.assign(**{name: "" for name in COLUMNS if name not in table and name not in _NUMBERS})
    for name in _NUMBERS:
        out[name] = _floats(table, name) if name in table else np.nan
    out["frame"] = _floats(table, "frame")
    if not np.isfinite(out["frame"]).all():
        raise ValueError("the column frame has a row without a number")
    out["frame"] = out["frame"].astype(np.int64)
    out["time"] = _times(out["time"])
    for name in ("file", "state", "message", "tracker"):
        out[name] = out[name].fillna("").astype(str)
    named = next((name for name in _TRACK_NAMES if name in table), None)
    out["track"] = "" if named is None else out[named].astype(str)
    return out


def _samples(kind: str, table: pd.DataFrame, names: list[str]) -> Content:
    out = table.copy()
    for name in names:
        out[name] = _floats(table, name)
    if kind == "forecasts":
        wrong = out[names].to_numpy()
        wrong = wrong[(wrong < 0) | (wrong > 1)]
        if wrong.size:
            raise ValueError(f"probabilities must be between 0 and 1, got {wrong[0]:g}")
    file = next((name for name in ("file", "name") if name in table), None)
    named = None if file is None else parse_names(table[file].fillna("").astype(str))
    out["time"] = _times(table["time"]) if "time" in table else np.datetime64("NaT", "us")
    if named is not None:
        out["time"] = out["time"].fillna(named["time"])
    regions = table["region"] if "region" in table else None if named is None else named["region"]
    out["region"] = "" if regions is None else [_region(one) for one in regions]
    return Content(kind, out, tuple(names))


def _region(value: Any) -> str:
    """The number or name of a region; numbers that pandas made decimal have no decimals."""
    if value is None or value is pd.NA or value != value:
        return ""
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _times(column: pd.Series) -> Any:
    try:
        return as_times(column)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the column time must hold times in ISO 8601: {error}") from error


def _floats(table: pd.DataFrame, name: str) -> pd.Series:
    column = table[name]
    if column.dtype.kind not in "iufb":
        column = column.where(column.notna() & (column.astype(str).str.strip() != ""), "nan")
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the column {name} must hold numbers: {error}") from error
