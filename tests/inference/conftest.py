import keras
import numpy as np
import pytest

from solartrack.inference import CropPair
from solartrack.models.export import export


@pytest.fixture(scope="session")
def convention():
    return CropPair(side=16, channels=1, mean=(0.0,))


@pytest.fixture(scope="session")
def model_file(tmp_path_factory, convention):
    """A small network of our convention."""
    target, search = (keras.Input((16, 16, 1), name=n) for n in ("target", "search"))
    x = keras.layers.Concatenate()([target, search])
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, strides=2, activation="relu")(x))
    kernel = np.random.default_rng(0).normal(0, 1e-3, (x.shape[-1], 4))
    box = keras.layers.Dense(4, kernel_initializer=keras.initializers.Constant(kernel))(x)
    score = keras.layers.Dense(1, activation="sigmoid")(x)
    network = keras.Model({"target": target, "search": search}, {"box": box, "score": score})
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    export(network, path, convention, name="small", training={"seed": 0})
    return path
