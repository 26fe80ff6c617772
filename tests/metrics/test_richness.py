"""D_LR and used variance against kernels of the samples."""

import numpy as np
import pytest

from phiscope.metrics.richness import low_rank_curve, low_rank_distance, used_variance
from phiscope.spectrum.spans import OutputFunctions

N, P = 80, 6


def centered_functions(n_outputs, seed=0):
    """Centered features, an orthonormal basis of the span of centered linear outputs, and that basis' loadings."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(N, P)) * np.linspace(0.5, 2, P)
    phi = features - features.mean(0)
    basis = np.linalg.qr(phi @ rng.normal(size=(P, n_outputs)))[0] * np.sqrt(N)
    return phi, basis, phi.T @ basis / N


def kernel_distance_to_projection(phi, basis):
    """1 - CKA of the feature kernel and the projection on the span, in sample space."""
    K, projection = phi @ phi.T, basis @ basis.T
    return 1 - (K * projection).sum() / np.linalg.norm(K) / np.linalg.norm(projection)


def functions_of(basis, loadings):
    # Centered and orthonormal: what is whitened has the identity as its covariance.
    return OutputFunctions(spectrum=np.ones(basis.shape[1]), make=lambda rank: (loadings[:, :rank], np.eye(rank)))


@pytest.mark.parametrize("n_outputs", [1, 2, 5])
def test_distance_is_one_minus_the_similarity_of_kernel_and_projection(n_outputs):
    phi, basis, loadings = centered_functions(n_outputs)
    norm = np.linalg.norm(phi.T @ phi / N)
    found = low_rank_distance(functions_of(basis, loadings), norm, n_outputs)
    assert found == pytest.approx(kernel_distance_to_projection(phi, basis), rel=1e-12)
    # Control: another span of the same rank has another distance.
    _, other, _ = centered_functions(n_outputs, seed=1)
    assert found != pytest.approx(kernel_distance_to_projection(phi, other), rel=1e-3)


def test_a_span_of_nothing_has_no_distance():
    empty = OutputFunctions(spectrum=np.ones(1), make=lambda rank: (np.zeros((P, rank)), np.zeros((rank, rank))))
    assert low_rank_distance(empty, 1.0, 0) is None
    # What holds only the constant has no centered part.
    assert low_rank_distance(empty, 1.0, 1) is None


def test_used_variance_is_what_a_fit_by_the_outputs_leaves():
    phi, basis, loadings = centered_functions(3)
    left = phi - basis @ np.linalg.lstsq(basis, phi, rcond=None)[0]
    expected = 1 - (left**2).sum() / (phi**2).sum()
    assert used_variance(loadings, (phi**2).sum() / N) == pytest.approx(expected, rel=1e-12)
    # With it D_LR is known: 1 - U sqrt(PR / r).
    square = ((phi.T @ phi / N) ** 2).sum()
    participation = ((phi**2).sum() / N) ** 2 / square
    found = low_rank_distance(functions_of(basis, loadings), np.sqrt(square), 3)
    assert found == pytest.approx(1 - expected * np.sqrt(participation / 3), rel=1e-12)


def test_a_curve_has_at_each_tolerance_what_that_rank_gives():
    phi, basis, loadings = centered_functions(4)
    made = []

    def make(rank):
        made.append(rank)
        return loadings[:, :rank], np.eye(rank)

    norm = np.linalg.norm(phi.T @ phi / N)
    functions = OutputFunctions(spectrum=np.array([1.0, 0.1, 1e-3, 1e-9]), make=make)
    curve = low_rank_curve(functions, norm, np.array([1e-12, 1e-6, 1e-2, 0.5]))
    assert [rank for _, rank, _ in curve] == [4, 3, 2, 1]
    for _, rank, value in curve:
        assert value == pytest.approx(kernel_distance_to_projection(phi, basis[:, :rank]), rel=1e-12)
    # The largest rank first, and all others are among its functions.
    assert made == [4]
