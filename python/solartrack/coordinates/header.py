"""What the header of a solar image says: time, observer, solar radius, world coordinates, plate scale.

This is the only place that reads these facts, for FITS files and for JP2 files, whose XML becomes a
FITS header on reading. Each function answers with what the header itself says, or None; what to assume
where it is silent is up to the caller.
"""

from __future__ import annotations

import math
import re
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.errors import GeometryError

if TYPE_CHECKING:
    from astropy.io.fits import Header
    from astropy.time import Time
    from astropy.wcs import WCS

#: Photospheric radius and astronomical unit, metres (IAU 2015 resolution B3; IAU 2012 B2).
RSUN_M = 6.957e8
AU_M = 1.495978707e11

#: Keywords that may hold the time of an image, best first: the middle of the exposure before its start.
TIME_KEYS = ("DATE-AVG", "T_OBS", "DATE-OBS", "DATE_OBS", "DATE-BEG", "T_REC")

_DATE_TEXT = re.compile(r"(\d{4})[-./](\d\d)[-./](\d\d)", re.ASCII)
_TIME_TEXT = re.compile(
    _DATE_TEXT.pattern + r"[T_ ](\d\d):(\d\d)(?::(\d\d(?:\.\d*)?))?_?(Z|TAI|UTC|UT|TT)?", re.ASCII
)

# Heliographic longitude and latitude of the observer: Stonyhurst, Carrington.
_OBSERVER_KEYS = (("HGLN_OBS", "HGLT_OBS"), ("CRLN_OBS", "CRLT_OBS"))


def number(header: Header, key: str) -> float | None:
    """The finite number on a card.

    Parameters
    ----------
    header : astropy.io.fits.Header
    key : str

    Returns
    -------
    float or None
        None if the card is missing or holds no finite number. A number in quotes counts: some programs
        write ``DSUN_OBS= '1.47084e+11'``.
    """
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


# -- time --------------------------------------------------------------------------


def time_of(header: Header, *, date_only: bool = False) -> Time | None:
    """When the image was taken.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The first of `TIME_KEYS` that can be read counts. ``TIMESYS`` names the time scale, unless the
        value ends in its own (``Z``, ``UTC``, ``UT``, ``TAI`` or ``TT``). A date alone is completed from
        ``TIME-OBS`` or ``TIME_OBS``, as in older files.
    date_only : bool
        Whether a date without a time of day will do; it is taken at midnight, UTC.

    Returns
    -------
    astropy.time.Time or None
        UTC; None if no keyword holds a time.
    """
    for key in TIME_KEYS:
        if (time := _time_on(header, key)) is not None:
            return time
    for key in TIME_KEYS if date_only else ():
        if match := _DATE_TEXT.fullmatch(str(header.get(key, "")).strip()):
            time = as_utc("-".join(match.groups()) + "T00:00:00", "utc")
            if time is not None:
                return time
    return None


def _time_on(header: Header, key: str) -> Time | None:
    """The time on one card, UTC."""
    text = str(header.get(key, "")).strip()
    if ":" not in text:  # a date alone
        clock = header.get("TIME-OBS", header.get("TIME_OBS", ""))
        text = f"{text}T{str(clock).strip()}"
    match = _TIME_TEXT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, suffix = match.groups()
    scale = suffix or str(header.get("TIMESYS", "UTC")).strip()
    return as_utc(f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}", scale)


def as_utc(text: str, scale: str) -> Time | None:
    """UTC of an ISO 8601 time in a time scale; None if there is no such date.

    Parameters
    ----------
    text : str
        Such as ``2014-02-03T02:08:47.34``.
    scale : str
        One of astropy's, in either case. Anything else, such as ``Z``, counts as UTC.
    """
    from astropy.time import Time

    scale = scale.lower()
    try:
        return Time(text, format="isot", scale=scale if scale in Time.SCALES else "utc").utc
    except ValueError:  # month 13 and the like
        return None


# -- observer ----------------------------------------------------------------------


class Observer(NamedTuple):
    """Where an image was taken from, as far as its header says.

    Attributes
    ----------
    lat_deg : float or None
        Heliographic latitude, B0.
    lon_deg : float or None
        Stonyhurst longitude.
    carrington_lon_deg : float or None
        Carrington longitude.
    distance_m : float or None
        Distance from the Sun's centre, metres.
    """

    lat_deg: float | None
    lon_deg: float | None
    carrington_lon_deg: float | None
    distance_m: float | None


