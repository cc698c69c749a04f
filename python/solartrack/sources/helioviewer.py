"""Helioviewer: the images closest to given times, as JPEG 2000 files.

The service is asked for the closest image first, and then for that image by its id, so the time in a table
and the file cannot disagree.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pandas as pd

from solartrack._optional import require
from solartrack._progress import tqdm
from solartrack._tables import as_moment
from solartrack.errors import SourceError, SourceWarning
from solartrack.sequence import as_days
from solartrack.sources.store import plan_table, safe_name
from solartrack.sources.transport import LimitReached, Transport

__all__ = [
    "BASE_URL",
    "SOURCE_OF_EVENT",
    "closest",
    "data_sources",
    "event_times",
    "image_name",
    "plan",
    "read_error",
    "search",
    "source_id",
]

#: Of the service.
BASE_URL = "https://api.helioviewer.org/v2/"

#: What shows events best: type of event -> name of the data source.
SOURCE_OF_EVENT = {"AR": "AIA_171", "CH": "AIA_193"}

# Ids that are needed most, so that they are known without hvpy: name -> id, and how file names call them.
_KNOWN = {
    "AIA_171": (10, "SDO_AIA_AIA_171"),
    "AIA_193": (11, "SDO_AIA_AIA_193"),
    "HMI_INT": (18, "SDO_HMI_HMI_continuum"),
    "HMI_MAG": (19, "SDO_HMI_HMI_magnetogram"),
}
# The last image of an event lies this long before its end.
_MARGIN = timedelta(minutes=2)
_NO_DATA = 10  # "errno" of an answer that will not change
# What is closest to a time that is so long ago stays so; images arrive days late.
_SETTLED = timedelta(days=30)
_SOURCE_COLUMNS = ("source_id", "name", "observatory", "instrument", "measurement", "start", "end")
_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_.+-]+")


def data_sources(*, transport: Transport | None = None, base_url: str = BASE_URL) -> pd.DataFrame:
    """All data sources of the service.

    Parameters
    ----------
    transport : Transport, optional
    base_url : str

    Returns
    -------
    pandas.DataFrame
        ``source_id``, ``name`` ("AIA 171"), ``observatory``, ``instrument``, ``measurement`` (the levels
        between and below joined by a space), ``start`` and ``end`` (UTC) of its images.

    Raises
    ------
    SourceError
        If the service does not answer, or with something else.

    Examples
    --------
    >>> from solartrack.sources import Transport, helioviewer
    >>> class Recorded(Transport):
    ...     # Gives a recorded answer in place of the service.
    ...     def get(self, url, params=None, **options):
    ...         return b'{"SDO": {"AIA": {"171": {"sourceId": 10, "nickname": "AIA 171"}}}}'
    >>> found = helioviewer.data_sources(transport=Recorded())
    >>> found[["source_id", "name", "observatory", "instrument", "measurement"]]
       source_id     name observatory instrument measurement
    0         10  AIA 171         SDO        AIA         171
    """
    answer = _asked(transport or Transport(), base_url, "getDataSources", {}, None)
    rows = list(_leaves(answer, ()))
    if not rows:
        raise SourceError(
            f"{base_url}getDataSources/ names no data source: {str(answer)[:80]!r}", permanent=True
        )
    table = pd.DataFrame(rows, columns=list(_SOURCE_COLUMNS))
    for name in ("start", "end"):
        table[name] = pd.to_datetime(table[name], errors="coerce").astype("datetime64[us]")
    return table.sort_values("source_id", ignore_index=True)


def source_id(source: int | str) -> int:
    """The id of a data source.

    Parameters
    ----------
    source : int or str
        The id itself, or a name such as ``"AIA_171"``, ``"HMI_MAG"`` or another of ``hvpy.DataSource``.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If there is no such source.
    ImportError
        If the name is none of the four that are known here, and hvpy is not installed.

    Examples
    --------
    >>> from solartrack.sources import helioviewer
    >>> helioviewer.source_id("AIA_171")
    10
    """
    if isinstance(source, str):
        name = source.strip().upper().replace(" ", "_")
        if name in _KNOWN:
            return _KNOWN[name][0]
        named = require("hvpy", extra="sources", purpose="finding a data source by name").DataSource
        if name not in named.__members__:
            raise ValueError(f"there is no data source {source!r}; see hvpy.DataSource for the names")
        return int(named[name].value)
    if isinstance(source, bool) or not isinstance(source, int) or source < 0:
        raise ValueError(f"a data source is a name or a number, got {source!r}")
    return source


def event_times(start: Any, end: Any = None, count: int = 5) -> list[datetime]:
    """Times at which an event is looked at: evenly from its start to two minutes before its end.

    Parameters
    ----------
    start, end : datetime-like
        UTC. An event without an end, or of 120 s and less, is looked at once, at its start.
    count : int

    Returns
    -------
    list of datetime

    Raises
    ------
    ValueError
        If there is no start, the end lies before it, or the count is not positive.

    Examples
    --------
    >>> from solartrack.sources import helioviewer
    >>> times = helioviewer.event_times("2014-02-03T00:00:00", "2014-02-03T04:00:00", count=3)
    >>> [f"{time:%H:%M}" for time in times]
    ['00:00', '01:59', '03:58']
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count must be a positive integer, got {count!r}")
    first, last = _span(start, end)
    if count == 1 or last - first <= _MARGIN:
        return [first]
    step = (last - _MARGIN - first) / (count - 1)
    return [first + step * i for i in range(count)]


