"""Images for a tracker: only the part it will look at, the next one decoded while it works."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.tracking.interface import FrameMeta, Tracker

Window = tuple[int, int, int, int]
Read = Callable[[Window | None], NDArray[Any]]


class ReadAhead:
    """Reads images for one tracker; `start` the next one, then `get` it.

    What a tracker is given depends on its own answers alone, not on which of the two
    was faster.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._thread = ThreadPoolExecutor(1, "solartrack-read")
        self._next: tuple[FrameMeta, Window | None, Future[NDArray[Any]]] | None = None

    def start(self, meta: FrameMeta, read: Read) -> None:
        """Begin to decode the image that will be asked for next."""
        try:
            window = self._window(meta)
        except Exception:  # `get` asks again and lets it be seen
            return
        if window is not None:
            # The tracker has not seen the image before this one yet: leave it room to change its mind.
            x0, y0, x1, y1 = window
            dx, dy = (x1 - x0) // 4 + 1, (y1 - y0) // 4 + 1
            window = _clip((x0 - dx, y0 - dy, x1 + dx, y1 + dy), meta.shape)
        self._next = meta, window, self._thread.submit(read, window)

    def get(self, meta: FrameMeta, read: Read, start: Float64Array | None = None) -> NDArray[Any]:
        """Give an image of full size; outside the tracker's window its pixels mean nothing."""
        window = self._window(meta, start)
        ahead, self._next = self._next, None
        if ahead is not None and ahead[0] is meta and _covers(ahead[1], window):
            return ahead[2].result()
        return read(window)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _window(self, meta: FrameMeta, start: Float64Array | None = None) -> Window | None:
        ask = getattr(self._tracker, "window", None)
        wanted = None if ask is None else ask(meta, start)
        return None if wanted is None else _clip(wanted, meta.shape)


def _clip(window: Any, shape: tuple[int, int]) -> Window | None:
    """Whole pixels inside the image; None, the whole image, where nothing of it is inside."""
    low = np.clip(np.floor(window[:2]), 0, shape[::-1])
    high = np.clip(np.ceil(window[2:]), 0, shape[::-1])
    if not (low < high).all():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _covers(outer: Window | None, inner: Window | None) -> bool:
    if outer is None:
        return True
    if inner is None:
        return False
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]
