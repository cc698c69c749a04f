import dataclasses
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.io import fits

from solartrack import images, metrics, tracking
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ModelError, TrackError, TrackWarning
from solartrack.images import display_values
from solartrack.inference import Model, _load_once, find_model
from solartrack.inference import model as model_files
from solartrack.sequence import Frame, ImagePart, read_frame
from solartrack.tracking import network
from solartrack.tracking.filter import DEFAULT, Region
from solartrack.tracking.network import DisplayImage
from solartrack.tracking.solar import SolarTracker

PATIENCE = DEFAULT.max_misses
XYXY = ["x0", "y0", "x1", "y1"]


def ious(table, boxes):
    """IoU of each later row with the region's true boxes."""
    rows = table[table["state"] != "start"]
    return metrics.iou(rows[XYXY].to_numpy(), np.array([boxes[n] for n in rows["frame"]]))


def frame_of(pixels, days=0.0, disk=None, number=0):
    return Frame(number, mjd_tai=days, geometry=disk, shape=pixels.shape, pixels=pixels)


def shown(pixels):
    """An image in memory as a network sees it."""
    return DisplayImage(ImagePart(pixels), frame_of(pixels))


def searched(given, boxes, disk):
    """The windows in which a network looks for regions without a template."""
    return network._shifted(given.crops.squares(boxes, disk.disk_radius), network.SEARCH_WINDOWS)


def with_pixels(image, array):
    return (array, *image[1:])


@pytest.fixture(scope="module")
def middle(sky, pick):
    """A region that crosses the middle of the disk: (id, true boxes)."""
    name = pick(110.0)
    return sky.truth[name]


@pytest.fixture(scope="module")
def followed(sky, middle):
    """The track of that region through good images."""
    return tracking.track(sky.images, middle[0], tracker="solar")


# -- what it is for ----------------------------------------------------------------


def test_solar_is_the_default(sky, middle, followed):
    assert tracking.track(sky.images, middle[0]).equals(followed)
    assert set(followed["tracker"]) == {"solar"}


def test_a_region_is_followed_across_the_disk(middle, followed):
    assert followed["state"].tolist() == ["start"] + ["tracked"] * 6
    assert ious(followed, middle).min() > 0.7
    assert followed["score"].between(0.3, 1.0).all() and (followed["message"] == "").all()


def test_a_region_that_comes_over_the_east_limb_is_uncovered(sky, pick):
    boxes = sky.truth[pick(0.0)]
    start, last = boxes[0], boxes[6]
    assert last[2] - last[0] > 1.4 * (start[2] - start[0])  # a good part of it was hidden
    ours = tracking.track(sky.images, start)
    end = ours.iloc[-1]
    assert ious(ours, boxes).mean() > 0.9
    assert end["x1"] - end["x0"] > 1.3 * (start[2] - start[0])


@pytest.fixture(scope="module")
def sliver(sky):
    """True boxes of a region that begins as a sliver at the limb, in frame 1."""
    found = [b for b in sky.truth.values() if min(b) == 1 and b[1][0] < 40.0]
    return min(found, key=lambda boxes: np.prod(boxes[1][2:] - boxes[1][:2]))


def test_a_region_that_begins_at_the_limb_is_looked_for_without_a_target(sky, sliver, monkeypatch):
    asked, answer = [], network.Network.answer
    told, learn = [], Region.initialize

    def spy(self, templates, image, priors, geometry=None):
        asked.append([template is None for template in templates])
        return answer(self, templates, image, priors, geometry)

    def listen(self, *found, with_template=True):
        told.append(not with_template)
        return learn(self, *found, with_template=with_template)

    monkeypatch.setattr(network.Network, "answer", spy)
    monkeypatch.setattr(Region, "initialize", listen)
    tracking.track(sky.images, sliver[1], start=1, both_ways=False)
    assert len(asked) > 5 and all(map(all, asked))
    assert told == [True]
    asked.clear()
    tracking.track(sky.images, sliver[5], start=5)  # all of it is well on the disk
    # 16 h from image to image: in the start image, and again when a day has passed, in either direction.
    assert [templates[1:] for templates in asked] == [[True], [], [], [True], [], [True]]
    assert not any(templates[0] for templates in asked)


