"""Batches of magnetogram patches, read by worker processes in the order that was asked for.

Importing this starts neither TensorFlow nor Keras: the worker processes import it.
"""

from __future__ import annotations

import csv
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from solartrack import _files, _workers
from solartrack._arrays import refuse_masked
from solartrack._optional import require
from solartrack.errors import ArchiveError
from solartrack.inference.conventions import MagnetogramPatch
from solartrack.inference.patches import try_field

__all__ = ["READING", "Failures", "Pass", "Reader", "Samples", "permutation", "read", "real_paths"]

#: Raised by one when the pixels that the network sees of a file change: stored activations become invalid.
READING = 1

# Files that a worker gets at a time, and patches that may wait for an earlier one.
_TASK, _HOLD = 16, 128
# Batches that are put together while the network works on one.
_AHEAD = 2


@dataclass(frozen=True, eq=False)
class Samples:
    """Files with their labels.

    Parameters
    ----------
    files : sequence of path-like
        FITS or PNG, as `solartrack.inference.patches.read_gauss` reads them.
    labels : array_like, shape (n,)
        1 if the region flared, else 0.

    Attributes
    ----------
    files : tuple of str
    labels : ndarray of int8, shape (n,)

    Raises
    ------
    ValueError
        If there is no file, a file comes twice, by whatever path (it would be read twice in an epoch), or
        labels are missing, neither 0 nor 1, or not as many as the files.
    TypeError
        If the labels are masked or not numbers.
    """

    files: tuple[str, ...]
    labels: NDArray[np.int8]

    def __init__(self, files: Iterable[str | os.PathLike[str]], labels: ArrayLike) -> None:
        if isinstance(files, str | os.PathLike):
            raise TypeError(f"files must be a list of files, got the single path {os.fspath(files)!r}")
        names = tuple(os.fspath(file) for file in files)
        if not names:
            raise ValueError("there are no samples: files is empty")
        firsts: dict[str, str] = {}
        for name, real in zip(names, real_paths(names), strict=True):
            if real in firsts:
                spelling = "" if firsts[real] == name else f", first as {firsts[real]!r}"
                raise ValueError(f"each file must be there once, got {name!r} twice{spelling}")
            firsts[real] = name
        object.__setattr__(self, "files", names)
        object.__setattr__(self, "labels", _labels(labels, len(names)))

    def __len__(self) -> int:
        return len(self.files)

    @property
    def flares(self) -> int:
        """How many have the label 1."""
        return int(self.labels.sum())


def real_paths(files: Iterable[str]) -> list[str]:
    """Paths without links and detours: two names of one file have the same."""
    folders: dict[str, str] = {}
    out = []
    for file in files:
        home, name = os.path.split(file)
        if home not in folders:  # which takes its time, and a million files have few folders
            folders[home] = os.path.realpath(home)
        path = os.path.join(folders[home], name)
        out.append(os.path.realpath(path) if os.path.islink(path) else path)
    return out


def _labels(labels: ArrayLike, count: int) -> NDArray[np.int8]:
    refuse_masked(labels, "labels")
    column = pd.Series(labels) if not isinstance(labels, pd.Series) else labels
    if len(column) != count:
        raise ValueError(f"labels must be as many as the files, got {len(column)} for {count} files")
    if missing := int(column.isna().sum()):
        raise ValueError(f"{missing} of {count} labels are missing; leave those samples out")
    try:
        values = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"labels must be numbers, got {column.iloc[0]!r}") from error
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"labels must be 0 or 1, got {values[row]:g} in row {row}")
    out: NDArray[np.int8] = values.astype(np.int8)
    return out


