"""How well a network follows regions: the measure by which training chooses the best network.

This is the simplest possible tracker: the window is cut around where rotation takes the previous box, and the
network's answer is the new box. The real trackers are in `solartrack.tracking`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack import metrics
from solartrack._arrays import Float64Array
from solartrack.coordinates import rotate_box
from solartrack.errors import GeometryError
from solartrack.inference import CropPair
from solartrack.models.goturn.carried import carried
from solartrack.models.goturn.sources import LabelledFrame, Source
from solartrack.sequence import Frame

__all__ = ["follow", "summary"]

#: Runs a network: `solartrack.inference.Model.run` or ``network.predict_on_batch``.
Run = Callable[[dict[str, NDArray[np.float32]]], Mapping[str, Any]]


def follow(run: Run, sources: Iterable[Source], crops: CropPair, *, smallest: float = 8.0) -> pd.DataFrame:
    """Track every region of some sequences from its first box, all regions of an image as one batch.

    Parameters
    ----------
    run : callable
        Takes ``{"target", "search"}``, gives ``{"box"}`` and perhaps ``"score"``.
    sources : iterable of Source
        Their images need times and geometry.
    crops : CropPair
    smallest : float
        A region is tracked from its first box whose sides are at least this many pixels.

    Returns
    -------
    DataFrame
        One row for each later image with a true box: ``sequence``, ``id``, ``step`` (images since
        the start), ``iou``, ``rotation_iou`` (of the start box, carried by rotation alone) and
        ``score`` (NaN if the network has none).
    """
    rows: list[tuple[Any, ...]] = []
    for number, source in enumerate(sources):
        frames = source()
        boxes: dict[int, Float64Array] = {}
        starts: dict[int, tuple[int, Float64Array]] = {}
        for at, one in enumerate(frames):
            truth = dict(zip(one.ids.tolist(), one.boxes, strict=True))
            boxes = {i: box for i, box in boxes.items() if i in truth}
            if boxes:
                ids = list(boxes)
                found, scores = _step(run, np.array(list(boxes.values())), frames[at - 1], one, crops)
                true = np.array([truth[i] for i in ids])
                rotated = [_rotated(starts[i][1], frames[starts[i][0]].frame, one.frame) for i in ids]
                table = (metrics.iou(found, true), metrics.iou(np.array(rotated), true), scores)
                steps = [at - starts[i][0] for i in ids]
                rows += zip([number] * len(ids), ids, steps, *(t.tolist() for t in table), strict=True)
                boxes = dict(zip(ids, found, strict=True))
            for i, box in truth.items():
                if i not in starts and (box[2:] - box[:2]).min() >= smallest:
                    starts[i] = at, box
                    boxes[i] = box
    return pd.DataFrame(rows, columns=["sequence", "id", "step", "iou", "rotation_iou", "score"])


def _step(
    run: Run, boxes: Float64Array, previous: LabelledFrame, current: LabelledFrame, crops: CropPair
) -> tuple[Float64Array, Float64Array]:
    """Boxes and scores in the current image; the prior where the network gives no box."""
    priors = carried(boxes, previous.frame, current.frame)
    answer = run({"target": crops.crop(previous.pixels, boxes), "search": crops.crop(current.pixels, priors)})
    found = crops.to_frame(np.nan_to_num(np.asarray(answer["box"])), priors, None)
    flat = ~((found[:, 2:] - found[:, :2]) >= 1.0).all(axis=1)
    found[flat] = priors[flat]
    return found, np.asarray(answer["score"])[:, 0] if "score" in answer else np.full(len(boxes), np.nan)


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Means over tracks of the figures of `follow`.

    Returns
    -------
    dict
        ``tracks``, ``iou``, ``rotation_iou``, ``success`` (share of images with an IoU of at least 0.5)
        and, if there are scores, ``score_error`` (mean absolute difference of score and IoU).
    """
    each = table.assign(success=table["iou"] >= 0.5, score_error=(table["score"] - table["iou"]).abs())
    columns = ["iou", "rotation_iou", "success", "score_error"]
    means = each.groupby(["sequence", "id"])[columns].mean().mean().dropna()
    tracks = len(table[["sequence", "id"]].drop_duplicates())
    return {"tracks": float(tracks), **{name: float(value) for name, value in means.items()}}


def _rotated(box: Float64Array, source: Frame, target: Frame) -> Float64Array:
    """The answer of a tracker that knows rotation only; the box itself once it has left the disk."""
    assert source.geometry is not None
    try:
        moved = rotate_box(box, target.mjd_tai - source.mjd_tai, source.geometry, target.geometry)
    except GeometryError:
        return box
    return box if moved.off_disk else moved.box
