"""Features of magnetograms.

`complexity` has the 29 published features of a patch; `physical` has features in physical units, with
the predictors that others publish: `r_value`, `wlsg`, `usflux`, `meangbz`.
"""

from solartrack.features.complexity import (
    COMPLEXITY_NAMES,
    Complexity,
    ComplexityProducts,
    complexity,
    complexity_batch,
)
from solartrack.features.physical import (
    PHYSICAL_UNITS,
    Physical,
    meangbz,
    physical,
    r_value,
    usflux,
    wlsg,
)

__all__ = [
    "COMPLEXITY_NAMES",
    "PHYSICAL_UNITS",
    "Complexity",
    "ComplexityProducts",
    "Physical",
    "complexity",
    "complexity_batch",
    "meangbz",
    "physical",
    "r_value",
    "usflux",
    "wlsg",
]
