"""Which pixels of an image to read: a window and a reduction."""

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack.errors import ImageError


class Cut(NamedTuple):
    """What to read, in full-resolution pixels of the stored array.

    Attributes
    ----------
    window : tuple of int or None
        ``(x0, y0, x1, y1)``, half-open; None for the whole image.
    reduce : int
        Full-resolution pixels per pixel of the result, a power of two.
    """

    window: tuple[int, int, int, int] | None = None
    reduce: int = 1

    @classmethod
    def from_arguments(cls, window: Any, reduce: Any) -> "Cut":
        """Check the arguments of `solartrack.images.read`.

        Raises
        ------
        ValueError
            If `window` is empty, inverted or does not start at multiples of `reduce`, or `reduce` is not
            a power of two.
        """
        cut = cls(_as_window(window), _as_power_of_two(reduce))
        if cut.window and (cut.window[0] % cut.reduce or cut.window[1] % cut.reduce):
            x0, y0 = cut.window[:2]
            raise ValueError(
                f"window must start at multiples of reduce={reduce}, got ({x0}, {y0}); "
                f"use ({x0 - x0 % reduce}, {y0 - y0 % reduce})"
            )
        return cut

    def within(self, nx: int, ny: int) -> tuple[int, int, int, int]:
        """The window in an image of `nx` x `ny` pixels; an `ImageError` if it reaches outside."""
        x0, y0, x1, y1 = self.window or (0, 0, nx, ny)
        if x0 < 0 or y0 < 0 or x1 > nx or y1 > ny:
            raise ImageError(
                f"window ({x0}, {y0}, {x1}, {y1}) reaches outside the image of {nx} x {ny} pixels; "
                "clip it to the image"
            )
        return x0, y0, x1, y1


def block_mean(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Mean over blocks of size x size pixels; integers are rounded."""
    if size == 1:
        return array
    starts = [np.arange(0, n, size) for n in array.shape]
    counts = [np.diff(s, append=n) for s, n in zip(starts, array.shape, strict=True)]
    with np.errstate(invalid="ignore"):  # infinite pixels
        total = np.add.reduceat(array, starts[0], axis=0, dtype=np.float64)
        mean = np.add.reduceat(total, starts[1], axis=1) / np.outer(*counts)
    return (np.rint(mean) if array.dtype.kind in "iu" else mean).astype(array.dtype)


def _as_window(window: Any) -> tuple[int, int, int, int] | None:
    if window is None:
        return None
    try:
        x0, y0, x1, y1 = map(operator.index, window)
    except (TypeError, ValueError):
        raise ValueError(f"window must be four integers (x0, y0, x1, y1), got {window!r}") from None
    if x1 <= x0 or y1 <= y0:
        raise ValueError(
            f"window must have x1 > x0 and y1 > y0, got ({x0}, {y0}, {x1}, {y1}); "
            "it is (x0, y0, x1, y1), not (x, y, width, height)"
        )
    return x0, y0, x1, y1


def _as_power_of_two(reduce: Any) -> int:
    try:
        factor = operator.index(reduce)
    except TypeError:
        factor = 0
    if factor < 1 or factor & (factor - 1):
        raise ValueError(f"reduce must be a power of two (1, 2, 4, ...), got {reduce!r}")
    return factor
