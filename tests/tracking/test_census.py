import dataclasses
import threading

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.time import Time

from solartrack import tracking
from solartrack.coordinates import ImageGeometry, rectangles_to_boxes, rotate_rectangles
from solartrack.errors import ImageError, TrackError, TrackWarning
from solartrack.images import SolarImage
from solartrack.metrics import iou
from solartrack.simulate import Hole, Region, SunModel, sequence
from solartrack.simulate._sphere import earth
from solartrack.tracking import census

XYXY = ["x0", "y0", "x1", "y1"]
SIZE = 256
DISK = ImageGeometry.from_disk((SIZE / 2, SIZE / 2), 98.0, b0_deg=3.0)
# lon0, lat0, lon1, lat1
WEST, EAST, SOUTH = (4.0, 8.0, 20.0, 22.0), (-12.0, 9.0, 3.0, 20.0), (-20.0, -25.0, -5.0, -15.0)


def boxes_of(*rectangles, days=0.0):
    return rectangles_to_boxes(rotate_rectangles(rectangles, days), DISK)[0]


def blank(count):
    """Images that only tell their own number."""
    return [np.full((SIZE, SIZE), i, np.uint8) for i in range(count)]


@pytest.fixture
def finds(monkeypatch):
    """Searches that find ``boxes(number)`` with a score; ``finds(boxes, score)`` gives the numbers searched."""

    def use(boxes, score=0.5):
        searched = []

        def detect(image, kind, *, geometry, wavelength, model):
            number = int(image[0, 0])
            searched.append((number, threading.current_thread().name))
            table = pd.DataFrame(boxes(number), columns=XYXY)
            return table.assign(score=score(number) if callable(score) else score)

        monkeypatch.setattr(census, "detect", detect)
        return searched

    return use


def follow(count, **how):
    return tracking.track_all(
        blank(count), **{"tracker": "rectangle", "cadence": "6h", "geometry": DISK, **how}
    )


def frames(table, number):
    return table.loc[table["id"] == number, "frame"].tolist()


def states(table, number):
    return table.loc[table["id"] == number, "state"].tolist()


# --- beginning ---------------------------------------------------------------------------------


def test_the_trackers_network_finds_the_regions_and_a_tracker_without_one_the_segmentation(
    finds, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        census, "detect", lambda *a, model, **k: asked.append(model) or pd.DataFrame(columns=[*XYXY, "score"])
    )
    solar = tracking.make_tracker("solar")
    needy = tracking.make_tracker("goturn")
    monkeypatch.setattr(needy.network, "crops", dataclasses.replace(needy.network.crops, alone=0.0))
    for tracker in (solar, "rectangle", needy):
        follow(1, tracker=tracker)
    assert asked == [solar.network.model, None, None]


def test_everything_in_the_first_image_is_followed_with_the_ids_of_detect(finds):
    finds(lambda i: boxes_of(SOUTH, WEST, days=0.25 * i))
    table = follow(5)
    assert list(table.columns) == ["id", *tracking.COLUMNS]
    for number, rectangle in enumerate((SOUTH, WEST)):
        assert states(table, number) == ["start", *["tracked"] * 4]
        boxes = table.loc[table["id"] == number, XYXY].to_numpy()
        true = np.concatenate([boxes_of(rectangle, days=0.25 * i) for i in range(5)])
        assert iou(boxes, true).min() > 0.95
    assert table.attrs["settings"]["kind"] == "active_region"


def test_what_appears_later_begins_where_it_was_found_first_if_it_is_found_twice(finds):
    def boxes(i):
        return boxes_of(SOUTH, *[WEST] * (i >= 2), *[EAST] * (i == 2), days=0.25 * i)

    finds(boxes)
    table = follow(6)
    assert frames(table, 1) == [2, 3, 4, 5] and states(table, 1)[0] == "start"
    # What is found once is nothing.
    assert set(table["id"]) == {0, 1}
    assert table["days"].tolist()[6:] == [0.0, 0.25, 0.5, 0.75]


def test_a_region_with_a_good_score_or_at_the_eastern_limb_begins_at_once(finds):
    limb = (-88.0, -10.0, -72.0, 5.0)
    found = {"score": lambda i: boxes_of(SOUTH, *[WEST] * (i == 3), days=0.25 * i),
             "limb": lambda i: np.vstack([boxes_of(SOUTH, days=0.25 * i), *[boxes_of(limb)] * (i == 3)])}  # fmt: skip
    finds(found["score"], score=lambda i: [0.5, *[0.8] * (i == 3)])
    assert frames(follow(4), 1) == [3]
    finds(found["limb"])
    assert frames(follow(4), 1) == [3]


