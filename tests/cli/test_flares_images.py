"""``solartrack flares train-images``, ``predict``, ``explain`` and ``score`` on patches: as the documentation runs them."""

import json
import os
import shutil
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image

from solartrack import cli, viz
from solartrack.flares import ImageModel, format_name
from solartrack.simulate import flaring_patches

pytestmark = pytest.mark.skipif(find_spec("tensorflow") is None, reason="training needs TensorFlow")


def run(*arguments):
    return cli.main(["flares", *map(str, arguments)])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Simulated patches, labels, parts, and a small network that was trained on them, all by the commands."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    patch.chdir(home)
    series = flaring_patches(1, 60, 4, size=48)
    series.write("patches", format_name)
    series.events.to_csv("flares.csv", index=False)
    assert run("label", "patches/**", "--events", "flares.csv", "-o", "labels.csv", "-q") == 0
    shares = ("--validation", 0.25, "--test", 0.25, "--stratify")
    assert run("split", "labels.csv", "--by", "random", *shares, "-o", "samples.csv", "-q") == 0
    network = ("--backbone", "vgg-small", "--weights", "random", "--fine-tune-from", "block1", "--batch", 16)
    assert run("train-images", "samples.csv", "-o", "run", *network, "--epochs", 3, "--workers", 0, "-q") == 0
    yield home
    patch.undo()


