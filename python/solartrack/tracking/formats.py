"""Text files of boxes by frame, as in the solar GOTURN study: ``.ann`` and the published tracker's output."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack import boxes as box_conventions
from solartrack._arrays import Float64Array, as_boxes
from solartrack._files import replacing
from solartrack.errors import TrackError

__all__ = ["read_ann", "read_xywh", "write_ann", "write_xywh"]


def read_ann(path: str | os.PathLike[str]) -> tuple[NDArray[np.int64], Float64Array]:
    """Read ground truth from an ``.ann`` file with lines ``frame x2 y2 x3 y3 x0 y0 x1 y1``.

    Parameters
    ----------
    path : path

    Returns
    -------
    frames : ndarray of int64, shape (n,)
    boxes : ndarray of float64, shape (n, 4)

    Raises
    ------
    TrackError
        Naming the file and line that does not hold nine numbers.

    Examples
    --------
    >>> from solartrack.tracking import formats
    >>> formats.write_ann("truth.ann", [66], [[5, 10, 20, 40]])
    >>> frames, boxes = formats.read_ann("truth.ann")
    >>> boxes
    array([[ 5., 10., 20., 40.]])
    """
    frames, values = _read_columns(path, 9, "frame x2 y2 x3 y3 x0 y0 x1 y1")
    return frames, box_conventions.from_ann(values)


def write_ann(path: str | os.PathLike[str], frames: ArrayLike, boxes: ArrayLike) -> None:
    """Write the ground-truth format that `read_ann` reads, with corners rounded to whole pixels.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    frames : array_like of int, shape (n,)
    boxes : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges.

    Raises
    ------
    ValueError
        If there is not one frame number for each box, or a box is not finite.

    Examples
    --------
    >>> from solartrack.tracking import formats
    >>> formats.write_ann("truth.ann", [66], [[5, 10, 20, 40]])
    """
    _write_columns(path, frames, box_conventions.to_ann(boxes))


def read_xywh(path: str | os.PathLike[str]) -> tuple[NDArray[np.int64], Float64Array]:
    """Read boxes from the published tracker's text with lines ``frame x y width height``.

    Parameters
    ----------
    path : path

    Returns
    -------
    frames : ndarray of int64, shape (n,)
    boxes : ndarray of float64, shape (n, 4)

    Raises
    ------
    TrackError
        Naming the file and line that does not hold five numbers.

    Examples
    --------
    >>> from solartrack.tracking import formats
    >>> formats.write_xywh("track.txt", [66], [[5, 10, 20, 40]])
    >>> frames, boxes = formats.read_xywh("track.txt")
    >>> boxes
    array([[ 5., 10., 20., 40.]])
    """
    frames, values = _read_columns(path, 5, "frame x y width height")
    return frames, box_conventions.from_xywh(values)


def write_xywh(path: str | os.PathLike[str], frames: ArrayLike, boxes: ArrayLike) -> None:
    """Write the published tracker's text; both corners are rounded to whole pixels.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    frames : array_like of int, shape (n,)
    boxes : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges.

    Raises
    ------
    ValueError
        If there is not one frame number for each box, or a box is not finite.

    Examples
    --------
    >>> from solartrack.tracking import formats
    >>> formats.write_xywh("track.txt", [66], [[5, 10, 20, 40]])
    """
    _write_columns(path, frames, box_conventions.to_xywh(np.rint(as_boxes(boxes))))


def _read_columns(
    path: str | os.PathLike[str], columns: int, layout: str
) -> tuple[NDArray[np.int64], Float64Array]:
    frames: list[int] = []
    rows: list[list[float]] = []
    try:
        text = Path(path).read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise TrackError(f"{os.fspath(path)}: not a text file of '{layout}' lines") from error
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            frame, *row = (float(word) for word in words)
            if len(row) != columns - 1 or not np.isfinite(row).all() or frame != int(frame):
                raise ValueError
        except (ValueError, OverflowError):
            raise TrackError(
                f"{os.fspath(path)}, line {number}: expected '{layout}', got {line.strip()[:80]!r}"
            ) from None
        frames.append(int(frame))
        rows.append(row)
    return np.array(frames, dtype=np.int64), np.array(rows, dtype=np.float64).reshape(-1, columns - 1)


def _write_columns(path: str | os.PathLike[str], frames: ArrayLike, values: Float64Array) -> None:
    numbers = np.asarray(frames)
    if numbers.shape != (len(values),):
        raise ValueError(f"frames must have shape ({len(values)},), one for each box, got {numbers.shape}")
    lines = (
        f"{int(frame)} " + " ".join(str(int(v)) for v in row)
        for frame, row in zip(numbers, np.rint(values), strict=True)
    )
    with replacing(path) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
