"""What a tracker is: two methods, so that the next one is one file."""

from datetime import datetime
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry


class FrameMeta(NamedTuple):
    """What is known about an image beside its pixels.

    Attributes
    ----------
    frame : int
        Frame number.
    file : str
        Where it came from, "" for an array.
    days : float
        Time since the start frame, days; NaN if unknown.
    geometry : ImageGeometry or None
        Where the Sun is in it.
    shape : tuple of int
        Rows and columns.
    """

    frame: int
    file: str
    days: float
    geometry: ImageGeometry | None
    shape: tuple[int, int]


class KnownImage(NamedTuple):
    """An image file whose header has been read already; `track` takes it in place of the path.

    Attributes
    ----------
    frame : int
        Frame number.
    file : str
        Its path.
    time : datetime or None
        UTC, without a time zone.
    days : float
        The same as Modified Julian Date, TAI; NaN if unknown.
    geometry : ImageGeometry or None
        Where the Sun is in it.
    shape : tuple of int
        Rows and columns.
    trouble : str
        Why the file cannot be used, "" if it can.
    no_geometry : str
        Why there is no geometry, "" if there is.
    """

    frame: int
    file: str
    time: datetime | None
    days: float
    geometry: ImageGeometry | None
    shape: tuple[int, int]
    trouble: str = ""
    no_geometry: str = ""


class Step(NamedTuple):
    """A tracker's answer for one image.

    Attributes
    ----------
    box : ndarray of float64, shape (4,)
        ``(x0, y0, x1, y1)``, pixel edges; NaN for "nowhere".
    score : float
        Confidence, 0 to 1.
    state : str
        "tracked", "coasting", "lost" or "off_disk", see `STATES`.
    message : str
        For a person, where the state needs one.
    """

    box: Float64Array
    score: float
    state: str
    message: str = ""


class Tracker(Protocol):
    """A tracker of one region; `init` starts it anew.

    Attributes
    ----------
    name : str
        Goes into every row of the result.
    needs_pixels : bool
        Whether images are decoded for it; if not, the image arguments are None.
    needs_sun : bool
        Whether it can only use images with a time and a geometry; the others
        then get a row that says so, without asking the tracker.

    Notes
    -----
    A tracker may also have ``window(meta, start) -> (x0, y0, x1, y1) or None``: the
    part of an image that it will look at, given what it knows now; None for all of it.
    ``start`` is the box for the image of `init`, else None. Then only that part is
    decoded, and the rest of the image it is given means nothing. It is asked twice,
    the first time one image ahead.
    """

    name: str
    needs_pixels: bool
    needs_sun: bool

    def settings(self) -> dict[str, Any]:
        """Plain values that make the result repeatable."""

    def init(self, image: NDArray[Any] | None, box: Float64Array, meta: FrameMeta) -> str | None:
        """Start, or start anew, from a box on an image; `TrackError` if that cannot be.

        What it returns, if anything, is the message of the start image's row.
        """

    def update(self, image: NDArray[Any] | None, meta: FrameMeta) -> Step:
        """Find the region in the next image (the one before, when going back)."""
