"""
A tracker of your own
=====================

A tracker is any object with five members. This one puts the box on the brightest place near the last one;
it then runs everywhere that the built-in ones do: `solartrack.track`, many regions, archives.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

import solartrack
from solartrack import metrics, simulate, viz
from solartrack.tracking import Step

# %%
# ``new_region`` makes what the tracker remembers of one region, and ``update`` moves all regions to the
# next image. `solartrack.tracking.Tracker` says what each member must do.


class Brightest:
    """Moves the box to the centroid of what is bright around it."""

    name = "brightest"
    needs_pixels = True
    needs_sun = False

    def settings(self):
        """Nothing to choose."""
        return {}

    def new_region(self, box, frame):
        """Remember the box."""
        return box.copy()

    def initialize(self, image, regions, frame):
        """Learn nothing of the start image."""
        return [""] * len(regions)

    def update(self, image, regions, frame):
        """Follow each region."""
        return [self._follow(image, box, frame) for box in regions]

    def _follow(self, image, box, frame):
        height, width = frame.shape
        side = 0.25 * max(box[2] - box[0], box[3] - box[1])
        x0, y0 = (max(0, int(v - side)) for v in box[:2])
        x1, y1 = min(width, int(box[2] + side)), min(height, int(box[3] + side))
        part = image.pixels[y0 - image.y0 : y1 - image.y0, x0 - image.x0 : x1 - image.x0].astype(float)
        weight = np.clip(part - np.median(part), 0, None) ** 2
        if not weight.any():
            return Step(box.copy(), 0.0, "lost")
        y, x = ndimage.center_of_mass(weight)
        shift = [x0 + x + 0.5 - (box[0] + box[2]) / 2, y0 + y + 0.5 - (box[1] + box[3]) / 2]
        box += np.tile(shift, 2)
        return Step(box.copy(), 1.0, "tracked")


# %%
# Beside two built-in trackers, on the same simulated region.

folder = Path(tempfile.mkdtemp()) / "images"
frames = list(simulate.sequence(1, 12, "8h", size=512))
simulate.write(folder, frames)
always = set.intersection(*(set(frame.ids) for frame in frames))
paths = {i: np.array([frame.boxes[frame.ids == i][0] for frame in frames]) for i in sorted(always)}
truth = min(paths.values(), key=lambda boxes: np.abs(boxes[:, [0, 2]].mean(axis=1) - 256).mean())

overlaps = {}
for tracker in ("solar", "rotation", Brightest()):
    track = solartrack.track(folder, truth[0], tracker=tracker)
    name = track["tracker"].iloc[0]
    overlaps[name] = metrics.iou(track[["x0", "y0", "x1", "y1"]].to_numpy(), truth)
    print(f"{name:10} mean IoU {overlaps[name][1:].mean():.2f}")

# %%
# The centroid of what is bright is not the middle of the region, and the box keeps its size. The default
# tracker knows the Sun's rotation, and how the size changes.

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
later = {name: iou[1:] for name, iou in overlaps.items()}  # the start box was given
viz.plot_iou(range(1, len(frames)), later, ax=ax)
plt.show()
