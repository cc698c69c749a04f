import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack.errors import SourceWarning
from solartrack.flares.exchange import (
    SCOREBOARD_COLUMNS,
    ScoreboardForecast,
    read_scoreboard,
    write_scoreboard,
)

HEADER = """Forecasting method: MAG4_1
Issue Time: 2016-12-15T11:40Z
Prediction Window Start Time: 2016-12-15T12:00Z
Prediction Window End Time: 2016-12-16T12:00Z
Probability Bins: M+
Input data: SDO/HMI LOS_Magnetogram
"""
DISK = "#Full Disk Forecast\n#X_prob X_uncert X_level M_prob M_uncert M_level C_prob C_uncert C_level\n"


def read(tmp_path, text, name="forecast.txt"):
    path = tmp_path / name
    path.write_text(text)
    return read_scoreboard(path)


def forecast(rows, **changes):
    table = pd.DataFrame(rows, columns=["region", "location", "flare_class", "probability"])
    now = dt.datetime(2016, 12, 15, 0, 30)
    return dataclasses.replace(
        ScoreboardForecast("SOLARTRACK_1", now, now, now + dt.timedelta(days=1), table, "SRS"), **changes
    )


def test_a_full_disk_forecast_in_the_form_of_the_poster_is_read(tmp_path):
    read_ = read(tmp_path, HEADER + DISK + "0.0100 0.0050 2 0.1500 ---- 3 0.6000 ---- ----\n")
    assert (read_.method, read_.inputs) == ("MAG4_1", "SDO/HMI LOS_Magnetogram")
    assert read_.issued == dt.datetime(2016, 12, 15, 11, 40)
    assert (read_.start, read_.end) == (dt.datetime(2016, 12, 15, 12), dt.datetime(2016, 12, 16, 12))
    table = read_.table
    assert {name: str(kind) for name, kind in table.dtypes.items()} == SCOREBOARD_COLUMNS
    assert table["flare_class"].tolist() == ["X+", "M+", "C+"]
    assert table["probability"].tolist() == [0.01, 0.15, 0.6]
    assert table["region"].isna().all() and (table["location"] == "").all()
    assert table["uncertainty"].tolist()[0] == 0.005 and table["uncertainty"][1:].isna().all()
    assert table["level"].tolist() == [2, 3, pd.NA]


def test_four_fields_for_each_class_are_probability_limits_and_level(tmp_path):
    for text in (
        "0.01 ---- ---- ---- 0.15 0.10 0.20 1 0.6 ---- ---- ----",
        "0.01 -- -- -- 0.15 0.10 0.20 1 0.6 - - -",
    ):
        table = read(tmp_path, HEADER + text).table  # as UFCORIN writes it: no line before the numbers
        assert table["probability"].tolist() == [0.01, 0.15, 0.6]
        assert table.loc[1, ["low", "high", "level"]].tolist() == [0.1, 0.2, 1]


def test_regions_have_their_numbers_and_places(tmp_path):
    table = read(
        tmp_path,
        HEADER + "#Full Disk Forecast\n0.02 0.2 0.6\n#Region Forecast\n"
        "1 2016-12-15T00:00Z N12E30 2615 0.01 0.1 0.5\n2 2016-12-15T00:00Z S05W10 ---- 0.00 0.1 0.2\n",
    ).table
    assert table["region"].tolist() == [pd.NA] * 3 + [12615] * 3 + [pd.NA] * 3
    assert table["location"].tolist() == [""] * 3 + ["N12E30"] * 3 + ["S05W10"] * 3
    assert table["location_time"].isna().tolist() == [True] * 3 + [False] * 6
    assert table["probability"].tolist() == [0.02, 0.2, 0.6, 0.01, 0.1, 0.5, 0, 0.1, 0.2]


def test_columns_are_found_by_their_names(tmp_path):
    table = read(tmp_path, HEADER + "#Full Disk Forecast\nC_prob M_prob X_prob\n0.6 0.2 0.1\n").table
    assert dict(zip(table["flare_class"], table["probability"], strict=True)) == {
        "C+": 0.6,
        "M+": 0.2,
        "X+": 0.1,
    }


def test_without_bins_it_is_not_claimed_that_larger_flares_count(tmp_path):
    table = read(tmp_path, HEADER.replace("Probability Bins: M+\n", "") + "0.1 0.2 0.6\n").table
    assert table["flare_class"].tolist() == ["X", "M", "C"]


