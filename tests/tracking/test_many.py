import itertools
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from solartrack import images, tracking
from solartrack.coordinates import ImageGeometry, rectangles_to_boxes, rotate_rectangles
from solartrack.errors import TrackError, TrackWarning
from solartrack.metrics import iou
from solartrack.metrics.many_tracks import score_many
from solartrack.simulate import SunModel, sequence
from solartrack.tracking.network import Answers, Network

XYXY = ["x0", "y0", "x1", "y1"]
SIZE = 256
DISK = ImageGeometry.from_disk((SIZE / 2, SIZE / 2), 98.0, b0_deg=3.0)
# Two neighbours, one far away in the south: lon0, lat0, lon1, lat1.
WEST, EAST, SOUTH = (4.0, 8.0, 20.0, 22.0), (-12.0, 9.0, 3.0, 20.0), (-20.0, -25.0, -5.0, -15.0)


@pytest.fixture(scope="module")
def sun():
    """5 frames over 4 days: images, arguments of both ways of tracking, truth."""
    model = SunModel(16, n_regions=16, days=4.0, merging=0.6, ephemeral=())
    frames = list(sequence(model, 5, "24h", size=SIZE))
    truth = pd.DataFrame(
        [(i, int(n), *box) for i, f in enumerate(frames) for n, box in zip(f.ids, f.boxes, strict=True)],
        columns=["frame", "id", *XYXY],
    )
    known = {
        "times": [f.time.isoformat() for f in frames],
        "geometry": [ImageGeometry.from_header(f.header) for f in frames],
    }
    return model, [f.array for f in frames], known, truth


@pytest.fixture(scope="module")
def firsts(sun):
    """Each region where it is first seen, if that is more than a sliver."""
    table = sun[3].drop_duplicates("id")
    table = table[(table["x1"] - table["x0"] > 4) & (table["y1"] - table["y0"] > 4)]
    assert len(table) >= 8 and table["frame"].nunique() >= 2
    return table


def boxes_of(*rectangles, days=0.0):
    return rectangles_to_boxes(rotate_rectangles(rectangles, days), DISK)[0]


def blank(count):
    """Images that only tell their own number."""
    return [np.full((SIZE, SIZE), i, np.uint8) for i in range(count)]


@pytest.fixture
def oracle(monkeypatch):
    """Networks that answer with the true rectangle nearest to the prior: ``oracle(truth(number))``."""

    def use(truth):
        def answer(self, templates, image, priors, geometry=None):
            true = truth(int(image.cut((0, 0, 1, 1))[0, 0]))
            near = iou(priors, true, pairwise=False)
            found = true[near.argmax(axis=1)]
            spread = 0.002 * np.tile(found[:, 2:] - found[:, :2], 2)
            return Answers(found, spread, np.where(near.max(axis=1) > 0.1, 0.9, 0.1))

        monkeypatch.setattr(Network, "answer", answer)

    return use


def states(table, number):
    return table.loc[table["id"] == number, "state"].tolist()


# --- the same as track -------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("both_ways", [True, False])
def test_one_region_gets_exactly_the_rows_of_track(sun, start, both_ways):
    _, frames, known, truth = sun
    box = truth.loc[truth["frame"] == start, XYXY].to_numpy()[0]
    broken = [*frames[:3], np.zeros((2, 3, 4)), *frames[3:], frames[4]]
    known = {k: [*v[:3], v[3], *v[3:], v[4]] for k, v in known.items()}
    known["times"][3] = "2014-02-04T12:00:00"
    how = {"start": start, "both_ways": both_ways, **known}
    alone = tracking.track(broken, box, tracker="solar", **how)
    many = tracking.track_many(broken, [box], **how)
    assert list(many.columns) == ["id", *tracking.COLUMNS] and (many["id"] == 0).all()
    assert {"start", "unreadable", "repeated"} <= set(many["state"])
    pd.testing.assert_frame_equal(many.drop(columns="id"), alone, check_exact=True)


