import csv
import datetime
import functools

import astropy.units as u
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sunpy.map
from astropy.io import fits
from astropy.time import Time
from PIL import Image

from solartrack import boxes, errors, images, metrics, tracking
from solartrack.coordinates import ImageGeometry, rotate_box
from solartrack.errors import TrackError
from solartrack.tracking import formats

DISK = ImageGeometry.from_disk((32, 32), 28, b0_deg=4.0)
BOX = [20.0, 20, 30, 28]
XYXY = ["x0", "y0", "x1", "y1"]
# What is tested here is the loop around a tracker; this one is right whatever the pixels show.
track = functools.partial(tracking.track, tracker="rotation")


def write_png(path, size=64):
    Image.fromarray(np.full((size, size), 100, np.uint8)).save(path)


def write_fits(path, time, size=64, **changes):
    cards = {
        "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec", "CRPIX1": size / 2 + 0.5,
        "CRPIX2": size / 2 + 0.5, "CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": 2200.0 / size, "CDELT2": 2200.0 / size,
        "RSUN_REF": 6.957e8, "DSUN_OBS": 1.496e11, "HGLT_OBS": 4.0, "DATE-OBS": time, **changes,
    }  # fmt: skip
    header = fits.Header({k: v for k, v in cards.items() if v is not None})
    fits.writeto(path, np.full((size, size), 5, np.float32), header)


@pytest.fixture
def pngs(tmp_path):
    for number in (6, 11, 16, 21):
        write_png(tmp_path / f"{number:03}.png")
    return tmp_path


@pytest.fixture
def fitses(tmp_path):
    for i in range(4):
        write_fits(tmp_path / f"aia_{i}.fits", f"2014-02-03T{6 * i:02}:00:00")
    return tmp_path


def test_folder_of_pictures_gives_a_row_for_each(pngs):
    table = track(pngs, BOX, cadence="6h", geometry=DISK)
    assert list(table.columns) == list(tracking.COLUMNS)
    assert table["frame"].tolist() == [6, 11, 16, 21]
    assert table["state"].tolist() == ["start", "tracked", "tracked", "tracked"]
    np.testing.assert_allclose(table["days"], [0, 0.25, 0.5, 0.75])
    for days, row in zip(table["days"], table[XYXY].to_numpy(), strict=True):
        np.testing.assert_allclose(row, rotate_box(BOX, days, DISK).box, atol=1e-9)
    assert (table["x0"].diff()[1:] > 0).all()
    settings = table.attrs["settings"]
    assert (
        table["frame"][table["state"] == "start"].tolist() == [6]
        and settings["geometry"] == "given"
        and settings["solartrack"]
    )


def test_times_and_geometry_come_from_headers(fitses):
    table = track(fitses, BOX)
    geometry = ImageGeometry.from_header(images.read_header(fitses / "aia_0.fits")[0])
    assert table["time"].tolist() == [
        pd.Timestamp("2014-02-03") + pd.Timedelta(hours=6 * i) for i in range(4)
    ]
    np.testing.assert_allclose(table[XYXY].to_numpy()[3], rotate_box(BOX, 0.75, geometry).box, atol=1e-6)
    assert table.attrs["settings"]["geometry"] == "headers"


def test_box_in_the_middle_is_followed_both_ways(pngs):
    table = track(pngs, BOX, start=16, cadence="6h", geometry=DISK)
    assert table["state"].tolist() == ["tracked", "tracked", "start", "tracked"]
    np.testing.assert_allclose(table["days"], [-0.5, -0.25, 0, 0.25])
    np.testing.assert_array_equal(table[XYXY].to_numpy()[2], BOX)
    assert table["x0"].is_monotonic_increasing
    later = track(pngs, BOX, start="016.png", cadence="6h", geometry=DISK, both_ways=False)
    assert later["frame"].tolist() == [16, 21]


def test_the_start_image_may_be_given_as_the_path_it_has_in_the_list(pngs):
    paths = sorted(pngs.iterdir())
    table = track(paths, BOX, start=paths[2], cadence="6h", geometry=DISK)
    assert table["state"].tolist() == ["tracked", "tracked", "start", "tracked"]


