import errno
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from patch_files import TINY, spoil, write_patches
from solartrack import _files
from solartrack.errors import ArchiveError
from solartrack.inference import MagnetogramPatch
from solartrack.inference.patches import read_gauss, resize
from solartrack.models.vgg import activations, dataset
from solartrack.models.vgg.activations import compute_activations, files_hash, network_hash, planned_bytes
from solartrack.models.vgg.network import build, split


@pytest.fixture(scope="module")
def trunk():
    return split(build(TINY, seed=1))[0]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return [str(f) for f in write_patches(tmp_path_factory.mktemp("patches"), 23)]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(activations, "_BLOCK_ROWS", 8)


def compute(trunk, files, folder, **settings):
    return compute_activations(trunk, files, folder, **{"batch": 4, "workers": 0, **settings})


def of_keras(trunk, files):
    seen = MagnetogramPatch(16)
    fields = np.stack([resize(read_gauss(f, seen), 16) for f in files])[..., None]
    return np.asarray(trunk(fields))


# -- what is stored ----------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "digits"), [("float32", 1e-5), ("float16", 1e-3)])
def test_cache_holds_what_the_trunk_gives_for_each_file(trunk, files, tmp_path, small_blocks, dtype, digits):
    made = compute(trunk, files, tmp_path / "cache", dtype=dtype)
    wanted = of_keras(trunk, files)
    assert made.shape == wanted.shape == (23, 5) and made.readable.all() and not made.reasons
    order = np.random.default_rng(0).permutation(23)
    np.testing.assert_allclose(
        made.rows(order), wanted[order], rtol=digits, atol=digits * np.abs(wanted).max()
    )
    assert np.load(made.path).dtype == dtype and made.rows(order).dtype == np.float32
    assert made.path.stat().st_size == planned_bytes(trunk, 23, dtype)
    assert (tmp_path / "cache" / "errors.csv").read_text() == "file,reason\n"


def test_size_of_the_published_cache_is_told_before(trunk):
    published = type("Trunk", (), {"output_shape": (None, 4096)})()
    assert planned_bytes(published, 950_000) == 128 + 950_000 * 4096 * 4
    assert planned_bytes(published, 950_000, "float16") == 128 + 950_000 * 4096 * 2


def test_activations_of_an_earlier_layer_keep_their_shape(files, tmp_path):
    early = split(build(TINY, seed=1), "block2_conv1")[0]
    made = compute(early, files, tmp_path / "cache")
    assert made.shape == (23, 8, 8, 4)
    np.testing.assert_allclose(made.rows(np.arange(23)), of_keras(early, files), rtol=1e-5, atol=1e-3)


def test_a_finished_cache_is_used_without_reading_a_file(trunk, files, tmp_path, monkeypatch):
    made = compute(trunk, files, tmp_path / "cache")
    monkeypatch.setattr(activations, "Reader", None)
    again = compute(trunk, files, tmp_path / "cache")
    np.testing.assert_array_equal(again.rows(np.arange(23)), made.rows(np.arange(23)))


def test_broken_files_are_marked_and_named_also_where_a_whole_block_is_broken(
    trunk, files, tmp_path, small_blocks
):
    bad = [str(f) for f in spoil(tmp_path / "bad")]  # eight, as many as a block
    made = compute(trunk, [*files[:8], *bad, *files[8:20]], tmp_path / "cache")
    assert np.flatnonzero(~made.readable).tolist() == list(range(8, 16)) == sorted(made.reasons)
    assert "NaN" in made.reasons[8] and not made.rows(np.arange(8, 16)).any()
    good = np.flatnonzero(made.readable)
    np.testing.assert_allclose(made.rows(good), of_keras(trunk, files[:20]), rtol=1e-5, atol=1e-3)
    assert sorted(pd.read_csv(tmp_path / "cache" / "errors.csv")["file"]) == sorted(bad)
    assert compute(trunk, [*files[:8], *bad, *files[8:20]], tmp_path / "cache").reasons == made.reasons
    ended = compute(trunk, bad, tmp_path / "other")
    assert not ended.readable.any()


