"""Context crops by the book: cut, paste into a black canvas, cv2.resize. One box, one image."""

import math

import cv2
import numpy as np


def axis(low, high, pixels, context=2.0):
    """Region start, region size, canvas size and edge spacing along one axis, whole pixels."""
    size = max(1.0, context * (high - low))
    half = size / 2
    centre = (low + high) / 2
    start = math.trunc(max(0.0, centre - half))
    count = math.ceil(max(1.0, min(half, centre) + min(half, pixels - centre)))
    if centre + half <= 0 or centre - half >= pixels:  # the window misses the image
        count = 0
    count = max(0, min(count, pixels - start))  # cut to the image
    canvas = max(math.ceil(size), count)
    spacing = math.trunc(max(0.0, half - centre))
    return start, count, canvas, spacing


def canvas_of(image, box, context=2.0, fill=0.0):
    """The window on its canvas, uint8 as it is, other types as float32."""
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
        image = np.where(np.isfinite(image), image, np.float32(fill))
    x0, y0, x1, y1 = (float(v) for v in box)
    left, width, canvas_width, space_x = axis(x0, x1, image.shape[1], context)
    top, height, canvas_height, space_y = axis(y0, y1, image.shape[0], context)
    canvas = np.full((canvas_height, canvas_width), fill, image.dtype)
    region = image[top : top + height, left : left + width]
    region = region[: canvas_height - space_y, : canvas_width - space_x]
    canvas[space_y : space_y + region.shape[0], space_x : space_x + region.shape[1]] = region
    return canvas


def context_crop(
    image, box, size=(227, 227), context=2.0, channels=3, mean=(104.0, 117.0, 123.0), scale=1.0, fill=0.0
):
    """float32, shape (height, width, channels)."""
    grey = cv2.resize(canvas_of(image, box, context, fill), size, interpolation=cv2.INTER_LINEAR)
    crop = np.repeat(grey[:, :, np.newaxis], channels, axis=2).astype(np.float32)
    return (crop - np.asarray(mean, np.float32)) * np.float32(scale)


def _frame(anchor, image_shape, context):
    left, _, width, space_x = axis(anchor[0], anchor[2], image_shape[1], context)
    top, _, height, space_y = axis(anchor[1], anchor[3], image_shape[0], context)
    return np.array([left - space_x, top - space_y] * 2), np.array([width, height] * 2)


def frame_to_crop(box, anchor, image_shape, context=2.0, span=10.0):
    """Recentre, then scale."""
    origin, canvas = _frame(anchor, image_shape, context)
    return (np.asarray(box) - origin) / canvas * span


def crop_to_frame(box, anchor, image_shape, context=2.0, span=10.0):
    origin, canvas = _frame(anchor, image_shape, context)
    ny, nx = image_shape
    return np.clip(np.asarray(box) / span * canvas + origin, 0, [nx, ny, nx, ny])
