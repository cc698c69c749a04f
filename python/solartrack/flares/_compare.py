"""The same flares in two sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from solartrack.flares._event_rows import as_class

__all__ = ["compared"]

_COLUMNS = {
    "row_a": "Int64", "row_b": "Int64", "time_a": "datetime64[us]", "time_b": "datetime64[us]",
    "seconds": "float64", "class_a": "str", "class_b": "str", "region_a": "Int32", "region_b": "Int32",
    "differences": "str",
}  # fmt: skip


def compared(a: pd.DataFrame, b: pd.DataFrame, limit: pd.Timedelta) -> pd.DataFrame:
    """The table of `solartrack.flares.events.compare_events`, from two tables of events."""
    left, right = _timed(a), _timed(b)
    pairs = _pairs(left, right, limit.to_timedelta64())
    taken = set(pairs.values())
    alone_a = [(i, None) for i in range(len(left)) if i not in pairs]
    alone_b = [(None, j) for j in range(len(right)) if j not in taken]
    rows = [_compared(left, right, i, j) for i, j in [*pairs.items(), *alone_a, *alone_b]]
    table = pd.DataFrame({
        name: pd.Series([row.get(name, "" if kind == "str" else None) for row in rows], dtype=kind)
        for name, kind in _COLUMNS.items()
    })  # fmt: skip
    order = table["time_a"].fillna(table["time_b"])
    return table.loc[order.sort_values(kind="stable").index].reset_index(drop=True)


def _timed(table: pd.DataFrame) -> pd.DataFrame:
    """Events with a time, in their order."""
    time = table["peak"].fillna(table["start"])
    table = table.assign(time=time, row=np.arange(len(table)))[time.notna()]
    return table.sort_values("time", kind="stable", ignore_index=True)


def _pairs(left: pd.DataFrame, right: pd.DataFrame, limit: np.timedelta64) -> dict[int, int]:
    """Rows of the same flares, the closest first."""
    times, others = left["time"].to_numpy(), right["time"].to_numpy()
    first = np.searchsorted(others, times - limit, side="left")
    last = np.searchsorted(others, times + limit, side="right")
    regions = [left["region"].tolist(), right["region"].tolist()]
    classes = [left["flare_class"].tolist(), right["flare_class"].tolist()]
    found = sorted(
        (
            abs(others[j] - times[i]),
            regions[0][i] is pd.NA or regions[1][j] is pd.NA or regions[0][i] != regions[1][j],
            classes[0][i] != classes[1][j],
            i,
            j,
        )
        for i in range(len(left))
        for j in range(first[i], last[i])
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for *_, i, j in found:
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs


def _compared(left: pd.DataFrame, right: pd.DataFrame, i: int | None, j: int | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for side, table, at in (("a", left, i), ("b", right, j)):
        if at is not None:
            own = table.iloc[at]
            row |= {
                f"row_{side}": own["row"],
                f"time_{side}": own["time"],
                f"class_{side}": own["flare_class"],
            }
            row[f"region_{side}"] = own["region"]
    if i is None or j is None:
        return row | {"differences": "only in b" if i is None else "only in a"}
    row["seconds"] = (row["time_b"] - row["time_a"]).total_seconds()
    regions = [None if pd.isna(row[name]) else row[name] for name in ("region_a", "region_b")]
    differs = {"time": row["seconds"] != 0, "class": _unlike(row), "region": regions[0] != regions[1]}
    return row | {"differences": ", ".join(name for name, does in differs.items() if does)}


def _unlike(row: dict[str, Any]) -> bool:
    """Whether classes differ as numbers: M10.0 is X1.0."""
    fluxes = [as_class(row[name], [])[1] for name in ("class_a", "class_b")]
    return bool(fluxes[0] != fluxes[1]) and not all(np.isnan(fluxes))
