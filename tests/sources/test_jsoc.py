"""JSOC: keywords, plans, and exports that take their time."""

import gzip
import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest

from solartrack import sources
from solartrack.errors import SourceError, SourceWarning
from solartrack.sources import _jsoc_export, jsoc, swpc
from solartrack.sources.transport import Transport
from sources.made import fits_bytes, rice_bytes

REGION = pd.DataFrame(
    {
        "region": [11158] * 4 + [11159],
        "section": "I",
        "time": pd.to_datetime(["2011-02-12", "2011-02-13", "2011-02-14", "2011-02-16", "2011-02-12"]),
        "lat": [-20.0, -20.0, -21.0, -21.0, 10.0],
        "lon": [-35.0, -20.0, 3.0, 32.0, -80.0],
    }
)
ID = "JSOC_20261126_001"
TAR = f"/SUM11/D1234567890/S00000/{ID}.tar"
ADDRESS = "someone@example.org"
# What JSOC answers, by status; the recordings have the same (test_recorded_answers_are_understood).
REQUESTED = {
    "status": 2,
    "requestid": ID,
    "method": "url-tar",
    "protocol": "fits",
    "wait": 10,
    "rcount": 121,
    "size": 1815,
}
READY = {
    "status": "0",
    "requestid": ID,
    "count": "121",
    "size": "88",
    "tarfile": TAR,
    "data": [{"record": "r", "filename": "f"}],
}
RUNNING = {"status": 1, "requestid": ID, "wait": 55, "rcount": 0, "size": 1815}
TOO_LARGE = {
    "requestid": "VOID",
    "wait": 0,
    "status": 3,
    "count": 18105,
    "error": "Request exceeds max byte limit of 100000MB",
}
FAILED = {
    "status": 4,
    "requestid": ID,
    "wait": 999999,
    "error": "RecordSet specified does not exist",
    "contact": ADDRESS,
}
EXPIRED = {
    "status": 5,
    "requestid": ID,
    "wait": 999999,
    "error": "Request was completed but is now deleted, 7 day limit exceeded",
}
NOT_FOUND = {"status": 6, "error": f"Cant locate export request: jsoc.export[{ID}]"}
OTHERS = {
    "status": 7,
    "error": f"User {ADDRESS} has 1 pending export requests ({ID}); please wait until at least one has completed.",
}
STRUCTURE = {"status": 0, "keywords": [
    {"name": name, "type": kind} for name, kind in {
        "T_REC": "time", "T_OBS": "time", "DATE__OBS": "time", "QUALITY": "int", "CALVER64": "longlong", "USFLUX": "float",
        "NOAA_AR": "int", "NOAA_ARS": "string", "INVPHMAP": "string", "HFTSACID": "short", "DATAMIN": "float",
    }.items()
]}  # fmt: skip


def tar_of(members):
    """A tar file of names (small FITS images) or of ``{name: content}``."""
    if not isinstance(members, dict):
        members = {
            name: fits_bytes(n) if name.endswith(".fits") else b"text" for n, name in enumerate(members)
        }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Service:
    """JSOC with a queue: what it answers next is a list."""

    def __init__(self, replay):
        self.replay = replay
        self.requests, self.statuses, self.waits = [], [], []
        self.address = {"status": 2, "msg": "Email address is valid and registered."}
        replay.add("/cgi-bin/ajax/checkAddress.sh", lambda asked: json.dumps(self.address).encode())
        replay.add("/cgi-bin/ajax/jsoc_fetch", self.fetch)
        names = [f"hmi.M_720s.2011021{n}_000000_TAI.1.magnetogram.fits" for n in (2, 3)]
        self.tar = tar_of([*names, "index.html"])
        replay.add(TAR, lambda asked: (200, "application/x-tar", self.tar))

    def fetch(self, asked):
        given = asked.query | asked.form
        is_request = given["op"] == "exp_request"
        queue = self.requests if is_request else self.statuses
        answer = queue.pop(0) if queue else REQUESTED if is_request else READY
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def asked(self, op):
        return [a.query | a.form for a in self.replay.asked if (a.query | a.form).get("op") == op]


@pytest.fixture
def transport():
    """A patient one: what is asked a second time gets the next answer of the queue."""
    return Transport(timeout=(10.0, 30.0), first_wait=0.01, longest_wait=0.1)


@pytest.fixture
def service(replay, monkeypatch):
    monkeypatch.setenv("SOLARTRACK_JSOC_URL", replay.url)
    monkeypatch.setenv(jsoc.EMAIL_VARIABLE, ADDRESS)
    monkeypatch.setattr(_jsoc_export, "_checked", {})
    made = Service(replay)
    monkeypatch.setattr(_jsoc_export, "_wait", lambda seconds, transport: made.waits.append(seconds))
    return made


@pytest.fixture
def plan():
    return jsoc.plan(REGION, [11158], size=40)


@pytest.fixture(scope="module")
def recorded(shared):
    return shared / "data/jsoc"


# -- times -------------------------------------------------------------------------

# Around the leap second at the end of 2016, which datetime64 cannot express.
TAI_UTC = [
    ("2017-01-01T00:00:34.5", "2016-12-31T23:59:58.5"),
    ("2017-01-01T00:00:35", "2016-12-31T23:59:59"),
    ("2017-01-01T00:00:36", "2016-12-31T23:59:59.999999"),
    ("2017-01-01T00:00:36.999999", "2016-12-31T23:59:59.999999"),
    ("2017-01-01T00:00:37", "2017-01-01T00:00:00"),
    ("2015-07-01T00:00:35.250", "2015-06-30T23:59:59.999999"),
    ("2011-02-11T00:00:00", "2011-02-10T23:59:26"),
    ("NaT", "NaT"),
]


