from datetime import timedelta

import numpy as np
import pytest

from solartrack.coordinates import rotation_rate
from solartrack.simulate import Hole, Region, Split, SunModel, render, sequence
from solartrack.simulate._sphere import earth

SIZE = 256

# Images of 256 pixels at 2014-02-05T06:00 before holes were known (then compared byte by byte): mean and
# standard deviation, three pixels, number of boxes and their sum, pixels in regions.
BEFORE = {
    (2, "171"): ((44.643, 40.282), [59.0, 45.0, 68.0], 8, [977.56, 976.51, 1105.05, 1075.06], 840),
    (2, "193"): ((60.249, 53.361), [87.0, 54.0, 90.0], 8, [977.56, 976.51, 1105.05, 1075.06], 840),
    (2, "magnetogram"): ((0.209, 46.958), [2.2, -2.22, 0.59], 8, [977.56, 976.51, 1105.05, 1075.06], 840),
    (7, "171"): ((47.913, 45.620), [69.0, 51.0, 74.0], 13, [1537.72, 1690.86, 1722.71, 1866.4], 1289),
    (7, "193"): ((63.749, 59.180), [91.0, 81.0, 118.0], 13, [1537.72, 1690.86, 1722.71, 1866.4], 1289),
    (940000, "193"): ((59.595, 53.384), [57.0, 85.0, 85.0], 5, [462.43, 722.18, 562.66, 799.91], 1006),
}


def hole(number=1, **changes):
    values = {
        "id": number,
        "seed": number,
        "lat_deg": 10.0,
        "lon_deg": earth(SunModel(0, n_regions=0).start).l0_deg,
        "drift_deg_day": 0.0,
        "birth_days": -5.0,
        "rise_days": 4.0,
        "decay_days": 10.0,
        "life_days": 40.0,
        "radius_deg": 9.0,
    }
    return Hole(**{**values, **changes})


def with_holes(*holes, **changes):
    return SunModel(0, n_regions=0, holes=holes, **changes)


@pytest.mark.parametrize(("seed", "channel"), BEFORE)
def test_images_and_boxes_of_existing_seeds_are_as_they_were(seed, channel):
    frame = render(SunModel(seed, days=10.0), "2014-02-05T06:00:00", size=SIZE, channel=channel)
    moments, three, count, boxes, inside = BEFORE[seed, channel]
    pixels = frame.array.astype(float)
    # Processors round differently, by a count at most.
    np.testing.assert_allclose((np.nanmean(pixels), np.nanstd(pixels)), moments, rtol=1e-3, atol=0.02)
    np.testing.assert_allclose(pixels[64:193:64, 64:193:64].ravel()[[1, 4, 8]], three, atol=1.01)
    assert len(frame.ids) == count and abs(int((frame.mask > 0).sum()) - inside) <= 2
    np.testing.assert_allclose(frame.boxes.sum(axis=0), boxes, atol=0.02)


def test_the_texture_s_holes_are_where_the_image_is_dark():
    frame = render(SunModel(3), "2014-02-03", size=SIZE, channel="193", output="intensity")
    holes = frame.holes
    y, x = np.indices(frame.array.shape) + 0.5 - SIZE / 2
    inner = np.hypot(x, y) < 0.8 * frame.header["R_SUN"]
    inside, outside = inner & (holes.mask > 0), inner & (holes.mask == 0)
    assert inside.sum() > 200
    assert np.median(frame.array[inside]) < 0.45 * np.median(frame.array[outside])


def test_boxes_enclose_the_mask():
    holes = render(SunModel(3, n_holes=12), "2014-02-03", size=SIZE, channel="193").holes
    assert len(holes.ids) >= 3 and (np.diff(holes.ids) > 0).all()
    assert set(np.unique(holes.mask)) - {0} == set(holes.ids.tolist())
    for box, number in zip(holes.boxes, holes.ids, strict=True):
        y, x = np.nonzero(holes.mask == number)
        assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


@pytest.mark.parametrize("n_holes", [None, 12])
def test_an_identity_stays_with_its_hole(n_holes):
    model = SunModel(5, n_regions=0, n_holes=n_holes, splitting=0.0)
    before, after = (
        render(model, model.start + timedelta(days=d), size=SIZE, channel="193") for d in (2.0, 2.1)
    )
    shared = set(before.holes.ids) & set(after.holes.ids)
    assert len(shared) >= 0.7 * len(before.holes.ids)
    for number in shared:
        a, b = before.holes.mask == number, after.holes.mask == number
        if a.sum() > 100:
            assert (a & b).sum() > 0.4 * a.sum()


def test_identities_do_not_depend_on_what_was_asked_before():
    late = render(SunModel(11, n_regions=0), "2014-02-06T05:00", size=64).holes
    from solartrack.simulate import _hole_maps

    _hole_maps._followed.cache_clear()
    for frame in sequence(SunModel(11, n_regions=0), 3, "2d", size=64):
        assert frame.holes is frame.holes
    again = render(SunModel(11, n_regions=0), "2014-02-06T05:00", size=64).holes
    assert (again.mask == late.mask).all()


def test_n_holes_is_the_average_number_alive_and_0_is_none():
    counts = [
        sum(h.lives(d) for h in SunModel(s, n_regions=0, n_holes=10).holes)
        for s in range(12)
        for d in (0.0, 7.0)
    ]
    assert 7 < np.mean(counts) < 13
    none = render(SunModel(1, n_regions=0, n_holes=0), "2014-02-02", size=64).holes
    assert len(none.ids) == 0 and none.boxes.shape == (0, 4) and not none.mask.any()


