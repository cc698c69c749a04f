"""What the header of a solar image says: time, observer, solar radius, world coordinates, plate scale.

This is the only place that reads these facts, for FITS files and for JP2 files, whose XML becomes a
FITS header on reading. Each function answers with what the header itself says, or None; what to assume
where it is silent is up to the caller. A card that is there but cannot be read, or cannot be true, is an
error that names it: a default in its place would be a wrong answer.
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

# Astropy's names for the time scales that FITS and solar archives use (FITS standard 4.0, table 30).
_SCALES = {
    "": "utc", "Z": "utc", "UTC": "utc", "UT": "utc", "GMT": "utc", "TAI": "tai", "IAT": "tai", "TT": "tt",
    "TDT": "tt", "ET": "tt", "TDB": "tdb", "TCG": "tcg", "TCB": "tcb", "GPS": "tai",
}  # fmt: skip
_GPS_BEHIND_TAI_S = 19.0

# Heliographic longitude and latitude of the observer: Stonyhurst, Carrington.
_OBSERVER_KEYS = (("HGLN_OBS", "HGLT_OBS"), ("CRLN_OBS", "CRLT_OBS"))
# Cartesian positions of the observer, with the metres of their unit.
_POSITION_KEYS = (
    ("HAE", ("HEC_X", "HEC_Y", "HEC_Z"), 1e3),
    ("HEEQ", ("HEQX_OBS", "HEQY_OBS", "HEQZ_OBS"), 1.0),
    ("HAE", ("HAEX_OBS", "HAEY_OBS", "HAEZ_OBS"), 1.0),
    ("HEE", ("HEEX_OBS", "HEEY_OBS", "HEEZ_OBS"), 1.0),
)
# Instruments whose longitudes are nominal (AIA's HGLN_OBS is always 0), but whose ecliptic positions are not.
_POSITION_FIRST = ("AIA", "EIT")

_NUMBER_TEXT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[ED][+-]?\d+)?", re.ASCII | re.IGNORECASE)
#: Cards of world coordinates that hold numbers, of any axis and letter.
WCS_NUMBER = re.compile(
    r"(?:C(?:RVAL|RPIX|DELT|RDER|SYER)\d|(?:PC|CD|PV)\d_\d+|LONPOLE|LATPOLE)[A-Z]?|CROTA\d?"
)
# The primary world coordinates of an image's two axes.
_IMAGE_WCS = re.compile(
    r"(?:CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|NAXIS|CPDIS|D2IMDIS)[12]|(?:PC|CD)[12]_[12]|P[VS][12]_\d+"
    r"|LONPOLE|LATPOLE|RADESYS|EQUINOX|[AB]P?_(?:ORDER|DMAX|\d+_\d+)"
)
#: Card that says why `solartrack.images` left out the world coordinates of a file.
NO_WCS = "NO_WCS"


def says_where(keyword: str) -> bool:
    """Whether a card belongs to the world coordinates or to the observer, and should hold a number."""
    return keyword in _PLACE_KEYS or bool(WCS_NUMBER.fullmatch(keyword) and keyword[:5] not in _ERROR_KEYS)


_ERROR_KEYS = ("CRDER", "CSYER")  # of the coordinates; JSOC writes nan
_PLACE_KEYS = frozenset(
    [key for pair in _OBSERVER_KEYS for key in pair]
    + [key for _, keys, _ in _POSITION_KEYS for key in keys]
    + ["SOLAR_B0", "SOLAR_R", "DSUN_OBS", "RSUN_OBS", "RSUN_REF"]
)


def as_number(value: object) -> float | None:
    """A finite number, also as text and with the exponent D that FITS allows; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 80 or not _NUMBER_TEXT.fullmatch(text):
            return None
        value = text.upper().replace("D", "E")
    elif isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return None
    try:
        found = float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError, TypeError):
        return None
    return found if math.isfinite(found) else None


def number(header: Header, key: str) -> float | None:
    """The number on a card.

    Parameters
    ----------
    header : astropy.io.fits.Header
    key : str

    Returns
    -------
    float or None
        None if the card is missing or blank. A number in quotes counts: some programs write
        ``DSUN_OBS= '1.47084e+11'``. So does the exponent D.

    Raises
    ------
    GeometryError
        If the card holds anything else, such as ``nan``, ``MISSING`` or ``180,01``.
    """
    value = header.get(key)
    if value is None or str(value).strip() == "" or type(value).__name__ == "Undefined":
        return None
    found = as_number(value)
    if found is None:
        raise GeometryError(
            f"the header's {key} is {value!r}, which is no number; correct the card, "
            "or delete it if the value is not known"
        )
    return found


