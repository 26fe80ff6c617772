"""Symmetric positive operators: a matrix, rows, or both, against the matrix written out."""

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.linalg.operators import PositiveOperator
from positive_forms import FORMS, MATRIX

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_is_its_matrix(form):
    found, expected = FORMS[form]
    before = None if found.matrix is None else found.matrix.copy()
    x, v = RNG.standard_normal((7, 4)), RNG.standard_normal(7)
    close = {"rtol": 1e-13, "atol": 1e-12}
    assert found.size == 7
    assert found.trace() == pytest.approx(np.trace(expected), rel=1e-13)
    assert found.squared_norm() == pytest.approx((expected**2).sum(), rel=1e-13)
    assert found.inner(MATRIX) == pytest.approx(np.trace(expected @ MATRIX), rel=1e-13)
    np.testing.assert_allclose(found.apply(x), expected @ x, **close)
    np.testing.assert_allclose(found.dense(), expected, **close)
    np.testing.assert_array_equal(found.dense(), found.dense().T)
    np.testing.assert_allclose(np.tril(found.lower()), np.tril(expected), **close)
    np.testing.assert_allclose(found.plus_outer(v).dense(), expected + np.outer(v, v), **close)
    assert before is None or np.array_equal(found.matrix, before)


def test_an_operator_of_nothing_says_so():
    with pytest.raises(InputError, match="needs its matrix, its rows or both"):
        PositiveOperator().trace()
