"""Find the regions or coronal holes of an image, so that tracks can start without a box."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from astropy.io.fits import Header
from numpy.typing import NDArray

from solartrack import images as image_files
from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry
from solartrack.coordinates.header import wavelength_angstrom
from solartrack.errors import GeometryError, ImageError, ModelError
from solartrack.images import SolarImage
from solartrack.inference import Model
from solartrack.metrics.overlap import iou
from solartrack.segmentation import KINDS, Segments, candidates, segment
from solartrack.sequence import Frame, ImagePart
from solartrack.tracking.network import DisplayImage, Network, windows_of_sizes
from solartrack.tracking.sky import place_of

__all__ = ["COLUMNS", "detect"]

#: Columns of the table that `detect` returns.
COLUMNS = {
    "id": "0 for the best score, and so on",
    "x0": "box, pixel edges of the image as stored",
    "y0": "",
    "x1": "",
    "y1": "",
    "score": "0 to 1: of regions the IoU to expect, without a network and of holes by contrast and size",
    "kind": "active_region or coronal_hole",
    "lon": "Stonyhurst longitude of the middle of the box, degrees",
    "lat": "its latitude",
    "tx0": "the box in helioprojective arcsec, west and north positive",
    "ty0": "",
    "tx1": "",
    "ty1": "",
    "area_deg2": "area on the Sun's surface of what shines or does not, square degrees of a great circle",
    "contrast": "its mean intensity relative to the quiet Sun's",
}

# A disk of this radius in pixels is enough, which is that of the images the network was trained on.
_RADIUS = 390.0
# Of candidates whose boxes have a larger IoU one is enough: with 0.8, 1.7 times as many, nothing is gained.
_SAME = 0.6
# The network is asked for so many candidates at a time.
_AT_ONCE = 32
# Windows that a candidate is searched in: 0.3 to 0.65 solar radii. Chosen with _OVERLAP on the simulated
# Suns that `solartrack.segmentation.KINDS` were chosen on.
_WINDOWS = windows_of_sizes(0.6, 0.8, 1.0, 1.3)
# Of boxes with a larger IoU only the one with the best score is a region.
_OVERLAP = 0.3
# Chosen by eye between 0.3, with which boxes beside regions are drawn on real images, and 0.4, with which
# regions at the limb are left out; on those Suns it matters little.
_LEAST = 0.35


def detect(
    image: Any,
    kind: str = "active_region",
    *,
    geometry: ImageGeometry | None = None,
    wavelength: int | None = None,
    outlines: bool = False,
    model: str | os.PathLike[str] | Model | None = "goturn-lite",
    device: str = "auto",
) -> pd.DataFrame:
    """Find the active regions or the coronal holes in an EUV image of the whole Sun.

    A segmentation in the manner of SPoCA finds what is brighter or darker than the quiet Sun. What may be an
    active region is shown to the network of the default tracker, which draws the boxes and tells neighbours
    apart.

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
        shape (k, 2). Outlines are those of the segmentation; a box of the network does not touch them.
    model : str, path, Model or None
        Network for active regions: "goturn-lite", which is shipped, or an ONNX file of ``solartrack train``
        that recognises regions without a template. None for the boxes of the segmentation. Holes are always
        found without.
    device : str
        For the network: "auto", "cpu", "cuda" or "cuda:N", see `solartrack.inference.Model.load`.

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
    ModelError, DeviceError
        If the model cannot be used for this, or not on that device.
    ImportError
        If scikit-image is not installed, or ONNX Runtime, which active regions need unless `model` is None.

    Notes
    -----
    The segmentation is that of `solartrack.segmentation.segment` (in the manner of SPoCA, Verbeeck et al.
    2014, A&A 561, A29) of this one image. With a network it gives candidates, the places at every level of
    brightness (`solartrack.segmentation.candidates`). For each the network answers in 16 windows where the
    region there has its sides, and which IoU to expect; the answers are averaged. Of boxes that overlap by an
    IoU above 0.3 the one with the best score is kept; none with a score below 0.35 is. The network has
    learnt to draw the field of at least 30 G. ``area_deg2``, ``contrast`` and the outline are those of the
    candidate that fits the box best. Without a network the boxes are those of what shines in this channel,
    brought down from the height of the loops, 1 % of the radius; those of holes are of what is dark.

    On 20 simulated Suns by which nothing was chosen (seeds 977000 to 978009), the average precision at an IoU
    of 0.5 is 0.80 for active regions of more than 20 square degrees (against the strong field of the
    magnetogram; 0.83 and 0.78 on ten each), and 0.70 without a network; for holes it is 0.42 (seeds 959000 to
    959009 and 965000 to 965009). What is missed: regions near the limb, a third of those beyond 0.92 radii;
    holes that are hardly darker than the quiet Sun. On the 20 quiet Suns 979000 to 979019 no region was found
    in 80 images, and two holes in 40. ``benchmarks/detect_quality.py`` measures this.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> image = sorted(demo.AIA_IMAGES.glob("*.jp2"))[0]
    >>> tracking.detect(image)[["x0", "y0", "x1", "y1"]].round().head(2)
          x0     y0     x1     y1
    0  237.0  287.0  283.0  319.0
    1  280.0  274.0  292.0  287.0
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
        if kind == "active_region" and model is not None:
            found = _recognised(pixels, seen, band, _network(model, device))
        else:
            found = _segmented(segment(pixels, seen, kind, wavelength=band))
    except (ImageError, GeometryError) as error:
        said = str(error) if name in str(error) else f"{name}: {error}"
        raise type(error)(said) from error.__cause__
    rows = []
    for number, (box, score, area, contrast) in enumerate(zip(*found[:4], strict=True)):
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
        table["outline"] = pd.Series([_moved(line, seen, place) for line in found.outlines()], dtype=object)
    return table


