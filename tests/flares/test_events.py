"""Events: reports, lists, and the comparison of two sources."""

import io
import tarfile
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack.errors import SourceError, SourceWarning
from solartrack.flares.classes import peak_flux
from solartrack.flares.events import (
    EVENT_COLUMNS,
    FLARE_LISTS,
    compare_events,
    read_event_list,
    read_events,
    read_flare_list,
    write_event_list,
)
from solartrack.sources import hek

HEADER = """\
:Product: {day:%Y%m%d}events.txt
:Created: {made:%Y %b %d} 0332 UT
:Date: {day:%Y %m %d}
# Missing data: ////
#                            Edited Events for {day:%Y %b %d}
#
#Event    Begin    Max       End  Obs  Q  Type  Loc/Frq   Particulars       Reg#
#-------------------------------------------------------------------------------

"""
DAY = pd.Timestamp(2014, 1, 8)


def line(begin="0304", peak="0311", end="0320", flare_class="C3.1", region="1944", *, number="8940", plus=" ",
         obs="G15", kind="XRA", place="1-8A", flux="2.4E-03"):  # fmt: skip
    return (
        f"{number:<4} {plus}    {begin:>5}  {peak:>5}     {end:>5}  {obs}  5   {kind}  {place:<9} "
        f"{flare_class:<8}{flux:<7}   {region}"
    )


def report(*lines, day=DAY):
    return (HEADER.format(day=day, made=day + pd.Timedelta(3, "D")) + "\n\n".join(lines) + "\n").encode()


