import json

import keras
import numpy as np
import onnx
import pytest

import solartrack
from solartrack import cli, metrics, simulate
from solartrack.inference import CropPair, Model
from solartrack.models.goturn import dataset
from solartrack.models.goturn.learner import CaffeSGD, Trainee, _iou, optimizer
from solartrack.models.goturn.network import build
from solartrack.models.goturn.presets import PLANS, Plan, Preset
from solartrack.models.goturn.recipes import Recipe
from solartrack.models.goturn.sources import LabelledFrame
from solartrack.sequence import Frame

SMALL = Preset(
    crops=CropPair(side=32, channels=1, mean=(0.0,)),
    tower=(("standardize",), ("conv", 8, 5, 2, "same", 1), ("conv", 16, 3, 2, "same", 1)),
    head=(("flatten",), ("dense", 32, 0.0)),
    score=True,
    initial_box=(2.5, 2.5, 7.5, 7.5),
)
PLAN = Plan("solar", "adamw", 3e-3, 32, 150, 150, 1.0, 0.5)


def scene(seed):
    """A bright region somewhere in noise, the same in two frames."""
    rng = np.random.default_rng(seed)
    image = rng.integers(10, 60, (200, 200)).astype(np.uint8)
    x, y = rng.integers(60, 100, 2)
    image[y : y + 30, x : x + 40] += 150
    known = Frame(0, shape=(200, 200), pixels=image)
    return [LabelledFrame(known, np.array([1]), np.array([[x, y, x + 40.0, y + 30.0]]))] * 2


def trainee(plan=PLAN, seed=0):
    keras.utils.set_random_seed(seed)
    made = Trainee(build(SMALL, seed=seed), plan)
    made.compile(optimizer=optimizer(plan, plan.steps), jit_compile=False, auto_scale_loss=False)
    return made


def test_training_learns_where_the_region_is_and_how_good_the_box_is():
    sources = [lambda k=k: scene(k) for k in range(20)]
    recipe = Recipe(shifted=8, lost=0.3)
    settings = {"batch": 32, "seed": 3, "shuffle": 200}
    made = trainee()
    made.fit(
        dataset.batches(sources, SMALL.crops, recipe, **settings),
        steps_per_epoch=150,
        shuffle=False,
        verbose=0,
    )
    unseen = [lambda k=k: scene(k) for k in range(100, 120)]
    inputs, wanted = next(iter(dataset.batches(unseen, SMALL.crops, recipe, **{**settings, "batch": 150})))
    out = made.network.predict_on_batch(inputs)
    here = wanted["present"].numpy()[:, 0] > 0
    iou = np.asarray(_iou(out["box"], wanted["box"]))
    before = np.asarray(_iou(np.tile(np.float32([[2.5, 2.5, 7.5, 7.5]]), (150, 1)), wanted["box"]))
    assert iou[here].mean() > before[here].mean() + 0.1
    assert out["score"][here].mean() > out["score"][~here].mean() + 0.3


def test_loss_is_distance_overlap_score_and_spread():
    made = trainee()
    y = {"box": np.float32([[2, 2, 6, 6], [0, 0, 1, 1]]), "present": np.float32([[1], [0]])}
    predicted = {
        "box": np.float32([[2, 2, 6, 8], [5, 5, 6, 6]]),
        "score": np.float32([[0.5], [0.25]]),
        "spread": np.float32([[0.49, 0.49, 0.49, 0.99], [7, 7, 7, 7]]),  # of the lost one: no matter
    }
    iou = 16 / 24
    entropy = -0.5 * (iou * np.log(0.5) + (1 - iou) * np.log(0.5) + np.log(0.75))
    # Laplace: log of the scale, and the error in scales; the last side is off by 2.
    doubt = (3 * np.log(0.5) + np.log(1.0) + 2.0 / 1.0) / 4
    loss = float(made.compute_loss(y=y, y_pred=predicted))
    assert loss == pytest.approx(2.0 + (1 - iou) + 0.5 * (entropy + doubt), rel=1e-4)
    assert float(made.iou.result()) == pytest.approx(iou) and float(made.distance.result()) == 0.5


def test_iou_of_the_loss_is_that_of_the_metrics():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 6, (2, 50, 2))
    a, b = np.concatenate([low, low + rng.uniform(0.5, 5, (2, 50, 2))], axis=2)
    np.testing.assert_allclose(_iou(a.astype("f"), b.astype("f")), metrics.iou(a, b), atol=1e-5)
    assert float(_iou(np.float32([[5, 5, 1, 1]]), np.float32([[0, 0, 9, 9]]))[0]) == 0.0


