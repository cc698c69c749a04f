"""Which patches a data set has: positions, missing pixels, quality, dates; manifest and layout."""

import errno
import os
import warnings

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from solartrack.coordinates.rotation import rotation_rate
from solartrack.errors import SourceWarning
from solartrack.flares import (
    format_name,
    lay_out,
    parse_names,
    read_manifest,
    read_srs,
    select,
    write_manifest,
)
from solartrack.flares.dataset import MANIFEST_COLUMNS
from solartrack.sources._srs import SRS_COLUMNS, Summaries

FIRST = pd.Timestamp(2014, 1, 8)


def name(time, region=11944, **options):
    return format_name(region, pd.Timestamp(time), scale="tai", **options)


def regions(*rows, days=None):
    """Summaries with these regions: number, day, lat, lon, section."""
    table = pd.DataFrame(rows, columns=["region", "time", "lat", "lon", "section"]).assign(file="")
    table["time"] = pd.to_datetime(table["time"]).astype("datetime64[us]")
    for column in SRS_COLUMNS:
        if column not in table:
            table[column] = "" if SRS_COLUMNS[column] == "str" else None
    table = table[list(SRS_COLUMNS)].astype(SRS_COLUMNS)
    days = pd.DatetimeIndex(sorted(set(table["time"])) if days is None else days)
    return Summaries(table, days, pd.DataFrame())


def one_day(lat=-8.0, lon=10.0, **options):
    return regions((11944, "2014-01-08", lat, lon, "I"), **options)


def reasons(patches, summaries, **options):
    return select(patches, summaries, **{"max_nan": None, **options})["reason"].tolist()


def write_patch(path, *, nan=0, quality=0, shape=(8, 8), compress=True):
    pixels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    pixels.flat[:nan] = np.nan
    kind = fits.CompImageHDU if compress else fits.ImageHDU
    hdu = kind(pixels)
    if quality is not None:
        hdu.header["QUALITY"] = quality
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


# -- position and date -------------------------------------------------------------------


def test_a_patch_has_its_region_time_and_place():
    table = select([name("2014-01-08T12:00:00")], one_day(), max_nan=None)
    row = table.iloc[0]
    assert row["reason"] == "" and row["region"] == 11944 and row["lat"] == -8.0
    assert row["lon"] == pytest.approx(10.0 + rotation_rate(-8.0) * (12 - 35 / 3600) / 24)
    assert {column: str(kind) for column, kind in table.dtypes.items()} == MANIFEST_COLUMNS


@pytest.mark.parametrize(("hours", "kept"), [(0, True), (23.8, False)])
def test_a_position_moves_west_during_its_day(hours, kept):
    found = reasons([name(FIRST + pd.Timedelta(hours, "h"))], one_day(lon=50.0))
    assert found == ["" if kept else "its longitude is not within 60 degrees"]


@given(st.floats(-75, 75), st.floats(-60, 60), st.integers(0, 119))
def test_longitudes_are_those_of_the_rotation_law(lon, lat, step):
    time = FIRST + pd.Timedelta(12 * step, "min")
    table = select([name(time)], one_day(lat=lat, lon=lon), max_nan=None)
    days = (table["time"] - FIRST) / pd.Timedelta(1, "D")
    assert table["lon"].to_numpy() == pytest.approx(lon + rotation_rate(lat) * days.to_numpy())
    selected = abs(table.loc[0, "lon"]) < 60 and abs(lat) < 60
    assert (table.loc[0, "reason"] == "") == selected


@pytest.mark.parametrize(
    ("lat", "lon", "reason"),
    [
        (0.0, -59.9, ""),
        (0.0, -61.0, "its longitude is not within 60 degrees"),
        (0.0, 60.1, "its longitude is not within 60 degrees"),
        (60.0, 0.0, "its latitude is not within 60 degrees"),
        (-61.0, 0.0, "its latitude is not within 60 degrees"),
    ],
)
def test_regions_at_the_limb_and_the_poles_are_left_out(lat, lon, reason):
    assert reasons([name("2014-01-08T00:00:35")], one_day(lat=lat, lon=lon)) == [reason]


def test_the_first_file_of_a_day_is_of_that_day_though_it_is_not_in_utc():
    table = select([name("2014-01-08T00:00:00")], one_day(), max_nan=None)
    assert table.loc[0, "time"] < FIRST and table.loc[0, "reason"] == ""
    assert table.loc[0, "lon"] == pytest.approx(10.0, abs=0.01)