def test_without_times_one_region_gets_the_rows_of_track_too(sun):
    _, frames, _, truth = sun
    box = truth[XYXY].to_numpy()[0]
    with pytest.warns(TrackWarning):
        alone = tracking.track(frames, box, tracker="solar", both_ways=False)
    with pytest.warns(TrackWarning):
        many = tracking.track_many(frames, [box], both_ways=False)
    pd.testing.assert_frame_equal(many.drop(columns="id"), alone, check_exact=True)


def test_many_regions_with_their_own_start_frames_get_the_rows_of_track(sun, firsts):
    _, frames, known, _ = sun
    some = pd.concat([firsts.head(2), firsts.tail(2)])
    many = tracking.track_many(frames, some, **known)
    assert many["id"].is_monotonic_increasing and len(many) == 4 * len(frames)
    for row in some.itertuples():
        alone = tracking.track(
            frames, [row.x0, row.y0, row.x1, row.y1], start=row.frame, tracker="solar", **known
        )
        mine = many[many["id"] == row.id].drop(columns="id").reset_index(drop=True)
        # The network rounds otherwise in a batch.
        pd.testing.assert_frame_equal(mine, alone, rtol=1e-3, atol=0.02)


def test_each_image_is_decoded_once_for_all_and_only_where_regions_are(sun, firsts, tmp_path, monkeypatch):
    _, frames, known, _ = sun
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{i:03}.jp2")
    of_arrays = tracking.track_many(frames, firsts.head(2), **known)
    read, seen, active = images.read, [], threading.active_count()

    def spy(path, *, window=None, reduce=1):
        seen.append((path, window))
        return read(path, window=window, reduce=reduce)

    monkeypatch.setattr(images, "read", spy)
    table = tracking.track_many(tmp_path, firsts.head(2), **known)
    assert len(seen) == len({path for path, _ in seen}) == len(frames)
    assert all(w is not None and (w[2] - w[0]) * (w[3] - w[1]) < SIZE**2 for _, w in seen)
    pd.testing.assert_frame_equal(table.drop(columns="file"), of_arrays.drop(columns="file"))
    assert threading.active_count() == active


def test_the_next_image_is_read_while_the_network_works(tmp_path, oracle, monkeypatch):
    for i, frame in enumerate(blank(4)):
        Image.fromarray(frame).save(tmp_path / f"{i:03}.png")
    read, reading = images.read, {i: threading.Event() for i in range(5)}
    reading[4].set()

    def spy(path, **how):
        reading[int(path[-7:-4])].set()
        return read(path, **how)

    monkeypatch.setattr(images, "read", spy)

    def truth(number):
        # Would wait in vain if the next image were read only after this one is done. The start image is
        # looked at before there is anything to do with the next.
        assert number == 0 or reading[number + 1].wait(20)
        return boxes_of(WEST, SOUTH, days=0.25 * number)

    oracle(truth)
    table = tracking.track_many(tmp_path, boxes_of(WEST, SOUTH), cadence="6h", geometry=DISK)
    assert table["state"].tolist() == 2 * ["start", "tracked", "tracked", "tracked"]


