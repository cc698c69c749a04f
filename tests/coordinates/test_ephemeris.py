import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import CartesianRepresentation, HeliocentricMeanEcliptic, SkyCoord
from astropy.time import Time
from sunpy.coordinates import frames, get_earth

from solartrack.coordinates.ephemeris import earth, place_from_carrington, place_from_cartesian

TIMES = ["1996-05-11T19:00:00", "2011-04-02T20:48:00", "2022-04-01T00:00:45", "2024-08-30T06:00:00"]


def assert_same_place(place, coordinate):
    assert place.lon_deg == pytest.approx(coordinate.lon.to_value("deg"), abs=1e-6)
    assert place.lat_deg == pytest.approx(coordinate.lat.to_value("deg"), abs=1e-6)
    assert place.distance_m == pytest.approx(coordinate.radius.to_value("m"), rel=1e-9)


@pytest.mark.parametrize("when", TIMES)
def test_the_earth_is_where_sunpy_has_it(when):
    assert_same_place(earth(Time(when)), get_earth(when))


def test_positions_of_many_times_are_those_of_each():
    places = earth(Time(TIMES))
    assert places.lat_deg.shape == (4,)
    for i, when in enumerate(TIMES):
        assert places.lat_deg[i] == pytest.approx(earth(Time(when)).lat_deg, abs=1e-12)


@pytest.mark.parametrize("when", TIMES)
@pytest.mark.parametrize("distance_au", [0.07, 0.99, 1.5])
def test_a_carrington_longitude_is_converted_as_sunpy_does(when, distance_au):
    distance_m = (distance_au * u.AU).to_value("m")
    seen = SkyCoord(
        200.0 * u.deg, 5.0 * u.deg, distance_m * u.m,
        frame=frames.HeliographicCarrington(obstime=when, observer="self"),
    )  # fmt: skip
    expected = seen.transform_to(frames.HeliographicStonyhurst(obstime=when))
    assert_same_place(place_from_carrington(200.0, 5.0, distance_m, Time(when)), expected)


@pytest.mark.parametrize("when", TIMES)
@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("HEEQ", frames.HeliographicStonyhurst),
        ("HAE", HeliocentricMeanEcliptic),
        ("HEE", frames.HeliocentricEarthEcliptic),
    ],
)
def test_cartesian_positions_are_converted_as_sunpy_does(when, name, frame):
    xyz = np.array([-6.1e10, 8.2e10, 1.3e10])
    given = frame(CartesianRepresentation(xyz * u.m), obstime=when)
    expected = SkyCoord(given).transform_to(frames.HeliographicStonyhurst(obstime=when))
    assert_same_place(place_from_cartesian(name, tuple(xyz), Time(when)), expected)
