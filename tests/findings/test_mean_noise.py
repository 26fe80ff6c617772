"""How much of the distances of class means is noise: closed forms, a naive twin, populations without any distance."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phiscope.findings.mean_noise import share_of_noise
from phiscope.moments.accumulator import MomentAccumulator

NAMES = ("nc1", "cdnv", "nc2_equinorm", "nc3")


def moments_of(features, labels, weights=None):
    accumulator = MomentAccumulator(num_classes=int(labels.max()) + 1)
    accumulator.update(features, targets=labels, weights=weights)
    return accumulator.finish()[0]


def naive(features, labels):
    """The four shares from their definition, a class and a pair at a time."""
    n, classes = len(labels), np.unique(labels)
    groups = [features[labels == c] for c in classes]
    means = np.array([group.mean(axis=0) for group in groups])
    variances = [((group - group.mean(axis=0)) ** 2).sum() / (len(group) - 1) for group in groups]
    noise = [variance / len(group) for variance, group in zip(variances, groups, strict=True)]
    shares = [len(group) / n for group in groups]
    center = features.mean(axis=0)
    between = sum(pi * np.outer(mu - center, mu - center) for pi, mu in zip(shares, means, strict=True))
    within = sum(np.atleast_2d(np.cov(group.T, bias=True)) * pi for pi, group in zip(shares, groups, strict=True))
    by_chance = sum(pi * (1 - pi) * size for pi, size in zip(shares, noise, strict=True))
    top = bottom = 0.0
    values, vectors = np.linalg.eigh(between)
    for value, vector in zip(values, vectors.T, strict=True):
        if value > 1e-10 * values.max():
            inside = vector @ within @ vector
            bottom += inside / value
            top += inside / value * by_chance * max(1 / (len(classes) - 1), inside / np.trace(within)) / value
    found = {"nc1": top / bottom}
    pairs = [(a, b) for a in range(len(classes)) for b in range(a)]
    ratios, chances = [], []
    for a, b in pairs:
        distance = ((means[a] - means[b]) ** 2).sum()
        ratios.append((variances[a] + variances[b]) / distance)
        chances.append((noise[a] + noise[b]) / distance)
    weighed = float(np.average(chances, weights=ratios))
    found["cdnv"] = max(weighed, max(chances) if max(chances) >= 0.5 else 0.0)
    vectors, size = means - means.mean(axis=0), len(classes)
    found["nc3"] = max(
        (own * (1 - 2 / size) + sum(noise) / size**2) / (vector @ vector)
        for own, vector in zip(noise, vectors, strict=True)
    )
    return found | {"nc2_equinorm": found["nc3"]}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 8), st.floats(0.2, 3.0))
def test_shares_are_those_of_the_definition(seed, n_classes, p, signal):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.repeat(np.arange(n_classes), 2), rng.integers(0, n_classes, 20)]
    features = signal * rng.normal(size=(n_classes, p))[labels] + rng.normal(size=(len(labels), p))
    moments, expected = moments_of(features, labels), naive(features, labels)
    for name in NAMES:
        assert share_of_noise(name, moments, len(labels)) == pytest.approx(expected[name], rel=1e-6)


def test_two_points_by_hand():
    """Means 0 and 3, each of two samples one apart from it on either side: variance 2 of the class, 1 of its mean."""
    moments = moments_of(np.array([[-1.0], [1.0], [2.0], [4.0]]), np.array([0, 0, 1, 1]))
    assert share_of_noise("cdnv", moments, 4) == pytest.approx(2 / 9)
    assert share_of_noise("nc3", moments, 4) == pytest.approx(0.5 / 2.25)
    assert share_of_noise("nc1", moments, 4) == pytest.approx(0.5 / 2.25)


@pytest.mark.parametrize("name", NAMES)
def test_of_classes_that_are_the_same_all_is_noise(name):
    """Negative control, and the share of four samples as many is a fourth where means do differ."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    found = [share_of_noise(name, moments_of(rng.normal(size=(400, 40)), labels), 400) for _ in range(20)]
    # The nearest pair, and the mean next to the center, lie closer than on average.
    assert 0.85 < np.mean(found) < 1.7
    centers = 2.0 * rng.normal(size=(4, 40))
    few, many = (
        share_of_noise(name, moments_of(centers[np.arange(n) % 4] + rng.normal(size=(n, 40)), np.arange(n) % 4), n)
        for n in (400, 6400)
    )
    assert few == pytest.approx(16 * many, rel=0.25)


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_see_turns_shifts_and_scale(name):
    rng = np.random.default_rng(1)
    labels = np.arange(90) % 3
    features = rng.normal(size=(3, 5))[labels] + rng.normal(size=(90, 5)) * [1, 2, 0.5, 1, 1]
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    plain = share_of_noise(name, moments_of(features, labels), 90)
    assert share_of_noise(name, moments_of(3 * features @ turn + 7, labels), 90) == pytest.approx(plain, rel=1e-8)
    assert share_of_noise(name, moments_of(features, 2 - labels), 90) == pytest.approx(plain, rel=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_told(name):
    features, labels = np.array([[0.0], [1.0], [2.0], [9.0]]), np.array([0, 0, 0, 1])
    assert math.isinf(share_of_noise(name, moments_of(features, labels), 4))
    collapsed = moments_of(np.array([[0.0], [0.0], [2.0], [2.0]]), np.array([0, 0, 1, 1]))
    assert share_of_noise(name, collapsed, 4) == 0
    # A class that never occurs takes no part.
    gap = moments_of(np.array([[-1.0], [1.0], [2.0], [4.0]]), np.array([0, 0, 2, 2]))
    assert share_of_noise(name, gap, 4) == pytest.approx(0.5 / 2.25 if name != "cdnv" else 2 / 9)


def test_weights_count_as_many_samples():
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 3
    features = rng.normal(size=(3, 4))[labels] + rng.normal(size=(60, 4))
    weighted, again = moments_of(features, labels, np.full(60, 2.5)), moments_of(features, labels)
    assert share_of_noise("nc1", weighted, 60) == pytest.approx(share_of_noise("nc1", again, 60), rel=1e-9)