@settings(max_examples=3)
@given(order=st.permutations(range(5)))
def test_the_order_of_the_boxes_does_not_matter(sun, firsts, order):
    frames = sun[1][2:]
    how = {"both_ways": False, **{k: v[2:] for k, v in sun[2].items()}}
    some = firsts[firsts["frame"] <= 2].tail(5).assign(frame=lambda table: (table["frame"] - 2).clip(0))
    expected = tracking.track_many(frames, some, **how)
    pd.testing.assert_frame_equal(
        tracking.track_many(frames, some.iloc[list(order)], **how), expected, check_exact=True
    )
    # Numbered by their place, each region has another number and the same way.
    one_start = some[XYXY].to_numpy()[list(order)]
    first = int(some["frame"].max())
    numbered = tracking.track_many(frames, one_start, start=first, **how)
    by_id = tracking.track_many(frames, some.drop(columns="frame"), start=first, **how)
    numbered["id"] = some["id"].to_numpy()[list(order)][numbered["id"]]
    numbered = numbered.sort_values(["id", "days"], kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(numbered, by_id, rtol=1e-3, atol=0.02)


# --- identities --------------------------------------------------------------------------------


@pytest.mark.parametrize("recognises", [True, False])
def test_identities_are_kept_and_better_than_without_the_suns_rotation(sun, firsts, monkeypatch, recognises):
    if not recognises:

        def answer(self, templates, image, priors, geometry=None):
            return Answers(priors, np.ones_like(priors), np.zeros(len(priors)))

        monkeypatch.setattr(Network, "answer", answer)
    model, frames, known, truth = sun
    truth = truth[truth["id"].isin(firsts["id"])]
    tracks = tracking.track_many(frames, firsts, both_ways=False, **known)
    with pytest.warns(TrackWarning, match="without the Sun's rotation"):
        plain = tracking.track_many(frames, firsts, both_ways=False)
    events = model.events()
    merging = events.loc[events["event"] == "merge", ["id", "into"]].to_numpy().ravel()
    assert len(merging)
    apart = truth[~truth["id"].isin(merging)]
    assert apart["id"].nunique() >= 5
    ours = score_many(truth, tracks, threshold=0.3)
    assert score_many(apart, tracks, threshold=0.3).id_switches == 0
    assert ours.idf1 > 0.6 and ours.mota > 0.3 and ours.hota > 0.4
    without = score_many(truth, plain, threshold=0.3)
    assert ours.idf1 > 1.5 * without.idf1 and ours.mota > without.mota and ours.hota > without.hota


def merging(at):
    """West and east are two until image `at`, then one; SOUTH stays by itself."""
    union = (EAST[0], WEST[1], WEST[2], WEST[3])

    def truth(number):
        return boxes_of(*((WEST, EAST) if number < at else (union,)), SOUTH, days=0.25 * number)

    return truth


def test_a_region_that_merges_ends_and_the_larger_one_goes_on(oracle):
    oracle(merging(3))
    table = tracking.track_many(
        blank(12), boxes_of(EAST, SOUTH, WEST), cadence="6h", geometry=DISK, both_ways=False
    )
    ended = table[table["state"] == "merged"]
    assert set(ended["id"]) == {0} and set(ended["message"]) == {"into 2"}
    assert ended[XYXY].isna().all(axis=None) and (ended["score"] == 0).all()
    # Some images after it happened, and for good.
    first = ended["frame"].min()
    assert 3 + 2 <= first <= 9 and ended["frame"].tolist() == list(range(first, 12))
    assert states(table, 1) == states(table, 2) == ["start", *["tracked"] * 11]
    kept = table[table["id"] == 2][XYXY].to_numpy()[-1:]
    assert iou(kept, merging(3)(11)[:1])[0] > 0.8
    assert "merged" in tracking.STATES


def test_the_earlier_start_goes_on_even_if_it_is_smaller(oracle):
    oracle(merging(3))
    south, east = boxes_of(SOUTH, EAST)
    later = boxes_of(WEST, days=0.25)[0]
    boxes = pd.DataFrame([later, south, east], columns=XYXY).assign(id=[7, 3, 5], frame=[1, 0, 0])
    table = tracking.track_many(blank(12), boxes, cadence="6h", geometry=DISK, both_ways=False)
    assert set(table.loc[table["state"] == "merged", "id"]) == {7}
    assert set(table.loc[table["state"] == "merged", "message"]) == {"into 5"}
    assert table.loc[table["id"] == 7, "frame"].tolist() == list(range(1, 12))


def test_backwards_a_region_comes_out_of_the_older_one(oracle):
    forward = merging(3)
    oracle(lambda number: rotated_back(forward(11 - number), number))
    table = tracking.track_many(blank(12), boxes_of(EAST, WEST), start=11, cadence="6h", geometry=DISK)
    gone = table[table["state"] == "merged"]
    assert set(gone["id"]) == {0} and set(gone["message"]) == {"out of 1"}
    assert gone["frame"].tolist() == list(range(int(gone["frame"].max()) + 1))


def rotated_back(boxes, number):
    """The same history, told from the last image to the first."""
    days = 0.25 * (number - 11)
    union = (EAST[0], WEST[1], WEST[2], WEST[3])
    return boxes_of(*((WEST, EAST) if len(boxes) == 3 else (union,)), SOUTH, days=days)


def test_an_unusable_image_does_not_keep_regions_from_merging_or_ended_ones_from_telling(oracle):
    oracle(merging(3))
    frames = blank(12)
    frames[5] = frames[11] = np.zeros((2, 2, 2))
    table = tracking.track_many(frames, boxes_of(EAST, WEST), cadence="6h", geometry=DISK)
    assert (table.loc[table["frame"].isin([5, 11]), "state"] == "unreadable").all()
    assert states(table, 0)[10] == "merged" and states(table, 1)[10] == "tracked"


def test_a_part_of_a_region_given_on_purpose_is_followed_to_the_end(oracle):
    spot = (8.0, 11.0, 14.0, 17.0)
    oracle(lambda number: boxes_of(WEST, spot, days=0.25 * number))
    table = tracking.track_many(blank(8), boxes_of(WEST, spot), cadence="6h", geometry=DISK)
    assert states(table, 0) == states(table, 1) == ["start", *["tracked"] * 7]


def test_a_region_given_twice_is_followed_once(oracle):
    oracle(lambda number: boxes_of(WEST, SOUTH, days=0.25 * number))
    west, south = boxes_of(WEST, SOUTH)
    table = tracking.track_many(blank(6), [west, south, west], cadence="6h", geometry=DISK)
    assert states(table, 0) == states(table, 1) == ["start", *["tracked"] * 5]
    assert states(table, 2) == ["start", "tracked", *["merged"] * 4]
    assert table.loc[table["id"] == 2, "message"].iloc[-1] == "into 0"


def test_neighbours_whose_boxes_overlap_at_the_limb_stay_two(oracle):
    # In pixels the one box covers the other almost wholly there.
    front, behind = (62.0, -42.0, 70.0, -28.0), (52.0, -44.0, 61.0, -26.0)
    oracle(lambda number: boxes_of(front, behind, days=0.1 * number))
    table = tracking.track_many(
        blank(14),
        boxes_of(front, behind),
        cadence=0.1 * np.timedelta64(1, "D").astype("m8[s]"),
        geometry=DISK,
    )
    assert "merged" not in set(table["state"])
    pairs = table[table["state"] == "tracked"].groupby("frame")[XYXY]
    assert max(iou(a[:1], a[1:])[0] for a in (g.to_numpy() for _, g in pairs) if len(a) == 2) > 0.4


def test_regions_that_pass_one_another_keep_their_ids(oracle):
    # Nearer to the equator it is faster: west catches up with the east in ten days, and leaves it behind.
    slow, fast = (-34.0, 22.0, -22.0, 34.0), (-46.0, 10.0, -34.0, 21.0)
    oracle(lambda number: boxes_of(slow, fast, days=0.5 * number))
    frames = blank(18)
    table = tracking.track_many(frames, boxes_of(slow, fast), cadence="12h", geometry=DISK)
    for number, rectangle in enumerate((slow, fast)):
        mine = table[table["id"] == number]
        true = np.concatenate([boxes_of(rectangle, days=0.5 * i) for i in range(18)])
        seen = np.isfinite(mine[XYXY]).all(axis=1).to_numpy() & np.isfinite(true).all(axis=1)
        assert seen.sum() >= 12 and set(mine["state"]) <= {"start", "tracked", "coasting", "off_disk"}
        assert iou(mine[XYXY].to_numpy()[seen], true[seen]).min() > 0.6


# --- what can be wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "error", "message"),
    [
        (np.empty((0, 4)), ValueError, "at least one box"),
        (pd.DataFrame(columns=XYXY, dtype=float), ValueError, "at least one box"),
        (np.ones((2, 5)), ValueError, r"shape \(n, 4\)"),
        ([[100, 100, 120, 120], [0, 0, np.nan, 5]], ValueError, "in row 1"),
        ([[120, 100, 100, 120]], ValueError, "the box of region 0 must have x1 > x0"),
        ([[100, 100, 120, 120], [300, 10, 320, 20]], TrackError, "region 1: .*lies outside the start image"),
        ([[100, 100, 120, 120], [1, 1, 9, 9]], TrackError, "region 1: cannot start at frame 0.*beyond the limb"),
    ],
)  # fmt: skip
def test_bad_boxes_are_errors_that_name_them(boxes, error, message):
    with pytest.raises(error, match=message):
        tracking.track_many(blank(2), boxes, cadence="6h", geometry=DISK)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"id": [4, 4]}, ValueError, "distinct, got 4 2 times"),
        ({"id": ["a", "b"]}, TypeError, "whole numbers"),
        ({"id": [4, 9], "frame": [0, 5]}, TrackError, "region 9: there is no frame 5"),
        ({"id": [4, 9], "frame": ["no.png", "a.png"]}, TrackError, "region 4: there is no frame 'no.png'"),
        ({"id": [4, 9], "x0": [100.0, np.nan]}, ValueError, "box of region 9 must be finite"),
        ({"id": [4, 9], "x0": [100.0, None]}, ValueError, "box of region 9 must be finite"),
        ({"id": [4, 9], "frame": [0, 1.5]}, TrackError, r"region 9: there is no frame 1\.5"),
    ],
)
def test_bad_tables_of_boxes_are_errors_that_name_the_region(columns, error, message):
    table = pd.DataFrame([[100, 100, 120, 120]] * 2, columns=XYXY).assign(**columns)
    with pytest.raises(error, match=message):
        tracking.track_many(blank(2), table, cadence="6h", geometry=DISK)
    with pytest.raises(ValueError, match="missing: y1"):
        tracking.track_many(blank(2), table.drop(columns="y1"), cadence="6h", geometry=DISK)


