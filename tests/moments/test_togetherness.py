"""Rows that came together: how many independent samples they are worth, and what is refused or said for it."""

import numpy as np
import pytest

import phiscope
from phiscope.errors import MissingNumberError
from phiscope.moments.togetherness import independent_samples

CENTERS = np.random.default_rng(1).normal(size=(3, 8)) * 0.6


def sampled(rng, sizes, alike):
    """Rows of groups: the within-class part has the share `alike` of its variance in common within a group."""
    labels = rng.integers(0, 3, len(sizes))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    common, own = rng.normal(size=(len(sizes), 8)), rng.normal(size=(len(groups), 8))
    rows = CENTERS[labels[groups]] + np.sqrt(alike) * common[groups] + np.sqrt(1 - alike) * own
    return rows, labels[groups], groups


def measured(rng, sizes, alike, **more):
    rows, labels, groups = sampled(rng, sizes, alike)
    return phiscope.diagonalize(rows, targets=labels, groups=groups, **more)


def worth(m):
    return independent_samples(m.resampling.shards, m.resampling.whole)


@pytest.mark.parametrize(
    ("sizes", "alike", "expected"),
    [
        (np.full(100, 6), 1.0, 100),
        (np.full(100, 6), 0.5, 600 / 3.5),
        (np.tile([1, 2, 3, 10], 40), 1.0, 640**2 / (40 * 114)),
    ],
    ids=["copies", "half alike", "of uneven sizes"],
)
def test_rows_of_a_group_are_worth_what_the_design_effect_says(sizes, alike, expected):
    """n / (1 + (m - 1) alike), and for copies the number of groups."""
    found = [worth(measured(np.random.default_rng(seed), sizes, alike)) for seed in range(12)]
    assert np.mean(found) == pytest.approx(expected, rel=0.2)


def test_rows_of_their_own_are_worth_their_number():
    """Named or not: chance alone is not taken for likeness, not even once in so many samples."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        m = measured(rng, np.ones(60, dtype=int), 0.0)
        assert worth(m) == 60
        weights = rng.uniform(size=60)
        rows, labels, _ = sampled(rng, np.ones(60, dtype=int), 0.0)
        weighted = phiscope.diagonalize(rows, targets=labels, weights=weights)
        assert worth(weighted) == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


def test_class_means_of_few_groups_are_noise_however_many_rows_they_have():
    m = measured(np.random.default_rng(2), np.full(24, 50), 0.9)
    assert any("rows that came together are worth about" in text for text in m.warnings), m.warnings
    for name in ("nc1", "cdnv"):
        with pytest.raises(MissingNumberError, match=r"noise of so few samples.*rows that came together are worth"):
            m.interval(name)
    rows, labels, _ = sampled(np.random.default_rng(2), np.full(24, 50), 0.9)
    assert phiscope.diagonalize(rows, targets=labels).interval("cdnv")


def test_shards_that_few_groups_or_weights_fill_give_no_interval():
    rng = np.random.default_rng(3)
    heavy = measured(rng, np.array([*[1] * 60, *[40] * 4]), 0.5)
    rows, labels, _ = sampled(rng, np.ones(300, dtype=int), 0.0)
    weighted = phiscope.diagonalize(rows, targets=labels, weights=np.where(np.arange(300) < 5, 100.0, 1.0))
    for m in (heavy, weighted):
        for ask in (lambda m=m: m.interval("participation_ratio"), lambda m=m: m.curve_interval("eigenvalues")):
            with pytest.raises(MissingNumberError, match="few groups or weighted samples hold most of the weight"):
                ask()
        assert not m.estimates
        assert "participation_ratio_corrected" in m
    even = phiscope.diagonalize(rows, targets=labels, weights=np.where(np.arange(300) < 150, 2.0, 1.0))
    assert even.interval("participation_ratio")
