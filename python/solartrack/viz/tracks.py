"""The boxes of a track drawn into its images, one picture after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from solartrack import images as image_files
from solartrack._progress import tqdm
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, TrackWarning
from solartrack.viz.overlays import display_limits, overlay

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["draw_track"]

_BOX = ["x0", "y0", "x1", "y1"]


def draw_track(
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    track: pd.DataFrame,
    truth: pd.DataFrame | None = None,
    *,
    size: int | None = 1024,
    limb: bool = False,
    geometry: ImageGeometry | None = None,
    on_problem: Callable[[int, str], None] | None = None,
    progress: bool = False,
) -> Iterator[Image.Image]:
    """Draw a track (red) and its truth (white) into the images, one `overlay` for each row.

    Of a table of several tracks, by its column ``id``, there is one `overlay` for each frame, with the boxes
    of all that are in it and their ids.

    For a movie, give the result to `movie`. For a picture of one frame, give only its row:
    ``next(draw_track(images, track[track["frame"] == 11]))``.

    Parameters
    ----------
    images : path, or iterable of paths
        Folders, files and patterns, as for `solartrack.images.find_images`.
    track : pandas.DataFrame
        ``frame``, ``x0``, ``y0``, ``x1``, ``y1`` (NaN where there is no box), and optionally
        ``file``, ``time`` (times, or ISO 8601 text) and ``state``, as `solartrack.track` and
        `solartrack.tracking.read_track` return it. A row's image is that of its ``file``: the
        same path, or, for images that were moved, the same name if all names differ. Rows
        without a file take the image of their frame number, and are skipped if there is none.
    truth : pandas.DataFrame, optional
        True boxes: ``frame``, ``x0``, ``y0``, ``x1``, ``y1``; of one track only.
    size : int or None
        Longer side of the pictures, pixels; None keeps the size of the images.
    limb : bool
        Draw the solar limb, too.
    geometry : ImageGeometry, optional
        Where the Sun is, in all images. Default: from their headers.
    on_problem : callable, optional
        Called as ``on_problem(frame, reason)`` for each row that is left out because its file
        is missing or unreadable, or, for the limb, does not say where the Sun is. Default: a
        `TrackWarning`.
    progress : bool
        Show a progress bar on standard error.

    Yields
    ------
    PIL.Image.Image
        RGB. All have the brightness range and the shape of the first picture; images of
        another shape are scaled to fit and padded with black.

    Raises
    ------
    ValueError
        If a table lacks a column, a time is none, or there is a truth for several tracks.
    FileNotFoundError
        If there are no images.

    Examples
    --------
    >>> from solartrack import simulate, viz
    >>> truth = simulate.write("sun", simulate.sequence(1, 2, size=64))
    >>> track = truth[truth["id"] == truth["id"].iloc[0]].drop(columns="file")
    >>> [picture.size for picture in viz.draw_track("sun", track, track, size=256)]
    [(256, 256), (256, 256)]
    """
    for name, table in (("track", track), ("truth", truth)):
        missing = [c for c in ("frame", *_BOX) if table is not None and c not in table]
        if missing:
            raise ValueError(f"{name} needs the columns frame, x0, y0, x1, y1; missing: {', '.join(missing)}")
    files = image_files.find_images(images)
    if not files:
        raise FileNotFoundError("no images found; expected FITS, PNG, JPG or JP2 files")
    several = "id" in track and track["id"].nunique() > 1
    if several and truth is not None:
        count = track["id"].nunique()
        raise ValueError(f"the truth is of one track, and the table holds {count}; choose the rows of one id")
    if "time" in track:
        import pandas as pd  # only here: drawing one overlay needs none

        track = track.assign(time=pd.to_datetime(track["time"], format="ISO8601"))
    tracks: dict[Any, dict[Any, Any]] = {}
    if several:
        boxes = track[_BOX].to_numpy()
        for frame, name, box in zip(track["frame"], track["id"], boxes, strict=True):
            tracks.setdefault(frame, {})[name] = box
        track = track.drop_duplicates("frame").sort_values("frame", kind="stable")
    return _pictures(_Files(files), track, truth, tracks, size, limb, geometry, on_problem or _warn, progress)


class _Files:
    """The image files by path, by name and by frame number."""

    def __init__(self, files: Sequence[Path]) -> None:
        from solartrack.sequence import frame_numbers  # only here: drawing one overlay needs no pandas

        self._paths = {path.resolve(): path for path in files}
        names = {path.name: path for path in files}
        self._names = names if len(names) == len(files) else {}
        self._numbers = dict(zip(frame_numbers(files), files, strict=True))

    def find(self, frame: int, file: str) -> Path | None:
        """The image of a row; its frame number only counts if it names no file."""
        if file:
            return self._paths.get(Path(file).resolve()) or self._names.get(Path(file).name)
        return self._numbers.get(frame)


def _pictures(
    files: _Files,
    track: pd.DataFrame,
    truth: pd.DataFrame | None,
    tracks: Mapping[Any, Mapping[Any, Any]],
    size: int | None,
    limb: bool,
    given: ImageGeometry | None,
    on_problem: Callable[[int, str], None],
    progress: bool,
) -> Iterator[Image.Image]:
    true = {} if truth is None else dict(zip(truth["frame"], truth[_BOX].to_numpy(), strict=True))
    limits, shape = None, None
    for row in tqdm(track.itertuples(), total=len(track), disable=not progress, unit="image"):
        file = getattr(row, "file", "")
        path = files.find(row.frame, file)
        if path is None:
            if file:
                on_problem(row.frame, f"no image {file}")
            continue
        try:
            image = image_files.read(path)
            geometry = ImageGeometry.from_header(image.header) if limb and given is None else given
        except (ImageError, OSError) as error:
            on_problem(row.frame, str(error))
            continue
        except GeometryError as error:
            on_problem(row.frame, f"{path} does not say where the limb is: {error}")
            continue
        if shape is None:  # one brightness range for all pictures, or a movie flickers
            limits = display_limits(image.array)
        picture = overlay(
            image.array,
            box=None if tracks else [row.x0, row.y0, row.x1, row.y1],
            truth=true.get(row.frame),
            tracks=tracks.get(row.frame),
            size=size,
            limits=limits,
            row0=image_files.row0(path),
            limb=limb,
            geometry=geometry,
            **_words(row, alone=not tracks),
        )
        shape = shape or picture.size
        yield picture if picture.size == shape else ImageOps.pad(picture, shape)


def _words(row: Any, *, alone: bool) -> dict[str, Any]:
    """What `overlay` prints about a row."""
    time, state = getattr(row, "time", None), getattr(row, "state", "")
    known = time is not None and time == time  # NaT differs from itself
    return {
        "label": f"frame {row.frame}",
        "time": f"{time:%Y-%m-%d %H:%M:%S}" if known else None,
        "state": None if state in ("", "tracked") or not alone else state.replace("_", " "),
    }


def _warn(frame: int, reason: str) -> None:
    warnings.warn(f"frame {frame} left out: {reason}", TrackWarning, stacklevel=3)
