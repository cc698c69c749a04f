"""The networks: presets as plain data, and the function that builds them in Keras.

Both take ``target`` and ``search``, crops of shape (n, side, side, channels) as
`solartrack.crop.context_crop` makes them, and give ``box``, shape (n, 4), in the
coordinates of the search crop (0 to 10); `goturn-lite` also gives ``score``, shape
(n, 1), the expected IoU of that box with the region's true one, 0 where it is lost.

Written with `keras.layers` and `keras.ops` alone, so that any Keras backend will do.

References
----------
Held, Thrun & Savarese 2016, ECCV, "Learning to Track at 100 FPS with Deep Regression Networks".
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solartrack._optional import require
from solartrack.inference import CropPair

__all__ = ["PRESETS", "LocalResponseNormalization", "Preset", "SplitConv2D", "build"]

if TYPE_CHECKING:
    import keras
else:
    keras = require("keras", extra="train", purpose="building networks")


@dataclass(frozen=True)
class Preset:
    """A network as plain data.

    Attributes
    ----------
    crops : CropPair
        How the inputs are cut.
    tower, head : tuple
        Layers for each crop (shared weights) and for both together:
        ``("standardize",)``, ``("conv", filters, kernel, stride, padding, groups)``,
        ``("pool", size, stride)``, ``("lrn",)``, ``("flatten",)``,
        ``("dense", units, dropout)``.
    score : bool
        Whether it tells how good its box is.
    initial_box : tuple of float, optional
        What the untrained network answers, whatever it sees; random if None.
    """

    crops: CropPair
    tower: tuple[tuple[Any, ...], ...]
    head: tuple[tuple[Any, ...], ...]
    score: bool
    initial_box: tuple[float, float, float, float] | None = None


PRESETS = {
    "goturn-caffenet": Preset(
        crops=CropPair(side=227, channels=3, mean=(104.0, 117.0, 123.0)),
        tower=(
            ("conv", 96, 11, 4, "valid", 1),
            ("pool", 3, 2),
            ("lrn",),
            ("conv", 256, 5, 1, "same", 2),
            ("pool", 3, 2),
            ("lrn",),
            ("conv", 384, 3, 1, "same", 1),
            ("conv", 384, 3, 1, "same", 2),
            ("conv", 256, 3, 1, "same", 2),
            ("pool", 3, 2),
        ),
        head=(("flatten",), ("dense", 4096, 0.5), ("dense", 4096, 0.5), ("dense", 4096, 0.5)),
        score=False,
    ),
    "goturn-lite": Preset(
        crops=CropPair(side=128, channels=1, mean=(0.0,)),
        # Each crop is brought to mean 0 and deviation 1 first: exposure, stretch and channel differ
        # between archives far more than what they show.
        tower=(
            ("standardize",),
            ("conv", 24, 5, 2, "same", 1),
            ("conv", 48, 3, 2, "same", 1),
            ("conv", 96, 3, 2, "same", 1),
            ("conv", 128, 3, 2, "same", 1),
        ),
        # Both crops meet while there is still an 8 x 8 map, so that shifts can be compared by place.
        head=(("conv", 192, 3, 2, "same", 1), ("flatten",), ("dense", 192, 0.0)),
        score=True,
        # The window is cut around where rotation takes the box: nothing learnt yet means just that.
        initial_box=(2.5, 2.5, 7.5, 7.5),
    ),
}


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


def build(preset: str, *, split: bool = False, dtype: str = "float32", seed: int | None = None) -> Any:
    """Build a network with random weights.

    Parameters
    ----------
    preset : str
        A name in `PRESETS`.
    split : bool
        Compute grouped convolutions group by group, for training on a CPU. Weights are the same.
    dtype : str
        Keras dtype policy, such as "mixed_float16"; outputs are float32 whatever it is.
    seed : int, optional
        Of the weights and of dropout.

    Returns
    -------
    keras.Model
        Inputs ``{"target", "search"}``, outputs ``{"box"}`` or ``{"box", "score"}``.

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    plan = PRESETS[preset]
    seeds = iter(range(1000)) if seed is None else iter(range(1000 * seed, 1000 * seed + 1000))
    initializer = "glorot_uniform"

    def weights() -> Any:
        number = next(seeds)
        return initializer if seed is None else keras.initializers.GlorotUniform(seed=number)

    def layers(specs: tuple[tuple[Any, ...], ...], name: str) -> list[Any]:
        out: list[Any] = []
        counts: dict[str, int] = {}
        for kind, *numbers in specs:
            counts[kind] = counts.get(kind, 0) + 1
            called: dict[str, Any] = {"name": f"{name}_{kind}{counts[kind]}"}
            match kind:
                case "standardize":
                    # One group: over rows, columns and channels. Epsilon is in squared counts: a black
                    # crop stays black instead of becoming noise.
                    norm = keras.layers.GroupNormalization
                    out.append(
                        norm(groups=1, epsilon=1.0, center=False, scale=False, dtype="float32", **called)
                    )
                case "conv":
                    filters, kernel, stride, padding, groups = numbers
                    layer = SplitConv2D if split and groups > 1 else keras.layers.Conv2D
                    out.append(
                        layer(
                            filters,
                            kernel,
                            strides=stride,
                            padding=padding,
                            groups=groups,
                            activation="relu",
                            kernel_initializer=weights(),
                            dtype=dtype,
                            **called,
                        )
                    )
                case "pool":
                    size, stride = numbers
                    out.append(keras.layers.MaxPooling2D(size, stride, dtype=dtype, **called))
                case "lrn":
                    out.append(LocalResponseNormalization(**called))
                case "flatten":
                    out.append(keras.layers.Flatten(dtype=dtype, **called))
                case "dense":
                    units, dropout = numbers
                    out.append(
                        keras.layers.Dense(
                            units, activation="relu", kernel_initializer=weights(), dtype=dtype, **called
                        )
                    )
                    if dropout:
                        called["name"] = f"{name}_dropout{counts[kind]}"
                        out.append(
                            keras.layers.Dropout(
                                dropout, seed=None if seed is None else next(seeds), dtype=dtype, **called
                            )
                        )
        return out

    shape = (plan.crops.side, plan.crops.side, plan.crops.channels)
    target = keras.Input(shape, name="target", dtype="float32")
    search = keras.Input(shape, name="search", dtype="float32")
    seen_target, seen_search = target, search
    for layer in layers(plan.tower, "tower"):
        seen_target, seen_search = layer(seen_target), layer(seen_search)
    x = keras.layers.Concatenate(name="both", dtype=dtype)([seen_target, seen_search])
    for layer in layers(plan.head, "head"):
        x = layer(x)

    start = plan.initial_box
    kernel = weights() if start is None else "zeros"
    box_layer = keras.layers.Dense(4, kernel_initializer=kernel, dtype="float32", name="box")
    outputs = {"box": box_layer(x)}
    if start is not None:
        box_layer.bias.assign(keras.ops.convert_to_tensor(start, dtype="float32"))
    if plan.score:
        outputs["score"] = keras.layers.Dense(
            1, activation="sigmoid", kernel_initializer=weights(), dtype="float32", name="score"
        )(x)
    return keras.Model({"target": target, "search": search}, outputs, name=preset.replace("-", "_"))
