import dataclasses

import keras
import numpy as np
import pytest

from solartrack.models.vgg.backbones import BACKBONES, Backbone, EfficientNetLite, Stage
from solartrack.models.vgg.network import FIELD_GAUSS, MagnetogramChannels, build, cut_points, split

LITE = Backbone(
    32,
    EfficientNetLite((Stage(1, 3, 1, 1, 8), Stage(2, 3, 2, 6, 12), Stage(2, 5, 2, 6, 16)), 8, 32),
    1 / 128,
    (-127 / 128,) * 3,
)


def fields(rows, side, seed=0):
    return np.random.default_rng(seed).normal(0, 800, (rows, side, side, 1)).astype(np.float32)


def test_channels_are_the_published_map_and_the_preprocessing_of_vgg():
    b = fields(2, 5)
    v = (b + 5978.7) / (2 * 5978.7) * 255
    colour = np.repeat(v, 3, axis=-1)
    wanted = keras.applications.vgg16.preprocess_input(colour.copy())
    plan = BACKBONES["vgg16"]
    got = MagnetogramChannels(plan.scale, plan.offsets)(b)
    np.testing.assert_allclose(got, wanted, atol=2e-5)


def test_strong_fields_are_not_clipped():
    b = np.float32([-9000, -FIELD_GAUSS, 0, FIELD_GAUSS, 9000]).reshape(1, 5, 1, 1)
    got = np.asarray(MagnetogramChannels(1.0, (0, 1, 2))(b))[0, :, 0]
    np.testing.assert_allclose(got[:, 0], (b.ravel() / FIELD_GAUSS + 1) * 127.5, atol=1e-4)
    np.testing.assert_allclose(got[:, 2] - got[:, 0], 2, atol=1e-4)


def test_efficientnet_lite_gets_about_minus_1_to_1():
    plan = BACKBONES["efficientnet-lite0"]
    b = np.float32([-FIELD_GAUSS, FIELD_GAUSS]).reshape(1, 2, 1, 1)
    got = np.asarray(MagnetogramChannels(plan.scale, plan.offsets)(b)).reshape(2, 3)
    np.testing.assert_allclose(got, [[-127 / 128] * 3, [1.0] * 3], atol=1e-6)


def described(layer):
    config = layer.get_config()
    keys = ("filters", "kernel_size", "strides", "padding", "units", "pool_size", "use_bias", "dilation_rate")
    return (layer.name, type(layer).__name__, layer.output.shape, *(config.get(k) for k in keys))


@pytest.fixture(scope="module")
def both():
    """VGG16 of ours and of Keras with the same weights, for small images: 0.13 GB each instead of 0.55."""
    plan = BACKBONES["vgg16"]
    ours = build(dataclasses.replace(plan, side=32), seed=1)
    theirs = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=2)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def test_vgg16_is_that_of_keras_applications_layer_by_layer(both):
    ours, theirs = both
    assert [described(a) for a in ours.layers[2:-1]] == [described(b) for b in theirs.layers[1:-1]]
    activations = [a.activation.__name__ for a in ours.layers if hasattr(a, "activation")]
    assert activations == ["relu"] * 15 + ["softmax"]
    assert BACKBONES["vgg16"].body.dense == (4096, 4096) and BACKBONES["vgg16"].side == 224


def test_vgg16_computes_what_that_of_keras_applications_does(both):
    ours, theirs = both
    b = fields(2, 32)
    colour = np.repeat((b + 5978.7) / (2 * 5978.7) * 255, 3, axis=-1)
    last = keras.Model(theirs.input, theirs.get_layer("fc2").output)
    wanted = last.predict_on_batch(keras.applications.vgg16.preprocess_input(colour))
    got = split(ours)[0].predict_on_batch(b)
    assert np.count_nonzero(wanted) > 1000
    np.testing.assert_allclose(got, wanted, atol=2e-5 * np.abs(wanted).max())


def test_efficientnet_lite0_has_the_published_number_of_parameters():
    network = build("efficientnet-lite0")
    # 4 652 008 with 1000 classes (Tan 2020), whose last layer has 1 281 000; moving means and variances apart.
    head = 1280 * 2 + 2
    assert sum(np.prod(w.shape) for w in network.trainable_weights) - head == 4_652_008 - 1_281_000
    names = [layer.name for layer in network.layers]
    assert len(names) == len(set(names))
    assert network.get_layer("avg_pool").output.shape == (None, 1280)
    assert network.get_layer("top_conv").output.shape == (None, 7, 7, 1280)
    theirs = keras.applications.EfficientNetB0(weights=None)
    shared = {w.name for w in theirs.layers}
    assert set(names) - shared == {"field", "channels", "stem_activation", "top_activation", "head"} - shared


