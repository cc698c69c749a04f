import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.labels import label_one
from solartrack.errors import SourceWarning
from solartrack.flares import (
    Events,
    label,
    labels,
    parse_names,
    read_event_list,
    read_events,
    read_flare_list,
)
from solartrack.flares.labels import LABEL_COLUMNS, selection_report

DAYS = pd.date_range("2014-01-01", "2014-01-10")


def flares(*rows):
    """Events from (region, peak, class)."""
    table = pd.DataFrame(rows, columns=["region", "peak", "flare_class"])
    return table.astype({"region": "Int32", "peak": "datetime64[us]", "flare_class": "str"})


def at(*times, region=11944):
    return pd.DataFrame({"region": region, "time": pd.to_datetime(list(times), format="ISO8601")})


def labels_of(table):
    return [None if x is pd.NA else x for x in table["label"].tolist()]


@pytest.fixture(scope="module")
def event_list(shared):
    return read_event_list(shared / "data/arflares/eventList_2014.txt")


def golden(shared, hours):
    with gzip.open(shared / f"golden/labels_2014_C1.0_{hours}h.csv.gz", "rt") as file:
        rows = [line.strip().split(",") for line in file]
    return parse_names([name for name, _ in rows]), np.array([flare for _, flare in rows], dtype=object)


@pytest.mark.parametrize("hours", [12, 24])
def test_published_labels_are_reproduced_exactly(shared, event_list, hours):
    samples, expected = golden(shared, hours)
    with pytest.warns(SourceWarning, match="1 of the flares have no time of their peak"):
        got = label(samples, event_list, window=f"{hours}h", convention="published")
    assert len(got) == 6448
    assert (got["largest_class"].replace("", "0") == expected).all()
    assert (got["label"] == (expected != "0")).all()


def test_by_default_a_sample_is_compared_in_utc_and_the_end_of_the_list_is_unknown(shared, event_list):
    samples, expected = golden(shared, 24)
    with pytest.warns(SourceWarning):
        got = label(samples, event_list)
    known = got["label"].notna()
    changed = got[known & (got["largest_class"].replace("", "0") != expected)]
    # It peaked at 18:00 UTC, 35 s after this patch.
    assert changed["name"].tolist() == ["1959_hmi.M_720s.20140120_180000_TAI.1.magnetogram.fits"]
    times = samples["time"][~known]
    assert ((times < "2014-01-01") | (times > "2014-12-30T23:59:24")).all() and len(times) == 103


def test_with_all_flares_66_published_labels_turn(shared):
    samples, expected = golden(shared, 24)
    path = shared / "data/flares/hayes2021_regions_flares/final_flare_list_sc24.csv.gz"
    rows = pd.read_csv(path, dtype=str)
    # The peaks as this list gives them: a day early where they are past midnight.
    as_given = pd.DataFrame({
        "region": pd.to_numeric(rows["noaa_ar"].str.strip()),
        "peak": pd.to_datetime(rows["event_peaktime"]),
        "flare_class": rows["goes_class"],
    })  # fmt: skip
    got = label(samples, as_given, convention="published")
    turned = got["label"] != (expected != "0")
    assert turned.sum() == 66
    assert set(samples["region"][turned]) == {12253}
    assert label(samples, as_given)["label"].notna().all()

    with pytest.warns(SourceWarning, match="taken on the next day"):
        every = read_flare_list(path)
    right = label(samples, every, convention="published")["label"]
    assert (right != (expected != "0")).sum() == 88
    assert set(samples["region"][right != got["label"]]) == {12031, 12148}


def test_with_right_times_across_midnight_37_published_labels_change(shared):
    samples, expected = golden(shared, 24)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SourceWarning)  # of the reports, and of one peak that is not known
        reports = read_events(shared / "data/noaa/events/2014_events.tar.gz")
        got = label(samples, reports, convention="published")
    changed = samples[got["largest_class"].replace("", "0") != expected]
    # The report of 31 December is not in the file.
    before = changed[changed["time"] < "2014-12-30T12:00"]
    assert set(before["region"]) == {11944, 12031, 12148, 12205}
    assert len(before) == 37 and len(changed) == 45


