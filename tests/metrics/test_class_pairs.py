"""Numbers over pairs of classes with thousands of them: the same values in blocks, and memory that does not square."""

import tracemalloc

import numpy as np
import pytest

from phiscope.metrics import class_pairs, collapse


def naive_cdnv(means, variances):
    pairs = [(a, b) for a in range(len(means)) for b in range(len(means)) if a != b]
    ratios = [(variances[a] + variances[b]) / (2 * ((means[a] - means[b]) ** 2).sum()) for a, b in pairs]
    return np.mean(ratios)


def naive_equiangular(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return np.abs(cosines + 1 / (len(unit) - 1))[~np.eye(len(unit), dtype=bool)].mean()


@pytest.fixture(params=[1, 7, 60, 61, 1000])
def small_blocks(request, monkeypatch):
    monkeypatch.setattr(class_pairs, "PAIR_BLOCK", request.param)


@pytest.mark.parametrize("differences", [0, 10**6])
def test_pairs_in_blocks_are_the_pairs_of_the_definition(small_blocks, monkeypatch, differences):
    monkeypatch.setattr(class_pairs, "DIFFERENCES", differences)
    rng = np.random.default_rng(0)
    means, variances = rng.standard_normal((61, 9)), rng.random(61)
    assert collapse.cdnv(means, variances) == pytest.approx(naive_cdnv(means, variances), rel=1e-12)
    assert collapse.nc2_equiangular(means) == pytest.approx(naive_equiangular(means), rel=1e-12)
    # The same from products that both share.
    centered = means - means.mean(axis=0)
    products = class_pairs.pair_products(centered)
    assert collapse.cdnv(means, variances, products=products) == pytest.approx(naive_cdnv(means, variances), rel=1e-12)
    found = collapse.nc2_equiangular(centered, products)
    assert found == pytest.approx(naive_equiangular(centered), rel=1e-12)
    assert found != pytest.approx(naive_equiangular(means), rel=1e-3)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_close_pairs_of_far_away_means_keep_their_digits(monkeypatch, offset):
    monkeypatch.setattr(class_pairs, "DIFFERENCES", 0)
    rng = np.random.default_rng(1)
    means = offset + np.repeat(100 * rng.standard_normal((10, 5)), 2, axis=0)
    means[1::2] += 1e-4
    expected = naive_cdnv(means, np.ones(20))
    assert collapse.cdnv(means, np.ones(20)) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(class_pairs, "CANCELS", 0.0)
    assert collapse.cdnv(means, np.ones(20)) != pytest.approx(expected, rel=1e-9)


def test_equal_means_are_found_on_both_roads(monkeypatch):
    means = np.array([[0.1, 0.2], [3.0, 4.0], [0.1, 0.2]])
    assert collapse.cdnv(means, np.ones(3)) == np.inf
    monkeypatch.setattr(class_pairs, "DIFFERENCES", 0)
    assert collapse.cdnv(means, np.ones(3)) == np.inf


def test_memory_of_pairs_does_not_square():
    rng = np.random.default_rng(3)
    means, variances = rng.standard_normal((12_000, 4)), np.ones(12_000)
    tracemalloc.start()
    collapse.cdnv(means, variances)
    collapse.nc2_equiangular(means)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000**2 * 8 / 4