def test_what_the_start_image_shows_without_a_template_tells_whether_a_region_will_stay(
    sky, sliver, middle, monkeypatch
):
    told, foresee = [], Region.foresee

    def listen(self, seen):
        told.append((self, seen))
        foresee(self, seen)

    monkeypatch.setattr(Region, "foresee", listen)
    tracker = SolarTracker()
    array, header, _ = sky.images[1]
    frame = frame_of(array, 0.0, ImageGeometry.from_header(header))
    # One at the limb, one without rotation, and two in view, the second with ten times the area.
    plain = dataclasses.replace(frame, mjd_tai=np.nan)
    size = np.tile(middle[1][2:] - middle[1][:2], 2)
    large = middle[1] + 1.1 * size * [-1, -1, 1, 1]
    regions = [
        tracker.new_region(sliver[1], frame),
        tracker.new_region(middle[1], plain),
        tracker.new_region(middle[1], frame),
        tracker.new_region(large, frame),
    ]
    tracker.initialize(frame.read(), regions, frame)
    assert [region for region, _ in told] == regions[2:]
    where = tracker.network.answer([None], shown(array), middle[1][None], regions[2].geometry)
    np.testing.assert_allclose(told[0][1], where.boxes[0], atol=1e-3)
    assert regions[3]._stays and not any(region._stays for region in regions[:2])


def test_a_told_convention_says_how_readily_a_box_changes(sky, middle):
    boxes = {
        told: tracking.track(sky.images, middle[0], tracker=SolarTracker(convention=told))
        for told in ("rectangle", "auto", "segmentation")
    }
    steady = tracking.track(sky.images, middle[0], tracker="rectangle")[XYXY].to_numpy()
    near = {told: metrics.iou(table[XYXY].to_numpy(), steady).min() for told, table in boxes.items()}
    assert near["rectangle"] > 0.85 > near["segmentation"]
    noise = {told: table.attrs["settings"]["filter"]["process_noise"] for told, table in boxes.items()}
    assert noise == {"rectangle": [0.02, 0.02], "auto": [0.04, 0.15], "segmentation": [0.2, 0.2]}
    assert [table.attrs["settings"]["convention"] for table in boxes.values()] == list(boxes)


def test_a_told_convention_needs_no_look_without_the_template(sky, middle, monkeypatch):
    monkeypatch.setattr(Region, "foresee", lambda self, seen: pytest.fail("looked without the template"))
    tracking.track(sky.images, middle[0], tracker=SolarTracker(convention="rectangle"))
    with pytest.raises(pytest.fail.Exception, match="without the template"):
        tracking.track(sky.images, middle[0], tracker=SolarTracker())


@pytest.mark.parametrize("convention", ["sharp", "", None, ["rectangle"]])
def test_an_unknown_convention_is_refused_with_those_there_are(convention):
    with pytest.raises(ValueError, match="'auto', 'rectangle', 'segmentation', got"):
        SolarTracker(convention=convention)


@pytest.fixture(scope="module")
def limb(sky, sliver):
    """A network, an image with a region near the limb, its box and the disk."""
    array, header, _ = sky.images[3]
    return (
        SolarTracker().network,
        shown(array),
        np.array([sliver[3]]),
        ImageGeometry.from_header(header),
    )