def test_tai_becomes_utc_with_its_leap_seconds():
    tai, utc = (np.array(times, dtype="datetime64[us]") for times in zip(*TAI_UTC, strict=True))
    assert np.array_equal(jsoc.tai_to_utc(tai), utc, equal_nan=True)
    plain = ~np.char.endswith(utc.astype(str), "999999")
    assert np.array_equal(jsoc.utc_to_tai(utc[plain]), tai[plain], equal_nan=True)


def test_order_of_time_is_kept_through_a_leap_second():
    tai = np.datetime64("2016-12-31T23:59:00", "us") + np.arange(0, 180_000_000, 250_000).astype(
        "timedelta64[us]"
    )
    utc = jsoc.tai_to_utc(tai)
    assert (np.diff(utc) >= np.timedelta64(0)).all() and len(np.unique(utc)) == len(utc) - 3


def test_scales_agree_with_astropy():
    from astropy.time import Time

    days = np.arange("1972-01-02", "2026-01-01", 97, dtype="datetime64[D]").astype("datetime64[us]")
    expected = Time(days, scale="tai").utc.datetime64.astype("datetime64[us]")
    assert np.abs(jsoc.tai_to_utc(days) - expected).max() <= np.timedelta64(1, "us")
    with pytest.raises(ValueError, match="from 1972 on"):
        jsoc.tai_to_utc(["1971-01-01"])


def listed(**columns):
    return {"status": 0, "count": len(next(iter(columns.values()))), "keywords": [
        {"name": name, "values": values} for name, values in columns.items()]}  # fmt: skip


def test_texts_are_read_in_the_scale_that_they_say():
    answer = listed(
        T_REC=["2017.01.01_00:00:36_TAI", "2014.01.08_03:12:00_TAI"],
        T_OBS=["2017.01.01_00:00:36.25_TAI", "-4712.01.01_11:59:28_TAI"],
        DATE__OBS=["2016-12-31T23:59:60.25Z", "2014-01-08T03:10:09.20Z"],
    )
    table = jsoc.read_keywords(answer, STRUCTURE)
    assert list(table) == ["time", "t_rec_tai", "T_OBS_tai", "DATE__OBS"]
    assert table["time"].tolist() == [
        pd.Timestamp("2016-12-31T23:59:59.999999"),
        pd.Timestamp("2014-01-08T03:11:25"),
    ]
    assert table["t_rec_tai"][0] == pd.Timestamp("2017-01-01T00:00:36")
    assert table["T_OBS_tai"].tolist() == [pd.Timestamp("2017-01-01T00:00:36.25"), pd.NaT]
    assert table["DATE__OBS"].tolist() == [
        pd.Timestamp("2016-12-31T23:59:59.999999"), pd.Timestamp("2014-01-08T03:10:09.2")]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["2014.01.08_03:12:00"], "with its scale"),
        (["soon"], "with its scale"),
        (["2014.13.08_03:12:00_TAI"], "is no time"),
        (["2014.01.08_03:12:00_TAI", "2014-01-08T03:12:00Z"], "mixes TAI and UTC"),
    ],
)
def test_a_time_whose_scale_is_not_said_is_refused(texts, message):
    with pytest.raises(SourceError, match=message):
        jsoc.read_keywords(listed(T_REC=texts))


# -- keywords ----------------------------------------------------------------------


def unpacked(path):
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_all_keywords_of_a_real_patch_are_typed(recorded):
    table = jsoc.read_keywords(
        unpacked(recorded / "rs_list_hmi.sharp_cea_720s_HARP3604_ALLkeys.json.gz"),
        (recorded / "series_struct_hmi.sharp_cea_720s_2022.json").read_bytes(),
    )
    assert len(table) == 1223
    assert table["t_rec_tai"][0] == pd.Timestamp("2014-01-08 03:12:00")
    assert table["time"][0] == pd.Timestamp("2014-01-08 03:11:25")  # 35 s until July 2015
    assert table["T_OBS_tai"][0] == pd.Timestamp("2014-01-08 03:11:52")
    assert table["DATE__OBS"][0] == pd.Timestamp("2014-01-08 03:10:09.20")
    types = {
        "Int64": ("HARPNUM", "QUALITY", "NOAA_AR", "CALVER64", "AMBPATCH", "DATAVALS_003"),
        "float64": ("USFLUX", "GWILL", "LON_FWTNEG", "ERRMSHA", "DATAMIN_010"),
        # Numbers by their looks, texts by their meaning.
        "str": ("NOAA_ARS", "INVPHMAP", "ARM_BETA", "CODEVER7", "BUNIT_001"),
        "datetime64[us]": ("time", "t_rec_tai", "T_FRST_tai", "DATE_S"),
    }
    assert {name: str(table[name].dtype) for names in types.values() for name in names} == {
        name: kind for kind, names in types.items() for name in names
    }
    assert table["USFLUX"][0] == 3.046883e20 and table["ERRMSHA"][0] == np.inf
    assert table["GWILL"].isna().all() and table["LON_FWTNEG"].isna().sum() == 203
    assert table["AMBPATCH"].isna().sum() == 401 and (table["INVDOCU"] == "").all()
    assert (table["QUALITY"] == 0x10400).sum() == 42 and table["CALVER64"][0] == 0x1012
    # Missing times lie in no column as a date of the year -4712 or of today.
    assert table["time"].is_monotonic_increasing and table["time"].dt.year.eq(2014).all()


LISTS = {
    "rs_list_aia.lev1_euv_12s_193_151rec.json": ("aia.lev1_euv_12s_2022", 151),
    "rs_list_aia.lev1_euv_12s_304_ALLkeys.json": ("aia.lev1_euv_12s_2022", None),
    "rs_list_hmi.M_45s_1rec_ALLkeys_QUALITY0.json": ("hmi.m_45s_2020", 1),
    "rs_list_hmi.M_45s_2rec_5keys.json": ("hmi.m_45s_2022", 2),
    "rs_list_hmi.M_45s_2rec_ALLkeys.json": ("hmi.m_45s_2020", 2),
    "rs_list_hmi.M_45s_empty.json": ("hmi.m_45s_2022", 0),
    "rs_list_hmi.sharp_cea_720s_HARP3604_5keys.json": ("hmi.sharp_cea_720s_2022", 1223),
    "rs_list_hmi.sharp_cea_720s_HARP3604_ALLkeys.json.gz": ("hmi.sharp_720s_2022", 1223),
}


