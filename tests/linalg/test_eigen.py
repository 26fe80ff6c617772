"""All eigenpairs of a matrix or of few rows: those of NumPy, vectors when they are read, other threads at work."""

import numpy as np
import pytest
import scipy.linalg
from mpmath import mp

from phiscope.errors import PhiscopeError
from phiscope.linalg import eigen as tridiagonal
from phiscope.linalg.eigen import LARGE, Diagonalized, FewRows
from phiscope.linalg.operators import PositiveOperator
from phiscope.spectrum.eigensystem import diagonalize_operator, diagonalize_with_mean
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


@pytest.mark.parametrize("size", [LARGE - 1, LARGE])
def test_other_threads_go_on_while_a_spectrum_is_made(size):
    matrix = symmetric(size) @ symmetric(size).T
    assert longest_wait(lambda: diagonalize_operator(PositiveOperator(matrix=matrix))) < 0.5


def test_control_scipys_eigh_holds_them_up():
    matrix = symmetric(LARGE)
    assert longest_wait(lambda: scipy.linalg.eigh(matrix, driver="evr")) > 0.5


SHAPES = [(1, 1), (1, 5), (5, 1), (4, 9), (9, 9), (9, 4), (70, 200), (200, 200), (130, 129)]


def graded(n_rows, width, decades, seed=0):
    """Rows whose singular values spread over so many decades."""
    rng = np.random.default_rng(seed)
    size = min(n_rows, width)
    left = np.linalg.qr(rng.standard_normal((n_rows, size)))[0]
    right = np.linalg.qr(rng.standard_normal((width, size)))[0]
    return (left * 10.0 ** -np.linspace(0, decades, size)) @ right.T


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_vector", [False, True])
def test_eigenpairs_of_few_rows_are_the_singular_pairs(shape, with_vector):
    rows = graded(*shape, 2)
    beside = np.random.default_rng(1).standard_normal(shape[1]) if with_vector else None
    found = FewRows(rows, beside)
    inner, size = min(shape), min(shape[0] + with_vector, shape[1])
    vectors = found.vectors()
    assert vectors.shape == (shape[1], size)
    np.testing.assert_allclose(found.values[:inner], np.linalg.svd(rows, compute_uv=False) ** 2, rtol=1e-12)
    assert (found.values[inner:] == 0).all()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(size), atol=1e-13)
    np.testing.assert_allclose((vectors * found.values) @ vectors.T, rows.T @ rows, atol=1e-13)
    if beside is not None:
        # Nothing of the vector is outside of what is spanned.
        np.testing.assert_allclose(vectors @ (vectors.T @ beside), beside, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_vector", [False, True])
@pytest.mark.parametrize("columns", [0, 1, 3, 150])
def test_coordinates_and_combinations_of_few_rows_need_no_eigenvectors(shape, with_vector, columns):
    """Before the eigenvectors are formed and after that: the same numbers, and copies of their own."""
    rng = np.random.default_rng(2)
    rows, beside = graded(*shape, 1), rng.standard_normal(shape[1]) if with_vector else None
    vectors = FewRows(rows, beside).vectors().copy()
    x, c = rng.standard_normal((shape[1], columns)), rng.standard_normal((vectors.shape[1], columns))
    for known in (False, True):
        found = FewRows(rows, beside)
        if known:
            found.vectors()
        np.testing.assert_allclose(found.project(x), vectors.T @ x, atol=1e-12)
        np.testing.assert_allclose(found.combine(c), vectors @ c, atol=1e-12)
        for count in {0, 1, min(columns, vectors.shape[1]), vectors.shape[1]}:
            some = found.leading(count)
            np.testing.assert_allclose(some, vectors[:, :count], atol=1e-12)
            some[...] = 0.0
        np.testing.assert_allclose(found.vectors(), vectors, atol=1e-12)


def test_closed_form_of_few_rows():
    found = FewRows(np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]]), np.array([5.0, 5.0, -7.0]))
    np.testing.assert_allclose(found.values, [9.0, 4.0, 0.0], atol=1e-14)
    np.testing.assert_allclose(np.abs(found.vectors()), np.eye(3), atol=1e-14)


def test_rows_of_nothing_keep_an_orthogonal_basis():
    found = FewRows(np.zeros((3, 6)), np.zeros(6))
    assert (found.values == 0).all()
    np.testing.assert_allclose(found.vectors().T @ found.vectors(), np.eye(4), atol=1e-14)


def in_many_digits(rows, mean):
    """Eigenvalues of A^T A + m m^T, descending, in 60-digit arithmetic from the very same numbers."""
    with mp.workdps(60):
        joined = mp.matrix([[mp.mpf(float(x)) for x in row] for row in np.vstack([rows, mean])])
        return sorted((float(x) for x in mp.eigsy(joined * joined.T, eigvals_only=True)), reverse=True)


@pytest.mark.parametrize("size_of_mean", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("decades", [1, 5, 6.5])
def test_small_raw_eigenvalues_keep_the_digits_of_singular_values(size_of_mean, decades):
    """From the Gram matrix they would be rounding: eigenvalues down to 1e-13 of the first, and a mean above them."""
    rows = graded(14, 40, decades, seed=3)
    mean = size_of_mean * np.random.default_rng(4).standard_normal(40)
    both = diagonalize_with_mean(PositiveOperator(rows=rows), mean)
    expected = np.array(in_many_digits(rows, mean))
    eps = np.finfo(float).eps
    kept = expected > 40 * eps * expected[0]
    assert len(both.raw.eigenvalues) == kept.sum()
    # What rounding of a singular value, eps sigma_1, leaves of its square.
    allowed = 100 * eps * np.sqrt(expected[0] / expected[kept])
    assert (np.abs(both.raw.eigenvalues / expected[kept] - 1) <= allowed).all()
    vectors = both.raw.eigenvectors
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(kept.sum()), atol=1e-13)
    mixed = vectors.T @ (rows.T @ (rows @ vectors)) + np.outer(mean @ vectors, mean @ vectors)
    np.testing.assert_allclose(mixed, np.diag(both.raw.eigenvalues), atol=1e-13 * expected[0])
    if size_of_mean == 1.0 and decades == 6.5:
        # Control: the Gram matrix has lost them.
        joined = np.vstack([rows, mean])
        gram = np.linalg.eigvalsh(joined @ joined.T)[::-1][: kept.sum()]
        assert not (np.abs(gram / expected[kept] - 1) <= allowed).all()


def test_no_array_is_as_large_as_the_square_of_the_width():
    import tracemalloc

    rows = np.random.default_rng(5).standard_normal((30, 4000))
    tracemalloc.start()
    both = diagonalize_with_mean(PositiveOperator(rows=rows), rows.mean(axis=0))
    assert both.raw.eigenvectors.shape == (4000, 30)
    assert both.centered.eigenvectors.shape == (4000, 30)
    assert tracemalloc.get_traced_memory()[1] < 4000**2 * 8 / 10
    tracemalloc.stop()


def test_other_threads_go_on_while_few_rows_are_diagonalized():
    rows = np.random.default_rng(6).standard_normal((700, 1500))
    assert longest_wait(lambda: diagonalize_operator(PositiveOperator(rows=rows))) < 0.4
    # Control: SciPy's own functions hold them up.
    assert longest_wait(lambda: scipy.linalg.svd(rows, full_matrices=False)) > 0.4


def test_rows_that_lapack_cannot_take_are_an_error():
    with pytest.raises(PhiscopeError, match="LAPACK's dgesdd ended with status -4 on a matrix of 3 x 3"):
        FewRows(np.full((3, 5), np.nan))
