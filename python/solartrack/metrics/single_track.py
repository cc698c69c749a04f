"""How well one track follows one region.

Row i of ``truth`` and of ``boxes`` is the same annotated frame; ``boxes`` has four NaN
where the tracker reported nothing. `solartrack.metrics.align` makes such rows from two
sets of frames. All rows count, so leave out the frame in which the tracker was given
the true box; `solartrack.metrics.score_track` does both.

IoU is 0 in a frame without a report or with an empty box. A frame is *matched* at
``theta`` if IoU >= theta and IoU > 0, so boxes that do not touch never match, not
even at 0. An IoU up to 1e-9 below theta still reaches it: that is more than the rounding
of coordinates makes of an IoU of, say, one half. All metrics and curves, and
`solartrack.metrics.score_many`, compare like this. N is the number of rows.

A new metric is a function of a `PairedTrack`, the public function beside it, and a line
in the table `_METRICS` or `_METRICS_AT_THETA`.

References
----------
Smeulders et al. 2014, PAMI 36(7), 1442, "Visual Tracking: An Experimental Survey", and
the works it cites, for the F-score to PBM. The other metrics name their own sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import as_theta
from solartrack._show import rows_html
from solartrack.metrics import sarker2019
from solartrack.metrics._paired import PairedTrack, falls_below
from solartrack.metrics.curves import normalized_precision_of, success_auc_of

__all__ = [
    "TrackScores",
    "area_f1",
    "ata",
    "deviation",
    "f_score",
    "failures",
    "mean_iou",
    "ota",
    "otp",
    "pbm",
    "score",
    "success",
]

Convention = Literal["standard", "sarker2019"]

#: IoU below which a track counts as lost.
_LOST = 0.1


@dataclass(frozen=True, repr=False)
class TrackScores:
    """The metrics of one track. ``scores["f_score@0.5"]`` is one of them.

    Attributes
    ----------
    convention : str
        ``"standard"`` or ``"sarker2019"``: their numbers must not be compared.
    n_frames, n_reported : int
        Annotated frames, and those with a report.
    values : dict of str to float
        Metrics; those that depend on a threshold are called ``name@theta``.
    weights : dict of str to int
        What each metric averages over (frames, matched frames, ...): its weight in
        `solartrack.metrics.pool`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> scores = metrics.score([[0, 0, 10, 10], [2, 0, 12, 10]], [[0, 0, 10, 10], [4, 0, 14, 10]])
    >>> round(scores["ata"], 3), scores.weights["ata"]  # the mean IoU, over two frames
    (0.833, 2)
    >>> list(scores.as_dict())[:4]
    ['convention', 'n_frames', 'n_reported', 'f_score@0.5']
    """

    convention: Convention
    n_frames: int
    n_reported: int
    values: dict[str, float]
    weights: dict[str, int]

    def __getitem__(self, metric: str) -> float:
        """One metric by name."""
        return self.values[metric]

    def as_dict(self) -> dict[str, str | int | float]:
        """Convention, counts and metrics as one flat row of a table."""
        return {
            "convention": self.convention,
            "n_frames": self.n_frames,
            "n_reported": self.n_reported,
            **self.values,
        }

    def _repr_html_(self) -> str:
        head = f"TrackScores: {self.convention}, {self.n_frames} frames, {self.n_reported} reported"
        return rows_html(head, self.values.items())

    def __repr__(self) -> str:
        """Return one metric per line."""
        head = f"TrackScores: {self.convention}, {self.n_frames} frames, {self.n_reported} reported"
        return "\n".join([head, *(f"  {name:<22}{value:.4f}" for name, value in self.values.items())])


def score(
    truth: ArrayLike,
    boxes: ArrayLike,
    *,
    thresholds: float | Sequence[float] = (0.5,),
    convention: Convention = "standard",
) -> TrackScores:
    """All metrics of one track.

    Parameters
    ----------
    truth : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, one row per annotated frame; empty boxes match nothing.
    boxes : array_like, shape (n, 4)
        What the tracker reported in those frames; four NaN where it reported nothing. An
        empty or inverted box is a report that matches nothing.
    thresholds : float or sequence of float
        The thetas, 0 to 1.
    convention : {"standard", "sarker2019"}
        The published definitions; or those of the solar GOTURN study's script
        (`solartrack.metrics.sarker2019`), only for comparing with its tables.

    Returns
    -------
    TrackScores
        Standard: ``f_score@theta``, ``ota@theta``, ``otp@theta``, ``deviation@theta``,
        ``success@theta``, ``area_f1``, ``ata`` (the mean IoU), ``pbm``, ``success_auc``,
        ``normalized_precision``, ``failures``. sarker2019: its seven metrics, of which
        ``f_score`` and ``ota`` have thresholds.

    Raises
    ------
    ValueError
        If there is no frame, a shape is wrong, row counts differ, a true box is NaN or
        inverted, a reported one partly NaN, a threshold out of range, or the convention
        unknown.
    TypeError
        If boxes or thresholds are not real numbers.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> metrics.score(truth, boxes)
    TrackScores: standard, 3 frames, 3 reported
      f_score@0.5           0.6667
      ota@0.5               0.3333
      otp@0.5               0.9091
      deviation@0.5         0.9500
      success@0.5           0.6667
      area_f1               0.8333
      ata                   0.7489
      pbm                   0.9167
      success_auc           0.7467
      normalized_precision  0.6700
      failures              0.0000
    """
    return score_paired(PairedTrack.of(truth, boxes), thresholds=thresholds, convention=convention)


def score_paired(
    track: PairedTrack, *, thresholds: float | Sequence[float], convention: Convention
) -> TrackScores:
    """Score boxes that are validated already, see `score`."""
    thetas = [as_theta(t, "thresholds") for t in np.atleast_1d(np.asarray(thresholds, dtype=object))]
    if not thetas:
        raise ValueError("thresholds must have at least one value, got none")
    if convention == "standard":
        measured = _standard(track, thetas)
    elif convention == "sarker2019":
        measured = {}
        for theta in thetas:
            for name, result in sarker2019.measure_paired(track, theta).items():
                measured[f"{name}@{theta}" if name in ("f_score", "ota") else name] = result
    else:
        raise ValueError(f"convention must be 'standard' or 'sarker2019', got {convention!r}")
    return TrackScores(
        convention,
        track.n_frames,
        track.n_reported,
        {name: value for name, (value, _) in measured.items()},
        {name: weight for name, (_, weight) in measured.items()},
    )


def _standard(track: PairedTrack, thetas: Sequence[float]) -> dict[str, tuple[float, int]]:
    """Value and weight of every metric."""
    measured: dict[str, tuple[float, int]] = {}
    for theta in thetas:
        for name, (metric_at, weight_at) in _METRICS_AT_THETA.items():
            measured[f"{name}@{theta}"] = metric_at(track, theta), weight_at(track, theta)
    for name, (metric, weight) in _METRICS.items():
        measured[name] = float(metric(track)), weight(track)
    return measured


def f_score(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """``2PR / (P + R)``: P the matched share of the reports, R that of all frames.

    A report that does not match is a false positive and a false negative, a missing
    one a false negative, so this is ``2 matched / (reported + N)``.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.
    theta : float
        IoU from which a frame matches, 0 to 1.

    Returns
    -------
    float
        0 to 1; 0 if nothing matches.

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.f_score(truth, boxes), 3)
    0.667
    """
    return _f_score(PairedTrack.of(truth, boxes), as_theta(theta))


def _f_score(track: PairedTrack, theta: float) -> float:
    return 2.0 * track.n_matched(theta) / (track.n_reported + track.n_frames)


def area_f1(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Mean over frames of ``2pr / (p + r)``, ``p = |t∩g|/|t|``, ``r = |t∩g|/|g|``.

    Per frame this is ``2 IoU / (1 + IoU)``.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.

    Returns
    -------
    float
        0 to 1; frames without a report count as 0.

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.area_f1(truth, boxes), 3)
    0.833
    """
    return _area_f1(PairedTrack.of(truth, boxes))


