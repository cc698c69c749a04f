"""Samples with SHARP and SMARP keywords, as Sun et al. published them, and a model trained on them.

``python -m solartrack.flares.keywords sharp_*.csv.gz --threshold C1.0 --output sharp-c.skops`` trains a
model; ``SvmModel.load("sharp-c.skops").forecast(read_keywords("other.csv.gz"))`` has its forecasts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from solartrack._tables import as_times, read_csv
from solartrack.features._sharp import SHARP_COLUMNS
from solartrack.flares.classes import as_threshold, peak_flux
from solartrack.flares.svm import SvmModel, train
from solartrack.sources.jsoc import read_keywords as read_rs_list
from solartrack.sources.jsoc import tai_to_utc

__all__ = ["jsoc_table", "read_keywords", "train_keywords"]

_FEATURES = ("AREA", "USFLUX", "MEANGBZ", "R_VALUE", "FLARE_INDEX")
_COLUMNS = ("arpnum", "t_end", "flares", *_FEATURES)


def read_keywords(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, threshold: str | float = "C1.0"
) -> pd.DataFrame:
    r"""Read tables of keywords with the flares that followed.

    Parameters
    ----------
    paths : path or iterable of path
        CSV, plain or gzip, with the columns ``arpnum`` (HARP or TARP number), ``t_end`` (TAI, the time of the
        forecast), ``flares`` (classes of all flares in the 24 hours after it, joined by "|"), ``AREA``,
        ``USFLUX``, ``MEANGBZ``, ``R_VALUE`` and ``FLARE_INDEX`` (sum over the 24 hours before); others are
        left out.
    threshold : str or float
        A flare class, or a peak flux in W/m2.

    Returns
    -------
    DataFrame
        ``region`` (the HARP or TARP number), ``time`` (UTC), ``label`` (1 if one of the flares has at least
        the class `threshold`, else 0), ``largest_class`` ("" without a flare), ``file``, and the features.

    Raises
    ------
    ValueError
        If a column is missing, a number, a time or a class is none; the message names the file.

    Notes
    -----
    Of the published tables, rows after a flare of class M without another in the next 24 hours have been left
    out, the hardest to forecast: scores for M are flattered.

    References
    ----------
    Sun et al. 2022, ApJ 931, 163.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack.flares import keywords
    >>> _ = Path("harps.csv").write_text(
    ...     "arpnum,t_end,flares,AREA,USFLUX,MEANGBZ,R_VALUE,FLARE_INDEX\n"
    ...     "3563,2014-01-07 12:00:35,C1.3|M1.0,2059.6,3.4e22,95.0,4.8,2.5\n"
    ... )
    >>> keywords.read_keywords("harps.csv")[["region", "time", "label", "largest_class"]]
       region                time  label largest_class
    0    3563 2014-01-07 12:00:00      1          M1.0
    """
    limit = as_threshold(threshold)
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not several:
        raise ValueError("paths is empty; give at least one table")
    tables = []
    for path in several:
        try:
            tables.append(_read(path, limit))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error
    return pd.concat(tables, ignore_index=True)


def _read(path: str | os.PathLike[str], limit: float) -> pd.DataFrame:
    table = read_csv(path, numbers=True)
    if missing := [name for name in _COLUMNS if name not in table]:
        raise ValueError(f"expected the column {missing[0]!r}, got {', '.join(table.columns)[:200]}")
    for name in ("arpnum", *_FEATURES):
        kind = table[name].dtype
        wanted = pd.api.types.is_integer_dtype if name == "arpnum" else pd.api.types.is_numeric_dtype
        if len(table) and not wanted(kind):
            raise ValueError(
                f"the column {name!r} must hold {'whole ' if name == 'arpnum' else ''}numbers, got for "
                f"example {table[name].iloc[0]!r}"
            )
    # A column of empty fields is read as numbers.
    flares = table["flares"].astype(object).where(table["flares"].notna(), "")
    different = flares.unique()
    largest = pd.DataFrame([_largest(text) for text in different], index=different, columns=["class", "flux"])
    of_rows = largest.reindex(flares)
    return pd.DataFrame(
        {
            "region": table["arpnum"].astype(np.int64),
            "time": tai_to_utc(as_times(table["t_end"])),
            "label": (of_rows["flux"].to_numpy(dtype=np.float64) >= limit).astype(np.int8),
            "largest_class": of_rows["class"].to_numpy(dtype=object),
            "file": os.path.basename(os.fspath(path)),
            **{name: table[name].astype(np.float64) for name in _FEATURES},
        }
    )


def _largest(text: Any) -> tuple[str, float]:
    """The largest of some classes that are joined by "|", and its peak flux; "" and 0 without one."""
    classes = [one for one in str(text).split("|") if one]
    return max(((one, peak_flux(one)) for one in classes), key=lambda pair: pair[1], default=("", 0.0))


def jsoc_table(table: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    """A table of JSOC's keywords, with the columns that `solartrack.features.extract` gives to SHARPs.

    Parameters
    ----------
    table : path or DataFrame
        A CSV file, or a table such as `solartrack.sources.jsoc.keywords`, ``jsoc.read_keywords`` and drms
        return: a row for each record, keywords by JSOC's names. Times are a column ``time`` (UTC) or
        ``T_REC`` (as JSOC writes it). Other columns are left out.

    Returns
    -------
    DataFrame
        ``region`` (the first NOAA number, NA where there is none), ``harpnum`` (or TARP number), ``time``
        (UTC), and, as float64, ``AREA``, the keywords of `solartrack.features.SHARP_UNITS` and the errors of
        `solartrack.features.SHARP_ERRORS`. What the table does not have is NaN.

    Raises
    ------
    ValueError
        If there is no time, no keyword at all, or a value is no number.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack.flares import keywords
    >>> row = {"T_REC": "2011.02.15_02:00:00_TAI", "HARPNUM": 377, "NOAA_AR": 11158}
    >>> row |= {"USFLUX": 2.6e22}
    >>> keywords.jsoc_table(pd.DataFrame([row]))[["region", "harpnum", "time", "USFLUX"]]
       region  harpnum                time        USFLUX
    0   11158      377 2011-02-15 01:59:26  2.600000e+22
    """
    given = table if isinstance(table, pd.DataFrame) else read_csv(table, numbers=False)
    if not set(SHARP_COLUMNS) & set(given.columns):
        raise ValueError(
            f"the table must have keywords such as USFLUX, got {', '.join(map(str, given.columns))[:200]}"
        )
    if "time" in given:
        time = as_times(given["time"])
    elif "T_REC" in given:
        listed = {
            "status": 0,
            "count": len(given),
            "keywords": [{"name": "T_REC", "values": [*given["T_REC"]]}],
        }
        time = read_rs_list(listed)["time"].to_numpy()
    else:
        raise ValueError("the table must have the times of its records: a column time (UTC) or T_REC")
    number = "HARPNUM" if "HARPNUM" in given else "TARPNUM"
    whole = {"region": _numbers(given, "NOAA_AR"), "harpnum": _numbers(given, number)}
    return pd.DataFrame(
        {
            **{name: values.where(values > 0).astype("Int64") for name, values in whole.items()},
            "time": time,
            **{name: _numbers(given, name) for name in ("AREA", *SHARP_COLUMNS)},
        }
    )


def _numbers(table: pd.DataFrame, name: str) -> pd.Series:
    """A column as float64; NaN where JSOC says that there is no value, or the column is not there."""
    if name not in table:
        return pd.Series(np.nan, index=range(len(table)))
    column = table[name].reset_index(drop=True)
    if not pd.api.types.is_numeric_dtype(column):
        text = column.astype("str").str.strip()
        column = text.mask(text.str.upper().isin(["MISSING", "NAN", "-NAN", ""]))
    try:
        return pd.to_numeric(column).astype("float64")
    except (TypeError, ValueError) as error:
        raise ValueError(f"the column {name!r} must hold numbers: {error}") from error


def train_keywords(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    threshold: str | float = "C1.0",
    **settings: Any,
) -> SvmModel:
    """Train a support vector machine on tables of keywords and the flare index.

    Parameters
    ----------
    paths, threshold
        As for `read_keywords`.
    **settings
        As for `solartrack.flares.svm.train`.

    Returns
    -------
    SvmModel
        Of the set "sharp+flare_index": it takes tables with these columns, such as the CSV files themselves.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack.flares import keywords
    >>> rng = np.random.default_rng(1)
    >>> flaring = rng.integers(0, 2, 60).astype(bool)
    >>> table = pd.DataFrame({"arpnum": np.arange(60) // 3, "t_end": "2014-01-01 00:00:00"})
    >>> table["flares"] = np.where(flaring, "C1.3|M1.0", "B9.9")
    >>> table["USFLUX"] = 10 ** rng.normal(np.where(flaring, 22.5, 21.5), 0.3)
    >>> table[["AREA", "MEANGBZ", "R_VALUE", "FLARE_INDEX"]] = rng.normal(10, 1, (60, 4))
    >>> table.to_csv("harps.csv", index=False)
    >>> keywords.train_keywords("harps.csv", transform="none").feature_set
    'sharp+flare_index'
    """
    table = read_keywords(paths, threshold=threshold)
    return train(table, table["label"], table["region"], **{"feature_set": "sharp+flare_index", **settings})


def main(arguments: Sequence[str] | None = None) -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m solartrack.flares.keywords", description=train_keywords.__doc__
    )
    parser.add_argument("tables", nargs="+", help="CSV files of keywords")
    parser.add_argument("--threshold", default="C1.0", help="flare class (default: C1.0)")
    parser.add_argument("--output", required=True, help="file of the model, .skops")
    given = parser.parse_args(arguments)
    model = train_keywords(given.tables, threshold=given.threshold)
    model.save(given.output)
    print(model)


if __name__ == "__main__":
    main()
