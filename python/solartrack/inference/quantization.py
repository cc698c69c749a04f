"""Networks in 8-bit integers, for CPUs."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from solartrack import _files
from solartrack._optional import require
from solartrack.inference.conventions import Float32Array

__all__ = ["quantize"]

# Layers that have a form in integers, and those between them that would need conversions otherwise. Not the
# average over the image: one step for all channels is as large as the weaker averages.
_KINDS = ("Conv", "Gemm", "Relu", "Clip", "MaxPool", "Add")


def quantize(
    source: Path,
    target: Path,
    batches: Sequence[Mapping[str, Float32Array]],
    *,
    keep: Callable[[str], bool] = lambda name: False,
    percentile: float = 100.0,
) -> None:
    """Quantise the convolutions and dense layers of an ONNX file with fixed scales.

    Weights have 7 bits and a scale for each output channel: with 8, sums of two products overflow 16 bits on
    processors without VNNI, and the file may be used on any. Activations have 8 bits; their ranges are those
    of the values that the batches make. Batch normalisation becomes part of its convolution.

    Parameters
    ----------
    source, target : Path
        ONNX files. Files of the size of `source` are written to the folder of `target` and removed.
    batches : sequence of mapping of str to ndarray
        Inputs of the network, such as it will see; at least one. Each is run alone, and what all layers make
        of it is held in memory.
    keep : callable
        Whether the node of a name stays in float32.
    percentile : float
        How much of the values of a tensor its range holds, percent. A few large ones, cut off, may allow
        finer steps for all others.

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
            self.set_range(0, len(batches))

        def __len__(self) -> int:
            return len(batches)

        def set_range(self, start_index: int, end_index: int) -> None:
            self._rows = iter(batches[start_index:end_index])

        def get_next(self) -> Any:
            return next(self._rows, None)

    with _files.scratch(target.parent) as folder:
        simple = Path(folder, "simple.onnx")
        _simplify(ort, onnx, source, simple)
        nodes = onnx.load_model(os.fspath(simple)).graph.node
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its steps
            quantization.quantize_static(
                os.fspath(simple),
                os.fspath(target),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(_KINDS),
                nodes_to_quantize=[n.name for n in nodes if n.op_type in _KINDS and not keep(n.name)],
                calibrate_method=quantization.CalibrationMethod.Percentile,
                # The stride makes it take one batch at a time, not all of them with all that they make.
                extra_options={"CalibPercentile": percentile, "CalibStridedMinMax": 1},
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