def test_a_single_image_gives_what_is_found_in_it(finds):
    finds(lambda i: boxes_of(SOUTH, WEST))
    assert follow(1)["state"].tolist() == ["start", "start"]


def test_images_are_searched_no_more_often_than_asked_and_in_the_thread_that_reads(finds):
    searched = finds(lambda i: boxes_of(WEST, days=i / 24.0))
    follow(13, cadence="1h", every="6h")
    assert sorted(number for number, _ in searched) == [0, 6, 12]
    assert all("solartrack-read" in name for number, name in searched if number)
    searched.clear()
    # 5.8 h is meant to be 6 h.
    follow(4, cadence="5.8h", every="6h")
    assert sorted(number for number, _ in searched) == [0, 1, 2, 3]
    searched.clear()
    follow(3, cadence=None, times=["2014-02-01", "2014-02-01", "2014-02-02"])
    assert sorted(number for number, _ in searched) == [0, 2]


# --- ending ------------------------------------------------------------------------------------


def test_a_region_that_decays_ends_and_says_so(finds):
    finds(lambda i: boxes_of(SOUTH, *[WEST] * (i < 3), days=0.25 * i))
    table = follow(9)
    assert states(table, 0) == ["start", *["tracked"] * 8]
    # What was tracked while nothing was found is left out.
    assert states(table, 1) == ["start", "tracked", "tracked", "lost"]
    last = table[table["id"] == 1].iloc[-1]
    assert last["message"] == "not found in 3 searches in a row, this being the first"
    assert last["frame"] == 3 and last[[*XYXY, "lon"]].isna().all() and last["score"] == 0


def test_at_the_end_of_the_images_a_region_that_was_missed_keeps_its_rows(finds):
    finds(lambda i: boxes_of(SOUTH, *[WEST] * (i < 3), days=0.25 * i))
    assert states(follow(5), 1) == ["start", *["tracked"] * 4]


def test_two_searches_without_it_do_not_end_a_region(finds):
    finds(lambda i: boxes_of(SOUTH, *[WEST] * (i % 3 == 0), days=0.25 * i))
    assert states(follow(9), 1) == ["start", *["tracked"] * 8]


def test_a_region_ends_behind_the_limb_and_has_a_new_id_when_it_comes_back(finds):
    near = (60.0, 5.0, 74.0, 15.0)

    def boxes(i):
        seen = boxes_of(near, days=i)
        return seen[np.isfinite(seen).all(axis=1) & (seen[:, 2] - seen[:, 0] > 3)]

    finds(boxes)
    table = follow(22, cadence="24h", every="24h")
    assert states(table, 0)[-1] == "off_disk" and len(frames(table, 0)) < 6
    assert frames(table, 1)[0] > 12 and states(table, 1)[0] == "start"


def test_a_region_at_the_western_limb_is_not_given_up_before_it_is_behind_it(finds):
    near = (58.0, 5.0, 70.0, 15.0)
    finds(lambda i: boxes_of(near, days=0.25 * i)[: int(i < 4)])
    assert states(follow(20), 0)[-1] == "off_disk"


# --- identities --------------------------------------------------------------------------------


def test_a_hole_that_splits_keeps_its_id_in_the_larger_part_and_the_other_says_where_it_is_from(finds):
    whole, large, small = (-12.0, 9.0, 20.0, 22.0), (-12.0, 9.0, 8.0, 22.0), (10.0, 9.0, 20.0, 21.0)
    finds(lambda i: boxes_of(*((whole,) if i < 3 else (large, small)), days=0.25 * i))
    table = follow(8)
    assert set(table["id"]) == {0, 1} and frames(table, 0) == list(range(8))
    assert frames(table, 1) == [3, 4, 5, 6, 7]
    part = table[table["id"] == 1].iloc[0]
    assert part["state"] == "start" and part["message"] == "out of 0"
    assert iou(table.loc[table["id"] == 1, XYXY].to_numpy()[-1:], boxes_of(small, days=1.75))[0] > 0.9


def test_regions_that_become_one_end_as_merged_into_the_older_one(finds):
    union = (EAST[0] - 1.0, WEST[1] - 1.0, WEST[2] + 1.0, WEST[3] + 1.0)
    finds(lambda i: boxes_of(*((WEST, EAST) if i < 3 else (union,)), SOUTH, days=0.25 * i))
    table = follow(10)
    assert set(table["id"]) == {0, 1, 2}
    ended = table[table["state"] == "merged"]
    assert len(ended) == 1 and ended["message"].iloc[0] in ("into 0", "into 1")
    assert ended["frame"].iloc[0] < 8


