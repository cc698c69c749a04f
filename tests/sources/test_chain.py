"""From a question to the HEK to tracks and a data set, with a local server in place of the archives."""

import json
import re
import shlex
from datetime import datetime, timedelta
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
import pytest

from solartrack import archive, cli, metrics, simulate, sources
from solartrack.boxes import to_arcsec
from solartrack.coordinates import ImageGeometry
from solartrack.sources import hek, helioviewer, prepare
from solartrack.viz import overlays
from sources.made import helioviewer_bytes

XYXY = ["x0", "y0", "x1", "y1"]
FIRST = datetime(2013, 1, 31, 23, 13)  # of the images, which are two hours apart
DAY = ("2013-02-01", "2013-02-02")


@pytest.fixture(scope="module")
def frames():
    """A simulated Sun over the day, every two hours."""
    sun = simulate.SunModel(11, start=FIRST, days=1.5)
    return list(simulate.sequence(sun, 15, "2h", size=128))


class Archives:
    """The HEK with given rows, and a Helioviewer with the images of the simulated Sun."""

    def __init__(self, replay, rows, frames):
        self.replay, self.rows = replay, rows
        self.images = {
            str(1000 + i): (frame.time, helioviewer_bytes(frame)) for i, frame in enumerate(frames)
        }
        self.hek = replay.add("/hek/her", self._events)
        self.helioviewer = replay.url + "/v2/"
        replay.add("/v2/getClosestImage/", self._closest)
        replay.add("/v2/getJP2Image/", lambda asked: (200, "image/jp2", self.images[asked.query["id"]][1]))

    def _events(self, asked):
        found = [row for row in self.rows if row["event_type"] == asked.query["event_type"].upper()]
        body = json.dumps({"result": found, "association": [], "overmax": False}, ensure_ascii=False)
        return 200, "application/json", ("\n   " + body).encode("latin-1")

    def _closest(self, asked):
        wanted = datetime.fromisoformat(asked.query["date"].removesuffix("Z"))
        id, (time, _) = min(self.images.items(), key=lambda item: abs(item[1][0] - wanted))
        answer = {"id": id, "date": f"{time:%Y-%m-%d %H:%M:%S}", "name": "AIA 171"}
        return 200, "application/json", json.dumps(answer).encode()


def as_rows(frames):
    """The true boxes of every other frame, as SPoCA reports regions to the HEK."""
    rows = []
    for frame in frames[:14:2]:
        end = frame.time + timedelta(hours=4)
        boxes = to_arcsec(frame.boxes, ImageGeometry.from_header(frame.header))
        for number, (x0, y0, x1, y1) in zip(frame.ids, boxes.tolist(), strict=True):
            polygon = f"POLYGON(({x0} {y0},{x1} {y0},{x1} {y1},{x0} {y1},{x0} {y0}))"
            rows.append(
                {
                    "event_type": "AR",
                    "frm_name": "SPoCA",
                    "frm_specificid": f"SPoCA_v1.0_AR_{number:010}",
                    "event_starttime": frame.time.isoformat(),
                    "event_endtime": end.isoformat(),
                    "hpc_bbox": polygon,
                    "hpc_boundcc": polygon,
                    "hpc_coord": f"POINT({x0} {y0})",
                    "ar_noaanum": None,
                    "kb_archivid": f"ivo://helio-informatics.org/AR_SPoCA_{frame.time:%Y%m%dT%H%M%S}_{number}",
                }
            )
    return rows


