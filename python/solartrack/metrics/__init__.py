"""Overlap of boxes and the scores of tracks.

`overlap` has the kernels.
"""

from solartrack.metrics.overlap import (
    area_ratio,
    ciou,
    coverage,
    diou,
    giou,
    iou,
)

__all__ = ["area_ratio", "ciou", "coverage", "diou", "giou", "iou"]
