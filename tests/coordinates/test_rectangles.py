import dataclasses
from datetime import datetime

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from solartrack.coordinates import (
    ImageGeometry,
    fit_rectangles,
    ordered,
    rectangle_jacobians,
    rectangles_to_boxes,
    rotate_rectangles,
    rotation_rate,
    visible_parts,
)
from solartrack.metrics import iou
from solartrack.simulate import _sphere

UPRIGHT = ImageGeometry.from_disk((512, 512), 400)
#: The same Sun in images that are rolled, mirrored, stored from the other end, or seen from elsewhere.
GEOMETRIES = {
    "png": UPRIGHT,
    "fits": ImageGeometry.from_disk((512, 512), 400, row0="bottom"),
    "rolled": ImageGeometry.from_disk((500, 530), 380, north_angle_deg=35.0),
    "upside down": ImageGeometry.from_disk((512, 512), 400, north_angle_deg=180.0),
    "mirrored": ImageGeometry((512.0, 512.0), (-2.4, 0.0, 0.0, 2.4), b0_deg=3.0),
    "oblong pixels": ImageGeometry((512.0, 512.0), (2.4, 0.0, 0.0, 3.0)),
    "off centre": ImageGeometry((-300.0, 900.0), (2.4, 0.1, -0.1, 2.4), center_arcsec=(400.0, -200.0)),
    "elsewhere": ImageGeometry((512.0, 512.0), (2.4, 0.0, 0.0, 2.4), b0_deg=5.0, l0_deg=60.0),
    "B0 -7": ImageGeometry.from_disk((512, 512), 400, b0_deg=-7.0),
    "B0 +7": ImageGeometry.from_disk((512, 512), 400, b0_deg=7.0),
}


def box_of(rectangle, geometry):
    return rectangles_to_boxes([rectangle], geometry)[0][0]


# -- rectangles to boxes -----------------------------------------------------------


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_small_rectangle_at_disk_centre_is_a_box_of_its_size_there(geometry):
    centre = geometry.l0_deg, geometry.b0_deg
    box = box_of([centre[0] - 0.5, centre[1] - 0.5, centre[0] + 0.5, centre[1] + 0.5], geometry)
    x, y, _ = geometry.heliographic_to_pixel(*centre)
    np.testing.assert_allclose(0.5 * (box[:2] + box[2:]), [x, y], atol=0.05)
    xx, xy, yx, yy = geometry.matrix
    # Degrees to arcsec, and a square of them through the inverse of the image's matrix.
    along = np.abs(np.linalg.inv([[xx, xy], [yx, yy]])).sum(axis=1) * geometry.rsun_arcsec * np.radians(1.0)
    np.testing.assert_allclose(box[2:] - box[:2], along, rtol=0.01)


@given(
    lon=st.floats(-120, 120), lat=st.floats(-40, 40), width=st.floats(1, 60), height=st.floats(1, 25),
    b0=st.floats(-7, 7),
)  # fmt: skip
def test_boxes_are_those_of_the_simulator(lon, lat, width, height, b0):
    observer = _sphere.earth(datetime(2014, 2, 1), b0)
    view = _sphere.View(observer, (512.0, 512.0), 2.4, 1024)
    geometry = ImageGeometry((512.0, 512.0), (2.4, 0.0, 0.0, 2.4), b0_deg=b0, distance_rsun=observer.distance_rsun)  # fmt: skip
    west, east, south, north = lon - width / 2, lon + width / 2, lat - height / 2, lat + height / 2
    # Rectangles of which the limb cuts off no more than a corner: see the next test for the others.
    nearer = float(np.clip(0.0, west, east))
    assume(geometry.heliographic_to_pixel([nearer] * 2, [south, north])[2].all())
    theirs = _sphere.rectangle_box(view, observer.l0_deg + west, observer.l0_deg + east, south, north)
    np.testing.assert_allclose(box_of([west, south, east, north], geometry), theirs, atol=0.15)


