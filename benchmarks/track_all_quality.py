"""How well `solartrack.tracking.track_all` follows all regions, or all holes, of simulated fortnights.

Run `python benchmarks/track_all_quality.py`; one fortnight takes about a minute. Images of 512 pixels, one
every six hours, in counts, of 171 for regions and of 193 for holes; each is searched. The truth is the box of
the exact mask: of the strong field (27 G) of regions, of the outline of holes; those of more than 20 square
degrees count. A reported box that is none of them counts as wrong, but not one that has an IoU of 0.3 or more
with a smaller truth. MOTA, IDF1 and the others match at an IoU of 0.5.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.time import Time
from scipy import ndimage

from solartrack import tracking
from solartrack.images import SolarImage
from solartrack.metrics import iou
from solartrack.metrics.many_tracks import ManyScores, combine, score_many
from solartrack.simulate import SimulatedFrame, SunModel, sequence

SIZE, DAYS, HOURS = 512, 14, 6
SMALLEST_DEG2, ALMOST = 20.0, 0.3
BOX = ["x0", "y0", "x1", "y1"]
TRACKER = {"active_region": "solar", "coronal_hole": "segmentation"}
CHANNEL = {"active_region": "171", "coronal_hole": "193"}


def fortnight(seed: int, kind: str) -> list[SimulatedFrame]:
    """Images of one Sun."""
    model = SunModel(seed, n_regions=20, days=DAYS, n_holes=10)
    n_images, cadence = DAYS * 24 // HOURS, f"{HOURS}h"
    return list(sequence(model, n_images, cadence, size=SIZE, channel=CHANNEL[kind], output="intensity"))


def truth(frames: list[SimulatedFrame], kind: str) -> pd.DataFrame:
    """Boxes of what is there, with its area on the Sun in square degrees."""
    rows = []
    for number, frame in enumerate(frames):
        mask = frame.mask if kind == "active_region" else frame.holes.mask
        (x0, y0), radius = frame.view.geometry.disk_center, frame.view.geometry.disk_radius
        y, x = np.indices(mask.shape) + 0.5
        away2 = ((x - x0) ** 2 + (y - y0) ** 2) / radius**2
        surface = 1.0 / np.sqrt(np.maximum(1.0 - away2, 0.02)) / (np.radians(1.0) * radius) ** 2
        for name, at in enumerate(ndimage.find_objects(mask), 1):
            if at is not None:
                area = float(surface[at][mask[at] == name].sum())
                rows.append((number, name, at[1].start, at[0].start, at[1].stop, at[0].stop, area))
    return pd.DataFrame(rows, columns=["frame", "id", *BOX, "area_deg2"])


def scores(frames: list[SimulatedFrame], kind: str, tracker: str) -> tuple[ManyScores, pd.DataFrame]:
    """Scores of one fortnight, and the tracks."""
    images = [SolarImage(frame.array, frame.header, Time(frame.time)) for frame in frames]
    made = tracking.make_tracker(tracker, **({"kind": kind} if tracker == "segmentation" else {}))
    table = tracking.track_all(images, kind, every=f"{HOURS}h", tracker=made)
    boxes = truth(frames, kind)
    large = boxes["area_deg2"] > SMALLEST_DEG2
    counts = np.ones(len(table), bool)
    for number, rows in table.dropna(subset=BOX).groupby("frame"):
        here = boxes["frame"] == number
        own = rows[BOX].to_numpy()
        by_large, by_small = (
            iou(own, boxes.loc[here & part, BOX].to_numpy(float), pairwise=False).max(axis=1, initial=0.0)
            for part in (large, ~large)
        )
        counts[rows.index] = (by_large >= 0.5) | (by_small < ALMOST)
    return score_many(boxes[large], table[counts]), table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=list(CHANNEL), nargs="+", default=list(CHANNEL))
    parser.add_argument("--tracker", nargs="+", help="default: that of the kind")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(962_000, 962_004)))
    parser.add_argument("--out", type=Path, help="JSON file for the scores")
    options = parser.parse_args()
    report = {}
    for kind in options.kind:
        suns = {seed: fortnight(seed, kind) for seed in options.seeds}
        for tracker in options.tracker or [TRACKER[kind]]:
            every = []
            for seed, frames in suns.items():
                own, table = scores(frames, kind, tracker)
                every.append(own)
                print(f"{kind} {tracker} {seed}: {in_words(own)}; {table['id'].nunique()} tracks", flush=True)
            total = combine(every)
            print(f"{kind} {tracker}: {in_words(total)}", flush=True)
            report[f"{kind} {tracker}"] = total.as_dict()
    if options.out:
        options.out.write_text(json.dumps({"seeds": options.seeds, **report}, indent=1))


def in_words(own: ManyScores) -> str:
    return (
        f"MOTA {own.mota:.3f}, IDF1 {own.idf1:.3f}, HOTA {own.hota:.3f}; {own.n_truth} true boxes, "
        f"{own.misses} missed, {own.false_positives} wrong, {own.id_switches} switches"
    )


if __name__ == "__main__":
    main()
