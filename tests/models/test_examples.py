import dataclasses

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from PIL import Image

from solartrack import simulate
from solartrack.boxes import to_ann
from solartrack.coordinates import ImageGeometry, rectangles_to_boxes, rotate_box
from solartrack.crop import crop_to_frame
from solartrack.errors import GeometryError
from solartrack.inference import CropPair
from solartrack.models.goturn import augment, dataset, sources, windows
from solartrack.models.goturn.carried import History
from solartrack.models.goturn.examples import pair_examples, sequence_examples
from solartrack.models.goturn.recipes import RECIPES, Recipe
from solartrack.models.goturn.sources import LabelledFrame
from solartrack.sequence import Frame

CROPS = CropPair(side=64, channels=1, mean=(0.0,))
DISK = ImageGeometry.from_disk((200.0, 200.0), 160.0)
BOX = np.array([170.0, 120.0, 220.0, 150.0])


def frame(box=BOX, days=np.nan, geometry=None, ids=(7,), shape=(400, 400)):
    """A dark image in which the boxes are bright."""
    image = np.full(shape, 20, np.uint8)
    boxes = np.atleast_2d(np.asarray(box, float))
    for x0, y0, x1, y1 in np.rint(boxes).astype(int):
        image[max(y0, 0) : y1, max(x0, 0) : x1] = 220
    known = Frame(0, mjd_tai=days, geometry=geometry, shape=shape, pixels=image)
    return LabelledFrame(known, np.array(ids), boxes)


def found(crop):
    """Box of the bright pixels of a crop, in 0 to 10, or None."""
    rows, columns = np.nonzero(crop[..., 0] > 120)
    if len(rows) == 0:
        return None
    scale = 10.0 / len(crop)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * scale


def test_search_window_is_where_rotation_takes_the_box():
    moved = rotate_box(BOX, 0.5, DISK).box
    assert moved[0] - BOX[0] > 10
    previous, current = frame(days=3.0, geometry=DISK), frame(moved, days=3.5, geometry=DISK)
    made = pair_examples(previous, current, CROPS, Recipe(shifted=0, rotated=True), np.random.default_rng(0))
    # Windows begin at whole pixels.
    np.testing.assert_allclose(made.box, [[2.5, 2.5, 7.5, 7.5]], atol=10 * 1.0 / 60)
    unmoved = pair_examples(previous, current, CROPS, Recipe(shifted=0), np.random.default_rng(0))
    assert unmoved.box[0, 0] > 3.4


@pytest.mark.parametrize("missing", ["days", "geometry"])
def test_without_time_or_geometry_the_window_stays(missing):
    moved = rotate_box(BOX, 0.5, DISK).box
    known = {"days": 3.0, "geometry": DISK}
    current = frame(moved, **{**known, "days": 3.5})
    previous = frame(**{**known, missing: np.nan if missing == "days" else None})
    made = pair_examples(previous, current, CROPS, Recipe(shifted=0, rotated=True), np.random.default_rng(0))
    plain = pair_examples(previous, current, CROPS, Recipe(shifted=0), np.random.default_rng(0))
    np.testing.assert_array_equal(made.box, plain.box)


def test_region_is_where_the_label_says_in_every_orientation():
    recipe = Recipe(shifted=200, mirrored=True, turned=0.5)
    made = pair_examples(
        frame(), frame(BOX + np.array([3, 5, 3, 5])), CROPS, recipe, np.random.default_rng(1)
    )
    tall = 0
    for target, search, box in zip(made.target, made.search, made.box, strict=True):
        # Bilinear edges and whole pixels of the window: a pixel of the crop, 0.16, and some.
        np.testing.assert_allclose(found(target), [2.5, 2.5, 7.5, 7.5], atol=0.35)
        np.testing.assert_allclose(found(search), np.clip(box, 0, 10), atol=0.5)
        tall += box[3] - box[1] > box[2] - box[0]
    # Asymmetric shifts come out on all sides.
    centres = 0.5 * (made.box[:, :2] + made.box[:, 2:]) - 5.0
    assert (centres > 0.2).any(axis=0).all() and (centres < -0.2).any(axis=0).all() and 0 < tall < 200


