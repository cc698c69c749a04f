import numpy as np
import pandas as pd
import pytest

from dask_cluster import running_cluster
from solartrack import simulate
from solartrack.archive import track_archive

BOX = ["x0", "y0", "x1", "y1"]


@pytest.fixture
def cluster(tmp_path):
    """A LocalCluster to be killed: (address, process)."""
    with running_cluster(tmp_path) as found:
        yield found


@pytest.fixture(scope="session")
def threaded_cluster(tmp_path_factory):
    """Address of a LocalCluster whose workers have three threads each."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), threads=3) as (address, _):
        yield address


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """12 frames, 4 h apart, of a simulated Sun."""
    folder = tmp_path_factory.mktemp("archive") / "store"
    simulate.write(folder, simulate.sequence(5, 12, "4h", size=128))
    return folder


@pytest.fixture(scope="session")
def catalogue(store):
    """Each region where it is first seen, and once more later."""
    truth = pd.read_csv(store / "truth.csv")
    truth = truth[(truth["x1"] - truth["x0"]) * (truth["y1"] - truth["y0"]) > 6.0]
    firsts = pd.concat([truth.groupby("id").nth(0), truth.groupby("id").nth(4)])
    firsts = firsts.sort_values(["time", "id"]).reset_index(drop=True)
    assert len(firsts) > 8
    return firsts.assign(event=[f"AR{i}-{f}" for i, f in zip(firsts["id"], firsts["frame"], strict=True)])[
        ["event", "time", *BOX]
    ]


@pytest.fixture(scope="session")
def serial(store, catalogue, tmp_path_factory):
    """What every other way of doing the work must come to."""
    folder = tmp_path_factory.mktemp("serial") / "run"
    track_archive(catalogue, store, folder, tracker="rotation", workers=0)
    return folder


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """A support vector machine for noise: the stronger it is, the likelier a flare."""
    from solartrack.features import complexity
    from solartrack.flares import svm

    random = np.random.default_rng(0)
    strength = np.linspace(5, 120, 120)
    rows = [complexity(one * random.normal(size=(16, 16))).as_dict() for one in strength]
    labels = random.random(120) < strength / 120
    path = tmp_path_factory.mktemp("model") / "model.skops"
    svm.train(pd.DataFrame(rows), labels.astype(int), np.arange(120), kernel="linear").save(path)
    return path
