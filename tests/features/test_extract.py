import csv
import multiprocessing
import os
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from PIL import Image

from solartrack import cli, features
from solartrack._tables import read_csv
from solartrack.archive import _measure, _parts
from solartrack.archive import features as extract_module
from solartrack.errors import ArchiveError
from solartrack.features import COMPLEXITY_NAMES
from solartrack.features import extract as extract_function


def field(seed, n=48):
    return np.round(np.random.default_rng(seed).normal(0, 200, (n, n)), 1)


def write_rice(path, pixels):
    counts = np.round(np.asarray(pixels) * 10).astype(np.int32)
    hdu = fits.CompImageHDU(counts, compression_type="RICE_1")
    hdu.header["BSCALE"] = 0.1
    hdu.writeto(path)


@pytest.fixture
def archive(tmp_path):
    """Regions 1 and 2 with five FITS patches each, whose names sort naturally, and one picture."""
    for region in (1, 2):
        folder = tmp_path / "archive" / str(region)
        folder.mkdir(parents=True)
        for k in (1, 2, 3, 9, 10):
            write_rice(folder / f"{region}_patch.{k}.fits", field(10 * region + k))
    Image.fromarray((field(7) / 10 + 128).astype(np.uint8)).save(tmp_path / "archive/3_patch.png")
    return tmp_path / "archive"


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(extract_module, "_PART", 4)
    monkeypatch.setattr(extract_module, "_TASK", 2)


def content(output):
    """Everything that a run has made, by name."""
    return {
        p.relative_to(output).as_posix(): p.read_bytes() for p in sorted(output.rglob("*")) if p.is_file()
    }


def errors(made):
    with open(made.errors, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "reason"]
    return {name.rpartition("/")[2]: reason for name, reason in rows}


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # not Linux
        return None


def alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


NAMES = [f"{r}_patch.{k}.fits" for r in (1, 2) for k in (1, 2, 3, 9, 10)] + ["3_patch.png"]


def test_table_has_the_features_of_every_patch_in_natural_order(archive, tmp_path, small_parts):
    made = extract_function(archive / "**", tmp_path / "out", workers=1)
    assert (made.rows, made.failed, made.reused) == (11, 0, 0)
    table = pd.read_parquet(made.table)
    assert [name.rpartition("/")[2] for name in table["file"]] == NAMES
    for name, row in zip(table["file"], table[list(COMPLEXITY_NAMES)].to_numpy(), strict=True):
        zero = 128 if name.endswith(".png") else 0
        assert np.array_equal(row, features.complexity(name, zero=zero).as_array())
    assert table["class_label"].isna().all() and (table["nan_pixels"] == 0).all()


