import json
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack.errors import ModelError, SourceError, SourceWarning
from solartrack.flares import read_srs, text

DAY = pd.Timestamp("2014-01-07")
SUMMARY = """:Product: 0107SRS.txt
:Issued: {day:%Y %b %d} 0030 UTC
#
I.  Regions with Sunspots.  Locations Valid at 06/2400Z
Nmbr Location  Lo  Area  Z   LL   NN Mag Type
{rows}
IA. H-alpha Plages without Spots.  Locations Valid at 06/2400Z Jan
Nmbr  Location  Lo
{plages}
II. Regions Due to Return 07 Jan to 09 Jan
Nmbr Lat    Lo
None
"""
QUIET = "1945 N09W34   137  0010 Axx   01   01 Alpha"
STORMY = "1944 S09W06   109  1510 Fkc   33   66 Beta-Gamma-Delta"


def summary(day=DAY, rows=(STORMY, QUIET), plages="1943 S12W60   163"):
    return SUMMARY.format(day=day, rows="\n".join(rows) or "None", plages=plages or "None").encode()


def flares(*rows, days=None):
    """Events from (region, peak, class)."""
    from solartrack.flares.events import EVENT_COLUMNS, Events

    table = pd.DataFrame(rows, columns=["region", "peak", "flare_class"])
    table["peak"] = pd.to_datetime(table["peak"]).astype("datetime64[us]")
    table["region"] = table["region"].astype("Int32")
    table = table.assign(start=table["peak"], end=table["peak"], peak_flux=1e-5)
    table["peak_flux"] = [
        {"C": 1e-6, "M": 1e-5, "X": 1e-4}[one[0]] * float(one[1:]) for one in table.flare_class
    ]
    for name, kind in EVENT_COLUMNS.items():
        if name not in table:
            table[name] = pd.Series(["" if kind == "str" else 0] * len(table), dtype=kind)
    covered = pd.date_range(DAY - pd.Timedelta("5D"), DAY, unit="us") if days is None else days
    return Events(table[list(EVENT_COLUMNS)], covered, pd.DataFrame(columns=["file", "line", "trouble"]))


def one_feature(name, *, rows=None, events=None, time=DAY, region=11944):
    read = read_srs([summary()] if rows is None else rows)
    samples = pd.DataFrame({"region": [region], "time": [time]})
    return text.features(samples, read.regions, events)[name].item()


def test_letters_of_the_latest_summary_are_features():
    assert one_feature("zurich_F") == one_feature("penumbra_k") == one_feature("compactness_c") == 1
    assert one_feature("zurich_A") == one_feature("plage") == 0
    assert one_feature("magnetic_Beta-Gamma-Delta") == 1
    assert one_feature("log_area") == pytest.approx(np.log1p(151))
    assert one_feature("log_spots") == pytest.approx(np.log1p(66))
    assert one_feature("extent") == pytest.approx(3.3)


def test_a_plage_has_no_letters_no_area_and_no_spots():
    assert one_feature("plage", region=11943) == 1
    assert one_feature("log_area", region=11943) == one_feature("log_spots", region=11943) == 0
    assert one_feature("lat", region=11943) == pytest.approx(0.6)


def test_longitude_turns_with_the_sun_to_the_time_of_the_sample():
    assert one_feature("lon") == pytest.approx(6 / 60)
    assert one_feature("lon", time=DAY + pd.Timedelta("12h")) * 60 == pytest.approx(6 + 6.7, abs=0.1)


def test_change_since_the_day_before_is_a_feature():
    before = summary(DAY - pd.Timedelta("1D"), ["1944 S09E08   109  0500 Ekc   13   20 Beta-Gamma"])
    both = [before, summary()]
    assert one_feature("log_area_change", rows=both) == pytest.approx(np.log(151 / 51), abs=0.05)
    assert one_feature("zurich_change", rows=both) == 1
    assert one_feature("new", rows=both) == 0
    assert one_feature("days_seen", rows=both) == pytest.approx(1 / 7)
    assert one_feature("new") == one_feature("new_on_the_disk") == 1


