import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image
from scipy import ndimage

from solartrack import cli, features, images, simulate, tracking, viz
from solartrack.inference import _load_once, find_model
from solartrack.metrics.many_tracks import score_many
from solartrack.viz import overlays

BOX = "20,20,30,28"
DISK = "--disk=32,32,28,4"
# What is tested here is the command; this tracker is right whatever the pixels show.
TRACK = ("track", "--tracker", "rotation")
GOOD = (*TRACK, "{frames}", "--box", BOX, DISK, "--cadence", "1h", "-o", "{empty}/t.csv")


@pytest.fixture
def track_file(pictures, tmp_path):
    path = tmp_path / "track.csv"
    assert (
        cli.main([*TRACK, str(pictures), "--box", BOX, DISK, "--cadence", "6h", "-q", "-o", str(path)]) == 0
    )
    return path


def test_track_writes_a_row_per_image_and_says_so(pictures, tmp_path, capsys):
    path = tmp_path / "out.parquet"
    status = cli.main(
        [*TRACK, str(pictures), "--box", BOX, DISK, "--cadence", "6h", "--start", "11", "-o", str(path)]
    )
    assert status == 0
    table = tracking.read_track(path)
    assert table["frame"].tolist() == [6, 11, 16] and table["state"].tolist() == [
        "tracked",
        "start",
        "tracked",
    ]
    out = capsys.readouterr().out
    assert "3 images: 2 tracked, 1 start" in out and f"wrote {path}" in out


def test_track_equals_the_library(pictures, track_file):
    from solartrack.coordinates import ImageGeometry

    disk = ImageGeometry.from_disk((32, 32), 28, b0_deg=4)
    expected = tracking.track(pictures, [20, 20, 30, 28], tracker="rotation", cadence="6h", geometry=disk)
    pd.testing.assert_frame_equal(tracking.read_track(track_file), expected)


def test_detect_finds_and_follows_all_regions_of_a_simulated_sequence(tmp_path, capsys):
    pytest.importorskip("skimage")
    model = simulate.SunModel(970001, n_regions=8, days=2.0, ephemeral=(), merging=0.0)
    frames = list(simulate.sequence(model, 4, "12h", size=256, output="intensity"))
    simulate.write(tmp_path / "sun", frames)
    path = tmp_path / "t.parquet"
    command = ["track", str(tmp_path / "sun"), "--detect", "--every", "12h", "-o", str(path)]
    assert cli.main(command) == 0
    table = tracking.read_track(path)
    out = capsys.readouterr().out
    assert f"4 images, {table['id'].nunique()} active regions: " in out and f"wrote {path}" in out
    expected = tracking.track_all(tmp_path / "sun", every="12h")
    pd.testing.assert_frame_equal(table, expected)
    # The boxes of the strong field, which an image shows.
    truth = [
        (number, name, box[1].start, box[0].start, box[1].stop, box[0].stop)
        for number, frame in enumerate(frames)
        for name, box in enumerate(ndimage.find_objects(frame.mask), 1)
        if (frame.mask == name).sum() > 20
    ]
    columns = ["frame", "id", "x0", "y0", "x1", "y1"]
    scores = score_many(pd.DataFrame(truth, columns=columns), table)
    print(f"MOTA {scores.mota:.2f}, IDF1 {scores.idf1:.2f}")
    assert scores.mota > 0.8 and scores.idf1 > 0.9 and scores.id_switches == 0


def test_detect_says_what_it_could_not_search(pictures, tmp_path, capsys):
    pytest.importorskip("skimage")
    command = ["track", str(pictures), "--detect", DISK, "--cadence", "6h", "-o", str(tmp_path / "t.csv")]
    assert cli.main(command) == 1
    assert "no image could be searched; frame 6 " in capsys.readouterr().err
    frame = simulate.render(simulate.SunModel(4, n_regions=0, n_holes=0), "2014-02-01", size=256)
    for number in (6, 16):
        Image.fromarray(frame.array).save(pictures / f"{number:03}.png")
    disk = f"--disk=128,128,{frame.view.radius},-6"
    assert cli.main([*command[:3], disk, *command[4:]]) == 3
    told = capsys.readouterr()
    assert "warning: 1 images could not be searched, the first: frame 11 " in told.err
    assert "3 images, 0 active regions\n" in told.out
    assert len(tracking.read_track(tmp_path / "t.csv")) == 0


