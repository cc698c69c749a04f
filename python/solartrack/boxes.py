"""Boxes: the one convention of this package, and converters from and to others.

Everywhere in solartrack a box is ``(x0, y0, x1, y1)``, float64, in pixel-edge
coordinates of the image array as stored (row 0 first), half-open and
continuous: the first pixel covers 0 to 1, the width is ``x1 - x0``. Arrays have
shape (n, 4). Overlap measures are in `solartrack.metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import Float64Array, as_boxes
from solartrack._optional import require
from solartrack.coordinates import ImageGeometry, rectangles_to_boxes, rotate_rectangles, rotation_rate
from solartrack.coordinates.geometry import half_turn

if TYPE_CHECKING:
    from datetime import datetime

    from astropy.coordinates import SkyCoord
    from astropy.time import Time

# Points along each edge of what two corners span in the sky.
_EDGE_POINTS = 65
# Shorter than this the Sun does not turn, days.
_SAME_TIME_DAYS = 1.0 / 86400.0
# Observers this close, degrees, see points beside the disk in nearly the same direction.
_NEARLY_DEG = 1.0

__all__ = [
    "clip",
    "flip_rows",
    "from_ann",
    "from_arcsec",
    "from_skycoord",
    "from_xywh",
    "to_ann",
    "to_arcsec",
    "to_skycoord",
    "to_xywh",
]


def from_xywh(boxes: ArrayLike) -> Float64Array:
    """Boxes from ``(x, y, width, height)``, where ``(x, y)`` is the corner nearest to pixel (0, 0).

    Parameters
    ----------
    boxes : array_like, shape (n, 4) or (4,)

    Returns
    -------
    ndarray of float64, shape (n, 4)

    Raises
    ------
    ValueError
        If the shape is another one or a number is not finite.

    Examples
    --------
    >>> from solartrack import boxes
    >>> boxes.from_xywh([[5, 10, 15, 30]])
    array([[ 5., 10., 20., 40.]])
    """
    out = as_boxes(boxes).copy()
    out[:, 2:] += out[:, :2]
    return out


def to_xywh(boxes: ArrayLike) -> Float64Array:
    """Boxes as ``(x, y, width, height)``; the inverse of `from_xywh`.

    Parameters
    ----------
    boxes : array_like, shape (n, 4) or (4,)

    Returns
    -------
    ndarray of float64, shape (n, 4)

    Examples
    --------
    >>> from solartrack import boxes
    >>> boxes.to_xywh([[5, 10, 20, 40]])
    array([[ 5., 10., 15., 30.]])
    """
    out = as_boxes(boxes).copy()
    out[:, 2:] -= out[:, :2]
    return out


def from_ann(polygons: ArrayLike) -> Float64Array:
    """Boxes that enclose the four-corner polygons of an ``.ann`` file.

    Parameters
    ----------
    polygons : array_like, shape (n, 8)
        ``x2 y2 x3 y3 x0 y0 x1 y1``: the columns after the frame number. The
        order of the corners does not matter.

    Returns
    -------
    ndarray of float64, shape (n, 4)

    Raises
    ------
    ValueError
        If the shape is another one or a number is not finite.

    Examples
    --------
    >>> from solartrack import boxes
    >>> boxes.from_ann([[20, 10, 5, 10, 5, 40, 20, 40]])
    array([[ 5., 10., 20., 40.]])
    """
    corners = np.asarray(polygons, dtype=np.float64)
    if corners.ndim == 1 and corners.size == 8:
        corners = corners[np.newaxis]
    if corners.ndim != 2 or corners.shape[1] != 8:
        hint = "; drop the frame column first" if corners.ndim == 2 and corners.shape[1] == 9 else ""
        raise ValueError(f"polygons must have shape (n, 8), got {corners.shape}{hint}")
    x, y = corners[:, 0::2], corners[:, 1::2]
    return as_boxes(
        np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1), "polygons"
    )


def to_ann(boxes: ArrayLike) -> Float64Array:
    """Polygons ``x1 y0  x0 y0  x0 y1  x1 y1``, the corner order of the published files.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)

    Returns
    -------
    ndarray of float64, shape (n, 8)

    Examples
    --------
    >>> from solartrack import boxes
    >>> boxes.to_ann([[5, 10, 20, 40]])
    array([[20., 10.,  5., 10.,  5., 40., 20., 40.]])
    """
    x0, y0, x1, y1 = as_boxes(boxes).T
    return np.stack([x1, y0, x0, y0, x0, y1, x1, y1], axis=1)


def clip(boxes: ArrayLike, shape: tuple[int, int]) -> Float64Array:
    """Boxes clipped to an image.

    Parameters
    ----------
    boxes : array_like, shape (n, 4) or (4,)
    shape : tuple of int
        Rows and columns of the image.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        A box outside the image becomes empty, at its border.

    Examples
    --------
    >>> from solartrack import boxes
    >>> boxes.clip([[-5, 10, 20, 120]], (100, 100))
    array([[  0.,  10.,  20., 100.]])
    """
    rows, columns = shape
    upper = np.array([columns, rows, columns, rows], dtype=np.float64)
    return np.clip(as_boxes(boxes), 0.0, upper)


def flip_rows(boxes: ArrayLike, rows: int) -> Float64Array:
    """Boxes in the same image with its rows in reverse order: row 0 is the bottom in FITS, the top in PNG.

    Parameters
    ----------
    boxes : array_like, shape (n, 4) or (4,)
    rows : int
        Height of the image.

    Returns
    -------
    ndarray of float64, shape (n, 4)

    Examples
    --------
    >>> from solartrack import boxes
    >>> boxes.flip_rows([[10, 0, 20, 30]], 100)
    array([[ 10.,  70.,  20., 100.]])
    """
    x0, y0, x1, y1 = as_boxes(boxes).T
    return np.stack([x0, rows - y1, x1, rows - y0], axis=1)


def from_arcsec(boxes: ArrayLike, geometry: ImageGeometry) -> Float64Array:
    """Pixel boxes that enclose helioprojective boxes.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        ``(tx0, ty0, tx1, ty1)`` in arcsec, west and north positive.
    geometry : ImageGeometry
        Of the image.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        In a rotated image they enclose the tilted box.

    Examples
    --------
    >>> from solartrack import boxes
    >>> from solartrack.coordinates import ImageGeometry
    >>> disk = ImageGeometry.from_disk((512, 512), 400)
    >>> boxes.from_arcsec([[0, 0, 240, 240]], disk).round(1)
    array([[512. , 411.9, 612.1, 512. ]])
    """
    x, y = geometry.helioprojective_to_pixel(*_corners(as_boxes(boxes)))
    return _enclose(x, y)


def to_arcsec(boxes: ArrayLike, geometry: ImageGeometry) -> Float64Array:
    """Helioprojective boxes that enclose pixel boxes.

    Parameters
    ----------
    boxes : array_like, shape (n, 4)
        Pixel edges.
    geometry : ImageGeometry
        Of the image.

    Returns
    -------
    ndarray of float64, shape (n, 4)
        ``(tx0, ty0, tx1, ty1)``, arcsec, west and north positive.

    Examples
    --------
    >>> from solartrack import boxes
    >>> from solartrack.coordinates import ImageGeometry
    >>> disk = ImageGeometry.from_disk((512, 512), 400)
    >>> boxes.to_arcsec([[512, 412, 612, 512]], disk).round(1)
    array([[  0. ,   0. , 239.8, 239.8]])
    """
    tx, ty = geometry.pixel_to_helioprojective(*_corners(as_boxes(boxes)))
    return _enclose(tx, ty)


def from_skycoord(
    corners: SkyCoord, geometry: ImageGeometry, time: Time | str | datetime | None = None
) -> Float64Array:
    """The pixel box that encloses sky coordinates, such as two opposite corners.

    Parameters
    ----------
    corners : astropy.coordinates.SkyCoord, shape (k,)
        At least two, in a frame of sunpy. Two are opposite corners: all that they span in their own frame,
        between two longitudes and two latitudes, is enclosed. More are enclosed as points.
    geometry : ImageGeometry
        Of the image.
    time : astropy.time.Time, str or datetime, optional
        Of the image; corners of another time are carried to it with the Sun's rotation, by the law of
        active regions. Default: the corners' own.

    Returns
    -------
    ndarray of float64, shape (4,)
        What is hidden behind the limb is left out. Corners beside the disk, seen from nearly where the
        image is, keep their direction.

    Raises
    ------
    ValueError
        If there are fewer than two, they cannot be placed without an observer or a time, or
        nothing of them faces the observer.
    ImportError
        If sunpy is not installed.

    Examples
    --------
    >>> from solartrack import boxes
    >>> from solartrack.coordinates import ImageGeometry
    >>> disk = ImageGeometry.from_disk((512, 512), 400)
    >>> west = boxes.to_skycoord([512, 412, 612, 512], disk, "2014-02-03")  # needs sunpy
    >>> boxes.from_skycoord(west, disk).round(3)
    array([512., 412., 612., 512.])
    """
    frames = require("sunpy.coordinates.frames", extra="sunpy", purpose="reading sky coordinates")
    if corners.size < 2:
        raise ValueError(f"corners must be at least two coordinates, got {corners.size}")
    corners = corners.ravel()
    own = corners.obstime
    days = 0.0 if own is None or time is None else _as_time(time).tai.mjd - own.tai.mjd
    if isinstance(corners.frame, frames.Heliocentric):
        _need(corners.observer, corners)
        corners = corners.transform_to(frames.Helioprojective(observer=corners.observer, obstime=own))
    if isinstance(corners.frame, frames.Helioprojective):
        return _from_projected(corners, geometry, days)
    if corners.frame.name == "heliographic_carrington":
        _need(corners.observer, corners)
    lon, lat = _on_sun(corners)
    if corners.size == 2:
        lon = lon[0] + np.array([0.0, half_turn(lon[1] - lon[0])])
        rectangle = [lon.min(), lat.min(), lon.max(), lat.max()]
        box = rectangles_to_boxes(rotate_rectangles(rectangle, days), geometry)[0][0]
    else:
        box = _around(*geometry.heliographic_to_pixel(lon + rotation_rate(lat) * days, lat))
    if np.isnan(box[0]):
        raise ValueError(
            f"the corners lie on the far side of the Sun, Stonyhurst longitudes {lon.min():.1f} to "
            f"{lon.max():.1f} degrees" + (f", {days:+.2f} days before the image" if days else "")
        )
    return np.asarray(box)


def to_skycoord(
    box: ArrayLike, geometry: ImageGeometry, time: Time | str | datetime | None = None, *, frame: Any = None
) -> SkyCoord:
    """Two corners of a box, first ``(x0, y0)`` then ``(x1, y1)``, as sky coordinates.

    Parameters
    ----------
    box : array_like, shape (4,)
        Pixel edges.
    geometry : ImageGeometry
        Of the image.
    time : astropy.time.Time, str or datetime, optional
        Of the image; default that of `frame`.
    frame : astropy frame, optional
        Of the answer, such as ``coordinate_frame`` of the image's sunpy Map. Default: helioprojective, seen
        from where the image is. In another frame, corners beside the disk are NaN.

    Returns
    -------
    astropy.coordinates.SkyCoord, shape (2,)

    Raises
    ------
    ValueError
        If it is not one box, or there is no time.
    ImportError
        If sunpy is not installed.

    Examples
    --------
    >>> from solartrack import boxes
    >>> from solartrack.coordinates import ImageGeometry
    >>> disk = ImageGeometry.from_disk((512, 512), 400)
    >>> west = boxes.to_skycoord([512, 412, 612, 512], disk, "2014-02-03")  # needs sunpy
    >>> west.Tx.round(1)
    <Longitude [  0. , 239.8] arcsec>
    """
    frames = require("sunpy.coordinates.frames", extra="sunpy", purpose="making sky coordinates")
    coordinates = require("astropy.coordinates", extra="sunpy", purpose="making sky coordinates")
    rows = as_boxes(box, "box")
    if len(rows) != 1:
        raise ValueError(f"box must be one box (x0, y0, x1, y1), got {len(rows)}")
    time = getattr(frame, "obstime", None) if time is None else time
    if time is None:
        raise ValueError("give the time of the image, or a frame with an obstime")
    tx, ty = geometry.pixel_to_helioprojective(rows[0, [0, 2]], rows[0, [1, 3]])
    if isinstance(frame, frames.Helioprojective) and _same_view(frame, geometry):
        return coordinates.SkyCoord(tx, ty, unit="arcsec", frame=frame.replicate_without_data())
    own = frames.Helioprojective(observer=_observer(geometry, time), obstime=time)
    made = coordinates.SkyCoord(tx, ty, unit="arcsec", frame=own)
    return made if frame is None else made.transform_to(frame)


def _from_projected(corners: SkyCoord, geometry: ImageGeometry, days: float) -> Float64Array:
    """`from_skycoord` for helioprojective corners."""
    coordinates = require("astropy.coordinates", extra="sunpy", purpose="reading sky coordinates")
    _need(corners.observer, corners)
    tx, ty = corners.Tx.to_value("arcsec"), corners.Ty.to_value("arcsec")
    if corners.size == 2:  # all of the edges, which another image may show tilted or bent
        along = np.linspace(0.0, 1.0, _EDGE_POINTS)
        u = np.concatenate([along, along, 0.0 * along, 0.0 * along + 1.0])
        v = np.concatenate([0.0 * along, 0.0 * along + 1.0, along, along])
        tx, ty = tx[0] + u * (tx[1] - tx[0]), ty[0] + v * (ty[1] - ty[0])
    x, y = geometry.helioprojective_to_pixel(tx, ty)
    there = np.ones(len(x), dtype=bool)
    if not _same_view(corners.frame, geometry) or abs(days) > _SAME_TIME_DAYS:
        frame = corners.frame.replicate_without_data()
        lon, lat = _on_sun(coordinates.SkyCoord(tx, ty, unit="arcsec", frame=frame))
        px, py, there = geometry.heliographic_to_pixel(lon + rotation_rate(lat) * days, lat)
        beside = np.isnan(lon)
        if _apart_deg(frame, geometry) > _NEARLY_DEG:
            beside[:] = False
        x, y, there = np.where(beside, x, px), np.where(beside, y, py), there | beside
    box = _around(x, y, there)
    if np.isnan(box[0]):
        raise ValueError("nothing of the corners is on the side of the Sun that the image shows")
    return np.asarray(box)


def _on_sun(corners: SkyCoord) -> tuple[Float64Array, Float64Array]:
    """Stonyhurst longitude and latitude in degrees at the corners' own time; NaN beside the disk."""
    frames = require("sunpy.coordinates.frames", extra="sunpy", purpose="reading sky coordinates")
    try:
        if corners.frame.name != "heliographic_stonyhurst":
            corners = corners.transform_to(frames.HeliographicStonyhurst(obstime=corners.obstime))
    except Exception as error:  # astropy and sunpy raise many kinds
        raise ValueError(
            f"the corners, in the frame {corners.frame.name!r}, cannot be placed on the Sun: {error}; "
            "give an obstime and an observer"
        ) from error
    return half_turn(corners.lon.to_value("deg")), np.asarray(corners.lat.to_value("deg"))


