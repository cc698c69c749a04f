"""Real sequences beside HARP 7269 that judge trackers: September 2024, AIA of August 2017, MDI of 2010.

They lie in ../shared/data; their READMEs say what they are. `tracking_quality.py` runs what is here.
"""

import functools
import time
import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.time import Time

from solartrack import images, metrics, tracking
from solartrack.coordinates import (
    ImageGeometry,
    fit_rectangles,
    rectangles_to_boxes,
    rotate_rectangles,
    solar_b0_deg,
)
from solartrack.errors import GeometryError, TrackError
from solartrack.sources import swpc

BOX = ["x0", "y0", "x1", "y1"]
#: Merged belts of several regions.
BELTS = (0, 20)
#: Starts each day, followed for at most a week; images are 4 h apart.
DAY, WEEK = 6, 42


def september(trackers: dict[str, Any], judging: bool, *, shared: Path) -> pd.DataFrame:
    """SHARP boxes of September 2024: one row for each start, later image and tracker.

    Tracks with even numbers choose, those with odd numbers judge.
    """
    folder = Path(shared) / "data/aia_sharp_2024_09"
    table = pd.read_csv(folder / "boxes.csv")
    pixels = [images.read_pixels(file) for file in sorted((folder / "frames").iterdir())]
    geometry = ImageGeometry.from_disk((307.5, 307.5), 239.4, b0_deg=7.05, row0="bottom")
    first = datetime(2024, 9, 1, 0, 0, 9)
    times = [first + timedelta(hours=4 * k) for k in range(len(pixels))]
    rows = []
    chosen = table[(table["track"] % 2 == int(judging)) & ~table["track"].isin(BELTS)]
    for track, part in chosen.groupby("track"):
        truth = dict(zip(part["frame"], part[BOX].to_numpy(float), strict=True))
        starts: list[int] = []
        for frame in sorted(truth):
            if frame < max(truth) and (not starts or frame - starts[-1] >= DAY):
                starts.append(frame)
        for start in starts:
            last = min(max(truth), start + WEEK)
            for name, tracker in trackers.items():
                found = followed(
                    pixels[start : last + 1], truth[start], tracker, times[start : last + 1], geometry
                )
                for k in range(start + 1, last + 1):
                    if k in truth:
                        rows.append((track, start, k - start, name, *found[k - start], *truth[k]))
    made = pd.DataFrame(
        rows, columns=["track", "start", "ahead", "tracker", *BOX, *(f"true_{b}" for b in BOX)]
    )
    made["iou"] = metrics.iou(
        np.nan_to_num(made[BOX].to_numpy()), made[[f"true_{b}" for b in BOX]].to_numpy()
    )
    begun = chosen.set_index(["track", "frame"])[BOX]
    starts_of = begun.loc[list(zip(made["track"], made["start"], strict=True))].to_numpy()
    middle = 0.5 * (starts_of[:, :2] + starts_of[:, 2:]) - geometry.disk_center
    made["beyond_45_deg"] = np.abs(middle[:, 0]) / geometry.disk_radius > np.sin(np.radians(45.0))
    made["lower_than_25_px"] = starts_of[:, 3] - starts_of[:, 1] < 25.0
    return made


def followed(pixels, box, tracker, times, geometry) -> np.ndarray:
    """Boxes in all images, from the first on; NaN if the tracker cannot start there."""
    try:
        table = tracking.track(pixels, box, tracker=tracker, geometry=geometry, times=times)
    except (GeometryError, TrackError):  # no box is its answer
        return np.full((len(pixels), 4), np.nan)
    return table[BOX].to_numpy(float)


def by_track(rows: pd.DataFrame, interval) -> dict[str, Any]:
    """Means over rows, and over tracks with intervals of the differences."""
    out: dict[str, Any] = {}
    for subset in ("all", "beyond_45_deg", "lower_than_25_px"):
        some = rows if subset == "all" else rows[rows[subset]]
        if some.empty:
            out[subset] = {"rows": 0}
            continue
        of_rows = some.groupby("tracker")["iou"].mean()
        of_tracks = some.groupby(["tracker", "track"])["iou"].mean().unstack("tracker")
        out[subset] = {
            "rows": int(len(some) / some["tracker"].nunique()),
            "tracks": len(of_tracks),
            "mean_iou": of_rows.to_dict(),
            "mean_iou_of_tracks": of_tracks.mean().to_dict(),
            "differences": {
                f"solar - {name}": interval((of_tracks["solar"] - of_tracks[name]).to_numpy())
                for name in of_tracks
                if name != "solar"
            },
        }
    return out


# August 2017: NOAA 12670 from 4096-pixel JPEG 2000 files, to the west limb and beyond.

REGION_12670 = (1800.0, 2140.0, 2420.0, 2680.0)
#: Measured by correlating reprojected patches: longitude at the first image, degrees a day.
MOTION = 2.1, 13.62


