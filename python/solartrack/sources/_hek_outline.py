"""The largest box inside an outline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array

__all__ = ["inner_box"]

# Lines of the grid on which the box is looked for, besides those through the corners.
_LINES = 65
# Each pass moves the side that gains most; more of them gain next to nothing.
_MOVES = 8


def inner_box(corners: Float64Array) -> Float64Array:
    """The largest rectangle with sides along the axes inside a polygon.

    Parameters
    ----------
    corners : ndarray, shape (k, 2)
        Of the polygon; where it crosses itself, what it winds around an even number of times is outside.

    Returns
    -------
    ndarray of float64, shape (4,)
        ``(x0, y0, x1, y1)``, never outside of the polygon; of the possible ones the largest to about one
        percent of its area (exact if all sides of the polygon lie along the axes). NaN if the polygon
        encloses nothing.

    Notes
    -----
    The cells of a grid that the polygon covers whole are found, and of the rectangles made of them the
    largest; then its sides are moved outwards as far as the polygon lets them.
    """
    box = np.full(4, np.nan)
    if len(corners) < 3:
        return box
    x, y = (_lines(corners[:, axis]) for axis in (0, 1))
    if len(x) < 2 or len(y) < 2:
        return box
    edges = np.concatenate([corners, np.roll(corners, -1, axis=0)], axis=1)
    inside = _covered_cells(edges, x, y)
    if not inside.any():
        return box
    box = _largest(inside, x, y)
    for _ in range(_MOVES):
        wider = [_moved(edges, box, side) for side in range(4)]
        best = max(wider, key=_area)
        if _area(best) <= _area(box) * (1.0 + 1e-12):
            break
        box = best
    return box


def _lines(values: Float64Array) -> Float64Array:
    return np.unique(np.concatenate([values, np.linspace(values.min(), values.max(), _LINES)]))


def _area(box: Float64Array) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _covered_cells(edges: Float64Array, x: Float64Array, y: Float64Array) -> NDArray[np.bool_]:
    """Cells, by row and column, whose inside no edge enters and whose middle is inside."""
    low, high = np.minimum(edges[:, 1], edges[:, 3]), np.maximum(edges[:, 1], edges[:, 3])
    # Lines go through all corners: an edge crosses a row of cells from line to line, or not at all.
    crosses = (low <= y[:-1, None]) & (high >= y[1:, None])
    at = _x_at(edges, y)
    middle = np.where(crosses, _x_at(edges, 0.5 * (y[:-1] + y[1:])), np.inf)
    left, right = np.minimum(at[:-1], at[1:]), np.maximum(at[:-1], at[1:])
    eps = 1e-9 * (x[-1] - x[0])
    enters = (right[:, :, None] > x[:-1] + eps) & (left[:, :, None] < x[1:] - eps) & crosses[:, :, None]
    to_the_left = (middle[:, :, None] < 0.5 * (x[:-1] + x[1:])).sum(axis=1)
    return np.asarray((to_the_left % 2 == 1) & ~enters.any(axis=1))


def _x_at(edges: Float64Array, y: Float64Array) -> Float64Array:
    """Where edges cross horizontal lines, shape (lines, edges); of a horizontal edge its start."""
    x0, y0, x1, y1 = edges.T
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    share = np.clip((y[:, None] - y0) / rise, 0.0, 1.0)
    return np.asarray(np.where(y1 == y0, x0, x0 + share * (x1 - x0)))


def _largest(inside: NDArray[np.bool_], x: Float64Array, y: Float64Array) -> Float64Array:
    """The largest rectangle of cells that are all inside."""
    best, box = 0.0, np.full(4, np.nan)
    columns = np.arange(len(x) - 1)
    for top in range(len(inside)):
        alive = np.logical_and.accumulate(inside[top:], axis=0)
        # Where the run of cells begins that a cell is in.
        begin = np.maximum.accumulate(np.where(alive, -1, columns), axis=1) + 1
        width = np.where(alive, x[columns + 1] - x[begin.clip(max=len(columns) - 1)], 0.0)
        areas = width * (y[top + 1 :] - y[top])[:, None]
        row, column = np.unravel_index(np.argmax(areas), areas.shape)
        if areas[row, column] > best:
            best = areas[row, column]
            box = np.array([x[begin[row, column]], y[top], x[column + 1], y[top + row + 1]])
    return box


def _moved(edges: Float64Array, box: Float64Array, side: int) -> Float64Array:
    """The box with one side (0 left, 1 bottom, 2 right, 3 top) moved outwards to the next edge."""
    if side % 2:  # with the axes swapped, the bottom is the left side
        return _moved(edges[:, [1, 0, 3, 2]], box[[1, 0, 3, 2]], side - 1)[[1, 0, 3, 2]]
    x0, y0, _, y1 = edges.T
    low, high = box[1], box[3]
    meets = (np.minimum(y0, y1) < high) & (np.maximum(y0, y1) > low)
    at = _x_at(edges[meets], np.array([low, high]))
    near, far = at.min(axis=0), at.max(axis=0)
    tolerance = 1e-9 * (x0.max() - x0.min())
    moved = box.copy()
    if side == 0:
        limits = far[far <= box[0] + tolerance]
        moved[0] = min(box[0], limits.max()) if len(limits) else box[0]
    else:
        limits = near[near >= box[2] - tolerance]
        moved[2] = max(box[2], limits.min()) if len(limits) else box[2]
    return moved
