import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from kill_learn import fit
from patch_files import TINY, spoil, stored_samples, write_samples
from solartrack import _files
from solartrack.errors import ArchiveError, ModelError
from solartrack.flares.scores import contingency_scores
from solartrack.inference import MagnetogramPatch, patches
from solartrack.inference.patches import read_gauss, resize
from solartrack.models.vgg import dataset
from solartrack.models.vgg.backbones import Backbone, EfficientNetLite, Stage, Vgg
from solartrack.models.vgg.dataset import Samples, permutation
from solartrack.models.vgg.learn import fit_head
from solartrack.models.vgg.network import build

TESTS = Path(__file__).resolve().parents[2]
COLUMNS = [
    "epoch",
    *("loss", "tpr", "tnr", "tss", "hss"),
    *("val_loss", "val_tpr", "val_tnr", "val_tss", "val_hss"),
    *("samples", "val_samples", "unreadable", "samples_per_second"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder / "a", 45, seed=1)
    write_samples(folder / "b", 22, seed=2)
    return folder


@pytest.fixture(scope="module")
def samples(home):
    return stored_samples(home / "a"), stored_samples(home / "b")


def train(samples, folder, network=None, **settings):
    network = network or build(TINY, seed=3)
    given = {"batch": 8, "rate": 0.01, "workers": 0, "epochs": 3, "patience": None, **settings}
    return network, fit_head(network, *samples, folder, **given)


def weights(network):
    return {v.path: np.array(v.value) for v in network.weights}


def head(network):
    return np.concatenate([np.array(v.value).ravel() for v in network.get_layer("head").weights])


def fields(samples):
    seen = MagnetogramPatch(16)
    return np.stack([resize(read_gauss(f, seen), 16) for f in samples.files])[..., None]


def same(one, two):
    """Whether two histories are equal, apart from the time."""
    return one.drop(columns="samples_per_second").equals(two.drop(columns="samples_per_second"))


# -- the two ways ------------------------------------------------------------------


@pytest.mark.parametrize("broken", [False, True])
def test_cached_and_plain_path_give_the_same_head(samples, tmp_path, broken):
    if broken:
        bad = [str(f) for f in spoil(tmp_path / "bad")]
        samples = [
            Samples([*s.files[:7], *part, *s.files[7:]], np.insert(s.labels, 7, [1] * len(part)))
            for s, part in zip(samples, (bad[:5], bad[5:]), strict=True)
        ]
    plain, slow = train(samples, tmp_path / "plain", epochs=1)
    cached, fast = train(samples, tmp_path / "cached", epochs=1, cache=tmp_path / "cache")
    np.testing.assert_allclose(head(cached), head(plain), atol=1e-4)
    pd.testing.assert_frame_equal(
        slow.history.drop(columns="samples_per_second"),
        fast.history.drop(columns="samples_per_second"),
        atol=1e-4,
    )
    assert slow.unreadable == fast.unreadable and len(slow.unreadable) == (8 if broken else 0)
    assert (tmp_path / "plain" / "errors.csv").read_text() == (tmp_path / "cached" / "errors.csv").read_text()


def test_half_precision_cache_gives_nearly_the_same_head(samples, tmp_path):
    plain, _ = train(samples, tmp_path / "plain", epochs=1)
    half, _ = train(samples, tmp_path / "half", epochs=1, cache=tmp_path / "cache", cache_dtype="float16")
    np.testing.assert_allclose(head(half), head(plain), atol=2e-2)


def test_processes_and_this_process_come_to_the_same_bits(samples, tmp_path):
    one, two = (train(samples, tmp_path / str(n), epochs=2, workers=n)[0] for n in (0, 2))
    np.testing.assert_array_equal(head(one), head(two))


def test_the_new_head_depends_on_the_seed_alone(samples, tmp_path):
    one, _ = train(samples, tmp_path / "one", epochs=1)
    other = build(TINY, seed=3)
    other.get_layer("head").kernel.assign(np.ones((5, 2), np.float32))
    two, _ = train(samples, tmp_path / "two", other, epochs=1)
    np.testing.assert_array_equal(head(one), head(two))
    three, _ = train(samples, tmp_path / "three", epochs=1, seed=1)
    assert np.abs(head(three) - head(one)).max() > 1e-3


# -- what an epoch does ------------------------------------------------------------


def test_an_epoch_is_that_of_keras_with_class_weights(samples, tmp_path):
    """The same steps by ``Model.fit``: order, partial batch, weights, Adam, loss, scores."""
    training, validation = samples
    mine, made = train(samples, tmp_path / "run", epochs=1)
    keras_one = build(TINY, seed=3)
    for layer in keras_one.layers:
        layer.trainable = layer.name == "head"
    last = keras_one.get_layer("head")
    last.kernel.assign(keras.initializers.GlorotUniform(0)(last.kernel.shape))
    last.bias.assign(np.zeros(2))
    keras_one.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy")
    order = permutation(len(training), 0, 0)
    one_hot = np.eye(2, dtype=np.float32)
    quiet = len(training) - training.flares
    told = keras_one.fit(
        fields(training)[order],
        one_hot[training.labels[order]],
        batch_size=8,
        shuffle=False,
        class_weight={0: 1.0, 1: quiet / training.flares},
        validation_data=(fields(validation), one_hot[validation.labels]),
        verbose=0,
    ).history
    np.testing.assert_allclose(head(mine), head(keras_one), atol=1e-5)
    row = made.history.iloc[0]
    assert row["loss"] == pytest.approx(told["loss"][0], rel=1e-4)
    assert row["val_loss"] == pytest.approx(told["val_loss"][0], rel=1e-4)
    forecast = np.argmax(mine.predict(fields(validation), verbose=0), axis=1)
    pairs = [
        int(((validation.labels == y) & (forecast == f)).sum()) for y, f in ((1, 1), (1, 0), (0, 1), (0, 0))
    ]
    scores = contingency_scores(*pairs)
    for name in ("tpr", "tnr", "tss", "hss"):
        assert row[f"val_{name}"] == pytest.approx(scores[name])


def test_steps_of_an_epoch_are_rounded_up_as_published(samples, tmp_path):
    for batch, count in ((8, 6), (45, 1), (44, 2), (64, 1)):
        train(samples, tmp_path / str(batch), epochs=2, batch=batch, cache=tmp_path / "cache")
        with np.load(tmp_path / str(batch) / "state.npz") as state:
            assert int(state["v2"]) == 2 * count  # after kernel and bias, the steps of the optimizer


def test_training_learns_and_keeps_the_best_epoch(samples, tmp_path):
    network, made = train(samples, tmp_path / "run", epochs=12, rate=0.1, cache=tmp_path / "cache")
    tss = made.history["val_tss"]
    assert made.best == made.history.iloc[tss.argmax()].to_dict() and made.best["val_tss"] > 0.5
    validation = samples[1]
    forecast = np.argmax(network.predict(fields(validation), verbose=0), axis=1)
    hits = [(forecast[validation.labels == y] == y).mean() for y in (0, 1)]
    assert sum(hits) - 1 == pytest.approx(made.best["val_tss"])
    assert list(made.history.columns) == COLUMNS
    stored = pd.read_csv(tmp_path / "run" / "history.csv")
    pd.testing.assert_frame_equal(stored, made.history, check_dtype=False)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        *("state.npz", "history.csv", "errors.csv", "best.weights.h5", "tensorboard", ".lock")
    }


