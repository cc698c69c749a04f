"""Integrated gradients on small networks, among them linear ones, whose attributions are known."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solartrack.inference.patches import resize
from solartrack.models.vgg.saliency import integrated_gradients

SIDE = 16


def network(*layers, seed=0):
    keras.utils.set_random_seed(seed)
    field = keras.Input((SIDE, SIDE, 1), name="field")
    x = field
    for layer in (*layers, keras.layers.Flatten()):
        x = layer(x)
    return keras.Model(field, keras.layers.Dense(2, activation="softmax", name="head")(x))


@pytest.fixture(scope="module")
def linear():
    return network()


@pytest.fixture(scope="module")
def deep():
    # Fields are hundreds of gauss. Without biases, gradients would be the same all along the path.
    rectified = {"activation": "relu", "bias_initializer": keras.initializers.RandomNormal(0, 0.5, seed=1)}
    return network(
        keras.layers.Rescaling(1 / 500),
        keras.layers.Conv2D(4, 3, **rectified),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(8, 3, **rectified),
    )


def log_odds(model, field):
    p = model.predict(field[None, :, :, None], verbose=0)[0].astype(np.float64)
    return np.log(p[1] / p[0])


def fields(size, seed, strength):
    return (strength * np.random.default_rng(seed).normal(size=size)).astype(np.float32)


@settings(max_examples=10)
@given(
    seed=st.integers(0, 99),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    strength=st.floats(0.01, 0.5),
)
def test_attributions_of_a_linear_network_are_weight_times_field(linear, seed, size, strength):
    """Exact, and complete, whatever the number of steps; the resizing is a part of the weight."""
    field = fields(size, seed, strength)
    found = integrated_gradients(linear, field, steps=1)
    kernel, bias = (
        np.asarray(w.value, np.float64) for w in (linear.layers[-1].kernel, linear.layers[-1].bias)
    )
    weight = (kernel[:, 1] - kernel[:, 0]).reshape(SIDE, SIDE)
    change = (weight * resize(field, SIDE)).sum()
    assert found.baseline == bias[1] - bias[0] and found.change == pytest.approx(change, abs=1e-5)
    assert found.attribution.shape == size and found.error == pytest.approx(0, abs=1e-5)
    if size == (SIDE, SIDE):
        np.testing.assert_allclose(found.attribution, weight * field, atol=1e-6)
    one = np.zeros(size, np.float32)
    one[3, 5] = 1.0
    alone = integrated_gradients(linear, one, steps=1).change
    assert found.attribution[3, 5] == pytest.approx(alone * field[3, 5], abs=1e-5)


@settings(max_examples=6)
@given(
    seed=st.integers(0, 99),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    strength=st.floats(1, 2000),
)
def test_attributions_add_up_to_the_change_of_the_log_odds(deep, seed, size, strength):
    field = fields(size, seed, strength)
    found = integrated_gradients(deep, field)
    small, zero = resize(field, SIDE), np.zeros((SIDE, SIDE), np.float32)
    change = log_odds(deep, small) - log_odds(deep, zero)
    assert found.attribution.sum() == pytest.approx(change, abs=0.011 * max(abs(change), 1))
    assert found.error == pytest.approx(found.attribution.sum() - found.change, abs=1e-9)
    p = deep.predict(small[None, :, :, None], verbose=0)[0, 1]
    assert found.probability == pytest.approx(p, abs=1e-5)


def test_no_field_has_no_attribution(deep):
    found = integrated_gradients(deep, np.zeros((20, 20)))
    assert not found.attribution.any() and (found.change, found.error) == (0.0, 0.0)


def test_steps_are_doubled_until_the_sum_is_right(deep):
    field = fields((SIDE, SIDE), 0, 800)
    rough, fine = (integrated_gradients(deep, field, tolerance=t) for t in (0.5, 1e-4))
    assert rough.steps == 32 < fine.steps and abs(fine.error) < 1e-3
    assert integrated_gradients(deep, field, steps=5).steps == 5


def test_a_pixel_that_the_network_does_not_see_has_no_share(deep):
    cropped = network(keras.layers.Cropping2D(4))
    found = integrated_gradients(cropped, fields((SIDE, SIDE), 0, 1))
    inside = np.zeros((SIDE, SIDE), bool)
    inside[4:-4, 4:-4] = True
    assert found.attribution[inside].all() and not found.attribution[~inside].any()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (np.zeros((3, 4, 5)), r"got shape \(3, 4, 5\)"),
        (np.full((4, 4), np.nan), "with 16 values that are not finite"),
    ],
)
def test_a_field_that_is_none_is_refused(linear, field, message):
    with pytest.raises(ValueError, match=message):
        integrated_gradients(linear, field)


def test_a_masked_field_is_refused_as_it_is_when_it_is_resized(linear):
    with pytest.raises(TypeError, match="field is a masked array"):
        integrated_gradients(linear, np.ma.masked_greater(np.ones((4, 4)), 0))


def test_a_network_without_a_head_is_refused():
    field = keras.Input((SIDE, SIDE, 1))
    other = keras.Model(field, keras.layers.Dense(2, name="top")(keras.layers.Flatten()(field)))
    with pytest.raises(ValueError, match=r"layer 'head' of two units, .* its last layer is 'top'"):
        integrated_gradients(other, np.zeros((16, 16)))
    with pytest.raises(ValueError, match="tolerance must be between 0 and 1"):
        integrated_gradients(other, np.zeros((16, 16)), tolerance=0)
