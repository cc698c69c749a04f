"""What a store knows of its files: three Parquet tables, and a journal while a run goes on.

The journal has a line for each thing that became known, flushed before the run goes on. So whenever a run
ends, tables and journal together say all that was done; the next run puts the journal into the tables.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from solartrack._files import replacing
from solartrack._tables import as_times
from solartrack.errors import ArchiveError, SourceError
from solartrack.sources._checks import CHECKS
from solartrack.sources._plan import PLAN_COLUMNS, safe_name

__all__ = ["JOURNAL", "MANIFEST", "STATES", "Journal", "Tables", "id_folder"]

MANIFEST, LINKS, UNPACKED, JOURNAL = "manifest.parquet", "links.parquet", "unpacked.parquet", "journal.jsonl"

#: planned: not fetched yet. waiting: requested, and being prepared by the service. absent: the service has no
#: such file. failed: the next run tries again.
STATES = ("planned", "waiting", "done", "absent", "failed")

_MANIFEST = pa.schema(
    [
        ("source", pa.string()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("name", pa.string()),
        ("check", pa.string()),
        ("time", pa.timestamp("us")),
        ("bytes", pa.int64()),
        ("request", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("service_id", pa.string()),
    ]
)
_UNPACKED = pa.schema([(n, _MANIFEST.field("size" if n == "size" else "id").type) for n in
                       ("source", "id", "path", "size", "sha256")])  # fmt: skip
_KEPT_FROM_PLAN = [name for name in _MANIFEST.names if name in PLAN_COLUMNS]
_JOURNALED = ("state", "reason", "service_id", "size", "sha256")
_KEY = ["source", "id"]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DAMAGED = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)


class Tables:
    """The tables of a store, with what its journal adds.

    Attributes
    ----------
    manifest : pandas.DataFrame
        A row for each file.
    links : pandas.DataFrame
        Which event needs which file, with the further columns of the plans.
    unpacked : pandas.DataFrame
        Files that came in one that was unpacked: source, id, path, size, sha256.
    """

    def __init__(self, manifest: pd.DataFrame, links: pd.DataFrame, unpacked: pd.DataFrame) -> None:
        self.manifest, self.links, self.unpacked = manifest, links, unpacked

    @classmethod
    def empty(cls) -> Tables:
        """Those of a new store."""
        links = pd.DataFrame({name: pd.Series(dtype="str") for name in ("event", *_KEY)})
        return cls(_frame(_MANIFEST.empty_table()), links, _frame(_UNPACKED.empty_table()))

    @classmethod
    def read(cls, folder: Path) -> Tables:
        """Those of a folder.

        Raises
        ------
        ArchiveError
            If there are none, or they are not as they were written.
        """
        if not (folder / MANIFEST).is_file():
            raise ArchiveError(f"{folder} is not a store: it has no {MANIFEST}; fetch a plan into it first")
        tables = cls(
            _table(folder / MANIFEST, _MANIFEST), _links(folder / LINKS), _table(folder / UNPACKED, _UNPACKED)
        )
        tables._refuse_edits(folder / MANIFEST, folder / UNPACKED)
        if tables._take_in(folder / JOURNAL):
            tables._refuse_edits(folder / JOURNAL, folder / JOURNAL)
        return tables

    def write(self, folder: Path) -> None:
        """Store them, the manifest last, and remove the journal."""
        _write(folder / UNPACKED, self.unpacked, _UNPACKED)
        _write(folder / LINKS, self.links, None)
        _write(folder / MANIFEST, self.manifest, _MANIFEST)
        (folder / JOURNAL).unlink(missing_ok=True)

    def add(self, plan: pd.DataFrame, has_folder: Callable[[str], bool]) -> None:
        """Add the files and links of a plan; of a file that is not there yet, the newer plan holds.

        Parameters
        ----------
        plan : pandas.DataFrame
        has_folder : callable
            Whether each file of a source has a folder of its own.
        """
        links = plan.drop(columns=[name for name in PLAN_COLUMNS if name not in ("event", *_KEY)])
        links = links[["event", *_KEY, *(n for n in links if n not in ("event", *_KEY))]]
        links = _joined(self.links, links) if len(self.links) else links.apply(_of_one_type)
        self.links = links[~links.astype(str).duplicated()].reset_index(drop=True)

        rows = self.manifest.to_dict("records")
        known = {(row["source"], row["id"]): row for row in rows}
        used = {part for row in rows for part in _used(row["path"])}
        for new in plan[_KEPT_FROM_PLAN].drop_duplicates(_KEY).to_dict("records"):
            old = known.get((new["source"], new["id"]))
            if old is not None and old["state"] == "done":
                continue
            if old is not None and old["state"] == "absent" and _asks_for(old) == _asks_for(new):
                continue
            if old is not None and old["name"] == new["name"]:
                old |= new | ({"state": "planned", "reason": ""} if old["state"] == "absent" else {})
                continue
            path = _place(new, used, has_folder(new["source"]))
            used |= _used(path)
            if old is not None:
                old |= {**new, "path": path, "state": "planned", "reason": ""}
                continue
            rows.append(
                new
                | dict.fromkeys(("sha256", "reason", "service_id"), "")
                | {"path": path, "size": None, "state": "planned"}
            )
        self.manifest = _frame(_arrow(pd.DataFrame(rows, columns=_MANIFEST.names), _MANIFEST))

    def _take_in(self, journal: Path) -> bool:
        """Add what a run has noted that was ended before it wrote the tables; whether it has noted any."""
        rows: dict[tuple[str, str], dict[str, Any]] = {
            key: {} for key in zip(self.manifest["source"], self.manifest["id"], strict=True)
        }
        files: dict[tuple[str, str], list[dict[str, Any]]] = {}
        noted = False
        for number, entry in _entries(journal):
            key = entry["source"], entry["id"]
            if key not in rows:
                raise ArchiveError(f"{journal}, line {number}: the manifest has no {key[1]!r} of {key[0]}")
            rows[key].update({name: entry[name] for name in _JOURNALED if name in entry})
            if "files" in entry:
                files[key] = [
                    dict(zip(_UNPACKED.names, (*key, *file), strict=True)) for file in entry["files"]
                ]
            noted = True
        if not noted:
            return False
        for name in _JOURNALED:
            values = [new.get(name, old) for new, old in zip(rows.values(), self.manifest[name], strict=True)]
            self.manifest[name] = pd.Series(values, dtype="Int64" if name == "size" else "str")
        if files:
            kept = [
                row for row in self.unpacked.to_dict("records") if (row["source"], row["id"]) not in files
            ]
            new = [file for several in files.values() for file in several]
            order = {key: number for number, key in enumerate(rows)}
            unpacked = sorted(kept + new, key=lambda row: (order[row["source"], row["id"]], row["path"]))
            self.unpacked = _frame(_arrow(pd.DataFrame(unpacked, columns=_UNPACKED.names), _UNPACKED))
        return True

    def _refuse_edits(self, manifest: Path, unpacked: Path) -> None:
        """Refuse tables that no run has written: their paths are opened and removed, so must be right."""
        if self.manifest.duplicated(_KEY).any():
            _refuse(manifest, "an id comes twice")
        paths = set()
        for row in self.manifest.itertuples():
            what = f"{row.id!r} of {row.source}"
            try:
                parts = [safe_name(part) for part in PurePosixPath(row.path).parts]
            except SourceError as error:
                _refuse(manifest, f"{what}: {error}")
            if len(parts) not in (2, 3) or parts[0] != row.source or parts[-1] != row.name:
                _refuse(manifest, f"{what} has the path {row.path!r}")
            if row.path.casefold() in paths:
                _refuse(manifest, f"two files have the path {row.path!r}")
            paths.add(row.path.casefold())
            if row.state not in STATES:
                _refuse(
                    manifest,
                    f"{what} has the state {row.state!r}, which is none of {', '.join(STATES)}",
                )
            if row.check not in CHECKS:
                _refuse(manifest, f"{what} has the check {row.check!r}")
            if row.state == "done" and (pd.isna(row.size) or not _SHA256.fullmatch(row.sha256)):
                _refuse(manifest, f"{what} is done, but has no size or sha256")
        for row in self.unpacked.itertuples():
            inside = PurePosixPath(row.path).parts
            if len(inside) < 3 or inside[0] != row.source or ".." in inside:
                _refuse(unpacked, f"{row.id!r} of {row.source} has the path {row.path!r}")


class Journal:
    """Notes of a run, appended and flushed one by one; may be shared by threads."""

    def __init__(self, folder: Path) -> None:
        self._guard = threading.Lock()
        self._file = (folder / JOURNAL).open("ab")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def note(self, source: str, id: str, **what: Any) -> None:
        """Note what became known of a file."""
        line = json.dumps({"source": source, "id": id, **what}).encode() + b"\n"
        with self._guard:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())


def id_folder(id: str) -> str:
    """Name of a folder for an id; what is unsafe in the id is replaced, and a digest tells such ids apart."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", id)[:80]
    try:
        if name == id:
            return safe_name(name)
    except SourceError:
        pass
    return f"{name.strip('._-') or 'id'}-{hashlib.sha256(id.encode()).hexdigest()[:12]}"


