"""Forecasts from text in the form of the CCMC Flare Scoreboard."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd

from solartrack._tables import as_moment
from solartrack.flares.exchange import SCOREBOARD_COLUMNS, ScoreboardForecast
from solartrack.flares.text import TARGETS, TextModel, full_disk
from solartrack.sources._srs import place_name

__all__ = ["scoreboard_forecast"]


def scoreboard_forecast(
    forecasts: pd.DataFrame,
    *,
    hours: int = 24,
    method: str = "solartrack text",
    issued: Any = None,
    model: TextModel | None = None,
) -> ScoreboardForecast:
    """A forecast for the CCMC Flare Scoreboard, which `solartrack.flares.exchange.write_scoreboard` writes.

    Parameters
    ----------
    forecasts : DataFrame
        As `solartrack.flares.forecast` returns it; at least one region.
    hours : {24, 48}
        Length of the window.
    method : str
        What the forecast is to be called.
    issued : datetime-like, optional
        When it was issued, UTC. Default: the begin of the window.
    model : TextModel, optional
        As for `solartrack.flares.text.full_disk`.

    Returns
    -------
    ScoreboardForecast
        The probabilities of the whole disk, then those of the regions.

    Raises
    ------
    ValueError
        If there is no region, or another length of the window, or the table was not returned by `forecast`.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> found = flares.scoreboard_forecast(flares.forecast(demo.SUMMARIES), hours=24)
    >>> found.method, found.end.isoformat()
    ('solartrack text', '2017-09-06T00:00:00')
    >>> found.table[["region", "location", "flare_class", "probability"]].round(2).head(4)
        region location flare_class  probability
    0      NaN      NaN          C+         0.98
    1      NaN      NaN          M+         0.55
    2      NaN      NaN          X+         0.17
    3  12673.0   S08W16          C+         0.86
    """
    names = {f"{letter}+": f"{letter}_{hours}h" for letter in "CMX"}
    if not set(names.values()) <= set(TARGETS):
        raise ValueError(f"hours must be 24 or 48, got {hours!r}")
    if lacking := {"region", "time", "lat", "lon", *names.values()} - set(forecasts):
        raise ValueError(f"forecasts must be as solartrack.flares.forecast returns it; it lacks {lacking}")
    if lacking := {"summary", "inputs"} - set(forecasts.attrs):
        raise ValueError(
            f"forecasts must be as solartrack.flares.forecast returns it: {lacking} is not in its attrs, "
            "which a CSV file does not keep"
        )
    if not len(forecasts):
        raise ValueError("the Scoreboard takes forecasts of regions, and there is no region on the disk")
    start = forecasts["time"].iloc[0].to_pydatetime()
    disk = full_disk(forecasts, model=model).iloc[0]
    rows = [{"flare_class": letter, "probability": disk[name]} for letter, name in names.items()]
    for region in forecasts.to_dict("records"):
        where = {
            "region": region["region"],
            "location": place_name(region["lat"], region["lon"]),
            "location_time": as_moment(forecasts.attrs["summary"]),
        }
        rows += [{**where, "flare_class": one, "probability": region[name]} for one, name in names.items()]
    table = pd.DataFrame(rows).reindex(columns=list(SCOREBOARD_COLUMNS))
    end = start + timedelta(hours=hours)
    return ScoreboardForecast(
        method, as_moment(issued) or start, start, end, table, forecasts.attrs["inputs"]
    )