def test_a_frame_number_that_is_no_place_in_the_list_is_an_error_that_says_where_numbers_come_from(pngs):
    message = r"no frame 0 to start at; there are 6, 11, 16, 21 \(the numbers in the file names\)"
    with pytest.raises(TrackError, match=message):
        track(sorted(pngs.iterdir()), BOX, start=0, cadence="6h", geometry=DISK)


@pytest.mark.parametrize("cadence", ["4h", datetime.timedelta(hours=4), 4 * u.hour, np.timedelta64(4, "h")])
def test_cadence_may_be_text_timedelta_or_quantity(pngs, cadence):
    table = track(pngs, BOX, cadence=cadence, geometry=DISK)
    np.testing.assert_allclose(table["days"], np.arange(4) / 6)


def test_times_may_be_strings_datetimes_or_time(pngs):
    texts = [f"2014-02-03T0{i}:00:00" for i in range(4)]
    tables = [
        track(pngs, BOX, times=times, geometry=DISK)
        for times in (texts, Time(texts), [np.datetime64(t) for t in texts], pd.to_datetime(texts))
    ]
    for table in tables:
        pd.testing.assert_frame_equal(table, tables[0])
    assert tables[0]["time"][1] == pd.Timestamp("2014-02-03T01:00:00")


def test_arrays_and_tuples_are_images_too():
    frames = np.zeros((3, 64, 64), np.uint8)
    table = track(frames, BOX, cadence="1h", geometry=DISK)
    assert table["frame"].tolist() == [0, 1, 2] and table["file"].tolist() == ["", "", ""]
    times = [Time("2014-02-03") + i * u.hour for i in range(3)]
    same = track([(f, fits.Header(), t) for f, t in zip(frames, times, strict=True)], BOX, geometry=DISK)
    np.testing.assert_allclose(same[XYXY], table[XYXY], atol=1e-6)


def test_images_out_of_time_order_come_back_in_order(fitses):
    shuffled = [fitses / f"aia_{i}.fits" for i in (2, 0, 3, 1)]
    table = track(shuffled, BOX, start="aia_0.fits")
    assert [file[-6] for file in table["file"]] == ["0", "1", "2", "3"]
    assert table["time"].is_monotonic_increasing
    np.testing.assert_allclose(table[XYXY], track(fitses, BOX)[XYXY])


def test_repeated_image_repeats_the_box_and_says_so(fitses):
    table = track([fitses / "aia_0.fits", fitses / "aia_1.fits", fitses / "aia_1.fits", fitses / "aia_2.fits"], BOX)  # fmt: skip
    assert table["state"].tolist() == ["start", "tracked", "repeated", "tracked"]
    np.testing.assert_array_equal(table[XYXY].to_numpy()[1], table[XYXY].to_numpy()[2])
    assert "same time as frame 1" in table["message"][2]


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
def test_unreadable_file_in_the_middle_costs_its_row_only(fitses):
    (fitses / "aia_1.fits").write_bytes(b"SIMPLE  =                    T" + b" " * 100)
    (fitses / "aia_2.fits").write_bytes(b"")
    table = track(fitses, BOX)
    assert table["state"].tolist() == ["start", "unreadable", "unreadable", "tracked"]
    assert "aia_1.fits" in table["message"][1] and "aia_2.fits" in table["message"][2]
    assert np.isnan(table[XYXY].to_numpy()[1:3]).all() and (table["score"][1:3] == 0).all()
    np.testing.assert_allclose(table["days"][3], 0.75)


def test_missing_file_costs_its_row_only(pngs):
    names = [pngs / "006.png", pngs / "999.png", pngs / "021.png"]
    table = track(names, BOX, cadence="1h", geometry=DISK)
    assert table.set_index("frame")["state"].to_dict() == {6: "start", 999: "unreadable", 21: "tracked"}


