"""One active region: its magnetic field from birth to death."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack.simulate._sphere import drift_deg_day

__all__ = ["Fragments", "Region"]

Array = NDArray[np.float64]

# The weakest field that a region's rectangles enclose.
_EDGE_GAUSS = 30.0


class Fragments(NamedTuple):
    """Flux concentrations of a region: Gaussian spots of radial field, arrays of shape (n,).

    Offsets from the region's centre are in degrees of arc on the surface, positive to the west and to the
    north.

    Examples
    --------
    >>> from solartrack import simulate
    >>> region = simulate.SunModel(1).regions[0]
    >>> fragments = region.fragments(region.birth_days + region.rise_days)
    >>> bool((fragments.peak_gauss > 0).any() and (fragments.peak_gauss < 0).any())  # both polarities
    True
    """

    x_deg: Array
    y_deg: Array
    sigma_deg: Array
    peak_gauss: Array


@dataclass(frozen=True)
class Region:
    """A bipolar active region.

    Times are days since the start of the model. ``lon_deg`` is the Carrington longitude of the centre at
    birth; it drifts by ``drift_deg_day``. ``rectangle_deg`` (west, east, south and north, degrees of
    longitude and latitude from the centre) never changes.

    Examples
    --------
    >>> from solartrack import simulate
    >>> region = simulate.SunModel(1).regions[0]
    >>> region.lives(region.birth_days), region.lives(region.death_days)
    (True, False)
    >>> round(region.flux(region.birth_days + region.rise_days), 3)  # when it is largest
    1.0
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
        return self._around_centre(self.rectangle_deg, days)

    def field_rectangle_at(self, days: float) -> tuple[float, float, float, float] | None:
        """Like `rectangle_at`, but around the field of that day only; None if it is weak everywhere."""
        found = _enclosing(self.fragments(days), self.lat_deg) if self.lives(days) else None
        return None if found is None else self._around_centre(found, days)

    def with_rectangle(self) -> Region:
        """The same region with the rectangle that holds the field of its whole life."""
        every = _fragments(self, np.linspace(0.0, self.life_days, 25)[1:-1, None])
        half = 0.5 * self.separation_deg
        return replace(self, rectangle_deg=_enclosing(every, self.lat_deg) or (-half, half, -half, half))

    def _around_centre(
        self, rectangle_deg: tuple[float, float, float, float], days: float
    ) -> tuple[float, float, float, float]:
        west, east, south, north = rectangle_deg
        lon = self.lon_at(days)
        return lon + west, lon + east, self.lat_deg + south, self.lat_deg + north

    def flux(self, days: float) -> float:
        """Flux relative to the largest of its life, 0 to 1."""
        return float(_course(self, np.array(days - self.birth_days))[2])

    def fragments(self, days: float) -> Fragments:
        """The magnetic field on a day."""
        return _fragments(self, np.array(days - self.birth_days))


def _course(region: Region, age_days: Array) -> tuple[Array, Array, Array]:
    """Growth, the share that is left by the decay, and flux."""
    rise = np.clip(age_days / region.rise_days, 0.0, 1.0)
    growth = rise * rise * (3.0 - 2.0 * rise)
    left = np.exp(-np.maximum(age_days - region.rise_days, 0.0) / region.decay_days)
    end = np.clip(region.life_days - age_days, 0.0, 1.0)  # the last day fades out
    return growth, left, growth * left * end


@lru_cache(maxsize=4096)
def _draws(seed: int) -> tuple[Array, Array, Array, Array, Array]:
    """Random layout of a region in units of its separation: x, y, relative sigma, flux, is_spot."""
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
    """Fragments at an age; ages of shape (k, 1) give arrays of shape (k, n)."""
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
    # A spot dissolves twice as fast as the flux around it. Flux is proportional to peak times area.
    share = weight * np.where(is_spot > 0, left, 1.0)
    moment = 7000.0 * region.strength * size**2
    peak = region.leading_sign * flux * moment * share / width**2
    return Fragments(x, y, width, np.clip(peak, -2600.0, 2600.0))


def _enclosing(field: Fragments, lat_deg: float) -> tuple[float, float, float, float] | None:
    """West, east, south and north, from the centre, of the field above `_EDGE_GAUSS`, if there is any."""
    ratio = np.abs(field.peak_gauss) / _EDGE_GAUSS
    strong = ratio > 1.0
    if not strong.any():
        return None
    reach = field.sigma_deg[strong] * np.sqrt(2.0 * np.log(ratio[strong]))
    x, y = field.x_deg[strong], field.y_deg[strong]
    stretch = 1.0 / np.cos(np.radians(lat_deg))
    west, east = (x - reach).min() * stretch, (x + reach).max() * stretch
    return float(west), float(east), float((y - reach).min()), float((y + reach).max())
