"""How well the trackers follow regions: every figure of docs/tracking.md, as JSON.

Run `python benchmarks/tracking_quality.py --out report.json`, with the real sequence HARP 7269 in
../shared. It needs the shipped network, the simulator and, for the peers, OpenCV with its contributed
trackers (opencv-contrib-python-headless); peers that are not installed are named as missing. Rendered
sequences are kept in the --data folder and used again.

What may choose, for trackers that are still to be made (written down on 2026-11-27): simulated sequences,
HARP 7269 up to frame 106, and of the tracks of September 2024 (../shared/data/aia_sharp_2024_09, without 0
and 20) those with even numbers. The later frames and the odd tracks judge, and are looked at once.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import importlib.metadata
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tracking_real

from solartrack import images, metrics, simulate, tracking
from solartrack._files import replacing
from solartrack.coordinates import (
    ImageGeometry,
    fit_rectangles,
    rectangles_to_boxes,
    rotate_rectangles,
)
from solartrack.errors import GeometryError, TrackError
from solartrack.models.goturn.sources import LabelledFrame, simulated_source
from solartrack.sequence import Frame as Record
from solartrack.sequence import ImagePart
from solartrack.tracking import Step, make_tracker
from solartrack.tracking.solar import SolarTracker

SHARED = Path(__file__).resolve().parents[2] / "shared"
SUCCESS = 0.5
PARTS = ["harp7269", "simulated", "holes", "real", "peers"]


TRACKERS = ("rotation", "rectangle", "goturn", "solar")
#: The convention of the boxes of simulated regions, where it is one that can be told.
CONVENTIONS = {"exact": "rectangle", "disturbed": "rectangle", "field": "segmentation"}


def overlaps(boxes, truth):
    """IoU row by row; 0 where there is no box."""
    return np.asarray(metrics.iou(np.nan_to_num(np.asarray(boxes, float)), truth))


def summary(ious):
    return {"mean_iou": float(np.mean(ious)), "success": float(np.mean(np.asarray(ious) >= SUCCESS))}


# HARP 7269: 39 real AIA 171 images, 4 h apart. For this report and the tests only.

STARTS = (106, 66, 46, 6)


class Real(NamedTuple):
    """The sequence, boxes in its pixels; frame numbers as published, 5 of them are 4 h."""

    frames: np.ndarray
    images: np.ndarray
    truth: np.ndarray
    published: np.ndarray
    geometry: ImageGeometry


@functools.lru_cache
def load_harp7269(shared: Path = SHARED) -> Real:
    folder = Path(shared) / "data/harp7269"
    table = pd.read_csv(folder / "boxes.csv")
    # The boxes are those of the original 4096-pixel images.
    truth, published = (
        table[[f"{kind}{name}" for name in ("x0", "y0", "x1", "y1")]].to_numpy(float) / 4
        for kind in ("", "ref_")
    )
    pixels = np.stack([images.read_pixels(folder / f"frames/{n:03}.png") for n in table["frame"]])
    geometry = ImageGeometry.from_disk((512.0, 512.0), 394.5, b0_deg=0.8)
    return Real(table["frame"].to_numpy(), pixels, truth, published, geometry)


def mirrored(real: Real) -> Real:
    """East and west change places; the geometry says so."""
    width = real.images.shape[2]
    (x, y), (xx, xy, yx, yy) = real.geometry.reference, real.geometry.matrix
    geometry = dataclasses.replace(real.geometry, reference=(width - x, y), matrix=(-xx, xy, -yx, yy))
    truth, published = (
        np.column_stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]])
        for b in (real.truth, real.published)
    )
    return Real(real.frames, real.images[:, :, ::-1].copy(), truth, published, geometry)


def halved(real: Real) -> Real:
    """512 pixels on a side, by averages of 2 x 2."""
    n, ny, nx = real.images.shape
    small = real.images.reshape(n, ny // 2, 2, nx // 2, 2).mean(axis=(2, 4))
    x, y = real.geometry.reference
    geometry = dataclasses.replace(
        real.geometry, reference=(x / 2, y / 2), matrix=tuple(2 * v for v in real.geometry.matrix)
    )
    return Real(real.frames, np.rint(small).astype(np.uint8), real.truth / 2, real.published / 2, geometry)


#: name -> (change of the sequence, each how manieth image from the start on, backwards from the last one).
VARIANTS = {
    "as is": (None, 1, False),
    "every 2nd image (8 h)": (None, 2, False),
    "every 3rd image (12 h)": (None, 3, False),
    "mirrored east-west": (mirrored, 1, False),
    "reversed in time": (None, 1, True),
    "512 pixels": (halved, 1, False),
}


def harp7269(tracker: str, variant: str = "as is", *, shared: Path = SHARED) -> dict[str, Any]:
    """Follow the real region from its true box.

    Returns
    -------
    dict
        For each start frame (for "reversed in time": the frame to which it is followed back
        from the last one): mean IoU and success over the other frames, and the frames, IoUs and states.
    """
    change, step, backwards = VARIANTS[variant]
    real = load_harp7269(shared)
    if change is not None:
        real = change(real)
    out = {}
    for number in STARTS:
        at = int(np.flatnonzero(real.frames == number)[0])
        taken = slice(at, None, step)
        truth, frames = real.truth[taken], real.frames[taken]
        first = len(frames) - 1 if backwards else 0
        table = tracking.track(
            list(real.images[taken]),
            truth[first],
            start=first,
            tracker=tracker,
            cadence=f"{4 * step}h",
            geometry=real.geometry,
        )
        others = np.arange(len(frames)) != first
        ious = overlaps(table.loc[others, ["x0", "y0", "x1", "y1"]], truth[others])
        out[str(number)] = {
            **summary(ious),
            "frames": frames[others].tolist(),
            "ious": ious.tolist(),
            "states": table.loc[others, "state"].tolist(),
            "scores": table.loc[others, "score"].tolist(),
        }
    return out


def published(shared: Path = SHARED) -> dict[str, Any]:
    """The same for the boxes that the published tracker gave; it was started at frame 6 only."""
    real = load_harp7269(shared)
    out = {}
    for number in STARTS:
        later = real.frames > number
        ious = overlaps(real.published[later], real.truth[later])
        out[str(number)] = {**summary(ious), "frames": real.frames[later].tolist(), "ious": ious.tolist()}
    return out


# Held-out simulated sequences. Training takes seeds from 10000, its trials by tracking from 900000.

FIRST_SEED = 990_000
HOLE_SEED = 985_000
#: Scatter of the regions' own motion, degrees a day: the simulator's rotation law is the tracker's.
PROPER_MOTION = 0.15
#: A region is an event from its first box on whose sides are both this long, at 1024 pixels.
SMALLEST = 8.0
#: Scatter of the sensitivity of the segmentations that are true boxes of holes, of its logarithm.
HOLE_SCATTER = 0.1
#: Scatter (Laplace) of each side of the start boxes in the second run, share of the box.
DISTURBANCE = 0.05


class Scene(NamedTuple):
    """What is drawn from a seed."""

    model: simulate.SunModel
    cadence_hours: float
    channel: str
    instrument: simulate.Instrument


def draw(seed: int, frames: int, size: int) -> Scene:
    rng = np.random.default_rng([seed, 21])
    model, cadence, instrument = simulate.random_scene(rng, frames, size=size, cadences_hours=(4.0, 6.0, 8.0))
    channel = str(rng.choice(["171", "193", "magnetogram"], p=[0.5, 0.3, 0.2]))
    return Scene(with_proper_motions(model, rng), cadence, channel, instrument)


def with_proper_motions(model: simulate.SunModel, rng: np.random.Generator) -> simulate.SunModel:
    """The same Sun, whose regions do not keep to its rotation law; pairs that merge stay together."""
    extra = {r.id: float(rng.normal(0.0, PROPER_MOTION)) for r in model.regions}
    birth = {r.id: r.birth_days for r in model.regions}
    late = dict.fromkeys(extra, 0.0)
    for merge in model.merges:
        extra[merge.absorbed] = extra[merge.kept]
        late[merge.absorbed] = extra[merge.kept] * (birth[merge.absorbed] - birth[merge.kept])
    regions = tuple(
        dataclasses.replace(r, drift_deg_day=r.drift_deg_day + extra[r.id], lon_deg=r.lon_deg + late[r.id])
        for r in model.regions
    )
    return dataclasses.replace(model, regions=regions)


def write_sequence(folder: Path, seed: int, frames: int, size: int) -> None:
    """Render a sequence unless it is there."""
    if (folder / "truth.csv").exists():  # written last
        return
    scene = draw(seed, frames, size)
    made = simulate.sequence(
        scene.model, frames, f"{scene.cadence_hours:g}h",
        size=size, channel=scene.channel, output="display", instrument=scene.instrument,
    )  # fmt: skip
    simulate.write(folder, made, format="png")


class Event(NamedTuple):
    """A region that is followed; frames are counted from 0 in its sequence."""

    id: int
    at: int
    box: np.ndarray
    disturbed: np.ndarray
    # Whether a side of its rectangle is behind the limb at the start.
    hidden: bool
    # Whether another region becomes part of it afterwards.
    merges: bool
    # Model day on which it becomes part of another one.
    absorbed_days: float


class Simulated(NamedTuple):
    seed: int
    scene: Scene
    frames: list[LabelledFrame]
    records: list[Record]
    days: np.ndarray
    l0_deg: np.ndarray
    events: list[Event]


def load_sequence(folder: Path, seed: int, frames: int, size: int) -> Simulated:
    scene = draw(seed, frames, size)
    model = scene.model
    loaded = simulated_source(folder)()
    known = pd.read_csv(folder / "truth.csv")["file"].unique()
    places = pd.read_csv(folder / "frames.csv").set_index("file").loc[known]
    moments = [datetime.fromisoformat(text) for text in places["time"]]
    records = [frame.frame for frame in loaded]
    days = np.array([model.days_at(moment) for moment in moments])

    events, seen = [], set()
    for at, frame in enumerate(loaded):
        patches = {p.id: p for p in model.patches(moments[at])}
        for i, box in zip(frame.ids.tolist(), frame.boxes, strict=True):
            if i in seen or (box[2:] - box[:2]).min() < SMALLEST * size / 1024:
                continue
            seen.add(i)
            if not any(i in later.ids for later in loaded[at + 1 :]):
                continue
            p, l0 = patches[i], float(places["l0_deg"].iloc[at])
            rectangle = [p.west - l0, p.south, p.east - l0, p.north]
            _, sides = rectangles_to_boxes([rectangle], frame.geometry)
            rng = np.random.default_rng([seed, i, 5])
            off = np.clip(rng.laplace(0.0, DISTURBANCE, 4), -0.4, 0.4) * np.tile(box[2:] - box[:2], 2)
            events.append(
                Event(
                    id=i,
                    at=at,
                    box=box,
                    disturbed=box + off,
                    hidden=not sides.all(),
                    merges=any(m.kept == i and days[at] < m.days <= days[-1] for m in model.merges),
                    absorbed_days=min((m.days for m in model.merges if m.absorbed == i), default=np.inf),
                )
            )
    return Simulated(seed, scene, loaded, records, days, places["l0_deg"].to_numpy(float), events)


def sequences(data: Path, events: int, frames: int, size: int, workers: int) -> Iterator[Simulated]:
    """As many sequences as make so many events; the last one loses those that are too many."""
    home, seed, found = Path(data) / f"own-motion-{frames}x{size}", FIRST_SEED, 0
    # Started anew, not forked: there are threads by now.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) if workers > 1 else None
    try:
        while found < events:
            batch = range(seed, seed + workers)
            folders = [home / f"{s:06d}" for s in batch]
            run = map if pool is None else pool.map
            list(run(write_sequence, folders, batch, [frames] * workers, [size] * workers))
            for folder, s in zip(folders, batch, strict=True):
                made = load_sequence(folder, s, frames, size)
                if found < events and made.events:
                    made = made._replace(events=made.events[: events - found])
                    found += len(made.events)
                    yield made
            seed += workers
    finally:
        if pool is not None:
            pool.shutdown()


def field_boxes(sequence: Simulated, *, kept: bool) -> list[dict[int, np.ndarray]]:
    """Boxes of the field (30 G) in each image; `kept`: of all places where it has been so far.

    Real catalogues lie between the two and the rectangle of a region's whole life: patches of HMI grow with
    the field, and shrink little.
    """
    model, out = sequence.scene.model, []
    regions = {region.id: region for region in model.regions}
    last: dict[int, tuple[float, np.ndarray]] = {}
    for day, lon0, frame in zip(
        sequence.days.tolist(), sequence.l0_deg.tolist(), sequence.frames, strict=True
    ):
        found: dict[int, np.ndarray] = {}
        for number in frame.ids.tolist():
            members = [number, *(m.absorbed for m in model.merges if m.kept == number and m.days <= day)]
            parts = [s for m in members if (s := regions[m].field_rectangle_at(day)) is not None]
            if not parts:
                continue
            west, east, south, north = np.array(parts).T
            turn = 360.0 * np.round((west - west[0]) / 360.0)
            now = np.array([(west - turn).min(), south.min(), (east - turn).max(), north.max()])
            now[::2] -= lon0 + 360.0 * np.round((0.5 * (now[0] + now[2]) - lon0) / 360.0)
            if kept and number in last:
                before = rotate_rectangles(last[number][1], day - last[number][0])[0]
                before[::2] += 360.0 * np.round((now[0] - before[0]) / 360.0)
                now = np.concatenate([np.minimum(now[:2], before[:2]), np.maximum(now[2:], before[2:])])
            last[number] = day, now
            box = rectangles_to_boxes(now, frame.geometry)[0][0]
            if np.isfinite(box).all():
                ny, nx = frame.pixels.shape[:2]
                box = np.clip(box, 0.0, [nx, ny, nx, ny])
                if (box[2:] > box[:2]).all():
                    found[number] = box
        out.append(found)
    return out


def with_boxes(sequence: Simulated, boxes: list[dict[int, np.ndarray]]) -> Simulated:
    """The same sequence with other true boxes, and with its events from these on."""
    frames = [
        dataclasses.replace(
            frame,
            ids=np.array(list(known), dtype=np.int64),
            boxes=np.array(list(known.values())).reshape(-1, 4),
            rectangles=None,
        )
        for frame, known in zip(sequence.frames, boxes, strict=True)
    ]
    least, events = _smallest(sequence), []
    for event in sequence.events:
        fine = [at for at, known in enumerate(boxes) if event.id in known]
        fine = [at for at in fine if (boxes[at][event.id][2:] - boxes[at][event.id][:2]).min() >= least]
        if fine and any(event.id in known for known in boxes[fine[0] + 1 :]):
            events.append(event._replace(at=fine[0], box=boxes[fine[0]][event.id]))
    return sequence._replace(frames=frames, events=events)


def course(sequence: Simulated, event: Event) -> str:
    """What the true box does on the Sun, in the images in which all of it faces the Earth."""
    areas = []
    for frame in sequence.frames[event.at :]:
        known = dict(zip(frame.ids.tolist(), frame.boxes, strict=True))
        if event.id in known:
            box = known[event.id]
            middle = 0.5 * (box[:2] + box[2:]) - frame.geometry.disk_center
            if np.hypot(*middle) < 0.9 * frame.geometry.disk_radius:
                sides = fit_rectangles(box, frame.geometry)[0][0]
                areas.append(np.prod(sides[2:] - sides[:2]))
    change = areas[-1] / areas[0] if len(areas) > 1 else 1.0
    return "grows" if change > 1.3 else "shrinks" if change < 1 / 1.3 else "stays"


Answers = list[tuple[int, int, Step]]


NOWHERE = Step(np.full(4, np.nan), 0.0, "off_disk")


def follow(tracker, sequence: Simulated, boxes, spoilt=None) -> Answers:
    """Steps (event, frame, answer), all regions of an image at once; `spoilt` replaces images."""
    regions, out = {}, []
    failed: set[int] = set()
    for at, record in enumerate(sequence.records):
        image = ImagePart((spoilt or {}).get(at, record.pixels))
        if regions:
            steps = tracker.update(image, list(regions.values()), record)
            out += [(number, at, step) for number, step in zip(regions, steps, strict=True)]
        out += [(number, at, NOWHERE) for number in failed]
        for number, event in enumerate(sequence.events):
            if event.at == at:
                try:
                    region = tracker.new_region(boxes[number], record)
                except (GeometryError, TrackError):  # beyond the limb: no box is its answer
                    failed.add(number)
                    continue
                tracker.initialize(image, [region], record)
                regions[number] = region
    return out


def judged(sequence: Simulated, answers: Answers, tracker: str) -> pd.DataFrame:
    """One row for each answer: IoU (NaN without a true box), and what the subsets need."""
    truth = [dict(zip(f.ids.tolist(), f.boxes, strict=True)) for f in sequence.frames]
    courses = [course(sequence, event) for event in sequence.events]
    ends = [event.id not in truth[-1] and _sets(sequence, event, truth) for event in sequence.events]
    rows = []
    for number, at, step in answers:
        event = sequence.events[number]
        true = truth[at].get(event.id)
        has_box = bool(np.isfinite(step.box).all())
        rows.append(
            {
                "tracker": tracker,
                "event": (sequence.seed, event.id),
                "at": at,
                "iou": np.nan if true is None else float(overlaps(step.box, true)[0]),
                "score": step.score,
                "state": step.state,
                "present": true is not None,
                "large": true is not None and bool((true[2:] - true[:2]).min() >= _smallest(sequence)),
                "has_box": has_box,
                "absorbed": bool(sequence.days[at] >= event.absorbed_days),
                "hidden": event.hidden,
                "merges": event.merges,
                "course": courses[number],
                "ends_at_limb": ends[number],
            }
        )
    return pd.DataFrame(rows)


def _sets(sequence: Simulated, event: Event, truth: list[dict[int, np.ndarray]]) -> bool:
    """Whether the last true box is at the west limb."""
    at = max(k for k, known in enumerate(truth) if event.id in known)
    geometry = sequence.frames[at].geometry
    return bool(truth[at][event.id][2] > geometry.disk_center[0] + 0.95 * geometry.disk_radius)


def _smallest(sequence: Simulated) -> float:
    return SMALLEST * sequence.frames[0].pixels.shape[1] / 1024


def spoil(sequence: Simulated, share: float = 0.1) -> dict[int, np.ndarray]:
    """Black, saturated or noise in place of some images, none of those in which an event starts."""
    rng = np.random.default_rng([sequence.seed, 22])
    starts = {event.at for event in sequence.events}
    free = [at for at in range(1, len(sequence.frames)) if at not in starts]
    count = min(len(free), max(1, round(share * len(sequence.frames))))
    out = {}
    for at in sorted(rng.choice(free, count, replace=False).tolist()) if free else []:
        shape = sequence.frames[at].pixels.shape
        kind = rng.integers(3)
        noise = rng.normal(rng.uniform(20, 200), rng.uniform(2, 40), shape)
        out[at] = [np.zeros(shape), np.full(shape, 255.0), np.clip(noise, 0, 255)][kind].astype(np.uint8)
    return out


def interval(values, seed: int = 0, draws: int = 10_000) -> dict[str, float]:
    """Mean with its 95 % bootstrap interval."""
    values = np.asarray(values)
    picks = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def compared(table: pd.DataFrame) -> dict[str, Any]:
    """Each tracker's means over events, and by how much the solar tracker is better."""
    rows = table[table["present"]]
    rows = rows.assign(success=rows["iou"] >= SUCCESS)
    events = rows.groupby(["tracker", "event"])[["iou", "success"]].mean()
    ious = events["iou"].unstack("tracker").dropna()
    if ious.empty:
        return {"events": 0}
    means = events.groupby("tracker").mean()
    return {
        "events": len(ious),
        "trackers": {
            name: {"mean_iou": float(row["iou"]), "success": float(row["success"])}
            for name, row in means.iterrows()
        },
        "differences": {
            f"solar - {other}": interval(ious["solar"] - ious[other])
            for other in ious.columns
            if other != "solar"
        },
    }