def wavelength_angstrom(header: Header) -> float | None:
    """Wavelength of the image, angstrom; None if the header does not say."""
    value = as_number(header.get("WAVELNTH"))
    if value is None or str(header.get("WAVEUNIT", "")).strip().lower() != "nm":
        return value
    return 10.0 * value


# -- time --------------------------------------------------------------------------


def time_of(header: Header, *, date_only: bool = False) -> Time | None:
    """When the image was taken.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The first of `TIME_KEYS` that can be read counts. ``TIMESYS`` names the time scale, unless the
        value ends in its own (``Z``, ``UTC``, ``UT``, ``TAI`` or ``TT``). A date alone is completed from
        ``TIME-OBS`` or ``TIME_OBS``, as in older files. Ephemeris time counts as TT, GMT as UTC.
    date_only : bool
        Whether a date without a time of day will do; it is taken at midnight, UTC.

    Returns
    -------
    astropy.time.Time or None
        UTC; None if no keyword holds a time.

    Raises
    ------
    GeometryError
        If ``TIMESYS`` names a time scale without a relation to UTC, such as ``LOCAL``.
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
    scale = suffix or str(header.get("TIMESYS", "")).partition("(")[0].strip().upper()
    if not scale[:1].isalpha():  # MDI's 1979.00, an epoch
        scale = ""
    if scale not in _SCALES:
        raise GeometryError(
            f"the header's TIMESYS is {scale!r}, a time scale that cannot be converted to UTC, so {key} "
            f"{text!r} is no known time; correct the card (known: {', '.join(filter(None, _SCALES))}), "
            "or give the time yourself"
        )
    return as_utc(f"{year}-{month}-{day}T{hour}:{minute}:{second or '00'}", scale)


def as_utc(text: str, scale: str) -> Time | None:
    """UTC of an ISO 8601 time in a time scale; None if there is no such date.

    Parameters
    ----------
    text : str
        Such as ``2014-02-03T02:08:47.34``.
    scale : str
        One that FITS names, or GPS, in either case.
    """
    from astropy.time import Time, TimeDelta

    name = scale.upper()
    try:
        time = Time(text, format="isot", scale=_SCALES[name])
        return (time + TimeDelta(_GPS_BEHIND_TAI_S, format="sec") if name == "GPS" else time).utc
    except ValueError:  # month 13 and the like
        return None


# -- observer ----------------------------------------------------------------------


class Position(NamedTuple):
    """A heliocentric Cartesian position.

    Attributes
    ----------
    frame : {"HAE", "HEEQ", "HEE"}
        Aries ecliptic, Earth equatorial, Earth ecliptic.
    xyz_m : tuple of float
        Metres.
    """

    frame: str
    xyz_m: tuple[float, float, float]


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
    position : Position or None
        Cartesian position, where it says more than the longitudes.
    """

    lat_deg: float | None
    lon_deg: float | None
    carrington_lon_deg: float | None
    distance_m: float | None
    position: Position | None = None


def observer(header: Header) -> Observer:
    """Where an image was taken from.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Longitudes are ``HGLN_OBS`` and ``CRLN_OBS``. The latitude is ``HGLT_OBS``, ``CRLT_OBS`` or
        ``SOLAR_B0``; one whose longitude is also there goes first. The distance is ``DSUN_OBS``, or that
        of the position, or follows from the angular radius ``RSUN_OBS``; zero means unknown. The
        position is the first of ``HEC_X`` (km), ``HEQX_OBS``, ``HAEX_OBS`` and ``HEEX_OBS`` (m) with their
        y and z. It is left out where the header has a longitude, except for AIA and EIT, whose
        longitudes are nominal. Lengths are in kilometres if ``RSUN_REF`` is.

    Returns
    -------
    Observer
        None for what the header does not say.

    Raises
    ------
    GeometryError
        If a card holds no number, or the distance is in no place for an observer of the Sun, as when it
        is given in kilometres.

    References
    ----------
    Thompson 2006, A&A 449, 791, section 2.1.
    """
    paired = [lat for lon, lat in _OBSERVER_KEYS if number(header, lon) is not None]
    latitudes = (number(header, key) for key in (*paired, "HGLT_OBS", "CRLT_OBS", "SOLAR_B0"))
    latitude = next((value for value in latitudes if value is not None), None)
    if latitude is not None and abs(latitude) > 90.0:
        raise GeometryError(f"the observer's latitude must be -90 to 90 degrees, the header says {latitude}")
    position = _position(header)
    return Observer(
        latitude,
        number(header, "HGLN_OBS"),
        number(header, "CRLN_OBS"),
        _distance_m(header, position),
        position,
    )


