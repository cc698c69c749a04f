"""``solartrack flares label``: whether regions flare within the next hours."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import LOG, add_messages, say
from solartrack.cli._options import IMAGES, INCOMPLETE, OK, add_command, require_writable
from solartrack.cli._tables import SUFFIXES, write_table
from solartrack.cli.flares._sources import add_events_option, events_of, samples_of

_NOTES = """
examples:
  Patches that flare within 24 hours, of class C1.0 or above:
    solartrack flares label 'patches/**' --events 2014_events.tar.gz -o labels.csv
  A larger class, a longer window, and the file of labels that 'solartrack features --labels' takes:
    solartrack flares label names.txt --events events.csv --threshold M1.0 --window 48h -o labels.csv \\
        --label-file labels_published.csv

columns that are added:
  label              1 with a flare, 0 without, empty where it is unknown: the window leaves the days that
                     were reported on, or the sample has no region or time
  largest_class      class of the largest flare in the window, with hours_to_largest and n_flares
  hours_since_flare  since the last flare before the sample
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "label",
        help="whether regions flare within the next hours",
        description="Label samples with the flares of their regions that peak in the window after them.",
        notes=_NOTES,
    )
    parser.add_argument(
        "patches",
        nargs="+",
        metavar="PATCHES",
        help=f"patches with published names: {IMAGES}; or a list of their names (.txt), or a table (.csv, "
        ".parquet) with the columns region and time, or file",
    )
    add_events_option(parser, "flares", required=True)
    parser.add_argument(
        "--threshold",
        default="C1.0",
        metavar="CLASS",
        help="smallest class that counts (default: %(default)s)",
    )
    parser.add_argument(
        "--window", default="24h", metavar="TIME", help="length of the window (default: %(default)s)"
    )
    parser.add_argument(
        "--convention",
        choices=("default", "published"),
        default="default",
        help="published: as the published scripts did, see solartrack.flares.label (default: %(default)s)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="table: .csv or .parquet"
    )
    parser.add_argument(
        "--label-file",
        type=Path,
        metavar="FILE",
        help="also write the labels as they were published: file name,class or 0; all must be known",
    )
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Label, write, and count."""
    from solartrack import flares

    require_writable(arguments.output, SUFFIXES)
    samples = samples_of(arguments.patches)
    labels = flares.label(
        samples,
        events_of(arguments.events, convention=arguments.convention),
        threshold=arguments.threshold,
        window=arguments.window,
        convention=arguments.convention,
    )
    write_table(labels, arguments.output)
    if arguments.label_file is not None:
        flares.published.write_labels(labels, arguments.label_file)
    strange = samples[samples["trouble"] != ""] if "trouble" in samples else samples[:0]
    if len(strange):
        name = strange["file"].iloc[0]
        LOG.warning(f"{len(strange)} patches have no label, such as {name}: {strange['trouble'].iloc[0]}")
    flaring = labels["label"]
    told = {
        "samples": len(labels),
        "positive": int((flaring == 1).sum()),
        "negative": int((flaring == 0).sum()),
        "unknown": int(flaring.isna().sum()),
    }
    counts = ", ".join(f"{told[name]} {name}" for name in ("positive", "negative", "unknown"))
    say(
        arguments,
        told,
        f"{told['samples']} samples, {arguments.threshold} within {arguments.window}: {counts}",
    )
    return INCOMPLETE if len(strange) else OK
