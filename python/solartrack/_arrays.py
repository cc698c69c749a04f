"""Arguments on their way to the kernels: dtype, shape, contiguity, and the messages."""

import math
import operator
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]

#: Pixel types that the kernels read without a copy.
PIXEL_DTYPES = tuple(np.dtype(t) for t in (np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64))


def refuse_masked(values: Any, name: str) -> None:
    """Refuse masked arrays of NumPy and astropy, also in a list: the mask would be dropped in silence.

    Raises
    ------
    TypeError
        If the values, or rows of them, have a mask, whether or not it hides any of them.
    """
    for part in values if isinstance(values, list | tuple) else [values]:
        # pandas objects have a method of this name.
        if isinstance(getattr(part, "mask", None), np.ndarray | np.bool_):
            raise TypeError(f"{name} is a masked array; drop the masked rows first")


def as_boxes(boxes: ArrayLike, name: str = "boxes") -> Float64Array:
    """Boxes as a C-contiguous float64 array of shape (n, 4).

    Parameters
    ----------
    boxes : array_like, shape (n, 4) or (4,)
        ``(x0, y0, x1, y1)``; a single box becomes one row.
    name : str
        What to call it in messages.

    Returns
    -------
    ndarray of float64, shape (n, 4)

    Raises
    ------
    ValueError
        If the shape is another one or a coordinate is not finite.
    TypeError
        If the values are not real numbers, are masked, or have another unit than pixels.
    """
    if type(boxes) is not np.ndarray:  # a plain array has neither mask nor unit
        refuse_masked(boxes, name)
        unit = getattr(boxes, "unit", None) if hasattr(boxes, "to_value") else None
        if unit is not None and str(unit) not in ("", "pix"):
            raise TypeError(f"{name} must be in pixels, got {unit}; see solartrack.boxes.from_arcsec")
    try:
        raw = np.asarray(boxes)
    except ValueError as error:  # ragged
        raise ValueError(f"{name} must have shape (n, 4), got rows of different lengths") from error
    if raw.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be real numbers, got dtype {raw.dtype}")
    if raw.ndim == 1 and raw.shape == (4,):
        raw = raw[np.newaxis]
    if raw.size == 0 and raw.ndim <= 2 and raw.shape[-1] in (0, 4):
        return np.empty((0, 4))
    if raw.ndim != 2 or raw.shape[1] != 4:
        hint = "; drop the score column first" if raw.ndim == 2 and raw.shape[1] == 5 else ""
        raise ValueError(f"{name} must have shape (n, 4), got {raw.shape}{hint}")
    out = np.ascontiguousarray(raw, np.float64)
    if not out.flags.aligned:  # a field of packed records
        out = out.copy()
    # For a few boxes, which is what a tracker passes, NumPy's calls cost more than their work.
    finite = all(map(math.isfinite, out.ravel().tolist())) if out.size <= 64 else np.isfinite(out).all()
    if not finite:
        row = int(np.argmin(np.isfinite(out).all(axis=1)))
        raise ValueError(
            f"{name} must be finite, got {out[row].tolist()} in row {row}; "
            "frames without a box have to be dropped first"
        )
    return out


def as_box(box: ArrayLike, name: str = "box") -> Float64Array:
    """One box as a float64 array of shape (4,) with positive width and height.

    Raises
    ------
    ValueError
        If it is not one box, not finite, or empty or inverted.
    """
    rows = as_boxes(box, name)
    if len(rows) != 1:
        raise ValueError(f"{name} must be one box (x0, y0, x1, y1), got {len(rows)}")
    x0, y0, x1, y1 = rows[0].tolist()
    if x1 <= x0 or y1 <= y0:
        raise ValueError(
            f"{name} must have x1 > x0 and y1 > y0, got ({x0:g}, {y0:g}, {x1:g}, {y1:g}); "
            "if this is (x, y, width, height), use solartrack.boxes.from_xywh"
        )
    return np.asarray(rows[0])


def as_reports(boxes: ArrayLike, name: str = "boxes") -> tuple[Float64Array, NDArray[np.bool_]]:
    """A tracker's boxes, where four NaN say that it reported nothing.

    Parameters
    ----------
    boxes : array_like, shape (n, 4) or (4,)
        ``(x0, y0, x1, y1)``; empty and inverted boxes pass.
    name : str
        What to call it in messages.

    Returns
    -------
    boxes : ndarray of float64, shape (n, 4)
        Rows without a report are zeros, an empty box.
    reported : ndarray of bool, shape (n,)

    Raises
    ------
    ValueError
        If the shape is another one, or a row is infinite or only partly NaN.
    TypeError
        If the values are not real numbers.
    """
    refuse_masked(boxes, name)
    try:
        nan = np.isnan(np.asarray(boxes))
    except (TypeError, ValueError):  # not numbers, or ragged: as_boxes says which
        nan = np.zeros(0, dtype=bool)
    rows = as_boxes(np.where(nan, 0.0, boxes) if nan.any() else boxes, name)
    nan = nan.reshape(rows.shape)
    reported = ~nan.any(axis=1)
    partly = ~reported & ~nan.all(axis=1)
    if partly.any():
        row = int(np.argmax(partly))
        raise ValueError(
            f"{name} must be finite or, where nothing was reported, four NaN; row {row} is partly NaN"
        )
    return rows, reported


