"""What happens on the simulated Sun: plain data drawn from a seed."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack.simulate._sphere import View, drift_deg_day, rectangle_box, wrap

__all__ = ["Fragments", "Merge", "Patch", "Region", "SunModel"]

Array = NDArray[np.float64]

# A region's rectangle holds its flux over its whole life, where it is at least this strong.
_EDGE_GAUSS = 30.0
_MEAN_LIFE_DAYS = 14.0
_LONGEST_LIFE_DAYS = 40.0


class Fragments(NamedTuple):
    """Flux concentrations of a region: Gaussian spots of radial field, arrays of shape (n,).

    Offsets are from the region's centre in degrees on the surface, positive to
    the west and to the north.
    """

    x_deg: Array
    y_deg: Array
    sigma_deg: Array
    peak_gauss: Array


@dataclass(frozen=True)
class Region:
    """A bipolar active region.

    Times are days since the start of the model. ``lon_deg`` is the Carrington
    longitude of the centre at birth; it drifts by ``drift_deg_day``. The
    rectangle ``west, east, south, north`` (degrees of longitude and latitude
    from the centre) never changes.
    """

    id: int
    seed: int
    lat_deg: float
    lon_deg: float
    drift_deg_day: float
    birth_days: float
    rise_days: float
    decay_days: float
    life_days: float
    separation_deg: float
    tilt_deg: float
    leading_sign: int
    strength: float
    rectangle_deg: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def death_days(self) -> float:
        """Day of the last appearance."""
        return self.birth_days + self.life_days

    def lives(self, days: float) -> bool:
        """Whether it exists on a day."""
        return self.birth_days <= days < self.death_days

    def lon_at(self, days: float) -> float:
        """Carrington longitude of the centre, not wrapped."""
        return self.lon_deg + self.drift_deg_day * (days - self.birth_days)

    def rectangle_at(self, days: float) -> tuple[float, float, float, float]:
        """Carrington longitudes west, east and latitudes south, north of the rectangle, degrees."""
        west, east, south, north = self.rectangle_deg
        lon = self.lon_at(days)
        return lon + west, lon + east, self.lat_deg + south, self.lat_deg + north

    def flux(self, days: float) -> float:
        """Flux relative to the largest of its life, 0 to 1."""
        return float(_course(self, np.array(days - self.birth_days))[2])

    def fragments(self, days: float) -> Fragments:
        """The magnetic field on a day."""
        return _fragments(self, np.array(days - self.birth_days))


def _course(region: Region, age_days: Array) -> tuple[Array, Array, Array]:
    """Growth, remaining share after the decay, and flux."""
    rise = np.clip(age_days / region.rise_days, 0.0, 1.0)
    growth = rise * rise * (3.0 - 2.0 * rise)
    left = np.exp(-np.maximum(age_days - region.rise_days, 0.0) / region.decay_days)
    end = np.clip(region.life_days - age_days, 0.0, 1.0)  # the last day fades out
    return growth, left, growth * left * end


@lru_cache(maxsize=4096)
def _draws(seed: int) -> tuple[Array, Array, Array, Array, Array]:
    """Fixed random layout of a region in units of its separation: x, y, sigma share, flux, is_spot."""
    rng = np.random.default_rng([seed, 1])
    lead, follow = int(rng.integers(8, 16)), int(rng.integers(14, 26))
    centre = np.concatenate([np.full(lead, 0.5), np.full(follow, -0.5)])
    spread = np.concatenate([np.full(lead, 0.13), np.full(follow, 0.21)])
    draw = np.clip(rng.standard_normal((2, lead + follow)), -1.8, 1.8)
    x, y = centre + draw[0] * spread, draw[1] * spread * 1.1
    x[0], y[0] = 0.5, 0.0  # the leading spot
    weight = rng.lognormal(0.0, 0.5, lead + follow)
    weight[0] = 0.0
    spot = rng.uniform(0.2, 0.6)
    weight[:lead] *= (1.0 - spot) / weight[:lead].sum()
    weight[0] = spot
    weight[lead:] /= -weight[lead:].sum()
    sigma = rng.uniform(0.7, 1.3, lead + follow)
    is_spot = np.zeros(lead + follow)
    is_spot[0] = 1.0
    return x, y, sigma, weight, is_spot


def _fragments(region: Region, age_days: Array) -> Fragments:
    """Fragments at an age; an array of ages of shape (k, 1) gives arrays of shape (k, n)."""
    x, y, sigma, weight, is_spot = _draws(region.seed)
    growth, left, flux = _course(region, age_days)
    apart = region.separation_deg * (0.35 + 0.65 * growth) * (1.0 + 0.15 * (1.0 - left))
    loose = (0.7 + 0.3 * growth) * (1.0 + 0.4 * (1.0 - left))
    centre = 0.5 * np.sign(x)
    x, y = apart * (centre + (x - centre) * loose), apart * y * loose
    # Joy's law: the leading, western polarity lies nearer to the equator.
    tilt = -np.sign(region.lat_deg) * np.radians(region.tilt_deg)
    x, y = x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)
    slope = float(drift_deg_day(region.lat_deg + 0.5) - drift_deg_day(region.lat_deg - 0.5))
    x = x + slope * y * np.maximum(age_days, 0.0) * np.cos(np.radians(region.lat_deg))
    size = 0.06 + 0.1 * region.separation_deg
    width = size * sigma * loose
    width = np.where(is_spot > 0, 0.1 + 0.11 * region.separation_deg, width)
    # A spot dissolves twice as fast as the flux around it; flux goes with peak times area.
    share = weight * np.where(is_spot > 0, left, 1.0)
    moment = 7000.0 * region.strength * size**2
    peak = region.leading_sign * flux * moment * share / width**2
    return Fragments(x, y, width, np.clip(peak, -2600.0, 2600.0))


def _rectangle(region: Region) -> tuple[float, float, float, float]:
    """Rectangle around the field of the whole life."""
    f = _fragments(region, np.linspace(0.0, region.life_days, 25)[1:-1, None])
    ratio = np.abs(f.peak_gauss) / _EDGE_GAUSS
    strong = ratio > 1.0
    if not strong.any():
        half = 0.5 * region.separation_deg
        return -half, half, -half, half
    reach = f.sigma_deg[strong] * np.sqrt(2.0 * np.log(ratio[strong]))
    x, y = f.x_deg[strong], f.y_deg[strong]
    stretch = 1.0 / np.cos(np.radians(region.lat_deg))
    west, east = (x - reach).min() * stretch, (x + reach).max() * stretch
    return float(west), float(east), float((y - reach).min()), float((y + reach).max())


class Merge(NamedTuple):
    """On a day, the patch of `absorbed` becomes part of the patch of the older `kept`."""

    days: float
    kept: int
    absorbed: int


class Patch(NamedTuple):
    """A row of the catalogue: an identity and its rectangle in Carrington degrees."""

    id: int
    west: float
    east: float
    south: float
    north: float


def as_datetime(time: Any, name: str = "time") -> datetime:
    """A time as naive UTC `datetime`.

    Raises
    ------
    TypeError, ValueError
        If it is not a time, or carries a time zone.
    """
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            raise ValueError(f"{name} must be ISO 8601 such as '2014-02-01T12:00:00', got {time!r}") from None
    elif isinstance(time, np.datetime64):
        time = time.astype("datetime64[us]").item()
    elif hasattr(time, "to_datetime"):  # astropy.time.Time
        time = time.utc.to_datetime()
    if not isinstance(time, datetime):
        raise TypeError(f"{name} must be a datetime, an ISO string or an astropy Time, got {time!r}")
    if time.tzinfo is not None:
        raise ValueError(f"{name} must be UTC without a time zone, got {time.isoformat()}")
    return time


@dataclass(frozen=True)
class SunModel:
    """A Sun with a history: which regions live when and where.

    Parameters
    ----------
    seed : int
        Decides everything that is random, textures included.
    n_regions : int
        Regions alive at any time, on average, on the whole Sun; about half can
        be seen. 0 is a quiet Sun.
    start : datetime, str or astropy Time
        First moment of the history, UTC.
    days : float
        Length of the history; frames must lie within it.
    merging : float
        Share of regions that are born beside an older one and later merge with
        it, 0 to 1.
    b0_deg : float, optional
        Latitude of disk centre; default what it was on that date from Earth.
    regions : sequence of Region, optional
        Use these instead of drawing them (then `merges` holds their mergers).
    merges : sequence of Merge
    ephemeral : sequence of Region, optional
        Small bipoles that live for days and are too small for the catalogue:
        they are seen but have no box, mask or identity. Default: drawn, some
        five for each region, all over the Sun.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Regions follow Hale's polarity law (even cycle), Joy's law with scatter, the
    differential rotation of Snodgrass and log-normal sizes; they rise in days
    and decay in weeks. Like a definitive HARP, the rectangle of a region holds
    it for the whole of its life and rotates at the rate of its centre.
    """

    seed: int
    n_regions: int = 20
    start: Any = "2014-02-01T00:00:00"
    days: float = 14.0
    merging: float = 0.15
    b0_deg: float | None = None
    regions: tuple[Region, ...] | None = field(default=None, repr=False)
    merges: tuple[Merge, ...] = field(default=(), repr=False)
    ephemeral: tuple[Region, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise ValueError(f"seed must be a non-negative integer, got {self.seed!r}")
        if not 0 <= self.n_regions <= 100:
            raise ValueError(f"n_regions must be 0 to 100, got {self.n_regions!r}")
        if not 0.0 < self.days <= 3660.0:
            raise ValueError(f"days must be positive and at most 3660, got {self.days!r}")
        if not 0.0 <= self.merging <= 1.0:
            raise ValueError(f"merging must be 0 to 1, got {self.merging!r}")
        if self.b0_deg is not None and not -90.0 < self.b0_deg < 90.0:
            raise ValueError(f"b0_deg must be between -90 and 90, got {self.b0_deg!r}")
        object.__setattr__(self, "seed", int(self.seed))
        object.__setattr__(self, "start", as_datetime(self.start, "start"))
        if self.regions is None:
            regions, merges = _history(self)
        else:
            regions, merges = tuple(self.regions), tuple(self.merges)
            known = {r.id for r in regions}
            if len(known) != len(regions):
                raise ValueError("regions must have distinct ids")
            for merge in merges:
                if not {merge.kept, merge.absorbed} <= known:
                    raise ValueError(f"{merge} names a region that is not in regions")
            regions = tuple(
                r if any(r.rectangle_deg) else replace_rectangle(r, _rectangle(r)) for r in regions
            )
        object.__setattr__(self, "regions", regions)
        small = _ephemeral(self) if self.ephemeral is None else tuple(self.ephemeral)
        object.__setattr__(self, "ephemeral", small)
        object.__setattr__(self, "merges", merges)

    def days_at(self, time: Any) -> float:
        """Days since the start.

        Raises
        ------
        ValueError
            If the time lies outside the model's history.
        """
        moment = as_datetime(time)
        days: float = (moment - self.start).total_seconds() / 86400.0
        if not -1e-9 <= days <= self.days + 1e-9:
            end = self.start + timedelta(days=self.days)
            raise ValueError(
                f"time must be from {self.start.isoformat()} to {end.isoformat()}, got {moment.isoformat()}; "
                "give SunModel an earlier start or more days"
            )
        return days

    def alive(self, days: float) -> list[Region]:
        """Regions with and without an entry in the catalogue that exist on a day."""
        assert self.regions is not None and self.ephemeral is not None
        return [r for r in (*self.regions, *self.ephemeral) if r.lives(days)]

    def patches(self, time: Any) -> list[Patch]:
        """Rectangles of the regions that exist at a time, on the whole Sun, by id."""
        days = self.days_at(time)
        assert self.regions is not None
        by_id = {r.id: r for r in self.regions}
        done = [m for m in self.merges if m.days <= days]
        absorbed = {m.absorbed for m in done}
        out = []
        for region in self.regions:
            if region.id in absorbed:
                continue
            parts = [region, *(by_id[m.absorbed] for m in done if m.kept == region.id)]
            if not any(p.lives(days) for p in parts):
                continue
            west, east, south, north = region.rectangle_at(days)
            for m in done:
                if m.kept != region.id:
                    continue
                # The union as it was when they merged, from then on in the older one's frame.
                other = by_id[m.absorbed].rectangle_at(m.days)
                turn = float(wrap(np.array(other[0] - region.lon_at(m.days)))) - (
                    other[0] - region.lon_at(m.days)
                )
                shift = region.lon_at(days) - region.lon_at(m.days) + turn
                west, east = min(west, other[0] + shift), max(east, other[1] + shift)
                south, north = min(south, other[2]), max(north, other[3])
            out.append(Patch(region.id, west, east, south, north))
        return sorted(out)

    def events(self) -> pd.DataFrame:
        """Births, mergers and deaths within the history.

        Returns
        -------
        DataFrame
            Columns ``time``, ``event`` ("birth", "merge" or "death"), ``id`` and
            ``into`` (the id that goes on after a merger, else NA), in order of time.
        """
        assert self.regions is not None
        absorbed = {m.absorbed for m in self.merges}
        last = {r.id: r.death_days for r in self.regions}
        for m in self.merges:
            last[m.kept] = max(last[m.kept], last[m.absorbed])
        rows: list[tuple[float, str, int, int | None]] = []
        rows += [(r.birth_days, "birth", r.id, None) for r in self.regions]
        rows += [(m.days, "merge", m.absorbed, m.kept) for m in self.merges]
        rows += [(last[r.id], "death", r.id, None) for r in self.regions if r.id not in absorbed]
        rows = sorted(r for r in rows if 0.0 <= r[0] <= self.days)
        table = pd.DataFrame(rows, columns=["time", "event", "id", "into"])
        table["time"] = pd.to_datetime([self.start + timedelta(days=r[0]) for r in rows])
        return table.astype({"id": "int64", "into": "Int64"})

    def boxes(self, view: View, time: Any) -> tuple[Array, NDArray[np.int64], list[Patch]]:
        """Boxes of the patches in sight, cut to the image; see `render`."""
        boxes, patches = [], []
        for patch in self.patches(time):
            box = rectangle_box(view, patch.west, patch.east, patch.south, patch.north)
            if box is None:
                continue
            box = np.clip(box, 0.0, view.size)
            if box[2] > box[0] and box[3] > box[1]:
                boxes.append(box)
                patches.append(patch)
        ids = np.array([p.id for p in patches], dtype=np.int64)
        return np.array(boxes, dtype=np.float64).reshape(-1, 4), ids, patches


def replace_rectangle(region: Region, rectangle: tuple[float, float, float, float]) -> Region:
    """The same region with another rectangle."""
    return Region(**{**region.__dict__, "rectangle_deg": rectangle})


def _draw_region(rng: np.random.Generator, model: SunModel, host: Region | None) -> Region:
    size = float(np.clip(rng.lognormal(np.log(4.2), 0.5), 1.0, 8.5))
    life = float(np.clip(rng.lognormal(np.log(6.0 + 1.4 * size), 0.4), 3.0, _LONGEST_LIFE_DAYS))
    rise = float(np.clip(rng.uniform(0.15, 0.35) * life, 0.8, 5.0))
    if host is None:
        birth = float(rng.uniform(-_LONGEST_LIFE_DAYS, model.days))
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
    region = Region(
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
    )
    return replace_rectangle(region, _rectangle(region))


def _ephemeral(model: SunModel) -> tuple[Region, ...]:
    rng = np.random.default_rng([model.seed, 6])
    out = []
    for _ in range(round(5 * model.n_regions * (model.days + 3.0) / 3.0)):
        lat = float(np.clip(rng.normal(0.0, 28.0), -65.0, 65.0))
        life = float(rng.uniform(1.0, 5.0))
        region = Region(
            id=0,
            seed=int(rng.integers(2**31)),
            lat_deg=lat,
            lon_deg=float(rng.uniform(0.0, 360.0)),
            drift_deg_day=float(drift_deg_day(lat)),
            birth_days=float(rng.uniform(-5.0, model.days)),
            rise_days=0.3 * life,
            decay_days=life,
            life_days=life,
            separation_deg=float(rng.uniform(0.5, 1.3)),
            tilt_deg=float(rng.uniform(-90.0, 90.0)),
            leading_sign=int(rng.choice([-1, 1])),
            strength=float(rng.uniform(0.1, 0.5)),
        )
        reach = 1.6 * region.separation_deg
        out.append(replace_rectangle(region, (-reach, reach, -reach, reach)))
    return tuple(r for r in out if r.death_days > 0.0)


def _overlap(a: Region, b: Region) -> bool:
    """Whether two rectangles touch at any time that both live."""
    first, last = max(a.birth_days, b.birth_days), min(a.death_days, b.death_days)
    if first >= last:
        return False
    for day in (first, last):
        p, q = a.rectangle_at(day), b.rectangle_at(day)
        gap = abs(float(wrap(np.array(0.5 * (p[0] + p[1] - q[0] - q[1])))))
        if gap < 0.5 * (p[1] - p[0] + q[1] - q[0]) and p[2] < q[3] and q[2] < p[3]:
            return True
    return False


def _history(model: SunModel) -> tuple[tuple[Region, ...], tuple[Merge, ...]]:
    rng = np.random.default_rng([model.seed, 3])
    count = round(model.n_regions * (model.days + _LONGEST_LIFE_DAYS) / _MEAN_LIFE_DAYS)
    drawn: list[Region] = []
    pairs: list[tuple[int, int, float]] = []
    taken: set[int] = set()
    while len(drawn) < count:
        free = [i for i, r in enumerate(drawn) if i not in taken and r.life_days > 5.0]
        host = int(rng.choice(free)) if free and rng.random() < model.merging else None
        for _ in range(20):  # a crowded Sun may have to accept an overlap
            region = _draw_region(rng, model, None if host is None else drawn[host])
            if not any(_overlap(region, other) for other in drawn):
                break
        if host is not None:
            taken |= {host, len(drawn)}
            delay = float(rng.uniform(0.5, 2.0))
            meet = region.birth_days + delay
            if meet < min(region.death_days, drawn[host].death_days):
                pairs.append((host, len(drawn), meet))
        drawn.append(region)
    kept = sorted(
        (i for i, r in enumerate(drawn) if r.death_days > 0.0 and r.birth_days <= model.days),
        key=lambda i: drawn[i].birth_days,
    )
    number = {i: n + 1 for n, i in enumerate(kept)}
    regions = tuple(Region(**{**drawn[i].__dict__, "id": number[i]}) for i in kept)
    merges = tuple(
        Merge(meet, number[a], number[b])
        for a, b, meet in sorted(pairs, key=lambda p: p[2])
        if a in number and b in number and meet <= model.days
    )
    return regions, merges
