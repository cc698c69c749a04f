"""Data sets for tracking: pictures, true boxes, reports."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from solartrack import images, sequence, simulate, sources, tracking, viz
from solartrack.boxes import from_arcsec, to_arcsec
from solartrack.coordinates import ImageGeometry
from solartrack.errors import ImageError
from solartrack.sources import prepare
from solartrack.tracking.formats import read_ann

XYXY = ["x0", "y0", "x1", "y1"]
ARCSEC = ["tx0", "ty0", "tx1", "ty1"]


def pixels_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def sun(tmp_path_factory):
    """Six FITS images, 4 h apart, and the true boxes in arcsec of the two regions seen longest."""
    folder = tmp_path_factory.mktemp("sun") / "fits"
    drawn = simulate.write(folder, simulate.sequence(5, 6, "4h", size=128))
    rows = []
    for name in drawn["id"].value_counts().index[:2]:
        for row in drawn[drawn["id"] == name].itertuples():
            path = folder / row.file
            geometry = ImageGeometry.from_header(images.read_header(path).header)
            box = [getattr(row, side) for side in XYXY]
            rows.append((f"region {name}", row.time, *to_arcsec(box, geometry)[0]))
    return folder, pd.DataFrame(rows, columns=["event", "time", *ARCSEC])


@pytest.fixture(scope="module")
def made(sun, tmp_path_factory):
    folder, truth = sun
    home = tmp_path_factory.mktemp("set") / "a"
    return home, prepare.tracking_set(truth, folder, home)


def test_each_event_has_its_pictures_numbered_in_order_of_time(made, sun):
    home, found = made
    assert not len(found.report)
    for event, rows in found.frames.groupby("event"):
        assert rows["frame"].tolist() == list(range(1, len(rows) + 1)) and len(rows) == 6
        assert rows["time"].is_monotonic_increasing
        assert sorted(p.name for p in (home / event).iterdir()) == [f"{n:04}.png" for n in rows["frame"]]
    assert len(list((home / "images").iterdir())) == 6  # both events share them


def test_the_geometry_of_a_picture_is_that_of_its_pixels(made, sun):
    home, found = made
    frame = sequence.frames_from_table(found.frames.iloc[[0]])[0]
    original = ImageGeometry.from_header(images.read_header(found.frames.loc[0, "file"]).header)
    tx, ty = original.pixel_to_helioprojective(40.0, 30.0)
    x, y = frame.geometry.helioprojective_to_pixel(tx, ty)
    assert (x, y) == pytest.approx((40.0, 128.0 - 30.0))  # rows of FITS are reversed: north is up
    shown = pixels_of(home / found.frames.loc[0, "picture"])
    stored = images.display_values(images.read(found.frames.loc[0, "file"]).array)
    assert np.abs(shown[::-1] - stored).max() <= 0.5


def test_true_boxes_are_where_the_world_coordinates_say(made, sun):
    _, found = made
    truth = sun[1].sort_values(["event", "time"], ignore_index=True)
    assert found.boxes["event"].tolist() == truth["event"].tolist()
    frames = found.frames.set_index(["event", "frame"])
    for box, row in zip(found.boxes.itertuples(), truth.itertuples(), strict=True):
        record = frames.loc[[(box.event, box.frame)]].reset_index(drop=True)
        geometry = sequence.frames_from_table(record)[0].geometry
        expected = from_arcsec([getattr(row, name) for name in ARCSEC], geometry)[0]
        np.testing.assert_allclose([box.x0, box.y0, box.x1, box.y1], expected, atol=1e-9)
        assert record.loc[0, "time"] == box.time


def test_ann_files_are_read_back(made):
    home, found = made
    for event, rows in found.boxes.groupby("event"):
        frames, boxes = read_ann(home / f"{event}.ann")
        assert frames.tolist() == rows["frame"].tolist()
        np.testing.assert_allclose(boxes, rows[XYXY], atol=0.00501)


def test_corners_of_an_ann_file_begin_at_the_upper_right(made):
    home, found = made
    event = found.boxes.loc[0, "event"]
    _, x2, y2, x3, y3, x0, y0, x1, y1 = map(float, (home / f"{event}.ann").read_text().split("\n")[0].split())
    box = found.boxes.loc[0]
    assert (x2, y2) == pytest.approx((box["x1"], box["y0"]), abs=0.01)
    assert (x3, y3, x0, y0) == pytest.approx((box["x0"], box["y0"], box["x0"], box["y1"]), abs=0.01)
    assert (x1, y1) == pytest.approx((box["x1"], box["y1"]), abs=0.01)


def test_a_set_is_tracked_as_the_images_are(made, sun):
    home, found = made
    event = found.boxes.loc[0, "event"]
    rows = found.frames[found.frames["event"] == event].reset_index(drop=True)
    box = found.boxes.loc[0, XYXY].to_numpy(np.float64)
    records = sequence.frames_from_table(rows.assign(file=[str(home / p) for p in rows["picture"]]))
    track = tracking.track(records, box, tracker="rotation")
    start = sun[1][sun[1]["event"] == event].iloc[0]
    theirs = tracking.track(sun[0], start[ARCSEC].to_numpy(np.float64), arcsec=True, tracker="rotation")
    assert track["state"].tolist() == theirs["state"].tolist()
    flipped = np.stack([theirs["x0"], 128 - theirs["y1"], theirs["x1"], 128 - theirs["y0"]], axis=1)
    np.testing.assert_allclose(track[XYXY], flipped, atol=1e-6)


@pytest.mark.parametrize("format", ["jpg", "npy"])
def test_other_formats_and_sizes(sun, tmp_path, format):
    folder, truth = sun
    found = prepare.tracking_set(truth, folder, tmp_path / "a", format=format, reduce=2, shared=True)
    path = tmp_path / "a" / found.frames.loc[0, "picture"]
    shape = np.load(path).shape if format == "npy" else pixels_of(path).shape
    assert shape == (64, 64) and found.frames.loc[0, ["rows", "columns"]].tolist() == [64, 64]
    if format == "npy":
        np.testing.assert_array_equal(
            np.load(path), images.read(found.frames.loc[0, "file"], reduce=2).array[::-1]
        )
    assert sorted(p.name for p in (tmp_path / "a").iterdir() if p.is_dir()) == ["images"]
    whole = prepare.tracking_set(truth, folder, tmp_path / "b")
    np.testing.assert_allclose(found.boxes[XYXY], whole.boxes[XYXY] / 2, atol=1e-6)


def test_a_window_moves_the_boxes(sun, tmp_path):
    folder, truth = sun
    whole = prepare.tracking_set(truth, folder, tmp_path / "a", shared=True)
    part = prepare.tracking_set(truth, folder, tmp_path / "b", window=(16, 32, 112, 128), shared=True)
    # Rows are counted from the bottom in FITS, and the uppermost row of the window is that of the image.
    np.testing.assert_allclose(part.boxes[XYXY], whole.boxes[XYXY] - [16, 0, 16, 0], atol=1e-6)


def test_a_run_that_was_interrupted_makes_only_what_is_missing(sun, tmp_path):
    folder, truth = sun
    found = prepare.tracking_set(truth, folder, tmp_path / "a")
    pictures = sorted((tmp_path / "a/images").iterdir())
    pictures[0].unlink()
    before = {path: path.stat().st_mtime_ns for path in pictures[1:]}
    again = prepare.tracking_set(truth, folder, tmp_path / "a")
    assert all(path.stat().st_mtime_ns == time for path, time in before.items()) and pictures[0].is_file()
    for ours, theirs in zip(again, found, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:File may have been truncated")
def test_what_is_wrong_is_reported_and_costs_nothing_else(sun, tmp_path):
    folder, truth = sun
    home = tmp_path / "images"
    shutil.copytree(folder, home)
    files = sorted(home.glob("*.fits"))
    files[1].write_bytes(files[1].read_bytes()[:6000])  # its header is good
    files[2].write_bytes(b"nothing")
    shutil.copy(files[3], home / "twice.fits")
    event = truth["event"].iloc[0]
    rows = truth[truth["event"] == event]
    far = rows.iloc[[0]].assign(event="far", time="2031-01-01")
    bad = rows.iloc[[0]].assign(event="../up")
    single = rows.iloc[[-1]].assign(event="single")
    found = prepare.tracking_set(pd.concat([rows, far, bad, single]), home, tmp_path / "set")
    problems = found.report.groupby("problem")["event"].agg(list).to_dict()
    assert problems["broken"] == [event] and problems["same time"] == [event]
    assert problems["name"] == ["../up"] and problems["one image"] == ["single"]
    assert sorted(problems["no image"]) == sorted([event, event, "far"])
    assert found.frames[found.frames["event"] == event]["frame"].tolist() == [1, 2, 3, 4]
    assert set(found.report["problem"]) <= set(prepare.PROBLEMS)
    assert not (tmp_path / "up").exists() and not list((tmp_path / "set").glob("*.part*"))


def test_a_store_gives_each_event_its_own_images_and_says_what_is_absent(sun, tmp_path, replay, transport):
    folder, truth = sun
    files = sorted(folder.glob("*.fits"))
    event = truth["event"].iloc[0]
    rows = [
        {"source": "helioviewer", "id": str(n), "url": replay.add(f"/{n}", path), "name": path.name, "check": "fits",
         "time": images.read(path).time.datetime, "event": event}
        for n, path in enumerate(files[:3])
    ]  # fmt: skip
    rows.append(rows[0] | {"id": "9", "url": replay.url + "/none", "name": "lost.fits"})
    store = sources.fetch(sources.plan_table(rows), tmp_path / "store", transport=transport)
    found = prepare.tracking_set(truth[truth["event"] == event], store, tmp_path / "set")
    assert found.frames["frame"].tolist() == [1, 2, 3]
    absent = found.report[found.report["problem"] == "absent"]
    assert absent["what"].tolist() == ["lost.fits"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="tx0"), "truth lacks the columns tx0"),
        (lambda t: t.iloc[:0], "truth has no rows"),
        (lambda t: t.assign(time=None), "rows of the truth are not usable"),
        (lambda t: t.assign(tx0=np.nan), "rows of the truth are not usable, the first for event"),
        (lambda t: t.assign(tx0=t["tx1"]), "tx0 < tx1"),
        (lambda t: t.assign(end="2001-01-01"), "an end not before it"),
        (lambda t: t.assign(time="soon"), "soon"),
    ],
)
def test_truth_that_is_none_is_refused(sun, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        prepare.tracking_set(change(sun[1]), sun[0], tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_other_bad_arguments_are_refused(sun, tmp_path):
    folder, truth = sun
    with pytest.raises(ValueError, match="format must be one of png, jpg, npy"):
        prepare.tracking_set(truth, folder, tmp_path / "a", format="gif")
    with pytest.raises(ValueError, match="gap must be"):
        prepare.tracking_set(truth, folder, tmp_path / "a", gap="15")
    with pytest.raises(TypeError, match="truth must be a table"):
        prepare.tracking_set([], folder, tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="there are no images"):
        prepare.tracking_set(truth, [], tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/mine.txt").write_text("")
    with pytest.raises(FileExistsError, match="not empty and no data set"):
        prepare.tracking_set(truth, folder, tmp_path / "c")
    prepare.tracking_set(truth, folder, tmp_path / "d", shared=True)
    with pytest.raises(FileExistsError, match="now wanted"):
        prepare.tracking_set(truth, folder, tmp_path / "d", format="jpg")
    (tmp_path / "d/tracking_set.json").write_text("{")
    with pytest.raises(FileExistsError, match="now wanted"):
        prepare.tracking_set(truth, folder, tmp_path / "d")
    assert json.loads((tmp_path / "b/tracking_set.json").read_text())["format"] == "png"


# -- movies ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_a_movie_becomes_numbered_pictures(tmp_path, name):
    shades = [20, 90, 160, 230, 60]
    viz.movie(tmp_path / name, [np.full((64, 96, 3), shade, np.uint8) for shade in shades])
    found = prepare.frames_of_movie(tmp_path / name, tmp_path / "frames", every=2)
    assert [path.name for path in found] == ["0001.png", "0002.png", "0003.png"]
    seen = [pixels_of(path) for path in found]
    assert all(pixels.shape == (64, 96) for pixels in seen)
    np.testing.assert_allclose([pixels.mean() for pixels in seen], shades[::2], atol=6)


def test_what_is_no_movie_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no movie" * 100)
    with pytest.raises(ImageError, match=r"a\.mp4 is no movie"):
        prepare.frames_of_movie(tmp_path / "a.mp4", tmp_path / "frames")
    with pytest.raises(FileNotFoundError, match="there is no movie"):
        prepare.frames_of_movie(tmp_path / "b.mp4", tmp_path / "frames")
    with pytest.raises(ValueError, match="every must be a positive integer"):
        prepare.frames_of_movie(tmp_path / "a.mp4", tmp_path / "frames", every=0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    with pytest.raises(FileExistsError, match="is not empty"):
        prepare.frames_of_movie(tmp_path / "a.mp4", tmp_path / "full")
    assert os.listdir(tmp_path / "full") == ["x"]


# -- what a stranger found ---------------------------------------------------------


def test_a_picture_is_that_of_the_file_in_its_row(sun, tmp_path):
    folder, truth = sun
    files = sorted(folder.glob("*.fits"))
    for number in (1, 2):
        (tmp_path / f"arch/{number}").mkdir(parents=True)
    shutil.copy(files[3], tmp_path / "arch/2/x.fits")
    prepare.tracking_set(truth, tmp_path / "arch/2", tmp_path / "a")
    shutil.copy(files[0], tmp_path / "arch/1/x.fits")  # it comes first, and takes the name
    paths = [tmp_path / f"arch/{number}/x.fits" for number in (1, 2)]
    again = prepare.tracking_set(truth, paths, tmp_path / "a")
    fresh = prepare.tracking_set(truth, paths, tmp_path / "b")
    for home, found in ((tmp_path / "a", again), (tmp_path / "b", fresh)):
        for row in found.frames.itertuples():
            stored = images.display_values(images.read(row.file).array)
            assert np.abs(pixels_of(home / row.picture)[::-1] - stored).max() <= 0.5
            assert (home / row.event / f"{row.frame:04}.png").read_bytes() == (
                home / row.picture
            ).read_bytes()


def test_a_file_that_was_replaced_has_its_picture_made_again(sun, tmp_path):
    folder, truth = sun
    files = sorted(folder.glob("*.fits"))
    shutil.copy(files[0], tmp_path / "x.fits")
    first = prepare.tracking_set(truth, tmp_path / "x.fits", tmp_path / "a")
    before = (tmp_path / "a" / first.frames.loc[0, "picture"]).read_bytes()
    shutil.copy(files[4], tmp_path / "x.fits")
    prepare.tracking_set(truth, tmp_path / "x.fits", tmp_path / "a")
    assert (tmp_path / "a" / first.frames.loc[0, "picture"]).read_bytes() != before


def test_what_a_set_no_longer_has_is_removed_and_what_is_not_its_own_stays(sun, tmp_path):
    folder, truth = sun
    home = tmp_path / "a"
    prepare.tracking_set(truth, folder, home)
    (home / "mine").mkdir()
    (home / "mine/0001.png").write_text("")
    (home / "images/note.txt").write_text("")
    event = truth["event"].iloc[0]
    rows = truth[truth["event"] == event].assign(event="renamed")
    files = sorted(folder.glob("*.fits"))[:3]
    found = prepare.tracking_set(rows, files, home)
    assert sorted(p.name for p in home.iterdir() if not p.name.startswith(".")) == [
        "boxes.csv", "frames.csv", "images", "images.jsonl", "mine", "renamed", "renamed.ann", "report.csv",
        "tracking_set.json",
    ]  # fmt: skip
    assert sorted(p.name for p in (home / "renamed").iterdir()) == ["0001.png", "0002.png", "0003.png"]
    assert (home / "mine/0001.png").exists() and len(found.frames) == 3
    assert sorted(p.name for p in (home / "images").iterdir()) == [
        *(Path(name).name for name in found.frames["picture"]), "note.txt",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["frames.csv", "Report.csv", "tracking_set.json", "images", "x.ann", np.nan])
def test_names_that_the_set_needs_itself_are_reported(sun, tmp_path, name):
    folder, truth = sun
    rows = truth[truth["event"] == truth["event"].iloc[0]]
    found = prepare.tracking_set(pd.concat([rows, rows.iloc[[0]].assign(event=name)]), folder, tmp_path / "a")
    assert found.report["problem"].tolist() == ["name"] and set(found.frames["event"]) == set(rows["event"])


def test_a_true_box_that_is_there_twice_counts_once(sun, tmp_path):
    folder, truth = sun
    found = prepare.tracking_set(pd.concat([truth, truth.iloc[:2]]), folder, tmp_path / "a")
    assert len(found.boxes) == len(truth) and found.report["problem"].tolist() == ["repeated"] * 2


def test_truth_from_a_csv_is_text_and_serves(sun, tmp_path):
    folder, truth = sun
    found = prepare.tracking_set(truth.astype(str), folder, tmp_path / "a")
    assert not len(found.report) and len(found.boxes) == len(truth)
    with pytest.raises(ValueError, match="not usable"):
        prepare.tracking_set(truth.astype(str).assign(tx0="wide"), folder, tmp_path / "b")
