import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from another_model import another_model
from brightest import Brightest, Deadly, Local, Slow
from solartrack import _workers, archive, cli, images, sequence, tracking
from solartrack.archive import _catalogue, _follow
from solartrack.coordinates import LAWS
from solartrack.errors import ArchiveError
from solartrack.inference import Model, _load_once, find_model

BOX = ["x0", "y0", "x1", "y1"]
TESTS = Path(__file__).resolve().parents[1]
# What is tested here is the run; this tracker is the fastest.
track_archive = functools.partial(archive.track_archive, tracker="rotation")


def content(folder):
    """Name -> bytes of the data set."""
    files = [*sorted((folder / "tracks").iterdir()), folder / "errors.parquet", folder / "index.parquet"]
    return {path.name: path.read_bytes() for path in files}


def reasons(folder):
    return pd.read_parquet(folder / "errors.parquet")


def tracks(folder):
    return pd.read_parquet(folder / "tracks")


# -- what it makes -----------------------------------------------------------------


def test_every_track_is_that_of_the_library_from_the_nearest_image_on(store, catalogue, serial):
    table = tracks(serial)
    files = sorted(store.glob("*.fits"))
    assert list(dict.fromkeys(table["event"])) == catalogue["event"].tolist()
    for event in catalogue.iloc[::4].itertuples():
        start = [str(images.read_header(f)[1].utc.isot)[:19] for f in files].index(event.time[:19])
        box = [event.x0, event.y0, event.x1, event.y1]
        expected = tracking.track(files, box, start=start, tracker="rotation", both_ways=False)
        ours = table[table["event"] == event.event].drop(columns="event").reset_index(drop=True)
        for column in expected.columns:
            assert (
                ours[column].tolist() == pytest.approx(expected[column].tolist(), nan_ok=True, abs=1e-12)
                if (expected[column].dtype.kind == "f")
                else ours[column].tolist() == expected[column].tolist()
            ), column
        assert ours["days"][ours["state"] == "start"].tolist() == [0.0]
        assert table.attrs["settings"] == expected.attrs["settings"]


def test_every_file_of_tracks_has_the_units_and_the_settings_in_its_metadata(serial):
    files = sorted((serial / "tracks").glob("*.parquet"))
    told = [pd.read_parquet(file).attrs["settings"] for file in files]
    assert told[0]["law"] == list(LAWS["active regions"]) and all(one == told[0] for one in told)
    for file in files:
        schema = pq.read_schema(file)
        units = {field.name: field.metadata[b"unit"].decode() for field in schema if field.metadata}
        assert units == tracking.table.UNITS and "settings" not in schema.names
    assert tracking.read_track(files[0]).attrs["settings"] == told[0]


def test_files_of_an_earlier_version_with_other_columns_are_made_again(
    store, catalogue, tmp_path, monkeypatch
):
    def run():
        archive.track_archive(catalogue[:2], store, tmp_path / "run", tracker="rotation", workers=0)
        return sorted((tmp_path / "run/tracks").glob("*.parquet"))

    schema = _follow._SCHEMA
    monkeypatch.setattr(_follow, "_SCHEMA", schema.append(pa.field("of_old", pa.string())))
    assert all("of_old" in pq.read_schema(file).names for file in run())
    monkeypatch.setattr(_follow, "_SCHEMA", schema)
    assert all(pq.read_schema(file).names == schema.names for file in run())


def test_the_manifest_says_what_was_run(store, catalogue, serial):
    manifest = json.loads((serial / "manifest.json").read_text())
    assert manifest["state"] == "finished" and manifest["started"] <= manifest["finished"]
    assert manifest["tracker"] == {"name": "rotation", "settings": {"law": list(LAWS["active regions"])}}
    assert manifest["images"] == [str(store)] and len(manifest["catalogue"]["sha256"]) == 64
    assert manifest["index"]["images"] == manifest["index"]["with_time"] == 12
    n = len(catalogue)
    assert manifest["counts"] == {
        "events": n, "tracked": n, "failed": 0, "rows": len(tracks(serial)), "errors": 0
    }  # fmt: skip
    assert len(reasons(serial)) == 0 and list(reasons(serial)) == ["event", "file", "reason"]
    assert {p.name for p in serial.iterdir()} == {
        "manifest.json", "index.parquet", "tracks", "errors.parquet", ".lock"
    }  # fmt: skip


