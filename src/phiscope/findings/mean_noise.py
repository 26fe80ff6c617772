"""How much of what lies between class means is there by chance, because each is a mean of few samples."""

from __future__ import annotations

import math

import numpy as np

from phiscope.linalg.eigen import FewRows
from phiscope.linalg.products import product
from phiscope.metrics import class_pairs
from phiscope.metrics.class_pairs import pair_blocks, squared_distances, sum_over_both_orders
from phiscope.metrics.collapse import BETWEEN_TOLERANCE, between_rows
from phiscope.moments.moments import Moments
from phiscope.typing import FloatArray

NOTHING_LEFT = 0.9
"""A share of noise from which on nothing else may be there: it is an estimate itself."""

NEAREST = 0.5
"""Of the distance of two classes so much may be there by chance, where all others are far from each other."""


def share_of_noise(name: str, moments: Moments, n: float) -> float:
    """How much of the squared distances of class means that a collapse number is made of is there by chance; >= 0.

    The mean of n_c samples misses that of the population by tr(S_c) / n_c, in squared length. Directions and pairs
    count as much as they do in the number, whose value is too small, or too large, by about that share.

    Args:
        name: ``"nc1"``, ``"cdnv"``, ``"nc2_equinorm"`` or ``"nc3"``.
        moments: of all samples.
        n: independent samples.

    Returns:
        1 or more where means may be the same in the population; inf where a class has too few samples to tell.

    Source: phiscope.
    """
    present = np.flatnonzero(moments.group_weights > 0)
    shares = moments.group_weights[present] / moments.weight
    counts = n * shares
    if (counts <= 1).any():
        return math.inf
    means = moments.group_means[present, : moments.n_features]
    # Within n_c samples the variance is (n_c - 1) / n_c of that of the class.
    variances = moments.group_squares[present] / moments.group_weights[present] * counts / (counts - 1)
    noise = variances / counts
    if name == "nc1":
        return _of_scatter(moments, means, shares, noise)
    return _of_pairs(means, variances, noise) if name == "cdnv" else _of_centered_means(means, noise)


def _of_scatter(moments: Moments, means: FloatArray, shares: FloatArray, noise: FloatArray) -> float:
    """Of the eigenvalues of S_B, each weighed as in tr(S_W S_B^+)."""
    within = moments.within_covariance()
    trace = within.trace()
    if trace <= 0:
        return 0.0
    pairs = FewRows(between_rows(means, shares))
    values = pairs.values[pairs.values > BETWEEN_TOLERANCE * pairs.values[0]]
    directions = pairs.leading(len(values))
    spread = np.einsum("jk,jk->k", directions, within.apply(directions))
    # What all eigenvalues have by chance, C - 1 of them alike; where few directions hold S_W, these have all of it.
    total = float(product(shares * (1 - shares), noise))
    by_chance = total * np.maximum(1 / (len(shares) - 1), spread / trace)
    parts = spread / values
    return float((parts * by_chance / values).sum() / parts.sum()) if parts.any() else 0.0


def _of_pairs(means: FloatArray, variances: FloatArray, noise: FloatArray) -> float:
    """Of the squared distances of two means, each pair weighed as in CDNV; of the nearest pair, where that is half."""
    if len(means) > class_pairs.DIFFERENCES:
        # Products lose fewer digits about a point amid the means.
        means = means - means.mean(axis=0)
    total = weighed = most = 0.0
    for block in pair_blocks(len(means)):
        later = slice(block.start, None)
        distances = squared_distances(means[block], means[later], len(means), None)
        np.fill_diagonal(distances, np.inf)
        if distances.min() <= 0:
            return math.inf
        ratios = (variances[block, None] + variances[later]) / distances
        by_chance = (noise[block, None] + noise[later]) / distances
        total += sum_over_both_orders(ratios)
        weighed += sum_over_both_orders(ratios * by_chance)
        most = max(most, float(by_chance.max()))
    return max(weighed / total if total else 0.0, most if most >= NEAREST else 0.0)


def _of_centered_means(means: FloatArray, noise: FloatArray) -> float:
    """Of the squared norm of a class mean about the center of all of them, the largest share."""
    vectors = means - means.mean(axis=0)
    squares, n_classes = np.einsum("cp,cp->c", vectors, vectors), len(means)
    by_chance = noise * (1 - 2 / n_classes) + noise.sum() / n_classes**2
    if (by_chance <= 0).all():
        return 0.0
    return float((by_chance / squares).max()) if (squares > 0).all() else math.inf


def samples_for(most: float, share: float, n: float) -> int:
    """How many samples would leave noise no more than `most` of the squared distances, of which it is a share in n.

    Example:
        >>> samples_for(0.1, 0.1, 500), samples_for(0.1, 0.5, 500)
        (500, 4500)
    """
    return math.ceil(n * share * (1 - most) / ((1 - share) * most))


def worth(n: float, moments: Moments) -> str:
    """What to say beside a number of samples that would do, where rows are worth fewer than there are; else nothing."""
    rows = moments.effective_samples
    return f" (rows that came together are worth about {n:.0f} of these {rows:.0f})" if n < (1 - 1e-9) * rows else ""
