"""A simulated Sun, tracked, scored and drawn into a folder: what ``solartrack demo`` shows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm import tqdm

from solartrack import metrics, simulate, tracking, viz
from solartrack._files import replacing
from solartrack._optional import require
from solartrack.metrics import ScoredTrack

__all__ = ["Demo", "run"]

_BOX = ["x0", "y0", "x1", "y1"]
_HOURS = 4


@dataclass(frozen=True, eq=False)
class Demo:
    """What `run` made.

    Attributes
    ----------
    folder : Path
        Has ``images/`` (FITS, with the truth of all regions), ``truth.csv``, ``track.csv``,
        ``scores.png``, ``movie.mp4`` and ``last.png``.
    truth, track : pandas.DataFrame
        The true boxes of the region, and its track.
    scored : ScoredTrack
        On the images after the first.
    """

    folder: Path
    truth: pd.DataFrame
    track: pd.DataFrame
    scored: ScoredTrack


def run(
    folder: str | os.PathLike[str],
    *,
    n_images: int = 24,
    size: int = 512,
    seed: int = 1,
    tracker: str | tracking.Tracker = "solar",
    say: Callable[[str], object] | None = None,
    progress: bool = False,
) -> Demo:
    """Render a simulated Sun, track one of its regions, score the track and draw it.

    Parameters
    ----------
    folder : path
        For the results; it is made.
    n_images : int
        How many images, 4 hours apart; at least 2.
    size : int
        Side of the images, pixels.
    seed : int
        Which Sun.
    tracker : str or Tracker
        As for `solartrack.track`.
    say : callable, optional
        Called with a line of text before each step, such as ``print``.
    progress : bool
        Show progress bars on standard error.

    Returns
    -------
    Demo

    Raises
    ------
    FileExistsError
        If the folder is there and not empty.
    ValueError
        If there are fewer than 2 images, or an argument is bad.
    ImportError
        If what draws or the tracker's network needs is missing. This and the errors above
        come before any work.
    """
    say = say or _silent
    for module in ("imageio_ffmpeg", "matplotlib"):
        require(module, extra="viz", purpose="the demo's movie and plot")
    home = Path(folder)
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise FileExistsError(f"{home} is there already; choose another folder, or delete it")
    if n_images < 2:
        raise ValueError(f"n_images must be at least 2, got {n_images}")
    tracker = tracking.make_tracker(tracker)

    say(f"rendering {n_images} images of a simulated Sun, {_HOURS} hours apart")
    frames = simulate.sequence(seed, n_images, f"{_HOURS}h", size=size)
    shown = tqdm(frames, total=n_images, disable=not progress, unit="image")
    truth = _central_region(simulate.write(home / "images", shown), size)
    with replacing(home / "truth.csv") as partial:
        truth[["frame", *_BOX]].to_csv(partial, index=False)

    say(f"tracking the region nearest to the central meridian, with the tracker {tracker.name!r}")
    track = tracking.track(
        home / "images",
        truth.loc[0, _BOX].to_numpy(float),
        start=str(truth.loc[0, "file"]),
        tracker=tracker,
        progress=progress,
    )
    tracking.write_track(track, home / "track.csv")

    scored = metrics.score_track(truth, track)
    say(f"\nscores on the images after the first:\n{scored}\n\ndrawing")
    _draw(home, track, truth, scored, progress)
    return Demo(home, truth, track, scored)


def _silent(text: str) -> None:
    pass


def _central_region(truth: pd.DataFrame, size: int) -> pd.DataFrame:
    """Of the regions that are visible longest, the one that stays nearest to the central meridian."""
    n_frames = truth.groupby("id")["frame"].nunique()
    longest = truth[truth["id"].map(n_frames) == n_frames.max()]
    distance = (longest[["x0", "x1"]].mean(axis=1) - size / 2).abs()
    region = distance.groupby(longest["id"]).mean().idxmin()
    return truth[truth["id"] == region].reset_index(drop=True)


def _draw(
    folder: Path, track: pd.DataFrame, truth: pd.DataFrame, scored: ScoredTrack, progress: bool
) -> None:
    with replacing(folder / "scores.png") as partial:
        viz.plot_scores(scored.frames, {"track": scored.iou}).savefig(partial)
    images = folder / "images"
    viz.movie(folder / "movie.mp4", viz.draw_track(images, track, truth, progress=progress))
    (last,) = viz.draw_track(images, track.tail(1), truth)
    with replacing(folder / "last.png") as partial:
        Image.fromarray(last).save(partial)
