"""Features of magnetograms.

`complexity` has the 29 published features of a patch; `physical` has features in physical units, with
the predictors that others publish: `r_value`, `wlsg`, `usflux`, `meangbz`. `extract` has the 29
features of every patch in an archive.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from solartrack.archive.features import Extraction, Label, extract, read_labels

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

# They stand in a room above this one, and so are loaded on first use.
_IN_ARCHIVE = ("Extraction", "Label", "extract", "read_labels")


def __getattr__(name: str) -> Any:
    if name not in _IN_ARCHIVE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("solartrack.archive.features"), name)
