"""JSOC: magnetograms of HMI, cut out around regions, and the keywords of its active region patches.

An export is a request that JSOC works on for minutes. `solartrack.sources.fetch` waits for it, one at a time,
and keeps its number, so that a run that was ended goes on with the same request.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pandas as pd
from astropy.time import Time
from astropy.utils.exceptions import AstropyWarning

from solartrack import images
from solartrack._files import replacing
from solartrack._tables import as_moment
from solartrack.errors import ImageError, SourceError, SourceWarning
from solartrack.sources.store import plan_table, safe_name
from solartrack.sources.swpc import full_region_number
from solartrack.sources.transport import Transport

__all__ = [
    "BASE_URL",
    "EMAIL_VARIABLE",
    "EXPORT_COLUMNS",
    "keywords",
    "plan",
    "plan_patches",
    "read_keywords",
    "resolve",
    "search",
    "tai_to_utc",
    "unpack",
]

#: Of the service. A mirror is named by the environment variable SOLARTRACK_JSOC_URL.
BASE_URL = "http://jsoc.stanford.edu/"
#: Environment variable with the e-mail address that is registered at JSOC.
EMAIL_VARIABLE = "SOLARTRACK_JSOC_EMAIL"
#: Columns that plans of exports have beside those of `solartrack.sources.plan_table`.
EXPORT_COLUMNS = ("region", "records", "full_disk_mb")

# Where things are below BASE_URL. drms names the same programs and parameters (its documentation of
# jsoc_fetch and jsoc_info); it opens connections of its own, which nothing here may do.
_INFO, _FETCH, _ADDRESS = (f"cgi-bin/ajax/{name}" for name in ("jsoc_info", "jsoc_fetch", "checkAddress.sh"))
_SERIES = "hmi.M_720s"
_PATCHES = "hmi.sharp_cea_720s"
_FILE_NAMES = "hmi.M_720s.{T_REC:A}.{CAMERA}.{segment}"
_PER_DAY = 120  # records of a series every 720 s
_FULL_DISK_MB = 15.0  # what JSOC counts for a record, however small the cutout
_MOST_MB = 100_000.0  # the largest request it takes
_READY, _RUNNING, _TOO_LARGE, _ERROR, _EXPIRED, _NOT_YET, _PENDING = 0, (1, 2, 12), 3, 4, 5, 6, 7
_TRIES = 3  # of a request that JSOC answers with an error or that has gone
_SHORTEST_WAIT, _LONGEST_WAIT, _MOST_POLLS = 5.0, 60.0, 2000
_NOT_FOUND_POLLS = 30
_SERIES_NAME = re.compile(r"[a-z]\w*\.\w+", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z]\w*")
_TAI = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)_(\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?(?:_TAI)?")
_HEX = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)
_MISSING = {"missing", "nan", "-nan", "", "invalid keylink", "null"}


def tai_to_utc(values: Iterable[Any]) -> pd.Series:
    """Times in TAI, as JSOC gives them, in UTC.

    Parameters
    ----------
    values : iterable of str or datetime-like
        Such as ``"2011.02.11_00:00:00_TAI"``. Missing ones may be "", "MISSING" or NaT.

    Returns
    -------
    pandas.Series of datetime64[us]
        UTC, to the microsecond; NaT where missing. A moment within a leap second becomes the last
        microsecond before it.

    Raises
    ------
    ValueError
        If a text is no such time.
    """
    moments = pd.Series([_tai(value) for value in values], dtype="datetime64[us]")
    known = moments.notna().to_numpy()
    if not known.any():
        return moments
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # leap seconds of years to come
        times = Time(moments[known].to_numpy(), scale="tai").utc
        parts = times.ymdhms
    # A leap second is the 60th of its minute, which a datetime cannot hold.
    seconds = np.minimum(parts["second"], 59.999999)
    utc = [
        datetime(int(p["year"]), int(p["month"]), int(p["day"]), int(p["hour"]), int(p["minute"]))
        + timedelta(seconds=round(float(s), 6))
        for p, s in zip(parts, seconds, strict=True)
    ]
    out = moments.copy()
    out[known] = np.array(utc, dtype="datetime64[us]")
    return out


def search(
    series: str,
    start: Any,
    end: Any,
    *,
    harp: int | None = None,
    region: int | None = None,
    keys: Sequence[str] = ("T_REC", "QUALITY"),
    transport: Transport | None = None,
    base_url: str | None = None,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Records of a series, without their pixels.

    Parameters
    ----------
    series : str
        Such as ``"hmi.M_720s"`` or ``"hmi.sharp_cea_720s"``.
    start, end : datetime-like
        UTC, both included.
    harp : int, optional
        Of a series of patches: only this one.
    region : int, optional
        Of a series of patches: those with this NOAA number.
    keys : sequence of str
        Keywords to ask for.
    transport : Transport, optional
    base_url : str, optional
    cache : path, optional
        Folder in which the answer is kept.

    Returns
    -------
    pandas.DataFrame
        As from `read_keywords`; empty if there are no records.

    Raises
    ------
    ValueError
        If the end lies before the start, or a name is none.
    SourceError
        If JSOC does not answer, or with an error.
    """
    first, last = _span(start, end)
    times = f"[{_as_tai(first)}-{_as_tai(last)}]"
    record_set = _named(series)
    if harp is not None or "sharp" in series or "smarp" in series:
        record_set += f"[{_number(harp, 'harp')}]" if harp is not None else "[]"
    record_set += times
    if region is not None:
        record_set += f'[? NOAA_ARS ~ "{_number(region, "region")}" ?]'
    return _listed(record_set, keys, transport, base_url, cache)


