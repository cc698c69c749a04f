"""Features of magnetograms.

`complexity` has the 29 published features of a patch; `physical` has features in physical units, with
the predictors that others publish: `r_value`, `wlsg`, `usflux`, `meangbz`. `extract` has the 29
features of every patch in an archive.
"""

from solartrack.features._complexity import (
    COMPLEXITY_NAMES,
    Complexity,
    ComplexityProducts,
    complexity,
    complexity_batch,
)
from solartrack.features._physical import (
    PHYSICAL_UNITS,
    MagnetogramLines,
    Physical,
    magnetogram_lines,
    physical,
)
from solartrack.features._predictors import meangbz, r_value, usflux, wlsg
from solartrack.features.extract import Extraction, Label, extract, read_labels

__all__ = [
    "COMPLEXITY_NAMES",
    "PHYSICAL_UNITS",
    "Complexity",
    "ComplexityProducts",
    "Extraction",
    "Label",
    "MagnetogramLines",
    "Physical",
    "complexity",
    "complexity_batch",
    "extract",
    "magnetogram_lines",
    "meangbz",
    "physical",
    "r_value",
    "read_labels",
    "usflux",
    "wlsg",
]
