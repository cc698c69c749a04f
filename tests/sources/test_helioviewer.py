"""Images for events: asked for, named, planned, fetched."""

import itertools
import json
import re
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from solartrack import images, sources
from solartrack.errors import SourceError, SourceWarning
from solartrack.sources import helioviewer
from sources.made import jp2_bytes

EVENTS = pd.DataFrame(
    {
        "event": ["a", "b"],
        "event_type": ["AR", "CH"],
        "start": ["2014-02-03T00:00:00", "2014-02-03T04:00:00"],
        "end": ["2014-02-03T04:02:00", "2014-02-03T04:01:00"],
    }
)


class Service:
    """Images on the full hour of every source; those asked for are kept."""

    def __init__(self, replay):
        self.replay, self.files = replay, {}
        self.url = replay.url + "/v2/"
        replay.add("/v2/getClosestImage/", self.closest)
        replay.add("/v2/getJP2Image/", self.image)

    def closest(self, asked):
        moment = datetime.fromisoformat(asked.query["date"].removesuffix("Z"))
        hour = (moment + timedelta(minutes=30)).replace(minute=0, second=0)
        number = int(hour.timestamp()) // 3600 * 100 + int(asked.query["sourceId"])
        answer = {"id": str(number), "date": f"{hour:%Y-%m-%d %H:%M:%S}", "name": "AIA 171"}
        return 200, "application/json", json.dumps(answer).encode()

    def image(self, asked):
        return 200, "image/jp2", jp2_bytes(seed=int(asked.query["id"]) % 7)

    def asked_for(self, method):
        return self.replay.count(f"/v2/{method}/")


@pytest.fixture
def service(replay):
    return Service(replay)


# -- times -------------------------------------------------------------------------


def test_an_event_is_looked_at_five_times_from_its_start_to_two_minutes_before_its_end():
    times = helioviewer.event_times("2014-02-03T00:00:00", "2014-02-03T04:02:00")
    assert times == [datetime(2014, 2, 3, hour) for hour in range(5)]


@pytest.mark.parametrize(
    "end",
    [
        "2014-02-03T00:02:00",
        "2014-02-03T00:01:00",
        "2014-02-03",
        None,
        "",
        pd.NaT,
        np.nan,
        np.datetime64("NaT"),
    ],
)
def test_a_short_event_is_looked_at_once(end):
    assert helioviewer.event_times("2014-02-03T00:00:00", end) == [datetime(2014, 2, 3)]


@given(
    minutes=st.floats(0, 1e5),
    count=st.integers(1, 50),
    start=st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)),
)
def test_times_rise_and_stay_inside_the_event(minutes, count, start):
    end = start + timedelta(minutes=minutes)
    times = helioviewer.event_times(start, end, count)
    assert times[0] == start and all(start <= time <= end for time in times)
    assert len(times) in (1, count) and all(b > a for a, b in itertools.pairwise(times))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2014-02-03", "2014-02-02"), "lies before the start"),
        ((None, "2014-02-02"), "start must be a date"),
        (("2014-02-03", "2014-02-04", 0), "count must be a positive integer"),
        (("2014-02-03", "2014-02-04", 2.5), "count must be a positive integer"),
        (("soon", "2014-02-04"), "soon"),
    ],
)
def test_times_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        helioviewer.event_times(*arguments)


# -- sources and names -------------------------------------------------------------


def test_data_sources_are_those_of_the_service(shared, replay, transport):
    replay.add("/v2/getDataSources/", shared / "data/helioviewer/getDataSources_v2_20220423.json")
    table = helioviewer.data_sources(transport=transport, base_url=replay.url + "/v2").set_index("source_id")
    assert table.loc[10, ["observatory", "instrument", "measurement"]].tolist() == ["SDO", "AIA", "171"]
    assert table.loc[19, "name"] == "HMI Mag"
    assert table.loc[18, "start"] == pd.Timestamp("2010-12-06 06:53:41")
    assert {10, 11, 18, 19} <= set(table.index) and table.index.is_unique