def test_nothing_is_decoded_for_the_rotation_tracker_and_headers_are_read_once(
    store, catalogue, serial, tmp_path, monkeypatch
):
    counted, read_header = [], images.read_header
    monkeypatch.setattr(images, "read", None)
    monkeypatch.setattr(images, "read_header", lambda p: counted.append(p) or read_header(p))
    track_archive(catalogue, store, tmp_path / "run", workers=0)
    assert content(tmp_path / "run") == content(serial) and len(counted) == 12


def test_boxes_in_arcsec_are_those_in_pixels(store, catalogue, serial, tmp_path):
    from solartrack import boxes
    from solartrack.coordinates import ImageGeometry

    files = sorted(store.glob("*.fits"))
    headers = {str(h["DATE-OBS"])[:19]: h for h, _ in map(images.read_header, files)}
    arcsec = [
        boxes.to_arcsec(row[BOX].to_numpy(float)[None], ImageGeometry.from_header(headers[row["time"][:19]]))[
            0
        ]
        for _, row in catalogue.iterrows()
    ]
    table = catalogue[["event", "time"]].copy()
    table[["tx0", "ty0", "tx1", "ty1"]] = arcsec
    table.to_parquet(tmp_path / "c.parquet")
    track_archive(tmp_path / "c.parquet", store, tmp_path / "run", workers=0)
    # A box in arcsec is no box in pixels; the one around it is a little larger.
    ours, theirs = tracks(tmp_path / "run"), tracks(serial)
    assert ours["frame"].tolist() == theirs["frame"].tolist()
    np.testing.assert_allclose(ours[BOX], theirs[BOX], atol=0.1)


def test_duration_end_and_direction_choose_the_images(store, catalogue, tmp_path):
    first, later = catalogue.iloc[0], catalogue[catalogue["event"].str.endswith("-4")].iloc[0]
    table = pd.DataFrame([first, first, first, later])
    table["event"] = ["a", "b", "c", "d"]
    table["duration"] = ["", "8h", None, "4h"]
    table["end"] = ["", "", first["time"].replace("T00:", "T13:"), None]
    track_archive(table, store, tmp_path / "run", workers=0, duration="16h", both_ways=True)
    frames = tracks(tmp_path / "run").groupby("event")["frame"].apply(list).to_dict()
    assert frames == {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2], "c": [0, 1, 2, 3], "d": [3, 4, 5]}


def test_pictures_with_times_in_their_names_need_only_the_disk(store, tmp_path):
    from solartrack.coordinates import ImageGeometry

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(4):
        name = f"2014_02_03__{4 * i:02}_00_00_00__SDO_AIA_AIA_171.png"
        Image.fromarray(np.full((64, 64), 50, np.uint8)).save(pictures / name)
    table = pd.DataFrame({"event": [7], "time": ["2014-02-03T00:10"], "x0": 20, "y0": 20, "x1": 28, "y1": 26})
    disk = ImageGeometry.from_disk((32, 32), 28)
    track_archive(table, pictures, tmp_path / "run", workers=0, geometry=disk)
    assert tracks(tmp_path / "run")["state"].tolist() == ["start", "tracked", "tracked", "tracked"]
    # Without it, nothing tells where the Sun is, and the event fails with that reason.
    counts = track_archive(table, pictures, tmp_path / "blind", workers=0)["counts"]
    assert counts["failed"] == 1 and "give the disk" in reasons(tmp_path / "blind")["reason"][0]


