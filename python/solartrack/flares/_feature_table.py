"""The published table of features, and the minima and ranges that scale it."""

from __future__ import annotations

import array
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from solartrack.features import COMPLEXITY_NAMES
from solartrack.flares._columns import require
from solartrack.flares._labelled import as_labels
from solartrack.flares._lines import is_class, lines, number_lines, write_rows, wrong

__all__ = ["read_features", "read_weights", "scale", "weights_of", "write_features", "write_weights"]

_N = len(COMPLEXITY_NAMES)
_COLUMNS = [*COMPLEXITY_NAMES, "label", "flare_class", "name"]

_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_MISSING = ("", "nan")


def has_no_header(path: Path) -> bool:
    """Whether a text file begins with a number, as the published table does."""
    with path.open(errors="replace") as file:
        try:
            float(file.readline().partition(",")[0])
        except ValueError:
            return False
    return True


def read_features(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of features, such as ``Lat60_Lon60_Nans0_C1.0_24hr_features.csv``.

    Parameters
    ----------
    path : path-like
        No header; 32 fields a line: the 29 features, 0 or 1, flare class, file name. ``features.csv`` of
        `solartrack.features.extract` has this form. A line of a file without a label has 31: one field
        that is empty or NaN stands for both, or two in a line of 32. Empty lines are skipped.

    Returns
    -------
    DataFrame
        `solartrack.features.COMPLEXITY_NAMES`, as integers where a column has only such, else float64;
        ``label`` (Int8, NA without one), ``flare_class`` ("0" without a flare, "" without a label) and
        ``name``.

    Raises
    ------
    ValueError
        If the file has no lines, or one of them has another form.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.features import COMPLEXITY_NAMES
    >>> from solartrack.flares import published
    >>> table = pd.DataFrame(np.full((1, 29), 0.5), columns=COMPLEXITY_NAMES)
    >>> table = table.assign(label=1, flare_class="M1.7", name="a.fits")
    >>> published.write_features(table, "features.csv")
    >>> published.read_features("features.csv")[["label", "flare_class", "name"]]
       label flare_class    name
    0      1        M1.7  a.fits
    """
    numbers = array.array("d")
    rest: list[tuple[str, str, str]] = []
    whole = set(range(_N))
    for line, words in lines(path):
        if len(words) not in (_N + 2, _N + 3):
            raise wrong(path, line, f"{_N + 3} fields, or {_N + 2} without a label", f"{len(words)}")
        try:
            numbers.extend(map(float, words[:_N]))
        except ValueError as error:
            raise wrong(path, line, f"{_N} numbers first", str(error)) from None
        whole = {k for k in whole if _WHOLE.fullmatch(words[k])}
        label, flare, name = words[_N], words[-2], words[-1]
        if label.lower() in _MISSING and flare.lower() in _MISSING:
            label = flare = ""
        elif len(words) == _N + 2 or label not in ("0", "1") or not is_class(flare):
            raise wrong(path, line, "0 or 1 and a flare class such as M1.7, or 0", ",".join(words[_N:-1]))
        if not name:
            raise wrong(path, line, "the name of a file", "none")
        rest.append((label, flare, name))
    if not rest:
        raise ValueError(f"{path} has no lines; expected {_N + 3} fields in each")
    table = pd.DataFrame(np.frombuffer(numbers).reshape(-1, _N), columns=list(COMPLEXITY_NAMES))
    table = table.astype({COMPLEXITY_NAMES[k]: np.int64 for k in sorted(whole)})
    labels, classes, names = zip(*rest, strict=True)
    return table.assign(
        label=pd.array([int(one) if one else pd.NA for one in labels], dtype="Int8"),
        flare_class=pd.array(classes, dtype="str"),
        name=pd.array(names, dtype="str"),
    )


def write_features(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    r"""Write a table of features, as `read_features` reads it.

    Parameters
    ----------
    table : DataFrame
        As `read_features` returns it. Rows whose label is missing get 31 fields, with NaN for the label.
    path : path-like

    Raises
    ------
    ValueError
        If a label is not 0 or 1, one has no flare class, a name is missing, or a column is.
    TypeError
        If features or labels are no numbers.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.features import COMPLEXITY_NAMES
    >>> from solartrack.flares import published
    >>> table = pd.DataFrame(np.full((1, 29), 0.5), columns=COMPLEXITY_NAMES)
    >>> table = table.assign(label=0, flare_class="0", name="a.fits")
    >>> published.write_features(table, "features.csv")
    >>> Path("features.csv").read_text().split(",")[-3:]
    ['0', '0', 'a.fits\n']
    """
    require(table, tuple(_COLUMNS), "the table")
    known, _ = as_labels(table["label"])
    columns: list[list[Any]] = []
    for feature in COMPLEXITY_NAMES:
        column = table[feature]
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            raise TypeError(f"the feature {feature!r} must be numbers, got {column.dtype}")
        columns.append((column.astype("float64") if column.isna().any() else column).tolist())
    for row, (label, flare, name) in enumerate(zip(known, table["flare_class"], table["name"], strict=True)):
        if label and not (isinstance(flare, str) and is_class(flare)):
            raise ValueError(f"each label needs a flare class such as M1.7, or 0; row {row} has {flare!r}")
        if not isinstance(name, str) or not name or name != name.strip():
            raise ValueError(f"each row needs the name of a file; row {row} has {name!r}")
    columns += [table[name].tolist() for name in _COLUMNS[_N:]]

    def rows() -> Iterator[list[Any]]:
        for row in zip(*columns, strict=True):
            *values, label, flare, name = row
            texts = ["NaN" if value != value else repr(value) for value in values]
            yield [*texts, "NaN", name] if pd.isna(label) else [*texts, int(label), flare, name]

    write_rows(path, rows())


def read_weights(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a weight file: the minimum and the range of each column of a table of features.

    Parameters
    ----------
    path : path-like
        No header; 32 lines ``minimum,range``.

    Returns
    -------
    DataFrame
        ``minimum`` and ``range``; the index has the names of the columns.

    Raises
    ------
    ValueError
        If the file has another form, or the range of a feature is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.features import COMPLEXITY_NAMES
    >>> from solartrack.flares import published
    >>> table = pd.DataFrame(np.arange(58.0).reshape(2, 29) + 0.5, columns=COMPLEXITY_NAMES)
    >>> table = table.assign(label=0, flare_class="0", name=["a.fits", "b.fits"])
    >>> published.write_weights(published.weights_of(table), "weights.csv")
    >>> published.read_weights("weights.csv").head(2)
                   minimum  range
    gradient_mean      0.5   29.0
    gradient_std       1.5   29.0
    """
    rows = number_lines(path, 2)
    if len(rows) != len(_COLUMNS):
        raise ValueError(f"{path}: expected {len(_COLUMNS)} lines 'minimum,range', got {len(rows)}")
    for line, (minimum, length) in list(rows.items())[:_N]:  # the others are of no numbers
        if not (np.isfinite(minimum) and 0 <= length < np.inf):
            raise wrong(path, line, "a finite minimum and a range of 0 or more", f"{minimum},{length}")
    return pd.DataFrame(list(rows.values()), index=_COLUMNS, columns=["minimum", "range"])


def write_weights(weights: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write weights as `read_weights` reads them.

    Parameters
    ----------
    weights : pandas.DataFrame
        ``minimum`` and ``range`` of each feature, as `weights_of` gives them.
    path : path
        It is replaced if it is there.

    Raises
    ------
    ValueError
        If a column is missing, or the rows are others.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.features import COMPLEXITY_NAMES
    >>> from solartrack.flares import published
    >>> table = pd.DataFrame(np.arange(58.0).reshape(2, 29) + 0.5, columns=COMPLEXITY_NAMES)
    >>> table = table.assign(label=0, flare_class="0", name=["a.fits", "b.fits"])
    >>> published.write_weights(published.weights_of(table), "weights.csv")
    >>> Path("weights.csv").read_text().splitlines()[:2]
    ['0.5,29.0', '1.5,29.0']
    """
    require(weights, ("minimum", "range"), "weights")
    if list(weights.index) != _COLUMNS:
        raise ValueError(f"weights must have the {len(_COLUMNS)} rows of weights_of, got {len(weights)}")
    rows = weights[["minimum", "range"]].astype(float).to_numpy().tolist()
    write_rows(path, (map(repr, row) for row in rows))


def weights_of(table: pd.DataFrame) -> pd.DataFrame:
    """Minimum and range of each column of a table of features; NaN is left out.

    The published script took all rows, those of the test regions included, which lets a model know of
    them; give the training rows alone. Columns that `scale` leaves alone have 0 and 0.

    Parameters
    ----------
    table : DataFrame
        As `read_features` returns it.

    Returns
    -------
    DataFrame
        As `read_weights` returns it.

    Raises
    ------
    ValueError
        If the table is empty or has infinite values.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.features import COMPLEXITY_NAMES
    >>> from solartrack.flares import published
    >>> table = pd.DataFrame(np.arange(58.0).reshape(2, 29) + 0.5, columns=COMPLEXITY_NAMES)
    >>> table = table.assign(label=0, flare_class="0", name=["a.fits", "b.fits"])
    >>> published.weights_of(table).iloc[0].tolist()
    [0.5, 29.0]
    """
    require(table, COMPLEXITY_NAMES, "the table")
    weights = pd.DataFrame(0.0, index=_COLUMNS, columns=["minimum", "range"])
    for name in COMPLEXITY_NAMES:
        if not len(table) or np.isinf(table[name]).any():
            raise ValueError(f"the table has no rows, or infinite values in {name!r}; there is no range")
        if not pd.api.types.is_integer_dtype(table[name]) and table[name].notna().any():
            weights.loc[name] = table[name].min(), table[name].max() - table[name].min()
    return weights


def scale(table: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    """Scale features as published: ``(value - minimum) / range``.

    Parameters
    ----------
    table : DataFrame
        As `read_features` returns it.
    weights : DataFrame
        As `read_weights` or `weights_of` returns it.

    Returns
    -------
    DataFrame
        With the features scaled. Columns of integers and those whose range is 0 stay as they are: as
        published, a feature may be scaled in one table and not in another.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.features import COMPLEXITY_NAMES
    >>> from solartrack.flares import published
    >>> table = pd.DataFrame(np.arange(58.0).reshape(2, 29) + 0.5, columns=COMPLEXITY_NAMES)
    >>> table = table.assign(label=0, flare_class="0", name=["a.fits", "b.fits"])
    >>> published.scale(table, published.weights_of(table)).iloc[:, 0].tolist()
    [0.0, 1.0]
    """
    require(table, COMPLEXITY_NAMES, "the table")
    require(weights, ("minimum", "range"), "weights")
    minimum, length = (weights[name].reindex(COMPLEXITY_NAMES) for name in ("minimum", "range"))
    if minimum.isna().any() or length.isna().any():
        raise ValueError("weights must have a row for each of the 29 features")
    return table.assign(
        **{
            name: (table[name] - minimum[name]) / length[name]
            for name in COMPLEXITY_NAMES
            if length[name] != 0 and not pd.api.types.is_integer_dtype(table[name])
        }
    )
