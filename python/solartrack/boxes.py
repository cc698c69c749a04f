"""Boxes: the one convention of this package, and converters from and to others.

Everywhere in solartrack a box is ``(x0, y0, x1, y1)``, float64, in pixel-edge
coordinates of the image array as stored (row 0 first), half-open and
continuous: the first pixel covers 0 to 1, the width is ``x1 - x0``. Arrays have
shape (n, 4). Overlap measures are in `solartrack.metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from solartrack._arrays import Float64Array, as_boxes
from solartrack._optional import require

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    from solartrack.coordinates import ImageGeometry

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
    """
    tx, ty = geometry.pixel_to_helioprojective(*_corners(as_boxes(boxes)))
    return _enclose(tx, ty)


def from_skycoord(corners: SkyCoord, geometry: ImageGeometry) -> Float64Array:
    """The pixel box that encloses sky coordinates, such as two opposite corners.

    Parameters
    ----------
    corners : astropy.coordinates.SkyCoord, shape (k,)
        At least two, in a sunpy frame with a time. They are transformed to the helioprojective
        frame of the image's observer; those beyond the limb keep their direction.
    geometry : ImageGeometry
        Of the image.

    Returns
    -------
    ndarray of float64, shape (4,)

    Raises
    ------
    ValueError
        If there are fewer than two.
    ImportError
        If sunpy is not installed.
    """
    frames = require("sunpy.coordinates.frames", extra="sunpy", purpose="reading sky coordinates")
    if corners.size < 2:
        raise ValueError(f"corners must be at least two coordinates, got {corners.size}")
    seen_by = _observer(geometry, corners.obstime)
    own = getattr(corners, "observer", None)
    # Seen from the same place, they need no transformation, which points beyond the limb would not survive.
    if own is None or isinstance(own, str) or seen_by.separation_3d(own).to_value("m") > 1e7:
        corners = corners.transform_to(frames.Helioprojective(observer=seen_by, obstime=corners.obstime))
    x, y = geometry.helioprojective_to_pixel(corners.Tx.to_value("arcsec"), corners.Ty.to_value("arcsec"))
    return np.array([x.min(), y.min(), x.max(), y.max()])


def to_skycoord(box: ArrayLike, geometry: ImageGeometry, time: Time | str) -> SkyCoord:
    """Two corners of a box, first ``(x0, y0)`` then ``(x1, y1)``, as helioprojective coordinates.

    Parameters
    ----------
    box : array_like, shape (4,)
        Pixel edges.
    geometry : ImageGeometry
        Of the image.
    time : astropy.time.Time or str
        Of the image.

    Returns
    -------
    astropy.coordinates.SkyCoord, shape (2,)

    Raises
    ------
    ValueError
        If it is not one box.
    ImportError
        If sunpy is not installed.
    """
    frames = require("sunpy.coordinates.frames", extra="sunpy", purpose="making sky coordinates")
    coordinates = require("astropy.coordinates", extra="sunpy", purpose="making sky coordinates")
    rows = as_boxes(box, "box")
    if len(rows) != 1:
        raise ValueError(f"box must be one box (x0, y0, x1, y1), got {len(rows)}")
    tx, ty = geometry.pixel_to_helioprojective(rows[0, [0, 2]], rows[0, [1, 3]])
    frame = frames.Helioprojective(observer=_observer(geometry, time), obstime=time)
    return coordinates.SkyCoord(tx, ty, unit="arcsec", frame=frame)


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
