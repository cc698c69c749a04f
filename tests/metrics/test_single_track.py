import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import single_track as reference
from solartrack import _core, metrics
from solartrack.metrics import _paired

NAN = (np.nan,) * 4
WITH_THETA = ["f_score", "ota", "otp", "deviation", "success"]
WITHOUT_THETA = ["area_f1", "ata", "pbm", "success_auc", "normalized_precision"]
SQUARE = (0.0, 0.0, 10.0, 10.0)

# Quarter pixels, so that shifts and doublings are exact.
coordinate = st.integers(-40, 40).map(lambda v: v / 4)
side = st.integers(0, 80).map(lambda v: v / 4)
true_box = st.tuples(coordinate, coordinate, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
any_box = st.tuples(coordinate, coordinate, coordinate, coordinate)


@st.composite
def near(draw):
    """A true box and one within a pixel of it, so that high overlaps occur."""
    g = draw(true_box)
    return g, tuple(v + draw(st.integers(-4, 4)) / 4 for v in g)


pair = st.one_of(st.tuples(true_box, st.one_of(st.none(), any_box)), near())
tracks = st.lists(pair, min_size=1, max_size=8).map(lambda pairs: tuple(zip(*pairs, strict=True)))
thetas = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])


def rows(boxes):
    return np.array([NAN if b is None else b for b in boxes], dtype=float)


# --- against the plain definitions


