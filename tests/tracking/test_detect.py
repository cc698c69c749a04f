import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from astropy.io import fits
from PIL import Image

from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, ModelError
from solartrack.images import SolarImage
from solartrack.inference import KEY, _load_once, find_model
from solartrack.segmentation import candidates, segment
from solartrack.simulate import Hole, Region, SunModel, render
from solartrack.simulate._sphere import earth
from solartrack.tracking import detect, track_many
from solartrack.tracking.network import Answers, Network

pytest.importorskip("skimage")

SIZE = 512


@pytest.fixture(scope="module")
def model():
    l0 = earth(SunModel(0, n_regions=0, n_holes=0).start).l0_deg
    region = Region(7, 1, -15.0, l0 - 20.0, 0.0, -5.0, 2.0, 20.0, 30.0, 6.0, 6.0, 1, 1.5)
    hole = Hole(3, 3, 10.0, l0 + 20.0, 0.0, -5.0, 4.0, 10.0, 40.0, 9.0)
    return SunModel(0, regions=(region,), ephemeral=(), holes=(hole,))


@pytest.fixture(scope="module")
def frames(model):
    made = {}
    for channel in ("171", "193"):
        for output in ("display", "intensity"):
            made[channel, output] = render(model, model.start, size=SIZE, channel=channel, output=output)
    return made


@pytest.fixture(scope="module")
def quiet():
    model = SunModel(4, n_regions=0, n_holes=0)
    return {
        (channel, output): render(model, model.start, size=SIZE, channel=channel, output=output)
        for channel in ("171", "193")
        for output in ("display", "intensity")
    }


def image_of(frame):
    return SolarImage(frame.array, frame.header, None)


def overlap(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0.0))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def box_of(table, row=0):
    return table.loc[row, ["x0", "y0", "x1", "y1"]].to_numpy(float)


@pytest.mark.parametrize("channel", ["171", "193"])
@pytest.mark.parametrize("output", ["display", "intensity"])
def test_a_region_is_found_where_it_is(frames, channel, output):
    frame = frames[channel, output]
    table = detect(image_of(frame), outlines=True)
    assert (table["kind"] == "active_region").all() and table["score"].is_monotonic_decreasing
    y, x = np.nonzero(frame.mask == 7)
    truth = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float)
    assert overlap(box_of(table), truth) > 0.5
    assert table.loc[0, "contrast"] > 2.0 and 0.0 < table.loc[0, "score"] < 1.0
    outline = table.loc[0, "outline"]
    around = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
    assert overlap(around, box_of(table)) > 0.5
    assert table.loc[0, "lon"] == pytest.approx(-20.0, abs=4.0)
    assert table.loc[0, "lat"] == pytest.approx(-15.0, abs=4.0)


@pytest.mark.parametrize("channel", ["171", "193"])
def test_without_a_network_the_boxes_are_those_of_the_segmentation(frames, channel):
    frame = frames[channel, "intensity"]
    table = detect(image_of(frame), outlines=True, model=None)
    found = segment(frame.array, frame.view.geometry, wavelength=int(channel))
    assert table[["x0", "y0", "x1", "y1"]].to_numpy() == pytest.approx(found.boxes)
    assert table["score"].to_numpy() == pytest.approx(found.scores)
    assert np.abs(table.loc[0, "outline"].min(axis=0) - box_of(table)[:2]).max() < 3.0


@pytest.mark.parametrize("output", ["display", "intensity"])
def test_a_hole_is_found_where_it_is(frames, output):
    frame = frames["193", output]
    table = detect(image_of(frame), "coronal_hole")
    assert overlap(box_of(table), frame.holes.boxes[0]) > 0.5
    assert table.loc[0, "contrast"] < 0.6
    assert table.loc[0, "area_deg2"] > 100.0


@pytest.mark.parametrize(
    ("channel", "output"), [(c, o) for c in ("171", "193") for o in ("display", "intensity")]
)
def test_nothing_is_found_on_a_quiet_sun(quiet, channel, output):
    table = detect(image_of(quiet[channel, output]))
    assert len(table) == 0 and table["x0"].dtype == np.float64
    if channel == "193":
        assert len(detect(image_of(quiet[channel, output]), "coronal_hole")) == 0


def test_what_is_found_can_be_tracked_as_it_is(frames):
    image = image_of(frames["171", "intensity"])
    found = detect(image)
    table = track_many([image], found, tracker="rotation", times=["2014-02-01"])
    assert table["id"].tolist() == found["id"].tolist()
    assert table[["x0", "y0", "x1", "y1"]].to_numpy() == pytest.approx(
        found[["x0", "y0", "x1", "y1"]].to_numpy()
    )


