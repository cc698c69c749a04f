"""Coronal holes of the simulated Sun: which ones exist when, where, and how far each reaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack.coordinates import EARTH_DEG_DAY, rotation_rate
from solartrack.simulate import _texture
from solartrack.simulate._sphere import CARRINGTON_DEG_DAY, wrap

__all__ = ["Hole", "Split", "draw_holes"]

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

# Rows and columns of the maps of holes.
SHAPE = (256, 512)
_LONGEST_LIFE_DAYS = 60.0
_MEAN_LIFE_DAYS = 17.0
_POLE_DEG = 19.0  # mean radius of a polar hole
_WAIST = 0.55  # half-width of the bridge to a part that is going to split off, of the part's radius


class Split(NamedTuple):
    """On a day, `new` parts from `kept`, whose outline and box it belonged to before.

    Examples
    --------
    >>> from solartrack import simulate
    >>> split = simulate.SunModel(1, days=60, n_regions=0, n_holes=8, splitting=1.0).splits[0]
    >>> split.kept, split.new
    (3, 4)
    """

    days: float
    kept: int
    new: int


@dataclass(frozen=True)
class Hole:
    """A coronal hole.

    Times are days since the start of the model. ``lon_deg`` is the Carrington longitude of the centre at
    birth; it drifts by ``drift_deg_day``. ``radius_deg`` is that of the grown hole, about which the outline
    wanders by a third. A hole at a pole has the latitude 90 or -90.

    Examples
    --------
    >>> from solartrack import simulate
    >>> hole = simulate.Hole(1, 7, 30.0, 100.0, 0.0, 2.0, 3.0, 3.0, 20.0, radius_deg=15.0)
    >>> hole.death_days, hole.lives(1.0), hole.size(10.0)
    (22.0, False, 1.0)
    >>> simulate.SunModel(1, days=5, n_regions=0, holes=[hole]).hole_events()["id"].tolist()
    [1]
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
    radius_deg: float

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

    def size(self, days: float) -> float:
        """Radius relative to that of the grown hole, 0 to 1."""
        age = days - self.birth_days
        if not 0.0 <= age < self.life_days:
            return 0.0
        rise = min(age / self.rise_days, 1.0)
        left = min((self.life_days - age) / self.decay_days, 1.0)
        return float(np.sqrt(rise * left))

    def inside(self, days: float, breathing: float = 1.0) -> Float32:
        """How far each place lies inside the outline, about degrees, negative outside.

        Parameters
        ----------
        days : float
        breathing : float
            Factor on the fast changes of the outline.

        Returns
        -------
        ndarray of float32, shape (256, 512)
            On a grid of latitudes and Carrington longitudes, see `solartrack.simulate._texture.axes`.
        """
        lat, lon = _texture.axes(SHAPE)
        reach = self.radius_deg * self.size(days)
        out = np.full(SHAPE, -90.0, np.float32)
        # The outline wanders by at most half a radius.
        rows = np.flatnonzero(np.abs(lat - self.lat_deg) < 2.0 * reach + 3.0)
        if reach == 0.0 or len(rows) == 0:
            return out
        dlon = wrap(lon - self.lon_at(days))
        away, angle = _polar(lat[rows, None], dlon, self.lat_deg)
        rng = np.random.default_rng([self.seed, 30])
        shape: Array = np.zeros_like(away)
        for order, strength in ((1, 0.12), (2, 0.28), (3, 0.16), (4, 0.08)):
            shape += (
                strength * rng.uniform(0.3, 1.0) * np.cos(order * (angle - rng.uniform(0.0, 2.0 * np.pi)))
            )
        near = away < 2.0 * reach + 3.0
        at_lon = np.broadcast_to(dlon, away.shape)[near]
        at_lat = np.broadcast_to(lat[rows, None], away.shape)[near]
        slow = _texture.rotating("coarse", self.seed, days + 100.0, 5.0, at_lon, at_lat)
        fast = _texture.rotating("fine", self.seed + 1, days + 100.0, 0.5, at_lon, at_lat)
        depth = reach * (1.0 + np.clip(shape[near], -0.5, 0.5) + 0.12 * slow) - away[near]
        depth += np.float32(0.25 * breathing) * np.clip(fast, -2.5, 2.5)
        part = np.full(away.shape, -90.0, np.float32)
        part[near] = depth
        out[rows] = part
        return out


def _polar(lat: NDArray[np.floating], dlon: NDArray[np.floating], centre_lat: float) -> tuple[Array, Array]:
    """Angular distance in degrees from a centre, and direction in radians, of places on the sphere."""
    b, c, d = np.radians(lat), np.radians(centre_lat), np.radians(dlon)
    north = np.sin(b) * np.cos(c) - np.cos(b) * np.sin(c) * np.cos(d)
    west = np.cos(b) * np.sin(d)
    ahead = np.sin(b) * np.sin(c) + np.cos(b) * np.cos(c) * np.cos(d)
    return np.degrees(np.arctan2(np.hypot(west, north), ahead)), np.arctan2(north, west)


