"""The default forecast: probabilities of flares from the text that NOAA publishes every day.

A logistic regression for each threshold and window reads a region's row in the Solar Region Summary, its
change since the day before, and the flares of the last four days. `forecast` uses the model that comes with
the package; `solartrack.flares.text_training` made it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack._tables import as_moment
from solartrack.errors import ModelError, SourceWarning
from solartrack.flares._text_features import (
    EVOLUTION,
    FEATURES,
    HISTORY,
    HISTORY_HOURS,
    LATEST_HOURS,
    ROW_COLUMNS,
    SUMMARY,
    measure,
)

__all__ = [
    "FEATURES",
    "INPUTS",
    "TARGETS",
    "Regression",
    "TextModel",
    "default_model",
    "features",
    "forecast",
    "full_disk",
    "load",
    "samples_of",
]

_FORMAT, _VERSION = "solartrack flare forecast from text", 1
_LARGEST_FILE = 2**22

#: What is forecast: column -> (threshold, window in hours). At least one flare of this class or above.
TARGETS = {f"{letter}_{hours}h": (f"{letter}1.0", hours) for hours in (24, 48) for letter in ("C", "M", "X")}
#: What a forecast can be made from, and the features of each.
INPUTS = {
    "summary": SUMMARY,
    "summary, evolution": (*SUMMARY, *EVOLUTION),
    "summary, flares": (*SUMMARY, *HISTORY),
    "summary, evolution, flares": FEATURES,
}


class Regression(NamedTuple):
    """Logistic regressions of all targets on the same features.

    Attributes
    ----------
    mean, scale : ndarray, shape (n_features,)
        What is taken off a feature, and what it is divided by. A missing value is taken to be the mean.
    coefficients : ndarray, shape (n_targets, n_features)
    intercepts : ndarray, shape (n_targets,)
    thresholds : ndarray, shape (n_targets,)
        Probabilities from which on "yes" has the highest TSS, chosen on validation regions; NaN if none
        could be.

    Examples
    --------
    >>> from solartrack.flares import text
    >>> regression = text.default_model().regressions["summary"]
    >>> regression.probabilities(regression.mean[None]).round(3)
    array([[0.1  , 0.009, 0.001, 0.157, 0.016, 0.001]])
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    def probabilities(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities, shape (n, n_targets), of features of shape (n, n_features)."""
        standard = np.nan_to_num((values - self.mean) / self.scale, nan=0.0)
        return 1 / (1 + np.exp(-(standard @ self.coefficients.T + self.intercepts)))


@dataclass(frozen=True)
class TextModel:
    """A fitted model.

    Attributes
    ----------
    regressions : mapping of str to Regression
        For each of `INPUTS`.
    full_disk : ndarray, shape (n_targets, 2)
        Intercept and slope that correct the logarithmic odds of the whole disk, see `full_disk`.
    card : mapping
        What it was trained on and how well it does.
    sha256 : str
        Of the file it was read from, "" if from none.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import text
    >>> regions = flares.read_srs(demo.SUMMARIES).regions
    >>> values = text.features(text.samples_of(regions), regions)
    >>> model = text.default_model()
    >>> model.predict(values, "summary")[["C_24h", "M_24h"]].round(2).head(2)
       C_24h  M_24h
    0   0.39   0.04
    1   0.57   0.09
    >>> model.save("model.json")
    """

    regressions: Mapping[str, Regression]
    full_disk: NDArray[np.float64]
    card: Mapping[str, Any]
    sha256: str = ""

    def predict(self, table: pd.DataFrame, inputs: str = "summary, evolution, flares") -> pd.DataFrame:
        """Probabilities from features.

        Parameters
        ----------
        table : DataFrame, n rows
            Columns of `FEATURES`, as `features` gives them; those of `inputs` are used.
        inputs : str
            One of `INPUTS`.

        Returns
        -------
        DataFrame, shape (n, 6)
            Columns as `TARGETS`. A higher class is never more probable than a lower one, nor a shorter
            window than a longer one. A row without any feature of its region is NaN.

        Raises
        ------
        ValueError
            If there are no such inputs, or the table lacks a column.

        Examples
        --------
        >>> from solartrack import demo, flares
        >>> from solartrack.flares import text
        >>> regions = flares.read_srs(demo.SUMMARIES).regions
        >>> values = text.features(text.samples_of(regions), regions)
        >>> found = text.default_model().predict(values, "summary")
        >>> found[["C_24h", "M_24h"]].round(2).head(2)
           C_24h  M_24h
        0   0.39   0.04
        1   0.57   0.09
        """
        if inputs not in INPUTS:
            raise ValueError(f"inputs must be one of {', '.join(map(repr, INPUTS))}, got {inputs!r}")
        names = list(INPUTS[inputs])
        if lacking := [name for name in names if name not in table]:
            raise ValueError(
                f"the table lacks {len(lacking)} of the {len(names)} features of {inputs!r}, {lacking[0]!r} "
                "first; make it with solartrack.flares.text.features"
            )
        values = table[names].to_numpy(np.float64)
        by_window = self.regressions[inputs].probabilities(values).reshape(-1, 2, 3)
        by_window[:, 1] = np.maximum(by_window[:, 0], by_window[:, 1])
        found = np.minimum.accumulate(by_window, axis=2).reshape(-1, 6)
        found[np.isnan(table[list(SUMMARY)].to_numpy(np.float64)).all(axis=1)] = np.nan
        return pd.DataFrame(found, columns=list(TARGETS), index=table.index)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as JSON, readable by `load`.

        Examples
        --------
        >>> from solartrack.flares import text
        >>> text.default_model().save("model.json")
        >>> list(text.load("model.json").regressions)[0]
        'summary'
        """
        from solartrack._files import write_bytes

        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "targets": list(TARGETS),
            "card": dict(self.card),
            "full_disk": self.full_disk.tolist(),
            "regressions": {
                inputs: {"features": list(INPUTS[inputs])}
                | {
                    name: [None if one != one else one for one in values.tolist()]
                    for name, values in regression._asdict().items()
                    if name != "coefficients"
                }
                | {"coefficients": regression.coefficients.tolist()}
                for inputs, regression in self.regressions.items()
            },
        }
        write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def load(path: str | os.PathLike[str]) -> TextModel:
    """Read a model that `TextModel.save` wrote.

    Parameters
    ----------
    path : path
        JSON.

    Returns
    -------
    TextModel

    Raises
    ------
    ModelError
        If the file is none of these, or of another version.
    FileNotFoundError
        If it is not there.

    Examples
    --------
    >>> from solartrack.flares import text
    >>> text.default_model().save("model.json")
    >>> text.load("model.json").card == text.default_model().card
    True
    """
    with open(path, "rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    return _parsed(content, os.fspath(path))


def _parsed(content: bytes, name: str) -> TextModel:
    try:
        if len(content) > _LARGEST_FILE:
            raise ValueError("it is too large")
        data = json.loads(content)
        if not isinstance(data, dict) or data.get("format") != _FORMAT:
            raise ValueError("it does not say that it is one")
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{name} is no model of flares from text: {error}; solartrack.flares.text_training makes one"
        ) from error
    if data.get("version") != _VERSION:
        raise ModelError(
            f"{name} has version {data.get('version')!r} of the format, and this release reads {_VERSION}: "
            "train the model again, or use the release that made it"
        )
    try:
        if data["targets"] != list(TARGETS):
            raise ValueError(f"targets must be {list(TARGETS)}, got {data['targets']!r}")
        regressions = {inputs: _regression(data["regressions"][inputs], inputs) for inputs in INPUTS}
        disk = _numbers(data["full_disk"], (len(TARGETS), 2), "full_disk")
        if not (disk[:, 1] > 0).all():
            raise ValueError("full_disk must have positive slopes")
        if not isinstance(data["card"], dict):
            raise ValueError("card must be an object")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"{name} is damaged: {what}") from error
    return TextModel(regressions, disk, data["card"], hashlib.sha256(content).hexdigest())


