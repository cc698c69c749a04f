"""Movies, written picture by picture."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from solartrack._files import replacing
from solartrack._optional import require

__all__ = ["movie"]

#: Bytes left on a disk that is full.
_FULL = 64 * 1024


def movie(path: str | os.PathLike[str], frames: Iterable[Any], *, fps: float = 6) -> None:
    """Write pictures to an MP4 or GIF file, one at a time.

    Only one frame is in memory at a time, however long the movie. The file gets its name
    when it is complete, and then replaces an older one; an interruption leaves nothing
    behind and an older file unchanged.

    Parameters
    ----------
    path : path-like
        Ends in ``.mp4`` (H.264, ``yuv420p``, which browsers play; odd sizes get one more
        row or column, a copy of the last) or ``.gif`` (256 colours chosen for each
        frame, endless loop).
    frames : iterable of PIL.Image.Image, or of ndarray of uint8, shape (rows, columns, 3)
        RGB, all of the same size, such as `solartrack.viz.draw_track` yields.
    fps : float
        Frames per second. GIF rounds the time per frame to hundredths of a second, and
        plays at most 50 frames per second.

    Raises
    ------
    ValueError
        If the suffix is another one, there are no frames, a frame has another shape, or
        `fps` is not positive, or above 50 for GIF.
    OSError
        If the file cannot be written.
    TypeError
        If a frame is not uint8.
    FileNotFoundError
        If the folder does not exist.
    ImportError
        For MP4, if imageio or imageio-ffmpeg is missing.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from solartrack import viz
    >>> viz.movie("sun.gif", (np.full((32, 32, 3), 60 * i, np.uint8) for i in range(3)), fps=5)
    >>> Path("sun.gif").read_bytes()[:6]
    b'GIF89a'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise ValueError(f"a movie must end in {' or '.join(_WRITERS)}, got {path.name!r}")
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive, got {fps!r}")
    if suffix == ".gif" and fps > 50:
        raise ValueError(f"a GIF plays at most 50 frames per second, got fps={fps:g}; write .mp4 instead")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {str(path.parent)!r} of the movie does not exist; make it first")
    with replacing(path) as partial:
        _WRITERS[suffix](partial, _checked(frames), fps)


def _checked(frames: Iterable[Any]) -> Iterator[NDArray[np.uint8]]:
    shape = None
    for index, frame in enumerate(frames):
        pixels = np.asarray(frame)
        if pixels.dtype != np.uint8:
            raise TypeError(
                f"frames must be uint8, got {pixels.dtype} in frame {index}; overlay() makes them"
            )
        if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ValueError(
                f"frames must have shape (rows, columns, 3), got {pixels.shape} in frame {index}"
            )
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise ValueError(
                f"all frames must have the shape of the first, {shape}, got {pixels.shape} in frame {index}; "
                "give overlay the same size"
            )
        yield pixels
    if shape is None:
        raise ValueError("a movie needs at least one frame, got none")


def _write_mp4(path: Path, frames: Iterator[NDArray[np.uint8]], fps: float) -> None:
    imageio = require("imageio.v2", extra="viz", purpose="writing MP4 movies")
    ffmpeg = require("imageio_ffmpeg", extra="viz", purpose="writing MP4 movies")
    first = next(frames)
    # yuv420p stores the colour of blocks of 2 x 2 pixels.
    even = ((0, first.shape[0] % 2), (0, first.shape[1] % 2), (0, 0))
    count = 0
    with closing(
        imageio.get_writer(
            path,
            format="FFMPEG",
            fps=fps,
            codec="libx264",
            pixelformat="yuv420p",
            macro_block_size=2,
            quality=None,
            ffmpeg_log_level="error",
            output_params=["-crf", "18", "-movflags", "+faststart"],
        )
    ) as writer:
        for count, frame in enumerate(chain([first], frames), start=1):  # noqa: B007
            with _told_why(path):
                writer.append_data(np.pad(frame, even, mode="edge"))
    # imageio does not report ffmpeg's errors on closing, such as a full disk.
    with _told_why(path):
        written = ffmpeg.count_frames_and_secs(path)[0]
        if written != count:
            raise OSError(f"the movie should have {count} frames, but ffmpeg wrote {written}")


@contextmanager
def _told_why(path: Path) -> Iterator[None]:
    """Say why ffmpeg failed: all that comes from it is a broken pipe, or a file that it cannot read."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if shutil.disk_usage(path.parent).free < _FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        reason = str(error).partition("\n")[0]
        raise OSError(f"ffmpeg could not write the movie: {reason}; its own message is above") from error


def _write_gif(path: Path, frames: Iterator[NDArray[np.uint8]], fps: float) -> None:
    # Image.save(save_all=True) would keep all frames in memory and merge equal ones.
    centiseconds = max(2, round(100 / fps))
    with open(path, "wb") as out:
        for index, frame in enumerate(frames):
            picture = Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE)
            if index == 0:
                out.writelines(GifImagePlugin.getheader(picture, info={"loop": 0})[0])
            out.writelines(
                GifImagePlugin.getdata(picture, duration=10 * centiseconds, include_color_table=True)
            )
        out.write(b";")


_WRITERS = {".mp4": _write_mp4, ".gif": _write_gif}
