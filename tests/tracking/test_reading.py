import threading

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from brightest import Brightest
from solartrack import images, tracking
from solartrack.sequence import read_frame
from solartrack.tracking import Step

BOX = [10, 10, 20, 20]


@pytest.fixture(params=["png", "fits"])
def store(request, tmp_path):
    """A bright square that moves by 2 px from image to image, and a brighter one far away."""
    for i in range(8):
        array = np.full((96, 96), 20, np.uint8)
        array[11:19, 11 + 2 * i : 19 + 2 * i] = 200
        array[70:90, 70:90] = 255
        if request.param == "png":
            Image.fromarray(array).save(tmp_path / f"{i:03}.png")
        else:
            fits.writeto(tmp_path / f"{i:03}.fits", array)
    return tmp_path


@pytest.fixture
def windows(monkeypatch):
    """What was decoded: (file name, window)."""
    seen, read = [], images.read

    def spy(path, *, window=None, reduce=1):
        seen.append((str(path)[-8:], window))
        return read(path, window=window, reduce=reduce)

    monkeypatch.setattr(images, "read", spy)
    return seen


@pytest.mark.parametrize("start", [0, 4])
def test_a_tracker_with_a_window_gives_what_it_gives_on_whole_images(store, start):
    box = np.add(BOX, [2 * start, 0, 2 * start, 0])
    whole = tracking.track(store, box, start=start, tracker=Brightest("everything"), cadence="1h")
    part = tracking.track(store, box, start=start, tracker=Brightest(), cadence="1h")
    assert part.equals(whole)
    np.testing.assert_allclose(part["x0"], 10 + 2 * np.arange(8), atol=0.01)


def test_only_the_window_is_decoded_and_each_image_once(store, windows):
    tracking.track(store, BOX, tracker=Brightest(), cadence="1h")
    assert len(windows) == len({name for name, _ in windows}) == 8
    assert all((x1 - x0) * (y1 - y0) < 40 * 40 for _, (x0, y0, x1, y1) in windows)


def test_a_tracker_without_a_window_is_given_whole_images(store, windows):
    class Plain:
        name, needs_pixels, needs_sun = "plain", True, False
        settings, new_region, initialize = Brightest.settings, Brightest.new_region, Brightest.initialize
        update, follow, looks_at = Brightest.update, Brightest.follow, ""

    tracking.track(store, BOX, tracker=Plain(), cadence="1h")
    assert [w for _, w in windows] == [None] * 8


def test_the_next_image_is_decoded_while_the_tracker_works(store, monkeypatch):
    read, reading = images.read, {f"{i:03}": threading.Event() for i in range(8)}

    def spy(path, **how):
        reading[str(path).rpartition("/")[2][:3]].set()
        return read(path, **how)

    class Slow(Brightest):
        def update(self, image, regions, frame):
            # Would wait in vain if the next image were read only after this one is done.
            assert frame.number == 7 or reading[f"{frame.number + 1:03}"].wait(20)
            return super().update(image, regions, frame)

    monkeypatch.setattr(images, "read", spy)
    table = tracking.track(store, BOX, tracker=Slow(), cadence="1h")
    assert table["state"].tolist() == ["start"] + ["tracked"] * 7


def test_a_tracker_that_changes_its_mind_is_given_what_it_asks_for_then(store):
    class Jumper(Brightest):
        def follow(self, image, box, frame):
            if frame.number == 3:
                box[:] = [72.0, 72.0, 88.0, 88.0]
                return Step(box.copy(), 1.0, "tracked")
            if frame.number > 3:
                low = 72 - image.y0, 72 - image.x0
                assert (image.pixels[low[0] : low[0] + 16, low[1] : low[1] + 16] == 255).all()
            return super().follow(image, box, frame)

    table = tracking.track(store, BOX, tracker=Jumper(), cadence="1h")
    assert table["state"].tolist() == ["start"] + ["tracked"] * 7 and table["x0"].iloc[-1] > 60


def test_a_window_beyond_the_image_is_cut_and_one_outside_it_is_the_whole_image(store, windows):
    class Edge(Brightest):
        def window(self, regions, frame):
            return (-50, -50, 30.5, 25.2) if frame.number < 4 else (200, 200, 300, 300)

        def follow(self, image, box, frame):
            return Step(box, 1.0, "tracked")

    tracking.track(store, BOX, tracker=Edge(), cadence="1h")
    assert windows[0][1] == (0, 0, 31, 26) and windows[-1][1] is None


@pytest.mark.filterwarnings("ignore:File may have been truncated")
def test_a_broken_image_costs_its_row_and_a_tracker_that_fails_to_answer_its_rows(store):
    broken = sorted(store.iterdir())[3]
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    table = tracking.track(store, BOX, tracker=Brightest(), cadence="1h")
    assert table["state"].tolist() == ["start", "tracked", "tracked", "unreadable"] + ["tracked"] * 4

    class Mute(Brightest):
        def window(self, regions, frame):
            if frame.number == 5:
                raise RuntimeError("where was I?")
            return super().window(regions, frame)

    table = tracking.track(store, BOX, tracker=Mute(), cadence="1h")
    assert "failed" in table["state"].tolist() and table["state"].iloc[2] == "tracked"
    assert table["message"].str.contains("where was I").any()


def test_known_images_are_tracked_without_reading_their_headers_again(store, monkeypatch):
    known = [read_frame(path, i) for i, path in enumerate(sorted(store.iterdir()))]
    expected = tracking.track(sorted(store.iterdir()), BOX, tracker=Brightest(), cadence="1h")
    monkeypatch.setattr(images, "read_header", None)
    table = tracking.track(known, BOX, tracker=Brightest(), cadence="1h")
    assert table.equals(expected)


def test_the_reading_thread_ends_with_the_track(store):
    before = threading.active_count()
    rows = tracking.iter_track(store, BOX, tracker=Brightest(), cadence="1h")
    next(rows), next(rows)
    rows.close()
    assert threading.active_count() == before
