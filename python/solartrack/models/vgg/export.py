"""Writes classifiers of patches as ONNX files that take patches of any size, in gauss."""

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack import __version__, _files
from solartrack._optional import require
from solartrack.errors import ModelError
from solartrack.inference import MagnetogramPatch, Model, ModelInfo
from solartrack.inference.patches import resize
from solartrack.inference.quantization import quantize
from solartrack.models.export import checked, refuse_shipped, store
from solartrack.models.onnx_graph import to_onnx
from solartrack.models.vgg.resize_graph import PREFIX, resize_nodes

__all__ = ["TOLERANCE", "export"]

#: Largest difference between the probabilities of ONNX and of Keras; for int8 the root of its mean square.
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.03}

_FIELD = f"{PREFIX}field"
# Most patches by which an int8 file is calibrated, and checked.
_MOST, _MOST_CHECKED = 1000, 200
# Half of the largest float16: other patches may be stronger than those that are looked at.
_LARGEST_HALF = 65504.0 / 2.0
# How much of the values of a tensor the integers hold: all, for small networks; without the largest ones,
# which deep networks have in the strongest spots. Which is better is tried.
_PERCENTILES = (100.0, 99.99)


def export(
    network: Any,
    path: str | os.PathLike[str],
    *,
    name: str,
    version: str = __version__,
    training: Mapping[str, Any],
    precision: str = "fp32",
    calibration: Iterable[ArrayLike] | None = None,
    tolerance: float | None = None,
) -> ModelInfo:
    """Write a classifier as an ONNX file that `solartrack.inference` runs.

    The file takes ``patch``, float32 (n, rows, columns), gauss, of any size, resizes it as published, and
    gives ``probability``, (n, 1), of the second class. Patches that have the network's side pass unchanged:
    `solartrack.inference.patches.resize` is faster, does the same, and makes batches of patches of all sizes.

    Parameters
    ----------
    network : keras.Model
        As `solartrack.models.vgg.network.build` makes it, in float32.
    path : path
        Ends in ``.onnx``. An existing file is replaced, only once the new one is verified.
    name : str
        Name of the model, for result tables; not one of `solartrack.inference.SHIPPED`.
    version : str
        Its version; default that of solartrack.
    training : mapping
        What it was trained on, in values that JSON can hold.
    precision : {"fp32", "fp16", "int8"}
        "fp16" is for CUDA devices; "int8" for CPUs, see `solartrack.inference.quantization`. In both the
        resize, the channels and the softmax stay in float32; in "int8" so do the first convolution, which
        sees the field in steps of 50 gauss otherwise, and the last layer. An "fp16" file is compared with
        Keras on the CPU, which works in more digits than CUDA and knows no overflow: so the values of all
        layers are looked at, too, and a network in which one takes more than half of float16's range is
        refused. How CUDA rounds has not been seen.
    calibration : iterable of array_like, shape (rows, columns), optional
        Patches in gauss for "int8", at least 16, such as the network will see, some with flares: the steps of
        the integers are chosen by what they make in the network. The first 1000 are used, one at a time. For
        "fp16" the first 200 are looked at for large values, if there are any.
    tolerance : float, optional
        Largest allowed difference from Keras's probabilities on random patches of several sizes; for "int8",
        where single patches may be far off, the root mean square of the differences on the first 200 of
        `calibration`. Default: `TOLERANCE` of the precision.

    Returns
    -------
    ModelInfo
        The metadata of the file.

    Raises
    ------
    ModelError
        If the file does not compute what Keras does, or a layer cannot be exported. An existing file then
        stays as it is.
    ValueError
        If the precision is unknown, the suffix is not ``.onnx``, the name is that of a shipped model, or
        there are too few patches for "int8", or one is no patch.
    ImportError
        If keras, onnx or onnxruntime is not installed.
    """
    refuse_shipped(name)
    target = checked(path, precision)
    patches = [] if precision == "fp32" or calibration is None else _patches(calibration)
    if precision == "int8" and len(patches) < 16:
        raise ValueError(
            f"int8 needs at least 16 patches for calibration, got {len(patches)}: "
            "their activations decide the scales; give some of the training set"
        )
    channels = network.get_layer("channels")
    convention = MagnetogramPatch(int(network.inputs[0].shape[1]), channels.field_gauss)
    if precision == "fp16":
        _must_fit_in_half(network, [*_trials(convention), *(p[None] for p in patches[:_MOST_CHECKED])])
    onnx = require("onnx", extra="train", purpose="exporting networks")
    proto = to_onnx(network, precision="fp16" if precision == "fp16" else "fp32")
    _complete(onnx, proto, convention.side)
    allowed = TOLERANCE[precision] if tolerance is None else tolerance
    said: dict[str, Any] = {"name": name, "version": version, "training": training, "precision": precision}
    if precision == "int8":
        return _store_int8(onnx, network, proto, target, convention, patches, allowed, said)

    def verify(file: Path) -> None:
        worst = max(_apart(network, file, _trials(convention)), key=_size)
        if not worst <= allowed:
            raise _differs(f"{worst:.2g} in a probability", allowed)

    return store(proto, target, convention, verify=verify, **said)


