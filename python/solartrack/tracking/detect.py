"""Find the regions or coronal holes of an image, so that tracks can start without a box."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from astropy.io.fits import Header

from solartrack import images as image_files
from solartrack.coordinates import ImageGeometry
from solartrack.coordinates.header import wavelength_angstrom
from solartrack.errors import GeometryError, ImageError
from solartrack.images import SolarImage
from solartrack.segmentation import KINDS, segment
from solartrack.tracking.sky import place_of

__all__ = ["COLUMNS", "detect"]

#: Columns of the table that `detect` returns.
COLUMNS = {
    "id": "0 for the best score, and so on",
    "x0": "box, pixel edges of the image as stored",
    "y0": "",
    "x1": "",
    "y1": "",
    "score": "0 to 1, by contrast and size; no probability",
    "kind": "active_region or coronal_hole",
    "lon": "Stonyhurst longitude of the middle of the box, degrees",
    "lat": "its latitude",
    "tx0": "the box in helioprojective arcsec, west and north positive",
    "ty0": "",
    "tx1": "",
    "ty1": "",
    "area_deg2": "area on the Sun's surface, square degrees of a great circle",
    "contrast": "mean intensity relative to the quiet Sun's",
}

# A disk of this radius in pixels is enough.
_RADIUS = 200.0


def detect(
    image: Any,
    kind: str = "active_region",
    *,
    geometry: ImageGeometry | None = None,
    wavelength: int | None = None,
    outlines: bool = False,
) -> pd.DataFrame:
    """Find the active regions or the coronal holes in an EUV image of the whole Sun.

    Parameters
    ----------
    image : path, SolarImage, sunpy Map or array_like, shape (ny, nx)
        FITS, JP2, PNG or JPG; of a large one only as much is decoded as is needed. Display values of 8 bits
        are taken to be scaled like Helioviewer's.
    kind : {"active_region", "coronal_hole"}
        Regions are told in 171, 193 and the other EUV channels, holes in 193, 195, 211 and 284 only.
    geometry : ImageGeometry, optional
        Where the Sun is in the image. Default: from its header.
    wavelength : int, optional
        Angstrom. Default: from the header, else 171 for regions and 193 for holes.
    outlines : bool
        Whether to add the column ``outline``: the longest closed outline of each, ``(x, y)`` in pixel edges,
        shape (k, 2).

    Returns
    -------
    pandas.DataFrame
        One row for each, the best score first, with the columns `COLUMNS`; no rows if the Sun is quiet. It
        can be given to `track_many` as it is.

    Raises
    ------
    ImageError
        If the file cannot be read, is no EUV image by its header or its values, or shows no disk where the
        geometry says.
    GeometryError
        If nothing says where the Sun is, the disk is too small, or more than half of it is outside.
    ValueError
        If there is no such kind, it cannot be told in the given wavelength, or the image has not two axes.
    TypeError
        If `geometry` is something else.
    ImportError
        If scikit-image is not installed.

    Notes
    -----
    See `solartrack.segmentation.segment`: a segmentation in the manner of SPoCA (Verbeeck et al. 2014, A&A
    561, A29) of this one image. The boxes are those of what shines (or does not) in this channel, not of a
    magnetogram's region. Those of regions are brought down from the height of the loops, 1 % of the radius.

    On ten simulated Suns by which nothing was chosen (seeds 968000 to 968009), the average precision at an
    IoU of 0.5 is 0.59 for active regions of more than 20 square degrees (against the strong field of the
    magnetogram; 0.46 to 0.73 on other sets of ten), and on 959000 to 959009 0.47 for holes (0.38 on 965000
    to 965009). What is missed: mostly regions whose box is too large or too small, above all near the limb;
    regions beside others, found as one box; holes that are hardly darker than the quiet Sun: 35 of 215 true
    ones are on average less than 1.6 times as dark. On the 20 quiet Suns 970000 to 970019 no region was found
    in 80 images and no hole in 40. ``benchmarks/detect_quality.py`` measures this.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> image = sorted(demo.AIA_IMAGES.glob("*.jp2"))[0]
    >>> tracking.detect(image)[["x0", "y0", "x1", "y1"]].round().head(2)
          x0     y0     x1     y1
    0  232.0  293.0  261.0  319.0
    1  269.0  273.0  290.0  303.0
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    if not isinstance(geometry, ImageGeometry | None):
        raise TypeError(f"geometry must be an ImageGeometry, got {type(geometry).__name__}")
    name = os.fspath(image) if isinstance(image, str | os.PathLike) else "the image"
    header = (
        image_files.read_header(image).header
        if isinstance(image, str | os.PathLike)
        else _grey(image_files.as_image(image)).header
    )
    band = wavelength if wavelength is not None else _wavelength(header, kind, name)
    try:
        place = geometry if geometry is not None else ImageGeometry.from_header(header)
        pixels, seen = _pixels(image, place, geometry is not None)
        found = segment(pixels, seen, kind, wavelength=band)
    except (ImageError, GeometryError) as error:
        said = str(error) if name in str(error) else f"{name}: {error}"
        raise type(error)(said) from error.__cause__
    rows = []
    for number, (box, score, area, contrast) in enumerate(
        zip(found.boxes, found.scores, found.areas_deg2, found.contrasts, strict=True)
    ):
        at = _moved(box.reshape(2, 2), seen, place)
        whole = np.concatenate([at.min(axis=0), at.max(axis=0)])
        sides = dict(zip(("x0", "y0", "x1", "y1"), map(float, whole), strict=True))
        measured = {"area_deg2": float(area), "contrast": float(contrast)}
        rows.append({"id": number, **sides, "score": float(score), "kind": kind, **place_of(whole, place)})
        rows[-1].update(measured)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = [column for column in COLUMNS if column not in ("id", "kind")]
    table = table.astype({"id": np.int64, **dict.fromkeys(numbers, np.float64), "kind": object})
    if outlines:
        table["outline"] = pd.Series(
            [_moved(lines[0], seen, place) for lines in found.outlines()], dtype=object
        )
    return table


