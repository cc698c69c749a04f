"""How boxes of regions and holes change in four hours and in a day: real records beside the simulator.

    python benchmarks/box_evolution.py --data ../shared/data

Relative changes are absolute differences of natural logarithms, medians and 90 % quantiles, of width, height
and area of the heliographic rectangle that a box shows, so that rotation and foreshortening do not count.
Distances are those of the box's middle from the disk's centre, in radii, in the earlier image.
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

from solartrack.coordinates import ImageGeometry, fit_rectangles, rectangles_to_boxes, solar_b0_deg
from solartrack.simulate import SunModel, render

BINS = ((0.0, 0.7), (0.7, 0.9), (0.9, 1.01))


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


def spoca(data, kind):
    """The SPoCA boxes of 2013-02-01, four hours apart."""
    with (data / "hek/hek_spoca_AR_CH_20130201.json").open() as file:
        found = [r for r in json.load(file)["result"] if r["event_type"] == kind]
    rows = []
    for r in found:
        time = Time(r["event_starttime"])
        geometry = ImageGeometry.from_disk((0, 0), 973.0, b0_deg=float(solar_b0_deg(time)), row0="bottom")
        box = [float(r[k]) for k in ("boundbox_c1ll", "boundbox_c2ll", "boundbox_c1ur", "boundbox_c2ur")]
        number = int(r["frm_specificid"].rsplit("_", 1)[1])
        rows += rows_of([box], geometry, time.mjd * 24.0, [number])
    return rows


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
    out = {name: [] for name in ("AR rectangle", "AR field", "AR segmented", "CH exact", "CH segmented")}
    for seed in seeds:
        model = SunModel(seed, n_holes=12, breathing=breathing, days=days)
        for hours in (0, 1, *range(4, 49, 4)):
            moment = model.start + timedelta(hours=hours)
            at = 100_000 * seed
            euv = render(model, moment, size=512, channel="171")
            dark = render(model, moment, size=512, channel="193")
            geometry = euv.view.geometry
            out["AR rectangle"] += rows_of(euv.boxes, geometry, hours, at + euv.ids)
            field = [(r.id, r.field_rectangle_at(hours / 24.0)) for r in model.regions]
            field = [(n, (s[0], s[2], s[1], s[3])) for n, s in field if s is not None]
            if field:
                boxes, _ = rectangles_to_boxes(np.array([s for _, s in field]), geometry)
                there = np.isfinite(boxes).all(axis=1) & (np.ptp(boxes[:, ::2], axis=1) > 0)
                names = np.array([n for n, _ in field])[there]
                out["AR field"] += rows_of(boxes[there], geometry, hours, at + names)
            out["CH exact"] += rows_of(dark.holes.boxes, geometry, hours, at + dark.holes.ids)
            for name, frame, kind in (("AR", euv, "active_region"), ("CH", dark, "coronal_hole")):
                found = frame.segmented(kind)
                known = found.ids > 0
                out[f"{name} segmented"] += rows_of(
                    found.boxes[known], geometry, hours, at + found.ids[known]
                )
    return out


def lines(name, rows):
    for step, tolerance in ((1, 0.2), (4, 0.3), (24, 0.5)):
        pairs = changes(rows, step, tolerance)
        for low, high in ((0.0, 1.01), *BINS):
            part = pairs[(pairs[:, 3] >= low) & (pairs[:, 3] < high)]
            if len(part) < 3:
                continue
            change = np.abs(part[:, :3])
            middle, most = np.median(change, 0), np.quantile(change, 0.9, 0)
            cells = "  ".join(f"{m:5.2f} {q:5.2f}" for m, q in zip(middle, most, strict=True))
            where = f"{step:3d} h  r {low:.1f}-{high:.1f} {len(part):5d}"
            print(f"{name:24s} {where}  {cells}  {np.median(part[:, 2]):+.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--breathing", type=float, default=1.0)
    options = parser.parse_args()
    print("what, step, distance, pairs; |change| of width, height, area: median 90 %; median change of area")
    lines("real HARP 3604", harp(options.data))
    lines("real SPoCA AR", spoca(options.data, "AR"))
    lines("real SPoCA AR maps", maps(options.data, "AR"))
    lines("real SPoCA CH", spoca(options.data, "CH"))
    lines("real SPoCA CH maps", maps(options.data, "CH"))
    for name, rows in simulated(range(953000, 953000 + options.seeds), options.breathing).items():
        lines(f"simulated {name}", rows)


if __name__ == "__main__":
    main()
