"""``solartrack flares regions``: Solar Region Summaries as a table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import add_messages, say
from solartrack.cli._options import OK, add_command, require_writable
from solartrack.cli._tables import SUFFIXES, write_table
from solartrack.cli.flares.events import days_in_words, days_told

_NOTES = """
examples:
  All summaries of nine years, and the list of regions that downloads are planned from:
    solartrack flares regions 201?_SRS.tar.gz -o regions.parquet --ar-list ARList.txt

A line that is not as it should be costs the value that is wrong, or itself; --troubles lists all of them.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "regions",
        help="Solar Region Summaries as a table",
        description="Read NOAA's Solar Region Summaries, a row for each region and day, and write them.",
        notes=_NOTES,
    )
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="SOURCE", help="summaries: files, folders, tar files"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a table: .csv or .parquet")
    parser.add_argument(
        "--ar-list",
        type=Path,
        metavar="FILE",
        help="write the list of regions with spots since May 2010 as it was published: "
        "number,YYYYMMDD,days seen",
    )
    parser.add_argument(
        "--troubles", type=Path, metavar="FILE", help="write the troubles as a table: .csv or .parquet"
    )
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, write, and say what there was."""
    from solartrack import flares

    for path in filter(None, (arguments.output, arguments.troubles)):
        require_writable(path, SUFFIXES)
    read = flares.read_srs(arguments.sources)
    if arguments.output is not None:
        write_table(read.regions, arguments.output)
    if arguments.ar_list is not None:
        flares.write_ar_list(flares.regions.ar_list(read), arguments.ar_list)
    if arguments.troubles is not None:
        write_table(read.troubles, arguments.troubles)
    told = {
        "regions": int(read.regions["region"].nunique()),
        "rows": len(read.regions),
        **days_told(read.days),
        "troubles": len(read.troubles),
    }
    words = f"{told['regions']} regions in {told['rows']} rows"
    say(arguments, told, f"{words}; {days_in_words(told)}; {told['troubles']} troubles")
    return OK
