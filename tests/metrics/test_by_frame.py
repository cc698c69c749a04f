import numpy as np
import pandas as pd
import pytest

from solartrack import metrics

NAN = (np.nan,) * 4
SQUARE = (0.0, 0.0, 10.0, 10.0)
HALF = (0.0, 0.0, 10.0, 5.0)
LOST = (50.0, 50.0, 60.0, 60.0)


def table(rows, states=None):
    out = pd.DataFrame([(frame, *box) for frame, box in rows], columns=["frame", "x0", "y0", "x1", "y1"])
    return out if states is None else out.assign(state=states)


TRACK = table(
    [(6, LOST), (11, SQUARE), (16, SQUARE), (21, HALF), (26, NAN)],
    ["tracked", "start", "tracked", "tracked", "lost"],
)
TRUTH = table([(frame, SQUARE) for frame in (6, 11, 16, 21, 26)])


def test_frames_after_the_start_are_scored():
    scored = metrics.score_track(TRUTH, TRACK)
    assert scored.frames.tolist() == [16, 21, 26]
    np.testing.assert_array_equal(scored.iou, [1.0, 0.5, np.nan])
    assert scored.mean_iou == 0.5 == scored.scores["ata"]
    assert (scored.scores.n_frames, scored.scores.n_reported, scored.n_unscored) == (3, 2, 0)


def test_all_frames_but_the_start_are_scored_on_request():
    scored = metrics.score_track(TRUTH, TRACK, frames="all")
    assert scored.frames.tolist() == [6, 16, 21, 26]
    np.testing.assert_array_equal(scored.iou, [0.0, 1.0, 0.5, np.nan])


def test_a_track_without_a_start_is_scored_on_every_true_frame():
    without_missing = TRACK.iloc[1:4].drop(columns="state")
    scored = metrics.score_track(TRUTH, without_missing)
    assert scored.frames.tolist() == [6, 11, 16, 21, 26] and scored.n_unscored == 0
    np.testing.assert_array_equal(scored.iou, [np.nan, 1.0, 1.0, 0.5, np.nan])


def test_true_frames_that_the_track_does_not_mention_are_counted_and_not_scored():
    scored = metrics.score_track(TRUTH, TRACK.iloc[:3])
    assert scored.frames.tolist() == [16] and scored.n_unscored == 2
    # Those before the start were not asked for.
    assert metrics.score_track(TRUTH, TRACK.iloc[1:]).n_unscored == 0
    assert metrics.score_track(TRUTH, TRACK.iloc[1:], frames="all").n_unscored == 0


def test_reports_without_a_truth_are_ignored():
    scored = metrics.score_track(TRUTH[TRUTH["frame"] != 16], TRACK)
    assert scored.frames.tolist() == [21, 26] and scored.n_unscored == 0


def test_true_frames_without_a_box_are_not_scored():
    hidden = TRUTH.copy()
    hidden.loc[hidden["frame"] == 21, ["x0", "y0", "x1", "y1"]] = np.nan
    scored, without = metrics.score_track(hidden, TRACK), metrics.score_track(TRUTH.drop(index=3), TRACK)
    assert scored.frames.tolist() == without.frames.tolist() == [16, 26]
    assert scored.scores.as_dict() == without.scores.as_dict()
    hidden.loc[0, "x0"] = np.nan
    with pytest.raises(ValueError, match="truth must be finite"):  # half a box is none
        metrics.score_track(hidden, TRACK, frames="all")


@pytest.mark.parametrize("which", ["truth", "track"])
def test_tables_of_several_tracks_are_refused_by_their_ids(which):
    several = {name: rows.assign(id=[0, 0, 1, 2, 3]) for name, rows in (("truth", TRUTH), ("track", TRACK))}
    given = {"truth": TRUTH, "track": TRACK} | {which: several[which]}
    with pytest.raises(
        ValueError, match=rf"{which} holds 4 tracks \(ids 0, 1, 2, ...\); choose the rows of one"
    ):
        metrics.score_track(**given)


def test_later_means_later_in_the_table_which_is_in_order_of_time():
    backwards = TRACK.assign(frame=TRACK["frame"].to_numpy()[::-1])
    assert metrics.score_track(TRUTH, backwards).frames.tolist() == [6, 11, 16]


def test_order_and_index_of_the_tables_do_not_matter_to_the_truth():
    shuffled = TRUTH.sample(frac=1, random_state=1)
    a, b = metrics.score_track(TRUTH, TRACK), metrics.score_track(shuffled, TRACK.set_index(TRACK.index + 7))
    np.testing.assert_array_equal(a.iou, b.iou)
    assert a.as_dict() == b.as_dict()


def test_scores_are_those_of_score_with_its_thresholds_and_convention():
    scored = metrics.score_track(TRUTH, TRACK, thresholds=(0.3, 0.9), convention="sarker2019")
    expected = metrics.score(
        [SQUARE] * 3, [SQUARE, HALF, NAN], thresholds=(0.3, 0.9), convention="sarker2019"
    )
    assert scored.scores == expected
    assert scored.as_dict() == {"mean_iou": 0.5, "n_unscored": 0, **expected.as_dict()}


def test_mappings_of_lists_are_tables_too():
    as_lists = {name: list(column) for name, column in TRACK.items()}
    assert metrics.score_track(dict(TRUTH), as_lists).mean_iou == 0.5


def test_a_scored_track_prints_its_mean_and_its_metrics():
    lines = repr(metrics.score_track(TRUTH, TRACK)).splitlines()
    assert lines[0] == "mean IoU 0.5000 over 3 frames, a frame without a box counting 0"
    assert lines[1] == "TrackScores: standard, 3 frames, 2 reported"


@pytest.mark.parametrize(
    ("truth", "track", "options", "message"),
    [
        (TRUTH, TRACK, {"frames": "some"}, "frames must be 'later' or 'all', got 'some'"),
        (TRUTH, TRACK, {"convention": "vot"}, "convention must be"),
        (TRUTH, TRACK, {"thresholds": 2}, "between 0 and 1"),
        (TRUTH.drop(columns="x0"), TRACK, {}, "truth needs the columns .*; missing: x0"),
        (TRUTH, TRACK.drop(columns="frame"), {}, "track needs the columns .*; missing: frame"),
        (table([(99, SQUARE)]), TRACK, {}, "no frame number in common"),
        (TRUTH, TRACK.iloc[:2], {}, "no frame number in common"),
        (pd.concat([TRUTH, TRUTH]), TRACK, {}, "truth_frames must be unique"),
        (TRUTH.assign(y1=np.nan), TRACK, {}, "truth must be finite"),
    ],
)
def test_tables_that_cannot_be_scored_are_refused(truth, track, options, message):
    with pytest.raises(ValueError, match=message):
        metrics.score_track(truth, track, **options)
