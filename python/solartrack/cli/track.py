"""``solartrack track``: follow a box, or all regions, through images."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solartrack.cli._messages import LOG, add_messages, say, shows_progress
from solartrack.cli._options import (
    FAILED,
    INCOMPLETE,
    INTERRUPTED,
    OK,
    add_command,
    add_disk,
    add_images,
    add_tracker,
    add_units_row,
    box_numbers,
    geometry_of,
    images_of,
    require_writable,
    tracker_of,
)

if TYPE_CHECKING:
    import pandas as pd

_KINDS = (".csv", ".parquet", ".txt", ".ann")

_NOTES = """
examples:
  Full-disk images with FITS headers (FITS or Helioviewer JP2), box on the first one:
    solartrack track images/ --box 2180,1460,2590,1720 -o track.csv
  Pictures without headers, one every 4 hours, Sun's centre at (512, 512), radius 394.5 px, B0 0.8 deg:
    solartrack track frames/ --box 157,461,239,500 --start 66 --cadence 4h --disk 512,512,394.5,0.8
  All coronal holes of a folder, found and followed, with an id for each:
    solartrack track aia193/ --detect --kind coronal_hole -o holes.csv

Boxes are x0,y0,x1,y1 in pixels from the corner of the first stored pixel: the middle
of a 1024 px image is 512. Row 0 is the top of PNG, JPG and JP2, the bottom of FITS.

With --detect the table has a column id before the others, and rows for each region from
the image in which it is first found to the one in which it ends: "off_disk" behind the
limb, "lost" if it is not found in three searches in a row, "merged" with the id of the
other. What splits off has the message "out of ID" in its first row.

The settings of the run are in the metadata of .parquet; in .csv in the last column of
the first row.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "track",
        help="follow a box, or all regions, through images",
        description="Follow a box through images and write a table with a row for each of them; or, with "
        "--detect, all active regions or coronal holes.",
        notes=_NOTES,
    )
    add_images(parser)
    box = parser.add_mutually_exclusive_group(required=True)
    box.add_argument(
        "--box", type=box_numbers, metavar="X0,Y0,X1,Y1", help="the box on the start image, pixels"
    )
    box.add_argument(
        "--box-arcsec",
        type=box_numbers,
        metavar="TX0,TY0,TX1,TY1",
        help="the same in helioprojective arcsec (west and north positive)",
    )
    box.add_argument(
        "--detect",
        action="store_true",
        help="no box: find the regions of the first image, and new ones on the way, and follow them all, "
        "forward",
    )
    parser.add_argument(
        "--kind",
        choices=("active_region", "coronal_hole"),
        help="what --detect looks for, or --tracker segmentation follows: active regions in EUV images (the "
        "default) or coronal holes in those of 193, 195, 211 or 284 angstrom; with --detect holes are "
        "followed by segmentation unless --tracker says otherwise",
    )
    parser.add_argument(
        "--every",
        metavar="TIME",
        help="with --detect: look for regions no sooner than this after the last search (default: 6h)",
    )
    parser.add_argument(
        "--start",
        metavar="FRAME",
        help="frame number, file name or path of the start image (default: the first in time); a frame's "
        "number is that in its name if all names are numbers, else its position, from 0",
    )
    add_tracker(parser)
    parser.add_argument(
        "--cadence",
        metavar="TIME",
        help="the time between the images, such as 4h or 12min, if they do not say when they were taken",
    )
    parser.add_argument(
        "--times",
        metavar="START|FILE",
        help="when the images were taken, if they do not say: with --cadence the time of the first one, such "
        "as 2014-02-03T00:00:00; or a CSV file with the columns time and frame (or file)",
    )
    add_disk(parser)
    parser.add_argument("--forward", action="store_true", help="leave out the images before the start image")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("track.csv"),
        metavar="FILE",
        help="table to write: .csv, .parquet, .txt (frame x y w h) or .ann (default: %(default)s); with "
        "--detect .csv or .parquet",
    )
    add_units_row(parser)
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Track, write what there is, and say what could not be used."""
    from solartrack import tracking
    from solartrack.errors import TrackWarning

    _check(arguments)
    require_writable(arguments.output, _KINDS[:2] if arguments.detect else _KINDS)
    if arguments.units_row and arguments.output.suffix.lower() != ".csv":
        raise ValueError("--units-row is for .csv; .parquet has the units in its metadata")
    files = images_of(arguments)
    with warnings.catch_warnings(record=arguments.detect) as caught:
        if arguments.detect:
            warnings.simplefilter("always", TrackWarning)
        rows, status = _follow(arguments, files)
    for warning in caught or ():
        LOG.warning(f"{warning.message}")
    table = tracking.as_table(rows, many=arguments.detect)
    _write(table, arguments.output, arguments.units_row)
    unusable = table[table["state"].isin(tracking.UNUSABLE)]
    for bad in unusable.itertuples():
        LOG.warning(f"frame {bad.frame}: {bad.state}: {bad.message}")
    states = table["state"].value_counts(sort=False).to_dict()
    told = {"images": len(files), "states": states, "output": arguments.output}
    words = f"{len(files)} images"
    if arguments.detect:
        told["regions"] = table["id"].nunique()
        words += f", {told['regions']} {(arguments.kind or 'active_region').replace('_', ' ')}s"
    if states:
        words += ": " + ", ".join(f"{n} {state}" for state, n in states.items())
    say(arguments, told, f"{words}\nwrote {arguments.output}")
    unsearched = any("could not be searched" in str(warning.message) for warning in caught or ())
    return status or (INCOMPLETE if len(unusable) or unsearched else OK)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options that say nothing with, or without, ``--detect``."""
    if arguments.detect:
        if arguments.start is not None:
            raise ValueError("--detect begins with the first image; leave out --start, and earlier images")
        return
    for option in ("kind", "every"):
        if getattr(arguments, option) is not None:
            if option == "kind" and arguments.tracker == "segmentation":
                continue
            raise ValueError(
                f"--{option} says what --detect looks for, and when; give --detect or leave it out"
            )


