"""What every training run needs, whatever its network: a GPU or not, resumable state, a log of scalars."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from solartrack import __version__, _files
from solartrack._optional import require

__all__ = ["PRECISIONS", "Hardware", "RunState", "ScalarLog", "loss_scaled", "prepare", "versions"]

#: Choices of precision for training; "auto" is "mixed_float16" on a GPU, else "float32".
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")


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
    """Weights, optimizer and history of a run in one file, ``state.npz``, which is replaced as a whole.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    network, optimizer : keras.Model, keras.Optimizer
        Built, so that all their variables exist.
    settings : mapping
        What must be the same for a stopped run to continue, in values that JSON can hold.

    Attributes
    ----------
    history : list of dict
        Figures of each finished epoch.
    seconds : float
        Time that these epochs took.

    Raises
    ------
    ValueError
        If the folder holds a run with other settings.
    """

    def __init__(self, folder: Path, network: Any, optimizer: Any, settings: Mapping[str, Any]) -> None:
        self._path, self._settings = folder / "state.npz", json.loads(json.dumps(settings))
        self._variables = [*network.variables, *optimizer.variables]
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        if self._path.exists():
            self._load()

    def add(self, figures: dict[str, float], seconds: float) -> None:
        """Add an epoch's figures and save everything."""
        self.history.append(figures)
        self.seconds += seconds
        with _files.replacing(self._path.with_name("history.csv")) as partial:
            pd.DataFrame(self.history).to_csv(partial, index=False)
        arrays: dict[str, Any] = {f"v{i}": np.asarray(v.value) for i, v in enumerate(self._variables)}
        record = {"settings": self._settings, "history": self.history, "seconds": self.seconds}
        with _files.replacing(self._path) as partial:
            np.savez(partial, record=np.array(json.dumps(record)), **arrays)

    def _load(self) -> None:
        with np.load(self._path) as stored:
            record = json.loads(str(stored["record"]))
            different = [k for k, v in self._settings.items() if record["settings"].get(k) != v]
            if different:
                raise ValueError(
                    f"{self._path.parent} holds a run with other settings ({', '.join(different)}); "
                    "choose another folder, or repeat that run's arguments"
                )
            for i, variable in enumerate(self._variables):
                variable.assign(stored[f"v{i}"])
        self.history, self.seconds = record["history"], record["seconds"]


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
