"""Kernel-target alignment against n x n kernels, and the norm of the class targets without a C x C matrix."""

import numpy as np
import pytest

from phiscope.metrics.alignment import (
    class_target_squared_norm,
    class_target_variance,
    least_k_reaching,
    target_alignment,
)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_alignment_is_the_cosine_of_the_centered_kernels(n_targets):
    rng = np.random.default_rng(n_targets)
    features = rng.normal(size=(60, 5)) + 3
    targets = features @ rng.normal(size=(5, n_targets)) + rng.normal(size=(60, n_targets))
    phi, y = features - features.mean(0), targets - targets.mean(0)
    found = target_alignment(phi.T @ y / 60, ((phi.T @ phi / 60) ** 2).sum(), ((y.T @ y / 60) ** 2).sum())
    K, D = phi @ phi.T, y @ y.T
    assert found == pytest.approx((K * D).sum() / np.linalg.norm(K) / np.linalg.norm(D), rel=1e-12)
    # Control: uncentered kernels have another angle.
    K = features @ features.T
    assert found != pytest.approx((K * D).sum() / np.linalg.norm(K) / np.linalg.norm(D), rel=1e-3)


def test_tiny_and_huge_units_do_not_leave_float64():
    """The product of both squared norms, of order scale^8, does at either end."""
    for scale in (1e-45, 1e45):
        assert target_alignment(scale**2 * np.eye(2), 2 * scale**4, 2 * scale**4) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.5], [0.2, 0.3, 0.5], [0.9, 0.1, 0.0], [1 / 7] * 7])
def test_class_targets_have_the_norm_of_their_covariance(shares):
    pi = np.array(shares)
    expected = ((np.diag(pi) - np.outer(pi, pi)) ** 2).sum()
    assert class_target_squared_norm(pi) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("share", [1e-3, 1e-9, 1e-15])
def test_a_class_of_nearly_all_samples_keeps_its_digits(share):
    """Dc = pi (1 - pi) [[1, -1], [-1, 1]]; 1 - 0.999... by subtraction would have none of them left."""
    found = class_target_squared_norm(np.array([1 - share, share]))
    assert found == pytest.approx((2 * (1 - share) * share) ** 2, rel=1e-12)


def test_a_level_is_reached_at_a_tie_and_not_before():
    tenths = np.cumsum(np.full(10, 0.1))
    assert tenths[8] < 0.9 == pytest.approx(tenths[8])
    assert least_k_reaching(tenths, 0.9) == 9
    assert least_k_reaching(tenths, 0.9 + 1e-6) == 10
    assert least_k_reaching(tenths, 1.1) is None


@pytest.mark.parametrize("share", [0.0, 1e-18, 1e-9, 0.3])
def test_variance_of_class_targets_does_not_cancel(share):
    """2 pi (1 - pi) for two classes: 1 - sum of squares would be rounding for a class of hardly any samples."""
    assert class_target_variance(np.array([1 - share, share])) == pytest.approx(2 * share * (1 - share), rel=1e-12)
