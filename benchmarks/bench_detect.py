"""Regions and holes of a 1024 px image: ours, and Otsu's threshold with labels (scikit-image) as a peer.

The peer takes no geometry, no limb brightening and no cleaning into account: it shows what the rest costs.
"""

import numpy as np
import pytest
from skimage import filters, measure

from solartrack.metrics import iou
from solartrack.segmentation import segment
from solartrack.simulate import SunModel, render
from solartrack.tracking import detect

SIZE = 1024


@pytest.fixture(scope="module")
def frames():
    model = SunModel(950003, n_holes=10)
    return {c: render(model, model.start, size=SIZE, channel=c) for c in ("171", "193")}


def otsu(pixels, sign):
    values = sign * pixels.astype(np.float32)
    mask = values > filters.threshold_otsu(values)
    return measure.regionprops(measure.label(mask))


@pytest.mark.parametrize(
    ("kind", "channel"),
    [
        pytest.param("active_region", "171", marks=pytest.mark.benchmark(group="detect-regions-1024")),
        pytest.param("coronal_hole", "193", marks=pytest.mark.benchmark(group="detect-holes-1024")),
    ],
)
def bench_segment(benchmark, frames, kind, channel):
    frame = frames[channel]
    found = benchmark(segment, frame.array, frame.view.geometry, kind, wavelength=int(channel))
    truth = frame.boxes if kind == "active_region" else frame.holes.boxes
    # The best one is something that is there.
    assert iou(found.boxes[:1], truth, pairwise=False).max() > 0.5


@pytest.mark.benchmark(group="detect-regions-1024")
def bench_detect_with_the_network(benchmark, frames):
    frame = frames["171"]
    found = benchmark(detect, frame.array, geometry=frame.view.geometry, wavelength=171)
    assert iou(found.loc[:0, ["x0", "y0", "x1", "y1"]], frame.boxes, pairwise=False).max() > 0.5


@pytest.mark.peer
@pytest.mark.parametrize(
    ("sign", "channel"),
    [
        pytest.param(1, "171", marks=pytest.mark.benchmark(group="detect-regions-1024")),
        pytest.param(-1, "193", marks=pytest.mark.benchmark(group="detect-holes-1024")),
    ],
)
def bench_otsu_and_label(benchmark, frames, sign, channel):
    assert len(benchmark(otsu, frames[channel].array, sign)) >= 1
