"""The store.

With SOLARTRACK_KILLS=30 and SOLARTRACK_FILES=10000 in the environment, the tests that ask for much use as much,
and the figures are printed (-s).
"""

import hashlib
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from solartrack import sources
from solartrack._files import exclusive
from solartrack.errors import ArchiveError, SourceError
from solartrack.sources import Store, Transport, fetch, plan_table, store, verify
from sources.made import fits_bytes, image_bytes, jp2_bytes, tar_bytes
from sources.replay import FAULTS

TESTS = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("SOLARTRACK_KILLS", "4"))
FILES = int(os.environ.get("SOLARTRACK_FILES", "400"))
PASSING = [fault for fault in FAULTS if fault != "status"]


def served(replay, contents, *, source="images", check="any", ranges=False, **more):
    """A plan of files that the server has: ``{name: content}``."""
    rows = []
    for number, (name, content) in enumerate(contents.items()):
        url = replay.add(f"/{name}", content, ranges=ranges)
        row = {"source": source, "id": f"n{number}", "url": url, "name": name, "check": check, "bytes": len(content),
               "time": np.datetime64("2014-01-01", "us") + np.timedelta64(number, "h")}  # fmt: skip
        rows.append(row | {key: value[number] for key, value in more.items()})
    return plan_table(rows)


@pytest.fixture
def plan(replay):
    contents = {f"{n}.fits": fits_bytes(n) for n in range(6)}
    return served(
        replay, contents, check="fits", event=["a", "b"] * 3, wanted=[f"2014-01-0{n}" for n in range(1, 7)]
    )


def names(folder):
    return sorted(
        p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"
    )


# -- a whole run -------------------------------------------------------------------