def test_caffe_rates_and_decay_are_applied_to_each_kind_of_layer():
    network = build(SMALL, seed=0)
    rule = CaffeSGD(0.01, decay=0.1)
    rule.build(network.trainable_variables)
    before = {v.path: np.array(v.value) for v in network.trainable_variables}
    rule.apply_gradients([(np.ones(v.shape, np.float32), v) for v in network.trainable_variables])
    for variable in network.trainable_variables:
        old = before[variable.path]
        tower, bias = "tower" in variable.path, variable.path.endswith("bias")
        step = 0.01 * (1 if tower else 10) * (2 if bias else 1)
        gradient = 1.0 if bias else 1.0 + 0.1 * old
        np.testing.assert_allclose(variable.value, old - step * gradient, atol=1e-5)


def test_published_plan_drops_its_rate_every_hundred_thousand_steps():
    plan = PLANS["goturn-caffenet"]
    rate = optimizer(plan, plan.steps)._learning_rate
    assert [float(rate(s)) for s in (1, 100_001, 449_999)] == pytest.approx([1e-6, 1e-7, 1e-10])


def test_lite_plan_warms_up_and_decays():
    rate = optimizer(PLANS["goturn-lite"], 1000)._learning_rate
    assert float(rate(0)) < 2e-5 and float(rate(50)) == pytest.approx(1e-3) and float(rate(999)) < 2e-5


SHORT = [
    "--simulated",
    "2",
    "--held-out",
    "1",
    "--frames",
    "3",
    "--size",
    "192",
    "--epoch-steps",
    "2",
    "--batch",
    "4",
    "--shuffle",
    "8",
    "--workers",
    "1",
]


def run(out, data, *more):
    return cli.main(["train", "-o", str(out), "--data", str(data), *SHORT, *more])


def test_command_trains_resumes_and_exports(tmp_path, capsys):
    data = tmp_path / "data"
    simulate.write(tmp_path / "real", simulate.sequence(5, 1, size=96))
    real = tmp_path / "real" / "frame_0000.fits"
    options = ["--steps", "4", "--clutter", str(real)]
    assert run(tmp_path / "a", data, *options, "--export", "fp32", "fp16") == 0
    model = Model.load(tmp_path / "a" / "goturn-lite.onnx", device="cpu")
    told = json.loads(json.dumps(model.info.training))
    # Its rows do not pass for those of the shipped network.
    assert (
        model.info.name == "goturn-lite:a"
        and model.info.version == f"epoch {told['chosen']['epoch']}, seed 1"
    )
    assert told["data"]["simulated"]["seeds"] == [10000, 2] and told["seed"] == 1
    assert told["data"]["clutter"] == ["frame_0000.fits"]
    assert {"tracked_iou", "tracked_rotation_iou"} <= set(told["chosen"])
    assert (tmp_path / "a" / "goturn-lite.fp16.onnx").exists()
    history = (tmp_path / "a" / "history.csv").read_text().splitlines()
    assert len(history) == 3 and history[0].startswith("epoch,")
    events = list((tmp_path / "a" / "tensorboard").iterdir())
    assert len(events) == 1 and b"tracked_iou" in events[0].read_bytes()

    # Stopped after the first epoch: the second is the same as without the stop.
    class Stop(Exception):
        pass

    class Stopping(Trainee):
        def fit(self, *args, **kwargs):
            if stopping:
                raise Stop
            stopping.append(True)
            return super().fit(*args, **kwargs)

    stopping = []
    from solartrack.models.goturn import learner

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "Trainee", Stopping)
        assert run(tmp_path / "b", data, *options) == cli.FAILED
    capsys.readouterr()
    assert run(tmp_path / "b", data, *options) == 0
    told = capsys.readouterr()
    assert "going on after epoch 1 of 2" in told.err
    assert told.out == f"wrote {tmp_path / 'b' / 'goturn-lite.onnx'}\n"
    whole, resumed = (onnx.load(tmp_path / n / "goturn-lite.onnx").graph.initializer for n in "ab")
    for x, y in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(onnx.numpy_helper.to_array(x), onnx.numpy_helper.to_array(y), atol=1e-5)

    assert run(tmp_path / "a", data, *options, "--steps", "6") == cli.FAILED
    assert "holds a run with other settings (plan)" in capsys.readouterr().err

    # The file of the package itself can still be made.
    assert run(tmp_path / "a", data, *options, "--for-the-package") == 0
    made = Model.load(tmp_path / "a" / "goturn-lite.onnx", device="cpu").info
    assert (made.name, made.version) == ("goturn-lite", solartrack.__version__)


@pytest.mark.parametrize(
    "wrong", [["--steps", "0"], ["--preset", "vgg"], ["--batch", "-3"], ["--export", "int4"]]
)
def test_wrong_arguments_are_refused_before_anything_is_made(tmp_path, wrong, capsys):
    assert cli.main(["train", "-o", str(tmp_path / "run"), *wrong]) == cli.FAILED
    assert " must be " in capsys.readouterr().err and not list(tmp_path.iterdir())
