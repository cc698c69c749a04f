"""Images of the simulated Sun as an EUV imager or a magnetograph would take them, with their truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage

from solartrack._show import as_html, as_text
from solartrack.coordinates import RSUN_M
from solartrack.segmentation import segment
from solartrack.sequence import as_days
from solartrack.simulate import _hole_maps, _light, _texture
from solartrack.simulate._light import CHANNELS, Continuum
from solartrack.simulate._sphere import Disk, View, earth, see
from solartrack.simulate.instrument import Instrument
from solartrack.simulate.model import Patch, SunModel, as_datetime

__all__ = ["Holes", "Segmented", "SimulatedFrame", "render", "sequence"]

Float32 = NDArray[np.float32]

# A pixel belongs to a region's mask if its smoothed unsigned field exceeds this.
_MASK_GAUSS = 27.0


@dataclass(frozen=True)
class SimulatedFrame:
    """An image and the truth about it.

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
        Identity of the region whose field is strong at a pixel, 0 elsewhere.
    channel : str
    view : View
        Where the Sun is in it, as the simulator knows it: its longitudes are Carrington ones. For trackers
        take `header`, or ``ImageGeometry.from_header(frame.header)``.
    model : SunModel
        What it shows.

    Examples
    --------
    >>> from solartrack import simulate
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=128)
    >>> frame.array.shape, frame.header["CTYPE1"], frame.ids
    ((128, 128), 'HPLN-TAN', array([ 6,  7,  9, 10, 11]))
    """

    __repr__ = as_text
    _repr_html_ = as_html

    array: NDArray[Any]
    header: fits.Header
    time: datetime
    boxes: NDArray[np.float64]
    ids: NDArray[np.int64]
    mask: NDArray[np.int32]
    channel: str
    view: View = field(repr=False)
    model: SunModel = field(repr=False)

    @cached_property
    def holes(self) -> Holes:
        """The coronal holes in the image; worked out when they are first asked for."""
        return _holes(self.model, self.model.days_at(self.time), self.view)

    def segmented(self, kind: str = "active_region", *, scatter: float = 0.0) -> Segmented:
        """What a segmentation of this image finds, with identities where it found what is there.

        Such boxes are those of catalogues like SPoCA's: they are of what shines, and they change from image
        to image by tens of percent, split and join, while what is on the Sun does not.

        Parameters
        ----------
        kind : {"active_region", "coronal_hole"}
        scatter : float
            Standard deviation of the natural logarithm of the segmentation's sensitivity, drawn for each
            image from the model's seed: SPoCA clusters every image anew, and its outlines change with that.

        Returns
        -------
        Segmented

        Raises
        ------
        ValueError
            If the image is a magnetogram, or holes are asked for in 171.
        ImportError
            If scikit-image is not installed.
        """
        if not self.channel.isdigit():
            raise ValueError(f"EUV images can be segmented, this one is a {self.channel}")
        if not 0.0 <= scatter <= 0.5:
            raise ValueError(f"scatter must be 0 to 0.5, got {scatter!r}")
        millisecond = round(self.model.days_at(self.time) * 86_400_000)
        draw = np.random.default_rng([self.model.seed, 12, millisecond]).standard_normal()
        found = segment(
            self.array,
            self.view.geometry,
            kind,
            wavelength=int(self.channel),
            sensitivity=float(np.exp(np.clip(scatter * draw, -1.0, 1.0))),
        )
        truth = self.holes.mask if kind == "coronal_hole" else self.mask
        r = found.reduction
        ny, nx = found.labels.shape
        middle = truth[r // 2 :: r, r // 2 :: r][:ny, :nx]
        ids = np.zeros(len(found.boxes), dtype=np.int64)
        both = (found.labels > 0) & (middle > 0)
        pairs, counts = np.unique(np.stack([found.labels[both], middle[both]]), axis=1, return_counts=True)
        for k in np.argsort(-counts, kind="stable"):  # the largest overlaps first
            place, number = int(pairs[0, k]) - 1, int(pairs[1, k])
            if ids[place] == 0 and number not in ids:
                ids[place] = number
        return Segmented(found.boxes, ids, found.scores)


class Segmented(NamedTuple):
    """Places that a segmentation of an image finds.

    Attributes
    ----------
    boxes : ndarray of float64, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges of the image.
    ids : ndarray of int64, shape (n,)
        Identity of the region or hole that a place shows most of; 0 if it shows none, or if another place
        shows more of it.
    scores : ndarray of float64, shape (n,)
        See `solartrack.segmentation.Segments`.

    Examples
    --------
    >>> from solartrack import simulate
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=128)
    >>> found = frame.segmented("active_region")
    >>> found.boxes.shape, found.ids
    ((2, 4), array([ 6, 11]))
    """

    boxes: NDArray[np.float64]
    ids: NDArray[np.int64]
    scores: NDArray[np.float64]

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


class Holes(NamedTuple):
    """Coronal holes in an image.

    Attributes
    ----------
    boxes : ndarray of float64, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges of the image: the pixels in `mask`.
    ids : ndarray of int64, shape (n,)
        Identity of each box; those of holes and of regions are independent of each other.
    mask : ndarray of int32, shape (size, size)
        Identity of the hole at a pixel, 0 elsewhere.

    Examples
    --------
    >>> from solartrack import simulate
    >>> frame = simulate.render(simulate.SunModel(1, n_holes=6), "2014-02-01", channel="193", size=128)
    >>> holes = frame.holes
    >>> holes.boxes.shape, holes.ids, holes.mask.shape
    ((3, 4), array([1, 2, 3]), (128, 128))
    """

    boxes: NDArray[np.float64]
    ids: NDArray[np.int64]
    mask: NDArray[np.int32]

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def _holes(model: SunModel, days: float, view: View) -> Holes:
    """Outlines as the surface has them, seen in the image."""
    disk = see(view)
    mask = np.zeros(view.size * view.size, np.int32)
    if model.holes is None:
        depth, ids = _hole_maps.texture_ids(model.seed, days)
        rows, columns = depth.shape
        row = np.clip(((disk.lat_deg + 90.0) * (rows / 180.0)).astype(int), 0, rows - 1)
        column = np.rint(disk.lon_deg * (columns / 360.0)).astype(int) % columns
        inside = _texture.sample(depth, disk.lon_deg, disk.lat_deg) > 0.0
        mask[disk.index] = np.where(inside, ids[row, column], 0)
    else:
        deepest = np.zeros(len(disk.index), np.float32)
        for number, depth in _hole_maps.hole_maps(model, days).items():
            at = _texture.sample(depth, disk.lon_deg, disk.lat_deg)
            mask[disk.index[at > deepest]] = number
            np.maximum(deepest, at, out=deepest)
    image = mask.reshape(view.size, view.size)
    found = [(number, box) for number, box in enumerate(ndimage.find_objects(image), 1) if box is not None]
    boxes = [(x.start, y.start, x.stop, y.stop) for _, (y, x) in found]
    numbers = np.array([number for number, _ in found], dtype=np.int64)
    return Holes(np.array(boxes, dtype=np.float64).reshape(-1, 4), numbers, image)


def _view(model: SunModel, time: datetime, size: int, instrument: Instrument) -> View:
    centre = (size / 2 + instrument.offset_px[0], size / 2 + instrument.offset_px[1])
    return View(earth(time, model.b0_deg), centre, instrument.scale_at(size), size)


def _header(view: View, time: datetime, channel: str, unit: str | None) -> fits.Header:
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
        ("RSUN_OBS", view.geometry.rsun_arcsec, "arcsec"),
        ("R_SUN", view.radius, "pixels"),
        ("DSUN_OBS", view.observer.distance_m, "m"),
        ("HGLN_OBS", 0.0, "deg"),
        ("HGLT_OBS", view.observer.b0_deg, "deg"),
        ("CRLN_OBS", view.observer.l0_deg, "deg"),
        ("CRLT_OBS", view.observer.b0_deg, "deg"),
    ):
        header[key] = (value, comment)
    if unit is not None:
        header["BUNIT"] = unit
    if channel.isdigit():
        header["WAVELNTH"], header["WAVEUNIT"] = int(channel), "angstrom"
    else:
        header["CONTENT"] = {"continuum": "CONTINUUM INTENSITY"}.get(channel, channel.upper())
    return header


def _mask(disk: Disk, size: int, u: Float32, patches: list[Patch]) -> NDArray[np.int32]:
    """Identity of each pixel; where rectangles overlap, that of the younger region."""
    mask = np.zeros(size * size, np.int32)
    hit = np.flatnonzero(u > _MASK_GAUSS)
    lon, lat = disk.lon_deg[hit].astype(float), disk.lat_deg[hit]
    for p in patches:
        east_of = (lon - p.west) % 360.0
        inside = (east_of <= p.east - p.west) & (lat >= p.south) & (lat <= p.north)
        mask[disk.index[hit[inside]]] = p.id
    return mask.reshape(size, size)


def render(
    model: SunModel,
    time: Any,
    *,
    size: int = 1024,
    channel: str = "171",
    output: str | None = None,
    instrument: Instrument | None = None,
) -> SimulatedFrame:
    """Render one full-disk image with its truth.

    Parameters
    ----------
    model : SunModel
    time : datetime, str or astropy Time
        UTC, within the model's history.
    size : int
        Pixels on a side, 64 to 8192.
    channel : {"171", "193", "magnetogram", "continuum"}
    output : {"display", "intensity"}, optional
        Quantised display values like Helioviewer's (the default for EUV and the continuum); or float32:
        counts, for magnetograms gauss with NaN beyond the limb (the default for these), for the continuum
        parts of the intensity at the disk's centre.
    instrument : Instrument, optional

    Returns
    -------
    SimulatedFrame
        Depends only on the arguments, not on images rendered before.

    Raises
    ------
    ValueError
        If an argument is out of range or the time outside the history.

    Examples
    --------
    >>> from solartrack import simulate
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=128)
    >>> frame.array.shape, len(frame.boxes)
    ((128, 128), 5)
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
    signed, unsigned = _light.field_maps(model.alive(days), days)
    u = _texture.sample(unsigned, disk.lon_deg, disk.lat_deg)
    boxes, ids, patches = model.boxes(view, moment)
    mask = _mask(disk, size, u, patches)
    if band is None:
        image = _light.magnetogram(model, days, view, disk, signed)
    else:
        if isinstance(band, Continuum):
            image = _light.continuum(model, days, view, disk, signed, band)
        else:
            image = _light.euv(model, days, view, disk, u, band)
        image = _light.blur(image, instrument.blur_arcsec / view.arcsec_per_pixel)
    image *= np.float32(instrument.gain)
    if instrument.noise > 0:
        millisecond = round(days * 86_400_000)
        rng = np.random.default_rng([model.seed, 9, millisecond, list(CHANNELS).index(channel)])
        instrument.add_noise(image, band, view.arcsec_per_pixel, rng)
    if output is None:
        output = "intensity" if band is None else "display"
    array: NDArray[Any] = image if output == "intensity" else instrument.display(image, band)
    units = {"magnetogram": "Gauss", "continuum": None}
    header = _header(view, moment, channel, units.get(channel, "ct") if output == "intensity" else None)
    return SimulatedFrame(array, header, moment, boxes, ids, mask, channel, view, model)


