"""Frames and identities: named by anything, compared exactly; masked values; inverted truth; one threshold."""

import datetime as dt

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.utils.masked import Masked

from solartrack import metrics
from solartrack.errors import TrackWarning

N = 12
BOX = {"x0": np.zeros(N), "y0": np.zeros(N), "x1": np.ones(N), "y1": np.ones(N)}
BOXES = np.array([[0.0, 0, 10, 10]] * 3)


def switched(frames):
    """One change of identity half way through."""
    truth = {"frame": frames, "id": ["AR"] * N, **BOX}
    return metrics.score_many(truth, {"frame": frames, "id": [1] * 6 + [2] * 6, **BOX})


@pytest.mark.parametrize(
    "frames",
    [
        np.arange(N),
        np.arange(N).astype(str),
        [f"frame{k}" for k in range(N)],
        pd.Series([f"f{k}.png" for k in range(N)]),
        pd.Series([f"f{k}.png" for k in range(N)], dtype="string"),
        np.array([f"{k / 4}" for k in range(-3, N - 3)]),
        pd.date_range("2014-01-01", periods=N, tz="Asia/Tokyo"),
        np.arange(N).astype("datetime64[h]"),
        np.array([dt.datetime(2014, 1, 1 + k, tzinfo=dt.UTC) for k in range(N)]),
        pd.Series(range(N), dtype=object),
    ],
)
def test_frames_named_in_any_way_are_in_the_order_of_time(frames):
    s = switched(frames)
    assert (s.id_switches, s.fragmentations, s.mota) == (1, 0, 1 - 1 / 12)


def test_an_ambiguous_order_of_text_is_refused():
    frames = [f"2014-01-01T00:00:00.{k}" for k in ("5", "25", *range(100, 110))]
    with pytest.raises(ValueError, match=r"order of the frames named .* is ambiguous"):
        switched(frames)


