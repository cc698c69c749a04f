"""Which patches a data set has: selected by position, missing pixels, quality and date, with reasons."""

from __future__ import annotations

import filecmp
import os
import shutil
import warnings
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from solartrack import _workers, images
from solartrack._files import link, replacing, write_bytes
from solartrack._tables import as_moment, as_times, read_csv
from solartrack.coordinates.rotation import DEFAULT_LAW, RotationLaw, rotation_rate
from solartrack.errors import ImageError
from solartrack.flares._columns import region_numbers
from solartrack.flares.patches import PATCH_COLUMNS, parse_names
from solartrack.sources._srs import Summaries

__all__ = ["MANIFEST_COLUMNS", "lay_out", "read_manifest", "select", "write_manifest"]

#: Columns of a manifest, with their types.
MANIFEST_COLUMNS = {
    "file": "str",
    "name": "str",
    "region": "Int32",
    "time": "datetime64[us]",
    "time_tai": "datetime64[us]",
    "lat": "float64",
    "lon": "float64",
    "nan_pixels": "Int64",
    "quality": "Int64",
    "reason": "str",
}
# Files that a worker gets at a time.
_TASK = 16


class _Read(NamedTuple):
    nan_pixels: int | None
    quality: int | None
    trouble: str


def select(
    patches: Any,
    regions: Summaries | pd.DataFrame,
    *,
    max_lon: float = 60.0,
    max_lat: float = 60.0,
    max_nan: int | None = 0,
    bad_quality: int = 0x8000_0000,
    start: Any = None,
    end: Any = None,
    convention: Literal["default", "published"] = "default",
    law: str | RotationLaw = DEFAULT_LAW,
    workers: int | None = 1,
) -> pd.DataFrame:
    """Select patches by the position of their region, missing pixels, quality and date.

    Parameters
    ----------
    patches : str, path, iterable of them, or table of `solartrack.flares.parse_names`
        Files with the published names.
    regions : Summaries or pandas.DataFrame
        As from `solartrack.flares.read_srs`. A table without `Summaries` is taken to have all days that
        have a report.
    max_lon, max_lat : float
        Degrees; the region's longitude (Stonyhurst) and latitude must be less than this from 0.
    max_nan : int or None
        Most NaN pixels of a FITS patch. None opens no file.
    bad_quality : int
        Bits of the header's QUALITY that must not be set; default the highest of 32, which says that there
        is no image. Not looked at without `max_nan`.
    start, end : datetime-like, optional
        UTC; patches from `start` on, and before `end`.
    convention : {"default", "published"}
        "published" does not rotate positions to the time of the image, keeps the patches of region-days that
        the summaries lack, and leaves out the last file of each region.
    law : str or RotationLaw
        See `solartrack.coordinates.rotation_rate`.
    workers : int or None
        Processes that read the files, see `solartrack.features.extract`; 1 reads in this process.

    Returns
    -------
    pandas.DataFrame
        The manifest: a row for each patch, in their order; columns as `MANIFEST_COLUMNS`: ``file``,
        ``name``, ``region``, ``time`` (UTC), ``time_tai``, ``lat`` and ``lon`` (degrees, of the region at the
        time of the image; NaN if unknown), ``nan_pixels`` and ``quality`` (NA where the file was not read or
        does not say), and ``reason``: why the patch is left out, "" for the selected ones.

    Raises
    ------
    ValueError
        If an argument is out of range, or a table lacks a column.
    ArchiveError
        If worker processes cannot start.

    Notes
    -----
    A position holds at 00:00 UTC of the summary's day. The law of active regions carries it to the time of
    the image, up to 13 degrees further west. The day of a patch is that of its stamp, which is TAI: the
    first file of a day is a few seconds before the UTC day. Regions with spots and plages without them count
    (sections I and IA).

    Of two files of one region, time and kind the first counts. Whatever is wrong with one file, its name
    included, is the reason in its own row. Pictures (PNG) have no NaN and no QUALITY and are not opened.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> names = [
    ...     "2673_hmi.M_720s.20170904_120000_TAI.1.magnetogram.fits",
    ...     "2675_hmi.M_720s.20170904_120000_TAI.1.magnetogram.fits",
    ... ]
    >>> manifest = flares.select(names, flares.read_srs(demo.SUMMARIES), max_nan=None)
    >>> manifest[["region", "lon", "reason"]].round(1)
       region   lon                                  reason
    0   12673   8.7
    1   12675  69.7  its longitude is not within 60 degrees
    """
    for name, limit in (("max_lon", max_lon), ("max_lat", max_lat)):
        if isinstance(limit, bool) or not isinstance(limit, int | float | np.number) or not limit > 0:
            raise ValueError(f"{name} must be a positive number of degrees, got {limit!r}")
    if max_nan is not None and (
        isinstance(max_nan, bool) or not isinstance(max_nan, int | np.integer) or max_nan < 0
    ):
        raise ValueError(f"max_nan must be a number of pixels, or None, got {max_nan!r}")
    if isinstance(bad_quality, bool) or not isinstance(bad_quality, int | np.integer) or bad_quality < 0:
        raise ValueError(f"bad_quality must be bits of QUALITY such as 0x80000000, got {bad_quality!r}")
    if convention not in ("default", "published"):
        raise ValueError(f"convention must be 'default' or 'published', got {convention!r}")
    published = convention == "published"
    first, last = _date(start, "start"), _date(end, "end")
    place = _workers.workplace(0 if workers == 1 else workers, alone="workers=1")
    table = _parsed(patches)
    reason = table["trouble"].to_numpy(dtype=object)

    def leave_out(wrong: Any, why: str) -> None:
        reason[np.asarray(wrong, dtype=bool) & (reason == "")] = why

    fine = pd.Series(reason == "", table.index)
    same = table[fine].duplicated(["region", "time_tai", "kind"])
    leave_out(same.reindex(table.index, fill_value=False), "another file of its region and time")
    leave_out((table["time"] < first) | (table["time"] >= last), "not between start and end")
    if published:
        ends = table[fine].groupby("region")["time_tai"].transform("max").reindex(table.index)
        leave_out(table["time_tai"] == ends, "the last file of its region")
    known = _positions(regions)
    day = table["time_tai"].dt.floor("D")
    at = pd.DataFrame({"region": table["region"].fillna(0).astype(np.int64), "day": day})
    found = at.merge(known, on=["region", "day"], how="left")
    lat, lon = found["lat"].to_numpy(), found["lon"].to_numpy()
    if not published:
        hours = (table["time"] - day).dt.total_seconds().to_numpy() / 3600.0
        lon = lon + rotation_rate(lat, law) * hours / 24.0
        leave_out(~at["region"].isin(known["region"]), "its region is in no summary")
        leave_out(~day.isin(_days(regions)), "there is no summary of its day")
        leave_out(np.isnan(lon), "its region is not in the summary of its day")
    leave_out(np.abs(lat) >= max_lat, f"its latitude is not within {max_lat:g} degrees")
    leave_out(np.abs(lon) >= max_lon, f"its longitude is not within {max_lon:g} degrees")
    manifest = table[["file", "name", "region", "time", "time_tai"]].assign(
        lat=lat, lon=lon, nan_pixels=pd.array([pd.NA] * len(table), "Int64"),
        quality=pd.array([pd.NA] * len(table), "Int64"),
    )  # fmt: skip
    if max_nan is not None:
        rows = np.flatnonzero((reason == "") & (table["kind"] == "fits").to_numpy())
        _read_all(manifest, reason, rows, place, max_nan, bad_quality)
    return manifest.assign(reason=reason).astype(MANIFEST_COLUMNS)


