import datetime as dt
import json
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from solartrack.flares import mcintosh, text
from solartrack.flares._resampling import interval_of
from solartrack.flares.scores import (
    brier_decomposition,
    choose_threshold,
    climatology,
    compare_forecasts,
    contingency_scores,
    cycle_phase,
    economic_value,
    evaluate,
    known_forecasts,
    persistence,
    reliability_curve,
    score_forecast,
    score_forecasts,
    threshold_curve,
)
from solartrack.sources._srs import regions_table

SKILL = ("tss", "hss", "ets")


def sample(n=3000, n_groups=40, seed=0):
    rng = np.random.default_rng(seed)
    group = rng.integers(n_groups, size=n)
    p = np.clip(rng.random(n_groups)[group] ** 2 + 0.1 * rng.normal(size=n), 0.01, 0.99).round(2)
    return (rng.random(n) < 0.6 * p).astype(int), p, group


# Both classes, probabilities with many ties
both = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < len(y)),
        st.lists(st.integers(0, 20).map(lambda k: k / 20), min_size=n, max_size=n),
    )
)


# ---- equal to others


@given(both, st.integers(0, 20))
def test_scores_equal_those_of_scikit_learn(data, k):
    y, p = data
    threshold = k / 20
    yes = np.array(p) >= threshold
    values = score_forecast(y, p, threshold=threshold).values
    assert values["tss"] == pytest.approx(sk.balanced_accuracy_score(y, yes, adjusted=True), abs=1e-12)
    assert values["hss"] == pytest.approx(sk.cohen_kappa_score(y, yes), abs=1e-12)
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(y, yes))
    assert values["tpr"] == pytest.approx(sk.recall_score(y, yes))
    assert values["tnr"] == pytest.approx(sk.recall_score(y, yes, pos_label=0))
    if yes.any():
        assert values["precision"] == pytest.approx(sk.precision_score(y, yes))
        assert values["far"] == pytest.approx(1 - sk.precision_score(y, yes))
    if yes.any() or any(y):
        assert values["csi"] == pytest.approx(sk.jaccard_score(y, yes))
    assert values["brier"] == pytest.approx(sk.brier_score_loss(y, p), abs=1e-12)
    assert values["bss"] == pytest.approx(sk.d2_brier_score(y, p), abs=1e-9)
    assert values["auc"] == pytest.approx(sk.roc_auc_score(y, p), abs=1e-12)
    inside = np.clip(p, 0.01, 0.99)
    assert score_forecast(y, inside, threshold=0.5).values["log_score"] == pytest.approx(
        sk.log_loss(y, inside)
    )


def test_scores_equal_those_of_the_package_scores():
    xarray = pytest.importorskip("xarray")
    package = pytest.importorskip("scores")
    y, p, _ = sample()
    yes = xarray.DataArray((p >= 0.3).astype(float), dims="i")
    seen = xarray.DataArray(y.astype(float), dims="i")
    theirs = package.categorical.BinaryContingencyManager(yes, seen)
    values = score_forecast(y, p, threshold=0.3).values
    for ours, name in (
        ("tpr", "probability_of_detection"), ("fpr", "probability_of_false_detection"),
        ("far", "false_alarm_ratio"), ("tss", "peirce_skill_score"), ("hss", "heidke_skill_score"),
        ("ets", "gilberts_skill_score"), ("csi", "critical_success_index"), ("accuracy", "accuracy"),
        ("frequency_bias", "frequency_bias"), ("precision", "precision"), ("tnr", "specificity"),
    ):  # fmt: skip
        assert values[ours] == pytest.approx(float(getattr(theirs, name)())), ours
    forecast = xarray.DataArray(p, dims="i")
    assert values["brier"] == pytest.approx(float(package.probability.brier_score(forecast, seen)))
    roc = package.probability.roc_curve_data(
        forecast, seen, np.unique(np.concatenate([[0, 1.1], p])), check_args=False
    )
    assert values["auc"] == pytest.approx(float(roc.AUC))


def test_economic_value_equals_that_of_the_package_scores():
    xarray = pytest.importorskip("xarray")
    package = pytest.importorskip("scores")
    y, p, _ = sample()
    ratios = np.array([0.05, 0.2, 0.31, 0.6])
    ours = economic_value(y, p, ratios)
    seen = xarray.DataArray(y.astype(float), dims="i")
    theirs = package.probability.relative_economic_value(
        xarray.DataArray(p, dims="i"), seen, cost_loss_ratios=ratios.tolist(),
        probability_thresholds=[0.0, *np.unique(p).tolist(), 1.0], generate_maximum_rev=True,
    )  # fmt: skip
    assert ours["best"].to_numpy() == pytest.approx(theirs["maximum"].to_numpy().ravel())
    for ratio, value in zip(ratios, ours["value"], strict=True):
        yes = xarray.DataArray((p >= ratio).astype(float), dims="i")
        at = package.categorical.relative_economic_value(yes, seen, cost_loss_ratios=[ratio])
        assert value == pytest.approx(at.item())