def read_quietly(source, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        return read_events(source, **options)


def only(events):
    assert len(events.table) == 1
    return events.table.iloc[0]


def test_a_line_is_read_with_all_that_it_says():
    found = read_events(
        report(line(), line(kind="RBR", place="4995", flare_class="130"), line(kind="FLA", place="S10E01"))
    )
    row = only(found)
    assert (row["region"], row["flare_class"], row["peak_flux"]) == (11944, "C3.1", 3.1e-6)
    assert row[["start", "peak", "end"]].tolist() == [
        pd.Timestamp(2014, 1, 8, 3, minute) for minute in (4, 11, 20)
    ]
    assert row[["observatory", "quality", "type", "particulars", "location"]].tolist() == ["G15", "5", "XRA", "C3.1 2.4E-03", ""]  # fmt: skip
    assert row["line"] == 10 and row["day"] == DAY
    assert found.days.tolist() == [DAY] and found.troubles.empty
    assert {name: str(kind) for name, kind in found.table.dtypes.items()} == EVENT_COLUMNS


def test_other_types_are_read_when_they_are_asked_for():
    source = report(line(), line(kind="FLA", place="S10E01", flare_class="SF", flux=""), line(kind="RBR"))
    rows = read_events(source, types=("FLA", "XRA")).table
    assert rows["type"].tolist() == ["XRA", "FLA"]
    assert rows["location"].tolist() == ["", "S10E01"] and rows["flare_class"].tolist() == ["C3.1", ""]
    assert np.isnan(rows.loc[1, "peak_flux"])
    assert read_events(source, types="RBR").table["type"].tolist() == ["RBR"]


@pytest.mark.parametrize(
    ("times", "days"),
    [
        (("2350", "2358", "0010"), (0, 0, 1)),
        (("2350", "0001", "0010"), (0, 1, 1)),
        (("2359", "0000", "0000"), (0, 1, 1)),
        (("0000", "0000", "0000"), (0, 0, 0)),
        (("B2350", "U0001", "A0010"), (0, 1, 1)),
        (("2350", "////", "0010"), (0, None, 1)),
        (("2350", "2400", "0010"), (0, 1, 1)),
        (("////", "0001", "0010"), (None, 0, 0)),
        (("2350", "////", "////"), (0, None, None)),
        (("1400", "0100", "0110"), (0, 1, 1)),
    ],
)
def test_events_go_on_after_midnight(times, days):
    row = only(read_events(report(line(*times))))
    for name, text, days_later in zip(("start", "peak", "end"), times, days, strict=True):
        if days_later is None:
            assert row[name] is pd.NaT
        else:
            clock = text[-4:].replace("2400", "0000")
            assert row[name] == DAY + pd.Timedelta(days_later, "D") + pd.Timedelta(
                f"{clock[:2]}:{clock[2:]}:00"
            )


@pytest.mark.parametrize(
    ("times", "lost", "message"),
    [
        (("0320", "0304", "0330"), "peak", "its maximum lies before its begin"),
        (("0304", "0320", "0311"), "end", "its end lies before its maximum"),
        (("0304", "////", "0300"), "end", "its end lies before its begin"),
        (("2350", "0005", "2355"), "end", "its end lies before its maximum"),
        (("0304", "0375", "0320"), "peak", "no time of its maximum"),
        (("2504", "0311", "0320"), "start", "no time of its begin"),
        (("0304", "2401", "0320"), "peak", "no time of its maximum"),
        (("0304", "03 1", "0320"), "peak", "no time of its maximum"),
        (("0304", "X0311", "0320"), "peak", "no time of its maximum"),
    ],
)
def test_a_wrong_time_costs_that_time_only(times, lost, message):
    with pytest.warns(SourceWarning, match=f"the text, line 10: {message}"):
        found = read_events(report(line(*times), line("1000", "1010", "1020")))
    row = found.table.iloc[0]
    assert [name for name in ("start", "peak", "end") if row[name] is pd.NaT and "////" not in times] in (
        [lost],
        [],
    )
    assert row[lost] is pd.NaT and row["flare_class"] == "C3.1" and row["region"] == 11944
    assert found.table.loc[1, "peak"] == DAY + pd.Timedelta("10:10:00") and len(found.troubles) == 1


@pytest.mark.parametrize("text", ["C", "B0", "", "D5.0", "C-1", "5.7", "M1..0"])
def test_what_is_no_class_is_missing_and_costs_no_more(text):
    with pytest.warns(SourceWarning, match="no flare class"):
        row = only(read_events(report(line(flare_class=text))))
    assert row["flare_class"] == "" and np.isnan(row["peak_flux"])
    assert row["region"] == 11944 and row["peak"] == DAY + pd.Timedelta("03:11:00")


@pytest.mark.parametrize(("text", "flux"), [("M10.0", 1e-4), ("X1.05", 1.05e-4), ("X17.2", 17.2e-4), ("A9.1", 9.1e-8), ("M1", 1e-5)])  # fmt: skip
def test_unusual_classes_are_numbers(text, flux):
    row = only(read_events(report(line(flare_class=text))))
    assert row["flare_class"] == text and row["peak_flux"] == pytest.approx(flux)


@pytest.mark.parametrize(("text", "number"), [("1944", 11944), ("11944", 11944), (" 944", 10944), ("", None), ("0", None), ("0000", None)])  # fmt: skip
def test_regions_have_four_or_five_digits_or_are_missing(text, number):
    found = read_events(report(line(region=text)))
    region = only(found)["region"]
    assert (region is pd.NA if number is None else region == number) and found.troubles.empty


@pytest.mark.parametrize("text", ["19x4", "-194", "119440", "١٩٤٤"])
def test_what_is_no_region_is_missing_with_a_warning(text):
    with pytest.warns(SourceWarning, match="is no number of a region"):
        row = only(read_events(report(line(region=text))))
    assert row["region"] is pd.NA and row["flare_class"] == "C3.1"


@pytest.mark.parametrize("number", ["8940", " 894", "894 ", "   4", "40"])
@pytest.mark.parametrize("plus", [" ", "+"])
def test_short_numbers_and_plus_signs_move_nothing(number, plus):
    row = only(read_events(report(line(number=number, plus=plus))))
    assert row["flare_class"] == "C3.1" and row["region"] == 11944


@pytest.mark.parametrize(
    "bad", ["gibberish", "8940   0304 0311 0320 G15 5 XRA 1-8A C3.1 1944", " " * 90 + "x"]
)
def test_what_is_no_event_costs_its_line(bad):
    with pytest.warns(SourceWarning, match="the text, line 10: no event"):
        found = read_events(report(bad, line()))
    assert only(found)["region"] == 11944


def test_a_day_without_events_is_covered():
    found = read_events([report("NO EVENT REPORTS."), report(line(), day=DAY + pd.Timedelta(1, "D"))])
    assert found.days.tolist() == [DAY, DAY + pd.Timedelta(1, "D")] and len(found.table) == 1
    empty = read_events(report("NO EVENT REPORTS."))
    assert empty.table.empty and empty.days.tolist() == [DAY] and empty.troubles.empty
    assert {name: str(kind) for name, kind in empty.table.dtypes.items()} == EVENT_COLUMNS


def test_a_day_that_had_not_ended_is_not_covered():
    early = report(line()).replace(b":Created: 2014 Jan 11 0332", b":Created: 2014 Jan 08 2352")
    found = read_events(early)
    assert len(found.table) == 1 and found.days.empty
    unsaid = report(line()).replace(b":Created:", b":Made:")
    assert read_events(
        [early, unsaid.replace(b"2014 01 08", b"2014 01 09").replace(b"Jan 08", b"Jan 09")]
    ).days.tolist() == [pd.Timestamp(2014, 1, 9)]


def test_the_same_line_twice_counts_once():
    with pytest.warns(SourceWarning, match="line 12: an event for the second time"):
        found = read_events(report(line(), line(), line("0400", "0411", "0420")))
    assert len(found.table) == 2


def test_of_two_reports_of_a_day_the_later_one_counts():
    one, two = report(line()), report(line(flare_class="M1.0"))
    with pytest.warns(SourceWarning, match="another report of 2014-01-08"):
        assert only(read_events([one, two]))["flare_class"] == "M1.0"
    assert only(read_events([one, one]))["flare_class"] == "C3.1"  # the same again is no trouble


def test_a_tar_file_a_folder_a_file_and_a_table_give_the_same(tmp_path):
    content = report(line())
    folder = tmp_path / "2014_events"
    folder.mkdir()
    (folder / "20140108events.txt").write_bytes(content)
    (folder / "readme.txt").write_text("none of it")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(folder, "2014_events")
    (tmp_path / "2014.tar.gz").write_bytes(buffer.getvalue())
    table = pd.DataFrame(
        {"name": ["20140108events.txt", "20140109events.txt"], "text": [content.decode(), ""]}
    )
    expected = read_events(content).table.drop(columns="file")
    for source in (
        folder,
        str(folder / "20140108events.txt"),
        tmp_path / "2014.tar.gz",
        buffer.getvalue(),
        table,
    ):
        found = read_events(source)
        pd.testing.assert_frame_equal(found.table.drop(columns="file"), expected)
        assert found.days.tolist() == [DAY]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("code", ["ascii", "utf-8-sig", "utf-16"])
def test_line_ends_and_encodings_of_editors_do_not_matter(end, code):
    content = report(line()).decode().replace("\n", end).encode(code)
    found = read_events(content)
    assert only(found)["region"] == 11944 and found.troubles.empty


def test_what_is_no_report_is_reported_and_costs_no_other():
    with pytest.warns(SourceWarning, match="this is no report of events"):
        found = read_events([b"<html>404</html>", report(line())])
    assert len(found.table) == 1


@pytest.mark.parametrize("source", [b"", b"<html>", [], b"\x00" * 1000])
def test_no_report_at_all_is_an_error(source):
    with pytest.raises(SourceError, match="no report of events"):
        read_quietly(source)


def test_a_missing_file_a_cut_tar_file_and_other_types_are_errors(tmp_path, shared):
    with pytest.raises(FileNotFoundError):
        read_events(tmp_path / "none")
    content = (shared / "data/noaa/events/2014_events.tar.gz").read_bytes()
    with pytest.raises(SourceError, match="damaged"):
        read_events(content[:5000])
    with pytest.raises(TypeError, match="paths or bytes, got int"):
        read_events(3)


@pytest.mark.parametrize(
    "options",
    [
        {"convention": "old"},
        {"class_scale": "raw"},
        {"types": ()},
        {"types": ("xray",)},
        {"types": ("FLA",), "convention": "published"},
    ],
)
def test_unknown_arguments_are_refused(options):
    with pytest.raises(ValueError):
        read_events(report(line()), **options)


def test_the_name_of_a_file_says_its_day(tmp_path):
    path = tmp_path / "20140109events.txt"
    path.write_bytes(report(line()))
    with pytest.warns(SourceWarning, match="its text says that it is of 2014-01-08"):
        assert read_events(path).days.tolist() == [pd.Timestamp(2014, 1, 9)]


def test_published_events_have_a_region_and_no_rollover_and_repeats():
    source = [report(line("2350", "0001", "0010"), line(region="")), report(line("2350", "0001", "0010"))]
    found = read_events(source, convention="published")
    assert len(found.table) == 2 and found.table["region"].eq(11944).all()
    assert found.table["peak"].eq(DAY + pd.Timedelta("00:01:00")).all()


CLOCKS = st.integers(0, 1439)


@given(
    st.lists(
        st.tuples(CLOCKS, st.integers(0, 600), st.integers(0, 100), st.sampled_from("ABCMX"), st.integers(10, 99),
                  st.one_of(st.none(), st.integers(10900, 13999))),
        max_size=8, unique_by=lambda event: event[0],
    )
)  # fmt: skip
def test_any_report_is_read_back(events):
    moments = [(DAY + pd.Timedelta(b, "min"), DAY + pd.Timedelta(b + p, "min"), DAY + pd.Timedelta(b + p + e, "min"))
               for b, p, e, *_ in events]  # fmt: skip
    lines = [
        line(f"{b:%H%M}", f"{p:%H%M}", f"{e:%H%M}", f"{letter}{tenths / 10:.1f}",
             "" if region is None else f"{region % 10000:04}")
        for (b, p, e), (_, _, _, letter, tenths, region) in zip(moments, events, strict=True)
    ]  # fmt: skip
    found = read_events(report(*lines))
    assert list(zip(found.table["start"], found.table["peak"], found.table["end"], strict=True)) == moments
    assert [None if r is pd.NA else r for r in found.table["region"]] == [event[5] for event in events]
    assert found.table["peak_flux"].tolist() == [peak_flux(f"{e[3]}{e[4] / 10:.1f}") for e in events]


# -- the scale of the classes ----------------------------------------------------------


@pytest.mark.parametrize(
    ("obs", "day", "science"),
    [
        ("G15", "2014-01-08", True),
        ("G08", "2000-01-08", True),
        ("GO8", "2000-01-08", True),
        ("GO9", "1997-01-08", True),
        ("G10", "2005-01-08", True),
        ("G16", "2014-01-08", False),
        ("G18", "2023-01-08", False),
        ("G07", "1994-01-08", False),
        ("SDO", "2014-04-14", True),
        ("SDO", "2019-12-09", True),
        ("SDO", "2019-12-10", False),
        ("SDO", "1995-02-28", False),
        ("SDO", "1995-03-01", True),
    ],
)
def test_science_classes_lack_the_factor_of_goes_8_to_15(obs, day, science):
    source = report(line(flare_class="C7.0", obs=obs), day=pd.Timestamp(day))
    row = only(read_events(source, class_scale="science"))
    assert row["peak_flux"] == pytest.approx(1e-5 if science else 7e-6)
    assert row["flare_class"] == ("M1.0" if science else "C7.0")
    assert only(read_events(source))["flare_class"] == "C7.0"


@given(st.integers(1, 142).map(lambda k: k * 7), st.sampled_from("ABCMX"))
def test_classes_that_divide_by_the_factor_are_exact(tenths, letter):
    source = report(line(flare_class=f"{letter}{tenths / 10:.1f}"))
    assert only(read_events(source, class_scale="science"))["peak_flux"] == peak_flux(
        f"{letter}{tenths // 7}.0"
    )


def test_a_missing_class_stays_missing_on_the_other_scale():
    row = only(read_quietly(report(line(flare_class="")), class_scale="science"))
    assert row["flare_class"] == "" and np.isnan(row["peak_flux"])


# -- the published list -----------------------------------------------------------------


def test_the_year_gives_every_row_of_the_published_list(shared, tmp_path):
    published = (shared / "data/arflares/eventList_2014.txt").read_text().splitlines()
    found = read_events(shared / "data/noaa/events/2014_events.tar.gz", convention="published")
    assert len(found.days) == 364 and len(found.table) == 2040 and found.troubles.empty
    write_event_list(found, tmp_path / "list.txt")
    written = (tmp_path / "list.txt").read_text().splitlines()
    assert written == published[:2040]
    # What the 364 files cannot give: two days again, from the next year's tar file, and its 31 December.
    assert published[2040:] == [
        "2014 12 29,0341,2248,C1.4", "2014 12 29,0529,2248,B8.6", "2014 12 29,1039,2248,C1.4",
        "2014 12 29,1052,2250,C2.6", "2014 12 30,0646,2251,C2.6", "2014 12 30,1808,2250,C1.9",
        "2014 12 30,2319,2250,C1.1", "2014 12 30,0004,2253,C1.5", "2014 12 31,0155,2251,C1.6",
        "2014 12 31,0354,2253,B9.3", "2014 12 31,0648,2253,C1.7", "2014 12 31,0904,2253,C1.2",
        "2014 12 31,1216,2251,C1.0", "2014 12 31,1235,2253,C1.4", "2014 12 31,2339,2253,C1.2",
    ]  # fmt: skip


def test_the_year_has_right_times_across_midnight(shared):
    with pytest.warns(SourceWarning, match=r"20141215events.txt, line 55: an event for the second time"):
        found = read_events(shared / "data/noaa/events/2014_events.tar.gz")
    table = found.table
    assert len(table) == 2254 and table["region"].isna().sum() == 215
    assert (table["end"] >= table["start"]).all() and (
        table["peak"].dropna() >= table["start"][table["peak"].notna()]
    ).all()
    after = table[table["peak"].dt.floor("D") > table["day"]]
    assert len(after) == 22
    published = read_events(shared / "data/noaa/events/2014_events.tar.gz", convention="published").table
    early = published.set_index(["file", "line"])["peak"]
    late = table[table["region"].notna()].set_index(["file", "line"])["peak"]
    difference = (late - early.reindex(late.index)).dropna()
    assert set(difference) == {pd.Timedelta(0), pd.Timedelta(1, "D")}
    row = table[(table["day"] == pd.Timestamp(2014, 5, 25)) & table["peak"].isna()].iloc[0]
    assert (row["region"], row["end"]) == (12065, pd.Timestamp(2014, 5, 26, 0, 4))  # its maximum is ////


def test_the_published_list_is_read_and_written_as_it_is(shared, tmp_path):
    path = shared / "data/arflares/eventList_2014.txt"
    found = read_event_list(path)
    assert len(found.table) == 2055 and found.troubles.empty
    assert found.days[0] == pd.Timestamp(2014, 1, 1) and found.days[-1] == pd.Timestamp(2014, 12, 31)
    assert len(found.days) == 365
    write_event_list(found, tmp_path / "list.txt")
    assert (tmp_path / "list.txt").read_bytes() == path.read_bytes()


def test_a_bad_line_of_a_list_costs_itself_or_a_value(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(
        "\ufeff2014 01 01,0649,1944,C2.1\r\nnonsense\r\n2014 02 30,0649,1944,C2.1\r\n2014 01 02,2461,1944,C2.1\r\n"
        "2014 01 03,0649,,C2.1\r\n2014 01 04,////,11944,C\r\n\r\n".encode()
    )
    with pytest.warns(
        SourceWarning, match=r"list.txt, line 2: expected YYYY MM DD,HHMM,region,class.* 3 more"
    ):
        found = read_event_list(path)
    assert found.troubles["line"].tolist() == [2, 3, 4, 6]
    assert [None if r is pd.NA else r for r in found.table["region"]] == [11944, None, 11944]
    assert (
        found.table["flare_class"].tolist() == ["C2.1", "C2.1", ""] and found.table.loc[2, "peak"] is pd.NaT
    )
    assert len(found.days) == 4


@pytest.mark.parametrize("content", [b"", b"a,b,c,d\n", b"\xff\xfe"])
def test_what_is_no_list_is_refused(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ValueError, match="no list of events"):
        read_event_list(tmp_path / "list.txt")


def test_a_list_is_written_with_the_time_of_the_maximum_and_events_with_a_region(tmp_path):
    found = read_events(report(line("2350", "0001", "0010"), line(region=""), line("0400", "////", "0420")))
    write_event_list(found, tmp_path / "list.txt")
    assert (tmp_path / "list.txt").read_text() == "2014 01 09,0001,1944,C3.1\n2014 01 08,////,1944,C3.1\n"


def test_an_event_without_a_class_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="has no class"):
        write_event_list(read_quietly(report(line(flare_class=""))), tmp_path / "list.txt")
    assert not (tmp_path / "list.txt").exists()


# -- lists of flares --------------------------------------------------------------------

SWPC = "date,event_no,start_time,max_time,end_time,goes_sat,goes_class,noaa_ar\n"


def csv(path, text):
    path.write_text(text)
    return path


def test_a_list_with_times_of_the_day_is_rolled_over(tmp_path):
    path = csv(
        tmp_path / "list.csv",
        SWPC + "20100102,1,2257,0019,0035,G14,C3.4,11039\n20100103,2,5,0014,14,G14,M1.0,     \n",
    )
    table = read_flare_list(path).table
    assert table.loc[0, ["start", "peak", "end"]].tolist() == [
        pd.Timestamp(2010, 1, 2, 22, 57), pd.Timestamp(2010, 1, 3, 0, 19), pd.Timestamp(2010, 1, 3, 0, 35),
    ]  # fmt: skip
    assert table.loc[1, "start"] == pd.Timestamp(2010, 1, 3, 0, 5) and table.loc[1, "region"] is pd.NA
    assert table["observatory"].tolist() == ["G14", "G14"] and table["line"].tolist() == [1, 2]
    assert {name: str(kind) for name, kind in table.dtypes.items()} == EVENT_COLUMNS


def test_the_users_own_columns_are_named_by_a_mapping(tmp_path):
    path = csv(tmp_path / "list.csv", "when,size,ar\n2011-02-15T01:56:00Z,X2.2,1158\n")
    found = read_flare_list(path, {"peak": "when", "flare_class": "size", "region": "ar"})
    row = only(found)
    assert (row["region"], row["peak"], row["type"]) == (11158, pd.Timestamp(2011, 2, 15, 1, 56), "XRA")
    assert row["start"] is pd.NaT and found.days.tolist() == [pd.Timestamp(2011, 2, 15)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (None, "no known layout"),
        ("mine", "a mapping or one of"),
        ({"peak": "when"}, "must name flare_class"),
        ({"flare_class": "size"}, "must name flare_class, and start or peak"),
        ({"peak": "when", "flare_class": "class"}, "lacks the columns class"),
        ({"peak": "when", "flare_class": "size", "size": "size"}, "columns may name"),
    ],
)
def test_columns_that_are_not_there_are_refused(tmp_path, columns, message):
    path = csv(tmp_path / "list.csv", "when,size,ar\n2011-02-15T01:56:00Z,X2.2,1158\n")
    with pytest.raises(ValueError, match=message):
        read_flare_list(path, columns)


