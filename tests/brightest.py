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

    def window(self, regions, frame):
        if self.looks_at == "everything":
            return None
        (box,) = regions
        x0, y0, x1, y1 = box
        margin = 0.5 * max(x1 - x0, y1 - y0)
        return x0 - margin, y0 - margin, x1 + margin, y1 + margin

    def new_region(self, box, frame):
        return box.copy()

    def initialize(self, image, regions, frame):
        return [""] * len(regions)

    def update(self, image, regions, frame):
        return [self.follow(image, box, frame) for box in regions]

    def follow(self, image, box, frame):
        x0, y0, x1, y1 = box
        margin = 0.5 * max(x1 - x0, y1 - y0)
        low = np.maximum([x0 - margin, y0 - margin], 0).astype(int)
        high = np.minimum([x1 + margin, y1 + margin], frame.shape[::-1]).astype(int)
        part = image.pixels[low[1] - image.y0 : high[1] - image.y0, low[0] - image.x0 : high[0] - image.x0]
        part = np.nan_to_num(part.astype(float))
        weight = np.clip(part - np.median(part), 0.0, None) ** 2
        total = weight.sum()
        if total > 0:
            y, x = np.indices(part.shape) + 0.5
            centre = np.array([(x * weight).sum(), (y * weight).sum()]) / total + low
            shift = centre - [(x0 + x1) / 2, (y0 + y1) / 2]
            box += np.tile(shift, 2)
        return Step(box.copy(), float(total > 0), "tracked" if total > 0 else "lost")


class Slow(Brightest):
    """Takes its time, so that something can happen meanwhile."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def update(self, image, regions, frame):
        time.sleep(self.seconds)
        return super().update(image, regions, frame)


class Deadly(Brightest):
    """Takes its process with it, like a decoder that crashes, where a box starts at the left of a column."""

    def __init__(self, left_of):
        super().__init__()
        self.left_of = left_of

    def initialize(self, image, regions, frame):
        if regions[0][0] < self.left_of:
            os._exit(7)
        return super().initialize(image, regions, frame)


class Local(Brightest):
    """Is another one in every process, as where workers have another model under the same name."""

    def settings(self):
        return {"process": os.getpid()}
