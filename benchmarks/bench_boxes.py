"""Overlap of 1000 x 1000 boxes: ours, pycocotools, and just writing the result.

Boxes are of the sizes of active regions in a 4096 px image; "crowded" squeezes them
into a tenth of it, so that nearly every pair overlaps and every division is done.
"""

import numpy as np
import pytest
from pycocotools import mask as coco

from solartrack import metrics

N = 1000


def regions(crowded):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 400 if crowded else 4000, (N, 2))
    return np.concatenate([corner, corner + rng.uniform(40, 400, (N, 2))], axis=1)


@pytest.mark.benchmark(group="iou-1000x1000")
@pytest.mark.parametrize("crowded", [False, True], ids=["sparse", "crowded"])
@pytest.mark.parametrize("threads", [1, 2])
def bench_iou_matrix(benchmark, threads, crowded):
    boxes = regions(crowded)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    result = benchmark(metrics.iou, boxes, boxes, pairwise=False, threads=threads)
    np.testing.assert_allclose(result, coco.iou(xywh, xywh, [0] * N), atol=1e-12)


@pytest.mark.peer
@pytest.mark.benchmark(group="iou-1000x1000")
@pytest.mark.parametrize("crowded", [False, True], ids=["sparse", "crowded"])
def bench_iou_matrix_peer_pycocotools(benchmark, crowded):
    boxes = regions(crowded)
    boxes[:, 2:] -= boxes[:, :2]
    result = benchmark(coco.iou, boxes, boxes, [0] * N)
    assert result.shape == (N, N) and (np.diag(result) == 1).all()


@pytest.mark.benchmark(group="iou-1000x1000")
def bench_iou_matrix_floor_writing_the_result(benchmark):
    result = benchmark(np.full, (N, N), 0.5)
    assert result.nbytes == 8_000_000 and result[-1, -1] == 0.5


@pytest.mark.benchmark(group="overlap-kinds-1000x1000")
@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou", "coverage", "area_ratio"])
def bench_kinds(benchmark, kind):
    boxes = regions(False)
    result = benchmark(getattr(metrics, kind), boxes, boxes, pairwise=False, threads=1)
    np.testing.assert_allclose(np.diag(result), 1.0)
