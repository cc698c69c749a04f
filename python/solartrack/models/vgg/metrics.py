"""The published scores as Keras metrics, which add up over the batches of an epoch.

`solartrack.flares.scores` has the same scores of whole tables, which need not be in memory here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from solartrack._optional import require

__all__ = ["SCORES", "Score"]

if TYPE_CHECKING:
    import keras
else:
    keras = require("keras", extra="train", purpose="scores during the training")


def _tpr(tp: Any, fn: Any, fp: Any, tn: Any) -> Any:
    return tp / (tp + fn)


def _tnr(tp: Any, fn: Any, fp: Any, tn: Any) -> Any:
    return tn / (tn + fp)


def _tss(tp: Any, fn: Any, fp: Any, tn: Any) -> Any:
    return tp / (tp + fn) + tn / (tn + fp) - 1


def _hss(tp: Any, fn: Any, fp: Any, tn: Any) -> Any:
    # Times one, written so that it is NaN with one class only, where it would say nothing about skill.
    known = (tp + fn) / (tp + fn) * ((tn + fp) / (tn + fp))
    return known * 2 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn))


#: The scores by name, each a function of hits, misses, false alarms and correct rejections.
SCORES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {"tpr": _tpr, "tnr": _tnr, "tss": _tss, "hss": _hss}


@keras.saving.register_keras_serializable(package="solartrack")
class Score(keras.metrics.Metric):  # type: ignore[misc]
    """A score of all samples since the last reset, from how often each combination occurred.

    A flare is forecast where its probability is the larger one; where both are equal, none is.

    Parameters
    ----------
    score : {"tpr", "tnr", "tss", "hss"}
        Hit rate TP / (TP + FN); rate of correct rejections TN / (TN + FP); true skill statistic
        TPR + TNR - 1; Heidke skill score
        ``2 (TP TN - FN FP) / ((TP + FN) (FN + TN) + (TP + FP) (FP + TN))``.
        NaN where they are undefined: without flares (TPR, TSS, HSS), without quiet samples (TNR, TSS, HSS).
    name : str, optional
        Default: `score`.

    Raises
    ------
    ValueError
        If there is no such score.

    References
    ----------
    Bloomfield et al. 2012, ApJ 747, L41.
    """

    def __init__(self, score: str, name: str | None = None, **kwargs: Any) -> None:
        if score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
        # float32 does not count beyond 2^24.
        super().__init__(name=name or score, **{**kwargs, "dtype": "float64"})
        self.score = score
        #: True negatives, false positives, false negatives, true positives.
        self.counts = self.add_weight(shape=(4,), initializer="zeros", dtype="float64", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch.

        Parameters
        ----------
        y_true : tensor, shape (n, 2)
            One-hot: quiet, flare.
        y_pred : tensor, shape (n, 2)
            Probabilities.
        sample_weight : tensor, shape (n,), optional
            How much each sample counts; 0, or False, leaves it out.
        """
        ops = keras.ops
        outcome, forecast = ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1)
        kinds = ops.one_hot(2 * outcome + forecast, 4, dtype="float64")
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, "float64"), (-1, 1))
            kinds = ops.where(weight > 0, kinds * weight, ops.zeros_like(kinds))
        self.counts.assign_add(ops.sum(kinds, axis=0))

    def result(self) -> Any:
        """The score as a float64 scalar."""
        tn, fp, fn, tp = (self.counts[i] for i in range(4))
        return SCORES[self.score](tp, fn, fp, tn)

    def all_scores(self) -> dict[str, float]:
        """All scores by name, from the same counts."""
        tn, fp, fn, tp = np.asarray(self.counts.value)
        with np.errstate(invalid="ignore"):
            return {name: float(score(tp, fn, fp, tn)) for name, score in SCORES.items()}

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "score": self.score}
