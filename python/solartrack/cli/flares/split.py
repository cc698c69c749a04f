"""``solartrack flares split``: which regions train a model, validate it and test it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import add_messages, say
from solartrack.cli._options import OK, add_command, require_writable
from solartrack.cli._tables import SUFFIXES, read_table, write_table
from solartrack.cli.flares._sources import groups_of, with_samples

_NOTES = """
examples:
  A tenth of the regions for validation and for test, with the same share of flaring regions in each:
    solartrack flares split labels.csv --by random --stratify -o samples.csv
  By time, which flatters forecasts less; labels of one part know nothing of the next:
    solartrack flares split labels.csv --by time --validation 2015-01-01 --test 2016-01-01 --gap 24h \\
        -o samples.csv
  The published lists of regions:
    solartrack flares split labels.csv --by lists --lists arflares/ -o samples.csv

The table gets a column part: train, validation, test, or empty for none. All samples of a region are in one;
1936 and 11936 are one region. Samples without a region or a time are in none.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "split",
        help="which regions train, validate and test",
        description="Split samples into training, validation and test, by region.",
        notes=_NOTES,
    )
    parser.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        help="samples, .csv or .parquet, with the columns region and time, or file (names of patches)",
    )
    parser.add_argument("--by", choices=("random", "time", "lists"), required=True, help="how")
    parser.add_argument(
        "--lists", type=Path, metavar="FOLDER", help="the published lists, List_of_AR_in_..._by_AR.csv"
    )
    for part in ("validation", "test"):
        parser.add_argument(
            f"--{part}",
            default=0.1,
            type=_share_or_time,
            metavar="SHARE|TIME",
            help=f"share of the regions for {part}, or, by time, when it begins (default: %(default)s)",
        )
    parser.add_argument(
        "--gap", metavar="TIME", help="with --by time: leave out samples up to this before a border"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="with --by random (default: %(default)s)"
    )
    parser.add_argument(
        "--stratify", action="store_true", help="with --by random: split regions with a label 1 by themselves"
    )
    parser.add_argument(
        "--group",
        default="region",
        metavar="COLUMN",
        help="what is kept together (default: %(default)s); not with --by lists",
    )
    parser.add_argument(
        "--convention",
        choices=("default", "published"),
        default="default",
        help="published: the first regions are for test, the next for validation; of lists, what is in none "
        "is for training (default: %(default)s)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="table: .csv or .parquet"
    )
    add_messages(parser)
    parser.set_defaults(run=run)


def _share_or_time(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def run(arguments: argparse.Namespace) -> int:
    """Split, write, and count."""
    import pandas as pd

    from solartrack.flares import published, splits

    require_writable(arguments.output, SUFFIXES)
    table = with_samples(read_table(arguments.table), str(arguments.table))
    for column, wanted in ((arguments.group, True), ("label", arguments.stratify), ("part", False)):
        if (column in table) != wanted and (wanted or column == "part"):
            lacks = "lacks the column" if wanted else "has already a column"
            raise ValueError(f"{arguments.table} {lacks} {column!r}")
    table = table.reset_index(drop=True)
    label = None
    if "label" in table:
        try:
            label = pd.to_numeric(table["label"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{arguments.table}: label must be 1, 0 or empty: {error}") from error
    of_all = groups_of(table, "region" if arguments.by == "lists" else arguments.group)
    group = of_all.dropna()
    group = group.astype("int64") if group.dtype == "Int64" else group
    if arguments.by == "random":
        part = splits.random_split(
            group,
            seed=arguments.seed,
            validation=arguments.validation,
            test=arguments.test,
            flaring=label[group.index] == 1 if label is not None and arguments.stratify else None,
            convention=arguments.convention,
        )
    elif arguments.by == "time":
        part = splits.chronological_split(
            group,
            table["time"][group.index],
            validation=arguments.validation,
            test=arguments.test,
            gap=arguments.gap,
        )
    else:
        if arguments.lists is None:
            raise ValueError("--by lists needs --lists FOLDER, the folder of the published lists")
        part = splits.listed_split(
            group,
            published.read_split(arguments.lists),
            convention=arguments.convention,
        )
    part = part.reindex(of_all.index, fill_value="")
    counts = splits.count_parts(part, of_all, label)
    write_table(table.assign(part=part), arguments.output)
    say(arguments, counts.to_dict("index"), counts.rename(index={"": "none"}).to_string())
    return OK
