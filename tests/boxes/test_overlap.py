import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reference import boxes as reference
from solartrack import _core, cython_boxes, metrics

KINDS = ["iou", "giou", "diou", "ciou", "coverage", "area_ratio"]
# Quarter pixels, so that laws such as symmetry hold to the last bit; empty and inverted ones included.
coordinates = st.integers(-400, 400).map(lambda v: v / 4)


def box_arrays(rows):
    return hnp.arrays(np.float64, (rows, 4), elements=coordinates)


def proper(boxes):
    boxes = boxes.copy()
    boxes[:, 2:] = boxes[:, :2] + np.abs(boxes[:, 2:]) + 1
    return boxes


@pytest.mark.parametrize("kind", KINDS)
@given(a=box_arrays(7), b=box_arrays(5))
def test_kernels_equal_the_plain_definition_for_all_pairs(kind, a, b):
    expected = [[getattr(reference, kind)(x, y) for y in b.tolist()] for x in a.tolist()]
    got = getattr(metrics, kind)(a, b, pairwise=False)
    assert got.shape == (7, 5)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(getattr(metrics, kind)(a[:5], b), np.diag(got[:5]))
    assert not np.isnan(got).any()


@pytest.mark.parametrize("kind", KINDS)
@given(a=box_arrays(1), b=box_arrays(1))
def test_cython_scalars_equal_the_batched_kernels(kind, a, b):
    assert getattr(cython_boxes, kind)(*a[0], *b[0]) == getattr(metrics, kind)(a, b)[0]


@pytest.mark.parametrize("columns", [0, 1, 31, 32, 33, 64, 100])
def test_matrix_is_right_for_every_length_around_the_strip(columns):
    rng = np.random.default_rng(columns)
    a, b = proper(rng.uniform(-90, 90, (3, 4))), proper(rng.uniform(-90, 90, (columns, 4)))
    expected = np.array([[reference.iou(x, y) for y in b] for x in a]).reshape(3, columns)
    np.testing.assert_allclose(metrics.iou(a, b, pairwise=False), expected, rtol=1e-13)


@given(a=box_arrays(6), b=box_arrays(6))
def test_symmetric_overlaps_do_not_depend_on_the_order(a, b):
    for kind in ("iou", "giou", "diou", "ciou"):
        f = getattr(metrics, kind)
        np.testing.assert_array_equal(f(a, b), f(b, a))


@given(a=box_arrays(6), b=box_arrays(6), shift=st.tuples(coordinates, coordinates), power=st.integers(-3, 3))
def test_overlaps_do_not_change_when_both_boxes_move_or_grow_together(a, b, shift, power):
    move = np.tile(shift, 2)
    for kind in KINDS:
        f = getattr(metrics, kind)
        np.testing.assert_allclose(f(a + move, b + move), f(a, b), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(f(a * 2.0**power, b * 2.0**power), f(a, b), rtol=1e-9, atol=1e-9)


@given(a=box_arrays(6), b=box_arrays(6))
def test_overlaps_stay_in_their_ranges_and_are_one_for_equal_boxes(a, b):
    a, b = proper(a), proper(b)
    iou, giou, diou = metrics.iou(a, b), metrics.giou(a, b), metrics.diou(a, b)
    assert ((iou >= 0) & (iou <= 1)).all()
    assert ((giou >= -1) & (giou <= iou + 1e-15)).all()
    assert ((diou >= -1) & (diou <= iou)).all()
    assert (metrics.ciou(a, b) <= diou).all()
    for kind in KINDS:
        np.testing.assert_allclose(getattr(metrics, kind)(a, a), 1.0)


def test_two_empty_boxes_overlap_by_zero():
    for kind in KINDS:
        assert getattr(metrics, kind)([1, 1, 1, 1], [1, 1, 1, 1])[0] == 0.0
    assert metrics.area_ratio([0, 0, 1, 1], [5, 5, 4, 9])[0] == np.inf


def test_coverage_is_the_share_of_the_second_box():
    assert metrics.coverage([0, 0, 2, 2], [0, 0, 4, 4])[0] == 0.25
    assert metrics.coverage([0, 0, 4, 4], [0, 0, 2, 2])[0] == 1.0
    assert metrics.area_ratio([0, 0, 4, 4], [0, 0, 2, 2])[0] == 4.0


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_result_does_not_depend_on_threads(threads):
    rng = np.random.default_rng(0)
    a = proper(rng.uniform(-90, 90, (700, 4)))
    for kind in KINDS:
        f = getattr(metrics, kind)
        np.testing.assert_array_equal(
            f(a, a, pairwise=False, threads=threads), f(a, a, pairwise=False, threads=1)
        )


def test_many_python_threads_may_call_at_once():
    rng = np.random.default_rng(1)
    a = proper(rng.uniform(-90, 90, (500, 4)))
    expected = metrics.iou(a, a, pairwise=False, threads=1)
    wrong = []

    def work():
        for _ in range(20):
            if not np.array_equal(metrics.iou(a, a, pairwise=False, threads=3), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.zeros((12, 5)), r"boxes must have shape \(n, 4\), got \(12, 5\); drop the score column first"),
        (np.zeros((2, 2, 4)), r"boxes must have shape \(n, 4\), got \(2, 2, 4\)"),
        (np.zeros(3), r"boxes must have shape \(n, 4\), got \(3,\)"),
        ([[0, 0, 1, 1], [0, 0, np.nan, 1]], r"boxes must be finite, got \[0.0, 0.0, nan, 1.0\] in row 1"),
        ([[0, 0, np.inf, 1]], "boxes must be finite"),
        ([[0, 0, 1, 1], [0, 0]], "boxes must have shape"),
    ],
)
def test_wrong_boxes_are_errors_that_say_what_came(a, message):
    with pytest.raises(ValueError, match=message):
        metrics.iou(a, a)


