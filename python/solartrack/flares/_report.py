"""The score report: a forecast beside its baselines, as table, text and JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._files import write_bytes
from solartrack.flares._curves import reliability_curve
from solartrack.flares._labelled import as_labels

if TYPE_CHECKING:
    from solartrack.flares.scores import Scores

__all__ = ["Report", "evaluate"]

_COLUMNS = (
    "forecast", "split", "part", "score", "value", "low", "high", "reason", "n", "n_events", "threshold",
)  # fmt: skip
_SHOWN = ("tpr", "tnr", "far", "tss", "hss", "bss", "auc")


@dataclass(frozen=True, repr=False)
class Report:
    """Scores of a forecast and of the baselines that it must beat.

    Attributes
    ----------
    scores : dict of str to Scores
        By the name of the forecast; the first is the one that was evaluated, the last "climatology".
    differences : dict of str to Scores
        The first forecast minus each of the others, on the same draws.
    strata : dict of str to dict of str to Scores
        Scores of the first forecast for parts of the samples: by what they were split, then by part.
    reliability : pandas.DataFrame
        `reliability_curve` of the first forecast.
    settings : dict of str to object
        ``version`` of solartrack, ``groups``, ``n_boot``, ``level``, ``seed``.
    """

    scores: dict[str, Scores]
    differences: dict[str, Scores]
    strata: dict[str, dict[str, Scores]]
    reliability: pd.DataFrame
    settings: dict[str, Any]

    @property
    def table(self) -> pd.DataFrame:
        """A row for each score of each forecast, difference and part of the samples.

        Columns: ``forecast`` ("a - b" for a difference), ``split`` and ``part`` ("" for all samples),
        ``score``, ``value``, ``low``, ``high``, ``reason`` ("" where it is defined), ``n``, ``n_events``,
        ``threshold``.
        """
        first = next(iter(self.scores))
        blocks = [(name, "", "", scores) for name, scores in self.scores.items()]
        blocks += [(f"{first} - {name}", "", "", scores) for name, scores in self.differences.items()]
        blocks += [
            (first, by, part, scores) for by, parts in self.strata.items() for part, scores in parts.items()
        ]
        return pd.concat(
            [
                scores.table.assign(
                    forecast=name,
                    split=split,
                    part=part,
                    n=scores.n,
                    n_events=scores.n_events,
                    threshold=scores.threshold,
                )
                for name, split, part, scores in blocks
            ],
            ignore_index=True,
        )[[*_COLUMNS]]

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write scores, reasons, differences, parts, the reliability curve and the settings.

        Parameters
        ----------
        path : path
            Replaced if it exists. What is undefined is null.
        """

        def plain(scores: Mapping[str, Scores]) -> dict[str, Any]:
            return {
                name: {
                    "n": one.n, "n_events": one.n_events, "n_unknown": one.n_unknown,
                    "n_groups": one.n_groups,
                    "threshold": one.threshold, "base_rate": _finite(one.base_rate),
                    "values": {score: _finite(value) for score, value in one.values.items()},
                    "intervals": {
                        score: [_finite(limit) for limit in limits] for score, limits in one.intervals.items()
                    },
                    "reasons": one.reasons,
                }
                for name, one in scores.items()
            }  # fmt: skip

        everything = {
            "settings": self.settings,
            "scores": plain(self.scores),
            "differences": plain(self.differences),
            "strata": {by: plain(parts) for by, parts in self.strata.items()},
            "reliability": [
                {name: _finite(value) for name, value in row.items()}
                for row in self.reliability.to_dict("records")
            ],
        }
        write_bytes(path, (json.dumps(everything, indent=1, allow_nan=False) + "\n").encode())

    def text(self, shown: Sequence[str] = _SHOWN) -> str:
        """The report as text.

        Parameters
        ----------
        shown : sequence of str
            Scores to show, by name.

        Returns
        -------
        str
            Tables of values with intervals below each other, undefined ones as "-", and the reasons for
            those. Lines are as long as they need to be.
        """
        first = next(iter(self.scores))
        of = self.scores[first]
        parts = [
            f"{of.n} samples, {of.n_events} events ({of.n_unknown} without a known label left out)",
            _grid("forecast", self.scores, shown),
        ]
        if self.differences:
            names = {f"{first} - {name}": scores for name, scores in self.differences.items()}
            parts.append(_grid("difference", names, shown))
        parts += [_grid(by, scores, shown) for by, scores in self.strata.items()]
        if of.intervals:
            parts.append(
                f"In brackets: {self.settings['level']:.0%} bootstrap intervals over {of.n_groups} groups "
                f"({self.settings['groups']})."
            )
        everything = [*self.scores.items()] + [
            (f"{by} {part}", scores) for by, found in self.strata.items() for part, scores in found.items()
        ]
        why = [
            f"{name}, {score}: {scores.reasons[score]}"
            for name, scores in everything
            for score in shown
            if score in scores.reasons
        ]
        return "\n\n".join([*parts, *(["Undefined:\n" + "\n".join(why)] if why else [])])

    def __repr__(self) -> str:
        """Return the text."""
        return self.text()


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
        If a column is missing, a name comes twice, and as for `score_forecast`.
    TypeError
        As for `score_forecast`.
    """
    from solartrack.flares.scores import score_forecast, score_forecasts  # which publishes what is here

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
    settings: dict[str, Any] = {"n_boot": n_boot, "level": level, "seed": seed}
    scores, differences = score_forecasts(
        forecasts["label"], all_forecasts, threshold=threshold, base_rate=base_rate, groups=of_groups,
        bins=bins, **settings,
    )  # fmt: skip
    strata: dict[str, dict[str, Scores]] = {}
    for split, parts in (by or {}).items():
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
        names = sorted(names)
    rows = {str(one): (column == one).to_numpy(dtype=bool, na_value=False) for one in names}
    if column.isna().any():
        rows["unknown"] = rows.get("unknown", np.zeros(n, dtype=bool)) | column.isna().to_numpy()
    return {part: chosen for part, chosen in rows.items() if chosen.any()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _grid(title: str, scores: Mapping[str, Scores], shown: Sequence[str]) -> str:
    def cell(one: Scores, score: str) -> str:
        value = one.values[score]
        if math.isnan(value):
            return "-"
        low, high = one.intervals.get(score, (math.nan, math.nan))
        value, low, high = (round(number, 3) + 0.0 for number in (value, low, high))  # no -0.000
        return f"{value:.3f}" if math.isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"

    rows = [[title, "n", "events", *shown]] + [
        [name, str(one.n), str(one.n_events), *(cell(one, score) for score in shown)]
        for name, one in scores.items()
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(field.ljust(width) for field, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
