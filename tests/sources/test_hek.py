"""Events of the HEK: searching, reading, cleaning, tracks."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from solartrack import boxes
from solartrack.archive._catalogue import events_of, read_catalogue
from solartrack.coordinates import ImageGeometry
from solartrack.errors import SourceError, SourceWarning
from solartrack.sources import hek

RADIUS = 973.4  # arcsec, of the Sun on 2013-02-01
DAY = ("2013-02-01", "2013-02-02")
BOX = ["tx0", "ty0", "tx1", "ty1"]


@pytest.fixture
def recorded(shared):
    return shared / "data" / "hek" / "hek_spoca_AR_CH_20130201.json"


def polygon(x0, y0, x1, y1):
    return f"POLYGON(({x0} {y0},{x1} {y0},{x1} {y1},{x0} {y1},{x0} {y0}))"


def row(number=0, start="2013-02-01T00:00:00", hours=4, box=(100, 100, 200, 180), **values):
    """An event as the HEK writes it."""
    begin = datetime.fromisoformat(start) + timedelta(hours=hours * number)
    return {
        "event_type": "AR",
        "frm_name": "SPoCA",
        "frm_specificid": "SPoCA_v1.0_AR_0000000001",
        "event_starttime": begin.isoformat(),
        "event_endtime": (begin + timedelta(hours=hours)).isoformat(),
        "hpc_bbox": polygon(*box),
        "hpc_boundcc": polygon(*box),
        "hpc_coord": f"POINT({box[0]} {box[1]})",
        "ar_noaanum": None,
        "kb_archivid": f"ivo://helio-informatics.org/AR_SPoCA_{begin:%Y%m%dT%H%M%S}_{number}",
        **values,
    }


def answer(rows, overmax=False):
    """As the HEK sends it: with white space in front, in ISO-8859-1."""
    body = {"result": rows, "association": [], "overmax": overmax}
    return ("\n       " + json.dumps(body, ensure_ascii=False)).encode("latin-1")


def paged(replay, pages):
    """Serve pages; beyond them the last one again."""

    def serve(asked):
        return "application/json", pages[min(int(asked.query["page"]), len(pages)) - 1]

    return replay.add("/hek/her", lambda asked: (200, *serve(asked)))


# -- reading ---------------------------------------------------------------------------


def test_columns_and_types_are_fixed_whatever_the_rows_have():
    some = hek.events_table([{"kb_archivid": "ivo://x/a", "unknown": 1}, row()])
    none = hek.events_table([])
    for table in (some, none):
        assert {name: str(kind) for name, kind in table.dtypes.items()} == hek.EVENT_COLUMNS
    bare = some[some["kb_archivid"] == "ivo://x/a"].iloc[0]
    assert bare["event"] == "a" and bare["frm_name"] == "" and bare["ar_noaanum"] is pd.NA
    assert pd.isna(bare["time"]) and np.isnan(bare["tx0"]) and np.isnan(bare["hpc_x"])


def test_recorded_regions_and_holes(recorded):
    events = hek.read(recorded)
    assert dict(events["event_type"].value_counts()) == {"AR": 50, "CH": 39}
    assert (events["trouble"] == "").all() and events["time"].is_monotonic_increasing
    hole = events[events["event"] == "CH_SPoCA_20130201_003328_20130201T001331_0"].iloc[0]
    assert hole[BOX].tolist() == [-398.1, -967.5, -65.7, -820.5]
    assert (hole["time"], hole["end"]) == (
        pd.Timestamp("2013-01-31T20:13:31"), pd.Timestamp("2013-02-01T00:13:31")
    )  # fmt: skip
    assert (hole["hpc_x"], hole["hpc_y"], hole["obs_channelid"]) == (-281.097, -901.298, "AIA 193")


def test_text_beyond_ascii_is_kept(shared):
    folder = shared / "data" / "hek"
    pages = [folder / f"derived_hek_FL_all_20141024_page{i}.json" for i in (1, 2)]
    events = hek.read(pages, columns=["event_description", "fl_goescls"])
    assert len(events) == 13
    assert sum("1330 Å and 2796 Å" in text for text in events["event_description"]) == 1
    assert set(events["fl_goescls"]) == {"", "X3.1"}
    whole = hek.read(folder / "hek_FL_all_20141024.json", columns=["event_description", "fl_goescls"])
    pd.testing.assert_frame_equal(events, whole)


def test_latin_1_that_would_be_good_utf_8_is_latin_1():
    events = hek.read(answer([row(frm_name="Â°Ã¼ Méthode")]))
    assert events["frm_name"][0] == "Â°Ã¼ Méthode"


def test_empty_answer(shared):
    events = hek.read(shared / "data" / "hek" / "hek_empty_result_19850504.json")
    assert len(events) == 0 and list(events) == list(hek.EVENT_COLUMNS)
    result = hek.tracks(events)
    assert [len(table) for table in result] == [0, 0, 0]
    assert str(result.catalogue["time"].dtype) == "datetime64[us]" and "reason" in result.excluded


def test_an_event_that_comes_twice_is_one():
    assert len(hek.read([answer([row(0), row(1)]), answer([row(1), row(2)])])) == 3


@pytest.mark.parametrize(
    ("box", "trouble"),
    [
        ("", "hpc_bbox is empty"),
        (None, "hpc_bbox is empty"),
        ("POINT(3 4)", "no polygon"),
        ("POLYGON((1 2,3 4))", "no polygon"),
        ("POLYGON((1 2,3,4 5,6 7))", "no polygon"),
        ("POLYGON((a b,c d,e f,a b))", "no polygon"),
        ("POLYGON((1 2,nan 4,5 6,1 2))", "not finite"),
        ("POLYGON((1 2,1e999 4,5 6,1 2))", "not finite"),
        (17, "no polygon"),
        (polygon(16.9036, -68.9623, 16.9036, -68.9623), "single point, (16.9036, -68.9623)"),
        (polygon(0.000084, -961.734, -0.000084, 962.466), "strip of 0.000168 x 1924 arcsec"),
    ],
)
def test_boxes_that_cannot_be_used_are_flagged_and_kept(box, trouble):
    events = hek.read(answer([row(0, hpc_bbox=box), row(1)]))
    assert len(events) == 2 and trouble in events["trouble"][0]
    assert events[BOX].isna().all(axis=1).tolist() == [True, False]
    result = hek.tracks(events, more_than=0)
    assert len(result.boxes) == 1 and trouble in result.excluded["reason"][0]


def test_recorded_boxes_that_cannot_be_used(shared):
    events = hek.read(shared / "data" / "hek" / "hek_FL_SWPC_20131028.json")
    assert events["trouble"].str.contains("single point").sum() == 3
    assert events["trouble"].str.contains("strip").sum() == 4
    flares = hek.read(shared / "data" / "hek" / "hek_FL_all_20141024.json")
    assert flares.groupby("frm_name")["trouble"].apply(lambda x: (x != "").sum()).to_dict() == {
        "Flare Detective - Trigger Module": 0, "Jakub Prchlik": 0, "SSW Latest Events": 1, "SWPC": 0
    }  # fmt: skip


@pytest.mark.parametrize("end", [None, "", "NaT", "soon", "2013-13-45T00:00:00"])
def test_an_end_that_is_missing_is_no_trouble(end):
    events = hek.read(answer([row(event_endtime=end)]))
    assert pd.isna(events["end"][0]) and events["trouble"][0] == ""


@pytest.mark.parametrize("start", [None, "", "soon", 17, "2013-02-30T00:00:00"])
def test_a_start_that_is_missing_is_trouble(start):
    events = hek.read(answer([row(event_starttime=start)]))
    assert pd.isna(events["time"][0]) and events["trouble"][0] == "it has no time of its start"
    assert hek.limb_filter(events).excluded["reason"].tolist() == ["it has no box or no time"]


def test_an_end_before_the_start_is_trouble():
    events = hek.read(answer([row(event_endtime="2013-01-01T00:00:00")]))
    assert events["trouble"][0] == "its end lies before its start"


def test_region_numbers_get_five_digits(shared):
    times = [
        "2012-01-01",
        "2014-10-24",
        "1998-05-01",
        "2002-07-01",
        "2002-06-10",
        "2026-03-28",
        "NaT",
        "2045-01-01",
    ]
    numbers = hek.noaa_numbers(
        [1389, "2192", 8210, "92", 9995.0, 14405, 4405, 8000], np.array(times, "M8[us]")
    )
    assert numbers.tolist() == [11389, 12192, 8210, 10092, 9995, 14405, 14405, 18000]
    missing = hek.noaa_numbers(
        [0, None, "", "None", "abc", -3, 1.5, np.nan, 123456, True], np.datetime64("2012-01-01")
    )
    assert missing.isna().all()
    flares = hek.read(shared / "data" / "hek" / "hek_FL_all_20141024.json")
    of = flares.groupby("frm_name")["ar_noaanum"].first()
    assert of["SSW Latest Events"] == of["SWPC"] == 12192
    assert flares["ar_noaanum"].isna().sum() == 11


@pytest.mark.parametrize("file", ["ssw_latest", "swpc"])
def test_rows_of_sunpy_tables(shared, file):
    from astropy.table import Table

    table = Table.read(next((shared / "data" / "hek").glob(f"hek_{file}_*.ecsv")))
    rows = [{name: str(one[name]) for name in table.colnames} for one in table]
    events = hek.events_table(rows)
    assert len(events) == len(table) and not events["time"].isna().any()
    assert (
        set(events["ar_noaanum"].dropna()) <= set(range(11380, 11400)) and events["ar_noaanum"].notna().any()
    )
    assert (events["trouble"] != "").any()


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b"17", b"null", b'{"error": "busy"}', b'{"result": {}}', b'{"result": [1, 2]}', b"[" * 99999],
)  # fmt: skip
def test_odd_answers_are_refused(body, replay, transport):
    with pytest.raises(SourceError, match="expected"):
        hek.read(body)
    url = replay.add("/hek/her", body, content_type="application/json")
    with pytest.raises(SourceError, match="expected"):
        hek.search(*DAY, event_type="AR", transport=transport, base_url=url)


def test_odd_values_are_no_trouble():
    odd = row(
        frm_name=["a"], frm_specificid={"b": 1}, obs_channelid=171, hpc_coord="POINT(x y)", hpc_radius="x",
        ar_noaanum=[1], hpc_boundcc=3.5, kb_archivid=None,
    )  # fmt: skip
    events = hek.read(answer([odd]))
    assert events["frm_name"][0] == '["a"]' and events["obs_channelid"][0] == "171"
    assert np.isnan(events["hpc_x"][0]) and np.isnan(events["hpc_radius"][0])
    assert [len(table) for table in hek.tracks(events)] == [0, 0, 1]


# -- searching -------------------------------------------------------------------------


def test_search_asks_as_it_should(replay, transport):
    url = replay.add("/hek/her", answer([row()]), content_type="application/json")
    events = hek.search(
        "2013-02-01", "2013-02-28T12:00:00", event_type="ar, CH", method="spoca", specific_id="SPoCA_v1.0_AR_0000000001",
        columns=["fl_goescls"], transport=transport, base_url=url,
    )  # fmt: skip
    asked = replay.asked[0].query
    assert len(events) == len(replay.asked) == 1 and list(events)[-1] == "fl_goescls"
    assert asked["event_type"] == "ar,ch" and asked["page"] == "1"
    assert (asked["event_starttime"], asked["event_endtime"]) == (
        "2013-02-01T00:00:00",
        "2013-02-28T12:00:00",
    )
    assert (asked["param0"], asked["op0"], asked["value0"]) == ("FRM_Name", "=", "SPoCA")
    assert (asked["param1"], asked["value1"]) == ("FRM_SpecificID", "SPoCA_v1.0_AR_0000000001")
    # Beyond the limb, too.
    assert (asked["event_coordsys"], asked["x1"], asked["y2"]) == ("helioprojective", "-5000", "5000")
    assert {"hpc_bbox", "hpc_boundcc", "kb_archivid", "fl_goescls"} <= set(asked["return"].split(","))


def test_all_pages_are_read(shared, replay, transport):
    folder = shared / "data" / "hek"
    pages = [(folder / f"derived_hek_FL_all_20141024_page{i}.json").read_bytes() for i in (1, 2)]
    url = paged(replay, pages)
    events = hek.search("2014-10-24", "2014-10-25", event_type="FL", transport=transport, base_url=url)
    pd.testing.assert_frame_equal(events, hek.read(folder / "hek_FL_all_20141024.json"))
    assert [asked.query["page"] for asked in replay.asked] == ["1", "2"]


def test_a_repeated_page_adds_nothing_and_ends(replay, transport):
    url = paged(replay, [answer([row(0), row(1)], overmax=True)])
    with pytest.warns(UserWarning, match="page 2 .* repeats"):
        events = hek.search(*DAY, event_type="AR", transport=transport, base_url=url)
    assert len(events) == 2 and replay.count() == 2


@pytest.mark.parametrize("later", [[], [row(0)]])
def test_a_page_that_gives_nothing_new_but_says_that_there_are_more_is_said_and_not_kept(
    replay, transport, tmp_path, later
):
    url = paged(replay, [answer([row(0)], overmax=True), answer(later, overmax=True)])
    for _ in range(2):
        with pytest.warns(UserWarning, match="page 2 .* some may be missing"):
            events = hek.search(
                *DAY, event_type="AR", transport=transport, base_url=url, cache=tmp_path / "kept"
            )
        assert len(events) == 1
    assert replay.count() == 4


@pytest.mark.parametrize(
    ("said", "count"), [("1.0", 2), ('"T"', 2), ("0.0", 1), ('" False "', 1), ("null", 1)]
)
def test_the_ways_to_say_that_there_are_more_pages(replay, transport, said, count):
    pages = [answer([row(0)]).replace(b"false", said.encode(), 1), answer([row(1)])]
    assert said.encode() in pages[0]
    url = paged(replay, pages)
    assert len(hek.search(*DAY, event_type="AR", transport=transport, base_url=url)) == count


def test_a_word_about_more_pages_that_is_not_understood_is_refused(replay, transport):
    url = paged(replay, [answer([row(0)]).replace(b"false", b'"yes please"', 1)])
    with pytest.raises(SourceError, match="expected true or false under 'overmax', got 'yes please'"):
        hek.search(*DAY, event_type="AR", transport=transport, base_url=url)


def test_half_a_character_is_replaced(replay, transport, tmp_path):
    page = json.dumps({"result": [row(0) | {"kb_archivid": "ivo://x/a\ud800b"}], "overmax": False})
    events = hek.search(*DAY, event_type="AR", transport=transport, base_url=paged(replay, [page.encode()]))
    assert events["kb_archivid"].tolist() == ["ivo://x/a\ufffdb"]
    events.to_parquet(tmp_path / "a.parquet")


def test_a_repeated_last_page_needs_no_warning(replay, transport):
    page = [row(0), row(1)]
    url = paged(replay, [answer(page, overmax=True), answer(page)])
    assert len(hek.search(*DAY, event_type="AR", transport=transport, base_url=url)) == 2


def test_pages_that_overlap_give_each_event_once(replay, transport):
    pages = [answer([row(0), row(1)], True), answer([row(1), row(2)], True), answer([row(2), row(3)])]
    url = paged(replay, pages)
    assert len(hek.search(*DAY, event_type="AR", transport=transport, base_url=url)) == 4


def test_a_page_that_does_not_say_whether_it_is_the_last(replay, transport):
    full = json.dumps({"result": [row(i, hours=0.01) for i in range(500)]}).encode()
    url = paged(replay, [full, b'{"result": []}'])
    assert len(hek.search(*DAY, event_type="AR", transport=transport, base_url=url)) == 500
    assert replay.count() == 2


def test_each_month_is_asked_and_events_over_its_end_come_once(replay, transport):
    def serve(asked):
        first = datetime.fromisoformat(asked.query["event_starttime"])
        last = datetime.fromisoformat(asked.query["event_endtime"])
        rows = [row(i, "2012-12-31T22:00:00", hours=24) for i in range(70)]
        inside = [
            one for one in rows
            if datetime.fromisoformat(one["event_starttime"]) <= last
            and datetime.fromisoformat(one["event_endtime"]) >= first
        ]  # fmt: skip
        return 200, "application/json", answer(inside)

    url = replay.add("/hek/her", serve)
    events = hek.search("2013-01-01", "2013-02-20", event_type="AR", transport=transport, base_url=url)
    spans = [(asked.query["event_starttime"], asked.query["event_endtime"]) for asked in replay.asked]
    assert spans == [
        ("2013-01-01T00:00:00", "2013-02-01T00:00:00"), ("2013-02-01T00:00:00", "2013-02-20T00:00:00")
    ]  # fmt: skip
    # From the one that lasts over New Year to the one of 19 February.
    assert len(events) == 51 and events["event"].is_unique


def test_only_events_that_overlap_the_span(replay, transport):
    url = replay.add("/hek/her", answer([row(i) for i in range(6)]), content_type="application/json")
    events = hek.search(
        "2013-02-01T08:00:00", "2013-02-01T16:00:00", event_type="AR", transport=transport, base_url=url
    )
    assert events["time"].dt.hour.tolist() == [8, 12]
    moment = row(0, hours=0)
    url = replay.add("/other", answer([moment]), content_type="application/json")
    assert len(hek.search(*DAY, event_type="AR", transport=transport, base_url=url)) == 1


def test_whole_months_are_kept(replay, transport, tmp_path):
    url = replay.add(
        "/hek/her", answer([row(0), row(1), row(2, frm_name="Méthode")]), content_type="application/json"
    )
    ask = {"event_type": "AR", "cache": tmp_path, "transport": transport, "base_url": url}
    first = hek.search("2013-02-01", "2013-02-01T04:00:00", **ask)
    assert replay.asked[0].query["event_endtime"] == "2013-03-01T00:00:00"
    plan = hek.plan("2013-02-01", "2013-03-05", event_type="AR", cache=tmp_path, base_url=url)
    assert plan["cached"].tolist() == [True, False]
    all_of_it = hek.search(*DAY, **ask)
    assert replay.count() == 1 and (len(first), len(all_of_it)) == (1, 3)
    assert all_of_it["frm_name"].tolist() == ["SPoCA", "SPoCA", "Méthode"]
    without = hek.search(*DAY, event_type="AR", transport=transport, base_url=url)
    pd.testing.assert_frame_equal(all_of_it, without)
    assert all(path.suffix == ".json" for path in tmp_path.iterdir())


def test_a_damaged_kept_month_is_asked_again(replay, transport, tmp_path):
    url = replay.add("/hek/her", answer([row()]), content_type="application/json")
    ask = {"event_type": "AR", "cache": tmp_path, "transport": transport, "base_url": url}
    hek.search(*DAY, **ask)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-20])
    assert len(hek.search(*DAY, **ask)) == 1 and replay.count() == 2


def test_other_questions_have_other_files(replay, transport, tmp_path):
    url = replay.add("/hek/her", answer([]), content_type="application/json")
    for ask in (
        {"event_type": "AR"},
        {"event_type": "CH"},
        {"event_type": "AR", "method": "SPoCA"},
        {"region": 11666},
    ):
        hek.search(*DAY, **ask, cache=tmp_path, transport=transport, base_url=url)
    assert replay.count() == 5 == len(list(tmp_path.iterdir()))  # a region in two ways to write it


def test_recent_and_incomplete_months_are_not_kept(replay, transport, tmp_path):
    now = datetime.now(UTC).replace(tzinfo=None)
    url = replay.add("/hek/her", answer([]), content_type="application/json")
    hek.search(
        now - timedelta(days=3), now, event_type="AR", cache=tmp_path, transport=transport, base_url=url
    )
    assert not list(tmp_path.iterdir())
    url = paged(replay, [answer([row()], overmax=True)])
    replay._routes["/hek/her"].pop(0)
    with pytest.warns(UserWarning, match="may be missing"):
        hek.search(*DAY, event_type="AR", cache=tmp_path, transport=transport, base_url=url)
    assert not list(tmp_path.iterdir())


def test_a_search_that_failed_goes_on_where_it_was(replay, transport, tmp_path):
    url = replay.add("/hek/her", answer([row()]), content_type="application/json")
    broken = replay.add(
        "/hek/her", b"{}", query={"event_starttime": "2013-03-01T00:00:00"}, content_type="application/json"
    )
    assert broken == url
    ask = {"event_type": "AR", "cache": tmp_path, "transport": transport, "base_url": url}
    with pytest.raises(SourceError, match="page 1 of 2013-03-01"):
        hek.search("2013-02-01", "2013-03-10", **ask)
    replay._routes["/hek/her"].pop()
    before = replay.count()
    assert len(hek.search("2013-02-01", "2013-03-10", **ask)) == 1
    assert replay.count() == before + 1


@pytest.mark.parametrize("fault", ["503", "html", "cut", "shorter", "reset", "empty", "stall"])
def test_faults_on_the_way_are_got_over(fault, replay, transport):
    url = replay.add("/hek/her", answer([row(0), row(1)]), content_type="application/json", faults=(fault,))
    assert len(hek.search(*DAY, event_type="AR", transport=transport, base_url=url)) == 2


def test_a_region_is_found_however_its_number_is_written(replay, transport):
    written = {
        "12192": [row(0, "2014-10-24", ar_noaanum=12192)],
        "2192": [row(1, "2014-10-24", ar_noaanum=2192)],
    }

    def serve(asked):
        assert asked.query["param0"] == "AR_NOAANum"
        return (
            200,
            "application/json",
            answer([*written[asked.query["value0"]], row(2, "2014-10-24", ar_noaanum=3)]),
        )

    url = replay.add("/hek/her", serve)
    for region in (12192, "12192", 2192):
        events = hek.search("2014-10-24", "2014-10-25", region=region, transport=transport, base_url=url)
        assert events["ar_noaanum"].tolist() == [12192, 12192]


def test_several_methods_are_asked_one_by_one(replay, transport):
    url = replay.add("/hek/her", answer([row()]), content_type="application/json")
    events = hek.search(*DAY, method=["SPoCA", "HMI SHARP"], transport=transport, base_url=url)
    asked = [(one.query["value0"], one.query["event_type"]) for one in replay.asked]
    assert asked == [("SPoCA", "ar,ch"), ("HMI SHARP", "ar")] and len(events) == 1


@pytest.mark.parametrize(
    ("ask", "left", "said"),
    [
        ({"event_type": "AR"}, ["AR SPoCA", "AR HMI SHARP", " SPoCA"], "1 CH of SPoCA, 1 FL of SWPC"),
        ({"method": "spoca"}, ["AR SPoCA", "CH SPoCA", " SPoCA"], "1 AR of HMI SHARP, 1 FL of SWPC"),
        ({"method": "SPoCA", "event_type": "CH"}, ["CH SPoCA", " SPoCA"], "AR of HMI SHARP, 1 AR of SPoCA, 1 FL"),
        ({"method": ["HMI SHARP", "SWPC"]}, ["AR HMI SHARP", "FL SWPC"], "1  of SPoCA, 1 AR of SPoCA, 1 CH"),
    ],
)  # fmt: skip
def test_what_was_not_asked_for_is_left_out_with_a_word(replay, transport, tmp_path, ask, left, said):
    kinds = [("AR", "SPoCA"), ("CH", "SPoCA"), ("AR", "HMI SHARP"), ("FL", "SWPC"), ("", "SPoCA")]
    rows = [row(i, event_type=kind, frm_name=name) for i, (kind, name) in enumerate(kinds)]
    url = replay.add("/hek/her", answer(rows), content_type="application/json")
    for _ in range(2):  # of the service, then of the cache
        with pytest.warns(SourceWarning, match=rf"methods not asked for \(.*{said}.*\); they are left out"):
            events = hek.search(*DAY, **ask, cache=tmp_path / "kept", transport=transport, base_url=url)
        assert sorted(events["event_type"] + " " + events["frm_name"]) == sorted(left)


def test_any_type_of_a_method_of_ones_own_is_what_was_asked_for(replay, transport):
    rows = [row(i, event_type=kind, frm_name="Mine") for i, kind in enumerate(("AR", "ZZ"))]
    url = replay.add("/hek/her", answer(rows), content_type="application/json")
    ask = {"method": "mine", "known_only": False, "transport": transport, "base_url": url}
    assert len(hek.search(*DAY, **ask)) == 2


def test_plan_says_what_would_be_asked():
    plan = hek.plan(Time("2012-12-31T12:00:00", scale="utc"), "2013-02-02", method="SPoCA", event_type="CH")
    assert plan["start"].dt.month.tolist() == [12, 1, 2] and not plan["cached"].any()
    assert str(plan["start"].dtype) == str(plan["end"].dtype) == "datetime64[us]"
    query = parse_qs(urlsplit(plan["url"][0]).query)
    assert query["event_starttime"] == ["2012-12-31T12:00:00"] and query["event_type"] == ["ch"]
    assert set(plan["event_type"]) == {"CH"} and set(plan["frm_name"]) == {"SPoCA"}


def test_the_future_is_not_asked_for(replay, transport):
    url = replay.add("/hek/her", answer([]), content_type="application/json")
    found = hek.search("2150-01-01", "9999-12-31", event_type="AR", transport=transport, base_url=url)
    assert len(found) == 0 and replay.count() == 0
    plan = hek.plan("2150-01-01", "9999-12-31", event_type="AR")
    assert len(plan) == 0 and str(plan["start"].dtype) == "datetime64[us]"
    now = datetime.now(UTC)
    assert len(hek.plan(now - timedelta(days=1), "9999-12-31", event_type="AR")) in (1, 2)


@pytest.mark.parametrize(
    ("start", "end", "ask", "message"),
    [
        ("2013-02-02", "2013-02-01", {"event_type": "AR"}, "end must be after start"),
        ("2013-02-01", "2013-02-01", {"event_type": "AR"}, "end must be after start"),
        ("yesterday", "2013-02-01", {"event_type": "AR"}, "start must be a date"),
        ("2013-02-01", None, {"event_type": "AR"}, "end must be a date"),
        ("2013-02-01", 17, {"event_type": "AR"}, "end must be a date"),
        (*DAY, {}, "say which events"),
        (*DAY, {"method": "SPoCa2"}, "unknown method 'SPoCa2'; expected one of SPoCA, HMI SHARP"),
        (*DAY, {"method": ""}, "unknown method"),
        (*DAY, {"method": []}, "method is empty"),
        (*DAY, {"event_type": "XX"}, "unknown event_type 'XX'; expected one of AR"),
        (*DAY, {"event_type": "AR;CH"}, "unknown event_type"),
        (*DAY, {"event_type": []}, "event_type is empty"),
        (*DAY, {"event_type": "CH", "method": "SWPC"}, "SWPC reports FL, not CH"),
        (*DAY, {"region": 0}, "NOAA number"),
        (*DAY, {"region": "abc"}, "NOAA number"),
        (*DAY, {"region": True}, "NOAA number"),
        (*DAY, {"event_type": "AR", "columns": ["a b"]}, "columns must be names"),
        (*DAY, {"specific_id": ""}, "specific_id must be a text"),
        (*DAY, {"specific_id": 377}, "specific_id must be a text"),
    ],
)
def test_bad_questions_are_not_asked(start, end, ask, message, replay, transport):
    with pytest.raises(ValueError, match=message):
        hek.search(start, end, **ask, transport=transport, base_url=replay.url + "/hek/her")
    assert replay.count() == 0


def test_other_methods_and_types_are_asked_on_demand(replay, transport):
    url = replay.add("/hek/her", answer([]), content_type="application/json")
    events = hek.search(
        *DAY, method="My Own Finder", event_type="ZZ", known_only=False, transport=transport, base_url=url
    )
    assert len(events) == 0 and replay.asked[0].query["value0"] == "My Own Finder"


# -- cleaning --------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [RADIUS, RADIUS * u.arcsec, RADIUS / 60 * u.arcmin, None])
@pytest.mark.parametrize(
    ("kind", "kept", "objects", "in_tracks"), [("AR", 37, 4, 26), ("CH", 18, 3, 17)]
)  # fmt: skip
def test_figures_of_the_recorded_day(recorded, kind, kept, objects, in_tracks, radius):
    events = hek.read(recorded)
    events = events[events["event_type"] == kind]
    assert len(hek.limb_filter(events, radius).kept) == kept
    result = hek.tracks(events, radius=radius)
    assert (len(result.catalogue), len(result.boxes)) == (objects, in_tracks)
    # Together, regions and holes are kept apart.
    both = hek.tracks(hek.read(recorded), radius=radius)
    assert (len(both.catalogue), len(both.boxes)) == (7, 43)


def test_every_event_is_in_a_track_or_excluded_with_a_reason(recorded):
    events = hek.read(recorded)
    before = events.copy()
    result = hek.tracks(events)
    names = [*result.boxes["kb_archivid"], *result.excluded["kb_archivid"]]
    assert sorted(names) == sorted(events["kb_archivid"])
    assert (result.excluded["reason"] != "").all()
    pd.testing.assert_frame_equal(events, before)  # nothing is changed


def test_tracks_are_a_catalogue_for_the_archive(recorded):
    result = hek.tracks(hek.read(recorded))
    events, failures = events_of(read_catalogue(result.catalogue), 14.0)
    assert not failures and len(events) == 7 and all(event.in_arcsec for event in events)
    for event, (_, one) in zip(events, result.catalogue.iterrows(), strict=True):
        own = result.boxes[result.boxes["event"] == event.event]
        assert event.time == own["time"].iloc[0].isoformat() and event.box == tuple(own[BOX].iloc[0])
        assert one["end"] == own["time"].iloc[-1] and one["boxes"] == len(own)
        assert own["time"].is_monotonic_increasing and own["time"].is_unique
        assert event.length_days == pytest.approx(
            (own["time"].iloc[-1] - own["time"].iloc[0]) / pd.Timedelta("1D")
        )
    # So is the table of events: one track each.
    assert not events_of(read_catalogue(hek.read(recorded)), 14.0)[1]


def test_radius_of_the_time():
    times = np.array(["2013-01-02", "2013-07-05", "2013-02-01", "NaT", "2013-02-01"], "M8[us]")
    radii = hek.solar_radius_arcsec(times)
    assert radii[2] == radii[4] == pytest.approx(RADIUS, abs=0.2) and np.isnan(radii[3])
    # 959.23 arcsec is the radius of 695.7 Mm at one astronomical unit.
    assert radii[0] == pytest.approx(959.23 / 0.98329, abs=0.05)
    assert radii[1] == pytest.approx(959.23 / 1.01671, abs=0.05)
    sun = pytest.importorskip("sunpy.coordinates.sun")
    assert radii[0] == pytest.approx(sun.angular_radius("2013-01-02").to_value("arcsec"), abs=0.01)


def test_limb_filter_looks_at_all_corners():
    corners = [
        (0, 0, 600, 799),
        (0, 0, 600, 801),
        (-600, -801, 0, 0),
        (-801, 0, -700, 600),
        (700, -600, 801, 0),
    ]
    events = hek.events_table([row(i, box=box) for i, box in enumerate(corners)])
    split = hek.limb_filter(events, 1000.0)
    assert split.kept.index.tolist() == [0]
    assert "1000.8 arcsec from the disk's centre, beyond the limb at 1000.0" in split.excluded["reason"][1]
    assert len(hek.limb_filter(events, [999, 1001, 1001, 1001, 1001]).kept) == 4
    on_it = hek.events_table([row(box=(0, 0, 600, 800))])
    assert len(hek.limb_filter(on_it, 1000.0).kept) == 1
    assert len(hek.tracks(events, radius=np.full(5, 1001.0), more_than=4).boxes) == 5
    assert len(hek.tracks(events, radius=1.0, limb=False).boxes) == 5


@pytest.mark.parametrize("radius", [0, -1.0, np.nan, [1.0, 2.0], [[1.0]]])
def test_limb_filter_refuses_a_bad_radius(radius):
    with pytest.raises(ValueError, match="radius must be"):
        hek.limb_filter(hek.events_table([row()]), radius)


def test_duplicates_and_repeated_starts():
    rows = [row(i) for i in range(4)]
    same = {**rows[1], "kb_archivid": "ivo://x/zz"}
    again = {**rows[2], "kb_archivid": "ivo://x/zy", "hpc_bbox": polygon(0, 0, 10, 10)}
    other = {**rows[2], "kb_archivid": "ivo://x/zx", "frm_specificid": "SPoCA_v1.0_AR_0000000002"}
    nameless = [
        {**rows[3], "kb_archivid": f"ivo://x/z{i}", "frm_specificid": "", "hpc_radius": i} for i in (1, 2)
    ]
    events = hek.events_table([*rows, same, again, other, *nameless])
    split = hek.drop_duplicates(events)
    assert split.excluded["event"].tolist() == ["zz"]
    starts = hek.drop_repeated_starts(split.kept)
    assert starts.excluded["event"].tolist() == ["zy"]
    result = hek.tracks(events)
    assert len(result.boxes) == 4
    said = dict(zip(result.excluded["event"], result.excluded["reason"], strict=True))
    assert said["zz"] == "equals an earlier row"
    assert said["zy"] == "starts at the time of an earlier row of the same object"
    assert said["zx"].endswith("AR_0000000002 has 1 usable boxes, not more than 2")
    assert said["z1"] == said["z2"] == "it has no frm_specificid, which names objects"


def test_objects_are_of_one_method_and_type():
    rows = [row(i, frm_specificid="17", frm_name=name) for i in range(3) for name in ("HMI SHARP", "SPoCA")]
    for i, one in enumerate(rows):
        one["kb_archivid"] += f"_{i}"
    result = hek.tracks(hek.events_table(rows))
    assert result.catalogue["event"].tolist() == ["HMI_SHARP_AR_17", "SPoCA_AR_17"]
    assert len(hek.tracks(hek.events_table(rows), more_than=3).catalogue) == 0


def test_objects_by_region_number():
    rows = [
        row(i, frm_specificid="", frm_name="NOAA SWPC Observer", ar_noaanum=number)
        for i, number in enumerate([1666, 11666, 11666, None])
    ]
    result = hek.tracks(hek.events_table(rows), by="ar_noaanum")
    assert result.catalogue["event"].tolist() == ["NOAA_SWPC_Observer_AR_11666"]
    assert result.catalogue["ar_noaanum"].tolist() == [11666]
    assert result.excluded["reason"].tolist() == ["it has no ar_noaanum, which names objects"]


def test_an_object_has_the_region_number_that_some_of_its_rows_have():
    result = hek.tracks(hek.events_table([row(0), row(1, ar_noaanum=1666), row(2)]))
    assert result.catalogue["ar_noaanum"].tolist() == [11666]


def test_boxes_at_the_end_of_events():
    events = hek.events_table([row(0), row(1), row(2), row(3, event_endtime=None)])
    result = hek.tracks(events, box_time="end")
    assert result.boxes["time"].dt.hour.tolist() == [4, 8, 12]
    assert result.excluded["reason"].tolist() == ["it has no end, which box_time asks for"]


def test_shapes_and_their_filter():
    square = hek.events_table(
        [row(0, box=(0, 0, 100, 100)), row(1, box=(0, 0, 400, 1)), row(2, hpc_bbox="", hpc_boundcc="")]
    )
    numbers = hek.shapes(square)
    assert numbers["area"].tolist()[:2] == [10000, 400] and numbers["perimeter"].tolist()[:2] == [400, 802]
    assert numbers["thinness"][0] == pytest.approx(np.pi / 4) and numbers.iloc[2].isna().all()
    assert len(hek.shape_filter(square).kept) == 3
    split = hek.shape_filter(square, thinness=(0.5, None))
    assert split.kept.index.tolist() == [0]
    assert split.excluded["reason"][1] == "thinness of its box is 0.007815, not 0.5 to inf"
    assert hek.shape_filter(square, area=(None, 400)).kept.index.tolist() == [1]
    assert hek.shape_filter(square, perimeter=(400, 400), area=(0, 20000)).kept.index.tolist() == [0]
    circle = 50 * np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    outline = "POLYGON((" + ",".join(f"{p.real} {p.imag}" for p in circle) + "))"
    round_one = hek.shapes(hek.events_table([row(hpc_boundcc=outline)]), of="outline")
    assert round_one["thinness"][0] == pytest.approx(1.0, abs=1e-3)
    assert round_one["area"][0] == pytest.approx(np.pi * 2500, rel=1e-3)


@pytest.mark.parametrize(
    "limits", [{"area": (5, 1)}, {"area": 5}, {"thinness": (np.nan, 1)}, {"perimeter": (1, 2, 3)}]
)
def test_bad_limits(limits):
    with pytest.raises(ValueError, match=r"must be \(least, greatest\)"):
        hek.shape_filter(hek.events_table([row()]), **limits)


@pytest.mark.parametrize(
    ("ask", "message"),
    [({"box": "x"}, "box must be"), ({"box_time": "x"}, "box_time must be"), ({"by": "x"}, "lack the column x"), ({"shape": "x", "area": (1, 2)}, "of must be")],
)  # fmt: skip
def test_bad_questions_for_tracks(ask, message):
    with pytest.raises(ValueError, match=message):
        hek.tracks(hek.events_table([row()]), **ask)


def test_what_is_no_table_of_events():
    with pytest.raises(TypeError, match="events must be a table"):
        hek.tracks([row()])
    with pytest.raises(ValueError, match="lack the column event_type"):
        hek.tracks(pd.DataFrame({"event": [1]}))


def test_tables_that_were_joined_keep_their_rows(recorded):
    events = hek.read(recorded)
    twice = pd.concat([events, events])  # the index repeats, too
    result = hek.tracks(twice)
    assert (len(result.catalogue), len(result.boxes)) == (7, 43)
    assert result.excluded["reason"].value_counts()["equals an earlier row"] == 89
    for step in (
        hek.drop_unusable,
        hek.drop_duplicates,
        hek.drop_repeated_starts,
        hek.limb_filter,
        hek.group_objects,
    ):
        split = step(twice)
        assert len(split.kept) + len(split.excluded) == 178


# -- outlines, pixels, sky -------------------------------------------------------------


def largest(polygon):
    event = hek.events_table([row(hpc_boundcc="POLYGON((" + ",".join(f"{x} {y}" for x, y in polygon) + "))")])
    return hek.outline_boxes(event)[BOX].to_numpy()[0]


def test_largest_boxes_with_known_answers():
    np.testing.assert_allclose(largest([(0, 0), (10, 0), (10, 5), (0, 5), (0, 0)]), [0, 0, 10, 5])
    np.testing.assert_allclose(
        largest([(0, 0), (10, 0), (10, 2), (3, 2), (3, 9), (0, 9), (0, 0)]), [0, 0, 3, 9]
    )
    np.testing.assert_allclose(largest([(0, 0), (10, 0), (0, 10), (0, 0)]), [0, 0, 5, 5], atol=0.1)
    np.testing.assert_allclose(
        largest([(0, -9), (9, 0), (0, 9), (-9, 0), (0, -9)]), [-4.5, -4.5, 4.5, 4.5], atol=0.2
    )
    # A hole in the middle of a U is not inside.
    np.testing.assert_allclose(
        largest([(0, 0), (30, 0), (30, 20), (20, 20), (20, 5), (8, 5), (8, 20), (0, 20), (0, 0)]),
        [20, 0, 30, 20],
    )


@pytest.mark.parametrize(
    "text", ["", None, "POLYGON((0 0,1 0,2 0,0 0))", "POLYGON((1 1,1 1,1 1,1 1))", "nonsense"]
)
def test_an_outline_that_encloses_nothing_has_no_box(text):
    events = hek.outline_boxes(hek.events_table([row(hpc_boundcc=text)]))
    assert events[BOX].isna().all(axis=None) and events["trouble"][0].startswith("hpc_boundcc")
    assert [len(table) for table in hek.tracks(hek.events_table([row(hpc_boundcc=text)]), box="outline")] == [
        0,
        0,
        1,
    ]


def test_an_outline_gives_a_box_where_hpc_bbox_has_none():
    events = hek.outline_boxes(
        hek.events_table([row(hpc_bbox=""), row(1, event_endtime="2000-01-01T00:00:00", hpc_bbox="")])
    )
    assert events[BOX].to_numpy()[0].tolist() == [100, 100, 200, 180]
    assert events["trouble"].tolist() == ["", "its end lies before its start"]


def test_recorded_outlines_hold_their_boxes(recorded):
    path = pytest.importorskip("matplotlib.path").Path
    events = hek.read(recorded)
    outlines = hek.outlines(events)
    inner = hek.outline_boxes(events)[BOX].to_numpy()
    assert not np.isnan(inner).any()
    areas = hek.shapes(events, of="outline")["area"].to_numpy()
    for ring, (x0, y0, x1, y1), area in zip(outlines, inner, areas, strict=True):
        x, y = np.meshgrid(np.linspace(x0, x1, 12)[1:-1], np.linspace(y0, y1, 12)[1:-1])
        assert path([*ring, ring[0]]).contains_points(np.stack([x.ravel(), y.ravel()], axis=1)).all()
        # Not wider in any direction than it can be: moved outwards by a pixel, a side is cut.
        assert 0.05 * area < (x1 - x0) * (y1 - y0) <= area
    result = hek.tracks(events, box="outline")
    assert len(result.catalogue) > 7  # boxes that do not reach beyond the limb any more


def header(rotated=False):
    """Of a full-disk image of AIA, the bottom row first."""
    cards = {
        "NAXIS": 2, "NAXIS1": 4096, "NAXIS2": 4096, "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec",
        "CUNIT2": "arcsec", "CDELT1": 0.6, "CDELT2": 0.6, "CRPIX1": 2048.5, "CRPIX2": 2048.5, "CRVAL1": 0.0, "CRVAL2": 0.0,
        "DATE-OBS": "2013-02-01T00:00:00", "DSUN_OBS": 1.474e11, "HGLN_OBS": 0.0, "HGLT_OBS": -6.0,
    }  # fmt: skip
    if rotated:
        cards |= {"CROTA2": 7.0, "CRVAL1": 12.0, "CRVAL2": -30.0, "CRPIX1": 2040.0, "CRPIX2": 2060.0}
    return fits.Header(cards)


def wcs_corners(events, rotated):
    """The four corners of boxes by astropy's WCS, pixel edges, shape (n, 4) each."""
    arcsec = events[BOX].to_numpy()
    tx, ty = arcsec[:, [0, 2, 2, 0]], arcsec[:, [1, 1, 3, 3]]
    own = header(rotated)
    del own["DATE-OBS"]  # wcslib would warn that it takes MJD-OBS from it
    x, y = WCS(own).all_world2pix(tx / 3600, ty / 3600, 0)
    return x + 0.5, y + 0.5