def test_roc_curve_equals_that_of_scikit_learn():
    y, p, _ = sample(300)
    curve = threshold_curve(y, p)
    fpr, tpr, thresholds = sk.roc_curve(y, p, drop_intermediate=False)
    assert np.allclose(curve["fpr"], fpr) and np.allclose(curve["tpr"], tpr)
    assert np.allclose(curve["threshold"], thresholds)
    area = np.trapezoid(curve["tpr"], curve["fpr"])
    assert score_forecast(y, p, threshold=0.5).values["auc"] == pytest.approx(area)


# ---- worked out by hand


def test_a_known_table_has_its_exact_scores():
    assert contingency_scores(tp=30, fn=10, fp=20, tn=140) == pytest.approx(
        {
            "tpr": 0.75, "tnr": 0.875, "fpr": 0.125, "precision": 0.6, "far": 0.4, "accuracy": 0.85,
            "tss": 0.625, "hss": 2 * (30 * 140 - 10 * 20) / (40 * 150 + 50 * 160), "ets": 20 / 50,
            "csi": 0.5, "frequency_bias": 1.25,
        }
    )  # fmt: skip


def test_skill_against_a_given_climatology_is_against_that_constant_forecast():
    y, p = [1, 0, 0, 0], [0.5, 0.5, 0.0, 0.0]
    values = score_forecast(y, p, threshold=0.5, base_rate=0.1).values
    reference = (0.9**2 + 3 * 0.1**2) / 4
    assert values["bss"] == pytest.approx(1 - 0.125 / reference)
    constant = score_forecast(y, 0.1, threshold=0.5, base_rate=0.1)
    assert constant.values["bss"] == pytest.approx(0) and constant.base_rate == 0.1


def test_a_probability_at_the_threshold_is_a_forecast():
    assert score_forecast([1, 0], [0.3, 0.2], threshold=0.3).values["tss"] == 1


# ---- laws


@given(both)
def test_the_parts_of_the_brier_score_add_up(data):
    for bins in (None, 1, 3, 10):
        part = brier_decomposition(*data, bins=bins)
        total = part["reliability"] - part["resolution"] + part["uncertainty"]
        within = part["within_bin_variance"] - part["within_bin_covariance"]
        assert part["brier"] == pytest.approx(total + within, abs=1e-12)
        if bins is None:
            assert within == pytest.approx(0, abs=1e-12)
            assert part["within_bin_variance"] == pytest.approx(0, abs=1e-12)


@given(both)
def test_exchanging_the_classes_exchanges_the_rates_and_keeps_skill(data):
    y, p = np.array(data[0]), np.array(data[1])
    one = score_forecast(y, p, threshold=0.475).values  # between the probabilities
    other = score_forecast(1 - y, 1 - p, threshold=0.525).values
    assert one["tpr"] == other["tnr"]
    for name in ("tss", "hss", "accuracy", "brier", "bss", "auc"):
        assert one[name] == pytest.approx(other[name], abs=1e-12)


@given(both)
def test_a_perfect_forecast_has_the_best_scores(data):
    y = data[0]
    values = score_forecast(y, y, threshold=0.5).values
    for name in ("tpr", "tnr", "precision", "accuracy", *SKILL, "csi", "frequency_bias", "bss", "auc"):
        assert values[name] == pytest.approx(1), name
    for name in ("fpr", "far", "brier", "reliability", "log_score"):
        assert values[name] == pytest.approx(0), name


@given(both, st.integers(2, 7))
def test_true_skill_and_roc_area_do_not_depend_on_the_base_rate(data, k):
    y, p = map(np.array, data)
    rows = np.concatenate([np.repeat(np.flatnonzero(y == 1), k), np.flatnonzero(y == 0)])
    one, more = (score_forecast(y[i], p[i], threshold=0.5).values for i in (slice(None), rows))
    assert one["tss"] == pytest.approx(more["tss"], abs=1e-12)
    assert one["auc"] == pytest.approx(more["auc"], abs=1e-12)


@given(both)
def test_a_constant_forecast_has_no_skill(data):
    values = score_forecast(data[0], 0.3, threshold=0.2).values
    assert [values[name] for name in SKILL] == pytest.approx([0, 0, 0], abs=1e-12)
    assert values["auc"] == 0.5


@given(both)
def test_the_order_of_the_samples_does_not_matter(data):
    y, p = data
    one, other = score_forecast(y, p, threshold=0.5), score_forecast(y[::-1], p[::-1], threshold=0.5)
    assert one.values == pytest.approx(other.values, nan_ok=True)


