"""A track as a table, and the files it lives in.

What holds for the whole table, the settings of the run that made it, is in its ``attrs["settings"]``. Parquet
keeps it in the metadata of the schema, from which `pandas.read_parquet` takes it back; CSV in the first row
of a column of its own.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from solartrack._files import replacing, shown
from solartrack._tables import ATTRS, as_times, attrs_json, header_lines, read_csv, units_of, with_units
from solartrack.errors import TrackError, TrackWarning
from solartrack.tracking import formats

#: Columns of a track, one row per image.
COLUMNS = {
    "frame": "frame number",
    "file": "path of the image, '' for an array",
    "time": "UTC, NaT if unknown",
    "days": "days since the start frame, NaN if unknown",
    "x0": "box, pixel edges of the image as stored; NaN where there is none",
    "y0": "",
    "x1": "",
    "y1": "",
    "lon": "Stonyhurst longitude of the middle of the box's part on the disk, degrees; NaN if unknown",
    "lat": "its latitude",
    "tx0": "box that encloses it in helioprojective arcsec, west and north positive; NaN if unknown",
    "ty0": "",
    "tx1": "",
    "ty1": "",
    "score": "confidence, 0 to 1; NaN if the file does not say",
    "state": "see STATES",
    "message": "an explanation for the user",
    "tracker": "name of the tracker",
}

#: Units of those columns that have one.
UNITS = {
    "days": "d",
    **dict.fromkeys(("x0", "y0", "x1", "y1"), "pix"),
    **dict.fromkeys(("lon", "lat"), "deg"),
    **dict.fromkeys(("tx0", "ty0", "tx1", "ty1"), "arcsec"),
}

#: What a row's state means, and whether it has a box.
STATES = {
    "start": "the box that was given",
    "tracked": "a box was found",
    "coasting": "not recognised, the box is where rotation takes it",
    "lost": "given up; the box is where rotation takes it, or NaN",
    "off_disk": "rotated behind the limb; no box",
    "merged": "became part of another region, see message; no box",
    "repeated": "same time as the image before; its box again",
    "no_time": "the image has no time; no box",
    "no_geometry": "nothing tells where the Sun is in the image; no box",
    "wrong_size": "the image is of another size than the one the disk was given for; no box",
    "unreadable": "the file could not be read; no box",
    "failed": "the tracker failed on this image; no box",
}

#: States of an image that could not be used.
UNUSABLE = ("no_time", "no_geometry", "wrong_size", "unreadable", "failed")

_BOX = ["x0", "y0", "x1", "y1"]
# Where the box is on the Sun and in the sky.
_PLACE = ["lon", "lat", "tx0", "ty0", "tx1", "ty1"]
_NUMBERS = ["days", *_BOX, *_PLACE, "score"]
# Digits after the point in CSV: finer than any of it is known, a millisecond and 1e-4 pixels.
_DIGITS = {"days": 8, **dict.fromkeys(_BOX, 4), "lon": 5, "lat": 5, "score": 6}
_DIGITS |= dict.fromkeys(_PLACE[2:], 4)
_TEXTS = ["file", "state", "message", "tracker"]
_SUFFIXES = (".parquet", ".csv", ".txt", ".ann")
_KINDS = ".parquet, .csv, .txt (published tracker) or .ann"


def as_table(rows: Iterable[dict[str, Any]], *, many: bool = False) -> pd.DataFrame:
    r"""Make a table of rows, in the order of time and with the right column types.

    Parameters
    ----------
    rows : iterable of dict
        As `iter_track` yields them. Their ``settings``, if all have the same, become ``attrs["settings"]``.
    many : bool
        Whether the rows have an ``id``, too: the tracks then come one after the other.

    Returns
    -------
    pandas.DataFrame
        Rows without a time stay behind the row with the preceding frame number. Bytes of file names that
        are not UTF-8, which no table can hold, stand in it as ``\xe9``.

    Warns
    -----
    TrackWarning
        If the rows have several settings; the table is left without.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> rows = list(tracking.iter_track(demo.AIA_IMAGES, demo.AIA_BOX, tracker="rotation"))
    >>> tracking.as_table(reversed(rows))["frame"].tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    given = list(rows)
    holdable = [row | {key: shown(row[key]) for key in ("file", "message")} for row in given]
    table = pd.DataFrame(holdable, columns=[*(["id"] if many else []), *COLUMNS])
    table = _typed(table.astype({"id": np.int64}) if many else table)
    ids = table["id"] if many else pd.Series(0, table.index)
    order = table.assign(_id=ids).sort_values(["_id", "frame"], kind="stable")
    order["_days"] = order.groupby("_id")["days"].ffill()
    order = order.sort_values(["_id", "_days"], kind="stable", na_position="first")
    out = order.drop(columns=["_id", "_days"]).reset_index(drop=True)
    return _with_settings(out, [row["settings"] for row in given if row.get("settings")])


