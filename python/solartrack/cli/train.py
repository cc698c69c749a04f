"""``solartrack train``: train a network that tracks."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from solartrack.cli._messages import add_messages, say, shows_progress
from solartrack.cli._options import OK, add_command

_NOTES = """
examples:
  On simulated images alone:
    solartrack train -o my-run
  On images of your own with their boxes, too:
    solartrack train -o my-run --ann frames/ frames.ann --table boxes.csv sun/
  Does it work here? A run of about a minute:
    solartrack train -o trial --reduced
  Then:
    solartrack track images/ --box 2180,1460,2590,1720 \\
        --model my-run/goturn-lite.onnx

Simulated sequences are rendered into the folder, and learned from together with real images and tables if
there are any. After each epoch the network is tested by tracking sequences that are held out; the best one is
exported. A run that was stopped goes on after its last epoch when it is started again with the same options.
It needs the extra 'train'.

results in the folder of the run:
  PRESET.onnx   the network, for --model; with --export .fp16.onnx, .int8.onnx
  history.csv   the epochs
  data/         the sequences
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "train",
        help="train a network that tracks",
        description="Train a GOTURN network, test it by tracking, and export it as ONNX.",
        notes=_NOTES,
    )
    add = parser.add_argument
    add("-o", "--output", dest="out", type=Path, required=True, metavar="FOLDER", help="folder of the run")
    add("--preset", metavar="NAME", help="goturn-lite or goturn-caffenet (default: goturn-lite)")
    add("--name", help="name of the model in result tables (default: PRESET:FOLDER)")
    add("--model-version", metavar="TEXT", help="its version there (default: its epoch and seed)")
    add(
        "--for-the-package",
        action="store_true",
        help="make the file that comes with solartrack: only that has the preset's own name",
    )
    add(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="of the rendered sequences, to share among runs (default: data in the folder of the run)",
    )
    add("--simulated", type=int, metavar="N", help="simulated sequences to learn from (default: 240)")
    add("--held-out", type=int, metavar="N", help="simulated sequences to test on (default: 20)")
    add("--frames", type=int, metavar="N", help="images in a sequence (default: 12)")
    add("--size", type=int, metavar="PX", help="side of simulated images (default: 1024)")
    add("--stills", nargs="+", metavar="IMAGE", help="real images with a header, without boxes")
    add("--still-copies", type=int, metavar="N", help="sets of boxes drawn for each still (default: 4)")
    add(
        "--clutter",
        nargs="+",
        metavar="IMAGE",
        help="real images with a header, blended into the examples without boxes of their own",
    )
    add("--ann", nargs=2, action="append", metavar=("FOLDER", "FILE"), help="images and .ann; repeatable")
    add(
        "--table",
        nargs=2,
        action="append",
        metavar=("FILE", "FOLDER"),
        help="boxes (.csv or .parquet) and images; repeatable",
    )
    add("--recipe", metavar="NAME", help="how examples are drawn (default: the preset's)")
    add("--steps", type=int, metavar="N", help="batches in total (default: the preset's)")
    add("--epoch-steps", type=int, metavar="N", help="batches between tests by tracking")
    add("--batch", type=int, metavar="N", help="examples in a batch (default: the preset's)")
    add("--rate", type=float, metavar="R", help="base learning rate (default: the preset's)")
    add("--shuffle", type=int, metavar="N", help="examples held back to mix them (default: 1024)")
    add("--seed", type=int, metavar="N", help="of everything that is drawn (default: 1)")
    add("--workers", type=int, metavar="N", help="processes that render and cut (default: the cores)")
    add("--precision", metavar="NAME", help="auto, float32, mixed_float16 or mixed_bfloat16")
    add("--initial", metavar="FILE", help="weights to start from (.weights.h5); those that fit")
    add("--freeze-tower", action="store_true", help="train the dense layers only")
    add("--export", nargs="+", metavar="KIND", help="of fp32, fp16, int8 (default: fp32)")
    add("--reduced", action="store_true", help="a run of about a minute, with too little of everything")
    add_messages(parser)
    parser.set_defaults(run=run)


_NOT_OF_THE_RUN = ("run", "quiet", "verbose", "json", "log_file")


def run(arguments: argparse.Namespace) -> int:
    """Train and say what there is."""
    from solartrack._optional import require
    from solartrack.models.goturn import train

    require("tensorflow", extra="train", purpose="training")  # before images are rendered for nothing
    given = {name: value for name, value in vars(arguments).items() if name not in _NOT_OF_THE_RUN}
    given = {name: value for name, value in given.items() if value is not None}
    options = train.Run(**given, verbose=1 if shows_progress(arguments) else 0)
    with contextlib.ExitStack() as stack:
        # What training prints on its way is no result.
        aside = stack.enter_context(open(os.devnull, "w")) if arguments.quiet else sys.stderr
        with contextlib.redirect_stdout(aside):
            paths = train.train(options)
    told = {"output": options.out, "models": paths}
    words = [f"wrote {path}" for path in paths]
    if arguments.reduced:
        words.append("so short a run shows that everything works; the network is not fit to track with")
    say(arguments, told, "\n".join(words))
    return OK