@given(both)
def test_gilbert_and_heidke_are_one_score_on_two_scales(data):
    values = score_forecast(*data, threshold=0.5).values
    assert values["ets"] == pytest.approx(values["hss"] / (2 - values["hss"]), abs=1e-12)


@given(both)
def test_the_highest_value_is_the_highest_true_skill_at_the_base_rate(data):
    rate = np.mean(data[0])
    best = economic_value(*data, [rate])["best"].item()
    assert best == pytest.approx(max(0, threshold_curve(*data)["tss"].max()), abs=1e-9)


@given(both, st.sampled_from(["tss", "hss", "ets", "csi", "accuracy"]))
def test_the_chosen_threshold_has_the_highest_score(data, score):
    y, p = data
    threshold = choose_threshold(y, p, score)
    curve = threshold_curve(y, p)[1:]
    assert 0 <= threshold <= 1
    assert score_forecast(y, p, threshold=threshold).values[score] == pytest.approx(curve[score].max())


def test_the_chosen_threshold_lies_between_the_probabilities():
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)
    below = np.nextafter(0.6, 0)
    assert choose_threshold([0, 1], [below, 0.6]) == 0.6


# ---- what is undefined


def test_without_events_skill_is_undefined_with_the_reason():
    scores = score_forecast([0, 0, 0], [0.1, 0.9, 0.2], threshold=0.5, groups=[1, 2, 3])
    for name in ("tpr", "frequency_bias", *SKILL, "bss", "auc"):
        assert math.isnan(scores.values[name]) and "none of the 3 samples is an event" in scores.reasons[name]
        assert np.isnan(scores.intervals[name]).all()
    assert scores.values["far"] == 1 and scores.values["tnr"] == pytest.approx(2 / 3)
    assert "tnr" not in scores.reasons
    assert "none of the 3 samples is an event" in repr(scores)


def test_with_events_only_the_quiet_side_is_undefined():
    scores = score_forecast([1, 1], [0.1, 0.9], threshold=0.5)
    assert {"tnr", "fpr", *SKILL, "bss", "auc"} == set(scores.reasons)
    assert all("all 2 samples are events" in reason for reason in scores.reasons.values())


def test_a_forecast_that_never_says_yes_has_no_precision():
    scores = score_forecast([1, 0], [0.2, 0.1], threshold=0.5)
    assert set(scores.reasons) == {"precision", "far"}
    assert scores.reasons["far"] == "no probability reaches the threshold"


def test_what_was_called_impossible_and_happened_has_no_log_score():
    scores = score_forecast([1, 0], [0.0, 0.1], threshold=0.5)
    assert math.isnan(scores.values["log_score"]) and "infinite" in scores.reasons["log_score"]


@pytest.mark.parametrize("label", [[], [None, None], pd.array([pd.NA, pd.NA], dtype="Int8")])
def test_without_a_known_label_everything_is_undefined(label):
    p = [0.5] * len(label)
    scores = score_forecast(label, p, threshold=0.5, groups=range(len(label)))
    assert np.isnan(list(scores.values.values())).all()
    assert set(scores.reasons.values()) == {"no sample has a known label"}
    assert scores.n == 0 and scores.n_unknown == len(label)
    assert reliability_curve(label, p).empty
    assert economic_value(label, p)["value"].isna().all()
    assert set(scores.reasons) == set(scores.values)


@given(st.lists(st.tuples(st.sampled_from([0, 1, None]), st.integers(0, 4).map(lambda k: k / 4))))
def test_a_score_is_nan_exactly_where_there_is_a_reason(rows):
    y, p = [row[0] for row in rows], [row[1] for row in rows]
    scores = score_forecast(y, p, threshold=0.5, groups=[i % 3 for i in range(len(y))], n_boot=20)
    assert {name for name, value in scores.values.items() if math.isnan(value)} == set(scores.reasons)
    for name, (low, high) in scores.intervals.items():
        assert math.isnan(low) == math.isnan(high) and not low > high
        assert name not in scores.reasons or math.isnan(low)


def test_unknown_labels_are_left_out_and_counted():
    scores = score_forecast([1, None, 0, None], [0.9, math.nan, 0.1, 0.5], threshold=0.5)
    assert (scores.n, scores.n_events, scores.n_unknown) == (2, 1, 2)
    assert scores.values["tss"] == 1


# ---- bad input