XML = """<?xml version="1.0"?><message><forecast><method>SOLMON_1</method>
<issuetime>2016-12-15T00:30UT</issuetime>
<predictionwindow><starttime>2016-12-15T00:30UT</starttime><endttime>2016-12-16T00:30UT</endttime></predictionwindow>
<group><forecasttype>Full Disk</forecasttype>
<entry><fluxbin name="M"/><probability><value>0.25</value></probability></entry></group>
<group><forecasttype>Region</forecasttype>
<sourceregion><id scheme="NOAA_AR_numbering_scheme">12615</id>
<location time="2016-12-15T00:00UT">S07W20</location></sourceregion>
<entry><fluxbin name="C+"/><probability><value>0.4</value></probability></entry>
<entry><fluxbin name="X+"/><probability><value>0.01</value></probability></entry></group>
</forecast></message>"""


@pytest.mark.parametrize("name", ["forecast.xml", "forecast.txt"])
def test_xml_is_read_under_any_name(tmp_path, name):
    read_ = read(tmp_path, XML, name)
    assert read_.method == "SOLMON_1" and read_.end == dt.datetime(2016, 12, 16, 0, 30)
    assert read_.table["flare_class"].tolist() == ["M", "C+", "X+"]
    assert read_.table["region"].tolist() == [pd.NA, 12615, 12615]
    assert read_.table["location"].tolist() == ["", "S07W20", "S07W20"]


def test_groups_within_groups_and_other_names_of_the_window_are_read(tmp_path):
    inner = XML.replace("<sourceregion>", "<group><sourceregion>").replace(
        "</entry></group>\n</forecast>", "</entry></group></group></forecast>"
    )
    inner = inner.replace("starttime", "begin").replace("endttime", "end").replace("00:30UT", "00:30")
    assert read(tmp_path, inner).table.equals(read(tmp_path, XML).table)


@pytest.mark.parametrize("line", [
    "0.1 0.2", "0.1 0.2 1.6", "0.1 0.2 many", "0.1 0.2 0.3 0.4 0.5 0.6", "0.1 0.1 7 0.2 0.1 2 0.3 0.1 2", "no flares today",
    "0.1 0.2 nan nan nan", "0.1 0.2 -0.6",
])  # fmt: skip
def test_a_bad_row_costs_itself_with_a_warning(tmp_path, line):
    with pytest.warns(SourceWarning, match=r"forecast.txt, line 8: "):
        table = read(tmp_path, HEADER + "#Full Disk Forecast\n" + line + "\n0.01 0.2 0.3\n").table
    assert table["probability"].tolist() == [0.01, 0.2, 0.3]


@pytest.mark.parametrize(
    "row",
    [
        "1 2016-12-15T00:00Z N12E30 AR12 0.1 0.2 0.3",
        "1 yesterday N12E30 2615 0.1 0.2 0.3",
        "1 2016-12-15T00:00Z",
    ],
)
def test_a_bad_region_costs_itself_with_a_warning(tmp_path, row):
    text = HEADER + "#Region Forecast\n" + row + "\n2 2016-12-15T00:00Z S05W10 2616 0.1 0.2 0.3\n"
    with pytest.warns(SourceWarning, match="line 8"):
        assert read(tmp_path, text).table["region"].tolist() == [12616] * 3


def test_a_bad_entry_of_xml_costs_its_group_from_there_with_a_warning(tmp_path):
    with pytest.warns(SourceWarning, match=r"group Region \['12615'\].*got 4"):
        assert len(read(tmp_path, XML.replace("0.4<", "4<")).table) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have 'forecasting method'"),
        ("a,b\n1,2\n", "must have 'forecasting method'"),
        (HEADER.replace("Issue Time", "Time"), "must have 'issue time'"),
        (HEADER.replace("2016-12-15T11:40Z", "noon"), "a time must be like 2016-12-15T00:30Z, got 'noon'"),
        (HEADER.replace("2016-12-16T12", "2016-12-14T12"), "the window must start before it ends"),
        ("<message>", "no element found"),
        ("<html><body/></html>", "no element <forecast>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><message>&b;</message>', "declares entities"),
        (XML.replace("SOLMON_1", ""), "must have 'forecasting method'"),
        ("\0" * 100, "must have 'forecasting method'"),
    ],
)  # fmt: skip
def test_what_is_no_forecast_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ValueError, match="forecast.txt: .*" + message):
        read(tmp_path, text)


