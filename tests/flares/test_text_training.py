import numpy as np
import pandas as pd
import pytest

from solartrack.flares import mcintosh, read_srs, text, text_training, write_srs
from solartrack.flares.events import EVENT_COLUMNS, Events
from solartrack.sources._srs import regions_table

DAYS = pd.date_range("2014-01-01", "2014-03-01", unit="us")


def simulated(seed=0):
    """Regions of six days each, the larger the likelier to flare."""
    generator = np.random.default_rng(seed)
    rows, flares = [], []
    for region in range(11900, 11960):
        first, size = generator.integers(0, len(DAYS) - 8), generator.choice([0, 1, 2])
        for day in range(6):
            time = DAYS[first + day]
            rows.append({
                "region": region, "time": time, "section": "I", "lat": 10.0, "lon": -40.0 + 13 * day,
                "carrington_lon": 100.0, "area": 10 + 200 * size, "mcintosh": ("Axx", "Dai", "Fkc")[size],
                "extent": 1 + 9 * size, "n_spots": 1 + 15 * size,
                "mag_class": ("Alpha", "Beta-Gamma", "Beta-Gamma-Delta")[size],
            })  # fmt: skip
            for _ in range(generator.poisson((0.05, 0.5, 2)[size])):
                letter = generator.choice(list("CMX"), p=[0.5, 0.3, 0.2])
                flares.append(
                    (region, time + pd.Timedelta(minutes=generator.integers(1, 1439)), f"{letter}1.0")
                )
    table = pd.DataFrame(flares, columns=["region", "peak", "flare_class"])
    table["region"] = table["region"].astype("Int32")
    table["peak"] = table["peak"].astype("datetime64[us]")
    table["peak_flux"] = table["flare_class"].str[0].map({"C": 1e-6, "M": 1e-5, "X": 1e-4})
    table["start"] = table["end"] = table["day"] = table["peak"]
    for name, kind in EVENT_COLUMNS.items():
        if name not in table:
            table[name] = pd.Series(["" if kind == "str" else 0] * len(table), dtype=kind)
    return regions_table(rows), Events(table[list(EVENT_COLUMNS)], DAYS, pd.DataFrame())


@pytest.fixture(scope="module")
def trained():
    regions, events = simulated()
    return text_training.train(regions, events, validation=range(11950, 11960), n_boot=20)


def test_the_model_learns_that_complex_regions_flare(trained):
    regions, events = simulated(seed=1)
    samples = text.samples_of(regions)
    found = trained.predict(text.features(samples, regions, events))["C_24h"].to_numpy()
    complex_ = (regions["mcintosh"] == "Fkc").to_numpy()
    assert found[complex_].mean() > 0.6
    assert found[~complex_].mean() < 0.4


def test_every_input_has_a_threshold_from_the_validation_regions(trained):
    for regression in trained.regressions.values():
        assert ((regression.thresholds > 0) & (regression.thresholds < 1)).all()
    assert trained.card["validation_regions"] == 10
    assert trained.card["regions"] == 50


def test_regions_that_are_left_out_are_not_looked_at():
    regions, events = simulated()
    gone = range(11900, 11910)
    other = events.table.assign(
        flare_class=events.table["flare_class"].where(~events.table["region"].isin(gone), "X9.0"),
        # On the same day as before: the history of the whole disk has all flares, theirs, too.
    )
    models = [
        text_training.train(regions, read, left_out=gone, n_boot=2)
        for read in (events, events._replace(table=other))
    ]
    assert models[0].card == models[1].card
    for inputs in text.INPUTS:
        np.testing.assert_array_equal(
            models[0].regressions[inputs].coefficients, models[1].regressions[inputs].coefficients
        )


def test_training_is_the_same_for_the_same_seed(trained):
    regions, events = simulated()
    again = text_training.train(regions, events, validation=range(11950, 11960), n_boot=20)
    assert again.card == trained.card
    np.testing.assert_array_equal(again.full_disk, trained.full_disk)


def test_the_whole_disk_counts_flares_without_a_region():
    regions, events = simulated()
    nowhere = pd.DataFrame({"peak": DAYS[::2] + pd.Timedelta("6h"), "peak_flux": 1e-5, "flare_class": "M1.0"})
    more = events._replace(table=pd.concat([events.table, nowhere], ignore_index=True))
    day = pd.DataFrame({"time": [DAYS[0]], **dict.fromkeys(text.TARGETS, 0.2)})
    found = [
        text.full_disk(day, model=text_training.train(regions, read, n_boot=2)).loc[0]
        for read in (events, more)
    ]
    assert found[1]["C_24h"] > found[0]["C_24h"] + 0.05


def test_too_few_events_are_said():
    regions, events = simulated()
    with pytest.raises(ValueError, match="no event of C_24h"):
        text_training.train(regions, events._replace(table=events.table[:0]))
    nothing = Events(events.table[:0], DAYS[:0], events.troubles)
    with pytest.raises(ValueError, match="no region of the summaries has hours whose flares are known"):
        text_training.train(regions, nothing)


def test_a_missing_feature_is_taken_to_be_the_mean():
    generator = np.random.default_rng(0)
    values = generator.normal(5, 2, (400, 3))
    labels = values[:, :1] > 5
    fitted = text_training.fit(values, labels, [1.0])
    lacking = values.copy()
    lacking[:, 1] = np.nan
    means = np.where(np.isnan(lacking), fitted.mean, lacking)
    np.testing.assert_allclose(fitted.probabilities(lacking), fitted.probabilities(means))


def test_the_command_makes_the_model_and_the_rates_from_files(tmp_path, capsys):
    regions, events = simulated()
    write_srs(regions, tmp_path / "srs")
    listed = events.table[["region", "start", "peak", "end", "flare_class"]]
    listed.to_csv(tmp_path / "flares.csv", index=False)
    split = tmp_path / "split"
    split.mkdir()
    for part, numbers in (("Train_Data", range(1900, 1940)), ("Validation_data", range(1940, 1950)),
                          ("Test_Data", range(1950, 1960))):  # fmt: skip
        (split / f"List_of_AR_in_{part}_by_AR.csv").write_text("\n".join(map(str, numbers)))
    text_training.main([
        "--regions", str(tmp_path / "srs"), "--flares", str(tmp_path / "flares.csv"), "--split", str(split),
        "--source", "simulated", "-o", str(tmp_path / "text.json"), "--rates", str(tmp_path / "rates.csv"),
    ])  # fmt: skip
    model = text.load(tmp_path / "text.json")
    assert model.card["source"] == "simulated"
    assert model.card["left_out_regions"] == 10
    rates = mcintosh.read_rates(tmp_path / "rates.csv")
    assert rates.probabilities(["Fkc"])["C_24h"].item() > rates.probabilities(["Axx"])["C_24h"].item()
    assert len(text.forecast(read_srs(tmp_path / "srs"), model=model)) >= 0