def test_holes_turn_more_rigidly_than_regions():
    lat = np.array([0.0, 60.0])
    holes, regions = rotation_rate(lat, "coronal holes"), rotation_rate(lat)
    assert holes[0] - holes[1] == pytest.approx(0.3)
    assert regions[0] - regions[1] > 2.0
    assert holes[0] == pytest.approx(13.25)


def test_a_hole_is_carried_at_the_rate_of_its_law():
    drift = 13.25 + 0.9856 - 14.1844
    model = with_holes(
        hole(lat_deg=0.0, drift_deg_day=drift, birth_days=-20.0, life_days=90.0), breathing=0.0
    )
    lon = []
    for day in (0.0, 2.0):
        frame = render(model, model.start + timedelta(days=day), size=512, channel="193")
        y, x = np.nonzero(frame.holes.mask == 1)
        at, _ = frame.view.geometry.pixel_to_heliographic(x + 0.5, y + 0.5)
        lon.append(np.mean((at - frame.view.observer.l0_deg + 180.0) % 360.0 - 180.0))
    # The outline changes, too, and the middle with it.
    assert lon[1] - lon[0] == pytest.approx(2 * 13.25, abs=1.5)


def test_a_hole_grows_and_shrinks_and_is_gone_before_and_after():
    one = hole(birth_days=1.0, rise_days=2.0, decay_days=3.0, life_days=8.0)
    model = with_holes(one)
    area = []
    for day in (0.5, 1.5, 4.0, 8.0, 9.5):
        frame = render(model, model.start + timedelta(days=day), size=SIZE, channel="193")
        mu = 1.0  # near the middle of the disk
        area.append((frame.holes.mask == 1).sum() / mu)
    assert area[0] == area[4] == 0
    assert 0 < area[1] < area[2] and area[3] < area[2]
    assert model.hole_events()["event"].tolist() == ["birth", "death"]


def test_a_part_that_splits_off_belongs_to_the_whole_before():
    l0 = earth(SunModel(0, n_regions=0).start).l0_deg
    a, b = hole(1, lon_deg=l0 - 12.0), hole(2, lon_deg=l0 + 10.0, radius_deg=6.0)
    model = with_holes(a, b, splits=(Split(1.0, 1, 2),))
    before, after = (
        render(model, model.start + timedelta(days=d), size=SIZE, channel="193").holes for d in (0.9, 1.1)
    )
    assert before.ids.tolist() == [1] and after.ids.tolist() == [1, 2]
    width = before.boxes[0, 2] - before.boxes[0, 0]
    assert after.boxes[0, 2] - after.boxes[0, 0] < 0.75 * width
    events = model.hole_events()
    assert events["event"].tolist() == ["split"] and events["out_of"].tolist() == [1]


def test_holes_keep_clear_of_active_regions():
    l0 = earth(SunModel(0, n_regions=0).start).l0_deg
    region = Region(1, 1, 10.0, l0, 0.0, -5.0, 2.0, 20.0, 30.0, 5.0, 6.0, 1, 1.0)
    alone = render(with_holes(hole()), "2014-02-01", size=SIZE, channel="193").holes
    model = SunModel(0, regions=(region,), holes=(hole(),))
    frame = render(model, "2014-02-01", size=SIZE, channel="193")
    assert 0 < (frame.holes.mask > 0).sum() < 0.8 * (alone.mask > 0).sum()
    assert not ((frame.holes.mask > 0) & (frame.mask > 0)).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_holes": -1}, "n_holes"),
        ({"splitting": 2.0}, "splitting"),
        ({"breathing": -1.0}, "breathing"),
        ({"holes": (hole(1), hole(1))}, "distinct"),
        ({"holes": (hole(0),)}, "at least 1"),
        ({"holes": (hole(1),), "splits": (Split(1.0, 1, 2),)}, "names a hole"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SunModel(0, **arguments)


def test_a_segmentation_finds_the_hole_and_the_region_under_their_identities():
    pytest.importorskip("skimage")
    l0 = earth(SunModel(0, n_regions=0).start).l0_deg
    region = Region(7, 1, -15.0, l0 - 20.0, 0.0, -5.0, 2.0, 20.0, 30.0, 6.0, 6.0, 1, 1.5)
    model = SunModel(0, regions=(region,), ephemeral=(), holes=(hole(3, lon_deg=l0 + 20.0),))
    frame = render(model, "2014-02-01", size=512, channel="193")
    holes, regions = frame.segmented("coronal_hole"), frame.segmented()
    assert 3 in holes.ids and 7 in regions.ids
    assert sorted(regions.ids[regions.ids > 0]) == [7]
    with pytest.raises(ValueError, match="scatter"):
        frame.segmented(scatter=-0.1)
    with pytest.raises(ValueError, match="magnetogram"):
        render(model, "2014-02-01", size=64, channel="magnetogram").segmented()


def test_scatter_makes_boxes_breathe_and_is_repeatable():
    pytest.importorskip("skimage")
    model = SunModel(21, n_holes=0)
    areas = []
    for scatter in (0.0, 0.15):
        made = [
            frame.segmented(scatter=scatter)
            for frame in sequence(model, 5, "10min", size=SIZE, channel="193")
        ]
        number = np.bincount(np.concatenate([f.ids[f.ids > 0] for f in made])).argmax()
        boxes = np.array([f.boxes[f.ids == number][0] for f in made if number in f.ids])
        areas.append(np.log(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
    assert np.abs(np.diff(areas[1])).mean() > 1.5 * np.abs(np.diff(areas[0])).mean()
    frame = render(model, "2014-02-01T00:40", size=SIZE, channel="193")
    assert (frame.segmented(scatter=0.15).boxes == frame.segmented(scatter=0.15).boxes).all()
