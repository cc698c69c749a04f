import sys
from datetime import timedelta

import numpy as np
import pytest

from solartrack import metrics, simulate, tracking
from solartrack.coordinates import ImageGeometry
from solartrack.errors import TrackError
from solartrack.tracking.segmented import SegmentationTracker

pytest.importorskip("skimage", reason="segmentation needs scikit-image: install solartrack[detect]")

BOX = ["x0", "y0", "x1", "y1"]


@pytest.fixture(scope="module")
def holes():
    """Six images of coronal holes, 8 h apart, with SPoCA-like boxes whose sensitivity differs."""
    model = simulate.SunModel(961_004, n_regions=8, n_holes=12, days=3)
    frames = list(simulate.sequence(model, 6, "8h", size=512, channel="193"))
    return frames, [frame.segmented("coronal_hole", scatter=0.1) for frame in frames]


def rows_of(frames, box, tracker, **options):
    return tracking.track(
        [f.array for f in frames],
        box,
        tracker=tracker,
        geometry=[ImageGeometry.from_header(f.header) for f in frames],
        times=[f.time for f in frames],
        **options,
    )


def truths(segmented, number):
    return {at: s.boxes[s.ids == number][0] for at, s in enumerate(segmented) if number in s.ids}


def test_holes_are_followed_better_than_rotation_follows_them(holes):
    frames, segmented = holes
    ious = {"segmentation": [], "rotation": []}
    for number in segmented[0].ids[segmented[0].ids > 0]:
        true = truths(segmented, number)
        for name, found in ious.items():
            tracker = SegmentationTracker("coronal_hole") if name == "segmentation" else "rotation"
            table = rows_of(frames, true[0], tracker)
            later = [at for at in true if at]
            boxes = np.nan_to_num(table.loc[later, BOX].to_numpy(float))
            found.extend(metrics.iou(boxes, np.array([true[at] for at in later]).reshape(-1, 4)))
    assert len(ious["rotation"]) >= 20
    assert np.mean(ious["segmentation"]) > np.mean(ious["rotation"]) + 0.1


def test_two_regions_never_get_the_same_place(holes):
    frames, segmented = holes
    box = segmented[0].boxes[0]
    beside = box + np.array([4.0, 0.0, 4.0, 0.0])
    places = [ImageGeometry.from_header(f.header) for f in frames]
    table = tracking.track_many(
        [f.array for f in frames[:3]],
        [box, beside],
        tracker=SegmentationTracker("coronal_hole"),
        geometry=places[:3],
        times=[f.time for f in frames[:3]],
    )
    tracked = table[(table["state"] == "tracked") & (table["frame"] > 0)]
    assert len(tracked) and not tracked.duplicated(["frame", *BOX]).any()


@pytest.mark.parametrize("spoilt", ["black", "saturated", "half of it missing"])
def test_an_image_that_cannot_be_segmented_costs_its_row_alone(holes, spoilt):
    frames, segmented = holes
    clean = rows_of(frames, segmented[0].boxes[0], SegmentationTracker("coronal_hole"))
    pixels = [f.array for f in frames]
    pixels[2] = np.full_like(pixels[2], 255 if spoilt == "saturated" else 0)
    if spoilt == "half of it missing":
        pixels[2] = frames[2].array.astype(np.float32)
        pixels[2][:, :300] = np.nan
    table = tracking.track(
        pixels,
        segmented[0].boxes[0],
        tracker=SegmentationTracker("coronal_hole"),
        geometry=[ImageGeometry.from_header(f.header) for f in frames],
        times=[f.time for f in frames],
    )
    assert table.loc[2, "state"] == "coasting" and table.loc[2, "message"]
    assert metrics.iou(table.loc[[3], BOX].to_numpy(float), clean.loc[[3], BOX].to_numpy(float))[0] > 0.9


