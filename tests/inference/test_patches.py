"""Patches of `MagnetogramPatch`: the published resize, reading in gauss, and what is refused."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import transform

from solartrack.errors import ImageError
from solartrack.inference import MagnetogramPatch
from solartrack.inference.patches import read_gauss, resize, resize_matrix

PATCH = MagnetogramPatch(32)
SIDES = st.integers(16, 700)


def field(rows=40, columns=50, seed=0):
    return np.random.default_rng(seed).normal(0, 300, (rows, columns)).astype(np.float32)


def published(pixels, side):
    return transform.resize(pixels, (side, side), order=1, mode="reflect", anti_aliasing=True)


def write(path, pixels, unit=None, compressed=False):
    hdu = fits.CompImageHDU(pixels) if compressed else fits.ImageHDU(pixels)
    if unit:
        hdu.header["BUNIT"] = unit
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


# --- resize


@settings(max_examples=60, deadline=None)
@given(rows=SIDES, columns=SIDES, side=st.integers(1, 300), seed=st.integers(0, 99))
def test_resize_is_that_of_scikit_image(rows, columns, side, seed):
    pixels = field(rows, columns, seed)
    made, wanted = resize(pixels, side), published(pixels, side)
    assert made.shape == (side, side) and made.dtype == np.float32
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-5 * np.ptp(pixels))


@pytest.mark.parametrize(
    ("shape", "side"), [((4096, 1500), 224), ((16, 4096), 224), ((1, 1), 3), ((1, 50), 8)]
)
def test_resize_of_the_most_extreme_shapes_is_that_of_scikit_image(shape, side):
    pixels = field(*shape)
    if min(shape) == 1:  # of one pixel nothing can be mirrored: it is everywhere
        wanted = resize(np.tile(pixels, [8 if n == 1 else 1 for n in shape]), side)
    else:
        wanted = published(pixels, side)
    np.testing.assert_allclose(resize(pixels, side), wanted, atol=1e-5 * max(np.ptp(pixels), 1))


@given(SIDES)
def test_resize_to_its_own_size_changes_nothing(side):
    pixels = field(side, side)
    np.testing.assert_array_equal(resize(pixels, side), pixels)


@given(SIDES, st.integers(1, 300))
def test_resize_keeps_a_constant_field(n, side):
    np.testing.assert_allclose(resize_matrix(n, side).sum(axis=1), 1.0, rtol=1e-6)


def test_resize_takes_what_arrays_there_are():
    pixels = np.rint(field(60, 80))
    wanted = resize(pixels, 20)
    for other in (
        pixels.astype(np.float64),
        pixels.astype(">i2"),
        np.asfortranarray(pixels),
        pixels.tolist(),
    ):
        np.testing.assert_allclose(resize(other, 20), wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("pixels", "side", "error", "message"),
    [
        (np.zeros(5), 4, ValueError, r"field must be 2-D \(rows, columns\), got shape \(5,\)"),
        (np.zeros((0, 5)), 4, ValueError, "field has no pixels"),
        (np.zeros((5, 5)), 0, ValueError, "side must be a positive integer, got 0"),
        (np.zeros((5, 5), complex), 4, TypeError, "field must hold real numbers"),
        (np.ma.zeros((5, 5)), 4, TypeError, "field is a masked array"),
    ],
)
def test_resize_refuses_what_is_no_patch(pixels, side, error, message):
    with pytest.raises(error, match=message):
        resize(pixels, side)


# --- reading


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("unit", "gauss"), [(None, 1.0), ("Gauss", 1.0), ("T", 1e4), ("Mx/cm^2", 1.0), ("mT", 10)]
)
def test_files_are_read_in_gauss_whatever_their_unit(tmp_path, compressed, unit, gauss):
    pixels = np.rint(field() * min(1.0, 60 / gauss)).astype(np.int16)  # no field is stronger than 10 T
    assert np.ptp(pixels) > 10
    read = read_gauss(write(tmp_path / "p.fits", pixels, unit, compressed), PATCH)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, pixels * gauss, rtol=1e-6)


def test_arrays_are_gauss_unless_they_have_a_unit():
    pixels = field().astype(np.float64)
    np.testing.assert_array_equal(read_gauss(pixels, PATCH), pixels.astype(np.float32))
    np.testing.assert_allclose(read_gauss(pixels * u.mT, PATCH), 10 * pixels, rtol=1e-6)


@pytest.mark.parametrize("shape", [(224, 224), (32, 32), (45, 31), (16, 700)])
def test_pictures_reach_the_network_as_keras_reads_them(tmp_path, shape):
    from keras.utils import img_to_array, load_img

    path = tmp_path / "p.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, shape, np.uint8)).save(path)
    wanted = img_to_array(load_img(path, color_mode="grayscale", target_size=(32, 32)))[..., 0]
    made = read_gauss(path, PATCH)
    values = (made + 5978.7) / (2 * 5978.7) * 255  # as the network's first layer has it
    np.testing.assert_allclose(values, wanted, atol=1e-3)
    np.testing.assert_array_equal(resize(made, 32), made)


def test_real_files_are_read(shared):
    folder = shared / "data/hmi"
    assert read_gauss(folder / "1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram_224.png", PATCH).shape == (
        32,
        32,
    )
    path = folder / "hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits"
    with fits.open(path) as hdus:
        np.testing.assert_array_equal(read_gauss(path, PATCH), hdus[1].data.astype(np.float32))


# --- what is refused


def nan(share):
    pixels = field()
    pixels.ravel()[: int(share * pixels.size)] = np.nan
    return pixels


BAD_FIELDS = {
    "one row of NaN": (nan(0.02), "40 of 2000 pixels are NaN or infinite.* leave this patch out"),
    "all NaN": (nan(1), "2000 of 2000 pixels are NaN or infinite"),
    "infinite": (np.full((20, 20), np.inf), "400 of 400 pixels are NaN or infinite"),
    "beyond float32": (np.full((20, 20), 1e300), "400 of 400 pixels"),
    "15 rows": (field(15, 40), "sides must be from 16 to 4096 pixels, got 15 x 40"),
    "5000 columns": (field(16, 5000), "sides must be from 16 to 4096 pixels, got 16 x 5000"),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
@pytest.mark.parametrize("as_file", [False, True])
def test_fields_that_the_network_cannot_take_are_refused(tmp_path, name, as_file):
    pixels, message = BAD_FIELDS[name]
    patch = write(tmp_path / "bad.fits", pixels) if as_file else pixels
    with pytest.raises(ImageError, match=("bad.fits" if as_file else "the patch") + ": .*" + message):
        read_gauss(patch, PATCH)


@pytest.mark.parametrize(
    ("pixels", "error", "message"),
    [
        (np.zeros((20, 20), complex), TypeError, "the image must hold real numbers, got dtype complex128"),
        (np.ma.zeros((20, 20)), TypeError, "masked"),
        (
            np.zeros((20, 20, 3)),
            ImageError,
            r"the patch: the image must be 2-D \(rows, columns\), got shape \(20, 20, 3\)",
        ),
        (np.zeros((0, 20)), ImageError, "the image has no pixels"),
        (np.zeros((20, 20)) * u.m, ImageError, "the patch: the image must be a magnetic field .*, got m"),
        (None, TypeError, "real numbers"),
    ],
)
def test_arrays_that_are_no_field_are_refused(pixels, error, message):
    with pytest.raises(error, match=message):
        read_gauss(pixels, PATCH)


BAD_PICTURES = {
    "colour.png": (np.zeros((40, 40, 3), np.uint8), "must be 8-bit grey, got 8-bit RGB"),
    "alpha.png": (np.zeros((40, 40, 4), np.uint8), "got 8-bit RGB with alpha"),
    "deep.png": (np.zeros((40, 40), np.uint16), "must be 8-bit grey, got 16-bit grey"),
    "bits.png": (np.zeros((40, 40), bool), "got 1-bit grey"),
    "p.jpg": (np.zeros((40, 40), np.uint8), "FITS files or grey PNG files of 8 bits"),
    "small.png": (np.zeros((15, 40), np.uint8), "sides must be from 16 to 4096 pixels, got 15 x 40"),
    "large.png": (np.zeros((20, 5000), np.uint8), "got 20 x 5000"),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_pictures_of_another_kind_are_refused(tmp_path, name):
    pixels, message = BAD_PICTURES[name]
    Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(ImageError, match=f"{name}: .*{message}"):
        read_gauss(tmp_path / name, PATCH)


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize("kind", ["fits", "rice", "png"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8])
def test_truncated_files_are_refused_by_name(tmp_path, kind, share):
    path = tmp_path / "cut"
    if kind == "png":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)).save(path, "PNG")
    else:
        write(path, np.rint(field(90, 90)).astype(np.int16), "G", compressed=kind == "rice")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImageError, match="cut: "):
        read_gauss(path, PATCH)


def test_files_of_another_quantity_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"c\.fits: .*must be a magnetic field .*, got DN"):
        read_gauss(write(tmp_path / "c.fits", field(), "DN"), PATCH)
    with pytest.raises(ImageError, match=r"d\.fits: .*BUNIT 'furlong' is no unit"):
        read_gauss(write(tmp_path / "d.fits", field(), "furlong"), PATCH)
    with pytest.raises(FileNotFoundError, match=r"none\.fits"):
        read_gauss(tmp_path / "none.fits", PATCH)


# --- the convention


@pytest.mark.parametrize("side", [0, -1, 5000, 2.5, "64", True, None])
def test_sides_that_no_network_has_are_refused(side):
    with pytest.raises(ValueError, match="side must be a positive integer up to 4096"):
        MagnetogramPatch(side)


@pytest.mark.parametrize("gauss", [0, -1, np.nan, np.inf])
def test_ranges_of_no_width_are_refused(gauss):
    with pytest.raises(ValueError, match="field_gauss must be positive and finite"):
        MagnetogramPatch(32, gauss)
