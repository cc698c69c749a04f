import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from solartrack import archive, metrics, tracking
from solartrack._tables import as_moment, as_times, read_csv
from solartrack.errors import ArchiveError, TrackError, TrackWarning


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("row", ["2,11,21,31,41,0.8", "2,11,21,31,41,", "2,11,21,31", "2"])
def test_a_row_of_another_length_than_the_header_is_refused_with_its_line(tmp_path, row):
    path = write(tmp_path / "t.csv", f"frame,x0,y0,x1,y1\n1,10,20,30,40\n\n{row}\n")
    with pytest.raises(ValueError, match=rf"line 4 has {row.count(',') + 1} fields, but the header has 5"):
        read_csv(path)


def test_a_track_with_one_field_too_many_is_not_moved_by_one_column(tmp_path):
    path = write(tmp_path / "t.csv", "frame,x0,y0,x1,y1\n1,10,20,30,40,0.9\n2,11,21,31,41,0.8\n")
    with pytest.raises(TrackError, match=r"t\.csv is not a readable track: line 2 has 6 fields"):
        tracking.read_track(path)


def test_a_catalogue_with_one_field_too_many_is_not_moved_by_one_column(tmp_path):
    path = write(tmp_path / "c.csv", "event,time,x0,y0,x1,y1\nA,2014-02-03,140,140,170,170,x\n")
    with pytest.raises(ArchiveError, match=r"c\.csv is not a readable table: line 2 has 7 fields"):
        archive.track_archive(path, tmp_path, tmp_path / "run")


def test_a_damaged_gzip_file_is_refused(tmp_path):
    content = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (k, k * k) for k in range(3000)))
    for at in range(10, len(content), 97):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        (tmp_path / "t.csv.gz").write_bytes(damaged)
        with pytest.raises(ValueError):
            read_csv(tmp_path / "t.csv.gz")


def test_a_header_that_names_a_column_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="line 1: the header has 'x0' more than once"):
        read_csv(write(tmp_path / "t.csv", "frame,x0,x0\n1,2,3\n"))


def test_quotes_empty_lines_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes('\ufefffile,note\r\n"a,b.png","says ""no"""\r\n\r\nc.png,\r\n'.encode())
    assert read_csv(path).to_dict("list") == {"file": ["a,b.png", "c.png"], "note": ['says "no"', ""]}


def test_numbers_are_read_exactly_where_all_are_numbers(tmp_path):
    path = write(tmp_path / "t.csv", "n,x,y,t\n9007199254740993,0.1,,a\n2,1e-3,2,1\n")
    table = read_csv(path, numbers=True)
    assert table["n"].tolist() == [9007199254740993, 2] and table["n"].dtype == np.int64
    assert table["x"].tolist() == [0.1, 1e-3]
    np.testing.assert_array_equal(table["y"], [np.nan, 2.0])
    assert table["t"].tolist() == ["a", "1"]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2014-02-03T02:08:48.34+01:00", "2014-02-03T01:08:48.340000"),
        ("2014-02-03 02:08:48.3456789-05:30", "2014-02-03T07:38:48.345678"),
        ("2014-02-03T02:08:48.5Z", "2014-02-03T02:08:48.500000"),
        ("2014-02-03T02:08", "2014-02-03T02:08:00.000000"),
        ("2014-02-03", "2014-02-03T00:00:00.000000"),
        (pd.Timestamp("2014-02-03T02:08:48.25", tz="Asia/Tokyo"), "2014-02-02T17:08:48.250000"),
        (np.datetime64("2014-02-03T02:08:48.123456789"), "2014-02-03T02:08:48.123456"),
    ],
)
def test_times_with_zone_and_fraction_are_taken_to_utc(text, utc):
    assert as_moment(text).isoformat(timespec="microseconds") == utc


def test_missing_times_are_nat_and_others_refused():
    times = as_times(["", " NaT ", None, pd.NaT, np.nan, "2014-02-03"])
    assert np.isnat(times).tolist() == [True] * 5 + [False]
    for bad in ("noon", 3.5, 20140203, "2014-02-30"):
        with pytest.raises(ValueError):
            as_moment(bad)


