"""Curves of forecasts: over thresholds, over probabilities, over costs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from solartrack._arrays import as_count
from solartrack.flares._contingency import contingency_scores, why_undefined
from solartrack.flares._labelled import (
    as_codes,
    as_labels,
    as_level,
    as_probabilities,
    as_seed,
    refuse_other_index,
)
from solartrack.flares._resampling import bin_of, draws, interval_of

__all__ = ["choose_threshold", "economic_value", "reliability_curve", "threshold_curve"]


def threshold_curve(label: ArrayLike, probability: ArrayLike) -> pd.DataFrame:
    """Scores at every threshold: the ROC curve, and TSS and the others against the threshold.

    Parameters
    ----------
    label, probability : array_like, shape (n,)
        As for `score_forecast`; unknown labels are left out.

    Returns
    -------
    pandas.DataFrame
        ``threshold``, the counts ``tp``, ``fn``, ``fp``, ``tn``, and the scores of `contingency_scores`.
        Thresholds are infinity (no event is ever forecast) and then each probability, from the highest.
        ``tpr`` over ``fpr`` is the ROC curve; its area by the trapezoid rule is ``auc``.

    Raises
    ------
    ValueError, TypeError
        As for `score_forecast`.

    Examples
    --------
    >>> from solartrack.flares.scores import threshold_curve
    >>> threshold_curve([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8])[["threshold", "tpr", "fpr", "tss"]]
       threshold  tpr  fpr  tss
    0        inf  0.0  0.0  0.0
    1        0.8  0.5  0.0  0.5
    2        0.5  0.5  0.5  0.0
    3        0.4  1.0  0.5  0.5
    4        0.1  1.0  1.0  0.0
    """
    known, y = as_labels(label)
    refuse_other_index(label, probability, "probability")
    p = as_probabilities(probability, known, "probability")
    values, place = np.unique(-p, return_inverse=True)
    tp = np.concatenate([[0.0], np.cumsum(np.bincount(place, y, minlength=len(values)))])
    fp = np.concatenate([[0.0], np.cumsum(np.bincount(place, 1 - y, minlength=len(values)))])
    fn, tn = tp[-1] - tp, fp[-1] - fp
    table = {"threshold": np.concatenate([[math.inf], -values]), "tp": tp, "fn": fn, "fp": fp, "tn": tn}
    return pd.DataFrame(table | contingency_scores(tp, fn, fp, tn)).astype(
        dict.fromkeys(("tp", "fn", "fp", "tn"), np.int64)
    )


def choose_threshold(label: ArrayLike, probability: ArrayLike, score: str = "tss") -> float:
    """The threshold with the highest score: for validation data, never for the data that judge.

    Parameters
    ----------
    label, probability : array_like, shape (n,)
        As for `score_forecast`; unknown labels are left out.
    score : str
        One of ``tss``, ``hss``, ``ets``, ``csi``, ``accuracy``.

    Returns
    -------
    float
        Half-way between the lowest probability that is then a forecast of an event and the next lower
        one. Of thresholds with the same score the highest, at which at least one event is forecast.

    Raises
    ------
    ValueError
        If the labels are all of one class or all unknown, the score is not one of those above, and as for
        `score_forecast`.

    Examples
    --------
    >>> from solartrack.flares import choose_threshold
    >>> choose_threshold([0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.4, 0.45, 0.7, 0.9])
    0.575
    """
    allowed = ("tss", "hss", "ets", "csi", "accuracy")
    if score not in allowed:
        raise ValueError(f"score must be one of {', '.join(allowed)}, got {score!r}")
    curve = threshold_curve(label, probability)
    _, fn, _, tn = curve[["tp", "fn", "fp", "tn"]].iloc[0]
    if not fn or not tn:
        raise ValueError(f"a threshold cannot be chosen: {why_undefined('tss', 0, fn, 0, tn)}")
    values = curve["threshold"].to_numpy()[1:]
    best = int(np.nanargmax(curve[score].to_numpy()[1:]))
    at = float(values[best])
    below = float(values[best + 1]) if best + 1 < len(values) else at
    middle = (at + below) / 2
    return middle if below < middle else at  # the lower one, by rounding, would take its samples in


def reliability_curve(
    label: ArrayLike,
    probability: ArrayLike,
    *,
    bins: int | None = 10,
    groups: ArrayLike | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Observed frequency of events against the forecast probability.

    Parameters
    ----------
    label, probability, bins, n_boot, level, seed
        As for `score_forecast` and `brier_decomposition`.
    groups : array_like, shape (n,), optional
        Region of each sample; without it, each sample is drawn by itself, which makes the band too narrow
        where samples depend on each other.

    Returns
    -------
    pandas.DataFrame
        A row for each bin with samples: ``n``, ``n_events``, ``probability`` (mean of the forecasts),
        ``observed`` (share of events), ``low`` and ``high`` (bootstrap interval of ``observed``; NaN where
        fewer than half of the draws have samples in the bin, and with only one group). Forecasts are
        reliable where the interval includes ``probability``.

    Raises
    ------
    ValueError, TypeError
        As for `score_forecast`.

    Examples
    --------
    >>> from solartrack.flares.scores import reliability_curve
    >>> curve = reliability_curve([0, 0, 1, 0, 1, 1], [0.1, 0.1, 0.1, 0.7, 0.7, 0.7], bins=5)
    >>> curve[["n", "n_events", "probability", "observed"]].round(2)
       n  n_events  probability  observed
    0  3         1          0.1      0.33
    1  3         2          0.7      0.67
    """
    n_boot = as_count(n_boot, "n_boot")
    if bins is not None:
        bins = as_count(bins, "bins")
    level = as_level(level)
    seed = as_seed(seed)
    known, y = as_labels(label)
    for name, values in (("probability", probability), ("groups", groups)):
        refuse_other_index(label, values, name)
    p = as_probabilities(probability, known, "probability")
    codes, n_groups = as_codes(np.arange(len(known)) if groups is None else groups, known)
    used, inside = np.unique(bin_of(p, bins)[0], return_inverse=True)
    place, size = codes * len(used) + inside, n_groups * len(used)
    n, events, forecast = (
        np.bincount(place, weight, minlength=size).reshape(n_groups, len(used))
        for weight in (np.ones_like(y), y, p)
    )
    counts, happened = n.sum(axis=0), events.sum(axis=0)
    drawn = [
        np.divide(
            times @ events, times @ n, out=np.full((len(times), len(used)), np.nan), where=times @ n > 0
        )
        for times in draws(n_groups, n_boot if n_groups > 1 else 0, seed, len(used))
    ]
    shares = np.concatenate(drawn)
    limits = [interval_of(shares[:, i], level) for i in range(len(used))]
    return pd.DataFrame(
        {
            "n": counts.astype(np.int64),
            "n_events": happened.astype(np.int64),
            "probability": forecast.sum(axis=0) / counts,
            "observed": happened / counts,
            "low": [one.low for one in limits],
            "high": [one.high for one in limits],
        }
    )


