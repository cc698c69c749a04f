"""The trackers by name."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import Any

from solartrack.errors import TrackError
from solartrack.tracking.interface import Tracker

__all__ = ["TRACKERS", "make_tracker"]

#: Name and class; a new tracker is one file and one line here.
TRACKERS = {
    "solar": "solartrack.tracking.solar:SolarTracker",
    "rectangle": "solartrack.tracking.rectangle:RectangleTracker",
    "segmentation": "solartrack.tracking.segmented:SegmentationTracker",
    "rotation": "solartrack.tracking.rotation:RotationTracker",
    "goturn": "solartrack.tracking.goturn:GoturnTracker",
}


def make_tracker(tracker: str | Tracker, **options: Any) -> Tracker:
    """Make a tracker by its name in `TRACKERS`; one that is made already passes.

    Parameters
    ----------
    tracker : str or Tracker
    **options
        For its class, such as ``model`` and ``device`` of "solar" and "goturn".

    Returns
    -------
    Tracker

    Raises
    ------
    TrackError
        If there is no such tracker, or it does not have such an option.
    ModelError, DeviceError, ImportError
        See `solartrack.tracking.solar.SolarTracker`.

    Examples
    --------
    >>> from solartrack import tracking
    >>> tracking.make_tracker("rotation").name
    'rotation'
    """
    if not isinstance(tracker, str):
        if options:
            raise TrackError(
                f"{', '.join(options)}: give the name of a tracker, not one that is made already"
            )
        return tracker
    try:
        module, _, name = TRACKERS[tracker].partition(":")
    except KeyError:
        raise TrackError(f"tracker must be one of {', '.join(TRACKERS)}, got {tracker!r}") from None
    kind = getattr(import_module(module), name)
    if unknown := set(options) - set(signature(kind).parameters):
        raise TrackError(f"the tracker {tracker!r} has no {' or '.join(sorted(unknown))}; leave it out")
    try:
        made: Tracker = kind(**options)
    except ImportError as error:
        if error.name != "onnxruntime":
            raise
        raise ImportError(
            f"the tracker {tracker!r} runs a network: {error}; "
            "or follow the Sun's rotation alone, which needs none: tracker 'rotation' (--tracker rotation)",
            name=error.name,
        ) from error
    return made
