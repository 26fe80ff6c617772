"""Fitted on one half, judged on the other: quality and readout of labels that say something and of noise."""

import numpy as np
import pytest

import phiscope
from phiscope.findings.held_out import held_out_quality, quality_null
from phiscope.moments.accumulator import MomentAccumulator


def clustered(n=900, p=12, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    centers = np.random.default_rng(99).normal(size=(classes, p)) * 2
    return centers[labels] + rng.normal(size=(n, p)), labels, (rng.normal(size=(classes, p)), rng.normal(size=classes))


def shards_of(features, labels):
    accumulator = MomentAccumulator(n_shards=20)
    accumulator.update(features, targets=labels)
    return accumulator.shards()


def test_held_out_quality_is_zero_for_labels_that_say_nothing():
    rng = np.random.default_rng(3)
    curves = [held_out_quality(shards_of(rng.normal(size=(300, 10)), rng.integers(0, 3, 300)), 10) for _ in range(40)]
    assert np.abs(np.mean(curves, axis=0)).max() < 0.01
    # The control: in-sample quality of the same kind of labels is not zero but the null level.
    measured = [
        phiscope.diagonalize(rng.normal(size=(300, 10)), targets=rng.integers(0, 3, 300)).centered.cumulative_quality
        for _ in range(40)
    ]
    assert np.mean(measured, axis=0)[-1] == pytest.approx(quality_null(10, 300)[-1], rel=0.2)
    assert quality_null(10, 300)[-1] > 0.03


def test_held_out_quality_finds_clusters():
    features, labels, _ = clustered()
    curve = held_out_quality(shards_of(features, labels), 12)
    assert curve[2] > 0.7
    assert curve[0] < 0.5


def test_a_half_of_constant_features_has_no_held_out_quality():
    rng = np.random.default_rng(0)
    halves = []
    for features in (np.ones((30, 4)), rng.normal(size=(30, 4))):
        accumulator = MomentAccumulator()
        accumulator.update(features, None, np.arange(30) % 3)
        halves.append(accumulator.result())
    found = held_out_quality(halves, 4)
    assert found.shape == (4,)
    # Found in the constant half there is no eigenfunction; judged in it none expresses anything.
    assert (found <= 0).all()
    assert (held_out_quality([halves[0], halves[0]], 4) == 0).all()


def test_held_out_readout_predicts_fresh_samples():
    g = np.random.default_rng(0)
    W = g.normal(size=(8, 2))
    X, fresh = g.normal(size=(4000, 8)), g.normal(size=(4000, 8))
    y, expected = (A @ W + g.normal(size=(4000, 2)) * 3 for A in (X, fresh))
    A = np.hstack([X, np.ones((4000, 1))])
    fit = np.linalg.lstsq(A, y, rcond=None)[0]
    residual = expected - np.hstack([fresh, np.ones((4000, 1))]) @ fit
    r2 = 1 - residual.var(axis=0).sum() / expected.var(axis=0).sum()
    # R^2 of 4000 samples scatters by about 2 sqrt(R^2) (1 - R^2) / sqrt(4000) = 0.015.
    assert phiscope.diagonalize(X, targets=y)["readout_r2_held_out"] == pytest.approx(r2, abs=0.05)
    noise = phiscope.diagonalize(X[:60], targets=g.normal(size=60))
    assert noise["readout_r2_held_out"] < noise["readout_r2"] - 0.05
    assert phiscope.diagonalize(X[:60], targets=X[:60] @ W)["readout_r2_held_out"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("seed", range(40))
def test_no_number_is_both_given_and_absent(seed):
    """One class: its share is 1 up to rounding, and what is left of its variance was once taken for some."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(20, 60)), int(rng.integers(2, 40))
    m = phiscope.diagonalize(rng.normal(size=(n, p)), targets=np.zeros(n, int), weights=rng.uniform(0.1, 3, n))
    assert "readout_r2_held_out" not in m
    assert m.absent["readout_r2_held_out"] == "the targets are constant on these samples"
    assert not set(m.to_dict()) & set(m.absent)