@pytest.mark.parametrize(
    ("label", "probability", "error", "message"),
    [
        ([1, 0], [0.5], ValueError, "as long as the labels, got 1 for 2"),
        ([1, 0], [0.5, 1.5], ValueError, "from 0 to 1, got 1.5 in row 1; divide percentages by 100"),
        ([1, 0], [0.5, -0.1], ValueError, "got -0.1 in row 1"),
        ([1, 0], [0.5, math.nan], ValueError, "got nan in row 1; leave out"),
        ([1, 0], [0.5, None], ValueError, "got nan in row 1"),
        ([1, 0], [0.5, math.inf], ValueError, "got inf"),
        ([1, 2], [0.5, 0.5], ValueError, "labels must be 0, 1 or missing, got 2 in row 1"),
        (["1", "0"], [0.5, 0.5], TypeError, "label must be numbers, got string, such as '1'"),
        ([1, 0], ["a", "b"], TypeError, "must be numbers, got string"),
        ([[1, 0]], [0.5, 0.5], ValueError, r"label must have shape \(n,\), got \(1, 2\)"),
        (np.ma.array([1, 0], mask=[0, 1]), [0.5, 0.5], TypeError, "label is a masked array"),
        ([dt.datetime(2014, 1, 1)], [0.5], TypeError, "label must be numbers"),
    ],
)
def test_bad_labels_and_probabilities_are_refused(label, probability, error, message):
    for function in (threshold_curve, reliability_curve, economic_value, brier_decomposition):
        with pytest.raises(error, match=message):
            function(label, probability)
    with pytest.raises(error, match=message):
        score_forecast(label, probability, threshold=0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.5}, "threshold must be a number from 0 to 1, got 1.5"),
        ({"threshold": math.nan}, "threshold must be"),
        ({"threshold": "C1.0"}, "threshold must be"),
        ({"base_rate": -0.1}, "base_rate must be"),
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"n_boot": 0}, "n_boot"),
        ({"bins": 0}, "bins"),
        ({"groups": [1]}, "groups must be as long as the labels, got 1 for 2"),
        ({"groups": [1, None]}, "groups must not be missing, got 1 samples"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        score_forecast([1, 0], [0.4, 0.5], **{"threshold": 0.5, **settings})


def test_bad_counts_scores_and_ratios_are_refused():
    with pytest.raises(ValueError, match="fp must be counts"):
        contingency_scores(1, 1, -1, 1)
    with pytest.raises(ValueError, match="score must be one of tss"):
        choose_threshold([1, 0], [0.1, 0.2], "brier")
    with pytest.raises(ValueError, match="none of the 2 samples is an event"):
        choose_threshold([0, 0], [0.1, 0.2])
    with pytest.raises(ValueError, match="no sample has a known label"):
        choose_threshold([], [])
    with pytest.raises(ValueError, match="cost_loss must be"):
        economic_value([1, 0], [0.1, 0.2], [0.0, 0.5])
    with pytest.raises(ValueError, match="threshold must have one for each forecast, got none for 'b'"):
        score_forecasts([1, 0], {"a": 0.1, "b": 0.2}, threshold={"a": 0.5})
    with pytest.raises(ValueError, match=r"threshold must be for \['a'\], got \['a', 'typo'\]"):
        score_forecasts([1, 0], {"a": 0.1}, threshold={"a": 0.5, "typo": 0.5})
    with pytest.raises(ValueError, match="at least one forecast"):
        score_forecasts([1, 0], {}, threshold=0.5)


# ---- bootstrap


def limits(scores):
    return np.ravel(list(scores.intervals.values()))


def plain_bootstrap(y, p, group, score, n_boot, seed):
    """The definition: draw groups, put their rows together, score."""
    names = pd.unique(group)
    rows = [np.flatnonzero(group == one) for one in names]
    rng = np.random.default_rng(seed)
    values = []
    for chosen in rng.integers(len(names), size=(n_boot, len(names))):
        at = np.concatenate([rows[i] for i in chosen])
        values.append(score(y[at], p[at]))
    return np.quantile(values, (0.025, 0.975))


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("tss", lambda y, p: sk.balanced_accuracy_score(y, p >= 0.3, adjusted=True)),
        ("auc", sk.roc_auc_score),
        ("bss", sk.d2_brier_score),
        ("log_score", sk.log_loss),
        ("within_bin_covariance", lambda y, p: brier_decomposition(y, p)["within_bin_covariance"]),
        ("resolution", lambda y, p: brier_decomposition(y, p)["resolution"]),
    ],
)
def test_intervals_equal_those_of_the_plain_bootstrap(name, definition):
    y, p, group = sample(400, 12)
    ours = score_forecast(y, p, threshold=0.3, groups=group, n_boot=60, seed=3).intervals[name]
    assert ours == pytest.approx(plain_bootstrap(y, p, group, definition, 60, 3))


