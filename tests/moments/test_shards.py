"""How many random shards there are, and how rows are dealt to them."""

from functools import reduce

import numpy as np
import pytest

from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.moments import merge
from phiscope.moments.shards import shards_for_all


def test_shards_share_one_memory():
    assert shards_for_all([100]) == 20
    assert shards_for_all([2048] * 4) == 8
    assert shards_for_all([2048] * 5) == 1


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize(("batch", "n_batches"), [(40, 3), (400, 12)])
def test_shards_that_outgrow_their_memory_are_merged(precision, batch, n_batches):
    """The naive twin merges the shards that were never folded: i into i mod 2."""
    g = np.random.default_rng(0)
    rows = [g.normal(size=(batch, 6)) for _ in range(n_batches)]
    # Classes that come late are what makes sums large.
    labels = [g.integers(0, 5_000 * (1 + index), size=batch) for index in range(n_batches)]
    whole = MomentAccumulator(num_classes=200_000, n_shards=20, precision=precision)
    tight = MomentAccumulator(num_classes=200_000, n_shards=20, precision=precision, shard_memory=8 * 6 * 20 * 100)
    for X, y in zip(rows, labels, strict=True):
        whole.update(X, targets=y)
        tight.update(X, targets=y)
    (total, many), (folded_total, two) = whole.result_with_shards(), tight.result_with_shards()
    assert (len(many), len(two)) == (20, 2)
    tolerance = 1e-12 if precision == "exact" else 1e-5
    assert total.n_samples == folded_total.n_samples == batch * n_batches
    for place, half in enumerate(two):
        twin = reduce(merge, many[place::2])
        assert half.n_samples == twin.n_samples
        np.testing.assert_allclose(
            half.covariance("features").dense(), twin.covariance("features").dense(), atol=tolerance, rtol=tolerance
        )
        np.testing.assert_allclose(half.mean, twin.mean, atol=tolerance)
        np.testing.assert_array_equal(half.group_counts, twin.group_counts)
    np.testing.assert_allclose(
        folded_total.covariance("features").dense(), total.covariance("features").dense(), atol=tolerance
    )


def test_shards_with_room_stay_as_many_as_they_were():
    accumulator = MomentAccumulator(n_shards=20)
    accumulator.update(np.random.default_rng(0).normal(size=(400, 6)), targets=np.arange(400) % 3)
    assert len(accumulator.result_with_shards()[1]) == 20
