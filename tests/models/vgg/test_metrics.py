import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solartrack.flares.scores import contingency_scores
from solartrack.models.vgg.metrics import SCORES, Score


def one_hot(labels):
    return np.eye(2, dtype=np.float32)[np.asarray(labels, int)]


def probabilities(p):
    p = np.asarray(p, np.float32)
    return np.stack([1 - p, p], axis=1)


def by_definition(labels, p, weights=None):
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, float)
    y, f = np.asarray(labels) == 1, np.asarray(p, np.float32) > np.float32(1) - np.asarray(p, np.float32)
    found = contingency_scores(
        (w * (y & f)).sum(), (w * (y & ~f)).sum(), (w * (~y & f)).sum(), (w * (~y & ~f)).sum()
    )
    return {name: found[name] for name in SCORES}


samples = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0, 2.5])),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40)
@given(samples, st.integers(1, 41), st.booleans())
def test_scores_of_an_epoch_are_those_of_the_whole_table_whatever_the_batch_size(rows, batch, weighted):
    labels, p, weights = (np.array(column) for column in zip(*rows, strict=True))
    mine = [Score(name) for name in SCORES]
    for start in range(0, len(rows), batch):
        part = slice(start, start + batch)
        for metric in mine:
            metric.update_state(
                one_hot(labels[part]), probabilities(p[part]), weights[part] if weighted else None
            )
    wanted = by_definition(labels, p, weights if weighted else None)
    for metric in mine:
        np.testing.assert_allclose(float(metric.result()), wanted[metric.name], atol=1e-12, equal_nan=True)
    assert mine[0].all_scores() == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_samples_of_weight_zero_and_masked_ones_are_left_out():
    labels, p = [0, 1, 1, 0], [0.1, 0.9, 0.2, 0.8]
    for weights in ([1.0, 1.0, 0.0, 0.0], np.array([True, True, False, False])):
        for metric in map(Score, SCORES):
            metric.update_state(one_hot(labels), probabilities(p), weights)
            assert float(metric.result()) == 1.0


def test_scores_without_flares_or_without_quiet_samples_are_nan():
    for labels, defined in ([0, 0], "tnr"), ([1, 1], "tpr"):
        for metric in map(Score, SCORES):
            assert math.isnan(float(metric.result()))  # of nothing
            metric.update_state(one_hot(labels), probabilities([0.2, 0.7]))
            assert math.isnan(float(metric.result())) == (metric.name != defined)


def test_counting_goes_on_beyond_the_integers_of_float32():
    metric = Score("tpr")
    metric.counts.assign([0, 0, 2.0**24, 2.0**24])
    metric.update_state(one_hot([1]), probabilities([0.9]))
    assert float(metric.counts[3]) == 2.0**24 + 1


def test_metrics_are_reset_between_epochs_and_work_in_compile():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    network.compile(loss="categorical_crossentropy", weighted_metrics=[Score(name) for name in SCORES])
    x, y = np.float32([[3, 0], [0, 3], [3, 0], [0, 3]]), one_hot([0, 1, 1, 0])
    for _ in range(2):
        found = network.evaluate(
            x, y, sample_weight=np.float32([1, 1, 1, 0]), batch_size=2, verbose=0, return_dict=True
        )
        assert (found["tpr"], found["tnr"], found["tss"]) == (0.5, 1.0, 0.5)


def test_a_stored_metric_is_the_same_again():
    again = Score.from_config(Score("hss", name="val_hss").get_config())
    assert (again.score, again.name) == ("hss", "val_hss")


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="score must be one of tpr, tnr, tss, hss, got 'f1'"):
        Score("f1")