@pytest.mark.parametrize("name", LISTS)
def test_every_recorded_list_is_read_with_the_types_of_its_series(recorded, name):
    series, rows = LISTS[name]
    answer = json.loads(unpacked(recorded / name).decode("latin-1"))
    structure = json.loads((recorded / f"series_struct_{series}.json").read_bytes())
    table = jsoc.read_keywords(answer, structure)
    assert len(table) == (answer["count"] if rows is None else rows)
    if len(table):
        offset = (table["t_rec_tai"] - table["time"]).dt.total_seconds().unique().tolist()
        assert offset in ([34.0], [35.0], [37.0])
    texts = jsoc.read_keywords(answer)
    assert all(str(texts[name].dtype) == "str" for name in texts if name not in ("time", "t_rec_tai"))


def test_aia_counts_its_records_in_utc(recorded):
    table = jsoc.read_keywords((recorded / "rs_list_aia.lev1_euv_12s_193_151rec.json").read_bytes())
    assert table["time"][0] == pd.Timestamp("2010-07-30T13:30:02")
    assert table["t_rec_tai"][0] == pd.Timestamp("2010-07-30T13:30:36")


def test_strings_and_numbers_are_the_same_and_missing_is_missing():
    answer = listed(
        QUALITY=["0x80000200", "0x00000400", 1024, "-2147483648", "0x80000000"],
        CALVER64=["0x0000000080002012", 8210, "MISSING", None, "0X8000000000000000"],
        HFTSACID=["-32768", "7", 7, "MISSING", "0x8000"],
        USFLUX=["3.5e20", 3.5e20, "nan", "MISSING", "inf"],
        NOAA_ARS=["11158", "11158,11159", "MISSING", "", " "],
    )
    answer |= {"count": "5", "status": "0"}
    table = jsoc.read_keywords(answer, STRUCTURE)
    # The highest bit says that there is no image; as a number of its own it says that there is no value.
    assert table["QUALITY"].tolist() == [-2147483136, 1024, 1024, pd.NA, -2147483648]
    assert table["CALVER64"].tolist() == [0x80002012, 8210, pd.NA, pd.NA, -(2**63)]
    assert table["HFTSACID"].tolist() == [pd.NA, 7, 7, pd.NA, -32768]
    assert table["USFLUX"].fillna(-1).tolist() == [3.5e20, 3.5e20, -1, -1, np.inf]
    assert table["NOAA_ARS"].tolist() == ["11158", "11158,11159", "", "", " "]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>", "should be JSON"),
        ({"status": 1, "error": f"no such series, {ADDRESS}"}, r"no such series, \.\.\.$"),
        ({"count": 0}, "status None"),
        (b"[]", "should be a JSON object"),
        (
            {"status": 0, "count": 2, "keywords": [{"name": "A", "values": ["1"]}]},
            "2 records, but 1 values of A",
        ),
        ({"status": 0, "count": 1, "keywords": [{"name": "A"}]}, "lacks names or values"),
        (listed(QUALITY=["good"]), "QUALITY should be a number, got 'good'"),
        (listed(USFLUX=["much"]), "USFLUX should be a number, got 'much'"),
    ],
)
def test_an_answer_that_is_none_is_an_error(answer, message):
    with pytest.raises(SourceError, match=message):
        jsoc.read_keywords(answer, STRUCTURE)


def test_a_search_asks_in_tai_and_has_fixed_columns(replay, transport):
    answer = listed(
        T_REC=["2017.01.01_00:00:00_TAI", "2017.01.01_00:12:00_TAI"], QUALITY=["0x80000000", "0x0"],
        HARPNUM=["377", "377"], NOAA_ARS=["11158,11159", "111580"],
    )  # fmt: skip
    replay.add("/cgi-bin/ajax/jsoc_info", json.dumps(answer))
    table = jsoc.search(
        "hmi.sharp_cea_720s", "2016-12-31T23:59:59", "2017-01-01", harp=377, region=11158,
        transport=transport, base_url=replay.url,
    )  # fmt: skip
    assert replay.asked[0].query["ds"] == (
        'hmi.sharp_cea_720s[377][2017.01.01_00:00:35_TAI-2017.01.01_00:00:37_TAI][? NOAA_ARS ~ "11158" ?]'
    )
    assert {name: str(kind) for name, kind in table.dtypes.items()} == jsoc.SEARCH_COLUMNS
    # 111580 contains the text, but is another region.
    (row,) = table.to_dict("records")
    assert (row["time"], row["quality"], row["harp"]) == (
        pd.Timestamp("2016-12-31T23:59:24"),
        -2147483648,
        377,
    )


@pytest.mark.parametrize(
    "answer", [{"count": 0, "runtime": 0.029, "status": 0}, listed(T_REC=[], QUALITY=[])]
)
def test_a_search_without_results_has_the_same_columns(replay, transport, answer):
    replay.add("/cgi-bin/ajax/jsoc_info", json.dumps(answer))
    table = jsoc.search("hmi.M_720s", "2014-01-01", "2014-01-02", transport=transport, base_url=replay.url)
    assert {name: str(kind) for name, kind in table.dtypes.items()} == jsoc.SEARCH_COLUMNS and table.empty
    assert replay.asked[0].query["key"] == "T_REC,QUALITY"
    assert replay.asked[0].query["ds"] == "hmi.M_720s[2014.01.01_00:00:35_TAI-2014.01.02_00:00:35_TAI]"


