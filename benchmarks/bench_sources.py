"""Fetching many small files from a server on this machine, beside only requesting and writing them.

The difference between the rows `fetch` and `requests` is what safety costs: content decoded, sha256, files
and journal flushed to the disk. The row `rerun` is a second fetch of the same store. The group `jp2` compares
the check of a JP2 with decoding all of it.
"""

import http.server
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from PIL import Image

from solartrack.sources import Transport, fetch, plan_table
from solartrack.sources._checks import CHECKS

requests = pytest.importorskip("requests")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # head and body in one packet: the second would wait for the first

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def plan(tmp_path_factory, request):
    """A plan of PNG files on a server."""
    count = 20 if request.config.getoption("benchmark_disable") else 500
    folder = tmp_path_factory.mktemp("served")
    for n in range(count):
        pixels = np.random.default_rng(n).integers(0, 255, (64, 64)).astype("u1")
        Image.fromarray(pixels).save(folder / f"{n}.png")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield plan_table(
        {"source": "images", "id": str(n), "url": f"{url}/{n}.png", "name": f"{n}.png", "check": "image"}
        for n in range(count)
    )
    server.shutdown()
    thread.join()
    server.server_close()


def _empty(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return (), {}


@pytest.mark.benchmark(group="fetch")
def bench_fetch(benchmark, plan, tmp_path):
    made = benchmark.pedantic(
        lambda: fetch(plan, tmp_path / "store", transport=Transport()),
        setup=lambda: _empty(tmp_path / "store"),
        rounds=3,
    )
    assert len(made.files()) == len(plan)


@pytest.mark.peer
@pytest.mark.benchmark(group="fetch")
def bench_requests(benchmark, plan, tmp_path):
    def peer():
        with requests.Session() as session, ThreadPoolExecutor(4) as pool:
            for name, answer in zip(plan["name"], pool.map(session.get, plan["url"]), strict=True):
                (tmp_path / "store" / name).write_bytes(answer.content)
        return len(list((tmp_path / "store").iterdir()))

    assert benchmark.pedantic(peer, setup=lambda: _empty(tmp_path / "store"), rounds=3) == len(plan)


@pytest.mark.benchmark(group="fetch")
def bench_rerun(benchmark, plan, tmp_path):
    fetch(plan, tmp_path / "store")
    made = benchmark(lambda: fetch(plan.assign(url="http://127.0.0.1:9/nothing"), tmp_path / "store"))
    assert len(made.files()) == len(plan)


@pytest.mark.benchmark(group="jp2")
@pytest.mark.parametrize("reduce", [3, 0], ids=["check", "all pixels"])
def bench_jp2(benchmark, shared, reduce):
    path = shared / "data/jp2/2015_12_21__00_10_34_34__SDO_AIA_AIA_171.jp2"
    if reduce:
        benchmark(CHECKS["jp2"], path)
        return

    def peer():
        with Image.open(path) as image:
            return np.asarray(image).shape

    assert benchmark(peer) == (4096, 4096)