def test_the_last_corner_at_the_limb_is_a_small_box():
    observer = _sphere.earth(datetime(2014, 2, 1), -6.36)
    view = _sphere.View(observer, (512.0, 512.0), 2.4, 1024)
    geometry = ImageGeometry((512.0, 512.0), (2.4, 0.0, 0.0, 2.4), b0_deg=-6.36, distance_rsun=observer.distance_rsun)  # fmt: skip
    theirs = _sphere.rectangle_box(view, observer.l0_deg + 90.0, observer.l0_deg + 125.2, -4.4, 14.6)
    # 14 px high and 1 px wide, of 135 px; where the limb cuts the side is known to a sixteenth of that.
    np.testing.assert_allclose(box_of([90.0, -4.4, 125.2, 14.6], geometry), theirs, atol=9.0)


@pytest.mark.parametrize("side", [-1, 1], ids=["east", "west"])
def test_a_box_at_the_limb_does_not_depend_on_what_is_hidden(side):
    near, boxes = side * 75.0, []
    for far in (side * 95.0, side * 120.0, side * 140.0):
        boxes.append(box_of([min(near, far), 5.0, max(near, far), 20.0], UPRIGHT))
    np.testing.assert_allclose(boxes, np.tile(boxes[0], (3, 1)), atol=1e-9)
    # It ends at the limb, at the latitude nearest to the equator.
    reach = np.abs(boxes[0][[0, 2]] - 512).max()
    assert reach == pytest.approx(400 * np.cos(np.radians(5.0)), abs=0.3)


@pytest.mark.parametrize("b0", [-7.0, 0.0, 7.0])
def test_sides_that_are_hidden_are_said_to_be(b0):
    geometry = ImageGeometry.from_disk((512, 512), 400, b0_deg=b0)
    rectangles = [
        [-10, 5, 10, 15],
        [-110, 5, -70, 15],  # coming over the east limb: its lon0 is behind it
        [70, 5, 110, 15],
        [-100, 5, 100, 15],  # wider than the disk
    ]
    boxes, seen = rectangles_to_boxes(rectangles, geometry)
    assert np.isfinite(boxes).all()
    np.testing.assert_array_equal(
        seen, [[True] * 4, [False, True, True, True], [True, True, False, True], [False, True, False, True]]
    )


@pytest.mark.parametrize("rectangle", [[100, 5, 130, 15], [-130, 5, -100, 15], [170, -10, 200, 10]])
def test_behind_the_limb_there_is_no_box(rectangle):
    boxes, seen = rectangles_to_boxes([rectangle, [0, 0, 5, 5]], UPRIGHT)
    assert np.isnan(boxes[0]).all() and not seen[0].any()
    assert np.isfinite(boxes[1]).all() and seen[1].all()


def test_the_pole_that_is_tilted_away_has_no_box_and_the_other_has():
    geometry = ImageGeometry.from_disk((512, 512), 400, b0_deg=7.0)
    south, north = rectangles_to_boxes([[-20, -89, 20, -84.5], [-20, 84.5, 20, 89]], geometry)[0]
    assert np.isnan(south).all() and np.isfinite(north).all()


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("turns", [-3, -1, 1, 2])
def test_whole_turns_of_longitude_change_nothing(geometry, turns):
    rectangle = np.array([30.0, -20.0, 52.0, -8.0])
    moved = rectangle + 360.0 * turns * np.array([1, 0, 1, 0])
    np.testing.assert_allclose(box_of(moved, geometry), box_of(rectangle, geometry), atol=1e-8)


def test_no_rectangles_give_no_boxes():
    boxes, seen = rectangles_to_boxes(np.empty((0, 4)), UPRIGHT)
    assert boxes.shape == seen.shape == (0, 4)


# -- fits --------------------------------------------------------------------------


def round_trip(rectangle, geometry):
    """Box of a rectangle, and box of the rectangle that is fitted to that box."""
    box = box_of(rectangle, geometry)
    assume(np.isfinite(box).all() and (box[2:] - box[:2] >= 2.0).all())
    fitted, _ = fit_rectangles(box, geometry)
    return box, rectangles_to_boxes(fitted, geometry)[0][0], fitted[0]


