"""Support vector machines on many rows: the solvers for large data, and the exact one beside them.

With --benchmark-disable the tables are small.
"""

import os
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from solartrack.features import COMPLEXITY_NAMES, complexity_batch
from solartrack.flares.svm import train
from solartrack.simulate import flaring_patches

HELD = 0.2  # share of the regions that give the threshold


def simulated(rows, seed):
    """Features of simulated patches, and labels; beyond 20 000 rows the patches are noisy repetitions."""
    series = flaring_patches(seed, max(40, min(rows, 20_000) // 8), 8, size=48)
    features = pd.DataFrame(complexity_batch(series.patches), columns=list(COMPLEXITY_NAMES))
    rng = np.random.default_rng(seed)
    chosen = np.arange(rows) % len(features)
    table = features.iloc[chosen].reset_index(drop=True)
    table *= np.exp(rng.normal(0.0, 0.02, table.shape))
    p = series.samples["probability"].to_numpy()[chosen]
    return table, (rng.random(rows) < p).astype(int), series.samples["region"].to_numpy()[chosen]


def tss(model, test):
    features, labels, _ = test
    return balanced_accuracy_score(labels, model.predict(features), adjusted=True)


@pytest.mark.benchmark(group="svm-200000x29")
@pytest.mark.parametrize(("kernel", "solver"), [("rbf", "nystroem"), ("linear", "linear")])
def bench_train_many_rows(benchmark, kernel, solver):
    rows = 1_000 if benchmark.disabled else 200_000
    features, labels, groups = simulated(rows, 0)
    begin = time.perf_counter()
    model = benchmark.pedantic(
        train, (features, labels, groups), {"kernel": kernel, "solver": solver}, rounds=1, iterations=1
    )
    seconds = time.perf_counter() - begin
    assert model.settings["solver"] == solver and model.training["rows"] == rows
    assert tss(model, simulated(2_000, 1)) > 0.6
    if not benchmark.disabled and len(os.sched_getaffinity(0)) >= 2:
        assert seconds < 60.0, f"{seconds:.0f} s"


@pytest.mark.peer(solver=["exact"])
@pytest.mark.benchmark(group="svm-20000x29")
@pytest.mark.parametrize("solver", ["nystroem", "exact"])
def bench_train_exact_and_approximate(benchmark, solver):
    rows = 1_000 if benchmark.disabled else 20_000
    features, labels, groups = simulated(rows, 0)
    regions = np.unique(groups)
    settings = {"kernel": "rbf", "validation": list(regions[: int(HELD * len(regions))])}
    model = benchmark.pedantic(
        train, (features, labels, groups), {**settings, "solver": solver}, rounds=1, iterations=1
    )
    if solver == "exact":
        other = train(features, labels, groups, solver="nystroem", **settings)
        test = simulated(2_000 if benchmark.disabled else 20_000, 1)
        assert abs(tss(model, test) - tss(other, test)) < (0.05 if benchmark.disabled else 0.01)
