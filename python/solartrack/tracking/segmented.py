"""A tracker without a network: the box is that of the place which the segmentation of each image finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from solartrack import metrics
from solartrack._arrays import Float64Array
from solartrack._optional import require
from solartrack.coordinates import (
    DEFAULT_LAW,
    RotationLaw,
    fit_rectangles,
    rectangles_to_boxes,
    rotate_rectangles,
    rotation_law,
)
from solartrack.errors import GeometryError, ImageError
from solartrack.segmentation import KINDS, segment
from solartrack.sequence import Frame, ImagePart
from solartrack.tracking.interface import Step
from solartrack.tracking.rotation import require_sun

__all__ = ["SegmentationTracker"]

# Less overlap with the rotated box is another place.
_LEAST_OVERLAP = 0.2
_PATIENCE = 3
_LARGEST_DEG = (170.0, 85.0)


@dataclass
class _Region:
    """Where it was last found, carried on by rotation."""

    sides: Float64Array
    mjd_tai: float
    box: Float64Array
    misses: int = 0
    score: float = 1.0


class SegmentationTracker:
    """Follow what shines, or what is dark, as segmentation draws it in each image.

    The truth of catalogues such as SPoCA's is the segmentation of an image: boxes breathe by tens of percent
    from one image to the next, and no rectangle carried by rotation follows that. Here the last box is
    carried by rotation to the next image, and the place that overlaps it most is the region there
    (`solartrack.segmentation.segment`). Where none overlaps it by a fifth, the box follows rotation alone
    ("coasting"; "lost" after three images). Two regions are never given the same place.

    The score is the IoU of the place with the box that rotation predicted.

    Parameters
    ----------
    kind : {"active_region", "coronal_hole"}
    wavelength : int, optional
        Of the images, angstrom. Default: by their headers, else 171 for regions and 193 for holes.
    law : str or RotationLaw, optional
        Of rotation. Default: that of active regions; for coronal holes "coronal holes".

    Raises
    ------
    ValueError
        If there is no such kind or law, or the kind cannot be told in that wavelength.
    ImportError
        If scikit-image is not installed.
    """

    name = "segmentation"
    needs_pixels = True
    needs_sun = True

    def __init__(
        self,
        kind: str = "active_region",
        *,
        wavelength: int | None = None,
        law: str | RotationLaw | None = None,
    ) -> None:
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
        default = DEFAULT_LAW if kind == "active_region" else "coronal holes"
        self._kind, self._law = kind, rotation_law(default if law is None else law)
        # Now, not as a message in every row.
        require("skimage.morphology", extra="detect", purpose="finding regions")
        self._wavelength = wavelength
        if wavelength is not None and wavelength not in KINDS[kind].wavelengths:
            known = ", ".join(map(str, KINDS[kind].wavelengths))
            raise ValueError(f"wavelength must be one of {known} for {kind}s, got {wavelength!r}")

    def settings(self) -> dict[str, Any]:
        """Return the kind, the wavelength and the law of rotation."""
        return {"kind": self._kind, "wavelength": self._wavelength, "law": list(self._law)}

    def rectangles(self, regions: Sequence[_Region]) -> Float64Array:
        """Rectangles in latitude and longitude, shape (n, 4)."""
        return np.array([region.sides for region in regions]).reshape(-1, 4)

    def new_region(self, box: Float64Array, frame: Frame) -> _Region:
        """Begin with a box.

        Raises
        ------
        TrackError
            If the start image has no time or no geometry.
        GeometryError
            If the box lies beyond the limb, or covers too much of the Sun.
        """
        require_sun(frame, self.name)
        assert frame.geometry is not None
        sides = fit_rectangles(box, frame.geometry)[0][0]
        if not (sides[2:] - sides[:2] < _LARGEST_DEG).all():
            raise GeometryError(
                f"the box ({', '.join(f'{v:g}' for v in box)}) lies beyond the limb, or covers too much of "
                "the Sun; give a box on the disk"
            )
        return _Region(sides, frame.mjd_tai, np.asarray(box, dtype=np.float64))

    def initialize(self, image: ImagePart, regions: Sequence[_Region], frame: Frame) -> list[str]:
        """Look whether the segmentation finds the regions in their start image, too."""
        places, trouble = self._places(image, frame)
        if trouble:
            return [trouble] * len(regions)
        found = _matched(np.array([region.box for region in regions]), places)
        what = self._kind.replace("_", " ")
        return ["" if place is not None else f"the segmentation finds no {what} here" for place in found]

    def update(self, image: ImagePart | None, regions: Sequence[_Region], frame: Frame) -> list[Step]:
        """Find the places of the regions in another image."""
        assert image is not None and frame.geometry is not None
        for region in regions:
            region.sides = rotate_rectangles(region.sides, frame.mjd_tai - region.mjd_tai, self._law)[0]
            region.mjd_tai = frame.mjd_tai
        boxes = rectangles_to_boxes(self.rectangles(regions), frame.geometry)[0]
        places, trouble = self._places(image, frame)
        steps = []
        for region, box, place in zip(regions, boxes, _matched(boxes, places), strict=True):
            region.box = box
            if not np.isfinite(box).all():
                steps.append(Step(np.full(4, np.nan), 0.0, "off_disk"))
                continue
            if place is None:
                region.misses += 1
                region.score *= 0.5
                state = "lost" if region.misses >= _PATIENCE else "coasting"
                steps.append(Step(box, region.score, state, trouble or "no place overlaps the box"))
                continue
            message = "found again" if region.misses >= _PATIENCE else ""
            region.score = float(metrics.iou(place[None], box[None])[0])
            region.box, region.misses = place, 0
            region.sides = fit_rectangles(place, frame.geometry)[0][0]
            steps.append(Step(place, region.score, "tracked", message))
        return steps

    def _places(self, image: ImagePart, frame: Frame) -> tuple[Float64Array, str]:
        """Boxes of all places, and why there is none if the image cannot be segmented."""
        try:
            whole = image.pixels if image.pixels.shape == frame.shape else frame.read().pixels
            assert frame.geometry is not None
            band = self._wavelength or frame.wavelength
            if band is not None and round(band) not in KINDS[self._kind].wavelengths:
                return np.empty((0, 4)), f"{self._kind}s cannot be told in {band:g} angstrom"
            band = None if band is None else round(band)
            return segment(whole, frame.geometry, self._kind, wavelength=band).boxes, ""
        except (ImageError, GeometryError) as error:
            return np.empty((0, 4)), str(error)


def _matched(boxes: Float64Array, places: Float64Array) -> list[Float64Array | None]:
    """For each box the place that is its own, None if there is none: the largest overlaps first."""
    out: list[Float64Array | None] = [None] * len(boxes)
    if not len(boxes) or not len(places):
        return out
    overlap = metrics.iou(np.nan_to_num(boxes), places, pairwise=False)
    while overlap.max() >= _LEAST_OVERLAP:
        row, column = np.unravel_index(overlap.argmax(), overlap.shape)
        out[int(row)] = places[column]
        overlap[row], overlap[:, column] = 0.0, 0.0
    return out