@given(
    name=st.sampled_from(sorted(GEOMETRIES)), lon=st.floats(-55, 55), lat=st.floats(-35, 35),
    height=st.floats(2, 18), b0=st.floats(-7, 7),
)  # fmt: skip
def test_a_box_of_usual_shape_comes_back_from_its_rectangle(name, lon, lat, height, b0):
    geometry = dataclasses.replace(GEOMETRIES[name], b0_deg=b0)
    width = 1.8 * height / np.cos(np.radians(lat))
    lon += geometry.l0_deg
    rectangle = [lon - width / 2, lat - height / 2, lon + width / 2, lat + height / 2]
    box, back, fitted = round_trip(rectangle, geometry)
    np.testing.assert_allclose(back, box, atol=0.1)
    if name not in ("rolled", "off centre"):  # there a corner decides two sides, and two are free
        np.testing.assert_allclose(fitted, rectangle, atol=0.3 + 0.05 * height)


@pytest.mark.parametrize(
    "rectangle", [[-9.0, 4.0, 9.0, 6.0], [-30.0, 5.0, 0.0, 10.0], [20.0, -10.0, 26.0, 6.0]], ids=str
)
def test_a_box_of_any_shape_comes_back_from_its_rectangle(rectangle):
    box = box_of(rectangle, UPRIGHT)
    back = box_of(fit_rectangles(box, UPRIGHT)[0][0], UPRIGHT)
    np.testing.assert_allclose(back, box, atol=0.1)


@given(
    lon=st.floats(-60, 60), lat=st.floats(-35, 35), width=st.floats(2, 30), height=st.floats(2, 20),
    b0=st.floats(-7, 7),
)  # fmt: skip
def test_a_box_comes_back_to_within_the_fits_own_doubt(lon, lat, width, height, b0):
    assume(0.5 * height < width * np.cos(np.radians(lat)) < 5.0 * height)
    geometry = ImageGeometry.from_disk((512, 512), 400, b0_deg=b0)
    rectangle = [lon - width / 2, lat - height / 2, lon + width / 2, lat + height / 2]
    box = box_of(rectangle, geometry)
    assume((box[2:] - box[:2] >= 2.0).all())
    fitted, covariances = fit_rectangles(box, geometry)
    off = (fitted[0] - rectangle) / np.sqrt(np.diag(covariances[0]))
    assert np.abs(off).max() < 3.0


@pytest.mark.parametrize("side", [-1, 1], ids=["east", "west"])
@pytest.mark.parametrize("b0", [-7.0, 0.0, 7.0])
def test_the_hidden_side_is_guessed_from_the_usual_shape_and_known_to_be_a_guess(side, b0):
    geometry = ImageGeometry.from_disk((512, 512), 400, b0_deg=b0)
    lon0, lon1 = sorted((side * 75.0, side * 105.0))
    box = box_of([lon0, 8.0, lon1, 22.0], geometry)
    fitted, covariances = fit_rectangles(box, geometry)
    np.testing.assert_allclose(rectangles_to_boxes(fitted, geometry)[0][0], box, atol=1.0)
    near, far = (2, 0) if side < 0 else (0, 2)
    assert fitted[0, near] == pytest.approx(side * 75.0, abs=1.5)
    width = fitted[0, 2] - fitted[0, 0]
    assert width == pytest.approx(1.8 * 14.0 / np.cos(np.radians(15.0)), rel=0.15)
    doubt = np.sqrt(np.diag(covariances[0]))
    assert doubt[far] > 3.0 > 1.5 > doubt[near]
    assert doubt[[1, 3]].max() < 1.0


def test_what_lies_beyond_the_limb_stands_for_nothing():
    # The same right edge within the disk, and more and more sky on the left.
    boxes = [[left, 450.0, 160.0, 500.0] for left in (112.0, 80.0, 20.0)]
    fitted, _ = fit_rectangles(boxes, UPRIGHT)
    assert np.ptp(fitted[:, 2]) < 3.0
    assert (fitted[:, 0] < -75).all()