def _position(header: Header) -> Position | None:
    """The Cartesian position, where there is no longitude or it is better than the longitude."""
    better = str(header.get("INSTRUME", "")).strip().upper().startswith(_POSITION_FIRST)
    if not better and any(number(header, key) is not None for key, _ in _OBSERVER_KEYS):
        return None
    for frame, keys, metres in _POSITION_KEYS:
        x, y, z = (number(header, key) for key in keys)
        if x is None or y is None or z is None or not (x or y or z):
            continue
        unit = max(metres, _length_unit_m(header))
        xyz = (x * unit, y * unit, z * unit)
        _check_distance(math.hypot(*xyz), keys[0], f"in {'m' if unit == 1.0 else 'km'}")
        return Position(frame, xyz)
    return None


def _distance_m(header: Header, position: Position | None) -> float | None:
    if (said := _dsun_obs_m(header)) is not None:
        return said
    if position is not None:
        return math.hypot(*position.xyz_m)
    if arcsec := number(header, "RSUN_OBS"):
        rsun_m = _rsun_ref_m(header) or RSUN_M
        distance_m = rsun_m / math.sin(math.radians(arcsec / 3600.0)) if 0.0 < arcsec < 3.2e5 else arcsec
        _check_distance(distance_m, "RSUN_OBS", "as the Sun's radius in arcsec")
        return distance_m
    return None


def _dsun_obs_m(header: Header) -> float | None:
    said = number(header, "DSUN_OBS")
    if not said:
        return None
    unit = _length_unit_m(header)
    _check_distance(said * unit, "DSUN_OBS", f"in {'m' if unit == 1.0 else 'km'}")
    return said * unit


def _length_unit_m(header: Header) -> float:
    """Metres of the unit of lengths: 1, or 1000 where ``RSUN_REF`` is in km, as in SUIT's headers."""
    said = number(header, "RSUN_REF")
    return 1e3 if said and 0.9 < said * 1e3 / RSUN_M < 1.1 else 1.0


def _check_distance(distance_m: float, key: str, meaning: str) -> None:
    # From two solar radii (no spacecraft has come closer than nine) to ten astronomical units.
    if not 2.0 * RSUN_M < distance_m < 10.0 * AU_M:
        raise GeometryError(
            f"the header's {key} puts the observer {distance_m:.6g} m from the Sun's centre, where no "
            f"observer of the Sun is; it is read {meaning}, so correct its unit or value"
        )


def solar_radius_m(header: Header) -> float:
    """Radius of the photosphere that the header's other numbers assume, metres.

    Returns
    -------
    float
        ``RSUN_REF``; without it what follows from the distance and the angular radius, ``RSUN_OBS`` or
        EIT's ``SOLAR_R``, as in sunpy; `RSUN_M` if these are missing or zero.

    Raises
    ------
    GeometryError
        If a card holds no number, or the radius is not within 10 % of the Sun's.
    """
    if (rsun_m := _rsun_ref_m(header)) is not None:
        return rsun_m
    distance_m = _dsun_obs_m(header)
    if distance_m is None and (position := _position(header)) is not None:
        distance_m = math.hypot(*position.xyz_m)
    key, arcsec = "RSUN_OBS", number(header, "RSUN_OBS")
    if not arcsec and radius_is_in_pixels(header):
        key = "SOLAR_R"
        arcsec = (number(header, "SOLAR_R") or 0.0) * (number(header, "CDELT1") or 0.0)
    if not arcsec or distance_m is None:
        return RSUN_M
    return _checked_radius(distance_m * math.sin(math.radians(arcsec / 3600.0)), key)


def radius_is_in_pixels(header: Header) -> bool:
    """Whether ``SOLAR_R`` is in pixels, as in EIT's headers; elsewhere it is in arcsec, or unknown."""
    return str(header.get("INSTRUME", "")).strip().upper() == "EIT"


def _rsun_ref_m(header: Header) -> float | None:
    said = number(header, "RSUN_REF")
    return _checked_radius(said * _length_unit_m(header), "RSUN_REF") if said else None


