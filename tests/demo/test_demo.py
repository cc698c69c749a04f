import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from solartrack import _tables, demo, features, flares, images, metrics, simulate, tracking
from solartrack.coordinates import ImageGeometry

pytest.importorskip("imageio_ffmpeg", reason="the demo's movie needs the extra viz")

OPTIONS = {"n_images": 3, "size": 128, "tracker": "rotation"}


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def printed():
    return io.StringIO()


@pytest.fixture(scope="module")
def made(tmp_path_factory, said, printed):
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        return demo.run(tmp_path_factory.mktemp("demo") / "d", **OPTIONS, say=said.append)


def test_demo_returns_what_it_wrote_and_says_each_step(made, said, printed):
    names = {"images", "truth.csv", "track.csv", "features.csv", "forecasts.csv", "real-track.csv"}
    names |= {"scores.png", "movie.mp4", "last.png", "report.html"}
    assert {p.name for p in made.folder.iterdir()} == names
    assert len(list((made.folder / "images").glob("*.fits"))) == len(made.track) == 3
    pd.testing.assert_frame_equal(tracking.read_track(made.folder / "track.csv"), made.track)
    # CSV has 1e-4 pixels and arcsec; latitudes and positions near the middle of the disk are small numbers.
    real = tracking.read_track(made.folder / "real-track.csv")
    pd.testing.assert_frame_equal(real, made.real_track, atol=5.1e-5)
    truth = tracking.read_track(made.folder / "truth.csv")
    assert metrics.score_track(truth, made.track).as_dict() == made.scored.as_dict()
    assert np.asarray(Image.open(made.folder / "last.png")).shape == (1024, 1024, 3)
    assert said[0] == "rendering 3 images of a simulated Sun, 4 hours apart"
    assert any("mean IoU" in text for text in said)
    assert len(made.seconds) == 6 and all(one > 0 for one in made.seconds.values())
    assert printed.getvalue() == ""


def test_the_region_is_seen_in_every_image_and_near_the_central_meridian(made):
    everything = _tables.read_csv(
        made.folder / "images/truth.csv", numbers=True
    )  # exact floats, in every pandas
    assert made.truth["frame"].tolist() == [0, 1, 2]

    def distance(rows):
        return (rows[["x0", "x1"]].mean(axis=1) - 64).abs().mean()

    others = [rows for _, rows in everything.groupby("id") if len(rows) == 3]
    assert distance(made.truth) == min(map(distance, others))


def test_the_features_are_those_of_the_field_in_the_tracked_box(made):
    sun = simulate.SunModel(1, days=1)
    field = list(simulate.sequence(sun, 3, "4h", size=256, channel="magnetogram"))[2].array
    x0, y0, x1, y1 = 2 * made.track.loc[2, ["x0", "y0", "x1", "y1"]].to_numpy(float)
    patch = field[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
    expected = features.complexity(patch, nan_policy="zero").as_dict()
    assert made.features.loc[2, list(features.COMPLEXITY_NAMES)].to_dict() == pytest.approx(
        {name: expected[name] for name in features.COMPLEXITY_NAMES}
    )
    assert made.features["time"].tolist() == made.track["time"].tolist()


def test_a_box_behind_the_limb_has_no_features(made):
    field = next(simulate.sequence(1, 1, size=64, channel="magnetogram"))
    track = made.track.head(1).assign(x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan)
    assert demo._measured(track, iter([field]))[list(features.COMPLEXITY_NAMES)].isna().all(axis=None)


def test_the_forecast_is_that_of_the_shipped_summaries(made):
    pd.testing.assert_frame_equal(made.forecasts, flares.forecast(demo.SUMMARIES))
    assert made.forecasts["region"].tolist() == [12673, 12674, 12675, 12676, 12677]
    assert set(made.forecasts["inputs"]) == {"summary, evolution"}


def test_the_region_of_the_real_sun_moves_as_measured(made):
    # 13.62 degrees a day (synodic), measured by correlation of the images at full resolution.
    track = made.real_track
    assert len(track) == 8 and (track["state"][1:] == "tracked").all()
    assert (track["lon"][0], track["lat"][0]) == pytest.approx((2.1, -7.0), abs=0.1)
    assert np.polyfit(track["days"][:7], track["lon"][:7], 1)[0] == pytest.approx(13.62, abs=0.9)


def test_the_report_shows_all_of_it(made):
    page = made.report.read_text("utf-8")
    for words in (
        *("A simulated region, scored", "Agreement with the truth", f"<dd>{made.scored.mean_iou:.4g}</dd>"),
        *(
            "Its magnetic complexity",
            "flux_unsigned",
            "A flare forecast",
            "12673",
            "A region of the real Sun",
        ),
        *("courtesy of NASA/SDO and the AIA, EVE, and HMI science teams", "Settings", "Timings"),
    ):
        assert words in page
    assert page.count("<video") == 2 and "<script" not in page
    assert made.report.stat().st_size < 4e6


def test_the_shipped_images_are_small_and_say_when_where_and_whose_they_are():
    files = sorted(demo.AIA_IMAGES.iterdir())
    assert len(files) == 8 and sum(file.stat().st_size for file in files) < 1e6
    days = []
    for file in files:
        image = images.read(file)
        assert image.array.shape == (512, 512)
        assert ImageGeometry.from_header(image.header).rsun_arcsec == pytest.approx(947, abs=1)
        assert "Courtesy of NASA/SDO and the AIA, EVE, and HMI" in "".join(image.header["HISTORY"])
        days.append(image.time.mjd)
    assert np.diff(days) * 24 == pytest.approx([16] * 7, abs=0.01)
    assert "Courtesy of NASA/SDO" in (demo.AIA_IMAGES.parent / "README.md").read_text("utf-8")


def test_the_shipped_images_are_those_of_the_archive_reduced(shared):
    source = shared / "data/aia171_2017_08/source_017.jp2"
    whole, small = images.read(source), images.read(sorted(demo.AIA_IMAGES.iterdir())[1])
    means = whole.array.reshape(512, 8, 512, 8).mean(axis=(1, 3))
    assert np.sqrt(np.mean((small.array - means) ** 2)) < 2.5  # of 255: the loss of the compression
    assert whole.time == small.time
    corners = np.array([225.0, 302.5]), np.array([267.5, 335.0])
    in_whole = ImageGeometry.from_header(whole.header).pixel_to_helioprojective(*(8 * one for one in corners))
    in_small = ImageGeometry.from_header(small.header).pixel_to_helioprojective(*corners)
    assert np.allclose(in_whole, in_small, atol=0.01)


def test_the_demo_stops_before_any_work_if_it_cannot_be_done(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    with pytest.raises(FileExistsError, match="is there already; choose another folder"):
        demo.run(tmp_path / "full", **OPTIONS)
    with pytest.raises(ValueError, match="n_images must be at least 2, got 1"):
        demo.run(tmp_path / "d", n_images=1)
    with pytest.raises(ValueError, match="tracker must be one of"):
        demo.run(tmp_path / "d", tracker="x")
    assert not (tmp_path / "d").exists()