def test_a_recorded_list_is_searched_and_kept(replay, transport, recorded, tmp_path):
    replay.add("/cgi-bin/ajax/jsoc_info", recorded / "rs_list_hmi.sharp_cea_720s_HARP3604_5keys.json")
    for _ in range(2):
        table = jsoc.search(
            "hmi.sharp_cea_720s", harp=3604, transport=transport, base_url=replay.url, cache=tmp_path
        )
        assert len(table) == 1223 and replay.count() == 1
    assert replay.asked[0].query["ds"] == "hmi.sharp_cea_720s[3604]"


def test_keywords_of_a_patch_take_the_types_of_the_series(replay, transport, recorded):
    replay.add(
        "/cgi-bin/ajax/jsoc_info",
        recorded / "series_struct_hmi.sharp_cea_720s_2022.json",
        query={"op": "series_struct"},
    )
    replay.add(
        "/cgi-bin/ajax/jsoc_info", unpacked(recorded / "rs_list_hmi.sharp_cea_720s_HARP3604_ALLkeys.json.gz"),
        query={"op": "rs_list"},
    )  # fmt: skip
    table = jsoc.keywords(3604, transport=transport, base_url=replay.url)
    assert len(table) == 1223
    assert str(table["USFLUX"].dtype) == "float64" and replay.count() == 2


def test_keywords_of_a_patch_that_is_none(replay, transport):
    replay.add("/cgi-bin/ajax/jsoc_info", json.dumps({"count": 0, "runtime": 0.029, "status": 0}))
    with pytest.raises(SourceError, match="has no HARP 99999") as error:
        jsoc.keywords(99999, transport=transport, base_url=replay.url)
    assert error.value.permanent


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jsoc.search("hmi", "2014-01-01", "2014-01-02"), "series must be a name"),
        (lambda: jsoc.search("hmi.M_720s[]", "2014-01-01", "2014-01-02"), "series must be a name"),
        (lambda: jsoc.search("hmi.M_720s", "2014-01-02", "2014-01-01"), "lies before start"),
        (lambda: jsoc.search("hmi.M_720s", None, "2014-01-01"), "start must be a date"),
        (lambda: jsoc.search("hmi.M_720s"), "start must be a date"),
        (lambda: jsoc.search("hmi.M_720s", "2014-01-01", "2014-01-02", harp=377), "has no patches"),
        (lambda: jsoc.keywords(377, keys=["T_REC;"]), "names of keywords"),
        (lambda: jsoc.keywords(0), "harp must be a positive integer"),
        (lambda: jsoc.keywords(True), "harp must be a positive integer"),
    ],
)
def test_bad_searches_are_refused_before_anything_is_asked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- plans -------------------------------------------------------------------------


def record_sets(plan):
    return [json.loads(request)["ds"] for request in plan["request"]]


def test_a_region_is_planned_over_its_span_with_its_gaps():
    plan = jsoc.plan(REGION, [11158])
    # Seen on four days, the last one four days after the first; both ends of a range are included.
    assert record_sets(plan) == [
        "hmi.M_720s[2011.02.12_00:00:00_TAI-2011.02.17_00:00:00_TAI][? QUALITY >= 0 ?]{magnetogram}"
    ]
    row = plan.iloc[0]
    assert (row["records"], row["full_disk_mb"], row["event"]) == (601, 9015.0, "11158")
    assert row["time"] == pd.Timestamp("2011-02-11T23:59:26")  # 00:00 TAI, in UTC
    assert row["bytes"] == 601 * 600 * 600 * 1.2
    assert jsoc.expected(plan) == (1, 601, row["bytes"])


def test_a_plan_across_a_leap_second_has_days_of_tai():
    rows = pd.DataFrame(
        {"region": 12627, "time": pd.to_datetime(["2016-12-31", "2017-01-01"]), "lat": 5.0, "lon": [3, -2]}
    )
    plan = jsoc.plan(rows)
    assert "[2016.12.31_00:00:00_TAI-2017.01.02_00:00:00_TAI]" in record_sets(plan)[0]
    assert plan["records"][0] == 241 and plan["time"][0] == pd.Timestamp("2016-12-30T23:59:24")
    assert "t_ref=2017.01.01_00:00:37_TAI" in plan["request"][0]


def test_the_reference_is_where_the_region_was_nearest_to_the_meridian():
    process = json.loads(jsoc.plan(REGION, [1158])["request"][0])["process"]
    assert process == (
        "im_patch,t_ref=2011.02.14_00:00:34_TAI,t=0,r=0,c=0,locunits=stony,boxunits=pixels,x=3,y=-21,width=600,height=600"
    )


def test_rows_without_a_place_count_as_days_but_not_as_reference():
    rows = REGION.assign(lon=[-35.0, -20.0, np.nan, 120.0, np.nan])
    with pytest.warns(SourceWarning, match="1 regions have no row with a place"):
        plan = jsoc.plan(rows)
    assert "x=-20,y=-20," in plan["request"][0] and plan["records"].tolist() == [601]
    with pytest.raises(ValueError, match="region 11159 has no row with a place"):
        jsoc.plan(rows, [11159])


def test_plages_and_returning_regions_are_not_planned():
    rows = pd.concat([REGION, REGION.assign(region=11160, section="IA")])
    assert jsoc.plan(rows)["event"].tolist() == ["11158", "11159"]


def test_a_request_that_would_be_too_large_is_split_by_days():
    days = pd.date_range("2014-01-01", periods=80)
    rows = pd.DataFrame({"region": 11944, "time": days, "lat": 0.0, "lon": np.linspace(-60, 60, 80)})
    plan = jsoc.plan(rows)
    assert len(plan) == 2 and (plan["full_disk_mb"] < 100_000).all() and plan["id"].is_unique
    assert [text.split("[")[1] for text in record_sets(plan)] == [
        "2014.01.01_00:00:00_TAI-2014.02.09_23:59:59_TAI]", "2014.02.10_00:00:00_TAI-2014.03.22_00:00:00_TAI]",
    ]  # fmt: skip
    assert plan["records"].tolist() == [4800, 4801]
    sparse = jsoc.plan(rows, cadence="96m")
    assert record_sets(sparse)[0].split("[")[1] == "2014.01.01_00:00:00_TAI-2014.03.22_00:00:00_TAI@96m]"
    assert sparse["records"].tolist() == [1201]


