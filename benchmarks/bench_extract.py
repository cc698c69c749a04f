"""Features of an archive of Rice-compressed patches on two processes, beside only reading it the same way.

The row `extract` should take at most 1.3 times as long as the row `read`. Both are whole programs,
with their start. Under --benchmark-disable the archive is small.
"""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

from solartrack import features, images

WORKERS = 2
READ = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from solartrack import images

def read(path):
    return images.read_pixels(path).size

if __name__ == "__main__":
    files = images.find_images(sys.argv[1])
    with ProcessPoolExecutor(int(sys.argv[2]), mp_context=get_context("spawn")) as pool:
        print(sum(pool.map(read, files, chunksize=16)))
"""
EXTRACT = """
import sys
from solartrack import features

if __name__ == "__main__":
    made = features.extract(sys.argv[1], sys.argv[3], workers=int(sys.argv[2]))
    print(made.rows, made.failed, made.reused)
"""


@pytest.fixture(scope="module")
def archive(shared, tmp_path_factory, request):
    """Names of 2000 patches: HARP 377 with 40 sorts of noise."""
    count, kinds = (24, 4) if request.config.getoption("benchmark_disable") else (2000, 40)
    source = shared / "data/hmi/hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits"
    b = images.read_pixels(source)
    b = np.pad(b, ((111, 112), (0, 0)), mode="reflect")[:600, 72:672]
    with fits.open(source) as hdus:
        header = hdus[1].header.copy()
    header.remove("R_VALUE", ignore_missing=True)  # unparsable
    folder = tmp_path_factory.mktemp("archive")
    random = np.random.default_rng(0)
    for k in range(count):
        path = folder / f"patch_{k}.fits"
        if k >= kinds:
            os.link(folder / f"patch_{k % kinds}.fits", path)
            continue
        counts = np.round(10 * (b + random.normal(0, 3, b.shape))).astype(np.int32)
        hdu = fits.CompImageHDU(counts, header, compression_type="RICE_1")
        hdu.header["BSCALE"] = 0.1
        hdu.writeto(path, output_verify="silentfix")
    return folder


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "read.py").write_text(READ)
    (folder / "extract.py").write_text(EXTRACT)
    return folder


def run(*command):
    return subprocess.run(
        [sys.executable, *map(str, command)], check=True, capture_output=True, text=True
    ).stdout.split()


@pytest.mark.peer
@pytest.mark.benchmark(group="extract-archive")
def test_read(benchmark, archive, scripts):
    count = len(images.find_images(archive))
    found = benchmark.pedantic(run, (scripts / "read.py", archive, WORKERS), rounds=2)
    assert found == [str(count * 600 * 600)]


@pytest.mark.benchmark(group="extract-archive")
def test_extract(benchmark, archive, scripts, tmp_path):
    files = images.find_images(archive)
    outputs = iter(range(9))

    def setup():
        return (scripts / "extract.py", archive, WORKERS, tmp_path / str(next(outputs))), {}

    found = benchmark.pedantic(run, setup=setup, rounds=2)
    assert found == [str(len(files)), "0", "0"]
    table = pd.read_parquet(tmp_path / "0/features")
    assert table["file"].tolist() == [path.as_posix() for path in files]
    values = table[list(features.COMPLEXITY_NAMES)].to_numpy()
    for k in (0, len(files) - 1):
        assert np.array_equal(values[k], features.complexity(files[k]).as_array())
