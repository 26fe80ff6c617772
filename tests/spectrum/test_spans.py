"""Outputs as spans of functions: as many as count, formed once, and no C x C array for many of them."""

import numpy as np
import pytest

import phiscope
from phiscope import diagonalize
from phiscope.linalg.eigen import Diagonalized
from phiscope.spectrum.spans import OutputFunctions


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
    assert 82 not in formed
    curve = measured.tolerance_curve
    assert 82 in formed
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


@pytest.mark.parametrize("n_outputs", [8, 9, 60, 5000])
def test_a_head_of_many_outputs_says_what_its_outputs_say(n_outputs):
    rng = np.random.default_rng(4)
    features = rng.standard_normal((400, 7)) + 1.0
    head = rng.standard_normal((n_outputs, 7)), 3 * rng.standard_normal(n_outputs)
    outputs = features @ head[0].T + head[1]
    measured = phiscope.diagonalize(features, head=head)
    if n_outputs == 5000:
        # A rotation keeps all that is measured: eight outputs hold what 5000 do, and a C x C scatter is spared.
        outputs = outputs @ np.linalg.qr(np.column_stack(head))[0]
    reference = phiscope.diagonalize(features, outputs)
    for name in (
        "dynamical_low_rank",
        "dynamical_low_rank_centered",
        "used_variance",
        "output_rank",
        "output_rank_raw",
    ):
        assert measured[name] == pytest.approx(reference[name], rel=1e-9, abs=1e-12), name
    difference = measured.centered.cumulative_utilization - reference.centered.cumulative_utilization
    assert np.abs(difference).max() < 1e-9