def test_without_a_target_the_answers_for_many_windows_are_averaged_by_their_spreads(limb):
    given, image, box, disk = limb
    (found,), (spread,), (score,) = given.answer([None], image, box, disk)
    windows = searched(given, box, disk)
    assert len(windows) > 1 and (windows[:, 0] < windows[:, 2]).all()
    np.testing.assert_allclose(
        windows.mean(axis=0).reshape(2, 2).mean(axis=0), box.reshape(2, 2).mean(axis=0)
    )
    blank = np.zeros(given.crops.inputs["target"], np.float32)
    boxes, spreads, scores = given.answer([blank] * len(windows), image, windows)
    for side in range(4):
        expected = np.average(boxes[:, side], weights=spreads[:, side] ** -2.0)
        assert found[side] == pytest.approx(expected, abs=1e-3)
    # Their errors have much in common: many windows are not surer than one.
    assert (spread >= spreads.min(axis=0)).all() and (spread <= spreads.max(axis=0)).all()
    assert score == pytest.approx(scores.mean(), abs=1e-5)


def test_regions_with_and_without_a_target_are_answered_together_as_they_are_apart(limb, middle):
    given, image, box, disk = limb
    known = np.array([middle[3]])
    (target,) = given.crop(image, known)
    together = given.answer([target, None, target], image, np.concatenate([known, box, known]), disk)
    seen, alone = given.answer([target], image, known), given.answer([None], image, box, disk)
    for every, one, other in zip(together, seen, alone, strict=True):
        np.testing.assert_allclose(every, np.concatenate([one, other, one]), atol=1e-3)


def test_a_region_at_the_limb_is_found_beside_one_that_is_followed_in_pixels(sky, sliver, middle):
    tracker = SolarTracker()
    (start, _, _), (array, header, _) = sky.images[1:3]
    disk = ImageGeometry.from_header(header)
    first, second = frame_of(start, 0.0, disk), frame_of(array, 16 / 24, disk, 2)
    regions = [
        tracker.new_region(middle[1], dataclasses.replace(first, mjd_tai=np.nan)),
        tracker.new_region(sliver[1], first),
    ]
    tracker.initialize(first.read(), regions, first)
    assert regions[0].without_rotation and not regions[1].has_template
    steps = tracker.update(second.read(), regions, second)
    assert np.isfinite([step.box for step in steps]).all() and steps[1].state == "tracked"


@pytest.mark.parametrize("limb", [True, False], ids=["limb", "middle"])
def test_only_at_the_limb_is_a_region_thinner_than_two_pixels_looked_for(limb):
    """There the network is shown a window that does not depend on the box."""
    disk = ImageGeometry.from_disk((256, 256), 204.8)
    box = np.array([51.3, 240, 52.7, 262] if limb else [256.0, 240, 257.4, 262])
    first, second = (frame_of(np.zeros((512, 512), np.uint8), days, disk) for days in (0.0, 0.001))
    tracker = SolarTracker()
    region = tracker.new_region(box, first)
    assert region.has_template != limb
    tracker.initialize(first.read(), [region], first)
    (step,) = tracker.update(second.read(), [region], second)
    assert step.state == "coasting" and ("too thin" in step.message) != limb


def jp2_frame(geometry, days=0.0, number=0):
    return Frame(number, "a.jp2", mjd_tai=days, geometry=geometry, shape=(4096, 4096))


def test_what_is_decoded_around_a_region_at_the_limb_is_of_the_new_images_size():
    tracker = SolarTracker()
    small, large = (ImageGeometry.from_disk((n / 2, n / 2), 0.4 * n) for n in (512, 4096))
    first = Frame(0, mjd_tai=0.0, geometry=small, shape=(512, 512))
    region = tracker.new_region(np.array([51.5, 240.0, 58.0, 262.0]), first)
    assert not region.has_template
    frame = jp2_frame(large, 0.2, 1)
    part = tracker.window([region], frame)
    assert holds_all_windows(part, tracker.network, region.predicted_box(frame), large)


def holds_all_windows(part, given, box, disk):
    boxes = searched(given, box[None], disk)
    centre, half = 0.5 * (boxes[:, :2] + boxes[:, 2:]), 0.5 * (boxes[:, 2:] - boxes[:, :2])
    low = np.maximum((centre - given.crops.context * half).min(axis=0), 0.0)
    high = (centre + given.crops.context * half).max(axis=0)
    return (part[:2] <= low).all() and (part[2:] >= high).all()