@pytest.mark.parametrize(
    ("name", "number"), [("AIA_171", 10), ("aia 193", 11), ("HMI_INT", 18), ("HMI_MAG", 19), (14, 14)]
)
def test_sources_are_known_by_name(name, number):
    assert helioviewer.source_id(name) == number


def test_the_ids_known_here_are_those_of_hvpy():
    hvpy = pytest.importorskip("hvpy", reason="the extra 'sources' is not installed")
    for name, (number, _) in helioviewer._KNOWN.items():
        assert hvpy.DataSource[name].value == number
    assert helioviewer.source_id("AIA_335") == 14
    with pytest.raises(ValueError, match="there is no data source 'AIA_172'"):
        helioviewer.source_id("AIA_172")


@pytest.mark.parametrize("source", [True, -1, 1.5, None])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(ValueError, match="a data source is a name or a number"):
        helioviewer.source_id(source)


def test_names_are_helioviewers_and_are_read_back():
    name = helioviewer.image_name(datetime(2014, 1, 2, 0, 0, 2), "SDO_AIA_AIA_335")
    assert name == "2014_01_02__00_00_02__SDO_AIA_AIA_335.jp2"
    assert images.time_from_name(name).isot == "2014-01-02T00:00:02.000"
    assert "/" not in helioviewer.image_name(datetime(2014, 1, 2), "a/../b")


# -- the closest image -------------------------------------------------------------


def test_the_closest_image_is_as_recorded(shared, replay, transport):
    replay.add("/v2/getClosestImage/", shared / "data/helioviewer/constructed_getClosestImage_with_name.json")
    found = helioviewer.closest("2014-01-01T23:59:59Z", 14, transport=transport, base_url=replay.url + "/v2/")
    assert found == {
        "id": "34205701",
        "time": datetime(2014, 1, 2, 0, 0, 2),
        "off_seconds": 3.0,
        "name": "AIA 335",
    }
    assert replay.asked[0].query == {"date": "2014-01-01T23:59:59Z", "sourceId": "14"}


@pytest.mark.parametrize(
    "answer", ['{"id": 1}', "[]", '{"id": "x", "date": "2014-01-01"}', '{"id": 1, "date": null}']
)
def test_an_answer_without_id_or_date_is_an_error(answer, replay, transport):
    replay.add("/v2/getClosestImage/", answer)
    with pytest.raises(SourceError, match="getClosestImage"):
        helioviewer.closest("2014-01-01", 10, transport=transport, base_url=replay.url + "/v2/")


def test_no_data_is_said_at_once(shared, replay, transport):
    body = (shared / "data/helioviewer/constructed_error_500_errno10.json").read_bytes()
    replay.add("/v2/getClosestImage/", body, status=500, content_type="application/json")
    with pytest.raises(SourceError, match="No data of the requested type") as caught:
        helioviewer.closest("2014-01-01", 10, transport=transport, base_url=replay.url + "/v2/")
    assert caught.value.permanent and replay.count() == 1


def test_a_bad_request_is_said_at_once(shared, replay, transport):
    body = (shared / "data/helioviewer/constructed_error_400_bad_date.html").read_bytes()
    replay.add("/v2/getClosestImage/", body, status=400, content_type="text/html")
    with pytest.raises(SourceError, match="Invalid date string") as caught:
        helioviewer.closest("2014-01-01", 10, transport=transport, base_url=replay.url + "/v2/")
    assert caught.value.permanent and replay.count() == 1