def test_files_arrays_and_turned_pictures_give_the_same_boxes(frames, tmp_path):
    frame = frames["171", "display"]
    expected = box_of(detect(image_of(frame)))
    fits.PrimaryHDU(frame.array, frame.header).writeto(tmp_path / "a.fits")
    # FITS is read as it is stored, with the geometry of its header.
    assert box_of(detect(tmp_path / "a.fits")) == pytest.approx(expected)
    geometry = frame.view.geometry
    assert box_of(detect(frame.array, geometry=geometry)) == pytest.approx(expected)
    Image.fromarray(frame.array[::-1].copy()).save(tmp_path / "a.png")
    middle = (geometry.disk_center[0], SIZE - geometry.disk_center[1])
    turned = ImageGeometry.from_disk(middle, geometry.disk_radius, b0_deg=geometry.b0_deg)
    x0, y0, x1, y1 = box_of(detect(tmp_path / "a.png", geometry=turned))
    assert overlap(np.array([x0, SIZE - y1, x1, SIZE - y0]), expected) > 0.85


def test_a_large_file_gives_the_boxes_of_its_whole_size(model, tmp_path):
    frame = render(model, model.start, size=1024, channel="171")
    fits.PrimaryHDU(frame.array, frame.header).writeto(tmp_path / "a.fits")
    small = box_of(detect(image_of(render(model, model.start, size=512, channel="171"))))
    assert overlap(box_of(detect(tmp_path / "a.fits")), 2 * small) > 0.75


def test_a_helioviewer_file_is_read_at_low_resolution(shared):
    path = shared / "data/jp2/2022_01_01__00_03_52_835__SDO_AIA_AIA_193.jp2"
    holes = detect(path, "coronal_hole")
    # The dark patch on the western half, and the poles.
    inner = holes[(holes["lat"].abs() < 40) & (holes["lon"] > 0)]
    assert len(inner) >= 1 and 2900 < inner["x1"].max() < 3150
    assert (holes["lat"] > 60).any() and (holes["lat"] < -60).any()


def test_nan_pixels_are_left_out(frames):
    frame = frames["171", "intensity"]
    expected = box_of(detect(image_of(frame)))
    spoilt = frame.array.copy()
    spoilt[:40] = np.nan
    spoilt[np.random.default_rng(0).random(spoilt.shape) < 0.05] = np.nan
    assert overlap(box_of(detect(SolarImage(spoilt, frame.header, None))), expected) > 0.8


def test_a_flare_that_saturates_is_part_of_its_region_and_hides_no_other(frames):
    frame = frames["171", "display"]
    spoilt = frame.array.copy()
    x, y = (int(v) for v in frame.view.geometry.disk_center)
    spoilt[y + 40 : y + 60, x + 60 : x + 80] = 255
    spoilt[y + 50, :] = np.maximum(spoilt[y + 50, :], 200)
    boxes = detect(SolarImage(spoilt, frame.header, None))
    expected = box_of(detect(image_of(frame)))
    assert max(overlap(box_of(boxes, i), expected) for i in boxes.index) > 0.7
    assert ((boxes["x0"] < x + 70) & (boxes["x1"] > x + 70) & (boxes["y1"] > y + 50)).any()


@pytest.mark.parametrize("output", ["display", "intensity"])
def test_the_shadow_of_an_eclipse_is_no_hole(quiet, output):
    frame = quiet["193", output]
    spoilt = frame.array.copy()
    y, x = np.indices(spoilt.shape)
    spoilt[x + 0.4 * y < 230] = 0
    assert len(detect(SolarImage(spoilt, frame.header, None), "coronal_hole")) == 0