def _asks_for(row: dict[str, Any]) -> tuple[str, ...]:
    """What is asked for: where it is, and what else the request says."""
    return tuple(row[name] for name in ("url", "name", "check", "request"))


def _joined(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Links with further ones. A column keeps its type, or becomes text: a plan from a CSV has only text."""
    old, new = old.copy(), new.copy()
    for name in old.columns.intersection(new.columns):
        if old[name].dtype == new[name].dtype:
            continue
        try:
            new[name] = _as_type(new[name], old[name].dtype)
        except (TypeError, ValueError):
            old[name], new[name] = _as_text(old[name]), _as_text(new[name])
    return pd.concat([old, new], ignore_index=True).apply(_of_one_type)


def _as_type(column: pd.Series, dtype: Any) -> pd.Series:
    values = column.where(~column.astype(object).isin(["", None]), None)
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return pd.Series(as_times(values), index=column.index).astype(dtype)
    return values.astype(dtype)


def _of_one_type(column: pd.Series) -> pd.Series:
    """A column that a table can hold: one of several types becomes text."""
    kinds = {type(value) for value in column.dropna()} if column.dtype == object else set()
    return _as_text(column) if len(kinds) > 1 else column


def _as_text(column: pd.Series) -> pd.Series:
    return pd.Series(["" if pd.isna(v) else str(v) for v in column], index=column.index, dtype="str")


def _place(row: dict[str, Any], used: set[str], has_folder: bool) -> str:
    """Path of a new file: in the folder of its source, else in one of its own."""
    source, name = row["source"], row["name"]
    own = id_folder(row["id"])
    digest = hashlib.sha256(row["id"].encode()).hexdigest()
    choices = [f"{source}/{own}/{name}", f"{source}/{own}-{digest[:12]}/{name}", f"{source}/{digest}/{name}"]
    for path in choices if has_folder else [f"{source}/{name}", *choices]:
        folder = path.rpartition("/")[0].casefold()
        # The name must be free, and its folder no file; a folder of its own is for one file.
        if path.casefold() not in used and (folder == source or folder not in used):
            return path
    raise ArchiveError(f"no free name for {row['id']!r} of {source}")  # two ids with one SHA-256


def _used(path: str) -> set[str]:
    """What a path takes: its name, and the folder of its own."""
    folder = path.rpartition("/")[0]
    return {path.casefold(), folder.casefold()} if "/" in folder else {path.casefold()}


def _entries(journal: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Lines of a journal; a last one without its end was being written when the run was killed."""
    if not journal.exists():
        return
    with journal.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield number, _entry(line)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ArchiveError(
                    f"{journal}, line {number}, is damaged ({error}); remove the file: what is complete is "
                    "found again"
                ) from error


def _entry(line: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(line)
    for name, value in entry.items():
        if name == "files":
            good = all(list(map(type, file)) == [str, int, str] and _is_size(file[1]) for file in value)
        else:
            good = _is_size(value) if name == "size" else isinstance(value, str)
        if not good:
            raise ValueError(f"{name} = {value!r}")
    entry["source"], entry["id"]
    return entry


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _table(path: Path, schema: pa.Schema) -> pd.DataFrame:
    """Read a table that has this schema."""
    try:
        table = pq.read_table(path, partitioning=None)
        if table.schema.names != schema.names:
            raise ValueError(
                f"expected the columns {', '.join(schema.names)}, got {', '.join(table.schema.names)}"
            )
        table = table.cast(schema)
        for name in schema.names:
            if schema.field(name).type == pa.string() and table[name].null_count:
                raise ValueError(f"the column {name} has missing values")
        return _frame(table)
    except _DAMAGED as error:
        _refuse(path, str(error))


def _links(path: Path) -> pd.DataFrame:
    try:
        links = pq.read_table(path, partitioning=None).to_pandas()
        if list(links)[:3] != ["event", *_KEY]:
            raise ValueError(
                f"expected the columns event, source, id first, got {', '.join(map(str, links))}"
            )
        return links
    except _DAMAGED as error:
        _refuse(path, str(error))


def _refuse(path: Path, why: str) -> Any:
    raise ArchiveError(
        f"{path} is not as a run has written it: {why}; put the file back, or fetch the plan into a new "
        "folder"
    )


def _arrow(frame: pd.DataFrame, schema: pa.Schema | None) -> pa.Table:
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)


def _frame(table: pa.Table) -> pd.DataFrame:
    """The table in pandas; whole numbers may be missing."""
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get, ignore_metadata=True)


def _write(path: Path, frame: pd.DataFrame, schema: pa.Schema | None) -> None:
    table = _arrow(frame, schema)
    if schema is not None:
        table = table.replace_schema_metadata(None)
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")
