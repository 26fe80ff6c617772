"""Numbers that norms and traces give are there before any eigendecomposition of the covariance is."""

import numpy as np
import pytest

from phiscope import diagonalize
from phiscope.lazy import LateMapping
from phiscope.linalg.eigen import Diagonalized
from phiscope.measurement.assemble import WITHOUT_SPECTRUM
from phiscope.spectrum import eigensystem
from phiscope.spectrum.spans import OutputFunctions

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


def test_a_mapping_may_name_known_entries_again():
    mapping = LateMapping({"b": 1.0}, frozenset("ac"), lambda: {"a": 0.0, "b": 2.0, "c": 3.0})
    assert dict(mapping) == {"a": 0.0, "b": 1.0, "c": 3.0}
    assert list(mapping) == ["a", "b", "c"]
    assert LateMapping({"b": 1.0}, frozenset("a"), lambda: 1 / 0)["b"] == 1.0


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


def test_of_many_outputs_only_those_above_the_tolerance_are_formed(monkeypatch):
    """A thousand outputs have as many functions, and few of them count; the curve over tolerances reads them all."""
    formed = []
    vectors = Diagonalized.vectors
    monkeypatch.setattr(Diagonalized, "vectors", lambda self: formed.append(len(self.values)) or vectors(self))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 80)) * np.arange(1.0, 81) ** -1.5
    head = (rng.standard_normal((300, 80)), rng.standard_normal(300))
    measured = diagonalize(x, head=head, targets=rng.integers(0, 300, 500), rank_tolerance=1e-2)
    early = measured.to_dict()
    assert early["output_rank"] < 20
    assert 81 not in formed
    curve = measured.tolerance_curve
    assert 81 in formed
    assert measured.to_dict() == early
    for tolerance, rank, value in curve:
        again = diagonalize(x, head=head, intervals=False, rank_tolerance=tolerance)
        assert (again["output_rank_raw"], again["dynamical_low_rank"]) == (rank, pytest.approx(value, rel=1e-10))


def test_functions_are_made_once_and_made_again_for_more():
    made = []

    def make(rank):
        made.append(rank)
        return np.eye(5)[:, :rank], np.eye(rank)

    functions = OutputFunctions(spectrum=np.ones(5), make=make)
    for rank in (2, 1, 0, 4, 3, 2):
        np.testing.assert_array_equal(functions.centered_loadings(rank), np.eye(5)[:, :rank])
        assert functions.squared_projection(rank) == rank
    assert made == [2, 4]


def test_what_was_handed_out_may_be_overwritten():
    """Raw eigenvectors are made late, from memory that no caller holds."""
    expected, measured = problem().raw.eigenvectors, problem()
    measured.centered.eigenvectors[...] = 0.0
    measured.centered.eigenvalues[...] = 1.0
    np.testing.assert_array_equal(measured.raw.eigenvectors, expected)
