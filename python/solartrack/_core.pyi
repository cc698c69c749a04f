import enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

class Overlap(enum.Enum):
    IOU = ...
    GIOU = ...
    DIOU = ...
    CIOU = ...
    COVERAGE = ...
    AREA_RATIO = ...

def overlap_pairs(kind: Overlap, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]: ...
def overlap_matrix(
    kind: Overlap, a: NDArray[np.float64], b: NDArray[np.float64], threads: int
) -> NDArray[np.float64]: ...
def context_crops(
    images: list[NDArray[Any]],
    boxes: NDArray[np.float64],
    context: float,
    mean: NDArray[np.float32],
    scale: float,
    fill: float,
    channels_last: bool,
    out: NDArray[np.float32],
    threads: int,
) -> None: ...

COMPLEXITY_NAMES: tuple[str, ...]

class PatchProblem(enum.Enum):
    NONE = ...
    NAN = ...
    INFINITE = ...
    TOO_LARGE = ...

def complexity(
    patch: NDArray[Any], zero: float, nan_as_zero: bool, products: bool
) -> tuple[
    NDArray[np.float64],
    int,
    PatchProblem,
    tuple[
        NDArray[np.float64],
        NDArray[np.float64],
        list[NDArray[np.float64]],
        NDArray[np.bool_],
        NDArray[np.bool_],
    ]
    | None,
]: ...
def complexity_batch(
    patches: list[NDArray[Any]], zero: float, nan_as_zero: bool, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[PatchProblem]]: ...

# (sum, variance, pixels)
def field_sums(
    b: NDArray[np.float64], error: NDArray[np.float64] | None, mask: NDArray[np.bool_], skip_level: bool
) -> tuple[tuple[float, float, int], tuple[float, float, int]]: ...
def vector_sums(
    west: NDArray[np.float64],
    south: NDArray[np.float64],
    up: NDArray[np.float64],
    potential: NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]],
    errors: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None,
    mask: NDArray[np.bool_],
) -> dict[str, Any]: ...
