"""The parts of the library at work: a simulated Sun whose truth is known, and a few images of the real one.

``solartrack demo`` on the command line.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from solartrack import __version__, features, flares, metrics, simulate, tracking, viz
from solartrack._files import replacing
from solartrack._optional import require
from solartrack._progress import tqdm
from solartrack.metrics import ScoredTrack

__all__ = ["AIA_BOX", "AIA_IMAGES", "SUMMARIES", "Demo", "run"]

_SAMPLES = Path(__file__).resolve().parent / "samples"
#: Folder of eight images of the real Sun: SDO/AIA 171, 512 x 512 pixels, 2017-08-08 to 2017-08-12, JPEG 2000.
#: Courtesy of NASA/SDO and the AIA, EVE, and HMI science teams.
AIA_IMAGES = _SAMPLES / "aia171"
#: NOAA 12670 in the first of them: x0, y0, x1, y1 in pixels as stored.
AIA_BOX = (225.0, 267.5, 302.5, 335.0)
#: Folder of the Solar Region Summaries of 2017-09-04 and 2017-09-05 (NOAA, U.S. Air Force).
SUMMARIES = _SAMPLES / "srs"

_BOX = ["x0", "y0", "x1", "y1"]
_HOURS = 4
_FINER = 2  # pixels of the magnetograms on a pixel of the images


@dataclass(frozen=True, eq=False)
class Demo:
    """What `run` made.

    Attributes
    ----------
    folder : Path
        Has ``report.html``, which shows all; ``images/`` (FITS, with the truth of all regions),
        ``truth.csv``, ``track.csv``, ``features.csv``, ``forecasts.csv``, ``real-track.csv``,
        ``scores.png``, ``movie.mp4`` and ``last.png``.
    truth, track : pandas.DataFrame
        The true boxes of the simulated region, and its track.
    scored : ScoredTrack
        On the images after the first.
    features : pandas.DataFrame
        ``frame``, ``time`` and the 29 complexity features of the simulated field in the tracked box; NaN
        where there is no box.
    forecasts : pandas.DataFrame
        As `solartrack.flares.forecast` gives them, from `SUMMARIES`.
    real_track : pandas.DataFrame
        The track of NOAA 12670 through `AIA_IMAGES`.
    seconds : dict of str to float
        How long each step took.

    Examples
    --------
    It takes a minute:

    >>> from solartrack import demo
    >>> made = demo.run("demo", n_images=12)  # doctest: +SKIP
    >>> made.scored.mean_iou > 0.5  # doctest: +SKIP
    True
    >>> made.report.name  # doctest: +SKIP
    'report.html'
    """

    folder: Path
    truth: pd.DataFrame
    track: pd.DataFrame
    scored: ScoredTrack
    features: pd.DataFrame
    forecasts: pd.DataFrame
    real_track: pd.DataFrame
    seconds: dict[str, float]

    @property
    def report(self) -> Path:
        """The HTML file that shows all."""
        return self.folder / "report.html"


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
    """Track, score and measure a simulated region; forecast flares; track a region of the real Sun.

    Parameters
    ----------
    folder : path
        For the results; it is made.
    n_images : int
        How many images of the simulated Sun, 4 hours apart; at least 2.
    size : int
        Side of these images, pixels.
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

    Examples
    --------
    Takes a minute; ``report.html`` in the folder shows the results.

    >>> from solartrack import demo
    >>> made = demo.run("demo", say=print)  # doctest: +SKIP
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
    seconds: dict[str, float] = {}

    say(f"rendering {n_images} images of a simulated Sun, {_HOURS} hours apart")
    with _timed(seconds, f"{n_images} simulated images"):
        sun = simulate.SunModel(seed, days=max(1.0, n_images * _HOURS / 24))
        frames = simulate.sequence(sun, n_images, f"{_HOURS}h", size=size)
        shown = tqdm(frames, total=n_images, disable=not progress, unit="image")
        truth = _central_region(simulate.write(home / "images", shown), size)
        _write(truth[["frame", *_BOX]], home / "truth.csv")

    say(f"tracking the region nearest to the central meridian, with the tracker {tracker.name!r}")
    with _timed(seconds, "tracking through them"):
        track = tracking.track(
            home / "images",
            truth.loc[0, _BOX].to_numpy(float),
            start=str(truth.loc[0, "file"]),
            tracker=tracker,
            progress=progress,
        )
        tracking.write_track(track, home / "track.csv")
    scored = metrics.score_track(truth, track)
    good = scored.scores["success@0.5"]
    say(
        f"on the {scored.scores.n_frames} images after the first: mean IoU {scored.mean_iou:.2f}, "
        f"at least 0.5 on {good:.0%} of them"
    )

    say("measuring the complexity of its magnetic field")
    with _timed(seconds, f"{n_images} simulated magnetograms and their features"):
        fields = simulate.sequence(sun, n_images, f"{_HOURS}h", size=_FINER * size, channel="magnetogram")
        shown = tqdm(fields, total=n_images, disable=not progress, unit="image")
        measured = _measured(track, shown)
        _write(measured, home / "features.csv")

    say("forecasting flares from NOAA's summaries of 2017-09-04 and 2017-09-05")
    with _timed(seconds, "forecast"):
        forecasts = flares.forecast(SUMMARIES)
        _write(forecasts, home / "forecasts.csv")

    say("tracking NOAA 12670 through eight images of SDO/AIA")
    with _timed(seconds, "tracking through 8 real images"):
        real = tracking.track(AIA_IMAGES, AIA_BOX, tracker=tracker, progress=progress)
        tracking.write_track(real, home / "real-track.csv")

    say("drawing")
    with _timed(seconds, "movies, plots and this report"):
        _draw(home, track, truth, scored, progress)
    made = Demo(home, truth, track, scored, measured, forecasts, real, seconds)
    settings = {"images": n_images, "side of an image": f"{size} pixels", "seed": seed}
    _report(made, {**settings, "tracker": tracker.name})
    return made