def test_a_day_without_a_summary_is_left_out_and_said():
    patches = [name("2014-01-08T06:00"), name("2014-01-09T06:00"), name("2014-01-10T06:00")]
    summaries = one_day(days=[FIRST, FIRST + pd.Timedelta(2, "D")])
    assert reasons(patches, summaries) == [
        "", "there is no summary of its day", "its region is not in the summary of its day",
    ]  # fmt: skip
    assert reasons([*patches, name("2014-01-10T07:00")], summaries, convention="published")[:3] == [
        "",
        "",
        "",
    ]


def test_a_region_in_no_summary_is_said():
    found = reasons([name("2014-01-08T06:00", region=12000), name("2014-01-08T06:00")], one_day())
    assert found == ["its region is in no summary", ""]


def test_plages_have_positions_and_regions_due_to_return_have_none():
    plage = regions((11944, "2014-01-08", 0.0, 10.0, "IA"))
    back = regions((11944, "2014-01-08", 0.0, np.nan, "II"))
    assert reasons([name("2014-01-08T06:00")], plage) == [""]
    assert reasons([name("2014-01-08T06:00")], back) == ["its region is in no summary"]


def test_in_the_published_set_the_last_file_of_each_region_is_missing():
    patches = [name(f"2014-01-08T{h:02}:00", region=r) for r in (11944, 11945) for h in (0, 6, 12)]
    summaries = regions((11944, "2014-01-08", 0, 59, "I"), (11945, "2014-01-08", 0, 59, "I"))
    found = select(patches, summaries, convention="published", max_nan=None)
    assert found["reason"].tolist() == ["", "", "the last file of its region"] * 2
    assert found["lon"].tolist() == [59.0] * 6  # not rotated


def test_dates_are_utc_and_the_end_is_left_out():
    patches = [name(f"2014-01-08T{h:02}:00:35") for h in (0, 6, 12)]
    found = reasons(patches, one_day(), start="2014-01-08T06:00", end="2014-01-08T12:00")
    assert found == ["not between start and end", "", "not between start and end"]


def test_two_files_of_one_time_count_once():
    patches = [f"a/{name('2014-01-08')}", f"b/{name('2014-01-08')}", name("2014-01-08", kind="png")]
    assert reasons(patches, one_day()) == ["", "another file of its region and time", ""]


def test_a_bad_name_has_its_reason_and_costs_no_other():
    patches = ["readme.txt", None, name("2014-01-08"), name("2014-01-08").replace("0108", "0230")]
    found = select(patches, one_day(), max_nan=None)
    assert found["reason"].str.len().gt(0).tolist() == [True, True, False, True]
    assert found.loc[0, "region"] is pd.NA and np.isnan(found.loc[0, "lon"])


def test_nothing_selects_nothing():
    table = select([], one_day(), max_nan=0)
    assert table.empty and {column: str(kind) for column, kind in table.dtypes.items()} == MANIFEST_COLUMNS


def test_tables_will_do_for_patches_and_for_regions():
    summaries = one_day()
    expected = select([name("2014-01-08T06:00")], summaries, max_nan=None)
    table = parse_names([name("2014-01-08T06:00")])
    pd.testing.assert_frame_equal(select(table, summaries.regions, max_nan=None), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"max_lon": 0},
        {"max_lon": np.nan},
        {"max_lat": "60"},
        {"max_lat": True},
        {"max_nan": -1},
        {"max_nan": 1.5},
        {"bad_quality": -1},
        {"convention": "old"},
        {"start": "soon"},
        {"law": "none"},
    ],
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ValueError):
        select([name("2014-01-08")], one_day(), **options)


def test_numbers_of_numpy_are_limits_and_regions_without_a_number_are_left_out():
    rows = regions((11944, "2014-01-08", 0, 0, "I"), (11945, "2014-01-08", 0, 0, "I")).regions
    rows["region"] = pd.array([11944, None], "Int32")
    patch = [name("2014-01-08", kind="png")]
    found = select(patch, rows, max_nan=np.int64(0), bad_quality=np.uint32(1))
    assert found["reason"].tolist() == [""]
    assert reasons(patch, rows.astype({"region": "float64"})) == [""]
    for nothing in (None, [1]):
        with pytest.raises(TypeError, match="regions must be Summaries or a table"):
            select(patch, nothing)


