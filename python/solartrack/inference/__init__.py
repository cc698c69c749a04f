"""Running networks with ONNX Runtime, on the CPU or on a CUDA device.

A model file says itself how its inputs are made (its *convention*) and what it
was trained on; files that do not are refused. The device that is reported is
the one that really computes: ONNX Runtime falls back to the CPU without a word,
so every session is asked after it is made.
"""

import importlib.metadata
import json
import os
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_threads
from solartrack._optional import require
from solartrack.crop import context_crop, crop_to_frame
from solartrack.errors import DeviceError, ModelError

__all__ = ["FORMAT", "KEY", "KINDS", "SHIPPED", "CropPair", "Model", "ModelInfo", "find_model", "load_model"]

Float32Array = NDArray[np.float32]

#: Models that come with the package.
SHIPPED = ("goturn-lite",)

#: Key of the metadata in an ONNX file, and the version of what is written there.
KEY = "solartrack"
FORMAT = 1

# Rows that one call of the runtime gets; more only needs more memory. Powers of two.
_MOST_ROWS = {"cpu": 64, "cuda": 256}
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_CURE = (
    "install 'solartrack[gpu]' (onnxruntime-gpu) in an environment without onnxruntime, with the CUDA and "
    "cuDNN it was built for"
)


@dataclass(frozen=True)
class CropPair:
    """Convention of trackers: two context crops in, a box in the second one out.

    Inputs ``target`` and ``search``, float32 (n, side, side, channels); outputs ``box`` (n, 4)
    in the coordinates of the search crop, 0 to `span`, and possibly ``score`` (n, 1), 0 to 1, and
    ``spread`` (n, 4), the expected error of each side in the same units as the box.

    Attributes
    ----------
    side : int
        Of the crops, pixels.
    channels : int
        Copies of the grey value.
    mean : tuple of float
        Subtracted from each channel. Pixels are display values, 0 to 255.
    context : float
        Side of the window in box sides.
    span : float
        Coordinate of the crop's far edges.
    alone : float
        Where no target is shown (zeros instead), the side in radii of the Sun's disk of the boxes that
        search windows are cut for, see `squares`; 0 if the network always needs a target.
    """

    side: int
    channels: int
    mean: tuple[float, ...]
    context: float = 2.0
    span: float = 10.0
    alone: float = 0.0

    kind = "crop-pair"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(m) for m in self.mean))
        if self.side < 1 or self.channels < 1 or self.context <= 0 or self.span <= 0:
            raise ValueError(f"side, channels, context and span must be positive, got {self}")
        if len(self.mean) != self.channels:
            raise ValueError(f"mean must have one value for each channel, got {self}")
        if not 0 <= self.alone <= 1:
            raise ValueError(f"alone must lie between 0 and 1 radii, got {self}")

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the inputs without the first axis."""
        crop = (self.side, self.side, self.channels)
        return {"target": crop, "search": crop}

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs without the first axis."""
        return {"box": (4,), "score": (1,), "spread": (4,)}

    #: Outputs that a model may leave out.
    optional = frozenset({"score", "spread"})

    def crop(
        self,
        image: ArrayLike | Sequence[ArrayLike],
        boxes: ArrayLike,
        *,
        out: Float32Array | None = None,
        threads: int | None = None,
    ) -> Float32Array:
        """Crops around boxes, shape (n, side, side, channels); see `solartrack.crop.context_crop`."""
        return context_crop(
            image,
            boxes,
            size=self.side,
            context=self.context,
            channels=self.channels,
            mean=self.mean,
            out=out,
            threads=threads,
        )

    def squares(self, boxes: Float64Array, disk_radius: float) -> Float64Array:
        """Boxes to cut search windows for where no target is shown, shape (n, 4).

        They have the centres of `boxes`, shape (n, 4), and `alone` radii on a side: there the size of a
        box is what the network shall find, not be told.
        """
        centre, half = 0.5 * (boxes[:, :2] + boxes[:, 2:]), 0.5 * self.alone * disk_radius
        return np.concatenate([centre - half, centre + half], axis=1)

    def to_frame(
        self, boxes: ArrayLike, anchors: ArrayLike, image_shape: tuple[int, int] | None
    ) -> Float64Array:
        """The network's boxes in frame pixels; see `solartrack.crop.crop_to_frame`."""
        return crop_to_frame(boxes, anchors, image_shape, context=self.context, span=self.span)


