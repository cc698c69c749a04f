"""Networks on patches: the model files here are small graphs, made by hand."""

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
from solartrack.flares import ImageModel, vgg
from solartrack.inference import KEY, FeatureTable, MagnetogramPatch, Model, ModelInfo

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
        "tiny.fits": (lambda p: write_field(p, np.ones((8, 40))), "sides must be from 16 to 4096 pixels, got 8"),
        "kelvin.fits": (lambda p: write_field(p, np.ones((40, 40)), BUNIT="K"), "K"),
        "colour.png": (lambda p: Image.fromarray(np.stack([grey] * 3, -1)).save(p), "8-bit grey, got 8-bit RGB"),
        "deep.png": (lambda p: Image.fromarray(grey.astype(np.uint16)).save(p), "8-bit grey, got 16-bit"),
        "text.fits": (lambda p: p.write_bytes(b"no"), "text.fits"),
        "missing.fits": (lambda p: None, "missing.fits"),
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


def test_probabilities_of_a_bad_patch_are_refused_by_its_number(model):
    with pytest.raises(ImageError, match=r"patch 1: .* 400 of 400 pixels are NaN"):
        model.predict_proba([np.zeros((20, 20)), np.full((20, 20), np.nan)])
    with pytest.raises(ValueError, match=r"got shape \(20, 20\); put a single one into a list"):
        model.predict_proba(np.zeros((20, 20)))
    with pytest.raises(ValueError, match="got a path"):
        model.predict_proba("patch.fits")


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
    small, run = vgg._small, Model.run

    def counted(*arguments):
        read.append(1)
        return small(*arguments)

    def watched(network, inputs):
        ahead.append(len(read) - 8 * len(ahead))
        assert len(inputs["patch"]) <= 8
        return run(network, inputs)

    monkeypatch.setattr(vgg, "_small", counted)
    monkeypatch.setattr(Model, "run", watched)
    model.forecast_patches(np.zeros((100, 16, 16), np.float32), batch=8)
    assert len(read) == 100 and len(ahead) == 13 and max(ahead) <= 3 * 8


def test_evaluation_leaves_out_patches_without_a_forecast(tmp_path, model):
    fields = [np.full((20, 20), 400.0 * (k % 2)) for k in range(12)]
    fields[3] = np.full((20, 20), np.nan)
    labels, groups = [k % 2 for k in range(12)], np.arange(12) // 2
    report = model.evaluate(fields, labels, groups, n_boot=10)
    found = report.scores["mean-field"]
    assert found.values["tss"] == 1.0 and found.n == 11
    with pytest.raises(ValueError, match="labels must be as many as the patches, 12, got 11"):
        model.evaluate(fields, labels[1:], groups)


def test_forecasts_import_no_tensorflow(tmp_path):
    path = write_model(tmp_path / "m.onnx")
    code = (
        "import sys, numpy; from solartrack.flares import ImageModel\n"
        f"ImageModel.load({str(path)!r}).predict_proba(numpy.zeros((1, 20, 20)))\n"
        "print([m for m in ('tensorflow', 'keras', 'sklearn', 'matplotlib', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
