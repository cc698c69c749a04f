"""Files of the published scripts: features, weights, labels, splits, statistics and Keras' lists of images.

None but the last has a header, so each is recognized by its form: what has another form is refused, with the
number of the line. The numbers of regions have four digits in these files, all digits in tables here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from solartrack.errors import ModelError
from solartrack.flares._columns import region_numbers, require
from solartrack.flares._feature_table import (
    read_features,
    read_weights,
    scale,
    weights_of,
    write_features,
    write_weights,
)
from solartrack.flares._label_file import attach_labels, read_labels, write_labels
from solartrack.flares._lines import lines, number_lines, refuse_repeats, write_rows, wrong
from solartrack.flares.splits import PARTS, Split
from solartrack.sources.swpc import full_region_number

__all__ = [
    "attach_labels",
    "read_features",
    "read_image_list",
    "read_labels",
    "read_split",
    "read_statistics",
    "read_weights",
    "refuse_old_model",
    "scale",
    "weights_of",
    "write_features",
    "write_image_list",
    "write_labels",
    "write_split",
    "write_statistics",
    "write_weights",
]

_SCORES = ["tpr", "tnr", "hss", "tss"]
_LISTS = {
    "train": "List_of_AR_in_Train_Data_by_AR.csv",
    "validation": "List_of_AR_in_Validation_data_by_AR.csv",
    "test": "List_of_AR_in_Test_Data_by_AR.csv",
}
_FIRST_DAY = "2010-05-01"  # of the published set

_IMAGE = re.compile(r"\d{4}/[^/\\]+", re.ASCII)
_HDF5, _PICKLE = b"\x89HDF\r\n\x1a\n", re.compile(rb"\x80[\x02-\x05]")
_OLD_MODELS = {
    "a Keras model in HDF5": (".hdf5", ".h5"),
    "a pickle, which can run any program when it is opened": (".pkl", ".pickle", ".p", ".sav", ".joblib"),
}


def read_split(folder: str | os.PathLike[str]) -> Split:
    """Read the published lists of regions.

    Parameters
    ----------
    folder : path-like
        With ``List_of_AR_in_Train_Data_by_AR.csv``, ``..._Validation_data_...`` and ``..._Test_Data_...``: a
        number a line. Those of four digits are completed; they are from 2010 on.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If a line is no number of a region, or a region comes twice, in one list or in two.
    FileNotFoundError
        If one of the files is not there.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack.flares import published, splits
    >>> Path("lists").mkdir()
    >>> published.write_split(splits.Split([11158], [11166], [11176, 11190]), "lists")
    >>> published.read_split("lists").test
    array([11176, 11190])
    """
    lists: dict[str, list[int]] = {}
    seen: dict[int, str] = {}
    for part, file in _LISTS.items():
        path = Path(folder) / file
        lists[part] = []
        for line, words in lines(path):
            if len(words) != 1 or not re.fullmatch(r"\d{1,5}", words[0]) or not int(words[0]):
                raise wrong(path, line, "the number of a region", ",".join(words))
            region = full_region_number(int(words[0]), _FIRST_DAY)
            if region in seen:
                raise ValueError(f"{path}, line {line}: region {words[0]} is in {seen[region]} already")
            seen[region] = file
            lists[part].append(region)
    return Split(*(np.array(lists[part], dtype=np.int64) for part in PARTS))


def write_split(split: Split, folder: str | os.PathLike[str]) -> None:
    """Write lists of regions as published: the last four digits of a number a line.

    Parameters
    ----------
    split : Split
        NOAA numbers with all their digits.
    folder : path
        Of the three files; it is made.

    Raises
    ------
    ValueError
        If `read_split` would read a number as another; nothing is written then.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack.flares import published, splits
    >>> Path("lists").mkdir()
    >>> published.write_split(splits.Split([11158], [11166], [11176, 11190]), "lists")
    >>> len(list(Path("lists").iterdir()))
    3
    """
    for number in np.concatenate(split).tolist():
        short = number % 10000
        if not short or full_region_number(short, _FIRST_DAY) != number:
            raise ValueError(
                f"region {number} cannot be written: the lists hold the last four digits of 10001 to 19999, "
                f"and {short:04} would be read as another"
            )
    for part, file in _LISTS.items():
        write_rows(Path(folder) / file, ([f"{number % 10000:04}"] for number in getattr(split, part)))


def read_statistics(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read a file of scores.

    Parameters
    ----------
    path : path-like
        No header; lines for test, validation and training regions: TPR, TNR, HSS, TSS.

    Returns
    -------
    DataFrame
        Rows "test", "validation", "train", columns "tpr", "tnr", "hss", "tss".

    Raises
    ------
    ValueError
        If the file has another form, or a score is beyond its range.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack.flares import published
    >>> _ = Path("scores.csv").write_text("0.7,0.8,0.3,0.5\n" * 3)
    >>> published.read_statistics("scores.csv")
                tpr  tnr  hss  tss
    test        0.7  0.8  0.3  0.5
    validation  0.7  0.8  0.3  0.5
    train       0.7  0.8  0.3  0.5
    """
    rows = number_lines(path, len(_SCORES))
    if len(rows) != len(PARTS):
        raise ValueError(f"{path}: expected 3 lines (test, validation, train), got {len(rows)}")
    for line, scores in rows.items():
        for name, score in zip(_SCORES, scores, strict=True):
            if abs(score) > 1 or (score < 0 and name in ("tpr", "tnr")):
                raise wrong(path, line, "TPR, TNR from 0 to 1, HSS, TSS from -1 to 1", f"{name} {score}")
    return pd.DataFrame(list(rows.values()), index=PARTS[::-1], columns=_SCORES)


