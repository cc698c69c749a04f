"""A Dask LocalCluster in a process of its own, so that it can be killed."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
CLUSTER = """
import sys
from dask.distributed import LocalCluster
if __name__ == "__main__":
    threads, workers = map(int, sys.argv[1:])
    cluster = LocalCluster(n_workers=workers, threads_per_worker=threads, dashboard_address=None)
    # Dask gives up a worker that is killed again before it is fully up: a new one takes its place.
    cluster.adapt(minimum=workers, maximum=workers, interval="500ms")
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def running_cluster(folder, threads=1, workers=2):
    """Yield (address, process)."""
    script = Path(folder) / "cluster.py"
    script.write_text(CLUSTER)
    env = {**os.environ, "PYTHONPATH": str(TESTS), "DASK_TEMPORARY_DIRECTORY": str(folder)}
    process = subprocess.Popen(
        [sys.executable, str(script), str(threads), str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=env,
        start_new_session=True,
    )
    try:
        yield process.stdout.readline().strip(), process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
