"""Plot of a magnetogram with its neutral line and gradient, as a matplotlib figure that the caller saves."""

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from solartrack._arrays import Float64Array
from solartrack._optional import require
from solartrack.features import MagnetogramLines, magnetogram_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_magnetogram"]

# Okabe and Ito's colours: colour-blind people can tell them apart, and both are visible on grey.
_LINE, _STRONG = "#56b4e9", "#d55e00"


def plot_magnetogram(
    patch: Any,
    *,
    pixel: u.Quantity | None = None,
    wcs: Any = None,
    strong_gradient: u.Quantity = 50.0 * u.G / u.Mm,
    limit: u.Quantity = 1000.0 * u.G,
    axes: str = "Mm",
    title: str | None = None,
) -> "Figure":
    """Plot the field in grey with its neutral line, and the gradient beside or below it.

    Parameters
    ----------
    patch, pixel, wcs, strong_gradient
        As for `solartrack.features.physical`.
    limit : Quantity
        Field strength drawn white, or black if negative.
    axes : {"Mm", "arcsec"}
        Unit of the axes, which give the distance from the middle of the patch. One arcsec is 725 km,
        as at disk centre from a distance of one astronomical unit.
    title : str, optional
        Title above the plot.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with ``savefig``. The neutral line is the one that the
        features measure: blue, and orange where the gradient is at least `strong_gradient`. Row 0 is
        at the bottom. Missing pixels are hatched.

    Raises
    ------
    ValueError, TypeError, GeometryError, ImageError, FileNotFoundError
        As for `solartrack.features.physical`.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import viz
    >>> gauss = np.linspace(-300, 300, 64) * np.ones((64, 1))
    >>> figure = viz.plot_magnetogram(gauss, pixel=0.36 * u.Mm, limit=300 * u.G)
    >>> figure.savefig("magnetogram.png")
    """
    if axes not in ("Mm", "arcsec"):
        raise ValueError(f"axes must be 'Mm' or 'arcsec', got {axes!r}")
    try:
        top = float(u.Quantity(limit).to_value(u.G))
    except (u.UnitConversionError, TypeError) as error:
        raise ValueError(f"limit must be one field such as 1000 G, got {limit!r}") from error
    if not 0 < top < np.inf:
        raise ValueError(f"limit must be positive and finite, got {limit}")
    require("matplotlib.figure", extra="viz", purpose="plotting")
    from solartrack.viz._figure import Figure

    lines = magnetogram_lines(patch, pixel=pixel, wcs=wcs, strong_gradient=strong_gradient)
    per_mm = 1.0 if axes == "Mm" else 1.0 / (u.au.to(u.Mm) * u.arcsec.to(u.rad))
    ny, nx = lines.field.shape
    width, height = nx * lines.pixel_mm[0], ny * lines.pixel_mm[1]
    wide = width > 1.2 * height  # then one panel is above the other
    shape = (2, 1) if wide else (1, 2)
    across = 8.0 if wide else 10.0
    panel = across / shape[1] - 1.6
    figure = Figure(
        figsize=(across, panel * height / width * shape[0] + (0.7 if title else 0.4) + (0 if wide else 0.25)),
        dpi=120,
        layout="compressed",
    )
    left, right = figure.subplots(*shape, sharex=True, sharey=True)
    extent = np.array([-width, width, -height, height]) / 2 * per_mm
    _panel(left, lines.field, extent, "gray", (-top, top), "field (G)", extend="both")
    strong_slope = float(u.Quantity(strong_gradient).to_value(u.G / u.Mm))
    known = lines.gradient[np.isfinite(lines.gradient)]
    high = max(float(np.percentile(known, 99.5)) if known.size else 0.0, 2 * strong_slope)
    _panel(right, lines.gradient, extent, "inferno", (0.0, high), "gradient (G / Mm)", extend="max")
    _lines(left, lines, per_mm)
    _labels(left, right, axes, wide)
    if title:
        figure.suptitle(title)
    return figure


def _panel(
    ax: "Axes",
    values: Float64Array,
    extent: Float64Array,
    colours: str,
    limits: tuple[float, float],
    label: str,
    *,
    extend: str,
) -> None:
    ax.set_facecolor("black")
    if np.isnan(values[1:-1, 1:-1]).any():  # the gradient has no value at the edges anyway
        ax.patch.set(facecolor="0.85", hatch="///", edgecolor="0.7")
    image = ax.imshow(
        values,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        origin="lower",
        extent=tuple(extent),
        interpolation="nearest",
    )
    ax.get_figure().colorbar(image, ax=ax, label=label, extend=extend, pad=0.015, aspect=25)  # type: ignore[union-attr]


def _lines(ax: "Axes", lines: MagnetogramLines, per_mm: float) -> None:
    collections = require("matplotlib.collections", extra="viz", purpose="plotting")
    ends = lines.ends_mm * per_mm
    every = np.ones_like(lines.strong)
    for which, colour, width, name in (
        (every, _LINE, 0.6, "neutral line"),
        (lines.strong, _STRONG, 2.0, "its strong gradient"),
    ):
        length = f"{lines.length_mm[which].sum():,.0f} Mm"
        ax.add_collection(
            collections.LineCollection(
                ends[which], colors=colour, linewidths=width, capstyle="round", label=f"{name}: {length}"
            ),
            autolim=False,
        )
    legend = ax.legend(loc="upper right", fontsize="small", framealpha=0.85)
    for handle in legend.legend_handles:
        handle.set_linewidth(2.0)  # type: ignore[union-attr]


def _labels(left: "Axes", right: "Axes", unit: str, wide: bool) -> None:
    for ax in (left, right):
        ax.tick_params(direction="out", labelsize="small")
        if ax is right or not wide:
            ax.set_xlabel(f"x ({unit})")
        if ax is left or wide:
            ax.set_ylabel(f"y ({unit})")
