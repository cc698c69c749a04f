"""How well `solartrack.tracking.detect` finds what is on simulated Suns: average precision, false alarms.

Run `python benchmarks/detect_quality.py`; it takes some minutes. The truth is the box of the exact mask: of
the strong field (27 G) of regions, of the outlines of holes. Of at most 20 square degrees neither truths
nor detections count. Regions are found with the network and, for comparison, without. The settings of
`solartrack.segmentation.KINDS` were chosen on the seeds 950000 to 950007, 952000 to 952009 and 958000 to
958009, and the quiet Suns 964000 to 964019, 966000 to 966019 and 969000 to 969019; how the network is asked,
on all of these seeds up to 958009 and on the same quiet Suns. The seeds below judge: regions and quiet Suns
were looked at once, the holes five and six times, with other thresholds before.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
from scipy import ndimage

from solartrack.metrics import iou
from solartrack.simulate import SimulatedFrame, SunModel, render
from solartrack.simulate.scenes import random_scene
from solartrack.tracking import detect

SETS = {"active_region": (977_000, 978_000), "coronal_hole": (959_000, 965_000)}
QUIET = range(979_000, 979_020)
# How each kind is found: the model that `detect` is given.
WAYS = {"active_region": ("goturn-lite", None), "coronal_hole": (None,)}
BOX = ["x0", "y0", "x1", "y1"]
SMALLEST_DEG2, OVERLAP = 20.0, 0.5


def frames(first: int, kind: str) -> Iterator[SimulatedFrame]:
    """Two images of each of ten Suns in each channel; half of the Suns as counts, half as display values."""
    for seed in range(first, first + 10):
        scene = random_scene(np.random.default_rng([seed, 40]), 12, size=1024, cadences_hours=(4.0,))
        model = replace(scene.model, n_holes=10, regions=None, ephemeral=None)
        for share in (0.1, 0.9):
            for channel in ("171", "193") if kind == "active_region" else ("193",):
                yield render(
                    model, model.start + timedelta(days=model.days * share), size=1024, channel=channel,
                    output="intensity" if seed % 2 else "display", instrument=scene.instrument,
                )  # fmt: skip


def truth(frame: SimulatedFrame, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of what is there, and their areas on the Sun in square degrees."""
    mask = frame.mask if kind == "active_region" else frame.holes.mask
    geometry = frame.view.geometry
    y, x = np.nonzero(mask)
    (x0, y0), radius = geometry.disk_center, geometry.disk_radius
    away2 = ((x + 0.5 - x0) ** 2 + (y + 0.5 - y0) ** 2) / radius**2
    surface = 1.0 / np.sqrt(np.maximum(1.0 - away2, 0.02)) / (np.radians(1.0) * radius) ** 2
    area = np.bincount(mask[y, x], weights=surface, minlength=mask.max() + 1)
    found = [(k, one) for k, one in enumerate(ndimage.find_objects(mask), 1) if one is not None]
    boxes = [(one[1].start, one[0].start, one[1].stop, one[0].stop) for _, one in found]
    return np.array(boxes, float).reshape(-1, 4), area[[k for k, _ in found]]


def find(frame: SimulatedFrame, kind: str, model: str | None) -> pd.DataFrame:
    """What is found in an image."""
    return detect(frame.array, kind, geometry=frame.view.geometry, wavelength=int(frame.channel), model=model)


def matched(frame: SimulatedFrame, kind: str, model: str | None) -> tuple[list[tuple[float, bool]], int]:
    """Score and success of each detection that counts, the best first, and how many truths count."""
    found = find(frame, kind, model)
    boxes, areas = truth(frame, kind)
    large = areas > SMALLEST_DEG2
    free = large.copy()
    out = []
    for box, score, area in zip(found[BOX].to_numpy(), found["score"], found["area_deg2"], strict=True):
        overlap = iou(box[None], boxes, pairwise=False)[0] if len(boxes) else np.zeros(0)
        best = np.where(free, overlap, 0.0)
        if len(best) and best.max() >= OVERLAP:
            free[best.argmax()] = False
            out.append((float(score), True))
        elif area >= SMALLEST_DEG2 and not (overlap[~large] >= OVERLAP).any():
            out.append((float(score), False))
    return out, int(large.sum())


def average_precision(detections: Iterable[tuple[float, bool]], count: int) -> tuple[float, float, float]:
    """Area under precision against recall, with precision made monotonic; recall; precision."""
    hits = np.cumsum([hit for _, hit in sorted(detections, key=lambda one: -one[0])])
    if not len(hits):
        return 0.0, 0.0, 0.0
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / max(count, 1)
    upper = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * upper).sum()), float(recall[-1]), float(precision[-1])


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for kind, sets in SETS.items():
        results: dict[str | None, list[tuple[list[tuple[float, bool]], int]]] = {m: [] for m in WAYS[kind]}
        for first in sets:
            before = {model: len(own) for model, own in results.items()}
            for frame in frames(first, kind):
                for model, own in results.items():
                    own.append(matched(frame, kind, model))
            for model, own in results.items():
                print(f"{kind} {first}, {in_words(model, own[before[model] :])}", flush=True)
        for model, own in results.items():
            print(f"{kind}, {in_words(model, own)}", flush=True)
    ways = [(kind, model) for kind, models in WAYS.items() for model in models]
    false, images = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
    for seed in QUIET:
        model = SunModel(seed, n_regions=0, n_holes=0)
        for channel in ("171", "193"):
            for output in ("display", "intensity"):
                size = 1024 if seed % 2 else 512
                when = model.start + timedelta(days=seed % 10)
                frame = render(model, when, size=size, channel=channel, output=output)
                for kind, way in ways:
                    if kind == "active_region" or channel == "193":
                        false[kind, way] += len(find(frame, kind, way))
                        images[kind, way] += 1
    for (kind, way), count in false.items():
        print(f"{kind}, {name_of(way)}: {count} invented in {images[kind, way]} images of quiet Suns")


def name_of(model: str | None) -> str:
    return "segmentation" if model is None else model


def in_words(model: str | None, results: list[tuple[list[tuple[float, bool]], int]]) -> str:
    found, total = [one for own, _ in results for one in own], sum(count for _, count in results)
    scores = "AP {:.3f}, recall {:.2f}, precision {:.2f}".format(*average_precision(found, total))
    return f"{name_of(model)}: {scores}, {total} truths"


if __name__ == "__main__":
    main()
