"""Clusters of nearly equal eigenvalues, and the sampling error that makes them wider."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phiscope import figures
from phiscope.errors import InputError
from phiscope.spectrum.clusters import cluster_ends, degenerate_clusters, relative_sampling_error


def test_there_is_one_definition_of_a_cluster():
    assert figures.degenerate_clusters is degenerate_clusters


def test_clusters_at_both_ends_and_two_in_a_row():
    assert degenerate_clusters([2, 2, 1, 0.99, 0.5, 0.1, 0.1]) == ((0, 2), (2, 4), (5, 7))
    assert degenerate_clusters([]) == degenerate_clusters([1.0]) == ()
    assert cluster_ends(7, ((0, 2), (5, 7))) == [2, 2, 3, 4, 5, 7, 7]


def test_sampling_error_is_what_it_says():
    g = np.random.default_rng(0)
    top = [np.linalg.eigvalsh(np.cov((g.normal(size=(200, 2)) * [3, 1]).T))[-1] for _ in range(1000)]
    assert np.std(top) / 9 == pytest.approx(relative_sampling_error(200), rel=0.1)


def test_few_samples_join_what_many_tell_apart():
    assert degenerate_clusters([1.0, 0.9], n_samples=50) == ((0, 2),)
    assert degenerate_clusters([1.0, 0.9], n_samples=5000) == ()
    # The fixed gap holds however many samples there are.
    assert degenerate_clusters([1.0, 0.99], n_samples=10**9) == ((0, 2),)
    with pytest.raises(InputError, match="n_samples is 0"):
        degenerate_clusters([1.0, 0.9], n_samples=0)


@given(st.lists(st.floats(1e-6, 1e6), min_size=0, max_size=30))
def test_clusters_are_disjoint_and_hold_only_close_neighbors(values: list[float]) -> None:
    rho = np.sort(np.asarray(values))[::-1]
    inside = {k for start, stop in degenerate_clusters(rho) for k in range(start, stop - 1)}
    close = {k for k in range(len(rho) - 1) if rho[k] - rho[k + 1] < 0.05 * rho[k]}
    assert inside == close
