"""A rendered Sun whose regions, boxes and identities are known.

`SunModel` draws a history from a seed, `render` shows one moment of it,
`sequence` a series of frames, `write` puts them into a folder with the truth.
"""

from solartrack.simulate.files import write
from solartrack.simulate.model import Fragments, Merge, Patch, Region, SunModel
from solartrack.simulate.render import CHANNELS, Instrument, SimulatedFrame, render, sequence

__all__ = [
    "CHANNELS",
    "Fragments",
    "Instrument",
    "Merge",
    "Patch",
    "Region",
    "SimulatedFrame",
    "SunModel",
    "render",
    "sequence",
    "write",
]
