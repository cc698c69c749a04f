"""Records of images as a table, for files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple

import numpy as np
import pandas as pd

from solartrack.coordinates import ImageGeometry
from solartrack.sequence.frame import Frame

__all__ = ["frames_from_table", "frames_to_table", "geometry_numbers"]

# Columns: an ImageGeometry's numbers in the order of its fields, and what is amiss.
_GEOMETRY = ("ref_x", "ref_y", "xx", "xy", "yx", "yy", "center_tx", "center_ty", "b0_deg", "l0_deg", "rsun")
_REASONS = ("trouble", "no_geometry", "no_time")


def frames_to_table(frames: Iterable[Frame]) -> pd.DataFrame:
    """Records as a table, for files.

    Parameters
    ----------
    frames : iterable of Frame

    Returns
    -------
    pandas.DataFrame
        A row for each; the geometry as eleven numbers, NaN where there is none. Frame numbers and pixels
        are left out.

    Examples
    --------
    >>> from solartrack import sequence, simulate
    >>> images = [frame.array for frame in simulate.sequence(1, 2, size=64)]
    >>> frames = sequence.frames_of(images, times=["2014-02-01T00:00", "2014-02-01T04:00"])
    >>> sequence.frames_to_table(frames)[["time", "no_geometry"]].iloc[1].tolist()
    [Timestamp('2014-02-01 04:00:00'), 'the image has no header that tells where the Sun is; give the disk']
    """
    rows = []
    for frame in frames:
        numbers = [np.nan] * len(_GEOMETRY) if frame.geometry is None else geometry_numbers(frame.geometry)
        rows.append(
            {
                "file": frame.file,
                "time": pd.Timestamp(frame.time) if frame.time else pd.NaT,
                "mjd_tai": frame.mjd_tai,
                "rows": frame.shape[0],
                "columns": frame.shape[1],
                **dict(zip(_GEOMETRY, numbers, strict=True)),
                **{name: getattr(frame, name) for name in _REASONS},
            }
        )
    return pd.DataFrame(rows)


def frames_from_table(table: pd.DataFrame) -> list[Frame]:
    """Records from a table that `frames_to_table` made; the table's index is their frame number.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    list of Frame

    Examples
    --------
    >>> from solartrack import sequence, simulate
    >>> images = [frame.array for frame in simulate.sequence(1, 2, size=64)]
    >>> frames = sequence.frames_of(images, times="2014-02-01", cadence="4h")
    >>> back = sequence.frames_from_table(sequence.frames_to_table(frames))
    >>> [str(frame.time) for frame in back]
    ['2014-02-01 00:00:00', '2014-02-01 04:00:00']
    """
    out = []
    for row in table.itertuples():
        numbers = [getattr(row, name) for name in _GEOMETRY]
        geometry = None
        if np.isfinite(numbers[0]):
            geometry = ImageGeometry(
                tuple(numbers[:2]), tuple(numbers[2:6]), tuple(numbers[6:8]), *numbers[8:]
            )  # type: ignore[arg-type]
        time = None if pd.isna(row.time) else row.time.to_pydatetime()
        shape = int(row.rows), int(row.columns)
        reasons = {name: getattr(row, name) for name in _REASONS}
        out.append(Frame(int(row.Index), row.file, time, row.mjd_tai, geometry, shape, **reasons))
    return out


def geometry_numbers(geometry: ImageGeometry) -> list[float]:
    """The eleven numbers of an `ImageGeometry`, in the order of its fields.

    Parameters
    ----------
    geometry : ImageGeometry

    Returns
    -------
    list of float, length 11

    Examples
    --------
    >>> from solartrack import sequence
    >>> from solartrack.coordinates import ImageGeometry
    >>> numbers = sequence.geometry_numbers(ImageGeometry.from_disk((512, 512), 400))
    >>> len(numbers), numbers[:2]  # the reference pixel comes first
    (11, [512.0, 512.0])
    """
    return [float(v) for v in np.hstack([np.ravel(part) for part in astuple(geometry)])]
