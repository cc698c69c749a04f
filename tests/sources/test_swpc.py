"""NOAA's reports: read, listed, planned."""

import gzip
import io
import json
import tarfile
import warnings
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from solartrack import sources
from solartrack.errors import SourceError, SourceWarning
from solartrack.sources import swpc

DAY = """\
:Product: 0105SRS.txt
:Issued: 2014 Jan 05 0030 UTC
Joint USAF/NOAA Solar Region Summary
SRS Number 5 Issued at 0030Z on 05 Jan 2014
I.  Regions with Sunspots.  Locations Valid at 04/2400Z
Nmbr Location  Lo  Area  Z   LL   NN Mag Type
1936 S15W90   227  0060 Hsx  03   02 Alpha
1944 S08E38   099  1470 Fkc  20   60 Beta-Gamma-Delta
IA. H-alpha Plages without Spots.  Locations Valid at 04/2400Z Jan
Nmbr  Location  Lo
1940  N10W30   150
II. Regions Due to Return 05 Jan to 07 Jan
Nmbr Lat    Lo
1933 S13    044
"""


def report(*rows, day="05 Jan 2014", section="I"):
    """A summary with these rows in a section."""
    date = datetime.strptime(day, "%d %b %Y")
    sections = {"I": "I.  Regions with Sunspots.", "IA": "IA. Plages.", "II": "II. Due to Return."}
    lines = [f":Issued: {date:%Y %b %d} 0030 UTC"]
    for name, heading in sections.items():
        lines += [heading, "Nmbr Location  Lo", *(rows if name == section else ["None"])]
    return "\n".join(lines).encode()


