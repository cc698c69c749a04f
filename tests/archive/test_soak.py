import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[2] / "benchmarks/soak.py"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
def test_in_a_round_of_disturbed_runs_all_claims_hold():
    pytest.importorskip("pytest_httpserver")
    run = subprocess.run(
        [sys.executable, SOAK, "--seed", "7", "--rounds", "1"], capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0 and "all claims hold" in run.stdout, run.stdout + run.stderr