def test_where_nothing_is_found_the_box_is_lost_and_found_again(holes):
    frames, segmented = holes
    quiet = simulate.SunModel(5, n_regions=0, n_holes=0, start=frames[0].model.start, days=3)
    blank = [simulate.render(quiet, f.time, size=512, channel="193") for f in frames]
    mixed = [frames[0], *blank[1:5], frames[5]]
    number = int(np.setdiff1d(np.intersect1d(segmented[0].ids, segmented[5].ids), [0])[0])
    table = rows_of(mixed, truths(segmented, number)[0], SegmentationTracker("coronal_hole"))
    assert table["state"].tolist()[1:5] == ["coasting", "coasting", "lost", "lost"]
    assert np.all(np.diff(table["score"].to_numpy()[:5]) < 0)
    assert table.loc[5, "state"] == "tracked" and table.loc[5, "message"] == "found again"


def test_a_start_on_nothing_says_so_and_follows_rotation(holes):
    frames, _ = holes
    quiet = simulate.SunModel(5, n_regions=0, n_holes=0, start=frames[0].model.start, days=3)
    blank = [simulate.render(quiet, f.time, size=512, channel="193") for f in frames[:2]]
    box = [240.0, 240.0, 280.0, 270.0]
    table = rows_of(blank, box, SegmentationTracker("coronal_hole"))
    assert table.loc[0, "message"] == "the segmentation finds no coronal hole here"
    rotated = rows_of(blank, box, tracking.make_tracker("rotation", law="coronal holes"))
    np.testing.assert_allclose(
        table.loc[1, BOX].to_numpy(float), rotated.loc[1, BOX].to_numpy(float), atol=0.5
    )


def test_active_regions_are_followed_as_segmentation_draws_them():
    model = simulate.SunModel(961_011, n_regions=14, days=2)
    frames = list(simulate.sequence(model, 4, "8h", size=512))
    segmented = [frame.segmented("active_region") for frame in frames]
    ious = []
    for number in segmented[0].ids[segmented[0].ids > 0]:
        true = truths(segmented, number)
        table = rows_of(frames, true[0], "segmentation")
        ious += [
            float(metrics.iou(table.loc[[at], BOX].to_numpy(float), true[at][None])[0]) for at in true if at
        ]
    # Its own segmentation is the truth, so what is missing is a change of identity.
    assert np.median(ious) > 0.95


def test_behind_the_limb_there_is_no_box(holes):
    frames, _ = holes
    geometry = ImageGeometry.from_header(frames[0].header)
    x, y = geometry.disk_center
    edge = x + 0.97 * geometry.disk_radius
    first = frames[0].time
    table = tracking.track(
        [frames[0].array] * 2,
        [edge - 12, y - 8, edge, y + 8],
        tracker=SegmentationTracker("coronal_hole"),
        geometry=geometry,
        times=[first, first + timedelta(days=3)],
    )
    assert table.loc[1, "state"] == "off_disk" and table.loc[1, BOX].isna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": ["coronal_hole"]}, "kind must be one of"),
        ({"kind": "sunspot"}, "kind must be one of 'active_region', 'coronal_hole', got 'sunspot'"),
        (
            {"kind": "coronal_hole", "wavelength": 171},
            "wavelength must be one of .* for coronal_holes, got 171",
        ),
        ({"law": "solid"}, "law must be one of"),
    ],
)
def test_what_it_cannot_do_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SegmentationTracker(**options)


def test_a_start_without_time_or_sun_or_beyond_the_limb_is_refused(holes):
    frames, _ = holes
    box, place = [200, 200, 240, 240], ImageGeometry.from_header(frames[0].header)
    with pytest.raises(TrackError, match="where the Sun is"):
        tracking.track([frames[0].array] * 2, box, tracker="segmentation")
    with pytest.raises(TrackError, match="time"):
        tracking.track([frames[0].array] * 2, box, tracker="segmentation", geometry=place)
    with pytest.raises(TrackError, match="beyond the limb"):
        rows_of(frames[:2], [0, 0, 20, 20], "segmentation")


def test_without_scikit_image_the_tracker_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(ImportError, match="detect"):
        tracking.make_tracker("segmentation", kind="coronal_hole")
