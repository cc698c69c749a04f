"""Tracks of many events: against a loop over `track`, and by window against whole images."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from astropy.time import Time

from solartrack import archive, images, simulate, tracking

BOX = ["x0", "y0", "x1", "y1"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "store"
    truth = simulate.write(folder, simulate.sequence(5, 20, "4h", size=64))
    first = truth.groupby("id").nth(0)
    catalogue = pd.concat([first] * 3, ignore_index=True).head(24)
    catalogue["event"] = [f"e{i}" for i in range(len(catalogue))]
    return folder, catalogue


def loop(folder, catalogue):
    """What one would write without the archive."""
    files = images.find_images(folder)
    return pd.concat(
        tracking.track(
            files, [e.x0, e.y0, e.x1, e.y1], start=int(e.frame), tracker="rotation", both_ways=False
        )
        for e in catalogue.itertuples()
    )


@pytest.mark.peer(how=["loop"])
@pytest.mark.benchmark(group="archive-24-events-x-20-frames")
@pytest.mark.parametrize("how", ["loop", "workers=0", "workers=2"])
def test_archive(benchmark, store, tmp_path, how):
    folder, catalogue = store
    runs = []

    def run():
        if how == "loop":
            return loop(folder, catalogue)
        runs.append(tmp_path / str(len(runs)))
        archive.track_archive(catalogue, folder, runs[-1], tracker="rotation", workers=int(how[-1]))
        return pd.read_parquet(runs[-1] / "tracks")

    expected = loop(folder, catalogue)
    assert run()[BOX].equals(expected[BOX].reset_index(drop=True)) or how == "loop"
    benchmark.pedantic(run, rounds=3, iterations=1)


class Window:
    """Stays where it is and looks at its surroundings."""

    name, needs_pixels, needs_sun = "window", True, False

    def __init__(self, windowed):
        if windowed:
            self.window = lambda regions, frame: regions[0] + [-96, -96, 96, 96]
        self.sums = []

    def settings(self):
        return {}

    def new_region(self, box, frame):
        return box

    def initialize(self, image, regions, frame):
        return [""] * len(regions)

    def update(self, image, regions, frame):
        (box,) = regions
        low_x, low_y, high_x, high_y = np.add(box, [-96, -96, 96, 96]).astype(int)
        part = image.pixels[low_y - image.y0 : high_y - image.y0, low_x - image.x0 : high_x - image.x0]
        self.sums.append(int(part.sum()))
        return [tracking.Step(box, 1.0, "tracked")]


@pytest.mark.peer(windowed=[False])
@pytest.mark.benchmark(group="track-4-jp2-4096px")
@pytest.mark.parametrize("windowed", [True, False], ids=["window", "whole images"])
def test_window(benchmark, shared, windowed):
    files = sorted((shared / "data/jp2").glob("aia171_seq_*.jp2"))
    times = [Time("2014-02-03") + timedelta(minutes=12 * i) for i in range(len(files))]

    def run(how):
        tracker = Window(how)
        tracking.track(files, [2180, 1460, 2500, 1780], tracker=tracker, times=times)
        return tracker.sums

    sums = run(windowed)
    assert sums == run(not windowed) and len(sums) == 3 and min(sums) > 0
    benchmark.pedantic(run, [windowed], rounds=3, iterations=1)