def subsets(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "all": compared(table),
        "a side hidden at the start": compared(table[table["hidden"]]),
        "another region merges into it": compared(table[table["merges"]]),
        "grows by a third or more": compared(table[table["course"] == "grows"]),
        "shrinks by a quarter or more": compared(table[table["course"] == "shrinks"]),
        "sets at the west limb": compared(table[table["ends_at_limb"]]),
    }


def reliability(table: pd.DataFrame, bins: int = 10) -> dict[str, Any]:
    """Score against IoU, over rows with a box or a true box; a region that is gone has IoU 0.

    Rows of a region that has become part of another one are left out: there is no true box, and yet
    something to see.
    """
    rows = table[(table["present"] | table["has_box"]) & ~(table["absorbed"] & ~table["present"])]
    score, iou = rows["score"].to_numpy(), rows["iou"].fillna(0.0).to_numpy()
    number = np.minimum((score * bins).astype(int), bins - 1)
    out, error = [], 0.0
    for b in range(bins):
        inside = number == b
        if inside.any():
            s, i = float(score[inside].mean()), float(iou[inside].mean())
            error += abs(s - i) * float(inside.mean())
            out.append(
                {"low": b / bins, "high": (b + 1) / bins, "rows": int(inside.sum()), "score": s, "iou": i}
            )
    return {
        "rows": len(rows),
        "rows_without_region": int((~rows["present"]).sum()),
        "bins": out,
        "expected_calibration_error": error,
    }


