import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real data, beside the checkout; benchmarks that need it skip without.

    With ``SOLARTRACK_REQUIRE_DATA=1`` they fail instead.
    """
    if not (SHARED / "data").is_dir():
        give_up = pytest.fail if os.environ.get("SOLARTRACK_REQUIRE_DATA") == "1" else pytest.skip
        give_up("needs the real data in ../shared, which is not here")
    return SHARED
