"""How well one track follows one region, and the mean over many tracks.

Row i of ``truth`` and of ``boxes`` is the same annotated frame; ``boxes`` has four NaN
where the tracker reported nothing. `align` makes such rows from two sets of frames.
All rows count: leave out the frame in which the tracker was given the true box.

IoU is 0 in a frame without a report or with an empty box. A frame is *matched* at
``theta`` if IoU >= theta and IoU > 0, so boxes that do not touch never match, not
even at 0. N is the number of rows.

References
----------
Smeulders et al. 2014, PAMI 36(7), 1442, "Visual Tracking: An Experimental Survey", and
the works it cites, for the F-score to PBM. Where others are due, the function says so.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack import _core
from solartrack._arrays import Float64Array, as_boxes, as_reports, as_theta, as_track
from solartrack.metrics import sarker2019

__all__ = [
    "Aligned",
    "Estimate",
    "PooledScores",
    "RestartedTrack",
    "TrackScores",
    "align",
    "area_f1",
    "ata",
    "centre_error",
    "deviation",
    "expected_average_overlap",
    "expected_overlap_curve",
    "f_score",
    "failures",
    "mean_iou",
    "normalized_precision",
    "ota",
    "otp",
    "pbm",
    "pool",
    "precision_curve",
    "score",
    "success",
    "success_auc",
    "success_curve",
    "track_with_restarts",
]

Convention = Literal["standard", "sarker2019"]

# 0, 0.01, ..., 1
_IOU_THRESHOLDS = np.linspace(0.0, 1.0, 101)


class Aligned(NamedTuple):
    """True and reported boxes of the annotated frames, in the order of the frames."""

    frames: NDArray[np.generic]
    truth: Float64Array
    boxes: Float64Array
    #: Reports in frames without an annotation, which cannot be judged.
    n_dropped: int


def _as_frames(frames: ArrayLike, n: int, name: str) -> NDArray[np.generic]:
    out = np.asarray(frames)
    if out.size == 0 and n == 0:
        return out.reshape(0)
    if out.shape != (n,):
        raise ValueError(f"{name} must name each of the {n} rows of boxes, got shape {out.shape}")
    if out.dtype.kind not in "iufMU":
        raise TypeError(f"{name} must be numbers, datetime64 or strings, got dtype {out.dtype}")
    if out.dtype.kind in "fM" and not np.isfinite(out).all():
        raise ValueError(f"{name} must not have NaN, NaT or infinity")
    values, counts = np.unique(out, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{name} must be unique, got {values[counts > 1][0]!s} more than once")
    return out


def align(truth_frames: ArrayLike, truth: ArrayLike, track_frames: ArrayLike, boxes: ArrayLike) -> Aligned:
    """Pair a track with its annotation, frame by frame.

    Parameters
    ----------
    truth_frames : array_like, shape (n,)
        Annotated frames: numbers, ``datetime64`` or strings, unique, in any order.
    truth : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``.
    track_frames : array_like, shape (m,)
        Frames with a report.
    boxes : array_like, shape (m, 4)
        The reports; four NaN say that there is none.

    Returns
    -------
    Aligned
        ``frames`` sorted, ``truth``, ``boxes`` with four NaN where nothing was reported,
        and ``n_dropped``, how many reports had no annotation to compare with.

    Raises
    ------
    ValueError
        If a frame occurs twice or is not finite, lengths differ, or a box is bad.
    TypeError
        If frames are of other types, or the two kinds cannot be compared.
    """
    g = as_boxes(truth, "truth")
    t, reported = as_reports(boxes)
    g_frames = _as_frames(truth_frames, len(g), "truth_frames")
    t_frames = _as_frames(track_frames, len(t), "track_frames")
    kinds = {g_frames.dtype.kind, t_frames.dtype.kind}
    if len(t) and len(kinds) > 1 and not kinds <= set("iuf"):
        raise TypeError(
            f"truth_frames and track_frames must be of one kind, got {g_frames.dtype} and {t_frames.dtype}"
        )
    order = np.argsort(g_frames)
    frames, g = g_frames[order], g[order]
    out = np.full((len(g), 4), np.nan)
    _, in_truth, in_track = np.intersect1d(
        frames, t_frames[reported], assume_unique=True, return_indices=True
    )
    out[in_truth] = t[reported][in_track]
    as_track(g, out)
    return Aligned(frames, g, out, int(reported.sum()) - len(in_track))


def _iou(truth: ArrayLike, boxes: ArrayLike) -> Float64Array:
    g, t, _ = as_track(truth, boxes)
    return _core.overlap_pairs(_core.Overlap.IOU, t, g)


def _matched(iou: Float64Array, theta: float) -> NDArray[np.bool_]:
    return (iou >= as_theta(theta)) & (iou > 0.0)


def f_score(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """``2PR / (P + R)``: P the matched share of the reports, R of all frames.

    A report that does not match is a false positive and a false negative, a missing
    one a false negative, so this is ``2 matched / (reported + N)``. 0 if nothing matches.
    """
    g, t, reported = as_track(truth, boxes)
    matched = _matched(_core.overlap_pairs(_core.Overlap.IOU, t, g), theta).sum()
    return float(2.0 * matched / (reported.sum() + len(g)))


def area_f1(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Mean over frames of ``2pr / (p + r)``, ``p = |t∩g|/|t|``, ``r = |t∩g|/|g|``; 0 to 1.

    Per frame this is ``2 IoU / (1 + IoU)``; 0 in frames without a report.
    """
    iou = _iou(truth, boxes)
    return float((2.0 * iou / (1.0 + iou)).mean())


