"""Splits into training, validation and test: by region, never by sample.

Each function takes the region of every sample (or of every region once) and returns the part of each:
"train", "validation", "test", or "" for none. Samples of one region are so much alike that a model which
has seen one knows the others; `count_parts` refuses a split that has a region on two sides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._arrays import as_count
from solartrack._tables import as_moment
from solartrack.flares._columns import refuse_single, utc
from solartrack.flares._labelled import as_labels, as_seed
from solartrack.sequence import as_days

__all__ = [
    "PARTS",
    "Split",
    "chronological_split",
    "count_parts",
    "folds",
    "joint_groups",
    "listed_split",
    "random_split",
]

#: Names of the parts.
PARTS = ("train", "validation", "test")

_NO_NUMBER = ("", "MISSING", "NAN")

_Codes = NDArray[np.int64]


class Split(NamedTuple):
    """Regions of each part, in order of listing; see `solartrack.flares.published.read_split`.

    Attributes
    ----------
    train, validation, test : ndarray of int, shapes (k,), (l,), (m,)
        NOAA numbers with all their digits.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.flares.splits import Split, listed_split
    >>> split = Split(np.array([11158]), np.array([11283]), np.array([11429]))
    >>> listed_split([11158, 11429, 12192], split).tolist()
    ['train', 'test', '']
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def listed_split(
    region: ArrayLike, split: Split, *, convention: Literal["default", "published"] = "default"
) -> pd.Series:
    """Parts as lists of regions say.

    Parameters
    ----------
    region : array_like of int, shape (n,)
        NOAA numbers with all their digits.
    split : Split
    convention : {"default", "published"}
        "published": what is not listed for test or validation is training, as the published script never
        read the list of the training regions.

    Returns
    -------
    Series of str, length n
        "" for a region that no list has. It has the index of `region`, if that is a Series.

    Raises
    ------
    ValueError
        If a region is in two lists, or `region` has something else than numbers with all their digits.

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack.flares.splits import Split, listed_split
    >>> split = Split(np.array([11158]), np.array([11283]), np.array([11429]))
    >>> listed_split([11158, 11429, 12192], split, convention="published").tolist()
    ['train', 'test', 'train']
    """
    published = _is_published(convention)
    lists = {name: np.unique(getattr(split, name)) for name in PARTS}
    numbers, count = np.unique(np.concatenate(list(lists.values())), return_counts=True)
    if (count > 1).any():
        raise ValueError(f"a region must be in one list, but {numbers[count > 1][0]} is in two")
    group = _as_groups(region, "region")
    try:
        group = pd.to_numeric(group)
    except (TypeError, ValueError) as error:
        raise ValueError(f"region must be NOAA numbers such as 11158: {error}") from error
    if len(numbers) and numbers[0] > 9999 and group.lt(10000).any():
        raise ValueError(f"region must have numbers with all digits, such as {numbers[0]}, got {group.min()}")
    parts = np.full(len(group), "train" if published else "", dtype=object)
    for name, listed in lists.items():
        parts[group.isin(listed).to_numpy()] = name
    return _as_parts(parts, region)