def test_store_has_all_files_of_a_plan(replay, transport, tmp_path, plan):
    made = fetch(plan, tmp_path / "store", transport=transport)
    assert made.folder == tmp_path / "store"
    assert names(made.folder) == ["images/0.fits", "images/1.fits", "images/2.fits", "images/3.fits", "images/4.fits",
                                  "images/5.fits", "links.parquet", "manifest.parquet", "unpacked.parquet"]  # fmt: skip
    manifest = made.manifest
    assert list(manifest) == ["source", "id", "url", "name", "check", "time", "bytes", "request", "path", "size",
                              "sha256", "state", "reason", "service_id"]  # fmt: skip
    assert (manifest["state"] == "done").all() and manifest["id"].tolist() == plan["id"].tolist()
    for row in manifest.itertuples():
        content = (made.folder / row.path).read_bytes()
        assert (row.size, row.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest["time"].dtype == "datetime64[us]" and manifest["size"].dtype == "Int64"
    assert list(made.links) == ["event", "source", "id", "wanted"]
    assert made.verify().empty and list(made.verify()) == ["source", "id", "path", "trouble"]


def test_files_are_in_order_of_time(transport, tmp_path, replay, plan):
    plan["time"] = plan["time"][::-1].to_numpy()
    plan.loc[3, "time"] = pd.NaT
    made = fetch(plan, tmp_path, transport=transport)
    assert [p.name for p in made.files()] == ["5.fits", "4.fits", "2.fits", "1.fits", "0.fits", "3.fits"]
    assert list(made) == made.files() == Store(tmp_path).files(source="images")
    assert [p.name for p in made.files(event="a")] == ["4.fits", "2.fits", "0.fits"]
    with pytest.raises(ValueError, match=r"no event 'c'"):
        made.files(event="c")
    with pytest.raises(ValueError, match=r"nothing from 'jsoc'"):
        made.files(source="jsoc")


def test_image_that_ten_events_need_is_fetched_once(replay, transport, tmp_path, plan):
    shared = pd.concat([plan.iloc[:1].assign(event=f"e{n}", wanted=f"{n}") for n in range(10)])
    made = fetch(shared, tmp_path, transport=transport)
    assert replay.count() == 1 and len(made.manifest) == 1 and len(made.links) == 10
    assert all(made.files(event=f"e{n}") == [tmp_path / "images/0.fits"] for n in range(10))


def test_second_run_makes_no_request_and_changes_nothing(replay, transport, tmp_path, plan):
    fetch(plan, tmp_path, transport=transport)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    for again in (plan, None):
        fetch(again, tmp_path, transport=transport)
    assert replay.count() == 6
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_plan_grows(replay, transport, tmp_path, plan):
    fetch(plan.iloc[:3], tmp_path, transport=transport)
    made = fetch(plan, tmp_path, transport=transport)
    assert replay.count() == 6 and len(made.manifest) == len(made.links) == 6


def test_two_files_of_one_name_do_not_meet(replay, transport, tmp_path):
    contents = {"a/x.fits": fits_bytes(1), "b/x.fits": fits_bytes(2), "c/X.fits": fits_bytes(3)}
    rows = [
        {
            "source": "images",
            "id": f"id {path}",
            "url": replay.add(f"/{path}", content),
            "name": path[2:],
            "check": "fits",
        }
        for path, content in contents.items()
    ]
    made = fetch(plan_table(rows), tmp_path, transport=transport)
    assert len({path.lower() for path in made.manifest["path"]}) == 3
    assert [path.read_bytes() for path in made.folder.joinpath("x").parent.glob("images/x.fits")] == [
        fits_bytes(1)
    ]
    assert made.verify().empty


def test_file_that_has_gone_or_changed_its_size_is_fetched_again(replay, transport, tmp_path, plan):
    made = fetch(plan, tmp_path, transport=transport)
    (tmp_path / "images/1.fits").unlink()
    (tmp_path / "images/2.fits").write_bytes(b"")
    again = fetch(None, tmp_path, transport=transport)
    assert replay.count() == 8
    pd.testing.assert_frame_equal(again.manifest, made.manifest)
    assert again.verify().empty


def test_empty_plan_is_a_store_without_files(transport, tmp_path):
    made = fetch(plan_table([]), tmp_path, transport=transport)
    assert made.files() == [] and made.verify().empty


# -- what fails --------------------------------------------------------------------


def test_file_that_is_not_there_is_absent_and_not_asked_for_again(replay, transport, tmp_path, plan):
    plan.loc[2, "url"] = replay.url + "/none"
    made = fetch(plan, tmp_path, transport=transport)
    assert made.manifest["state"].tolist() == ["done"] * 2 + ["absent"] + ["done"] * 3
    assert made.manifest["reason"][2].endswith("/none: HTTP 404 NOT FOUND: nothing at /none")
    fetch(plan, tmp_path, transport=transport)
    assert replay.count("/none") == 1 and len(made.files()) == 5 and made.verify().empty


def test_file_that_failed_is_tried_again_in_the_next_run(replay, transport, tmp_path, plan):
    replay._routes["/3.fits"][0].faults += ["shorter"] * 5
    made = fetch(plan, tmp_path, transport=transport)
    assert made.manifest["state"][3] == "failed" and "cut off" in made.manifest["reason"][3]
    assert not (tmp_path / "images/3.fits").exists()
    assert (tmp_path / "quarantine/images/n3/3.fits").exists()
    again = fetch(None, tmp_path, transport=transport)
    assert (again.manifest["state"] == "done").all() and (again.manifest["reason"] == "").all()
    assert again.verify().empty


def test_bytes_needed_are_reported_before_the_start(replay, transport, tmp_path, plan, capfd):
    fetch(plan, tmp_path, transport=transport, progress=True)
    said = capfd.readouterr().err
    assert said.startswith(f"{tmp_path}: needs {plan['bytes'].sum()} bytes for 6 files; ") and "6/6" in said
    Store(tmp_path).verify(progress=True)
    assert "verifying: 100%" in capfd.readouterr().err


def test_full_disk_is_seen_before_the_start(replay, transport, tmp_path, plan):
    plan["bytes"] = 10**17
    plan.loc[0, "bytes"] = pd.NA
    with pytest.raises(
        ArchiveError, match=r"needs 500000000000000000 bytes for 6 files, 1 of them of unknown size, but only"
    ):
        fetch(plan, tmp_path / "store", transport=transport)
    assert replay.count() == 0


def test_disk_that_fills_up_ends_the_run_and_the_next_goes_on(replay, transport, tmp_path, plan, monkeypatch):
    import errno

    from solartrack.sources import transport as module

    real, left = module.replacing, [3]

    def replacing(path):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path)

    monkeypatch.setattr(module, "replacing", replacing)
    with pytest.raises(OSError, match=r"No space left"):
        fetch(plan, tmp_path, transport=transport)
    states = Store(tmp_path).manifest["state"].value_counts()
    assert states["done"] <= 3 and "failed" not in states
    monkeypatch.undo()
    asked = replay.count()
    made = fetch(None, tmp_path, transport=transport)
    assert (made.manifest["state"] == "done").all() and replay.count() - asked <= 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder_is_named(replay, transport, tmp_path, plan):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        fetch(plan, tmp_path, transport=transport)
    assert replay.count() == 0


def test_folder_that_cannot_be_made_is_named(replay, transport, tmp_path, plan):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match=r"file"):
        fetch(plan, tmp_path / "file", transport=transport)
    with pytest.raises(OSError, match=r"/proc/none"):
        fetch(plan, "/proc/none", transport=transport)
    assert replay.count() == 0


def test_folder_with_other_files_is_refused_untouched(replay, transport, tmp_path, plan):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ArchiveError, match=r"holds other files \(thesis.tex"):
        fetch(plan, tmp_path, transport=transport)
    assert names(tmp_path) == ["thesis.tex"] and not (tmp_path / ".lock").exists()


def test_second_run_into_a_store_is_refused(replay, transport, tmp_path, plan):
    with exclusive(tmp_path / "store"), pytest.raises(ArchiveError, match=r"another run is working"):
        fetch(plan, tmp_path / "store", transport=transport)
    assert replay.count() == 0


