"""Picture of what a network looks at in a magnetogram, as a matplotlib figure that the caller saves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_saliency"]

Floats = NDArray[np.float64]

# Colours that colour-blind people can tell apart, white where a pixel says nothing.
_COLOURS = "PuOr_r"


def plot_saliency(
    field: ArrayLike,
    attribution: ArrayLike,
    *,
    probability: float | None = None,
    threshold: float | None = None,
    event: str = "a flare",
    limit_gauss: float = 1000.0,
    smooth: float | None = None,
    title: str | None = None,
) -> Figure:
    """Plot a magnetogram in grey, and beside or below it what speaks for a flare and what against.

    Parameters
    ----------
    field : array_like, shape (rows, columns)
        Line-of-sight field, gauss.
    attribution : array_like, shape (rows, columns)
        What each pixel adds to the log-odds, as `solartrack.models.vgg.saliency` gives it.
    probability, threshold : float, optional
        The forecast, and from where on it says yes; for the line above the plot.
    event : str
        What is forecast, for that line: "C1.0 within 24 h".
    limit_gauss : float
        Field strength drawn white, or black if negative.
    smooth : float, optional
        Attributions of single pixels are noise to the eye: they are drawn as sums over a Gaussian of this
        sigma in pixels, which keeps their total. Default: an eightieth of the patch; 0 draws them all.
    title : str, optional
        What stands above it all, such as the name of the file.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with ``savefig``. Orange speaks for a flare, purple against; the
        contours are those of half of `limit_gauss`. Row 0 is at the bottom.

    Raises
    ------
    ValueError
        If the two do not have the same 2-D shape, or an argument is out of range.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import viz
    >>> gauss = np.linspace(-900, 900, 32) * np.ones((32, 1))
    >>> attribution = np.zeros((32, 32))
    >>> attribution[:, 15:17] = 0.05  # what lies at the neutral line speaks for a flare
    >>> viz.plot_saliency(gauss, attribution, probability=0.7, threshold=0.5).savefig("saliency.png")
    """
    gauss, shares = np.asarray(field, dtype=np.float64), np.asarray(attribution, dtype=np.float64)
    if gauss.ndim != 2 or gauss.shape != shares.shape or not gauss.size:
        raise ValueError(
            f"field and attribution must have one shape (rows, columns), got {gauss.shape} and {shares.shape}"
        )
    if not 0 < limit_gauss < np.inf:
        raise ValueError(f"limit_gauss must be positive and finite, got {limit_gauss!r}")
    sigma = math.sqrt(gauss.size) / 80 if smooth is None else float(smooth)
    if not 0 <= sigma < np.inf:
        raise ValueError(f"smooth must be a width in pixels, 0 or more, got {smooth!r}")
    from scipy.ndimage import gaussian_filter

    shown = gaussian_filter(shares, sigma, mode="reflect") if sigma else shares
    require("matplotlib.figure", extra="viz", purpose="plotting")
    from solartrack.viz._figure import Figure

    rows, columns = gauss.shape
    wide = columns > 1.2 * rows  # then one panel is above the other
    shape = (2, 1) if wide else (1, 2)
    across = 7.0 if wide else 9.6
    panel = across / shape[1] - 1.0
    lines = [line for line in (title, _forecast(probability, threshold, event)) if line]
    figure = Figure(
        figsize=(across, panel * rows / columns * shape[0] + 0.5 + 0.3 * len(lines)),
        dpi=120,
        layout="compressed",
    )
    left, right = figure.subplots(*shape, sharex=True, sharey=True)
    grey = {"cmap": "gray", "vmin": -limit_gauss, "vmax": limit_gauss, "origin": "lower"}
    image = left.imshow(gauss, **grey)
    figure.colorbar(image, ax=left, label="field (G)", extend="both", pad=0.015, aspect=25)
    largest = float(np.percentile(np.abs(shown), 99.8)) or float(np.abs(shown).max()) or 1.0
    image = right.imshow(shown, cmap=_COLOURS, vmin=-largest, vmax=largest, origin="lower")
    _contours(right, gauss, 0.5 * limit_gauss)
    bar = figure.colorbar(
        image, ax=right, label="change of log-odds per pixel", extend="both", pad=0.015, aspect=25
    )
    bar.ax.ticklabel_format(scilimits=(-2, 3))
    for panel_axes, name in ((left, "magnetogram"), (right, "orange: for a flare, purple: against")):
        panel_axes.set_title(name, fontsize="medium")
        panel_axes.tick_params(direction="out", labelsize="small")
        if panel_axes is right or not wide:
            panel_axes.set_xlabel("column")
    left.set_ylabel("row")
    if lines:
        figure.suptitle("\n".join(lines))
    return figure


def _contours(axes: Axes, gauss: Floats, level: float) -> None:
    """Outlines of the strong field, so that the eye finds the spots again."""
    if min(gauss.shape) < 2:
        return
    for sign, dashes in ((1.0, "solid"), (-1.0, "dashed")):
        if (sign * gauss > level).any() and not (sign * gauss > level).all():
            axes.contour(sign * gauss, [level], colors="0.25", linewidths=0.6, linestyles=dashes)


def _forecast(probability: float | None, threshold: float | None, event: str) -> str:
    if probability is None:
        return ""
    said = f"probability of {event}: {probability:.2f}"
    if threshold is None:
        return said
    return f"{said}; {'yes' if probability >= threshold else 'no'}, the threshold is {threshold:.2f}"