def detected(table: pd.DataFrame, spoilt: dict[int, list[int]]) -> dict[str, Any]:
    """What became of spoilt images and of the good ones, where the true box is large enough to be seen."""
    rows = table[table["large"]]
    bad = np.array([at in spoilt[e[0]] for e, at in zip(rows["event"], rows["at"], strict=True)], bool)
    after = np.array([at - 1 in spoilt[e[0]] for e, at in zip(rows["event"], rows["at"], strict=True)], bool)
    flagged = (rows["state"] != "tracked").to_numpy()

    def share(which):
        return float(flagged[which].mean()) if which.any() else None

    return {
        "spoilt_images": sum(map(len, spoilt.values())),
        "spoilt_rows": int(bad.sum()),
        "good_rows": int((~bad).sum()),
        "spoilt_flagged": share(bad),
        "good_flagged": share(~bad),
        "rows_after": int((after & ~bad).sum()),
        "tracked_after": None if not (after & ~bad).any() else 1.0 - share(after & ~bad),
        **{f"{k}_spoilt": v for k, v in summary(rows["iou"][bad]).items() if bad.any()},
    }


def simulated_holdout(
    events: int = 200,
    *,
    data: Path,
    frames: int = 20,
    size: int = 1024,
    workers: int = 1,
    solar: SolarTracker | None = None,
    start_boxes: Sequence[str] = ("exact", "disturbed", "field", "field so far"),
    spoiling: bool = True,
) -> dict[str, Any]:
    """Follow regions of sequences that training has never seen, regions that do not keep to the law."""
    solar = solar or SolarTracker(device="cpu")
    trackers = {name: make_tracker(name) for name in ("rotation", "rectangle")} | {"solar": solar}
    told = {
        convention: SolarTracker(solar.network.model, convention=convention)
        for convention in CONVENTIONS.values()
    }
    tables: dict[str, list[pd.DataFrame]] = {start: [] for start in start_boxes}
    damaged, spoilt, seeds, channels, hours = [], {}, [], [], []
    for sequence in sequences(data, events, frames, size, workers):
        print(f"  sequence {sequence.seed}: {len(sequence.events)} events", file=sys.stderr, flush=True)
        seeds.append(sequence.seed)
        channels.append(sequence.scene.channel)
        hours.append(sequence.scene.cadence_hours)
        for start in start_boxes:
            shown = sequence
            if start.startswith("field"):
                shown = with_boxes(sequence, field_boxes(sequence, kept=start != "field"))
            boxes = [e.disturbed if start == "disturbed" else e.box for e in shown.events]
            also = {"solar, told": told[CONVENTIONS[start]]} if start in CONVENTIONS else {}
            tables[start] += [
                judged(shown, follow(tracker, shown, boxes), name)
                for name, tracker in (trackers | also).items()
            ]
        if spoiling:
            changed = spoil(sequence)
            spoilt[sequence.seed] = list(changed)
            boxes = [e.box for e in sequence.events]
            damaged.append(judged(sequence, follow(solar, sequence, boxes, changed), "solar"))
    whole = {start: pd.concat(parts, ignore_index=True) for start, parts in tables.items()}
    report: dict[str, Any] = {
        "frames": frames,
        "size": size,
        "seeds": seeds,
        "channels": {c: channels.count(c) for c in sorted(set(channels))},
        "cadences_hours": {str(h): hours.count(h) for h in sorted(set(hours))},
        "proper_motion_deg_day": PROPER_MOTION,
        "smallest_px_at_1024": SMALLEST,
        "disturbance": DISTURBANCE,
        "start": {start: subsets(table) for start, table in whole.items()},
        "reliability": {s: reliability(t[t["tracker"] == "solar"]) for s, t in whole.items()},
    }
    if damaged:
        table = pd.concat(damaged, ignore_index=True)
        report["spoilt"] = detected(table, spoilt)
        clean = whole.get("exact")
        if clean is not None:
            clean = clean[(clean["tracker"] == "solar") & clean["large"]]
            report["spoilt"]["flagged_without_spoiling"] = float((clean["state"] != "tracked").mean())
    return report