def test_the_rate_limit_is_waited_for(shared, replay, transport):
    limit = (shared / "data/helioviewer/constructed_rate_limit_status200.html").read_bytes()
    good = (shared / "data/helioviewer/constructed_getClosestImage_with_name.json").read_bytes()
    answers = iter([limit, limit, good])
    replay.add("/v2/getClosestImage/", lambda asked: (200, "text/html", next(answers)))
    found = helioviewer.closest("2014-01-01", 14, transport=transport, base_url=replay.url + "/v2/")
    assert found["id"] == "34205701" and replay.count() == 3


# -- the documentation's own examples ----------------------------------------------


def documented(shared, page, number=-1):
    """The example answer of a page of the service's documentation, the last by default."""
    text = (shared / "data/helioviewer" / page).read_text()
    blocks = re.split(r":caption: Example Response:?\n", text)[1:]
    block = re.split(r"\n(?=\S)", blocks[number], maxsplit=1)[0]
    return textwrap.dedent(block).strip()


def test_the_documented_closest_image_has_no_name_and_a_number_as_id(shared, replay, transport):
    replay.add("/v2/getClosestImage/", documented(shared, "getClosestImage.rst"))
    found = helioviewer.closest("2014-01-01T23:59:59Z", 14, transport=transport, base_url=replay.url + "/v2/")
    assert (found["id"], found["time"], found["name"]) == ("34205701", datetime(2014, 1, 2, 0, 0, 2), "")


@pytest.mark.parametrize("number", [0, 1])
def test_documented_names_are_read_as_text_and_as_json(number, service, transport, shared):
    uri = documented(shared, "getJp2Image.rst", number)
    service.replay.add("/v2/getJP2Image/", uri, content_type="text/plain", query={"jpip": "true"})
    plan = helioviewer.plan(EVENTS.iloc[[1]], published_names=True, transport=transport, base_url=service.url)
    assert plan["name"].tolist() == ["2014_01_02__00_00_02_62__SDO_AIA_AIA_335.jp2"]


def test_a_fraction_of_two_digits_is_hundredths_as_the_documented_header_says(shared):
    header = ElementTree.fromstring(documented(shared, "getJp2Header.rst"))
    said = header.findtext("fits/DATE_OBS")
    name = "2011_05_25__09_07_00_34__SDO_AIA_AIA_171.jp2"
    assert said == "2011-05-25T09:07:00.34" and images.time_from_name(name).isot == said + "0"
    made = helioviewer.image_name(datetime.fromisoformat(said), "SDO_AIA_AIA_171")
    assert made == name.replace("_34__", "__")


@pytest.mark.parametrize(
    ("fraction", "seconds"), [("_30_84", 30.84), ("_06_137", 6.137), ("_45", 45.0), ("_23_200", 23.2)]
)
def test_names_of_all_forms_are_read(fraction, seconds):
    time = images.time_from_name(f"2013_06_24__17_31{fraction}__SDO_AIA_AIA_193.jp2")
    assert time.ymdhms["second"] == pytest.approx(seconds)


# -- time scales -------------------------------------------------------------------


def test_times_are_utc_across_a_leap_second(service, transport):
    events = pd.DataFrame({"start": ["2016-12-31T22:00"], "end": ["2017-01-01T02:02"]})
    found = helioviewer.search(events, source=10, transport=transport, base_url=service.url)
    # Evenly as clocks in UTC show it: 36 s behind TAI before midnight, 37 s from then on.
    tai = Time(
        ["2016-12-31T22:00:36", "2016-12-31T23:00:36", "2017-01-01T00:00:37", "2017-01-01T01:00:37",
         "2017-01-01T02:00:37"], scale="tai",
    )  # fmt: skip
    assert found["time"].tolist() == found["wanted"].tolist() == tai.utc.to_datetime().tolist()
    assert (found["off_seconds"] == 0).all()
    asked = sorted(one.query["date"] for one in service.replay.asked)
    assert asked[1:3] == ["2016-12-31T23:00:00Z", "2017-01-01T00:00:00Z"]


