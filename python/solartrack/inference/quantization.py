"""Networks in 8-bit integers, for CPUs."""

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from solartrack._optional import require
from solartrack.inference.conventions import Float32Array

__all__ = ["quantize"]

# Layers that have a form in integers; poolings and sums only pass values on, which saves conversions.
_KINDS = ("Conv", "Gemm", "Relu", "Clip", "MaxPool", "Add", "GlobalAveragePool")


def quantize(
    source: Path,
    target: Path,
    batches: Iterable[Mapping[str, Float32Array]],
    *,
    keep: Callable[[str], bool] = lambda name: False,
) -> None:
    """Quantise the convolutions and dense layers of an ONNX file with fixed scales.

    Weights have 7 bits and a scale for each output channel: with 8, sums of two products overflow 16 bits on
    processors without VNNI, and the file may be used on any. Activations have 8 bits; their ranges are the
    smallest and largest values that the batches make. Batch normalisation becomes part of its convolution.

    Parameters
    ----------
    source, target : Path
        ONNX files. Files of the size of `source` are written to the folder of `target` and removed.
    batches : iterable of mapping of str to ndarray
        Inputs of the network, such as it will see.
    keep : callable
        Whether the node of a name stays in float32.

    Raises
    ------
    ImportError
        If ONNX Runtime or onnx is not installed.
    """
    ort = require("onnxruntime", extra="cpu", purpose="quantising networks")
    onnx = require("onnx", extra="train", purpose="quantising networks")
    quantization = require("onnxruntime.quantization", extra="cpu", purpose="quantising networks")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            self._rows = iter(batches)

        def get_next(self) -> Any:
            return next(self._rows, None)

    with tempfile.TemporaryDirectory(prefix=".quantise-", dir=target.parent) as folder:
        simple = Path(folder, "simple.onnx")
        _simplify(ort, onnx, source, simple)
        nodes = onnx.load_model(os.fspath(simple)).graph.node
        quantization.quantize_static(
            os.fspath(simple),
            os.fspath(target),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(_KINDS),
            nodes_to_quantize=[n.name for n in nodes if n.op_type in _KINDS and not keep(n.name)],
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


def _simplify(ort: Any, onnx: Any, source: Path, target: Path) -> None:
    """Let the runtime put batch normalisation into convolutions, in nodes that ONNX itself has."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = os.fspath(target)
    options.log_severity_level = 3
    ort.InferenceSession(os.fspath(source), options, providers=["CPUExecutionProvider"])
    proto = onnx.load_model(os.fspath(target))
    # What the runtime's own preparation leaves; without it, it logs that it is missing.
    proto.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    onnx.save_model(proto, os.fspath(target))