def observer(header: Header) -> Observer:
    """Where an image was taken from.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Longitudes are ``HGLN_OBS`` and ``CRLN_OBS``. The latitude is ``HGLT_OBS``, ``CRLT_OBS`` or
        ``SOLAR_B0``; one whose longitude is also there goes first. The distance is ``DSUN_OBS``, or
        follows from the angular radius ``RSUN_OBS``; zero means unknown.

    Returns
    -------
    Observer
        None for what the header does not say.

    References
    ----------
    Thompson 2006, A&A 449, 791, section 2.1.
    """
    paired = [lat for lon, lat in _OBSERVER_KEYS if number(header, lon) is not None]
    latitudes = (number(header, key) for key in (*paired, "HGLT_OBS", "CRLT_OBS", "SOLAR_B0"))
    distance_m = number(header, "DSUN_OBS") or None
    if distance_m is None and (rsun_arcsec := number(header, "RSUN_OBS")):
        # Not SOLAR_R, which is in pixels in EIT headers.
        distance_m = solar_radius_m(header) / math.sin(math.radians(rsun_arcsec / 3600.0))
    return Observer(
        next((value for value in latitudes if value is not None), None),
        number(header, "HGLN_OBS"),
        number(header, "CRLN_OBS"),
        distance_m,
    )


def solar_radius_m(header: Header) -> float:
    """Radius of the photosphere that the header's other numbers assume, metres.

    Returns
    -------
    float
        ``RSUN_REF``, or `RSUN_M` if that is missing or zero.
    """
    return number(header, "RSUN_REF") or RSUN_M


# -- world coordinates -------------------------------------------------------------


def axis_types(header: Header) -> tuple[str, str]:
    """``CTYPE1`` and ``CTYPE2`` in capitals, "" where missing.

    SOHO's and older ``SOLAR-X``, ``SOLAR-Y`` are given as what they mean: ``HPLN-TAN``, ``HPLT-TAN``.
    """
    first, second = (str(header.get(key, "")).strip().upper() for key in ("CTYPE1", "CTYPE2"))
    if first.startswith("SOLAR") and second.startswith("SOLAR"):
        return "HPLN-TAN", "HPLT-TAN"
    return first, second


def celestial_wcs(header: Header) -> WCS:
    """World coordinates of the two celestial axes of an image.

    Parameters
    ----------
    header : astropy.io.fits.Header

    Returns
    -------
    astropy.wcs.WCS
        Degrees, whatever ``CUNIT`` says.

    Raises
    ------
    GeometryError
        If they cannot be read, or the header has no two celestial axes.
    """
    from astropy.wcs import WCS, FITSFixedWarning

    types = axis_types(header)
    if str(header.get("CTYPE1", "")).upper().startswith("SOLAR") and types[0] == "HPLN-TAN":
        header = header.copy()
        header["CTYPE1"], header["CTYPE2"] = types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(header).celestial
        except Exception as error:  # wcslib has many error classes
            raise GeometryError(f"the header's world coordinates cannot be read: {error}") from error
    if wcs.pixel_n_dim != 2:
        raise GeometryError(f"the header has no two celestial axes, but {types[0]!r} and {types[1]!r}")
    return wcs


def pixel_mm(header: Header) -> Float64Array:
    """Sides of a pixel on the Sun.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of a cylindrical equal-area map (CEA), such as SHARP's, whose pixels lie on the photosphere; or
        of a helioprojective image (TAN), whose pixels are taken across the line of sight, at the Sun's
        distance.

    Returns
    -------
    ndarray of float64, shape (2,)
        Megametres along columns and rows, ``(x, y)``.

    Raises
    ------
    GeometryError
        If the header lacks ``CTYPEi``, or ``CUNITi`` in an image, or has another projection.
    """
    from astropy.wcs.utils import proj_plane_pixel_scales

    missing = [key for key in ("CTYPE1", "CTYPE2") if not header.get(key)]
    if missing:
        raise GeometryError(
            "nothing tells the side of a pixel: the header has no world coordinates "
            f"(lacks {', '.join(missing)})"
        )
    radians = np.radians(proj_plane_pixel_scales(celestial_wcs(header)))
    types = axis_types(header)
    kinds = {kind[-4:] for kind in types}
    if kinds == {"-CEA"}:
        return np.asarray(radians * solar_radius_m(header) * 1e-6)
    if kinds == {"-TAN"}:
        # The standard's default is degrees, but writers who leave the unit out most often mean arcsec.
        lacking = [key for key in ("CUNIT1", "CUNIT2") if not str(header.get(key, "")).strip()]
        if lacking:
            raise GeometryError(
                f"the header lacks {', '.join(lacking)}, so the side of a pixel is unknown; "
                "add the unit, such as 'arcsec'"
            )
        return np.asarray(radians * mm_per_radian(header))
    raise GeometryError(
        f"the map must be helioprojective (TAN) or equal-area (CEA), got {types[0]}, {types[1]}; "
        "reproject it first"
    )


def mm_per_radian(header: Header) -> float:
    """Arc length at the Sun's distance that an angle of one radian spans on the sky, megametres.

    The scale is that of the photosphere's angular radius: ``RSUN_REF`` over the angle it is seen under.

    Returns
    -------
    float
        For one astronomical unit if the header does not say how far the Sun is.
    """
    distance_m = observer(header).distance_m
    if distance_m is None:
        return AU_M * 1e-6
    rsun_m = solar_radius_m(header)
    return rsun_m * 1e-6 / float(np.arcsin(rsun_m / distance_m))