#: Conventions by the name that model files carry.
KINDS = {CropPair.kind: CropPair}


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says about itself.

    Attributes
    ----------
    name, version : str
    precision : str
        "fp32", "fp16" or "int8" (dense layers only).
    convention : CropPair
        How the inputs are made.
    training : dict
        Data, seeds and scores, as the training run recorded them.
    sha256 : str
        Of the weights: the identity of the model in result tables.
    """

    name: str
    version: str
    precision: str
    convention: CropPair
    training: Mapping[str, Any]
    sha256: str

    def to_json(self) -> str:
        """Text for the file's metadata."""
        fields = {**self.__dict__, "convention": {"kind": self.convention.kind, **asdict(self.convention)}}
        return json.dumps({"format": FORMAT, **fields}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelInfo":
        """Metadata from the text in a file.

        Raises
        ------
        ValueError
            If it is not what `to_json` writes, or of a later format or unknown convention.
        """
        try:
            fields = dict(json.loads(text))
            version = fields.pop("format")
            if version != FORMAT:
                raise ValueError(
                    f"its metadata has format {version}, this solartrack reads {FORMAT}; "
                    "install the version that wrote it"
                )
            convention = dict(fields.pop("convention"))
            kind = convention.pop("kind")
            if kind not in KINDS:
                raise ValueError(
                    f"its inputs follow the convention {kind!r}, this solartrack knows {', '.join(KINDS)}"
                )
            return cls(convention=KINDS[kind](**convention), **fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"its metadata is incomplete or damaged: {error}") from error


class Model:
    """A network ready to run; make one with `Model.load`.

    Attributes
    ----------
    path : Path
    info : ModelInfo
    device : str
        Where it really runs: "cpu" or "cuda:0", "cuda:1", ...
    choice : str
        Why there, for logs and result tables.
    threads : int
        Threads that the CPU part may use.

    Notes
    -----
    May be called from several threads. Pickling sends the path, not the weights.
    """

    path: Path
    info: ModelInfo
    device: str
    choice: str
    threads: int

    def __init__(self) -> None:
        raise TypeError("a Model is made by Model.load(path)")

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        threads: int | None = None,
        warm_up: Sequence[int] = (1,),
        cuda_graph: bool = False,
    ) -> "Model":
        """Load a model file that solartrack wrote.

        Parameters
        ----------
        path : path
            ONNX file.
        device : {"auto", "cpu", "cuda", "cuda:N"}
            "auto" takes CUDA if it works, else the CPU; `choice` says which and why.
        threads : int, optional
            For the CPU; default ``$SOLARTRACK_NUM_THREADS``, else the cores this process may use.
        warm_up : sequence of int
            Batch sizes to run once now, so that the first frame is as fast as the others. On CUDA
            sizes are rounded up to powers of two, each with its own buffers and search for algorithms.
        cuda_graph : bool
            Record the kernels of each batch size and replay them; for small networks on CUDA.

        Returns
        -------
        Model

        Raises
        ------
        ModelError
            If the file is damaged, not one of ours or of an unknown convention.
        DeviceError
            If CUDA was asked for and does not work here, saying what was found.
        FileNotFoundError
            If there is no such file.
        ValueError
            If `device` is another one, or a CUDA graph is asked of the CPU.
        ImportError
            If ONNX Runtime is not installed.
        """
        ort = require("onnxruntime", extra="cpu", purpose="running networks")
        file = Path(path)
        if not file.is_file():
            raise FileNotFoundError(f"there is no model file {file}")
        number = _device_number(device)
        if cuda_graph and device == "cpu":
            raise ValueError("cuda_graph needs a CUDA device, got device='cpu'; leave it out")
        cores = as_threads(threads)

        model = object.__new__(cls)
        model._arguments = (os.fspath(file.resolve()), device, threads, tuple(warm_up), cuda_graph)
        session, trouble = None, ""
        if number is not None:
            session, trouble = _cuda_session(ort, file, number, cores, cuda_graph)
            if session is None and device != "auto":
                _cpu_session(ort, file, cores)  # a damaged file is not the device's fault
                raise DeviceError(f"device={device!r} was requested, but {trouble}")
        on_cuda = session is not None
        session = _cpu_session(ort, file, cores) if session is None else session
        model.path, model.threads = file, cores
        model.device = f"cuda:{number}" if on_cuda else "cpu"
        model.choice = (
            f"{model.device}, as requested"
            if device != "auto"
            else f"auto chose {model.device}, it works"
            if on_cuda
            else f"auto chose cpu: {trouble}"
        )
        model.info = _info(session, file)
        model._session = session
        model._outputs = [o.name for o in session.get_outputs()]
        model._bound = _Bound(ort, session, "cuda", number or 0, cuda_graph) if on_cuda else None
        for rows in warm_up:
            model.run({n: np.zeros((rows, *s), np.float32) for n, s in model.info.convention.inputs.items()})
        return model

    _arguments: tuple[Any, ...]
    _session: Any
    _outputs: list[str]
    _bound: "_Bound | None"

    @property
    def convention(self) -> CropPair:
        """How the inputs are made."""
        return self.info.convention

    def run(self, inputs: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
        """Run the network on any number of rows.

        Parameters
        ----------
        inputs : mapping of str to ndarray of float32
            One array for each input of the convention, ``(n, ...)`` with the same n.

        Returns
        -------
        dict of str to ndarray of float32
            ``(n, ...)`` for each output; no rows for no rows.

        Raises
        ------
        ValueError
            If an input is missing or unknown, or a shape is another one.
        TypeError
            If an array is not float32.
        """
        rows = self._check(inputs)
        most = _MOST_ROWS["cuda" if self._bound else "cpu"]
        parts = [self._run({n: a[i : i + most] for n, a in inputs.items()}) for i in range(0, rows, most)]
        if len(parts) == 1:
            return parts[0]
        shapes = self.info.convention.outputs
        empty = {n: np.empty((0, *shapes[n]), np.float32) for n in self._outputs}
        return {n: np.concatenate([part[n] for part in parts]) if parts else empty[n] for n in empty}

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, self._arguments

    def __repr__(self) -> str:
        info = self.info
        return f"<Model {info.name} {info.version} {info.precision} on {self.device}, {info.sha256[:12]}>"

    def _run(self, inputs: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
        if self._bound:
            return self._bound.run(inputs)
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))

    def _check(self, inputs: Mapping[str, Float32Array]) -> int:
        wanted = self.info.convention.inputs
        if set(inputs) != set(wanted):
            raise ValueError(f"inputs must be {', '.join(wanted)}, got {', '.join(inputs) or 'none'}")
        counts = {}
        for name, shape in wanted.items():
            array = inputs[name]
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise TypeError(f"{name} must be a float32 array, got {got}; make it with convention.crop")
            if array.shape[1:] != shape or array.ndim != len(shape) + 1:
                sides = ", ".join(map(str, shape))
                raise ValueError(
                    f"{name} must have shape (n, {sides}), got {array.shape}; make it with convention.crop"
                )
            counts[name] = len(array)
        if len(set(counts.values())) != 1:
            raise ValueError(f"inputs must have the same number of rows, got {counts}")
        return next(iter(counts.values()))