def economic_value(
    label: ArrayLike, probability: ArrayLike, cost_loss: ArrayLike | None = None
) -> pd.DataFrame:
    """What forecasts are worth to users who can protect themselves at a cost.

    Parameters
    ----------
    label, probability : array_like, shape (n,)
        As for `score_forecast`; unknown labels are left out.
    cost_loss : array_like of float, shape (k,), optional
        Ratios of the cost of protection to the loss that it prevents, between 0 and 1, both excluded; by
        default 0.01, 0.02, ..., 0.99.

    Returns
    -------
    pandas.DataFrame
        ``cost_loss``; ``value`` for users who act when the probability is at least their ratio; and
        ``best`` for users who act at the best threshold for them (the envelope, known only afterwards).
        1 is a perfect forecast, 0 no better than always or never acting. The highest ``best`` is at the
        base rate and is the highest TSS. NaN where there is only one class of outcomes.

    Raises
    ------
    ValueError, TypeError
        As for `score_forecast`, or if a ratio is outside 0 to 1.

    References
    ----------
    Richardson 2000, Q. J. R. Meteorol. Soc. 126, 649.

    Examples
    --------
    >>> from solartrack.flares.scores import economic_value
    >>> economic_value([0, 0, 1, 0, 1], [0.1, 0.2, 0.4, 0.5, 0.8], cost_loss=[0.1, 0.4]).round(3)
       cost_loss  value   best
    0        0.1  0.000  0.667
    1        0.4  0.667  0.667
    """
    ratios = np.asarray(np.arange(1, 100) / 100 if cost_loss is None else cost_loss, dtype=np.float64)
    if ratios.ndim != 1 or not ((ratios > 0) & (ratios < 1)).all():
        raise ValueError(f"cost_loss must be a list of numbers between 0 and 1, got {cost_loss!r}")
    curve = threshold_curve(label, probability)
    events, quiet = curve["tp"].iloc[-1], curve["fp"].iloc[-1]
    if not events or not quiet:
        return pd.DataFrame({"cost_loss": ratios, "value": math.nan, "best": math.nan})
    rate = events / (events + quiet)
    climate = np.minimum(ratios, rate)
    false, hit = (
        np.concatenate([curve[name].to_numpy(), [1.0]])[:, None] for name in ("fpr", "tpr")
    )  # at the end, one who always acts
    value = (climate - false * ratios * (1 - rate) + hit * rate * (1 - ratios) - rate) / (
        climate - rate * ratios
    )
    # The last threshold, from the highest, that is still at least the ratio.
    at = np.searchsorted(-curve["threshold"].to_numpy(), -ratios, side="right") - 1
    return pd.DataFrame(
        {"cost_loss": ratios, "value": value[at, np.arange(len(ratios))], "best": value.max(axis=0)}
    )
