import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solartrack import metrics
from solartrack.metrics import ALPHAS, combine, score_many

BOX = ["x0", "y0", "x1", "y1"]


def table(rows):
    """Rows of (frame, id, x): boxes of 10 x 10 pixels that start at x."""
    return pd.DataFrame([(f, i, x, 0.0, x + 10.0, 10.0) for f, i, x in rows], columns=["frame", "id", *BOX])


def crowd(seed, n_frames=14, n=6, noise=2.0, jump=0.1, drop=0.12, extra=0.15):
    """Regions that drift, and tracks of them that are noisy, lost, swapped and invented."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(0, 60, (n, 2)), rng.normal(0, 2, (n, 2))
    size = rng.uniform(8, 20, (n, 2))
    names = np.arange(n) + 100
    truth, tracks, fresh = [], [], 1000
    for frame in range(n_frames):
        corner = start + speed * frame
        for i in np.flatnonzero(rng.random(n) < jump):  # identities change now and then
            other = rng.integers(n)
            names[[i, other]] = names[[other, i]]
        for i in range(n):
            if rng.random() >= drop:
                truth.append((frame, i, *corner[i], *(corner[i] + size[i])))
            if rng.random() >= drop:
                box = np.concatenate([corner[i], corner[i] + size[i]]) + rng.normal(0, noise, 4)
                tracks.append((frame, names[i], *box))
            if rng.random() < extra:
                at = rng.uniform(0, 60, 2)
                fresh += 1
                tracks.append((frame, fresh, *at, *(at + 12)))
    columns = ["frame", "id", *BOX]
    return pd.DataFrame(truth, columns=columns), pd.DataFrame(tracks, columns=columns)


# -- hand-made sequences with exact answers ----------------------------------------


def test_a_perfect_tracker_scores_one_everywhere():
    truth = table([(f, i, 40.0 * i + f) for f in range(4) for i in range(3)])
    s = score_many(truth, truth.assign(id=truth["id"] + 7))
    for name in ("mota", "motp", "idf1", "idp", "idr", "hota", "det_a", "ass_a", "loc_a"):
        assert getattr(s, name) == 1.0, name
    assert (s.misses, s.false_positives, s.id_switches, s.fragmentations) == (0, 0, 0, 0)


def test_a_switch_in_the_middle_costs_one_mota_error_and_half_the_identity():
    truth = table([(f, 1, f) for f in range(4)])
    s = score_many(truth, truth.assign(id=[5, 5, 6, 6]))
    assert (s.id_switches, s.fragmentations, s.matches) == (1, 0, 4)
    assert s.mota == 0.75 and s.motp == 1.0
    assert s.idf1 == s.idp == s.idr == 0.5
    # Each track shares 2 of 4 frames with the region: association 2 / (4 + 2 - 2).
    assert s.det_a == 1.0 and s.ass_a == 0.5 and s.hota == pytest.approx(np.sqrt(0.5), abs=1e-15)


def test_a_gap_costs_misses_and_a_fragmentation_but_no_switch():
    truth = table([(f, 1, f) for f in range(5)])
    s = score_many(truth, truth[truth["frame"] != 2])
    assert (s.misses, s.false_positives, s.id_switches, s.fragmentations) == (1, 0, 0, 1)
    assert s.mota == 0.8 and s.idp == 1.0 and s.idr == 0.8 and s.idf1 == pytest.approx(8 / 9)
    assert s.det_a == pytest.approx(0.8) and s.ass_a == pytest.approx(0.8) and s.hota == pytest.approx(0.8)


def test_switching_back_after_a_gap_is_told_by_the_last_track_whenever_it_was():
    truth = table([(f, 1, f) for f in range(5)])
    tracks = truth.assign(id=[5, 0, 6, 0, 5]).query("id > 0")
    s = score_many(truth, tracks)
    assert (s.id_switches, s.fragmentations, s.misses) == (2, 2, 2)
    assert s.mota == pytest.approx(1 - 4 / 5)


def test_a_pair_is_kept_while_it_reaches_the_threshold_though_another_overlaps_more():
    truth = table([(0, 1, 0.0), (1, 1, 0.0)])
    tracks = table([(0, 5, 0.0), (1, 5, 2.0), (1, 6, 0.0)])
    s = score_many(truth, tracks)  # IoU of 5 in frame 1 is 8 / 12
    assert s.id_switches == 0 and s.motp == pytest.approx((1 + 8 / 12) / 2)
    assert score_many(truth, tracks, threshold=0.7).id_switches == 1


def test_hota_changes_where_alpha_passes_the_overlap():
    truth = table([(f, 1, 0.0) for f in range(3)])
    s = score_many(truth, truth.assign(x0=0.0, x1=6.0))  # IoU 0.6 exactly
    np.testing.assert_array_equal(s.hota_alpha, np.where(ALPHAS <= 0.6, 1.0, 0.0))
    assert s.hota == pytest.approx(12 / 19) and s.motp == pytest.approx(0.6)
    np.testing.assert_allclose(s.loc_a_alpha, np.where(ALPHAS <= 0.6, 0.6, 1.0))


def test_a_box_at_the_threshold_matches_and_boxes_that_do_not_touch_never_do():
    truth = table([(0, 1, 0.0)])
    assert score_many(truth, truth.assign(x1=5.0)).matches == 1
    far = truth.assign(x0=50.0, x1=60.0)
    s = score_many(truth, far, threshold=0.0)
    assert (s.matches, s.id_matches, s.mota) == (0, 0, -1.0)


def test_strings_and_dates_name_frames_and_identities_as_well():
    truth, tracks = crowd(3)
    expected = score_many(truth, tracks).as_dict()
    dates = pd.Timestamp("2014-02-03") + pd.to_timedelta(np.arange(50) * 4, unit="h")
    named = [t.assign(frame=dates[t["frame"]], id=[f"AR{i:05}" for i in t["id"]]) for t in (truth, tracks)]
    assert score_many(*named).as_dict() == expected
    texts = [t.assign(frame=[f"{f:03}.fits" for f in t["frame"]]) for t in (truth, tracks)]
    assert score_many(*texts).as_dict() == expected
    lists = [{c: t[c].tolist() for c in t} for t in (truth, tracks)]
    assert score_many(*lists).as_dict() == expected


# -- nothing -----------------------------------------------------------------------


def test_empty_tables_score_zero_and_do_not_divide_by_it():
    truth, none = table([(0, 1, 0.0), (1, 1, 0.0)]), table([])
    missed, invented, nothing = score_many(truth, none), score_many(none, truth), score_many(none, none)
    assert (missed.mota, missed.misses, missed.n_frames) == (0.0, 2, 2)
    assert (invented.mota, invented.false_positives) == (-2.0, 2)
    assert (nothing.mota, nothing.n_frames) == (0.0, 0)
    for s in (missed, invented, nothing):
        assert s.hota == s.idf1 == s.idp == s.idr == s.motp == s.det_a == s.ass_a == 0.0
        assert s.loc_a == 1.0


def test_four_nan_are_no_report_and_an_empty_box_is_one_that_matches_nothing():
    truth = table([(0, 1, 0.0), (1, 1, 0.0)])
    lost = truth.astype(dict.fromkeys(BOX, float))
    lost.loc[1, BOX] = np.nan
    assert score_many(truth, lost).n_tracks == 1
    empty = truth.copy()
    empty.loc[1, "x1"] = empty.loc[1, "x0"]
    s = score_many(truth, empty)
    assert (s.n_tracks, s.matches, s.false_positives) == (2, 1, 1)


# -- against the reference implementations -----------------------------------------


def trackeval_data(truth, tracks):
    """What TrackEval's metrics take."""
    frames = np.union1d(truth["frame"], tracks["frame"])
    g_names, g_ids = np.unique(truth["id"], return_inverse=True)
    t_names, t_ids = np.unique(tracks["id"], return_inverse=True)
    at = [(truth["frame"] == f, tracks["frame"] == f) for f in frames]
    return {
        "num_timesteps": len(frames),
        "num_gt_ids": len(g_names),
        "num_tracker_ids": len(t_names),
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(tracks),
        "gt_ids": [g_ids[g] for g, _ in at],
        "tracker_ids": [t_ids[t] for _, t in at],
        "similarity_scores": [
            metrics.iou(truth.loc[g, BOX].to_numpy(), tracks.loc[t, BOX].to_numpy(), pairwise=False)
            for g, t in at
        ],
    }