class _Bound:
    """Device buffers that are made once for each batch size and written again and again.

    Rows are padded to a power of two: few shapes, so few searches for convolution algorithms.
    """

    def __init__(self, ort: ModuleType, session: Any, kind: str, number: int, graph: bool) -> None:
        self._ort, self._session, self._place, self._graph = ort, session, (kind, number), graph
        self._buffers: dict[int, tuple[Any, Any, dict[str, Any], dict[str, Any], dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
        rows = len(next(iter(inputs.values())))
        size = 1 << (rows - 1).bit_length()
        with self._lock:
            if size not in self._buffers:
                self._buffers[size] = self._make(size)
            binding, options, host, on_device, results = self._buffers[size]
            for name, array in inputs.items():
                if rows < size:  # what is left of earlier frames in the other rows does not matter
                    host[name][:rows] = array
                    array = host[name]
                on_device[name].update_inplace(np.ascontiguousarray(array))
            self._session.run_with_iobinding(binding, options)
            return {name: np.array(value.numpy()[:rows]) for name, value in results.items()}

    def _make(self, size: int) -> tuple[Any, Any, dict[str, Any], dict[str, Any], dict[str, Any]]:
        kind, number = self._place
        binding, host, on_device, results = self._session.io_binding(), {}, {}, {}
        for node in self._session.get_inputs():
            shape = [size, *node.shape[1:]]
            host[node.name] = np.zeros(shape, np.float32)
            on_device[node.name] = self._value(shape, kind, number)
            on_device[node.name].update_inplace(host[node.name])
            binding.bind_ortvalue_input(node.name, on_device[node.name])
        for node in self._session.get_outputs():
            results[node.name] = self._value([size, *node.shape[1:]], kind, number)
            binding.bind_ortvalue_output(node.name, results[node.name])
        options = self._ort.RunOptions()
        if self._graph:
            options.add_run_config_entry("gpu_graph_id", str(size))  # one recording for each shape
        return binding, options, host, on_device, results

    def _value(self, shape: list[int], kind: str, number: int) -> Any:
        return self._ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, kind, number)


def _load(path: str, device: str, threads: int | None, warm_up: tuple[int, ...], cuda_graph: bool) -> Model:
    return Model.load(path, device=device, threads=threads, warm_up=warm_up, cuda_graph=cuda_graph)


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
    except Exception as error:  # the runtime has a dozen classes, without a common one
        raise ModelError(
            f"{file} is not a readable ONNX model, it is damaged or incomplete; fetch it again: {error}"
        ) from error


def _cuda_session(
    ort: ModuleType, file: Path, number: int, threads: int, graph: bool
) -> tuple[Any | None, str]:
    """A session that really is on CUDA; or None, and what was found instead."""
    both = {"onnxruntime", "onnxruntime-gpu"} <= _installed()
    spoilt = (
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
        "uninstall both, then install 'solartrack[gpu]'"
    )
    offered = ort.get_available_providers()
    if _CUDA not in offered:
        if both:
            warnings.warn(spoilt, RuntimeWarning, stacklevel=3)
        names = ", ".join(offered)
        return None, f"this onnxruntime offers only {names}; " + (spoilt if both else _CURE)
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # CUDA and cuDNN from pip's nvidia packages, if they are there
    options = _options(ort, threads)
    # Not one layer may end up on the CPU unseen.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    settings = {
        "device_id": number,
        # The default searches every algorithm at the first run of each shape, for seconds.
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": 0,  # results as on the CPU
        "enable_cuda_graph": int(graph),
    }
    try:
        session = ort.InferenceSession(
            os.fspath(file), options, providers=[(_CUDA, settings)], enable_fallback=0
        )
    except Exception as error:  # as above
        return None, f"CUDA device {number} did not start: {error}; {spoilt if both else _CURE}"
    found = session.get_providers()
    if not found or found[0] != _CUDA:
        names = ", ".join(found)
        return None, f"the session offers only {names}, CUDA did not start; {spoilt if both else _CURE}"
    return session, ""


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


