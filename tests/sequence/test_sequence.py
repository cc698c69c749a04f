import datetime
import pickle

import astropy.units as u
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image

from solartrack import images, sequence
from solartrack.coordinates import ImageGeometry
from solartrack.errors import ImageError, TrackError, TrackWarning
from solartrack.sequence import Frame, as_days, frame_numbers, frames_of, read_frame

DISK = ImageGeometry.from_disk((32, 32), 28, b0_deg=4.0)


def write_fits(path, time, size=64, **changes):
    cards = {
        "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec", "CRPIX1": size / 2 + 0.5,
        "CRPIX2": size / 2 + 0.5, "CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": 2200.0 / size, "CDELT2": 2200.0 / size,
        "RSUN_REF": 6.957e8, "DSUN_OBS": 1.496e11, "HGLT_OBS": 4.0, "DATE-OBS": time, **changes,
    }  # fmt: skip
    array = np.arange(size * size, dtype=np.float32).reshape(size, size)
    fits.writeto(path, array, fits.Header({k: v for k, v in cards.items() if v is not None}))
    return path


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        write_fits(tmp_path / f"aia_{i}.fits", f"2014-02-03T{6 * i:02}:00:00")
    return tmp_path


def test_a_record_says_what_the_header_says(folder):
    frame = read_frame(folder / "aia_1.fits", 7)
    header, time = images.read_header(folder / "aia_1.fits")
    assert frame.number == 7 and frame.file == str(folder / "aia_1.fits") and frame.shape == (64, 64)
    assert frame.time == datetime.datetime(2014, 2, 3, 6) and frame.mjd_tai == time.tai.mjd
    assert frame.geometry == ImageGeometry.from_header(header)
    assert frame.trouble == frame.no_geometry == frame.no_time == ""
    assert read_frame(folder / "aia_1.fits", geometry=False).geometry is None


def test_a_record_of_a_bad_file_says_why(tmp_path):
    (tmp_path / "bad.fits").write_bytes(b"")
    frame = read_frame(tmp_path / "bad.fits")
    assert "bad.fits" in frame.trouble and "empty" in frame.trouble
    assert frame.time is None and np.isnan(frame.mjd_tai) and frame.shape == (0, 0)
    assert "no such file" in read_frame(tmp_path / "none.fits").trouble


def test_a_record_says_why_there_is_no_geometry_or_time(tmp_path):
    frame = read_frame(write_fits(tmp_path / "a.fits", None, CRVAL1=None))
    assert frame.geometry is None and "lacks CRVAL1" in frame.no_geometry
    assert "give times or a cadence" in frame.no_time


@pytest.mark.parametrize("window", [None, (3, 5, 40, 22)])
def test_pixels_come_with_their_place_from_files_and_from_memory(folder, window):
    array = images.read(folder / "aia_0.fits").array
    x0, y0, x1, y1 = window or (0, 0, 64, 64)
    for frame in (read_frame(folder / "aia_0.fits"), *frames_of([array])):
        part = frame.read(window)
        assert (part.x0, part.y0) == (x0, y0)
        np.testing.assert_array_equal(part.pixels, array[y0:y1, x0:x1])


def test_pixels_of_a_bad_file_are_an_error_that_names_it(folder):
    frame = read_frame(folder / "aia_0.fits")
    (folder / "aia_0.fits").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"aia_0\.fits"):
        frame.read()


def test_records_come_in_the_order_of_time(folder):
    frames = frames_of([folder / f"aia_{i}.fits" for i in (2, 0, 1)])
    assert [frame.file[-6] for frame in frames] == ["0", "1", "2"]
    assert [frame.number for frame in frames] == [1, 2, 0]


def test_records_that_exist_are_taken_as_they_are(folder):
    known = [read_frame(folder / f"aia_{i}.fits", 10 + i) for i in range(3)]
    assert frames_of(known) == known


