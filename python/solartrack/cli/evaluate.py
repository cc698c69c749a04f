"""``solartrack evaluate``: score a track against the truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import LOG, add_messages, say
from solartrack.cli._options import OK, add_command, add_truth, numbers, require_writable

_NOTES = """
scores (0 to 1, the more the better, unless the line says otherwise). IoU is the area that the two boxes
share over the area that they cover together, 0 in a frame without a box; a frame matches at a threshold T
if its IoU is at least T (to 1e-9) and the boxes touch:
  mean_iou, ata         mean IoU over the frames
  f_score@T             2PR/(P+R), P the share of the reported boxes that match, R that of all frames
  ota@T                 1 - (frames without a match + boxes without a match) / frames; -1 to 1
  otp@T                 mean IoU of the frames that match
  deviation@T           1 - mean distance of the centres in true box sizes, where frames match; at most 1
  success@T             share of the frames that match
  area_f1               mean over the frames of 2 IoU / (1 + IoU)
  pbm                   1 - distance of the centres over the mean side; 0 where boxes do not touch
  success_auc           area under success over T from 0 to 1; within 0.005 of the mean IoU
  normalized_precision  area under the share of frames with centres within r true box sizes, r from 0 to 0.5
  failures              how often the IoU falls below 0.1: a count, the fewer the better
--convention sarker2019 prints seven numbers of the same names by the rules of one study's script; never
compare the two. True frames that the track does not mention are not scored, and counted on standard error.
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "evaluate",
        help="score a track against the truth",
        description="Score a track against true boxes of the same frame numbers.",
        notes=_NOTES,
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
    add_messages(parser)
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
    say(arguments, scored.as_dict(), str(scored))
    if scored.n_earlier:
        LOG.info(f"{scored.n_earlier} earlier frames not scored; --frames all scores them, too")
    if scored.n_unscored:
        LOG.warning(f"{scored.n_unscored} true frames after the start are not in the track")
    if arguments.plot:
        figure = viz.plot_scores(scored.frames, {arguments.track.stem: scored.iou})
        with replacing(arguments.plot) as partial:
            figure.savefig(partial)
        LOG.info(f"wrote {arguments.plot}")
    return OK
