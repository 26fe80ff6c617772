"""Leaving out one random shard at a time."""

from functools import reduce

import numpy as np
import pytest

import phiscope
from phiscope.errors import MissingNumberError
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.jackknife import NO_INTERVAL
from phiscope.moments.leaving_out import leave_one_out
from phiscope.moments.moments import fold, merge


def test_leaving_out_rows_is_leaving_out_their_scatter():
    rng = np.random.default_rng(0)
    accumulator = MomentAccumulator(n_shards=3)
    accumulator.update(
        rng.normal(size=(20, 30)), rng.normal(size=(20, 2)), rng.integers(0, 4, 20), rng.random(20) + 0.1
    )
    total, shards = accumulator.result_with_shards()
    assert total.rows is not None
    folded = [fold(shard) for shard in shards]
    for rows, scatter in zip(leave_one_out(shards, total), leave_one_out(folded), strict=True):
        assert rows.rows is not None
        assert rows.n_samples == scatter.n_samples
        np.testing.assert_allclose(rows.group_means, scatter.group_means, atol=1e-13)
        np.testing.assert_allclose(fold(rows).within, scatter.within, atol=1e-12)


def outlying(seed, factor=1e13, n=40):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 2))
    features[7] *= factor
    return features, rng.integers(0, 2, n)


@pytest.mark.parametrize("seed", range(12))
def test_leaving_out_an_outlier_leaves_no_trace_of_it(seed):
    """Subtracted from sums that it dominates, it would leave its own rounding, below 0 in half of the samples."""
    features, labels = outlying(seed)
    accumulator = MomentAccumulator(n_shards=20)
    accumulator.update(features, None, labels)
    total, shards = accumulator.result_with_shards()
    for index, rest in enumerate(leave_one_out(shards, total)):
        expected = fold(reduce(merge, [shard for other, shard in enumerate(shards) if other != index]))
        np.testing.assert_allclose(np.diagonal(rest.within), np.diagonal(expected.within), rtol=1e-9)
        # Pilots are as far apart as the outlier is, which the sums of either class have to carry.
        np.testing.assert_allclose(rest.group_squares, expected.group_squares, rtol=1e-3)
        np.testing.assert_allclose(rest.group_means, expected.group_means, atol=1e-3, rtol=1e-9)


def test_a_class_that_loses_nearly_all_its_weight_keeps_the_rest():
    rng = np.random.default_rng(0)
    weights = np.ones(60)
    weights[0] = 1e16
    accumulator = MomentAccumulator(n_shards=20)
    # The second class is as heavy, so that no shard holds most of the weight.
    weights[1:4] = 1e16
    labels = np.r_[0, 1, 1, 1, np.arange(56) % 2]
    accumulator.update(rng.normal(size=(60, 2)), None, labels, weights)
    total, shards = accumulator.result_with_shards()
    for rest in leave_one_out(shards, total):
        light = rest.group_weights[0] < 1e15
        # Without its heavy sample the class has samples of weight 1; a difference would leave 0, or 32.
        assert rest.group_weights[0] == pytest.approx(rest.group_counts[0] if light else 1e16)


@pytest.mark.parametrize("seed", range(6))
def test_every_interval_of_a_sample_with_an_outlier_is_one(seed):
    features, labels = outlying(seed)
    m = phiscope.diagonalize(features, targets=labels)
    refused = set()
    for name in m.to_dict():
        if name not in NO_INTERVAL:
            try:
                low, high = m.interval(name)
            except MissingNumberError:
                refused.add(name)
                continue
            assert low <= high
    # One sample outweighs all others: of a ratio over a norm nothing is left when it is corrected for that.
    dividing = {"participation_ratio", "participation_ratio_centered", "target_alignment"}
    dividing |= {"target_alignment_whitened", "collapse_distance"}
    # And its class is as good as one sample, whose mean may be anywhere.
    assert refused <= dividing | {"nc1", "cdnv", "nc2_equinorm"}