# -- where it is made --------------------------------------------------------------


def test_two_processes_make_the_same_bytes(store, catalogue, serial, tmp_path):
    catalogue.to_csv(tmp_path / "c.csv", index=False)
    counts = track_archive(tmp_path / "c.csv", store, tmp_path / "run", workers=2)["counts"]
    assert content(tmp_path / "run") == content(serial) and counts["tracked"] == len(catalogue)


def test_a_tracker_that_needs_pixels_makes_the_same_bytes_in_processes(store, catalogue, tmp_path):
    folders = [tmp_path / str(workers) for workers in (0, 2)]
    for folder, workers in zip(folders, (0, 2), strict=True):
        track_archive(catalogue, store, folder, tracker=Brightest(), workers=workers)
    assert content(folders[0]) == content(folders[1])
    assert (tracks(folders[0])["state"] == "tracked").sum() > 20


@pytest.fixture(scope="session")
def by_network(store, catalogue, tmp_path_factory):
    """A run with the default tracker: (its catalogue, its folder)."""
    few = catalogue.iloc[::4].reset_index(drop=True)
    folder = tmp_path_factory.mktemp("network") / "run"
    archive.track_archive(few, store, folder, workers=0)
    return few, folder


def test_the_default_tracker_makes_the_same_bytes_in_processes(store, by_network, tmp_path):
    few, expected = by_network
    archive.track_archive(few, store, tmp_path / "run", workers=2)
    assert content(tmp_path / "run") == content(expected)
    # An object goes to the processes as well as a name, and comes to the same.
    made = tracking.make_tracker("solar", model="goturn-lite")
    archive.track_archive(few, store, tmp_path / "made", tracker=made, workers=2)
    assert content(tmp_path / "made") == content(expected)
    assert (tracks(expected)["state"] == "tracked").sum() > 10
    assert _follow._tracker("solar").network.model.threads == 1  # the processes share the cores already


def test_another_model_is_another_run(store, by_network, tmp_path):
    few, folder = by_network
    manifest = json.loads((folder / "manifest.json").read_text())
    told = manifest["tracker"]["settings"]
    shipped = find_model("goturn-lite")
    assert told["model_sha256"] == Model.load(shipped, device="cpu").info.sha256
    before = content(folder)
    other = tracking.make_tracker("solar", model=another_model(shipped, tmp_path / "other.onnx"))
    assert other.settings()["model_sha256"] != told["model_sha256"]
    with pytest.raises(ArchiveError, match="holds another run: tracker was"):
        archive.track_archive(few, store, folder, tracker=other, workers=0)
    assert content(folder) == before


def test_a_worker_with_another_model_stops_the_run(store, catalogue, tmp_path):
    with pytest.raises(ArchiveError, match=r"the worker's tracker has the settings .*, the run needs"):
        track_archive(catalogue, store, tmp_path / "run", tracker=Local(), workers=1)
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["state"] == "interrupted"
    assert not list((tmp_path / "run" / "tracks").iterdir())


def test_without_onnxruntime_nothing_is_begun(store, catalogue, tmp_path, monkeypatch):
    _load_once.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"solartrack\[cpu\].*--tracker rotation"):
        archive.track_archive(catalogue, store, tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_a_dask_cluster_makes_the_same_bytes_and_a_lost_scheduler_loses_nothing(
    store, catalogue, serial, tmp_path, cluster
):
    address, process = cluster
    track_archive(catalogue, store, tmp_path / "run", scheduler=address)
    assert content(tmp_path / "run") == content(serial)

    slow, expected = tmp_path / "slow", tmp_path / "expected"
    track_archive(catalogue, store, expected, tracker=Slow(0.05), workers=0)

    def kill():
        while len(list((slow / "tracks").glob("part-*"))) < 3:
            time.sleep(0.01)
        process.kill()

    killer = threading.Thread(target=kill)
    slow.mkdir()
    killer.start()
    with pytest.raises(ArchiveError, match=r"scheduler at tcp://.* went away .* start again to go on"):
        track_archive(catalogue, store, slow, tracker=Slow(0.05), scheduler=address)
    killer.join()
    finished = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (slow / "tracks").glob("part-*")}
    assert 3 <= len(finished) < len(catalogue)
    assert json.loads((slow / "manifest.json").read_text())["state"] == "interrupted"
    track_archive(catalogue, store, slow, tracker=Slow(0.05), workers=0)
    assert content(slow) == content(expected)
    for name, mark in finished.items():
        stat = (slow / "tracks" / name).stat()
        assert (stat.st_ino, stat.st_mtime_ns) == mark