def visible_part(box, geometry, count=400):
    """Smallest box around the points of a box that are on the disk, from a grid."""
    low, high = np.maximum(box[:2], -5000.0), np.minimum(box[2:], 5000.0)
    x, y = (np.linspace(low[k], high[k], count) for k in (0, 1))
    x, y = np.meshgrid(x, y)
    seen = np.hypot(*geometry.pixel_to_helioprojective(x, y)) <= geometry.rsun_arcsec
    return np.array([x[seen].min(), y[seen].min(), x[seen].max(), y[seen].max()]) if seen.any() else None


@given(
    name=st.sampled_from(list(GEOMETRIES)), x=st.floats(-0.7, 0.7), y=st.floats(-0.7, 0.7),
    width=st.floats(10.0, 1500.0), height=st.floats(10.0, 1500.0),
)  # fmt: skip
def test_the_visible_part_of_a_box_is_that_of_its_points_on_the_disk(name, x, y, width, height):
    geometry = GEOMETRIES[name]
    x, y = np.add(geometry.disk_center, 1.6 * geometry.disk_radius * np.array([x, y]))
    box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    expected, found = visible_part(box, geometry), visible_parts([box], geometry)[0]
    assume(expected is not None)
    # The extremes of the disk are round: between two points of the grid it goes on by less than a step.
    np.testing.assert_array_less(np.abs(found - expected), np.tile([width, height], 2) / 399 + 0.2)
    np.testing.assert_allclose(visible_parts([found], geometry)[0], found, atol=1e-6)


@pytest.mark.parametrize("box", [[10, 10, 5, 20], [0, 0, np.nan, 1], [1, 1, 1, 2]])
def test_no_part_of_what_is_no_box_is_visible(box):
    with pytest.raises(ValueError, match="box"):
        visible_parts([box], UPRIGHT)


@given(
    name=st.sampled_from(list(GEOMETRIES)), angle=st.floats(0.0, 360.0), away=st.floats(0.0, 1.1),
    width=st.floats(4.0, 300.0), height=st.floats(4.0, 300.0),
)  # fmt: skip
def test_every_box_over_the_disk_becomes_a_rectangle_that_is_seen(name, angle, away, width, height):
    geometry = GEOMETRIES[name]
    out = away * geometry.rsun_arcsec
    x, y = geometry.helioprojective_to_pixel(out * np.cos(np.radians(angle)), out * np.sin(np.radians(angle)))
    box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    part = visible_part(box, geometry)
    assume(part is not None and (part[2:] - part[:2] > 1.0).all())
    assert np.isfinite(box_of(fit_rectangles([box], geometry)[0][0], geometry)).all()


def test_a_box_drawn_over_the_limb_is_that_of_what_is_seen_in_it():
    """Of random ones: a few at the limb are fitted by two rectangles that look much alike."""
    rng, apart, alike = np.random.default_rng(0), [], []
    while len(apart) < 150:
        geometry = GEOMETRIES[str(rng.choice(list(GEOMETRIES)))]
        width, height, lat = rng.uniform(5.0, 30.0), rng.uniform(4.0, 12.0), rng.uniform(-40, 40)
        near = rng.uniform(55.0, 80.0)
        lon = geometry.l0_deg + (-near - width if rng.random() < 0.5 else near)
        visible = box_of([lon, lat - height / 2, lon + width, lat + height / 2], geometry)
        if not (visible[2:] - visible[:2] > 8.0).all():
            continue
        # Larger all around, where there is nothing but sky, and on the other sides by a pixel or so.
        away = 0.5 * (visible[:2] + visible[2:]) - geometry.disk_center
        drawn = visible + rng.uniform(-1.5, 1.5, 4)
        side = int(np.abs(away).argmax())
        drawn[side + 2 * (away[side] > 0)] += rng.uniform(0.0, 40.0) * np.sign(away[side])
        part = visible_part(drawn, geometry)
        found = box_of(fit_rectangles([drawn], geometry)[0][0], geometry)
        same = box_of(fit_rectangles([part], geometry)[0][0], geometry)
        alike.append(iou(found, part)[0])
        apart.append(np.abs(same - found).max())
    assert np.mean(np.array(alike) > 0.6) > 0.95
    assert np.mean(np.array(apart) <= 1.0) > 0.9


