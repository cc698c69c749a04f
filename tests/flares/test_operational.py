import math

import numpy as np
import pandas as pd
import pytest

from solartrack.flares.operational import occurrences, read_percent_forecasts
from solartrack.flares.scores import score_forecast

# ---- the operational forecasts of Murray et al. 2017, Space Weather 15, 577

CLOCK = ["year", "month", "day", "hour", "minute"]
COLUMNS = {
    "IFF": CLOCK + [f"{letter} day {k}" for letter in "MX" for k in (1, 2, 3, 4)],
    "SWPC": CLOCK + [f"{letter} day {k}" for letter in "MX" for k in (1, 2, 3)],
    "SRS_raw": ["year", "month", "day", "hhmm", "M day 1", "X day 1", None],
    "SRS_issued": ["year", "month", "day", "hhmm", "M day 1", "X day 1", None],
}


@pytest.fixture(scope="module")
def moswoc(shared):
    return shared / "data/flares/moswoc2017_forecasts"


def verify(moswoc, file, letter, day):
    """Scores of a forecast: the event is a flare of exactly that class that starts in the day."""
    forecasts = read_percent_forecasts(moswoc / f"{file}_fcast.txt", COLUMNS[file])
    flares = pd.read_csv(moswoc / "MX_list.txt", sep=r"\s+", header=None, dtype=str)
    starts = pd.to_datetime(flares[0] + flares[1] + flares[2] + flares[3], format="%Y%m%d%H%M")
    label = occurrences(
        forecasts["time"], starts[flares[6].str.startswith(letter)], lead_hours=24 * (day - 1)
    )
    weeks = forecasts["time"].dt.to_period("W")
    return score_forecast(label, forecasts[f"{letter} day {day}"], threshold=0.5, groups=weeks, n_boot=200)


@pytest.mark.parametrize(
    ("file", "letter", "day", "bss", "auc"),
    [
        ("IFF", "M", 1, 0.143, 0.817),
        ("IFF", "M", 2, 0.085, 0.783),
        ("IFF", "M", 4, -0.042, 0.710),
        ("IFF", "X", 1, -0.080, 0.860),
        ("SWPC", "M", 1, 0.135, 0.803),
        ("SWPC", "M", 3, 0.037, 0.747),
        ("SWPC", "X", 1, -0.217, 0.820),
        ("SRS_raw", "M", 1, -0.083, 0.841),
        ("SRS_issued", "M", 1, 0.282, 0.926),
    ],
)
def test_operational_forecasts_have_their_published_skill(moswoc, file, letter, day, bss, auc):
    scores = verify(moswoc, file, letter, day)
    assert scores.values["bss"] == pytest.approx(bss, abs=0.001)
    assert scores.values["auc"] == pytest.approx(auc, abs=0.001)
    low, high = scores.intervals["bss"]
    assert low < scores.values["bss"] < high


@pytest.mark.parametrize("file", ["SRS_raw", "SRS_issued"])
def test_x_flares_of_the_regional_period_are_undefined(moswoc, file):
    scores = verify(moswoc, file, "X", 1)
    assert scores.n == 1482 and scores.n_events == 0
    for name in ("bss", "auc", "tss", "hss"):
        assert math.isnan(scores.values[name])
        assert "none of the 1482 samples is an event" in scores.reasons[name]


def test_all_published_forecasts_are_read(moswoc):
    counts = {
        file: len(read_percent_forecasts(moswoc / f"{file}_fcast.txt", COLUMNS[file])) for file in COLUMNS
    }
    assert counts == {"IFF": 1864, "SWPC": 923, "SRS_raw": 1482, "SRS_issued": 1482}


# ---- reader


