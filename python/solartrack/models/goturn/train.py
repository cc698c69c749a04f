"""Train a GOTURN network: ``python -m solartrack.models.goturn.train --out FOLDER``.

Renders simulated sequences into the folder, learns from them (and from real images and
tables if given), tries the network out by tracking held-out sequences after each epoch,
and exports the best one as a verified ONNX file. A run that was stopped goes on where the
last epoch ended when it is started again with the same arguments.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from solartrack import __version__
from solartrack._arrays import as_threads
from solartrack._optional import require
from solartrack.models.export import TOLERANCE, export
from solartrack.models.goturn import examples, follow
from solartrack.models.goturn.presets import PLANS, PRESETS, Plan

# Sequences that are held out have their own seeds, whatever --seed is.
_HELD_OUT = 900_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    options = _options(arguments)
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    # Rendering starts processes, which had better not load TensorFlow; so it comes first.
    learn, held_out, data = _sources(options)
    clutter = [examples.read_clutter(path) for path in options.clutter]
    tf = require("tensorflow", extra="train", purpose="training")
    keras = require("keras", extra="train", purpose="training")
    from solartrack.models.goturn.learner import Trainee, optimizer
    from solartrack.models.goturn.network import build

    keras.utils.set_random_seed(options.seed)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    by_default = "mixed_float16" if gpus else "float32"
    precision = by_default if options.precision == "auto" else options.precision
    plan, crops = _plan(options), PRESETS[options.preset].crops
    device = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
    print(f"{options.preset} on {device}, {precision}, {as_threads(None)} cores", flush=True)

    # Grouped convolutions are slow on a CPU, split ones on a GPU.
    network = build(options.preset, split=not gpus, dtype=precision, seed=options.seed)
    if options.initial:
        network.load_weights(options.initial, skip_mismatch=True)
    if options.freeze_tower:
        for layer in network.layers:
            layer.trainable = not layer.name.startswith("tower_")
    trainee = Trainee(network, plan)
    learner = optimizer(plan, plan.steps)
    if precision == "mixed_float16":
        learner = keras.optimizers.LossScaleOptimizer(learner)
    trainee.compile(optimizer=learner, jit_compile="auto" if gpus else False, auto_scale_loss=False)
    trainee({name: np.zeros((1, *shape), np.float32) for name, shape in crops.inputs.items()})
    learner.build(trainee.trainable_variables)

    # What must be the same for a stopped run to go on.
    settings = {
        "preset": options.preset,
        "plan": asdict(plan),
        "recipe": asdict(examples.RECIPES[plan.recipe]),
        "data": data,
        "seed": options.seed,
        "precision": precision,
    }
    state = _State(out / "state.npz", network, learner, settings)
    history, seconds = state.load()
    board = tf.summary.create_file_writer(os.fspath(out / "tensorboard"))
    epochs = -(-plan.steps // plan.epoch_steps)
    if history:
        print(f"going on after epoch {len(history)} of {epochs}", flush=True)
    for epoch in range(len(history), epochs):
        began = time.perf_counter()
        batches = examples.dataset(
            learn,
            crops,
            examples.RECIPES[plan.recipe],
            batch=plan.batch,
            seed=options.seed,
            epoch=epoch,
            workers=options.workers,
            shuffle=options.shuffle,
            clutter=clutter,
        )
        steps = min(plan.epoch_steps, plan.steps - epoch * plan.epoch_steps)
        fitted = trainee.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=options.verbose)
        took = time.perf_counter() - began
        row = {"epoch": epoch + 1, **{k: float(v[-1]) for k, v in fitted.history.items()}}
        row["samples_per_second"] = steps * plan.batch / took
        tried = follow.summary(follow.follow(network.predict_on_batch, held_out, crops))
        row |= {f"tracked_{name}": value for name, value in tried.items()}
        best = max((r["tracked_iou"] for r in history), default=-1.0)
        history.append(row)
        seconds += time.perf_counter() - began
        _write_scalars(tf, board, epoch + 1, row)
        pd.DataFrame(history).to_csv(out / "history.csv", index=False)
        if row["tracked_iou"] > best:
            network.save_weights(out / "best.weights.h5")
        state.save(history, seconds)
        print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)

    chosen = max(history, key=lambda r: r["tracked_iou"])
    network = build(options.preset)  # in float32, whatever it was trained in
    network.load_weights(out / "best.weights.h5")
    training = {**settings, "chosen": chosen, "seconds": round(seconds), "device": device}
    training["versions"] = {
        "solartrack": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
    }
    for kind in options.export:
        name = f"{options.preset}.onnx" if kind == "fp32" else f"{options.preset}.{kind}.onnx"
        made = export(network, out / name, crops, name=options.preset, training=training, precision=kind)
        print(f"wrote {out / name}, weights {made.sha256[:12]}", flush=True)
    return 0


class _State:
    """Weights, optimizer and history in one file, which is replaced as a whole."""

    def __init__(self, path: Path, network: Any, learner: Any, settings: dict[str, Any]) -> None:
        self._path, self._settings = path, json.loads(json.dumps(settings))
        self._variables = [*network.variables, *learner.variables]

    def save(self, history: list[dict[str, float]], seconds: float) -> None:
        partial = self._path.with_name(f".{self._path.stem}.part.npz")
        arrays: dict[str, Any] = {f"v{i}": np.asarray(v.value) for i, v in enumerate(self._variables)}
        told = json.dumps({"settings": self._settings, "history": history, "seconds": seconds})
        np.savez(partial, told=np.array(told), **arrays)
        partial.replace(self._path)

    def load(self) -> tuple[list[dict[str, float]], float]:
        if not self._path.exists():
            return [], 0.0
        with np.load(self._path) as stored:
            told = json.loads(str(stored["told"]))
            different = [k for k, v in self._settings.items() if told["settings"].get(k) != v]
            if different:
                raise SystemExit(
                    f"{self._path.parent} holds a run with other settings ({', '.join(different)}); "
                    "choose another --out, or repeat that run's arguments"
                )
            for i, variable in enumerate(self._variables):
                variable.assign(stored[f"v{i}"])
        return told["history"], told["seconds"]


def _write_scalars(tf: Any, board: Any, step: int, values: dict[str, float]) -> None:
    # What tf.summary.scalar does, which no longer works where TensorBoard itself is not installed.
    about = tf.compat.v1.SummaryMetadata(data_class=1)
    about.plugin_data.plugin_name = "scalars"
    with board.as_default(step=step):
        for name, value in values.items():
            tf.summary.write(name, tf.constant(value, tf.float32), metadata=about)
    board.flush()


def _plan(options: argparse.Namespace) -> Plan:
    given = {name: getattr(options, name) for name in ("recipe", "rate", "batch", "steps", "epoch_steps")}
    return Plan(**{**asdict(PLANS[options.preset]), **{k: v for k, v in given.items() if v is not None}})


def _sources(
    options: argparse.Namespace,
) -> tuple[list[examples.Source], list[examples.Source], dict[str, Any]]:
    """What to learn from, what to be judged by, and what the model file says about both."""
    home: Path = options.data or options.out / "data"
    first = options.seed * 10_000
    seeds = {
        "train": range(first, first + options.simulated),
        "held_out": range(_HELD_OUT, _HELD_OUT + options.held_out),
    }
    folders = {
        home / f"{options.frames}x{options.size}" / f"{seed:06d}": seed
        for part in seeds.values()
        for seed in part
    }
    began = time.perf_counter()
    _render(folders, options.frames, options.size, options.workers)
    print(f"{len(folders)} simulated sequences ready after {time.perf_counter() - began:.0f} s", flush=True)
    sources = [examples.simulated_source(folder) for folder in folders]
    learn, held_out = sources[: options.simulated], sources[options.simulated :]
    # Real images are few: each comes several times a round, with other boxes.
    stills = [(p, k) for p in options.stills for k in range(options.still_copies)]
    learn += [examples.still_source(path, seed=options.seed * 1000 + k) for path, k in stills]
    learn += [examples.ann_source(folder, annotation) for folder, annotation in options.ann]
    for table, folder in options.table:
        read = pd.read_parquet if table.endswith(".parquet") else pd.read_csv
        learn.append(examples.table_source(read(table), folder))
    data = {
        "simulated": {"seeds": [first, options.simulated], "frames": options.frames, "size": options.size},
        "held_out": {"seeds": [_HELD_OUT, options.held_out]},
        "stills": [Path(p).name for p in options.stills],
        "still_copies": options.still_copies,
        "clutter": [Path(p).name for p in options.clutter],
        "ann": [Path(a).name for _, a in options.ann],
        "tables": [Path(t).name for t, _ in options.table],
    }
    return learn, held_out, data


def _render(folders: dict[Path, int], frames: int, size: int, workers: int) -> None:
    missing = {f: s for f, s in folders.items() if not (f / "seen.csv").exists()}
    if workers == 1 or len(missing) < 2:
        for folder, seed in missing.items():
            examples.write_simulated(folder, seed, frames=frames, size=size)
        return
    # Started anew, not forked: TensorFlow has threads by now.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [
            pool.submit(examples.write_simulated, folder, seed, frames=frames, size=size)
            for folder, seed in missing.items()
        ]
        for done, job in enumerate(concurrent.futures.as_completed(jobs), 1):
            job.result()
            if done % 20 == 0:
                print(f"rendered {done} of {len(jobs)} sequences", flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m solartrack.models.goturn.train",
        description="Train a GOTURN network, judged by tracking, and export it as ONNX.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the run; a stopped run goes on")
    add("--preset", choices=sorted(PRESETS), default="goturn-lite")
    add("--data", type=Path, help="folder of the rendered sequences, to share among runs; default OUT/data")
    add("--simulated", type=int, default=240, help="simulated sequences to learn from")
    add("--held-out", type=int, default=20, help="simulated sequences to be judged by")
    add("--frames", type=int, default=12, help="images of a sequence")
    add("--size", type=int, default=1024, help="pixels on a side of simulated images")
    add("--stills", nargs="*", default=[], metavar="IMAGE", help="real images with a header, without boxes")
    add(
        "--clutter",
        nargs="*",
        default=[],
        metavar="IMAGE",
        help="real images with a header, blended into the examples without being learnt themselves",
    )
    add("--still-copies", type=int, default=4, help="times each of them is drawn boxes for")
    add("--ann", nargs=2, action="append", default=[], metavar=("FOLDER", "FILE"), help="images and .ann")
    add("--table", nargs=2, action="append", default=[], metavar=("FILE", "FOLDER"), help="boxes and images")
    add("--recipe", choices=sorted(examples.RECIPES), help="of the examples; default: the preset's")
    add("--steps", type=int, help="batches in all")
    add("--epoch-steps", type=int, help="batches between trials by tracking")
    add("--batch", type=int)
    add("--rate", type=float, help="base learning rate")
    add("--shuffle", type=int, default=1024, help="examples held back to mix them")
    add("--seed", type=int, default=1)
    add("--workers", type=int, help="processes that render, sequences cut at a time; default: the cores")
    add("--precision", choices=["auto", "float32", "mixed_float16", "mixed_bfloat16"], default="auto")
    add("--initial", help="weights to start from (.weights.h5); layers that do not fit are left out")
    add("--freeze-tower", action="store_true", help="train the dense layers only")
    add("--export", nargs="+", choices=sorted(TOLERANCE), default=["fp32"], help="precisions to write")
    add("--verbose", type=int, choices=[0, 1, 2], default=1 if sys.stdout.isatty() else 0, help="of Keras")
    add("--reduced", action="store_true", help="a minute's run that proves that everything works")
    options = parser.parse_args(arguments)
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
