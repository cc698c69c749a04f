"""Physics only: a rectangle in latitude and longitude that rotates as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.coordinates import DEFAULT_LAW, ImageGeometry, RotationLaw, rotation_law
from solartrack.sequence import Frame, ImagePart
from solartrack.tracking.filter import DEFAULT, FilterSettings, Region, project
from solartrack.tracking.interface import Step
from solartrack.tracking.rotation import require_sun

__all__ = ["RectangleTracker", "rectangles_of"]

# Points along each side at which it is asked what share of a rectangle is visible.
_POINTS = 9


class RectangleTracker:
    """Carry the rectangle in latitude and longitude that the start box is the visible part of.

    This is the prediction of the tracker `solar` without its network: no pixels are looked at. Unlike
    `rotation` it uncovers what was hidden behind the limb, by the usual shape of active regions. Growth and
    decay remain unknown to it. The score is the share of the rectangle that faces the observer.

    Parameters
    ----------
    filter : FilterSettings, optional
        Only `FilterSettings.largest_deg` matters: no answers are weighed.
    law : str or RotationLaw
        Of rotation, see `solartrack.coordinates.rotation_rate`.

    Raises
    ------
    ValueError
        If there is no such law.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> table = tracking.track(demo.AIA_IMAGES, demo.AIA_BOX, tracker=tracking.RectangleTracker())
    >>> table["state"].unique().tolist()
    ['start', 'tracked']
    """

    name = "rectangle"
    needs_pixels = False
    needs_sun = True

    def __init__(self, *, filter: FilterSettings = DEFAULT, law: str | RotationLaw = DEFAULT_LAW) -> None:
        self._filter, self._law = filter, rotation_law(law)

    def settings(self) -> dict[str, Any]:
        """Return the largest extent of a region, and the law of rotation."""
        return {"largest_deg": list(self._filter.largest_deg), "law": list(self._law)}

    def rectangles(self, regions: Sequence[Region]) -> Float64Array:
        """Rectangles in latitude and longitude, shape (n, 4)."""
        return rectangles_of(regions)

    def new_region(self, box: Float64Array, frame: Frame) -> Region:
        """Begin with a box.

        Raises
        ------
        TrackError
            If the start image has no time or no geometry.
        GeometryError
            If the box lies beyond the limb, or covers too much of the Sun.
        """
        require_sun(frame, self.name)
        return Region(box, frame, self._filter, self._law)

    def initialize(self, image: ImagePart, regions: Sequence[Region], frame: Frame) -> list[str]:
        """Return no messages: no pixels are needed."""
        return [""] * len(regions)

    def update(self, image: ImagePart | None, regions: Sequence[Region], frame: Frame) -> list[Step]:
        """Predict the boxes in another image, earlier or later."""
        for region in regions:
            region.predict(frame)
        project(regions)
        steps = []
        for region in regions:
            step = region.prediction()
            if step.state != "off_disk":
                assert region.geometry is not None
                step = Step(step.box, _visible_share(region.sides, region.geometry), "tracked", step.message)
            steps.append(step)
        return steps


def rectangles_of(regions: Sequence[Region]) -> Float64Array:
    """Rectangles in latitude and longitude, shape (n, 4); NaN for regions followed in pixels."""
    nowhere = np.full(4, np.nan)
    rows = [nowhere if region.without_rotation else region.sides for region in regions]
    return np.array(rows).reshape(-1, 4)


def _visible_share(sides: Float64Array, geometry: ImageGeometry) -> float:
    lon, lat = np.meshgrid(np.linspace(sides[0], sides[2], _POINTS), np.linspace(sides[1], sides[3], _POINTS))
    return float(geometry.heliographic_to_helioprojective(lon, lat)[2].mean())
