"""Overlays of boxes on images, movies of them, plots of scores and of forecasts, magnetograms, SHARP maps.

`overlays` and `tracks` draw with Pillow, which is always installed; `movies` (MP4), `plots`, `forecasts`,
`magnetogram`, `sharp`, `saliency` and `reports` (HTML) import imageio and matplotlib, from the extra
``viz``, on first use.
"""

from solartrack.viz.forecasts import (
    plot_economic_value,
    plot_forecast,
    plot_reliability,
    plot_roc,
    plot_tss,
)
from solartrack.viz.magnetogram import plot_magnetogram
from solartrack.viz.movies import movie
from solartrack.viz.overlays import display_limits, overlay
from solartrack.viz.plots import plot_iou, plot_scores, plot_success
from solartrack.viz.reports import Result, report
from solartrack.viz.saliency import plot_saliency
from solartrack.viz.sharp import plot_sharp
from solartrack.viz.tracks import draw_track

__all__ = [
    "Result",
    "display_limits",
    "draw_track",
    "movie",
    "overlay",
    "plot_economic_value",
    "plot_forecast",
    "plot_iou",
    "plot_magnetogram",
    "plot_reliability",
    "plot_roc",
    "plot_saliency",
    "plot_scores",
    "plot_sharp",
    "plot_success",
    "plot_tss",
    "report",
]
