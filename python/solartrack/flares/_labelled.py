"""What is scored, checked: labels, probabilities and groups."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import refuse_masked

__all__ = [
    "as_codes",
    "as_labels",
    "as_level",
    "as_probabilities",
    "as_seed",
    "as_share",
    "refuse_other_index",
]

Floats = NDArray[np.float64]


def as_labels(label: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Which labels are known, shape (n,), and the known ones as 0.0 and 1.0."""
    refuse_masked(label, "label")
    column = pd.Series(label if isinstance(label, pd.Series) else _flat(label, "label"))
    values = _floats(column, "label")
    known = ~np.isnan(values)
    wrong = known & (values != 0) & (values != 1)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(f"labels must be 0, 1 or missing, got {values[i]:g} in row {i}")
    return known, values[known]


def as_probabilities(probability: ArrayLike, known: NDArray[np.bool_], name: str) -> Floats:
    """Probabilities of the samples with a known label."""
    refuse_masked(probability, name)
    if np.ndim(probability) == 0:
        probability = np.full(len(known), probability)
    column = pd.Series(probability if isinstance(probability, pd.Series) else _flat(probability, name))
    values = _floats(column, name)
    if len(values) != len(known):
        raise ValueError(f"{name} must be as long as the labels, got {len(values)} for {len(known)} labels")
    wrong = known & ~((values >= 0) & (values <= 1))
    if wrong.any():
        i = int(np.argmax(wrong))
        hint = "; leave out, in all forecasts alike, the rows that have none" if np.isnan(values[i]) else ""
        hint = "; divide percentages by 100" if values[i] > 1 else hint
        raise ValueError(f"{name} must be probabilities from 0 to 1, got {values[i]:g} in row {i}{hint}")
    return values[known]


def _flat(values: Any, name: str) -> Any:
    out = values if isinstance(values, pd.api.extensions.ExtensionArray | pd.Index) else np.asarray(values)
    if out.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {out.shape}")
    return out


def _floats(column: pd.Series, name: str) -> Floats:
    """A column of numbers as float64, with NaN where one is missing."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind not in ("boolean", "integer", "floating", "mixed-integer-float", "empty"):
        raise TypeError(f"{name} must be numbers, got {kind}, such as {column.dropna().iloc[0]!r}")
    out: Floats = column.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    return out


def as_codes(groups: ArrayLike | None, known: NDArray[np.bool_]) -> tuple[NDArray[np.intp], int]:
    """Number of each known sample's group, from 0, and how many there are."""
    if groups is None:
        return np.zeros(int(known.sum()), dtype=np.intp), 1
    column = pd.Series(groups if isinstance(groups, pd.Series) else _flat(groups, "groups"))
    if len(column) != len(known):
        raise ValueError(f"groups must be as long as the labels, got {len(column)} for {len(known)} labels")
    codes, found = pd.factorize(column[known], sort=False)
    if (codes < 0).any():
        raise ValueError(
            f"groups must not be missing, got {int((codes < 0).sum())} samples without one; give them one, "
            f"such as their region number"
        )
    return codes, len(found)


def as_share(value: Any, name: str) -> float:
    number = float(value) if isinstance(value, int | float | np.number) else math.nan
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {value!r}")
    return number


def as_level(level: float) -> float:
    """Level of an interval."""
    if not isinstance(level, int | float | np.integer | np.floating) or not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, both excluded, got {level!r}")
    return float(level)


def as_seed(seed: Any) -> int:
    """Seed of draws."""
    try:
        number = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"seed must be an integer, 0 or more, got {seed!r}")
    return number


def refuse_other_index(label: Any, values: Any, name: str) -> None:
    """Refuse a Series whose rows are not those of the labels: it would be matched by position."""
    both = isinstance(label, pd.Series) and isinstance(values, pd.Series)
    if both and not values.index.equals(label.index):
        raise ValueError(
            f"{name} must have the index of the labels; pass it with .to_numpy() if its order is that of "
            "their rows"
        )
