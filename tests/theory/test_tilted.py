"""Averages under the tilted law against quadrature and finite differences."""

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.theory.activations import ACTIVATIONS
from phiscope.theory.tilted import base_sample, root_of, tilted_law

C = np.array([[1.2, 0.5], [0.5, 0.8]])
M = np.array([[0.15, -0.1], [-0.1, 0.08]])
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(160)
Z = np.stack(np.meshgrid(NODES, NODES)).reshape(2, -1).T
W = np.outer(WEIGHTS, WEIGHTS).ravel() / WEIGHTS.sum() ** 2
BASE = base_sample(2**16, 2)


def log_norm(activation, kernel, tilt):
    phi = activation.value(Z @ root_of(kernel))
    return np.log(W @ np.exp(np.einsum("ni,ij,nj->n", phi, tilt, phi)))


def slope(activation, tilt, step=1e-4):
    """d ln Z / d C by differences, for symmetric changes."""
    found = np.zeros((2, 2))
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        move = np.zeros((2, 2))
        move[i, j] += step / 2
        move[j, i] += step / 2
        found[i, j] = (log_norm(activation, C + move, tilt) - log_norm(activation, C - move, tilt)) / (2 * step)
    return found


def outer(activation, tilt):
    phi = activation.value(Z @ root_of(C))
    weights = W * np.exp(np.einsum("ni,ij,nj->n", phi, tilt, phi))
    return (phi * weights[:, None]).T @ phi / weights.sum()


@pytest.mark.parametrize(("name", "close"), [("erf", 1e-3), ("relu", 4e-3), ("identity", 1e-8)])
def test_averages_against_quadrature(name, close):
    one = ACTIVATIONS[name]
    law = tilted_law(one, C, M, BASE, exact=True)
    np.testing.assert_allclose(law.outer(), outer(one, M), atol=close)
    np.testing.assert_allclose(law.pulled(), slope(one, M), atol=close)
    # Without the tilt they are elsewhere, so that the comparison says something.
    assert np.abs(one.kernel(C) - outer(one, M)).max() > 10 * close


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_first_order_is_the_slope_of_the_full_law(name):
    one = ACTIVATIONS[name]
    for part in ("outer", "pulled"):
        small, smaller = (
            np.abs(
                getattr(tilted_law(one, C, scale * M, BASE, exact=True), part)()
                - getattr(tilted_law(one, C, scale * M, BASE, exact=False), part)()
            ).max()
            for scale in (0.1, 0.01)
        )
        # What is left is of second order in the tilt: a tenth of it leaves a hundredth.
        assert smaller < 0.02 * small


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_without_a_tilt_nothing_of_the_sample_is_left(name):
    law = tilted_law(ACTIVATIONS[name], C, 0 * M, base_sample(64, 2), exact=True)
    np.testing.assert_allclose(law.outer(), ACTIVATIONS[name].kernel(C), atol=1e-15)
    assert not law.pulled().any()
    assert law.share == pytest.approx(1.0)


def test_the_linear_law_is_a_gaussian():
    law = tilted_law(ACTIVATIONS["identity"], C, M, BASE, exact=True)
    np.testing.assert_allclose(law.outer(), np.linalg.inv(np.linalg.inv(C) - 2 * M), rtol=1e-12)
    inverse = np.linalg.inv(C)
    np.testing.assert_allclose(law.pulled(), (inverse @ law.outer() @ inverse - inverse) / 2, rtol=1e-10)


def test_a_linear_law_without_a_norm_is_refused():
    with pytest.raises(InputError, match="no most probable kernel exists here"):
        tilted_law(ACTIVATIONS["identity"], C, 10 * np.eye(2), BASE, exact=True).outer()


def test_alike_inputs_need_no_inverse():
    twins = np.array([[1.0, 1.0, 0.3], [1.0, 1.0, 0.3], [0.3, 0.3, 1.0]])
    tilt = np.array([[0.1, 0.0, 0.0], [0.0, 0.05, 0.0], [0.0, 0.0, 0.1]])
    for one in ACTIVATIONS.values():
        law = tilted_law(one, twins, tilt, base_sample(4096, 3), exact=True)
        found = law.outer()
        assert np.isfinite(law.pulled()).all()
        np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_a_base_sample_is_white_and_the_same_again():
    base = base_sample(1000, 3, seed=4)
    assert len(base) == 1024
    np.testing.assert_allclose(base.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(base.T @ base / len(base), np.eye(3), atol=1e-13)
    assert (base == base_sample(1000, 3, seed=4)).all()
    assert (base != base_sample(1000, 3, seed=5)).any()