class _Found(NamedTuple):
    """What is in an image, the best score first; `outlines` gives the longest outline of each."""

    boxes: Float64Array
    scores: Float64Array
    areas_deg2: Float64Array
    contrasts: Float64Array
    outlines: Callable[[], list[Float64Array]]


def _segmented(found: Segments) -> _Found:
    return _Found(*found[:4], lambda: [lines[0] for lines in found.outlines()])


def _network(model: str | os.PathLike[str] | Model, device: str) -> Network:
    try:
        network = Network(model, device, threads=1)
    except ImportError as error:
        if error.name != "onnxruntime":
            raise
        raise ImportError(
            f"finding active regions runs a network: {error}; "
            "or pass model=None for the boxes of the segmentation",
            name=error.name,
        ) from error
    if network.needs_template:
        raise ModelError(
            f"{network.model.path}: this model only follows what it is shown; to find regions train one "
            "with the recipe 'solar', or pass model=None for the boxes of the segmentation"
        )
    return network


def _recognised(pixels: Any, geometry: ImageGeometry, wavelength: int | None, network: Network) -> _Found:
    """Boxes that the network draws around what may be an active region."""
    found = candidates(pixels, geometry, wavelength=wavelength)
    alike = iou(found.boxes, found.boxes, pairwise=False, threads=1)
    shown = _best(alike > _SAME, np.arange(len(found.boxes)))
    image = DisplayImage(ImagePart(pixels), Frame(0, geometry=geometry, shape=pixels.shape, pixels=pixels))
    boxes, scores = np.empty((0, 4)), np.empty(0)
    for first in range(0, len(shown), _AT_ONCE):
        priors = found.boxes[shown[first : first + _AT_ONCE]]
        answers = network.answer([None] * len(priors), image, priors, geometry, _WINDOWS)
        boxes, scores = np.concatenate([boxes, answers.boxes]), np.concatenate([scores, answers.scores])
    good = np.flatnonzero((scores >= _LEAST) & _on_disk(boxes, geometry))
    boxes, scores = boxes[good], scores[good]
    kept = _best(iou(boxes, boxes, pairwise=False, threads=1) > _OVERLAP, np.argsort(-scores, kind="stable"))
    boxes, scores = boxes[kept], scores[kept]
    fits = iou(boxes, found.boxes, pairwise=False, threads=1).argmax(axis=1) if len(boxes) else []
    return _Found(
        boxes,
        scores,
        found.areas_deg2[fits],
        found.contrasts[fits],
        lambda: [found.outlines(number)[0] for number in fits],
    )


def _best(alike: NDArray[np.bool_], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """In the given order, those that are not like one before that is kept (non-maximum suppression)."""
    kept: list[int] = []
    for number in order.tolist():
        if not alike[number, kept].any():
            kept.append(number)
    return np.array(kept, dtype=np.intp)


def _on_disk(boxes: Float64Array, geometry: ImageGeometry) -> NDArray[np.bool_]:
    """Whether some of a box is on the disk."""
    middle = np.array(geometry.disk_center)
    nearest = np.clip(middle, boxes[:, :2], boxes[:, 2:]) - middle
    whole = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return np.asarray(whole & (np.hypot(nearest[:, 0], nearest[:, 1]) < geometry.disk_radius))


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
