"""``solartrack flares predict``: forecasts of a trained model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from solartrack.cli._options import (
    IMAGES,
    INCOMPLETE,
    OK,
    add_command,
    add_quiet,
    add_workers,
    require_writable,
)
from solartrack.cli._tables import SUFFIXES, is_table, write_table
from solartrack.cli.flares._sources import complete_rows, features_of, joined
from solartrack.cli.flares.train import add_labels

_NOTES = """
examples:
  From features; with labels, the table is ready for 'solartrack flares score':
    solartrack flares predict model.skops features/features --labels samples.csv -o forecasts.csv
  Straight from some patches:
    solartrack flares predict model.skops patches/ -o forecasts.csv
  From a large archive, on all cores or a Dask cluster; after an interruption it goes on:
    solartrack flares predict model.skops 'archive/**' -o forecasts/

The columns are those of the features' table (of patches: file, region and time), then probability, and
flare: whether it reaches the model's threshold; both are empty where a feature is undefined.

results in a folder, for an archive:
  forecasts/     Parquet, one table in parts, a row for each good file
  forecasts.csv  the same
  errors.csv     the files without a row, and why
  features/      the features, as 'solartrack features' makes them
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "predict",
        help="forecasts of a trained model",
        description="Forecast flares with a support vector machine, from features or from patches.",
        notes=_NOTES,
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="file of 'solartrack flares train', .skops")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FEATURES|PATCHES",
        help=f"tables of features, as for 'solartrack flares train'; or patches: {IMAGES}",
    )
    add_labels(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE|FOLDER",
        help="table: .csv or .parquet; of patches also a folder, for an archive",
    )
    add_workers(parser)
    add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Forecast, write, and say what failed."""
    paths = [Path(one) for one in arguments.inputs]
    if not all(map(is_table, paths)):
        return _of_archive(arguments) if not arguments.output.suffix else _of_patches(arguments)

    from solartrack.flares.svm import SvmModel

    require_writable(arguments.output, SUFFIXES)
    model = SvmModel.load(arguments.model)
    table = features_of(paths)
    if arguments.labels is not None:
        table = joined(table, arguments.labels)
    complete = complete_rows(table, model.feature_names)
    found = model.forecast(table[complete])[["probability", "flare"]].astype({"flare": "boolean"})
    write_table(table.drop(columns=list(model.feature_names)).join(found), arguments.output)
    _say(arguments, len(found), int(found["flare"].sum()))
    return OK if complete.all() else INCOMPLETE


def _of_patches(arguments: argparse.Namespace) -> int:
    from solartrack import images
    from solartrack.flares import parse_names
    from solartrack.flares.svm import SvmModel

    require_writable(arguments.output, SUFFIXES)
    model = SvmModel.load(arguments.model)
    files = images.find_images(arguments.inputs)
    if not files:
        raise FileNotFoundError(images.none_found(arguments.inputs))
    made = model.forecast_patches(files)
    forecasts = parse_names(files)[["file", "name", "region", "time"]].join(made.drop(columns="patch"))
    failed = forecasts["trouble"] != ""
    if arguments.labels is not None:
        forecasts = joined(forecasts, arguments.labels)
    write_table(forecasts, arguments.output)
    for row in forecasts[failed].itertuples():
        print(f"solartrack: {row.file}: {row.trouble.removeprefix(f'{row.file}: ')}", file=sys.stderr)
    _say(arguments, int((~failed).sum()), int(forecasts["flare"].sum()))
    return INCOMPLETE if failed.any() else OK


def _of_archive(arguments: argparse.Namespace) -> int:
    from solartrack.archive import forecast_archive

    if arguments.labels is not None:
        raise ValueError(
            "--labels needs a file as output; label the table of the archive's forecasts afterwards"
        )
    made = forecast_archive(
        arguments.inputs,
        arguments.model,
        arguments.output,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        progress=not arguments.quiet,
    )
    if made.failed:
        print(f"solartrack: {made.failed} files have no forecast; see {made.errors}", file=sys.stderr)
    if not arguments.quiet:
        print(f"{made.rows} rows in {made.table} and {made.csv}; {made.reused} files were done before")
    return INCOMPLETE if made.failed else OK


def _say(arguments: argparse.Namespace, count: int, flares: int) -> None:
    if not arguments.quiet:
        print(f"{count} forecasts, a flare in {flares} of them; wrote {arguments.output}")