def test_shifts_and_sizes_follow_the_published_laplace_distributions():
    recipe = dataclasses.replace(RECIPES["published"], shifted=4000)
    crops = CropPair(side=2, channels=1, mean=(0.0,))
    large = frame([180.0, 180.0, 220.0, 220.0])  # far from the edges
    made = pair_examples(large, large, crops, recipe, np.random.default_rng(0))
    # Back from the truth in crop coordinates to the window it was cut around.
    size = 5.0 / (made.box[1:, 2:] - made.box[1:, :2])
    growth = size - 1.0
    assert np.abs(growth).max() <= 0.4 + 0.03
    assert np.abs(growth).mean() == pytest.approx(1 / 15, rel=0.1)
    shift = (5.0 - 0.5 * (made.box[1:, 2:] + made.box[1:, :2])) / 5.0 * size
    assert np.abs(shift).max() <= 1.0 + 0.05
    # A Laplace distribution of rate 5, cut off at 1.
    cut = 0.2 - np.exp(-5.0) / (1 - np.exp(-5.0))
    assert np.abs(shift).mean() == pytest.approx(cut, rel=0.1)


def test_windows_stay_in_the_image():
    corner = np.array([[2.0, 3.0, 42.0, 33.0]] * 500)
    recipe = Recipe(shift_rates=(5.0,), size_rates=(15.0,), size_limit=0.4)
    moved = windows._shifted(corner, recipe, (400, 400), np.random.default_rng(0))
    grown_only = np.isclose(moved[:, :2] + moved[:, 2:], corner[:, :2] + corner[:, 2:]).all(axis=1)
    assert (moved[~grown_only, :2] >= 0).all() and grown_only.mean() < 0.2
    assert (moved[:, 2:] > moved[:, :2]).all()


def test_lost_examples_do_not_show_the_region():
    recipe = Recipe(shifted=300, lost=0.5)
    made = pair_examples(frame(), frame(), CROPS, recipe, np.random.default_rng(3))
    lost = made.present[:, 0] == 0
    assert 100 < lost.sum() < 200
    scenes = 0
    for search in made.search[lost]:
        plain = (np.abs(search - 20) < 1) | (np.abs(search - 220) < 1)
        if plain.mean() > 0.8 and (seen := found(search)) is not None:  # elsewhere, not spoilt
            scenes += 1
            assert (np.abs(0.5 * (seen[:2] + seen[2:]) - 5.0) > 3.0).any()  # an edge of it, at most
    assert scenes > 2
    assert all(found(search) is not None for search in made.search[~lost])


def test_tone_and_noise_change_both_crops_alike_and_stay_in_range():
    still = {"shift_rates": (1e6,), "size_rates": (1e6,)}
    recipe = Recipe(shifted=99, tone=0.3, tone_change=0.02, noise=5.0, **still)
    made = pair_examples(frame(), frame(), CROPS, recipe, np.random.default_rng(3))
    assert made.target.min() >= 0 and made.search.max() <= 255
    target, search = (np.median(c[:, 20:44, 20:44, 0], axis=(1, 2)) for c in (made.target, made.search))
    assert target.std() > 10 and np.corrcoef(target, search)[0, 1] > 0.9


def test_channels_are_copies_minus_their_means():
    crops = CropPair(side=8, channels=3, mean=(104.0, 117.0, 123.0))
    made = pair_examples(frame(), frame(), crops, Recipe(shifted=1), np.random.default_rng(0))
    assert made.search.shape == (2, 8, 8, 3) and made.search.dtype == np.float32
    grey = made.search + np.float32([104, 117, 123])
    np.testing.assert_allclose(grey[..., 0], grey[..., 2], atol=1e-4)


