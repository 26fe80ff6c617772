"""LAPACK called from here: the same eigenpairs as NumPy's, vectors when they are read, other threads at work."""

import ctypes

import numpy as np
import pytest
import scipy.linalg

from phiscope.errors import PhiscopeError
from phiscope.linalg import eigen as tridiagonal
from phiscope.linalg.eigen import LARGE, Diagonalized
from phiscope.linalg.lapack import check_status, routine
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import add_outer, product, row_products
from phiscope.spectrum.eigensystem import diagonalize_operator
from waiting import longest_wait


def symmetric(size, seed=0):
    rows = np.random.default_rng(seed).standard_normal((size, size))
    return rows + rows.T


def eigenpairs(matrix):
    found = Diagonalized(np.array(matrix, order="F"))
    return found.values, found.vectors()


@pytest.fixture(params=["dividing", "representations"])
def method(request, monkeypatch):
    """Both ways to diagonalize T, at every size."""
    monkeypatch.setattr(tridiagonal, "LARGE", 1 if request.param == "representations" else 10**9)


@pytest.mark.parametrize("size", [1, 2, 3, 40, 300])
@pytest.mark.parametrize("scale", [1.0, 1e-60, 1e60])
def test_eigenpairs_are_those_of_numpy(size, scale, method):
    matrix = scale * symmetric(size)
    values, vectors = eigenpairs(matrix)
    size_of_all = np.abs(matrix).sum()
    np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1], rtol=0, atol=1e-14 * size_of_all)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, rtol=0, atol=1e-14 * size_of_all)
    # Orthogonal to some p eps, as the method promises.
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(size), rtol=0, atol=20 * size * np.finfo(float).eps)


@pytest.mark.parametrize("size", [1, 2, 7, 60, 64, 65, 200])
@pytest.mark.parametrize("columns", [1, 3, 100])
def test_coordinates_need_no_eigenvectors(size, columns, method):
    """V^T x before the eigenvectors are formed and after that: the same numbers."""
    matrix, x = symmetric(size), np.random.default_rng(1).standard_normal((size, columns))
    found = Diagonalized(np.array(matrix, order="F"))
    before = found.project(x)
    vectors = found.vectors().copy()
    np.testing.assert_allclose(before, vectors.T @ x, atol=1e-12)
    np.testing.assert_allclose(found.project(x), before, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 7, 60, 64, 65, 200])
@pytest.mark.parametrize("columns", [0, 1, 3, 100])
def test_some_eigenvectors_and_combinations_need_no_others(size, columns, method):
    """V c and the first columns of V before the eigenvectors are formed and after that: the same numbers."""
    matrix, c = symmetric(size), np.random.default_rng(1).standard_normal((size, columns))
    for known in (False, True):
        found = Diagonalized(np.array(matrix, order="F"))
        vectors = Diagonalized(np.array(matrix, order="F")).vectors()
        if known:
            found.vectors()
        np.testing.assert_allclose(found.combine(c), vectors @ c, atol=1e-12)
        for count in {0, 1, min(columns, size), size}:
            some = found.leading(count)
            np.testing.assert_allclose(some, vectors[:, :count], atol=1e-12)
            some[...] = 0.0
        np.testing.assert_allclose(found.vectors(), vectors, atol=1e-12)


def test_equal_eigenvalues_keep_orthogonal_eigenvectors(method):
    values, vectors = eigenpairs(np.diag(np.repeat([3.0, 1.0, 0.0], 20)))
    np.testing.assert_allclose(values, np.repeat([3.0, 1.0, 0.0], 20), atol=1e-15)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(60), atol=1e-14)


def test_only_the_lower_triangle_is_read():
    matrix = symmetric(30)
    np.testing.assert_array_equal(eigenpairs(np.tril(matrix))[0], eigenpairs(matrix)[0])


def test_where_representations_fail_dividing_takes_over(monkeypatch):
    """LAPACK says when it found no representation to trust; nothing is lost then."""
    matrix, failed = symmetric(50), []

    def fails(diagonal, beside):
        failed.append(len(diagonal))

    monkeypatch.setattr(tridiagonal, "LARGE", 1)
    monkeypatch.setattr(tridiagonal, "_by_representations", fails)
    values, vectors = eigenpairs(matrix)
    assert failed == [50]
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-12)


def test_a_failure_of_lapack_is_an_error():
    check_status("dsytrd", ctypes.c_int(0), (7, 7))
    with pytest.raises(PhiscopeError, match="dsytrd ended with status 3 on a matrix of 7 x 7"):
        check_status("dsytrd", ctypes.c_int(3), (7, 7))


def test_a_routine_of_another_shape_is_refused():
    with pytest.raises(PhiscopeError, match="which phiscope does not know"):
        routine("dsyevr", "char *, char *, char *, int *", 20)


@pytest.mark.parametrize("size", [LARGE - 1, LARGE])
def test_other_threads_go_on_while_a_spectrum_is_made(size):
    matrix = symmetric(size) @ symmetric(size).T
    assert longest_wait(lambda: diagonalize_operator(PositiveOperator(matrix=matrix))) < 0.5


@pytest.mark.parametrize("work", [lambda x: product(x, x), row_products, lambda x: add_outer(np.eye(len(x)), x)])
def test_other_threads_go_on_while_matrices_are_multiplied(work):
    matrix = np.random.default_rng(0).standard_normal((2500, 2500))
    assert longest_wait(lambda: work(matrix)) < 0.5


@pytest.mark.parametrize("work", [scipy.linalg.blas.dgemm, None])
def test_control_scipy_holds_them_up(work):
    if work is None:
        matrix = symmetric(LARGE)
        assert longest_wait(lambda: scipy.linalg.eigh(matrix, driver="evr")) > 0.5
    else:
        columns = np.asfortranarray(np.random.default_rng(0).standard_normal((2500, 2500)))
        assert longest_wait(lambda: work(1.0, columns, columns)) > 0.5
