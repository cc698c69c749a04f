"""``solartrack report``: tracks, features and forecasts as one HTML file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solartrack.cli._messages import add_messages, say
from solartrack.cli._options import OK, add_command, add_truth, require_writable

_NOTES = """
examples:
  A track with its movie, and how it agrees with true boxes:
    solartrack report track.csv --images aia171/ --truth truth.ann -o report.html
  What an archive run, the features of patches and a forecast have given:
    solartrack report tracks-2014/ features/ forecasts.csv

RESULTS are tables (.csv, .parquet, .csv.gz; tracks also .txt, .ann) of 'solartrack track', 'features',
'flares predict' and 'flares forecast', or folders of 'track-archive', 'features' and 'flares predict'. The
columns tell what a table is. The report is one file: no network, no script. Of large tables it shows a part,
and says so.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "report",
        help="tracks, features and forecasts as one HTML file",
        description="Write tables of tracks, features and forecasts as one HTML file with curves and movies.",
        notes=_NOTES,
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="tables or folders of runs")
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="IMAGES",
        help="images of the tracks, for movies: folders, patterns, files",
    )
    add_truth(parser, required=False)
    parser.add_argument("--title", default="solartrack report", help="heading (default: %(default)s)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="file to write, .html (default: %(default)s)",
    )
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from solartrack import tracking, viz

    require_writable(arguments.output, (".html", ".htm"))
    truth = None
    if arguments.truth is not None:
        truth = tracking.read_track(arguments.truth)
        truth[["x0", "y0", "x1", "y1"]] *= arguments.truth_scale
    headings = _headings(arguments.results)
    viz.report(
        arguments.output,
        dict(zip(headings, arguments.results, strict=True)),
        title=arguments.title,
        truth=truth,
        images=arguments.images,
    )
    say(arguments, {"output": arguments.output}, f"wrote {arguments.output}")
    return OK


def _headings(paths: Sequence[Path]) -> list[str]:
    """Names of the files, with as many of their folders as tell them apart."""
    from solartrack._files import shown

    whole = [path.absolute() for path in paths]
    if twice := [path for i, path in enumerate(whole) if path in whole[:i]]:
        raise ValueError(f"{shown(twice[0])} is named twice; name each table once")
    parts = [shown(path).split("/") for path in whole]
    depth = 1
    while len({"/".join(part[-depth:]) for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]
