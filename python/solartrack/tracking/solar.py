"""The default tracker: rotation says where to search, a network what is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.coordinates import DEFAULT_LAW, ImageGeometry, RotationLaw, rotation_law
from solartrack.inference import Model
from solartrack.sequence import Frame, ImagePart
from solartrack.tracking.filter import DEFAULT, FilterSettings, Region, project
from solartrack.tracking.interface import Step
from solartrack.tracking.network import Answers, DisplayImage, NetworkTracker
from solartrack.tracking.rectangle import rectangles_of

__all__ = ["CONVENTIONS", "SolarTracker"]

_TOO_THIN = "too thin to be recognised"
# Days after which a region is looked for without its template again, which takes eight windows: once a day,
# however times are rounded.
_LOOKED_AT = 0.99
#: What a box may be a box of, and the process noise of its sides where that is told: standard deviation after
#: one day, in sizes of the region. Chosen from 0.01, 0.02, 0.04, 0.2 and 0.3 on the simulated sequences that
#: `FilterSettings` were chosen on; boxes of SPoCA also change by tens of percent from one image to the next.
CONVENTIONS: dict[str, float | None] = {"auto": None, "rectangle": 0.02, "segmentation": 0.2}


class SolarTracker(NetworkTracker):
    """Carry the box with the Sun's rotation and correct it with a network.

    The box is the visible part of a rectangle in latitude and longitude that rotates with the Sun. In
    each image the network sees a window around the predicted box, and beside it the template: the crop in
    which the region was last recognised. It answers where the region's sides are, how accurate each is,
    and whether the region is there at all. A Kalman filter combines answer and prediction, see
    `solartrack.tracking.filter`. In an image in which the region is not recognised the box follows
    rotation alone ("coasting"; "lost" after three), until it is recognised again.

    A region that the network, without the template, finds larger than its box is expected to grow; the filter
    changes the box of any other one less readily. This is looked at in the start image and once a day, unless
    `convention` tells.

    Answers that make a box smaller count less than those that make it larger, see
    `solartrack.tracking.FilterSettings`.

    A region that begins as a sliver at the limb has no template. It is found by its looks alone, in
    eight windows whose size does not depend on the box. It takes days to find all of it, see
    docs/tracking.md.

    Without a time and a geometry for the start image it follows the plain box, with a `TrackWarning`. A
    later image that lacks one takes that of the image before.

    Parameters
    ----------
    model : str, path or Model
        The network: "goturn-lite", which is shipped, or an ONNX file of
        ``solartrack train``.
    device : str
        "auto", "cpu", "cuda" or "cuda:N", see `solartrack.inference.Model.load`.
    threads : int, optional
        For the network on the CPU. One is as fast for one region.
    filter : FilterSettings, optional
        Constants of the filter.
    law : str or RotationLaw
        Of rotation, see `solartrack.coordinates.rotation_rate`.
    convention : {"auto", "rectangle", "segmentation"}
        What the start box is, and with it the boxes to come. "rectangle": a rectangle in latitude and
        longitude that a catalogue keeps for all of a region's life, as the definitive SHARP boxes; its sides
        hardly change. "segmentation": a box that is drawn anew around what each image shows, as those of
        SPoCA; its sides follow what is seen. "auto": one or the other, by what is seen in and around the box.

    Raises
    ------
    ValueError
        If there is no such law of rotation or convention.
    ModelError
        If the model is unknown, not one of ours or not made for tracking.
    DeviceError
        If CUDA was asked for and does not work.
    ImportError
        If ONNX Runtime is not installed.
    """

    name = "solar"

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "goturn-lite",
        *,
        device: str = "auto",
        threads: int | None = 1,
        filter: FilterSettings = DEFAULT,
        law: str | RotationLaw = DEFAULT_LAW,
        convention: str = "auto",
    ) -> None:
        if not isinstance(convention, str) or convention not in CONVENTIONS:
            wanted = ", ".join(map(repr, CONVENTIONS))
            raise ValueError(f"convention must be one of {wanted}, got {convention!r}")
        noise = CONVENTIONS[convention]
        self._convention = convention
        self._filter = filter if noise is None else replace(filter, process_noise=(noise, noise))
        self._law = rotation_law(law)
        super().__init__(model, device, threads)

    def settings(self) -> dict[str, Any]:
        """Return the model's identity, where it runs, the convention, the filter's constants and the law."""
        told = {"convention": self._convention, "filter": self._filter.as_dict(), "law": list(self._law)}
        return {**super().settings(), **told}

    def rectangles(self, regions: Sequence[Region]) -> Float64Array:
        """Rectangles in latitude and longitude, shape (n, 4); NaN for regions followed in pixels."""
        return rectangles_of(regions)

    def new_region(self, box: Float64Array, frame: Frame) -> Region:
        """Begin with a box.

        Raises
        ------
        GeometryError
            If the box lies beyond the limb, or covers too much of the Sun.
        """
        return Region(box, frame, self._filter, self._law)

    def initialize(self, image: ImagePart, regions: Sequence[Region], frame: Frame) -> list[str]:
        """Show new regions to the network on their start image.

        Returns
        -------
        list of str
            For each: why the network is no help there, "" if it is.
        """
        shown = DisplayImage(image, frame)
        boxes = np.array([region.box for region in regions])
        with_template = [row for row, region in enumerate(regions) if self._has_template(region)]
        for row, crop in zip(with_template, self.network.crop(shown, boxes[with_template]), strict=True):
            regions[row].template = crop
        answers, seen = self._ask(shown, regions, frame)
        for row, box in seen.items():
            regions[row].foresee(box)
        return [
            self._compare(region, found, spread, float(score))
            for region, found, spread, score in zip(regions, *answers, strict=True)
        ]

    def update(self, image: ImagePart | None, regions: Sequence[Region], frame: Frame) -> list[Step]:
        """Find the regions in another image, all as one batch."""
        assert image is not None
        for region in regions:
            region.predict(frame)
        project(regions)
        searched = [region for region in regions if self._can_search(region, frame)]
        if not searched:
            return [region.result() for region in regions]
        shown = DisplayImage(image, frame)
        answers, looks = self._ask(shown, searched, frame)
        accepted = [
            region
            for region, found, spread, score in zip(searched, *answers, strict=True)
            if region.correct(found, spread, float(score), with_template=region.template is not None)
        ]
        project(accepted)
        for row, box in looks.items():
            if searched[row] in accepted:
                searched[row].foresee(box)
        seen = [
            region for region in searched if region.result().state == "tracked" and self._has_template(region)
        ]
        if seen:
            crops = self.network.crop(shown, np.array([region.box for region in seen]))
            for region, crop in zip(seen, crops, strict=True):
                region.template = crop
        return [region.result() for region in regions]

    def _has_template(self, region: Region) -> bool:
        return region.has_template or self.network.needs_template

    def _ask(
        self, shown: DisplayImage, regions: Sequence[Region], frame: Frame
    ) -> tuple[Answers, dict[int, Float64Array]]:
        """The network's answers, and what it recognises by its looks in place of some of the regions."""
        boxes = np.array([region.box for region in regions])
        also = [row for row, region in enumerate(regions) if self._is_looked_at(region, frame)]
        templates = [*(region.template for region in regions), *[None] * len(also)]
        found = self.network.answer(
            templates, shown, np.concatenate([boxes, boxes[also]]), _geometry(regions)
        )
        count = len(regions)
        return Answers(*(part[:count] for part in found)), dict(zip(also, found.boxes[count:], strict=True))

    def _is_looked_at(self, region: Region, frame: Frame) -> bool:
        """Whether a region that has a template is looked for without it, too."""
        able = not self.network.needs_template and not region.without_rotation and self._convention == "auto"
        return able and region.has_template and region.days_since_foreseen(frame) >= _LOOKED_AT

    def _compare(self, region: Region, found: Float64Array, spread: Float64Array, score: float) -> str:
        """Let the filter take in the answer for a start image; the message for its row."""
        with_template = self._has_template(region)
        if with_template and _too_thin(region):
            return _TOO_THIN
        if region.initialize(found, spread, score, with_template=with_template):
            return ""
        return f"no region is recognised here (score {score:.2f})"

    def _can_search(self, region: Region, frame: Frame) -> bool:
        """Whether the network is asked; if not, the region is told why."""
        if region.prediction().state == "off_disk":
            return False
        x0, y0, x1, y1 = region.box
        if not (x0 < frame.shape[1] and y0 < frame.shape[0] and x1 > 0 and y1 > 0):
            region.miss(region.score, "the box lies outside the image", counts=False)
            return False
        if self._has_template(region) and _too_thin(region):
            region.miss(region.score, _TOO_THIN, counts=False)
            return False
        return True

    def _searched(self, region: Region, frame: Frame) -> Float64Array:
        starts = frame is region.frame
        box = region.box if starts else region.predicted_box(frame)
        geometry = region.geometry if starts else frame.geometry or region.geometry
        by_looks = not self._has_template(region) or self._is_looked_at(region, frame)
        if geometry is None or not by_looks or not np.isfinite(box).all():
            return box
        return self.network.search_area(box, geometry)


def _geometry(regions: Sequence[Region]) -> ImageGeometry | None:
    """Of the image that all of them are in; those followed in pixels do not know it."""
    return next((region.geometry for region in regions if region.geometry is not None), None)


def _too_thin(region: Region) -> bool:
    return bool((region.box[2:] - region.box[:2] < region.settings.smallest_box_px).any())
