"""Training of what comes after the frozen part of a network: the head, or more of it.

The published recipe: everything before the last layer is frozen; Adam at 1e-3, categorical cross-entropy,
batches of 64, the weight of a flare is the number of quiet samples over that of flares, five epochs, of which
the one with the highest TSS on the validation samples is kept.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack import _files, _workers
from solartrack._arrays import as_count
from solartrack._optional import require
from solartrack.errors import ModelError
from solartrack.inference.conventions import MagnetogramPatch
from solartrack.models import training as runs
from solartrack.models.vgg.activations import (
    Activations,
    Dtype,
    compute_activations,
    files_hash,
    inference,
    network_hash,
    planned_bytes,
)
from solartrack.models.vgg.dataset import Failures, Pass, Reader, Samples, permutation, real_paths

__all__ = ["Fitted", "fit_head"]

#: The figure by which the best epoch is chosen.
CHOSEN = "val_tss"

# What else to say of a folder whose run had others.
_HINTS = {
    name: f"the {name} samples are others, or their files have another path, size or date"
    for name in ("training", "validation")
}
# Activations that are taken from the cache at a time.
_READ_BYTES = 16 << 20

# Batches of activations, float32, with one-hot labels.
_Batches = Iterator[tuple[Any, Any]]


class Fitted(NamedTuple):
    """What `fit_head` has made.

    Attributes
    ----------
    history : DataFrame
        A row for each epoch: ``epoch`` (from 1), ``loss``, ``tpr``, ``tnr``, ``tss``, ``hss`` of the training
        samples while they were learnt from, the same of the validation samples after the epoch
        (``val_loss``, ...), ``samples`` and ``val_samples`` (those that could be read), ``unreadable`` (files
        so far) and ``samples_per_second`` (of the training). The training loss has the class weights, the
        validation loss has none, as in Keras.
    best : dict of str to float
        The row of the epoch whose weights the network has now.
    seconds : float
        Time that the epochs took.
    unreadable : dict of str to str
        Files that could not be read, with the reasons.
    """

    history: pd.DataFrame
    best: dict[str, float]
    seconds: float
    unreadable: dict[str, str]


def fit_head(
    network: Any,
    training: Samples,
    validation: Samples,
    folder: str | PathLike[str],
    *,
    cache: str | PathLike[str] | None = None,
    cache_dtype: Dtype = "float32",
    epochs: int = 5,
    batch: int = 64,
    rate: float = 1e-3,
    patience: int | None = 3,
    seed: int = 0,
    class_weights: bool = True,
    new_head: bool = True,
    fine_tune_from: str | None = None,
    fine_tune_rate: float = 1e-5,
    head_first: bool = True,
    workers: int | None = None,
) -> Fitted:
    """Train the last layer of a network, and more of it if asked, on files of patches.

    Parameters
    ----------
    network : keras.Model
        As `solartrack.models.vgg.network.build` makes it, with its weights. It has those of the best epoch in
        the end.
    training, validation : Samples
        Both with both classes, and without a file in common.
    folder : path-like
        Of the run; it is made. It gets ``history.csv``, ``errors.csv`` (the files that could not be read),
        ``best.weights.h5`` (of the trained layers), ``state.npz`` and the log for TensorBoard. A run that
        was stopped goes on after its last epoch when it is started again in the same way, to the same
        weights.
    cache : path-like, optional
        Folder for the activations of the frozen part, see
        `solartrack.models.vgg.activations.compute_activations`: they are computed once, and each epoch takes
        seconds. Without it all files are read in each epoch. Both ways come to the same up to rounding.
    cache_dtype : {"float32", "float16"}
    epochs : int
    batch : int
        The last batch of an epoch is smaller, and not left out.
    rate : float
        Learning rate of Adam.
    patience : int or None
        End after so many epochs without a higher TSS on the validation samples. None for all epochs, as
        published.
    seed : int
        Of the new head, and of the order of the samples in each epoch.
    class_weights : bool
        Weigh a flare by the number of quiet samples over that of flares, as published; else all weigh alike.
    new_head : bool
        Draw the weights of the last layer anew from the seed; False begins with the network's.
    fine_tune_from : str, optional
        Layer or block from which on all layers are trained, see `solartrack.models.vgg.network.split`. Batch
        normalisation among them stays as it is.
    fine_tune_rate : float
        Learning rate of that.
    head_first : bool
        Before fine-tuning, train the head alone in the folder ``head`` within `folder`: gradients through a
        head that knows nothing would spoil what the layers before it know.
    workers : int, optional
        Processes that read, see `solartrack.models.vgg.dataset.Reader`.

    Returns
    -------
    Fitted

    Raises
    ------
    ValueError
        If samples have one class only, or all that can be read have; if samples share a file; if the folder
        holds a run with other arguments, or the cache is of something else; if an argument is out of range.
    OSError
        If the disk is full, or too small for the cache.
    ModelError
        If the training diverges: the loss is no number.
    ArchiveError
        If another run works in the folder, its state is damaged, or worker processes cannot start.

    References
    ----------
    Simonyan & Zisserman 2015, ICLR, arXiv:1409.1556.
    """
    plan = _Plan(
        as_count(epochs, "epochs"),
        as_count(batch, "batch"),
        None if patience is None else as_count(patience, "patience"),
        int(seed),
        None if cache is None else Path(cache),
        cache_dtype,
        workers,
        bool(class_weights),
    )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be an integer, 0 or more, got {seed!r}")
    if cache_dtype not in ("float32", "float16"):
        raise ValueError(f"cache_dtype must be 'float32' or 'float16', got {cache_dtype!r}")
    _workers.workplace(workers)  # checked before anything is made
    rate, fine_tune_rate = _as_rate(rate, "rate"), _as_rate(fine_tune_rate, "fine_tune_rate")
    _check(training, validation)
    home = Path(folder)
    with _files.exclusive(home):
        _files.remove_partial(home)
        if fine_tune_from is None:
            return _Stage(network, "head", new_head, rate, plan).fit(training, validation, home)
        if head_first:
            head = home / "head"
            with _files.exclusive(head):
                print("the head first", flush=True)
                _Stage(network, "head", new_head, rate, plan).fit(training, validation, head)
            print(f"from {fine_tune_from} on", flush=True)
        stage = _Stage(network, fine_tune_from, new_head and not head_first, fine_tune_rate, plan)
        return stage.fit(training, validation, home)


class _Plan(NamedTuple):
    """Arguments that the stages of a run share."""

    epochs: int
    batch: int
    patience: int | None
    seed: int
    cache: Path | None
    dtype: Dtype
    workers: int | None
    class_weights: bool


def _as_rate(rate: float, name: str) -> float:
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < math.inf:
        raise ValueError(f"{name} must be a positive number, got {rate!r}")
    return float(rate)


def _check(training: Samples, validation: Samples) -> None:
    for name, samples in ("training", training), ("validation", validation):
        if not 0 < samples.flares < len(samples):
            quiet = len(samples) - samples.flares
            raise ValueError(
                f"the {name} samples must have both classes, got {quiet} quiet and {samples.flares} flaring"
            )
    if both := set(real_paths(training.files)) & set(real_paths(validation.files)):
        raise ValueError(
            f"{len(both)} files are training and validation samples, such as {min(both)!r}; "
            "split the samples by region"
        )


class _Stage:
    """Training of a network from one layer on."""

    def __init__(self, network: Any, at: str, new_head: bool, rate: float, plan: _Plan) -> None:
        # Keras is imported with these modules.
        from solartrack.models.vgg.metrics import Score
        from solartrack.models.vgg.network import split

        self._tf = require("tensorflow", extra="train", purpose="training")
        keras = require("keras", extra="train", purpose="training")
        self.network, self.plan, self.rate = network, plan, rate
        self.trunk, self.rest = split(network, at)
        for layer in self.rest.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        if new_head:
            head = network.get_layer("head")
            head.kernel.assign(keras.initializers.GlorotUniform(plan.seed)(head.kernel.shape))
            head.bias.assign(np.zeros(head.bias.shape, np.float32))
        names = {layer.name for layer in self.trunk.layers}
        self.at = next(layer.name for layer in self.rest.layers[1:] if layer.name not in names)
        policies = {layer.dtype_policy.name for layer in self.rest.layers[1:] if layer.trainable_variables}
        half = "mixed_float16" if "mixed_float16" in policies else "float32"
        self.optimizer = runs.loss_scaled(keras.optimizers.Adam(rate), half)
        self.optimizer.build(self.rest.trainable_variables)
        # Sums of an epoch are beyond the digits of float32.
        self.loss, self.counts = keras.metrics.Mean(dtype="float64"), Score("tss")
        self._entropy = keras.losses.categorical_crossentropy

    def fit(self, training: Samples, validation: Samples, home: Path) -> Fitted:
        """Run the epochs that are left in a folder, and load the weights of the best one."""
        plan = self.plan
        weight = (len(training) - training.flares) / training.flares if plan.class_weights else 1.0
        settings = {
            "network": network_hash(self.network),
            "from": self.at,
            "training": _samples_hash(training),
            "validation": _samples_hash(validation),
            "activations": "computed in each epoch" if plan.cache is None else plan.dtype,
            "batch": plan.batch,
            "rate": self.rate,
            "class_weights": plan.class_weights,
            "seed": plan.seed,
        }
        state = runs.RunState(home, [*self.rest.variables, *self.optimizer.variables], settings, _HINTS)
        failures = Failures(home / "errors.csv")
        learn, judge = self._functions(weight)
        with ExitStack() as stack:
            if plan.cache is None:
                first = len(state.history)
                batches = self._from_files(stack, training, validation, first, failures)
            else:
                batches = self._from_cache(plan.cache / self.at, training, validation, failures)

            def epoch(number: int) -> dict[str, float]:
                began = time.perf_counter()
                figures = self._pass(learn, batches(training, number), "training", failures)
                took = time.perf_counter() - began
                tested = self._pass(judge, batches(validation, None), "validation", failures)
                if not math.isfinite(figures["loss"] + tested["loss"]):
                    raise ModelError(
                        f"training diverged in epoch {number + 1}: its loss is no number at a learning rate "
                        f"of {self.rate:g}; lower --rate (or --fine-tune-rate), in another folder"
                    )
                samples = {"samples": figures.pop("samples"), "val_samples": tested.pop("samples")}
                return {
                    **figures,
                    **{f"val_{name}": value for name, value in tested.items()},
                    **samples,
                    "unreadable": len(failures),
                    "samples_per_second": samples["samples"] / took,
                }

            # Also where the run ends with an error: the files may be the reason.
            stack.callback(failures.save)
            runs.run_epochs(
                state, plan.epochs, epoch, chosen=CHOSEN, save=self.rest.save_weights, patience=plan.patience
            )
        self.rest.load_weights(home / runs.BEST)
        best = state.history[runs.best_epoch(state.history, CHOSEN)]
        return Fitted(pd.DataFrame(state.history), best, state.seconds, failures.reasons)

    def _pass(
        self, work: Callable[[Any, Any], None], batches: _Batches, name: str, failures: Failures
    ) -> dict[str, float]:
        """One time through the samples of a kind; their figures."""
        self.loss.reset_state()
        self.counts.reset_state()
        for features, labels in batches:
            work(features, labels)
        tn, fp, fn, tp = np.asarray(self.counts.counts.value)
        if not (tn + fp and fn + tp):
            first = next(iter(failures.reasons.items()), None)
            said = f", such as {first[0]}: {first[1]}" if first else ""
            if first and not os.path.isabs(first[0]):
                said += f" (relative paths begin in {os.getcwd()})"
            raise ValueError(
                f"of the {name} samples {tn + fp:.0f} quiet and {fn + tp:.0f} flaring ones could be read, "
                f"but both are needed; {len(failures)} files cannot be read{said}"
            )
        return {
            "loss": float(self.loss.result()),
            **self.counts.all_scores(),
            "samples": float(tn + fp + fn + tp),
        }

    def _functions(self, flare_weight: float) -> tuple[Callable[..., None], Callable[..., None]]:
        """What learns from activations, in batches one after the other, and what tests with them."""
        tf, rest, size = self._tf, self.rest, self.plan.batch
        variables = rest.trainable_variables
        signature = [
            tf.TensorSpec((None, *self.trunk.output_shape[1:]), tf.float32),
            tf.TensorSpec((None, 2), tf.float32),
        ]

        def step(features: Any, labels: Any) -> None:
            with tf.GradientTape() as tape:
                found = rest(features, training=True)
                weights = labels[:, 0] + flare_weight * labels[:, 1]
                losses = weights * self._entropy(labels, found)
                loss = tf.reduce_mean(losses)
                scaled = self.optimizer.scale_loss(loss)
            self.optimizer.apply(tape.gradient(scaled, variables), variables)
            self.loss.update_state(losses)
            self.counts.update_state(labels, found)

        def learn(features: Any, labels: Any) -> None:
            for start in tf.range(0, tf.shape(labels)[0], size):
                step(features[start : start + size], labels[start : start + size])

        def judge(features: Any, labels: Any) -> None:
            found = rest(features, training=False)
            self.loss.update_state(self._entropy(labels, found))
            self.counts.update_state(labels, found)

        learning: Callable[..., None] = tf.function(learn, input_signature=signature)
        return learning, tf.function(judge, input_signature=signature)

    def _from_files(
        self, stack: ExitStack, training: Samples, validation: Samples, first: int, failures: Failures
    ) -> Callable[[Samples, int | None], _Batches]:
        """Activations that are computed from the files in each epoch."""
        plan, trunk = self.plan, self.trunk
        passes = []
        for epoch in range(first, plan.epochs):
            passes.append(Pass(training, partial(permutation, len(training), plan.seed, epoch)))
            passes.append(Pass(validation, partial(np.arange, len(validation))))
        seen = MagnetogramPatch(trunk.input_shape[1])
        reader = stack.enter_context(Reader(passes, seen, workers=plan.workers, failures=failures))

        infer = inference(trunk)

        def batches(samples: Samples, epoch: int | None) -> _Batches:
            for fields, labels, _ in reader.batches(plan.batch):
                yield infer(fields), labels

        return batches

    def _from_cache(
        self, home: Path, training: Samples, validation: Samples, failures: Failures
    ) -> Callable[[Samples, int | None], _Batches]:
        """Activations that are computed once."""
        plan, stored = self.plan, dict[int, Activations]()
        sets = {"training": training, "validation": validation}
        sizes = {name: planned_bytes(self.trunk, len(each), plan.dtype) for name, each in sets.items()}
        print(
            f"activations in {home}: " + ", ".join(f"{n} {s / 1e6:.1f} MB" for n, s in sizes.items()),
            flush=True,
        )
        for name, samples in sets.items():
            made = compute_activations(
                self.trunk,
                samples.files,
                home / name,
                dtype=plan.dtype,
                batch=plan.batch,
                workers=plan.workers,
            )
            stored[id(samples)] = made
            for row, reason in made.reasons.items():
                failures.add(samples.files[row], reason)
        row_bytes = 4 * int(np.prod(self.trunk.output_shape[1:]))
        many = max(1, _READ_BYTES // (row_bytes * plan.batch)) * plan.batch

        def batches(samples: Samples, epoch: int | None) -> _Batches:
            rows = np.arange(len(samples))
            if epoch is not None:
                rows = permutation(len(samples), plan.seed, epoch)
            made = stored[id(samples)]
            rows = rows[made.readable[rows]]
            for start in range(0, len(rows), many):
                some = rows[start : start + many]
                yield made.rows(some), np.eye(2, dtype=np.float32)[samples.labels[some]]

        return batches


def _samples_hash(samples: Samples) -> str:
    labels: NDArray[np.int8] = samples.labels
    return hashlib.sha256(files_hash(samples.files).encode() + labels.tobytes()).hexdigest()