def test_image_without_a_time_costs_its_row_only(pngs):
    table = track(pngs, BOX, times=["2014-02-03", None, "2014-02-05", pd.NaT], geometry=DISK)
    assert table["state"].tolist() == ["start", "no_time", "tracked", "no_time"]
    assert table["frame"].tolist() == [6, 11, 16, 21]


def test_image_without_a_geometry_costs_its_row_only(fitses):
    write_fits(fitses / "aia_1b.fits", "2014-02-03T07:00:00", CRVAL1=None)
    table = track(fitses, BOX)
    assert table["state"].tolist() == ["start", "tracked", "no_geometry", "tracked", "tracked"]
    assert "lacks CRVAL1" in table["message"][2]


def test_image_of_another_size_costs_its_row_where_one_disk_was_given(pngs):
    write_png(pngs / "016.png", size=48)
    table = track(pngs, BOX, cadence="1h", geometry=DISK)
    assert table["state"].tolist() == ["start", "tracked", "wrong_size", "tracked"]
    assert "48 x 48" in table["message"][2]


def test_image_of_another_size_with_its_own_header_gets_its_own_pixels(fitses):
    write_fits(fitses / "aia_1b.fits", "2014-02-03T06:00:01", size=128)
    table = track(fitses, BOX)
    assert (table["state"][1:] == "tracked").all()
    np.testing.assert_allclose(table[XYXY].to_numpy()[2], 2 * table[XYXY].to_numpy()[1], atol=0.01)


def test_region_behind_the_limb_is_off_disk_without_a_box(pngs):
    table = track(pngs, [50, 28, 58, 34], cadence="6D", geometry=DISK)
    assert table["state"].tolist() == [
        "start",
        "off_disk",
        "off_disk",
        "tracked",
    ]  # the last: back in the east
    assert np.isnan(table[XYXY].to_numpy()[1:3]).all()


def test_nan_pixels_do_not_matter_to_rotation():
    frames = np.full((2, 64, 64), np.nan)
    assert track(frames, BOX, cadence="1h", geometry=DISK)["state"].tolist() == ["start", "tracked"]


def test_folder_with_one_image_gives_one_row(tmp_path):
    write_png(tmp_path / "a.png")
    table = track(tmp_path, BOX, cadence="1h", geometry=DISK)
    assert table["state"].tolist() == ["start"]


def test_folder_without_images_is_an_error_that_names_it(tmp_path):
    with pytest.raises(TrackError, match=f"no images found in {tmp_path}"):
        track(tmp_path, BOX)
    with pytest.raises(TrackError, match="no images found"):
        track([], BOX)


@pytest.mark.parametrize(
    ("box", "error", "message"),
    [
        ([100, 100, 120, 120], TrackError, "outside the start image, which is 64 x 64"),
        ([-20, -20, 0, 0], TrackError, "outside the start image"),
        ([-1e13, 20, 30, 28], TrackError, r"box must lie within 1e\+09 pixels of the image, got \[-1"),
        ([-1e300, -1e300, 1e300, 1e300], TrackError, r"box must lie within 1e\+09 pixels"),
        ([30, 30, 20, 40], ValueError, "from_xywh"),
        ([30, 30, 30, 40], ValueError, "from_xywh"),
        ([30, 30, np.nan, 40], ValueError, "box must be finite"),
        ([1, 2, 3], ValueError, "box must have shape"),
        ([0, 0, 3, 3], TrackError, "beyond the limb"),
    ],
)
def test_box_that_cannot_be_tracked_is_an_error(pngs, box, error, message):
    with pytest.raises(error, match=message):
        track(pngs, box, cadence="1h", geometry=DISK)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"start": 7}, TrackError, "no frame 7 to start at; there are 6, 11, 16, 21"),
        ({"start": "7.png"}, TrackError, r"no frame '7.png' to start at; there are 006.png"),
        (
            {"tracker": "magic"},
            TrackError,
            "tracker must be one of solar, rectangle, segmentation, rotation, goturn, got 'magic'",
        ),
        ({"cadence": None}, TrackError, "has no time; give times or a cadence"),
        ({"geometry": None}, TrackError, "no header that tells where the Sun is; give the disk"),
        ({"geometry": [DISK]}, ValueError, "geometry must be one or one per image, got 1 for 4"),
        ({"times": ["2014-02-03"] * 4}, ValueError, "with a cadence, times may only be"),
        ({"times": ["2014-02-03"], "cadence": None}, ValueError, "one entry per image, got 1 for 4"),
        ({"times": ["today"] * 4, "cadence": None}, TrackError, "times must be dates such as"),
        ({"times": "today"}, ValueError, "times must be dates such as"),
        ({"cadence": "4"}, ValueError, "cadence must be a length of time"),
        ({"cadence": np.timedelta64(4)}, ValueError, "cadence must be a length of time"),
        ({"cadence": "often"}, ValueError, "cadence must be a length of time"),
        ({"cadence": "-4h"}, ValueError, "cadence must be positive"),
        ({"cadence": 4}, TypeError, "cadence must be a Quantity"),
    ],
)
def test_wrong_arguments_are_errors_with_the_cure(pngs, changes, error, message):
    with pytest.raises(error, match=message):
        track(pngs, BOX, **{"cadence": "1h", "geometry": DISK, **changes})


