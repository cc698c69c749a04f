"""Where a box of a track is on the Sun and in the sky, and how to draw it on a sunpy Map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from solartrack import boxes as box_conventions
from solartrack._arrays import Float64Array
from solartrack._optional import require
from solartrack.coordinates import ImageGeometry, visible_parts
from solartrack.coordinates.geometry import INSIDE_LIMB
from solartrack.errors import TrackError

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = ["outline", "place_of"]

_ARCSEC = ("tx0", "ty0", "tx1", "ty1")
# Points along each side of an outline.
_SIDE_POINTS = 33


def place_of(box: Float64Array, geometry: ImageGeometry | None) -> dict[str, float]:
    """Values of the columns ``lon``, ``lat``, ``tx0``, ``ty0``, ``tx1``, ``ty1``; NaN where unknown.

    Parameters
    ----------
    box : ndarray of float64, shape (4,)
        Pixel edges.
    geometry : ImageGeometry or None
        Of the image.
    """
    place = dict.fromkeys(("lon", "lat", *_ARCSEC), float("nan"))
    if geometry is None or not np.isfinite(box).all() or not (box[2:] > box[:2]).all():
        return place
    arcsec = box_conventions.to_arcsec(box, geometry)[0]
    place.update(zip(_ARCSEC, map(float, arcsec), strict=True))
    # A box clear of the limb is its own part on the disk; asking takes as long as all the rest.
    clear = np.hypot(*np.abs(arcsec).reshape(2, 2).max(axis=0)) < geometry.rsun_arcsec * INSIDE_LIMB
    part = box if clear else visible_parts(box, geometry)[0]
    lon, lat = geometry.pixel_to_heliographic(0.5 * (part[0] + part[2]), 0.5 * (part[1] + part[3]))
    return {**place, "lon": float(lon), "lat": float(lat)}


def outline(row: Mapping[str, Any], smap: Any) -> SkyCoord:
    """The closed outline of a box of a track, for ``axes.plot_coord`` on a sunpy Map of the same image.

    It is made of the box's place in the sky, so it is right however the rows of the Map's array run. The
    Map that sunpy makes of a JPEG 2000 file has them in reverse order, and pixel boxes do not fit it.

    Parameters
    ----------
    row : mapping or pandas.Series
        A row of a track, with the columns ``tx0``, ``ty0``, ``tx1``, ``ty1``.
    smap : sunpy.map.GenericMap
        Of the row's image.

    Returns
    -------
    astropy.coordinates.SkyCoord

    Raises
    ------
    TrackError
        If the row has no box, or nothing said where it is in the sky.
    ImportError
        If sunpy is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import sunpy.map  # needs sunpy
    >>> from solartrack import tracking
    >>> header = {
    ...     "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec",
    ...     "CDELT1": 20.0, "CDELT2": 20.0, "CRPIX1": 64.5, "CRPIX2": 64.5, "CRVAL1": 0.0, "CRVAL2": 0.0,
    ...     "DATE-OBS": "2017-08-08T00:00:00", "HGLN_OBS": 0.0, "HGLT_OBS": 6.2, "DSUN_OBS": 1.5e11,
    ...     "RSUN_REF": 6.957e8,
    ... }
    >>> smap = sunpy.map.Map(np.zeros((128, 128)), header)
    >>> row = {"tx0": -200.0, "ty0": 100.0, "tx1": -100.0, "ty1": 180.0}
    >>> line = tracking.outline(row, smap)
    >>> round(line.Tx.min().value), round(line.Ty.max().value)
    (-200, 180)
    """
    coordinates = require("astropy.coordinates", extra="sunpy", purpose="drawing on a Map")
    known = [float(row[name]) if name in row else np.nan for name in _ARCSEC]
    if not np.isfinite(known).all():
        raise TrackError("the row has no box in arcsec (tx0, ty0, tx1, ty1): no box, or no place of the Sun")
    tx0, ty0, tx1, ty1 = known
    along = np.linspace(0.0, 1.0, _SIDE_POINTS)
    x, y = tx0 + along * (tx1 - tx0), ty0 + along * (ty1 - ty0)
    tx = np.concatenate([x, np.full(len(y), tx1), x[::-1], np.full(len(y), tx0)])
    ty = np.concatenate([np.full(len(x), ty0), y, np.full(len(x), ty1), y[::-1]])
    return coordinates.SkyCoord(tx, ty, unit="arcsec", frame=smap.coordinate_frame)
