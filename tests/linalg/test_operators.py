"""Symmetric positive operators: a matrix, rows, or both, against the matrix written out."""

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.linalg.operators import PositiveOperator, ProductOperator
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


def test_what_is_known_by_products_is_no_zero_matrix():
    """It has neither matrix nor rows, and inherited what reads them: dense() and lower() were zeros, without a word."""
    rng = np.random.default_rng(5)
    half = rng.normal(size=(6, 4))
    S = half.T @ half
    v, X = rng.normal(size=4), half[:4] + half[:4].T
    known = ProductOperator(
        columns=4, product=lambda vectors: S @ vectors, total=np.trace(S), square=np.sum(S**2), entries=np.diag(S)
    )
    whole = PositiveOperator(matrix=S)
    for one, other in ((known, whole), (known.plus_outer(v), whole.plus_outer(v))):
        np.testing.assert_allclose(one.dense(), other.dense(), rtol=1e-12)
        np.testing.assert_allclose(np.tril(one.lower()), np.tril(other.lower()), rtol=1e-12)
        np.testing.assert_allclose(one.diagonal(), other.diagonal(), rtol=1e-12)
        np.testing.assert_allclose(one.apply(X), other.apply(X), rtol=1e-12)
        numbers = [(each.trace(), each.squared_norm(), each.inner(X), each.size) for each in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-12)
    without = ProductOperator(columns=4, product=lambda vectors: S @ vectors, total=np.trace(S))
    for one in (without, without.plus_outer(v)):
        assert np.isnan(one.squared_norm())
        with pytest.raises(InputError, match="pass entries="):
            one.diagonal()


def test_nothing_of_an_operator_is_inherited_that_reads_its_matrix():
    inherited = {name for name in vars(PositiveOperator) if not name.startswith("_")} - set(vars(ProductOperator))
    # Fields, and what goes through the methods above alone.
    assert inherited <= {"matrix", "rows", "scale", "dense"}
