"""Plots of the scores of tracks, as matplotlib figures that the caller saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, refuse_masked
from solartrack._optional import require
from solartrack.metrics.curves import IOU_THRESHOLDS, curve_area, success_of_iou

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_iou", "plot_scores", "plot_success"]

# Okabe and Ito's colours, which colour-blind people can tell apart, without the yellow,
# which is too pale on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_DASHES = ("-", "--", "-.", ":")


def plot_scores(frames: ArrayLike, iou: Mapping[str, ArrayLike]) -> Figure:
    """IoU over frames or time beside the success curves: `plot_iou` and `plot_success`.

    Parameters
    ----------
    frames : array_like, shape (n,)
        Frame numbers or times, as for `plot_iou`.
    iou : mapping of str to array_like, shape (n,)
        Name of the track and its IoU with the truth, such as ``{"solar": scored.iou}`` of
        `solartrack.metrics.score_track`.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with ``savefig``.

    Raises
    ------
    ValueError, ImportError
        As for `plot_iou`.

    Examples
    --------
    >>> from solartrack import viz
    >>> figure = viz.plot_scores([0, 1, 2], {"solar": [0.9, 0.8, 0.6], "rotation": [0.9, 0.7, 0.5]})
    >>> len(figure.axes)
    2
    """
    require("matplotlib.figure", extra="viz", purpose="plotting")
    from solartrack.viz._figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_iou(frames, iou, ax=left)
    plot_success(iou, ax=right)
    return figure


def plot_iou(
    frames: ArrayLike,
    iou: Mapping[str, ArrayLike],
    *,
    ax: Axes | None = None,
) -> Figure:
    """IoU over frames or time, one line for each track.

    Parameters
    ----------
    frames : array_like, shape (n,)
        Frame numbers, or times (datetime, datetime64, pandas, astropy ``Time``; aware
        ones become UTC).
    iou : mapping of str to array_like, shape (n,)
        Name of the track and its IoU with the truth, 0 to 1; NaN where the tracker
        reported nothing leaves a gap.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with ``savefig``. The mean in the legend is
        over all frames, with the missing ones as 0, as in ATA.

    Raises
    ------
    ValueError
        If there is no track or no frame, lengths differ, or an IoU is outside 0 to 1.
    ImportError
        If matplotlib is missing.

    See Also
    --------
    solartrack.metrics.score_track

    Examples
    --------
    >>> from solartrack import viz
    >>> figure = viz.plot_iou([0, 1, 2], {"solar": [0.9, float("nan"), 0.6]})  # the second frame is a gap
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['threshold 0.5', 'solar: mean 0.50, 1 of 3 frames missing']
    """
    x, is_time = _as_x(frames)
    tracks = _as_tracks(iou)
    for name, values in tracks.items():
        if len(values) != len(x):
            raise ValueError(
                f"iou of {name!r} must have one value per frame, got {len(values)} for {len(x)} frames; "
                "use NaN where the tracker reported nothing"
            )
    ax = _axes(ax)
    ax.axhline(0.5, color="0.5", linewidth=1, linestyle=":", label="threshold 0.5")
    for i, (name, values) in enumerate(tracks.items()):
        missing = int(np.isnan(values).sum())
        gaps = f", {missing} of {len(values)} frames missing" if missing else ""
        mean = np.nan_to_num(values).mean()
        # The dots show frames between two gaps, where there is no line.
        ax.plot(x, values, marker=".", label=f"{name}: mean {mean:.2f}{gaps}", **_style(i))  # type: ignore[arg-type]
    if is_time:
        dates = require("matplotlib.dates", extra="viz", purpose="plotting")
        locator = dates.AutoDateLocator()
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    elif x.dtype.kind in "iu":
        ticker = require("matplotlib.ticker", extra="viz", purpose="plotting")
        ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))  # there is no frame 1.5
    ax.set(xlabel="time (UTC)" if is_time else "frame number", ylabel="IoU (fraction)", ylim=(-0.02, 1.02))
    ax.legend()
    return _figure(ax)


def plot_success(iou: Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Figure:
    """Success curves: the share of frames whose IoU reaches each threshold.

    Parameters
    ----------
    iou : mapping of str to array_like, shape (n,)
        Name of the track and its IoU with the truth, 0 to 1; a frame with NaN, where the
        tracker reported nothing, reaches no threshold, not even 0.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with ``savefig``. Drawn at the 101 thresholds
        0, 0.01, ..., 1; the AUC in the legend is the area by the trapezoid rule.

    Raises
    ------
    ValueError
        If there is no track, a track has no frame, or an IoU is outside 0 to 1.
    ImportError
        If matplotlib is missing.

    References
    ----------
    Wu, Lim & Yang 2013, CVPR, "Online Object Tracking: A Benchmark".

    Examples
    --------
    >>> from solartrack import viz
    >>> figure = viz.plot_success({"solar": [0.9, 0.8, 0.6]})
    >>> len(figure.axes)
    1
    """
    tracks = _as_tracks(iou)
    ax = _axes(ax)
    ax.axvline(0.5, color="0.5", linewidth=1, linestyle=":", label="threshold 0.5")
    for i, (name, values) in enumerate(tracks.items()):
        success = success_of_iou(np.nan_to_num(values), IOU_THRESHOLDS)
        ax.plot(IOU_THRESHOLDS, success, label=f"{name}: AUC {curve_area(success):.2f}", **_style(i))
    ax.set(
        xlabel="IoU threshold (fraction)",
        ylabel="frames with IoU at or above it (fraction)",
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
    )
    ax.legend()
    return _figure(ax)


def _as_x(frames: Any) -> tuple[NDArray[Any], bool]:
    x = np.asarray(getattr(frames, "datetime64", frames))  # astropy's Time has this attribute
    if x.ndim != 1 or not x.size:
        raise ValueError(f"frames must have shape (n,) with n > 0, got {x.shape}")
    if x.dtype.kind in "iuf":
        return x, False
    if x.dtype.kind == "M":
        return x, True
    from solartrack._tables import as_times  # only here: numbers do not need pandas

    return as_times(x.tolist()), True


def _as_tracks(iou: Mapping[str, ArrayLike]) -> dict[str, Float64Array]:
    if not isinstance(iou, Mapping):
        raise TypeError(f"iou must map names to arrays, such as {{'track': iou}}, got {type(iou).__name__}")
    if not iou:
        raise ValueError("iou must have at least one track, got none")
    for name, values in iou.items():
        refuse_masked(values, f"iou of {name!r}")
    tracks = {str(name): np.asarray(values, dtype=np.float64) for name, values in iou.items()}
    for name, values in tracks.items():
        if values.ndim != 1 or not values.size:
            raise ValueError(f"iou of {name!r} must have shape (n,) with n > 0, got {values.shape}")
        wrong = values[(values < 0) | (values > 1)]
        if wrong.size:
            raise ValueError(f"iou of {name!r} must be within 0 and 1 or NaN, got {wrong[0]:g}")
    return tracks


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    # Not pyplot: it would choose a window system and keep every figure in memory.
    require("matplotlib.figure", extra="viz", purpose="plotting")
    from solartrack.viz._figure import Figure

    axes: Axes = Figure(figsize=(7, 4), dpi=150, layout="constrained").add_subplot()
    return axes


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _style(i: int) -> dict[str, Any]:
    return {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _DASHES[i // len(_COLOURS) % len(_DASHES)]}