def test_a_disk_smaller_than_the_grid_in_a_box_is_found():
    geometry = ImageGeometry.from_disk((575, 455), 4)
    np.testing.assert_allclose(
        fit_rectangles([[0, 0, 1024, 1024]], geometry)[0],
        fit_rectangles([[571, 451, 579, 459]], geometry)[0],
        atol=0.01,
    )


def test_a_corner_of_a_box_that_just_touches_the_disk_is_enough():
    box = [-246.8, 168.8, 53.7, 641.4]
    geometry = ImageGeometry.from_disk((256, 256), 202.8)
    assert np.isfinite(fit_rectangles([box], geometry)[0]).all()
    assert np.isnan(fit_rectangles([[*box[:2], 53.1, box[3]]], geometry)[0]).all()


@pytest.mark.filterwarnings("error")
def test_a_box_as_large_as_numbers_go_is_that_of_the_disk():
    everything = fit_rectangles([[-1e300, -1e300, 1e300, 1e300], [112.0, 112, 912, 912]], UPRIGHT)
    for each in everything:
        np.testing.assert_allclose(each[0], each[1], rtol=1e-6, atol=1e-4)


def test_a_box_beyond_the_limb_has_no_rectangle_and_costs_no_other():
    boxes = [[10.0, 10.0, 60.0, 50.0], [490.0, 500.0, 540.0, 530.0]]
    fitted, _ = fit_rectangles(boxes, UPRIGHT)
    assert np.isnan(fitted[0]).all() and np.isfinite(fitted[1]).all()
    alone, _ = fit_rectangles(boxes[1:], UPRIGHT)
    np.testing.assert_allclose(fitted[1], alone[0], atol=1e-12)


@pytest.mark.parametrize(
    ("box", "message"),
    [([30, 30, 20, 40], "from_xywh"), ([30, 30, np.nan, 40], "finite"), ([30, 30, 30, 40], "from_xywh")],
)
def test_what_is_no_box_is_refused(box, message):
    with pytest.raises(ValueError, match=message):
        fit_rectangles([[500, 500, 520, 520], box], UPRIGHT)


@pytest.mark.parametrize("box", [[0, 0, 1024, 1024], [112, 112, 912, 912], [500, 500, 500.5, 500.5]])
def test_the_largest_and_the_smallest_boxes_still_have_a_rectangle(box):
    fitted, covariances = fit_rectangles(box, UPRIGHT)
    assert np.isfinite(fitted).all() and (fitted[0, 2:] > fitted[0, :2]).all()
    assert (np.abs(fitted[0, 1::2]) <= 90).all() and fitted[0, 2] - fitted[0, 0] <= 180
    assert (np.linalg.eigvalsh(covariances[0]) > 0).all()


# -- rotation ----------------------------------------------------------------------


@given(
    lon=st.floats(-500, 500), lat=st.floats(-60, 60), width=st.floats(0.1, 60), height=st.floats(0.1, 25),
    days=st.floats(-60, 60),
)  # fmt: skip
def test_rotation_there_and_back_is_the_identity(lon, lat, width, height, days):
    rectangle = np.array([lon, lat, lon + width, lat + height])
    there = rotate_rectangles(rectangle, days)
    np.testing.assert_allclose(rotate_rectangles(there, -days)[0], rectangle, atol=1e-9)
    # As a whole, at the rate of its middle.
    moved = there[0] - rectangle
    np.testing.assert_allclose(moved[[1, 3]], 0.0)
    np.testing.assert_allclose(moved[[0, 2]], rotation_rate(lat + height / 2) * days, atol=1e-9)


