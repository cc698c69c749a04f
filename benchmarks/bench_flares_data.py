"""The tables that flare forecasts begin with: 950 000 patch names, their selection, a year of reports."""

import re
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from solartrack.coordinates.rotation import rotation_rate
from solartrack.flares import parse_names, read_events, select
from solartrack.sources._srs import SRS_COLUMNS

N, PER_DAY = 950_000, 120
FIRST = np.datetime64("2010-05-01", "us")


def patches():
    """Names of patches of 1000 regions, each for some days."""
    i = np.arange(N)
    region, day = 1000 + i // (PER_DAY * 8), i // PER_DAY
    tai = FIRST + (day % 3000) * np.timedelta64(1, "D") + (i % PER_DAY) * np.timedelta64(720, "s")
    stamps = pd.DatetimeIndex(tai).strftime("%Y%m%d_%H%M%S")
    return (
        region,
        tai,
        [
            f"{r}/{r}_hmi.M_720s.{stamp}_TAI.1.magnetogram.fits"
            for r, stamp in zip(region, stamps, strict=True)
        ],
    )


@pytest.mark.benchmark(group="patch-names")
def bench_parse_950_000_names(benchmark):
    region, tai, names = patches()
    table = benchmark.pedantic(parse_names, (names,), rounds=3)
    assert (table["region"] == 10000 + region).all() and (table["time_tai"].to_numpy() == tai).all()


@pytest.mark.peer
@pytest.mark.benchmark(group="patch-names")
def bench_parse_peer_a_loop_over_95_000_names(benchmark):
    region, _, names = patches()
    form = re.compile(r"(\d{4})_hmi\.M_720s\.(\d{8}_\d{6})_TAI\.1\.magnetogram\.fits")

    def loop():
        found = []
        for name in names[: N // 10]:
            match = form.fullmatch(name.rpartition("/")[2])
            tai = datetime.strptime(match[2], "%Y%m%d_%H%M%S")
            found.append((10000 + int(match[1]), tai - timedelta(seconds=37 if tai.year > 2016 else 35)))
        return found

    assert [number for number, _ in benchmark.pedantic(loop, rounds=3)] == (
        10000 + region[: N // 10]
    ).tolist()


@pytest.mark.benchmark(group="selection")
def bench_select_950_000_patches_without_opening_them(benchmark):
    region, tai, names = patches()
    day = tai.astype("datetime64[D]").astype("datetime64[us]")
    regions = pd.DataFrame({"region": 10000 + region, "time": day}).drop_duplicates()
    lon = np.linspace(-80, 80, len(regions))
    regions = regions.assign(section="I", lat=15.0, lon=lon)
    assert set(regions) <= set(SRS_COLUMNS)
    table = benchmark.pedantic(select, (names, regions), {"max_nan": None}, rounds=1)
    west = np.repeat(lon, PER_DAY)[:N] + rotation_rate(15.0) * (
        table["time"] - day
    ).to_numpy() / np.timedelta64(1, "D")
    assert ((table["reason"] == "") == (np.abs(west) < 60)).all()


@pytest.mark.benchmark(group="event-reports")
def bench_read_a_year_of_reports(benchmark):
    def report(day):
        lines = [
            f"{9000 + hour:<6}     {hour:02}50   {hour:02}58      {(hour + 1) % 24:02}10  "
            f"G15  5   XRA  1-8A      C{hour % 9 + 1}.0    1.0E-03   {1900 + hour}"
            for hour in range(24)
        ]
        return "\n".join([f":Date: {day:%Y %m %d}", "#Event", *lines]).encode()

    reports = [report(day) for day in pd.date_range("2014-01-01", "2014-12-31")]
    events = benchmark(read_events, reports)
    assert len(events.table) == 365 * 24 and len(events.days) == 365 and events.troubles.empty
    assert (events.table["end"] - events.table["start"] == pd.Timedelta(20, "min")).all()