@pytest.mark.parametrize("name", WITH_THETA)
@given(track=tracks, theta=thetas)
def test_metrics_with_a_threshold_equal_the_plain_definition(name, track, theta):
    truth, boxes = track
    got = getattr(metrics, name)(truth, rows(boxes), theta)
    assert got == pytest.approx(getattr(reference, name)(truth, boxes, theta), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", ["area_f1", "ata", "mean_iou", "pbm"])
@given(track=tracks)
def test_metrics_without_a_threshold_equal_the_plain_definition(name, track):
    truth, boxes = track
    expected = getattr(reference, "ata" if name == "mean_iou" else name)(truth, boxes)
    assert getattr(metrics, name)(truth, rows(boxes)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(track=tracks, normalized=st.booleans())
def test_centre_error_and_its_curve_equal_the_plain_definition(track, normalized):
    truth, boxes = track
    expected = reference.centre_error(truth, boxes, normalized)
    error = metrics.centre_error(truth, rows(boxes), normalized=normalized)
    np.testing.assert_allclose(error, expected, rtol=1e-12)
    radii = [0.0, 0.3, 1.1, 7.7]
    curve = metrics.precision_curve(truth, rows(boxes), radii, normalized=normalized)
    np.testing.assert_allclose(curve, [np.mean(error <= r) for r in radii], rtol=1e-12)


@given(track=tracks, threshold=thetas)
def test_failures_equal_the_plain_definition(track, threshold):
    truth, boxes = track
    assert metrics.failures(truth, rows(boxes), threshold) == reference.failures(truth, boxes, threshold)


@given(track=tracks)
def test_normalized_precision_equals_the_plain_definition(track):
    truth, boxes = track
    expected = reference.normalized_precision(truth, boxes)
    # A threshold such as 0.015 is not the same float in both; an error there may fall either side.
    assert metrics.normalized_precision(truth, rows(boxes)) == pytest.approx(expected, abs=0.011)
    errors = 200 * np.array(reference.centre_error(truth, boxes, normalized=True))
    finite = errors[np.isfinite(errors)]
    if (np.abs(finite - np.round(finite)) > 1e-9).all():
        assert metrics.normalized_precision(truth, rows(boxes)) == pytest.approx(expected, abs=1e-12)


@given(track=tracks)
def test_success_auc_is_the_mean_iou_rounded_to_a_hundredth(track):
    truth, boxes = track
    auc = metrics.success_auc(truth, rows(boxes))
    assert abs(auc - metrics.mean_iou(truth, rows(boxes))) <= 0.005 + 1e-12
    overlaps = [100 * reference.iou(g, t) for g, t in zip(truth, boxes, strict=True)]
    if all(abs(v - round(v)) > 1e-9 or v in (0, 100) for v in overlaps):
        assert auc == pytest.approx(reference.success_auc(truth, boxes), abs=1e-12)


# --- laws


@given(truth=st.lists(true_box.filter(lambda b: reference.area(b) > 0), min_size=1, max_size=8), theta=thetas)
def test_a_perfect_track_has_all_ones(truth, theta):
    scores = metrics.score(truth, truth, thresholds=theta)
    assert scores.values.pop("failures") == 0
    assert list(scores.values.values()) == pytest.approx([1.0] * 10, abs=1e-12)


@given(track=tracks, theta=thetas)
def test_scores_are_finite_and_within_their_ranges(track, theta):
    truth, boxes = track
    for convention in ("standard", "sarker2019"):
        scores = metrics.score(truth, rows(boxes), thresholds=theta, convention=convention)
        for name, value in scores.values.items():
            assert math.isfinite(value), name
            if convention == "standard" and name != "failures":
                low = -1.0 if name.startswith("ota") else -math.inf if name.startswith("deviation") else 0.0
                assert low <= value <= 1.0 + 1e-12, name


@given(track=tracks, theta=thetas, random=st.randoms())
def test_order_of_the_frames_matters_only_for_failures(track, theta, random):
    pairs = list(zip(*track, strict=True))
    random.shuffle(pairs)
    truth, boxes = zip(*pairs, strict=True)
    a = metrics.score(track[0], rows(track[1]), thresholds=theta).values
    b = metrics.score(truth, rows(boxes), thresholds=theta).values
    del a["failures"], b["failures"]
    assert a == pytest.approx(b, rel=1e-12, abs=1e-12)


@given(
    track=tracks,
    theta=thetas,
    shift=st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)),
    scale=st.sampled_from([(0.5, 0.5), (4.0, 4.0), (2.0, 8.0)]),
)
def test_standard_scores_do_not_depend_on_place_or_scale(track, theta, shift, scale):
    truth, boxes = np.array(track[0]), rows(track[1])
    factor, offset = np.array(scale * 2), np.array(shift * 2)
    a = metrics.score(truth, boxes, thresholds=theta).values
    b = metrics.score(truth * factor + offset, boxes * factor + offset, thresholds=theta).values
    if scale[0] != scale[1]:
        del a["pbm"], b["pbm"]  # L1 distance over a sum of sides: only uniform scales
    assert a == pytest.approx(b, rel=1e-12, abs=1e-12)


def test_sarker2019_scores_do_depend_on_the_scale():
    truth, boxes = np.array([[0, 0, 10, 10]]), np.array([[1, 0, 11, 10]])
    small = metrics.score(truth, boxes, convention="sarker2019")
    large = metrics.score(truth * 10, boxes * 10, convention="sarker2019")
    assert small["ata"] < large["ata"] < metrics.ata(truth, boxes)


@pytest.mark.parametrize("name", ["f_score", "ota", "success"])
@given(track=tracks)
def test_scores_do_not_rise_with_theta(name, track):
    truth, boxes = track
    values = [getattr(metrics, name)(truth, rows(boxes), theta) for theta in np.linspace(0, 1, 21)]
    assert (np.diff(values) <= 0).all()


@given(track=tracks)
def test_success_curve_is_success_at_each_threshold(track):
    truth, boxes = track
    curve = metrics.success_curve(truth, rows(boxes))
    assert curve.shape == (101,)
    expected = [metrics.success(truth, rows(boxes), theta) for theta in np.linspace(0, 1, 101)]
    np.testing.assert_array_equal(curve, expected)


