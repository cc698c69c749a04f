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


@pytest.fixture(autouse=True)
def _peers_say_so(request, benchmark):
    """Tell ratios.py what is marked as a peer, as a whole or for some values of a parameter."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    for mark in request.node.iter_markers("peer"):
        if all(params[name] in values for name, values in mark.kwargs.items()):
            benchmark.extra_info["peer"] = True
