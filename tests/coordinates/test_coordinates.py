import gzip
import importlib.util
import itertools
import json
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import sunpy.map
from astropy.io import fits
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st
from sunpy.coordinates import frames
from sunpy.sun.models import differential_rotation

from solartrack.coordinates import (
    LAWS,
    ImageGeometry,
    RotationLaw,
    rectangles_to_boxes,
    rotate_box,
    rotate_rectangles,
    rotation_rate,
    solar_b0_deg,
    visible_parts,
)
from solartrack.errors import GeometryError

HEADER = {
    "NAXIS": 2, "NAXIS1": 1024, "NAXIS2": 1024, "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN",
    "CUNIT1": "arcsec", "CUNIT2": "arcsec", "CRPIX1": 500.25, "CRPIX2": 530.5, "CRVAL1": 12.0,
    "CRVAL2": -7.0, "CDELT1": 2.4, "CDELT2": 2.3, "CROTA2": 17.0, "RSUN_REF": 6.96e8,
    "DSUN_OBS": 1.4745e11, "HGLT_OBS": -6.17, "HGLN_OBS": 3.5, "DATE-OBS": "2014-02-03T02:08:47",
}  # fmt: skip


def header(**changes):
    cards = {**HEADER, **{k.replace("__", "-"): v for k, v in changes.items()}}
    return fits.Header({k: v for k, v in cards.items() if v is not None})


def disk(**changes):
    return ImageGeometry.from_disk(**{"center": (512, 512), "radius": 394.5, "b0_deg": 5.0, **changes})


def sunpy_map(cards):
    return sunpy.map.Map(np.zeros((cards["NAXIS2"], cards["NAXIS1"])), cards)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"CROTA2": 0.0, "CRVAL1": 0.0, "CRVAL2": 0.0},
        {"CROTA2": 180.1},
        {"CRVAL1": 900.0, "CRVAL2": -300.0, "CRPIX1": 100.0},
        {"CROTA2": None, "PC1_1": 1.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": -1.0},
        {"CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": 2.4 / 3600, "CDELT2": 2.3 / 3600, "CRVAL1": 0.01, "CRVAL2": 0.0},
        {"HGLN_OBS": -80.0, "HGLT_OBS": 7.0},
    ],
)  # fmt: skip
def test_coordinates_agree_with_sunpy(changes):
    cards = header(**changes)
    ours, theirs = ImageGeometry.from_header(cards), sunpy_map(cards)
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 1024, 21), np.linspace(0, 1024, 19)))
    world = theirs.pixel_to_world((x - 0.5) * u.pix, (y - 0.5) * u.pix)
    tx, ty = ours.pixel_to_helioprojective(x, y)
    np.testing.assert_allclose(tx, world.Tx.to_value("arcsec"), atol=1e-7)
    np.testing.assert_allclose(ty, world.Ty.to_value("arcsec"), atol=1e-7)
    back_x, back_y = ours.helioprojective_to_pixel(tx, ty)
    np.testing.assert_allclose([back_x, back_y], [x, y], atol=1e-8)

    lon, lat = ours.pixel_to_heliographic(x, y)
    on_disk = np.isfinite(lon)
    assert on_disk.sum() > 20
    stonyhurst = world[on_disk].transform_to(frames.HeliographicStonyhurst(obstime=theirs.date))
    np.testing.assert_allclose(lon[on_disk], stonyhurst.lon.to_value("deg"), atol=2e-6)
    np.testing.assert_allclose(lat[on_disk], stonyhurst.lat.to_value("deg"), atol=2e-6)
    again_x, again_y, visible = ours.heliographic_to_pixel(lon[on_disk], lat[on_disk])
    assert visible.all()
    np.testing.assert_allclose([again_x, again_y], [x[on_disk], y[on_disk]], atol=1e-5)


def test_points_beyond_the_limb_have_no_heliographic_coordinates():
    geometry = disk()
    x = 512 + 394.5 * np.array([0.999999, 1.000001])
    lon, lat = geometry.pixel_to_heliographic(x, [512.0, 512.0])
    assert np.isfinite(lon[0]) and np.isfinite(lat[0])
    assert np.isnan(lon[1]) and np.isnan(lat[1])


