"""How boxes of regions and holes change in hours and in a day: real records beside the simulator.

    python benchmarks/box_evolution.py --data ../shared/data --page docs/box_evolution.md

writes the page. Relative changes are absolute differences of natural logarithms, medians and 90 % quantiles,
of width, height and area of the heliographic rectangle that a box shows, so that rotation and foreshortening
do not count. Distances are those of the box's middle from the disk's centre, in radii, in the earlier image.
"""

import argparse
import gzip
import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.time import Time

from solartrack.coordinates import LAWS, ImageGeometry, fit_rectangles, rectangles_to_boxes, solar_b0_deg
from solartrack.metrics import iou
from solartrack.simulate import SunModel, render
from solartrack.tracking import make_tracker, track

# Within so many radii of the disk's centre the limb plays no part.
INNER = 0.7
# What in the simulator stands for which record.
NEIGHBOURS = {
    "HARP 3604": "simulated fields",
    "SPoCA regions": "simulated segmented regions",
    "SPoCA holes": "simulated segmented holes",
}


def rows_of(boxes, geometry, hours, numbers):
    """Size of the rectangles of boxes, and distance from the disk's centre."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    if not len(boxes):
        return []
    with np.errstate(invalid="ignore"):
        sides, _ = fit_rectangles(boxes, geometry)
    middle = 0.5 * (boxes[:, :2] + boxes[:, 2:]) - geometry.disk_center
    far = np.hypot(*middle.T) / geometry.disk_radius
    height = sides[:, 3] - sides[:, 1]
    width = (sides[:, 2] - sides[:, 0]) * np.cos(np.radians(0.5 * (sides[:, 1] + sides[:, 3])))
    return [
        (int(n), float(hours), w, h, w * h, r)
        for n, w, h, r in zip(numbers, width, height, far, strict=True)
        if np.isfinite(w) and w > 0.5 and h > 0.5
    ]


def changes(rows, step, tolerance):
    """Pairs of the same object, so many hours apart: log changes of width, height and area, and distance."""
    out = []
    table = pd.DataFrame(rows, columns=["id", "hours", "w", "h", "a", "r"])
    for _, group in table.groupby("id"):
        values = group.sort_values("hours").to_numpy()[:, 1:]
        for now in values:
            later = values[np.abs(values[:, 0] - now[0] - step) <= tolerance]
            if len(later):
                out.append([*np.log(later[0, 1:4] / now[1:4]), now[4]])
    return np.array(out).reshape(-1, 4)


def harp(data):
    """HARP 3604: boxes around the field of the moment, twelve minutes apart; thinned to one in two hours."""
    with gzip.open(data / "jsoc/rs_list_hmi.sharp_cea_720s_HARP3604_ALLkeys.json.gz") as file:
        keys = {k["name"]: k["values"] for k in json.load(file)["keywords"]}
    columns = ("LON_MIN", "LAT_MIN", "LON_MAX", "LAT_MAX")
    sides = np.array([pd.to_numeric(pd.Series(keys[c]), errors="coerce") for c in columns]).T
    times = pd.to_datetime([t[:10].replace(".", "-") + " " + t[11:19] for t in keys["T_REC"]])
    hours = ((times - times[0]) / pd.Timedelta(hours=1)).to_numpy()
    b0 = float(pd.to_numeric(pd.Series(keys["CRLT_OBS"]), errors="coerce").median())
    geometry = ImageGeometry.from_disk((512, 512), 400, b0_deg=b0, row0="bottom")
    rows = []
    for k in range(0, len(hours), 10):
        boxes, _ = rectangles_to_boxes(sides[k : k + 1], geometry)
        if np.isfinite(sides[k]).all() and np.isfinite(boxes).all():
            middle = 0.5 * (boxes[0, :2] + boxes[0, 2:]) - 512
            h = sides[k, 3] - sides[k, 1]
            w = (sides[k, 2] - sides[k, 0]) * np.cos(np.radians(0.5 * (sides[k, 1] + sides[k, 3])))
            rows.append((0, hours[k], w, h, w * h, float(np.hypot(*middle) / 400)))
    return rows


def spoca_boxes(data, kind):
    """The SPoCA boxes of 2013-02-01, four hours apart, in arcsec: number of the object, time, box."""
    with (data / "hek/hek_spoca_AR_CH_20130201.json").open() as file:
        found = [r for r in json.load(file)["result"] if r["event_type"] == kind]
    sides = ("boundbox_c1ll", "boundbox_c2ll", "boundbox_c1ur", "boundbox_c2ur")
    return [
        (int(r["frm_specificid"].rsplit("_", 1)[1]), Time(r["event_starttime"]), [float(r[k]) for k in sides])
        for r in found
    ]


def in_arcsec(time, center=(0.0, 0.0)):
    """An image of one arcsec a pixel, north at the end of the rows, seen from the Earth."""
    return ImageGeometry.from_disk(center, 973.0, b0_deg=float(solar_b0_deg(time)), row0="bottom")


def spoca(data, kind):
    """The SPoCA boxes of 2013-02-01, four hours apart."""
    rows = []
    for number, time, box in spoca_boxes(data, kind):
        rows += rows_of([box], in_arcsec(time), time.mjd * 24.0, [number])
    return rows


def carried(data, kind):
    """Mean IoU of first SPoCA boxes, carried without images, with the later ones, and how many are compared.

    Objects that are in all seven of the day's images, by what carries them.
    """
    objects = {}
    for number, time, box in spoca_boxes(data, kind):
        objects.setdefault(number, []).append((time, box))
    whole = [sorted(rows, key=lambda row: row[0].mjd) for rows in objects.values() if len(rows) == 7]
    image = np.zeros((2400, 2400), np.uint8)
    law = {"AR": "active regions", "CH": "coronal holes"}[kind]
    ways = {"left where it was": None}
    ways |= {f"`rotation`, law {name!r}": make_tracker("rotation", law=name) for name in LAWS}
    ways |= {f"`rectangle`, law {law!r}": make_tracker("rectangle", law=law)}
    out = {}
    for name, tracker in ways.items():
        overlaps = []
        for rows in whole:
            times, boxes = [t for t, _ in rows], np.array([b for _, b in rows]) + 1200.0
            answers = boxes[:1].repeat(7, 0)
            if tracker is not None:
                views = [in_arcsec(t, (1200.0, 1200.0)) for t in times]
                table = track([image] * 7, boxes[0], tracker=tracker, times=times, geometry=views)
                answers = table[["x0", "y0", "x1", "y1"]].to_numpy(float)
            # Carried behind the limb, it overlaps with nothing.
            there = np.isfinite(answers).all(axis=1)
            there[0] = False
            overlaps.append(iou(answers[there], boxes[there]).sum() / 6)
        out[name] = float(np.mean(overlaps))
    return out, len(whole)


def maps(data, kind):
    """The SPoCA maps of 2011-12-31, one hour apart."""
    rows = []
    for path in sorted((data / "spoca").glob(f"*{kind}Map.fits")):
        with fits.open(path) as file:
            header, table = file[1].header, file[2].data
            geometry = ImageGeometry.from_disk(
                (2048, 2048), header["R_SUN"], b0_deg=header["HGLT_OBS"], row0="bottom"
            )
            boxes = [[r["XBOXMIN"], r["YBOXMIN"], r["XBOXMAX"] + 1, r["YBOXMAX"] + 1] for r in table]
            time = Time(header["DATE_OBS"]).mjd * 24.0
            rows += rows_of(boxes, geometry, time, [r["TRACKED_COLOR"] for r in table])
    return rows


def simulated(seeds, breathing, days=2.2):
    """Boxes by what they are of: one day and more, every four hours (and one hour after the start)."""
    names = ("rectangles", "fields", "segmented regions", "exact holes", "segmented holes")
    out = {name: [] for name in names}
    for seed in seeds:
        model = SunModel(seed, n_holes=12, breathing=breathing, days=days)
        for hours in (0, 1, *range(4, 49, 4)):
            moment = model.start + timedelta(hours=hours)
            at = 100_000 * seed
            euv = render(model, moment, size=512, channel="171")
            dark = render(model, moment, size=512, channel="193")
            geometry = euv.view.geometry
            out["rectangles"] += rows_of(euv.boxes, geometry, hours, at + euv.ids)
            field = [(r.id, r.field_rectangle_at(hours / 24.0)) for r in model.regions]
            field = [(n, (s[0], s[2], s[1], s[3])) for n, s in field if s is not None]
            if field:
                boxes, _ = rectangles_to_boxes(np.array([s for _, s in field]), geometry)
                there = np.isfinite(boxes).all(axis=1) & (np.ptp(boxes[:, ::2], axis=1) > 0)
                names = np.array([n for n, _ in field])[there]
                out["fields"] += rows_of(boxes[there], geometry, hours, at + names)
            out["exact holes"] += rows_of(dark.holes.boxes, geometry, hours, at + dark.holes.ids)
            for name, frame, kind in (("regions", euv, "active_region"), ("holes", dark, "coronal_hole")):
                found = frame.segmented(kind)
                known = found.ids > 0
                out[f"segmented {name}"] += rows_of(
                    found.boxes[known], geometry, hours, at + found.ids[known]
                )
    return out


def table(head, rows):
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def absolute(pairs):
    """Median and 90 % quantile of the absolute changes of width, height and area, as text."""
    if len(pairs) < 3:
        return ["-"] * 3
    change = np.abs(pairs[:, :3])
    both = zip(np.median(change, 0), np.quantile(change, 0.9, 0), strict=True)
    return [f"{middle:.2f} ({most:.2f})" for middle, most in both]


def changes_table(kinds):
    """Changes after one, four and 24 hours, and those of the area far from the limb."""
    rows = []
    for name, found in kinds.items():
        for step, tolerance in ((1, 0.2), (4, 0.3), (24, 0.5)):
            pairs = changes(found, step, tolerance)
            if len(pairs) >= 3:
                inner = absolute(pairs[pairs[:, 3] < INNER])[2]
                rows.append([name, f"{step} h", str(len(pairs)), *absolute(pairs), inner])
    head = ["boxes", "after", "pairs", "width", "height", "area", f"area, within {INNER} radii"]
    return table(head, rows)


def nearness(kinds):
    """How near the simulator comes to the real records: median changes of the area in four hours."""
    said = []
    for real, simulated in NEIGHBOURS.items():
        parts = []
        for radii in (9.0, INNER):
            pair = [changes(kinds[name], 4, 0.3) for name in (real, simulated)]
            parts.append([f"{np.median(np.abs(p[p[:, 3] < radii, 2])):.2f}" for p in pair])
        (all_real, all_simulated), (in_real, in_simulated) = parts
        said.append(
            f"- {real}: {all_real}, {simulated}: {all_simulated}; within {INNER} radii {in_real} and"
            f" {in_simulated}.\n"
        )
    return "".join(said)


PAGE = """<!-- Written by benchmarks/box_evolution.py; edit that. -->
# How boxes change

