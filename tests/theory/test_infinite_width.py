"""Kernels at infinite width: closed forms, invariances, and wide random networks."""

import numpy as np
import pytest

from phiscope import diagonalize_kernel
from phiscope.theory import nngp
from phiscope.theory.activations import ACTIVATIONS

g = np.random.default_rng(0)
X = g.normal(size=(7, 5))


def test_identity_is_a_product_of_variances():
    kernels = nngp(X, depth=3, activation="identity", weight_variance=2.0, bias_variance=0.5).kernels
    expected = 2 * X @ X.T / 5 + 0.5
    for kernel in kernels:
        np.testing.assert_allclose(kernel, expected)
        expected = 2 * expected + 0.5


def test_relu_keeps_lengths_at_its_critical_variance():
    kernels = nngp(X, depth=4, activation="relu", weight_variance=2.0).kernels
    for kernel in kernels:
        np.testing.assert_allclose(kernel.diagonal(), 2 * np.square(X).sum(1) / 5)


def test_erf_is_the_arc_sine():
    c0, c1 = nngp(X, depth=1, weight_variance=[1.0, 1.5], bias_variance=0.1).kernels
    i, j = 2, 4
    expected = 2 / np.pi * np.arcsin(2 * c0[i, j] / np.sqrt((1 + 2 * c0[i, i]) * (1 + 2 * c0[j, j])))
    assert c1[i, j] == pytest.approx(1.5 * expected + 0.1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_wide_random_network_has_this_kernel(activation):
    known, width = ACTIVATIONS[activation], 1500
    h = X @ g.normal(size=(5, width)) * np.sqrt(1.5 / 5)
    measured = []
    for _ in range(2):
        phi = known.value(h)
        measured.append(1.5 / width * phi @ phi.T)
        h = np.sqrt(1.5 / width) * phi @ g.normal(size=(width, width))
    for kernel, wide in zip(measured, nngp(X, activation=activation).kernels[1:], strict=True):
        # Scatter of relative size sqrt(1 / N), times a few for a fourth moment.
        assert np.abs(kernel - wide).max() < 8 / np.sqrt(width) * np.abs(wide).max()
        assert np.abs(kernel - 1.5 * wide).max() > 8 / np.sqrt(width) * np.abs(wide).max()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_order_and_rotation_of_inputs(activation):
    kernels = nngp(X, activation=activation).kernels
    order, turn = g.permutation(7), np.linalg.qr(g.normal(size=(5, 5)))[0]
    for kernel, moved, turned in zip(
        kernels,
        nngp(X[order], activation=activation).kernels,
        nngp(X @ turn, activation=activation).kernels,
        strict=True,
    ):
        np.testing.assert_allclose(moved, kernel[np.ix_(order, order)], rtol=1e-13)
        np.testing.assert_allclose(turned, kernel, rtol=1e-10, atol=1e-13)


def test_kernels_can_be_diagonalized_and_deep_ones_lose_their_dimensions():
    few = [diagonalize_kernel(kernel)["effective_dimension"] for kernel in nngp(X, 5, weight_variance=1 / 3).kernels]
    # In the ordered phase of g = 1/3 an erf is nearly its tangent, and without biases nothing changes.
    assert few[1] == pytest.approx(few[5], rel=0.05)
    many = [diagonalize_kernel(kernel)["effective_dimension"] for kernel in nngp(X, 5, weight_variance=4.0).kernels]
    # In the chaotic phase inputs drift apart.
    assert many[5] > 1.2 * many[0]
