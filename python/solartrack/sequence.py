"""Images in the order of time, each with one record: file, time, geometry, trouble.

`frames_of` makes the records of folders, files, arrays or images that were read before; whoever
follows something through the images works on these records and reads pixels through them.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from astropy.io.fits import Header
from astropy.time import Time, TimeDelta
from numpy.typing import NDArray
from tqdm import tqdm

from solartrack import images as image_files
from solartrack._arrays import as_pixels, refuse_colours
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, TrackError, TrackWarning
from solartrack.images.find import none_found

__all__ = [
    "Frame",
    "ImagePart",
    "Images",
    "Window",
    "as_days",
    "frame_numbers",
    "frames_from_table",
    "frames_of",
    "frames_to_table",
    "geometry_numbers",
    "read_frame",
]

Images = str | os.PathLike[str] | Iterable[Any]
#: Columns x0 to x1 and rows y0 to y1, both exclusive.
Window = tuple[int, int, int, int]

# Columns of a table of records: an ImageGeometry's numbers in the order of its fields, and what is amiss.
_GEOMETRY = ("ref_x", "ref_y", "xx", "xy", "yx", "yy", "center_tx", "center_ty", "b0_deg", "l0_deg", "rsun")
_REASONS = ("trouble", "no_geometry", "no_time")

_FROM_FILE = object()
_NO_TIME = "the image has no time; give times or a cadence"
_NO_GEOMETRY = "the image has no header that tells where the Sun is; give the disk"


class ImagePart(NamedTuple):
    """Part of an image, or all of it.

    Attributes
    ----------
    pixels : ndarray, shape (ny, nx)
    x0, y0 : int
        Column and row of the image that the first of `pixels` is.
    """

    pixels: NDArray[Any]
    x0: int = 0
    y0: int = 0


@dataclass(frozen=True, eq=False)
class Frame:
    """What is known of an image beside its pixels.

    Attributes
    ----------
    number : int
        Frame number.
    file : str
        Its path, "" for an array.
    time : datetime or None
        UTC, without a time zone; None if unknown.
    mjd_tai : float
        The same as Modified Julian Date, TAI: the difference of two is the time between the images in
        days. NaN if unknown. Where only a cadence is known `time` is None, and this counts from the
        first image.
    geometry : ImageGeometry or None
        Where the Sun is in it.
    shape : tuple of int
        Rows and columns; (0, 0) if unknown.
    trouble : str
        Why its pixels cannot be used, "" if they can.
    no_geometry, no_time : str
        Why there is no geometry or no time, "" if there is.
    pixels : ndarray, shape (ny, nx), or None
        Of an image that is in memory.
    """

    number: int
    file: str = ""
    time: datetime | None = None
    mjd_tai: float = np.nan
    geometry: ImageGeometry | None = None
    shape: tuple[int, int] = (0, 0)
    trouble: str = ""
    no_geometry: str = ""
    no_time: str = ""
    pixels: NDArray[Any] | None = field(default=None, repr=False)

    def read(self, window: Window | None = None) -> ImagePart:
        """Read the pixels, or those in a window.

        Parameters
        ----------
        window : (int, int, int, int), optional
            ``(x0, y0, x1, y1)`` inside the image. Only this is decoded, where the format allows.

        Returns
        -------
        ImagePart

        Raises
        ------
        ImageError, FileNotFoundError
            As `solartrack.images.read`.
        """
        x0, y0 = (0, 0) if window is None else window[:2]
        if self.pixels is None:
            return ImagePart(as_pixels(image_files.read(self.file, window=window).array), x0, y0)
        if window is None:
            return ImagePart(self.pixels)
        return ImagePart(self.pixels[y0 : window[3], x0 : window[2]], x0, y0)


def read_frame(path: str | os.PathLike[str], number: int = 0, *, geometry: bool = True) -> Frame:
    """Read what an image's header tells; if it cannot be read, `Frame.trouble` says why.

    Parameters
    ----------
    path : path
        Of any format that `solartrack.images` reads.
    number : int
        Frame number to give it.
    geometry : bool
        Whether to look for the geometry, too.

    Returns
    -------
    Frame
    """
    file = os.fspath(path)
    try:
        header, time = image_files.read_header(file)
        shape = int(header["NAXIS2"]), int(header["NAXIS1"])
    except (ImageError, OSError, KeyError, TypeError, ValueError) as error:
        return Frame(number, file, trouble=str(error))
    place, why = _geometry(header) if geometry else (None, "")
    return _known(Frame(number, file, _utc(time), _mjd(time), place, shape, no_geometry=why))


def frames_of(
    images: Images,
    *,
    times: Any = None,
    cadence: Any = None,
    geometry: ImageGeometry | Sequence[ImageGeometry] | None = None,
    progress: bool = False,
) -> list[Frame]:
    """All images with what is known of them, in the order of time.

    Parameters
    ----------
    images : path, or iterable of paths, arrays, `SolarImage`, sunpy Maps or `Frame`
        A folder, a file, a pattern, or many.
    times : sequence, optional
        One per image (astropy `Time`, ISO 8601 strings, ``datetime64``), UTC unless they say otherwise;
        None or NaT where unknown. Default: from the headers or file names.
    cadence : astropy Quantity, timedelta or str, optional
        The time from each image to the next, such as ``"4h"``; `times` may then be the time of the first
        one, in the order given.
    geometry : ImageGeometry or sequence of it, optional
        Where the Sun is, in all images or in each. Default: from the headers.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    list of Frame
        An image without a time stays behind its predecessor.

    Raises
    ------
    TrackError
        If there are no images.
    ValueError
        If the numbers of images, times and geometries differ, a time or cadence is none, or an array looks
        like a colour image.
    """
    items = _items(images)
    if not items:
        named = [images] if isinstance(images, str | os.PathLike) else images
        raise TrackError(none_found(named))
    count = len(items)
    given_times = _times(times, cadence, count)
    if geometry is None or isinstance(geometry, ImageGeometry):
        places = [geometry] * count
    else:
        places = list(geometry)
        if len(places) != count:
            raise ValueError(f"geometry must be one or one per image, got {len(places)} for {count} images")

    frames = []
    shown = tqdm(items, disable=not progress, unit="header", leave=False)
    for item, number, time, place in zip(shown, frame_numbers(items), given_times, places, strict=True):
        frame = _frame(item, number, geometry=geometry is None)
        if time is not _FROM_FILE:
            when = time if isinstance(time, Time) else None
            days = time if isinstance(time, float) else _mjd(when)
            why = "" if np.isfinite(days) else time if isinstance(time, str) else _NO_TIME
            frame = replace(frame, time=_utc(when), mjd_tai=days, no_time=why)
        if geometry is not None:
            frame = replace(frame, geometry=place)
        frames.append(frame)

    keys: list[float] = []
    for frame in frames:
        known = np.isfinite(frame.mjd_tai)
        keys.append(frame.mjd_tai if known else (keys[-1] if keys else -np.inf))
    return [frames[i] for i in np.argsort(keys, kind="stable")]


def _items(images: Images) -> list[Any]:
    """The images one by one; folders and patterns expanded, the order given kept."""
    if isinstance(images, str | os.PathLike):
        return list(image_files.find_images([images]))
    if isinstance(images, np.ndarray):
        refuse_colours(images, "images")
        return list(images) if images.ndim == 3 else [images]
    if hasattr(images, "fits_header"):
        return [images]
    items: list[Any] = []
    for item in images:
        if (
            isinstance(item, str | os.PathLike)
            and not Path(item).is_file()
            and (Path(item).is_dir() or any(c in os.fspath(item) for c in "*?["))
        ):
            items += image_files.find_images([item])
        else:
            items.append(item)  # a file that is not there keeps its place: its row will say so
    return items


def frames_to_table(frames: Iterable[Frame]) -> pd.DataFrame:
    """Records as a table, for files.

    Parameters
    ----------
    frames : iterable of Frame

    Returns
    -------
    pandas.DataFrame
        A row for each; the geometry as eleven numbers, NaN where there is none. Frame numbers and pixels
        are left out.
    """
    rows = []
    for frame in frames:
        numbers = [np.nan] * len(_GEOMETRY) if frame.geometry is None else geometry_numbers(frame.geometry)
        rows.append(
            {
                "file": frame.file,
                "time": pd.Timestamp(frame.time) if frame.time else pd.NaT,
                "mjd_tai": frame.mjd_tai,
                "rows": frame.shape[0],
                "columns": frame.shape[1],
                **dict(zip(_GEOMETRY, numbers, strict=True)),
                **{name: getattr(frame, name) for name in _REASONS},
            }
        )
    return pd.DataFrame(rows)


def frames_from_table(table: pd.DataFrame) -> list[Frame]:
    """Records from a table that `frames_to_table` made; the table's index is their frame number.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    list of Frame
    """
    out = []
    for row in table.itertuples():
        numbers = [getattr(row, name) for name in _GEOMETRY]
        geometry = None
        if np.isfinite(numbers[0]):
            geometry = ImageGeometry(
                tuple(numbers[:2]), tuple(numbers[2:6]), tuple(numbers[6:8]), *numbers[8:]
            )  # type: ignore[arg-type]
        time = None if pd.isna(row.time) else row.time.to_pydatetime()
        shape = int(row.rows), int(row.columns)
        reasons = {name: getattr(row, name) for name in _REASONS}
        out.append(Frame(int(row.Index), row.file, time, row.mjd_tai, geometry, shape, **reasons))
    return out


def geometry_numbers(geometry: ImageGeometry) -> list[float]:
    """The eleven numbers of an `ImageGeometry`, in the order of its fields."""
    return [float(v) for v in np.hstack([np.ravel(part) for part in astuple(geometry)])]


def _frame(item: Any, number: int, *, geometry: bool) -> Frame:
    """What is known of an image; pixels are left where they are."""
    if isinstance(item, Frame):
        return item
    if isinstance(item, str | os.PathLike):
        return read_frame(item, number, geometry=geometry)
    if hasattr(item, "fits_header"):  # a sunpy Map, recognised without importing sunpy
        item = image_files.as_image(item)
    array, header, time = item if isinstance(item, tuple) and len(item) == 3 else (item, None, None)
    try:
        array = as_pixels(array)
    except (TypeError, ValueError) as error:
        return Frame(number, "", _utc(time), _mjd(time), trouble=str(error))
    place, why = None, _NO_GEOMETRY
    if header is not None and geometry:
        place, why = _geometry(header)
    shape = array.shape[0], array.shape[1]
    return _known(Frame(number, "", _utc(time), _mjd(time), place, shape, no_geometry=why, pixels=array))


def _known(frame: Frame) -> Frame:
    """Say why there is no time, if there is none."""
    return frame if np.isfinite(frame.mjd_tai) else replace(frame, no_time=_NO_TIME)


def _geometry(header: Header) -> tuple[ImageGeometry | None, str]:
    """Where the Sun is, or why that is not known."""
    if "CTYPE1" not in header:
        return None, _NO_GEOMETRY
    try:
        return ImageGeometry.from_header(header), ""
    except (GeometryError, ImportError) as error:  # without sunpy a missing B0 stays missing
        return None, str(error)


def _utc(time: Time | None) -> datetime | None:
    if time is None:
        return None
    moment: datetime
    try:
        moment = time.utc.to_datetime()
    except ValueError:  # within a leap second, which a datetime cannot hold: the moment before
        moment = (time - TimeDelta(1.0, format="sec")).utc.to_datetime()
        moment = moment.replace(second=59, microsecond=999999)
    return moment


def _mjd(time: Time | None) -> float:
    return np.nan if time is None else float(time.tai.mjd)


def _times(times: Any, cadence: Any, count: int) -> list[Any]:
    """For each image: its `Time`, None, days since the first one, what is wrong, or `_FROM_FILE`."""
    single = isinstance(times, str | np.datetime64 | datetime) or (isinstance(times, Time) and times.isscalar)
    if cadence is not None:
        step = as_days(cadence, "cadence")
        if times is None:
            return [step * i for i in range(count)]
        if not single:
            raise ValueError("with a cadence, times may only be the time of the first image")
        first = _time(times)
        if not isinstance(first, Time):
            raise ValueError(first or f"times must be a date such as 2014-02-03T02:08:47, got {times!r}")
        return list(first + TimeDelta(step * np.arange(count), format="jd"))
    if times is None:
        return [_FROM_FILE] * count
    values = [times] if single else list(times)
    if len(values) != count:
        raise ValueError(f"times must have one entry per image, got {len(values)} for {count} images")
    return [_time(value) for value in values]


def _time(value: Any) -> Time | str | None:
    """UTC, None where there is none, or a text that says what is wrong with it."""
    if isinstance(value, str):
        value = value.strip()
        if value.lower() in ("", "nan", "nat", "none"):
            return None
    elif value is None or (not isinstance(value, Time) and pd.isna(value)):
        return None
    try:
        if not isinstance(value, str | datetime):
            return Time(value) if not isinstance(value, np.datetime64) else Time(value, scale="utc")
        if isinstance(value, str):
            try:
                return Time(value.removesuffix("Z"), scale="utc")
            except ValueError:
                value = datetime.fromisoformat(value)  # has a time zone, or is no date
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return Time(value, scale="utc")
    except ValueError:
        return f"times must be dates such as 2014-02-03T02:08:47, got {value!r}"


def as_days(length: Any, name: str) -> float:
    """A length of time (astropy Quantity, timedelta or text such as "4h") in days; positive."""
    if hasattr(length, "to_value"):
        days = float(length.to_value("day"))
    elif isinstance(length, timedelta | str | np.timedelta64):
        try:
            # Without a unit pandas takes it for nanoseconds.
            if isinstance(length, str) and not re.search("[a-zA-Z:]", length):
                raise ValueError("it has no unit")
            if isinstance(length, np.timedelta64) and np.datetime_data(length.dtype)[0] == "generic":
                raise ValueError("it has no unit")
            if isinstance(length, str):
                length = re.sub(r"(?<=[\d ])d(?![a-z])", "D", length)  # pandas 4 will not take 4d
            days = pd.Timedelta(length) / pd.Timedelta(days=1)
        except ValueError as error:
            raise ValueError(
                f"{name} must be a length of time such as '4h' or '12min', got {length!r}"
            ) from error
    else:
        raise TypeError(f"{name} must be a Quantity, timedelta or string such as '4h', got {length!r}")
    if not np.isfinite(days) or days <= 0:
        raise ValueError(f"{name} must be positive, got {length!r}")
    return days


def frame_numbers(items: Sequence[Any]) -> list[int]:
    """Frame number of each image: the number that is its name if all names are, else its place from 0.

    Warns
    -----
    TrackWarning
        If most names are numbers, but not all.
    """
    if all(isinstance(item, str | os.PathLike) for item in items):
        stems = [Path(item).stem for item in items]
        numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
        if len(set(numbers)) == len(stems):
            return numbers
        if len(stems) // 2 < len(numbers) < len(stems):
            odd = next(stem for stem in stems if not (stem.isascii() and stem.isdigit()))
            warnings.warn(
                f"{len(numbers)} of {len(stems)} file names are numbers, but not all ({odd}): "
                "the frames are numbered by their place, from 0",
                TrackWarning,
                stacklevel=2,
            )
    return list(range(len(items)))
