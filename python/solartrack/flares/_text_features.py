"""What the text model knows of a region: its rows in NOAA's summaries, and the flares before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack.coordinates import rotation_rate
from solartrack.flares._columns import region_numbers, utc
from solartrack.flares.classes import fluxes_of, reaches

__all__ = [
    "EVOLUTION",
    "FEATURES",
    "HISTORY",
    "HISTORY_HOURS",
    "LATEST_HOURS",
    "ROW_COLUMNS",
    "SUMMARY",
    "classes",
    "measure",
]

#: Columns of rows of summaries that are read.
ROW_COLUMNS = (
    "region", "time", "section", "lat", "lon", "area", "mcintosh", "extent", "n_spots", "mag_class",
)  # fmt: skip
#: A summary is used for so many hours after 00:00 of its day of issue.
LATEST_HOURS = 48
#: So many hours of flares before a forecast are looked at.
HISTORY_HOURS = 96

# Letters of the McIntosh class (McIntosh 1990, Sol. Phys. 125, 251), in order of increasing size,
# asymmetry and compactness: their place in the order measures how a group changes.
_ZURICH, _PENUMBRA, _COMPACTNESS = ("AH", "B", "C", "D", "E", "F"), "xrsahk", "xoic"
_MAGNETIC = ("Alpha", "Beta", "Beta-Gamma", "Beta-Delta", "Beta-Gamma-Delta")
# Rare ones, taken for what is nearest to them.
_RARE = {"Gamma": "Beta-Gamma", "Gamma-Delta": "Beta-Gamma-Delta", "Delta": "Beta-Delta"}
_WINDOWS = (6, 12, 24, 48, 96)
_DISK_WINDOWS = (24, 96)
_FLUX = {"C": 1e-6, "M": 1e-5, "X": 1e-4}
_PREVIOUS_HOURS = (12, 36)

#: Features of the region's latest row.
SUMMARY = (
    *(f"zurich_{letter}" for letter in "ABCDEFH"),
    *(f"penumbra_{letter}" for letter in _PENUMBRA),
    *(f"compactness_{letter}" for letter in _COMPACTNESS),
    *(f"magnetic_{name}" for name in _MAGNETIC),
    "plage",
    "log_area",
    "log_area_squared",
    "log_spots",
    "log_spots_squared",
    "log_area_by_log_spots",
    "extent",
    "lon",
    "lon_squared",
    "lon_to_the_fourth",
    "beyond_60",
    "lat",
)
#: Features of the change since the row of the day before.
EVOLUTION = (
    "log_area_change",
    "log_area_growth",
    "log_spots_change",
    "log_spots_growth",
    "extent_change",
    "extent_growth",
    "zurich_change",
    "penumbra_change",
    "compactness_change",
    "new",
    "new_on_the_disk",
    "days_seen",
)
#: Features of the flares in the hours before.
HISTORY = (
    *(f"log_{letter}_flares_{hours}h" for letter in _FLUX for hours in _WINDOWS),
    *(f"{letter}_flare_recent_{hours}h" for letter in _FLUX for hours in (12, 48)),
    "any_C_24h",
    "any_C_48h",
    "any_M_24h",
    *(f"log_{letter}_flares_on_the_disk_{hours}h" for letter in "CM" for hours in _DISK_WINDOWS),
)
#: All of them, in the order of the columns.
FEATURES = (*SUMMARY, *EVOLUTION, *HISTORY)


def measure(samples: pd.DataFrame, regions: pd.DataFrame, events: pd.DataFrame | None) -> pd.DataFrame:
    """Features of samples.

    Parameters
    ----------
    samples : DataFrame, n rows
        ``region`` and ``time``.
    regions : DataFrame
        Rows of summaries, as `solartrack.flares.read_srs` gives them.
    events : DataFrame or None
        Flares with ``region``, ``peak`` and ``peak_flux``; what peaks after a sample's time is not looked at.

    Returns
    -------
    DataFrame, shape (n, 74)
        Columns as `FEATURES`. NaN where a row of a summary lacks a value, everywhere in a row whose region
        no summary of the last 48 hours has, and in the columns of the history if there are no events.
    """
    region, minute = _samples(samples)
    rows = _Rows(regions)
    latest, before = rows.of(samples)
    columns = _summary(rows, latest, minute) | _evolution(rows, latest, before)
    if events is not None:
        columns |= _history(events, region, minute)
    table = pd.DataFrame(columns, index=samples.index, dtype=np.float64).reindex(columns=list(FEATURES))
    table.loc[latest < 0] = np.nan
    return table


def classes(samples: pd.DataFrame, regions: pd.DataFrame) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """McIntosh classes of samples, and those of the day before; "" where there is none."""
    rows = _Rows(regions)
    latest, before = rows.of(samples)
    letters = np.array(rows.mcintosh, dtype=object)
    return letters[latest], letters[before]


class _Rows:
    """Rows of summaries in order of region and time, with numbers in place of letters."""

    def __init__(self, regions: pd.DataFrame) -> None:
        table = regions[regions["section"].isin(["I", "IA"])]
        time = utc(table["time"], "regions")
        table = table.assign(region=region_numbers(table["region"], time, "regions"), time=time)
        table = table.sort_values(["region", "time"], kind="stable")
        # A last row of nothing stands for what is not there: its index is -1.
        self.region = np.append(table["region"].to_numpy(np.int64), -1)
        self.minute = np.append(_minutes(table["time"].to_numpy()), 0)
        self.plage = np.append((table["section"] == "IA").to_numpy(), False)
        self.mcintosh = [*_words(table["mcintosh"]), ""]
        self.magnetic = np.array([*_words(table["mag_class"]).replace(_RARE), ""], dtype=object)
        area, spots, extent = (
            np.where(self.plage[:-1], 0.0, _floats(table[name])) for name in ("area", "n_spots", "extent")
        )
        self.log_area = np.append(np.log1p(area / 10), np.nan)
        self.log_spots = np.append(np.log1p(spots), np.nan)
        self.extent = np.append(extent / 10, np.nan)
        self.lat = np.append(_floats(table["lat"]), np.nan)
        self.lon = np.append(_floats(table["lon"]), np.nan)
        self.zurich = self._order([letters[:1] for letters in self.mcintosh], _ZURICH)
        self.penumbra = self._order([letters[1:2] for letters in self.mcintosh], _PENUMBRA)
        self.compactness = self._order([letters[2:3] for letters in self.mcintosh], _COMPACTNESS)
        first = pd.Series(self.minute).groupby(self.region).transform("min").to_numpy()
        self.days_seen = (self.minute - first) / 1440
        self._key = _key(self.region[:-1], self.minute[:-1])

    @staticmethod
    def _order(letters: list[str], order: Any) -> NDArray[np.float64]:
        place = {letter: float(n) for n, group in enumerate(order) for letter in group}
        return np.array([place.get(letter, np.nan) for letter in letters])

    def of(self, samples: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices of the rows that count for samples, and of those of the day before; -1 for none."""
        region, minute = _samples(samples)
        latest = self._last(region, minute, 60 * LATEST_HOURS)
        least, most = _PREVIOUS_HOURS
        before = self._last(region, self.minute[latest] - 60 * least, 60 * (most - least))
        return latest, np.where(latest < 0, -1, before)

    def _last(self, region: NDArray[np.int64], minute: NDArray[np.int64], oldest: int) -> NDArray[np.intp]:
        """The last row of each region at or up to `oldest` minutes before a time; -1 if there is none."""
        found = np.searchsorted(self._key, _key(region, minute), side="right") - 1
        fits = (found >= 0) & (self.region[found] == region) & (minute - self.minute[found] <= oldest)
        return np.where(fits, found, -1)


