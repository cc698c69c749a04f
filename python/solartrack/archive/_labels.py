"""Labels of patches: whether a region flares, by the name of the patch's file."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

__all__ = ["Label", "labels_of_files", "read_labels"]

_FLARE_CLASS = re.compile(r"[ABCMX](\d+(\.\d*)?)?", re.ASCII)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Label(NamedTuple):
    """What a labels file says about one patch.

    Attributes
    ----------
    class_label : int
        1 if it flares.
    flare_class : str
        Such as ``"M1.7"``; ``"0"`` without a flare.
    """

    class_label: int
    flare_class: str


def read_labels(path: str | PathLike[str]) -> dict[str, Label]:
    """Labels of patches from a CSV file.

    Parameters
    ----------
    path : path-like
        One line per patch, in UTF-8: file name, class label (an integer), flare class; or file name and
        flare class alone: A, B, C, M or X, maybe with a number such as ``M1.7`` (class label 1), or
        ``0``, no flare (class label 0). A first line whose first field is ``file``, ``filename`` or
        ``file_name`` is a header. Folders in file names are ignored.

    Returns
    -------
    dict of str to Label
        By file name.

    Raises
    ------
    ValueError
        If a line has another number of fields, a class label is not an integer, a flare class alone is
        none of these, a name comes twice, or the file is not a CSV file in UTF-8.
    FileNotFoundError
        If there is no such file.
    """
    labels: dict[str, Label] = {}
    repeated = []
    for number, fields in _lines(path):
        words = [field.strip() for field in fields]
        if not any(words) or (number == 1 and words[0].lower() in ("file", "filename", "file_name")):
            continue
        if len(words) not in (2, 3) or not words[0]:
            raise ValueError(
                f"{path}, line {number}: expected file name, class label, flare class, "
                f"got {','.join(fields)!r}"
            )
        name = words[0].replace("\\", "/").rpartition("/")[2]
        try:
            label = _label(words[1:])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if name in labels:
            repeated.append(name)
        labels[name] = label
    if repeated:
        raise ValueError(
            f"{path} has {len(repeated)} names more than once: {_some(repeated)}; remove the repeats"
        )
    return labels


def _lines(path: str | PathLike[str]) -> Iterator[tuple[int, list[str]]]:
    """Numbers and fields of the lines of a CSV file."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            yield from enumerate(csv.reader(file, skipinitialspace=True), start=1)
    except UnicodeDecodeError as error:
        with open(path, "rb") as file:
            start = file.read(2)
        what = "in UTF-16, as some spreadsheets write it" if start in _UTF16 else "not in UTF-8"
        raise ValueError(f"{path} is {what} ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file: {error}") from error


def _label(words: list[str]) -> Label:
    """A label from class label and flare class, or from the flare class alone."""
    if len(words) == 2:
        try:
            return Label(int(words[0]), words[1])
        except ValueError:
            raise ValueError(f"the class label must be an integer, got {words[0]!r}") from None
    if words[0] == "0":
        return Label(0, "0")
    if not _FLARE_CLASS.fullmatch(words[0]):
        raise ValueError(
            f"the flare class must be such as M1.7, or 0 where there is no flare, got {words[0]!r}"
        )
    return Label(1, words[0])


def labels_of_files(labels: Mapping[str, Label], files: list[Path], source: str) -> dict[str, Label]:
    """The labels of the files that are there; refuses one label for several files of the same name."""
    names: dict[str, Path] = {}
    for path in files:
        other = names.setdefault(path.name, path)
        if other is not path and path.name in labels:
            raise ValueError(
                f"{source} has one label for {path.name}, but two of the images have this name: {other} and "
                f"{path}; rename one, or measure their folders one by one"
            )
    unknown = [name for name in labels if name not in names]
    if len(unknown) == len(labels):
        raise ValueError(
            f"{source} names none of the {len(files)} images: it has {_some(unknown) or 'no lines'}, "
            f"the images are {_some([p.name for p in files])}"
        )
    if unknown:
        warnings.warn(
            f"{source} has {len(unknown)} names that are not among the images: {_some(unknown)}", stacklevel=3
        )
    return {name: label for name, label in labels.items() if name in names}


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
