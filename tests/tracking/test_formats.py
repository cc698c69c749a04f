import numpy as np
import pytest

from solartrack import boxes
from solartrack.errors import TrackError
from solartrack.tracking import formats

BOXES = np.array([[475.0, 1875, 503, 1986], [10, 20, 40, 60]])


def test_ann_corners_have_the_published_order(shared):
    folder = shared / "data/harp7269"
    frames, truth = formats.read_ann(folder / "HMI_7269.ann")
    raw = np.loadtxt(folder / "HMI_7269.ann")
    np.testing.assert_array_equal(boxes.to_ann(truth), raw[:, 1:])
    table = np.genfromtxt(folder / "boxes.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(frames, table["frame"])
    np.testing.assert_array_equal(truth, np.stack([table[k] for k in ("x0", "y0", "x1", "y1")], axis=1))


def test_published_tracker_text_is_read_as_the_published_boxes(shared):
    frames, track = formats.read_xywh(shared / "data/harp7269/HMI_7269_reference_output.txt")
    table = np.genfromtxt(shared / "data/harp7269/boxes.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(frames, table["frame"])
    np.testing.assert_array_equal(
        track, np.stack([table[f"ref_{k}"] for k in ("x0", "y0", "x1", "y1")], axis=1)
    )


@pytest.mark.parametrize("form", ["ann", "xywh"])
def test_files_there_and_back_are_the_identity(tmp_path, form):
    path = tmp_path / "track.txt"
    getattr(formats, f"write_{form}")(path, [6, 11], BOXES)
    frames, back = getattr(formats, f"read_{form}")(path)
    np.testing.assert_array_equal(frames, [6, 11])
    np.testing.assert_array_equal(back, BOXES)


def test_empty_file_is_no_boxes(tmp_path):
    (tmp_path / "a.ann").write_text("\n# nothing yet\n")
    frames, none = formats.read_ann(tmp_path / "a.ann")
    assert frames.shape == (0,) and none.shape == (0, 4)


@pytest.mark.parametrize(
    "line", ["6 1 2 3", "6 1 2 3 4 5", "6 1 2 x 4", "6 1 2 nan 4", "6.5 1 2 3 4", "inf 1 2 3 4"]
)
def test_malformed_line_names_file_and_line(tmp_path, line):
    path = tmp_path / "bad.txt"
    path.write_text(f"1 1 2 3 4\n{line}\n")
    with pytest.raises(TrackError, match=r"bad\.txt, line 2: expected 'frame x y width height'"):
        formats.read_xywh(path)


def test_binary_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "x.ann").write_bytes(b"\x89PNG\x00\xff")
    with pytest.raises(TrackError, match=r"x\.ann: not a text file"):
        formats.read_ann(tmp_path / "x.ann")


def test_frame_numbers_must_match_the_boxes(tmp_path):
    with pytest.raises(ValueError, match=r"frames must have shape \(2,\)"):
        formats.write_xywh(tmp_path / "a.txt", [1], BOXES)
