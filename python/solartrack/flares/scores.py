"""How good forecasts of flares are: scores with intervals, curves, and the baselines to beat.

Everywhere, labels are 1 (an event), 0 or missing (unknown: left out and counted), a probability that is at
least the threshold is a forecast of an event, and intervals are percentiles of a bootstrap that draws whole
groups (regions) with replacement, because the samples of a region are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import as_count
from solartrack.flares._baselines import climatology, cycle_phase, known_forecasts, persistence
from solartrack.flares._contingency import contingency_scores
from solartrack.flares._curves import choose_threshold, economic_value, reliability_curve, threshold_curve
from solartrack.flares._labelled import as_labels, as_level, as_seed, refuse_other_index
from solartrack.flares._report import Report
from solartrack.flares._resampling import Interval
from solartrack.flares._scoring import (
    Scores,
    brier_decomposition,
    compare_forecasts,
    score_forecast,
    score_forecasts,
)

__all__ = [
    "Interval",
    "Report",
    "Scores",
    "brier_decomposition",
    "choose_threshold",
    "climatology",
    "compare_forecasts",
    "contingency_scores",
    "cycle_phase",
    "economic_value",
    "evaluate",
    "known_forecasts",
    "persistence",
    "reliability_curve",
    "score_forecast",
    "score_forecasts",
    "threshold_curve",
]


def evaluate(
    forecasts: pd.DataFrame,
    *,
    threshold: float | Mapping[str, float],
    groups: str | None = "region",
    baselines: Mapping[str, ArrayLike] | None = None,
    base_rate: float | None = None,
    by: Mapping[str, ArrayLike] | None = None,
    name: str = "forecast",
    bins: int | None = 10,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Report:
    """Score a forecast beside its baselines.

    Parameters
    ----------
    forecasts : pandas.DataFrame
        A row for each sample, with ``label`` (1, 0 or missing, where it is not known: left out and counted)
        and ``probability``.
    threshold : float or mapping of str to float
        Probability from which an event is forecast, for all or for each forecast by its name, those of the
        baselines included. Choose it on validation data: `choose_threshold`. A baseline that is not in the
        mapping takes that of the forecast.
    groups : str or None
        Column of the groups that the bootstrap draws, or None for no intervals.
    baselines : mapping of str to array_like of float, shape (n,)
        Probabilities of other forecasts for the same rows, such as `persistence`. Climatology is always
        there, as "climatology".
    base_rate : float, optional
        Climatology: the share of events in the training data (`climatology`). Without it, that of these
        samples.
    by : mapping of str to array_like, shape (n,)
        What to split the samples by, and the part that each belongs to: for example
        ``{"longitude": pd.cut(table["lon"].abs(), [0, 30, 60, 90]), "cycle": cycle_phase(table["time"]),
        "past day": np.where(persistence(table, events) == 0, "quiet", "a flare")}``. Missing is "unknown".
    name : str
        What to call the forecast.
    bins : int or None
        As for `score_forecast`.
    n_boot, level, seed : int, float, int
        Number of draws, level of the intervals, seed of the draws.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If a column is missing, a name comes twice, a Series has not the index of `forecasts`, and as for
        `score_forecast`.
    TypeError
        As for `score_forecast`.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> rng = np.random.default_rng(1)
    >>> label = rng.integers(0, 2, 200)
    >>> table = pd.DataFrame({"region": np.arange(200) // 4, "label": label})
    >>> table["probability"] = np.clip(0.2 + 0.6 * label + rng.normal(0, 0.3, 200), 0, 1)
    >>> report = flares.evaluate(table, threshold=0.5, n_boot=100)
    >>> print(report.text(["tss", "bss"]))
    200 samples, 104 events (0 without a known label left out)
    <BLANKLINE>
    forecast     n    events  tss                   bss
    forecast     200  104     0.704 [0.618, 0.776]  0.534 [0.416, 0.616]
    climatology  200  104     0.000 [0.000, 0.000]  0.000 [-0.019, 0.000]
    <BLANKLINE>
    difference              n    events  tss                   bss
    forecast - climatology  200  104     0.704 [0.618, 0.776]  0.534 [0.422, 0.618]
    <BLANKLINE>
    In brackets: 95% bootstrap intervals over 50 groups (region).
    """
    missing = [column for column in ("label", "probability", groups) if column and column not in forecasts]
    if missing:
        raise ValueError(f"forecasts must have the column {missing[0]!r}, got {list(forecasts.columns)}")
    others = dict(baselines or {})
    if name in (*others, "climatology") or "climatology" in others:
        raise ValueError(
            f"each forecast must have a name of its own, and 'climatology' is taken, got {[name, *others]}"
        )
    known, y = as_labels(forecasts["label"])
    rate = base_rate
    if rate is None:
        rate = float(y.mean()) if len(y) else 0.0  # of no sample, nothing is scored
    of_groups = None if groups is None else forecasts[groups]
    all_forecasts = {name: forecasts["probability"], **others, "climatology": rate}
    if isinstance(threshold, Mapping) and name in threshold:
        threshold = {**dict.fromkeys(all_forecasts, threshold[name]), **threshold}
    settings: dict[str, Any] = {
        "n_boot": as_count(n_boot, "n_boot"),
        "level": as_level(level),
        "seed": as_seed(seed),
    }
    scores, differences = score_forecasts(
        forecasts["label"], all_forecasts, threshold=threshold, base_rate=base_rate, groups=of_groups,
        bins=bins, **settings,
    )  # fmt: skip
    strata: dict[str, dict[str, Scores]] = {}
    for split, parts in (by or {}).items():
        refuse_other_index(forecasts["label"], parts, split)
        strata[split] = {
            part: score_forecast(
                forecasts.loc[rows, "label"], forecasts.loc[rows, "probability"],
                threshold=scores[name].threshold, base_rate=base_rate,
                groups=None if of_groups is None else of_groups[rows], bins=bins, **settings,
            )
            for part, rows in _parts(parts, split, len(known)).items()
        }  # fmt: skip
    curve = reliability_curve(
        forecasts["label"], forecasts["probability"], bins=bins, groups=of_groups, **settings
    )
    return Report(
        scores, differences, strata, curve,
        {"version": metadata.version("solartrack"), "groups": groups, **settings},
    )  # fmt: skip


def _parts(parts: ArrayLike, split: str, n: int) -> dict[str, NDArray[np.bool_]]:
    """Rows of each part, in order of their names, or of the categories."""
    column = pd.Series(parts).reset_index(drop=True)
    if len(column) != n:
        raise ValueError(f"{split} must be as long as the forecasts, got {len(column)} for {n} rows")
    names = (
        column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.dropna().unique()
    )
    if not isinstance(column.dtype, pd.CategoricalDtype):
        try:
            names = sorted(names)
        except TypeError:  # numbers and texts
            names = sorted(names, key=str)
    rows: dict[str, NDArray[np.bool_]] = {}
    for one in names:
        chosen = (column == one).to_numpy(dtype=bool, na_value=False)
        rows[str(one)] = rows.get(str(one), False) | chosen
    if column.isna().any():
        rows["unknown"] = rows.get("unknown", np.zeros(n, dtype=bool)) | column.isna().to_numpy()
    return {part: chosen for part, chosen in rows.items() if chosen.any()}
