"""Where training images and their boxes come from: tables, ``.ann`` files, simulated sequences, stills."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from solartrack import boxes as box_formats
from solartrack import images
from solartrack._arrays import Float64Array
from solartrack._tables import read_csv
from solartrack.coordinates import AU_M, ImageGeometry, fit_rectangles, rectangles_to_boxes
from solartrack.errors import GeometryError, ImageError
from solartrack.sequence import Frame, frames_of

__all__ = [
    "LabelledFrame",
    "Source",
    "ann_source",
    "read_clutter",
    "simulated_source",
    "still_source",
    "table_source",
]

_BOX = ["x0", "y0", "x1", "y1"]
_SIDES = ["lon0", "lat0", "lon1", "lat1"]
_ANN_COLUMNS = "frame x2 y2 x3 y3 x0 y0 x1 y1"


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """An image with the boxes that are known in it.

    Attributes
    ----------
    frame : Frame
        Its number counts from 0 in its sequence, its ``pixels`` are display values (see
        `solartrack.images.display_values`), and only differences of its time matter.
    ids : ndarray of int64, shape (n,)
    boxes : ndarray of float64, shape (n, 4)
    parts : tuple of ndarray
        For regions that have merged: ids, shape (k,), and heliographic rectangles, shape (k, 4), of the
        single ones. Unknown, so empty, for real images.
    rectangles : ndarray of float64, shape (n, 4), or None
        What `fit_rectangles` makes of the boxes, if that has been done.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import demo
    >>> from solartrack.models.goturn import sources
    >>> file = sorted(demo.AIA_IMAGES.iterdir())[0].name
    >>> row = {"file": file, **dict(zip(["x0", "y0", "x1", "y1"], demo.AIA_BOX))}
    >>> first = sources.table_source(pd.DataFrame([row]), demo.AIA_IMAGES)()[0]
    >>> first.ids.tolist(), first.boxes.tolist(), first.pixels.shape
    ([0], [[225.0, 267.5, 302.5, 335.0]], (512, 512))
    """

    frame: Frame
    ids: NDArray[np.int64]
    boxes: Float64Array
    parts: tuple[NDArray[np.int64], Float64Array] = (np.empty(0, np.int64), np.empty((0, 4)))
    rectangles: Float64Array | None = None

    @property
    def pixels(self) -> NDArray[Any]:
        """Display values, shape (ny, nx)."""
        assert self.frame.pixels is not None
        return self.frame.pixels

    @property
    def geometry(self) -> ImageGeometry | None:
        """Where the Sun is in the image."""
        return self.frame.geometry


#: Loads a sequence when it is called, so that only those in use are in memory.
Source = Callable[[], list[LabelledFrame]]


def table_source(
    table: pd.DataFrame, folder: str | os.PathLike[str], disks: pd.DataFrame | None = None
) -> Source:
    """A sequence from a table of boxes, such as a track table or a simulated ``truth.csv``.

    Parameters
    ----------
    table : DataFrame
        Columns ``file``, ``x0``, ``y0``, ``x1``, ``y1`` in pixel edges of the image as stored, and
        ``id`` if there are several regions. Rows without a box are left out.
    folder : path
        What the file names are relative to.
    disks : DataFrame, optional
        Columns ``file``, ``time``, ``center_x``, ``center_y``, ``radius_px``, ``b0_deg``,
        ``distance_m`` as in a simulated ``frames.csv``, for images without a header.

    Returns
    -------
    Source
        Its frames are in order of time if all times are known, else in that of the table.

    Raises
    ------
    ValueError
        If columns are missing, there is no box, or a region has several boxes in one image.

    Examples
    --------
    >>> import pandas as pd
    >>> from solartrack import demo
    >>> from solartrack.models.goturn import sources
    >>> file = sorted(demo.AIA_IMAGES.iterdir())[0].name
    >>> row = {"file": file, **dict(zip(["x0", "y0", "x1", "y1"], demo.AIA_BOX))}
    >>> source = sources.table_source(pd.DataFrame([row]), demo.AIA_IMAGES)
    >>> len(source())
    1
    """
    missing = {"file", *_BOX} - set(table)
    if missing:
        raise ValueError(f"the table of boxes lacks the columns {', '.join(sorted(missing))}")
    rows = table[np.isfinite(table[_BOX].to_numpy(float)).all(axis=1)]
    if rows.empty:
        raise ValueError("the table of boxes has no box")
    rows = rows.assign(id=rows.get("id", 0))
    if rows.duplicated(["file", "id"]).any():
        raise ValueError("the table of boxes has several boxes of one region in one image; give an id column")
    known = {} if disks is None else {row.file: row for row in disks.itertuples()}
    base = Path(folder)

    def load() -> list[LabelledFrame]:
        found = []
        for file, group in rows.groupby("file", sort=False):
            frame = _read(base / str(file), disk=known.get(file))
            found.append(
                LabelledFrame(frame, group["id"].to_numpy(np.int64), group[_BOX].to_numpy(np.float64))
            )
        if all(np.isfinite(one.frame.mjd_tai) for one in found):
            found.sort(key=lambda one: one.frame.mjd_tai)
        return [replace(one, frame=replace(one.frame, number=i)) for i, one in enumerate(found)]

    return load


def ann_source(folder: str | os.PathLike[str], annotation: str | os.PathLike[str]) -> Source:
    """A sequence in the layout of the published recipe: numbered images and an ``.ann`` file.

    Parameters
    ----------
    folder : path
        Images whose names are frame numbers, such as ``000012.png``.
    annotation : path
        ``.ann`` file with one region's box for each frame.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If a line of the file does not hold nine numbers, or no image has a box.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from solartrack.models.goturn import sources
    >>> Path("images").mkdir()
    >>> Image.fromarray(np.zeros((64, 64), np.uint8)).save("images/000001.png")
    >>> _ = Path("region.ann").write_text("1 30 40 30 20 10 20 10 40")
    >>> sources.ann_source("images", "region.ann")()[0].boxes.tolist()
    [[10.0, 20.0, 30.0, 40.0]]
    """
    files = {int(p.stem): p.name for p in images.find_images([folder]) if p.stem.isdigit()}
    try:
        lines = np.loadtxt(annotation, ndmin=2)
        if lines.shape[1] != 9:
            raise ValueError(f"it has {lines.shape[1]} columns")
        found = box_formats.from_ann(lines[:, 1:])
    except ValueError as error:
        wanted = f"expected the nine numbers {_ANN_COLUMNS} in each line"
        raise ValueError(f"{os.fspath(annotation)}: {wanted}; {error}") from error
    frames = lines[:, 0].astype(int).tolist()
    known = [(files[n], *box) for n, box in zip(frames, found.tolist(), strict=True) if n in files]
    if not known:
        raise ValueError(f"no image in {folder} has the number of a frame in {annotation}")
    return table_source(pd.DataFrame(known, columns=["file", *_BOX]), folder)


def simulated_source(folder: str | os.PathLike[str]) -> Source:
    """A sequence that `solartrack.simulate.write_random` or `solartrack.simulate.write` has written.

    The boxes are those of the field at the time of the image (``seen.csv``), if `write_random` wrote it;
    else those of the catalogue (``truth.csv``), which hold a region's field for its whole life.

    Parameters
    ----------
    folder : path
        Of one sequence: images and ``truth.csv``.

    Returns
    -------
    Source

    Examples
    --------
    >>> from solartrack import simulate
    >>> from solartrack.models.goturn import sources
    >>> _ = simulate.write("sun", simulate.sequence(1, 2, size=64))
    >>> len(sources.simulated_source("sun")())
    2
    """
    home = Path(folder)
    disks = read_csv(home / "frames.csv", numbers=True)
    if not (home / "seen.csv").exists():
        return table_source(read_csv(home / "truth.csv", numbers=True), home, disks)
    seen = dict(iter(read_csv(home / "seen.csv", numbers=True).groupby("file")))
    # Fitting rectangles takes longer than everything else, so the result is kept for the next round.
    labels: dict[str, LabelledFrame] = {}

    def load() -> list[LabelledFrame]:
        out = []
        for number, disk in enumerate(disks.itertuples()):
            frame = replace(_read(home / str(disk.file), disk=disk), number=number)
            if disk.file not in labels:
                labels[disk.file] = _labels(replace(frame, pixels=None), seen.get(disk.file))
            out.append(replace(labels[disk.file], frame=frame))
        return out

    return load


def _labels(frame: Frame, seen: pd.DataFrame | None) -> LabelledFrame:
    """Labels from one image's rows of ``seen.csv``."""
    if seen is None:
        return LabelledFrame(frame, np.empty(0, np.int64), np.empty((0, 4)), rectangles=np.empty((0, 4)))
    whole, sides = seen["part"].to_numpy() == 0, seen[_SIDES].to_numpy(np.float64)
    ids = seen["id"].to_numpy(np.int64)
    assert frame.geometry is not None
    boxes, _ = rectangles_to_boxes(sides[whole], frame.geometry)
    ny, nx = frame.shape
    boxes = np.clip(boxes, 0.0, [nx, ny, nx, ny])
    visible = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
    fitted, _ = fit_rectangles(boxes[visible], frame.geometry)
    return LabelledFrame(frame, ids[whole][visible], boxes[visible], (ids[~whole], sides[~whole]), fitted)


