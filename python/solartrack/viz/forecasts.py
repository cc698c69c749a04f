"""Figures of flare forecasts, as matplotlib figures that the caller saves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from solartrack._optional import require
from solartrack.viz.plots import _axes, _figure, _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_economic_value", "plot_forecast", "plot_reliability", "plot_roc", "plot_tss"]


def plot_forecast(
    label: ArrayLike,
    forecasts: Mapping[str, ArrayLike],
    *,
    threshold: float | None = None,
    groups: ArrayLike | None = None,
    bins: int | None = 10,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Figure:
    """Reliability diagram, ROC curve, TSS against the threshold, and economic value, in one figure.

    Parameters
    ----------
    label : array_like, shape (n,)
        1, 0 or missing (left out).
    forecasts : mapping of str to array_like of float, shape (n,)
        Probabilities by the name of the forecast. Only the first one is in the reliability diagram.
    threshold : float, optional
        The one that was chosen on validation data; drawn as a line, and as points on the ROC curves.
    groups, bins, n_boot, level, seed
        For the band of the reliability diagram, as for `solartrack.flares.scores.reliability_curve`.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with ``savefig``.

    Raises
    ------
    ValueError, TypeError
        As for `solartrack.flares.scores.score_forecast`, or if there is no forecast.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import viz
    >>> chance = np.linspace(0, 1, 40)
    >>> label = np.arange(40) % 3 < 3 * chance
    >>> figure = viz.plot_forecast(label, {"svm": chance}, threshold=0.4, n_boot=100)
    >>> len(figure.axes)
    4
    """
    _refuse_none(forecasts)
    require("matplotlib.figure", extra="viz", purpose="plotting")
    from solartrack.viz._figure import Figure

    figure = Figure(figsize=(10, 8.5), dpi=120, layout="constrained")
    (reliability, roc), (tss, value) = figure.subplots(2, 2)
    name, first = next(iter(forecasts.items()))
    plot_reliability(
        label, first, name=name, groups=groups, bins=bins, n_boot=n_boot, level=level, seed=seed,
        ax=reliability,
    )  # fmt: skip
    plot_roc(label, forecasts, threshold=threshold, ax=roc)
    plot_tss(label, forecasts, threshold=threshold, ax=tss)
    plot_economic_value(label, forecasts, ax=value)
    return figure


def plot_reliability(
    label: ArrayLike,
    probability: ArrayLike,
    *,
    name: str = "forecast",
    groups: ArrayLike | None = None,
    bins: int | None = 10,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """Observed frequency of events against the forecast probability, with bootstrap intervals.

    Parameters
    ----------
    label, probability, groups, bins, n_boot, level, seed
        As for `solartrack.flares.scores.reliability_curve`.
    name : str
        What to call the forecast.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        A reliable forecast lies on the diagonal; the dotted line is the share of events. Bars at the bottom
        show how many samples each bin has, relative to the fullest; the numbers are in their labels.

    Raises
    ------
    ValueError, TypeError, ImportError
        As for `plot_forecast`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import viz
    >>> chance = np.linspace(0, 1, 40)
    >>> label = np.arange(40) % 3 < 3 * chance
    >>> viz.plot_reliability(label, chance, bins=5, n_boot=100).savefig("reliability.png")
    """
    from solartrack.flares.scores import reliability_curve

    curve = reliability_curve(
        label, probability, bins=bins, groups=groups, n_boot=n_boot, level=level, seed=seed
    )
    ax = _axes(ax)
    ax.plot([0, 1], [0, 1], color="0.5", linewidth=1, linestyle="--", label="reliable")
    if len(curve):
        rate = curve["n_events"].sum() / curve["n"].sum()
        ax.axhline(rate, color="0.5", linewidth=1, linestyle=":", label=f"climatology {rate:.3f}")
        share = 0.18 * curve["n"] / curve["n"].max()
        ax.bar(curve["probability"], share, width=0.025, color="0.85", zorder=0, label="samples")
        for x, top, n in zip(curve["probability"], share, curve["n"], strict=True):
            if len(curve) <= 12:  # of many bins the numbers would run into each other
                ax.annotate(f"{n}", (x, top), ha="center", va="bottom", fontsize=7, color="0.4")
    style = _style(0)
    ax.fill_between(
        curve["probability"], curve["low"], curve["high"], alpha=0.2, color=style["color"], linewidth=0,
        label=f"{level:.0%} interval",
    )  # fmt: skip
    ax.plot(curve["probability"], curve["observed"], marker="o", markersize=4, label=name, **style)
    ax.set(xlabel="forecast probability", ylabel="observed frequency", xlim=(-0.03, 1.03), ylim=(0, 1.02))
    ax.legend(loc="upper left", fontsize=8)
    return _figure(ax)


def plot_roc(
    label: ArrayLike,
    forecasts: Mapping[str, ArrayLike],
    *,
    threshold: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """ROC curves: the share of events forecast against the share of quiet samples forecast.

    Parameters
    ----------
    label, forecasts, threshold
        As for `plot_forecast`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError, ImportError
        As for `plot_forecast`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import viz
    >>> chance = np.linspace(0, 1, 40)
    >>> label = np.arange(40) % 3 < 3 * chance
    >>> figure = viz.plot_roc(label, {"svm": chance}, threshold=0.4)
    >>> figure.axes[0].get_xlabel()
    'false alarm rate (share of quiet samples)'
    """
    ax = _axes(ax)
    ax.plot([0, 1], [0, 1], color="0.5", linewidth=1, linestyle="--", label="no skill")
    for i, (name, curve) in enumerate(_curves(label, forecasts).items()):
        one_class = curve[["tpr", "fpr"]].isna().to_numpy().any()
        area = "undefined" if one_class else f"{np.trapezoid(curve['tpr'], curve['fpr']):.3f}"
        ax.plot(curve["fpr"], curve["tpr"], label=f"{name}: area {area}", **_style(i))
        if threshold is not None:
            at = curve[curve["threshold"] >= threshold].iloc[-1]
            ax.plot(at["fpr"], at["tpr"], marker="o", markersize=6, color=_style(i)["color"])
    ax.set(
        xlabel="false alarm rate (share of quiet samples)", ylabel="hit rate (share of events)",
        xlim=(-0.01, 1.01), ylim=(-0.01, 1.01),
    )  # fmt: skip
    ax.legend(loc="lower right", fontsize=8)
    return _figure(ax)


def plot_tss(
    label: ArrayLike,
    forecasts: Mapping[str, ArrayLike],
    *,
    threshold: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """True skill statistic at each threshold.

    Parameters
    ----------
    label, forecasts, threshold
        As for `plot_forecast`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError, ImportError
        As for `plot_forecast`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import viz
    >>> chance = np.linspace(0, 1, 40)
    >>> label = np.arange(40) % 3 < 3 * chance
    >>> viz.plot_tss(label, {"svm": chance}, threshold=0.4).savefig("tss.png")
    """
    ax = _axes(ax)
    for i, (name, curve) in enumerate(_curves(label, forecasts).items()):
        # From a probability down to above the next lower one, the forecasts are the same.
        at = np.concatenate([[1.0], curve["threshold"].to_numpy()[1:], [0.0]])
        scores = np.concatenate([curve["tss"].to_numpy(), curve["tss"].to_numpy()[-1:]])
        best = "" if np.isnan(scores).all() else f": at most {np.nanmax(scores):.3f}"
        ax.step(at, scores, where="post", label=f"{name}{best}", **_style(i))
    if threshold is not None:
        ax.axvline(threshold, color="0.5", linewidth=1, linestyle=":", label=f"threshold {threshold:.3g}")
    ax.set(xlabel="threshold (probability)", ylabel="TSS", xlim=(0, 1))
    ax.axhline(0, color="0.5", linewidth=1)
    ax.legend(fontsize=8)
    return _figure(ax)


def plot_economic_value(
    label: ArrayLike, forecasts: Mapping[str, ArrayLike], *, ax: Axes | None = None
) -> Figure:
    """What the forecasts are worth to users with each ratio of cost to loss.

    Parameters
    ----------
    label, forecasts
        As for `plot_forecast`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure
        The value for users who act when the probability is at least their ratio; below 0, always or never
        acting is better.

    Raises
    ------
    ValueError, TypeError, ImportError
        As for `plot_forecast`.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import viz
    >>> chance = np.linspace(0, 1, 40)
    >>> label = np.arange(40) % 3 < 3 * chance
    >>> viz.plot_economic_value(label, {"svm": chance}).savefig("value.png")
    """
    from solartrack.flares.scores import economic_value

    _refuse_none(forecasts)
    ax = _axes(ax)
    for i, (name, probability) in enumerate(forecasts.items()):
        curve = economic_value(label, probability)
        ax.plot(curve["cost_loss"], curve["value"], label=name, **_style(i))
    ax.axhline(0, color="0.5", linewidth=1)
    # Far below 0 the shape says nothing more.
    ax.set(xlabel="cost / loss", ylabel="economic value (1: perfect)", xlim=(0, 1), ylim=(-0.5, 1))
    ax.legend(fontsize=8)
    return _figure(ax)


def _curves(label: ArrayLike, forecasts: Mapping[str, ArrayLike]) -> dict[str, Any]:
    from solartrack.flares.scores import threshold_curve

    _refuse_none(forecasts)
    return {name: threshold_curve(label, probability) for name, probability in forecasts.items()}


def _refuse_none(forecasts: Mapping[str, ArrayLike]) -> None:
    if not isinstance(forecasts, Mapping):
        raise TypeError(f"forecasts must map names to probabilities, got {type(forecasts).__name__}")
    if not forecasts:
        raise ValueError("forecasts must have at least one forecast, got none")
