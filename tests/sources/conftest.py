"""The local server with recorded answers, and a transport that does not wait long."""

import re

import pytest

from sources.replay import Replay

pytest.importorskip("pytest_httpserver", reason="the sources are tested against a local server")


@pytest.fixture(scope="session")
def make_httpserver():
    """In place of the plugin's: one that answers several requests at a time."""
    from pytest_httpserver import HTTPServer

    server = HTTPServer(host="127.0.0.1", port=0, threaded=True)
    server.start()
    yield server
    server.clear()
    if server.is_running():
        server.stop()


@pytest.fixture
def replay(httpserver):
    """A server that replays what a test adds: ``replay.add("/path", content)``, then ``replay.url``."""
    replay = Replay(httpserver.url_for("/"))
    httpserver.expect_request(re.compile(".*")).respond_with_handler(replay.answer)
    return replay


@pytest.fixture
def transport():
    """A transport that asks again soon and gives up soon."""
    from solartrack.sources.transport import Transport

    return Transport(timeout=(2.0, 0.5), first_wait=0.01, longest_wait=2.0)