instants = st.integers(0, 60).map(lambda h: np.datetime64("2014-01-01T00:00", "us") + np.timedelta64(h, "h"))
some_flares = st.lists(
    st.tuples(st.sampled_from([11944, 11950, None]), instants, st.sampled_from(["B9.0", "C1.0", "C9.9", "M1.0", "X10.0"])),
    max_size=12,
)  # fmt: skip
some_samples = st.lists(st.tuples(st.sampled_from([11944, 11950, 11960]), instants), max_size=6)


@given(
    some_samples,
    some_flares,
    st.integers(1, 50),
    st.sampled_from(["C1.0", "C9.9", "M1.0"]),
    st.sets(st.sampled_from(range(5))),
)
def test_labels_equal_the_plain_definition(samples, events, hours, threshold, days):
    covered = [np.datetime64("2014-01-01") + day for day in days]
    table = pd.DataFrame(samples, columns=["region", "time"]).astype(
        {"region": "int64", "time": "datetime64[us]"}
    )
    got = label(table, flares(*events), threshold=threshold, window=f"{hours}h", covered=covered)
    assert {name: str(got[name].dtype) for name in LABEL_COLUMNS} == LABEL_COLUMNS
    for row, (region, time) in zip(got.itertuples(index=False), samples, strict=True):
        expected = label_one(region, time, events, threshold, hours, set(covered))
        found = tuple(None if pd.isna(x) else x for x in row[2:])
        assert found == expected


@given(some_samples, some_flares, st.integers(1, 30), st.integers(1, 30))
def test_a_longer_window_never_loses_a_flare(samples, events, hours, more):
    table = pd.DataFrame(samples, columns=["region", "time"]).astype(
        {"region": "int64", "time": "datetime64[us]"}
    )
    short, long = (
        label(table, flares(*events), window=f"{h}h", convention="published") for h in (hours, hours + more)
    )
    assert (short["n_flares"] <= long["n_flares"]).all() and (short["label"] <= long["label"]).all()


def test_both_ends_of_the_window_are_open():
    events = flares((11944, "2014-01-02T12:00", "C1.0"))
    at_the_peak, a_window_before = "2014-01-02T12:00", "2014-01-01T12:00"
    between = ["2014-01-02T11:59:59.999999", "2014-01-01T12:00:00.000001"]
    got = label(at(at_the_peak, a_window_before, *between), events, covered=DAYS)
    assert labels_of(got) == [0, 0, 1, 1]


def test_of_several_flares_the_largest_counts_and_of_equal_ones_the_first():
    events = flares(
        (11944, "2014-01-01T03:00", "X9.3"),
        (11944, "2014-01-01T05:00", "X17"),
        (11944, "2014-01-01T07:00", "X17"),
    )
    (row,) = label(at("2014-01-01T00:00"), events, covered=DAYS).itertuples()
    assert (row.largest_class, row.hours_to_largest, row.n_flares) == ("X17", 5.0, 3)


def test_as_published_classes_are_compared_as_text():
    events = flares(
        (11944, "2014-01-01T03:00", "X10.0"),
        (11945, "2014-01-01T03:00", "X1.0"),
        (11946, "2014-01-01T03:00", "X5.0"),
    )
    samples = at(*["2014-01-01"] * 3, region=[11944, 11945, 11946])
    got = label(samples, events, threshold="M5.0", convention="published")
    assert labels_of(got) == [0, 0, 1]
    assert labels_of(label(samples, events, threshold="M5.0", covered=DAYS)) == [1, 1, 1]
    assert label(samples, events, convention="published")["largest_class"].tolist() == [
        "X10.",
        "X1.0",
        "X5.0",
    ]


