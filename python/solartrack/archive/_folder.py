"""The folder of a run: whose it is, its lock, its manifest, and one Parquet file per unit of work.

A run touches only what it has made. Its folder is new or empty at first; then ``manifest.json`` says
which job made it and how many units it has, ``part-000000.parquet`` and so on in a folder of the job's
name. A unit's file appears when it is complete, with a note on what it depends on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from solartrack._files import exclusive, remove_partial, write_bytes
from solartrack.errors import ArchiveError

__all__ = ["NOTE", "RunFolder", "is_whole", "read_note", "run_folder"]

#: Key of the note in the metadata of a unit's file.
NOTE = b"solartrack"
_UNIT = re.compile(r"part-(\d{6,})\.parquet")
_DAMAGED = (pa.ArrowException, OSError, AttributeError, KeyError, TypeError, ValueError)


class RunFolder:
    """The folder of a run, while this process has it alone; made by `run_folder`.

    Attributes
    ----------
    path, units : Path
        The folder, and the one in it that holds the units.
    manifest : dict
        What ``manifest.json`` held at the start; empty if there was none, or a power failure emptied it.
    """

    def __init__(self, path: Path, job: str, manifest: dict[str, Any]) -> None:
        self.path, self.units = path, path / job
        self.manifest = manifest
        self._job = job

    def unit(self, number: int) -> Path:
        """File of a unit."""
        return self.units / f"part-{number:06}.parquet"

    def numbers(self) -> dict[Path, int]:
        """Files in the folder of the units that are named like a unit, with its number."""
        named = {path: _UNIT.fullmatch(path.name) for path in self._visible()}
        return {path: int(match[1]) for path, match in named.items() if match}

    def count(self) -> int:
        """Number of units that earlier runs have begun."""
        known = self.manifest.get("units")
        if isinstance(known, int):
            return known
        # The manifest of an earlier version, or emptied by a power failure.
        return max([-1, *(n for path, n in self.numbers().items() if read_note(path))]) + 1

    def refuse_strays(self, count: int) -> None:
        """Refuse files beside the units that are none of the first `count`: readers would take them in."""
        own = {self.unit(number) for number in range(count)}
        for path in self._visible():
            if path.is_dir() or path not in own:
                raise ArchiveError(
                    f"{path} was not made by this run, but readers of {self.units} would take it in; "
                    "move it away"
                )

    def record(self, manifest: dict[str, Any]) -> None:
        """Write the manifest."""
        content = {"job": self._job, **manifest}
        write_bytes(self.path / "manifest.json", (json.dumps(content, indent=2) + "\n").encode())
        self.units.mkdir(exist_ok=True)

    @contextmanager
    def working(self, manifest: dict[str, Any]) -> Iterator[None]:
        """Say in the manifest that work is going on, and if the block ends with an error, that it was cut."""
        self.record(manifest | {"state": "running"})
        try:
            yield
        except BaseException:
            with suppress(OSError):  # such as a full disk, which may be why
                self.record(manifest | {"state": "interrupted"})
            raise

    def _visible(self) -> list[Path]:
        return _visible(self.units) if self.units.is_dir() else []


@contextmanager
def run_folder(
    path: Path, job: str, *, adopt: Callable[[Path], bool] = lambda path: False
) -> Iterator[RunFolder]:
    """Open the folder of a run and keep other runs out of it for the length of the block.

    Parameters
    ----------
    path : Path
        It is made if it is not there.
    job : str
        "tracks", "features" or "forecasts".
    adopt : callable
        Whether a folder with files but no manifest is of the job all the same: an earlier version's.

    Raises
    ------
    ArchiveError
        If another run is working there, or the folder holds other files or another job's run.
    """
    _manifest(path, job, adopt)  # before anything is written there
    with exclusive(path):
        folder = RunFolder(path, job, _manifest(path, job, adopt))
        remove_partial(path)
        if folder.units.is_dir():
            remove_partial(folder.units)
        yield folder


def read_note(path: Path) -> dict[str, Any] | None:
    """What a unit's file says of itself; None if it is not there, damaged, or not made by a run."""
    try:
        note = json.loads(pq.read_schema(path).metadata[NOTE])
    except _DAMAGED:
        return None
    return note if isinstance(note, dict) else None


def is_whole(path: Path) -> bool:
    """Whether the rows of a unit's file can be read and agree with their checksums. Takes about 1 ms."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            file.read()
    except _DAMAGED:
        return False
    return True


def _manifest(path: Path, job: str, adopt: Callable[[Path], bool]) -> dict[str, Any]:
    """The manifest of the job's run in a folder, empty for a new one; refuses what is none."""
    file = path / "manifest.json"
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        others = _visible(path) if path.is_dir() else []
        if others and not adopt(path):
            raise ArchiveError(
                f"{path} holds other files ({others[0].name}, ...); choose a new folder"
            ) from None
        return {}
    if not data.strip(b"\0 \n"):
        return {}
    try:
        manifest = json.loads(data)
        if not isinstance(manifest, dict) or "solartrack" not in manifest:
            raise ValueError("it does not say which version of solartrack made it")
    except ValueError as error:
        raise ArchiveError(
            f"{file} is not the manifest of an archive run: {error}; choose a new folder, or, if this file "
            "was damaged, empty it and start again: what is finished is kept"
        ) from error
    if (other := manifest.pop("job", "tracks")) != job:  # version 0.1.0 had a manifest for tracks only
        raise ArchiveError(f"{path} holds a run for {other}, not for {job}; choose a new folder")
    return manifest


def _visible(path: Path) -> list[Path]:
    """What readers of a folder see: they skip hidden files and those that begin with an underscore."""
    return sorted(p for p in path.iterdir() if not p.name.startswith((".", "_")))
