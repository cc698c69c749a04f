"""
All regions of a sequence
=========================

No box is given: active regions are found in the images, followed, and keep their number. The result is
scored as trackers of many objects are, by MOTA, IDF1 and HOTA.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from scipy import ndimage

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
# The truth is the box of each region's strong field, which only the simulation knows; less than a hundred
# pixels of it are not asked for.

BOX = ["x0", "y0", "x1", "y1"]
rows = []
for number, frame in enumerate(frames):
    for name, at in enumerate(ndimage.find_objects(frame.mask), 1):
        if at is not None and (frame.mask[at] == name).sum() > 100:
            rows.append((number, name, at[1].start, at[0].start, at[1].stop, at[0].stop))
truth = pd.DataFrame(rows, columns=["frame", "id", *BOX])
print(metrics.score_many(truth, tracks.dropna(subset=BOX)))
