"""Lines of CSV files without a header: those of the published scripts."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from solartrack._files import replacing

__all__ = ["is_class", "lines", "number_lines", "refuse_repeats", "some", "write_rows", "wrong"]

_FLARE_CLASS = re.compile(r"[ABCMX](\d+(\.\d*)?)?", re.ASCII)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, list[str]]]:
    """Numbers and fields of the lines of a CSV file; those without anything are left out."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for line, fields in enumerate(csv.reader(file, skipinitialspace=True), start=1):
                words = [field.strip() for field in fields]
                if any(words):
                    yield line, words
    except UnicodeDecodeError as error:
        with open(path, "rb") as binary:
            start = binary.read(2)
        what = "in UTF-16, as some spreadsheets write it" if start in _UTF16 else "not in UTF-8"
        raise ValueError(f"{path} is {what} ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file: {error}") from error


def number_lines(path: str | os.PathLike[str], n: int) -> dict[int, list[float]]:
    """Lines of `n` numbers each, by their numbers."""
    rows = {}
    for line, words in lines(path):
        try:
            rows[line] = [float(word) for word in words]
        except ValueError as error:
            raise wrong(path, line, f"{n} numbers", str(error)) from None
        if len(words) != n:
            raise wrong(path, line, f"{n} numbers", ",".join(words))
    return rows


def write_rows(path: str | os.PathLike[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def wrong(path: str | os.PathLike[str], line: int, wanted: str, got: str) -> ValueError:
    """The error of a line that has another form."""
    return ValueError(f"{path}, line {line}: expected {wanted}, got {got[:80]}")


def is_class(text: str) -> bool:
    """Whether a text is a flare class, perhaps a cut one, or 0."""
    return text == "0" or _FLARE_CLASS.fullmatch(text) is not None


def refuse_repeats(names: pd.Series) -> None:
    """Raise ValueError unless each name is there, and once."""
    if names.isna().any() or (names == "").any():
        raise ValueError(
            f"each patch needs a name; row {int((names.isna() | (names == '')).argmax())} has none"
        )
    if names.duplicated().any():
        raise ValueError(f"names must not come twice: {some(names[names.duplicated()])}; remove the repeats")


def some(names: Iterable[str]) -> str:
    """The first few of many names."""
    shown = list(names)
    return ", ".join(map(str, shown[:5])) + (", ..." if len(shown) > 5 else "")
