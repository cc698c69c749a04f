"""Columns of tables that people give: whether they are there, and their values as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack._tables import as_times
from solartrack.sources._srs import full_region_numbers

__all__ = ["refuse_single", "region_numbers", "require", "utc"]

_LARGEST = 2**31 - 1
_LAST = np.datetime64("9999-12-31T23:59:59.999999", "us")


def require(table: Any, names: tuple[str, ...], what: str) -> None:
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{what} must be a table with columns {', '.join(names)}, got {type(table).__name__}")
    for name in names:
        if list(table.columns).count(name) != 1:
            found = ", ".join(map(str, table.columns))[:200] or "none"
            raise ValueError(f"{what} must have one column {name!r}, got {found}")


def refuse_single(values: Any, name: str) -> None:
    """Refuse one value, such as a text, where there must be many."""
    if isinstance(values, str) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise TypeError(f"{name} must have one value for each sample, got {values!r}")


def region_numbers(column: pd.Series, times: NDArray[np.datetime64], what: str) -> NDArray[np.int64]:
    """Numbers of regions with all their digits, 0 where there is none."""
    try:
        if pd.api.types.is_bool_dtype(column):
            raise TypeError("got True and False")
        given = pd.to_numeric(column)
        if (given.abs() > _LARGEST).any():
            raise ValueError(f"got {given[given.abs() > _LARGEST].iloc[0]}")
        numbers = given.astype("Int64").to_numpy(dtype=np.int64, na_value=0)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the regions of {what} must be whole numbers such as 11158: {error}") from error
    return full_region_numbers(np.maximum(numbers, 0), times)


def utc(column: pd.Series, what: str) -> NDArray[np.datetime64]:
    """Times as UTC without zone."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(None)
    if column.dtype.kind == "M":
        times: NDArray[np.datetime64] = column.to_numpy(dtype="datetime64[us]")
    else:
        try:
            times = as_times(column)
        except ValueError as error:
            raise ValueError(f"the column {column.name!r} of {what} must be times: {error}") from error
    if (times > _LAST).any():
        raise ValueError(f"the column {column.name!r} of {what} has {times.max()}, after the year 9999")
    return times