@pytest.mark.parametrize("other", [np.uint64, np.float64, object])
def test_numbers_of_different_types_are_compared_exactly(other):
    frames = 2**53 + np.arange(4)
    boxes = [[k, 0, k + 1, 1] for k in range(4)]
    same = frames[::2].astype(other) if other is np.float64 else frames.astype(other)
    rows = boxes[::2] if other is np.float64 else boxes
    aligned = metrics.align(frames.astype(np.int64), boxes, same, rows)
    assert aligned.frames.tolist() == frames.tolist() and aligned.n_dropped == 0
    assert np.isfinite(aligned.boxes[:, 0]).sum() == len(rows)
    np.testing.assert_array_equal(aligned.boxes[:: 4 // len(rows)], rows)
    sides = dict(zip(("x0", "y0", "x1", "y1"), np.transpose(boxes), strict=True))
    truth = {"frame": frames.astype(np.int64), "id": [1] * 4, **sides}
    part = {name: np.asarray(side)[:: 4 // len(rows)] for name, side in sides.items()}
    s = metrics.score_many(truth, {"frame": same, "id": [1] * len(rows), **part})
    assert s.n_frames == 4 and s.matches == len(rows)


def test_align_takes_pandas_columns_of_strings_and_utc_times():
    boxes = [[0, 0, 1, 1], [1, 1, 2, 2]]
    for frames in (
        pd.Series(["b", "a"]),
        pd.Series(["b", "a"], dtype="string"),
        pd.Series(["b", "a"], dtype=object),
    ):
        assert metrics.align(frames, boxes, frames, boxes).frames.tolist() == ["a", "b"]
    times = pd.to_datetime(["2014-01-01T00:00:00.000000001", "2014-01-02"], utc=True, format="ISO8601")
    aligned = metrics.align(times, boxes, times.to_numpy(dtype="datetime64[ns]"), boxes)
    assert aligned.n_dropped == 0 and aligned.frames[0] == np.datetime64("2014-01-01T00:00:00.000000001")


def test_score_track_finds_frames_named_by_numbers_of_another_type():
    table = pd.DataFrame(BOXES, columns=["x0", "y0", "x1", "y1"])
    truth = table.assign(frame=(2**53 + np.arange(3)).astype(np.uint64))
    track = table.assign(frame=2**53 + np.arange(3), state=["start", "tracked", "tracked"])
    scored = metrics.score_track(truth, track)
    assert scored.mean_iou == 1.0 and len(scored.frames) == 2


@pytest.mark.parametrize("missing", [np.nan, pd.NA, pd.NaT, float("inf")])
def test_missing_identities_and_frames_are_refused(missing):
    for column in ("id", "frame"):
        table = {"frame": [1, 2], "id": [1, 2], "x0": [0, 0], "y0": [0, 0], "x1": [1, 1], "y1": [1, 1]}
        table[column] = np.array([missing, missing], dtype=object)
        with pytest.raises(ValueError, match=r"of tracks must not be NaN, NaT or infinite"):
            metrics.score_many({**table, "id": [1, 2], "frame": [1, 2]}, table)


@pytest.mark.parametrize("bad", [["a", 1], [None, 1], [1.5, "b"], [2**70, 0.5], [b"a", b"b"]])
def test_frames_of_mixed_kinds_are_refused(bad):
    with pytest.raises(TypeError, match="must be numbers, datetime64 or strings"):
        metrics.align(bad, BOXES[:2], [1, 2], BOXES[:2])


def masked_boxes():
    mask = np.array([[0] * 4, [1] * 4, [0] * 4], bool)
    late = np.ma.array(BOXES.copy(), mask=mask)
    late[2] = np.nan
    return [
        Masked(BOXES, mask=mask),
        np.ma.array(BOXES, mask=mask),
        late,
        [*np.ma.array(BOXES, mask=mask)],
        [*Masked(BOXES, mask=mask)],
        Masked(BOXES * u.pix, mask=mask),
    ]


@pytest.mark.parametrize("boxes", masked_boxes())
@pytest.mark.parametrize(
    "metric",
    [
        "iou",
        "giou",
        "diou",
        "ciou",
        "coverage",
        "area_ratio",
        "ata",
        "score",
        "success",
        "centre_error",
        "pbm",
    ],
)
def test_masked_boxes_are_refused_by_every_metric(metric, boxes):
    with pytest.raises(TypeError, match="boxes is a masked array"):
        getattr(metrics, metric)(boxes=boxes, truth=BOXES)
    with pytest.raises(TypeError, match="truth is a masked array"):
        getattr(metrics, metric)(boxes=BOXES, truth=boxes)


@pytest.mark.parametrize(
    "masked", [np.ma.array([0.0, 1, 2], mask=[0, 1, 0]), Masked([0.0, 1, 2], mask=[0, 1, 0])]
)
@pytest.mark.parametrize("column", ["frame", "id", "x0", "y1"])
def test_masked_columns_are_refused(column, masked):
    table = {"frame": [0, 1, 2], "id": [1] * 3, "x0": [0.0] * 3, "y0": [0] * 3, "x1": [9] * 3, "y1": [9] * 3}
    with pytest.raises(TypeError, match=rf"{column.replace('id', 'identities')}.* is a masked array"):
        metrics.score_many(table, {**table, column: masked})
    with pytest.raises(TypeError, match=rf"{column.replace('id', 'identities')}.* is a masked array"):
        metrics.score_many({**table, column: masked}, table)
    if column != "id":
        with pytest.raises(TypeError, match=rf"{column}.* is a masked array"):
            metrics.score_track(table, {**table, column: masked})


def test_masked_frames_are_refused_by_align():
    frames = np.ma.array([1, 2, 3], mask=[0, 1, 0])
    with pytest.raises(TypeError, match="truth_frames is a masked array"):
        metrics.align(frames, BOXES, [1, 2, 3], BOXES)
    with pytest.raises(TypeError, match="track_frames is a masked array"):
        metrics.align([1, 2, 3], BOXES, Masked(frames.data, mask=frames.mask), BOXES)


def test_boxes_in_other_units_than_pixels_are_refused():
    with pytest.raises(TypeError, match="boxes must be in pixels, got arcsec"):
        metrics.iou(BOXES * u.arcsec, BOXES)
    assert metrics.iou(BOXES * u.pix, BOXES).tolist() == [1.0] * 3


def test_truth_of_width_and_height_is_refused_by_score_many_with_the_hint_of_score():
    table = {"frame": [0], "id": [1], "x0": [100.0], "y0": [100.0], "x1": [30.0], "y1": [30.0]}
    with pytest.raises(ValueError, match=r"truth must have x1 >= x0 .* use solartrack\.boxes\.from_xywh"):
        metrics.score_many(table, table)


@pytest.mark.parametrize("offset", [0.0, 0.1, 4000.3])
def test_an_iou_of_k_hundredths_reaches_the_threshold_in_every_metric(offset):
    for k in range(1, 101):
        theta, truth = k / 100, np.array([[offset, offset, offset + 10, offset + 1]])
        boxes = truth.copy()
        boxes[0, 2] = offset + 10 * k / 100
        assert metrics.success(truth, boxes, theta) == 1.0
        assert metrics.success_curve(truth, boxes)[k] == 1.0
        assert metrics.success_curve(truth, boxes, [theta]) == [1.0]
        assert metrics.f_score(truth, boxes, theta) == 1.0
        assert metrics.failures(truth, boxes, theta) == 0
        assert metrics.score(truth, boxes, thresholds=theta)[f"success@{theta}"] == 1.0
        table = dict(zip(("x0", "y0", "x1", "y1"), truth.T, strict=True), frame=[0], id=[1])
        found = dict(zip(("x0", "y0", "x1", "y1"), boxes.T, strict=True), frame=[0], id=[1])
        many = metrics.score_many(table, found, threshold=theta)
        assert many.matches == many.id_matches == 1
        if k % 5 == 0 and k < 100:
            assert many.alpha_matches[k // 5 - 1] == 1
        restarted = metrics.track_with_restarts(
            np.repeat(truth, 2, axis=0), lambda i, b=boxes: np.repeat(b, 2 - i, axis=0), threshold=theta
        )
        assert restarted.failures == ()
        if k < 100:
            assert metrics.success(truth, boxes, theta + 1e-6) == 0.0


def tables_of_two_sizes(scale):
    frames = np.arange(20)
    left = 300.0 + 9 * frames
    track = pd.DataFrame({"frame": frames, "x0": left, "y0": 400.0, "x1": left + 80, "y1": 460.0})
    truth = track.copy()
    truth[["x0", "y0", "x1", "y1"]] = scale * (truth[["x0", "y0", "x1", "y1"]] + [3.0, -2.0, 1.0, 2.0])
    states = ["tracked"] * 20
    states[12] = "start"
    return truth, track.assign(state=states)


@pytest.mark.parametrize(
    ("scale", "words"), [(4, "4 times larger"), (0.5, "2 times smaller"), (2, "2 times larger")]
)
def test_truth_of_another_image_size_is_scored_with_a_warning(scale, words):
    truth, track = tables_of_two_sizes(scale)
    with pytest.warns(TrackWarning, match=rf"about {words} .* by {1 / scale:.4g} \(--truth-scale\)"):
        scored = metrics.score_track(truth, track)
    assert scored.mean_iou < 0.2 and scored.n_earlier == 12


def test_truth_of_the_same_image_size_is_scored_without_a_warning():
    truth, track = tables_of_two_sizes(1)
    assert metrics.score_track(truth, track).mean_iou > 0.8
    lost = track.assign(x0=track["x0"] + 500, x1=track["x1"] + 500)
    assert metrics.score_track(truth, lost).mean_iou == 0.0
    assert metrics.score_track(truth, lost, frames="all").n_earlier == 0


@pytest.mark.parametrize(
    "box", [np.ma.array([1.0, 1, 9, 9], mask=[0, 0, 0, 1]), Masked([1.0, 1, 9, 9], mask=[0, 0, 0, 1])]
)
def test_a_masked_box_is_not_tracked(box):
    from solartrack import tracking

    with pytest.raises(TypeError, match="box is a masked array"):
        tracking.track([np.zeros((64, 64))], box, tracker="rotation", cadence="1h")
