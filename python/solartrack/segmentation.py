"""Bright and dark places of EUV images: active regions and coronal holes by fuzzy clustering of intensities.

In the manner of SPoCA (Verbeeck, Delouille, Mampaey & De Visscher 2014, A&A 561, A29), written from what is
published: limb brightening is taken off, the intensities are clustered, and the extreme class is cleaned and
joined by morphology. It works on pixels and a geometry; `solartrack.tracking.detect` reads images for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from solartrack._arrays import Float64Array
from solartrack._optional import require
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError

__all__ = ["KINDS", "Candidates", "Kind", "Segments", "candidates", "segment"]

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Kind:
    """How one kind of place is told from the quiet Sun. Logarithms are natural, lengths heliographic degrees.

    Attributes
    ----------
    sign : int
        1 for what is brighter than the quiet Sun, -1 for what is darker.
    weakest : float
        Least log contrast of the outline; the boundary between the classes counts if it is larger.
    core : float
        Log contrast that some part of each place must reach.
    mean, rise : float
        Least mean log contrast of a place of 100 square degrees, and how much more it must be for one of half
        the size.
    faint, faint_deg2, step : float
        A place with less counts, too, if it has this mean log contrast and area, and the mean log contrasts
        within `_RING_DEG` inside and outside of its outline differ by `step`: what is dark by chance has no
        such edge.
    blur_deg : float
        Width of the Gaussian that the image is smoothed with.
    clean_deg, join_deg : float
        Radii of the morphological opening and closing.
    flatness : float
        Length to height of what the closing joins.
    share, less : float
        The outline of a place is where the log contrast is this share of its own peak, less a constant times
        the cosine of the distance from the disk's centre.
    smallest_deg2 : float
        Least area on the Sun.
    height : float
        Of what shines above the surface, solar radii: boxes are brought down by it towards the disk's centre.
    wavelengths : tuple of int
        In which it can be told, angstrom.

    Examples
    --------
    >>> from solartrack.segmentation import KINDS
    >>> KINDS["coronal_hole"].sign, KINDS["active_region"].sign  # dark and bright
    (-1, 1)
    """

    sign: int
    weakest: float
    core: float
    mean: float
    rise: float
    faint: float
    faint_deg2: float
    step: float
    blur_deg: float
    clean_deg: float
    join_deg: float
    flatness: float
    share: float
    less: float
    smallest_deg2: float
    height: float
    wavelengths: tuple[int, ...]


#: The settings were chosen on simulated images of the seeds 950000 to 950007 and by eye on the real ones
#: of ``../shared/data/aia`` and ``jp2``; that small holes must be darker, on the seeds 952000 to 952009,
#: too. How far regions are joined was chosen on 958000 to 958009 and by eye: with less the pieces of a
#: spread-out one are lost (north-east on 2015-12-21), with more neighbours become one (south on
#: 2014-02-03). What faint holes need was chosen on 958000 to 958019, and so that none is found on the
#: quiet Suns 964000 to 964019. The height of regions was chosen from 0, 0.006, 0.01, 0.014 and more on
#: the 28 Suns of the first seeds above: average precision 0.63, 0.66, 0.66, 0.66, less. That small
#: regions must be brighter leaves none on the quiet Suns 964000 to 964019, 966000 to 966019 and 969000 to
#: 969019, and costs 0.005; without, there were six on two of twenty.
KINDS = {
    "active_region": Kind(
        sign=1,
        weakest=0.65,
        core=1.2,
        mean=0.9,
        rise=0.17,
        faint=9.0,
        faint_deg2=0.0,
        step=0.0,
        blur_deg=0.8,
        clean_deg=0.3,
        join_deg=1.85,
        flatness=1.3,
        share=0.65,
        less=0.05,
        smallest_deg2=8.0,
        height=0.01,
        wavelengths=(94, 131, 171, 174, 193, 195, 211, 284, 304, 335),
    ),
    "coronal_hole": Kind(
        sign=-1,
        weakest=0.42,
        core=0.75,
        mean=0.95,
        rise=0.15,
        faint=0.65,
        faint_deg2=25.0,
        step=0.58,
        blur_deg=0.35,
        clean_deg=0.3,
        join_deg=1.2,
        flatness=1.0,
        share=0.52,
        less=0.0,
        smallest_deg2=12.0,
        height=0.0,
        wavelengths=(193, 195, 211, 284),
    ),
}

# Centres of the classes "dark", "quiet" and "active" that the clustering starts from, log of the intensity
# relative to the quiet Sun's. SPoCA's own are 0.5, 0.9, 2.1 and 5.5 for 171 (in the headers of its maps).
_START = (-0.9, 0.0, 1.3)
_FUZZIFIER = 2.0
_ROUNDS, _PRECISION = 60, 1e-3
_BINS, _RANGE = 400, (-3.0, 5.0)
# Images are reduced until the disk's radius is less than twice this many pixels.
_RADIUS = 180
# Beyond this share of the radius the ring has little left of the surface.
_EDGE = 0.985
# Widths of the rings inside and outside of an outline, degrees, and how far out they reach, in radii.
_RING_DEG, _RING_EDGE = 1.5, 0.96
# Mean log contrast of a clear region or hole, which the score is relative to.
_SCORE_CONTRAST = 0.9
# Of the log contrast, from one level to the next.
_LEVEL_STEP = 0.12
# The peak of a place is this quantile of its log contrast.
_PEAK = 0.95
# Log contrast of pixels that belong to no place.
_OUT = -9.0
# Below this share of the quiet Sun nothing shines: something is in front of the Sun, or pixels are missing.
_BLACK = 0.04


class Segments(NamedTuple):
    """Places of one kind in an image, the best first.

    Attributes
    ----------
    boxes : ndarray of float64, shape (n, 4)
        ``(x0, y0, x1, y1)``, pixel edges of the image: of the surface below what shines, see `Kind.height`.
    scores : ndarray of float64, shape (n,)
        0 to 1: by contrast and size. No probability.
    areas_deg2 : ndarray of float64, shape (n,)
        Area on the Sun's surface, square degrees of a great circle.
    contrasts : ndarray of float64, shape (n,)
        Mean intensity relative to the quiet Sun's.
    labels : ndarray of int32, shape (my, mx)
        Number of the place that a pixel belongs to, from 1 in the order of `boxes`, 0 elsewhere; in pixels of
        `reduction` pixels of the image.
    reduction : int

    Examples
    --------
    >>> from solartrack import simulate
    >>> from solartrack.coordinates import ImageGeometry
    >>> from solartrack.segmentation import segment
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=256)
    >>> found = segment(frame.array, ImageGeometry.from_header(frame.header))
    >>> len(found.outlines()) == len(found.boxes), found.labels.dtype
    (True, dtype('int32'))
    """

    boxes: Float64Array
    scores: Float64Array
    areas_deg2: Float64Array
    contrasts: Float64Array
    labels: NDArray[np.int32]
    reduction: int

    def outlines(self) -> list[list[Float64Array]]:
        """Closed outlines of each place, the longest first: ``(x, y)`` in pixel edges, shape (k, 2)."""
        numbers = range(1, len(self.boxes) + 1)
        return [_outlines(self.labels == number, (0, 0), self.reduction) for number in numbers]


class Candidates(NamedTuple):
    """Places of an image that may be active regions, at every level of brightness; many lie in others.

    Attributes
    ----------
    boxes : ndarray of float64, shape (n, 4)
        As those of `Segments`.
    areas_deg2, contrasts : ndarray of float64, shape (n,)
        As those of `Segments`.
    masks : list of ((int, int), ndarray of bool), length n
        Column and row of a first pixel, and which of those from there on belong to the place; in pixels of
        `reduction` pixels of the image.
    reduction : int

    Examples
    --------
    >>> from solartrack import simulate
    >>> from solartrack.coordinates import ImageGeometry
    >>> from solartrack.segmentation import candidates, segment
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=256)
    >>> place = ImageGeometry.from_header(frame.header)
    >>> len(candidates(frame.array, place).boxes) > len(segment(frame.array, place).boxes)
    True
    """

    boxes: Float64Array
    areas_deg2: Float64Array
    contrasts: Float64Array
    masks: list[tuple[tuple[int, int], Bool]]
    reduction: int

    def outlines(self, number: int) -> list[Float64Array]:
        """Closed outlines of one of them, the longest first: ``(x, y)`` in pixel edges, shape (k, 2)."""
        first, mask = self.masks[number]
        return _outlines(mask, first, self.reduction)


def segment(
    pixels: NDArray[Any],
    geometry: ImageGeometry,
    kind: str = "active_region",
    *,
    wavelength: int | None = None,
    sensitivity: float = 1.0,
) -> Segments:
    """Find the active regions or coronal holes in an EUV image of the whole Sun.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        Counts, or 8-bit display values like Helioviewer's (uint8), whose law depends on the wavelength. NaN
        pixels are left out.
    geometry : ImageGeometry
    kind : {"active_region", "coronal_hole"}
    wavelength : int, optional
        Angstrom; default 171 for regions and 193 for holes.
    sensitivity : float
        The contrast of the outlines is divided by it: a larger one gives larger places.

    Returns
    -------
    Segments
        Without any if the Sun is quiet.

    Raises
    ------
    ValueError
        If there is no such kind, the array is not 2-D, or the kind cannot be told in that wavelength.
    GeometryError
        If the disk is smaller than 32 pixels across or less than half of it is inside the image.
    ImageError
        If the image does not show a Sun where the geometry says.
    ImportError
        If scikit-image is not installed.

    Notes
    -----
    Steps and their sources: (1) the median of the logarithm of intensity in rings around the disk's centre is
    taken off, as SPoCA's annulus limb correction; (2) a histogram of what is left is clustered into dark,
    quiet and active by fuzzy c-means (Bezdek 1981), and the outline is where the memberships of two classes
    are equal, but never at less than a fixed contrast, so that on a quiet Sun nothing is invented;
    (3) each place is cut out at a share of its own peak contrast, after opening and closing, so that the glow
    between bright places does not join them; (4) its holes are filled, and places too small on the sphere or
    without a core of enough contrast are left out; (5) the boxes of regions, not their outlines, are brought
    down from the height of the loops.

    Examples
    --------
    >>> from solartrack import simulate
    >>> from solartrack.coordinates import ImageGeometry
    >>> from solartrack.segmentation import segment
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=256)
    >>> found = segment(frame.array, ImageGeometry.from_header(frame.header))
    >>> found.boxes.shape[1], bool((found.scores[:-1] >= found.scores[1:]).all())
    (4, True)
    """
    seen = _measured(pixels, geometry, kind, wavelength, sensitivity)
    return _described(_places(seen), seen, pixels.shape, geometry)


def candidates(pixels: NDArray[Any], geometry: ImageGeometry, *, wavelength: int | None = None) -> Candidates:
    """Find everything in an EUV image of the whole Sun that may be an active region.

    Where `segment` decides for one outline of each place, this gives them all: that of a bright place alone,
    with the glow around it, and with its neighbours. `solartrack.tracking.detect` lets a network choose.

    Parameters
    ----------
    pixels, geometry, wavelength
        As for `segment`.

    Returns
    -------
    Candidates
        The outermost first; without any if the Sun is quiet.

    Raises
    ------
    ValueError, GeometryError, ImageError, ImportError
        As `segment`.

    Notes
    -----
    They are the connected parts of the level sets of the image that `segment` works on, from the outline of
    the active class on in steps of 0.12 in the logarithm of the contrast: the nodes of its component tree
    (Salembier, Oliveras & Garrido 1998, IEEE Trans. Image Processing 7, 555), but for opening and closing.
    Each has the size, the core and the mean contrast that `segment` asks for.

    Examples
    --------
    >>> from solartrack import simulate
    >>> from solartrack.coordinates import ImageGeometry
    >>> from solartrack.segmentation import candidates
    >>> frame = simulate.render(simulate.SunModel(1), "2014-02-01", size=256)
    >>> found = candidates(frame.array, ImageGeometry.from_header(frame.header))
    >>> found.boxes.shape[1], len(found.masks) == len(found.boxes)
    (4, True)
    """
    seen = _measured(pixels, geometry, "active_region", wavelength, 1.0)
    how, nothing = seen.how, np.zeros(seen.inside.shape, np.int32)
    ndimage = require("scipy.ndimage", extra="detect", purpose="finding regions")
    masks: list[tuple[tuple[int, int], Bool]] = []
    areas, strengths = [], []
    level, left = seen.edge, seen.inside > seen.edge
    while left.any():
        window, labels = _connected(left, nothing, how, seen.degree)
        for number, part in enumerate(ndimage.find_objects(labels), 1):
            contrast = seen.inside[window][part]
            mask = (labels[part] == number) & (contrast > _OUT)
            surface = _surface(seen.rho[window][part][mask], seen.degree)
            area = surface.sum()
            if area < how.smallest_deg2 or np.quantile(contrast[mask], _PEAK) < how.core:
                continue
            strength = (surface * contrast[mask]).sum() / area
            if strength >= _needed(area, how):
                masks.append(((window[1].start + part[1].start, window[0].start + part[0].start), mask))
                areas.append(area)
                strengths.append(strength)
        level += _LEVEL_STEP
        left &= seen.inside > level
    sides = [(x, y, x + mask.shape[1], y + mask.shape[0]) for (x, y), mask in masks]
    boxes = _lowered(sides, seen, pixels.shape, geometry)
    return Candidates(boxes, np.array(areas), np.exp(strengths), masks, seen.reduction)


class _Seen(NamedTuple):
    """What `_measured` makes of an image: arrays are of reduced pixels."""

    how: Kind
    contrast: Float32
    inside: Float32  # the contrast, -9 where it does not count
    rho: Float32
    hidden: Bool | None  # dark without being a hole
    edge: float
    degree: float  # pixels, at the middle of the disk
    reduction: int


def _measured(
    pixels: NDArray[Any], geometry: ImageGeometry, kind: str, wavelength: int | None, sensitivity: float
) -> _Seen:
    """Contrast with the quiet Sun, and where the outline of what is extreme begins."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    how = KINDS[kind]
    if wavelength is None:
        wavelength = 171 if kind == "active_region" else 193
    if wavelength not in how.wavelengths:
        listed = ", ".join(map(str, how.wavelengths))
        raise ValueError(f"kind {kind!r} can be told in images of {listed} angstrom, got one of {wavelength}")
    if not 0.2 <= sensitivity <= 5.0:
        raise ValueError(f"sensitivity must be 0.2 to 5, got {sensitivity!r}")
    how = replace(how, weakest=how.weakest / sensitivity, share=how.share / sensitivity)
    if pixels.ndim != 2:
        raise ValueError(f"pixels must have shape (ny, nx), got {pixels.shape}")
    radius = geometry.disk_radius
    if radius < 16.0:
        raise GeometryError(f"the disk must be at least 32 pixels across, got {2.0 * radius:.1f}")
    reduction = max(1, int(radius // _RADIUS))
    light, known = _reduced(pixels, reduction)
    rho = _rho(light.shape, geometry, reduction)
    _must_show_a_disk(light, known, rho, pixels, radius / reduction)
    degree = np.radians(1.0) * radius / reduction

    known = known & ~_in_shadow(light, known, rho, pixels.dtype)
    log, floor = _log_intensity(light, known & (rho < _EDGE), pixels.dtype, wavelength)
    excess, known = _flattened(log, known, rho, how.blur_deg * degree)
    contrast = how.sign * excess
    if how.sign < 0:
        # Corona in front of a hole near the limb makes it brighter.
        contrast /= 0.4 + 0.6 * _mu(rho)
        if -0.85 * floor < how.core:  # the display ends before a hole is as dark as it is
            share = max(-0.85 * floor / how.core, 0.3)
            dimmed = {
                name: share * getattr(how, name)
                for name in ("weakest", "core", "mean", "rise", "faint", "step")
            }
            how = replace(how, **dimmed)
    edge = max(how.weakest, _boundary(how.sign * contrast[known & (rho < _EDGE)], how.sign))
    inside = np.where(known & (rho < 1.0), contrast, _OUT).astype(np.float32)
    hidden = ~known & (rho < 1.0) if how.sign < 0 else None
    return _Seen(how, contrast, inside, rho, hidden, edge, degree, reduction)


def _reduced(pixels: NDArray[Any], reduction: int) -> tuple[Float32, Bool]:
    """Means over square blocks, without those that are not finite, and where there is any."""
    ny, nx = (n // reduction * reduction for n in pixels.shape)
    part = pixels[:ny, :nx]
    if part.dtype.kind in "ui":
        blocks = part.reshape(ny // reduction, reduction, nx // reduction, reduction)
        return blocks.mean(axis=(1, 3), dtype=np.float32), np.ones(blocks.shape[::2], bool)
    finite = np.isfinite(part)
    values = np.where(finite, part, 0).astype(np.float32)
    shape = ny // reduction, reduction, nx // reduction, reduction
    count = finite.reshape(shape).sum(axis=(1, 3))
    total = values.reshape(shape).sum(axis=(1, 3))
    return (total / np.maximum(count, 1)).astype(np.float32), count > 0


def _rho(shape: tuple[int, int], geometry: ImageGeometry, reduction: int) -> Float32:
    """Distance of reduced pixels from the disk's centre, in radii."""
    x0, y0 = geometry.disk_center
    x = (np.arange(shape[1]) + 0.5) * reduction - x0
    y = (np.arange(shape[0]) + 0.5) * reduction - y0
    return np.asarray(np.sqrt(np.add.outer(y * y, x * x)) / geometry.disk_radius, dtype=np.float32)


def _must_show_a_disk(light: Float32, known: Bool, rho: Float32, pixels: NDArray[Any], radius: float) -> None:
    """Refuse what is no image of the whole Sun in EUV."""
    disk = rho < _EDGE
    whole = np.pi * (_EDGE * radius) ** 2
    if disk.sum() < 0.5 * whole:
        raise GeometryError(
            f"at least half of the disk must be inside the image, got {100.0 * disk.sum() / whole:.0f} %"
        )
    if known[disk].mean() < 0.5:
        raise ImageError("more than half of the pixels on the disk are NaN")
    values = light[disk & known]
    low, middle, high = np.quantile(values, [0.02, 0.5, 0.98])
    if not high > low:
        raise ImageError(f"the disk has no contrast: all its pixels are {middle:g}")
    if (values < 0.0).mean() > 0.1:
        raise ImageError(
            "a tenth of the pixels on the disk or more are negative, which is no EUV image; "
            "regions of magnetograms are in their catalogues"
        )
    if middle <= 0.0:
        raise ImageError("more than half of the disk is black")
    if pixels.dtype == np.uint8 and (values >= 254.0).mean() > 0.5:
        raise ImageError("more than half of the disk is saturated")
    sky = known & (rho > 1.25)
    if sky.sum() > 0.02 * disk.sum() and np.median(light[sky]) > 0.8 * middle:
        raise ImageError("the image shows no disk where the geometry says: the sky is as bright as the disk")


def _in_shadow(light: Float32, known: Bool, rho: Float32, dtype: np.dtype[Any]) -> Bool:
    """Black parts of the disk that reach across the limb, which shines wherever nothing is in front of it."""
    ndimage = require("scipy.ndimage", extra="detect", purpose="finding regions")
    black = known & (
        light <= (0.3 if dtype == np.uint8 else _BLACK * np.median(light[known & (rho < _EDGE)]))
    )
    if not black[(rho > 0.97) & (rho < 1.0)].any():
        return np.zeros_like(black)
    labels, count = ndimage.label(black & (rho < 1.0))
    across = np.bincount(labels[(rho > 0.97) & (rho < 1.0)], minlength=count + 1) > 4
    across[0] = False
    return np.asarray(across[labels])


def _log_intensity(
    light: Float32, disk: Bool, dtype: np.dtype[Any], wavelength: int
) -> tuple[Float32, float]:
    """Log of the intensity relative to the median of the disk, and that of the darkest that can be told."""
    if dtype == np.uint8:
        # Helioviewer's display: the square root of 10 to 3370 counts for 171, the logarithm of 78 to 4330 for
        # 193.
        share, dark = light / np.float32(255.0), 10.0
        if wavelength in (193, 195, 211, 284):
            dark = 78.0
            intensity = 78.0 * np.exp(share * np.log(4330.0 / 78.0))
        else:
            intensity = (np.sqrt(10.0) + share * (np.sqrt(3370.0) - np.sqrt(10.0))) ** 2
    else:
        intensity, dark = light, 0.0
    level = float(np.median(intensity[disk]))
    floor = max(0.5 * _BLACK, dark / level)
    return np.log(np.maximum(intensity / level, floor)).astype(np.float32), float(np.log(floor))


def _flattened(log: Float32, known: Bool, rho: Float32, sigma: float) -> tuple[Float32, Bool]:
    """What is left, smoothed, after the median of each ring is taken off."""
    ndimage = require("scipy.ndimage", extra="detect", purpose="finding regions")
    rings = np.minimum((rho * 50.0).astype(np.intp), 70)
    middle = np.zeros(72)
    order = np.argsort(rings[known], kind="stable")
    values, at = log[known][order], rings[known][order]
    ends = np.searchsorted(at, np.arange(73))
    for ring in range(72):
        part = values[ends[ring] : ends[ring + 1]]
        middle[ring] = np.median(part) if len(part) > 8 else (middle[ring - 1] if ring else 0.0)
    # One or two regions may fill the inner rings, so on the disk it is a smooth law of two numbers.
    inside = np.minimum((np.arange(72) + 0.5) / 50.0, 0.9)
    path = 1.0 / np.sqrt(1.0 - inside**2 + 0.15**2)
    law = np.polyfit(path[:45], middle[:45], 1, w=np.sqrt(np.diff(ends)[:45] + 1.0))
    blend = np.clip((np.arange(72) - 40) / 5.0, 0.0, 1.0)
    middle = (1.0 - blend) * np.polyval(law, path) + blend * middle
    level = np.interp(rho * 50.0 - 0.5, np.arange(72), middle)
    flat = np.where(known, log - level, 0.0).astype(np.float32)
    if not known.all():
        weight_map = ndimage.gaussian_filter(known.astype(np.float32), sigma, truncate=3.0)
        smooth = ndimage.gaussian_filter(flat, sigma, truncate=3.0) / np.maximum(weight_map, 1e-3)
        return smooth.astype(np.float32), known & (weight_map > 0.5)
    return ndimage.gaussian_filter(flat, sigma, truncate=3.0), known


def _boundary(excess: Float32, sign: int) -> float:
    """Log contrast at which a pixel belongs to the extreme class as much as to the quiet Sun."""
    counts, edges = np.histogram(excess, bins=_BINS, range=_RANGE)
    values = 0.5 * (edges[:-1] + edges[1:])
    centres = _fuzzy_c_means(values, counts.astype(float), np.array(_START))
    extreme = centres[2] if sign > 0 else centres[0]
    return float(sign * 0.5 * (extreme + centres[1]))


def _fuzzy_c_means(values: Float64Array, weights: Float64Array, centres: Float64Array) -> Float64Array:
    """Class centres of a weighted histogram, ascending (Bezdek 1981; Verbeeck et al. 2014, section 2.2)."""
    used = weights > 0.0
    x, w = values[used], weights[used]
    for _ in range(_ROUNDS):
        distance2 = np.maximum((x[:, None] - centres) ** 2, 1e-12)
        closeness = distance2 ** (-1.0 / (_FUZZIFIER - 1.0))
        member = (closeness / closeness.sum(axis=1, keepdims=True)) ** _FUZZIFIER * w[:, None]
        new = np.sort((member * x[:, None]).sum(axis=0) / member.sum(axis=0))
        if np.abs(new - centres).max() < _PRECISION:
            return np.asarray(new)
        centres = new
    return np.asarray(centres)


def _places(seen: _Seen) -> NDArray[np.int32]:
    """Connected places, each cut out at a share of its own contrast, cleaned and joined.

    The level rises from the edge. At each level places are cleaned, joined and numbered, and one whose own
    peak is not far above the level is final. So a faint neighbour of a bright place is not cut at the bright
    one's level, and the glow between the two is left.
    """
    ndimage = require("scipy.ndimage", extra="detect", purpose="finding regions")
    how, contrast = seen.how, seen.inside
    out = np.zeros(contrast.shape, np.int32)
    # Pixels; at the limb the Sun's surface is seen at an angle.
    least = how.smallest_deg2 * seen.degree**2 * 0.15
    level, count = seen.edge, 0
    left = contrast > seen.edge
    while left.any():
        window, labels = _connected(left, out, how, seen.degree)
        for number, part in enumerate(ndimage.find_objects(labels), 1):
            here = labels[part] == number
            values = contrast[window][part][here]
            values = values[values > _OUT]
            if len(values) < least:
                left[window][part][here] = False
                continue
            peak = np.quantile(values, _PEAK)
            if peak < how.core:
                left[window][part][here] = False
            elif level >= how.share * peak - how.less * _mu(seen.rho[window][part][here]).mean():
                count += 1
                whole = ndimage.binary_fill_holes(here) & (contrast[window][part] > _OUT)
                out[window][part][whole & (out[window][part] == 0)] = count
                left[window][part][whole] = False
        level += _LEVEL_STEP
        left &= contrast > level
    return out


def _connected(
    left: Bool, taken: NDArray[np.int32], how: Kind, degree: float
) -> tuple[tuple[slice, slice], NDArray[np.int32]]:
    """Window of a mask, and in it its connected parts after opening and closing, numbered."""
    measure, morphology = _skimage("skimage.measure"), _skimage("skimage.morphology")
    y, x = np.nonzero(left)
    window = slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1)
    width = round(how.join_deg * degree) + 2
    mask = np.pad(left[window], width)
    mask = morphology.isotropic_opening(mask, how.clean_deg * degree)
    # Active regions are bipoles along the parallels.
    mask = morphology.isotropic_closing(mask, how.join_deg * degree, spacing=(how.flatness, 1.0))
    inner = (slice(width, -width),) * 2
    return window, measure.label(mask[inner] & (taken[window] == 0), connectivity=2)


def _mu(rho: Float32) -> Float32:
    """Cosine of the angle between the line of sight and the normal of the surface."""
    return np.asarray(np.sqrt(np.maximum(1.0 - rho * rho, 0.0)), dtype=np.float32)


def _described(
    labels: NDArray[np.int32], seen: _Seen, shape: tuple[int, ...], geometry: ImageGeometry
) -> Segments:
    """Boxes, scores and the rest, without what is too small or too weak."""
    ndimage = require("scipy.ndimage", extra="detect", purpose="finding regions")
    how, contrast, rho, degree = seen.how, seen.contrast, seen.rho, seen.degree
    count = int(labels.max())
    inside = labels > 0
    at = labels[inside]
    surface = _surface(rho[inside], degree)
    area = np.bincount(at, weights=surface, minlength=count + 1).astype(np.float64)
    strength = np.bincount(at, weights=surface * contrast[inside], minlength=count + 1) / np.maximum(
        area, 1e-9
    )
    good = (area >= how.smallest_deg2) & (strength >= _needed(area, how))
    for k in np.flatnonzero(~good & (area >= how.faint_deg2) & (strength >= how.faint)).tolist():
        good[k] = k > 0 and _step(labels, k, contrast, rho, degree) >= how.step
    good[0] = False
    if seen.hidden is not None and seen.hidden.any():
        # What borders on black is a shadow: of the Earth or the Moon, or missing pixels.
        near = ndimage.binary_dilation(seen.hidden, iterations=max(2, round(1.5 * degree)))
        shadow = np.bincount(labels[near & inside], minlength=count + 1)
        good &= shadow < 0.1 * np.bincount(at, minlength=count + 1)
    # Twice the contrast and 100 square degrees give 0.75.
    score = 1.0 - np.exp(-0.7 * np.sqrt(area / 100.0) * strength / _SCORE_CONTRAST)
    kept = np.flatnonzero(good)
    kept = kept[np.argsort(-score[kept], kind="stable")]
    number = np.zeros(count + 1, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    slices = ndimage.find_objects(labels)
    sides = [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in (slices[k - 1] for k in kept)]
    boxes = _lowered(sides, seen, shape, geometry)
    mean = np.exp(how.sign * strength[kept])
    numbered = np.asarray(number[labels], dtype=np.int32)
    areas = np.asarray(area[kept], dtype=np.float64)
    return Segments(boxes, score[kept], areas, mean, numbered, seen.reduction)


def _surface(rho: Float32, degree: float) -> Float64Array:
    """Area on the Sun that pixels see, square degrees: 1 / mu times what they see at the disk's centre."""
    mu2 = np.maximum(1.0 - rho.astype(np.float64) ** 2, 0.02)
    return np.asarray(1.0 / np.sqrt(mu2) / degree**2)


def _needed(area: Float64Array, how: Kind) -> Float64Array:
    """Mean log contrast that a place of some area must have."""
    # From 200 square degrees on no less will do: else a whole quiet half of the Sun is a hole.
    return np.asarray(how.mean + how.rise * np.maximum(np.log2(100.0 / np.maximum(area, 1.0)), -1.0))


def _lowered(
    sides: list[tuple[int, int, int, int]], seen: _Seen, shape: tuple[int, ...], geometry: ImageGeometry
) -> Float64Array:
    """Boxes in the whole image, of the surface below what shines; from those in reduced pixels."""
    ny, nx = shape
    boxes = np.array(sides, dtype=np.float64).reshape(-1, 4) * seen.reduction
    # Loops are seen farther out than their feet, at most at the limb: what was cut there stays at it.
    middle = np.tile(geometry.disk_center, 2)
    return np.asarray(middle + (np.minimum(boxes, [nx, ny, nx, ny]) - middle) / (1.0 + seen.how.height))


def _outlines(mask: Bool, first: tuple[int, int], reduction: int) -> list[Float64Array]:
    """Closed outlines of a mask whose first pixel, column and row, is given; the longest first."""
    found = _skimage("skimage.measure").find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    lines = [np.asarray((line[:, ::-1] - 0.5 + first) * reduction, np.float64) for line in found]
    return sorted(lines, key=len, reverse=True)


def _step(labels: NDArray[np.int32], k: int, contrast: Float32, rho: Float32, degree: float) -> float:
    """How much the log contrast falls across the outline of a place; 0 at the limb, where that is unseen."""
    ndimage = require("scipy.ndimage", extra="detect", purpose="finding regions")
    width = max(1, round(_RING_DEG * degree))
    y, x = np.nonzero(labels == k)
    window = tuple(slice(max(0, v.min() - width - 1), v.max() + width + 2) for v in (y, x))
    here, near = labels[window] == k, rho[window] < _RING_EDGE
    inside = here & ~ndimage.binary_erosion(here, iterations=width) & near
    around = ndimage.binary_dilation(here, iterations=width) & ~ndimage.binary_dilation(here)
    outside = around & (labels[window] == 0) & near
    if not (inside.any() and outside.any()):
        return 0.0
    return float(contrast[window][inside].mean() - contrast[window][outside].mean())


def _skimage(module: str) -> Any:
    return require(module, extra="detect", purpose="finding regions")