def image_name(time: datetime, label: str) -> str:
    """A file name as Helioviewer writes it, without the fraction of a second.

    Parameters
    ----------
    time : datetime
        UTC.
    label : str
        Such as ``"SDO_AIA_AIA_171"``.

    Returns
    -------
    str
        Such as ``2014_01_02__00_00_02__SDO_AIA_AIA_171.jp2``; `solartrack.images.time_from_name` reads it.

    Examples
    --------
    >>> from datetime import datetime
    >>> from solartrack.sources import helioviewer
    >>> helioviewer.image_name(datetime(2014, 1, 2, 0, 0, 2), "SDO_AIA_AIA_171")
    '2014_01_02__00_00_02__SDO_AIA_AIA_171.jp2'
    """
    return safe_name(f"{time:%Y_%m_%d__%H_%M_%S}__{_NOT_ALLOWED.sub('-', label)}.jp2")


def closest(
    time: Any,
    source: int | str,
    *,
    transport: Transport | None = None,
    base_url: str = BASE_URL,
    cache: Path | None = None,
) -> dict[str, Any]:
    """The image closest to a time.

    Parameters
    ----------
    time : datetime-like
        UTC.
    source : int or str
        See `source_id`.
    transport : Transport, optional
    base_url : str
    cache : Path, optional
        Folder in which answers are kept, for times more than 30 days ago: later a closer image may be there.

    Returns
    -------
    dict
        ``id`` (str), ``time`` (UTC), ``off_seconds`` (of the image after the wanted time), ``name`` (of the
        source).

    Raises
    ------
    SourceError
        If the service has no image of that source (permanent), or does not answer. "Closest" knows no
        limit: look at ``off_seconds``.

    Examples
    --------
    >>> from solartrack.sources import Transport, helioviewer
    >>> class Recorded(Transport):
    ...     # Gives a recorded answer in place of the service.
    ...     def get(self, url, params=None, **options):
    ...         return b'{"id": "27", "date": "2014-02-03 02:08:47", "name": "AIA 171"}'
    >>> found = helioviewer.closest("2014-02-03T02:08:40", "AIA_171", transport=Recorded())
    >>> found["id"], found["off_seconds"]
    ('27', 7.0)
    """
    wanted = _moment(time, "time")
    if wanted + _SETTLED > datetime.now(UTC).replace(tzinfo=None):
        cache = None
    # To the second, as the service has it; equal questions are asked once.
    query = {"date": f"{wanted:%Y-%m-%dT%H:%M:%S}Z", "sourceId": source_id(source)}
    answer = _asked(transport or Transport(), base_url, "getClosestImage", query, cache)
    try:
        found = as_moment(answer["date"])
        number = str(int(answer["id"]))
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"getClosestImage should answer with id and date, got {str(answer)[:120]!r}", permanent=True
        ) from error
    if found is None:
        raise SourceError(f"getClosestImage gave image {number} without a date", permanent=True)
    return {
        "id": number,
        "time": found,
        "off_seconds": (found - wanted).total_seconds(),
        "name": str(answer.get("name") or ""),
    }


