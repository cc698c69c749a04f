"""Pixel sides and mu of maps whose headers or arguments are easily misread."""

import os
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from solartrack import features
from solartrack.coordinates import header as headers
from solartrack.errors import GeometryError, ImageWarning

SHARP = "data/hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI.{}.fits"


@pytest.fixture
def sharp(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # the card R_VALUE = nan
        yield lambda segment: shared / SHARP.format(segment)


# -- an angle as the side of a pixel -------------------------------------------------


def test_degrees_of_an_equal_area_map_are_degrees_on_the_sun(sharp):
    segments = [sharp(name) for name in ("Br", "bitmap", "conf_disambig")]
    expected = features.usflux(*segments)
    for pixel in (0.03 * u.deg, 0.03 * u.deg / u.pix, (0.03 * u.deg).to(u.rad)):
        # JSOC goes through angles on the sky, which makes 8e-6.
        assert features.usflux(*segments, pixel=pixel).value == pytest.approx(expected.value, rel=1e-5)
    corrected = features.physical(sharp("magnetogram"), pixel=0.03 * u.deg, foreshortening=True)
    plain = features.physical(sharp("magnetogram"), foreshortening=True)
    assert corrected.flux_unsigned.value == pytest.approx(plain.flux_unsigned.value, rel=1e-6)


def test_arcseconds_of_an_equal_area_map_are_refused(sharp):
    with pytest.raises(ValueError, match=r"degrees on the Sun; give pixel= in degrees .* got 0.5 arcsec"):
        features.r_value(sharp("Br"), pixel=0.5 * u.arcsec)


@pytest.mark.parametrize("function", [features.physical, features.r_value, features.wlsg])
def test_degrees_on_the_sky_that_hide_a_whole_region_are_refused(function):
    with pytest.raises(ValueError, match=r"pixel=0.03 deg is taken as an angle on the sky.*wcs="):
        function(np.ones((5, 5)), pixel=0.03 * u.deg)
    function(np.ones((5, 5)), pixel=(0.5 / 3600) * u.deg)


# -- synoptic maps -------------------------------------------------------------------


def synoptic(name):
    data = pytest.importorskip("sunpy.data.test")
    path = os.path.join(os.path.dirname(data.__file__), f"{name}_synoptic.header")
    return fits.Header.fromtextfile(path)


@pytest.mark.parametrize("name", ["gong", "hmi", "mdi"])
def test_pixels_of_synoptic_maps_have_the_sides_of_sunpys_map_sources(name):
    sunpy_map = pytest.importorskip("sunpy.map")
    header = synoptic(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scale = sunpy_map.Map(np.ones((header["NAXIS2"], header["NAXIS1"])), header).scale
    expected = np.radians([abs(side.to_value("deg / pix")) for side in scale]) * headers.RSUN_M * 1e-6
    assert headers.pixel_mm(header) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["gong", "hmi"])
def test_flux_of_a_uniform_synoptic_map_is_that_of_the_sphere(name):
    header = synoptic(name)
    field = np.full((header["NAXIS2"], header["NAXIS1"]), 10.0)
    sphere = 4 * np.pi * (headers.RSUN_M * 100) ** 2
    got = features.physical(field, wcs=header).flux_positive.value
    assert got == pytest.approx(10.0 * sphere, rel=1e-3)


def test_part_of_a_gong_map_has_the_latitudes_of_the_whole():
    header = synoptic("gong")
    part = header.copy()
    part["NAXIS2"], part["CRPIX2"], part["CRVAL2"] = 20, 1.0, 0.5  # the sine of 30 degrees
    assert headers.pixel_mm(part) == pytest.approx(headers.pixel_mm(header))
    assert headers.celestial_wcs(part).wcs_pix2world([[0, 0]], 0)[0, 1] == pytest.approx(30.0)
    whole = headers.celestial_wcs(header).wcs_pix2world([[0, 89.5 + 0.5 / header["CDELT2"]]], 0)
    assert whole[0, 1] == pytest.approx(30.0)


def cea_header(**more):
    cards = {"CTYPE1": "CRLN-CEA", "CTYPE2": "CRLT-CEA", "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"CDELT1": 0.03, "CDELT2": 0.03, "CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": 0.0, "CRVAL2": 0.0}
    return fits.Header({k: v for k, v in (cards | more).items() if v is not None})


def test_equal_area_map_without_the_unit_of_its_rows_is_refused_by_name():
    with pytest.raises(
        GeometryError, match="lacks CUNIT2, so the height of a pixel is unknown; add 'deg', or"
    ):
        headers.pixel_mm(cea_header(CUNIT2=None))


@pytest.mark.parametrize("unit", ["Degree", "degrees", "DEG", "deg"])
def test_units_of_angles_are_read_in_any_spelling(unit):
    header = cea_header(CUNIT1=unit, CUNIT2=unit)
    assert headers.pixel_mm(header) == pytest.approx(headers.pixel_mm(cea_header()))


@pytest.mark.parametrize("unit", ["Sine of something", "m", "flurbs"])
def test_units_that_are_no_angle_are_refused_in_our_words(unit):
    with pytest.raises(
        GeometryError, match=f"the header's CUNIT2 '{unit}' is no angle; correct it"
    ) as caught:
        headers.pixel_mm(cea_header(CUNIT2=unit))
    assert "wcs" not in str(caught.value)


def test_a_reason_of_the_wcs_library_comes_without_its_source_lines():
    with pytest.raises(GeometryError, match=r"cannot be read: Inconsistent projection types") as caught:
        headers.pixel_mm(cea_header(CTYPE2="CRLN-CEA"))
    assert "cextern" not in str(caught.value) and "\n" not in str(caught.value)


# -- a radial field is not divided by mu again ----------------------------------------


def test_radial_field_of_jsoc_is_not_divided_by_mu_again(sharp):
    with pytest.raises(ValueError, match=r"the file name '.*\.Br\.fits' says Br; leave it out"):
        features.physical(sharp("Br"), radial=True)
    with pytest.raises(ValueError, match="is the segment 'Bp'"):
        features.physical(sharp("Bp"), radial=True)
    features.physical(sharp("magnetogram"), radial=True)


@pytest.mark.parametrize(
    "cards",
    [
        {"CONTENT": "Carrington Synoptic Chart Of Br Field"},
        {"CONTENT": "Carrington Synoptic Chart Of Mr Field"},
        {"SEGMENT": "Br"},
        {"EXTNAME": "BR"},
        {"CONTENT": "radial magnetic field"},
    ],
)
def test_header_that_says_radial_is_noticed(cards, tmp_path):
    field, header = np.full((5, 5), 100.0), fits.Header(cards)
    file = tmp_path / "patch.fits"
    fits.PrimaryHDU(field, header).writeto(file)
    given = {"pixel": 1 * u.Mm, "mu": 0.5}
    with pytest.raises(ValueError, match=r"radial=True is for line-of-sight fields, but the .* says"):
        features.physical(file, radial=True, **given)
    with pytest.raises(ValueError, match="radial=True is for line-of-sight fields"):
        features.physical(field, wcs=header, radial=True, **given)
    assert features.physical(file, **given).flux_unsigned.value == pytest.approx(25 * 100e16)


def test_words_that_only_contain_the_name_of_a_component_are_no_reason(tmp_path):
    file = tmp_path / "breadth.2017.fits"
    fits.PrimaryHDU(np.ones((5, 5)), fits.Header({"CONTENT": "HMI observable"})).writeto(file)
    features.physical(file, pixel=1 * u.Mm, mu=0.5, radial=True)