def test_what_is_frozen_is_neither_changed_nor_stored(samples, tmp_path):
    network = build(TINY, seed=3)
    before = weights(network)
    train(samples, tmp_path / "run", network)
    changed = {path for path, value in weights(network).items() if not np.array_equal(value, before[path])}
    assert changed == {"head/kernel", "head/bias"}
    with np.load(tmp_path / "run" / "state.npz") as state:
        assert sum(state[name].size for name in state.files if name != "record") < 5 * 12


def test_training_ends_early_without_a_better_epoch(samples, tmp_path, capsys):
    _, made = train(samples, tmp_path / "run", epochs=30, rate=1e-6, patience=2, cache=tmp_path / "cache")
    assert len(made.history) == 3 and made.best["epoch"] == 1
    assert "no better val_tss in 2 epochs: ended after 3 of 30" in capsys.readouterr().out
    _, again = train(samples, tmp_path / "run", epochs=30, rate=1e-6, patience=2, cache=tmp_path / "cache")
    assert again.history.equals(made.history)


def test_no_file_is_read_twice_in_an_epoch_of_the_plain_path_and_once_ever_with_a_cache(
    samples, tmp_path, monkeypatch
):
    opened = []

    def counted(path, convention):
        opened.append(path)
        return read_gauss(path, convention)

    monkeypatch.setattr(patches, "read_gauss", counted)
    train(samples, tmp_path / "cached", epochs=3, cache=tmp_path / "cache")
    files = sorted([*samples[0].files, *samples[1].files])
    assert sorted(opened) == files
    opened.clear()
    train(samples, tmp_path / "plain", epochs=2)
    assert sorted(opened) == sorted(2 * files)


