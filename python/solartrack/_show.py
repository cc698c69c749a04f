"""How results show themselves: a line for each part, in text and, for notebooks, in HTML."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

__all__ = ["as_html", "as_text", "rows_html"]

_LONGEST = 60


def as_text(result: Any) -> str:
    """Name of the type, and a line for each of its fields.

    Parameters
    ----------
    result : dataclass or NamedTuple

    Returns
    -------
    str
        Of large parts the shape, the number of keywords or of rows; numbers to six digits, with units.
    """
    rows = [(name, _short(value)) for name, value in _parts(result)]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([type(result).__name__, *(f"  {name:<{width}}  {said}" for name, said in rows)])


def as_html(result: Any) -> str:
    """The same as a table in HTML, in which a FITS header opens.

    Parameters
    ----------
    result : dataclass or NamedTuple

    Returns
    -------
    str
        What comes from data is escaped.
    """
    rows = []
    for name, value in _parts(result):
        said = escape(_short(value))
        if hasattr(value, "cards"):
            text = escape(value.tostring(sep="\n", endcard=False, padding=False))
            said = f"<details><summary>{said}</summary><pre>{text}</pre></details>"
        rows.append(f"<tr><th style='text-align: left'>{escape(name)}</th><td>{said}</td></tr>")
    return f"<table><caption>{escape(type(result).__name__)}</caption>{''.join(rows)}</table>"


def rows_html(caption: str, rows: Iterable[Sequence[object]], columns: Sequence[str] = ()) -> str:
    """A table in HTML of rows whose first entry is a name, for results that are no list of fields.

    Parameters
    ----------
    caption : str
    rows : iterable of sequence
        A name and what is said of it; floats to six digits.
    columns : sequence of str
        Headings, one for each entry; none by default.

    Returns
    -------
    str
        Everything is escaped.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr><th style='text-align: left'>{escape(str(name))}</th>"
        + "".join(f"<td>{escape(_short(one))}</td>" for one in said)
        + "</tr>"
        for name, *said in rows
    )
    return f"<table><caption>{escape(caption)}</caption>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def _parts(result: Any) -> list[tuple[str, Any]]:
    names = (
        [field.name for field in dataclasses.fields(result) if not field.name.startswith("_")]
        if dataclasses.is_dataclass(result)
        else result._fields
    )
    return [(name, getattr(result, name)) for name in names]


def _short(value: Any) -> str:
    if hasattr(value, "cards"):
        return f"{len(value)} keywords"
    if hasattr(value, "isot"):
        return f"{value.isot} {value.scale.upper()}" if value.isscalar else f"{value.size} times"
    if hasattr(value, "columns"):
        return f"table of {len(value)} rows: {_cut(', '.join(map(str, value.columns)))}"
    if isinstance(value, np.ndarray):
        unit = f" {value.unit}".rstrip() if hasattr(value, "unit") else ""
        number: Any = getattr(value, "value", value)
        return f"{number:.6g}{unit}" if value.ndim == 0 else f"{value.shape} {value.dtype}{unit}"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, tuple | list | dict | set | frozenset) and len(value) > 6:
        return f"{type(value).__name__} of {len(value)}"
    return _cut(" ".join(str(value).split()))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
