import sys

import astropy.units as u
import numpy as np
import pytest
import sunpy.map
from astropy.coordinates import CartesianRepresentation, HeliocentricMeanEcliptic, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from sunpy.coordinates import HeliocentricEarthEcliptic, HeliographicStonyhurst

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
        ("", None), ("  ", None), ("1.285D+02", 128.5), ("-1.8d1", -18.0),
    ],
)  # fmt: skip
def test_number_is_the_finite_number_on_a_card(value, expected):
    assert number(fits.Header({"KEY": value}), "KEY") == expected


def test_number_of_a_missing_or_undefined_card_is_none():
    assert number(fits.Header(), "KEY") is None
    assert number(fits.Header({"KEY": None}), "KEY") is None


@pytest.mark.parametrize("value", [True, "MISSING", "nan", "180,01", "1_0", 1j, 10**400, np.inf, "1e999"])
def test_a_card_that_holds_no_number_is_an_error_that_names_it(value):
    with pytest.raises(GeometryError, match=r"KEY is .*no number; correct the card"):
        number({"KEY": value}, "KEY")


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


AT_EARTH = SKY | {
    "HGLN_OBS": 0.0,
    "HGLT_OBS": -6.17,
    "DSUN_OBS": 1.4745e11,
    "DATE-OBS": "2014-02-03T02:08:47",
}


def placed(**cards):
    cards = AT_EARTH | {key.replace("__", "-"): value for key, value in cards.items()}
    return ImageGeometry.from_header(fits.Header({k: v for k, v in cards.items() if v is not None}))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("CRPIX1", "5.0254D+02"), ("CRVAL2", "-7.5D0"), ("CDELT1", "2.5D+00"), ("CROTA2", "1.8001D+02"),
        ("HGLN_OBS", "5.18D+01"), ("PC1_2", "-1.0D-01"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("quoted", [False, True])
def test_an_exponent_d_and_a_number_in_quotes_are_read_as_the_number(key, text, quoted):
    number_there = float(text.replace("D", "E"))
    expected = placed(**{key: number_there})
    assert expected != placed()
    if quoted:
        assert placed(**{key: text}) == expected
        return
    header = fits.Header(AT_EARTH)
    header.append(fits.Card.fromstring(f"{key:8}= {text:>20}"))
    if key in AT_EARTH:
        header.remove(key)  # the first one
    assert ImageGeometry.from_header(header) == expected


@pytest.mark.parametrize("key", ["CROTA2", "PC2_2", "HGLN_OBS", "CRLN_OBS", "DSUN_OBS", "RSUN_REF", "CRVAL1"])
@pytest.mark.parametrize("text", ["nan", "180,01", "north", "T"])
def test_an_unreadable_card_is_never_taken_as_absent(key, text):
    with pytest.raises(GeometryError, match=f"{key} is '{text}', which is no number"):
        placed(**{key: text})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DSUN_OBS": 1.4745e8}, r"DSUN_OBS puts the observer 1.4745e\+08 m.*unit"),  # km
        ({"DSUN_OBS": 0.98}, "DSUN_OBS puts the observer 0.98 m"),  # au
        ({"DSUN_OBS": 215.0}, "DSUN_OBS puts the observer 215 m"),  # solar radii
        ({"DSUN_OBS": 1.4745e13}, "DSUN_OBS puts the observer"),  # cm
        ({"DSUN_OBS": -1.4745e11}, "DSUN_OBS puts the observer -1.4745e"),
        ({"DSUN_OBS": None, "RSUN_OBS": 0.27}, "RSUN_OBS puts the observer .* in arcsec"),  # degrees
        ({"DSUN_OBS": None, "RSUN_OBS": -960.0}, "RSUN_OBS puts the observer"),
        ({"RSUN_REF": 696.0}, "RSUN_REF means a solar radius of 696 m"),
        ({"HGLT_OBS": 100.0}, "latitude must be -90 to 90"),
        ({"HGLN_OBS": None, "HEQX_OBS": 1e8, "HEQY_OBS": 1e8, "HEQZ_OBS": 0.0}, "HEQX_OBS puts the observer"),
    ],
)
def test_what_cannot_be_true_is_refused_with_its_card(changes, message):
    with pytest.raises(GeometryError, match=message):
        placed(**changes)