def test_times_with_a_zone_are_converted(service, transport):
    found = helioviewer.closest("2014-02-03T05:00:00+02:00", 10, transport=transport, base_url=service.url)
    assert found["time"] == datetime(2014, 2, 3, 3) and found["off_seconds"] == 0


@pytest.mark.parametrize(
    "time", [Time("2017-01-01", scale="tai"), "2017.01.01_00:00:37_TAI", "2016-12-31T23:59:60", 57754.0]
)
def test_times_in_other_scales_are_refused(time, transport):
    for call in (
        lambda: helioviewer.closest(time, 10, transport=transport, base_url="http://127.0.0.1:9/"),
        lambda: helioviewer.event_times(time, "2017-01-02"),
        lambda: helioviewer.event_times("2016-12-01", time),
    ):
        with pytest.raises(ValueError, match="must be a date in UTC such as"):
            call()


# -- plans -------------------------------------------------------------------------


def test_the_distance_in_the_table_is_that_of_its_times(service, transport):
    events = EVENTS.iloc[[0]].assign(start="2014-02-03T00:00:00.7", end="2014-02-03T04:02:00")
    found = helioviewer.search(events, transport=transport, base_url=service.url)
    between = (found["time"] - found["wanted"]).dt.total_seconds()
    assert found["off_seconds"].to_numpy() == pytest.approx(between.to_numpy(), abs=1e-9)
    assert found["off_seconds"][0] == -0.7


def test_answers_about_the_last_days_are_not_kept(service, transport, tmp_path):
    # The closest image to a recent time may be one that is not there yet.
    now = pd.Timestamp.now("UTC").tz_localize(None).floor("s")
    events = pd.DataFrame({"start": ["2014-02-03", now - pd.Timedelta(days=5)]})
    for _ in range(2):
        helioviewer.search(
            events, source=10, cache=tmp_path / "answers", transport=transport, base_url=service.url
        )
    assert service.asked_for("getClosestImage") == 3


def test_a_search_outlasts_the_rate_limit(shared, service):
    # More refusals than the transport has attempts: the limit counts a whole minute.
    transport = sources.Transport(timeout=(2.0, 0.5), attempts=2, first_wait=0.01, longest_wait=0.3)
    limit = (shared / "data/helioviewer/constructed_rate_limit_status200.html").read_bytes()
    answer, left = service.closest, iter(range(3))
    service.replay.add(
        "/v2/getClosestImage/",
        lambda asked: answer(asked) if next(left, None) is None else (200, "text/html", limit),
        query={"sourceId": "11"},
    )
    found = helioviewer.search(EVENTS, transport=transport, base_url=service.url)
    assert (found["reason"] == "").all()


LIMIT = b"<!DOCTYPE html><html><body><b>Error:</b> Limit of 3000 requests per 60 seconds has been exceeded"


class Limited:
    """An image for everybody but while the limit of requests is reached."""

    def __init__(self, replay, count=12):
        self.until, self.refused = 0.0, []
        replay.add("/v2/getJP2Image/", self._answer)
        url = f"{replay.url}/v2/getJP2Image/?id="
        rows = [
            {"source": "helioviewer", "id": str(n), "url": f"{url}{n}", "name": f"{n}.jp2", "check": "jp2"}
            for n in range(count)
        ]
        self.plan = sources.plan_table(rows)

    def _answer(self, asked):
        if asked.at >= self.until:
            return 200, "image/jp2", jp2_bytes()
        self.refused.append(asked.at)
        return 200, "text/html", LIMIT


def test_a_fetch_outlasts_a_limit_far_longer_than_its_attempts(replay, tmp_path):
    transport = sources.Transport(attempts=1, first_wait=0.01, longest_wait=0.5)
    server = Limited(replay)
    server.until = time.monotonic() + 1.2
    store = sources.fetch(server.plan, tmp_path, transport=transport)
    assert store.manifest["state"].eq("done").all()
    # All four connections pause together, and each time longer: 0.15, 0.3, 0.5 s.
    starts = [b for a, b in itertools.pairwise([-1.0, *sorted(server.refused)]) if b - a > 0.1]
    pauses = [b - a for a, b in itertools.pairwise(starts)]
    assert len(server.refused) <= 4 * len(starts) and 3 <= len(starts) <= 5
    assert all(0.9 * least < pause for least, pause in zip((0.15, 0.3, 0.5), pauses, strict=False))


