"""One step of the solar tracker beside OpenCV's trackers, many regions at once, and files to a track.

OpenCV's CSRT is in opencv-contrib-python-headless only; its row is skipped without. One thread each.
"""

import copy
import dataclasses
from pathlib import Path

import glymur
import numpy as np
import pytest
from PIL import Image

from solartrack import images, simulate, track
from solartrack.coordinates import ImageGeometry
from solartrack.images import jp2
from solartrack.models.goturn.sources import simulated_source
from solartrack.sequence import ImagePart, read_frame
from solartrack.tracking.solar import SolarTracker

BOX = [2180.0, 1460.0, 2590.0, 1720.0]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two simulated images, 4 h apart."""
    folder = tmp_path_factory.mktemp("tracking") / "sun"
    simulate.write(folder, simulate.sequence(5, 2, "4h", size=1024), format="png")
    return folder


@pytest.fixture(scope="module")
def small(store):
    # Without the pixels, so that reading an image decodes it.
    return [(frame, dataclasses.replace(frame.frame, pixels=None)) for frame in simulated_source(store)()]


@pytest.fixture(scope="module")
def large(shared):
    """The same for two real 4096-pixel images, without boxes."""
    files = sorted((shared / "data/jp2").glob("aia171_seq_*.jp2"))[:2]
    return [(images.read_pixels(file), read_frame(file, i)) for i, file in enumerate(files)]


@pytest.fixture(scope="module")
def tracker():
    return SolarTracker(device="cpu")


@pytest.fixture
def one_opencv_thread():
    cv2 = pytest.importorskip("cv2", reason="peers need OpenCV")
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield cv2
    cv2.setNumThreads(before)


def largest(frame):
    sizes = (frame.boxes[:, 2:] - frame.boxes[:, :2]).min(axis=1)
    return frame.boxes[int(np.argmax(sizes))]


@pytest.mark.benchmark(group="tracking-one-step-1024px")
def test_solar(benchmark, small, tracker):
    (before, first), (after, second) = small
    box = largest(before)
    region = tracker.new_region(box, first)
    tracker.initialize(ImagePart(before.pixels), [region], first)
    image = ImagePart(after.pixels)
    (step,) = tracker.update(image, [region], second)
    assert step.state in ("tracked", "coasting") and np.abs(step.box - box).max() < 60
    benchmark(tracker.update, image, [region], second)


@pytest.mark.peer
@pytest.mark.benchmark(group="tracking-one-step-1024px")
@pytest.mark.parametrize("name", ["CSRT", "MIL"])
def test_opencv(benchmark, small, one_opencv_thread, name):
    cv2 = one_opencv_thread
    make = getattr(cv2, f"Tracker{name}_create", None)
    if make is None:
        pytest.skip(f"this OpenCV has no {name}; opencv-contrib-python-headless has it")
    (before, _), (after, _) = small
    x0, y0, x1, y1 = np.rint(largest(before)).astype(int).tolist()
    then, now = (cv2.cvtColor(np.ascontiguousarray(f.pixels), cv2.COLOR_GRAY2BGR) for f in (before, after))
    cv2.setRNGSeed(0)
    tracker = make()
    tracker.init(then, (x0, y0, x1 - x0, y1 - y0))
    good, box = tracker.update(now)
    assert good and abs(box[0] - x0) < 60 and abs(box[1] - y0) < 60
    benchmark.pedantic(tracker.update, (now,), rounds=20)


def regions_of(tracker, pixels, frame, boxes, count):
    """Regions at these boxes, over and over until they are enough."""
    out = []
    for box in np.resize(boxes, (count, 4)):
        region = tracker.new_region(box, frame)
        tracker.initialize(ImagePart(pixels), [region], frame)
        out.append(region)
    return out


def measure_steps(benchmark, tracker, regions, image_of, frame):
    """`image_of` decodes, or not; each round starts from the same regions."""

    def step(regions):
        return tracker.update(image_of(), regions, frame)

    def fresh():
        return ([copy.copy(region) for region in regions],), {}

    steps = step(*fresh()[0])
    assert len(steps) == len(regions) and all(np.isfinite(s.box).all() for s in steps)
    benchmark.pedantic(step, setup=fresh, rounds=20, warmup_rounds=1)


@pytest.mark.parametrize("decoding", [False, True], ids=["decoded", "with-decoding"])
@pytest.mark.parametrize("count", [1, 32])
def test_regions_in_png(benchmark, small, tracker, count, decoding):
    benchmark.group = f"tracking-{count}-regions-png-1024px"
    (before, first), (after, second) = small
    sizes = (before.boxes[:, 2:] - before.boxes[:, :2]).min(axis=1)
    boxes = before.boxes[np.argsort(-sizes)[:8]]
    regions = regions_of(tracker, before.pixels, first, boxes, count)
    np.testing.assert_array_equal(second.read().pixels, after.pixels)
    measure_steps(
        benchmark, tracker, regions, second.read if decoding else (lambda: ImagePart(after.pixels)), second
    )


@pytest.mark.parametrize("decoding", [False, True], ids=["decoded", "with-decoding"])
@pytest.mark.parametrize("count", [1, 32])
def test_regions_in_jp2(benchmark, large, tracker, count, decoding):
    """One region needs a window of the image only, many need all of it."""
    benchmark.group = f"tracking-{count}-regions-jp2-4096px"
    (before, first), (after, second) = large
    boxes = np.array(BOX) + np.arange(8)[:, None] * [-60, -40, -60, -40]
    regions = regions_of(tracker, before, first, boxes, count)
    window = tracker.window(regions[:1], second) if count == 1 else None
    part = second.read(window)
    ny, nx = part.pixels.shape
    np.testing.assert_array_equal(part.pixels, after[part.y0 : part.y0 + ny, part.x0 : part.x0 + nx])
    measure_steps(
        benchmark, tracker, regions, (lambda: second.read(window)) if decoding else (lambda: part), second
    )


def as_pngs(files, folder: Path):
    """What one would do without a library: decode everything, keep it, look at some of it."""
    jp2.openjpeg()  # lends glymur its library
    out = []
    for file in files:
        out.append(folder / f"{file.stem}.png")
        Image.fromarray(glymur.Jp2kr(file)[:]).save(out[-1])
    return out


@pytest.mark.peer(how=["decode to PNG, then track"])
@pytest.mark.benchmark(group="end to end")
@pytest.mark.parametrize("how", ["track the JP2 files", "decode to PNG, then track"])
def test_end_to_end(benchmark, shared, tmp_path, how):
    files = sorted((shared / "data/jp2").glob("aia171_seq_00*.jp2"))
    headers = [images.read_header(file) for file in files]
    places = [ImageGeometry.from_header(header) for header, _ in headers]
    times = [when for _, when in headers]

    def directly():
        return track(files, BOX, tracker="solar")

    def by_png():
        return track(as_pngs(files, tmp_path), BOX, tracker="solar", times=times, geometry=places)

    names = ["x0", "y0", "x1", "y1"]
    if how == "track the JP2 files":
        table = benchmark.pedantic(directly, rounds=3)
    else:
        table = benchmark.pedantic(by_png, rounds=3)
        np.testing.assert_allclose(table[names], directly()[names], atol=0.5)
    assert len(table) == 4 and (table["state"] != "failed").all()
