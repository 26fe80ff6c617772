"""What a linear head can do, against heads that are fitted and trained on the samples."""

import numpy as np
import pytest

from phiscope.metrics.readout import discriminant_information, readout_loss, readout_r2

N, P = 200, 6


def problem(centered=True):
    """Features and targets of a regression, the spectrum of the features and the targets' power on it."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N, P)) * np.linspace(0.2, 2, P) + rng.normal(size=P)
    targets = features @ rng.normal(size=(P, 2)) + rng.normal(size=(N, 2)) + 1
    if centered:
        features, targets = features - features.mean(0), targets - targets.mean(0)
    rho, v = np.linalg.eigh(features.T @ features / N)
    power = ((v.T @ features.T @ targets / N) ** 2).sum(1) / rho
    return features, targets, rho, power


@pytest.mark.parametrize("ridge", [0.0, 0.3, 10.0])
def test_r2_is_that_of_ridge_regression(ridge):
    features, targets, rho, power = problem()
    weight = np.linalg.solve(features.T @ features / N + ridge * np.eye(P), features.T @ targets / N)
    left = ((targets - features @ weight) ** 2).sum() / N
    variance = (targets**2).sum() / N
    assert readout_r2(rho, power, variance, ridge) == pytest.approx(1 - left / variance, rel=1e-12)
    # Control: without the penalty the same targets are fitted better.
    assert ridge == 0 or readout_r2(rho, power, variance) > readout_r2(rho, power, variance, ridge) + 1e-3


@pytest.mark.parametrize("centered", [True, False])
def test_loss_is_that_of_a_head_trained_from_zero(centered):
    features, targets, rho, power = problem(centered)
    step, steps = 1e-4, 3000
    weight, losses = np.zeros((P, 2)), []
    for _ in range(steps + 1):
        residual = features @ weight - targets
        losses.append((residual**2).sum() / N)
        weight -= step * features.T @ residual / N
    found = readout_loss(rho, power, (targets**2).sum() / N, step * np.arange(steps + 1))
    # Steps follow the flow to order step times the largest eigenvalue, of 6 here.
    np.testing.assert_allclose(found, losses, rtol=2e-3)
    assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_discriminant_information_is_a_trace_of_a_quotient(ridge):
    rng = np.random.default_rng(1)
    rows, means = rng.normal(size=(50, P)), rng.normal(size=(3, P))
    covariance, between = rows.T @ rows / 50, means.T @ means
    rho, v = np.linalg.eigh(covariance)
    found = discriminant_information(rho, np.einsum("pk,pq,qk->k", v, between, v), ridge)
    assert found == pytest.approx(np.trace(np.linalg.solve(covariance + ridge * np.eye(P), between)), rel=1e-10)