@pytest.mark.parametrize(
    ("row", "message", "kept"),
    [
        ("20100102,1,2561,0019,0035,G14,C3.4,11039", "no time of its start", True),
        ("20100102,1,2257,2256,2300,G14,C3.4,11039", "its peak 2256 lies before", True),
        ("2010x,1,2257,0019,0035,G14,C3.4,11039", "is no day", False),
        ("20100102,1,,,0035,G14,C3.4,11039", "neither a start nor a peak", False),
        ("20100102,1,2257,0019,0035,G14,C,11039", "no flare class", True),
        ("20100102,1,2257,0019,0035,G14,C3.4,AR", "no number of a region", True),
        ("20100102,1,noon,0019,0035,G14,C3.4,11039", "no time of its start", True),
    ],
)
def test_a_bad_row_costs_a_value_or_itself(tmp_path, row, message, kept):
    path = csv(tmp_path / "list.csv", f"{SWPC}20100101,1,0100,0110,0120,G14,C1.0,11039\n{row}\n")
    with pytest.warns(SourceWarning, match=rf"list.csv, line 2: .*{message}"):
        found = read_flare_list(path)
    assert len(found.table) == 1 + kept and found.table.loc[0, "flare_class"] == "C1.0"


def test_a_list_with_the_day_of_the_start_in_all_times_is_put_right_and_said():
    table = pd.DataFrame({
        "event_starttime": ["2010-08-17 23:05:00", "2010-08-18 12:00:00"],
        "event_peaktime": ["2010-08-17 00:01:00", "2010-08-18 12:10:00"],
        "event_endtime": ["2010-08-17 00:22:00", "2010-08-18 12:05:00"],
        "goes_class": ["C3.0", "C1.0"], "noaa_ar": ["11093", "0"], "position_hgs": ["N12E40", ""],
    })  # fmt: skip
    with pytest.warns(SourceWarning, match="it is taken on the next day"):
        found = read_flare_list(table)
    assert found.table.loc[0, "peak"] == pd.Timestamp(2010, 8, 18, 0, 1)
    assert found.table.loc[0, "end"] == pd.Timestamp(2010, 8, 18, 0, 22)
    assert found.table.loc[1, "end"] is pd.NaT and found.table.loc[0, "location"] == "N12E40"


