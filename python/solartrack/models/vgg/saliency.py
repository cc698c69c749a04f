"""What a network looks at: which pixels of a patch speak for a flare, and which against."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import as_count, as_pixels
from solartrack._optional import require
from solartrack.inference.patches import resize_matrix

__all__ = ["MOST_STEPS", "Saliency", "integrated_gradients"]

Floats = NDArray[np.float64]

#: Most points of the path at which gradients are taken.
MOST_STEPS = 1024

_FEWEST_STEPS, _BATCH = 32, 16


class Saliency(NamedTuple):
    """Shares of the pixels of a patch in its forecast.

    Attributes
    ----------
    attribution : ndarray of float64, shape (rows, columns)
        What each pixel adds to the log-odds of a flare, compared with a patch without any field: positive
        where the field speaks for a flare. The sum is `change`, but for `error`.
    change : float
        Log-odds of the patch minus `baseline`.
    baseline : float
        Log-odds of a flare for a patch without any field.
    error : float
        Sum of `attribution` minus `change`: what the steps of the integral leave out.
    steps : int
        Points at which the gradient was taken.
    """

    attribution: Floats
    change: float
    baseline: float
    error: float
    steps: int

    @property
    def probability(self) -> float:
        """Of a flare, for the patch."""
        return 1.0 / (1.0 + math.exp(-float(np.clip(self.baseline + self.change, -700.0, 700.0))))


def integrated_gradients(
    network: Any, field: ArrayLike, *, tolerance: float = 0.01, steps: int | None = None
) -> Saliency:
    """Integrated gradients of the log-odds of a flare, from no field to that of a patch.

    Parameters
    ----------
    network : keras.Model
        As `solartrack.models.vgg.network.build` makes it: resized fields in gauss in, a layer ``head``
        with two units, no flare and flare, at its end.
    field : array_like, shape (rows, columns)
        Line-of-sight field of a patch in gauss, of any size; without NaN.
    tolerance : float
        The steps of the integral are doubled until `Saliency.error` is at most this share of the change (of
        1, if the change is smaller), or there are `MOST_STEPS`.
    steps : int, optional
        Take exactly so many.

    Returns
    -------
    Saliency

    Raises
    ------
    ValueError
        If the field is not 2-D, or has NaN, or the network has no such layer.
    TypeError
        If the field is masked or does not hold real numbers.
    ImportError
        If TensorFlow is not installed.

    Notes
    -----
    The field times the mean gradient along the straight path from zero, by the midpoint rule. Gradients are
    those of the whole path from the patch to the log-odds, its resizing included, so attributions are those
    of the patch's own pixels.

    References
    ----------
    Sundararajan, Taly and Yan 2017, Proc. ICML 70, 3319.
    """
    values = as_pixels(field, "field").astype(np.float64)
    if not np.isfinite(values).all():
        wrong = int((~np.isfinite(values)).sum())
        raise ValueError(f"field must be finite, got one with {wrong} values that are not finite")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be between 0 and 1, got {tolerance!r}")
    log_odds = _log_odds(network)
    side = int(network.input_shape[1])
    rows, columns = (resize_matrix(n, side).astype(np.float64) for n in values.shape)
    small = rows @ values @ columns.T
    ends = log_odds.values(np.stack([np.zeros_like(small), small]))
    baseline, change = float(ends[0]), float(ends[1] - ends[0])
    count = _FEWEST_STEPS if steps is None else as_count(steps, "steps")
    while True:
        gradient = rows.T @ _mean_gradient(log_odds, small, count) @ columns
        attribution = values * gradient
        error = float(attribution.sum() - change)
        if steps is not None or count >= MOST_STEPS or abs(error) <= tolerance * max(abs(change), 1.0):
            return Saliency(attribution, change, baseline, error, count)
        count *= 2


def _mean_gradient(log_odds: _LogOdds, small: Floats, steps: int) -> Floats:
    """Mean over the middles of equal steps from zero to a field."""
    at = (np.arange(steps) + 0.5) / steps
    total = np.zeros_like(small)
    for begin in range(0, steps, _BATCH):
        share = at[begin : begin + _BATCH, None, None]
        total += log_odds.gradients(share * small).sum(axis=0)
    return total / steps


class _LogOdds:
    """Log-odds of a flare as a function of resized fields: the head's units before their softmax."""

    def __init__(self, trunk: Any, head: Any) -> None:
        self._tf = require("tensorflow", extra="train", purpose="gradients of a network")
        kernel, bias = (np.asarray(weight.value, dtype=np.float32) for weight in (head.kernel, head.bias))
        self._trunk, self._weight, self._bias = trunk, kernel[:, 1:] - kernel[:, :1], bias[1] - bias[0]
        self._both = self._tf.function(self._with_gradients, reduce_retracing=True)

    def values(self, fields: Floats) -> Floats:
        return np.asarray(self._both(self._tensor(fields))[0], dtype=np.float64)

    def gradients(self, fields: Floats) -> Floats:
        return np.asarray(self._both(self._tensor(fields))[1], dtype=np.float64)[..., 0]

    def _tensor(self, fields: Floats) -> Any:
        return self._tf.constant(fields[..., None], self._tf.float32)

    def _with_gradients(self, fields: Any) -> tuple[Any, Any]:
        tf = self._tf
        with tf.GradientTape() as tape:
            tape.watch(fields)
            features = tf.cast(self._trunk(fields, training=False), tf.float32)
            odds = (features @ self._weight)[:, 0] + self._bias
        return odds, tape.gradient(odds, fields)


def _log_odds(network: Any) -> _LogOdds:
    keras = require("keras", extra="train", purpose="gradients of a network")
    head = next((layer for layer in network.layers if layer.name == "head"), None)
    if head is None or getattr(head, "units", None) != 2:
        raise ValueError(
            "network must end in a layer 'head' of two units, no flare and flare; its last layer is "
            f"{network.layers[-1].name!r}"
        )
    return _LogOdds(keras.Model(network.input, head.input), head)
