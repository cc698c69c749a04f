"""The store: one folder for the files of a data set, filled from a plan.

``fetch`` works through a plan until everything is there, and may be stopped and killed at any time. A file
has its final name only when it is complete and decodes.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from datetime import UTC
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from solartrack._files import exclusive, remove_partial, replacing
from solartrack._progress import tqdm
from solartrack.errors import ArchiveError, SourceError
from solartrack.sources._checks import CHECKS
from solartrack.sources._manifest import JOURNAL, MANIFEST, Journal, Tables, id_folder
from solartrack.sources._part import discard_part
from solartrack.sources._plan import PLAN_COLUMNS, checked_plan, plan_table, safe_name
from solartrack.sources.transport import Transport, file_sha256

__all__ = ["PLAN_COLUMNS", "Store", "fetch", "plan_table", "safe_name", "verify"]

# Sources whose modules may have steps of their own: resolve, unpack, read_error.
_SOURCES = ("hek", "helioviewer", "jsoc", "swpc")
_QUARANTINE = "quarantine"
# What a service lacks of the last weeks may yet come.
_MAY_YET_COME = pd.Timedelta(days=30)
_OWN_FILES = (MANIFEST, "links.parquet", "unpacked.parquet", JOURNAL, ".lock")
_CHECK_BY_SUFFIX = {
    **dict.fromkeys((".fits", ".fit", ".fts"), "fits"),
    **dict.fromkeys((".png", ".jpg", ".jpeg"), "image"),
    ".jp2": "jp2",
    ".json": "json",
    ".txt": "text",
    ".tar": "tar",
}
_TROUBLES = ("source", "id", "path", "trouble")


class Store:
    """A store that has been filled, or is being filled.

    Parameters
    ----------
    folder : path-like

    Attributes
    ----------
    folder : Path
    manifest : pandas.DataFrame
        A row for each file, in the order in which they were planned: ``source``, ``id``, ``url``,
        ``name``, ``check``, ``time`` (UTC), ``bytes`` (expected), ``request``, ``path`` (in the store),
        ``size``, ``sha256``, ``state`` ("planned", "waiting", "done", "absent", "failed"), ``reason``,
        ``service_id``.
    links : pandas.DataFrame
        ``event``, ``source``, ``id`` and the further columns of the plan: which event needs which file.
    unpacked : pandas.DataFrame
        ``source``, ``id``, ``path``, ``size``, ``sha256`` of the files that came in a tar file.

    Raises
    ------
    ArchiveError
        If the folder is no store, or its tables are not as they were written.

    Notes
    -----
    Iterating gives the files in order of time, so a store can be given where images are wanted.

    Examples
    --------
    >>> from solartrack import demo
    >>> from solartrack.sources import Store, Transport, fetch, swpc
    >>> class Local(Transport):
    ...     # Copies reports that are here in place of downloading them.
    ...     def download(self, url, target, **options):
    ...         target.write_bytes((demo.SUMMARIES / url.rpartition("/")[2]).read_bytes())
    >>> plan = swpc.plan("srs", "2017-09-04", "2017-09-05")
    >>> _ = fetch(plan, "reports", transport=Local())
    >>> Store("reports").manifest[["source", "name", "size", "state"]]
      source             name  size state
    0   swpc  20170904SRS.txt   777  done
    1   swpc  20170905SRS.txt   783  done
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        tables = Tables.read(self.folder)
        self.manifest, self.links, self.unpacked = tables.manifest, tables.links, tables.unpacked

    def files(self, event: str | None = None, source: str | None = None) -> list[Path]:
        """Files that are complete, in order of time.

        Parameters
        ----------
        event, source : str, optional
            Only those of an event, or of a source.

        Returns
        -------
        list of Path
            Those without a time come last. What came in a tar file stands in place of it.

        Raises
        ------
        ValueError
            If no file was planned for that event or source.

        Examples
        --------
        >>> from solartrack import demo
        >>> from solartrack.sources import Transport, fetch, swpc
        >>> class Local(Transport):
        ...     # Copies reports that are here in place of downloading them.
        ...     def download(self, url, target, **options):
        ...         target.write_bytes((demo.SUMMARIES / url.rpartition("/")[2]).read_bytes())
        >>> plan = swpc.plan("srs", "2017-09-04", "2017-09-05")
        >>> store = fetch(plan, "reports", transport=Local())
        >>> [path.name for path in store.files(source="swpc")]
        ['20170904SRS.txt', '20170905SRS.txt']
        """
        wanted = self.manifest[self.manifest["state"] == "done"]
        if source is not None:
            if source not in set(self.manifest["source"]):
                raise ValueError(f"{self.folder} has nothing from {source!r}")
            wanted = wanted[wanted["source"] == source]
        if event is not None:
            links = self.links[self.links["event"] == event]
            if links.empty:
                raise ValueError(f"{self.folder} has no event {event!r}")
            wanted = wanted.merge(links[["source", "id"]].drop_duplicates(), on=["source", "id"])
        wanted = wanted.sort_values(["time", "path"], kind="stable", na_position="last")
        inside = _paths_inside(self.unpacked)
        return [
            self.folder / path
            for source, id, own in zip(wanted["source"], wanted["id"], wanted["path"], strict=True)
            for path in inside.get((source, id), [own])
        ]

    def __iter__(self) -> Iterator[Path]:
        return iter(self.files())

    def verify(self, progress: bool = False) -> pd.DataFrame:
        """Decode all files again, and compare them with the manifest.

        Parameters
        ----------
        progress : bool
            Show a progress bar on standard error.

        Returns
        -------
        pandas.DataFrame
            ``source``, ``id``, ``path``, ``trouble``: what is missing, has another size or another
            sha256, or does not decode, and files that are not in the manifest (with an empty ``id``).
            Empty if all is well.

        Examples
        --------
        >>> from solartrack import demo
        >>> from solartrack.sources import Transport, fetch, swpc
        >>> class Local(Transport):
        ...     # Copies reports that are here in place of downloading them.
        ...     def download(self, url, target, **options):
        ...         target.write_bytes((demo.SUMMARIES / url.rpartition("/")[2]).read_bytes())
        >>> plan = swpc.plan("srs", "2017-09-04", "2017-09-05")
        >>> store = fetch(plan, "reports", transport=Local())
        >>> _ = store.files()[0].write_text("damaged")
        >>> store.verify()[["id", "path"]]
                     id                  path
        0  srs-20170904  swpc/20170904SRS.txt
        """
        done = self.manifest[self.manifest["state"] == "done"]
        inside = set(_paths_inside(self.unpacked))
        files = [
            (row.source, row.id, row.path, row.size, row.sha256, row.check)
            for row in done.itertuples()
            if (row.source, row.id) not in inside
        ]
        files += [
            (row.source, row.id, row.path, row.size, row.sha256, _check_of(row.path))
            for row in self.unpacked.itertuples()
        ]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # Decoders release the interpreter; the order of the table is that of the manifest.
            troubles = pool.map(lambda file: _trouble(self.folder / file[2], *file[3:]), files)
            bar = tqdm(troubles, total=len(files), unit="file", desc="verifying", disable=not progress)
            rows = [(*file[:3], trouble) for file, trouble in zip(files, bar, strict=True) if trouble]
        unfinished = set(self.manifest.loc[self.manifest["state"] != "done", "path"])
        rows += _strays(self.folder, {file[2] for file in files}, unfinished)
        return pd.DataFrame(rows, columns=list(_TROUBLES), dtype="str")


