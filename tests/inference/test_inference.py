import dataclasses
import json
import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from solartrack.crop import context_crop, frame_to_crop
from solartrack.errors import DeviceError, ModelError
from solartrack.images import display_values
from solartrack.inference import KEY, KINDS, CropPair, MagnetogramPatch, Model, ModelInfo, session

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def crops(rows, seed=0, side=16):
    rng = np.random.default_rng(seed)
    return {n: rng.uniform(0, 255, (rows, side, side, 1)).astype(np.float32) for n in ("target", "search")}


@pytest.fixture(scope="module")
def model(model_file):
    return Model.load(model_file, device="cpu")


def rewritten(model_file, path, change):
    """A copy of the file whose metadata has been changed."""
    proto = onnx.load(model_file)
    (entry,) = proto.metadata_props
    fields = json.loads(entry.value)
    change(fields)
    entry.value = json.dumps(fields)
    onnx.save(proto, path)
    return path


# --- running


def test_any_number_of_rows_gives_the_rows_one_by_one(model):
    many = crops(150)  # more than one call of the runtime gets
    together = model.run(many)
    assert together["box"].shape == (150, 4) and together["score"].shape == (150, 1)
    for row in (0, 63, 64, 149):
        alone = model.run({name: array[row : row + 1] for name, array in many.items()})
        np.testing.assert_allclose(alone["box"][0], together["box"][row], atol=1e-5)


def test_no_rows_give_no_rows(model):
    out = model.run(crops(0))
    assert out["box"].shape == (0, 4) and out["score"].shape == (0, 1)


def test_crops_of_the_convention_are_those_of_the_kernel(model):
    image = np.random.default_rng(1).integers(0, 255, (90, 120), dtype=np.uint8)
    boxes = [[20.0, 30.0, 50.0, 45.0], [100.0, 70.0, 130.0, 95.0]]
    cut = model.convention.crop(image, boxes)
    np.testing.assert_array_equal(cut, context_crop(image, boxes, size=16, channels=1, mean=0.0))
    there = frame_to_crop(boxes, [[22, 28, 50, 44], [99, 71, 130, 90]])
    back = model.convention.to_frame(there, [[22, 28, 50, 44], [99, 71, 130, 90]], None)
    np.testing.assert_allclose(back, boxes)


def test_threads_get_the_same_answers(model):
    inputs = [crops(3, seed) for seed in range(8)]
    wanted = [model.run(x)["box"] for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for want, got in zip(wanted, pool.map(model.run, inputs), strict=True):
            np.testing.assert_allclose(got["box"], want, atol=1e-6)


def test_pickled_model_is_loaded_again_from_its_file(model):
    text = pickle.dumps(model)
    assert len(text) < 1000
    again = pickle.loads(text)
    np.testing.assert_array_equal(again.run(crops(2))["box"], model.run(crops(2))["box"])
    assert again.info == model.info


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x: x.pop("search"), ValueError, "inputs must be target, search, got target"),
        (lambda x: x.update(mask=x["target"]), ValueError, "inputs must be target, search, got .*mask"),
        (lambda x: x.update(search=x["search"][:1]), ValueError, "same number of rows"),
        (
            lambda x: x.update(search=x["search"].astype(float)),
            TypeError,
            "search must be a float32 array, got float64",
        ),
        (lambda x: x.update(search=[1.0]), TypeError, "search must be a float32 array, got list"),
        (lambda x: x.update(crops(2, side=15)), ValueError, r"must have shape \(n, 16, 16, 1\), got \(2, 15"),
        (
            lambda x: x.update(search=x["search"][0]),
            ValueError,
            r"must have shape \(n, 16, 16, 1\), got \(16",
        ),
    ],
)
def test_wrong_inputs_are_named(model, change, error, message):
    inputs = crops(2)
    change(inputs)
    with pytest.raises(error, match=message):
        model.run(inputs)