class Fragile:
    name = "fragile"
    needs_pixels = True
    needs_sun = False

    def settings(self):
        return {"glue": 1}

    def new_region(self, box, frame):
        return box

    def initialize(self, image, regions, frame):
        return [""]

    def update(self, image, regions, frame):
        if frame.number == 1:
            raise RuntimeError("broke")
        return [tracking.Step(np.array(BOX) + frame.number, image.pixels.mean(), "tracked")]


def test_any_object_with_the_interface_is_a_tracker_and_its_failure_costs_one_row():
    frames = np.arange(4)[:, None, None] * np.ones((4, 64, 64)) / 10
    table = track(frames, BOX, tracker=Fragile())
    assert table["state"].tolist() == ["start", "failed", "tracked", "tracked"]
    assert table["message"][1] == "RuntimeError: broke"
    np.testing.assert_allclose(table["score"], [1, 0, 0.2, 0.3])
    np.testing.assert_array_equal(table[XYXY].to_numpy()[3], np.array(BOX) + 3)
    assert table.attrs["settings"]["glue"] == 1


def test_truncated_pixels_cost_their_row_only_where_pixels_are_needed(tmp_path):
    for i in range(3):
        write_png(tmp_path / f"{i}.png")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) - 30])
    tracker = Fragile()
    tracker.update = lambda image, regions, frame: [tracking.Step(np.array(BOX), 1.0, "tracked")]
    table = track(tmp_path, BOX, tracker=tracker)
    assert table["state"].tolist() == ["start", "unreadable", "tracked"]