def packed(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def decade(shared):
    """The Solar Region Summaries of 2010 to 2019."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        return swpc.read_srs(sorted((shared / "data/noaa/srs_tarballs").glob("*_SRS.tar.gz")))


# -- reading -----------------------------------------------------------------------


def test_a_summary_is_read_with_all_that_it_says():
    found = swpc.read_srs(DAY.encode())
    rows = found.regions.set_index("region")
    assert rows.index.tolist() == [11933, 11936, 11940, 11944]
    assert set(rows["time"]) == {pd.Timestamp(2014, 1, 5)}
    assert rows["section"].tolist() == ["II", "I", "IA", "I"]
    first = rows.loc[11944]
    assert (first["lat"], first["lon"], first["carrington_lon"]) == (-8.0, -38.0, 99.0)
    assert (first["area"], first["extent"], first["n_spots"]) == (1470, 20, 60)
    assert (first["mcintosh"], first["mag_class"]) == ("Fkc", "Beta-Gamma-Delta")
    assert rows.loc[11936, "lon"] == 90.0
    assert np.isnan(rows.loc[11933, "lon"]) and rows.loc[11933, "carrington_lon"] == 44.0
    assert pd.isna(rows.loc[11940, "area"]) and rows.loc[11940, "mcintosh"] == ""
    assert found.days.tolist() == [pd.Timestamp(2014, 1, 5)] and not len(found.troubles)
    assert {name: str(kind) for name, kind in found.regions.dtypes.items()} == swpc.SRS_COLUMNS


def test_capitals_of_the_nineties_are_written_as_today():
    found = swpc.read_srs(
        report("7938  N12W41  187  0270 DSI  09  026 BETA-GAMMA", day="06 Jan 1996")
    ).regions
    assert found.loc[0, ["region", "mcintosh", "mag_class"]].tolist() == [7938, "Dsi", "Beta-Gamma"]


@pytest.mark.parametrize(
    ("line", "column", "lacking"),
    [
        ("1260 N20E71   358  0010 Axx  01    Alpha", "n_spots", "no number of spots"),
        ("1430 N20E25   316  0090 Dao  05   14", "mag_class", "no magnetic class"),
        ("1430 N20E25   316  0090      05   14 Beta", "mcintosh", "no McIntosh class"),
    ],
)
def test_a_line_that_lacks_a_value_costs_that_value_only(line, column, lacking):
    with pytest.warns(SourceWarning, match=f"the text, line 4: {lacking}"):
        found = swpc.read_srs(report(line))
    row = found.regions.iloc[0]
    assert row["region"] == 10000 + int(line[:4]) and row["lat"] == 20.0
    lost = {
        name
        for name in ("area", "mcintosh", "extent", "n_spots", "mag_class")
        if row[name] is pd.NA or row[name] == ""
    }
    assert lost == {column}


@pytest.mark.parametrize(
    "line",
    [
        "1260",
        "1260 somewhere",
        "1260 N99E10 001 0010 Axx 01 01 Alpha",
        "*** correction",
        "12 N10E10",
        "1260: N10E10",
        "1260!S17W79 001",
    ],
)
def test_a_line_without_number_or_place_costs_itself_only(line):
    with pytest.warns(SourceWarning, match="line 4"):
        found = swpc.read_srs(report(line, "1261 N10E10   001  0010 Axx  01   01 Alpha"))
    assert found.regions["region"].tolist() == [11261]
    assert len(found.troubles) == 1 and found.troubles.loc[0, "line"] == 4


@pytest.mark.parametrize("line", ["1933: S13 044", "19333 S13 044", "1933 S13;044", "*** correction"])
def test_a_malformed_line_does_not_end_the_last_section(line):
    with pytest.warns(SourceWarning, match=f"line 10: no (region|location): '{line[:4]}".replace("*", r"\*")):
        found = swpc.read_srs(report(line, "1934 S14    045", section="II"))
    assert found.regions["region"].tolist() == [11934]


@given(
    report_of=st.sampled_from([DAY.encode(), report("1936 S15W90   227  0060 Hsx  03   02 Alpha")]),
    edits=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 2), st.binary(max_size=4)), max_size=20),
)
def test_no_damage_to_a_text_is_more_than_a_warning_or_a_refusal(report_of, edits):
    text = bytearray(report_of)
    for place, cut, put in edits:
        text[place : place + cut] = put
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        try:
            found = swpc.read_srs(bytes(text))
        except SourceError:
            return
    assert found.regions["lat"].between(-90, 90).all() and (found.regions["region"] > 0).all()


def test_a_day_without_regions_is_a_day():
    found = swpc.read_srs(report("None", day="09 Feb 2021"))
    assert not len(found.regions) and found.days.tolist() == [pd.Timestamp(2021, 2, 9)]
    assert {name: str(kind) for name, kind in found.regions.dtypes.items()} == swpc.SRS_COLUMNS


def test_messages_below_the_last_section_are_no_rows():
    text = DAY + "III. COMMENTS\nEFFECTIVE 2 OCT 2000\n2000 IS A YEAR\nPLAIN\nThis message is for users\n"
    assert len(swpc.read_srs(text.encode()).regions) == 4


def test_the_name_of_a_file_has_its_day_if_the_text_says_another(tmp_path):
    path = tmp_path / "20140106SRS.txt"
    path.write_text(DAY)
    with pytest.warns(SourceWarning, match="its text says that it was issued on 2014-01-05"):
        assert swpc.read_srs(path).days.tolist() == [pd.Timestamp(2014, 1, 6)]


def test_both_layouts_of_yearly_files_and_folders_are_read(tmp_path):
    days = {
        f"201401{n:02}SRS.txt": report("1936 S15W90   227  0060 Hsx  03   02 Alpha", day=f"{n:02} Jan 2014")
        for n in (5, 6, 8)
    }
    one = packed(tmp_path / "a.tar.gz", {f"2014_SRS/{name}": text for name, text in days.items()})
    two = packed(tmp_path / "b.tar.gz", {f"SRS/{name}": text for name, text in days.items()})
    for name, text in days.items():
        (tmp_path / name).write_bytes(text)
    tables = [swpc.read_srs(source) for source in (one, two, tmp_path, sorted(tmp_path.glob("*.txt")))]
    for table in tables:
        assert table.gaps.tolist() == [pd.Timestamp(2014, 1, 7)]
        pd.testing.assert_frame_equal(
            table.regions.drop(columns="file"), tables[0].regions.drop(columns="file")
        )


def test_of_two_reports_of_a_day_the_later_one_counts():
    old, new = (report(f"1936 S15W90   227  {area} Hsx  03   02 Alpha") for area in ("0060", "0070"))
    with pytest.warns(SourceWarning, match="a second report of 2014-01-05"):
        assert swpc.read_srs([old, new]).regions["area"].tolist() == [70]


def test_what_is_no_summary_is_refused_by_name(tmp_path):
    (tmp_path / "page.txt").write_text("<html>Error</html>")
    with pytest.raises(SourceError, match=r"no Solar Region Summary: none of 1 files is one, such as .*page"):
        swpc.read_srs(tmp_path / "page.txt")
    with pytest.raises(SourceError, match="there are no files"):
        swpc.read_srs([])
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        swpc.read_srs(tmp_path / "none")
    whole = packed(tmp_path / "a.tar.gz", {"SRS/20140105SRS.txt": DAY.encode() * 500}).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"cut\.tar\.gz"):
        swpc.read_srs(tmp_path / "cut.tar.gz")
    for length in (*range(5, 101, 5), len(whole) - 9):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:length])
        for source in (tmp_path / "cut.tar.gz", whole[:length]):
            with pytest.raises(SourceError):
                swpc.read_srs(source)


@pytest.mark.parametrize("at", range(100, 2000, 100))
def test_a_packed_file_with_a_flipped_bit_is_damaged(tmp_path, at):
    lines = "".join(f"a line that does not matter, {k * k}\n" for k in range(3000))
    path = packed(tmp_path / "a.tar.gz", {"SRS/20140105SRS.txt": (DAY + lines).encode()})
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    with pytest.raises(SourceError, match="damaged"):
        swpc.read_srs(bytes(content))


def test_a_plain_tar_file_with_a_wrong_header_or_without_its_end_is_damaged(tmp_path):
    members = {f"SRS/2014010{k}SRS.txt": DAY.encode() for k in (5, 6)}
    content = gzip.decompress(packed(tmp_path / "a.tar.gz", members).read_bytes())
    second = content.index(b"SRS/20140106")
    wrong = content[:second] + b"X" + content[second + 1 :]
    for damaged in (wrong, content[:second], content.rstrip(b"\0")):
        (tmp_path / "a.tar").write_bytes(damaged)
        for source in (tmp_path / "a.tar", damaged):
            with pytest.raises(SourceError, match="damaged"):
                swpc.read_srs(source)


def test_a_table_that_holds_no_reports_is_refused():
    with pytest.raises(ValueError, match=r"must have the columns name and text.* it has region"):
        swpc.read_srs(pd.DataFrame({"region": [1]}))
    with pytest.raises(ValueError, match="lacks name, text: it has none"):
        swpc.read_srs(pd.DataFrame())
    with pytest.raises(TypeError, match="paths or bytes"):
        swpc.read_srs(3)


@pytest.mark.parametrize(
    ("number", "time", "full"),
    [(7938, "1996-01-06", 7938), (9997, "2002-06-24", 9997), (1, "2002-06-24", 10001), (1936, "2014-01-05", 11936),
     (11936, "2014-01-05", 11936), (9999, "2033-01-01", 19999)],
)  # fmt: skip
def test_region_numbers_have_all_their_digits(number, time, full):
    assert swpc.full_region_number(number, time) == full


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_that_is_none_is_refused(number):
    with pytest.raises(ValueError, match="must be positive"):
        swpc.full_region_number(number, "2014-01-01")


# -- the real reports --------------------------------------------------------------


def test_all_reports_of_a_decade_are_read(decade):
    assert len(decade.days) == 3648
    sections = decade.regions["section"].value_counts()
    assert (sections["I"], sections["IA"], sections["II"]) == (12009, 4223, 3102)


def test_the_days_that_no_host_has_are_named(decade):
    assert decade.gaps.strftime("%Y-%m-%d").tolist() == [
        "2012-01-01",
        "2016-07-19",
        "2019-04-27",
        "2019-08-02",
    ]
    assert [pd.Timestamp(day) for day in swpc.KNOWN_GAPS] == decade.gaps[:2].tolist()


def test_the_malformed_lines_of_a_decade_are_the_known_ones(decade):
    places = [f"{row.file[-15:-7]}:{row.line}" for row in decade.troubles.itertuples() if row.line]
    assert places == [
        "20100228:18", "20110213:17", "20110725:14", "20120306:14", "20120417:15", "20140416:27", "20140904:16",
    ]  # fmt: skip


def test_the_list_of_active_regions_is_the_published_one(decade, shared):
    made = swpc.ar_list(decade, end="2018-12-31")
    lines = [f"{row.region - 10000},{row.first:%Y%m%d},{row.days_seen}" for row in made.itertuples()]
    published = (shared / "data/arflares/ARList.txt").read_text().split()
    assert len(published) == 1665 and lines == published
    assert (made["days"] > made["days_seen"]).sum() == 159


def test_the_odd_reports_of_all_years_are_read(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        found = swpc.read_srs(shared / "data/noaa/srs")
    assert len(found.days) == 12 and len(found.regions) == 70
    assert found.regions["region"].between(7900, 13000).all()
    assert len(found.troubles) == 1


def test_the_regions_of_the_last_days_are_those_of_a_summary(shared, replay, transport):
    url = replay.add(
        "/json/solar_regions.json", shared / "data/noaa/json/solar_regions_20240513_one_region.json"
    )
    (row,) = swpc.search(transport=transport, base_url=url).to_dict("records")
    assert row["region"] == 13664 and row["time"] == pd.Timestamp(2024, 5, 14)
    assert (row["lat"], row["lon"], row["carrington_lon"], row["area"]) == (-19.0, 87.0, 348.0, 1170)
    assert (row["mcintosh"], row["mag_class"], row["section"]) == ("Fkc", "Beta-Gamma-Delta", "I")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "should hold a list of regions"),
        ("[1]", "should hold a list"),
        ("<html><title>Oops</title></html>", "Oops"),
    ],
)
def test_another_answer_than_regions_is_an_error(body, message, replay, transport):
    with pytest.raises(SourceError, match=message):
        swpc.search(transport=transport, base_url=replay.add("/x.json", body))


def test_a_region_without_number_is_left_out_with_a_warning(replay, transport):
    records = [{"observed_date": "2024-05-13", "region": None, "latitude": 1, "longitude": 2},
               {"observed_date": "2024-05-13", "region": 3664, "latitude": -19, "longitude": 3}]  # fmt: skip
    url = replay.add("/x.json", json.dumps(records))
    with pytest.warns(SourceWarning, match="1 of 2 regions without number, day or place"):
        table = swpc.search(transport=transport, base_url=url)
    assert table["region"].tolist() == [13664] and table["section"].tolist() == ["IA"]


@pytest.mark.parametrize(
    "bad",
    [{"region": "abc"}, {"region": -3}, {"region": 3664.5}, {"observed_date": "soon"}, {"observed_date": 20240513},
     {"latitude": "S"}, {"latitude": 99}, {"location": "N99W999"}, {"longitude": float("inf"), "location": None}],
)  # fmt: skip
def test_a_bad_record_of_the_last_days_costs_itself_only(bad, replay, transport):
    good = {"observed_date": "2024-05-13", "region": 3664, "latitude": -19, "longitude": -87}
    url = replay.add("/x.json", json.dumps([good | bad, good | {"region": 3665}]))
    with pytest.warns(SourceWarning, match="1 of 2 regions .* left out"):
        table = swpc.search(transport=transport, base_url=url)
    assert table["region"].tolist() == [13665]


@pytest.mark.parametrize("number", [3664, 13664, "3664"])
def test_recent_numbers_have_five_digits_and_west_is_positive_without_a_location(number, replay, transport):
    record = {"observed_date": "2024-05-13", "region": number, "latitude": -19, "longitude": -87, "area": "?"}
    url = replay.add("/x.json", json.dumps([record]))
    row = swpc.search(transport=transport, base_url=url).iloc[0]
    assert (row["region"], row["lon"]) == (13664, 87.0) and pd.isna(row["area"])


def test_no_recent_regions_is_an_empty_table(replay, transport):
    table = swpc.search(transport=transport, base_url=replay.add("/x.json", "[]"))
    assert not len(table)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == swpc.SRS_COLUMNS


def test_a_packed_year_may_be_given_as_bytes(tmp_path):
    path = packed(tmp_path / "a.tar.gz", {"SRS/20140105SRS.txt": DAY.encode()})
    assert swpc.read_srs(path.read_bytes()).regions["region"].tolist() == [11933, 11936, 11940, 11944]
    with pytest.raises(SourceError, match="damaged"):
        swpc.read_srs(path.read_bytes()[:-40])


def test_days_of_the_list_may_have_a_zone_and_must_be_days():
    summaries = swpc.read_srs(DAY.encode())
    assert len(swpc.ar_list(summaries, start="2014-01-05T01:00+01:00")) == 2
    with pytest.raises(ValueError, match="start must be a date"):
        swpc.ar_list(summaries, start=None)
    with pytest.raises(ValueError, match="lies before start"):
        swpc.ar_list(summaries, start="2014-01-05", end="2014-01-04")


# -- reports of days, from several hosts -------------------------------------------


def add_days(replay, host, days, kind="SRS"):
    for day in days:
        date = pd.Timestamp(day)
        text = report("1944 S08E38   099  1470 Fkc  20   60 Beta", day=f"{date:%d %b %Y}")
        replay.add(
            f"/{host}/{date:%Y%m%d}{kind}.txt",
            text if text.startswith(b":Product:") else b":Product: x\n" + text,
        )


def test_reports_come_from_the_first_host_that_has_them(replay, transport):
    add_days(replay, "a", ["2014-01-05"])
    add_days(replay, "b", ["2014-01-05", "2014-01-06"])
    bases = [f"{replay.url}/a/", f"{replay.url}/b/"]
    with pytest.warns(SourceWarning, match="1 of 3 days have no report: 2014-01-07"):
        table = swpc.reports("srs", "2014-01-05", "2014-01-07", transport=transport, base_url=bases)
    assert table["url"].tolist() == [bases[0] + "20140105SRS.txt", bases[1] + "20140106SRS.txt", ""]
    assert table["time"].tolist() == list(pd.date_range("2014-01-05", "2014-01-07"))
    assert table["reason"].tolist() == ["", "", "no host has it"] and table["text"][2] == ""
    assert len(swpc.read_srs(table).regions) == 2


def test_a_host_that_is_down_is_not_asked_for_every_report(replay, transport):
    days = pd.date_range("2014-01-05", "2014-02-04")
    for day in days:
        replay.add(f"/a/{day:%Y%m%d}SRS.txt", b"", status=503)
    add_days(replay, "b", days)
    bases = [f"{replay.url}/a/", f"{replay.url.replace('127.0.0.1', 'localhost')}/b/"]
    table = swpc.reports("srs", days[0], days[-1], transport=transport, base_url=bases)
    assert (table["text"] != "").all()
    # Three failures, and those that were on their way then.
    assert replay.count() - len(days) <= transport.attempts * (2 + transport.connections(""))


def test_a_report_is_not_said_to_be_missing_while_a_host_is_down(replay, transport):
    replay.add("/a/20140105SRS.txt", b"", status=503)
    bases = [f"{replay.url}/a/", f"{replay.url}/b/"]
    with pytest.raises(SourceError, match="503") as caught:
        swpc.reports("srs", "2014-01-05", "2014-01-05", transport=transport, base_url=bases)
    assert not caught.value.permanent


def test_months_older_than_one_are_kept_for_good(replay, transport, tmp_path):
    recent = pd.Timestamp.now("UTC").tz_localize(None).normalize() - pd.Timedelta(days=5)
    add_days(replay, "a", ["2014-01-05", recent])
    for day, asked in (("2014-01-05", 1), (recent, 2)):
        before = replay.count()
        for _ in range(2):
            table = swpc.reports(
                "srs", day, day, cache=tmp_path / "kept", transport=transport, base_url=f"{replay.url}/a/"
            )
            assert table["text"][0].startswith(":Product: x\n:Issued:")
        assert replay.count() - before == asked
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["20140105SRS.txt"]


def test_a_damaged_copy_is_fetched_again(replay, transport, tmp_path):
    path = packed(tmp_path / "2014_SRS.tar.gz", {"SRS/20140105SRS.txt": DAY.encode()})
    replay.add("/a/2014_SRS.tar.gz", path)
    arguments = {
        "by": "year",
        "cache": tmp_path / "kept",
        "transport": transport,
        "base_url": replay.url + "/a",
    }
    for _ in range(2):
        swpc.reports("srs", "2014-01-05", "2014-01-05", **arguments)
    assert replay.count() == 1
    (tmp_path / "kept/2014_SRS.tar.gz").write_bytes(path.read_bytes()[:-60])
    assert swpc.reports("srs", "2014-01-05", "2014-01-05", **arguments)["text"][0] == DAY
    assert replay.count() == 2


@pytest.mark.parametrize("folder", ["2012_SRS", "SRS"])
def test_packed_years_have_their_gaps_named(folder, replay, transport, tmp_path):
    for year, days in ((2011, ["20111231"]), (2012, ["20120102"])):
        members = {
            f"{folder}/{day}SRS.txt": report("None", day=f"{pd.Timestamp(day):%d %b %Y}") for day in days
        }
        replay.add(f"/a/{year}_SRS.tar.gz", packed(tmp_path / "year.tar.gz", members))
    with pytest.warns(SourceWarning, match="1 of 3 days have no report: 2012-01-01"):
        table = swpc.reports(
            "srs", "2011-12-31", "2012-01-02", by="year", transport=transport, base_url=replay.url + "/a/"
        )
    assert table["reason"].tolist() == ["", "2012_SRS.tar.gz lacks it", ""]
    assert table["name"].tolist() == ["20111231SRS.txt", "20120101SRS.txt", "20120102SRS.txt"]
    assert swpc.read_srs(table).gaps.tolist() == [pd.Timestamp(2012, 1, 1)]


def test_a_known_gap_is_not_asked_for(replay, transport):
    with pytest.warns(SourceWarning, match="1 of 1 days have no report: 2016-07-19"):
        table = swpc.reports(
            "srs", "2016-07-19", "2016-07-19", transport=transport, base_url=replay.url + "/a/"
        )
    assert table["reason"].tolist() == ["no host has it"] and replay.count() == 0


def test_the_recorded_event_reports_of_a_year_are_there(shared, replay, transport):
    replay.add("/a/2014_events.tar.gz", shared / "data/noaa/events/2014_events.tar.gz")
    with pytest.warns(SourceWarning, match="1 of 365 days have no report: 2014-12-31"):
        table = swpc.reports(
            "events", "2014-01-01", "2014-12-31", by="year", transport=transport, base_url=replay.url + "/a/"
        )
    assert table["name"][9] == "20140110events.txt" and ":Product: 20140110events.txt" in table["text"][9]
    assert (table["text"] != "").sum() == 364


def test_regions_of_days_are_searched_by_day_and_by_year(shared, replay, transport):
    year = shared / "data/noaa/srs_tarballs/2014_SRS.tar.gz"
    replay.add("/a/2014_SRS.tar.gz", year)
    with tarfile.open(year) as tar:
        for day in ("20140105", "20140106"):
            replay.add(f"/a/{day}SRS.txt", tar.extractfile(f"SRS/{day}SRS.txt").read())
    tables = [
        swpc.search("2014-01-05", "2014-01-06", by=by, transport=transport, base_url=replay.url + "/a/")
        for by in ("day", "year")
    ]
    pd.testing.assert_frame_equal(*tables)
    assert tables[0]["time"].dt.day.unique().tolist() == [5, 6] and 11944 in set(tables[0]["region"])
    with pytest.raises(ValueError, match="start must be a date"):
        swpc.search(end="2014-01-06", transport=transport)


# -- time scales -------------------------------------------------------------------


def test_days_of_reports_are_utc_across_a_leap_second(replay, transport):
    add_days(replay, "a", ["2016-12-31", "2017-01-01"])
    table = swpc.search("2016-12-31", "2017-01-01", transport=transport, base_url=replay.url + "/a/")
    # Midnight in UTC is 36 s, then 37 s, after midnight in TAI.
    tai = Time(["2016-12-31T00:00:36", "2017-01-01T00:00:37"], scale="tai")
    assert table["time"].tolist() == tai.utc.to_datetime().tolist()
    found = swpc.ar_list(swpc.Summaries(table, pd.DatetimeIndex(table["time"]), pd.DataFrame()))
    assert found["first"].tolist() == [pd.Timestamp(2016, 12, 31)] and found["days_seen"].tolist() == [2]


@pytest.mark.parametrize("day", [Time("2016-12-31", scale="tai"), "2016.12.31_00:00:00_TAI", 57753.0])
def test_days_in_other_scales_are_refused(day):
    with pytest.raises(ValueError, match="start must be a date in UTC"):
        swpc.plan("srs", day, "2017-01-02")


# -- planning ----------------------------------------------------------------------


def test_a_plan_of_days_names_each_file_and_its_mirrors():
    plan = swpc.plan("srs", "2014-01-31", "2014-02-01")
    assert plan["name"].tolist() == ["20140131SRS.txt", "20140201SRS.txt"]
    assert plan["url"][1].endswith("/solar_region_summaries/2014/02/20140201SRS.txt")
    assert json.loads(plan["request"][1])["mirrors"] == [
        "https://ftp.swpc.noaa.gov/pub/warehouse/2014/2014_SRS/20140201SRS.txt"
    ]
    assert set(plan["check"]) == {"noaa"} and plan["time"].tolist() == [
        pd.Timestamp(2014, 1, 31),
        pd.Timestamp(2014, 2, 1),
    ]


def test_a_plan_of_years_has_a_tar_file_for_each():
    plan = swpc.plan("events", "2013-12-31", "2014-01-01", by="year")
    assert plan["name"].tolist() == ["2013_events.tar.gz", "2014_events.tar.gz"]
    assert set(plan["check"]) == {"tar"}


def test_a_year_that_may_still_grow_is_planned_by_day():
    today = pd.Timestamp.now("UTC").tz_localize(None).normalize()
    plan = swpc.plan("events", today - pd.Timedelta(days=400), today, by="year")
    packed = plan["name"].str.endswith(".tar.gz")
    assert plan[packed]["time"].dt.year.max() < (today - pd.Timedelta(days=30)).year
    days = plan[~packed]["time"]
    assert days.iloc[-1] == today and days.dt.year.min() >= (today - pd.Timedelta(days=31)).year
    assert plan["id"].is_unique


def test_days_that_no_host_has_are_left_out_and_named():
    with pytest.warns(SourceWarning, match="no host has the Solar Region Summary of 2012-01-01"):
        plan = swpc.plan("srs", "2011-12-31", "2012-01-02")
    assert plan["name"].tolist() == ["20111231SRS.txt", "20120102SRS.txt"]
    assert len(swpc.plan("events", "2012-01-01", "2012-01-01")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("srs", "2014-02-01", "2014-01-31"), "lies before start"),
        (("srs", "2014-02-01", "2999-01-31"), "lies in the future"),
        (("srs", "1990-02-01", "1999-01-31"), "begin in 1996"),
        (("srs", "yesterday", "1999-01-31"), "yesterday"),
        (("srs", None, "1999-01-31"), "start must be a date"),
        (("maps", "2014-02-01", "2014-02-01"), "kind must be one of srs, events"),
    ],
)
def test_bad_plans_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        swpc.plan(*arguments)


@pytest.mark.remote_data
def test_noaa_serves_a_summary_and_the_regions_of_today(tmp_path):
    store = sources.fetch(swpc.plan("srs", "2014-01-05", "2014-01-05"), tmp_path / "store")
    assert len(swpc.read_srs(store.files()).regions) > 5
    assert len(swpc.search())


def test_a_report_that_one_host_lacks_comes_from_the_next(replay, transport, tmp_path):
    replay.add("/second/20140105SRS.txt", DAY)
    bases = [f"{replay.url}/first/", f"{replay.url}/second/"]
    plan = swpc.plan("srs", "2014-01-05", "2014-01-06", base_url=bases)
    store = sources.fetch(plan, tmp_path / "store", transport=transport)
    assert store.manifest["state"].tolist() == ["done", "absent"]
    assert len(swpc.read_srs(store.files()).regions) == 4
    assert [asked.path for asked in replay.asked if "0105" in asked.path] == [
        "/first/20140105SRS.txt", "/second/20140105SRS.txt",
    ]  # fmt: skip


def test_a_report_is_absent_only_if_every_host_says_so(replay, transport, tmp_path):
    replay.add("/first/20140105SRS.txt", b"", status=503)
    bases = [f"{replay.url}/first/", f"{replay.url}/second/"]
    plan = swpc.plan("srs", "2014-01-05", "2014-01-05", base_url=bases)
    store = sources.fetch(plan, tmp_path / "store", transport=transport)
    assert store.manifest["state"].tolist() == ["failed"] and "503" in store.manifest["reason"][0]
    replay.add("/second/20140105SRS.txt", DAY)
    assert len(sources.fetch(None, tmp_path / "store", transport=transport).files()) == 1


# -- what a stranger found ---------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "regions", "trouble"),
    [
        (
            lambda t: t.replace("I.  Regions with Sunspots.", "Regions with Sunspots."),
            2,
            "before the first section",
        ),
        (lambda t: t.replace("I.  Regions", "I.Regions"), 2, "before the first section"),
        (lambda t: t.replace("\n", "\r"), 4, ""),
        (lambda t: t.replace("\n", "\r\n"), 4, ""),
        (lambda t: t[: t.index("IA. H")], 2, "no section IA, no section II: it may be cut"),
        (lambda t: t.replace("02 Alpha\n", "02 Alpha 1937 S15W05 227\n"), 4, "more than a region"),
        (lambda t: t.replace("1944 S08", "1936 S08"), 3, "a region for the second time"),
        (lambda t: t.replace("  099  ", "  999  "), 4, "no Carrington longitude"),
        (lambda t: t + t.replace("05", "06"), 4, "a second report begins"),
    ],
    ids=["no heading", "heading", "CR", "CRLF", "cut", "two in a line", "twice", "longitude", "two reports"],
)
def test_no_region_is_lost_without_a_word(change, regions, trouble):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        found = swpc.read_srs(change(DAY).encode())
    assert len(found.regions) == regions
    assert any(trouble in text for text in found.troubles["trouble"]) if trouble else not len(found.troubles)


def test_the_first_day_of_a_list_counts_whole():
    found = swpc.read_srs(DAY.encode())
    assert len(swpc.ar_list(found, start="2014-01-05T06:00", end="2014-01-05T01:00")) == 2


def test_what_is_no_report_of_noaa_is_not_kept(replay, transport, tmp_path):
    replay.add("/first/20140105SRS.txt", "sorry, try later")
    replay.add("/second/20140105SRS.txt", DAY)
    bases = [f"{replay.url}/first/", f"{replay.url}/second/"]
    cache = tmp_path / "cache"
    table = swpc.reports("srs", "2014-01-05", "2014-01-05", base_url=bases, cache=cache, transport=transport)
    assert table["text"][0] == DAY and (cache / "20140105SRS.txt").read_text() == DAY
    with pytest.raises(SourceError, match="expected a report of NOAA"):
        swpc.reports("srs", "2014-01-05", "2014-01-05", base_url=bases[0], transport=transport)


@pytest.mark.parametrize(
    "arguments", [("0001-01-01T00:00+05:00", "2014-01-01"), ("2014-01-01", "9999-12-31T23:59-05:00")]
)
def test_times_beyond_the_calendar_are_refused(arguments):
    with pytest.raises(ValueError, match="must be a date"):
        swpc.plan("srs", *arguments)
    with pytest.raises(ValueError, match="base_url may have"):
        swpc.plan("srs", "2014-01-01", "2014-01-01", base_url="http://x/{year.a}/")