def test_a_track_table_with_zones_and_fractions_reads_the_same_with_every_pandas(tmp_path):
    path = write(
        tmp_path / "t.csv",
        "frame,time,x0,y0,x1,y1\n1,2014-02-03T02:08:48.34+01:00,1,1,2,2\n2,2014-02-03T02:08:48,1,1,2,2\n"
        "3,,1,1,2,2\n",
    )
    times = tracking.read_track(path)["time"]
    assert times.dtype == "datetime64[us]"
    assert times[0] == pd.Timestamp("2014-02-03T01:08:48.34") and times[1] == pd.Timestamp(
        "2014-02-03T02:08:48"
    )
    assert pd.isna(times[2])


def test_truth_with_one_field_too_many_is_refused_by_evaluate(tmp_path, capsys):
    from solartrack.cli import FAILED, main

    good = write(tmp_path / "t.csv", "frame,x0,y0,x1,y1\n1,10,20,30,40\n")
    bad = write(tmp_path / "g.csv", "frame,x0,y0,x1,y1\n1,10,20,30,40,0.9\n")
    assert main(["evaluate", str(good), str(bad)]) == FAILED
    assert "g.csv is not a readable track: line 2 has 6 fields" in capsys.readouterr().err
    assert metrics.score_track(tracking.read_track(good), tracking.read_track(good)).mean_iou == 1.0


def test_rows_that_are_counted_are_read_only_where_that_is_asked_for(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("a,b\n0,1,2\n1,3,4\n")
    assert read_csv(path, row_numbers=True).to_dict("list") == {"a": ["1", "3"], "b": ["2", "4"]}
    with pytest.raises(ValueError, match="line 2 has 3 fields"):
        read_csv(path)
    path.write_text("a,b\n0,1,2\n7,3,4\n")
    with pytest.raises(ValueError, match="line 3 has 3 fields"):
        read_csv(path, row_numbers=True)


def test_packed_files_are_read(tmp_path):
    path = tmp_path / "list.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\r\n1,2\r\n", mtime=0))
    assert read_csv(path).to_dict("list") == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", "a,b\n1,ü\n".encode("latin-1"), "not in UTF-8"),
        ("list.csv", "a,b\n1,2\n".encode("utf-16"), "not in UTF-8"),
        ("list.csv", b'a,b\n"1,2\n', "no CSV file"),
        ("list.csv.gz", b"a,b\n1,2\n", "no CSV file"),
        ("list.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "no CSV file"),
    ],
)
def test_another_encoding_and_damage_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_csv(tmp_path / name)


# -- units and settings -----------------------------------------------------------------


SETTINGS = {"law": [14.713, -2.396, -1.787], "geometry": "given", "solartrack": "0.1.0"}


def a_track(n=3, **settings):
    rows = [
        {"frame": k, "file": "", "message": "", "time": None, "days": k / 6, "x0": 1.0 + k, "y0": 2.0, "x1": 9.0 + k, "y1": 8.0,
         "score": 1.0, "state": "tracked" if k else "start", "tracker": "rotation", "settings": SETTINGS | settings}
        for k in range(n)
    ]  # fmt: skip
    return tracking.as_table(rows)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("units_row", [False, True])
def test_the_settings_stand_once_in_a_track_and_come_back(tmp_path, name, units_row):
    path, table = tmp_path / name, a_track()
    tracking.write_track(table, path, units_row=units_row and name == "t.csv")
    assert path.read_bytes().count(b"14.713") == 1
    back = tracking.read_track(path)
    assert back.attrs == table.attrs == {"settings": SETTINGS}
    assert list(back.columns) == list(tracking.COLUMNS) and "settings" not in tracking.COLUMNS
    pd.testing.assert_frame_equal(back, table)


def test_pandas_alone_finds_the_settings(tmp_path):
    for name in ("t.csv", "t.parquet"):
        tracking.write_track(a_track(), tmp_path / name)
    assert pd.read_parquet(tmp_path / "t.parquet").attrs["settings"] == SETTINGS
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["frame"].tolist() == [0, 1, 2] and table["x0"].tolist() == [1.0, 2.0, 3.0]
    assert json.loads(table["settings"][0]) == SETTINGS and table["settings"][1:].isna().all()