def verify(folder: str | os.PathLike[str], progress: bool = False) -> pd.DataFrame:
    """Decode all files of a store again; see `Store.verify`.

    Parameters
    ----------
    folder : path
        Of the store.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    pandas.DataFrame
        What is wrong; without rows if nothing is.

    Examples
    --------
    >>> from solartrack import demo
    >>> from solartrack.sources import Transport, fetch, swpc, verify
    >>> class Local(Transport):
    ...     # Copies reports that are here in place of downloading them.
    ...     def download(self, url, target, **options):
    ...         target.write_bytes((demo.SUMMARIES / url.rpartition("/")[2]).read_bytes())
    >>> plan = swpc.plan("srs", "2017-09-04", "2017-09-05")
    >>> _ = fetch(plan, "reports", transport=Local())
    >>> len(verify("reports"))
    0
    """
    return Store(folder).verify(progress)


def fetch(
    plan: pd.DataFrame | None,
    folder: str | os.PathLike[str],
    *,
    transport: Transport | None = None,
    offline: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Store:
    """Fill a store.

    Parameters
    ----------
    plan : pandas.DataFrame or None
        What to fetch, see `plan_table`. It is added to what the store has and was to have. None goes on
        with that.
    folder : path-like
        The store: new, empty, or filled by an earlier run. What is complete is not fetched again; what
        failed is tried again; what a service does not have ("absent") is asked for again only if the plan
        has changed (another URL, say) or the file is of the last 30 days.
    transport : Transport, optional
    offline : path-like, optional
        Another store, of a colleague: files are copied from there, and nothing is requested. With `plan`
        None the whole store is copied.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Store
        Files that could not be fetched are in its manifest, with the reason.

    Raises
    ------
    ArchiveError
        If another run works in the folder, the folder is no store, its tables were edited, or the disk has
        less room than the plan needs.
    OSError
        If the folder cannot be written to, or the disk is full. The next run goes on from there.

    Examples
    --------
    >>> from solartrack import demo
    >>> from solartrack.sources import Transport, fetch, swpc
    >>> class Local(Transport):
    ...     # Copies reports that are here in place of downloading them.
    ...     def download(self, url, target, **options):
    ...         target.write_bytes((demo.SUMMARIES / url.rpartition("/")[2]).read_bytes())
    >>> plan = swpc.plan("srs", "2017-09-04", "2017-09-05")
    >>> store = fetch(plan, "reports", transport=Local())
    >>> [path.name for path in store]
    ['20170904SRS.txt', '20170905SRS.txt']
    """
    home = Path(folder)
    if plan is not None:
        plan = checked_plan(plan)
    other = None if offline is None else Store(offline)
    _refuse_others(home)
    if plan is None and other is None:
        Store(home)  # there must be one
    with exclusive(home):
        _refuse_others(home)
        tables = Tables.read(home) if (home / MANIFEST).exists() else Tables.empty()
        if plan is None and other is not None:
            plan = checked_plan(_plan_of(other))
        if plan is not None:
            tables.add(plan, lambda source: _step(source, "unpack") is not None)
        _clean(home, tables)
        todo = _todo(home, tables)
        _check_room(home, tables.manifest, todo, progress)
        tables.write(home)
        if todo:
            with Journal(home) as journal:
                run = _Run(home, journal, transport or Transport(), other)
                run.work(tables.manifest, todo, progress)
            tables = Tables.read(home)
            tables.write(home)
        _remove_packed(home, tables)
    store = Store(home)
    split = _step("jsoc", "split") if "jsoc" in set(store.manifest["source"]) else None
    more = split(store) if split is not None else ()
    if len(more):  # what a service refuses as too large, in smaller requests
        return fetch(more, folder, transport=transport, offline=offline, progress=progress)
    return store


class _Run:
    """Work on the files that are missing; each host has the threads that it allows."""

    def __init__(self, folder: Path, journal: Journal, transport: Transport, other: Store | None) -> None:
        self._folder, self._journal, self._transport = folder, journal, transport
        self._copy = None if other is None else _Copy(other)
        self._stopped = threading.Event()

    def work(self, manifest: pd.DataFrame, todo: list[int], progress: bool) -> None:
        queues: dict[str, deque[int]] = defaultdict(deque)
        for number in todo:
            queues[self._place(manifest["source"].iat[number], manifest["url"].iat[number])].append(number)
        workers = {place: min(self._workers(place), len(queue)) for place, queue in queues.items()}
        bar = tqdm(total=len(todo), unit="file", desc="fetching", disable=not progress, smoothing=0.1)
        with bar, ThreadPoolExecutor(sum(workers.values())) as pool:
            futures: list[Future[None]] = [
                pool.submit(self._drain, manifest, queues[place], bar)
                for place, count in workers.items()
                for _ in range(count)
            ]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                self._stopped.set()
                self._transport.cancel()
                wait(futures)
                self._transport.allow()
                raise

    def _place(self, source: str, url: str) -> str:
        """What shares connections: the files of a host, or those that a source requests one by one."""
        if self._copy is not None:
            return "offline:"
        if _step(source, "resolve") is not None:
            return f"source:{source}"
        try:
            return urlsplit(url).hostname or ""
        except ValueError:  # no URL, which asking for it will say
            return ""

    def _workers(self, place: str) -> int:
        if place.startswith("source:"):
            return 1
        return 4 if place == "offline:" else self._transport.connections(place)

    def _drain(self, manifest: pd.DataFrame, queue: deque[int], bar: Any) -> None:
        while not self._stopped.is_set():
            try:
                number = queue.popleft()
            except IndexError:
                return
            row = _row(manifest, number)
            try:
                known = self._copy(row, self._folder) if self._copy is not None else self._one(row)
            except SourceError as error:
                if self._stopped.is_set():
                    return
                known = {"state": "absent" if error.permanent else "failed", "reason": str(error)}
            except (IsADirectoryError, NotADirectoryError) as error:  # something is in the way of this file
                known = {"state": "failed", "reason": str(error)}
            self._journal.note(row["source"], row["id"], **{"reason": "", **known})
            bar.update()

    def _one(self, row: dict[str, Any]) -> dict[str, Any]:
        """Fetch a file; return what is known of it then."""
        source, id = row["source"], row["id"]
        path = self._folder / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        # Its name means that it is complete: an earlier run was ended before it could note that.
        if path.is_file() and not _fails(path, row["check"]):
            discard_part(path)
        else:

            def remember(**what: str) -> None:
                if unknown := what.keys() - {"service_id", "state"}:
                    raise TypeError(f"remember takes service_id and state, got {', '.join(unknown)}")
                self._journal.note(source, id, **what)

            resolve = _step(source, "resolve")
            url = row["url"] or (resolve(row, self._transport, remember) if resolve is not None else "")
            self._download([url, *_mirrors(row)], path, row)
        known: dict[str, Any] = {"state": "done", "size": path.stat().st_size, "sha256": file_sha256(path)}
        unpack = _step(source, "unpack")
        if unpack is not None:
            # This folder is the file's alone.
            files = sorted(unpack(path, row, path.parent))
            known["files"] = [
                (p.relative_to(self._folder).as_posix(), p.stat().st_size, file_sha256(p)) for p in files
            ]
        return known

    def _download(self, urls: list[str], path: Path, row: dict[str, Any]) -> None:
        """Fetch a file from the first of these places that has it."""
        source, id = row["source"], row["id"]
        errors: list[SourceError] = []
        for url in urls:
            try:
                self._transport.download(
                    url,
                    path,
                    check=row["check"],
                    read_error=_step(source, "read_error"),
                    quarantine=self._folder / _QUARANTINE / source / id_folder(id),
                )
                return
            except SourceError as error:
                if self._stopped.is_set():
                    raise
                errors.append(error)
        # It is absent only if no place has it: one that did not answer may.
        raise next((error for error in errors if not error.permanent), errors[0])


class _Copy:
    """Files of another store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        manifest = store.manifest
        keys = zip(manifest["source"], manifest["id"], strict=True)
        self._rows = {key: number for number, key in enumerate(keys)}
        self._unpacked = dict(iter(store.unpacked.groupby(["source", "id"])))

    def __call__(self, row: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Copy a file; return what is known of it then."""
        key = row["source"], row["id"]
        if key not in self._rows:
            raise SourceError(f"it is not in {self._store.folder}")
        theirs = _row(self._store.manifest, self._rows[key])
        if theirs["state"] == "absent":
            raise SourceError(theirs["reason"], permanent=True)
        if theirs["state"] != "done":
            raise SourceError(
                f"it is not complete in {self._store.folder}: {theirs['reason'] or theirs['state']}"
            )
        known = {name: theirs[name] for name in ("state", "size", "sha256", "service_id")}
        inside = self._unpacked.get(key)
        if inside is None:
            self._copy(theirs["path"], folder / row["path"], theirs["sha256"], row["check"])
            return known
        files = []
        for path, size, sha256 in zip(inside["path"], inside["size"], inside["sha256"], strict=True):
            within = Path(path).relative_to(Path(theirs["path"]).parent)
            target = (folder / row["path"]).parent / within
            self._copy(path, target, sha256, _check_of(path))
            files.append((target.relative_to(folder).as_posix(), int(size), sha256))
        return known | {"files": files}

    def _copy(self, path: str, target: Path, sha256: str, check: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        original = self._store.folder / path
        if not original.is_file():
            raise SourceError(f"{original} is missing")
        with replacing(target) as partial:
            shutil.copyfile(original, partial)
            if file_sha256(partial) != sha256:
                raise SourceError(f"{original} has another sha256 than its manifest says")
            CHECKS[check](partial)


def _mirrors(row: dict[str, Any]) -> list[str]:
    """Other places of a file, in the order in which they are to be tried."""
    try:
        request = json.loads(row["request"] or "{}")
        return [str(url) for url in request.get("mirrors", ())]
    except (ValueError, AttributeError, TypeError):
        return []


def _step(source: str, name: str) -> Any:
    """A step that a source's module has of its own, or None."""
    if source not in _SOURCES:
        return None
    return getattr(_module(source), name, None)


def _module(source: str) -> ModuleType:
    return importlib.import_module(f"solartrack.sources.{source}")


def _row(manifest: pd.DataFrame, number: int) -> dict[str, Any]:
    """A row as plain values; None for a size that is missing."""
    row = {name: manifest[name].iat[number] for name in manifest}
    return row | {name: None if pd.isna(row[name]) else int(row[name]) for name in ("bytes", "size")}


def _todo(folder: Path, tables: Tables) -> list[int]:
    """Numbers of the rows that are not complete; a file that has gone or changed its size is none."""
    manifest = tables.manifest
    inside = defaultdict(list)
    for row in tables.unpacked.itertuples():
        inside[row.source, row.id].append((row.path, row.size))
    columns = (manifest[name] for name in ("source", "id", "path", "size", "state", "time", "service_id"))
    todo, lost = [], []
    recent = pd.Timestamp.now(UTC).tz_localize(None) - _MAY_YET_COME
    for number, (source, id, path, size, state, time, ticket) in enumerate(zip(*columns, strict=True)):
        # One without a time is not recent; a request that was refused will be refused again.
        if state == "absent" and (ticket or not time >= recent):
            continue
        files = inside.get((source, id), [(path, size)])
        if state == "done" and all(_size(folder / path) == size for path, size in files):
            continue
        if state == "done":  # it is fetched again, not taken for one that a killed run has completed
            for gone in {path, *(name for name, _ in files)}:
                (folder / gone).unlink(missing_ok=True)
            lost.append((source, id))
        todo.append(number)
    again = manifest.index.isin(todo) & (manifest["state"] != "waiting")
    manifest.loc[again, "state"] = "planned"
    manifest.loc[again, ["reason", "sha256"]] = ""
    manifest.loc[again, "size"] = pd.NA
    if lost:
        keys = pd.MultiIndex.from_frame(tables.unpacked[["source", "id"]])
        tables.unpacked = tables.unpacked[~keys.isin(lost)].reset_index(drop=True)
    return todo


def _check_room(folder: Path, manifest: pd.DataFrame, todo: list[int], progress: bool) -> None:
    """Compare the bytes that are needed with those that are free, before the start."""
    sizes = manifest["bytes"].iloc[todo]
    needed, free, unknown = int(sizes.sum()), shutil.disk_usage(folder).free, int(sizes.isna().sum())
    what = f"{needed} bytes for {len(todo)} files" + (
        f", {unknown} of them of unknown size" if unknown else ""
    )
    if needed > free:
        raise ArchiveError(f"the plan needs {what}, but only {free} bytes are free in {folder}")
    if progress and todo:
        tqdm.write(f"{folder}: needs {what}; {free} bytes are free", file=sys.stderr)


def _refuse_others(folder: Path) -> None:
    """Refuse a folder that holds other files; nothing is written there then."""
    if folder.is_dir() and not (folder / MANIFEST).exists():
        # A run that begins at the same time may have written its own files, but the manifest, by now.
        names = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
        if others := sorted(names - set(_OWN_FILES)):
            raise ArchiveError(
                f"{folder} is no store and holds other files ({others[0]}, ...); choose a new folder"
            )


def _clean(folder: Path, tables: Tables) -> None:
    """Remove the temporary files of killed runs."""
    unfinished = tables.manifest[tables.manifest["state"] != "done"]
    homes = {folder, *(folder / source for source in tables.manifest["source"].unique())}
    homes |= {(folder / path).parent for path in unfinished["path"]}
    homes |= {
        folder / _QUARANTINE / source / id_folder(id)
        for source, id in zip(unfinished["source"], unfinished["id"], strict=True)
    }
    for home in homes:
        if home.is_dir():
            remove_partial(home)


def _remove_packed(folder: Path, tables: Tables) -> None:
    """Remove the tar files whose content is there, once the manifest says so."""
    unpacked = pd.MultiIndex.from_frame(tables.unpacked[["source", "id"]])
    rows = tables.manifest[pd.MultiIndex.from_frame(tables.manifest[["source", "id"]]).isin(unpacked)]
    for path in set(rows["path"]) - set(tables.unpacked["path"]):
        (folder / path).unlink(missing_ok=True)


def _plan_of(store: Store) -> pd.DataFrame:
    """The plan by which a store was filled."""
    files = store.manifest[[name for name in PLAN_COLUMNS if name in store.manifest]]
    return store.links.merge(files, on=["source", "id"], validate="many_to_one")


def _paths_inside(unpacked: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    inside = defaultdict(list)
    for source, id, path in zip(unpacked["source"], unpacked["id"], unpacked["path"], strict=True):
        inside[source, id].append(path)
    return inside


def _trouble(path: Path, size: int, sha256: str, check: str) -> str:
    """What is wrong with a file, or ""."""
    have = _size(path)
    if have is None:
        return "missing"
    if have != size:
        return f"has {have} bytes, not {size}"
    try:
        if file_sha256(path) != sha256:
            return "has another sha256: its content has changed"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return _fails(path, check)


def _fails(path: Path, check: str) -> str:
    try:
        CHECKS[check](path)
    except SourceError as error:
        return str(error)
    return ""


def _size(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return None


def _check_of(path: str) -> str:
    return _CHECK_BY_SUFFIX.get(Path(path).suffix.lower(), "any")


def _strays(folder: Path, known: set[str], unfinished: set[str]) -> list[tuple[str, str, str, str]]:
    """Files that are none of the store's."""
    rows = []
    partial = {path + end for path in unfinished for end in ("", ".part", ".part.json")}
    for home, folders, names in os.walk(folder):
        folders.sort()
        if Path(home) == folder:
            folders[:] = [name for name in folders if name != _QUARANTINE]
            names = [name for name in names if name not in _OWN_FILES]
        for name in sorted(names):
            path = (Path(home) / name).relative_to(folder).as_posix()
            if path not in known and path not in partial:
                rows.append(
                    (path.partition("/")[0] if "/" in path else "", "", path, "is not in the manifest")
                )
    return rows