def keywords(
    harp: int,
    *,
    keys: Sequence[str] = ("**ALL**",),
    series: str = _PATCHES,
    transport: Transport | None = None,
    base_url: str | None = None,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """The keywords of an active region patch over its life, without pixels.

    Parameters
    ----------
    harp : int
        Its HARP number.
    keys : sequence of str
        Keywords; the default is all of them.
    series, transport, base_url, cache
        As for `search`.

    Returns
    -------
    pandas.DataFrame
        As from `read_keywords`.

    Raises
    ------
    ValueError, SourceError
        As for `search`; and if there is no such patch.
    """
    table = _listed(f"{_named(series)}[{_number(harp, 'harp')}]", keys, transport, base_url, cache)
    if not len(table):
        raise SourceError(f"{series} has no HARP {harp}", permanent=True)
    return table


def read_keywords(answer: bytes | str | dict[str, Any]) -> pd.DataFrame:
    """A table of an answer of JSOC's ``rs_list``.

    Parameters
    ----------
    answer : bytes, str or dict
        JSON, or what it holds.

    Returns
    -------
    pandas.DataFrame
        A row for each record. ``time`` (UTC) and ``t_rec_tai`` (TAI), if T_REC was asked for; then the
        keywords under their names: whole numbers as Int64 (hexadecimal ones too, so a bad QUALITY is
        negative), others as float64, the rest as text. What is MISSING is NA, NaN or "".

    Raises
    ------
    SourceError
        If it is an error, or no such answer.
    """
    if isinstance(answer, bytes | str):
        try:
            answer = json.loads(answer)
        except ValueError as error:
            raise SourceError(f"JSOC should answer with JSON: {error}") from error
    if not isinstance(answer, dict) or _status(answer) != 0:
        raise SourceError(f"JSOC answers: {_said(answer)}", permanent=True)
    columns = {}
    count = int(answer.get("count", 0))
    try:
        for keyword in answer.get("keywords", ()):
            columns[str(keyword["name"])] = [str(value) for value in keyword["values"]]
    except (KeyError, TypeError) as error:
        raise SourceError(f"JSOC's keywords lack {error}", permanent=True) from error
    if any(len(values) != count for values in columns.values()):
        raise SourceError(f"JSOC lists {count} records, but not as many values: ask again")
    table = pd.DataFrame({name: _typed(values) for name, values in columns.items()})
    if "T_REC" in columns:
        table.insert(0, "time", tai_to_utc(columns["T_REC"]))
        table.insert(1, "t_rec_tai", pd.Series([_tai(v) for v in columns["T_REC"]], dtype="datetime64[us]"))
    return table


def plan(
    regions: pd.DataFrame,
    numbers: Iterable[int] | None = None,
    *,
    size: int = 600,
    cadence: str = "",
) -> pd.DataFrame:
    """Cutouts of magnetograms that follow NOAA regions over their days on the disk.

    Parameters
    ----------
    regions : pandas.DataFrame
        Rows of Solar Region Summaries (`solartrack.sources.swpc.read_srs`): ``region``, ``time``, ``lat``,
        ``lon``, and ``section`` if there is one (only "I" counts).
    numbers : iterable of int, optional
        Only these regions, with four digits or all of them.
    size : int
        Side of the cutouts, pixels of the full disk.
    cadence : str
        Of the records, as JSOC writes it: ``"96m"``; default all, one every 12 minutes.

    Returns
    -------
    pandas.DataFrame
        A plan, see `solartrack.sources.plan_table`, with `EXPORT_COLUMNS`: one export for each region, or
        several where JSOC would refuse it as too large. ``records`` is how many there should be,
        ``full_disk_mb`` what JSOC counts for them.

    Raises
    ------
    ValueError
        If a column is missing, a region has no row, or an argument is out of range.

    Notes
    -----
    A region is followed from 00:00 TAI of its first day to 00:00 TAI after its last one: days on which it was
    not seen in between are included. JSOC rotates the cutout from where the region was on the day
    nearest to its passage of the central meridian; a reference near the limb gives cutouts that lie wrong.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 4096:
        raise ValueError(f"size must be 1 to 4096 pixels, got {size!r}")
    if cadence and not re.fullmatch(r"\d+[smhd]", cadence):
        raise ValueError(f"cadence must be such as '96m', got {cadence!r}")
    if missing := [name for name in ("region", "time", "lat", "lon") if name not in regions]:
        raise ValueError(f"regions lack the columns {', '.join(missing)}")
    rows = regions[regions["section"] == "I"] if "section" in regions else regions
    wanted = sorted(rows["region"].unique()) if numbers is None else list(dict.fromkeys(map(int, numbers)))
    planned: list[dict[str, Any]] = []
    for number in wanted:
        own = rows[(rows["region"] == number) | (rows["region"] == number + 10000)]
        if not len(own):
            raise ValueError(f"region {number} has no row in section I of the summaries")
        planned += _exports(own, size, cadence)
    return plan_table(planned)


def plan_patches(
    harps: Iterable[int],
    *,
    start: Any = None,
    end: Any = None,
    segments: Sequence[str] = ("magnetogram",),
    series: str = _PATCHES,
) -> pd.DataFrame:
    """Active region patches by their HARP number.

    Parameters
    ----------
    harps : iterable of int
    start, end : datetime-like, optional
        UTC; default: the life of each patch.
    segments : sequence of str
        Such as ``"magnetogram"``, ``"Br"``, ``"bitmap"``.
    series : str

    Returns
    -------
    pandas.DataFrame
        A plan as from `plan`; how many records there are is not known.

    Raises
    ------
    ValueError
        If a number or name is none, or only one of start and end is given.
    """
    if (start is None) != (end is None):
        raise ValueError("give start and end, or neither")
    if not segments or any(_KEY.fullmatch(str(name)) is None for name in segments):
        raise ValueError(f"segments must be names such as 'magnetogram', got {list(segments)!r}")
    times, label, first = "", "", None
    if start is not None:
        first, last = _span(start, end)
        times, label = f"[{_as_tai(first)}-{_as_tai(last)}]", f"_{first:%Y%m%dT%H%M}_{last:%Y%m%dT%H%M}"
    rows = []
    for harp in dict.fromkeys(_number(harp, "harp") for harp in harps):
        record_set = f"{_named(series)}[{harp}]{times}[? quality >= 0 ?]{{{','.join(segments)}}}"
        id = f"{series}_{harp}{label}_{'-'.join(segments)}"
        rows.append(_row(id, {"ds": record_set}, first, f"HARP {harp}", None, None))
    if not rows:
        raise ValueError("no HARP number was given")
    return plan_table(rows)


def resolve(row: dict[str, Any], transport: Transport, remember: Callable[..., None]) -> str:
    """Have an export made, and wait for it; `solartrack.sources.fetch` calls this.

    Parameters
    ----------
    row : dict
        Of the manifest.
    transport : Transport
    remember : callable
        Keeps the number of the export.

    Returns
    -------
    str
        URL of the tar file.

    Raises
    ------
    SourceError
        Permanent: no registered e-mail address, a request that is too large, no records. Else, to be tried
        again: what JSOC says, after the third time.
    """
    request = json.loads(row["request"])
    id, said = row.get("service_id") or "", ""
    for _ in range(_TRIES):
        if not id:
            answer = _requested(request, transport)
            id = str(answer.get("requestid") or "")
            if _status(answer) == _READY and answer.get("tarfile"):
                return _tar_url(answer)
            remember(service_id=id, state="waiting")
        answer = _waited_for(id, transport)
        status = _status(answer)
        if status == _READY:
            return _tar_url(answer)
        # Expired, failed or never heard of: ask for it again. Equal requests within a short time get the same
        # number, so nothing is made twice.
        id, said = "", _said(answer)
        remember(service_id="", state="waiting")
    raise SourceError(f"JSOC has not made the export: {said}")


def unpack(path: Path, row: dict[str, Any], folder: Path) -> list[Path]:
    """Take the FITS files out of an export; `solartrack.sources.fetch` calls this.

    Parameters
    ----------
    path : Path
        The tar file.
    row : dict
        Of the manifest.
    folder : Path
        For the files.

    Returns
    -------
    list of Path
        Cutouts have their published names: the region's number without its first digit, then JSOC's name.

    Warns
    -----
    SourceWarning
        If files are left out: those that cannot be read, have a bad QUALITY or another size than asked for.

    Raises
    ------
    SourceError
        If a member has a name that is not safe, or is no plain file or folder; nothing is unpacked then. Or
        if no file can be used.
    """
    request = json.loads(row["request"])
    prefix = f"{request['region'] % 10000:04}_" if "region" in request else ""
    made: list[Path] = []
    rejected: list[str] = []
    with tarfile.open(path) as tar:
        members = [_checked(member) for member in tar]
        for member in members:
            name = member.name.rpartition("/")[2]
            if not member.isfile() or not name.lower().endswith((".fits", ".fit")):
                continue
            target = folder / safe_name(prefix + name)
            if target in made:
                raise SourceError(f"{path} has two files of the name {name}", permanent=True)
            content = tar.extractfile(member)
            assert content is not None
            with replacing(target) as partial, partial.open("wb") as file:
                while block := content.read(2**20):
                    file.write(block)
            if trouble := _trouble(target, request.get("size")):
                target.unlink()
                rejected.append(f"{name}: {trouble}")
            else:
                made.append(target)
    if not made:
        raise SourceError(f"{path} holds no file that can be used: {'; '.join(rejected[:3]) or 'no FITS'}")
    if rejected:
        warnings.warn(
            f"{path.name}: {len(rejected)} of {len(made) + len(rejected)} files are left out; {rejected[0]}",
            SourceWarning,
            stacklevel=2,
        )
    return made


# -- plans -------------------------------------------------------------------------


def _exports(own: pd.DataFrame, size: int, cadence: str) -> Iterator[dict[str, Any]]:
    """Rows of the plan for a region."""
    own = own.sort_values("time", kind="stable")
    first, last = (own["time"].iloc[i].to_pydatetime() for i in (0, -1))
    reference = own.iloc[int(np.argmin(np.abs(own["lon"].to_numpy(np.float64))))]
    region = full_region_number(int(own["region"].iloc[0]), first)
    days = (last - first).days + 1
    per_day = _PER_DAY * 12 * 60 / _seconds(cadence) if cadence else float(_PER_DAY)
    longest = max(1, int(_MOST_MB / (per_day * _FULL_DISK_MB)))
    # Equal parts read better than whole ones and a rest.
    parts = -(-days // longest)
    step = -(-days // parts)
    process = (
        f"im_patch,t_ref={_as_tai(reference['time'].to_pydatetime())},t=0,r=0,c=0,locunits=stony,boxunits=pixels,"
        f"x={reference['lon']:g},y={reference['lat']:g},width={size},height={size}"
    )
    for begin in range(0, days, step):
        length = min(step, days - begin)
        day = first + timedelta(days=begin)
        # Days begin at 00:00 TAI, so this is not a time in UTC.
        times = f"{day:%Y.%m.%d}_00:00:00_TAI/{length}d" + (f"@{cadence}" if cadence else "")
        request = {
            "ds": f"{_SERIES}[{times}][? quality >= 0 ?]{{magnetogram}}",
            "process": process, "filenamefmt": _FILE_NAMES, "region": region, "size": size,
        }  # fmt: skip
        records = round(length * per_day) + (0 if cadence else 1)
        id = f"{_SERIES}_{region}_{day:%Y%m%d}_{length}d_{size}" + (f"_{cadence}" if cadence else "")
        yield _row(id, request, day, str(region), region, records)


def _row(
    id: str,
    request: dict[str, Any],
    day: datetime | None,
    event: str,
    region: int | None,
    records: int | None,
) -> dict[str, Any]:
    return {
        "source": "jsoc", "id": id, "url": "", "name": f"{id}.tar", "check": "tar", "time": day,
        "event": event, "request": json.dumps(request), "region": region, "records": records,
        "full_disk_mb": None if records is None else records * _FULL_DISK_MB,
    }  # fmt: skip


def _seconds(cadence: str) -> int:
    return int(cadence[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[cadence[-1]]


# -- exports -----------------------------------------------------------------------


def _requested(request: dict[str, Any], transport: Transport) -> dict[str, Any]:
    """Ask for an export; wait while the user has others pending."""
    email = _email(transport)
    query = {
        "op": "exp_request", "format": "json", "ds": request["ds"], "notify": email, "method": "url-tar",
        "protocol": "fits", "process=n": "0" + (f"|{request['process']}" if "process" in request else ""),
        "requester": email.partition("@")[0],
    }  # fmt: skip
    if "filenamefmt" in request:
        query["filenamefmt"] = request["filenamefmt"]
    said = ""
    for poll in range(_MOST_POLLS):
        answer = _answer(_FETCH, query, transport)
        status = _status(answer)
        if status == _TOO_LARGE:
            raise SourceError(
                f"the request is too large for JSOC ({_said(answer)}): plan fewer days or a longer cadence",
                permanent=True,
            )
        if status in (_READY, *_RUNNING) and answer.get("requestid"):
            return answer
        if status == _READY:
            raise SourceError("JSOC has no records of that kind and time", permanent=True)
        said = _said(answer)
        if status != _PENDING and poll + 1 >= _TRIES:
            break
        _sleep(_LONGEST_WAIT if status == _PENDING else _SHORTEST_WAIT, transport)
    raise SourceError(f"JSOC does not take the request: {said}")


def _waited_for(id: str, transport: Transport) -> dict[str, Any]:
    """The answer about an export that is ready, or will not be."""
    unknown = 0
    for _ in range(_MOST_POLLS):
        answer = _answer(_FETCH, {"op": "exp_status", "requestid": id, "format": "json"}, transport)
        status = _status(answer)
        unknown += status == _NOT_YET
        if status not in (*_RUNNING, _NOT_YET, _PENDING) or unknown > _NOT_FOUND_POLLS:
            return answer
        _sleep(float(np.clip(_whole(answer.get("wait"), 10), _SHORTEST_WAIT, _LONGEST_WAIT)), transport)
    raise SourceError(f"JSOC has worked on {id} for more than a day; the next run asks for it again")


def _sleep(seconds: float, transport: Transport) -> None:
    transport._sleep(min(seconds, transport.longest_wait))


def _tar_url(answer: dict[str, Any]) -> str:
    tar = str(answer.get("tarfile") or "")
    if not tar:
        count = _whole(answer.get("count"), 0)
        raise SourceError(
            f"JSOC's export is ready, but has no tar file ({count} files): no records", permanent=True
        )
    return urljoin(_base(None), tar)


def _email(transport: Transport) -> str:
    """The registered address, checked at JSOC once."""
    email = os.environ.get(EMAIL_VARIABLE, "").strip()
    if "@" not in email:
        raise SourceError(
            f"an export needs the e-mail address that you have registered at JSOC "
            f"(http://jsoc.stanford.edu/ajax/register_email.html): set {EMAIL_VARIABLE}",
            permanent=False,
        )
    key = (_base(None), email)
    if key not in _registered:
        answer = _answer(_ADDRESS, {"address": email, "checkonly": "1"}, transport)
        if _status(answer) != 2:
            raise SourceError(
                f"JSOC does not know the e-mail address {email} ({_said(answer)}): register it at "
                "http://jsoc.stanford.edu/ajax/register_email.html"
            )
        _registered.add(key)
    return email


_registered: set[tuple[str, str]] = set()


# -- answers -----------------------------------------------------------------------


def _answer(
    program: str, query: dict[str, Any], transport: Transport, base_url: str | None = None
) -> dict[str, Any]:
    answer = json.loads(transport.get(urljoin(_base(base_url), program), query, check="json"))
    if not isinstance(answer, dict):
        raise SourceError(f"JSOC should answer with an object, got {str(answer)[:80]!r}")
    return answer


def _base(base_url: str | None) -> str:
    return (base_url or os.environ.get("SOLARTRACK_JSOC_URL") or BASE_URL).rstrip("/") + "/"


def _listed(
    record_set: str,
    keys: Sequence[str],
    transport: Transport | None,
    base_url: str | None,
    cache: str | Path | None,
) -> pd.DataFrame:
    names = [keys] if isinstance(keys, str) else list(keys)
    for name in names:
        if name != "**ALL**" and _KEY.fullmatch(name) is None:
            raise ValueError(f"keys must be names of keywords, got {name!r}")
    body = (transport or Transport()).get(
        urljoin(_base(base_url), _INFO),
        {"op": "rs_list", "ds": record_set, "key": ",".join(names)},
        check="json",
        cache=None if cache is None else Path(cache),
    )
    return read_keywords(body)


def _status(answer: Any) -> int:
    """The status, which comes as number or text; -1 if there is none."""
    return _whole(answer.get("status") if isinstance(answer, dict) else None, -1)


def _whole(value: Any, default: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default


def _said(answer: Any) -> str:
    if isinstance(answer, dict):
        for name in ("error", "msg"):
            if answer.get(name):
                return str(answer[name])[:300]
        return f"status {answer.get('status')!r}"
    return repr(answer)[:120]


def _typed(values: list[str]) -> pd.Series:
    """Values of a keyword with their type."""
    missing = np.array([value.strip().lower() in _MISSING for value in values], dtype=bool)
    good = [value for value, gone in zip(values, missing, strict=True) if not gone]
    if good and all(map(_HEX.fullmatch, good)):
        # 32 bits with a sign: the highest one says that a record is not to be used.
        whole = [
            None if gone else int(np.uint32(int(v, 16) & 0xFFFFFFFF).astype(np.int32))
            for v, gone in zip(values, missing, strict=True)
        ]
        return pd.Series(whole, dtype="Int64")
    if good and all(re.fullmatch(r"[+-]?\d{1,18}", value) for value in good):
        return pd.Series(
            [None if gone else int(v) for v, gone in zip(values, missing, strict=True)], dtype="Int64"
        )
    try:
        numbers = [np.nan if gone else float(v) for v, gone in zip(values, missing, strict=True)]
    except ValueError:
        return pd.Series(["" if gone else v for v, gone in zip(values, missing, strict=True)], dtype="str")
    return pd.Series(numbers, dtype="float64")


def _tai(value: Any) -> datetime | None:
    if isinstance(value, str):
        if value.strip().lower() in _MISSING:
            return None
        if value.strip().endswith("Z"):  # AIA's records are counted in UTC
            return _tai_of(datetime.fromisoformat(value.strip().removesuffix("Z")))
        match = _TAI.fullmatch(value.strip())
        if match is None:
            raise ValueError(f"expected a time such as 2011.02.11_00:00:00_TAI, got {value!r}")
        year, month, day, hour, minute = map(int, match.groups()[:5])
        return datetime(year, month, day, hour, minute) + timedelta(seconds=float(match[6] or 0))
    return as_moment(value)


def _as_tai(utc: datetime) -> str:
    """A time in UTC as JSOC's TAI."""
    return f"{_tai_of(utc):%Y.%m.%d_%H:%M:%S}_TAI"


def _tai_of(utc: datetime) -> datetime:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        tai: datetime = Time(utc, scale="utc").tai.to_datetime()
    return tai


def _span(start: Any, end: Any) -> tuple[datetime, datetime]:
    moments = []
    for value, name in ((start, "start"), (end, "end")):
        moment = as_moment(value)
        if moment is None:
            raise ValueError(f"{name} must be a date such as 2014-01-31, got {value!r}")
        moments.append(moment)
    if moments[1] < moments[0]:
        raise ValueError(f"end {end} lies before start {start}")
    return moments[0], moments[1]


def _named(series: str) -> str:
    if not isinstance(series, str) or _SERIES_NAME.fullmatch(series) is None:
        raise ValueError(f"series must be a name such as 'hmi.M_720s', got {series!r}")
    return series


def _number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


# -- files -------------------------------------------------------------------------


def _checked(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Refuse members that could write elsewhere."""
    name = member.name
    if (
        name.startswith("/")
        or ".." in name.split("/")
        or "\\" in name
        or not (member.isfile() or member.isdir())
    ):
        kind = "a plain file" if member.isfile() else "a link or device"
        raise SourceError(
            f"the tar file holds {kind} named {name[:80]!r}: it is not unpacked", permanent=True
        )
    return member


def _trouble(path: Path, size: int | None) -> str:
    """Why a file cannot be used, or ""."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cards that do not parse, as HMI's have
            header = images.read_header(path).header
    except (ImageError, OSError) as error:
        return str(error)
    if size is not None and (header["NAXIS1"], header["NAXIS2"]) != (size, size):
        return f"it has {header['NAXIS1']} x {header['NAXIS2']} pixels, not {size} x {size}"
    quality = header.get("QUALITY", 0)
    if isinstance(quality, str) and _HEX.fullmatch(quality):
        quality = int(np.uint32(int(quality, 16) & 0xFFFFFFFF).astype(np.int32))
    return f"QUALITY is {quality}" if isinstance(quality, int) and quality < 0 else ""