def test_start_frames_may_be_names_and_may_be_missing(tmp_path, oracle):
    for i, frame in enumerate(blank(3)):
        Image.fromarray(frame).save(tmp_path / f"sun_{i}.png")
    oracle(lambda number: boxes_of(WEST, SOUTH, days=0.25 * number))
    table = pd.DataFrame(boxes_of(WEST, SOUTH), columns=XYXY)
    how = {"cadence": "6h", "geometry": DISK, "both_ways": False}
    for frames in (["sun_1.png", None], [1.0, np.nan]):
        out = tracking.track_many(tmp_path, table.assign(frame=frames), start=0, **how)
        assert out["frame"].tolist() == [1, 2, 0, 1, 2] and out["id"].tolist() == [0, 0, 1, 1, 1]


@pytest.mark.filterwarnings("ignore:File may have been truncated")
def test_a_broken_image_costs_its_rows_and_only_those(tmp_path, oracle):
    paths = [tmp_path / f"{i:03}.png" for i in range(5)]
    rng = np.random.default_rng(1)
    for i, path in enumerate(paths):
        frame = rng.integers(0, 255, (SIZE, SIZE), np.uint8)
        frame[0, 0] = i
        Image.fromarray(frame).save(path)
    oracle(lambda number: boxes_of(WEST, SOUTH, days=0.25 * number))
    paths[2].write_bytes(paths[2].read_bytes()[:20000])
    west, south = boxes_of(WEST, SOUTH)
    how = {"cadence": "6h", "geometry": DISK}
    table = tracking.track_many(tmp_path, [west, south], **how)
    assert states(table, 0) == states(table, 1) == ["start", "tracked", "unreadable", "tracked", "tracked"]

    # As a start image it costs the regions that start there, all of them only if there are no others.
    boxes = pd.DataFrame([west, south], columns=XYXY).assign(frame=[0, 2])
    table = tracking.track_many(tmp_path, boxes, **how)
    assert states(table, 0) == ["start", "tracked", "unreadable", "tracked", "tracked"]
    assert states(table, 1) == ["failed", "failed", "unreadable", "failed", "failed"]
    assert table.loc[table["id"] == 1, "message"].str.contains("002.png").all()
    with pytest.raises(TrackError, match=r"cannot start at frame 2 .*002\.png"):
        tracking.track_many(tmp_path, [west, south], start=2, **how)