def _need(observer: Any, corners: SkyCoord) -> None:
    if observer is None or corners.obstime is None:
        lacking = "observer" if observer is None else "obstime"
        raise ValueError(
            f"the corners, in the frame {corners.frame.name!r}, have no {lacking}, and nothing says where on "
            "the Sun they are; give both, such as SkyCoord(..., observer='earth', obstime='2014-02-03')"
        )


def _as_time(time: Any) -> Time:
    return require("astropy.time", extra="sunpy", purpose="reading sky coordinates").Time(time)


def _around(x: Float64Array, y: Float64Array, there: NDArray[np.bool_]) -> Float64Array:
    """Box around points; NaN if there are none."""
    if not there.any():
        return np.full(4, np.nan)
    return np.array([x[there].min(), y[there].min(), x[there].max(), y[there].max()])


def _same_view(frame: Any, geometry: ImageGeometry) -> bool:
    """Whether a helioprojective frame is seen from where the image is."""
    if frame.observer is None or frame.obstime is None:
        return False
    return bool(_observer(geometry, frame.obstime).separation_3d(_seen_from(frame)).to_value("m") <= 1e7)


def _apart_deg(frame: Any, geometry: ImageGeometry) -> float:
    """Angle between the observers of a frame and of the image, at the Sun's centre."""
    other = _seen_from(frame)
    cos = np.sin(np.radians(geometry.b0_deg)) * np.sin(other.lat.to_value("rad")) + np.cos(
        np.radians(geometry.b0_deg)
    ) * np.cos(other.lat.to_value("rad")) * np.cos(other.lon.to_value("rad") - np.radians(geometry.l0_deg))
    return float(np.degrees(np.arccos(np.clip(cos, -1.0, 1.0))))