def holes(count: int = 100, *, workers: int = 1) -> dict[str, Any]:
    """Coronal holes of simulated Suns in 193, their true boxes SPoCA-like segmentations of each image.

    The sensitivity of these segmentations differs from image to image (`SimulatedFrame.segmented`); that of
    the tracker does not.
    """
    trackers = {
        "rotation": make_tracker("rotation"),
        "rotation of holes": make_tracker("rotation", law="coronal holes"),
        "segmentation": make_tracker("segmentation", kind="coronal_hole"),
    }
    ious: dict[str, list[float]] = {name: [] for name in trackers}
    seed = HOLE_SEED
    while len(ious["segmentation"]) < count:
        model = simulate.SunModel(seed, n_regions=15, n_holes=10, days=5)
        frames = list(simulate.sequence(model, 13, "8h", size=1024, channel="193"))
        known = [frame.segmented("coronal_hole", scatter=HOLE_SCATTER) for frame in frames]
        truth = [
            {
                i: b
                for i, b in zip(k.ids.tolist(), k.boxes, strict=True)
                if i and (b[2:] - b[:2]).min() >= SMALLEST
            }
            for k in known
        ]
        places = [ImageGeometry.from_header(frame.header) for frame in frames]
        for number in sorted(set().union(*truth)):
            at = [k for k, boxes in enumerate(truth) if number in boxes]
            if len(at) < 2:
                continue
            part = slice(at[0], at[-1] + 1)
            for name, tracker in trackers.items():
                found = tracking_real.followed(
                    [frame.array for frame in frames[part]],
                    truth[at[0]][number],
                    tracker,
                    [frame.time for frame in frames[part]],
                    places[part],
                )
                boxes = found[[k - at[0] for k in at[1:]]]
                ious[name].append(float(overlaps(boxes, np.array([truth[k][number] for k in at[1:]])).mean()))
        print(f"  holes: {len(ious['rotation'])} after seed {seed}", file=sys.stderr, flush=True)
        seed += 1
    return {
        "seeds": [HOLE_SEED, seed - 1],
        "scatter": HOLE_SCATTER,
        "holes": len(ious["rotation"]),
        "trackers": {name: summary(found) for name, found in ious.items()},
        "differences": {
            f"segmentation - {name}": interval(np.subtract(ious["segmentation"], ious[name]))
            for name in ("rotation", "rotation of holes")
        },
    }


