"""Both eigensystems of the features; what norms and traces give is there before any decomposition."""

import numpy as np
import pytest

from phiscope import diagonalize
from phiscope.linalg.eigen import Diagonalized
from phiscope.measurement.assemble import WITHOUT_SPECTRUM
from phiscope.spectrum import eigensystem
from phiscope.spectrum.eigensystem import BothSystems, diagonalize_operator, diagonalize_with_mean
from positive_forms import FORMS

RNG = np.random.default_rng(1)
P = 60


def problem(**options):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 3000)
    x = rng.standard_normal((3000, P)) + rng.standard_normal((4, P))[y]
    return diagonalize(x, targets=y, head=(rng.standard_normal((4, P)), None), **options)


@pytest.fixture
def solved(monkeypatch):
    """Sizes of the matrices that were diagonalized."""
    sizes = []

    def counting(matrix):
        sizes.append(len(matrix))
        return Diagonalized(matrix)

    monkeypatch.setattr(eigensystem, "Diagonalized", counting)
    return sizes


@pytest.mark.parametrize("intervals", [None, False])
def test_none_of_them_diagonalizes_the_covariance(solved, intervals):
    measured = problem(intervals=intervals)
    early = {name: measured[name] for name in WITHOUT_SPECTRUM}
    assert P not in solved
    # The control: another number does, and then the early ones stay as they were told.
    assert measured["effective_dimension"] > 1
    assert P in solved
    assert {name: measured[name] for name in WITHOUT_SPECTRUM} == early
    assert {name: measured.numbers[name] for name in measured.numbers if name in WITHOUT_SPECTRUM} == early


def test_they_are_what_the_spectrum_gives():
    measured = problem()
    for centered, suffix in ((False, ""), (True, "_centered")):
        rho = measured.spectrum(centered=centered).eigenvalues
        assert measured[f"participation_ratio{suffix}"] == pytest.approx(rho.sum() ** 2 / (rho @ rho), rel=1e-12)
    spectrum = measured.centered
    share = spectrum.eigenvalues @ spectrum.utilization / spectrum.eigenvalues.sum()
    assert measured["used_variance"] == pytest.approx(share, rel=1e-12)


def test_the_order_of_the_numbers_is_that_of_the_definitions():
    first, second = problem(), problem()
    assert second["dynamical_low_rank"] == first.to_dict()["dynamical_low_rank"]
    assert list(first.numbers) == list(second.numbers)


def test_numbers_and_curves_need_no_eigenvectors(monkeypatch):
    """Forming them is the larger half of the work, and who only reads numbers does not wait for it."""
    formed = []
    vectors = Diagonalized.vectors
    monkeypatch.setattr(Diagonalized, "vectors", lambda self: formed.append(len(self.values)) or vectors(self))
    measured = problem()
    str(measured), measured.to_dict(), measured.regime
    for spectrum in (measured.raw, measured.centered):
        assert spectrum.cumulative_quality is not None
        assert spectrum.target_power is not None
    assert P not in formed
    assert measured.centered.eigenvectors.shape == (P, P)
    assert P in formed


def test_what_was_handed_out_may_be_overwritten():
    """Raw eigenvectors are made late, from memory that no caller holds."""
    expected, measured = problem().raw.eigenvectors, problem()
    measured.centered.eigenvectors[...] = 0.0
    measured.centered.eigenvalues[...] = 1.0
    np.testing.assert_array_equal(measured.raw.eigenvectors, expected)


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_is_diagonalized(form):
    found, expected = FORMS[form]
    system = diagonalize_operator(found)
    rho, v = system.eigenvalues, system.eigenvectors
    np.testing.assert_allclose((v * rho) @ v.T, expected, atol=1e-12)
    np.testing.assert_allclose(v.T @ v, np.eye(len(rho)), atol=1e-13)
    x = RNG.standard_normal((7, 2))
    np.testing.assert_allclose(system.project(x), v.T @ x, atol=1e-12)
    np.testing.assert_allclose(np.abs(system.oriented(None)), np.abs(v), atol=1e-15)
    assert (system.oriented(None).max(axis=0) >= -system.oriented(None).min(axis=0) * (1 - 1e-8)).all()


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_raw_functions_are_combinations_of_centered_ones(form, size):
    """Covariance of raw-whitened functions, and their means, without a difference of large numbers."""
    covariance, expected = FORMS[form]
    mean = size * RNG.standard_normal(7)
    both = diagonalize_with_mean(covariance, mean)
    a, along = both.raw_functions(len(both.raw.eigenvalues)), both.mean_coordinates()
    basis = both.raw.eigenvectors / np.sqrt(both.raw.eigenvalues)
    np.testing.assert_allclose(a.T @ a, basis.T @ expected @ basis, atol=1e-9)
    np.testing.assert_allclose(along, mean @ basis, atol=1e-9)
    np.testing.assert_allclose(a.T @ a + np.outer(along, along), np.eye(len(along)), atol=1e-9)
    for count in range(len(along) + 1):
        np.testing.assert_allclose(both.raw_functions(count), a[:, :count], atol=1e-12)
    # The same from nothing but the two systems, as where only leading eigenpairs are known.
    alone = BothSystems(raw=both.raw, centered=both.centered, mean=mean)
    np.testing.assert_allclose(alone.raw_functions(len(along)), a, atol=1e-9)
    np.testing.assert_allclose(alone.mean_coordinates(), along, atol=1e-9)


@pytest.mark.parametrize("form", list(FORMS))
def test_leading_eigenvectors_and_combinations_are_those_of_all(form):
    covariance, _ = FORMS[form]
    vectors = diagonalize_operator(covariance).eigenvectors
    coefficients = RNG.standard_normal((vectors.shape[1], 2))
    # Of another system: these are asked for before all eigenvectors are known.
    fresh = diagonalize_operator(covariance)
    np.testing.assert_allclose(fresh.leading(2), vectors[:, :2], atol=1e-12)
    np.testing.assert_allclose(fresh.combine(coefficients), vectors @ coefficients, atol=1e-12)
