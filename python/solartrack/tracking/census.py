"""Which regions begin and which end, by what is found in the images on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solartrack._arrays import Float64Array
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError
from solartrack.inference import Model
from solartrack.metrics.overlap import coverage, iou
from solartrack.sequence import Frame
from solartrack.tracking.detect import detect

__all__ = ["Census", "Found", "Match", "at_limb", "match"]

#: A track that is not found in so many searches in a row ends.
MISSES = 3
#: A region that is found with a score above this needs no second search to be believed.
SURE = 0.7
#: Least IoU of a track's box and what is found.
ALIKE = 0.2
#: Below this IoU a track begins anew with the box of what is found.
RENEW = 0.5
#: One box is part of another if at least this share of it is inside.
INSIDE = 0.5
#: Distance of a box's middle from the disk's centre, in radii, from which the limb makes regions hard to see.
LIMB = 0.92


class Found(NamedTuple):
    """What is found in an image.

    Attributes
    ----------
    boxes : ndarray of float64, shape (n, 4)
    scores : ndarray of float64, shape (n,)
    """

    boxes: Float64Array
    scores: Float64Array


class Match(NamedTuple):
    """Which boxes of tracks and of what is found belong together.

    Attributes
    ----------
    found : list of int, shape (m,)
        For each track: which of what is found it is, -1 for none.
    overlaps : list of float, shape (m,)
        Their IoU, 0 for none.
    seen : list of bool, shape (m,)
        Whether anything that is found shows that the track's region is still there.
    part_of : dict of int to int
        What is found and is no track: the track that it lies in, -1 for none.
    """

    found: list[int]
    overlaps: list[float]
    seen: list[bool]
    part_of: dict[int, int]


def match(tracks: Float64Array, found: Float64Array) -> Match:
    """Match boxes of tracks with what is found.

    Parameters
    ----------
    tracks : ndarray of float64, shape (m, 4)
        Where the tracks are in the image, after the Sun's rotation.
    found : ndarray of float64, shape (n, 4)

    Returns
    -------
    Match
        The pairs with the largest sum of IoU (Kuhn 1955, Naval Research Logistics 2, 83).
    """
    from scipy import optimize  # only here: it takes long to import

    overlap = iou(tracks, found, pairwise=False, threads=1)
    rows, columns = optimize.linear_sum_assignment(np.where(overlap >= ALIKE, overlap, 0.0), maximize=True)
    good = overlap[rows, columns] >= ALIKE
    of_track, overlaps = np.full(len(tracks), -1), np.zeros(len(tracks))
    of_track[rows[good]], overlaps[rows[good]] = columns[good], overlap[rows, columns][good]
    # Shares: of what is found inside a track, and of a track inside what is found.
    inside = coverage(tracks, found, pairwise=False, threads=1)
    around = coverage(found, tracks, pairwise=False, threads=1).T
    rest = np.setdiff1d(np.arange(len(found)), of_track)
    seen = (of_track >= 0) | (inside[:, rest] >= INSIDE).any(axis=1) | (around >= INSIDE).any(axis=1)
    part_of = {
        int(k): int(inside[:, k].argmax()) if inside[:, k].max(initial=0.0) >= INSIDE else -1 for k in rest
    }
    return Match(of_track.tolist(), overlaps.tolist(), seen.tolist(), part_of)


class Census:
    """Searches images for regions of a kind; the searches are planned before the first one.

    Parameters
    ----------
    kind : {"active_region", "coronal_hole"}
    frames : sequence of Frame
        In the order of time.
    usable : sequence of bool
        Of the images: only these are searched.
    every_days : float
        Least time from one search to the next.
    model : Model, optional
        That draws the boxes, see `detect`.

    Attributes
    ----------
    places : list of int
        Places in the sequence of the images that are searched.
    """

    def __init__(
        self,
        kind: str,
        frames: Sequence[Frame],
        usable: Sequence[bool],
        every_days: float,
        model: Model | None = None,
    ) -> None:
        self.kind, self._model = kind, model
        bands = Counter(frame.wavelength for frame in frames if frame.wavelength is not None)
        self._band = bands.most_common(1)[0][0] if bands else None
        self.places: list[int] = []
        for place, frame in enumerate(frames):
            since = frame.mjd_tai - frames[self.places[-1]].mjd_tai if self.places else np.inf
            # Cadences are not exact; unknown times, NaN, do not keep from searching.
            if usable[place] and not since < 0.9 * every_days and since != 0.0:
                self.places.append(place)

    def search(self, frame: Frame) -> Found:
        """Find the regions of an image.

        Raises
        ------
        ImageError, GeometryError, ValueError
            If it cannot be searched, or is of another channel than most images.
        """
        if frame.geometry is None:
            raise GeometryError(frame.no_geometry or "nothing tells where the Sun is")
        band = frame.wavelength
        if band is not None and band != self._band:
            raise ImageError(f"the image is of {band:g} angstrom, most are of {self._band:g}")
        image = frame.file if frame.pixels is None else frame.pixels
        known = None if band is None or frame.pixels is None else round(band)
        table = detect(image, self.kind, geometry=frame.geometry, wavelength=known, model=self._model)
        boxes = table[["x0", "y0", "x1", "y1"]].to_numpy(np.float64)
        return Found(boxes, table["score"].to_numpy(np.float64))


def at_limb(box: Float64Array, geometry: ImageGeometry) -> str:
    """Say "east" or "west" if the middle of a box is near that limb, else ""."""
    tx, ty = geometry.pixel_to_helioprojective(0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3]))
    if float(np.hypot(tx, ty)) < LIMB * geometry.rsun_arcsec:
        return ""
    return "east" if tx < 0.0 else "west"