def test_rows_made_before_an_interruption_are_kept(pngs):
    rows = []
    frames = tracking.iter_track(pngs, BOX, tracker="rotation", cadence="6h", geometry=DISK)
    for row in frames:
        rows.append(row)
        if len(rows) == 2:
            frames.close()
            break
    assert [row["state"] for row in rows] == ["start", "tracked"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_stored_table_reads_back_the_same(pngs, tmp_path, suffix):
    (pngs / "016.png").write_bytes(b"")
    table = track(pngs, BOX, times=["2014-02-03T00:00:00.123456", "2014-02-04", "2014-02-05", None], geometry=DISK)  # fmt: skip
    path = tmp_path / f"track{suffix}"
    tracking.write_track(table, path)
    # Digits that mean nothing are left out of CSV.
    closely = {"check_exact": True} if suffix == ".parquet" else {"rtol": 0.0, "atol": 1e-4}
    pd.testing.assert_frame_equal(tracking.read_track(path), table, **closely)
    assert [p.name for p in tmp_path.iterdir() if "track" in p.name] == [path.name]


def test_coordinates_in_csv_have_four_digits_and_in_parquet_a_unit(pngs, tmp_path):
    table = track(pngs, BOX, cadence="6h", geometry=DISK)
    for suffix in (".csv", ".parquet"):
        tracking.write_track(table, tmp_path / f"track{suffix}")
    with (tmp_path / "track.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, digits in {"days": 8, "x0": 4, "y1": 4, "lon": 5, "tx0": 4, "score": 6}.items():
        assert max(len(row[name].partition(".")[2]) for row in rows) <= digits, name
    units = {
        field.name: (field.metadata or {}).get(b"unit")
        for field in pq.read_schema(tmp_path / "track.parquet")
    }
    assert (units["x0"], units["lon"], units["ty1"], units["days"]) == (b"pix", b"deg", b"arcsec", b"d")
    assert units["score"] is None


@pytest.mark.parametrize("suffix", [".txt", ".ann"])
def test_published_formats_hold_the_frames_with_a_box_in_whole_pixels(pngs, tmp_path, suffix):
    (pngs / "016.png").write_bytes(b"")
    table = track(pngs, BOX, cadence="6h", geometry=DISK)
    path = tmp_path / f"track{suffix}"
    tracking.write_track(table, path)
    back = tracking.read_track(path)
    assert back["frame"].tolist() == [6, 11, 21]
    np.testing.assert_array_equal(back[XYXY], np.rint(table.loc[[0, 1, 3], XYXY]))
    assert list(back.columns) == list(tracking.COLUMNS)


def test_failed_write_leaves_the_old_file_alone(pngs, tmp_path, monkeypatch):
    table = track(pngs, BOX, cadence="6h", geometry=DISK)
    path = tmp_path / "track.csv"
    tracking.write_track(table, path)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="no space"):
        tracking.write_track(table, path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*part*"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 no", "a.parquet is not a readable track"),
        ("a.csv", b"", "a.csv is not a readable track"),
        ("a.csv", b"frame,x0\n1,2\n", "a.csv lacks the columns y0, x1, y1"),
        ("a.csv", b"frame,x0,y0,x1,y1\none,1,2,3,4\n", "a.csv is not a readable track"),
        ("a.csv", b"frame,x0,y0,x1,y1\n1,1,2,three,4\n", "a.csv is not a readable track"),
        ("a.txt", b"1 2 3\n", "a.txt, line 1"),
        ("a.json", b"{}", "suffix must be .parquet, .csv"),
    ],
)
def test_bad_file_is_an_error_that_names_it(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrackError, match=message):
        tracking.read_track(tmp_path / name)


def test_writing_needs_the_columns_and_a_known_suffix(tmp_path):
    with pytest.raises(TrackError, match="missing: "):
        tracking.write_track(pd.DataFrame({"frame": [1]}), tmp_path / "a.csv")
    empty = tracking.read_track(_empty(tmp_path))
    with pytest.raises(TrackError, match=r"suffix must be .parquet.*got '.xls'"):
        tracking.write_track(empty, tmp_path / "a.xls")


def _empty(folder):
    (folder / "empty.csv").write_text("frame,x0,y0,x1,y1\n")
    return folder / "empty.csv"


def test_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.csv"):
        tracking.read_track(tmp_path / "none.csv")


# The region grows. A box that keeps its area on the Sun, as it has to, does not grow with it.
@pytest.mark.parametrize(("start", "bar", "published"), [(66, 0.69, 0.580), (106, 0.85, 0.638)])
def test_rotation_alone_beats_the_published_tracker_on_harp_7269(shared, start, bar, published):
    folder = shared / "data/harp7269"
    frames, truth = formats.read_ann(folder / "HMI_7269.ann")
    truth = truth / 4
    disk = ImageGeometry.from_disk((512, 512), 394.5, b0_deg=0.8)
    table = track(folder / "frames", truth[frames == start], start=start, cadence="4h", geometry=disk)
    assert table["frame"].tolist() == frames.tolist()
    later = (table["days"] > 0).to_numpy()
    ious = metrics.iou(table.loc[later, XYXY], truth[later])
    assert ious.mean() >= bar
    _, theirs = formats.read_xywh(folder / "HMI_7269_reference_output.txt")
    assert metrics.iou(theirs[later] / 4, truth[later]).mean() == pytest.approx(published, abs=0.001)


