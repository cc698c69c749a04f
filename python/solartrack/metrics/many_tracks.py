"""How well many regions are followed at once: MOTA and MOTP, IDF1, HOTA.

Truth and tracks are tables of boxes with a frame and an identity, such as
``truth.csv`` of `solartrack.simulate.write`. Score each sequence with `score_many`,
then put them together with `combine`, which adds up counts, not scores.

A ratio whose denominator is 0 is 0, except localisation, which is 1 where nothing
matched, as in the published definitions and TrackEval. A sequence without any box
scores 0.

References
----------
Bernardin & Stiefelhagen 2008, EURASIP JIVP 246309, for MOTA, MOTP and identity
switches; Ristani et al. 2016, ECCV workshops, for IDF1; Luiten et al. 2021, IJCV 129,
548, for HOTA. Matching follows TrackEval, the reference implementation of HOTA.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_boxes, as_reports, as_theta, refuse_inverted, refuse_masked
from solartrack._show import rows_html
from solartrack.metrics._keys import as_keys, in_order
from solartrack.metrics._paired import reaches
from solartrack.metrics.overlap import iou

__all__ = ["ALPHAS", "ManyScores", "combine", "score_many"]

#: IoU thresholds that HOTA is averaged over: 0.05, 0.10, ..., 0.95.
ALPHAS = np.arange(1, 20) / 20.0

# Keeps denominators away from 0, as in TrackEval.
_EPS = float(np.finfo(np.float64).eps)

_BOX = ("x0", "y0", "x1", "y1")


@dataclass(frozen=True, repr=False)
class ManyScores:
    """The metrics of one or more sequences of many regions.

    Attributes
    ----------
    threshold : float
        IoU from which boxes match, for everything except HOTA.
    n_frames, n_truth, n_tracks : int
        Frames with a box, true boxes, reported boxes.
    matches : int
        True positives at `threshold`.
    iou_sum : float
        Over the matches.
    id_switches : int
        How often a region is matched by a different track than the last time.
    fragmentations : int
        How often the match of a region is interrupted and resumed later.
    id_matches : int
        Matches under the best one-to-one assignment of tracks to regions.
    alpha_matches : ndarray of int64, shape (19,)
        True positives at each of `ALPHAS`.
    alpha_association, alpha_iou : ndarray of float64, shape (19,)
        Sums of their association scores and of their IoU.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import metrics
    >>> truth = pd.DataFrame({"frame": [0, 1, 2], "id": 7, "x0": 0, "y0": 0, "x1": 10, "y1": 10})
    >>> scores = metrics.score_many(truth, truth.assign(id=[1, 1, 2]))
    >>> scores.id_switches, round(scores.mota, 3), round(scores.idf1, 3), round(scores.hota, 3)
    (1, 0.667, 0.667, 0.745)
    """

    threshold: float
    n_frames: int
    n_truth: int
    n_tracks: int
    matches: int
    iou_sum: float
    id_switches: int
    fragmentations: int
    id_matches: int
    alpha_matches: NDArray[np.int64]
    alpha_association: Float64Array
    alpha_iou: Float64Array

    @property
    def misses(self) -> int:
        """True boxes without a match."""
        return self.n_truth - self.matches

    @property
    def false_positives(self) -> int:
        """Reported boxes without a match."""
        return self.n_tracks - self.matches

    @property
    def mota(self) -> float:
        """``1 - (misses + false positives + switches) / true boxes``; at most 1, can be negative."""
        return (self.matches - self.false_positives - self.id_switches) / max(1, self.n_truth)

    @property
    def motp(self) -> float:
        """Mean IoU of the matches, 0 to 1."""
        return self.iou_sum / max(1, self.matches)

    @property
    def idf1(self) -> float:
        """``2 id_matches / (true boxes + reported boxes)``, 0 to 1."""
        return 2 * self.id_matches / max(1, self.n_truth + self.n_tracks)

    @property
    def idp(self) -> float:
        """``id_matches / reported boxes``, 0 to 1."""
        return self.id_matches / max(1, self.n_tracks)

    @property
    def idr(self) -> float:
        """``id_matches / true boxes``, 0 to 1."""
        return self.id_matches / max(1, self.n_truth)

    @property
    def det_a_alpha(self) -> Float64Array:
        """Detection accuracy at each of `ALPHAS`: matches over matches, misses and false positives."""
        either = self.n_truth + self.n_tracks - self.alpha_matches
        return np.asarray(self.alpha_matches / np.maximum(1, either))

    @property
    def ass_a_alpha(self) -> Float64Array:
        """Association accuracy at each of `ALPHAS`."""
        return np.asarray(self.alpha_association / np.maximum(1, self.alpha_matches))

    @property
    def loc_a_alpha(self) -> Float64Array:
        """Mean IoU of the matches at each of `ALPHAS`; 1 where there is none."""
        ones = np.ones(len(ALPHAS))
        return np.divide(self.alpha_iou, self.alpha_matches, out=ones, where=self.alpha_matches > 0)

    @property
    def hota_alpha(self) -> Float64Array:
        """Geometric mean of detection and association accuracy at each of `ALPHAS`."""
        return np.asarray(np.sqrt(self.det_a_alpha * self.ass_a_alpha))

    @property
    def hota(self) -> float:
        """Mean of `hota_alpha`, 0 to 1."""
        return float(self.hota_alpha.mean())

    @property
    def det_a(self) -> float:
        """Mean of `det_a_alpha`."""
        return float(self.det_a_alpha.mean())

    @property
    def ass_a(self) -> float:
        """Mean of `ass_a_alpha`."""
        return float(self.ass_a_alpha.mean())

    @property
    def loc_a(self) -> float:
        """Mean of `loc_a_alpha`."""
        return float(self.loc_a_alpha.mean())

    def as_dict(self) -> dict[str, float | int]:
        """Counts and metrics as one flat row of a table."""
        names = ["threshold", "n_frames", "n_truth", "n_tracks", "matches", "misses", "false_positives",
                 "id_switches", "fragmentations", "mota", "motp", "idf1", "idp", "idr",
                 "hota", "det_a", "ass_a", "loc_a"]  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _repr_html_(self) -> str:
        return rows_html("ManyScores", self.as_dict().items())

    def __repr__(self) -> str:
        """Return one metric per line."""
        return "\n".join(["ManyScores:", *(f"  {k:<16}{v:.6g}" for k, v in self.as_dict().items())])


def score_many(
    truth: Mapping[str, ArrayLike], tracks: Mapping[str, ArrayLike], *, threshold: float = 0.5
) -> ManyScores:
    """All metrics of one sequence.

    Parameters
    ----------
    truth : pandas.DataFrame, or mapping of str to array_like
        One row per true box: ``frame`` (numbers, ``datetime64`` or strings), ``id``
        (likewise), ``x0``, ``y0``, ``x1``, ``y1``; rows in any order. Frames named by
        strings are taken in natural order: ``frame2`` before ``frame10``.
    tracks : pandas.DataFrame, or mapping of str to array_like
        The same for the reported boxes; a row of four NaN is no report. Identities need not
        be those of the truth. Empty boxes count as reports that match nothing.
    threshold : float
        IoU from which boxes match, 0 to 1; boxes that do not touch never match. An IoU
        up to 1e-9 below it still matches, as in `score`. HOTA has its own thresholds, `ALPHAS`.

    Returns
    -------
    ManyScores

    Raises
    ------
    ValueError
        If a column is missing, an identity occurs twice in a frame, a frame, an identity or a
        true box is NaN, a true box is inverted, a reported one is partly NaN, or the order
        of frames named by strings is ambiguous.
    TypeError
        If frames, identities or boxes are of other types or masked, or truth and tracks name frames by
        different kinds.

    Notes
    -----
    The matching for MOTA keeps a pair of the previous frame while it still reaches the
    threshold, and then maximises the total overlap; it ignores frames without any true
    or any reported box. For `fragmentations`, a match is interrupted by every frame in
    which the region is present but not matched, and by every frame from which the region
    itself is absent. (TrackEval does not count interruptions by frames without any true
    or any reported box; all other numbers are the same.)

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import metrics
    >>> truth = pd.DataFrame({"frame": [0, 1], "id": 7, "x0": 0, "y0": 0, "x1": 10, "y1": 10})
    >>> metrics.score_many(truth, truth.assign(id=1)).idf1
    1.0
    """
    theta = as_theta(threshold, "threshold")
    g_frames, g_ids, g = _columns(truth, "truth")
    t_frames, t_ids, t = _columns(tracks, "tracks")
    g_frames, t_frames = in_order(g_frames, t_frames)
    n_frames = int(max(g_frames.max(initial=-1), t_frames.max(initial=-1))) + 1
    n_g, n_t = int(g_ids.max(initial=-1)) + 1, int(t_ids.max(initial=-1)) + 1
    g_at, t_at = (_rows_by_frame(n_frames, f) for f in (g_frames, t_frames))
    both = [(i, g_at[i], t_at[i]) for i in range(n_frames) if len(g_at[i]) and len(t_at[i])]
    overlaps = [iou(g[rows], t[columns], pairwise=False, threads=1) for _, rows, columns in both]
    pairs = [(i, g_ids[rows], t_ids[columns]) for i, rows, columns in both]

    matches, switches, iou_sum, matched_in = _clear(pairs, overlaps, theta, n_g)
    alpha = _hota(pairs, overlaps, np.bincount(g_ids, minlength=n_g), np.bincount(t_ids, minlength=n_t))
    return ManyScores(
        threshold=theta,
        n_frames=n_frames,
        n_truth=len(g),
        n_tracks=len(t),
        matches=matches,
        iou_sum=iou_sum,
        id_switches=switches,
        # Runs of consecutive frames, without the first run.
        fragmentations=sum(int((np.diff(where) > 1).sum()) for where in matched_in),
        id_matches=_identity(pairs, overlaps, theta, n_g, n_t),
        alpha_matches=alpha[0],
        alpha_association=alpha[1],
        alpha_iou=alpha[2],
    )


def combine(sequences: Iterable[ManyScores]) -> ManyScores:
    """Scores of many sequences together, as if they were one with identities of their own.

    Parameters
    ----------
    sequences : iterable of ManyScores
        All with the same threshold.

    Returns
    -------
    ManyScores
        Long and crowded sequences count more; for the plain mean, average the scores.

    Raises
    ------
    ValueError
        If there is no sequence, or thresholds differ.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import metrics
    >>> truth = pd.DataFrame({"frame": [0, 1], "id": 7, "x0": 0, "y0": 0, "x1": 10, "y1": 10})
    >>> one = metrics.score_many(truth, truth)
    >>> metrics.combine([one, one]).mota
    1.0
    """
    parts = list(sequences)
    if not parts:
        raise ValueError("sequences must have at least one ManyScores, got none")
    thresholds = sorted({part.threshold for part in parts})
    if len(thresholds) > 1:
        raise ValueError(f"thresholds must not be mixed, got {thresholds}; score all sequences with one")
    sums = {f.name: sum(getattr(p, f.name) for p in parts) for f in fields(ManyScores)}
    return ManyScores(**{**sums, "threshold": thresholds[0]})


def _columns(
    table: Mapping[str, ArrayLike], name: str
) -> tuple[NDArray[Any], NDArray[np.intp], Float64Array]:
    """Frames, identities numbered from 0, and boxes, without the rows that have no report."""
    missing = [c for c in ("frame", "id", *_BOX) if c not in table]
    if missing:
        raise ValueError(f"{name} needs the columns frame, id, x0, y0, x1, y1; missing: {', '.join(missing)}")
    frames = as_keys(table["frame"], f"the frames of {name}")
    ids = as_keys(table["id"], f"the identities of {name}")
    for side in _BOX:
        refuse_masked(table[side], f"{side} of {name}")
    sides = [np.asarray(table[side], dtype=np.float64) for side in _BOX]
    shapes = {column.shape for column in (frames, ids, *sides)}
    if len(shapes) > 1 or frames.ndim != 1:
        raise ValueError(f"the columns of {name} must have equal lengths, got shapes {sorted(shapes)}")
    boxes = np.stack(sides, axis=-1)
    if name == "tracks":
        boxes, reported = as_reports(boxes, name)
        frames, ids, boxes = frames[reported], ids[reported], boxes[reported]
    else:
        boxes = as_boxes(boxes, name)
        refuse_inverted(boxes, name)
    _, numbers = np.unique(ids, return_inverse=True)
    _, order = np.unique(frames, return_inverse=True)
    keys, first, counts = np.unique(np.stack([order, numbers]), axis=1, return_index=True, return_counts=True)
    if keys.size and counts.max() > 1:
        row = first[np.argmax(counts > 1)]
        raise ValueError(f"{name} has identity {ids[row]!s} more than once in frame {frames[row]!s}")
    return frames, numbers, boxes


def _rows_by_frame(n_frames: int, at: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The rows of each frame; `at` has the frame of each row."""
    if not len(at):
        return [np.empty(0, np.intp)] * n_frames
    order = np.argsort(at, kind="stable")
    return np.split(order, np.searchsorted(at[order], np.arange(1, n_frames)))


