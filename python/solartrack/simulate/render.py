"""Frames of the simulated Sun: what an EUV imager or a magnetograph would show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from solartrack.simulate import _corona, _texture
from solartrack.simulate._sphere import RSUN_M, Disk, View, earth, see, unit_vectors, wrap
from solartrack.simulate.model import Patch, Region, SunModel, as_datetime

__all__ = ["CHANNELS", "Instrument", "SimulatedFrame", "render", "sequence"]

Float32 = NDArray[np.float32]

# A pixel belongs to a region's mask where its unsigned field, smoothed, exceeds this.
MASK_GAUSS = 27.0

# Half life of the mottles. Real AIA 171 quiet Sun, turned back, correlates to 0.91 after 80 minutes.
_FINE_DAYS = 0.4


class Passband(NamedTuple):
    """How an EUV channel looks. Intensities are AIA level 1.5 counts at 2.4 arcsec per pixel."""

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


CHANNELS: dict[str, Passband | None] = {
    # Fitted by eye and by radial profile to AIA of 2014 January and Helioviewer's 8-bit images.
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
}


@dataclass(frozen=True)
class Instrument:
    """What may differ between telescopes, days and archives.

    Parameters
    ----------
    arcsec_per_pixel : float, optional
        Default: AIA's full frame, 2.4 arcsec at 1024 pixels.
    offset_px : (float, float)
        Disk centre minus image centre, pixels.
    gain : float
        Factor on the intensity, an aged or differently exposed detector.
    contrast : float
        Exponent on the display value; 1 is Helioviewer's, above 1 darker.
    blur_px : float
        Sigma of the point spread, in pixels of a 1024 pixel full frame.
    noise : float
        Factor on the noise; 0 is none.
    bit_depth : int
        Of display values: 8 gives uint8, 9 to 16 uint16.
    """

    arcsec_per_pixel: float | None = None
    offset_px: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0
    contrast: float = 1.0
    blur_px: float = 0.45
    noise: float = 1.0
    bit_depth: int = 8

    def __post_init__(self) -> None:
        positive = {"gain": self.gain, "contrast": self.contrast}
        if self.arcsec_per_pixel is not None:
            positive["arcsec_per_pixel"] = self.arcsec_per_pixel
        for name, value in positive.items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive, got {value!r}")
        for name, value in {"blur_px": self.blur_px, "noise": self.noise}.items():
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must not be negative, got {value!r}")
        if self.bit_depth not in range(1, 17):
            raise ValueError(f"bit_depth must be 1 to 16, got {self.bit_depth!r}")
        if len(self.offset_px) != 2 or not np.isfinite(self.offset_px).all():
            raise ValueError(f"offset_px must be two finite numbers, got {self.offset_px!r}")


@dataclass(frozen=True)
class SimulatedFrame:
    """A frame and what is true about it.

    Attributes
    ----------
    array : ndarray, shape (size, size)
        Row 0 is the southernmost, as in FITS.
    header : astropy.io.fits.Header
        Helioprojective world coordinates of `array`.
    time : datetime
        UTC.
    boxes : ndarray of float64, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges of `array`, cut to the image.
    ids : ndarray of int64, shape (n,)
        Identity of each box.
    mask : ndarray of int32, shape (size, size)
        Identity of the region whose field is strong there, 0 elsewhere.
    channel : str
    """

    array: NDArray[Any]
    header: fits.Header
    time: datetime
    boxes: NDArray[np.float64]
    ids: NDArray[np.int64]
    mask: NDArray[np.int32]
    channel: str


def _view(model: SunModel, time: datetime, size: int, instrument: Instrument) -> View:
    scale = instrument.arcsec_per_pixel or 2.4 * 1024 / size
    centre = (size / 2 + instrument.offset_px[0], size / 2 + instrument.offset_px[1])
    return View(earth(time, model.b0_deg), centre, scale, size)


def _header(view: View, time: datetime, channel: str, unit: str) -> fits.Header:
    header = fits.Header()
    for key, value, comment in (
        ("TELESCOP", "simulated", "solartrack.simulate"),
        ("DATE-OBS", time.isoformat(timespec="milliseconds"), "UTC"),
        ("WCSNAME", "Helioprojective-cartesian", ""),
        ("CTYPE1", "HPLN-TAN", ""),
        ("CTYPE2", "HPLT-TAN", ""),
        ("CUNIT1", "arcsec", ""),
        ("CUNIT2", "arcsec", ""),
        ("CDELT1", view.arcsec_per_pixel, ""),
        ("CDELT2", view.arcsec_per_pixel, ""),
        ("CRPIX1", view.center[0] + 0.5, "disk centre, first pixel's centre is 1"),
        ("CRPIX2", view.center[1] + 0.5, ""),
        ("CRVAL1", 0.0, ""),
        ("CRVAL2", 0.0, ""),
        ("CROTA2", 0.0, ""),
        ("RSUN_REF", RSUN_M, "m"),
        ("RSUN_OBS", view.observer.rsun_arcsec, "arcsec"),
        ("R_SUN", view.radius, "pixels"),
        ("DSUN_OBS", view.observer.distance_m, "m"),
        ("HGLN_OBS", 0.0, "deg"),
        ("HGLT_OBS", view.observer.b0_deg, "deg"),
        ("CRLN_OBS", view.observer.l0_deg, "deg"),
        ("CRLT_OBS", view.observer.b0_deg, "deg"),
        ("BUNIT", unit, ""),
    ):
        header[key] = (value, comment)
    if channel.isdigit():
        header["WAVELNTH"], header["WAVEUNIT"] = int(channel), "angstrom"
    else:
        header["CONTENT"] = "MAGNETOGRAM"
    return header


def _field_maps(regions: Sequence[Region], days: float) -> tuple[Float32, Float32]:
    """Radial field and smoothed unsigned field of the regions on the texture grid, gauss."""
    rows, columns = _texture.ROWS, _texture.COLUMNS
    signed, strong = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    lat = (np.arange(rows) + 0.5) * 180.0 / rows - 90.0
    for region in regions:
        f = region.fragments(days)
        west, east, south, north = region.rectangle_at(days)
        margin = 0.8 + 0.25 * region.separation_deg  # weak field beyond the rectangle shows too
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


def _activity(regions: Sequence[Region], days: float, reach_deg: float, shape: tuple[int, int]) -> Float32:
    """How near and how strong the regions are, on a longitude-latitude grid; about 1 in one."""
    lat, lon = _texture.axes(shape)
    total = np.zeros(shape, np.float32)
    for region in (r for r in regions if r.separation_deg > 1.5):
        level = np.sqrt(region.flux(days) * region.strength)
        wide = reach_deg + 0.6 * region.separation_deg
        dx = wrap(lon - region.lon_at(days)) * np.cos(np.radians(region.lat_deg))
        across = np.exp(-0.5 * ((lat - region.lat_deg) / wide) ** 2)
        total += (level * np.outer(across, np.exp(-0.5 * (dx / wide) ** 2))).astype(np.float32)
    return total


def _large_scale(model: SunModel, days: float, band: Passband) -> Float32:
    """Log of the brightness of whatever is wider than a degree, on a longitude-latitude grid."""
    shape = (256, 512)
    lat, lon = (a.ravel() for a in np.meshgrid(*_texture.axes(shape), indexing="ij"))
    coarse = _texture.rotating("coarse", model.seed, days, 8.0, lon, lat)
    channel = _texture.rotating("channel", model.seed, days, 9.0, lon, lat)
    near = _activity(model.alive(days), days, 3.5, shape).ravel()
    log = band.coarse * coarse
    # Cool fibrils surround the regions in uneven patches.
    log -= 1.6 * band.moat * near / (1 + near) * np.clip(1 - 0.5 * coarse, 0.3, 1.7)
    # Filament channels follow the zero line of a smooth field, broken where the large scale is bright.
    log -= band.channel * np.exp(-((channel / 0.12) ** 2)) * np.clip(0.4 - coarse, 0, 1)
    polar = (np.abs(lat) + 4.0 * coarse - 66.0) / 1.5
    low_latitude = (-1.5 - coarse) / 0.12
    hole = 1 / (1 + np.exp(-np.clip(np.maximum(polar, low_latitude), -30, 30)))
    log += np.log(band.hole) * hole
    return log.astype(np.float32).reshape(shape)


def _blur(image: Float32, sigma: float) -> Float32:
    """Gaussian blur with edge values repeated."""
    if sigma <= 0.05:
        return image
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


def _halo(image: Float32, sigma_px: float) -> Float32:
    """Wide blur, computed at a tenth of the resolution or so and brought back smoothly."""
    n = len(image)
    step = max(1, round(sigma_px / 2))
    m = -(-n // step)
    padded = np.zeros((m * step, m * step), np.float32)
    padded[:n, :n] = image
    small = padded.reshape(m, step, m, step).mean(axis=(1, 3))
    centre = (np.arange(m) + 0.5) * step
    spread = np.exp(-0.5 * ((np.arange(n)[:, None] + 0.5 - centre) / sigma_px) ** 2)
    spread = (spread / spread.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.asarray(spread @ small @ spread.T, dtype=np.float32)


def _euv(model: SunModel, days: float, view: View, disk: Disk, u: Float32, band: Passband) -> Float32:
    """Noise-free intensity, shape (size, size)."""
    lon, lat, mu = disk.lon_deg, disk.lat_deg, disk.mu
    fine = _texture.rotating("fine", model.seed, days, _FINE_DAYS, lon, lat)
    # Contrast fades towards the limb, where one looks through more corona.
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
    detail = float(np.clip(view.size / 1024, 0.25, 2.0))
    # Loops of regions some 25 degrees behind the limb still reach above it.
    centre = view.matrix()[2]
    near_side = [
        r
        for r in model.alive(days)
        if unit_vectors(np.array(r.lon_at(days)), np.array(r.lat_deg)) @ centre > -0.42
    ]
    threads = _corona.trace(near_side, days, scale_height=band.scale_height, hot=band.hot, detail=detail)
    if threads is not None:
        loops = _corona.draw(threads, view)
        # Threads, the bundles they blur into, the diffuse plasma of the region, its streamers.
        thin = (band.loops * loops).astype(np.float32)
        bundles = 0.45 * thin + 0.55 * _blur(thin, view.radius * 0.0045)
        # Where many overlap, the hot core takes over and this passband sees less of each.
        image += bundles / np.sqrt(1 + bundles / np.float32(1600))
        thin = np.minimum(thin, np.float32(3500))
        image += band.glow * (_halo(thin, view.radius * 0.02) + 0.5 * _halo(thin, view.radius * 0.07))
    return image


def _add_off_limb(
    image: Float32, view: View, disk: Disk, model: SunModel, days: float, band: Passband
) -> None:
    """Corona beyond the limb: layers that fall off, with rays rooted at the limb."""
    n = view.size
    out = np.flatnonzero((disk.rho.ravel() >= 1.0) & (disk.rho.ravel() < 1.65))
    if len(out) == 0:
        return
    row, col = np.divmod(out, n)
    angle = np.arctan2(row + 0.5 - view.center[1], col + 0.5 - view.center[0]).astype(np.float32)
    height = disk.rho.ravel()[out] - 1.0

    # Plasma before and behind the limb adds up, so average the texture over +-12 degrees of depth.
    turns = np.linspace(-np.pi, np.pi, 2881)
    bright, ray = np.zeros(len(turns)), np.zeros(len(turns))
    activity = _activity(model.alive(days), days, 5.0, (128, 256))
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
        active += _texture.sample(activity, lon, lat)
    bright, ray, active = bright / len(depths), ray / np.sqrt(len(depths)), active / len(depths)
    lat_limb = np.degrees(
        np.arcsin(np.clip((view.matrix().T @ np.stack([np.cos(turns), np.sin(turns), 0 * turns]))[2], -1, 1))
    )
    polar = 1 / (1 + np.exp(-(np.abs(lat_limb) - 66.0) / 3.0))
    # Rays lean a little, and lean differently at different angles.
    lean = 0.25 * np.sin(3 * angle + model.seed % 7) * height
    level = (0.3 * bright + 0.45 * np.tanh(active)) * (1 - 0.4 * polar)
    at_angle = np.interp(angle + lean, turns, level)
    at_ray = np.interp(angle + lean, turns, ray)
    profile = sum(share * np.exp(-height / fall) for share, fall in band.falls)
    value = band.level * band.off_limb * profile
    value *= np.exp(at_angle * (1 + 3 * height) + 0.25 * at_ray * np.clip(height / 0.15, 0.1, 1.0))
    # The telescope's round field of view ends here.
    value *= np.clip((1.52 - height - 1.0) / 0.04, 0, 1)
    image.ravel()[out] = value.astype(np.float32)


def _magnetogram(model: SunModel, days: float, view: View, disk: Disk, signed: Float32) -> Float32:
    """Noise-free line-of-sight field in gauss, NaN off the disk."""
    lon, lat, mu = disk.lon_deg, disk.lat_deg, disk.mu
    network = _texture.rotating("field", model.seed, days, 2.5, lon, lat)
    grain = _texture.rotating("fine", model.seed, days, _FINE_DAYS, lon, lat)
    regions = _texture.sample(signed, lon, lat)
    # Plage is broken into grains, spots are not.
    solid = np.clip(np.abs(regions) / 900.0 - 0.2, 0, 1)
    regions *= solid + (1 - solid) * np.clip(grain - 0.1, 0, 2.2) ** 2
    regions = 2800 * np.tanh(regions / 2800)  # no fragments add up to more than an umbra
    image = np.full(view.size * view.size, np.nan, np.float32)
    image[disk.index] = (18.0 * network + regions) * mu
    return image.reshape(view.size, view.size)


def _mask(disk: Disk, size: int, u: Float32, patches: list[Patch]) -> NDArray[np.int32]:
    """Identity per pixel; where rectangles overlap the younger region wins."""
    mask = np.zeros(size * size, np.int32)
    hit = np.flatnonzero(u > MASK_GAUSS)
    lon, lat = disk.lon_deg[hit].astype(float), disk.lat_deg[hit]
    for p in patches:
        east_of = (lon - p.west) % 360.0
        inside = (east_of <= p.east - p.west) & (lat >= p.south) & (lat <= p.north)
        mask[disk.index[hit[inside]]] = p.id
    return mask.reshape(size, size)


def _display(image: Float32, band: Passband | None, instrument: Instrument) -> NDArray[Any]:
    """Quantised display values as an archive would serve them."""
    top = 2**instrument.bit_depth - 1
    if band is None:
        # Helioviewer shows +-100 G around the middle and black beyond the limb.
        value = np.clip(0.5 + image / 200.0, 1.0 / 255, 1.0)
        value = np.nan_to_num(value, nan=0.0)
    else:
        law, low, high = band.stretch
        change = np.sqrt if law == "sqrt" else np.log
        value = (change(np.clip(image, low, high)) - change(low)) / (change(high) - change(low))
    value = value**instrument.contrast
    dtype = np.uint8 if instrument.bit_depth <= 8 else np.uint16
    return np.asarray(np.rint(value * top), dtype=dtype)


def render(
    model: SunModel,
    time: Any,
    *,
    size: int = 1024,
    channel: str = "171",
    output: str | None = None,
    instrument: Instrument | None = None,
) -> SimulatedFrame:
    """One full-disk frame with its truth.

    Parameters
    ----------
    model : SunModel
    time : datetime, str or astropy Time
        UTC, within the model's history.
    size : int
        Pixels on a side, 64 to 8192.
    channel : {"171", "193", "magnetogram"}
    output : {"display", "intensity"}, optional
        Quantised display values like Helioviewer's (the default for EUV), or
        float32 counts, or gauss with NaN beyond the limb (the default for
        magnetograms).
    instrument : Instrument, optional

    Returns
    -------
    SimulatedFrame
        Depends on the arguments alone, not on the frames rendered before.

    Raises
    ------
    ValueError
        If an argument is out of range or the time outside the history.
    """
    if channel not in CHANNELS:
        raise ValueError(f"channel must be one of {', '.join(CHANNELS)}, got {channel!r}")
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 64 <= size <= 8192:
        raise ValueError(f"size must be an integer from 64 to 8192, got {size!r}")
    if output not in (None, "display", "intensity"):
        raise ValueError(f"output must be 'display' or 'intensity', got {output!r}")
    size = int(size)
    instrument = instrument or Instrument()
    band = CHANNELS[channel]
    moment = as_datetime(time)
    days = model.days_at(moment)
    view = _view(model, moment, size, instrument)
    disk = see(view)
    signed, unsigned = _field_maps(model.alive(days), days)
    u = _texture.sample(unsigned, disk.lon_deg, disk.lat_deg)
    boxes, ids, patches = model.boxes(view, moment)
    mask = _mask(disk, size, u, patches)
    if band is None:
        image = _magnetogram(model, days, view, disk, signed)
    else:
        image = _euv(model, days, view, disk, u, band)
        image = _blur(image, instrument.blur_px * size / 1024)
    image *= np.float32(instrument.gain)
    if instrument.noise > 0:
        millisecond = round(days * 86_400_000)
        rng = np.random.default_rng([model.seed, 9, millisecond, list(CHANNELS).index(channel)])
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        if band is None:
            image += np.float32(2.5 * instrument.noise) * grain
        else:
            # Photon noise of AIA binned to 2.4 arcsec; more where the pixels are smaller.
            pixels = max(2.4 / view.arcsec_per_pixel, 1.0) ** 2
            image += np.float32(instrument.noise) * np.sqrt((0.1 + 0.075 * image) * pixels) * grain
    if output is None:
        output = "intensity" if band is None else "display"
    array: NDArray[Any] = image if output == "intensity" else _display(image, band, instrument)
    unit = ("Gauss" if band is None else "ct") if output == "intensity" else "display value"
    return SimulatedFrame(array, _header(view, moment, channel, unit), moment, boxes, ids, mask, channel)


def sequence(
    model: SunModel | int,
    n_frames: int,
    cadence_hours: float = 4.0,
    *,
    start: Any = None,
    drop: float | Sequence[int] = 0.0,
    size: int = 1024,
    channel: str = "171",
    output: str | None = None,
    instrument: Instrument | None = None,
) -> Iterator[SimulatedFrame]:
    """Frames at a steady cadence, some of which may be missing.

    Parameters
    ----------
    model : SunModel or int
        An int is a seed: a default model just long enough.
    n_frames : int
        Length with the missing frames counted.
    cadence_hours : float
        Time between frames.
    start : datetime, str or astropy Time, optional
        Of the first frame; default the start of the model.
    drop : float or sequence of int
        Share of frames that are missing at random (never the first), or the
        positions of the missing ones.
    size, channel, output, instrument
        See `render`.

    Yields
    ------
    SimulatedFrame

    Raises
    ------
    ValueError
        If an argument is out of range or the frames leave the model's history.
    """
    if isinstance(n_frames, bool) or not isinstance(n_frames, (int, np.integer)) or n_frames < 1:
        raise ValueError(f"n_frames must be a positive integer, got {n_frames!r}")
    if not (np.isfinite(cadence_hours) and cadence_hours > 0):
        raise ValueError(f"cadence_hours must be positive, got {cadence_hours!r}")
    if not isinstance(model, SunModel):
        model = SunModel(model, days=max(1.0, n_frames * cadence_hours / 24.0))
    if isinstance(drop, (int, float)):
        if not 0.0 <= drop < 1.0:
            raise ValueError(f"drop must be at least 0 and below 1, or a list of positions, got {drop!r}")
        missing = np.random.default_rng([model.seed, 8]).random(n_frames) < drop
        missing[0] = False
    else:
        missing = np.zeros(n_frames, bool)
        positions = np.asarray(list(drop), dtype=int)
        if len(positions) and not (positions.min() >= 0 and positions.max() < n_frames):
            raise ValueError(f"drop must hold positions from 0 to {n_frames - 1}, got {list(drop)}")
        missing[positions] = True
    first = model.start if start is None else as_datetime(start, "start")
    times = [first + timedelta(hours=cadence_hours * i) for i in range(n_frames)]
    for time in (times[0], times[-1]):
        model.days_at(time)
    return (
        render(model, time, size=size, channel=channel, output=output, instrument=instrument)
        for time, gone in zip(times, missing, strict=True)
        if not gone
    )
