import numpy as np
import pandas as pd
import pytest

from solartrack.features import complexity, physical
from solartrack.flares import (
    format_name,
    label,
    mcintosh,
    parse_names,
    read_flare_list,
    read_srs,
    scores,
    write_srs,
)
from solartrack.flares.events import EVENT_COLUMNS
from solartrack.flares.regions import SRS_COLUMNS
from solartrack.images import read_patch
from solartrack.simulate import flaring_patches


@pytest.fixture(scope="module")
def series():
    return flaring_patches(3, 60, 6, size=64)


def test_a_seed_gives_the_same_series_and_another_seed_another(series):
    again, other = flaring_patches(3, 60, 6, size=64), flaring_patches(4, 60, 6, size=64)
    pd.testing.assert_frame_equal(series.samples, again.samples)
    pd.testing.assert_frame_equal(series.events, again.events)
    np.testing.assert_array_equal(series.patches, again.patches)
    assert not np.array_equal(series.patches, other.patches)


def test_the_labels_are_those_of_the_events(series):
    assert {name: str(kind) for name, kind in series.events.dtypes.items()} == EVENT_COLUMNS
    made = label(series.samples.drop(columns="label"), series.events, covered=series.days)
    pd.testing.assert_series_equal(made["label"], series.samples["label"])
    assert 0.05 < series.samples["label"].mean() < 0.6


def test_samples_flare_as_often_as_their_probability_says():
    samples = flaring_patches(0, 400, 8, size=16).samples
    p, flared = samples["probability"].to_numpy(), samples["label"].to_numpy(int)
    assert ((p > 0) & (p <= 1)).all()
    for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 0.8), (0.8, 1.0)):
        chosen = (p > low) & (p <= high)
        error = np.sqrt((p * (1 - p))[chosen].sum()) / chosen.sum()
        assert abs(flared[chosen].mean() - p[chosen].mean()) < 4 * error


def test_probability_grows_with_complexity(series):
    samples = series.samples.sort_values("complexity")
    assert samples["probability"].is_monotonic_increasing


def test_no_choice_of_samples_beats_the_ceiling(series):
    p = series.samples["probability"].to_numpy()

    def expected(chosen):
        return p[chosen].sum() / p.sum() - (1 - p[chosen]).sum() / (1 - p).sum()

    rng = np.random.default_rng(0)
    assert series.ceiling == pytest.approx(max(expected(p >= at) for at in p))
    assert all(expected(p + rng.normal(0, 0.1, len(p)) > 0.2) <= series.ceiling for _ in range(20))


def test_flares_are_those_of_a_power_law_and_say_their_class_as_reports_do():
    events = flaring_patches(1, 300, 8, size=16).events
    assert events["flare_class"].str.fullmatch(r"[CM]\d\.\d|X\d+\.\d").all()
    assert (events["start"] < events["peak"]).all() and (events["peak"] < events["end"]).all()
    assert events["peak"].is_monotonic_increasing
    strong = (events["peak_flux"] >= 1e-5).mean()
    assert strong == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / len(events)))


def test_files_have_the_published_names_and_hold_the_fields(series, tmp_path):
    small = flaring_patches(0, 2, 2, size=64)
    paths = small.write(tmp_path, format_name)
    names = parse_names(paths)
    assert (names["trouble"] == "").all()
    assert names["region"].tolist() != [] and paths[0].parent.name == paths[0].name[:4]
    np.testing.assert_array_equal(names["time"], small.samples["time"])
    for path, patch in zip(paths, small.patches, strict=True):
        read = read_patch(path).array
        np.testing.assert_allclose(read, patch, atol=0.051)
        assert complexity(path).flux_unsigned == pytest.approx(np.abs(read.astype(float)).sum(), rel=1e-5)
    assert physical(paths[0]).flux_unsigned.to_value("Mx") > 1e20


def test_summaries_are_what_noaa_would_write(series, tmp_path):
    written = series.summaries
    assert {name: str(kind) for name, kind in written.dtypes.items()} == SRS_COLUMNS
    write_srs(written, tmp_path)
    read = read_srs(tmp_path)
    assert len(read.troubles) == 0
    pd.testing.assert_frame_equal(read.regions.assign(file=""), written)
    own = written[["region", "time"]].sort_values(["region", "time"], ignore_index=True)
    midnight = series.samples[["region", "time"]].assign(time=series.samples["time"].dt.floor("D"))
    pd.testing.assert_frame_equal(own, midnight.astype({"region": "int32"}))


def test_summaries_do_not_depend_on_the_size_of_the_patches_and_know_nothing_of_later_hours():
    young = {"morning": 0, "evening": 0}
    for seed in range(8):
        small, large = (flaring_patches(seed, 1, 4, size=size).summaries for size in (32, 64))
        pd.testing.assert_frame_equal(small, large)
        evening = flaring_patches(seed, 1, 4, size=32, start="2014-02-01T18:00:00").summaries
        assert (evening["time"].dt.hour == 0).all()
        for name, rows in (("morning", small), ("evening", evening)):
            young[name] += rows["area"].fillna(0).iloc[0]
    # That of the evening's patches is the state of 00:00, eighteen hours younger: less flux has emerged.
    assert young["evening"] < young["morning"]


def test_classes_of_summaries_are_those_that_occur_on_the_real_sun(series):
    spots = series.summaries[series.summaries["section"] == "I"]
    assert set(spots["mcintosh"]) <= set(mcintosh.default_rates().counts["mcintosh"])
    assert spots["area"].between(10, 3000).all() and spots["extent"].between(1, 25).all()
    bipolar = ~spots["mcintosh"].str[0].isin(["A", "H"])
    assert (bipolar == spots["mag_class"].str.startswith("Beta")).all()


def test_the_forecast_from_text_beats_persistence_on_simulated_summaries():
    made = flaring_patches(2, 150, 8, size=16)
    known = scores.known_forecasts(
        made.samples, read_flare_list(made.events), made.summaries, threshold="C1.0", hours=24
    ).dropna()
    label_ = made.samples["label"].loc[known.index].astype(bool)
    best = {name: scores.threshold_curve(label_, known[name])["tss"].max() for name in known}
    assert best["persistence"] < best["text"] < made.ceiling


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 0, "n_regions": 0}, "n_regions must be a positive integer, got 0"),
        ({"seed": 0, "size": 8}, "size must be an integer from 16 to 600, got 8"),
        ({"seed": 0, "start": "yesterday"}, "start must be ISO 8601"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        flaring_patches(**arguments)
