"""JSOC: keywords, plans, and exports that take their time."""

import gzip
import io
import json
import tarfile
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from solartrack import sources
from solartrack.errors import SourceError, SourceWarning
from solartrack.sources import jsoc, swpc
from solartrack.sources.transport import Transport
from sources.made import fits_bytes

REGION = pd.DataFrame(
    {
        "region": [11158] * 4 + [11159],
        "section": "I",
        "time": pd.to_datetime(["2011-02-12", "2011-02-13", "2011-02-14", "2011-02-16", "2011-02-12"]),
        "lat": [-20.0, -20.0, -21.0, -21.0, 10.0],
        "lon": [-35.0, -20.0, 3.0, 32.0, -80.0],
    }
)
STATUS_FILES = {
    1: "constructed_exp_status_1_running.json",
    4: "constructed_exp_status_4_failed.json",
    5: "constructed_exp_status_5_expired.json",
    6: "constructed_exp_status_6_not_found_yet.json",
}


def tar_of(names, size=40, **keywords):
    """A tar file of small FITS images."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for seed, name in enumerate(names):
            content = fits_bytes(seed=seed, side=size, **keywords) if name.endswith(".fits") else b"text"
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Service:
    """JSOC with a queue: what it answers next is a list."""

    def __init__(self, replay, recorded):
        self.replay, self.recorded = replay, recorded
        self.requests, self.statuses = [], []
        replay.add("/cgi-bin/ajax/checkAddress.sh", self.read("checkAddress_ok.json"))
        replay.add("/cgi-bin/ajax/jsoc_fetch", self.fetch)
        names = [f"hmi.M_720s.2011021{n}_000000_TAI.1.magnetogram.fits" for n in (2, 3)]
        self.tar = tar_of([*names, "index.html"])
        replay.add(
            "/SUM11/D1234567890/S00000/JSOC_20261126_001.tar",
            lambda asked: (200, "application/x-tar", self.tar),
        )

    def read(self, name):
        return (self.recorded / name).read_bytes()

    def fetch(self, asked):
        given = asked.query | asked.form
        queue = self.requests if given["op"] == "exp_request" else self.statuses
        default = (
            "constructed_exp_request_2_im_patch.json"
            if given["op"] == "exp_request"
            else "constructed_exp_status_0_url_tar.json"
        )
        answer = queue.pop(0) if queue else default
        return (
            200,
            "application/json",
            self.read(answer) if isinstance(answer, str) else json.dumps(answer).encode(),
        )

    def asked(self, op):
        return [a.query | a.form for a in self.replay.asked if (a.query | a.form).get("op") == op]


@pytest.fixture
def transport():
    """A patient one: what is asked a second time gets the next answer of the queue."""
    return Transport(timeout=(10.0, 30.0), first_wait=0.01, longest_wait=0.1)


@pytest.fixture
def service(replay, shared, monkeypatch):
    monkeypatch.setenv("SOLARTRACK_JSOC_URL", replay.url)
    monkeypatch.setenv(jsoc.EMAIL_VARIABLE, "someone@example.org")
    waits = []
    monkeypatch.setattr(jsoc, "_sleep", lambda seconds, transport: waits.append(seconds))
    monkeypatch.setattr(jsoc, "_registered", set())
    made = Service(replay, shared / "data/jsoc")
    made.waits = waits
    return made


@pytest.fixture
def plan():
    return jsoc.plan(REGION, [11158], size=40)


# -- times -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tai", "utc"),
    [
        ("2016.12.31_23:59:59_TAI", "2016-12-31T23:59:23"),
        ("2017.01.01_00:00:35_TAI", "2016-12-31T23:59:59"),
        ("2017.01.01_00:00:36.500_TAI", "2016-12-31T23:59:59.999999"),
        ("2017.01.01_00:00:37_TAI", "2017-01-01T00:00:00"),
        ("2011.02.11_00:00:00_TAI", "2011-02-10T23:59:26"),
    ],
)
def test_tai_is_utc_with_its_leap_seconds(tai, utc):
    assert jsoc.tai_to_utc([tai]).tolist() == [pd.Timestamp(utc)]


def test_utc_becomes_the_tai_that_is_asked_for():
    assert jsoc._as_tai(datetime(2016, 12, 31, 23, 59, 59)) == "2017.01.01_00:00:35_TAI"
    assert jsoc._as_tai(datetime(2017, 1, 1)) == "2017.01.01_00:00:37_TAI"


def test_times_that_are_missing_stay_missing():
    found = jsoc.tai_to_utc(["MISSING", "2014.01.08_03:12:00_TAI", "", pd.NaT])
    assert found.isna().tolist() == [True, False, True, True] and str(found.dtype) == "datetime64[us]"
    with pytest.raises(ValueError, match="expected a time such as"):
        jsoc.tai_to_utc(["2014-01-08"[:4]])


# -- keywords ----------------------------------------------------------------------


def test_all_keywords_of_a_real_patch_are_typed(shared):
    content = gzip.decompress(
        (shared / "data/jsoc/rs_list_hmi.sharp_cea_720s_HARP3604_ALLkeys.json.gz").read_bytes()
    )
    table = jsoc.read_keywords(content)
    assert len(table) == 1223 and table["HARPNUM"].eq(3604).all() and str(table["HARPNUM"].dtype) == "Int64"
    assert table.loc[0, "t_rec_tai"] == pd.Timestamp("2014-01-08 03:12:00")
    assert table.loc[0, "time"] == pd.Timestamp("2014-01-08 03:11:25")  # 35 s until July 2015
    assert table["USFLUX"].iloc[0] == pytest.approx(3.046883e20)
    assert str(table["QUALITY"].dtype) == "Int64" and table["QUALITY"].iloc[0] == 0
    assert np.isnan(table["LON_FWTNEG"]).any() and table["LON_FWTNEG"].dtype == np.float64


@pytest.mark.parametrize(
    ("name", "rows"),
    [("rs_list_hmi.M_45s_2rec_5keys.json", 2), ("rs_list_hmi.M_45s_2rec_ALLkeys.json", 2), ("rs_list_hmi.M_45s_empty.json", 0),
     ("rs_list_hmi.M_45s_1rec_ALLkeys_QUALITY0.json", 1), ("rs_list_aia.lev1_euv_12s_193_151rec.json", None),
     ("rs_list_aia.lev1_euv_12s_304_ALLkeys.json", None), ("rs_list_hmi.sharp_cea_720s_HARP3604_5keys.json", 1223)],
)  # fmt: skip
def test_every_recorded_list_is_read(shared, name, rows):
    answer = json.loads((shared / "data/jsoc" / name).read_bytes())
    assert len(jsoc.read_keywords(answer)) == (answer["count"] if rows is None else rows)


def test_a_bad_quality_is_negative():
    answer = {
        "status": "0",
        "count": "2",
        "keywords": [{"name": "QUALITY", "values": ["0x80000200", "0x00000400"]}],
    }
    assert jsoc.read_keywords(answer)["QUALITY"].tolist() == [-2147483136, 1024]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>", "should answer with JSON"),
        ({"status": 1, "error": "no such series"}, "no such series"),
        ([], "JSOC answers"),
        ({"status": 0, "count": 2, "keywords": [{"name": "A", "values": ["1"]}]}, "not as many values"),
        ({"status": 0, "count": 1, "keywords": [{"name": "A"}]}, "lack 'values'"),
    ],
)
def test_an_answer_that_is_none_is_an_error(answer, message):
    with pytest.raises(SourceError, match=message):
        jsoc.read_keywords(answer)


def test_a_search_asks_in_tai(replay, transport, shared):
    replay.add("/cgi-bin/ajax/jsoc_info", shared / "data/jsoc/rs_list_hmi.M_45s_2rec_5keys.json")
    table = jsoc.search(
        "hmi.sharp_cea_720s", "2016-12-31T23:59:59", "2017-01-01", harp=377, region=11158,
        transport=transport, base_url=replay.url,
    )  # fmt: skip
    assert len(table) == 2
    assert replay.asked[0].query["ds"] == (
        'hmi.sharp_cea_720s[377][2017.01.01_00:00:35_TAI-2017.01.01_00:00:37_TAI][? NOAA_ARS ~ "11158" ?]'
    )


def test_keywords_of_a_patch_that_is_none(replay, transport, shared):
    replay.add("/cgi-bin/ajax/jsoc_info", shared / "data/jsoc/rs_list_hmi.M_45s_empty.json")
    with pytest.raises(SourceError, match="has no HARP 99999"):
        jsoc.keywords(99999, transport=transport, base_url=replay.url)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jsoc.search("hmi", "2014-01-01", "2014-01-02"), "series must be a name"),
        (lambda: jsoc.search("hmi.M_720s[]", "2014-01-01", "2014-01-02"), "series must be a name"),
        (lambda: jsoc.search("hmi.M_720s", "2014-01-02", "2014-01-01"), "lies before start"),
        (lambda: jsoc.search("hmi.M_720s", None, "2014-01-01"), "start must be a date"),
        (lambda: jsoc.search("hmi.M_720s", "2014-01-01", "2014-01-02", keys=["T_REC;"]), "names of keywords"),
        (lambda: jsoc.keywords(0), "harp must be a positive integer"),
        (lambda: jsoc.keywords(True), "harp must be a positive integer"),
    ],
)
def test_bad_searches_are_refused_before_anything_is_asked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- plans -------------------------------------------------------------------------


def test_a_region_is_planned_over_its_span_with_its_gaps():
    row = jsoc.plan(REGION, [11158]).iloc[0]
    request = json.loads(row["request"])
    # Seen on four days, the last one four days after the first.
    assert request["ds"] == "hmi.M_720s[2011.02.12_00:00:00_TAI/5d][? quality >= 0 ?]{magnetogram}"
    assert (row["records"], row["full_disk_mb"], row["event"]) == (601, 9015.0, "11158")


def test_the_reference_is_where_the_region_was_nearest_to_the_meridian():
    process = json.loads(jsoc.plan(REGION, [1158])["request"][0])["process"]
    assert process == (
        "im_patch,t_ref=2011.02.14_00:00:34_TAI,t=0,r=0,c=0,locunits=stony,boxunits=pixels,x=3,y=-21,width=600,height=600"
    )


def test_plages_and_returning_regions_are_not_planned():
    rows = pd.concat([REGION, REGION.assign(region=11160, section="IA")])
    assert jsoc.plan(rows)["event"].tolist() == ["11158", "11159"]


def test_a_request_that_would_be_too_large_is_split_by_days():
    days = pd.date_range("2014-01-01", periods=80)
    rows = pd.DataFrame({"region": 11944, "time": days, "lat": 0.0, "lon": np.linspace(-60, 60, 80)})
    plan = jsoc.plan(rows)
    assert len(plan) == 2 and (plan["full_disk_mb"] < 100_000).all() and plan["id"].is_unique
    spans = [json.loads(r)["ds"].split("[")[1] for r in plan["request"]]
    assert spans == ["2014.01.01_00:00:00_TAI/40d]", "2014.02.10_00:00:00_TAI/40d]"]
    assert len(jsoc.plan(rows, cadence="96m")) == 1


def test_patches_are_planned_by_their_number():
    plan = jsoc.plan_patches([377, 377, 3604], segments=["Br", "bitmap"])
    assert [json.loads(r)["ds"] for r in plan["request"]] == [
        "hmi.sharp_cea_720s[377][? quality >= 0 ?]{Br,bitmap}", "hmi.sharp_cea_720s[3604][? quality >= 0 ?]{Br,bitmap}",
    ]  # fmt: skip
    timed = jsoc.plan_patches([377], start="2011-02-12", end="2011-02-13")
    assert "[377][2011.02.12_00:00:34_TAI-2011.02.13_00:00:34_TAI][?" in json.loads(timed["request"][0])["ds"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jsoc.plan(REGION, [9999]), "region 9999 has no row"),
        (lambda: jsoc.plan(REGION.drop(columns="lat")), "lack the columns lat"),
        (lambda: jsoc.plan(REGION, size=0), "size must be 1 to 4096"),
        (lambda: jsoc.plan(REGION, cadence="often"), "cadence must be such as"),
        (lambda: jsoc.plan_patches([]), "no HARP number"),
        (lambda: jsoc.plan_patches([-1]), "harp must be a positive integer"),
        (lambda: jsoc.plan_patches([377], segments=["a;b"]), "segments must be names"),
        (lambda: jsoc.plan_patches([377], start="2011-02-12"), "give start and end, or neither"),
        (lambda: jsoc.plan_patches([377], start="2011-02-12", end="2011-02-11"), "lies before start"),
    ],
)
def test_bad_plans_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_plan_is_made_from_real_summaries(shared):
    with pytest.warns(SourceWarning):
        summaries = swpc.read_srs(shared / "data/noaa/srs_tarballs/2011_SRS.tar.gz")
    row = jsoc.plan(summaries.regions, [11158]).iloc[0]
    assert json.loads(row["request"])["ds"].startswith("hmi.M_720s[2011.02.")
    assert "x=" in row["request"] and abs(float(row["request"].split("x=")[1].split(",")[0])) < 10


# -- exports -----------------------------------------------------------------------


def test_an_export_is_requested_waited_for_and_unpacked(service, plan, transport, tmp_path):
    service.statuses = [STATUS_FILES[6], STATUS_FILES[1], STATUS_FILES[1]]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert [p.name for p in store.files()] == [
        f"1158_hmi.M_720s.2011021{n}_000000_TAI.1.magnetogram.fits" for n in (2, 3)
    ]
    (request,) = service.asked("exp_request")
    assert request["notify"] == "someone@example.org" and request["method"] == "url-tar"
    assert request["process=n"].startswith("0|im_patch,t_ref=")
    assert request["filenamefmt"] == "hmi.M_720s.{T_REC:A}.{CAMERA}.{segment}"
    assert len(service.waits) == 3 and all(5 <= wait <= 60 for wait in service.waits)
    assert store.manifest["service_id"].tolist() == ["JSOC_20261126_001"]
    assert "someone" not in store.manifest.to_csv()
    asked = service.replay.count()
    sources.fetch(plan, tmp_path / "s", transport=transport)
    assert service.replay.count() == asked


def test_a_run_that_was_ended_goes_on_with_its_request(service, plan, transport, tmp_path, monkeypatch):
    service.statuses = [STATUS_FILES[1]] * 3

    def stop(seconds, transport):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(jsoc, "_sleep", stop)
        with pytest.raises(KeyboardInterrupt):
            sources.fetch(plan, tmp_path / "s", transport=transport)
    assert sources.Store(tmp_path / "s").manifest["state"].tolist() == ["waiting"]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert len(service.asked("exp_request")) == 1 and len(store.files()) == 2


@pytest.mark.parametrize("status", [4, 5])
def test_an_export_that_failed_or_expired_is_asked_for_again(service, plan, transport, tmp_path, status):
    service.statuses = [STATUS_FILES[status]]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert len(service.asked("exp_request")) == 2 and len(store.files()) == 2


def test_an_export_that_always_fails_is_said_and_tried_again_later(service, plan, transport, tmp_path):
    service.statuses = [STATUS_FILES[4]] * 3
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["failed"]
    assert "RecordSet specified does not exist" in store.manifest["reason"][0]
    assert len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2


def test_other_pending_exports_are_waited_for(service, plan, transport, tmp_path):
    service.requests = ["constructed_exp_request_7_pending.json"] * 4
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert len(service.asked("exp_request")) == 5 and service.waits == [60.0] * 4 and len(store.files()) == 2


def test_a_request_that_is_too_large_is_said_with_the_cure(service, plan, transport, tmp_path):
    service.requests = ["constructed_exp_request_3_too_large.json"]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] and "plan fewer days" in store.manifest["reason"][0]


@pytest.mark.parametrize(
    "answer", [{"status": "0", "count": "0", "requestid": "JSOC_1"}, {"status": 0, "count": 0}]
)
def test_an_export_without_files_is_absent(service, plan, transport, tmp_path, answer):
    service.requests = [answer]
    service.statuses = [{"status": "0", "count": "0", "requestid": "JSOC_1"}]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] and "no records" in store.manifest["reason"][0]


def test_an_export_that_is_ready_at_once_needs_no_waiting(service, plan, transport, tmp_path):
    service.requests = ["constructed_exp_status_0_url_tar.json"]
    assert len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2
    assert not service.asked("exp_status")


@pytest.mark.parametrize(
    ("email", "answer", "message"),
    [
        (None, "checkAddress_ok.json", "set SOLARTRACK_JSOC_EMAIL"),
        ("nobody", "checkAddress_ok.json", "set SOLARTRACK_JSOC_EMAIL"),
        (
            "new@example.org",
            "constructed_checkAddress_4_unregistered.json",
            "does not know the e-mail address new@example.org",
        ),
    ],
)
def test_an_address_that_is_missing_or_unknown_is_asked_for_by_name(
    replay, shared, plan, transport, tmp_path, monkeypatch, email, answer, message
):
    monkeypatch.setenv("SOLARTRACK_JSOC_URL", replay.url)
    monkeypatch.setattr(jsoc, "_registered", set())
    if email is None:
        monkeypatch.delenv(jsoc.EMAIL_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(jsoc.EMAIL_VARIABLE, email)
    replay.add("/cgi-bin/ajax/checkAddress.sh", shared / "data/jsoc" / answer)
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["failed"] and message in store.manifest["reason"][0]


def test_files_of_another_size_or_quality_are_left_out_and_said(service, plan, transport, tmp_path):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in {
            "a.fits": fits_bytes(side=40), "b.fits": fits_bytes(side=39), "c.fits": b"none",
            "d.fits": fits_bytes(side=40, QUALITY=-2147483648),
        }.items():  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    service.tar = data.getvalue()
    with pytest.warns(SourceWarning, match="3 of 4 files are left out"):
        store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert [p.name for p in store.files()] == ["1158_a.fits"] and not len(store.verify())


@pytest.mark.parametrize("name", ["../up.fits", "/etc/up.fits", "a/../../up.fits", "a\\b.fits", "a\x07.fits"])
def test_members_that_would_escape_are_refused(service, plan, transport, tmp_path, name):
    service.tar = tar_of(["good.fits", name])
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] and not store.files()
    assert not list(tmp_path.rglob("up.fits"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(service, plan, transport, tmp_path, kind):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("a.fits")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    service.tar = data.getvalue()
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert (
        store.manifest["state"].tolist() == ["absent"] and "a link or device" in store.manifest["reason"][0]
    )


@pytest.mark.remote_data
def test_jsoc_lists_the_records_of_a_patch():
    table = jsoc.keywords(377, keys=["T_REC", "USFLUX"])
    assert len(table) > 1000