# -- fine-tuning -------------------------------------------------------------------


@pytest.mark.parametrize("cached", [False, True])
def test_fine_tuning_trains_from_the_block_on_after_the_head(samples, tmp_path, cached):
    network = build(TINY, seed=3)
    before = weights(network)
    cache = {"cache": tmp_path / "cache"} if cached else {}
    _, made = train(samples, tmp_path / "run", network, fine_tune_from="block2", fine_tune_rate=1e-3, **cache)
    changed = {
        path.split("/")[0] for path, v in weights(network).items() if not np.array_equal(v, before[path])
    }
    assert changed == {"block2_conv1", "fc1", "fc2", "head"}
    # The same way, bit for bit; the other one rounds otherwise on some processors.
    other = {"cache": tmp_path / "other cache"} if cached else {}
    _, first = train(samples, tmp_path / "head only", **other)
    assert same(
        pd.read_csv(tmp_path / "run" / "head" / "history.csv"),
        pd.read_csv(tmp_path / "head only" / "history.csv"),
    )
    assert len(made.history) == 3 and not same(made.history, first.history)
    assert not cached or {p.name for p in (tmp_path / "cache").iterdir()} == {"head", "block2_conv1"}


def test_fine_tuning_without_the_head_first_begins_with_a_new_one(samples, tmp_path):
    _, made = train(samples, tmp_path / "run", fine_tune_from="fc1", head_first=False)
    assert len(made.history) == 3 and not (tmp_path / "run" / "head").exists()


def test_batch_normalisation_stays_as_it_is_in_fine_tuning(samples, tmp_path):
    lite = Backbone(
        16,
        EfficientNetLite((Stage(1, 3, 1, 1, 4), Stage(2, 3, 2, 2, 6)), 4, 8),
        1 / 128,
        (-127 / 128,) * 3,
    )
    network = build(lite, seed=2)
    before = weights(network)
    train(samples, tmp_path / "run", network, fine_tune_from="top_conv", epochs=2, fine_tune_rate=1e-2)
    changed = {
        path.split("/")[0] for path, v in weights(network).items() if not np.array_equal(v, before[path])
    }
    assert changed == {"top_conv", "head"}


def test_mixed_precision_trains_with_and_without_a_cache(samples, tmp_path):
    losses = []
    for cache in (None, tmp_path / "cache"):
        network = build(TINY, seed=3, dtype="mixed_float16")
        settings = {"fine_tune_from": "fc1", "fine_tune_rate": 1e-3, "epochs": 2, "head_first": False}
        _, made = train(samples, tmp_path / f"run{len(losses)}", network, cache=cache, **settings)
        losses.append(made.history["loss"].to_numpy())
    assert np.isfinite(losses).all() and losses[0][1] < losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.1)


def test_a_cut_that_is_none_is_refused(samples, tmp_path):
    with pytest.raises(ValueError, match="block9"):
        train(samples, tmp_path / "run", fine_tune_from="block9")


# -- stopping and going on ---------------------------------------------------------


def kill(home, path, moment):
    command = [sys.executable, str(TESTS / "kill_learn.py"), str(home), path, moment]
    ended = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONPATH": str(TESTS)})
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]