def test_what_is_decoded_of_a_start_image_is_what_a_region_at_the_limb_is_looked_for_in():
    disk = ImageGeometry.from_disk((2048, 2048), 1638.4)
    tracker, sliver = SolarTracker(), np.array([412.0, 1920.0, 464.0, 2096.0])
    with_disk, without = jp2_frame(disk), jp2_frame(None)
    part = tracker.window([tracker.new_region(sliver, with_disk)], with_disk)
    assert holds_all_windows(part, tracker.network, sliver, disk)
    inside = np.add(sliver, [1000.0, 0, 1000, 0])
    for frame, box in ((without, sliver), (jp2_frame(disk, 0.2, 1), inside)):
        region = tracker.new_region(box, with_disk if frame.geometry else without)
        if frame.geometry:
            assert holds_all_windows(tracker.window([region], with_disk), tracker.network, inside, disk)
            # It has been looked at for this day.
            region.foresee(inside)
        near = tracker.network.surroundings(region.predicted_box(frame), frame.shape)
        assert tracker.window([region], frame) == near
    another_day = jp2_frame(disk, 1.0, 1)
    where = region.predicted_box(another_day)
    assert holds_all_windows(tracker.window([region], another_day), tracker.network, where, disk)


def test_a_region_at_the_limb_is_the_same_from_the_parts_that_are_decoded(shared):
    """One over the limb, with sky in its box, and one inside; alone and together."""
    files = sorted((shared / "data/jp2").glob("aia171_seq_*.jp2"))[:3]
    boxes = [[428.0, 1950.0, 470.0, 2100.0], [483.0, 2523.0, 563.0, 2683.0]]
    whole = [images.read(file) for file in files]
    many = tracking.track_many(files, boxes)
    for number, box in enumerate(boxes):
        table, other = tracking.track(files, box), tracking.track(whole, box)
        assert set(table["state"]) <= {"start", "tracked", "coasting"}
        np.testing.assert_allclose(table[XYXY], other[XYXY], atol=1e-6)
        together = many[many["id"] == number]
        np.testing.assert_allclose(together[XYXY], table[XYXY], atol=1e-3)


def test_a_region_thinner_than_two_pixels_teaches_nothing_on_its_start_image(monkeypatch):
    told = []
    monkeypatch.setattr(
        Region, "initialize", lambda self, *found, with_template: told.append(not with_template)
    )
    tracker, rng = SolarTracker(), np.random.default_rng(1)
    frame = frame_of(
        rng.integers(0, 255, (512, 512)).astype(np.uint8), 0.0, ImageGeometry.from_disk((256, 256), 204.8)
    )
    for width in (1.4, 3.0):
        box = np.array([256.0, 240.0, 256.0 + width, 262.0])
        tracker.initialize(frame.read(), [tracker.new_region(box, frame)], frame)
    assert told == [False]


def test_a_box_beyond_the_limb_is_refused_before_anything_is_decoded():
    disk = ImageGeometry.from_disk((2048, 2048), 1638.4)
    with pytest.raises(GeometryError, match="beyond the limb"):
        SolarTracker().new_region(np.array([10.0, 10.0, 60.0, 60.0]), jp2_frame(disk))


def test_a_network_that_needs_a_target_is_always_shown_one(sky, sliver, monkeypatch):
    needy = SolarTracker()
    convention = dataclasses.replace(needy.network.crops, alone=0.0)
    monkeypatch.setattr(needy.network, "crops", convention)
    table = tracking.track(sky.images, sliver[1], start=1, tracker=needy, both_ways=False)
    other = tracking.track(sky.images, sliver[1], start=1, both_ways=False)
    assert set(table["state"]) == {"start", "tracked"}
    assert not table[XYXY].equals(other[XYXY])


def test_it_works_backwards_in_time_too(sky, middle):
    table = tracking.track(sky.images, middle[3], start=3)
    # Back to the region's birth, when it fills little of its rectangle.
    assert table["state"].tolist()[1:] == ["tracked"] * 2 + ["start"] + ["tracked"] * 3
    assert ious(table, middle).min() > 0.6