def test_a_file_that_could_not_be_read_for_a_while_is_read_when_the_cache_is_used_again(
    trunk, files, tmp_path, monkeypatch
):
    try_field = dataset.try_field

    def failing(file, convention):
        return "Input/output error" if file == files[5] else try_field(file, convention)

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "try_field", failing)
        made = compute(trunk, files, tmp_path / "cache")
        assert compute(trunk, files, tmp_path / "cache").reasons == {5: "Input/output error"} == made.reasons
    again = compute(trunk, files, tmp_path / "cache")
    assert again.readable.all() and not again.reasons
    np.testing.assert_allclose(again.rows(np.arange(23)), of_keras(trunk, files), rtol=1e-5, atol=1e-3)
    assert (tmp_path / "cache" / "errors.csv").read_text() == "file,reason\n"


# -- stopping and going on ---------------------------------------------------------


class Stop(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_stopped_run_goes_on_after_its_last_block_to_the_same_bytes(
    trunk, files, tmp_path, small_blocks, monkeypatch, after
):
    names = [*files[:6], tmp_path / "gone.fits", *files[6:]]
    whole = compute(trunk, names, tmp_path / "whole")
    blocks = []
    write = activations._write_block

    def stopping(file, offset, values):
        if len(blocks) == after:
            file.seek(offset)
            file.write(b"half a row")
            raise Stop
        blocks.append(offset)
        write(file, offset, values)

    monkeypatch.setattr(activations, "_write_block", stopping)
    with pytest.raises(Stop):
        compute(trunk, names, tmp_path / "cache")
    assert json.loads((tmp_path / "cache" / "progress.json").read_text())["done"] == 8 * after
    read = []
    monkeypatch.setattr(activations, "_write_block", write)
    reader = activations.Reader

    def counting(passes, *args, **kwargs):
        read.extend(passes[0].rows())
        return reader(passes, *args, **kwargs)

    monkeypatch.setattr(activations, "Reader", counting)
    again = compute(trunk, names, tmp_path / "cache")
    assert read == list(range(8 * after, 24))
    assert again.path.read_bytes() == whole.path.read_bytes() and again.reasons == whole.reasons
    for name in ("errors.csv", "progress.json", "cache.json"):
        assert (tmp_path / "cache" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_whose_cache_was_not_fully_begun_is_begun_anew(trunk, files, tmp_path):
    made = compute(trunk, files, tmp_path / "cache")
    stored = made.path.read_bytes()
    made.path.write_bytes(b"other")
    (tmp_path / "cache" / "cache.json").unlink()
    assert compute(trunk, files, tmp_path / "cache").path.read_bytes() == stored


# -- space -------------------------------------------------------------------------


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("way", ["free", "reserve"])
def test_too_little_space_is_said_before_the_work_with_what_is_needed(
    trunk, files, tmp_path, monkeypatch, way
):
    if way == "free":
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    else:
        monkeypatch.setattr(os, "posix_fallocate", no_space)
    monkeypatch.setattr(activations, "Reader", None)
    needed = planned_bytes(trunk, 23)
    with pytest.raises(OSError, match=rf"need {needed} bytes, and \d+ are free; .*float16") as caught:
        compute(trunk, files, tmp_path / "cache")
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "cache")
    assert {path.name for path in (tmp_path / "cache").iterdir()} <= {".lock"}


def test_without_a_way_to_reserve_space_a_disk_that_fills_leaves_a_cache_that_goes_on(
    trunk, files, tmp_path, monkeypatch, small_blocks
):
    def cannot(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    write, blocks = activations._write_block, []

    def filling(file, offset, values):
        if len(blocks) == 1:
            no_space()
        blocks.append(offset)
        write(file, offset, values)

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", cannot)
        patch.setattr(activations, "_write_block", filling)
        with pytest.raises(
            OSError, match="the rows so far are kept: free some space and start again"
        ) as caught:
            compute(trunk, files, tmp_path / "cache")
    assert caught.value.errno == errno.ENOSPC
    made = compute(trunk, files, tmp_path / "cache")
    np.testing.assert_array_equal(
        made.rows(np.arange(23)), compute(trunk, files, tmp_path / "whole").rows(np.arange(23))
    )


def test_a_real_full_disk_is_an_error_before_the_work(small_disk):
    early = split(build(TINY, seed=1), "block2_conv1")[0]
    with pytest.raises(OSError, match="need 400512 bytes") as caught:
        compute(early, [f"{k}.fits" for k in range(391)], small_disk / "cache")
    assert caught.value.errno == errno.ENOSPC


# -- another cache -----------------------------------------------------------------


def test_a_cache_of_something_else_is_refused_with_what_differs(trunk, files, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    own = [shutil.copy(f, tmp_path) for f in files[:4]]
    compute(trunk, own, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match=r"cache of something else \(another network: its weights") as caught:
        compute(split(build(TINY, seed=2))[0], own, folder)
    assert "remove that folder, or choose another one" in str(caught.value)
    with pytest.raises(ValueError, match=r"other files: their paths, order, sizes or dates\)"):
        compute(trunk, own[::-1], folder)
    with pytest.raises(ValueError, match=r"other files: .*; another shape: \[4, 5\], not \[3, 5\]"):
        compute(trunk, own[:3], folder)
    with pytest.raises(ValueError, match=r"\(another dtype: float32, not float16\)"):
        compute(trunk, own, folder, dtype="float16")
    for name, words in (
        ("FORMAT", "another format: 1, not 2"),
        ("READING", "another way in which files are read"),
    ):
        with monkeypatch.context() as patch, pytest.raises(ValueError, match=words):
            patch.setattr(activations, name, 2)
            compute(trunk, own, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    os.utime(own[0], (1, 1))
    with pytest.raises(ValueError, match="other files"):
        compute(trunk, own, folder)


def test_hashes_say_what_matters_and_nothing_else(files):
    networks = [build(TINY, seed=1) for _ in range(2)]
    trunks = [split(network)[0] for network in networks]
    assert network_hash(trunks[0]) == network_hash(trunks[1])
    split(networks[0], "fc1")  # freezes other layers
    assert network_hash(trunks[0]) == network_hash(trunks[1])
    kernel = trunks[1].get_layer("fc2").kernel
    kernel.assign(np.asarray(kernel.value) + np.float32(1e-3) * (np.arange(5) == 2))
    assert network_hash(trunks[0]) != network_hash(trunks[1])
    assert network_hash(split(build(TINY, seed=1, dtype="mixed_bfloat16"))[0]) != network_hash(trunks[0])
    assert files_hash(files) == files_hash(files) != files_hash(files[::-1])
    assert files_hash([os.path.relpath(f) for f in files]) == files_hash(files)


def test_values_beyond_float16_are_refused(trunk, files, tmp_path):
    network = build(TINY, seed=1)
    large = split(network)[0]
    kernel = large.get_layer("fc2").kernel
    kernel.assign(np.asarray(kernel.value) * 1e6)
    with pytest.raises(
        ValueError, match=r"too large for float16, which ends at 65504; remove .* dtype='float32'"
    ):
        compute(large, files, tmp_path / "cache", dtype="float16")
    assert np.isfinite(compute(large, files, tmp_path / "other").rows(np.arange(23))).all()
    bias = large.get_layer("fc2").bias
    bias.assign(np.full(bias.shape, np.inf))
    with pytest.raises(ValueError, match=r"NaN or infinite; are these the right weights\?"):
        compute(large, files, tmp_path / "third")


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda home: (home / "progress.json").unlink(), r"progress\.json is missing or damaged"),
        (lambda home: (home / "progress.json").write_text("{}"), "is damaged .*; remove it"),
        (lambda home: (home / "cache.json").write_text("{"), r"cache\.json is missing or damaged"),
        (lambda home: os.truncate(home / "activations.npy", 300), r"has 300 bytes instead of 588"),
        (lambda home: (home / "activations.npy").unlink(), "is damaged"),
    ],
)
def test_a_damaged_cache_is_refused(trunk, files, tmp_path, damage, match):
    compute(trunk, files, tmp_path / "cache")
    damage(tmp_path / "cache")
    with pytest.raises(ArchiveError, match=match):
        compute(trunk, files, tmp_path / "cache")


def test_a_folder_with_other_files_is_refused(trunk, files, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ArchiveError, match=r"holds other files, such as 'thesis\.tex'"):
        compute(trunk, files, tmp_path)


def test_two_runs_in_one_folder_exclude_each_other(trunk, files, tmp_path):
    with (
        _files.exclusive(tmp_path / "cache"),
        pytest.raises(ArchiveError, match="another run is working"),
    ):
        compute(trunk, files, tmp_path / "cache")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"dtype": "int8"}, "dtype must be 'float32' or 'float16', got 'int8'"),
        ({"batch": 0}, "batch must be"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(trunk, files, tmp_path, settings, match):
    with pytest.raises(ValueError, match=match):
        compute(trunk, files, tmp_path / "cache", **settings)
    with pytest.raises(ValueError, match="there are no samples"):
        compute(trunk, [], tmp_path / "cache")
    assert not list(tmp_path.iterdir())
