"""Labels of patches: whether a region flares, by the name of the patch's file."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

__all__ = ["Label", "labels_of_files", "read_labels"]


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
        One line per patch: file name, class label (an integer), flare class; or file name and flare
        class alone, where ``0`` is no flare (class label 0). A first line whose first field
        is ``file``, ``filename`` or ``file_name`` is a header. Folders in file names are ignored.

    Returns
    -------
    dict of str to Label
        By file name.

    Raises
    ------
    ValueError
        If a line has another number of fields, a class label is not an integer, or a name comes twice.
    FileNotFoundError
        If there is no such file.
    """
    labels: dict[str, Label] = {}
    repeated = []
    with open(path, newline="", encoding="utf-8-sig") as file:
        for number, fields in enumerate(csv.reader(file, skipinitialspace=True), start=1):
            words = [field.strip() for field in fields]
            if not any(words) or (number == 1 and words[0].lower() in ("file", "filename", "file_name")):
                continue
            if len(words) == 2:
                words.insert(1, "0" if words[1] == "0" else "1")
            if len(words) != 3 or not words[0]:
                raise ValueError(
                    f"{path}, line {number}: expected file name, class label, flare class, "
                    f"got {','.join(fields)!r}"
                )
            try:
                label = Label(int(words[1]), words[2])
            except ValueError:
                raise ValueError(
                    f"{path}, line {number}: the class label must be an integer, got {words[1]!r}"
                ) from None
            name = words[0].replace("\\", "/").rpartition("/")[2]
            if name in labels:
                repeated.append(name)
            labels[name] = label
    if repeated:
        raise ValueError(
            f"{path} has {len(repeated)} names more than once: {_some(repeated)}; remove the repeats"
        )
    return labels


def labels_of_files(labels: Mapping[str, Label], files: list[Path], source: str) -> dict[str, Label]:
    """The labels of the files that are there."""
    names = {path.name for path in files}
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