def test_a_hole_can_be_followed_by_its_segmentation(tmp_path):
    pytest.importorskip("skimage")
    model = simulate.SunModel(961_004, n_regions=8, n_holes=12, days=2)
    frames = list(simulate.sequence(model, 2, "8h", size=256, channel="193", output="intensity"))
    simulate.write(tmp_path / "sun", frames)
    box = frames[0].segmented("coronal_hole").boxes[0]
    path = tmp_path / "t.csv"
    command = ["track", str(tmp_path / "sun"), "--box", ",".join(f"{v:.2f}" for v in box), "-o", str(path)]
    assert cli.main([*command, "--tracker", "segmentation", "--kind", "coronal_hole"]) == 0
    table = tracking.read_track(path)
    assert table["state"].tolist() == ["start", "tracked"]
    assert table.attrs["settings"]["kind"] == "coronal_hole"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--box", BOX, "--kind", "coronal_hole"), "--kind says what --detect looks for"),
        (("--box", BOX, "--every", "1h"), "--every says what --detect looks for"),
        (("--detect", "--start", "11"), "--detect begins with the first image"),
        (("--detect", "--every", "often"), "every must be a length of time"),
        (("--detect", "-o", "t.ann"), "the suffix must be one of .csv, .parquet"),
    ],
)
def test_options_of_detect_that_say_nothing_are_refused(pictures, capsys, options, message):
    assert cli.main(["track", str(pictures), DISK, "--cadence", "6h", *options]) == 1
    assert message in capsys.readouterr().err


def test_start_and_cadence_give_dates(pictures, tmp_path):
    path = tmp_path / "t.csv"
    when = ["--times", "2014-02-03T00:00:00", "--cadence", "6h"]
    assert cli.main([*TRACK, str(pictures), "--box", BOX, DISK, *when, "-q", "-o", str(path)]) == 0
    assert tracking.read_track(path)["time"].tolist()[2] == pd.Timestamp("2014-02-03T12:00")


@pytest.mark.parametrize(
    ("times", "cure"),
    [
        ("4h", "use --cadence 4h"),
        ("2014-02-03T00:00:00/6h", "use --times 2014-02-03T00:00:00 --cadence 6h"),
        ("2014-02-03", "use --times 2014-02-03 --cadence 4h, for example"),
    ],
)
def test_times_that_need_a_cadence_say_how_to_give_it(pictures, tmp_path, capsys, times, cure):
    out = ["-o", str(tmp_path / "t.csv")]
    assert cli.main([*TRACK, str(pictures), "--box", BOX, DISK, "--times", times, *out]) == 1
    assert cure in capsys.readouterr().err and not (tmp_path / "t.csv").exists()


def test_a_cadence_beside_the_times_of_all_images_is_refused(pictures, tmp_path, capsys):
    listing = tmp_path / "times.csv"
    listing.write_text("frame,time\n6,2014-02-03\n11,2014-02-04\n16,2014-02-05\n")
    when = ["--times", str(listing), "--cadence", "4h"]
    assert cli.main([*TRACK, str(pictures), "--box", BOX, DISK, *when, "-o", str(tmp_path / "t.csv")]) == 1
    assert "with a cadence, times may only be the time of the first image" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["frame", "file"])
def test_times_may_come_from_a_table_that_lacks_some(pictures, tmp_path, capsys, key):
    names = {"frame": ["6", "16"], "file": ["006.png", "016.png"]}[key]
    listing = tmp_path / "times.csv"
    listing.write_text(f"{key},time\n{names[0]},2014-02-03\n{names[1]},2014-02-04\n")
    path = tmp_path / "t.csv"
    status = cli.main(
        [*TRACK, str(pictures), "--box", BOX, DISK, "--times", str(listing), "-q", "-o", str(path)]
    )
    assert status == cli.INCOMPLETE == 3
    assert tracking.read_track(path)["state"].tolist() == ["start", "no_time", "tracked"]
    assert "frame 11: no_time" in capsys.readouterr().err


