"""Images for a tracker: only the part it will use, the next one decoded while it works."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from solartrack.sequence import Frame, ImagePart, Window
from solartrack.tracking.interface import Tracker

__all__ = ["ReadAhead", "clip_window"]


class ReadAhead:
    """Reads images for a tracker: `start` the next one, then `get` it; and searches them in the same way.

    What a tracker receives covers the window it asks for, whichever of the two was faster.

    Parameters
    ----------
    tracker : Tracker
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._thread = ThreadPoolExecutor(1, "solartrack-read")
        self._next: tuple[Frame, Window | None, Future[ImagePart]] | None = None
        self._searches: dict[Frame, Future[Any]] = {}

    def start(self, frame: Frame, regions: Sequence[Any]) -> None:
        """Begin to decode the image that will be asked for next."""
        try:
            window = self._window(frame, regions)
        except Exception:  # `get` asks again, and the error surfaces there
            return
        if window is not None:
            # The tracker has not seen the image before this one yet: leave it room to change its mind.
            x0, y0, x1, y1 = window
            dx, dy = (x1 - x0) // 4 + 1, (y1 - y0) // 4 + 1
            window = clip_window((x0 - dx, y0 - dy, x1 + dx, y1 + dy), frame.shape)
        self._next = frame, window, self._thread.submit(frame.read, window)

    def get(self, frame: Frame, regions: Sequence[Any]) -> ImagePart:
        """Give the part of an image that the tracker asks for, or more of it."""
        window = self._window(frame, regions)
        if self._next is not None and self._next[0] is frame:
            ahead, self._next = self._next, None
            if _covers(ahead[1], window):
                return ahead[2].result()
        return frame.read(window)

    def start_search(self, frame: Frame, search: Callable[[Frame], Any]) -> None:
        """Begin to search the image that `search` will be asked for next; after it is decoded."""
        self._searches[frame] = self._thread.submit(search, frame)

    def search(self, frame: Frame, search: Callable[[Frame], Any]) -> Any:
        """Give what a search of an image finds."""
        ahead = self._searches.pop(frame, None)
        return search(frame) if ahead is None else ahead.result()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _window(self, frame: Frame, regions: Sequence[Any]) -> Window | None:
        window = getattr(self._tracker, "window", None)
        wanted = None if window is None else window(regions, frame)
        return None if wanted is None else clip_window(wanted, frame.shape)


def clip_window(window: Any, shape: tuple[int, int]) -> Window | None:
    """Whole pixels inside the image; None, the whole image, if the window lies outside it."""
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
