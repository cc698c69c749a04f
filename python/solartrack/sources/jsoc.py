"""JSOC: magnetograms of HMI, cut out around regions, and the keywords of its active region patches.

An export is a request that JSOC works on for minutes. `solartrack.sources.fetch` waits for it, one at a time,
and keeps its number, so that a run that was ended goes on with the same request.
"""

from __future__ import annotations

import json
import re
import tarfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from solartrack import images
from solartrack._files import replacing
from solartrack._tables import as_moment, as_times
from solartrack.errors import ImageError, SourceError, SourceWarning
from solartrack.sources._checks import CHECKS
from solartrack.sources._jsoc_export import BASE_URL, EMAIL_VARIABLE, VOID, check_email, program, resolve
from solartrack.sources._jsoc_table import as_object, tai_text, tai_to_utc, typed_table, utc_to_tai
from solartrack.sources.store import Store, plan_table, safe_name
from solartrack.sources.swpc import full_region_number
from solartrack.sources.transport import Transport

__all__ = [
    "BASE_URL",
    "EMAIL_VARIABLE",
    "EXPORT_COLUMNS",
    "SEARCH_COLUMNS",
    "Expected",
    "check_email",
    "expected",
    "keywords",
    "plan",
    "plan_patches",
    "read_keywords",
    "resolve",
    "search",
    "split",
    "tai_to_utc",
    "unpack",
    "utc_to_tai",
]

#: Columns that plans of exports have beside those of `solartrack.sources.plan_table`.
EXPORT_COLUMNS = ("region", "records", "files", "full_disk_mb")

#: Columns of a search, with their types.
SEARCH_COLUMNS = {
    "series": "str",
    "time": "datetime64[us]",
    "t_rec_tai": "datetime64[us]",
    "quality": "Int64",
    "harp": "Int64",
    "noaa": "str",
}

_SERIES, _PATCHES = "hmi.M_720s", "hmi.sharp_cea_720s"
# They give the names of the published data set; JSOC's default is in lower case.
_FILE_NAMES = {_SERIES: "{series}.{{T_REC:A}}.{{CAMERA}}.{{segment}}"}
_PATCH_NAMES = "{series}.{{HARPNUM}}.{{T_REC:A}}.{{segment}}"
_DAY, _STEP_S = timedelta(days=1), 720
_FULL_DISK_MB = 15.0  # what JSOC counts for a record, however small the cutout (recorded: "size": 15)
_MOST_MB = 100_000.0  # the largest request that it takes
_BYTES_PER_PIXEL = 1.2  # of a magnetogram compressed by Rice, measured on HARP 377
_LARGEST_MEMBER = 2**30
_SERIES_NAME = re.compile(r"[a-z]\w*\.\w+", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z][\w-]*")
# Of the keywords that a search asks for; the answer itself has only texts.
_SEARCHED = {"keywords": [{"name": "QUALITY", "type": "int"}, {"name": "HARPNUM", "type": "int"}]}


class Expected(NamedTuple):
    """What a plan of exports comes to.

    Attributes
    ----------
    exports : int
        Requests to JSOC, which are made and waited for one after the other.
    files : int
        Files, where the plan knows their number.
    bytes : int
        An estimate, where the plan has one: 1.2 bytes for a pixel of a magnetogram compressed by Rice.

    Examples
    --------
    >>> from solartrack.sources import jsoc
    >>> jsoc.expected(jsoc.plan_patches([377], segments=["magnetogram", "Br"])).exports
    1
    """

    exports: int
    files: int
    bytes: int


