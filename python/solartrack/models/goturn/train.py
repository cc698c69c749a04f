"""Train a GOTURN network: `train`, or the command ``solartrack train``."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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

__all__ = ["Run", "train"]


@dataclass(kw_only=True)
class Run:
    """What a run learns from, and how.

    Attributes
    ----------
    out : Path
        Folder of the run; a stopped run continues there.
    preset : str
        The network: a key of `solartrack.models.goturn.PRESETS`.
    name, model_version : str, optional
        What result tables call the model, and its version there; default: ``PRESET:FOLDER``, and the epoch
        and seed.
    for_the_package : bool
        Make the file that comes with solartrack: only that has the preset's own name.
    data : Path, optional
        Folder of the rendered sequences, to share among runs; default: ``data`` in `out`.
    simulated, held_out : int
        Simulated sequences to learn from, and to test the network on.
    frames, size : int
        Images in a sequence, and pixels on a side of them.
    stills, clutter : sequence of path
        Real images with a header: to learn from with boxes drawn at random, and blended into the examples
        without boxes of their own.
    still_copies : int
        Sets of boxes drawn for each still.
    ann : sequence of (folder, file)
        Images with the boxes of an .ann file.
    table : sequence of (file, folder)
        Tables of boxes with their images.
    recipe, steps, epoch_steps, batch, rate : optional
        How examples are drawn, batches in total and between tests by tracking, examples in a batch, base
        learning rate; default: those of the preset.
    shuffle : int
        Examples held back to mix the sequences.
    seed : int
        Of everything that is drawn.
    workers : int
        Processes that render, and sequences cut at the same time; 0 for the cores.
    precision : str
        One of `solartrack.models.training.PRECISIONS`.
    initial : path, optional
        Weights to start from (.weights.h5); layers that do not fit are left out.
    freeze_tower : bool
        Train the dense layers only.
    export : sequence of str
        Precisions to write: fp32, fp16, int8.
    verbose : int
        Verbosity of Keras.
    reduced : bool
        A run of about a minute, to check that everything works; its sizes replace those above.

    Raises
    ------
    ValueError
        If a number is below 1, a name is not known, or the name of the model is that of the shipped one.
    """

    out: Path
    preset: str = "goturn-lite"
    name: str | None = None
    model_version: str | None = None
    for_the_package: bool = False
    data: Path | None = None
    simulated: int = 240
    held_out: int = 20
    frames: int = 12
    size: int = 1024
    stills: Sequence[str | Path] = ()
    clutter: Sequence[str | Path] = ()
    still_copies: int = 4
    ann: Sequence[tuple[str, str]] = ()
    table: Sequence[tuple[str, str]] = ()
    recipe: str | None = None
    steps: int | None = None
    epoch_steps: int | None = None
    batch: int | None = None
    rate: float | None = None
    shuffle: int = 1024
    seed: int = 1
    workers: int = 0
    precision: str = "auto"
    initial: str | Path | None = None
    freeze_tower: bool = False
    export: Sequence[str] = ("fp32",)
    verbose: int = 0
    reduced: bool = False

    def __post_init__(self) -> None:
        self.out = Path(self.out)
        if self.name:
            refuse_shipped(self.name)  # now, not after hours of training
        if self.reduced:
            self.simulated, self.held_out, self.frames, self.size = 3, 2, 4, 384
            self.steps, self.epoch_steps, self.batch, self.shuffle = 30, 15, 16, 64
        self.workers = self.workers or as_threads(None)
        for name in ("simulated", "held_out", "frames", "size", "batch", "steps", "epoch_steps", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name, given, known in (
            ("preset", [self.preset], PRESETS),
            ("recipe", [self.recipe or next(iter(RECIPES))], RECIPES),
            ("precision", [self.precision], training.PRECISIONS),
            ("export", self.export, TOLERANCE),
        ):
            for one in given:
                if one not in known:
                    raise ValueError(f"{name} must be one of {', '.join(sorted(known))}, got {one!r}")


def train(options: Run) -> list[Path]:
    """Train a network, test it by tracking, and export it as ONNX.

    Renders simulated sequences, learns from them (and from real images and tables if given), tests the
    network after each epoch by tracking held-out sequences, and exports the best one as verified ONNX files.
    A run that was stopped continues after its last epoch when it is started again with the same options.

    Parameters
    ----------
    options : Run

    Returns
    -------
    list of Path
        The exported files.

    Raises
    ------
    ValueError
        If the folder holds a run with other settings, or a file to learn from cannot be used.
    """
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
    variables = [*trainee.network.variables, *optimizer.variables]
    state = training.RunState(options.out, variables, settings)
    _learn(options, plan, trainee, state, learn, held_out, clutter)
    return _export(options, {**settings, "device": hardware.name}, state)


def _trainee(options: Run, plan: Plan, hardware: training.Hardware) -> tuple[Any, Any]:
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
    options: Run,
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


def _export(options: Run, about: dict[str, Any], state: training.RunState) -> list[Path]:
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
    paths = []
    for kind in options.export:
        path = options.out / f"{options.preset}{'' if kind == 'fp32' else f'.{kind}'}.onnx"
        made = write(network, path, crops, name=name, version=version, training=about, precision=kind)
        print(f"wrote {path}, weights {made.sha256[:12]}", flush=True)
        paths.append(path)
    return paths


def _plan(options: Run) -> Plan:
    given = {name: getattr(options, name) for name in ("recipe", "rate", "batch", "steps", "epoch_steps")}
    return Plan(**{**asdict(PLANS[options.preset]), **{k: v for k, v in given.items() if v is not None}})
