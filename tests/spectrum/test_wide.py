"""The solvers of leading eigenfunctions: which is taken, how far it gets, and what is said when one fails."""

import re

import numpy as np
import pytest
import scipy.linalg

import phiscope
from phiscope.measurement.wide import diagonalize_leading
from phiscope.moments.row_table import RowTable
from phiscope.spectrum import wide as solvers
from phiscope.spectrum.wide import Limits
from waiting import longest_wait

EPS = np.finfo(np.float64).eps

ON_SAMPLES = Limits(formed_first=0, memory=0)


def leading(features, k, **options):
    return diagonalize_leading(RowTable({"features": features}), k, **options)


@pytest.mark.parametrize("k", [1, 7, 40, 200, 500])
def test_k_beyond_the_rank_and_beyond_p(k):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((120, 7)) @ rng.standard_normal((7, 90))
    m = leading(x, k, limits=ON_SAMPLES)
    full = phiscope.diagonalize(x)
    assert len(m.raw.eigenvalues) == min(k, 7)
    assert np.abs(m.raw.eigenvalues / full.raw.eigenvalues[: min(k, 7)] - 1).max() < 1e-9


def test_isotropic_features_are_no_obstacle():
    signs = scipy.linalg.hadamard(256)[:, 1:201].astype(float)
    m = leading(signs, 6, limits=ON_SAMPLES)
    assert np.abs(m.raw.eigenvalues - 1).max() < 1e-9
    assert m["stable_rank_centered"] == pytest.approx(200, rel=1e-9)
    # Nothing tells six of 200 equal eigenfunctions from the others, and that is said.
    assert "not surely the leading ones" in " ".join(m.warnings)
    assert m.provenance["raw_subspace_sine_below"] == "1"
    pairs, whole = m["participation_ratio"], 200.0
    error = float(re.search(r"participation_ratio ± ([\d.e+-]+)", " ".join(m.warnings))[1])
    assert abs(pairs - whole) < 6 * error


def test_stopping_early_is_said():
    x = np.random.default_rng(5).standard_normal((400, 300))
    m = leading(x, 30, limits=Limits(formed_first=0, memory=0, most_products=2))
    assert any("stopped before its tolerance" in text for text in m.warnings)
    assert float(m.provenance["raw_largest_residual_share"]) > 1e-2


@pytest.mark.parametrize(("n", "formed_first"), [(400, 8192), (400, 0), (150, 8192)])
@pytest.mark.parametrize("most_products", [3, 60])
def test_what_makes_no_progress_is_given_to_lapack(n, formed_first, most_products, monkeypatch):
    """The edge of a flat spectrum, where the iteration was thought to be quick: LAPACK ends it."""
    monkeypatch.setattr(solvers, "_costs", lambda *_, **__: (1.0, 31.0))
    x = np.random.default_rng(6).standard_normal((n, 200)) + 0.5
    limits = Limits(formed_first=formed_first, most_products=most_products, tolerance=1e-13)
    m = leading(x, 10, limits=limits)
    words = re.fullmatch(r"LAPACK on .*, after block Krylov on .*, (\d+) products", m.provenance["solver"])
    assert 3 <= int(words[1]) <= 32
    for spectrum, rows in ((m.raw, x), (m.centered, x - x.mean(axis=0))):
        full = np.linalg.svd(rows, compute_uv=False)[:10] ** 2 / n
        np.testing.assert_allclose(spectrum.eigenvalues, full, rtol=1e-12)
        assert (spectrum.eigenvalue_bounds < 1e-9 * full).all()
    # Control: without memory the iteration is all there is.
    stopped = diagonalize_leading(
        RowTable({"features": x}), 10, limits=Limits(formed_first=formed_first, most_products=3, memory=0)
    )
    assert np.abs(stopped.raw.eigenvalues / m.raw.eigenvalues - 1).max() > 1e-6


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_few_samples_are_exact_and_nothing_is_as_large_as_the_square_of_the_width(offset):
    """Spikes over a flat bulk, on which the iteration would not end; both operators, to rounding of the largest."""
    import tracemalloc

    rng = np.random.default_rng(7)
    n, p, k = 60, 3000, 12
    x = rng.standard_normal((n, p)) * np.where(np.arange(p) < 5, 40.0, 1.0) + offset
    tracemalloc.start()
    m = leading(x, k)
    assert tracemalloc.get_traced_memory()[1] < 8 * p * p / 3
    tracemalloc.stop()
    assert m.provenance["solver"] == "LAPACK on two 60 x 60 Gram matrices"
    for spectrum, rows in ((m.raw, x), (m.centered, x - x.mean(axis=0))):
        full = np.linalg.svd(rows, compute_uv=False)[:k] ** 2 / n
        np.testing.assert_allclose(spectrum.eigenvalues, full, rtol=0, atol=50 * p * EPS * full[0])
        vectors = spectrum.eigenvectors
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-12)
    assert not any("not surely" in text for text in m.warnings)


def test_many_pairs_of_many_features_are_not_iterated_for():
    """Where the space would hold half of everything, the whole spectrum costs less."""
    x = np.random.default_rng(0).standard_normal((900, 300)) * np.linspace(0.3, 2, 300) + 0.4
    few = leading(x, 100)
    assert few.provenance["solver"] == "LAPACK on the formed covariance"
    full = phiscope.diagonalize(x)
    assert np.abs(few.centered.eigenvalues / full.centered.eigenvalues[:100] - 1).max() < 1e-12


@pytest.mark.parametrize("shape", [(3000, 700), (700, 3000)])
def test_other_threads_go_on_meanwhile(shape):
    x = np.random.default_rng(8).standard_normal(shape)
    assert longest_wait(lambda: leading(x, 40)) < 0.4
    assert longest_wait(lambda: leading(x, 40, limits=Limits(memory=0, most_products=6))) < 0.4
