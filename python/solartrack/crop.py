"""Context crops: the surroundings of a box as a network sees them, and the coordinates in them.

A crop shows a window around the centre of a box, `context` times as large as the box. Beyond the image it
holds a fill value. Boxes are ``(x0, y0, x1, y1)`` in pixel edges, continuous and half-open.

For a crop from a part of an image, shift the boxes by the part's origin. The crop is the same as from the
whole image if the part holds the window, or the window's part of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack import _core
from solartrack._arrays import Float64Array, as_boxes, as_count, as_pixels, as_threads, refuse_colours

__all__ = ["context_crop", "crop_to_frame", "frame_to_crop"]

Float32Array = NDArray[np.float32]

_LARGEST_SIDE = 32768
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_FARTHEST = 1e12  # pixels; whole pixels are exact in a double up to 9e15


def context_crop(
    image: ArrayLike | Sequence[ArrayLike],
    boxes: ArrayLike,
    *,
    size: int | tuple[int, int] = (227, 227),
    context: float = 2.0,
    channels: int = 3,
    mean: float | Sequence[float] = (104.0, 117.0, 123.0),
    scale: float = 1.0,
    layout: Literal["NHWC", "NCHW"] = "NHWC",
    fill: float = 0.0,
    out: Float32Array | None = None,
    threads: int | None = None,
) -> Float32Array:
    """Crops around boxes, resampled to one size and normalised for a network.

    Let the box have its centre at ``(cx, cy)``, and ``w = max(1, context * width)``. The crop shows
    ``ceil(max(1, min(w/2, cx) + min(w/2, nx - cx)))`` image columns, the first of which is
    ``trunc(max(0, cx - w/2))``, on a canvas ``ceil(w)`` wide, where they begin at column
    ``trunc(max(0, w/2 - cx))``; rows likewise. The canvas is resampled bilinearly with half-pixel centres,
    as by ``cv2.resize`` with ``INTER_LINEAR``, but not rounded to whole counts. It is not stored: time and
    memory depend on `size`, not on the box.

    Parameters
    ----------
    image : array_like, shape (ny, nx) or (n, ny, nx), or a list or tuple of n images
        One image for all boxes, or one image per box; in a list they may differ in shape and type.
        An array whose last axis is 3 or 4 is taken for colours and refused.
        uint8, uint16, int16, int32, float32 and float64 are read without a copy, in any memory
        order; other real types are converted. Pixels that are not finite as float32 count as `fill`.
    boxes : array_like, shape (n, 4)
        May be partly or wholly outside the image (a window that misses the
        image is all `fill`), empty (the window is then one pixel) or far larger than the image.
    size : int or (int, int)
        ``(width, height)`` of the crops in pixels, or the side of square ones, at most 32768.
    context : float
        Side of the window in box sides.
    channels : int
        How often the grey value is repeated.
    mean : float or sequence of float
        Subtracted from the channels; one value for each, or one for all. The default is that of Caffe
        networks trained on ImageNet: blue, green, red.
    scale : float
        Factor after the subtraction: ``(pixel - mean) * scale``.
    layout : {"NHWC", "NCHW"}
        Channels last or first.
    fill : float
        Pixel value beyond the image.
    out : ndarray of float32, C-contiguous, optional
        Written and returned instead of a new array. It must not overlap the images.
    threads : int, optional
        Boxes are shared among these; default ``$SOLARTRACK_NUM_THREADS``, else the cores this
        process may use.

    Returns
    -------
    ndarray of float32, shape (n, height, width, channels) or (n, channels, height, width)

    Raises
    ------
    ValueError
        If a shape, a size, the layout, or the number of images or means is wrong, or a number is not finite.
    TypeError
        If the image or the boxes are not real numbers, or `out` is not float32.

    References
    ----------
    Held, Thrun & Savarese 2016, ECCV, "Learning to Track at 100 FPS with Deep Regression Networks".

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.crop import context_crop
    >>> image = np.zeros((512, 512), np.float32)
    >>> context_crop(image, [[100, 100, 150, 180]], size=128, channels=1, mean=0.0).shape
    (1, 128, 128, 1)
    """
    rows = as_boxes(boxes, "boxes")
    images = _as_images(image, len(rows))
    width, height = _as_size(size)
    depth = as_count(channels, "channels")
    means = [_as_finite(value, "mean") for value in (mean if np.iterable(mean) else [mean] * depth)]
    if len(means) != depth:
        raise ValueError(
            f"mean must have one value for each of the {depth} channels, got {len(means)}; "
            "pass as many values as channels, or a single one for all"
        )
    if layout not in ("NHWC", "NCHW"):
        raise ValueError(f"layout must be 'NHWC' or 'NCHW', got {layout!r}")
    channels_last = layout == "NHWC"
    shape = (len(rows), height, width, depth) if channels_last else (len(rows), depth, height, width)
    crops = np.empty(shape, np.float32) if out is None else _as_out(out, shape, images)
    _core.context_crops(
        images,
        rows,
        _as_context(context),
        np.array(means, np.float32),
        _as_finite(scale, "scale"),
        _as_finite(fill, "fill"),
        channels_last,
        crops,
        # A single box cannot be shared among threads, so the number of cores does not matter.
        1 if threads is None and len(rows) == 1 else as_threads(threads),
    )
    return crops


def frame_to_crop(
    boxes: ArrayLike, anchors: ArrayLike, *, context: float = 2.0, span: float = 10.0
) -> Float64Array:
    """Boxes from frame pixels to the coordinates of crops that were cut around other boxes.

    The start of the window is subtracted, and the result divided by the size of the canvas and multiplied
    by `span`. Start and size are the whole pixels that `context_crop` uses.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        In frame pixels.
    anchors : array_like, shape (n, 4) or (1, 4)
        The boxes the crops were cut around; a single one serves all rows.
    context : float
        As given to `context_crop`.
    span : float
        Coordinate of the far edges of the crop; the near ones are at 0.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Not clipped: a box beyond the window has coordinates below 0 or above `span`.

    Raises
    ------
    ValueError
        If a shape is wrong, row counts differ, or a number is not finite or not positive where it must be.
    TypeError
        If the boxes are not real numbers.

    References
    ----------
    Held, Thrun & Savarese 2016, ECCV.

    Examples
    --------
    >>> from solartrack.crop import frame_to_crop
    >>> frame_to_crop([[100, 100, 150, 180]], [[100, 100, 150, 180]])
    array([[2.5, 2.5, 7.5, 7.5]])
    """
    rows = _as_near_boxes(boxes, "boxes")
    origin, unit = _crop_frame(rows, anchors, context, span)
    return (rows - origin) / unit


def crop_to_frame(
    boxes: ArrayLike,
    anchors: ArrayLike,
    image_shape: tuple[int, int] | None,
    *,
    context: float = 2.0,
    span: float = 10.0,
) -> Float64Array:
    """Boxes from the coordinates of crops back to frame pixels, the inverse of `frame_to_crop`.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        In crop coordinates, 0 to `span`, such as the answer of a network.
    anchors : array_like, shape (n, 4) or (1, 4)
        The boxes the crops were cut around; a single one serves all rows.
    image_shape : (int, int) or None
        ``(ny, nx)`` of the image that the boxes are clipped to; a box beyond the image becomes empty,
        at its edge. ``None`` does not clip.
    context, span : float
        As in `frame_to_crop`.

    Returns
    -------
    ndarray of float64, shape (n, 4)

    Raises
    ------
    ValueError
        As `frame_to_crop`, and if `image_shape` is not two positive integers.
    TypeError
        If the boxes are not real numbers.

    Examples
    --------
    >>> from solartrack.crop import crop_to_frame
    >>> crop_to_frame([[2.5, 2.5, 7.5, 7.5]], [[100, 100, 150, 180]], (512, 512))
    array([[100., 100., 150., 180.]])
    """
    rows = _as_near_boxes(boxes, "boxes")
    origin, unit = _crop_frame(rows, anchors, context, span)
    frame: Float64Array = rows * unit + origin
    if image_shape is None:
        return frame
    try:
        ny, nx = (as_count(side, "image_shape") for side in image_shape)
    except (TypeError, ValueError) as error:
        raise ValueError(f"image_shape must be (ny, nx), positive integers, got {image_shape!r}") from error
    return np.clip(frame, 0.0, [nx, ny, nx, ny])


def _crop_frame(
    rows: Float64Array, anchors: ArrayLike, context: float, span: float
) -> tuple[Float64Array, Float64Array]:
    around = _as_near_boxes(anchors, "anchors")
    if len(around) not in (1, len(rows)):
        raise ValueError(
            f"anchors must have one row for each of the {len(rows)} boxes, or a single one, got {len(around)}"
        )
    unit = _as_finite(span, "span")
    if unit <= 0.0:
        raise ValueError(f"span must be positive, got {span!r}")
    low, high = around[:, :2], around[:, 2:]
    size = np.maximum(1.0, _as_context(context) * (high - low))
    # The first image column of the crop minus its column on the canvas, each truncated as in
    # `context_crop`: one of them is always 0.
    origin = np.trunc(0.5 * (low + high) - 0.5 * size)
    return np.tile(origin, 2), np.tile(np.ceil(size) / unit, 2)


def _as_near_boxes(boxes: ArrayLike, name: str) -> Float64Array:
    rows = as_boxes(boxes, name)
    if rows.size and max(rows.max(), -rows.min()) > _FARTHEST:
        raise ValueError(
            f"{name} must lie within 1e12 pixels of the image, got {rows.max():g}, {rows.min():g}"
        )
    return rows


def _as_images(image: Any, boxes: int) -> list[NDArray[Any]]:
    if isinstance(image, (list, tuple)):
        what = f"a {type(image).__name__} of {len(image)} images"
    else:
        image = np.asanyarray(image)
        if image.ndim != 3:
            return [as_pixels(image)]
        refuse_colours(image, "image")
        what = f"image of shape {image.shape}, a stack of {len(image)},"
    if len(image) != boxes:
        raise ValueError(
            f"{what} needs one box for each image, got {boxes} boxes; "
            "for many boxes in one image pass it as a 2-D array, for colour one channel at a time"
        )
    return [as_pixels(one, f"image[{i}]") for i, one in enumerate(image)]


def _as_size(size: Any) -> tuple[int, int]:
    sides = tuple(size) if np.iterable(size) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size must be one integer or (width, height), got {size!r}")
    return as_count(sides[0], "size", _LARGEST_SIDE), as_count(sides[1], "size", _LARGEST_SIDE)


def _as_finite(value: Any, name: str) -> float:
    try:
        number = float("nan" if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= _LARGEST_FLOAT32:
        raise ValueError(f"{name} must be a finite number (as float32), got {value!r}")
    return number


def _as_context(context: Any) -> float:
    number = _as_finite(context, "context")
    if number <= 0.0:
        raise ValueError(f"context must be positive, got {context!r}")
    return number


def _as_out(out: Any, shape: tuple[int, ...], images: list[NDArray[Any]]) -> Float32Array:
    if not isinstance(out, np.ndarray) or out.dtype != np.float32 or not out.dtype.isnative:
        got = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"out must be a float32 array, got {got}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
        raise ValueError("out must be C-contiguous, aligned and writable; make it with numpy.empty")
    if any(np.may_share_memory(out, pixels) for pixels in images):
        raise ValueError("out must not overlap the images, which are read while it is written")
    return out
