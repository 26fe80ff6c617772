"""How far parameters and kernels moved, against the definition."""

import numpy as np
import pytest

from phiscope.metrics.movement import kernel_distance, squared_parameter_norm


def kernel(seed, n=8):
    rows = np.random.default_rng(seed).normal(size=(n, n))
    return rows @ rows.T


def test_kernel_distance_is_one_minus_the_cosine():
    a, b = kernel(0), kernel(1)
    direct = 1 - (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
    assert kernel_distance(a, b) == pytest.approx(direct, abs=1e-14)
    assert kernel_distance(b, a) == pytest.approx(direct, abs=1e-14)
    assert kernel_distance(a, 1e9 * a) == pytest.approx(0, abs=1e-30)
    assert kernel_distance(np.diag([1.0, 0.0]), np.diag([0.0, 1.0])) == 1.0


@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9])
def test_small_distances_keep_their_digits(step):
    """For orthonormal E and F the distance of E and E + step F is step^2 / 2 to its leading digits."""
    e, f = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    found = kernel_distance(e, e + step * f)
    assert found == pytest.approx(step**2 / 2, rel=2 * step**2 + 1e-6)
    if step < 1e-8:
        # Control: the difference from 1 has lost them all.
        assert 1 - 1 / np.linalg.norm(e + step * f) == 0.0


def test_the_norm_of_parameters_is_the_sum_of_all_squares_in_any_order():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=shape) for shape in [(3, 4), (5,), (2, 2, 2), (0,)]]
    assert squared_parameter_norm(parts) == pytest.approx(sum((part**2).sum() for part in parts), rel=1e-14)
    assert squared_parameter_norm(parts) == squared_parameter_norm(parts[::-1])
    assert squared_parameter_norm([]) == 0.0