def _area_f1(track: PairedTrack) -> float:
    return float((2.0 * track.iou / (1.0 + track.iou)).mean())


def ota(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """Object tracking accuracy: ``1 - (FN + FP) / N``.

    FN and FP are those of `f_score`: a report that does not match costs 2, a missing one
    costs 1.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.
    theta : float
        IoU from which a frame matches, 0 to 1.

    Returns
    -------
    float
        -1 to 1; negative if more than half of the frames have a report that does not match.

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.ota(truth, boxes), 3)
    0.333
    """
    return _ota(PairedTrack.of(truth, boxes), as_theta(theta))


def _ota(track: PairedTrack, theta: float) -> float:
    n, matched = track.n_frames, track.n_matched(theta)
    false_positives, false_negatives = track.n_reported - matched, n - matched
    return 1.0 - (false_negatives + false_positives) / n


def otp(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """Object tracking precision: mean IoU over the matched frames.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.
    theta : float
        IoU from which a frame matches, 0 to 1.

    Returns
    -------
    float
        0 to 1; 0 if no frame matches.

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.otp(truth, boxes), 3)
    0.909
    """
    return _otp(PairedTrack.of(truth, boxes), as_theta(theta))


def _otp(track: PairedTrack, theta: float) -> float:
    matched = track.matched(theta)
    return float(track.iou[matched].mean()) if matched.any() else 0.0


def ata(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Average tracking accuracy: mean IoU over all frames. Also called `mean_iou`.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.

    Returns
    -------
    float
        0 to 1; frames without a report count as 0.

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.ata(truth, boxes), 3)
    0.749
    """
    return _ata(PairedTrack.of(truth, boxes))


def _ata(track: PairedTrack) -> float:
    return float(track.iou.mean())


mean_iou = ata


def deviation(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """``1 -`` the mean normalized `solartrack.metrics.centre_error` over the matched frames.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.
    theta : float
        IoU from which a frame matches, 0 to 1.

    Returns
    -------
    float
        At most 1; 0 if no frame matches. A small `theta` can make it negative.

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.deviation(truth, boxes), 3)
    0.95
    """
    return _deviation(PairedTrack.of(truth, boxes), as_theta(theta))


def _deviation(track: PairedTrack, theta: float) -> float:
    matched = track.matched(theta)
    return float(1.0 - track.normalized_centre_error[matched].mean()) if matched.any() else 0.0


def pbm(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Position-based measure: mean over frames of ``1 - D / T``.

    ``T = (w_t + h_t + w_g + h_g) / 2``; D is the L1 distance of the centres if the boxes
    overlap, else T, as in frames without a report.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.pbm(truth, boxes), 3)
    0.917
    """
    return _pbm(PairedTrack.of(truth, boxes))


def _pbm(track: PairedTrack) -> float:
    overlapping = track.iou > 0.0
    g, t = track.truth[overlapping], track.boxes[overlapping]
    size = ((g[:, 2:] - g[:, :2]) + (t[:, 2:] - t[:, :2])).sum(axis=1) / 2.0
    distance = np.abs((g[:, :2] + g[:, 2:]) - (t[:, :2] + t[:, 2:])).sum(axis=1) / 2.0
    return float((1.0 - distance / size).sum() / track.n_frames)


def success(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """Share of the frames that match.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.
    theta : float
        IoU from which a frame matches, 0 to 1.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> round(metrics.success(truth, boxes), 3)
    0.667
    """
    return _success(PairedTrack.of(truth, boxes), as_theta(theta))


def _success(track: PairedTrack, theta: float) -> float:
    return float(track.matched(theta).mean())


def failures(truth: ArrayLike, boxes: ArrayLike, threshold: float = _LOST) -> int:
    """How often the track is lost: IoU falls below `threshold`, or starts below it.

    This is for a track without restarts, so one that never recovers has one failure,
    however long it is. `solartrack.metrics.track_with_restarts` is the protocol with
    restarts.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`, in order of time.
    threshold : float
        A frame with IoU below this is lost, 0 to 1.

    Returns
    -------
    int

    Raises
    ------
    ValueError, TypeError
        As for `score`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10]]
    >>> boxes = [[0, 0, 10, 10], [3, 0, 13, 10], [8, 0, 18, 10]]
    >>> metrics.failures(truth, boxes)
    0
    """
    return _failures(PairedTrack.of(truth, boxes), as_theta(threshold, "threshold"))


def _failures(track: PairedTrack, threshold: float = _LOST) -> int:
    lost = falls_below(track.iou, threshold)
    return int(lost[0]) + int((lost[1:] & ~lost[:-1]).sum())


def _n_frames(track: PairedTrack, theta: float = 0.0) -> int:
    return track.n_frames


# What `score` measures, each with what it averages over: its weight in `pool`.
_METRICS_AT_THETA: dict[
    str, tuple[Callable[[PairedTrack, float], float], Callable[[PairedTrack, float], int]]
] = {
    "f_score": (_f_score, lambda track, theta: track.n_reported + track.n_frames),
    "ota": (_ota, _n_frames),
    "otp": (_otp, PairedTrack.n_matched),
    "deviation": (_deviation, PairedTrack.n_matched),
    "success": (_success, _n_frames),
}
_METRICS: dict[str, tuple[Callable[[PairedTrack], float], Callable[[PairedTrack], int]]] = {
    "area_f1": (_area_f1, _n_frames),
    "ata": (_ata, _n_frames),
    "pbm": (_pbm, _n_frames),
    "success_auc": (success_auc_of, _n_frames),
    "normalized_precision": (normalized_precision_of, _n_frames),
    "failures": (_failures, lambda track: 1),  # a count per track
}
