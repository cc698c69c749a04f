"""plan, fetch, verify and prepare on the command line."""

import json

import numpy as np
import pandas as pd
import pytest

from solartrack import cli, images, simulate, sources
from solartrack.boxes import to_arcsec
from solartrack.coordinates import ImageGeometry
from solartrack.sources import jsoc
from sources.made import jp2_bytes

XYXY = ["x0", "y0", "x1", "y1"]


@pytest.fixture
def report_server(replay):
    """Two days of reports; the third is missing."""
    for day in (5, 6):
        text = (
            f":Product: 01{day:02}SRS.txt\n:Issued: 2014 Jan {day:02} 0030 UTC\nI.  Regions with Sunspots.\n"
            f"1936 S15W{day:02}   227  0060 Hsx  03   02 Alpha\n"
        )
        replay.add(f"/reports/201401{day:02}SRS.txt", text)
    return f"{replay.url}/reports/"


@pytest.fixture
def image_server(replay):
    """An image on every full hour."""

    def closest(asked):
        moment = pd.Timestamp(asked.query["date"].removesuffix("Z")).round("h")
        answer = {"id": str(int(moment.timestamp()) // 3600), "date": f"{moment:%Y-%m-%d %H:%M:%S}"}
        return 200, "application/json", json.dumps(answer).encode()

    replay.add("/v2/getClosestImage/", closest)
    replay.add("/v2/getJP2Image/", jp2_bytes(), content_type="image/jp2")
    return f"{replay.url}/v2/"


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("event,event_type,start,end\na,AR,2014-02-03T00:00,2014-02-03T04:02\n")
    return str(path)


def test_reports_are_fetched_and_missing_ones_named(report_server, tmp_path, capsys):
    command = ["fetch", "reports", "srs", "2014-01-05", "2014-01-07", "--base-url", report_server]
    assert cli.main([*command, "-o", str(tmp_path / "s"), "-q"]) == cli.INCOMPLETE
    out, err = capsys.readouterr()
    assert "2 done" in out and "1 files are missing" in err and "20140107SRS.txt" in err
    assert len(sources.Store(tmp_path / "s").files()) == 2


def test_a_finished_fetch_is_said_in_words_and_in_numbers(report_server, tmp_path, capsys):
    command = ["fetch", "reports", "srs", "2014-01-05", "2014-01-06", "--base-url", report_server]
    assert cli.main([*command, "-o", str(tmp_path / "s")]) == cli.OK
    assert "2 done" in capsys.readouterr().out
    assert cli.main([*command, "-o", str(tmp_path / "s"), "--json"]) == cli.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["done"], told["failed"]) == (2, 0) and told["bytes"] > 100


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_plan_is_written_and_fetched_later(image_server, events, tmp_path, capsys, suffix, replay):
    plan = tmp_path / f"plan{suffix}"
    command = ["plan", "images", events, "--base-url", image_server, "-o", str(plan)]
    assert cli.main([*command, "--json"]) == cli.OK
    assert json.loads(capsys.readouterr().out) == {"files": 5, "events": 1, "bytes": None}
    assert replay.count("/v2/getJP2Image/") == 0
    assert cli.main(["fetch", "plan", str(plan), "-o", str(tmp_path / "s"), "-q"]) == cli.OK
    assert len(sources.Store(tmp_path / "s").files("a")) == 5
    asked = replay.count()
    assert (
        cli.main(
            ["fetch", "plan", str(plan), "-o", str(tmp_path / "t"), "--offline", str(tmp_path / "s"), "-q"]
        )
        == 0
    )
    assert replay.count() == asked and len(sources.Store(tmp_path / "t").files("a")) == 5


def test_verify_finds_what_has_changed(image_server, events, tmp_path, capsys):
    store = str(tmp_path / "s")
    assert cli.main(["fetch", "images", events, "--base-url", image_server, "-o", store, "-q"]) == cli.OK
    assert cli.main(["verify", store]) == cli.OK
    assert "5 files: 0 troubles" in capsys.readouterr().out
    path = sources.Store(store).files()[0]
    path.write_bytes(path.read_bytes()[:-10])
    assert cli.main(["verify", store, "--json", "-q"]) == cli.INCOMPLETE
    told = json.loads(capsys.readouterr().out)
    (trouble,) = told["troubles"]
    assert told["files"] == 5 and trouble["path"].endswith(path.name)


def test_events_are_fetched_as_tracks(replay, shared, tmp_path, capsys):
    path = shared / "data/hek/hek_spoca_AR_CH_20130201.json"
    url = replay.add("/hek", path)
    command = ["fetch", "events", "2013-02-01", "2013-02-02", "--type", "AR,CH", "--method", "SPoCA"]
    assert cli.main([*command, "--base-url", url, "-o", str(tmp_path / "e"), "--json", "-q"]) == cli.OK
    told = json.loads(capsys.readouterr().out)
    assert told["events"] == 89 and told["objects"] == 7 and told["boxes"] == 43
    assert told["boxes"] + told["excluded"] == 89
    assert sorted(p.name for p in (tmp_path / "e").iterdir()) == [
        "boxes.csv", "catalogue.csv", "events.parquet", "excluded.csv",
    ]  # fmt: skip
    assert (
        cli.main(["plan", "events", "2013-02-01", "2013-04-02", "--type", "CH", "--method", "SPoCA"])
        == cli.OK
    )
    assert "queries, 0 of them answered by the cache" in capsys.readouterr().out


def test_magnetograms_are_planned_from_summaries(tmp_path, capsys):
    text = ":Issued: 2014 Jan 05 0030 UTC\nI.  Regions with Sunspots.\n1936 S15W05   227  0060 Hsx  03   02 Alpha\n"
    text += "IA. Plages.\nNone\nII. Due to Return.\nNone\n"
    (tmp_path / "20140105SRS.txt").write_text(text)
    command = ["plan", "magnetograms", "11936", "--srs", str(tmp_path), "-o", str(tmp_path / "p.csv")]
    assert cli.main(command) == cli.OK
    assert "1 exports with 121 records; JSOC makes them one after the other" in capsys.readouterr().out
    assert cli.main(["plan", "magnetograms", "377", "--harp", "--segments", "Br,bitmap", "--json"]) == cli.OK
    assert json.loads(capsys.readouterr().out)["records"] is None


def test_an_export_without_an_address_says_what_to_set(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(jsoc.EMAIL_VARIABLE, raising=False)
    assert (
        cli.main(["fetch", "magnetograms", "377", "--harp", "-o", str(tmp_path / "s"), "-q"])
        == cli.INCOMPLETE
    )
    assert "set SOLARTRACK_JSOC_EMAIL" in capsys.readouterr().err


def test_a_data_set_is_prepared_from_a_store(replay, tmp_path, capsys):
    folder = tmp_path / "fits"
    drawn = simulate.write(folder, simulate.sequence(5, 2, "4h", size=64))
    rows, truth = [], []
    for number, path in enumerate(sorted(folder.glob("*.fits"))):
        image = images.read(path)
        geometry = ImageGeometry.from_header(image.header)
        box = drawn[(drawn["frame"] == number) & (drawn["id"] == drawn["id"].iloc[0])][XYXY].to_numpy(
            np.float64
        )
        time = image.time.datetime.isoformat()
        rows.append(
            {"source": "helioviewer", "id": str(number), "url": replay.add(f"/{number}", path), "name": path.name,
             "check": "fits", "time": time, "event": "one"}
        )  # fmt: skip
        truth.append(("one", time, *to_arcsec(box, geometry)[0]))
    sources.fetch(sources.plan_table(rows), tmp_path / "s")
    table = tmp_path / "boxes.csv"
    pd.DataFrame(truth, columns=["event", "time", "tx0", "ty0", "tx1", "ty1"]).to_csv(table, index=False)
    command = [
        "prepare",
        str(table),
        "--images",
        str(tmp_path / "s"),
        "-o",
        str(tmp_path / "d"),
        "--json",
        "-q",
    ]
    assert cli.main(command) == cli.OK
    assert json.loads(capsys.readouterr().out) == {"events": 1, "frames": 2, "boxes": 2, "problems": 0}
    far = tmp_path / "far.csv"
    far.write_text(table.read_text().replace("one", "two"))
    command = [
        "prepare",
        str(far),
        "--images",
        str(folder / "frame_0000.fits"),
        "-o",
        str(tmp_path / "e"),
        "-q",
    ]
    assert cli.main(command) == cli.INCOMPLETE
    assert "1 one image" in (err := capsys.readouterr().err) and "1 no image" in err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["fetch", "images", "none.csv", "-o", "s"], "there is no file none.csv"),
        (["fetch", "plan", "plan.txt", "-o", "s"], "there is no file plan.txt"),
        (["plan", "reports", "srs", "2014-02-01", "2014-01-01"], "lies before start"),
        (["plan", "reports", "srs", "2014-01-01", "2014-01-01", "-o", "p.txt"], "suffix must be one of"),
        (["plan", "events", "2014-01-01", "2014-01-02", "--method", "None"], "unknown method"),
        (["verify", "nowhere"], "nowhere"),
        (["prepare", "boxes.csv", "-o", "d"], "--images is missing"),
        (["prepare", "movie.mp4", "-o", "d"], "there is no movie movie.mp4"),
        (["plan", "magnetograms", "--harp"], "no HARP number was given"),
    ],
)
def test_bad_commands_are_one_line(tmp_path, capsys, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == cli.FAILED
    err = capsys.readouterr().err
    assert err.startswith("solartrack: error: ") and message in err and err.count("\n") == 1


def test_names_of_events_are_text(image_server, tmp_path):
    path = tmp_path / "e.csv"
    rows = [
        "001,AR,2014-02-03,",
        "1,AR,2014-03-03,",
        "1e5,AR,2014-04-03,",
        "20140203000000000001,AR,2014-05-03,",
    ]
    path.write_text("event,event_type,start,end\n" + "\n".join(rows))
    assert (
        cli.main(
            ["plan", "images", str(path), "--base-url", image_server, "-o", str(tmp_path / "p.csv"), "-q"]
        )
        == 0
    )
    pd.read_csv(tmp_path / "p.csv", dtype={"event": str}).assign(bytes=[11.0, None, None, 12.0]).to_csv(
        tmp_path / "p.csv", index=False
    )
    assert cli.main(["fetch", "plan", str(tmp_path / "p.csv"), "-o", str(tmp_path / "s"), "-q"]) == 0
    store = sources.Store(tmp_path / "s")
    assert store.links["event"].tolist() == ["001", "1", "1e5", "20140203000000000001"]
    assert len(store.files("001")) == 1 and store.manifest["bytes"][0] == 11


def test_a_size_of_a_plan_that_is_none_is_named(tmp_path, capsys):
    (tmp_path / "p.csv").write_text(
        "source,id,url,name,check,time,bytes,event,request\nswpc,a,,a,text,,many,,\n"
    )
    assert cli.main(["fetch", "plan", str(tmp_path / "p.csv"), "-o", str(tmp_path / "s")]) == cli.FAILED
    assert "row 1 of the plan: bytes must be a whole number or empty, got 'many'" in capsys.readouterr().err
