"""The 29 features of one file: the unit that a worker of `extract` measures."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from solartrack import images
from solartrack._files import shown
from solartrack._workers import DIED
from solartrack.errors import ImageError
from solartrack.features import complexity
from solartrack.features._complexity import zero_field

__all__ = ["Measured", "lost", "measure"]


class Measured(NamedTuple):
    """The features of a file, or why there are none.

    Attributes
    ----------
    values : bytes
        29 float64; empty if there is a reason.
    nan_pixels : int
    reason : str
        Why there are no features, "" if there are.
    may_pass : bool
        The reason is not the file's own and may be gone in the next run.
    """

    values: bytes
    nan_pixels: int
    reason: str
    may_pass: bool = False


def measure(path: Path, zero: float | None, nan_policy: Any) -> Measured:
    """Measure a file; whatever is wrong with it is the result's reason.

    Parameters
    ----------
    path : Path
        Absolute: a worker of a cluster has another working directory.
    zero, nan_policy
        As for `solartrack.archive.features.extract`.
    """
    try:
        if shown(path) != path.as_posix():
            raise ImageError("the file name is not UTF-8; rename the file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is in the errors table
            patch = images.read_patch(path)
            offset = zero if zero is not None else zero_field(path, patch.array)
        features = complexity(patch, zero=offset, nan_policy=nan_policy)
    except Exception as error:  # a bad file must not stop the archive
        reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
        return Measured(b"", 0, " ".join(shown(reason).split()), _may_pass(error))
    return Measured(features.as_array().tobytes(), features.nan_pixels, "")


def lost(path: Path) -> Measured:
    """For a file that kills the process that measures it; memory may suffice in the next run."""
    return Measured(b"", 0, DIED, may_pass=True)


def _may_pass(error: BaseException) -> bool:
    """Whether it was the machine and not the file: no memory, no library, no access, or not there."""
    cause = error.__cause__ if isinstance(error, ImageError) and error.__cause__ else error
    # An errno is the system's; decoders raise OSError without one, or with EINVAL after a wild seek.
    return isinstance(cause, MemoryError | ImportError | FileNotFoundError) or (
        isinstance(cause, OSError) and cause.errno not in (None, errno.EINVAL)
    )
