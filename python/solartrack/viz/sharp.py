"""Plot of the maps behind the SHARP keywords, as a matplotlib figure that the caller saves."""

from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from solartrack._optional import require
from solartrack.features import SharpKeywords

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_sharp"]

_LINE, _ARROW = "#d55e00", "#56b4e9"  # Okabe and Ito's: visible on grey, also to colour-blind people
_ARROWS = 32  # along the longer side


def plot_sharp(keywords: SharpKeywords, *, title: str | None = None) -> "Figure":
    """Plot Br with the inversion line and the potential field, Jz, shear angle and free-energy density.

    Parameters
    ----------
    keywords : SharpKeywords
        Of `solartrack.features.sharp_keywords` with ``maps=True``.
    title : str, optional
        Title above the plot.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with ``savefig``. Axes are the distance from the lower left
        corner in Mm. In the last two panels what is outside the mask is pale: it does not enter the keywords.
        Missing pixels are white.

    Raises
    ------
    ValueError
        If the maps were not asked for.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from solartrack import features, viz
    >>> x = np.linspace(-30.0, 30.0, 61)
    >>> br = 1000 * np.exp(-(x**2 + x[:, None] ** 2) / 200)
    >>> active, sure = np.full(br.shape, 34), np.full(br.shape, 90)
    >>> found = features.sharp_keywords(br, 0 * br, 0 * br, active, sure, pixel=0.36 * u.Mm, maps=True)
    >>> viz.plot_sharp(found).savefig("sharp.png")
    """
    if keywords.maps is None:
        raise ValueError("these keywords have no maps; compute them with maps=True")
    require("matplotlib.figure", extra="viz", purpose="plotting")
    from solartrack.viz._figure import Figure

    colors = require("matplotlib.colors", extra="viz", purpose="plotting")
    maps, side = keywords.maps, keywords.pixel.to_value(u.Mm / u.pix)
    ny, nx = maps.br.shape
    wide = nx >= ny
    shape = (2, 2) if wide else (1, 4)
    panel = 4.6 if wide else 3.0
    size = (panel * shape[1] + 1.0, (panel - 0.9) * ny / nx * shape[0] + 0.5 * shape[0] + 0.4)
    figure = Figure(figsize=size, dpi=120, layout="compressed")
    axes = figure.subplots(*shape, sharex=True, sharey=True)
    field, current, shear, energy = axes.flat
    common: dict[str, Any] = {
        "origin": "lower",
        "extent": (0, nx * side, 0, ny * side),
        "interpolation": "nearest",
    }
    inside = np.where(maps.mask, 1.0, 0.15)
    top = _top(np.abs(maps.jz[maps.mask]), 99.0)
    high = _top(maps.free_energy[maps.mask], 99.9)
    panels = (
        (field, maps.br, "gray", colors.Normalize(-1500, 1500), None, "Br (G)", "both"),
        (current, maps.jz, "RdBu_r", colors.Normalize(-top, top), None, "Jz (mA / m2)", "both"),
        (shear, maps.shear, "viridis", colors.Normalize(0, 90), inside, "shear angle (degree)", "max"),
        (
            *(energy, np.maximum(maps.free_energy, 1e-3 * high), "inferno"),
            *(colors.LogNorm(1e-3 * high, high), inside, "free energy (erg / cm3)", "both"),
        ),
    )
    for ax, values, colours, norm, alpha, label, extend in panels:
        image = ax.imshow(values, cmap=colours, norm=norm, alpha=alpha, **common)
        # A bar of its own colours: that of an image that is pale in places cannot be drawn.
        image = (
            image if alpha is None else ax.imshow(values, cmap=colours, norm=norm, visible=False, **common)
        )
        figure.colorbar(image, ax=ax, label=label, extend=extend, pad=0.015, aspect=25)
        ax.tick_params(direction="out", labelsize="small")
    _arrows(field, keywords, side)
    if maps.inversion_line.any() and min(ny, nx) >= 2:
        at_x, at_y = (np.arange(n) * side + side / 2 for n in (nx, ny))
        field.contour(at_x, at_y, maps.inversion_line, levels=[0.5], colors=_LINE, linewidths=0.8)
    grid = np.reshape(axes, shape)
    for ax in grid[-1]:
        ax.set_xlabel("x (Mm)")
    for ax in grid[:, 0]:
        ax.set_ylabel("y (Mm)")
    if title:
        figure.suptitle(title)
    return figure


def _top(values: Any, percent: float) -> float:
    """A high percentile for the end of a scale; 1 where there is nothing."""
    known = values[np.isfinite(values)]
    top = float(np.percentile(known, percent)) if known.size else 0.0
    return top if top > 0 else 1.0


def _arrows(ax: Any, keywords: SharpKeywords, side: float) -> None:
    """The horizontal potential field within the mask, at some places."""
    maps = keywords.maps
    assert maps is not None
    step = max(1, max(maps.br.shape) // _ARROWS)
    rows, cols = np.nonzero(maps.mask[::step, ::step])
    rows, cols = rows * step, cols * step
    x, y = maps.potential_x[rows, cols], maps.potential_y[rows, cols]
    strong = np.hypot(x, y) > 50.0
    if strong.any():
        ax.quiver(
            *((cols[strong] + 0.5) * side, (rows[strong] + 0.5) * side, x[strong], y[strong]),
            color=_ARROW, width=0.0025, scale=_top(np.hypot(x, y)[strong], 95.0) * _ARROWS / 2.5,
        )  # fmt: skip
