"""The simulated Sun in one channel, before the detector: intensity or magnetic field of each pixel."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack.simulate import _corona, _hole_maps, _texture
from solartrack.simulate._activity import activity
from solartrack.simulate._sphere import Disk, View, unit_vectors
from solartrack.simulate.model import SunModel
from solartrack.simulate.regions import Region

Float32 = NDArray[np.float32]

# Half-life of the mottles. In real AIA 171 images the quiet Sun, with rotation removed, keeps a correlation
# of 0.91 over 80 minutes.
_FINE_DAYS = 0.4


class Passband(NamedTuple):
    """Appearance of an EUV channel. Intensities are AIA level 1.5 counts at 2.4 arcsec per pixel."""

    level: float  # quiet Sun at disk centre
    limb: tuple[float, float, float]  # a + b / sqrt(mu^2 + c^2), relative to level
    off_limb: float  # just outside the limb, relative to level
    falls: tuple[tuple[float, float], ...]  # off-limb: (share, scale height in radii)
    coarse: float  # log contrast of the large scale
    fine: float  # log contrast of the mottles
    hole: float  # brightness of coronal holes
    channel: float  # log depth of filament channels
    moat: float  # log depth of the dark surroundings of regions
    moss: float
    loops: float
    hot: float
    scale_height: float
    glow: float
    stretch: tuple[str, float, float]  # display: law, intensity of 0, intensity of 255


class Continuum(NamedTuple):
    """Appearance of the photosphere in visible light. Intensities are relative to the disk's centre."""

    darkening: float  # the limb is darker by this
    penumbra: tuple[float, float]  # gauss above which it is dark, and by how much
    umbra: tuple[float, float]
    faculae: float  # excess at the limb
    grain: float  # contrast of the granulation
    stretch: tuple[str, float, float]


CHANNELS: dict[str, Passband | Continuum | None] = {
    # Fitted by eye and by radial profile to AIA images of January 2014 and to Helioviewer's 8-bit images.
    "171": Passband(
        level=200.0,
        limb=(0.62, 0.36, 0.15),
        off_limb=3.75,
        falls=((0.93, 0.045), (0.07, 0.15)),
        coarse=0.26,
        fine=0.42,
        hole=0.72,
        channel=0.5,
        moat=0.75,
        moss=330.0,
        loops=400.0,
        hot=0.25,
        scale_height=0.075,
        glow=0.35,
        stretch=("sqrt", 10.0, 3370.0),
    ),
    "193": Passband(
        level=260.0,
        limb=(0.52, 0.28, 0.13),
        off_limb=3.1,
        falls=((0.85, 0.062), (0.15, 0.14)),
        coarse=0.30,
        fine=0.17,
        hole=0.33,
        channel=0.4,
        moat=0.25,
        moss=420.0,
        loops=170.0,
        hot=1.0,
        scale_height=0.085,
        glow=1.4,
        stretch=("log", 78.0, 4330.0),
    ),
    "magnetogram": None,
    # HMI's line: limb darkening at 617 nm; umbrae and penumbrae as in Solanki 2003 (A&A Review 11, 153).
    "continuum": Continuum(
        darkening=0.6,
        penumbra=(600.0, 0.22),
        umbra=(1500.0, 0.6),
        faculae=0.06,
        grain=0.012,
        stretch=("linear", 0.0, 1.5),
    ),
}


