"""Scores of many tracks together, with bootstrap intervals over the tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import Float64Array, as_count
from solartrack._show import rows_html
from solartrack.metrics.single_track import Convention, TrackScores, score

__all__ = ["Estimate", "PooledScores", "pool"]


class Estimate(NamedTuple):
    """A mean and its bootstrap interval.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10]]
    >>> tracks = [(truth, truth), (truth, [[0, 0, 10, 10], [4, 0, 14, 10]])]
    >>> metrics.pool(tracks).over_tracks["ata"]
    Estimate(value=0.9166666666666666, low=0.8333333333333333, high=1.0)
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class PooledScores:
    """The metrics of many tracks.

    Attributes
    ----------
    convention : str
        The convention that the tracks were scored with.
    n_tracks, n_frames : int
        How many were pooled.
    level, n_boot, seed : float, int, int
        Parameters of the bootstrap.
    over_tracks : dict of str to Estimate
        Mean over tracks: every track counts the same.
    over_frames : dict of str to Estimate
        Mean over frames: the metric of all frames together, so long tracks count more.
        Here, too, ``failures`` is the number per track.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10]]
    >>> tracks = [(truth, truth), (truth, [[0, 0, 10, 10], [4, 0, 14, 10]])]
    >>> pooled = metrics.pool(tracks)
    >>> pooled.n_tracks, pooled.n_frames, round(pooled.over_frames["ata"].value, 3)
    (2, 4, 0.917)
    """

    convention: Convention
    n_tracks: int
    n_frames: int
    level: float
    n_boot: int
    seed: int
    over_tracks: dict[str, Estimate]
    over_frames: dict[str, Estimate]

    def as_dict(self) -> dict[str, str | int | float]:
        """Everything as one flat row of a table: ``ata_over_tracks``, ``..._low``, ``..._high``."""
        out: dict[str, str | int | float] = {
            "convention": self.convention,
            "n_tracks": self.n_tracks,
            "n_frames": self.n_frames,
            "level": self.level,
            "n_boot": self.n_boot,
            "seed": self.seed,
        }
        for over, estimates in (("tracks", self.over_tracks), ("frames", self.over_frames)):
            for name, (value, low, high) in estimates.items():
                key = f"{name}_over_{over}"
                out |= {key: value, f"{key}_low": low, f"{key}_high": high}
        return out

    def _repr_html_(self) -> str:
        head = f"PooledScores: {self.convention}, {self.n_tracks} tracks, {self.n_frames} frames"
        rows = [(name, *e, *self.over_frames[name]) for name, e in self.over_tracks.items()]
        return rows_html(head, rows, ["", "over tracks", "low", "high", "over frames", "low", "high"])

    def __repr__(self) -> str:
        """Return one metric per line."""

        def cell(e: Estimate) -> str:
            return f"{e.value:8.4f} [{e.low:.4f}, {e.high:.4f}]"

        return "\n".join(
            [
                f"PooledScores: {self.convention}, {self.n_tracks} tracks, {self.n_frames} frames, "
                f"{self.level:.0%} bootstrap over tracks",
                f"  {'':<22}{'mean over tracks':<28}mean over frames",
                *(
                    f"  {name:<22}{cell(e):<28}{cell(self.over_frames[name])}"
                    for name, e in self.over_tracks.items()
                ),
            ]
        )


