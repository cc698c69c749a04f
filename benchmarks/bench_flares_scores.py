"""Bootstrap over regions: 200 000 samples of 1500 regions, 20 scores at once.

The peer draws the same regions, puts their rows together and asks scikit-learn for three of the scores; it
makes 10 draws, where ours makes 1000 (`draws` in the extra information): compare the time of one draw.
"""

import numpy as np
import pytest
from sklearn import metrics

from solartrack.flares.scores import score_forecast

DRAWS, PEER_DRAWS = 1000, 10


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    region = rng.integers(1500, size=200_000)
    p = np.clip(rng.random(1500)[region] ** 3 + 0.1 * rng.normal(size=len(region)), 0.001, 0.999)
    return (rng.random(len(p)) < 0.5 * p).astype(np.int8), p, region


@pytest.fixture(scope="module")
def expected(sample):
    """Intervals of the peer's draws, to which both are held."""
    return peer(*sample)


def peer(y, p, region):
    rows = [np.flatnonzero(region == one) for one in dict.fromkeys(region.tolist())]
    values = []
    for chosen in np.random.default_rng(0).integers(len(rows), size=(PEER_DRAWS, len(rows))):
        at = np.concatenate([rows[i] for i in chosen])
        values.append(
            (
                metrics.balanced_accuracy_score(y[at], p[at] >= 0.3, adjusted=True),
                metrics.d2_brier_score(y[at], p[at]),
                metrics.roc_auc_score(y[at], p[at]),
            )
        )
    return np.quantile(values, (0.025, 0.975), axis=0)


@pytest.mark.benchmark(group="bootstrap-regions-200k")
def bench_scores(benchmark, sample, expected):
    y, p, region = sample
    few = score_forecast(y, p, threshold=0.3, groups=region, n_boot=PEER_DRAWS).intervals
    assert pytest.approx(expected) == np.array([few[name] for name in ("tss", "bss", "auc")]).T
    out = benchmark.pedantic(
        score_forecast, (y, p), {"threshold": 0.3, "groups": region, "n_boot": DRAWS}, rounds=3
    )
    assert out.intervals["tss"].low < out.values["tss"] < out.intervals["tss"].high
    benchmark.extra_info["draws"] = DRAWS


@pytest.mark.peer
@pytest.mark.benchmark(group="bootstrap-regions-200k")
def bench_loop(benchmark, sample, expected):
    assert benchmark.pedantic(peer, sample, rounds=1) == pytest.approx(expected)
    benchmark.extra_info["draws"] = PEER_DRAWS