def test_where_only_a_cadence_is_known_time_counts_from_the_first_image():
    frames = frames_of(np.zeros((3, 8, 8)), cadence="6h")
    assert [frame.mjd_tai for frame in frames] == [0.0, 0.25, 0.5]
    assert all(frame.time is None for frame in frames)


def test_given_times_and_geometry_replace_those_of_the_headers(folder):
    frames = frames_of(folder, times="2020-01-01", cadence=1 * u.day, geometry=DISK)
    assert [frame.time.day for frame in frames] == [1, 2, 3]
    assert all(frame.geometry is DISK for frame in frames)


def test_a_time_that_is_none_costs_its_record_only(folder):
    frames = frames_of(folder, times=["2020-01-01", "soon", None])
    assert [np.isfinite(frame.mjd_tai) for frame in frames] == [True, False, False]
    assert "got 'soon'" in frames[1].no_time and "give times" in frames[2].no_time


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"images": []}, TrackError, "no images found"),
        ({"times": ["2014-01-01"]}, ValueError, "one entry per image, got 1 for 3"),
        ({"geometry": [DISK]}, ValueError, "one per image, got 1 for 3"),
        ({"cadence": "4"}, ValueError, "cadence must be a length of time"),
        ({"times": ["2014-01-01"] * 3, "cadence": "4h"}, ValueError, "time of the first image"),
    ],
)
def test_wrong_arguments_are_errors(folder, arguments, error, message):
    with pytest.raises(error, match=message):
        frames_of(**{"images": folder, **arguments})


def test_records_survive_a_table_and_a_pickle(folder, tmp_path):
    (folder / "aia_1.fits").write_bytes(b"")
    frames = [read_frame(path, i) for i, path in enumerate(sorted(folder.glob("*.fits")))]
    table = sequence.frames_to_table(frames)
    table.to_parquet(tmp_path / "index.parquet")
    back = sequence.frames_from_table(pd.read_parquet(tmp_path / "index.parquet"))
    for one in (back, pickle.loads(pickle.dumps(frames))):
        for a, b in zip(one, frames, strict=True):
            for name in ("number", "file", "time", "geometry", "shape", "trouble", "no_geometry", "no_time"):
                assert getattr(a, name) == getattr(b, name), name
            np.testing.assert_equal(a.mjd_tai, b.mjd_tai)


@pytest.mark.parametrize("length", ["36h", "1.5d", "1.5 d", 36 * u.hour, datetime.timedelta(hours=36), np.timedelta64(36, "h")])  # fmt: skip
def test_lengths_of_time_in_days(length):
    assert as_days(length, "duration") == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("length", "error"),
    [("36", ValueError), ("-1h", ValueError), ("0h", ValueError), ("often", ValueError), (36, TypeError), (None, TypeError)],
)  # fmt: skip
def test_what_is_no_length_of_time_is_an_error_that_names_the_argument(length, error):
    with pytest.raises(error, match="duration must be"):
        as_days(length, "duration")


def test_frame_numbers_are_those_of_the_names_if_all_are_numbers():
    assert frame_numbers(["006.png", "011.png"]) == [6, 11]
    assert frame_numbers(["a.png", "b.png"]) == [0, 1]
    assert frame_numbers([np.zeros((2, 2)), "6.png"]) == [0, 1]
    with pytest.warns(TrackWarning, match="2 of 3 file names are numbers"):
        assert frame_numbers(["1.png", "2.png", "cover.png"]) == [0, 1, 2]


def test_a_missing_file_keeps_its_place(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "1.png")
    frames = frames_of([tmp_path / "1.png", tmp_path / "2.png"], cadence="1h")
    assert [bool(frame.trouble) for frame in frames] == [False, True]
    assert isinstance(frames[0], Frame)


@pytest.mark.parametrize("colours", [3, 4])
def test_a_colour_image_is_not_taken_for_a_stack_of_narrow_ones(colours):
    with pytest.raises(ValueError, match="looks like one image with its colours last"):
        frames_of(np.zeros((20, 30, colours), np.uint8))
    assert len(frames_of(np.zeros((3, 20, 30), np.uint8))) == 3