def search(
    series: str,
    start: Any = None,
    end: Any = None,
    *,
    harp: int | None = None,
    region: int | None = None,
    transport: Transport | None = None,
    base_url: str | None = None,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Records of a series.

    Parameters
    ----------
    series : str
        Such as ``"hmi.M_720s"`` or ``"hmi.sharp_cea_720s"``.
    start, end : datetime-like
        UTC, both included. May be left out if `harp` is given.
    harp : int, optional
        Of a series of patches: only this one.
    region : int, optional
        Of a series of patches: those that contain this NOAA region (five digits).
    transport : Transport, optional
    base_url : str, optional
        Default: that of the environment variable ``SOLARTRACK_JSOC_URL``, else `BASE_URL`.
    cache : path, optional
        Folder in which the answer is kept.

    Returns
    -------
    pandas.DataFrame
        Columns as `SEARCH_COLUMNS`, in JSOC's order; ``time`` is T_REC in UTC, ``t_rec_tai`` in TAI. A record
        without an image has a negative ``quality``. ``harp`` is NA and ``noaa`` (numbers, with commas) ""
        where a series has none.

    Raises
    ------
    ValueError
        If the end lies before the start, a name or number is none, or the series has no patches.
    SourceError
        If JSOC does not answer, or with an error.

    Examples
    --------
    >>> from solartrack.sources import Transport, jsoc
    >>> answer = b'''{"status": 0, "count": 1, "keywords": [
    ...     {"name": "T_REC", "values": ["2011.02.15_02:00:00_TAI"]},
    ...     {"name": "QUALITY", "values": ["0x00000000"]}
    ... ]}'''
    >>> class Recorded(Transport):
    ...     # Gives a recorded answer in place of JSOC.
    ...     def get(self, url, params=None, **options):
    ...         return answer
    >>> span = "2011-02-15T01:59", "2011-02-15T02:00"
    >>> found = jsoc.search("hmi.M_720s", *span, transport=Recorded())
    >>> found[["series", "time", "quality"]]
           series                time  quality
    0  hmi.M_720s 2011-02-15 01:59:26        0
    """
    has_patches = "sharp" in _named(series)
    if not has_patches and not (harp is None and region is None):
        raise ValueError(f"{series} has no patches: harp and region are for series such as {_PATCHES}")
    record_set = series
    if has_patches:
        record_set += "[]" if harp is None else f"[{_number(harp, 'harp')}]"
    if start is not None or end is not None or harp is None:
        record_set += "[{}-{}]".format(*map(tai_text, utc_to_tai(_span(start, end))))
    if region is not None:
        record_set += f'[? NOAA_ARS ~ "{_number(region, "region")}" ?]'
    keys = ["T_REC", "QUALITY", *(["HARPNUM", "NOAA_ARS"] if has_patches else [])]
    found = typed_table(_listed(record_set, keys, transport, base_url, cache), _SEARCHED)
    found = found.rename(columns={"QUALITY": "quality", "HARPNUM": "harp", "NOAA_ARS": "noaa"})
    lacking = {"series": series, "noaa": "", "time": pd.NaT, "t_rec_tai": pd.NaT}
    table = pd.DataFrame({
        name: found[name].astype(kind) if name in found
        else pd.Series([lacking.get(name, pd.NA)] * len(found), dtype=kind)
        for name, kind in SEARCH_COLUMNS.items()
    })  # fmt: skip
    if region is not None:  # JSOC compares texts, so 1115 would be in 11158
        table = table[[str(region) in numbers.split(",") for numbers in table["noaa"]]]
    return table.reset_index(drop=True)


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
        As from `read_keywords`, with the types of the series.

    Raises
    ------
    ValueError, SourceError
        As for `search`; and if there is no such patch.

    Examples
    --------
    This asks JSOC for the unsigned flux of HARP 377, NOAA 11158, at all times: a row for each record.

    >>> from solartrack.sources import jsoc
    >>> sharp = jsoc.keywords(377, keys=["T_REC", "USFLUX"])  # doctest: +SKIP
    """
    answer = _listed(f"{_named(series)}[{_number(harp, 'harp')}]", keys, transport, base_url, cache)
    if answer.get("count") in (0, "0"):
        raise SourceError(f"{series} has no HARP {harp}", permanent=True)
    structure = _info({"op": "series_struct", "ds": series}, transport, base_url, cache)
    return read_keywords(answer, structure)


def read_keywords(
    answer: bytes | str | Mapping[str, Any], structure: bytes | str | Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """A table of an answer of JSOC's ``rs_list``.

    Parameters
    ----------
    answer : bytes, str or mapping
        JSON, or what it holds.
    structure : bytes, str or mapping, optional
        The answer to ``series_struct`` for the series, which says what type a keyword has. Without it all
        but T_REC are texts.

    Returns
    -------
    pandas.DataFrame
        A row for each record. T_REC is ``time`` (UTC) and ``t_rec_tai`` (TAI). Other times are in UTC under
        their names, or in TAI under their names with ``_tai``. Integers are Int64 (hexadecimal ones are bits:
        a QUALITY with the highest one is negative), reals float64. What is missing is NaT, NA, NaN or "".

    Raises
    ------
    SourceError
        If it is an error or no such answer, or a value is not of its type.

    Examples
    --------
    >>> from solartrack.sources import jsoc
    >>> answer = {"status": 0, "count": 1, "keywords": [
    ...     {"name": "T_REC", "values": ["2011.02.15_02:00:00_TAI"]},
    ...     {"name": "USFLUX", "values": ["2.6e22"]},
    ... ]}
    >>> structure = {"keywords": [{"name": "T_REC", "type": "time"}, {"name": "USFLUX", "type": "float"}]}
    >>> jsoc.read_keywords(answer, structure)
                     time           t_rec_tai        USFLUX
    0 2011-02-15 01:59:26 2011-02-15 02:00:00  2.600000e+22
    """
    types = None if structure is None else as_object(structure, "the series")
    return typed_table(as_object(answer, "the list"), types)


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
        several where JSOC would refuse it as too large. ``time`` is its begin; ``records`` and ``files`` are
        how many there are at most, ``bytes`` is an estimate (see `Expected`), ``full_disk_mb`` what JSOC
        counts for them.

    Raises
    ------
    ValueError
        If a column is missing, one of `numbers` has no row with a place, or an argument is out of range.

    Warns
    -----
    SourceWarning
        If regions are left out because none of their rows has a place on the disk.

    Notes
    -----
    A region is followed from 00:00 TAI of its first day to 00:00 TAI after its last one, both included: days
    on which it was not seen in between count. JSOC rotates the cutout from where the region was on the day
    nearest to its passage of the central meridian; a reference near the limb gives cutouts that lie wrong.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.sources import jsoc
    >>> regions = flares.read_srs(demo.SUMMARIES).regions
    >>> jsoc.plan(regions, [12673], cadence="96m")[["region", "time", "records", "bytes"]]
       region                time  records     bytes
    0   12673 2017-09-03 23:59:23       31  13392000
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 4096:
        raise ValueError(f"size must be 1 to 4096 pixels, got {size!r}")
    if cadence and not re.fullmatch(r"[1-9]\d{0,5}[smhd]", cadence):
        raise ValueError(f"cadence must be such as '96m', got {cadence!r}")
    if missing := [name for name in ("region", "time", "lat", "lon") if name not in regions]:
        raise ValueError(f"regions lack the columns {', '.join(missing)}")
    rows = regions[regions["section"] == "I"] if "section" in regions else regions
    rows = rows.assign(time=as_times(rows["time"]))
    own = {int(number): group for number, group in rows.groupby("region", sort=True)}
    wanted = list(own) if numbers is None else list(dict.fromkeys(_number(n, "region") for n in numbers))
    planned: list[dict[str, Any]] = []
    nowhere = []
    for number in wanted:
        several = [own[n] for n in (number, number + 10000) if n in own]
        if numbers is not None and not several:
            raise ValueError(f"region {number} has no row in section I of the summaries")
        exports = list(_exports(pd.concat(several), size, cadence))
        planned += exports
        if not exports:
            nowhere.append(number)
    if nowhere and numbers is not None:
        raise ValueError(f"region {nowhere[0]} has no row with a place on the disk")
    if nowhere:
        warnings.warn(
            f"{len(nowhere)} regions have no row with a place on the disk and are left out: {nowhere[:5]}",
            SourceWarning,
            stacklevel=2,
        )
    return plan_table(planned)


def plan_patches(
    harps: Iterable[int],
    *,
    start: Any = None,
    end: Any = None,
    segments: Sequence[str] = ("magnetogram",),
    series: str = _PATCHES,
    count: bool = False,
    transport: Transport | None = None,
    base_url: str | None = None,
    cache: str | Path | None = None,
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
    count : bool
        Ask JSOC what records there are, one question for each patch.
    transport, base_url, cache
        As for `search`; only with `count`.

    Returns
    -------
    pandas.DataFrame
        A plan as from `plan`. ``records`` and ``files`` are missing without `count`; ``bytes`` is NA: patches
        have all sizes. Without `count` or a time, a request that JSOC refuses as too large cannot be split.

    Raises
    ------
    ValueError
        If a number or name is none, or only one of start and end is given.
    SourceError
        As for `search`; or if a patch has no good record in that time. Only with `count`.

    Examples
    --------
    >>> from solartrack.sources import jsoc
    >>> plan = jsoc.plan_patches([377], start="2011-02-15T00:00", end="2011-02-15T04:00")
    >>> plan["name"].tolist()
    ['hmi.sharp_cea_720s_377_magnetogram_20110215T0000_20110215T0400.tar']
    """
    if (start is None) != (end is None):
        raise ValueError("give start and end, or neither")
    names = [segments] if isinstance(segments, str) else list(segments)
    if not names or any(_KEY.fullmatch(str(name)) is None for name in names):
        raise ValueError(f"segments must be names such as 'magnetogram', got {names!r}")
    numbers = list(dict.fromkeys(_number(harp, "harp") for harp in harps))
    if not numbers:
        raise ValueError("no HARP number was given")
    if "sharp" not in _named(series):
        raise ValueError(f"{series} has no patches; it must be a series such as {_PATCHES}")
    span = None if start is None else [t.astype(datetime) for t in utc_to_tai(_span(start, end))]
    transport = transport or Transport()
    rows = []
    for harp in numbers:
        own, records = span, None
        if count:
            found = search(series, start, end, harp=harp, transport=transport, base_url=base_url, cache=cache)
            good = found.loc[found["quality"] >= 0, "t_rec_tai"]
            if good.empty:
                raise SourceError(f"{series} has no good record of HARP {harp} in that time", permanent=True)
            own, records = [good.min().to_pydatetime(), good.max().to_pydatetime()], len(good)
        request = {
            "head": f"{series}[{harp}]",
            "tail": f"[? QUALITY >= 0 ?]{{{','.join(names)}}}",
            "filenamefmt": _PATCH_NAMES.format(series=series),
            "segments": len(names),
        }
        rows.append(_row(f"{series}_{harp}_{'-'.join(names)}", request, own, f"HARP {harp}", records))
    return plan_table(rows)


def split(store: Store) -> pd.DataFrame:
    """Plan by days what JSOC has refused as too large; `solartrack.sources.fetch` does so by itself.

    Parameters
    ----------
    store : Store
        After a run: its manifest says which requests were refused (``service_id`` "VOID").

    Returns
    -------
    pandas.DataFrame
        A plan with an export for each day, for `solartrack.sources.fetch` into the same store. It is empty if
        nothing was refused, or only single days and patches without a time.

    Examples
    --------
    >>> from solartrack.sources import fetch, jsoc
    >>> span = {"start": "2011-02-12", "end": "2011-02-17"}
    >>> store = fetch(jsoc.plan_patches([377], **span), "patches")  # doctest: +SKIP
    >>> fetch(jsoc.split(store), "patches")  # doctest: +SKIP
    """
    refused = store.manifest[
        (store.manifest["source"] == "jsoc")
        & (store.manifest["state"] == "absent")
        & (store.manifest["service_id"] == VOID)
    ]
    known = set(store.manifest["id"])
    rows = []
    for id, text in zip(refused["id"], refused["request"], strict=True):
        request = json.loads(text)
        if "first_tai" not in request:
            continue
        first, last = (
            datetime.fromisoformat(request["first_tai"]),
            datetime.fromisoformat(request["last_tai"]),
        )
        links = store.links[(store.links["source"] == "jsoc") & (store.links["id"] == id)]
        for event in links["event"]:
            days = list(_by_days(request["label"], request, first, last, 1, event))
            rows += [row for row in days if len(days) > 1 and row["id"] not in known]
    return plan_table(rows)


def expected(plan: pd.DataFrame) -> Expected:
    """What a plan of exports comes to: requests, files and an estimate of the bytes.

    Parameters
    ----------
    plan : pandas.DataFrame
        As `plan` or `plan_patches` give it; rows of other sources are not counted.

    Returns
    -------
    Expected

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> from solartrack.sources import jsoc
    >>> plan = jsoc.plan(flares.read_srs(demo.SUMMARIES).regions, [12673, 12674])
    >>> jsoc.expected(plan)
    Expected(exports=2, files=482, bytes=208224000)
    """
    unique = plan[plan["source"] == "jsoc"].drop_duplicates("id")
    return Expected(len(unique), int(unique["files"].sum()), int(unique["bytes"].sum()))


def unpack(path: Path, row: dict[str, Any], folder: Path) -> list[Path]:
    """Take the FITS files out of an export; `solartrack.sources.fetch` calls this.

    Parameters
    ----------
    path : Path
        The tar file. It is removed if none of its files can be used, so that it is fetched again.
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
        If files are left out: those that are cut off, have a bad QUALITY or another size than asked for.

    Raises
    ------
    SourceError
        If a member has a name that is not safe, is absurdly large, or is no plain file or folder; nothing is
        unpacked then. Or if no file can be used.

    Examples
    --------
    >>> import tarfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from solartrack.sources import jsoc
    >>> name = "hmi.sharp_cea_720s.377.20110215_020000_TAI.Br.fits"
    >>> fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((8, 8)))]).writeto(name)
    >>> with tarfile.open("export.tar", "w") as tar:
    ...     tar.add(name)
    >>> row = jsoc.plan_patches([377], segments=["Br"]).iloc[0].to_dict()
    >>> Path("files").mkdir()
    >>> [path.name for path in jsoc.unpack(Path("export.tar"), row, Path("files"))]
    ['hmi.sharp_cea_720s.377.20110215_020000_TAI.Br.fits']
    """
    request = json.loads(row["request"])
    prefix = f"{request['region'] % 10000:04}_" if "region" in request else ""
    series = request["head"].partition("[")[0]
    made: list[Path] = []
    rejected: list[str] = []
    with tarfile.open(path) as tar:
        for member, name in _members(tar, path.name):
            if name.casefold().startswith(f"{series}.".casefold()):
                name = series + name[len(series) :]  # JSOC's default is in lower case
            target = folder / safe_name(prefix + name)
            try:
                _write_checked(tar.extractfile(member), target, request.get("size"))
            except SourceError as error:
                rejected.append(f"{name}: {error}")
            else:
                made.append(target)
    if not made:
        path.unlink()
        raise SourceError(
            f"{path.name} holds no file that can be used: {'; '.join(rejected[:3]) or 'no FITS'}"
        )
    if rejected:
        warnings.warn(
            f"{path.name}: {len(rejected)} of {len(made) + len(rejected)} files are left out; {rejected[0]}",
            SourceWarning,
            stacklevel=2,
        )
    return made


# -- plans -------------------------------------------------------------------------


def _exports(own: pd.DataFrame, size: int, cadence: str) -> Iterator[dict[str, Any]]:
    """Rows of the plan for a region; none if it has no place on the disk."""
    days = own["time"].dt.floor("D")
    placed = own[own["lat"].abs().le(90) & own["lon"].abs().le(90)]
    if placed.empty:
        return
    reference = placed.iloc[int(placed["lon"].abs().to_numpy().argmin())]
    region = full_region_number(int(own["region"].iloc[0]), days.min().to_pydatetime())
    # The positions hold at a time in UTC; the days of the magnetograms begin in TAI.
    t_ref = tai_text(utc_to_tai(reference["time"])[0])
    request = {
        "head": _SERIES,
        "tail": "[? QUALITY >= 0 ?]{magnetogram}",
        "filenamefmt": _FILE_NAMES[_SERIES].format(series=_SERIES),
        # t=0 is tracking; without registration and cropping at the limb.
        "process": f"im_patch,t_ref={t_ref},t=0,r=0,c=0,locunits=stony,boxunits=pixels,"
        f"x={reference['lon']:g},y={reference['lat']:g},width={size},height={size}",
        "region": region,
        "size": size,
        "cadence": cadence,
    }
    first, last = days.min().to_pydatetime(), days.max().to_pydatetime() + _DAY
    most_days = max(1, int(_MOST_MB / _FULL_DISK_MB * _seconds(cadence) / _DAY.total_seconds()))
    # Equal parts read better than whole ones and a rest.
    parts = -(-(last - first).days // most_days)
    label = f"{_SERIES}_{region}_{size}" + (f"_{cadence}" if cadence else "")
    yield from _by_days(label, request, first, last, -(-(last - first).days // parts), str(region))


def _by_days(
    label: str, request: dict[str, Any], first: datetime, last: datetime, days: int, event: str
) -> Iterator[dict[str, Any]]:
    """A row of the plan for each span of so many days, the last moment included."""
    midnight = datetime(first.year, first.month, first.day)
    begin = first
    while begin < last or begin == first:
        midnight += days * _DAY
        rest = midnight >= last
        # Both ends of a range are included, so a part ends before the next begins.
        end = last if rest else midnight - timedelta(seconds=1)
        steps = int((end - begin).total_seconds()) // _seconds(request.get("cadence", ""))
        yield _row(label, request, [begin, end], event, steps + 1)
        if rest:
            return
        begin = midnight


def _row(
    label: str, request: dict[str, Any], span: list[datetime] | None, event: str, records: int | None
) -> dict[str, Any]:
    """A row of the plan for the records between two moments in TAI, both included; None for all."""
    full = {**request, "label": label, "ds": request["head"] + request["tail"]}
    id, begin, size = label, None, request.get("size")
    if span is not None:
        times = "-".join(map(tai_text, span)) + (f"@{request['cadence']}" if request.get("cadence") else "")
        full["ds"] = f"{request['head']}[{times}]{request['tail']}"
        full |= {"first_tai": span[0].isoformat(), "last_tai": span[1].isoformat()}
        id = f"{label}_{span[0]:%Y%m%dT%H%M}_{span[1]:%Y%m%dT%H%M}"
        begin = tai_to_utc(span[0])[0]
    row = {
        "source": "jsoc", "id": id, "name": f"{id}.tar", "check": "tar", "event": event, "time": begin,
        "request": json.dumps(full), "region": request.get("region"), "records": records,
        "files": None if records is None else records * request.get("segments", 1),
    }  # fmt: skip
    if size is None or records is None:
        return row | {"bytes": None, "full_disk_mb": None}
    return row | {"bytes": int(records * size**2 * _BYTES_PER_PIXEL), "full_disk_mb": records * _FULL_DISK_MB}


def _seconds(cadence: str) -> int:
    if not cadence:
        return _STEP_S
    return max(int(cadence[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[cadence[-1]], _STEP_S)


# -- questions ---------------------------------------------------------------------


def _listed(
    record_set: str,
    keys: Sequence[str],
    transport: Transport | None,
    base_url: str | None,
    cache: str | Path | None,
) -> dict[str, Any]:
    names = [keys] if isinstance(keys, str) else list(keys)
    for name in names:
        if name != "**ALL**" and _KEY.fullmatch(name) is None:
            raise ValueError(f"keys must be names of keywords, got {name!r}")
    return _info({"op": "rs_list", "ds": record_set, "key": ",".join(names)}, transport, base_url, cache)


def _info(
    query: dict[str, str], transport: Transport | None, base_url: str | None, cache: str | Path | None
) -> dict[str, Any]:
    folder = None if cache is None else Path(cache)
    body = (transport or Transport()).get(program("jsoc_info", base_url), query, check="json", cache=folder)
    return as_object(body, "the answer")


def _span(start: Any, end: Any) -> list[datetime]:
    moments = []
    for value, name in ((start, "start"), (end, "end")):
        moment = as_moment(value)
        if moment is None:
            raise ValueError(f"{name} must be a date such as 2014-01-31, got {value!r}")
        moments.append(moment)
    if moments[1] < moments[0]:
        raise ValueError(f"end {end} lies before start {start}")
    return moments


def _named(series: str) -> str:
    if not isinstance(series, str) or _SERIES_NAME.fullmatch(series) is None:
        raise ValueError(f"series must be a name such as 'hmi.M_720s', got {series!r}")
    return series


def _number(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


# -- files -------------------------------------------------------------------------


def _members(tar: tarfile.TarFile, path: str) -> list[tuple[tarfile.TarInfo, str]]:
    """The FITS files of a tar file and their names, once all members are seen to be harmless."""
    chosen: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        name = member.name
        shown = f"{path} holds {name[:80]!r}, which"
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or not name.isprintable():
            raise SourceError(f"{shown} is no safe name: nothing is unpacked", permanent=True)
        if not (member.isdir() or member.isfile()) or member.issparse():
            raise SourceError(f"{shown} is a link or device: nothing is unpacked", permanent=True)
        if member.size > _LARGEST_MEMBER:
            raise SourceError(f"{shown} has {member.size} bytes: nothing is unpacked", permanent=True)
        own = name.rpartition("/")[2]
        if not member.isfile() or not own.casefold().endswith((".fits", ".fit")):
            continue  # the lists that JSOC adds
        safe_name(own)
        if own.casefold() in (other.casefold() for other in chosen):
            raise SourceError(f"{shown} comes twice: nothing is unpacked", permanent=True)
        chosen[own] = member
    return [(member, name) for name, member in chosen.items()]


def _write_checked(content: Any, target: Path, size: int | None) -> None:
    """Write a file; it gets its name only if it is whole, good and of the size."""
    with replacing(target) as partial:
        with partial.open("wb") as file:
            while block := content.read(2**20):
                file.write(block)
        CHECKS["fits"](partial)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cards that do not parse, as HMI's have
            try:
                header = images.read_header(partial).header
            except (ImageError, OSError) as error:
                raise SourceError(str(error)) from error
        shape = header.get("NAXIS1"), header.get("NAXIS2")
        if size is not None and shape != (size, size):
            raise SourceError(f"it has {shape[0]} x {shape[1]} pixels, not {size} x {size}")
        quality = header.get("QUALITY", 0)
        quality = int(quality, 0) if isinstance(quality, str) and quality.startswith("0x") else quality
        # The highest of 32 bits: there is no image.
        if isinstance(quality, int) and (quality < 0 or quality >> 31):
            raise SourceError(f"its QUALITY is {quality}")
