"""Sequences whose telescope, channel, cadence and dates are drawn from a seed, for training and tests."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from solartrack import _files, _tables
from solartrack.simulate.files import write
from solartrack.simulate.frames import sequence
from solartrack.simulate.instrument import Instrument
from solartrack.simulate.model import SunModel

__all__ = ["Scene", "random_scene", "write_random"]


class Scene(NamedTuple):
    """A Sun and how it is observed.

    Attributes
    ----------
    model : SunModel
    cadence_hours : float
    instrument : Instrument

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import simulate
    >>> scene = simulate.random_scene(np.random.default_rng(1), 4, size=64, cadences_hours=[4.0])
    >>> cadence = f"{scene.cadence_hours}h"
    >>> frames = simulate.sequence(scene.model, 2, cadence, size=64, instrument=scene.instrument)
    >>> [frame.array.shape for frame in frames]
    [(64, 64), (64, 64)]
    """

    model: SunModel
    cadence_hours: float
    instrument: Instrument


def random_scene(
    rng: np.random.Generator, n_images: int, *, size: int, cadences_hours: Sequence[float]
) -> Scene:
    """Draw a telescope, a cadence and a Sun between 2010 and 2024.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_images : int
        Number of images that the history must be long enough for.
    size : int
        Pixels on a side of the images.
    cadences_hours : sequence of float
        Cadences to choose from.

    Returns
    -------
    Scene

    Examples
    --------
    >>> import numpy as np
    >>> from solartrack import simulate
    >>> scene = simulate.random_scene(np.random.default_rng(1), 4, size=64, cadences_hours=[4.0, 12.0])
    >>> scene.cadence_hours, scene.instrument.bit_depth
    (4.0, 8)
    """
    cadence = float(rng.choice(cadences_hours))
    start = np.datetime64("2010-06-01T00:00:00") + np.timedelta64(int(rng.integers(0, 5000 * 1440)), "m")
    instrument = Instrument(
        arcsec_per_pixel=2.4 * 1024 / size * float(rng.uniform(0.97, 1.1)),
        offset_px=(float(rng.normal(0.0, 2.0)), float(rng.normal(0.0, 2.0))),
        gain=float(np.exp(rng.normal(0.0, 0.25))),
        contrast=float(np.exp(rng.normal(0.0, 0.15))),
        blur_arcsec=float(rng.uniform(0.8, 2.5)),
        noise=float(rng.uniform(0.5, 2.0)),
    )
    model = SunModel(
        int(rng.integers(2**31)),
        n_regions=int(rng.integers(10, 31)),
        start=start,
        days=max(1.0, n_images * cadence / 24.0),
        merging=float(rng.uniform(0.1, 0.6)),
    )
    return Scene(model, cadence, instrument)


def write_random(folder: str | os.PathLike[str], seed: int, *, n_images: int = 12, size: int = 1024) -> None:
    """Render a sequence to learn from; everything about it is drawn from the seed.

    Parameters
    ----------
    folder : path
        A folder that already holds a complete sequence is left as it is.
    seed : int
    n_images : int
        Number of images; some of them may be missing.
    size : int
        Pixels on a side.

    Notes
    -----
    Beside the files of `write` (PNG) there is ``seen.csv``: for each image (``file``) and region (``id``)
    the heliographic rectangle ``lon0``, ``lat0``, ``lon1``, ``lat1`` around its field at that time, in
    Stonyhurst degrees. A region's catalogued rectangle holds its field for its whole life, which no single
    image shows. Where regions have merged, ``part`` is 0 for the rectangle around all of them and 1 for
    those of the single ones.

    Examples
    --------
    >>> from pathlib import Path
    >>> from solartrack import simulate
    >>> simulate.write_random("scene", 1, n_images=2, size=64)
    >>> sorted(path.name for path in Path("scene").glob("*.csv"))
    ['frames.csv', 'seen.csv', 'truth.csv']
    """
    home = Path(folder)
    if (home / "seen.csv").exists():  # written last
        return
    rng = np.random.default_rng([seed, 20])
    model, cadence, instrument = random_scene(
        rng, n_images, size=size, cadences_hours=(1.0, 2.0, 4.0, 4.0, 8.0, 12.0)
    )
    if seed % 2:
        # Sharper, and exposed so that nothing is saturated, like real images of most days.
        instrument = replace(
            instrument,
            gain=0.45 * instrument.gain,
            contrast=0.85 * instrument.contrast,
            blur_arcsec=0.5 * instrument.blur_arcsec,
        )
    made = sequence(
        model,
        n_images,
        f"{cadence:g}h",
        drop=0.1 if rng.random() < 0.3 else 0.0,
        size=size,
        channel=str(rng.choice(["171", "193", "magnetogram"], p=[0.55, 0.3, 0.15])),
        output="display",
        instrument=instrument,
    )
    if not (home / "truth.csv").exists():
        write(home, made, format="png")
    rows = [
        row
        for frame in _tables.read_csv(home / "frames.csv", numbers=True).itertuples()
        for row in _field_rectangles(model, str(frame.time), str(frame.file), float(frame.l0_deg))
    ]
    columns = ["file", "id", "part", "lon0", "lat0", "lon1", "lat1"]
    with _files.replacing(home / "seen.csv") as partial:
        pd.DataFrame(rows, columns=columns).to_csv(partial, index=False)


def _field_rectangles(model: SunModel, time: str, file: str, l0_deg: float) -> list[tuple[Any, ...]]:
    """Rows of ``seen.csv`` for one image."""
    assert model.regions is not None
    regions = {region.id: region for region in model.regions}
    days = model.days_at(time)
    rows: list[tuple[Any, ...]] = []
    for patch in model.patches(time):
        members = [m.absorbed for m in model.merges if m.kept == patch.id and m.days <= days]
        found = []
        for number in (patch.id, *members):
            sides = regions[number].field_rectangle_at(days)
            if sides is not None:
                west, east, south, north = sides
                turn = -l0_deg - 360.0 * round((0.5 * (west + east) - l0_deg) / 360.0)
                found.append((west + turn, south, east + turn, north))
        if not found:
            continue
        # The parts lie side by side, so none is half a turn from the others, across the far meridian.
        every = np.array(found)
        every[:, ::2] -= 360.0 * np.round((every[:, :1] - every[0, 0]) / 360.0)
        union = (*every[:, :2].min(axis=0), *every[:, 2:].max(axis=0))
        rows.append((file, patch.id, 0, *union))
        if len(every) > 1:
            rows += [(file, patch.id, 1, *sides) for sides in every]
    return rows
