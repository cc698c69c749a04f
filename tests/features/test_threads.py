"""Kernels where the system starts no more threads."""

import subprocess
import sys

import pytest

# Thread stacks are 8 MB of address space each; so far above it, nothing else comes near the limit.
PROGRAM = """
import resource, sys
import numpy as np
from solartrack import features, metrics
rng = np.random.default_rng(0)
boxes, patches = rng.uniform(0, 9, (500, 4)), rng.normal(0, 100, (64, 20, 20))
alone = metrics.iou(boxes, boxes, pairwise=False, threads=1), features.complexity_batch(patches, threads=1)
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
before = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (now + (int(sys.argv[1]) << 20), before[1]))
many = metrics.iou(boxes, boxes, pairwise=False, threads=64), features.complexity_batch(patches, threads=64)
resource.setrlimit(resource.RLIMIT_AS, before)
print(all(np.array_equal(a, b, equal_nan=True) for a, b in zip(alone, many)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
@pytest.mark.parametrize("megabytes", [6, 60])
def test_no_further_thread_means_fewer_threads_and_the_same_result(megabytes):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(megabytes)], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr
