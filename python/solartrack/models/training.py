"""What every training run needs, whatever its network: a GPU or not, a state to resume, epochs, a log."""

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from solartrack import __version__, _files
from solartrack._optional import require
from solartrack.errors import ArchiveError

__all__ = [
    "BEST",
    "PRECISIONS",
    "STATE",
    "Hardware",
    "RunState",
    "ScalarLog",
    "best_epoch",
    "loss_scaled",
    "prepare",
    "run_epochs",
    "versions",
]

#: Choices of precision for training; "auto" is "mixed_float16" on a GPU, else "float32".
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")
#: File in the folder of a run with the weights of its best epoch so far.
BEST = "best.weights.h5"
#: File in the folder of a run by which it goes on.
STATE = "state.npz"


class Hardware(NamedTuple):
    """What a run is computed on, and in which precision.

    Attributes
    ----------
    gpu : bool
    name : str
        Of the GPU, or "CPU".
    precision : str
        A Keras dtype policy.
    """

    gpu: bool
    name: str
    precision: str


def prepare(*, precision: str, seed: int) -> Hardware:
    """Set TensorFlow up for a run: seeds, and GPU memory that is taken as it is needed.

    Parameters
    ----------
    precision : str
        One of `PRECISIONS`.
    seed : int

    Returns
    -------
    Hardware

    Raises
    ------
    ImportError
        If TensorFlow or Keras is not installed.
    """
    tf = require("tensorflow", extra="train", purpose="training")
    keras = require("keras", extra="train", purpose="training")
    keras.utils.set_random_seed(seed)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if precision == "auto":
        precision = "mixed_float16" if gpus else "float32"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
    return Hardware(bool(gpus), name, precision)


def loss_scaled(optimizer: Any, precision: str) -> Any:
    """The optimizer, with a scaled loss where float16 would underflow."""
    if precision != "mixed_float16":
        return optimizer
    keras = require("keras", extra="train", purpose="training")
    return keras.optimizers.LossScaleOptimizer(optimizer)


def versions() -> dict[str, str]:
    """Versions of the packages that a training run depends on."""
    tf = require("tensorflow", extra="train", purpose="training")
    keras = require("keras", extra="train", purpose="training")
    return {"solartrack": __version__, "keras": keras.__version__, "tensorflow": tf.__version__}