A tracker is judged by the boxes of a catalogue, and these change from one image to the next, also where the
Sun does not: the sides of a SPoCA box move with the segmentation of each image, those of a SHARP follow the
field of the moment or stay for the region's life. Here are the real records at hand beside
`solartrack.simulate`, on which the trackers are trained and tested.

## Size

Absolute changes of the natural logarithm of width, height and area of the rectangle in latitude and longitude
that a box shows: median and, in brackets, the 90 % quantile. The distance from the centre of the disk is that
of the box's middle in the earlier image. The simulated ones are those of {seeds} Suns (seeds {first} to
{last}), looked at whenever the simulator was changed.

{changes}
Median change of the logarithm of the area in four hours, for the real record and what stands for it:

{nearness}
What is real here is little:

- HARP 3604: its boxes around the field of the moment, over ten days (JSOC); one region only.
- SPoCA, 2013-02-01: boxes of the Heliophysics Event Knowledgebase, four hours apart.
- SPoCA maps: two of each kind, one hour apart, on 2011-12-31.

## Boxes carried for twenty hours

The SPoCA boxes of 2013-02-01, no images: {regions} regions and {holes} holes that are in all seven rows, four
hours apart. The first box is carried, and its mean IoU with the six later ones is averaged over the objects.
Which law carries it hardly matters in twenty hours: what counts is how the segmentation changes. Three of the
holes are at the limb near a pole, where `rectangle` is no tracker for them: it completes what is hidden by
the shape of active regions, and a rectangle in latitude and longitude is no likeness of such a box.

