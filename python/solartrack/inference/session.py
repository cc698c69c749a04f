"""Sessions of ONNX Runtime, on the CPU or on a CUDA device.

ONNX Runtime falls back to the CPU without a warning when CUDA does not start. Sessions are therefore
created without fallback and asked which device they use.
"""

import ctypes
import importlib.metadata
import itertools
import math
import os
import re
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack._optional import require
from solartrack.errors import DeviceError, ModelError

__all__ = ["BoundBuffers", "Session", "open_session"]

Float32Array = NDArray[np.float32]

# Most rows given to the runtime in one call: more would not be faster, and need more memory. Powers of two.
_MOST_ROWS = {"cpu": 64, "cuda": 256}
# Most values in them, 4 bytes each: 64 patches of 4096 x 4096 pixels would be 4 GB.
_MOST_VALUES = {"cpu": 1 << 25, "cuda": 1 << 27}
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_CURE = (
    "install 'solartrack[gpu]' (onnxruntime-gpu) in an environment without onnxruntime, with the CUDA and "
    "cuDNN it was built for"
)
_BOTH_INSTALLED = (
    "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
    "uninstall both, then install 'solartrack[gpu]'"
)


def open_session(
    file: Path, device: str, *, threads: int, warn_level: int, cuda_graph: bool = False
) -> "Session":
    """Open a model file on a device.

    Parameters
    ----------
    file : Path
        ONNX file.
    device : {"auto", "cpu", "cuda", "cuda:N"}
    threads : int
        Used by the CPU.
    warn_level : int
        ``stacklevel`` that makes warnings point to the caller's caller.
    cuda_graph : bool
        Record the kernels of each batch size and replay them.

    Returns
    -------
    Session

    Raises
    ------
    ModelError
        If the file is not a readable ONNX model.
    DeviceError
        If CUDA was requested and does not work here.
    ValueError
        If there is no such device, or a CUDA graph is requested for the CPU.
    FileNotFoundError
        If there is no such file.
    ImportError
        If ONNX Runtime is not installed.
    """
    global _runtime_loaded
    ort = require("onnxruntime", extra="cpu", purpose="running networks")
    _runtime_loaded = True
    if not file.is_file():
        raise FileNotFoundError(f"there is no model file {file}")
    number = _device_number(device)
    if cuda_graph and device == "cpu":
        raise ValueError("cuda_graph needs a CUDA device, got device='cpu'; leave it out")
    trouble = ""
    if number is not None:
        runtime, trouble = _cuda_session(ort, file, number, threads, cuda_graph, warn_level + 1)
        if runtime is not None:
            name = f"cuda:{number}"
            choice = f"auto chose {name}, it works" if device == "auto" else f"{name}, as requested"
            return Session(runtime, name, choice, BoundBuffers(ort, runtime, "cuda", number, cuda_graph))
    runtime = _cpu_session(ort, file, threads)  # first of all: a damaged file is not the device's fault
    if device not in ("auto", "cpu"):
        raise DeviceError(f"device={device!r} was requested, but {trouble}")
    return Session(runtime, "cpu", "cpu, as requested" if device == "cpu" else f"auto chose cpu: {trouble}")