# Peers: OpenCV's general trackers; NanoTrack is a learned one, MedianFlow one of optical flow.

PEERS = ("CSRT", "KCF", "MIL", "MedianFlow", "NanoTrack")
#: Image by image moved so that the rotated start box stays where it was: rotation as a prior.
DEROTATED = " + rotation"
NANOTRACK = "data/peers/nanotrack"


def peer(name: str):
    """A new tracker of OpenCV, None if this OpenCV has none of that name."""
    try:
        import cv2
    except ImportError:
        return None
    if name == "NanoTrack":
        backbone, head = (SHARED / NANOTRACK / f"v2_{part}.onnx" for part in ("backbone", "head"))
        if not (backbone.exists() and hasattr(cv2, "TrackerNano_create")):
            return None
        settings = cv2.TrackerNano_Params()
        settings.backbone, settings.neckhead = os.fspath(backbone), os.fspath(head)
        return cv2.TrackerNano_create(settings)
    for home in (cv2, getattr(cv2, "legacy", None)):
        make = getattr(home, f"Tracker{name}_create", None)
        if make is not None:
            return make()
    return None


def whole_box(box, shape) -> tuple[int, int, int, int]:
    """``(x, y, width, height)`` in whole pixels inside the image, as OpenCV wants it."""
    x0, y0, x1, y1 = np.rint(np.clip(box, 0, [shape[1], shape[0]] * 2)).astype(int).tolist()
    return x0, y0, max(1, x1 - x0), max(1, y1 - y0)