def field_maps(regions: Sequence[Region], days: float) -> tuple[Float32, Float32]:
    """Radial field and smoothed unsigned field of the regions on the texture grid, gauss."""
    rows, columns = _texture.ROWS, _texture.COLUMNS
    signed, strong = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    lat = (np.arange(rows) + 0.5) * 180.0 / rows - 90.0
    for region in regions:
        f = region.fragments(days)
        west, east, south, north = region.rectangle_at(days)
        margin = 0.8 + 0.25 * region.separation_deg  # the weak field beyond the rectangle is visible, too
        west, east = west - 1.5 * margin, east + 1.5 * margin
        r0, r1 = np.searchsorted(lat, (south - margin, north + margin))
        c = np.arange(int(np.floor(west * columns / 360)), int(np.ceil(east * columns / 360)) + 1)
        stretch = np.cos(np.radians(region.lat_deg))
        dx = (c * 360.0 / columns - region.lon_at(days)) * stretch
        dy = lat[r0:r1] - region.lat_deg
        block = np.ix_(np.arange(r0, r1), c % columns)
        for grid, widen, peak in ((signed, 1.0, f.peak_gauss), (strong, 1.3, np.abs(f.peak_gauss) / 1.69)):
            sigma = f.sigma_deg * widen
            along = np.exp(-0.5 * ((dx[:, None] - f.x_deg) / sigma) ** 2)
            across = np.exp(-0.5 * ((dy[:, None] - f.y_deg) / sigma) ** 2) * peak
            grid[block] += (across @ along.T).astype(np.float32)
    return signed, strong


def _large_scale(model: SunModel, days: float, band: Passband) -> Float32:
    """Log of the brightness of structures wider than a degree, on a longitude-latitude grid."""
    shape = (256, 512)
    lat, lon = (a.ravel() for a in np.meshgrid(*_texture.axes(shape), indexing="ij"))
    coarse = _texture.rotating("coarse", model.seed, days, 8.0, lon, lat)
    channel = _texture.rotating("channel", model.seed, days, 9.0, lon, lat)
    near = activity(model.alive(days), days, 3.5, shape).ravel()
    log = band.coarse * coarse
    # Cool fibrils surround the regions unevenly.
    log -= 1.6 * band.moat * near / (1 + near) * np.clip(1 - 0.5 * coarse, 0.3, 1.7)
    # Filament channels follow the zero line of a smooth field and are interrupted where the large scale is
    # bright.
    log -= band.channel * np.exp(-((channel / 0.12) ** 2)) * np.clip(0.4 - coarse, 0, 1)
    if model.holes is None:
        hole = 1 / (1 + np.exp(-np.clip(_hole_maps.texture_depth(coarse, lat), -30, 30)))
    else:
        hole = _hole_maps.darkness(model, days).ravel()
    log += np.log(band.hole) * hole
    return log.astype(np.float32).reshape(shape)


