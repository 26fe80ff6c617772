"""The routines of BLAS and LAPACK, called in place on arrays as they lie; misfits are refused, other threads go on."""

import ctypes
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phiscope.errors import PhiscopeError
from phiscope.linalg.lapack import add_square, check_status, multiply, routine

SIDES = st.sampled_from([1, 2, 5, 33])

LAYOUTS = st.sampled_from(
    ["rows", "columns", "part of rows", "part of columns", "every other", "backwards", "repeated"]
)
INTO = st.sampled_from(["rows", "columns", "part of rows", "part of columns"])
KINDS = st.sampled_from([np.float32, np.float64])


def laid_out(generator, shape, layout, kind=np.float64):
    """Random numbers of this shape that lie in memory in one of the ways people's arrays do."""
    height, width = shape
    wide = generator.standard_normal((height + 3, width + 4)).astype(kind)
    tall = generator.standard_normal((width + 4, height + 3)).astype(kind).T
    return {
        "rows": wide[:height, :width].copy(),
        "columns": tall[:height, :width].copy(order="F"),
        "part of rows": wide[2 : 2 + height, 1 : 1 + width],
        "part of columns": tall[2 : 2 + height, 1 : 1 + width],
        "every other": np.repeat(np.repeat(wide, 2, axis=0), 2, axis=1)[: 2 * height : 2, : 2 * width : 2],
        "backwards": wide[:height, :width][::-1, ::-1],
        "repeated": np.broadcast_to(wide[:1, :width], shape),
    }[layout]


@given(SIDES, SIDES, SIDES, LAYOUTS, LAYOUTS, INTO, KINDS)
@settings(max_examples=500, deadline=None)
def test_product_is_the_sum_over_the_inner_index(m, k, n, first, second, into, kind):
    generator = np.random.default_rng(m + 7 * k + 31 * n)
    left, right = laid_out(generator, (m, k), first, kind), laid_out(generator, (k, n), second, kind)
    result = laid_out(generator, (m, n), into, kind)
    whole = result if result.base is None else result.base
    before, start = whole.copy(), result.copy()
    # The naive twin: sums of products in one loop, no BLAS.
    expected = 0.5 * np.einsum("ik,kj->ij", left, right, optimize=False) - 2.0 * result
    multiply(left, right, result, scale=0.5, kept=-2.0)
    np.testing.assert_allclose(result, expected, atol=500 * np.finfo(kind).eps)
    # What lies around the result is not touched.
    result[...] = start
    np.testing.assert_array_equal(whole, before)
    vector, found = np.array(right[:, 0]), np.full(m, np.nan, dtype=kind)
    multiply(left, vector, found)
    np.testing.assert_allclose(found, np.einsum("ik,k->i", left, vector, optimize=False), atol=500 * np.finfo(kind).eps)


@given(SIDES, SIDES, LAYOUTS, st.booleans(), KINDS)
@settings(max_examples=200, deadline=None)
def test_square_fills_one_triangle(n, p, layout, lower, kind):
    generator = np.random.default_rng(n + 7 * p)
    rows = laid_out(generator, (n, p), layout, kind)
    result = laid_out(generator, (p, p), "part of columns", kind)
    triangle = (np.tril if lower else np.triu)(np.ones((p, p), dtype=bool))
    expected = np.where(triangle, 3.0 * np.einsum("ki,kj->ij", rows, rows, optimize=False) + 0.5 * result, result)
    add_square(result, rows, scale=3.0, kept=0.5, lower=lower)
    np.testing.assert_allclose(result, expected, atol=2000 * np.finfo(kind).eps)


def test_what_was_in_the_result_does_not_count_unless_kept():
    result = np.full((2, 2), np.nan, order="F")
    multiply(np.eye(2), np.eye(2), result)
    assert np.array_equal(result, np.eye(2))
    result[...] = np.nan
    add_square(result, np.eye(2), kept=0.0)
    assert np.array_equal(np.triu(result), np.eye(2))


def test_numbers_of_another_type_are_read_as_what_they_are():
    found = np.empty((2, 2), order="F")
    multiply(np.array([[1, 2], [3, 4]], dtype=np.float32), np.array([[1, 0], [0, 1]]), found)
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    add_square(found, np.array([[1, 2]], dtype=np.int32), kept=0.0)
    assert np.triu(found).tolist() == [[1.0, 2.0], [0.0, 4.0]]
    swapped = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=">f8")
    multiply(swapped, np.eye(2), found)
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("left", "right", "result"),
    [
        (np.eye(3), np.eye(4), np.empty((3, 4))),
        (np.eye(3), np.eye(3), np.empty((3, 4))),
        (np.eye(3), np.ones(4), np.empty(3)),
        (np.eye(3), np.ones(3), np.empty(4)),
        (np.eye(3), np.ones(3), np.empty(6)[::2]),
        (np.eye(3), np.eye(3), np.empty((6, 6))[::2, ::2]),
        (np.eye(3), np.eye(3), np.empty((3, 3), dtype=np.int64)),
        (np.eye(3), np.eye(3), np.broadcast_to(np.empty(3), (3, 3))),
    ],
)
def test_what_would_be_read_or_written_beyond_its_end_is_refused(left, right, result):
    with pytest.raises(PhiscopeError, match="arrays do not fit"):
        multiply(left, right, result)


@pytest.mark.parametrize("result", [np.zeros((3, 3), order="F"), np.zeros((4, 4)), np.zeros((4, 5), order="F")])
def test_a_triangle_that_does_not_fit_is_refused(result):
    with pytest.raises(PhiscopeError, match="arrays do not fit"):
        add_square(result, np.eye(4)[:, :4] if result.shape != (4, 4) else np.eye(4))


def test_parts_of_larger_arrays_are_not_copied():
    large = np.random.default_rng(0).standard_normal((1000, 1200))
    result = np.empty((900, 50), order="F")
    peaks = []
    for left in (large[:900, 100:1100], large.T[:900, :1000]):
        tracemalloc.start()
        multiply(left, large[:1000, :50], result)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 1e5
    # Control: numbers that lie apart have to be copied.
    tracemalloc.start()
    multiply(large[:600, ::2], large[:600, :50], np.empty((600, 50)))
    assert tracemalloc.get_traced_memory()[1] > 600 * 600 * 8
    tracemalloc.stop()


def test_a_status_that_is_not_zero_is_an_error():
    check_status("dsytrd", ctypes.c_int(0), (7, 7))
    with pytest.raises(PhiscopeError, match="dsytrd ended with status 3 on a matrix of 7 x 7"):
        check_status("dsytrd", ctypes.c_int(3), (7, 7))


def test_a_routine_of_another_shape_is_refused():
    with pytest.raises(PhiscopeError, match="which phiscope does not know"):
        routine("dsyevr", "char *, char *, char *, int *", 20)
