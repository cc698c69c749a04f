"""A track as a table, and the files it lives in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from solartrack._files import replacing, shown
from solartrack._tables import as_times, read_csv
from solartrack.errors import TrackError
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
    "settings": "JSON: the tracker's settings, the start frame, the version",
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
_UNITS = {"days": "d", **dict.fromkeys(_BOX, "pix"), "lon": "deg", "lat": "deg"}
_UNITS |= dict.fromkeys(_PLACE[2:], "arcsec")
_TEXTS = ["file", "state", "message", "tracker", "settings"]
_SUFFIXES = (".parquet", ".csv", ".txt", ".ann")
_KINDS = ".parquet, .csv, .txt (published tracker) or .ann"


def as_table(rows: Iterable[dict[str, Any]], *, many: bool = False) -> pd.DataFrame:
    r"""Make a table of rows, in the order of time and with the right column types.

    Parameters
    ----------
    rows : iterable of dict
        As `iter_track` yields them.
    many : bool
        Whether the rows have an ``id``, too: the tracks then come one after the other.

    Returns
    -------
    pandas.DataFrame
        Rows without a time stay behind the row with the preceding frame number. Bytes of file names that
        are not UTF-8, which no table can hold, stand in it as ``\xe9``.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> rows = list(tracking.iter_track(demo.AIA_IMAGES, demo.AIA_BOX, tracker="rotation"))
    >>> tracking.as_table(reversed(rows))["frame"].tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    holdable = [row | {key: shown(row[key]) for key in ("file", "message")} for row in rows]
    table = pd.DataFrame(holdable, columns=[*(["id"] if many else []), *COLUMNS])
    table = _typed(table.astype({"id": np.int64}) if many else table)
    ids = table["id"] if many else pd.Series(0, table.index)
    order = table.assign(_id=ids).sort_values(["_id", "frame"], kind="stable")
    order["_days"] = order.groupby("_id")["days"].ffill()
    order = order.sort_values(["_id", "_days"], kind="stable", na_position="first")
    return order.drop(columns=["_id", "_days"]).reset_index(drop=True)


def write_track(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Store a track; the file's suffix chooses the format.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns `COLUMNS`; those of the place on the Sun and in the sky (``lon`` to ``ty1``)
        may be missing.
    path : path
        ``.parquet`` keeps everything, with the units of numbers in the metadata (``unit``) of its fields.
        ``.csv`` does to the digits that mean something: 1e-4 pixels and arcsec, 1e-5 degrees.
        ``.txt`` is the published tracker's ``frame x y width height`` in whole pixels, ``.ann`` the ground
        truth's polygons; both leave out the frames without a box. An existing
        file is replaced, only once the new one is complete.

    Raises
    ------
    TrackError
        If the suffix is another one or columns are missing.

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
    found = table[np.isfinite(table[_BOX]).all(axis=1)]
    match target.suffix.lower():
        case ".txt":
            formats.write_xywh(target, found["frame"], found[_BOX])
        case ".ann":
            formats.write_ann(target, found["frame"], found[_BOX])
        case ".parquet":
            with replacing(target) as partial:
                whole = pa.Table.from_pandas(table, preserve_index=False)
                fields = [
                    field.with_metadata({"unit": _UNITS[field.name]}) if field.name in _UNITS else field
                    for field in whole.schema
                ]
                pq.write_table(whole.cast(pa.schema(fields, whole.schema.metadata)), partial)
        case _:
            with replacing(target) as partial:
                table.round(_DIGITS).to_csv(partial, index=False, date_format="%Y-%m-%dT%H:%M:%S.%f")


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
        or "".

    Raises
    ------
    TrackError
        Naming the file and what is wrong with it.

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
            case ".csv":
                # As text: pandas' own number parser is not exact in every version.
                table = read_csv(source)
                for column in set(_NUMBERS) & set(table.columns):
                    table[column] = table[column].replace("", "nan")
            case ".txt" | ".ann" as suffix:
                frames, found = (formats.read_xywh if suffix == ".txt" else formats.read_ann)(source)
                table = pd.DataFrame(found, columns=_BOX)
                table.insert(0, "frame", frames)
            case other:
                raise TrackError(f"cannot read {source}: the suffix must be {_KINDS}, got {other!r}")
    except TrackError:
        raise
    except Exception as error:  # pyarrow and pandas raise many kinds
        raise TrackError(f"{source} is not a readable track: {error}") from error
    missing = [c for c in ("frame", *_BOX) if c not in table]
    if missing:
        raise TrackError(f"{source} lacks the columns {', '.join(missing)}")
    for column in COLUMNS:
        if column not in table:
            table[column] = "" if column in _TEXTS else np.nan
    try:
        many = "id" in table
        table = table[[*(["id"] if many else []), *COLUMNS]]
        return _typed(table.astype({"id": np.int64}) if many else table)
    except (TypeError, ValueError) as error:
        raise TrackError(f"{source} is not a readable track: {error}") from error


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
