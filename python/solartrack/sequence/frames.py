"""Many images: found, numbered, and put in the order of time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.time import Time

from solartrack import images as image_files
from solartrack._arrays import refuse_colours
from solartrack._progress import tqdm
from solartrack.coordinates import ImageGeometry
from solartrack.errors import TrackError, TrackWarning
from solartrack.images.find import none_found
from solartrack.sequence.frame import NO_TIME, Frame, frame_of_image, read_frame
from solartrack.sequence.times import FROM_FILE, given_times, mjd_of, utc_of

__all__ = ["Images", "frame_numbers", "frames_of"]

Images = str | os.PathLike[str] | Iterable[Any]


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

    Examples
    --------
    >>> from solartrack import sequence, simulate
    >>> table = simulate.write("sun", simulate.sequence(1, 2, size=64))
    >>> frames = sequence.frames_of("sun")
    >>> [(frame.number, str(frame.time), frame.geometry is not None) for frame in frames]
    [(0, '2014-02-01 00:00:00', True), (1, '2014-02-01 04:00:00', True)]
    """
    items = _items(images)
    if not items:
        named = [images] if isinstance(images, str | os.PathLike) else images
        raise TrackError(none_found(named))
    count = len(items)
    moments = given_times(times, cadence, count)
    if geometry is None or isinstance(geometry, ImageGeometry):
        places = [geometry] * count
    else:
        places = list(geometry)
        if len(places) != count:
            raise ValueError(f"geometry must be one or one per image, got {len(places)} for {count} images")

    frames = []
    shown = tqdm(items, disable=not progress, unit="header", leave=False)
    for item, number, time, place in zip(shown, frame_numbers(items), moments, places, strict=True):
        frame = _frame(item, number, geometry=geometry is None)
        if time is not FROM_FILE:
            when = time if isinstance(time, Time) else None
            days = time if isinstance(time, float) else mjd_of(when)
            why = "" if np.isfinite(days) else time if isinstance(time, str) else NO_TIME
            frame = replace(frame, time=utc_of(when), mjd_tai=days, no_time=why)
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


def _frame(item: Any, number: int, *, geometry: bool) -> Frame:
    """What is known of an image; pixels are left where they are."""
    if isinstance(item, Frame):
        return item
    if isinstance(item, str | os.PathLike):
        return read_frame(item, number, geometry=geometry)
    return frame_of_image(item, number, geometry=geometry)


def frame_numbers(items: Sequence[Any]) -> list[int]:
    """Frame number of each image: the number that is its name if all names are, else its place from 0.

    Parameters
    ----------
    items : sequence of n paths, or of anything else

    Returns
    -------
    list of int, length n

    Warns
    -----
    TrackWarning
        If most names are numbers, but not all.

    Examples
    --------
    >>> from solartrack.sequence import frame_numbers
    >>> frame_numbers(["images/006.png", "images/011.png"])
    [6, 11]
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