def still_source(path: str | os.PathLike[str], seed: int, *, count: int = 24, largest: int = 1024) -> Source:
    """A real image without known boxes, as a still: boxes around bright places stand for regions.

    Parameters
    ----------
    path : path
        Image with a header that says where the Sun is.
    seed : int
        Seed of the boxes.
    count : int
        Number of boxes.
    largest : int
        Larger images are reduced to at most this many pixels on a side.

    Returns
    -------
    Source
        Raises a `GeometryError` when called if the header does not say where the Sun is.

    Examples
    --------
    >>> from solartrack import demo
    >>> from solartrack.models.goturn import sources
    >>> image = sorted(demo.AIA_IMAGES.iterdir())[0]
    >>> frames = sources.still_source(image, seed=1, count=8)()
    >>> len(frames), frames[0].boxes.shape
    (1, (8, 4))
    """

    def load() -> list[LabelledFrame]:
        frame = _read_sun(path, largest)
        boxes = _bright_boxes(frame, count, np.random.default_rng(seed))
        return [LabelledFrame(frame, np.arange(len(boxes)), boxes)]

    return load


def read_clutter(path: str | os.PathLike[str], *, largest: int = 1024) -> Frame:
    """A real image of the whole Sun without boxes, to be blended into simulated ones.

    Parameters
    ----------
    path : path
    largest : int
        Larger images are reduced to at most this many pixels on a side.

    Returns
    -------
    Frame
        With display values as its pixels.

    Raises
    ------
    GeometryError
        If its header does not say where the Sun is.

    Examples
    --------
    >>> from solartrack import demo
    >>> from solartrack.models.goturn import sources
    >>> sources.read_clutter(sorted(demo.AIA_IMAGES.iterdir())[0], largest=256).pixels.shape
    (256, 256)
    """
    return _read_sun(path, largest)


