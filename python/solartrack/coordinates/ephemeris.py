"""Where the Earth and an observer are, as seen from the Sun, from the ephemeris that astropy ships.

The definitions are sunpy's (Thompson 2006, A&A 449, 791; Archinal et al. 2011, Celest. Mech. Dyn. Astr. 109,
101), with which the tests compare them. Without sunpy's frames a position takes 0.5 ms instead of 20 ms,
and images with a Carrington longitude can be placed without the extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from solartrack._arrays import Float64Array

if TYPE_CHECKING:
    from astropy.time import Time

__all__ = ["Place", "earth", "place_from_carrington", "place_from_cartesian", "place_in_degrees"]

# Right ascension and declination of the solar north pole, the prime meridian at J2000.0 and the
# sidereal rotation rate of Carrington longitude.
_POLE_DEG = (286.13, 63.87)
_MERIDIAN_DEG = 84.176
_RATE_DEG_PER_DAY = 14.1844
_LIGHT_M_PER_DAY = 299792458.0 * 86400.0
# The light of the central meridian comes from the surface, not from the centre (IAU 2015 radius).
_SURFACE_M = 6.957e8


class Place(NamedTuple):
    """A position in heliographic Stonyhurst coordinates.

    Attributes
    ----------
    lon_deg, lat_deg : float or ndarray
        Degrees; longitude -180 to 180.
    distance_m : float or ndarray
        From the Sun's centre, metres.
    """

    lon_deg: Float64Array
    lat_deg: Float64Array
    distance_m: Float64Array


def earth(time: Time) -> Place:
    """Position of the Earth; the times may be an array.

    Parameters
    ----------
    time : astropy.time.Time

    Returns
    -------
    Place
        Of the shape of `time`. The longitude is 0, the latitude is B0.
    """
    sun_to_earth = _sun_to_earth(time)
    distance = np.linalg.norm(sun_to_earth, axis=-1)
    lat = np.degrees(np.arcsin(sun_to_earth @ _solar_axes()[2] / distance))
    return Place(np.zeros_like(distance), lat, distance)


def place_from_carrington(lon_deg: float, lat_deg: float, distance_m: float, time: Time) -> Place:
    """Position of an observer whose Carrington longitude is given, as that observer sees it.

    Parameters
    ----------
    lon_deg, lat_deg : float
        Carrington degrees, corrected for the light's way to the observer, as ``CRLN_OBS`` is.
    distance_m : float
        Of the observer, metres.
    time : astropy.time.Time

    Returns
    -------
    Place
    """
    from astropy.time import Time

    node, east, _ = _solar_axes()
    sun_to_earth = _sun_to_earth(time)
    earth_lon = np.degrees(np.arctan2(sun_to_earth @ east, sun_to_earth @ node))
    days = (time - Time("J2000.0", scale="tt")).to_value("day")
    days -= (distance_m - _SURFACE_M) / _LIGHT_M_PER_DAY
    meridian = _MERIDIAN_DEG + _RATE_DEG_PER_DAY * days  # Carrington's zero, from the node
    return place_in_degrees(lon_deg + meridian - earth_lon, lat_deg, distance_m)


def place_from_cartesian(frame: str, xyz_m: tuple[float, float, float], time: Time) -> Place:
    """Position of an observer given in heliocentric Cartesian coordinates.

    Parameters
    ----------
    frame : {"HEEQ", "HAE", "HEE"}
        Earth equatorial; Aries ecliptic, of J2000.0 as in sunpy; Earth ecliptic of date.
    xyz_m : tuple of float
        Metres.
    time : astropy.time.Time

    Returns
    -------
    Place
    """
    import erfa
    from astropy.time import Time

    xyz = np.asarray(xyz_m, dtype=np.float64)
    if frame != "HEEQ":
        equinox = Time("J2000.0", scale="tt") if frame == "HAE" else time.tt
        axes = np.asarray(erfa.ecm06(equinox.jd1, equinox.jd2))
        if (
            frame == "HEE"
        ):  # as sunpy: the x axis goes through the Earth, the plane of x and z through the pole
            axes = _towards(_sun_to_earth(time), axes[2])
        pole = _solar_axes()[2]
        east = np.cross(pole, _sun_to_earth(time))
        xyz = _towards(np.cross(east, pole), pole) @ (axes.T @ xyz)
    distance = float(np.linalg.norm(xyz))
    lon, lat = np.arctan2(xyz[1], xyz[0]), np.arcsin(xyz[2] / distance)
    return place_in_degrees(np.degrees(lon), np.degrees(lat), distance)


def place_in_degrees(lon_deg: float, lat_deg: float, distance_m: float) -> Place:
    """A position with its longitude wrapped to -180 to 180."""
    lon = (np.asarray(lon_deg, dtype=np.float64) + 180.0) % 360.0 - 180.0
    return Place(lon, np.asarray(lat_deg, np.float64), np.asarray(distance_m, np.float64))


def _sun_to_earth(time: Time) -> Float64Array:
    """Geometric vector from the Sun to the Earth, ICRS, metres, shape (..., 3)."""
    from astropy.coordinates import get_body_barycentric

    both = [
        get_body_barycentric(body, time, ephemeris="builtin").xyz.to_value("m") for body in ("earth", "sun")
    ]
    return np.moveaxis(both[0] - both[1], 0, -1)


def _towards(x: Float64Array, up: Float64Array) -> Float64Array:
    """Rows: unit vector along `x`, the one across it and `up`, and the third, which is nearest to `up`."""
    first, second = (v / np.linalg.norm(v) for v in (x, np.cross(up, x)))
    return np.array([first, second, np.cross(first, second)])


def _solar_axes() -> Float64Array:
    """Rows: ascending node of the solar equator on the ICRS equator, 90 degrees east of it, north pole."""
    ra, dec = np.radians(_POLE_DEG)
    pole = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    node = np.array([-np.sin(ra), np.cos(ra), 0.0])
    return np.array([node, np.cross(pole, node), pole])