def ota(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """Object tracking accuracy: ``1 - (FN + FP) / N``, -1 to 1.

    FN and FP are those of `f_score`: a report that does not match costs 2, a missing one
    costs 1. Negative if more than half of the frames have a report that does not match.
    """
    g, t, reported = as_track(truth, boxes)
    matched = _matched(_core.overlap_pairs(_core.Overlap.IOU, t, g), theta).sum()
    false_positives, false_negatives = reported.sum() - matched, len(g) - matched
    return float(1.0 - (false_negatives + false_positives) / len(g))


def otp(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """Object tracking precision: mean IoU over the matched frames; 0 if there is none."""
    iou = _iou(truth, boxes)
    matched = _matched(iou, theta)
    return float(iou[matched].mean()) if matched.any() else 0.0


def ata(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Average tracking accuracy: mean IoU over all frames, 0 in those without a report.

    `mean_iou` is the same function.
    """
    return float(_iou(truth, boxes).mean())


mean_iou = ata


def centre_error(truth: ArrayLike, boxes: ArrayLike, *, normalized: bool = False) -> Float64Array:
    """Distance of the centres in every frame.

    In pixels, or if `normalized`, with x divided by the width and y by the height
    of the true box. Infinite in frames without a report, and, if `normalized`, in those with
    an empty true box.
    """
    g, t, reported = as_track(truth, boxes)
    offset = ((t[:, :2] + t[:, 2:]) - (g[:, :2] + g[:, 2:])) / 2.0
    if normalized:
        size = g[:, 2:] - g[:, :2]
        reported = reported & (size > 0.0).all(axis=1)
        offset = np.divide(offset, size, out=np.zeros_like(offset), where=size > 0.0)
    return np.where(reported, np.hypot(offset[:, 0], offset[:, 1]), np.inf)


def deviation(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """``1 -`` the mean normalized centre error over the matched frames, at most 1.

    The error is that of `centre_error`, x over the width and y over the height of the
    true box. 0 if no frame matches; a small `theta` can make it negative.
    """
    matched = _matched(_iou(truth, boxes), theta)
    if not matched.any():
        return 0.0
    return float(1.0 - centre_error(truth, boxes, normalized=True)[matched].mean())


def pbm(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Position-based measure: mean over frames of ``1 - D / T``, 0 to 1.

    ``T = (w_t + h_t + w_g + h_g) / 2``; D is the L1 distance of the centres if the boxes
    overlap, else T, as in frames without a report.
    """
    g, t, _ = as_track(truth, boxes)
    overlapping = _core.overlap_pairs(_core.Overlap.IOU, t, g) > 0.0
    g, t = g[overlapping], t[overlapping]
    size = ((g[:, 2:] - g[:, :2]) + (t[:, 2:] - t[:, :2])).sum(axis=1) / 2.0
    distance = np.abs((g[:, :2] + g[:, 2:]) - (t[:, :2] + t[:, 2:])).sum(axis=1) / 2.0
    return float((1.0 - distance / size).sum() / len(overlapping))


def success(truth: ArrayLike, boxes: ArrayLike, theta: float = 0.5) -> float:
    """Share of the frames that match at `theta`, 0 to 1."""
    return float(_matched(_iou(truth, boxes), theta).mean())


def _increasing(thresholds: ArrayLike) -> Float64Array:
    out = np.asarray(thresholds, dtype=np.float64)
    if out.ndim != 1 or len(out) == 0 or not (out[0] >= 0.0 and (np.diff(out) > 0.0).all()):
        raise ValueError(
            f"thresholds must be a list of increasing numbers, none negative, got {thresholds!r}"
        )
    return out


def _curve_area(curve: Float64Array) -> float:
    """Trapezoid rule over evenly spaced thresholds, as a share of their range."""
    return float((curve[:-1] + curve[1:]).mean() / 2.0)


def success_curve(truth: ArrayLike, boxes: ArrayLike, thresholds: ArrayLike | None = None) -> Float64Array:
    """`success` at each threshold.

    The first value is the share of frames with any overlap, the last that of exact boxes.

    References
    ----------
    Wu, Lim and Yang 2013, CVPR, "Online Object Tracking: A Benchmark". It compares with
    ``>``, so that an exact box fails at 1; here it is ``>=``.
    """
    thetas = _increasing(_IOU_THRESHOLDS if thresholds is None else thresholds)
    as_theta(thetas[-1], "the last threshold")
    iou = np.sort(_iou(truth, boxes))
    # The smallest float above 0: frames without overlap do not match at 0 either.
    below = np.searchsorted(iou, np.maximum(thetas, np.nextafter(0.0, 1.0)), side="left")
    return np.asarray((len(iou) - below) / len(iou))


def success_auc(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Area under `success_curve` by the trapezoid rule over 0, 0.01, ..., 1; 0 to 1.

    Differs from the mean IoU by at most 0.005: a frame adds
    ``floor(100 IoU) / 100``, plus 0.005 if ``0 < IoU < 1``.
    """
    return _curve_area(success_curve(truth, boxes))


def precision_curve(
    truth: ArrayLike, boxes: ArrayLike, thresholds: ArrayLike | None = None, *, normalized: bool = False
) -> Float64Array:
    """Share of the frames with a `centre_error` of at most each threshold.

    Parameters
    ----------
    truth, boxes : array_like, shape (n, 4)
        As for `score`.
    thresholds : array_like, shape (k,)
        Increasing; pixels, by default 0, 1, ..., 50, or if `normalized`, multiples of the
        true box's sides, by default 0, 0.005, ..., 0.5.
    normalized : bool
        Divide the error by the true box's width and height.

    Returns
    -------
    ndarray of float64, shape (k,)

    References
    ----------
    Wu, Lim and Yang 2013, CVPR (pixels; its tables give the value at 20).
    Müller et al. 2018, ECCV, "TrackingNet" (normalized).
    """
    if thresholds is None:
        thresholds = _IOU_THRESHOLDS / 2.0 if normalized else np.arange(51.0)
    radii = _increasing(thresholds)
    error = np.sort(centre_error(truth, boxes, normalized=normalized))
    return np.asarray(np.searchsorted(error, radii, side="right") / len(error))


def normalized_precision(truth: ArrayLike, boxes: ArrayLike) -> float:
    """Area under the normalized `precision_curve` over 0, 0.005, ..., 0.5; 0 to 1.

    References
    ----------
    Müller et al. 2018, ECCV, "TrackingNet".
    """
    return _curve_area(precision_curve(truth, boxes, normalized=True))


def failures(truth: ArrayLike, boxes: ArrayLike, threshold: float = 0.1) -> int:
    """How often the track is lost: IoU falls below `threshold`, or starts below it.

    For a track that ran without help, so one that never comes back has one failure
    however long it is. `track_with_restarts` is the protocol with re-initialization. Rows
    must be in the order of time.
    """
    lost = _iou(truth, boxes) < as_theta(threshold, "threshold")
    return int(lost[0]) + int((lost[1:] & ~lost[:-1]).sum())


@dataclass(frozen=True, eq=False)
class RestartedTrack:
    """A track that was started anew after each failure.

    Attributes
    ----------
    boxes : ndarray, shape (n, 4)
        Reports; four NaN where there is none and where no tracker ran.
    iou : ndarray, shape (n,)
        0 in a failed frame; NaN where nothing is judged: frames in which a true box was
        given to the tracker, and those skipped after a failure.
    starts, failures : tuple of int
        Rows in which the tracker got the true box, and in which it failed.
    """

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
        """Mean IoU of the judged frames that did not fail; 0 if there is none.

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
        for the rows i, i + 1, ..., n - 1; four NaN or None where it reports nothing. If this is a
        generator, it is not run beyond a failure; if it ends early, the next frame fails.
    threshold : float
        A frame with IoU below this fails.
    skip : int
        From a failure to the row of the next start.

    Returns
    -------
    RestartedTrack
        ``len(result.failures)`` is the robustness measure, ``result.accuracy()`` the other.

    Raises
    ------
    ValueError
        If there is no frame, a true box is empty, a box is bad, an array has not one row per
        remaining frame, `threshold` is not in 0 to 1, or `skip` is not positive.

    Notes
    -----
    The row of a start is not judged. VOT itself has ``threshold`` 0, where a failure is a
    frame without overlap; here, as ``IoU < 0`` never happens, pass a tiny one for that.

    References
    ----------
    Kristan et al. 2016, PAMI 38(11), 2137, "A Novel Performance Evaluation Methodology for
    Single-Target Trackers".
    """
    g, _, _ = as_track(truth, truth)
    threshold = as_theta(threshold, "threshold")
    if int(skip) != skip or skip < 1:
        raise ValueError(f"skip must be a positive integer, got {skip!r}")
    empty = (g[:, 2:] <= g[:, :2]).any(axis=1)
    if empty.any():
        row = int(np.argmax(empty))
        raise ValueError(f"truth must not be empty, got {g[row].tolist()} in row {row}; drop such frames")
    n = len(g)
    boxes, iou = np.full((n, 4), np.nan), np.full(n, np.nan)
    starts: list[int] = []
    failed: list[int] = []
    start = 0
    while start < n:
        starts.append(start)
        run = track_from(start)
        if isinstance(run, (Sequence, np.ndarray)) and len(run) != n - start:
            raise ValueError(
                f"track_from({start}) must return a box for each of the {n - start} rows from {start}, "
                f"got {len(run)}"
            )
        rows = iter(run)
        for i in range(start, n):
            box = next(rows, None)
            if box is not None:
                _, report, reported = as_track(g[i], box)
                boxes[i] = np.where(reported, report[0], np.nan)
            if i == start:
                continue
            iou[i] = _iou(g[i], boxes[i])[0]
            if iou[i] < threshold:
                iou[i] = 0.0
                failed.append(i)
                start = i + int(skip)
                break
        else:
            break
    return RestartedTrack(boxes, iou, tuple(starts), tuple(failed))


def expected_overlap_curve(tracks: Iterable[RestartedTrack]) -> Float64Array:
    """Mean IoU to expect over the first 1, 2, ... frames after a start.

    Every start of every track opens a fragment. Value k - 1 of the curve is the mean
    over fragments of their mean IoU over k frames: a fragment that ended in a failure
    goes on with zeros, one that ended with its sequence counts only up to its length. The
    frame of the start itself is not part of it.

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
        longest for which there is a fragment. Results compare only over one range.

    Raises
    ------
    ValueError
        As `expected_overlap_curve`, or if the range is empty or has a length without a
        fragment.
    """
    curve = expected_overlap_curve(tracks)
    known = int(np.isfinite(curve).sum())  # a prefix: longer lengths have fewer fragments
    low, high = (1, known) if lengths is None else lengths
    if not 1 <= low <= high <= known:
        raise ValueError(f"lengths must be a range within 1 to {known} frames, got {lengths!r}")
    return float(curve[low - 1 : high].mean())


_PARAMETERS = {
    "truth": """truth : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, one row per annotated frame; empty boxes match nothing.""",
    "boxes": """boxes : array_like, shape (n, 4)
        What the tracker reported in those frames; four NaN where it reported nothing. An
        empty or inverted box is a report that matches nothing.""",
    "theta": """theta : float
        IoU from which a frame matches, 0 to 1.""",
    "threshold": """threshold : float
        A frame with IoU below this is lost, 0 to 1.""",
    "thresholds": """thresholds : array_like, shape (k,)
        Increasing, within 0 to 1; by default 0, 0.01, ..., 1.""",
    "normalized": """normalized : bool
        Divide by the sides of the true box.""",
}
_RAISES = """Raises
    ------
    ValueError
        If there is no frame, a shape is wrong, row counts differ, a true box is NaN or
        inverted, a reported one partly NaN, or a threshold out of range."""

_DOCUMENTED: tuple[tuple[Callable[..., object], str], ...] = (
    *((f, "float") for f in (f_score, area_f1, ota, otp, ata, deviation, pbm, success)),
    (centre_error, "ndarray of float64, shape (n,)"),
    (success_curve, "ndarray of float64, shape (k,)"),
    (success_auc, "float"),
    (normalized_precision, "float"),
    (failures, "int"),
)
for _f, _returns in _DOCUMENTED:
    if _f.__doc__:  # absent under python -OO
        _head, _references, _tail = _f.__doc__.partition("\n    References\n")
        _names = (name for name in _PARAMETERS if name in signature(_f).parameters)
        _sections = (
            "Parameters\n    ----------\n    " + "\n    ".join(_PARAMETERS[name] for name in _names),
            f"Returns\n    -------\n    {_returns}",
            _RAISES,
        )
        _f.__doc__ = f"{_head.rstrip()}\n\n    " + "\n\n    ".join(_sections) + f"\n{_references}{_tail}"


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
        What each metric averages over (frames, matched frames, ...): its weight in `pool`.
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
        The published definitions, or for comparing with the tables of the solar GOTURN
        study only, its script's (`solartrack.metrics.sarker2019`).

    Returns
    -------
    TrackScores
        Standard: ``f_score@theta``, ``ota@theta``, ``otp@theta``, ``deviation@theta``,
        ``success@theta``, ``area_f1``, ``ata`` (the mean IoU), ``pbm``, ``success_auc``,
        ``normalized_precision``, ``failures``. Of sarker2019 only its seven, of which
        ``f_score`` and ``ota`` have thresholds.

    Raises
    ------
    ValueError
        If there is no frame, a shape is wrong, row counts differ, a true box is NaN or
        inverted, a reported one partly NaN, a threshold out of range, or the convention
        unknown.
    """
    thetas = [as_theta(t, "thresholds") for t in np.atleast_1d(np.asarray(thresholds, dtype=object))]
    if not thetas:
        raise ValueError("thresholds must have at least one value, got none")
    g, rows, reported = as_track(truth, boxes)
    n, n_reported = len(g), int(reported.sum())
    measured: dict[str, tuple[float, int]] = {}
    if convention == "sarker2019":
        for theta in thetas:
            for name, result in sarker2019.measure(truth, boxes, theta).items():
                measured[f"{name}@{theta}" if name in ("f_score", "ota") else name] = result
    elif convention == "standard":
        iou = _core.overlap_pairs(_core.Overlap.IOU, rows, g)
        for theta in thetas:
            n_matched = int(_matched(iou, theta).sum())
            measured[f"f_score@{theta}"] = f_score(truth, boxes, theta), n_reported + n
            measured[f"ota@{theta}"] = ota(truth, boxes, theta), n
            measured[f"otp@{theta}"] = otp(truth, boxes, theta), n_matched
            measured[f"deviation@{theta}"] = deviation(truth, boxes, theta), n_matched
            measured[f"success@{theta}"] = success(truth, boxes, theta), n
        for metric in (area_f1, ata, pbm, success_auc, normalized_precision):
            measured[metric.__name__] = metric(truth, boxes), n
        measured["failures"] = float(failures(truth, boxes)), 1
    else:
        raise ValueError(f"convention must be 'standard' or 'sarker2019', got {convention!r}")
    return TrackScores(
        convention,
        n,
        n_reported,
        {name: value for name, (value, _) in measured.items()},
        {name: weight for name, (_, weight) in measured.items()},
    )


class Estimate(NamedTuple):
    """A mean and its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class PooledScores:
    """The metrics of many tracks.

    Attributes
    ----------
    convention : str
        That of the tracks.
    n_tracks, n_frames : int
        What was pooled.
    level, n_boot, seed : float, int, int
        Of the bootstrap.
    over_tracks : dict of str to Estimate
        Mean over tracks: every track counts the same.
    over_frames : dict of str to Estimate
        Mean over frames: the metric of all frames together, so long tracks count more.
        ``failures`` is the number per track here too.
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

    The mean over frames is the metric of all tracks' frames put in one table. Intervals
    are percentiles over draws of as many tracks, with replacement; frames of a track
    stay together because they are not independent.

    Parameters
    ----------
    tracks : iterable of TrackScores or of (truth, boxes)
        All scored with the same convention and thresholds.
    thresholds, convention
        For `score`, defaults as there; only for pairs.
    n_boot : int
        Draws of the bootstrap.
    level : float
        Of the interval, between 0 and 1.
    seed : int
        Of the draws.

    Returns
    -------
    PooledScores
        With one track, each interval is its value.

    Raises
    ------
    ValueError
        If there is no track, conventions or thresholds differ, or an argument is out of range.
    """
    if int(n_boot) != n_boot or n_boot < 1:
        raise ValueError(f"n_boot must be a positive integer, got {n_boot!r}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, both excluded, got {level!r}")
    scores: list[TrackScores] = []
    for track in tracks:
        if isinstance(track, TrackScores):
            if thresholds is not None or convention is not None:
                raise ValueError("thresholds and convention are for (truth, boxes) pairs, got a TrackScores")
            scores.append(track)
        else:
            truth, boxes = track
            scores.append(
                score(
                    truth,
                    boxes,
                    thresholds=(0.5,) if thresholds is None else thresholds,
                    convention="standard" if convention is None else convention,
                )
            )
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
    names, n = list(first.values), len(scores)
    values = np.array([[s.values[name] for name in names] for s in scores])
    weights = np.array([[s.weights[name] for name in names] for s in scores], dtype=np.float64)
    # Row 0 is the sample itself, the others say how often each track was drawn.
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=int(n_boot))
    counts = np.vstack([np.ones(n), draws])
    over_tracks = counts @ values / n
    total = counts @ weights
    over_frames = np.divide(counts @ (values * weights), total, out=np.zeros_like(total), where=total > 0.0)
    tail = (1.0 - level) / 2.0

    def estimates(table: Float64Array) -> dict[str, Estimate]:
        low, high = np.quantile(table[1:], (tail, 1.0 - tail), axis=0)
        return {
            name: Estimate(float(v), float(a), float(b))
            for name, v, a, b in zip(names, table[0], low, high, strict=True)
        }

    return PooledScores(
        first.convention,
        n,
        sum(s.n_frames for s in scores),
        level,
        int(n_boot),
        seed,
        estimates(over_tracks),
        estimates(over_frames),
    )
