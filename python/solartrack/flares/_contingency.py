"""Scores of contingency tables: from four counts, with the reason where one is undefined."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CONTINGENCY_SCORES", "contingency_scores", "ratio", "scores_of", "why_undefined"]

CONTINGENCY_SCORES = (
    "tpr", "tnr", "fpr", "precision", "far", "accuracy", "tss", "hss", "ets", "csi", "frequency_bias",
)  # fmt: skip

# They compare with chance: with one class of outcomes there is nothing to tell apart.
_SKILL = ("tss", "hss", "ets")
_NEED_EVENTS = ("tpr", "frequency_bias", *_SKILL)
_NEED_QUIET = ("tnr", "fpr", *_SKILL)


def contingency_scores(tp: ArrayLike, fn: ArrayLike, fp: ArrayLike, tn: ArrayLike) -> dict[str, Any]:
    """Scores of yes-or-no forecasts, from how often each combination occurred.

    Parameters
    ----------
    tp, fn, fp, tn : float or array_like of float
        Hits (event, forecast), misses (event, not forecast), false alarms, correct rejections; arrays of
        shapes that broadcast.

    Returns
    -------
    dict of str to float or ndarray
        ``tpr`` (hit rate, POD), ``tnr``, ``fpr`` (false alarm rate, POFD), ``precision``, ``far`` (false
        alarm ratio, 1 - precision), ``accuracy``, ``tss`` (true skill statistic, Peirce, Hanssen-Kuipers:
        tpr + tnr - 1), ``hss`` (Heidke), ``ets`` (equitable threat score, Gilbert), ``csi`` (critical
        success index, threat score), ``frequency_bias`` (forecast events over events). NaN where the
        denominator is 0; ``tss``, ``hss`` and ``ets`` also where there is only one class of outcomes, as
        they then say nothing about skill.

    Raises
    ------
    ValueError
        If a count is negative, NaN or infinite.

    References
    ----------
    Woodcock 1976, Mon. Weather Rev. 104, 1209; Bloomfield et al. 2012, ApJ 747, L41; Wilks 2011,
    "Statistical Methods in the Atmospheric Sciences", chapter 8.

    Examples
    --------
    >>> from solartrack.flares.scores import contingency_scores
    >>> scores = contingency_scores(tp=40, fn=10, fp=20, tn=130)
    >>> {name: round(float(scores[name]), 3) for name in ("tpr", "fpr", "tss", "hss")}
    {'tpr': 0.8, 'fpr': 0.133, 'tss': 0.667, 'hss': 0.625}
    """
    counts = np.broadcast_arrays(*(np.asarray(count, dtype=np.float64) for count in (tp, fn, fp, tn)))
    for name, count in zip(("tp", "fn", "fp", "tn"), counts, strict=True):
        if not (np.isfinite(count) & (count >= 0)).all():
            raise ValueError(f"{name} must be counts, at least 0 and finite, got {count!r}")
    scores = scores_of(*counts)
    return scores if counts[0].ndim else {name: float(value) for name, value in scores.items()}


def scores_of(tp: Any, fn: Any, fp: Any, tn: Any) -> dict[str, NDArray[np.float64]]:
    events, quiet, forecast = tp + fn, fp + tn, tp + fp
    n = events + quiet
    by_chance = ratio(events * forecast, n)
    both = (events > 0) & (quiet > 0)
    tpr, tnr = ratio(tp, events), ratio(tn, quiet)
    hss = ratio(2 * (tp * tn - fn * fp), events * (fn + tn) + forecast * quiet)
    return {
        "tpr": tpr,
        "tnr": tnr,
        "fpr": ratio(fp, quiet),
        "precision": ratio(tp, forecast),
        "far": ratio(fp, forecast),
        "accuracy": ratio(tp + tn, n),
        "tss": tpr + tnr - 1,
        "hss": np.where(both, hss, np.nan),
        "ets": np.where(both, ratio(tp - by_chance, tp + fn + fp - by_chance), np.nan),
        "csi": ratio(tp, tp + fn + fp),
        "frequency_bias": ratio(forecast, events),
    }


def ratio(above: Any, below: Any) -> NDArray[np.float64]:
    """Quotient, NaN where `below` is 0."""
    over = np.asarray(above, dtype=np.float64)
    under = np.asarray(below, dtype=np.float64)
    out = np.full(np.broadcast_shapes(over.shape, under.shape), np.nan)
    np.divide(over, under, out=out, where=under > 0)
    return out


def why_undefined(name: str, tp: float, fn: float, fp: float, tn: float) -> str:
    """Why the score of that name is NaN for these counts."""
    n = tp + fn + fp + tn
    if not n:
        return "no sample has a known label"
    if name in _NEED_EVENTS and not tp + fn:
        return f"none of the {n:.0f} samples is an event"
    if name in _NEED_QUIET and not fp + tn:
        return f"all {n:.0f} samples are events"
    if name in ("precision", "far"):
        return "no probability reaches the threshold"
    return "there is neither an event nor a forecast of one"