def test_flares_before_the_sample_count_and_later_ones_do_not():
    events = flares(
        (11944, "2014-01-06 20:00", "C3.0"), (11944, "2014-01-07 00:00", "M1.0"),
        (11944, "2014-01-07 00:01", "X9.0"), (11945, "2014-01-06 23:00", "M2.0"),
        (None, "2014-01-04 00:00", "C1.0"),
    )  # fmt: skip
    assert one_feature("log_C_flares_6h", events=events) == pytest.approx(np.log1p(2))
    assert one_feature("log_M_flares_6h", events=events) == pytest.approx(np.log1p(1))
    assert one_feature("log_X_flares_96h", events=events) == 0
    assert one_feature("M_flare_recent_12h", events=events) == 1
    assert one_feature("X_flare_recent_12h", events=events) == 0
    assert one_feature("log_C_flares_on_the_disk_96h", events=events) == pytest.approx(np.log1p(4))


def test_without_events_the_history_is_unknown():
    assert np.isnan(one_feature("log_C_flares_6h"))


@pytest.mark.parametrize("time", [DAY - pd.Timedelta("1min"), DAY + pd.Timedelta("48h1min")])
def test_a_region_without_a_summary_of_the_last_48_hours_has_no_features(time):
    read = read_srs([summary()])
    table = text.features(pd.DataFrame({"region": [11944], "time": [time]}), read.regions, flares())
    assert table.isna().all(axis=None)
    assert text.default_model().predict(table).isna().all(axis=None)


def test_samples_keep_their_index_and_order():
    read = read_srs([summary()])
    samples = pd.DataFrame({"region": [11945, 11944, 77], "time": [DAY] * 3}, index=["b", "a", "z"])
    table = text.features(samples, read.regions)
    assert list(table.index) == ["b", "a", "z"]
    assert table["zurich_F"].tolist()[:2] == [0, 1]
    assert list(table.columns) == list(text.FEATURES)


@given(st.permutations(range(3)), st.integers(0, 47))
def test_order_of_the_summaries_does_not_matter(order, hours):
    days = [summary(DAY - pd.Timedelta(days=n), [f"1944 S09E{8 * n:02}   109  {500 + n:04} Ekc   13   20 Beta"])
            for n in range(3)]  # fmt: skip
    samples = pd.DataFrame({"region": [11944], "time": [DAY + pd.Timedelta(hours=hours)]})
    tables = [read_srs(days).regions, read_srs([days[n] for n in order]).regions.iloc[::-1]]
    pd.testing.assert_frame_equal(*(text.features(samples, table) for table in tables))


def test_columns_and_times_are_asked_for_by_name():
    read = read_srs([summary()])
    with pytest.raises(ValueError, match="samples must have the columns region, time; time is missing"):
        text.features(pd.DataFrame({"region": [1]}), read.regions)
    with pytest.raises(ValueError, match="a region and a time in every row"):
        text.features(pd.DataFrame({"region": [11944], "time": [pd.NaT]}), read.regions)
    with pytest.raises(TypeError, match="regions must be a pandas DataFrame, got Summaries"):
        text.features(pd.DataFrame({"region": [11944], "time": [DAY]}), read)
    with pytest.raises(ValueError, match="peak_flux is missing"):
        text.features(
            pd.DataFrame({"region": [11944], "time": [DAY]}),
            read.regions,
            pd.DataFrame({"region": [], "peak": []}),
        )


def test_a_complex_region_is_likelier_to_flare_than_a_quiet_one_and_a_plage():
    table = text.forecast(summary()).set_index("region")
    for name in text.TARGETS:
        assert table.loc[11944, name] > table.loc[11945, name] > 0
        assert table.loc[11944, name] > table.loc[11943, name] > 0
    assert table.loc[11944, "C_24h"] > 0.8
    assert table.loc[11945, "C_24h"] < 0.1
    assert (table["inputs"] == "summary").all()
    assert (table["time"] == DAY).all()
    assert len(table.attrs["model"]) == 64


