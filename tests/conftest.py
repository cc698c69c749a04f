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

# Files with tests of minutes. They begin first: at the end one of them would leave the other cores idle.
_LONG = (
    "tracking/test_quality.py",
    "archive/test_kills.py",
    "flares/test_flares_page.py",
    "flares/test_image_classifier_page.py",
    "flares/test_keywords.py",
    "archive/test_archive.py",
    "models/vgg/test_learn.py",
)


def pytest_configure(config: pytest.Config) -> None:
    # Left to itself, `--dist loadfile` begins with the files that have most tests.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: number for number, name in enumerate(_LONG)}
    folder = Path(__file__).parent
    items.sort(key=lambda item: place.get(_name(item.path, folder), len(_LONG)))


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""


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
