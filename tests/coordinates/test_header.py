import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from solartrack import images
from solartrack.coordinates import AU_M, RSUN_M, ImageGeometry, solar_b0_deg
from solartrack.coordinates.header import (
    Observer,
    axis_types,
    celestial_wcs,
    mm_per_radian,
    number,
    observer,
    pixel_mm,
    solar_radius_m,
    time_of,
)
from solartrack.errors import GeometryError

SKY = {
    "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec", "CRPIX1": 500.25,
    "CRPIX2": 530.5, "CRVAL1": 12.0, "CRVAL2": -7.0, "CDELT1": 2.4, "CDELT2": 2.3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7.0), (0, 0.0), (-1.5, -1.5), (np.float32(0.5), 0.5), ("1.47084e+11", 1.47084e11),
        (True, None), ("MISSING", None), ("", None), ("nan", None), (1j, None),
    ],
)  # fmt: skip
def test_number_is_the_finite_number_on_a_card(value, expected):
    assert number(fits.Header({"KEY": value}), "KEY") == expected


def test_number_of_a_missing_or_huge_card_is_none():
    assert number(fits.Header(), "KEY") is None
    assert number({"KEY": 10**400}, "KEY") is None
    assert number({"KEY": np.inf}, "KEY") is None


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"T_OBS": "2014.02.03_02:08:47_TAI"}, "2014-02-03T02:08:12"),
        ({"T_OBS": "2014.02.03_02:08:47_TAI", "TIMESYS": "UTC"}, "2014-02-03T02:08:12"),
        ({"DATE-BEG": "2014-02-03T02:08:47.5"}, "2014-02-03T02:08:47.5"),
        ({"DATE-BEG": "2014-02-03T02:08:47", "TIMESYS": "TAI"}, "2014-02-03T02:08:12"),
        ({"T_REC": "2014.02.03_02:00_TAI"}, "2014-02-03T01:59:25"),
        ({"DATE_OBS": "2014/02/03", "TIME_OBS": "02:08:47"}, "2014-02-03T02:08:47"),
        ({"DATE-OBS": "2014-02-03T02:08:47Z"}, "2014-02-03T02:08:47"),
    ],
)
def test_any_time_that_images_read_is_the_time_at_which_b0_and_distance_are_computed(cards, expected):
    header = fits.Header(SKY | cards)
    when = Time(expected, scale="utc")
    assert abs((time_of(header) - when).to_value("s")) < 1e-6
    geometry = ImageGeometry.from_header(header)
    assert geometry.b0_deg == solar_b0_deg(time_of(header))
    assert geometry.b0_deg == pytest.approx(solar_b0_deg(when), abs=1e-9)
    assert geometry.distance_rsun == pytest.approx(0.98566 * AU_M / RSUN_M, rel=1e-4)


def test_b0_is_that_of_the_middle_of_the_exposure_where_the_header_knows_it():
    header = fits.Header(SKY | {"DATE-OBS": "2014-02-03T02:00:00", "DATE-AVG": "2014-02-09T02:00:00"})
    assert ImageGeometry.from_header(header).b0_deg == solar_b0_deg(Time("2014-02-09T02:00:00"))


def test_a_date_without_a_time_of_day_gives_a_geometry_but_no_time():
    header = fits.Header(SKY | {"DATE-OBS": "2014-02-03"})
    assert time_of(header) is None
    assert time_of(header, date_only=True).isot == "2014-02-03T00:00:00.000"
    assert ImageGeometry.from_header(header).b0_deg == pytest.approx(-6.16, abs=0.02)
    assert time_of(fits.Header({"DATE-OBS": "2014-13-03"}), date_only=True) is None


def test_unreadable_dates_are_all_named():
    header = fits.Header(SKY | {"DATE-OBS": "yesterday", "T_OBS": "MISSING"})
    with pytest.raises(GeometryError, match=r"T_OBS 'MISSING' is not a date, DATE-OBS 'yesterday' is not"):
        ImageGeometry.from_header(header)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({}, Observer(None, None, None, None)),
        ({"HGLT_OBS": 0.0, "HGLN_OBS": 3.0}, Observer(0.0, 3.0, None, None)),
        ({"CRLT_OBS": 1.0, "CRLN_OBS": 200.0}, Observer(1.0, None, 200.0, None)),
        # A lone latitude yields to a complete pair.
        ({"HGLT_OBS": 7.0, "CRLT_OBS": 1.0, "CRLN_OBS": 200.0}, Observer(1.0, None, 200.0, None)),
        ({"HGLT_OBS": 7.0, "CRLT_OBS": 1.0}, Observer(7.0, None, None, None)),
        ({"SOLAR_B0": -2.0}, Observer(-2.0, None, None, None)),
        ({"DSUN_OBS": "1.47084e+11", "RSUN_OBS": 1.0}, Observer(None, None, None, 1.47084e11)),
        ({"DSUN_OBS": 0.0, "RSUN_OBS": 0.0}, Observer(None, None, None, None)),
    ],
)
def test_the_observer_is_what_the_header_says_and_none_elsewhere(cards, expected):
    assert observer(fits.Header(cards)) == expected


