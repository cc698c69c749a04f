"""Reading a 4096 x 4096 Helioviewer JP2: whole, a 512 x 512 window, at low resolution, its header.

Compare the groups' rows: a window should take at most a quarter of the whole, the header 3 %.
"""

from pathlib import Path

import glymur
import imagecodecs
import numpy as np
import pytest
from PIL import Image

from solartrack import images
from solartrack.images import jp2

WINDOW = (1800, 1700, 2312, 2212)


@pytest.fixture(scope="module")
def path(shared) -> Path:
    return Path(shared) / "data/jp2/2015_12_21__00_10_34_34__SDO_AIA_AIA_171.jp2"


@pytest.fixture(scope="module")
def pixels(path):
    return np.asarray(Image.open(path))


WHOLE = {
    "solartrack": lambda path: images.read(path).array,
    "pillow": lambda path: np.asarray(Image.open(path)),
    "glymur": lambda path: glymur.Jp2kr(path)[:],
    "imagecodecs": lambda path: imagecodecs.jpeg2k_decode(path.read_bytes()),
}


@pytest.mark.benchmark(group="jp2-whole")
@pytest.mark.parametrize("reader", WHOLE)
def test_whole(benchmark, path, pixels, reader):
    jp2.openjpeg()  # lends glymur its library
    np.testing.assert_array_equal(WHOLE[reader](path), pixels)
    benchmark.pedantic(WHOLE[reader], (path,), rounds=5)


@pytest.mark.benchmark(group="jp2-parts")
def test_parts_whole(benchmark, path, pixels):
    np.testing.assert_array_equal(images.read(path).array, pixels)
    benchmark.pedantic(images.read, (path,), rounds=5)


@pytest.mark.benchmark(group="jp2-parts")
def test_parts_window(benchmark, path, pixels):
    x0, y0, x1, y1 = WINDOW
    np.testing.assert_array_equal(images.read(path, window=WINDOW).array, pixels[y0:y1, x0:x1])
    benchmark.pedantic(images.read, (path,), {"window": WINDOW}, rounds=20)


@pytest.mark.benchmark(group="jp2-parts")
def test_parts_header(benchmark, path):
    header, when = images.read_header(path)
    assert header["NAXIS1"] == 4096
    assert when.isot == "2015-12-21T00:10:35.340"
    benchmark.pedantic(images.read_header, (path,), rounds=50)


LOW_RESOLUTION = {
    "solartrack": lambda path: images.read(path, reduce=4).array,
    "glymur": lambda path: glymur.Jp2kr(path)[::4, ::4],
    "pillow": lambda path: pillow_reduced(path),
}


def pillow_reduced(path):
    with Image.open(path) as image:
        image.reduce = 2
        return np.asarray(image)


@pytest.mark.benchmark(group="jp2-reduce-4")
@pytest.mark.parametrize("reader", LOW_RESOLUTION)
def test_low_resolution(benchmark, path, reader):
    jp2.openjpeg()
    np.testing.assert_array_equal(LOW_RESOLUTION[reader](path), pillow_reduced(path))
    benchmark.pedantic(LOW_RESOLUTION[reader], (path,), rounds=10)