def run_peer(name: str, pixels, box) -> tuple[np.ndarray, float, list[float]]:
    """Boxes in the images after the first, and the seconds of `init` and of each `update`.

    An image in which it says that it has lost the target counts with the box that it had.
    """
    import cv2

    cv2.setRNGSeed(0)  # MIL draws at random
    tracker = peer(name)
    began = time.perf_counter()
    tracker.init(pixels[0], whole_box(box, pixels[0].shape))
    first = time.perf_counter() - began
    boxes, seconds, now = [], [], np.asarray(box, float)
    for image in pixels[1:]:
        began = time.perf_counter()
        good, (x, y, width, height) = tracker.update(image)
        seconds.append(time.perf_counter() - began)
        if good:
            now = np.array([x, y, x + width, y + height], float)
        boxes.append(now)
    return np.array(boxes), first, seconds


def run_solar(tracker: SolarTracker, records, box) -> tuple[np.ndarray, float, list[float]]:
    """The same for the solar tracker, on images that are decoded already."""
    began = time.perf_counter()
    region = tracker.new_region(np.asarray(box, float), records[0])
    tracker.initialize(records[0].read(), [region], records[0])
    first = time.perf_counter() - began
    boxes, seconds = [], []
    for record in records[1:]:
        began = time.perf_counter()
        (step,) = tracker.update(record.read(), [region], record)
        seconds.append(time.perf_counter() - began)
        boxes.append(step.box)
    return np.array(boxes), first, seconds


