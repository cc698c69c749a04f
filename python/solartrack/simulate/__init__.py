"""A rendered Sun whose regions, boxes and identities are known.

`SunModel` draws a history from a seed, `render` shows one moment of it, `sequence` gives a series of images,
`write` puts them into a folder with the truth. `write_random` draws everything from a seed, the telescope and
the dates included. `flaring_patches` gives magnetogram patches of regions, and flares whose probability is
known.
"""

from solartrack.simulate._light import CHANNELS
from solartrack.simulate.files import write
from solartrack.simulate.flaring import FlaringPatches, flaring_patches
from solartrack.simulate.frames import Holes, Segmented, SimulatedFrame, render, sequence
from solartrack.simulate.history import Merge
from solartrack.simulate.holes import Hole, Split
from solartrack.simulate.instrument import Instrument
from solartrack.simulate.model import Patch, SunModel
from solartrack.simulate.regions import Fragments, Region
from solartrack.simulate.scenes import Scene, random_scene, write_random

__all__ = [
    "CHANNELS",
    "FlaringPatches",
    "Fragments",
    "Hole",
    "Holes",
    "Instrument",
    "Merge",
    "Patch",
    "Region",
    "Scene",
    "Segmented",
    "SimulatedFrame",
    "Split",
    "SunModel",
    "flaring_patches",
    "random_scene",
    "render",
    "sequence",
    "write",
    "write_random",
]
