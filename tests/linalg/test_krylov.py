"""Leading eigenpairs by block Krylov: closed forms, twins by full decomposition, bounds that hold."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from phiscope.linalg.krylov import lead

EPS = np.finfo(np.float64).eps


def rotated(eigenvalues, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((len(eigenvalues),) * 2))[0]
    return (basis * eigenvalues) @ basis.T, basis


def found(matrix, mean, k, **options):
    return lead(lambda columns: matrix @ columns, mean, k, **{"tolerance": 1e-6, **options})


SPECTRA = {
    "power": 1.0 / np.arange(1, 601),
    "steep": np.exp(-np.arange(600) / 8.0),
    "spikes on a flat bulk": np.where(np.arange(600) < 20, 50.0 - np.arange(600), 1.0),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_known_spectra_come_out_within_their_bounds(name):
    values = SPECTRA[name]
    matrix, basis = rotated(values)
    pairs = found(matrix, np.zeros(600), 20).centered
    assert np.abs(pairs.eigenvalues / values[:20] - 1).max() < 1e-10
    assert (np.abs(pairs.eigenvalues - values[:20]) <= pairs.bounds).all()
    assert values[20] <= pairs.outside
    sine = np.linalg.norm(pairs.eigenvectors - basis[:, :20] @ (basis[:, :20].T @ pairs.eigenvectors), 2)
    assert sine <= pairs.sine < 1e-3
    assert np.abs(pairs.eigenvectors.T @ pairs.eigenvectors - np.eye(20)).max() < 1e-12


def test_one_space_serves_the_second_moment_too():
    matrix, _ = rotated(SPECTRA["power"])
    mean = np.random.default_rng(1).standard_normal(600) / 20
    raw = found(matrix, mean, 12).raw
    true = scipy.linalg.eigh(matrix + np.outer(mean, mean), eigvals_only=True)[::-1]
    assert np.abs(raw.eigenvalues / true[:12] - 1).max() < 1e-10
    assert true[12] <= raw.outside


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(70, 150),
    k=st.integers(1, 20),
    decay=st.floats(0.0, 3.0),
    products=st.integers(1, 8),
    offset=st.floats(0.0, 5.0),
)
def test_bounds_bound_the_error_however_early_the_solver_stops(seed, size, k, decay, products, offset):
    matrix, _ = rotated(np.arange(1.0, size + 1) ** -decay, seed)
    mean = offset * np.random.default_rng(seed).standard_normal(size)
    leading = found(matrix, mean, k, most_products=products, seed=seed + 1)
    for pairs, whole in ((leading.centered, matrix), (leading.raw, matrix + np.outer(mean, mean))):
        true, vectors = (part[..., ::-1] for part in scipy.linalg.eigh(whole))
        kept = len(pairs.eigenvalues)
        rounding = 100 * size * EPS * true[0]
        assert (np.abs(pairs.eigenvalues - true[:kept]) <= pairs.bounds + rounding).all()
        # Some eigenvalue lies within each residual, whether it is the one of that rank or not.
        nearest = np.abs(pairs.eigenvalues[:, None] - true).min(axis=1)
        assert (nearest <= pairs.residuals + rounding).all()
        if kept < size:
            assert true[kept] <= pairs.outside + rounding
        if kept and pairs.sine < 1:
            rest = pairs.eigenvectors - vectors[:, :kept] @ (vectors[:, :kept].T @ pairs.eigenvectors)
            assert np.linalg.norm(rest, 2) <= pairs.sine + 1e-9


def test_a_start_in_the_wrong_invariant_space_is_found_out():
    values = 1.0 / np.arange(1, 601)
    matrix, basis = rotated(values)
    # Residuals vanish: only the probes can tell that these are not the leading ones.
    pairs = found(matrix, np.zeros(600), 20, start=basis[:, 100:120], most_products=1).centered
    assert pairs.residuals.max() < 1e-12
    assert pairs.outside > values[19]
    assert pairs.sine == 1.0
    assert (pairs.bounds >= values[:20] - pairs.eigenvalues).all()


def test_an_estimated_norm_is_right_within_its_standard_error():
    errors = []
    for seed in range(20):
        matrix, _ = rotated(np.where(np.arange(300) < 5, 10.0, 1.0), seed)
        leading = found(matrix, np.zeros(300), 5, seed=seed)
        errors.append((leading.squared_norm - 795.0) / leading.squared_norm_error)
    assert np.mean(np.abs(errors)) < 2.0
    assert np.max(np.abs(errors)) < 6.0


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_the_first_of_some_pairs_are_bounded_by_those_that_follow(cut):
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((80, 80)))[0]
    true = np.geomspace(5, 1e-3, 80)
    matrix = (basis * true) @ basis.T
    found = lead(lambda columns: matrix @ columns, np.zeros(80), 10, tolerance=1e-6, more=5).first(cut)
    for pairs in (found.centered, found.raw):
        assert (np.abs(pairs.eigenvalues - true[:cut]) <= pairs.bounds).all()
        assert pairs.outside >= true[cut]
        known, vectors = pairs.known
        assert len(known) > cut
        np.testing.assert_allclose(known, true[: len(known)], rtol=1e-2)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(len(known)), atol=1e-10)
        assert not pairs.complete


@pytest.mark.parametrize("k", [3, 6, 7, 20])
def test_it_is_said_when_nothing_follows(k):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((6, 300))
    found = lead(lambda columns: rows.T @ (rows @ columns), np.zeros(300), k, tolerance=1e-6, more=1)
    assert len(found.centered.eigenvalues) == min(k, 6)
    assert found.centered.complete == (k >= 6)
    flat = lead(lambda columns: columns.copy(), np.zeros(300), k, tolerance=1e-6, more=1)
    assert not flat.centered.complete
