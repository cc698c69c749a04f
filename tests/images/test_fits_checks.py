"""What a FITS header claims is checked before a decompressor believes it."""

import importlib.util
import os
import random
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from solartrack import images
from solartrack.errors import ImageError

FUZZER = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_fits.py"
#: Damaged files in the fuzzer's run; 200000 take about an hour.
FUZZED = int(os.environ.get("SOLARTRACK_FUZZED_FILES", "600"))


def tiled(path, array=None, how="RICE_1", tile=(1, 64), **more):
    array = np.arange(48 * 64, dtype=np.int16).reshape(48, 64) % 700 if array is None else array
    hdu = fits.CompImageHDU(array, compression_type=how, tile_shape=tile, **more)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def edit(path, **cards):
    data = bytearray(path.read_bytes())
    for key, value in cards.items():
        at = [k for k in range(0, len(data) - 79, 80) if data[k : k + 8] == key.ljust(8).encode()][-1]
        data[at : at + 80] = f"{key:<8}= {value:>20}".ljust(80).encode()
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    ("how", "tile", "card", "message"),
    [
        ("RICE_1", (1, 64), {"ZVAL2": 1000000}, r"ZVAL2 = 1000000 \(BYTEPIX\) is none of 1, 2, 4"),
        ("RICE_1", (1, 64), {"ZVAL2": 8}, r"ZVAL2 = 8 \(BYTEPIX\)"),
        ("RICE_1", (1, 64), {"ZVAL1": 0}, r"ZVAL1 = 0 \(BLOCKSIZE\)"),
        ("HCOMPRESS_1", (16, 64), {"ZNAXIS1": 32}, "tile 1 has 64 x 16 pixels, the header says 32 x 16"),
        ("HCOMPRESS_1", (16, 64), {"ZTILE1": 32}, "make 6 tiles of 32 x 16, its table has 3"),
        ("RICE_1", (1, 64), {"ZNAXIS2": 47}, "make 47 tiles of 64 x 1, its table has 48"),
        ("RICE_1", (1, 64), {"ZTILE1": 0}, "ZTILE1 = 0 cannot be"),
        ("RICE_1", (1, 64), {"ZNAXIS": 999999999}, "ZNAXIS = 999999999 cannot be, it must be from 1 to 999"),
        ("RICE_1", (1, 64), {"NAXIS": 999999999}, "NAXIS = 999999999 cannot be, it must be from 0 to 999"),
        ("RICE_1", (1, 64), {"PCOUNT": 100}, "tile 4 claims 27 bytes from byte 81 of 100"),
        ("RICE_1", (1, 64), {"PCOUNT": 10**12}, "truncated or damaged: the header needs 1000000"),
        ("RICE_1", (1, 64), {"TFORM1": "'1QB(9)'"}, "its columns take 16 bytes, NAXIS1 = 8"),
        ("RICE_1", (1, 64), {"TFORM1": "'1D'"}, "column COMPRESSED_DATA does not point at bytes"),
        ("RICE_1", (1, 64), {"TTYPE1": "'OTHER'"}, "no column COMPRESSED_DATA"),
        ("RICE_1", (1, 64), {"ZCMPTYPE": "'HCOMPRESS_1'"}, "tile 1 is not compressed with HCOMPRESS_1"),
        ("RICE_1", (1, 64), {"ZCMPTYPE": "'GZIP_1'"}, "tile 1 is not compressed with GZIP"),
        ("RICE_1", (1, 64), {"ZCMPTYPE": "'LZW'"}, "ZCMPTYPE = 'LZW' is none of RICE_1"),
        ("RICE_1", (1, 64), {"ZIMAGE": 17}, "ZIMAGE = 17 is none of True, False"),
        ("RICE_1", (1, 64), {"ZBITPIX": 33}, "ZBITPIX = 33 is none of"),
        ("PLIO_1", (4, 64), {"ZCMPTYPE": "'GZIP_2'"}, "tile 1 is not compressed with GZIP"),
    ],
)
def test_a_claim_that_cannot_be_true_is_an_error_that_names_it(tmp_path, how, tile, card, message):
    path = edit(tiled(tmp_path / "a.fits", how=how, tile=tile), **card)
    only_claims = not message.startswith("tile ")
    for read in (images.read, images.read_pixels, *[images.read_header] * only_claims):
        with pytest.raises(ImageError, match=message):
            read(path)


def test_a_plain_header_of_a_thousand_million_axes_is_refused_at_once(tmp_path):
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "a.fits")
    with pytest.raises(ImageError, match="NAXIS = 999999999 cannot be"):
        images.read(edit(tmp_path / "a.fits", NAXIS=999999999))


