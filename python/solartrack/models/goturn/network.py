"""The networks of `presets` in Keras.

Both take ``target`` and ``search``, crops of shape (n, side, side, channels) as
`solartrack.crop.context_crop` makes them, and give ``box``, shape (n, 4), in the coordinates of the search
crop (0 to 10). `goturn-lite` also gives ``score``, shape (n, 1), the expected IoU of that box with the true
one (0 where the region is lost), and ``spread``, shape (n, 4), the expected error of each side.

Only `keras.layers` and `keras.ops` are used, so that any Keras backend will do.

References
----------
Held, Thrun & Savarese 2016, ECCV, "Learning to Track at 100 FPS with Deep Regression Networks".
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from solartrack._optional import require
from solartrack.models.goturn.presets import PRESETS, Preset

__all__ = ["LocalResponseNormalization", "SplitConv2D", "build"]

if TYPE_CHECKING:
    import keras
else:
    keras = require("keras", extra="train", purpose="building networks")


@keras.saving.register_keras_serializable(package="solartrack")
class LocalResponseNormalization(keras.layers.Layer):  # type: ignore[misc]
    """Local response normalisation across channels, with Caffe's meaning of alpha.

    ``x / (1 + alpha / size * sum(x^2))^beta`` with the sum over ``size`` neighbouring channels.

    References
    ----------
    Krizhevsky, Sutskever & Hinton 2012, NIPS; alpha is divided by the window as in Caffe and ONNX.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, **kwargs: Any) -> None:
        # The squares would overflow in half precision.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.size, self.alpha, self.beta = size, alpha, beta

    def call(self, inputs: Any) -> Any:
        """Normalise channels-last `inputs`."""
        ops, channels = keras.ops, inputs.shape[-1]
        index = ops.arange(channels)
        apart = ops.abs(ops.expand_dims(index, 0) - ops.expand_dims(index, 1))
        window = ops.cast(apart <= self.size // 2, inputs.dtype)
        total = ops.matmul(ops.square(inputs), window)
        return inputs * ops.power(1.0 + (self.alpha / self.size) * total, -self.beta)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "size": self.size, "alpha": self.alpha, "beta": self.beta}


@keras.saving.register_keras_serializable(package="solartrack")
class SplitConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """A grouped convolution, computed group by group.

    It has the single kernel of ``Conv2D(groups=...)``, so either can load the other's weights. TensorFlow
    trains it 3.5 times faster on a CPU.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve group by group; Keras calls it without the bias."""
        parts = zip(
            keras.ops.split(inputs, self.groups, axis=-1),
            keras.ops.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        done = [
            keras.ops.conv(
                part,
                weights,
                strides=list(self.strides),
                padding=self.padding,
                data_format=self.data_format,
                dilation_rate=self.dilation_rate,
            )
            for part, weights in parts
        ]
        return keras.ops.concatenate(done, axis=-1)


def build(
    preset: str | Preset, *, split: bool = False, dtype: str = "float32", seed: int | None = None
) -> Any:
    """Build a network with random weights.

    Parameters
    ----------
    preset : str or Preset
        A preset, or its name in `PRESETS`.
    split : bool
        Compute grouped convolutions group by group, for training on a CPU. The weights are the same.
    dtype : str
        Keras dtype policy, such as "mixed_float16"; outputs are float32 in any case.
    seed : int, optional
        Seed of the weights and of dropout.

    Returns
    -------
    keras.Model
        Inputs ``{"target", "search"}``, outputs ``{"box"}`` or ``{"box", "score", "spread"}``.

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    if not isinstance(preset, Preset) and preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    plan = preset if isinstance(preset, Preset) else PRESETS[preset]
    rng = np.random.default_rng(seed)

    def draw() -> int:
        return int(rng.integers(2**31))

    shape = (plan.crops.side, plan.crops.side, plan.crops.channels)
    target = keras.Input(shape, name="target", dtype="float32")
    search = keras.Input(shape, name="search", dtype="float32")
    seen_target, seen_search = target, search
    for layer in _layers(plan.tower, "tower", split, dtype, draw):
        seen_target, seen_search = layer(seen_target), layer(seen_search)
    x = keras.layers.Concatenate(name="both", dtype=dtype)([seen_target, seen_search])
    for layer in _layers(plan.head, "head", split, dtype, draw):
        x = layer(x)

    outputs = _outputs(x, plan, draw)
    return keras.Model({"target": target, "search": search}, outputs, name="goturn")


def _outputs(x: Any, plan: Preset, draw: Callable[[], int]) -> dict[str, Any]:
    """The box and, if the preset has them, the score and the spread."""

    def dense(name: str, units: int, activation: str | None = None) -> Any:
        kernel = keras.initializers.GlorotUniform(draw())
        return keras.layers.Dense(
            units, activation=activation, kernel_initializer=kernel, dtype="float32", name=name
        )

    if plan.initial_box is None:
        outputs = {"box": dense("box", 4)(x)}
    else:
        box = keras.layers.Dense(4, kernel_initializer="zeros", dtype="float32", name="box")
        outputs = {"box": box(x)}
        box.bias.assign(np.array(plan.initial_box, np.float32))
    if plan.score:
        outputs["score"] = dense("score", 1, "sigmoid")(x)
        outputs["spread"] = dense("spread", 4, "softplus")(x)
    return outputs


def _layers(
    specs: tuple[tuple[Any, ...], ...], part: str, split: bool, dtype: str, draw: Callable[[], int]
) -> list[Any]:
    """Layers of a tower or head, named ``part_kindN``."""
    out: list[Any] = []
    counts: dict[str, int] = {}
    for kind, *numbers in specs:
        counts[kind] = counts.get(kind, 0) + 1
        name = f"{part}_{kind}{counts[kind]}"
        common = {"name": name, "dtype": dtype}
        match kind, *numbers:
            case ["standardize"]:
                # Rows, columns and channels are one group. Epsilon is in squared counts, so that a black crop
                # stays black instead of becoming noise.
                common["dtype"] = "float32"
                layer = keras.layers.GroupNormalization(1, epsilon=1.0, center=False, scale=False, **common)
            case ["conv", filters, size, stride, padding, groups]:
                kind_of = SplitConv2D if split and groups > 1 else keras.layers.Conv2D
                layer = kind_of(
                    filters,
                    size,
                    strides=stride,
                    padding=padding,
                    groups=groups,
                    activation="relu",
                    kernel_initializer=keras.initializers.GlorotUniform(draw()),
                    **common,
                )
            case ["norm"]:
                layer = keras.layers.BatchNormalization(momentum=0.98, **common)
            case ["pool", size, stride]:
                layer = keras.layers.MaxPooling2D(size, stride, **common)
            case ["lrn"]:
                layer = LocalResponseNormalization(name=name)
            case ["flatten"]:
                layer = keras.layers.Flatten(**common)
            case ["dense", units, _]:
                kernel = keras.initializers.GlorotUniform(draw())
                layer = keras.layers.Dense(units, activation="relu", kernel_initializer=kernel, **common)
            case _:
                raise ValueError(f"a preset knows no layer {(kind, *numbers)}")
        out.append(layer)
        if kind == "dense" and numbers[1] > 0:
            out.append(keras.layers.Dropout(numbers[1], seed=draw(), name=f"{name}_dropout", dtype=dtype))
    return out