def _regression(data: Any, inputs: str) -> Regression:
    names = list(INPUTS[inputs])
    if data["features"] != names:
        raise ValueError(f"the features of {inputs!r} are not those of this release: train the model again")
    n, m = len(names), len(TARGETS)
    thresholds = [math.nan if one is None else one for one in data["thresholds"]]
    regression = Regression(
        _numbers(data["mean"], (n,), "mean"),
        _numbers(data["scale"], (n,), "scale"),
        _numbers(data["coefficients"], (m, n), "coefficients"),
        _numbers(data["intercepts"], (m,), "intercepts"),
        _numbers(thresholds, (m,), "thresholds", finite=False),
    )
    if not (regression.scale > 1e-12).all():
        raise ValueError("scale must be positive")
    if ((regression.thresholds < 0) | (regression.thresholds > 1)).any():
        raise ValueError("thresholds must be between 0 and 1")
    return regression


def _numbers(values: Any, shape: tuple[int, ...], name: str, *, finite: bool = True) -> NDArray[np.float64]:
    flat = values
    for _ in shape:
        flat = [one for row in flat for one in (row if isinstance(row, list) else [row])]
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in flat):
        raise ValueError(f"{name} must be numbers")
    array = np.array(values, dtype=np.float64)
    if array.shape != shape or (finite and not np.isfinite(array).all()):
        raise ValueError(f"{name} must be finite numbers of shape {shape}, got shape {array.shape}")
    return array