def test_a_track_is_the_same_whenever_it_is_made(sky, middle, followed):
    tracker = SolarTracker()
    first = tracking.track(sky.images, middle[0], tracker=tracker)
    other = sky.truth[next(iter(sky.truth))]
    tracking.track(sky.images, next(iter(other.values())), start=next(iter(other)), tracker=tracker)
    again = tracking.track(sky.images, middle[0], tracker=tracker)
    assert first.equals(followed) and again.equals(followed)


def test_settings_tell_which_model_it_was(followed):
    told = followed.attrs["settings"]
    model = Model.load(find_model("goturn-lite"), device="cpu")
    assert told["model_sha256"] == model.info.sha256 and len(told["model_sha256"]) == 64
    assert told["model"] == "goturn-lite" and told["device"] and told["precision"] == model.info.precision


@pytest.mark.parametrize("kind", ["solar", "goturn"])
def test_a_model_file_is_the_same_as_its_name(sky, middle, kind):
    named = tracking.track(sky.images[:3], middle[0], tracker=kind)
    for given in (
        find_model("goturn-lite"),
        Model.load(find_model("goturn-lite"), threads=1),
    ):
        made = tracking.make_tracker(kind, model=given, device="auto")
        assert tracking.track(sky.images[:3], middle[0], tracker=made).equals(named)


@pytest.mark.filterwarnings("ignore:.*dropped header cards")
@pytest.mark.parametrize("kind", [SolarTracker, tracking.TRACKERS["goturn"]], ids=["solar", "goturn"])
@pytest.mark.parametrize(
    "box", [[2180.0, 1460, 2590, 1720], [428.0, 1950, 470, 2100]], ids=["middle", "limb"]
)
def test_decoding_windows_of_jp2_gives_the_rows_of_whole_images(shared, monkeypatch, kind, box):
    files = sorted((shared / "data/jp2").glob("aia171_seq_*.jp2"))[:3]
    kind = type(tracking.make_tracker("goturn")) if isinstance(kind, str) else kind
    decoded, read = [], images.read

    def spy(path, *, window=None, reduce=1):
        decoded.append(window)
        return read(path, window=window, reduce=reduce)

    monkeypatch.setattr(images, "read", spy)
    windows = tracking.track(files, box, tracker=kind())
    assert len(decoded) >= 3 and None not in decoded
    monkeypatch.setattr(kind, "window", lambda self, regions, frame: None)
    whole = tracking.track(files, box, tracker=kind())
    assert windows.equals(whole)
    if box[0] > 1000:
        assert windows["state"].tolist() == ["start", "tracked", "tracked"]
    else:
        assert not Region(np.array(box), read_frame(files[0])).has_template  # searched in another window


# -- images that are bad -----------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 1e5, np.nan], ids=["black", "saturated", "NaN"])
def test_a_spoilt_frame_costs_only_its_row(sky, middle, followed, value):
    spoilt = list(sky.images)
    spoilt[3] = with_pixels(spoilt[3], np.full_like(spoilt[3][0], value))
    table = tracking.track(spoilt, middle[0])
    assert table["state"].tolist() == ["start", "tracked", "tracked", "coasting"] + ["tracked"] * 3
    assert table["score"][3] < 0.3 < table["score"][4]
    # Rotation bridges it, and nothing is lost for what follows.
    assert (ious(table, middle) > ious(followed, middle) - 0.1).all() and ious(table, middle).min() > 0.7