def sequence(
    model: SunModel | int,
    n_images: int,
    cadence: Any = "4h",
    *,
    start: Any = None,
    drop: float | Sequence[int] = 0.0,
    size: int = 1024,
    channel: str = "171",
    output: str | None = None,
    instrument: Instrument | None = None,
) -> Iterator[SimulatedFrame]:
    """Render images at a steady cadence; some may be missing.

    Parameters
    ----------
    model : SunModel or int
        An int is the seed of a default model of the necessary length.
    n_images : int
        Number of images, missing ones included.
    cadence : astropy Quantity, timedelta or str
        Time from each image to the next, such as ``"4h"``.
    start : datetime, str or astropy Time, optional
        Time of the first image; default: the start of the model.
    drop : float or sequence of int
        Share of images that are missing at random (never the first), or the positions of the missing ones.
    size, channel, output, instrument
        See `render`.

    Yields
    ------
    SimulatedFrame

    Raises
    ------
    ValueError
        If an argument is out of range or the frames leave the model's history.
    TypeError
        If `cadence` is a plain number.

    Examples
    --------
    >>> from solartrack import simulate
    >>> frames = simulate.sequence(1, 3, "12h", size=128)
    >>> [str(frame.time) for frame in frames]
    ['2014-02-01 00:00:00', '2014-02-01 12:00:00', '2014-02-02 00:00:00']
    """
    if isinstance(n_images, bool) or not isinstance(n_images, (int, np.integer)) or n_images < 1:
        raise ValueError(f"n_images must be a positive integer, got {n_images!r}")
    step = as_days(cadence, "cadence")
    if not isinstance(model, SunModel):
        model = SunModel(model, days=max(1.0, n_images * step))
    if isinstance(drop, (int, float)):
        if not 0.0 <= drop < 1.0:
            raise ValueError(f"drop must be at least 0 and below 1, or a list of positions, got {drop!r}")
        missing = np.random.default_rng([model.seed, 8]).random(n_images) < drop
        missing[0] = False
    else:
        missing = np.zeros(n_images, bool)
        positions = np.asarray(list(drop), dtype=int)
        if len(positions) and not (positions.min() >= 0 and positions.max() < n_images):
            raise ValueError(f"drop must hold positions from 0 to {n_images - 1}, got {list(drop)}")
        missing[positions] = True
    first = model.start if start is None else as_datetime(start, "start")
    times = [first + timedelta(days=step * i) for i in range(n_images)]
    for time in (times[0], times[-1]):
        model.days_at(time)
    return (
        render(model, time, size=size, channel=channel, output=output, instrument=instrument)
        for time, gone in zip(times, missing, strict=True)
        if not gone
    )