def test_brightest_region_of_the_real_aia_sequence_shifts_as_predicted(shared):
    files = sorted((shared / "data/jp2").glob("aia171_seq_*.jp2"))
    pixels = images.read(files[0], reduce=4).array
    # The brightest region: the peak of the image smoothed over 40 reduced pixels.
    sums = np.cumsum(np.cumsum(np.pad(pixels.astype(float), ((1, 0), (1, 0))), 0), 1)
    box_sum = sums[40:, 40:] - sums[:-40, 40:] - sums[40:, :-40] + sums[:-40, :-40]
    row, column = np.unravel_index(np.argmax(box_sum), box_sum.shape)
    box = 4.0 * np.array([column, row, column + 40, row + 40])
    table = track(files, box)
    x = (table["x0"] + table["x1"]) / 2
    np.testing.assert_allclose(x[1:] - x[0], [6, 14, 22], atol=1.5)


def test_one_time_and_a_cadence_date_all_images(pngs):
    table = track(pngs, BOX, times="2014-02-03", cadence="6h", geometry=DISK)
    assert table["time"].tolist() == [
        pd.Timestamp("2014-02-03") + pd.Timedelta(hours=6 * i) for i in range(4)
    ]


def test_times_with_a_zone_are_taken_to_utc_and_garbage_costs_its_row_only(pngs):
    times = ["2014-02-03T01:00:00+01:00", " 2014-02-03T06:00:00Z ", "soon", "2014-02-03T18:00:00"]
    table = track(pngs, BOX, times=times, geometry=DISK)
    assert table["state"].tolist() == ["start", "tracked", "no_time", "tracked"]
    np.testing.assert_allclose(table["days"][[0, 1, 3]], [0, 0.25, 0.75], atol=1e-9)
    assert "soon" in table["message"][2]


def test_image_within_a_leap_second_is_tracked(pngs):
    times = ["2016-12-31T23:59:50", "2016-12-31T23:59:60.5", "2017-01-01", "2017-01-01T06:00:00"]
    table = track(pngs, BOX, times=times, geometry=DISK)
    assert (table["state"][1:] == "tracked").all()
    assert table["time"][1] == pd.Timestamp("2016-12-31T23:59:59.999999")


def test_default_start_is_the_first_image_that_can_be_used(pngs):
    (pngs / "006.png").write_bytes(b"")
    table = track(pngs, BOX, cadence="1h", geometry=DISK)
    assert table["state"].tolist() == ["unreadable", "start", "tracked", "tracked"]


def test_box_in_arcsec_or_sky_coordinates_lands_on_the_start_image(fitses):
    geometry = ImageGeometry.from_header(images.read_header(fitses / "aia_0.fits")[0])
    by_pixels = track(fitses, BOX)
    arcsec = boxes.to_arcsec(BOX, geometry)[0]
    np.testing.assert_allclose(track(fitses, arcsec, arcsec=True)[XYXY], by_pixels[XYXY], atol=0.05)
    corners = boxes.to_skycoord(BOX, geometry, "2014-02-03")
    np.testing.assert_allclose(track(fitses, corners)[XYXY], by_pixels[XYXY], atol=1e-4)
    with pytest.raises(TrackError, match="in sky coordinates, but the image has no header"):
        track(np.zeros((2, 64, 64)), corners, cadence="1h", tracker=Fragile())


def test_same_time_in_another_geometry_is_not_a_repetition(fitses):
    write_fits(fitses / "aia_1b.fits", "2014-02-03T06:00:00", CDELT1=68.75, CDELT2=68.75)
    table = track(fitses, BOX)
    assert table["state"].tolist() == ["start", "tracked", "tracked", "tracked", "tracked"]
    wide, narrow = (table["x1"] - table["x0"])[[1, 2]]
    assert narrow == pytest.approx(wide / 2, rel=0.02)