class RunState:
    """Variables and history of a run in one file, ``state.npz``, which is replaced as a whole.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    variables : iterable of keras.Variable
        All that changes while the run learns: variables of the network, its random states and those of the
        optimizer. They must exist already. What is frozen is left out by who calls: it would be written
        after each epoch.
    settings : mapping
        What must be the same for a stopped run to continue, in values that JSON can hold.
    hints : mapping of str to str, optional
        What else to say of a setting that is not the same.

    Attributes
    ----------
    folder : Path
    history : list of dict
        Figures of each finished epoch.
    seconds : float
        Time that these epochs took.

    Raises
    ------
    ValueError
        If the folder holds a run with other settings.
    ArchiveError
        If ``state.npz`` is damaged.
    """

    def __init__(
        self,
        folder: Path,
        variables: Iterable[Any],
        settings: Mapping[str, Any],
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self._settings, self._hints = folder, json.loads(json.dumps(settings)), hints or {}
        self._path, self._variables = folder / STATE, list(variables)
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        if self._path.exists():
            self._load()

    def add(self, figures: dict[str, float], seconds: float) -> None:
        """Add an epoch's figures and save everything."""
        self.history.append(figures)
        self.seconds += seconds
        arrays: dict[str, Any] = {f"v{i}": np.asarray(v.value) for i, v in enumerate(self._variables)}
        record = {"settings": self._settings, "history": self.history, "seconds": self.seconds}
        with _files.replacing(self._path) as partial:
            np.savez(partial, record=np.array(json.dumps(record)), **arrays)
        self._write_history()

    def _write_history(self) -> None:
        # After the state: results without one are not of a run (a killed one gets it when it goes on).
        with _files.replacing(self._path.with_name("history.csv")) as partial:
            pd.DataFrame(self.history).to_csv(partial, index=False)

    def _load(self) -> None:
        try:
            # NumPy leaves a file open that it cannot read.
            with self._path.open("rb") as file, np.load(file) as stored:
                record = json.loads(str(stored["record"]))
                settings, history, seconds = (record[key] for key in ("settings", "history", "seconds"))
                different = [k for k, v in self._settings.items() if settings.get(k) != v]
                values = [] if different else [stored[f"v{i}"] for i in range(len(self._variables))]
        # Damaged archives raise nearly anything.
        except Exception as error:
            raise ArchiveError(
                f"{self._path} is damaged; choose another folder, or remove this one to begin anew"
            ) from error
        if different:
            hints = "".join(f"; {self._hints[name]}" for name in different if name in self._hints)
            raise ValueError(
                f"{self._path.parent} holds a run with other settings ({', '.join(different)}); "
                f"choose another folder, or repeat that run's arguments{hints}"
            )
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
        self.history, self.seconds = history, seconds
        self._write_history()


def best_epoch(history: Iterable[Mapping[str, float]], chosen: str) -> int:
    """Place of the epoch whose figure `chosen` is the largest: the first of equal ones; NaN is the least.

    Raises
    ------
    ValueError
        If there is no epoch.
    """
    figures = [-math.inf if math.isnan(row[chosen]) else row[chosen] for row in history]
    return figures.index(max(figures))


def run_epochs(
    state: RunState,
    epochs: int,
    learn: Callable[[int], Mapping[str, float]],
    *,
    chosen: str,
    save: Callable[[Path], None],
    patience: int | None = None,
) -> None:
    """Run the epochs that are left of a run, and keep the weights of the best one.

    After each epoch its figures are printed, added to the log in the folder ``tensorboard``, and saved with
    the state. A run that is killed loses the epoch that it was in, and repeats it when it is started again.

    Parameters
    ----------
    state : RunState
    epochs : int
        How many there shall be, those included that `state` has from before.
    learn : callable
        Of an epoch's number, from 0: trains and tests, and gives the figures. What is drawn at random in it
        must depend on that number and the run's seed alone.
    chosen : str
        The figure by which the best epoch is chosen (`best_epoch`).
    save : callable
        Of a path: writes the weights as they are now.
    patience : int, optional
        End early after so many epochs without a better one.

    Raises
    ------
    ValueError
        If the run has more epochs already.
    """
    if len(state.history) > epochs:
        raise ValueError(
            f"{state.folder} holds a run of {len(state.history)} epochs, and {epochs} are asked for; choose "
            "another folder, or ask for at least as many"
        )
    log = ScalarLog(state.folder / "tensorboard")
    if state.history:
        print(f"going on after epoch {len(state.history)} of {epochs}", flush=True)
    for epoch in range(len(state.history), epochs):
        if patience is not None and epoch and epoch - 1 - best_epoch(state.history, chosen) >= patience:
            print(f"no better {chosen} in {patience} epochs: ended after {epoch} of {epochs}", flush=True)
            return
        began = time.perf_counter()
        figures: dict[str, float] = {"epoch": epoch + 1, **learn(epoch)}
        log.write(epoch + 1, figures)
        # Before the state: a run that is killed in between does the epoch again, and comes to the same.
        if best_epoch([*state.history, figures], chosen) == epoch:
            with _files.replacing(state.folder / BEST) as partial:
                save(partial)
        state.add(figures, time.perf_counter() - began)
        print("  ".join(f"{k} {v:.4g}" for k, v in figures.items()), flush=True)


class ScalarLog:
    """Figures of each epoch, for TensorBoard.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._tf = require("tensorflow", extra="train", purpose="training")
        self._writer = self._tf.summary.create_file_writer(os.fspath(folder))

    def write(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Add an epoch's figures."""
        # What tf.summary.scalar does, which now needs TensorBoard itself to be installed.
        about = self._tf.compat.v1.SummaryMetadata(data_class=1)
        about.plugin_data.plugin_name = "scalars"
        with self._writer.as_default(step=epoch):
            for name, value in figures.items():
                self._tf.summary.write(name, self._tf.constant(value, self._tf.float32), metadata=about)
        self._writer.flush()