def test_patches_are_planned_by_their_number_from_what_there_is(replay, transport):
    answer = listed(
        T_REC=["2011.02.12_00:00:00_TAI", "2011.02.12_00:12:00_TAI", "2011.02.13_00:00:00_TAI"],
        QUALITY=["0x80000000", "0x0", "0x400"], HARPNUM=["377"] * 3, NOAA_ARS=["11158"] * 3,
    )  # fmt: skip
    replay.add("/cgi-bin/ajax/jsoc_info", json.dumps(answer))
    plan = jsoc.plan_patches(
        [377, 377, 3604], segments=["Br", "bitmap"], count=True, transport=transport, base_url=replay.url
    )
    times = "[2011.02.12_00:12:00_TAI-2011.02.13_00:00:00_TAI][? QUALITY >= 0 ?]{Br,bitmap}"
    assert record_sets(plan) == [f"hmi.sharp_cea_720s[{harp}]{times}" for harp in (377, 3604)]
    assert (
        plan["records"].tolist() == [2, 2]
        and plan["files"].tolist() == [4, 4]
        and plan["bytes"].isna().all()
        and replay.count() == 2
    )
    request = json.loads(plan["request"][0])
    assert (
        request["filenamefmt"] == "hmi.sharp_cea_720s.{HARPNUM}.{T_REC:A}.{segment}"
        and "process" not in request
    )
    jsoc.plan_patches(
        [377], start="2011-02-12", end="2011-02-13", count=True, transport=transport, base_url=replay.url
    )
    assert replay.asked[-1].query["ds"].endswith("[377][2011.02.12_00:00:34_TAI-2011.02.13_00:00:34_TAI]")


def test_patches_are_planned_without_asking():
    plan = jsoc.plan_patches([377, 3604], segments="Br")
    assert record_sets(plan) == [
        f"hmi.sharp_cea_720s[{harp}][? QUALITY >= 0 ?]{{Br}}" for harp in (377, 3604)
    ]
    assert plan["records"].isna().all() and plan["time"].isna().all()
    timed = jsoc.plan_patches([377], start="2016-12-31T23:59:59", end="2017-01-02")
    assert record_sets(timed) == [
        "hmi.sharp_cea_720s[377][2017.01.01_00:00:35_TAI-2017.01.02_00:00:37_TAI][? QUALITY >= 0 ?]{magnetogram}"
    ]
    assert timed["time"][0] == pd.Timestamp("2016-12-31T23:59:59")


def test_a_patch_without_good_records_is_said(replay, transport):
    replay.add("/cgi-bin/ajax/jsoc_info", json.dumps({"count": 0, "status": 0}))
    with pytest.raises(SourceError, match="no good record of HARP 377"):
        jsoc.plan_patches([377], count=True, transport=transport, base_url=replay.url)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jsoc.plan(REGION, [9999]), "region 9999 has no row"),
        (lambda: jsoc.plan(REGION, ["11158"]), "region must be a positive integer"),
        (lambda: jsoc.plan(REGION.drop(columns="lat")), "lack the columns lat"),
        (lambda: jsoc.plan(REGION, size=0), "size must be 1 to 4096"),
        (lambda: jsoc.plan(REGION, cadence="often"), "cadence must be such as"),
        (lambda: jsoc.plan(REGION, cadence="0m"), "cadence must be such as"),
        (lambda: jsoc.plan_patches([]), "no HARP number"),
        (lambda: jsoc.plan_patches([-1]), "harp must be a positive integer"),
        (lambda: jsoc.plan_patches([377], segments=["a;b"]), "segments must be names"),
        (lambda: jsoc.plan_patches([377], series="hmi.M_720s"), "has no patches"),
        (lambda: jsoc.plan_patches([377], start="2011-02-12"), "give start and end, or neither"),
        (lambda: jsoc.plan_patches([377], start="2011-02-12", end="2011-02-11"), "lies before start"),
    ],
)
def test_bad_plans_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_empty_plan_is_a_plan():
    assert jsoc.plan(REGION[:0]).empty


def test_plans_of_real_summaries_cover_the_spans_of_the_published_list(shared):
    with pytest.warns(SourceWarning):
        summaries = swpc.read_srs(shared / "data/noaa/srs_tarballs/2011_SRS.tar.gz")
    plan = jsoc.plan(summaries.regions)
    spans = swpc.ar_list(summaries).set_index("region")
    assert len(plan) == len(spans) > 200
    days = spans.loc[plan["event"].astype(int), "days"]
    assert (plan["records"].to_numpy() == 120 * days.to_numpy() + 1).all()
    assert (spans["days"] > spans["days_seen"]).any()  # a plan by the days seen would end early
    (request,) = plan.loc[plan["event"] == "11158", "request"]
    assert abs(float(request.split("x=")[1].split(",")[0])) < 10


# -- exports -----------------------------------------------------------------------


def test_an_export_is_requested_waited_for_and_unpacked(service, plan, transport, tmp_path):
    service.statuses = [NOT_FOUND, RUNNING, RUNNING | {"status": "2"}, RUNNING | {"status": 12}]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert [p.name for p in store.files()] == [
        f"1158_hmi.M_720s.2011021{n}_000000_TAI.1.magnetogram.fits" for n in (2, 3)
    ]
    (request,) = service.asked("exp_request")
    assert request["notify"] == ADDRESS and request["method"] == "url-tar"
    assert request["process=n"].startswith("0|im_patch,t_ref=")
    assert request["filenamefmt"] == "hmi.M_720s.{T_REC:A}.{CAMERA}.{segment}"
    # After the request, then what JSOC suggests, within bounds.
    assert service.waits == [10, 5, 55, 55, 55]
    assert store.manifest["service_id"].tolist() == [ID] and store.verify().empty
    assert "someone" not in store.manifest.to_csv() + (tmp_path / "s/manifest.parquet").read_bytes().decode(
        "latin-1"
    )
    asked = service.replay.count()
    sources.fetch(plan, tmp_path / "s", transport=transport)
    assert service.replay.count() == asked


