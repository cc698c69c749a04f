"""``solartrack demo``: all parts at work, and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import add_messages, say, shows_progress
from solartrack.cli._options import OK, add_command, add_tracker, tracker_of


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "demo",
        help="see it at work: simulate, track, score, measure, forecast, and an HTML report",
        description="Render a simulated Sun, track one of its regions, score the track against the truth,\n"
        "measure the region's magnetic complexity, forecast flares from a summary of NOAA, follow a region\n"
        "through eight images of the real Sun, and write an HTML report of it all. Needs no network.",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("solartrack-demo"),
        metavar="FOLDER",
        help="folder for the results; it is made (default: %(default)s)",
    )
    parser.add_argument(
        "--images", type=int, default=24, help="how many simulated images (default: %(default)s)"
    )
    parser.add_argument(
        "--size", type=int, default=512, help="side of the images, pixels (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="which Sun (default: %(default)s)")
    add_tracker(parser)
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the demo and say where it is."""
    from solartrack import demo

    if arguments.images < 2:
        raise ValueError(f"--images must be at least 2, got {arguments.images}")
    made = demo.run(
        arguments.output,
        n_images=arguments.images,
        size=arguments.size,
        seed=arguments.seed,
        tracker=tracker_of(arguments),
        say=None if arguments.json else print,
        progress=shows_progress(arguments),
    )
    words = (
        f"\nin {made.folder}: images/ (FITS), truth.csv, track.csv, features.csv, forecasts.csv,\n"
        "real-track.csv, scores.png, movie.mp4, last.png\n"
        "again, with your own images:\n"
        "  solartrack track IMAGES --box X0,Y0,X1,Y1   (solartrack track --help)\n"
        f"open in a browser:  {made.report}"
    )
    told = {"folder": made.folder, "report": made.report, "scores": made.scored.as_dict()}
    say(arguments, told, words)
    return OK
