"""The output of the frozen part of a network for every file, computed once and kept on disk.

A folder holds ``activations.npy`` (a row for each file, whole from the start), ``cache.json`` (of which
network and files), ``progress.json`` (how many rows are there, and which files could not be read) and
``errors.csv``.
Rows are written in blocks; a killed run goes on after its last block, to the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from os import PathLike, fspath
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from solartrack import _files, _workers
from solartrack._arrays import as_count
from solartrack._optional import require
from solartrack._progress import tqdm
from solartrack.errors import ArchiveError
from solartrack.inference.conventions import MagnetogramPatch
from solartrack.models.vgg.dataset import READING, Failures, Pass, Reader, Samples, read

__all__ = ["Activations", "compute_activations", "files_hash", "inference", "network_hash", "planned_bytes"]

Dtype = Literal["float32", "float16"]

#: Raised by one when the files of a cache change their meaning.
FORMAT = 1

_ARRAY, _ABOUT, _PROGRESS, _ERRORS = "activations.npy", "cache.json", "progress.json", "errors.csv"
_OURS = {_ARRAY, _ABOUT, _PROGRESS, _ERRORS}
# Rows and bytes of a block at most: a killed run loses the time that one takes.
_BLOCK_ROWS, _BLOCK_BYTES = 1024, 32 << 20
_LARGEST_HALF = 65504.0
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# How a file system says that it cannot reserve space.
_NO_RESERVING = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
# What is compared, and what to say of it where it differs.
_WORDS = {
    "format": "another format",
    "network": "another network: its weights or layers",
    "reading": "another way in which files are read",
    "files": "other files: their paths, order, sizes or dates",
    "dtype": "another dtype",
    "shape": "another shape",
}


class Activations:
    """Stored activations; made by `compute_activations`.

    Attributes
    ----------
    path : Path
        The ``.npy`` file.
    shape : tuple of int
        Files, then the shape of a row.
    readable : ndarray of bool, shape (n,)
        Whether a file could be read. The rows of the others are zeros.
    reasons : dict of int to str
        Why the others could not, by row.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], reasons: dict[int, str]) -> None:
        self.path, self.shape, self.reasons = path, shape, reasons
        self.readable = np.full(shape[0], True)
        self.readable[list(reasons)] = False

    def rows(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Some rows, in the order that is asked for.

        Parameters
        ----------
        rows : ndarray of int, shape (k,)

        Returns
        -------
        ndarray of float32, shape (k, ...)
        """
        # Mapped anew each time: pages that have been looked at count as memory of the process.
        stored = np.load(self.path, mmap_mode="r")
        out: NDArray[np.float32] = stored[rows].astype(np.float32, copy=False)
        return out


def planned_bytes(trunk: Any, files: int, dtype: Dtype = "float32") -> int:
    """Size of the file that the activations of so many files need.

    Parameters
    ----------
    trunk : keras.Model
        The frozen part, see `solartrack.models.vgg.network.split`.
    files : int
    dtype : {"float32", "float16"}

    Returns
    -------
    int
        Bytes: 15.6 GB for 950 000 files and the 4096 activations of VGG16 in float32.

    Raises
    ------
    ValueError
        If there is no such dtype.
    """
    shape = (files, *trunk.output_shape[1:])
    return len(_npy_header(shape, _dtype(dtype))) + int(np.prod(shape)) * _dtype(dtype).itemsize


def inference(trunk: Any) -> Callable[[Any], Any]:
    """The frozen part as a function of fields, float32 (n, side, side, 1); it gives float32 tensors."""
    tf = require("tensorflow", extra="train", purpose="activations")

    def infer(fields: Any) -> Any:
        return tf.cast(trunk(fields, training=False), tf.float32)

    signature = [tf.TensorSpec((None, *trunk.input_shape[1:]), tf.float32)]
    compiled: Callable[[Any], Any] = tf.function(infer, input_signature=signature)
    return compiled


def network_hash(network: Any) -> str:
    """SHA-256 of the layers of a network, how they are connected, and their weights."""
    sha = hashlib.sha256()
    config = {k: v for k, v in network.get_config().items() if k != "name"}
    sha.update(json.dumps(_without_training(config), sort_keys=True, default=str).encode())
    for variable in network.weights:
        array = np.ascontiguousarray(variable.value)
        sha.update(f"{variable.path.rpartition('/')[2]} {array.dtype} {array.shape}".encode())
        sha.update(array.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def files_hash(files: Sequence[str]) -> str:
    """SHA-256 of the paths, sizes and times of change of files, in their order."""
    sha = hashlib.sha256()
    for file in files:
        try:
            found = os.stat(file)
            facts = f"{found.st_size} {found.st_mtime_ns}"
        except OSError:
            facts = "none"
        sha.update(os.fsencode(os.path.abspath(file)) + f"\0{facts}\n".encode())
    return sha.hexdigest()


def compute_activations(
    trunk: Any,
    files: Sequence[str | PathLike[str]],
    folder: str | PathLike[str],
    *,
    dtype: Dtype = "float32",
    batch: int = 64,
    workers: int | None = None,
    progress: bool = False,
) -> Activations:
    """What the frozen part of a network gives for every file, from the cache where it is there.

    Parameters
    ----------
    trunk : keras.Model
        See `solartrack.models.vgg.network.split`.
    files : sequence of path-like
        FITS or PNG. A file that cannot be read gets a row of zeros, and a line in ``errors.csv``; it is tried
        again when the cache is used again.
    folder : path-like
        Of the cache; it is made. If it holds an unfinished cache of the same network and files, the work
        goes on there; a finished one is used as it is.
    dtype : {"float32", "float16"}
        Of the stored values. float16 takes half the space and keeps three digits.
    batch : int
        Files that the network works on at a time.
    workers : int, optional
        See `solartrack.models.vgg.dataset.Reader`.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    Activations

    Raises
    ------
    ValueError
        If the cache is of another network, of other files, or in another dtype or format; if the activations
        are not finite, or too large for float16; if there are no files, or one comes twice.
    OSError
        If there is too little space (``errno.ENOSPC``): before the work begins, with what is needed and what
        is free, or, where space cannot be reserved, during it; the rows so far are kept then, and the work
        goes on when it is started again.
    ArchiveError
        If another run works in the folder, it holds other files, or the cache is damaged; or worker
        processes cannot start.
    """
    samples = Samples(files, np.zeros(len(files)))
    home, kind = Path(folder), _dtype(dtype)
    batch = as_count(batch, "batch")
    shape = (len(samples), *trunk.output_shape[1:])
    if None in shape:
        raise ValueError(f"activations must have a fixed shape, got {trunk.output_shape} from {trunk.name}")
    about = {
        "format": FORMAT,
        "network": network_hash(trunk),
        "reading": READING,
        "files": files_hash(samples.files),
        "dtype": dtype,
        "shape": list(shape),
    }
    with _files.exclusive(home):
        _files.remove_partial(home)
        done, reasons = _open(home, about, shape, kind)
        failures = Failures(home / _ERRORS)
        for row, reason in reasons.items():
            failures.add(samples.files[row], reason)
        work = _Work(trunk, samples, home, kind, reasons, failures)
        work.try_again()
        if done < len(samples):
            work.run(done, batch, workers, progress)
        failures.save()
    return Activations(home / _ARRAY, shape, reasons)


class _Work:
    """The work on a cache: from readable files to stored rows."""

    def __init__(
        self,
        trunk: Any,
        samples: Samples,
        home: Path,
        kind: np.dtype[Any],
        reasons: dict[int, str],
        failures: Failures,
    ) -> None:
        self.trunk, self.samples, self.home = trunk, samples, home
        self.reasons, self.failures = reasons, failures
        self.row, self.kind = tuple(trunk.output_shape[1:]), kind

    def try_again(self) -> None:
        """Read files that could not be read in an earlier run: what was wrong may have been the disk."""
        seen, recovered = MagnetogramPatch(self.trunk.input_shape[1]), {}
        for row, reason in self.reasons.items():
            if reason != _workers.DIED and not isinstance(field := read(self.samples.files[row], seen), str):
                recovered[row] = field
        if not recovered:
            return
        infer, row_bytes = inference(self.trunk), int(np.prod(self.row)) * self.kind.itemsize
        start = len(_npy_header((len(self.samples), *self.row), self.kind))
        with open(self.home / _ARRAY, "r+b") as file:
            for row, field in recovered.items():
                values = self._checked(infer(field[None, ..., None]).numpy())
                _write_block(file, start + row * row_bytes, values)
                del self.reasons[row]
                self.failures.reasons.pop(_files.shown(self.samples.files[row]), None)
        _record(self.home, int(_json(self.home, _PROGRESS)["done"]), self.reasons)

    def run(self, done: int, batch: int, workers: int | None, progress: bool) -> None:
        """Compute and store the rows from `done` on."""
        infer = inference(self.trunk)
        count, row_bytes = len(self.samples), int(np.prod(self.row)) * self.kind.itemsize
        # Blocks begin at the same rows however often the work was stopped, and batches with them: the last
        # digits of an activation depend on its batch.
        block = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes) // batch) * batch
        whole = Pass(self.samples, partial(np.arange, done, count), block)
        seen = MagnetogramPatch(self.trunk.input_shape[1])
        try:
            with (
                Reader([whole], seen, workers=workers, failures=self.failures) as reader,
                open(self.home / _ARRAY, "r+b") as file,
                tqdm(total=count, initial=done, unit="file", disable=not progress) as bar,
            ):
                for start, values, there in self._blocks(reader, infer, done, block, batch):
                    for row in (np.flatnonzero(~there) + start).tolist():
                        file_name = _files.shown(self.samples.files[row])
                        self.reasons[row] = self.failures.reasons[file_name]
                    offset = len(_npy_header((count, *self.row), self.kind)) + start * row_bytes
                    _write_block(file, offset, values)
                    _record(self.home, start + len(values), self.reasons)
                    bar.update(len(values))
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            raise OSError(
                error.errno,
                f"{os.strerror(error.errno)}; the rows so far are kept: free some space and start again",
                fspath(self.home),
            ) from error

    def _blocks(
        self, reader: Reader, infer: Any, done: int, block: int, batch: int
    ) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
        """First row, values and which rows there are of each block; also of blocks without any."""
        count = len(self.samples)

        def empty(start: int) -> tuple[int, NDArray[Any], NDArray[np.bool_]]:
            length = min(block, count - start)
            return start, np.zeros((length, *self.row), self.kind), np.full(length, False)

        start, values, there = empty(done)
        for fields, _, numbers in reader.batches(batch):
            rows = numbers.numpy()
            while rows[0] >= start + len(values):
                yield start, values, there
                start, values, there = empty(start + len(values))
            values[rows - start] = self._checked(infer(fields).numpy())
            there[rows - start] = True
        while start < count:
            yield start, values, there
            start, values, there = empty(start + len(values))

    def _checked(self, found: NDArray[Any]) -> NDArray[Any]:
        if not np.isfinite(found).all():
            raise ValueError(
                f"{self.trunk.name} gives values that are NaN or infinite; are these the right weights?"
            )
        largest = float(np.abs(found).max(initial=0.0))
        if self.kind == np.float16 and largest > _LARGEST_HALF:
            raise ValueError(
                f"an activation of {largest:.6g} is too large for float16, which ends at "
                f"{_LARGEST_HALF:.0f}; remove {self.home} and use dtype='float32'"
            )
        return found.astype(self.kind)


def _dtype(dtype: str) -> np.dtype[Any]:
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype must be 'float32' or 'float16', got {dtype!r}")
    return np.dtype(dtype).newbyteorder("<")


def _npy_header(shape: tuple[int, ...], kind: np.dtype[Any]) -> bytes:
    header = BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, about)
    return header.getvalue()


def _without_training(config: Any) -> Any:
    """A configuration without what matters in training only, such as what is frozen and initial values."""
    if isinstance(config, dict):
        left = {k: v for k, v in config.items() if k != "trainable" and not k.endswith("_initializer")}
        return {k: _without_training(v) for k, v in left.items()}
    if isinstance(config, list | tuple):
        return [_without_training(part) for part in config]
    return config


# -- files of the cache ------------------------------------------------------------


def _open(
    home: Path, about: dict[str, Any], shape: tuple[int, ...], kind: np.dtype[Any]
) -> tuple[int, dict[int, str]]:
    """Begin a cache or check the one that is there; return the rows that it has and the broken ones."""
    whole = len(_npy_header(shape, kind)) + int(np.prod(shape)) * kind.itemsize
    if not (home / _ABOUT).exists():
        others = sorted(path.name for path in home.iterdir() if path.name not in {*_OURS, ".lock"})
        if others:
            raise ArchiveError(f"{home} holds other files, such as {others[0]!r}; choose another folder")
        (home / _PROGRESS).unlink(missing_ok=True)
        (home / _ERRORS).unlink(missing_ok=True)
        _reserve(home, whole, _npy_header(shape, kind))
        _record(home, 0, {})
        # The last one: a folder without it is begun anew.
        _files.write_bytes(home / _ABOUT, json.dumps(about, indent=1).encode())
        return 0, {}
    stored = _json(home, _ABOUT)
    if different := [name for name in _WORDS if stored.get(name) != about[name]]:
        said = "; ".join(_said(different, stored, about))
        raise ValueError(
            f"{home} is the cache of something else ({said}); remove that folder, or choose another one"
        )
    progress = _json(home, _PROGRESS)
    try:
        done = int(progress["done"])
        reasons = {int(row): str(reason) for row, reason in progress["broken"].items()}
        size = (home / _ARRAY).stat().st_size
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise ArchiveError(f"{home} is damaged ({error!r}); remove it") from error
    if size != whole:
        raise ArchiveError(f"{home / _ARRAY} has {size} bytes instead of {whole}; remove the folder")
    return done, reasons


def _said(different: list[str], stored: dict[str, Any], about: dict[str, Any]) -> list[str]:
    hashes = ("network", "files")
    return [
        _WORDS[name] if name in hashes else f"{_WORDS[name]}: {stored.get(name)}, not {about[name]}"
        for name in different
    ]


def _json(home: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((home / name).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{home / name} is missing or damaged ({error}); remove the folder") from error
    return found


def _record(home: Path, done: int, reasons: dict[int, str]) -> None:
    record = {"done": done, "broken": {str(row): reason for row, reason in sorted(reasons.items())}}
    _files.write_bytes(home / _PROGRESS, json.dumps(record).encode())


def _reserve(home: Path, whole: int, header: bytes) -> None:
    """Make the file with all the space that it will need, or say how much is missing."""
    free = shutil.disk_usage(home).free
    try:
        if whole > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with _files.replacing(home / _ARRAY) as partial_path, open(partial_path, "r+b") as file:
            file.write(header)
            file.flush()
            if hasattr(os, "posix_fallocate"):
                try:
                    os.posix_fallocate(file.fileno(), 0, whole)
                except OSError as error:
                    if error.errno not in _NO_RESERVING:
                        raise
            file.truncate(whole)
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise OSError(
            error.errno,
            f"the activations need {whole} bytes, and {free} are free; free some space, choose another "
            "folder, or use float16",
            fspath(home),
        ) from error


def _write_block(file: BinaryIO, offset: int, values: NDArray[Any]) -> None:
    """Write rows where they belong and wait until they are on the disk."""
    # Not through a map of the file: on a full disk that is a signal, not an error.
    file.seek(offset)
    file.write(values.data)
    file.flush()
    os.fsync(file.fileno())
