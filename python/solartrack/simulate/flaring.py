"""Patches of regions that flare with a known probability, so that skill has a known ceiling."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from numpy.typing import NDArray

from solartrack import _files
from solartrack._arrays import as_count
from solartrack._show import as_html, as_text
from solartrack.coordinates import RSUN_M
from solartrack.simulate._summaries import describe
from solartrack.simulate.history import draw_region
from solartrack.simulate.model import as_datetime
from solartrack.simulate.regions import Fragments, Region

__all__ = ["FlaringPatches", "flaring_patches"]

Floats = NDArray[np.float64]

# Side of a patch in degrees on the Sun, as the published patches of 600 pixels of 0.5 arcsec.
_SIDE_DEG = 18.0
# Published names have four digits of a number, which are completed by 10000 in the years after 2002.
_FIRST_REGION = 10001
_ARCSEC_PER_DEG = np.degrees(RSUN_M / 1.495978707e11) * 3600 * np.radians(1.0)
_NOISE_GAUSS = 10.0
# Pixels on a side of the fields that are looked at for summaries, whatever the size of the patches.
_SUMMARY_SIZE = 96
_UMBRA_GAUSS = 2800.0
# Flares above C1.0 in a day, of a region whose complexity is the median, and the growth with its logarithm.
_MEDIAN_RATE, _STEEPNESS = 0.25, 10.0
_MEDIAN_COMPLEXITY = 1.9
_MOST_FLARES = 30.0
# Power law of peak fluxes, dN/dF ~ F^-2 (Crosby et al. 1993, Sol. Phys. 143, 275, find about -1.8).
_LEAST_FLUX_W_M2, _LARGEST_FLUX_W_M2 = 1e-6, 3e-3


@dataclass(frozen=True, eq=False)
class FlaringPatches:
    """Patches, the flares that followed, and how likely they were.

    Attributes
    ----------
    samples : DataFrame
        A row for each patch: ``region`` (from 10001), ``time`` (UTC), ``complexity`` (what drives the
        flares), ``probability`` (the true one, of a flare in the following `hours`) and ``label`` (1 if there
        was one).
    events : DataFrame
        The flares, with the columns of `solartrack.flares.events.EVENT_COLUMNS`, in order of their peaks.
    summaries : DataFrame
        What NOAA's Solar Region Summaries would say of the regions at 00:00 UTC of each sample's day, with
        the columns of `solartrack.flares.regions.SRS_COLUMNS`; `solartrack.flares.write_srs` writes texts.
    days : DatetimeIndex
        Days that the events cover: all of the samples and of their windows.
    patches : ndarray of float32, shape (n, size, size)
        Line-of-sight field in gauss, row 0 in the south; a patch for each sample.
    hours : float
        Length of the windows.

    Examples
    --------
    >>> from solartrack import simulate
    >>> data = simulate.flaring_patches(1, n_regions=4, days=2, size=32)
    >>> data.patches.shape, list(data.samples)
    ((8, 32, 32), ['region', 'time', 'complexity', 'probability', 'label'])
    >>> files = data.write("patches", lambda region, time: f"{region}_{time:%Y%m%d}.fits")
    >>> sorted(path.name for path in files)[:2]
    ['10001_20140201.fits', '10001_20140202.fits']
    """

    __repr__ = as_text
    _repr_html_ = as_html

    samples: pd.DataFrame
    events: pd.DataFrame
    summaries: pd.DataFrame
    days: pd.DatetimeIndex
    patches: NDArray[np.float32]
    hours: float

    @property
    def ceiling(self) -> float:
        """Expected TSS of the true probabilities, the highest that a forecast of these samples can expect.

        Of all sets of samples for which a flare may be forecast, that of the probabilities above their mean
        has the highest. NaN if all probabilities are 0, or all 1.
        """
        p = self.samples["probability"].to_numpy()
        chosen = p > p.mean()
        if p.sum() == 0 or p.sum() == len(p):
            return float("nan")
        return float(p[chosen].sum() / p.sum() - (1 - p[chosen]).sum() / (1 - p).sum())

    def write(self, folder: str | os.PathLike[str], name: Callable[[int, datetime], str]) -> list[Path]:
        """Write the patches as FITS files, in a folder for each region.

        Parameters
        ----------
        folder : path
            Created if absent.
        name : callable
            Name of a file from its region and time; `solartrack.flares.format_name` gives the published
            names.

        Returns
        -------
        list of Path
            In the order of the samples. As in the published files, the image is in the second unit and
            compressed (Rice); fields are rounded to 0.1 gauss.
        """
        paths = []
        for region, time, patch in zip(
            self.samples["region"], self.samples["time"], self.patches, strict=True
        ):
            home = Path(folder) / f"{region % 10000:04}"
            home.mkdir(parents=True, exist_ok=True)
            paths.append(home / name(int(region), time.to_pydatetime()))
            with _files.replacing(paths[-1]) as partial:
                fits.HDUList([fits.PrimaryHDU(), _image(patch, time)]).writeto(partial, overwrite=True)
        return paths


def flaring_patches(
    seed: int,
    n_regions: int = 100,
    days: int = 8,
    *,
    size: int = 96,
    start: Any = "2014-02-01T00:00:00",
) -> FlaringPatches:
    """Magnetogram patches of simulated regions, one a day, and flares that their complexity drives.

    Parameters
    ----------
    seed : int
        The same patches and flares for the same arguments.
    n_regions : int
        Each with its own size, polarity mixing and history.
    days : int
        Patches of each region, 24 hours apart.
    size : int
        Pixels on a side, 16 to 600; a patch is 18 degrees wide.
    start : datetime, str or astropy Time
        Time of the first patch, UTC. Regions begin one day after another, four at once.

    Returns
    -------
    FlaringPatches

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of another type.

    Notes
    -----
    A region is a bipole of Gaussian flux concentrations (`Region`), of which a share, its mixing, has the
    other polarity. Its complexity is the logarithm of the mean horizontal gradient of its field, before
    noise: large, growing and mixed regions have more of it.
    For the 24 hours after a patch flares of class C1.0 and above are a Poisson process with a rate that grows
    exponentially with the complexity at the time of the patch. So the probability of at least one is known
    exactly, and no forecast has a higher expected TSS than a threshold on it.

    The summaries count the flux concentrations that are strong enough to be spots, and class the group by
    McIntosh's rules from their sizes, polarities and places. All regions are at the centre of the disk.

    Examples
    --------
    >>> from solartrack import simulate
    >>> data = simulate.flaring_patches(1, n_regions=4, days=2, size=32)
    >>> len(data.samples), data.patches.shape, data.hours
    (8, (8, 32, 32), 24.0)
    >>> bool(data.samples["probability"].between(0, 1).all())
    True
    """
    count, n_days = as_count(n_regions, "n_regions"), as_count(days, "days")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer, got {seed!r}")
    if not 16 <= as_count(size, "size") <= 600:
        raise ValueError(f"size must be an integer from 16 to 600, got {size!r}")
    first = as_datetime(start, "start")
    rng = np.random.default_rng([int(seed), 30])
    samples: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    summaries: list[dict[str, Any]] = []
    midnight = datetime.combine(first.date(), datetime.min.time())
    since_midnight = (first - midnight) / timedelta(days=1)
    patches = np.empty((count * n_days, size, size), dtype=np.float32)
    for number in range(count):
        region = _draw(rng, n_days)
        flipped = np.where(rng.random(64) < 0.5 * rng.uniform(0.0, 1.0), -1.0, 1.0)
        for day in range(n_days):
            field = _field(_mixed(region.fragments(day + 0.5), flipped), size)
            patches[len(samples)] = field + rng.normal(0.0, _NOISE_GAUSS, field.shape)
            complexity = _complexity(field)
            rate = min(_MEDIAN_RATE * np.exp(_STEEPNESS * (complexity - _MEDIAN_COMPLEXITY)), _MOST_FLARES)
            time = first + timedelta(days=number // 4 + day)
            peaks = np.sort(rng.uniform(0.0, 86_400.0, rng.poisson(rate)))
            samples.append((_FIRST_REGION + number, time, complexity, -np.expm1(-rate), int(len(peaks) > 0)))
            events += [_event(_FIRST_REGION + number, time, second, rng) for second in peaks]
            fragments = _mixed(region.fragments(day + 0.5 - since_midnight), flipped)
            told = describe(fragments, _field(fragments, _SUMMARY_SIZE), _SIDE_DEG)
            day_of_issue = midnight + timedelta(days=number // 4 + day)
            summaries.append({"region": _FIRST_REGION + number, "time": day_of_issue, **told})
    table = pd.DataFrame(samples, columns=["region", "time", "complexity", "probability", "label"])
    table["time"] = table["time"].astype("datetime64[us]")
    last = table["time"].max() + timedelta(days=1)
    covered = pd.date_range(table["time"].min().normalize(), last.normalize(), freq="D", unit="us")
    return FlaringPatches(
        table.astype({"region": "int64", "label": "Int8"}),
        _event_table(events),
        _summary_table(summaries),
        covered,
        patches,
        24.0,
    )


def _draw(rng: np.random.Generator, days: int) -> Region:
    """A region that rises in the first days and lives longer than the series."""
    drawn = draw_region(rng, 1.0, None)
    return replace(
        drawn,
        birth_days=0.0,
        rise_days=float(rng.uniform(0.5, 0.6 * days + 0.5)),
        decay_days=float(rng.uniform(0.5, 2.0) * days),
        life_days=days + 2.0,
    )


def _mixed(f: Fragments, flipped: Floats) -> Fragments:
    """The fragments, some with the other polarity; never the leading spot."""
    signs = flipped[: len(f.peak_gauss)].copy()
    signs[0] = 1.0
    return f._replace(peak_gauss=f.peak_gauss * signs)


def _complexity(field: Floats) -> float:
    """log10 of the mean gradient, gauss per degree."""
    south_north, west_east = np.gradient(field, _SIDE_DEG / len(field))
    return float(np.log10(np.hypot(south_north, west_east).mean()))


def _field(f: Fragments, size: int) -> NDArray[np.float64]:
    """Field of the fragments on a grid, gauss; overlapping ones do not exceed that of an umbra."""
    at = ((np.arange(size) + 0.5) / size - 0.5) * _SIDE_DEG
    along = np.exp(-0.5 * ((at[:, None] - f.x_deg) / f.sigma_deg) ** 2)
    across = np.exp(-0.5 * ((at[:, None] - f.y_deg) / f.sigma_deg) ** 2) * f.peak_gauss
    field: NDArray[np.float64] = _UMBRA_GAUSS * np.tanh(across @ along.T / _UMBRA_GAUSS)
    return field


def _event(region: int, time: datetime, second: float, rng: np.random.Generator) -> tuple[Any, ...]:
    """A flare: peaks at whole seconds strictly within the window."""
    peak = time + timedelta(seconds=float(np.clip(np.floor(second), 1, 86_399)))
    share = rng.random()
    ratio = _LEAST_FLUX_W_M2 / _LARGEST_FLUX_W_M2
    tenths = int(_LEAST_FLUX_W_M2 * 1e7 / (1.0 - share * (1.0 - ratio)))  # of C; rounded down
    letter, unit = next((x, u) for x, u in (("X", 1000), ("M", 100), ("C", 10)) if tenths >= u)
    tenths -= tenths % (unit // 10)  # as reports give it
    name = f"{letter}{tenths / unit:.1f}"
    rise, fall = rng.uniform(3.0, 15.0), rng.uniform(5.0, 30.0)
    return (
        region, peak - timedelta(minutes=round(rise)), peak, peak + timedelta(minutes=round(fall)), name,
        float(f"{tenths}e-7"), "SIM", "", "", "XRA", "", peak.replace(hour=0, minute=0, second=0), "", 0,
    )  # fmt: skip


def _event_table(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    kinds = {
        "region": "Int32", "start": "datetime64[us]", "peak": "datetime64[us]", "end": "datetime64[us]",
        "flare_class": "str", "peak_flux": "float64", "observatory": "str", "quality": "str",
        "location": "str", "type": "str", "particulars": "str", "day": "datetime64[us]", "file": "str",
        "line": "int32",
    }  # fmt: skip
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds).sort_values("peak", ignore_index=True)


def _summary_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Summaries of regions at the centre of the disk, as `solartrack.flares.read_srs` gives them."""
    kinds = {
        "region": "int32", "time": "datetime64[us]", "section": "str", "lat": "float64", "lon": "float64",
        "carrington_lon": "float64", "area": "Int32", "mcintosh": "str", "extent": "Int32",
        "n_spots": "Int32", "mag_class": "str", "file": "str",
    }  # fmt: skip
    table = pd.DataFrame(rows)
    # Mean longitude of the central meridian (Meeus, Astronomical Algorithms, chapter 29).
    days = (table["time"] - pd.Timestamp("2000-01-01T12:00:00")) / pd.Timedelta(1, "D") + 2451545.0
    rotations = (days - 2398140.2270) / 27.2752316
    longitude = np.round(360.0 * (1.0 - rotations % 1.0)) % 360
    table = table.assign(lat=0.0, lon=0.0, carrington_lon=longitude, file="")
    return table[list(kinds)].astype(kinds).sort_values(["time", "region"], ignore_index=True)


def _image(patch: NDArray[np.float32], time: Any) -> fits.CompImageHDU:
    """The patch at the centre of the disk, in units of 0.1 gauss."""
    size = len(patch)
    step = _SIDE_DEG / size * _ARCSEC_PER_DEG
    hdu = fits.CompImageHDU(np.round(patch * 10).astype(np.int32), compression_type="RICE_1")
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.1, 0.0
    for key, value in (
        ("TELESCOP", "simulated"), ("DATE-OBS", time.isoformat()), ("BUNIT", "Gauss"),
        ("CONTENT", "MAGNETOGRAM"), ("CTYPE1", "HPLN-TAN"), ("CTYPE2", "HPLT-TAN"), ("CUNIT1", "arcsec"),
        ("CUNIT2", "arcsec"), ("CDELT1", step), ("CDELT2", step), ("CRPIX1", size / 2 + 0.5),
        ("CRPIX2", size / 2 + 0.5), ("CRVAL1", 0.0), ("CRVAL2", 0.0), ("RSUN_REF", RSUN_M),
        ("DSUN_OBS", 1.495978707e11), ("HGLN_OBS", 0.0), ("HGLT_OBS", 0.0),
    ):  # fmt: skip
        hdu.header[key] = value
    return hdu
