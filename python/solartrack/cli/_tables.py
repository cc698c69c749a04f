"""Tables that commands read and write: CSV and Parquet, by the suffix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

#: What tables can be written as.
SUFFIXES = (".csv", ".parquet")


def is_table(path: Path) -> bool:
    """Whether `read_table` takes a path, by its name; folders of Parquet files are tables, too."""
    return path.name.lower().endswith((*SUFFIXES, ".csv.gz")) or any(path.glob("*.parquet"))


def read_table(path: Path, *, numbers: bool = False) -> pd.DataFrame:
    """A table of a file. All of a CSV is text, as 001 and 1 are two events, unless it is `numbers`."""
    import pandas as pd

    from solartrack._tables import read_csv

    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not is_table(path):
        raise ValueError(f"cannot read {path}: the suffix must be .csv or .parquet")
    try:
        if path.name.lower().endswith((".csv", ".csv.gz")):
            return read_csv(path, numbers=numbers)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow and pandas raise many kinds
        raise ValueError(f"{path} is not a readable table: {error}") from error


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table, by its suffix."""
    from solartrack._files import replacing

    with replacing(path) as partial:
        if path.suffix.lower() == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            table.to_csv(partial, index=False)
