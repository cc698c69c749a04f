"""``solartrack features``: measure the complexity, or the SHARP keywords, of an archive of patches."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from solartrack.cli._messages import LOG, add_messages, say, shows_progress
from solartrack.cli._options import (
    INCOMPLETE,
    OK,
    add_command,
    add_images,
    add_units_row,
    add_workers,
    archive_in_words,
    archive_told,
)
from solartrack.cli._parser import add_config

_NOTES = """
examples:
  All patches of a folder, with labels (file name, class label, flare class):
    solartrack features archive/ --labels labels.csv -o features
  Those in its subfolders, too:
    solartrack features 'archive/**' --labels labels.csv -o features
  Features in physical units, and a row with the units below the header of the CSV file:
    solartrack features archive/ --set physical --units-row -o physical
  The SHARP keywords of patches, from their segments (files like hmi.sharp_cea_720s.377.DATE_TAI.Br.fits):
    solartrack features 'sharps/**' --set sharp -o keywords
  The same command again, after an interruption, keeps what is complete. On a Dask cluster:
    solartrack features /data/patches --scheduler tcp://head:8786 -o features

results in the output folder:
  features/     Parquet, one table in parts, a row for each good file, with region and time
  features.csv  published layout: 29 values, class label, flare class, file name; with another
                --set the table with a header
  errors.csv    the files without a row, and why
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "features",
        help="measure the magnetic complexity, or the SHARP keywords, of the patches of an archive",
        description="Write a table of the 29 published complexity features, of physical features, or of the "
        "SHARP keywords, of all magnetogram patches.",
        notes=_NOTES,
    )
    add_images(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("features"),
        metavar="FOLDER",
        help="folder for the results; it is made (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        choices=("complexity", "physical", "sharp"),
        default="complexity",
        help="the 29 complexity features of each file, the 27 physical ones of each FITS file, or the SHARP "
        "keywords of each patch and time (default: %(default)s)",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="CSV: file name, class label, flare class"
    )
    parser.add_argument(
        "--zero",
        type=float,
        metavar="VALUE",
        help="pixel value of zero field (default: 128 for 8-bit pictures, 0 for FITS)",
    )
    parser.add_argument(
        "--nan",
        choices=("raise", "zero"),
        default="raise",
        help="patches with NaN: an error row, or NaN taken as 0 (default: %(default)s)",
    )
    add_units_row(parser)
    add_workers(parser)
    add_config(parser)
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Extract the features and say what failed."""
    from solartrack import features

    cluster = {} if arguments.scheduler is None else {"scheduler": arguments.scheduler}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        made = features.extract(
            arguments.images,
            arguments.output,
            feature_set=arguments.set,
            labels=arguments.labels,
            zero=arguments.zero,
            nan_policy=arguments.nan,
            units_row=arguments.units_row,
            workers=arguments.workers,
            progress=shows_progress(arguments),
            **cluster,
        )
    for warning in caught:
        LOG.warning(f"{warning.message}")
    if made.failed:
        what = "patches" if arguments.set == "sharp" else "files"
        LOG.warning(f"{made.failed} {what} have no features; see {made.errors}")
    say(arguments, archive_told(made), archive_in_words(made))
    return INCOMPLETE if made.failed else OK