def test_no_scheduler_at_the_address_is_a_clear_error(store, catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr(_workers, "_CONNECT", "1s")
    with pytest.raises(ArchiveError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        track_archive(catalogue, store, tmp_path / "run", scheduler="tcp://127.0.0.1:9")


def test_a_scheduler_without_dask_names_the_extra(store, catalogue, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"Dask cluster needs 'dask\[distributed\]'.*solartrack\[archive\]"):
        track_archive(catalogue, store, tmp_path / "run", scheduler="tcp://127.0.0.1:9")


# -- interruptions -----------------------------------------------------------------

RUN = """
import sys
import pandas as pd
from brightest import Slow
from solartrack.archive import track_archive
if __name__ == "__main__":
    catalogue, store, output, workers = sys.argv[1:]
    track_archive(catalogue, store, output, tracker=Slow(0.01), workers=int(workers))
"""


def start(tmp_path, store, output, workers):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "c.csv"), str(store), str(output), str(workers)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def alive(group):
    """Processes of a session that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def test_killed_at_ten_random_moments_the_data_set_is_the_same_and_nothing_is_made_twice(
    store, catalogue, tmp_path
):
    expected, output = tmp_path / "expected", tmp_path / "run"
    again = [catalogue.assign(event=catalogue["event"] + suffix) for suffix in ("", "-b", "-c")]
    catalogue = pd.concat(again, ignore_index=True)
    catalogue.to_csv(tmp_path / "c.csv", index=False)
    track_archive(tmp_path / "c.csv", store, expected, tracker=Slow(0.01), workers=0)
    dice = random.Random(20140203)
    made, kills, worked = {}, 0, 0
    while kills < 10:
        process = start(tmp_path, store, output, 2 if kills % 4 == 1 else 0)
        # Some of the moments are before the first unit, one is anywhere else.
        goal = len(made) + dice.choice([0, 1, 2])
        pause = dice.uniform(0, 1.0) if goal == len(made) else dice.uniform(0, 0.1)
        while len(list((output / "tracks").glob("part-*"))) < min(goal, len(catalogue) - 1):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.002)
        time.sleep(pause)
        assert process.poll() is None, "it was done before its end came: too few events"
        process.kill()
        process.communicate()
        kills += 1
        now = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (output / "tracks").glob("part-*")}
        assert all(name in now and now[name] == mark for name, mark in made.items())
        worked += len(now) > len(made)
        made = now
        for name in made:  # complete, whenever it was
            assert (output / "tracks" / name).read_bytes() == (expected / "tracks" / name).read_bytes()
        end = time.monotonic() + 20
        while alive(process.pid):  # its workers have gone with it
            assert time.monotonic() < end
            time.sleep(0.05)
    assert worked >= 3
    track_archive(tmp_path / "c.csv", store, output, tracker=Slow(0.01), workers=0)
    assert content(output) == content(expected)
    for name, mark in made.items():
        stat = (output / "tracks" / name).stat()
        assert (stat.st_ino, stat.st_mtime_ns) == mark
    assert not list(output.rglob("*solartrack-part*"))


def test_ctrl_c_is_status_130_and_the_same_command_goes_on(store, catalogue, serial, tmp_path):
    catalogue.to_csv(tmp_path / "c.csv", index=False)
    arguments = [
        "track-archive",
        str(tmp_path / "c.csv"),
        "--images",
        str(store),
        "-o",
        str(tmp_path / "run"),
        "-q",
        "--tracker",
        "rotation",
    ]
    # Interrupts may be ignored here, and that is inherited, if the tests run in the background.
    heard = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = heard + "from solartrack.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--workers", "1"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((tmp_path / "run" / "tracks").glob("part-*")):
        assert process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    if process.returncode != 0:  # a fast machine may have been done
        assert process.returncode == 130 and "the same command goes on from here" in err
        assert json.loads((tmp_path / "run" / "manifest.json").read_text())["state"] == "interrupted"
    assert cli.main([*arguments, "--workers", "0"]) == 0
    assert content(tmp_path / "run") == content(serial)


def test_a_finished_run_is_not_run_again_and_a_deleted_unit_is(
    store, catalogue, serial, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    shutil.copytree(serial, folder, copy_function=shutil.copy2)
    (folder / "tracks" / "part-000002.parquet").unlink()
    (folder / "tracks" / "part-000003.parquet").write_bytes(b"PAR1")  # as after a power failure
    worked, follow = [], _follow.follow
    monkeypatch.setattr(_follow, "follow", lambda job: worked.append(job.event.number) or follow(job))
    track_archive(catalogue, store, folder, workers=0)
    assert worked == [2, 3] and content(folder) == content(serial)
    track_archive(catalogue, store, folder, workers=0)
    assert worked == [2, 3]


def test_a_process_that_dies_costs_only_the_event_that_kills_it(store, catalogue, tmp_path):
    left = catalogue["x0"].sort_values().iloc[1] - 1e-6  # one event is left of it
    deadly = catalogue.loc[catalogue["x0"].idxmin(), "event"]
    counts = track_archive(catalogue, store, tmp_path / "run", tracker=Deadly(left), workers=2)["counts"]
    assert (counts["failed"], counts["errors"]) == (1, 1)
    assert reasons(tmp_path / "run")["event"].tolist() == [deadly]
    assert "died, twice" in reasons(tmp_path / "run")["reason"][0]
    track_archive(catalogue, store, tmp_path / "expected", tracker=Brightest(), workers=0)
    expected = tracks(tmp_path / "expected")
    ours = tracks(tmp_path / "run")
    assert ours[BOX].equals(expected.loc[expected["event"] != deadly, BOX].reset_index(drop=True))


# -- bad images --------------------------------------------------------------------


@pytest.fixture
def copy(store, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(store, folder)
    return folder


def named_by_time(folder):
    """The same images under Helioviewer's names, so that a broken one still has a time."""
    for path in sorted(folder.glob("*.fits")):
        stamp = images.read_header(path)[1].utc.to_datetime()
        path.rename(folder / f"{stamp:%Y_%m_%d__%H_%M_%S}_00__SIM.fits")
    return sorted(folder.glob("*.fits"))


@pytest.mark.parametrize("tracker", ["rotation", "pixels"])
def test_a_broken_image_costs_only_its_rows(copy, catalogue, tmp_path, tracker):
    made = Brightest() if tracker == "pixels" else "rotation"
    files = named_by_time(copy)
    track_archive(catalogue, copy, tmp_path / "whole", tracker=made, workers=0)
    starts = set(catalogue["event"].str.partition("-")[2].astype(int))
    broken = [i for i in range(12) if i not in starts][-2:]
    files[broken[0]].write_bytes(b"<html>not found</html>")
    files[broken[1]].write_bytes(b"")
    track_archive(catalogue, copy, tmp_path / "run", tracker=made, workers=0)
    ours, whole = (tracks(tmp_path / name).drop(columns="message") for name in ("run", "whole"))
    bad = ours["frame"].isin(broken).to_numpy()
    assert bad.any() and (ours.loc[bad, "state"] == "unreadable").all()
    if tracker == "rotation":  # it looks at no other image
        pd.testing.assert_frame_equal(ours[~bad], whole[~bad])
    assert (ours.loc[~bad, "state"] == whole.loc[~bad, "state"]).all()
    errors = reasons(tmp_path / "run")
    assert (errors["event"] == "").sum() == 2  # once for the store,
    assert len(errors) == 2 + bad.sum()  # and once for each track that passes it
    assert set(errors["file"]) == {str(files[i]) for i in broken}


def test_an_event_on_a_broken_image_starts_on_the_next_with_its_box_rotated(
    copy, catalogue, serial, tmp_path
):
    files = named_by_time(copy)
    files[0].write_bytes(b"")
    first = catalogue[catalogue["time"] == catalogue["time"].min()]
    counts = track_archive(first, copy, tmp_path / "run", workers=0)["counts"]
    assert counts["tracked"] == len(first)
    ours, whole = tracks(tmp_path / "run"), tracks(serial)
    whole = whole[whole["event"].isin(first["event"]) & (whole["frame"] > 0)].reset_index(drop=True)
    assert ours["frame"].tolist() == whole["frame"].tolist() and ours["state"].iloc[0] == "start"
    disk = ours["score"] == 1.0  # at the limb a box loses what is behind it
    np.testing.assert_allclose(ours.loc[disk, BOX], whole.loc[disk, BOX], atol=1.5)
    errors = reasons(tmp_path / "run")
    assert errors["reason"].str.contains("starting at the next nearest").sum() == len(first)


def test_a_store_that_lacks_half_the_frames_and_has_a_gap_gives_the_same_boxes(
    copy, catalogue, serial, tmp_path
):
    for i in (1, 3, 5, 6, 7, 8, 9):
        (copy / f"frame_{i:04}.fits").unlink()
    first = catalogue[catalogue["time"] == catalogue["time"].min()]
    track_archive(first, copy, tmp_path / "run", workers=0)
    ours, whole = tracks(tmp_path / "run"), tracks(serial)
    whole = whole[whole["event"].isin(first["event"]) & whole["frame"].isin([0, 2, 4, 10, 11])]
    assert ours[BOX].equals(whole[BOX].reset_index(drop=True))


def test_an_event_without_an_image_near_it_says_how_far_the_next_one_is(store, catalogue, tmp_path):
    table = catalogue.iloc[:2].copy()
    table.loc[1, "time"] = "2014-01-20T00:00:00"
    track_archive(table, store, tmp_path / "run", workers=0)
    errors = reasons(tmp_path / "run")
    assert errors["event"].tolist() == [table["event"][1]]
    assert (
        "no image within 6 h of 2014-01-20T00:00:00; the nearest is 288.0 h after it" in errors["reason"][0]
    )


def test_an_image_without_a_time_is_listed_and_left_out(copy, catalogue, tmp_path):
    Image.fromarray(np.zeros((128, 128), np.uint8)).save(copy / "picture.png")
    track_archive(catalogue, copy, tmp_path / "run", workers=0)
    errors = reasons(tmp_path / "run")
    assert errors["file"].tolist() == [str(copy / "picture.png")] and errors["event"].tolist() == [""]
    assert "no time" in errors["reason"][0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "no images found in"),
        (
            lambda folder: (folder / "a.fits").write_bytes(b""),
            "none of 1 images has a time; the first: .*empty",
        ),
    ],
)
def test_a_store_without_a_usable_image_is_an_error(catalogue, tmp_path, make, message):
    folder = tmp_path / "store"
    folder.mkdir()
    make(folder)
    with pytest.raises(ArchiveError, match=message):
        track_archive(catalogue, folder, tmp_path / "run", workers=0)


