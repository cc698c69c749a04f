"""The score report: a forecast beside its baselines, as table, text and JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from solartrack._files import write_bytes
from solartrack.flares._scoring import Scores

__all__ = ["Report"]

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

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> table = pd.DataFrame({"label": [1, 0, 1, 0], "probability": [0.9, 0.2, 0.4, 0.1]})
    >>> report = flares.evaluate(table, threshold=0.5, groups=None)
    >>> report.scores["forecast"].values["tss"]
    0.5
    >>> report.table.loc[report.table["score"] == "tss", ["forecast", "value"]]
                      forecast  value
    6                 forecast    0.5
    26             climatology    0.0
    46  forecast - climatology    0.5
    >>> report.to_json("report.json")
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

        Examples
        --------
        >>> import json
        >>> from pathlib import Path
        >>> import pandas as pd
        >>> from solartrack import flares
        >>> table = pd.DataFrame({"label": [1, 0, 1, 0], "probability": [0.9, 0.2, 0.4, 0.1]})
        >>> flares.evaluate(table, threshold=0.5, groups=None).to_json("report.json")
        >>> json.loads(Path("report.json").read_text())["scores"]["forecast"]["values"]["tss"]
        0.5
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

        Raises
        ------
        ValueError
            If there is no score of a name in `shown`.

        Examples
        --------
        >>> import pandas as pd
        >>> from solartrack import flares
        >>> table = pd.DataFrame({"label": [1, 0, 1, 0], "probability": [0.9, 0.2, 0.4, 0.1]})
        >>> report = flares.evaluate(table, threshold=0.5, groups=None)
        >>> print(report.text(["tpr", "tnr", "tss"]))
        4 samples, 2 events (0 without a known label left out)
        <BLANKLINE>
        forecast     n  events  tpr    tnr    tss
        forecast     4  2       0.500  1.000  0.500
        climatology  4  2       1.000  0.000  0.000
        <BLANKLINE>
        difference              n  events  tpr     tnr    tss
        forecast - climatology  4  2       -0.500  1.000  0.500
        """
        first = next(iter(self.scores))
        of = self.scores[first]
        unknown = [score for score in shown if score not in of.values]
        if unknown:
            raise ValueError(f"shown must be among {', '.join(of.values)}, got {unknown[0]!r}")
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
