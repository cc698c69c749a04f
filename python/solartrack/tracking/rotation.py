"""Physics only: the box goes where the photosphere goes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.coordinates import DEFAULT_LAW, RotationLaw, rotate_box, rotation_law
from solartrack.errors import TrackError
from solartrack.sequence import Frame, ImagePart
from solartrack.tracking.interface import Step

__all__ = ["RotationTracker", "require_sun"]


class _Start(NamedTuple):
    box: Float64Array
    frame: Frame


class RotationTracker:
    """Carry the start box with the Sun's differential rotation.

    Every image is predicted from the start image, so errors do not add up and pixels are never looked
    at. Growth, decay and what is hidden behind the limb remain unknown to it. The score is the share of
    the region that faces the observer.

    Parameters
    ----------
    law : str or RotationLaw
        Of rotation, see `solartrack.coordinates.rotation_rate`.

    Raises
    ------
    ValueError
        If there is no such law.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> table = tracking.track(demo.AIA_IMAGES, demo.AIA_BOX, tracker=tracking.RotationTracker())
    >>> table["tracker"].unique().tolist()
    ['rotation']
    """

    name = "rotation"
    needs_pixels = False
    needs_sun = True

    def __init__(self, *, law: str | RotationLaw = DEFAULT_LAW) -> None:
        self._law = rotation_law(law)

    def settings(self) -> dict[str, Any]:
        """Return the law of rotation: its sidereal coefficients, degrees a day."""
        return {"law": list(self._law)}

    def new_region(self, box: Float64Array, frame: Frame) -> _Start:
        """Begin with a box.

        Raises
        ------
        TrackError
            If the start image has no time or no geometry.
        GeometryError
            If the box lies beyond the limb.
        """
        require_sun(frame, self.name)
        assert frame.geometry is not None
        rotate_box(box, 0.0, frame.geometry)  # a box beyond the limb fails here, not later
        return _Start(box, frame)

    def initialize(self, image: ImagePart, regions: Sequence[_Start], frame: Frame) -> list[str]:
        """Return no messages: no pixels are needed."""
        return [""] * len(regions)

    def update(self, image: ImagePart | None, regions: Sequence[_Start], frame: Frame) -> list[Step]:
        """Predict the boxes in another image, earlier or later."""
        return [_predict(region, frame, self._law) for region in regions]


def require_sun(frame: Frame, tracker: str) -> None:
    """Refuse a start image without a time or a geometry.

    Raises
    ------
    TrackError
    """
    if not np.isfinite(frame.mjd_tai):
        raise TrackError(f"the {tracker} tracker needs a time for the start frame; give times")
    if frame.geometry is None:
        raise TrackError(f"the {tracker} tracker needs to know where the Sun is; give the disk")


def _predict(region: _Start, frame: Frame, law: RotationLaw) -> Step:
    start = region.frame
    assert start.geometry is not None
    days = frame.mjd_tai - start.mjd_tai
    moved = rotate_box(region.box, days, start.geometry, frame.geometry, law=law)
    return Step(moved.box, moved.visible, "off_disk" if moved.off_disk else "tracked")
