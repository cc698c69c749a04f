"""The default tracker: rotation says where to look, a network what is there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, TrackWarning
from solartrack.inference import Model
from solartrack.tracking.interface import FrameMeta, Step
from solartrack.tracking.network import Network, shown
from solartrack.tracking.region import SMALLEST, Region, place

__all__ = ["IN_PARTS", "SolarTracker", "advance", "first_look", "wanted", "wanted_first", "window_around"]

# Images of these kinds are decoded in part; of others nothing would be gained.
IN_PARTS = (".jp2", ".j2k", ".jpx")
_TOO_THIN = "too thin to be recognised"
# A corrected box may be larger than the one that is looked around.
_ROOM = 1.3


class SolarTracker:
    """Carry the box with the Sun's rotation and correct it with a network.

    The box is the visible part of a rectangle in latitude and longitude that rotates with the
    Sun. In each image the network looks at a window around it, beside the crop in which the
    region was last recognised, and says where the region's sides are, how sure it is of each,
    and whether it is there at all. A Kalman filter weighs that: the surer the network is of a
    side, and the less the filter, the more of its answer counts. A region that begins as a
    sliver at the limb is found by its looks alone, in eight windows whose size does not depend on the
    box; it takes days to find all of it, see docs/tracking.md. An image in which the region is not
    recognised leaves the box to rotation alone ("coasting"; "lost" after three), until it is
    recognised again.

    Without a time and a geometry for the start image it follows the plain box, with a
    `TrackWarning`. An image later on that lacks one takes that of the image before.

    Parameters
    ----------
    model : str, path or Model
        The network: "goturn-lite", which is shipped, or an ONNX file of
        `solartrack.models.goturn.train`.
    device : str
        "auto", "cpu", "cuda" or "cuda:N", see `solartrack.inference.Model.load`.
    threads : int, optional
        For the network on the CPU. One is as fast for one region, and the same on all machines.

    Raises
    ------
    ModelError
        If the model is unknown, not one of ours or not made for tracking.
    DeviceError
        If CUDA was asked for and does not work.
    ImportError
        If ONNX Runtime is not installed.
    """

    name = "solar"
    needs_pixels = True
    needs_sun = False

    _region: Region
    _started: FrameMeta | None = None

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "goturn-lite",
        *,
        device: str = "auto",
        threads: int | None = 1,
    ) -> None:
        self._network = Network(model, device, threads)

    def settings(self) -> dict[str, Any]:
        """Return the model's identity and where it runs."""
        return self._network.settings()

    def window(self, meta: FrameMeta, start: Float64Array | None = None) -> tuple[int, int, int, int] | None:
        """Part of an image that the network will be shown, if only that can be decoded."""
        if not meta.file.lower().endswith(IN_PARTS):
            return None
        if start is None:
            box = wanted(self._network, self._region, meta)
        else:
            try:
                box = wanted_first(self._network, Region(start, meta))
            except GeometryError:  # which `init` will say
                box = start
        return window_around(box, self._network.crops.context, meta.shape)

    def init(self, image: NDArray[Any] | None, box: Float64Array, meta: FrameMeta) -> str:
        """Start from a box.

        Returns
        -------
        str
            That no region is recognised there, "" if one is.

        Raises
        ------
        GeometryError
            If the box lies beyond the limb.
        """
        assert image is not None
        self._region = Region(box, meta)
        again, self._started = meta is self._started, meta
        if self._region.in_pixels and not again:  # it has been said on the way forward
            warnings.warn(
                f"{self._region.in_pixels}: the region is followed without the Sun's rotation, which is far "
                "less reliable; give times and the disk",
                TrackWarning,
                stacklevel=2,
            )
        part = None
        if meta.file.lower().endswith(IN_PARTS):
            context = self._network.crops.context
            part = window_around(wanted_first(self._network, self._region), context, meta.shape)
        return first_look(self._network, [self._region], shown(image, part))[0]

    def update(self, image: NDArray[Any] | None, meta: FrameMeta) -> Step:
        """Find the region in another image."""
        assert image is not None
        return advance(self._network, [self._region], shown(image, self.window(meta)), meta)[0]