def write_track(table: pd.DataFrame, path: str | os.PathLike[str], *, units_row: bool = False) -> None:
    """Store a track; the file's suffix chooses the format.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns `COLUMNS`; those of the place on the Sun and in the sky (``lon`` to ``ty1``)
        may be missing. ``attrs["settings"]`` is what made it, a dict.
    path : path
        ``.parquet`` keeps everything, with the units of numbers in the metadata (``unit``) of its fields
        and ``attrs`` in those of the schema, where `pandas.read_parquet` finds them, too.
        ``.csv`` does to the digits that mean something: 1e-4 pixels and arcsec, 1e-5 degrees; the settings
        are in a last column ``settings``, as JSON in the first row, and empty in the others.
        ``.txt`` is the published tracker's ``frame x y width height`` in whole pixels, ``.ann`` the ground
        truth's polygons; both leave out the frames without a box. An existing
        file is replaced, only once the new one is complete.
    units_row : bool
        Of ``.csv``: put a row with the units below the header; its first field says ``# unit``. `read_track`
        knows it, pandas needs ``skiprows=[1]``.

    Raises
    ------
    TrackError
        If the suffix is another one, columns are missing, or a row of units is asked for in another format
        or with a first column that has a unit.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> table = tracking.track(demo.AIA_IMAGES, demo.AIA_BOX, tracker="rotation")
    >>> tracking.write_track(table, "track.csv")
    >>> len(tracking.read_track("track.csv"))
    8
    """
    target = Path(path)
    missing = [c for c in COLUMNS if c not in table and c not in _PLACE]
    if missing:
        raise TrackError(f"a track needs the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
    if target.suffix.lower() not in _SUFFIXES:
        raise TrackError(f"cannot write {target}: the suffix must be {_KINDS}, got {target.suffix!r}")
    if units_row and target.suffix.lower() != ".csv":
        raise TrackError(
            f"a row of units is for .csv, got {target}; .parquet has the units in the metadata of its fields"
        )
    found = table[np.isfinite(table[_BOX]).all(axis=1)]
    match target.suffix.lower():
        case ".txt":
            formats.write_xywh(target, found["frame"], found[_BOX])
        case ".ann":
            formats.write_ann(target, found["frame"], found[_BOX])
        case ".parquet":
            with replacing(target) as partial:
                bare = table.copy(deep=False)
                bare.attrs = {}  # some versions of pyarrow would write them a second time
                whole = pa.Table.from_pandas(bare, preserve_index=False)
                schema = with_units(whole.schema, UNITS)
                if table.attrs:
                    schema = schema.with_metadata({**schema.metadata, ATTRS: attrs_json(table.attrs)})
                pq.write_table(whole.cast(schema), partial)
        case _:
            text = as_csv(table, units_row=units_row)
            with replacing(target) as partial:
                partial.write_bytes(text.encode())


def as_csv(table: pd.DataFrame, *, units_row: bool = False) -> str:
    """The text of a CSV file, see `write_track`."""
    out = table.round(_DIGITS)
    if len(out) and (settings := out.attrs.get("settings")):
        out["settings"] = [attrs_json(settings), *[""] * (len(out) - 1)]
    try:
        header = header_lines(out.columns, UNITS) if units_row else ""
    except ValueError as error:
        raise TrackError(str(error)) from error
    rows: str = out.to_csv(
        index=False, header=not units_row, date_format="%Y-%m-%dT%H:%M:%S.%f", lineterminator="\n"
    )
    return header + rows


def read_track(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read what `write_track` wrote, or any boxes by frame.

    Parameters
    ----------
    path : path
        ``.parquet``, ``.csv`` (at least the columns frame, x0, y0, x1, y1),
        ``.txt`` or ``.ann``.

    Returns
    -------
    pandas.DataFrame
        With all `COLUMNS`, and ``id`` before them if the file has it; what the file does not say is NaN
        or "". ``attrs["settings"]`` are the settings, if the file has them.

    Raises
    ------
    TrackError
        Naming the file and what is wrong with it, such as a column in another unit.

    Warns
    -----
    TrackWarning
        If the file has several settings, such as two joined ones; the table is left without.

    Examples
    --------
    >>> from solartrack import tracking
    >>> tracking.formats.write_xywh("track.txt", [66], [[5, 10, 20, 40]])
    >>> tracking.read_track("track.txt")[["frame", "x0", "y0", "x1", "y1"]]
       frame   x0    y0    x1    y1
    0     66  5.0  10.0  20.0  40.0
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    try:
        match source.suffix.lower():
            case ".parquet":
                table = pd.read_parquet(source)
                units = units_of(pq.read_schema(source))
            case ".csv":
                # As text: pandas' own number parser is not exact in every version.
                table = read_csv(source)
                units = table.attrs.pop("units", {})
                for column in set(_NUMBERS) & set(table.columns):
                    table[column] = table[column].replace("", "nan")
            case ".txt" | ".ann" as suffix:
                frames, found = (formats.read_xywh if suffix == ".txt" else formats.read_ann)(source)
                table = pd.DataFrame(found, columns=_BOX)
                table.insert(0, "frame", frames)
                units = {}
            case other:
                raise TrackError(f"cannot read {source}: the suffix must be {_KINDS}, got {other!r}")
    except TrackError:
        raise
    except Exception as error:  # pyarrow and pandas raise many kinds
        raise TrackError(f"{source} is not a readable track: {error}") from error
    missing = [c for c in ("frame", *_BOX) if c not in table]
    if missing:
        raise TrackError(f"{source} lacks the columns {', '.join(missing)}")
    for column, unit in units.items():
        if unit != (own := UNITS.get(column, unit)):
            raise TrackError(f"{source} has {column} in {unit!r}, expected {own!r}; convert it")
    table = take_settings(table)
    for column in COLUMNS:
        if column not in table:
            table[column] = "" if column in _TEXTS else np.nan
    try:
        many = "id" in table
        table = table[[*(["id"] if many else []), *COLUMNS]]
        return _typed(table.astype({"id": np.int64}) if many else table)
    except (TypeError, ValueError) as error:
        raise TrackError(f"{source} is not a readable track: {error}") from error


def take_settings(table: pd.DataFrame) -> pd.DataFrame:
    """Move the settings to ``attrs`` from the column that CSV files have for them.

    Text that is no JSON is taken as it is.

    Warns
    -----
    TrackWarning
        If there are several; the table is left without.
    """
    if "settings" not in table:
        return table
    texts = [text for text in table["settings"].dropna().unique() if text]
    return _with_settings(table.drop(columns="settings"), [_parsed(text) for text in texts])


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _with_settings(table: pd.DataFrame, given: list[Any]) -> pd.DataFrame:
    """A table with its settings, if there are some, and not several."""
    distinct: list[Any] = []
    for one in given:
        if one not in distinct:
            distinct.append(one)
    if len(distinct) == 1:
        table.attrs["settings"] = distinct[0]
    elif distinct:
        warnings.warn(
            f"the rows have {len(distinct)} different settings, and a table has one: it is left without; "
            "keep a table for each run",
            TrackWarning,
            stacklevel=3,
        )
    return table


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    types: dict[str, Any] = {
        "frame": np.int64,
        **dict.fromkeys(_NUMBERS, np.float64),
        **dict.fromkeys(_TEXTS, object),
    }
    out = table.astype(types)
    for column in _TEXTS:
        out[column] = out[column].fillna("").astype(str).astype(object)
    out["time"] = as_times(out["time"])
    return out
