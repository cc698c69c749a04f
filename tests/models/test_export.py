import dataclasses

import keras
import numpy as np
import onnx
import pytest

from solartrack.errors import ModelError
from solartrack.inference import CropPair, Model
from solartrack.models.export import export, to_onnx
from solartrack.models.goturn import train
from solartrack.models.goturn.network import LocalResponseNormalization, SplitConv2D, build
from solartrack.models.goturn.presets import PRESETS

LITE = PRESETS["goturn-lite"].crops


@pytest.fixture(scope="module")
def lite():
    network = build("goturn-lite", seed=3)
    box = network.get_layer("box")  # zeros until trained, which would hide everything
    box.kernel.assign(np.random.default_rng(3).normal(0, 0.2, box.kernel.shape))
    return network


def random_pair(crops, rows, seed):
    rng = np.random.default_rng(seed)
    return {n: rng.uniform(-120, 150, (rows, *s)).astype(np.float32) for n, s in crops.inputs.items()}


@pytest.mark.parametrize(("precision", "largest"), [("fp32", 1e-4), ("fp16", 5e-2), ("int8", 2e-1)])
def test_lite_in_onnx_equals_keras(lite, tmp_path, precision, largest):
    export(lite, tmp_path / "lite.onnx", LITE, name="lite", training={}, precision=precision)
    crops = random_pair(LITE, 5, seed=11)  # other inputs than the exporter's own check
    wanted, got = lite.predict_on_batch(crops), Model.load(tmp_path / "lite.onnx", device="cpu").run(crops)
    assert wanted["box"].std() > 0.1
    np.testing.assert_allclose(got["box"], wanted["box"], atol=largest)
    np.testing.assert_allclose(got["score"], wanted["score"], atol=largest / 10)


def test_lower_precision_makes_smaller_files(lite, tmp_path):
    size = {}
    for precision in ("fp32", "fp16", "int8"):
        export(lite, tmp_path / f"{precision}.onnx", LITE, name="lite", training={}, precision=precision)
        size[precision] = (tmp_path / f"{precision}.onnx").stat().st_size
    assert size["fp32"] < 8e6  # it is shipped in the wheel
    assert size["fp16"] < 0.52 * size["fp32"] and size["int8"] < 0.7 * size["fp32"]


def test_caffenet_in_onnx_equals_keras(tmp_path):
    # All of it but the size of the dense layers, which would take a minute and 4 GB.
    plan = dataclasses.replace(
        PRESETS["goturn-caffenet"], head=(("flatten",), ("dense", 64, 0.5), ("dense", 32, 0.5))
    )
    network = build(plan, seed=2)
    export(network, tmp_path / "caffenet.onnx", plan.crops, name="caffenet", training={})
    crops = random_pair(plan.crops, 2, seed=5)
    wanted = network.predict_on_batch(crops)["box"]
    got = Model.load(tmp_path / "caffenet.onnx", device="cpu").run(crops)
    assert set(got) == {"box"} and wanted.std() > 0.01
    np.testing.assert_allclose(got["box"], wanted, atol=1e-4)
    kinds = [node.op_type for node in onnx.load(tmp_path / "caffenet.onnx").graph.node]
    assert kinds.count("LRN") == 4 and kinds.count("Conv") == 10  # shared weights, used twice


def test_shared_weights_are_stored_once(lite):
    graph = to_onnx(lite).graph
    stored = sum(np.prod(t.dims) for t in graph.initializer if not t.name.startswith("tower_standardize"))
    assert stored == lite.count_params()


def test_file_tells_where_it_comes_from(lite, tmp_path):
    training = {"seeds": [1, 2], "tracked_iou": 0.83}
    made = export(lite, tmp_path / "m.onnx", LITE, name="mine", training=training)
    info = Model.load(tmp_path / "m.onnx", device="cpu").info
    assert info == made
    assert (info.name, info.precision, info.training, info.convention) == ("mine", "fp32", training, LITE)
    assert len(info.sha256) == 64


@pytest.mark.parametrize("name", ["goturn-lite", " GOTURN-lite "])
def test_only_the_shipped_file_has_the_shipped_name(lite, tmp_path, name):
    with pytest.raises(ValueError, match=r"is that of the network that comes with solartrack; .*lite:mine"):
        export(lite, tmp_path / "m.onnx", LITE, name=name, training={})
    with pytest.raises(ValueError, match="comes with solartrack; give yours another"):
        train.Run(out=tmp_path / "run", name=name)
    assert not list(tmp_path.iterdir())