def test_rows_that_share_their_compressed_data_are_refused(tmp_path):
    path = tiled(tmp_path / "a.fits")
    with fits.open(path, disable_image_compression=True) as hdus:
        at, rows, heap = hdus[1]._data_offset, hdus[1].header["NAXIS2"], hdus[1].header["PCOUNT"]
    data = bytearray(path.read_bytes())
    data[at : at + 8 * rows] = np.tile(np.array([heap, 0], ">i4"), rows).tobytes()
    path.write_bytes(bytes(data))
    with pytest.raises(ImageError, match=rf"tiles claim {rows * heap} bytes of {heap}: they overlap"):
        images.read(path)


def test_a_compressed_image_has_the_limit_of_pictures(tmp_path, monkeypatch):
    path = tiled(tmp_path / "a.fits")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 // 2 - 1)
    with pytest.raises(ImageError, match=r"claims 64 x 48 pixels, more than .* raise PIL.Image.MAX_IMAGE_PI"):
        images.read(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 // 2)
    assert images.read(path).array.shape == (48, 64)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert images.read(path).array.shape == (48, 64)


def test_a_tile_that_unpacks_to_more_than_its_pixels_is_refused(tmp_path):
    path = tiled(tmp_path / "a.fits", np.zeros((300, 64), np.int16), "GZIP_1", (300, 64))
    with pytest.raises(ImageError, match="tile 1 unpacks to more than 1024 bytes"):
        images.read(edit(path, ZNAXIS1=2, ZNAXIS2=64, ZTILE1=2, ZTILE2=64))


def test_a_header_of_thousands_of_projection_parameters_is_refused(tmp_path):
    header = fits.Header([(f"PV{i}_{j}", 0.0) for i in range(1, 40) for j in range(100)])
    fits.PrimaryHDU(np.zeros((4, 4)), header=header).writeto(tmp_path / "a.fits")
    with pytest.raises(ImageError, match="more than 200 PVi_m or PSi_m cards"):
        images.read(tmp_path / "a.fits")


def test_a_jp2_header_of_thousands_of_projection_parameters_is_refused(tmp_path):
    cards = "".join(f"<PV{i}_{j}>0</PV{i}_{j}>" for i in range(1, 40) for j in range(100))
    xml = f"<meta><fits>{cards}</fits></meta>".encode()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.jp2")
    with (tmp_path / "a.jp2").open("ab") as file:
        file.write((len(xml) + 8).to_bytes(4, "big") + b"xml " + xml)
    with pytest.raises(ImageError, match="more than 200 PVi_m or PSi_m cards"):
        images.read(tmp_path / "a.jp2")


@pytest.mark.parametrize("written", ["zval2   ", "HIERARCH ZVAL2 "])
def test_a_keyword_that_is_written_in_another_way_is_checked_too(tmp_path, written):
    path = tiled(tmp_path / "a.fits")
    data = path.read_bytes()
    at = data.index(b"ZVAL2   =")
    path.write_bytes(data[:at] + f"{written}= 1000000".ljust(80).encode() + data[at + 80 :])
    with pytest.raises(ImageError, match="ZVAL2"):
        images.read(path)


@pytest.mark.parametrize("how", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS"])
@pytest.mark.parametrize("tile", [(1, 64), (16, 64), (48, 64), (20, 30)])
def test_whole_files_of_every_compression_pass(tmp_path, how, tile):
    if how == "HCOMPRESS_1" and tile[0] < 4:
        pytest.skip("its tiles have at least 4 rows")
    wanted = np.arange(48 * 64, dtype=np.int16).reshape(48, 64) % 700
    assert (images.read(tiled(tmp_path / "a.fits", wanted, how, tile)).array == wanted).all()


@pytest.mark.parametrize("method", [-1, 1, 2])
def test_quantized_floats_and_rows_that_could_not_be_quantized_pass(tmp_path, method):
    wanted = np.random.default_rng(0).normal(0, 100, (48, 64)).astype(np.float32)
    wanted[3] = np.nan
    wanted[4] = 1e30 * np.arange(64)
    path = tiled(tmp_path / "a.fits", wanted, quantize_level=16, quantize_method=method)
    got = images.read(path).array
    assert np.isnan(got[3]).all()
    np.testing.assert_allclose(np.delete(got, [3, 4], 0), np.delete(wanted, [3, 4], 0), atol=20)


def test_no_damaged_file_ends_the_process_or_hangs(tmp_path):
    spec = importlib.util.spec_from_file_location("fuzz_fits", FUZZER)
    fuzzer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzzer)
    result = fuzzer.fuzz(FUZZED, random.Random(FUZZED).randrange(10**6), tmp_path)
    assert result["findings"] == []
    assert len(result["tally"]) == 2  # some read, some refused
