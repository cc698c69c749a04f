"""The rotation law of active regions, fitted to NOAA positions, and how other laws do on them.

Run `python benchmarks/rotation_law.py`, with the positions of 1996 to 2018 in ../shared
(data/flares/hayes2021_regions_flares). `--real` adds the real tracks of September 2024: mean IoU and area of
boxes that are carried along.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from solartrack import metrics, tracking
from solartrack.coordinates import (
    EARTH_DEG_DAY,
    LAWS,
    ImageGeometry,
    RotationLaw,
    fit_rectangles,
    rotate_box,
    rotation_rate,
)

SHARED = Path(__file__).resolve().parents[2] / "shared"
#: Both positions of a pair are this close to the central meridian, degrees: farther out they are inexact.
NEAREST = 60.0
#: Days between the positions of a pair in the fit. Over shorter times whole degrees say little, and
#: positions were partly carried forward by hand.
FITTED = (5, 6, 7)
REPORTED = (1, 3, 5, 7)
#: The law before this fit.
OLD = "doppler"


def load_pairs(shared: Path = SHARED, days=range(1, 8)) -> pd.DataFrame:
    """Positions of the same region some days apart, both near the meridian.

    Returns
    -------
    pandas.DataFrame
        ``region``, ``year``, ``days``, ``lat`` (mean of both) and ``moved`` (synodic, degrees).
    """
    table = pd.read_csv(shared / "data/flares/hayes2021_regions_flares/AR_flare_ml_23_24_evol.csv.gz")
    issued = pd.to_datetime(table["AR issue_date"])
    places = pd.DataFrame(
        {
            "region": table["noaa_ar"],
            "day": (issued - pd.Timestamp("1996-01-01")).dt.days,
            "year": issued.dt.year,
            "lat": table["Latitude"].astype(float),
            "lon": table["Longitude"].astype(float),
        }
    ).drop_duplicates(["region", "day"])
    places = places[places["lon"].abs() <= NEAREST]
    found = []
    for apart in days:
        later = places.assign(day=places["day"] - apart)
        both = places.merge(later, on=["region", "day"], suffixes=("", "_later"))
        found.append(
            pd.DataFrame(
                {
                    "region": both["region"],
                    "year": both["year"],
                    "days": apart,
                    "lat": 0.5 * (both["lat"] + both["lat_later"]),
                    "moved": both["lon_later"] - both["lon"],
                }
            )
        )
    return pd.concat(found, ignore_index=True)


def fit(pairs: pd.DataFrame, weight=None, steps: int = 60) -> np.ndarray:
    """Sidereal a, b, c with the least sum of absolute errors in degrees."""
    s2 = np.sin(np.radians(pairs["lat"].to_numpy())) ** 2
    days = pairs["days"].to_numpy(float)
    terms = np.stack([np.ones(len(s2)), s2, s2 * s2], axis=1) * days[:, None]
    moved = pairs["moved"].to_numpy() + EARTH_DEG_DAY * days
    weight = np.ones(len(days)) if weight is None else weight
    w = weight
    for _ in range(steps):  # least squares, weighted until it is least absolute deviations
        law = np.linalg.solve((terms * w[:, None]).T @ terms, (terms * w[:, None]).T @ moved)
        w = weight / np.maximum(np.abs(moved - terms @ law), 0.1)
    return law


def resampled(pairs: pd.DataFrame, times: int, seed: int = 1) -> np.ndarray:
    """Fits to as many regions, drawn anew with all their pairs, shape (times, 3)."""
    rng = np.random.default_rng(seed)
    number, regions = pd.factorize(pairs["region"])
    out = []
    for _ in range(times):
        drawn = np.bincount(rng.integers(len(regions), size=len(regions)), minlength=len(regions))
        taken = drawn[number] > 0
        out.append(fit(pairs[taken], drawn[number][taken].astype(float)))
    return np.array(out)


def errors(pairs: pd.DataFrame, law) -> pd.DataFrame:
    """Median absolute error and mean lead of a law, by days."""
    ahead = rotation_rate(pairs["lat"].to_numpy(), law) * pairs["days"] - pairs["moved"]
    by = ahead.groupby(pairs["days"])
    return pd.DataFrame(
        {"pairs": by.size(), "median": ahead.abs().groupby(pairs["days"]).median(), "lead": by.mean()}
    )


def own_motion(pairs: pd.DataFrame, law) -> float:
    """Scatter of the regions' own rates, degrees a day.

    Positions are uncertain by the same amount whatever the time between them; what grows with the square of
    the time is the motion. From the interquartile ranges, as some regions are confused with others.
    """
    off = pairs["moved"] - rotation_rate(pairs["lat"].to_numpy(), law) * pairs["days"]
    spread = off.groupby(pairs["days"]).quantile(0.75) - off.groupby(pairs["days"]).quantile(0.25)
    variance = (spread / 1.349) ** 2
    slope = np.polyfit(variance.index.to_numpy(float) ** 2, variance.to_numpy(), 1)[0]
    return float(np.sqrt(max(slope, 0.0)))


def report_law(shared: Path, times: int) -> None:
    pairs = load_pairs(shared)
    fitted = pairs[pairs["days"].isin(FITTED)]
    law = RotationLaw(*map(float, fit(fitted)))
    regions = fitted["region"].nunique()
    print(f"{len(fitted)} pairs of {regions} regions, {FITTED} days apart, |lon| <= {NEAREST:g}")
    again = resampled(fitted, times)
    print("a, b, c:", np.round(law, 3), "+-", again.std(axis=0).round(3))
    print("in the library:", LAWS["active regions"])
    print("\nrate at latitude, +- by resampled regions:")
    for lat in (0, 10, 20, 30, 40):
        s2 = np.sin(np.radians(lat)) ** 2
        rates = again @ [1.0, s2, s2 * s2]
        print(f"  {lat:2d}: {law.a + law.b * s2 + law.c * s2**2:.3f} +- {rates.std():.3f}")
    print("\nmedian |error| and mean lead (degrees) after", REPORTED, "days:")
    for name, one in LAWS.items():
        e = errors(pairs, one).loc[list(REPORTED)]
        print(f"  {name:15s}", *(f"{m:.2f} ({a:+.2f})" for m, a in zip(e["median"], e["lead"], strict=True)))
    print("  pairs          ", *e["pairs"])
    for what, train in (("1996-2008", pairs["year"] <= 2008), ("2009-2018", pairs["year"] > 2008)):
        one = fit(pairs[train & pairs["days"].isin(FITTED)])
        s2 = np.sin(np.radians(pairs["lat"])) ** 2
        off = (one[0] - EARTH_DEG_DAY + one[1] * s2 + one[2] * s2**2) * pairs["days"] - pairs["moved"]
        medians = off[~train].abs().groupby(pairs["days"]).median()[list(REPORTED)]
        print(f"fitted to {what} {one.round(2)}, on the other years:", *medians.round(2))
    print("\nregions' own motion, degrees a day (standard deviation):", round(own_motion(pairs, law), 2))
    for low, high in ((0, 10), (10, 20), (20, 30), (30, 45)):
        band = pairs[(pairs["lat"].abs() >= low) & (pairs["lat"].abs() < high)]
        at = band[band["days"] == 5]
        print(
            f"  latitude {low}-{high}: {own_motion(band, law):.2f}, "
            f"lead over five days {errors(band, law)['lead'][5]:+.2f} ({len(at)} pairs)"
        )


# Real tracks of September 2024: 90 AIA 171 images, 4 h apart, with SHARP boxes.

#: Two boxes of merged belts.
MERGED = (0, 20)
LEADS = (1, 2, 3, 4, 5, 6, 7)
_BOX = ["x0", "y0", "x1", "y1"]


def real_tracks(shared: Path = SHARED):
    """Geometry, and the boxes of each track by frame."""
    boxes = pd.read_csv(shared / "data/aia_sharp_2024_09/boxes.csv")
    boxes = boxes[~boxes["track"].isin(MERGED)]
    geometry = ImageGeometry.from_disk((307.5, 307.5), 239.4, b0_deg=7.05, row0="bottom")
    return geometry, {n: t.set_index("frame")[_BOX] for n, t in boxes.groupby("track")}


def follow_real(tracker, shared: Path = SHARED) -> pd.DataFrame:
    """Each track from its first box on: lead in days, IoU, and area over the true one."""
    geometry, tracks = real_tracks(shared)
    files = sorted((shared / "data/aia_sharp_2024_09/frames").iterdir())
    rows = []
    for number, truth in tracks.items():
        first, last = int(truth.index[0]), int(truth.index[-1])
        if last == first:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = tracking.track(
                files[first : last + 1],
                truth.loc[first].to_numpy(),
                start=files[first],
                tracker=tracker,
                cadence="4h",
                geometry=geometry,
            )
        found = table.set_index(pd.Index(range(first, last + 1)))[_BOX].loc[truth.index[1:]].to_numpy()
        true = truth.iloc[1:].to_numpy()
        areas = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
        rows.append(
            pd.DataFrame(
                {
                    "track": number,
                    "days": (truth.index[1:] - first) / 6.0,
                    "iou": metrics.iou(np.nan_to_num(found), true),
                    "area": areas / ((true[:, 2] - true[:, 0]) * (true[:, 3] - true[:, 1])),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def area_ratios(law: str = "active regions", shared: Path = SHARED) -> pd.DataFrame:
    """Area of carried boxes over the true ones, from every third image of each track.

    Returns
    -------
    pandas.DataFrame
        ``track``, ``days``, ``ratio`` in pixels, and ``on_sun``: how much larger the true box was on the Sun
        at the start, which no carrying is to blame for.
    """
    geometry, tracks = real_tracks(shared)
    rows = []
    for number, truth in tracks.items():
        west, south, east, north = fit_rectangles(truth.to_numpy(), geometry)[0].T
        on_sun = (east - west) * (np.sin(np.radians(north)) - np.sin(np.radians(south)))
        sizes = pd.Series(on_sun, truth.index)
        for first in truth.index[::3]:
            for lead in LEADS:
                later = first + 6 * lead
                if later in truth.index:
                    found = rotate_box(truth.loc[first].to_numpy(), float(lead), geometry, law=law).box
                    ratio = _area(found) / _area(truth.loc[later].to_numpy())
                    rows.append((number, lead, ratio, sizes[first] / sizes[later]))
    return pd.DataFrame(rows, columns=["track", "days", "ratio", "on_sun"])


def _area(box) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def report_real(shared: Path) -> None:
    ratios = area_ratios(shared=shared)
    print("\nSeptember 2024, area of carried boxes over the true ones, median by days:")
    ratios["relative"] = ratios["ratio"] / ratios["on_sun"]
    print(ratios.groupby("days")[["ratio", "on_sun", "relative"]].median().round(3).to_string())
    print("mean IoU, and median area over the true one, of tracks from their first box:")
    for name in ("rotation", "rectangle", "solar"):
        for law in (OLD, "active regions"):
            rows = follow_real(tracking.make_tracker(name, law=law), shared)
            found = f"{rows['iou'].mean():.3f} {rows['area'].median():.3f}"
            print(f"  {name:10s} {law:15s} {found} ({len(rows)} boxes)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--resampled", type=int, default=100, help="times that regions are drawn anew")
    parser.add_argument("--real", action="store_true", help="follow the real tracks of September 2024, too")
    options = parser.parse_args()
    report_law(options.shared, options.resampled)
    if options.real:
        report_real(options.shared)


if __name__ == "__main__":
    main()
