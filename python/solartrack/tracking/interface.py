"""What a tracker is: a few methods, so that the next one is one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from solartrack._arrays import Float64Array
from solartrack.sequence import Frame, ImagePart

__all__ = ["Step", "Tracker"]


class Step(NamedTuple):
    """A tracker's answer for one region in one image.

    Attributes
    ----------
    box : ndarray of float64, shape (4,)
        ``(x0, y0, x1, y1)``, pixel edges; NaN for "nowhere".
    score : float
        Confidence, 0 to 1.
    state : str
        "tracked", "coasting", "lost" or "off_disk", see `STATES`.
    message : str
        An explanation for the user, where the state needs one.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.tracking import Step
    >>> step = Step(np.array([5.0, 10.0, 20.0, 40.0]), 0.9, "tracked")
    >>> step.state, step.message
    ('tracked', '')
    """

    box: Float64Array
    score: float
    state: str
    message: str = ""


class Tracker(Protocol):
    """Follows any number of regions through images; one region is a list of one.

    A tracker keeps nothing about a region itself: `new_region` returns an object of the tracker's
    choice, which comes back with every image and which the tracker may change. It must be possible to
    copy it with `copy.copy`, so that the way back in time begins from the start image again.

    Attributes
    ----------
    name : str
        Goes into every row of the result.
    needs_pixels : bool
        Whether images are decoded for it. If not, its image arguments are None and `initialize` is not
        called.
    needs_sun : bool
        Whether it can only use images with a time and a geometry. The others then get a row that says
        so, without the tracker being asked.

    Notes
    -----
    Three things are optional:

    * ``window(regions, frame) -> (x0, y0, x1, y1) or None``: the part of an image that the tracker is
      going to use, given what it knows now; None for all of it. Only this part is decoded, so the
      image it receives may be as small as that. It is also asked one image ahead, to read the next
      image in the meantime.
    * ``rectangles(regions) -> array of shape (n, 4)``: the regions as ``(lon0, lat0, lon1, lat1)`` in
      Stonyhurst degrees, NaN for those without. `track_many` ends regions that have merged by these.
    * an attribute ``without_rotation`` of a region: why it is followed without the Sun's rotation, ""
      if it is not. The user is warned once.

    Examples
    --------
    >>> from solartrack import demo, tracking
    >>> class Still:
    ...     name, needs_pixels, needs_sun = "still", False, False
    ...
    ...     def settings(self):
    ...         return {}
    ...
    ...     def new_region(self, box, frame):
    ...         return box
    ...
    ...     def initialize(self, image, regions, frame):
    ...         return [""] * len(regions)
    ...
    ...     def update(self, image, regions, frame):
    ...         return [tracking.Step(box, 1.0, "tracked") for box in regions]
    >>> tracking.track(demo.AIA_IMAGES, demo.AIA_BOX, tracker=Still())["x0"].unique().tolist()
    [225.0]
    """

    name: str
    needs_pixels: bool
    needs_sun: bool

    def settings(self) -> dict[str, Any]:
        """Values that make the result repeatable, as JSON can hold them."""

    def new_region(self, box: Float64Array, frame: Frame) -> Any:
        """Begin with a box on an image, whose pixels are not read yet.

        Raises
        ------
        TrackError, GeometryError
            If the box or the image cannot be used.
        """

    def initialize(self, image: ImagePart, regions: Sequence[Any], frame: Frame) -> Sequence[Any]:
        """See the start image of new regions; return a message for the row of each, "" for none."""

    def update(self, image: ImagePart | None, regions: Sequence[Any], frame: Frame) -> Sequence[Step]:
        """Find the regions in the next image (in the previous one, when going back)."""
