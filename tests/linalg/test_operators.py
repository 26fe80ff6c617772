"""Symmetric positive operators: a matrix, rows, or both, against the matrix written out."""

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import mirror
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.spectrum.eigensystem import BothSystems, diagonalize_operator, diagonalize_with_mean

RNG = np.random.default_rng(0)
SQUARE = RNG.standard_normal((9, 7))
MATRIX, ROWS = SQUARE.T @ SQUARE, RNG.standard_normal((3, 7))
FORMS = {
    "matrix": (PositiveOperator(matrix=MATRIX), MATRIX),
    "columns contiguous": (PositiveOperator(matrix=np.asfortranarray(MATRIX)), MATRIX),
    "part of a matrix": (PositiveOperator(matrix=np.pad(MATRIX, 2)[2:9, 2:9], scale=0.5), 0.5 * MATRIX),
    "rows": (PositiveOperator(rows=ROWS), ROWS.T @ ROWS),
    "both": (PositiveOperator(matrix=MATRIX, rows=ROWS, scale=0.25), 0.25 * MATRIX + ROWS.T @ ROWS),
    "no rows": (PositiveOperator(matrix=MATRIX, rows=ROWS[:0]), MATRIX),
}


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


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_is_diagonalized(form):
    found, expected = FORMS[form]
    system = diagonalize_operator(found)
    rho, v = system.eigenvalues, system.eigenvectors
    np.testing.assert_allclose((v * rho) @ v.T, expected, atol=1e-12)
    np.testing.assert_allclose(v.T @ v, np.eye(len(rho)), atol=1e-13)
    x = RNG.standard_normal((7, 2))
    np.testing.assert_allclose(system.project(x), v.T @ x, atol=1e-12)
    np.testing.assert_allclose(np.abs(system.oriented(None)), np.abs(v), atol=1e-15)
    assert (system.oriented(None).max(axis=0) >= -system.oriented(None).min(axis=0) * (1 - 1e-8)).all()


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_raw_functions_are_combinations_of_centered_ones(form, size):
    """Covariance of raw-whitened functions, and their means, without a difference of large numbers."""
    covariance, expected = FORMS[form]
    mean = size * RNG.standard_normal(7)
    both = diagonalize_with_mean(covariance, mean)
    a, along = both.raw_functions(len(both.raw.eigenvalues)), both.mean_coordinates()
    basis = both.raw.eigenvectors / np.sqrt(both.raw.eigenvalues)
    np.testing.assert_allclose(a.T @ a, basis.T @ expected @ basis, atol=1e-9)
    np.testing.assert_allclose(along, mean @ basis, atol=1e-9)
    np.testing.assert_allclose(a.T @ a + np.outer(along, along), np.eye(len(along)), atol=1e-9)
    for count in range(len(along) + 1):
        np.testing.assert_allclose(both.raw_functions(count), a[:, :count], atol=1e-12)
    # The same from nothing but the two systems, as where only leading eigenpairs are known.
    alone = BothSystems(raw=both.raw, centered=both.centered, mean=mean)
    np.testing.assert_allclose(alone.raw_functions(len(along)), a, atol=1e-9)
    np.testing.assert_allclose(alone.mean_coordinates(), along, atol=1e-9)


@pytest.mark.parametrize("form", list(FORMS))
def test_leading_eigenvectors_and_combinations_are_those_of_all(form):
    covariance, _ = FORMS[form]
    vectors = diagonalize_operator(covariance).eigenvectors
    coefficients = RNG.standard_normal((vectors.shape[1], 2))
    # Of another system: these are asked for before all eigenvectors are known.
    fresh = diagonalize_operator(covariance)
    np.testing.assert_allclose(fresh.leading(2), vectors[:, :2], atol=1e-12)
    np.testing.assert_allclose(fresh.combine(coefficients), vectors @ coefficients, atol=1e-12)


def test_an_operator_of_nothing_says_so():
    with pytest.raises(InputError, match="needs its matrix, its rows or both"):
        PositiveOperator().trace()


def test_mirror_in_tiles():
    upper = np.triu(RNG.standard_normal((700, 700)))
    full = mirror(np.asfortranarray(upper))
    np.testing.assert_array_equal(full, upper + np.triu(upper, 1).T)


@pytest.mark.parametrize("n_classes", [2, 3, 9])
def test_covariance_with_few_and_with_many_classes(n_classes):
    """Few classes stay rows beside the scatter within them, which is not copied; many are added to it."""
    x, y = RNG.standard_normal((600, 12)), np.arange(600) % n_classes
    x += 3 * RNG.standard_normal((n_classes, 12))[y]
    accumulator = MomentAccumulator(num_classes=n_classes)
    accumulator.update(x, targets=y)
    moments = accumulator.result()
    found = moments.covariance("features")
    assert (found.rows is not None) == (n_classes <= 3)
    assert np.shares_memory(found.matrix, moments.within) == (n_classes <= 3)
    np.testing.assert_allclose(found.dense(), np.cov(x.T, bias=True), atol=1e-12)
