"""Features of magnetograms.

`complexity` computes the 29 published features of a patch, `physical` features in physical units with
the published predictors `r_value`, `wlsg`, `usflux` and `meangbz`, `sharp_keywords` and `smarp_keywords` the
keywords that JSOC computes for each region. `extract` computes the 29 features, or the SHARP keywords, of
every patch in an archive.
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
from solartrack.features._neutral_lines import MagnetogramLines, magnetogram_lines
from solartrack.features._physical import PHYSICAL_UNITS, Physical, physical
from solartrack.features._predictors import meangbz, r_value, usflux, wlsg
from solartrack.features._sharp import (
    SHARP_ERRORS,
    SHARP_UNITS,
    SharpKeywords,
    SharpMaps,
    sharp_keywords,
    smarp_keywords,
)

if TYPE_CHECKING:
    from solartrack.archive.features import Extraction, Label, extract, read_labels

__all__ = [
    "COMPLEXITY_NAMES",
    "PHYSICAL_UNITS",
    "SHARP_ERRORS",
    "SHARP_UNITS",
    "Complexity",
    "ComplexityProducts",
    "Extraction",
    "Label",
    "MagnetogramLines",
    "Physical",
    "SharpKeywords",
    "SharpMaps",
    "complexity",
    "complexity_batch",
    "extract",
    "magnetogram_lines",
    "meangbz",
    "physical",
    "r_value",
    "read_labels",
    "sharp_keywords",
    "smarp_keywords",
    "usflux",
    "wlsg",
]

# These live in a layer above this one, so they are imported on first use.
_IN_ARCHIVE = ("Extraction", "Label", "extract", "read_labels")


def __getattr__(name: str) -> Any:
    if name not in _IN_ARCHIVE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("solartrack.archive.features"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
