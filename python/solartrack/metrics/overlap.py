"""Overlap of boxes: IoU and its relatives, row by row or all against all.

Boxes are ``(x0, y0, x1, y1)`` in pixel-edge coordinates (see `solartrack.boxes`).
Every function takes ``pairwise``: ``True`` compares row i with row i, ``False``
every row with every row. An empty or inverted box has area 0. No result is NaN, for
coordinates up to 1e150, whose products still fit into a double.

The boxes come first and the truth second, as rows and columns of the matrix. The scores of
tracks (`solartrack.metrics.score` and its relatives) take the truth first, as scikit-learn does.
"""

from __future__ import annotations

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
) -> Float64Array:
    a, b = as_boxes(boxes), as_boxes(truth, "truth")
    if not pairwise:
        return _core.overlap_matrix(kind, a, b, as_threads(threads))
    if len(a) != len(b):
        raise ValueError(
            f"boxes and truth must have the same number of rows, got {len(a)} and {len(b)}; "
            "pass pairwise=False for all against all"
        )
    return _core.overlap_pairs(kind, a, b)


def iou(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Intersection over union.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges.
    truth : array_like, shape (m, 4)
        The boxes to compare with.
    pairwise : bool
        Compare row i with row i (then m must equal n), or every row with every row.
    threads : int, optional
        For the matrix; default ``$SOLARTRACK_NUM_THREADS``, else the number of cores
        this process may use.

    Returns
    -------
    ndarray of float64, shape (n,) if `pairwise`, else (n, m)
        0 to 1; 0 where both boxes are empty.

    Raises
    ------
    ValueError
        If a shape is wrong, row counts differ, or a coordinate is not finite.
    TypeError
        If the coordinates are not real numbers.

    Examples
    --------
    >>> from solartrack import metrics
    >>> metrics.iou([[0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 10, 10]], pairwise=False).round(3)
    array([[0.333, 1.   ]])
    """
    return _overlap(_core.Overlap.IOU, boxes, truth, pairwise, threads)


def giou(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Generalized IoU: IoU minus the empty share of the smallest enclosing box.

    Parameters
    ----------
    boxes, truth, pairwise, threads
        As for `iou`.

    Returns
    -------
    ndarray of float64, shape (n,) if `pairwise`, else (n, m)
        -1 to 1.

    Raises
    ------
    ValueError, TypeError
        As for `iou`.

    References
    ----------
    Rezatofighi et al. 2019, CVPR, "Generalized Intersection over Union".

    Examples
    --------
    >>> from solartrack import metrics
    >>> metrics.giou([[0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 10, 10]], pairwise=False).round(3)
    array([[0.333, 1.   ]])
    """
    return _overlap(_core.Overlap.GIOU, boxes, truth, pairwise, threads)


def diou(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Distance IoU: IoU minus the squared centre distance over the squared enclosing diagonal.

    Parameters
    ----------
    boxes, truth, pairwise, threads
        As for `iou`.

    Returns
    -------
    ndarray of float64, shape (n,) if `pairwise`, else (n, m)
        -1 to 1.

    Raises
    ------
    ValueError, TypeError
        As for `iou`.

    References
    ----------
    Zheng et al. 2020, AAAI, "Distance-IoU Loss".

    Examples
    --------
    >>> from solartrack import metrics
    >>> metrics.diou([[0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 10, 10]], pairwise=False).round(3)
    array([[0.256, 1.   ]])
    """
    return _overlap(_core.Overlap.DIOU, boxes, truth, pairwise, threads)


def ciou(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Complete IoU: distance IoU minus a penalty for unequal aspect ratios.

    Parameters
    ----------
    boxes, truth, pairwise, threads
        As for `iou`.

    Returns
    -------
    ndarray of float64, shape (n,) if `pairwise`, else (n, m)
        At most 1. The aspect angle of a box without area counts as 0.

    Raises
    ------
    ValueError, TypeError
        As for `iou`.

    References
    ----------
    Zheng et al. 2020, AAAI, "Distance-IoU Loss", equations 8 to 11.

    Examples
    --------
    >>> from solartrack import metrics
    >>> metrics.ciou([[0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 10, 10]], pairwise=False).round(3)
    array([[0.256, 1.   ]])
    """
    return _overlap(_core.Overlap.CIOU, boxes, truth, pairwise, threads)


def coverage(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Share of the true box's area that the box covers.

    Parameters
    ----------
    boxes, truth, pairwise, threads
        As for `iou`.

    Returns
    -------
    ndarray of float64, shape (n,) if `pairwise`, else (n, m)
        0 to 1; 0 for an empty true box.

    Raises
    ------
    ValueError, TypeError
        As for `iou`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> metrics.coverage([[0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 10, 10]], pairwise=False).round(3)
    array([[0.5, 1. ]])
    """
    return _overlap(_core.Overlap.COVERAGE, boxes, truth, pairwise, threads)


def area_ratio(
    boxes: ArrayLike, truth: ArrayLike, *, pairwise: bool = True, threads: int | None = None
) -> Float64Array:
    """Area of the box over the area of the true box.

    Parameters
    ----------
    boxes, truth, pairwise, threads
        As for `iou`.

    Returns
    -------
    ndarray of float64, shape (n,) if `pairwise`, else (n, m)
        0 where both are empty, infinite where only the true box is.

    Raises
    ------
    ValueError, TypeError
        As for `iou`.

    Examples
    --------
    >>> from solartrack import metrics
    >>> metrics.area_ratio([[0, 0, 10, 10]], [[5, 0, 15, 10], [0, 0, 10, 10]], pairwise=False).round(3)
    array([[1., 1.]])
    """
    return _overlap(_core.Overlap.AREA_RATIO, boxes, truth, pairwise, threads)
