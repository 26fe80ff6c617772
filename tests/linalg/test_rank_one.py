"""The rank-one update against a full diagonalization."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mpmath import mp

from phiscope.linalg.rank_one import _bisected, _roots, update


def check(diagonal: np.ndarray, vector: np.ndarray) -> None:
    """Cases are written in ascending order and taken in descending order."""
    diagonal, vector = diagonal[::-1], vector[::-1]
    found = update(diagonal, vector)
    matrix = np.diag(diagonal) + np.outer(vector, vector)
    scale = max(np.linalg.norm(matrix, 2), 1e-300)
    eps = 50 * len(diagonal) * np.finfo(float).eps
    np.testing.assert_allclose(found.eigenvalues, np.linalg.eigvalsh(matrix)[::-1], atol=eps * scale)
    # Rows of apply(identity) are the eigenvectors.
    vectors = found.apply(np.eye(len(diagonal)))
    for count in {0, 1, len(diagonal) // 2, len(diagonal)}:
        np.testing.assert_allclose(found.vectors(count), vectors[:count], atol=1e-15)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(diagonal)), atol=eps)
    np.testing.assert_allclose(vectors @ matrix @ vectors.T, np.diag(found.eigenvalues), atol=eps * scale)
    np.testing.assert_allclose(vectors @ vector, found.along, atol=eps * np.sqrt(scale))


@pytest.mark.parametrize(
    ("diagonal", "vector"),
    [
        ([0.0], [0.0]),
        ([2.0], [3.0]),
        ([0.0, 0.0, 0.0], [1.0, 2.0, 2.0]),
        ([1.0, 1.0, 1.0, 5.0, 5.0], [1.0, 1.0, 0.0, 2.0, 1e-9]),
        ([0.0, 1e-18, 1.0], [1.0, 1.0, 1.0]),
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]),
        ([1.0, 2.0, 3.0], [0.0, 7.0, 0.0]),
        ([0.0, 0.1], [1.0, 1e-14]),
        ([0.0, 0.1, 0.2], [1.0, 1e-14, 1e-14]),
        ([0.0, 1e-3, 1.0], [1e4, 1e-5, 3e4]),
        ([1e-12, 1.0, 1.0 + 1e-15, 1.0 + 2e-15], [1e3, 1e-3, 1.0, 1.0]),
    ],
)
def test_small_cases(diagonal, vector):
    check(np.array(diagonal), np.array(vector))


@settings(deadline=None, max_examples=60)
@example(36, 36, 12, 1e4, 0.5)  # a small entry of the vector behind a large one of another value
@given(
    st.integers(1, 40),
    st.integers(0, 2**31),
    st.sampled_from([0, 3, 12]),
    st.sampled_from([1e-6, 1.0, 1e4]),
    st.floats(0, 0.9),
)
def test_any_spectrum_with_clusters_and_gaps(size, seed, decades, strength, repeated):
    rng = np.random.default_rng(seed)
    values = 10.0 ** -(decades * rng.random(size))
    values[rng.random(size) < repeated] = values[0]
    vector = strength * rng.standard_normal(size)
    vector[rng.random(size) < 0.2] = 0
    check(np.sort(values), vector)


@settings(deadline=None, max_examples=60)
@example(6, 2474222, 12, 1e-6, 0.0)  # a vector that is rounding of the largest, and not of those below it
@given(
    st.integers(2, 12),
    st.integers(0, 2**31),
    st.sampled_from([0, 3, 12]),
    st.sampled_from([1e-6, 1e-2, 1.0, 1e3]),
    st.sampled_from([0.0, 1e-16, 1e-15, 1e-12]),
)
def test_small_eigenvalues_keep_their_own_digits(size, seed, decades, strength, apart):
    """Relative to 50-digit arithmetic, also where poles all but agree; LAPACK's rule would spoil all below eps."""
    rng = np.random.default_rng(seed)
    values = np.sort(10.0 ** -(decades * rng.random(size)))
    values[1] = values[0] * (1 + apart)
    values.sort()
    vector = strength * rng.standard_normal(size) * np.sqrt(values)
    vector[rng.random(size) < 0.2] = 0
    with mp.workdps(50):
        z = mp.matrix([mp.mpf(float(x)) for x in vector])
        matrix = mp.diag([mp.mpf(float(x)) for x in values]) + z * z.T
        expected = np.array(sorted(float(x) for x in mp.eigsy(matrix, eigvals_only=True)))[::-1]
    found = update(values[::-1], vector[::-1])
    # What rounding of its square root, eps sigma_1, leaves of an eigenvalue.
    allowed = 50 * np.finfo(float).eps * np.sqrt(expected[0] / expected)
    assert (np.abs(found.eigenvalues / expected - 1) <= allowed).all()
    vectors = found.apply(np.eye(size))
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(size), atol=1e-13)