@pytest.mark.parametrize("convention", ["standard", "sarker2019"])
def test_boxes_are_validated_and_overlapped_once_however_many_metrics_there_are(monkeypatch, convention):
    calls = []

    def counted(function):
        return lambda *arguments: calls.append(function.__name__) or function(*arguments)

    monkeypatch.setattr(_paired, "as_track", counted(_paired.as_track))
    core = SimpleNamespace(Overlap=_core.Overlap, overlap_pairs=counted(_core.overlap_pairs))
    monkeypatch.setattr(_paired, "_core", core)
    metrics.score([SQUARE] * 3, [SQUARE] * 3, thresholds=(0.1, 0.5, 0.9), convention=convention)
    assert calls == (["as_track", "overlap_pairs"] if convention == "standard" else ["as_track"])


# --- sequences with exact answers

# Shifted by 0, 2, 5 of 10 pixels (IoU 1, 2/3, 1/3), beside it, and no report.
TRUTH = [SQUARE] * 5
BOXES = [SQUARE, (2, 0, 12, 10), (5, 0, 15, 10), (10, 0, 20, 10), NAN]


def test_a_known_sequence_has_its_exact_scores():
    scores = metrics.score(TRUTH, BOXES, thresholds=(0.5, 0.9))
    assert (scores.convention, scores.n_frames, scores.n_reported) == ("standard", 5, 4)
    assert scores.values == pytest.approx(
        {
            "f_score@0.5": 2 * (2 / 4) * (2 / 5) / (2 / 4 + 2 / 5),
            "ota@0.5": 1 - (3 + 2) / 5,
            "otp@0.5": (1 + 2 / 3) / 2,
            "deviation@0.5": 1 - (0 + 0.2) / 2,
            "success@0.5": 2 / 5,
            "f_score@0.9": 2 * (1 / 4) * (1 / 5) / (1 / 4 + 1 / 5),
            "ota@0.9": 1 - (4 + 3) / 5,
            "otp@0.9": 1.0,
            "deviation@0.9": 1.0,
            "success@0.9": 1 / 5,
            "area_f1": (1 + 0.8 + 0.5) / 5,
            "ata": (1 + 2 / 3 + 1 / 3) / 5,
            "pbm": (1 + (1 - 2 / 20) + (1 - 5 / 20)) / 5,
            "success_auc": (1 + 0.665 + 0.335) / 5,
            # Errors 0, 0.2, 0.5, 1 and none: right from 0, from 0.2 and, for the last threshold only, 0.5
            "normalized_precision": (100 + 60.5 + 0.5) / 100 / 5,
            "failures": 1,
        },
        rel=1e-12,
    )


def test_a_report_beside_the_region_costs_ota_twice_as_much_as_none():
    assert metrics.ota([SQUARE] * 2, [SQUARE, (90, 0, 99, 9)]) == 0.0
    assert metrics.ota([SQUARE] * 2, [SQUARE, NAN]) == 0.5


def test_a_track_without_reports_has_zeros_and_one_failure():
    values = metrics.score(TRUTH, [NAN] * 5).values
    assert values.pop("failures") == 1
    assert set(values.values()) == {0.0}


def test_an_empty_true_box_is_never_matched():
    values = metrics.score([(5, 5, 5, 9)], [(5, 5, 5, 9)], thresholds=0.0).values
    assert values.pop("failures") == 1
    assert values.pop("ota@0.0") == -1.0
    assert set(values.values()) == {0.0}


def test_boxes_that_do_not_touch_do_not_match_at_zero():
    assert metrics.success(TRUTH, BOXES, 0.0) == 3 / 5
    assert metrics.success_curve(TRUTH, BOXES, [0.0])[0] == 3 / 5


def test_deviation_can_be_negative_for_a_small_theta():
    assert metrics.deviation([(0, 0, 1, 1)], [(0, 0, 9, 9)], 0.01) == pytest.approx(1 - 4 * math.sqrt(2))