def trackeval_scores(results):
    """TrackEval's results under our names."""
    hota, clear, identity = results
    names = {"hota_alpha": "HOTA", "det_a_alpha": "DetA", "ass_a_alpha": "AssA", "loc_a_alpha": "LocA"}
    return {
        **{ours: hota[theirs] for ours, theirs in names.items()},
        "mota": clear["MOTA"], "motp": clear["MOTP"], "matches": clear["CLR_TP"], "misses": clear["CLR_FN"],
        "false_positives": clear["CLR_FP"], "id_switches": clear["IDSW"], "fragmentations": clear["Frag"],
        "idf1": identity["IDF1"], "idp": identity["IDP"], "idr": identity["IDR"],
    }  # fmt: skip


def agree(ours, theirs, *, but=()):
    for name, value in theirs.items():
        if name not in but:
            np.testing.assert_allclose(getattr(ours, name), value, rtol=0, atol=1e-9, err_msg=name)


@pytest.fixture(scope="module")
def trackeval():
    pytest.importorskip("trackeval", reason="trackeval brings opencv-python, so it is not in the test extra")
    from trackeval.metrics import CLEAR, HOTA, Identity

    return HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})


@pytest.mark.parametrize("seed", range(25))
def test_every_number_equals_trackeval(trackeval, seed):
    truth, tracks = crowd(seed, noise=1.0 + seed % 4, jump=0.02 * (seed % 6))
    assert set(truth["frame"]) == set(tracks["frame"])
    theirs = trackeval_scores([m.eval_sequence(trackeval_data(truth, tracks)) for m in trackeval])
    ours = score_many(truth, tracks)
    assert 0.05 < ours.hota < 0.95 and ours.fragmentations
    agree(ours, theirs)