def search(
    events: pd.DataFrame,
    *,
    source: int | str | None = None,
    count: int = 5,
    cadence: Any = None,
    max_gap: Any = "6h",
    transport: Transport | None = None,
    base_url: str = BASE_URL,
    cache: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """The images for events.

    Parameters
    ----------
    events : pandas.DataFrame
        ``event`` (a name; optional), ``start`` or ``time`` (UTC), ``end`` (optional), and ``event_type``
        where `source` is not given.
    source : int or str, optional
        See `source_id`. Default: by ``event_type``, AIA 171 for active regions ("AR"), AIA 193 for coronal
        holes ("CH").
    count : int
        Times at which each row is looked at, see `event_times`.
    cadence : Quantity, timedelta or str, optional
        Look at each row at this cadence instead, from its start to its end, such as ``"4h"``.
    max_gap : Quantity, timedelta or str
        An image farther from the wanted time than this is not taken.
    transport : Transport, optional
    base_url : str
    cache : path, optional
        Folder in which the service's answers are kept, except those about the last 30 days: a search that
        was interrupted goes on there.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    pandas.DataFrame
        ``event``, ``wanted``, ``source_id``, ``id``, ``time``, ``off_seconds``, and ``reason``: why there is
        no image, else "".

    Raises
    ------
    ValueError
        If there are no events, a column is missing, or a time is none.
    SourceError
        If the service does not answer at all; what it says of single images is in ``reason``.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack.sources import Transport, helioviewer
    >>> class Recorded(Transport):
    ...     # Gives a recorded answer in place of the service.
    ...     def get(self, url, params=None, **options):
    ...         return b'{"id": "27", "date": "2014-02-03 02:08:47", "name": "AIA 171"}'
    >>> events = pd.DataFrame({"event": ["AR 11967"], "start": ["2014-02-03T02:08:40"]})
    >>> found = helioviewer.search(events, source="AIA_171", transport=Recorded())
    >>> found[["event", "id", "time", "off_seconds"]]
          event  id                time  off_seconds
    0  AR 11967  27 2014-02-03 02:08:47          7.0
    """
    gap = timedelta(days=as_days(max_gap, "max_gap"))
    wanted = list(_wanted(events, source, count, None if cadence is None else as_days(cadence, "cadence")))
    questions = list(dict.fromkeys((time.replace(microsecond=0), number) for _, time, number in wanted))
    answers = _answers(questions, transport or Transport(), base_url, cache, progress)
    rows = []
    for event, time, number in wanted:
        found = answers[time.replace(microsecond=0), number]
        row = {"event": event, "wanted": time, "source_id": number, "id": "", "time": None}
        row |= {"off_seconds": None, "reason": ""}
        if isinstance(found, SourceError):
            row["reason"] = str(found)
        elif abs(found["time"] - time) > gap:
            row["reason"] = (
                f"the closest image, of {found['time']:%Y-%m-%d %H:%M:%S}, is farther than max_gap"
            )
        else:
            # The question was to the second; the distance is that of the time itself.
            off_seconds = (found["time"] - time).total_seconds()
            row |= {"id": found["id"], "time": found["time"], "off_seconds": off_seconds}
        rows.append(row)
    table = pd.DataFrame(rows)
    for name in ("wanted", "time"):
        table[name] = table[name].astype("datetime64[us]")
    return table.astype({"event": "str", "id": "str", "reason": "str", "off_seconds": "float64"})


def plan(
    events: pd.DataFrame,
    *,
    source: int | str | None = None,
    count: int = 5,
    cadence: Any = None,
    max_gap: Any = "6h",
    published_names: bool = False,
    transport: Transport | None = None,
    base_url: str = BASE_URL,
    cache: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """What would be fetched for events: the images of `search`, each once.

    Parameters
    ----------
    events, source, count, cadence, max_gap, transport, base_url, cache, progress
        As for `search`.
    published_names : bool
        Ask for the name of each file, with the fraction of its second: one more request for each image.

    Returns
    -------
    pandas.DataFrame
        A plan, see `solartrack.sources.plan_table`, with the further columns ``wanted`` and ``off_seconds``.
        An image that several rows need has a row for each.

    Warns
    -----
    SourceWarning
        If there is no image for some times; `search` says for which, and why.

    Raises
    ------
    ValueError, SourceError
        As for `search`; and if there is no image at all.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack.sources import Transport, helioviewer
    >>> class Recorded(Transport):
    ...     # Gives a recorded answer in place of the service.
    ...     def get(self, url, params=None, **options):
    ...         return b'{"id": "27", "date": "2014-02-03 02:08:47", "name": "AIA 171"}'
    >>> events = pd.DataFrame({"event": ["AR 11967"], "start": ["2014-02-03T02:08:40"]})
    >>> plan = helioviewer.plan(events, source="AIA_171", transport=Recorded())
    >>> plan[["event", "id", "name"]]
          event  id                                       name
    0  AR 11967  27  2014_02_03__02_08_47__SDO_AIA_AIA_171.jp2
    """
    transport = transport or Transport()
    found = search(
        events, source=source, count=count, cadence=cadence, max_gap=max_gap,
        transport=transport, base_url=base_url, cache=cache, progress=progress,
    )  # fmt: skip
    lost = found[found["reason"] != ""]
    if len(lost):
        message = f"{len(lost)} of {len(found)} times have no image; the first: {lost['reason'].iloc[0]}"
        if len(lost) == len(found):
            raise SourceError(message, permanent=True)
        warnings.warn(message, SourceWarning, stacklevel=2)
    # Two times of an event may have the same image; the nearer one counts.
    good = found[found["reason"] == ""].copy()
    good["off"] = good["off_seconds"].abs()
    good = good.sort_values("off", kind="stable").drop_duplicates(["event", "id"]).sort_index()
    labels = _labels(set(good["source_id"]), transport, base_url, cache)
    times = dict(zip(good["id"], zip(good["time"], good["source_id"], strict=True), strict=True))
    if published_names:
        found_names = _each(
            lambda id: _published_name(id, transport, base_url, cache),
            list(times),
            transport,
            base_url,
            progress,
        )
        names = dict(zip(times, found_names, strict=True))
    else:
        names = {id: image_name(time.to_pydatetime(), labels[n]) for id, (time, n) in times.items()}
    rows = []
    for row in good.itertuples():
        query = urlencode({"id": row.id})
        rows.append(
            {
                "source": "helioviewer", "id": row.id, "url": f"{_folder(base_url)}getJP2Image/?{query}",
                "name": names[row.id], "check": "jp2", "time": row.time, "event": row.event,
                "wanted": row.wanted, "off_seconds": row.off_seconds,
            }
        )  # fmt: skip
    return plan_table(rows)


def read_error(status: int, body: bytes, content_type: str) -> SourceError | None:
    """What an answer of Helioviewer that is none means.

    Parameters
    ----------
    status : int
    body : bytes
        Its beginning.
    content_type : str

    Returns
    -------
    SourceError or None
        Permanent: no data of that kind (``errno`` 10, with status 500), a bad parameter (400), an image that
        is missing on their disk ("File not found." as an image). Passing: the rate limit, which comes
        as HTML with status 200 (`solartrack.sources.transport.LimitReached`).

    Examples
    --------
    >>> from solartrack.sources import helioviewer
    >>> error = helioviewer.read_error(200, b"File not found.", "image/jp2")
    >>> error.permanent
    True
    >>> str(error)
    'Helioviewer lists this image, but the file is missing there'
    """
    text = body[:4000].decode("utf-8", "replace").strip()
    if text.startswith("{"):
        try:
            answer = json.loads(body)
        except ValueError:
            return None
        if "error" in answer:
            return SourceError(str(answer["error"]), permanent=answer.get("errno") == _NO_DATA)
        return None
    if text == "File not found.":
        return SourceError("Helioviewer lists this image, but the file is missing there", permanent=True)
    if "Limit of" in text and "requests" in text:
        return LimitReached("Helioviewer's limit of requests is reached")
    if status == 400:
        plain = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)).strip()
        return SourceError(f"Helioviewer refuses the request: {plain[:200]}", permanent=True)
    return None


