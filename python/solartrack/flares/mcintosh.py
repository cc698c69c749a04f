"""The baseline that every forecaster knows: flare rates by McIntosh class, and Poisson statistics.

A region flares as often as regions of its class have flared before: with a mean of m flares in 24 hours the
probability of at least one is 1 - exp(-m) (Gallagher, Moon & Wang 2002, Sol. Phys. 209, 171; Bloomfield et
al. 2012, ApJ 747, L41). With evolution the classes of yesterday and today count together (McCloskey,
Gallagher & Bloomfield 2016, Sol. Phys. 291, 1711).
"""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack._tables import read_csv
from solartrack.flares._columns import require
from solartrack.flares._text_features import ROW_COLUMNS, classes
from solartrack.flares.text import TARGETS

__all__ = ["COLUMNS", "McIntoshRates", "default_rates", "fit", "read_rates"]

#: Columns of a table of counts.
COLUMNS = {
    "previous": "str",
    "mcintosh": "str",
    "region_days": "int64",
    "C": "int64",
    "M": "int64",
    "X": "int64",
}
_LEVELS = ("C", "M", "X")
# Weight of what is known of all classes, or of a class whatever it was before, in region-days: round numbers,
# which were not tuned.
_CLASS_PRIOR, _EVOLUTION_PRIOR = 5.0, 20.0


