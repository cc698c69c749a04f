import dataclasses

import numpy as np
import pytest

from solartrack.coordinates import ImageGeometry, rotate_box
from solartrack.inference import CropPair
from solartrack.models.goturn.follow import follow, summary
from solartrack.models.goturn.sources import LabelledFrame
from solartrack.sequence import Frame

CROPS = CropPair(side=64, channels=1, mean=(0.0,))
DISK = ImageGeometry.from_disk((200.0, 200.0), 160.0)


def sequence(grows=0.0):
    """Two bright regions that rotate with the Sun; the boxes may grow as they go."""
    frames = []
    for k in range(4):
        boxes = []
        for start in ([120.0, 120.0, 170.0, 160.0], [150.0, 230.0, 200.0, 262.0]):
            boxes.append(rotate_box(start, 0.25 * k, DISK).box + grows * k * np.array([-1, -1, 1, 1]))
        image = np.full((400, 400), 20, np.uint8)
        for x0, y0, x1, y1 in np.rint(boxes).astype(int):
            image[y0:y1, x0:x1] = 220
        known = Frame(k, mjd_tai=0.25 * k, geometry=DISK, shape=(400, 400), pixels=image)
        frames.append(LabelledFrame(known, np.array([4, 9]), np.array(boxes)))
    return frames


def prior(inputs):
    return {"box": np.tile([2.5, 2.5, 7.5, 7.5], (len(inputs["search"]), 1))}


def bright(inputs):
    out = []
    for crop in inputs["search"][..., 0]:
        rows, columns = np.nonzero(crop > 120)
        out.append(np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 6.4)
    return {"box": np.array(out), "score": np.full((len(out), 1), 0.9)}


def test_network_that_answers_the_prior_is_rotation():
    table = follow(prior, [sequence], CROPS)
    assert len(table) == 6 and set(table["id"]) == {4, 9} and set(table["step"]) == {1, 2, 3}
    # Windows begin at whole pixels, so each step loses up to one.
    assert table["iou"].min() > 0.78 and table["rotation_iou"].min() > 0.999
    assert table["score"].isna().all()


def test_network_that_sees_the_region_beats_rotation_where_it_grows():
    seen = summary(follow(bright, [lambda: sequence(grows=4.0)], CROPS))
    assert seen["tracks"] == 2 and seen["success"] == 1.0
    assert seen["iou"] > 0.9 > 0.75 > seen["rotation_iou"]
    assert seen["score_error"] == pytest.approx(abs(0.9 - seen["iou"]), abs=0.06)


def test_tracks_of_one_frame_run_as_one_batch():
    rows = []

    def counting(inputs):
        rows.append(len(inputs["target"]))
        return prior(inputs)

    follow(counting, [sequence], CROPS)
    assert rows == [2, 2, 2]


def test_collapsed_answer_leaves_the_prior():
    def nothing(inputs):
        return {"box": np.full((len(inputs["search"]), 4), np.nan)}

    table = follow(nothing, [sequence], CROPS)
    assert table["iou"].min() > 0.85


def test_region_starts_when_it_is_large_enough_and_ends_with_its_truth():
    frames = sequence()
    frames[0].boxes[0] = [120, 120, 126, 160]  # a sliver
    frames[3] = dataclasses.replace(frames[3], ids=frames[3].ids[:1], boxes=frames[3].boxes[:1])
    table = follow(prior, [lambda: frames], CROPS)
    assert table.groupby("id")["step"].apply(list).to_dict() == {4: [1, 2], 9: [1, 2]}