def bridge(kept: Hole, new: Hole, split_days: float, days: float) -> Float32:
    """Like `Hole.inside`, for the bridge that joins a part to the hole which it is going to leave."""
    out = np.full(SHAPE, -90.0, np.float32)
    if days >= split_days or not (kept.lives(days) and new.lives(days)):
        return out
    lat, lon = _texture.axes(SHAPE)
    ends = [(float(wrap(np.array(h.lon_at(days) - kept.lon_at(days)))), h.lat_deg) for h in (kept, new)]
    stretch = np.cos(np.radians(kept.lat_deg))
    x, y = wrap(lon - kept.lon_at(days)) * stretch, lat[:, None] - kept.lat_deg
    dx, dy = ends[1][0] * stretch, ends[1][1] - ends[0][1]
    along = np.clip((x * dx + y * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    width = _WAIST * new.radius_deg * new.size(days) * min((split_days - days) / 2.0, 1.0)
    out[:] = width - np.hypot(x - along * dx, y - along * dy)
    return out


def draw_holes(
    seed: int, n_holes: int, days: float, splitting: float
) -> tuple[tuple[Hole, ...], tuple[Split, ...]]:
    """Holes and their splits, in order of birth; the parameters are those of `SunModel`.

    Two of them are the polar ones, which exist all the time.
    """
    if n_holes == 0:
        return (), ()
    rng = np.random.default_rng([seed, 31])
    drawn = [_draw_polar(rng, sign, days) for sign in (1.0, -1.0)]
    pairs: list[tuple[int, int, float]] = []
    for _ in range(round(max(n_holes - 2, 0) * (days + _LONGEST_LIFE_DAYS) / _MEAN_LIFE_DAYS)):
        for _ in range(20):  # on a crowded Sun an overlap may have to be accepted
            hole = _draw_hole(rng, days)
            if not _touches(hole, drawn):
                break
        drawn.append(hole)
        if rng.random() < splitting and hole.radius_deg > 5.0:
            part, when = _draw_part(rng, hole)
            if not _touches(part, drawn[:-1]):
                pairs.append((len(drawn) - 1, len(drawn), when))
                drawn.append(part)
    kept = [i for i, h in enumerate(drawn) if h.death_days > 0.0 and h.birth_days <= days]
    kept.sort(key=lambda i: drawn[i].birth_days)
    number = {i: n + 1 for n, i in enumerate(kept)}
    holes = tuple(_numbered(drawn[i], number[i]) for i in kept)
    splits = [Split(when, number[a], number[b]) for a, b, when in pairs if a in number and b in number]
    return holes, tuple(sorted(splits))


def _numbered(hole: Hole, number: int) -> Hole:
    return Hole(**{**vars(hole), "id": number})


def _draw_polar(rng: np.random.Generator, sign: float, days: float) -> Hole:
    drift = float(_drift_deg_day(70.0))
    seed, lon = int(rng.integers(2**31)), float(rng.uniform(0.0, 360.0))
    radius = _POLE_DEG * float(rng.uniform(0.75, 1.25))
    long = days + 400.0
    return Hole(0, seed, 90.0 * sign, lon, drift, -200.0, 1.0, 1.0, long, radius)


def _draw_hole(rng: np.random.Generator, days: float) -> Hole:
    radius = float(np.clip(rng.lognormal(np.log(6.5), 0.45), 2.5, 15.0))
    life = float(np.clip(rng.lognormal(np.log(4.0 + 1.6 * radius), 0.5), 3.0, _LONGEST_LIFE_DAYS))
    lat = float(np.clip(rng.normal(0.0, 26.0), -55.0, 55.0))
    return Hole(
        id=0,
        seed=int(rng.integers(2**31)),
        lat_deg=lat,
        lon_deg=float(rng.uniform(0.0, 360.0)),
        drift_deg_day=float(_drift_deg_day(lat)),
        birth_days=float(rng.uniform(-_LONGEST_LIFE_DAYS, days)),
        rise_days=float(rng.uniform(0.2, 0.4)) * life,
        decay_days=float(rng.uniform(0.3, 0.6)) * life,
        life_days=life,
        radius_deg=radius,
    )


def _draw_part(rng: np.random.Generator, whole: Hole) -> tuple[Hole, float]:
    """A part that is going to leave a hole, and when."""
    radius = whole.radius_deg * float(rng.uniform(0.45, 0.85))
    angle, away = float(rng.uniform(-0.7, 0.7)), 1.35 * (whole.radius_deg + radius)
    side = float(rng.choice([-1.0, 1.0]))
    lat = float(np.clip(whole.lat_deg + side * away * np.sin(angle), -60.0, 60.0))
    lon = whole.lon_deg + side * away * np.cos(angle) / np.cos(np.radians(whole.lat_deg))
    life = whole.life_days * float(rng.uniform(0.8, 1.1))
    part = Hole(
        **{
            **vars(whole),
            "seed": int(rng.integers(2**31)),
            "lat_deg": lat,
            "lon_deg": float(lon),
            "life_days": life,
            "radius_deg": radius,
        }
    )
    return part, whole.birth_days + float(rng.uniform(0.35, 0.75)) * min(life, whole.life_days)


def _drift_deg_day(lat_deg: float) -> Array:
    """Change of Carrington longitude, degrees a day."""
    return rotation_rate(lat_deg, "coronal holes") + EARTH_DEG_DAY - CARRINGTON_DEG_DAY


def _touches(hole: Hole, others: Sequence[Hole]) -> bool:
    """Whether a hole would meet one of the others while both exist."""
    for other in others:
        first, last = max(hole.birth_days, other.birth_days), min(hole.death_days, other.death_days)
        if first >= last:
            continue
        for day in (first, last):
            dlon = np.array(hole.lon_at(day) - other.lon_at(day))
            away, _ = _polar(np.array(hole.lat_deg), dlon, other.lat_deg)
            if float(away) < 1.35 * (hole.radius_deg + other.radius_deg):
                return True
    return False