def as_track(truth: ArrayLike, boxes: ArrayLike) -> tuple[Float64Array, Float64Array, NDArray[np.bool_]]:
    """True boxes and reported boxes of the same frames, row by row.

    Parameters
    ----------
    truth : array_like, shape (n, 4)
        ``(x0, y0, x1, y1)``; empty boxes pass.
    boxes : array_like, shape (n, 4)
        As for `as_reports`.

    Returns
    -------
    truth, boxes : ndarray of float64, shape (n, 4)
    reported : ndarray of bool, shape (n,)

    Raises
    ------
    ValueError
        If there is no frame, a shape is wrong, row counts differ, a true box is
        not finite or inverted, or a reported one is infinite or only partly NaN.
    TypeError
        If the values are not real numbers.
    """
    g = as_boxes(truth, "truth")
    if len(g) == 0:
        raise ValueError("truth has no frames, so there is nothing to score")
    refuse_inverted(g, "truth")
    rows, reported = as_reports(boxes)
    if len(rows) != len(g):
        raise ValueError(
            f"boxes must have one row for each of the {len(g)} rows of truth, got {len(rows)}; "
            "solartrack.metrics.align pairs them by frame"
        )
    return g, rows, reported


def refuse_inverted(boxes: Float64Array, name: str) -> None:
    """Refuse boxes of negative width or height, which often are ``(x, y, width, height)``.

    Raises
    ------
    ValueError
        Naming the first of them.
    """
    inverted = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if inverted.any():
        row = int(np.argmax(inverted))
        raise ValueError(
            f"{name} must have x1 >= x0 and y1 >= y0, got {boxes[row].tolist()} in row {row}; "
            "if this is (x, y, width, height), use solartrack.boxes.from_xywh"
        )


def as_theta(theta: float, name: str = "theta") -> float:
    """A threshold as a float between 0 and 1.

    Raises
    ------
    ValueError
        If it is outside, or NaN.
    TypeError
        If it is not a number.
    """
    try:
        value = float(theta)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number between 0 and 1, got {theta!r}") from error
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be between 0 and 1, got {theta!r}")
    return value


def as_pixels(image: Any, name: str = "image") -> NDArray[Any]:
    """A 2-D image in a pixel type that kernels read; strides are kept, misaligned pixels are copied.

    Parameters
    ----------
    image : array_like, shape (ny, nx)
        uint8, uint16, int16, int32, float32, float64 pass as they are, in any
        memory order; other byte orders are swapped; bool, int8, float16 and wider
        integers become the smallest listed type that holds them (int64 and
        uint32 become float64).
    name : str
        What to call it in messages.

    Returns
    -------
    ndarray, shape (ny, nx)

    Raises
    ------
    ValueError
        If it is not 2-D or has no pixels.
    TypeError
        If the pixels are not real numbers.
    """
    pixels: NDArray[Any] = np.asanyarray(image)
    if type(pixels) is not np.ndarray:
        if hasattr(pixels, "mask"):  # NumPy's or astropy's
            raise TypeError(f"{name} is a masked array; fill it first, for example with .filled(nan)")
        pixels = np.asarray(pixels)
    if pixels.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {pixels.dtype}")
    if pixels.ndim != 2:
        raise ValueError(f"{name} must be 2-D (rows, columns), got shape {pixels.shape}")
    if pixels.size == 0:
        raise ValueError(f"{name} has no pixels, its shape is {pixels.shape}")
    native = pixels.dtype.newbyteorder("=")
    if native not in PIXEL_DTYPES:
        for wider in PIXEL_DTYPES:
            if np.can_cast(native, wider, "safe"):
                native = wider
                break
        else:
            native = np.dtype(np.float64)
    pixels = pixels.astype(native, copy=False)
    # A field of packed records may lie between the places where a kernel can read.
    flags = pixels.flags
    if not flags.aligned or (not flags.c_contiguous and any(s % pixels.itemsize for s in pixels.strides)):
        pixels = pixels.copy()
    return pixels


def refuse_colours(stack: NDArray[Any], name: str) -> None:
    """Refuse a colour image where a stack of images, shape (n, ny, nx), is meant.

    Raises
    ------
    ValueError
        If the last axis is 3 or 4 long.
    """
    if stack.ndim == 3 and stack.shape[2] in (3, 4):
        raise ValueError(
            f"{name} of shape {stack.shape} looks like one image with its colours last; pass one channel, "
            "such as image[:, :, 0], or images as narrow as that in a list"
        )


def as_count(value: Any, name: str, largest: int | None = None) -> int:
    """A positive integer.

    Raises
    ------
    ValueError
        If it is none, or more than `largest`.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool) or (largest is not None and count > largest):
        limit = "" if largest is None else f" up to {largest}"
        raise ValueError(f"{name} must be a positive integer{limit}, got {value!r}")
    return count


def as_threads(threads: int | None) -> int:
    """How many threads a kernel may use.

    Parameters
    ----------
    threads : int or None
        A count, or ``None`` for ``$SOLARTRACK_NUM_THREADS`` if set, else the
        cores this process may use.

    Raises
    ------
    ValueError
        If the count (or the variable) is not a positive integer.
    """
    source = "threads"
    value: Any = threads
    if value is None:
        value = os.environ.get("SOLARTRACK_NUM_THREADS", "").strip() or None
        source = "the environment variable SOLARTRACK_NUM_THREADS"
    if value is None:
        if hasattr(os, "sched_getaffinity"):
            return max(1, len(os.sched_getaffinity(0)))
        return os.cpu_count() or 1
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):  # overflow: infinite
        count = 0
    if count < 1 or (isinstance(value, float) and value != count):
        raise ValueError(f"{source} must be a positive integer, got {value!r}")
    return min(count, 1024)
