"""Labels of patches: whether a region flares, by the name of the patch's file."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from solartrack.flares import published

__all__ = ["Label", "labels_of_files", "read_labels"]


class Label(NamedTuple):
    """What a labels file says about one patch.

    Attributes
    ----------
    class_label : int
        1 if it flares.
    flare_class : str
        Such as ``"M1.7"``; ``"0"`` without a flare.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import features
    >>> _ = Path("labels.csv").write_text("a.fits,M1.7")
    >>> features.read_labels("labels.csv")["a.fits"].class_label
    1
    """

    class_label: int
    flare_class: str


def read_labels(path: str | PathLike[str]) -> dict[str, Label]:
    r"""Labels of patches from a CSV file.

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

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import features
    >>> _ = Path("labels.csv").write_text("a.fits,M1.7\nb.fits,0")
    >>> features.read_labels("labels.csv")
    {'a.fits': Label(class_label=1, flare_class='M1.7'), 'b.fits': Label(class_label=0, flare_class='0')}
    """
    table = published.read_labels(path)
    columns = (table[name].tolist() for name in ("name", "label", "flare_class"))
    return {name: Label(label, flare) for name, label, flare in zip(*columns, strict=True)}


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
