"""Classifiers of magnetogram patches in Keras: a backbone and a softmax of two classes.

Input ``field``, float32 (n, side, side, 1), gauss; output ``probabilities``, float32 (n, 2), without and
with a flare. Layers have the names that they have in `keras.applications`, the last one is ``head``.

Only `keras.layers` and `keras.ops` are used, so that any Keras backend will do.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solartrack._optional import require
from solartrack.models.vgg.backbones import BACKBONES, Backbone, EfficientNetLite, Stage, Vgg

__all__ = ["FIELD_GAUSS", "MagnetogramChannels", "build", "cut_points", "split"]

if TYPE_CHECKING:
    import keras
else:
    keras = require("keras", extra="train", purpose="building networks")

#: This field, of either sign, is mapped to 255 and 0, as published.
FIELD_GAUSS = 5978.7


@keras.saving.register_keras_serializable(package="solartrack")
class MagnetogramChannels(keras.layers.Layer):  # type: ignore[misc]
    """A magnetic field as the three channels that a network for photographs takes.

    ``v = (B + field_gauss) / (2 field_gauss) * 255``, not clipped; each channel is ``scale * v + offset``.

    Parameters
    ----------
    scale : float
    offsets : sequence of float, length 3
    field_gauss : float
    """

    def __init__(
        self,
        scale: float = 1.0,
        offsets: tuple[float, float, float] = (0.0, 0.0, 0.0),
        field_gauss: float = FIELD_GAUSS,
        **kwargs: Any,
    ) -> None:
        # Weak fields would be lost in half precision.
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.scale, self.offsets, self.field_gauss = scale, tuple(offsets), field_gauss

    @property
    def slope(self) -> float:
        """Change of every channel for one gauss."""
        return self.scale * 255.0 / (2.0 * self.field_gauss)

    @property
    def zeros(self) -> tuple[float, ...]:
        """Values of the channels where there is no field."""
        return tuple(self.scale * 127.5 + offset for offset in self.offsets)

    def call(self, inputs: Any) -> Any:
        """Map a field of shape (n, rows, columns, 1) to (n, rows, columns, 3)."""
        return inputs * self.slope + keras.ops.convert_to_tensor(self.zeros, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape with three channels."""
        return (*input_shape[:-1], len(self.offsets))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        mine = {"scale": self.scale, "offsets": self.offsets, "field_gauss": self.field_gauss}
        return {**super().get_config(), **mine}


def build(backbone: str | Backbone, *, seed: int = 0, dtype: str = "float32") -> Any:
    """Build a classifier with random weights.

    Parameters
    ----------
    backbone : str or Backbone
        A name in `BACKBONES`, or your own.
    seed : int
        Seed of the weights, which are drawn as in Keras: uniform, after Glorot and Bengio.
    dtype : str
        Keras dtype policy, such as "mixed_float16"; the channels and the probabilities are float32 anyhow.

    Returns
    -------
    keras.Model
        Functional; its input is one tensor, its output another.

    Raises
    ------
    ValueError
        If there is no such backbone.
    """
    if not isinstance(backbone, Backbone) and backbone not in BACKBONES:
        raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, got {backbone!r}")
    plan = backbone if isinstance(backbone, Backbone) else BACKBONES[backbone]
    rng = np.random.default_rng(seed)

    def draw() -> Any:
        return keras.initializers.GlorotUniform(int(rng.integers(2**31)))

    field = keras.Input((plan.side, plan.side, 1), name="field", dtype="float32")
    x = MagnetogramChannels(plan.scale, plan.offsets, name="channels")(field)
    x = _vgg(x, plan.body, dtype, draw) if isinstance(plan.body, Vgg) else _lite(x, plan.body, dtype, draw)
    head = keras.layers.Dense(
        2, activation="softmax", kernel_initializer=draw(), dtype="float32", name="head"
    )
    name = backbone if isinstance(backbone, str) else "vgg"
    return keras.Model(field, head(x), name=name.replace("-", "_"))


def _vgg(x: Any, body: Vgg, dtype: str, draw: Callable[[], Any]) -> Any:
    for block, filters in enumerate(body.blocks, 1):
        for number, count in enumerate(filters, 1):
            x = keras.layers.Conv2D(
                count,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=draw(),
                dtype=dtype,
                name=f"block{block}_conv{number}",
            )(x)
        x = keras.layers.MaxPooling2D(2, 2, dtype=dtype, name=f"block{block}_pool")(x)
    if not body.dense:
        return keras.layers.GlobalAveragePooling2D(dtype=dtype, name="avg_pool")(x)
    x = keras.layers.Flatten(dtype=dtype, name="flatten")(x)
    for number, units in enumerate(body.dense, 1):
        x = keras.layers.Dense(
            units, activation="relu", kernel_initializer=draw(), dtype=dtype, name=f"fc{number}"
        )(x)
    return x