@pytest.mark.parametrize("lacking", ["region", "time", "lat", "lon"])
def test_a_table_without_its_columns_is_refused(lacking):
    with pytest.raises(ValueError, match=f"lack the columns {lacking}"):
        select([name("2014-01-08")], one_day().regions.drop(columns=lacking))
    with pytest.raises(ValueError, match="lacks the columns kind"):
        select(parse_names([name("2014-01-08")]).drop(columns="kind"), one_day())


def test_the_year_is_selected_by_its_summaries(shared):
    names = pd.read_csv(shared / "golden/labels_2014_C1.0_24h.csv.gz", header=None)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        summaries = read_srs(
            [shared / f"data/noaa/srs_tarballs/{year}_SRS.tar.gz" for year in (2013, 2014, 2015)]
        )
    table = select(names, summaries, max_nan=None)
    assert len(table) == 6448 and set(table["reason"]) == {"", "its longitude is not within 60 degrees"}
    assert (table.loc[table["reason"] == "", "lon"].abs() < 60).all()
    published = select(names, summaries, max_nan=None, convention="published")
    assert published["reason"].eq("the last file of its region").sum() == names.str[:4].nunique()
    # Late images of a day are further west than its summary says.
    later = table["lon"] - published["lon"]
    assert later.between(-0.01, 13.5).all() and later.max() > 11


# -- files -------------------------------------------------------------------------------


def test_files_are_opened_for_nan_pixels_and_quality(tmp_path):
    times = [f"2014-01-08T{h:02}:00" for h in range(6)]
    kinds = [
        {},
        {"nan": 1},
        {"quality": -(2**31)},
        {"quality": 0x400},
        {"quality": None},
        {"compress": False},
    ]
    patches = [write_patch(tmp_path / name(t), **kind) for t, kind in zip(times, kinds, strict=True)]
    table = select(patches, one_day())
    assert table["reason"].tolist() == [
        "",
        "it has more than 0 NaN pixels",
        "its QUALITY has a bad bit",
        "",
        "",
        "",
    ]
    assert table["nan_pixels"].tolist() == [0, 1, 0, 0, 0, 0]
    assert [None if q is pd.NA else q for q in table["quality"]] == [0, 0, 2**31, 0x400, None, 0]
    assert reasons(patches, one_day(), max_nan=1, bad_quality=0x400)[:4] == [
        "",
        "",
        "",
        "its QUALITY has a bad bit",
    ]
    assert reasons(patches, one_day(), max_nan=1, bad_quality=0) == [""] * 6


def test_bad_files_have_their_reasons_and_cost_no_other(tmp_path):
    good = write_patch(tmp_path / name("2014-01-08T00:00"))
    cut = write_patch(tmp_path / name("2014-01-08T01:00"))
    cut.write_bytes(cut.read_bytes()[:3000])
    page = tmp_path / name("2014-01-08T02:00")
    page.write_text("<html>not found</html>")
    empty = tmp_path / name("2014-01-08T03:00")
    empty.touch()
    absent = tmp_path / name("2014-01-08T04:00")
    folder = tmp_path / name("2014-01-08T05:00")
    folder.mkdir()
    odd = write_patch(tmp_path / name("2014-01-08T06:00"), quality="many")
    found = reasons([good, cut, page, empty, absent, folder, odd], one_day(), max_nan=0)
    assert found[0] == "" and all(reason.startswith("it cannot be read: ") for reason in found[1:6])
    assert "no such file" in found[4] and found[6] == "its QUALITY is 'many', which is no number"


def test_pictures_and_patches_that_are_left_out_anyway_are_not_opened():
    patches = [name("2014-01-08T01:00", kind="png"), name("2014-01-09T01:00")]
    assert reasons(patches, one_day(), max_nan=0) == ["", "there is no summary of its day"]


def test_worker_processes_read_the_same(tmp_path):
    patches = [write_patch(tmp_path / name(f"2014-01-08T{h:02}:00"), nan=h % 2) for h in range(4)]
    patches.append(tmp_path / name("2014-01-08T05:00"))
    expected = select(patches, one_day())
    pd.testing.assert_frame_equal(select(patches, one_day(), workers=2), expected)


def test_a_manifest_is_read_back(tmp_path):
    patches = [
        write_patch(tmp_path / name("2014-01-08T00:00"), nan=3),
        'x,\n"y"',
        tmp_path / name("2014-01-09"),
    ]
    given = select(patches, one_day())
    write_manifest(given, tmp_path / "manifest.csv")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.csv"), given)