def test_disk_description_puts_the_limb_and_the_north_where_it_says():
    geometry = disk(b0_deg=0.0)
    assert geometry.disk_center == pytest.approx((512, 512))
    assert geometry.disk_radius == pytest.approx(394.5)
    lon, lat = geometry.pixel_to_heliographic([512, 700], [200, 512])
    assert lat[0] > 40 and lon[1] > 20  # row 0 on top: north is at small y; west is right
    assert disk(row0="bottom", b0_deg=0.0).pixel_to_heliographic(512, 800)[1] > 40
    # North turned a quarter counter-clockwise points left.
    assert disk(b0_deg=0.0, north_angle_deg=90.0).pixel_to_heliographic(200, 512)[1] > 40
    assert disk(b0_deg=0.0, north_angle_deg=90.0, row0="bottom").pixel_to_heliographic(200, 512)[1] > 40
    assert disk(b0_deg=5.0).pixel_to_heliographic(512, 512)[1] == pytest.approx(5.0)


@given(
    lon=st.floats(-75, 75), lat=st.floats(-60, 60), b0=st.floats(-7.25, 7.25), angle=st.floats(-180, 180),
    row0=st.sampled_from(["top", "bottom"]), l0=st.floats(-180, 180),
)  # fmt: skip
def test_heliographic_to_pixel_and_back_is_the_identity(lon, lat, b0, angle, row0, l0):
    flat = disk(b0_deg=b0, north_angle_deg=angle, row0=row0)
    geometry = ImageGeometry(flat.reference, flat.matrix, (0.0, 0.0), b0, l0)
    x, y, visible = geometry.heliographic_to_pixel(lon + l0, lat)
    assert visible
    back_lon, back_lat = geometry.pixel_to_heliographic(x, y)
    assert (back_lon - lon - l0 + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    assert back_lat == pytest.approx(lat, abs=1e-6)


def test_laws_by_name_are_the_published_ones_and_the_default_is_that_of_active_regions():
    published = {
        "doppler": (14.713, -2.396, -1.787),
        "snodgrass": (14.366, -2.297, -1.624),
        "komm": (14.42, -2.00, -2.09),
        "rigid": (13.4635 + 0.9856, 0.0, 0.0),
        "coronal holes": (13.25 + 0.9856, -0.4, 0.0),
    }
    lat = np.linspace(-90, 90, 37)
    s2 = np.sin(np.radians(lat)) ** 2
    for name, (a, b, c) in published.items():
        np.testing.assert_allclose(rotation_rate(lat, name), a - 0.9856 + b * s2 + c * s2**2, atol=1e-12)
    theirs = differential_rotation(1 * u.day, lat * u.deg, model="howard", frame_time="synodic")
    np.testing.assert_allclose(rotation_rate(lat, "howard"), theirs.to_value("deg"), atol=2e-3)
    np.testing.assert_array_equal(rotation_rate(lat), rotation_rate(lat, "active regions"))
    own = RotationLaw(14.0, -2.0)
    np.testing.assert_allclose(rotation_rate(lat, law=own), 14.0 - 0.9856 - 2.0 * s2)
    rectangle = [-10.0, 8.0, 5.0, 20.0]
    for law in (*published, own):
        moved = rotate_rectangles(rectangle, 2.0, law=law)[0] - rectangle
        assert moved[0] == pytest.approx(2.0 * float(rotation_rate(14.0, law)))


def test_an_unknown_law_is_an_error_that_names_the_others():
    for call in (
        lambda: rotation_rate(0.0, "fast"),
        lambda: rotate_box([500, 500, 520, 520], 1.0, disk(), law="fast"),
    ):
        with pytest.raises(ValueError, match=r"law must be one of 'active regions', 'doppler'.*got 'fast'"):
            call()


def test_rotated_box_of_a_point_like_region_follows_the_law():
    geometry = disk()
    x, y, _ = geometry.heliographic_to_pixel(-30.0, 15.0)
    box = [x - 0.5, y - 0.5, x + 0.5, y + 0.5]
    moved = rotate_box(box, 2.0, geometry)
    expected = geometry.heliographic_to_pixel(-30.0 + 2 * rotation_rate(15.0), 15.0)
    center = (moved.box[:2] + moved.box[2:]) / 2
    assert center == pytest.approx(np.array(expected[:2]), abs=0.01)
    assert moved.visible == 1.0 and not moved.off_disk


@given(
    lon=st.floats(-50, 50), lat=st.floats(-40, 40), width=st.floats(5, 60), height=st.floats(5, 60),
    days=st.floats(-1.5, 1.5),
)  # fmt: skip
def test_rotation_forth_and_back_encloses_the_box(lon, lat, width, height, days):
    geometry = disk()
    x, y, _ = geometry.heliographic_to_pixel(lon, lat)
    box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    there = rotate_box(box, days, geometry)
    if there.visible == 1.0:
        back = rotate_box(there.box, -days, geometry).box
        assert (back[:2] <= box[:2] + 0.3).all() and (back[2:] >= box[2:] - 0.3).all()
    assert rotate_box(box, 0.0, geometry).box == pytest.approx(box, abs=1e-6)


def test_box_that_rotates_behind_the_west_limb_ends_at_the_limb_then_is_off_disk():
    geometry = disk(b0_deg=0.0)
    x, y, _ = geometry.heliographic_to_pixel(70.0, 10.0)
    box = [x - 20, y - 20, x + 10, y + 20]
    states = [rotate_box(box, days, geometry) for days in np.arange(0.0, 4.0, 0.5)]
    shares = [s.visible for s in states]
    assert shares[0] == 1.0 and 0 < shares[3] < 1 and shares[-1] == 0.0
    assert all(b <= a for a, b in itertools.pairwise(shares))
    for state in states:
        assert state.off_disk == (state.visible == 0.0)
        if state.off_disk:
            assert np.isnan(state.box).all()
        else:
            assert state.box[2] <= 512 + 394.5 + 1e-6
    # Half a rotation later it is still hidden, nearly a whole one later it is back in the east.
    assert rotate_box(box, 14.0, geometry).off_disk
    assert rotate_box(box, 18.5, geometry).box[2] < 512


def test_part_of_the_box_beyond_the_limb_is_taken_to_be_at_the_limb():
    geometry = disk(b0_deg=0.0)
    wide = [60, 460, 160, 560]  # the limb is at x = 117.5
    tight = [117.6, 460, 160, 560]
    a, b = rotate_box(wide, 1.0, geometry), rotate_box(tight, 1.0, geometry)
    np.testing.assert_allclose(a.box, b.box, atol=1.5)


def test_box_entirely_beyond_the_limb_is_an_error_that_says_where_the_disk_is():
    with pytest.raises(GeometryError, match=r"beyond the limb.*\(512\.0, 512\.0\).*394\.5 px"):
        rotate_box([0, 0, 50, 50], 1.0, disk())


@pytest.mark.parametrize("box", [[10, 10, 5, 20], [10, 10, 10, 20], [np.nan, 0, 1, 1]])
def test_empty_inverted_or_nan_box_is_a_value_error(box):
    with pytest.raises(ValueError, match="box"):
        rotate_box(box, 1.0, disk())


@pytest.mark.parametrize("days", [np.nan, np.inf])
def test_time_must_be_finite(days):
    with pytest.raises(ValueError, match="days must be a finite number"):
        rotate_box([500, 500, 520, 520], days, disk())


def test_box_is_carried_between_images_of_different_scale():
    small, large = disk(), disk(center=(2048, 2048), radius=4 * 394.5)
    box = np.array([450.0, 400, 500, 440])
    np.testing.assert_allclose(
        rotate_box(box, 0.7, small, large).box, 4 * rotate_box(box, 0.7, small).box, atol=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CRVAL1": None}, "lacks CRVAL1"),
        ({"CDELT2": None}, "lacks CDELT2"),
        ({"CDELT2": 0.0}, "lacks CDELT2"),
        ({"CTYPE1": "CRLN-CEA", "CTYPE2": "CRLT-CEA"}, "must be helioprojective.*CRLN-CEA"),
        ({"LONPOLE": 90.0}, "LONPOLE"),
        ({"DATE__OBS": None, "HGLT_OBS": None}, "lacks B0"),
        ({"DATE__OBS": None, "DSUN_OBS": None}, "lacks the distance"),
        ({"DATE__OBS": "yesterday", "HGLT_OBS": None}, "is not a date"),
    ],
)  # fmt: skip
def test_header_that_does_not_say_where_the_sun_is_names_what_is_missing(changes, message):
    with pytest.raises(GeometryError, match=message):
        ImageGeometry.from_header(header(**changes))


