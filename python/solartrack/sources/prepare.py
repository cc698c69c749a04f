"""Data sets for tracking, made of images and true boxes: numbered pictures, ``.ann`` files, reports."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from solartrack import images as image_files
from solartrack import sequence
from solartrack._arrays import Float64Array
from solartrack._files import exclusive, replacing
from solartrack._optional import require
from solartrack._progress import tqdm
from solartrack._tables import as_times, read_csv
from solartrack.coordinates import ImageGeometry
from solartrack.errors import GeometryError, ImageError, SourceError
from solartrack.images.array_header import flip_rows
from solartrack.sequence import Frame
from solartrack.sources.store import Store, safe_name

__all__ = ["FORMATS", "PROBLEMS", "TrackingSet", "frames_of_movie", "tracking_set"]

#: Kinds of pictures: 8 bits as people and networks see the image, or the pixels themselves as NumPy array.
FORMATS = ("png", "jpg", "npy")

#: What a report may say.
PROBLEMS = {
    "absent": "listed, but not there: fetch it again by its name",
    "broken": "the file cannot be read",
    "no place": "its header does not say where the Sun is, so it has no true boxes",
    "no time": "neither its header nor its name says when it was taken",
    "same time": "an image of that time is there already",
    "one image": "the event has a single image: nothing can be tracked",
    "no image": "a true box of a time without an image",
    "name": "the event's name cannot be that of a folder",
    "repeated": "a true box that is there twice; it counts once",
}

_BOX = ("tx0", "ty0", "tx1", "ty1")
_NUMBERED = re.compile(r"\d{4,}\.(png|jpg|npy)")
_SETTINGS, _PICTURES = "tracking_set.json", "images"
# Of which file each picture was made: a line for each, appended when it has its name.
_MADE = "images.jsonl"
_OWN = {_SETTINGS, _PICTURES, _MADE, "frames.csv", "boxes.csv", "report.csv"}


class TrackingSet(NamedTuple):
    """What `tracking_set` made.

    Attributes
    ----------
    frames : pandas.DataFrame
        A row for each image of each event: ``event``, ``frame`` (from 1, in order of time), ``picture``
        (in the folder), then the columns of `solartrack.sequence.frames_to_table` for the picture: ``file``
        (of the archive), ``time``, ``mjd_tai``, size and world coordinates.
    boxes : pandas.DataFrame
        A row for each true box: ``event``, ``frame``, ``time`` (of the record), and ``x0``, ``y0``, ``x1``,
        ``y1`` in pixels of the picture.
    report : pandas.DataFrame
        ``event``, ``problem`` (a key of `PROBLEMS`), ``what`` (file, or time of a record), ``detail``.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import demo
    >>> from solartrack.sources import prepare
    >>> box = {"tx0": -300, "ty0": 30, "tx1": 100, "ty1": 300}
    >>> box |= {"event": "NOAA 12670", "time": "2017-08-08"}
    >>> made = prepare.tracking_set(pd.DataFrame([box]), demo.AIA_IMAGES, "set")
    >>> made.frames["picture"][0]
    'images/2017_08_07__23_59_46_35__SDO_AIA_AIA_171.png'
    """

    frames: pd.DataFrame
    boxes: pd.DataFrame
    report: pd.DataFrame


def tracking_set(
    truth: pd.DataFrame,
    images: Any,
    folder: str | os.PathLike[str],
    *,
    format: str = "png",
    reduce: int = 1,
    window: tuple[int, int, int, int] | None = None,
    gap: Any = "15min",
    shared: bool = False,
    progress: bool = False,
) -> TrackingSet:
    """Make a data set for training or testing trackers.

    Parameters
    ----------
    truth : pandas.DataFrame
        A row for each true box: ``event``, ``time`` (UTC), ``tx0``, ``ty0``, ``tx1``, ``ty1``
        (helioprojective arcsec), and optionally ``end`` (UTC, until when it holds).
    images : Store, path, or iterable of paths
        Of one channel. An event has the images that its store links to it, else all from `gap` before its
        first box to `gap` after its last one.
    folder : path
        New, empty, or of an earlier run with the same settings, which is brought up to date: a picture is
        made again if its file is another one now, and what an event no longer has is removed.
    format : {"png", "jpg", "npy"}
        8-bit pictures of what `solartrack.images.display_values` gives, or the pixels as they are. North is
        up in them if it is in the archive's own pictures: rows of FITS files are reversed.
    reduce : int
        A power of two: pictures are smaller by it.
    window : (int, int, int, int), optional
        Only these columns and rows of the images, see `solartrack.images.read`.
    gap : Quantity, timedelta or str
        A true box belongs to the image nearest to its time; an image that lies farther than this from the
        time in which the box holds has none.
    shared : bool
        Only the folder ``images``, which has each picture once. Else each event has a folder of its own,
        too, with its pictures numbered from ``0001`` (hard links, where the disk has them).
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    TrackingSet
        Its tables are written too: ``frames.csv``, ``boxes.csv``, ``report.csv``, and for each event
        ``EVENT.ann`` with one line for each true box: ``frame x2 y2 x3 y3 x0 y0 x1 y1``, its corners in
        pixels of the picture (`solartrack.tracking.formats.read_ann`).

    Raises
    ------
    ValueError
        If the truth lacks a column, has no row or a row that is none, or an argument is out of range.
    FileExistsError
        If the folder holds something else.
    FileNotFoundError
        If there are no images.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import demo
    >>> from solartrack.sources import prepare
    >>> box = {"tx0": -300, "ty0": 30, "tx1": 100, "ty1": 300}
    >>> box |= {"event": "NOAA 12670", "time": "2017-08-08"}
    >>> made = prepare.tracking_set(pd.DataFrame([box]), demo.AIA_IMAGES, "set")
    >>> made.boxes[["event", "frame", "x0", "y0", "x1", "y1"]].round(1)
            event  frame     x0     y0     x1     y1
    0  NOAA 12670      1  193.9  193.2  277.3  249.5
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    records, repeated = _records(truth)
    limit = pd.Timedelta(days=sequence.as_days(gap, "gap"))
    home = Path(folder)
    settings = {"format": format, "reduce": reduce, "window": window}
    home.mkdir(parents=True, exist_ok=True)
    with exclusive(home):
        _begin(home, json.loads(json.dumps(settings)))
        report = repeated
        plan = list(_planned(records, _Images.of(images), limit, report))
        needed = {frame.file: frame for _, frame in plan}
        names = _names(needed.values(), format)
        numbered = _numbered(plan, _pictures(home, needed, names, window, reduce, progress), report)
        boxes = list(_boxes(records, numbered, limit, report))
        problems = pd.DataFrame(report, columns=list(_Problem._fields), dtype="str")
        made = TrackingSet(_frame_table(numbered, names), _box_table(boxes), problems)
        earlier = _events_of(home)
        _write(home, made, boxes, folders=not shared)
        _remove_old(home, made, earlier, folders=not shared)
    return made