@pytest.mark.parametrize("a", [np.zeros((2, 4), complex), np.array([["a", "b", "c", "d"]]), [None] * 4])
def test_boxes_that_are_not_numbers_are_type_errors(a):
    with pytest.raises(TypeError, match="boxes must be real numbers"):
        metrics.iou(a, a)


def test_different_row_counts_are_an_error_that_names_the_matrix():
    with pytest.raises(ValueError, match="got 3 and 2; pass pairwise=False for all against all"):
        metrics.iou(np.zeros((3, 4)), np.zeros((2, 4)))


def test_no_boxes_give_an_empty_result():
    assert metrics.iou([], []).shape == (0,)
    assert metrics.iou(np.empty((0, 4)), np.zeros((3, 4)), pairwise=False).shape == (0, 3)


@pytest.mark.parametrize("layout", ["fortran", "reversed", "big-endian", "read-only", "integers"])
def test_any_memory_layout_is_accepted(layout):
    a = np.arange(24.0).reshape(6, 4)
    view = {
        "fortran": np.asfortranarray(a), "reversed": a[::-1][::-1], "big-endian": a.astype(">f8"),
        "read-only": a.copy(), "integers": a.astype(np.int16),
    }[layout]  # fmt: skip
    view.setflags(write=layout != "read-only")
    np.testing.assert_array_equal(metrics.iou(view, a), metrics.iou(a, a))


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two"])
def test_threads_must_be_a_positive_integer(threads):
    with pytest.raises(ValueError, match="threads must be a positive integer"):
        metrics.iou(np.zeros((1, 4)), np.zeros((1, 4)), pairwise=False, threads=threads)


def test_thread_count_comes_from_the_environment_variable(monkeypatch):
    monkeypatch.setenv("SOLARTRACK_NUM_THREADS", "many")
    with pytest.raises(ValueError, match="SOLARTRACK_NUM_THREADS must be a positive integer, got 'many'"):
        metrics.iou(np.zeros((1, 4)), np.zeros((1, 4)), pairwise=False)
    monkeypatch.setenv("SOLARTRACK_NUM_THREADS", "1")
    assert metrics.iou(np.zeros((1, 4)), np.zeros((1, 4)), pairwise=False)[0, 0] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="fork is for POSIX")
def test_kernels_work_in_a_forked_child_after_threads_were_used():
    # In a process of its own: forking the test runner would copy its threads' locks.
    import subprocess

    script = """
import os, sys, numpy as np
from solartrack import metrics
a = np.random.default_rng(0).uniform(0, 9, (800, 4)); a[:, 2:] += 9
expected = metrics.iou(a, a, pairwise=False, threads=4)
for _ in range(5):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if np.array_equal(metrics.iou(a, a, pairwise=False, threads=4), expected) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert np.array_equal(metrics.iou(a, a, pairwise=False, threads=4), expected)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)


def misaligned(values):
    """The same values, one byte beside where a float64 may lie."""
    raw = np.zeros(values.nbytes + 1, np.uint8)
    out = raw[1:].view(values.dtype).reshape(values.shape)
    out[:] = values
    assert not out.flags.aligned
    return out


def test_misaligned_boxes_count_as_they_do_aligned():
    boxes = np.array([[0.0, 0, 10, 10], [5, 5, 15, 15], [2, 2, 4, 4]])
    for pairwise in (True, False):
        np.testing.assert_array_equal(
            metrics.iou(misaligned(boxes), misaligned(boxes[::-1].copy()), pairwise=pairwise),
            metrics.iou(boxes, boxes[::-1], pairwise=pairwise),
        )


@pytest.mark.parametrize("kernel", ["overlap_pairs", "overlap_matrix"])
def test_kernels_themselves_refuse_misaligned_boxes(kernel):
    boxes = misaligned(np.array([[0.0, 0, 10, 10]]))
    threads = (1,) if kernel == "overlap_matrix" else ()
    with pytest.raises(ValueError, match="must be aligned in memory"):
        getattr(_core, kernel)(_core.Overlap.IOU, boxes, boxes, *threads)


@pytest.mark.parametrize("threads", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", KINDS)
def test_an_infinite_number_of_threads_is_refused(name, threads):
    with pytest.raises(ValueError, match="threads must be a positive integer"):
        getattr(metrics, name)([(0, 0, 1, 1)], [(0, 0, 1, 1)], pairwise=False, threads=threads)