def _samples(samples: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Regions and times of samples."""
    time = utc(samples["time"], "samples")
    return region_numbers(samples["region"], time, "samples"), _minutes(time)


def _minutes(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Whole minutes since 1970, those that have begun not counted."""
    return times.astype("datetime64[m]").astype(np.int64)


def _words(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").astype(str)


def _floats(column: pd.Series) -> NDArray[np.float64]:
    return np.asarray(pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan))


def _key(region: NDArray[np.int64], minute: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers that are in order of region, then time; minutes since 1970 have eight digits."""
    return region * 10**9 + minute


def _summary(
    rows: _Rows, latest: NDArray[np.intp], minute: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    letters = np.array([rows.mcintosh[n] for n in latest], dtype="U3")
    columns = {}
    for place, (name, alphabet) in enumerate(
        (("zurich", "ABCDEFH"), ("penumbra", _PENUMBRA), ("compactness", _COMPACTNESS))
    ):
        # The letters at one place of all classes: U3 as three columns of U1.
        own = letters.view("U1").reshape(len(letters), 3)[:, place]
        for letter in alphabet:
            columns[f"{name}_{letter}"] = (own == letter).astype(np.float64)
    for name in _MAGNETIC:
        columns[f"magnetic_{name}"] = (rows.magnetic[latest] == name).astype(np.float64)
    area, spots, lat = rows.log_area[latest], rows.log_spots[latest], rows.lat[latest]
    days = (minute - rows.minute[latest]) / 1440
    lon = (rows.lon[latest] + days * rotation_rate(lat)) / 60
    return columns | {
        "plage": rows.plage[latest].astype(np.float64),
        "log_area": area,
        "log_area_squared": area**2,
        "log_spots": spots,
        "log_spots_squared": spots**2,
        "log_area_by_log_spots": area * spots,
        "extent": rows.extent[latest],
        "lon": lon,
        "lon_squared": lon**2,
        "lon_to_the_fourth": lon**4,
        "beyond_60": np.maximum(np.abs(lon) - 1, 0),
        "lat": np.abs(lat) / 20,
    }


def _evolution(
    rows: _Rows, latest: NDArray[np.intp], before: NDArray[np.intp]
) -> dict[str, NDArray[np.float64]]:
    known = before >= 0
    new_on_the_disk = (rows.days_seen[latest] == 0) & (np.abs(rows.lon[latest]) < 60)  # not over the limb
    columns: dict[str, NDArray[np.float64]] = {}
    for name, values in (("log_area", rows.log_area), ("log_spots", rows.log_spots), ("extent", rows.extent)):
        change = np.where(known, values[latest] - values[before], 0.0)
        columns |= {f"{name}_change": change, f"{name}_growth": np.maximum(change, 0)}
    for name, order in (
        ("zurich", rows.zurich), ("penumbra", rows.penumbra), ("compactness", rows.compactness)
    ):  # fmt: skip
        change = order[latest] - order[before]
        columns[f"{name}_change"] = np.where(np.isnan(change), 0.0, change)  # plages have no letters
    return columns | {
        "new": (~known).astype(np.float64),
        "new_on_the_disk": new_on_the_disk.astype(np.float64),
        "days_seen": np.minimum(rows.days_seen[latest], 14) / 7,
    }


def _history(
    events: pd.DataFrame, region: NDArray[np.int64], minute: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    time, flux = utc(events["peak"], "events"), fluxes_of(events)
    usable = ~np.isnat(time) & ~np.isnan(flux)
    time, flux = time[usable], flux[usable]
    of_region = region_numbers(events.loc[usable, "region"], time, "events")
    # A minute that has begun counts in full: what peaks after a sample must not be seen by it.
    peak = _minutes(time + np.timedelta64(59_999_999, "us"))
    columns = {}
    for letter, least in _FLUX.items():
        strong = reaches(flux, least)
        own = np.sort(_key(of_region[strong], peak[strong]))
        now = np.searchsorted(own, _key(region, minute), side="right")
        for hours in _WINDOWS:
            count = now - np.searchsorted(own, _key(region, minute - 60 * hours), side="right")
            columns[f"log_{letter}_flares_{hours}h"] = np.log1p(count)
            columns[f"any_{letter}_{hours}h"] = (count > 0).astype(np.float64)
        last = np.append(own, 0)[now - 1]
        ago = (_key(region, minute) - last) / 60
        recent = (now > 0) & (ago <= HISTORY_HOURS)
        for hours in (12, 48):
            columns[f"{letter}_flare_recent_{hours}h"] = np.where(recent, 1 / (1 + ago / hours), 0.0)
        on_disk = np.sort(peak[strong])
        until = np.searchsorted(on_disk, minute, side="right")
        for hours in _DISK_WINDOWS:
            count = until - np.searchsorted(on_disk, minute - 60 * hours, side="right")
            columns[f"log_{letter}_flares_on_the_disk_{hours}h"] = np.log1p(count)
    return columns
