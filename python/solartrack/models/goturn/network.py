"""The networks of `presets` in Keras.

Both take ``target`` and ``search``, crops of shape (n, side, side, channels) as
`solartrack.crop.context_crop` makes them, and give ``box``, shape (n, 4), in the
coordinates of the search crop (0 to 10); `goturn-lite` also gives ``score``, shape
(n, 1), the expected IoU of that box with the region's true one, 0 where it is lost, and
``spread``, shape (n, 4), the expected error of each side.

Written with `keras.layers` and `keras.ops` alone, so that any Keras backend will do.

References
----------
Held, Thrun & Savarese 2016, ECCV, "Learning to Track at 100 FPS with Deep Regression Networks".
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from solartrack._optional import require
from solartrack.models.goturn.presets import PRESETS, Preset

__all__ = ["LocalResponseNormalization", "PlaceBias", "Profile", "SidePair", "SplitConv2D", "build"]

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
        # Squares overflow half precision.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.size, self.alpha, self.beta = size, alpha, beta

    def call(self, inputs: Any) -> Any:
        """Normalise channels-last `inputs`."""
        ops, channels = keras.ops, inputs.shape[-1]
        place = ops.arange(channels)
        apart = ops.abs(ops.expand_dims(place, 0) - ops.expand_dims(place, 1))
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
    """A grouped convolution computed as one convolution for each group.

    The weights are those of ``Conv2D(groups=...)``, one kernel, so either loads the other's.
    TensorFlow trains it 3.5 times faster on a CPU.
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


@keras.saving.register_keras_serializable(package="solartrack")
class PlaceBias(keras.layers.Layer):  # type: ignore[misc]
    """Add a weight to each element of a map: what convolutions do not know is where they are."""

    def build(self, input_shape: Any) -> None:
        """Make the weights, of the input's shape."""
        self.bias = self.add_weight(name="bias", shape=input_shape[1:], initializer="zeros")

    def call(self, inputs: Any) -> Any:
        """Add."""
        return inputs + self.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape


