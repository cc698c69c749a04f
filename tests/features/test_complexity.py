import dataclasses
import importlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from reference import complexity as reference
from solartrack import _core, features
from solartrack.features import COMPLEXITY_NAMES, complexity, complexity_batch

measures_memory = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm") or "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="reads /proc; the address sanitizer keeps what is freed",
)
DTYPES = [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64]


def assert_same(got, want, *, where=""):
    """Each value within 1e-9 relative, or 1e-12 absolute, of the definition."""
    close = np.isclose(got, want, rtol=1e-9, atol=1e-12, equal_nan=True)
    # Where the gradient varies by rounding alone, its higher moments are noise in any implementation.
    if want[1] <= 1e-12 * want[0]:
        close[5:7] = True
    differing = [(n, g, w) for n, g, w, ok in zip(COMPLEXITY_NAMES, got, want, close, strict=True) if not ok]
    assert not differing, f"{where} {differing}"


def assert_same_contours(products, b):
    want = reference.zero_contours(reference.smooth(np.asarray(b, dtype=np.float64)))
    assert len(products.contours) == len(want)
    for ours, theirs in zip(products.contours, want, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def magnetogram(seed=0, shape=(90, 110), quantum=0.1):
    """Two opposite spots on noise, rounded as an instrument does."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    field = rng.normal(0, 12, shape)
    for sign, fy, fx in ((1500, 0.45, 0.35), (-1200, 0.55, 0.6)):
        field += sign * np.exp(
            -((y - fy * shape[0]) ** 2 + (x - fx * shape[1]) ** 2) / (2 * (0.08 * shape[1]) ** 2)
        )
    return np.rint(field / quantum) * quantum


def load(shared, name, hdu):
    path = shared / "data" / "hmi" / name
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    with fits.open(path) as hdus:
        return np.array(hdus[int(hdu)].data)


def golden_rows(shared):
    for row in pd.read_csv(shared / "golden" / "complexity.csv").to_dict("records"):
        pixels = load(shared, row["file"], row["hdu"] if row["kind"] == "G" else 0)
        window = tuple(slice(*map(int, part.split(":"))) for part in row["slice"].split(","))
        yield row, pixels[window], 128.0 if row["kind"] == "png" else 0.0


def test_all_published_numbers_are_reproduced_to_1e_9(shared):
    rows = 0
    for row, patch, zero in golden_rows(shared):
        result = complexity(patch, zero=zero)
        for name, got in result.as_dict().items():
            tolerance = 1e-9 * abs(row[name]) if row[name] != 0 else 1e-12
            assert abs(got - row[name]) <= tolerance, (row["file"], row["slice"], name, got, row[name])
        rows += 1
    assert rows == 18


@pytest.mark.parametrize(
    ("name", "hdu", "window"),
    [
        ("hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits", 1, np.s_[0:377, 0:744]),
        ("hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits", 1, np.s_[100:301, 200:333]),
        ("hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits", 1, np.s_[7:370:3, 600:80:-2]),
        ("hmi.sharp_cea_720s.377.20110215_020000_TAI.Br.fits", 1, np.s_[31:150, 250:600]),
        ("hmi.sharp_cea_720s.7115.20170901_220000_TAI.Br.fits", 1, np.s_[10:440, 300:500]),
        ("hmi.M_720s.20110402_204800_TAI_0.fits", 0, np.s_[3:190, 17:256]),
        ("mdi.fd_m_96m_lev182.20101015_000000_TAI.data.fits", 1, np.s_[420:560, 350:710]),
    ],
)
def test_other_crops_of_real_magnetograms_equal_the_definition(shared, name, hdu, window):
    patch = load(shared, name, hdu)[window]
    assert_same(complexity(patch).as_array(), reference.complexity(patch))


def test_real_contours_are_scikit_images_point_for_point(shared):
    for _, patch, zero in golden_rows(shared):
        b = np.asarray(patch, dtype=np.float64) - zero
        products = complexity(patch, zero=zero, products=True).products
        assert_same_contours(products, b)
        np.testing.assert_array_equal(products.smoothed, reference.smooth(b))
        np.testing.assert_array_equal(products.gradient, reference.gradient_magnitude(b))


@given(
    arrays(np.int16, array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(-3, 3)),
    st.sampled_from([1.0, 0.1, 1000.0]),
)
@settings(max_examples=150, deadline=None)
def test_quantised_patches_full_of_exact_zeros_equal_the_definition(counts, quantum):
    b = counts * quantum
    result = complexity(b, products=True)
    assert_same(complexity(b).as_array(), reference.complexity(b))
    assert_same(result.as_array(), reference.complexity(b))
    assert_same_contours(result.products, b)


@pytest.mark.parametrize("seed", range(60))
def test_random_integer_patches_of_any_shape_equal_the_definition(seed):
    rng = np.random.default_rng(seed)
    b = rng.integers(-(1 + seed % 4), 2 + seed % 4, rng.integers(1, 80, 2))
    if seed % 3 == 0:  # mostly zero, as after a noise cut
        b *= rng.random(b.shape) < 0.1
    if seed % 3 == 1:  # a dead half: contours run along pixels that are exactly zero
        b[:, : b.shape[1] // 2] = 0
    assert_same(complexity(b.astype(np.int16)).as_array(), reference.complexity(b))


@pytest.mark.parametrize("quantum", [0.1, 1.0, 25.0])
@pytest.mark.parametrize("shape", [(90, 110), (33, 200), (160, 160), (129, 31)])
def test_simulated_regions_equal_the_definition(shape, quantum):
    b = magnetogram(seed=shape[0], shape=shape, quantum=quantum)
    result = complexity(b, products=True)
    want = reference.complexity(b)
    assert want[7] > 0
    assert_same(complexity(b).as_array(), want)
    assert_same(result.as_array(), want)
    assert_same_contours(result.products, b)


def test_an_outlier_does_not_blur_the_smoothing_after_it():
    b = magnetogram()
    b[2, 3] = 1e13
    assert_same(complexity(b).as_array(), reference.complexity(b))


def test_tiny_values_equal_the_definition():
    b = magnetogram() * 1e-300
    b[20:40] *= 1e-15
    np.testing.assert_array_equal(complexity(b).as_array()[7:10], reference.complexity(b)[7:10])


@pytest.mark.parametrize("scale", [1e-200, 1e-60, 3e38, 1e60])
@pytest.mark.parametrize("shape", [(37, 53), (200, 200)])
def test_gradients_that_no_float32_can_hold_equal_the_definition(scale, shape):
    field = scale * np.random.default_rng(1).normal(size=shape)
    np.testing.assert_allclose(
        features.complexity(field).as_array(), reference.complexity(field), rtol=1e-9, atol=0.0
    )


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (2, 2), (3, 2), (5, 9), (10, 10)]
)
def test_the_smallest_shapes_equal_the_definition(shape):
    for seed in range(5):
        b = np.random.default_rng(seed).integers(-4, 5, shape)
        assert_same(complexity(b).as_array(), reference.complexity(b), where=b.tolist())
        assert_same(complexity(b, products=True).as_array(), reference.complexity(b), where=b.tolist())


def test_hand_computed_patch_of_one_pixel():
    result = complexity([[-3.0]])
    assert (result.flux_positive, result.flux_negative) == (0.0, -3.0)
    assert (result.flux_signed, result.flux_unsigned) == (-3.0, 3.0)
    assert result.gradient_mean == 0.0  # Sobel does not see the pixel itself
    assert np.isnan(result.gradient_skewness) and np.isnan(result.gradient_kurtosis)
    assert result.nl_length == result.nl_curvature_mean == result.wavelet_energy_l1 == 0.0


def test_hand_computed_straight_neutral_line():
    b = np.where(np.arange(40) < 20, 100.0, -100.0) * np.ones((30, 1))
    result = complexity(b, products=True)
    # The mean over columns j-5 .. j+4 is 0 exactly at j = 20, so the line is that column.
    assert [c[:, 1].tolist() for c in result.products.contours] == [[20.0] * 30]
    assert result.nl_gradient_weighted_length == 30.0
    assert result.nl_fragments == 1.0
    np.testing.assert_array_equal(np.flatnonzero(result.products.neutral_line.any(axis=0)), [20])
    # 29 steps along the column have angle 0, and so has the jump from the end to the start.
    assert result.nl_curvature_min == result.nl_curvature_max == result.nl_bending_energy_max == 0.0
    # Columns 19 and 20 have |gx| = 8 x 100, 6 x 100 in the outer rows; 20 is on the line.
    assert result.products.gradient[10, 20] == 800.0
    assert result.flux_unsigned == 120000.0


def test_constant_gradient_has_no_skewness_or_kurtosis():
    zero = complexity(np.zeros((20, 30)))
    assert np.isnan(zero.gradient_skewness) and np.isnan(zero.gradient_kurtosis)
    others = [v for n, v in zero.as_dict().items() if n not in ("gradient_skewness", "gradient_kurtosis")]
    assert others == [0.0] * 27


def test_constant_field_equals_the_definition():
    b = np.full((45, 37), 17.3)
    assert_same(complexity(b).as_array(), reference.complexity(b))


def test_line_where_the_gradient_is_zero_makes_every_pixel_strong():
    # The quirk of the definition: the threshold is 20 % of 0, which every pixel reaches.
    b = np.zeros((40, 41))
    b[:, 0], b[:, -1] = 1.0, -1.0
    b[:, 5] = -1.0
    for patch in (b, b.T):
        want = reference.complexity(patch)
        result = complexity(patch, products=True)
        assert_same(result.as_array(), want)
        assert result.products.strong.sum() == want[7]


def test_masks_and_gradient_agree_with_the_definition():
    b = magnetogram(seed=5)
    products = complexity(b, products=True).products
    mask = reference.neutral_line_mask(b.shape, reference.zero_contours(reference.smooth(b)))
    magnitude = reference.gradient_magnitude(b)
    np.testing.assert_array_equal(products.neutral_line, mask != 0)
    np.testing.assert_array_equal(products.strong, reference.threshold(magnitude, mask))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_pixel_type_and_memory_order_gives_the_same_numbers(dtype):
    counts = np.clip(np.rint(magnetogram() / 12) + 128, 0, 255).astype(dtype)
    want = reference.complexity(counts.astype(np.float64) - 128)
    read_only = counts.copy()
    read_only.flags.writeable = False
    wide = np.zeros((2 * counts.shape[0], 3 * counts.shape[1]), dtype)
    wide[::2, ::3] = counts
    records = np.zeros(counts.shape, np.dtype([("tag", np.uint8), ("b", dtype)]))
    records["b"] = counts
    for patch in (
        counts,
        np.asfortranarray(counts),
        read_only,
        wide[::2, ::3],
        counts[::-1, ::-1].copy()[::-1, ::-1],
        counts.astype(counts.dtype.newbyteorder(">")),
        records["b"],
    ):
        before = patch.copy()
        assert_same(complexity(patch, zero=128).as_array(), want)
        np.testing.assert_array_equal(patch, before)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint32, np.float16])
def test_other_real_types_are_converted(dtype):
    b = np.random.default_rng(3).integers(0, 2, (25, 31)).astype(dtype)
    assert_same(complexity(b).as_array(), reference.complexity(b.astype(np.float64)))


def test_nan_is_refused_or_counted_as_zero():
    b = magnetogram()
    b[3, 4] = b[50, 60] = np.nan
    with pytest.raises(ValueError, match="patch contains NaN"):
        complexity(b)
    result = complexity(b, nan_policy="zero")
    assert result.nan_pixels == 2
    assert_same(result.as_array(), reference.complexity(np.nan_to_num(b)))
    assert complexity(np.nan_to_num(b)).nan_pixels == 0
    # A zero level does not apply to pixels that are not there.
    assert_same(
        complexity(b + 7, zero=7, nan_policy="zero").as_array(),
        complexity(np.nan_to_num(b + 7, nan=7) - 7).as_array(),
    )


@pytest.mark.parametrize("nan_policy", ["raise", "zero"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_pixels_are_refused(value, nan_policy):
    b = magnetogram()
    b[-1, -1] = value
    with pytest.raises(ValueError, match="patch contains infinite values"):
        complexity(b, nan_policy=nan_policy)


def test_pixels_that_would_overflow_are_refused():
    with pytest.raises(ValueError, match="at most 1e70"):
        complexity(np.full((5, 5), 1e200))


@pytest.mark.parametrize(
    ("patch", "error", "message"),
    [
        (np.zeros((0, 5)), ValueError, "no pixels"),
        (np.zeros(5), ValueError, r"2-D .* got shape \(5,\)"),
        (np.zeros((2, 3, 4)), ValueError, r"2-D .* got shape \(2, 3, 4\)"),
        (np.zeros((3, 3), complex), TypeError, "real numbers"),
        (np.array([["a", "b"]]), TypeError, "real numbers"),
        (np.ma.masked_less(magnetogram(), 0), TypeError, "masked array"),
    ],
)
def test_what_is_not_a_patch_is_refused(patch, error, message):
    with pytest.raises(error, match=message):
        complexity(patch)
    with pytest.raises(error, match=message):
        complexity_batch([magnetogram(), patch])


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="nan_policy must be 'raise' or 'zero', got 'ignore'"):
        complexity(np.zeros((3, 3)), nan_policy="ignore")
    with pytest.raises(ValueError, match="zero must be finite"):
        complexity(np.zeros((3, 3)), zero=np.nan)


def test_result_names_array_and_dict_agree():
    result = complexity(magnetogram())
    assert result.names == COMPLEXITY_NAMES == reference.FEATURES
    assert list(result.as_dict()) == list(COMPLEXITY_NAMES)
    np.testing.assert_array_equal(list(result.as_dict().values()), result.as_array())
    assert result.as_array().dtype == np.float64
    assert result.products is None
    with pytest.raises(AttributeError):
        result.nl_length = 1.0


def test_batch_rows_are_the_single_results_in_any_mixture_of_shapes_and_types():
    patches = [magnetogram(k, (20 + 13 * k, 90 - 7 * k)).astype(DTYPES[k % 4 + 2]) for k in range(12)]
    want = np.array([complexity(p).as_array() for p in patches])
    for threads in (1, 2, 7, None):
        np.testing.assert_array_equal(complexity_batch(patches, threads=threads), want)
    stack = np.stack([magnetogram(k) for k in range(5)])
    want = np.array([complexity(p).as_array() for p in stack])
    np.testing.assert_array_equal(complexity_batch(stack), want)
    np.testing.assert_array_equal(complexity_batch(iter(stack)), want)
    assert complexity_batch([]).shape == (0, 29)
    assert complexity_batch(np.zeros((0, 5, 5))).shape == (0, 29)


def test_batch_says_which_patch_is_bad():
    patches = [magnetogram(k) for k in range(4)]
    patches[2][0, 0] = np.nan
    with pytest.raises(ValueError, match="patch 2 contains NaN"):
        complexity_batch(patches, threads=2)
    assert complexity_batch(patches, threads=2, nan_policy="zero").shape == (4, 29)
    with pytest.raises(ValueError, match=r"got \(90, 110\); use complexity\(\) for one patch"):
        complexity_batch(patches[0])


def test_many_python_threads_get_the_single_thread_results():
    patches = [magnetogram(k, (60 + k, 150 - k)) for k in range(40)]
    want = [complexity(p).as_array() for p in patches]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            got = list(pool.map(lambda p: complexity(p).as_array(), patches))
            np.testing.assert_array_equal(got, want)
        batches = list(pool.map(lambda _: complexity_batch(patches, threads=2), range(8)))
    for batch in batches:
        np.testing.assert_array_equal(batch, want)


@measures_memory
@pytest.mark.parametrize("kind", ["magnetogram", "noise"])
def test_scratch_is_at_most_ten_patches_and_reused(kind):
    script = f"""
import os, resource, numpy as np
from solartrack.features import complexity
def most():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
rng = np.random.default_rng(0)
b = np.ascontiguousarray(rng.integers(-1, 2, (1024, 1024)).astype(float))
if {kind!r} == "magnetogram":
    b = np.cumsum(b, axis=0)
complexity(np.ones((40, 40)))
open("/proc/self/clear_refs", "w").write("5")  # most() starts afresh
before = resident()
complexity(b)
peak = most()
for _ in range(5):
    complexity(b)
b = b[:600, :600].copy()
complexity(b)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    complexity(b)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
print((peak - before) / (1024 * 1024 * 8), (most() - peak) / (1024 * 1024 * 8), faults)
"""
    fixed = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}  # what is freed goes back to the system
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=fixed
    )
    first, later, faults = map(float, run.stdout.split())
    assert first <= 10
    assert later <= 0.5
    assert faults < 100  # pages; fresh scratch for five patches takes 3500 at least


@measures_memory
def test_no_thread_keeps_the_scratch_of_a_large_image():
    script = """
import os, numpy as np
from solartrack.features import complexity_batch
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
coarse = np.random.default_rng(0).integers(-300, 300, (256, 256)).astype(np.int16)
large = np.kron(coarse, np.ones((12, 12), np.int16))
complexity_batch([coarse] * 8, threads=3)
before = resident()
complexity_batch([large] * 3, threads=3)
print((resident() - before) >> 20)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 3 * 40, "MiB; the three need about 150 each"


def test_features_are_reached_from_the_package():
    import solartrack

    assert solartrack.features is features


def test_the_record_has_the_features_in_the_order_of_the_compiled_module():
    names = [f.name for f in dataclasses.fields(features.Complexity)]
    assert tuple(names[:29]) == features.COMPLEXITY_NAMES and names[29:] == ["nan_pixels", "products"]


@pytest.mark.parametrize("name", ["complexity", "physical"])
def test_functions_hide_no_module_of_the_same_name(name):
    assert callable(getattr(features, name))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"solartrack.features.{name}")