def _lite(x: Any, body: EfficientNetLite, dtype: str, draw: Callable[[], Any]) -> Any:
    layers = keras.layers

    def norm(x: Any, prefix: str, *, act: str | None) -> Any:
        x = layers.BatchNormalization(epsilon=1e-3, dtype=dtype, name=f"{prefix}_bn".lstrip("_"))(x)
        return x if act is None else layers.ReLU(6.0, dtype=dtype, name=act)(x)

    def conv(x: Any, filters: int, size: int, stride: int, name: str) -> Any:
        settings = {"padding": "same", "use_bias": False, "dtype": dtype, "name": name}
        return layers.Conv2D(filters, size, stride, kernel_initializer=draw(), **settings)(x)

    def block(x: Any, stage: Stage, stride: int, name: str) -> Any:
        before, count = x, x.shape[-1]
        if stage.expand != 1:
            x = conv(x, count * stage.expand, 1, 1, f"{name}_expand_conv")
            x = norm(x, f"{name}_expand", act=f"{name}_expand_activation")
        x = layers.DepthwiseConv2D(
            stage.kernel,
            stride,
            padding="same",
            use_bias=False,
            depthwise_initializer=draw(),
            dtype=dtype,
            name=f"{name}_dwconv",
        )(x)
        x = norm(x, name, act=f"{name}_activation")
        x = norm(conv(x, stage.filters, 1, 1, f"{name}_project_conv"), f"{name}_project", act=None)
        if stride == 1 and stage.filters == count:
            x = layers.Add(dtype=dtype, name=f"{name}_add")([x, before])
        return x

    x = norm(conv(x, body.stem, 3, 2, "stem_conv"), "stem", act="stem_activation")
    for number, stage in enumerate(body.stages, 1):
        for repeat in range(stage.repeats):
            x = block(x, stage, stage.stride if repeat == 0 else 1, f"block{number}{chr(ord('a') + repeat)}")
    x = norm(conv(x, body.top, 1, 1, "top_conv"), "top", act="top_activation")
    # No dropout before the last layer: it would see other activations than those of the frozen part.
    return layers.GlobalAveragePooling2D(dtype=dtype, name="avg_pool")(x)


def cut_points(network: Any) -> tuple[str, ...]:
    """Layers at which a network can be cut in two, from its input to its output.

    A layer is one if everything that it and the layers after it need is the tensor that it takes, and if
    there is something before it. Inside residual blocks there are none.

    Returns
    -------
    tuple of str
    """
    return tuple(_cuts(network))


def split(network: Any, at: str = "head") -> tuple[Any, Any]:
    """Cut a network in two and freeze its first part.

    Parameters
    ----------
    network : keras.Model
        As `build` makes it.
    at : str
        Layer at which the second part begins, or a block, such as "block5", for its first layer.
        "head" is the published recipe; an earlier one fine-tunes what comes after it.

    Returns
    -------
    trunk : keras.Model
        From the field to the tensor that enters layer `at`. Its layers are not trainable, and its batch
        normalisation uses the stored statistics in training, too.
    rest : keras.Model
        From that tensor to the probabilities; trainable. Both share their layers with `network`, which
        therefore has the same trainable weights as `rest`.

    Raises
    ------
    ValueError
        If `at` is no layer of the network, or does not cut it in two.
    """
    cuts = _cuts(network)
    if at not in cuts:
        begin = next((name for name in cuts if name.startswith(f"{at}_")), None)
        if begin is None:
            trouble = (
                "it does not cut the network in two"
                if at in {layer.name for layer in network.layers}
                else "there is no such layer or block"
            )
            raise ValueError(f"cannot cut at {at!r}: {trouble}; choose one of {', '.join(cuts)}")
        at = begin
    tensor, before = network.get_layer(cuts[at]).output, True
    for entry in network.get_config()["layers"]:
        layer = network.get_layer(entry["name"])
        layer.trainable = not before
        before = before and layer.name != cuts[at]
    trunk = keras.Model(network.inputs[0], tensor, name=f"{network.name}_trunk")
    return trunk, keras.Model(tensor, network.outputs[0], name=f"{network.name}_rest")


def _cuts(network: Any) -> dict[str, str]:
    """Of each cut point, the layer whose output it takes."""
    reads = {e["name"]: list(_sources(e["inbound_nodes"])) for e in network.get_config()["layers"]}
    order = {name: number for number, name in enumerate(reads)}  # topological
    edges = [(order[a], order[b]) for b, sources in reads.items() for a in sources]
    cuts = {}
    for name, sources in reads.items():
        if len(sources) != 1 or not reads[sources[0]]:  # of the input nothing could be frozen
            continue
        source = order[sources[0]]
        if not any(a < source < b for a, b in edges):
            cuts[name] = sources[0]
    return cuts


def _sources(value: Any) -> Iterator[str]:
    """Layers whose outputs a serialised layer takes."""
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
        yield value["config"]["keras_history"][0]
    elif isinstance(value, (Mapping, list, tuple)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _sources(part)
