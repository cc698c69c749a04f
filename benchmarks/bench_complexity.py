"""The 29 features of one patch against the published pipeline, batches on one and two threads, and the
cost by size.

The patch is the field of HARP 377 (AR 11158), reflected to 600 x 600.
"""

import numpy as np
import pytest
from astropy.io import fits

from reference import complexity as reference
from solartrack import features


@pytest.fixture(scope="session")
def patch(shared):
    name = "hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits"
    with fits.open(shared / "data" / "hmi" / name) as hdus:
        b = np.array(hdus[1].data, dtype=np.float64)
    return np.ascontiguousarray(np.pad(b, ((111, 112), (0, 0)), mode="reflect")[:600, 72:672])


@pytest.fixture(scope="session")
def defined(patch):
    return reference.complexity(patch)


@pytest.mark.benchmark(group="complexity-600x600", min_rounds=20)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def bench_complexity(benchmark, patch, defined, dtype):
    b = patch.astype(dtype)
    want = defined if dtype == np.float64 else reference.complexity(b)
    result = benchmark(features.complexity, b)
    np.testing.assert_allclose(result.as_array(), want, rtol=1e-9)


@pytest.mark.benchmark(group="complexity-600x600", min_rounds=20)
def bench_complexity_with_products(benchmark, patch, defined):
    result = benchmark(features.complexity, patch, products=True)
    np.testing.assert_allclose(result.as_array(), defined, rtol=1e-9)
    assert len(result.products.contours) == 277


@pytest.mark.benchmark(group="complexity-600x600", min_rounds=20)
def bench_complexity_of_8_bit_counts(benchmark, patch):
    counts = np.clip(np.rint(patch / 12) + 128, 0, 255).astype(np.uint8)
    result = benchmark(features.complexity, counts, zero=128)
    np.testing.assert_allclose(result.as_array(), reference.complexity(counts.astype(float) - 128), rtol=1e-9)


@pytest.mark.peer
@pytest.mark.benchmark(group="complexity-600x600", min_rounds=3)
def bench_complexity_peer_published_pipeline(benchmark, patch, defined):
    np.testing.assert_array_equal(benchmark(reference.complexity, patch), defined)


@pytest.mark.benchmark(group="complexity-600x600", min_rounds=20)
def bench_complexity_floor_one_pass_over_the_pixels(benchmark, patch):
    assert benchmark(np.add.reduce, patch, axis=None) == pytest.approx(patch.sum())


@pytest.mark.benchmark(group="complexity-64-patches", min_rounds=5)
@pytest.mark.parametrize("threads", [1, 2])
def bench_complexity_batch(benchmark, patch, defined, threads):
    patches = [np.roll(patch, 7 * k, axis=1) for k in range(64)]
    result = benchmark(features.complexity_batch, patches, threads=threads)
    np.testing.assert_allclose(result[0], defined, rtol=1e-9)
    assert len(result) == 64


@pytest.mark.benchmark(group="complexity-by-size", min_rounds=3)
@pytest.mark.parametrize("side", [128, 256, 512, 1024, 2048, 4096])
def bench_complexity_by_size(benchmark, patch, side):
    b = np.pad(patch, ((0, max(0, side - 600)),) * 2, mode="symmetric")[:side, :side].copy()
    result = benchmark(features.complexity, b)
    assert result.flux_unsigned == pytest.approx(np.abs(b).sum(), rel=1e-9)
