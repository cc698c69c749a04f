import pytest

from dask_cluster import running_cluster


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
