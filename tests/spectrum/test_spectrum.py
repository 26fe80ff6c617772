"""Shares, curves and values of eigenfunctions against projections on the samples."""

from dataclasses import replace

import numpy as np
import pytest

import phiscope
from phiscope.spectrum.spectrum import Spectrum, cumulative_share, eigenfunctions, share_in_span, target_power

N, P = 90, 5


def problem():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N, P)) * np.linspace(0.3, 2, P) + 1
    return features, features @ rng.normal(size=(P, 2)) + rng.normal(size=(N, 2))


def test_eigenfunctions_are_orthonormal_on_their_samples_in_both_readings():
    features, _ = problem()
    for mean in (None, features.mean(0)):
        phi = features if mean is None else features - mean
        rho, v = np.linalg.eigh(phi.T @ phi / N)
        e = eigenfunctions(features, rho, v, mean)
        np.testing.assert_allclose(e.T @ e / N, np.eye(P), atol=1e-12)
        np.testing.assert_allclose(e * np.sqrt(rho), phi @ v, atol=1e-12)


def test_a_share_is_the_squared_norm_of_a_projection():
    features, targets = problem()
    phi, y = features - features.mean(0), targets - targets.mean(0)
    rho, v = np.linalg.eigh(phi.T @ phi / N)
    e = phi @ v / np.sqrt(rho)
    basis = np.linalg.qr(y)[0]
    found = share_in_span(rho, v.T @ phi.T @ basis / np.sqrt(N))
    np.testing.assert_allclose(found, ((basis.T @ e) ** 2).sum(0) / N, atol=1e-12)
    np.testing.assert_allclose(target_power(rho, v.T @ phi.T @ y / N), ((e.T @ y / N) ** 2).sum(1), atol=1e-12)
    # Rounding of the smallest eigenvalues may step over 1; a share may not.
    assert share_in_span(np.array([1.0]), np.array([[1 + 1e-9]])).tolist() == [1.0]


def test_curves_rise_to_what_the_span_holds_and_stay_below_one():
    assert cumulative_share(np.full(10, 0.1), 1)[-1] <= 1.0
    np.testing.assert_allclose(cumulative_share(np.array([1.0, 0.0, 0.5]), 2), [0.5, 0.5, 0.75])


@pytest.mark.parametrize("centered", [True, False])
def test_a_spectrum_has_the_shares_of_its_own_reading(centered):
    features, targets = problem()
    spectrum = phiscope.diagonalize(features, targets=targets).spectrum(centered=centered)
    phi, y = (features - features.mean(0), targets - targets.mean(0)) if centered else (features, targets)
    e = phi @ spectrum.eigenvectors / np.sqrt(spectrum.eigenvalues)
    basis = np.linalg.qr(y)[0]
    np.testing.assert_allclose(spectrum.quality, ((basis.T @ e) ** 2).sum(0) / N, atol=1e-10)
    np.testing.assert_allclose(spectrum.cumulative_quality, np.cumsum(spectrum.quality) / 2, atol=1e-12)
    np.testing.assert_allclose(spectrum.target_power, ((e.T @ y / N) ** 2).sum(1), atol=1e-10)
    assert spectrum.utilization is None
    assert spectrum.eigenvalue_bounds is None


def test_what_a_cut_spectrum_says_of_itself():
    whole = Spectrum(eigenvalues=np.array([3.0, 2.0]), eigenvectors=np.eye(3)[:, :2])
    assert (whole.is_cut, whole.has_all_vectors) == (False, True)
    assert whole.known_eigenvalues is whole.eigenvalues
    bounds = np.zeros(2)
    cut = replace(whole, eigenvalue_bounds=bounds, following=np.array([1.0]))
    assert (cut.is_cut, cut.has_all_vectors) == (True, False)
    assert cut.known_eigenvalues.tolist() == [3.0, 2.0, 1.0]
    # Nothing follows; and a file of before, of which nobody knows.
    assert not replace(cut, following=np.zeros(0)).is_cut
    assert replace(cut, following=None).is_cut
    assert not replace(whole, eigenvectors=np.eye(3)[:, :1]).has_all_vectors