def test_an_inverted_report_is_a_report_that_matches_nothing():
    scores = metrics.score([SQUARE], [(10, 10, 0, 0)])
    assert (scores.n_reported, scores["ota@0.5"], scores["pbm"], scores["ata"]) == (1, -1.0, 0.0, 0.0)


def test_failures_count_losses_and_not_frames():
    lost = (50, 50, 60, 60)
    assert metrics.failures([SQUARE] * 6, [SQUARE, lost, NAN, SQUARE, lost, SQUARE]) == 2
    assert metrics.failures([SQUARE] * 2, [lost, SQUARE]) == 1
    assert metrics.failures([SQUARE], [(0, 0, 1, 10)], 0.1) == 0  # IoU is 0.1, not below


def test_a_single_box_is_a_track_of_one_frame():
    assert metrics.score(SQUARE, SQUARE).n_frames == 1
    assert metrics.score(SQUARE, NAN).n_reported == 0


# --- alignment


def test_align_fills_missing_frames_and_counts_what_it_drops():
    frames, truth, boxes, n_dropped = metrics.align(
        [11, 6, 16],
        [(1, 1, 2, 2), (0, 0, 1, 1), (2, 2, 3, 3)],
        [7, 16, 6, 8, 9],
        [SQUARE, (2, 2, 4, 4), (0, 0, 2, 2), SQUARE, NAN],
    )
    assert frames.tolist() == [6, 11, 16]
    np.testing.assert_array_equal(truth, [(0, 0, 1, 1), (1, 1, 2, 2), (2, 2, 3, 3)])
    np.testing.assert_array_equal(boxes, [(0, 0, 2, 2), NAN, (2, 2, 4, 4)])
    assert n_dropped == 2


def test_align_takes_times_and_names_and_an_empty_track():
    times = np.array(["2014-01-01T00:00", "2014-01-01T04:00"], dtype="datetime64[m]")
    aligned = metrics.align(times, [SQUARE] * 2, times[1:].astype("datetime64[s]"), [SQUARE])
    np.testing.assert_array_equal(np.isnan(aligned.boxes[:, 0]), [True, False])
    assert metrics.align(["b", "a"], [SQUARE] * 2, ["a"], [SQUARE]).frames.tolist() == ["a", "b"]
    assert np.isnan(metrics.align([1], [SQUARE], [], []).boxes).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1, 1], [SQUARE] * 2, [1], [SQUARE]), ValueError, "truth_frames must be unique, got 1"),
        (([1], [SQUARE], [2, 2], [SQUARE] * 2), ValueError, "track_frames must be unique, got 2"),
        (([1, 2], [SQUARE], [1], [SQUARE]), ValueError, "each of the 1 rows"),
        (([1.0, np.nan], [SQUARE] * 2, [1], [SQUARE]), ValueError, "NaN"),
        ((["1"], [SQUARE], [1], [SQUARE]), TypeError, "of one kind"),
        (([[1]], [SQUARE], [1], [SQUARE]), ValueError, "got shape"),
        (([None], [SQUARE], [1], [SQUARE]), TypeError, "numbers, datetime64 or strings"),
        (([], [], [1], [SQUARE]), ValueError, "no frames"),
        (([1], [NAN], [1], [SQUARE]), ValueError, "truth must be finite"),
    ],
)
def test_align_refuses_what_it_cannot_pair(arguments, error, message):
    with pytest.raises(error, match=message):
        metrics.align(*arguments)


# --- bad input