def test_regions_that_exchange_places_keep_their_ids(finds):
    # Nearer to the equator it is faster, and passes the slow one within days.
    slow, fast = (-34.0, 22.0, -22.0, 34.0), (-46.0, 10.0, -34.0, 21.0)
    finds(lambda i: boxes_of(*((slow, fast) if i % 2 else (fast, slow)), days=0.5 * i))
    table = follow(14, cadence="12h", every="12h")
    assert set(table["id"]) == {0, 1}
    for number, rectangle in enumerate((fast, slow)):
        true = np.concatenate([boxes_of(rectangle, days=0.5 * i) for i in range(14)])
        assert iou(table.loc[table["id"] == number, XYXY].to_numpy(), true).min() > 0.9


def test_a_track_whose_box_is_far_from_what_is_found_begins_anew_and_keeps_its_id(finds):
    grown = (-2.0, 2.0, 26.0, 28.0)
    finds(lambda i: boxes_of(WEST if i < 2 else grown, days=0.25 * i))
    table = follow(4)
    assert states(table, 0) == ["start", *["tracked"] * 3]
    assert table["message"].tolist() == ["", "", "begun anew with what was found", ""]
    assert iou(table[XYXY].to_numpy()[-1:], boxes_of(grown, days=0.75))[0] > 0.95


def test_what_is_found_around_a_track_or_inside_it_keeps_it_alive():
    tracks = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [90.0, 0.0, 99.0, 9.0]])
    found = np.array([[0.0, 0.0, 60.0, 40.0], [21.0, 1.0, 24.0, 4.0], [50.0, 50.0, 60.0, 60.0]])
    pairs = census.match(tracks, found)
    assert pairs.found == [-1, -1, -1] and pairs.seen == [True, True, False]
    assert pairs.part_of == {0: -1, 1: 1, 2: -1}
    assert census.match(np.zeros((0, 4)), found).part_of == {0: -1, 1: -1, 2: -1}
    assert census.match(tracks, np.zeros((0, 4))).seen == [False] * 3


def test_of_two_pairings_the_one_with_the_larger_sum_is_taken():
    tracks = np.array([[0.0, 0.0, 10.0, 10.0], [6.0, 0.0, 16.0, 10.0]])
    found = np.array([[4.0, 0.0, 14.0, 10.0], [11.0, 0.0, 21.0, 10.0]])
    assert census.match(tracks, found).found == [0, 1]


# --- what can be wrong -------------------------------------------------------------------------


def test_an_image_that_cannot_be_searched_ends_nothing_and_is_told(finds):
    def boxes(i):
        if i in (2, 3, 4):
            raise ImageError("more than half of the disk is black")
        return boxes_of(WEST, days=0.25 * i)

    finds(boxes)
    with pytest.warns(TrackWarning, match="3 images could not be searched, the first: frame 2: more than"):
        table = follow(7)
    assert states(table, 0) == ["start", *["tracked"] * 6]
    told = table["message"].str.contains("no regions were looked for: more than half of the disk is black")
    assert table.loc[told, "frame"].tolist() == [2, 3, 4]


def test_without_any_image_that_can_be_searched_there_is_an_error(finds):
    def boxes(i):
        raise ImageError("the disk has no contrast")

    finds(boxes)
    with pytest.raises(TrackError, match="no image could be searched; frame 0: the disk has no contrast"):
        follow(3)
    with pytest.raises(TrackError, match=r"cannot start at frame 0: .*where the Sun is"):
        follow(3, geometry=None)


def test_a_broken_first_image_costs_only_itself(finds):
    finds(lambda i: boxes_of(WEST, days=0.25 * i))
    images = blank(4)
    images[0] = np.zeros((2, 3, 4))
    with pytest.warns(TrackWarning, match="1 images could not be searched, the first: frame 0"):
        table = tracking.track_all(images, tracker="rectangle", cadence="6h", geometry=DISK)
    assert frames(table, 0) == [1, 2, 3]


def test_with_one_disk_for_all_an_image_of_another_size_is_not_searched(finds):
    searched = finds(lambda i: boxes_of(WEST, days=0.25 * i))
    images = blank(4)
    images[2] = np.full((SIZE, 2 * SIZE), 2, np.uint8)
    with pytest.warns(
        TrackWarning, match="1 images could not be searched, the first: frame 2: .* another size"
    ):
        table = tracking.track_all(images, tracker="rectangle", cadence="6h", geometry=DISK)
    assert sorted(number for number, _ in searched) == [0, 1, 3]
    assert states(table, 0) == ["start", "tracked", "wrong_size", "tracked"]


def test_what_the_tracker_refuses_is_told_and_costs_no_other(finds):
    pole = [[30.0, 28.0, 226.0, 120.0]]
    finds(lambda i: np.vstack([pole, boxes_of(SOUTH, days=0.25 * i)]))
    with pytest.warns(TrackWarning, match="3 times .* frame 0: .*covers too much of the Sun"):
        table = follow(3)
    assert set(table["id"]) == {0} and len(table) == 3