def test_the_angular_radius_gives_the_distance_in_the_headers_own_solar_radius():
    header = fits.Header({"RSUN_OBS": 975.96, "RSUN_REF": 6.96e8})
    assert solar_radius_m(header) == 6.96e8
    expected = 6.96e8 / np.sin(np.radians(975.96 / 3600))
    assert observer(header).distance_m == pytest.approx(expected, rel=1e-12)
    assert solar_radius_m(fits.Header({"RSUN_REF": 0.0})) == RSUN_M


def test_solar_x_and_y_are_helioprojective():
    header = fits.Header(SKY | {"CTYPE1": "SOLAR-X", "CTYPE2": "solar_y "})
    assert axis_types(header) == ("HPLN-TAN", "HPLT-TAN")
    found = celestial_wcs(header).wcs_pix2world(10.0, 20.0, 0)
    np.testing.assert_allclose(found, WCS(fits.Header(SKY)).wcs_pix2world(10.0, 20.0, 0))
    assert header["CTYPE1"] == "SOLAR-X"  # not changed
    assert axis_types(fits.Header()) == ("", "")


@pytest.mark.parametrize("types", [{}, {"CTYPE1": "HPLN-TAN", "CTYPE2": "LINEAR"}])
def test_a_header_without_two_celestial_axes_has_no_celestial_wcs(types):
    header = fits.Header({k: v for k, v in SKY.items() if k[:5] != "CTYPE" and k[:5] != "CUNIT"} | types)
    with pytest.raises(GeometryError, match=r"no two celestial axes|cannot be read"):
        celestial_wcs(header)


def test_a_pixel_of_a_sky_image_is_measured_at_the_suns_distance():
    header = fits.Header(SKY | {"DSUN_OBS": 1.4745e11, "RSUN_REF": 6.96e8})
    angular_radius = np.degrees(np.arcsin(6.96e8 / 1.4745e11)) * 3600
    np.testing.assert_allclose(pixel_mm(header), [2.4 / angular_radius * 696, 2.3 / angular_radius * 696])
    assert mm_per_radian(fits.Header()) == AU_M * 1e-6


def test_a_pixel_of_an_equal_area_map_is_measured_on_the_photosphere():
    header = fits.Header({"CTYPE1": "CRLN-CEA", "CTYPE2": "CRLT-CEA", "CUNIT1": "deg", "CUNIT2": "deg"})
    header.update({"CDELT1": 0.03, "CDELT2": 0.03, "RSUN_REF": 6.96e8, "DSUN_OBS": 1.4745e11})
    np.testing.assert_allclose(pixel_mm(header), np.radians(0.03) * 696)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CTYPE1": None, "CTYPE2": None}, r"nothing tells the side of a pixel.*lacks CTYPE1, CTYPE2"),
        ({"CUNIT2": None}, "lacks CUNIT2, so the side of a pixel is unknown"),
        ({"CTYPE1": "HPLN-CAR", "CTYPE2": "HPLT-CAR"}, r"helioprojective \(TAN\) or equal-area"),
    ],
)
def test_headers_that_do_not_tell_the_side_of_a_pixel_are_refused(changes, message):
    cards = {key: value for key, value in (SKY | changes).items() if value is not None}
    with pytest.raises(GeometryError, match=message):
        pixel_mm(fits.Header(cards))


@pytest.mark.parametrize("key", ["CRPIX1", "CRVAL2", "CDELT1"])
def test_world_coordinates_in_quotes_which_wcslib_ignores_are_missing(key):
    header = fits.Header(SKY | {"HGLT_OBS": 1.0, "DSUN_OBS": AU_M, key: "5.0"})
    with pytest.raises(GeometryError, match=f"lacks {key}"):
        ImageGeometry.from_header(header)


def test_the_whole_answer_of_read_header_is_refused_with_the_cure(tmp_path):
    path = tmp_path / "a.fits"
    fits.writeto(path, np.zeros((2, 2)), fits.Header(SKY | {"DATE-OBS": "2014-02-03T02:08:47"}))
    answer = images.read_header(path)
    with pytest.raises(TypeError, match=r"got ImageHeader; .*\.header"):
        ImageGeometry.from_header(answer)
    assert ImageGeometry.from_header(answer.header).b0_deg == pytest.approx(-6.16, abs=0.02)
    header, when = answer
    assert header is answer.header and when is answer.time


def test_the_shipped_spoca_map_whose_distance_is_in_quotes_is_read(shared):
    files = sorted((shared / "data").glob("**/*.ARMap.fits"))
    if not files:
        pytest.skip("no SPoCA map among the data")
    header = images.read_header(files[0]).header
    assert isinstance(header["DSUN_OBS"], str)
    assert observer(header).distance_m == pytest.approx(1.47084e11)