@pytest.mark.parametrize("rotated", [False, True])
def test_boxes_in_pixels_equal_the_wcs(recorded, rotated):
    events = hek.tracks(hek.read(recorded)).boxes
    got = boxes.from_arcsec(events[BOX].to_numpy(), ImageGeometry.from_header(header(rotated)))
    x, y = wcs_corners(events, rotated)
    wanted = np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_boxes_in_pixels_equal_the_formula_of_the_study_where_it_applies(recorded):
    """Without rotation and CRVAL, the reference pixel in the middle; rows and pixels count from 1 at the top."""
    events = hek.tracks(hek.read(recorded)).boxes
    own = header()
    tx0, ty0, tx1, ty1 = events[BOX].to_numpy().T
    x = [own["CRPIX1"] + tx / own["CDELT1"] for tx in (tx0, tx1)]
    y = [own["CRPIX2"] - ty / own["CDELT2"] for ty in (ty1, ty0)]
    formula = np.stack([x[0], y[0], x[1], y[1]], axis=1) - 0.5  # pixel edges
    from_bottom = boxes.from_arcsec(events[BOX].to_numpy(), ImageGeometry.from_header(own))
    got = boxes.flip_rows(from_bottom, 4096)
    # It is linear in the angle, where the projection has the tangent: 0.012 pixels at the limb.
    np.testing.assert_allclose(got, formula, atol=0.013)
    turned = boxes.flip_rows(
        boxes.from_arcsec(events[BOX].to_numpy(), ImageGeometry.from_header(header(True))), 4096
    )
    assert np.abs(turned - formula).max() > 50


