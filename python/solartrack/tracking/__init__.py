"""Follow a region through a sequence of images.

`track` takes images and a box on one of them and returns a table of boxes for
all of them; `write_track` and `read_track` store it. `track_many` does it for
many boxes at once, `track_all` for all regions that it finds. Trackers are
interchangeable behind the small interface `Tracker`:

============ ===================================================== ===================
name         how                                                   needs
============ ===================================================== ===================
solar        rotation says where to search, a network what is      onnxruntime; better
             there (the default)                                   with time and disk
rectangle    a rectangle in latitude and longitude that rotates    time, disk
             with the Sun
rotation     carries the box with the Sun's differential rotation  time, disk
segmentation finds in each image what is where rotation has        scikit-image, time,
             carried the box                                       disk
goturn       a network alone, as GOTURN was published              onnxruntime
============ ===================================================== ===================
"""

from solartrack.tracking.detect import detect
from solartrack.tracking.filter import FilterSettings
from solartrack.tracking.interface import Step, Tracker
from solartrack.tracking.rectangle import RectangleTracker
from solartrack.tracking.rotation import RotationTracker
from solartrack.tracking.run import iter_track, iter_track_all, track, track_all, track_many
from solartrack.tracking.sky import outline
from solartrack.tracking.table import COLUMNS, STATES, UNUSABLE, as_table, read_track, write_track
from solartrack.tracking.trackers import TRACKERS, make_tracker

__all__ = [
    "COLUMNS",
    "STATES",
    "TRACKERS",
    "UNUSABLE",
    "FilterSettings",
    "RectangleTracker",
    "RotationTracker",
    "Step",
    "Tracker",
    "as_table",
    "detect",
    "iter_track",
    "iter_track_all",
    "make_tracker",
    "outline",
    "read_track",
    "track",
    "track_all",
    "track_many",
    "write_track",
]