def test_a_window_beyond_the_list_is_unknown():
    events = flares((11944, "2014-01-01T12:00", "C2.0"), (11950, "2014-01-03T12:00", "C2.0"))
    samples = at("2014-01-02T23:00", "2014-01-03T00:00", "2014-01-03T00:00:00.000001", region=11999)
    assert labels_of(label(samples, events)) == [0, 0, None]
    assert labels_of(label(samples, events, convention="published")) == [0, 0, 0]


def test_a_window_over_a_day_without_report_is_unknown():
    gap = DAYS.delete(4)  # 5 January
    samples = at(
        "2014-01-03T12:00", "2014-01-04T00:00", "2014-01-04T00:30", "2014-01-05T12:00", "2014-01-06T00:00"
    )
    assert labels_of(label(samples, flares(), covered=gap)) == [0, 0, None, None, 0]


def test_a_known_flare_is_a_yes_even_where_the_window_is_not_covered():
    events = flares((11944, "2014-01-10T20:00", "M1.0"))
    (row,) = label(at("2014-01-10T12:00"), events, covered=DAYS).itertuples()
    assert row.label == 1 and row.largest_class == "M1.0" and row.n_flares is pd.NA


def test_without_events_nothing_is_known():
    got = label(at("2014-01-01"), flares())
    assert labels_of(got) == [None]
    assert labels_of(label(at("2014-01-01"), flares(), covered=DAYS)) == [0]


def test_events_know_their_days():
    events = Events(flares((11944, "2014-01-05", "C1.0")), DAYS, pd.DataFrame())
    assert labels_of(label(at("2014-01-08", "2014-01-10"), events)) == [0, 0]
    assert labels_of(label(at("2014-01-08", "2014-01-10T01:00"), events)) == [0, None]


def test_a_region_without_flares_is_a_no_and_one_without_number_is_unknown():
    events = flares((None, "2014-01-02", "X1.0"), (11944, "2014-01-02", "M1.0"))
    samples = pd.DataFrame(
        {"region": pd.array([11999, None, 0], dtype="Int32"), "time": pd.Timestamp("2014-01-01T12:00")}
    )
    assert labels_of(label(samples, events, covered=DAYS)) == [0, None, None]
    assert labels_of(label(samples, events, convention="published")) == [0, None, None]


def test_a_sample_without_time_is_unknown_and_the_others_are_not():
    events = flares((11944, "2014-01-02", "M1.0"))
    for convention in ("default", "published"):
        got = label(at(pd.NaT, "2014-01-01T12:00"), events, covered=DAYS, convention=convention)
        assert labels_of(got) == [None, 1]


def test_numbers_of_four_and_of_five_digits_are_one_region():
    events = flares((1944, "2014-01-02", "M1.0"), (11950, "2014-01-02", "M1.0"))
    assert labels_of(label(at(*["2014-01-01T12:00"] * 2, region=[11944, 1950]), events, covered=DAYS)) == [
        1,
        1,
    ]


def test_two_samples_of_one_time_are_labelled_alike_and_nothing_else_is_lost():
    samples = at("2014-01-01T12:00", "2014-01-01T12:00", "2014-01-01").assign(name=["a", "b", "c"])
    samples.index = [7, 7, 3]
    before = samples.copy()
    got = label(samples, flares((11944, "2014-01-02", "M1.0")), covered=DAYS)
    pd.testing.assert_frame_equal(samples, before)
    pd.testing.assert_frame_equal(got[["region", "time", "name"]], before)
    assert got["hours_to_largest"].tolist()[:2] == [12.0, 12.0]


def test_an_empty_table_gives_an_empty_one_with_all_columns():
    got = label(at(), flares((11944, "2014-01-02", "M1.0")))
    assert got.empty and {name: str(got[name].dtype) for name in LABEL_COLUMNS} == LABEL_COLUMNS