EVERY = [
    *WITH_THETA,
    *WITHOUT_THETA,
    "score",
    "failures",
    "success_curve",
    "precision_curve",
    "centre_error",
]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("truth", "boxes", "error", "message"),
    [
        ([], [], ValueError, "truth has no frames"),
        ([SQUARE] * 3, [SQUARE] * 2, ValueError, "one row for each of the 3 rows of truth, got 2"),
        ([SQUARE, NAN], [SQUARE] * 2, ValueError, "truth must be finite"),
        ([(0, 0, 10, -1)], [SQUARE], ValueError, "from_xywh"),
        ([SQUARE], [(0, 0, np.nan, 1)], ValueError, "row 0 is partly NaN"),
        ([SQUARE], [(0, 0, np.inf, 1)], ValueError, "boxes must be finite"),
        ([SQUARE], [(*SQUARE, 0.9)], ValueError, "score column"),
        ([SQUARE], [["a"] * 4], TypeError, "real numbers"),
        ([SQUARE], [None], TypeError, "real numbers"),
    ],
)
def test_bad_boxes_are_refused(name, truth, boxes, error, message):
    with pytest.raises(error, match=message):
        getattr(metrics, name)(truth, boxes)


@pytest.mark.parametrize("theta", [-0.1, 1.1, math.nan, math.inf])
@pytest.mark.parametrize("name", [*WITH_THETA, "failures"])
def test_theta_outside_its_range_is_refused(name, theta):
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        getattr(metrics, name)([SQUARE], [SQUARE], theta)


def test_theta_must_be_a_number():
    with pytest.raises(TypeError, match="must be a number"):
        metrics.f_score([SQUARE], [SQUARE], "high")


@pytest.mark.parametrize("thresholds", [[], [0.5, 0.5], [0.5, 0.1], [-0.1], [math.nan], [[0.1]]])
def test_curves_refuse_thresholds_that_do_not_increase(thresholds):
    for curve in (metrics.success_curve, metrics.precision_curve):
        with pytest.raises(ValueError, match="increasing numbers"):
            curve([SQUARE], [SQUARE], thresholds)


def test_success_curve_refuses_a_threshold_above_one():
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.success_curve([SQUARE], [SQUARE], [0.5, 1.5])


def test_score_refuses_an_unknown_convention_and_no_thresholds():
    with pytest.raises(ValueError, match="convention must be 'standard' or 'sarker2019', got 'vot'"):
        metrics.score([SQUARE], [SQUARE], convention="vot")
    with pytest.raises(ValueError, match="thresholds must have at least one value"):
        metrics.score([SQUARE], [SQUARE], thresholds=())


# --- restarts and expected average overlap

LOST = (50.0, 50.0, 60.0, 60.0)


def drifting(lifetime):
    """A tracker that is exact for `lifetime` frames after its start and then lost."""

    def track_from(start):
        i = 0
        while True:
            yield SQUARE if i <= lifetime else LOST
            i += 1

    return track_from


def test_a_failing_tracker_is_started_anew_after_the_skipped_frames():
    result = metrics.track_with_restarts([SQUARE] * 12, drifting(2), skip=2)
    assert result.starts == (0, 5, 10)
    assert result.failures == (3, 8)
    nan = math.nan
    np.testing.assert_array_equal(result.iou, [nan, 1, 1, 0, nan, nan, 1, 1, 0, nan, nan, 1])
    np.testing.assert_array_equal(np.isnan(result.boxes[:, 0]).nonzero()[0], [4, 9])
    assert [(o.tolist(), f) for o, f in result.fragments] == [
        ([1, 1, 0], True),
        ([1, 1, 0], True),
        ([1], False),
    ]
    assert result.accuracy() == 1.0


def test_accuracy_leaves_out_the_frames_after_a_restart():
    half = (0.0, 0.0, 10.0, 5.0)

    def track_from(start):
        return [SQUARE, SQUARE, LOST, *[SQUARE] * 5][: 8 - start] if start == 0 else [SQUARE] + [half] * 4

    result = metrics.track_with_restarts([SQUARE] * 8, track_from, skip=1)
    assert (result.starts, result.failures) == ((0, 3), (2,))
    assert result.accuracy(burn_in=0) == pytest.approx((1 + 4 * 0.5) / 5)
    assert result.accuracy(burn_in=3) == pytest.approx((1 + 0.5) / 2)
    assert result.accuracy(burn_in=10) == 1.0


