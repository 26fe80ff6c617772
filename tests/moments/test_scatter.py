"""Scatter about pilots: what several shards add in turn stays apart."""

import numpy as np
import pytest

from phiscope.moments.pilots import Pilots
from phiscope.moments.scatter import Scatter

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("holds", [False, True])
def test_scatters_that_share_their_memory_do_not_mix(dtype, holds):
    """Two shards fed in turn, with many products between two additions to the float64 sums."""
    layout = (40, 0, 0, True)
    pilots = Pilots(layout, dtype)
    both, fed = [Scatter(pilots, holds=holds) for _ in range(2)], [[], []]
    for turn, size in enumerate([3000, 2900, 17, 1, 5000, 4096, 700, 20000]):
        rows, groups = RNG.standard_normal((size, 40)).astype(np.float32) + 3, RNG.integers(0, 4, size)
        both[turn % 2].add([([rows], slice(0, size))], groups, np.ones(size))
        fed[turn % 2].append((rows, groups))
    for scatter, parts in zip(both, fed, strict=True):
        rows, groups = (np.concatenate(part) for part in zip(*parts, strict=True))
        found = scatter.moments()
        means = np.stack([rows[groups == g].mean(axis=0, dtype=float) for g in range(4)])
        offsets = rows - means[groups]
        tolerance = 1e-12 if dtype == np.float64 else 1e-6
        np.testing.assert_allclose(found.group_means, means, atol=tolerance)
        np.testing.assert_allclose(found.within / len(rows), offsets.T @ offsets / len(rows), atol=tolerance)