# -- bad catalogues ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": "soon"}, "time must be a date such as 2014-02-03T02:08:47, got 'soon'"),
        ({"time": ""}, "time must be a date"),
        ({"time": "2014-02-30"}, "time must be a date"),
        ({"x0": np.nan}, "box must be finite"),
        ({"x0": "left"}, "x0 must be a number, got 'left'"),
        ({"x0": 90.0, "x1": 10.0}, "x1 > x0"),
        ({"x0": 900.0, "x1": 910.0}, "lies outside the start image"),
        ({"x0": 0.0, "x1": 4.0, "y0": 0.0, "y1": 4.0}, "lies beyond the limb"),
        ({"end": "2010-01-01"}, "end 2010-01-01 is not after time"),
        ({"end": "whenever"}, "end must be a date"),
        ({"duration": "36"}, "duration must be a length of time such as '4h'"),
        ({"duration": "2d", "end": "2014-02-09"}, "end and duration are both given"),
        ({"event": ""}, "row 2 has no event name"),
        ({"event": None}, "row 2 has no event name"),
    ],
)
def test_a_bad_event_is_a_row_of_errors_and_costs_no_other(
    store, catalogue, serial, tmp_path, change, message
):
    table = catalogue.iloc[:3].astype(object)
    for column, value in change.items():
        if column not in table:
            table[column] = None
        table.at[1, column] = value
    counts = track_archive(table, store, tmp_path / "run", workers=0)["counts"]
    assert (counts["tracked"], counts["failed"], counts["errors"]) == (2, 1, 1)
    errors = reasons(tmp_path / "run")
    assert message in errors["reason"][0]
    assert errors["event"][0] == (table["event"][1] or "")
    ours, whole = tracks(tmp_path / "run"), tracks(serial)
    pd.testing.assert_frame_equal(ours, whole[whole["event"].isin(ours["event"])].reset_index(drop=True))


