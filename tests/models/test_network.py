import keras
import numpy as np
import pytest

from solartrack.models.goturn.network import LocalResponseNormalization, SplitConv2D, build
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
    np.testing.assert_array_equal(out["box"], np.tile(np.float32([2.5, 2.5, 7.5, 7.5]), (2, 1)))


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
