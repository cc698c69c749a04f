import re

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import resize as skimage_resize

from solartrack.errors import ModelError
from solartrack.inference import MagnetogramPatch, Model
from solartrack.inference.patches import resize, resize_matrix
from solartrack.models.onnx_graph import to_onnx
from solartrack.models.vgg import export as exporter
from solartrack.models.vgg.backbones import Backbone, EfficientNetLite, Stage, Vgg
from solartrack.models.vgg.export import export
from solartrack.models.vgg.network import build
from solartrack.models.vgg.resize_graph import resize_nodes

LITE = Backbone(
    32,
    EfficientNetLite((Stage(1, 3, 1, 1, 8), Stage(2, 3, 2, 6, 12), Stage(2, 5, 2, 6, 16)), 8, 32),
    1 / 128,
    (-127 / 128,) * 3,
)
TRUNK = Backbone(48, Vgg(((8, 8), (16, 16), (24, 24, 24))), 1.0, (-103.939, -116.779, -123.68))
SIZES = [(64, 64), (600, 600), (16, 16), (16, 512), (301, 77), (65, 63), (1024, 33)]


def patches(rows, shape, seed=0):
    """Fields as regions have them: weak noise, some strong spots of both signs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    out = rng.normal(0, 20, (rows, *shape))
    for field in out:
        for _ in range(6):
            cy, cx, wide = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 20)
            field += rng.normal(0, 1200) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * wide**2))
    return out.astype(np.float32)


def answered(network, batch):
    side = network.inputs[0].shape[1]
    fields = np.stack([resize(p, side) for p in batch])[..., None]
    return np.asarray(network.predict_on_batch(fields))[:, 1:]


@pytest.fixture(scope="module")
def small():
    """A network whose probabilities differ from patch to patch."""
    return spread(build("vgg-small", seed=1))


def spread(network):
    head, side = network.layers[-1], network.inputs[0].shape[1]
    fields = np.stack([resize(p, side) for p in patches(24, (96, 96), seed=77)])[..., None]
    trunk = keras.Model(network.input, head.input)
    seen = trunk.predict_on_batch(fields)
    weights = np.random.default_rng(0).normal(size=seen.shape[1])
    logit = seen @ weights
    head.kernel.assign(np.stack([0 * weights, weights], axis=1) / logit.std())
    head.bias.assign([0, -np.median(logit) / logit.std()])
    return network


@pytest.fixture(scope="module")
def file(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    export(small, path, name="small", training={"threshold": 0.3})
    return path


@pytest.fixture(scope="module")
def model(file):
    return Model.load(file, device="cpu", threads=1)


@pytest.mark.parametrize("shape", SIZES)
def test_onnx_equals_keras_for_patches_of_any_size(small, model, shape):
    batch = patches(3, shape, seed=5)
    wanted, got = answered(small, batch), model.run({"patch": batch})["probability"]
    assert got.shape == (3, 1) and wanted.std() > 0.01
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_patches_that_the_library_has_resized_pass_the_graph_unchanged(model):
    batch = patches(3, (150, 200), seed=4)
    before = np.stack([resize(patch, 64) for patch in batch])
    got, wanted = (model.run({"patch": p})["probability"] for p in (before, batch))
    np.testing.assert_allclose(got, wanted, atol=2e-6)


def test_size_may_change_from_call_to_call(small, model):
    for shape in ((50, 60), (128, 30), (50, 60)):
        batch = patches(2, shape, seed=6)
        np.testing.assert_allclose(
            model.run({"patch": batch})["probability"], answered(small, batch), atol=1e-5
        )


def normalised(plan, seed):
    """A network whose batch norms are not the identity."""
    network = build(plan, seed=seed)
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if type(layer).__name__ == "BatchNormalization":
            shape = layer.gamma.shape
            ranges = ((0.8, 1.2), (-0.1, 0.3), (-0.1, 0.1), (0.3, 1.5))
            layer.set_weights([rng.uniform(*r, shape) for r in ranges])
    return network


@pytest.mark.parametrize("plan", [LITE, TRUNK], ids=["lite", "trunk"])
def test_other_backbones_in_onnx_equal_keras(plan, tmp_path):
    network = normalised(plan, seed=2)
    network.layers[-1].kernel.assign(20 * network.layers[-1].kernel)
    export(network, tmp_path / "m.onnx", name="m", training={})
    batch = patches(4, (70, 90), seed=8)
    wanted = answered(network, batch)
    got = Model.load(tmp_path / "m.onnx", device="cpu").run({"patch": batch})["probability"]
    # Its averages hardly differ from patch to patch, but by far more than the error.
    np.testing.assert_allclose(got, wanted, atol=min(2e-5, 0.05 * wanted.std()))


def test_file_tells_where_it_comes_from(small, file, model):
    info = model.info
    assert (info.name, info.precision, info.training) == ("small", "fp32", {"threshold": 0.3})
    assert info.convention == MagnetogramPatch(64, 5978.7)
    proto = onnx.load(file)
    (patch,), (probability,) = proto.graph.input, proto.graph.output
    assert (patch.name, probability.name) == ("patch", "probability")
    assert [d.dim_param or d.dim_value for d in patch.type.tensor_type.shape.dim] == ["n", "rows", "columns"]
    stored = sum(np.prod(t.dims) for t in proto.graph.initializer if re.match(r"block|fc|head", t.name))
    assert stored == small.count_params()


# --- the resize


def resizer(side):
    nodes, constants = resize_nodes(onnx, "patch", "field", side)
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("patch", ["n", "rows", "columns"]), ("field", ["n", side, side, 1]))
    ]
    graph = onnx.helper.make_graph(nodes, "resize", ends[:1], ends[1:], constants)
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"patch": batch})[0][..., 0]


RESIZERS = {side: resizer(side) for side in (16, 64, 224)}


@pytest.mark.parametrize("side", list(RESIZERS))
@pytest.mark.parametrize("shape", [(600, 600), (16, 17), (224, 224), (333, 1001), (2048, 40), (225, 223)])
def test_resize_in_the_graph_is_that_of_scikit_image(side, shape):
    batch = np.random.default_rng(1).normal(0, 900, (2, *shape)).astype(np.float32)
    wanted = [
        skimage_resize(p.astype(float), (side, side), order=1, mode="reflect", anti_aliasing=True)
        for p in batch
    ]
    np.testing.assert_allclose(RESIZERS[side](batch), wanted, atol=1e-6 * np.ptp(batch))


@settings(max_examples=20)
@given(st.sampled_from(list(RESIZERS)), st.integers(16, 4096), st.integers(16, 40))
def test_matrices_in_the_graph_are_those_of_the_library(side, n, other):
    # Of unit vectors the result is a column of the matrix, for both axes.
    at = np.linspace(0, n - 1, 5).astype(int)
    batch = np.zeros((5, n, other), np.float32)
    batch[np.arange(5), at] = 1.0
    wanted = resize_matrix(n, side).toarray()[:, at].T
    for got in (RESIZERS[side](batch)[:, :, 3], RESIZERS[side](batch.transpose(0, 2, 1))[:, 3]):
        np.testing.assert_allclose(got, wanted, atol=2e-6)


@pytest.mark.parametrize("side", [64, 224])
@pytest.mark.parametrize("quarters", [5, 7, 9, 11, 21])
def test_reach_of_the_gaussian_is_cut_where_scikit_image_cuts_it(side, quarters):
    n = side * quarters // 4  # here 4 sigma + 0.5 is a whole number
    batch = np.zeros((1, n, n), np.float32)
    batch[0, n // 2] = 1.0
    got = RESIZERS[side](batch)[0, :, 0]
    assert np.array_equal(got > 0, resize_matrix(n, side).toarray()[:, n // 2] > 0)


def test_no_node_is_one_that_the_runtime_would_place_on_the_cpu(file):
    kinds = {node.op_type for node in onnx.load(file).graph.node}
    assert not kinds & {"Shape", "Size", "Range", "NonZero", "ConstantOfShape", "Loop", "If"}


# --- single layers


def one_layer(layer, side=9, channels=6):
    x = keras.Input((side, side, channels), name="x")
    y = layer(x)
    return keras.Model(x, keras.layers.Flatten()(y) if len(y.shape) == 4 else y)


def run(proto, x):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize(
    "layer",
    [
        *(
            lambda size=size, stride=stride, padding=padding: keras.layers.DepthwiseConv2D(
                size, stride, padding=padding, use_bias=size == 3
            )
            for size in (3, 5, 4)
            for stride in (1, 2, 3)
            for padding in ("same", "valid")
        ),
        lambda: keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu"),
        lambda: keras.layers.DepthwiseConv2D(3, dilation_rate=2, padding="same"),
        lambda: keras.layers.Conv2D(5, 3, strides=2, padding="same"),
        lambda: keras.layers.ReLU(6.0),
        lambda: keras.layers.ReLU(),
        lambda: keras.layers.GlobalAveragePooling2D(),
    ],
)
@pytest.mark.parametrize("side", [9, 10])
def test_every_setting_of_a_layer_is_exported_right(layer, side):
    network = one_layer(layer(), side)
    x = np.random.default_rng(3).normal(0, 5, (2, side, side, 6)).astype(np.float32)
    np.testing.assert_allclose(run(to_onnx(network), x), network.predict_on_batch(x), atol=2e-5)


def test_sums_of_layers_are_exported_whatever_their_layout():
    x = keras.Input((8, 8, 3), name="x")
    first = keras.layers.Conv2D(3, 1)(x)  # channels first in the graph, the input is not
    y = keras.layers.Add()([first, x, keras.layers.Conv2D(3, 3, padding="same")(first)])
    network = keras.Model(x, keras.layers.Flatten()(y))
    values = np.random.default_rng(4).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(run(to_onnx(network), values), network.predict_on_batch(values), atol=1e-5)


def test_softmax_is_exported_and_stays_in_float32():
    x = keras.Input((7,), name="x")
    network = keras.Model(x, keras.layers.Dense(3, activation="softmax", name="p")(x))
    values = np.random.default_rng(4).normal(0, 3, (4, 7)).astype(np.float32)
    for precision in ("fp32", "fp16", "int8"):
        proto = to_onnx(network, precision=precision)
        assert "Cast" not in {n.op_type for n in proto.graph.node}
        np.testing.assert_allclose(run(proto, values), network.predict_on_batch(values), atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.ReLU(negative_slope=0.1, name="r"), "'r', a ReLU.*no negative slope"),
        (lambda: keras.layers.GlobalAveragePooling2D(keepdims=True, name="g"), "'g', a Global.*keepdims"),
        (lambda: keras.layers.Conv2D(2, 3, activation="softmax", name="c"), "'c', a Conv2D.*is softmax"),
    ],
)
def test_settings_without_a_node_are_refused_by_name(layer, message):
    with pytest.raises(ModelError, match=message):
        to_onnx(one_layer(layer()))


# --- lower precision


@pytest.fixture(scope="module")
def calibration():
    return [*patches(24, (96, 96), seed=77), *patches(8, (64, 120), seed=78)]


@pytest.mark.parametrize(("precision", "largest"), [("fp16", 1e-2), ("int8", 0.1)])
def test_lower_precision_is_near_and_smaller(small, calibration, file, tmp_path, precision, largest):
    path = tmp_path / "m.onnx"
    info = export(small, path, name="m", training={}, precision=precision, calibration=calibration)
    batch = patches(16, (96, 96), seed=9)
    got = Model.load(path, device="cpu").run({"patch": batch})["probability"]
    assert info.precision == precision and info.convention == MagnetogramPatch(64)
    np.testing.assert_allclose(got, answered(small, batch), atol=largest)
    assert path.stat().st_size < {"fp16": 0.55, "int8": 0.4}[precision] * file.stat().st_size
    assert list(tmp_path.iterdir()) == [path]


def kinds_of_weights(path):
    graph = onnx.load(path).graph
    stored = {t.name: onnx.TensorProto.DataType.Name(t.data_type) for t in graph.initializer}
    found = {}
    for name, kind in stored.items():
        layer, _, part = name.partition("/")
        if part.startswith("kernel"):
            found.setdefault(layer, set()).add(kind if "scale" not in name and "zero" not in name else "")
    return {layer: kinds - {""} for layer, kinds in found.items()}


def test_int8_leaves_the_first_convolution_and_the_last_layer_alone(small, calibration, tmp_path):
    export(small, tmp_path / "m.onnx", name="m", training={}, precision="int8", calibration=calibration)
    kinds = kinds_of_weights(tmp_path / "m.onnx")
    assert kinds.pop("block1_conv1") == kinds.pop("head") == {"FLOAT"}
    assert set(kinds) == {"block2_conv1", "block3_conv1", "block4_conv1", "fc1", "fc2"}
    assert all(kind == {"INT8"} for kind in kinds.values())
    nodes = [
        n for n in onnx.load(tmp_path / "m.onnx").graph.node if n.name.startswith(("resize", "channels"))
    ]
    assert nodes and not {"QuantizeLinear", "DequantizeLinear"} & {n.op_type for n in nodes}
    largest = max(
        np.abs(onnx.numpy_helper.to_array(t)).max()
        for t in onnx.load(tmp_path / "m.onnx").graph.initializer
        if "kernel" in t.name and t.data_type == onnx.TensorProto.INT8 and "zero" not in t.name
    )
    assert 60 <= largest <= 64  # 7 bits


def test_batch_norms_are_gone_in_int8(tmp_path, calibration):
    network = normalised(LITE, seed=2)
    export(
        network,
        tmp_path / "m.onnx",
        name="m",
        training={},
        precision="int8",
        calibration=calibration,
        tolerance=1,
    )
    kinds = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert "BatchNormalization" not in kinds and kinds.count("Clip") <= 1


def test_hash_of_int8_depends_on_the_scales(small, calibration, tmp_path):
    def made(patches):
        path = tmp_path / "m.onnx"
        how = {"training": {}, "precision": "int8", "tolerance": 1}
        return export(small, path, name="m", calibration=patches, **how).sha256

    first = made(calibration)
    assert made(calibration) == first
    assert made([0.5 * p for p in calibration]) != first


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "int8 needs at least 16 patches for calibration, got 0"),
        (np.zeros((5, 32, 32)), "at least 16 patches for calibration, got 5"),
        (np.zeros((20, 32)), r"patch 0 .*shape \(rows, columns\).* got shape \(32,\)"),
        (np.zeros((20, 15, 32)), "at least 16 pixels each"),
        (np.full((20, 32, 32), np.nan), "finite values"),
    ],
)
def test_int8_without_proper_patches_is_refused(small, given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(small, tmp_path / "m.onnx", name="m", training={}, precision="int8", calibration=given)
    assert not list(tmp_path.iterdir())


# --- refusals


@pytest.mark.parametrize("where", ["output", "weights"])
def test_fp16_is_refused_where_its_range_is_too_small_though_the_cpu_would_not_notice(where, tmp_path):
    network = build("vgg-small", seed=1)
    if where == "weights":
        before, after = (np.array(network.get_layer(name).kernel) for name in ("fc1", "fc2"))
        before[:, 0], after[0, 0] = 0.0, 7e4  # of a unit that is never active
        network.get_layer("fc1").kernel.assign(before)
        network.get_layer("fc2").kernel.assign(after)
        message = "the weights of fc2 has a value of 7e"
    else:  # the same function of the field, by way of larger numbers
        for name, factor in (("block2_conv1", 3e3), ("block3_conv1", 1 / 3e3)):
            layer = network.get_layer(name)
            layer.kernel.assign(factor * layer.kernel)
        message = "the output of block2"
    export(network, tmp_path / "m.onnx", name="m", training={})
    with pytest.raises(ModelError, match=f"fp16 would overflow: {message}"):
        export(network, tmp_path / "m.fp16.onnx", name="m", training={}, precision="fp16")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_fp16_looks_at_the_patches_that_it_is_given(small, tmp_path):
    given = {"name": "m", "training": {}, "precision": "fp16"}
    export(small, tmp_path / "m.onnx", **given, calibration=patches(2, (64, 64)))
    strong = [1e4 * patch for patch in patches(2, (64, 64))]
    with pytest.raises(ModelError, match="fp16 would overflow: the output of "):
        export(small, tmp_path / "m.onnx", **given, calibration=strong)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_wrong_export_is_not_kept_and_the_old_file_stays(small, calibration, tmp_path, precision):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"the old one")
    how = {"precision": precision, "calibration": calibration, "tolerance": 1e-12}
    with pytest.raises(
        ModelError, match=r"differs from Keras by .* in (a probability|the prob.*), .* not kept"
    ):
        export(small, path, name="m", training={}, **how)
    assert path.read_bytes() == b"the old one" and list(tmp_path.iterdir()) == [path]


def test_network_that_gives_no_numbers_is_not_exported(tmp_path):
    network = build("vgg-small")
    network.get_layer("fc2").bias.assign(np.full(64, np.nan))
    with pytest.raises(ModelError, match="differs from Keras by nan"):
        export(network, tmp_path / "m.onnx", name="m", training={})
    assert not list(tmp_path.iterdir())


def test_name_precision_and_suffix_are_checked(small, tmp_path):
    with pytest.raises(ValueError, match="is that of the network that comes with solartrack"):
        export(small, tmp_path / "m.onnx", name="goturn-lite", training={})
    with pytest.raises(ValueError, match="precision must be one of fp32, fp16, int8, got 'int4'"):
        export(small, tmp_path / "m.onnx", name="m", training={}, precision="int4")
    with pytest.raises(ValueError, match=r"path must end in \.onnx"):
        export(small, tmp_path / "m.pb", name="m", training={})
    assert set(exporter.TOLERANCE) == {"fp32", "fp16", "int8"}