def test_of_events_with_the_same_name_the_first_is_used(store, catalogue, tmp_path):
    table = catalogue.iloc[:3].copy()
    table["event"] = [7.0, 8.0, 7.0]  # integers that pandas has made floats
    track_archive(table, store, tmp_path / "run", workers=0)
    assert reasons(tmp_path / "run")["reason"].tolist() == [
        "row 3 has the event name of row 1; the first one is used"
    ]
    assert set(tracks(tmp_path / "run")["event"]) == {"7", "8"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="time"), "lacks the columns time; it has event, x0, y0, x1, y1"),
        (lambda t: t.drop(columns="x1"), r"lacks the columns x0, y0, x1, y1 \(pixels\) or tx0"),
        (lambda t: t.assign(tx0=0, ty0=0, tx1=1, ty1=1), "boxes in pixels and in arcsec"),
        (lambda t: t.iloc[:0], "has no events"),
    ],
)
def test_a_catalogue_that_is_none_is_an_error(store, catalogue, tmp_path, change, message):
    with pytest.raises(ArchiveError, match=message):
        track_archive(change(catalogue), store, tmp_path / "run", workers=0)
    assert not (tmp_path / "run").exists()


def test_a_catalogue_file_of_another_kind_is_an_error(store, tmp_path):
    (tmp_path / "c.xls").write_text("x")
    (tmp_path / "c.parquet").write_text("x")
    with pytest.raises(ArchiveError, match=r"must be .csv or .parquet, got '.xls'"):
        track_archive(tmp_path / "c.xls", store, tmp_path / "run")
    with pytest.raises(ArchiveError, match="not a readable table"):
        track_archive(tmp_path / "c.parquet", store, tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        track_archive(tmp_path / "c.csv", store, tmp_path / "run")


# -- the folder --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"duration": "3d"}, "duration_days was 14.0, is 3.0"),
        ({"tracker": Brightest()}, "tracker was .*rotation"),
        ({"both_ways": True}, "both_ways was False, is True"),
        ({"catalogue": 3}, "catalogue was"),
        ({"images": "elsewhere"}, "images was .*elsewhere"),
    ],
)
def test_the_folder_of_another_run_is_an_error(store, catalogue, serial, tmp_path, change, message):
    folder = tmp_path / "run"
    shutil.copytree(serial, folder)
    table = catalogue.iloc[: change.pop("catalogue", None)]
    where = change.pop("images", store)
    with pytest.raises(ArchiveError, match=rf"holds another run: {message}"):
        track_archive(table, where, folder, workers=0, **change)
    assert content(folder) == content(serial)


