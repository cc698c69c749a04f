"""Events of the Heliophysics Event Knowledgebase: active regions, coronal holes, flares, sigmoids.

`search` asks for events and gives a table, `read` makes the same table of saved answers. `tracks` cleans
the table and gives tracks of ground-truth boxes; its steps are functions of their own. `outlines` and
`to_skycoord` give outlines and sky coordinates when they are needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from solartrack._files import write_bytes
from solartrack._optional import require
from solartrack._progress import tqdm
from solartrack._tables import as_moment
from solartrack.errors import SourceError, SourceWarning
from solartrack.sources._hek_clean import (
    Split,
    Tracks,
    drop_duplicates,
    drop_repeated_starts,
    drop_unusable,
    group_objects,
    limb_filter,
    outline_boxes,
    outlines,
    shape_filter,
    shapes,
    solar_radius_arcsec,
    tracks,
)
from solartrack.sources._hek_table import (
    BOX_COLUMNS,
    EVENT_COLUMNS,
    HEK_COLUMNS,
    events_table,
    noaa_numbers,
    rings,
)
from solartrack.sources.transport import Transport

if TYPE_CHECKING:
    from astropy.coordinates import SkyCoord

__all__ = [
    "BASE_URL",
    "EVENT_COLUMNS",
    "EVENT_TYPES",
    "METHODS",
    "Split",
    "Tracks",
    "drop_duplicates",
    "drop_repeated_starts",
    "drop_unusable",
    "events_table",
    "group_objects",
    "limb_filter",
    "noaa_numbers",
    "outline_boxes",
    "outlines",
    "plan",
    "read",
    "search",
    "shape_filter",
    "shapes",
    "solar_radius_arcsec",
    "to_skycoord",
    "tracks",
]

#: Of the service.
BASE_URL = "https://www.lmsal.com/hek/her"
#: The methods (``frm_name``) that `search` knows, and the types of events that they report.
METHODS = {
    "SPoCA": ("AR", "CH"),
    "HMI SHARP": ("AR",),
    "NOAA SWPC Observer": ("AR",),
    "SSW Latest Events": ("FL",),
    "SWPC": ("FL",),
    "Flare Detective - Trigger Module": ("FL",),
    "Sigmoid Sniffer": ("SG",),
}
#: The types of events of the HEK (https://www.lmsal.com/hek/VOEvent_Spec.html).
EVENT_TYPES = (
    "AR", "CE", "CD", "CH", "CW", "FI", "FE", "FA", "FL", "LP", "OS", "SS", "EF", "CJ", "PG", "OT", "NR",
    "SG", "SP", "CR", "CC", "ER", "TO", "HY", "BU", "EE", "PB", "PT",
)  # fmt: skip

# Rows of a page; what the HEK gives at most by default.
_PAGE_ROWS = 500
# A server that always has one more row does not keep us for ever.
_MOST_PAGES = 2000
# Events of a month are complete, and may be kept, when it has ended so long ago.
_SETTLED = timedelta(days=30)
# There are no events of the future; clocks differ.
_MARGIN = timedelta(days=1)
# Arcsec: the window of the whole disk, which is the service's default, hides what lies beyond the limb.
_WINDOW = 5000
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NONE_SUCH = "known_only=False asks for it all the same"


class _Query(NamedTuple):
    """A question to the HEK about one method and one month or part of it; see `_queries`."""

    start: datetime
    end: datetime
    event_type: str
    method: str
    params: dict[str, str]
    kept: Path | None


def search(
    start: Any,
    end: Any,
    *,
    event_type: str | Iterable[str] | None = None,
    method: str | Iterable[str] | None = None,
    region: int | str | None = None,
    specific_id: str | None = None,
    columns: Iterable[str] = (),
    known_only: bool = True,
    cache: str | os.PathLike[str] | None = None,
    transport: Transport | None = None,
    base_url: str = BASE_URL,
    progress: bool = False,
) -> pd.DataFrame:
    """Events of the HEK that overlap a span of time.

    Parameters
    ----------
    start, end : str, datetime or astropy.time.Time
        UTC; a date alone is its midnight. Events are found that begin before `end` and last beyond `start`
        or begin at it.
    event_type : str or iterable of str, optional
        Such as "AR", "CH", "FL", "SG" (`EVENT_TYPES`); "AR,CH" is two. Default: those of the methods.
    method : str or iterable of str, optional
        Names of methods (``frm_name``), see `METHODS`. Default: all.
    region : int or str, optional
        NOAA number of an active region, in full or its last four digits. Events that say which region
        they are of are found however their method writes it.
    specific_id : str, optional
        ``frm_specificid``: the id that a method gives an object, such as ``SPoCA_v1.0_AR_0000007747``, or
        the HARP number of HMI SHARP.
    columns : iterable of str
        Further columns of the HEK, such as ``fl_goescls``, kept as text.
    known_only : bool
        False asks for methods and types that are not in `METHODS` and `EVENT_TYPES`, too.
    cache : path, optional
        Folder that keeps the events of whole months, if they ended more than 30 days ago. A search that
        was interrupted goes on there. With it, whole months are asked for.
    transport : Transport, optional
    base_url : str
    progress : bool
        Show a progress bar over months on standard error.

    Returns
    -------
    pandas.DataFrame
        A row for each event, in order of time, each once; without rows if there are none. The columns
        (`EVENT_COLUMNS`), then the further ones:

        - ``event``: the event's own name, the end of ``kb_archivid``;
        - ``event_type``, ``frm_name``, ``frm_specificid``, ``obs_channelid``, ``event_coordsys``,
          ``kb_archivid``: text, "" where missing;
        - ``ar_noaanum``: Int64, in full (`noaa_numbers`), NA where missing;
        - ``time``, ``end``: start and end, datetime64[us], UTC, NaT where missing (some flares have no end);
        - ``tx0``, ``ty0``, ``tx1``, ``ty1``: the box around ``hpc_bbox``, arcsec as seen from the Earth;
        - ``trouble``: why the box or the time cannot be used, else ""; the box is NaN then;
        - ``hpc_x``, ``hpc_y``, ``hpc_radius``: the position (``hpc_coord``), arcsec, NaN where missing;
        - ``boundbox_c1ll``, ``boundbox_c2ll``, ``boundbox_c1ur``, ``boundbox_c2ur``: as the HEK has them, in
          the units of ``event_coordsys``;
        - ``hpc_bbox``, ``hpc_boundcc``: polygons as text, see `outlines`.

        It is a catalogue for `solartrack.archive.track_archive`, one track for each event; `tracks` makes
        one for each object.

    Raises
    ------
    ValueError
        If `end` is not after `start`, nothing says which events, or a method, type or column is unknown.
    SourceError
        If the service does not answer, or with something else than events.

    Warns
    -----
    UserWarning
        If the service says that there are more events, and repeats those it has given.
    SourceWarning
        If it gives events of types or methods that were not asked for: they are left out.

    Notes
    -----
    Events beyond the limb are asked for, too. The service is asked month by month, and its pages are
    followed to the last.

    Examples
    --------
    >>> from solartrack.sources import Transport, hek
    >>> answer = b'''{"overmax": false, "result": [{
    ...     "event_type": "AR", "frm_name": "SPoCA", "event_starttime": "2014-01-01T00:00:00",
    ...     "hpc_bbox": "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))", "kb_archivid": "AR_1"
    ... }]}'''
    >>> class Recorded(Transport):
    ...     # Gives a recorded answer in place of the service.
    ...     def get(self, url, params=None, **options):
    ...         return answer
    >>> span = "2014-01-01", "2014-01-02"
    >>> events = hek.search(*span, event_type="AR", method="SPoCA", transport=Recorded())
    >>> events[["event", "time", "tx0", "ty0", "tx1", "ty1"]]
      event       time    tx0    ty0    tx1   ty1
    0  AR_1 2014-01-01  100.0 -200.0  300.0 -50.0
    """
    first, last = _span(start, end)
    further = _columns(columns)
    folder = None if cache is None else Path(cache)
    queries = _queries(
        first, last, event_type, method, region, specific_id, further, known_only, folder, base_url
    )
    transport = transport or Transport()
    rows: list[dict[str, Any]] = []
    for query in tqdm(queries, disable=not progress, unit="month"):
        rows += _rows_of(query, transport, base_url)
    events = events_table(rows, further)
    time, until = events["time"], events["end"].fillna(events["time"])
    keep = time.isna() | ((time < last) & ((until > first) | (time >= first)))
    if region is not None:
        keep &= (events["ar_noaanum"] == _number_of(region, first)).fillna(False)
    if specific_id is not None:
        keep &= events["frm_specificid"] == specific_id
    if (strange := keep & _not_asked_for(events, queries)).any():
        kinds = events[strange].groupby(["event_type", "frm_name"]).size()
        named = ", ".join(f"{count} {kind} of {name}" for (kind, name), count in kinds.items())
        warnings.warn(
            f"{base_url} gave events of types or methods not asked for ({named}); they are left out",
            SourceWarning,
            stacklevel=2,
        )
    return events[keep & ~strange].reset_index(drop=True)


def plan(
    start: Any,
    end: Any,
    *,
    event_type: str | Iterable[str] | None = None,
    method: str | Iterable[str] | None = None,
    region: int | str | None = None,
    specific_id: str | None = None,
    columns: Iterable[str] = (),
    known_only: bool = True,
    cache: str | os.PathLike[str] | None = None,
    base_url: str = BASE_URL,
) -> pd.DataFrame:
    """What `search` would ask, without asking it.

    Parameters
    ----------
    start, end, event_type, method, region, specific_id, columns, known_only, cache, base_url
        As for `search`.

    Returns
    -------
    pandas.DataFrame
        A row for each method and month: ``start``, ``end`` (datetime64[us]), ``event_type``, ``frm_name``,
        ``url`` (of the first page) and ``cached`` (it would not be asked).

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> asked = hek.plan("2014-01-01", "2014-03-01", event_type="AR", method="SPoCA")
    >>> asked[["start", "end", "event_type", "frm_name", "cached"]]
           start        end event_type frm_name  cached
    0 2014-01-01 2014-02-01         AR    SPoCA   False
    1 2014-02-01 2014-03-01         AR    SPoCA   False
    """
    folder = None if cache is None else Path(cache)
    queries = _queries(
        *_span(start, end), event_type, method, region, specific_id, _columns(columns), known_only, folder,
        base_url,
    )  # fmt: skip
    names = ["start", "end", "event_type", "frm_name", "url", "cached"]
    rows = [
        {
            "start": query.start,
            "end": query.end,
            "event_type": query.event_type.upper(),
            "frm_name": query.method,
            "url": f"{base_url}?{urlencode({**query.params, 'page': '1'})}",
            "cached": _kept_rows(query) is not None,
        }
        for query in queries
    ]
    kinds = dict.fromkeys(names, "str") | {
        "start": "datetime64[us]",
        "end": "datetime64[us]",
        "cached": "bool",
    }
    return pd.DataFrame(rows, columns=names).astype(kinds)


def read(
    answers: str | os.PathLike[str] | bytes | Iterable[str | os.PathLike[str] | bytes],
    *,
    columns: Iterable[str] = (),
) -> pd.DataFrame:
    """The table of events from answers of the HEK that were saved.

    Parameters
    ----------
    answers : path, bytes or iterable of them
        JSON (``cosec=2``), of one search or of several.
    columns : iterable of str
        As for `search`.

    Returns
    -------
    pandas.DataFrame
        As `search` gives it; all events of the answers.

    Raises
    ------
    SourceError
        If one of them is something else.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> answer = b'''{"overmax": false, "result": [{
    ...     "event_type": "AR", "frm_name": "SPoCA", "frm_specificid": "SPoCA_v1.0_AR_0000007747",
    ...     "event_starttime": "2014-01-01T00:00:00", "event_endtime": "2014-01-01T04:00:00",
    ...     "hpc_bbox": "POLYGON((100 -200,300 -200,300 -50,100 -50,100 -200))",
    ...     "kb_archivid": "ivo://helio-informatics.org/AR_SPoCA_1"
    ... }]}'''
    >>> hek.read(answer)[["event", "time", "tx0", "ty0", "tx1", "ty1"]]
            event       time    tx0    ty0    tx1   ty1
    0  AR_SPoCA_1 2014-01-01  100.0 -200.0  300.0 -50.0
    """
    several = [answers] if isinstance(answers, str | bytes | os.PathLike) else list(answers)
    further = _columns(columns)
    rows: list[dict[str, Any]] = []
    for answer in several:
        if isinstance(answer, bytes):
            body, name = answer, "the answer"
        else:
            body, name = Path(answer).read_bytes(), str(answer)
        rows += _slim(_parse(body, name)[0], [*HEK_COLUMNS, *further])
    return events_table(rows, further)


def to_skycoord(event: pd.Series | Mapping[str, Any], *, of: str = "box") -> SkyCoord:
    """Sky coordinates of an event: helioprojective, seen from the Earth at its start.

    Parameters
    ----------
    event : pandas.Series or mapping
        A row of a table of events, such as ``events.iloc[0]``.
    of : {"box", "outline", "position"}
        Two corners of the box, first ``(tx0, ty0)`` then ``(tx1, ty1)``; the corners of ``hpc_boundcc``; or
        ``hpc_x``, ``hpc_y``.

    Returns
    -------
    astropy.coordinates.SkyCoord, shape (k,)
        Of two, of k, or of one.

    Raises
    ------
    ValueError
        If the event has no such thing, or no time.
    ImportError
        If sunpy is not installed.

    Examples
    --------
    >>> from solartrack.sources import hek
    >>> event = {"time": "2014-01-01T00:00:00", "hpc_x": 200.0, "hpc_y": -125.0}
    >>> hek.to_skycoord(event, of="position").Tx
    <Longitude [200.] arcsec>
    """
    frames = require("sunpy.coordinates.frames", extra="sunpy", purpose="making sky coordinates")
    coordinates = require("astropy.coordinates", extra="sunpy", purpose="making sky coordinates")
    if of == "box":
        points = np.array([event[name] for name in BOX_COLUMNS], dtype=np.float64).reshape(2, 2)
    elif of == "outline":
        points = rings([event["hpc_boundcc"]])[0]
    elif of == "position":
        points = np.array([[event["hpc_x"], event["hpc_y"]]], dtype=np.float64)
    else:
        raise ValueError(f"of must be 'box', 'outline' or 'position', got {of!r}")
    time = pd.Timestamp(event["time"])
    if not len(points) or not np.isfinite(points).all():
        raise ValueError(f"the event {event['event']!r} has no {of}; {event['trouble'] or 'see its columns'}")
    if pd.isna(time):
        raise ValueError(f"the event {event['event']!r} has no time")
    frame = frames.Helioprojective(observer="earth", obstime=time.to_pydatetime(warn=False))
    return coordinates.SkyCoord(points[:, 0], points[:, 1], unit="arcsec", frame=frame)


# -- what is asked ---------------------------------------------------------------------


def _span(start: Any, end: Any) -> tuple[datetime, datetime]:
    first, last = _moment(start, "start"), _moment(end, "end")
    if last <= first:
        raise ValueError(f"end must be after start, got {first.isoformat()} to {last.isoformat()}")
    return first, last


def _moment(value: Any, name: str) -> datetime:
    try:
        if hasattr(value, "utc") and hasattr(value, "to_datetime"):  # an astropy Time
            value = value.utc.to_datetime()
        moment = as_moment(value)
    except (TypeError, ValueError, OverflowError):
        moment = None
    if moment is None:
        raise ValueError(f"{name} must be a date such as 2014-02-03T02:08:47, got {value!r}")
    return moment


def _columns(columns: Iterable[str]) -> list[str]:
    names = [columns] if isinstance(columns, str) else list(columns)
    for name in names:
        if not isinstance(name, str) or _COLUMN.fullmatch(name) is None:
            raise ValueError(f"columns must be names of the HEK such as 'fl_goescls', got {name!r}")
    return [name for name in dict.fromkeys(names) if name not in (*EVENT_COLUMNS, *HEK_COLUMNS)]


def _queries(
    first: datetime,
    last: datetime,
    event_type: str | Iterable[str] | None,
    method: str | Iterable[str] | None,
    region: int | str | None,
    specific_id: str | None,
    columns: Sequence[str],
    known_only: bool,
    cache: Path | None,
    base_url: str,
) -> list[_Query]:
    """All that must be asked: for each month, each method, and each way to write a region's number."""
    types, methods = _types(event_type, known_only), _methods(method, known_only)
    if types is None and methods is None and region is None and specific_id is None:
        raise ValueError("say which events: event_type, method, region or specific_id")
    if specific_id is not None and not (isinstance(specific_id, str) and specific_id.strip()):
        raise ValueError(f"specific_id must be a text, got {specific_id!r}")
    now = datetime.now(UTC).replace(tzinfo=None)
    last = min(last, now + _MARGIN)
    queries = []
    for begin, end in _months(first, last):
        settled = cache is not None and end <= now - _SETTLED
        span = (begin, end) if settled else (max(begin, first), min(end, last))
        for name in methods or [""]:
            asked = _types_of(name, types, known_only)
            for number in [""] if region is None else _ways_to_write(_number_of(region, first)):
                filters = {"FRM_Name": name, "FRM_SpecificID": specific_id, "AR_NOAANum": number}
                params = _params(
                    *span, asked, {key: value for key, value in filters.items() if value}, columns
                )
                kept = cache / _file_name(begin, base_url, params) if cache and settled else None
                queries.append(_Query(*span, asked, name, params, kept))
    return queries


