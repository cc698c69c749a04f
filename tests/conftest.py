import os
import subprocess
from pathlib import Path

import hypothesis
import pytest

# Bounds the time, not the answer: the machine may be shared. Examples are the same in every run.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True)
hypothesis.settings.register_profile("kernels", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real data and golden values, beside the checkout; tests that need it skip without.

    With ``SOLARTRACK_REQUIRE_DATA=1`` they fail instead.
    """
    if not (SHARED / "data").is_dir():
        give_up = pytest.fail if os.environ.get("SOLARTRACK_REQUIRE_DATA") == "1" else pytest.skip
        give_up("needs the real data in ../shared, which is not here")
    return SHARED


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    home = tmp_path / "disk"
    home.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(home)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems can be mounted by root only")
    yield home
    subprocess.run(["umount", str(home)], check=True)