def test_percent_become_probabilities_at_utc_times(tmp_path):
    path = tmp_path / "forecasts.txt"
    path.write_bytes(b"2014 01 01 00 59 60 20\r\n\r\n2014 12 31 23 59 NaN 05\r\n")
    table = read_percent_forecasts(path, [*CLOCK, "M", "X"])
    assert table["time"].tolist() == [pd.Timestamp("2014-01-01 00:59"), pd.Timestamp("2014-12-31 23:59")]
    assert table["time"].dtype == "datetime64[us]"
    assert np.array_equal(table[["M", "X"]], [[0.6, 0.2], [np.nan, 0.05]], equal_nan=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2014 01 01 00 00 60", "line 2 must have 7 fields, got 6"),
        ("2014 01 01 24 00 60 20", "line 2: hour must be in"),
        ("2014 02 30 00 00 60 20", "line 2: day"),
        ("2014 01 01 00 00 101 20", "line 2: M must be percent from 0 to 100, got '101'"),
        ("2014 01 01 00 00 -1 20", "line 2: M must be percent"),
        ("2014 01 01 00 00 60 inf", "line 2: X must be percent"),
        ("2014 01 01 00 00 60 1_0", "line 2: X must be percent"),
        ("14 01 01 00 00 60 20", "line 2: the time must be a year of four digits"),
        ("2014 0_1 01 00 00 60 20", "line 2: the time must be a year of four digits"),
        ("2014 01 01 00 00 60 many", "line 2: X must be percent"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "forecasts.txt"
    path.write_text(f"2014 01 01 00 00 60 20\n{line}\n")
    with pytest.raises(ValueError, match=f"forecasts.txt, {message}"):
        read_percent_forecasts(path, [*CLOCK, "M", "X"])


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_forecasts_is_refused(tmp_path, content):
    (tmp_path / "forecasts.txt").write_text(content)
    with pytest.raises(ValueError, match=r"forecasts\.txt has no forecasts"):
        read_percent_forecasts(tmp_path / "forecasts.txt", [*CLOCK, "M"])


@pytest.mark.parametrize("columns", [["year", "month", "M"], CLOCK, [*CLOCK, "M", "M"], [*CLOCK, "time"]])
def test_columns_that_make_no_table_are_refused(tmp_path, columns):
    with pytest.raises(ValueError, match="columns must name year, month, day"):
        read_percent_forecasts(tmp_path / "none.txt", columns)


# ---- what happened


def test_an_event_counts_from_the_start_of_the_window_to_before_its_end():
    starts = ["2014-01-02T00:00", "2014-01-05T12:00"]
    times = ["2014-01-01T00:00", "2014-01-01T00:01", "2014-01-02T00:00", "2014-01-02T00:01"]
    assert occurrences(times, starts).tolist() == [0, 1, 1, 0]
    assert occurrences(times, starts, lead_hours=24).tolist() == [1, 0, 0, 0]
    assert occurrences(times, starts, hours=96).tolist() == [1, 1, 1, 1]


def test_a_window_beyond_the_list_is_unknown_unless_something_happened():
    times = ["2014-01-01T00:00", "2014-01-04T12:00", "2014-01-05T00:01", "2014-01-06"]
    out = occurrences(times, ["2014-01-05T12:00"], covered=("2014-01-01", "2014-01-06"))
    assert out.dtype == "Int8" and out.tolist() == [0, 0, 1, pd.NA]


def test_bad_windows_are_refused():
    with pytest.raises(ValueError, match="times must not be missing"):
        occurrences([None], [])
    with pytest.raises(ValueError, match="hours must be positive"):
        occurrences([], [], hours=0)
    assert len(occurrences([], [])) == 0


@pytest.mark.parametrize(
    "window", [{"hours": "24h"}, {"hours": 1e12}, {"hours": math.nan}, {"lead_hours": -1e12}]
)
def test_lengths_that_are_none_are_refused(window):
    with pytest.raises(ValueError, match="hours must be positive and lead_hours finite"):
        occurrences(["2014-01-01"], ["2014-01-01"], **window)


def test_lengths_may_be_numpy_scalars_and_times_must_be_many():
    assert occurrences(["2014-01-01"], ["2014-01-01T23:59:59"], hours=np.float32(24)).tolist() == [1]
    with pytest.raises(TypeError, match="time must have one value for each sample, got '2014-01-01'"):
        occurrences("2014-01-01", [])
