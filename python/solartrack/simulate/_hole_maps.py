"""Where the coronal holes are at a time, by identity: those of a history, or the dark places of the texture.

A model without `SunModel.n_holes` has no history of holes. Its images are dark where a smooth texture is low
and around the poles, as they were before holes had identities; here these places are found and followed.
"""

import zlib
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from solartrack.simulate import _texture
from solartrack.simulate._activity import activity
from solartrack.simulate.holes import SHAPE, bridge

if TYPE_CHECKING:
    from solartrack.simulate.model import SunModel

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

_EDGE_DEG = 0.6  # the brightness changes within about this distance of the outline
_CLOSED_DEG = 25.0  # how much farther out than without it a place beside an active region is
_STEP_DAYS = 0.5  # in which dark places of the texture are followed
_SMALLEST_DEG2 = 6.0  # dark places that are smaller have no identity


def hole_maps(model: "SunModel", days: float) -> dict[int, Float32]:
    """How far places lie inside each hole of a model's history, by id; see `Hole.inside`."""
    assert model.holes is not None
    by_id = {h.id: h for h in model.holes}
    alive = {n: h.inside(days, model.breathing) for n, h in by_id.items() if h.lives(days)}
    # The latest split first, so that a part of a part ends in the whole.
    for split in reversed(model.splits):
        if split.days <= days or split.new not in alive:
            continue
        part = alive.pop(split.new)
        if split.kept in alive:
            joint = bridge(by_id[split.kept], by_id[split.new], split.days, days)
            part = np.maximum(np.maximum(part, joint), alive[split.kept])
        alive[split.kept] = part
    if alive:
        # The field of active regions is closed.
        closed = _CLOSED_DEG * activity(model.alive(days), days, 1.5, SHAPE)
        alive = {number: depth - closed for number, depth in alive.items()}
    return dict(sorted(alive.items()))


def darkness(model: "SunModel", days: float) -> Float32:
    """How much of a place is hole, 0 to 1, on the grid of `hole_maps`."""
    inside = np.full(SHAPE, -90.0, np.float32)
    for part in hole_maps(model, days).values():
        np.maximum(inside, part, out=inside)
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(-inside / (0.5 * _EDGE_DEG), -30, 30))), dtype=np.float32)


def texture_depth(coarse: Float32, lat_deg: NDArray[np.floating]) -> NDArray[np.floating]:
    """How far dark places of the texture are from their edge, positive inside; shape of the arguments."""
    polar = (np.abs(lat_deg) + 4.0 * coarse - 66.0) / 1.5
    low_latitude = (-1.5 - coarse) / 0.12
    return np.asarray(np.maximum(polar, low_latitude))


def texture_map(seed: int, days: float) -> Float32:
    """`texture_depth` on the grid of `hole_maps`."""
    lat, lon = (a.ravel() for a in np.meshgrid(*_texture.axes(SHAPE), indexing="ij"))
    coarse = _texture.rotating("coarse", seed, days, 8.0, lon, lat)
    return np.asarray(texture_depth(coarse, lat), dtype=np.float32).reshape(SHAPE)


def texture_ids(seed: int, days: float) -> tuple[Float32, Int32]:
    """`texture_map`, and the identity of the dark place that a place belongs to or borders on, else 0."""
    depth = texture_map(seed, days)
    step = int(np.floor(days / _STEP_DAYS + 1e-9))
    labels = _labels(depth)
    ids = _inherit(labels, _followed(seed).at(step))
    # Those that have appeared since are known from the step to come.
    later = _inherit(labels, _followed(seed).at(step + 1))
    for label in np.unique(labels[labels > 0]):
        if ids[label] == 0 and later[label] not in ids:
            ids[label] = later[label]
    places = ids[labels]
    away, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    return depth, np.where(away < 1.6, places[tuple(nearest)], 0)


class _Followed:
    """Identities of a seed's dark places, step by step from the start of the model, made when asked for."""

    def __init__(self, seed: int) -> None:
        self._seed, self._last, self._lock = seed, 0, Lock()
        self._steps: list[bytes] = []  # compressed: a map of few labels takes some kilobytes

    def at(self, step: int) -> Int32:
        """Identity of each place on the grid, 0 for none."""
        with self._lock:
            before = self._map(len(self._steps) - 1) if self._steps else None
            while len(self._steps) <= step:
                labels = _labels(texture_map(self._seed, len(self._steps) * _STEP_DAYS))
                ids = np.zeros(labels.max() + 1, np.int32) if before is None else _inherit(labels, before)
                new = np.flatnonzero(ids[1:] == 0) + 1
                ids[new] = np.arange(self._last + 1, self._last + 1 + len(new))
                self._last += len(new)
                before = ids[labels]
                self._steps.append(zlib.compress(before.tobytes(), 1))
            return self._map(step)

    def _map(self, step: int) -> Int32:
        return np.frombuffer(zlib.decompress(self._steps[step]), np.int32).reshape(SHAPE)


@lru_cache(maxsize=16)
def _followed(seed: int) -> _Followed:
    return _Followed(seed)


def _labels(depth: Float32) -> Int32:
    """Connected dark places on the grid, numbered from 1; tiny ones are 0."""
    labels, count = ndimage.label(depth > 0.0, structure=np.ones((3, 3)))
    # Longitude is periodic.
    joined = np.arange(count + 1)
    for a, b in {(int(p), int(q)) for p, q in zip(labels[:, 0], labels[:, -1], strict=True) if p and q}:
        joined[joined == joined[b]] = joined[a]
    labels = joined[labels]
    lat, _ = _texture.axes(SHAPE)
    cell = np.cos(np.radians(lat)) * (180.0 / SHAPE[0]) * (360.0 / SHAPE[1])
    area = np.bincount(labels.ravel(), weights=np.repeat(cell, SHAPE[1]), minlength=count + 1)
    area[0] = 0.0
    kept = np.flatnonzero(area >= _SMALLEST_DEG2)
    number = np.zeros(count + 1, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return np.asarray(number[labels], dtype=np.int32)


def _inherit(labels: Int32, before: Int32) -> Int32:
    """Identity of each label: that of the place which it overlaps most, if no other overlaps that more."""
    ids = np.zeros(labels.max() + 1, np.int32)
    both = (labels > 0) & (before > 0)
    pairs, counts = np.unique(np.stack([labels[both], before[both]]), axis=1, return_counts=True)
    taken: set[int] = set()
    for k in np.argsort(-counts, kind="stable"):
        label, old = int(pairs[0, k]), int(pairs[1, k])
        if ids[label] == 0 and old not in taken:
            ids[label] = old
            taken.add(old)
    return ids
