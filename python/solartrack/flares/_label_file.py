"""The published file of labels."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pandas as pd

from solartrack.flares._columns import region_numbers, require, utc
from solartrack.flares._labelled import as_labels
from solartrack.flares._lines import is_class, lines, refuse_repeats, some, write_rows, wrong

__all__ = ["attach_labels", "read_labels", "write_labels"]

_CLASS_LENGTH = 4


def read_labels(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read the labels of patches.

    Parameters
    ----------
    path : path-like
        One line per patch, in UTF-8: file name and flare class (A, B, C, M or X, maybe with a number such as
        ``M1.7``), or ``0`` without a flare; or file name, class label (an integer) and flare class. A
        first line whose first field is ``file``, ``filename`` or ``file_name`` is a header. Folders in
        file names are ignored.

    Returns
    -------
    DataFrame
        ``name``, ``label`` (int64) and ``flare_class`` ("0" without a flare), in order of the lines.

    Raises
    ------
    ValueError
        If a line has another form, its label and class contradict each other, a name comes twice, there is
        no line, or the file is not a CSV file in UTF-8.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack.flares import published
    >>> _ = Path("labels.csv").write_text("a.fits,M1.7\nb.fits,0\n")
    >>> published.read_labels("labels.csv")
         name  label flare_class
    0  a.fits      1        M1.7
    1  b.fits      0           0
    """
    names: list[str] = []
    labels: list[int] = []
    classes: list[str] = []
    for line, words in lines(path):
        if line == 1 and words[0].lower() in ("file", "filename", "file_name"):
            continue
        if len(words) not in (2, 3) or not words[0]:
            raise wrong(path, line, "file name, class label, flare class", repr(",".join(words)))
        if len(words) == 2 and not is_class(words[1]):
            raise ValueError(
                f"{path}, line {line}: the flare class must be such as M1.7, or 0 where there is no flare, "
                f"got {words[1]!r}"
            )
        try:
            labels.append(int(words[1]) if len(words) == 3 else int(words[1] != "0"))
        except ValueError:
            raise ValueError(
                f"{path}, line {line}: the class label must be an integer, got {words[1]!r}"
            ) from None
        names.append(words[0].replace("\\", "/").rpartition("/")[2])
        if is_class(words[-1]) and (labels[-1] == 0) != (words[-1] == "0"):
            raise wrong(path, line, "label 0 just where the class is 0", ",".join(words[1:]))
        classes.append(words[-1])
    if not names:
        raise ValueError(f"{path} has no labels; expected lines such as NAME,M1.7 or NAME,0")
    table = pd.DataFrame({"name": pd.array(names, dtype="str")}).assign(
        label=np.array(labels, dtype=np.int64), flare_class=pd.array(classes, dtype="str")
    )
    repeated = table["name"][table["name"].duplicated()]
    if len(repeated):
        raise ValueError(
            f"{path} has {len(repeated)} names more than once: {some(repeated)}; remove the repeats"
        )
    return table


def write_labels(labels: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    r"""Write labels as published: ``name,class``, or ``name,0`` without a flare.

    Patches with a flare come first, in order of the flares' peaks, then the others by region; those of one
    flare or region by name. Classes are cut to four characters: X10.0 is X10.

    Parameters
    ----------
    labels : DataFrame
        As `solartrack.flares.label` returns it, with ``name``.
    path : path-like

    Raises
    ------
    ValueError
        If a label is unknown or not 0 or 1, a flare has no class, a name is missing or comes twice, or a
        column is missing.
    TypeError
        If labels are no numbers.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> from solartrack.flares import published
    >>> sample = {"name": "a.fits", "region": 11158, "time": "2011-02-15T00:00:00"}
    >>> flare = {"region": 11158, "peak": "2011-02-15T01:56:00", "flare_class": "X2.2"}
    >>> days = pd.date_range("2011-02-14", "2011-02-16")
    >>> labels = flares.label(pd.DataFrame([sample]), pd.DataFrame([flare]), covered=days)
    >>> published.write_labels(labels, "labels.csv")
    >>> Path("labels.csv").read_text()
    'a.fits,X2.2\n'
    """
    require(labels, ("name", "region", "time", "label", "largest_class", "hours_to_largest"), "labels")
    unknown = labels["label"].isna()
    if unknown.any():
        raise ValueError(
            f"{unknown.sum()} labels are unknown, which the published form cannot say: drop these rows, or "
            "label with convention='published'"
        )
    refuse_repeats(labels["name"])
    times = utc(labels["time"], "labels")
    flaring = as_labels(labels["label"])[1] == 1
    classes = [one[:_CLASS_LENGTH] if isinstance(one, str) else "" for one in labels["largest_class"]]
    for row in np.flatnonzero(flaring):
        if classes[row] == "0" or not is_class(classes[row]):
            raise ValueError(
                f"each label 1 needs a flare class such as M1.7, row {row} has "
                f"{labels['largest_class'].iloc[row]!r}"
            )
    hours = labels["hours_to_largest"].fillna(0.0).to_numpy()
    # To the minute, as in the list of events: the patches of one flare stay together.
    peak = (times + (hours * 3600 + 30).astype("timedelta64[s]")).astype("datetime64[m]")
    table = pd.DataFrame(
        {
            "quiet": ~flaring,
            "peak": np.where(flaring, peak, np.datetime64(0, "m")),
            "region": region_numbers(labels["region"], times, "labels"),
            "name": labels["name"].array,
            "flare": np.where(flaring, np.array(classes, dtype=object), "0"),
        }
    ).sort_values(["quiet", "peak", "region", "name"], kind="stable")
    write_rows(path, zip(table["name"], table["flare"], strict=True))


def attach_labels(samples: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    r"""Give samples the labels that a file has for their names.

    Parameters
    ----------
    samples : DataFrame, n rows
        ``name``; other columns and the index are kept.
    labels : DataFrame
        As `read_labels` returns it.

    Returns
    -------
    DataFrame, n rows
        With ``label`` (Int8) and ``flare_class``; NA and "" where the file has none.

    Raises
    ------
    ValueError
        If no sample has a label, a name comes twice, or samples have one of these columns.

    Warns
    -----
    UserWarning
        If labels are for patches that are not among the samples.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from solartrack.flares import published
    >>> _ = Path("labels.csv").write_text("a.fits,M1.7\nb.fits,0\n")
    >>> samples = pd.DataFrame({"name": ["b.fits", "a.fits"], "region": [11166, 11158]})
    >>> published.attach_labels(samples, published.read_labels("labels.csv"))
         name  region  label flare_class
    0  b.fits   11166      0           0
    1  a.fits   11158      1        M1.7
    """
    require(samples, ("name",), "samples")
    require(labels, ("name", "label", "flare_class"), "labels")
    if there := [name for name in ("label", "flare_class") if name in samples]:
        raise ValueError(f"samples have a column {there[0]!r} already; drop or rename it")
    refuse_repeats(labels["name"])
    absent = labels["name"][~labels["name"].isin(samples["name"])]
    if len(absent) == len(labels) and len(samples):
        raise ValueError(
            f"there are labels for none of the {len(samples)} samples: for {some(absent) or 'nothing'}, "
            f"the samples are {some(samples['name'])}"
        )
    if len(absent):
        warnings.warn(
            f"{len(absent)} labels are for patches that are not there: {some(absent)}", stacklevel=2
        )
    found = labels.set_index("name").reindex(samples["name"])
    return samples.assign(
        label=found["label"].astype("Int8").array, flare_class=found["flare_class"].fillna("").array
    )