def random_split(
    group: ArrayLike,
    *,
    seed: int = 0,
    test: float = 0.1,
    validation: float = 0.1,
    flaring: ArrayLike | None = None,
    convention: Literal["default", "published"] = "default",
) -> pd.Series:
    """Regions to parts at random.

    Random splits flatter forecasts: the regions of all parts are of one time. See `chronological_split`.

    Parameters
    ----------
    group : array_like, shape (n,)
        Region of each sample, as a number or as a name; or groups of regions, see `joint_groups`.
    seed : int
        The same seed gives the same parts to the same regions, in whatever order their samples are.
    test, validation : float
        Shares of the regions, 0 or more and together less than 1; the numbers are rounded up.
    flaring : array_like of bool, shape (n,), optional
        Stratify: regions with and without a flaring sample are split apart, so that each part has its
        share of both. Missing values are no flare.
    convention : {"default", "published"}
        "published": nothing is drawn. The first regions, in order of listing, are test, the next ones
        validation, the others training.

    Returns
    -------
    Series of str, length n
        With the index of `group`, if that is a Series.

    Raises
    ------
    ValueError
        If there are too few regions for the parts, a region is missing, or an argument is out of range.

    Examples
    --------
    >>> from solartrack.flares.splits import random_split
    >>> random_split([1, 1, 2, 3, 4, 5], seed=1, test=0.2, validation=0.2).tolist()
    ['validation', 'validation', 'train', 'train', 'train', 'test']
    """
    published = _is_published(convention)
    if published and flaring is not None:
        raise ValueError("flaring is for convention='default'; the published split is not stratified")
    _check_shares(test, validation)
    listing = _as_groups(group, "group")
    code, regions = pd.factorize(listing, sort=not published)
    rng = np.random.default_rng(as_seed(seed))
    order = np.arange(len(regions)) if published else rng.permutation(len(regions))
    part_of = np.full(len(regions), "train", dtype=object)
    for stratum, members in _strata(code, len(regions), flaring).items():
        mine = order[members[order]]
        n_test, n_validation = (_share_of(len(mine), share) for share in (test, validation))
        if n_test + n_validation >= len(mine) > 0:
            raise ValueError(
                f"there are {len(mine)} {stratum}, too few for {n_test} in test, {n_validation} in "
                f"validation and some in training"
            )
        part_of[mine[:n_test]] = "test"
        part_of[mine[n_test : n_test + n_validation]] = "validation"
    return _as_parts(part_of[code], group)


def chronological_split(
    group: ArrayLike,
    time: Iterable[Any],
    *,
    validation: Any = 0.1,
    test: Any = 0.1,
    gap: Any = None,
) -> pd.Series:
    """Train on the past, validate on what follows, test on the last part.

    Parameters
    ----------
    group : array_like, shape (n,)
        Region of each sample, or groups of regions.
    time : iterable of datetime-like, length n
        UTC. Samples without a time are in no part.
    validation, test : float or datetime-like
        When the part begins, as "2016-01-01"; or its share of the regions, rounded up, in order of
        their first samples. A share of 0 leaves the part out.
    gap : Quantity, timedelta or str, optional
        Samples up to this time before a border are in no part. With the window of the labels, no label
        of an earlier part knows of a flare in a later one.

    Returns
    -------
    Series of str, length n
        With the index of `group`, if that is a Series. A region that crosses a border belongs to the part
        in which it begins; its samples after the border are in no part.

    Raises
    ------
    ValueError
        If the borders are not in order, no sample is left for a part, a region is missing, or an argument
        is out of range.

    Examples
    --------
    >>> from solartrack.flares.splits import chronological_split
    >>> days = ["2014-01-01", "2014-01-02", "2014-02-01", "2014-03-01"]
    >>> chronological_split([1, 1, 2, 3], days, validation="2014-01-15", test="2014-02-15").tolist()
    ['train', 'train', 'validation', 'test']
    """
    listing = _as_groups(group, "group")
    moments = time if isinstance(time, pd.Series) else pd.Series(_as_list(time, "time"), name="time")
    times = utc(moments, "the samples")
    if len(times) != len(listing):
        raise ValueError(f"time must have one value for each of {len(listing)} samples, got {len(times)}")
    timed = ~np.isnat(times)
    distance = np.timedelta64(0, "us")
    if gap is not None:
        distance = np.timedelta64(timedelta(days=as_days(gap, "gap")))
    firsts = pd.Series(times[timed]).groupby(listing.to_numpy()[timed]).min()
    borders = _borders(np.sort(firsts.to_numpy()), validation, test)

    first = firsts.reindex(listing).to_numpy(dtype="datetime64[us]")
    begun, now = (np.searchsorted(borders, moment, side="right") for moment in (first, times))
    soon = np.searchsorted(borders, times + distance, side="right")
    placed = timed & (begun == now) & (now == soon)
    parts = np.where(placed, np.array(PARTS, dtype=object)[np.where(placed, now, 0)], "")
    wanted = [name for name, size in zip(PARTS, (1, validation, test), strict=True) if size != 0]
    for name in wanted:
        if len(parts) and name not in parts:
            raise ValueError(
                f"no sample is left for {name}: validation begins at {borders[0]} and test at {borders[1]}"
            )
    return _as_parts(parts, group)


