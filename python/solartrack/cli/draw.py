"""``solartrack draw``: draw the boxes into a movie or picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import LOG, add_messages, say, shows_progress
from solartrack.cli._options import (
    FAILED,
    INCOMPLETE,
    OK,
    add_command,
    add_disk,
    add_images,
    add_truth,
    geometry_of,
    images_of,
    positive,
    require_writable,
)

_BOX = ["x0", "y0", "x1", "y1"]


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "draw",
        help="draw the boxes into a movie or picture",
        description="Draw the track (red) and the truth (white) into the images; of a table of several "
        "tracks all, with their ids.",
    )
    add_images(parser)
    parser.add_argument(
        "--track", type=Path, required=True, metavar="TRACK", help="table of 'solartrack track', or .txt"
    )
    parser.add_argument(
        "--track-scale", type=positive, default=1.0, metavar="S", help="multiply its boxes by S"
    )
    add_truth(parser, required=False)
    parser.add_argument(
        "--frame", type=int, metavar="N", help="only this frame; the output is then a picture"
    )
    parser.add_argument(
        "--size", type=_side, default=1024, help="longer side of the result, pixels (default: %(default)s)"
    )
    parser.add_argument("--limb", action="store_true", help="draw the solar limb, too")
    add_disk(parser)
    parser.add_argument("--fps", type=positive, default=6.0, help="frames per second (default: %(default)s)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help=".mp4 or .gif; with --frame .png or .jpg",
    )
    add_messages(parser)
    parser.set_defaults(run=run)


def _side(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 16 <= int(text) <= 16384:
        raise argparse.ArgumentTypeError(f"expected 16 to 16384 pixels, got {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Draw, and say which frames had to be left out."""
    from solartrack import tracking, viz
    from solartrack._files import replacing

    files = images_of(arguments)
    single = arguments.frame is not None
    require_writable(arguments.output, (".png", ".jpg", ".jpeg") if single else (".mp4", ".gif"))
    track = tracking.read_track(arguments.track)
    track[_BOX] *= arguments.track_scale
    truth = tracking.read_track(arguments.truth) if arguments.truth else None
    if truth is not None:
        truth[_BOX] *= arguments.truth_scale
    left_out: list[int] = []

    def on_problem(frame: int, reason: str) -> None:
        left_out.append(frame)
        LOG.warning(f"frame {frame} left out: {reason}")

    pictures = viz.draw_track(
        files,
        track[track["frame"] == arguments.frame] if single else track,
        truth,
        size=arguments.size,
        limb=arguments.limb,
        geometry=geometry_of(arguments, files),
        on_problem=on_problem,
        progress=shows_progress(arguments) and not single,
    )
    if single:
        picture = next(pictures, None)
        if picture is None and left_out:
            return FAILED
        if picture is None:
            raise ValueError(f"there is no frame {arguments.frame} in both the images and {arguments.track}")
        with replacing(arguments.output) as partial:
            picture.save(partial)
    else:
        viz.movie(arguments.output, pictures, fps=arguments.fps)
    told = {"output": arguments.output, "left_out": left_out}
    say(arguments, told, f"wrote {arguments.output}")
    return INCOMPLETE if left_out else OK
