"""Pictures for people: boxes over images, movies of them, plots of how well they fit, magnetograms.

`overlays` draws with Pillow, which is always there; `movies` (MP4) `plots` and `magnetogram` load
imageio and matplotlib on first use, from the extra ``viz``.
"""

from solartrack.viz.magnetogram import plot_magnetogram
from solartrack.viz.movies import movie
from solartrack.viz.overlays import display_limits, overlay
from solartrack.viz.plots import plot_iou, plot_success

__all__ = ["display_limits", "movie", "overlay", "plot_iou", "plot_magnetogram", "plot_success"]
