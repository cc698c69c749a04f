"""Reading images: bad files first, then what the array, header and time must be."""

import gzip
import math
import os
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.utils.data import get_pkg_data_filename
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from solartrack import images
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, ImageWarning
from solartrack.images import jp2

pytestmark = pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")

NX, NY = 61, 45
GREY = np.random.default_rng(3).integers(0, 256, (NY, NX), dtype=np.uint8)
SUN = {
    "NAXIS1": NX, "NAXIS2": NY, "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec",
    "CUNIT2": "arcsec", "CRPIX1": 20.25, "CRPIX2": 31.5, "CRVAL1": 12.0, "CRVAL2": -7.0,
    "CDELT1": 2.4, "CDELT2": 3.1, "CROTA2": 25.0, "DATE-OBS": "2014-02-03T02:08:47.34",
}  # fmt: skip


def jp2_bytes(pixels=GREY, header=SUN, xml=None, **options) -> bytes:
    """A JP2 as Helioviewer writes it: the XML header of the bottom-up image before the codestream."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", **options)
    data = file.getvalue()
    if xml is None:
        if header is None:
            return data
        xml = "".join(f"<{key}>{value}</{key}>" for key, value in header.items())
        xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<meta>\n<fits>{xml}</fits><helioviewer/></meta>'
    if isinstance(xml, str):
        xml = xml.encode()
    at = data.index(b"jp2c") - 4
    return data[:at] + struct.pack(">I4s", len(xml) + 8, b"xml ") + xml + data[at:]


def fits_bytes(hdus=None) -> bytes:
    file = BytesIO()
    if hdus is None:
        header = fits.Header({k: v for k, v in SUN.items() if not k.startswith("NAXIS")})
        hdus = fits.PrimaryHDU(np.arange(NX * NY, dtype=np.float32).reshape(NY, NX), header)
    hdus.writeto(file)
    return file.getvalue()


def picture_bytes(pixels=GREY, kind="PNG", mode=None, **options) -> bytes:
    file = BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def rice_bytes() -> bytes:
    return fits_bytes(
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(GREY.astype(np.int32), compression_type="RICE_1")])
    )


@pytest.fixture
def write(tmp_path):
    def write(data: bytes, name: str = "image.dat") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def world(header, x, y):
    """Degrees to arcseconds."""
    return 3600 * np.array(WCS(header).wcs_pix2world(x, y, 0))


def sunpy_test_file(name: str) -> Path:
    pytest.importorskip("sunpy")
    return Path(get_pkg_data_filename(f"data/test/{name}", package="sunpy"))


SHIPPED = [
    "2023_01_31__03_39_23_200__SDO_HMI_HMI_continuum.jp2",
    "2022_04_01__00_00_45__SOLO-EUI-FSI_EUI_FSI_174.jp2",
]

MAKERS = {
    "fits": fits_bytes,
    "fits.gz": lambda: gzip.compress(fits_bytes()),
    "rice": rice_bytes,
    "png": picture_bytes,
    "jpg": lambda: picture_bytes(kind="JPEG"),
    "jp2": jp2_bytes,
}


# -- bad files -----------------------------------------------------------------------


@pytest.mark.parametrize("reader", [images.read, images.read_header])
def test_a_missing_file_is_named(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match=r"gone\.fits: no such file"):
        reader(tmp_path / "gone.fits")


@pytest.mark.parametrize("reader", [images.read, images.read_header])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><p>404", "error page"),
        (b"GIF89a\1\0\1\0", "none of FITS, PNG, JPG, JP2"),
        (gzip.compress(b"plain text, zipped", mtime=0), "gzipped, but not a FITS file"),
        (gzip.compress(b"", mtime=0)[:6], "truncated or damaged"),
        (b"\xff\x4f\xff\x51" + bytes(60), "none of FITS"),
    ],
)
def test_what_is_not_an_image_is_named_with_the_reason(write, reader, data, reason):
    with pytest.raises(ImageError, match=reason) as caught:
        reader(write(data, "some.fits"))
    assert "some.fits: " in str(caught.value)


def test_a_folder_is_refused_with_the_cure(tmp_path):
    with pytest.raises(ImageError, match="find_images"):
        images.read(tmp_path)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_a_truncated_file_never_gives_half_an_image(write, kind, part):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300), dtype=np.uint8)  # beyond FITS padding
    data = {
        "fits": lambda: fits_bytes(fits.PrimaryHDU(pixels)),
        "fits.gz": lambda: gzip.compress(fits_bytes(fits.PrimaryHDU(pixels))),
        "rice": lambda: fits_bytes(fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels)])),
        "png": lambda: picture_bytes(pixels),
        "jpg": lambda: picture_bytes(pixels, "JPEG"),
        "jp2": lambda: jp2_bytes(pixels),
    }[kind]()
    path = write(data[: int(len(data) * part)])
    with pytest.raises(ImageError, match=r"image\.dat: "):
        images.read(path)
    with pytest.raises(ImageError, match=r"image\.dat: "):
        images.read(path, window=(0, 0, 8, 8))


@pytest.mark.parametrize("missing", [1, 2, 3, 100])
def test_a_jp2_that_lost_its_last_bytes_is_refused_even_by_its_header(write, missing):
    path = write(jp2_bytes()[:-missing])
    for reader in (images.read, images.read_header):
        with pytest.raises(ImageError, match="truncated"):
            reader(path)


def test_a_jp2_box_that_runs_to_the_end_of_the_file_needs_the_end_marker(write):
    data = jp2_bytes()
    at = data.index(b"jp2c") - 4
    whole = data[:at] + bytes(4) + data[at + 4 :]  # length 0: to the end of the file
    np.testing.assert_array_equal(images.read(write(whole)).array, GREY)
    with pytest.raises(ImageError, match="no end marker"):
        images.read(write(whole[:-40]))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.filterwarnings("ignore::solartrack.errors.ImageWarning")
def test_damaged_bytes_in_a_jp2_give_an_error_or_an_image_of_the_right_shape(write, seed):
    data = bytearray(jp2_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(data), 3):
        data[at] = rng.integers(256)
    path = write(bytes(data))
    try:
        array, header, _ = images.read(path)
    except ImageError:
        return
    assert array.shape == (header["NAXIS2"], header["NAXIS1"])


def test_a_jp2_that_claims_a_huge_image_is_refused_before_decoding(write):
    data = bytearray(jp2_bytes())
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    with pytest.raises(ImageError, match="MAX_IMAGE_PIXELS"):
        images.read(write(bytes(data)))


def test_a_decompression_bomb_is_refused_with_the_cure(write, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for kind in ("png", "jpg", "jp2"):
        with pytest.raises(ImageError, match=r"PIL\.Image\.MAX_IMAGE_PIXELS"):
            images.read(write(MAKERS[kind]()))


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 4, 5), (7,)])
def test_fits_without_two_dimensions_says_what_it_holds(write, shape):
    with pytest.raises(ImageError, match="2-D image, but the file holds images of shape") as caught:
        images.read(write(fits_bytes(fits.PrimaryHDU(np.zeros(shape, np.int16)))))
    assert str(shape) in str(caught.value)


def test_fits_with_only_a_table_says_so(write):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    with pytest.raises(ImageError, match="holds no image"):
        images.read(write(fits_bytes(fits.HDUList([fits.PrimaryHDU(), table]))))


def test_a_colour_jp2_is_refused(write):
    with pytest.raises(ImageError, match="3 components"):
        images.read(write(jp2_bytes(np.dstack([GREY] * 3))))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("window", [(0, 0, NX + 1, NY), (0, 0, NX, NY + 1), (-1, 0, 5, 5), (70, 50, 80, 60)])
def test_a_window_outside_the_image_is_refused_with_the_size(write, kind, window):
    with pytest.raises(ImageError, match=f"outside the image of {NX} x {NY}"):
        images.read(write(MAKERS[kind]()), window=window)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": (5, 0, 5, 9)}, "x1 > x0"),
        ({"window": (9, 0, 5, 9)}, "x1 > x0"),
        ({"window": (0, 0, 5)}, "four integers"),
        ({"window": (0, 0, 5.5, 9)}, "four integers"),
        ({"window": 7}, "four integers"),
        ({"reduce": 3}, "power of two"),
        ({"reduce": 0}, "power of two"),
        ({"reduce": 2.0}, "power of two"),
        ({"reduce": 4, "window": (6, 4, 16, 16)}, r"use \(4, 4\)"),
    ],
)
def test_wrong_arguments_are_value_errors_before_the_file_is_opened(arguments, message):
    with pytest.raises(ValueError, match=message):
        images.read("not there", **arguments)


def test_a_reduction_beyond_the_files_wavelet_levels_says_so(write):
    with pytest.raises(ImageError, match="smaller reduce"):
        images.read(write(jp2_bytes(num_resolutions=3)), reduce=8)


@pytest.mark.parametrize(
    "xml",
    [
        b"<meta><fits><A>1</fits>",
        b"not xml at all",
        b"",
        b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a0 "lol">'
        + b"".join(b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10) for i in range(1, 12))
        + b"]><meta><fits><A>&a11;</A></fits></meta>",
    ],
    ids=["unclosed", "text", "empty", "exploding entities"],
)
def test_a_jp2_with_a_bad_xml_header_gives_its_pixels_and_a_warning(write, xml):
    path = write(jp2_bytes(xml=xml))
    start = time.perf_counter()
    with pytest.warns(ImageWarning, match=r"image\.dat: its XML header cannot be read"):
        array, header, _ = images.read(path)
    assert time.perf_counter() - start < 20
    np.testing.assert_array_equal(array, GREY)
    assert list(header) == ["NAXIS", "NAXIS1", "NAXIS2"]


def test_without_any_openjpeg_library_the_error_says_what_to_install(write, monkeypatch):
    path = write(jp2_bytes())
    opj = jp2.openjpeg()
    jp2.openjpeg.cache_clear()
    try:
        monkeypatch.setattr(opj, "OPENJP2", None)
        monkeypatch.setattr(jp2.PIL, "__file__", "/nowhere/PIL/__init__.py")
        with pytest.raises(ImportError, match="install libopenjp2"):
            images.read(path)
        images.read_header(path)  # needs no decoder
    finally:
        monkeypatch.undo()
        jp2.openjpeg.cache_clear()
    np.testing.assert_array_equal(images.read(path).array, GREY)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)


def test_glymur_imported_first_still_works_for_everyone_afterwards(write):
    path = write(jp2_bytes(np.dstack([GREY, GREY // 2, 255 - GREY])), "colour.jp2")
    grey = write(jp2_bytes(), "grey.jp2")
    # Three components: wrong structure layouts would read the second from a wrong address.
    done = run_python(
        "import glymur, numpy as np\n"
        "from PIL import Image\n"
        "from solartrack import images\n"
        f"images.read({str(grey)!r})\n"
        f"assert np.array_equal(glymur.Jp2k({str(path)!r})[:], np.asarray(Image.open({str(path)!r})))"
    )
    assert done.returncode == 0, done.stderr


def test_an_unusable_glymur_configuration_is_an_error_not_ignored(write, tmp_path):
    folder = tmp_path / "glymur"
    folder.mkdir()
    (folder / "glymurrc").write_text("[library]\nopenjp2: /nowhere/libopenjp2.so\n")
    done = run_python(
        f"from solartrack import images; images.read({str(write(jp2_bytes()))!r})",
        XDG_CONFIG_HOME=str(tmp_path),
    )
    assert done.returncode
    assert "ImportError: glymur's configuration file names no usable OpenJPEG library" in done.stderr


# -- pixels --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["image.fits", "image.png", "noextension"])
@pytest.mark.parametrize("kind", ["rice", "png", "jp2"])
def test_the_content_tells_the_format_not_the_name(write, kind, name):
    np.testing.assert_array_equal(images.read(write(MAKERS[kind](), name)).array, GREY)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_fits_arrays_come_back_exactly_in_native_byte_order(write, dtype, packed):
    pixels = np.arange(12).astype(dtype).reshape(3, 4)
    data = fits_bytes(fits.PrimaryHDU(pixels))
    array = images.read(write(gzip.compress(data) if packed else data)).array
    assert array.dtype == dtype
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, pixels)


def test_fits_scaling_is_applied_and_blank_is_nan(write):
    hdu = fits.PrimaryHDU(np.array([[1, 2, -5], [3, 4, 5]], np.int16))
    data = fits_bytes(hdu)
    cards = b"".join(c.ljust(80) for c in (b"BLANK   = -5", b"BSCALE  = 0.5", b"BZERO   = 10.0", b"END"))
    data = data.replace(b"END".ljust(320), cards)
    array, header, _ = images.read(write(data))
    np.testing.assert_array_equal(array, [[10.5, 11.0, np.nan], [11.5, 12.0, 12.5]])
    assert not {"BLANK", "BSCALE", "BZERO", "BITPIX"} & set(header)


def test_nan_pixels_pass_through_and_spoil_only_their_block(write):
    pixels = np.ones((4, 4), np.float32)
    pixels[0, 3] = np.nan
    path = write(fits_bytes(fits.PrimaryHDU(pixels)))
    np.testing.assert_array_equal(images.read(path).array, pixels)
    np.testing.assert_array_equal(images.read(path, reduce=2).array, [[1, np.nan], [1, 1]])


def test_the_first_two_dimensional_image_of_a_fits_file_is_read(write):
    hdus = fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 3, 4))), fits.ImageHDU(GREY), fits.ImageHDU(GREY[::2])]
    )
    np.testing.assert_array_equal(images.read(write(fits_bytes(hdus))).array, GREY)


def test_grey_pictures_keep_their_bits(write):
    deep = np.arange(NX * NY, dtype=np.uint16).reshape(NY, NX) * 20
    array = images.read(write(picture_bytes(deep))).array
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, deep)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
@pytest.mark.filterwarnings("error")
def test_grey_stored_as_colour_is_the_same_grey(write, mode):
    transparency = {"transparency": bytes(range(256))} if mode == "P" else {}
    array = images.read(write(picture_bytes(GREY, mode=mode, **transparency))).array
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, GREY)


def deep_png(pixels: np.ndarray) -> bytes:
    """A 16-bit PNG of 1 (grey), 2 (grey with alpha), 3 (RGB) or 4 channels."""
    ny, nx, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = [
        (b"IHDR", struct.pack(">2I5B", nx, ny, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def test_deep_pixels_are_never_cut_to_eight_bits(write):
    pixels = np.random.default_rng(5).integers(0, 2**16, (6, 7, 4))
    np.testing.assert_array_equal(images.read(write(deep_png(pixels[..., :1]))).array, pixels[..., 0])
    for channels, name in ((2, "grey with alpha"), (3, "RGB"), (4, "RGB with alpha")):
        with pytest.raises(ImageError, match=f"16-bit {name}, which would be cut .*convert it"):
            images.read(write(deep_png(pixels[..., :channels])))


def test_colour_becomes_itu_601_luminance_without_its_transparency(write):
    colour = np.zeros((1, 4, 4), np.uint8)
    colour[0, :, :3] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]
    array = images.read(write(picture_bytes(colour))).array  # alpha is 0 everywhere
    np.testing.assert_allclose(array, [[0.299 * 255, 0.587 * 255, 0.114 * 255, 18.15]], atol=0.5)


def test_bilevel_pictures_are_0_and_255(write):
    array = images.read(write(picture_bytes(np.array([[True, False]])))).array
    np.testing.assert_array_equal(array, [[255, 0]])


def test_jp2_depths_and_signs_are_kept(write):
    deep = np.arange(NX * NY, dtype=np.uint16).reshape(NY, NX) * 20
    array = images.read(write(jp2_bytes(deep))).array
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, deep)


def test_jp2_files_are_decoded_exactly_as_pillow_does(shared):
    for name in ("2022_01_01__00_03_52_835__SDO_AIA_AIA_193.jp2", "aia171_seq_002.jp2"):
        path = shared / "data/jp2" / name
        np.testing.assert_array_equal(images.read(path).array, np.asarray(Image.open(path)))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_jp2_files_are_decoded_exactly_as_pillow_does(name):
    path = sunpy_test_file(name)
    np.testing.assert_array_equal(images.read(path).array, np.asarray(Image.open(path)))


def test_the_header_only_jp2_fails_clearly(shared):
    for reader in (images.read, images.read_header):
        with pytest.raises(ImageError, match=r"no_crval\.jp2: holds a header but no image"):
            reader(shared / "data/jp2/no_crval.jp2")


# -- window and reduction ------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    out = {kind: folder / kind for kind in MAKERS}
    for kind, path in out.items():
        path.write_bytes(MAKERS[kind]())
    return out


def block_mean(array, size):
    """The plain definition, block by block."""
    ny, nx = array.shape
    out = [
        [array[y : y + size, x : x + size].mean(dtype=float) for x in range(0, nx, size)]
        for y in range(0, ny, size)
    ]
    return np.rint(out) if array.dtype.kind in "iu" else np.array(out)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
@pytest.mark.parametrize("kind", MAKERS)
def test_a_window_is_the_slice_of_the_full_image(files, kind, data):
    reduce = 2 ** data.draw(st.integers(0, 4))
    x0 = reduce * data.draw(st.integers(0, (NX - 1) // reduce))
    y0 = reduce * data.draw(st.integers(0, (NY - 1) // reduce))
    x1 = data.draw(st.integers(x0 + 1, NX))
    y1 = data.draw(st.integers(y0 + 1, NY))
    part = images.read(files[kind], window=(x0, y0, x1, y1), reduce=reduce)
    assert part.array.shape == (math.ceil((y1 - y0) / reduce), math.ceil((x1 - x0) / reduce))
    assert (part.header["NAXIS2"], part.header["NAXIS1"]) == part.array.shape
    if kind == "jp2":
        whole = images.read(files[kind], reduce=reduce).array
        rows, columns = part.array.shape
        expected = whole[y0 // reduce :, x0 // reduce :][:rows, :columns]
    else:
        expected = block_mean(images.read(files[kind]).array[y0:y1, x0:x1], reduce)
    np.testing.assert_allclose(part.array, expected, rtol=1e-6)


def test_a_reduced_real_jp2_is_what_pillow_reduces_it_to(shared):
    path = shared / "data/jp2/2015_12_21__00_10_34_34__SDO_AIA_AIA_171.jp2"
    with Image.open(path) as reduced:
        reduced.reduce = 3
        expected = np.asarray(reduced)
    np.testing.assert_array_equal(images.read(path, reduce=8).array, expected)
    part = images.read(path, window=(1600, 800, 2113, 1999), reduce=8).array
    np.testing.assert_array_equal(part, expected[100:250, 200:265])


# -- the header describes the array --------------------------------------------------


@pytest.mark.parametrize("kind", MAKERS)
def test_read_header_gives_what_read_gives(files, kind):
    header, when = images.read_header(files[kind])
    image = images.read(files[kind])
    assert header.tostring() == image.header.tostring()
    assert when == image.time


@pytest.mark.parametrize("kind", MAKERS)
def test_array_and_header_make_a_fits_file_that_reads_back(files, kind, tmp_path):
    image = images.read(files[kind], window=(4, 8, 40, 31))
    fits.PrimaryHDU(image.array, image.header).writeto(tmp_path / "again.fits")
    again = images.read(tmp_path / "again.fits")
    np.testing.assert_array_equal(again.array, image.array)
    assert again.header.tostring() == image.header.tostring()


ROTATIONS = {
    "CROTA2": {"CROTA2": 25.0},
    "none": {"CROTA2": None},
    "PC": {"CROTA2": None, "PC1_1": 0.9, "PC1_2": -0.5, "PC2_1": 0.4, "PC2_2": 0.8},
    "PC and a stale CROTA2": {"PC1_1": 0.9, "PC1_2": -0.5, "PC2_1": 0.4, "PC2_2": 0.8},
    "CD": {
        "CROTA2": None, "CDELT1": None, "CDELT2": None,
        "CD1_1": 2.0, "CD1_2": 0.3, "CD2_1": -0.4, "CD2_2": 3.0,
    },
    "second system": {f"{k}A": v for k, v in SUN.items() if k[0] == "C" and k != "CROTA2"} | {"CRPIX2A": 3.0},
}  # fmt: skip


def rotated(rotation) -> dict:
    return {key: value for key, value in (SUN | ROTATIONS[rotation]).items() if value is not None}


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("window", [None, (8, 16, 41, 33)])
def test_a_jp2_header_maps_the_top_row_where_the_bottom_up_header_maps_the_last(write, rotation, window):
    header = rotated(rotation)
    got = images.read(write(jp2_bytes(header=header)), window=window).header
    x, y = (v.ravel().astype(float) for v in np.meshgrid([-0.5, 3.0, 7.5], [-0.5, 4.0, 9.5]))
    x0, y0 = (window or (0, 0))[:2]
    for key in [" ", "A"] if rotation == "second system" else [" "]:
        expected = WCS(fits.Header(header), key=key).wcs_pix2world(x + x0, NY - 1 - (y + y0), 0)
        np.testing.assert_allclose(
            3600 * np.array(WCS(got, key=key).wcs_pix2world(x, y, 0)), 3600 * np.array(expected), atol=1e-6
        )


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("reduce", [1, 4])
def test_a_fits_window_keeps_every_pixel_at_its_place_on_the_sun(write, rotation, reduce):
    header = fits.Header(rotated(rotation))
    path = write(fits_bytes(fits.PrimaryHDU(GREY, header)))
    got = images.read(path, window=(8, 12, 41, 33), reduce=reduce).header
    x, y = (v.ravel().astype(float) for v in np.meshgrid([0, 3, 7], [0, 2, 4]))
    block = (reduce - 1) / 2
    for key in [" ", "A"] if rotation == "second system" else [" "]:
        expected = WCS(header, key=key).wcs_pix2world(8 + reduce * x + block, 12 + reduce * y + block, 0)
        np.testing.assert_allclose(
            3600 * np.array(WCS(got, key=key).wcs_pix2world(x, y, 0)), 3600 * np.array(expected), atol=1e-6
        )


@pytest.mark.parametrize("kind", ["fits", "jp2 5/3", "jp2 9/7"])
@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_a_blob_stays_at_its_place_on_the_sun_when_reduced(write, kind, reduce):
    # The claim behind the different centres of block means and wavelet samples.
    y, x = np.mgrid[:256, :320]
    blob = 250 * np.exp(-((x - 141.3) ** 2 + (y - 97.6) ** 2) / (2 * 20**2))
    pixels = np.rint(blob).astype(np.uint8)
    sun = SUN | {"NAXIS1": 320, "NAXIS2": 256}
    if kind == "fits":
        data = fits_bytes(fits.PrimaryHDU(pixels, fits.Header(sun)))
    else:
        data = jp2_bytes(pixels, sun, irreversible=kind.endswith("9/7"))
    path = write(data)

    def blob_position(image):
        weight = image.array.astype(float)
        rows, columns = np.indices(weight.shape)
        total = weight.sum()
        return world(image.header, (columns * weight).sum() / total, (rows * weight).sum() / total)

    full = blob_position(images.read(path))
    reduced = blob_position(images.read(path, reduce=reduce))
    windowed = blob_position(images.read(path, window=(48, 16, 240, 184), reduce=reduce))
    # A tenth of a full-resolution pixel; the wrong centre would be off by (reduce - 1) / 2 pixels.
    np.testing.assert_allclose(reduced, full, atol=0.24)
    np.testing.assert_allclose(windowed, full, atol=0.24)


def assert_same_sky_as_sunpy(path):
    sunpy_map = pytest.importorskip("sunpy.map").Map(path)  # flips the rows
    image = images.read(path)
    np.testing.assert_array_equal(image.array[::-1], sunpy_map.data)
    ny, nx = image.array.shape
    x = np.array([-0.5, nx - 0.5, -0.5, nx - 0.5, nx / 3])
    y = np.array([-0.5, -0.5, ny - 0.5, ny - 0.5, ny / 5])
    expected = 3600 * np.array(sunpy_map.wcs.wcs_pix2world(x, ny - 1 - y, 0))
    difference = (world(image.header, x, y) - expected + 648000) % 1296000 - 648000
    np.testing.assert_allclose(difference, 0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::sunpy.util.SunpyUserWarning", "ignore:.*glymur.*")
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_jp2_files_lie_on_the_sky_as_in_sunpy(name):
    jp2.openjpeg()  # lends glymur, so sunpy, its library
    assert_same_sky_as_sunpy(sunpy_test_file(name))


@pytest.mark.filterwarnings("ignore::sunpy.util.SunpyUserWarning")
@pytest.mark.parametrize(
    "name",
    ["2015_12_21__00_10_34_34__SDO_AIA_AIA_171.jp2", "2022_08_02__10_47_53_000__SDO_HMI_HMI_magnetogram.jp2"],
)
def test_helioviewer_files_lie_on_the_sky_as_in_sunpy(shared, name):
    jp2.openjpeg()
    assert_same_sky_as_sunpy(shared / "data/jp2" / name)


@pytest.mark.parametrize(
    "name",
    [
        "2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2",
        "2013_05_13__16_54_06_137__SOHO_LASCO_C3_white-light.jp2",
    ],
)
def test_a_jp2_cut_without_its_header_loses_the_wcs_with_a_warning(name):
    with pytest.warns(ImageWarning, match="dropped the WCS") as caught:
        array, header, when = images.read(sunpy_test_file(name))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert (header["NAXIS2"], header["NAXIS1"]) == array.shape
    assert not any(key[:5] in ("CTYPE", "CRPIX", "CRVAL", "CDELT", "CROTA", "CUNIT") for key in header)
    assert when is not None
    assert header["TELESCOP"]


def test_odd_xml_entries_become_what_a_fits_header_can_hold(write):
    xml = (
        "<meta><fits><simple>1</simple><NAXIS1>61</NAXIS1><BITPIX>16</BITPIX><ZCMPTYPE>RICE_1</ZCMPTYPE>"
        "<TEMP>nan</TEMP><LOW>-inf</LOW><EMPTY></EMPTY><RSUN_OBS>0</RSUN_OBS><ID>20_30</ID><EXP> 2.9e0 </EXP>"
        "<lower>7</lower><LONG_KEYWORD>x</LONG_KEYWORD><TEXT>caf\u00e9\n&amp; more</TEXT>"
        f"<LONGTEXT>{'v' * 200}</LONGTEXT><cl\u00e9>5</cl\u00e9><HUGE>{'9' * 90}</HUGE>"
        "<TWICE>1</TWICE><TWICE>2</TWICE>"
        f"<history>one\n{'two ' * 30}</history><HISTORY comment='three'/></fits>"
        "<helioviewer><HV_X>1</HV_X></helioviewer></meta>\0"
    )
    header = images.read(write(jp2_bytes(xml=xml))).header
    assert {k: header[k] for k in ("RSUN_OBS", "ID", "EXP", "LOWER", "LONG_KEYWORD", "TEXT", "TWICE")} == {
        "RSUN_OBS": 0, "ID": "20_30", "EXP": 2.9, "LOWER": 7, "LONG_KEYWORD": "x",
        "TEXT": "caf? & more", "TWICE": 2,
    }  # fmt: skip
    assert header["LONGTEXT"] == "v" * 200
    assert header["HUGE"] == "9" * 90
    history = list(header["HISTORY"])
    assert (history[0], history[-1]) == ("one", "three")
    absent = {"SIMPLE", "BITPIX", "ZCMPTYPE", "TEMP", "LOW", "EMPTY", "HV_X", "CL\u00c9"}
    assert not absent & set(header)
    assert header.tostring()


def test_a_second_wcs_default_is_fits_own(write):
    # No CRVAL and no CRPIX: FITS says 0 for both.
    header = {k: v for k, v in SUN.items() if k[:5] not in ("CRVAL", "CRPIX", "CROTA")}
    got = images.read(write(jp2_bytes(header=header))).header
    expected = 3600 * np.array(WCS(fits.Header(header)).wcs_pix2world([2.0], [NY - 1 - 5.0], 0))
    np.testing.assert_allclose(world(got, [2.0], [5.0]), expected, atol=1e-6)


def test_unreadable_fits_cards_are_dropped_with_one_warning_that_names_them(write):
    data = fits_bytes()
    bad = b"R_VALUE =                  nan".ljust(80) + b"FIXABLE = 1e5".ljust(80) + b"END".ljust(80)
    data = data.replace(b"END".ljust(240), bad)
    path = write(data, "sharp.fits")
    for reader in (images.read, images.read_header):
        with pytest.warns(ImageWarning, match=r"sharp\.fits: .*R_VALUE$") as caught:
            result = reader(path)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        header = result[-2]
        assert "R_VALUE" not in header
        assert header["FIXABLE"] == 1e5
        assert header.tostring()


@pytest.mark.filterwarnings("ignore::solartrack.errors.ImageWarning")
def test_real_fits_files_match_astropy_and_keep_their_wcs(shared):
    paths = sorted((shared / "data/hmi").glob("*.fits")) + sorted((shared / "data/aia").glob("*.fits"))
    assert paths
    for path in paths:
        array, header, when = images.read(path)
        with fits.open(path) as hdus:
            hdu = next(h for h in hdus if h.header["NAXIS"] == 2)
            np.testing.assert_array_equal(array, hdu.data)
            assert header.get("CRPIX1") == hdu.header.get("CRPIX1")
        assert when is not None
        header.tostring()


def test_pictures_have_a_header_of_their_size_only(files):
    header = images.read(files["png"], window=(4, 4, 10, 9)).header
    assert dict(header) == {"NAXIS": 2, "NAXIS1": 6, "NAXIS2": 5}


# -- time ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"DATE-OBS": "2014-01-01T00:00:11.34"}, "2014-01-01T00:00:11.340"),
        ({"DATE-OBS": "2014-01-01T00:00:11.34Z"}, "2014-01-01T00:00:11.340"),
        ({"DATE_OBS": "2014-01-01 00:00:11"}, "2014-01-01T00:00:11.000"),
        ({"T_REC": "2011.02.15_02:00:00_TAI"}, "2011-02-15T01:59:26.000"),
        ({"T_REC": "2011.02.15_02:00_TAI"}, "2011-02-15T01:59:26.000"),
        ({"T_OBS": "2014-01-01T00:00:12.34Z"}, "2014-01-01T00:00:12.340"),
        ({"DATE-OBS": "2011-06-06T23:59:55", "TIMESYS": "TT"}, "2011-06-06T23:58:48.816"),
        ({"DATE-OBS": "2011-02-15T02:00:00", "TIMESYS": "TAI"}, "2011-02-15T01:59:26.000"),
        ({"DATE-OBS": "2011-02-15T02:00:00Z", "TIMESYS": "TAI"}, "2011-02-15T02:00:00.000"),
        ({"DATE-OBS": "2011-02-15T02:00:00", "TIMESYS": "1979.00"}, "2011-02-15T02:00:00.000"),
        ({"DATE_OBS": "2013/05/13", "TIME_OBS": "16:54:06.137"}, "2013-05-13T16:54:06.137"),
        ({"DATE-OBS": "2016-12-31T23:59:60.5"}, "2016-12-31T23:59:60.500"),
        # The middle of the exposure before its start, and a good value before a bad one.
        (
            {"DATE-OBS": "2011-02-15T01:58:12.30", "T_OBS": "2011.02.15_01:59:54_TAI"},
            "2011-02-15T01:59:20.000",
        ),
        ({"T_OBS": "MISSING", "DATE-OBS": "2011-02-15T01:58:12.30"}, "2011-02-15T01:58:12.300"),
        ({"T_OBS": "2011.13.15_01:59:54_TAI", "DATE-OBS": "2011-02-15T01:58:12"}, "2011-02-15T01:58:12.000"),
        ({"DATE-OBS": "2011-02-15"}, None),
        ({"DATE-OBS": 7}, None),
        ({}, None),
    ],
)
def test_times_in_headers_become_utc(write, cards, expected):
    _, when = images.read_header(write(fits_bytes(fits.PrimaryHDU(GREY, fits.Header(cards)))))
    assert (when and when.isot) == expected
    assert when is None or when.scale == "utc"


def test_the_header_knows_the_time_better_than_the_name(write):
    name = "2011_01_01__00_00_00_000__SDO_AIA_AIA_171.jp2"
    assert images.read_header(write(jp2_bytes(), name))[1].isot == "2014-02-03T02:08:47.340"
    assert images.read_header(write(jp2_bytes(header=None), name))[1].isot == "2011-01-01T00:00:00.000"


# -- threads -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyWarning")
def test_many_threads_read_and_fail_independently(files, tmp_path):
    broken = tmp_path / "broken.jp2"
    data = bytearray(files["jp2"].read_bytes())
    at = data.index(b"\xff\x52")  # the coding style marker
    data[at + 9] = 99  # far too many wavelet levels
    broken.write_bytes(data)
    expected = {kind: images.read(path).array for kind, path in files.items()}

    def work(i):
        if i % 7 == 0:
            with pytest.raises(ImageError, match=r"broken\.jp2: .*cannot be decoded \(\w"):
                images.read(broken)
            return True
        kind = list(files)[i % len(files)]
        return np.array_equal(images.read(files[kind]).array, expected[kind])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))


def test_row0_is_the_bottom_in_fits_only(tmp_path):
    fits.writeto(tmp_path / "a.dat", np.zeros((2, 2)))
    Image.new("L", (2, 2)).save(tmp_path / "b.png")
    assert images.row0(tmp_path / "a.dat") == "bottom"
    assert images.row0(tmp_path / "b.png") == "top"


# -- headers of real files -------------------------------------------------------------


def with_card(data: bytes, key: str, text: str) -> bytes:
    """FITS bytes with the value of a card replaced as it stands."""
    at = data.index(f"{key:8}=".encode())
    return data[:at] + f"{key:8}= {text:>20}".ljust(80).encode() + data[at + 80 :]


@pytest.mark.parametrize(("key", "number"), [("CRPIX1", 20.25), ("CDELT2", 3.1), ("CROTA2", 25.0)])
def test_a_number_with_exponent_d_or_in_quotes_is_that_number_to_astropys_wcs(write, key, number):
    plain = images.read_header(write(fits_bytes())).header
    for text in (f"{number:.6E}".replace("E", "D"), f"'{number}'"):
        header = images.read_header(write(with_card(fits_bytes(), key, text))).header
        assert header[key] == number
        np.testing.assert_allclose(world(header, 3.0, 7.0), world(plain, 3.0, 7.0))


@pytest.mark.parametrize("window", [None, (4, 4, 40, 40)])
@pytest.mark.parametrize("text", ["nan", "180,01", "'north'"])
def test_an_unreadable_roll_is_kept_as_text_and_refused_by_name(write, text, window):
    image = images.read(write(with_card(fits_bytes(), "CROTA2", text)), window=window)
    assert image.header["CROTA2"] == text.strip("'")
    with pytest.raises(GeometryError, match=f"CROTA2 is '{image.header['CROTA2']}', which is no number"):
        ImageGeometry.from_header(image.header)


@pytest.mark.parametrize(("key", "text"), [("CRPIX2", "128,5"), ("CROTA2", "20,5"), ("CROTA2", "nan")])
def test_a_jp2_whose_header_has_no_number_is_read_and_its_card_named(write, key, text):
    with pytest.warns(ImageWarning, match=f"dropped the WCS of its header, because {key} is '{text}'"):
        image = images.read(write(jp2_bytes(header=SUN | {key: text})))
    assert image.array.shape == (NY, NX)
    with pytest.raises(GeometryError, match=f"{key} is '{text}', which is no number"):
        ImageGeometry.from_header(image.header)


def test_a_jp2_whose_header_is_for_a_larger_image_says_so_where_a_geometry_is_asked_for(write):
    with pytest.warns(ImageWarning, match="for 122 x 90 pixels"):
        header = images.read_header(write(jp2_bytes(header=SUN | {"NAXIS1": 122, "NAXIS2": 90}))).header
    with pytest.raises(GeometryError, match=f"header is for 122 x 90 pixels, the image has {NX} x {NY}"):
        ImageGeometry.from_header(header)


def test_a_time_scale_that_is_not_known_leaves_no_time_and_a_warning_that_names_it(write):
    path = write(jp2_bytes(header=SUN | {"TIMESYS": "LOCAL"}), "2014_02_03__02_08_47_34__SDO_AIA_AIA_171.jp2")
    with pytest.warns(ImageWarning, match="TIMESYS is 'LOCAL'"):
        image = images.read(path)
    assert image.time is None and image.array.shape == (NY, NX)
    tdt = images.read(write(jp2_bytes(header=SUN | {"TIMESYS": "TDT"}))).time
    assert abs(tdt - Time("2014-02-03T02:07:40.156")).to_value("s") < 1e-3


XML_CARDS = "".join(f"<{key}>{value}</{key}>" for key, value in SUN.items())


@pytest.mark.parametrize(
    "xml",
    [
        f"<fits>{XML_CARDS}</fits>",
        f'<meta xmlns="http://helioviewer.org/meta"><fits>{XML_CARDS}</fits></meta>',
        f'<h:meta xmlns:h="http://helioviewer.org/meta"><h:fits>{XML_CARDS}</h:fits></h:meta>',
    ],
)
def test_a_jp2_header_is_read_from_any_root_and_namespace(write, xml):
    header = images.read_header(write(jp2_bytes(xml=xml))).header
    assert header == images.read_header(write(jp2_bytes())).header


def test_a_jp2_header_is_read_from_a_second_xml_box(write):
    data = jp2_bytes()  # its box lies before the codestream
    other = b"<other><name>value</name></other>"
    at = data.index(b"xml ") - 4
    data = data[:at] + struct.pack(">I4s", len(other) + 8, b"xml ") + other + data[at:]
    assert images.read_header(write(data)).header["CRPIX1"] == SUN["CRPIX1"]


def test_a_jp2_whose_xml_holds_no_header_says_so(write):
    with pytest.warns(ImageWarning, match=r"no <fits> element.*so it has no WCS"):
        images.read_header(write(jp2_bytes(xml="<other><name>value</name></other>")))


def cube_bytes(*planes, **options):
    cube = np.arange(np.prod(planes, dtype=int) * NX * NY, dtype=np.float32).reshape(*planes, NY, NX)
    header = fits.Header({k: v for k, v in SUN.items() if not k.startswith("NAXIS")})
    header.update(
        {"CTYPE3": "STOKES", "CRPIX3": 1.0, "CDELT3": 1.0, "CRVAL3": 1.0, "PC3_3": 1.0, "WCSAXES": 3}
    )
    return fits_bytes(fits.PrimaryHDU(cube, header))


@pytest.mark.parametrize("planes", [(1,), (1, 1)])
def test_a_cube_of_one_plane_is_an_image(write, planes):
    image, plain = images.read(write(cube_bytes(*planes))), images.read(write(fits_bytes(), "plain"))
    np.testing.assert_array_equal(image.array, plain.array)
    assert WCS(image.header).naxis == 2
    np.testing.assert_allclose(world(image.header, 3.0, 7.0), world(plain.header, 3.0, 7.0))
    part = images.read(write(cube_bytes(*planes)), window=(4, 8, 20, 30), reduce=2)
    np.testing.assert_array_equal(
        part.array, images.read(write(fits_bytes()), window=(4, 8, 20, 30), reduce=2).array
    )


@pytest.mark.parametrize("dtype", ["u2", "u4", "i1"])
@pytest.mark.parametrize("window", [None, (1, 1, 3, 4)])
def test_blank_pixels_of_offset_integers_are_nan(write, dtype, window):
    pixels = np.arange(12, dtype=dtype).reshape(4, 3)
    hdu = fits.PrimaryHDU(pixels)
    stored = {"u2": 1 << 15, "u4": 1 << 31, "i1": -128}[dtype]
    hdu.header["BLANK"] = 7 - stored
    data = fits_bytes(hdu)
    array = images.read(write(data), window=window).array
    x0, y0, x1, y1 = window or (0, 0, 3, 4)
    expected = np.where(pixels == 7, np.nan, pixels)[y0:y1, x0:x1]
    assert array.dtype == ("f8" if dtype == "u4" else "f4")
    np.testing.assert_array_equal(array, expected)
    if window is None:
        np.testing.assert_array_equal(images.read_pixels(write(data)), expected)


def test_integers_without_a_blank_pixel_stay_integers(write):
    hdu = fits.PrimaryHDU(np.arange(12, dtype="u2").reshape(4, 3))
    hdu.header["BLANK"] = 30000
    assert images.read(write(fits_bytes(hdu))).array.dtype == np.uint16


def test_a_reduced_image_without_a_scale_in_its_header_is_not_given_one(write):
    cards = {k: v for k, v in SUN.items() if k[:5] not in ("NAXIS", "CDELT")} | {"TELESCOP": "NSO-GONG"}
    data = fits_bytes(fits.PrimaryHDU(np.zeros((NY, NX), np.float32), fits.Header(cards)))
    assert "CDELT1" not in images.read(write(data), window=(2, 2, 20, 20)).header
    with pytest.raises(GeometryError, match="reduced 2 times, and the header lacks CDELT1"):
        ImageGeometry.from_header(images.read(write(data), reduce=2).header)


def test_eits_radius_in_pixels_is_reduced_with_the_image(write):
    cards = {k: v for k, v in SUN.items() if k[:5] != "NAXIS"} | {"INSTRUME": "EIT", "SOLAR_R": 400.0}
    data = fits_bytes(fits.PrimaryHDU(np.zeros((NY, NX), np.float32), fits.Header(cards)))
    whole = ImageGeometry.from_header(images.read(write(data)).header)
    small = ImageGeometry.from_header(images.read(write(data), reduce=4).header)
    assert small.distance_rsun == pytest.approx(whole.distance_rsun)


def test_a_file_whose_name_is_not_utf8_is_read(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"b_\xe9.fits")
    with open(path, "wb") as file:
        file.write(fits_bytes())
    (found,) = images.find_images(tmp_path)
    assert images.read(found).array.shape == (NY, NX)
    with open(path, "wb") as file:
        file.write(b"broken")
    with pytest.raises(ImageError, match="none of FITS"):
        images.read(found)
