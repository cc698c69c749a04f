"""Support vector machines as ONNX graphs.

skl2onnx has no converter for `sklearn.kernel_approximation.Nystroem`, and computes kernels in float32. All
machines of `solartrack.flares.svm` are sums over support vectors or landmarks, or linear: a dozen nodes in
float64, whose result equals scikit-learn's to rounding.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack import _files
from solartrack._optional import require
from solartrack.errors import ModelError
from solartrack.flares._svm_file import probes
from solartrack.flares.svm import SvmModel
from solartrack.inference import KEY, FeatureTable, Model, ModelInfo
from solartrack.models.export import refuse_shipped

__all__ = ["TOLERANCE", "export"]

#: Largest difference of probabilities between the file and the model.
TOLERANCE = 1e-6

# As `solartrack.models.onnx_graph`: what onnxruntime 1.20 reads.
_OPSET, _IR = 17, 8


def export(model: SvmModel, path: str | os.PathLike[str], name: str) -> None:
    """As `SvmModel.export_onnx` says."""
    if Path(path).suffix != ".onnx":
        raise ValueError(f"path must end in .onnx, got {os.fspath(path)}")
    refuse_shipped(name)
    onnx = require("onnx", extra="flares", purpose="exporting models")
    graph = _graph(onnx, model)
    said = {
        "feature_set": model.feature_set, "threshold": model.threshold, "settings": dict(model.settings),
        "scores": dict(model.scores), **model.training,
    }  # fmt: skip
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
    convention = FeatureTable(model.feature_names)
    info = ModelInfo(name, model.version, "fp64", convention, said, digest)
    proto = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="solartrack",
    )
    proto.metadata_props.add(key=KEY, value=info.to_json())
    onnx.checker.check_model(proto)
    with _files.replacing(path) as partial:
        onnx.save_model(proto, os.fspath(partial))
        rows = probes(model, 256).astype(np.float32)
        got = Model.load(partial, device="cpu").run({"features": rows})["probability"][:, 0]
        apart = float(np.abs(got - model.predict_proba(rows)).max())
        if not apart <= TOLERANCE:
            raise ModelError(
                f"the exported file differs from the model by {apart:.2g}, {TOLERANCE:g} is allowed; "
                "it was not kept"
            )


def _graph(onnx: Any, model: SvmModel) -> Any:
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(value: Any, kind: Any = np.float64) -> str:
        constants.append(onnx.numpy_helper.from_array(np.asarray(value, dtype=kind), f"c{len(constants)}"))
        return str(constants[-1].name)

    def apply(operation: str, *inputs: str, **attributes: Any) -> str:
        out = f"v{len(nodes)}"
        nodes.append(onnx.helper.make_node(operation, list(inputs), [out], **attributes))
        return out

    steps = model.pipeline.named_steps
    x = apply("Cast", "features", to=onnx.TensorProto.DOUBLE)
    scale = steps["scale"]
    x = apply("Add", apply("Mul", x, constant(scale.scale_)), constant(scale.min_))
    if scale.clip:
        x = apply("Clip", x, constant(0.0), constant(1.0))
    if "power" in steps:
        x = apply("Mul", apply("Sub", _yeo_johnson(x, steps["power"].lambdas_, apply, constant),
                               constant(steps["power"]._scaler.mean_)),
                  constant(1.0 / steps["power"]._scaler.scale_))  # fmt: skip
        x = apply("Add", apply("Mul", x, constant(steps["rescale"].scale_)), constant(steps["rescale"].min_))
    centres, gamma, weights, intercept = _machine(steps)
    if centres is not None:
        squares = apply("ReduceSum", apply("Mul", x, x), constant([1], np.int64))
        product = apply("MatMul", x, constant(-2.0 * centres.T))
        distance = apply("Add", apply("Add", squares, product), constant((centres**2).sum(axis=1)))
        x = apply("Exp", apply("Mul", apply("Max", distance, constant(0.0)), constant(-gamma)))
    value = apply("Add", apply("MatMul", x, constant(weights)), constant(intercept))
    calibrator = model.calibrator
    if hasattr(calibrator, "coef_"):
        logit = apply("Mul", value, constant(calibrator.coef_))
        out = apply("Sigmoid", apply("Add", logit, constant(calibrator.intercept_)))
    else:  # steps joined by straight lines: the sum of the lines, each from its start to its end
        at, heights = calibrator.X_thresholds_, calibrator.y_thresholds_
        share = apply("Mul", apply("Sub", value, constant(at[:-1])), constant(1.0 / np.diff(at)))
        share = apply("Clip", share, constant(0.0), constant(1.0))
        out = apply("MatMul", share, constant(np.diff(heights)[:, None]))
        out = apply("Add", out, constant(heights[:1]))
    nodes.append(onnx.helper.make_node("Cast", [out], ["probability"], to=onnx.TensorProto.FLOAT))
    kind = onnx.TensorProto.FLOAT
    return onnx.helper.make_graph(
        nodes,
        "svm",
        [onnx.helper.make_tensor_value_info("features", kind, ["n", len(model.feature_names)])],
        [onnx.helper.make_tensor_value_info("probability", kind, ["n", 1])],
        constants,
    )


def _yeo_johnson(x: str, exponents: NDArray[np.float64], apply: Any, constant: Any) -> str:
    """((x + 1)^l - 1) / l, or log(x + 1) where l is 0: x is not negative, because it was clipped."""
    is_zero = np.abs(exponents) < np.spacing(1.0)
    safe = np.where(is_zero, 1.0, exponents)
    more = apply("Add", x, constant(1.0))
    power = apply(
        "Mul", apply("Sub", apply("Pow", more, constant(safe)), constant(1.0)), constant(1.0 / safe)
    )
    if not is_zero.any():
        return str(power)
    return str(apply("Where", constant(is_zero, np.bool_), apply("Log", more), power))


def _machine(steps: Any) -> tuple[NDArray[np.float64] | None, float, NDArray[np.float64], Any]:
    """Centres and width of the kernel (None if linear), weights of shape (m, 1), intercept."""
    machine = steps["machine"]
    if "map" in steps:
        landmarks = steps["map"]
        weights = landmarks.normalization_.T @ machine.coef_.T
        return landmarks.components_, landmarks.gamma, weights, machine.intercept_
    if hasattr(machine, "coef_"):  # an SVC has it for the linear kernel only
        return None, 0.0, machine.coef_.T, machine.intercept_
    return machine.support_vectors_, machine._gamma, machine.dual_coef_.T, machine.intercept_