def test_blocks_of_draws_make_one_bootstrap(monkeypatch):
    from solartrack.flares import _resampling

    y, p, group = sample(400, 12)
    whole = score_forecast(y, p, threshold=0.3, groups=group, n_boot=50)
    monkeypatch.setattr(_resampling, "_BLOCK", 30)
    blocks = score_forecast(y, p, threshold=0.3, groups=group, n_boot=50)
    assert limits(blocks) == pytest.approx(limits(whole))


def test_intervals_include_the_value_and_follow_from_the_seed():
    y, p, group = sample()
    one, same, other = (score_forecast(y, p, threshold=0.3, groups=group, seed=s) for s in (1, 1, 2))
    assert one == same and one.intervals != other.intervals
    for name, value in one.values.items():
        assert one.intervals[name].low <= value <= one.intervals[name].high, name


def test_samples_of_one_region_widen_the_interval():
    y, p, group = sample()
    alone, together = (
        score_forecast(np.tile(y, 5), np.tile(p, 5), threshold=0.3, groups=groups).intervals["tss"]
        for groups in (np.arange(5 * len(y)), np.tile(group, 5))
    )
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_with_one_group_or_none_there_is_no_interval():
    y, p, _ = sample(100)
    assert score_forecast(y, p, threshold=0.3).intervals == {}
    one = score_forecast(y, p, threshold=0.3, groups=np.zeros(100))
    assert one.n_groups == 1 and np.isnan(one.intervals["tss"]).all() and not math.isnan(one.values["tss"])


def test_a_score_that_few_draws_define_has_no_interval():
    nan = math.nan
    assert np.isnan(interval_of(np.array([0.6, 0.5, nan, nan]), 0.95)).all()
    assert interval_of(np.array([0.6, 0.5, nan]), 0.95) == (0.5, 0.5)


def test_groups_may_be_names_numbers_or_categories():
    y, p, group = sample(200)
    numbers = score_forecast(y, p, threshold=0.3, groups=group)
    for groups in (group.astype(str), pd.Series(group, index=np.arange(200)[::-1]), pd.Categorical(group)):
        assert limits(score_forecast(y, p, threshold=0.3, groups=groups)) == pytest.approx(limits(numbers))


def test_a_difference_is_that_of_the_scores_on_the_same_draws():
    y, p, group = sample()
    worse = np.clip(p + 0.2, 0, 1)
    between = compare_forecasts(y, p, worse, threshold=(0.3, 0.5), groups=group)
    one, other = (score_forecast(y, q, threshold=t, groups=group) for q, t in ((p, 0.3), (worse, 0.5)))
    for name in ("tss", "bss", "auc"):
        assert between.values[name] == pytest.approx(one.values[name] - other.values[name])
    width = between.intervals["bss"].high - between.intervals["bss"].low
    assert width < one.intervals["bss"].high - one.intervals["bss"].low
    same = compare_forecasts(y, p, p, threshold=0.3, groups=group)
    assert set(same.values.values()) == {0.0} and set(same.intervals.values()) == {(0.0, 0.0)}


def test_a_difference_from_an_undefined_score_has_its_reason():
    between = compare_forecasts([1, 0], [0.9, 0.1], [0.2, 0.1], threshold=0.5)
    assert between.reasons["far"] == "no probability reaches the threshold"
    assert math.isnan(between.values["far"])


# ---- reliability


def test_reliability_counts_each_bin():
    curve = reliability_curve([0, 1, 1, 1, None], [0.05, 0.1, 0.15, 1.0, 0.5], groups=[1, 2, 3, 4, 5])
    assert curve["n"].tolist() == [1, 2, 1] and curve["n_events"].tolist() == [0, 2, 1]
    assert curve["probability"].tolist() == pytest.approx([0.05, 0.125, 1.0])
    assert curve["observed"].tolist() == [0, 1, 1]
    by_value = reliability_curve([0, 1, 1], [0.1, 0.1, 0.7], bins=None)
    assert by_value["probability"].tolist() == pytest.approx([0.1, 0.7])


def test_the_band_holds_a_reliable_forecast():
    rng = np.random.default_rng(5)
    p = rng.random(4000)
    curve = reliability_curve(rng.random(4000) < p, p)
    inside = (curve["low"] <= curve["probability"]) & (curve["probability"] <= curve["high"])
    assert inside.sum() >= 8


# ---- baselines and conditions


def events(rows, first="2014-01-01", last="2014-01-31"):
    table = pd.DataFrame(rows, columns=["region", "peak", "peak_flux"])
    table["peak"] = pd.to_datetime(table["peak"], format="ISO8601").astype("datetime64[us]")
    table["region"] = table["region"].astype("Int32")
    return SimpleNamespace(table=table, days=pd.date_range(first, last))