def _grey(image: SolarImage) -> SolarImage:
    """An image, if it is one of numbers in rows and columns."""
    shape = np.shape(image.array)
    if len(shape) != 2:
        got = f"shape {shape}" if shape else repr(image.array[()])
        hint = "; take one channel, or their mean" if len(shape) == 3 and shape[2] in (3, 4) else ""
        raise ValueError(f"image must be a path, an image or an array of shape (ny, nx), got {got}{hint}")
    return image


def _wavelength(header: Header, kind: str, name: str) -> int | None:
    """Wavelength by the header, angstrom; None if it does not say. Refuses what is no EUV image."""
    content = f"{header.get('CONTENT', '')} {header.get('BUNIT', '')}".lower()
    if "magnetogram" in content or "gauss" in content:
        raise ImageError(
            f"{name}: this is a magnetogram by its header, and {kind}s are found in EUV images; "
            "regions of magnetograms are in the catalogues of HARPs"
        )
    value = wavelength_angstrom(header)
    if value is None:
        given = header.get("WAVELNTH")
        if str(given).strip().lower().lstrip("+-") in ("inf", "infinity", "nan"):
            raise ImageError(f"{name}: by its header WAVELNTH is {given!r}, which is none; pass wavelength=")
        return None
    known = KINDS[kind].wavelengths
    if round(value) not in known:
        raise ImageError(
            f"{name}: {kind}s are found in EUV images of {', '.join(map(str, known))} angstrom, "
            f"this one is of {value:g} by its header"
        )
    return round(value)


def _pixels(image: Any, place: ImageGeometry, given: bool) -> tuple[Any, ImageGeometry]:
    """Pixels, reduced where the file is large, and where the Sun is in them."""
    if not isinstance(image, str | os.PathLike):
        array = np.asarray(image_files.as_image(image).array)
        return array, place
    reduce = 2 ** max(0, int(np.log2(max(place.disk_radius / _RADIUS, 1.0))))
    read: SolarImage = image_files.read(image, reduce=reduce)
    if reduce == 1:
        return read.array, place
    if not given:
        return read.array, ImageGeometry.from_header(read.header)
    # Means over blocks, or, in JPEG 2000, pixels centred on every so many.
    shift = 0.5 * (1.0 - 1.0 / reduce) if _is_jp2(image) else 0.0
    x, y = (v / reduce + shift for v in place.reference)
    xx, xy, yx, yy = (v * reduce for v in place.matrix)
    seen = ImageGeometry(
        (x, y), (xx, xy, yx, yy), place.center_arcsec, place.b0_deg, place.l0_deg, place.distance_rsun
    )
    return read.array, seen


def _is_jp2(path: str | os.PathLike[str]) -> bool:
    with open(path, "rb") as file:
        return file.read(8).endswith(b"jP  ")


def _moved(points: Any, seen: ImageGeometry, place: ImageGeometry) -> Any:
    """Points ``(x, y)`` of the reduced image in the whole one."""
    if seen is place:
        return points
    x, y = place.helioprojective_to_pixel(*seen.pixel_to_helioprojective(points[:, 0], points[:, 1]))
    return np.column_stack([x, y])
