"""Active regions: summaries and lists, read and written."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack.errors import SourceWarning
from solartrack.flares import regions
from solartrack.flares.regions import SRS_COLUMNS, Summaries, read_ar_list, read_srs, write_ar_list, write_srs

ROW = {
    "region": 11944, "time": pd.Timestamp(2014, 1, 5), "section": "I", "lat": -8.0, "lon": -38.0,
    "carrington_lon": 99.0, "area": 1470, "mcintosh": "Fkc", "extent": 20, "n_spots": 60,
    "mag_class": "Beta-Gamma-Delta", "file": "",
}  # fmt: skip


def table(*changes):
    rows = [ROW | change for change in changes]
    return pd.DataFrame({
        name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in SRS_COLUMNS.items()
    })  # fmt: skip


def written(folder, summaries):
    """What is read after writing, without the names of the files."""
    paths = write_srs(summaries, folder)
    found = read_srs(paths)
    return found._replace(regions=found.regions.assign(file=""))


def test_a_summary_is_read_back(tmp_path):
    rows = table(
        {"region": 11936, "section": "IA", "area": None, "mcintosh": "", "extent": None, "n_spots": None, "mag_class": ""},
        {},
        {"time": pd.Timestamp(2014, 1, 6), "lon": -25.0},
    )  # fmt: skip
    found = written(tmp_path, rows)
    pd.testing.assert_frame_equal(found.regions, rows)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["20140105SRS.txt", "20140106SRS.txt"]
    assert found.troubles.empty


def test_a_day_without_regions_is_written_and_read(tmp_path):
    empty = Summaries(table(), pd.DatetimeIndex([pd.Timestamp(2021, 2, 9)]), pd.DataFrame())
    found = written(tmp_path, empty)
    assert found.days.tolist() == [pd.Timestamp(2021, 2, 9)] and found.regions.empty and found.troubles.empty


def test_numbers_roll_over_at_9999(tmp_path):
    rows = table(
        {"region": 9999, "time": pd.Timestamp(2002, 6, 14)},
        {"region": 10000, "time": pd.Timestamp(2002, 6, 15)},
        {"region": 10001, "time": pd.Timestamp(2002, 6, 15)},
        {"region": 9998, "time": pd.Timestamp(2002, 6, 15)},
    )
    found = written(tmp_path, rows).regions
    assert found["region"].tolist() == [9999, 9998, 10000, 10001]
    assert "\n0000 " in (tmp_path / "20020615SRS.txt").read_text()


@pytest.mark.parametrize("lacking", [["n_spots"], ["mag_class"], ["mcintosh"], ["carrington_lon"], ["area"], ["area", "mcintosh"]])  # fmt: skip
def test_missing_values_stay_missing(tmp_path, lacking):
    rows = table({name: "" if SRS_COLUMNS[name] == "str" else None for name in lacking})
    with pytest.warns(SourceWarning, match=r"line \d+: no "):
        found = written(tmp_path, rows)
    pd.testing.assert_frame_equal(found.regions, rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extent": None}, "extent None would be read as 60"),
        ({"carrington_lon": np.nan, "area": None, "mcintosh": ""}, "would be read as"),
        ({"lat": np.nan}, "has no place"),
        ({"lon": np.nan}, "has no place"),
        ({"lon": 181.0}, "has no place"),
        ({"region": 1944}, "a number that the text cannot give back"),
        ({"region": 111944}, "a number that the text cannot give back"),
        ({"section": "III"}, "expected section I, IA or II"),
        ({"time": pd.Timestamp(2014, 1, 5, 12)}, "a time of 00:00"),
        ({"mag_class": "Beta\n1945 N01E01"}, "cannot be written"),
        ({"mag_class": "\u03b2"}, "not ASCII"),
        ({"mcintosh": "Q"}, "cannot be written"),
        ({"area": 12345}, "cannot be written"),
        ({"area": -1}, "cannot be written"),
    ],
)
def test_what_would_not_be_read_back_is_refused_and_nothing_written(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_srs(table({"time": pd.Timestamp(2014, 1, 4)}, change), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_region_twice_in_a_section_is_refused(tmp_path):
    with pytest.raises(ValueError, match="comes twice"):
        write_srs(table({}, {"lon": 3.0}), tmp_path)


def test_a_table_without_a_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lacks the columns lat"):
        write_srs(table({}).drop(columns="lat"), tmp_path)


@given(
    st.lists(
        st.fixed_dictionaries({
            "region": st.integers(10900, 14999),
            "lat": st.integers(-60, 60).map(float),
            "lon": st.integers(-110, 110).map(float),
            "carrington_lon": st.integers(0, 360).map(float),
            "area": st.integers(0, 9999),
            "extent": st.integers(0, 99),
            "n_spots": st.integers(0, 999),
            "mag_class": st.sampled_from(["Alpha", "Beta", "Beta-Gamma", "Gamma-Delta"]),
        }),
        unique_by=lambda row: row["region"], max_size=5,
    )
)  # fmt: skip
def test_any_table_is_read_back(tmp_path_factory, rows):
    given = table(*sorted(rows, key=lambda row: row["region"]))
    day = pd.DatetimeIndex([ROW["time"]])
    found = written(tmp_path_factory.mktemp("srs"), Summaries(given, day, pd.DataFrame()))
    pd.testing.assert_frame_equal(found.regions, given)


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b"\n"])
@pytest.mark.parametrize("code", ["ascii", "utf-8-sig", "utf-16"])
def test_line_ends_and_encodings_of_editors_do_not_matter(tmp_path, end, code):
    (path,) = write_srs(table({}), tmp_path)
    content = path.read_bytes().decode().replace("\n", end.decode()).encode(code)
    found = read_srs(content)
    assert found.regions.loc[0, ["region", "mcintosh", "n_spots"]].tolist() == [11944, "Fkc", 60]
    assert found.troubles.empty


def test_all_summaries_of_a_decade_are_read_back(shared, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        given = read_srs(sorted((shared / "data/noaa/srs_tarballs").glob("201[0-4]_SRS.tar.gz")))
        found = written(tmp_path, given)
    pd.testing.assert_frame_equal(found.regions, given.regions.assign(file=""))
    assert found.days.equals(given.days)


def test_all_summaries_are_read_and_malformed_lines_cost_a_value_or_a_row(shared):
    with pytest.warns(SourceWarning, match=r"line 18"):
        decade = read_srs(sorted((shared / "data/noaa/srs_tarballs").glob("*_SRS.tar.gz")))
    assert len(decade.days) == 3648
    assert decade.regions["section"].value_counts().to_dict() == {"I": 12009, "IA": 4223, "II": 3102}
    lines = [f"{row.file[-15:-7]}:{row.line}" for row in decade.troubles.itertuples() if row.line]
    # As the README of these files lists them; the line of 2014-04-16 is a note in section II, no region.
    assert sorted(lines) == [
        "20100228:18", "20110213:17", "20110725:14", "20120306:14", "20120417:15", "20140416:27", "20140904:16",
    ]  # fmt: skip
    with pytest.warns(SourceWarning):  # 20100228 is the file that sunpy cannot read
        some = read_srs(shared / "data/noaa/srs")
    assert len(some.days) == 12
    assert len(some.regions[some.regions["time"] == pd.Timestamp(2010, 2, 28)]) > 0


# -- the list of regions -------------------------------------------------------------


def test_the_published_list_is_read_and_written_as_it_is(shared, tmp_path):
    published = shared / "data/arflares/ARList.txt"
    table = read_ar_list(published)
    assert len(table) == 1665 and table["region"].iloc[0] == 11064
    write_ar_list(table, tmp_path / "list.txt")
    assert (tmp_path / "list.txt").read_text().split() == published.read_text().split()


def test_the_list_made_from_summaries_equals_the_published_one(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        decade = read_srs(sorted((shared / "data/noaa/srs_tarballs").glob("201[0-8]_SRS.tar.gz")))
    made = regions.ar_list(decade)[["region", "first", "days_seen"]]
    published = read_ar_list(shared / "data/arflares/ARList.txt")
    order = ["first", "region"]
    pd.testing.assert_frame_equal(
        made.sort_values(order, ignore_index=True),
        published.sort_values(order, ignore_index=True),
        check_dtype=False,
    )


@pytest.mark.parametrize(
    "line", ["1158", "1158,20110212", "1158,20110230,3", "0000,20110212,3", "x,20110212,3", "1158,20110212,0", "115,20110212,3", "1158,20110212,3,4"]
)  # fmt: skip
def test_a_bad_line_of_the_list_costs_itself(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_bytes(f"\ufeff1158,20110212,10\r\n{line}\r\n\r\n11160, 20110214, 5\r\n".encode())
    with pytest.warns(SourceWarning, match="list.txt, line 2: expected number,YYYYMMDD,days"):
        table = read_ar_list(path)
    assert table["region"].tolist() == [11158, 11160] and table["days_seen"].tolist() == [10, 5]
    assert str(table["first"].dtype) == "datetime64[us]"


@pytest.mark.parametrize("content", [b"", b"\n", b"<html>", b"\x00\xff"])
def test_what_is_no_list_is_refused(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ValueError, match="no list of active regions"):
        read_ar_list(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": 1158}, "would be read as 11158"),
        ({"days_seen": None}, "missing values"),
        ({"first": pd.NaT}, "missing values"),
    ],
)
def test_a_list_that_would_not_be_read_back_is_refused(tmp_path, change, message):
    row = {"region": 11158, "first": pd.Timestamp(2011, 2, 12), "days_seen": 10} | change
    with pytest.raises(ValueError, match=message):
        write_ar_list(pd.DataFrame([row]), tmp_path / "list.txt")
    assert not (tmp_path / "list.txt").exists()


def test_a_list_without_its_columns_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lacks the columns first, days_seen"):
        write_ar_list(pd.DataFrame({"region": [11158]}), tmp_path / "list.txt")


@pytest.mark.parametrize("content", [b"", b"a,a\n", b"a,b\n1\n", b"\xff\xfe"])
def test_an_error_of_a_table_of_regions_names_the_file(tmp_path, content):
    (tmp_path / "regions.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"regions\.csv: "):
        regions.read_region_table(tmp_path / "regions.csv")


HEADER = "region,time,location,carrington_lon,area,mcintosh,extent,n_spots,mag_class"
LINE = "11944,2014-01-05 00:30,S08E38,099,1470,FKC,20,60,BETA-GAMMA-DELTA"


def table_file(path, *lines, header=HEADER):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_table_of_regions_is_read_as_its_summaries_would_be(tmp_path):
    read = regions.read_region_table(table_file(tmp_path / "r.csv", LINE, LINE.replace("11944", "1945")))
    row = read.regions.iloc[0].to_dict()
    assert {name: row[name] for name in ROW if name != "file"} == {
        k: v for k, v in ROW.items() if k != "file"
    }
    assert read.regions["region"].tolist() == [11944, 11945]
    assert read.days.tolist() == [pd.Timestamp(2014, 1, 5)]
    assert read.troubles.empty


def test_of_two_rows_for_a_region_and_day_the_later_issue_counts(tmp_path):
    later = LINE.replace("00:30", "18:25").replace("1470", "0900")
    for lines in ((LINE, later), (later, LINE)):
        read = regions.read_region_table(table_file(tmp_path / "r.csv", *lines))
        assert read.regions["area"].tolist() == [900]


def test_tables_with_other_names_are_read_with_a_mapping_or_known(tmp_path):
    own = regions.REGION_TABLES["hayes"]
    hayes = table_file(tmp_path / "h.csv", LINE, header=",".join(own[name] for name in HEADER.split(",")))
    other = table_file(tmp_path / "o.csv", LINE, header=HEADER.replace("region", "noaa"))
    columns = {name: "noaa" if name == "region" else name for name in HEADER.split(",")}
    for read in (
        regions.read_region_table(hayes), regions.read_region_table(hayes, "hayes"),
        regions.read_region_table(other, columns),
    ):  # fmt: skip
        assert read.regions["region"].tolist() == [11944]
    for given_, message in (
        (None, "of no known layout"), ("old", "must be a mapping or one of"), ({"region": "noaa"}, "must name"),
        (own, "lacks the columns ar_noaanum"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            regions.read_region_table(other, given_)


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ("S08E38", "", 1),
        ("S08E38", "S98E38", 1),
        ("11944", "AR", 1),
        ("2014-01-05 00:30", "", 1),
        ("60", "", 2),
    ],
)
def test_a_bad_row_costs_itself_or_its_value_with_a_warning(tmp_path, old, new, rows):
    path = table_file(tmp_path / "r.csv", LINE.replace("11944", "11945"), LINE.replace(old, new, 1))
    with pytest.warns(SourceWarning, match=r"r\.csv, line 2"):
        read = regions.read_region_table(path)
    assert len(read.regions) == rows
    assert read.troubles["line"].tolist() == [2]


def test_a_table_without_any_region_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no region in 1 rows"):
        regions.read_region_table(table_file(tmp_path / "r.csv", LINE.replace("11944", "none")))
    with pytest.raises(FileNotFoundError):
        regions.read_region_table(tmp_path / "absent.csv")


def test_fields_of_a_table_of_regions_need_no_fixed_width(tmp_path):
    plain = "11944,2014-01-05,S08E38,99.0,130,fkc,7,12.0,Beta-Gamma"
    read = regions.read_region_table(table_file(tmp_path / "r.csv", plain))
    row = read.regions.iloc[0]
    assert row[list(regions.REGION_TABLES["solartrack"])[3:]].tolist() == [
        99.0,
        130,
        "Fkc",
        7,
        12,
        "Beta-Gamma",
    ]
    assert read.troubles.empty


@pytest.mark.parametrize("index", [False, True])
def test_regions_of_summaries_are_read_back_from_their_csv_file(tmp_path, index):
    plage = {
        "region": 11936, "section": "IA", "area": None, "mcintosh": "", "extent": None, "n_spots": None,
        "mag_class": "",
    }  # fmt: skip
    given_ = table(
        plage, plage | {"region": 11938, "section": "II", "lon": np.nan}, {"file": "20140105SRS.txt"}
    )
    given_.to_csv(tmp_path / "r.csv", index=index)
    read = regions.read_region_table(tmp_path / "r.csv")
    pd.testing.assert_frame_equal(read.regions, given_.assign(file=[str(tmp_path / "r.csv")] * 3))
    assert read.days.tolist() == [pd.Timestamp(2014, 1, 5)] and read.troubles.empty


def test_a_region_in_two_sections_is_two_rows(tmp_path):
    given_ = table(
        {}, {"section": "IA", "area": None, "mcintosh": "", "extent": None, "n_spots": None, "mag_class": ""}
    )
    given_.to_csv(tmp_path / "r.csv", index=False)
    assert regions.read_region_table(tmp_path / "r.csv").regions["section"].tolist() == ["I", "IA"]


@pytest.mark.parametrize(
    ("column", "value", "trouble"),
    [
        ("carrington_lon", "361", "no Carrington longitude"),
        ("carrington_lon", "inf", "no Carrington longitude"),
        ("area", "-1", "no area"),
        ("area", "1e9", "no area"),
        ("area", "12.5", "no area"),
        ("mcintosh", "Qqq", "no McIntosh class"),
        ("extent", "999", "no extent"),
        ("mag_class", "Omega", "no magnetic class"),
    ],
)
def test_a_bad_field_of_a_table_costs_only_itself(tmp_path, column, value, trouble):
    table({}).astype({column: object}).assign(**{column: value}).to_csv(tmp_path / "r.csv", index=False)
    with pytest.warns(SourceWarning, match=f"line 1: {trouble}: "):
        read = regions.read_region_table(tmp_path / "r.csv").regions.iloc[0]
    assert pd.isna(read[column]) or read[column] == ""
    others = [name for name in SRS_COLUMNS if name not in (column, "file")]
    assert read[others].tolist() == [ROW[name] for name in others]


@pytest.mark.parametrize("change", [{"section": "III"}, {"lat": 91.0}, {"lon": np.nan}, {"lon": 181.0}])
def test_a_row_of_a_table_without_a_place_or_section_is_left_out(tmp_path, change):
    table({}, {"region": 11945} | change).to_csv(tmp_path / "r.csv", index=False)
    with pytest.warns(SourceWarning, match="line 2: no (location|section)"):
        assert regions.read_region_table(tmp_path / "r.csv").regions["region"].tolist() == [11944]


def test_a_table_of_no_known_layout_is_told_what_it_lacks(tmp_path):
    table({}).drop(columns="area").to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(ValueError, match="nearest is 'read_srs', of which it lacks area; give columns"):
        regions.read_region_table(tmp_path / "r.csv")