def test_persistence_is_a_flare_of_the_region_in_the_past_day():
    found = events(
        [(11936, "2014-01-05 06:00", 2e-6), (11936, "2014-01-07", 5e-7), (11937, "2014-01-05", 3e-5), (None, "2014-01-09", 1e-4)]
    )  # fmt: skip
    samples = pd.DataFrame(
        {
            "region": [11936] * 5 + [11937, 99],
            "time": ["2014-01-05 05:59:59", "2014-01-05 06:00", "2014-01-06 05:59:59", "2014-01-06 06:00",
                     "2014-01-07 12:00", "2014-01-05 12:00", "2014-01-09 01:00"],
        }
    )  # fmt: skip
    assert persistence(samples, found).tolist() == [0, 1, 1, 0, 0, 1, 0]
    assert persistence(samples, found, threshold="M1.0").tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert persistence(samples, found, hours=48)[3] == 1


def test_persistence_is_unknown_where_the_list_does_not_reach():
    found = events([(1, "2014-01-01 02:00", 2e-6)], last="2014-01-02")
    times = ["2014-01-01 06:00", "2014-01-01 01:00", "2014-01-02 00:00", "2014-01-02 12:00", "2014-01-03 00:00",
             "2014-01-03 00:00:01"]  # fmt: skip
    samples = pd.DataFrame({"region": 1, "time": pd.to_datetime(times, format="ISO8601")})
    # The first sees the flare; the second would need 31 December; the last one 3 January.
    assert np.array_equal(persistence(samples, found), [1, np.nan, 1, 0, 0, np.nan], equal_nan=True)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 200)), max_size=20),
    st.lists(st.tuples(st.integers(1, 3), st.integers(24, 200)), min_size=1, max_size=20),
)
def test_persistence_equals_the_plain_definition(flares, samples):
    start = pd.Timestamp("2014-01-02")
    found = events([(region, start + pd.Timedelta(hours=h), 2e-6) for region, h in flares])
    table = pd.DataFrame(
        {"region": [r for r, _ in samples], "time": [start + pd.Timedelta(hours=h) for _, h in samples]}
    )
    plain = [any(r == region and 0 <= h - k < 24 for r, k in flares) for region, h in samples]
    assert persistence(table, found).tolist() == plain


def test_bad_input_of_persistence_is_refused():
    samples = pd.DataFrame({"region": [1], "time": ["2014-01-05"]})
    with pytest.raises(ValueError, match="samples must have one column 'region'"):
        persistence(samples[["time"]], events([]))
    with pytest.raises(ValueError, match="times must not be missing, got none in row 0"):
        persistence(samples.assign(time=pd.NaT), events([]))
    with pytest.raises(ValueError, match="hours must be positive"):
        persistence(samples, events([]), hours=0)
    with pytest.raises(ValueError, match="threshold must be a flare class"):
        persistence(samples, events([]), threshold="C")
    assert persistence(samples[:0], events([])).shape == (0,)


def test_climatology_is_the_share_of_known_events():
    assert climatology([1, 0, None, 0, 1]) == 0.5
    with pytest.raises(ValueError, match="at least one known label"):
        climatology([None])


def test_phases_of_the_cycle():
    times = ["1970-01-01", "1996-08-01", "1999-06-01", "2001-03-01", "2005-06-01", "2008-06-01", "2011-06-01", "2014-04-01", "2017-06-01",
             "2022-01-01", "2026-06-01", "2031-01-01"]  # fmt: skip
    assert cycle_phase(times).tolist() == [
        "unknown", "minimum", "rising", "maximum", "declining", "minimum", "rising", "maximum", "declining",
        "rising", "declining", "unknown",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="missing"):
        cycle_phase(["2014-01-01", None])


# ---- report


@pytest.fixture(scope="module")
def forecasts():
    y, p, group = sample(2000)
    rng = np.random.default_rng(1)
    label = pd.array(y, dtype="Int8")
    label[:7] = pd.NA
    return pd.DataFrame(
        {"region": group, "label": label, "probability": p, "lon": rng.uniform(-90, 90, 2000)},
        index=rng.permutation(2000) // 2,  # neither ordered nor unique
    )


@pytest.fixture(scope="module")
def report(forecasts):
    old = (np.random.default_rng(2).random(2000) < 0.3).astype(float)
    by = {"longitude": pd.cut(forecasts["lon"].abs(), [0, 30, 60, 80])}
    return evaluate(forecasts, threshold=0.3, baselines={"persistence": old}, by=by, n_boot=100, name="svm")


