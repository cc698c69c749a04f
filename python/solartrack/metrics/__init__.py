"""Overlap of boxes and the scores of tracks.

============= ==================================================================
overlap       IoU and its relatives, as kernels
single_track  the published metrics of one track; their curves in `curves`
by_frame      tracks and truth paired by frame, and the protocol of scoring
restarts      tracks that are restarted after each failure
pooled        many tracks together, with bootstrap intervals
many_tracks   many regions at once: MOTA, IDF1, HOTA
sarker2019    the numbers of one study's script, for comparing with its tables
============= ==================================================================
"""

from solartrack.metrics.by_frame import Aligned, ScoredTrack, align, score_track
from solartrack.metrics.curves import (
    centre_error,
    normalized_precision,
    precision_curve,
    success_auc,
    success_curve,
)
from solartrack.metrics.many_tracks import ALPHAS, ManyScores, combine, score_many
from solartrack.metrics.overlap import area_ratio, ciou, coverage, diou, giou, iou
from solartrack.metrics.pooled import Estimate, PooledScores, pool
from solartrack.metrics.restarts import (
    RestartedTrack,
    expected_average_overlap,
    expected_overlap_curve,
    track_with_restarts,
)
from solartrack.metrics.single_track import (
    TrackScores,
    area_f1,
    ata,
    deviation,
    f_score,
    failures,
    mean_iou,
    ota,
    otp,
    pbm,
    score,
    success,
)

__all__ = [
    "ALPHAS",
    "Aligned",
    "Estimate",
    "ManyScores",
    "PooledScores",
    "RestartedTrack",
    "ScoredTrack",
    "TrackScores",
    "align",
    "area_f1",
    "area_ratio",
    "ata",
    "centre_error",
    "ciou",
    "combine",
    "coverage",
    "deviation",
    "diou",
    "expected_average_overlap",
    "expected_overlap_curve",
    "f_score",
    "failures",
    "giou",
    "iou",
    "mean_iou",
    "normalized_precision",
    "ota",
    "otp",
    "pbm",
    "pool",
    "precision_curve",
    "score",
    "score_many",
    "score_track",
    "success",
    "success_auc",
    "success_curve",
    "track_with_restarts",
]
