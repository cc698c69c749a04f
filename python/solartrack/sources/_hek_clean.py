"""From events to tracks of ground-truth boxes, by steps that are functions of tables."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from astropy import units as u
from astropy.time import Time
from astropy.utils.exceptions import AstropyWarning

from solartrack._arrays import Float64Array
from solartrack.coordinates import RSUN_M
from solartrack.coordinates.ephemeris import earth
from solartrack.sources._hek_outline import inner_box
from solartrack.sources._hek_table import BOX_COLUMNS, EVENT_COLUMNS, rings

__all__ = [
    "Split",
    "Tracks",
    "drop_duplicates",
    "drop_repeated_starts",
    "drop_unusable",
    "group_objects",
    "limb_filter",
    "outline_boxes",
    "outlines",
    "shape_filter",
    "shapes",
    "solar_radius_arcsec",
    "tracks",
]

# Two rows that differ only in these are the same.
_NAMES = ("event", "kb_archivid")
_OBJECT = ["event_type", "frm_name"]


class Split(NamedTuple):
    """What a step of cleaning makes of a table of events.

    Attributes
    ----------
    kept : pandas.DataFrame
    excluded : pandas.DataFrame
        The other rows, with the column ``reason``.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> kept, excluded = hek.drop_unusable(hek.events_table([near, row]))
    >>> len(kept), excluded["reason"].tolist()
    (1, ['hpc_bbox is empty'])
    """

    kept: pd.DataFrame
    excluded: pd.DataFrame


class Tracks(NamedTuple):
    """Objects and their ground-truth boxes.

    Attributes
    ----------
    catalogue : pandas.DataFrame
        A row for each object, as `solartrack.archive.track_archive` takes it: ``event`` (the name of the
        object), ``time`` and ``end`` (of its first and last box), ``tx0``, ``ty0``, ``tx1``, ``ty1`` (its
        first box), then ``event_type``, ``frm_name``, ``frm_specificid``, ``ar_noaanum`` (the first that
        its rows have) and ``boxes`` (how many).
    boxes : pandas.DataFrame
        All boxes: the columns of the events, of which ``event`` is now the name of the object and ``time``
        that of the box; by object and time.
    excluded : pandas.DataFrame
        The other events, with the column ``reason``.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> made = hek.tracks(hek.events_table([{**near, "frm_specificid": "7747"}]), more_than=0)
    >>> made.catalogue["event"].tolist()
    ['SPoCA_AR_7747']
    >>> len(made.boxes), len(made.excluded)
    (1, 0)
    """

    catalogue: pd.DataFrame
    boxes: pd.DataFrame
    excluded: pd.DataFrame


def drop_unusable(events: pd.DataFrame) -> Split:
    """Drop rows that have no usable box or time.

    Parameters
    ----------
    events : pandas.DataFrame
        As `solartrack.sources.hek.search` gives it.

    Returns
    -------
    Split
        The reason is that of the column ``trouble``.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> hek.drop_unusable(hek.events_table([near, row])).excluded["reason"].tolist()
    ['hpc_bbox is empty']
    """
    _check(events)
    return _split(events, events["trouble"].to_numpy(dtype=object))


def drop_duplicates(events: pd.DataFrame) -> Split:
    """Drop rows that equal an earlier one in all columns but their own name.

    Parameters
    ----------
    events : pandas.DataFrame

    Returns
    -------
    Split

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> again = {**near, "kb_archivid": "b"}
    >>> hek.drop_duplicates(hek.events_table([near, again])).excluded[["event", "reason"]]
      event                 reason
    1     b  equals an earlier row
    """
    _check(events)
    same = events.duplicated([name for name in events if name not in _NAMES])
    return _split(events, np.where(same, "equals an earlier row", ""))


def drop_repeated_starts(events: pd.DataFrame, *, by: str = "frm_specificid") -> Split:
    """Drop rows of an object that start when an earlier row of it does.

    Parameters
    ----------
    events : pandas.DataFrame
    by : str
        The column that names objects, within an ``event_type`` and ``frm_name``.

    Returns
    -------
    Split
        Rows that name no object are kept.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> rows = [{**near, "frm_specificid": "7747"}, {**near, "frm_specificid": "7747", "kb_archivid": "b"}]
    >>> hek.drop_repeated_starts(hek.events_table(rows)).excluded["event"].tolist()
    ['b']
    """
    _check(events, by)
    again = events.duplicated([*_OBJECT, by, "time"]) & ~_blank(events[by])
    return _split(events, np.where(again, "starts at the time of an earlier row of the same object", ""))


def limb_filter(events: pd.DataFrame, radius: Any = None) -> Split:
    """Drop rows with a corner of their box beyond the limb.

    Parameters
    ----------
    events : pandas.DataFrame
    radius : float, array_like or Quantity, optional
        Of the solar disk, arcsec, one or one for each row; such as ``RSUN_OBS`` of an image. Default: of the
        time, as seen from the Earth (`solar_radius_arcsec`).

    Returns
    -------
    Split
        Rows without a box, and with the default those without a time, are excluded, too.

    Raises
    ------
    ValueError
        If the radius is not positive, or there are more or fewer than rows.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> far = {**row, "hpc_bbox": "POLYGON((900 0,990 0,990 90,900 90,900 0))", "kb_archivid": "b"}
    >>> hek.limb_filter(hek.events_table([near, far])).excluded["reason"].tolist()
    ["a corner of its box is 994.1 arcsec from the disk's centre, beyond the limb at 975.5"]
    """
    _check(events)
    if radius is None:
        limits = solar_radius_arcsec(events["time"])
    else:
        given = radius.to_value(u.arcsec) if isinstance(radius, u.Quantity) else radius
        given = np.asarray(given, dtype=np.float64)
        if given.shape not in ((), (len(events),)):
            raise ValueError(f"radius must be one or {len(events)} numbers, got shape {given.shape}")
        if not (given > 0).all():
            raise ValueError(f"radius must be positive arcsec, got {given.min()}")
        limits = np.broadcast_to(given, len(events))
    x0, y0, x1, y1 = (events[name].to_numpy() for name in BOX_COLUMNS)
    farthest = np.hypot(np.maximum(abs(x0), abs(x1)), np.maximum(abs(y0), abs(y1)))
    reasons = np.full(len(events), "", dtype=object)
    for i in np.flatnonzero(~(farthest <= limits)):
        reasons[i] = (
            f"a corner of its box is {farthest[i]:.1f} arcsec from the disk's centre, beyond the limb at "
            f"{limits[i]:.1f}"
            if np.isfinite([farthest[i], limits[i]]).all()
            else "it has no box or no time"
        )
    return _split(events, reasons)


def solar_radius_arcsec(times: Any) -> Float64Array:
    """Radius of the solar disk, as seen from the Earth.

    Parameters
    ----------
    times : array_like of datetime64, shape (n,)
        UTC.

    Returns
    -------
    ndarray of float64, shape (n,)
        Arcsec, for a photosphere of 695.7 Mm (IAU 2015); NaN for NaT.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> hek.solar_radius_arcsec(["2014-01-03", "2014-07-04"]).round(1)
    array([975.5, 943.5])
    """
    moments = np.asarray(times, dtype="datetime64[us]")
    different, which = np.unique(moments, return_inverse=True)
    radii = np.full(len(different), np.nan)
    known = ~np.isnat(different)
    if known.any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)  # leap seconds of years to come
            distance = earth(Time(different[known], scale="utc")).distance_m
        radii[known] = np.degrees(np.arcsin(RSUN_M / distance)) * 3600.0
    return radii[which.reshape(moments.shape)]


def shape_filter(
    events: pd.DataFrame,
    *,
    area: tuple[float | None, float | None] | None = None,
    perimeter: tuple[float | None, float | None] | None = None,
    thinness: tuple[float | None, float | None] | None = None,
    of: str = "box",
) -> Split:
    """Drop rows whose area, perimeter or thinness is out of limits.

    Parameters
    ----------
    events : pandas.DataFrame
    area, perimeter, thinness : tuple, optional
        Least and greatest value, inclusive, either None; see `shapes`. Default: no limits.
    of : {"box", "outline"}

    Returns
    -------
    Split
        With a limit, rows without the shape are excluded, too.

    Raises
    ------
    ValueError
        If a limit is no pair, or its first number is greater than the second.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> hek.shape_filter(hek.events_table([near]), area=(40000, None)).excluded["reason"].tolist()
    ['area of its box is 3e+04, not 40000 to inf']
    """
    _check(events)
    reasons = np.full(len(events), "", dtype=object)
    limits = {"area": area, "perimeter": perimeter, "thinness": thinness}
    if any(pair is not None for pair in limits.values()):
        numbers = shapes(events, of=of)
        for name, pair in limits.items():
            if pair is None:
                continue
            low, high = _limits(name, pair)
            values = numbers[name].to_numpy()
            for i in np.flatnonzero(~((values >= low) & (values <= high))):
                reasons[i] = reasons[i] or f"{name} of its {of} is {values[i]:.4g}, not {low:g} to {high:g}"
    return _split(events, reasons)


def shapes(events: pd.DataFrame, *, of: str = "box") -> pd.DataFrame:
    """Numbers that describe boxes or outlines, in the plane of the sky.

    Parameters
    ----------
    events : pandas.DataFrame
    of : {"box", "outline"}
        The box ``tx0 ...``, or the polygon ``hpc_boundcc``.

    Returns
    -------
    pandas.DataFrame
        Of the index of `events`: ``area`` (A, arcsec^2), ``perimeter`` (P, arcsec) and ``thinness``,
        4 pi A / P^2, which is 1 for a circle, 0.785 for a square and 0 for a line; NaN where there is none.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> hek.shapes(hek.events_table([near])).round(3)
          area  perimeter  thinness
    0  30000.0      700.0     0.769
    """
    if of == "box":
        width = events["tx1"].to_numpy() - events["tx0"].to_numpy()
        height = events["ty1"].to_numpy() - events["ty0"].to_numpy()
        area, perimeter = width * height, 2.0 * (width + height)
    elif of == "outline":
        pairs = [_area_and_perimeter(ring) for ring in rings(events["hpc_boundcc"])]
        area, perimeter = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    else:
        raise ValueError(f"of must be 'box' or 'outline', got {of!r}")
    with np.errstate(invalid="ignore", divide="ignore"):
        thinness = 4.0 * np.pi * area / perimeter**2
    return pd.DataFrame({"area": area, "perimeter": perimeter, "thinness": thinness}, index=events.index)


def group_objects(events: pd.DataFrame, *, by: str = "frm_specificid", more_than: int = 2) -> Split:
    """Keep objects of more than a few rows; ``event`` of the kept rows becomes the name of the object.

    Parameters
    ----------
    events : pandas.DataFrame
    by : str
        The column that names objects, within an ``event_type`` and ``frm_name``.
    more_than : int
        How many rows are too few.

    Returns
    -------
    Split
        The kept rows by object and time. Names are the ids themselves where these say the method and the
        type (``SPoCA_v1.0_AR_0000007747``), else they are put before it (``HMI_SHARP_AR_3535``).

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> row = {"event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00"}
    >>> near = {**row, "kb_archivid": "a"}
    >>> near["hpc_bbox"] = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> rows = [{**near, "frm_specificid": "7747", "kb_archivid": name} for name in ("a", "b")]
    >>> hek.group_objects(hek.events_table(rows), more_than=1).kept["event"].tolist()
    ['SPoCA_AR_7747', 'SPoCA_AR_7747']
    """
    _check(events, by)
    blank = _blank(events[by]).to_numpy()
    columns = (events["event_type"], events["frm_name"], events[by])
    names = pd.Series([_name(*row) for row in zip(*columns, strict=True)], dtype="str")
    sizes = names.map(names[~blank].value_counts()).fillna(0).to_numpy(dtype=np.int64)
    reasons = np.full(len(events), "", dtype=object)
    for i in np.flatnonzero(blank | (sizes <= more_than)):
        reasons[i] = (
            f"it has no {by}, which names objects"
            if blank[i]
            else f"its object {names[i]} has {sizes[i]} usable boxes, not more than {more_than}"
        )
    kept, excluded = _split(events, reasons)
    kept = kept.assign(event=names[reasons == ""].to_numpy())
    return Split(kept.sort_values(["event", "time"], kind="stable"), excluded)


def outlines(events: pd.DataFrame) -> list[Float64Array]:
    """The outlines ``hpc_boundcc``.

    Parameters
    ----------
    events : pandas.DataFrame

    Returns
    -------
    list of ndarray of float64, shape (k, 2)
        Arcsec, one for each row, without the last corner, which equals the first; of shape (0, 2) where there
        is none. An outline is simplified: it may reach a few arcsec beyond ``hpc_bbox``.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> outline = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> row = {"event_type": "AR", "event_starttime": "2014-01-01T00:00:00", "hpc_boundcc": outline}
    >>> hek.outlines(hek.events_table([row]))[0]
    array([[ 100., -200.],
           [ 300., -200.],
           [ 300.,  -50.],
           [ 100.,  -50.]])
    """
    return rings(events["hpc_boundcc"])


def outline_boxes(events: pd.DataFrame) -> pd.DataFrame:
    """The same events with other boxes: the largest rectangles inside their outlines.

    Parameters
    ----------
    events : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        With other ``tx0``, ``ty0``, ``tx1``, ``ty1`` and ``trouble``: a row whose ``hpc_bbox`` is unusable
        gets a box, and one without an outline has none. Takes 10 ms a row.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> outline = "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))"
    >>> row = {"event_type": "AR", "event_starttime": "2014-01-01T00:00:00", "hpc_boundcc": outline}
    >>> hek.outline_boxes(hek.events_table([row]))[["tx0", "ty0", "tx1", "ty1"]]
         tx0    ty0    tx1   ty1
    0  100.0 -200.0  300.0 -50.0
    """
    _check(events)
    found = np.array([inner_box(ring) for ring in rings(events["hpc_boundcc"])]).reshape(-1, 4)
    troubles = []
    for trouble, text, box in zip(events["trouble"], events["hpc_boundcc"], found, strict=True):
        parts = [part for part in trouble.split("; ") if part and not part.startswith("hpc_b")]
        if np.isnan(box[0]):
            parts.insert(0, "hpc_boundcc encloses no box" if text else "hpc_boundcc is empty")
        troubles.append("; ".join(parts))
    made = events.assign(trouble=pd.Series(troubles, index=events.index, dtype="str"))
    made[BOX_COLUMNS] = found
    return made


def tracks(
    events: pd.DataFrame,
    *,
    box: str = "bbox",
    box_time: str = "start",
    radius: Any = None,
    limb: bool = True,
    area: tuple[float | None, float | None] | None = None,
    perimeter: tuple[float | None, float | None] | None = None,
    thinness: tuple[float | None, float | None] | None = None,
    shape: str = "box",
    by: str = "frm_specificid",
    more_than: int = 2,
) -> Tracks:
    """Tracks of ground-truth boxes, one for each object, as the solar tracking study made them.

    Parameters
    ----------
    events : pandas.DataFrame
        As `solartrack.sources.hek.search` gives it.
    box : {"bbox", "outline"}
        Boxes from ``hpc_bbox``, or the largest inside the outline, see `outline_boxes`.
    box_time : {"start", "end"}
        The time of an event that its box has.
    radius : optional
        See `limb_filter`.
    limb : bool
        False keeps boxes beyond the limb.
    area, perimeter, thinness : tuple, optional
        See `shape_filter`; `shape` is its ``of``.
    shape : {"box", "outline"}
    by, more_than
        See `group_objects`.

    Returns
    -------
    Tracks
        Each event is either in ``boxes`` or in ``excluded``. Tables without rows if there is none.

    Notes
    -----
    The steps, in this order: `drop_unusable`, `drop_duplicates`, `drop_repeated_starts`, `limb_filter`,
    `shape_filter`, `group_objects`.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> events = hek.events_table(
    ...     {
    ...         "event_type": "AR", "frm_name": "SPoCA", "frm_specificid": "SPoCA_v1.0_AR_0000007747",
    ...         "event_starttime": f"2014-01-01T{4 * i:02}:00:00", "kb_archivid": f"AR_{i}",
    ...         "hpc_bbox": f"POLYGON(({x} -200,{x + 200} -200,{x + 200} -50,{x} -50,{x} -200))",
    ...     }
    ...     for i, x in enumerate([100, 135, 170])
    ... )
    >>> found = hek.tracks(events)
    >>> found.catalogue[["event", "time", "end", "boxes"]]
                          event       time                 end  boxes
    0  SPoCA_v1.0_AR_0000007747 2014-01-01 2014-01-01 08:00:00      3
    >>> found.boxes[["time", "tx0", "ty0", "tx1", "ty1"]]
                     time    tx0    ty0    tx1   ty1
    0 2014-01-01 00:00:00  100.0 -200.0  300.0 -50.0
    1 2014-01-01 04:00:00  135.0 -200.0  335.0 -50.0
    2 2014-01-01 08:00:00  170.0 -200.0  370.0 -50.0
    """
    if box not in ("bbox", "outline"):
        raise ValueError(f"box must be 'bbox' or 'outline', got {box!r}")
    if box_time not in ("start", "end"):
        raise ValueError(f"box_time must be 'start' or 'end', got {box_time!r}")
    _check(events, by)
    kept = (outline_boxes(events) if box == "outline" else events).reset_index(drop=True)
    steps = [drop_unusable(kept)]
    steps.append(drop_duplicates(steps[-1].kept))
    steps.append(drop_repeated_starts(steps[-1].kept, by=by))
    if limb:
        kept = steps[-1].kept
        each = radius is not None and np.ndim(radius) == 1 and len(radius) == len(events)
        steps.append(limb_filter(kept, radius[kept.index.to_numpy()] if each else radius))
    steps.append(shape_filter(steps[-1].kept, area=area, perimeter=perimeter, thinness=thinness, of=shape))
    if box_time == "end":
        kept = steps[-1].kept
        steps.append(_split(kept, np.where(kept["end"].isna(), "it has no end, which box_time asks for", "")))
        steps.append(Split(steps[-1].kept.assign(time=steps[-1].kept["end"]), kept[:0].assign(reason="")))
    steps.append(group_objects(steps[-1].kept, by=by, more_than=more_than))
    boxes = steps[-1].kept.reset_index(drop=True)
    excluded = pd.concat([step.excluded for step in steps]).sort_index(kind="stable")
    return Tracks(_catalogue(boxes), boxes, excluded.reset_index(drop=True).astype({"reason": "str"}))


def _catalogue(boxes: pd.DataFrame) -> pd.DataFrame:
    """A row for each object."""
    groups = boxes.groupby("event", sort=True)
    firsts = boxes.loc[~boxes.duplicated("event")].set_index("event")
    table = firsts[["time", "end", *BOX_COLUMNS, *_OBJECT, "frm_specificid", "ar_noaanum"]].assign(
        end=groups["time"].last(), ar_noaanum=groups["ar_noaanum"].first(), boxes=groups.size()
    )
    return table.reset_index()


def _split(events: pd.DataFrame, reasons: Any) -> Split:
    """Rows without and with a reason to leave them out."""
    texts = np.asarray(reasons, dtype=object)
    out = np.array([bool(text) for text in texts], dtype=bool)
    excluded = events[out]
    reason = pd.Series(texts[out], index=excluded.index, dtype="str")
    return Split(events[~out], excluded.assign(reason=reason))


def _check(events: pd.DataFrame, by: str = "frm_specificid") -> None:
    if not isinstance(events, pd.DataFrame):
        raise TypeError(f"events must be a table as hek.search gives it, got {type(events).__name__}")
    if missing := [name for name in (*EVENT_COLUMNS, by) if name not in events]:
        raise ValueError(f"events lack the column {missing[0]}; they have {', '.join(map(str, events))}")


def _blank(column: pd.Series) -> Any:
    """Where a column has nothing."""
    return column.isna() | (column.astype("str").str.strip() == "")


def _name(event_type: str, method: str, value: Any) -> str:
    """Name of an object; it says its method and type."""
    text = str(value)
    if text.startswith(method) and f"_{event_type}_" in text:
        return text
    return "_".join(f"{method} {event_type} {text}".split())


def _limits(name: str, pair: Any) -> tuple[float, float]:
    try:
        low, high = pair
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be (least, greatest), got {pair!r}") from None
    least, greatest = -np.inf if low is None else float(low), np.inf if high is None else float(high)
    if not least <= greatest:
        raise ValueError(f"{name} must be (least, greatest), got {pair!r}")
    return least, greatest


def _area_and_perimeter(ring: Float64Array) -> tuple[float, float]:
    if len(ring) < 3:
        return np.nan, np.nan
    following = np.roll(ring, -1, axis=0)
    cross = ring[:, 0] * following[:, 1] - ring[:, 1] * following[:, 0]
    return 0.5 * abs(float(cross.sum())), float(np.hypot(*(following - ring).T).sum())
