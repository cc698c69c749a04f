import os
import subprocess
import sys
import weakref

import cv2
import numpy as np
import pytest
from PIL import Image

from solartrack.viz import movie, overlay

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="movies need the extra viz")


def pictures(count, shape=(64, 96), seen=None):
    for i in range(count):
        if seen is not None:
            seen.append(i)
        yield np.full((*shape, 3), (200, 40 * i % 256, 20), np.uint8)


def read_mp4(path):
    """Frames as OpenCV decodes them: another decoder than the one that wrote."""
    video = cv2.VideoCapture(str(path))
    frames = []
    while (answer := video.read())[0]:
        frames.append(answer[1][..., ::-1])
    video.release()
    return np.array(frames)


def test_mp4_has_every_frame_at_its_size_and_colour(tmp_path):
    movie(tmp_path / "m.mp4", pictures(7), fps=4)
    back = read_mp4(tmp_path / "m.mp4")
    assert back.shape == (7, 64, 96, 3)
    for i, frame in enumerate(back):
        assert np.abs(frame.reshape(-1, 3).mean(axis=0) - (200, 40 * i % 256, 20)).max() < 8


def test_mp4_is_h264_in_the_pixel_format_that_browsers_play(tmp_path):
    movie(tmp_path / "m.mp4", pictures(3), fps=4)
    video = cv2.VideoCapture(str(tmp_path / "m.mp4"))
    codec, layout = (
        int(video.get(p)).to_bytes(4, "little")
        for p in (cv2.CAP_PROP_FOURCC, cv2.CAP_PROP_CODEC_PIXEL_FORMAT)
    )
    assert (codec, layout, video.get(cv2.CAP_PROP_FPS)) == (b"h264", b"I420", 4)  # I420 is yuv420p
    video.release()
    head = (tmp_path / "m.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # plays before it is fully loaded


@pytest.mark.parametrize(("shape", "even"), [((63, 95), (64, 96)), ((1, 1), (2, 2)), ((64, 95), (64, 96))])
def test_mp4_of_odd_size_gets_one_more_row_or_column(tmp_path, shape, even):
    movie(tmp_path / "m.mp4", pictures(3, shape))
    assert read_mp4(tmp_path / "m.mp4").shape == (3, *even, 3)


def test_gif_has_every_frame_even_equal_ones_and_repeats(tmp_path):
    frames = [*pictures(3), *pictures(1), *pictures(1)]
    movie(tmp_path / "m.gif", frames, fps=5)
    with Image.open(tmp_path / "m.gif") as gif:
        assert gif.n_frames == 5 and gif.size == (96, 64)
        assert gif.info["loop"] == 0 and gif.info["duration"] == 200
        for i, frame in enumerate(frames):
            gif.seek(i)
            assert (np.asarray(gif.convert("RGB")) == frame).all()


def test_gif_keeps_red_and_white_lines_over_a_grey_image(tmp_path):
    noise = np.random.default_rng(1).integers(0, 255, (256, 256), np.uint8)
    frame = overlay(noise, box=[150, 150, 190, 190], truth=[140, 140, 200, 200], size=None)
    movie(tmp_path / "m.gif", [frame, frame])
    with Image.open(tmp_path / "m.gif") as gif:
        gif.seek(1)
        back = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(back[155:185, 150:152] - (255, 0, 0)).max() < 40
    assert np.abs(back[145:195, 138:140] - 255).max() < 40


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_one_frame_is_a_movie(tmp_path, suffix):
    movie(tmp_path / f"m{suffix}", pictures(1))
    assert (tmp_path / f"m{suffix}").stat().st_size > 0


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_frames_are_taken_one_at_a_time_and_let_go(tmp_path, suffix):
    alive = []

    def frames():
        for i in range(12):
            assert sum(ref() is not None for ref in alive) <= 3
            frame = np.full((32, 32, 3), 10 * i, np.uint8)
            alive.append(weakref.ref(frame))
            yield frame
            del frame

    movie(tmp_path / f"m{suffix}", frames())
    assert len(alive) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interruption_leaves_no_file_and_an_older_one_as_it_was(tmp_path, suffix, error):
    def broken():
        yield from pictures(2)
        raise error("the disk of frame 2 is gone")

    with pytest.raises(error, match="frame 2"):
        movie(tmp_path / f"new{suffix}", broken())
    assert os.listdir(tmp_path) == []

    old = tmp_path / f"old{suffix}"
    old.write_bytes(b"older")
    with pytest.raises(error):
        movie(old, broken())
    assert old.read_bytes() == b"older" and os.listdir(tmp_path) == [old.name]
    movie(old, pictures(2))
    assert old.stat().st_size > 5 and os.listdir(tmp_path) == [old.name]


@pytest.mark.parametrize("name", ["m.avi", "m", "m.mp4.txt", "gif"])
def test_wrong_suffix_lists_the_right_ones_before_any_frame_is_taken(tmp_path, name):
    seen = []
    with pytest.raises(ValueError, match=rf"end in \.mp4 or \.gif, got '{name}'"):
        movie(tmp_path / name, pictures(2, seen=seen))
    assert seen == []


def test_suffix_in_capitals_is_accepted(tmp_path):
    movie(tmp_path / "M.GIF", pictures(2))
    assert os.listdir(tmp_path) == ["M.GIF"]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_bad_frames_are_named_by_their_index_and_leave_no_file(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    good = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="at least one frame, got none"):
        movie(path, iter([]))
    with pytest.raises(ValueError, match=r"first, \(8, 8, 3\), got \(8, 10, 3\) in frame 2"):
        movie(path, [good, good, np.zeros((8, 10, 3), np.uint8)])
    with pytest.raises(ValueError, match=r"\(rows, columns, 3\), got \(8, 8\) in frame 1"):
        movie(path, [good, good[..., 0]])
    with pytest.raises(TypeError, match="uint8, got float64 in frame 0"):
        movie(path, [good / 255])
    assert os.listdir(tmp_path) == []


def test_impossible_rates_and_folders_are_refused(tmp_path):
    for fps in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="fps must be positive"):
            movie(tmp_path / "m.mp4", pictures(1), fps=fps)
    with pytest.raises(ValueError, match=r"at most 50 frames per second, got fps=60; write \.mp4"):
        movie(tmp_path / "m.gif", pictures(1), fps=60)
    with pytest.raises(FileNotFoundError, match="make it first"):
        movie(tmp_path / "absent" / "m.gif", pictures(1))


def test_a_movie_that_ffmpeg_cut_short_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(imageio_ffmpeg, "count_frames_and_secs", lambda path: (2, 1.0))
    with pytest.raises(OSError, match="should have 3 frames, but ffmpeg wrote 2"):
        movie(tmp_path / "m.mp4", pictures(3))
    assert os.listdir(tmp_path) == []


def test_missing_imageio_names_the_extra_while_gif_works_without(tmp_path):
    code = f"""
import sys
sys.modules["imageio"] = sys.modules["imageio_ffmpeg"] = sys.modules["matplotlib"] = None
import numpy as np
from solartrack.viz import movie, plot_iou
frames = [np.zeros((4, 4, 3), np.uint8)] * 2
movie({str(tmp_path / "m.gif")!r}, frames)
for call in (lambda: movie({str(tmp_path / "m.mp4")!r}, frames), lambda: plot_iou([1], {{"a": [1]}})):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == [
        "writing MP4 movies needs 'imageio'; run: pip install 'solartrack[viz]'",
        "plotting needs 'matplotlib'; run: pip install 'solartrack[viz]'",
    ]
    assert os.listdir(tmp_path) == ["m.gif"]
