"""Keras networks as ONNX graphs, layer by layer.

Only the layers that our networks use are supported; others are refused by name.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack import __version__
from solartrack._optional import require
from solartrack.errors import ModelError

__all__ = ["LAYERS", "to_onnx"]

# LRN needs 13, MatMulInteger 10, everything else less.
_OPSET, _IR = 17, 8


def to_onnx(network: Any, *, precision: str = "fp32") -> Any:
    """ONNX graph of a functional Keras network.

    Parameters
    ----------
    network : keras.Model
    precision : {"fp32", "fp16", "int8"}

    Returns
    -------
    onnx.ModelProto
        Without metadata, not verified.

    Raises
    ------
    ModelError
        If it has a layer that is not in `LAYERS`.

    Examples
    --------
    >>> from solartrack.models import onnx_graph
    >>> from solartrack.models.goturn import network
    >>> graph = onnx_graph.to_onnx(network.build("goturn-lite", seed=1)).graph
    >>> [one.name for one in graph.input]
    ['target', 'search']
    """
    onnx = require("onnx", extra="train", purpose="exporting networks")
    # Keras's public serialisation of a functional network says which layer reads which tensor.
    config = network.get_config()
    if not {"layers", "input_layers", "output_layers"} <= set(config):
        raise ModelError(f"{network.name} is not a functional Keras network, so its layers cannot be walked")
    graph = _Graph(onnx, precision)
    inputs, done = [], {}
    for entry in config["layers"]:
        layer = network.get_layer(entry["name"])
        kind = type(layer).__name__
        if kind == "InputLayer":
            shape = ["n", *layer.batch_shape[1:]]
            inputs.append(onnx.helper.make_tensor_value_info(layer.name, onnx.TensorProto.FLOAT, shape))
            done[layer.name, 0] = graph.tensor(layer.name, tuple(layer.batch_shape[1:]))
            continue
        if kind not in LAYERS:
            raise ModelError(
                f"layer {layer.name!r} is a {kind}, which cannot be exported; known: {', '.join(LAYERS)}"
            )
        graph.layer = layer.name
        for number, node in enumerate(entry["inbound_nodes"]):  # one for each use of a shared layer
            with graph.uses(number):
                done[layer.name, number] = LAYERS[kind](graph, layer, [done[key] for key in _sources(node)])
    outputs = []
    named = config["output_layers"]
    if not isinstance(named, Mapping):  # a single tensor
        named = {network.output_names[0]: named[0] if isinstance(named[0], (list, tuple)) else named}
    for name, (layer_name, number, _) in sorted(named.items()):
        tensor = graph.float32(done[layer_name, number])
        graph.node("Identity", [tensor], tensor.shape, named=name)
        shape = ["n", *tensor.shape]
        outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    graph.model.graph.name = network.name
    for field, parts in (("node", graph.nodes), ("input", inputs), ("output", outputs)):
        getattr(graph.model.graph, field).extend(parts)
    return graph.model


class _Tensor(str):
    """Name of a value in the graph, with what later nodes need to know about it.

    Attributes
    ----------
    shape : tuple of int
        As in Keras: channels last, without the first axis.
    first : bool
        Whether the graph holds it with channels first, as ONNX's convolutions need it.
    half : bool
        Whether it is float16.
    """

    shape: tuple[int, ...]
    first: bool
    half: bool


class _Graph:
    """Nodes and weights written so far."""

    def __init__(self, onnx: Any, precision: str) -> None:
        self.onnx, self.precision = onnx, precision
        self.model = onnx.ModelProto(
            ir_version=_IR,
            producer_name="solartrack",
            producer_version=__version__,
            opset_import=[onnx.helper.make_opsetid("", _OPSET)],
        )
        self.nodes: list[Any] = []
        self.layer, self._use = "", 0
        self._made: dict[tuple[str, ...], _Tensor] = {}
        self._weights: set[str] = set()

    @contextlib.contextmanager
    def uses(self, number: int) -> Any:
        """Name the nodes in this block after this use of the layer."""
        self._use = number
        yield

    def tensor(
        self, name: str, shape: tuple[int, ...], *, first: bool = False, half: bool = False
    ) -> _Tensor:
        out = _Tensor(name)
        out.shape, out.first, out.half = shape, first, half
        return out

    def node(
        self,
        kind: str,
        inputs: list[str],
        shape: tuple[int, ...],
        *,
        first: bool = False,
        half: bool = False,
        named: str | None = None,
        **attributes: Any,
    ) -> _Tensor:
        """Add a node with one output."""
        name = named or f"{self.layer}/{self._use}/{len(self.nodes)}/{kind}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [name], name=f"{name}:node", **attributes))
        return self.tensor(name, shape, first=first, half=half)

    def weights(self, name: str, values: NDArray[Any]) -> str:
        """Add weights of the layer; they are shared by all its uses."""
        full = f"{self.layer}/{name}"
        if full not in self._weights:
            self._weights.add(full)
            # Written where they stay: weights may take half a gigabyte.
            stored = self.model.graph.initializer.add(name=full, dims=values.shape)
            stored.data_type = self.onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
            stored.raw_data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        return full

    def _converted(self, kind: str, tensor: _Tensor, **attributes: Any) -> _Tensor:
        key = (kind, tensor, str(attributes))
        if key not in self._made:
            cast = kind == "Cast"  # otherwise it is a transpose
            first, half = tensor.first != (not cast), tensor.half != cast
            self._made[key] = self.node(kind, [tensor], tensor.shape, first=first, half=half, **attributes)
        return self._made[key]

    def channels_first(self, tensor: _Tensor) -> _Tensor:
        if tensor.first or len(tensor.shape) != 3:
            return tensor
        return self._converted("Transpose", tensor, perm=[0, 3, 1, 2])

    def channels_last(self, tensor: _Tensor) -> _Tensor:
        return self._converted("Transpose", tensor, perm=[0, 2, 3, 1]) if tensor.first else tensor

    def float32(self, tensor: _Tensor) -> _Tensor:
        return self._converted("Cast", tensor, to=self.onnx.TensorProto.FLOAT) if tensor.half else tensor

    def working(self, tensor: _Tensor) -> _Tensor:
        """The tensor in the precision in which layers with weights are computed."""
        if self.precision != "fp16" or tensor.half:
            return tensor
        return self._converted("Cast", tensor, to=self.onnx.TensorProto.FLOAT16)

    def cast(self, values: NDArray[Any], like: _Tensor) -> NDArray[Any]:
        return values.astype(np.float16 if like.half else np.float32)


def _refuse(layer: Any, what: str) -> ModelError:
    return ModelError(f"layer {layer.name!r}, a {type(layer).__name__}, cannot be exported: {what}")


def _activate(graph: _Graph, layer: Any, tensor: _Tensor) -> _Tensor:
    name = layer.activation.__name__
    if name == "linear":
        return tensor
    if name == "softmax" and len(tensor.shape) == 1:
        return graph.node("Softmax", [graph.float32(tensor)], tensor.shape, axis=-1)
    if name not in _ACTIVATIONS:
        raise _refuse(layer, f"its activation is {name}, known: linear, {', '.join(_ACTIVATIONS)}, softmax")
    return graph.node(_ACTIVATIONS[name], [tensor], tensor.shape, first=tensor.first, half=tensor.half)


_ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "softplus": "Softplus"}


def _conv(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    if layer.data_format != "channels_last":
        raise _refuse(layer, "its data are channels-first")
    x = graph.working(graph.channels_first(inputs[0]))
    rows, columns, _ = x.shape
    sides, steps, spread = layer.kernel_size, layer.strides, layer.dilation_rate
    before, after, shape = [], [], []
    for size, side, step, wide in zip((rows, columns), sides, steps, spread, strict=True):
        reach = (side - 1) * wide + 1
        if layer.padding == "same":
            count = math.ceil(size / step)
            pad = max((count - 1) * step + reach - size, 0)  # Keras adds the odd pixel at the end
        elif layer.padding == "valid":
            count, pad = (size - reach) // step + 1, 0
        else:
            raise _refuse(layer, f"its padding is {layer.padding!r}")
        before.append(pad // 2)
        after.append(pad - pad // 2)
        shape.append(count)
    kernel, filters, groups = _kernel(layer)
    weights = [graph.weights("kernel", graph.cast(kernel, x))]
    if layer.use_bias:
        weights.append(graph.weights("bias", graph.cast(np.asarray(layer.bias), x)))
    out = graph.node(
        "Conv",
        [x, *weights],
        (*shape, filters),
        first=True,
        half=x.half,
        kernel_shape=list(sides),
        strides=list(steps),
        dilations=list(spread),
        pads=before + after,
        group=groups,
    )
    return _activate(graph, layer, out)


def _kernel(layer: Any) -> tuple[NDArray[Any], int, int]:
    """Kernel of a convolution as (filters, inputs of a group, rows, columns), filters, and groups."""
    kernel = np.asarray(layer.kernel)
    if hasattr(layer, "filters"):
        return kernel.transpose(3, 2, 0, 1), layer.filters, layer.groups
    *sides, channels, each = kernel.shape  # depthwise
    return kernel.transpose(2, 3, 0, 1).reshape(channels * each, 1, *sides), channels * each, channels


def _max_pool(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    if layer.padding != "valid" or layer.data_format != "channels_last":
        raise _refuse(layer, "it must be channels-last with padding 'valid'")
    x = graph.channels_first(inputs[0])
    shape = [(s - k) // t + 1 for s, k, t in zip(x.shape, layer.pool_size, layer.strides, strict=False)]
    return graph.node(
        "MaxPool",
        [x],
        (*shape, x.shape[2]),
        first=True,
        half=x.half,
        kernel_shape=list(layer.pool_size),
        strides=list(layer.strides),
    )


def _batch_norm(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    if layer.axis not in (-1, len(inputs[0].shape)):
        raise _refuse(layer, "it must normalise the last axis")
    x = graph.channels_first(inputs[0])
    count = x.shape[-1]
    gamma = layer.gamma if layer.scale else np.ones(count)
    beta = layer.beta if layer.center else np.zeros(count)
    values = {"gamma": gamma, "beta": beta, "mean": layer.moving_mean, "variance": layer.moving_variance}
    weights = [graph.weights(name, graph.cast(np.asarray(value), x)) for name, value in values.items()]
    return graph.node(
        "BatchNormalization", [x, *weights], x.shape, first=x.first, half=x.half, epsilon=layer.epsilon
    )


def _lrn(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    x = graph.float32(graph.channels_first(inputs[0]))
    settings = {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "bias": 1.0}
    return graph.node("LRN", [x], x.shape, first=True, **settings)


def _group_norm(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    x = graph.float32(graph.channels_first(inputs[0]))
    if layer.groups != 1 or layer.scale or layer.center or x.shape[-1] != 1:
        raise _refuse(layer, "it must have one group, no scale or centre, and a single channel")
    ones, zeros = (
        graph.weights("scale", np.ones(1, np.float32)),
        graph.weights("bias", np.zeros(1, np.float32)),
    )
    return graph.node("InstanceNormalization", [x, ones, zeros], x.shape, first=True, epsilon=layer.epsilon)


def _dense(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    if len(inputs[0].shape) != 1:
        raise _refuse(layer, f"its input must be flat, got {inputs[0].shape}")
    if not layer.use_bias:
        raise _refuse(layer, "it has no bias")
    kernel, shape = np.asarray(layer.kernel), (layer.units,)
    # Output layers are not quantised: they are small, and their errors would be the largest.
    if graph.precision == "int8" and layer.activation.__name__ == "relu":
        return _activate(graph, layer, _quantised_dense(graph, layer, inputs[0]))
    # A softmax is computed in float32: without much work, and to the last digit.
    x = inputs[0] if layer.activation.__name__ == "softmax" else graph.working(inputs[0])
    x = graph.float32(x) if layer.activation.__name__ == "softmax" else x
    names = [
        graph.weights("kernel", graph.cast(kernel, x)),
        graph.weights("bias", graph.cast(np.asarray(layer.bias), x)),
    ]
    return _activate(graph, layer, graph.node("Gemm", [x, *names], shape, half=x.half))


def _quantised_dense(graph: _Graph, layer: Any, x: _Tensor) -> _Tensor:
    """Dense layer with int8 weights, without its activation."""
    kernel, shape = np.asarray(layer.kernel), (layer.units,)
    # 7 bits: with 8, pairs of products overflow 16 bits on processors without VNNI.
    scale = np.maximum(np.abs(kernel).max(axis=0), 1e-30) / 63.0
    weights = graph.weights("kernel_int8", np.rint(kernel / scale).astype(np.int8))
    name = f"{graph.layer}/{len(graph.nodes)}"
    quantised, step, zero = (f"{name}/{part}" for part in ("x_uint8", "x_scale", "x_zero"))
    dynamic = graph.onnx.helper.make_node("DynamicQuantizeLinear", [x], [quantised, step, zero])
    graph.nodes.append(dynamic)
    product = graph.node("MatMulInteger", [quantised, weights, zero], shape)
    product = graph.node("Cast", [product], shape, to=graph.onnx.TensorProto.FLOAT)
    step = graph.node("Mul", [step, graph.weights("scale", scale.astype(np.float32))], shape)
    product = graph.node("Mul", [product, step], shape)
    bias = graph.weights("bias", np.asarray(layer.bias, np.float32))
    return graph.node("Add", [product, bias], shape)


def _concatenate(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    rank = len(inputs[0].shape)
    if layer.axis not in (-1, rank):
        raise _refuse(layer, f"its axis must be the last one, got {layer.axis}")
    parts = [graph.working(graph.channels_first(x)) for x in inputs]
    shape = (*parts[0].shape[:-1], sum(p.shape[-1] for p in parts))
    return graph.node("Concat", list(parts), shape, first=parts[0].first, half=parts[0].half, axis=1)


def _add(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    if len({x.shape for x in inputs}) != 1:
        raise _refuse(layer, f"its inputs must have the same shape, got {[x.shape for x in inputs]}")
    total, *more = [graph.working(graph.channels_first(x)) for x in inputs]
    for x in more:
        total = graph.node("Add", [total, x], total.shape, first=total.first, half=total.half)
    return total


def _relu(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    x = inputs[0]
    if layer.negative_slope or layer.threshold:
        raise _refuse(layer, "it must have no negative slope or threshold")
    if layer.max_value is None:
        return graph.node("Relu", [x], x.shape, first=x.first, half=x.half)
    bounds = [
        graph.weights(name, graph.cast(np.asarray(value), x))
        for name, value in (("smallest", 0.0), ("largest", layer.max_value))
    ]
    return graph.node("Clip", [x, *bounds], x.shape, first=x.first, half=x.half)


def _average(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    if layer.data_format != "channels_last" or layer.keepdims:
        raise _refuse(layer, "it must be channels-last, without keepdims")
    x = graph.channels_first(inputs[0])
    channels = x.shape[-1]
    means = graph.node("GlobalAveragePool", [x], (1, 1, channels), first=True, half=x.half)
    return graph.node("Flatten", [means], (channels,), half=x.half, axis=1)


def _magnetogram_channels(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    x = graph.float32(graph.channels_first(inputs[0]))
    slope = graph.weights("slope", np.array([layer.slope], np.float32))
    zeros = graph.weights("zeros", np.array(layer.zeros, np.float32).reshape(1, -1, 1, 1))
    scaled = graph.node("Mul", [x, slope], x.shape, first=True)
    return graph.node("Add", [scaled, zeros], (*x.shape[:-1], len(layer.zeros)), first=True)


def _flatten(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    x = graph.channels_last(inputs[0])
    return graph.node("Flatten", [x], (math.prod(x.shape),), half=x.half, axis=1)


def _same(graph: _Graph, layer: Any, inputs: list[_Tensor]) -> _Tensor:
    return inputs[0]


#: How a layer becomes nodes, by the name of its class.
LAYERS: dict[str, Callable[[_Graph, Any, list[_Tensor]], _Tensor]] = {
    "Add": _add,
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Conv2D": _conv,
    "Dense": _dense,
    "DepthwiseConv2D": _conv,
    "Dropout": _same,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _average,
    "GroupNormalization": _group_norm,
    "LocalResponseNormalization": _lrn,
    "MagnetogramChannels": _magnetogram_channels,
    "MaxPooling2D": _max_pool,
    "ReLU": _relu,
    "SplitConv2D": _conv,
}


def _sources(node: Any) -> list[tuple[str, int]]:
    """Layers (and which use of each) whose tensors a serialised node reads, in order."""

    def tensors(value: Any) -> Iterator[tuple[str, int]]:
        if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
            name, number, _ = value["config"]["keras_history"]
            yield name, number
        elif isinstance(value, (Mapping, list, tuple)):
            for part in value.values() if isinstance(value, Mapping) else value:
                yield from tensors(part)

    return list(tensors(node["args"]))