@cache
def default_model() -> TextModel:
    """The model that comes with the package.

    Returns
    -------
    TextModel

    Examples
    --------
    >>> from solartrack.flares import text
    >>> list(text.default_model().regressions)
    ['summary', 'summary, evolution', 'summary, flares', 'summary, evolution, flares']
    """
    file = resources.files("solartrack.flares") / "weights" / "text.json"
    return _parsed(file.read_bytes(), "weights/text.json")


def features(samples: pd.DataFrame, regions: pd.DataFrame, events: Any | None = None) -> pd.DataFrame:
    """What the model reads of regions at given times.

    Parameters
    ----------
    samples : DataFrame, n rows
        ``region`` (full number) and ``time`` (UTC); any index.
    regions : DataFrame
        Rows of summaries (`solartrack.flares.read_srs`), of all days that are known. Of a region the last
        row up to a sample's time counts, if it is not older than 48 hours.
    events : Events or DataFrame, optional
        X-ray flares (`solartrack.flares.read_events`): ``region``, ``peak``, ``peak_flux``. What peaks
        after a sample's time is not looked at.

    Returns
    -------
    DataFrame, shape (n, 74)
        Columns as `FEATURES`, with the index of `samples`. All NaN where no summary has the region; the
        history of flares is NaN without `events`.

    Raises
    ------
    ValueError
        If a column or a time is missing.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import text
    >>> regions = flares.read_srs(demo.SUMMARIES).regions
    >>> samples = text.samples_of(regions)
    >>> text.features(samples, regions).shape == (len(samples), len(text.FEATURES))
    True
    """
    flares = getattr(events, "table", events)
    _require(samples, ("region", "time"), "samples")
    _require(regions, ROW_COLUMNS, "regions")
    if flares is not None:
        _require(flares, ("region", "peak"), "events")
    return measure(samples, regions, flares)


def _require(table: Any, columns: tuple[str, ...], name: str) -> None:
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{name} must be a pandas DataFrame, got {type(table).__name__}")
    if lacking := [column for column in columns if column not in table]:
        raise ValueError(
            f"{name} must have the columns {', '.join(columns)}; {', '.join(lacking)} is missing"
        )
    if name != "events" and (table["region"].isna().any() or table["time"].isna().any()):
        raise ValueError(f"{name} must have a region and a time in every row; drop the rows without")