def frames_of_movie(
    movie: str | os.PathLike[str], folder: str | os.PathLike[str], *, every: int = 1
) -> list[Path]:
    """Turn a movie into numbered pictures.

    Parameters
    ----------
    movie : path
        Whatever ffmpeg reads (MP4, MOV, WebM, ...), or a GIF.
    folder : path
        New or empty.
    every : int
        Take every n-th frame.

    Returns
    -------
    list of Path
        ``0001.png`` and on, grey.

    Raises
    ------
    FileNotFoundError
        If there is no such movie.
    FileExistsError
        If the folder is not empty.
    ValueError
        If `every` is not positive.
    ImageError
        If it is no movie, or is cut off before its first frame.
    ImportError
        If imageio-ffmpeg is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> from solartrack.sources import prepare
    >>> fields = [np.full((16, 16), grey, np.uint8) for grey in (0, 80, 160)]
    >>> pictures = [Image.fromarray(field) for field in fields]
    >>> pictures[0].save("sun.gif", save_all=True, append_images=pictures[1:])
    >>> [path.name for path in prepare.frames_of_movie("sun.gif", "frames", every=2)]
    ['0001.png', '0002.png']
    """
    path, home = Path(movie), Path(folder)
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"every must be a positive integer, got {every!r}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no movie {path}")
    ffmpeg = require("imageio_ffmpeg", extra="viz", purpose="reading movies").get_ffmpeg_exe()
    home.mkdir(parents=True, exist_ok=True)
    if any(home.iterdir()):
        raise FileExistsError(f"{home} is not empty; choose another folder")
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        words = [ffmpeg, "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe"]
        words += [
            "-i",
            f"file:{os.path.abspath(path)}",
            "-vf",
            f"select=not(mod(n\\,{every}))",
            "-pix_fmt",
            "gray",
        ]
        # Without this, ffmpeg would fill the gaps with copies. The option had another name before ffmpeg 5.1.
        for option in ("-fps_mode", "-vsync"):
            command = [*words, option, "passthrough", os.path.join(scratch, "%06d.png")]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            if "Option not found" not in done.stderr:
                break
        frames = sorted(Path(scratch).iterdir())
        if not frames:
            said = (done.stderr.strip().splitlines() or ["it has no frames"])[-1]
            raise ImageError(f"{path} is no movie: {said}")
        made = [home / f"{number:04}.png" for number in range(1, len(frames) + 1)]
        for frame, target in zip(frames, made, strict=True):
            with replacing(target) as partial:
                shutil.move(frame, partial)
    return made


