"""Small factorizations and norms, each against its definition."""

import numpy as np
import pytest
import scipy.linalg

from phiscope.linalg import dense
from waiting import longest_wait


@pytest.fixture
def rows():
    return np.random.default_rng(0).standard_normal((40, 7))


def test_norms_are_roots_of_sums_of_squares(rows):
    assert dense.length(rows) == pytest.approx(np.sqrt((rows**2).sum()), rel=1e-14)
    np.testing.assert_allclose(dense.row_lengths(rows), np.sqrt((rows**2).sum(axis=1)), rtol=1e-14)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (5, 5)])
def test_a_triangle_has_the_inner_products_of_the_columns(shape):
    rows = np.random.default_rng(1).standard_normal(shape)
    found = dense.triangle(rows)
    assert found.shape == (min(shape), shape[1])
    np.testing.assert_array_equal(np.tril(found, -1), 0.0)
    np.testing.assert_allclose(found.T @ found, rows.T @ rows, atol=1e-12)


def test_orthonormal_columns_span_the_same(rows):
    basis, factor = dense.orthonormal(rows)
    np.testing.assert_allclose(basis.T @ basis, np.eye(7), atol=1e-14)
    np.testing.assert_allclose(basis @ factor, rows, atol=1e-13)
    stack = dense.orthonormal_stack(np.stack([rows, 2 * rows]))
    np.testing.assert_allclose(np.abs(stack[0]), np.abs(basis), atol=1e-13)
    np.testing.assert_allclose(stack[0], stack[1], atol=1e-13)


def test_pivots_go_by_what_is_new():
    matrix = np.array([[2.0, 2.0, 0.0, 0.1], [0.0, 0.1, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    # The longest first; of the others the part that is orthogonal to those before counts.
    assert dense.pivots(matrix).tolist()[:3] == [1, 2, 0]


def test_singular_values_and_vectors(rows):
    values = dense.singular_values(rows)
    np.testing.assert_allclose(values**2, np.sort(np.linalg.eigvalsh(rows.T @ rows))[::-1], rtol=1e-12)
    left, right = dense.singular_vectors(rows)
    assert left.shape == (40, 40)
    np.testing.assert_allclose(left[:, :7] * values @ right, rows, atol=1e-13)


def test_eigenpairs_ascend(rows):
    matrix = rows.T @ rows
    values, vectors = dense.eigenpairs(matrix)
    assert (np.diff(values) > 0).all()
    np.testing.assert_allclose(vectors * values @ vectors.T, matrix, atol=1e-12)
    # Control: eigenvectors of another matrix do not diagonalize this one.
    other = dense.eigenpairs(rows[:20].T @ rows[:20])[1]
    assert np.abs(other * values @ other.T - matrix).max() > 1


def test_other_threads_go_on_while_eigenpairs_are_found():
    rows = np.random.default_rng(3).standard_normal((1500, 1200))
    matrix = rows.T @ rows
    assert longest_wait(lambda: dense.eigenpairs(matrix)) < 0.3
    # Control: SciPy's own function holds them up.
    assert longest_wait(lambda: scipy.linalg.eigh(matrix)) > 0.15
