"""Labels of samples: does this region flare within the next hours? Yes, no, or unknown."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._tables import as_times
from solartrack.errors import SourceWarning
from solartrack.flares._columns import region_numbers, require, utc
from solartrack.flares._labelled import as_labels
from solartrack.flares.classes import as_threshold, flare_class, fluxes_of, reaches
from solartrack.sequence import as_days
from solartrack.sources.jsoc import utc_to_tai

if TYPE_CHECKING:
    from solartrack.flares.events import Events

__all__ = ["LABEL_COLUMNS", "label", "selection_report"]

#: Columns that `label` adds to the samples, with their types.
LABEL_COLUMNS = {
    "label": "Int8",
    "largest_class": "str",
    "hours_to_largest": "float64",
    "n_flares": "Int32",
    "hours_since_flare": "float64",
}

_HOUR = np.timedelta64(3600, "s")
_LONGEST_DAYS = 100_000.0  # the sum of a time and a window must fit into datetime64[us]
# The published scripts cut a class to this length: X10.0 is X10. there.
_PUBLISHED_LENGTH = 4

_Times = NDArray[np.datetime64]
_Ints = NDArray[np.int64]


def label(
    samples: pd.DataFrame,
    events: Events | pd.DataFrame,
    *,
    threshold: str | float = "C1.0",
    window: Any = "24h",
    covered: Iterable[Any] | None = None,
    convention: Literal["default", "published"] = "default",
) -> pd.DataFrame:
    """Label each sample with the flares of its region that peak in the window after it.

    A flare counts for a sample at time t if it is one of the sample's region, its peak lies in the open
    interval from t to t + `window`, and its class is at least `threshold`.

    Parameters
    ----------
    samples : DataFrame, n rows
        ``region`` (NOAA number; one of four digits is completed as
        `solartrack.sources.swpc.full_region_number` does) and ``time`` (UTC). Other columns and the index
        are kept; two samples of one region and time are labelled alike. `solartrack.flares.parse_names`
        makes such a table of the names of patches.
    events : Events or DataFrame
        ``region``, ``peak`` (UTC), ``flare_class`` and, if it has one, ``peak_flux`` (W/m2; where it is
        missing, that of the class). Flares without a region count for none. So a region that is not among
        the events has no flares.
    threshold : str or float
        Flare class or peak flux in W/m2.
    window : Quantity, timedelta or str
        Such as "24h"; at most 100 000 days.
    covered : iterable of datetime-like, optional
        UTC days of which all flares are listed. Default: the days of `events`, or, if that is a plain
        table, all days from its first to its last peak.
    convention : {"default", "published"}
        "published" does what the published scripts did: the stamps of the patches, which are TAI, are
        compared with UTC (35 s or more: `time`, which is UTC here, is converted back); what the list does
        not cover is 0; and classes are compared as text, letter and number apart: a threshold of M5.0 drops
        X1.0 and X10.0. ``largest_class`` has no more than four characters.

    Returns
    -------
    DataFrame, n rows
        The samples and the columns `LABEL_COLUMNS`:

        ``label``
            1 with a flare; 0 without, if all days that the window touches are covered; else NA, unknown.
            NA, too, where the region or the time of a sample is missing, a region below 1 included.
        ``largest_class``
            Class of the largest flare that counts, "" if there is none; of equal ones the first.
        ``hours_to_largest``
            Hours from the sample to its peak; NaN if there is none.
        ``n_flares``
            Number of flares that count. NA where the window is not covered: it may be more then.
        ``hours_since_flare``
            Hours since the latest flare of at least `threshold` that peaked up to the sample; NaN if the list
            has none. Samples with label 0 just after a flare are the hardest to tell; see
            `selection_report`.

    Raises
    ------
    TypeError
        If a table is none, or `window` has no unit.
    ValueError
        If a column is missing or unusable, the samples have one of `LABEL_COLUMNS`, or another argument is
        out of range.

    Warns
    -----
    SourceWarning
        If flares of at least `threshold` have no time of their peak; they are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> samples = pd.DataFrame({"region": [11158], "time": ["2011-02-15T00:00:00"]})
    >>> events = pd.DataFrame({"region": [11158], "peak": ["2011-02-15T01:56:00"], "flare_class": ["X2.2"]})
    >>> covered = pd.date_range("2011-02-14", "2011-02-16")
    >>> flares.label(samples, events, covered=covered)[["label", "largest_class"]]
       label largest_class
    0      1          X2.2
    """
    if convention not in ("default", "published"):
        raise ValueError(f"convention must be 'default' or 'published', got {convention!r}")
    published = convention == "published"
    length = _as_length(window, "window")
    region, start = _samples(samples)
    flares = _flares(events, as_threshold(threshold), published)
    usable = (region > 0) & ~np.isnat(start)
    if published:
        start = start.copy()
        start[usable] = utc_to_tai(start[usable])
    end = start + length

    begin, first, last = flares.between(np.where(usable, region, 0), start, end)
    count = last - first
    known = usable & (published | _is_covered(start, end, _covered_days(events, covered)))
    largest = np.full(len(start), -1)
    largest[count > 0] = _highest(flares.rank, first[count > 0], last[count > 0])
    since = np.where(first > begin, first - 1, -1)

    return samples.assign(
        label=_integers((count > 0).astype(np.int8), known | (count > 0)),
        # The last place is that of no flare, -1.
        largest_class=pd.array(np.append(flares.flare_class, ""), dtype="str").take(largest),
        hours_to_largest=_hours(start, np.append(flares.peak, np.datetime64("NaT"))[largest]),
        n_flares=_integers(count.astype(np.int32), known),
        hours_since_flare=_hours(np.append(flares.peak, np.datetime64("NaT"))[since], start),
    )


def selection_report(labels: pd.DataFrame, kept: ArrayLike, *, after: Any = "24h") -> pd.DataFrame:
    """What a selection does to the samples of each kind.

    Selections that leave out samples just after a flare make forecasts look better than they are: these
    samples are easily taken for positives.

    Parameters
    ----------
    labels : DataFrame, n rows
        As `label` returns it.
    kept : array_like of bool, shape (n,)
        Which samples the selection keeps, in the order of the rows. A Series must have their index.
    after : Quantity, timedelta or str
        A negative up to this time after a flare of at least the threshold is a hard one.

    Returns
    -------
    DataFrame
        Rows "positive", "hard negative", "other negative", "unknown" and "all"; columns ``samples``,
        ``kept``, ``removed`` (numbers) and ``removed_share`` (0 to 1, NaN where there are no samples).

    Raises
    ------
    ValueError
        If `labels` lacks a column or one is unusable, or `kept` is no such array.
    TypeError
        If the labels are text, or `after` has no unit.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import flares
    >>> times = pd.date_range("2011-02-14", periods=5, freq="12h")
    >>> samples = pd.DataFrame({"region": 11158, "time": times})
    >>> flare = {"region": 11158, "peak": "2011-02-15T01:56:00", "flare_class": "X2.2"}
    >>> days = pd.date_range("2011-02-12", "2011-02-18")
    >>> labels = flares.label(samples, pd.DataFrame([flare]), covered=days)
    >>> flares.selection_report(labels, [True, True, False, False, True])
                    samples  kept  removed  removed_share
    kind
    positive              2     1        1            0.5
    hard negative         2     1        1            0.5
    other negative        1     1        0            0.0
    unknown               0     0        0            NaN
    all                   5     3        2            0.4
    """
    require(labels, ("label", "hours_since_flare"), "labels")
    hours = _as_length(after, "after") / _HOUR
    mask = pd.Series(kept)
    if len(mask) != len(labels) or not pd.api.types.is_bool_dtype(mask) or mask.isna().any():
        raise ValueError(
            f"kept must be {len(labels)} values True or False, one for each sample, "
            f"got {len(mask)} of type {mask.dtype}, {mask.isna().sum()} missing"
        )
    if isinstance(kept, pd.Series) and not kept.index.equals(labels.index):
        raise ValueError(
            "kept must have the index of labels; pass kept.to_numpy() if its order is that of the rows"
        )
    keeps = mask.to_numpy(dtype=bool)
    known, happened = as_labels(labels["label"])
    flares = np.full(len(labels), -1)
    flares[known] = happened
    hard = (flares == 0) & (_floats(labels["hours_since_flare"], "labels") <= hours)
    kinds = {
        "positive": flares == 1,
        "hard negative": hard,
        "other negative": (flares == 0) & ~hard,
        "unknown": flares == -1,
        "all": np.full(len(labels), True),
    }
    report = pd.DataFrame(
        {
            "samples": [kind.sum() for kind in kinds.values()],
            "kept": [(kind & keeps).sum() for kind in kinds.values()],
        },
        index=pd.Index(kinds, name="kind"),
    )
    report["removed"] = report["samples"] - report["kept"]
    report["removed_share"] = report["removed"] / report["samples"]  # 0 / 0 is NaN
    return report


class _Flares(NamedTuple):
    """Flares in order of region and peak."""

    region: _Ints
    peak: _Times
    flare_class: NDArray[np.object_]
    rank: _Ints  # by class, then the earlier is the higher; no two are equal

    def between(self, region: _Ints, start: _Times, end: _Times) -> tuple[_Ints, _Ints, _Ints]:
        """For each sample, the places of three flares of its region; 0 if the region has none.

        They are its first one, the first that peaks after `start`, and the first that does not before `end`.
        """
        regions, code = np.unique(self.region, return_inverse=True)
        if not len(regions):
            none = np.zeros(len(region), dtype=np.int64)
            return none, none, none
        peaks, place = np.unique(self.peak, return_inverse=True)
        # Region and time as one number: places of the times, as the times themselves would not fit into it.
        step = len(peaks) + 1
        keys = code * step + place
        of_sample = np.minimum(np.searchsorted(regions, region), len(regions) - 1)
        listed = regions[of_sample] == region

        def at(place: Any) -> _Ints:
            found: _Ints = np.where(listed, np.searchsorted(keys, of_sample * step + place), 0)
            return found

        return at(0), at(np.searchsorted(peaks, start, "right")), at(np.searchsorted(peaks, end, "left"))


def _flares(events: Events | pd.DataFrame, threshold: float, published: bool) -> _Flares:
    """The flares of at least a threshold that have a region and a peak."""
    table = _event_table(events)
    peak = utc(table["peak"], "events")
    region = region_numbers(table["region"], peak, "events")
    names = table["flare_class"].fillna("").astype(str).str.strip().to_numpy(dtype=object)
    flux = fluxes_of(table)
    if published:
        counts = _as_text_at_least(names, str(flare_class(threshold)))
        level = np.unique(names.astype(str), return_inverse=True)[1]
    else:
        counts = reaches(flux, threshold)
        level = np.unique(flux, return_inverse=True)[1]
    counts &= region > 0
    if lost := int((counts & np.isnat(peak)).sum()):
        warnings.warn(
            f"{lost} of the flares have no time of their peak and are left out", SourceWarning, stacklevel=3
        )
    counts &= ~np.isnat(peak)
    region, peak, names, level = region[counts], peak[counts], names[counts], level[counts]
    order = np.lexsort((level, peak, region))
    region, peak, names, level = region[order], peak[order], names[order], level[order]
    rank = np.empty(len(level), dtype=np.int64)
    rank[np.lexsort((-peak.astype(np.int64), level))] = np.arange(len(level))
    if published:
        names = np.array([name[:_PUBLISHED_LENGTH] for name in names], dtype=object)
    return _Flares(region, peak, names, rank)


def _floats(column: pd.Series, what: str) -> NDArray[np.float64]:
    try:
        numbers: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the column {column.name!r} of {what} must be numbers: {error}") from error
    return numbers


def _as_text_at_least(names: NDArray[np.object_], threshold: str) -> NDArray[np.bool_]:
    """Classes of at least a threshold, letter and number compared as texts."""
    return np.array(
        [name[:1] >= threshold[:1] and name[1:] >= threshold[1:] for name in names.tolist()], dtype=bool
    )


def _highest(rank: _Ints, first: _Ints, last: _Ints) -> _Ints:
    """Place of the highest rank from `first` to `last` (excluded), never empty; a sparse table."""
    place_of = np.argsort(rank)
    level = np.frexp(last - first)[1] - 1  # the largest power of two that fits in
    best = np.empty(len(first), dtype=np.int64)
    highest = rank  # of 2**k ranks from each place on
    for k in range(int(level.max(initial=-1)) + 1):
        here = level == k
        best[here] = np.maximum(highest[first[here]], highest[last[here] - 2**k])
        highest = np.maximum(highest[: -(2**k)], highest[2**k :])
    found: _Ints = place_of[best]
    return found


def _covered_days(events: Events | pd.DataFrame, covered: Iterable[Any] | None) -> _Ints:
    """Covered days, sorted, as numbers."""
    if covered is None and isinstance(events, pd.DataFrame):
        peaks = utc(events["peak"], "events")
        peaks = peaks[~np.isnat(peaks)]
        if not len(peaks):
            return np.empty(0, dtype=np.int64)
        return np.arange(_day(peaks.min()), _day(peaks.max()) + 1)
    given = events.days if covered is None else covered  # type: ignore[union-attr]
    try:
        days = as_times([given] if isinstance(given, str) else given)
        if np.isnat(days).any():
            raise ValueError("one of them is missing")
    except (TypeError, ValueError) as error:
        raise ValueError(f"covered must be days such as 2014-01-01: {error}") from error
    return np.unique(_day(days))


def _is_covered(start: _Times, end: _Times, days: _Ints) -> NDArray[np.bool_]:
    """Whether all days are covered that the open interval from `start` to `end` touches."""
    one, another = _day(start), _day(end - np.timedelta64(1, "us"))
    found = np.searchsorted(days, another, "right") - np.searchsorted(days, one, "left")
    covered: NDArray[np.bool_] = found == another - one + 1
    return covered


def _day(times: Any) -> Any:
    return times.astype("datetime64[D]").astype(np.int64)


def _samples(samples: Any) -> tuple[_Ints, _Times]:
    """Region (0 where there is none) and time of each sample."""
    require(samples, ("region", "time"), "samples")
    if there := [name for name in LABEL_COLUMNS if name in samples]:
        raise ValueError(f"samples have a column {there[0]!r} already; drop or rename it")
    times = utc(samples["time"], "samples")
    return region_numbers(samples["region"], times, "samples"), times


def _event_table(events: Any) -> pd.DataFrame:
    table = events if isinstance(events, pd.DataFrame) else getattr(events, "table", events)
    require(table, ("region", "peak", "flare_class"), "events")
    frame: pd.DataFrame = table
    return frame


def _as_length(length: Any, name: str) -> np.timedelta64:
    days = as_days(length, name)
    if not 1e-10 < days <= _LONGEST_DAYS:
        raise ValueError(f"{name} must be from 10 us to {_LONGEST_DAYS:.0f} days, got {length!r}")
    return np.timedelta64(round(days * 86_400_000_000), "us")


def _integers(values: NDArray[Any], known: NDArray[np.bool_]) -> pd.api.extensions.ExtensionArray:
    return pd.arrays.IntegerArray(np.where(known, values, 0).astype(values.dtype), ~known)


def _hours(start: _Times, end: _Times) -> NDArray[np.float64]:
    hours: NDArray[np.float64] = (end - start) / _HOUR
    return hours