def test_a_generator_is_not_run_beyond_a_failure():
    asked = []

    def track_from(start):
        for i in range(start, 10):
            asked.append(i)
            yield LOST if i == 2 else SQUARE

    metrics.track_with_restarts([SQUARE] * 10, track_from)
    assert asked == [0, 1, 2, 7, 8, 9]


@pytest.mark.parametrize("nothing", [NAN, None])
def test_a_report_that_is_missing_or_a_tracker_that_ends_is_a_failure(nothing):
    def stops(start):
        yield SQUARE
        yield SQUARE

    assert metrics.track_with_restarts([SQUARE] * 4, stops).failures == (2,)
    missing = metrics.track_with_restarts(
        [SQUARE] * 4, lambda start: [SQUARE, SQUARE, nothing, SQUARE][start:]
    )
    assert missing.failures == (2,)


def test_the_frame_of_the_start_is_not_judged():
    result = metrics.track_with_restarts([SQUARE] * 3, lambda start: [LOST, SQUARE, SQUARE])
    assert (result.failures, result.accuracy()) == ((), 1.0)


def test_a_failed_frame_counts_as_no_overlap_at_all():
    sliver = (0.0, 0.0, 0.5, 10.0)
    result = metrics.track_with_restarts([SQUARE] * 2, lambda start: [SQUARE, sliver][start:])
    assert (result.failures, result.iou[1]) == ((1,), 0.0)
    assert metrics.expected_average_overlap([result]) == 0.0
    lenient = metrics.track_with_restarts(
        [SQUARE] * 2, lambda start: [SQUARE, sliver][start:], threshold=0.05
    )
    assert (lenient.failures, lenient.iou[1]) == ((), 0.05)


def test_expected_overlap_of_known_fragments():
    # Fragments: 1 1 0 (failed), 1 1 0 (failed), 1 (ended)
    drifted = metrics.track_with_restarts([SQUARE] * 12, drifting(2), skip=2)
    curve = metrics.expected_overlap_curve([drifted])
    assert curve.shape == (11,)
    np.testing.assert_allclose(curve[:4], [1, 1, 2 / 3, 1 / 2])
    assert metrics.expected_average_overlap([drifted], (2, 3)) == pytest.approx(5 / 6)
    steady = metrics.track_with_restarts([SQUARE] * 3, drifting(99))
    np.testing.assert_allclose(metrics.expected_overlap_curve([steady]), [1, 1])
    # The steady one counts for lengths 1 and 2 only.
    np.testing.assert_allclose(metrics.expected_overlap_curve([drifted, steady])[:4], [1, 1, 2 / 3, 1 / 2])


@given(
    lives=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 6)), min_size=1, max_size=4),
    width=st.integers(2, 10),
)
def test_expected_overlap_equals_the_plain_definition(lives, width):
    box = (0.0, 0.0, float(width), 10.0)

    def tracker(life):
        return lambda start: (box if i <= life else LOST for i in range(100))

    results = [metrics.track_with_restarts([SQUARE] * n, tracker(life), skip=2) for n, life in lives]
    fragments = []
    for n, life in lives:
        start = 0
        while start < n:
            alive = min(life, n - start - 1)
            failed = start + life + 1 < n
            fragments.append(([width / 10] * alive + [0.0] * 99 * failed, failed))
            start = start + life + 1 + 2 if failed else n
    longest = max(n for n, _ in lives) - 1
    if longest == 0:
        with pytest.raises(ValueError, match="at least one frame after a start"):
            metrics.expected_overlap_curve(results)
        return
    curve = metrics.expected_overlap_curve(results)
    expected = [reference.expected_overlap(fragments, length) for length in range(1, longest + 1)]
    np.testing.assert_allclose(curve, [np.nan if e is None else e for e in expected], rtol=1e-12)
    if not np.isnan(curve).any():
        assert metrics.expected_average_overlap(results) == pytest.approx(np.mean(curve))