def test_regions_are_matched_by_identity_and_slivers_left_out():
    previous = frame([BOX, BOX + 100, [10, 10, 12, 60]], ids=(5, 2, 9))
    current = frame([[10, 10, 40, 60], BOX + 103, BOX + 40], ids=(9, 2, 8))
    made = pair_examples(previous, current, CROPS, Recipe(shifted=2), np.random.default_rng(0))
    assert len(made.box) == 3  # of region 2 alone
    np.testing.assert_allclose(crop_to_frame(made.box[:1], BOX + 100, None), [BOX + 103], atol=1e-4)
    assert pair_examples(frame(ids=(1,)), frame(ids=(2,)), CROPS, Recipe(), np.random.default_rng(0)) is None


def test_every_frame_is_current_once_and_time_may_run_back():
    frames = [frame(BOX + 10 * k) for k in range(5)]
    for recipe, signs in (
        (Recipe(shifted=0, gaps=2), {1}),
        (Recipe(shifted=0, gaps=2, reversed=True), {-1, 1}),
    ):
        steps = []
        for seed in range(20):
            made = list(sequence_examples(frames, CROPS, recipe, np.random.default_rng(seed)))
            assert len(made) == 5
            # 10 pixels to the right and down for each step: 10 / 100 and 10 / 60 of the window.
            steps += [round(float(m.box[0, 0] - 2.5)) for m in made]
        assert {np.sign(s) for s in steps if s} == signs
        assert {abs(s) for s in steps} == {0, 1, 2}


def test_single_frame_is_a_still_image():
    (made,) = sequence_examples([frame()], CROPS, Recipe(shifted=3), np.random.default_rng(0))
    np.testing.assert_allclose(made.box[0], [2.5, 2.5, 7.5, 7.5], atol=1e-6)
    np.testing.assert_array_equal(made.target[0], made.search[0])


# --- sources


def write_ann(path, frames, boxes):
    np.savetxt(path, np.column_stack([frames, to_ann(boxes)]), fmt="%d")


def test_published_layout_is_read(tmp_path):
    for k in (3, 10):
        Image.fromarray(frame(BOX + k).pixels).save(tmp_path / f"{k:04d}.png")
    write_ann(tmp_path / "a.ann", [3, 10, 11], [BOX + 3, BOX + 10, BOX])
    frames = sources.ann_source(tmp_path, tmp_path / "a.ann")()
    assert len(frames) == 2 and frames[0].geometry is None and np.isnan(frames[0].frame.mjd_tai)
    np.testing.assert_array_equal(frames[1].boxes, [BOX + 10])
    assert frames[1].pixels[135, 190] == 220
    assert (
        next(iter(sequence_examples(frames, CROPS, RECIPES["solar"], np.random.default_rng(0)))) is not None
    )


def test_annotation_without_images_is_refused(tmp_path):
    Image.fromarray(frame().pixels).save(tmp_path / "0001.png")
    write_ann(tmp_path / "a.ann", [5], [BOX])
    with pytest.raises(ValueError, match=r"no image in .* has the number of a frame in .*a\.ann"):
        sources.ann_source(tmp_path, tmp_path / "a.ann")


@pytest.mark.parametrize(
    "text",
    ["1 2 3 4 5\n", "1 2 3 4 5 6 7 8 9\n1 2 3\n", "frame x y\n", "1 2 3 4 5 6 7 8 nan\n"],
    ids=["columns", "ragged", "words", "nan"],
)
def test_damaged_annotation_is_refused_by_name(tmp_path, text):
    (tmp_path / "a.ann").write_text(text)
    with pytest.raises(ValueError, match=r"a\.ann: expected the nine numbers frame x2 .* in each line; "):
        sources.ann_source(tmp_path, tmp_path / "a.ann")


def test_an_image_whose_header_does_not_say_where_the_sun_is_names_itself(tmp_path):
    simulate.write(tmp_path, simulate.sequence(5, 1, size=96))
    with fits.open(tmp_path / "frame_0000.fits", mode="update") as opened:
        del opened[0].header["CUNIT1"]
    table = pd.DataFrame([("frame_0000.fits", *BOX)], columns=["file", "x0", "y0", "x1", "y1"])
    with pytest.raises(GeometryError, match=r"frame_0000\.fits: .*CUNIT1"):
        sources.table_source(table, tmp_path)()


