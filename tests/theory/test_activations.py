"""Gaussian averages in closed form against quadrature, and which activation lies between two arrays."""

import numpy as np
import pytest
from scipy.special import erf

from phiscope.errors import InputError
from phiscope.theory.activations import ACTIVATIONS, activation_of, recognized

C = np.array([[1.3, 0.5, -0.4], [0.5, 0.7, 0.2], [-0.4, 0.2, 0.9]])
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def average(i, j, function):
    """Of function(h_i, h_j) by quadrature in two dimensions."""
    pair = np.linalg.cholesky(C[np.ix_([i, j], [i, j])] + (1e-14 * np.eye(2) if i == j else 0))
    z = np.stack(np.meshgrid(NODES, NODES)).reshape(2, -1)
    return np.outer(WEIGHTS, WEIGHTS).ravel() @ function(*(pair @ z))


def table(function):
    return np.array([[average(i, j, function) for j in range(3)] for i in range(3)])


def test_erf_against_quadrature():
    one = ACTIVATIONS["erf"]
    np.testing.assert_allclose(one.kernel(C), table(lambda a, b: erf(a) * erf(b)), atol=1e-9)
    np.testing.assert_allclose(one.slopes(C), table(lambda a, b: one.slope(a) * one.slope(b)), atol=1e-9)
    np.testing.assert_allclose(one.bends(C), table(lambda a, b: one.bend(a) * erf(b)), atol=1e-9)


def test_relu_against_quadrature():
    # The kink costs quadrature its digits.
    one = ACTIVATIONS["relu"]
    off = ~np.eye(3, dtype=bool)
    np.testing.assert_allclose(one.kernel(C), table(lambda a, b: one.value(a) * one.value(b)), atol=5e-3)
    np.testing.assert_allclose(one.slopes(C)[off], table(lambda a, b: one.slope(a) * one.slope(b))[off], atol=0.02)


def test_relu_bends_are_the_kernels_change_with_a_variance():
    """By Price, d F_ij / d C_ii is half <phi''(h_i) phi(h_j)>, for a delta as well."""
    one, step = ACTIVATIONS["relu"], 1e-6
    for i in range(3):
        up, down = C.copy(), C.copy()
        up[i, i], down[i, i] = C[i, i] + step, C[i, i] - step
        change = (one.kernel(up) - one.kernel(down))[i] / (2 * step)
        expected = one.bends(C)[i] / 2
        others = [j for j in range(3) if j != i]
        np.testing.assert_allclose(change[others], expected[others], atol=1e-8)
        # On the diagonal <phi'^2 + phi phi''>, and phi is 0 where ReLU bends.
        assert change[i] == pytest.approx(one.slopes(C)[i, i], abs=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_kernels_change_with_a_covariance_is_the_slopes(name):
    one, step = ACTIVATIONS[name], 1e-6
    move = step * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    change = (one.kernel(C + move) - one.kernel(C - move))[0, 1] / (2 * step)
    assert change == pytest.approx(one.slopes(C)[0, 1], abs=1e-8)


def test_an_input_that_is_zero_has_no_angle():
    kernel = np.diag([0.0, 1.0])
    assert ACTIVATIONS["relu"].kernel(kernel).tolist() == [[0.0, 0.0], [0.0, 0.5]]
    assert np.isfinite(ACTIVATIONS["relu"].bends(kernel)).all()


def test_a_relu_kernel_of_alike_inputs_keeps_its_digits():
    kernel = np.full((2, 2), 3.0)
    np.testing.assert_allclose(ACTIVATIONS["relu"].kernel(kernel), 1.5, rtol=1e-12)


def test_activations_are_recognized_by_what_they_do():
    h = np.random.default_rng(0).normal(size=(5, 7))
    for name, one in ACTIVATIONS.items():
        assert recognized(h, one.value(h)) == (name,)
        assert recognized(h.astype(np.float32), one.value(h).astype(np.float32)) == (name,)
    assert recognized(h, np.tanh(h)) == ()
    assert recognized(h, 2 * h) == ()
    assert recognized(np.abs(h), np.abs(h)) == ("relu", "identity")


@pytest.mark.parametrize("scale", [1e-12, 1e-7, 1e-3, 1e6])
def test_the_scale_of_preactivations_does_not_matter(scale):
    """Everything below 1e-6 was the identity, whatever led from one to the other."""
    h = scale * np.random.default_rng(0).normal(size=(5, 7))
    for name, one in ACTIVATIONS.items():
        assert recognized(h, one.value(h)) == (name,)
        assert recognized(h.astype(np.float32), one.value(h).astype(np.float32)) == (name,)
    assert recognized(h, 0.5 * h) == ()
    assert recognized(h, 0 * h) == ()


def test_preactivations_that_are_zero_tell_nothing():
    assert recognized(np.zeros((2, 3)), np.zeros((2, 3))) == ("erf", "relu", "identity")


@pytest.mark.parametrize("name", ["tanh", "", None, 3, ["erf"]])
def test_others_are_refused_by_name(name):
    with pytest.raises(InputError, match="the theory knows erf, relu, identity and no other"):
        activation_of(name)
