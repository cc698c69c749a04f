"""Overlap of boxes: IoU and its relatives, row by row or all against all.

Boxes are ``(x0, y0, x1, y1)`` in pixel-edge coordinates (see `solartrack.boxes`).
Every function takes ``pairwise``: ``True`` compares row i with row i, ``False``
every row with every row. An empty or inverted box has area 0; no result is NaN
(for coordinates up to 1e150, whose products a double still holds).
"""

from numpy.typing import ArrayLike

from solartrack import _core
from solartrack._arrays import Float64Array, as_boxes, as_threads

__all__ = ["area_ratio", "ciou", "coverage", "diou", "giou", "iou"]


def _overlap(
    kind: _core.Overlap,
    boxes: ArrayLike,
    truth: ArrayLike,
    pairwise: bool,
    threads: int | None,
    names: tuple[str, str] = ("boxes", "truth"),
) -> Float64Array:
    a, b = as_boxes(boxes, names[0]), as_boxes(truth, names[1])
    if not pairwise:
        return _core.overlap_matrix(kind, a, b, as_threads(threads))
    if len(a) != len(b):
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of rows, got {len(a)} and {len(b)}; "
            "pass pairwise=False for all against all"
        )
    return _core.overlap_pairs(kind, a, b)


_COMMON = """
    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges.
    truth : array_like, shape (m, 4)
        The boxes to compare with.
    pairwise : bool
        Row by row (then m must equal n), or every row with every row.
    threads : int, optional
        For the matrix; default ``$SOLARTRACK_NUM_THREADS``, else the cores this
        process may use.

    Returns
    -------
    ndarray of float64, shape (n,) if `pairwise`, else (n, m)

    Raises
    ------
    ValueError
        If a shape is wrong, row counts differ, or a coordinate is not finite.
    """


def iou(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Intersection over union, 0 to 1; 0 where both boxes are empty."""
    return _overlap(_core.Overlap.IOU, boxes, truth, pairwise, threads)


def giou(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Generalized IoU: IoU minus the empty share of the smallest enclosing box, -1 to 1.

    References
    ----------
    Rezatofighi et al. 2019, CVPR, "Generalized Intersection over Union".
    """
    return _overlap(_core.Overlap.GIOU, boxes, truth, pairwise, threads)


def diou(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Distance IoU: IoU minus the squared centre distance over the squared enclosing diagonal.

    References
    ----------
    Zheng et al. 2020, AAAI, "Distance-IoU Loss".
    """
    return _overlap(_core.Overlap.DIOU, boxes, truth, pairwise, threads)


def ciou(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Complete IoU: distance IoU minus a penalty for unequal aspect ratios.

    The aspect angle of a box without area counts as 0.

    References
    ----------
    Zheng et al. 2020, AAAI, "Distance-IoU Loss", equations 8 to 11.
    """
    return _overlap(_core.Overlap.CIOU, boxes, truth, pairwise, threads)


def coverage(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Share of the ground truth's area that the box covers, 0 to 1; 0 for an empty truth."""
    return _overlap(_core.Overlap.COVERAGE, boxes, truth, pairwise, threads)


def area_ratio(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Area of the box over the area of the ground truth.

    0 where both are empty, infinite where only the truth is.
    """
    return _overlap(_core.Overlap.AREA_RATIO, boxes, truth, pairwise, threads)


for _f in (iou, giou, diou, ciou, coverage, area_ratio):
    if _f.__doc__:  # absent under python -OO
        _head, _references, _tail = _f.__doc__.partition("\n    References\n")
        _f.__doc__ = f"{_head.rstrip()}\n{_COMMON.rstrip()}\n{_references}{_tail}"