@pytest.mark.parametrize("form", ["fits", "png"])
def test_simulated_sequence_is_read_with_its_truth(tmp_path, form):
    made = list(simulate.sequence(3, 3, "6h", size=128, output="display"))
    simulate.write(tmp_path, made, format=form)
    frames = sources.simulated_source(tmp_path)()
    assert [len(f.ids) for f in frames] == [len(f.ids) for f in made]
    assert frames[1].frame.mjd_tai - frames[0].frame.mjd_tai == pytest.approx(0.25)
    # Rotation takes the boxes to where they are: rows, centre and B0 are right in both formats.
    ids, a, b = np.intersect1d(frames[0].ids, frames[2].ids, return_indices=True)
    moved = [rotate_box(frames[0].boxes[k], 0.5, frames[0].geometry, frames[2].geometry).box for k in a]
    middle = [k for k in range(len(ids)) if np.ptp(frames[0].boxes[a[k]][::2]) > 8]
    assert middle
    for k in middle:
        np.testing.assert_allclose(moved[k], frames[2].boxes[b[k]], atol=1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="x1"), "lacks the columns x1"),
        (lambda t: t.assign(x0=np.nan), "has no box"),
        (lambda t: pd.concat([t, t]), "several boxes of one region in one image; give an id column"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, change, message):
    table = pd.DataFrame([("a.png", *BOX)], columns=["file", "x0", "y0", "x1", "y1"])
    with pytest.raises(ValueError, match=message):
        sources.table_source(change(table), tmp_path)


def test_still_image_gets_boxes_on_the_disk_where_it_is_bright(tmp_path):
    (made,) = simulate.sequence(5, 1, size=256)
    simulate.write(tmp_path, [made])
    source = sources.still_source(tmp_path / "frame_0000.fits", seed=1, count=200)
    (still,) = source()
    assert len(still.boxes) == 200
    centres = 0.5 * (still.boxes[:, :2] + still.boxes[:, 2:])
    centre, radius = still.geometry.disk_center, still.geometry.disk_radius
    assert np.hypot(*(centres - centre).T).max() < 1.3 * radius
    on_disk = made.array[np.hypot(*(np.indices(made.array.shape)[::-1] - 128.0)) < 0.95 * radius]
    at = np.clip(centres.astype(int), 0, 255)
    assert made.array[at[:, 1], at[:, 0]].mean() > 1.15 * on_disk.mean()
    np.testing.assert_array_equal(source()[0].boxes, still.boxes)
    other = sources.still_source(tmp_path / "frame_0000.fits", seed=2, count=200)
    assert not np.array_equal(other()[0].boxes, still.boxes)


def test_large_still_image_is_reduced(tmp_path):
    simulate.write(tmp_path, simulate.sequence(5, 1, size=256))
    (still,) = sources.still_source(tmp_path / "frame_0000.fits", seed=1, largest=64)()
    assert still.pixels.shape == (64, 64) and 20 < still.geometry.disk_radius < 30


@pytest.mark.filterwarnings("ignore:.*dropped header cards")
@pytest.mark.parametrize(
    "name", ["aia/AIA20140101_0000_0171.fits", "aia/AIA20140101_0000_0193.fits", "jp2/aia171_seq_000.jp2"]
)
def test_real_images_serve_as_stills(shared, name):
    source = sources.still_source(shared / "data" / name, seed=3, count=12)
    (still,) = frames = source()
    assert still.pixels.shape == (1024, 1024) and still.pixels.max() <= 255
    (made,) = sequence_examples(frames, CROPS, RECIPES["solar"], np.random.default_rng(0))
    assert len(made.box) == 12 * 5 and np.isfinite(made.search).all()
    # Not black: what is learnt from has contrast.
    assert np.median(made.target.std(axis=(1, 2, 3))) > 8