def test_a_folder_with_other_files_or_another_index_is_an_error(store, catalogue, serial, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArchiveError, match=r"holds other files \(notes.txt"):
        track_archive(catalogue, store, tmp_path, workers=0)
    folder = tmp_path / "run"
    shutil.copytree(serial, folder)
    index = pd.read_parquet(folder / "index.parquet")
    index.iloc[:-1].to_parquet(folder / "index.parquet")
    with pytest.raises(ArchiveError, match="is not the one this run began with"):
        track_archive(catalogue, store, folder, workers=0)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ArchiveError, match="is not the manifest"):
        track_archive(catalogue, store, folder, workers=0)


def test_two_runs_in_one_folder_at_once_are_refused(store, catalogue, tmp_path):
    catalogue.to_csv(tmp_path / "c.csv", index=False)
    process = start(tmp_path, store, tmp_path / "run", 0)
    while not (tmp_path / "run" / "manifest.json").exists():
        assert process.poll() is None
        time.sleep(0.005)
    with pytest.raises(ArchiveError, match="another run is working in"):
        track_archive(tmp_path / "c.csv", store, tmp_path / "run", tracker=Slow(0.01), workers=0)
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workers": -1}, "workers must be 0 or a number"),
        ({"workers": 1, "scheduler": "tcp://x:1"}, "workers or scheduler, not both"),
        ({"duration": "long"}, "duration must be a length of time"),
        ({"tolerance": "0h"}, "tolerance must be positive"),
        ({"tracker": "crystal ball"}, "tracker must be one of"),
    ],
)
def test_arguments_out_of_range_are_value_errors(store, catalogue, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        track_archive(catalogue, store, tmp_path / "run", **change)


# -- the command -------------------------------------------------------------------


def test_the_command_says_what_became_of_the_events(store, catalogue, tmp_path, capsys):
    table = catalogue.copy()
    arguments = ["track-archive", str(tmp_path / "c.csv"), "--images", str(store), "--workers", "0"]
    arguments += ["--tracker", "rotation"]
    table.to_csv(tmp_path / "c.csv", index=False)
    assert cli.main([*arguments, "-o", str(tmp_path / "good")]) == 0
    assert f"{len(table)} events: {len(table)} tracked, 0 not" in capsys.readouterr().out
    table.loc[0, "time"] = "soon"
    table.to_csv(tmp_path / "c.csv", index=False)
    assert cli.main([*arguments, "-o", str(tmp_path / "bad"), "-q"]) == cli.INCOMPLETE == 3
    assert "1 errors, see" in capsys.readouterr().err
    assert cli.main([*arguments, "-o", str(tmp_path / "good")]) == 1
    assert "holds another run: catalogue was" in capsys.readouterr().err
    for wrong in (["track-archive"], [*arguments, "-o", "x", "--scheduler", "tcp://a:1"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(wrong)
        assert stop.value.code == 2


# -- memory ------------------------------------------------------------------------


def test_memory_stays_flat_over_many_units(store, catalogue):
    """Of the process that does the work, after it has warmed up."""
    events, _ = _catalogue.events_of(catalogue, 14.0)
    made = Brightest()
    index = sequence.frames_to_table(map(sequence.read_frame, sorted(store.glob("*.fits"))))
    settings = _follow.Settings(made, made.settings(), 0.25, False, None)
    jobs = [_follow.Job(event, index, settings, "") for event in events]

    def resident_mib():
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    for job in jobs:
        _follow.follow(job)
    before = resident_mib()
    for job in jobs * 4:
        _follow.follow(job)
    assert resident_mib() - before < 8.0
