"""``solartrack draw``: draw the boxes into a movie or picture."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
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
_PICTURES, _MOVIES = (".png", ".jpg", ".jpeg"), (".mp4", ".gif")

_NOTES = """
examples:
  On which pixels is the region? The first image with a grid, to read a box for 'solartrack track' from:
    solartrack draw images/ -o grid.png
  A track as a movie, with the true boxes:
    solartrack draw images/ --track track.csv --truth true.csv -o movie.mp4
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "draw",
        help="draw the boxes into a movie or picture",
        description="Draw the track (red) and the truth (white) into the images; of a table of several "
        "tracks all, with their ids. Without a track: one image with a grid of its pixels.",
        notes=_NOTES,
    )
    add_images(parser)
    parser.add_argument(
        "--track", type=Path, metavar="TRACK", help="table of 'solartrack track', or .txt (default: none)"
    )
    parser.add_argument(
        "--track-scale", type=positive, default=1.0, metavar="S", help="multiply its boxes by S"
    )
    add_truth(parser, required=False)
    parser.add_argument(
        "--frame",
        type=int,
        metavar="N",
        help="only this frame, as a picture (default: all; without --track the first)",
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
        help=".mp4 or .gif; with --frame, or without --track, .png or .jpg",
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
    single = arguments.frame is not None or arguments.track is None
    require_writable(arguments.output, _PICTURES if single else _MOVIES)
    if arguments.track is None:
        return _grid(arguments, files)
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


def _grid(arguments: argparse.Namespace, files: Sequence[Path]) -> int:
    """Draw one image with a grid of its pixels."""
    from solartrack import images, sequence, viz
    from solartrack._files import replacing

    if arguments.truth:
        raise ValueError("--truth is drawn beside a track; give --track, or the truth itself as --track")
    numbers = sequence.frame_numbers(files)
    frame = numbers[0] if arguments.frame is None else arguments.frame
    if frame not in numbers:
        raise ValueError(f"there is no frame {frame}; the images have {min(numbers)} to {max(numbers)}")
    file = files[numbers.index(frame)]
    picture = viz.overlay(
        images.read(file),
        label=file.name,
        size=arguments.size,
        row0=images.row0(file),
        geometry=geometry_of(arguments, files),
        limb=arguments.limb,
        grid=True,
    )
    with replacing(arguments.output) as partial:
        picture.save(partial)
    told = {"output": arguments.output, "frame": frame, "image": file}
    say(arguments, told, f"{file.name}, frame {frame}\nwrote {arguments.output}")
    return OK