def blur(image: Float32, sigma: float) -> Float32:
    """Gaussian blur with edge values repeated; a wide one is computed at half the resolution, and so on."""
    if sigma <= 0.05:
        return image
    if sigma > 2.0 and min(image.shape) >= 16:
        rows, columns = image.shape
        even = np.pad(image, ((0, rows % 2), (0, columns % 2)), mode="edge")
        half = 0.25 * (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2])
        # Averaging and interpolation blur as well.
        half = blur(half, float(np.sqrt(sigma * sigma - 1.0)) / 2)
        for axis in (0, 1):
            half = _twice(half, axis)
        return half[:rows, :columns]
    reach = int(np.ceil(3.0 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        n = image.shape[axis]
        padded = np.pad(image, [(reach, reach) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        out = np.zeros_like(image)
        for k, weight in enumerate(kernel):
            out += weight * (padded[k : k + n] if axis == 0 else padded[:, k : k + n])
        image = out
    return image


def _twice(image: Float32, axis: int) -> Float32:
    """Twice the pixels along an axis, linearly interpolated."""
    image = np.moveaxis(image, axis, 0)
    out = np.empty((2 * len(image), image.shape[1]), np.float32)
    near = np.float32(0.75) * image
    far = np.float32(0.25) * image
    out[0::2] = near
    out[1::2] = near
    out[2::2] += far[:-1]
    out[0] += far[0]
    out[1:-1:2] += far[1:]
    out[-1] += far[-1]
    return np.moveaxis(out, 0, axis)


def euv(model: SunModel, days: float, view: View, disk: Disk, u: Float32, band: Passband) -> Float32:
    """Noise-free intensity, shape (size, size)."""
    lon, lat, mu = disk.lon_deg, disk.lat_deg, disk.mu
    fine = _texture.rotating("fine", model.seed, days, _FINE_DAYS, lon, lat)
    # Contrast is lower towards the limb, where the line of sight passes through more corona.
    veil = 0.35 + 0.65 * mu
    log = veil * (band.fine * fine + _texture.sample(_large_scale(model, days, band), lon, lat))
    a, b, c = band.limb
    quiet = band.level * (a + b / np.sqrt(mu * mu + c * c)) * np.exp(log)
    moss = (
        band.moss * np.minimum(u / 100.0, 3.0) ** 0.7 * u / (u + 22.0) * np.exp(0.8 * fine) * (0.5 + 0.5 * mu)
    )
    image = np.zeros((view.size, view.size), np.float32)
    image.ravel()[disk.index] = quiet + moss

    _add_off_limb(image, view, disk, model, days, band)
    detail = float(np.clip(view.radius / 405, 0.25, 2.0))
    # Loops of regions up to 25 degrees behind the limb still reach above it; those of small regions do not.
    alive = model.alive(days)
    where = unit_vectors(np.array([r.lon_at(days) for r in alive]), np.array([r.lat_deg for r in alive]))
    depth = np.where([r.separation_deg > 1.5 for r in alive], -0.42, -0.08)
    ahead = where @ view.matrix()[2] > depth
    near_side = [r for r, show in zip(alive, ahead, strict=True) if show]
    threads = _corona.trace(near_side, days, scale_height=band.scale_height, hot=band.hot, detail=detail)
    if threads is not None:
        loops = _corona.draw(threads, view)
        # The threads, the bundles that they blur into, the region's diffuse plasma and its streamers.
        thin = np.float32(band.loops) * loops
        bundles = 0.45 * thin + 0.55 * blur(thin, view.radius * 0.0045)
        # Where many overlap, the plasma is hotter and this passband shows less of each.
        image += bundles / np.sqrt(1 + bundles / np.float32(1600))
        thin = np.minimum(thin, np.float32(3500))
        image += band.glow * (blur(thin, view.radius * 0.02) + 0.5 * blur(thin, view.radius * 0.07))
    return image


def continuum(
    model: SunModel, days: float, view: View, disk: Disk, signed: Float32, band: Continuum
) -> Float32:
    """Noise-free intensity in visible light, shape (size, size); 0 off the disk."""
    lon, lat, mu = disk.lon_deg, disk.lat_deg, disk.mu
    field = np.minimum(np.abs(_texture.sample(signed, lon, lat)), 3000.0)
    dark = np.zeros_like(field)
    for (gauss, depth), width in ((band.penumbra, 80.0), (band.umbra, 150.0)):
        dark += depth / (1.0 + np.exp(-np.clip((field - gauss) / width, -30, 30)))
    plage = np.clip(field / 200.0, 0, 1) * np.clip(1.5 - field / 400.0, 0, 1)
    grain = _texture.rotating("fine", model.seed, days, _FINE_DAYS, lon, lat)
    quiet = 1.0 - band.darkening * (1.0 - mu)
    bright = band.faculae * plage * (1.0 - mu) * np.clip(1.0 + 0.5 * grain, 0, 2)
    image = np.zeros(view.size * view.size, np.float32)
    image[disk.index] = quiet * (1.0 - dark + bright + band.grain * grain)
    return image.reshape(view.size, view.size)


def _add_off_limb(
    image: Float32, view: View, disk: Disk, model: SunModel, days: float, band: Passband
) -> None:
    """Add the corona beyond the limb: layers whose brightness falls off with height, and rays."""
    n = view.size
    out = np.flatnonzero((disk.rho.ravel() >= 1.0) & (disk.rho.ravel() < 1.65))
    if len(out) == 0:
        return
    row, col = np.divmod(out, n)
    angle = np.arctan2(row + 0.5 - view.center[1], col + 0.5 - view.center[0]).astype(np.float32)
    height = disk.rho.ravel()[out] - 1.0

    # Plasma in front of and behind the limb adds up, so the texture is averaged over +-12 degrees of depth.
    turns = np.linspace(-np.pi, np.pi, 5761)
    bright, ray = np.zeros(len(turns)), np.zeros(len(turns))
    around = activity(model.alive(days), days, 5.0, (128, 256))
    depths = np.radians(np.linspace(-12.0, 12.0, 9))
    active = np.zeros(len(turns))
    for depth in depths:
        ring = np.stack(
            [np.cos(depth) * np.cos(turns), np.cos(depth) * np.sin(turns), np.full_like(turns, np.sin(depth))]
        )
        p = view.matrix().T @ ring
        lat = np.degrees(np.arcsin(np.clip(p[2], -1, 1))).astype(np.float32)
        lon = np.degrees(np.arctan2(p[1], p[0])).astype(np.float32)
        bright += _texture.rotating("coarse", model.seed, days, 8.0, lon, lat)
        ray += _texture.rotating("fine", model.seed, days, _FINE_DAYS, lon, lat)
        active += _texture.sample(around, lon, lat)
    bright, ray, active = bright / len(depths), ray / np.sqrt(len(depths)), active / len(depths)
    lat_limb = np.degrees(
        np.arcsin(np.clip((view.matrix().T @ np.stack([np.cos(turns), np.sin(turns), 0 * turns]))[2], -1, 1))
    )
    polar = 1 / (1 + np.exp(-(np.abs(lat_limb) - 66.0) / 3.0))
    # Rays lean a little, by an amount that varies with position angle.
    angle += np.float32(0.25) * np.sin(3 * angle + np.float32(model.seed % 7)) * height
    level = (0.3 * bright + 0.45 * np.tanh(active)) * (1 - 0.4 * polar)
    at = ((angle + np.float32(np.pi)) * np.float32((len(turns) - 1) / (2 * np.pi))).astype(np.int32)
    at = np.clip(at, 0, len(turns) - 1)
    at_angle, at_ray = level.astype(np.float32)[at], ray.astype(np.float32)[at]
    profile = sum(np.float32(share) * np.exp(height / np.float32(-fall)) for share, fall in band.falls)
    value = band.level * band.off_limb * profile
    value *= np.exp(at_angle * (1 + 3 * height) + 0.25 * at_ray * np.clip(height / 0.15, 0.1, 1.0))
    # The telescope's round field of view ends here.
    value *= np.clip((1.52 - height - 1.0) / 0.04, 0, 1)
    image.ravel()[out] = value.astype(np.float32)


def magnetogram(model: SunModel, days: float, view: View, disk: Disk, signed: Float32) -> Float32:
    """Noise-free line-of-sight field in gauss, NaN off the disk."""
    lon, lat, mu = disk.lon_deg, disk.lat_deg, disk.mu
    network = _texture.rotating("field", model.seed, days, 2.5, lon, lat)
    grain = _texture.rotating("fine", model.seed, days, _FINE_DAYS, lon, lat)
    regions = _texture.sample(signed, lon, lat)
    # Plage consists of grains, spots do not.
    solid = np.clip(np.abs(regions) / 900.0 - 0.2, 0, 1)
    regions *= solid + (1 - solid) * np.clip(grain - 0.1, 0, 2.2) ** 2
    regions = 2800 * np.tanh(regions / 2800)  # overlapping fragments do not exceed the field of an umbra
    image = np.full(view.size * view.size, np.nan, np.float32)
    image[disk.index] = (18.0 * network + regions) * mu
    return image.reshape(view.size, view.size)
