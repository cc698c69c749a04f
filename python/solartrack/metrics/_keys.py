"""Frames and identities: what names them, compared exactly, and the order of frames."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import refuse_masked

__all__ = ["as_keys", "in_order"]

Keys = NDArray[Any]

_MISSING = "must not be NaN, NaT or infinite"


def as_keys(values: ArrayLike, name: str) -> Keys:
    """Frames or identities as an array of numbers, ``datetime64`` or strings.

    Parameters
    ----------
    values : array_like, shape (n,)
        Of one of these kinds; a column of Python objects is taken if they are all of one kind. Times with a
        zone become UTC.
    name : str
        What to call them in messages.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    ValueError
        If one is NaN, NaT, pandas' NA or infinite.
    TypeError
        If they are masked, or of other or of mixed kinds.
    """
    refuse_masked(values, name)
    keys = np.asarray(values)
    if keys.dtype.kind == "U" and not hasattr(values, "dtype"):
        keys = np.asarray(values, dtype=object)  # a list: NumPy writes numbers among strings as text
    if keys.dtype.kind in "OT":
        keys = _of_one_kind(keys, name)
    if keys.size == 0:
        return keys
    if keys.dtype.kind not in "biufMU":
        raise TypeError(f"{name} must be numbers, datetime64 or strings, got dtype {keys.dtype}")
    if keys.dtype.kind in "fM" and not np.isfinite(keys).all():
        raise ValueError(f"{name} {_MISSING}")
    return keys


def _of_one_kind(objects: NDArray[Any], name: str) -> Keys:
    """Python objects as an array of their kind, with the same values."""
    values = objects.ravel().tolist()
    if any(not isinstance(value, str) and str(value) in ("nan", "NaT", "<NA>") for value in values):
        raise ValueError(f"{name} {_MISSING}")
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=str).reshape(objects.shape)
    if all(isinstance(value, datetime) for value in values):
        if len({value.tzinfo is None for value in values}) > 1:
            raise TypeError(f"{name} must have a time zone all or none of them")
        return np.array([_as_utc(value) for value in values]).reshape(objects.shape)
    if all(isinstance(value, Real | np.datetime64 | np.bool_) for value in values):
        keys = np.array(values)
        if keys.dtype.kind != "O" and keys.tolist() == values:  # exactly
            return keys.reshape(objects.shape)
    kinds = sorted({type(value).__name__ for value in values})
    raise TypeError(
        f"{name} must be numbers, datetime64 or strings, not mixed, got dtype object with {', '.join(kinds)}"
    )


def _as_utc(time: datetime) -> np.datetime64:
    if hasattr(time, "asm8"):  # a pandas Timestamp, with its nanoseconds; UTC if it has a zone
        return np.datetime64(time.asm8)
    return np.datetime64(time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None))


def in_order(*columns: Keys) -> list[NDArray[np.intp]]:
    """Place of each key among all keys of the columns, which are sorted and counted from 0.

    Numbers of differing types are compared exactly: not through float64, which merges integers above
    2**53. Text that is all numbers is sorted as numbers, other text in natural order (``frame2`` before
    ``frame10``), as `solartrack.images.find_images` sorts files.

    Raises
    ------
    TypeError
        If columns are of different kinds.
    ValueError
        If the order of text is ambiguous, because decimal fractions in it have different lengths.
    """
    used = [column for column in columns if len(column)]
    dtypes = list(dict.fromkeys(column.dtype for column in used))
    kinds = {"number" if dtype.kind in "biuf" else dtype.kind for dtype in dtypes}
    if len(kinds) > 1:
        raise TypeError(
            "truth and track must name frames alike, all of one kind, got "
            + " and ".join(f"dtype {dtype}" for dtype in dtypes)
        )
    if not used:
        return [np.empty(0, np.intp) for _ in columns]
    if kinds == {"U"}:
        ordered = _in_order_of_text({str(key) for column in used for key in column.tolist()})
    elif len(dtypes) == 1 or kinds == {"M"}:
        _, places = np.unique(np.concatenate(used), return_inverse=True)
        ends = np.cumsum([len(column) for column in columns])[:-1]
        return np.split(places.astype(np.intp), ends)
    else:
        ordered = sorted({key for column in used for key in column.tolist()})
    place = {key: i for i, key in enumerate(ordered)}
    return [np.array([place[key] for key in column.tolist()], dtype=np.intp) for column in columns]


def _in_order_of_text(names: set[str]) -> list[str]:
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        pass
    ordered = sorted(names, key=lambda name: (_natural(name, "[0-9]+"), name))
    if ordered != sorted(names, key=lambda name: (_natural(name, r"[0-9]+(?:\.[0-9]+)?"), name)):
        raise ValueError(
            f"the order of the frames named {ordered[0]!r} to {ordered[-1]!r} is ambiguous, as their decimal "
            "fractions have different lengths; name frames by numbers or datetime64"
        )
    return ordered


def _natural(name: str, number: str) -> list[str | float]:
    parts: list[Any] = re.split(f"({number})", name)
    parts[1::2] = map(float, parts[1::2])
    return parts