@pytest.mark.parametrize("path", ["plain", "cached"])
def test_a_killed_run_comes_to_the_same_bits(home, tmp_path, path):
    for name in "ab":
        for where in ("whole", "killed"):
            (tmp_path / where).mkdir(exist_ok=True)
            (tmp_path / where / name).symlink_to(home / name)
    whole, once = fit(tmp_path / "whole", path)
    if path == "cached":
        kill(tmp_path / "killed", path, "caching")
        assert '"done": 16' in (tmp_path / "killed/cache/head/training/progress.json").read_text()
        assert not (tmp_path / "killed/cached/history.csv").exists()
    kill(tmp_path / "killed", path, "epoch")
    assert len(pd.read_csv(tmp_path / "killed" / path / "history.csv")) == 1
    again, twice = fit(tmp_path / "killed", path)
    np.testing.assert_array_equal(head(again), head(whole))
    assert same(once.history, twice.history) and len(once.history) == 3
    with (
        np.load(tmp_path / "whole" / path / "state.npz") as a,
        np.load(tmp_path / "killed" / path / "state.npz") as b,
    ):
        assert a.files == b.files
        assert all(np.array_equal(a[name], b[name]) for name in a.files if name != "record")
    if path == "cached":
        for name in ("training", "validation"):
            stored = [tmp_path / w / "cache/head" / name / "activations.npy" for w in ("whole", "killed")]
            assert stored[0].read_bytes() == stored[1].read_bytes()


def test_more_epochs_go_on_where_a_finished_run_ended(samples, tmp_path, capsys):
    train(samples, tmp_path / "run", epochs=1, cache=tmp_path / "cache")
    more, made = train(samples, tmp_path / "run", epochs=3, cache=tmp_path / "cache")
    assert "going on after epoch 1 of 3" in capsys.readouterr().out
    whole, once = train(samples, tmp_path / "whole", epochs=3, cache=tmp_path / "cache")
    np.testing.assert_array_equal(head(more), head(whole))
    assert same(made.history, once.history)


def test_a_run_of_other_arguments_or_samples_is_refused(samples, tmp_path):
    train(samples, tmp_path / "run", epochs=1)
    for settings, named in (
        ({"batch": 16}, "batch"),
        ({"rate": 0.02}, "rate"),
        ({"seed": 4}, "network, seed"),
        ({"cache": tmp_path / "cache"}, "activations"),
        ({"network": build(TINY, seed=4)}, "network"),
        ({"samples": (samples[1], samples[0])}, "training, validation"),
    ):
        with pytest.raises(ValueError, match=rf"other settings \({named}\); choose another folder"):
            train(settings.pop("samples", samples), tmp_path / "run", **settings)


def test_a_run_whose_files_were_moved_says_so(samples, tmp_path):
    train(samples, tmp_path / "run", epochs=1)
    moved = tmp_path / "moved"
    shutil.copytree(Path(samples[0].files[0]).parent, moved)
    other = Samples([moved / Path(file).name for file in samples[0].files], samples[0].labels)
    with pytest.raises(ValueError, match=r"settings \(training\); .*their files have another path, size or"):
        train((other, samples[1]), tmp_path / "run")


def test_training_that_diverges_stops_in_that_epoch_and_says_what_to_do(samples, tmp_path):
    with pytest.raises(ModelError, match=r"training diverged in epoch 1: .* rate of 1e\+30; lower --rate"):
        train(samples, tmp_path / "run", fine_tune_from="block1_conv1", fine_tune_rate=1e30, head_first=False)
    assert not (tmp_path / "run" / "state.npz").exists()


def test_two_runs_in_one_folder_exclude_each_other(samples, tmp_path):
    with _files.exclusive(tmp_path / "run"), pytest.raises(ArchiveError, match="another run is working"):
        train(samples, tmp_path / "run")