def write_statistics(scores: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write scores as `read_statistics` reads them; undefined ones are NaN.

    Parameters
    ----------
    scores : pandas.DataFrame
        A row for each part of `solartrack.flares.splits.PARTS`, with the columns that `read_statistics`
        gives.
    path : path
        It is replaced if it is there.

    Raises
    ------
    ValueError
        If a row or column is missing, or a score is out of its range.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from solartrack.flares import published
    >>> row = {"tpr": 0.7, "tnr": 0.8, "hss": 0.3, "tss": 0.5}
    >>> table = pd.DataFrame([row] * 3, index=["test", "validation", "train"])
    >>> published.write_statistics(table, "scores.csv")
    >>> Path("scores.csv").read_text().split()
    ['0.7,0.8,0.3,0.5', '0.7,0.8,0.3,0.5', '0.7,0.8,0.3,0.5']
    """
    require(scores, tuple(_SCORES), "scores")
    if lacking := [part for part in PARTS if part not in scores.index]:
        raise ValueError(f"scores must have a row {lacking[0]!r}")
    table = scores.loc[list(PARTS[::-1]), _SCORES].astype(float)
    least = np.array([0.0, 0.0, -1.0, -1.0])
    if len(table) != len(PARTS) or ((table > 1) | (table < least)).any(axis=None):
        raise ValueError(
            f"scores must be one row a part, with TPR, TNR from 0 to 1 and HSS, TSS from -1 to 1, got "
            f"{table.to_dict('list')}"
        )
    write_rows(path, (["NaN" if x != x else repr(x) for x in row] for row in table.to_numpy().tolist()))


def read_image_list(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read a list of images as Keras' generators take it.

    Parameters
    ----------
    path : path-like
        Header ``filename,class``; lines ``NNNN/file,0`` or ``NNNN/file,1``, where NNNN is the region's
        folder.

    Returns
    -------
    DataFrame
        ``file`` (with the folder), ``name`` (without it) and ``label`` (Int8).

    Raises
    ------
    ValueError
        If the file has another form.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack.flares import published
    >>> _ = Path("list.csv").write_text("filename,class\n1158/a.png,1\n1166/b.png,0\n")
    >>> published.read_image_list("list.csv")
             file   name  label
    0  1158/a.png  a.png      1
    1  1166/b.png  b.png      0
    """
    files: list[str] = []
    labels: list[int] = []
    for line, words in lines(path):
        if line == 1:
            if words != ["filename", "class"]:
                raise wrong(path, line, "the header filename,class", ",".join(words))
            continue
        if len(words) != 2 or not _IMAGE.fullmatch(words[0]) or words[1] not in ("0", "1"):
            raise wrong(path, line, "NNNN/file,0 or NNNN/file,1", ",".join(words))
        files.append(words[0])
        labels.append(int(words[1]))
    if not files:
        raise ValueError(f"{path} has no images; expected lines NNNN/file,0 below the header filename,class")
    return pd.DataFrame({
        "file": pd.array(files, dtype="str"),
        "name": pd.array([file[5:] for file in files], dtype="str"),
        "label": pd.array(labels, dtype="Int8"),
    })  # fmt: skip


def write_image_list(labels: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a list of images as `read_image_list` reads it.

    Parameters
    ----------
    labels : DataFrame
        ``region``, ``name`` and ``label``; unknown labels are refused.
    path : path-like

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack.flares import published
    >>> table = pd.DataFrame({"region": [11158], "name": ["a.png"], "label": [1]})
    >>> published.write_image_list(table, "list.csv")
    >>> published.read_image_list("list.csv")
             file   name  label
    0  1158/a.png  a.png      1
    """
    require(labels, ("region", "name", "label"), "labels")
    numbers = region_numbers(labels["region"], np.full(len(labels), np.datetime64(_FIRST_DAY)), "labels")
    if labels["label"].isna().any() or not labels["label"].isin([0, 1]).all() or (numbers == 0).any():
        raise ValueError("each image needs a region and a label 0 or 1; drop the rows without")
    refuse_repeats(labels["name"])
    for name in labels["name"]:
        if not _IMAGE.fullmatch(f"0000/{name}") or str(name) != str(name).strip():
            raise ValueError(f"a name must be that of a file, without folders, got {name!r}")
    rows = zip(numbers.tolist(), labels["name"], labels["label"], strict=True)
    write_rows(path, [["filename", "class"], *([f"{n % 10000:04}/{name}", int(y)] for n, name, y in rows)])


def refuse_old_model(path: str | os.PathLike[str]) -> None:
    """Refuse a model of the published scripts, by its name and by how it begins; others pass.

    Parameters
    ----------
    path : path-like
        Need not be there; then only the name is judged.

    Raises
    ------
    ModelError
        If it is a pickle or Keras' HDF5; it says what to do.

    Examples
    --------
    >>> from solartrack.flares import published
    >>> published.refuse_old_model("model.skops")
    >>> published.refuse_old_model("model.pkl")
    Traceback (most recent call last):
        ...
    solartrack.errors.ModelError: model.pkl is a pickle, which can run any program when it is opened. ...
    """
    start = b""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            start = file.read(len(_HDF5))
    suffix = Path(path).suffix.lower()
    for (what, suffixes), is_one in zip(
        _OLD_MODELS.items(), (start == _HDF5, _PICKLE.match(start) is not None), strict=True
    ):
        if suffix in suffixes or is_one:
            raise ModelError(
                f"{path} is {what}. Models of the published scripts are not read: train again from the same "
                "features, labels and lists of regions, which solartrack.flares.published reads, and save "
                "the result with solartrack"
            )
