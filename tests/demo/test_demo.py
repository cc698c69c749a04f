import numpy as np
import pandas as pd
import pytest
from PIL import Image

from solartrack import _tables, demo, metrics, tracking

pytest.importorskip("imageio_ffmpeg", reason="the demo's movie needs the extra viz")

OPTIONS = {"n_images": 3, "size": 128, "tracker": "rotation"}


def test_demo_returns_what_it_wrote_and_says_each_step(tmp_path, capsys):
    said = []
    made = demo.run(tmp_path / "d", **OPTIONS, say=said.append)
    assert made.folder == tmp_path / "d"
    names = {"images", "truth.csv", "track.csv", "scores.png", "movie.mp4", "last.png"}
    assert {p.name for p in made.folder.iterdir()} == names
    assert len(list((made.folder / "images").glob("*.fits"))) == len(made.track) == 3
    pd.testing.assert_frame_equal(tracking.read_track(made.folder / "track.csv"), made.track)
    truth = tracking.read_track(made.folder / "truth.csv")
    assert metrics.score_track(truth, made.track).as_dict() == made.scored.as_dict()
    assert np.asarray(Image.open(made.folder / "last.png")).shape == (1024, 1024, 3)
    assert said[0] == "rendering 3 images of a simulated Sun, 4 hours apart"
    assert any("mean IoU" in text for text in said)
    assert capsys.readouterr() == ("", "")


def test_the_region_is_seen_in_every_image_and_near_the_central_meridian(tmp_path):
    made = demo.run(tmp_path / "d", **OPTIONS)
    everything = _tables.read_csv(
        tmp_path / "d/images/truth.csv", numbers=True
    )  # exact floats, in every pandas
    assert made.truth["frame"].tolist() == [0, 1, 2]

    def distance(rows):
        return (rows[["x0", "x1"]].mean(axis=1) - 64).abs().mean()

    others = [rows for _, rows in everything.groupby("id") if len(rows) == 3]
    assert distance(made.truth) == min(map(distance, others))


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