def test_parameters_are_those_of_drms(plan):
    from urllib.parse import parse_qsl, urlsplit

    json_client = pytest.importorskip("drms.json").HttpJsonClient()
    request = json.loads(plan["request"][0])
    name, *arguments = request["process"].split(",")
    url = json_client._exp_request_url(
        request["ds"], ADDRESS, method="url-tar", protocol="fits", filenamefmt=request["filenamefmt"],
        process={name: dict(argument.split("=") for argument in arguments)},
    )  # fmt: skip
    assert dict(parse_qsl(urlsplit(url).query)) == _jsoc_export.request_query(request, ADDRESS)
    assert url.startswith(_jsoc_export.program("jsoc_fetch", jsoc.BASE_URL))


RECORDED = {
    "constructed_exp_status_1_running.json": "done",
    "constructed_exp_status_4_failed.json": "done",
    "constructed_exp_status_5_expired.json": "done",
    "constructed_exp_status_6_not_found_yet.json": "done",
    "constructed_exp_status_0_url_tar.json": "done",
    "constructed_exp_request_2_im_patch.json": "done",
    "constructed_exp_request_3_too_large.json": "absent",
    "constructed_exp_request_7_pending.json": "done",
    "exp_request_aia193_fits_status2_151rec.json": "done",
    "exp_request_hmi_fits_status2.json": "done",
    "exp_request_url_quick_as-is_immediate.json": "absent",  # no number: nothing that could be waited for
    "exp_status_aia193_fits_151files.json": "failed",  # files one by one, no tar file
    "exp_status_hmi_fits_status0_1file.json": "failed",
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_answers_are_understood(service, plan, transport, tmp_path, recorded, name):
    (service.requests if "exp_request" in name else service.statuses).append((recorded / name).read_bytes())
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"][0] == RECORDED[name], store.manifest["reason"][0]


def test_no_recording_is_left_out(recorded):
    names = {path.name for path in recorded.iterdir()}
    structures = {f"series_struct_{series}.json" for series, _ in LISTS.values()}
    assert names == {*LISTS, *structures, *RECORDED, *ADDRESSES}


def test_a_run_that_was_ended_goes_on_with_its_request(service, plan, transport, tmp_path, monkeypatch):
    service.statuses = [RUNNING] * 3

    def stop(seconds, transport):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_jsoc_export, "_wait", stop)
        with pytest.raises(KeyboardInterrupt):
            sources.fetch(plan, tmp_path / "s", transport=transport)
    row = sources.Store(tmp_path / "s").manifest.iloc[0]
    assert (row["state"], row["service_id"]) == ("waiting", ID)
    store = sources.fetch(None, tmp_path / "s", transport=transport)
    assert len(service.asked("exp_request")) == 1 and len(store.files()) == 2
    undisturbed = sources.fetch(plan, tmp_path / "t", transport=transport)
    pd.testing.assert_frame_equal(store.manifest, undisturbed.manifest)


def test_only_one_export_is_pending_at_a_time(service, transport, tmp_path):
    service.statuses = [RUNNING, READY, RUNNING, READY]
    store = sources.fetch(jsoc.plan(REGION, size=40), tmp_path / "s", transport=transport)
    assert (store.manifest["state"] == "done").all()
    asked = [a.query.get("op", a.path[-4:]) for a in service.replay.asked]
    assert asked[1:] == ["exp_request", "exp_status", "exp_status", ".tar"] * 2  # after the address


@pytest.mark.parametrize("answer", [FAILED, EXPIRED, EXPIRED | {"status": "5"}])
def test_an_export_that_failed_or_expired_is_asked_for_again(service, plan, transport, tmp_path, answer):
    service.statuses = [answer]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert len(service.asked("exp_request")) == 2 and len(store.files()) == 2
    assert store.manifest["service_id"].tolist() == [ID]


def test_an_export_that_always_fails_is_said_and_tried_again_later(service, plan, transport, tmp_path):
    service.statuses = [FAILED] * 3
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["failed"] and len(service.asked("exp_request")) == 3
    assert "RecordSet specified does not exist" in store.manifest["reason"][0]
    assert len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2


def test_an_export_that_jsoc_never_heard_of_is_asked_for_again(service, plan, transport, tmp_path):
    service.statuses = [NOT_FOUND] * 31
    assert len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2
    assert len(service.asked("exp_request")) == 2


def test_a_request_that_fails_is_asked_again(service, plan, transport, tmp_path):
    service.requests = [FAILED | {"requestid": ""}] * 2
    assert len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2
    service.requests = [{"status": -1, "error": "busy"}] * 3
    other = sources.fetch(plan, tmp_path / "t", transport=transport)
    assert other.manifest["state"].tolist() == ["failed"] and "busy" in other.manifest["reason"][0]


@pytest.mark.parametrize("answer", [OTHERS, OTHERS | {"status": "7"}])
def test_other_pending_exports_are_waited_for(service, plan, transport, tmp_path, answer):
    service.requests = [answer] * 4
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert (
        len(service.asked("exp_request")) == 5 and service.waits[:4] == [60.0] * 4 and len(store.files()) == 2
    )


def test_waits_end_some_time_and_tell_nobody_the_address(service, plan, transport, tmp_path, monkeypatch):
    monkeypatch.setattr(_jsoc_export, "_MOST_POLLS", 3)
    service.requests = [OTHERS] * 3
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert (
        "1 pending export requests" in store.manifest["reason"][0] and store.manifest["state"][0] == "failed"
    )
    assert ADDRESS not in store.manifest["reason"][0]
    service.statuses = [RUNNING] * 3
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert "has not finished" in store.manifest["reason"][0]
    assert len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2
    assert len(service.asked("exp_request")) == 4  # the number was kept