def test_a_huge_file_is_refused(tmp_path):
    (tmp_path / "huge.txt").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(ValueError, match=r"huge\.txt: a forecast is smaller than"):
        read_scoreboard(tmp_path / "huge.txt")


# ---- written


def test_a_forecast_is_written_in_the_form_of_the_poster(tmp_path):
    rows = [(None, "", "M+", 0.123456), (None, "", "X+", 0.01), (12615, "N12E30", "C+", 0.5)]
    write_scoreboard(tmp_path / "a.txt", forecast(rows))
    assert (tmp_path / "a.txt").read_text().splitlines() == [
        "Forecasting method: SOLARTRACK_1",
        "Issue Time: 2016-12-15T00:30Z",
        "Prediction Window Start Time: 2016-12-15T00:30Z",
        "Prediction Window End Time: 2016-12-16T00:30Z",
        "Probability Bins: M+",
        "Input data: SRS",
        "Prediction window (hours): 24",
        "#Full Disk Forecast",
        "#X_prob X_uncert X_level M_prob M_uncert M_level C_prob C_uncert C_level",
        "0.0100 ---- ---- 0.1235 ---- ---- ---- ---- ----",
        "#Region Forecast",
        "#number time location NOAA X_prob X_uncert X_level M_prob M_uncert M_level C_prob C_uncert C_level",
        "1 ---- N12E30 12615 ---- ---- ---- ---- ---- ---- 0.5000 ---- ----",
    ]


places = st.sampled_from([(None, ""), (12615, "N12E30"), (12615, ""), (None, "S05W10")])
chances = st.integers(0, 10**4).map(lambda k: k / 10**4)
rows = st.dictionaries(
    st.tuples(places, st.sampled_from(["C+", "M+", "X+"])),
    st.tuples(chances, chances, st.sampled_from([1, 2, 3, None])),
)


@given(rows, st.sampled_from([".txt", ".xml"]), st.booleans())
def test_what_is_written_is_read_again(tmp_path_factory, found, suffix, bounds):
    path = tmp_path_factory.mktemp("exchange") / f"a{suffix}"
    columns = [
        "region",
        "location",
        "flare_class",
        "probability",
        "high" if bounds else "uncertainty",
        "level",
    ]
    table = pd.DataFrame([(*place, name, *of) for (place, name), of in found.items()], columns=columns)
    made = forecast([], table=table)
    write_scoreboard(path, made)
    read_ = read_scoreboard(path)
    assert (read_.method, read_.issued, read_.start, read_.end) == (
        made.method, made.issued, made.start, made.end,
    )  # fmt: skip
    kept = columns[:4] if suffix == ".xml" else columns

    def plain(of):
        return {tuple(None if pd.isna(v) else v for v in row) for row in of[kept].itertuples(index=False)}

    assert plain(read_.table) == plain(table)


@pytest.mark.parametrize(
    ("rows_", "changes", "message"),
    [
        ([(None, "", "M", 0.1)], {}, r"classes must be C\+, M\+ or X\+, got 'M'"),
        ([(None, "", "M+", 10.0)], {}, r"probability must be from 0 to 1, got 10\.0"),
        ([(None, "", "M+", np.nan)], {}, "probability must be from 0 to 1"),
        ([(None, "", "M+", 0.1), (None, "", "M+", 0.2)], {}, "got one twice"),
        ([(1, "N12 E30", "M+", 0.1)], {}, "location must be one word"),
        ([], {"method": "a\nIssue Time: b"}, "method must be one line"),
        ([], {"method": " "}, "method must be one line"),
        ([], {"method": "\x00a"}, "method must be one line"),
        ([], {"inputs": "a\u2028b"}, "inputs must be one line"),
        ([(1, "N12\x01E30", "M+", 0.1)], {}, "location must be one word"),
        ([], {"end": dt.datetime(2016, 1, 1)}, "the window must start before it ends"),
        ([], {"table": pd.DataFrame({"region": [1]})}, "the table must have the column 'flare_class'"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, rows_, changes, message):
    with pytest.raises(ValueError, match=message):
        write_scoreboard(tmp_path / "a.txt", forecast(rows_, **changes))
    assert not list(tmp_path.iterdir())
