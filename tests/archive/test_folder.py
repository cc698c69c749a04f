"""The folder of a run: only its own files are touched, and damage to it is mended or said."""

import functools
import json
import os
import shutil
import subprocess

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from brightest import Brightest
from solartrack import archive, features, images, tracking
from solartrack.archive import _follow, tracks
from solartrack.archive import features as archive_features
from solartrack.errors import ArchiveError

track_archive = functools.partial(archive.track_archive, tracker="rotation", workers=0)
extract = functools.partial(features.extract, workers=1)


@pytest.fixture
def run(serial, tmp_path):
    """A finished run for tracks."""
    folder = tmp_path / "run"
    shutil.copytree(serial, folder, copy_function=shutil.copy2)
    return folder


@pytest.fixture
def followed(monkeypatch):
    """Numbers of the events that are followed."""
    numbers, follow = [], _follow.follow
    monkeypatch.setattr(_follow, "follow", lambda job: numbers.append(job.event.number) or follow(job))
    return numbers


@pytest.fixture
def patches(tmp_path, monkeypatch):
    """Ten patches, in parts of four."""
    monkeypatch.setattr(archive_features, "_PART", 4)
    folder = tmp_path / "patches"
    folder.mkdir()
    for k in range(10):
        fits.PrimaryHDU(np.random.default_rng(k).normal(0, 200, (20, 20))).writeto(folder / f"{k}.fits")
    return folder


