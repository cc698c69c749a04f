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

from solartrack._files import replacing, shown
from solartrack.archive._folder import NOTE, RunFolder, read_note
from solartrack.archive._labels import Label
from solartrack.archive._measure import Measured
from solartrack.errors import ArchiveError
from solartrack.features import COMPLEXITY_NAMES

__all__ = ["Part", "Stamps", "read_part", "remove_aside", "set_aside", "stamp", "stored_results"]

# Hidden: readers of the folder skip them.
_ASIDE = re.compile(r"\.old-\d+-part-\d{6,}\.parquet")
_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        *((name, pa.float64()) for name in COMPLEXITY_NAMES),
        ("nan_pixels", pa.int64()),
        ("class_label", pa.int64()),
        ("flare_class", pa.string()),
    ]
)

#: For each file what its features depend on, see `stamp`; None if it cannot be asked.
Stamps = Mapping[Path, str | None]


class Part(NamedTuple):
    """Files whose rows are stored together.

    Attributes
    ----------
    path : Path
        Where.
    files : list of Path
    """

    path: Path
    files: list[Path]

    def is_complete(self, stamps: Stamps, labels: Mapping[str, Label]) -> bool:
        """Whether it is stored, made of the same files, settings and labels."""
        note = read_note(self.path)
        return note is not None and note.get("key") == self._key(stamps, labels)

    def write(self, results: Sequence[Measured], stamps: Stamps, labels: Mapping[str, Label]) -> None:
        """Store the results of its files."""
        measured = list(zip(self.files, results, strict=True))
        good = [(f, r) for f, r in measured if not r.reason]
        values = np.frombuffer(b"".join(r.values for _, r in good)).reshape(len(good), len(COMPLEXITY_NAMES))
        found = [labels.get(f.name) for f, _ in good]
        columns = [
            [shown(f) for f, _ in good],
            *values.T,
            [r.nan_pixels for _, r in good],
            [label and label.class_label for label in found],
            [label and label.flare_class for label in found],
        ]
        again = {f for f, r in measured if r.may_pass}
        # The errors travel with the part, so that one rename makes both complete.
        note = {
            "key": None if again else self._key(stamps, labels),
            "stamps": {shown(f): stamps[f] for f in self.files if f not in again},
            "errors": [(shown(f), r.reason) for f, r in measured if r.reason],
        }
        schema = _SCHEMA.with_metadata({NOTE: json.dumps(note).encode()})
        arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
        with replacing(self.path) as partial:
            pq.write_table(pa.Table.from_arrays(arrays, schema=schema), partial, write_page_checksum=True)

    def _key(self, stamps: Stamps, labels: Mapping[str, Label]) -> str:
        """Changes with everything that the part's content depends on."""
        return _digest([[file.as_posix(), stamps[file], labels.get(file.name)] for file in self.files])


def stamp(file: Path, settings: Mapping[str, Any]) -> str | None:
    """Changes with everything that the features of a file depend on; None if the file cannot be asked."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return _digest([settings, file.as_posix(), stat.st_size, stat.st_mtime_ns])


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


def stored_results(path: Path) -> dict[str, Measured]:
    """What a part holds, by the files' names as `shown` gives them."""
    table, note = read_part(path)
    values = np.column_stack([table[name].to_numpy() for name in COMPLEXITY_NAMES])
    names, nan_pixels = table["file"].to_pylist(), table["nan_pixels"].to_pylist()
    good = {
        name: Measured(row.tobytes(), count, "")
        for name, row, count in zip(names, values, nan_pixels, strict=True)
    }
    return good | {name: Measured(b"", 0, reason) for name, reason in note["errors"]}


def _aside(folder: RunFolder) -> list[Path]:
    return sorted(path for path in folder.units.iterdir() if _ASIDE.fullmatch(path.name))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
