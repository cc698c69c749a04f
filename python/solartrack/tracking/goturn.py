"""The network alone, as GOTURN was published."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.inference import Model
from solartrack.tracking.interface import FrameMeta, Step
from solartrack.tracking.network import Network, shown
from solartrack.tracking.solar import IN_PARTS, window_around

__all__ = ["GoturnTracker"]


class GoturnTracker:
    """Ask the network where the box of the image before is now, and believe it.

    Knows nothing of the Sun: needs neither times nor coordinates, drifts, and never says that
    it has lost the region. For comparison, and for images that are not of the Sun.

    Parameters
    ----------
    model : str, path or Model
        "goturn-lite", which is shipped, or an ONNX file of `solartrack.models.goturn.train`.
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
    needs_pixels = True
    needs_sun = False

    _box: Float64Array
    _target: NDArray[np.float32]

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
        return window_around(self._box if start is None else start, self._network.crops.context, meta.shape)

    def init(self, image: NDArray[Any] | None, box: Float64Array, meta: FrameMeta) -> None:
        """Start from a box."""
        assert image is not None
        self._box = box
        self._target = self._network.crop(shown(image, self.window(meta, box)), box[None])[0]

    def update(self, image: NDArray[Any] | None, meta: FrameMeta) -> Step:
        """Find the region in another image; the box is cut to it."""
        assert image is not None
        seen = shown(image, self.window(meta))
        answers = self._network.answer([self._target], seen, self._box[None])
        ny, nx = meta.shape
        box = np.clip(answers.boxes[0], 0.0, [nx, ny, nx, ny])
        if not (box[2:] - box[:2] >= 1.0).all():
            return Step(self._box, 0.0, "lost", "the network's answer is no box; the last one stays")
        self._box = box
        self._target = self._network.crop(seen, box[None])[0]
        return Step(box, float(np.clip(answers.scores[0], 0.0, 1.0)), "tracked")
