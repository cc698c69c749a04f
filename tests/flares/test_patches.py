"""Names of patches: the published scheme, and what is not of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack import images
from solartrack.flares import format_name, parse_names
from solartrack.flares.patches import PATCH_COLUMNS
from solartrack.sources.jsoc import tai_to_utc
from solartrack.sources.swpc import full_region_number

NAME = "1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits"


def one(name):
    return parse_names(name).iloc[0]


def test_a_name_says_region_time_and_kind():
    row = one(NAME)
    assert row["region"] == 11158 and row["number"] == 1158 and row["kind"] == "fits"
    assert row["time"] == pd.Timestamp("2011-02-15T01:59:26")  # 34 s behind TAI
    assert row["time_tai"] == pd.Timestamp("2011-02-15T02:00:00")
    assert row["trouble"] == "" and row["name"] == row["file"] == NAME


def test_the_table_has_its_types_with_names_and_without():
    for names in ([NAME], [None], []):
        assert {name: str(kind) for name, kind in parse_names(names).dtypes.items()} == PATCH_COLUMNS


@pytest.mark.parametrize(
    "folder", ["", "1158/", "/data/AR 1158/", "2010_hmi/x_hmi.M_720s./", "C:\\set\\1158\\"]
)
def test_folders_in_front_do_not_matter(folder):
    row = one(folder + NAME)
    assert row["name"] == NAME and row["file"] == folder + NAME and row["region"] == 11158


@pytest.mark.parametrize(
    ("name", "region", "kind"),
    [
        ("11158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits", 11158, "fits"),
        ("0977_hmi.m_720s.20110215_020000_tai.1.magnetogram.FITS", 10977, "fits"),
        ("1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram_224.png", 11158, "png"),
        ("1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.png", 11158, "png"),
        ("3664_hmi.M_720s.20240513_020000_TAI.1.magnetogram.fits", 13664, "fits"),
    ],
)
def test_numbers_of_four_and_five_digits_and_both_kinds_are_read(name, region, kind):
    row = one(name)
    assert (row["region"], row["kind"], row["trouble"]) == (region, kind, "")


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("", "not like 1158_hmi"),
        ("readme.txt", "not like 1158_hmi"),
        (NAME + ".part", "not like 1158_hmi"),
        (NAME + "\n", "not like 1158_hmi"),
        ("x" + NAME, "not like 1158_hmi"),
        (NAME.replace("1158", "158"), "not like 1158_hmi"),
        (NAME.replace("1158", "111580"), "not like 1158_hmi"),
        (NAME.replace("1158", "١١٥٨"), "not like 1158_hmi"),  # digits, but not these
        (NAME.replace("_TAI", "_UTC"), "not like 1158_hmi"),
        (NAME.replace("M_720s", "Ic_720s"), "not like 1158_hmi"),
        (NAME.replace("1158", "0000"), "no region 0"),
        (NAME.replace("0215", "0229"), "no time"),
        (NAME.replace("0215", "1315"), "no time"),
        (NAME.replace("0215", "0015"), "no time"),
        (NAME.replace("020000", "240000"), "no time"),
        (NAME.replace("020000", "235960"), "no time"),  # TAI has no leap seconds
        (NAME.replace("2011", "0000"), "no time"),
        (NAME.replace("2011", "1971"), "no time"),
        (None, "no name"),
        (np.nan, "no name"),
        (1158, "no name"),
        (NAME.encode(), "no name"),
        (b"\xff".decode("utf-8", "surrogateescape") + NAME, "not like 1158_hmi"),
    ],
)
def test_a_bad_name_has_its_reason_and_costs_no_other(name, trouble):
    table = parse_names([NAME, name, NAME])
    assert table["trouble"].iloc[[0, 2]].tolist() == ["", ""]
    bad = table.iloc[1]
    assert trouble in bad["trouble"]
    assert bad["region"] is pd.NA and bad["number"] is pd.NA and bad["kind"] == ""
    assert bad["time"] is pd.NaT and bad["time_tai"] is pd.NaT
    assert table["region"].tolist()[::2] == [11158, 11158]


@pytest.mark.parametrize("names", [None, 3, b"name"])
def test_what_holds_no_names_is_refused(names):
    with pytest.raises(TypeError, match="names must be file names"):
        parse_names(names)


@pytest.mark.parametrize("kind", [list, tuple, pd.Series, pd.Index, np.array, iter])
def test_any_sequence_of_names_will_do(kind):
    assert parse_names(kind([NAME, NAME]))["region"].tolist() == [11158, 11158]


def test_paths_are_names():
    assert one(Path("x") / NAME)["region"] == 11158
    assert parse_names([Path(NAME), NAME, None])["trouble"].tolist() == ["", "", "there is no name"]


def test_stamps_on_both_sides_of_a_leap_second_are_an_hour_apart():
    before, after = parse_names([
        "2371_hmi.M_720s.20150630_234800_TAI.1.magnetogram.fits",
        "2371_hmi.M_720s.20150701_004800_TAI.1.magnetogram.fits",
    ])["time"]  # fmt: skip
    assert before == pd.Timestamp("2015-06-30T23:47:25")
    assert after == pd.Timestamp("2015-07-01T00:47:24")


REGIONS = st.integers(10900, 14999)
SECONDS = st.integers(0, 16 * 365 * 86400)


@given(
    st.lists(st.tuples(REGIONS, SECONDS, st.sampled_from(["fits", "png"])), min_size=1, max_size=20),
    st.sampled_from(["tai", "utc"]),
)
def test_what_is_written_is_read(patches, scale):
    tai = [np.datetime64("2010-05-01", "us") + np.timedelta64(s, "s") for _, s, _ in patches]
    utc = tai_to_utc(tai)
    times = tai if scale == "tai" else utc
    names = [format_name(r, t, kind=k, scale=scale) for (r, _, k), t in zip(patches, times, strict=True)]
    table = parse_names(names)
    assert table["trouble"].eq("").all()
    assert table["region"].tolist() == [r for r, _, _ in patches]
    assert table["kind"].tolist() == [k for _, _, k in patches]
    if scale == "tai":
        assert table["time_tai"].tolist() == [pd.Timestamp(t) for t in tai]
        assert table["time"].tolist() == [pd.Timestamp(t) for t in utc]
    else:
        # A leap second has no name of its own in UTC.
        assert ((table["time"] - pd.Series(utc)).abs() <= pd.Timedelta(1, "s")).all()


@given(st.integers(1, 99999), st.dates(pd.Timestamp(1972, 1, 2).date(), pd.Timestamp(2040, 1, 1).date()))
def test_regions_have_the_number_that_summaries_give_them(number, day):
    row = one(f"{number:04}_hmi.M_720s.{day:%Y%m%d}_120000_TAI.1.magnetogram.fits")
    assert row["region"] == full_region_number(number, day)


@pytest.mark.parametrize(
    "changes",
    [
        {"region": 0},
        {"region": True},
        {"region": "1158"},
        {"region": 10000},
        {"region": 123456},
        {"region": 8500, "time": "2014-01-01"},
        {"time": "yesterday"},
        {"time": None},
        {"time": "1971-01-01"},
        {"kind": "jpg"},
        {"scale": "local"},
    ],
)
def test_what_cannot_be_a_name_is_refused(changes):
    with pytest.raises(ValueError, match="must be"):
        format_name(**{"region": 11158, "time": "2011-02-15", **changes})


def test_the_published_picture_is_named_as_we_would(shared):
    (path,) = (shared / "data/hmi").glob("1158_*.png")
    row = one(path)
    assert format_name(row["region"], row["time"], kind="png") == path.name
    assert images.time_from_name(path).to_datetime() == row["time"].to_pydatetime()


def test_all_names_of_the_golden_labels_are_read(shared):
    names = pd.read_csv(shared / "golden/labels_2014_C1.0_24h.csv.gz", header=None)[0]
    table = parse_names(names)
    assert len(table) == 6448 and table["trouble"].eq("").all()
    again = [format_name(r, t) for r, t in zip(table["region"], table["time"], strict=True)]
    assert again == names.tolist()
