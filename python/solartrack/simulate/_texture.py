"""Random textures of the quiet Sun on a longitude-latitude grid, and their slow change.

The textures are made once per process and shared. A model's seed decides how they are turned and blended, so
that an image depends only on its seed and time, never on images rendered before.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack.simulate._sphere import drift_deg_day

Map = NDArray[np.float32]

ROWS, COLUMNS = 1024, 2048


def axes(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes of the rows and longitudes of the columns of a map, degrees."""
    rows, columns = shape
    return (np.arange(rows) + 0.5) * 180.0 / rows - 90.0, np.arange(columns) * 360.0 / columns


def sample(grid: Map, lon_deg: NDArray[np.floating], lat_deg: NDArray[np.floating]) -> Map:
    """Bilinear values of a map whose columns are longitudes (periodic) and rows latitudes."""
    rows, columns = grid.shape
    x = np.asarray(lon_deg, np.float32) * np.float32(columns / 360.0)
    y = np.clip((np.asarray(lat_deg, np.float32) + 90.0) * np.float32(rows / 180.0) - 0.5, 0, rows - 1.001)
    left = np.floor(x)
    fx = x - left
    low = y.astype(np.int32)
    fy = y - low
    a = left.astype(np.int32) & (columns - 1)  # columns are a power of two
    b = (a + 1) & (columns - 1)
    flat = grid.ravel()
    low *= columns
    below = flat[low + a] * (1 - fx) + flat[low + b] * fx
    low += columns
    above = flat[low + a] * (1 - fx) + flat[low + b] * fx
    return np.asarray(below + (above - below) * fy, dtype=np.float32)


def _standard(field: NDArray[np.floating]) -> Map:
    field = field - field.mean()
    return np.asarray(field / field.std(), dtype=np.float32)


def _noise(rng: np.random.Generator, n: int, inner: float, outer: float, slope: float) -> Map:
    """Periodic (n, n) noise: amplitude ``k**-slope`` between two scales in pixels."""
    k2 = np.add.outer(np.fft.fftfreq(n) ** 2, np.fft.rfftfreq(n) ** 2).astype(np.float32)
    amplitude = np.exp(-0.5 * slope * np.log(k2 + np.float32(outer**-2)) - k2 * np.float32(inner**2))
    amplitude[0, 0] = 0.0
    # White noise has a white spectrum; drawing that directly saves one transform.
    wave = rng.standard_normal((2, *k2.shape), dtype=np.float32)
    return _standard(np.fft.irfft2((wave[0] + 1j * wave[1]) * amplitude, s=(n, n)))


def _along(field: Map, vx: Map, vy: Map, steps: int) -> Map:
    """Mean along the stream lines of a vector field; this makes fibrils."""
    n = len(field)
    total = field.copy()
    for sign in (-1.0, 1.0):
        y, x = np.indices(field.shape, dtype=np.float32)
        for _ in range(steps):
            at = (y.astype(np.int32) % n) * n + x.astype(np.int32) % n
            x += sign * vx.ravel()[at]
            y += sign * vy.ravel()[at]
            total += field.ravel()[(y.astype(np.int32) % n) * n + x.astype(np.int32) % n]
    return total


def _on_sphere(tile: Map, rng: np.random.Generator) -> Map:
    """Wrap a periodic tile around the sphere; the poles get caps of their own, so that it is not pinched."""
    n = len(tile)
    around = np.tile(tile, (1, 2))
    lat = (np.arange(ROWS) + 0.5) * 180.0 / ROWS - 90.0
    cap_rows = np.flatnonzero(np.abs(lat) > 42.0)
    lon = np.radians((np.arange(COLUMNS) + 0.5) * 360.0 / COLUMNS)
    reach = (90.0 - np.abs(lat[cap_rows])) * ROWS / 180.0
    shift = rng.integers(0, n, 2)
    x = reach[:, None] * np.cos(lon) + shift[0] + 1000.0 * (lat[cap_rows] > 0)[:, None]
    y = reach[:, None] * np.sin(lon) + shift[1]
    x, y = x % n, y % n
    x0, y0 = x.astype(np.int32), y.astype(np.int32)
    fx, fy = x - x0, y - y0
    x1, y1 = (x0 + 1) % n, (y0 + 1) % n
    cap = (tile[y0, x0] * (1 - fx) + tile[y0, x1] * fx) * (1 - fy)
    cap += (tile[y1, x0] * (1 - fx) + tile[y1, x1] * fx) * fy
    weight = np.clip((np.abs(lat[cap_rows]) - 42.0) / 12.0, 0.0, 1.0)[:, None]
    # The fields are independent, so the squares of the weights must add up to one.
    around[cap_rows] = around[cap_rows] * np.sqrt(1 - weight) + cap * np.sqrt(weight)
    return np.ascontiguousarray(around, dtype=np.float32)


