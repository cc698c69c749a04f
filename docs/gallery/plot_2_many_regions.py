"""
All regions of a sequence
=========================

No box is given: active regions are found in the images, followed, and keep their number. The result is
scored as trackers of many objects are, by MOTA, IDF1 and HOTA.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from solartrack import metrics, simulate, tracking
from solartrack.viz import display_limits

# %%
# Two days of a simulated Sun.

folder = Path(tempfile.mkdtemp()) / "images"
frames = list(simulate.sequence(4, 9, "6h", size=512))
simulate.write(folder, frames)

tracks = tracking.track_all(folder)
tracks.groupby("id")[["frame"]].agg(["min", "max"])

# %%
# Each region in a colour of its own, in the first and in the last image. FITS images begin with their
# southernmost row.

fig, axes = plt.subplots(1, 2, figsize=(10, 5.8), layout="constrained", sharey=True)
for ax, number in zip(axes, (0, len(frames) - 1), strict=True):
    image = frames[number].array
    low, high = display_limits(image) or (0, 255)
    ax.imshow(image, origin="lower", cmap="gray", vmin=low, vmax=high, extent=(0, 512, 0, 512))
    for row in tracks[(tracks["frame"] == number) & tracks["x0"].notna()].itertuples():
        colour = f"C{row.id % 10}"
        ax.add_patch(
            plt.Rectangle(
                (row.x0, row.y0), row.x1 - row.x0, row.y1 - row.y0, fill=False, color=colour, lw=1.5
            )
        )
        ax.text(row.x0, row.y1 + 4, str(row.id), color=colour)
    ax.set_title(f"{frames[number].time:%Y-%m-%d %H:%M}")
    ax.set_axis_off()

# %%
# The truth here is what a segmentation of each image sees of a region, with the identity that only the
# simulation can know. A track of something else, or of a region in an image in which the segmentation
# misses it, is false.

BOX = ["x0", "y0", "x1", "y1"]
seen = [frame.segmented() for frame in frames]
truth = pd.DataFrame(np.concatenate([places.boxes for places in seen]), columns=BOX)
truth["frame"] = np.repeat(np.arange(len(frames)), [len(places.ids) for places in seen])
truth["id"] = np.concatenate([places.ids for places in seen])
print(metrics.score_many(truth[truth["id"] > 0], tracks.dropna(subset=BOX)))