def test_two_runs_at_once_exclude_each_other(replay, tmp_path, plan):
    replay.delay = 0.3
    (tmp_path / "plan").write_bytes(pickle.dumps(plan))
    runs = [started(tmp_path / "plan", tmp_path / "store") for _ in range(2)]
    ends = sorted(run.wait(60) for run in runs)
    assert ends == [0, 1]
    assert "another run is working in" in "".join(run.stderr.read().decode() for run in runs)
    for run in runs:
        run.stderr.close()
    assert replay.count() == 6 and verify(tmp_path / "store").empty


def test_interrupt_ends_a_run_at_once_and_the_next_goes_on(replay, tmp_path, plan):
    replay.rate = 200  # so slow that the files would take minutes
    (tmp_path / "plan").write_bytes(pickle.dumps(plan))
    run = started(tmp_path / "plan", tmp_path / "store")
    while not replay.count():
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, said = run.communicate(timeout=60)
    assert time.monotonic() - start < 20 and b"KeyboardInterrupt" in said
    assert set(Store(tmp_path / "store").manifest["state"]) <= {"planned", "done"}
    replay.rate = 0
    assert (fetch(None, tmp_path / "store").manifest["state"] == "done").all()


# -- input -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/b", "a\\b", "/etc/passwd", "..", ".", ".hidden", "x.part", "x.part.json", "a\0b", "a\nb", "a\x1b[2Jb",
     "a\u202eb", "x" * 181, "é" * 91, "nul", "CON.fits", "com1.txt", "C:x", "a ", "a.", "a\u2028b", "a|b", "\ud800"],
)  # fmt: skip
def test_unsafe_name_is_refused(name):
    with pytest.raises(SourceError, match=r"cannot be the name of a file") as error:
        store.safe_name(name)
    assert error.value.permanent and len(str(error.value)) < 300
    with pytest.raises((SourceError, ValueError)):
        plan_table([{"source": "a", "id": "1", "name": name, "check": "any"}])


@pytest.mark.parametrize("name", ["2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2", "x" * 180, "é" * 90, "console.txt",
                                  "AR12109_hmi.M_720s.20140701_000000_TAI.1.magnetogram.fits"])  # fmt: skip
def test_safe_name_is_the_name(name):
    assert store.safe_name(name) == name


def test_ids_of_any_kind_have_folders_of_their_own():
    ids = ["12", "a/b", "a_b", "../..", "..", "é", "x" * 300, "x" * 299 + "y", "CON", '{"op": 1}', "A"]
    folders = [store.id_folder(id) for id in ids]
    assert len({folder.lower() for folder in folders}) == len(ids)
    assert [store.safe_name(folder) for folder in folders] == folders and folders[0] == "12"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "row 0 of the plan: id must be a text"),
        ({"id": 12}, "id must be a text, got 12"),
        ({"name": None}, "name must be a text"),
        ({"check": "gif"}, "check must be one of jp2, fits, tar"),
        ({"source": "../x"}, "cannot be the name of a source"),
        ({"source": "quarantine"}, "cannot be the name of a source"),
        ({"bytes": -1}, "bytes must be a whole number or missing, got -1"),
        ({"bytes": 1.5}, "bytes must be a whole number"),
        ({"time": "yesterday"}, "Invalid isoformat"),
    ],
)
def test_plan_row_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        plan_table([{"source": "a", "id": "1", "name": "x", "check": "any"} | change])


def test_plan_has_fixed_columns_and_types():
    for rows in ([], [{"source": "a", "id": "1", "name": "x", "check": "any"}]):
        table = plan_table(rows)
        assert list(table) == list(sources.PLAN_COLUMNS)
        assert table["time"].dtype == "datetime64[us]" and table["bytes"].dtype == "Int64"
        assert all(table[name].dtype == "str" for name in table if name not in ("time", "bytes"))
    assert table.loc[0, ["url", "event", "request"]].tolist() == ["", "", ""]
    assert pd.isna(table["time"][0]) and pd.isna(table["bytes"][0])


def test_plan_that_is_none_is_refused(tmp_path, plan):
    with pytest.raises(TypeError, match=r"a plan is a table"):
        fetch([1], tmp_path)
    with pytest.raises(ValueError, match=r"lacks the columns url"):
        fetch(plan.drop(columns="url"), tmp_path)
    with pytest.raises(ValueError, match=r"different files under the id 'n0' of images"):
        fetch(pd.concat([plan, plan.iloc[:1].assign(url="http://other")]), tmp_path)
    assert not list(tmp_path.iterdir())