def test_probabilities_agree_with_each_other():
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(0, 5, (500, len(text.FEATURES))), columns=list(text.FEATURES))
    for inputs in text.INPUTS:
        found = text.default_model().predict(table, inputs)
        assert found.ge(0).all(axis=None)
        assert found.le(1).all(axis=None)
        for hours in (24, 48):
            assert (found[f"C_{hours}h"] >= found[f"M_{hours}h"]).all()
            assert (found[f"M_{hours}h"] >= found[f"X_{hours}h"]).all()
        for letter in "CMX":
            assert (found[f"{letter}_48h"] >= found[f"{letter}_24h"]).all()


def test_what_is_known_is_used_and_said():
    days = [summary(DAY - pd.Timedelta("1D")), summary()]
    assert text.forecast(days)["inputs"].unique() == ["summary, evolution"]
    active = flares(*[(11944, f"2014-01-06 {hour:02}:00", "M1.0") for hour in range(0, 24, 3)])
    both = text.forecast(days, active)
    assert both["inputs"].unique() == ["summary, evolution, flares"]
    calm = text.forecast(days, flares())
    assert both.loc[0, "M_24h"] > calm.loc[0, "M_24h"]
    assert text.forecast([summary()], active)["inputs"].unique() == ["summary, flares"]


def test_a_summary_that_is_not_of_the_day_before_is_not_passed_over_in_silence():
    days = [summary(DAY - pd.Timedelta("3D")), summary()]
    with pytest.warns(SourceWarning, match=r"2014-01-06, the day before the last one, .*2014-01-04 is the"):
        assert text.forecast(days)["inputs"].unique() == ["summary"]


def test_reports_that_cover_a_part_of_the_four_days_are_used_with_a_word():
    short = flares(days=pd.DatetimeIndex(["2014-01-05", "2014-01-06"]))
    with pytest.warns(SourceWarning, match="2014-01-03, 2014-01-04: none are taken to have happened then"):
        assert text.forecast(summary(), short)["inputs"].unique() == ["summary, flares"]


def test_reports_that_do_not_cover_the_last_day_are_not_used():
    old = flares(days=pd.DatetimeIndex(["2014-01-03", "2014-01-04", "2014-01-05"]))
    with pytest.warns(SourceWarning, match="2014-01-06: the forecast is made without flares"):
        assert text.forecast(summary(), old)["inputs"].unique() == ["summary"]


def test_a_day_without_regions_has_an_empty_forecast():
    table = text.forecast(summary(rows=(), plages=""))
    assert len(table) == 0
    assert list(text.TARGETS) == [name for name in table if name in text.TARGETS]
    assert len(text.full_disk(table)) == 0


def test_a_forecast_for_a_time_far_from_the_summary_is_refused():
    with pytest.raises(
        ValueError, match="needs a summary of the 48 hours before; the last one is of 2014-01-07"
    ):
        text.forecast(summary(), time="2014-01-10")
    with pytest.raises(ValueError, match="there is none before it"):
        text.forecast(summary(), time="2014-01-06")
    with pytest.raises(SourceError, match="no Solar Region Summary"):
        text.forecast(b"nothing")


def test_a_row_that_lacks_a_value_still_has_a_forecast():
    with pytest.warns(SourceWarning, match="no magnetic class"):
        table = text.forecast(summary(rows=("1944 S09W06   109  1510 Fkc   33   66",)))
    assert table.loc[table["region"] == 11944, "C_24h"].item() > 0.5


def test_the_whole_disk_without_correction_is_one_minus_the_product():
    table = text.forecast(summary())
    disk = text.full_disk(table, corrected=False)
    assert disk["M_24h"].item() == pytest.approx(1 - (1 - table["M_24h"]).prod())
    corrected = text.full_disk(table)
    assert 0 < corrected["M_24h"].item() < 1
    assert corrected["time"].item() == DAY


