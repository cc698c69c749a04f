import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sunpy.coordinates import frames

from solartrack import boxes
from solartrack.coordinates import ImageGeometry, rectangles_to_boxes, rotate_rectangles

BOXES = np.array([[475.0, 1875, 503, 1986], [10, 20, 40, 60]])
GEOMETRY = ImageGeometry.from_disk((512, 512), 394.5, b0_deg=3.0)
any_boxes = hnp.arrays(
    np.float64, st.tuples(st.integers(0, 5), st.just(4)), elements=st.integers(-4000, 4000)
)


@given(any_boxes)
def test_xywh_there_and_back_is_the_identity(b):
    np.testing.assert_array_equal(boxes.from_xywh(boxes.to_xywh(b)), b)


def test_xywh_holds_width_and_height():
    np.testing.assert_array_equal(boxes.to_xywh(BOXES), [[475, 1875, 28, 111], [10, 20, 30, 40]])
    assert BOXES[0, 2] == 503  # the input is not changed


@given(any_boxes)
def test_ann_there_and_back_is_the_identity_for_proper_boxes(b):
    b = np.concatenate([np.minimum(b[:, :2], b[:, 2:]), np.maximum(b[:, :2], b[:, 2:])], axis=1)
    np.testing.assert_array_equal(boxes.from_ann(boxes.to_ann(b)), b)


def test_ann_rows_with_the_frame_column_are_an_error_with_the_cure():
    with pytest.raises(ValueError, match="drop the frame column first"):
        boxes.from_ann(np.zeros((3, 9)))


def test_clip_cuts_to_the_image_and_empties_what_is_outside():
    cut = boxes.clip([[-5, -5, 10, 10], [90, 40, 120, 60], [200, 200, 300, 300]], (50, 100))
    np.testing.assert_array_equal(cut, [[0, 0, 10, 10], [90, 40, 100, 50], [100, 50, 100, 50]])


@given(any_boxes)
def test_flip_rows_twice_is_the_identity(b):
    np.testing.assert_array_equal(boxes.flip_rows(boxes.flip_rows(b, 1024), 1024), b)


def test_flipped_box_encloses_the_same_pixels():
    image = np.arange(30).reshape(5, 6)
    x0, y0, x1, y1 = boxes.flip_rows([1, 1, 4, 3], 5)[0].astype(int)
    np.testing.assert_array_equal(
        np.sort(image[::-1][y0:y1, x0:x1], axis=None), np.sort(image[1:3, 1:4], axis=None)
    )


def test_arcsec_there_and_back_is_the_identity_in_an_upright_image():
    np.testing.assert_allclose(
        boxes.from_arcsec(boxes.to_arcsec(BOXES, GEOMETRY), GEOMETRY), BOXES, atol=0.02
    )
    x0, y0, x1, y1 = boxes.to_arcsec([512, 412, 612, 512], GEOMETRY)[0]
    assert abs(x0) < 1e-6 and abs(y0) < 1e-6 and x1 > 200 and y1 > 200  # row 0 is north


def test_box_in_a_tilted_image_is_enclosed():
    tilted = ImageGeometry.from_disk((512, 512), 394.5, north_angle_deg=45.0)
    x0, _y0, x1, _y1 = boxes.from_arcsec([-100, -100, 100, 100], tilted)[0]
    upright = boxes.from_arcsec([-100, -100, 100, 100], GEOMETRY)[0]
    assert x1 - x0 == pytest.approx(np.sqrt(2) * (upright[2] - upright[0]), rel=1e-3)


def test_skycoord_there_and_back_is_the_identity():
    corners = boxes.to_skycoord(BOXES[1], GEOMETRY, "2014-02-03")
    assert corners.frame.name == "helioprojective" and corners.shape == (2,)
    np.testing.assert_allclose(boxes.from_skycoord(corners, GEOMETRY), BOXES[1], atol=1e-6)


def test_heliographic_points_land_where_the_geometry_puts_them():
    corners = SkyCoord(
        [-20, 10, 0] * u.deg, [5, 15, 8] * u.deg, frame="heliographic_stonyhurst", obstime="2014-02-03"
    )
    x, y, _ = GEOMETRY.heliographic_to_pixel([-20, 10, 0], [5, 15, 8])
    # sunpy takes its own solar radius, ours is 695.7 Mm too.
    np.testing.assert_allclose(
        boxes.from_skycoord(corners, GEOMETRY), [x.min(), y.min(), x.max(), y.max()], atol=0.01
    )


def test_one_coordinate_is_no_box():
    corner = SkyCoord(
        [10] * u.arcsec, [5] * u.arcsec, frame="helioprojective", observer="earth", obstime="2014-02-03"
    )
    with pytest.raises(ValueError, match="at least two"):
        boxes.from_skycoord(corner, GEOMETRY)


# -- sky coordinates: what two corners span, where it is hidden, and when -----------


TIME = "2014-02-03T02:08:48"


def own_frame(geometry=GEOMETRY):
    return boxes.to_skycoord(BOXES[1], geometry, TIME).frame.replicate_without_data()