def _read_sun(path: str | os.PathLike[str], largest: int) -> Frame:
    """An image, reduced by a power of two, whose geometry must be known."""
    header, _ = images.read_header(path)
    factor = 1
    while max(int(header["NAXIS1"]), int(header["NAXIS2"])) // factor > largest:
        factor *= 2
    frame = _read(path, reduce=factor)
    if frame.geometry is None:
        raise GeometryError(f"{path}: nothing tells where the Sun is, so it cannot be learnt from")
    return frame


def _read(path: str | os.PathLike[str], *, reduce: int = 1, disk: Any = None) -> Frame:
    """An image with display values; `disk` is its row of ``frames.csv``, for files without a header."""
    image = images.read(path, reduce=reduce)
    if disk is None:
        (frame,) = frames_of([image])
        if "CTYPE1" in image.header and frame.geometry is None:
            raise GeometryError(f"{path}: {frame.no_geometry}")
    else:
        geometry = ImageGeometry.from_disk(
            (disk.center_x, disk.center_y),
            disk.radius_px,
            b0_deg=disk.b0_deg,
            row0=images.row0(path),
            distance_au=disk.distance_m / AU_M,
        )
        (frame,) = frames_of([image], times=[disk.time], geometry=geometry)
    if frame.trouble:
        raise ImageError(f"{path}: {frame.trouble}")
    return replace(frame, file=os.fspath(path), pixels=images.display_values(image.array))


def _bright_boxes(frame: Frame, count: int, rng: np.random.Generator) -> Float64Array:
    """Boxes with the sizes and positions of active regions, centred where the image is bright."""
    assert frame.geometry is not None and frame.pixels is not None
    centre, radius = frame.geometry.disk_center, frame.geometry.disk_radius
    ny, nx = frame.pixels.shape
    step = max(1, round(radius / 40))
    y, x = np.mgrid[step // 2 : ny - step : step, step // 2 : nx - step : step]
    means = frame.pixels[: ny // step * step, : nx // step * step].astype(float)
    means = means.reshape(ny // step, step, nx // step, step).mean(axis=(1, 3))[: len(y), : x.shape[1]]
    near = np.hypot(x - centre[0], y - centre[1]) < 0.95 * radius
    # Cubed: most of them at active regions, some anywhere on the disk.
    weight = np.where(near, (means - means[near].min() + 1.0) ** 3, 0.0).ravel()
    at = rng.choice(len(weight), size=count, p=weight / weight.sum())
    width = radius * np.exp(rng.normal(np.log(0.22), 0.45, count))
    height = width * np.exp(rng.normal(np.log(0.65), 0.25, count))
    # Near the east and west limbs regions look narrow.
    width *= np.sqrt(np.maximum(1.0 - ((x.ravel()[at] - centre[0]) / radius) ** 2, 0.05))
    mx = x.ravel()[at] + rng.normal(0, 0.15, count) * width
    my = y.ravel()[at] + rng.normal(0, 0.15, count) * height
    boxes = np.stack([mx - width / 2, my - height / 2, mx + width / 2, my + height / 2], axis=1)
    return box_formats.clip(boxes, (ny, nx))
