"""World coordinates of an image and the place it was taken from, by its header or else by sunpy."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from solartrack._optional import require
from solartrack.coordinates.ephemeris import (
    Place,
    earth,
    place_from_carrington,
    place_from_cartesian,
    place_in_degrees,
)
from solartrack.coordinates.header import (
    AU_M,
    NO_WCS,
    TIME_KEYS,
    Observer,
    axis_types,
    celestial_wcs,
    lacking_scale,
    number,
    observer,
    solar_radius_m,
    time_of,
)
from solartrack.errors import GeometryError

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.time import Time
    from astropy.wcs import WCS

__all__ = ["wcs_and_viewpoint"]

# CTYPE of coordinates that are known and not helioprojective gnomonic; sunpy cannot change them.
_CELESTIAL = re.compile(r"[A-Z]{2}L[NT]-[A-Z]{3}")
_INSTRUMENT_KEYS = ("INSTRUME", "TELESCOP", "OBSRVTRY", "DETECTOR", "OBSERVAT", "ORIGIN")


def wcs_and_viewpoint(header: Header) -> tuple[WCS, tuple[float, float, float]]:
    """World coordinates of a helioprojective image, and from where it was taken.

    Parameters
    ----------
    header : astropy.io.fits.Header
        If it lacks what only its instrument knows, sunpy's map sources are asked.

    Returns
    -------
    wcs : astropy.wcs.WCS
        Degrees, whatever ``CUNIT`` says; gnomonic.
    viewpoint : (float, float, float)
        Stonyhurst longitude and B0 in degrees, distance in solar radii.

    Raises
    ------
    GeometryError
        If cards are missing, cannot be read, contradict each other or do not describe such an image.
    """
    if lacking := _lacking(header):
        return _placed_by_sunpy(header, lacking)
    return _helioprojective_wcs(header), _viewpoint(header)


def _lacking(header: Header) -> str:
    """What `ImageGeometry` needs and the header alone does not tell; "" if nothing."""
    types = axis_types(header)
    if types != ("HPLN-TAN", "HPLT-TAN") and all(_CELESTIAL.match(kind) for kind in types):
        raise GeometryError(
            f"the image must be helioprojective (CTYPE HPLN-TAN, HPLT-TAN), got {types[0]!r}, "
            f"{types[1]!r}; reproject it first, for example with sunpy"
        )
    missing = [key for key in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2") if number(header, key) is None]
    missing += lacking_scale(header)
    if missing:
        return f"the header lacks {', '.join(missing)}, so nothing tells where the Sun is"
    if types != ("HPLN-TAN", "HPLT-TAN"):
        return f"the image must be helioprojective (CTYPE HPLN-TAN, HPLT-TAN), got {types[0]!r}, {types[1]!r}"
    if not all(str(header.get(key, "")).strip() for key in ("CUNIT1", "CUNIT2")):
        return "the header lacks CUNIT1 or CUNIT2, so the pixel scale is unknown"
    return ""


def _helioprojective_wcs(header: Header) -> WCS:
    """World coordinates of a helioprojective image; an error for anything `ImageGeometry` cannot hold."""
    wcs = celestial_wcs(header)
    if abs(wcs.wcs.lonpole - 180.0) > 1e-9 or wcs.sip is not None:
        raise GeometryError("LONPOLE other than 180 and distortion tables are not supported")
    return wcs


def _placed_by_sunpy(header: Header, lacking: str) -> tuple[WCS, tuple[float, float, float]]:
    """World coordinates and viewpoint as the sunpy map source of the header's instrument gives them."""
    cure = "; give the disk (centre, radius, B0) instead"
    if why := header.get(NO_WCS):
        raise GeometryError(f"nothing tells where the Sun is: {why}{cure}")
    instrument = next((v for key in _INSTRUMENT_KEYS if (v := str(header.get(key, "")).strip())), "")
    if not instrument:  # no source can know it
        raise GeometryError(f"{lacking}{cure}")
    try:
        maps = require("sunpy.map", extra="sunpy", purpose=f"placing images of {instrument}")
    except ImportError as error:
        raise GeometryError(f"{lacking}. sunpy may know this instrument: {error}") from error
    pixels = np.broadcast_to(np.float32(0), (int(header.get("NAXIS2", 1)), int(header.get("NAXIS1", 1))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = maps.Map(pixels, header)
            if type(found) is maps.GenericMap:  # would assume what is missing
                raise GeometryError(f"{lacking}, and sunpy does not know {instrument}{cure}")
            wcs = found.wcs
            seen = found.observer_coordinate
            viewpoint = seen.lon.to_value("deg"), seen.lat.to_value("deg")
            distance = (seen.radius / found.rsun_meters).to_value("")
        except GeometryError:
            raise
        except Exception as error:  # sunpy validates in many ways
            why = str(error).strip().partition("\n")[0]
            raise GeometryError(f"{lacking}, and sunpy cannot place {instrument} ({why}){cure}") from error
    _refuse_what_sunpy_passes_over(header, wcs, type(found).__name__)
    return wcs, (*viewpoint, distance)


def _refuse_what_sunpy_passes_over(header: Header, wcs: WCS, source: str) -> None:
    """An error if the source did not follow the header's own matrix, as when rows were flipped in reading."""
    types = tuple(wcs.wcs.ctype)
    if types != ("HPLN-TAN", "HPLT-TAN"):
        raise GeometryError(f"the image must be helioprojective (CTYPE HPLN-TAN, HPLT-TAN), got {types}")
    own = np.eye(2)
    for i, j in np.ndindex(2, 2):
        if (value := number(header, f"PC{i + 1}_{j + 1}")) is not None:
            own[i, j] = value
    scales = [number(header, key) or 1.0 for key in ("CDELT1", "CDELT2")]
    if np.linalg.det(own) * np.prod(scales) * np.linalg.det(wcs.pixel_scale_matrix) <= 0.0:
        raise GeometryError(f"the image is mirrored, which sunpy's {source} does not take into account")


def _viewpoint(header: Header) -> tuple[float, float, float]:
    """Stonyhurst longitude and B0 in degrees, distance in solar radii."""
    said = observer(header)
    time = time_of(header, date_only=True)
    place = _stonyhurst(said, header, time)
    return float(place.lon_deg), float(place.lat_deg), float(place.distance_m) / solar_radius_m(header)


def _stonyhurst(said: Observer, header: Header, time: Time | None) -> Place:
    """Where the observer is, with the Earth's latitude and distance where the header has none."""

    def at(missing: str) -> Time:
        if time is not None:
            return time
        unreadable = [f"{key} {header[key]!r} is not a date" for key in TIME_KEYS if header.get(key)]
        raise GeometryError(
            f"the header lacks {missing}" + (f" ({', '.join(unreadable)})" if unreadable else "")
        )

    if said.position is not None:
        when = at(f"a date, which the position of the observer in {said.position.frame} needs")
        return place_from_cartesian(*said.position, when)
    lat, distance_m = said.lat_deg, said.distance_m
    if lat is None:
        lat = float(earth(at("B0 (HGLT_OBS, CRLT_OBS) and a date to compute it from")).lat_deg)
    if distance_m is None:
        when = at("the distance (DSUN_OBS, RSUN_OBS) and a date to compute it from")
        distance_m = float(earth(when).distance_m)
    if said.lon_deg is not None:
        return place_in_degrees(said.lon_deg, lat, distance_m)
    if said.carrington_lon_deg is not None:
        when = at("a date, which the observer's Carrington longitude (CRLN_OBS) needs")
        return place_from_carrington(said.carrington_lon_deg, lat, distance_m, when)
    _refuse_elsewhere(lat, distance_m)
    return place_in_degrees(0.0, lat, distance_m)


def _refuse_elsewhere(lat_deg: float, distance_m: float) -> None:
    """An error unless an observer without a longitude is where the Earth can be at some time of the year."""
    near = abs(lat_deg) <= 7.25 + 1.0 and 0.95 <= distance_m / AU_M <= 1.05
    if not near:
        raise GeometryError(
            f"the header puts the observer at latitude {lat_deg:.2f} degrees and {distance_m / AU_M:.3f} au, "
            "which is not where the Earth is, and lacks the longitude (HGLN_OBS or CRLN_OBS); add it"
        )