def test_bound_buffers_give_what_a_plain_run_gives(model):
    # The code that runs on CUDA, here with its buffers on the CPU.
    bound = session.BoundBuffers(ort, model._session.runtime, "cpu", 0, graph=False)
    for rows in (3, 1, 4, 3, 5, 2):  # a smaller batch after a larger one finds its rows in the buffers
        inputs = crops(rows, seed=rows)
        for name, values in model.run(inputs).items():
            np.testing.assert_allclose(bound.run(inputs)[name], values, atol=1e-6)
    assert [target[0] for target, _ in bound.shapes] == [1, 4, 8, 2]


def test_bound_answers_are_not_overwritten_by_the_next_run(model):
    bound = session.BoundBuffers(ort, model._session.runtime, "cpu", 0, graph=False)
    first = bound.run(crops(2, seed=1))["box"]
    kept = first.copy()
    bound.run(crops(2, seed=2))
    np.testing.assert_array_equal(first, kept)


# --- files that are not ours, or no longer whole


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no model file .*none\.onnx"):
        Model.load(tmp_path / "none.onnx")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_refused(model_file, tmp_path, share):
    whole = model_file.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"cut\.onnx"):
        Model.load(path, device="cpu")


def test_text_is_refused(tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("<html>404</html>")
    with pytest.raises(ModelError, match=r"text\.onnx is not a readable ONNX model"):
        Model.load(path)


def test_file_of_somebody_else_is_refused(model_file, tmp_path):
    proto = onnx.load(model_file)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "foreign.onnx")
    with pytest.raises(ModelError, match=r"foreign\.onnx was not written by solartrack"):
        Model.load(tmp_path / "foreign.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["convention"].update(kind="patch"), "follow the convention 'patch', .* knows crop-pair"),
        (lambda f: f.update(format=99), "metadata has format 99, this solartrack reads 1"),
        (lambda f: f.pop("sha256"), "metadata is incomplete or damaged"),
        (lambda f: f.pop("convention"), "metadata is incomplete or damaged"),
        (lambda f: f["convention"].update(side=32), "is damaged: its convention 'crop-pair' wants"),
        (lambda f: f["convention"].update(side=-1), "must be positive"),
        (lambda f: f["convention"].update(mean=[1, 2]), "mean must have one value for each channel"),
    ],
)
def test_file_of_another_convention_is_refused(model_file, tmp_path, change, message):
    path = rewritten(model_file, tmp_path / "other.onnx", change)
    with pytest.raises(ModelError, match=r"other\.onnx.*" + message):
        Model.load(path)


def test_metadata_that_is_no_json_is_refused(model_file, tmp_path):
    proto = onnx.load(model_file)
    proto.metadata_props[0].value = "not json"
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx cannot be used"):
        Model.load(tmp_path / "m.onnx")


def test_model_without_a_score_is_one_of_ours(model_file, tmp_path):
    proto = onnx.load(model_file)
    (score,) = (o for o in proto.graph.output if o.name == "score")
    proto.graph.output.remove(score)
    onnx.save(proto, tmp_path / "m.onnx")
    assert set(Model.load(tmp_path / "m.onnx").run(crops(1))) == {"box"}


def test_model_without_a_box_is_refused(model_file, tmp_path):
    proto = onnx.load(model_file)
    (box,) = (o for o in proto.graph.output if o.name == "box")
    proto.graph.output.remove(box)
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="is damaged"):
        Model.load(tmp_path / "m.onnx")


def test_files_from_before_there_were_looks_without_a_target_need_one(model_file, tmp_path):
    def change(fields):
        del fields["convention"]["alone"]

    file = rewritten(model_file, tmp_path / "m.onnx", change)
    assert Model.load(file, device="cpu").convention.alone == 0.0


@pytest.mark.parametrize("alone", [-0.1, 1.5, np.nan])
def test_squares_of_no_size_are_refused(alone):
    with pytest.raises(ValueError, match="alone must lie between 0 and 1 radii"):
        CropPair(8, 1, (0.0,), alone=alone)


def test_squares_have_the_boxes_centres_and_a_share_of_the_disk_whatever_the_boxes_size():
    boxes = np.array([[100.0, 200, 110, 204], [100.0, 200, 300, 300]])
    made = CropPair(8, 1, (0.0,), alone=0.1).squares(boxes, 400.0)
    np.testing.assert_allclose(made, [[85, 182, 125, 222], [180, 230, 220, 270]])