def test_from_patches_to_scores_beside_the_support_vector_machine(home, capsys):
    """The sequence of the documentation."""
    assert cli.main(["features", "patches/**", "-o", "features", "--workers", "1", "-q"]) == 0
    assert run("train", "features/features", "--labels", "samples.csv", "-o", "svm.skops", "-q") == 0
    labels = ("--labels", "samples.csv")
    assert run("predict", "--model", "svm.skops", "features/features", *labels, "-o", "svm.csv", "-q") == 0
    assert run("predict", "--model", "run/vgg-small.onnx", "patches/**", *labels, "-o", "images.csv") == 0
    out, err = capsys.readouterr()
    assert "240 forecasts" in out and "vgg-small:run epoch" in err and "ran on cpu" in err
    beside = ("--parts", "--name", "network", "--baseline", "svm=svm.csv", "--draws", 20, "--no-figure")
    assert run("score", "images.csv", *beside, "-o", "scores", "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["scores"]
    assert {"network", "svm", "climatology"} <= set(told)
    assert told["network"]["n"] == told["svm"]["n"] > 45
    # Better than chance by far; how good it is at best is in the benchmark, not here.
    assert told["network"]["values"]["auc"] > 0.7 and told["svm"]["values"]["auc"] > 0.8


def test_tables_say_which_model_made_them_and_where(home):
    paths = sorted(map(str, (home / "patches").rglob("*.fits")))[:5]
    model = ImageModel.load("run/vgg-small.onnx")
    for suffix in ("csv", "parquet"):
        given = ("--model", "run/vgg-small.onnx", *paths, "--device", "cpu", "--batch", 2)
        assert run("predict", *given, "-o", f"few.{suffix}", "-q") == 0
    table = pd.read_parquet("few.parquet")
    assert table["file"].tolist() == paths and table["region"].tolist() == [10001] * 4 + [10002]
    np.testing.assert_array_equal(table["probability"], model.predict_proba(paths))
    assert (table["flare"] == (table["probability"] >= model.threshold)).all()
    assert set(table["model"]) == {model.name} and set(table["model_sha256"]) == {model.sha256}
    assert set(table["device"]) == {"cpu"} and list(pd.read_csv("few.csv")) == list(table)


def test_bad_patches_cost_their_own_rows_and_make_the_status_3(home, tmp_path, capsys):
    grey = np.full((40, 40), 128, np.uint8)
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "colour.png")
    Image.fromarray(grey.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(grey).save(tmp_path / "good.png")
    (tmp_path / "half.fits").write_bytes(next(home.rglob("*.fits")).read_bytes()[:-3000])
    given = ("--model", "run/vgg-small.onnx", tmp_path, "-o", tmp_path / "f.csv")
    shutil.copy(tmp_path / "good.png", tmp_path / os.fsdecode(b"caf\xe9.png"))
    assert run("predict", *given) == cli.INCOMPLETE
    table = pd.read_csv(tmp_path / "f.csv")
    assert table["probability"].notna().tolist() == ["good" in file for file in table["file"]]
    said = capsys.readouterr()
    assert "1 forecasts" in said.out
    for name in (
        "colour.png: a patch that is a PNG must be 8-bit grey",
        "deep.png: ",
        "half.fits: ",
        "caf\\xe9.png: the file name is not UTF-8",
    ):
        assert name in said.err


def test_a_picture_shows_what_the_network_looks_at(home, tmp_path, capsys):
    patch = next(home.rglob("*.fits"))
    assert run("explain", "run", patch, "-o", tmp_path / "why.png", "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.width > 800 and picture.format == "PNG"
    assert told["model"] == "vgg-small:run"
    assert told["for"] + told["against"] == pytest.approx(
        told["change_of_log_odds"] + told["error"], abs=1e-6
    )
    odds = told["log_odds_without_field"] + told["change_of_log_odds"]
    assert told["probability"] == pytest.approx(1 / (1 + np.exp(-odds)))
    probability = ImageModel.load("run/vgg-small.onnx").predict_proba([patch])[0]
    assert told["probability"] == pytest.approx(probability, abs=1e-4)


@pytest.mark.parametrize("suffix", ["png", "fits"])
def test_pictures_and_fits_files_are_both_shown_with_north_above(home, tmp_path, monkeypatch, suffix):
    shown, plot = [], viz.plot_saliency
    monkeypatch.setattr(
        viz, "plot_saliency", lambda field, *rest, **more: shown.append(field) or plot(field, *rest, **more)
    )
    field = np.zeros((64, 64), np.float32)
    field[50:] = 3000  # in the north, as FITS files store it
    file = tmp_path / f"patch.{suffix}"
    if suffix == "png":
        Image.fromarray(np.round(field[::-1] / 5978.7 * 127.5 + 127.5).astype(np.uint8)).save(file)
    else:
        fits.writeto(file, field)
    assert run("explain", "run", file, "-o", tmp_path / "why.png", "-q") == 0
    np.testing.assert_allclose(shown[0], field, atol=30)


def test_training_says_what_came_out(home, tmp_path, capsys):
    shutil.copytree("run", tmp_path / "run")
    given = ("--backbone", "vgg-small", "--weights", "random", "--fine-tune-from", "block1", "--batch", 16)
    common = ("samples.csv", "-o", tmp_path / "run", *given, "--epochs", 3, "--workers", 0)
    assert run("train-images", *common) == 0  # finished before: it is exported again
    said = capsys.readouterr()
    assert "vgg-small, random weights, not trained on anything; trained from block1_conv1 on" in said.out
    assert "validation regions: TSS" in said.out and "wrote " in said.out and "vgg-small.onnx" in said.out
    assert run("train-images", *common, "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == json.loads((tmp_path / "run/run.json").read_text()) and told["name"] == "vgg-small:run"
    assert run("train-images", *common, "--rate", 0.1) == cli.FAILED
    assert "holds a run with other settings (rate)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("train-images", "samples.csv", "-o", "{out}/r"), 'no weights are given: weights must be a file, "imagenet"'),
        (("train-images", "labels.csv", "-o", "{out}/r", "--weights", "random"), "'part' is missing"),
        (("train-images", "none.csv", "-o", "{out}/r", "--weights", "random"), "there is no file none.csv"),
        (
            ("train-images", "samples.csv", "-o", "{out}/r", "--backbone", "efficientnet-lite0", "--weights",
             "run/network.weights.h5"),
            "does not fit the network",
        ),
        (
            ("train-images", "samples.csv", "-o", "{out}/r", "--backbone", "vgg-small", "--weights",
             "random", "--fine-tune-from", "conv9"),
            "cannot cut at 'conv9': there is no such layer or block; choose one of",
        ),
        (("predict", "--model", "run/vgg-small.onnx", "samples.csv", "-o", "{out}/f.csv"), "samples.csv is a table"),
        (("predict", "--model", "run/vgg-small.onnx", "patches", "-o", "{out}/f"), "-o {out}/f.parquet"),
        (("predict", "--model", "run/vgg-small.onnx", "{patch}", "-o", "{out}/f.csv", "--batch", "0"), "batch"),
        (("predict", "--model", "run/none.onnx", "patches", "-o", "{out}/f.csv"), "there is no model file"),
        (("predict", "--model", "{out}/bad.onnx", "patches", "-o", "{out}/f.csv"), "is not a readable ONNX model"),
        (("predict", "--model", "{out}/bad.skops", "patches", "-o", "{out}/f.csv", "--device", "cpu"), "--device is for"),
        (
            ("predict", "--model", "run/vgg-small.onnx", "patches", "-o", "{out}/f.csv", "--scheduler", "tcp://x"),
            "--scheduler needs a folder",
        ),
        (("explain", "patches", "{patch}", "-o", "{out}/w.png"), "patches is not the folder of a finished run"),
        (("explain", "run", "{out}/none.fits", "-o", "{out}/w.png"), "none.fits"),
        (("explain", "run", "{patch}", "-o", "{out}/w.txt"), "suffix must be one of .png"),
        (("train-images", "text.csv", "-o", "{out}/r", "--weights", "random"), "labels must be 0, 1 or missing, got 'y"),
        (("train-images", "time.csv", "-o", "{out}/r", "--weights", "random"), "'time' of the part 'train' must have"),
        (
            ("train-images", "samples.csv", "-o", "few.csv", "--weights", "random", "--backbone", "vgg-small"),
            "a folder goes here, but this is a file",
        ),
        (("predict", "--model", "run", "patches", "-o", "{out}/f.csv"), "run is a folder; --model is a file of"),
        (("predict", "--model", "run", "patches", "-o", "{out}/f.csv"), "such as run/vgg-small.onnx"),
        (
            ("predict", "--model", "run/network.weights.h5", "patches", "-o", "{out}/f.csv"),
            "has weights to train on from; --model is a file of",
        ),
        (("predict", "--model", "run/vgg-small.onnx", "patches", "-o", "."), "-o forecasts.parquet"),
        (
            ("predict", "--model", "run/vgg-small.onnx", "{patch}", "--labels", "bare.csv", "-o", "{out}/f.csv"),
            "bare.csv lacks the column 'label'",
        ),
        (("score", "few.csv", "--threshold", "0.5", "-o", "few.csv"), "-o few.csv must be a folder, but this is a file"),
        (
            ("score", "few.csv", "--threshold", "0.5", "--baseline", "x=none.csv", "-o", "{out}/s"),
            "there is no file none.csv",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(home, tmp_path, capsys, command, message):
    (tmp_path / "bad.onnx").write_bytes((home / "run/vgg-small.onnx").read_bytes()[:5000])
    pd.DataFrame({"label": [0, 1], "probability": [0.1, 0.2], "region": [1, 2]}).to_csv("few.csv")
    samples = pd.read_csv("samples.csv")
    samples.assign(label="yes").to_csv("text.csv", index=False)
    samples.assign(time="noon").to_csv("time.csv", index=False)
    samples.drop(columns="label").to_csv("bare.csv", index=False)
    places = {"out": tmp_path, "patch": next(home.rglob("*.fits"))}
    assert run(*(word.format(**places) for word in command)) == cli.FAILED
    assert message.format(**places) in capsys.readouterr().err


def test_cuda_without_one_is_an_error_that_says_what_was_found(home, tmp_path, capsys):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is offered here")
    given = ("--model", "run/vgg-small.onnx", "patches", "-o", tmp_path / "f.csv", "--device", "cuda")
    assert run("predict", *given) == cli.FAILED
    assert "device='cuda' was requested, but this onnxruntime offers only" in capsys.readouterr().err


def test_other_labels_in_the_table_of_a_baseline_are_said(home, tmp_path, capsys):
    table = pd.DataFrame({"region": range(6), "time": "2014-01-01", "label": [0, 1] * 3, "probability": 0.4})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.assign(label=[1, 1, 0, 1, np.nan, 1]).to_csv(tmp_path / "b.csv", index=False)
    given = (tmp_path / "a.csv", "--threshold", 0.5, "--draws", 5, "--no-figure", "-o", tmp_path / "s", "-q")
    assert run("score", *given, "--baseline", f"b={tmp_path / 'b.csv'}") == 0
    assert f"{tmp_path}/b.csv has other labels for 1 of 5 samples" in capsys.readouterr().err
    assert run("score", *given, "--baseline", f"b={tmp_path / 'a.csv'}") == 0
    assert "other labels" not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("score", *given, "--baseline", "b")
    assert "expected NAME=COLUMN or NAME=FILE, got 'b'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("explain", "run", "p.fits", "-o", "w.png", "--limit", -5)
    assert "expected a positive number" in capsys.readouterr().err


def test_a_table_of_other_samples_is_no_baseline(home, tmp_path, capsys):
    table = pd.DataFrame({"region": [1, 2], "time": "2014-01-01", "label": [0, 1], "probability": [0.1, 0.9]})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.assign(region=[3, 4]).to_csv(tmp_path / "b.csv", index=False)
    table.assign(probability=["x", "y"]).to_csv(tmp_path / "c.csv", index=False)
    table.assign(probability=[10, 90]).to_csv(tmp_path / "d.csv", index=False)
    for name, message in (
        (
            "b",
            "has none of the samples: it has region 3, time 2014-01-01 00:00:00, wanted region 1, time 2014",
        ),
        ("c", "'probability' must be numbers"),
        ("d", f"{tmp_path}/d.csv: the column 'probability' must be from 0 to 1, got 10; divide percentages"),
    ):
        given = (tmp_path / "a.csv", "--threshold", 0.5, "--baseline", f"b={tmp_path / name}.csv")
        assert run("score", *given, "-o", tmp_path / "s") == cli.FAILED
        assert message in capsys.readouterr().err
