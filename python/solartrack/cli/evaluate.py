"""``solartrack evaluate``: score a track against the truth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from solartrack.cli._options import OK, add_command, add_truth, numbers, require_writable


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "evaluate",
        help="score a track against the truth",
        description="Score a track against true boxes of the same frame numbers.",
    )
    parser.add_argument("track", type=Path, metavar="TRACK", help="table of 'solartrack track', or .txt")
    add_truth(parser, required=True)
    parser.add_argument(
        "--frames",
        choices=("later", "all"),
        default="later",
        help="score the frames after the start frame, or all but it (default: %(default)s); "
        "files without a start frame are scored on all frames",
    )
    parser.add_argument(
        "--thresholds", type=numbers, default=[0.5], metavar="T,T,...", help="IoU thresholds (default: 0.5)"
    )
    parser.add_argument(
        "--convention",
        choices=("standard", "sarker2019"),
        default="standard",
        help="sarker2019: the published tables' own definitions (default: %(default)s)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="also draw IoU over frames and the success curve: .png, .pdf, .svg",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Score, print and plot."""
    from solartrack import metrics, tracking, viz
    from solartrack._files import replacing

    if arguments.plot:
        require_writable(arguments.plot, (".png", ".pdf", ".svg"))
    track, truth = tracking.read_track(arguments.track), tracking.read_track(arguments.truth)
    truth[["x0", "y0", "x1", "y1"]] *= arguments.truth_scale
    try:
        scored = metrics.score_track(
            truth,
            track,
            frames=arguments.frames,
            thresholds=arguments.thresholds,
            convention=arguments.convention,
        )
    except ValueError as error:
        raise ValueError(f"cannot score {arguments.track} against {arguments.truth}: {error}") from error
    print(json.dumps(scored.as_dict()) if arguments.json else scored)
    if scored.n_unscored:
        print(
            f"solartrack: {scored.n_unscored} true frames after the start are not in the track",
            file=sys.stderr,
        )
    if arguments.plot:
        figure = viz.plot_scores(scored.frames, {arguments.track.stem: scored.iou})
        with replacing(arguments.plot) as partial:
            figure.savefig(partial)
        if not arguments.json:
            print(f"wrote {arguments.plot}")
    return OK
