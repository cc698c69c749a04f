import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image

from solartrack import simulate, viz
from solartrack.coordinates import ImageGeometry
from solartrack.errors import TrackWarning
from solartrack.viz import movie, overlays

BOX = ["x0", "y0", "x1", "y1"]
RED, WHITE = (255, 0, 0), (255, 255, 255)


def draw_track(*arguments, **options):
    """The pixels of the pictures."""
    return map(np.asarray, viz.draw_track(*arguments, **options))


def overlay(image, **options):
    return np.asarray(viz.overlay(image, **options))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, value in ((6, 60), (11, 90), (16, 120)):
        Image.fromarray(np.full((64, 64), value, np.uint8)).save(folder / f"{number:03}.png")
    return folder


def table(frames, **columns):
    return pd.DataFrame({"frame": frames, "x0": 10.0, "y0": 20.0, "x1": 30.0, "y1": 40.0} | columns)


def ground(picture):
    return int(picture[-1, 0, 0])


def draws(picture, colour):
    return bool((picture == colour).all(axis=-1).any())


def test_a_picture_for_each_row_with_its_own_image_and_box(pictures):
    track = table([16, 6], x0=[10.0, 20.0])
    a, b = draw_track(pictures, track, size=None)
    assert (ground(a), ground(b)) == (120, 60)
    image = np.full((64, 64), 60, np.uint8)
    expected = overlay(image, box=[20, 20, 30, 40], label="frame 6", size=None)
    np.testing.assert_array_equal(b, expected)


def test_several_tracks_are_drawn_into_one_picture_for_each_image(pictures):
    track = table([6, 11, 11, 16], x0=[5.0, 5.0, 40.0, 40.0], x1=[20.0, 20.0, 60.0, 60.0], id=[0, 0, 1, 1])
    track.loc[3, BOX] = np.nan
    made = list(draw_track(pictures, track, size=512))
    assert [ground(picture) for picture in made] == [60, 90, 120]
    left, right = [draws(p[:, :200], RED) for p in made], [draws(p[:, 300:], RED) for p in made]
    assert left == [True, True, False] and right == [False, True, False]
    image = np.full((64, 64), 90, np.uint8)
    both = {0: track.loc[1, BOX].to_list(), 1: track.loc[2, BOX].to_list()}
    np.testing.assert_array_equal(made[1], overlay(image, tracks=both, label="frame 11", size=512))
    (alone,) = draw_track(pictures, track[track["frame"] == 11], size=512)
    np.testing.assert_array_equal(alone, made[1])
    with pytest.raises(ValueError, match="the truth is of one track, and the table holds 2"):
        viz.draw_track(pictures, track, track)
    with pytest.raises(ValueError, match="give box, or tracks"):
        overlay(image, box=both[0], tracks=both)


def test_truth_is_drawn_where_there_is_one(pictures):
    truth = table([11], x0=35.0, x1=60.0)
    a, b = draw_track(pictures, table([6, 11], x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan), truth, size=512)
    assert not draws(a[:, 256:], WHITE) and draws(b[:, 256:], WHITE) and not draws(a[200:], RED)


def test_label_time_and_state_are_printed(pictures, monkeypatch):
    texts = []
    monkeypatch.setattr(overlays, "_write", lambda _, lines: texts.append([text for text, _ in lines]))
    times = pd.to_datetime(["2014-02-03T04:05:06.789", None, None])
    track = table([6, 11, 16], time=times, state=["tracked", "off_disk", ""])
    list(draw_track(pictures, track))
    assert texts == [["frame 6", "2014-02-03 04:05:06"], ["frame 11", "off disk"], ["frame 16"]]


def test_times_may_be_text(pictures, monkeypatch):
    texts = []
    monkeypatch.setattr(overlays, "_write", lambda _, lines: texts.append([text for text, _ in lines]))
    list(draw_track(pictures, table([6, 11, 16], time=["2014-02-03T04:05:06.789", "2014-02-03", None])))
    assert texts == [["frame 6", "2014-02-03 04:05:06"], ["frame 11", "2014-02-03 00:00:00"], ["frame 16"]]
    with pytest.raises(ValueError, match="noon"):
        draw_track(pictures, table([6], time="noon"))


def test_rows_with_a_file_find_it_by_path_and_moved_ones_by_name(pictures, tmp_path):
    # The frame numbers of the table are not those of the names.
    track = table([0, 1], file=[str(pictures / "016.png"), "/elsewhere/006.png"])
    assert [ground(p) for p in draw_track(pictures, track)] == [120, 60]


