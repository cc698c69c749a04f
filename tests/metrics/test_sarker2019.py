import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import single_track as reference
from solartrack import metrics
from solartrack.metrics import sarker2019


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden" / "metrics_sarker2019.json").read_text())


def rows_of(case):
    """Truth and boxes of a golden case, through `align`."""
    annotation = np.array(case["annotation_rows"], dtype=float)
    x, y = annotation[:, 1::2], annotation[:, 2::2]
    truth = np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], axis=1)
    output = np.array(case["output_rows"], dtype=float)
    boxes = np.hstack([output[:, 1:3], output[:, 1:3] + output[:, 3:5]])
    return metrics.align(annotation[:, 0].astype(int), truth, output[:, 0].astype(int), boxes)


def test_every_golden_value_is_reproduced(golden):
    assert len(golden) == 8
    for name, case in golden.items():
        aligned = rows_of(case)
        assert aligned.n_dropped == 0
        for theta, expected in case["thresholds"].items():
            got = sarker2019.measure(aligned.truth, aligned.boxes, float(theta))
            assert tuple(got) == sarker2019.METRICS == tuple(expected)
            for metric, value in expected.items():
                assert got[metric][0] == pytest.approx(value, rel=1e-9, abs=1e-9), (name, theta, metric)


def test_golden_giou_is_that_of_continuous_boxes(golden):
    for case in golden.values():
        _, truth, boxes, _ = rows_of(case)
        reported = ~np.isnan(boxes[:, 0])
        np.testing.assert_allclose(metrics.giou(boxes[reported], truth[reported]), case["giou"], rtol=1e-9)


def test_score_has_the_golden_values_and_says_which_convention(golden):
    case = golden["harp7269_first_half"]
    _, truth, boxes, _ = rows_of(case)
    scores = metrics.score(truth, boxes, thresholds=(0.5, 0.7, 0.9), convention="sarker2019")
    assert scores.convention == scores.as_dict()["convention"] == "sarker2019"
    for theta, expected in case["thresholds"].items():
        assert scores[f"f_score@{theta}"] == pytest.approx(expected["f_score"], rel=1e-9)
        assert scores[f"ota@{theta}"] == pytest.approx(expected["ota"], rel=1e-9)
        for metric in ("area_f1", "otp", "ata", "deviation", "pbm"):
            assert scores[metric] == pytest.approx(expected[metric], rel=1e-9)


coordinate = st.integers(0, 40)
size = st.integers(0, 20)
true_box = st.tuples(coordinate, coordinate, size, size).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
any_box = st.tuples(coordinate, coordinate, coordinate, coordinate)


@given(
    pairs=st.lists(
        st.one_of(
            st.tuples(true_box, st.one_of(st.none(), any_box, true_box)), true_box.map(lambda b: (b, b))
        ),
        min_size=1,
        max_size=8,
    ),
    theta=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
)
def test_measure_equals_the_plain_definition(pairs, theta):
    truth, boxes = zip(*pairs, strict=True)
    got = sarker2019.measure(truth, [(np.nan,) * 4 if b is None else b for b in boxes], theta)
    expected = reference.sarker2019(truth, boxes, theta)
    assert {k: v for k, (v, _) in got.items()} == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_two_conventions_differ_even_for_a_perfect_track():
    truth = [(100, 100, 200, 200)] * 5
    assert metrics.score(truth, truth)["ata"] == 1.0
    # 100^2 / 101^2: an intersection without, a union with the extra pixel
    assert metrics.score(truth, truth, convention="sarker2019")["ata"] == pytest.approx(10000 / 10201)


def test_a_frame_is_covered_from_an_inclusive_coverage_of_exactly_099():
    truth = [(0, 0, 99, 9)]  # 100 x 10 pixels inclusively
    value, n_covered = sarker2019.measure(truth, [(1, 0, 100, 9)])["otp"]  # 99 x 10 of them
    assert (value, n_covered) == (pytest.approx(98 * 9 / (1000 + 1000 - 990)), 1)
    assert sarker2019.measure(truth, [(2, 0, 101, 9)])["otp"] == (0.0, 0)


def test_a_centre_difference_is_signed_and_a_term_above_two_is_dropped():
    truth = [(100, 100, 200, 200)]

    def pbm(x, y):
        return sarker2019.measure(truth, [(x, y, x + 100, y + 100)])["pbm"][0]

    assert pbm(140, 140) == pytest.approx(1.4)
    assert pbm(60, 60) == pytest.approx(0.6)
    assert pbm(140, 60) == pytest.approx(1.0)
    assert pbm(200, 200) == pytest.approx(2.0)
    assert pbm(201, 200) == 0.0
    assert pbm(0, -20) == pytest.approx(-0.1)


@pytest.mark.parametrize("theta", [-0.1, 1.1, np.nan])
def test_theta_outside_its_range_is_an_error(theta):
    with pytest.raises(ValueError, match="theta must be between 0 and 1"):
        sarker2019.measure([(0, 0, 1, 1)], [(0, 0, 1, 1)], theta)


def test_two_points_in_one_place_give_no_nan():
    got = sarker2019.measure([(3, 3, 3, 3)], [(3, 3, 3, 3)])
    assert {k: v for k, (v, _) in got.items()} == {
        "f_score": 0.0,
        "area_f1": 0.0,
        "ota": 0.0,
        "otp": 0.0,
        "ata": 0.0,
        "deviation": 1.0,
        "pbm": 0.0,
    }
