"""The one reader of tables that people make: CSV files, and the times in them.

pandas takes the first field of a row that is one field too long for the row's index, which moves all
values one column to the left without a word; and some releases read a time with a zone and a fraction
wrongly. Both are read here without it.

A CSV file may have a row of units below its header, whose first field says ``# unit``. Parquet files have
the unit of a column in the metadata of its field, and what holds for a whole table (``attrs``) in those of
the schema, as pandas does.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

__all__ = [
    "ATTRS",
    "as_moment",
    "as_times",
    "attrs_json",
    "header_lines",
    "read_csv",
    "units_of",
    "with_units",
]

#: Key of the schema's metadata that `pandas.read_parquet` makes ``attrs`` of.
ATTRS = b"PANDAS_ATTRS"
_UNIT_ROW = "# unit"


def read_csv(
    path: str | os.PathLike[str], *, numbers: bool = False, row_numbers: bool = False
) -> pd.DataFrame:
    """Read a CSV file with a header, as text.

    Parameters
    ----------
    path : path
        UTF-8, with or without a byte order mark, maybe packed by gzip (``.gz``). Empty lines are skipped.
    numbers : bool
        Make columns that hold only integers, or only numbers and empty fields, numbers.
    row_numbers : bool
        Take a file whose header has no name for the first column, in which the rows are counted from 0;
        that column is left out.

    Returns
    -------
    pandas.DataFrame
        Of a file with a row of units without that row; ``attrs["units"]`` has the unit of each column that
        has one.

    Raises
    ------
    ValueError
        If the file is empty, not in UTF-8 or no CSV file, a name comes twice in its header, or a line has
        more or fewer fields than the header. The message has the number of the line.
    FileNotFoundError
        If there is no such file.
    """
    packed = os.fspath(path).endswith(".gz")
    try:
        with (gzip.open if packed else open)(path, "rt", newline="", encoding="utf-8-sig") as file:
            header, units, rows = _fields(file, row_numbers)
    except UnicodeDecodeError as error:
        raise ValueError(f"the file is not in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except (csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"the file is no CSV file: {error}") from error
    table = pd.DataFrame(rows, columns=header, dtype=str)
    if units:
        table.attrs["units"] = units
    if numbers:
        for name in table:
            table[name] = _numbers(table[name])
    return table


def header_lines(columns: Iterable[str], units: Mapping[str, str]) -> str:
    """The header of a CSV file, and below it the row of units.

    Parameters
    ----------
    columns : iterable of str
    units : mapping of str to str
        Of the columns that have one.

    Raises
    ------
    ValueError
        If the first column has a unit: its field tells that the row is one of units.
    """
    names = list(columns)
    if not names or names[0] in units:
        raise ValueError(f"a row of units needs a first column without a unit, got {names[:1]}")
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([names, [_UNIT_ROW, *(units.get(name, "") for name in names[1:])]])
    return text.getvalue()


def with_units(schema: pa.Schema, units: Mapping[str, str]) -> pa.Schema:
    """A schema whose fields have their units in their metadata (``unit``)."""
    fields = [f.with_metadata({"unit": units[f.name]}) if f.name in units else f for f in schema]
    return pa.schema(fields, schema.metadata)


def units_of(schema: pa.Schema) -> dict[str, str]:
    """The units that `with_units` wrote."""
    return {f.name: f.metadata[b"unit"].decode() for f in schema if f.metadata and b"unit" in f.metadata}


def attrs_json(attrs: Mapping[Any, Any]) -> str:
    """The value of `ATTRS`."""
    return json.dumps(attrs, default=str)


def _fields(file: Iterable[str], row_numbers: bool) -> tuple[list[str], dict[str, str], list[list[str]]]:
    """Header, units and rows."""
    rows: list[list[str]] = []
    units: dict[str, str] = {}
    lines = csv.reader(file, strict=True)
    header = next((fields for fields in lines if fields), None)
    if header is None:
        raise ValueError("the file is empty; expected a header with the names of the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"line {lines.line_num}: the header has {twice[0]!r} more than once")
    for fields in lines:
        if not fields:
            continue
        if row_numbers and len(fields) == len(header) + 1 and fields[0] == str(len(rows)):
            fields = fields[1:]
        if len(fields) != len(header):
            raise ValueError(
                f"line {lines.line_num} has {len(fields)} fields, but the header has {len(header)} "
                f"({','.join(header)[:80]}), got {','.join(fields)[:80]!r}"
            )
        if fields[0] == _UNIT_ROW and not (rows or units):
            units = {name: unit for name, unit in zip(header[1:], fields[1:], strict=True) if unit}
        else:
            rows.append(fields)
    return header, units, rows


def _numbers(column: pd.Series) -> pd.Series:
    """A column of integers, else of floats with NaN for empty fields, else as it is."""
    for kind, values in ((np.int64, column), (np.float64, column.where(column != "", "nan"))):
        try:
            return values.astype(kind)
        except (ValueError, OverflowError):
            continue
    return column


def as_moment(value: Any) -> datetime | None:
    """A time as UTC without a zone, to the microsecond; one without a zone is UTC.

    Parameters
    ----------
    value : str, datetime, datetime64 or None
        Text in ISO 8601, at least a date.

    Returns
    -------
    datetime or None
        None for None, NaT, NaN and empty text.

    Raises
    ------
    ValueError
        If it is no time.
    """
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in ("", "nan", "nat", "none"):
            return None
        moment = datetime.fromisoformat(text)
    elif pd.isna(value):
        return None
    elif isinstance(value, datetime | np.datetime64):
        moment = pd.Timestamp(value).to_pydatetime(warn=False)
    else:
        raise ValueError(f"expected a date such as 2014-02-03T02:08:47, got {value!r}")
    try:
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"expected a date of the years 1 to 9999 in UTC, got {value!r}") from error


def as_times(values: Iterable[Any]) -> NDArray[np.datetime64]:
    """Times as `as_moment` reads them, NaT where there is none.

    Parameters
    ----------
    values : iterable of str, datetime, datetime64 or None, length n

    Returns
    -------
    ndarray of datetime64[us], shape (n,)

    Raises
    ------
    ValueError
        If one of them is no time.
    """
    return np.array([as_moment(value) for value in values], dtype="datetime64[us]")
