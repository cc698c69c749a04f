"""The image classifier: ONNX Runtime against Keras, what lower precision saves, the resize in the graph."""

import keras
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
    """Fields as regions have them: noise, and spots of both signs."""
    rng = np.random.default_rng(0)
    out = rng.normal(0, 20, (rows, 600, 600))
    at = np.arange(600.0)
    for field in out:
        for _ in range(6):
            (y, x), wide = rng.uniform(0, 600, 2), rng.uniform(10, 60)
            bell = np.exp(-((at - y) ** 2)[:, None] / (2 * wide**2)) * np.exp(
                -((at - x) ** 2) / (2 * wide**2)
            )
            field += rng.normal(0, 1200) * bell
    return out.astype(np.float32)


def resized(batch):
    return np.stack([resize(patch, 224) for patch in batch])[..., None]


def spread(network, batch):
    """The network with a head whose answers differ from patch to patch, as those of a trained one do."""
    head = network.layers[-1]
    seen = keras.Model(network.input, head.input).predict_on_batch(resized(batch))
    centred = seen - seen.mean(axis=0)
    weights = np.linalg.svd(centred, full_matrices=False)[2][0]
    logit = centred @ weights
    head.kernel.assign(np.stack([0 * weights, weights], axis=1) / logit.std())
    head.bias.assign([0, -float(seen.mean(axis=0) @ weights) / logit.std()])
    return network


NETWORKS = ("vgg16-trunk", "efficientnet-lite0")


@pytest.fixture(scope="module")
def networks():
    return {name: spread(build(name, seed=1), patches(16)) for name in NETWORKS}


@pytest.fixture(scope="module")
def files(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, network in networks.items():
        export(network, folder / f"{name}.onnx", name=name, training={})
    for precision in ("fp16", "int8"):
        how = {"precision": precision, "calibration": patches(16)}
        export(networks["vgg16-trunk"], folder / f"{precision}.onnx", name="trunk", training={}, **how)
    return folder


@pytest.mark.peer(how=["keras predict", "tf.function"])
@pytest.mark.parametrize("how", ["onnxruntime", "keras predict", "tf.function"])
@pytest.mark.parametrize("rows", [1, 32])
@pytest.mark.parametrize("name", NETWORKS)
def bench_patches(benchmark, networks, files, name, how, rows):
    """Patches of 600 x 600 in gauss to probabilities."""
    import tensorflow as tf

    benchmark.group = f"{name}-{rows}"
    batch, network = patches(rows), networks[name]
    model = Model.load(files / f"{name}.onnx", device="cpu")
    compiled = tf.function(lambda x: network(x, training=False))
    step = {
        "onnxruntime": lambda: model.run({"patch": batch})["probability"][:, 0],
        "keras predict": lambda: network.predict(resized(batch), verbose=0)[:, 1],
        "tf.function": lambda: compiled(tf.constant(resized(batch))).numpy()[:, 1],
    }[how]
    wanted = np.concatenate([network.predict_on_batch(resized(one[None]))[:, 1] for one in batch[:8]])
    assert rows == 1 or wanted.std() > 0.05
    np.testing.assert_allclose(step()[:8], wanted, atol=1e-3)
    benchmark.pedantic(step, rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("precision", ["vgg16-trunk", "fp16", "int8"])
def bench_precision(benchmark, networks, files, precision):
    benchmark.group = "vgg16-trunk-precision"
    batch = patches(16)[:4]
    model = Model.load(files / f"{precision}.onnx", device="cpu")
    wanted = networks["vgg16-trunk"].predict_on_batch(resized(batch))[:, 1:]
    found = model.run({"patch": batch})["probability"]
    np.testing.assert_allclose(found, wanted, atol={"int8": 0.1}.get(precision, 0.01))
    assert wanted.std() > 0.1
    benchmark.pedantic(model.run, ({"patch": batch},), rounds=3, warmup_rounds=1)


@pytest.mark.peer(how=["scikit-image"])
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