@pytest.mark.parametrize("seed", range(10))
def test_frames_without_truth_or_report_equal_trackeval_but_for_fragmentations(trackeval, seed):
    truth, tracks = crowd(seed, n=2, drop=0.5, extra=0.05, jump=0.2)
    theirs = trackeval_scores([m.eval_sequence(trackeval_data(truth, tracks)) for m in trackeval])
    agree(score_many(truth, tracks), theirs, but=["fragmentations"])


def test_combined_sequences_equal_trackeval(trackeval):
    sequences = [crowd(seed, n_frames=5 + seed, n=2 + seed) for seed in range(5)]
    sequences.append((sequences[0][0], sequences[0][1].iloc[:0]))  # nothing found in the last one
    theirs = [
        m.combine_sequences({str(i): m.eval_sequence(trackeval_data(*s)) for i, s in enumerate(sequences)})
        for m in trackeval
    ]
    agree(combine(score_many(*s) for s in sequences), trackeval_scores(theirs))


def simulated(seed):
    """A simulated Sun, and each of its regions followed by rotation from where it is first seen, half the
    regions under a new name every six frames."""
    from solartrack import simulate
    from solartrack.coordinates import ImageGeometry, rotate_box

    truth, tracks, seen = [], [], {}
    for f, frame in enumerate(simulate.sequence(seed, 12, "6h", size=64, channel="magnetogram")):
        geometry = ImageGeometry.from_header(frame.header)
        for i, box in zip(frame.ids.tolist(), frame.boxes, strict=True):
            truth.append((f, i, *box))
            at, first, place = seen.setdefault(i, (f, box, geometry))
            moved = rotate_box(first, (f - at) * 0.25, place, geometry).box
            tracks.append((f, i if i % 2 else i + 1000 * (1 + (f - at) // 6), *moved))
    return tuple(pd.DataFrame(rows, columns=["frame", "id", *BOX]) for rows in (truth, tracks))


def test_a_simulated_sun_followed_by_rotation_equals_trackeval(trackeval):
    truth, tracks = simulated(4)
    theirs = trackeval_scores([m.eval_sequence(trackeval_data(truth, tracks)) for m in trackeval])
    ours = score_many(truth, tracks)
    assert ours.n_truth > 50 and ours.id_switches > 0
    agree(ours, theirs)


def test_every_number_equals_what_trackeval_1_3_0_gave():
    """The same as above for where TrackEval is not installed; made by `python tests/metrics/test_many_tracks.py`."""
    recorded = json.loads(Path(__file__).with_name("trackeval_1.3.0.json").read_text())
    for case in recorded:
        agree(score_many(case["truth"], case["tracks"]), case["scores"])


@pytest.mark.parametrize("seed", range(8))
def test_identities_and_clear_counts_equal_motmetrics(seed):
    import motmetrics

    # motmetrics remembers a pair longer than TrackEval does; with little noise and no invented
    # tracks that makes no difference.
    truth, tracks = crowd(seed, noise=0.8, extra=0.0)
    accumulator = motmetrics.MOTAccumulator()
    data = trackeval_data(truth, tracks)
    for frame, (g, t, overlap) in enumerate(
        zip(data["gt_ids"], data["tracker_ids"], data["similarity_scores"], strict=True)
    ):
        accumulator.update(g, t, np.where(overlap >= 0.5, 1 - overlap, np.nan), frameid=frame)
    names = {"mota": "mota", "idf1": "idf1", "idp": "idp", "idr": "idr", "num_switches": "id_switches",
             "num_misses": "misses", "num_false_positives": "false_positives"}  # fmt: skip
    theirs = motmetrics.metrics.create().compute(accumulator, metrics=[*names, "motp"]).iloc[0]
    ours = score_many(truth, tracks)
    agree(ours, {names[k]: theirs[k] for k in names} | {"motp": 1 - theirs["motp"]})


# -- laws --------------------------------------------------------------------------

seeds = st.integers(0, 10_000)


@settings(max_examples=30)
@given(seeds)
def test_everything_lies_between_0_and_1_and_mota_below(seed):
    s = score_many(*crowd(seed, n_frames=5, n=4))
    for name in ("motp", "idf1", "idp", "idr", "hota", "det_a", "ass_a", "loc_a"):
        assert 0.0 <= getattr(s, name) <= 1.0
    assert s.mota <= 1.0
    assert (np.diff(s.alpha_matches) <= 0).all()
    assert s.matches + s.misses == s.n_truth and s.matches + s.false_positives == s.n_tracks


@settings(max_examples=30)
@given(seeds)
def test_names_and_the_order_of_rows_do_not_matter(seed):
    truth, tracks = crowd(seed, n_frames=5, n=4)
    rng = np.random.default_rng(seed)
    other = []
    for t in (truth, tracks):
        names = np.unique(t["id"])
        new = dict(zip(names, rng.permutation(len(names)), strict=True))
        other.append(t.assign(id=t["id"].map(new)).sample(frac=1.0, random_state=seed))
    a, b = score_many(truth, tracks).as_dict(), score_many(*other).as_dict()
    for name in a:
        assert a[name] == pytest.approx(b[name], abs=1e-12), name


@settings(max_examples=30)
@given(seeds)
def test_truth_against_itself_is_perfect(seed):
    truth, _ = crowd(seed, n_frames=5, n=4)
    s = score_many(truth, truth)
    assert s.mota == s.idf1 == s.motp == 1.0
    assert s.hota == pytest.approx(1.0, abs=1e-12) and s.id_switches == 0


@settings(max_examples=30)
@given(seeds)
def test_one_more_invented_track_never_helps(seed):
    truth, tracks = crowd(seed, n_frames=5, n=4)
    lie = table([(f, 999_999, 5000.0) for f in range(5)])
    a, b = score_many(truth, tracks), score_many(truth, pd.concat([tracks, lie]))
    assert b.mota < a.mota and b.idf1 <= a.idf1 and b.idp <= a.idp and b.hota <= a.hota + 1e-12
    assert b.idr == a.idr and b.misses == a.misses


@settings(max_examples=30)
@given(seeds, seeds)
def test_combining_equals_scoring_the_sequences_end_to_end(one, two):
    parts = [crowd(one, n_frames=4, n=3), crowd(two, n_frames=5, n=3)]
    later = [t.assign(frame=t["frame"] + 1000, id=t["id"] + 100_000) for t in parts[1]]
    joint = score_many(*(pd.concat([a, b]) for a, b in zip(parts[0], later, strict=True)))
    both = combine(score_many(*p) for p in parts)
    a, b = joint.as_dict(), both.as_dict()
    # Only the memory of a pair reaches over the seam, and the identities are others there.
    for name in a:
        assert a[name] == pytest.approx(b[name], abs=1e-12), name


# -- bad input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="id"), "truth needs the columns frame, id, x0, y0, x1, y1; missing: id"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "identity 1 more than once in frame 0"),
        (lambda t: t.assign(x0=np.nan), "must be finite"),
        (lambda t: t.assign(frame=[0.0, np.nan]), "frames of truth must not be NaN"),
        (lambda t: t.assign(id=[1.0, np.nan]), "identities of truth must not be NaN"),
        (lambda t: {**{c: t[c] for c in t}, "x0": [1.0]}, "equal lengths"),
    ],
)
def test_a_bad_truth_is_a_clear_error(change, message):
    truth = table([(0, 1, 0.0), (1, 1, 0.0)])
    with pytest.raises(ValueError, match=message):
        score_many(change(truth), truth)


def test_a_report_that_is_partly_nan_is_an_error():
    truth = table([(0, 1, 0.0), (1, 1, 0.0)])
    with pytest.raises(ValueError, match="partly NaN"):
        score_many(truth, truth.assign(x0=[0.0, np.nan]))


def test_frames_named_by_numbers_and_by_words_do_not_compare():
    truth = table([(0, 1, 0.0)])
    with pytest.raises(TypeError, match="name frames alike"):
        score_many(truth, truth.assign(frame=["zero"]))


def test_combining_nothing_or_different_thresholds_is_an_error():
    truth = table([(0, 1, 0.0)])
    with pytest.raises(ValueError, match="at least one"):
        combine([])
    with pytest.raises(ValueError, match=r"must not be mixed, got \[0.5, 0.7\]"):
        combine([score_many(truth, truth), score_many(truth, truth, threshold=0.7)])


def test_repr_names_every_metric():
    text = repr(score_many(*crowd(1)))
    assert "mota" in text and "hota" in text and "idf1" in text


def record():
    from trackeval.metrics import CLEAR, HOTA, Identity

    cases = []
    for seed in range(3):
        truth, tracks = (t.round(2) for t in crowd(seed, n_frames=8, n=4))
        data = trackeval_data(truth, tracks)
        scores = trackeval_scores([m.eval_sequence(data) for m in (HOTA(), CLEAR(), Identity())])
        cases.append(
            {
                "truth": truth.to_dict("list"),
                "tracks": tracks.to_dict("list"),
                "scores": {k: np.asarray(v).tolist() for k, v in scores.items()},
            }
        )
    Path(__file__).with_name("trackeval_1.3.0.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    record()
