"""Killed at random moments, all archives come to the undisturbed result, and make nothing twice.

With SOLARTRACK_KILLS=30 in the environment there are as many kills, and the figures are printed (-s).
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import chores
from solartrack import simulate
from solartrack.errors import ArchiveError

TESTS = Path(__file__).resolve().parents[1]
KILLS = int(os.environ.get("SOLARTRACK_KILLS", "2"))
# More units than are finished until the last kill.
UNITS = 8 + 6 * KILLS


@pytest.fixture(scope="module")
def source(tmp_path_factory, model_file):
    """A folder with an archive of images with a catalogue, one of patches, and a model of flares."""
    folder = tmp_path_factory.mktemp("source")
    simulate.write(folder / "store", simulate.sequence(5, 12, "4h", size=64))
    first = pd.read_csv(folder / "store/truth.csv").groupby("id").nth(0)
    catalogue = pd.concat([first] * (UNITS // len(first) + 1), ignore_index=True).head(UNITS)
    catalogue["event"] = [f"e{i}" for i in range(UNITS)]
    catalogue[["event", "time", "x0", "y0", "x1", "y1"]].to_csv(folder / "catalogue.csv", index=False)
    (folder / "patches").mkdir()
    random = np.random.default_rng(0)
    for i in range(3 * UNITS):
        Image.fromarray(random.integers(0, 255, (16, 16), np.uint8)).save(folder / f"patches/{i}.png")
    (folder / "patches/7.png").write_bytes(b"no")
    (folder / "model.skops").write_bytes(model_file.read_bytes())
    return folder


def start(job, source, output, place):
    return subprocess.Popen(
        [sys.executable, str(TESTS / "kill_run.py"), job, str(source), str(output), str(place)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(output, job):
    """Units that are complete, and what shows whether one was made again."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in (output / job).glob("part-*")}


def content(output):
    """Everything but the lock, and the manifest of tracks with its times."""
    files = [p for p in output.rglob("*") if p.is_file() and p.name != ".lock"]
    if (output / "tracks").exists():
        files.remove(output / "manifest.json")
    return {p.relative_to(output).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize("where", ["processes", "cluster"])
@pytest.mark.parametrize("job", ["tracks", "features", "forecasts"])
def test_killed_at_random_moments_the_result_is_the_same_and_nothing_is_made_twice(
    source, tmp_path, request, job, where
):
    place = request.getfixturevalue("threaded_cluster") if where == "cluster" else 2
    whole, output = tmp_path / "whole", tmp_path / "run"
    undisturbed = start(job, source, whole, 0 if job == "tracks" else 1)
    assert undisturbed.wait() == 0, undisturbed.stderr.read()
    undisturbed.communicate()
    expected = content(whole)

    dice = random.Random(f"{job} {where}")
    made, kills, of_workers, working, partial = {}, 0, 0, 0, 0
    while kills < KILLS:
        process = start(job, source, output, place)
        # Some of the moments are before the first unit; the others are after one or two more, anywhere.
        if dice.random() < 0.3:
            time.sleep(dice.uniform(0, 2.0))
        else:
            goal = len(made) + dice.randint(1, 2)
            while len(finished(output, job)) < goal:
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.002)
            time.sleep(dice.uniform(0, 0.15))
            # A worker that is killed is no interruption: the run goes on, and is killed a little later.
            if where == "processes" and dice.random() < 0.5 and (workers := chores.workers_of(process.pid)):
                os.kill(dice.choice(workers), signal.SIGKILL)
                time.sleep(dice.uniform(0, 1.5))
                of_workers += 1
        assert process.poll() is None, f"it was done, or failed, before its end came: {process.stderr.read()}"
        process.kill()
        process.communicate()
        kills += 1
        partial += any(output.rglob("*solartrack-part*"))
        now = finished(output, job)
        assert {name: now.get(name) for name in made} == made
        assert all((output / job / name).read_bytes() == expected[f"{job}/{name}"] for name in now)
        working += len(now) > len(made)
        made = now

    assert working and len(made) < UNITS
    last = start(job, source, output, place)
    assert last.wait() == 0, last.stderr.read()
    last.communicate()
    assert content(output) == expected
    again = finished(output, job)
    assert {name: again[name] for name in made} == made and len(again) == UNITS
    print(
        f"\n{job} on {where}: {kills} kills and {of_workers} of single workers, {working} after more units, "
        f"{partial} in the middle of a file; {len(made)} of {UNITS} units were done and none was made again"
    )


@pytest.mark.parametrize("job", ["tracks", "features"])
def test_two_runs_into_one_output_exclude_each_other(source, tmp_path, job):
    from kill_run import features, tracks

    output = tmp_path / "run"
    process = start(job, source, output, 0 if job == "tracks" else 1)
    while not finished(output, job):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    with pytest.raises(ArchiveError, match="another run is working in"):
        if job == "tracks":
            tracks.track_archive(
                source / "catalogue.csv", source / "store", output, tracker="rotation", workers=0
            )
        else:
            features.extract(source / "patches", output, workers=1, zero=100.0)
    assert process.wait() == 0, process.stderr.read()
    process.communicate()
    whole = start(job, source, tmp_path / "whole", 0 if job == "tracks" else 1)
    assert whole.wait() == 0
    whole.communicate()
    assert content(output) == content(tmp_path / "whole")
