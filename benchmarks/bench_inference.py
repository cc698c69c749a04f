"""ONNX Runtime against Keras for one tracking step; batches of tracks; what lower precision saves."""

import numpy as np
import pytest

from solartrack.inference import Model
from solartrack.models.export import export
from solartrack.models.goturn.network import build
from solartrack.models.goturn.presets import PRESETS

LITE = PRESETS["goturn-lite"].crops


def pair(crops, rows):
    rng = np.random.default_rng(0)
    return {n: rng.uniform(0, 255, (rows, *s)).astype(np.float32) for n, s in crops.inputs.items()}


@pytest.fixture(scope="module")
def lite():
    network = build("goturn-lite", seed=1)
    box = network.get_layer("box")
    box.kernel.assign(np.random.default_rng(3).normal(0, 0.05, box.kernel.shape))
    return network


@pytest.fixture(scope="module")
def files(lite, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for precision in ("fp32", "fp16", "int8"):
        export(lite, folder / f"{precision}.onnx", LITE, name="lite", training={}, precision=precision)
    return folder


@pytest.mark.peer(how=["keras predict", "keras predict_on_batch"])
@pytest.mark.parametrize("how", ["onnxruntime", "keras predict", "keras predict_on_batch"])
def bench_one_track(benchmark, lite, files, how):
    benchmark.group = "lite-one-track"
    crops = pair(LITE, 1)
    step = {
        "onnxruntime": Model.load(files / "fp32.onnx", device="cpu").run,
        "keras predict": lambda x: lite.predict(x, verbose=0),
        "keras predict_on_batch": lite.predict_on_batch,
    }[how]
    np.testing.assert_allclose(step(crops)["box"], lite.predict_on_batch(crops)["box"], atol=1e-4)
    benchmark(step, crops)


@pytest.mark.parametrize("rows", [1, 8, 32, 128])
def bench_tracks_in_a_batch(benchmark, files, rows):
    benchmark.group = "lite-batch"
    model, crops = Model.load(files / "fp32.onnx", device="cpu"), pair(LITE, rows)
    alone = model.run({name: crop[-1:] for name, crop in crops.items()})
    np.testing.assert_allclose(model.run(crops)["box"][-1:], alone["box"], atol=1e-4)
    benchmark(model.run, crops)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def bench_precision(benchmark, files, precision):
    benchmark.group = "lite-precision"
    crops = pair(LITE, 1)
    model = Model.load(files / f"{precision}.onnx", device="cpu")
    wanted = Model.load(files / "fp32.onnx", device="cpu").run(crops)["box"]
    np.testing.assert_allclose(model.run(crops)["box"], wanted, atol=0.2)
    benchmark(model.run, crops)


@pytest.fixture(scope="module")
def caffenet(tmp_path_factory):
    """Full size: needs 4 GB for a moment."""
    folder, crops = tmp_path_factory.mktemp("caffenet"), PRESETS["goturn-caffenet"].crops
    network = build("goturn-caffenet", seed=1)
    for precision in ("fp32", "int8"):
        export(network, folder / f"{precision}.onnx", crops, name="c", training={}, precision=precision)
    return network, folder


@pytest.mark.peer(how=["keras predict", "keras predict_on_batch"])
@pytest.mark.parametrize("how", ["onnxruntime", "onnxruntime int8", "keras predict"])
def bench_caffenet_one_track(benchmark, caffenet, how):
    benchmark.group = "caffenet-one-track"
    network, folder = caffenet
    crops = pair(PRESETS["goturn-caffenet"].crops, 1)
    step = {
        "onnxruntime": Model.load(folder / "fp32.onnx", device="cpu").run,
        "onnxruntime int8": Model.load(folder / "int8.onnx", device="cpu").run,
        "keras predict": lambda x: network.predict(x, verbose=0),
    }[how]
    tolerance = 0.2 if "int8" in how else 1e-4
    np.testing.assert_allclose(step(crops)["box"], network.predict_on_batch(crops)["box"], atol=tolerance)
    benchmark.pedantic(step, (crops,), rounds=10, warmup_rounds=2)


def bench_training_step(benchmark):
    """One step on a batch of 64: 64 over the median is the samples a second."""
    from solartrack.models.goturn.learner import Trainee, optimizer
    from solartrack.models.goturn.presets import PLANS

    benchmark.group = "lite-training"
    plan = PLANS["goturn-lite"]
    trainee = Trainee(build("goturn-lite", seed=1), plan)
    trainee.compile(optimizer=optimizer(plan, 1000), jit_compile=False, auto_scale_loss=False)
    crops = pair(LITE, plan.batch)
    labels = {
        "box": np.tile(np.float32([2.3, 2.6, 7.4, 7.8]), (plan.batch, 1)),
        "present": np.ones((plan.batch, 1), np.float32),
    }

    def loss():
        return trainee.train_on_batch(crops, labels, return_dict=True)["loss"]

    first = loss()
    assert np.isfinite(first)
    benchmark.pedantic(loss, rounds=8, warmup_rounds=2)
    assert loss() < first
