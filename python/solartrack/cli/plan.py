"""``solartrack plan``: what would be downloaded."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._downloads import add_kinds, described, in_words, planned
from solartrack.cli._messages import add_messages, say
from solartrack.cli._options import OK, add_command, require_writable
from solartrack.cli._tables import write_table

_NOTES = """
examples:
  Images for the coronal holes of a table, as a plan to look at:
    solartrack plan images holes.csv -o plan.parquet
  Magnetograms around two regions, from the summaries of a year:
    solartrack plan magnetograms 12109 12192 --srs 2014_SRS.tar.gz -o plan.csv
  Then: solartrack fetch plan plan.parquet -o store/
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "plan",
        help="say what would be downloaded: files, bytes, waiting",
        description="Say what would be downloaded, and write it as a plan. Nothing is asked but, of images, "
        "which are closest.",
        notes=_NOTES,
    )
    add_kinds(parser, _further)
    parser.set_defaults(run=run)


def _further(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the plan: .csv or .parquet")
    add_messages(parser)


def run(arguments: argparse.Namespace) -> int:
    """Plan, and say how much it is."""
    if arguments.output is not None:
        require_writable(arguments.output, (".csv", ".parquet"))
    plan = planned(arguments)
    if arguments.output is not None:
        write_table(plan, arguments.output)
    told = described(plan, arguments.what)
    say(arguments, told, in_words(told, arguments.what))
    return OK