def test_csv_is_the_published_layout(archive, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("1_patch.1.fits,1,M1.7\n1_patch.2.fits,0,0\n")
    made = extract_function(archive / "**", tmp_path / "out", labels=labels, workers=1)
    with open(made.csv, newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 11 and {len(row) for row in rows} == {32}
    assert [row[31] for row in rows] == NAMES
    assert [row[29:31] for row in rows[:3]] == [["1", "M1.7"], ["0", "0"], ["NaN", "NaN"]]
    table = pd.read_parquet(made.table)
    assert np.array_equal(np.array(rows)[:, :29].astype(float), table[list(COMPLEXITY_NAMES)].to_numpy())
    assert table["flare_class"].tolist()[:2] == ["M1.7", "0"] and table["class_label"][0] == 1


def test_one_worker_and_two_give_the_same_bytes(archive, tmp_path, small_parts):
    (archive / "2/bad.fits").write_bytes(b"")
    one = extract_function(archive / "**", tmp_path / "one", workers=1)
    two = extract_function(archive / "**", tmp_path / "two", workers=2)
    assert content(one.table.parent) == content(two.table.parent)
    assert set(content(tmp_path / "one")) == {
        *(f"features/part-{k:06d}.parquet" for k in range(3)), "features.csv", "errors.csv", "manifest.json", ".lock",
    }  # fmt: skip


def test_second_run_measures_nothing(archive, tmp_path, small_parts, monkeypatch):
    (archive / "1/bad.fits").write_bytes(b"")
    first = extract_function(archive / "**", tmp_path / "out", workers=1)
    before = content(tmp_path / "out")
    monkeypatch.setattr(extract_module, "measure", lambda *given, **more: pytest.fail("measured again"))
    second = extract_function(archive / "**", tmp_path / "out", workers=1)
    assert (second.rows, second.failed, second.reused) == (first.rows, first.failed, 12)
    assert content(tmp_path / "out") == before


def test_only_files_that_changed_are_measured_again(archive, tmp_path, small_parts):
    extract_function(archive / "**", tmp_path / "out", workers=1)
    path = archive / "2/2_patch.10.fits"
    path.unlink()
    write_rice(path, field(99, n=50))
    made = extract_function(archive / "**", tmp_path / "out", workers=1)
    assert made.reused == 10
    (archive / "3_patch.png").unlink()
    (archive / "2/2_patch.9.fits").unlink()
    (archive / "2/2_patch.10.fits").unlink()
    made = extract_function(archive / "**", tmp_path / "out", workers=1)
    assert (made.rows, made.reused) == (8, 8)
    assert len(pd.read_parquet(made.table)) == 8  # the part that is no longer needed is gone
    assert extract_function(archive / "**", tmp_path / "out", workers=1, nan_policy="zero").reused == 0


@pytest.mark.parametrize("name", ["0_first.png", "1/1_patch.5.fits", "9_last.png"])
def test_file_that_comes_into_the_archive_is_the_only_one_measured(archive, tmp_path, small_parts, name):
    (archive / "1/bad.fits").write_bytes(b"")
    extract_function(archive / "**", tmp_path / "out", workers=1)
    (Image.fromarray(np.full((20, 20), 9, np.uint8)).save if name.endswith("png") else
     lambda path: write_rice(path, field(5)))(archive / name)  # fmt: skip
    made = extract_function(archive / "**", tmp_path / "out", workers=1)
    assert (made.rows, made.failed, made.reused) == (12, 1, 12)
    extract_function(archive / "**", tmp_path / "anew", workers=1)
    assert content(tmp_path / "out") == content(tmp_path / "anew")


def test_run_killed_while_parts_shift_measures_no_file_twice(archive, tmp_path, small_parts, monkeypatch):
    extract_function(archive / "**", tmp_path / "out", workers=1)
    Image.fromarray(np.full((20, 20), 9, np.uint8)).save(archive / "0_first.png")
    write = _parts.Part.write

    def write_first_only(part, *rest):
        if part.path.name != "part-000000.parquet":
            raise KeyboardInterrupt
        write(part, *rest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(_parts.Part, "write", write_first_only)
        extract_function(archive / "**", tmp_path / "out", workers=1)
    assert extract_function(archive / "**", tmp_path / "out", workers=1).reused == 12
    extract_function(archive / "**", tmp_path / "anew", workers=1)
    assert content(tmp_path / "out") == content(tmp_path / "anew")


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), MemoryError("no memory"), ImportError("no OpenJPEG")]
)
def test_file_that_failed_for_want_of_the_machine_is_tried_again(
    archive, tmp_path, small_parts, monkeypatch, error
):
    (archive / "2/bad.fits").write_bytes(b"")

    def failing(*given, **more):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", failing)
        made = extract_function(archive / "**", tmp_path / "out", workers=1)
    assert (
        set(errors(made)) == {"bad.fits", "3_patch.png"}
        and str(error.args[-1]) in errors(made)["3_patch.png"]
    )
    made = extract_function(archive / "**", tmp_path / "out", workers=1)
    assert (made.rows, made.failed, made.reused) == (11, 1, 11)
    assert extract_function(archive / "**", tmp_path / "out", workers=1).reused == 12
    extract_function(archive / "**", tmp_path / "anew", workers=1)
    assert content(tmp_path / "out") == content(tmp_path / "anew")


def test_part_that_is_damaged_is_made_again(archive, tmp_path, small_parts):
    made = extract_function(archive / "**", tmp_path / "out", workers=1)
    before = content(tmp_path / "out")
    (made.table / "part-000001.parquet").write_bytes(b"PAR1 but no more")
    assert extract_function(archive / "**", tmp_path / "out", workers=1).reused == 7
    assert content(tmp_path / "out") == before


SCRIPT = """
import sys, time
from solartrack import features
from solartrack.archive import _parts, features as module
module._PART, module._TASK = 8, 2
if __name__ == "__main__":
    write = _parts.Part.write
    def slow(self, *rest):
        write(self, *rest)
        time.sleep(0.3)  # time to be killed in
    _parts.Part.write = slow
    features.extract(sys.argv[1], sys.argv[2], workers=2)
"""


def test_killed_run_goes_on_to_the_same_bytes_without_repeating_complete_parts(tmp_path):
    archive, script = tmp_path / "archive", tmp_path / "script.py"
    archive.mkdir()
    for k in range(80):
        write_rice(archive / f"{k}.fits", field(k))
    (archive / "81.fits").write_bytes(b"no")
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(archive)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, timeout=120)
    run = subprocess.Popen([*command, str(tmp_path / "out")])
    parts, deadline = tmp_path / "out/features", time.monotonic() + 60
    while len(list(parts.glob("part-*.parquet"))) < 3:
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    workers = children(run.pid)
    run.kill()
    run.wait()
    complete = {p: p.stat().st_mtime_ns for p in parts.glob("part-*.parquet")}
    assert 3 <= len(complete) < 11 and not (tmp_path / "out/features.csv").exists()
    subprocess.run([*command, str(tmp_path / "out")], check=True, timeout=120)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert {p: p.stat().st_mtime_ns for p in complete} == complete
    if workers is not None:
        assert len(workers) >= 2 and not any(alive(pid) for pid in workers)


