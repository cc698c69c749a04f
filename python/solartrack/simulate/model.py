"""The simulated Sun: its regions, their mergers, and its catalogue at any time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack.simulate._sphere import View, rectangle_box, wrap
from solartrack.simulate.history import Merge, draw_ephemeral, draw_history
from solartrack.simulate.holes import Hole, Split, draw_holes
from solartrack.simulate.regions import Region

__all__ = ["Patch", "SunModel", "as_datetime"]

Array = NDArray[np.float64]


class Patch(NamedTuple):
    """A row of the catalogue: an identity and its rectangle in Carrington degrees.

    Examples
    --------
    >>> from solartrack import simulate
    >>> patch = simulate.SunModel(1).patches("2014-02-01")[0]
    >>> patch.id, patch.west < patch.east, patch.south < patch.north
    (1, True, True)
    """

    id: int
    west: float
    east: float
    south: float
    north: float


def as_datetime(time: Any, name: str = "time") -> datetime:
    """A time as naive UTC `datetime`.

    Raises
    ------
    TypeError, ValueError
        If it is not a time, or carries a time zone.
    """
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            raise ValueError(f"{name} must be ISO 8601 such as '2014-02-01T12:00:00', got {time!r}") from None
    elif isinstance(time, np.datetime64):
        time = time.astype("datetime64[us]").item()
    elif hasattr(time, "to_datetime"):  # astropy.time.Time
        time = time.utc.to_datetime()
    if not isinstance(time, datetime):
        raise TypeError(f"{name} must be a datetime, an ISO string or an astropy Time, got {time!r}")
    if time.tzinfo is not None:
        raise ValueError(f"{name} must be UTC without a time zone, got {time.isoformat()}")
    return time


@dataclass(frozen=True)
class SunModel:
    """A Sun with a history: which regions live when and where.

    Parameters
    ----------
    seed : int
        Seed of everything random, textures included.
    n_regions : int
        Average number of regions that exist at any time on the whole Sun; about half are on the side that
        is seen. 0 is a quiet Sun.
    start : datetime, str or astropy Time
        First moment of the history, UTC.
    days : float
        Length of the history; frames must lie within it.
    merging : float
        Share of regions that emerge beside an older one and later merge with it, 0 to 1.
    b0_deg : float, optional
        Latitude of the disk centre; default: as seen from Earth on that date.
    regions : sequence of Region, optional
        Use these instead of drawing them.
    merges : sequence of Merge
        Mergers of `regions`; ignored if these are drawn.
    n_holes : int, optional
        Average number of coronal holes that exist at any time on the whole Sun, the two polar ones included;
        0 is a Sun without any. By default images are dark where a smooth texture is low and around the
        poles; these places have identities, too, but no history, and they are sheared by the rotation of
        active regions.
    splitting : float
        Share of the drawn holes wider than 10 degrees that lose a part in the course of their life, 0 to 1.
    breathing : float
        Factor on the fast changes of holes' outlines; not for the default ones.
    holes : sequence of Hole, optional
        Use these instead of drawing them.
    splits : sequence of Split
        Of `holes`; ignored if these are drawn.
    ephemeral : sequence of Region, optional
        Bipoles that live for days and are too small for the catalogue: images show them, but they have no
        box, mask or identity. Default: about five for each region, drawn all over the Sun.

    Raises
    ------
    ValueError
        If a number is out of range, two regions have the same id, or a merger names an unknown region.

    Notes
    -----
    Regions follow Hale's polarity law (even cycle), Joy's law with scatter and the differential rotation of
    active regions (`solartrack.coordinates.rotation_rate`); their sizes are log-normal. They rise in days
    and decay in weeks. Like the box of a definitive HARP, a region's rectangle holds its field for its whole
    life and rotates at the rate of its centre. Holes rotate by a law of their own, grow and
    shrink over their whole life, and have an outline that changes all the time.

    Examples
    --------
    >>> from solartrack import simulate
    >>> model = simulate.SunModel(1, days=10)
    >>> model.days_at("2014-02-03T12:00"), len(model.alive(2.5))
    (2.5, 101)
    >>> list(model.events())
    ['time', 'event', 'id', 'into']
    """

    seed: int
    n_regions: int = 20
    start: Any = "2014-02-01T00:00:00"
    days: float = 14.0
    merging: float = 0.15
    b0_deg: float | None = None
    regions: tuple[Region, ...] | None = field(default=None, repr=False)
    merges: tuple[Merge, ...] = field(default=(), repr=False)
    ephemeral: tuple[Region, ...] | None = field(default=None, repr=False)
    n_holes: int | None = None
    splitting: float = 0.25
    breathing: float = 1.0
    holes: tuple[Hole, ...] | None = field(default=None, repr=False)
    splits: tuple[Split, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise ValueError(f"seed must be a non-negative integer, got {self.seed!r}")
        if not 0 <= self.n_regions <= 100:
            raise ValueError(f"n_regions must be 0 to 100, got {self.n_regions!r}")
        if not 0.0 < self.days <= 3660.0:
            raise ValueError(f"days must be positive and at most 3660, got {self.days!r}")
        if not 0.0 <= self.merging <= 1.0:
            raise ValueError(f"merging must be 0 to 1, got {self.merging!r}")
        if self.n_holes is not None and not 0 <= self.n_holes <= 60:
            raise ValueError(f"n_holes must be 0 to 60, got {self.n_holes!r}")
        if not 0.0 <= self.splitting <= 1.0:
            raise ValueError(f"splitting must be 0 to 1, got {self.splitting!r}")
        if not 0.0 <= self.breathing <= 10.0:
            raise ValueError(f"breathing must be 0 to 10, got {self.breathing!r}")
        if self.b0_deg is not None and not -90.0 < self.b0_deg < 90.0:
            raise ValueError(f"b0_deg must be between -90 and 90, got {self.b0_deg!r}")
        object.__setattr__(self, "seed", int(self.seed))
        object.__setattr__(self, "start", as_datetime(self.start, "start"))
        if self.regions is None:
            regions, merges = draw_history(self.seed, self.n_regions, self.days, self.merging)
        else:
            regions, merges = tuple(self.regions), tuple(self.merges)
            known = {r.id for r in regions}
            if len(known) != len(regions):
                raise ValueError("regions must have distinct ids")
            for merge in merges:
                if not {merge.kept, merge.absorbed} <= known:
                    raise ValueError(f"{merge} names a region that is not in regions")
            regions = tuple(r if any(r.rectangle_deg) else r.with_rectangle() for r in regions)
        object.__setattr__(self, "regions", regions)
        ephemeral = self.ephemeral
        if ephemeral is None:
            ephemeral = draw_ephemeral(self.seed, self.n_regions, self.days)
        object.__setattr__(self, "ephemeral", tuple(ephemeral))
        object.__setattr__(self, "merges", merges)
        self._set_holes()

    def _set_holes(self) -> None:
        """Draw the holes if they are wanted and not given."""
        holes, splits = self.holes, tuple(self.splits)
        if holes is None:
            if self.n_holes is None:
                return
            holes, splits = draw_holes(self.seed, self.n_holes, self.days, self.splitting)
        holes = tuple(holes)
        known = {h.id for h in holes}
        if len(known) != len(holes) or not all(n > 0 for n in known):
            raise ValueError("holes must have distinct ids of at least 1")
        for split in splits:
            if not {split.kept, split.new} <= known:
                raise ValueError(f"{split} names a hole that is not in holes")
        object.__setattr__(self, "holes", holes)
        object.__setattr__(self, "splits", tuple(sorted(splits)))

    def days_at(self, time: Any) -> float:
        """Days since the start.

        Raises
        ------
        ValueError
            If the time lies outside the model's history.
        """
        moment = as_datetime(time)
        days: float = (moment - self.start).total_seconds() / 86400.0
        if not -1e-9 <= days <= self.days + 1e-9:
            end = self.start + timedelta(days=self.days)
            raise ValueError(
                f"time must be from {self.start.isoformat()} to {end.isoformat()}, got {moment.isoformat()}; "
                "give SunModel an earlier start or more days"
            )
        return days

    def alive(self, days: float) -> list[Region]:
        """Regions that exist on a day, ephemeral ones included."""
        assert self.regions is not None and self.ephemeral is not None
        return [r for r in (*self.regions, *self.ephemeral) if r.lives(days)]

    def patches(self, time: Any) -> list[Patch]:
        """Rectangles of the regions that exist at a time, on the whole Sun, in order of id."""
        days = self.days_at(time)
        assert self.regions is not None
        by_id = {r.id: r for r in self.regions}
        done = [m for m in self.merges if m.days <= days]
        absorbed = {m.absorbed for m in done}
        out = []
        for region in self.regions:
            if region.id in absorbed:
                continue
            parts = [region, *(by_id[m.absorbed] for m in done if m.kept == region.id)]
            if not any(p.lives(days) for p in parts):
                continue
            west, east, south, north = region.rectangle_at(days)
            for m in done:
                if m.kept != region.id:
                    continue
                # The union at the moment of merging; from then on it moves with the older region.
                other = by_id[m.absorbed].rectangle_at(m.days)
                turn = float(wrap(np.array(other[0] - region.lon_at(m.days)))) - (
                    other[0] - region.lon_at(m.days)
                )
                shift = region.lon_at(days) - region.lon_at(m.days) + turn
                west, east = min(west, other[0] + shift), max(east, other[1] + shift)
                south, north = min(south, other[2]), max(north, other[3])
            out.append(Patch(region.id, west, east, south, north))
        return sorted(out)

    def events(self) -> pd.DataFrame:
        """Births, mergers and deaths within the history.

        Returns
        -------
        DataFrame
            Columns ``time``, ``event`` ("birth", "merge" or "death"), ``id`` and
            ``into`` (the id that is kept in a merger, else NA), in order of time.
        """
        assert self.regions is not None
        absorbed = {m.absorbed for m in self.merges}
        last = {r.id: r.death_days for r in self.regions}
        for m in self.merges:
            last[m.kept] = max(last[m.kept], last[m.absorbed])
        rows: list[tuple[float, str, int, int | None]] = []
        rows += [(r.birth_days, "birth", r.id, None) for r in self.regions]
        rows += [(m.days, "merge", m.absorbed, m.kept) for m in self.merges]
        rows += [(last[r.id], "death", r.id, None) for r in self.regions if r.id not in absorbed]
        rows = sorted(r for r in rows if 0.0 <= r[0] <= self.days)
        table = pd.DataFrame(rows, columns=["time", "event", "id", "into"])
        table["time"] = pd.to_datetime([self.start + timedelta(days=r[0]) for r in rows])
        return table.astype({"id": "int64", "into": "Int64"})

    def hole_events(self) -> pd.DataFrame:
        """Births, splits and deaths of holes within the history.

        Returns
        -------
        DataFrame
            Columns ``time``, ``event`` ("birth", "split" or "death"), ``id`` and ``out_of`` (the hole that a
            part has left, else NA), in order of time. Empty for a model without a history of holes.
        """
        holes = self.holes or ()
        by_id = {h.id: h for h in holes}
        parts = {s.new: s for s in self.splits if s.days < by_id[s.new].death_days}
        rows: list[tuple[float, str, int, int | None]] = []
        rows += [(h.birth_days, "birth", h.id, None) for h in holes if h.id not in parts]
        rows += [(s.days, "split", s.new, s.kept) for s in parts.values()]
        rows += [(h.death_days, "death", h.id, None) for h in holes]
        rows = sorted(r for r in rows if 0.0 <= r[0] <= self.days)
        table = pd.DataFrame(rows, columns=["time", "event", "id", "out_of"])
        table["time"] = pd.to_datetime([self.start + timedelta(days=r[0]) for r in rows])
        return table.astype({"id": "int64", "out_of": "Int64"})

    def boxes(self, view: View, time: Any) -> tuple[Array, NDArray[np.int64], list[Patch]]:
        """Boxes, ids and patches of the regions in sight; boxes are cut to the image."""
        boxes, patches = [], []
        for patch in self.patches(time):
            box = rectangle_box(view, patch.west, patch.east, patch.south, patch.north)
            if box is None:
                continue
            box = np.clip(box, 0.0, view.size)
            if box[2] > box[0] and box[3] > box[1]:
                boxes.append(box)
                patches.append(patch)
        ids = np.array([p.id for p in patches], dtype=np.int64)
        return np.array(boxes, dtype=np.float64).reshape(-1, 4), ids, patches
