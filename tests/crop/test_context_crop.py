import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import crop as reference
from solartrack.crop import context_crop

MEAN = (104.0, 117.0, 123.0)
RNG = np.random.default_rng(7269)
NOISE = RNG.integers(0, 256, (90, 130), dtype=np.uint8)

# In and around the image, with whole, half and odd coordinates; canvases stay below 1000 pixels.
coordinate = st.one_of(
    st.integers(-80, 220).map(float), st.integers(-160, 440).map(lambda v: v / 2), st.floats(-80, 220)
)
boxes = st.tuples(coordinate, coordinate, coordinate, coordinate)
sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


def image_of(dtype, shape=(90, 130), rng=RNG):
    if np.dtype(dtype).kind == "f":
        return rng.normal(0.0, 500.0, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min // 2, info.max // 2, shape).astype(dtype)


def assert_close(crop, expected, image):
    """Equal to 1e-4 of the range, which leaves room for cv2's float32 positions."""
    span = float(np.nanmax(image)) - float(np.nanmin(image)) + float(np.nanmax(np.abs(image)))
    np.testing.assert_allclose(crop, expected, rtol=0, atol=1e-4 * span)


# --- parts of images


@given(box=boxes, margin=st.integers(0, 20))
@settings(max_examples=400, deadline=None)
def test_a_crop_from_a_part_with_shifted_boxes_is_that_from_the_whole_image(box, margin):
    x0, y0, x1, y1 = box
    width, height = max(1.0, 2 * (x1 - x0)), max(1.0, 2 * (y1 - y0))  # of the window
    left, top = max(0, int((x0 + x1 - width) // 2) - margin), max(0, int((y0 + y1 - height) // 2) - margin)
    right, bottom = int((x0 + x1 + width) // 2) + 1 + margin, int((y0 + y1 + height) // 2) + 1 + margin
    part = NOISE[top : max(bottom, 0), left : max(right, 0)]
    if part.size == 0:  # nothing of the image is in the window
        return
    shifted = np.subtract(box, [left, top, left, top])
    np.testing.assert_array_equal(context_crop(part, shifted, size=16), context_crop(NOISE, box, size=16))


# --- parity with the padded canvas and cv2.resize


@given(box=boxes, size=sizes)
@settings(max_examples=400, deadline=None)
def test_crop_is_within_one_count_of_opencv_for_any_box(box, size):
    crop = context_crop(NOISE, box, size=size)
    expected = reference.context_crop(NOISE, box, size)
    assert crop.shape == (1, size[1], size[0], 3)
    assert np.abs(crop[0] - expected).max() <= 1.0


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32", "float64"])
@given(box=boxes, size=sizes, fill=st.sampled_from([0.0, -3.5, 200.0]))
@settings(max_examples=100, deadline=None)
def test_wide_pixels_match_the_float_canvas_for_any_box(dtype, box, size, fill):
    image = image_of(dtype, rng=np.random.default_rng(3))
    crop = context_crop(image, box, size=size, fill=fill, mean=0.0, channels=1)
    expected = reference.context_crop(image, box, size, fill=fill, mean=0.0, channels=1)
    assert_close(crop[0], expected, image)


@pytest.mark.parametrize(
    "box",
    [
        (-10, -10, 30, 20),
        (110, -10, 140, 20),
        (-10, 70, 30, 100),
        (110, 70, 140, 100),
        (0, 0, 130, 90),
        (60, 40, 60, 40),
        (60, 40, 50, 30),
        (129.9, 89.9, 130, 90),
        (-9.9, -9.9, 9.9, 9.9),
    ],
)
def test_crop_matches_opencv_at_corners_edges_and_for_empty_boxes(box):
    crop = context_crop(NOISE, [box])[0]
    assert np.abs(crop - reference.context_crop(NOISE, box)).max() <= 1.0


@given(box=boxes, context=st.floats(0.1, 4.0))
@settings(max_examples=100, deadline=None)
def test_any_context_factor_matches_opencv(box, context):
    crop = context_crop(NOISE, box, size=31, context=context)[0]
    assert np.abs(crop - reference.context_crop(NOISE, box, (31, 31), context)).max() <= 1.0


@given(shape=st.tuples(st.integers(1, 4), st.integers(1, 4)), box=st.tuples(*[st.floats(-6, 8)] * 4))
@settings(max_examples=200, deadline=None)
def test_images_of_a_few_pixels_match_opencv(shape, box):
    image = NOISE[: shape[0], : shape[1]]
    crop = context_crop(image, box, size=(9, 7))[0]
    assert np.abs(crop - reference.context_crop(image, box, (9, 7))).max() <= 1.0


def test_published_box_in_a_full_size_image_matches_opencv():
    image = RNG.integers(0, 256, (2048, 2048), dtype=np.uint8)
    for box in [(700.3, 800.2, 1300.3, 1000.2), (1900.0, 1700.0, 2100.0, 2047.0), (-200.0, 5.0, 400.0, 90.0)]:
        crop = context_crop(image, box)[0]
        assert np.abs(crop - reference.context_crop(image, box)).max() <= 1.0


# --- what the crop shows


def test_whole_window_at_its_own_size_is_copied_exactly():
    crop = context_crop(NOISE, (30, 20, 50, 40), size=40, channels=1, mean=0.0)[0, ..., 0]
    np.testing.assert_array_equal(crop, NOISE[10:50, 20:60])


def test_box_stays_centred_and_what_lies_beyond_the_frame_is_fill():
    image = np.full((50, 50), 9, np.uint8)
    crop = context_crop(image, (-10, -10, 10, 10), size=40, channels=1, mean=0.0, fill=3.0)[0, ..., 0]
    assert (crop[20:, 20:] == 9).all()
    assert (crop[:20] == 3).all()
    assert (crop[:, :20] == 3).all()


@pytest.mark.parametrize("box", [(-50, 5, -40, 15), (5, -90, 15, -60), (180, 5, 190, 15), (5, 400, 15, 405)])
def test_window_that_misses_the_image_is_all_fill(box):
    assert (context_crop(NOISE, box, size=8, channels=1, mean=0.0, fill=5.0) == 5.0).all()


def test_huge_and_far_boxes_neither_overflow_nor_read_outside():
    box = np.array(
        [[-1e9, -1e9, 1e9, 1e9], [-1e300, 0, 1e300, 10], [1e308] * 4, [-1e308, -1e308, 1e308, 1e308]]
    )
    crop = context_crop(NOISE, box, size=16, channels=1, mean=0.0, fill=1.0)
    assert (crop == 1.0).all()  # the image is a speck between the sampling points
    assert context_crop(NOISE, (-1e9, -1e9, 1e9 + 65, 1e9 + 65), size=1, channels=1, mean=0.0).shape == (
        1,
        1,
        1,
        1,
    )


def test_channels_are_the_grey_value_less_each_mean_times_scale():
    box = (20, 20, 60, 50)
    grey = context_crop(NOISE, box, channels=1, mean=0.0)
    crop = context_crop(NOISE, box, mean=MEAN, scale=0.5)
    np.testing.assert_allclose(crop, (grey - np.array(MEAN, np.float32)) * 0.5, rtol=1e-6)
    assert crop.dtype == np.float32


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_layouts_hold_the_same_numbers(channels):
    mean = np.arange(channels) * 10.0
    box = [(20, 20, 60, 50), (-5, 3, 30, 99)]
    last = context_crop(NOISE, box, size=(33, 21), channels=channels, mean=mean)
    first = context_crop(NOISE, box, size=(33, 21), channels=channels, mean=mean, layout="NCHW")
    assert last.shape == (2, 21, 33, channels)
    assert first.shape == (2, channels, 21, 33)
    np.testing.assert_array_equal(first, np.moveaxis(last, 3, 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite_count_as_fill_and_do_not_leak(dtype, bad):
    image = image_of(dtype)
    image[30:35, 40:47] = bad
    filled = np.where(np.isfinite(image), image, np.array(2.0, dtype))
    box = [(20, 20, 60, 50), (42, 32, 45, 33), (44, 33, 44, 33)]
    crop = context_crop(image, box, fill=2.0)
    np.testing.assert_array_equal(crop, context_crop(filled, box, fill=2.0))
    assert np.isfinite(crop).all()


def test_doubles_beyond_float32_count_as_fill():
    image = np.full((9, 9), 1e300)
    assert (context_crop(image, (2, 2, 6, 6), size=5, mean=0.0, fill=4.0) == 4.0).all()


# --- images: memory order, types, stacks


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_any_memory_order_gives_the_same_crop_without_a_copy(dtype):
    image = image_of(dtype)
    box = [(20, 20, 60, 50), (-30, 60, 20, 99), (100, -5, 129, 12)]
    expected = context_crop(image, box)
    wide = np.zeros((180, 390), dtype)
    wide[::2, ::3] = image
    mirrored = np.ascontiguousarray(image[::-1, ::-1])
    frozen = image.copy()
    frozen.flags.writeable = False
    for view in (np.asfortranarray(image), wide[::2, ::3], mirrored[::-1, ::-1], frozen):
        np.testing.assert_array_equal(context_crop(view, box), expected)
    same_row = np.broadcast_to(image[:1], image.shape)
    np.testing.assert_array_equal(context_crop(same_row, box), context_crop(same_row.copy(), box))


@given(box=boxes, width=st.integers(1, 300), columns=st.integers(1, 130))
@settings(max_examples=200, deadline=None)
def test_bytes_side_by_side_give_the_bits_of_bytes_apart(box, width, columns):
    """The vector path for contiguous 8-bit rows against the general one, enlarging and reducing."""
    image = NOISE[:, :columns]
    apart = np.asfortranarray(image)
    np.testing.assert_array_equal(
        context_crop(image, box, size=(width, 5), fill=7.0),
        context_crop(apart, box, size=(width, 5), fill=7.0),
    )


def test_other_byte_orders_and_unaligned_pixels_are_read_right():
    image = image_of("int16")
    box = (20, 20, 60, 50)
    expected = context_crop(image, box)
    np.testing.assert_array_equal(context_crop(image.astype(">i2"), box), expected)
    record = np.zeros(image.shape, np.dtype([("flag", "u1"), ("value", "i2")]))
    record["value"] = image
    np.testing.assert_array_equal(context_crop(record["value"], box), expected)


def test_bool_and_wide_integers_are_converted():
    image = NOISE > 128
    box = (20, 20, 60, 50)
    np.testing.assert_array_equal(context_crop(image, box), context_crop(image.astype(np.uint8), box))
    np.testing.assert_array_equal(
        context_crop(NOISE.astype(np.int64), box), context_crop(NOISE.astype(np.float64), box)
    )


def test_stack_and_list_take_one_box_for_each_image():
    stack = RNG.integers(0, 256, (3, 40, 50), dtype=np.uint8)
    box = np.array([(5, 5, 20, 20), (30, 10, 60, 30), (-5, 20, 10, 45)], float)
    expected = np.concatenate([context_crop(i, b, size=20) for i, b in zip(stack, box, strict=True)])
    np.testing.assert_array_equal(context_crop(stack, box, size=20), expected)
    np.testing.assert_array_equal(context_crop(list(stack), box, size=20), expected)
    mixed = [stack[0], stack[1].astype(np.float32), np.pad(stack[2], ((0, 9), (0, 0))).astype(np.int16)]
    crop = context_crop(tuple(mixed), box, size=20, threads=2)
    np.testing.assert_allclose(crop[:2], expected[:2], rtol=1e-6)
    np.testing.assert_array_equal(crop[2], context_crop(mixed[2], box[2], size=20)[0])


# --- out, threads, memory


def test_out_is_filled_and_returned():
    out = np.full((1, 3, 20, 30), np.nan, np.float32)
    crop = context_crop(NOISE, (20, 20, 60, 50), size=(30, 20), layout="NCHW", out=out)
    assert crop is out
    np.testing.assert_array_equal(out, context_crop(NOISE, (20, 20, 60, 50), size=(30, 20), layout="NCHW"))


def test_every_number_of_threads_gives_the_same_bits():
    box = RNG.uniform(-20, 120, (40, 4))
    expected = context_crop(NOISE, box, size=50, threads=1)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(context_crop(NOISE, box, size=50, threads=threads), expected)


def test_calls_from_many_threads_at_once_agree():
    box = RNG.uniform(-20, 120, (8, 4))
    expected = context_crop(NOISE, box, size=50)
    with ThreadPoolExecutor(8) as pool:
        for crop in pool.map(lambda _: context_crop(NOISE, box, size=50, threads=2), range(100)):
            np.testing.assert_array_equal(crop, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_works_in_a_forked_child():
    code = """
        import multiprocessing
        import numpy as np
        from solartrack.crop import context_crop

        image = np.arange(10000, dtype=np.uint16).reshape(100, 100)
        boxes = np.tile([10.0, 20.0, 50.0, 60.0], (16, 1))

        def work(_):
            return float(context_crop(image, boxes, size=32, threads=4).sum())

        if __name__ == "__main__":
            here = work(0)  # the pool has threads before the fork
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert pool.map(work, range(8)) == [here] * 8
    """
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        check=True,
        timeout=60,
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_process_never_holds_a_canvas():
    code = """
        import numpy as np
        from solartrack.crop import context_crop

        def most():  # not ru_maxrss, which starts with that of the process that started this one
            (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
            return int(line.split()[1])

        image = np.ones((50, 40000), np.uint8)
        out = context_crop(image, (10, 10, 20, 20))
        before = most()
        context_crop(image, (100, -15000, 30100, 15000), out=out)
        grown = most() - before
        assert grown < 20_000, f"{grown} kB"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


# --- bad input


def test_no_boxes_give_no_crops():
    assert context_crop(NOISE, []).shape == (0, 227, 227, 3)
    assert context_crop(NOISE, np.empty((0, 4)), size=(5, 4), layout="NCHW").shape == (0, 3, 4, 5)
    assert context_crop([], []).shape == (0, 227, 227, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"image": np.zeros((3, 8, 8))},
            ValueError,
            r"stack of 3, needs one box for each image, got 1 boxes",
        ),
        (
            {"image": np.zeros((8, 9, 3)), "boxes": [(0, 0, 4, 4)] * 8},
            ValueError,
            r"shape \(8, 9, 3\) looks like one image with its colours last; pass one channel",
        ),
        (
            {"image": np.zeros((8, 9, 4)), "boxes": [(0, 0, 4, 4)] * 8},
            ValueError,
            r"shape \(8, 9, 4\) looks like",
        ),
        ({"image": [NOISE, NOISE]}, ValueError, "list of 2 images needs one box for each image, got 1"),
        ({"image": [NOISE[0]]}, ValueError, r"image\[0\] must be 2-D"),
        ({"image": [[1, 2], [3, 4]], "boxes": [(0, 0, 1, 1)] * 2}, ValueError, r"image\[0\] must be 2-D"),
        ({"image": np.zeros(5)}, ValueError, "image must be 2-D"),
        ({"image": 3.0}, ValueError, "image must be 2-D"),
        ({"image": np.zeros((0, 5))}, ValueError, "no pixels"),
        ({"image": NOISE.astype(complex)}, TypeError, "real numbers, got dtype complex128"),
        ({"image": NOISE.astype(object)}, TypeError, "real numbers, got dtype object"),
        ({"image": np.ma.masked_array(NOISE)}, TypeError, "masked array"),
        ({"boxes": (np.nan, 0, 1, 1)}, ValueError, "finite"),
        ({"boxes": (0, 0, np.inf, 1)}, ValueError, "finite"),
        ({"boxes": [(0, 0, 1, 1, 0.9)]}, ValueError, "drop the score column"),
        ({"boxes": None}, TypeError, "real numbers"),
        ({"size": 0}, ValueError, "size must be a positive integer"),
        ({"size": (227, -1)}, ValueError, "size must be a positive integer"),
        ({"size": np.inf}, ValueError, "size must be a positive integer up to 32768, got inf"),
        ({"threads": np.inf, "boxes": [(0, 0, 4, 4)] * 2}, ValueError, "threads must be a positive integer"),
        ({"size": 22.5}, ValueError, "size must be a positive integer"),
        ({"size": (1, 2, 3)}, ValueError, r"\(width, height\)"),
        ({"size": 10**9}, ValueError, "up to 32768"),
        ({"channels": 0}, ValueError, "channels must be a positive integer"),
        ({"channels": True}, ValueError, "channels must be a positive integer"),
        ({"channels": 1}, ValueError, "each of the 1 channels, got 3"),
        ({"mean": (1.0, 2.0)}, ValueError, "each of the 3 channels, got 2"),
        ({"mean": (1.0, 2.0, np.nan)}, ValueError, "mean must be a finite number"),
        ({"mean": "123"}, ValueError, "mean must be a finite number"),
        ({"mean": None}, ValueError, "mean must be a finite number"),
        ({"scale": 10**400}, ValueError, "scale must be a finite number"),
        ({"scale": np.inf}, ValueError, "scale must be a finite number"),
        ({"fill": np.nan}, ValueError, "fill must be a finite number"),
        ({"fill": 1e39}, ValueError, "fill must be a finite number"),
        ({"context": 0.0}, ValueError, "context must be positive"),
        ({"context": np.nan}, ValueError, "context must be a finite number"),
        ({"layout": "nhwc"}, ValueError, "layout must be 'NHWC' or 'NCHW', got 'nhwc'"),
        ({"layout": []}, ValueError, "layout must be"),
        ({"threads": 0}, ValueError, "threads must be a positive integer"),
        ({"out": [1.0]}, TypeError, "out must be a float32 array, got list"),
        ({"out": np.empty((1, 227, 227, 3))}, TypeError, "out must be a float32 array, got float64"),
        ({"out": np.empty((1, 227, 227, 3), ">f4")}, TypeError, "out must be a float32 array, got >f4"),
        (
            {"out": np.empty((1, 3, 227, 227), np.float32)},
            ValueError,
            r"out must have shape \(1, 227, 227, 3\)",
        ),
        ({"out": np.empty((1, 227, 227, 6), np.float32)[..., ::2]}, ValueError, "C-contiguous"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    call = {"image": NOISE, "boxes": (10, 10, 20, 20), **arguments}
    with pytest.raises(error, match=message):
        context_crop(call.pop("image"), call.pop("boxes"), **call)


def test_read_only_or_overlapping_out_is_refused():
    out = np.zeros((1, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match="overlap"):
        context_crop(out[0, :, :, 0], (1, 1, 3, 3), size=8, channels=1, mean=0.0, out=out)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        context_crop(NOISE, (1, 1, 3, 3), size=8, channels=1, mean=0.0, out=out)


@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "f4", "f8"])
def test_misaligned_pixels_are_cropped_as_aligned_ones(dtype):
    pixels = np.arange(30 * 40).reshape(30, 40).astype(dtype)
    packed = np.zeros((30, 40), np.dtype([("flag", "u1"), ("value", dtype)]))
    packed["value"] = pixels
    assert not packed["value"].flags.aligned
    box = [10.0, 8, 22, 20]
    np.testing.assert_array_equal(
        context_crop(packed["value"], box, size=16), context_crop(pixels, box, size=16)
    )