def permutation(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the samples in an epoch, from 0; it depends on nothing else."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def read(file: str, convention: MagnetogramPatch) -> NDArray[np.float32] | str:
    """A patch as the network sees it, shape (side, side), gauss; or why there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers, whose cards do not matter here
        return try_field(file, convention)


def _lost(_: str) -> str:
    return _workers.DIED


class Failures:
    """Files that could not be read, each once, with the reason that was met first.

    Parameters
    ----------
    path : Path, optional
        CSV file with header ``file,reason``; what it holds from an earlier part of the run is kept.

    Attributes
    ----------
    reasons : dict of str to str
        By file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.reasons: dict[str, str] = {}
        if path is not None and path.exists():
            with path.open(newline="", encoding="utf-8") as stored:
                rows = csv.DictReader(stored)
                if rows.fieldnames != ["file", "reason"]:
                    raise ArchiveError(
                        f"{path} is no list of unreadable files of a run; choose another folder"
                    )
                self.reasons = {row["file"]: row["reason"] for row in rows}
        self._saved = len(self.reasons) if path is not None and path.exists() else -1

    def __len__(self) -> int:
        return len(self.reasons)

    def add(self, file: str, reason: str) -> None:
        """Note a file, unless it is noted already."""
        self.reasons.setdefault(_files.shown(file), reason)

    def killed(self, file: str) -> bool:
        """Whether a file has killed the process that read it."""
        return self.reasons.get(_files.shown(file)) == _workers.DIED

    def save(self) -> None:
        """Write the file if there is anything new; without failures it has the header only."""
        if self._path is None or self._saved == len(self.reasons):
            return
        with (
            _files.replacing(self._path) as partial,
            partial.open("w", newline="", encoding="utf-8") as target,
        ):
            rows = csv.writer(target, lineterminator="\n")
            rows.writerow(["file", "reason"])
            rows.writerows(sorted(self.reasons.items()))
        self._saved = len(self.reasons)


class Pass(NamedTuple):
    """One time through samples.

    Attributes
    ----------
    samples : Samples
    rows : callable
        Gives the numbers of the samples in their order; it is called twice, and must give the same.
    block : int
        If not 0, a batch ends after so many of them, whether it is full or not: then a pass that begins at a
        later block has the same batches, whatever files cannot be read.
    """

    samples: Samples
    rows: Callable[[], NDArray[np.int64]]
    block: int = 0


class Reader:
    """Batches of patches for a whole run, whose worker processes are started once.

    Parameters
    ----------
    passes : sequence of Pass
        All that will be read, in this order: reading goes on across the end of a pass.
    convention : MagnetogramPatch
        What the network sees.
    workers : int, optional
        Processes; 0 reads in a thread of this process. Default: the cores that this process may use. A script
        that uses processes must start them below ``if __name__ == "__main__":``.
    failures : Failures, optional
        Notes the files that cannot be read.

    Notes
    -----
    Use it in a ``with`` block: the processes end with it. Memory holds two batches, and for each process 32
    patches and 128 that wait for their turn.

    Raises
    ------
    ValueError, ArchiveError
        If processes cannot be started, see `solartrack._workers.workplace`.
    """

    def __init__(
        self,
        passes: Sequence[Pass],
        convention: MagnetogramPatch,
        *,
        workers: int | None = None,
        failures: Failures | None = None,
    ) -> None:
        self.failures = Failures() if failures is None else failures
        self._side = convention.side
        self._passes = iter(passes)
        self._results = _workers.in_order(
            partial(read, convention=convention),
            self._in_turn(passes),
            _workers.workplace(workers),
            lost=_lost,
            chunk=_TASK,
            hold=_HOLD,
        )
        # TensorFlow's threads read; they must have left when the processes are ended.
        self._lock, self._closed = threading.Lock(), False

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        with self._lock:
            self._results.close()

    def batches(self, batch: int) -> Iterator[tuple[Any, Any, Any]]:
        """The next pass in batches, the last of which may be smaller.

        Parameters
        ----------
        batch : int

        Yields
        ------
        fields : tf.Tensor of float32, shape (n, side, side, 1)
            Gauss.
        labels : tf.Tensor of float32, shape (n, 2)
            One-hot: quiet, flare.
        rows : tf.Tensor of int64, shape (n,)
            Numbers of the samples. Files that cannot be read are left out, and the next ones take their
            places.
        """
        tf = require("tensorflow", extra="train", purpose="training")
        this, side, errors = next(self._passes), self._side, list[Exception]()

        def generate() -> Iterator[tuple[NDArray[Any], ...]]:
            try:
                yield from self._arrays(this, batch)
            except Exception as error:  # of which tf.data would leave the text
                errors.append(error)

        signature = (
            tf.TensorSpec((None, side, side, 1), tf.float32),
            tf.TensorSpec((None, 2), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        )
        made = tf.data.Dataset.from_generator(generate, output_signature=signature)
        yield from made.prefetch(_AHEAD)
        if errors:
            raise errors[0]
        self.failures.save()

    def _arrays(self, this: Pass, batch: int) -> Iterator[tuple[NDArray[Any], ...]]:
        """The batches as arrays, whole ones put together here: a call for each patch would be slow."""
        fields, rows = self._empty(batch)
        filled = 0
        order = this.rows()
        for count, row in enumerate(order, start=1):
            with self._lock:
                if self._closed:
                    return
                _, found = next(self._results)
            if isinstance(found, str):
                self.failures.add(this.samples.files[row], found)
            else:
                fields[filled, :, :, 0], rows[filled] = found, row
                filled += 1
            ends = count == len(order) or (this.block and count % this.block == 0)
            if filled == batch or (filled and ends):
                yield fields[:filled], _one_hot(this.samples.labels[rows[:filled]]), rows[:filled]
                # Not the same ones again: TensorFlow may have taken them without a copy.
                fields, rows = self._empty(batch)
                filled = 0

    def _in_turn(self, passes: Iterable[Pass]) -> Iterator[str]:
        """All files of all passes, with an empty name for those that must not be read."""
        for this in passes:
            files = this.samples.files
            for row in this.rows():
                # What killed a worker would kill the next, and cost the time of all in every epoch.
                yield "" if self.failures.killed(files[row]) else files[row]

    def _empty(self, batch: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return np.empty((batch, self._side, self._side, 1), np.float32), np.empty(batch, np.int64)


def _one_hot(labels: NDArray[np.int8]) -> NDArray[np.float32]:
    return np.stack([labels == 0, labels == 1], axis=1).astype(np.float32)
