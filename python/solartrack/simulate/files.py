"""Sequences as image files, with the truth in tables."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from PIL import Image

from solartrack import _files
from solartrack.simulate.frames import SimulatedFrame

__all__ = ["write"]


def write(folder: str | Path, frames: Iterable[SimulatedFrame], *, format: str = "fits") -> pd.DataFrame:
    """Write frames as ``frame_0000.fits`` or ``.png``, with ``truth.csv`` and ``frames.csv``.

    Parameters
    ----------
    folder : path
        Created if absent; must not hold a sequence.
    frames : iterable of SimulatedFrame
        Written one by one, so a long sequence need not fit in memory.
    format : {"fits", "png"}
        FITS keeps the order of the rows (row 0 is the southernmost) and the header. In PNG the rows are
        reversed, so that viewers show north up; it needs display values, and its geometry is in
        ``frames.csv``.

    Returns
    -------
    DataFrame
        The content of ``truth.csv``: ``frame`` (position in the sequence), ``file``, ``time``, ``id``,
        ``x0``, ``y0``, ``x1``, ``y1``; one row for each box, in pixel edges of the array *as stored*, so in
        PNG y grows to the south.

    Raises
    ------
    ValueError
        If the format is unknown, there are no frames, or float arrays are to be written as PNG.
    FileExistsError
        If the folder already holds a ``truth.csv``.

    Notes
    -----
    ``frames.csv`` has one row for each file, even without boxes: ``frame``, ``file``, ``time``, the disk
    ``center_x``, ``center_y``, ``radius_px`` in pixel edges of the stored array, and the observer's
    ``b0_deg``, ``l0_deg``, ``distance_m``. ``truth.csv`` is written last.

    Examples
    --------
    >>> from solartrack import simulate
    >>> truth = simulate.write("sun", simulate.sequence(1, 2, size=64))
    >>> list(truth)
    ['frame', 'file', 'time', 'id', 'x0', 'y0', 'x1', 'y1']
    """
    if format not in ("fits", "png"):
        raise ValueError(f"format must be 'fits' or 'png', got {format!r}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "truth.csv").exists():
        raise FileExistsError(f"{folder} already holds a sequence; choose another folder or delete it")
    boxes, files = [], []
    for i, frame in enumerate(frames):
        name, rows = f"frame_{i:04d}.{format}", frame.array.shape[0]
        header, truth = frame.header, frame.boxes
        centre_x, centre_y = header["CRPIX1"] - 0.5, header["CRPIX2"] - 0.5
        _write_image(folder / name, frame)
        if format == "png":
            centre_y = rows - centre_y
            truth = np.column_stack([truth[:, 0], rows - truth[:, 3], truth[:, 2], rows - truth[:, 1]])
        time = frame.time.isoformat(timespec="milliseconds")
        observer = (header[key] for key in ("R_SUN", "HGLT_OBS", "CRLN_OBS", "DSUN_OBS"))
        files.append((i, name, time, centre_x, centre_y, *observer))
        boxes += [(i, name, time, int(n), *box) for n, box in zip(frame.ids, truth.tolist(), strict=True)]
    if not files:
        raise ValueError("frames is empty, there is nothing to write")
    columns = ["frame", "file", "time", "center_x", "center_y", "radius_px", "b0_deg", "l0_deg", "distance_m"]
    with _files.replacing(folder / "frames.csv") as partial:
        pd.DataFrame(files, columns=columns).to_csv(partial, index=False)
    table = pd.DataFrame(boxes, columns=["frame", "file", "time", "id", "x0", "y0", "x1", "y1"])
    with _files.replacing(folder / "truth.csv") as partial:
        table.to_csv(partial, index=False)
    return table


def _write_image(path: Path, frame: SimulatedFrame) -> None:
    """Write FITS or PNG, according to the suffix."""
    if path.suffix == ".png" and frame.array.dtype.kind != "u":
        raise ValueError(
            f"PNG holds display values, got {frame.array.dtype} frames; "
            "render with output='display' or write format='fits'"
        )
    with _files.replacing(path) as partial:
        if path.suffix == ".png":
            Image.fromarray(np.ascontiguousarray(frame.array[::-1])).save(partial)
        else:
            fits.PrimaryHDU(frame.array, frame.header).writeto(partial, overwrite=True)