def _wanted(
    events: pd.DataFrame, source: int | str | None, count: int, cadence_days: float | None
) -> Iterator[tuple[str, datetime, int]]:
    """Event, time and data source of each image."""
    if not isinstance(events, pd.DataFrame):
        raise TypeError(f"events must be a table, got {type(events).__name__}")
    if not len(events):
        raise ValueError("there are no events")
    begin = "start" if "start" in events else "time"
    if begin not in events:
        raise ValueError(
            f"events need the column start or time; they have {', '.join(map(str, events.columns))}"
        )
    if source is None and "event_type" not in events:
        raise ValueError("give source, such as 'AIA_171', or events with the column event_type")
    fixed = None if source is None else source_id(source)
    for number, row in enumerate(events.to_dict("records")):
        try:
            kind = fixed if fixed is not None else _source_of(row["event_type"])
            start, end = row[begin], row.get("end")
            times = (
                event_times(start, end, count) if cadence_days is None else _steady(start, end, cadence_days)
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"row {number + 1} of the events: {error}") from error
        name = row.get("event")
        for time in times:
            yield "" if name is None or pd.isna(name) else str(name), time, kind


def _source_of(event_type: Any) -> int:
    kind = str(event_type).strip().upper()
    if kind not in SOURCE_OF_EVENT:
        raise ValueError(f"no data source is known for the event type {event_type!r}; give source")
    return source_id(SOURCE_OF_EVENT[kind])