def peers(
    events: int = 40,
    *,
    shared: Path = SHARED,
    data: Path,
    of_events: int = 200,
    frames: int = 20,
    size: int = 1024,
    workers: int = 1,
) -> dict[str, Any]:
    """Beside OpenCV's trackers on the same decoded images, one thread each."""
    names = [name for name in PEERS if peer(name) is not None]
    out: dict[str, Any] = {"missing": [name for name in PEERS if name not in names]}
    if not names:
        return out
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        solar = SolarTracker(device="cpu")
        real = load_harp7269(shared)
        out["harp7269"] = {}
        for number in STARTS:
            at = int(np.flatnonzero(real.frames == number)[0])
            days = (real.frames[at:] - number) / 30.0
            shape = real.images.shape[1:]
            records = [
                Record(i, mjd_tai=day, geometry=real.geometry, shape=shape, pixels=image)
                for i, (day, image) in enumerate(zip(days.tolist(), real.images[at:], strict=True))
            ]
            made = _race(solar, names, records, real.truth[at])
            out["harp7269"][str(number)] = {
                name: {
                    **summary(overlaps(boxes, real.truth[at + 1 :])),
                    "init_ms": 1e3 * first,
                    "update_ms": 1e3 * float(np.median(seconds)),
                }
                for name, (boxes, first, seconds) in made.items()
            }
        out["simulated"] = _simulated_peers(
            solar, names, events, sequences(data, of_events, frames, size, workers), of_events
        )
    finally:
        cv2.setNumThreads(before)
    return out


def _race(solar: SolarTracker, names: Sequence[str], records, box) -> dict[str, Any]:
    import cv2

    pixels = [record.pixels for record in records]
    # Colour is what OpenCV's trackers expect; making it is not counted.
    colour = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2BGR) for image in pixels]
    made: dict[str, Any] = {"solar": run_solar(solar, records, box)}
    moves = _moves(records, box)
    still = [_moved(image, move) for image, move in zip(colour, moves, strict=True)]
    for name in names:
        for suffix, shown in (("", colour), (DEROTATED, still)):
            try:
                boxes, first, seconds = run_peer(name, shown, box)
            except cv2.error as error:  # it cannot start from this box, or fails on the way: no boxes
                print(f"  {name}: {str(error).splitlines()[0]}", file=sys.stderr)
                boxes, first, seconds = np.full((len(pixels) - 1, 4), np.nan), np.nan, [np.nan]
            if suffix:
                boxes = boxes + np.tile(moves[1:], 2)
            made[name + suffix] = boxes, first, seconds
    return made


def _moves(records, box) -> np.ndarray:
    """Whole pixels by which rotation moves the middle of the box, to each image; as before if it has set."""
    sides, _ = fit_rectangles(np.asarray(box, float), records[0].geometry)
    out = [np.zeros(2)]
    for record in records[1:]:
        there = rotate_rectangles(sides, record.mjd_tai - records[0].mjd_tai)
        now = rectangles_to_boxes(there, record.geometry)[0][0]
        move = np.rint(0.5 * (now[:2] + now[2:] - box[:2] - box[2:]))
        out.append(move if np.isfinite(move).all() else out[-1])
    return np.array(out)


