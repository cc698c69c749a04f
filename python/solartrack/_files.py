"""The one place that gives a file its final name, and that keeps two runs out of one folder.

A file is written under a temporary name beside its final one, flushed to the disk, and renamed.
So whoever looks finds the old file or the new one, never half of either, not even after a power
failure.

* An existing file keeps its permissions; a new one gets those that the umask leaves.
* A symbolic link stays a link: the file that it points to is replaced.
* Temporary names are hidden, random, and made anew: no file and no link of that name is followed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import filelock

from solartrack.errors import ArchiveError

__all__ = ["exclusive", "remove_partial", "replacing", "write_bytes"]

_PARTIAL = re.compile(r"\..+\.[0-9a-f]{16}\.solartrack-part(\.[^.]+)*")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary file to write to; it takes the final name once the block is done.

    Parameters
    ----------
    path : path-like
        The final name. Its folder must exist.

    Yields
    ------
    Path
        An empty file in the same folder, with the same suffixes, for writers that go by them.

    Raises
    ------
    OSError
        If it cannot be written. Whatever goes wrong, an existing file stays and the temporary one goes.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.stem}.{secrets.token_hex(8)}.solartrack-part{target.suffix}")
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        mode = None
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        if mode is not None:
            os.chmod(partial, mode)
        yield partial
        _to_disk(partial)
        partial.replace(target)
        _to_disk(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file as a whole, see `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def remove_partial(folder: Path) -> None:
    """Remove what killed processes left of unfinished files; call it under the folder's lock."""
    for path in folder.iterdir():
        if _PARTIAL.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Make a folder and keep other runs out of it for the length of the block.

    Parameters
    ----------
    folder : path-like
        Gets a file ``.lock``, which stays. The lock is the operating system's: it ends with the
        process, however that ends.

    Raises
    ------
    ArchiveError
        If another run holds it.
    """
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(home / ".lock", blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ArchiveError(f"another run is working in {home}; wait for it, or end it") from error
    except NotImplementedError:  # a file system that has no locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _to_disk(path: Path) -> None:
    """Flush a file or folder, as far as its file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if path.is_dir():  # some file systems cannot do this for folders
            return
        raise error
    finally:
        os.close(handle)
