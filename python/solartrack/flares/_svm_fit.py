"""Fitting of support vector machines: rows, folds, pipelines, calibration."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import as_count, as_threads
from solartrack._optional import require
from solartrack._tables import as_times
from solartrack.flares import published
from solartrack.flares._labelled import as_codes, as_labels
from solartrack.flares.feature_sets import as_matrix, feature_names

__all__ = [
    "Rows", "calibrated", "calibrator_of", "fit", "fitted", "folds_of", "known_rows", "manifest",
    "pipeline_of", "published_scaler", "tss_of",
]  # fmt: skip

Floats = NDArray[np.float64]


class Rows(NamedTuple):
    """Rows with a known label."""

    known: NDArray[np.bool_]
    x: Floats
    y: NDArray[np.int64]
    groups: pd.Series
    times: Any


def known_rows(
    features: Any, labels: ArrayLike, groups: ArrayLike, names: tuple[str, ...], which: str
) -> Rows:
    """Rows with a known label."""
    x = as_matrix(features, names, which)
    known, y = as_labels(labels)
    if len(known) != len(x):
        raise ValueError(f"labels must be as long as the features, got {len(known)} for {len(x)} rows")
    as_codes(groups, known)  # refuses missing ones and another length
    if len(np.unique(y)) < 2:
        found = f"all {len(y)} known labels are {y[0]:g}" if len(y) else "no label is known"
        raise ValueError(f"labels must be of both classes, {found}; take more regions or another threshold")
    times = features["time"][known] if isinstance(features, pd.DataFrame) and "time" in features else ()
    column = pd.Series(groups).reset_index(drop=True)
    return Rows(known, x[known], y.astype(np.int64), column[known].reset_index(drop=True), times)


def pipeline_of(
    kernel: str, solver: str, c: float, gamma: Any, components: int, transform: str, k: int, seed: int
) -> Any:
    require("sklearn", extra="flares", purpose="support vector machines")
    from sklearn.kernel_approximation import Nystroem
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, PowerTransformer
    from sklearn.svm import SVC, LinearSVC

    power = transform == "power"
    # Clipped, because the transform of a value far outside the range of training may be huge.
    steps: list[tuple[str, Any]] = [("scale", MinMaxScaler(clip=power))]
    if power:
        steps += [("power", PowerTransformer()), ("rescale", MinMaxScaler())]
    if solver == "exact":
        machine = SVC(C=c, kernel=kernel, gamma=gamma, class_weight="balanced", cache_size=500)
    else:
        # On 200 000 rows of a map of 100 dimensions the default, 1e-4, takes a third longer for the same TSS.
        machine = LinearSVC(C=c, class_weight="balanced", tol=1e-3, random_state=seed)
    if solver == "nystroem":
        width = 1.0 / k if gamma == "auto" else float(gamma)
        steps.append(("map", Nystroem(gamma=width, n_components=components, random_state=seed)))
    return Pipeline([*steps, ("machine", machine)])


def published_scaler(table: pd.DataFrame) -> Any:
    """A scaler with the published weights: columns of integers and of no range stay as they are."""
    from sklearn.frozen import FrozenEstimator
    from sklearn.preprocessing import MinMaxScaler

    names = feature_names("complexity")
    as_matrix(table, names, "complexity")
    weights = published.weights_of(table).loc[list(names)]
    low, width = weights["minimum"].to_numpy(), weights["range"].to_numpy()
    low, width = np.where(width > 0, low, 0.0), np.where(width > 0, width, 1.0)
    return FrozenEstimator(MinMaxScaler().fit(np.stack([low, low + width])))


def fitted(unfitted: Any, rows: Rows, chosen: NDArray[np.bool_]) -> Any:
    y = rows.y[chosen]
    if len(np.unique(y)) < 2:
        raise ValueError(
            "the training rows outside the validation groups are all of one class; take fewer groups or "
            "folds for validation"
        )
    # Not sklearn's clone, which would share the frozen scaler of "published" among the threads of the folds.
    machine = copy.deepcopy(unfitted)
    if "map" in machine.named_steps:
        most = int(chosen.sum())
        machine.set_params(map__n_components=min(machine.named_steps["map"].n_components, most))
    return machine.fit(rows.x[chosen], y)


def fit(
    unfitted: Any, rows: Rows, validation: int | Collection[Any], seed: int
) -> tuple[Any, NDArray[np.bool_], Floats]:
    """The machine, which rows were judged by one that did not know their group, and their decision values."""
    if isinstance(validation, str) or not isinstance(validation, int | Collection):
        raise TypeError(
            f"validation must be a number of folds or the groups to validate on, got {validation!r}"
        )
    if not isinstance(validation, int):
        judged = rows.groups.isin(list(validation)).to_numpy()
        if absent := set(validation) - set(rows.groups):
            raise ValueError(f"validation has groups without a row, such as {next(iter(absent))!r}")
        machine = fitted(unfitted, rows, ~judged)
        return machine, judged, machine.decision_function(rows.x[judged])
    everything = np.ones(len(rows.y), dtype=bool)
    parts = [everything, *folds_of(rows, validation, seed)]
    with ThreadPoolExecutor(as_threads(None)) as pool:  # both libraries release the lock while they train
        whole, *machines = pool.map(lambda part: fitted(unfitted, rows, part), parts)
    decisions = np.empty(len(rows.y))
    for machine, part in zip(machines, parts[1:], strict=True):
        decisions[~part] = machine.decision_function(rows.x[~part])
    return whole, everything, decisions


def folds_of(rows: Rows, folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Training rows of each fold."""
    require("sklearn", extra="flares", purpose="support vector machines")
    from sklearn.model_selection import StratifiedGroupKFold

    most = min(rows.groups[rows.y == label].nunique() for label in (0, 1))
    if not 2 <= as_count(folds, "folds") <= most:
        raise ValueError(
            f"the number of folds must be from 2 to the number of groups with each label, {most}, got {folds}"
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    codes = pd.factorize(rows.groups)[0]
    # It warns where a class has fewer rows than folds; each has as many groups, so it cannot.
    parts = []
    for train_rows, _ in splitter.split(rows.x, rows.y, codes):
        part = np.zeros(len(rows.y), dtype=bool)
        part[train_rows] = True
        parts.append(part)
    return parts


def tss_of(machine: Any, rows: Rows, test: NDArray[np.bool_]) -> float:
    forecast, y = machine.decision_function(rows.x[test]) > 0, rows.y[test]
    if len(np.unique(y)) < 2:
        raise ValueError("a fold is all of one class; take fewer folds")
    return float(forecast[y == 1].mean() - forecast[y == 0].mean())


def calibrator_of(calibration: str) -> Any:
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    if calibration == "isotonic":
        return IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    return LogisticRegression(C=1e6)


def calibrated(calibrator: Any, decisions: Floats) -> Floats:
    if not len(decisions):
        return np.empty(0)
    if hasattr(calibrator, "predict_proba"):
        probability: Floats = calibrator.predict_proba(decisions[:, None])[:, 1]
    else:
        probability = calibrator.predict(decisions)
    return probability


def manifest(rows: Rows) -> dict[str, Any]:
    digest = hashlib.sha256(np.ascontiguousarray(rows.x).tobytes())
    digest.update(rows.y.tobytes())
    digest.update("\n".join(map(str, rows.groups)).encode())
    times = as_times(rows.times) if len(rows.times) else np.array([], dtype="datetime64[us]")
    period = [str(times.min()), str(times.max())] if len(times) and not np.isnat(times).any() else []
    return {
        "rows": len(rows.y),
        "positives": int(rows.y.sum()),
        "unknown": int((~rows.known).sum()),
        "regions": int(rows.groups.nunique()),
        "period": period,
        "sha256": digest.hexdigest(),
    }