@pytest.mark.parametrize("content", [b"", b"file,reason\na,b\n", b"\xff\xfe\x00", b"<html>"])
def test_what_is_no_manifest_is_refused_by_name(tmp_path, content):
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest.csv is no manifest"):
        read_manifest(tmp_path / "manifest.csv")
    with pytest.raises(ValueError, match="the manifest lacks"):
        write_manifest(pd.DataFrame({"file": []}), tmp_path / "m.csv")


# -- the published layout ------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path):
    patches = [write_patch(tmp_path / "in" / name(f"2014-01-08T{h:02}:00", region=r), nan=h)
               for r in (11944, 11945) for h in (0, 1)]  # fmt: skip
    summaries = regions(*((r, "2014-01-08", 0, 0, "I") for r in (11944, 11945)))
    return select(patches, summaries)


@pytest.mark.parametrize("how", ["link", "copy"])
def test_selected_patches_are_laid_out_by_region_and_again(tmp_path, manifest, how):
    out = tmp_path / "out"
    assert lay_out(manifest, out, how=how) == 2
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == [f"{r}/{name('2014-01-08', region=10000 + r)}" for r in (1944, 1945)]
    source = tmp_path / "in" / name("2014-01-08")
    target = out / "1944" / source.name
    assert target.read_bytes() == source.read_bytes() and os.path.samefile(source, target) == (how == "link")
    before = target.stat().st_mtime_ns
    assert lay_out(manifest, out, how=how) == 0 and target.stat().st_mtime_ns == before
    target.unlink()  # as if it had been interrupted
    assert lay_out(manifest, out, how=how) == 1


def test_another_file_in_the_place_is_kept_and_nothing_is_made(tmp_path, manifest):
    other = tmp_path / "out/1945" / name("2014-01-08", region=11945)
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(FileExistsError, match="is there, and is not"):
        lay_out(manifest, tmp_path / "out")
    assert other.read_text() == "mine" and not (tmp_path / "out/1944").exists()


def test_a_link_in_place_of_a_folder_or_file_is_refused(tmp_path, manifest):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "1944").symlink_to(elsewhere)
    with pytest.raises(FileExistsError, match="is no folder, or a link"):
        lay_out(manifest, out)
    (out / "1944").unlink()
    (out / "1944").mkdir()
    (out / "1944" / name("2014-01-08")).symlink_to(elsewhere / "x")
    with pytest.raises(FileExistsError, match="is there, and is not"):
        lay_out(manifest, out)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    "hostile",
    ["../../etc/passwd", "/etc/passwd", "1944_hmi.M_720s.20140108_000000_TAI.1.magnetogram.fits/..", "a\nb", "",
     "1944_hmi.M_720s.20140108_000000_TAI.1.magnetogram.fits\n"],
)  # fmt: skip
def test_hostile_names_are_refused(tmp_path, manifest, hostile):
    with pytest.raises(ValueError, match="is refused"):
        lay_out(manifest.assign(file=[hostile, *manifest["file"][1:]]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_regions_folder_comes_from_the_name_of_the_file(tmp_path, manifest):
    lay_out(manifest.assign(name="../../x", region=1), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["1944", "1945"]


def test_two_patches_of_one_name_and_a_patch_that_is_gone_are_refused(tmp_path, manifest):
    with pytest.raises(ValueError, match="would both become"):
        lay_out(pd.concat([manifest, manifest]), tmp_path / "out")
    os.unlink(manifest["file"][0])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        lay_out(manifest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_arguments_of_the_layout_are_checked(tmp_path, manifest):
    with pytest.raises(ValueError, match="how must be"):
        lay_out(manifest, tmp_path / "out", how="move")
    with pytest.raises(ValueError, match="lacks the columns reason"):
        lay_out(manifest.drop(columns="reason"), tmp_path / "out")


def test_where_there_can_be_no_link_a_copy_is_advised(tmp_path, manifest, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="copy it instead"):
        lay_out(manifest, tmp_path / "out")


def test_a_manifest_read_by_pandas_is_laid_out_too(tmp_path, manifest):
    write_manifest(manifest, tmp_path / "manifest.csv")
    assert lay_out(pd.read_csv(tmp_path / "manifest.csv"), tmp_path / "out") == 2