def test_a_turn_later_the_box_is_back():
    rectangle = [-10.0, 8.0, 12.0, 20.0]
    back = rotate_rectangles(rectangle, 360.0 / float(rotation_rate(14.0)))
    assert back[0, 0] == pytest.approx(350.0)
    np.testing.assert_allclose(box_of(back[0], UPRIGHT), box_of(rectangle, UPRIGHT), atol=1e-6)


# -- how boxes change --------------------------------------------------------------


def test_a_jacobian_tells_where_the_box_goes():
    rectangles = np.array([[-20.0, 5.0, 5.0, 18.0], [30.0, -25.0, 60.0, -10.0]])
    boxes, jacobians, seen = rectangle_jacobians(rectangles, UPRIGHT)
    np.testing.assert_allclose(boxes, rectangles_to_boxes(rectangles, UPRIGHT)[0])
    assert seen.all()
    change = np.array([0.3, -0.2, 0.1, 0.4])
    moved = rectangles_to_boxes(rectangles + change, UPRIGHT)[0]
    np.testing.assert_allclose(moved - boxes, jacobians @ change, atol=0.05)


@pytest.mark.parametrize(
    ("rectangle", "hidden"), [([-120.0, 5, -70, 15], 0), ([70.0, 5, 120, 15], 2)], ids=["east", "west"]
)
def test_a_hidden_side_moves_nothing(rectangle, hidden):
    _, jacobians, seen = rectangle_jacobians(np.array([rectangle]), UPRIGHT)
    np.testing.assert_array_equal(jacobians[0][:, hidden], 0.0)
    assert not seen[0, hidden] and np.abs(jacobians[0][:, 2 - hidden]).max() > 1.0


def test_a_rectangle_behind_the_limb_has_no_box_and_a_jacobian_of_zeros():
    boxes, jacobians, seen = rectangle_jacobians(np.array([[120.0, 5.0, 150.0, 15.0]]), UPRIGHT)
    assert np.isnan(boxes).all() and not seen.any()
    np.testing.assert_array_equal(jacobians, np.zeros((1, 4, 4)))


def test_ordered_sides_are_apart_and_within_the_poles():
    rectangles = np.array([[10.0, 5.0, 8.0, 4.0], [-150.0, -95.0, 150.0, 95.0], [0.0, 0.0, 4.0, 3.0]])
    made = ordered(rectangles, np.array([0.5, 0.5, 0.5]))
    assert (made[:, 2:] - made[:, :2] >= 0.5 - 1e-12).all()
    assert (np.abs(made[:, 1::2]) <= 90).all() and (made[:, 2] - made[:, 0] <= 180).all()
    np.testing.assert_array_equal(made[2], rectangles[2])
    np.testing.assert_allclose(made[0], [8.75, 4.25, 9.25, 4.75])


def test_near_the_limb_a_side_is_known_to_degrees_and_elsewhere_to_a_hundredth():
    errors = []
    for x0 in (112.0, 113.5, 116.0, 130.0, 300.0):  # the disk begins at 112
        _, (covariance,) = fit_rectangles([[x0, 482.0, x0 + 12.0, 542.0]], UPRIGHT)
        errors.append(np.sqrt(np.diag(covariance)))
    east = [error[0] for error in errors]
    assert east == sorted(east, reverse=True)
    assert east[0] > 3.0 and 1.0 < east[1] < 1.5 and east[-1] < 0.1
    assert all(error[1] < 0.15 for error in errors)  # the north and the south can be seen from anywhere


@pytest.mark.parametrize("side", [0, 2], ids=["east", "west"])
def test_a_side_within_a_pixel_of_the_limb_is_as_doubtful_as_one_behind_it(side):
    boxes = [[112.0 + apart, 482.0, 130.0, 542.0] for apart in (0.0, 0.7, 2.0)]
    if side == 2:
        boxes = [[1024.0 - x1, y0, 1024.0 - x0, y1] for x0, y0, x1, y1 in boxes]
    _, covariances = fit_rectangles(boxes, UPRIGHT)
    hidden, within, beside = np.sqrt(covariances[:, side, side])
    assert within == pytest.approx(hidden, rel=0.2) and beside < 0.5 * hidden