@pytest.mark.parametrize("value", [0.0, 1e5, np.nan], ids=["black", "saturated", "NaN"])
def test_after_some_spoilt_frames_it_is_lost_and_then_found_again(sky, middle, value):
    spoilt = [
        with_pixels(image, np.full_like(image[0], value)) if 2 <= n < 2 + PATIENCE else image
        for n, image in enumerate(sky.images)
    ]
    table = tracking.track(spoilt, middle[0])
    coasting = ["coasting"] * (PATIENCE - 1) + ["lost"]
    assert table["state"].tolist() == ["start", "tracked", *coasting, *["tracked"] * (5 - PATIENCE)]
    assert table["message"][2 + PATIENCE] == "found again"
    assert ious(table, middle).min() > 0.6 and np.isfinite(table[XYXY]).all(axis=None)


def test_nan_beyond_the_limb_changes_little(sky, middle, followed):
    masked = []
    for array, header, time in sky.images:
        geometry = ImageGeometry.from_header(header)
        rows, columns = np.indices(array.shape) + 0.5
        off = (
            np.hypot(columns - geometry.disk_center[0], rows - geometry.disk_center[1]) > geometry.disk_radius
        )
        masked.append((np.where(off, np.nan, array), header, time))
    table = tracking.track(masked, middle[0])
    assert (table["state"][1:] == "tracked").all()
    assert metrics.iou(table[XYXY].to_numpy(), followed[XYXY].to_numpy()).min() > 0.85


def test_pixel_types_give_nearly_the_same(sky, middle, followed):
    def change(convert):
        changed = [with_pixels(image, convert(image[0])) for image in sky.images]
        return tracking.track(changed, middle[0])[XYXY].to_numpy()

    tables = {
        "uint8": change(lambda a: np.rint(display_values(a)).astype(np.uint8)),
        "uint16": change(lambda a: np.clip(np.rint(a), 0, 65535).astype(np.uint16)),
        "float32": change(lambda a: a.astype(np.float32)),
        "float64": change(lambda a: a.astype(np.float64)),
        "big-endian": change(lambda a: a.astype(">f4")),
    }
    for name, boxes in tables.items():
        assert metrics.iou(boxes, followed[XYXY].to_numpy()).min() > 0.9, name
    np.testing.assert_allclose(tables["float64"], tables["float32"], atol=0.01)
    np.testing.assert_array_equal(tables["big-endian"], tables["float32"])


def test_a_gap_of_days_is_bridged(sky, middle):
    few = [image for n, image in enumerate(sky.images) if n in (0, 5, 6)]
    table = tracking.track(few, middle[0])
    found = metrics.iou(table[XYXY].to_numpy()[1:], np.array([middle[5], middle[6]]))
    assert table["state"].tolist() == ["start", "tracked", "tracked"] and found.min() > 0.6


# -- images that do not say enough -------------------------------------------------


def test_images_without_times_are_warned_of_once_and_followed(sky, middle):
    times = [None] * 7
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = tracking.track(sky.images, middle[0], times=times)
    (warning,) = caught
    assert warning.category is TrackWarning and "the start image has no time" in str(warning.message)
    assert "give times" in str(warning.message)
    assert table["state"].isin(["start", "tracked", "coasting", "lost"]).all()
    assert np.isfinite(table[XYXY]).all(axis=None)
    assert table["message"].str.contains("followed without the Sun's rotation").sum() == 1


def test_a_later_image_without_a_time_costs_no_row(sky, middle, followed):
    times = [image[2] for image in sky.images]
    times[3] = None
    table = tracking.track(sky.images, middle[0], times=times).set_index("frame")
    assert table.loc[3, "state"] in ("tracked", "coasting") and "no time" in table.loc[3, "message"]
    assert (table.loc[[1, 2, 4, 5, 6], "state"] == "tracked").all()
    found = ious(table.reset_index(), middle)
    assert (found > ious(followed, middle) - 0.1)[3:].all() and found[3:].min() > 0.6


def test_arrays_without_headers_are_followed_as_plain_boxes(sky, middle):
    arrays = [image[0] for image in sky.images]
    with pytest.warns(TrackWarning, match="nothing tells where the Sun is.*give times and the disk"):
        table = tracking.track(arrays, middle[0], cadence="16h")
    assert table["state"].isin(["start", "tracked", "coasting", "lost"]).all()
    assert np.isfinite(table[XYXY]).all(axis=None)