@pytest.mark.parametrize(
    "answer", [None, tracking.Step(np.zeros(3), 1.0, "tracked"), tracking.Step(np.zeros(4), 1.0, "dancing")]
)
def test_bad_answer_of_a_tracker_costs_its_row_only(answer):
    tracker = Fragile()
    tracker.update = lambda image, regions, frame: [
        answer if frame.number == 2 else tracking.Step(np.array(BOX), 1, "tracked")
    ]
    table = track(np.zeros((4, 64, 64)), BOX, tracker=tracker)
    assert table["state"].tolist() == ["start", "tracked", "failed", "tracked"]


def test_tracker_that_cannot_start_backwards_keeps_the_later_rows():
    tracker = Fragile()
    copies = []

    class Once:
        """Can be followed forwards, and not begun with again."""

        def __copy__(self):
            copies.append(1)
            return self if len(copies) < 3 else 1 / 0

    tracker.new_region = lambda box, frame: Once()
    tracker.update = lambda image, regions, frame: [tracking.Step(np.array(BOX), 1.0, "tracked")]
    table = track(np.zeros((4, 64, 64)), BOX, tracker=tracker, start=2, cadence="1h")
    assert table["state"].tolist() == ["failed", "failed", "start", "tracked"]


@pytest.mark.parametrize(
    "said", ["by the way", None, False, 3, object()], ids=["text", "none", "false", "number", "object"]
)
def test_what_a_tracker_says_of_its_start_image_is_in_that_row(said):
    tracker = Fragile()
    tracker.initialize = lambda image, regions, frame: [said]
    tracker.update = lambda image, regions, frame: [tracking.Step(np.array(BOX), 1.0, "tracked")]
    table = track(np.zeros((3, 64, 64)), BOX, tracker=tracker, start=1, cadence="1h")
    assert table["message"].tolist() == ["", "by the way" if said == "by the way" else "", ""]


def test_box_outside_the_image_is_said_to_be(fitses):
    write_fits(fitses / "aia_1b.fits", "2014-02-03T07:00:00", CRPIX1=-200.0)
    assert track(fitses, BOX)["message"][2] == "the box lies outside the image"


def test_a_foreign_file_among_numbered_ones_is_warned_of(pngs):
    write_png(pngs / "cover.png")
    with pytest.warns(errors.TrackWarning, match=r"4 of 5 file names are numbers, but not all \(cover\)"):
        table = track(pngs, BOX, cadence="1h", geometry=DISK)
    assert table["frame"].tolist() == [0, 1, 2, 3, 4]


def test_track_files_with_time_zones_are_read_as_utc(tmp_path):
    (tmp_path / "t.csv").write_text(
        "frame,x0,y0,x1,y1,time\n1,0,0,1,1,2014-01-01T00:00:00+01:00\n2,0,0,1,1,2014-01-01T00:00:00.5\n3,0,0,1,1,\n"
    )
    times = tracking.read_track(tmp_path / "t.csv")["time"]
    assert times[0] == pd.Timestamp("2013-12-31T23:00") and times[1] == pd.Timestamp("2014-01-01T00:00:00.5")
    assert pd.isna(times[2])


# -- boxes and images as users have them ---------------------------------------------


def test_a_box_in_arcsec_is_understood_with_its_unit(fitses):
    sky = boxes.to_arcsec(BOX, ImageGeometry.from_header(images.read_header(fitses / "aia_0.fits")[0]))[0]
    expected = track(fitses, sky, arcsec=True)[XYXY]
    for given in (sky * u.arcsec, (sky / 60) * u.arcmin, [v * u.arcsec for v in sky]):
        np.testing.assert_allclose(track(fitses, given)[XYXY], expected, atol=1e-9)
    np.testing.assert_allclose(
        tracking.track_many(fitses, sky[None] * u.arcsec, tracker="rotation")[XYXY], expected
    )
    np.testing.assert_array_equal(track(fitses, BOX * u.pix)[XYXY], track(fitses, BOX)[XYXY])


@pytest.mark.parametrize("unit", [u.deg, u.m])
def test_a_box_in_another_unit_is_refused_with_the_cure(fitses, unit):
    with pytest.raises(ValueError, match=r"must be in pixels or arcsec, got the unit.*SkyCoord"):
        track(fitses, BOX * unit)


