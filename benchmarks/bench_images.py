"""Reading a 4096 x 4096 Helioviewer JP2: whole, a 512 x 512 window, at low resolution, its header.

Compare the groups' rows: a window should take at most a quarter of the whole, the header 3 %. Then HMI's and
AIA's Rice-compressed FITS, without and with all of the header.
"""

from pathlib import Path

import glymur
import imagecodecs
import numpy as np
import pytest
from astropy.io import fits
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


@pytest.mark.peer(reader=["pillow", "glymur", "imagecodecs"])
@pytest.mark.benchmark(group="jp2-whole")
@pytest.mark.parametrize("reader", WHOLE)
def test_whole(benchmark, path, pixels, reader):
    jp2.openjpeg()  # lends glymur its library
    np.testing.assert_array_equal(WHOLE[reader](path), pixels)
    benchmark.pedantic(WHOLE[reader], (path,), rounds=5)


@pytest.mark.peer
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


@pytest.mark.peer(reader=["pillow", "glymur"])
@pytest.mark.benchmark(group="jp2-reduce-4")
@pytest.mark.parametrize("reader", LOW_RESOLUTION)
def test_low_resolution(benchmark, path, reader):
    jp2.openjpeg()
    np.testing.assert_array_equal(LOW_RESOLUTION[reader](path), pillow_reduced(path))
    benchmark.pedantic(LOW_RESOLUTION[reader], (path,), rounds=10)


RICE = {
    "hmi": "data/hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits",  # 744 x 377
    "aia": "data/aia/AIA20140101_0000_0171.fits",  # 1024 x 1024
}
RICE_READERS = {
    "solartrack pixels": images.read_pixels,
    "solartrack": lambda path: images.read(path).array,
    "astropy": lambda path: rice_by_astropy(path),
}


def rice_by_astropy(path):
    with fits.open(path, memmap=False) as hdus:
        return hdus[1].data


@pytest.mark.peer(reader=["astropy"])
@pytest.mark.filterwarnings("ignore::solartrack.errors.ImageWarning")
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.parametrize("name", RICE)
@pytest.mark.parametrize("reader", RICE_READERS)
def test_rice(benchmark, shared, name, reader):
    benchmark.group = f"rice-{name}"
    path = Path(shared) / RICE[name]
    np.testing.assert_array_equal(RICE_READERS[reader](path), rice_by_astropy(path))
    benchmark.pedantic(RICE_READERS[reader], (path,), rounds=20)


@pytest.mark.peer(reader=["astropy section"])
@pytest.mark.filterwarnings("ignore::solartrack.errors.ImageWarning")
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.parametrize("reader", ["solartrack", "astropy section"])
def test_rice_window(benchmark, shared, reader):
    benchmark.group = "rice-aia-window"
    path = Path(shared) / RICE["aia"]

    def by_section(path):
        with fits.open(path, memmap=False) as hdus:
            return hdus[1].section[400:528, 300:428]

    read = {
        "solartrack": lambda path: images.read(path, window=(300, 400, 428, 528)).array,
        "astropy section": by_section,
    }[reader]
    np.testing.assert_array_equal(read(path), rice_by_astropy(path)[400:528, 300:428])
    benchmark.pedantic(read, (path,), rounds=20)