@pytest.mark.parametrize("lengths", [(0, 2), (2, 1), (1, 3)])
def test_expected_average_overlap_refuses_lengths_without_a_fragment(lengths):
    steady = metrics.track_with_restarts([SQUARE] * 3, drifting(99))
    with pytest.raises(ValueError, match="within 1 to 2 frames"):
        metrics.expected_average_overlap([steady], lengths)


@pytest.mark.parametrize(
    ("truth", "arguments", "message"),
    [
        ([], {}, "no frames"),
        ([SQUARE, (1, 1, 1, 2)], {}, "must not be empty, .* in row 1"),
        ([SQUARE] * 3, {"skip": 0}, "skip must be a positive integer"),
        ([SQUARE] * 3, {"skip": math.inf}, "skip must be a positive integer, got inf"),
        ([SQUARE] * 3, {"threshold": 2}, "threshold must be between 0 and 1"),
        ([SQUARE] * 3, {"track_from": lambda start: [SQUARE] * 2}, "each of the 3 rows from 0, got 2"),
        ([SQUARE] * 3, {"track_from": lambda start: [5.0, 5.0, 5.0]}, "boxes must have shape"),
    ],
)
def test_restarts_refuse_bad_arguments(truth, arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.track_with_restarts(truth, **{"track_from": drifting(1), **arguments})


# --- pooling


@given(track=tracks, convention=st.sampled_from(["standard", "sarker2019"]))
def test_pooling_one_track_gives_its_scores(track, convention):
    scores = metrics.score(track[0], rows(track[1]), convention=convention)
    pooled = metrics.pool([scores], n_boot=20)
    assert pooled.convention == convention
    for estimates in (pooled.over_tracks, pooled.over_frames):
        for name, value in scores.values.items():
            assert estimates[name] == pytest.approx((value, value, value), rel=1e-12, abs=1e-12)


@given(several=st.lists(tracks, min_size=1, max_size=4), theta=thetas)
def test_mean_over_frames_is_the_score_of_all_frames_together(several, theta):
    for convention in ("standard", "sarker2019"):
        pairs = [(truth, rows(boxes)) for truth, boxes in several]
        pooled = metrics.pool(pairs, thresholds=theta, convention=convention, n_boot=10)
        together = metrics.score(
            np.vstack([g for g, _ in pairs]),
            np.vstack([t for _, t in pairs]),
            thresholds=theta,
            convention=convention,
        )
        assert (pooled.n_tracks, pooled.n_frames) == (len(pairs), together.n_frames)
        scores = [metrics.score(*pair, thresholds=theta, convention=convention) for pair in pairs]
        for name, value in together.values.items():
            mean = np.mean([s[name] for s in scores])
            assert pooled.over_tracks[name].value == pytest.approx(mean, rel=1e-12, abs=1e-12)
            if name == "failures":  # a count, not a mean over frames
                value = mean
            assert pooled.over_frames[name].value == pytest.approx(value, rel=1e-12, abs=1e-12), name


def test_mean_over_tracks_and_over_frames_differ_for_unequal_tracks():
    good, bad = ([SQUARE] * 9, [SQUARE] * 9), ([SQUARE], [LOST])
    pooled = metrics.pool([good, bad])
    assert pooled.over_tracks["ata"].value == 0.5
    assert pooled.over_frames["ata"].value == pytest.approx(0.9)


def test_bootstrap_interval_holds_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    # Tracks of one frame with IoU 1 or 0: the mean is a share with a known truth of 0.7.
    hits, trials = 0, 200
    one, zero = metrics.score(SQUARE, SQUARE), metrics.score(SQUARE, LOST)
    for trial in range(trials):
        sample = [one if rng.random() < 0.7 else zero for _ in range(60)]
        _, low, high = metrics.pool(sample, n_boot=300, level=0.9, seed=trial).over_tracks["ata"]
        hits += low <= 0.7 <= high
    assert 0.82 <= hits / trials <= 0.97


def test_bootstrap_is_reproducible_and_narrows_with_the_level():
    sample = [metrics.score(SQUARE, (0, 0, w, 10)) for w in range(1, 11)]
    a, b, c = (metrics.pool(sample, seed=seed) for seed in (1, 1, 2))
    assert a == b
    assert a.over_tracks != c.over_tracks
    narrow = metrics.pool(sample, seed=1, level=0.5).over_tracks["ata"]
    wide = a.over_tracks["ata"]
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    assert narrow.value == wide.value == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: metrics.pool([]), "at least one track"),
        (
            lambda: metrics.pool(
                [metrics.score(SQUARE, SQUARE), metrics.score(SQUARE, SQUARE, convention="sarker2019")]
            ),
            "conventions must not be mixed: track 0 is 'standard', track 1 'sarker2019'",
        ),
        (
            lambda: metrics.pool(
                [metrics.score(SQUARE, SQUARE), metrics.score(SQUARE, SQUARE, thresholds=0.7)]
            ),
            "thresholds must not be mixed",
        ),
        (
            lambda: metrics.pool([metrics.score(SQUARE, SQUARE)], convention="sarker2019"),
            "are for \\(truth, boxes\\) pairs",
        ),
        (lambda: metrics.pool([(SQUARE, SQUARE)], n_boot=0), "n_boot must be a positive integer"),
        (lambda: metrics.pool([(SQUARE, SQUARE)], n_boot=math.inf), "n_boot must be a positive integer"),
        (lambda: metrics.pool([(SQUARE, SQUARE)], level=95), "level must be between 0 and 1"),
    ],
)
def test_pool_refuses_mixtures_and_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_results_print_and_tabulate_their_convention():
    scores = metrics.score(TRUTH, BOXES)
    assert repr(scores).startswith("TrackScores: standard, 5 frames, 4 reported\n  f_score@0.5")
    assert scores.as_dict()["convention"] == "standard"
    assert scores.as_dict()["ata"] == scores["ata"]
    pooled = metrics.pool([scores, scores])
    assert repr(pooled).startswith("PooledScores: standard, 2 tracks, 10 frames, 95% bootstrap over tracks\n")
    row = pooled.as_dict()
    assert (row["convention"], row["seed"], row["n_boot"]) == ("standard", 0, 1000)
    assert row["ata_over_tracks_low"] == pytest.approx(scores["ata"])
    assert pickle.loads(pickle.dumps(pooled)) == pooled


