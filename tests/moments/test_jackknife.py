"""Leaving out one random shard at a time."""

import numpy as np

from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.jackknife import leave_one_out
from phiscope.moments.moments import fold


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
