"""Rice-compressed images are, bit by bit, what astropy makes of them."""

import io
import warnings

import astropy
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solartrack import images
from solartrack.errors import ImageError
from solartrack.images import rice
from solartrack.images._fits_checks import check_fits

pytestmark = pytest.mark.skipif(
    int(astropy.__version__.split(".")[0]) < 8, reason="the decoder of older astropy is not used"
)


def pixels(shape=(40, 64), dtype="i4", seed=0):
    random = np.random.default_rng(seed)
    array = random.normal(0, 20, shape) * (random.random(shape) < 0.9)
    array[: shape[0] // 4] = 7  # blocks of one value, and of noise
    array[-1] = random.integers(-30_000, 30_000, shape[1])
    return array.astype(dtype)


def content(array, cards=(), before=(), **compression):
    """A file; the cards are put in as they are, after compression, as the archives do."""
    hdu = fits.CompImageHDU(array, compression_type="RICE_1", **compression)
    made = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *before, hdu]).writeto(made)
    hdus = fits.HDUList.fromstring(made.getvalue(), disable_image_compression=True)
    for key, value in dict(cards).items():
        hdus[-1].header[key] = value
    made = io.BytesIO()
    hdus.writeto(made)
    return made.getvalue()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "image.fits"


def by_astropy(path):
    with fits.open(path, memmap=False) as hdus:
        hdu = next(h for h in hdus if h.is_image and h.header["NAXIS"] == 2)
        array = hdu.data
        return array.astype(array.dtype.newbyteorder("=")), hdu.header.get("BUNIT")


def same(got, wanted):
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    assert got.tobytes() == np.ascontiguousarray(wanted).tobytes()


@pytest.fixture
def decoded(monkeypatch):
    """Counts the tiles that are decoded here."""
    decode, tiles = rice._decoder(), []
    monkeypatch.setattr(rice, "_decoder", lambda: lambda *given: tiles.append(given) or decode(*given))
    return tiles


SCALED = {"BSCALE": 0.1, "BZERO": 0.0, "BLANK": 7, "BUNIT": "Gauss"}
SCALES = [
    {},
    SCALED,
    {"BLANK": 7},
    {"ZBLANK": 7},
    {"BLANK": -(2**15), "BSCALE": 1, "BZERO": 0},
    {"BSCALE": 2, "BZERO": -100},
    {"BSCALE": -0.01, "BZERO": 3.5, "BLANK": 99},
]


def test_this_astropy_has_the_decoder():
    assert rice._decoder() is not None


@pytest.mark.parametrize("cards", SCALES)
@pytest.mark.parametrize("dtype", ["i2", "i4"])
@pytest.mark.parametrize("tile", [(1, 64), (40, 64), (3, 64), (100, 64)])
def test_images_of_the_archives_are_what_astropy_gives(path, decoded, cards, dtype, tile):
    path.write_bytes(content(pixels(dtype=dtype), cards, tile_shape=tile))
    wanted, unit = by_astropy(path)
    patch = images.read_patch(path)
    same(patch.array, wanted)
    assert patch.header.get("BUNIT") == unit and list(patch.header) == (["BUNIT"] if unit else [])
    assert len(decoded) == -(-40 // tile[0])
    same(images.read(path).array, wanted)
    same(np.ascontiguousarray(images.read(path, window=(5, 3, 50, 31)).array), wanted[3:31, 5:50])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 90)),
    tile=st.tuples(st.integers(1, 20), st.integers(1, 90)) | st.just((1, 90)),
    dtype=st.sampled_from(["u1", "i2", "i4", "u2", "u4", "f4", "f8"]),
    scale=st.sampled_from(SCALES),
    seed=st.integers(0, 9),
)
def test_whatever_astropy_writes_is_read_the_same_with_and_without_its_loop(
    path, monkeypatch, shape, tile, dtype, scale, seed
):
    array = np.abs(pixels(shape, "f8", seed)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of BLANK in images of floats
        path.write_bytes(
            content(array, {} if dtype in ("u2", "u4") else scale, tile_shape=tuple(map(min, tile, shape)))
        )
        fast = images.read_pixels(path)
        with monkeypatch.context() as patched:
            patched.setattr(rice, "_decoder", lambda: None)
            same(fast, images.read_pixels(path))


@pytest.mark.parametrize("name", [
    "hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits",
    "hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI.conf_disambig.fits",
    "hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI.bitmap.fits",
    "hmi/mdi.fd_m_96m_lev182.20101015_000000_TAI.data.fits",
    "aia/AIA20140101_0000_0171.fits",
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_files_of_the_archives_are_what_astropy_gives(shared, name):
    path = shared / "data" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    wanted, unit = by_astropy(path)
    patch = images.read_patch(path)
    same(patch.array, wanted)
    assert patch.header.get("BUNIT") == unit


def test_a_window_decodes_its_own_tiles_only(path, decoded):
    path.write_bytes(content(pixels(), SCALED, tile_shape=(3, 64)))
    images.read(path, window=(0, 10, 64, 14))
    assert len(decoded) == 2


OTHERS = {
    "tiles narrower than rows": (pixels(), {}, {"tile_shape": (8, 16)}),
    "unsigned integers": (pixels(dtype="u2"), {}, {}),
    "unsigned integers with BLANK": (pixels(dtype="u2"), {"BLANK": 7}, {}),
    "floats": (pixels(dtype="f4"), {}, {}),
    "bytes": (pixels(dtype="u1"), {}, {}),
    "BLANK of 0": (pixels(), {"BLANK": 0}, {}),
    "BLANK that is no whole number": (pixels(), {"BLANK": 7.5}, {}),
    "BLANK that no pixel has": (pixels(dtype="i2"), {"BLANK": -(2**31)}, {}),
    "two BLANK": (pixels(), {"BLANK": 7, "ZBLANK": 8}, {}),
    "BSCALE of 0": (pixels(), {"BSCALE": 0.0}, {}),
    "a scale of floats": (pixels(), {"ZSCALE": "2.0"}, {}),
    "BZERO alone": (pixels(), {"BZERO": 5.0}, {}),
}


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
@pytest.mark.parametrize("name", OTHERS)
def test_other_images_are_left_to_astropy(path, decoded, name):
    array, cards, compression = OTHERS[name]
    path.write_bytes(content(array, cards, **compression))
    try:
        wanted = by_astropy(path)[0]
    except (OverflowError, TypeError):
        with pytest.raises(ImageError):
            images.read_pixels(path)
    else:
        made = images.read_pixels(path)
        if name != "unsigned integers with BLANK":  # which astropy leaves as a number
            same(made, wanted)
    assert not decoded


@pytest.mark.parametrize("before", [
    [fits.ImageHDU(np.zeros((5, 6), "i2"))],
    [fits.ImageHDU(np.zeros((3, 5, 6), "i2"))],
    [fits.ImageHDU(np.zeros((1, 5, 1), "i2"))],
    [fits.ImageHDU(np.zeros(9, "i2"))],
    [fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(4))])],
])  # fmt: skip
def test_the_image_is_the_first_one_whatever_comes_before(path, monkeypatch, before):
    path.write_bytes(content(pixels(), SCALED, before))
    fast = images.read_pixels(path)
    monkeypatch.setattr(rice, "_decoder", lambda: None)
    same(fast, images.read_pixels(path))