def _types(event_type: str | Iterable[str] | None, known_only: bool) -> list[str] | None:
    if event_type is None:
        return None
    names = event_type.split(",") if isinstance(event_type, str) else list(event_type)
    types = [str(name).strip().upper() for name in names]
    for name in types:
        if (known_only and name not in EVENT_TYPES) or not name.isalnum():
            raise ValueError(
                f"unknown event_type {name!r}; expected one of {', '.join(EVENT_TYPES)}; {_NONE_SUCH}"
            )
    if not types:
        raise ValueError("event_type is empty")
    return list(dict.fromkeys(types))


def _methods(method: str | Iterable[str] | None, known_only: bool) -> list[str] | None:
    if method is None:
        return None
    names = [method] if isinstance(method, str) else list(method)
    own_spelling = {name.casefold(): name for name in METHODS}
    methods = []
    for name in names:
        text = str(name).strip()
        known = own_spelling.get(text.casefold())
        if not text or (known is None and known_only):
            raise ValueError(f"unknown method {name!r}; expected one of {', '.join(METHODS)}; {_NONE_SUCH}")
        methods.append(known or text)
    if not methods:
        raise ValueError("method is empty")
    return list(dict.fromkeys(methods))


# How the service, and those who copy it, say whether there are more pages.
_OVERMAX = dict.fromkeys(("true", "1", "1.0", "t", "yes"), True) | dict.fromkeys(
    ("false", "0", "0.0", "f", "no", ""), False
)