@pytest.mark.parametrize("content", ["date\n".encode("utf-16"), "gr\xf6\xdfe,a\n1,2\n".encode("latin-1")])
def test_a_list_in_another_encoding_is_refused_by_name(tmp_path, content):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(ValueError, match="not in UTF-8"):
        read_flare_list(tmp_path / "list.csv")


def test_a_table_of_events_is_read_back_from_csv(tmp_path):
    given = read_events(report(line("2350", "0001", "0010"), line(region="", flare_class="M1.0")))
    given.table.to_csv(tmp_path / "events.csv.gz", index=False)
    found = read_flare_list(tmp_path / "events.csv.gz").table
    other = ["file", "line"]
    pd.testing.assert_frame_equal(found.drop(columns=other), given.table.drop(columns=other))


@pytest.mark.parametrize(
    ("name", "rows", "layout"),
    [
        ("hayes2021_regions_flares/final_flare_list_sc24.csv.gz", 8606, "hayes"),
        ("hayes2021_regions_flares/swpc_flarelist_19960731_20181231.csv.gz", 23285, "swpc"),
        ("hayes2021_regions_flares/swpc_flarelist_20100101-20210810.csv.gz", 8833, "swpc"),
        ("liu2019_lstm/flares_M.csv.gz", 704, "liu"),
    ],
)
def test_real_lists_are_known_by_their_columns(shared, name, rows, layout):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)
        found = read_flare_list(shared / "data/flares" / name)
        again = read_flare_list(shared / "data/flares" / name, layout)
    assert len(found.table) == rows
    pd.testing.assert_frame_equal(found.table, again.table)
    table = found.table
    assert table["start"].notna().all() and table["peak_flux"].notna().mean() > 0.999
    assert ((table["end"] >= table["start"]) | table["end"].isna()).all()
    assert ((table["peak"] >= table["start"]) | table["peak"].isna()).all()
    assert table["peak"].isna().all() == (layout == "liu")


