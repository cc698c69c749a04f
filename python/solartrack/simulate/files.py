"""A sequence as files, with its truth as tables."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from PIL import Image

from solartrack.simulate.render import SimulatedFrame

__all__ = ["write"]


def write(folder: str | Path, frames: Iterable[SimulatedFrame], *, format: str = "fits") -> pd.DataFrame:
    """Write frames as ``frame_0000.fits`` or ``.png``, with ``truth.csv`` and ``frames.csv``.

    Parameters
    ----------
    folder : path
        Made if absent; must not hold an earlier sequence.
    frames : iterable of SimulatedFrame
        Taken one by one, so that a long sequence needs no memory.
    format : {"fits", "png"}
        FITS keeps the rows as they are (row 0 south) and the header. PNG is
        turned upside down, so that north is up in a viewer, and needs display
        values; its geometry is in ``frames.csv``.

    Returns
    -------
    DataFrame
        What ``truth.csv`` holds: ``frame`` (position in the folder), ``file``,
        ``time``, ``id``, ``x0``, ``y0``, ``x1``, ``y1``, one row per box, pixel
        edges in the array *as stored*: in PNG y grows to the south.

    Raises
    ------
    ValueError
        If the format is unknown, there are no frames, or PNG is asked of float
        arrays.
    FileExistsError
        If the folder already holds a ``truth.csv``.

    Notes
    -----
    ``frames.csv`` has one row per file, boxes or not: ``frame``, ``file``,
    ``time``, and in the stored array's pixel edges the disk centre
    ``center_x``, ``center_y`` and ``radius_px``, with ``b0_deg``, ``l0_deg``,
    ``distance_m``.
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
        header = frame.header
        centre_x, centre_y = header["CRPIX1"] - 0.5, header["CRPIX2"] - 0.5
        truth = frame.boxes
        if format == "fits":
            fits.PrimaryHDU(frame.array, header).writeto(folder / name, overwrite=True)
        else:
            if frame.array.dtype.kind != "u":
                raise ValueError(
                    f"PNG holds display values, got {frame.array.dtype} frames; "
                    "render with output='display' or write format='fits'"
                )
            Image.fromarray(np.ascontiguousarray(frame.array[::-1])).save(folder / name)
            centre_y = rows - centre_y
            truth = np.column_stack([truth[:, 0], rows - truth[:, 3], truth[:, 2], rows - truth[:, 1]])
        time = frame.time.isoformat(timespec="milliseconds")
        files.append(
            (
                i,
                name,
                time,
                centre_x,
                centre_y,
                header["R_SUN"],
                header["HGLT_OBS"],
                header["CRLN_OBS"],
                header["DSUN_OBS"],
            )
        )
        boxes += [(i, name, time, int(n), *box) for n, box in zip(frame.ids, truth.tolist(), strict=True)]
    if not files:
        raise ValueError("frames is empty, there is nothing to write")
    columns = ["frame", "file", "time", "center_x", "center_y", "radius_px", "b0_deg", "l0_deg", "distance_m"]
    pd.DataFrame(files, columns=columns).to_csv(folder / "frames.csv", index=False)
    table = pd.DataFrame(boxes, columns=["frame", "file", "time", "id", "x0", "y0", "x1", "y1"])
    table.to_csv(folder / "truth.csv", index=False)
    return table