def test_a_later_image_without_a_header_is_taken_to_be_like_the_one_before(sky, middle, followed):
    changed = list(sky.images)
    changed[3] = (changed[3][0], fits.Header(), changed[3][2])
    table = tracking.track(changed, middle[0])
    assert (table["state"][1:] == "tracked").all()
    assert "nothing tells where the Sun is" in table["message"][3]
    np.testing.assert_allclose(table[XYXY], followed[XYXY], atol=0.5)


# -- boxes that are odd ------------------------------------------------------------


def test_a_box_beyond_the_limb_is_an_error(sky):
    with pytest.raises(TrackError, match=r"cannot start at frame 0: the box .* lies beyond the limb"):
        tracking.track(sky.images, [1, 1, 20, 20])


def test_a_box_partly_outside_the_image_is_followed(sky, middle):
    cut, offset = [], int(0.5 * (middle[0][0] + middle[0][2]))
    for array, header, time in sky.images:
        moved = header.copy()
        moved["CRPIX1"] -= offset
        cut.append((array[:, offset:], moved, time))
    table = tracking.track(cut, middle[0] - [offset, 0, offset, 0])
    assert table["state"].isin(["start", "tracked", "coasting"]).all()
    true = {n: box - [offset, 0, offset, 0] for n, box in middle.items()}
    assert ious(table, true).min() > 0.5


@pytest.mark.parametrize(
    "box",
    [[127.0, 127, 129, 129], [130.3, 120.2, 131.0, 121.1], [40.0, 120, 42, 122]],
    ids=["2 px", "less than a pixel", "2 px near the limb"],
)
def test_a_tiny_box_rotates_and_nothing_fails(sky, box):
    table = tracking.track(sky.images, box)
    assert table["state"].isin(["start", "tracked", "coasting", "lost"]).all()
    rotation = tracking.track(sky.images, box, tracker="rotation")
    centres = (t[["x0", "y0"]].to_numpy() + t[["x1", "y1"]].to_numpy() for t in (table, rotation))
    assert np.abs(np.subtract(*centres)).max() < 30.0


@pytest.mark.parametrize("box", [[28.0, 28, 228, 228], [0.0, 0, 256, 256], [-300.0, -300, 500, 500]])
def test_a_box_as_large_as_the_disk_is_refused(sky, box):
    with pytest.raises(TrackError, match=r"cannot start at frame 0.*covers too much of the Sun for a region"):
        tracking.track(sky.images, box)
    rotation = tracking.track(sky.images, box, tracker="rotation")
    assert not rotation["state"].isin(["failed", "unreadable"]).any()


def test_a_box_as_large_as_the_disk_is_refused_by_name_among_others(sky, middle):
    with pytest.raises(TrackError, match=r"region 1: .*covers too much of the Sun"):
        tracking.track_many(sky.images, [middle[0], [28.0, 28, 228, 228]])


@pytest.mark.parametrize("grey", [0, 255], ids=["black", "saturated"])
def test_a_start_image_in_which_nothing_is_recognised_is_said_to_be_one(sky, middle, sliver, grey):
    spoilt = [
        (np.full_like(a, grey), h, t) if i in (0, 1) else (a, h, t) for i, (a, h, t) in enumerate(sky.images)
    ]
    for box, start in ((middle[0], 0), (sliver[1], 1)):
        table = tracking.track(spoilt, box, start=start)
        assert "no region is recognised here (score 0." in table["message"][start]
        many = tracking.track_many(spoilt, [box], start=start)
        assert many["message"][start] == table["message"][start]
    assert tracking.track(sky.images, middle[0])["message"][0] == ""


def test_without_times_is_said_once_both_ways(sky, middle):
    with pytest.warns(TrackWarning) as told:
        tracking.track(sky.images, middle[3], start=3, times=[None] * 7)
    assert len(told) == 1
    own = SolarTracker()
    for _ in range(2):  # of every track, whoever has made the tracker
        with pytest.warns(TrackWarning):
            tracking.track(sky.images[:2], middle[0], times=[None] * 2, tracker=own)