def test_a_list_without_maxima_takes_another_time_if_that_is_said(shared):
    path = shared / "data/flares/liu2019_lstm/flares_X.csv.gz"
    table = read_flare_list(path, {**FLARE_LISTS["liu"], "peak": "Start Time"}).table
    assert table["peak"].equals(table["start"].rename("peak"))


# -- two sources ------------------------------------------------------------------------


def events(*rows):
    table = pd.DataFrame(rows, columns=["peak", "flare_class", "region"])
    return read_flare_list(table, {name: name for name in table})


def test_flares_in_two_sources_are_put_side_by_side():
    a = events(
        ("2014-01-08 03:11", "C3.1", 1944),
        ("2014-01-08 05:00", "M1.0", 1944),
        ("2014-01-08 09:00", "X1.0", None),
    )
    b = events(
        ("2014-01-08 03:11", "C3.1", 11944),
        ("2014-01-08 05:01", "M1.1", 1945),
        ("2014-01-08 12:00", "B1.0", None),
    )
    table = compare_events(a, b)
    assert table["differences"].tolist() == ["", "time, class, region", "only in a", "only in b"]
    assert table["seconds"].tolist()[:2] == [0.0, 60.0]
    assert [None if r is pd.NA else r for r in table["row_b"]] == [0, 1, None, 2]