def test_hash_is_that_of_the_weights(lite, tmp_path):
    first = export(lite, tmp_path / "a.onnx", LITE, name="a", training={})
    assert export(lite, tmp_path / "b.onnx", LITE, name="b", training={"x": 1}).sha256 == first.sha256
    other = build("goturn-lite", seed=4)
    assert export(other, tmp_path / "a.onnx", LITE, name="a", training={}).sha256 != first.sha256


def test_wrong_export_is_not_kept_and_the_old_file_stays(lite, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"the old one")
    with pytest.raises(ModelError, match=r"differs from Keras by .* of the range of box"):
        export(lite, path, LITE, name="m", training={}, precision="fp16", tolerance=1e-9)
    assert path.read_bytes() == b"the old one" and list(tmp_path.iterdir()) == [path]


def small(*layers, side=8, channels=4):
    target, search = (keras.Input((side, side, channels), name=n) for n in ("target", "search"))
    x = keras.layers.Concatenate()([target, search])
    for layer in layers:
        x = layer(x)
    return keras.Model({"target": target, "search": search}, {"box": keras.layers.Dense(4)(x)})


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
        lambda: keras.layers.Conv2D(6, 4, strides=3, padding="same", use_bias=False),
        lambda: keras.layers.Conv2D(8, 3, groups=4, activation="sigmoid"),
        lambda: SplitConv2D(8, 3, groups=2, padding="same"),
        lambda: keras.layers.Conv2D(5, (2, 3), dilation_rate=2, padding="same"),
        lambda: keras.layers.MaxPooling2D(3, 2),
        lambda: LocalResponseNormalization(3, alpha=0.5, beta=0.6),
    ],
)
def test_every_setting_of_a_layer_is_exported_right(layer, tmp_path):
    network = small(layer(), keras.layers.Flatten(), keras.layers.Dropout(0.3))
    convention = CropPair(side=8, channels=4, mean=(100.0, 110.0, 120.0, 130.0))
    # Random inputs of up to 150 make large answers here, so compare by their size.
    export(network, tmp_path / "m.onnx", convention, name="m", training={}, tolerance=1.0)
    crops = random_pair(convention, 3, seed=1)
    wanted = np.asarray(network.predict_on_batch(crops)["box"])
    got = Model.load(tmp_path / "m.onnx", device="cpu").run(crops)["box"]
    np.testing.assert_allclose(got, wanted, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [keras.layers.Conv2DTranspose(2, 3, name="up")],
            "layer 'up' is a Conv2DTranspose, .*known: Add, BatchNorm",
        ),
        ([keras.layers.Conv2D(2, 3, activation="gelu", name="c")], "'c', a Conv2D.*activation is gelu"),
        ([keras.layers.MaxPooling2D(2, padding="same", name="p")], "'p', a MaxPooling2D.*padding 'valid'"),
        ([keras.layers.GroupNormalization(2, name="g")], "'g', a GroupNormalization.*one group"),
        ([keras.layers.Dense(3, name="d")], "'d', a Dense.*must be flat, got \\(8, 8, 8\\)"),
    ],
)
def test_what_it_cannot_export_is_refused_by_name(layers, message, tmp_path):
    network = small(*layers, keras.layers.Flatten())
    with pytest.raises(ModelError, match=message):
        export(network, tmp_path / "m.onnx", CropPair(8, 4, (0, 0, 0, 0)), name="m", training={})
    assert not list(tmp_path.iterdir())


def test_network_that_is_no_graph_of_layers_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ModelError, match="not a functional Keras network"):
        to_onnx(Own(name="own"))


def test_precision_and_suffix_are_checked(lite, tmp_path):
    with pytest.raises(ValueError, match="precision must be one of fp32, fp16, int8, got 'int4'"):
        export(lite, tmp_path / "m.onnx", LITE, name="m", training={}, precision="int4")
    with pytest.raises(ValueError, match=r"path must end in \.onnx"):
        export(lite, tmp_path / "m.pb", LITE, name="m", training={})