@pytest.mark.parametrize(
    "box", [[500, 480, 560, 520], [880, 470, 915, 560], [10, 20, 40, 60], [105, 400, 140, 460]]
)
@pytest.mark.parametrize("roll", [0.0, 30.0])
def test_a_box_in_the_images_own_frame_comes_back_on_the_disk_at_the_limb_and_beside_it(box, roll):
    geometry = ImageGeometry.from_disk((512, 512), 394.5, b0_deg=3.0, north_angle_deg=roll)
    corners = boxes.to_skycoord(box, geometry, frame=own_frame(geometry))
    found = boxes.from_skycoord(corners, geometry, TIME)
    if roll == 0.0:
        scale = 2.4  # arcsec per pixel
        np.testing.assert_allclose(found, box, atol=0.01 / scale)
    else:  # a rectangle in the sky, through the same two corners
        assert (found[:2] <= np.add(box[:2], 1e-6)).all() and (found[2:] >= np.subtract(box[2:], 1e-6)).all()


def test_two_heliographic_corners_enclose_what_they_span_not_themselves():
    corners = SkyCoord([20, 40] * u.deg, [30, 60] * u.deg, frame="heliographic_stonyhurst", obstime=TIME)
    lon, lat = np.meshgrid(np.linspace(20, 40, 201), np.linspace(30, 60, 201))
    x, y, _ = GEOMETRY.heliographic_to_pixel(lon, lat)
    np.testing.assert_allclose(
        boxes.from_skycoord(corners, GEOMETRY), [x.min(), y.min(), x.max(), y.max()], atol=0.1
    )
    swapped = SkyCoord([40, 20] * u.deg, [30, 60] * u.deg, frame="heliographic_stonyhurst", obstime=TIME)
    np.testing.assert_allclose(boxes.from_skycoord(swapped, GEOMETRY), boxes.from_skycoord(corners, GEOMETRY))


def test_two_projected_corners_on_a_rolled_image_enclose_the_tilted_rectangle():
    rolled = ImageGeometry.from_disk((512, 512), 394.5, b0_deg=3.0, north_angle_deg=30.0)
    corners = SkyCoord([100, 400] * u.arcsec, [-300, -100] * u.arcsec, frame=own_frame(rolled))
    expected = boxes.from_arcsec([100, -300, 400, -100], rolled)[0]
    np.testing.assert_allclose(boxes.from_skycoord(corners, rolled), expected, atol=0.01)


def test_corners_on_the_far_side_are_refused():
    corners = SkyCoord([150, 165] * u.deg, [20, 30] * u.deg, frame="heliographic_stonyhurst", obstime=TIME)
    with pytest.raises(ValueError, match=r"far side.*150\.0 to 165\.0"):
        boxes.from_skycoord(corners, GEOMETRY)


def test_heliographic_corners_of_another_day_are_carried_to_the_images_time():
    corners = SkyCoord([-20, 0] * u.deg, [5, 15] * u.deg, frame="heliographic_stonyhurst", obstime=TIME)
    moved = rotate_rectangles([-20, 5, 0, 15], 2.0)
    np.testing.assert_allclose(
        boxes.from_skycoord(corners, GEOMETRY, "2014-02-05T02:08:48"),
        rectangles_to_boxes(moved, GEOMETRY)[0][0],
        atol=0.01,
    )


def test_other_frames_with_the_images_observer_give_the_same_box():
    stonyhurst = SkyCoord([-20, 10] * u.deg, [5, 15] * u.deg, frame="heliographic_stonyhurst", obstime=TIME)
    observer = own_frame().observer
    expected = boxes.from_skycoord(stonyhurst, GEOMETRY)
    carrington = stonyhurst.transform_to(frames.HeliographicCarrington(observer=observer, obstime=TIME))
    np.testing.assert_allclose(boxes.from_skycoord(carrington, GEOMETRY), expected, atol=0.05)
    projected = SkyCoord([-100, 50] * u.arcsec, [60, 90] * u.arcsec, frame=own_frame())
    centric = projected.transform_to(frames.Heliocentric(observer=observer, obstime=TIME))
    np.testing.assert_allclose(
        boxes.from_skycoord(centric, GEOMETRY), boxes.from_skycoord(projected, GEOMETRY), atol=0.01
    )


@pytest.mark.parametrize("frame", ["helioprojective", "heliographic_carrington"])
def test_corners_without_an_observer_are_refused_with_the_cure(frame):
    unit = u.arcsec if frame == "helioprojective" else u.deg
    corners = SkyCoord([10, 20] * unit, [5, 15] * unit, frame=frame, obstime=TIME)
    with pytest.raises(ValueError, match=r"have no observer.*observer='earth'"):
        boxes.from_skycoord(corners, GEOMETRY)


def test_corners_in_another_frame_are_asked_for_by_frame():
    heliographic = boxes.to_skycoord(
        [500, 480, 560, 520], GEOMETRY, TIME, frame=frames.HeliographicStonyhurst(obstime=TIME)
    )
    lon, lat = GEOMETRY.pixel_to_heliographic([500, 560], [480, 520])
    np.testing.assert_allclose(heliographic.lon.deg, lon, atol=1e-3)
    np.testing.assert_allclose(heliographic.lat.deg, lat, atol=1e-3)
    with pytest.raises(ValueError, match="give the time"):
        boxes.to_skycoord([500, 480, 560, 520], GEOMETRY)
