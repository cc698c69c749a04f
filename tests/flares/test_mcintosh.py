import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solartrack.flares import mcintosh, text
from solartrack.flares.mcintosh import McIntoshRates


def counts(*rows):
    return pd.DataFrame(rows, columns=list(mcintosh.COLUMNS))


OFTEN = counts(("", "Axx", 100_000, 0, 0, 0), ("Dai", "Dai", 50_000, 25_000, 5_000, 0),
               ("Cro", "Dai", 50_000, 75_000, 5_000, 0))  # fmt: skip


def test_a_common_class_has_the_rate_that_was_counted():
    rates = McIntoshRates(OFTEN).rates(["Dai", "Axx"])
    np.testing.assert_allclose(rates["C"], [1.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(rates["M"], [0.1, 0.0], atol=1e-4)


def test_probability_is_one_minus_that_of_no_flare():
    found = McIntoshRates(OFTEN).probabilities(["Dai"]).iloc[0]
    assert found["C_24h"] == pytest.approx(1 - np.exp(-1), abs=1e-4)
    assert found["C_48h"] == pytest.approx(1 - np.exp(-2), abs=1e-4)
    assert list(found.index) == list(text.TARGETS)


def test_evolution_knows_what_the_region_was_before():
    rates = McIntoshRates(OFTEN)
    np.testing.assert_allclose(rates.rates(["Dai", "Dai"], ["Dai", "Cro"])["C"], [0.5, 1.5], atol=1e-3)
    np.testing.assert_allclose(rates.rates(["Dai"], ["Fkc"])["C"], rates.rates(["Dai"])["C"])


def test_a_class_that_was_never_seen_has_the_mean_of_all_regions():
    np.testing.assert_allclose(McIntoshRates(OFTEN).rates(["Fkc"])["C"], 0.5)


def test_a_rare_class_is_drawn_towards_the_mean():
    rare = McIntoshRates(counts(("", "Axx", 1000, 0, 0, 0), ("", "Fkc", 1, 10, 0, 0)))
    assert 1 < rare.rates(["Fkc"])["C"].item() < 10


def test_plages_and_damaged_rows_have_no_rate():
    rates = McIntoshRates(OFTEN).rates(["", None, np.nan, "dai "])
    assert rates["C"].isna().tolist() == [True, True, True, False]


@given(st.lists(st.sampled_from(["Axx", "Dai", "Fkc", ""]), max_size=20))
def test_probabilities_are_between_0_and_1_and_agree_with_each_other(classes):
    found = McIntoshRates(OFTEN).probabilities(classes, classes).dropna()
    assert found.ge(0).all(axis=None)
    assert found.le(1).all(axis=None)
    assert (found["C_24h"] >= found["M_24h"]).all()
    assert (found["M_48h"] >= found["M_24h"]).all()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (counts().drop(columns="M"), "M is missing"),
        (counts(), "must have region-days"),
        (counts(("", "Axx", -1, 0, 0, 0)), "nothing negative"),
        (counts(("", "Axx", 0, 0, 0, 0)), "must have region-days"),
        (counts(("", "Axx", np.nan, 0, 0, 0)), "nothing negative or missing"),
        (counts(("", "Axx", 2.5, 0, 0, 0)), "whole numbers, got fractions"),
        (counts(("", "Axx", "many", 0, 0, 0)), "must be whole numbers"),
        (counts(("", "Axx", 1, 0, 0, 0), ("", "axx", 1, 0, 0, 0)), "one row for each pair of classes"),
    ],
)
def test_counts_that_are_none_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        McIntoshRates(table)


def test_classes_must_be_text_and_as_many_as_those_before():
    rates = McIntoshRates(OFTEN)
    with pytest.raises(TypeError, match="McIntosh classes as text"):
        rates.rates([1, 2])
    with pytest.raises(ValueError, match="previous must have a class for each of the 1 regions, got 2"):
        rates.rates(["Axx"], ["Axx", "Dai"])


def test_counts_survive_the_way_to_a_file_and_back(tmp_path):
    McIntoshRates(OFTEN).save(tmp_path / "rates.csv")
    pd.testing.assert_frame_equal(mcintosh.read_rates(tmp_path / "rates.csv").counts, OFTEN)


@pytest.mark.parametrize(
    "text_", ["", "a,b\n1,2\n", "previous,mcintosh,region_days,C,M,X\n,Axx,many,0,0,0\n"]
)
def test_a_file_that_is_no_table_of_counts_is_refused_by_name(tmp_path, text_):
    (tmp_path / "rates.csv").write_text(text_)
    with pytest.raises(ValueError, match=r"rates.csv is no table of flare counts"):
        mcintosh.read_rates(tmp_path / "rates.csv")


def test_fitting_counts_the_flares_of_the_day_by_class():
    from solartrack.flares.events import EVENT_COLUMNS, Events
    from solartrack.sources._srs import regions_table

    rows = [
        {"region": 11000, "time": f"2014-01-0{day}", "section": "I", "mcintosh": letters, "lat": 0, "lon": 0}
        for day, letters in ((1, "Cro"), (2, "Dai"), (3, "Dai"))
    ]
    regions = regions_table(row | {"time": pd.Timestamp(row["time"])} for row in rows)
    table = pd.DataFrame({
        "region": pd.array([11000, 11000, 11001], dtype="Int32"),
        "peak": np.array(["2014-01-02T12:00", "2014-01-02T13:00", "2014-01-01T12:00"], "datetime64[us]"),
        "flare_class": ["C2.0", "M1.0", "C9.0"],
        "peak_flux": [2e-6, 1e-5, 9e-6],
    })  # fmt: skip
    for name, kind in EVENT_COLUMNS.items():
        if name not in table:
            empty = pd.NaT if kind.startswith("datetime") else "" if kind == "str" else 0
            table[name] = pd.Series([empty] * 3, dtype=kind)
    covered = pd.date_range("2014-01-01", "2014-01-03", unit="us")
    rates = mcintosh.fit(regions, Events(table, covered, pd.DataFrame()))
    assert rates.counts.to_dict("records") == [
        {"previous": "", "mcintosh": "Cro", "region_days": 1, "C": 0, "M": 0, "X": 0},
        {"previous": "Cro", "mcintosh": "Dai", "region_days": 1, "C": 2, "M": 1, "X": 0},
        {"previous": "Dai", "mcintosh": "Dai", "region_days": 1, "C": 0, "M": 0, "X": 0},
    ]
    with pytest.raises(ValueError, match="none of 3 region-days"):
        mcintosh.fit(regions, Events(table[:0], covered[:0], pd.DataFrame()))


def test_the_shipped_rates_rise_with_the_complexity_of_the_class():
    found = mcintosh.default_rates().probabilities(["Axx", "Cso", "Dai", "Fkc"])
    assert found["C_24h"].is_monotonic_increasing
    assert found.loc[0, "C_24h"] < 0.05
    assert found.loc[3, "C_24h"] > 0.7


def test_classes_of_counts_may_be_in_any_case():
    rates = McIntoshRates(OFTEN.assign(mcintosh=OFTEN["mcintosh"].str.upper()))
    assert rates.rates(["Dai"])["C"].item() == McIntoshRates(OFTEN).rates(["dai"])["C"].item()


def test_a_table_without_a_column_is_refused_by_name():
    regions = pd.DataFrame({"region": [11000], "time": [pd.Timestamp("2014-01-01")]})
    with pytest.raises(ValueError, match="regions must have one column 'section'"):
        mcintosh.fit(regions, None)
    with pytest.raises(TypeError, match="regions must be a table"):
        mcintosh.default_rates().forecast(regions, None)