def _follow(arguments: argparse.Namespace, files: Sequence[Path]) -> tuple[list[dict[str, Any]], int]:
    """The rows, as many as could be made, and the exit status."""
    from solartrack import tracking

    rows: list[dict[str, Any]] = []
    how = {
        "tracker": tracker_of(arguments),
        "times": _times(arguments, files),
        "cadence": arguments.cadence,
        "geometry": geometry_of(arguments, files),
        "progress": shows_progress(arguments),
    }
    try:
        if arguments.detect:
            kind, every = arguments.kind or "active_region", arguments.every or "6h"
            made = tracking.iter_track_all(files, kind, every=every, **how)
        else:
            start: Any = arguments.start
            if start is not None and start.isascii() and start.isdigit():
                start = int(start)
            made = tracking.iter_track(
                files,
                arguments.box if arguments.box is not None else arguments.box_arcsec,
                arcsec=arguments.box is None,
                start=start,
                both_ways=not arguments.forward,
                **how,
            )
        for row in made:
            rows.append(row)
    except BaseException as error:
        if not rows:
            raise
        interrupted = isinstance(error, KeyboardInterrupt)
        why = "interrupted" if interrupted else f"{type(error).__name__}: {error}"
        LOG.warning(f"{why}; writing the rows made so far")
        return rows, INTERRUPTED if interrupted else FAILED
    return rows, OK


def _write(table: pd.DataFrame, output: Path, units_row: bool) -> None:
    """Write the table; to a temporary folder, or else standard output, if there is no room at its place."""
    from solartrack import tracking
    from solartrack.tracking.table import as_csv

    try:
        tracking.write_track(table, output, units_row=units_row)
    except OSError as error:  # such as a full disk: the rows are too valuable to lose
        try:
            rescue = Path(tempfile.mkdtemp(prefix="solartrack-")) / f"{output.stem}.csv"
            tracking.write_track(table, rescue, units_row=units_row)
        except OSError:
            sys.stdout.write(as_csv(table, units_row=units_row))
            raise OSError(
                f"{error}; nor is there room for temporary files: the rows are on standard output"
            ) from error
        raise OSError(f"{error}; the rows are in {rescue}") from error


def _times(arguments: argparse.Namespace, files: Sequence[Path]) -> Any:
    """``--times`` as the library takes it: one time per image, the first image's, or None."""
    text: str | None = arguments.times
    if text is None:
        return None
    if Path(text).is_file():
        return _times_from_file(text, files)
    if text.lower().endswith(".csv"):
        raise FileNotFoundError(f"there is no file {text}, which --times names")
    if arguments.cadence is None:
        raise ValueError(
            f"since --times {text!r} is not a file, a cadence must be given: use {_cadence_for(text)}"
        )
    return text


def _cadence_for(text: str) -> str:
    """The options that were meant by ``--times`` with a cadence in it."""
    from solartrack import sequence

    start, _, cadence = text.rpartition("/")
    try:
        sequence.as_days(cadence, "cadence")
    except ValueError:
        return f"--times {text} --cadence 4h, for example"
    return f"--times {start} --cadence {cadence}" if start else f"--cadence {cadence}"


def _times_from_file(text: str, files: Sequence[Path]) -> list[Any]:
    """The time of each image from a CSV file; None where it has none."""
    from solartrack import sequence
    from solartrack._tables import read_csv

    try:
        table = read_csv(text)
    except (ValueError, OSError, csv.Error) as error:
        raise ValueError(f"--times {text} is not a CSV file: {error}") from error
    key = next((c for c in ("file", "frame") if c in table), None)
    if key is None or "time" not in table:
        raise ValueError(f"--times {text} needs the columns time and file or frame, got {', '.join(table)}")
    theirs = [word.strip() for word in table[key]]
    if key == "frame":
        own = [str(number) for number in sequence.frame_numbers(files)]
        theirs = [word.lstrip("0") or "0" for word in theirs]
    else:
        own, theirs = _file_names(files, theirs)
    known: dict[str, str] = {}
    for name, time in zip(theirs, table["time"], strict=True):
        if known.setdefault(name, time) != time:
            raise ValueError(f"--times {text} has {key} {name} more than once, with different times")
    matched = sum(name in known for name in own)
    if matched < len(own):
        lacking = next(name for name in own if name not in known)
        unused = next((name for name in theirs if name not in own), "none")
        found = f"{matched} of {len(own)} images are in --times {text}"
        examples = f"not found is {key} {lacking!r}; the table has, for example, {unused!r}"
        if not matched:
            raise ValueError(f"{found}; {examples}")
        LOG.warning(f"{found}; {examples}")
    return [known.get(name) for name in own]


def _file_names(files: Sequence[Path], theirs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of the images and of a table's files: without folders, unless two images differ in those only."""
    own = [path.name for path in files]
    if len(set(own)) < len(own):
        return [os.path.abspath(path) for path in files], [os.path.abspath(word) for word in theirs]
    return own, [re.split(r"[\\/]", word)[-1] for word in theirs]