# -- a manifest that was edited ----------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.assign(path="../../etc/passwd"), "cannot be the name|has the path"),
        (lambda m: m.assign(path="/etc/passwd"), "cannot be the name|has the path"),
        (lambda m: m.assign(path="images/0.fits"), "has the path 'images/0.fits'"),
        (lambda m: m.assign(path=[f"other/{name}" for name in m["name"]]), "has the path"),
        (lambda m: m.assign(state="finished"), "state 'finished', which is none of planned, waiting"),
        (lambda m: m.assign(check="none"), "has the check 'none'"),
        (lambda m: m.assign(sha256="abc"), "is done, but has no size or sha256"),
        (lambda m: m.assign(size=pd.NA), "is done, but has no size|expected"),
        (lambda m: m.assign(size="big"), "manifest.parquet is not as a run has written it"),
        (lambda m: m.drop(columns="sha256"), "expected the columns source, id"),
        (lambda m: m.assign(id="n0"), "an id comes twice"),
        (lambda m: m.assign(url=None), "the column url has missing values"),
    ],
)
def test_manifest_that_was_edited_is_refused_with_the_reason(transport, tmp_path, plan, edit, message):
    fetch(plan, tmp_path, transport=transport)
    path = tmp_path / "manifest.parquet"
    edit(pd.read_parquet(path)).to_parquet(path)
    files = names(tmp_path)
    for use in (Store, lambda folder: fetch(plan, folder, transport=transport)):
        with pytest.raises(ArchiveError, match=message) as error:
            use(tmp_path)
        assert str(path) in str(error.value) and "put the file back" in str(error.value)
    assert names(tmp_path) == files


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1" * 10])
@pytest.mark.parametrize("name", ["manifest.parquet", "links.parquet", "unpacked.parquet"])
def test_table_that_was_damaged_is_refused(transport, tmp_path, plan, name, content):
    fetch(plan, tmp_path, transport=transport)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArchiveError, match=f"{name} is not as a run has written it"):
        Store(tmp_path)


@pytest.mark.parametrize(
    "line", ["{", "1", '{"source": "images"}', '{"source": "images", "id": "n0", "state": "x"}', '{"source": "a", "id": "b"}',
             '{"source": "images", "id": "n0", "size": "big"}', '{"source": "images", "id": "n0", "files": [["../../x", 1, "y"]]}']
)  # fmt: skip
def test_journal_that_was_damaged_is_refused(transport, tmp_path, plan, line):
    fetch(plan, tmp_path, transport=transport)
    (tmp_path / "journal.jsonl").write_text(line + "\n")
    with pytest.raises(ArchiveError, match=r"journal.jsonl|unpacked"):
        Store(tmp_path)


def test_last_line_of_a_journal_may_be_torn(replay, transport, tmp_path, plan):
    made = fetch(plan, tmp_path, transport=transport)
    (tmp_path / "journal.jsonl").write_bytes(b'{"source": "images", "id": "n0", "sta')
    assert Store(tmp_path).manifest["state"].tolist() == ["done"] * 6
    pd.testing.assert_frame_equal(fetch(plan, tmp_path, transport=transport).manifest, made.manifest)


def test_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match=r"is not a store: it has no manifest.parquet"):
        Store(tmp_path)
    for use in (verify, lambda folder: fetch(None, folder)):
        with pytest.raises(ArchiveError, match=r"is not a store"):
            use(tmp_path / "none")
    assert not (tmp_path / "none").exists()


# -- verify ------------------------------------------------------------------------


def test_verify_finds_every_trouble(replay, transport, tmp_path, plan):
    made = fetch(plan, tmp_path, transport=transport)
    (tmp_path / "images/0.fits").unlink()
    for number, change in ((1, lambda c: c[:-2880]), (2, lambda c: c[:-1] + b"x")):
        path = tmp_path / f"images/{number}.fits"
        path.write_bytes(change(path.read_bytes()))
    table = pq.read_table(tmp_path / "manifest.parquet").to_pandas()
    broken = fits_bytes(3)[:2880]
    (tmp_path / "images/3.fits").write_bytes(broken)
    table.loc[3, ["size", "sha256"]] = [len(broken), hashlib.sha256(broken).hexdigest()]
    pq.write_table(
        pa.Table.from_pandas(table, schema=pq.read_schema(tmp_path / "manifest.parquet")),
        tmp_path / "manifest.parquet",
    )
    (tmp_path / "images/stray.fits").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    troubles = verify(tmp_path)
    assert troubles["path"].tolist() == [f"images/{n}.fits" for n in range(4)] + [
        "notes.txt",
        "images/stray.fits",
    ]
    assert [text.split(":")[0] for text in troubles["trouble"]] == [
        "missing", "has 8640 bytes, not 11520" if len(fits_bytes()) == 11520 else troubles["trouble"][1],
        "has another sha256", troubles["trouble"][3].split(":")[0], "is not in the manifest", "is not in the manifest",
    ]  # fmt: skip
    assert "demand" in troubles["trouble"][3] and troubles["id"].tolist() == ["n0", "n1", "n2", "n3", "", ""]
    assert len(made.verify(progress=False)) == 6


# -- offline -----------------------------------------------------------------------