def test_lengths_are_kilometres_where_the_solar_radius_is():
    assert placed(DSUN_OBS=1.4745e8, RSUN_REF=695700.0).distance_rsun == pytest.approx(1.4745e11 / 6.957e8)


@pytest.mark.parametrize("key", ["CDELT1", "CDELT2"])
@pytest.mark.parametrize("value", [None, 0.0])
def test_a_pixel_without_a_scale_has_no_side(key, value):
    cards = {k: v for k, v in (AT_EARTH | {key: value}).items() if v is not None}
    with pytest.raises(GeometryError, match=f"lacks {key}, the scale"):
        pixel_mm(fits.Header(cards))


@pytest.mark.parametrize(
    "changes",
    [
        {"DSUN_OBS": 0.5 * AU_M},
        {"HGLT_OBS": 12.0},
        {"DSUN_OBS": 0.5 * AU_M, "DATE__OBS": None},
        {"HGLT_OBS": 30.0, "DATE__OBS": None},
    ],
)
def test_an_observer_elsewhere_without_a_longitude_is_refused(changes):
    with pytest.raises(GeometryError, match=r"not where the Earth is, and lacks the longitude \(HGLN_OBS"):
        placed(HGLN_OBS=None, **changes)
    assert placed(**changes).l0_deg == 0.0


def test_an_observer_at_the_earth_needs_no_longitude():
    assert placed(HGLN_OBS=None).l0_deg == 0.0
    assert placed(HGLN_OBS=None, DATE__OBS=None).l0_deg == 0.0


def stonyhurst(header):
    there = sunpy.map.Map(np.zeros((4, 4), np.float32), header).observer_coordinate
    return [there.lon.to_value("deg"), there.lat.to_value("deg"), there.radius.to_value("m") / RSUN_M]


def test_a_carrington_longitude_is_converted_at_the_images_time_as_sunpy_does():
    cards = {"HGLN_OBS": None, "HGLT_OBS": None, "CRLN_OBS": 77.5, "CRLT_OBS": -5.5, "DSUN_OBS": 7e10}
    found = placed(**cards)
    header = fits.Header({k: v for k, v in (AT_EARTH | cards).items() if v is not None})
    np.testing.assert_allclose([found.l0_deg, found.b0_deg, found.distance_rsun], stonyhurst(header))
    later = placed(**cards, DATE__OBS="2014-02-04T02:08:47")
    assert later.l0_deg - found.l0_deg == pytest.approx(13.2, abs=0.1)
    with pytest.raises(GeometryError, match=r"lacks a date.*CRLN_OBS"):
        placed(**cards, DATE__OBS=None)


def test_aias_ecliptic_position_goes_before_its_nominal_longitude():
    position = {"HAEX_OBS": -1.0299e11, "HAEY_OBS": 1.0534e11, "HAEZ_OBS": 1.5e7, "INSTRUME": "AIA_3"}
    found = placed(**position)
    expected = stonyhurst(
        fits.Header(AT_EARTH | position | {"TELESCOP": "SDO/AIA", "WAVELNTH": 171, "WAVEUNIT": "angstrom"})
    )
    np.testing.assert_allclose([found.l0_deg, found.b0_deg, found.distance_rsun], expected, atol=1e-6)
    assert abs(found.l0_deg) > 1e-4
    assert placed(**position | {"INSTRUME": "EUVI"}).l0_deg == 0.0


@pytest.mark.parametrize("frame", ["HEQ", "HAE", "HEE"])
def test_a_cartesian_position_is_the_observer_where_no_longitude_is(frame):
    x, y, z = 8e10, -6e10, 5e9
    found = placed(
        HGLN_OBS=None,
        HGLT_OBS=None,
        DSUN_OBS=None,
        **{f"{frame}X_OBS": x, f"{frame}Y_OBS": y, f"{frame}Z_OBS": z},
    )
    when = Time("2014-02-03T02:08:47")
    given = {
        "HEQ": HeliographicStonyhurst, "HAE": HeliocentricMeanEcliptic, "HEE": HeliocentricEarthEcliptic,
    }[frame](CartesianRepresentation([x, y, z] * u.m), obstime=when)  # fmt: skip
    there = SkyCoord(given).transform_to(HeliographicStonyhurst(obstime=when)).spherical
    assert found.l0_deg == pytest.approx(there.lon.wrap_at("180d").deg, abs=1e-6)
    assert found.b0_deg == pytest.approx(there.lat.deg, abs=1e-6)
    assert found.distance_rsun == pytest.approx(np.sqrt(x * x + y * y + z * z) / RSUN_M)