def test_sky_coordinates(recorded):
    pytest.importorskip("sunpy")
    events = hek.read(recorded)
    event = events.iloc[0]
    corners = hek.to_skycoord(event)
    np.testing.assert_allclose(corners.Tx.to_value("arcsec"), event[["tx0", "tx1"]].astype(float))
    np.testing.assert_allclose(corners.Ty.to_value("arcsec"), event[["ty0", "ty1"]].astype(float))
    assert corners.obstime.isot == event["time"].isoformat(timespec="milliseconds")
    outline = hek.to_skycoord(event, of="outline")
    np.testing.assert_allclose(outline.Tx.to_value("arcsec"), hek.outlines(events[:1])[0][:, 0])
    assert hek.to_skycoord(dict(event), of="position").Tx[0].to_value("arcsec") == pytest.approx(
        event["hpc_x"]
    )
    # The catalogue's box in arcsec, and these coordinates, are one box in an image.
    geometry = ImageGeometry.from_header(header())
    inside = hek.tracks(events).boxes.iloc[0]
    np.testing.assert_allclose(
        boxes.from_skycoord(hek.to_skycoord(inside), geometry),
        boxes.from_arcsec(inside[BOX].astype(float), geometry)[0],
        atol=1.0,
    )


@pytest.mark.parametrize("of", ["box", "outline", "position"])
def test_sky_coordinates_of_what_is_not_there(of):
    pytest.importorskip("sunpy")
    bare = hek.events_table([row(hpc_bbox="", hpc_boundcc="", hpc_coord="")]).iloc[0]
    with pytest.raises(ValueError, match=f"has no {of}"):
        hek.to_skycoord(bare, of=of)
    with pytest.raises(ValueError, match="of must be"):
        hek.to_skycoord(bare, of="circle")
    with pytest.raises(ValueError, match="has no time"):
        hek.to_skycoord(hek.events_table([row(event_starttime="")]).iloc[0])


def test_many_rows(recorded):
    """The time that this takes is in benchmarks/bench_sources_hek.py."""
    rows = json.loads(recorded.read_bytes().decode("latin-1"))["result"]
    moved = []
    for turn in range(10):
        for one in rows:
            times = {
                key: (datetime.fromisoformat(one[key]) + timedelta(days=30 * turn)).isoformat()
                for key in ("event_starttime", "event_endtime")
            }
            named = {key: f"{one[key]}_{turn}" for key in ("kb_archivid", "frm_specificid")}
            moved.append({**one, **times, **named})
    events = hek.events_table(moved)
    assert len(events) == 890
    result = hek.tracks(events, radius=RADIUS)
    assert (len(result.catalogue), len(result.boxes)) == (70, 430)


@pytest.mark.remote_data
def test_the_service_itself():
    events = hek.search(*DAY, method="SPoCA")
    assert dict(events["event_type"].value_counts()) == {"AR": 50, "CH": 39}
