"""Products, triangles, sums by group: the same as NumPy's or the definition's, and NumPy's own threads stay asleep."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phiscope.linalg import products as module
from phiscope.linalg.products import SMALL, add_outer, add_to_groups, frobenius_norm, mirror, product, row_products
from waiting import longest_wait

SIDES = st.sampled_from([1, 2, 7, 40, 130])


def _laid_out(generator: np.random.Generator, shape: tuple[int, int], layout: str) -> np.ndarray:
    if layout == "C":
        return generator.standard_normal(shape)
    if layout == "F":
        return generator.standard_normal(shape[::-1]).T
    return generator.standard_normal((2 * shape[0], 3 * shape[1]))[::2, ::3]


@given(SIDES, SIDES, SIDES, st.sampled_from("CFS"), st.sampled_from("CFS"), st.integers(0, 99))
@example(7, 40, 1, "S", "C", 0)
@settings(max_examples=150, deadline=None)
def test_products_are_sums_over_the_inner_index_however_arrays_lie(m, k, n, first, second, seed):
    generator = np.random.default_rng(seed)
    left, right = _laid_out(generator, (m, k), first), _laid_out(generator, (k, n), second)
    before = left.copy(), right.copy()
    # The naive twin: sums of products in one loop, no BLAS.
    expected = np.einsum("ik,kj->ij", left, right, optimize=False)
    scale = np.abs(left).sum(axis=1).max(initial=1.0) * np.abs(right).max(initial=1.0)
    found = product(left, right)
    assert found.shape == (m, n)
    assert found.flags.c_contiguous
    assert np.abs(found - expected).max() <= 1e-14 * scale
    assert np.abs(product(left, right[:, 0]) - expected[:, 0]).max() <= 1e-14 * scale
    assert np.abs(product(left[0], right) - expected[0]).max() <= 1e-14 * scale
    assert np.abs(product(left[0], right[:, 0]) - expected[0, 0]) <= 1e-14 * scale
    rows = row_products(left)
    assert np.abs(rows - np.einsum("ik,jk->ij", left, left, optimize=False)).max() <= 1e-13 * scale**2
    assert np.array_equal(rows, rows.T)
    assert np.isclose(frobenius_norm(left) ** 2, (left**2).sum(), rtol=1e-13)
    assert np.array_equal(left, before[0])
    assert np.array_equal(right, before[1])


def test_precision_is_what_numpy_would_choose():
    single, whole = np.ones((300, 40), dtype=np.float32), np.full(300, 2)
    assert product(single.T, single).dtype == np.float32
    assert product(single[:, 0], single).dtype == np.float32
    assert product(single.T, single.astype(np.float64)).dtype == np.float64
    assert product(np.concatenate([whole] * 9), np.vstack([single] * 9)).dtype == np.float64
    assert (product(whole, single) == 600).all()
    exact = product(np.arange(300 * 40).reshape(40, 300), np.arange(300 * 40).reshape(300, 40))
    assert np.issubdtype(exact.dtype, np.integer)


def test_closed_form():
    counted = np.arange(200.0)
    assert np.array_equal(product(np.ones((300, 200)), np.outer(counted, [1.0, 2.0]))[7], [19900.0, 39800.0])
    assert row_products(np.diag(counted[:100]))[99, 99] == 99.0**2


@pytest.mark.parametrize("size", [3, 200])
def test_shapes_that_do_not_fit_are_refused_as_numpy_refuses_them(size):
    assert 3**3 <= SMALL < 200**3
    for right in (np.ones((size + 1, size)), np.ones(size + 1)):
        with pytest.raises(ValueError, match="mismatch"):
            product(np.ones((size, size)), right)


WAKES = """
import os, sys, time
import numpy as np
others = [int(name) for name in os.listdir("/proc/self/task") if int(name) != os.getpid()]
def spent():
    # A thread that was woken spins on for a while, so that its time shows.
    time.sleep(0.2)
    return sum(int(open(f"/proc/self/task/{name}/schedstat").read().split()[0]) for name in others)