def _checked_radius(rsun_m: float, key: str) -> float:
    if not 0.9 < rsun_m / RSUN_M < 1.1:
        raise GeometryError(
            f"the header's {key} means a solar radius of {rsun_m:.6g} m, which is not within 10 % of "
            f"{RSUN_M:.6g} m; correct its unit or value"
        )
    return rsun_m


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
        If a card holds no number, the pixel scale is missing, or the header's first two axes are not
        celestial.
    """
    from astropy.io.fits import Header
    from astropy.wcs import WCS, FITSFixedWarning

    types = axis_types(header)
    # Numbers are read here, once: wcslib would parse their text again, stop at an exponent D and pass
    # over what is in quotes.
    numbers = Header([("WCSAXES", 2)])
    for card in header.cards:
        if _IMAGE_WCS.fullmatch(card.keyword):
            is_number = WCS_NUMBER.fullmatch(card.keyword)
            value = number(header, card.keyword) if is_number else card.value
            if value is not None:
                numbers[card.keyword] = value
    if types[0] == "HPLN-TAN":
        numbers["CTYPE1"], numbers["CTYPE2"] = types
    if all(kind.endswith("-CEA") for kind in types):
        _complete_equal_area(numbers, header)
    _check_angles(numbers)
    lacking = lacking_scale(numbers)
    if lacking:
        raise GeometryError(
            f"the header lacks {', '.join(lacking)}, the scale of its pixels; add these cards"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(numbers).celestial
        except Exception as error:  # wcslib has many error classes
            why = str(error).strip().splitlines() or [type(error).__name__]  # the last line is the reason
            raise GeometryError(f"the header's world coordinates cannot be read: {why[-1]}") from error
    if wcs.pixel_n_dim != 2:
        raise GeometryError(f"the header has no two celestial axes, but {types[0]!r} and {types[1]!r}")
    return wcs


def _complete_equal_area(numbers: Header, header: Header) -> None:
    """Turn the steps of sine latitude of synoptic maps into degrees of the projection, in place.

    HMI's and MDI's maps have ``CUNIT2 = 'Sine Latitude'``, GONG's no unit.

    References
    ----------
    Thompson 2006, A&A 449, 791, section 5.5.
    """
    said = str(numbers.get("CUNIT2", "")).strip().lower()
    in_sine = said.replace("-", " ") in ("sine latitude", "sine lat", "sin latitude", "sin lat", "sin(lat)")
    if not said:
        rows, step = number(header, "NAXIS2"), number(numbers, "CDELT2")
        from_pole_to_pole = rows is not None and step is not None and abs(abs(rows * step) - 2.0) < 0.02
        in_sine = from_pole_to_pole or str(header.get("TELESCOP", "")).strip().upper().endswith("GONG")
        if not in_sine:
            raise GeometryError(
                "the header lacks CUNIT2, so the height of a pixel is unknown; add 'deg', or 'Sine Latitude' "
                "if CDELT2 is a step of the sine of latitude"
            )
    if not str(numbers.get("CUNIT1", "")).strip():
        numbers["CUNIT1"] = "deg"
    if not in_sine:
        return
    numbers["CUNIT2"] = "deg"
    for key in ("CDELT2", "CD2_1", "CD2_2", "CRVAL2"):
        if key in numbers:
            numbers[key] = math.degrees(numbers[key])
    if centre := numbers.get("CRVAL2", 0.0):  # not a latitude: the projection's rows count from the equator
        step = numbers.get("CD2_2", numbers.get("CDELT2", 1.0))
        numbers["CRPIX2"] = numbers.get("CRPIX2", 0.0) - centre / step
        numbers["CRVAL2"] = 0.0


def _check_angles(numbers: Header) -> None:
    """Spell the units of the axes as FITS has them, in place; refuse what is no angle."""
    import astropy.units as u

    for key in ("CUNIT1", "CUNIT2"):
        said = str(numbers.get(key, "")).strip()
        if not said:
            continue
        for text in (said, said.lower().removesuffix("s"), said.lower()):
            try:
                unit = u.Unit(text)
            except ValueError:
                continue
            if unit.is_equivalent(u.deg):
                numbers[key] = unit.to_string("fits")
                break
        else:
            raise GeometryError(
                f"the header's {key} {said!r} is no angle; correct it, such as to 'arcsec' or 'deg'"
            )


def lacking_scale(header: Header) -> list[str]:
    """Which of ``CDELT1`` and ``CDELT2`` are missing or zero; none if there is a ``CDi_j`` matrix."""
    if any(number(header, key) for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2")):
        return []
    return [key for key in ("CDELT1", "CDELT2") if not number(header, key)]


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
        If the header lacks ``CTYPEi``, ``CDELTi``, or ``CUNITi`` in an image, or has another projection.
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
