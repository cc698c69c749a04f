"""The published resize of a patch as nodes of an ONNX graph, for patches of any size."""

from typing import Any

import numpy as np

__all__ = ["PREFIX", "resize_nodes"]

#: Names of these nodes and of their constants begin with it.
PREFIX = "resize/"


def resize_nodes(onnx: Any, source: str, target: str, side: int) -> tuple[list[Any], list[Any]]:
    """Nodes that do what `solartrack.inference.patches.resize` does, in float32.

    Parameters
    ----------
    onnx : module
    source : str
        Name of a value of shape (n, rows, columns); all lengths may differ from run to run.
    target : str
        Name of the result, shape (n, side, side, 1).
    side : int
        At most 2048: positions are exact fractions, whose numerators float32 must hold.

    Returns
    -------
    nodes, initializers : list

    Notes
    -----
    Two matrices are computed from the lengths, the same as `solartrack.inference.patches.resize_matrix`, with
    which all patches are multiplied. Of each pixel only the nearer mirror image can be within the reach of
    the Gaussian.

    Lengths are counted by nodes on floats. A node ``Shape``, and what follows it, would be placed on the CPU
    by ONNX Runtime, which `solartrack.inference` forbids on CUDA.
    """
    graph = _Nodes(onnx)
    matrices = [
        _matrix(graph, f"{axis}/", graph.add("Slice", [source, *_first(graph, axis)]), side)
        for axis in ("rows", "columns")
    ]
    rows = graph.add("MatMul", [matrices[0], source])
    across = graph.add("Transpose", [matrices[1]], perm=[1, 0])
    square = graph.add("MatMul", [rows, across])
    graph.add("Unsqueeze", [square, graph.integers("last", [3])], named=target)
    return graph.nodes, graph.initializers


def _first(graph: "_Nodes", axis: str) -> list[str]:
    """Bounds of the first column, or row, of the first patch."""
    other = 2 if axis == "rows" else 1
    zeros, ones = graph.integers("zeros", [0, 0]), graph.integers("ones", [1, 1])
    return [zeros, ones, graph.integers(f"{axis}_bounded", [0, other])]


def _matrix(graph: "_Nodes", axis: str, line: str, side: int) -> str:
    """The matrix of one axis, shape (side, n), from a value with n elements."""
    add, number = graph.add, graph.number
    flat = add("Reshape", [line, graph.integers("flat", [-1])])
    ones = add("Add", [add("Mul", [flat, number("zero", 0.0)]), number("one", 1.0)])
    counted = add("CumSum", [ones, graph.integers("axis", 0)])
    n = add("ReduceMax", [counted], axes=[0], keepdims=1)
    j = add("Sub", [counted, number("one", 1.0)])

    # Position i is ((2 i + 1) n - side) / (2 side).
    odd = graph.number("odd", (2.0 * np.arange(side) + 1.0)[:, None])
    whole = number("two_sides", 2.0 * side)
    above = add("Sub", [add("Mul", [odd, n]), number("side", side)])
    before = add("Floor", [add("Div", [above, whole])])
    share = add("Div", [add("Sub", [above, add("Mul", [before, whole])]), whole])
    rest = add("Sub", [number("one", 1.0), share])
    stacked = graph.integers("stacked", [0])
    pixels = add(
        "Concat",
        [add("Unsqueeze", [x, stacked]) for x in (before, add("Add", [before, number("one", 1.0)]))],
        axis=0,
    )
    shares = add("Concat", [add("Unsqueeze", [x, stacked]) for x in (rest, share)], axis=0)

    # sigma = (n / side - 1) / 2; the exponent is -d^2 / (2 sigma^2); without smoothing it is 0 or huge.
    wider = add("Max", [add("Sub", [n, number("side", side)]), number("small", 1e-3)])
    slope = add("Div", [number("minus_two_squares", -2.0 * side * side), add("Mul", [wider, wider])])
    four = add("Sub", [add("Mul", [n, number("four", 4.0)]), number("three_sides", 3.0 * side)])
    radius = add("Max", [add("Floor", [add("Div", [four, whole])]), number("zero", 0.0)])

    # Where each pixel is, and its nearer image; the first and the last pixel are their own images.
    last = add("Sub", [n, number("one", 1.0)])
    twice = add("Mul", [j, number("two", 2.0)])
    left, right = add("Neg", [j]), add("Sub", [add("Mul", [last, number("two", 2.0)]), j])
    image = add("Where", [add("LessOrEqual", [twice, last]), left, right])
    apart = add("Abs", [add("Sub", [image, j])])
    image = add("Where", [add("LessOrEqual", [apart, number("half", 0.5)]), number("away", -1e6), image])
    ends = graph.integers("ends", [0, 1, 2])
    places = add("Concat", [add("Unsqueeze", [x, ends]) for x in (j, image)], axis=0)  # (2, 1, 1, n)

    distance = add("Sub", [places, pixels])  # (2, 2, side, n)
    inside = add("LessOrEqual", [add("Abs", [distance]), radius])
    bell = add("Exp", [add("Mul", [add("Mul", [distance, distance]), slope])])
    weights = add("Mul", [add("Where", [inside, bell, number("zero", 0.0)]), shares])
    matrix = add("ReduceSum", [weights, graph.integers("images_and_pixels", [0, 1])], keepdims=0)
    total = add("ReduceSum", [matrix, graph.integers("along", [1])], keepdims=1)
    return add("Div", [matrix, total])


class _Nodes:
    """Nodes and constants, each constant once."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    @property
    def initializers(self) -> list[Any]:
        return list(self._constants.values())

    def add(self, kind: str, inputs: list[str], *, named: str | None = None, **attributes: Any) -> str:
        name = named or f"{PREFIX}{len(self.nodes)}/{kind}"
        node = self._onnx.helper.make_node(
            kind, inputs, [name], name=f"{PREFIX}{len(self.nodes)}/{kind}:node", **attributes
        )
        self.nodes.append(node)
        return name

    def number(self, name: str, value: Any) -> str:
        return self._constant(name, np.asarray(value, np.float32))

    def integers(self, name: str, value: Any) -> str:
        return self._constant(name, np.asarray(value, np.int64))

    def _constant(self, name: str, value: Any) -> str:
        full = PREFIX + name
        self._constants[full] = self._onnx.numpy_helper.from_array(value, full)
        return full
