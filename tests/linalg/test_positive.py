"""Equations with a positive definite matrix: the solution, a refusal of others, and nobody held up."""

import numpy as np
import pytest
import scipy.linalg

from phiscope.errors import PhiscopeError
from phiscope.linalg.lapack import solve_positive
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