def _seen_from(frame: Any) -> Any:
    """A frame's observer as Stonyhurst coordinates, named ones such as "earth" looked up."""
    frames = require("sunpy.coordinates.frames", extra="sunpy", purpose="reading sky coordinates")
    observer = frame.observer
    if isinstance(observer, str):
        ephemeris = require("sunpy.coordinates.ephemeris", extra="sunpy", purpose="reading sky coordinates")
        return ephemeris.get_body_heliographic_stonyhurst(observer, frame.obstime)
    return observer.transform_to(frames.HeliographicStonyhurst(obstime=frame.obstime))


def _corners(boxes: Float64Array) -> tuple[Float64Array, Float64Array]:
    x0, y0, x1, y1 = boxes.T
    return np.stack([x0, x1, x1, x0], axis=1), np.stack([y0, y0, y1, y1], axis=1)


def _enclose(x: Float64Array, y: Float64Array) -> Float64Array:
    return np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)


def _observer(geometry: ImageGeometry, time: Any) -> SkyCoord:
    coordinates = require("astropy.coordinates", extra="sunpy", purpose="making sky coordinates")
    constants = require("sunpy.sun.constants", extra="sunpy", purpose="making sky coordinates")
    return coordinates.SkyCoord(
        geometry.l0_deg,
        geometry.b0_deg,
        geometry.distance_rsun * constants.radius.to_value("m"),
        unit=("deg", "deg", "m"),
        frame="heliographic_stonyhurst",
        obstime=time,
    )