@keras.saving.register_keras_serializable(package="solartrack")
class Profile(keras.layers.Layer):  # type: ignore[misc]
    """Mean over the rows (axis 1) or columns (axis 2) of a map, with one row or column left.

    TensorFlow trains it ten times faster on a CPU than pooling over windows as large.
    """

    def __init__(self, axis: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        """Take the mean."""
        return keras.ops.mean(inputs, axis=self.axis, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape with one row or column."""
        return tuple(1 if k == self.axis else n for k, n in enumerate(input_shape))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "axis": self.axis}


@keras.saving.register_keras_serializable(package="solartrack")
class SidePair(keras.layers.Layer):  # type: ignore[misc]
    """Where along a profile two sides are, from how likely each is to be in each cell.

    Softmax along the profile, then the mean position and the mean distance from it, for each side.

    Parameters
    ----------
    first, last : float
        Positions of the first and the last cell's middle.
    start : tuple of float
        Positions of the sides where nothing has been learnt yet.
    """

    def __init__(self, first: float, last: float, start: tuple[float, float], **kwargs: Any) -> None:
        # Differences of large exponentials are lost in half precision.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.first, self.last, self.start = first, last, tuple(start)

    def build(self, input_shape: Any) -> None:
        """Make the weights: how likely a side is to be in each cell, whatever is seen."""
        count = max(input_shape[1:3])
        self.positions = np.linspace(self.first, self.last, count, dtype=np.float32)
        guess = -0.5 * (self.positions - np.array(self.start, np.float32)[:, None]) ** 2
        self.prior = self.add_weight(name="prior", shape=(2, count), initializer="zeros")
        self.prior.assign(guess)

    def call(self, inputs: Any) -> Any:
        """Positions and distances, shape (n, 4), from shape (n, 1, cells, 2) or (n, cells, 1, 2)."""
        ops = keras.ops
        logits = ops.reshape(ops.transpose(inputs, (0, 3, 1, 2)), (-1, 2, len(self.positions)))
        share = ops.softmax(logits + self.prior, axis=-1)
        at = ops.sum(share * self.positions, axis=-1, keepdims=True)
        apart = ops.sum(share * ops.abs(self.positions - at), axis=-1)
        return ops.concatenate([at[..., 0], apart], axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (n, 4)."""
        return (input_shape[0], 4)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "first": self.first, "last": self.last, "start": self.start}


def build(
    preset: str | Preset, *, split: bool = False, dtype: str = "float32", seed: int | None = None
) -> Any:
    """Build a network with random weights.

    Parameters
    ----------
    preset : str or Preset
        A name in `PRESETS`, or what stands under one.
    split : bool
        Compute grouped convolutions group by group, for training on a CPU. Weights are the same.
    dtype : str
        Keras dtype policy, such as "mixed_float16"; outputs are float32 whatever it is.
    seed : int, optional
        Of the weights and of dropout.

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
    maps = []
    for layer in _layers(plan.head, "head", split, dtype, draw):
        x = layer(x)
        if isinstance(layer, keras.layers.Conv2D):
            maps.append(x)
        elif isinstance(layer, keras.layers.BatchNormalization | PlaceBias) and len(x.shape) == 4:
            maps[-1] = x

    start = plan.initial_box
    if plan.profiles:
        assert start is not None
        found = [_profile(plan, maps, axis, (start[axis], start[axis + 2]), dtype, draw) for axis in (0, 1)]
        x = keras.layers.Concatenate(name="found", dtype="float32")([*found, x])
    kernel = keras.initializers.GlorotUniform(draw()) if start is None else "zeros"
    box = keras.layers.Dense(4, kernel_initializer=kernel, dtype="float32", name="box")
    outputs = {"box": box(x)}
    if plan.profiles:
        # The sides are where they are found; what the dense layers say comes on top.
        through = np.zeros(box.kernel.shape, np.float32)
        through[[0, 4, 1, 5], range(4)] = 1.0
        box.kernel.assign(through)
    elif start is not None:
        box.bias.assign(np.array(start, np.float32))
    if plan.score:
        kernel = keras.initializers.GlorotUniform(draw())
        score = keras.layers.Dense(
            1, activation="sigmoid", kernel_initializer=kernel, dtype="float32", name="score"
        )
        outputs["score"] = score(x)
        spread = keras.layers.Dense(
            4,
            activation="softplus",
            kernel_initializer=keras.initializers.GlorotUniform(draw()),
            dtype="float32",
            name="spread",
        )
        outputs["spread"] = spread(x)
    return keras.Model({"target": target, "search": search}, outputs, name="goturn")


def _profile(
    plan: Preset, maps: list[Any], axis: int, start: tuple[float, float], dtype: str, draw: Callable[[], int]
) -> Any:
    """The two sides of the box across one axis, 0 for columns, from the profiles of some maps."""
    layers, name = keras.layers, "columns" if axis == 0 else "rows"
    along = 2 - axis  # the axis of the maps that stays
    cells = max(m.shape[along] for m in maps)

    def sides(across: int, stay: int) -> tuple[int, int]:
        return (across, stay) if axis == 0 else (stay, across)

    def draw_kernel() -> Any:
        return keras.initializers.GlorotUniform(draw())

    first, *further = plan.profiles
    parts = []
    for number, m in enumerate(maps, 1):
        # Brought to the same channels before they are repeated: fewer numbers, and much faster.
        part = Profile(1 + axis, name=f"{name}_mean{number}", dtype=dtype)(m)
        part = layers.Conv2D(
            first, 1, kernel_initializer=draw_kernel(), name=f"{name}_map{number}", dtype=dtype
        )(part)
        factor = cells // m.shape[along]
        if factor > 1:
            part = layers.UpSampling2D(sides(1, factor), name=f"{name}_up{number}", dtype=dtype)(part)
        parts.append(part)
    x = layers.Add(name=f"{name}_all", dtype=dtype)(parts)
    x = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm", dtype=dtype)(x)
    # A side may lie beyond the window.
    beyond = cells // 8
    x = layers.ZeroPadding2D(sides(0, beyond), name=f"{name}_pad", dtype=dtype)(x)
    x = PlaceBias(name=f"{name}_place", dtype=dtype)(x)
    for number, channels in enumerate(further, 1):
        x = layers.Conv2D(
            channels,
            sides(1, 5),
            padding="same",
            activation="relu",
            kernel_initializer=draw_kernel(),
            name=f"{name}_conv{number}",
            dtype=dtype,
        )(x)
        x = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm{number}", dtype=dtype)(x)
    x = layers.Conv2D(
        2, sides(1, 5), padding="same", kernel_initializer="zeros", name=f"{name}_sides", dtype=dtype
    )(x)
    cell = plan.crops.span / cells
    first = (0.5 - beyond) * cell
    return SidePair(first, plan.crops.span - first, start, name=name)(x)


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
                # Rows, columns and channels as one group. Epsilon is in squared counts: a black crop stays
                # black instead of becoming noise.
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
            case ["place"]:
                layer = PlaceBias(**common)
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
