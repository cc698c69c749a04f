"""``solartrack prepare``: make a tracking data set of images and true boxes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import LOG, add_messages, say, shows_progress
from solartrack.cli._options import INCOMPLETE, OK, add_command
from solartrack.cli._tables import read_table

_NOTES = """
examples:
  A folder of numbered pictures and an .ann file for each coronal hole, a quarter of the size:
    solartrack prepare holes/boxes.csv --images store/ --reduce 4 -o data/
  Frames of a movie:
    solartrack prepare movie.mp4 -o frames/

The folder gets images/ (each picture once), EVENT/0001.png ..., EVENT.ann, frames.csv (frame, file, world
coordinates), boxes.csv (pixels), report.csv (what is absent, broken, repeated, alone or without image).
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "prepare",
        help="make a tracking data set of images and true boxes, or pictures of a movie",
        description="Make numbered pictures, .ann files and tables of images and true boxes.",
        notes=_NOTES,
    )
    parser.add_argument(
        "truth",
        type=Path,
        metavar="TRUTH",
        help="true boxes, .csv or .parquet: event, time, tx0, ty0, tx1, ty1 (arcsec), end; or a movie",
    )
    parser.add_argument("--images", nargs="+", metavar="IMAGES", help="a store, or folders, patterns, files")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="it is made")
    parser.add_argument("--format", choices=("png", "jpg", "npy"), default="png", help="default: %(default)s")
    parser.add_argument("--reduce", type=int, default=1, metavar="N", help="smaller by 2, 4, 8, ...")
    parser.add_argument(
        "--gap",
        default="15min",
        metavar="TIME",
        help="how far a box may be from its image (default: %(default)s)",
    )
    parser.add_argument("--shared", action="store_true", help="only the folder images, none for each event")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of a movie: each N-th frame")
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the data set, and say what is wrong with it."""
    from solartrack.sources import Store, prepare

    if arguments.images is None:
        if arguments.truth.suffix.lower() in (".csv", ".parquet"):
            raise ValueError("--images is missing: a store, or folders, patterns, files")
        made = prepare.frames_of_movie(arguments.truth, arguments.output, every=arguments.every)
        say(arguments, {"frames": len(made)}, f"{len(made)} frames in {arguments.output}")
        return OK
    one = Path(arguments.images[0])
    images: Any = arguments.images
    if len(arguments.images) == 1 and (one / "manifest.parquet").is_file():
        images = Store(one)
    found = prepare.tracking_set(
        read_table(arguments.truth), images, arguments.output,
        format=arguments.format, reduce=arguments.reduce, gap=arguments.gap, shared=arguments.shared,
        progress=shows_progress(arguments),
    )  # fmt: skip
    told = {
        "events": int(found.frames["event"].nunique()),
        "frames": len(found.frames),
        "boxes": len(found.boxes),
        "problems": len(found.report),
    }
    say(arguments, told, "{events} events, {frames} frames, {boxes} true boxes".format(**told))
    if len(found.report):
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.report["problem"].value_counts().items())
        LOG.warning(f"{kinds}; see {arguments.output / 'report.csv'}")
        return INCOMPLETE
    return OK
