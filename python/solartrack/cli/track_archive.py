"""``solartrack track-archive``: follow all events of a table through an archive of images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import LOG, add_messages, say, shows_progress
from solartrack.cli._options import (
    IMAGES,
    INCOMPLETE,
    INTERRUPTED,
    OK,
    add_command,
    add_disk,
    add_tracker,
    add_workers,
    geometry_of,
    images_of,
    tracker_of,
)
from solartrack.cli._parser import add_config

_NOTES = """
examples:
  Every event of a table, through folders of Helioviewer JP2, on all cores:
    solartrack track-archive events.csv --images 'aia171/2014/**' -o tracks-2014
  The same command again continues where it was stopped. On a Dask cluster:
    solartrack track-archive events.csv --images /data/aia171 --scheduler tcp://head:8786 -o tracks-2014

The table (CSV or Parquet) has the columns event (a name), time (UTC) and the box in the
image nearest to that time: x0,y0,x1,y1 in pixels or tx0,ty0,tx1,ty1 in arcsec;
optionally end (UTC) or duration (such as 36h).
The folder gets tracks/ (Parquet), errors.parquet (event, file, reason), manifest.json.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "track-archive",
        help="follow all events of a table through an archive of images",
        description="Follow all events of a table through an archive of images, or resume an earlier run.",
        notes=_NOTES,
    )
    parser.add_argument("catalogue", type=Path, metavar="CATALOGUE", help="table of events: .csv or .parquet")
    parser.add_argument(
        "--images",
        nargs="+",
        required=True,
        metavar="IMAGES",
        help=f"{IMAGES}; of one channel, with times in their headers or names",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder of the run; it is made"
    )
    add_tracker(parser)
    parser.add_argument(
        "--duration", default="14d", metavar="TIME", help="how long to follow an event (default: %(default)s)"
    )
    parser.add_argument(
        "--tolerance",
        default="6h",
        metavar="TIME",
        help="how far the nearest image may be from an event's time (default: %(default)s)",
    )
    parser.add_argument(
        "--both-ways", action="store_true", help="also follow events backwards, for the same length of time"
    )
    add_disk(parser)
    add_workers(parser)
    add_config(parser)
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Track the events and say what became of them."""
    from solartrack import archive

    files = images_of(arguments)[:1] if arguments.disk else []
    try:
        manifest = archive.track_archive(
            arguments.catalogue,
            arguments.images,
            arguments.output,
            tracker=tracker_of(arguments),
            duration=arguments.duration,
            tolerance=arguments.tolerance,
            both_ways=arguments.both_ways,
            geometry=geometry_of(arguments, files),
            workers=arguments.workers,
            scheduler=arguments.scheduler,
            progress=shows_progress(arguments),
        )
    except KeyboardInterrupt:
        LOG.warning("interrupted; the same command goes on from here")
        return INTERRUPTED
    counts = manifest["counts"]
    words = "{events} events: {tracked} tracked, {failed} not; {rows} rows in ".format(**counts)
    say(arguments, counts | {"output": arguments.output}, f"{words}{arguments.output / 'tracks'}")
    if counts["errors"]:
        where = arguments.output / "errors.parquet"
        LOG.warning(f"{counts['errors']} errors, see {where}")
        return INCOMPLETE
    return OK