_Pairs = list[tuple[int, NDArray[np.intp], NDArray[np.intp]]]


def _assign(gain: Float64Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from scipy import optimize  # only here: it takes longer to import than all of solartrack.metrics

    rows, columns = optimize.linear_sum_assignment(gain, maximize=True)
    return rows, columns


def _clear(
    pairs: _Pairs, overlaps: list[Float64Array], theta: float, n_g: int
) -> tuple[int, int, float, list[list[int]]]:
    """Matches, switches, summed IoU, and the frames in which each region is matched."""
    last = np.full(n_g, -1)  # the track that last matched each region, however long ago
    before = np.full(n_g, -1)  # the track that matched it in the previous frame
    matched_in: list[list[int]] = [[] for _ in range(n_g)]
    matches, switches, iou_sum = 0, 0, 0.0
    for (i, g, t), overlap in zip(pairs, overlaps, strict=True):
        # IoU is at most 1, so a kept pair outweighs any other arrangement of overlaps.
        gain = 1000.0 * (t == before[g][:, np.newaxis]) + overlap
        gain[~reaches(overlap, theta)] = 0.0
        rows, columns = _assign(gain)
        found = gain[rows, columns] > 0.0
        rows, columns = rows[found], columns[found]
        regions, by = g[rows], t[columns]
        switches += int(((last[regions] >= 0) & (last[regions] != by)).sum())
        before[:] = -1
        before[regions] = last[regions] = by
        for region in regions:
            matched_in[region].append(i)
        matches += len(rows)
        iou_sum += float(overlap[rows, columns].sum())
    return matches, switches, iou_sum, matched_in


def _identity(pairs: _Pairs, overlaps: list[Float64Array], theta: float, n_g: int, n_t: int) -> int:
    """Frames in which a region matches its track, summed, under the best assignment of tracks to regions."""
    meetings = np.zeros((n_g, n_t))
    for (_, g, t), overlap in zip(pairs, overlaps, strict=True):
        meetings[np.ix_(g, t)] += reaches(overlap, theta)
    return int(meetings[_assign(meetings)].sum())


def _hota(
    pairs: _Pairs, overlaps: list[Float64Array], g_count: NDArray[np.intp], t_count: NDArray[np.intp]
) -> tuple[NDArray[np.int64], Float64Array, Float64Array]:
    """Matches, and the sums of their association scores and of their IoU, at each alpha."""
    n_g, n_t = len(g_count), len(t_count)
    potential = np.zeros((n_g, n_t))
    for (_, g, t), overlap in zip(pairs, overlaps, strict=True):
        either = overlap.sum(axis=0) + overlap.sum(axis=1)[:, np.newaxis] - overlap
        potential[np.ix_(g, t)] += np.divide(overlap, either, out=np.zeros_like(overlap), where=either > _EPS)
    total = np.add.outer(g_count, t_count)
    alignment = potential / np.maximum(total - potential, _EPS)

    pair, similarity = [np.empty(0, np.intp)], [np.empty(0)]
    for (_, g, t), overlap in zip(pairs, overlaps, strict=True):
        rows, columns = _assign(alignment[np.ix_(g, t)] * overlap)
        pair.append(g[rows] * n_t + t[columns])
        similarity.append(overlap[rows, columns])
    found, s = np.concatenate(pair), np.concatenate(similarity)
    kinds, kind = np.unique(found, return_inverse=True)
    together = total.ravel()[kinds]

    hit = reaches(s, ALPHAS[:, np.newaxis])
    association = np.zeros(len(ALPHAS))
    for a, matched in enumerate(hit):
        times = np.bincount(kind[matched], minlength=len(kinds))
        association[a] = (times * (times / np.maximum(1, together - times))).sum()
    return hit.sum(axis=1), association, (hit * s).sum(axis=1)
