"""Networks weighed by their evidence, against a closed form and against themselves."""

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.studies.posterior import log_evidence, posterior_kernels
from phiscope.theory import nngp
from phiscope.theory.setting import setting_of

X = np.random.default_rng(0).normal(size=(4, 3))
Y = np.array([[1.0], [-1.0], [-1.0], [1.0]])


def sampled(activation="erf", depth=1, width=8, noise=0.3, draws=20_000, seed=0, scale=1.0):
    setting = setting_of(X, depth, activation, 1.2, 0.1)
    return posterior_kernels(setting, scale * Y, width=width, noise=noise, draws=draws, seed=seed)


def test_the_evidence_is_that_of_a_gaussian():
    kernels = np.stack([np.eye(4), 2 * np.eye(4) + 1])
    for found, kernel in zip(log_evidence(kernels, Y, 0.5), kernels, strict=True):
        loud = kernel + 0.5 * np.eye(4)
        expected = -(np.linalg.slogdet(loud)[1] + (Y.T @ np.linalg.solve(loud, Y)).item()) / 2
        assert found == pytest.approx(expected)


def test_one_linear_unit_by_quadrature():
    """One input, one unit: the kernel is g h^2, and its posterior mean an integral in one dimension."""
    x, y, noise, g = np.array([[1.0], [1.0]]), np.array([[2.0], [2.0]]), 0.5, 1.0
    found = posterior_kernels(
        setting_of(x, 1, "identity", g, 0.0), y, width=1, noise=noise, draws=200_000, seed=0
    ).kernels[1][0, 0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    evidence = weights * np.exp(log_evidence(nodes[:, None, None] ** 2 * np.ones((2, 2)), y, noise))
    assert found == pytest.approx((evidence * nodes**2).sum() / evidence.sum(), rel=0.02)


def test_much_noise_leaves_the_prior():
    for depth in (1, 2):
        found = sampled(depth=depth, noise=1e9)
        assert found.effective == pytest.approx(20_000, rel=1e-6)
        wide = nngp(X, depth, "erf", 1.2, 0.1).kernels
        # At depth 1 the prior's scatter is taken off; above it, it is not known.
        close = 1e-7 if depth == 1 else 0.02
        np.testing.assert_allclose(found.kernels[-1], wide[-1], atol=close)


def test_the_same_seed_gives_the_same_and_another_is_within_its_error():
    one, again, other = sampled(), sampled(), sampled(seed=1)
    assert (one.kernels[1] == again.kernels[1]).all()
    spread = 19 / 20 * np.square(one.left_out - one.left_out.mean(axis=0)).sum(axis=0)
    gap = np.linalg.norm(one.kernels[1] - other.kernels[1])
    assert 0 < gap < 5 * np.sqrt(2 * spread.sum())
    assert 100 < one.effective < one.draws == 20_000


def test_stronger_targets_leave_fewer_networks():
    assert sampled(scale=2.0).effective < 0.5 * sampled().effective


def test_too_few_networks_are_refused():
    with pytest.raises(InputError, match="10 networks in 20 parts"):
        sampled(draws=10)
