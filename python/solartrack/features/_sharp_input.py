"""The segments of one SHARP or SMARP patch: read, checked against each other, and the side of a pixel."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from solartrack import images
from solartrack._arrays import as_pixels
from solartrack.coordinates import header as header_facts
from solartrack.errors import GeometryError, ImageWarning
from solartrack.features._magnetogram import field_of
from solartrack.features._scale import is_equal_area, positive_quantity
from solartrack.features._segments import segments_of
from solartrack.features.units import plain

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["Patch", "PixelScale", "active_mask", "jsoc_scale", "read_segments", "sharp_mask"]

# JSOC's masks (Bobra et al. 2014, 2021).
_LEAST_CONFIDENCE, _LEAST_BITMAP = 70, 30
_LEAST_BITMAP_MDI = 36
_MASKS = ("bitmap", "conf_disambig")
# What tells the patch and the time of a segment.
_IDENTITY = ("T_REC", "HARPNUM", "TARPNUM")
_ARCSEC = math.radians(1 / 3600)


class PixelScale(NamedTuple):
    """Side of a square pixel of an equal-area map, as JSOC has it.

    Attributes
    ----------
    metres : float
        On the Sun.
    arcsec : float
        As seen at disk centre.
    """

    metres: float
    arcsec: float

    @property
    def area_cm2(self) -> float:
        """Area of a pixel."""
        return (100.0 * self.metres) ** 2


class Patch(NamedTuple):
    """The segments of a patch.

    Attributes
    ----------
    planes : dict of str to ndarray, shape (ny, nx)
        By JSOC's names: float64 in gauss, NaN where missing; masks as they are.
    header : Header
        That of the first segment that has one; empty if none has.
    """

    planes: dict[str, NDArray[Any]]
    header: Header


def read_segments(given: Mapping[str, Any]) -> Patch:
    """Read the segments that are there.

    Parameters
    ----------
    given : mapping of str to source or None
        By JSOC's names, each as for `solartrack.images.as_image`. If it has the first alone and that is
        the path of no file, it is the folder or the beginning of the names of all.

    Raises
    ------
    ValueError
        If there is none, their shapes, times or patches differ, or one has wrong pixels.
    """
    there = {name: source for name, source in given.items() if source is not None}
    if len(there) == 1:
        ((_, only),) = there.items()
        if isinstance(only, str | os.PathLike) and not os.path.isfile(only):
            files = segments_of(only)
            there = {name: files[name] for name in given if name in files}
    if not there:
        raise ValueError("no segment of a patch was given")
    planes: dict[str, NDArray[Any]] = {}
    headers: dict[str, Header] = {}
    for name, source in there.items():
        with warnings.catch_warnings():
            # R_VALUE = nan and the like, in every segment; cards that are needed are asked for below.
            warnings.simplefilter("ignore", ImageWarning)
            image = images.as_image(source)
        if name in _MASKS:
            planes[name] = as_pixels(plain(image.array, name), name)
        else:
            planes[name] = field_of(image, name, source)
            if np.isnan(planes[name]).all():
                raise ValueError(f"all {planes[name].size} pixels of {name} are NaN")
        headers[name] = image.header
    first, plane = next(iter(planes.items()))
    for name, other in planes.items():
        if other.shape != plane.shape:
            raise ValueError(f"{name} must have the shape of {first}, {plane.shape}, got {other.shape}")
    _refuse_strangers(headers)
    return Patch(planes, next((h for h in headers.values() if len(h)), headers[first]))


def _refuse_strangers(headers: Mapping[str, Header]) -> None:
    """Refuse segments whose headers are of different patches or times."""
    for key in _IDENTITY:
        said = {name: str(header[key]).strip() for name, header in headers.items() if header.get(key)}
        if len(set(said.values())) > 1:
            first, *others = said.items()
            other = next(one for one in others if one[1] != first[1])
            raise ValueError(
                f"the segments must be of one patch and time: {key} is {first[1]} in {first[0]}, but "
                f"{other[1]} in {other[0]}"
            )


def jsoc_scale(header: Header, pixel: u.Quantity | None = None) -> PixelScale:
    """Side of a pixel, through angles on the sky as JSOC takes it.

    Parameters
    ----------
    header : Header
        Of an equal-area map (CEA). Of the distance ``DSUN_OBS`` and the angular radius ``RSUN_OBS``, one may
        be missing: it follows from the other.
    pixel : Quantity [length], optional
        The side, instead of the header's; seen from the header's distance, or from one astronomical unit.

    Raises
    ------
    GeometryError
        If the header has not what is needed, is of another projection, or the pixels are not square.
    """
    if pixel is not None:
        metres = positive_quantity(pixel, u.m, "pixel")
        return PixelScale(metres, metres * 1e-6 / header_facts.mm_per_radian(header) / _ARCSEC)
    if not is_equal_area(header):
        kind = header_facts.axis_types(header)[0]
        got = f"got CTYPE1 {kind}" if kind else "but the header does not say the projection"
        raise GeometryError(
            f"the keywords are defined on equal-area maps (CEA), {got}; take the segments of "
            "hmi.sharp_cea_720s or mdi.smarp_cea_96m, or reproject the maps; for arrays of such a map give "
            "pixel=, such as 0.364 * u.Mm"
        )
    side_x, side_y = header_facts.pixel_mm(header) * 1e6
    if abs(side_x - side_y) > 1e-6 * side_x:
        raise GeometryError(f"pixels must be square, got {side_x:.6g} x {side_y:.6g} m")
    distance_m = header_facts.observer(header).distance_m
    if distance_m is None:
        raise GeometryError(
            "the header lacks RSUN_OBS and DSUN_OBS, so JSOC's side of a pixel is unknown; add one of them, "
            "or give pixel=, a length on the Sun"
        )
    radius_m = header_facts.solar_radius_m(header)
    radius_arcsec = header_facts.number(header, "RSUN_OBS")
    if not radius_arcsec:
        radius_arcsec = math.asin(radius_m / distance_m) / _ARCSEC
    arcsec = math.atan(side_x / distance_m) / _ARCSEC
    return PixelScale(arcsec * radius_m / radius_arcsec, arcsec)


def sharp_mask(planes: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Pixels of the vector keywords: in the active region, with a reliable direction of the field."""
    mask = (planes["bitmap"] >= _LEAST_BITMAP) & (planes["conf_disambig"] >= _LEAST_CONFIDENCE)
    return np.ascontiguousarray(mask)


def active_mask(planes: Mapping[str, NDArray[Any]], header: Header) -> NDArray[np.bool_]:
    """Pixels of the line-of-sight keywords: in the active region, as HMI's and MDI's bitmaps mark it."""
    mdi = "MDI" in f"{header.get('INSTRUME', '')} {header.get('TELESCOP', '')}".upper()
    return np.ascontiguousarray(planes["bitmap"] >= (_LEAST_BITMAP_MDI if mdi else _LEAST_BITMAP))
