"""How many independent samples rows are worth that came together: their shards lie apart as those of fewer would."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from phiscope.moments.moments import Moments, with_groups

SURE = 3.0
"""Standard errors by which shards have to lie farther apart than rows of their own would put them, to be believed."""


def independent_samples(shards: Sequence[Moments], total: Moments) -> float:
    """How many samples, each drawn on its own, would leave the class means as uncertain as shards show them to be.

    Rows that came from one input or one patient are dealt to shards together. Where they are alike, shards lie farther
    apart than as many independent rows would: of those, the mean of n_cg samples of class c misses that of all n_c by
    tr(S_c) (1/n_cg - 1/n_c) in squared length.

    Args:
        shards: moments of disjoint random shards; fewer than two say nothing.
        total: of all of them together.

    Returns:
        At most (sum w)^2 / sum w^2, and less only where shards lie apart by more than chance.

    Source: phiscope; the design effect of Kish 1965, from random groups.
    """
    n, p = total.effective_samples, total.n_features
    counts = n * total.group_weights / total.weight
    # Of a class of one sample nothing is known.
    kept = np.flatnonzero(counts > 1)
    weights, means, counts = total.group_weights[kept], total.group_means[kept, :p], counts[kept]
    variances = total.group_squares[kept] / weights * counts / (counts - 1)
    apart, together = np.zeros(len(kept)), np.zeros(len(kept))
    for shard in shards:
        part = with_groups(shard, len(total.group_counts))
        shares = part.group_weights[kept] / weights
        step = np.where(shares[:, None] > 0, part.group_means[kept, :p] - means, 0.0)
        apart += shares**2 * np.einsum("cp,cp->c", step, step)
        together += shares**2
    expected = float(variances @ (1 - together))
    if len(shards) < 2 or expected <= 0:
        return n
    within = total.within_covariance()
    directions = within.trace() ** 2 / within.squared_norm()
    error = math.sqrt(2 / directions * float(variances**2 @ together)) / expected
    effect = float(counts @ apart) / expected
    return n / effect if effect > 1 + SURE * error else n
