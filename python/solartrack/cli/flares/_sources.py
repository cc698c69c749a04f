"""What several of the commands read: reports of flares, and samples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.cli._messages import LOG
from solartrack.cli._tables import is_table, read_table

if TYPE_CHECKING:
    import pandas as pd

    from solartrack.flares import Events

#: What names reports of flares on the command line.
EVENT_SOURCES = (
    "event reports (files, folders, tar files), or one list: a table (.csv, .parquet), or a list as it was "
    "published (.txt)"
)


def add_events_option(parser: argparse.ArgumentParser, use: str, *, required: bool = False) -> None:
    """Reports of flares as an option."""
    parser.add_argument(
        "--events",
        nargs="+",
        required=required,
        type=Path,
        metavar="SOURCE",
        help=f"{use}: {EVENT_SOURCES}",
    )


def events_of(sources: Sequence[Path], **options: Any) -> Events:
    """Flares of reports or of a list; `options` as for `solartrack.flares.read_events`."""
    from solartrack import flares

    if len(sources) == 1 and is_table(sources[0]):
        options.pop("convention", None)
        table = read_table(sources[0]) if sources[0].suffix.lower() == ".parquet" else sources[0]
        return flares.read_flare_list(table, **options)
    if len(sources) == 1 and sources[0].suffix.lower() == ".txt":
        scale = {name: value for name, value in options.items() if name == "class_scale"}
        try:
            return flares.read_event_list(sources[0], **scale)
        except ValueError:  # no line is that of a list
            pass
    return flares.read_events(list(sources), **options)


def samples_of(given: Sequence[str]) -> pd.DataFrame:
    """Samples: those of a table, or one for each patch that files, a list or a table name."""
    from solartrack import images
    from solartrack.flares import parse_names

    first = Path(given[0])
    if len(given) == 1 and is_table(first):
        return with_samples(read_table(first), str(first))
    if len(given) == 1 and first.suffix.lower() == ".txt":
        try:
            names = [line for line in first.read_text("utf-8-sig").splitlines() if line.strip()]
        except UnicodeDecodeError as error:
            raise ValueError(f"{first} is not in UTF-8 ({error.reason}); save it as text in UTF-8") from error
        if not names:
            raise ValueError(f"{first} has no names of patches: all its lines are empty")
        return parse_names(names)
    files = images.find_images(given)
    if not files:
        raise FileNotFoundError(images.none_found(given))
    return parse_names(files)


def with_samples(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table with ``region`` and ``time``: its own, or those in the names of its patches."""
    from solartrack.flares import parse_names

    if {"region", "time"} <= set(table):
        if "file" in table and "name" not in table:
            table = table.assign(name=table["file"].str.replace(r"^.*[/\\]", "", regex=True))
            unknown = table["region"].isna() | table["time"].isna()
            if unknown.any():
                why = "neither its name nor its header tells region and time"
                table = table.assign(trouble=unknown.map({True: why, False: ""}))
        return table
    for column in ("file", "name", "filename"):
        if column in table:
            named = parse_names(table[column])
            return table.assign(**{one: named[one].array for one in ("name", "region", "time", "trouble")})
    raise ValueError(
        f"{name} must have the columns region and time, or file with the names of patches; it has "
        f"{', '.join(map(str, table.columns))[:200]}"
    )


def groups_of(table: pd.DataFrame, column: str) -> pd.Series:
    """What is kept together: NA where there is nothing; regions with all their digits, if they have times."""
    import numpy as np
    import pandas as pd

    from solartrack.flares._columns import region_numbers, utc

    group = table[column].reset_index(drop=True)
    named = pd.to_numeric(group, errors="coerce").isna() & group.notna() & (group.astype(str) != "")
    if column == "region" and "time" in table and not named.any():
        times = utc(table["time"], "the table")
        numbers = pd.Series(region_numbers(group, times, "the table"), dtype="Int64")
        return numbers.mask((numbers <= 0) | np.isnat(times))
    return group.mask(group.astype(str).str.strip() == "")


def features_of(paths: Sequence[Path]) -> pd.DataFrame:
    """Rows of tables of features, one after the other: ours, or as published (CSV without a header)."""
    import pandas as pd

    from solartrack.flares._feature_table import has_no_header, read_features

    def read(path: Path) -> pd.DataFrame:
        if path.suffix.lower() == ".csv" and path.is_file() and has_no_header(path):
            return read_features(path)
        return read_table(path, numbers=True)

    tables = [read(path) for path in paths]
    return pd.concat(tables, ignore_index=True)


def joined(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A table with the columns that another has for its samples."""
    table = with_samples(table, "the table of features")
    other = with_samples(read_table(path, numbers=True), str(path))
    added = [name for name in other if name not in table or name in ("label", "part")]
    found = taken(table, other, added, path)
    return table.reset_index(drop=True).assign(**found)


def taken(table: pd.DataFrame, other: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    """Columns that another table has for the samples of a table, by their names, else by region and time.

    They are in the order of the table, with nothing for what the other, of the file `path`, does not have.
    """
    import numpy as np
    import pandas as pd

    from solartrack._tables import as_times

    def said(key: pd.MultiIndex) -> str:
        return (
            ", ".join(f"{name} {value}" for name, value in zip(by, key[0], strict=True))
            if len(key)
            else "none"
        )

    by = ["name"] if "name" in table and "name" in other else ["region", "time"]
    keys = []
    for one in (table, other):
        key = one[by].copy()
        if "time" in key:
            key = pd.DataFrame({"region": pd.to_numeric(key["region"]), "time": as_times(key["time"])})
        keys.append(pd.MultiIndex.from_frame(key))
    if keys[1].has_duplicates:
        raise ValueError(f"{path} has a sample more than once: {said(keys[1][keys[1].duplicated()])}")
    row = keys[1].get_indexer(keys[0])
    if len(table) and (row < 0).all():
        raise ValueError(f"{path} has none of the samples: it has {said(keys[1])}, wanted {said(keys[0])}")
    found = other[list(columns)].iloc[np.maximum(row, 0)].reset_index(drop=True)
    return found.where(pd.Series(row >= 0), axis=0)


def complete_rows(table: pd.DataFrame, names: Sequence[str]) -> pd.Series:
    """Rows in which all features are defined; says how many are not. The library refuses all else."""
    import numpy as np
    import pandas as pd

    if not set(names) <= set(table) or any(table[name].dtype.kind not in "iuf" for name in names):
        return pd.Series(True, index=table.index)
    complete = pd.Series(np.isfinite(table[list(names)].to_numpy(np.float64)).all(axis=1), index=table.index)
    if not complete.all():
        first = table[~complete].iloc[0]
        which = next(name for name in names if not np.isfinite(first[name]))
        LOG.warning(
            f"{(~complete).sum()} rows with undefined features are passed over; the first is "
            f"{first.get('file', first.name)}, its {which}"
        )
    return complete
