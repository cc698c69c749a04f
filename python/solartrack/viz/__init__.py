"""Pictures for people: boxes over images, movies of them, and plots of how well they fit.

`overlays` draws with Pillow, which is always there; `movies` (MP4) and `plots` load
imageio and matplotlib on first use, from the extra ``viz``.
"""

from solartrack.viz.movies import movie
from solartrack.viz.overlays import display_limits, overlay
from solartrack.viz.plots import plot_iou, plot_success

__all__ = ["display_limits", "movie", "overlay", "plot_iou", "plot_success"]
