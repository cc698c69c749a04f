"""Networks on patches: the model files here are small graphs, made by hand."""

import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from solartrack.errors import DeviceError, ImageError, ModelError
from solartrack.flares import ImageModel, _vgg_training, format_name, vgg
from solartrack.flares.scores import choose_threshold, score_forecast
from solartrack.inference import KEY, FeatureTable, MagnetogramPatch, Model, ModelInfo
from solartrack.simulate import flaring_patches

SIDE = 32
TRAINING = {
    "threshold": 0.6,
    "settings": {"backbone": "vgg-small"},
    "scores": {"tss": 0.5},
    "rows": 100,
    "positives": 20,
}


def write_model(path, convention=None, *, training=TRAINING, scale=0.01, offset=-1.0):
    """Probability: a logistic function of the mean of |B|, of patches of any size."""
    constants = {"scale": np.float32(scale), "offset": np.float32(offset)}
    nodes = [
        helper.make_node("Abs", ["patch"], ["abs"]),
        helper.make_node("ReduceMean", ["abs"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
        helper.make_node("Reshape", ["p", "column"], ["probability"]),
    ]
    convention = convention or MagnetogramPatch(SIDE)
    of_patches = isinstance(convention, MagnetogramPatch)
    shape = ["n", "rows", "columns"] if of_patches else ["n", 2]
    if not of_patches:
        nodes = [helper.make_node("ReduceMean", ["features"], ["probability"], axes=[1])]
    graph = helper.make_graph(
        nodes,
        "mean field",
        [helper.make_tensor_value_info("patch" if of_patches else "features", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()]
        + [numpy_helper.from_array(np.array([-1, 1]), "column")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    info = ModelInfo("mean-field", "1", "fp32", convention, training, "abc")
    model.metadata_props.add(key=KEY, value=info.to_json())
    onnx.save_model(model, path)
    return path


def probability_of(field):
    return 1 / (1 + np.exp(-(0.01 * np.abs(field).mean() - 1)))


def write_field(path, field, **header):
    fits.writeto(path, np.asarray(field, np.float32), fits.Header(header), overwrite=True)
    return path


@pytest.fixture
def model(tmp_path):
    return ImageModel.load(write_model(tmp_path / "m.onnx"))


# -- loading -----------------------------------------------------------------------


def test_a_model_says_what_it_is(model):
    assert (model.name, model.threshold, model.device) == ("mean-field", 0.6, "cpu")
    assert model.settings == {"backbone": "vgg-small"} and model.scores == {"tss": 0.5}
    assert model.training == {"rows": 100, "positives": 20} and model.convention.side == SIDE
    assert repr(model) == "<ImageModel mean-field 1, fp32 on cpu, validation TSS 0.500>"


def test_a_model_of_features_is_refused_by_its_convention(tmp_path):
    path = write_model(tmp_path / "svm.onnx", FeatureTable(("a", "b")))
    with pytest.raises(
        ModelError, match=r"convention 'feature-table', .* need 'magnetogram-patch'; give its"
    ):
        ImageModel.load(path)


@pytest.mark.parametrize("threshold", [None, "0.5", 1.5, True])
def test_a_model_without_a_usable_threshold_is_refused(tmp_path, threshold):
    path = write_model(tmp_path / "m.onnx", training={**TRAINING, "threshold": threshold})
    with pytest.raises(ModelError, match="its threshold is"):
        ImageModel.load(path)


def test_a_foreign_and_a_truncated_file_are_refused(tmp_path):
    whole = write_model(tmp_path / "m.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"half.onnx is not a readable ONNX model"):
        ImageModel.load(tmp_path / "half.onnx")
    proto = onnx.load_model_from_string(whole)
    del proto.metadata_props[:]
    onnx.save_model(proto, tmp_path / "foreign.onnx")
    with pytest.raises(ModelError, match=r"foreign.onnx was not written by solartrack"):
        ImageModel.load(tmp_path / "foreign.onnx")
    with pytest.raises(FileNotFoundError):
        ImageModel.load(tmp_path / "none.onnx")


def test_cuda_without_one_is_an_error(tmp_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is offered here")
    with pytest.raises(DeviceError, match="'cuda' was requested, but"):
        ImageModel.load(write_model(tmp_path / "m.onnx"), device="cuda")


# -- forecasts ---------------------------------------------------------------------


@settings(max_examples=20)
@given(
    strengths=st.lists(st.floats(0, 3000), min_size=0, max_size=5),
    size=st.tuples(st.integers(16, 80), st.integers(16, 80)),
)
def test_probabilities_of_uniform_fields_of_any_size_are_exact(tmp_path_factory, strengths, size):
    model = ImageModel.load(write_model(tmp_path_factory.mktemp("m") / "m.onnx"))
    found = model.predict_proba([np.full(size, strength, np.float32) for strength in strengths])
    np.testing.assert_allclose(found, [probability_of(np.full(1, s)) for s in strengths], atol=2e-6)


def test_files_arrays_and_lists_of_both_give_the_same(tmp_path, model):
    fields = np.random.default_rng(0).normal(0, 300, (3, SIDE, SIDE)).astype(np.float32)
    paths = [write_field(tmp_path / f"{k}.fits", field) for k, field in enumerate(fields)]
    expected = [probability_of(field) for field in fields]
    for patches in (fields, list(fields), paths, [paths[0], fields[1], str(paths[2])]):
        np.testing.assert_allclose(model.predict_proba(patches), expected, atol=1e-6)
    np.testing.assert_array_equal(model.predict(fields), np.array(expected) >= 0.6)


def test_forecasts_of_files_are_those_of_arrays_in_the_order_of_the_files(tmp_path, model):
    rng = np.random.default_rng(1)
    fields = [rng.normal(0, 50 * k, (20 + 7 * k, 60 - 5 * k)).astype(np.float32) for k in range(1, 8)]
    paths = [write_field(tmp_path / f"{k}.fits", field) for k, field in enumerate(fields)]
    table = model.forecast_patches(paths, batch=3)
    assert table["patch"].tolist() == [str(path) for path in paths]
    np.testing.assert_array_equal(table["probability"], model.predict_proba(fields))
    assert (table["flare"] == (table["probability"] >= 0.6)).all() and (table["trouble"] == "").all()


def test_worker_processes_give_the_same_table(tmp_path, model):
    paths = [write_field(tmp_path / f"{k}.fits", np.full((20 + k, 30), 100.0 * k)) for k in range(9)]
    (tmp_path / "x.fits").write_bytes(b"no")
    paths.insert(4, tmp_path / "x.fits")
    here, there = (model.forecast_patches(paths, batch=4, workers=n) for n in (0, 2))
    pd.testing.assert_frame_equal(here, there)


def test_no_patches_give_an_empty_table(model):
    table = model.forecast_patches([])
    assert len(table) == 0 and table["flare"].dtype == "boolean" and len(model.predict_proba([])) == 0


def bad_files(folder):
    """Files that cannot be forecast, with what is said of them."""
    grey = np.full((40, 40), 128, np.uint8)
    nan = np.full((40, 40), 100.0)
    nan[3, :7] = np.nan
    made = {
        "some_nan.fits": (lambda p: write_field(p, nan), "7 of 1600 pixels are NaN"),
        "all_nan.fits": (lambda p: write_field(p, nan * np.nan), "1600 of 1600 pixels are NaN"),
        "strong.fits": (lambda p: write_field(p, np.full((40, 40), 1e30)), "a pixel has 1e+30 gauss, and no field on the Sun"),
        "tiny.fits": (lambda p: write_field(p, np.ones((8, 40))), "sides must be from 16 to 4096 pixels, got 8"),
        "kelvin.fits": (lambda p: write_field(p, np.ones((40, 40)), BUNIT="K"), "K"),
        "colour.png": (lambda p: Image.fromarray(np.stack([grey] * 3, -1)).save(p), "8-bit grey, got 8-bit RGB"),
        "deep.png": (lambda p: Image.fromarray(grey.astype(np.uint16)).save(p), "8-bit grey, got 16-bit"),
        "text.fits": (lambda p: p.write_bytes(b"no"), "none of FITS, PNG, JPG, JP2"),
        "missing.fits": (lambda p: None, "no such file"),
        "pipe.fits": (os.mkfifo, "this is a pipe or a device, not a file"),
    }  # fmt: skip
    for name, (write, _) in made.items():
        write(folder / name)
    return {folder / name: message for name, (_, message) in made.items()}


def test_a_bad_file_costs_its_own_row_alone(tmp_path, model):
    bad = bad_files(tmp_path)
    good = write_field(tmp_path / "good.fits", np.full((40, 50), 200.0))
    table = model.forecast_patches([good, *bad, good], batch=2)
    assert table["probability"].notna().tolist() == [True] + [False] * len(bad) + [True]
    assert table["flare"].isna().tolist() == table["probability"].isna().tolist()
    for trouble, message in zip(table["trouble"][1:-1], bad.values(), strict=True):
        assert message in trouble
    assert table["trouble"].iloc[[0, -1]].tolist() == ["", ""]


def test_a_file_name_that_is_not_utf8_costs_its_own_row_alone(tmp_path, model):
    good = write_field(tmp_path / "good.fits", np.full((40, 50), 200.0))
    bad = tmp_path / os.fsdecode(b"caf\xe9.fits")
    shutil.copy(good, bad)
    table = model.forecast_patches([good, bad, str(bad)])
    assert table["patch"].tolist() == [str(good), *[f"{tmp_path}/caf\\xe9.fits"] * 2]
    assert table["trouble"].tolist() == ["", *["the file name is not UTF-8; rename the file"] * 2]
    assert table["probability"].notna().tolist() == [True, False, False]


def test_probabilities_of_a_bad_patch_are_refused_by_its_number(model):
    with pytest.raises(ImageError, match=r"patch 1: .* 400 of 400 pixels are NaN"):
        model.predict_proba([np.zeros((20, 20)), np.full((20, 20), np.nan)])
    with pytest.raises(ValueError, match=r"got shape \(20, 20\); put a single one into a list"):
        model.predict_proba(np.zeros((20, 20)))
    with pytest.raises(ValueError, match="got a path"):
        model.predict_proba("patch.fits")
    for single in (np.zeros((20, 20)), "patch.fits"):
        with pytest.raises(ValueError, match="put a single one into a list"):
            model.forecast_patches(single)


@pytest.mark.parametrize(("option", "value"), [("batch", 0), ("batch", 1.5), ("workers", -1)])
def test_options_out_of_range_are_refused(model, option, value):
    with pytest.raises((ValueError, TypeError), match=option):
        model.forecast_patches([], **{option: value})


def test_an_8_bit_picture_is_seen_as_it_is(tmp_path, model):
    values = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE), np.uint8)
    Image.fromarray(values).save(tmp_path / "p.png")
    field = (values / 255 * 2 - 1) * model.convention.field_gauss
    np.testing.assert_allclose(model.predict_proba([tmp_path / "p.png"]), probability_of(field), atol=1e-6)


def test_no_more_than_a_few_batches_are_in_memory(tmp_path, model, monkeypatch):
    read, ahead = [], []
    small, run = vgg.try_field, Model.run

    def counted(*arguments):
        read.append(1)
        return small(*arguments)

    def watched(network, inputs):
        ahead.append(len(read) - 8 * len(ahead))
        assert len(inputs["patch"]) <= 8
        return run(network, inputs)

    monkeypatch.setattr(vgg, "try_field", counted)
    monkeypatch.setattr(Model, "run", watched)
    model.forecast_patches(np.zeros((100, 16, 16), np.float32), batch=8)
    assert len(read) == 100 and len(ahead) == 13 and max(ahead) <= 3 * 8


def test_an_answer_that_is_no_number_is_a_trouble_and_no_forecast(model, monkeypatch):
    run = Model.run

    def overflowing(network, inputs):
        found = run(network, inputs)
        found["probability"][np.abs(inputs["patch"]).max(axis=(1, 2)) > 1000] = np.nan
        return found

    monkeypatch.setattr(Model, "run", overflowing)
    patches = [np.full((20, 20), field, np.float32) for field in (100, 2000, 300)]
    table = model.forecast_patches(patches)
    assert table["probability"].isna().tolist() == table["flare"].isna().tolist() == [False, True, False]
    assert [bool(one) for one in table["trouble"]] == [False, True, False]
    assert table["trouble"][1].startswith("the network answers no number")
    with pytest.raises(ModelError, match="patch 1: the network answers no number"):
        model.predict(patches)


def test_evaluation_leaves_out_patches_without_a_forecast(tmp_path, model):
    fields = [np.full((20, 20), 400.0 * (k % 2)) for k in range(12)]
    fields[3] = np.full((20, 20), np.nan)
    labels, groups = [k % 2 for k in range(12)], np.arange(12) // 2
    report = model.evaluate(fields, labels, groups, n_boot=10)
    found = report.scores["mean-field"]
    assert found.values["tss"] == 1.0 and found.n == 11
    with pytest.raises(ValueError, match="labels must be as many as the patches, 12, got 11"):
        model.evaluate(fields, labels[1:], groups)
    gone = [tmp_path / f"{k}.fits" for k in range(12)]
    with pytest.raises(ValueError, match=r"no forecast for any of the 12 patches, .*/0\.fits no such file"):
        model.evaluate(gone, labels, groups)


def test_forecasts_import_no_tensorflow(tmp_path):
    path = write_model(tmp_path / "m.onnx")
    code = (
        "import sys, numpy; from solartrack.flares import ImageModel\n"
        f"ImageModel.load({str(path)!r}).predict_proba(numpy.zeros((1, 20, 20)))\n"
        "print([m for m in ('tensorflow', 'keras', 'sklearn', 'matplotlib', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# -- calibration -------------------------------------------------------------------


def softmax(logits):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@settings(max_examples=10)
@given(slope=st.floats(0.2, 5), offset=st.floats(-3, 3), seed=st.integers(0, 99))
def test_calibration_finds_the_curve_that_labels_were_drawn_from(slope, offset, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (4000, 2))
    log_odds = logits[:, 1] - logits[:, 0]
    p = 1 / (1 + np.exp(-(slope * log_odds + offset)))
    labels = (rng.random(4000) < p).astype(int)
    found = _vgg_training.calibrate(softmax(logits), labels, published=False)
    again = 1 / (1 + np.exp(-(found.slope * log_odds + found.offset)))
    # Of 4000 labels the slope is known to some percent; the worst of the probabilities is far out.
    assert np.abs(again - p).mean() < 0.04 and found.note == "sigmoid"
    assert found.threshold == pytest.approx(choose_threshold(labels, again), abs=1e-9)
    values = score_forecast(labels, again, threshold=found.threshold).values
    assert found.scores["brier"] == pytest.approx(values["brier"])


def test_as_published_probabilities_are_left_alone():
    logits = np.random.default_rng(0).normal(0, 1, (100, 2))
    labels = (logits[:, 1] > logits[:, 0] + 1).astype(int)
    found = _vgg_training.calibrate(softmax(logits), labels, published=True)
    assert (found.slope, found.offset, found.threshold) == (1, 0, 0.5)
    assert found.scores["tss"] == score_forecast(labels, softmax(logits)[:, 1], threshold=0.5).values["tss"]


def test_a_network_without_skill_is_not_turned_around():
    labels = np.tile([0, 1], 50)
    logits = np.stack([labels + 0.1 * np.arange(100) % 0.7, np.zeros(100)], axis=1)
    with pytest.warns(UserWarning, match="it has learnt nothing that holds for other regions"):
        found = _vgg_training.calibrate(softmax(logits), labels, published=False)
    assert (found.slope, found.offset) == (1, 0) and "no skill" in found.note


def test_probabilities_of_zero_and_one_are_calibrated():
    labels = np.tile([0, 1], 20)
    sure = np.stack([1.0 - labels, labels], axis=1)
    sure[:4] = sure[:4, ::-1]
    found = _vgg_training.calibrate(sure, labels, published=False)
    assert np.isfinite([found.slope, found.offset, found.threshold]).all() and found.slope > 0


# -- training ----------------------------------------------------------------------


SETTINGS = {
    "backbone": "vgg-small", "weights": "random", "fine_tune_from": "block1", "epochs": 2, "batch": 32,
    "workers": 0,
}  # fmt: skip


DEFAULTS = {
    "cache": "auto", "rate": 1e-3, "fine_tune_rate": None, "patience": None, "class_weights": True,
    "convention": "default", "precision": "auto", "seed": 0, "export": ["fp32"],
}  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Patches of 24 regions in files, among them one that cannot be read, and one without a known label."""
    folder = tmp_path_factory.mktemp("patches")
    series = flaring_patches(6, 24, 4, size=32)
    files = series.write(folder, format_name)
    table = series.samples[["region", "time", "label"]].assign(file=[str(file) for file in files])
    parts = np.array(["train"] * 12 + ["validation"] * 6 + ["test"] * 6)
    table["part"] = parts[(table["region"] - table["region"].min()).to_numpy()]
    table["label"] = table["label"].astype("Int8")
    table.loc[1, "label"] = pd.NA
    table.loc[len(table) - 1, "part"] = ""
    files[2].write_bytes(b"no")
    for file in table["file"][table["part"] == "test"]:
        open(file, "w").close()  # of no use to anybody
    return table


@pytest.fixture(scope="module")
def run(samples, tmp_path_factory):
    """Folder of a run with all precisions."""
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    folder = tmp_path_factory.mktemp("run") / "first"
    vgg.train(samples, folder, **SETTINGS, export=["fp16", "int8"])
    return folder


@pytest.fixture(scope="module")
def network(run):
    return ImageModel.load(run / "vgg-small.onnx")


def test_a_run_says_what_the_network_was_made_of(samples, run, network):
    known = samples["part"].isin(["train", "validation"]) & samples["label"].notna()
    training = network.training
    assert network.name == "vgg-small:first" and network.version.endswith(", seed 0")
    assert (training["rows"], training["positives"]) == (known.sum(), samples["label"][known].sum())
    assert (training["unknown"], training["unreadable"], training["regions"]) == (1, 1, 18)
    assert training["without_part"] == 1
    assert training["period"] == [str(samples["time"][known].agg(f).to_numpy()) for f in ("min", "max")]
    assert len(training["sha256"]) == 64 and training["versions"]["keras"] and training["seconds"] > 0
    chosen = network.settings
    assert chosen["weights"]["name"] == "random" and "not trained on anything" in chosen["weights"]["about"]
    assert (chosen["fine_tune_from"], chosen["rate"], chosen["cache"]) == ("block1_conv1", 1e-3, "none")
    about = vgg.about_run(run)
    assert about["settings"] == chosen and about["threshold"] == network.threshold
    assert [row["epoch"] for row in about["history"]] == [1, 2]
    assert set(about["files"]) == {"fp32", "fp16", "int8"}
    assert about["files"]["fp16"]["largest_difference"] < 0.02
    int8 = about["files"]["int8"]
    assert int8["kept"] and 0 < int8["largest_difference"] < 0.2 and int8["patches"] > 20
    assert int8["bytes"] < 0.4 * about["files"]["fp32"]["bytes"]
    assert ImageModel.load(run / "vgg-small.int8.onnx").precision == "int8"
    assert str(samples["file"][2]) in (run / "errors.csv").read_text()


def test_threshold_and_scores_are_those_of_the_exported_network_on_the_validation_part(samples, network):
    judged = samples[samples["part"] == "validation"]
    p = network.predict_proba(judged["file"])
    assert choose_threshold(judged["label"], p) == pytest.approx(network.threshold, abs=1e-5)
    values = score_forecast(judged["label"], p, threshold=network.threshold).values
    for name, value in network.scores.items():
        assert values[name] == pytest.approx(value, abs=1e-4)


def test_a_run_that_is_started_again_goes_on_to_the_same_network(samples, network, tmp_path):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    folder = tmp_path / "first"
    vgg.train(samples, folder, **SETTINGS | {"epochs": 1})
    again = vgg.train(samples, folder, **SETTINGS)
    assert again.sha256 == network.sha256 and again.threshold == network.threshold
    assert len(vgg.about_run(folder)["history"]) == 2
    with pytest.raises(ValueError, match=r"holds a run with other settings \(.*rate"):
        vgg.train(samples, folder, **SETTINGS | {"rate": 1e-4})
    with pytest.raises(ValueError, match=r"holds a run with other settings \(training"):
        vgg.train(samples.drop(index=5), folder, **SETTINGS)


def test_weights_of_a_run_begin_another_whose_head_is_trained_on_stored_activations(samples, run, tmp_path):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    common = {**SETTINGS, "weights": run / _vgg_training.NETWORK, "fine_tune_from": None}
    stored = vgg.train(samples, tmp_path / "stored", **common, convention="published")
    read = vgg.train(samples, tmp_path / "read", **common, convention="published", cache="none")
    assert (tmp_path / "stored/activations/head/validation/activations.npy").exists()
    judged = samples["file"][samples["part"] == "validation"]
    np.testing.assert_allclose(stored.predict_proba(judged), read.predict_proba(judged), atol=1e-4)
    assert stored.threshold == 0.5 and stored.settings["calibration"] == "none, as published"
    assert stored.settings["weights"]["name"] == "network.weights.h5"


def test_what_a_patch_is_forecast_for_is_explained(samples, run, network):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    patch = samples["file"][0]
    why = vgg.explain(run, patch)
    assert why.probability == pytest.approx(network.predict_proba([patch])[0], abs=1e-5)
    assert why.field.shape == why.attribution.shape == (32, 32) and why.model == network.name
    assert why.attribution.sum() == pytest.approx(why.change, abs=0.01 * max(abs(why.change), 1))
    assert why.threshold == network.threshold


def test_fewer_epochs_than_a_folder_has_are_refused_and_files_of_earlier_runs_there_are_removed(
    samples, run, tmp_path
):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    folder = shutil.copytree(run, tmp_path / "first")
    with pytest.raises(ValueError, match="holds a run of 2 epochs, and 1 are asked for"):
        vgg.train(samples, folder, **SETTINGS | {"epochs": 1})
    assert (folder / "vgg-small.int8.onnx").exists()
    model = vgg.train(samples, folder, **SETTINGS, convention="published")
    assert model.threshold == 0.5 and sorted(p.name for p in folder.glob("*.onnx")) == ["vgg-small.onnx"]


@pytest.mark.parametrize("name", ["run.json", "history.csv", "network.weights.h5", "mine.onnx"])
def test_results_of_something_else_are_not_overwritten(samples, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"holds {name}, but no state.npz of a run .* choose another folder"):
        vgg.train(samples, tmp_path, **SETTINGS)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "mine")]


@pytest.mark.parametrize("trouble", ["skill", "probabilities", "no number", "fewer forecasts"])
def test_int8_that_costs_too_much_is_not_offered(samples, run, tmp_path, monkeypatch, trouble):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    from solartrack.models.vgg import export

    def write(network, path, *, precision, **card):
        if precision == "int8" and trouble == "probabilities":
            raise ModelError("it differs from Keras by 0.3")
        path.write_bytes(b"a model")

    tss = {"fp32": 0.5, "int8": {"skill": 0.489, "no number": np.nan}.get(trouble, 0.5)}
    count = {"fp32": 20, "int8": 19 if trouble == "fewer forecasts" else 20}
    monkeypatch.setattr(export, "export", write)
    monkeypatch.setattr(
        _vgg_training,
        "_measured",
        lambda paths, *_: {name: {"tss": tss[name], "patches": count[name]} for name in paths},
    )
    plan = _vgg_training.plan_of(**DEFAULTS | SETTINGS | {"export": ["int8"]})
    network = _vgg_training.finished_network(run, vgg.about_run(run))
    parts = _vgg_training.parts_of(samples)
    card = {"name": "x", "version": "1", "training": {"scores": {"tss": 0.5}}}
    reason = {
        "skill": "is 0.489, that of fp32 is 0.500",
        "probabilities": "it differs from Keras by 0.3",
        "no number": "is nan, that of fp32 is 0.500",
        "fewer forecasts": "it has a forecast for 19 validation patches, fp32 for 20",
    }[trouble]
    with pytest.warns(UserWarning, match=f"no int8 file was kept: .*{reason}"):
        files = _vgg_training._exported(tmp_path, plan, network, *parts, card)
    assert (tmp_path / "vgg-small.onnx").exists() and not (tmp_path / "vgg-small.int8.onnx").exists()
    assert files["fp32"]["kept"] and not files["int8"]["kept"] and reason in files["int8"]["why"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": None},
            'no weights are given: weights must be a file, "imagenet" .* or "random" explicitly',
        ),
        ({"backbone": "vgg19"}, "backbone must be one of vgg16, "),
        ({"fine_tune_from": "block9"}, "cannot cut at 'block9'"),
        ({"export": ["int4"]}, "export must be of fp32, fp16 and int8, got int4"),
        ({"export": "fp32"}, r"export must be a list, such as \['fp32'\], got a text"),
        ({"weights": 5}, 'weights must be a file, "imagenet" .*, got 5'),
        ({"name": 5}, "name must be text, got 5"),
        ({"rate": None}, "rate must be positive and finite, got None"),
        ({"rate": [1e-3]}, "rate must be positive and finite, got "),
        ({"cache": "yes"}, "cache must be one of auto"),
        ({"convention": "mine"}, "convention must be one of default, published"),
        ({"precision": "float8"}, "precision must be one of auto"),
        ({"rate": 0}, "rate must be positive"),
        ({"fine_tune_rate": float("nan")}, "fine_tune_rate must be positive"),
        ({"epochs": 0}, "epochs"),
        ({"batch": 0}, "batch"),
        ({"patience": -1}, "patience"),
        ({"seed": -1}, "seed"),
    ],
)
def test_arguments_out_of_range_are_refused_before_anything_is_written(samples, tmp_path, change, message):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    with pytest.raises((ValueError, TypeError), match=message):
        vgg.train(samples, tmp_path / "run", **SETTINGS | change)
    assert not (tmp_path / "run").exists()
    with pytest.raises(TypeError, match="folder must be a path, got 5"):
        vgg.train(samples, 5, **SETTINGS)


def test_weights_of_another_architecture_and_truncated_ones_are_refused(samples, run, tmp_path):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    half = tmp_path / "half.weights.h5"
    half.write_bytes((run / _vgg_training.NETWORK).read_bytes()[:10_000])
    with pytest.raises(ModelError, match=r"half.weights.h5 .* damaged"):
        vgg.train(samples, tmp_path / "run", **SETTINGS | {"weights": half})
    given = {"weights": run / _vgg_training.NETWORK, "backbone": "efficientnet-lite0", "fine_tune_from": None}
    with pytest.raises(ModelError, match="does not fit the network"):
        vgg.train(samples, tmp_path / "run", **SETTINGS | given)
    with pytest.raises(ModelError, match="there is no weights file"):
        vgg.train(samples, tmp_path / "run", **SETTINGS | {"weights": tmp_path / "none.h5"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="part"), "columns file, label, part, region, .* 'part' is missing"),
        (lambda t: t[t["part"] != "validation"], r"rows of the part 'validation', got the parts \['', 'test', 'train'\]"),
        (lambda t: t.assign(label=0), "'train' must have patches with a flare and without, all 48 known labels are 0"),
        (lambda t: t.assign(label=pd.NA), "'train' .* no label is known"),
        (lambda t: t.assign(label=2), "labels must be 0, 1 or missing"),
        (lambda t: t.assign(label="yes"), "labels must be 0, 1 or missing, got 'yes' in the part 'train'"),
        (lambda t: t.assign(time="noon"), "'time' of the part 'train' must have times such as 2014.*'noon'"),
        (lambda t: t.assign(region=7), "1 regions, such as 7, are in the parts train and validation"),
        (lambda t: t.assign(region=np.nan), "have no region"),
        (lambda t: t.assign(file=7), "'file' must have the path of each patch, got 7 in row 0 of the part 'train'"),
        (lambda t: t.assign(file=[*t["file"][:-40], *[np.nan] * 40]), "got nan in row 8 of the part 'validation'"),
        (lambda t: pd.concat([t, t]), "each file must be there once"),
    ],
)  # fmt: skip
def test_samples_that_cannot_be_learnt_from_are_refused(samples, tmp_path, change, message):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    with pytest.raises(ValueError, match=message):
        vgg.train(change(samples), tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_files_that_can_all_not_be_read_stop_the_run(samples, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    with pytest.raises(ValueError, match=r"could be read, .* files cannot be read, such as"):
        vgg.train(samples.assign(file=samples["file"] + ".gone"), tmp_path / "run", **SETTINGS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"no such file \(relative paths begin in {tmp_path}\)"):
        names = samples["file"].str.rsplit("/", n=1).str[1]
        vgg.train(samples.assign(file=names), tmp_path / "other", **SETTINGS)


def test_a_folder_of_another_kind_is_no_run(tmp_path):
    with pytest.raises(ModelError, match="is not the folder of a finished run"):
        vgg.about_run(tmp_path)
    (tmp_path / "run.json").write_text('{"name": "x"}')
    with pytest.raises(ModelError, match="it lacks 'side'"):
        vgg.explain(tmp_path, np.zeros((20, 20)))


def test_a_run_without_its_backbone_or_its_weights_explains_nothing(tmp_path):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    keys = ("name", "side", "threshold", "training", "scores", "files")
    about = {**dict.fromkeys(keys, "x"), "side": 64}
    for chosen, message in (
        ({}, "the settings in its run.json name no backbone"),
        ({"backbone": "vgg-small"}, r"lacks network.weights.h5, .* start 'train-images' again"),
    ):
        _vgg_training.write_about(tmp_path, about | {"settings": chosen})
        with pytest.raises(ModelError, match=message):
            vgg.explain(tmp_path, np.zeros((20, 20)))
