"""Rayleigh-Ritz on a growing space, and probes that tell what the space misses."""

import numpy as np
import pytest

from phiscope.linalg.ritz import Probes, RitzSpace, orthonormal


def matrix_of(eigenvalues, seed=0):
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))[0]
    return (basis * eigenvalues) @ basis.T, basis


@pytest.mark.parametrize("width", [1, 3, 8])
def test_an_orthonormal_basis_spans_the_columns(width):
    columns = np.random.default_rng(width).normal(size=(20, width)) * 10.0 ** -np.arange(width)
    basis = orthonormal(columns)
    assert basis.shape == (20, width)
    np.testing.assert_allclose(basis.T @ basis, np.eye(width), atol=1e-12)
    np.testing.assert_allclose(basis @ (basis.T @ columns), columns, atol=1e-8)


def test_what_is_rounding_adds_no_direction():
    one, other = np.random.default_rng(0).normal(size=(2, 20))
    assert orthonormal(np.column_stack([one, 3 * one, 0 * one])).shape == (20, 1)
    assert orthonormal(np.column_stack([one, one + 1e-14 * other])).shape == (20, 1)
    # Control: a small difference that is no rounding is a direction of its own.
    assert orthonormal(np.column_stack([one, one + 1e-3 * other])).shape == (20, 2)
    assert orthonormal(np.zeros((20, 3))).shape == (20, 0)


@pytest.mark.parametrize("with_mean", [False, True])
def test_ritz_pairs_of_the_whole_space_are_the_eigenpairs(with_mean):
    values = 1.0 / np.arange(1, 13)
    matrix, _ = matrix_of(values)
    rng = np.random.default_rng(1)
    mean = rng.normal(size=12) if with_mean else None
    space = RitzSpace(lambda columns: matrix @ columns, 12, 12)
    riders = rng.normal(size=(12, 2))
    np.testing.assert_allclose(space.extend(rng.normal(size=(12, 7)), riders), matrix @ riders, atol=1e-12)
    assert not space.complete
    while not space.complete:
        space.extend(rng.normal(size=(12, 7)), riders)
    assert space.count == 12
    found = space.ritz(12, mean)
    whole = matrix if mean is None else matrix + np.outer(mean, mean)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(whole)[::-1], atol=1e-12)
    np.testing.assert_allclose(found.residuals, 0, atol=1e-12)
    np.testing.assert_allclose(whole @ found.vectors, found.vectors * found.values, atol=1e-12)


def test_residuals_are_what_the_operator_adds_to_a_space_that_is_too_small():
    matrix, _ = matrix_of(np.arange(30, 0, -1.0))
    mean = np.random.default_rng(2).normal(size=30)
    space = RitzSpace(lambda columns: matrix @ columns, 30, 10)
    space.extend(np.random.default_rng(3).normal(size=(30, 10)), np.zeros((30, 0)))
    for added in (None, mean):
        whole = matrix if added is None else matrix + np.outer(mean, mean)
        found = space.ritz(4, added)
        np.testing.assert_allclose(whole @ found.vectors - found.vectors * found.values, found.residuals, atol=1e-10)
        np.testing.assert_allclose(found.vectors.T @ found.residuals, 0, atol=1e-10)
        # Some eigenvalue lies within each residual's length.
        nearest = np.abs(found.values[:, None] - np.linalg.eigvalsh(whole)).min(axis=1)
        assert (nearest <= np.linalg.norm(found.residuals, axis=0) + 1e-10).all()


@pytest.mark.parametrize("decay", [0.0, 1.0, 3.0])
def test_probes_bound_what_lies_outside_and_estimate_the_norm(decay):
    values = np.arange(1, 61) ** -decay
    matrix, basis = matrix_of(values)
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        probes = Probes(rng.normal(size=(60, 24)))
        space = RitzSpace(lambda columns: matrix @ columns, 60, 10)
        for _ in range(3):
            probes.add(space.extend(basis[:, :5] + 0.0, probes.latest))
        outside = probes.outside(basis[:, :5])
        assert values[5] <= outside < 30 * values[5]
        squares, error = probes.squared_norm(space)
        errors.append(abs(squares - (values**2).sum()) / error)
    # Standard errors: the mean distance of a normal number is 0.8 of them.
    assert 0.3 < np.mean(errors) < 2
