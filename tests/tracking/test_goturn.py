import warnings

import numpy as np
import pytest

from solartrack import metrics, tracking
from solartrack.coordinates import ImageGeometry
from solartrack.inference import CropPair
from solartrack.sequence import Frame
from solartrack.tracking.goturn import GoturnTracker
from solartrack.tracking.network import Answers

XYXY = ["x0", "y0", "x1", "y1"]


@pytest.fixture(scope="module")
def middle(sky, pick):
    """True boxes of a region that crosses the middle of the disk."""
    return sky.truth[pick(110.0)]


def shifted(sky, step):
    """The first image again and again, moved by some pixels each time."""
    array = sky.images[0][0]
    return [np.roll(array, step * n, axis=1) for n in range(6)]


def followed_by(sky, box, step):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = tracking.track(shifted(sky, step), box, tracker="goturn")
    assert table["state"].tolist() == ["start"] + ["tracked"] * 5
    assert table["score"].between(0, 1).all()
    true = np.array([np.add(box, [step * n, 0, step * n, 0]) for n in range(6)])
    return metrics.iou(table[XYXY].to_numpy(), true)


def test_it_keeps_a_box_on_what_does_not_move_without_times_or_the_sun(sky, middle):
    assert followed_by(sky, middle[0], 0).min() > 0.6


def test_it_follows_what_moves(sky, middle):
    assert followed_by(sky, middle[0], 2).min() > 0.6


def test_the_network_is_believed_and_shown_what_it_found_last():
    """With a network that finds what is bright, it goes wherever that goes."""

    def pixels_of(image):
        return image.cut((0, 0, *image.shape[::-1]))

    class Seeing:
        crops = CropPair(side=32, channels=1, mean=(0.0,))
        shown = ()

        def settings(self):
            return {}

        def crop(self, image, boxes):
            return self.crops.crop(pixels_of(image), boxes)

        def answer(self, targets, image, priors):
            self.shown += (targets[0],)
            rows, columns = np.nonzero(pixels_of(image))
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            return Answers(np.array([box], float), np.ones((1, 4)), np.array([0.8]))

    arrays = np.zeros((5, 96, 96), np.uint8)
    for n, array in enumerate(arrays):
        array[20 + 9 * n : 30 + 9 * n, 15 + 12 * n : 35 + 12 * n] = 200
    tracker = GoturnTracker()
    tracker.network = Seeing()
    table = tracking.track(arrays, [15, 20, 35, 30], tracker=tracker)
    true = [[15 + 12 * n, 20 + 9 * n, 35 + 12 * n, 30 + 9 * n] for n in range(5)]
    np.testing.assert_array_equal(table[XYXY], true)
    assert table["score"].tolist() == [1.0] + [0.8] * 4
    # Each target is the crop at the box of the image before.
    for n, target in enumerate(tracker.network.shown):
        np.testing.assert_array_equal(target, Seeing.crops.crop(arrays[n], [true[n]])[0])


def test_it_knows_nothing_of_rotation(sky, middle):
    still = [sky.images[0][0]] * 5
    with_sun = [(array, *sky.images[n][1:]) for n, array in enumerate(still)]
    plain = tracking.track(still, middle[0], tracker="goturn")
    told = tracking.track(with_sun, middle[0], tracker="goturn")
    np.testing.assert_array_equal(plain[XYXY], told[XYXY])


def test_a_track_is_the_same_whenever_it_is_made_and_tells_its_model(sky, middle):
    tables = [tracking.track(shifted(sky, 1), middle[0], tracker="goturn") for _ in range(2)]
    assert tables[0].equals(tables[1])
    assert set(tables[0]["tracker"]) == {"goturn"}
    assert len(tables[0].attrs["settings"]["model_sha256"]) == 64


@pytest.mark.parametrize("value", [0.0, 1e5, np.nan], ids=["black", "saturated", "NaN"])
def test_spoilt_frames_give_a_box_or_say_lost_and_fail_nowhere(sky, middle, value):
    arrays = shifted(sky, 1)
    arrays[2] = np.full_like(arrays[2], value)
    table = tracking.track(arrays, middle[0], tracker="goturn")
    assert table["state"].isin(["start", "tracked", "lost"]).all()
    assert np.isfinite(table[XYXY]).all(axis=None)


@pytest.mark.parametrize(
    "box", [[127.0, 127, 129, 129], [-20.0, 100, 20, 130], [240.0, 240, 300, 300], [0.0, 0, 256, 256]]
)
def test_boxes_stay_in_the_image(sky, box):
    table = tracking.track(shifted(sky, 3), box, tracker="goturn")
    later = table[XYXY].to_numpy()[1:]
    assert table["state"].isin(["start", "tracked", "lost"]).all() and np.isfinite(later).all()
    for row, state in zip(later, table["state"][1:], strict=True):
        assert state == "lost" or ((row >= 0).all() and (row <= 256).all())


def test_an_answer_that_is_no_box_leaves_the_last_one():
    tracker = GoturnTracker()
    disk = ImageGeometry.from_disk((64, 64), 50)
    image = np.random.default_rng(0).integers(0, 255, (128, 128)).astype(np.uint8)
    box = np.array([40.0, 40, 70, 60])
    first, second = (
        Frame(i, mjd_tai=float(i), geometry=disk, shape=image.shape, pixels=image) for i in range(2)
    )
    region = tracker.new_region(box, first)
    tracker.initialize(first.read(), [region], first)

    class Broken:
        def __getattr__(self, name):
            return getattr(network, name)

        def answer(self, templates, seen, priors):
            answers = network.answer(templates, seen, priors)
            return answers._replace(boxes=np.array([[90.0, 40, 60, 50]]))

    network, tracker.network = tracker.network, Broken()
    (step,) = tracker.update(second.read(), [region], second)
    assert step.state == "lost" and step.score == 0.0 and "no box" in step.message
    np.testing.assert_array_equal(step.box, box)