# -- models ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["solar", "goturn"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("damaged", r"damaged\.onnx is not a readable ONNX model.*fetch it again"),
        ("text", r"text\.onnx is not a readable ONNX model.*fetch it again"),
        (
            "foreign",
            r"foreign\.onnx was not written by solartrack.*export it with solartrack\.models\.export",
        ),
        ("convention", r"the convention 'whole-image', this solartrack knows crop-pair"),
        ("sides", r"sides\.onnx is damaged: its convention 'crop-pair' wants"),
    ],
)
def test_a_file_that_is_no_model_of_ours_is_an_error_with_the_cure(wrong_models, kind, name, message):
    with pytest.raises(ModelError, match=message):
        tracking.make_tracker(kind, model=wrong_models[name])


@pytest.mark.parametrize("kind", ["solar", "goturn"])
@pytest.mark.parametrize("name", ["goturn-large", "nowhere/model.onnx", ""])
def test_an_unknown_model_is_an_error_that_names_those_there_are(kind, name):
    with pytest.raises(ModelError, match=f"model must be goturn-lite or an .onnx file, got {name!r}"):
        tracking.make_tracker(kind, model=name)


def test_a_tracker_without_a_network_has_no_model_and_no_device():
    with pytest.raises(TrackError, match="the tracker 'rotation' has no device or model; leave it out"):
        tracking.make_tracker("rotation", model="goturn-lite", device="cpu")
    with pytest.raises(TrackError, match="'solar' has no colour"):
        tracking.make_tracker("solar", colour="red")
    with pytest.raises(TrackError, match="model: give the name of a tracker, not one that is made already"):
        tracking.make_tracker(tracking.RotationTracker(), model="goturn-lite")


def test_all_trackers_of_a_process_share_one_session():
    one, other = SolarTracker(), tracking.make_tracker("goturn")
    copy = pickle.loads(pickle.dumps(one))
    assert one.network.model is other.network.model is copy.network.model
    assert one.network.model.threads == 1
    path = find_model("goturn-lite")
    assert pickle.loads(pickle.dumps(SolarTracker(path))).settings() == one.settings()


@pytest.mark.parametrize("kind", ["solar", "goturn"])
def test_without_onnxruntime_the_error_names_the_extra_and_the_way_without(monkeypatch, kind):
    _load_once.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'solartrack\[cpu\]'.*--tracker rotation"):
        tracking.make_tracker(kind)
    assert tracking.make_tracker("rotation").name == "rotation"


def test_importing_the_trackers_brings_in_no_runtime():
    code = (
        "import sys, solartrack.tracking, solartrack.tracking.solar, solartrack.tracking.goturn;"
        "print(*{m.partition('.')[0] for m in sys.modules} & {'onnxruntime', 'keras', 'tensorflow'})"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert out.stdout.strip() == ""


def test_large_windows_are_averaged_as_the_whole_image_would_be():
    pixels = np.random.default_rng(0).integers(0, 256, (900, 1200), dtype=np.uint8)
    made = network.Network("goturn-lite", "cpu", 1)
    side = made.crops.side
    box = np.array([[300.0, 240.0, 300.0 + 2 * side, 240.0 + 1.5 * side]])
    # Windows of 4 and 3 pixels for each of the crop: blocks of 4 x 3 from the image's corner.
    blocks = pixels.reshape(300, 3, 300, 4).mean(axis=(1, 3), dtype=np.float32)
    there = made.crops.crop(blocks, box / [4.0, 3.0, 4.0, 3.0])
    np.testing.assert_allclose(made.crop(shown(pixels), box), there, atol=1e-3)


def test_a_package_without_its_weights_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "files", lambda package: tmp_path)
    with pytest.raises(ModelError, match=r"lacks .*goturn-lite\.onnx; install it again"):
        SolarTracker()
