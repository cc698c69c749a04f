"""The image classifier: ONNX Runtime against Keras, what lower precision saves, the resize in the graph."""

import numpy as np
import onnx
import onnxruntime
import pytest
from skimage.transform import resize as skimage_resize

from solartrack.inference import Model
from solartrack.inference.patches import resize
from solartrack.models.vgg.export import export
from solartrack.models.vgg.network import build
from solartrack.models.vgg.resize_graph import resize_nodes


def patches(rows):
    rng = np.random.default_rng(0)
    return rng.normal(0, 200, (rows, 600, 600)).astype(np.float32)


def resized(batch):
    return np.stack([resize(patch, 224) for patch in batch])[..., None]


@pytest.fixture(scope="module")
def trunk():
    return build("vgg16-trunk", seed=1)


@pytest.fixture(scope="module")
def files(trunk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for precision in ("fp32", "fp16", "int8"):
        how = {"precision": precision, "calibration": patches(16)}
        export(trunk, folder / f"{precision}.onnx", name="trunk", training={}, **how)
    return folder


@pytest.mark.parametrize("how", ["onnxruntime", "keras predict", "tf.function"])
@pytest.mark.parametrize("rows", [1, 32])
def bench_patches(benchmark, trunk, files, how, rows):
    """Patches of 600 x 600 in gauss to probabilities; the library resizes them for all three."""
    import tensorflow as tf

    benchmark.group = f"vgg16-trunk-{rows}"
    batch = patches(rows)
    model = Model.load(files / "fp32.onnx", device="cpu")
    compiled = tf.function(lambda x: trunk(x, training=False))
    step = {
        "onnxruntime": lambda: model.run({"patch": resized(batch)[..., 0]})["probability"][:, 0],
        "keras predict": lambda: trunk.predict(resized(batch), verbose=0)[:, 1],
        "tf.function": lambda: compiled(tf.constant(resized(batch))).numpy()[:, 1],
    }[how]
    wanted = trunk.predict_on_batch(resized(batch[:1]))[:, 1]
    np.testing.assert_allclose(step()[:1], wanted, atol=1e-4)
    benchmark.pedantic(step, rounds=2)  # warm since it was checked


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def bench_precision(benchmark, trunk, files, precision):
    benchmark.group = "vgg16-trunk-precision"
    batch = patches(4)
    model = Model.load(files / f"{precision}.onnx", device="cpu")
    wanted = trunk.predict_on_batch(resized(batch))[:, 1:]
    np.testing.assert_allclose(model.run({"patch": batch})["probability"], wanted, atol=0.05)
    benchmark.pedantic(model.run, ({"patch": batch},), rounds=3)


@pytest.mark.parametrize("how", ["in the graph", "solartrack", "scikit-image"])
def bench_resize(benchmark, how):
    benchmark.group = "resize-600-to-224"
    batch = patches(4)
    nodes, constants = resize_nodes(onnx, "patch", "field", 224)
    ends = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in ("patch", "field")]
    graph = onnx.helper.make_graph(nodes, "resize", ends[:1], ends[1:], constants)
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])

    def scikit_image(patch):
        return skimage_resize(patch, (224, 224), order=1, mode="reflect", anti_aliasing=True)

    step = {
        "in the graph": lambda: session.run(None, {"patch": batch})[0][..., 0],
        "solartrack": lambda: [resize(patch, 224) for patch in batch],
        "scikit-image": lambda: [scikit_image(patch) for patch in batch],
    }[how]
    np.testing.assert_allclose(step()[0], scikit_image(batch[0]), atol=1e-5 * np.ptp(batch))
    benchmark(step)
