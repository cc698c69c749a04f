"""Writes Keras networks as ONNX files; each is compared with Keras before it gets its final name."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from solartrack import __version__, _files
from solartrack._optional import require
from solartrack.errors import ModelError
from solartrack.inference import KEY, SHIPPED, Convention, Model, ModelInfo
from solartrack.models.onnx_graph import LAYERS, to_onnx

__all__ = ["LAYERS", "TOLERANCE", "export", "to_onnx"]

#: Largest difference between ONNX and Keras for each precision, as a share of the output's range.
TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "int8": 2e-2}


def export(
    network: Any,
    path: str | os.PathLike[str],
    convention: Convention,
    *,
    name: str,
    version: str = __version__,
    training: Mapping[str, Any],
    precision: str = "fp32",
    tolerance: float | None = None,
) -> ModelInfo:
    """Write a Keras network as an ONNX file that `solartrack.inference` runs.

    Parameters
    ----------
    network : keras.Model
        Functional, in float32, with the convention's inputs and outputs.
    path : path
        Ends in ``.onnx``. An existing file is replaced, only once the new one is verified.
    convention : Convention
        How the inputs are made.
    name : str
        Name of the model, for result tables; not one of `solartrack.inference.SHIPPED`.
    version : str
        Its version; default that of solartrack.
    training : mapping
        What it was trained on, in values that JSON can hold.
    precision : {"fp32", "fp16", "int8"}
        "fp16" keeps inputs, outputs and normalisation in float32. "int8" quantises the dense layers
        only (weights of 7 bits, one scale for each unit; inputs dynamically), because dynamically
        quantised convolutions are five times slower.
    tolerance : float, optional
        Largest allowed difference from Keras on random inputs, as a share of the output's range; ten
        times as much for the convention's optional outputs. Default: `TOLERANCE` of the precision.

    Returns
    -------
    ModelInfo
        The metadata of the file.

    Raises
    ------
    ModelError
        If a layer is not in `LAYERS` or has a setting that its node cannot express, or if the file does
        not compute what Keras does. An existing file then stays as it is.
    ValueError
        If the precision is unknown, the suffix is not ``.onnx``, or the name is that of a shipped model.
    ImportError
        If keras, onnx or onnxruntime is not installed.

    Examples
    --------
    >>> from solartrack import inference
    >>> from solartrack.models import export
    >>> from solartrack.models.goturn import network, presets
    >>> lite = presets.PRESETS["goturn-lite"]
    >>> untrained = network.build("goturn-lite", seed=1)
    >>> about = {"name": "mine", "training": {"steps": 0}}
    >>> info = export.export(untrained, "mine.onnx", lite.crops, **about)
    >>> inference.Model.load("mine.onnx", device="cpu").info == info
    True
    """
    refuse_shipped(name)
    return write(
        network,
        path,
        convention,
        name=name,
        version=version,
        training=training,
        precision=precision,
        tolerance=tolerance,
    )


def refuse_shipped(name: str) -> None:
    """Refuse the name of a model that comes with the package: its rows would pass for the shipped one's."""
    if name.strip().lower() in SHIPPED:
        raise ValueError(
            f"name {name!r} is that of the network that comes with solartrack; give yours another, such as "
            f"{name.strip() + ':mine'!r}"
        )


def write(
    network: Any,
    path: str | os.PathLike[str],
    convention: Convention,
    *,
    name: str,
    version: str,
    training: Mapping[str, Any],
    precision: str,
    tolerance: float | None = None,
) -> ModelInfo:
    """`export` under any name: for the training runs that make the files of the package itself."""
    target = checked(path, precision)
    allowed = TOLERANCE[precision] if tolerance is None else tolerance
    return store(
        to_onnx(network, precision=precision),
        target,
        convention,
        name=name,
        version=version,
        training=training,
        precision=precision,
        verify=lambda file: _verify(network, file, convention, allowed),
    )


def checked(path: str | os.PathLike[str], precision: str) -> Path:
    """The path, if its suffix and the precision are right."""
    target = Path(path)
    if target.suffix != ".onnx":
        raise ValueError(f"path must end in .onnx, got {target}")
    if precision not in TOLERANCE:
        raise ValueError(f"precision must be one of {', '.join(TOLERANCE)}, got {precision!r}")
    return target


def store(
    proto: Any,
    target: Path,
    convention: Convention,
    *,
    name: str,
    version: str,
    training: Mapping[str, Any],
    precision: str,
    verify: Callable[[Path], None],
) -> ModelInfo:
    """Write a graph with its metadata; the file gets its name once `verify` has not raised.

    The graph is emptied: it may take half a gigabyte.
    """
    onnx = require("onnx", extra="train", purpose="exporting networks")
    info = ModelInfo(name, version, precision, convention, dict(training), _weights_hash(onnx, proto))
    proto.metadata_props.add(key=KEY, value=info.to_json())
    with _files.replacing(target) as partial:
        onnx.save_model(proto, os.fspath(partial))
        proto.Clear()
        onnx.checker.check_model(os.fspath(partial))
        verify(partial)
    return info


def _weights_hash(onnx: Any, proto: Any) -> str:
    digest = hashlib.sha256()
    for tensor in sorted(proto.graph.initializer, key=lambda t: t.name):
        digest.update(f"{tensor.name} {tensor.data_type} {list(tensor.dims)} ".encode())
        digest.update(tensor.raw_data or onnx.numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()


def _verify(network: Any, file: Path, convention: Convention, tolerance: float) -> None:
    """Compare the file with Keras on random inputs: noise, and smooth images such as the Sun's."""
    rng = np.random.default_rng(0)
    mean = np.array(convention.mean, np.float32)
    inputs = {}
    for name, shape in convention.trial.items():
        noise = rng.uniform(0.0, 255.0, (2, *shape))
        noise[1] = np.clip(
            noise[1].cumsum(axis=0) - 127.0 * np.arange(1, shape[0] + 1)[:, None, None], 0, 255
        )
        inputs[name] = (noise - mean).astype(np.float32)
    wanted = {n: np.asarray(v) for n, v in network.predict_on_batch(inputs).items()}
    got = Model.load(file, device="cpu").run(inputs)
    if set(wanted) != set(got):
        raise ModelError(f"the network gives {', '.join(wanted)}, the exported file {', '.join(got)}")
    for name, values in wanted.items():
        apart = float(np.abs(got[name] - values).max()) / convention.ranges[name]
        # On noise a network is far from anything it has learnt; only the main output must be exact.
        allowed = 10.0 * tolerance if name in convention.optional else tolerance
        if not apart <= allowed:
            raise ModelError(
                f"the exported file differs from Keras by {apart:.2g} of the range of {name}, "
                f"{allowed:g} is allowed; it was not kept"
            )