class Session:
    """A network that is ready to run.

    Parameters
    ----------
    runtime : onnxruntime.InferenceSession
    device : str
        The device in use: "cpu", "cuda:0", "cuda:1", ...
    choice : str
        Why it is used.
    bound : BoundBuffers, optional
        Buffers on that device.
    """

    def __init__(self, runtime: Any, device: str, choice: str, bound: "BoundBuffers | None" = None) -> None:
        self.runtime, self.device, self.choice, self.bound = runtime, device, choice, bound
        self._process = os.getpid()
        _sessions.add(self)
        kind = device.partition(":")[0]
        self._most = _MOST_ROWS[kind], _MOST_VALUES[kind]
        self.inputs = {n.name: (n.type, tuple(n.shape)) for n in runtime.get_inputs()}
        self.outputs = {n.name: (n.type, tuple(n.shape)) for n in runtime.get_outputs()}

    def metadata(self, key: str) -> str | None:
        """A text that was stored in the model file, None if there is none."""
        value: str | None = self.runtime.get_modelmeta().custom_metadata_map.get(key)
        return value

    def most_rows(self, inputs: Mapping[str, Float32Array]) -> int:
        """How many rows of such inputs are given to the runtime in one call, a power of two."""
        rows, values = self._most
        of_a_row = sum(math.prod(array.shape[1:]) for array in inputs.values())
        return min(rows, 1 << max(values // max(of_a_row, 1), 1).bit_length() - 1)

    def run(self, inputs: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
        """Run the network on at least one row, and no more than `most_rows` allows."""
        if os.getpid() != self._process:
            raise ModelError(
                "this process was forked from the one that loaded the model, and has none of the threads "
                "that run it; load the model here, or start processes by 'spawn'"
            )
        if self.bound is not None:
            return self.bound.run(inputs)
        names = list(self.outputs)
        return dict(zip(names, self.runtime.run(names, dict(inputs)), strict=True))


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


# Whether this process, or one that it was forked from, has loaded the runtime to open a session.
_runtime_loaded = False


def _leave_the_runtime_alone() -> None:
    """In a forked process, never free what the runtime made: it would wait for threads that are not here."""
    if not _runtime_loaded:
        return
    for session in list(_sessions):
        for kept in (session.runtime, session.bound):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    # It frees objects of its own when the process exits, and hangs or crashes in that, too, even without a
    # session (seen with 1.32). What is registered last is called first: flush what C code has buffered, then
    # end at once. Python has done its own part of the exit by then.
    if hasattr(_libc, "on_exit"):  # glibc
        _libc.on_exit(_libc._exit, None)
        _libc.__cxa_atexit(_libc.fflush, None, None)


if hasattr(os, "register_at_fork"):
    _libc = ctypes.CDLL(None)
    os.register_at_fork(after_in_child=_leave_the_runtime_alone)


# Shapes of the inputs, in the order of the network's.
_Shapes = tuple[tuple[int, ...], ...]


class _Buffers(NamedTuple):
    """What inputs of one shape need; arrays by the names of inputs and outputs."""

    binding: Any
    options: Any
    host: dict[str, Float32Array]
    on_device: dict[str, Any]
    results: dict[str, Any]


class BoundBuffers:
    """Device buffers that are allocated once for each shape of the inputs and reused.

    Batches are padded to a power of two, because the runtime searches for convolution algorithms at the
    first run of each shape. Where inputs may have any length, the buffers that have not been used for longest
    go once all of them hold more than `most_values` values.
    """

    def __init__(
        self,
        ort: ModuleType,
        runtime: Any,
        kind: str,
        number: int,
        graph: bool,
        *,
        most_values: int = 2 * _MOST_VALUES["cuda"],
    ) -> None:
        self._ort, self._runtime, self._device, self._graph = ort, runtime, (kind, number), graph
        self._buffers: OrderedDict[_Shapes, _Buffers] = OrderedDict()
        self._recordings = itertools.count(1)
        self._most_values = most_values
        self._lock = threading.Lock()

    @property
    def shapes(self) -> list[_Shapes]:
        """Shapes of the inputs that have buffers, those that were used last at the end."""
        return list(self._buffers)

    def run(self, inputs: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
        """Run the network on at least one row."""
        rows = len(next(iter(inputs.values())))
        size = 1 << (rows - 1).bit_length()
        shapes = tuple((size, *inputs[node.name].shape[1:]) for node in self._runtime.get_inputs())
        with self._lock:
            if shapes not in self._buffers:
                self._make_room(shapes)
                self._buffers[shapes] = self._allocate(shapes)
            self._buffers.move_to_end(shapes)
            buffers = self._buffers[shapes]
            for name, array in inputs.items():
                if rows < size:  # the other rows still hold earlier crops, whose results are dropped
                    buffers.host[name][:rows] = array
                    array = buffers.host[name]
                buffers.on_device[name].update_inplace(np.ascontiguousarray(array))
            self._runtime.run_with_iobinding(buffers.binding, buffers.options)
            return {name: np.array(value.numpy()[:rows]) for name, value in buffers.results.items()}

    def _make_room(self, shapes: _Shapes) -> None:
        values = sum(map(_values, self._buffers)) + _values(shapes)
        while self._buffers and values > self._most_values:
            oldest, _ = self._buffers.popitem(last=False)
            values -= _values(oldest)

    def _allocate(self, shapes: _Shapes) -> _Buffers:
        binding, host, on_device, results = self._runtime.io_binding(), {}, {}, {}
        for node, shape in zip(self._runtime.get_inputs(), shapes, strict=True):
            host[node.name] = np.zeros(shape, np.float32)
            on_device[node.name] = self._value(shape)
            on_device[node.name].update_inplace(host[node.name])
            binding.bind_ortvalue_input(node.name, on_device[node.name])
        for node in self._runtime.get_outputs():
            results[node.name] = self._value((shapes[0][0], *node.shape[1:]))
            binding.bind_ortvalue_output(node.name, results[node.name])
        options = self._ort.RunOptions()
        if self._graph:
            # One recording for each set of buffers: it holds their addresses.
            options.add_run_config_entry("gpu_graph_id", str(next(self._recordings)))
        return _Buffers(binding, options, host, on_device, results)

    def _value(self, shape: tuple[int, ...]) -> Any:
        return self._ort.OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, *self._device)


def _values(shapes: _Shapes) -> int:
    return sum(map(math.prod, shapes))


def _device_number(device: str) -> int | None:
    """The CUDA device to try, or None for the CPU."""
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?|auto|cpu", device) if isinstance(device, str) else None
    if match is None:
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}")
    return None if device == "cpu" else int(match[1] or 0)


def _options(ort: ModuleType, threads: int) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _cpu_session(ort: ModuleType, file: Path, threads: int) -> Any:
    try:
        return ort.InferenceSession(
            os.fspath(file), _options(ort, threads), providers=[_CPU], enable_fallback=0
        )
    except Exception as error:  # the runtime has a dozen exception classes without a common base
        raise ModelError(
            f"{file} is not a readable ONNX model, it is damaged or incomplete; fetch it again: {error}"
        ) from error


def _cuda_session(
    ort: ModuleType, file: Path, number: int, threads: int, graph: bool, warn_level: int
) -> tuple[Any | None, str]:
    """A session that does run on CUDA; or None, and what was found instead."""
    both = {"onnxruntime", "onnxruntime-gpu"} <= _installed()
    cure = _BOTH_INSTALLED if both else _CURE
    offered = ort.get_available_providers()
    if _CUDA not in offered:
        if both:
            warnings.warn(_BOTH_INSTALLED, RuntimeWarning, stacklevel=warn_level)
        return None, f"this onnxruntime offers only {', '.join(offered)}; {cure}"
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN from pip's nvidia packages, if they are installed
    options = _options(ort, threads)
    # No layer may run on the CPU unnoticed.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {
        "device_id": number,
        # The default tries every algorithm at the first run of each shape, which takes seconds.
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": 0,  # results as on the CPU
        "enable_cuda_graph": int(graph),
    }
    try:
        runtime = ort.InferenceSession(
            os.fspath(file), options, providers=[(_CUDA, settings)], enable_fallback=0
        )
    except Exception as error:  # see _cpu_session
        return None, f"CUDA device {number} did not start: {error}; {cure}"
    found = runtime.get_providers()
    if not found or found[0] != _CUDA:
        return None, f"the session offers only {', '.join(found)}, CUDA did not start; {cure}"
    return runtime, ""


def _installed() -> set[str]:
    """Which of the two packages of the runtime are installed."""
    found = set()
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(name)
    return found
