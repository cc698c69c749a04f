"""Loops and fans: field lines of magnetic charges below the surface, drawn as thin glowing threads."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack.simulate._sphere import View, unit_vectors
from solartrack.simulate.regions import Region

Float32 = NDArray[np.float32]

_STEPS = 64
_CHARGES = 4  # per polarity of a region, 1 in the smallest
_OPEN_FIELD = 0.02  # radial field that opens the longest lines, in units of a strong region's charge
_FLICKER_DAYS = 0.1  # time scale of single threads; bundles last eight times longer


class Threads(NamedTuple):
    """Field lines: points of shape (steps + 1, n, 3) in solar radii, glow of shape (steps + 1, n)."""

    points: Float32
    glow: Float32


def _charges(regions: list[Region], days: float) -> tuple[Float32, Float32]:
    """Positions (n, 3) and strengths (n,) of the charges that represent the regions' flux."""
    lon, lat, depth, strength = [], [], [], []
    for region in regions:
        f = region.fragments(days)
        flux = f.peak_gauss * f.sigma_deg**2
        groups = 1 if _is_small(region) else _CHARGES
        for sign in (1.0, -1.0):
            chosen = np.flatnonzero(flux * sign > 0)
            # Sorted by latitude, so that each group is compact.
            for group in np.array_split(chosen[np.argsort(f.y_deg[chosen])], groups):
                if len(group) == 0:
                    continue
                weight = flux[group]
                x, y = np.average(f.x_deg[group], weights=weight), np.average(f.y_deg[group], weights=weight)
                lat.append(region.lat_deg + y)
                lon.append(region.lon_at(days) + x / np.cos(np.radians(region.lat_deg)))
                depth.append(1.0 - np.radians(0.18 * region.separation_deg + 0.3))
                strength.append(weight.sum())
    if not lon:
        return np.zeros((0, 3), np.float32), np.zeros(0, np.float32)
    at = unit_vectors(np.array(lon), np.array(lat)) * np.array(depth)[:, None]
    return at.astype(np.float32), (np.array(strength) * 1.8e-3).astype(np.float32)