def pool(
    tracks: Iterable[TrackScores | tuple[ArrayLike, ArrayLike]],
    *,
    thresholds: float | Sequence[float] | None = None,
    convention: Convention | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PooledScores:
    """Scores of many tracks together: mean over tracks and mean over frames.

    The mean over frames is the metric of the frames of all tracks together. The intervals
    are percentiles of a bootstrap that draws whole tracks with replacement: the frames of
    a track stay together because they are not independent.

    Parameters
    ----------
    tracks : iterable of TrackScores or of (truth, boxes)
        All scored with the same convention and thresholds.
    thresholds, convention
        As for `score`; only for pairs.
    n_boot : int
        Number of bootstrap draws.
    level : float
        Confidence level of the intervals, between 0 and 1.
    seed : int
        Seed of the draws.

    Returns
    -------
    PooledScores
        With one track, each interval is its value.

    Raises
    ------
    ValueError
        If there is no track, conventions or thresholds differ, or an argument is out of range.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> metrics.pool([(truth, boxes), (truth, truth)], n_boot=100)
    PooledScores: standard, 2 tracks, 6 frames, 95% bootstrap over tracks
                            mean over tracks            mean over frames
      f_score@0.5             0.8333 [0.6667, 1.0000]     0.8333 [0.6667, 1.0000]
      ota@0.5                 0.6667 [0.3333, 1.0000]     0.6667 [0.3333, 1.0000]
      otp@0.5                 0.9545 [0.9091, 1.0000]     0.9636 [0.9091, 1.0000]
      deviation@0.5           0.9750 [0.9500, 1.0000]     0.9800 [0.9500, 1.0000]
      success@0.5             0.8333 [0.6667, 1.0000]     0.8333 [0.6667, 1.0000]
      area_f1                 0.9167 [0.8333, 1.0000]     0.9167 [0.8333, 1.0000]
      ata                     0.8745 [0.7489, 1.0000]     0.8745 [0.7489, 1.0000]
      pbm                     0.9583 [0.9167, 1.0000]     0.9583 [0.9167, 1.0000]
      success_auc             0.8733 [0.7467, 1.0000]     0.8733 [0.7467, 1.0000]
      normalized_precision    0.8350 [0.6700, 1.0000]     0.8350 [0.6700, 1.0000]
      failures                0.0000 [0.0000, 0.0000]     0.0000 [0.0000, 0.0000]
    """
    n_boot = as_count(n_boot, "n_boot")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, both excluded, got {level!r}")
    scores = [_scored(track, thresholds, convention) for track in tracks]
    _refuse_mixtures(scores)
    first, n = scores[0], len(scores)
    names = list(first.values)
    values = np.array([[s.values[name] for name in names] for s in scores])
    weights = np.array([[s.weights[name] for name in names] for s in scores], dtype=np.float64)
    # Row 0 is the sample itself, the others say how often each track was drawn.
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=n_boot)
    counts = np.vstack([np.ones(n), draws])
    over_tracks = counts @ values / n
    total = counts @ weights
    over_frames = np.divide(counts @ (values * weights), total, out=np.zeros_like(total), where=total > 0.0)
    return PooledScores(
        first.convention,
        n,
        sum(s.n_frames for s in scores),
        level,
        n_boot,
        seed,
        _estimates(names, over_tracks, level),
        _estimates(names, over_frames, level),
    )


def _scored(
    track: TrackScores | tuple[ArrayLike, ArrayLike],
    thresholds: float | Sequence[float] | None,
    convention: Convention | None,
) -> TrackScores:
    if isinstance(track, TrackScores):
        if thresholds is not None or convention is not None:
            raise ValueError("thresholds and convention are for (truth, boxes) pairs, got a TrackScores")
        return track
    truth, boxes = track
    return score(
        truth,
        boxes,
        thresholds=(0.5,) if thresholds is None else thresholds,
        convention="standard" if convention is None else convention,
    )


def _refuse_mixtures(scores: Sequence[TrackScores]) -> None:
    """Raise ValueError unless there are scores, all of one convention and the same thresholds."""
    if not scores:
        raise ValueError("tracks must have at least one track, got none")
    first = scores[0]
    for i, other in enumerate(scores):
        if other.convention != first.convention:
            raise ValueError(
                f"conventions must not be mixed: track 0 is {first.convention!r}, track {i} "
                f"{other.convention!r}; score all tracks with one"
            )
        if other.values.keys() != first.values.keys():
            raise ValueError(
                f"thresholds must not be mixed: track 0 has {list(first.values)}, track {i} "
                f"{list(other.values)}; score all tracks with the same"
            )


def _estimates(names: Sequence[str], table: Float64Array, level: float) -> dict[str, Estimate]:
    """Row 0 of a table, and the percentiles of the other rows."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(table[1:], (tail, 1.0 - tail), axis=0)
    return {
        name: Estimate(float(v), float(a), float(b))
        for name, v, a, b in zip(names, table[0], low, high, strict=True)
    }