def _date(value: Any, name: str) -> np.datetime64:
    """A moment; for None one that leaves nothing out."""
    try:
        moment = as_moment(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a date in UTC such as 2014-01-31, got {value!r}") from error
    return np.datetime64(moment or ("1700-01-01" if name == "start" else "2400-01-01"), "us")


def _parsed(patches: Any) -> pd.DataFrame:
    if not isinstance(patches, pd.DataFrame):
        return parse_names(patches)
    if lacking := [name for name in PATCH_COLUMNS if name not in patches]:
        raise ValueError(f"the table of patches lacks the columns {', '.join(lacking)}; see parse_names")
    return patches.reset_index(drop=True)


def _positions(regions: Summaries | pd.DataFrame) -> pd.DataFrame:
    """Region, day, lat and lon of what is on the disk."""
    rows = regions.regions if isinstance(regions, Summaries) else regions
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"regions must be Summaries or a table, as of read_srs, got {type(rows).__name__}")
    if lacking := [name for name in ("region", "time", "lat", "lon") if name not in rows]:
        raise ValueError(f"regions lack the columns {', '.join(lacking)}; see read_srs")
    if "section" in rows:
        rows = rows[rows["section"].isin(["I", "IA"])]
    rows = rows[rows["lon"].notna() & rows["lat"].notna() & rows["region"].notna()]
    days = as_times(rows["time"])
    table = pd.DataFrame({
        "region": region_numbers(rows["region"], days, "the summaries"), "day": days,
        "lat": rows["lat"].astype(np.float64), "lon": rows["lon"].astype(np.float64),
    })  # fmt: skip
    return table.drop_duplicates(["region", "day"])