@pytest.mark.parametrize("backbone", list(BACKBONES)[1:])
def test_probabilities_add_up_to_one(backbone):
    network, plan = build(backbone, seed=2), BACKBONES[backbone]
    p = network.predict_on_batch(fields(2, plan.side))
    assert network.input.name == "field" and network.layers[-1].name == "head"
    assert p.shape == (2, 2) and p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)


def test_a_seed_decides_the_weights():
    a, b, c = (build("vgg-small", seed=s) for s in (4, 4, 5))
    for x, y, z in zip(a.get_weights(), b.get_weights(), c.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)
        assert not x.any() or not np.array_equal(x, z)


def test_half_precision_network_still_answers_in_float32():
    exact, half = build("vgg-small", seed=1), build("vgg-small", seed=1, dtype="mixed_float16")
    b = fields(2, 64)
    assert half.get_layer("channels").compute_dtype == "float32"
    assert half.get_layer("fc1").compute_dtype == "float16"
    p = half.predict_on_batch(b)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, exact.predict_on_batch(b), atol=2e-2)


@pytest.mark.parametrize("plan", ["vgg-small", LITE])
def test_two_parts_compute_what_the_whole_does_at_every_cut(plan):
    network = build(plan, seed=3)
    b = fields(3, 64 if plan == "vgg-small" else 32)
    wanted = network.predict_on_batch(b)
    for at in cut_points(network):
        trunk, rest = split(network, at)
        assert not trunk.trainable_weights
        assert len(rest.trainable_weights) == len(network.trainable_weights) > 0
        got = rest(trunk(b, training=True), training=False)  # frozen batch norms do not change
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_parts_share_their_layers():
    network = build("vgg-small", seed=3)
    _, rest = split(network)
    rest.get_layer("head").bias.assign([0.0, 3.0])
    p = network.predict_on_batch(fields(1, 64))
    np.testing.assert_array_equal(network.get_layer("head").bias, [0.0, 3.0])
    assert p.shape == (1, 2)
    assert [w.path for w in network.trainable_weights] == [w.path for w in rest.trainable_weights]


def test_later_cut_thaws_nothing_and_freezes_again():
    network = build("vgg-small")
    split(network, "block4")
    assert len(network.trainable_weights) == 8
    split(network)
    assert len(network.trainable_weights) == 2


def test_block_means_its_first_layer():
    network = build("vgg-small")
    trunk, rest = split(network, "block4")
    assert trunk.output.shape == rest.input.shape == (None, 8, 8, 32)
    assert rest.layers[1].name == "block4_conv1"


def test_layers_inside_a_residual_block_are_no_cuts():
    network = build(LITE)
    cuts = cut_points(network)
    assert {"head", "avg_pool", "top_conv", "block2a_expand_conv", "block2b_expand_conv"} <= set(cuts)
    assert not {"block2b_add", "block2b_dwconv", "block2b_project_bn", "field", "channels"} & set(cuts)
    for at in ("block2b_dwconv", "block2b_add"):
        with pytest.raises(ValueError, match=f"cannot cut at '{at}': it does not cut.*block2b_expand_conv"):
            split(network, at)


@pytest.mark.parametrize("at", ["block9", "fc3", "", "channels", "field"])
def test_cut_at_what_is_no_layer_lists_those_that_are(at):
    with pytest.raises(ValueError, match=r"cannot cut at .*choose one of block1_conv1, .*fc2, head"):
        split(build("vgg-small"), at)


def test_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match=r"backbone must be one of vgg16, vgg16-trunk, .*got 'vgg19'"):
        build("vgg19")


def test_network_can_be_stored_and_read_by_keras(tmp_path):
    network = build("vgg-small", seed=1)
    network.save(tmp_path / "n.keras")
    again = keras.models.load_model(tmp_path / "n.keras")
    b = fields(1, 64)
    np.testing.assert_array_equal(again.predict_on_batch(b), network.predict_on_batch(b))
