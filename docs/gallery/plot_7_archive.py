"""
An archive on Dask
==================

A table of events and a folder of images become a data set of tracks, here on a small Dask cluster. Without
``scheduler`` the work is done by processes of this machine. A run that was stopped goes on where it was.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from dask.distributed import Client, LocalCluster

from solartrack import archive, simulate

# %%
# Images of a simulated Sun, and a catalogue: a row for each event, with its box at a time.

home = Path(tempfile.mkdtemp())
truth = simulate.write(home / "images", simulate.sequence(1, 10, "4h", size=384))
start = truth[truth["frame"] == 2]
catalogue = pd.DataFrame(
    {
        "event": "region " + start["id"].astype(str),
        "time": start["time"],
        **{side: start[side] for side in ("x0", "y0", "x1", "y1")},
    }
)
catalogue.head()

# %%
# The tracker is named here; without a name it is the default one.

with (
    LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
    Client(cluster),
):
    manifest = archive.track_archive(
        catalogue,
        home / "images",
        home / "run",
        tracker="rotation",
        both_ways=True,
        scheduler=cluster.scheduler_address,
    )
print(manifest["counts"])

# %%
# The result is a folder of Parquet files, which pandas, Dask or DuckDB read as one table. What could not be
# used is in ``errors.parquet``.

tracks = pd.read_parquet(home / "run" / "tracks")
tracks.groupby("event", observed=True)["state"].value_counts().unstack(fill_value=0)

# %%
# Paths of all regions across the disk, arcsec.

fig, ax = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
ax.add_patch(plt.Circle((0, 0), 960, fill=False, color="0.5"))
for event, rows in tracks.groupby("event", observed=True):
    ax.plot(rows[["tx0", "tx1"]].mean(axis=1), rows[["ty0", "ty1"]].mean(axis=1), marker=".", label=event)
ax.set(aspect="equal", xlabel="arcsec to the west", ylabel="arcsec to the north", xlim=(-1050, 1050))
ax.set_ylim(-1050, 1050)
plt.show()