def test_metadata_survives_json():
    convention = CropPair(8, 3, (1, 2, 3), context=3.0, alone=0.2)
    info = ModelInfo("a", "1", "fp16", convention, {"x": [1]}, "00")
    assert ModelInfo.from_json(info.to_json()) == info
    assert KEY == "solartrack"  # files in the field carry it


@dataclasses.dataclass(frozen=True)
class Picture:
    """A convention of one whole image, as a classifier of images has."""

    side: int

    kind = "picture"
    mean = (0.0,)
    optional = frozenset()

    @property
    def inputs(self):
        return {"image": (self.side, self.side, 1)}

    trial = inputs

    @property
    def outputs(self):
        return {"classes": (3,)}

    @property
    def ranges(self):
        return {"classes": 1.0}


def test_a_convention_without_crops_needs_a_class_and_a_row_in_the_table(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "picture", Picture)
    info = ModelInfo("p", "1", "fp32", Picture(4), {}, "00")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.arange(48, dtype=np.float32).reshape(16, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["classes"]),
        ],
        "picture",
        [helper.make_tensor_value_info("image", kind, ["n", 4, 4, 1])],
        [helper.make_tensor_value_info("classes", kind, ["n", 3])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    proto.metadata_props.add(key=KEY, value=info.to_json())
    onnx.save(proto, tmp_path / "p.onnx")
    made = Model.load(tmp_path / "p.onnx", device="cpu")
    assert made.info == info and made.convention.side == 4
    image = np.random.default_rng(0).uniform(0, 1, (70, 4, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(
        made.run({"image": image})["classes"], image.reshape(70, 16) @ weights, rtol=1e-5
    )
    with pytest.raises(ValueError, match="inputs must be image, got target, search"):
        made.run(crops(1))


# --- inputs of any length


def patch_file(path, shape=("n", "rows", "columns"), outputs=("n", 1)):
    """A file whose "probability" is the mean of the patch."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["patch"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("Reshape", ["mean", "one"], ["probability"]),
        ],
        "patch",
        [helper.make_tensor_value_info("patch", kind, shape)],
        [helper.make_tensor_value_info("probability", kind, outputs)],
        [onnx.numpy_helper.from_array(np.array([-1, 1]), "one")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    info = ModelInfo("mean", "1", "fp32", MagnetogramPatch(32), {}, "00")
    proto.metadata_props.add(key=KEY, value=info.to_json())
    onnx.save(proto, path)
    return path


@pytest.fixture(scope="module")
def mean_of_patch(tmp_path_factory):
    return Model.load(patch_file(tmp_path_factory.mktemp("patch") / "mean.onnx"), device="cpu")


def patches(rows, height, width, seed=0):
    return np.random.default_rng(seed).normal(0, 9, (rows, height, width)).astype(np.float32)


@pytest.mark.parametrize(
    "shape", [(1, 16, 16), (70, 20, 33), (3, 600, 500), (1, 16, 4096), (0, 20, 20), (0, 0, 0)]
)
def test_patches_of_any_size_are_run(mean_of_patch, shape):
    given = patches(*shape)
    made = mean_of_patch.run({"patch": given})["probability"]
    assert made.shape == (shape[0], 1) and made.dtype == np.float32
    if len(given):
        np.testing.assert_allclose(made[:, 0], given.mean(axis=(1, 2)), atol=1e-4)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.zeros((16, 16), np.float32), ValueError, r"must have shape \(n, any, any\), got \(16, 16\)"),
        (np.zeros((1, 16, 16, 1), np.float32), ValueError, r"got \(1, 16, 16, 1\)"),
        (np.zeros((2, 0, 16), np.float32), ValueError, r"got \(2, 0, 16\)"),
        (np.zeros((2, 16, 16)), TypeError, "patch must be a float32 array, got float64"),
        (np.zeros((2, 16, 16), np.uint8), TypeError, "patch must be a float32 array, got uint8"),
    ],
)
def test_what_is_no_patch_is_refused(mean_of_patch, given, error, message):
    with pytest.raises(error, match=message):
        mean_of_patch.run({"patch": given})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_patches_with_missing_pixels_are_refused_because_rectifiers_hide_them(mean_of_patch, value):
    given = patches(3, 16, 20)
    given[1, 3:5] = value
    with pytest.raises(ValueError, match="patch must be finite, but 40 of 320 values of row 1 are not"):
        mean_of_patch.run({"patch": given})


@pytest.mark.parametrize(
    "shape", [("n", 32, 32), ("n", "rows", 32), ("n", "rows"), ("n", "rows", "columns", 1)]
)
def test_file_of_patches_of_one_size_is_refused(tmp_path, shape):
    with pytest.raises(ModelError, match="is damaged"):
        Model.load(patch_file(tmp_path / "m.onnx", shape, None), device="cpu")


def test_file_whose_answer_may_have_any_length_is_refused(tmp_path):
    path = patch_file(tmp_path / "m.onnx")
    proto = onnx.load(path)
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "k"
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.array([-1]), "one"))
    proto.graph.node[1].input[1] = "one"
    onnx.save(proto, path)
    with pytest.raises(ModelError, match="is damaged"):
        Model.load(path, device="cpu")


@pytest.mark.parametrize(("length", "rows"), [(224, 64), (600, 64), (1024, 32), (4096, 2), (20_000, 1)])
def test_large_patches_are_run_a_few_at_a_time(mean_of_patch, length, rows):
    large = np.broadcast_to(np.float32(0), (64, length, length))
    assert mean_of_patch._session.most_rows({"patch": large}) == rows


def test_crops_are_run_as_many_at_a_time_as_ever(model):
    crops_of_caffenet = np.broadcast_to(np.float32(0), (64, 227, 227, 3))
    inputs = {"target": crops_of_caffenet, "search": crops_of_caffenet}
    assert model._session.most_rows(inputs) == 64


def test_bound_buffers_belong_to_the_whole_shape(mean_of_patch):
    bound = session.BoundBuffers(ort, mean_of_patch._session.runtime, "cpu", 0, graph=False)
    for rows, height, width in [(3, 20, 30), (3, 30, 20), (2, 20, 30), (4, 20, 30), (1, 16, 16)]:
        given = patches(rows, height, width, seed=rows)
        made = bound.run({"patch": given})["probability"]
        np.testing.assert_allclose(made[:, 0], given.mean(axis=(1, 2)), atol=1e-5)
    assert bound.shapes == [((4, 30, 20),), ((2, 20, 30),), ((4, 20, 30),), ((1, 16, 16),)]


def test_bound_buffers_of_shapes_that_came_once_are_given_back(mean_of_patch):
    bound = session.BoundBuffers(ort, mean_of_patch._session.runtime, "cpu", 0, graph=False, most_values=2000)
    for height in [20, 21, 22, 20, 23, 24, 200]:
        given = patches(1, height, 30)
        made = bound.run({"patch": given})["probability"]
        np.testing.assert_allclose(made[:, 0], given.mean(axis=(1, 2)), atol=1e-5)
        if height == 24:
            assert bound.shapes == [((1, 23, 30),), ((1, 24, 30),)]
    assert bound.shapes == [((1, 200, 30),)]  # needed, and larger than what is kept


# --- devices


def test_cpu_is_what_was_asked_for(model):
    assert model.device == "cpu" and model.choice == "cpu, as requested"


def test_auto_without_cuda_says_why(model_file):
    model = Model.load(model_file)
    if model.device != "cpu":
        pytest.skip("CUDA works here")
    assert model.choice.startswith("auto chose cpu: this onnxruntime offers only ")


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_that_is_not_there_is_an_error_that_says_what_is(model_file, device):
    if CUDA in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    message = rf"device='{device}' was requested, but this onnxruntime offers only .*{CPU}.*solartrack\[gpu\]"
    with pytest.raises(DeviceError, match=message):
        Model.load(model_file, device=device)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "CPU", 0, None])
def test_unknown_device_is_refused(model_file, device):
    with pytest.raises(ValueError, match="device must be 'auto', 'cpu', 'cuda' or 'cuda:N', got"):
        Model.load(model_file, device=device)


def test_cuda_graph_on_the_cpu_is_refused(model_file):
    with pytest.raises(ValueError, match="cuda_graph needs a CUDA device"):
        Model.load(model_file, device="cpu", cuda_graph=True)


def test_threads_are_taken_from_the_argument_and_the_environment(model_file, monkeypatch):
    assert Model.load(model_file, device="cpu", threads=1).threads == 1
    monkeypatch.setenv("SOLARTRACK_NUM_THREADS", "3")
    assert Model.load(model_file, device="cpu").threads == 3
    with pytest.raises(ValueError, match="threads"):
        Model.load(model_file, device="cpu", threads=0)


def pretend(monkeypatch, outcome, installed=("onnxruntime-gpu",)):
    """ONNX Runtime as it is, but with a say in which providers it has.

    ``outcome``: what the session's providers turn out to be, or an exception on creation.
    """
    asked = []

    class Session:
        def __init__(self, path, options, *, providers, enable_fallback):
            asked.append(providers)
            if providers != [CPU] and isinstance(outcome, Exception):
                raise outcome
            self._real = ort.InferenceSession(path, ort.SessionOptions(), providers=[CPU])
            self._providers = [CPU] if providers == [CPU] else outcome

        def get_providers(self):
            return self._providers

        def __getattr__(self, name):
            return getattr(self._real, name)

    fake = SimpleNamespace(
        **{n: getattr(ort, n) for n in ("SessionOptions", "GraphOptimizationLevel", "RunOptions")}
    )
    fake.get_available_providers = lambda: [CUDA, CPU]
    fake.InferenceSession = Session
    # Buffers "on CUDA" are on the CPU.
    make = ort.OrtValue.ortvalue_from_shape_and_type
    fake.OrtValue = SimpleNamespace(
        ortvalue_from_shape_and_type=lambda s, t, kind, number: make(s, t, "cpu", 0)
    )
    monkeypatch.setattr(session, "require", lambda *args, **kwargs: fake)
    monkeypatch.setattr(session, "_installed", lambda: set(installed))
    return asked


def test_silent_fallback_to_the_cpu_is_found_out(model_file, monkeypatch):
    pretend(monkeypatch, [CPU])
    with pytest.raises(
        DeviceError, match=f"'cuda' was requested, but the session offers only {CPU}, CUDA did not"
    ):
        Model.load(model_file, device="cuda")
    model = Model.load(model_file, device="auto")
    assert model.device == "cpu" and f"auto chose cpu: the session offers only {CPU}" in model.choice


def test_cuda_device_that_fails_is_an_error_with_the_reason(model_file, monkeypatch):
    pretend(monkeypatch, RuntimeError("CUDA failure 101: invalid device ordinal"))
    with pytest.raises(
        DeviceError, match=r"'cuda:7' was requested, but CUDA device 7 did not start: .*ordinal"
    ):
        Model.load(model_file, device="cuda:7")
    assert "invalid device ordinal" in Model.load(model_file).choice


def test_damaged_file_is_not_blamed_on_the_device(tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"nothing")
    pretend(monkeypatch, RuntimeError("cannot parse"))
    with pytest.raises(ModelError, match="not a readable ONNX model"):
        Model.load(path, device="cuda")


def test_cuda_that_works_is_taken_and_told(model_file, model, monkeypatch):
    asked = pretend(monkeypatch, [CUDA, CPU])
    auto, second = Model.load(model_file), Model.load(model_file, device="cuda:1", cuda_graph=True)
    assert (auto.device, auto.choice) == ("cuda:0", "auto chose cuda:0, it works")
    assert (second.device, second.choice) == ("cuda:1", "cuda:1, as requested")
    ((_, first),), ((_, other),) = asked
    assert (first["device_id"], first["enable_cuda_graph"]) == (0, 0)
    assert (other["device_id"], other["enable_cuda_graph"]) == (1, 1)
    np.testing.assert_allclose(auto.run(crops(5))["box"], model.run(crops(5))["box"], atol=1e-6)


def test_both_packages_at_once_are_told_apart_from_a_missing_one(model_file, monkeypatch):
    monkeypatch.setattr(session, "_installed", lambda: {"onnxruntime", "onnxruntime-gpu"})
    if CUDA in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.warns(RuntimeWarning, match="both installed and overwrite"):
        assert "both installed" in Model.load(model_file).choice
    with pytest.warns(RuntimeWarning), pytest.raises(DeviceError, match="uninstall both"):
        Model.load(model_file, device="cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Model.load(model_file, device="cpu")


def test_model_is_not_made_by_its_constructor():
    with pytest.raises(TypeError, match=r"Model\.load\(path\)"):
        Model()


def test_importing_inference_does_not_import_the_runtime():
    code = "import sys, solartrack.inference; print('onnxruntime' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


# --- display values


def test_eight_bit_images_are_display_values_already():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert display_values(image) is image


def test_counts_are_shown_by_their_square_root():
    rng = np.random.default_rng(0)
    counts = rng.uniform(0, 40, (300, 300)) ** 2
    shown = display_values(counts)
    assert shown.dtype == np.float32 and shown.min() == 0.0 and shown.max() == pytest.approx(255.0, rel=1e-3)
    middle = np.abs(counts - 400.0).argmin()  # half the root
    assert shown.ravel()[middle] == pytest.approx(127.5, abs=3.0)
    # Ten times the exposure shows the same.
    np.testing.assert_allclose(display_values(10 * counts), shown, atol=1e-2)


def test_magnetograms_are_shown_from_minus_to_plus_100_gauss():
    field = np.full((60, 60), 0.0)
    field[:20], field[20:25], field[0, 0], field[0, 1] = -500.0, 300.0, np.nan, 50.0
    shown = display_values(field)
    assert shown[30, 30] == pytest.approx(127.5) and shown[22, 0] == 255.0 and shown[5, 5] < 2.0
    assert shown[0, 0] == 0.0 and shown[0, 1] == pytest.approx(191.25)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_images_without_contrast_are_black(value):
    np.testing.assert_array_equal(display_values(np.full((5, 5), value)), np.zeros((5, 5)))


def test_few_hot_pixels_do_not_darken_the_image():
    image = np.random.default_rng(0).uniform(100, 200, (400, 400))
    clean = display_values(image)
    image[::97, ::101] = 1e6
    assert np.median(np.abs(display_values(image) - clean)) < 5.0


FORK = """
import gc, os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from solartrack.errors import ModelError
from solartrack.inference import Model, find_model, load_model

def outcome(work):
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def drop():
    global model
    model = None
    gc.collect()

def use():
    try:
        model.run(inputs)
    except ModelError as error:
        assert "load the model here" in str(error)
    else:
        os._exit(1)

def load():
    load_model("goturn-lite", device="cpu", threads=4).run(inputs)

model = Model.load(find_model("goturn-lite"), device="cpu", threads=4)
load_model("goturn-lite", device="cpu", threads=4)
inputs = {n: np.zeros((2, *s), np.float32) for n, s in model.convention.inputs.items()}
print([outcome(work) for work in (drop, use, load)])
"""

EXIT = """
import ctypes, gc, os, sys
from solartrack.inference import Model, find_model

def outcomes():
    for status in range(5):
        sys.stdout.flush()
        child = os.fork()
        if not child:
            ctypes.CDLL(None).puts(b"from C")
            print("from Python")
            sys.exit(status)
        yield os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

model = Model.load(find_model("goturn-lite"), device="cpu", threads=4)
print(list(outcomes()))
del model
gc.collect()
print(list(outcomes()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_may_drop_a_model_of_its_parent_and_is_told_to_load_its_own():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["[0, 0, 0]"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_exits_as_it_says_with_and_without_the_model_of_its_parent():
    done = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=60)
    lines = sorted(done.stdout.splitlines())
    assert lines == ["[0, 1, 2, 3, 4]"] * 2 + ["from C"] * 10 + ["from Python"] * 10, done.stderr
