"""From a file of HMI's to what an image classifier sees, on one core; the peers are astropy and scikit-image.

A patch of 600 x 600 pixels, Rice-compressed row by row, under a header as long as HMI's.
"""

import numpy as np
import pytest
from astropy.io import fits
from skimage import transform

from solartrack import images
from solartrack.inference import MagnetogramPatch
from solartrack.inference.patches import read_gauss, resize

NETWORK = MagnetogramPatch(224)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    y, x = np.mgrid[:600, :600]
    spots = [800 * s * np.exp(-((x - x0) ** 2 + (y - 300) ** 2) / 3000) for s, x0 in ((1, 250), (-1, 350))]
    field = sum(spots) + np.random.default_rng(0).normal(0, 10, x.shape)
    hdu = fits.CompImageHDU(
        np.rint(10 * field).astype(np.int32), compression_type="RICE_1", tile_shape=(1, 600)
    )
    hdu.header.update({f"KEY{i}": (1.5 * i, "as many as HMI's") for i in range(150)})
    made = fits.HDUList([fits.PrimaryHDU(), hdu])
    path = tmp_path_factory.mktemp("patch") / "1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits"
    made.writeto(path)
    with fits.open(path, disable_image_compression=True, mode="update") as hdus:
        hdus[1].header.update(BUNIT="Gauss", BSCALE=0.1, BZERO=0.0, BLANK=-(2**31))
    return path


def with_astropy(path):
    with fits.open(path, memmap=False) as hdus:
        return hdus[1].data


def with_scikit_image(field):
    return transform.resize(field, (224, 224), order=1, mode="reflect", anti_aliasing=True)


READ = {"solartrack": lambda path: images.read_patch(path).array, "astropy": with_astropy}
RESIZE = {"solartrack": lambda field: resize(field, 224), "scikit-image": with_scikit_image}
BOTH = {
    "solartrack": lambda path: resize(read_gauss(path, NETWORK), 224),
    "astropy and scikit-image": lambda path: with_scikit_image(with_astropy(path).astype(np.float32)),
}


@pytest.mark.peer(how=["astropy", "scikit-image", "astropy and scikit-image"])
@pytest.mark.benchmark(group="patch-read")
@pytest.mark.parametrize("how", READ)
def bench_read(benchmark, path, how):
    got, wanted = READ[how](path), with_astropy(path)
    assert got.dtype == wanted.dtype
    np.testing.assert_array_equal(got, wanted)
    benchmark(READ[how], path)


@pytest.mark.peer(how=["astropy", "scikit-image", "astropy and scikit-image"])
@pytest.mark.benchmark(group="patch-resize")
@pytest.mark.parametrize("how", RESIZE)
def bench_resize(benchmark, path, how):
    field = with_astropy(path).astype(np.float32)
    np.testing.assert_allclose(RESIZE[how](field), with_scikit_image(field), atol=1e-5 * np.ptp(field))
    benchmark(RESIZE[how], field)


@pytest.mark.peer(how=["astropy", "scikit-image", "astropy and scikit-image"])
@pytest.mark.benchmark(group="patch-to-network")
@pytest.mark.parametrize("how", BOTH)
def bench_patch_to_network(benchmark, path, how):
    """One over the median is the patches a second of one core."""
    wanted = BOTH["astropy and scikit-image"](path)
    np.testing.assert_allclose(BOTH[how](path), wanted, atol=1e-5 * np.ptp(with_astropy(path)))
    benchmark(BOTH[how], path)