def _types_of(method: str, types: list[str] | None, known_only: bool) -> str:
    """Types to ask a method for, as the HEK takes them."""
    reported = METHODS.get(method)
    if types is None:
        return ",".join(reported).lower() if reported else "**"
    if reported and known_only and not set(types) & set(reported):
        raise ValueError(f"{method} reports {' and '.join(reported)}, not {', '.join(types)}; {_NONE_SUCH}")
    return ",".join(types).lower()


def _number_of(region: int | str, time: datetime) -> int:
    number = noaa_numbers([region], np.datetime64(time))[0]
    if isinstance(region, bool) or pd.isna(number):
        raise ValueError(f"region must be a NOAA number such as 12192, got {region!r}")
    return int(number)


def _ways_to_write(number: int) -> list[str]:
    """A region's number in full, and as some methods write it, with its last four digits."""
    return list(dict.fromkeys([str(number), str(number % 10000 or number)]))


def _months(first: datetime, last: datetime) -> Iterator[tuple[datetime, datetime]]:
    begin = datetime(first.year, first.month, 1)
    while begin < last:
        end = datetime(begin.year + begin.month // 12, begin.month % 12 + 1, 1)
        yield begin, end
        begin = end


def _params(
    begin: datetime, end: datetime, types: str, filters: Mapping[str, str], columns: Sequence[str]
) -> dict[str, str]:
    """The query, without the page."""
    # Seconds are all that the service takes.
    upper = end.replace(microsecond=0) + timedelta(seconds=1 if end.microsecond else 0)
    params = {
        "cosec": "2",
        "cmd": "search",
        "type": "column",
        "event_type": types,
        "event_starttime": begin.replace(microsecond=0).isoformat(),
        "event_endtime": upper.isoformat(),
        "event_coordsys": "helioprojective",
        "x1": str(-_WINDOW),
        "x2": str(_WINDOW),
        "y1": str(-_WINDOW),
        "y2": str(_WINDOW),
        "result_limit": str(_PAGE_ROWS),
        "return": ",".join([*HEK_COLUMNS, *columns]),
    }
    for i, (name, value) in enumerate(filters.items()):
        params |= {f"param{i}": name, f"op{i}": "=", f"value{i}": value}
    return params


def _file_name(month: datetime, base_url: str, params: Mapping[str, str]) -> str:
    digest = hashlib.sha256(f"{base_url}?{urlencode(params)}".encode()).hexdigest()
    return f"hek_{month:%Y-%m}_{digest[:16]}.json"


# -- what is answered ------------------------------------------------------------------


def _rows_of(query: _Query, transport: Transport, base_url: str) -> list[dict[str, Any]]:
    """The rows of a query, from the cache or the service."""
    if (rows := _kept_rows(query)) is not None:
        return rows
    rows, complete = _all_pages(query, transport, base_url)
    if query.kept is not None and complete:
        query.kept.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(query.kept, json.dumps({"query": query.params, "result": rows}).encode())
    return rows


def _not_asked_for(events: pd.DataFrame, queries: Iterable[_Query]) -> pd.Series:
    """Which events are of a type or method that no query asks for. What an event does not say is believed."""
    asked = {(query.method.casefold(), *query.event_type.upper().split(",")) for query in queries}
    kinds = pd.MultiIndex.from_arrays([events["event_type"].str.upper(), events["frm_name"].str.casefold()])
    strange = {
        kind: not any(
            (kind[1] in ("", method) or not method) and (kind[0] in ("", *types) or "**" in types)
            for method, *types in asked
        )
        for kind in kinds.unique()
    }
    return pd.Series([strange[kind] for kind in kinds], index=events.index, dtype="bool")


def _kept_rows(query: _Query) -> list[dict[str, Any]] | None:
    """The rows that the cache has; None if it has none, or the file is damaged."""
    if query.kept is None or not query.kept.is_file():
        return None
    try:
        return _parse(query.kept.read_bytes(), str(query.kept))[0]
    except SourceError:
        return None


def _all_pages(query: _Query, transport: Transport, base_url: str) -> tuple[list[dict[str, Any]], bool]:
    """All rows, each once, and whether there are no more."""
    rows: dict[str, dict[str, Any]] = {}
    for page in range(1, _MOST_PAGES + 1):
        body = transport.get(base_url, {**query.params, "page": str(page)}, check="json")
        where = f"{base_url}, page {page} of {query.start:%Y-%m-%d} to {query.end:%Y-%m-%d}"
        came, more = _parse(body, where)
        known = len(rows)
        for row in _slim(came, query.params["return"].split(",")):
            rows.setdefault(str(row.get("kb_archivid") or json.dumps(row, sort_keys=True)), row)
        if not more:
            return list(rows.values()), True
        if len(rows) == known:
            warnings.warn(
                f"{where}: the service says that there are more events, but "
                f"{'repeats those it has given' if came else 'gives none'}; some may be missing",
                stacklevel=4,
            )
            return list(rows.values()), False
    raise SourceError(f"{base_url}: more than {_MOST_PAGES} pages for one month; ask for less at a time")


def _parse(body: bytes, where: str) -> tuple[list[dict[str, Any]], bool]:
    """The rows of an answer, and whether there are more pages. The HEK writes ISO-8859-1."""
    # White space before the JSON is no trouble; a file that an editor has saved may be UTF-8.
    text = body.decode("utf-8-sig") if body.startswith(b"\xef\xbb\xbf") else body.decode("latin-1")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: expected JSON, got {text.strip()[:80]!r}; {error}") from error
    rows = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(
            f"{where}: expected an object with a list of events under 'result', got {text.strip()[:200]!r}"
        )
    if "\\ud" in text.lower():  # half a character, which no file can hold
        rows = [{key: _whole_characters(value) for key, value in row.items()} for row in rows]
    more = answer.get("overmax")
    if more is None:  # it does not say
        return rows, len(rows) >= _PAGE_ROWS
    said = str(more).strip().lower()
    if said not in _OVERMAX:
        raise SourceError(f"{where}: expected true or false under 'overmax', got {str(more)[:80]!r}")
    return rows, _OVERMAX[said]


def _whole_characters(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _slim(rows: list[dict[str, Any]], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Rows without what is not wanted: they come with up to 170 keys."""
    return [{key: row[key] for key in wanted if key in row} for row in rows]
