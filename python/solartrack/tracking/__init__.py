"""Follow a region through a sequence of images.

`track` takes images and a box on one of them and returns a table of boxes for
all of them; `write_track` and `read_track` store it. Trackers are
interchangeable behind the small interface `Tracker`:

========== ===================================================== ============
name       how                                                   needs
========== ===================================================== ============
rotation   carries the box with the Sun's differential rotation  time, disk
========== ===================================================== ============
"""

from solartrack.tracking.interface import FrameMeta, KnownImage, Step, Tracker
from solartrack.tracking.rotation import RotationTracker
from solartrack.tracking.run import TRACKERS, frame_numbers, iter_track, look, track
from solartrack.tracking.table import COLUMNS, STATES, as_table, read_track, write_track

__all__ = [
    "COLUMNS",
    "STATES",
    "TRACKERS",
    "FrameMeta",
    "KnownImage",
    "RotationTracker",
    "Step",
    "Tracker",
    "as_table",
    "frame_numbers",
    "iter_track",
    "look",
    "read_track",
    "track",
    "write_track",
]