def test_a_network_that_fails_costs_the_image(monkeypatch, oracle):
    def truth(number):
        if number == 2:
            raise RuntimeError("out of memory")
        return boxes_of(WEST, SOUTH, days=0.25 * number)

    oracle(truth)
    table = tracking.track_many(blank(4), boxes_of(WEST, SOUTH), cadence="6h", geometry=DISK)
    assert states(table, 0) == states(table, 1) == ["start", "tracked", "failed", "tracked"]
    assert (table.loc[table["frame"] == 2, "message"] == "RuntimeError: out of memory").all()


def test_black_images_leave_the_boxes_to_the_suns_rotation_or_the_network():
    black = np.zeros((4, SIZE, SIZE), np.uint8)
    table = tracking.track_many(black, boxes_of(WEST, SOUTH), cadence="6h", geometry=DISK)
    assert set(table["state"]) <= {"start", "tracked", "coasting", "lost"}
    assert np.isfinite(table[XYXY]).all(axis=None) and (table["x0"] > 0).all()
    blind = np.full((4, SIZE, SIZE), np.nan)
    assert set(tracking.track_many(blind, boxes_of(WEST), cadence="6h", geometry=DISK)["state"]) <= {
        "start", "tracked", "coasting", "lost",
    }  # fmt: skip


