"""Dimensions of spectra that are known on paper."""

import numpy as np
import pytest

from phiscope import diagonalize
from phiscope.metrics.dimension import rankme

EPS = np.finfo(np.float64).eps
# A few hundred float64 operations on numbers of order 1.
EXACT = 1e3 * EPS


def orthonormal(n, k, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, k)))[0]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_power_law(power):
    Q = np.linalg.qr(orthonormal(200, 30) - orthonormal(200, 30).mean(0))[0] * np.sqrt(200)
    m = diagonalize(Q * np.arange(1, 31) ** (-power / 2))
    assert m["alpha_req"] == pytest.approx(power, abs=30 * EXACT)
    assert m["rankme"] > m["effective_dimension"]  # singular values, not eigenvalues: a peer differs here by factors


def test_rankme_is_made_of_singular_values():
    """sigma = (2, 1, 1), shares 1/2, 1/4, 1/4: exp(1.5 ln 2); from eigenvalues (4, 1, 1) it would be 2.38."""
    m = diagonalize(np.diag([2.0, 1.0, 1.0]))
    assert m["rankme"] == pytest.approx(2**1.5, abs=1e-5)
    assert m["effective_dimension"] == pytest.approx(
        np.exp(-(4 / 6 * np.log(4 / 6) + 2 / 6 * np.log(1 / 6))), abs=EXACT
    )


def test_srank_counts_to_the_last_percent():
    assert diagonalize(np.diag([0.5, 0.49, 0.005, 0.005]))["srank"] == 2
    assert diagonalize(np.diag([0.5, 0.4899, 0.0051, 0.005]))["srank"] == 3


@pytest.mark.parametrize(("spectrum", "least"), [([1.0], 1), ([1.0, 0.0, 0.0], 1), ([1.0] * 40, 40)])
def test_rankme_stays_between_one_and_the_number_of_singular_values(spectrum, least):
    """The paper's 1e-7 makes the shares sum to 1 + K 1e-7: 0.9999999 for one direction, 40.00001 for 40 equal ones."""
    kept = np.array([value for value in spectrum if value])
    assert rankme(kept, len(spectrum)) == pytest.approx(least, abs=1e-4)
    assert 1 <= rankme(kept, len(spectrum)) <= len(spectrum)
    share = np.sqrt(spectrum) / np.sqrt(spectrum).sum() + 1e-7
    published = np.exp(-(share * np.log(share)).sum())
    assert published < 1 or published > len(spectrum) or len(kept) < len(spectrum)