{carried}"""


def page(kinds, data, seeds):
    """The page of the docs."""
    (regions, n_regions), (holes, n_holes) = carried(data, "AR"), carried(data, "CH")
    names = list(dict.fromkeys([*regions, *holes]))
    cells = [[n, *(f"{x[n]:.3f}" if n in x else "-" for x in (regions, holes))] for n in names]
    return PAGE.format(
        seeds=len(seeds),
        first=seeds[0],
        last=seeds[-1],
        changes=changes_table(kinds),
        nearness=nearness(kinds),
        regions=n_regions,
        holes=n_holes,
        carried=table(["first box", "regions", "coronal holes"], cells),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--breathing", type=float, default=1.0)
    parser.add_argument("--page", type=Path, help="where the page is written; default: print it")
    options = parser.parse_args()
    seeds = range(953000, 953000 + options.seeds)
    kinds = {
        "HARP 3604": harp(options.data),
        "SPoCA regions": spoca(options.data, "AR"),
        "SPoCA regions, maps": maps(options.data, "AR"),
        "SPoCA holes": spoca(options.data, "CH"),
        "SPoCA holes, maps": maps(options.data, "CH"),
    }
    kinds |= {f"simulated {name}": rows for name, rows in simulated(seeds, options.breathing).items()}
    text = page(kinds, options.data, seeds)
    if options.page:
        options.page.write_text(text, "utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
