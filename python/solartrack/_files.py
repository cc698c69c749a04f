"""The one place that gives a file its final name, and that keeps two runs out of one folder.

A file is written under a temporary name beside its final one, flushed to the disk, and renamed. So a
reader sees the old file or the new one, never half of either, not even after a power failure.

* An existing file keeps its permissions and, where that is allowed, its owner; a new one gets the
  permissions that the umask leaves. A file without write permission is refused, as `open` would.
* A symbolic link stays a link: the file that it points to is replaced. Of a hard-linked file only
  this name gets the new content.
* Temporary files are hidden, have random names, and are created anew: no existing file is opened and
  no link is followed.
* Devices and pipes (``/dev/null``) cannot be replaced; they are written to directly.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import filelock

from solartrack.errors import ArchiveError

__all__ = ["exclusive", "link", "remove_partial", "replacing", "scratch", "shown", "write_bytes"]

_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.solartrack-part\..+", re.DOTALL)
# Of a long name only the end is kept, with its suffixes: 255 bytes are what most file systems allow.
_NAME_LENGTH = 50

# fsync of a folder is refused like this where a file system has none, or the folder may not be read.
_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM, errno.EBADF)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file to write to; it gets the final name at the end of the block.

    Parameters
    ----------
    path : path-like
        The final name. Its folder must exist.

    Yields
    ------
    Path
        An empty file in the same folder, with the same suffixes, for writers that choose a format by
        them. If `path` is a device or a pipe, `path` itself.

    Raises
    ------
    OSError
        If the file cannot be written; the error names `path`. Whatever fails, in the block or after it,
        an existing file is unchanged and the temporary one is removed.
    """
    try:
        old = os.stat(path)
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a file goes here, but this is a folder", os.fspath(path))
        yield Path(path)
        return
    target = Path(os.path.realpath(path))
    if old is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected", os.fspath(path))
    partial = target.with_name(f".{secrets.token_hex(8)}.solartrack-part.{target.name[-_NAME_LENGTH:]}")
    try:
        _create(partial, target, private=old is not None)
        yield partial
        if old is not None:
            _take_over(partial, old)
        _flush(partial)
        partial.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
        raise
    _flush(target.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file; see `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def link(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Give a file a second name, on the same file system: a hard link.

    Raises
    ------
    FileExistsError
        If something has that name.
    OSError
        If there can be no link; the error says to copy the file.
    """
    try:
        os.link(os.path.realpath(source), path)
    except FileExistsError:
        raise
    except OSError as error:
        said = f"{error.strerror}; a hard link cannot be made to {os.fspath(source)}, copy it instead"
        raise OSError(error.errno, said, os.fspath(path)) from error


@contextlib.contextmanager
def scratch(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new hidden folder within a folder, for files that are needed for the length of the block.

    They may be large, and lie where the result will. What a killed process leaves `remove_partial` removes.
    """
    home = Path(folder, f".{secrets.token_hex(8)}.solartrack-part.scratch")
    home.mkdir(mode=0o700)
    try:
        yield home
    finally:
        shutil.rmtree(home)


def remove_partial(folder: Path) -> None:
    """Remove the unfinished files of killed processes; call it under the folder's lock."""
    for path in folder.iterdir():
        if not _PARTIAL.fullmatch(path.name) or path.is_symlink():
            continue
        if path.is_file():
            path.unlink(missing_ok=True)
        elif path.is_dir() and path.name.endswith(".solartrack-part.scratch"):
            shutil.rmtree(path)


@contextlib.contextmanager
def exclusive(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Create a folder and keep other runs out of it for the length of the block.

    Parameters
    ----------
    folder : path-like
        Gets a file ``.lock``, which stays. The operating system holds the lock: it ends with the
        process, however that ends. Other threads of this process are kept out, too.

    Raises
    ------
    ArchiveError
        If another run holds the lock, or ``.lock`` is a symbolic link.
    NotADirectoryError
        If `folder` is a file.

    Warns
    -----
    UserWarning
        If the file system has no locks: then nothing keeps a second run out.
    """
    home = Path(folder)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "a folder goes here, but this is a file", str(home)) from None
    path = home / ".lock"
    if path.is_symlink():  # whatever it points to, it is not a lock that a run has made
        raise ArchiveError(f"{path} is a symbolic link; remove it, or choose another folder")
    lock = filelock.FileLock(path, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise ArchiveError(f"another run is working in {home}; wait for it, or end it") from error
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"the file system of {home} has no locks: make sure that no other run works there", stacklevel=3
        )
    try:
        yield
    finally:
        lock.release()


def _create(partial: Path, target: Path, *, private: bool) -> None:
    """Create the temporary file; errors name the file that was asked for."""
    # What replaces an existing file may not be readable for more people than that, at no time.
    mode = 0o600 if private else 0o666
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except OSError as error:
        if not target.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(target.parent)) from error
        raise OSError(error.errno, os.strerror(error.errno or 0), str(target)) from error


def _take_over(partial: Path, old: os.stat_result) -> None:
    """Give a file the permissions of an earlier one and, where that is allowed, its owner."""
    if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):
            os.chown(partial, old.st_uid, old.st_gid)
    os.chmod(partial, stat.S_IMODE(old.st_mode))


def _flush(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if not (folder and error.errno in _NO_FSYNC):
            raise


def shown(text: str | os.PathLike[str]) -> str:
    r"""A path, or a text that names one, as a table can hold it: bytes that are not UTF-8 as ``\xe9``."""
    name = text.as_posix() if isinstance(text, Path) else text
    return os.fsencode(name).decode("utf-8", "backslashreplace")