def test_the_closest_flares_are_the_same_ones():
    a = events(("2014-01-08 03:00", "C1.0", 1944), ("2014-01-08 03:05", "C2.0", 1945))
    b = events(
        ("2014-01-08 03:04", "C2.0", 1945),
    )
    table = compare_events(a, b)
    assert table["differences"].tolist() == ["only in a", "time"]
    # Of several as close, the one that agrees.
    b = events(("2014-01-08 03:02", "C9.0", 1), ("2014-01-08 03:02", "C1.0", 1944))
    assert compare_events(events(("2014-01-08 03:02", "C1.0", 1944)), b)["differences"].tolist() == [
        "",
        "only in b",
    ]


def test_classes_are_compared_as_numbers_and_missing_regions_agree():
    a, b = events(("2014-01-08", "M10.0", None)), events(("2014-01-08", "X1.0", None))
    assert compare_events(a, b)["differences"].tolist() == [""]
    assert compare_events(a, events(("2014-01-08", "X1.0", 1944)))["differences"].tolist() == ["region"]


def test_nothing_in_one_source_is_all_in_the_other():
    a, none = events(("2014-01-08", "C1.0", None)), read_events(report("NO EVENT REPORTS."))
    assert compare_events(a, none)["differences"].tolist() == ["only in a"]
    assert compare_events(none, a)["differences"].tolist() == ["only in b"]
    assert compare_events(none, none).empty