class McIntoshRates:
    """Rates of flares by McIntosh class.

    Parameters
    ----------
    counts : DataFrame
        ``previous`` (class of the day before, "" if the region was not listed), ``mcintosh``,
        ``region_days``, and the numbers of flares of at least C1.0, M1.0 and X1.0 within 24 hours in
        columns ``C``, ``M``, ``X``. A row for each pair that was seen.

    Attributes
    ----------
    counts : DataFrame

    Raises
    ------
    ValueError
        If a column is missing, a count negative, or there are no region-days.

    Notes
    -----
    Rates of rare classes are drawn towards what is known without them: the rate of a class towards that of
    all regions, as if 5 further region-days had had it, and the rate of a pair towards that of its class,
    with 20 region-days. It is the mean of a gamma distribution.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import mcintosh, text
    >>> regions = flares.read_srs(demo.SUMMARIES).regions
    >>> samples = text.samples_of(regions[regions["time"] == "2017-09-05"])
    >>> rates = mcintosh.default_rates()
    >>> rates.forecast(samples, regions)[["C_24h", "M_24h"]].round(2).head(3)
       C_24h  M_24h
    0   0.91   0.39
    1   0.66   0.14
    2   0.10   0.00
    """

    def __init__(self, counts: pd.DataFrame) -> None:
        if lacking := [name for name in COLUMNS if name not in counts]:
            raise ValueError(f"counts must have the columns {', '.join(COLUMNS)}; {lacking[0]} is missing")
        try:
            numbers = counts[["region_days", *_LEVELS]].apply(pd.to_numeric).to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"counts must be whole numbers: {error}") from error
        if not len(counts) or not (numbers >= 0).all() or not numbers[:, 0].sum() > 0:
            raise ValueError("counts must have region-days, and nothing negative or missing")
        if (numbers != np.round(numbers)).any():
            raise ValueError("counts must be whole numbers, got fractions")
        self.counts = counts[list(COLUMNS)].reset_index(drop=True)
        self.counts[["region_days", *_LEVELS]] = numbers.astype(np.int64)
        for name in ("previous", "mcintosh"):
            self.counts[name] = pd.Series(_classes(counts[name], name), dtype="str")
        if (twice := self.counts.duplicated(["previous", "mcintosh"])).any():
            pair = self.counts.loc[twice, ["previous", "mcintosh"]].iloc[0].tolist()
            raise ValueError(f"counts must have one row for each pair of classes, got {pair} twice")
        sums = self.counts.groupby("mcintosh")[["region_days", *_LEVELS]].sum()
        overall = sums.sum()
        mean = overall[list(_LEVELS)] / overall["region_days"]
        self._mean = mean.to_numpy(np.float64)
        days = sums["region_days"].to_numpy()[:, None]
        static = (sums[list(_LEVELS)].to_numpy() + _CLASS_PRIOR * self._mean) / (days + _CLASS_PRIOR)
        self._static = pd.DataFrame(static, index=sums.index, columns=list(_LEVELS))
        pairs = self.counts.set_index(["previous", "mcintosh"])
        days = pairs["region_days"].to_numpy()[:, None]
        towards = self._static.loc[pairs.index.get_level_values("mcintosh")].to_numpy()
        rates = (pairs[list(_LEVELS)].to_numpy() + _EVOLUTION_PRIOR * towards) / (days + _EVOLUTION_PRIOR)
        self._pairs = pd.DataFrame(rates, index=pairs.index, columns=list(_LEVELS))

    def rates(self, mcintosh: ArrayLike, previous: ArrayLike | None = None) -> pd.DataFrame:
        """Mean numbers of flares in 24 hours.

        Parameters
        ----------
        mcintosh : array_like of str, shape (n,)
            McIntosh classes ("Dkc"), in any case. A class that was never seen has the mean of all regions.
            None, NaN and "" (plages, damaged rows) give NaN.
        previous : array_like of str, shape (n,), optional
            Those of the day before, "" for a region that was not listed. Given, evolution counts.

        Returns
        -------
        DataFrame, shape (n, 3)
            Columns ``C``, ``M``, ``X``: flares of at least C1.0, M1.0, X1.0.

        Examples
        --------
        >>> from solartrack.flares import mcintosh
        >>> mcintosh.default_rates().rates(["Fkc", "Axx"]).round(3)
               C      M    X
        0  3.739  0.921  0.1
        1  0.048  0.002  0.0
        """
        classes = _classes(mcintosh, "mcintosh")
        found = self._static.reindex(classes).to_numpy(np.float64, copy=True)
        found[np.isnan(found[:, 0])] = self._mean
        if previous is not None:
            before = _classes(previous, "previous")
            if len(before) != len(classes):
                raise ValueError(
                    f"previous must have a class for each of the {len(classes)} regions, got {len(before)}"
                )
            pairs = self._pairs.reindex(pd.MultiIndex.from_arrays([before, classes])).to_numpy(np.float64)
            found = np.where(np.isnan(pairs), found, pairs)
        found[classes == ""] = np.nan
        return pd.DataFrame(found, columns=list(_LEVELS))

    def probabilities(self, mcintosh: ArrayLike, previous: ArrayLike | None = None) -> pd.DataFrame:
        """Probabilities of at least one flare: 1 - exp(-rate x days).

        Parameters
        ----------
        mcintosh, previous : array_like of str, shape (n,)
            As for `rates`.

        Returns
        -------
        DataFrame, shape (n, 6)
            Columns as `solartrack.flares.text.TARGETS`.

        Examples
        --------
        >>> from solartrack.flares import mcintosh
        >>> mcintosh.default_rates().probabilities(["Fkc", "Axx"])[["C_24h", "M_24h", "X_24h"]].round(3)
           C_24h  M_24h  X_24h
        0  0.976  0.602  0.095
        1  0.047  0.002  0.000
        """
        rates = self.rates(mcintosh, previous)
        return pd.DataFrame({
            name: -np.expm1(-rates[threshold[0]] * hours / 24) for name, (threshold, hours) in TARGETS.items()
        })  # fmt: skip

    def forecast(
        self, samples: pd.DataFrame, regions: pd.DataFrame, *, evolution: bool = False
    ) -> pd.DataFrame:
        """Probabilities for regions at given times.

        Parameters
        ----------
        samples : DataFrame, n rows
            ``region`` and ``time``.
        regions : DataFrame
            Rows of summaries. The last one up to a sample's time counts, if it is at most 48 hours old.
        evolution : bool
            Use the class of the day before, too.

        Returns
        -------
        DataFrame, shape (n, 6)
            Columns as `solartrack.flares.text.TARGETS`, with the index of `samples`. NaN for regions
            without a class.

        Examples
        --------
        >>> from solartrack import demo, flares
        >>> from solartrack.flares import mcintosh, text
        >>> regions = flares.read_srs(demo.SUMMARIES).regions
        >>> samples = text.samples_of(regions, [12])
        >>> rates = mcintosh.default_rates()
        >>> rates.forecast(samples, regions)[["C_24h", "M_24h"]].round(2).head(3)
           C_24h  M_24h
        0   0.82   0.34
        1   0.95   0.47
        2   0.15   0.01
        """
        require(samples, ("region", "time"), "samples")
        require(regions, ROW_COLUMNS, "regions")
        now, before = classes(samples, regions)
        table = self.probabilities(now, before if evolution else None)
        table.index = samples.index
        return table

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the counts as CSV, readable by `read_rates`.

        Examples
        --------
        >>> from solartrack.flares import mcintosh
        >>> mcintosh.default_rates().save("rates.csv")
        >>> rates = mcintosh.read_rates("rates.csv")
        """
        from solartrack._files import replacing

        with replacing(path) as partial:
            self.counts.to_csv(partial, index=False, lineterminator="\n")


def _classes(values: Any, name: str) -> NDArray[np.object_]:
    column = pd.Series(np.atleast_1d(np.asarray(values, dtype=object)))
    if column.ndim != 1 or not column.map(lambda one: isinstance(one, str) or pd.isna(one)).all():
        raise TypeError(f"{name} must be McIntosh classes as text, such as 'Dkc'")
    return np.asarray(column.fillna("").str.strip().str.capitalize(), dtype=object)


def fit(regions: pd.DataFrame, events: Any) -> McIntoshRates:
    """Count flares by McIntosh class.

    Parameters
    ----------
    regions : DataFrame
        Rows of summaries (`solartrack.flares.read_srs`). Those with a McIntosh class are counted, at any
        longitude.
    events : Events
        X-ray flares and the days that the reports cover (`solartrack.flares.read_events`).

    Returns
    -------
    McIntoshRates
        Of the flares that are attributed to a region and peak within the 24 hours after 00:00 UTC of the
        day of issue. Days whose flares are not known do not count.

    Raises
    ------
    ValueError
        If no region-day has a class and known flares.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import mcintosh
    >>> regions = flares.read_srs(demo.SUMMARIES).regions
    >>> flare = {"region": [12673], "peak": ["2017-09-04T20:33"], "flare_class": ["M5.5"]}
    >>> table = pd.DataFrame({**flare, "peak_flux": 5.5e-5}).astype({"peak": "datetime64[us]"})
    >>> days = pd.date_range("2017-09-04", "2017-09-05")
    >>> events = flares.Events(table, days, pd.DataFrame())
    >>> counts = mcintosh.fit(regions, events).counts
    >>> counts[counts["M"] > 0]
      previous mcintosh  region_days  C  M  X
    3               Dsc            1  1  1  0
    """
    from solartrack.flares.labels import label

    require(regions, ROW_COLUMNS, "regions")
    rows = regions[(regions["section"] == "I") & (regions["mcintosh"].fillna("") != "")]
    rows = rows.reset_index(drop=True)
    now, before = classes(rows, regions)
    counts = pd.DataFrame({"previous": before, "mcintosh": now, "region_days": 1})
    known = np.ones(len(rows), dtype=bool)
    for level in _LEVELS:
        labelled = label(rows[["region", "time"]], events, threshold=f"{level}1.0", window="24h")
        counts[level] = labelled["n_flares"].fillna(0).to_numpy(np.int64)
        known &= labelled["n_flares"].notna().to_numpy()
    if not known.any():
        raise ValueError(
            f"none of {len(rows)} region-days with a McIntosh class has 24 hours whose flares are known: "
            "give the event reports of the same days"
        )
    summed = counts[known].groupby(["previous", "mcintosh"], as_index=False).sum()
    return McIntoshRates(summed)


def read_rates(path: str | os.PathLike[str]) -> McIntoshRates:
    """Read counts that `McIntoshRates.save` wrote.

    Parameters
    ----------
    path : path
        CSV.

    Returns
    -------
    McIntoshRates

    Raises
    ------
    ValueError
        If the file is no such table.
    FileNotFoundError
        If it is not there.

    Examples
    --------
    >>> from solartrack.flares import mcintosh
    >>> mcintosh.default_rates().save("rates.csv")
    >>> mcintosh.read_rates("rates.csv").rates(["Fkc"])
              C         M         X
    0  3.738732  0.921383  0.100064
    """
    try:
        table = read_csv(path)
        return McIntoshRates(table)
    except ValueError as error:
        raise ValueError(f"{os.fsdecode(path)} is no table of flare counts: {error}") from error


@cache
def default_rates() -> McIntoshRates:
    """Rates that come with the package, fitted to the same region-days as the text model.

    Returns
    -------
    McIntoshRates

    Examples
    --------
    >>> from solartrack.flares import mcintosh
    >>> mcintosh.default_rates().rates(["Fkc", "Axx"])
              C         M         X
    0  3.738732  0.921383  0.100064
    1  0.048248  0.002367  0.000007
    """
    return read_rates(str(resources.files("solartrack.flares") / "weights" / "mcintosh.csv"))