def _normal(seed: list[int], shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(shape)


def _seeds(region: Region, days: float, detail: float) -> tuple[Float32, Float32, Float32]:
    """Foot points (n, 3), direction of the field (n,) and brightness (n,) of a region's threads."""
    f = region.fragments(days)
    flux = np.abs(f.peak_gauss) * f.sigma_deg**2
    n = int(detail * 110 * region.separation_deg * min(1.0, region.separation_deg / 2)) + 10
    rng = np.random.default_rng([region.seed, 2])
    # Drawn from the region's seed, so that a thread keeps its foot point from frame to frame. Foot points
    # cluster in bundles, most of them at the outer edge, where the fans are.
    share = 0.3 + np.hypot(f.x_deg, f.y_deg) / region.separation_deg
    share[0] = 0.3 * share.sum()
    bundles = 3 * len(flux)
    owner = rng.choice(len(flux), bundles, p=share / share.sum())
    offset = rng.standard_normal((2, bundles)) * 1.1
    member = rng.integers(0, bundles, n)
    spread = offset[:, member] + 0.4 * rng.standard_normal((2, n))
    # The brightness of bundles and of their threads fluctuates.
    knot = int(np.floor(days / _FLICKER_DAYS))
    late = days / _FLICKER_DAYS - knot
    log = np.zeros(n)
    for k, w in ((knot, np.cos(0.5 * np.pi * late)), (knot + 1, np.sin(0.5 * np.pi * late))):
        log += w * 0.6 * _normal([region.seed, 4, k + 2**20], n)
    slow = days / (8 * _FLICKER_DAYS)
    knot = int(np.floor(slow))
    late = slow - knot
    for k, w in ((knot, np.cos(0.5 * np.pi * late)), (knot + 1, np.sin(0.5 * np.pi * late))):
        log += w * 1.1 * _normal([region.seed, 5, k + 2**20], bundles)[member]
    chosen = owner[member]
    x = f.x_deg[chosen] + f.sigma_deg[chosen] * spread[0]
    y = f.y_deg[chosen] + f.sigma_deg[chosen] * spread[1]
    lon = region.lon_at(days) + x / np.cos(np.radians(region.lat_deg))
    feet = unit_vectors(lon, region.lat_deg + y) * 1.0015
    level = np.sqrt(region.flux(days) * region.strength)
    bright = level * np.exp(log) / detail
    shine = log > -1.0  # the others are too faint to be seen
    feet, chosen, bright = feet[shine], chosen[shine], bright[shine]
    return (
        feet.astype(np.float32),
        np.sign(f.peak_gauss[chosen]).astype(np.float32),
        bright.astype(np.float32),
    )


def _is_small(region: Region) -> bool:
    return region.separation_deg < 1.5


def _follow(
    p: Float32, sign: Float32, at: Float32, strength: Float32
) -> tuple[Float32, Float32, NDArray[np.bool_]]:
    """Points (steps + 1, n, 3) and lengths (steps + 1, n) along field lines, and which lines are closed."""
    points = np.empty((_STEPS + 1, len(p), 3), np.float32)
    length = np.zeros((_STEPS + 1, len(p)), np.float32)
    points[0] = p
    at2 = np.einsum("ij,ij->i", at, at)
    at_one = np.column_stack([at, np.ones(len(at), np.float32)])
    going = np.arange(len(p))  # lines that have not returned to the surface
    for step in range(1, _STEPS + 1):
        r2 = np.einsum("ij,ij->i", p, p)
        # |p - c|^2 by one matrix product instead of an (n, charges, 3) array.
        gap = p @ (-2 * at.T)
        gap += at2
        gap += r2[:, None]
        np.maximum(gap, np.float32(1e-5), out=gap)
        pull = np.sqrt(gap)
        pull *= gap
        np.divide(strength, pull, out=pull)
        sums = pull @ at_one
        b = p * sums[:, 3:] - sums[:, :3]
        b *= sign[:, None]
        # The background field is open: it points outwards in either direction along the line.
        radius = np.sqrt(r2)
        b += p * (np.float32(_OPEN_FIELD) / (r2 * radius))[:, None]
        ds = np.clip(np.float32(0.11) * radius - np.float32(0.1065), np.float32(0.0035), np.float32(0.03))
        p = p + b * (ds / (np.linalg.norm(b, axis=1) + np.float32(1e-20)))[:, None]
        points[step], length[step] = points[step - 1], length[step - 1]
        points[step, going] = p
        length[step, going] += ds
        up = np.einsum("ij,ij->i", p, p) > 1.0
        going, p, sign = going[up], p[up], sign[up]
    closed = np.ones(points.shape[1], bool)
    closed[going] = False
    return points, length, closed


def trace(
    regions: list[Region], days: float, *, scale_height: float, hot: float, detail: float = 1.0
) -> Threads | None:
    """Field lines of the regions and the emission of each point.

    Parameters
    ----------
    regions : list of Region
    days : float
    scale_height : float
        Scale height of the emission, solar radii.
    hot : float
        Brightness of the low loops in a region's core relative to the high ones.
    detail : float
        Factor on the number of threads.
    """
    regions = [r for r in regions if r.flux(days) > 0.01]
    if not regions:
        return None
    large = [r for r in regions if not _is_small(r)]
    small = [r for r in regions if _is_small(r)]
    # The small regions' effect on the large ones is invisible, and ignoring it halves the work.
    groups = [(large, large), (small, regions)]
    lines = []
    for group, sources in groups:
        if group:
            feet, sign, bright = map(
                np.concatenate, zip(*(_seeds(r, days, detail) for r in group), strict=True)
            )
            lines.append((*_follow(feet, sign, *_charges(sources, days)), bright))
    points, length = (np.concatenate([line[k] for line in lines], axis=1) for k in (0, 1))
    closed, bright = (np.concatenate([line[k] for line in lines]) for k in (2, 3))
    height = np.linalg.norm(points, axis=2) - 1
    apex = height.max(axis=0)
    # Low loops are too hot for this passband; of long ones only the lower legs are visible (fans).
    low = 1 / (1 + (apex / np.float32(0.035)) ** 3)
    factor = np.where(closed, hot * low + (1 - low), 1.0)
    glow = np.exp(-np.maximum(height, 0) / np.float32(scale_height))
    fan = np.exp(-length / np.float32(4 * scale_height))
    glow *= np.where(apex > 0.12, 1.8 * fan, 0.35 + 0.65 * fan)
    glow *= (bright * factor).astype(np.float32)
    glow[1:] *= np.diff(length, axis=0) > 0
    return Threads(points, glow)


def draw(threads: Threads, view: View) -> Float32:
    """Threads as an image, shape (size, size): line-of-sight sum per pixel.

    A thread of unit glow and one solar radius seen at right angles over one
    pixel gives the number of pixels in a radius, times its width of a
    thousandth of a radius, whatever the scale of the image.
    """
    n, steps = view.size, threads.points.shape[0]
    flat = threads.points.reshape(-1, 3)
    x, y, visible = view.project(flat)
    x, y = x.reshape(steps, -1), y.reshape(steps, -1)
    shown = visible.reshape(steps, -1)
    shown = shown[1:] & shown[:-1] & (threads.glow[1:] > 1e-3)
    for q in (x, y):  # in a magnified view most of them lie outside the image
        shown &= (np.maximum(q[1:], q[:-1]) > 0) & (np.minimum(q[1:], q[:-1]) < n)
    k, j = np.nonzero(shown)
    if len(k) == 0:
        return np.zeros((n, n), np.float32)
    x0, y0, dx, dy = x[k, j], y[k, j], x[k + 1, j] - x[k, j], y[k + 1, j] - y[k, j]
    space = np.linalg.norm(threads.points[k + 1, j] - threads.points[k, j], axis=1)
    parts = np.ceil(np.hypot(dx, dy) / 1.2).astype(np.intp)
    parts = np.maximum(parts, 1)
    g0, g1 = threads.glow[k, j].astype(float), threads.glow[k + 1, j].astype(float)
    weight = space * view.radius**2 * 1e-3 / parts
    segment = np.repeat(np.arange(len(k)), parts)
    first = np.cumsum(parts) - parts
    f = (np.arange(len(segment)) - first[segment] + 0.5) / parts[segment]
    px = x0[segment] + f * dx[segment] - 0.5
    py = y0[segment] + f * dy[segment] - 0.5
    w = weight[segment] * (g0[segment] + f * (g1 - g0)[segment])
    inside = (px >= 0) & (px < n - 1) & (py >= 0) & (py < n - 1)
    px, py, w = px[inside], py[inside], w[inside]
    col, row = px.astype(np.intp), py.astype(np.intp)
    fx, fy = px - col, py - row
    at = row * n + col
    every = np.concatenate([at, at + 1, at + n, at + n + 1])
    share = np.concatenate([(1 - fx) * (1 - fy) * w, fx * (1 - fy) * w, (1 - fx) * fy * w, fx * fy * w])
    return np.bincount(every, weights=share, minlength=n * n).astype(np.float32).reshape(n, n)