def test_a_limit_that_does_not_end_fails_all_files_soon_and_the_next_fetch_goes_on(replay, tmp_path):
    transport = sources.Transport(first_wait=0.01, longest_wait=2.0, limit_wait=0.5)
    server = Limited(replay, 200)
    server.until = float("inf")
    start = time.monotonic()
    store = sources.fetch(server.plan, tmp_path, transport=transport)
    assert store.manifest["state"].eq("failed").all() and time.monotonic() - start < 10
    assert store.manifest["reason"].str.match(r".*limit of requests is reached, for longer than 0.5 s").all()
    # Pauses of 0.15 and 0.3 s; the next would be too long, and until it has passed nothing is asked.
    assert len(server.refused) < 40
    server.until = 0.0
    store = sources.fetch(None, tmp_path, transport=sources.Transport())
    assert store.manifest["state"].eq("done").all()


def test_a_limit_without_patience_is_not_waited_for(replay, tmp_path):
    server = Limited(replay, 1)
    server.until = float("inf")
    start = time.monotonic()
    sources.fetch(server.plan, tmp_path, transport=sources.Transport(limit_wait=0))
    assert time.monotonic() - start < 3 and len(server.refused) == 1


def test_a_request_that_is_always_over_the_limit_ends_where_others_are_answered(replay, transport):
    transport.limit_wait = 0.5
    for id, body in (("1", LIMIT), ("2", b"{}")):
        replay.add("/v2/x/", body, query={"id": id})
    answered = threading.Event()

    def others():
        while not answered.is_set():
            transport.get(f"{replay.url}/v2/x/", {"id": "2"})

    with ThreadPoolExecutor(1) as pool:
        others_end = pool.submit(others)
        try:
            with pytest.raises(SourceError, match=r"is reached, for longer than 0\.5 s"):
                url = f"{replay.url}/v2/x/"
                transport.get(url, {"id": "1"}, read_error=helioviewer.read_error)
        finally:
            answered.set()
        others_end.result()


