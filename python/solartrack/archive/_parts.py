"""Parts of a table of features: the rows of some hundred files, stored together once they are complete.

A part carries a key made from everything that it depends on, and a stamp for each of its files. Where
files have come, gone or changed, earlier parts are set aside, and new ones take from them what still
holds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from solartrack._files import replacing, shown
from solartrack._tables import with_units
from solartrack.archive._folder import NOTE, RunFolder, read_note
from solartrack.archive._labels import Label
from solartrack.archive._measure import COLUMNS, UNITS, Measured
from solartrack.errors import ArchiveError

__all__ = ["Part", "Stamps", "read_part", "remove_aside", "set_aside", "stamp", "stored_results"]

# Hidden: readers of the folder skip them.
_ASIDE = re.compile(r"\.old-\d+-part-\d{6,}\.parquet")

#: For each file what its features depend on, see `stamp`; None if it cannot be asked.
Stamps = Mapping[Path, str | None]


class Part(NamedTuple):
    """Files whose rows are stored together.

    Attributes
    ----------
    path : Path
        Where.
    files : list of Path
    feature_set : str
        One of `COLUMNS`.
    """

    path: Path
    files: list[Path]
    feature_set: str

    def is_complete(self, stamps: Stamps, labels: Mapping[str, Label]) -> bool:
        """Whether it is stored, made of the same files, settings and labels."""
        note = read_note(self.path)
        return note is not None and note.get("key") == self._key(stamps, labels)

    def write(self, results: Sequence[Measured], stamps: Stamps, labels: Mapping[str, Label]) -> None:
        """Store the results of its files."""
        measured = list(zip(self.files, results, strict=True))
        good = [(f, r) for f, r in measured if not r.reason]
        types = COLUMNS[self.feature_set]
        values = np.frombuffer(b"".join(r.values for _, r in good)).reshape(len(good), len(types))
        found = [labels.get(f.name) for f, _ in good]
        columns = {
            "file": pa.array([shown(f) for f, _ in good], pa.string()),
            **{name: _as_column(v, types[name]) for name, v in zip(types, values.T, strict=True)},
            "class_label": pa.array([label and label.class_label for label in found], pa.int64()),
            "flare_class": pa.array([label and label.flare_class for label in found], pa.string()),
        }
        again = {f for f, r in measured if r.may_pass}
        # The errors travel with the part, so that one rename makes both complete.
        note = {
            "key": None if again else self._key(stamps, labels),
            "stamps": {shown(f): stamps[f] for f in self.files if f not in again},
            "errors": [(shown(f), r.reason) for f, r in measured if r.reason],
        }
        table = pa.table(columns)
        schema = with_units(table.schema, UNITS)
        table = table.cast(schema.with_metadata({NOTE: json.dumps(note).encode()}))
        with replacing(self.path) as partial:
            pq.write_table(table, partial, write_page_checksum=True)

    def _key(self, stamps: Stamps, labels: Mapping[str, Label]) -> str:
        """Changes with everything that the part's content depends on."""
        return _digest([[file.as_posix(), stamps[file], labels.get(file.name)] for file in self.files])


def _as_column(values: NDArray[np.float64], kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return pa.array(values)
    missing = np.isnan(values)
    return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing).cast(kind)


def _as_floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    if pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy(), np.float64)
    return np.array([np.nan if v is None else v for v in column.cast(pa.int64()).to_pylist()], np.float64)


def stamp(file: Path, settings: Mapping[str, Any], sources: Iterable[Path]) -> str | None:
    """Changes with everything that the features of a patch depend on, whose pixels are in `sources`.

    None if one of the files cannot be asked.
    """
    try:
        stats = [(source, source.stat()) for source in sources]
    except OSError:
        return None
    if [file] == [source for source, _ in stats]:
        stat = stats[0][1]
        return _digest([settings, file.as_posix(), stat.st_size, stat.st_mtime_ns])
    return _digest([settings, *([source.as_posix(), s.st_size, s.st_mtime_ns] for source, s in stats)])


def set_aside(folder: RunFolder, complete: Iterable[Path]) -> dict[str, Path]:
    """Hide the other parts of earlier runs; where they, or those of a killed run, have which stamp."""
    for path in folder.numbers().keys() - set(complete):
        path.replace(path.with_name(f".old-{path.stat().st_mtime_ns}-{path.name}"))
    kept: dict[str, Path] = {}
    for path in _aside(folder):
        note = read_note(path) or {}
        kept |= dict.fromkeys(filter(None, note.get("stamps", {}).values()), path)
    return kept


def remove_aside(folder: RunFolder) -> None:
    """Remove the parts that were set aside."""
    for path in _aside(folder):
        path.unlink()


def read_part(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """A part's table and its note.

    Raises
    ------
    ArchiveError
        If it is damaged.
    """
    try:
        table, note = pq.read_table(path, page_checksum_verification=True), read_note(path)
    except (pa.ArrowException, OSError) as error:
        why = " ".join(str(error).split())
        raise ArchiveError(f"{path} is damaged ({why}); delete it and start again") from error
    if note is None:
        raise ArchiveError(f"{path} is damaged; delete it and start again")
    return table, note


def stored_results(path: Path, feature_set: str) -> dict[str, Measured]:
    """What a part holds, by the files' names as `shown` gives them."""
    table, note = read_part(path)
    values = np.column_stack([_as_floats(table[name]) for name in COLUMNS[feature_set]])
    good = {
        name: Measured(row.tobytes(), "") for name, row in zip(table["file"].to_pylist(), values, strict=True)
    }
    return good | {name: Measured(b"", reason) for name, reason in note["errors"]}


def _aside(folder: RunFolder) -> list[Path]:
    return sorted(path for path in folder.units.iterdir() if _ASIDE.fullmatch(path.name))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