def folds(group: ArrayLike, n_folds: int, *, seed: int = 0, flaring: ArrayLike | None = None) -> pd.Series:
    """Folds for cross-validation: each region is in one.

    Parameters
    ----------
    group : array_like, shape (n,)
        Region of each sample, or groups of regions.
    n_folds : int
        2 or more.
    seed : int
        As for `random_split`.
    flaring : array_like of bool, shape (n,), optional
        Stratify, as for `random_split`.

    Returns
    -------
    Series of int, length n
        0 to `n_folds` - 1, as `sklearn.model_selection.PredefinedSplit` takes them. The numbers of
        regions in the folds differ by 1 at most, those of flaring regions, too.

    Raises
    ------
    ValueError
        If there are fewer regions than folds, a region is missing, or an argument is out of range.

    Examples
    --------
    >>> from solartrack.flares.splits import folds
    >>> folds([1, 1, 2, 3, 4], 2).tolist()
    [1, 1, 0, 0, 1]
    """
    if as_count(n_folds, "n_folds") < 2:
        raise ValueError(f"n_folds must be 2 or more, got {n_folds}")
    listing = _as_groups(group, "group")
    code, regions = pd.factorize(listing, sort=True)
    if 0 < len(regions) < n_folds:
        raise ValueError(f"n_folds must be at most the number of regions, {len(regions)}, got {n_folds}")
    order = np.random.default_rng(as_seed(seed)).permutation(len(regions))
    strata = _strata(code, len(regions), flaring).values()
    dealt = np.concatenate([order[members[order]] for members in strata])
    fold_of = np.empty(len(regions), dtype=np.int64)
    fold_of[dealt] = np.arange(len(regions)) % n_folds
    return pd.Series(fold_of[code], index=_index_of(group), dtype=np.int64, name="fold")