def test_a_quiet_sun_gives_a_table_without_rows(finds):
    finds(lambda i: np.zeros((0, 4)))
    table = follow(3)
    assert len(table) == 0 and list(table.columns) == ["id", *tracking.COLUMNS]


def test_wrong_arguments_are_refused_before_an_image_is_read(finds):
    searched = finds(lambda i: boxes_of(WEST))
    with pytest.raises(ValueError, match="kind must be one of 'active_region', 'coronal_hole'"):
        tracking.iter_track_all(blank(2), "filament", cadence="6h", geometry=DISK)
    with pytest.raises(ValueError, match="every must be a length of time"):
        tracking.iter_track_all(blank(2), every="often", cadence="6h", geometry=DISK)
    assert not searched


def test_a_hundred_start_boxes_of_which_half_are_the_same_give_fifty_tracks(finds):
    rectangles = [(lon, lat, lon + 6.0, lat + 6.0) for lon in range(-40, 40, 8) for lat in range(-20, 20, 8)]
    boxes = np.repeat(boxes_of(*rectangles), 2, axis=0)
    table = tracking.track_many(blank(5), boxes, tracker="rectangle", cadence="6h", geometry=DISK)
    last = table[table["frame"] == 4].set_index("id")
    assert last["state"].tolist() == ["tracked", "merged"] * 50
    assert last["message"][1::2].tolist() == [f"into {number}" for number in range(0, 100, 2)]


# --- with the real search, on images -----------------------------------------------------------


@pytest.fixture(scope="module")
def suns():
    """Four images of 193 angstrom, 6 h apart, with a region and a hole; and their truth."""
    pytest.importorskip("skimage")
    l0 = earth(SunModel(0, n_regions=0, n_holes=0).start).l0_deg
    region = Region(7, 1, -15.0, l0 - 20.0, 0.0, -5.0, 2.0, 20.0, 30.0, 6.0, 6.0, 1, 1.5)
    hole = Hole(3, 3, 10.0, l0 + 20.0, 0.0, -5.0, 4.0, 10.0, 40.0, 9.0)
    model = SunModel(0, days=2.0, regions=(region,), ephemeral=(), holes=(hole,))
    return list(sequence(model, 4, "6h", size=SIZE, channel="193", output="intensity"))


def images_of(suns, change=None):
    out = []
    for number, frame in enumerate(suns):
        array, header = frame.array.copy(), frame.header.copy()
        if change is not None and number == 2:
            array, header = change(array, header)
        out.append(SolarImage(array, header, Time(frame.time)))
    return out


def flare(array, header):
    array[90:110, 100:140] = 60_000.0
    return array, header


def eclipse(array, header):
    array[:, :90] = 0.0
    return array, header


def off_pointing(array, header):
    return np.roll(array, 30, axis=1), fits.Header({**header, "CRPIX1": header["CRPIX1"] + 30.0})


def half_outside(array, header):
    return np.roll(array, 160, axis=1), fits.Header({**header, "CRPIX1": header["CRPIX1"] + 160.0})


def other_channel(array, header):
    return array, fits.Header({**header, "WAVELNTH": 304})


@pytest.mark.parametrize("kind", ["active_region", "coronal_hole"])
@pytest.mark.parametrize("change", [None, flare, eclipse, off_pointing, half_outside, other_channel])
def test_a_region_and_a_hole_keep_their_ids_whatever_one_image_shows(suns, kind, change):
    told = change in (half_outside, other_channel)
    with pytest.warns(TrackWarning) if told else _nothing():
        table = tracking.track_all(images_of(suns, change), kind, tracker="rectangle")
    true = {"active_region": suns[3].boxes[:1], "coronal_hole": suns[3].holes.boxes[:1]}[kind]
    assert frames(table, 0) == [0, 1, 2, 3]
    assert iou(table.loc[table["id"] == 0, XYXY].to_numpy()[-1:], true)[0] > 0.45
    message = table.loc[table["frame"] == 2, "message"].iloc[0]
    assert ("no regions were looked for" in message or "outside the image" in message) == told
    assert "lost" not in set(table["state"])


def test_holes_are_followed_by_segmentation_and_regions_by_the_default_tracker_unless_asked(suns):
    holes = tracking.track_all(images_of(suns), "coronal_hole")
    assert set(holes["tracker"]) == {"segmentation"} and holes.attrs["settings"]["kind"] == "coronal_hole"
    asked = tracking.track_all(images_of(suns), "coronal_hole", tracker="rectangle")
    assert set(asked["tracker"]) == {"rectangle"}
    pytest.importorskip("onnxruntime")
    assert set(tracking.track_all(images_of(suns))["tracker"]) == {"solar"}


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None