def content(folder):
    """All that is in it, without the lock and the manifest of tracks with its times."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    if (folder / "tracks").exists():
        files.remove(folder / "manifest.json")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


# -- files of others ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["features/part-000001.parquet", "features/part-00000-abc.snappy.parquet", "features.csv", "errors.csv", "notes.txt"]
)  # fmt: skip
def test_somebodys_files_in_the_output_of_extract_are_an_error_before_the_start(patches, tmp_path, name):
    output = tmp_path / "out"
    (output / name).parent.mkdir(parents=True)
    if name.endswith(".parquet"):
        pd.DataFrame({"mine": [1, 2]}).to_parquet(output / name)
    else:
        (output / name).write_text("mine")
    before = content(output)
    with pytest.raises(ArchiveError, match=r"holds other files \(.*choose a new folder"):
        extract(patches, output)
    assert content(output) == before and not (output / ".lock").exists()


def test_hidden_files_of_others_stay(store, catalogue, patches, tmp_path):
    for job, output in (("tracks", tmp_path / "t"), ("features", tmp_path / "f")):
        output.mkdir()
        (output / ".part-of-my-thesis").write_text("precious")
        go = (
            (lambda o: track_archive(catalogue, store, o))
            if job == "tracks"
            else (lambda o: extract(patches, o))
        )
        go(output)
        for name in (".old-thesis", ".old-1-part-of-it", ".part-000000.parquet"):
            (output / job / name).write_text("precious")
        next((output / job).glob("part-*")).unlink()
        go(output)
        assert (output / ".part-of-my-thesis").read_text() == "precious"
        assert all(
            (output / job / n).read_text() == "precious"
            for n in (".old-thesis", ".old-1-part-of-it", ".part-000000.parquet")
        )


def test_a_stray_file_among_the_units_is_named(store, catalogue, run, patches, tmp_path):
    shutil.copy(run / "tracks/part-000000.parquet", run / "tracks/part-000500.parquet")
    before = content(run)
    with pytest.raises(ArchiveError, match=r"part-000500.parquet was not made by this run, .*; move it away"):
        track_archive(catalogue, store, run)
    assert content(run) == before
    extract(patches, tmp_path / "out")
    (tmp_path / "out/features/more.parquet").write_text("mine")
    with pytest.raises(ArchiveError, match=r"more.parquet was not made by this run"):
        extract(patches, tmp_path / "out")


def test_a_folder_in_the_place_of_a_unit_is_named(store, catalogue, run):
    (run / "tracks/part-000003.parquet").unlink()
    (run / "tracks/part-000003.parquet").mkdir()
    with pytest.raises(ArchiveError, match=r"part-000003.parquet was not made by this run"):
        track_archive(catalogue, store, run)


def test_the_folder_of_the_other_job_is_refused(store, catalogue, run, patches, tmp_path):
    with pytest.raises(ArchiveError, match="holds a run for tracks, not for features"):
        extract(patches, run)
    extract(patches, tmp_path / "out")
    with pytest.raises(ArchiveError, match="holds a run for features, not for tracks"):
        track_archive(catalogue, store, tmp_path / "out")


# -- damage ------------------------------------------------------------------------


@pytest.mark.parametrize("left", [b"", bytes(512)])
def test_a_manifest_that_a_power_failure_emptied_costs_nothing(
    store, catalogue, serial, run, patches, tmp_path, followed, left
):
    (run / "manifest.json").write_bytes(left)
    counts = track_archive(catalogue, store, run)["counts"]
    assert counts["tracked"] == len(catalogue) and followed == [] and content(run) == content(serial)
    extract(patches, tmp_path / "out")
    before = content(tmp_path / "out")
    (tmp_path / "out/manifest.json").write_bytes(left)
    assert extract(patches, tmp_path / "out").reused == 10 and content(tmp_path / "out") == before


def test_with_an_emptied_manifest_what_belongs_to_other_settings_is_made_anew(
    store, catalogue, run, tmp_path, followed
):
    (run / "manifest.json").write_bytes(b"")
    track_archive(catalogue, store, run, duration="1d")
    assert followed == list(range(len(catalogue)))
    track_archive(catalogue, store, tmp_path / "anew", duration="1d")
    assert content(run) == content(tmp_path / "anew")


@pytest.mark.parametrize("text", ["[1]", "{}", "not JSON", '{"index": 5'])
def test_a_manifest_that_is_none_says_how_to_go_on(store, catalogue, run, patches, text):
    (run / "manifest.json").write_text(text)
    for go in (lambda: track_archive(catalogue, store, run), lambda: extract(patches, run)):
        with pytest.raises(ArchiveError, match=r"is not the manifest .* empty it and start again"):
            go()


def test_an_index_that_is_damaged_or_gone_is_made_again(store, catalogue, serial, run, followed):
    index = run / "index.parquet"
    for damage in (lambda: index.write_bytes(b""), lambda: index.write_bytes(b"PAR1"), index.unlink):
        damage()
        track_archive(catalogue, store, run)
        assert content(run) == content(serial) and followed == []
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"index": 5}))
    track_archive(catalogue, store, run)
    assert content(run) == content(serial)


def test_an_index_that_is_gone_is_not_replaced_by_that_of_other_images(store, catalogue, run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store, copy, copy_function=shutil.copy2)
    track_archive(catalogue, copy, tmp_path / "other")
    (tmp_path / "other/index.parquet").unlink()
    (copy / "frame_0011.fits").unlink()
    with pytest.raises(ArchiveError, match=r"index.parquet is lost, and the images found now are not those"):
        track_archive(catalogue, copy, tmp_path / "other")


def test_a_unit_that_belongs_to_another_event_is_made_again(store, catalogue, serial, run, followed):
    shutil.copy(run / "tracks/part-000004.parquet", run / "tracks/part-000003.parquet")
    track_archive(catalogue, store, run)
    assert followed == [3] and content(run) == content(serial)


# -- images that change ------------------------------------------------------------


@pytest.mark.parametrize("tracker", ["rotation", "pixels"])
def test_a_repaired_image_is_read_again_and_so_are_the_events_that_need_it(
    store, catalogue, tmp_path, followed, tracker
):
    made = Brightest() if tracker == "pixels" else "rotation"
    copy, output = tmp_path / "copy", tmp_path / "run"
    shutil.copytree(store, copy, copy_function=shutil.copy2)
    bad = copy / "frame_0005.fits"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:3000])
    assert track_archive(catalogue, copy, output, tracker=made)["counts"]["errors"] > 0
    followed.clear()
    bad.write_bytes(whole)
    assert track_archive(catalogue, copy, output, tracker=made)["counts"]["errors"] == 0
    assert followed and len(pd.read_parquet(output / "errors.parquet")) == 0
    track_archive(catalogue, copy, tmp_path / "anew", tracker=made)
    assert content(output) == content(tmp_path / "anew")
    followed.clear()
    track_archive(catalogue, copy, output, tracker=made)
    assert followed == []


def test_an_event_whose_images_can_no_longer_be_used_has_no_track_of_them(store, catalogue, tmp_path):
    copy, output = tmp_path / "copy", tmp_path / "run"
    shutil.copytree(store, copy, copy_function=shutil.copy2)
    assert track_archive(catalogue, copy, output, tolerance="1h")["counts"]["failed"] == 0
    (copy / "frame_0000.fits").write_bytes(b"no")
    counts = track_archive(catalogue, copy, output, tolerance="1h")["counts"]
    track_archive(catalogue, copy, tmp_path / "anew", tolerance="1h")
    assert 0 < counts["tracked"] < len(catalogue) and content(output) == content(tmp_path / "anew")


def test_an_event_added_to_the_catalogue_is_the_only_one_followed(
    store, catalogue, serial, tmp_path, followed
):
    less, more = catalogue.drop(index=[2, 5]), catalogue
    track_archive(less, store, tmp_path / "run")
    followed.clear()
    with pytest.warns(UserWarning, match=r"events 2 added \(AR.*\); they are followed now"):
        track_archive(more, store, tmp_path / "run")
    assert followed == [2, 5] and content(tmp_path / "run") == content(serial)
    moved = catalogue.assign(x0=catalogue["x0"] - np.where(catalogue.index == 3, 0.5, 0))
    followed.clear()
    with pytest.warns(UserWarning, match=r"events 1 changed"):
        track_archive(moved, store, tmp_path / "run")
    assert followed == [3]


def test_images_that_have_come_are_taken_in_and_only_the_events_that_they_change_are_followed(
    store, catalogue, serial, tmp_path, followed
):
    files = sorted(store.glob("*.fits"))
    early = catalogue.assign(duration="8h")
    run, anew = tmp_path / "run", tmp_path / "anew"
    track_archive(early, files[:-1], run, tolerance="1h")
    followed.clear()
    with pytest.warns(UserWarning, match=r"images has 1 paths more \(.*frame_0011.fits\)"):
        track_archive(early, files, run, tolerance="1h")
    assert followed == [11]  # the only event that lasts until then
    track_archive(early, files, anew, tolerance="1h")
    assert content(run) == content(anew)
    # In the middle: the frames after it have other numbers.
    track_archive(early, files[:4] + files[5:], tmp_path / "gap", tolerance="1h")
    followed.clear()
    with pytest.warns(UserWarning, match="images has 1 paths more"):
        track_archive(early, files[::-1], tmp_path / "gap", tolerance="1h")
    assert followed and content(tmp_path / "gap") == content(anew)


def test_a_run_that_is_killed_while_it_takes_in_images_takes_them_in_the_next_time(
    store, catalogue, tmp_path, monkeypatch
):
    files = sorted(store.glob("*.fits"))
    run, anew = tmp_path / "run", tmp_path / "anew"
    track_archive(catalogue, files[:-3], run)
    for where in ("image_index", "follow_all"):  # before the index is written, and after it
        with monkeypatch.context() as patch, pytest.warns(UserWarning, match="images has"):
            patch.setattr(tracks, where, None)
            with pytest.raises(TypeError):
                track_archive(catalogue, files[: None if where == "follow_all" else -1], run)
    track_archive(catalogue, files, run)
    track_archive(catalogue, files, anew)
    assert content(run) == content(anew)


def test_images_that_have_gone_are_another_run_and_named(store, catalogue, tmp_path):
    files = sorted(store.glob("*.fits"))
    track_archive(catalogue, files, tmp_path / "run")
    before = content(tmp_path / "run")
    with pytest.raises(
        ArchiveError,
        match=r"images was 12 paths \(\S+_0000.fits, \S+, \S+, ...\), is 11 .*, "
        r"lacks 1 of them \(\S+_0005.fits\); put back what is lacking, or choose a new folder",
    ):
        track_archive(catalogue, files[:5] + files[6:], tmp_path / "run")
    assert content(tmp_path / "run") == before


@pytest.mark.parametrize("part", ["zeros", "one bit"])
def test_a_unit_whose_rows_are_damaged_is_made_again(store, catalogue, serial, run, followed, part):
    path = run / "tracks/part-000003.parquet"
    data = bytearray(path.read_bytes())
    place = pq.read_metadata(path).row_group(0).column(9)
    start, size = place.data_page_offset, place.total_compressed_size
    if part == "zeros":
        data[start : start + size] = bytes(size)
    else:
        data[start + size - 1] ^= 1  # no decoder notices
    path.write_bytes(data)  # its note, at the end, is whole
    track_archive(catalogue, store, run)
    assert followed == [3] and content(run) == content(serial)


def test_a_start_without_images_writes_nothing_that_refuses_the_next(store, catalogue, tmp_path):
    (tmp_path / "deep").mkdir()
    shutil.copytree(store, tmp_path / "deep/day", copy_function=shutil.copy2)
    with pytest.raises(ArchiveError, match=r"12 images are in subfolders: use '.*deep/\*\*'"):
        track_archive(catalogue, tmp_path / "deep", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "no").mkdir()
    (tmp_path / "no/a.png").write_bytes(b"")
    with pytest.raises(ArchiveError, match="none of 1 images has a time"):
        track_archive(catalogue, tmp_path / "no", tmp_path / "run")
    assert track_archive(catalogue, tmp_path / "deep/**", tmp_path / "run")["counts"]["failed"] == 0


# Worker processes, and they only, die when they open a file of this name.
CRASH = """
import os
from astropy.io import fits
open_ = fits.open
fits.open = lambda path, *a, **k: os._exit(7) if "deadly" in str(path) else open_(path, *a, **k)
"""


@pytest.fixture
def crashing_decoder(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)


def test_an_image_that_ends_its_worker_costs_itself_by_name_and_no_event(
    store, catalogue, tmp_path, crashing_decoder
):
    copy = tmp_path / "copy"
    shutil.copytree(store, copy, copy_function=shutil.copy2)
    deadly = (copy / "frame_0002.fits").rename(copy / "frame_0002_deadly.fits")
    track_archive(catalogue, copy, tmp_path / "run", tracker=Brightest(), workers=2)
    rows = pd.read_parquet(tmp_path / "run/tracks").set_index("file")
    bad, good = rows.loc[str(deadly)], rows.drop(str(deadly))
    assert (bad["state"] == "unreadable").all() and bad["message"].str.contains("died, twice").all()
    assert set(pd.read_parquet(tmp_path / "run/errors.parquet")["file"]) == {str(deadly)}
    assert set(good["event"]) == set(catalogue["event"]) and not good["state"].isin(tracking.UNUSABLE).any()


def test_a_patch_that_ends_its_worker_is_a_row_of_the_errors_by_name(patches, tmp_path, crashing_decoder):
    (patches / "5.fits").rename(patches / "5_deadly.fits")
    made = extract(patches, tmp_path / "out", workers=2)
    assert (made.rows, made.failed) == (9, 1)
    errors = pd.read_csv(made.errors)
    assert errors["file"].tolist() == [str(patches / "5_deadly.fits")] and "died" in errors["reason"][0]


def test_an_image_replaced_by_one_of_another_day_is_seen(store, catalogue, tmp_path, followed):
    copy, output = tmp_path / "copy", tmp_path / "run"
    shutil.copytree(store, copy, copy_function=shutil.copy2)
    early = catalogue.iloc[:2].assign(duration="4h", event=["a", "b"])
    track_archive(early, copy, output, tolerance="1h")
    with fits.open(copy / "frame_0011.fits", mode="update") as hdus:  # no event needs it
        hdus[-1].header["DATE-OBS"] = "2015-01-01T00:00:00"
    followed.clear()
    track_archive(early, copy, output, tolerance="1h")
    assert followed == []
    assert pd.read_parquet(output / "index.parquet")["time"].max().year == 2015


def test_a_broken_image_named_after_a_leap_second_costs_only_itself(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    from solartrack import simulate

    simulate.write(folder, simulate.sequence(5, 2, "4h", size=64))
    (folder / "2012_06_30__23_59_60_62__SDO_AIA_AIA_171.jp2").write_bytes(b"x")
    truth = pd.read_csv(folder / "truth.csv").head(1).assign(event="a")
    assert track_archive(truth, folder, tmp_path / "run")["counts"]["tracked"] == 1


def test_a_file_name_that_is_not_utf8_costs_only_itself(store, catalogue, patches, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    odd = os.fsencode(str(copy)) + b"/b_\xe9.fits"
    shutil.copy(os.fsencode(str(copy / "frame_0003.fits")), odd)
    try:
        images.read_header(os.fsdecode(odd))
    except UnicodeEncodeError:
        pytest.skip("the file system knows UTF-8 only")
    counts = track_archive(catalogue, copy, tmp_path / "run")["counts"]
    assert (counts["tracked"], counts["errors"]) == (len(catalogue), 1)
    error = pd.read_parquet(tmp_path / "run/errors.parquet").iloc[0]
    assert error["file"].endswith(r"b_\xe9.fits") and "not UTF-8; rename" in error["reason"]
    os.rename(patches / "3.fits", os.fsencode(str(patches)) + b"/\xe9.fits")
    made = extract(patches, tmp_path / "out")
    assert (made.rows, made.failed) == (
        9,
        1,
    ) and r"\xe9.fits,the file name is not UTF-8" in made.errors.read_text()
    fits.PrimaryHDU(np.eye(20)).writeto(patches / "00.fits")  # parts shift
    assert extract(patches, tmp_path / "out").reused == 10


# -- extract -----------------------------------------------------------------------


def test_a_run_of_an_earlier_version_is_continued(patches, tmp_path):
    """Version 0.1.0 made the same files, but no manifest and no lock."""
    output = tmp_path / "out"
    extract(patches, output)
    before = content(output)
    for name in ("manifest.json", ".lock"):
        (output / name).unlink()
    (output / "features/part-000001.parquet").unlink()
    assert extract(patches, output).reused == 6 and content(output) == before


def test_a_part_whose_rows_are_damaged_is_named(patches, tmp_path):
    made = extract(patches, tmp_path / "out")
    part = made.table / "part-000001.parquet"
    data = part.read_bytes()
    part.write_bytes(data[:4] + bytes(2000) + data[2004:])  # what it says of itself is at its end
    with pytest.raises(ArchiveError, match=r"part-000001.parquet is damaged .*delete it and start again"):
        extract(patches, tmp_path / "out")
    place = pq.read_metadata(made.table / "part-000000.parquet").row_group(0).column(3)
    flipped = bytearray(data)
    flipped[place.data_page_offset + place.total_compressed_size - 1] ^= 1
    part.write_bytes(flipped)
    with pytest.raises(ArchiveError, match=r"part-000001.parquet is damaged .*delete it and start again"):
        extract(patches, tmp_path / "out")
    part.unlink()
    assert extract(patches, tmp_path / "out").reused == 6 and part.read_bytes() == data


def test_a_folder_that_is_named_twice_counts_once(patches, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(patches)
    made = extract(["patches", str(patches), "patches/../patches/3.fits", "link"], "out")
    assert made.rows == 10
    assert pd.read_parquet(made.table)["file"].nunique() == 10


def test_a_dask_cluster_makes_the_same_bytes(
    store, catalogue, patches, tmp_path, threaded_cluster, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (patches / "bad.fits").write_bytes(b"")
    extract("patches", "here")
    made = features.extract("patches", "there", scheduler=threaded_cluster)
    assert (made.rows, made.failed) == (10, 1) and content(tmp_path / "there") == content(tmp_path / "here")
    with pytest.raises(ValueError, match="workers or scheduler, not both"):
        features.extract("patches", "there", workers=2, scheduler=threaded_cluster)
    # Several threads of a worker follow several events at once.
    track_archive(catalogue, store, "tracks-here", tracker="solar")
    archive.track_archive(catalogue, store, "tracks-there", tracker="solar", scheduler=threaded_cluster)
    assert content(tmp_path / "tracks-there") == content(tmp_path / "tracks-here")


# -- a full disk -------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """Gives the mount point of a file system and a function to change its size."""
    home = tmp_path / "disk"
    home.mkdir()

    def mount(size, *options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}"]), "tmpfs", str(home)],
                       check=True, capture_output=True)  # fmt: skip

    try:
        mount("100k")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems can be mounted by root only")
    yield home, functools.partial(mount, "8m", "remount")
    subprocess.run(["umount", str(home)], check=True)


@pytest.mark.parametrize("job", ["tracks", "features"])
def test_a_full_disk_is_said_and_nothing_that_was_finished_is_lost(
    store, catalogue, serial, patches, tmp_path, small_disk, monkeypatch, job
):
    home, enlarge = small_disk
    monkeypatch.setattr(archive_features, "_PART", 1)
    ballast = home / "ballast"

    def go(output):
        return track_archive(catalogue, store, output) if job == "tracks" else extract(patches, output)

    whole, output = tmp_path / "whole", home / "run"
    go(whole)
    ballast.write_bytes(bytes(16_000 if job == "tracks" else 0))
    with pytest.raises(OSError, match=r"No space left on device: '.*\.(parquet|json|csv)'"):
        go(output)
    done = {p: p.stat().st_ino for p in (output / job).glob("part-*")}
    assert 0 < len(done) < len(content(whole)) and not list(output.rglob("*solartrack-part*"))
    enlarge()
    go(output)
    assert content(output) == content(whole)
    assert {p: p.stat().st_ino for p in done} == done