def test_a_report_shows_the_forecast_beside_its_baselines(report, forecasts):
    assert list(report.scores) == ["svm", "persistence", "climatology"]
    alone = score_forecast(
        forecasts["label"], forecasts["probability"], threshold=0.3, groups=forecasts["region"], n_boot=100
    )
    assert report.scores["svm"] == alone
    assert report.scores["climatology"].values["bss"] == pytest.approx(0)
    assert report.differences["climatology"].values["tss"] == pytest.approx(alone.values["tss"])
    text = report.text()
    assert "1993 samples" in text and "(7 without a known label left out)" in text
    for words in ("svm - persistence", "(30, 60]", "95% bootstrap intervals over 40 groups (region)",
                  "climatology, far: no probability reaches the threshold"):  # fmt: skip
        assert words in text
    assert repr(report) == text
    assert "frequency_bias" in report.text(["frequency_bias"])
    with pytest.raises(ValueError, match=r"shown must be among .*, got 'mcc'"):
        report.text(["mcc"])


def test_parts_of_a_report_are_all_samples(report, forecasts):
    parts = report.strata["longitude"]
    assert list(parts) == ["(0, 30]", "(30, 60]", "(60, 80]", "unknown"]  # beyond 80 degrees
    assert sum(one.n for one in parts.values()) == 1993
    rows = (forecasts["lon"].abs() <= 30).to_numpy()
    alone = score_forecast(forecasts["label"][rows], forecasts["probability"][rows], threshold=0.3)
    assert parts["(0, 30]"].values == pytest.approx(alone.values)


def test_the_table_of_a_report_has_everything(report):
    table = report.table
    assert table.columns.tolist() == [
        "forecast", "split", "part", "score", "value", "low", "high", "reason", "n", "n_events", "threshold",
    ]  # fmt: skip
    assert set(table["forecast"]) == {
        "svm",
        "persistence",
        "climatology",
        "svm - persistence",
        "svm - climatology",
    }
    assert (table["value"].isna() == (table["reason"] != "")).all()
    one = table[(table["forecast"] == "svm") & (table["part"] == "") & (table["score"] == "tss")]
    assert one["value"].item() == report.scores["svm"].values["tss"]


def test_the_json_of_a_report_is_valid_and_says_how_it_was_made(report, tmp_path):
    report.to_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert read["scores"]["svm"]["values"]["tss"] == report.scores["svm"].values["tss"]
    assert read["scores"]["climatology"]["values"]["far"] is None
    assert read["scores"]["climatology"]["reasons"]["far"] == "no probability reaches the threshold"
    assert (
        read["settings"]["n_boot"] == 100
        and read["settings"]["groups"] == "region"
        and read["settings"]["version"]
    )
    assert len(read["reliability"]) == len(report.reliability)
    assert set(read["strata"]["longitude"]) == set(report.strata["longitude"])


def test_each_baseline_may_have_its_own_threshold(forecasts):
    rain = np.full(2000, 0.2)
    report = evaluate(
        forecasts,
        threshold={"forecast": 0.3, "rain": 0.1},
        baselines={"rain": rain},
        groups=None,
        base_rate=0.25,
    )
    assert report.scores["rain"].threshold == 0.1 and report.scores["rain"].values["tpr"] == 1
    assert report.scores["climatology"].threshold == 0.3 and report.scores["climatology"].base_rate == 0.25
    assert report.scores["forecast"].intervals == {} and "In brackets" not in report.text()


def test_a_report_of_nothing_says_so(forecasts, tmp_path):
    for nothing in (forecasts[:0], forecasts[:7]):
        report = evaluate(nothing, threshold=0.3)
        assert "no sample has a known label" in report.text()
        report.to_json(tmp_path / "report.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": "harp"}, "forecasts must have the column 'harp'"),
        ({"baselines": {"climatology": 0.1}}, "'climatology' is taken"),
        ({"baselines": {"forecast": 0.1}}, "a name of its own"),
        ({"baselines": {"old": [0.1]}}, "old must be as long as the labels, got 1 for 2000"),
        (
            {"baselines": {"old": np.full(2000, np.nan)}},
            "old must be probabilities from 0 to 1, got nan in row 7",
        ),
        ({"by": {"longitude": [1]}}, "longitude must be as long as the forecasts"),
        ({"threshold": {"old": 0.3}}, r"threshold must be for"),
    ],
)
def test_bad_input_of_a_report_is_refused(forecasts, change, message):
    with pytest.raises(ValueError, match=message):
        evaluate(forecasts, **{"threshold": 0.3, **change})
    with pytest.raises(ValueError, match="forecasts must have the column 'label'"):
        evaluate(forecasts.drop(columns="label"), threshold=0.3)


def test_scores_need_no_optional_package():
    code = "import sys, solartrack.flares.scores; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"sklearn", "matplotlib", "scores", "xarray"} & set(loaded)