def test_a_wait_ends_when_the_run_is_cancelled(transport):
    transport.cancel()
    with pytest.raises(SourceError, match="cancelled"):
        _jsoc_export._wait(60.0, transport)


class Script:
    """A transport that gives answers at once."""

    first_wait = longest_wait = 0.0

    def __init__(self, answers):
        self.answers = answers

    def _sleep(self, seconds):
        pass

    def get(self, url, query, check):
        return json.dumps(next(self.answers)).encode()


def test_any_order_of_answers_comes_to_an_end(service, plan, monkeypatch):
    monkeypatch.setattr(_jsoc_export, "_checked", {_jsoc_export.base(None): ADDRESS})
    monkeypatch.setattr(_jsoc_export, "_MOST_POLLS", 40)
    row = plan.iloc[0].to_dict() | {"service_id": ""}
    kinds = [
        REQUESTED,
        READY,
        RUNNING,
        TOO_LARGE,
        FAILED,
        EXPIRED,
        NOT_FOUND,
        OTHERS,
        RUNNING | {"status": "12"},
        {},
        {"status": "x"},
    ]
    ends = set()
    for seed in range(300):
        order = np.random.default_rng(seed).integers(len(kinds), size=500).tolist()
        answers = (kinds[number] for number in order)
        noted = {}
        try:
            url = _jsoc_export.resolve(row, Script(answers), noted.update)
            ends.add("url")
            assert url.endswith(TAR) and noted["service_id"] == ID
        except SourceError as error:
            ends.add("absent" if error.permanent else "failed")
            assert ADDRESS not in str(error)
        # What is kept can be asked for by the next run.
        assert noted.get("service_id", "") in ("", ID, "VOID")
    assert ends == {"url", "absent", "failed"}


def test_a_request_that_is_too_large_is_split_by_days(service, plan, transport, tmp_path):
    service.requests = [TOO_LARGE]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] + ["done"] * 5 and jsoc.split(store).empty
    assert "too large" in store.manifest["reason"][0]
    assert [text.split("[")[1].split("]")[0] for text in record_sets(store.manifest[1:])] == [
        "2011.02.12_00:00:00_TAI-2011.02.12_23:59:59_TAI", "2011.02.13_00:00:00_TAI-2011.02.13_23:59:59_TAI",
        "2011.02.14_00:00:00_TAI-2011.02.14_23:59:59_TAI", "2011.02.15_00:00:00_TAI-2011.02.15_23:59:59_TAI",
        "2011.02.16_00:00:00_TAI-2011.02.17_00:00:00_TAI",
    ]  # fmt: skip
    days = store.links[1:]
    assert days["records"].tolist() == [120, 120, 120, 120, 121]
    assert days["records"].sum() == plan["records"].sum() and set(days["event"]) == {"11158"}
    assert len(store.files(event="11158")) == 10
    asked = service.replay.count()
    sources.fetch(plan, tmp_path / "s", transport=transport)  # what was split is not asked for again
    assert service.replay.count() == asked


def test_patches_that_are_too_large_are_split_if_their_time_is_known(service, transport, tmp_path):
    timed = {"start": "2011-02-12T10:00", "end": "2011-02-13T12:00"}
    for time, count in ((timed, 2), ({}, 0)):
        service.requests = [TOO_LARGE]
        plan = jsoc.plan_patches([377], segments=["Br", "bitmap"], **time)
        store = sources.fetch(plan, tmp_path / f"s{count}", transport=transport)
        assert store.manifest["state"].tolist() == ["absent"] + ["done"] * count
        if count:
            assert [text.split("][")[1] for text in record_sets(store.manifest[1:])] == [
                "2011.02.12_10:00:34_TAI-2011.02.12_23:59:59_TAI", "2011.02.13_00:00:00_TAI-2011.02.13_12:00:34_TAI",
            ]  # fmt: skip
            assert store.links["files"][1:].tolist() == [2 * 70, 2 * 61]


def test_a_single_day_that_is_too_large_is_not_split(service, transport, tmp_path):
    service.requests = [TOO_LARGE]
    store = sources.fetch(jsoc.plan(REGION, [11159], size=40), tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] and jsoc.split(store).empty


@pytest.mark.parametrize(
    "answer",
    [
        READY | {"count": "0"}, READY | {"count": 0}, READY | {"data": []},
        READY | {"data": [{"record": "r", "filename": "NoDataFile"}]},
        {"status": "0", "count": "0", "requestid": ID},
    ],
)  # fmt: skip
def test_an_export_without_files_is_absent(service, plan, transport, tmp_path, answer):
    service.statuses = [answer]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] and "no such records" in store.manifest["reason"][0]


def test_a_request_for_nothing_is_absent(service, plan, transport, tmp_path):
    service.requests = [{"status": 0, "count": 0}]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] and "no such records" in store.manifest["reason"][0]


def test_an_export_that_is_ready_at_once_needs_no_waiting(service, plan, transport, tmp_path):
    service.requests = [READY]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert len(store.files()) == 2 and not service.waits and store.manifest["service_id"][0] == ID


@pytest.mark.parametrize("tar", ["http://elsewhere.example/x.tar", "SUM11/x.tar", "/SUM11/../x.tar", None, 7])
def test_a_tar_file_that_is_no_path_of_the_server_is_refused(service, plan, transport, tmp_path, tar):
    service.statuses = [READY | {"tarfile": tar}]
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["failed"] and "its tar file is" in store.manifest["reason"][0]


def test_a_tar_file_stays_on_the_server(service, plan, transport, tmp_path):
    service.statuses = [READY | {"tarfile": f"/{TAR}"}]  # //SUM11/... would be another host
    assert len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2


# -- the e-mail address ------------------------------------------------------------

