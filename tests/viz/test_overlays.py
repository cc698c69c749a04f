import csv
import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from solartrack import images, metrics, simulate, viz
from solartrack.coordinates import ImageGeometry
from solartrack.sources import hek
from solartrack.viz import overlays

WHITE, RED = np.array([255, 255, 255]), np.array([255, 0, 0])


def overlay(image, **options):
    """The pixels of the picture."""
    return np.asarray(viz.overlay(image, **options))


def plain(image, **kwargs):
    """The picture at the size of the image, without inset."""
    return overlay(image, size=None, inset=False, **kwargs)


def where(picture, colour):
    return (picture == colour).all(axis=-1)


def outline(mask):
    """First and last row and column, as a half-open box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


GREY = np.full((200, 300), 90, np.uint8)


def test_red_line_runs_inside_the_box_and_leaves_its_interior_alone():
    red = where(plain(GREY, box=[100, 50, 160, 90]), RED)
    assert outline(red) == (100, 50, 160, 90)
    assert red[50:90, 100:102].all() and red[50:90, 158:160].all()
    assert red[50:52, 100:160].all() and red[88:90, 100:160].all()
    assert not red[52:88, 102:158].any()


def test_white_line_runs_outside_the_truth():
    white = where(plain(GREY, truth=[100, 100, 160, 140], state=""), WHITE)
    assert outline(white) == (98, 98, 162, 142)
    assert not white[100:140, 100:160].any()


def test_coinciding_boxes_both_stay_visible():
    picture = plain(GREY, box=[150, 100, 210, 140], truth=[150, 100, 210, 140])
    assert outline(where(picture, RED)) == (150, 100, 210, 140)
    assert where(picture, WHITE)[98:142, 148:150].all()


def test_lines_have_a_dark_rim_on_a_white_image():
    picture = plain(np.full((200, 300), 255, np.uint8), truth=[150, 100, 210, 140], state="")
    dark = where(picture, [0, 0, 0])
    assert dark[96:144, 147].sum() >= 44 and dark[100:140, 150].all()


def test_truth_on_the_frame_of_the_image_is_still_drawn():
    white = where(plain(GREY, truth=[0, 0, 300, 200], state=""), WHITE)
    assert white[:, :2].all() and white[:, -2:].all() and white[:2].all() and white[-2:].all()


def test_pixels_away_from_boxes_and_text_are_those_of_a_uint8_image():
    image = np.arange(200 * 300, dtype=np.uint32).reshape(200, 300).astype(np.uint8)
    picture = plain(image, box=[100, 50, 160, 90])
    assert (picture[100:, :, 0] == image[100:]).all()
    assert (picture[..., 1][100:] == picture[..., 2][100:]).all()


def test_bottom_row_first_turns_image_and_boxes_together():
    image = np.zeros((200, 300), np.uint8)
    image[20:40, 150:200] = 200  # the same region as the box
    picture = plain(image, box=[150, 20, 200, 40], row0="bottom")
    assert outline(where(picture, RED)) == (150, 160, 200, 180)
    assert (picture[163:177, 153:197] == 200).all()
    upside_down = plain(image[::-1], box=[150, 160, 200, 180])
    assert (picture == upside_down).all()


def test_agreement_is_the_same_whichever_row_is_first(monkeypatch):
    texts = []
    monkeypatch.setattr(overlays, "_write", lambda _, lines: texts.append([text for text, _ in lines]))
    for row0 in ("top", "bottom"):
        overlay(GREY, box=[10, 20, 60, 50], truth=[20, 20, 70, 60], label="f", time=7, row0=row0)
    iou = metrics.iou([10, 20, 60, 50], [20, 20, 70, 60])[0]
    assert texts[0] == ["f", "7", f"IoU {iou:.2f}", "coverage 0.60", "size ratio 0.75"]
    assert texts[0] == texts[1]


def test_state_is_said_and_defaults_to_no_box_where_only_a_truth_is_given(monkeypatch):
    texts = []
    monkeypatch.setattr(overlays, "_write", lambda _, lines: texts.append([text for text, _ in lines]))
    truth = [10, 20, 60, 50]
    overlay(GREY, truth=truth)
    overlay(GREY, truth=truth, box=[np.nan] * 4, state="off disk")
    overlay(GREY, truth=truth, box=truth)
    overlay(GREY)
    assert texts == [["no box"], ["off disk"], ["IoU 1.00", "coverage 1.00", "size ratio 1.00"], []]


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_text_can_be_read_on_any_ground(ground):
    picture = plain(np.full((400, 400), ground, np.uint8), label="frame 12")
    text = picture[:40, :200, 0]
    if ground != 255:
        assert (text > 200).sum() > 80
    if ground != 0:
        assert (text < 50).sum() > 80
    assert (picture[100:] == ground).all() and (picture[:, 200:] == ground).all()


def test_long_text_is_set_smaller_until_it_fits():
    ground = np.full((300, 400), 60, np.uint8)
    short, long = (plain(ground, label="2014-01-01T00:00:00.123456 " * n) != 60 for n in (1, 3))
    assert long.any() and not long[:, -3:].any()
    assert outline(long[..., 0])[3] < outline(short[..., 0])[3]


def test_no_box_is_none_or_nan():
    assert (plain(GREY, box=None) == plain(GREY, box=[np.nan] * 4)).all()
    assert not where(plain(GREY, box=np.full(4, np.nan, np.float32)), RED).any()


def test_box_partly_outside_is_cut_and_does_not_wrap():
    red = where(plain(GREY, box=[250, 150, 350, 260]), RED)
    assert red[150:, 250:252].all() and red[150:152, 250:].all()
    assert outline(red) == (250, 150, 300, 200)
    assert not red[155:, 255:].any()
    red = where(plain(GREY, box=[-50, -60, 40, 30]), RED)
    assert outline(red) == (0, 0, 40, 30) and not red[:28, :38].any()


@pytest.mark.parametrize(
    "box", [[-90, 10, -20, 60], [400, 10, 500, 60], [10, 300, 60, 400], [1e12, 1e12, 1e13, 1e13]]
)
def test_box_wholly_outside_leaves_no_mark(box):
    assert (overlay(GREY, box=box, size=None) == GREY[..., np.newaxis]).all()


def test_box_around_the_whole_image_leaves_no_mark():
    assert (overlay(GREY, box=[-1e9, -1e9, 1e9, 1e9], size=None) == GREY[..., np.newaxis]).all()


def test_boxes_scale_with_the_image_and_lines_keep_their_width():
    image = np.full((4096, 4096), 90, np.uint8)
    red = where(overlay(image, box=[2048, 1024, 3072, 2048], inset=False), RED)
    assert red.shape == (1024, 1024)
    assert outline(red) == (512, 256, 768, 512)
    assert red[300, 512:515].all() and not red[300, 515]


def test_box_below_one_pixel_after_scaling_is_still_seen():
    image = np.zeros((4096, 4096), np.uint8)
    red = where(overlay(image, box=[2000, 2000, 2003, 2002], size=64), RED)
    assert red.sum() >= 4


def test_small_image_is_enlarged_to_the_size_asked_for():
    picture = overlay(np.zeros((20, 40), np.uint8), box=[10, 5, 20, 10], size=400)
    assert picture.shape == (200, 400, 3)
    assert outline(where(picture, RED)) == (100, 50, 200, 100)


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "<i4", ">i2", "f2", "f4", ">f4", "f8", "i8", "?"], ids=str
)
def test_every_pixel_type_makes_a_picture_with_dark_and_bright(dtype):
    ramp = np.linspace(0, 1 if dtype == "?" else 100, 90 * 120).reshape(90, 120)
    picture = plain(ramp.round().astype(dtype))
    assert picture.dtype == np.uint8
    assert picture[0, 0, 0] == 0 and picture[-1, -1, 0] == (100 if dtype == "u1" else 255)


def test_nan_is_black_and_does_not_spread():
    image = np.full((100, 100), np.nan, np.float32)
    image[20:80, 20:80] = np.random.default_rng(0).normal(0, 50, (60, 60))
    picture = plain(image)[..., 0]
    assert (picture[:20] == 0).all() and (picture[:, 80:] == 0).all()
    assert np.median(picture[20:80, 20:80]) == pytest.approx(128, abs=10)


def test_magnetogram_has_zero_in_mid_grey_and_opposite_fields_opposite():
    image = np.zeros((100, 100))
    image[:30], image[70:] = 500, -500
    picture = plain(image)[..., 0]
    assert (picture[:30] == 255).all() and (picture[50] == 128).all() and (picture[70:] == 0).all()


def test_asinh_lifts_the_faint_corona_above_linear():
    image = np.geomspace(1, 1e4, 10000).reshape(100, 100)
    linear, asinh = plain(image, stretch="linear"), plain(image, stretch="asinh")
    assert (plain(image) == asinh).all()
    assert asinh.mean() > 1.5 * linear.mean()
    x = (image[80, 0] - np.percentile(image, 0.5)) / np.ptp(np.percentile(image, (0.5, 99.9)))
    assert asinh[80, 0, 0] == pytest.approx(255 * np.arcsinh(10 * x) / np.arcsinh(10), abs=1)


def test_limits_fix_the_brightness_over_frames():
    image = np.linspace(0, 100, 10000).reshape(100, 100)
    wide = plain(image, stretch="linear", limits=(0, 200))
    assert wide[-1, -1, 0] == 128 and wide[0, 0, 0] == 0
    assert plain(image.astype(np.uint8), stretch="linear", limits=(0, 50))[60, 0, 0] == 255


@pytest.mark.parametrize(("value", "grey"), [(np.nan, 0), (7.5, 128), (0.0, 128), (-3.0, 128)])
@pytest.mark.parametrize("stretch", ["auto", "linear", "asinh", "symmetric"])
def test_image_of_one_value_is_black_only_for_nan(value, grey, stretch):
    assert (plain(np.full((50, 60), value), stretch=stretch) == grey).all()


def test_infinite_pixels_are_white_and_black_and_do_not_move_the_limits():
    image = np.linspace(0, 100, 10000).reshape(100, 100)
    finite = plain(image, stretch="linear")
    image[50, 50], image[50, 51] = np.inf, -np.inf
    picture = plain(image, stretch="linear")
    assert picture[50, 50:52, 0].tolist() == [255, 0]
    assert np.abs(picture[60:].astype(int) - finite[60:]).max() <= 1


def test_extreme_values_do_not_overflow_into_warnings():
    image = np.full((50, 60), 1e308)
    image[:25] = -1e308
    assert plain(image).shape == (50, 60, 3)


def test_one_pixel_image_and_a_thin_one_make_pictures():
    assert overlay([[3.0]], box=[0, 0, 1, 1], truth=[0, 0, 1, 1], label="x", size=None).shape == (1, 1, 3)
    assert overlay([[3.0]], box=[0, 0, 1, 1], truth=[0, 0, 1, 1], label="x").shape == (1024, 1024, 3)
    assert overlay(np.zeros((1, 5000)), box=[10, 0, 20, 1], label="x").shape == (1, 1024, 3)


def test_huge_downscale_makes_a_picture():
    image = np.zeros((3000, 2000), np.uint8)
    assert overlay(image, box=[10, 10, 500, 500], truth=[5, 5, 9, 9], label="x", size=3).shape == (3, 2, 3)


def test_inset_magnifies_the_region_in_a_corner_without_boxes():
    image = np.zeros((1000, 1000), np.uint8)
    image[500:530, 600:630] = 180
    picture = overlay(image, box=[600, 500, 630, 530], size=None)
    inset = picture[700:, 700:]
    assert (inset == 180).all(axis=-1).sum() > 10 * 30 * 30  # 300 px show 75 px: sixteen-fold
    x0, y0, x1, y1 = outline(where(inset, RED))
    assert (x0, y0) == pytest.approx((90, 90), abs=3) and (x1, y1) == pytest.approx((210, 210), abs=3)


def test_inset_moves_away_from_the_region():
    image = np.zeros((1000, 1000), np.uint8)
    image[800:830, 800:830] = 180
    picture = overlay(image, box=[800, 800, 830, 830], size=None)
    assert outline(where(picture[690:, 690:], RED)) == (110, 110, 140, 140)
    assert where(picture[700:, :300], RED).any()


def test_inset_is_left_out_where_it_would_not_magnify():
    box = [300, 300, 700, 700]
    image = np.zeros((1000, 1000), np.uint8)
    assert (overlay(image, box=box) == overlay(image, box=box, inset=False)).all()


def test_inset_beyond_the_edge_of_the_image_is_black_there():
    image = np.full((1000, 1000), 77, np.uint8)
    inset = overlay(image, box=[-10, 500, 30, 540], size=None)[700:, 700:]
    assert (inset[150, 5:50] == 0).all() and (inset[20, 250:290] == 77).all()


def test_image_and_boxes_passed_in_stay_unchanged():
    image, box = np.ones((50, 60)), np.array([10.0, 10, 20, 20])
    image[0, 0] = np.nan
    before = image.copy()
    overlay(image, box=box, truth=box, row0="bottom")
    assert np.array_equal(image, before, equal_nan=True) and box.tolist() == [10, 10, 20, 20]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"row0": "up"}, "row0 must be 'top' or 'bottom', got 'up'"),
        ({"stretch": "log"}, "one of auto, linear, asinh, symmetric, got 'log'"),
        ({"size": 0}, "size must be a positive integer or None, got 0"),
        ({"size": 10.5}, "size must be a positive integer"),
        ({"size": np.inf}, "size must be a positive integer or None, got inf"),
        ({"box": [0, 0, np.nan, 5]}, "box must be finite"),
        ({"truth": [5, 5, 2, 9]}, "truth must have x1 > x0"),
        ({"box": [[0, 0, 1, 1], [0, 0, 1, 1]]}, "box must be one box"),
        ({"limits": (5, 5)}, "limits must be"),
        ({"limits": (np.nan, 5)}, "limits must be"),
    ],
)
def test_bad_option_says_what_was_wanted(kwargs, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        overlay(GREY, **kwargs)


def test_image_that_is_not_2d_is_refused():
    with pytest.raises(ValueError, match="2-D"):
        overlay(np.zeros((5, 5, 3), np.uint8))


def test_importing_viz_loads_neither_matplotlib_nor_imageio():
    code = (
        "import sys, solartrack; solartrack.viz.overlay([[1, 2]]);"
        "print([m for m in ('matplotlib', 'imageio', 'imageio_ffmpeg', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_viz_is_public():
    import solartrack

    assert solartrack.viz is viz


def test_real_frame_shows_both_boxes_where_the_study_drew_them(shared):
    folder = shared / "data" / "harp7269"
    with open(folder / "boxes.csv") as file:
        row = {k: float(v) for k, v in list(csv.DictReader(file))[20].items()}
    image = np.asarray(Image.open(folder / "frames" / f"{int(row['frame']):03d}.png"))
    box = [row[f"ref_{k}"] / 4 for k in ("x0", "y0", "x1", "y1")]
    truth = [row[k] / 4 for k in ("x0", "y0", "x1", "y1")]
    picture = overlay(image, box=box, truth=truth, inset=False)
    assert outline(where(picture, RED)) == pytest.approx(box, abs=1)
    assert outline(where(picture[300:], WHITE)) == pytest.approx(
        np.add(truth, [-3, -303, 3, -297]), abs=1
    )  # three pixels outside


def test_display_limits_draw_another_image_alike():
    first = np.linspace(0, 1000, 64 * 64).reshape(64, 64)
    limits = viz.display_limits(first)
    np.testing.assert_array_equal(overlay(first, limits=limits), overlay(first))
    brighter = overlay(first + 500, limits=limits, size=64)
    assert brighter.mean() > overlay(first, size=64).mean()
    assert viz.display_limits(np.zeros((4, 4), np.uint8)) is None
    assert viz.display_limits(np.full((4, 4), 3.0)) is None


# -- limb and outlines -------------------------------------------------------------

YELLOW, BLUE = np.array(overlays.LIMB), np.array(overlays.OUTLINE)
DISK = ImageGeometry.from_disk((150.0, 100.0), 80.0)


def square(geometry, x0, y0, x1, y1):
    """Arcsec of the corners of a box in pixels."""
    return np.column_stack(geometry.pixel_to_helioprojective([x0, x1, x1, x0], [y0, y0, y1, y1]))


@given(st.floats(-50, 350), st.floats(-50, 250), st.floats(20, 400), st.floats(-180, 180), st.floats(0.05, 2))
def test_the_limb_lies_on_the_disk_that_was_given(x, y, radius, north, distance):
    disk = ImageGeometry.from_disk((x, y), radius, north_angle_deg=north, distance_au=distance)
    rows, columns = np.nonzero(where(plain(GREY, geometry=disk, limb=True), YELLOW))
    off = np.hypot(columns + 0.5 - x, rows + 0.5 - y) - radius
    assert (np.abs(off) < 2.5).all()
    if x - radius > 5 and x + radius < 295 and y - radius > 5 and y + radius < 195:
        assert len(rows) > 2 * np.pi * radius  # all of it


def test_the_limb_of_the_simulator_is_where_its_disk_ends(tmp_path):
    simulate.write(tmp_path, simulate.sequence(5, 1, "4h", size=256))
    (file,) = tmp_path.glob("*.fits")
    image = images.read(file)
    geometry = ImageGeometry.from_header(image.header)
    picture = overlay(
        image.array, size=None, row0="bottom", geometry=geometry, limb=True, inset=False,
        outlines_arcsec=[square(geometry, 40, 60, 90, 80)],
    )  # fmt: skip
    (x, y), radius = geometry.disk_center, geometry.disk_radius
    rows, columns = np.nonzero(where(picture, YELLOW))
    assert (np.abs(np.hypot(columns + 0.5 - x, 256 - rows - 0.5 - y) - radius) < 2.5).all()
    # FITS: rows 60 to 80 from the bottom.
    assert np.abs(np.subtract(outline(where(picture, BLUE)), (40, 176, 90, 196))).max() <= 2


def test_outlines_are_drawn_closed_and_leave_their_inside_alone():
    rings = [square(DISK, 120, 80, 180, 120), np.empty((0, 2)), square(DISK, 20, 20, 40, 30) * u.arcsec]
    blue = where(plain(GREY, geometry=DISK, outlines_arcsec=rings), BLUE)
    assert np.abs(np.subtract(outline(blue[:, 60:]), (60, 80, 120, 120))).max() <= 2
    assert blue[90:110, 119:122].any(axis=1).all() and blue[90:110, 179:182].any(axis=1).all()
    assert not blue[83:117, 123:177].any() and blue[15:35, 15:45].any()


def test_boxes_are_drawn_over_outlines_and_both_are_magnified():
    ring = square(DISK, 140, 90, 150, 100)
    picture = overlay(GREY, size=900, box=[140, 90, 150, 100], geometry=DISK, outlines_arcsec=[ring])
    inset = picture[-180:, -180:]
    assert where(inset, RED).any() and where(inset, BLUE).any()
    wide = square(DISK, -1e5, 90, 1e5, 100)
    assert where(plain(GREY, geometry=DISK, outlines_arcsec=[wide]), BLUE)[89:92].any(axis=0).all()


def test_outlines_of_the_hek_are_taken_as_they_are():
    ring = "POLYGON((-100 -100,100 -100,100 100,-100 100,-100 -100))"
    events = hek.events_table([{"hpc_boundcc": ring, "kb_archivid": "a"}, {"kb_archivid": "b"}])
    blue = where(plain(GREY, geometry=DISK, outlines_arcsec=hek.outlines(events)), BLUE)
    half = 100 / DISK.rsun_arcsec * 80
    expected = (150 - half, 100 - half, 150 + half, 100 + half)
    assert np.abs(np.subtract(outline(blue), expected)).max() < 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"limb": True}, ValueError, r"need geometry, such as ImageGeometry.from_header"),
        ({"outlines_arcsec": [np.zeros((3, 2))]}, ValueError, "need geometry"),
        ({"limb": True, "geometry": {"CRPIX1": 1}}, TypeError, "must be an ImageGeometry, got dict"),
        ({"outlines_arcsec": np.zeros((3, 2))}, ValueError, r"list of finite arrays .* got one of \(2,\)"),
        ({"outlines_arcsec": [np.full((3, 2), np.nan)]}, ValueError, "list of finite arrays"),
        ({"outlines_arcsec": ["POLYGON((0 0))"]}, ValueError, "POLYGON"),
        ({"outlines_arcsec": [np.zeros((3, 2)) * u.pix]}, u.UnitConversionError, "pix"),
    ],
)
def test_limb_and_outlines_that_cannot_be_drawn_say_why(options, error, message):
    with pytest.raises(error, match=message):
        plain(
            GREY,
            **({"geometry": DISK} if "outlines_arcsec" in options and "need" not in message else {}),
            **options,
        )


def test_picture_of_an_image_knows_its_time_its_limb_and_where_north_is():
    model = simulate.SunModel(3, n_regions=2)
    frame = simulate.render(model, "2014-02-03", size=256, output="intensity")
    image = images.SolarImage(frame.array, frame.header, Time("2014-02-03T00:00:00"))
    picture = viz.overlay(image, limb=True)
    assert isinstance(picture, Image.Image) and picture._repr_png_().startswith(b"\x89PNG")
    geometry = ImageGeometry.from_header(frame.header)
    row0 = "bottom" if geometry.matrix[3] > 0 else "top"
    expected = overlay(frame.array, geometry=geometry, limb=True, row0=row0, time="2014-02-03T00:00:00 UTC")
    assert (np.asarray(picture) == expected).all()
    # The same Sun stored the other way up looks the same.
    header = frame.header.copy()
    header["CRPIX2"] = 257 - header["CRPIX2"]
    for name in ("CDELT2",) if "CDELT2" in header else ("CD2_1", "CD2_2"):
        header[name] = -header[name]
    turned = viz.overlay(images.SolarImage(frame.array[::-1], header, image.time))
    assert (np.asarray(turned) == overlay(image)).all()


@pytest.mark.parametrize(
    ("shape", "columns", "rows"),
    [((200, 400), [50, 100, 150, 200, 250, 300, 350], [50, 100, 150]), ((5, 3), [1, 2], [1, 2, 3, 4])],
)
def test_the_lines_of_the_grid_lie_on_round_pixel_edges(shape, columns, rows):
    scale = 800 // max(shape)
    black = np.zeros(shape, np.uint8)
    for row0, expected in (("top", rows), ("bottom", [shape[0] - row for row in reversed(rows)])):
        drawn = overlay(black, grid=True, size=max(shape) * scale, row0=row0).any(axis=-1)
        # A line is bright along all of its length, but where the dark rim of a number crosses it.
        assert np.flatnonzero(drawn.mean(axis=0) > 0.8).tolist() == [scale * at for at in columns]
        assert np.flatnonzero(drawn.mean(axis=1) > 0.8).tolist() == [scale * at for at in expected]
    assert not overlay(black, size=800).any()


@pytest.mark.parametrize("value", [0, 128, 160, 161, 255])
def test_the_grid_shows_on_any_ground(value):
    flat = np.full((200, 400), value, np.uint8)
    drawn = overlay(flat, grid=True, size=800).astype(int)[:, 100].mean(axis=0)
    assert (np.abs(drawn - value) > 25).all()


def test_the_numbers_of_the_grid_are_pixels_of_the_image_as_stored(monkeypatch):
    said = {}
    write = ImageDraw.ImageDraw.text

    def noted(draw, place, text, **options):
        said[text, options.get("anchor")] = place
        write(draw, place, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    overlay(np.zeros((200, 400), np.uint8), grid=True, size=800, row0="bottom")
    assert said["50", "lm"][1] == 300 and said["150", "lm"][1] == 100  # 50 pixels from the lower edge
    assert said["50", "md"][0] == 100 and said["350", "md"][0] == 700


def test_picture_of_an_image_without_wcs_is_drawn_as_stored():
    image = images.SolarImage(GREY, fits.Header(), None)
    assert (overlay(image) == overlay(GREY)).all()
    with pytest.raises(ValueError, match="geometry"):
        viz.overlay(image, limb=True)