def _silent(text: str) -> None:
    pass


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begin


def _write(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as partial:
        table.to_csv(partial, index=False)


def _central_region(truth: pd.DataFrame, size: int) -> pd.DataFrame:
    """Of the regions that are visible longest, the one that stays nearest to the central meridian."""
    n_frames = truth.groupby("id")["frame"].nunique()
    longest = truth[truth["id"].map(n_frames) == n_frames.max()]
    distance = (longest[["x0", "x1"]].mean(axis=1) - size / 2).abs()
    region = distance.groupby(longest["id"]).mean().idxmin()
    return truth[truth["id"] == region].reset_index(drop=True)


def _measured(track: pd.DataFrame, fields: Iterator[simulate.SimulatedFrame]) -> pd.DataFrame:
    """The complexity features of the field in each box."""
    rows: list[dict[str, Any]] = []
    for row, field in zip(track.itertuples(), fields, strict=True):
        box = _FINER * np.array([row.x0, row.y0, row.x1, row.y1])
        values: Mapping[str, float] = {}
        if np.isfinite(box).all():
            ny, nx = field.array.shape
            x0, y0 = np.clip(np.floor(box[:2]).astype(int), 0, None)
            x1, y1 = np.clip(np.ceil(box[2:]).astype(int), None, [nx, ny])
            # The published features have no missing pixels; beyond the limb there is no field.
            values = features.complexity(field.array[y0:y1, x0:x1], nan_policy="zero").as_dict()
        rows.append({"frame": row.frame, "time": row.time, **values})
    return pd.DataFrame(rows, columns=["frame", "time", *features.COMPLEXITY_NAMES])


def _draw(
    folder: Path, track: pd.DataFrame, truth: pd.DataFrame, scored: ScoredTrack, progress: bool
) -> None:
    with replacing(folder / "scores.png") as partial:
        viz.plot_scores(scored.frames, {"track": scored.iou}).savefig(partial)
    images = folder / "images"
    viz.movie(folder / "movie.mp4", viz.draw_track(images, track, truth, progress=progress))
    (last,) = viz.draw_track(images, track.tail(1), truth)
    with replacing(folder / "last.png") as partial:
        last.save(partial)


def _report(made: Demo, settings: Mapping[str, object]) -> None:
    disk = flares.text.full_disk(made.forecasts).iloc[0]
    results = {
        "A simulated region, scored": viz.Result(
            made.track,
            truth=made.truth,
            images=made.folder / "images",
            text="The true box of every region of a simulated Sun is known, so the track can be scored. The "
            "tracker was given that of the first image, and nothing else. It encloses the strong field; "
            "bright loops reach beyond it.",
        ),
        "Its magnetic complexity": viz.Result(
            made.features,
            text="The 29 published features of the simulated line-of-sight field in the tracked box. Sums "
            "among them grow with the box, as they do with real patches.",
        ),
        "A flare forecast": viz.Result(
            made.forecasts,
            text="From NOAA's Solar Region Summary of 5 September 2017 and that of the day before, without "
            "reports of flares, by the model that comes with the package. Anywhere on the disk within 48 "
            "hours it expects a flare of class M or above "
            f"with {disk['M_48h']:.0%}, of class X with {disk['X_48h']:.0%}. On 6 September region 12673 had "
            "an X2.2 and an X9.3. The day was chosen because of them, and the model was fitted to these "
            "years: an example, no test.",
        ),
        "A region of the real Sun": viz.Result(
            made.real_track,
            images=AIA_IMAGES,
            text="NOAA 12670 from the centre of the disk towards the limb: eight images of 171 ångström, 16 "
            "hours apart, reduced to 512 pixels. There is no true box to compare with; the longitude should "
            "rise by some 13 degrees a day. Images courtesy of NASA/SDO and the AIA, EVE, and HMI science "
            "teams.",
        ),
    }
    machine = {
        "solartrack": __version__,
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    viz.report(
        made.report,
        results,
        title="solartrack demo",
        text="What solartrack does, with data that are simulated or come with it. The tables are beside this "
        "file.",
        facts={
            "Settings": {**settings, **machine},
            "Timings": {step: f"{seconds:.1f} s" for step, seconds in made.seconds.items()},
        },
    )