def samples_of(
    regions: pd.DataFrame,
    hours: Iterable[float] = (0,),
    *,
    max_lon: float | None = None,
    max_lat: float | None = None,
    plages: bool = True,
) -> pd.DataFrame:
    """Samples of all regions: each row of the summaries at some hours of its day.

    Parameters
    ----------
    regions : DataFrame
        Rows of summaries (`solartrack.flares.read_srs`).
    hours : iterable of float
        Hours after 00:00 UTC of the day of issue: ``range(24)`` for hourly ones.
    max_lon, max_lat : float, optional
        Keep rows whose position, at 00:00 UTC, is nearer to the centre of the disk than this, in degrees.
    plages : bool
        Keep plages without spots (section IA).

    Returns
    -------
    DataFrame
        ``region``, ``time``, and ``lat`` and ``lon`` as the summary has them; hour by hour in the order of
        the rows.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import text
    >>> regions = flares.read_srs(demo.SUMMARIES).regions
    >>> text.samples_of(regions, [0, 12], max_lon=30).head(3)
       region       time   lat   lon
    0   12673 2017-09-04 -10.0   2.0
    1   12674 2017-09-04  14.0 -12.0
    2   12673 2017-09-05  -8.0  16.0
    """
    _require(regions, ("region", "time", "section", "lat", "lon"), "regions")
    rows = regions[regions["section"].isin(["I", "IA"] if plages else ["I"])]
    for column, most in (("lon", max_lon), ("lat", max_lat)):
        if most is not None:
            rows = rows[rows[column].abs() < most]
    rows = rows[["region", "time", "lat", "lon"]]
    parts = [rows.assign(time=rows["time"] + pd.Timedelta(hours=hour)) for hour in hours]
    return pd.concat(parts, ignore_index=True) if parts else rows[:0].reset_index(drop=True)