def test_names_that_occur_twice_only_count_with_their_path(pictures, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.full((64, 64), 200, np.uint8)).save(other / "006.png")
    problems = []
    track = table([0, 1], file=[str(other / "006.png"), "/elsewhere/006.png"])
    drawn = list(draw_track([pictures, other], track, on_problem=lambda *p: problems.append(p)))
    assert [ground(p) for p in drawn] == [200] and problems == [(1, "no image /elsewhere/006.png")]


def test_unreadable_images_are_reported_and_left_out(pictures):
    (pictures / "011.png").write_bytes(b"")
    problems = []
    assert len(list(draw_track(pictures, table([6, 11, 16]), on_problem=lambda *p: problems.append(p)))) == 2
    ((frame, reason),) = problems
    assert frame == 11 and "011.png" in reason
    with pytest.warns(TrackWarning, match=r"frame 11 left out: .*011\.png"):
        list(draw_track(pictures, table([6, 11, 16])))


def test_rows_without_a_file_whose_frame_has_no_image_are_skipped_silently(pictures):
    assert len(list(draw_track(pictures, table([6, 7, 8])))) == 1


def test_one_range_of_brightness_and_one_shape_for_all_pictures(tmp_path):
    ramp = np.linspace(0, 1000, 64 * 64, dtype=np.float32).reshape(64, 64)
    fits.writeto(tmp_path / "1.fits", ramp)
    fits.writeto(tmp_path / "2.fits", ramp[:32] / 2)
    a, b = draw_track(tmp_path, table([1, 2]), size=64)
    assert a.shape == b.shape == (64, 64, 3)
    assert a[0, -1, 0] == 255  # FITS: the last row is on top
    assert (b[:16] == 0).all() and (b[48:] == 0).all()
    assert 130 < b[16, -1, 0] < 150  # its brightest pixel is a quarter of the limit: asinh(2.5) / asinh(10)


def test_a_movie_of_a_track_and_a_picture_of_one_row(pictures, tmp_path):
    track = table([6, 11, 16])
    movie(tmp_path / "m.gif", draw_track(pictures, track, size=64))
    with Image.open(tmp_path / "m.gif") as gif:
        assert gif.n_frames == 3
    assert ground(next(draw_track(pictures, track[track["frame"] == 11]))) == 90


def test_pictures_are_made_one_at_a_time(pictures):
    drawn = draw_track(pictures, table([6, 11]))
    next(drawn)
    (pictures / "011.png").unlink()
    with pytest.warns(TrackWarning, match="frame 11 left out"):
        assert next(drawn, None) is None


def test_missing_columns_and_images_are_refused_before_anything_is_drawn(pictures, tmp_path):
    with pytest.raises(ValueError, match=r"track needs the columns .*; missing: x1"):
        draw_track(pictures, table([6]).drop(columns="x1"))
    with pytest.raises(ValueError, match=r"truth needs the columns .*; missing: frame"):
        draw_track(pictures, table([6]), table([6]).drop(columns="frame"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no images found"):
        draw_track(tmp_path / "empty", table([6]))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        draw_track(tmp_path / "nowhere", table([6]))


def test_the_limb_comes_from_the_header_or_is_given(pictures, tmp_path):
    disk = ImageGeometry.from_disk((32, 32), 20)
    (picture,) = draw_track(pictures, table([6]), size=None, limb=True, geometry=disk)
    expected = overlay(
        np.full((64, 64), 60, np.uint8),
        box=[10, 20, 30, 40],
        label="frame 6",
        size=None,
        limb=True,
        geometry=disk,
    )
    np.testing.assert_array_equal(picture, expected)
    simulate.write(tmp_path / "sun", simulate.sequence(5, 1, "4h", size=64))
    assert draws(next(draw_track(tmp_path / "sun", table([0]), size=256, limb=True)), overlays.LIMB)
    assert not draws(next(draw_track(tmp_path / "sun", table([0]), size=256)), overlays.LIMB)


def test_an_image_that_does_not_say_where_the_limb_is_is_left_out(pictures):
    problems = []
    drawn = draw_track(pictures, table([6]), limb=True, on_problem=lambda *p: problems.append(p))
    assert list(drawn) == []
    ((frame, reason),) = problems
    assert frame == 6 and "006.png does not say where the limb is" in reason
