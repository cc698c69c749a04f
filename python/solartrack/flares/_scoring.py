"""Scores of forecasts with their bootstrap intervals, and differences of two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import as_count
from solartrack._show import rows_html
from solartrack.flares._contingency import CONTINGENCY_SCORES, why_undefined
from solartrack.flares._labelled import (
    as_codes,
    as_labels,
    as_level,
    as_probabilities,
    as_seed,
    as_share,
    refuse_other_index,
)
from solartrack.flares._resampling import Forecast, Interval, interval_of, resample

__all__ = ["Scores", "brier_decomposition", "compare_forecasts", "score_forecast", "score_forecasts"]

Floats = NDArray[np.float64]

_DECOMPOSITION = (
    "brier", "reliability", "resolution", "uncertainty", "within_bin_variance", "within_bin_covariance",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Scores:
    """Scores of one forecast, or differences of two.

    Attributes
    ----------
    values : dict of str to float
        NaN where a score is undefined.
    reasons : dict of str to str
        For each score that is NaN, why.
    intervals : dict of str to Interval
        Empty if no groups were given; NaN where a score is undefined, where there is only one group, and
        where fewer than half of the draws define it.
    n, n_events : int
        Samples that were scored, and events among them.
    n_unknown : int
        Samples without a known label, which were left out.
    n_groups : int
        Groups that were drawn from, 0 without groups.
    threshold, base_rate : float
        Probability from which an event is forecast, and that of the reference forecast of ``bss``.

    Examples
    --------
    >>> from solartrack.flares.scores import score_forecast
    >>> found = score_forecast([0, 0, 1, None], [0.1, 0.2, 0.4, 0.5], threshold=0.3)
    >>> found.n, found.n_events, found.n_unknown
    (3, 1, 1)
    """

    values: dict[str, float]
    reasons: dict[str, str]
    intervals: dict[str, Interval]
    n: int
    n_events: int
    n_unknown: int
    n_groups: int
    threshold: float
    base_rate: float

    @property
    def table(self) -> pd.DataFrame:
        """A row for each score: ``score``, ``value``, ``low``, ``high``, ``reason`` ("" if it is defined)."""
        none = Interval(math.nan, math.nan)
        return pd.DataFrame(
            [
                (name, value, *self.intervals.get(name, none), self.reasons.get(name, ""))
                for name, value in self.values.items()
            ],
            columns=["score", "value", "low", "high", "reason"],
        )

    def _repr_html_(self) -> str:
        head = f"Scores: {self.n} samples, {self.n_events} events, {self.n_unknown} unknown left out"
        return rows_html(head, self.table.itertuples(index=False), list(self.table))

    def __repr__(self) -> str:
        """Return one score per line."""
        lines = [f"Scores: {self.n} samples, {self.n_events} events, {self.n_unknown} unknown left out"]
        for name, value in self.values.items():
            interval = self.intervals.get(name)
            limits = f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else ""
            reason = f"  undefined: {self.reasons[name]}" if name in self.reasons else limits
            lines.append(f"  {name:<22}{value:8.4f}{reason}")
        return "\n".join(lines)


def score_forecast(
    label: ArrayLike,
    probability: ArrayLike,
    *,
    threshold: float,
    base_rate: float | None = None,
    groups: ArrayLike | None = None,
    bins: int | None = 10,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Scores of one forecast.

    Parameters
    ----------
    label : array_like, shape (n,)
        1 or True, 0 or False, or missing (NA, NaN, None) where it is not known.
    probability : array_like of float, shape (n,)
        0 to 1.
    threshold : float
        Probability from which an event is forecast, 0 to 1; choose it on validation data
        (`choose_threshold`).
    base_rate : float, optional
        Climatology, the reference of ``bss``: the share of events in the training data. Without it, that
        of these samples is taken, in each draw anew.
    groups : array_like, shape (n,), optional
        Region of each sample, for the intervals; without it there are none.
    bins : int or None
        For the decomposition: number of bins of equal width between 0 and 1, or None for one bin for each
        distinct probability.
    n_boot, level, seed : int, float, int
        Number of draws, level of the intervals, seed of the draws.

    Returns
    -------
    Scores
        At the threshold: those of `contingency_scores`. Of the probabilities: ``brier`` score; ``bss``,
        its skill against climatology; ``log_score``, minus the mean logarithm (natural) of the probability
        of what happened; ``auc``, the area under the ROC curve, ties counting half; and the parts of
        `brier_decomposition`.

    Raises
    ------
    ValueError
        If a label is something else, a probability of a known sample is missing or outside 0 to 1, a group
        is missing, lengths differ, two Series have not one index, or an argument is out of range.
    TypeError
        If labels or probabilities are text or masked arrays.

    Examples
    --------
    >>> from solartrack.flares.scores import score_forecast
    >>> found = score_forecast([0, 0, 1, 0, 1], [0.1, 0.2, 0.4, 0.5, 0.8], threshold=0.3)
    >>> {name: round(float(found.values[name]), 3) for name in ("tss", "brier", "auc")}
    {'tss': 0.667, 'brier': 0.14, 'auc': 0.833}
    """
    return score_forecasts(
        label, {"forecast": probability}, threshold=threshold, base_rate=base_rate, groups=groups, bins=bins,
        n_boot=n_boot, level=level, seed=seed,
    )[0]["forecast"]  # fmt: skip