ADDRESSES = {
    "checkAddress_ok.json": "done",
    "checkAddress_missing.json": "failed",
    "constructed_checkAddress_4_unregistered.json": "failed",
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_is_checked_as_recorded(service, plan, transport, tmp_path, recorded, name):
    service.address = json.loads((recorded / name).read_bytes())
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == [ADDRESSES[name]]
    if ADDRESSES[name] == "failed":
        reason = store.manifest["reason"][0]
        assert "register it at http://jsoc.stanford.edu/ajax/register_email.html" in reason
        assert ADDRESS not in reason and not service.asked("exp_request")
        service.address = {"status": "2"}
        assert (
            len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2
        )  # once it is registered


def test_an_address_that_is_missing_is_asked_for_by_name(service, plan, transport, tmp_path, monkeypatch):
    monkeypatch.delenv(jsoc.EMAIL_VARIABLE)
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["failed"] and service.replay.count() == 0
    assert "set SOLARTRACK_JSOC_EMAIL" in store.manifest["reason"][0]
    with pytest.raises(SourceError, match="set SOLARTRACK_JSOC_EMAIL"):
        jsoc.check_email(transport=transport)


def test_an_address_can_be_given_in_place_of_the_variable(service, plan, transport, tmp_path, monkeypatch):
    monkeypatch.delenv(jsoc.EMAIL_VARIABLE)
    assert jsoc.check_email("a+b@example.org", transport=transport) == "a+b@example.org"
    # Encoded twice: the program behind it decodes it once more.
    assert service.replay.asked[0].query == {"address": "a%2Bb%40example.org", "checkonly": "1"}
    sources.fetch(plan, tmp_path / "s", transport=transport)
    assert service.asked("exp_request")[0]["notify"] == "a+b@example.org"
    assert service.replay.count("/cgi-bin/ajax/checkAddress.sh") == 1


# -- files -------------------------------------------------------------------------


def test_files_of_another_size_or_quality_are_left_out_and_said(service, plan, transport, tmp_path):
    good = fits_bytes(side=40)
    service.tar = tar_of({
        "a.fits": good, "b.fits": fits_bytes(side=39), "c.fits": b"none",
        "d.fits": fits_bytes(side=40, QUALITY=-2147483648), "e.fits": good[: len(good) // 2],
        "f.fits": fits_bytes(side=40, QUALITY=0x400), "g.fits": rice_bytes(side=40),
        "hmi.m_720s.20110212_000000_TAI.1.magnetogram.fits": good,
    })  # fmt: skip
    with pytest.warns(
        SourceWarning, match=r"4 of 8 files are left out; b.fits: it has 39 x 39 pixels, not 40 x 40"
    ):
        store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert [p.name for p in store.files()] == [
        "1158_a.fits", "1158_f.fits", "1158_g.fits", "1158_hmi.M_720s.20110212_000000_TAI.1.magnetogram.fits",
    ]  # fmt: skip
    assert store.verify().empty


def test_patches_keep_the_names_that_jsoc_gives(service, transport, tmp_path):
    answer = listed(T_REC=["2011.02.15_02:00:00_TAI"], QUALITY=["0"], HARPNUM=["377"], NOAA_ARS=["11158"])
    service.replay.add("/cgi-bin/ajax/jsoc_info", json.dumps(answer))
    names = [f"hmi.sharp_cea_720s.377.20110215_020000_TAI.{segment}.fits" for segment in ("Br", "bitmap")]
    service.tar = tar_of({names[0]: fits_bytes(side=30), names[1]: rice_bytes(side=50)})
    plan = jsoc.plan_patches([377], segments=("Br", "bitmap"), transport=transport)
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert [p.name for p in store.files(event="HARP 377")] == names
    assert service.asked("exp_request")[0]["process=n"] == "0"


@pytest.mark.parametrize("members", [{"index.txt": b"-"}, {"a.fits": b"cut"}, {}])
def test_an_export_of_nothing_useful_is_fetched_again(service, plan, transport, tmp_path, members):
    good, service.tar = service.tar, tar_of(members)
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert (
        store.manifest["state"].tolist() == ["failed"]
        and "no file that can be used" in store.manifest["reason"][0]
    )
    service.tar = good
    assert len(sources.fetch(plan, tmp_path / "s", transport=transport).files()) == 2
    assert len(service.asked("exp_request")) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../up.fits",
        "/etc/up.fits",
        "a/../../up.fits",
        "a\\b.fits",
        "a\x07.fits",
        "x" * 300 + ".fits",
        ".up.fits",
    ],
)
def test_members_that_would_escape_are_refused(service, plan, transport, tmp_path, name):
    service.tar = tar_of(["good.fits", name])
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] and not store.files()
    assert not list(tmp_path.rglob("*.fits"))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_links_and_devices_are_refused(service, plan, transport, tmp_path, kind):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("good.fits"))
        info = tarfile.TarInfo("a.fits")
        info.type, info.linkname = kind, "" if kind == tarfile.GNUTYPE_SPARSE else "/etc/passwd"
        tar.addfile(info)
    service.tar = data.getvalue()
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert store.manifest["state"].tolist() == ["absent"] and not list(tmp_path.rglob("*.fits"))
    assert "a link or device" in store.manifest["reason"][0]


def test_members_that_come_twice_or_are_absurdly_large_are_refused(
    service, plan, transport, tmp_path, monkeypatch
):
    service.tar = tar_of({"a.fits": b"1", "b/A.fits": b"2"})
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    assert "comes twice" in store.manifest["reason"][0]
    monkeypatch.setattr(jsoc, "_LARGEST_MEMBER", 1000)
    service.tar = tar_of({"a.fits": bytes(1001)})
    store = sources.fetch(plan, tmp_path / "t", transport=transport)
    assert "1001 bytes" in store.manifest["reason"][0]


@pytest.mark.remote_data
def test_jsoc_lists_the_records_of_a_patch():
    table = jsoc.keywords(377, keys=["T_REC", "USFLUX"])
    assert len(table) > 1000