def spoil(frame, how):
    array, header = frame.array.astype(np.float32), frame.header.copy()
    match how:
        case "black":
            array[:] = 0.0
        case "nan":
            array[:] = np.nan
        case "constant":
            array[:] = 100.0
        case "noise":
            array = np.random.default_rng(1).uniform(50.0, 150.0, array.shape).astype(np.float32)
        case "negative":
            array -= np.median(array)
        case "eclipse":
            array[:, :400] = 0.0
        case "saturated":
            array = np.full(array.shape, 255, np.uint8)
            array[0] = 0
        case "mostly saturated":
            array = np.clip(array, 0, 255).astype(np.uint8)
            array[: int(0.65 * len(array))] = 255
        case "off-pointing":
            header["CRPIX1"] -= 400.0
        case "magnetogram":
            header["CONTENT"] = "MAGNETOGRAM"
        case "gauss":
            header["BUNIT"] = "Gauss"
        case "continuum":
            header["WAVELNTH"] = 6173
        case "endless":
            header["WAVELNTH"] = "inf"
        case "tiny":
            header["CDELT1"] = header["CDELT2"] = 200.0
        case "no geometry":
            header = fits.Header()
        case "cube":
            array = array[None].repeat(2, axis=0)
    return SolarImage(array, header, None)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("black", ImageError, "no contrast"),
        ("nan", ImageError, "NaN"),
        ("constant", ImageError, "no contrast"),
        ("noise", ImageError, "shows no disk"),
        ("negative", ImageError, "negative"),
        ("eclipse", ImageError, "black"),
        ("saturated", ImageError, "no contrast"),
        ("mostly saturated", ImageError, "saturated"),
        ("off-pointing", GeometryError, "at least half of the disk"),
        ("magnetogram", ImageError, "magnetogram by its header"),
        ("gauss", ImageError, "magnetogram by its header"),
        ("continuum", ImageError, "6173 by its header"),
        ("endless", ImageError, "WAVELNTH is 'inf', which is none; pass wavelength="),
        ("tiny", GeometryError, "32 pixels across"),
        ("no geometry", GeometryError, "where the Sun is"),
        ("cube", ValueError, "shape"),
    ],
)
def test_bad_images_are_refused_with_the_reason(frames, how, error, message):
    with pytest.raises(error, match=message):
        detect(spoil(frames["171", "intensity"], how))


def test_what_cannot_be_told_is_refused(frames):
    with pytest.raises(ImageError, match="193, 195, 211, 284"):
        detect(image_of(frames["171", "display"]), "coronal_hole")
    with pytest.raises(ValueError, match="kind must be one of"):
        detect(image_of(frames["171", "display"]), "filament")
    with pytest.raises(ValueError, match="got one of 171"):
        detect(image_of(frames["193", "display"]), "coronal_hole", wavelength=171)
    for kind in (None, ["coronal_hole"]):
        with pytest.raises(ValueError, match="kind must be one of"):
            detect(image_of(frames["193", "display"]), kind)
    with pytest.raises(TypeError, match="geometry must be an ImageGeometry, got tuple"):
        detect(image_of(frames["193", "display"]), geometry=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match=r"image must be a path, .* \(ny, nx\), got None"):
        detect(None)
    with pytest.raises(ValueError, match=r"got shape \(9, 9, 3\); take one channel, or their mean"):
        detect(np.zeros((9, 9, 3)))


def test_a_bad_file_names_itself(frames, tmp_path):
    frame = frames["171", "intensity"]
    fits.PrimaryHDU(0 * frame.array, frame.header).writeto(tmp_path / "dark.fits")
    with pytest.raises(ImageError, match=r"dark\.fits: the disk has no contrast"):
        detect(tmp_path / "dark.fits")
    for how in ("no geometry", "tiny"):
        image = spoil(frame, how)
        path = tmp_path / f"{how}.fits"
        fits.PrimaryHDU(image.array, image.header).writeto(path)
        with pytest.raises(GeometryError, match=f"^{path}: "):
            detect(path)


def test_neighbours_that_the_segmentation_joins_are_told_apart():
    l0 = earth(SunModel(0, n_regions=0, n_holes=0).start).l0_deg
    pair = tuple(
        Region(k, k, 14.0, l0 + lon, 0.0, -5.0, 2.0, 20.0, 30.0, 5.0, 6.0, 1, 1.5)
        for k, lon in ((1, -7.5), (2, 7.5))
    )
    frame = render(SunModel(0, regions=pair, ephemeral=(), holes=()), "2014-02-01", size=SIZE, channel="171")
    truths = []
    for k in (1, 2):
        y, x = np.nonzero(frame.mask == k)
        truths.append(np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float))

    def best(table):
        return [max((overlap(box_of(table, i), t) for i in table.index), default=0.0) for t in truths]

    assert min(best(detect(image_of(frame)))) > 0.5 > min(best(detect(image_of(frame), model=None)))


def test_no_two_boxes_are_of_one_region_and_each_has_the_candidate_that_fits_it():
    frame = render(SunModel(3), "2014-02-03", size=SIZE, channel="193")
    place = frame.view.geometry
    table = detect(image_of(frame), outlines=True)
    boxes = table[["x0", "y0", "x1", "y1"]].to_numpy()
    found = candidates(frame.array, place, wavelength=193)
    assert len(boxes) > 3 and table["score"].is_monotonic_decreasing
    for i, box in enumerate(boxes):
        assert all(overlap(box, other) <= 0.3 for other in boxes[:i])
        number = max(range(len(found.boxes)), key=lambda k: overlap(box, found.boxes[k]))
        assert table.loc[i, "area_deg2"] == found.areas_deg2[number]
        assert table.loc[i, "contrast"] == found.contrasts[number]
        np.testing.assert_array_equal(table.loc[i, "outline"], found.outlines(number)[0])