def test_the_whole_disk_leaves_out_regions_without_a_probability():
    table = text.forecast(summary())
    lacking = pd.concat([table, table.assign(**dict.fromkeys(text.TARGETS, np.nan))], ignore_index=True)
    pd.testing.assert_frame_equal(text.full_disk(table), text.full_disk(lacking))


def test_a_model_survives_the_way_to_its_file_and_back(tmp_path):
    model = text.default_model()
    model.save(tmp_path / "model.json")
    again = text.load(tmp_path / "model.json")
    assert again.card == model.card
    table = text.forecast(summary(), model=tmp_path / "model.json")
    pd.testing.assert_frame_equal(table, text.forecast(summary()))
    assert table.attrs["model"] == again.sha256 == model.sha256


def test_the_card_says_what_the_model_was_trained_on_and_how_well_it_does():
    card = text.default_model().card
    assert card["samples"] > 10_000
    assert card["period"][0] < "1997"
    low, high = card["cross_validation"]["summary, evolution, flares"]["C_24h"]["tss"][1:]
    assert 0.4 < low < high < 0.7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"a": 1}), "is no model of flares from text"),
        (b"", "is no model"),
        (b"[1, 2]", "does not say that it is one"),
        (b'{"format": "another"}', "does not say that it is one"),
        (b"[" * 100_000, "is no model"),
        (b" " * (2**22 + 1), "too large"),
    ],
)
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "strange.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"strange\.json") as caught:
        text.load(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=99), "version 99"),
        (lambda d: d.pop("regressions"), "'regressions' is missing"),
        (lambda d: d["regressions"].pop("summary"), "'summary' is missing"),
        (lambda d: d["regressions"]["summary"]["mean"].pop(), "mean must be finite numbers of shape"),
        (lambda d: d["regressions"]["summary"]["scale"].__setitem__(0, 0), "scale must be positive"),
        (lambda d: d["regressions"]["summary"]["coefficients"][0].__setitem__(0, "a"), "damaged"),
        (lambda d: d["regressions"]["summary"]["features"].reverse(), "not those of this release"),
        (lambda d: d.update(targets=["C_24h"]), "targets must be"),
        (lambda d: d.update(full_disk=None), "damaged"),
        (lambda d: d["full_disk"][0].__setitem__(1, -1.0), "positive slopes"),
        (lambda d: d["regressions"]["summary"]["thresholds"].__setitem__(0, 7), "between 0 and 1"),
        (lambda d: d["regressions"]["summary"]["scale"].__setitem__(0, 1e-320), "scale must be positive"),
        (lambda d: d["regressions"]["summary"]["intercepts"].__setitem__(0, "1"), "must be numbers"),
        (lambda d: d["regressions"]["summary"]["intercepts"].__setitem__(0, True), "must be numbers"),
        (lambda d: d["regressions"]["summary"]["intercepts"].__setitem__(0, 10**400), "damaged"),
    ],
)
def test_a_model_that_was_changed_is_refused_with_what_is_wrong(tmp_path, change, message):
    path = tmp_path / "model.json"
    text.default_model().save(path)
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError) as caught:
        text.load(path)
    assert message in str(caught.value)


def test_predicting_asks_for_its_features_by_name():
    with pytest.raises(ValueError, match="lacks 1 of the 34 features of 'summary', 'lat' first"):
        text.default_model().predict(pd.DataFrame(columns=text.FEATURES).drop(columns="lat"), "summary")
    with pytest.raises(ValueError, match="inputs must be one of 'summary'"):
        text.default_model().predict(pd.DataFrame(columns=text.FEATURES), "images")