import phiscope
generator = np.random.default_rng(0)
# Rows that become a matrix, with classes and with values, and rows that stay rows.
for n, p, n_classes, by_class in [(3000, 300, 10, 1), (3000, 300, 20, 0), (300, 900, 10, 1)]:
    features = generator.standard_normal((n, p)) + 1
    head = generator.standard_normal((n_classes, p)), np.zeros(n_classes)
    targets = generator.integers(0, n_classes, n) if by_class else generator.standard_normal((n, n_classes))
    before = spent()
    measured = phiscope.diagonalize(features, head=head, targets=targets)
    measured.to_dict(), measured.centered.eigenvectors, measured.raw.eigenvectors, measured.tolerance_curve
    print(spent() - before)
before = spent()
features.T @ features
print(spent() - before, len(others))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="reads the time of single threads from Linux")
def test_a_measurement_leaves_numpys_threads_asleep():
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", WAKES], env=environment, capture_output=True, text=True, check=True)
    *measured, control, threads = (int(word) for word in run.stdout.split())
    if threads == 0 or control == 0:
        pytest.skip("NumPy's BLAS here has no thread of its own to wake")
    assert measured == [0] * len(measured)
    assert len(measured) == 3


@pytest.mark.parametrize("work", [lambda x: product(x, x), row_products, lambda x: add_outer(np.eye(len(x)), x)])
def test_other_threads_go_on_while_matrices_are_multiplied(work):
    matrix = np.random.default_rng(0).standard_normal((2500, 2500))
    assert longest_wait(lambda: work(matrix)) < 0.5


def test_control_scipys_dgemm_holds_them_up():
    columns = np.asfortranarray(np.random.default_rng(0).standard_normal((2500, 2500)))
    assert longest_wait(lambda: scipy.linalg.blas.dgemm(1.0, columns, columns)) > 0.5


RNG = np.random.default_rng(0)


def test_mirror_in_tiles():
    upper = np.triu(RNG.standard_normal((700, 700)))
    full = mirror(np.asfortranarray(upper))
    np.testing.assert_array_equal(full, upper + np.triu(upper, 1).T)


@pytest.fixture(params=["as it is", "without SciPy's routine"])
def routine(request, monkeypatch):
    if request.param == "without SciPy's routine":
        monkeypatch.setattr(module, "csc_matvecs", None)
    else:
        assert module.csc_matvecs is not None, "this SciPy lacks it: the pass is slower here with many classes"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n_groups", "n_rows"), [(1, 5), (3, 200), (1000, 40), (4, 0)])
def test_sums_are_those_of_the_definition(routine, dtype, n_groups, n_rows):
    rows, groups = RNG.standard_normal((n_rows, 7)).astype(dtype), RNG.integers(0, n_groups, n_rows)
    start = RNG.standard_normal((n_groups, 7)).astype(dtype)
    expected = start.copy()
    for row, group in zip(rows, groups, strict=True):
        expected[group] += row
    found = start.copy()
    add_to_groups(found, rows, groups)
    np.testing.assert_allclose(found, expected, atol=200 * np.finfo(dtype).eps)
    if n_rows > 1 and n_groups > 1:
        wrong = start.copy()
        add_to_groups(wrong, rows, groups[::-1])
        assert not np.allclose(wrong, expected, atol=1e-3)


@pytest.mark.parametrize("groups", [np.arange(6, dtype=np.int32)[::-1], np.arange(12)[::2] // 2])
def test_any_kind_of_labels(routine, groups):
    rows, found = RNG.standard_normal((6, 3)), np.zeros((6, 3))
    groups.setflags(write=False)
    add_to_groups(found, rows, groups)
    np.testing.assert_array_equal(found[groups], rows)


def test_part_of_a_longer_list_of_sums_keeps_the_rest(routine):
    found = np.full((5, 2), 7.0)
    add_to_groups(found[1:3], np.ones((2, 2)), np.array([1, 1]))
    np.testing.assert_array_equal(found, [[7, 7], [7, 7], [9, 9], [7, 7], [7, 7]])