def forecast(
    summaries: Any,
    events: Any | None = None,
    *,
    time: Any = None,
    model: TextModel | str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Probabilities of flares for the regions of a day.

    Parameters
    ----------
    summaries : Summaries or path or anything else that `solartrack.flares.read_srs` takes
        The summary of the day; with that of the day before, the change of the regions is used, too.
    events : Events, or anything that `solartrack.flares.read_events` takes, optional
        Reports of flares. They should cover the four days before `time`; they are not used if they do not
        cover the last one.
    time : datetime-like, optional
        Begin of the windows, UTC. Default: 00:00 of the last summary's day.
    model : TextModel or path, optional
        Default: the one that comes with the package.

    Returns
    -------
    DataFrame, a row for each region with or without spots of the last summary up to `time`
        ``region``, ``time``, ``lat``, ``lon`` (at 00:00 of the summary's day), ``mcintosh``,
        ``mag_class``, ``area``; the columns of `TARGETS`, such as ``M_24h``: probability of at least one
        flare of M1.0 or above that is attributed to the region and peaks within 24 hours; ``inputs``, one
        of `INPUTS`. ``attrs`` has ``inputs``, too, ``summary``, the day of the summary, and ``model``, the
        hash of the model. No rows if the Sun has no region.

    Warns
    -----
    SourceWarning
        If `events` cover only part of the four days, or of the day of `time`; if there are several summaries,
        but not that of the day before.

    Raises
    ------
    ValueError
        If the last summary up to `time` is more than 48 hours old, or `time` is none.
    TypeError
        If `summaries` or `events` is a table: it does not say which days were reported on.

    Notes
    -----
    A fourth of the flares of class C and above are in NOAA's lists without a region; the probabilities of
    regions do not contain them, those of `full_disk` do.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> shown = ["region", "mcintosh", "C_24h", "M_24h", "X_24h"]
    >>> flares.forecast(demo.SUMMARIES)[shown].round(2).head(3)
       region mcintosh  C_24h  M_24h  X_24h
    0   12673      Dkc   0.86   0.44   0.16
    1   12674      Fhi   0.54   0.07   0.01
    2   12675      Bxo   0.04   0.00   0.00
    """
    from solartrack.sources._srs import Summaries, read_srs

    if isinstance(summaries, pd.DataFrame) and "region" in summaries:
        raise TypeError(
            "summaries must be Summaries, or what read_srs takes: a table does not say on which days there "
            "were summaries; give what read_srs returned, not its regions alone, or Summaries(table, days, "
            "troubles)"
        )
    read = summaries if isinstance(summaries, Summaries) else read_srs(summaries)
    fitted = model if isinstance(model, TextModel) else default_model() if model is None else load(model)
    moment = read.days[-1] if time is None else _begin(time)
    known = read.days[read.days <= moment]
    if not len(known) or moment - known[-1] > pd.Timedelta(hours=LATEST_HOURS):
        last = f"the last one is of {known[-1]:%Y-%m-%d}" if len(known) else "there is none before it"
        raise ValueError(
            f"a forecast for {moment:%Y-%m-%d %H:%M} needs a summary of the {LATEST_HOURS} hours before; "
            f"{last}"
        )
    rows = read.regions[(read.regions["time"] == known[-1]) & (read.regions["section"] != "II")]
    table = rows[["region", "time", "lat", "lon", "mcintosh", "mag_class", "area"]].reset_index(drop=True)
    table["time"] = moment.to_datetime64()
    flares = _usable_history(events, moment)
    inputs = "summary"
    before = known[-1] - pd.Timedelta(days=1)
    if before in known:
        inputs += ", evolution"
    elif len(known) > 1:  # given for nothing, probably by a wrong date
        warnings.warn(
            f"the summary of {before:%Y-%m-%d}, the day before the last one, is missing: the forecast is "
            f"made from that of {known[-1]:%Y-%m-%d} alone, and the others ({known[-2]:%Y-%m-%d} is the "
            "latest) are not used",
            SourceWarning,
            stacklevel=2,
        )
    if flares is not None:
        inputs += ", flares"
    table = table.join(fitted.predict(features(table, read.regions, flares), inputs))
    table["inputs"] = inputs
    table.attrs |= {"inputs": inputs, "summary": f"{known[-1]:%Y-%m-%d}", "model": fitted.sha256}
    return table


def _begin(time: Any) -> pd.Timestamp:
    try:
        moment = as_moment(time)
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"time must be such as 2014-01-07T12:00, got {time!r}")
    return pd.Timestamp(moment)


def _usable_history(events: Any | None, moment: pd.Timestamp) -> Any | None:
    """Events, if they cover the day before a time; with a word if they do not cover four."""
    from solartrack.flares.events import Events, read_events

    if events is None:
        return None
    if isinstance(events, pd.DataFrame) and "peak" in events:
        raise TypeError(
            "events must be Events, or what read_events takes: a table does not say on which days there were "
            "reports; give Events(table, days, troubles)"
        )
    read = events if isinstance(events, Events) else read_events(events)
    today = moment.normalize()
    wanted = pd.date_range((moment - pd.Timedelta(hours=HISTORY_HOURS)).normalize(), today, inclusive="left")
    covered = wanted.isin(read.days)
    used = bool(covered[wanted >= (moment - pd.Timedelta(hours=24)).normalize()].all())
    if not covered.all():
        gone = ", ".join(f"{day:%Y-%m-%d}" for day in wanted[~covered])
        warnings.warn(
            f"there are no reports of flares for {gone}: "
            + ("none are taken to have happened then" if used else "the forecast is made without flares"),
            SourceWarning,
            stacklevel=3,
        )
    if used and moment > today and today not in read.days:  # the day is not over: its report cannot be whole
        warnings.warn(
            f"there is no report of all of {today:%Y-%m-%d}: flares of that day that are not among the "
            "events are taken not to have happened",
            SourceWarning,
            stacklevel=3,
        )
    return read if used else None


def full_disk(
    forecasts: pd.DataFrame, *, model: TextModel | None = None, corrected: bool = True
) -> pd.DataFrame:
    """Probabilities of flares anywhere on the disk.

    Parameters
    ----------
    forecasts : DataFrame
        ``time`` and the columns of `TARGETS`, a row for each region, as `forecast` gives them.
    model : TextModel, optional
        Whose correction is used. Default: the one that comes with the package.
    corrected : bool
        With False the regions are taken to be independent and to have all flares:
        1 - product(1 - p) over them. With True the logarithmic odds of that are corrected linearly, as
        fitted to the days of training: flares without a region are then contained.

    Returns
    -------
    DataFrame, a row for each time
        ``time`` and the columns of `TARGETS`. Regions without a probability (NaN) are left out.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.flares import text
    >>> text.full_disk(flares.forecast(demo.SUMMARIES))[["C_24h", "M_24h"]].round(2)
       C_24h  M_24h
    0   0.98   0.55
    """
    fitted = default_model() if model is None else model
    names = list(TARGETS)
    none = forecasts[names].rsub(1).fillna(1.0).groupby(forecasts["time"]).prod()
    found = (1 - none).to_numpy(np.float64)
    if corrected:
        odds = np.log(np.clip(found, 1e-9, 1 - 1e-9)) - np.log1p(-np.clip(found, 1e-9, 1 - 1e-9))
        found = 1 / (1 + np.exp(-(fitted.full_disk[:, 0] + fitted.full_disk[:, 1] * odds)))
    return pd.DataFrame(found, columns=names, index=none.index).reset_index()
