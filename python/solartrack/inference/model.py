"""Model files: finding them, what they say about themselves, and running them."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from solartrack._arrays import as_threads
from solartrack.errors import ModelError
from solartrack.inference.conventions import KINDS, Convention, Float32Array, Shape
from solartrack.inference.session import Session, open_session

__all__ = ["FORMAT", "KEY", "SHIPPED", "Model", "ModelInfo", "find_model", "load_model"]

#: Models that come with the package.
SHIPPED = ("goturn-lite",)

#: Key of the metadata in an ONNX file, and the version of their format.
KEY = "solartrack"
FORMAT = 1


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says about itself.

    Attributes
    ----------
    name, version : str
    precision : str
        "fp32", "fp16" or "int8" (of trackers the dense layers only); "fp64" inside classifiers of tables.
    convention : Convention
        How the inputs are made; for trackers a `CropPair`, for classifiers of tables a `FeatureTable`, for
        those of images a `MagnetogramPatch`.
    training : dict
        Data, seeds and scores, as the training run recorded them.
    sha256 : str
        Hash of the weights, which identifies the model in result tables.

    Examples
    --------
    >>> from solartrack import inference
    >>> info = inference.load_model("goturn-lite", device="cpu").info
    >>> info.name, info.precision, type(info.convention).__name__
    ('goturn-lite', 'fp32', 'CropPair')
    """

    name: str
    version: str
    precision: str
    convention: Convention
    training: Mapping[str, Any]
    sha256: str

    def to_json(self) -> str:
        """The metadata to be stored in the file."""
        fields = {**self.__dict__, "convention": {"kind": self.convention.kind, **asdict(self.convention)}}
        return json.dumps({"format": FORMAT, **fields}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ModelInfo":
        """Read the metadata that `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is anything else, or of a later format or unknown convention.

        Examples
        --------
        >>> from solartrack import inference
        >>> info = inference.load_model("goturn-lite", device="cpu").info
        >>> inference.ModelInfo.from_json(info.to_json()) == info
        True
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
        Where it runs: "cpu" or "cuda:0", "cuda:1", ...
    choice : str
        Why it runs there, for logs and result tables.
    threads : int
        Threads that the CPU may use.

    Notes
    -----
    May be called from several threads. Pickling sends the path, not the weights. A process that was
    forked has none of the runtime's threads: there a model made before the fork is refused, and may be
    dropped; load it again. Such a process ends without the exit handlers of C libraries that were
    registered before the fork, some of which would wait for those threads; Python's are called.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import inference
    >>> model = inference.Model.load(inference.find_model("goturn-lite"), device="cpu", threads=1)
    >>> model.device, model.info.name
    ('cpu', 'goturn-lite')
    >>> crops = {
    ...     name: np.zeros((2, *shape), np.float32) for name, shape in model.convention.inputs.items()
    ... }
    >>> found = model.run(crops)
    >>> found["box"].shape
    (2, 4)
    """

    path: Path
    info: ModelInfo
    device: str
    choice: str
    threads: int

    _arguments: tuple[Any, ...]
    _session: Session

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
            Inputs of any length have those of the convention's `trial`.
        cuda_graph : bool
            Record the kernels of each batch size and replay them; for small networks on CUDA.

        Returns
        -------
        Model

        Raises
        ------
        ModelError
            If the file is damaged, was not written by solartrack or has an unknown convention.
        DeviceError
            If CUDA was requested and does not work here; the message says what was found.
        FileNotFoundError
            If there is no such file.
        ValueError
            If there is no such device, or a CUDA graph is requested for the CPU.
        ImportError
            If ONNX Runtime is not installed.

        Examples
        --------
        >>> from solartrack import inference
        >>> path = inference.find_model("goturn-lite")
        >>> model = inference.Model.load(path, device="cpu", threads=1)
        >>> model.choice
        'cpu, as requested'
        """
        model = object.__new__(cls)
        model.path, model.threads = Path(path), as_threads(threads)
        model._arguments = (os.fspath(model.path.resolve()), device, threads, tuple(warm_up), cuda_graph)
        session = open_session(model.path, device, threads=model.threads, warn_level=3, cuda_graph=cuda_graph)
        model._session, model.device, model.choice = session, session.device, session.choice
        model.info = _info(session, model.path)
        for rows in warm_up:
            model.run({n: np.zeros((rows, *s), np.float32) for n, s in model.convention.trial.items()})
        return model

    @property
    def convention(self) -> Convention:
        """How the inputs are made."""
        return self.info.convention

    def run(self, inputs: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
        """Run the network on any number of rows.

        Parameters
        ----------
        inputs : mapping of str to ndarray of float32
            One array for each input of the convention, ``(n, ...)`` with the same n. Large inputs
            are run a few rows at a time.

        Returns
        -------
        dict of str to ndarray of float32
            ``(n, ...)`` for each output; no rows for no rows.

        Raises
        ------
        ValueError
            If an input is missing or unknown, has another shape, or is a patch with pixels that are
            not finite.
        TypeError
            If an array is not float32.

        Examples
        --------
        >>> import numpy as np
        >>> from solartrack import inference
        >>> model = inference.load_model("goturn-lite", device="cpu")
        >>> side, _, channels = model.convention.inputs["target"]
        >>> crops = np.zeros((3, side, side, channels), np.float32)
        >>> model.run({"target": crops, "search": crops})["box"].shape
        (3, 4)
        """
        rows, most = self._check(inputs), self._session.most_rows(inputs)
        parts = [
            self._session.run({n: a[i : i + most] for n, a in inputs.items()}) for i in range(0, rows, most)
        ]
        if len(parts) == 1:
            return parts[0]
        shapes, names = self.convention.outputs, self._session.outputs
        if not parts:
            return {n: np.empty((0, *shapes[n]), np.float32) for n in names}
        return {n: np.concatenate([part[n] for part in parts]) for n in names}

    def __reduce__(self) -> tuple[Any, ...]:
        return _load, self._arguments

    def __repr__(self) -> str:
        info = self.info
        return f"<Model {info.name} {info.version} {info.precision} on {self.device}, {info.sha256[:12]}>"

    def _check(self, inputs: Mapping[str, Float32Array]) -> int:
        """Number of rows of valid inputs."""
        wanted = self.convention.inputs
        if set(inputs) != set(wanted):
            raise ValueError(f"inputs must be {', '.join(wanted)}, got {', '.join(inputs) or 'none'}")
        counts = {}
        for name, shape in wanted.items():
            array = inputs[name]
            if not isinstance(array, np.ndarray) or array.dtype != np.float32:
                got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise TypeError(f"{name} must be a float32 array, got {got}; make it with Model.convention")
            if not _fits(array.shape[1:], shape) or (len(array) and not array.size):
                sides = ", ".join("any" if side is None else str(side) for side in shape)
                raise ValueError(
                    f"{name} must have shape (n, {sides}), got {array.shape}; make it with Model.convention"
                )
            # A network's rectifiers make 0 of NaN, and the answer a number like any other.
            if None in shape and not np.isfinite(array).all():
                finite = np.isfinite(array).reshape(len(array), -1)
                row = int(np.argmin(finite.all(axis=1)))
                raise ValueError(
                    f"{name} must be finite, but {finite.shape[1] - int(finite[row].sum())} of "
                    f"{finite.shape[1]} values of row {row} are not; leave that patch out"
                )
            counts[name] = len(array)
        if len(set(counts.values())) != 1:
            raise ValueError(f"inputs must have the same number of rows, got {counts}")
        return next(iter(counts.values()))


def _load(path: str, device: str, threads: int | None, warm_up: tuple[int, ...], cuda_graph: bool) -> Model:
    """Load a model; pickle cannot pass keyword arguments to `Model.load`."""
    return Model.load(path, device=device, threads=threads, warm_up=warm_up, cuda_graph=cuda_graph)


def _info(session: Session, file: Path) -> ModelInfo:
    """Metadata of a file, once its inputs and outputs have been compared with its convention."""
    text = session.metadata(KEY)
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
        (session.inputs, convention.inputs, frozenset[str]()),
        (session.outputs, convention.outputs, convention.optional),
    ):
        right = all(
            name in wanted and kind == "tensor(float)" and _promised(shape[1:]) == wanted[name]
            for name, (kind, shape) in nodes.items()
        )
        if not right or set(wanted) - optional - set(nodes):
            raise ModelError(
                f"{file} is damaged: its convention {convention.kind!r} wants {dict(wanted)}, it has {nodes}"
            )
    return info


def _promised(shape: tuple[Any, ...]) -> Shape:
    """Shape of a node; the runtime gives lengths that are open a name, or None."""
    return tuple(length if isinstance(length, int) else None for length in shape)


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(w in (None, n) for n, w in zip(shape, wanted, strict=True))


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
    TypeError
        If it is something else than text or a path.

    Examples
    --------
    >>> from solartrack import inference
    >>> inference.find_model("goturn-lite").name
    'goturn-lite.onnx'
    """
    if not isinstance(model, str | os.PathLike):
        raise TypeError(f"model must be {', '.join(SHIPPED)} or the path of an .onnx file, got {model!r}")
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
    """Load a model once for everything in this process that uses it.

    Parameters
    ----------
    model : str or path
        See `find_model`.
    device, threads
        See `Model.load`.

    Returns
    -------
    Model
        The same object for the same file, device and threads; a file that has changed is loaded again.

    Raises
    ------
    ModelError, DeviceError, ImportError
        As `find_model` and `Model.load`.

    Examples
    --------
    >>> from solartrack import inference
    >>> model = inference.load_model("goturn-lite", device="cpu")
    >>> model is inference.load_model("goturn-lite", device="cpu")
    True
    """
    path = find_model(model)
    return _load_once(path, path.stat().st_mtime_ns, device, threads)


@lru_cache(maxsize=8)
def _load_once(path: Path, modified: int, device: str, threads: int | None) -> Model:
    return Model.load(path, device=device, threads=threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_load_once.cache_clear)  # a forked process loads its own