def _info(session: Any, file: Path) -> ModelInfo:
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise ModelError(
            f"{file} was not written by solartrack: it does not say how its inputs are made; "
            "export it with solartrack.models.export"
        )
    try:
        info = ModelInfo.from_json(text)
    except ValueError as error:
        raise ModelError(f"{file} cannot be used: {error}") from error
    convention = info.convention
    for nodes, wanted, optional in (
        (session.get_inputs(), convention.inputs, frozenset[str]()),
        (session.get_outputs(), convention.outputs, convention.optional),
    ):
        got = {n.name: (n.type, tuple(n.shape[1:])) for n in nodes}
        for name, shape in wanted.items():
            if got.pop(name, ("tensor(float)", shape)) != ("tensor(float)", shape):
                got[name] = ("", ())
        missing = set(wanted) - optional - {n.name for n in nodes}
        if got or missing:
            shapes = {n.name: (n.type, n.shape) for n in nodes}
            raise ModelError(
                f"{file} is damaged: its convention {convention.kind!r} wants {wanted}, it has {shapes}"
            )
    return info


def find_model(model: str | os.PathLike[str]) -> Path:
    """File of a model.

    Parameters
    ----------
    model : str or path
        A name in `SHIPPED`, or a path to an ``.onnx`` file that `solartrack.models.export` wrote.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If it is neither, or the package lacks the file.
    """
    if model in SHIPPED:
        shipped = Path(str(files("solartrack.inference").joinpath("weights", f"{model}.onnx")))
        if not shipped.is_file():
            raise ModelError(f"the installed package lacks {shipped}; install it again, or give a model file")
        return shipped
    path = Path(model)
    if not path.is_file():
        raise ModelError(f"model must be {', '.join(SHIPPED)} or an .onnx file, got {os.fspath(model)!r}")
    return path


def load_model(model: str | os.PathLike[str], *, device: str = "auto", threads: int | None = None) -> Model:
    """Load a model once for all of its users in this process.

    Parameters
    ----------
    model : str or path
        See `find_model`.
    device, threads
        See `Model.load`.

    Returns
    -------
    Model
        The same object for the same file, device and threads; a file that has changed is loaded anew.

    Raises
    ------
    ModelError, DeviceError, ImportError
        As `find_model` and `Model.load`.
    """
    path = find_model(model)
    return _load_once(path, path.stat().st_mtime_ns, device, threads)


@lru_cache(maxsize=8)
def _load_once(path: Path, modified: int, device: str, threads: int | None) -> Model:
    return Model.load(path, device=device, threads=threads)