def test_offline_rebuilds_a_store_of_a_colleague_without_a_request(replay, transport, tmp_path, plan):
    plan.loc[5, "url"] = replay.url + "/none"
    theirs = fetch(plan, tmp_path / "theirs", transport=transport)
    asked = replay.count()
    for name, again in (("all", None), ("planned", plan)):
        mine = fetch(again, tmp_path / name, offline=tmp_path / "theirs")
        pd.testing.assert_frame_equal(mine.manifest, theirs.manifest)
        pd.testing.assert_frame_equal(mine.links, theirs.links)
        assert mine.verify().empty and len(mine.files()) == 5
    assert replay.count() == asked


def test_offline_takes_nothing_that_is_damaged(replay, transport, tmp_path, plan):
    fetch(plan.iloc[:4], tmp_path / "theirs", transport=transport)
    path = tmp_path / "theirs/images/1.fits"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (tmp_path / "theirs/images/2.fits").unlink()
    asked = replay.count()
    mine = fetch(plan, tmp_path / "mine", offline=tmp_path / "theirs")
    assert mine.manifest["state"].tolist() == ["done", "failed", "failed", "done", "failed", "failed"]
    reasons = mine.manifest["reason"].tolist()
    assert "another sha256" in reasons[1] and "is missing" in reasons[2] and "is not in" in reasons[4]
    assert names(mine.folder / "images") == ["0.fits", "3.fits"]
    assert replay.count() == asked
    assert (fetch(None, mine.folder, transport=transport).manifest["state"] == "done").all()  # then online


# -- sources with steps of their own -----------------------------------------------


class Queue:
    """A service that prepares tar files, as JSOC does."""

    def __init__(self, replay):
        self.replay, self.resolved, self.now, self.most = replay, [], 0, 0
        self.stop_after = ""

    def resolve(self, row, transport, remember):
        self.now += 1
        self.most = max(self.most, self.now)
        assert row["request"] == '{"op": "exp"}' and row["bytes"] is None
        if not row["service_id"]:
            remember(service_id=f"JSOC_{row['id']}", state="waiting")
        if self.stop_after == row["id"]:
            raise KeyboardInterrupt
        self.resolved.append((row["id"], row["state"], row["service_id"]))
        time.sleep(0.02)
        self.now -= 1
        return f"{self.replay.url}/{row['id']}.tar"

    @staticmethod
    def unpack(path, row, folder):
        import tarfile

        with tarfile.open(path) as tar:
            for member in tar:  # the filters of extractall came with Python 3.11.4
                (folder / member.name).write_bytes(tar.extractfile(member).read())
            return [folder / name for name in tar.getnames()]

    @staticmethod
    def read_error(status, body, kind):
        return SourceError("not ours", permanent=True) if b"errno" in body else None


@pytest.fixture
def queue(replay, monkeypatch):
    queue = Queue(replay)
    monkeypatch.setattr(store, "_module", lambda source: {"jsoc": queue}.get(source, object()))
    return queue


@pytest.fixture
def requests(replay):
    rows = []
    for n in range(4):
        members = {f"AR{n}.{k}.fits": fits_bytes(10 * n + k) for k in (1, 0)}
        replay.add(f"/r{n}.tar", tar_bytes(members), ranges=True)
        rows.append({"source": "jsoc", "id": f"r{n}", "name": "export.tar", "check": "tar", "request": '{"op": "exp"}',
                     "time": f"2014-01-0{4 - n}", "event": f"AR{n}"})  # fmt: skip
    return plan_table(rows)


def test_requests_are_made_one_by_one_and_unpacked(replay, transport, tmp_path, queue, requests):
    made = fetch(requests, tmp_path, transport=transport)
    assert queue.most == 1 and made.manifest["service_id"].tolist() == [f"JSOC_r{n}" for n in range(4)]
    assert [p.name for p in made.files()] == [f"AR{n}.{k}.fits" for n in (3, 2, 1, 0) for k in (0, 1)]
    assert [p.name for p in made.files(event="AR2")] == ["AR2.0.fits", "AR2.1.fits"]
    assert not list(tmp_path.rglob("*.tar")) and made.verify().empty
    assert made.unpacked["id"].tolist() == ["r0", "r0", "r1", "r1", "r2", "r2", "r3", "r3"]
    fetch(requests, tmp_path, transport=transport)
    assert len(queue.resolved) == replay.count() == 4


def test_service_id_survives_an_interrupted_run(replay, transport, tmp_path, queue, requests):
    queue.stop_after = "r1"
    with pytest.raises(KeyboardInterrupt):
        fetch(requests, tmp_path, transport=transport)
    row = Store(tmp_path).manifest.iloc[1]
    assert (row["state"], row["service_id"]) == ("waiting", "JSOC_r1")
    queue.stop_after = ""
    made = fetch(None, tmp_path, transport=transport)
    assert queue.resolved[1] == ("r1", "waiting", "JSOC_r1")
    assert (made.manifest["state"] == "done").all() and replay.count() == 4