def test_known_forecasts_are_those_of_their_modules():
    rows = [
        {"region": 12000 + n, "time": pd.Timestamp("2014-01-07"), "section": "I", "lat": 10.0, "lon": 20.0,
         "area": 100, "mcintosh": letters, "extent": 5, "n_spots": 9, "mag_class": "Beta"}
        for n, letters in enumerate(["Dai", "Axx", ""])
    ]  # fmt: skip
    regions = regions_table(rows)
    samples = pd.DataFrame({"region": [12001, 12000, 12002, 13000], "time": pd.Timestamp("2014-01-07T06:00")})
    samples.index = [7, 5, 3, 1]
    found = events([(12000, "2014-01-06T12:00", 2e-6)])
    known = known_forecasts(samples, found, regions, threshold="M1.0", hours=48)
    assert list(known.index) == [7, 5, 3, 1]
    assert known["persistence"].tolist() == [0, 1, 0, 0]
    rates = mcintosh.default_rates().probabilities(["Axx", "Dai", "new"])["M_48h"]
    np.testing.assert_array_equal(known["McIntosh-Poisson"], [*rates, np.nan])
    own = text.default_model().predict(text.features(samples, regions, found))["M_48h"]
    pd.testing.assert_series_equal(known["text"], own, check_names=False)
    assert known["text"].isna().tolist() == [False, False, False, True]
    assert list(known_forecasts(samples, found)) == ["persistence"]
    with pytest.raises(ValueError, match=r"not of 'C5.0' within 24"):
        known_forecasts(samples, found, threshold="C5.0")


def test_persistence_completes_numbers_and_takes_classes_without_a_flux():
    found = events([(1936, "2014-01-05 06:00", np.nan)])
    found.table["flare_class"] = "C1.0"
    samples = pd.DataFrame({"region": [1936, 11936], "time": ["2014-01-05 07:00"] * 2})
    assert persistence(samples, found).tolist() == [1, 1]
    found.table["peak_flux"] = np.float32(1e-6)
    assert persistence(samples, found).tolist() == [1, 1]
    with pytest.raises(ValueError, match="whole numbers"):
        persistence(samples.assign(region=1936.5), found)
    with pytest.raises(TypeError, match="events must be Events"):
        persistence(samples, found.table)


def series_of_two_orders():
    y, p, group = sample(200)
    table = pd.DataFrame({"label": y, "probability": p, "region": group, "other": p})
    return table, table.sample(frac=1, random_state=0)


def test_series_of_another_order_are_refused():
    table, shuffled = series_of_two_orders()
    given = {"threshold": 0.5, "n_boot": 5}
    calls = [
        lambda: score_forecast(table["label"], shuffled["probability"], **given),
        lambda: score_forecast(table["label"], table["probability"], groups=shuffled["region"], **given),
        lambda: score_forecasts(table["label"], {"mine": shuffled["probability"]}, **given),
        lambda: compare_forecasts(table["label"], table["probability"], shuffled["other"], **given),
        lambda: evaluate(table, baselines={"other": shuffled["other"]}, **given),
        lambda: evaluate(table, by={"region": shuffled["region"]}, **given),
        lambda: choose_threshold(table["label"], shuffled["probability"]),
        lambda: reliability_curve(table["label"], shuffled["probability"], n_boot=5),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="must have the index of the labels"):
            call()
    by_place = evaluate(table, baselines={"other": shuffled["other"].to_numpy()}, **given)
    assert by_place.scores["other"].n == 200


def test_parts_may_be_numbers_and_texts():
    table, _ = series_of_two_orders()
    kinds = pd.Series([1, "a", 2, "1"] * 50, dtype=object)
    report = evaluate(table, threshold=0.5, n_boot=5, by={"kind": kinds})
    assert {name: of.n for name, of in report.strata["kind"].items()} == {"1": 100, "2": 50, "a": 50}


def test_settings_may_be_numpy_scalars(tmp_path):
    table, _ = series_of_two_orders()
    report = evaluate(
        table, threshold=np.float32(0.5), level=np.float32(0.5), seed=np.int64(1), n_boot=np.int64(5)
    )
    report.to_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["settings"]["level"] == 0.5


@pytest.mark.parametrize("seed", ["x", -1, 1.5, True])
def test_a_seed_that_is_none_is_refused(seed):
    table, _ = series_of_two_orders()
    with pytest.raises(ValueError, match="seed must be an integer, 0 or more"):
        evaluate(table, threshold=0.5, seed=seed)
    with pytest.raises(ValueError, match="seed must be an integer, 0 or more"):
        reliability_curve(table["label"], table["probability"], seed=seed)


@pytest.mark.parametrize("time", ["2014-01-01", dt.datetime(2014, 1, 1), np.datetime64("2014-01-01")])
def test_the_phase_of_a_single_time_is_refused(time):
    with pytest.raises(TypeError, match="time must have one value for each sample"):
        cycle_phase(time)
