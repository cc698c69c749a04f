"""Plans: tables of what would be fetched, and names that are safe to use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from solartrack._tables import as_times
from solartrack.errors import SourceError
from solartrack.sources._checks import CHECKS

__all__ = ["PLAN_COLUMNS", "checked_plan", "plan_table", "safe_name"]

#: Columns of a plan. A source may add some of its own.
PLAN_COLUMNS = ("source", "id", "url", "name", "check", "time", "bytes", "event", "request")

_FILE_COLUMNS = [name for name in PLAN_COLUMNS if name != "event"]
_SOURCE = re.compile(r"(?!quarantine\b)[a-z][a-z0-9_]{0,30}")
_LONGEST_NAME = 180
_NO_NAMES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def plan_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A plan: what `fetch` would fetch, one row for each file and event.

    Parameters
    ----------
    rows : iterable of mapping
        The keys of `PLAN_COLUMNS` that a file has, and further ones. ``source``, ``id``, ``name`` and
        ``check`` are needed.

    Returns
    -------
    pandas.DataFrame
        ``source`` ("helioviewer", "jsoc", "swpc"), ``id`` (unique within the source), ``url`` ("" where
        it is known only later), ``name`` (of the file), ``check`` (what the content must be), ``event``
        ("" for none) and ``request`` (JSON, "" for none) as text, ``time`` (datetime64[us], UTC, NaT for
        none), ``bytes`` (Int64, NA where unknown), then the further columns.

    Raises
    ------
    ValueError
        If a row lacks a column that it needs, or its source, check, time or size is none.
    SourceError
        If a name is not safe, see `safe_name`.

    Examples
    --------
    >>> from solartrack.sources import plan_table
    >>> url = "https://example.org/hmi_20110215.fits"
    >>> plan = plan_table([{"source": "jsoc", "id": "1", "name": "hmi.fits", "check": "fits", "url": url}])
    >>> plan[["source", "id", "name", "check", "url"]]
      source id      name check                                    url
    0   jsoc  1  hmi.fits  fits  https://example.org/hmi_20110215.fits
    """
    rows = list(rows)
    for number, row in enumerate(rows):
        _check_row(number, row)
    further = list(dict.fromkeys(key for row in rows for key in row if key not in PLAN_COLUMNS))
    table = {}
    for column in (*PLAN_COLUMNS, *further):
        values = [row.get(column) for row in rows]
        if column == "time":
            table[column] = pd.Series(as_times(values), dtype="datetime64[us]")
        elif column == "bytes":
            sizes = [None if _is_missing(value) else int(value) for value in values]  # type: ignore[arg-type]
            table[column] = pd.Series(sizes, dtype="Int64")
        elif column in PLAN_COLUMNS:
            texts = ["" if _is_missing(value) else str(value) for value in values]
            table[column] = pd.Series(texts, dtype="str")
        else:
            table[column] = pd.Series(values)
    return pd.DataFrame(table)


def checked_plan(plan: pd.DataFrame) -> pd.DataFrame:
    """A plan that may have been filtered, joined or changed, with the right types again.

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If it lacks a column, or has two different files under one id.
    SourceError
        If a name is not safe.
    """
    if not isinstance(plan, pd.DataFrame):
        raise TypeError(f"a plan is a table as plan_table makes it, got {type(plan).__name__}")
    if missing := [name for name in PLAN_COLUMNS if name not in plan]:
        raise ValueError(f"the plan lacks the columns {', '.join(missing)}; make it with sources.plan_table")
    checked = plan_table(plan[list(PLAN_COLUMNS)].to_dict("records"))
    files = checked[_FILE_COLUMNS].drop_duplicates()
    if (twice := files.duplicated(["source", "id"])).any():
        row = files[twice].iloc[0]
        raise ValueError(f"the plan has different files under the id {row['id']!r} of {row['source']}")
    further = plan.drop(columns=list(PLAN_COLUMNS)).reset_index(drop=True)
    return pd.concat([checked, further], axis=1)


def safe_name(name: str) -> str:
    """A file name that is safe to use on this and other machines.

    Parameters
    ----------
    name : str
        As a server or a plan says it.

    Returns
    -------
    str
        The same.

    Raises
    ------
    SourceError
        If it is empty, hidden or longer than 180 bytes, has separators, control characters or characters
        that some systems reserve (``<>:"|?*``), ends with a dot, a space or ``.part``, or names a device
        (``NUL``).
    """
    trouble = ""
    if not name:
        trouble = "it is empty"
    elif len(name.encode("utf-8", "replace")) > _LONGEST_NAME:
        trouble = f"it is longer than {_LONGEST_NAME} bytes"
    elif any(c in '/\\<>:"|?*' for c in name):
        trouble = "it has separators or reserved characters"
    elif any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in name):
        trouble = "it has control characters"
    elif name.startswith((".", " ")) or name.endswith((".", " ", ".part", ".part.json")):
        trouble = "it is hidden, or ends with a dot, a space or .part"
    elif name.partition(".")[0].rstrip().casefold() in _NO_NAMES:
        trouble = "some systems reserve it"
    if trouble:
        shown = name if len(name) <= 60 else name[:57] + "..."
        raise SourceError(f"{shown!r} cannot be the name of a file: {trouble}", permanent=True)
    return name


def _check_row(number: int, row: Mapping[str, Any]) -> None:
    for column in ("source", "id", "name", "check"):
        if not isinstance(row.get(column), str) or not row[column]:
            raise ValueError(f"row {number} of the plan: {column} must be a text, got {row.get(column)!r}")
    if _SOURCE.fullmatch(row["source"]) is None:
        raise ValueError(f"row {number} of the plan: {row['source']!r} cannot be the name of a source")
    if row["check"] not in CHECKS:
        raise ValueError(
            f"row {number} of the plan: check must be one of {', '.join(CHECKS)}, got {row['check']!r}"
        )
    size = row.get("bytes")
    if not _is_missing(size) and not (float(size) >= 0 and float(size).is_integer()):  # type: ignore[arg-type]
        raise ValueError(f"row {number} of the plan: bytes must be a whole number or missing, got {size!r}")
    safe_name(row["name"])


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))