class _Images(NamedTuple):
    """Images at hand: records of those that can be read, in order of time, and which event needs which."""

    frames: list[Frame]
    of_event: dict[str, set[str]]
    absent: dict[str, list[tuple[str, str]]]

    @classmethod
    def of(cls, images: Any) -> _Images:
        of_event: dict[str, set[str]] = {}
        absent: dict[str, list[tuple[str, str]]] = {}
        if isinstance(images, Store):
            for event in images.links.loc[images.links["event"] != "", "event"].unique():
                of_event[event] = {str(path) for path in images.files(event)}
            lost = images.links.merge(images.manifest, on=["source", "id"])
            for row in lost[lost["state"] != "done"].itertuples():
                absent.setdefault(row.event, []).append((row.name, row.reason or row.state))
            images = images.files()
        paths = image_files.find_images([images] if isinstance(images, str | os.PathLike) else images)
        if not paths:
            raise FileNotFoundError("there are no images")
        return cls(sequence.frames_of(paths), of_event, absent)


class _Problem(NamedTuple):
    """A row of the report."""

    event: str
    problem: str
    what: str
    detail: str


class _TrueBox(NamedTuple):
    """A true box: its corners in pixels, shape (4, 2), in the picture of a frame."""

    event: str
    frame: int
    time: pd.Timestamp
    corners: Float64Array


