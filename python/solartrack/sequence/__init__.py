"""Images in the order of time, each with one record: file, time, geometry, trouble.

`frames_of` makes the records of folders, files, arrays or images that were read before; whoever
follows something through the images works on these records and reads pixels through them.
"""

from solartrack.sequence.frame import Frame, ImagePart, Window, read_frame
from solartrack.sequence.frames import Images, frame_numbers, frames_of
from solartrack.sequence.table import frames_from_table, frames_to_table, geometry_numbers
from solartrack.sequence.times import as_days

__all__ = [
    "Frame",
    "ImagePart",
    "Images",
    "Window",
    "as_days",
    "frame_numbers",
    "frames_from_table",
    "frames_of",
    "frames_to_table",
    "geometry_numbers",
    "read_frame",
]