def test_a_search_that_is_stopped_does_not_wait_for_the_limit(replay, monkeypatch):
    transport = sources.Transport(first_wait=2.0)
    replay.add("/v2/getClosestImage/", LIMIT, content_type="text/html")

    def stopped(*_, **__):
        while not replay.count():
            time.sleep(0.01)
        time.sleep(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(helioviewer, "tqdm", stopped)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        helioviewer.search(EVENTS, transport=transport, base_url=replay.url + "/v2/")
    assert time.monotonic() - start < 5
    assert transport.get(replay.add("/other", b"{}").replace("127.0.0.1", "localhost")) == b"{}"


def test_a_limit_that_does_not_end_is_one_error(shared, replay):
    transport = sources.Transport(attempts=2, first_wait=0.01, longest_wait=0.1)
    limit = (shared / "data/helioviewer/constructed_rate_limit_status200.html").read_bytes()
    replay.add("/v2/getClosestImage/", limit, content_type="text/html")
    with pytest.raises(SourceError, match="limit of requests is reached") as caught:
        helioviewer.search(EVENTS, transport=transport, base_url=replay.url + "/v2/")
    assert not caught.value.permanent


def test_two_images_of_one_second_have_a_file_each(transport, replay, tmp_path):

    def closest(asked):  # by what is asked, since a request may be repeated
        number = "2" if ":00:01" in asked.query["date"] else "1"
        return json.dumps({"id": number, "date": "2014-02-03 00:00:00"}).encode()

    replay.add("/v2/getClosestImage/", closest)
    replay.add("/v2/getJP2Image/", lambda asked: jp2_bytes(seed=int(asked.query["id"])))
    events = pd.DataFrame({"start": ["2014-02-03T00:00:00", "2014-02-03T00:00:01"]})
    plan = helioviewer.plan(events, source=10, transport=transport, base_url=replay.url + "/v2/")
    store = sources.fetch(plan, tmp_path / "store", transport=transport)
    assert len({path.read_bytes() for path in store.files()}) == 2


def test_events_have_their_images_by_their_type(service, transport):
    found = helioviewer.search(EVENTS, transport=transport, base_url=service.url)
    assert found["event"].tolist() == ["a"] * 5 + ["b"]
    assert found["source_id"].tolist() == [10] * 5 + [11]
    assert (found["off_seconds"] == 0).all() and (found["reason"] == "").all()
    assert found["time"].tolist() == found["wanted"].tolist()


def test_a_time_that_many_events_share_is_asked_for_once(service, transport):
    events = pd.concat([EVENTS.iloc[[0]].assign(event=name) for name in "abcdefghij"])
    plan = helioviewer.plan(events, transport=transport, base_url=service.url)
    assert service.asked_for("getClosestImage") == 5
    assert len(plan) == 50 and plan["id"].nunique() == 5


def test_images_farther_than_the_greatest_gap_are_not_taken(service, transport):
    events = EVENTS.iloc[[0]].assign(start="2014-02-03T00:20:00", end=None)
    assert helioviewer.search(events, transport=transport, base_url=service.url)["off_seconds"].tolist() == [
        -1200.0
    ]
    found = helioviewer.search(events, max_gap="10min", transport=transport, base_url=service.url)
    assert found["id"].tolist() == [""] and "farther than max_gap" in found["reason"][0]
    assert np.isnan(found["off_seconds"][0]) and pd.isna(found["time"][0])
    with pytest.raises(SourceError, match="1 of 1 times have no image"):
        helioviewer.plan(events, max_gap="10min", transport=transport, base_url=service.url)


def test_a_fixed_cadence_covers_the_event(service, transport):
    plan = helioviewer.plan(EVENTS, source="AIA_171", cadence="2h", transport=transport, base_url=service.url)
    assert plan[plan["event"] == "a"]["time"].dt.hour.tolist() == [0, 2, 4]


def test_two_times_with_the_same_image_need_it_once(service, transport):
    plan = helioviewer.plan(EVENTS.iloc[[0]], cadence="20min", transport=transport, base_url=service.url)
    assert plan["id"].is_unique and (plan["off_seconds"] == 0).all()


def test_a_plan_fetches_by_id_what_the_table_says(service, transport, tmp_path):
    plan = helioviewer.plan(EVENTS, transport=transport, base_url=service.url)
    assert parse_qs(urlsplit(plan["url"][0]).query) == {"id": [plan["id"][0]]}
    store = sources.fetch(plan, tmp_path / "store", transport=transport)
    assert [path.name for path in store.files("a")] == [
        f"2014_02_03__{hour:02}_00_00__SDO_AIA_AIA_171.jp2" for hour in range(5)
    ]
    assert service.asked_for("getJP2Image") == 6 and not len(store.verify())
    again = sources.fetch(plan, tmp_path / "store", transport=transport)
    assert service.asked_for("getJP2Image") == 6 and again.manifest.equals(store.manifest)


def test_an_image_that_is_missing_there_costs_itself_only(service, transport, tmp_path, shared):
    plan = helioviewer.plan(EVENTS, transport=transport, base_url=service.url)
    missing = (shared / "data/helioviewer/constructed_file_missing_status200.jp2").read_bytes()
    service.replay.add("/v2/getJP2Image/", missing, content_type="image/jp2", query={"id": plan["id"][1]})
    store = sources.fetch(plan, tmp_path / "store", transport=transport)
    lost = store.manifest[store.manifest["state"] != "done"]
    assert lost["state"].tolist() == ["absent"] and "the file is missing there" in lost["reason"].iloc[0]
    assert len(store.files()) == 5


def test_published_names_are_asked_for(service, transport, shared):
    uri = (shared / "data/helioviewer/doc_getJP2Image_jpip.txt").read_bytes()
    service.replay.add("/v2/getJP2Image/", uri, content_type="text/plain", query={"jpip": "true"})
    plan = helioviewer.plan(EVENTS.iloc[[1]], published_names=True, transport=transport, base_url=service.url)
    assert plan["name"].tolist() == ["2014_01_02__00_00_02_62__SDO_AIA_AIA_335.jp2"]


@pytest.mark.parametrize(
    "uri", ["jpip://x/../../evil", "https://x/a.jp2", "jpip://x/.jp2", "jpip://x/a\x07.jp2"]
)
def test_a_published_name_that_is_not_safe_is_refused(uri, service, transport):
    service.replay.add("/v2/getJP2Image/", uri, content_type="text/plain", query={"jpip": "true"})
    with pytest.raises(SourceError):
        helioviewer.plan(EVENTS.iloc[[1]], published_names=True, transport=transport, base_url=service.url)


def test_times_without_an_image_are_said_and_cost_themselves_only(service, transport, shared):
    body = (shared / "data/helioviewer/constructed_error_500_errno10.json").read_bytes()
    service.replay.add("/v2/getClosestImage/", body, status=500, query={"sourceId": "11"})
    with pytest.warns(
        SourceWarning, match="1 of 6 times have no image; the first: No data of the requested type"
    ):
        plan = helioviewer.plan(EVENTS, transport=transport, base_url=service.url)
    assert plan["event"].tolist() == ["a"] * 5


def test_a_service_that_is_down_is_one_error(replay, transport):
    replay.add("/v2/getClosestImage/", b"", status=503)
    with pytest.raises(SourceError, match="503") as caught:
        helioviewer.plan(EVENTS, transport=transport, base_url=replay.url + "/v2/")
    assert not caught.value.permanent


def test_an_interrupted_search_goes_on_from_its_cache(service, transport, tmp_path):
    for _ in range(2):
        helioviewer.search(EVENTS, cache=tmp_path / "answers", transport=transport, base_url=service.url)
    assert service.asked_for("getClosestImage") == 6


@pytest.mark.parametrize(
    ("events", "arguments", "message"),
    [
        (EVENTS.iloc[:0], {}, "there are no events"),
        (EVENTS.drop(columns="start"), {}, "need the column start or time"),
        (EVENTS.drop(columns="event_type"), {}, "give source"),
        (
            EVENTS.assign(event_type="FL"),
            {},
            "row 1 of the events: no data source is known for the event type 'FL'",
        ),
        (EVENTS.assign(start=["2014-02-03", None]), {}, "row 2 of the events: start must be a date"),
        (EVENTS.assign(end="2014-02-01"), {}, "row 1 of the events: the end"),
        (EVENTS, {"max_gap": "6"}, "max_gap"),
        (EVENTS, {"cadence": "0h"}, "cadence must be positive"),
        (EVENTS, {"count": 0}, "count must be a positive integer"),
    ],
)
def test_bad_events_are_refused_by_row(events, arguments, message, transport):
    with pytest.raises(ValueError, match=message):
        helioviewer.plan(events, transport=transport, base_url="http://127.0.0.1:9/", **arguments)


@pytest.mark.remote_data
def test_helioviewer_answers_as_recorded():
    found = helioviewer.closest("2014-01-01T23:59:59Z", "AIA_335")
    assert found["time"] == datetime(2014, 1, 2, 0, 0, 2)
    assert 10 in set(helioviewer.data_sources()["source_id"])
