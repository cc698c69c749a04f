"""The default forecast on the real Sun: the figures that the documentation states."""

import warnings

import numpy as np
import pandas as pd
import pytest

from solartrack import flares
from solartrack.flares import mcintosh, scores, text, text_training

HAYES = "data/flares/hayes2021_regions_flares"


@pytest.fixture(scope="module")
def events(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 75 maxima have the date of the day before
        read = flares.read_flare_list(shared / HAYES / "swpc_flarelist_19960731_20181231.csv.gz")
    return read._replace(table=read.table[read.table["peak"].notna()])


@pytest.fixture(scope="module")
def summaries(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seven malformed lines
        return flares.read_srs(sorted((shared / "data/noaa/srs_tarballs").glob("*.gz")))


@pytest.fixture(scope="module")
def official(shared, summaries, events):
    """Hourly samples of the published test regions within 60 degrees, with the probabilities."""
    test = flares.published.read_split(shared / "data/arflares").test
    rows = summaries.regions[summaries.regions["region"].isin(test)]
    samples = text.samples_of(rows, range(24), max_lon=60, max_lat=60, plages=False)
    return samples.join(text.default_model().predict(text.features(samples, summaries.regions, events)))


def threshold(name):
    regression = text.default_model().regressions["summary, evolution, flares"]
    return regression.thresholds[list(text.TARGETS).index(name)]


def test_the_published_test_regions_have_21240_hours(official):
    assert len(official) == 21_240
    assert official["region"].nunique() == 157


def test_default_forecast_beats_persistence_and_the_published_images_on_the_test_regions(official, events):
    samples = official[["region", "time"]]
    labels = flares.label(samples, events, threshold="C1.0", window="24h")["label"]
    table = samples.assign(label=labels, probability=official["C_24h"])
    before = scores.persistence(samples, events, threshold="C1.0")
    report = scores.evaluate(
        table, threshold={"forecast": threshold("C_24h"), "persistence": 0.5},
        baselines={"persistence": before}, n_boot=200,
    )  # fmt: skip
    print(report.text())
    assert report.scores["persistence"].values["tss"] == pytest.approx(0.475, abs=0.002)
    own = report.scores["forecast"]
    assert own.values["tss"] >= 0.55
    assert own.values["bss"] >= 0.35
    assert own.intervals["tss"].low > 0.45
    assert report.differences["persistence"].intervals["bss"].low > 0


def test_default_forecast_of_m_flares_beats_persistence_in_brier_skill(official, events):
    samples = official[["region", "time"]]
    labels = flares.label(samples, events, threshold="M1.0", window="24h")["label"]
    table = samples.assign(label=labels, probability=official["M_24h"])
    before = scores.persistence(samples, events, threshold="C1.0")
    report = scores.evaluate(
        table, threshold={"forecast": threshold("M_24h"), "persistence": 0.5},
        baselines={"persistence": before}, n_boot=200,
    )  # fmt: skip
    print(report.text())
    assert report.scores["persistence"].values["tss"] == pytest.approx(0.690, abs=0.002)
    assert report.scores["forecast"].values["bss"] > max(report.scores["persistence"].values["bss"], 0)


@pytest.fixture(scope="module")
def region_days(shared, events):
    """Region-days with the flares that begin on them; features at 00:00; trained before 2009."""
    table = pd.read_csv(shared / HAYES / "AR_flare_ml_23_24_evol.csv.gz", index_col=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a row without a number of spots
        regions = flares.read_region_table(shared / HAYES / "SRS_data_new_19960101_20181231.csv.gz").regions
    samples = pd.DataFrame({
        "region": table["noaa_ar"].astype(int),
        "time": pd.to_datetime(table["AR issue_date"]).dt.floor("D").astype("datetime64[us]"),
        "C": table["C+"] > 0,
        "M": table["M+"] > 0,
    }).reset_index(drop=True)  # fmt: skip
    values = text.features(samples, regions, events)
    learn, judge = (samples["time"] < "2009").to_numpy(), (samples["time"] >= "2010").to_numpy()
    assert judge.sum() == 11_916
    labels = samples[["C", "M"]].to_numpy()
    fitted = text_training.fit(values[learn].to_numpy(), labels[learn], [0.03, 0.03])
    return samples, regions, learn, judge, fitted.probabilities(values.to_numpy())


@pytest.mark.parametrize(("column", "least_tss", "least_bss"), [(0, 0.51, 0.29), (1, 0.665, 0.21)])
def test_a_model_of_one_cycle_forecasts_the_next(region_days, column, least_tss, least_bss):
    samples, _, learn, judge, found = region_days
    labels = samples["CM"[column]].to_numpy()
    chosen = scores.choose_threshold(labels[learn], found[learn, column])
    own = scores.score_forecast(
        labels[judge], found[judge, column], threshold=chosen, groups=samples["region"][judge], n_boot=200
    )
    print(own)
    assert own.values["tss"] >= least_tss
    assert own.values["bss"] >= least_bss


@pytest.mark.parametrize(("level", "tss"), [("C", 0.434), ("M", 0.546)])
def test_mcintosh_poisson_forecasts_of_one_cycle_score_in_the_next_as_measured(
    region_days, events, level, tss
):
    samples, regions, learn, judge, _ = region_days
    rates = mcintosh.fit(regions[regions["time"] < "2009"], events)
    found = rates.forecast(samples, regions)[f"{level}_24h"].to_numpy()
    labels = samples[level].to_numpy()
    known = ~np.isnan(found)
    chosen = scores.choose_threshold(labels[learn & known], found[learn & known])
    own = scores.score_forecast(labels[judge & known], found[judge & known], threshold=chosen)
    print(own)
    assert own.values["tss"] == pytest.approx(tss, abs=0.02)