def august(tracker: Any, *, shared: Path) -> dict[str, Any]:
    """Longitude of the box's middle beside the measured motion, and how the track ends."""
    folder = Path(shared) / "data/aia171_2017_08"
    files = sorted(folder.rglob("*.jp2"))
    began = time.perf_counter()
    table = tracking.track(files, REGION_12670, tracker=tracker)
    seconds = time.perf_counter() - began
    days = table["days"].to_numpy(float)
    # Of the rectangle that the box shows: near the limb the box's own middle is not that of the region.
    places = [ImageGeometry.from_header(images.read_header(file).header) for file in files]
    sides = np.full((len(table), 4), np.nan)
    for row, (box, place) in enumerate(zip(table[BOX].to_numpy(float), places, strict=True)):
        if np.isfinite(box).all():
            sides[row] = fit_rectangles(box, place)[0][0]
    middle = 0.5 * (sides[:, 0] + sides[:, 2])
    apart = middle - (MOTION[0] + MOTION[1] * days)
    near = (days >= 1.0) & (days <= 4.0)
    states = table["state"].tolist()
    return {
        "images": len(files),
        "seconds": seconds,
        "first_days_deg": float(apart[0]),
        "median_deg": float(np.median(np.abs(apart[near]))),
        "largest_deg": float(np.abs(apart[near]).max()),
        "states": {state: states.count(state) for state in dict.fromkeys(states)},
        "last": states[-1],
    }


# 2010: MDI continuum images, about one a day, beside NOAA's positions.


def mdi(trackers: dict[str, Any], *, shared: Path, farthest_deg: float = 60.0) -> dict[str, Any]:
    """Errors of longitude, and areas on the Sun beside the start's, by days since the start.

    A group is followed from each image in which it is listed within `farthest_deg` of the meridian; its start
    box is around NOAA's position, with NOAA's extent in longitude and two degrees more on each side, and
    seven degrees high.
    """
    data = Path(shared) / "data"
    files = sorted((data / "mdi_2010/frames").glob("*.jpg"))
    times = [datetime.strptime(file.name[:13], "%Y%m%d_%H%M") for file in files]
    pixels = [images.read_pixels(file) for file in files]
    tilts = np.asarray(solar_b0_deg(Time(times)))
    places = [ImageGeometry.from_disk((256.0, 256.0), 239.5, b0_deg=b0) for b0 in tilts.tolist()]
    listed = _positions(data / "noaa/srs_tarballs/2010_SRS.tar.gz")
    rows = []
    for region, known in listed.groupby("region"):
        seen = []
        for k, moment in enumerate(times):
            there = _position(known, moment)
            if there is not None and abs(there[0]) <= farthest_deg:
                seen.append((k, there))
        for number, (start, (lon, lat, extent)) in enumerate(seen[:-1]):
            half = 0.5 * max(extent, 3.0) + 2.0
            sides = np.array([[lon - half, lat - 3.5, lon + half, lat + 3.5]])
            box = rectangles_to_boxes(sides, places[start])[0][0]
            last = seen[-1][0]
            for name, tracker in trackers.items():
                part = slice(start, last + 1)
                found = followed(pixels[part], box, tracker, times[part], places[part])
                for k, (true, _, _) in seen[number + 1 :]:
                    now = fit_rectangles(found[k - start][None], places[k])[0][0]
                    days = (times[k] - times[start]).total_seconds() / 86_400
                    area = np.prod(now[2:] - now[:2]) / np.prod(sides[0, 2:] - sides[0, :2])
                    rows.append((name, region, days, 0.5 * (now[0] + now[2]) - true, area))
    table = pd.DataFrame(rows, columns=["tracker", "region", "days", "error", "area"])
    out: dict[str, Any] = {}
    for low, high in ((2.4, 3.4), (5.4, 9.0)):
        some = table[(table["days"] >= low) & (table["days"] <= high)]
        out[f"{low:g} to {high:g} days"] = {
            name: {
                "rows": len(mine),
                "groups": int(mine["region"].nunique()),
                "lost": int(mine["error"].isna().sum()),
                "median_error_deg": float(mine["error"].abs().median()),
                "median_lead_deg": float(mine["error"].median()),
                "median_area": float(mine["area"].median()),
            }
            for name, mine in some.groupby("tracker")
        }
    return out


@functools.lru_cache
def _positions(archive: Path) -> pd.DataFrame:
    """NOAA's groups with spots: number, moment, longitude, latitude and extent, degrees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the rows of other groups that cannot be read
        regions = swpc.read_srs(archive).regions
    return regions[regions["section"] == "I"]


def _position(known: pd.DataFrame, moment: datetime) -> tuple[float, float, float] | None:
    """Where a group is at a moment, by its nearest listed position; None if that is more than 14 h away."""
    away = (known["time"] - pd.Timestamp(moment)).abs()
    row = known.loc[away.idxmin()]
    hours = (pd.Timestamp(moment) - row["time"]).total_seconds() / 3600
    if abs(hours) > 14.0:
        return None
    lon, lat = float(row["lon"]), float(row["lat"])
    moved = rotate_rectangles(np.array([[lon - 1, lat - 1, lon + 1, lat + 1]]), hours / 24)[0]
    return 0.5 * float(moved[0] + moved[2]), lat, float(row["extent"])


def all_of_them(
    trackers: dict[str, Any], interval, *, shared: Path, names: Sequence[str], judge: bool
) -> dict[str, Any]:
    """What docs/tracking.md says about these sequences; the tracks that judge only if it is asked for."""
    out: dict[str, Any] = {}
    for part, judging in (("choosing", False), ("judging", True))[: 1 + judge]:
        out[f"september_{part}"] = by_track(september(trackers, judging, shared=shared), interval)
    out["august"] = {name: august(trackers[name], shared=shared) for name in names}
    out["mdi"] = mdi(trackers, shared=shared)
    return out