def first_look(network: Network, regions: Sequence[Region], image: NDArray[Any]) -> list[str]:
    """Show new regions to the network on their start image.

    Parameters
    ----------
    network : Network
    regions : sequence of Region
        Changed in place.
    image : ndarray, shape (ny, nx)
        Display values.

    Returns
    -------
    list of str
        For each: why the network is no help there, "" if it is.
    """
    boxes = np.array([region.prior().box for region in regions])
    shows = [_shows(network, region) for region in regions]
    seen = [row for row, show in enumerate(shows) if show]
    for row, target in zip(seen, network.crop(image, boxes[seen]), strict=True):
        regions[row].target = target
    answers = network.answer([region.target for region in regions], image, boxes, _geometry(regions))
    said = []
    for region, show, box, found, spread, score in zip(regions, shows, boxes, *answers, strict=True):
        if show and _too_thin(box):
            said.append(_TOO_THIN)
        elif region.learn_offsets(found, spread, float(score), alone=not show):
            said.append("")
        else:
            said.append(f"no region is recognised here (score {float(score):.2f})")
    return said


def advance(network: Network, regions: Sequence[Region], image: NDArray[Any], meta: FrameMeta) -> list[Step]:
    """Follow regions into one image, all as one batch.

    Parameters
    ----------
    network : Network
    regions : sequence of Region
        Changed in place.
    image : ndarray, shape (ny, nx)
        Display values.
    meta : FrameMeta
        Of the image.

    Returns
    -------
    list of Step
        One for each region.
    """
    for region in regions:
        region.move(meta)
    place(regions)
    priors = [region.prior() for region in regions]
    asked = []
    for row, (region, prior) in enumerate(zip(regions, priors, strict=True)):
        if prior.state == "off_disk":
            continue
        if not _in_image(prior.box, meta.shape):
            region.miss(region.score, "the box lies outside the image", looked=False)
        elif _shows(network, region) and _too_thin(prior.box):
            region.miss(region.score, _TOO_THIN, looked=False)
        else:
            asked.append(row)
    if not asked:
        return [region.outcome() for region in regions]
    targets = [regions[row].target for row in asked]
    boxes = np.array([priors[row].box for row in asked])
    answers = network.answer(targets, image, boxes, _geometry(regions))
    believed = [
        regions[row]
        for row, target, found, spread, score in zip(asked, targets, *answers, strict=True)
        if regions[row].correct(found, spread, float(score), alone=target is None)
    ]
    place(believed)
    steps = [region.outcome() for region in regions]
    seen = [row for row in asked if steps[row].state == "tracked" and _shows(network, regions[row])]
    if seen:
        crops = network.crop(image, np.array([steps[row].box for row in seen]))
        for row, target in zip(seen, crops, strict=True):
            regions[row].target = target
    return steps


def _geometry(regions: Sequence[Region]) -> ImageGeometry | None:
    """Of the image that all of them are in; those followed in pixels do not know it."""
    return next((region.geometry for region in regions if region.geometry is not None), None)


def _shows(network: Network, region: Region) -> bool:
    """Whether the network is shown how a region looked."""
    return region.settled or network.needs_target


def _too_thin(box: Float64Array) -> bool:
    return bool((box[2:] - box[:2] < SMALLEST).any())


def _in_image(box: Float64Array, shape: tuple[int, int]) -> bool:
    return bool(box[0] < shape[1] and box[1] < shape[0] and box[2] > 0 and box[3] > 0)


def wanted(network: Network, region: Region, meta: FrameMeta) -> Float64Array:
    """Box in whose surroundings, see `window_around`, a region is looked for in an image; NaN if nowhere."""
    return _surroundings(network, region, region.foresee(meta), meta.geometry or region.geometry)


def wanted_first(network: Network, region: Region) -> Float64Array:
    """The same in the image that it is in."""
    return _surroundings(network, region, region.prior().box, region.geometry)


def _surroundings(
    network: Network, region: Region, box: Float64Array, geometry: ImageGeometry | None
) -> Float64Array:
    if geometry is None or _shows(network, region):
        return box
    square = network.crops.squares(box[None], geometry.disk_radius)[0]
    centre, half = 0.5 * (square[:2] + square[2:]), 0.5 * (square[2:] - square[:2])
    half *= network.reach / (_ROOM * network.crops.context)
    return np.concatenate([centre - half, centre + half])


def window_around(
    box: Float64Array, context: float, shape: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Whole pixels around a box that its crop, and that of a corrected box, are made from."""
    if not np.isfinite(box).all():
        return 0, 0, min(16, shape[1]), min(16, shape[0])  # behind the limb: nothing will be looked at
    centre, half = 0.5 * (box[:2] + box[2:]), 0.5 * _ROOM * context * (box[2:] - box[:2]) + 8.0
    low = np.clip(np.floor(centre - half), 0, shape[::-1]).astype(int)
    high = np.clip(np.ceil(centre + half), 0, shape[::-1]).astype(int)
    return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (low < high).all() else None
