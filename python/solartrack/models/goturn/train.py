"""Train a GOTURN network: ``python -m solartrack.models.goturn.train --out FOLDER``.

Renders simulated sequences into the folder, learns from them (and from real images and tables if given),
tests the network after each epoch by tracking held-out sequences, and exports the best one as a verified ONNX
file. A run that was stopped continues after its last epoch when it is started again with the same arguments.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from solartrack import __version__
from solartrack._arrays import as_threads
from solartrack.models import training
from solartrack.models.export import TOLERANCE, refuse_shipped, write
from solartrack.models.goturn import dataset, follow, sequences
from solartrack.models.goturn.presets import PLANS, PRESETS, Plan
from solartrack.models.goturn.recipes import RECIPES
from solartrack.models.goturn.sources import Source, read_clutter
from solartrack.sequence import Frame


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    # First, because rendering starts processes, which should not load TensorFlow.
    learn, held_out, data = sequences.choose(options)
    clutter = [read_clutter(path) for path in options.clutter]
    hardware, plan = training.prepare(precision=options.precision, seed=options.seed), _plan(options)
    cores = as_threads(None)
    print(f"{options.preset} on {hardware.name}, {hardware.precision}, {cores} cores", flush=True)

    trainee, optimizer = _trainee(options, plan, hardware)
    # What must be the same for a stopped run to continue.
    settings = {
        "preset": options.preset,
        "plan": asdict(plan),
        "recipe": asdict(RECIPES[plan.recipe]),
        "data": data,
        "seed": options.seed,
        "precision": hardware.precision,
    }
    try:
        variables = [*trainee.network.variables, *optimizer.variables]
        state = training.RunState(options.out, variables, settings)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    _learn(options, plan, trainee, state, learn, held_out, clutter)
    _export(options, {**settings, "device": hardware.name}, state)
    return 0


def _trainee(options: argparse.Namespace, plan: Plan, hardware: training.Hardware) -> tuple[Any, Any]:
    """The network with its loss, and its optimizer; all variables exist."""
    # Keras is imported with these modules, which must not happen before the sequences are rendered.
    from solartrack.models.goturn.learner import Trainee, optimizer
    from solartrack.models.goturn.network import build

    # Grouped convolutions are slow on a CPU, split ones on a GPU.
    network = build(options.preset, split=not hardware.gpu, dtype=hardware.precision, seed=options.seed)
    if options.initial:
        network.load_weights(options.initial, skip_mismatch=True)
    if options.freeze_tower:
        for layer in network.layers:
            layer.trainable = not layer.name.startswith("tower_")
    trainee = Trainee(network, plan)
    rule = training.loss_scaled(optimizer(plan, plan.steps), hardware.precision)
    trainee.compile(optimizer=rule, jit_compile="auto" if hardware.gpu else False, auto_scale_loss=False)
    inputs = PRESETS[options.preset].crops.inputs
    trainee({name: np.zeros((1, *shape), np.float32) for name, shape in inputs.items()})
    rule.build(trainee.trainable_variables)
    return trainee, rule


def _learn(
    options: argparse.Namespace,
    plan: Plan,
    trainee: Any,
    state: training.RunState,
    learn: Sequence[Source],
    held_out: Sequence[Source],
    clutter: Sequence[Frame],
) -> None:
    """Run the epochs that are left; the best weights so far are in ``best.weights.h5``."""
    crops = PRESETS[options.preset].crops

    def epoch(number: int) -> dict[str, float]:
        began = time.perf_counter()
        batches = dataset.batches(
            learn,
            crops,
            RECIPES[plan.recipe],
            batch=plan.batch,
            seed=options.seed,
            epoch=number,
            workers=options.workers,
            shuffle=options.shuffle,
            clutter=clutter,
        )
        steps = min(plan.epoch_steps, plan.steps - number * plan.epoch_steps)
        fitted = trainee.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=options.verbose)
        took = time.perf_counter() - began
        row = {k: float(v[-1]) for k, v in fitted.history.items()}
        row["samples_per_second"] = steps * plan.batch / took
        figures = follow.summary(follow.follow(trainee.network.predict_on_batch, held_out, crops))
        return row | {f"tracked_{name}": value for name, value in figures.items()}

    epochs = -(-plan.steps // plan.epoch_steps)
    training.run_epochs(state, epochs, epoch, chosen="tracked_iou", save=trainee.network.save_weights)


def _export(options: argparse.Namespace, about: dict[str, Any], state: training.RunState) -> None:
    """Write the best network in all precisions that were asked for."""
    from solartrack.models.goturn.network import build

    network = build(options.preset)  # in float32, whatever it was trained in
    network.load_weights(options.out / training.BEST)
    about = {
        **about,
        "chosen": state.history[training.best_epoch(state.history, "tracked_iou")],
        "seconds": round(state.seconds),
        "versions": training.versions(),
    }
    crops = PRESETS[options.preset].crops
    # Rows of tracks say this: a network of one's own is not the shipped one of the same preset.
    name = options.name or f"{options.preset}:{options.out.resolve().name}"
    version = options.model_version or f"epoch {about['chosen']['epoch']}, seed {options.seed}"
    if options.for_the_package:
        name, version = options.preset, __version__
    for kind in options.export:
        path: Path = options.out / f"{options.preset}{'' if kind == 'fp32' else f'.{kind}'}.onnx"
        made = write(network, path, crops, name=name, version=version, training=about, precision=kind)
        print(f"wrote {path}, weights {made.sha256[:12]}", flush=True)


def _plan(options: argparse.Namespace) -> Plan:
    given = {name: getattr(options, name) for name in ("recipe", "rate", "batch", "steps", "epoch_steps")}
    return Plan(**{**asdict(PLANS[options.preset]), **{k: v for k, v in given.items() if v is not None}})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m solartrack.models.goturn.train",
        description="Train a GOTURN network, test it by tracking, and export it as ONNX.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the run; a stopped run continues")
    add("--preset", choices=sorted(PRESETS), default="goturn-lite")
    add("--name", help="name of the model in result tables; default: PRESET:FOLDER of the run")
    add("--model-version", help="its version there; default: its epoch and seed")
    add(
        "--for-the-package",
        action="store_true",
        help="make the file that comes with solartrack: only that has the preset's own name",
    )
    add("--data", type=Path, help="folder of the rendered sequences, to share among runs; default OUT/data")
    add("--simulated", type=int, default=240, help="simulated sequences to learn from")
    add("--held-out", type=int, default=20, help="simulated sequences to test the network on")
    add("--frames", type=int, default=12, help="images in a sequence")
    add("--size", type=int, default=1024, help="pixels on a side of simulated images")
    add("--stills", nargs="*", default=[], metavar="IMAGE", help="real images with a header, without boxes")
    add(
        "--clutter",
        nargs="*",
        default=[],
        metavar="IMAGE",
        help="real images with a header, blended into the examples without boxes of their own",
    )
    add("--still-copies", type=int, default=4, help="sets of boxes drawn for each still")
    add("--ann", nargs=2, action="append", default=[], metavar=("FOLDER", "FILE"), help="images and .ann")
    add("--table", nargs=2, action="append", default=[], metavar=("FILE", "FOLDER"), help="boxes and images")
    add("--recipe", choices=sorted(RECIPES), help="how examples are drawn; default: the preset's")
    add("--steps", type=int, help="batches in total")
    add("--epoch-steps", type=int, help="batches between tests by tracking")
    add("--batch", type=int)
    add("--rate", type=float, help="base learning rate")
    add("--shuffle", type=int, default=1024, help="examples held back to mix the sequences")
    add("--seed", type=int, default=1)
    add(
        "--workers",
        type=int,
        help="processes that render, and sequences cut at the same time; default: the cores",
    )
    add("--precision", choices=training.PRECISIONS, default="auto")
    add("--initial", help="weights to start from (.weights.h5); layers that do not fit are left out")
    add("--freeze-tower", action="store_true", help="train the dense layers only")
    add("--export", nargs="+", choices=sorted(TOLERANCE), default=["fp32"], help="precisions to write")
    add(
        "--verbose",
        type=int,
        choices=[0, 1, 2],
        default=1 if sys.stdout.isatty() else 0,
        help="verbosity of Keras",
    )
    add("--reduced", action="store_true", help="a run of about a minute, to check that everything works")
    return parser


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.name:
        try:
            refuse_shipped(options.name)  # now, not after hours of training
        except ValueError as error:
            parser.error(str(error))
    if options.reduced:
        options.simulated, options.held_out, options.frames, options.size = 3, 2, 4, 384
        options.steps, options.epoch_steps, options.batch, options.shuffle = 30, 15, 16, 64
    options.workers = options.workers or as_threads(None)
    for name in ("simulated", "held_out", "frames", "size", "batch", "steps", "epoch_steps", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
