"""Features of magnetograms.

`complexity` has the 29 published features of a patch.
"""

from solartrack.features.complexity import (
    COMPLEXITY_NAMES,
    Complexity,
    ComplexityProducts,
    complexity,
    complexity_batch,
)

__all__ = ["COMPLEXITY_NAMES", "Complexity", "ComplexityProducts", "complexity", "complexity_batch"]