def test_unpacked_file_that_is_lost_is_fetched_again(replay, transport, tmp_path, queue, requests):
    made = fetch(requests, tmp_path, transport=transport)
    (tmp_path / "jsoc/r2/AR2.0.fits").unlink()
    assert made.verify()["path"].tolist() == ["jsoc/r2/AR2.0.fits"]
    again = fetch(None, tmp_path, transport=transport)
    assert replay.count() == 5 and again.verify().empty
    pd.testing.assert_frame_equal(again.unpacked, made.unpacked)
    pd.testing.assert_frame_equal(again.manifest, made.manifest)


def test_offline_copies_what_was_unpacked(replay, transport, tmp_path, queue, requests):
    theirs = fetch(requests, tmp_path / "theirs", transport=transport)
    mine = fetch(None, tmp_path / "mine", offline=theirs.folder)
    pd.testing.assert_frame_equal(mine.manifest, theirs.manifest)
    pd.testing.assert_frame_equal(mine.unpacked, theirs.unpacked)
    assert mine.verify().empty and len(queue.resolved) == replay.count() == 4


def test_source_says_which_error_is_permanent(replay, transport, tmp_path, queue, requests):
    replay.add("/r2.tar", b'{"errno": 10}', status=500, query={})
    replay._routes["/r2.tar"] = replay._routes["/r2.tar"][1:]
    made = fetch(requests, tmp_path, transport=transport)
    assert made.manifest["state"].tolist() == ["done", "done", "absent", "done"]
    assert made.manifest["reason"][2] == "not ours" and replay.count("/r2.tar") == 1


# -- what must hold ----------------------------------------------------------------


def started(plan, folder):
    return subprocess.Popen(
        [sys.executable, TESTS / "sources/kill_fetch.py", plan, folder], stderr=subprocess.PIPE
    )  # fmt: skip


def complete(folder):
    """Files under their final names, as paths in the store."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.glob("images/**/*")
        if p.is_file() and not p.name.startswith(".") and not p.name.endswith((".part", ".part.json"))
    }


def test_killed_run_ends_as_one_that_was_not_disturbed(replay, tmp_path):
    """Killed at random moments; resumed; nothing complete comes twice; nothing partial has a final name."""
    rng = random.Random(KILLS)
    tars = {f"{n}.tar": tar_bytes({"noise": os.urandom(2**20)}) for n in range(2 + KILLS // 3)}
    small = {f"{n}.jp2": jp2_bytes(n) for n in range(20 * KILLS)}
    contents = tars | small
    plan = pd.concat([
        served(replay, tars, check="tar", ranges=True).assign(id=[f"t{n}" for n in range(len(tars))]),
        served(replay, small, check="jp2"),
    ]).sample(frac=1, random_state=1)  # fmt: skip
    undisturbed = fetch(plan, tmp_path / "undisturbed", transport=Transport(first_wait=0.01))
    replay.asked.clear()

    (tmp_path / "plan").write_bytes(pickle.dumps(plan))
    folder = tmp_path / "store"
    replay.rate, replay.delay = 2e6, 0.05
    kills = runs = 0
    done = {}
    while kills < KILLS and runs < 10 * KILLS:
        before, runs = len(replay.asked), runs + 1
        run = started(tmp_path / "plan", folder)
        while len(replay.asked) == before and run.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.5))
        kills += run.poll() is None
        run.kill()
        run.communicate()
        assert run.returncode in (0, -signal.SIGKILL)
        again = {one.path[1:] for one in replay.asked[before:]} & {
            path.removeprefix("images/") for path in done
        }
        assert not again, "a complete file was asked for again"
        done = complete(folder)
        assert all(contents[path.removeprefix("images/")] == content for path, content in done.items())
    replay.rate = replay.delay = 0
    final = fetch(None, folder, transport=Transport(first_wait=0.01))

    pd.testing.assert_frame_equal(final.manifest, undisturbed.manifest)
    for name in ("manifest.parquet", "links.parquet", "unpacked.parquet"):
        assert (folder / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert names(folder) == names(tmp_path / "undisturbed") and final.verify().empty
    # Of a tar file nothing comes twice but what was on its way when the run was killed.
    sent = sum(one.sent for one in replay.asked if one.path.endswith(".tar"))
    whole = sum(map(len, tars.values()))
    assert sent <= whole + kills * len(tars) * 2**18
    resumed = sum("Range" in one.headers for one in replay.asked)
    print(f"\n{kills} kills in {runs} runs, {len(contents)} files, {len(replay.asked)} requests, {resumed} of them "
          f"resumed a tar file; tar bytes sent {sent}, needed {whole}")  # fmt: skip
    assert kills == KILLS and (resumed or KILLS < 20)  # a few kills may all come between the tar files


def test_killed_while_it_says_why_a_file_was_refused_it_leaves_no_temporary_file(
    replay, transport, tmp_path, plan
):
    replay._routes["/3.fits"][0].faults += ["html"] * 5
    fetch(plan, tmp_path, transport=transport)
    home = tmp_path / "quarantine/images/n3"
    partial = home / ".0123456789abcdef.solartrack-part.3.fits.txt"
    partial.write_bytes(b"http://")
    fetch(None, tmp_path, transport=transport)
    assert names(home) == ["3.fits", "3.fits.txt"]


def test_every_fault_on_one_file_in_twenty_leaves_a_complete_store(replay, tmp_path):
    count = min(max(FILES // 10, 60), 1000)
    rng = random.Random(1)
    contents = {f"{n}.fits": fits_bytes(n, side=20) for n in range(count // 2)}
    contents |= {f"{n}.jp2": jp2_bytes(n, side=32) for n in range(count // 4)}
    contents |= {f"{n}.png": image_bytes(seed=n, side=32) for n in range(count - len(contents))}
    plan = served(replay, contents)
    plan["check"] = [
        {"fits": "fits", "jp2": "jp2", "png": "image"}[name.rpartition(".")[2]] for name in plan["name"]
    ]
    faulty = rng.sample(list(contents), max(count // 20, len(PASSING)))
    for number, name in enumerate(faulty):
        replay._routes[f"/{name}"][0].faults.append(PASSING[number % len(PASSING)])

    replay.delay = 0.01
    start = time.perf_counter()
    made = fetch(plan, tmp_path, transport=Transport(timeout=(2, 0.5), first_wait=0.05, longest_wait=2,
                                                     connections={"127.0.0.1": 3}))  # fmt: skip
    seconds = time.perf_counter() - start
    assert (made.manifest["state"] == "done").all()
    assert all((tmp_path / row.path).read_bytes() == contents[row.name] for row in made.manifest.itertuples())
    assert made.verify().empty and replay.most_at_once == 3
    assert replay.count() == count + len(faulty) and {one.fault for one in replay.asked} == {"", *PASSING}
    print(f"\n{count} files, {len(faulty)} faults of {len(PASSING)} kinds, {replay.count()} requests, at most "
          f"{replay.most_at_once} at once, {seconds:.1f} s")  # fmt: skip


MEASURE = """
import sys, time, pickle
from solartrack.sources._manifest import Journal
from pathlib import Path
from solartrack.sources import Transport, fetch