@pytest.mark.parametrize("leaks", [False, True])
def test_memory_does_not_grow_with_the_number_of_batches(samples, tmp_path, leaks):
    """Resident memory after many epochs is that after a few; a copy of each batch would be seen."""
    resident, kept, passes = [], [], dataset.Reader._arrays

    def counted(self, this, batch):
        pages = Path("/proc/self/statm").read_text().split()[1]
        resident.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))
        for arrays in passes(self, this, batch):
            if leaks:
                kept.append(arrays[0].copy())
            yield arrays

    network = build(Backbone(256, Vgg(((2,),) * 6), 1.0, (0.0, 0.0, 0.0)), seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset.Reader, "_arrays", counted)
        train(samples, tmp_path / "run", network, epochs=24, batch=4)
    assert len(resident) == 48
    grown, read = resident[-1] - resident[12], sum(map(len, samples)) * 18 * 256 * 256 * 4
    assert read > 200 << 20
    assert (grown > 0.8 * read) if leaks else (grown < 0.1 * read)


# -- bad input ---------------------------------------------------------------------


@pytest.mark.parametrize("label", [0, 1])
def test_samples_of_one_class_are_refused(samples, tmp_path, label):
    files = [f for f, y in zip(samples[0].files, samples[0].labels, strict=True) if y == label]
    one = Samples(files, [label] * len(files))
    for name, both in (("training", (one, samples[1])), ("validation", (samples[1], one))):
        with pytest.raises(
            ValueError, match=rf"the {name} samples must have both classes, got \d+ quiet and"
        ):
            train(both, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cached", [False, True])
def test_if_only_one_class_can_be_read_the_files_are_blamed(samples, tmp_path, cached):
    files = [
        f if y else tmp_path / Path(f).name for f, y in zip(samples[0].files, samples[0].labels, strict=True)
    ]
    cache = {"cache": tmp_path / "cache"} if cached else {}
    with pytest.raises(
        ValueError,
        match=r"training samples 0 quiet and \d+ flaring ones could be read, but both .*no such file",
    ):
        train((Samples(files, samples[0].labels), samples[1]), tmp_path / "run", **cache)
    assert len(pd.read_csv(tmp_path / "run" / "errors.csv")) == (samples[0].labels == 0).sum()


def test_samples_that_share_a_file_are_refused(samples, tmp_path):
    mixed = Samples([*samples[1].files, samples[0].files[0]], [*samples[1].labels, 0])
    with pytest.raises(
        ValueError, match=r"1 files are training and validation samples, .*split the samples by region"
    ):
        train((samples[0], mixed), tmp_path / "run")


def test_a_file_is_the_same_by_another_spelling_of_its_path(samples, tmp_path, monkeypatch):
    training, validation = samples
    path = Path(training.files[0])
    (tmp_path / "folder").symlink_to(path.parent)
    (tmp_path / "link.png").symlink_to(path)
    monkeypatch.chdir(path.parent)
    for other in (tmp_path / "folder" / path.name, tmp_path / "link.png", path.name, f"./{path.name}"):
        mixed = Samples([*validation.files, other], [*validation.labels, 0])
        with pytest.raises(ValueError, match=r"1 files are training and validation samples, .*by region"):
            train((training, mixed), tmp_path / "run")
        with pytest.raises(ValueError, match=r"each file must be there once, got .* twice, first as '"):
            Samples([*training.files, other], [*training.labels, 0])
    assert not (tmp_path / "run").exists()


def test_a_full_disk_while_caching_is_an_error_that_says_what_is_needed(samples, small_disk):
    large = dataclasses.replace(TINY, body=dataclasses.replace(TINY.body, dense=(2000,)))
    with pytest.raises(OSError, match=r"activations need 360128 bytes, and \d+ are free"):
        train(samples, small_disk / "run", build(large), cache=small_disk / "cache")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"epochs": 0}, "epochs must be a positive integer"),
        ({"batch": 2.5}, "batch must be a positive integer"),
        ({"patience": 0}, "patience must be a positive integer"),
        ({"rate": 0.0}, "rate must be a positive number"),
        ({"rate": float("nan")}, "rate must be a positive number"),
        ({"fine_tune_rate": -1}, "fine_tune_rate must be a positive number"),
        ({"seed": -1}, "seed must be an integer"),
        ({"cache": "c", "cache_dtype": "int8"}, "cache_dtype must be 'float32' or 'float16'"),
        ({"workers": -1}, "workers must be 0 or a number"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(samples, tmp_path, settings, match):
    with pytest.raises(ValueError, match=match):
        train(samples, tmp_path / "run", **settings)
    assert not list(tmp_path.iterdir())