def joint_groups(harp: ArrayLike, noaa: Iterable[Any]) -> pd.Series:
    """Groups that share neither a HARP nor a NOAA region.

    A HARP may hold several NOAA regions, and a NOAA region may be in several HARPs. What hangs together,
    directly or through others, is one group.

    Parameters
    ----------
    harp : array_like, shape (n,)
        Number or name of the HARP of each sample or patch; missing ones are NA, 0 or "". Where there are
        TARPs, too, whose numbers are others, names such as "TARP 13520".
    noaa : iterable, length n
        NOAA numbers: one, or several as in SHARP's keyword NOAA_ARS, "11158,11160"; missing ones are NA, "",
        0 or "MISSING".

    Returns
    -------
    Series of int, length n
        Group of each, from 0, in the order of their first samples. A sample without either number is a
        group by itself.

    Raises
    ------
    ValueError
        If the lengths differ, or something is no number.

    Examples
    --------
    >>> from solartrack.flares.splits import joint_groups
    >>> joint_groups([377, 377, 378, 400], [11158, 11160, 11160, 11200]).tolist()
    [0, 0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    patches = pd.Series(_as_list(harp, "harp"), dtype=object)
    regions = [_numbers(one) for one in _as_list(noaa, "noaa")]
    if len(patches) != len(regions):
        raise ValueError(f"harp and noaa must have one length, got {len(patches)} and {len(regions)}")
    # A graph with a node for each sample, HARP and NOAA region, and an edge where a sample has a number.
    n = len(patches)
    node, names = pd.factorize(patches.mask(patches.isin([0, ""])))
    of_harp = np.flatnonzero(node >= 0)
    of_noaa = np.repeat(np.arange(n), [len(numbers) for numbers in regions])
    region, numbers = pd.factorize(np.array([one for several in regions for one in several], dtype=np.int64))
    rows = np.concatenate([of_harp, of_noaa])
    columns = n + np.concatenate([node[of_harp], len(names) + region])
    size = n + len(names) + len(numbers)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][:n] if size else np.empty(0, dtype=np.int64)
    return pd.Series(pd.factorize(component)[0], index=_index_of(harp), dtype=np.int64, name="group")


def count_parts(part: ArrayLike, group: ArrayLike, label: ArrayLike | None = None) -> pd.DataFrame:
    """Numbers of regions and samples in each part; refuses a region on two sides.

    Parameters
    ----------
    part : array_like, shape (n,)
        Parts or folds. "" is no part, and may have regions of any.
    group : array_like, shape (n,)
        Region of each sample, or groups of regions. Where the part is "", it may be missing.
    label : array_like, shape (n,), optional
        1, 0 or missing.

    Returns
    -------
    DataFrame
        A row for each part; columns ``regions``, ``samples`` and, with labels, ``positives`` and
        ``unknown``.

    Raises
    ------
    ValueError
        If a region is in two parts, the lengths differ, or a label is something else.
    TypeError
        If labels are text.

    Examples
    --------
    >>> from solartrack.flares.splits import count_parts
    >>> count_parts(["train", "train", "test"], [1, 1, 2], [0, 1, 0])
           regions  samples  positives  unknown
    part
    train        1        2          1        0
    test         1        1          0        0
    """
    listing = pd.Series(_as_list(group, "group") if not isinstance(group, pd.Series) else group.array)
    parts = pd.Series(np.asarray(part, dtype=object)).fillna("")
    table = pd.DataFrame({"part": _same_length(parts, listing, "part"), "group": listing.to_numpy()})
    _as_groups(listing[table["part"] != ""], "group")
    if label is not None:
        has_label, happened = as_labels(label)
        _same_length(pd.Series(has_label), listing, "label")
        table["positives"], table["unknown"] = False, ~has_label
        table.loc[has_label, "positives"] = happened == 1
    sides = table[table["part"] != ""].drop_duplicates(["part", "group"])
    if (twice := sides["group"][sides["group"].duplicated()]).size:
        where = ", ".join(map(str, sides["part"][sides["group"] == twice.iloc[0]]))
        raise ValueError(f"a region must be in one part, but {twice.iloc[0]} is in {where}")
    by_part = table.groupby("part", sort=False)
    counts = by_part["group"].agg(regions="nunique", samples="size")
    if label is not None:
        counts = counts.join(by_part[["positives", "unknown"]].sum())
    known = [name for name in PARTS if name in counts.index]
    return counts.reindex(known + sorted(set(counts.index) - set(known)))


def _is_published(convention: str) -> bool:
    if convention not in ("default", "published"):
        raise ValueError(f"convention must be 'default' or 'published', got {convention!r}")
    return convention == "published"


def _as_list(values: Any, name: str) -> list[Any]:
    refuse_single(values, name)
    return list(values)


def _as_groups(group: Any, name: str) -> pd.Series:
    """Groups as a series with a plain index, without missing values."""
    if np.ndim(group) != 1 if isinstance(group, np.ndarray) else isinstance(group, pd.DataFrame):
        raise ValueError(
            f"{name} must have one value for each sample, got a table of shape {np.shape(group)}"
        )
    groups = pd.Series(_as_list(group, name) if not isinstance(group, pd.Series) else group.array)
    if groups.isna().any():
        raise ValueError(
            f"{name} must not be missing, but {groups.isna().sum()} of {len(groups)} are; drop these samples"
        )
    if groups.dtype == object and groups.map(lambda one: isinstance(one, str)).nunique() > 1:
        raise ValueError(
            f"{name} must be all numbers or all texts, got both: '1158' and 1158 would be two "
            "regions; make it one kind, such as by .astype(str)"
        )
    return groups


def _index_of(group: Any) -> pd.Index | None:
    return group.index if isinstance(group, pd.Series) else None


def _as_parts(parts: NDArray[np.object_], group: Any) -> pd.Series:
    return pd.Series(parts, index=_index_of(group), dtype="str", name="part")


def _same_length(values: pd.Series, listing: pd.Series, name: str) -> NDArray[Any]:
    if len(values) != len(listing):
        raise ValueError(f"{name} must have one value for each of {len(listing)} samples, got {len(values)}")
    array: NDArray[Any] = values.to_numpy()
    return array


def _strata(code: _Codes, n: int, flaring: ArrayLike | None) -> dict[str, NDArray[np.bool_]]:
    """Which regions are in each stratum."""
    if flaring is None:
        return {"regions": np.full(n, True)}
    try:
        flares = pd.Series(flaring).astype("boolean").fillna(False).to_numpy(dtype=bool)
    except (TypeError, ValueError) as error:
        raise ValueError(f"flaring must be True or False for each sample: {error}") from error
    if len(flares) != len(code):
        raise ValueError(f"flaring must have one value for each of {len(code)} samples, got {len(flares)}")
    does = np.zeros(n, dtype=bool)
    does[code[flares]] = True
    return {"flaring regions": does, "quiet regions": ~does}


def _check_shares(test: Any, validation: Any) -> None:
    for name, share in (("test", test), ("validation", validation)):
        if not _is_number(share) or not 0 <= share < 1:
            raise ValueError(f"{name} must be a share from 0 to below 1, got {share!r}")
    if test + validation >= 1:
        raise ValueError(f"test and validation must be less than 1 together, got {test} and {validation}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating)


def _share_of(n: int, share: Any) -> int:
    exact = float(str(share))  # single precision: the number that was written
    return math.ceil(round(n * exact, 9))  # 0.07 of 100 regions are 7, not 8


def _borders(firsts: NDArray[np.datetime64], validation: Any, test: Any) -> NDArray[np.datetime64]:
    """When validation and test begin; `firsts` is when the regions do, sorted."""
    _check_shares(*(size if _is_number(size) else 0.0 for size in (test, validation)))
    borders: list[Any] = []
    end, border = len(firsts), np.datetime64("9999-12-31", "us")
    for name, size in (("test", test), ("validation", validation)):
        if _is_number(size):
            begin = end - _share_of(len(firsts), size)
            border = (
                firsts[begin] if 0 <= begin < end else border
            )  # of a part left out: where the next begins
        else:
            border = _as_border(size, name)
            begin = int(np.searchsorted(firsts, border))
        end = begin
        borders.insert(0, border)
    if borders[0] > borders[1]:
        raise ValueError(f"validation must begin before test, got {borders[0]} and {borders[1]}")
    return np.array(borders, dtype="datetime64[us]")


def _as_border(value: Any, name: str) -> Any:
    try:
        moment = as_moment(value)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{name} must be a share of the regions or a time such as 2016-01-01, got {value!r}")
    return np.datetime64(moment, "us")


def _numbers(value: Any) -> list[int]:
    """NOAA numbers in a field: none, one or several."""
    if isinstance(value, str):
        words: list[Any] = [word for word in re.split(r"[,;\s]+", value) if word.upper() not in _NO_NUMBER]
    elif isinstance(value, Iterable):
        words = list(value)
    else:
        words = [] if pd.isna(value) else [value]
    try:
        numbers = [int(word) for word in words]
        if any(number < 0 or float(word) != number for number, word in zip(numbers, words, strict=True)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"noaa must be numbers such as 11158 or '11158,11160', got {value!r}") from None
    return [number for number in numbers if number]
