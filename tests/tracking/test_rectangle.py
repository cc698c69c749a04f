import numpy as np
import pytest

from solartrack import metrics, tracking
from solartrack.coordinates import ImageGeometry, rectangles_to_boxes, rotate_rectangles
from solartrack.errors import TrackError

XYXY = ["x0", "y0", "x1", "y1"]
DISK = ImageGeometry.from_disk((256, 256), 200, b0_deg=-5.0)
IMAGES = np.zeros((9, 512, 512), np.uint8)


def box_of(rectangle, days=0.0):
    return rectangles_to_boxes(rotate_rectangles([rectangle], days), DISK)[0][0]


def track(rectangle, **how):
    return tracking.track(
        IMAGES, box_of(rectangle), tracker="rectangle", geometry=DISK, **{"cadence": "12h", **how}
    )


@pytest.mark.parametrize("rectangle", [(-40.0, 5, -25, 14), (-10.0, -30, 8, -22), (20.0, 0, 28, 6)])
def test_it_goes_where_a_rectangle_in_latitude_and_longitude_goes(rectangle):
    table = track(rectangle)
    true = np.array([box_of(rectangle, 0.5 * i) for i in range(9)])
    assert table["state"].tolist() == ["start", *["tracked"] * 8]
    np.testing.assert_allclose(table[XYXY], true, atol=0.3)


def test_pixels_are_not_looked_at_and_a_broken_image_is_no_loss(tmp_path, monkeypatch):
    made = tracking.make_tracker("rectangle")
    assert not made.needs_pixels and made.needs_sun
    np.testing.assert_array_equal(
        track((-10.0, 0, 8, 9))[XYXY],
        tracking.track(
            np.full((9, 512, 512), np.nan),
            box_of((-10.0, 0, 8, 9)),
            tracker=made,
            geometry=DISK,
            cadence="12h",
        )[XYXY],
    )


def test_from_the_limb_it_uncovers_what_rotation_does_not():
    """By the usual shape of regions: the eastern side, hidden at the start, comes into view."""
    rectangle = (-100.0, 8.0, -76.0, 20.0)
    true = np.array([box_of(rectangle, 0.5 * i) for i in range(9)])
    ours, rotated = (
        track(rectangle),
        tracking.track(IMAGES, true[0], tracker="rotation", geometry=DISK, cadence="12h"),
    )
    ious = [metrics.iou(t[XYXY].to_numpy()[1:], true[1:]) for t in (ours, rotated)]
    assert ious[0].mean() > ious[1].mean() + 0.1


def test_behind_the_limb_there_is_no_box_and_the_score_is_the_visible_share():
    table = track((40.0, -5, 60, 5), cadence="18h")
    assert table["state"].iloc[-1] == "off_disk" and np.isnan(table[XYXY].to_numpy()[-1]).all()
    scores = table["score"].to_numpy()[1:]
    assert scores[0] == 1.0 and scores[-1] == 0.0 and (np.diff(scores) <= 1e-12).all()


def test_a_track_there_and_back_ends_where_it_began():
    middle = track((-20.0, 3, 0, 12), start=4)
    forward = track((-20.0, 3, 0, 12))
    moved = box_of((-20.0, 3, 0, 12), -2.0)
    np.testing.assert_allclose(middle[XYXY].to_numpy()[0], moved, atol=0.3)
    np.testing.assert_allclose(middle[XYXY].to_numpy()[8], forward[XYXY].to_numpy()[4], atol=1e-9)


def test_without_a_time_or_a_disk_it_cannot_start():
    with pytest.raises(TrackError, match="give the disk"):
        tracking.track(IMAGES, [200, 200, 250, 240], tracker="rectangle", cadence="1h")
    with pytest.raises(TrackError, match="give times"):
        tracking.track(IMAGES, [200, 200, 250, 240], tracker="rectangle", geometry=DISK)
    with pytest.raises(TrackError, match="covers too much of the Sun"):
        tracking.track(IMAGES, [60, 60, 450, 450], tracker="rectangle", geometry=DISK, cadence="1h")


def test_regions_that_come_to_hold_the_same_merge():
    slow, fast = (-34.0, 2.0, -22.0, 14.0), (-34.5, 1.5, -22.0, 14.0)
    table = tracking.track_many(
        IMAGES, [box_of(slow), box_of(fast)], tracker="rectangle", geometry=DISK, cadence="6h"
    )
    assert "merged" in set(table["state"])
    apart = tracking.track_many(
        IMAGES, [box_of(slow), box_of((10.0, 2, 20, 12))], tracker="rectangle", geometry=DISK, cadence="6h"
    )
    assert "merged" not in set(apart["state"])