@pytest.mark.parametrize(
    "changes",
    [{"radius": 0}, {"radius": -5}, {"radius": np.nan}, {"center": (np.nan, 1)}, {"row0": "up"}, {"b0_deg": 100},
     {"distance_au": 0.001}],
)  # fmt: skip
def test_impossible_disk_is_an_error(changes):
    with pytest.raises(GeometryError):
        disk(**changes)


def test_zero_rsun_obs_means_unknown_and_b0_comes_from_the_date():
    geometry = ImageGeometry.from_header(header(RSUN_OBS=0.0, DSUN_OBS=None, HGLT_OBS=None))
    assert geometry.b0_deg == pytest.approx(-6.17, abs=0.02)
    assert geometry.distance_rsun == pytest.approx(1.4745e11 / 6.96e8, rel=1e-3)


def test_solar_b0_is_sunpys():
    # The AIA header of that minute says -7.219, seen from an orbit around the Earth.
    assert solar_b0_deg(Time("2013-03-10T12:00:11")) == pytest.approx(-7.22, abs=0.02)


def test_real_headers_of_aia_agree_with_sunpy(shared):
    keys = [*HEADER, "CRLT_OBS", "RSUN_OBS"]
    for name in ["aia/AIA20140101_0000_0171.fits", "aia/sunkit_aia_171_cutout.fits"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = sunpy.map.Map(shared / "data" / name)
        ours = ImageGeometry.from_header(fits.Header({k: theirs.meta[k] for k in keys if k in theirs.meta}))
        world = theirs.pixel_to_world([10.0, 200.5] * u.pix, [300.0, 20.25] * u.pix)
        tx, ty = ours.pixel_to_helioprojective([10.5, 201.0], [300.5, 20.75])
        np.testing.assert_allclose(tx, world.Tx.to_value("arcsec"), atol=1e-6)
        np.testing.assert_allclose(ty, world.Ty.to_value("arcsec"), atol=1e-6)
        assert ours.b0_deg == pytest.approx(theirs.observer_coordinate.lat.to_value("deg"), abs=0.02)


def test_the_flux_weighted_longitude_of_harp_3604_one_day_ahead_is_predicted_to_a_degree(shared):
    with gzip.open(shared / "data/jsoc/rs_list_hmi.sharp_cea_720s_HARP3604_ALLkeys.json.gz") as file:
        columns = {k["name"]: k["values"] for k in json.load(file)["keywords"]}
    stamp = [t[:-4].replace(".", "-", 2).replace("_", "T") for t in columns["T_REC"]]
    days = Time(stamp, scale="tai").mjd
    assert len(days) == 1223
    values = {
        k: np.array([float(v) if v != "MISSING" else np.nan for v in columns[k]])
        for k in ("LON_FWT", "LAT_FWT")
    }
    later = np.searchsorted(days, days + 1.0 - 1e-4)
    now = np.flatnonzero(later < len(days))
    later = later[now]
    exact = np.abs(days[later] - days[now] - 1.0) < 1e-3
    now, later = now[exact], later[exact]
    assert len(now) > 1000

    rate = rotation_rate(values["LAT_FWT"][now])
    predicted = values["LON_FWT"][now] + rate * (days[later] - days[now])
    assert np.nanmedian(np.abs(predicted - values["LON_FWT"][later])) < 1.0


def test_a_box_that_overhangs_the_limb_does_not_grow_at_rest():
    geometry = ImageGeometry.from_disk((512, 512), 394.5, b0_deg=0.8)
    for box in ([60, 300, 150, 420], [90, 300, 180, 420], [60, 460, 160, 560], [800, 700, 1000, 760]):
        x0, y0, x1, y1 = rotate_box(box, 0.0, geometry).box
        assert x0 >= box[0] - 1e-6 and y0 >= box[1] - 1e-6
        assert x1 <= box[2] + 1e-6 and y1 <= box[3] + 1e-6


def test_parts_hidden_behind_one_limb_never_show_up_at_the_other():
    geometry = ImageGeometry.from_disk((512, 512), 400)
    starts = [rotate_box([100, 100, 924, 924], days, geometry).box[0] for days in (2, 4, 5, 6, 8, 10)]
    # The east edge of the region only ever goes west, until all of it is hidden.
    assert all(b > a for a, b in itertools.pairwise(starts))
    before = ImageGeometry.from_disk((512, 512), 400, b0_deg=-0.03)
    after = ImageGeometry.from_disk((512, 512), 400, b0_deg=0.26)
    # A turn later, at the rate of the box's centre, it comes back in the east.
    returned = rotate_box([121.7, 582.8, 311.6, 808.3], 25.0, before, after)
    assert 0.0 < returned.visible < 1.0 and returned.box[2] < 512


def test_a_disk_smaller_than_the_steps_of_the_grid_is_found_in_the_box():
    tiny = ImageGeometry.from_disk((530, 530), 20)
    assert rotate_box([0, 0, 1024, 1024], 1.0, tiny).box[2] == pytest.approx(550, abs=0.5)


@pytest.mark.parametrize("days", ["x", None, 1j])
def test_time_must_be_a_number(days):
    with pytest.raises(ValueError, match="days must be a finite number"):
        rotate_box([500, 500, 520, 520], days, disk())


def test_header_without_units_is_refused():
    with pytest.raises(GeometryError, match="lacks CUNIT1 or CUNIT2"):
        ImageGeometry.from_header(header(CUNIT2=None))


def test_radius_in_pixels_of_an_eit_header_is_not_taken_for_arcsec():
    old = header(CTYPE1="SOLAR-X", CTYPE2="SOLAR-Y", SOLAR_R=369.3, DSUN_OBS=None, CROTA2=0.0)
    assert ImageGeometry.from_header(old).rsun_arcsec == pytest.approx(973, abs=2)


def points_of(rectangle, geometry, days, k=801):
    """Box around the visible ones of k x k points of a rectangle, carried at the rate of its centre."""
    lon, lat = np.meshgrid(*(np.linspace(rectangle[i], rectangle[i + 2], k) for i in (0, 1)))
    middle = (rectangle[1] + rectangle[3]) / 2
    x, y, visible = geometry.heliographic_to_pixel(lon + rotation_rate(middle) * days, lat)
    return np.array([x[visible].min(), y[visible].min(), x[visible].max(), y[visible].max()])


@pytest.mark.parametrize("days", [4.0, 5.0, 5.2, 5.3])
def test_a_box_that_leaves_over_the_limb_is_that_of_its_visible_points(days):
    geometry = ImageGeometry.from_disk((512, 512), 409.6, b0_deg=7.25, row0="bottom")
    rectangle = [20.0, 10, 36, 28]
    box = rectangles_to_boxes([rectangle], geometry)[0][0]
    np.testing.assert_allclose(
        rotate_box(box, days, geometry).box, points_of(rectangle, geometry, days), atol=1.0
    )


@pytest.mark.parametrize("days", [3.0, 7.0, 13.0])
def test_a_box_around_the_pole_is_that_of_its_visible_points(days):
    geometry = ImageGeometry.from_disk((512, 512), 409.6, b0_deg=7.25, row0="bottom")
    x, y, _ = geometry.heliographic_to_pixel(0.0, 90.0)
    box = [x - 30, y - 12, x + 30, y + 12]
    u, v = np.meshgrid(np.linspace(box[0], box[2], 801), np.linspace(box[1], box[3], 801))
    lon, lat = geometry.pixel_to_heliographic(u, v)
    on_disk = np.isfinite(lon)
    inside = visible_parts([box], geometry)[0]
    middle = geometry.pixel_to_heliographic((inside[0] + inside[2]) / 2, (inside[1] + inside[3]) / 2)[1]
    lon = lon[on_disk] + rotation_rate(middle) * days
    x, y, visible = geometry.heliographic_to_pixel(lon, lat[on_disk])
    expected = [x[visible].min(), y[visible].min(), x[visible].max(), y[visible].max()]
    np.testing.assert_allclose(rotate_box(box, days, geometry).box, expected, atol=1.0)


@pytest.mark.parametrize("b0", [-33.0, -7.25, 0.0, 7.25, 33.0])
def test_rectangles_at_limb_and_pole_have_the_box_of_their_visible_points(b0):
    geometry = ImageGeometry.from_disk((512, 512), 409.6, b0_deg=b0, row0="bottom")
    rng = np.random.default_rng(1)
    compared = 0
    for _ in range(60):
        width, height = rng.uniform(2, 40), rng.uniform(2, 25)
        lon, lat = rng.uniform(-180, 180), rng.uniform(-88, 88 - height)
        rectangle = [lon, lat, lon + width, lat + height]
        found = rectangles_to_boxes([rectangle], geometry)[0][0]
        if np.isfinite(found).all():
            compared += 1
            np.testing.assert_allclose(found, points_of(rectangle, geometry, 0.0, 401), atol=1.0)
    assert compared > 20


def test_the_area_of_a_box_carried_day_after_day_stays():
    geometry = ImageGeometry.from_disk((512, 512), 400, b0_deg=5.0)
    box = start = rectangles_to_boxes([[-65.0, 12, -45, 24]], geometry)[0][0]
    for _ in range(8):
        box = rotate_box(box, 1.0, geometry).box
    middle = -65.0 + 8 * float(rotation_rate(18.0))
    expected = rectangles_to_boxes([[middle, 12, middle + 20, 24]], geometry)[0][0]
    np.testing.assert_allclose(box, expected, atol=1.5)
    assert np.isfinite(start).all()


def rotation_law():
    path = Path(__file__).resolve().parents[2] / "benchmarks/rotation_law.py"
    if not path.exists():
        pytest.skip("needs benchmarks/rotation_law.py, which comes with a checkout only")
    spec = importlib.util.spec_from_file_location("rotation_law", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_default_law_is_the_fit_to_noaa_positions_and_leads_none_of_them_astray(shared):
    benchmark = rotation_law()
    pairs = benchmark.load_pairs(shared)
    fitted = benchmark.fit(pairs[pairs["days"].isin(benchmark.FITTED)])
    np.testing.assert_allclose(fitted, LAWS["active regions"], atol=1e-3)
    new, old = (benchmark.errors(pairs, law) for law in ("active regions", "doppler"))
    assert new["median"][7] <= 1.7 < 2.6 < old["median"][7]
    assert (new["median"] < old["median"])[[3, 5, 7]].all()
    assert abs(new["lead"][7]) < 0.1 and old["lead"][7] > 2.0


def test_carried_boxes_of_real_tracks_grow_no_more_than_the_regions_do_in_seven_days(shared):
    """The regions of this month shrink: the true boxes of later days cover less of the Sun by themselves."""
    ratios = rotation_law().area_ratios(shared=shared)
    assert set(ratios["days"]) == set(range(1, 8))
    medians = (ratios["ratio"] / ratios["on_sun"]).groupby(ratios["days"]).median()
    assert medians.between(0.9, 1.1).all(), medians.round(3).to_dict()