def test_rendered_sequence_depends_on_its_seed_alone_and_is_not_made_twice(tmp_path):
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        simulate.write_random(tmp_path / name, seed, n_images=2, size=96)
    a, b, c = ((tmp_path / n / "truth.csv").read_text() for n in "abc")
    assert a == b != c
    (tmp_path / "a" / "frame_0000.png").write_bytes(b"as it was")
    simulate.write_random(tmp_path / "a", 4, n_images=2, size=96)
    assert (tmp_path / "a" / "frame_0000.png").read_bytes() == b"as it was"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A folder in which regions have merged."""
    folder = tmp_path_factory.mktemp("rendered")
    for seed in range(30, 36):
        simulate.write_random(folder / str(seed), seed, n_images=4, size=128)
        if pd.read_csv(folder / str(seed) / "seen.csv")["part"].any():
            return folder / str(seed)
    raise AssertionError("no sequence has a merged region")


def test_boxes_to_learn_from_are_what_is_seen_of_the_catalogues_rectangles(rendered):
    places = pd.read_csv(rendered / "frames.csv")
    catalogue = sources.table_source(pd.read_csv(rendered / "truth.csv"), rendered, places)()
    whole = {
        (f.frame.file, i): box for f in catalogue for i, box in zip(f.ids.tolist(), f.boxes, strict=True)
    }
    sizes = []
    for one in sources.simulated_source(rendered)():
        for number, box in zip(one.ids.tolist(), one.boxes, strict=True):
            around = whole[one.frame.file, number]
            assert (box[:2] >= around[:2] - 1.0).all() and (box[2:] <= around[2:] + 1.0).all()
            sizes.append(np.prod(box[2:] - box[:2]) / np.prod(around[2:] - around[:2]))
    assert len(sizes) > 10 and 0.2 < np.mean(sizes) < 0.98


def test_parts_of_merged_regions_lie_in_them(rendered):
    seen = pd.read_csv(rendered / "seen.csv")
    union = seen[seen["part"] == 0].set_index(["file", "id"])
    for row in seen[seen["part"] == 1].itertuples():
        around = union.loc[(row.file, row.id)]
        turn = 360.0 * round((around.lon0 - row.lon0) / 360.0)
        assert around.lon0 - 1e-6 <= row.lon0 + turn and row.lon1 + turn <= around.lon1 + 1e-6
        assert around.lat0 - 1e-6 <= row.lat0 and row.lat1 <= around.lat1 + 1e-6


def test_parts_of_a_merged_region_serve_as_its_stale_boxes():
    whole, *parts = [[-20.0, 5, 10, 15], [-20.0, 5, -5, 15], [-5.0, 5, 10, 15]]
    boxes, _ = rectangles_to_boxes([whole, whole], DISK)
    one = frame(boxes, days=3.0, geometry=DISK, ids=(7, 8))
    one = dataclasses.replace(one, parts=(np.array([7, 7]), np.array(parts)))
    history, rng = History([one]), np.random.default_rng(0)
    drawn = [history.stale(one.ids, boxes, boxes, boxes, one.frame, one.frame, rng) for _ in range(50)]
    for shown, anchors in drawn:
        np.testing.assert_allclose(shown, anchors)
        np.testing.assert_allclose(shown[1], boxes[1], atol=0.1)  # has no parts
    halves, _ = rectangles_to_boxes(parts, DISK)
    for half in halves:  # less alike than the whole, so drawn often
        assert sum(np.abs(shown[0] - half).max() < 0.1 for shown, _ in drawn) > 10


def test_examples_are_the_same_when_rectangles_have_been_fitted_before(rendered):
    source = sources.simulated_source(rendered)
    first, again = source(), source()
    plain = [dataclasses.replace(one, rectangles=None) for one in first]
    made = [
        list(sequence_examples(frames, CROPS, RECIPES["solar"], np.random.default_rng(0)))
        for frames in (plain, first, again)
    ]
    assert len(made[0]) > 0
    for a, *others in zip(*made, strict=True):
        for b in others:
            for x, y in zip(a, b, strict=True):
                np.testing.assert_allclose(x, y, atol=1e-3)


def test_disturbed_boxes_are_off_by_the_same_share_in_both_crops():
    recipe = Recipe(shifted=30, window=0.0, disturbed=1.0, side_rates=(5.0,))
    still = frame()
    made = pair_examples(still, still, CROPS, recipe, np.random.default_rng(0))
    for target, search, box in zip(made.target, made.search, made.box, strict=True):
        np.testing.assert_array_equal(target, search)
        if (box > 0.2).all() and (box < 9.8).all():
            np.testing.assert_allclose(found(search), box, atol=0.35)
    assert np.allclose(made.box[0], [2.5, 2.5, 7.5, 7.5], atol=0.01) and made.box[1:].std(axis=0).min() > 0.3


def test_without_a_target_the_window_does_not_tell_how_large_the_box_is():
    crops = dataclasses.replace(CROPS, alone=0.5)  # 80 of 160 pixels at most, windows of 160
    recipe = Recipe(shifted=300, alone=0.4, disturbed=1.0, window=0.0, mirrored=True)
    zooms = []
    for box in (BOX, [185.0, 160, 197, 180]):
        one, size = frame(box, geometry=DISK), np.subtract(box[2:], box[:2])
        made = pair_examples(one, one, crops, recipe, np.random.default_rng(0))
        blank = (made.target == 0).all(axis=(1, 2, 3))
        assert 0.3 < blank.mean() < 0.5 and not blank[0]
        zoom = (made.box[blank, 2:] - made.box[blank, :2]) / (size / 16)
        np.testing.assert_allclose(zoom[:, 0], zoom[:, 1], rtol=0.02)
        assert 0.98 < zoom.min() < 1.1 and 1.8 < zoom.max() < 2.02
        zooms.append(zoom.mean())
        for search, label in zip(made.search[blank], made.box[blank], strict=True):
            if (label > 0.5).all() and (label < 9.5).all():
                np.testing.assert_allclose(found(search), label, atol=0.5)
        assert made.box[blank].std(axis=0).min() > 0.4  # it is not always in the middle
    assert zooms[0] == pytest.approx(zooms[1], rel=0.03)


@pytest.mark.parametrize(("share", "geometry"), [(0.0, DISK), (0.25, None)], ids=["the network", "the geometry"])  # fmt: skip
def test_a_target_is_shown_where_it_is_needed(share, geometry):
    crops = dataclasses.replace(CROPS, alone=share)
    recipe = Recipe(shifted=50, alone=1.0)
    one = frame(geometry=geometry)
    made = pair_examples(one, one, crops, recipe, np.random.default_rng(0))
    assert (made.target > 100).any(axis=(1, 2, 3)).all()


def test_without_a_target_only_a_spoilt_image_lacks_the_region():
    crops = dataclasses.replace(CROPS, alone=0.5)
    recipe = Recipe(shifted=1000, alone=1.0, lost=0.5, shift_rates=(np.inf,), size_rates=(np.inf,))
    one = frame(geometry=DISK)
    made = pair_examples(one, one, crops, recipe, np.random.default_rng(0))
    blank = (made.target == 0).all(axis=(1, 2, 3))
    there = (made.search.max(axis=(1, 2, 3)) == 220) & (made.search.min(axis=(1, 2, 3)) == 20)
    np.testing.assert_array_equal(there[blank], made.present[blank, 0] == 1)
    assert 0.1 < (made.present[blank] == 0).mean() < 0.2


def test_real_images_are_blended_into_what_is_seen_without_a_target():
    crops = dataclasses.replace(CROPS, alone=0.5)
    still = {"shift_rates": (np.inf,), "size_rates": (np.inf,)}
    recipe = Recipe(shifted=400, alone=0.5, cluttered=0.8, clutter=0.6, **still)
    rows, columns = np.indices((400, 400))
    waves = (120 + 80 * np.sin(rows / 9) * np.sin(columns / 13)).astype(np.uint8)
    one = frame(geometry=DISK)
    real = dataclasses.replace(one.frame, pixels=waves)
    made, plain = (
        pair_examples(one, one, crops, recipe, np.random.default_rng(0), clutter=clutter)
        for clutter in ([real], [])
    )
    np.testing.assert_array_equal(made.box, plain.box)  # what is learnt stays
    np.testing.assert_array_equal(made.target, plain.target)
    changed = np.abs(made.search - plain.search).max(axis=(1, 2, 3))
    blank = (made.target == 0).all(axis=(1, 2, 3))
    assert not changed[~blank].any() and changed.max() <= 0.6 * 220
    assert 0.7 < (changed[blank] > 1).mean() < 0.9


def test_half_of_what_is_blended_comes_from_the_same_place_of_the_disk_or_its_mirror_image():
    crops = dataclasses.replace(CROPS, alone=0.5)
    there = [57.0, 190, 67, 230]
    limb = ImageGeometry.from_disk((100.0, 100.0), 80.0)
    rows, columns = np.indices((200, 200))
    disk = np.where(np.hypot(columns - 99.5, rows - 99.5) < 80, 200, 0).astype(np.uint8)
    real = Frame(0, geometry=limb, shape=(200, 200), pixels=disk)
    search = np.zeros((400, 64, 64, 1), np.float32)
    anchors = crops.squares(np.repeat([there], 400, axis=0), DISK.disk_radius)
    recipe = Recipe(clutter=1.0)
    augment.blend(search, anchors, np.arange(400), DISK, crops, [real], recipe, np.random.default_rng(0))
    # Light on the side of the disk and none on the other, as in the image itself.
    seen = search.max(axis=(1, 2, 3)) > 0  # where it is a texture, nothing comes of nothing
    left, right = search[seen, :, :8].max(axis=(1, 2, 3)), search[seen, 24:40, -8:].min(axis=(1, 2, 3))
    assert 0.45 < ((left == 0) & (right > 0)).mean() < 0.75


def test_real_images_are_read_as_they_are_shown_and_reduced(tmp_path):
    simulate.write(tmp_path, simulate.sequence(5, 1, size=256))
    whole, small = (sources.read_clutter(tmp_path / "frame_0000.fits", largest=n) for n in (1024, 64))
    assert whole.pixels.shape == (256, 256) and small.pixels.shape == (64, 64)
    assert whole.pixels.min() >= 0 and 100 < whole.pixels.max() <= 255
    assert whole.geometry.disk_radius == pytest.approx(4 * small.geometry.disk_radius)


def test_a_real_image_without_a_place_of_the_sun_cannot_be_blended_in(tmp_path):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(GeometryError, match="nothing tells where the Sun is"):
        sources.read_clutter(tmp_path / "a.png")


# --- the pipeline


def sequences(count=3):
    return [lambda k=k: [frame(BOX + 10 * k + j, ids=(k,)) for j in range(4)] for k in range(count)]


def batches(count=4, **changes):
    settings = {"batch": 8, "seed": 1, "epoch": 0, "shuffle": 16} | changes
    made = dataset.batches(sequences(), CROPS, Recipe(shifted=2, lost=0.2, noise=3.0), **settings)
    return [
        (x["target"].numpy(), x["search"].numpy(), y["box"].numpy(), y["present"].numpy())
        for x, y in made.take(count)
    ]


def test_batches_are_the_same_for_the_same_seed_and_epoch():
    first, again = batches(), batches()
    for a, b in zip(first, again, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    assert first[0][0].shape == (8, 64, 64, 1) and first[0][3].shape == (8, 1)
    for other in (batches(seed=2), batches(epoch=1)):
        assert not np.array_equal(other[0][2], first[0][2])


def test_batches_never_end_and_several_workers_see_every_sequence():
    # 3 sequences of 4 frames make 36 examples a round.
    made = batches(count=30, workers=3)
    assert len(made) == 30
    again = batches(count=30, workers=3)
    np.testing.assert_array_equal(made[17][2], again[17][2])


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="at least one sequence"):
        dataset.batches([], CROPS, Recipe(), batch=1, seed=0)
    alone = [lambda: [frame(ids=(1,), box=[10, 10, 12, 12])]]
    with pytest.raises(Exception, match="no region is seen twice"):
        next(iter(dataset.batches(alone, CROPS, Recipe(), batch=1, seed=0)))