def _moved(image, move):
    import cv2

    back = np.float32([[1, 0, -move[0]], [0, 1, -move[1]]])
    return cv2.warpAffine(image, back, image.shape[1::-1], flags=cv2.INTER_NEAREST)


def _simulated_peers(solar, names, events, made: Iterator[Simulated], of_events: int) -> dict[str, Any]:
    ious: dict[str, list[dict[str, float]]] = {}
    times: dict[str, tuple[list[float], list[float]]] = {}
    numbers = np.unique(np.linspace(0, of_events - 1, min(events, of_events)).astype(int))
    before = 0
    for sequence in made:
        for number, event in enumerate(sequence.events, before):
            # MIL never returns from boxes of a few pixels.
            if number not in numbers or (event.box[2:] - event.box[:2]).min() < SMALLEST:
                continue
            later = slice(event.at, None)
            frames = sequence.frames[later][1:]
            truth = [dict(zip(f.ids.tolist(), f.boxes, strict=True)).get(event.id) for f in frames]
            there = np.array([t is not None for t in truth])
            true = np.array([t for t in truth if t is not None])
            for name, (boxes, first, seconds) in _race(
                solar, names, sequence.records[later], event.box
            ).items():
                ious.setdefault(name, []).append(summary(overlaps(boxes[there], true)))
                firsts, updates = times.setdefault(name, ([], []))
                firsts.append(first)
                updates.extend(seconds)
            print(f"  peers: event {number + 1} of {of_events}", file=sys.stderr, flush=True)
        before += len(sequence.events)
    out: dict[str, Any] = {"events": len(next(iter(ious.values()), []))}
    for name, rows in ious.items():
        out[name] = {
            **{key: float(np.mean([row[key] for row in rows])) for key in ("mean_iou", "success")},
            "init_ms": 1e3 * float(np.nanmedian(times[name][0])),
            "update_ms": 1e3 * float(np.nanmedian(times[name][1])),
        }
    return out


def surroundings() -> dict[str, Any]:
    """Where and with what it was measured."""
    versions = {"python": platform.python_version()}
    packages = (
        "solartrack", "numpy", "onnxruntime", "opencv-python-headless", "opencv-contrib-python-headless",
        "pillow", "glymur",
    )  # fmt: skip
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0] if names else cpu
    return {"versions": versions, "cpu": cpu, "cores": os.cpu_count(), "system": platform.system()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Measure the trackers and write the report for docs/tracking.md."
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="JSON file")
    add("--shared", type=Path, default=SHARED, help="folder with the real data")
    add("--data", type=Path, help="folder of the rendered sequences; default: beside the report")
    add("--events", type=int, default=200, help="simulated regions to follow")
    add("--peer-events", type=int, default=40, help="those of them that the peers follow, too")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes that render")
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="only these; others stay as they are")
    add("--judge", action="store_true", help="look at the tracks that judge, too: once for a tracker")
    add("--quick", action="store_true", help="a minute's run that proves that everything works")
    options = parser.parse_args(arguments)
    data = options.data or options.out.resolve().parent / "tracking_quality_data"
    frames, size = 20, 1024
    if options.quick:
        options.events, options.peer_events, frames, size = min(options.events, 24), 3, 6, 512

    solar = SolarTracker(device="cpu")
    network = solar.network
    report: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    sha = network.model.info.sha256
    if (
        report.get("model", {}).get("sha256", sha) != sha
        or report.get("quick", options.quick) != options.quick
    ):
        report = {}  # figures of another network
    report |= {"quick": options.quick, "date": datetime.now(UTC).date().isoformat(), **surroundings()}
    report["model"] = {
        "name": network.model.info.name,
        "version": network.model.info.version,
        "sha256": sha,
        "bytes": network.model.path.stat().st_size,
        "training": network.model.info.training,
    }
    common = {"data": data, "frames": frames, "size": size, "workers": options.workers}

    def real() -> dict[str, Any]:
        out = {
            variant: {tracker: harp7269(tracker, variant, shared=options.shared) for tracker in TRACKERS}
            for variant in VARIANTS
        }
        out["as is"]["published"] = published(options.shared)
        return out

    jobs = {
        "harp7269": real,
        "simulated": lambda: simulated_holdout(options.events, solar=solar, **common),
        "holes": lambda: holes(3 if options.quick else 100, workers=options.workers),
        "real": lambda: tracking_real.all_of_them(
            {name: make_tracker(name) for name in TRACKERS if name != "goturn"} | {"solar": solar},
            interval,
            shared=options.shared,
            names=("rotation", "solar"),
            judge=options.judge,
        ),
        "peers": lambda: peers(
            options.peer_events, shared=options.shared, of_events=options.events, **common
        ),
    }
    for part in options.parts:
        print(f"{part} ...", file=sys.stderr, flush=True)
        began = time.perf_counter()
        report[part] = jobs[part]()
        report.setdefault("seconds", {})[part] = round(time.perf_counter() - began, 1)
        # After each part: a long run that is stopped has not been in vain.
        with replacing(options.out) as partial:
            partial.write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
