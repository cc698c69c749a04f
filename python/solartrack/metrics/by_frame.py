"""Tracks and truth paired by frame, and the protocol by which a track is scored."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_boxes, as_reports, as_track, refuse_masked
from solartrack._show import as_html, as_text
from solartrack.errors import TrackWarning
from solartrack.metrics._keys import as_keys, in_order
from solartrack.metrics._paired import PairedTrack
from solartrack.metrics.overlap import iou
from solartrack.metrics.single_track import Convention, TrackScores, score_paired

__all__ = ["Aligned", "ScoredTrack", "align", "score_track"]


_BOX = ("x0", "y0", "x1", "y1")

Frames = NDArray[np.generic]


@dataclass(frozen=True, eq=False, repr=False)
class ScoredTrack:
    """How a track agrees with the truth, as a whole and frame by frame.

    Attributes
    ----------
    scores : TrackScores
        All metrics.
    frames : ndarray, shape (n,)
        The scored frames, in order.
    iou : ndarray of float64, shape (n,)
        IoU in each of them; NaN where the tracker reported nothing.
    n_unscored : int
        True frames after the start that the track does not mention.
    n_earlier : int
        True frames of the track before its start, which ``frames="later"`` leaves out.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import metrics
    >>> truth = pd.DataFrame({"frame": [0, 1], "x0": [0, 2], "y0": 0, "x1": [10, 12], "y1": 10})
    >>> scored = metrics.score_track(truth, truth.assign(x1=[10, 13]))
    >>> scored.frames, scored.iou.round(3), round(scored.mean_iou, 3)
    (array([0, 1]), array([1.   , 0.909]), 0.955)
    """

    scores: TrackScores
    frames: NDArray[np.generic]
    iou: Float64Array
    n_unscored: int
    n_earlier: int = 0

    @property
    def mean_iou(self) -> float:
        """Mean over the scored frames, in which a frame without a box counts as 0."""
        return float(np.nan_to_num(self.iou).mean())

    def as_dict(self) -> dict[str, str | int | float]:
        """Mean IoU, counts and metrics as one flat row of a table."""
        return {"mean_iou": self.mean_iou, "n_unscored": self.n_unscored, **self.scores.as_dict()}

    def __repr__(self) -> str:
        """Return the mean IoU, and one metric per line."""
        head = f"mean IoU {self.mean_iou:.4f} over {len(self.iou)} frames, a frame without a box counting 0"
        return f"{head}\n{self.scores}"


def score_track(
    truth: Mapping[str, ArrayLike],
    track: Mapping[str, ArrayLike],
    *,
    frames: Literal["later", "all"] = "later",
    thresholds: float | Sequence[float] = (0.5,),
    convention: Convention = "standard",
) -> ScoredTrack:
    """Score a track against the truth, frame by frame, without the frame it was started in.

    Parameters
    ----------
    truth : pandas.DataFrame, or mapping of str to array_like
        True boxes, one row per frame: ``frame``, ``x0``, ``y0``, ``x1``, ``y1``. A frame with four NaN has no
        true box, such as that of a region behind the limb, and is not scored.
    track : pandas.DataFrame, or mapping of str to array_like
        The same for the track, such as `solartrack.track` returns; four NaN where the
        tracker reported nothing; rows in order of time. The row whose (optional) ``state`` is
        "start" has the box that the tracker was given.
    frames : {"later", "all"}
        Score the rows after the start row, or all but it.
    thresholds, convention
        As for `score`.

    Returns
    -------
    ScoredTrack

    Raises
    ------
    ValueError
        If a column is missing, track and truth have no frame in common, a frame occurs
        twice, one of the tables has several tracks (by its column ``id``), a box is bad, or an option is
        unknown.
    TypeError
        If frames or boxes are of other types or masked.

    Warns
    -----
    TrackWarning
        If the boxes agree far better once the truth is multiplied by a factor: it is of images of
        another size, such as 4096 px where the track is of 1024 px. It is scored as it is all the same.

    Notes
    -----
    A track with a start row has a row for every image it was run on. True frames that it
    does not mention are not scored: they had no image. Those after the start are counted in
    ``n_unscored``. A track without a start row is scored on all true frames, and those
    that it does not mention count as missing boxes: such files leave out the frames in
    which nothing was found.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import metrics
    >>> truth = pd.DataFrame({"frame": [0, 1], "x0": [0, 2], "y0": 0, "x1": [10, 12], "y1": 10})
    >>> round(metrics.score_track(truth, truth.assign(x1=[10, 13])).mean_iou, 3)
    0.955
    """
    if frames not in ("later", "all"):
        raise ValueError(f"frames must be 'later' or 'all', got {frames!r}")
    g_frames, g = _columns(truth, "truth")
    t_frames, t = _columns(track, "track")
    if g.dtype.kind == "f":
        has_box = ~np.isnan(g).all(axis=1)
        g_frames, g = g_frames[has_box], g[has_box]
    n_unscored = n_earlier = 0
    _warn_of_scale(g_frames, g, t_frames, t)
    started = np.asarray(track["state"]) == "start" if "state" in track else np.zeros(len(t), dtype=bool)
    if started.any():
        first = int(np.argmax(started))
        rows = np.arange(len(t))
        scored = rows > first if frames == "later" else rows != first
        g_place, t_place = in_order(g_frames, t_frames)
        known = np.isin(g_place, t_place[scored])
        n_unscored = int((~known & (g_place > t_place[first])).sum())
        if frames == "later":
            n_earlier = int(np.isin(t_place[:first], g_place).sum())
        t_frames, t = t_frames[scored], t[scored]
        g_frames, g = g_frames[known], g[known]
    g_place, t_place = in_order(g_frames, t_frames)
    if not np.isin(g_place, t_place).any():
        raise ValueError("track and truth have no frame number in common to score")
    aligned = align(g_frames, g, t_frames, t)
    pair = PairedTrack.of(aligned.truth, aligned.boxes)
    return ScoredTrack(
        score_paired(pair, thresholds=thresholds, convention=convention),
        aligned.frames,
        np.where(pair.reported, pair.iou, np.nan),
        n_unscored,
        n_earlier,
    )


def _warn_of_scale(g_frames: Frames, g: Float64Array, t_frames: Frames, t: Float64Array) -> None:
    """Warn where the boxes agree only if the truth is taken to the pixels of another image size."""
    try:
        g_place, t_place = in_order(g_frames, t_frames)
        truth, boxes = (rows.astype(np.float64) for rows in (g, t))
    except (TypeError, ValueError):  # the errors of bad frames and boxes come with the pairing
        return
    _, in_truth, in_track = np.intersect1d(g_place, t_place, return_indices=True)
    truth, boxes = truth[in_truth], boxes[in_track]
    usable = np.isfinite(truth).all(axis=1) & np.isfinite(boxes).all(axis=1) & (boxes > 0.0).all(axis=1)
    if not usable.any():
        return
    truth, boxes = truth[usable], boxes[usable]
    scale = float(np.median(truth / boxes))
    if not (scale > 0.0 and abs(np.log2(scale)) > 0.4):
        return
    factor = max(scale, 1.0 / scale)
    if abs(factor / round(factor) - 1.0) < 0.03:  # image sizes are mostly halves of one another
        scale, factor = float(round(factor)) ** np.sign(np.log(scale)), round(factor)
    as_given, scaled = float(iou(boxes, truth).mean()), float(iou(boxes, truth / scale).mean())
    if scaled > 0.3 and as_given < scaled / 2.0:
        how = f"{factor:.3g} times {'larger' if scale > 1.0 else 'smaller'}"
        warnings.warn(
            f"the coordinates of the true boxes are about {how} than those of the track: are they of images "
            f"of another size? Multiplied by {1.0 / scale:.4g} (--truth-scale) they have a mean IoU of "
            f"{scaled:.2f} instead of {as_given:.2f}",
            TrackWarning,
            stacklevel=3,
        )


def _columns(table: Mapping[str, ArrayLike], name: str) -> tuple[NDArray[np.generic], Float64Array]:
    missing = [column for column in ("frame", *_BOX) if column not in table]
    if missing:
        raise ValueError(f"{name} needs the columns frame, x0, y0, x1, y1; missing: {', '.join(missing)}")
    for column in ("frame", *_BOX):
        refuse_masked(table[column], f"{column} of {name}")
    tracks = {str(one) for one in np.asarray(table["id"]).ravel().tolist()} if "id" in table else set()
    if len(tracks) > 1:
        some = ", ".join(sorted(tracks)[:3]) + ", ..." * (len(tracks) > 3)
        raise ValueError(
            f"{name} holds {len(tracks)} tracks (ids {some}); "
            "choose the rows of one, or score all with solartrack.metrics.score_many"
        )
    frames = as_keys(table["frame"], f"the frames of {name}")
    return frames, np.stack([np.asarray(table[side]) for side in _BOX], axis=-1)


class Aligned(NamedTuple):
    """True and reported boxes of the annotated frames, in the order of the frames.

    Examples
    --------
    >>> from solartrack import metrics
    >>> metrics.align([1, 2], [[0, 0, 9, 9], [1, 0, 9, 9]], [2, 3], [[1, 0, 8, 9], [2, 0, 9, 9]])
    Aligned
      frames     (2,) int64
      truth      (2, 4) float64
      boxes      (2, 4) float64
      n_dropped  1
    """

    frames: NDArray[np.generic]
    truth: Float64Array
    boxes: Float64Array
    #: Reports in frames without an annotation, which cannot be scored.
    n_dropped: int

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def align(truth_frames: ArrayLike, truth: ArrayLike, track_frames: ArrayLike, boxes: ArrayLike) -> Aligned:
    """Pair a track with its annotation, frame by frame.

    Parameters
    ----------
    truth_frames : array_like, shape (n,)
        Annotated frames: numbers, ``datetime64`` or strings (in an array, a list or a pandas
        column), unique, in any order.
    truth : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``.
    track_frames : array_like, shape (m,)
        Frames of the track, likewise.
    boxes : array_like, shape (m, 4)
        ``(x0, y0, x1, y1)``; four NaN where the tracker reported nothing.

    Returns
    -------
    Aligned
        ``frames``, sorted, strings in natural order (``frame2`` before ``frame10``); ``truth``;
        ``boxes`` with four NaN where nothing was reported; and ``n_dropped``, the number of
        reports in frames without an annotation.

    Raises
    ------
    ValueError
        If a frame occurs twice or is missing, lengths differ, a box is bad, or the order of
        frames named by strings is ambiguous.
    TypeError
        If frames or boxes are masked or of other types, or the two kinds cannot be compared.

    Notes
    -----
    Frames are compared exactly, also numbers of differing types.

    Examples
    --------
    >>> from solartrack import metrics
    >>> metrics.align([1, 2], [[0, 0, 9, 9], [1, 0, 9, 9]], [2], [[1, 0, 8, 9]]).boxes
    array([[nan, nan, nan, nan],
           [ 1.,  0.,  8.,  9.]])
    """
    g = as_boxes(truth, "truth")
    t, reported = as_reports(boxes)
    g_frames = _as_frames(truth_frames, len(g), "truth_frames")
    t_frames = _as_frames(track_frames, len(t), "track_frames")
    g_place, t_place = in_order(g_frames, t_frames)
    order = np.argsort(g_place)
    frames, g = g_frames[order], g[order]
    out = np.full((len(g), 4), np.nan)
    _, in_truth, in_track = np.intersect1d(
        g_place[order], t_place[reported], assume_unique=True, return_indices=True
    )
    out[in_truth] = t[reported][in_track]
    as_track(g, out)
    return Aligned(frames, g, out, int(reported.sum()) - len(in_track))


def _as_frames(frames: ArrayLike, n: int, name: str) -> NDArray[np.generic]:
    out = as_keys(frames, name)
    if out.size == 0 and n == 0:
        return out.reshape(0)
    if out.shape != (n,):
        raise ValueError(f"{name} must name each of the {n} rows of boxes, got shape {out.shape}")
    values, counts = np.unique(out, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{name} must be unique, got {values[counts > 1][0]!s} more than once")
    return out