def test_candidates_hold_the_places_of_the_segmentation_and_all_that_is_brighter_in_them():
    frame = render(SunModel(3), "2014-02-03", size=SIZE, channel="171")
    found, places = (f(frame.array, frame.view.geometry) for f in (candidates, segment))
    for box in places.boxes:
        assert max(overlap(box, other) for other in found.boxes) > 0.75
    pixels = [{(x0 + x, y0 + y) for y, x in zip(*np.nonzero(m), strict=True)} for (x0, y0), m in found.masks]
    # Level sets: two either share nothing to speak of or one lies in the other, but for what closing joins.
    for i, a in enumerate(pixels):
        for b in pixels[:i]:
            shared = len(a & b) / min(len(a), len(b))
            assert shared < 0.1 or shared > 0.9
    for (x0, y0), mask in found.masks:
        assert mask.any() and x0 >= 0 and y0 >= 0
    assert (found.areas_deg2 >= 8.0).all() and (found.contrasts > 1.0).all()
    assert len(candidates(quiet_array(), frame.view.geometry).boxes) == 0


def quiet_array():
    return render(SunModel(4, n_regions=0, n_holes=0), "2014-02-03", size=SIZE, channel="171").array


def test_a_network_that_draws_nothing_sensible_finds_nothing(frames, monkeypatch):
    frame = frames["171", "intensity"]

    def answer(self, templates, image, priors, geometry, windows):
        n, strange = len(priors), np.resize([np.nan, np.inf, -1e9, 0.0], (len(priors), 4))
        return Answers(strange, np.ones((n, 4)), np.resize([1.0, np.nan], n))

    monkeypatch.setattr(Network, "answer", answer)
    assert len(detect(image_of(frame), outlines=True)) == 0


def test_a_model_that_cannot_find_regions_is_refused_with_the_way_without(frames, tmp_path, wrong_models):
    image = image_of(frames["171", "display"])
    needy = onnx.load(find_model("goturn-lite"))
    (entry,) = (e for e in needy.metadata_props if e.key == KEY)
    told = json.loads(entry.value)
    told["convention"]["alone"] = 0.0
    entry.value = json.dumps(told)
    onnx.save(needy, tmp_path / "needy.onnx")
    with pytest.raises(ModelError, match=r"needy\.onnx: this model only follows .* pass model=None"):
        detect(image, model=tmp_path / "needy.onnx")
    with pytest.raises(ModelError, match="damaged"):
        detect(image, model=wrong_models["damaged"])
    with pytest.raises(ModelError, match=r"model must be goturn-lite or an \.onnx file, got 'spoca'"):
        detect(image, model="spoca")
    for model in (5, True, b"goturn-lite", ["goturn-lite"]):
        with pytest.raises(TypeError, match=r"model must be goturn-lite or the path of an \.onnx file, got"):
            detect(image, model=model)
    assert len(detect(image, model=None))


def test_without_onnxruntime_the_error_names_the_extra_and_the_way_without(frames, monkeypatch):
    _load_once.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'solartrack\[cpu\]'.*pass model=None"):
        detect(image_of(frames["171", "display"]))
    assert len(detect(image_of(frames["171", "display"]), model=None)) == 1
    detect(image_of(frames["193", "display"]), "coronal_hole")  # which needs no network


def test_scikit_image_is_imported_only_when_it_is_needed():
    code = "import sys, solartrack.tracking, solartrack.simulate; sys.exit('skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_larger_sensitivity_gives_larger_places(frames):
    frame = frames["171", "intensity"]
    areas = [
        segment(frame.array, frame.view.geometry, sensitivity=value).areas_deg2.sum()
        for value in (0.8, 1.0, 1.3)
    ]
    assert areas[0] < areas[1] < areas[2]
    with pytest.raises(ValueError, match="sensitivity"):
        segment(frame.array, frame.view.geometry, sensitivity=0.0)


def test_boxes_of_regions_are_brought_down_from_the_height_of_their_loops():
    frame = render(SunModel(1), "2014-02-01", size=256)
    place = ImageGeometry.from_header(frame.header)
    found = segment(frame.array, place)
    middle = np.tile(place.disk_center, 2)
    for number, box in enumerate(found.boxes, 1):
        y, x = np.nonzero(found.labels == number)
        seen = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) * found.reduction
        np.testing.assert_allclose(box - middle, (seen - middle) / 1.01, atol=1e-9)
    assert len(found.boxes)