def compare_forecasts(
    label: ArrayLike,
    probability: ArrayLike,
    other: ArrayLike,
    *,
    threshold: float | tuple[float, float],
    base_rate: float | None = None,
    groups: ArrayLike | None = None,
    bins: int | None = 10,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Differences of the scores of two forecasts of the same samples: `probability` minus `other`.

    Parameters
    ----------
    label, base_rate, groups, bins, n_boot, level, seed
        As for `score_forecast`. Both forecasts are scored on the same draws, so what a draw makes easy
        or hard for both does not widen the interval.
    probability, other : array_like of float, shape (n,)
        0 to 1.
    threshold : float or (float, float)
        One for both, or one for each.

    Returns
    -------
    Scores
        Its ``threshold`` is the first forecast's. A difference is NaN where either score is.

    Raises
    ------
    ValueError, TypeError
        As for `score_forecast`.

    Examples
    --------
    >>> from solartrack.flares.scores import compare_forecasts
    >>> label, ours, theirs = [0, 0, 1, 0, 1], [0.1, 0.2, 0.6, 0.4, 0.8], [0.4, 0.2, 0.5, 0.6, 0.7]
    >>> difference = compare_forecasts(label, ours, theirs, threshold=0.5)
    >>> round(float(difference.values["brier"]), 3)
    -0.098
    """
    first, second = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    return score_forecasts(
        label, {"forecast": probability, "other": other}, threshold={"forecast": first, "other": second},
        base_rate=base_rate, groups=groups, bins=bins, n_boot=n_boot, level=level, seed=seed,
    )[1]["other"]  # fmt: skip


def score_forecasts(
    label: ArrayLike,
    forecasts: Mapping[str, ArrayLike],
    *,
    threshold: float | Mapping[str, float],
    base_rate: float | None = None,
    groups: ArrayLike | None = None,
    bins: int | None = 10,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """Scores of several forecasts of the same samples, on the same draws.

    Parameters
    ----------
    label, base_rate, groups, bins, n_boot, level, seed
        As for `score_forecast`.
    forecasts : mapping of str to array_like of float, shape (n,)
        Probabilities by the name of the forecast; a single number is a constant forecast.
    threshold : float or mapping of str to float
        One for all, or one for each name.

    Returns
    -------
    scores, differences : dict of str to Scores
        Of each forecast, and of the first one minus each of the others (by the name of the other).

    Raises
    ------
    ValueError, TypeError
        As for `score_forecast`; the message names the forecast.

    Examples
    --------
    >>> from solartrack.flares.scores import score_forecasts
    >>> forecasts = {"new": [0.1, 0.2, 0.6, 0.4, 0.8], "climatology": 0.4}
    >>> scores, differences = score_forecasts([0, 0, 1, 0, 1], forecasts, threshold=0.5)
    >>> {name: round(float(one.values["brier"]), 3) for name, one in scores.items()}
    {'new': 0.082, 'climatology': 0.24}
    """
    if not forecasts:
        raise ValueError("forecasts must have at least one forecast, got none")
    if isinstance(threshold, Mapping) and not threshold.keys() <= forecasts.keys():
        raise ValueError(f"threshold must be for {[*forecasts]}, got {[*threshold]}")
    n_boot = as_count(n_boot, "n_boot")
    if bins is not None:
        bins = as_count(bins, "bins")
    level = as_level(level)
    seed = as_seed(seed)
    if base_rate is not None:
        base_rate = as_share(base_rate, "base_rate")
    thresholds = {name: _threshold(threshold, name) for name in forecasts}
    known, y = as_labels(label)
    for name, values in {"groups": groups, **forecasts}.items():
        refuse_other_index(label, values, name)
    probabilities = {name: as_probabilities(p, known, name) for name, p in forecasts.items()}
    codes, n_groups = as_codes(groups, known)
    sums = [
        Forecast(y, p, codes, n_groups, threshold=thresholds[name], base_rate=base_rate, bins=bins)
        for name, p in probabilities.items()
    ]
    drawn = n_boot if groups is not None and n_groups > 1 else 0
    about = {
        "n": len(y), "n_events": int(y.sum()), "n_unknown": len(known) - len(y),
        "n_groups": 0 if groups is None else n_groups,
        "base_rate": (float(y.mean()) if len(y) else math.nan) if base_rate is None else base_rate,
    }  # fmt: skip
    all_values = dict(zip(forecasts, resample(sums, n_groups, drawn, seed), strict=True))
    scores = {
        name: _summary(
            values,
            _reasons(values, y, probabilities[name], thresholds[name]),
            None if groups is None else level,
            about | {"threshold": thresholds[name]},
        )
        for name, values in all_values.items()
    }
    first, *others = forecasts
    differences = {
        name: _summary(
            {score: all_values[first][score] - all_values[name][score] for score in all_values[first]},
            scores[name].reasons | scores[first].reasons,
            None if groups is None else level,
            about | {"threshold": thresholds[first]},
        )
        for name in others
    }
    return scores, differences


def _summary(
    values: Mapping[str, Floats], reasons: dict[str, str], level: float | None, about: dict[str, Any]
) -> Scores:
    intervals = {} if level is None else {name: interval_of(all_, level) for name, all_ in values.items()}
    return Scores({name: float(all_[0]) for name, all_ in values.items()}, reasons, intervals, **about)


def _reasons(values: Mapping[str, Floats], y: Floats, p: Floats, threshold: float) -> dict[str, str]:
    yes = p >= threshold
    counts = [float(np.sum(of)) for of in (y * yes, y * ~yes, (1 - y) * yes, (1 - y) * ~yes)]
    reasons = {}
    for name, all_ in values.items():
        if not math.isnan(all_[0]):
            continue
        if name in CONTINGENCY_SCORES or not len(y):
            reasons[name] = why_undefined(name, *counts)
        elif name == "log_score":
            reasons[name] = "something happened whose probability was given as 0: the score is infinite"
        elif name == "bss":
            reasons[name] = f"climatology is perfect here: {why_undefined('tss', *counts)}"
        else:
            reasons[name] = why_undefined("tss", *counts)
    return reasons


def brier_decomposition(
    label: ArrayLike, probability: ArrayLike, *, bins: int | None = 10
) -> dict[str, float]:
    """Parts of the Brier score.

    Parameters
    ----------
    label, probability : array_like, shape (n,)
        As for `score_forecast`; unknown labels are left out.
    bins : int or None
        Number of bins of equal width between 0 and 1 (a probability on an edge belongs to the bin above,
        1 to the last one), or None for one bin for each distinct probability.

    Returns
    -------
    dict of str to float
        ``brier = reliability - resolution + uncertainty + within_bin_variance - within_bin_covariance``,
        exactly. The last two are 0 if no bin has different probabilities, as with ``bins=None``. NaN
        without known labels.

    Raises
    ------
    ValueError, TypeError
        As for `score_forecast`.

    References
    ----------
    Murphy 1973, J. Appl. Meteorol. 12, 595; Stephenson, Coelho & Jolliffe 2008, Weather Forecast. 23, 752,
    for the parts within the bins.

    Examples
    --------
    >>> from solartrack.flares.scores import brier_decomposition
    >>> parts = brier_decomposition([0, 0, 1, 1], [0.25, 0.25, 0.25, 0.75], bins=None)
    >>> {name: round(float(parts[name]), 4) for name in ("reliability", "resolution", "uncertainty")}
    {'reliability': 0.0208, 'resolution': 0.0833, 'uncertainty': 0.25}
    """
    values = score_forecast(label, probability, threshold=0.5, bins=bins).values
    return {name: values[name] for name in _DECOMPOSITION}


def _threshold(threshold: float | Mapping[str, float], name: str) -> float:
    if isinstance(threshold, Mapping):
        if name not in threshold:
            raise ValueError(f"threshold must have one for each forecast, got none for {name!r}")
        return as_share(threshold[name], f"threshold of {name!r}")
    return as_share(threshold, "threshold")