def _store_int8(
    onnx: Any,
    network: Any,
    proto: Any,
    target: Path,
    convention: MagnetogramPatch,
    patches: list[NDArray[np.float32]],
    allowed: float,
    said: Mapping[str, Any],
) -> ModelInfo:
    """Quantise a graph with each of the ranges, and write the file that is nearer to Keras."""
    batches = [{"patch": patch[None]} for patch in patches]
    first = next(layer.name for layer in network.layers if layer.weights)
    floating = (PREFIX, *(f"{name}/" for name in ("channels", first, network.layers[-1].name)))
    made: list[tuple[float, Path, ModelInfo]] = []
    with _files.scratch(target.parent) as folder:
        exact = Path(folder, "exact.onnx")
        onnx.save_model(proto, os.fspath(exact))
        proto.Clear()
        for percentile in _PERCENTILES:
            plain, file = Path(folder, f"{percentile}-plain.onnx"), Path(folder, f"{percentile}.onnx")
            quantize(
                exact, plain, batches, keep=lambda name: name.startswith(floating), percentile=percentile
            )
            small = onnx.load_model(os.fspath(plain))
            del small.metadata_props[:]
            apart: list[float] = []

            def measure(file: Path, apart: list[float] = apart) -> None:
                apart += _apart(network, file, (patch[None] for patch in patches[:_MOST_CHECKED]))

            info = store(small, file, convention, verify=measure, **said)
            made.append((math.sqrt(sum(d * d for d in apart) / len(apart)), file, info))
        rms, best, info = min(made, key=lambda one: _size(one[0]))
        if not rms <= allowed:
            raise _differs(f"{rms:.2g} (root mean square) in the probabilities", allowed)
        with _files.replacing(target) as partial:
            shutil.copyfile(best, partial)
    return info


def _must_fit_in_half(network: Any, batches: Iterable[NDArray[np.float32]]) -> None:
    """Refuse a network whose weights or values float16 does not hold with room to spare."""
    keras = require("keras", extra="train", purpose="exporting networks")
    side = network.inputs[0].shape[1]
    # What is before and after these stays in float32.
    layers = [
        one for one in network.layers[:-1] if type(one).__name__ not in ("InputLayer", "MagnetogramChannels")
    ]
    look = keras.Model(network.inputs, {layer.name: layer.output for layer in layers})
    largest = {
        f"the weights of {layer.name}": max(float(np.abs(w).max()) for w in layer.get_weights())
        for layer in layers
        if layer.weights
    }
    for batch in batches:
        for field in batch:
            found = look.predict_on_batch(resize(field, side)[None, ..., None])
            for name, values in found.items():
                key = f"the output of {name}"
                largest[key] = max(largest.get(key, 0.0), float(np.abs(values).max()))
    name, value = max(largest.items(), key=lambda one: _size(one[1]))
    if not value <= _LARGEST_HALF:
        raise ModelError(
            f"fp16 would overflow: {name} has a value of {value:.4g}, and half of float16's range is "
            f"{_LARGEST_HALF:.0f}; export it in fp32"
        )


def _patches(calibration: Iterable[ArrayLike]) -> list[NDArray[np.float32]]:
    patches = []
    for number, patch in zip(range(_MOST), calibration, strict=False):
        field = np.asarray(patch, np.float32)
        if field.ndim != 2 or min(field.shape) < MagnetogramPatch.smallest or not np.isfinite(field).all():
            raise ValueError(
                f"patch {number} of calibration must have shape (rows, columns), at least "
                f"{MagnetogramPatch.smallest} pixels each, and finite values, got shape {field.shape}"
            )
        patches.append(field)
    return patches


def _complete(onnx: Any, proto: Any, side: int) -> None:
    """Put the resize before the network, and take the second column of its answer."""
    graph, helper, kind = proto.graph, onnx.helper, onnx.TensorProto.FLOAT
    source, answer = graph.input[0].name, graph.output[0].name
    before, constants = resize_nodes(onnx, "patch", _FIELD, side)
    columns = {"starts": [1], "ends": [2], "axes": [1]}
    bounds = [onnx.numpy_helper.from_array(np.array(v), f"column/{k}") for k, v in columns.items()]
    last = helper.make_node("Slice", [answer, *(b.name for b in bounds)], ["probability"], name="column:node")
    nodes = [*before, *graph.node, last]
    for node in nodes:
        for place, value in enumerate(node.input):
            if value == source:
                node.input[place] = _FIELD
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*constants, *bounds])
    graph.input.append(helper.make_tensor_value_info("patch", kind, ["n", "rows", "columns"]))
    graph.output.append(helper.make_tensor_value_info("probability", kind, ["n", 1]))


def _trials(convention: MagnetogramPatch) -> Iterator[NDArray[np.float32]]:
    """Patches of several sizes: noise, and smooth fields such as the Sun's."""
    rng, side = np.random.default_rng(0), convention.side
    for rows, columns in ((side, side), (600, 600), (2 * side + 1, side + 7), (convention.smallest, 377)):
        noise = rng.normal(0.0, 300.0, (2, rows, columns))
        y, x = (np.linspace(-1.0, 1.0, n) for n in (rows, columns))
        spots = np.exp(-8.0 * ((x + 0.3) ** 2 + y[:, None] ** 2)) - np.exp(
            -8.0 * ((x - 0.3) ** 2 + y[:, None] ** 2)
        )
        noise[1] = 0.1 * noise[1] + 2500.0 * spots
        yield noise.astype(np.float32)


def _apart(network: Any, file: Path, batches: Iterable[NDArray[np.float32]]) -> list[float]:
    """Differences from Keras in the probabilities."""
    model = Model.load(file, device="cpu", warm_up=())
    side, apart = network.inputs[0].shape[1], []
    for batch in batches:
        fields = np.stack([resize(patch, side) for patch in batch])[..., None]
        wanted = np.asarray(network.predict_on_batch(fields))[:, 1:]
        apart += np.abs(model.run({"patch": batch})["probability"] - wanted).ravel().tolist()
    return apart


def _size(difference: float) -> float:
    return math.inf if math.isnan(difference) else difference


def _differs(what: str, allowed: float) -> ModelError:
    return ModelError(
        f"the exported file differs from Keras by {what}, {allowed:g} is allowed; it was not kept"
    )
