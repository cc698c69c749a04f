"""Scores of probabilities, of the sample and of many draws of its groups at once.

Almost every score is a function of sums over the samples, such as the number of hits. They are added up
once for each group; a draw of groups is then a vector of counts, and the sums of many draws are one product
of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from solartrack.flares._contingency import ratio, scores_of

__all__ = ["Forecast", "Interval", "bin_of", "draws", "interval_of", "resample"]

Floats = NDArray[np.float64]
# Numbers held at once for a block of draws: 32 MB.
_BLOCK = 2**22


class Interval(NamedTuple):
    """Limits of a bootstrap interval; NaN where there is none.

    Examples
    --------
    >>> from solartrack.flares.scores import score_forecast
    >>> label, probability, region = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.4, 0.5, 0.8, 0.7], [1, 1, 2, 3, 4, 2]
    >>> found = score_forecast(label, probability, threshold=0.3, groups=region, n_boot=200)
    >>> interval = found.intervals["brier"]
    >>> interval.low < found.values["brier"] < interval.high
    True
    """

    low: float
    high: float


def interval_of(values: Floats, level: float) -> Interval:
    """Percentiles over the draws that define the score."""
    drawn = values[1:]
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(values[0]) or not len(drawn) or 2 * len(defined) < len(drawn):
        return Interval(math.nan, math.nan)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(defined, (tail, 1.0 - tail))
    return Interval(float(low), float(high))


def bin_of(p: Floats, bins: int | None) -> tuple[NDArray[np.intp], int]:
    """Bin of each probability, and the number of bins; without `bins`, one for each distinct value."""
    if bins is None:
        values, inside = np.unique(p, return_inverse=True)
        return inside.astype(np.intp), len(values)
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, p, side="right"), bins


def draws(n_groups: int, n_boot: int, seed: int, widest: int = 0) -> Iterator[Floats]:
    """Blocks of draws, shape (k, n_groups): how often each group is in each; the first is the sample itself.

    What is worked out for each draw has at most `widest` numbers.
    """
    yield np.ones((1, n_groups))
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // max(1, n_groups, widest))
    for start in range(0, n_boot, step):
        k = min(step, n_boot - start)
        chosen = rng.integers(n_groups, size=(k, n_groups)) + np.arange(k)[:, None] * n_groups
        yield np.bincount(chosen.ravel(), minlength=k * n_groups).reshape(k, n_groups).astype(np.float64)


def resample(
    forecasts: Sequence[Forecast], n_groups: int, n_boot: int, seed: int
) -> list[dict[str, NDArray[Any]]]:
    """Scores of each forecast, shape (1 + n_boot,): of the sample, then of each draw, the same for all."""
    widest = max(one.n_bins for one in forecasts)
    blocks = [[one.scores(times) for one in forecasts] for times in draws(n_groups, n_boot, seed, widest)]
    return [
        {name: np.concatenate([block[i][name] for block in blocks]) for name in blocks[0][i]}
        for i in range(len(forecasts))
    ]


class Forecast:
    """Sums over the groups of one forecast.

    Parameters
    ----------
    y, p : ndarray of float64, shape (n,)
        Labels 0 or 1, probabilities.
    codes : ndarray of int, shape (n,)
        Group of each sample, from 0.
    """

    def __init__(
        self,
        y: Floats,
        p: Floats,
        codes: NDArray[np.intp],
        n_groups: int,
        *,
        threshold: float,
        base_rate: float | None,
        bins: int | None,
    ) -> None:
        yes = p >= threshold
        with np.errstate(divide="ignore"):
            surprise = -np.log(np.where(y == 1, p, 1 - p))
        self.base_rate = base_rate
        self.infinite = not np.isfinite(surprise).all()  # an outcome that was said to be impossible
        columns = (
            y * yes, y * ~yes, (1 - y) * yes, (1 - y) * ~yes,
            (p - y) ** 2, np.zeros_like(y) if self.infinite else surprise, p**2, p * y,
        )  # fmt: skip
        self._sums = np.column_stack([np.bincount(codes, column, minlength=n_groups) for column in columns])
        bin_, self.n_bins = bin_of(p, bins)
        # One bin for each value can be many: sparse, as most groups have few of them.
        place = (codes, bin_)
        self._in_bin = [
            scipy.sparse.csr_array((weight, place), shape=(n_groups, self.n_bins))
            for weight in (np.ones_like(y), y, p)
        ]
        self._events, self._quiet = _ranked(y, p, codes, n_groups)

    def scores(self, times: Floats) -> dict[str, Floats]:
        """Scores of each draw, shape (k,); `times` has shape (k, n_groups)."""
        tp, fn, fp, tn, squares, surprise, p_squared, p_y = (times @ self._sums).T
        n = tp + fn + fp + tn
        rate = ratio(tp + fn, n)
        brier = ratio(squares, n)
        expected = rate if self.base_rate is None else self.base_rate
        reference = rate * (1 - expected) ** 2 + (1 - rate) * expected**2
        count, events, forecast = (self._over_bins(times, matrix) for matrix in self._in_bin)
        # Of each bin the square of the distance times its number, without a division by an empty bin's 0.
        observed, mean = ratio(events, count), ratio(forecast, count)
        reliability = ratio(np.nansum(count * (mean - observed) ** 2, axis=1), n)
        resolution = ratio(np.nansum(count * (observed - rate[:, None]) ** 2, axis=1), n)
        variance = ratio(p_squared - np.nansum(forecast * mean, axis=1), n)
        covariance = ratio(p_y - np.nansum(forecast * observed, axis=1), n)
        return {
            **scores_of(tp, fn, fp, tn),
            "brier": brier,
            "bss": 1 - ratio(brier, reference),
            "reliability": reliability,
            "resolution": resolution,
            "uncertainty": rate * (1 - rate),
            "within_bin_variance": variance,
            "within_bin_covariance": 2 * covariance,
            "log_score": np.full_like(n, np.nan) if self.infinite else ratio(surprise, n),
            "auc": self._area(times),
        }

    def _over_bins(self, times: Floats, matrix: Any) -> Floats:
        return np.asarray(matrix.T @ times.T).T

    def _area(self, times: Floats) -> Floats:
        """Area under the ROC curve: the share of pairs of an event and a quiet sample in the right order."""
        out = np.empty(len(times))
        step = max(1, _BLOCK // max(1, self._events.shape[0]))
        for start in range(0, len(times), step):
            block = times[start : start + step].T
            events, quiet = self._events @ block, self._quiet @ block
            below = np.cumsum(quiet, axis=0) - quiet / 2  # ties count half
            pairs = events.sum(axis=0) * quiet.sum(axis=0)
            out[start : start + step] = ratio((events * below).sum(axis=0), pairs)
        return out


def _ranked(y: Floats, p: Floats, codes: NDArray[np.intp], n_groups: int) -> tuple[Any, Any]:
    """Numbers of events and of quiet samples by rank of the probability and group, as sparse matrices.

    Neighbouring probabilities that only events have, or only quiet samples, share a rank: the order within
    them does not matter for the area, and few ranks are fast.
    """
    values, rank = np.unique(p, return_inverse=True)
    events = np.bincount(rank, y, minlength=len(values)) > 0
    quiet = np.bincount(rank, 1 - y, minlength=len(values)) > 0
    mixed = events & quiet
    new = mixed[1:] | mixed[:-1] | (events[1:] != events[:-1])
    rank = np.concatenate([np.zeros(min(1, len(values)), dtype=np.intp), np.cumsum(new)])[rank]
    shape = (int(rank.max(initial=-1)) + 1, n_groups)

    def matrix(of: NDArray[np.bool_]) -> Any:
        return scipy.sparse.csr_array((np.ones(int(of.sum())), (rank[of], codes[of])), shape=shape)

    return matrix(y == 1), matrix(y == 0)