def test_sunpy_maps_are_taken_as_images(fitses):
    paths = sorted(fitses.iterdir())
    maps = [sunpy.map.Map(path) for path in paths]
    table = track(maps, BOX)
    assert (table["file"] == "").all() and table["time"].tolist() == track(paths, BOX)["time"].tolist()
    np.testing.assert_allclose(table[XYXY], track(paths, BOX)[XYXY], atol=1e-6)
    assert len(track(maps[0], BOX)) == 1


def test_a_row_of_a_track_is_a_box_on_its_frame(pngs):
    table = track(pngs, BOX, cadence="6h", geometry=DISK)
    row = table.iloc[2]
    again = track(pngs, row, cadence="6h", geometry=DISK)
    assert again["state"].tolist() == ["tracked", "tracked", "start", "tracked"]
    np.testing.assert_array_equal(again[XYXY].to_numpy()[2], row[XYXY].to_numpy(float))
    assert track(pngs, row, start=6, cadence="6h", geometry=DISK)["state"][0] == "start"


def test_rows_say_where_the_box_is_on_the_sun_and_in_the_sky(fitses, tmp_path):
    table = track(fitses, BOX)
    geometry = ImageGeometry.from_header(images.read_header(fitses / "aia_0.fits")[0])
    sky = table[["tx0", "ty0", "tx1", "ty1"]].to_numpy()
    np.testing.assert_allclose(sky, boxes.to_arcsec(table[XYXY].to_numpy(), geometry))
    middle = table[XYXY].to_numpy().reshape(-1, 2, 2).mean(axis=1)
    lon, lat = geometry.pixel_to_heliographic(*middle.T)
    np.testing.assert_allclose(table["lon"], lon)
    np.testing.assert_allclose(table["lat"], lat)
    for suffix in (".csv", ".parquet"):
        tracking.write_track(table, tmp_path / f"out{suffix}")
        back = tracking.read_track(tmp_path / f"out{suffix}")
        # Text has 1e-5 degrees and 1e-4 arcsec; Parquet has all.
        for columns, half in ((["lon", "lat"], 5.1e-6), (["tx0", "ty1"], 5.1e-5)):
            half = half if suffix == ".csv" else 0.0
            np.testing.assert_allclose(back[columns], table[columns], rtol=0.0, atol=half)


def test_the_outline_of_a_row_is_at_the_boxs_place_on_a_map_and_on_its_mirror_image(tmp_path):
    write_fits(tmp_path / "a.fits", "2014-02-03T00:00:00", HGLN_OBS=0.0)
    smap = sunpy.map.Map(tmp_path / "a.fits")
    # As sunpy reads JPEG 2000: the rows in reverse order, and a header for them.
    header = {**smap.meta, "cdelt2": -smap.meta["cdelt2"]}
    row = track([smap], BOX).iloc[0]
    for shown, expected in (
        (smap, BOX),
        (sunpy.map.Map(smap.data[::-1], header), boxes.flip_rows(BOX, 64)[0]),
    ):
        x, y = shown.world_to_pixel(tracking.outline(row, shown))
        found = [x.value.min(), y.value.min(), x.value.max(), y.value.max()]
        np.testing.assert_allclose(np.add(found, 0.5), expected, atol=0.02)
    with pytest.raises(TrackError, match="no box in arcsec"):
        tracking.outline(row.drop("tx0"), smap)


@pytest.mark.parametrize("tracker", ["rotation", "rectangle"])
def test_a_tracker_takes_another_law_of_rotation_and_says_so(pngs, tracker):
    made = tracking.make_tracker(tracker, law="doppler")
    table = track(pngs, BOX, tracker=made, cadence="1D", geometry=DISK)
    slower = track(pngs, BOX, tracker=tracker, cadence="1D", geometry=DISK)
    assert table.attrs["settings"]["law"] == [14.713, -2.396, -1.787]
    assert (table["x0"] > slower["x0"])[1:3].all()
    with pytest.raises(ValueError, match="law must be one of"):
        tracking.make_tracker(tracker, law="fast")
