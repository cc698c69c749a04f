import keras
import numpy as np
import pytest

from solartrack.models.goturn.network import (
    LocalResponseNormalization,
    PlaceBias,
    Profile,
    SidePair,
    SplitConv2D,
    build,
)
from solartrack.models.goturn.presets import PRESETS


def pair(crops, rows, seed=0):
    rng = np.random.default_rng(seed)
    return {n: rng.uniform(0, 255, (rows, *s)).astype(np.float32) for n, s in crops.inputs.items()}


@pytest.fixture(scope="module")
def lite():
    return build("goturn-lite", seed=1)


def test_caffenet_has_the_published_number_of_parameters():
    # Layer by layer from the paper's description; both towers share theirs.
    tower = [(11, 3, 96), (5, 48, 256), (3, 256, 384), (3, 192, 384), (3, 192, 256)]
    convolutions = sum(k * k * i * o + o for k, i, o in tower)
    dense = [(2 * 6 * 6 * 256, 4096), (4096, 4096), (4096, 4096), (4096, 4)]
    with keras.device("cpu"):
        network = build("goturn-caffenet")
    assert network.count_params() == convolutions + sum(i * o + o for i, o in dense) == 111_414_660
    assert network.output["box"].shape == (None, 4) and set(network.output) == {"box"}
    assert network.get_layer("tower_pool3").output.shape[1:] == (6, 6, 256)


def test_lite_is_small_and_gives_a_box_and_a_score(lite):
    assert 800_000 <= lite.count_params() <= 1_500_000
    out = lite.predict_on_batch(pair(PRESETS["goturn-lite"].crops, 3))
    assert out["box"].shape == (3, 4) and out["score"].shape == (3, 1)
    assert (out["score"] > 0).all() and (out["score"] < 1).all()


def test_untrained_lite_answers_the_prior(lite):
    out = lite.predict_on_batch(pair(PRESETS["goturn-lite"].crops, 2))
    np.testing.assert_allclose(out["box"], np.tile([2.5, 2.5, 7.5, 7.5], (2, 1)), atol=1e-3)


def test_lite_sees_the_same_in_another_exposure(lite):
    crops = pair(PRESETS["goturn-lite"].crops, 2)
    darker = {name: 0.6 * crop + 20 for name, crop in crops.items()}
    a, b = lite.predict_on_batch(crops), lite.predict_on_batch(darker)
    np.testing.assert_allclose(a["score"], b["score"], atol=2e-3)


def test_lite_tells_target_from_search(lite):
    crops = pair(PRESETS["goturn-lite"].crops, 1)
    swapped = {"target": crops["search"], "search": crops["target"]}
    assert lite.predict_on_batch(crops)["score"] != lite.predict_on_batch(swapped)["score"]


def test_a_seed_decides_the_weights():
    a, b, c = (build("goturn-lite", seed=s).get_layer("head_dense1").get_weights()[0] for s in (4, 4, 5))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_split_convolution_equals_the_grouped_one_with_the_same_weights():
    # The five convolutions of the published network, without the dense 440 MB.
    rng = np.random.default_rng(0)
    for side, channels, filters, kernel in ((27, 96, 256, 5), (13, 384, 384, 3), (13, 384, 256, 3)):
        x = rng.normal(size=(2, side, side, channels)).astype(np.float32)
        settings = {"padding": "same", "groups": 2, "activation": "relu"}
        grouped = keras.layers.Conv2D(filters, kernel, **settings)
        split = SplitConv2D(filters, kernel, **settings)
        wanted = grouped(x)
        split.build(x.shape)
        split.set_weights(grouped.get_weights())
        np.testing.assert_allclose(split(x), wanted, atol=2e-5)
        back = keras.layers.Conv2D(filters, kernel, **settings)
        back.build(x.shape)
        back.set_weights(split.get_weights())
        np.testing.assert_allclose(back(x), wanted, atol=0)


def test_local_response_normalisation_is_caffes():
    rng = np.random.default_rng(2)
    x = rng.normal(0, 40, (1, 2, 3, 9))
    wanted = np.empty_like(x)
    for c in range(9):
        near = x[..., max(0, c - 2) : c + 3]
        wanted[..., c] = x[..., c] / (1 + 1e-4 / 5 * (near**2).sum(axis=-1)) ** 0.75
    np.testing.assert_allclose(LocalResponseNormalization()(x.astype(np.float32)), wanted, rtol=1e-5)


def test_half_precision_network_still_answers_in_float32():
    network = build("goturn-lite", dtype="mixed_float16", seed=1)
    exact = build("goturn-lite", seed=1).predict_on_batch(pair(PRESETS["goturn-lite"].crops, 2))
    out = network.predict_on_batch(pair(PRESETS["goturn-lite"].crops, 2))
    assert out["box"].dtype == np.float32
    np.testing.assert_allclose(out["score"], exact["score"], atol=5e-3)


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="preset must be one of goturn-caffenet, goturn-lite, got 'vgg'"):
        build("vgg")


def test_place_bias_tells_places_apart():
    layer = PlaceBias()
    layer.build((None, 2, 3, 1))
    weights = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    np.testing.assert_array_equal(layer(np.ones((4, 2, 3, 1), np.float32)), np.ones((4, 2, 3, 1)))
    layer.set_weights([weights])
    np.testing.assert_array_equal(
        layer(np.ones((4, 2, 3, 1), np.float32)), np.tile(1 + weights, (4, 1, 1, 1))
    )


@pytest.mark.parametrize(("axis", "shape"), [(1, (2, 1, 5, 3)), (2, (2, 4, 1, 3))])
def test_profile_is_the_mean_over_an_axis(axis, shape):
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
    layer = Profile(axis)
    assert layer.compute_output_shape(x.shape) == shape
    np.testing.assert_allclose(layer(x), x.mean(axis=axis, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("flat", [1, 2])
def test_side_pair_is_the_mean_and_the_scatter_of_where_each_side_may_be(flat):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 40, 2)).astype(np.float32)
    layer = SidePair(-1.0, 11.0, (2.0, 8.0))
    shaped = np.expand_dims(logits, flat)
    layer.build(shaped.shape)
    positions = np.linspace(-1.0, 11.0, 40)
    for row, got in zip(logits, np.asarray(layer(shaped)), strict=True):
        for side, start in enumerate((2.0, 8.0)):
            share = np.exp(row[:, side] - 0.5 * (positions - start) ** 2)
            share /= share.sum()
            at = (share * positions).sum()
            assert got[side] == pytest.approx(at, abs=1e-4)
            assert got[2 + side] == pytest.approx((share * np.abs(positions - at)).sum(), abs=1e-4)


def test_side_pair_follows_what_moves_along_the_profile():
    layer = SidePair(0.0, 39.0, (0.0, 0.0))
    logits = np.zeros((2, 1, 40, 2), np.float32)
    layer.build(logits.shape)
    layer.set_weights([np.zeros((2, 40), np.float32)])  # nothing expected
    logits[0, 0, 10], logits[1, 0, 17] = 30.0, 30.0
    np.testing.assert_allclose(layer(logits), [[10, 10, 0, 0], [17, 17, 0, 0]], atol=1e-4)
