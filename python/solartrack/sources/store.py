"""The store: one folder for the files of a data set, filled from a plan."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from solartrack._tables import as_times
from solartrack.errors import SourceError
from solartrack.sources._checks import CHECKS

__all__ = ["PLAN_COLUMNS", "plan_table", "safe_name"]

#: Columns of a plan. A source may add some of its own.
PLAN_COLUMNS = ("source", "id", "url", "name", "check", "time", "bytes", "event", "request")

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
        If a row lacks a column that it needs, or its check or time is none.
    SourceError
        If a name is not safe, see `safe_name`.
    """
    rows = list(rows)
    for number, row in enumerate(rows):
        for column in ("source", "id", "name", "check"):
            if not isinstance(row.get(column), str) or not row[column]:
                raise ValueError(
                    f"row {number} of the plan: {column} must be a text, got {row.get(column)!r}"
                )
        if row["check"] not in CHECKS:
            raise ValueError(
                f"row {number} of the plan: check must be one of {', '.join(CHECKS)}, got {row['check']!r}"
            )
        safe_name(row["name"])
    further = list(dict.fromkeys(key for row in rows for key in row if key not in PLAN_COLUMNS))
    table = {}
    for column in (*PLAN_COLUMNS, *further):
        values = [row.get(column) for row in rows]
        if column == "time":
            table[column] = pd.Series(as_times(values), dtype="datetime64[us]")
        elif column == "bytes":
            table[column] = pd.Series(
                [None if v is None or pd.isna(v) else int(v) for v in values], dtype="Int64"
            )
        elif column in PLAN_COLUMNS:
            table[column] = pd.Series(["" if v is None else str(v) for v in values], dtype="str")
        else:
            table[column] = pd.Series(values)
    return pd.DataFrame(table)


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
    elif any(c in '/\\<>:"|?*' for c in name):
        trouble = "it has separators or reserved characters"
    elif any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in name):
        trouble = "it has control characters"
    elif len(name.encode()) > _LONGEST_NAME:
        trouble = f"it is longer than {_LONGEST_NAME} bytes"
    elif name.startswith((".", " ")) or name.endswith((".", " ", ".part", ".part.json")):
        trouble = "it is hidden, or ends with a dot, a space or .part"
    elif name.partition(".")[0].casefold() in _NO_NAMES:
        trouble = "some systems reserve it"
    if trouble:
        shown = name if len(name) <= 60 else name[:57] + "..."
        raise SourceError(f"{shown!r} cannot be the name of a file: {trouble}", permanent=True)
    return name