class Maps(NamedTuple):
    """One realisation of the textures, each of unit variance and zero mean."""

    fine: Map  # mottles and fibrils
    coarse: Map  # large-scale brightness, a quarter of the resolution
    channel: Map  # its zero lines are filament channels, a quarter of the resolution
    field: Map  # signed network field


@cache
def realisation(which: int) -> Maps:
    """The shared textures; `which` is 0 or 1."""
    rng = np.random.default_rng([171, which])
    n = 1024
    stream = _noise(rng, n, 8.0, 40.0, 2.0)
    vy, vx = np.gradient(stream)
    speed = np.hypot(vx, vy) + 1e-6
    grain = _noise(rng, n, 0.8, 12.0, 0.5)
    fibril = _standard(_along(grain, -vy / speed, vx / speed, 3))
    mottle = _noise(rng, n, 1.0, 22.0, 1.6)
    patch = _noise(rng, n, 4.0, 80.0, 1.6)
    speckle = np.maximum(_noise(rng, n, 1.3, 6.0, 0.4) - 0.8, 0.0)
    fine = 0.6 * mottle + 0.45 * fibril * np.exp(0.2 * patch) + 0.55 * patch
    fine += 0.5 * speckle * np.exp(0.5 * patch) - 0.5 * np.maximum(fibril - 1.0, 0.0)
    fine = _standard(np.clip(_standard(fine), -3.0, 3.2))
    # Network: flux at the borders of cells about 30 Mm (14 map pixels) wide.
    cells = _noise(rng, n, 9.0, 22.0, 1.0)
    sign = _noise(rng, n, 4.0, 60.0, 1.3)
    lanes = np.exp(-((cells / 0.25) ** 2)) * np.maximum(_noise(rng, n, 1.6, 8.0, 0.5), 0.0) ** 2
    field = lanes * np.tanh(3.0 * (sign + 0.4 * _noise(rng, n, 4.0, 10.0, 0.5)))
    small = slice(None, None, 4)
    coarse = _noise(rng, n, 30.0, 170.0, 2.2)
    channel = _noise(rng, n, 36.0, 150.0, 2.4)
    wrapped = [_on_sphere(t, rng) for t in (fine, coarse, channel, field / field.std())]
    wrapped[1:3] = [np.ascontiguousarray(m[small, small]) for m in wrapped[1:3]]
    return Maps(*wrapped)


class Blend(NamedTuple):
    """One of the two realisations that are blended: which, and its turn, weight and age."""

    which: int
    turn_deg: float
    weight: float
    age_days: float


def blends(seed: int, days: float, life_days: float) -> tuple[Blend, Blend]:
    """The two realisations that overlap at a time.

    Each exists for two `life_days` and is undistorted in the middle of this time. Before and after it moves
    with the plasma, so that differential rotation shears it for one `life_days` at most.
    """
    knot = int(np.floor(days / life_days))
    out = []
    for k in (knot, knot + 1):
        turn = np.random.default_rng([seed, 7, k + 2**20, int(life_days * 1000)]).uniform(0.0, 360.0)
        age = days - k * life_days
        out.append(Blend(k % 2, turn, float(np.cos(0.5 * np.pi * abs(age) / life_days)), age))
    return out[0], out[1]


def rotating(
    name: str,
    seed: int,
    days: float,
    life_days: float,
    lon_deg: NDArray[np.floating],
    lat_deg: NDArray[np.floating],
) -> Map:
    """A field of unit variance at places on the Sun, carried by differential rotation."""
    drift = drift_deg_day(np.linspace(-90.0, 90.0, 181)).astype(np.float32)
    at = np.clip(lat_deg + 90.0, 0.0, 179.999)
    low = at.astype(np.int32)
    speed = drift[low] + (drift[low + 1] - drift[low]) * (at - low)
    total: Map | None = None
    for blend in blends(seed, days, life_days):
        if blend.weight < 1e-6:
            continue
        grid = getattr(realisation(blend.which), name)
        part = sample(
            grid, lon_deg - speed * np.float32(blend.age_days) + np.float32(blend.turn_deg), lat_deg
        )
        part *= np.float32(blend.weight)
        total = part if total is None else total + part
    assert total is not None
    return total