def test_a_wrong_vector_is_noticed():
    """Negative control: the check fails when the update belongs to another vector."""
    diagonal = np.arange(5.0)[::-1]
    found = update(diagonal, np.ones(5)).eigenvalues
    assert np.abs(found - np.linalg.eigvalsh(np.diag(diagonal) + 2.0)[::-1]).max() > 0.1


@given(seed=st.integers(0, 10_000), size=st.integers(3, 12), spread=st.sampled_from([0, 3, 12]))
@example(seed=9692, size=6, spread=12)
@settings(max_examples=60, deadline=None)
def test_roots_by_halving_are_those_of_lapack(seed, size, spread):
    """LAPACK knows roots to the rounding of the largest: to 4e-12 in the example of 24 decades, where ours is exact."""
    rng = np.random.default_rng(seed)
    poles = np.sort(rng.uniform(0.1, 1, size) * 10.0 ** rng.uniform(-spread, spread, size))
    z = rng.normal(size=size) * 10.0 ** rng.uniform(-spread / 2, spread / 2, size)
    told = _roots(poles, z)
    known = 1e-15 * told.values.max()
    for which in range(size):
        value, apart = _bisected(poles, z, which)
        assert value == pytest.approx(told.values[which], rel=1e-12, abs=known)
        origin = told.origins[which]
        with mp.workdps(60):
            x = mp.mpf(float(poles[origin])) - mp.mpf(float(apart[origin]))
            terms = [mp.mpf(float(a)) ** 2 / (mp.mpf(float(d)) - x) for a, d in zip(z, poles, strict=True)]
            slope = sum((term / mp.mpf(float(a))) ** 2 for a, term in zip(z, terms, strict=True))
            # One step of Newton's method: how far the root is from here.
            assert abs((1 + sum(terms)) / slope) < 1e-13 * abs(apart[origin])
        assert apart[origin] == pytest.approx(told.distances[which], rel=1e-9, abs=known)


def test_poles_where_lapack_gives_up():
    # One value of 1e27 beside a bulk of ordinary ones: dlaed4 stops before it has found the root below it.
    poles = np.array([9.11799613e-11, 0.694611985, 0.862402197, 1.21864982, 1.52040861, 1.89992607, 3.54248215,
                      4.46954368, 6.01330297, 9.76389104e26])  # fmt: skip
    z = np.array([5.74638404, 0.723488297, 0.430798855, -0.630369814, 0.979690226, -1.50176205, 1.31005467,
                  0.254505591, -0.41732086, -9.42149299e12])  # fmt: skip
    found = update(poles[::-1], z[::-1])
    with mp.workdps(60):
        d, squares = [mp.mpf(x) for x in poles], [mp.mpf(x) ** 2 for x in z]
        ends = [*d, d[-1] + sum(squares)]
        expected = []
        for low, high in pairwise(ends):
            for _ in range(300):
                middle = (low + high) / 2
                positive = 1 + sum(q / (p - middle) for q, p in zip(squares, d, strict=True)) > 0
                low, high = (low, middle) if positive else (middle, high)
            expected.append(float(low))
    np.testing.assert_allclose(found.eigenvalues[::-1], expected, rtol=1e-11)
