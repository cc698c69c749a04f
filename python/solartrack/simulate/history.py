"""The history of the simulated Sun, drawn from a seed: which regions live when and where."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from solartrack.simulate._sphere import drift_deg_day, wrap
from solartrack.simulate.regions import Region

__all__ = ["Merge", "draw_ephemeral", "draw_history", "draw_region"]

_MEAN_LIFE_DAYS = 14.0
_LONGEST_LIFE_DAYS = 40.0


class Merge(NamedTuple):
    """On a day, the patch of `absorbed` becomes part of the patch of the older `kept`.

    Examples
    --------
    >>> from solartrack import simulate
    >>> model = simulate.SunModel(1, days=5, n_regions=20, merging=1.0)
    >>> merge = model.merges[0]
    >>> merge.kept, merge.absorbed
    (4, 7)
    """

    days: float
    kept: int
    absorbed: int


def draw_history(
    seed: int, n_regions: int, days: float, merging: float
) -> tuple[tuple[Region, ...], tuple[Merge, ...]]:
    """Regions of the catalogue and their mergers, in order of time.

    The parameters are those of `SunModel`.
    """
    rng = np.random.default_rng([seed, 3])
    drawn, pairs = _draw_all(rng, n_regions, days, merging)
    kept = sorted(
        (i for i, r in enumerate(drawn) if r.death_days > 0.0 and r.birth_days <= days),
        key=lambda i: drawn[i].birth_days,
    )
    number = {i: n + 1 for n, i in enumerate(kept)}
    regions = tuple(replace(drawn[i], id=number[i]) for i in kept)
    merges = tuple(
        Merge(meet, number[a], number[b])
        for a, b, meet in sorted(pairs, key=lambda p: p[2])
        if a in number and b in number and meet <= days
    )
    return regions, merges


def _draw_all(
    rng: np.random.Generator, n_regions: int, days: float, merging: float
) -> tuple[list[Region], list[tuple[int, int, float]]]:
    """Regions without numbers, and which of them merge when: host, guest, day."""
    count = round(n_regions * (days + _LONGEST_LIFE_DAYS) / _MEAN_LIFE_DAYS)
    drawn: list[Region] = []
    pairs: list[tuple[int, int, float]] = []
    taken: set[int] = set()
    while len(drawn) < count:
        free = [i for i, r in enumerate(drawn) if i not in taken and r.life_days > 5.0]
        host = int(rng.choice(free)) if free and rng.random() < merging else None
        for _ in range(20):  # on a crowded Sun an overlap may have to be accepted
            region = draw_region(rng, days, None if host is None else drawn[host])
            if not any(_overlap(region, other) for other in drawn):
                break
        if host is not None:
            taken |= {host, len(drawn)}
            meet = region.birth_days + float(rng.uniform(0.5, 2.0))
            if meet < min(region.death_days, drawn[host].death_days):
                pairs.append((host, len(drawn), meet))
        drawn.append(region)
    return drawn, pairs


def draw_region(rng: np.random.Generator, days: float, host: Region | None) -> Region:
    """A region of the catalogue: anywhere, or beside its host."""
    size = float(np.clip(rng.lognormal(np.log(4.2), 0.5), 1.0, 8.5))
    life = float(np.clip(rng.lognormal(np.log(6.0 + 1.4 * size), 0.4), 3.0, _LONGEST_LIFE_DAYS))
    rise = float(np.clip(rng.uniform(0.15, 0.35) * life, 0.8, 5.0))
    if host is None:
        birth = float(rng.uniform(-_LONGEST_LIFE_DAYS, days))
        lat = float(np.clip(abs(rng.normal(16.0, 6.5)), 4.0, 38.0) * rng.choice([-1.0, 1.0]))
        lon, drift = float(rng.uniform(0.0, 360.0)), float(drift_deg_day(lat))
    else:
        size = float(np.clip(size, 1.0, 0.8 * host.separation_deg + 1.0))
        birth = host.birth_days + float(rng.uniform(0.1, 0.5)) * host.life_days
        lat = host.lat_deg + float(rng.uniform(-2.5, 2.5))
        side = float(rng.choice([-1.0, 1.0]))
        edge = host.rectangle_deg[1] if side > 0 else -host.rectangle_deg[0]
        lon = host.lon_at(birth) + side * (edge + 0.75 * size / np.cos(np.radians(lat)))
        drift = host.drift_deg_day  # tied to its host
    cycle = -1 if lat > 0 else 1
    return Region(
        id=0,
        seed=int(rng.integers(2**31)),
        lat_deg=lat,
        lon_deg=float(lon),
        drift_deg_day=drift,
        birth_days=birth,
        rise_days=rise,
        decay_days=0.6 * (life - rise) + 0.5,
        life_days=life,
        separation_deg=size,
        tilt_deg=float(rng.normal(0.4 * abs(lat), 8.0)),  # Joy's law
        leading_sign=int(cycle if rng.random() < 0.95 else -cycle),
        strength=float(np.clip(rng.lognormal(0.0, 0.35), 0.4, 2.2)),
    ).with_rectangle()


def draw_ephemeral(seed: int, n_regions: int, days: float) -> tuple[Region, ...]:
    """Small regions that are not in the catalogue; the parameters are those of `SunModel`."""
    rng = np.random.default_rng([seed, 6])
    out = []
    for _ in range(round(5 * n_regions * (days + 3.0) / 3.0)):
        lat = float(np.clip(rng.normal(0.0, 28.0), -65.0, 65.0))
        life = float(rng.uniform(1.0, 5.0))
        region = Region(
            id=0,
            seed=int(rng.integers(2**31)),
            lat_deg=lat,
            lon_deg=float(rng.uniform(0.0, 360.0)),
            drift_deg_day=float(drift_deg_day(lat)),
            birth_days=float(rng.uniform(-5.0, days)),
            rise_days=0.3 * life,
            decay_days=life,
            life_days=life,
            separation_deg=float(rng.uniform(0.5, 1.3)),
            tilt_deg=float(rng.uniform(-90.0, 90.0)),
            leading_sign=int(rng.choice([-1, 1])),
            strength=float(rng.uniform(0.1, 0.5)),
        )
        reach = 1.6 * region.separation_deg
        out.append(replace(region, rectangle_deg=(-reach, reach, -reach, reach)))
    return tuple(r for r in out if r.death_days > 0.0)


def _overlap(a: Region, b: Region) -> bool:
    """Whether two rectangles overlap at the first or last moment at which both regions exist."""
    first, last = max(a.birth_days, b.birth_days), min(a.death_days, b.death_days)
    if first >= last:
        return False
    for day in (first, last):
        p, q = a.rectangle_at(day), b.rectangle_at(day)
        gap = abs(float(wrap(np.array(0.5 * (p[0] + p[1] - q[0] - q[1])))))
        if gap < 0.5 * (p[1] - p[0] + q[1] - q[0]) and p[2] < q[3] and q[2] < p[3]:
            return True
    return False