def memory(name):  # not ru_maxrss, which begins with that of the parent process
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024

plan, folder = sys.argv[1:]
plan = pickle.loads(Path(plan).read_bytes())
fetch(plan.iloc[:50], folder + "-first", transport=Transport())  # everything is imported and warm
before = memory("VmRSS")
sizes, note = [], Journal.note
Journal.note = lambda *a, **k: note(*a, **k) or sizes.append(memory("VmRSS"))
start = time.perf_counter()
fetch(plan, folder, transport=Transport())
seconds = time.perf_counter() - start
print(before, sizes[len(sizes) // 10], sizes[-1], memory("VmHWM"), seconds)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_stays_flat_over_many_files_and_a_rerun_makes_no_request(replay, tmp_path):
    content = fits_bytes(side=100)  # 43 kB
    urls = [replay.add(f"/{n}", content) for n in range(10)]
    plan = plan_table(
        {"source": "images", "id": f"n{n}", "url": f"{urls[n % 10]}?n={n}", "name": f"{n}.fits", "check": "fits",
         "time": np.datetime64("2014-01-01", "us") + np.timedelta64(n, "m"), "bytes": len(content), "event": f"e{n % 7}"}
        for n in range(FILES)
    )  # fmt: skip
    (tmp_path / "plan").write_bytes(pickle.dumps(plan))
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path / "plan", tmp_path / "store"],
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert run.returncode == 0, run.stderr
    before, early, late, peak, seconds = map(float, run.stdout.split())
    assert late - early < 6e6
    # The rows of the tables are in memory, some kilobytes for each file.
    assert peak - before < 30e6 + 6e3 * FILES

    asked = replay.count()
    start = time.perf_counter()
    made = fetch(plan, tmp_path / "store")
    again = time.perf_counter() - start
    assert replay.count() == asked and len(made.files()) == FILES
    assert again < 10 * max(FILES / 10_000, 0.2)
    print(f"\n{FILES} files of {len(content)} bytes: {seconds:.1f} s, memory {before / 1e6:.0f} MB before, "
          f"{early / 1e6:.1f} after a tenth of the files, {late / 1e6:.1f} after the last, {peak / 1e6:.0f} at most; rerun {again:.2f} s")  # fmt: skip
    shutil.rmtree(tmp_path / "store")


def test_import_of_the_room_is_light():
    code = "import sys, solartrack.sources; print(*{m.partition('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"requests", "pandas", "astropy", "tenacity", "drms", "hvpy", "sunpy"} & set(loaded)
    code = (
        "import sys; from solartrack.sources import fetch; print(*{m.partition('.')[0] for m in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"requests", "tenacity", "drms", "hvpy", "sunpy"} & set(loaded)


def test_missing_extra_is_named(replay, transport, tmp_path, plan, monkeypatch):
    for name in ("requests", "tenacity"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'solartrack\[sources\]'"):
        fetch(plan, tmp_path, transport=transport)


def test_journal_is_written_while_a_run_goes_on(replay, transport, tmp_path, plan):
    seen = []
    replay.add("/look", lambda asked: seen.append((tmp_path / "journal.jsonl").read_text()) or b"x")
    last = plan_table(
        [{"source": "other", "id": "1", "url": f"{replay.url}/look", "name": "x", "check": "any"}]
    )
    fetch(plan, tmp_path, transport=transport)
    fetch(pd.concat([plan.assign(id=[f"m{n}" for n in range(6)]), last]), tmp_path,
          transport=Transport(connections={"127.0.0.1": 1}))  # fmt: skip
    lines = [json.loads(line) for line in seen[0].splitlines()]
    assert [line["id"] for line in lines] == [f"m{n}" for n in range(6)] and lines[0]["state"] == "done"
    assert not (tmp_path / "journal.jsonl").exists()


# -- what a stranger found ---------------------------------------------------------


def one(url, **more):
    return {"source": "images", "id": "a", "url": url, "name": "a.txt", "check": "text", "event": "e", **more}


def test_a_corrected_url_is_asked_for(replay, transport, tmp_path):
    right = replay.add("/right.txt", "hello")
    assert (
        fetch(plan_table([one(f"{replay.url}/wrong.txt")]), tmp_path, transport=transport).manifest["state"][
            0
        ]
        == "absent"
    )
    again = fetch(plan_table([one(right)]), tmp_path, transport=transport).manifest
    assert (again["state"][0], again["url"][0], again["reason"][0]) == ("done", right, "")


def test_what_is_absent_is_asked_for_again_while_it_may_yet_come(replay, transport, tmp_path):
    url = f"{replay.url}/late.txt"
    now = pd.Timestamp.now("UTC").tz_localize(None)
    for name, when in (
        ("new", now - pd.Timedelta(days=2)),
        ("old", now - pd.Timedelta(days=99)),
        ("none", None),
    ):
        fetch(plan_table([one(url, time=when)]), tmp_path / name, transport=transport)
    replay.add("/late.txt", "it has come")
    states = {
        name: fetch(None, tmp_path / name, transport=transport).manifest["state"][0]
        for name in ("new", "old", "none")
    }
    assert states == {"new": "done", "old": "absent", "none": "absent"}


def test_a_plan_that_was_a_csv_joins_a_store_that_was_filled_from_memory(replay, transport, tmp_path):
    url = replay.add("/a.txt", "hello")
    plan = plan_table([one(url, wanted=pd.Timestamp("2014-01-01"), off_seconds=1.5)])
    first = fetch(plan, tmp_path / "s", transport=transport)
    plan.to_csv(tmp_path / "plan.csv", index=False)
    text = pd.read_csv(tmp_path / "plan.csv", dtype=str).fillna("").assign(bytes=None)
    again = fetch(text, tmp_path / "s", transport=transport)
    pd.testing.assert_frame_equal(again.links, first.links)
    more = fetch(
        plan_table([one(url, event="f", wanted="soon", off_seconds="")]), tmp_path / "s", transport=transport
    )
    assert more.links["wanted"].tolist() == ["2014-01-01 00:00:00", "soon"]
    assert more.links["off_seconds"].isna().tolist() == [False, True]


def test_a_further_column_of_several_types_is_text(replay, transport, tmp_path):
    url = replay.add("/a.txt", "hello")
    plan = plan_table([one(url, x=1), one(url, event="f", x="a")])
    assert fetch(plan, tmp_path / "s", transport=transport).links["x"].tolist() == ["1", "a"]


@pytest.mark.parametrize("size", ["-5", "true", "99999999999999999999999"])
def test_a_size_in_the_journal_that_is_none_is_refused(replay, transport, tmp_path, size):
    fetch(plan_table([one(replay.add("/a.txt", "hello"))]), tmp_path, transport=transport)
    (tmp_path / "journal.jsonl").write_text(f'{{"source": "images", "id": "a", "size": {size}}}\n')
    with pytest.raises(ArchiveError, match=r"journal\.jsonl, line 1, is damaged"):
        Store(tmp_path)


def test_a_folder_in_the_way_of_a_file_costs_that_file_only(replay, transport, tmp_path):
    rows = [one(replay.add("/a.txt", "a")), one(replay.add("/b.txt", "b"), id="b", name="b.txt")]
    fetch(plan_table(rows[1:]), tmp_path / "s", transport=transport)
    (tmp_path / "s/images/a.txt/x").mkdir(parents=True)
    manifest = fetch(plan_table(rows), tmp_path / "s", transport=transport).manifest.set_index("id")
    assert (
        manifest["state"].to_dict() == {"a": "failed", "b": "done"} and "a.txt" in manifest.loc["a", "reason"]
    )
