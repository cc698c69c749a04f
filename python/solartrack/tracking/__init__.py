"""Follow a region through a sequence of images.

`track` takes images and a box on one of them and returns a table of boxes for
all of them; `write_track` and `read_track` store it. `track_many` does it for
many boxes at once, with the tracker "solar". Trackers are interchangeable behind
the small interface `Tracker`:

========== ===================================================== ===================
name       how                                                   needs
========== ===================================================== ===================
solar      rotation says where to look, a network what is there  onnxruntime; better
           (the default)                                         with time and disk
rotation   carries the box with the Sun's differential rotation  time, disk
goturn     a network alone, as GOTURN was published              onnxruntime
========== ===================================================== ===================
"""

from solartrack.tracking.interface import FrameMeta, KnownImage, Step, Tracker
from solartrack.tracking.many import track_many
from solartrack.tracking.rotation import RotationTracker
from solartrack.tracking.run import TRACKERS, as_days, frame_numbers, iter_track, look, make_tracker, track
from solartrack.tracking.table import COLUMNS, STATES, UNUSABLE, as_table, read_track, write_track

__all__ = [
    "COLUMNS",
    "STATES",
    "TRACKERS",
    "UNUSABLE",
    "FrameMeta",
    "KnownImage",
    "RotationTracker",
    "Step",
    "Tracker",
    "as_days",
    "as_table",
    "frame_numbers",
    "iter_track",
    "look",
    "make_tracker",
    "read_track",
    "track",
    "track_many",
    "write_track",
]
