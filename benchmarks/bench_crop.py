"""Context crops against the canvas, cv2.resize and NumPy, on one thread; batches on one and two."""

import os

import cv2
import numpy as np
import pytest

from solartrack.crop import context_crop

BOX = (1500.3, 2000.2, 2100.3, 2200.2)  # 600 x 200, so the canvas has 1201 x 401 pixels
MEAN = np.array([104.0, 117.0, 123.0], np.float32)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (4096, 4096), dtype=np.uint8)


@pytest.fixture(scope="module")
def batch():
    shift = np.random.default_rng(1).uniform(-1400, 1400, (32, 2))
    return np.array(BOX) + np.tile(shift, 2)


def canvas_crop(image, box):
    """The pipeline that the kernel replaces, as one would write it for speed."""
    ny, nx = image.shape
    x0, y0, x1, y1 = box
    w, h = max(1.0, 2 * (x1 - x0)), max(1.0, 2 * (y1 - y0))
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = int(max(0.0, cx - w / 2)), int(max(0.0, cy - h / 2))
    width = int(np.ceil(max(1.0, min(w / 2, cx) + min(w / 2, nx - cx))))
    height = int(np.ceil(max(1.0, min(h / 2, cy) + min(h / 2, ny - cy))))
    space_x, space_y = int(max(0.0, w / 2 - cx)), int(max(0.0, h / 2 - cy))
    canvas = np.zeros((int(np.ceil(h)), int(np.ceil(w))), image.dtype)
    canvas[space_y : space_y + height, space_x : space_x + width] = image[
        top : top + height, left : left + width
    ]
    small = cv2.resize(canvas, (227, 227), interpolation=cv2.INTER_LINEAR)
    crop = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR).astype(np.float32)
    crop -= MEAN
    return crop


@pytest.fixture
def one_opencv_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.mark.peer
@pytest.mark.benchmark(group="crop-600x200-of-4096x4096-to-227")
def test_canvas_and_opencv(benchmark, image, one_opencv_thread):
    crop = benchmark(canvas_crop, image, BOX)
    # OpenCV rounds to whole counts, the kernel does not.
    assert np.abs(crop - context_crop(image, BOX, threads=1)[0]).max() <= 1.0


@pytest.mark.benchmark(group="crop-600x200-of-4096x4096-to-227")
def test_context_crop(benchmark, image, one_opencv_thread):
    assert np.abs(context_crop(image, BOX)[0] - canvas_crop(image, BOX)).max() <= 1.0
    benchmark(context_crop, image, BOX, threads=1)


@pytest.mark.benchmark(group="crop-600x200-of-4096x4096-to-227")
def test_context_crop_into_a_buffer(benchmark, image):
    out = np.empty((1, 227, 227, 3), np.float32)
    benchmark(context_crop, image, BOX, threads=1, out=out)
    np.testing.assert_array_equal(out, context_crop(image, BOX))


@pytest.mark.peer
@pytest.mark.benchmark(group="crop-batch-of-32")
def test_canvas_and_opencv_batch(benchmark, image, batch, one_opencv_thread):
    out = np.empty((32, 227, 227, 3), np.float32)

    def work():
        for row, box in zip(out, batch, strict=True):
            row[...] = canvas_crop(image, box)

    benchmark(work)
    assert np.abs(out - context_crop(image, batch)).max() <= 1.0


@pytest.mark.benchmark(group="crop-batch-of-32")
@pytest.mark.parametrize("threads", [1, 2])
def test_batch(benchmark, image, batch, threads):
    if threads > len(os.sched_getaffinity(0)):
        pytest.skip("needs two cores")
    out = np.empty((32, 227, 227, 3), np.float32)
    benchmark(context_crop, image, batch, threads=threads, out=out)
    expected = np.stack([canvas_crop(image, box) for box in batch])
    assert np.abs(out - expected).max() <= 1.0


@pytest.mark.benchmark(group="crop-types-600x200-to-227")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_pixel_types(benchmark, image, dtype):
    typed = image.astype(dtype)
    crop = benchmark(context_crop, typed, BOX, threads=1)
    assert np.abs(crop[0] - canvas_crop(image, BOX)).max() <= 1.0