@pytest.mark.parametrize("tolerance", ["soon", -1, None, "-5min", [1]])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    a = events(("2014-01-08", "C1.0", None))
    with pytest.raises(ValueError, match="tolerance must be a length of time"):
        compare_events(a, a, tolerance=tolerance)


def test_what_holds_no_events_is_refused():
    with pytest.raises(TypeError, match="Events or a table, got list"):
        compare_events([], [])
    with pytest.raises(ValueError, match="no known layout"):
        compare_events(pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}))


PEAKS = st.lists(st.tuples(st.integers(0, 3000), st.sampled_from(["C1.0", "M2.0"])), max_size=12)


@given(PEAKS, PEAKS)
def test_every_event_is_in_one_row_and_pairs_are_within_the_tolerance(first, second):
    made = [
        events(*((pd.Timestamp(2014, 1, 8) + pd.Timedelta(m, "min"), c, None) for m, c in one)) if one
        else read_events(report("NO EVENT REPORTS."))
        for one in (first, second)
    ]  # fmt: skip
    table = compare_events(*made, tolerance="10min")
    assert sorted(table["row_a"].dropna()) == list(range(len(first)))
    assert sorted(table["row_b"].dropna()) == list(range(len(second)))
    assert (table["seconds"].dropna().abs() <= 600).all()
    there, back = table["differences"].eq("only in a").sum(), compare_events(*made[::-1], tolerance="10min")
    assert back["differences"].eq("only in b").sum() == there


