"""The loss and the optimizers that a network is trained with."""

from typing import TYPE_CHECKING, Any

from solartrack._optional import require
from solartrack.models.goturn.presets import Plan

if TYPE_CHECKING:
    import keras
else:
    keras = require("keras", extra="train", purpose="training")

__all__ = ["CaffeSGD", "Trainee", "optimizer"]


class Trainee(keras.Model):  # type: ignore[misc]
    """A network with its loss.

    The score learns the IoU of the network's own box, and 0 where the region is lost; the spread learns the
    scale of the Laplace distribution of each side's error. Neither has an effect on the box.
    """

    def __init__(self, network: Any, plan: Plan) -> None:
        super().__init__(name="trainee")
        self.network, self.plan = network, plan
        self.distance = keras.metrics.Mean(name="distance")
        self.iou = keras.metrics.Mean(name="iou")
        self.score_loss = keras.metrics.Mean(name="score_loss")

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Run the network."""
        return self.network(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Loss of a batch of `solartrack.models.goturn.dataset.batches`."""
        ops = keras.ops
        present = y["present"][:, 0]
        count = ops.maximum(ops.sum(present), 1.0)
        distance = ops.sum(ops.sum(ops.abs(y_pred["box"] - y["box"]), axis=1) * present) / count
        iou = _iou(y_pred["box"], y["box"])
        mean_iou = ops.sum(iou * present) / count
        loss = distance + self.plan.overlap * (1.0 - mean_iou)
        if "score" in y_pred:
            wanted = ops.expand_dims(ops.stop_gradient(iou) * present, 1)
            score_loss = ops.mean(keras.losses.binary_crossentropy(wanted, y_pred["score"]))
            self.score_loss.update_state(score_loss)
            error = ops.stop_gradient(ops.abs(y_pred["box"] - y["box"]))
            scale = y_pred["spread"] + 0.01
            doubt = ops.mean(ops.log(scale) + error / scale, axis=1)
            loss = loss + self.plan.score * (score_loss + ops.sum(doubt * present) / count)
        self.distance.update_state(distance / 4.0, sample_weight=count)
        self.iou.update_state(mean_iou, sample_weight=count)
        return loss


class CaffeSGD(keras.optimizers.SGD):  # type: ignore[misc]
    """Momentum with Caffe's multipliers: biases learn twice as fast, and dense layers ten times.

    Weight decay is added to the gradient, of kernels only.
    """

    def __init__(self, learning_rate: Any, decay: float = 5e-4, **kwargs: Any) -> None:
        super().__init__(learning_rate, momentum=0.9, **kwargs)
        self.decay = decay

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Update the variables; with momentum a factor on the rate is one on the gradient."""
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        scaled = []
        for gradient, variable in zip(grads, variables, strict=True):
            factor = 1.0 if variable.path.startswith("tower_") else 10.0
            if variable.path.endswith("bias"):
                scaled.append(2.0 * factor * gradient)
            else:
                decay = self.decay * keras.ops.cast(variable, gradient.dtype)
                scaled.append(factor * (gradient + decay))
        super().apply(scaled, variables)


def _iou(a: Any, b: Any) -> Any:
    """IoU row by row; 0 for inverted boxes, with a gradient wherever they overlap."""
    ops = keras.ops
    low, high = ops.maximum(a[:, :2], b[:, :2]), ops.minimum(a[:, 2:], b[:, 2:])
    both = ops.prod(ops.maximum(high - low, 0.0), axis=1)
    areas = [ops.prod(ops.maximum(c[:, 2:] - c[:, :2], 0.0), axis=1) for c in (a, b)]
    return both / ops.maximum(areas[0] + areas[1] - both, 1e-6)


def optimizer(plan: Plan, steps: int) -> Any:
    """Optimizer of a plan, with a rate that falls over `steps`."""
    schedules = keras.optimizers.schedules
    if plan.optimizer == "caffe":
        drops = [step for step in (100_000, 200_000, 300_000, 400_000) if step < steps]
        values = [plan.rate * 0.1**k for k in range(len(drops) + 1)]
        return CaffeSGD(schedules.PiecewiseConstantDecay(drops, values) if drops else plan.rate)
    rate = schedules.CosineDecay(
        plan.rate * 0.01,
        decay_steps=max(1, steps - steps // 20),
        alpha=0.01,
        warmup_target=plan.rate,
        warmup_steps=steps // 20,
    )
    return keras.optimizers.AdamW(rate, weight_decay=1e-4, global_clipnorm=10.0)