class Chain:
    """Events, tracks, images, archive run and data set, one after the other."""

    def __init__(self, archives, transport, folder):
        self.events = hek.search(
            *DAY, event_type="AR", method="SPoCA", transport=transport, base_url=archives.hek
        )
        self.tracks = hek.tracks(self.events)
        plan = helioviewer.plan(self.tracks.boxes, transport=transport, base_url=archives.helioviewer)
        self.store = sources.fetch(plan, folder / "images", transport=transport)
        self.manifest = archive.track_archive(
            self.tracks.catalogue, self.store, folder / "run", tracker="rotation", workers=0
        )
        self.set = prepare.tracking_set(self.tracks.boxes, self.store, folder / "set")
        self.followed = pd.read_parquet(folder / "run" / "tracks").astype({"event": "str"})

    def overlaps(self):
        """Mean IoU of the true boxes of the set with those of the tracks, and with a box that stands still.

        In pixels of the images, which are those of the pictures: both have north up.
        """
        truth = self.set.boxes.merge(self.set.frames[["event", "frame", "file"]], on=["event", "frame"])
        tables = [t.assign(file=t["file"].map(lambda f: PurePath(f).name)) for t in (truth, self.followed)]
        both = tables[0].merge(*tables[1:], on=["event", "file"], suffixes=("", "_track"), validate="1:1")
        assert len(both) == len(self.tracks.boxes)
        true = both[XYXY].to_numpy(np.float64)
        still = both.groupby("event")[XYXY].transform("first").to_numpy(np.float64)
        tracked = both[[f"{name}_track" for name in XYXY]].to_numpy(np.float64)
        return metrics.iou(tracked, true).mean(), metrics.iou(still, true).mean()


def check_complete(chain, archives):
    """Every object is followed and has its pictures, every image came once, and nothing is wrong."""
    catalogue, boxes, _ = chain.tracks
    assert chain.store.manifest["state"].eq("done").all() and chain.store.verify().empty
    assert archives.replay.count("/v2/getJP2Image/") == len(chain.store.files()) <= len(archives.images)
    counts = chain.manifest["counts"]
    assert (counts["events"], counts["tracked"], counts["errors"]) == (len(catalogue),) * 2 + (0,)
    assert set(chain.followed["state"]) <= {"start", "tracked"}
    assert chain.set.report.empty
    assert len(chain.set.boxes) == len(boxes)
    assert set(chain.set.frames["event"]) == set(catalogue["event"])


def test_regions_of_the_simulator_are_followed_from_the_archives_answers(frames, replay, transport, tmp_path):
    archives = Archives(replay, as_rows(frames), frames)
    chain = Chain(archives, transport, tmp_path)
    assert len(chain.tracks.catalogue) >= 3
    check_complete(chain, archives)
    followed, still = chain.overlaps()
    assert followed > 0.98 > 0.9 > still


def test_recorded_regions_are_followed(shared, frames, replay, transport, tmp_path):
    recorded = (shared / "data/hek/hek_spoca_AR_CH_20130201.json").read_text("latin-1")
    archives = Archives(replay, json.loads(recorded)["result"], frames)
    chain = Chain(archives, transport, tmp_path)
    assert len(chain.events) == 50
    assert (len(chain.tracks.catalogue), len(chain.tracks.boxes)) == (4, 26)
    check_complete(chain, archives)
    followed, still = chain.overlaps()
    # Boxes of SPoCA grow and shrink from one row to the next.
    assert followed > 0.57 and followed > still + 0.15


def test_a_store_that_has_grown_continues_the_run(frames, replay, transport, tmp_path):
    archives = Archives(replay, as_rows(frames), frames)
    whole = Chain(archives, transport, tmp_path / "whole")
    plan = helioviewer.plan(whole.tracks.boxes, transport=transport, base_url=archives.helioviewer)
    store = sources.fetch(plan[plan["time"] < plan["time"].max()], tmp_path / "s", transport=transport)
    catalogue, run = whole.tracks.catalogue, tmp_path / "run"
    archive.track_archive(catalogue, store, run, tracker="rotation", workers=0)
    store = sources.fetch(plan, tmp_path / "s", transport=transport)
    with pytest.warns(UserWarning, match="images has 1 paths more"):
        archive.track_archive(catalogue, store, run, tracker="rotation", workers=0)
    followed = pd.read_parquet(run / "tracks").astype({"event": "str"})
    columns = ["event", "frame", "time", *XYXY]
    pd.testing.assert_frame_equal(followed[columns], whole.followed[columns])