def test_unreadable_image_makes_the_exit_status_3_and_names_it(pictures, tmp_path, capsys):
    (pictures / "011.png").write_bytes(b"not a picture")
    path = tmp_path / "t.csv"
    status = cli.main([*TRACK, str(pictures), "--box", BOX, DISK, "--cadence", "6h", "-q", "-o", str(path)])
    assert status == 3 and tracking.read_track(path)["state"].tolist() == ["start", "unreadable", "tracked"]
    assert "frame 11: unreadable" in capsys.readouterr().err


def test_box_in_arcsec_is_put_on_the_start_image(tmp_path):
    header = fits.Header(
        {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec", "CRPIX1": 32.5,
         "CRPIX2": 32.5, "CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": 35.0, "CDELT2": 35.0, "DSUN_OBS": 1.496e11,
         "HGLT_OBS": 4.0, "DATE-OBS": "2014-02-03T00:00:00"}
    )  # fmt: skip
    fits.writeto(tmp_path / "a.fits", np.zeros((64, 64), np.float32), header)
    out = tmp_path / "t.csv"
    status = cli.main([*TRACK, str(tmp_path / "a.fits"), "--box-arcsec=-70,-35,35,70", "-q", "-o", str(out)])
    assert status == 0
    box = tracking.read_track(out)[["x0", "y0", "x1", "y1"]].to_numpy()[0]
    np.testing.assert_allclose(box, [30, 31, 33, 34], atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TRACK, "nowhere", "--box", BOX], "no such file or folder: nowhere"),
        ([*TRACK, "{frames}", "--box", BOX], "give the disk"),
        ([*TRACK, "{frames}", "--box", BOX, DISK], "has no time; give times or a cadence"),
        ([*TRACK, "{frames}", "--box", BOX, DISK, "--cadence", "soon"], "cadence must be a length of time"),
        (
            [*TRACK, "{frames}", "--box", BOX, DISK, "--times", "2014-13-01", "--cadence", "4h"],
            "times must be dates such as",
        ),
        ([*TRACK, "{frames}", "--box", BOX, DISK, "--times", "/4h"], "is not a file, a cadence"),
        ([*TRACK, "{frames}", "--box", BOX, DISK, "--cadence", "4"], "cadence must be a length of time"),
        ([*TRACK, "{frames}", "--box", BOX, "-o", "{empty}/no/t.csv"], "there is no folder {empty}/no"),
        ([*TRACK, "{frames}", "--box", BOX, "-o", "{empty}"], "suffix must be"),
        (["draw", "{frames}", "--track", "x.csv", "-o", "a.txt"], "suffix must be one of .mp4, .gif"),
        (["evaluate", "a.csv", "b.csv", "--plot", "c.txt"], "suffix must be one of .png"),
        (
            [*TRACK, "{frames}", "--box", BOX, DISK, "--cadence", "1h", "--start", "7"],
            "no frame 7 to start at",
        ),
        (
            [*TRACK, "{frames}", "--box", BOX, DISK, "--cadence", "1h", "--tracker", "x"],
            "tracker must be one of",
        ),
        ([*GOOD, "--model", "goturn-lite"], "the tracker 'rotation' has no model; leave it out"),
        ([*GOOD, "--device", "cpu"], "the tracker 'rotation' has no device; leave it out"),
        ([*GOOD, "--tracker", "solar", "--model", "best"], "model must be goturn-lite or an .onnx file"),
        (
            [*GOOD, "--tracker", "solar", "--model", "{frames}/006.png"],
            "006.png is not a readable ONNX model",
        ),
        (
            [*GOOD, "--tracker", "goturn", "--device", "gpu"],
            "device must be 'auto', 'cpu', 'cuda' or 'cuda:N'",
        ),
        (["demo", "--tracker", "x", "-o", "{empty}/d"], "tracker must be one of"),
        (
            [*TRACK, "{frames}", "--box", BOX, DISK, "--cadence", "1h", "-q", "-o", "{frames}/a.xls"],
            "suffix must be",
        ),
        ([*TRACK, "{empty}", "--box", BOX], "no images found in {empty}"),
        (["evaluate", "nowhere.csv", "nowhere.ann"], "there is no file nowhere.csv"),
        (["draw", "{frames}", "--track", "nowhere.csv", "-o", "a.mp4"], "there is no file nowhere.csv"),
        (["demo", "--images", "1", "-o", "{empty}/d"], "--images must be at least 2"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(pictures, tmp_path, capsys, arguments, message):
    empty = tmp_path / "empty"
    empty.mkdir()
    fill = {"frames": str(pictures), "empty": str(empty)}
    assert cli.main([a.format(**fill) for a in arguments]) == 1
    err = capsys.readouterr().err
    assert message.format(**fill) in err and err.splitlines()[-1].startswith("solartrack: error: ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments", [[*TRACK, "x"], [*TRACK, "x", "--box", "1,2,3"], [*TRACK, "x", "--box", "a,b,c,d"], [], ["fly"],
                  [*TRACK, "x", "--box", BOX, "--disk", "1,2"]],
)  # fmt: skip
def test_wrong_usage_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: solartrack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TRACK, "x", "--box", BOX, "--trakcer", "rotation"], "--trakcer rotation; did you mean --tracker?"),
        (["draw", "x", "--trak=t.csv", "-o", "y.png"], "--trak=t.csv; did you mean --track?"),
        (["demo", "--xyzzy"], "unrecognized arguments: --xyzzy\n"),
        ([*TRACK, "x", "--box", "1,2,nan,4"], "expected four finite numbers x0,y0,x1,y1, got '1,2,nan,4'"),
        ([*TRACK, "x", "--box", "9,9,5,5"], "two corners and not width and height, got '9,9,5,5'"),
    ],
)
def test_wrong_usage_says_what_was_meant(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_help_of_every_command_tells_the_exit_status(capsys):
    for command in (
        [],
        ["track"],
        ["track-archive"],
        ["features"],
        ["evaluate"],
        ["draw"],
        ["demo"],
        ["report"],
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main([*command, "--help"])
        assert stop.value.code == 0
        out = capsys.readouterr().out
        assert "exit status:" in out and "usage: solartrack" in out


def test_the_default_tracker_is_solar_with_the_shipped_model(pictures, tmp_path):
    out = tmp_path / "t.csv"
    arguments = ["track", str(pictures), "--box", BOX, DISK, "--cadence", "6h", "-q", "-o", str(out)]
    assert cli.main(arguments) == 0
    default = tracking.read_track(out)
    assert set(default["tracker"]) == {"solar"} and default.attrs["settings"]["model"] == "goturn-lite"
    named = ["--tracker", "solar", "--model", str(find_model("goturn-lite")), "--device", "cpu"]
    assert cli.main([*arguments, *named]) == 0
    pd.testing.assert_frame_equal(tracking.read_track(out), default)


def test_without_onnxruntime_the_error_names_the_extra_and_the_way_without(
    pictures, tmp_path, capsys, monkeypatch
):
    _load_once.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    rest = [str(pictures), "--box", BOX, DISK, "--cadence", "6h", "-q", "-o", str(tmp_path / "t.csv")]
    demo = ["demo", "-q", "-o", str(tmp_path / "d"), "--images", "2", "--size", "128"]
    for command in (["track", *rest], demo):
        assert cli.main(command) == 1
        err = capsys.readouterr().err
        assert "pip install 'solartrack[cpu]'" in err and "--tracker rotation" in err
    assert not (tmp_path / "t.csv").exists() and not (tmp_path / "d").exists()
    assert cli.main([*TRACK, *rest]) == 0
    assert cli.main([*demo, "--tracker", "rotation"]) == 0


def write_truth(path, track, shift=0.0):
    track.assign(x0=track["x0"] + shift, x1=track["x1"] + shift)[["frame", "x0", "y0", "x1", "y1"]].to_csv(
        path, index=False
    )


def test_evaluate_scores_the_frames_after_the_start(track_file, tmp_path, capsys):
    track = tracking.read_track(track_file)
    truth = tmp_path / "truth.csv"
    write_truth(truth, track)
    assert cli.main(["evaluate", str(track_file), str(truth), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["mean_iou"] == 1.0 and scores["n_frames"] == 2
    write_truth(truth, track, shift=2.0)
    cli.main(["evaluate", str(track_file), str(truth)])
    out = capsys.readouterr().out
    assert out.startswith("mean IoU 0.6") and "over 2 frames" in out


def test_evaluate_counts_a_missing_box_as_zero(track_file, tmp_path, capsys):
    track = tracking.read_track(track_file)
    truth = tmp_path / "truth.csv"
    write_truth(truth, track)
    track.loc[2, ["x0", "y0", "x1", "y1"]] = np.nan
    tracking.write_track(track, track_file)
    cli.main(["evaluate", str(track_file), str(truth), "--json"])
    scores = json.loads(capsys.readouterr().out)
    assert scores["mean_iou"] == 0.5 and scores["n_reported"] == 1


def test_evaluate_scales_the_truth(track_file, tmp_path, capsys):
    track = tracking.read_track(track_file)
    track[["x0", "y0", "x1", "y1"]] *= 4
    write_truth(tmp_path / "truth.csv", track)
    cli.main(["evaluate", str(track_file), str(tmp_path / "truth.csv"), "--truth-scale", "0.25", "--json"])
    assert json.loads(capsys.readouterr().out)["mean_iou"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("99,1,1,2,2", "no frame number in common"),
        ("16,1,1,2,2\n16,3,3,4,4", "twice|once|unique|more than one"),
    ],
)
def test_evaluate_needs_one_true_box_for_some_frame(track_file, tmp_path, capsys, rows, message):
    import re

    truth = tmp_path / "truth.csv"
    truth.write_text(f"frame,x0,y0,x1,y1\n{rows}\n")
    assert cli.main(["evaluate", str(track_file), str(truth)]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_evaluate_draws_the_plot(track_file, tmp_path, capsys):
    write_truth(tmp_path / "truth.csv", tracking.read_track(track_file))
    plot = tmp_path / "scores.png"
    assert cli.main(["evaluate", str(track_file), str(tmp_path / "truth.csv"), "--plot", str(plot)]) == 0
    with Image.open(plot) as picture:
        assert picture.width > 800
    assert f"wrote {plot}" in capsys.readouterr().err


def test_draw_makes_a_movie_and_a_single_picture(pictures, track_file, tmp_path):
    import cv2

    movie, picture = tmp_path / "m.mp4", tmp_path / "p.png"
    draw = ["draw", str(pictures), "--track", str(track_file), "-q", "--size", "128"]
    assert cli.main([*draw, "-o", str(movie)]) == 0
    assert cv2.VideoCapture(str(movie)).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert cli.main([*draw, "--frame", "11", "-o", str(picture)]) == 0
    pixels = np.asarray(Image.open(picture))
    assert pixels.shape == (128, 128, 3)
    assert (np.all(pixels == (255, 0, 0), axis=2)).sum() > 20  # the red box


def test_draw_shows_the_limb_of_the_disk_that_is_given(pictures, track_file, tmp_path, capsys):
    picture = tmp_path / "p.png"
    draw = ["draw", str(pictures), "--track", str(track_file), "-q", "--frame", "11", "-o", str(picture)]
    assert cli.main([*draw, "--limb", "--disk", "32,32,28"]) == 0
    assert np.all(np.asarray(Image.open(picture)) == overlays.LIMB, axis=2).sum() > 1000
    assert cli.main([*draw, "--limb"]) == cli.FAILED
    assert "011.png does not say where the limb is" in capsys.readouterr().err


def test_draw_leaves_out_an_unreadable_image_and_says_so(pictures, track_file, tmp_path, capsys):
    (pictures / "011.png").write_bytes(b"")
    assert (
        cli.main(["draw", str(pictures), "--track", str(track_file), "-q", "-o", str(tmp_path / "m.gif")])
        == 3
    )
    assert "frame 11 left out" in capsys.readouterr().err


def test_draw_without_a_track_shows_one_image_with_its_pixels(pictures, tmp_path, capsys):
    first, eleventh = tmp_path / "first.png", tmp_path / "11.jpg"
    draw = ["draw", str(pictures), "--size", "512"]
    assert cli.main([*draw, "-o", str(first)]) == 0
    assert "frame 6\n" in capsys.readouterr().out
    assert cli.main([*draw, "--frame", "11", "-o", str(eleventh), "-q"]) == 0
    shown = images.find_images(pictures)
    expected = viz.overlay(images.read(shown[0]), size=512, grid=True, label=shown[0].name, row0="top")
    with Image.open(first) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(expected))
    with Image.open(eleventh) as picture:
        assert picture.size == (512, 512)
    for options, message in (
        (["--frame", "7"], "there is no frame 7; the images have 6 to"),
        (["--truth", "true.csv"], "--truth is drawn beside a track"),
        (["--limb"], "limb and outlines_arcsec need geometry"),
    ):
        assert cli.main([*draw, *options, "-o", str(first)]) == 1
        assert message in capsys.readouterr().err
    assert cli.main([*draw, "-o", str(tmp_path / "m.mp4")]) == 1
    assert "suffix must be one of .png" in capsys.readouterr().err


def test_draw_of_a_frame_that_is_not_there_is_an_error(pictures, track_file, tmp_path, capsys):
    arguments = [
        "draw",
        str(pictures),
        "--track",
        str(track_file),
        "-q",
        "--frame",
        "7",
        "-o",
        str(tmp_path / "p.png"),
    ]
    assert cli.main(arguments) == 1
    assert "there is no frame 7" in capsys.readouterr().err


def test_demo_renders_tracks_scores_and_draws(tmp_path, capsys):
    folder = tmp_path / "demo"
    assert cli.main(["demo", "-o", str(folder), "--images", "5", "--size", "256"]) == 0
    out = capsys.readouterr().out
    assert "mean IoU" in out and str(folder) in out
    made = {p.name for p in folder.iterdir()}
    tables = {"truth.csv", "track.csv", "features.csv", "forecasts.csv", "real-track.csv"}
    assert {"images", "scores.png", "movie.mp4", "last.png", "report.html", *tables} == made
    assert out.splitlines()[-1] == f"open in a browser:  {folder / 'report.html'}"
    assert len(list((folder / "images").glob("*.fits"))) == 5
    assert len(tracking.read_track(folder / "track.csv")) == 5
    assert cli.main(["demo", "-o", str(folder)]) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="interrupts are sent the POSIX way")
def test_interrupted_track_writes_the_rows_it_has(tmp_path):
    # An object that is slow on purpose stands in for a tracker: the interruption must hit it at work.
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(200):
        Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / f"{i:03}.png")
    script = f"""
import signal, sys, time
# Whatever started the tests in the background may have had interrupts ignored, which is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
from solartrack import cli, features, tracking
from solartrack.tracking.rotation import RotationTracker
quick = RotationTracker.update
def slow(self, *arguments):
    time.sleep(0.05)
    return quick(self, *arguments)
RotationTracker.update = slow
print("ready", flush=True)
sys.exit(cli.main(["track", "--tracker", "rotation", {str(folder)!r}, "--box", "{BOX}", "{DISK}", "--cadence", "1h", "-o", {str(tmp_path / "t.csv")!r}]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    table = tracking.read_track(tmp_path / "t.csv")
    assert 1 <= len(table) < 200 and table["state"].iloc[0] == "start"


def test_installed_command_prints_its_version():
    command = os.path.join(os.path.dirname(sys.executable), "solartrack")
    if not os.path.exists(command):
        pytest.skip("the command is not installed beside this interpreter")
    out = subprocess.run(
        [command, "--version"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert out.startswith("solartrack 0.")


@pytest.mark.parametrize(("start", "bar"), [(66, 0.69), (106, 0.85)])
def test_track_and_evaluate_on_harp_7269_print_the_figures(shared, tmp_path, capsys, start, bar):
    from solartrack.tracking import formats

    folder = shared / "data/harp7269"
    frames, truth = formats.read_ann(folder / "HMI_7269.ann")
    box = ",".join(str(v / 4) for v in truth[frames == start][0])
    out = tmp_path / "t.csv"
    arguments = ["--box", box, "--start", str(start), "--cadence", "4h", "--disk", "512,512,394.5,0.8", "-q"]
    assert cli.main([*TRACK, str(folder / "frames"), *arguments, "-o", str(out)]) == 0
    assert (
        cli.main(["evaluate", str(out), str(folder / "HMI_7269.ann"), "--truth-scale", "0.25", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["mean_iou"] >= bar


def test_track_runs_on_the_jp2_sequence(shared, tmp_path, capsys):
    files = sorted(str(p) for p in (shared / "data/jp2").glob("aia171_seq_*.jp2"))
    out = tmp_path / "t.csv"
    assert cli.main([*TRACK, *files, "--box", "2180,1460,2590,1720", "-o", str(out)]) == 0
    assert "4 images: 1 start, 3 tracked" in capsys.readouterr().out
    assert tracking.read_track(out)["time"].notna().all()


def test_box_with_a_negative_first_number_is_a_value(tmp_path, capsys):
    assert cli._joined(["track", "x", "--box-arcsec", "-700,0,-500,300", "-q"]) == [
        "track", "x", "--box-arcsec=-700,0,-500,300", "-q",
    ]  # fmt: skip
    assert cli._joined(["--box", "--start", "3"]) == ["--box", "--start", "3"]


def test_box_in_arcsec_is_put_on_the_first_image_in_time(tmp_path):
    cards = {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec", "CRPIX2": 32.5,
             "CRVAL1": 0.0, "CRVAL2": 0.0, "CDELT1": 35.0, "CDELT2": 35.0, "DSUN_OBS": 1.496e11, "HGLT_OBS": 4.0}  # fmt: skip
    for name, hour, crpix in (("a", "06", 40.5), ("b", "00", 32.5)):
        header = fits.Header({**cards, "CRPIX1": crpix, "DATE-OBS": f"2014-02-03T{hour}:00:00"})
        fits.writeto(tmp_path / f"{name}.fits", np.zeros((64, 64), np.float32), header)
    out = tmp_path / "t.csv"
    assert cli.main([*TRACK, str(tmp_path), "--box-arcsec", "-70,-35,35,70", "-q", "-o", str(out)]) == 0
    start = tracking.read_track(out).query("state == 'start'").iloc[0]
    assert start["file"].endswith("b.fits") and start["x0"] == pytest.approx(30, abs=1e-3)


def test_unreadable_first_file_costs_its_row_only_with_a_disk_too(pictures, tmp_path):
    (pictures / "006.png").write_bytes(b"")
    out = tmp_path / "t.csv"
    assert cli.main([*TRACK, str(pictures), "--box", BOX, DISK, "--cadence", "6h", "-q", "-o", str(out)]) == 3
    assert tracking.read_track(out)["state"].tolist() == ["unreadable", "start", "tracked"]


def test_fits_and_pictures_with_one_disk_need_row0(pictures, tmp_path, capsys):
    fits.writeto(pictures / "021.fits", np.zeros((64, 64), np.float32))
    arguments = [
        *TRACK,
        str(pictures),
        "--box",
        BOX,
        DISK,
        "--cadence",
        "6h",
        "-q",
        "-o",
        str(tmp_path / "t.csv"),
    ]
    assert cli.main(arguments) == 1
    assert "give --row0" in capsys.readouterr().err
    assert cli.main([*arguments, "--row0", "top"]) == 0


@pytest.mark.parametrize("text", ["frame,time\n6,2014-02-03\n006,2014-02-04\n", "a,b\n1,2\n", ""])
def test_bad_table_of_times_is_an_error_that_names_it(pictures, tmp_path, capsys, text):
    listing = tmp_path / "times.csv"
    listing.write_text(text)
    assert cli.main([*TRACK, str(pictures), "--box", BOX, DISK, "--times", str(listing)]) == 1
    assert "times.csv" in capsys.readouterr().err


def test_evaluate_says_how_many_later_true_frames_the_track_lacks(track_file, tmp_path, capsys):
    track = tracking.read_track(track_file)
    write_truth(tmp_path / "truth.csv", track)
    tracking.write_track(track.iloc[:2], track_file)
    assert cli.main(["evaluate", str(track_file), str(tmp_path / "truth.csv"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["n_unscored"] == 1
    assert "1 true frames after the start are not in the track" in captured.err


def test_full_disk_saves_the_rows_elsewhere_and_says_where(pictures, tmp_path, capsys, monkeypatch):
    write = tracking.write_track

    def full(table, path, **options):
        if path == tmp_path / "t.csv":
            raise OSError("no space left on device")
        write(table, path, **options)

    monkeypatch.setattr(tracking, "write_track", full)
    arguments = [
        *TRACK,
        str(pictures),
        "--box",
        BOX,
        DISK,
        "--cadence",
        "6h",
        "-q",
        "-o",
        str(tmp_path / "t.csv"),
    ]
    assert cli.main(arguments) == 1
    rescued = capsys.readouterr().err.strip().rpartition("the rows are in ")[2]
    assert len(tracking.read_track(rescued)) == 3


def test_draw_tells_equal_names_in_different_folders_apart(tmp_path):
    for folder, value in (("a", 60), ("b", 200)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((64, 64), value, np.uint8)).save(tmp_path / folder / "1.png")
    out = tmp_path / "t.csv"
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert cli.main([*TRACK, *folders, "--box", BOX, DISK, "--cadence", "6h", "-q", "-o", str(out)]) == 0
    for frame, value in (("0", 60), ("1", 200)):
        picture = tmp_path / f"{frame}.png"
        assert (
            cli.main(["draw", *folders, "--track", str(out), "--frame", frame, "-q", "-o", str(picture)]) == 0
        )
        assert np.asarray(Image.open(picture))[-1, 0].tolist() == [value] * 3


def test_image_of_another_shape_does_not_stop_the_movie(pictures, track_file, tmp_path):
    import cv2

    Image.fromarray(np.full((32, 64), 90, np.uint8)).save(pictures / "011.png")
    movie = tmp_path / "m.mp4"
    assert (
        cli.main(["draw", str(pictures), "--track", str(track_file), "-q", "--size", "128", "-o", str(movie)])
        == 0
    )
    assert cv2.VideoCapture(str(movie)).get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_demo_without_the_viz_extra_stops_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert cli.main(["demo", "-o", str(tmp_path / "d")]) == 1
    assert "pip install 'solartrack[viz]'" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_demo_in_json_is_one_document_and_makes_the_same(tmp_path, capsys):
    assert cli.main(["demo", "--json", "-o", str(tmp_path / "d"), "--images", "2", "--size", "128"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "d")
    assert {"scores.png", "movie.mp4", "last.png", "report.html"} <= {
        p.name for p in (tmp_path / "d").iterdir()
    }


def test_features_passes_the_scheduler_on_and_excludes_workers(tmp_path, capsys, monkeypatch):
    given = []

    def extract(images, output, **options):
        given.append(options)
        return SimpleNamespace(failed=0, rows=3, table="t", csv="c", reused=0, errors="e")

    monkeypatch.setattr(features, "extract", extract)
    assert cli.main(["features", str(tmp_path), "--scheduler", "tcp://head:8786", "-q"]) == 0
    assert cli.main(["features", str(tmp_path), "--workers", "2", "-q"]) == 0
    assert given[0]["scheduler"] == "tcp://head:8786" and given[1]["workers"] == 2
    with pytest.raises(SystemExit) as stop:
        cli.main(["features", str(tmp_path), "--workers", "2", "--scheduler", "tcp://head:8786"])
    assert stop.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    code = (
        "import sys, solartrack.cli\n"
        "try: solartrack.cli.main(['track', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('numpy', 'astropy', 'pandas', 'PIL', 'scipy', 'matplotlib', 'onnxruntime')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_output_into_a_closed_pipe_is_no_error(track_file, tmp_path):
    write_truth(tmp_path / "truth.csv", tracking.read_track(track_file))
    code = "import sys; from solartrack.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "evaluate", str(track_file), str(tmp_path / "truth.csv")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(timeout=60) == 0
    process.stderr.close()
