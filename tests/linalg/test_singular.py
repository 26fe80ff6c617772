"""Singular values and vectors, against their definition."""

import numpy as np
import pytest
import scipy.linalg

from phiscope.errors import PhiscopeError
from phiscope.linalg import dense
from phiscope.linalg.singular import singular
from waiting import longest_wait


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (5, 5), (1, 3)])
@pytest.mark.parametrize("vectors", ["none", "thin", "all"])
def test_they_are_those_of_the_definition(shape, vectors):
    matrix = np.random.default_rng(0).standard_normal(shape)
    left, values, right = singular(np.array(matrix, order="F"), vectors)
    least = min(shape)
    np.testing.assert_allclose(values**2, np.linalg.eigvalsh(matrix @ matrix.T)[::-1][:least], rtol=1e-10)
    if vectors == "none":
        assert (left.size, right.size) == (0, 0)
        return
    assert (left.shape[1], right.shape[0]) == ((least, least) if vectors == "thin" else shape)
    np.testing.assert_allclose(left.T @ left, np.eye(left.shape[1]), atol=1e-13)
    np.testing.assert_allclose(right @ right.T, np.eye(right.shape[0]), atol=1e-13)
    np.testing.assert_allclose(left[:, :least] * values @ right[:least], matrix, atol=1e-13)


def test_no_columns_have_all_left_vectors():
    left, values, right = singular(np.zeros((3, 0), order="F"), "all")
    np.testing.assert_array_equal(left, np.eye(3))
    assert (values.shape, right.shape) == ((0,), (0, 0))


def test_nothing_is_said_of_nan():
    with pytest.raises(PhiscopeError, match="dgesdd ended with status"):
        singular(np.full((3, 2), np.nan, order="F"), "none")


def test_whoever_asks_for_them_keeps_the_matrix():
    rows = np.random.default_rng(1).standard_normal((6, 4))
    kept = rows.copy()
    dense.singular_values(rows.T)
    dense.singular_vectors(rows)
    np.testing.assert_array_equal(rows, kept)


def test_other_threads_go_on_while_they_are_found():
    matrix = np.random.default_rng(3).standard_normal((1200, 1200))
    assert longest_wait(lambda: dense.singular_values(matrix)) < 0.3
    # Control: SciPy's own function holds them up.
    assert longest_wait(lambda: scipy.linalg.svd(matrix)) > 0.15
