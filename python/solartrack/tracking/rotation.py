"""Physics only: the box goes where the photosphere goes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry, rotate_box
from solartrack.errors import TrackError
from solartrack.tracking.interface import FrameMeta, Step


class RotationTracker:
    """Carry the start box with the Sun's differential rotation.

    Open loop: every frame is predicted from the start frame, so errors do not
    add up and pixels are never looked at. It cannot know growth, decay or what
    is hidden behind the limb. The score is the share of the start box that
    still faces the observer.
    """

    name = "rotation"
    needs_pixels = False
    needs_sun = True

    _box: Float64Array
    _days: float
    _geometry: ImageGeometry

    def settings(self) -> dict[str, Any]:
        """Return nothing: there is nothing to set."""
        return {}

    def init(self, image: NDArray[Any] | None, box: Float64Array, meta: FrameMeta) -> None:
        """Start from a box.

        Raises
        ------
        TrackError
            If the start frame has no time or no geometry.
        GeometryError
            If the box lies beyond the limb.
        """
        if not np.isfinite(meta.days):
            raise TrackError("the rotation tracker needs a time for the start frame; give times")
        if meta.geometry is None:
            raise TrackError("the rotation tracker needs to know where the Sun is; give the disk")
        rotate_box(box, 0.0, meta.geometry)  # a box beyond the limb fails here, not later
        self._box, self._days, self._geometry = box, meta.days, meta.geometry

    def update(self, image: NDArray[Any] | None, meta: FrameMeta) -> Step:
        """Predict the box in another image, earlier or later."""
        moved = rotate_box(self._box, meta.days - self._days, self._geometry, meta.geometry)
        return Step(moved.box, moved.visible, "off_disk" if moved.off_disk else "tracked")