def test_without_times_there_is_one_warning_for_all_and_a_note_for_each(oracle):
    oracle(lambda number: boxes_of(WEST, SOUTH))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = tracking.track_many(blank(3), boxes_of(WEST, SOUTH), geometry=DISK)
    assert [w.category for w in caught] == [TrackWarning]
    assert "2 of 2 regions" in str(caught[0].message) and caught[0].filename == __file__
    assert table["message"].str.contains("without the Sun's rotation").sum() == 2
    assert table["state"].tolist() == 2 * ["start", "tracked", "tracked"] and table["days"].isna().all()


def test_a_start_image_without_a_time_costs_only_its_regions_the_rotation(oracle):
    oracle(lambda number: boxes_of(WEST, SOUTH, days=0.25 * number))
    boxes = pd.DataFrame([*boxes_of(WEST), *boxes_of(SOUTH, days=0.25)], columns=XYXY).assign(frame=[0, 1])
    times = ["2014-02-01T00:00", None, "2014-02-01T12:00", "2014-02-01T18:00"]
    with pytest.warns(TrackWarning, match="1 of 2 regions"):
        table = tracking.track_many(blank(4), boxes, times=times, geometry=DISK)
    timed, plain = (table[table["id"] == i] for i in range(2))
    assert timed["days"].tolist()[2:] == [0.5, 0.75] and plain["days"].isna().all()
    assert states(table, 0) == ["start", *["tracked"] * 3] and states(table, 1)[1] == "start"


def test_days_without_images_are_bridged_by_rotation(oracle):
    days = [0.0, 0.25, 4.0, 13.0, 27.0]
    oracle(lambda number: boxes_of(WEST, SOUTH, days=days[number]))
    times = pd.Timestamp("2014-02-01") + pd.to_timedelta(days, unit="D")
    table = tracking.track_many(blank(5), boxes_of(WEST, SOUTH), times=times, geometry=DISK)
    for number, rectangle in enumerate((WEST, SOUTH)):
        mine = table[table["id"] == number]
        assert mine["state"].tolist() == ["start", "tracked", "tracked", "off_disk", "tracked"]
        true = np.concatenate([boxes_of(rectangle, days=d) for d in days])
        there = np.isfinite(true).all(axis=1)
        assert iou(mine[XYXY].to_numpy()[there], true[there]).min() > 0.9


def test_no_images_are_an_error(tmp_path):
    with pytest.raises(TrackError, match="no images found"):
        tracking.track_many(tmp_path, boxes_of(WEST))


def test_ids_are_sorted_and_the_rows_of_each_in_the_order_of_time(oracle):
    oracle(lambda number: boxes_of(WEST, SOUTH, days=0.25 * number))
    boxes = pd.DataFrame(boxes_of(WEST, SOUTH), columns=XYXY).assign(id=[12, -3])
    times = pd.Timestamp("2014-02-01") + pd.to_timedelta([0, 18, 6, 12], unit="h")
    shuffled = [blank(4)[i] for i in (0, 3, 1, 2)]
    table = tracking.track_many(shuffled, boxes, start=0, times=times, geometry=DISK)
    assert table["id"].tolist() == [-3] * 4 + [12] * 4 and table["id"].dtype == np.int64
    assert table["frame"].tolist() == [0, 2, 3, 1] * 2
    for a, b in itertools.pairwise(table.loc[table["id"] == 12, "time"]):
        assert a < b
