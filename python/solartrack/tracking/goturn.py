"""The network alone, as GOTURN was published."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.inference import Model
from solartrack.sequence import Frame, ImagePart
from solartrack.tracking.interface import Step
from solartrack.tracking.network import DisplayImage, NetworkTracker

__all__ = ["GoturnTracker"]

_NO_BOX = "the network's answer is no box; the last one stays"


class _Box:
    """A box, and the crop around it in the image where it was found."""

    template: NDArray[np.float32]

    def __init__(self, box: Float64Array) -> None:
        self.box = box


class GoturnTracker(NetworkTracker):
    """Ask the network where the previous image's box is now, and accept every answer.

    Knows nothing of the Sun: needs neither times nor coordinates, drifts, and never says that it has
    lost the region. For comparison, and for images that are not of the Sun.

    Parameters
    ----------
    model : str, path or Model
        "goturn-lite", which is shipped, or an ONNX file of ``solartrack train``.
    device : str
        "auto", "cpu", "cuda" or "cuda:N", see `solartrack.inference.Model.load`.
    threads : int, optional
        For the network on the CPU.

    Raises
    ------
    ModelError
        If the model is unknown, not one of ours or not made for tracking.
    DeviceError
        If CUDA was asked for and does not work.
    ImportError
        If ONNX Runtime is not installed.

    References
    ----------
    Held, Thrun & Savarese 2016, ECCV, "Learning to Track at 100 FPS with Deep Regression Networks".
    """

    name = "goturn"

    def __init__(
        self,
        model: str | os.PathLike[str] | Model = "goturn-lite",
        *,
        device: str = "auto",
        threads: int | None = 1,
    ) -> None:
        super().__init__(model, device, threads)

    def new_region(self, box: Float64Array, frame: Frame) -> _Box:
        """Begin with a box."""
        return _Box(box)

    def initialize(self, image: ImagePart, regions: Sequence[_Box], frame: Frame) -> list[str]:
        """Take the templates of new regions."""
        self._take_templates(DisplayImage(image, frame), regions)
        return [""] * len(regions)

    def update(self, image: ImagePart | None, regions: Sequence[_Box], frame: Frame) -> list[Step]:
        """Find the regions in another image; boxes are clipped to it."""
        assert image is not None
        shown = DisplayImage(image, frame)
        priors = np.array([region.box for region in regions])
        answers = self.network.answer([region.template for region in regions], shown, priors)
        ny, nx = frame.shape
        steps, moved = [], []
        for region, answer, score in zip(regions, answers.boxes, answers.scores, strict=True):
            box = np.clip(answer, 0.0, [nx, ny, nx, ny])
            if not (box[2:] - box[:2] >= 1.0).all():
                steps.append(
                    Step(region.box, 0.0, "lost", "the network's answer is no box; the last one stays")
                )
                continue
            region.box = box
            moved.append(region)
            steps.append(Step(box, float(np.clip(score, 0.0, 1.0)), "tracked"))
        self._take_templates(shown, moved)
        return steps

    def _take_templates(self, image: DisplayImage, regions: Sequence[_Box]) -> None:
        crops = self.network.crop(image, np.array([region.box for region in regions]).reshape(-1, 4))
        for region, crop in zip(regions, crops, strict=True):
            region.template = crop

    def _searched(self, region: _Box, frame: Frame) -> Float64Array:
        return region.box