def test_dir_lists_public_names_without_loading_the_archive():
    script = (
        "import sys; from solartrack import features; assert set(features.__all__) <= set(dir(features));"
        "assert 'solartrack.archive' not in sys.modules and 'scipy' not in sys.modules;"
        "features.extract; assert 'solartrack.archive.features' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def packed(b):
    """The same pixels as a field of packed records: misaligned, with strides of broken pixels."""
    records = np.zeros(b.shape, np.dtype([("flag", "u1"), ("value", b.dtype)]))
    records["value"] = b
    return records["value"]


def offset(b):
    """The same pixels one byte beside where they may lie, with strides of whole pixels."""
    out = np.frombuffer(b"\0" + b.tobytes(), np.uint8)[1:].view(b.dtype).reshape(b.shape)
    assert not out.flags.aligned
    return out


@pytest.mark.parametrize("lay", [packed, offset])
@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "f4", "f8"])
def test_misaligned_pixels_count_as_aligned_ones(lay, dtype):
    b = np.random.default_rng(3).integers(0, 200, (20, 30)).astype(dtype)
    want = complexity(b).as_array()
    np.testing.assert_array_equal(complexity(lay(b)).as_array(), want)
    np.testing.assert_array_equal(complexity_batch([lay(b), b], threads=2), [want, want])


@pytest.mark.parametrize(
    ("lay", "message"), [(packed, "with strides of whole pixels"), (offset, "must be aligned in memory")]
)
def test_kernels_themselves_refuse_misaligned_pixels(lay, message):
    b = lay(np.ones((4, 5)))
    with pytest.raises(ValueError, match=message):
        _core.complexity(b, 0.0, False, False)
    with pytest.raises(ValueError, match=message):
        _core.complexity_batch([b], 0.0, False, 1)
    with pytest.raises(ValueError, match=message):
        _core.context_crops(
            [b], np.array([[0.0, 0, 2, 2]]), 2.0, np.zeros(1, "f4"), 1.0, 0.0, True,
            np.zeros((1, 4, 4, 1), "f4"), 1,
        )  # fmt: skip
