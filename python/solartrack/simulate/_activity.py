"""How far active regions are felt around them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from solartrack.simulate import _texture
from solartrack.simulate._sphere import wrap
from solartrack.simulate.regions import Region

__all__ = ["activity"]

Float32 = NDArray[np.float32]


def activity(regions: Sequence[Region], days: float, reach_deg: float, shape: tuple[int, int]) -> Float32:
    """Influence of near and strong regions on a longitude-latitude grid; about 1 inside a region."""
    lat, lon = _texture.axes(shape)
    total = np.zeros(shape, np.float32)
    for region in (r for r in regions if r.separation_deg > 1.5):
        level = np.sqrt(region.flux(days) * region.strength)
        wide = reach_deg + 0.6 * region.separation_deg
        dx = wrap(lon - region.lon_at(days)) * np.cos(np.radians(region.lat_deg))
        across = np.exp(-0.5 * ((lat - region.lat_deg) / wide) ** 2)
        total += (level * np.outer(across, np.exp(-0.5 * (dx / wide) ** 2))).astype(np.float32)
    return total