def _span(start: Any, end: Any) -> tuple[datetime, datetime]:
    first, last = _moment(start, "start"), None if _is_missing(end) else _moment(end, "end")
    if last is not None and last < first:
        raise ValueError(f"the end {last} lies before the start {first}")
    return first, first if last is None else last


def _moment(value: Any, name: str) -> datetime:
    """UTC. Times that carry another scale are refused, so none is taken for UTC."""
    try:
        moment = as_moment(value)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a date in UTC such as 2014-02-03T02:08:47, got {value!r}"
        ) from error
    if moment is None:
        raise ValueError(f"{name} must be a date in UTC such as 2014-02-03T02:08:47, got {value!r}")
    return moment


def _is_missing(value: Any) -> bool:
    """Whether an event has no end."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan", "nat", "none")
    return (
        value is None
        or value is pd.NaT
        or (isinstance(value, float | np.datetime64) and bool(pd.isna(value)))
    )


def _steady(start: Any, end: Any, cadence_days: float) -> list[datetime]:
    first, last = _span(start, end)
    step = timedelta(days=cadence_days)
    return [first + step * i for i in range(int((last - first) / step + 1e-9) + 1)]


def _answers(
    questions: list[tuple[datetime, int]],
    transport: Transport,
    base_url: str,
    cache: str | Path | None,
    progress: bool,
) -> dict[tuple[datetime, int], Any]:
    """The closest image for each question, or the error that says why there is none."""
    folder = None if cache is None else Path(cache)
    given_up = threading.Event()

    def ask(question: tuple[datetime, int]) -> Any:
        outcome = SourceError("the service does not answer")
        if not given_up.is_set():
            try:
                return closest(*question, transport=transport, base_url=base_url, cache=folder)
            except SourceError as error:
                outcome = error
        if not outcome.permanent:  # it was asked often enough: the others would wait as long
            given_up.set()
        return outcome

    answers = dict(zip(questions, _each(ask, questions, transport, base_url, progress), strict=True))
    for error in answers.values():
        if isinstance(error, SourceError) and not error.permanent:
            raise error
    return answers


def _each(
    ask: Callable[[Any], Any], questions: list[Any], transport: Transport, base_url: str, progress: bool
) -> list[Any]:
    """The answer to each question, over the connections that the service allows."""
    with ThreadPoolExecutor(transport.connections(urlsplit(base_url).hostname or "")) as pool:
        try:
            answers = pool.map(ask, questions)
            return list(tqdm(answers, total=len(questions), unit="image", disable=not progress))
        except BaseException:  # no pause of the service is waited out on the way out
            transport.cancel()
            pool.shutdown(cancel_futures=True)
            transport.allow()
            raise


def _asked(
    transport: Transport, base_url: str, method: str, query: dict[str, Any], cache: Path | None
) -> Any:
    url = f"{_folder(base_url)}{method}/"
    answer = json.loads(transport.get(url, query, check="json", cache=cache, read_error=read_error))
    if isinstance(answer, dict) and "error" in answer:
        raise SourceError(str(answer["error"]), permanent=answer.get("errno") == _NO_DATA)
    return answer


def _folder(base_url: str) -> str:
    return base_url.rstrip("/") + "/"


def _leaves(node: Any, above: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Data sources of the tree that the service gives."""
    if not isinstance(node, dict):
        return
    if "sourceId" in node:
        labels = [str(label.get("name", "")) for label in node.get("uiLabels", ())] or list(above)
        labels += [""] * (3 - len(labels))
        yield (
            int(node["sourceId"]), str(node.get("nickname", "")), labels[0], labels[1], " ".join(labels[2:]),
            node.get("start"), node.get("end"),
        )  # fmt: skip
        return
    for name, below in node.items():
        yield from _leaves(below, (*above, str(name)))