def test_a_row_of_units_says_what_it_is_and_is_read_back(tmp_path):
    path = tmp_path / "t.csv"
    tracking.write_track(a_track(), path, units_row=True)
    header, units = (line.split(",") for line in path.read_text().splitlines()[:2])
    found = dict(zip(header, units, strict=True))
    assert found["frame"] == "# unit" and found["settings"] == found["state"] == ""
    assert (found["days"], found["x0"], found["lon"], found["tx1"]) == ("d", "pix", "deg", "arcsec")
    table = read_csv(path)
    assert len(table) == 3 and table.attrs["units"]["y1"] == "pix"
    skipped = pd.read_csv(path, skiprows=[1])
    assert skipped["x0"].tolist() == [1.0, 2.0, 3.0] and skipped["frame"].dtype == np.int64


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_track_in_other_units_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.setitem(tracking.table.UNITS, "x0", "arcsec")
    tracking.write_track(a_track(), tmp_path / name, units_row=name == "t.csv")
    monkeypatch.undo()
    with pytest.raises(TrackError, match=rf"{name} has x0 in 'arcsec', expected 'pix'"):
        tracking.read_track(tmp_path / name)


def test_a_row_of_units_is_for_csv_with_a_first_column_without_a_unit(tmp_path):
    for name in ("t.parquet", "t.txt", "t.ann"):
        with pytest.raises(TrackError, match=r"a row of units is for \.csv"):
            tracking.write_track(a_track(), tmp_path / name, units_row=True)
    turned = a_track()[[*list(tracking.COLUMNS)[::-1]]][["x0", *tracking.COLUMNS.keys() - {"x0"}]]
    with pytest.raises(TrackError, match="needs a first column without a unit"):
        tracking.write_track(turned, tmp_path / "t.csv", units_row=True)
    assert not list(tmp_path.iterdir())


def test_a_row_of_units_is_looked_for_below_the_header_only(tmp_path):
    path = write(tmp_path / "t.csv", "file,x\na,1\n# unit,pix\n")
    assert read_csv(path)["x"].tolist() == ["1", "pix"] and not read_csv(path).attrs
    path = write(tmp_path / "t.csv", "file,x\n# unit,pix,pix\n")
    with pytest.raises(ValueError, match="line 2 has 3 fields"):
        read_csv(path)
    path = write(tmp_path / "t.csv", "file,x\n# unit,pix\n")
    assert len(read_csv(path, numbers=True)) == 0


def test_tables_without_settings_or_of_others_are_read(tmp_path):
    bare = a_track().drop(columns=["message", "score"])
    bare.attrs = {}
    bare.to_parquet(tmp_path / "foreign.parquet")
    pq.write_table(pa.Table.from_pandas(bare).replace_schema_metadata(None), tmp_path / "plain.parquet")
    bare.to_csv(tmp_path / "foreign.csv", index=False)
    for name in ("foreign.parquet", "plain.parquet", "foreign.csv"):
        table = tracking.read_track(tmp_path / name)
        assert len(table) == 3 and table.attrs == {}
        tracking.write_track(table, tmp_path / "again.csv")
        assert b"settings" not in (tmp_path / "again.csv").read_bytes()


def test_damaged_metadata_are_an_error_that_names_the_file(tmp_path):
    table = pa.Table.from_pandas(a_track()).replace_schema_metadata({"PANDAS_ATTRS": "{"})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TrackError, match=r"t\.parquet is not a readable track"):
        tracking.read_track(tmp_path / "t.parquet")


def test_a_file_with_the_same_settings_in_every_row_is_read_as_one_with_them_once(tmp_path):
    old = a_track().assign(settings=json.dumps(SETTINGS))
    old.attrs = {}
    old.to_parquet(tmp_path / "old.parquet")
    old.to_csv(tmp_path / "old.csv", index=False)
    for name in ("old.parquet", "old.csv"):
        table = tracking.read_track(tmp_path / name)
        assert table.attrs["settings"] == SETTINGS and list(table.columns) == list(tracking.COLUMNS)


def test_a_file_of_two_runs_is_left_without_settings_and_says_so(tmp_path):
    for name, table in (("a.csv", a_track()), ("b.csv", a_track(law="other"))):
        tracking.write_track(table, tmp_path / name)
    parts = [pd.read_csv(tmp_path / name) for name in ("a.csv", "b.csv")]
    pd.concat(parts).to_csv(tmp_path / "both.csv", index=False)
    with pytest.warns(TrackWarning, match="the rows have 2 different settings, .* keep a table for each run"):
        table = tracking.read_track(tmp_path / "both.csv")
    assert len(table) == 6 and "settings" not in table.attrs
