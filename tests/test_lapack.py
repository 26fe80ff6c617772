"""LAPACK called from here: the same eigenpairs as NumPy's, the matrix untouched, other threads at work meanwhile."""

import threading
import time

import numpy as np
import pytest
import scipy.linalg

from phiscope.errors import PhiscopeError
from phiscope.lapack import eigh_robust, routine
from phiscope.operators import PositiveOperator
from phiscope.spectrum import LARGE, diagonalize_operator


def symmetric(size, seed=0):
    rows = np.random.default_rng(seed).standard_normal((size, size))
    return rows + rows.T


@pytest.mark.parametrize("size", [1, 2, 3, 40, 300])
@pytest.mark.parametrize("order", ["C", "F"])
def test_eigenpairs_are_those_of_numpy(size, order):
    matrix = np.array(symmetric(size), order=order)
    before = matrix.copy()
    values, vectors = eigh_robust(matrix)
    np.testing.assert_array_equal(matrix, before)
    scale = np.abs(before).sum()
    np.testing.assert_allclose(values, np.linalg.eigvalsh(before), rtol=0, atol=1e-14 * scale)
    np.testing.assert_allclose(before @ vectors, vectors * values, rtol=0, atol=1e-14 * scale)
    # Orthogonal to some p eps, as the method promises.
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(size), rtol=0, atol=20 * size * np.finfo(float).eps)


def test_equal_eigenvalues_keep_orthogonal_eigenvectors():
    values, vectors = eigh_robust(np.diag(np.repeat([3.0, 1.0, 0.0], 20)))
    np.testing.assert_allclose(values, np.repeat([0.0, 1.0, 3.0], 20), atol=1e-15)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(60), atol=1e-14)


def test_only_one_triangle_is_read():
    matrix = symmetric(30)
    np.testing.assert_array_equal(eigh_robust(np.tril(matrix))[0], eigh_robust(matrix)[0])


def test_a_routine_of_another_shape_is_refused():
    with pytest.raises(PhiscopeError, match="which phiscope does not know"):
        routine("dsyevr", "char *, char *, char *, int *", 20)


def longest_wait(work):
    """The longest time for which this thread could not turn while another one worked, as a share of that work."""
    done = threading.Event()
    thread = threading.Thread(target=lambda: (work(), done.set()))
    start = last = time.perf_counter()
    longest = 0.0
    thread.start()
    while not done.is_set():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    thread.join()
    return longest / (last - start)


@pytest.mark.parametrize("size", [LARGE - 1, LARGE])
def test_other_threads_go_on_while_a_spectrum_is_made(size):
    matrix = symmetric(size) @ symmetric(size).T
    assert longest_wait(lambda: diagonalize_operator(PositiveOperator(matrix=matrix))) < 0.5


def test_control_scipy_holds_them_up():
    matrix = symmetric(LARGE)
    assert longest_wait(lambda: scipy.linalg.eigh(matrix, driver="evr")) > 0.5