def _labels(
    numbers: Iterable[int], transport: Transport, base_url: str, cache: str | Path | None
) -> dict[int, str]:
    """How file names call data sources; the service is asked for those that are not known here."""
    labels = dict(_KNOWN.values())
    if unknown := set(numbers) - set(labels):
        for row in data_sources(transport=transport, base_url=base_url).itertuples():
            if row.source_id in unknown:
                detector, *rest = (
                    row.measurement.split(" ")
                    if " " in row.measurement
                    else (row.instrument, row.measurement)
                )
                labels[row.source_id] = "_".join([row.observatory, row.instrument, detector, *rest])
    return {number: labels.get(number, f"source_{number}") for number in numbers}


def _published_name(id: str, transport: Transport, base_url: str, cache: str | Path | None) -> str:
    """The name of an image's file at Helioviewer."""
    body = transport.get(
        f"{_folder(base_url)}getJP2Image/", {"id": id, "jpip": "true"}, check="text",
        cache=None if cache is None else Path(cache), read_error=read_error,
    )  # fmt: skip
    uri = body.decode("utf-8", "replace").strip()
    if uri.startswith("{"):
        with contextlib.suppress(ValueError):
            uri = str(json.loads(uri).get("uri"))
    name = uri.rpartition("/")[2]
    if not uri.startswith("jpip:") or not name.endswith(".jp2"):
        raise SourceError(f"getJP2Image should name image {id}, got {uri[:120]!r}", permanent=True)
    return safe_name(name)
