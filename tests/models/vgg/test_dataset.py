import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

import chores
from patch_files import spoil, write_patches
from solartrack._workers import DIED
from solartrack.errors import ArchiveError
from solartrack.inference import MagnetogramPatch, patches
from solartrack.inference.patches import read_gauss, resize
from solartrack.models.vgg import dataset
from solartrack.models.vgg.dataset import Failures, Pass, Reader, Samples, permutation

SIDE = 16
SEEN = MagnetogramPatch(SIDE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_patches(tmp_path_factory.mktemp("patches"), 23)


@pytest.fixture
def samples(files):
    return Samples(files, np.arange(len(files)) % 2)


def whole(samples, rows=None):
    return Pass(samples, partial(np.arange, len(samples)) if rows is None else rows)


def children():
    """Worker processes of this one."""
    return set(chores.workers_of(os.getpid()))


def arrays(batches):
    return [tuple(np.asarray(part) for part in batch) for batch in batches]


# -- what is read ------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_patches_come_in_the_asked_order_as_float32_gauss_resized_as_published(samples, workers):
    order = permutation(len(samples), 5, 1)
    with Reader([whole(samples, lambda: order)], SEEN, workers=workers) as reader:
        found = arrays(reader.batches(4))
    assert [len(rows) for _, _, rows in found] == [4, 4, 4, 4, 4, 3]
    fields, labels, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert fields.dtype == np.float32 and fields.shape == (23, SIDE, SIDE, 1)
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_array_equal(labels, np.eye(2, dtype=np.float32)[samples.labels[order]])
    for field, row in zip(fields, rows, strict=True):
        np.testing.assert_array_equal(field[:, :, 0], resize(read_gauss(samples.files[row], SEEN), SIDE))


def test_batches_stay_as_they_were_while_later_ones_are_read(samples):
    with Reader([whole(samples)], SEEN, workers=0) as reader:
        kept = [(fields, rows) for fields, _, rows in reader.batches(2)]
    for fields, rows in kept:
        for field, row in zip(fields.numpy(), rows.numpy(), strict=True):
            np.testing.assert_array_equal(field[:, :, 0], resize(read_gauss(samples.files[row], SEEN), SIDE))


def test_no_file_is_read_twice_in_an_epoch(samples, monkeypatch):
    opened = Counter()

    def counted(path, convention):
        opened[path] += 1
        return read_gauss(path, convention)

    monkeypatch.setattr(patches, "read_gauss", counted)
    passes = [whole(samples, partial(permutation, len(samples), 0, epoch)) for epoch in range(3)]
    with Reader(passes, SEEN, workers=0) as reader:
        for epoch in range(3):
            assert sum(len(rows) for *_, rows in reader.batches(4)) == len(samples)
            assert opened == dict.fromkeys(samples.files, epoch + 1)


def test_worker_processes_are_started_once_for_all_passes(samples):
    passes = [whole(samples)] * 3
    with Reader(passes, SEEN, workers=2) as reader:
        seen = set()
        for _ in passes:
            assert len(arrays(reader.batches(8))) == 3
            seen |= children()
        assert len(seen) == 2
    assert not children() & seen


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    one = permutation(100, 3, 2)
    np.testing.assert_array_equal(one, permutation(100, 3, 2))
    assert sorted(one) == list(range(100))
    assert any((one != permutation(100, 3, 1)).tolist()) and any((one != permutation(100, 4, 2)).tolist())


# -- bad files ---------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_files_are_skipped_counted_and_named_once(samples, tmp_path, workers):
    bad = spoil(tmp_path / "bad")
    files = [f for pair in zip(samples.files, bad, strict=False) for f in pair] + list(
        samples.files[len(bad) :]
    )
    both = Samples(files, [0] * len(files))
    failures = Failures(tmp_path / "errors.csv")
    with Reader([whole(both)] * 2, SEEN, workers=workers, failures=failures) as reader:
        for _ in range(2):
            found = arrays(reader.batches(4))
            assert [len(rows) for *_, rows in found] == [4, 4, 4, 4, 4, 3]
            rows = np.concatenate([rows for *_, rows in found])
            assert [both.files[row] for row in rows] == [f for f in map(str, files) if Path(f) not in bad]
            assert len(failures) == len(bad)
    table = pd.read_csv(tmp_path / "errors.csv")
    assert list(table.columns) == ["file", "reason"] and len(table) == len(bad)
    for file, reason in zip(table["file"], table["reason"], strict=True):
        assert bad[Path(file)] in reason


def test_errors_of_an_earlier_part_of_the_run_are_kept(tmp_path):
    Failures(tmp_path / "errors.csv").save()
    assert (tmp_path / "errors.csv").read_text() == "file,reason\n"
    for name in ("b", "a,x", "b"):
        failures = Failures(tmp_path / "errors.csv")
        failures.add(name, f"because of {name}")
        failures.add(name, "another reason")
        failures.save()
    assert (tmp_path / "errors.csv").read_text() == 'file,reason\n"a,x","because of a,x"\nb,because of b\n'


def test_a_file_that_kills_its_worker_is_a_broken_file(samples, monkeypatch):
    monkeypatch.setattr(dataset, "read", chores.die_at_a_name)
    monkeypatch.setattr(dataset, "_TASK", 2)
    files = [*samples.files[:5], "die.fits", *samples.files[5:]]
    with Reader([whole(Samples(files, [0] * 24))] * 2, SEEN, workers=2) as reader:
        assert sum(len(rows) for *_, rows in reader.batches(4)) == 23
        pools = children()
        assert sum(len(rows) for *_, rows in reader.batches(4)) == 23
        assert children() == pools  # it is not tried again
        assert reader.failures.reasons == {"die.fits": DIED}


def test_without_a_readable_file_there_are_no_batches(tmp_path):
    with Reader([whole(Samples(spoil(tmp_path / "bad"), [0] * 8))], SEEN, workers=0) as reader:
        assert not list(reader.batches(4)) and len(reader.failures) == 8


def test_a_file_name_that_is_not_utf8_is_named(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.fits")
    fits.writeto(name, np.zeros((20, 20), np.float32))
    failures = Failures(tmp_path / "errors.csv")
    with Reader([whole(Samples([name], [0]))], SEEN, workers=0, failures=failures) as reader:
        assert not list(reader.batches(4))
    assert "\\xe9.fits,the file name is not UTF-8" in (tmp_path / "errors.csv").read_text()


# -- ends --------------------------------------------------------------------------


def test_what_stops_the_reading_comes_out_as_itself(samples, monkeypatch):
    monkeypatch.setattr(dataset, "read", chores.refuse)
    with Reader([whole(samples)], SEEN, workers=0) as reader, pytest.raises(ArchiveError, match=r"^no more$"):
        list(reader.batches(4))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_that_is_left_early_ends_the_workers(samples, workers):
    with pytest.raises(KeyError), Reader([whole(samples)] * 50, SEEN, workers=workers) as reader:
        for _ in reader.batches(2):
            seen = children()
            raise KeyError("stop")
    assert len(seen) == workers and not children() & seen


def test_importing_the_room_of_the_workers_leaves_tensorflow_out():
    code = "import sys, solartrack.models.vgg.dataset; print({'tensorflow', 'keras'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


# -- samples -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "labels", "error", "match"),
    [
        ([], [], ValueError, "there are no samples"),
        (["a", "b"], [0], ValueError, "as many as the files, got 1 for 2 files"),
        (["a", "b"], [0, None], ValueError, "1 of 2 labels are missing; leave those samples out"),
        (["a", "b"], pd.array([pd.NA, 1], dtype="Int8"), ValueError, "1 of 2 labels are missing"),
        (["a", "b"], [0, 2], ValueError, "labels must be 0 or 1, got 2 in row 1"),
        (["a", "b"], ["0", "C1.0"], TypeError, "labels must be numbers, got '0'"),
        (["a", "b"], np.ma.masked_array([0, 1], [0, 1]), TypeError, "masked"),
        (["a", "b", "a"], [0, 0, 1], ValueError, "each file must be there once, got 'a' twice"),
        ("a.fits", [0], TypeError, "a list of files, got the single path 'a.fits'"),
    ],
)
def test_samples_that_are_none_are_refused(files, labels, error, match):
    with pytest.raises(error, match=match):
        Samples(files, labels)


def test_samples_take_labels_of_any_kind():
    for labels in (
        [0, 1],
        [False, True],
        np.array([0.0, 1.0]),
        pd.Series([0, 1], dtype="Int8", index=[7, 3]),
    ):
        made = Samples([Path("a"), "b"], labels)
        assert made.files == ("a", "b") and made.labels.tolist() == [0, 1] and made.flares == 1
