"""A tracker that looks at pixels, small enough to see what it must answer."""

import os
import time

import numpy as np

from solartrack.tracking import Step


class Brightest:
    """Moves the box to the centroid of what is bright around it."""

    name = "brightest"
    needs_pixels = True
    needs_sun = False

    def __init__(self, looks_at="window"):
        self.looks_at = looks_at

    def settings(self):
        return {"looks_at": self.looks_at}

    def window(self, meta, start=None):
        if self.looks_at == "everything":
            return None
        x0, y0, x1, y1 = self.box if start is None else start
        margin = 0.5 * max(x1 - x0, y1 - y0)
        return x0 - margin, y0 - margin, x1 + margin, y1 + margin

    def init(self, image, box, meta):
        self.box = box

    def update(self, image, meta):
        x0, y0, x1, y1 = self.box
        margin = 0.5 * max(x1 - x0, y1 - y0)
        low = np.maximum([x0 - margin, y0 - margin], 0).astype(int)
        high = np.minimum([x1 + margin, y1 + margin], image.shape[::-1]).astype(int)
        part = np.nan_to_num(image[low[1] : high[1], low[0] : high[0]].astype(float))
        weight = np.clip(part - np.median(part), 0.0, None) ** 2
        total = weight.sum()
        if total > 0:
            y, x = np.indices(part.shape) + 0.5
            centre = np.array([(x * weight).sum(), (y * weight).sum()]) / total + low
            shift = centre - [(x0 + x1) / 2, (y0 + y1) / 2]
            self.box = self.box + np.tile(shift, 2)
        return Step(self.box, float(total > 0), "tracked" if total > 0 else "lost")


class Slow(Brightest):
    """Takes its time, so that something can happen meanwhile."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def update(self, image, meta):
        time.sleep(self.seconds)
        return super().update(image, meta)


class Deadly(Brightest):
    """Takes its process with it, like a decoder that crashes, where a box starts at the left of a column."""

    def __init__(self, left_of):
        super().__init__()
        self.left_of = left_of

    def init(self, image, box, meta):
        if box[0] < self.left_of:
            os._exit(7)
        super().init(image, box, meta)


class Local(Brightest):
    """Is another one in every process, as where workers have another model under the same name."""

    def settings(self):
        return {"process": os.getpid()}
