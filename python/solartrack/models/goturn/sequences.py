"""Which sequences a training run learns from and is judged by; simulated ones are rendered first."""

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from solartrack import _workers, simulate
from solartrack._tables import read_csv
from solartrack.errors import ArchiveError
from solartrack.models.goturn import sources

if TYPE_CHECKING:
    from solartrack.models.goturn.train import Run

__all__ = ["choose", "render"]

# Sequences that are held out have seeds of their own, whatever --seed is.
_HELD_OUT = 900_000


def choose(
    options: "Run",
) -> tuple[list[sources.Source], list[sources.Source], dict[str, Any]]:
    """Choose the sequences, and render the simulated ones that are missing.

    Parameters
    ----------
    options : Run
        Of `solartrack.models.goturn.train`.

    Returns
    -------
    learn, held_out : list of Source
        What to learn from, and what to be judged by.
    data : dict
        What the model file will say about both.
    """
    home: Path = options.data or options.out / "data"
    first = options.seed * 10_000
    seeds = [*range(first, first + options.simulated), *range(_HELD_OUT, _HELD_OUT + options.held_out)]
    folders = {home / f"{options.frames}x{options.size}" / f"{seed:06d}": seed for seed in seeds}
    began = time.perf_counter()
    render(folders, frames=options.frames, size=options.size, workers=options.workers)
    print(f"{len(folders)} simulated sequences ready after {time.perf_counter() - began:.0f} s", flush=True)
    simulated = [sources.simulated_source(folder) for folder in folders]
    learn, held_out = simulated[: options.simulated], simulated[options.simulated :]
    # There are few real images, so each is used several times in a round, with different boxes.
    stills = [(p, k) for p in options.stills for k in range(options.still_copies)]
    learn += [sources.still_source(path, seed=options.seed * 1000 + k) for path, k in stills]
    learn += [sources.ann_source(folder, annotation) for folder, annotation in options.ann]
    for table, folder in options.table:
        boxes = pd.read_parquet(table) if str(table).endswith(".parquet") else read_csv(table, numbers=True)
        learn.append(sources.table_source(boxes, folder))
    data = {
        "simulated": {"seeds": [first, options.simulated], "frames": options.frames, "size": options.size},
        "held_out": {"seeds": [_HELD_OUT, options.held_out]},
        "stills": [Path(p).name for p in options.stills],
        "still_copies": options.still_copies,
        "clutter": [Path(p).name for p in options.clutter],
        "ann": [Path(a).name for _, a in options.ann],
        "tables": [Path(t).name for t, _ in options.table],
    }
    return learn, held_out, data


def render(folders: dict[Path, int], *, frames: int, size: int, workers: int) -> None:
    """Render the sequences that are not there yet, by seed, in several processes."""
    missing = [(folder, seed) for folder, seed in folders.items() if not (folder / "seen.csv").exists()]
    place = _workers.workplace(workers if workers > 1 and len(missing) > 1 else 0)
    job = functools.partial(_render, frames=frames, size=size)
    for done, ((folder, _), reason) in enumerate(_workers.run(job, missing, place, lost=_lost), 1):
        if reason:
            raise ArchiveError(f"{folder} cannot be rendered: {reason}")
        if done % 20 == 0:
            print(f"rendered {done} of {len(missing)} sequences", flush=True)


def _render(item: tuple[Path, int], *, frames: int, size: int) -> str:
    folder, seed = item
    simulate.write_random(folder, seed, n_images=frames, size=size)
    return ""


def _lost(item: tuple[Path, int]) -> str:
    return _workers.DIED