def _days(regions: Summaries | pd.DataFrame) -> Any:
    return regions.days if isinstance(regions, Summaries) else as_times(regions["time"])


def _read_all(
    manifest: pd.DataFrame, reason: Any, rows: Any, place: _workers.Workplace, max_nan: int, bad_quality: int
) -> None:
    """Read files, and put what they say into the manifest and the reasons."""
    items = [(int(row), manifest["file"].iloc[row]) for row in rows]
    counts, qualities = [pd.array([pd.NA] * len(manifest), "Int64") for _ in range(2)]
    work = partial(_read, look_at_quality=bad_quality != 0)
    with closing(_workers.run(work, items, place, lost=_lost, chunk=_TASK)) as results:
        for (row, _), read in results:
            if read.trouble:
                reason[row] = read.trouble
                continue
            counts[row] = pd.NA if read.nan_pixels is None else read.nan_pixels
            qualities[row] = pd.NA if read.quality is None else read.quality
            if read.nan_pixels is not None and read.nan_pixels > max_nan:
                reason[row] = f"it has more than {max_nan} NaN pixels"
            elif read.quality is not None and read.quality & bad_quality:
                reason[row] = "its QUALITY has a bad bit"
    manifest["nan_pixels"], manifest["quality"] = counts, qualities


def _read(item: tuple[int, str], *, look_at_quality: bool) -> _Read:
    """NaN pixels and QUALITY of a file, or why it cannot be read."""
    path = item[1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cards that do not parse, as HMI's have
            pixels = images.read_patch(path).array
            quality = images.read_header(path).header.get("QUALITY") if look_at_quality else None
    except (ImageError, OSError) as error:
        return _Read(None, None, f"it cannot be read: {str(error).removeprefix(f'{path}: ')}")
    count = int(np.isnan(pixels).sum()) if pixels.dtype.kind == "f" else 0
    try:
        bits = int(quality, 0) if isinstance(quality, str) else quality
        bits = None if bits is None else int(bits) & 0xFFFF_FFFF  # of 32, also where it is negative
    except ValueError:
        return _Read(None, None, f"its QUALITY is {quality!r}, which is no number")
    return _Read(count, bits, "")


def _lost(item: tuple[int, str]) -> _Read:
    return _Read(None, None, f"it cannot be read: {_workers.DIED}")


def write_manifest(manifest: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a manifest as CSV; see `select`.

    Parameters
    ----------
    manifest : pandas.DataFrame
        With the columns of `MANIFEST_COLUMNS`; others are left out.
    path : path
        It is replaced if it is there.

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import demo, flares
    >>> name = "2673_hmi.M_720s.20170904_120000_TAI.1.magnetogram.fits"
    >>> manifest = flares.select([name], flares.read_srs(demo.SUMMARIES), max_nan=None)
    >>> flares.write_manifest(manifest, "manifest.csv")
    >>> Path("manifest.csv").read_text().splitlines()[0]
    'file,name,region,time,time_tai,lat,lon,nan_pixels,quality,reason'
    """
    if lacking := [name for name in MANIFEST_COLUMNS if name not in manifest]:
        raise ValueError(f"the manifest lacks the columns {', '.join(lacking)}; see select")
    write_bytes(path, manifest[list(MANIFEST_COLUMNS)].to_csv(index=False).encode())


def read_manifest(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a manifest that `write_manifest` has written.

    Parameters
    ----------
    path : path
        CSV.

    Returns
    -------
    pandas.DataFrame
        With the columns and types of `MANIFEST_COLUMNS`.

    Raises
    ------
    ValueError
        If the file is no manifest; the message names it.

    Examples
    --------
    >>> from solartrack import demo, flares
    >>> name = "2673_hmi.M_720s.20170904_120000_TAI.1.magnetogram.fits"
    >>> manifest = flares.select([name], flares.read_srs(demo.SUMMARIES), max_nan=None)
    >>> flares.write_manifest(manifest, "manifest.csv")
    >>> flares.read_manifest("manifest.csv")["region"].tolist()
    [12673]
    """
    try:
        table = read_csv(path)
        if lacking := [name for name in MANIFEST_COLUMNS if name not in table]:
            raise ValueError(f"the columns {', '.join(lacking)} are missing")
        for name, kind in MANIFEST_COLUMNS.items():
            if kind.startswith("datetime"):
                table[name] = as_times(table[name])
            elif kind != "str":
                table[name] = pd.to_numeric(table[name].where(table[name] != "")).astype(kind)
    except ValueError as error:
        raise ValueError(f"{path} is no manifest: {error}") from error
    return table[list(MANIFEST_COLUMNS)].astype(MANIFEST_COLUMNS)


def lay_out(
    manifest: pd.DataFrame, folder: str | os.PathLike[str], *, how: Literal["link", "copy"] = "link"
) -> int:
    """Put the selected patches into the published layout: a folder for each region.

    Parameters
    ----------
    manifest : pandas.DataFrame
        As from `select`.
    folder : path
        It is made. Files go to ``folder/NNNN/NAME``, with the last four digits of the region's number.
    how : {"link", "copy"}
        A second name for the same file (a hard link), or a copy.

    Returns
    -------
    int
        How many files are new. Those that are there already, with the same content, are left alone, so an
        interrupted call is repeated.

    Raises
    ------
    FileNotFoundError
        If a patch is gone.
    FileExistsError
        If a file of that name has another content, or something else is in its place.
    ValueError
        If a name is not of the published scheme, two patches have the same name, or an argument is unknown.
    OSError
        If a link cannot be made, as between two file systems.

    Notes
    -----
    All names are checked before anything is made. The folders of regions must not be links.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from solartrack import demo, flares
    >>> name = "2673_hmi.M_720s.20170904_120000_TAI.1.magnetogram.fits"
    >>> fits.writeto(name, np.zeros((64, 64)))
    >>> manifest = flares.select([name], flares.read_srs(demo.SUMMARIES))
    >>> flares.lay_out(manifest, "patches")
    1
    >>> flares.lay_out(manifest, "patches")
    0
    """
    if how not in ("link", "copy"):
        raise ValueError(f"how must be 'link' or 'copy', got {how!r}")
    if lacking := [name for name in ("file", "reason") if name not in manifest]:
        raise ValueError(f"the manifest lacks the columns {', '.join(lacking)}; see select")
    names = parse_names(manifest.loc[manifest["reason"].fillna("") == "", "file"])
    if len(bad := names[names["trouble"] != ""]):
        raise ValueError(f"{bad['file'].iloc[0]!r} is refused: {bad['trouble'].iloc[0]}")
    home = Path(folder)
    targets: dict[Path, Path] = {}
    for file, name, region in zip(names["file"], names["name"], names["region"], strict=True):
        target = home / f"{region % 10000:04}" / name
        if target in targets:
            raise ValueError(f"{targets[target]} and {file} would both become {target}; leave one out")
        targets[target] = Path(file)
    new = {target: source for target, source in targets.items() if not _is_there(target, source)}
    for target, source in new.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        if how == "link":
            link(source, target)
        else:
            with replacing(target) as partial_file:
                shutil.copyfile(source, partial_file)
    return len(new)


def _is_there(target: Path, source: Path) -> bool:
    """Whether a file is in its place already; raises where something else is."""
    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    if target.parent.is_symlink() or (target.parent.exists() and not target.parent.is_dir()):
        raise FileExistsError(f"{target.parent} is no folder, or a link; remove it, or choose another folder")
    if not target.exists() and not target.is_symlink():
        return False
    if not target.is_symlink() and target.is_file() and filecmp.cmp(source, target, shallow=False):
        return True
    raise FileExistsError(f"{target} is there, and is not {source}; remove it, or choose another folder")
