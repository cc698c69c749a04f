"""Tracks that are restarted after each failure, and the overlap to expect of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import Float64Array, as_count, as_theta, as_track
from solartrack._show import as_html, as_text
from solartrack.metrics._paired import PairedTrack, falls_below

__all__ = ["RestartedTrack", "expected_average_overlap", "expected_overlap_curve", "track_with_restarts"]


@dataclass(frozen=True, eq=False)
class RestartedTrack:
    """A track that was restarted after each failure.

    Attributes
    ----------
    boxes : ndarray, shape (n, 4)
        Reports; four NaN where there is none and where no tracker ran.
    iou : ndarray, shape (n,)
        0 in a failed frame; NaN where nothing is scored: in the frames in which the tracker
        was given a true box, and in those skipped after a failure.
    starts, failures : tuple of int
        Rows in which the tracker got the true box, and in which it failed.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[x, 0, x + 10, 10] for x in range(0, 40, 4)]
    >>> result = metrics.track_with_restarts(truth, lambda i: [truth[i]] * (10 - i))
    >>> result.starts, result.failures, result.iou.round(2)
    ((0, 8), (3,), array([ nan, 0.43, 0.11, 0.  ,  nan,  nan,  nan,  nan,  nan, 0.43]))
    >>> round(result.accuracy(), 3), len(result.fragments)
    (0.27, 2)
    """

    __repr__ = as_text
    _repr_html_ = as_html

    boxes: Float64Array
    iou: Float64Array
    starts: tuple[int, ...]
    failures: tuple[int, ...]

    @property
    def fragments(self) -> list[tuple[Float64Array, bool]]:
        """IoU from each start (exclusive) to its failure or the end, and whether it failed."""
        out = []
        for k, start in enumerate(self.starts):
            failed = k < len(self.failures)
            end = self.failures[k] + 1 if failed else len(self.iou)
            out.append((self.iou[start + 1 : end], failed))
        return out

    def accuracy(self, burn_in: int = 10) -> float:
        """Mean IoU of the scored frames without failures; 0 if there is none.

        The `burn_in` frames after each restart are left out, because a fresh true box makes
        them easy.
        """
        use = ~np.isnan(self.iou)
        use[list(self.failures)] = False
        for start in self.starts[1:]:
            use[start : start + 1 + burn_in] = False
        return float(self.iou[use].mean()) if use.any() else 0.0


def track_with_restarts(
    truth: ArrayLike,
    track_from: Callable[[int], Iterable[ArrayLike]],
    *,
    threshold: float = 0.1,
    skip: int = 5,
) -> RestartedTrack:
    """Run a tracker over a sequence, with a fresh true box some frames after each failure.

    Parameters
    ----------
    truth : array_like, shape (n, 4)
        True boxes in the order of time, none of them empty.
    track_from : callable
        ``track_from(i)`` starts the tracker on the true box of row i and returns its boxes
        for the rows i, i + 1, ..., n - 1; four NaN or None where it reports nothing. A
        generator is not run beyond a failure; if it ends early, the next frame fails.
    threshold : float
        A frame with IoU below this fails.
    skip : int
        Rows from a failure to the next start.

    Returns
    -------
    RestartedTrack
        ``len(result.failures)`` measures the robustness, ``result.accuracy()`` the accuracy.

    Raises
    ------
    ValueError
        If there is no frame, a true box is empty, a box is bad, an array has not one row per
        remaining frame, `threshold` is not in 0 to 1, or `skip` is not positive.

    Notes
    -----
    The row of a start is not scored. In VOT a failure is a frame without any overlap. As
    ``IoU < 0`` never happens, pass a tiny threshold for that, not 0.

    References
    ----------
    Kristan et al. 2016, PAMI 38(11), 2137, "A Novel Performance Evaluation Methodology for
    Single-Target Trackers".

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[x, 0, x + 10, 10] for x in range(0, 40, 4)]  # a region that moves by 4 pixels
    >>> def stay(i):  # a tracker that reports the box it was given for ever
    ...     return [truth[i]] * (len(truth) - i)
    >>> result = metrics.track_with_restarts(truth, stay)
    >>> result.starts, result.failures, round(result.accuracy(), 3)
    ((0, 8), (3,), 0.27)
    """
    g, _, _ = as_track(truth, truth)
    threshold = as_theta(threshold, "threshold")
    skip = as_count(skip, "skip")
    empty = (g[:, 2:] <= g[:, :2]).any(axis=1)
    if empty.any():
        row = int(np.argmax(empty))
        raise ValueError(f"truth must not be empty, got {g[row].tolist()} in row {row}; drop such frames")
    boxes, iou = np.full((len(g), 4), np.nan), np.full(len(g), np.nan)
    starts: list[int] = []
    failed: list[int] = []
    start: int | None = 0
    while start is not None and start < len(g):
        starts.append(start)
        failure = _run_until_failure(g, track_from, start, threshold, boxes, iou)
        if failure is not None:
            failed.append(failure)
        start = None if failure is None else failure + skip
    return RestartedTrack(boxes, iou, tuple(starts), tuple(failed))


def _run_until_failure(
    g: Float64Array,
    track_from: Callable[[int], Iterable[ArrayLike]],
    start: int,
    threshold: float,
    boxes: Float64Array,
    iou: Float64Array,
) -> int | None:
    """Run the tracker from one start, fill in `boxes` and `iou`; the row in which it failed."""
    n = len(g)
    run = track_from(start)
    if isinstance(run, (Sequence, np.ndarray)) and len(run) != n - start:
        raise ValueError(
            f"track_from({start}) must return a box for each of the {n - start} rows from {start}, "
            f"got {len(run)}"
        )
    rows = iter(run)
    for i in range(start, n):
        box = next(rows, None)
        pair = PairedTrack.of(g[i], boxes[i] if box is None else box)
        if pair.n_reported:
            boxes[i] = pair.boxes[0]
        if i == start:
            continue
        iou[i] = pair.iou[0]
        if falls_below(pair.iou, threshold)[0]:
            iou[i] = 0.0
            return i
    return None


def expected_overlap_curve(tracks: Iterable[RestartedTrack]) -> Float64Array:
    """Mean IoU to expect over the first 1, 2, ... frames after a start.

    Every start of every track opens a fragment. Value k - 1 of the curve is the mean
    over fragments of their mean IoU over k frames: a fragment that ended in a failure
    is continued with zeros, one that ended with its sequence counts only up to its
    length. The frame of the start itself is not part of it.

    Parameters
    ----------
    tracks : iterable of RestartedTrack
        From `track_with_restarts`, usually many sequences.

    Returns
    -------
    ndarray of float64, shape (longest sequence - 1,)
        NaN where no fragment counts.

    Raises
    ------
    ValueError
        If there is no track, or none has a frame after a start.

    References
    ----------
    Kristan et al. 2015, ICCV Workshops, "The Visual Object Tracking VOT2015 Challenge
    Results".

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[x, 0, x + 10, 10] for x in range(0, 40, 4)]
    >>> track = metrics.track_with_restarts(truth, lambda i: [truth[i]] * (10 - i))
    >>> metrics.expected_overlap_curve([track]).round(3)
    array([0.429, 0.27 , 0.18 , 0.135, 0.108, 0.09 , 0.077, 0.067, 0.06 ])
    """
    tracks = list(tracks)
    longest = max((len(track.iou) - 1 for track in tracks), default=0)
    if longest < 1:
        raise ValueError("tracks must have at least one frame after a start, got none")
    total, count = np.zeros(longest), np.zeros(longest)
    length = np.arange(1, longest + 1)
    for track in tracks:
        for iou, failed in track.fragments:
            usable = longest if failed else len(iou)
            summed = np.cumsum(np.pad(iou, (0, longest - len(iou))))
            total[:usable] += (summed / length)[:usable]
            count[:usable] += 1
    return np.asarray(np.divide(total, count, out=np.full(longest, np.nan), where=count > 0))


def expected_average_overlap(
    tracks: Iterable[RestartedTrack], lengths: tuple[int, int] | None = None
) -> float:
    """Mean of `expected_overlap_curve` over a range of sequence lengths, 0 to 1.

    Parameters
    ----------
    tracks : iterable of RestartedTrack
        From `track_with_restarts`.
    lengths : (int, int), optional
        Shortest and longest length, both included, counted in frames after the start. VOT
        takes the range of the typical lengths of its sequences. Default: 1 to the
        longest for which there is a fragment. Only results over the same range can be
        compared.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As for `expected_overlap_curve`, or if the range is empty or has a length without a
        fragment.

    Examples
    --------
    >>> from solartrack import metrics
    >>> truth = [[x, 0, x + 10, 10] for x in range(0, 40, 4)]
    >>> track = metrics.track_with_restarts(truth, lambda i: [truth[i]] * (10 - i))
    >>> round(metrics.expected_average_overlap([track], lengths=(1, 3)), 3)
    0.293
    """
    curve = expected_overlap_curve(tracks)
    known = int(np.isfinite(curve).sum())  # a prefix: longer lengths have fewer fragments
    low, high = (1, known) if lengths is None else lengths
    if not 1 <= low <= high <= known:
        raise ValueError(f"lengths must be a range within 1 to {known} frames, got {lengths!r}")
    return float(curve[low - 1 : high].mean())