def test_flares_of_hek_and_of_the_year_are_compared(shared):
    recorded = hek.read(
        shared / "data/hek/hek_FL_all_20141024.json", columns=["fl_goescls", "event_peaktime"]
    )
    year = read_quietly(shared / "data/noaa/events/2014_events.tar.gz").table
    evening = year[year["peak"].between("2014-10-24 21:00", "2014-10-24 23:59")]
    swpc = compare_events(recorded[recorded["frm_name"] == "SWPC"], evening)
    assert len(swpc) == 1 and swpc.loc[0, "differences"] == "" and swpc.loc[0, "class_a"] == "X3.1"
    ssw = compare_events(recorded[recorded["frm_name"] == "SSW Latest Events"], evening)
    assert ssw["differences"].tolist() == ["time"] and ssw["seconds"].tolist() == [60.0]


def test_flares_of_hek_need_their_columns(shared):
    recorded = hek.read(shared / "data/hek/hek_FL_SWPC_20131028.json")
    with pytest.raises(ValueError, match=r"no known layout.*fl_goescls|columns"):
        compare_events(recorded, recorded)


def test_the_years_reports_and_a_list_made_from_them_agree(shared):
    year = read_quietly(shared / "data/noaa/events/2014_events.tar.gz").table
    path = shared / "data/flares/hayes2021_regions_flares/swpc_flarelist_20100101-20210810.csv.gz"
    listed = read_flare_list(path).table
    listed = listed[listed["day"].dt.year == 2014]
    table = compare_events(year[year["peak_flux"] >= 1e-6], listed)
    counts = table["differences"].value_counts().to_dict()
    assert counts == {"": 2014, "only in b": 5, "only in a": 1}  # 31 December; the flare that SDO saw


@pytest.mark.parametrize("tolerance", [6, 6.0, np.int64(6), np.float32(6), "6", " 6.5 ", True])
def test_a_tolerance_without_a_unit_is_refused(tolerance):
    a = events(("2014-01-08", "C1.0", None))
    with pytest.raises(ValueError, match="tolerance must be a length of time"):
        compare_events(a, a, tolerance=tolerance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": 10000}, "region 10000 of 2014-01-08 cannot be written"),
        ({"region": 8500}, "region 8500 .* 8500 would be read as another"),
        ({"region": 123456}, "3456 would be read as another"),
        ({"flare_class": "C5,7"}, "has no class"),
    ],
)
def test_a_list_that_would_not_be_read_back_is_refused(tmp_path, change, message):
    table = read_events(report(line())).table.assign(**change)
    with pytest.raises(ValueError, match=message):
        write_event_list(table.astype(EVENT_COLUMNS), tmp_path / "list.txt")
    assert not (tmp_path / "list.txt").exists()


@pytest.mark.parametrize("content", [b"", b"a,a\n", b"a,b\n1\n", b"\xff\xfe"])
def test_an_error_of_a_flare_list_names_the_file(tmp_path, content):
    (tmp_path / "flares.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"flares\.csv: "):
        read_flare_list(tmp_path / "flares.csv")
