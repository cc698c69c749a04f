"""Forecasts that any other must beat, and the conditions that scores are split by."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._tables import as_times
from solartrack.flares._columns import refuse_single, region_numbers, require, utc
from solartrack.flares._labelled import as_labels
from solartrack.flares.classes import as_threshold, fluxes_of, reaches

if TYPE_CHECKING:
    from solartrack.flares.events import Events

__all__ = ["as_moments", "climatology", "cycle_phase", "known_forecasts", "persistence"]

_DAY = np.timedelta64(1, "D")
# Minima and maxima of the sunspot number, smoothed over 13 months, by month: SILSO, Royal Observatory of
# Belgium, Brussels, "Minima and maxima of the sunspot cycles". The last minimum before the table and the next
# one after it are not known here.
_EXTREMA = (
    ("1976-03", "minimum"), ("1979-12", "maximum"), ("1986-09", "minimum"), ("1989-11", "maximum"),
    ("1996-08", "minimum"), ("2001-11", "maximum"), ("2008-12", "minimum"), ("2014-04", "maximum"),
    ("2019-12", "minimum"), ("2024-10", "maximum"),
)  # fmt: skip
# No decline from a maximum to the next minimum has been shorter than this.
_SHORTEST_DECLINE = np.timedelta64(3 * 365, "D")


def climatology(label: ArrayLike) -> float:
    """Share of events among training samples: the constant forecast, and the ``base_rate`` of scores.

    Parameters
    ----------
    label : array_like, shape (n,)
        1, 0 or missing; unknown ones are left out.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ValueError, TypeError
        If no label is known, or as for `solartrack.flares.scores.score_forecast`.

    Examples
    --------
    >>> from solartrack.flares.scores import climatology
    >>> climatology([0, 0, 1, 0, None])
    0.25
    """
    _, y = as_labels(label)
    if not len(y):
        raise ValueError("climatology needs at least one known label, got none")
    return float(y.mean())


def known_forecasts(
    samples: pd.DataFrame,
    events: Events,
    regions: pd.DataFrame | None = None,
    *,
    threshold: Literal["C1.0", "M1.0", "X1.0"] = "C1.0",
    hours: Literal[24, 48] = 24,
) -> pd.DataFrame:
    """Forecasts that anybody can make from NOAA's texts: what a new one must be shown beside.

    Parameters
    ----------
    samples : pandas.DataFrame, n rows
        ``region`` (complete number) and ``time`` (UTC).
    events : Events
        Flares, and the days that they cover.
    regions : pandas.DataFrame, optional
        Rows of summaries (`solartrack.flares.read_srs`).
    threshold : str
        Smallest class of the flares that are forecast.
    hours : int
        Length of the windows.

    Returns
    -------
    pandas.DataFrame
        With the index of `samples`. ``persistence``: `persistence` of C1.0 over the past 24 hours, which says
        more of M and X flares, too, than a past flare of their class does. With `regions` also
        ``McIntosh-Poisson`` (`solartrack.flares.mcintosh.default_rates`; for a region without a class the
        mean rate of all) and ``text``, the forecast that comes with the package. NaN where a region has no
        row, or the past is not covered.

    Raises
    ------
    ValueError
        If a column is missing, or there are no such forecasts for an argument.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import scores, text
    >>> regions = flares.read_srs(demo.SUMMARIES).regions
    >>> flare = {"region": [12673], "peak": ["2017-09-04T20:33"], "flare_class": ["M5.5"]}
    >>> table = pd.DataFrame({**flare, "peak_flux": 5.5e-5}).astype({"peak": "datetime64[us]"})
    >>> days = pd.date_range("2017-09-01", "2017-09-05")
    >>> events = flares.Events(table, days, pd.DataFrame())
    >>> samples = text.samples_of(regions[regions["time"] == "2017-09-05"])
    >>> scores.known_forecasts(samples, events, regions, threshold="M1.0").round(2).head(3)
       persistence  McIntosh-Poisson  text
    0          1.0              0.39  0.37
    1          0.0              0.14  0.02
    2          0.0              0.00  0.00
    """
    from solartrack.flares import mcintosh, text

    names = {given: name for name, given in text.TARGETS.items()}
    if (threshold, hours) not in names:
        raise ValueError(
            "there are forecasts of flares above C1.0, M1.0 and X1.0 within 24 and 48 hours, not of "
            f"{threshold!r} within {hours!r}"
        )
    name = names[threshold, hours]
    found = pd.DataFrame({"persistence": persistence(samples, events)}, index=samples.index)
    if regions is not None:
        rates = mcintosh.default_rates()
        values = text.features(samples, regions, events)
        own = text.default_model().predict(values)[name]
        classes = rates.forecast(samples, regions)[name]
        mean = rates.probabilities(["unknown"])[name].item()
        found["McIntosh-Poisson"] = classes.fillna(mean).where(own.notna())
        found["text"] = own
    return found


def persistence(
    samples: pd.DataFrame, events: Events, *, threshold: str | float = "C1.0", hours: float = 24.0
) -> NDArray[np.float64]:
    """Forecast that a region goes on as it was: 1 if it has flared in the past hours, else 0.

    Parameters
    ----------
    samples : pandas.DataFrame
        ``region`` (complete number) and ``time`` (UTC) of each sample.
    events : Events
        Table with ``region``, ``peak`` (UTC) and ``peak_flux`` (W/m2), and the days that it covers.
    threshold : str or float
        Flare class, or peak flux in W/m2, from which an event counts.
    hours : float
        Length of the past.

    Returns
    -------
    ndarray of float64, shape (n,)
        For a sample at t: 1.0 if an event of its region peaked at ``t - hours < peak <= t``; else 0.0 if
        the list covers all days of that time, and NaN if it does not. Where it is 0, a flare that follows is
        a first one after quiet.

    Raises
    ------
    ValueError
        If a column is missing, a time or region is, or an argument is out of range.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> from solartrack.flares.scores import persistence
    >>> table = pd.DataFrame({"region": [11158], "peak": pd.to_datetime(["2011-02-15T01:56"])})
    >>> days = pd.date_range("2011-02-14", "2011-02-17")
    >>> events = flares.Events(table.assign(peak_flux=2.2e-4), days, pd.DataFrame())
    >>> samples = pd.DataFrame({"region": [11158, 11158], "time": ["2011-02-15T12:00", "2011-02-17T12:00"]})
    >>> persistence(samples, events)
    array([1., 0.])
    """
    flux = as_threshold(threshold)
    if not 0 < hours < math.inf:
        raise ValueError(f"hours must be positive and finite, got {hours!r}")
    if isinstance(events, pd.DataFrame):
        raise TypeError("events must be Events: a table does not say on which days there were reports")
    table = events.table
    require(samples, ("region", "time"), "samples")
    require(table, ("region", "peak"), "events")
    time = utc(samples["time"], "samples")
    if np.isnat(time).any():
        raise ValueError(f"times must not be missing, got none in row {np.isnat(time).argmax()}")
    region = pd.Index(region_numbers(samples["region"], time, "samples"))
    if (region == 0).any():
        raise ValueError("samples must all have a region, got one without")
    start = time - np.timedelta64(round(hours * 3.6e9), "us")
    peaks = utc(table["peak"], "events")
    counted = reaches(fluxes_of(table), flux) & ~np.isnat(peaks)
    peaks = peaks[counted]
    known = region.unique()
    # All events in one order, by region and then by time; those of a window are between two places in it.
    of_event = known.get_indexer(region_numbers(table.loc[counted, "region"], peaks, "events"))
    peaks = peaks[of_event >= 0]
    of_event = of_event[of_event >= 0]
    order = np.lexsort((peaks, of_event))
    of_event, peaks = of_event[order], peaks[order]
    first = np.searchsorted(of_event, np.arange(len(known)), side="left")
    end = np.searchsorted(of_event, np.arange(len(known)), side="right")
    flared = np.zeros(len(time), dtype=bool)
    for i, rows in pd.Series(np.arange(len(time))).groupby(known.get_indexer(region)):
        own = peaks[first[i] : end[i]]
        flared[rows] = np.searchsorted(own, time[rows], side="right") > np.searchsorted(
            own, start[rows], side="right"
        )
    return np.where(flared, 1.0, np.where(_covered(start, time, events.days), 0.0, np.nan))


def _covered(start: Any, end: Any, days: Iterable[Any]) -> NDArray[np.bool_]:
    """Whether all days of each time from start to end, its last instant excluded, are among the days."""
    listed = np.unique(as_moments(days).astype("datetime64[D]"))
    first = start.astype("datetime64[D]")
    last = (end - np.timedelta64(1, "us")).astype("datetime64[D]")
    found = np.searchsorted(listed, last, side="right") - np.searchsorted(listed, first, side="left")
    return np.asarray(found == (last - first) // _DAY + 1)


def cycle_phase(time: ArrayLike) -> NDArray[np.object_]:
    """Phase of the solar cycle.

    Parameters
    ----------
    time : array_like of datetime-like, shape (n,)
        UTC.

    Returns
    -------
    ndarray of str, shape (n,)
        "minimum" or "maximum" within a year of an extremum of the smoothed sunspot number, between them
        "rising" or "declining", and "unknown" before 1976 and where the next minimum is not known yet.

    Raises
    ------
    ValueError
        If a time is missing or none.
    TypeError
        If `time` is a single one.

    References
    ----------
    Minima and maxima: SILSO, Royal Observatory of Belgium, Brussels, cycles 21 to 25.

    Examples
    --------
    >>> from solartrack.flares.scores import cycle_phase
    >>> cycle_phase(["2011-02-15", "2014-04-01", "2017-09-06"]).tolist()
    ['rising', 'maximum', 'declining']
    """
    refuse_single(time, "time")
    times = as_moments(time)
    at = np.array([month for month, _ in _EXTREMA], dtype="datetime64[M]").astype("datetime64[us]")
    kinds = np.array([kind for _, kind in _EXTREMA], dtype=object)
    after = np.searchsorted(at, times, side="right")
    phase = np.where(kinds[np.maximum(after, 1) - 1] == "minimum", "rising", "declining").astype(object)
    phase[(after == 0) | (times >= at[-1] + _SHORTEST_DECLINE)] = "unknown"
    for moment, kind in zip(at, kinds, strict=True):
        phase[np.abs(times - moment) <= 365 * _DAY] = kind
    return phase


def as_moments(values: Any) -> NDArray[np.datetime64]:
    """Times as datetime64[us] in UTC, none missing."""
    given = np.asarray(values)
    times = given if given.dtype.kind == "M" else as_times(list(values))
    if np.isnat(times).any():
        raise ValueError(f"times must not be missing, got none in row {int(np.argmax(np.isnat(times)))}")
    return np.asarray(times, dtype="datetime64[us]")