def test_worker_that_is_killed_costs_nothing(tmp_path, small_parts, monkeypatch):
    for k in range(40):
        write_rice(tmp_path / f"{k}.fits", field(k, n=8))
    write, killed = _parts.Part.write, []

    def write_and_kill(part, *rest):
        write(part, *rest)
        if not killed:
            killed.extend(multiprocessing.active_children())
            for worker in killed:
                worker.kill()

    with monkeypatch.context() as patched:
        patched.setattr(_parts.Part, "write", write_and_kill)
        made = extract_function(tmp_path, tmp_path / "out", workers=2)
    assert killed and (made.rows, made.failed) == (40, 0)
    extract_function(tmp_path, tmp_path / "anew", workers=1)
    assert content(tmp_path / "out") == content(tmp_path / "anew")


def damaged(folder):
    """Bad files by name, and a word of the reason each must give."""
    good = field(1)
    fits.PrimaryHDU().writeto(folder / "no_data.fits")
    fits.PrimaryHDU(np.ones((3, 4, 5))).writeto(folder / "cube.fits")
    fits.PrimaryHDU(np.full((9, 9), np.nan)).writeto(folder / "nan.fits")
    fits.PrimaryHDU(np.full((9, 9), np.inf)).writeto(folder / "infinite.fits")
    (folder / "empty.fits").write_bytes(b"")
    (folder / "page.fits").write_text("<html>not found</html>")
    write_rice(folder / "tile.fits", good)
    with fits.open(folder / "tile.fits", disable_image_compression=True) as hdus:
        start = hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"] + hdus[1]._data_offset
    raw = bytearray((folder / "tile.fits").read_bytes())
    raw[start : start + 400] = b"\xff" * 400
    (folder / "tile.fits").write_bytes(raw)
    write_rice(folder / "short.fits", field(2, 200))
    raw = (folder / "short.fits").read_bytes()
    (folder / "short.fits").write_bytes(raw[: len(raw) // 2])
    deep = Image.fromarray(np.full((9, 9), 30000, np.uint16))
    deep.save(folder / "deep.png")
    Image.fromarray((good / 10 + 128).astype(np.uint8)).save(folder / "cut.png")
    raw = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(raw[: len(raw) // 2])
    return {
        "no_data.fits": "no image",
        "cube.fits": "shape",
        "nan.fits": "NaN",
        "infinite.fits": "infinite",
        "empty.fits": "empty",
        "page.fits": "error page",
        "tile.fits": "cannot be read",
        "short.fits": "cannot be read",
        "deep.png": "16-bit",
        "cut.png": "cannot be read",
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_file_is_a_row_of_the_errors_with_its_reason(archive, tmp_path, workers):
    expected = damaged(archive)
    made = extract_function(archive / "**", tmp_path / "out", workers=workers)
    assert (made.rows, made.failed) == (11, len(expected))
    found = errors(made)
    assert set(found) == set(expected)
    for name, word in expected.items():
        assert word in found[name] and name not in found[name], found[name]


def test_odd_but_good_files_are_measured(tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    pixels = (field(3) / 10 + 128).astype(np.uint8)
    alpha = np.dstack([pixels, np.full_like(pixels, 255)])
    Image.fromarray(alpha).save(folder / "a_alpha.png")
    Image.fromarray(pixels).save(folder / "b_plain.png")
    card = folder / "c_card.fits"
    fits.PrimaryHDU(pixels.astype(">i2") - 128, fits.Header({"R_VALUE": 1.0})).writeto(card)
    card.write_bytes(card.read_bytes().replace(b"                 1.0", b"                 nan"))
    fits.PrimaryHDU(np.ones((1, 30))).writeto(folder / "d_row.fits")
    made = extract_function(folder, tmp_path / "out", workers=1)
    assert (made.rows, made.failed) == (4, 0), made.errors.read_text()
    values = pd.read_parquet(made.table)[list(COMPLEXITY_NAMES)].to_numpy()
    assert np.array_equal(values[0], values[1]) and np.array_equal(values[1], values[2])


def test_zero_and_nan_policy_are_those_given(tmp_path):
    deep = tmp_path / "deep.png"
    pixels = (field(5) + 32768).astype(np.uint16)
    Image.fromarray(pixels).save(deep)
    holes = field(6)
    holes[3, 4] = np.nan
    fits.PrimaryHDU(holes).writeto(tmp_path / "holes.fits")
    made = extract_function(deep, tmp_path / "out", zero=32768, workers=1)
    assert pd.read_parquet(made.table)["flux_signed"][0] == (pixels - 32768.0).sum()
    made = extract_function(tmp_path / "holes.fits", tmp_path / "out", nan_policy="zero", workers=1)
    assert pd.read_parquet(made.table)["nan_pixels"].tolist() == [1]


def test_archive_of_bad_files_only_makes_empty_tables(tmp_path):
    (tmp_path / "bad.fits").write_bytes(b"")
    made = extract_function(tmp_path, tmp_path / "out", workers=1)
    assert (made.rows, made.failed) == (0, 1)
    assert made.csv.read_text() == "" and len(pd.read_parquet(made.table)) == 0


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(FileNotFoundError, match="no images found in"):
        extract_function(tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        extract_function(tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"zero": np.nan}, "zero must be finite"),
        ({"nan_policy": "drop"}, "nan_policy"),
        ({"workers": 0}, "threads"),
    ],
)
def test_bad_options_are_refused_before_any_work(archive, tmp_path, given, error):
    with pytest.raises(ValueError, match=error):
        extract_function(archive / "**", tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


# -- labels ------------------------------------------------------------------------


def labels_of(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return features.read_labels(path)


def test_labels_have_two_or_three_columns_and_maybe_a_header(tmp_path):
    expected = {"a.fits": (1, "M1.7"), "b.fits": (0, "0")}
    for text in (
        "a.fits,1,M1.7\nb.fits,0,0\n",
        "file,class_label,flare_class\na.fits, 1, M1.7\n\nb.fits,0,0",
        "a.fits,M1.7\r\nb.fits,0\r\n",
        "\ufeffregion/a.fits,M1.7\n..\\b.fits,0\n",
    ):
        assert labels_of(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.fits,1,M1.7\na.fits,1,M1.7\n", "1 names more than once: a.fits; remove"),
        ("a.fits,1,M1.7\nb.fits\n", "line 2: expected file name, class label, flare class, got 'b.fits'"),
        ("a.fits,yes,M1.7\n", "line 1: the class label must be an integer, got 'yes'"),
        (",1,M1.7\n", "line 1: expected file name"),
    ],
)
def test_wrong_labels_say_where(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        labels_of(tmp_path, text)


@pytest.mark.parametrize(
    "word", ["FQ", "quiet", "False", "-", "", "0.0", "00", "NaN", "None", "N", "1", "M1.7 X2", "m1.7"]
)
def test_only_flare_classes_are_flares_and_other_words_are_an_error_with_their_line(tmp_path, word):
    with pytest.raises(ValueError, match=r"labels.csv, line 2: the flare class must be such as M1\.7, or 0"):
        labels_of(tmp_path, f"a.fits,0\nb.fits,{word}\n")


def test_every_flare_class_is_a_flare(tmp_path):
    classes = ["A1", "B9.9", "C1.0", "C", "M1.7", "X", "X17", "X9.3"]
    labels = labels_of(tmp_path, "".join(f"{k}.fits,{word}\n" for k, word in enumerate(classes)))
    assert list(labels.values()) == [(1, word) for word in classes]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a.fits,M1.7\n".encode("utf-16"), r"labels\.csv is in UTF-16.*save it as CSV in UTF-8"),
        ("\xe9.fits,M1.7\n".encode("latin-1"), r"labels\.csv is not in UTF-8.*save it as CSV in UTF-8"),
        (b'a.fits,"' + b"x" * 200_000 + b'"\n', r"labels\.csv is no CSV file: field larger"),
    ],
)
def test_labels_that_are_no_csv_in_utf8_are_named(tmp_path, data, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        features.read_labels(path)


def test_one_label_for_files_of_one_name_in_two_folders_is_refused(archive, tmp_path):
    (archive / "other").mkdir()
    (archive / "other/1_patch.1.fits").write_bytes(next(archive.rglob("1_patch.1.fits")).read_bytes())
    labels = tmp_path / "labels.csv"
    labels.write_text("2_patch.1.fits,X9.3\n")
    extract_function(archive / "**", tmp_path / "fine", labels=labels, workers=1)
    labels.write_text("1_patch.1.fits,M1.7\n")
    with pytest.raises(
        ValueError,
        match=r"one label for 1_patch\.1\.fits, but two of the images have this name: .*/other/1_patch",
    ):
        extract_function(archive / "**", tmp_path / "out", labels=labels, workers=1)
    assert not (tmp_path / "out").exists()
    assert extract_function(archive / "other", tmp_path / "out", labels=labels, workers=1).rows == 1


def test_labels_of_absent_files_are_named_in_a_warning(archive, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("1_patch.1.fits,1,C1.0\n" + "".join(f"gone{k}.fits,0,0\n" for k in range(9)))
    with pytest.warns(
        UserWarning, match=r"9 names that are not among the images: gone0.fits, .*, \.\.\."
    ) as caught:
        extract_function(archive / "**", tmp_path / "out", labels=labels, workers=1)
    assert caught[0].filename == __file__
    labels.write_text("gone.fits,1,C1.0\n")
    with pytest.raises(
        ValueError, match=r"names none of the 11 images: it has gone\.fits, the images are 1_patch"
    ):
        extract_function(archive / "**", tmp_path / "out", labels=labels, workers=1)


def test_new_labels_change_the_table(archive, tmp_path, small_parts):
    labels = tmp_path / "labels.csv"
    labels.write_text("2_patch.1.fits,0,0\n")
    with warnings.catch_warnings():
        first = extract_function(archive / "**", tmp_path / "out", labels=labels, workers=1)
    labels.write_text("2_patch.1.fits,1,X9.3\n")
    second = extract_function(archive / "**", tmp_path / "out", labels=labels, workers=1)
    assert second.reused == 11 and first.rows == second.rows
    assert pd.read_parquet(second.table)["flare_class"].dropna().tolist() == ["X9.3"]


def test_published_labels_are_read(shared):
    import gzip

    packed = shared / "golden/labels_2014_C1.0_24h.csv.gz"
    text = gzip.decompress(packed.read_bytes()).decode()
    names = [line.partition(",")[0] for line in text.splitlines()]
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        labels = labels_of(Path(folder), text)
    assert list(labels) == names and sum(label.class_label for label in labels.values()) == 1576


# -- command line ------------------------------------------------------------------


def test_command_makes_the_tables_and_says_what_failed(archive, tmp_path, capsys):
    output = tmp_path / "out"
    labels = tmp_path / "labels.csv"
    labels.write_text("1_patch.1.fits,1,C1.0\ngone.fits,0,0\n")
    command = ["features", str(archive / "**"), "-o", str(output), "--workers", "1"]
    assert cli.main([*command, "--labels", str(labels), "--quiet"]) == cli.OK
    out, err = capsys.readouterr()
    assert "11 rows in" in out and "1 names that are not among the images: gone.fits" in err
    (archive / "bad.fits").write_bytes(b"")
    assert cli.main(command) == cli.INCOMPLETE
    out, err = capsys.readouterr()
    assert "11 rows in" in out and "1 files have no features; see" in err
    assert cli.main(["features", str(tmp_path / "none")]) == cli.FAILED
    assert "no such file or folder" in capsys.readouterr().err


def test_reasons_name_the_options_of_the_command_line_and_of_python(archive, tmp_path):
    fits.PrimaryHDU(np.where(np.eye(48) > 0, np.nan, field(1))).writeto(archive / "nan.fits")
    Image.fromarray(np.full((20, 20), 9, np.uint16)).save(archive / "deep.png")
    command = ["features", str(archive / "**"), "-o", str(tmp_path / "out"), "--workers", "1", "--quiet"]
    assert cli.main(command) == cli.INCOMPLETE
    reasons = (tmp_path / "out/errors.csv").read_text()
    assert "nan_policy='zero', on the command line --nan zero" in reasons
    assert "give zero (--zero)" in reasons
    assert cli.main([*command, "--nan", "zero", "--zero", "0"]) == cli.OK


# -- SHARP keywords ----------------------------------------------------------------


def write_sharp(folder, number, minute, seed, without=()):
    """The segments of a patch at one time."""
    rng = np.random.default_rng(seed)
    start = folder / f"hmi.sharp_cea_720s.{number}.20110215_02{minute:02}00_TAI"
    header = fits.Header(
        {"CTYPE1": "CRLN-CEA", "CTYPE2": "CRLT-CEA", "CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": 0.03,
         "CDELT2": 0.03, "CRPIX1": 10.0, "CRPIX2": 10.0, "CRVAL1": 30.0, "CRVAL2": -20.0, "DSUN_OBS": 1.477e11,
         "RSUN_OBS": 971.67, "RSUN_REF": 6.96e8, "T_REC": f"2011.02.15_02:{minute:02}:00_TAI",
         "HARPNUM": number, "NOAA_AR": 11158 if number == 377 else 0}
    )  # fmt: skip
    for segment in ("Br", "Bt", "Bp", "bitmap", "conf_disambig", "magnetogram"):
        pixels = np.full((20, 24), 90.0) if segment in ("bitmap", "conf_disambig") else field(seed, 24)[:20]
        if segment not in without:
            fits.PrimaryHDU(pixels + rng.normal(0, 1, pixels.shape), header).writeto(
                f"{start}.{segment}.fits"
            )
    return start


@pytest.fixture
def sharps(tmp_path):
    folder = tmp_path / "sharps"
    folder.mkdir()
    starts = [write_sharp(folder, 377, 0, 1), write_sharp(folder, 377, 12, 2), write_sharp(folder, 401, 0, 3)]
    fits.PrimaryHDU(field(4)).writeto(folder / "other.fits")
    return starts


def test_sharps_are_grouped_by_patch_and_time(sharps, tmp_path, small_parts):
    made = extract_function(sharps[0].parent, tmp_path / "out", feature_set="sharp", workers=1)
    assert (made.rows, made.failed) == (3, 0)
    table = pd.read_parquet(made.table)
    assert table["file"].tolist() == [start.as_posix() for start in sharps]
    assert table["region"].tolist()[:2] == [11158, 11158] and pd.isna(table["region"][2])
    assert table["harpnum"].tolist() == [377, 377, 401]
    assert table["time"].astype(str).tolist()[1] == "2011-02-15 02:11:26"  # 02:12:00 TAI
    for start, row in zip(sharps, table.to_dict("records"), strict=True):
        for name, value in features.sharp_keywords(start).as_row().items():
            assert row[name] == value or (np.isnan(value) and np.isnan(row[name]))
    read = pd.read_csv(made.csv)
    assert list(read.columns) == list(table.columns)
    # Old releases of pandas are off by one in the last place when they read CSV.
    assert read["USFLUX"].tolist() == pytest.approx(table["USFLUX"].tolist(), rel=1e-15)


def test_sharps_on_two_workers_and_one_give_the_same_bytes_and_nothing_is_measured_twice(sharps, tmp_path):
    folder = sharps[0].parent
    one = extract_function(folder, tmp_path / "one", feature_set="sharp", workers=1)
    two = extract_function(folder, tmp_path / "two", feature_set="sharp", workers=2)
    assert content(one.table.parent) == content(two.table.parent)
    assert extract_function(folder, tmp_path / "one", feature_set="sharp", workers=1).reused == 3
    os.utime(f"{sharps[1]}.Bt.fits")
    made = extract_function(folder, tmp_path / "one", feature_set="sharp", workers=1)
    assert made.reused == 2 and content(one.table.parent) == content(two.table.parent) | {
        name: data for name, data in content(one.table.parent).items() if name.endswith("parquet")
    }
    write_sharp(folder, 402, 0, 5)
    made = extract_function(folder, tmp_path / "one", feature_set="sharp", workers=1)
    assert (made.rows, made.reused) == (4, 3)  # regions without a number come back from the parts, too
    assert pd.read_parquet(made.table)["region"].isna().tolist() == [False, False, True, True]


def test_bad_and_incomplete_sharps_cost_themselves_only(sharps, tmp_path):
    folder = sharps[0].parent
    write_sharp(folder, 500, 0, 6, without=("Bp",))
    (folder / f"{sharps[1].name}.Br.fits").write_bytes(b"")
    fits.setval(f"{sharps[2]}.Bt.fits", "HARPNUM", value=9)
    made = extract_function(folder, tmp_path / "out", feature_set="sharp", workers=1)
    assert (made.rows, made.failed) == (2, 2)
    reasons = errors(made)
    assert "empty" in reasons[sharps[1].name] and "one patch and time" in reasons[sharps[2].name]
    table = pd.read_parquet(made.table)
    assert table["USFLUX"].notna().all() and table["TOTUSJZ"].isna().tolist() == [False, True]


def test_a_patch_of_which_no_keyword_can_be_made_is_an_error_with_the_reason(tmp_path):
    folder = tmp_path / "sharps"
    folder.mkdir()
    others = ("Bt", "Bp", "bitmap", "conf_disambig", "magnetogram")
    alone = write_sharp(folder, 7115, 0, 1, without=others)
    write_sharp(folder, 377, 0, 2)
    made = extract_function(folder, tmp_path / "out", feature_set="sharp", workers=1)
    assert (made.rows, made.failed) == (1, 1)
    assert "no keyword can be made" in errors(made)[alone.name] and "is missing" in errors(made)[alone.name]


@pytest.mark.parametrize("feature_set", ["complexity", "physical"])
def test_what_is_no_magnetogram_is_an_error_and_not_measured(tmp_path, feature_set):
    folder = tmp_path / "images"
    folder.mkdir()
    start = write_sharp(folder, 377, 0, 1)
    euv = fits.Header({"WAVELNTH": 171, "WAVEUNIT": "angstrom", "BUNIT": "G", "CDELT1": 0.6, "CDELT2": 0.6})
    fits.PrimaryHDU(field(3), euv).writeto(folder / "aia.fits")
    made = extract_function(folder, tmp_path / "out", feature_set=feature_set, workers=1)
    assert sorted(pd.read_parquet(made.table)["file"].str.rsplit(".", n=2).str[-2]) == ["Br", "magnetogram"]
    reasons = errors(made)
    assert len(reasons) == 5 and "in 171 angstrom and no magnetogram" in reasons["aia.fits"]
    assert "is the segment 'bitmap', no line-of-sight or radial field" in reasons[f"{start.name}.bitmap.fits"]
    measure = {"complexity": features.complexity, "physical": features.physical}[feature_set]
    for file in (f"{start}.bitmap.fits", folder / "aia.fits"):
        with pytest.raises(ValueError, match="give"):
            measure(file)


def test_another_set_does_not_replace_the_tables_of_the_first(archive, tmp_path):
    extract_function(archive / "**", tmp_path / "out", workers=1)
    before = content(tmp_path / "out")
    with pytest.raises(ArchiveError, match="holds the features of the set 'complexity'; choose a new folder"):
        extract_function(archive / "**", tmp_path / "out", feature_set="physical", workers=1)
    assert content(tmp_path / "out") == before


def test_options_of_the_other_set_and_archives_without_sharps_are_refused(archive, tmp_path):
    with pytest.raises(ValueError, match="must be one of complexity, physical, sharp, got 'text'"):
        extract_function(archive / "**", tmp_path / "out", feature_set="text")
    with pytest.raises(ValueError, match="zero and nan_policy are for the set 'complexity'"):
        extract_function(archive / "**", tmp_path / "out", feature_set="sharp", nan_policy="zero")
    with pytest.raises(FileNotFoundError, match="none of the 11 images is a segment of a SHARP"):
        extract_function(archive / "**", tmp_path / "out", feature_set="sharp")
    assert not (tmp_path / "out").exists()


def test_sharps_from_the_command_line(sharps, tmp_path, capsys):
    output = tmp_path / "out"
    labels = tmp_path / "labels.csv"
    labels.write_text(f"{sharps[0].name},1,M1.7\n")
    command = [
        "features",
        str(sharps[0].parent),
        "--set",
        "sharp",
        "-o",
        str(output),
        "--labels",
        str(labels),
    ]
    assert cli.main([*command, "--workers", "1", "-q"]) == 0
    assert pd.read_parquet(output / "features")["flare_class"].tolist()[0] == "M1.7"


# -- physical features ---------------------------------------------------------------


def write_patch(path, seed, **cards):
    header = fits.Header(
        {"CTYPE1": "CRLN-CEA", "CTYPE2": "CRLT-CEA", "CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": 0.03,
         "CDELT2": 0.03, "CRPIX1": 10.0, "CRPIX2": 10.0, "CRVAL1": 30.0, "CRVAL2": -20.0, "RSUN_REF": 6.96e8,
         **cards}
    )  # fmt: skip
    fits.PrimaryHDU(field(seed), header).writeto(path)


@pytest.fixture
def patches(tmp_path):
    """One with a published name, one whose header tells region and time, one that tells neither."""
    folder = tmp_path / "patches"
    folder.mkdir()
    write_patch(folder / "1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits", 1)
    write_patch(folder / "a.fits", 2, **{"NOAA_AR": 11160, "DATE-OBS": "2011-02-16T00:00:00"})
    write_patch(folder / "b.fits", 3)
    fits.PrimaryHDU(field(4)).writeto(folder / "no_scale.fits")
    Image.fromarray((field(7) / 10 + 128).astype(np.uint8)).save(folder / "picture.png")
    return folder


def test_physical_features_of_an_archive_have_region_time_and_units(patches, tmp_path, small_parts):
    command = ["features", str(patches), "--set", "physical", "--workers", "1"]
    assert cli.main([*command, "-o", str(tmp_path / "out")]) == 3
    table = pd.read_parquet(tmp_path / "out" / "features")
    assert table["region"].fillna(0).tolist() == [11158, 11160, 0]
    times = table["time"].astype(str).tolist()[:2]
    assert times == ["2011-02-15 01:59:26", "2011-02-16 00:00:00"] and pd.isna(table["time"][2])
    for row in table.to_dict("records"):
        expected = features.physical(row["file"])
        assert {name: row[name] for name in expected.as_row()} == expected.as_row()
        assert row["nan_pixels"] == expected.nan_pixels
    assert list(pd.read_csv(tmp_path / "out" / "features.csv").columns) == list(table.columns)
    reasons = pd.read_csv(tmp_path / "out" / "errors.csv").set_index("file")["reason"]
    assert len(reasons) == 2 and "a picture has no gauss" in reasons[(patches / "picture.png").as_posix()]
    schema = pq.read_schema(tmp_path / "out" / "features" / "part-000000.parquet")
    for name, unit in features.PHYSICAL_UNITS.items():
        (field,) = (one for one in schema if one.name == name or one.name.startswith(f"{name}_"))
        assert u.Unit(field.metadata[b"unit"].decode()) == unit


def test_complexity_features_have_region_harp_and_time_beside_them(patches, tmp_path):
    write_patch(patches / "c.fits", 5, HARPNUM=377, T_OBS="2011.02.17_00:00:34_TAI")
    write_patch(
        patches / "d.fits", 6, **{"NOAA_AR": "none", "TIMESYS": "LOCAL", "DATE-OBS": "2011-02-17T00:00:00"}
    )
    made = extract_function(patches, tmp_path / "out", workers=1)
    assert made.failed == 0
    table = pd.read_parquet(made.table).assign(name=lambda t: t["file"].str.rpartition("/")[2])
    table = table.set_index("name")
    assert list(table.columns[:4]) == ["file", "region", "harpnum", "time"]
    assert table["region"].dropna().astype(int).to_dict() == {
        "1158_hmi.M_720s.20110215_020000_TAI.1.magnetogram.fits": 11158, "a.fits": 11160
    }  # fmt: skip
    assert table["harpnum"].dropna().to_dict() == {"c.fits": 377}
    times = table["time"].dropna().astype(str).tolist()
    assert times == ["2011-02-15 01:59:26", "2011-02-16 00:00:00", "2011-02-17 00:00:00"]
    with open(made.csv, newline="") as file:  # that layout is the publication's
        assert {len(row) for row in csv.reader(file)} == {32}
    again = extract_function(patches, tmp_path / "out", workers=1)
    assert again.reused == made.rows and pd.read_parquet(again.table).equals(pd.read_parquet(made.table))


def test_parts_of_an_earlier_version_with_other_columns_are_measured_again(patches, tmp_path, monkeypatch):
    whole = dict(_measure.COLUMNS["physical"])
    fewer = {name: kind for name, kind in whole.items() if name != "harpnum"}
    measure = _measure.measure_physical

    def older(path):
        found = measure(path)
        return found._replace(values=found.values[:8] + found.values[16:])

    with monkeypatch.context() as patch:
        patch.setitem(_measure.COLUMNS, "physical", fewer)
        patch.setattr(extract_module, "measure_physical", older)
        old = extract_function(patches, tmp_path / "out", feature_set="physical", workers=1)
        assert "harpnum" not in pd.read_parquet(old.table)
    new = extract_function(patches, tmp_path / "out", feature_set="physical", workers=1)
    assert new.reused == 0 and "harpnum" in pd.read_parquet(new.table)


@pytest.mark.parametrize("kind", ["physical", "sharp"])
def test_a_row_of_units_in_the_csv_file_on_request(patches, sharps, tmp_path, kind):
    source = sharps[0].parent if kind == "sharp" else patches
    command = ["features", str(source), "--set", kind, "--workers", "1", "-q", "-o", str(tmp_path / "out")]
    assert cli.main(command) in (0, 3)
    plain = (tmp_path / "out/features.csv").read_text()
    assert cli.main([*command, "--units-row"]) in (0, 3)
    header, units, *rows = (tmp_path / "out/features.csv").read_text().splitlines()
    assert list(csv.reader([header, *rows])) == list(csv.reader(plain.splitlines()))
    found = dict(zip(header.split(","), units.split(","), strict=True))
    name, unit = {"physical": ("flux_net_Mx", "Mx"), "sharp": ("USFLUX", "Mx")}[kind]
    assert found["file"] == "# unit" and found[name] == unit and found["region"] == ""
    read = read_csv(tmp_path / "out/features.csv", numbers=True)
    assert read[name].dtype == np.float64 and read.attrs["units"][name] == unit


def test_the_published_layout_has_no_row_of_units(patches, tmp_path, capsys):
    with pytest.raises(ValueError, match="units_row needs a CSV file with a header"):
        extract_function(patches, tmp_path / "out", units_row=True)
    assert cli.main(["features", str(patches), "--units-row", "-o", str(tmp_path / "out")]) == 1
    assert "which the published layout has not" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_physical_features_are_measured_once(patches, tmp_path):
    first = extract_function(patches, tmp_path / "out", feature_set="physical", workers=1)
    before = content(tmp_path / "out")
    again = extract_function(patches, tmp_path / "out", feature_set="physical", workers=1)
    assert (first.rows, first.failed, again.reused) == (3, 2, 5) and content(tmp_path / "out") == before
    with pytest.raises(ValueError, match="zero and nan_policy are for the set 'complexity'"):
        extract_function(patches, tmp_path / "out", feature_set="physical", zero=1.0)


def test_region_and_time_are_those_that_the_whole_header_gives(tmp_path):
    """Of an image in the first place, after an empty one, compressed, gzipped, and after a table."""
    cards = fits.Header({"NOAA_AR": 11158, "HARPNUM": 377, "DATE-OBS": "2011-02-15T01:58:12.3"})
    pixels = field(1)
    image = fits.ImageHDU(pixels, cards)
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))])
    compressed = fits.CompImageHDU(pixels, cards)
    fits.PrimaryHDU(pixels, cards).writeto(tmp_path / "first.fits")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / "second.fits")
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(tmp_path / "compressed.fits")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / "gzipped.fits.gz")
    fits.HDUList([fits.PrimaryHDU(), table, image]).writeto(tmp_path / "third.fits")
    made = extract_function(tmp_path, tmp_path / "out", workers=1)
    found = pd.read_parquet(made.table)
    assert len(found) == 5 and set(found["region"]) == {11158} and set(found["harpnum"]) == {377}
    assert set(found["time"]) == {pd.Timestamp("2011-02-15T01:58:12.3")}


def test_a_magnetograph_that_gives_its_wavelength_in_nanometres_is_measured(tmp_path):
    fits.PrimaryHDU(field(3), fits.Header({"WAVELNTH": 617.3})).writeto(tmp_path / "m.fits")
    assert features.complexity(tmp_path / "m.fits") == features.complexity(field(3))
