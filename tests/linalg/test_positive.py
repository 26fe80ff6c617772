"""Equations with a positive definite matrix and its Cholesky factor: solutions, refusals, and nobody held up."""

import numpy as np
import pytest
import scipy.linalg

from phiscope.errors import PhiscopeError
from phiscope.linalg.positive import (
    cholesky_factor,
    inverse_of,
    reciprocal_condition,
    solve_positive,
    whitened_by,
)
from waiting import longest_wait


def positive(size, seed=0):
    rows = np.random.default_rng(seed).standard_normal((2 * size, size))
    return np.asfortranarray(rows.T @ rows)


@pytest.mark.parametrize("size", [1, 2, 70])
@pytest.mark.parametrize("width", [0, 1, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_solution_solves_the_equations(size, width, order):
    matrix = positive(size)
    right = np.random.default_rng(1).standard_normal((size, width)).copy(order=order)
    before = right.copy()
    for factored in (False, True):
        given = np.asfortranarray(scipy.linalg.cholesky(matrix)) if factored else matrix.copy(order="F")
        given[np.tril_indices(size, -1)] = np.nan
        found = solve_positive(given, right, factored=factored)
        assert found.shape == (size, width)
        np.testing.assert_allclose(matrix @ found, right, atol=1e-11)
    np.testing.assert_array_equal(right, before)
    if width:
        # Control: as a factor the matrix itself is something else.
        assert size == 1 or not np.allclose(solve_positive(matrix.copy(order="F"), right, factored=True), found)


def test_a_matrix_that_is_not_positive_is_an_error():
    with pytest.raises(PhiscopeError, match="dposv ended with status 2 on a matrix of 2 x 2"):
        solve_positive(np.diag([1.0, -1.0]).T, np.ones((2, 1)))


def test_other_threads_go_on_meanwhile():
    matrix, right = positive(900), np.ones((900, 3000), order="F")
    assert longest_wait(lambda: solve_positive(matrix.copy(order="F"), right)) < 0.5
    # Control: SciPy's own function holds them up.
    assert longest_wait(lambda: scipy.linalg.lapack.dposv(matrix, right)) > 0.5


@pytest.mark.parametrize("size", [1, 3, 80])
def test_the_factor_and_what_follows_from_it(size):
    matrix = positive(size)
    factor = cholesky_factor(matrix)
    np.testing.assert_allclose(factor.T @ factor, matrix, rtol=1e-12, atol=1e-12 * size)
    np.testing.assert_array_equal(np.tril(factor, -1), 0.0)
    columns = np.random.default_rng(2).standard_normal((size, 4))
    white = whitened_by(factor, columns)
    np.testing.assert_allclose(factor.T @ white, columns, atol=1e-10)
    # In the order of the rows: the first coordinates do not change when rows are added.
    np.testing.assert_allclose(white[:1], whitened_by(cholesky_factor(matrix[:1, :1]), columns[:1]), atol=1e-12)
    one_norm = np.abs(matrix).sum(axis=0).max()
    exact = 1 / (one_norm * np.abs(np.linalg.inv(matrix)).sum(axis=0).max())
    # LAPACK's estimate is a lower bound of the condition, within a factor of 3 in practice.
    assert exact * (1 - 1e-9) <= reciprocal_condition(factor, one_norm) <= 3 * exact
    np.testing.assert_allclose(inverse_of(factor) @ matrix, np.eye(size), atol=1e-9)


def test_there_is_no_factor_of_what_is_not_positive():
    assert cholesky_factor(np.diag([1.0, -1e-3, 2.0])) is None
    assert cholesky_factor(np.zeros((2, 2))) is None


def test_other_threads_go_on_while_a_factor_is_made():
    matrix = positive(2500)
    assert longest_wait(lambda: inverse_of(cholesky_factor(matrix))) < 0.5
    # Control: SciPy's own function holds them up.
    assert longest_wait(lambda: [scipy.linalg.lapack.dpotrf(matrix) for _ in range(4)]) > 0.1
