"""Labels of 950 000 patches with 12 000 flares, and of a subset with a loop over the flares.

As many as in the published set, of 1665 regions. The limit is 10 s and 2 GB on one core.
"""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from solartrack.flares import flare_class, label, parse_names

N_PATCHES, N_FLARES, N_REGIONS = 950_000, 12_000, 1665
SUBSET = 50  # regions


def archive():
    """Names of half-hourly patches, and flares (a power law of peak fluxes)."""
    rng = np.random.default_rng(0)
    per_region = -(-N_PATCHES // N_REGIONS)
    day, half_hour, minute = (np.timedelta64(minutes, "m") for minutes in (1440, 30, 1))
    first = np.datetime64("2010-05-01", "us") + np.sort(rng.integers(0, 3100, N_REGIONS)) * day
    region = np.repeat(np.arange(N_REGIONS), per_region)[:N_PATCHES]
    stamps = pd.Series(first[region] + np.arange(N_PATCHES) % per_region * half_hour).dt.strftime(
        "%Y%m%d_%H%M%S"
    )
    names = [
        f"{1064 + number}_hmi.M_720s.{stamp}_TAI.1.magnetogram.fits"
        for number, stamp in zip(region, stamps, strict=True)
    ]
    of = rng.integers(0, N_REGIONS, N_FLARES)
    flux = 1e-6 / (1 - rng.random(N_FLARES))
    flares = pd.DataFrame({
        "region": 11064 + of,
        "peak": first[of] + rng.integers(0, per_region * 30, N_FLARES) * minute,
        "flare_class": flare_class(flux),
        "peak_flux": flux,
    })  # fmt: skip
    return names, flares


@pytest.fixture(scope="module")
def data():
    names, flares = archive()
    days = pd.date_range("2010-01-01", "2019-12-31")
    return names, flares, days


def by_loop(patches, flares):
    """Label each patch, flare by flare."""
    region, time = patches["region"].to_numpy(dtype=np.int64), patches["time"].to_numpy()
    label = np.zeros(len(patches), dtype=int)
    largest = np.zeros(len(patches))
    for flare in flares[flares["peak_flux"] >= 1e-6].itertuples():
        peak = np.datetime64(flare.peak)
        inside = (region == flare.region) & (time < peak) & (peak < time + np.timedelta64(24, "h"))
        label[inside] = 1
        largest[inside] = np.maximum(largest[inside], flare.peak_flux)
    return label, largest


@pytest.mark.benchmark(group="labels-950000-patches")
def bench_labels_from_names(benchmark, data):
    names, flares, days = data
    result = benchmark(lambda: label(parse_names(names), flares, covered=days))
    assert len(result) == N_PATCHES and result["label"].notna().all() and 0.01 < result["label"].mean() < 0.5


@pytest.mark.benchmark(group="labels-950000-patches")
def bench_labels_from_a_table(benchmark, data):
    names, flares, days = data
    patches = parse_names(names)
    result = benchmark(label, patches, flares, covered=days)
    tracemalloc.start()
    label(patches, flares, covered=days)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e9
    some = (patches["region"] < 11064 + SUBSET).to_numpy()
    assert (result["label"][some] == by_loop(patches[some], flares)[0]).all()


@pytest.mark.benchmark(group=f"labels-{SUBSET}-regions")
def bench_labels_of_a_subset(benchmark, data):
    names, flares, days = data
    patches = parse_names(names[: N_PATCHES * SUBSET // N_REGIONS])
    result = benchmark(label, patches, flares, covered=days)
    assert (result["label"] == by_loop(patches, flares)[0]).all()


@pytest.mark.peer
@pytest.mark.benchmark(group=f"labels-{SUBSET}-regions")
def bench_labels_of_a_subset_peer_loop_over_flares(benchmark, data):
    names, flares, _ = data
    patches = parse_names(names[: N_PATCHES * SUBSET // N_REGIONS])
    result, _ = benchmark.pedantic(by_loop, (patches, flares), rounds=2)
    assert 0 < result.sum() < len(result)