def test_an_astropy_without_this_decoder_reads_the_image_itself(path, monkeypatch):
    path.write_bytes(content(pixels(), SCALED))
    monkeypatch.setattr(rice, "_decoder", lambda: None)
    same(images.read_pixels(path), by_astropy(path)[0])


@pytest.mark.parametrize("damage", ["bytes left over", "end within a tile", "a tile without data"])
def test_damaged_tiles_are_refused_as_astropy_refuses_them(path, damage):
    whole = content(pixels(), SCALED)
    path.write_bytes(whole)
    at = check_fits(path, pixels=True).table + 8 * 20  # the pointer of row 20
    size = int.from_bytes(whole[at : at + 4], "big")
    new = {"bytes left over": size + 9, "end within a tile": size // 2, "a tile without data": 0}[damage]
    # The tile after it gives what it takes, so that they do not overlap.
    other = int.from_bytes(whole[at + 8 : at + 12], "big")
    path.write_bytes(
        whole[:at] + new.to_bytes(4, "big") + whole[at + 4 : at + 8]
        + (other - max(0, new - size)).to_bytes(4, "big") + whole[at + 12 :]
    )  # fmt: skip
    with pytest.raises(ImageError, match=r"image\.fits: cannot be read .*fetch it again"):
        images.read_patch(path)
    with pytest.raises(ImageError, match=r"image\.fits: cannot be read .*fetch it again"):
        images.read(path, window=(0, 18, 64, 22))


def test_a_unit_that_cannot_be_read_is_named(path):
    whole = content(pixels(), SCALED)
    at = whole.index(b"BUNIT   =")
    path.write_bytes(whole[:at] + b"BUNIT   = 'Gauss ".ljust(80) + whole[at + 80 :])
    with pytest.raises(ImageError, match="BUNIT cannot be read"):
        images.read_patch(path)


@pytest.mark.parametrize("keyword", ["TFORM1", "TTYPE1", "ZCMPTYPE", "ZNAME1", "BSCALE", "BLANK"])
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_a_card_that_astropy_cannot_read_is_no_more_readable_here(path, decoded, keyword):
    whole = content(pixels(), SCALED)
    at = whole.index(keyword.ljust(8).encode() + b"=")
    card = whole[at : at + 80].partition(b"/")[0].rstrip() + b' "'
    path.write_bytes(whole[:at] + card.ljust(80) + whole[at + 80 :])
    with pytest.raises(ImageError, match=r"image\.fits: "):
        images.read_pixels(path)
    assert not decoded