def test_every_metric_documents_its_parameters_and_errors():
    for name in EVERY:
        doc = getattr(metrics, name).__doc__
        assert doc.index("Parameters") < doc.index("Returns"), name


# --- the real sequence


def test_published_track_of_harp_7269_has_its_published_scores(shared):
    table = np.genfromtxt(shared / "data" / "harp7269" / "boxes.csv", delimiter=",", names=True)
    truth = np.stack([table[k] for k in ("x0", "y0", "x1", "y1")], axis=1)
    boxes = np.stack([table["ref_" + k] for k in ("x0", "y0", "x1", "y1")], axis=1)
    scores = metrics.score(truth, boxes)
    assert scores.n_frames == scores.n_reported == 39
    assert scores["success@0.5"] == pytest.approx(24 / 39)
    assert scores["failures"] == 0
    # Published as 0.592 with pixels counted inclusively, which adds one to each side.
    grown = np.array([0, 0, 1, 1])
    assert metrics.mean_iou(truth + grown, boxes + grown) == pytest.approx(0.592, abs=5e-4)
    assert scores["ata"] == pytest.approx(0.591, abs=5e-4)


def test_an_unknown_metric_is_refused_with_the_names_there_are():
    scores = metrics.score([[0, 0, 10, 10]], [[0, 0, 10, 10]])
    with pytest.raises(KeyError, match=r"no metric 'mean_iou'; there are .*ata"):
        scores["mean_iou"]