def examples(page, language="python"):
    """The examples of a page of docs/sources."""
    text = (Path(__file__).parents[2] / "docs" / "sources" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def at_home(monkeypatch, tmp_path):
    """Point the defaults of the examples to the local server, and let them work in a folder of their own."""

    def serve(archives):
        for function, name, value in (
            (hek.search, "base_url", archives.hek),
            (helioviewer.plan, "base_url", archives.helioviewer),
            (archive.track_archive, "workers", 0),
        ):
            monkeypatch.setitem(function.__kwdefaults__, name, value)

    monkeypatch.chdir(tmp_path)
    return serve


def test_the_example_of_the_first_page_runs_and_goes_on(frames, replay, at_home):
    at_home(Archives(replay, as_rows(frames), frames))
    example = examples("index.md")[0]
    first, again = {}, {}
    exec(example, first)
    assert first["troubles"].empty and first["made"].report.empty
    assert len(first["followed"]["event"].unique()) == len(first["tracks"].catalogue) >= 3
    asked = replay.count()
    exec(example, again)
    assert replay.count() == asked
    pd.testing.assert_frame_equal(again["followed"], first["followed"])
    pd.testing.assert_frame_equal(again["made"].boxes, first["made"].boxes)


def test_the_commands_of_the_first_page_run(frames, replay, at_home, capsys):
    at_home(Archives(replay, as_rows(frames), frames))
    (commands,) = examples("index.md", "console")
    for line in commands.splitlines():
        name, *words = shlex.split(line)
        assert name == "solartrack" and cli.main(words) == cli.OK, line
    followed = pd.read_parquet("run/tracks")
    assert set(followed["state"]) <= {"start", "tracked"}
    assert len(followed["event"].unique()) == len(pd.read_csv("regions/catalogue.csv")) >= 3
    assert pd.read_csv("set/report.csv").empty


def test_the_examples_of_data_sets_run(frames, replay, at_home):
    rows = [row | {"event_type": "CH"} for row in as_rows(frames)]
    at_home(Archives(replay, rows, frames))
    make, follow = examples("prepare.md")[:2]
    names = {}
    exec(make, names)
    exec(follow, names)
    assert names["made"].report.empty and len(names["track"]) == len(names["rows"])
    assert names["scored"].mean_iou > 0.9


def test_the_example_of_outlines_runs(frames, replay, at_home):
    rows = [row | {"event_type": "CH"} for row in as_rows(frames)]
    at_home(Archives(replay, rows, frames))
    exec(examples("prepare.md")[0], {})
    names = {}
    exec(examples("../overlay.md")[0], names)
    assert len(names["events"]) > 0
    for colour in (overlays.LIMB, overlays.OUTLINE):
        assert (np.asarray(names["picture"]) == colour).all(axis=-1).sum() > 100


def test_the_tables_have_the_columns_that_the_page_for_migration_names(frames, replay, at_home):
    rows = [row | {"event_type": "CH"} for row in as_rows(frames)]
    at_home(Archives(replay, rows, frames))
    names = {}
    exec(examples("prepare.md")[0], names)
    page = (Path(__file__).parents[2] / "docs" / "sources" / "migrating.md").read_text()
    rows = page.partition("| table | columns |\n")[2].partition("\n\n")[0].splitlines()[1:]
    told = [re.findall("`([^`]+)`", row.split("|")[2]) for row in rows]
    events, excluded, catalogue, boxes, pictures = told
    tracks, made = names["tracks"], names["made"]
    assert [*events[:-1], "reason"] == list(tracks.excluded) and excluded == ["reason"]
    assert events[:-1] == list(tracks.boxes) == list(names["events"]) and events[-1] == "columns="
    assert catalogue == list(tracks.catalogue) and boxes == list(made.boxes)
    assert pictures == list(made.frames)[: len(pictures)]
    (rename,) = (example for example in examples("migrating.md") if "mine.csv" in example)
    exec(rename, {})
    written = pd.read_csv("mine.csv")
    assert list(written) == ["id", "image", "left", "top", "w", "h"] and len(written) == len(made.boxes)