def test_times_with_a_zone_and_times_as_text_are_utc():
    events = flares((11944, "2014-01-02", "M1.0"))
    zoned = at("2014-01-01T12:00").assign(time=pd.Timestamp("2014-01-01T14:00+02:00"))
    text = at("2014-01-01").assign(time="2014-01-01T12:00:00")
    assert [label(x, events, covered=DAYS)["hours_to_largest"][0] for x in (zoned, text)] == [12.0, 12.0]


def test_peak_flux_counts_where_there_is_one():
    events = flares((11944, "2014-01-02", "C7.0")).assign(peak_flux=1e-5)
    assert labels_of(label(at("2014-01-01T12:00"), events, threshold="M1.0", covered=DAYS)) == [1]


@pytest.mark.parametrize(
    "window", ["0h", "-24h", "24", "", "nan", "200000D", "1e30h", np.timedelta64("NaT"), "1ns"]
)
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValueError, match="window must be"):
        label(at("2014-01-01"), flares(), window=window)


def test_a_window_of_a_hundred_years_is_a_window():
    events = flares((11944, "2034-01-02", "M1.0"))
    assert labels_of(label(at("2014-01-01"), events, window="36525D")) == [1]


@pytest.mark.parametrize("window", [24, None, 24.0])
def test_a_window_without_unit_is_a_type_error(window):
    with pytest.raises(TypeError, match="window must be"):
        label(at("2014-01-01"), flares(), window=window)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": "C"}, "threshold must be"),
        ({"convention": "old"}, "convention must be"),
        ({"covered": ["yesterday"]}, "covered must be days"),
        ({"covered": [pd.NaT]}, "covered must be days"),
        ({"covered": 5}, "covered must be days"),
        ({"samples": at("2014-01-01").drop(columns="time")}, "samples must have one column 'time'"),
        ({"samples": at("2014-01-01").assign(label=1)}, "'label' already"),
        ({"samples": at("2014-01-01").assign(region="AR 11944")}, "regions of samples must be whole numbers"),
        ({"samples": at("2014-01-01").assign(region=11944.5)}, "regions of samples must be whole numbers"),
        ({"samples": at("2014-01-01").assign(region=np.inf)}, "regions of samples must be whole numbers"),
        ({"samples": at("2014-01-01").assign(region=1e300)}, "regions of samples must be whole numbers"),
        ({"events": flares((11944, "2014-01-02", "M1.0")).assign(peak_flux="x")}, "'peak_flux' of events"),
        ({"samples": at("2014-01-01").assign(region=True)}, "regions of samples must be whole numbers"),
        ({"samples": at("2014-01-01").assign(time=5)}, "'time' of samples must be times"),
        ({"samples": at("2014-01-01").assign(time=np.datetime64("12000-01-01", "s"))}, "after the year 9999"),
        ({"events": flares().drop(columns="peak")}, "events must have one column 'peak'"),
        ({"events": flares((11944, "2014-01-02", "Z1.0"))}, "flare class must be"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_what_was_wanted(change, message):
    given_ = {"samples": at("2014-01-01"), "events": flares((11944, "2014-01-02", "M1.0"))} | change
    with pytest.raises(ValueError, match=message):
        label(given_.pop("samples"), given_.pop("events"), **given_)


def test_what_is_no_table_is_a_type_error():
    with pytest.raises(TypeError, match="samples must be a table"):
        label([1], flares())
    with pytest.raises(TypeError, match="events must be a table"):
        label(at("2014-01-01"), "eventList_2014.txt")


def test_hours_since_the_last_flare_count_those_at_the_sample():
    events = flares(
        (11944, "2014-01-02T06:00", "C1.0"),
        (11944, "2014-01-02T09:00", "B9.0"),
        (11950, "2014-01-02T09:00", "C1.0"),
    )
    got = label(at("2014-01-02T05:00", "2014-01-02T06:00", "2014-01-02T12:00"), events, covered=DAYS)
    np.testing.assert_equal(got["hours_since_flare"].to_numpy(), [np.nan, 0.0, 6.0])


def test_a_selection_that_drops_what_follows_a_flare_drops_hard_negatives_only():
    events = flares((11944, "2014-01-03T00:00", "M1.0"))
    samples = at(
        "2014-01-01",
        "2014-01-02T12:00",
        "2014-01-03T12:00",
        "2014-01-04T00:00",
        "2014-01-05",
        "2014-01-10T06:00",
    )
    got = label(samples, events, threshold="M1.0", covered=DAYS)
    kept = ~((got["label"] == 0) & (got["hours_since_flare"] <= 24)).fillna(False)
    report = selection_report(got, kept)
    assert report["samples"].to_dict() == {
        "positive": 1, "hard negative": 2, "other negative": 2, "unknown": 1, "all": 6,
    }  # fmt: skip
    assert report["removed"].tolist() == [0, 2, 0, 0, 2]
    assert report["removed_share"]["hard negative"] == 1.0
    assert (report["samples"] == report["kept"] + report["removed"]).all()
    assert selection_report(got, kept, after="12h").loc["hard negative", "samples"] == 1


def test_the_share_of_no_samples_is_nan():
    report = selection_report(label(at(), flares()), np.array([], dtype=bool))
    assert report["removed_share"].isna().all() and (report["samples"] == 0).all()


@pytest.mark.parametrize("kept", [[True], [1, 1], [True, None], np.array([[True, False]])])
def test_a_mask_of_another_kind_is_refused(kept):
    got = label(at("2014-01-01", "2014-01-02"), flares(), covered=DAYS)
    with pytest.raises(ValueError, match=r"kept must be|must be 1-dimensional"):
        selection_report(got, kept)


def test_a_mask_of_other_rows_is_refused():
    got = label(at("2014-01-01", "2014-01-02"), flares(), covered=DAYS)
    with pytest.raises(ValueError, match="index of labels"):
        selection_report(got, pd.Series([True, False], index=[1, 0]))


def test_a_table_without_labels_has_no_report():
    with pytest.raises(ValueError, match="labels must have one column 'label'"):
        selection_report(at("2014-01-01"), [True])


def test_module_and_function_have_different_names():
    assert labels.label is label


def test_a_flare_without_a_flux_counts_by_its_class():
    events = flares((11944, "2014-01-05T05:00", "C2.0"), (11944, "2014-01-05T06:00", "M1.0"))
    events["peak_flux"] = [np.nan, 1e-5]
    got = label(at("2014-01-05"), events)
    assert got["n_flares"].tolist() == [2] and got["largest_class"].tolist() == ["M1.0"]
    got = label(at("2014-01-05"), events.assign(peak_flux=np.nan), threshold="M1.0")
    assert got["n_flares"].tolist() == [1]


@pytest.mark.parametrize("threshold", ["C1.0", "M1.0", "X1.0"])
def test_a_flux_of_single_precision_reaches_the_class_that_it_is(threshold):
    events = flares((11944, "2014-01-05T05:00", threshold))
    events["peak_flux"] = np.array([{"C": 1e-6, "M": 1e-5, "X": 1e-4}[threshold[0]]], dtype=np.float32)
    assert labels_of(label(at("2014-01-05"), events, threshold=threshold)) == [1]


def test_a_flux_below_the_threshold_by_a_digit_of_a_class_does_not_count():
    events = flares((11944, "2014-01-05T05:00", "C9.99"))
    assert labels_of(label(at("2014-01-05"), events, threshold="M1.0", covered=DAYS)) == [0]


def test_a_report_of_texts_that_are_no_numbers_is_refused():
    table = pd.DataFrame({"label": [0, 1], "hours_since_flare": ["soon", "5"]})
    with pytest.raises(ValueError, match="the column 'hours_since_flare' of labels must be numbers"):
        selection_report(table, [True, True])
    with pytest.raises(TypeError, match="label must be numbers, got string, such as 'yes'"):
        selection_report(table.assign(label="yes"), [True, True])
