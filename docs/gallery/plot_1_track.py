"""
Follow a region
===============

A region of a simulated Sun is followed through four days of AIA-like images by the default tracker, scored
against the boxes that the simulation knows, and drawn.

Simulated images serve here so that the truth is exact and nothing need be downloaded. For your own images
give a folder or a list of files in place of ``images``.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import solartrack
from solartrack import metrics, simulate, viz

# %%
# Twelve images, eight hours apart. ``truth`` has a row for each region and image.

images = Path(tempfile.mkdtemp()) / "images"
truth = simulate.write(images, simulate.sequence(1, 12, "8h", size=512))
truth.head()

# %%
# Of the regions that are in all images, the one nearest to the central meridian. Its first box is all that
# the tracker is told.

BOX = ["x0", "y0", "x1", "y1"]
always = truth[truth.groupby("id")["frame"].transform("count") == 12]
distance = (always[["x0", "x1"]].mean(axis=1) - 256).abs()
truth = truth[truth["id"] == distance.groupby(always["id"]).mean().idxmin()]

track = solartrack.track(images, truth.iloc[0][BOX].to_numpy(float))
track[["frame", "time", *BOX, "state", "score"]].tail()

# %%
# How good it is: the start does not count, since it was given.

scored = metrics.score_track(truth, track)
print(scored)

# %%
# White is the true box, red the tracked one.

*_, last = viz.draw_track(images, track, truth, size=900)
fig, ax = plt.subplots(figsize=(7, 7), layout="constrained")
ax.imshow(last)
ax.set_axis_off()

# %%
# IoU, image by image, beside a tracker that only rotates the start box with the Sun. Simulated regions keep
# their rectangle on the Sun, so rotation is hard to beat, until the seventh image: there a neighbour merges
# with the region, its true box grows at once, and only a tracker that looks at the image can follow. Real
# regions grow and shrink all the time: see :doc:`/tracking`.

rotated = solartrack.track(images, truth.iloc[0][BOX].to_numpy(float), tracker="rotation")
other = metrics.score_track(truth, rotated)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
viz.plot_iou(scored.frames, {"solar": scored.iou, "rotation": other.iou}, ax=ax)
plt.show()