def test_eits_radius_in_pixels_is_the_radius_that_sunpy_has():
    eit = {"INSTRUME": "EIT", "TELESCOP": "SOHO", "SOLAR_R": 375.0, "WAVELNTH": 171, "CDELT1": 2.63, "CDELT2": 2.63,
           "HGLN_OBS": None, "HGLT_OBS": None, "DSUN_OBS": None,
           "HEC_X": -9.8e7, "HEC_Y": 1.07e8, "HEC_Z": 3e4}  # fmt: skip
    header = fits.Header({k: v for k, v in (AT_EARTH | eit).items() if v is not None})
    there = sunpy.map.Map(np.zeros((4, 4), np.float32), header)
    found = ImageGeometry.from_header(header)
    assert found.rsun_arcsec == pytest.approx(375.0 * 2.63)
    assert found.distance_rsun == pytest.approx((there.dsun / there.rsun_meters).to_value(""))
    assert found.l0_deg == pytest.approx(there.observer_coordinate.lon.to_value("deg"), abs=1e-6)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("TDT", "02:07:39.816"), ("TT", "02:07:39.816"), ("ET", "02:07:39.816"), ("IAT", "02:08:12"),
     ("GPS", "02:08:31"), ("GMT", "02:08:47"), ("UTC(NIST)", "02:08:47"), ("", "02:08:47")],
)  # fmt: skip
def test_times_in_other_scales_are_converted(scale, expected):
    header = fits.Header({"DATE-OBS": "2014-02-03T02:08:47", "TIMESYS": scale})
    assert abs((time_of(header) - Time(f"2014-02-03T{expected}")).to_value("s")) < 1e-3


@pytest.mark.parametrize("scale", ["LOCAL", "UT1", "MET"])
def test_a_time_scale_without_a_relation_to_utc_is_refused_by_name(scale):
    header = fits.Header({"DATE-OBS": "2014-02-03T02:08:47", "TIMESYS": scale})
    with pytest.raises(GeometryError, match=f"TIMESYS is '{scale}'.*DATE-OBS"):
        time_of(header)
    header["DATE-OBS"] += "Z"  # says its own
    assert time_of(header).isot == "2014-02-03T02:08:47.000"


def test_b0_of_many_times_is_an_array():
    times = Time(["2014-02-03T02:08:47", "2014-09-03T02:08:47"])
    np.testing.assert_allclose(solar_b0_deg(times), [solar_b0_deg(times[0]), solar_b0_deg(times[1])])
    assert isinstance(solar_b0_deg(times[0]), float)
    assert solar_b0_deg(times.reshape(2, 1)).shape == (2, 1)


def test_without_sunpy_the_error_names_it_for_a_header_that_its_sources_may_place(monkeypatch):
    header = fits.Header({k: v for k, v in AT_EARTH.items() if k[:5] != "CUNIT"} | {"INSTRUME": "EIT"})
    monkeypatch.setitem(sys.modules, "sunpy.map", None)
    with pytest.raises(
        GeometryError, match=r"lacks CUNIT1 or CUNIT2.*sunpy may know.*pip install 'solartrack\[sunpy"
    ):
        ImageGeometry.from_header(header)
    del header["INSTRUME"]
    with pytest.raises(GeometryError, match=r"lacks CUNIT1 or CUNIT2[^.]*give the disk"):
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


def test_metadata_of_a_sunpy_map_are_refused_with_the_header_to_take():
    meta = {"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"}
    with pytest.raises(TypeError, match=r"got dict; .*sunpy Maps have it as \.fits_header"):
        ImageGeometry.from_header(meta)


def test_the_shipped_spoca_map_whose_distance_is_in_quotes_is_read(shared):
    files = sorted((shared / "data").glob("**/*.ARMap.fits"))
    if not files:
        pytest.skip("no SPoCA map among the data")
    header = images.read_header(files[0]).header
    assert isinstance(header["DSUN_OBS"], str)
    assert observer(header).distance_m == pytest.approx(1.47084e11)