def test_numbers_of_four_digits_and_times_with_a_zone_are_understood():
    read = read_srs([summary()])
    events = flares((11944, "2014-01-06 20:00", "M3.0"))
    full = text.features(pd.DataFrame({"region": [11944], "time": [DAY]}), read.regions, events)
    short = events.table.assign(region=[1944])
    for samples in (
        pd.DataFrame({"region": [1944], "time": [DAY]}),
        pd.DataFrame({"region": ["11944"], "time": ["2014-01-07T01:00:00+01:00"]}),
        pd.DataFrame({"region": [11944.0], "time": pd.to_datetime(["2014-01-07T00:00Z"])}),
    ):
        pd.testing.assert_frame_equal(text.features(samples, read.regions, short), full)
    with pytest.raises(ValueError, match="regions of samples must be whole numbers"):
        text.features(pd.DataFrame({"region": [1944.5], "time": [DAY]}), read.regions)


def test_a_flare_is_not_known_before_the_second_of_its_peak():
    events = flares((11944, "2014-01-06 20:00:50", "M3.0"))
    early, late = (DAY - pd.Timedelta("4h") + pd.Timedelta(seconds=n) for n in (5, 60))
    rows = [summary(DAY - pd.Timedelta("1D"))]
    assert one_feature("any_M_24h", events=events, time=late, rows=rows) == 1
    assert one_feature("any_M_24h", events=events, time=early, rows=rows) == 0


def test_a_flare_with_a_class_alone_or_a_flux_in_32_bits_counts():
    events = flares((11944, "2014-01-06 20:00", "C1.0"))
    for table in (
        events.table.assign(peak_flux=np.nan),
        events.table.drop(columns="peak_flux"),
        events.table.assign(peak_flux=np.float32(1e-6)),
    ):
        assert one_feature("any_C_24h", events=table) == 1


def test_rows_of_summaries_survive_the_way_through_a_csv_file(tmp_path):
    read = read_srs([summary()])
    read.regions.to_csv(tmp_path / "regions.csv", index=False)
    again = pd.read_csv(tmp_path / "regions.csv")
    samples = text.samples_of(read.regions)
    pd.testing.assert_frame_equal(text.features(samples, again), text.features(samples, read.regions))


def test_flares_of_the_running_day_are_used_with_a_word():
    known = pd.date_range("2014-01-03", "2014-01-06", unit="us")
    events = flares((11944, "2014-01-07 08:00", "M1.0"), days=known)
    with pytest.warns(SourceWarning, match="no report of all of 2014-01-07"):
        noon = text.forecast(summary(), events, time="2014-01-07T12:00")
    assert noon["inputs"].unique() == ["summary, flares"]
    with pytest.warns(SourceWarning, match="no report of all of 2014-01-07"):
        calm = text.forecast(summary(), flares(days=known), time="2014-01-07T12:00")
    assert noon["M_24h"].max() > calm["M_24h"].max()


def test_tables_that_do_not_say_what_they_cover_are_refused():
    events = flares((11944, "2014-01-06 20:00", "C1.0"))
    with pytest.raises(TypeError, match="does not say on which days there were reports"):
        text.forecast(summary(), events.table)
    with pytest.raises(TypeError, match="does not say on which days there were summaries"):
        text.forecast(read_srs([summary()]).regions)


def test_a_forecast_that_was_a_csv_file_cannot_go_to_the_scoreboard(tmp_path):
    from solartrack.flares import scoreboard_forecast

    text.forecast(summary()).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(ValueError, match="not in its attrs, which a CSV file does not keep"):
        scoreboard_forecast(pd.read_csv(tmp_path / "f.csv"))
    with pytest.raises(ValueError, match=r"as solartrack\.flares\.forecast returns it; it lacks"):
        scoreboard_forecast(text.forecast(summary()).drop(columns="C_24h"))


def test_samples_are_the_rows_at_each_hour_within_the_limits():
    read = read_srs([summary()])
    samples = text.samples_of(read.regions, (0, 6))
    assert samples["region"].tolist() == [11943, 11944, 11945] * 2
    assert samples["time"].unique().tolist() == [DAY, DAY + pd.Timedelta("6h")]
    assert text.samples_of(read.regions, plages=False)["region"].tolist() == [11944, 11945]
    assert text.samples_of(read.regions, max_lon=30)["region"].tolist() == [11944]
    assert len(text.samples_of(read.regions, ())) == 0
