"""The rescaled kernel of one hidden layer, and how it differs from the most probable one."""

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.studies.width import noisy_xor
from phiscope.theory import map_kernels, nngp, scalar_renormalization

X, Y = noisy_xor()


def action(factor, kernel, width, noise=0.1):
    loud = noise * np.eye(8) + factor * kernel
    return factor - np.log(factor) + (np.linalg.slogdet(loud)[1] + Y @ np.linalg.solve(loud, Y)) / width


@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
def test_the_factor_minimizes_the_action(activation):
    found = scalar_renormalization(X, Y, 20, activation)
    kernel = nngp(X, 1, activation).kernels[1]
    least = action(found.factor, kernel, 20)
    factors = np.linspace(0.3, 3, 2000)
    assert least <= min(action(factor, kernel, 20) for factor in factors) + 1e-12
    np.testing.assert_allclose(found.kernel, found.factor * kernel)


def test_it_is_stationary_as_written_down():
    """N (1 - 1 / Q) = tr[g K (v v^T - A)], A = (kappa + g Q K)^-1, v = A y."""
    found = scalar_renormalization(X, Y, 20)
    kernel = nngp(X, 1).kernels[1]
    A = np.linalg.inv(0.1 * np.eye(8) + found.factor * kernel)
    v = A @ Y
    assert 20 * (1 - 1 / found.factor) == pytest.approx(np.trace(kernel @ (np.outer(v, v) - A)), rel=1e-9)
    assert abs(found.slope) < 1e-12


def test_it_is_another_theory_and_the_two_meet_like_one_over_the_width():
    def outputs(kernel):
        return kernel @ np.linalg.solve(kernel + 0.1 * np.eye(8), Y)

    gaps = []
    for width in (50, 200, 800):
        one = outputs(scalar_renormalization(X, Y, width, "identity").kernel)
        other = outputs(map_kernels(X, Y, width, 1, "identity").kernels[1])
        gaps.append(np.linalg.norm(one - other) / np.linalg.norm(one))
    assert gaps[0] > 0.005
    # Four times the width, a quarter of the difference, up to the next order.
    assert 2.5 < gaps[0] / gaps[1] < 4.5
    assert 3.5 < gaps[1] / gaps[2] < 4.5


def test_it_is_of_one_output():
    with pytest.raises(InputError, match="targets have 2 columns, and this formula is of one output"):
        scalar_renormalization(X, np.stack([Y, Y], axis=1), 20)