def _records(truth: pd.DataFrame) -> tuple[pd.DataFrame, list[_Problem]]:
    """True boxes, checked, each once, in order of event and time; and those that were there twice."""
    if not isinstance(truth, pd.DataFrame):
        raise TypeError(f"truth must be a table, got {type(truth).__name__}")
    if missing := [name for name in ("event", "time", *_BOX) if name not in truth]:
        raise ValueError(f"truth lacks the columns {', '.join(missing)}")
    if not len(truth):
        raise ValueError("truth has no rows")
    table = pd.DataFrame({"event": ["" if pd.isna(name) else str(name) for name in truth["event"]]})
    table["time"] = as_times(truth["time"])
    table["end"] = as_times(truth["end"]) if "end" in truth else table["time"]
    table["end"] = table["end"].fillna(table["time"])
    for name in _BOX:
        table[name] = pd.to_numeric(truth[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    good = (
        table["time"].notna()
        & np.isfinite(table[list(_BOX)]).all(axis=1)
        & (table["tx1"] > table["tx0"])
        & (table["ty1"] > table["ty0"])
        & (table["end"] >= table["time"])
    )
    if not good.all():
        row = table[~good].iloc[0]
        raise ValueError(
            f"{(~good).sum()} rows of the truth are not usable, the first for event {row['event']!r} at "
            f"{row['time']}: they need a time, an end not before it, and tx0 < tx1, ty0 < ty1 in arcsec"
        )
    twice = table.duplicated()
    problems = [
        _Problem(row.event, "repeated", f"{row.time:%Y-%m-%d %H:%M:%S}", "")
        for row in table[twice].itertuples()
    ]
    return table[~twice].sort_values(["event", "time"], kind="stable", ignore_index=True), problems


def _begin(home: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder of something else."""
    told = home / _SETTINGS
    if told.is_file():
        try:
            known = json.loads(told.read_text())
        except ValueError:
            known = None
        if known != settings:
            raise FileExistsError(f"{home} holds a data set made with {known}, now wanted: {settings}")
        return
    if any(not path.name.startswith(".") for path in home.iterdir()):
        raise FileExistsError(f"{home} is not empty and no data set; choose another folder")
    with replacing(told) as partial:
        partial.write_text(json.dumps(settings))


def _planned(
    records: pd.DataFrame, images: _Images, gap: pd.Timedelta, report: list[_Problem]
) -> Iterator[tuple[str, Frame]]:
    """Event and image, in order of time; repeats and images that cannot be used are left out and reported."""
    for event, rows in records.groupby("event", sort=True):
        try:
            safe_name(event)
            if event.casefold() in _OWN or event.casefold().endswith(".ann"):
                raise SourceError(f"{event!r} is the name of a file or folder of the data set itself")
        except SourceError as error:
            report.append(_Problem(event, "name", "", str(error)))
            continue
        for name, reason in images.absent.get(event, ()):
            report.append(_Problem(event, "absent", name, reason))
        low, high = rows["time"].min() - gap, rows["end"].max() + gap
        linked = images.of_event.get(event)
        last = None
        for frame in images.frames:
            timed = frame.time is not None and low <= pd.Timestamp(frame.time) <= high
            if not (timed if linked is None else frame.file in linked):
                continue
            if frame.trouble:
                report.append(_Problem(event, "broken", frame.file, frame.trouble))
            elif frame.time is None:
                report.append(_Problem(event, "no time", frame.file, frame.no_time))
            elif frame.time == last:
                report.append(_Problem(event, "same time", frame.file, f"{frame.time:%Y-%m-%d %H:%M:%S}"))
            else:
                last = frame.time
                yield event, frame


def _names(frames: Iterable[Frame], suffix: str) -> dict[str, str]:
    """A name of its own for the picture of each image."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for frame in frames:
        if frame.file not in names:
            stem = Path(frame.file).stem
            tries = (f"{stem}.{suffix}" if n == 1 else f"{stem}_{n}.{suffix}" for n in itertools.count(1))
            names[frame.file] = next(name for name in tries if name not in taken)
            taken.add(names[frame.file])
    return names


def _pictures(
    home: Path,
    images: dict[str, Frame],
    names: dict[str, str],
    window: tuple[int, int, int, int] | None,
    reduce: int,
    progress: bool,
) -> dict[str, Frame | str]:
    """Make the picture of each image; its record, or what is wrong with the image."""
    (home / _PICTURES).mkdir(exist_ok=True)
    known = _read_made(home / _MADE)

    def make(file: str) -> Frame | str:
        target, source = home / _PICTURES / names[file], _identity(file)
        try:
            found, array = _read(images[file], window, reduce)
        except (ImageError, GeometryError) as error:
            return str(error)
        if known.get(names[file]) != source or not target.is_file():
            with replacing(target) as partial:
                _save(array, partial, target.suffix)
            line = json.dumps([names[file], *source]) + "\n"
            journal.write(line.encode())  # one write: threads do not mix their lines
            journal.flush()
        return found

    with (home / _MADE).open("ab") as journal, ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(make, images)  # decoders release the interpreter
        shown = tqdm(made, total=len(images), unit="image", desc="preparing", disable=not progress)
        return dict(zip(images, shown, strict=True))


def _identity(file: str) -> list[Any]:
    """What tells a file from another one of its name, or from itself before it was changed."""
    try:
        found = os.stat(file)
    except OSError:  # reading it will say why
        return [os.path.abspath(file), -1, -1]
    return [os.path.abspath(file), found.st_size, found.st_mtime_ns]


def _read_made(path: Path) -> dict[str, list[Any]]:
    """Of which file each picture was made. A line that is damaged costs that its picture is made again."""
    known: dict[str, list[Any]] = {}
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with contextlib.suppress(ValueError, TypeError):
            name, *source = json.loads(line)
            known[name] = source
    return known


def _read(frame: Frame, window: tuple[int, int, int, int] | None, reduce: int) -> tuple[Frame, NDArray[Any]]:
    """Record and pixels of the picture of an image."""
    image = image_files.read(frame.file, window=window, reduce=reduce)
    array, header = image.array, image.header.copy()
    if image_files.row0(frame.file) == "bottom":
        array = array[::-1]
        flip_rows(header, len(array))
    geometry = None if frame.geometry is None else ImageGeometry.from_header(header)
    return replace(frame, geometry=geometry, shape=array.shape), array


def _save(array: NDArray[Any], path: Path, suffix: str) -> None:
    if suffix == ".npy":
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        return
    grey = np.clip(np.rint(image_files.display_values(array)), 0, 255).astype(np.uint8)
    if suffix == ".png":
        Image.fromarray(grey).save(path, format="PNG")
    else:
        Image.fromarray(grey).save(path, format="JPEG", quality=95)


def _numbered(
    plan: list[tuple[str, Frame]], made: dict[str, Frame | str], report: list[_Problem]
) -> list[tuple[str, Frame]]:
    """Event and record of each picture, numbered from 1."""
    out: list[tuple[str, Frame]] = []
    counts = dict.fromkeys((event for event, _ in plan), 0)
    for event, frame in plan:
        found = made[frame.file]
        if isinstance(found, str):
            report.append(_Problem(event, "broken", frame.file, found))
            continue
        counts[event] += 1
        out.append((event, replace(found, number=counts[event])))
        if found.geometry is None:
            report.append(_Problem(event, "no place", frame.file, found.no_geometry))
    report += [_Problem(event, "one image", "", "") for event, count in counts.items() if count == 1]
    return out


def _boxes(
    records: pd.DataFrame,
    numbered: list[tuple[str, Frame]],
    gap: pd.Timedelta,
    report: list[_Problem],
) -> Iterator[_TrueBox]:
    """Event, frame, time and corners (4, 2) in pixels of each true box, on the image nearest to its time."""
    by_event: dict[str, list[Frame]] = {}
    for event, frame in numbered:
        by_event.setdefault(event, []).append(frame)
    unnamed = {problem.event for problem in report if problem.problem == "name"}
    for row in records[~records["event"].isin(unnamed)].itertuples():
        near = [
            frame
            for frame in by_event.get(row.event, ())
            if frame.geometry is not None and row.time - gap <= pd.Timestamp(frame.time) <= row.end + gap
        ]
        if not near:
            report.append(_Problem(row.event, "no image", f"{row.time:%Y-%m-%d %H:%M:%S}", ""))
            continue
        frame = min(near, key=lambda f: abs(pd.Timestamp(f.time) - row.time))
        assert frame.geometry is not None
        # As in the published files, with north up: upper right, upper left, lower left, lower right.
        tx, ty = [row.tx1, row.tx0, row.tx0, row.tx1], [row.ty1, row.ty1, row.ty0, row.ty0]
        corners = np.column_stack(frame.geometry.helioprojective_to_pixel(tx, ty))
        yield _TrueBox(row.event, frame.number, row.time, corners)


def _frame_table(numbered: list[tuple[str, Frame]], names: dict[str, str]) -> pd.DataFrame:
    table = sequence.frames_to_table(frame for _, frame in numbered)
    head = {
        "event": [event for event, _ in numbered],
        "frame": [frame.number for _, frame in numbered],
        "picture": [f"{_PICTURES}/{names[frame.file]}" for _, frame in numbered],
    }
    return pd.concat([pd.DataFrame(head), table], axis=1)


def _box_table(boxes: Iterable[_TrueBox]) -> pd.DataFrame:
    rows = [(*box[:3], *box.corners.min(axis=0), *box.corners.max(axis=0)) for box in boxes]
    return pd.DataFrame(rows, columns=["event", "frame", "time", "x0", "y0", "x1", "y1"])


def _write(home: Path, made: TrackingSet, boxes: Iterable[_TrueBox], *, folders: bool) -> None:
    """The tables, the ``.ann`` files and, with `folders`, each event's numbered pictures."""
    for name, table in made._asdict().items():
        with replacing(home / f"{name}.csv") as partial:
            table.to_csv(partial, index=False)
    lines: dict[str, list[str]] = {}
    for box in boxes:
        numbers = " ".join(f"{value:.2f}" for value in box.corners.ravel())
        lines.setdefault(box.event, []).append(f"{box.frame} {numbers}\n")
    for event, text in lines.items():
        with replacing(home / f"{event}.ann") as partial:
            partial.write_text("".join(text))
    for row in made.frames.itertuples() if folders else ():
        picture = home / row.picture
        target = home / row.event / f"{row.frame:04}{picture.suffix}"
        target.parent.mkdir(exist_ok=True)
        with replacing(target) as partial:
            _same(picture, partial)


def _events_of(home: Path) -> set[str]:
    """Events of the data set that the folder has; none if its tables are damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        return set(read_csv(home / "frames.csv")["event"]) | set(read_csv(home / "boxes.csv")["event"])
    return set()


def _remove_old(home: Path, made: TrackingSet, earlier: set[str], *, folders: bool) -> None:
    """Remove what the earlier run made and this one did not; the files of others stay."""
    used = {Path(picture).name for picture in made.frames["picture"]}
    for name in _read_made(home / _MADE).keys() - used:
        (home / _PICTURES / Path(name).name).unlink(missing_ok=True)
    counts = made.frames.groupby("event")["frame"].max().to_dict() if folders else {}
    annotated = set(made.boxes["event"])
    for event in earlier:
        if Path(event).name != event:  # the table has been edited
            continue
        if event not in annotated:
            (home / f"{event}.ann").unlink(missing_ok=True)
        if event.casefold() not in _OWN and (home / event).is_dir():
            for path in (home / event).iterdir():
                if _NUMBERED.fullmatch(path.name) and int(path.stem) > counts.get(event, 0):
                    path.unlink()
            with contextlib.suppress(OSError):  # it holds something else
                (home / event).rmdir()


def _same(picture: Path, target: Path) -> None:
    """The same file under another name: a hard link, or a copy where there are none."""
    target.unlink(missing_ok=True)
    try:
        os.link(picture, target)
    except OSError:
        shutil.copyfile(picture, target)
