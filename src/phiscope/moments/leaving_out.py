"""Moments of all random shards but one: by taking one away where digits allow it, by merging the others where not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from phiscope.linalg.products import add_outer
from phiscope.moments.moments import Moments, fold, merge, moments_from_rows, with_groups
from phiscope.typing import FloatArray

LEFT_OF_A_SUM = 0.25
"""A shard is subtracted where this share of the weight, of every column's scatter and of every class's own scatter is
left: two bits, no more, are lost. Otherwise, as where one sample outweighs all others, the other shards are merged."""


LEFT_OF_A_GROUP = 1e-6
"""The same for the weight of a class: a sample of few is a large share, and only weights far apart cost digits."""


def leave_one_out(shards: Sequence[Moments], total: Moments | None = None) -> Iterator[Moments]:
    """Moments of all shards but one, for each shard.

    Args:
        shards: G >= 2 moments of disjoint samples.
        total: the moments of all of them together, if known.

    Yields:
        G moments, one at a time; the g-th lacks shard g.
    """
    total = reduce(merge, shards) if total is None else total
    if total.rows is not None and all(shard.rows is not None for shard in shards):
        yield from _rows_without_each(shards, len(total.group_counts))
        return
    if len(shards) == 2:
        # Without the one there is the other.
        yield from (with_groups(other, len(total.group_counts)) for other in reversed(shards))
        return
    if total.within is None:
        total = fold(reduce(merge, shards))
    for index, shard in enumerate(shards):
        part = with_groups(fold(shard), len(total.group_counts))
        others = [*shards[:index], *shards[index + 1 :]]
        gone = Gone.of(total, part)
        if part.weight <= (1 - LEFT_OF_A_SUM) * total.weight and gone.leaves_enough(total, part):
            yield _with_squares(without(total, part, gone), total, others)
        else:
            yield with_groups(reduce(merge, others), len(total.group_counts))


def _rows_without_each(shards: Sequence[Moments], n_groups: int) -> Iterator[Moments]:
    """`leave_one_out` of samples that are fewer than features: their rows are joined, and nothing p x p is made."""
    kept = [(shard.rows, shard.row_groups, shard.row_weights) for shard in shards]
    for index in range(len(shards)):
        rows, groups, weights = (np.concatenate(part) for part in zip(*kept[:index], *kept[index + 1 :], strict=True))
        joined = moments_from_rows(shards[0].layout, rows, groups, weights, n_groups)
        yield replace(joined, labels=shards[0].labels, num_classes=shards[0].num_classes)


@dataclass(frozen=True, kw_only=True)
class Gone:
    """What leaves with some of the samples, besides their own scatter.

    Attributes:
        weights: of each group afterwards, shape (K,).
        step: from the means of all to those of the part, shape (K, d); 0 for groups of which nothing is left.
        strength: what `merge` would add of step step^T, shape (K,).
        scatter: diagonal of all scatter that goes, shape (d,).
    """

    weights: FloatArray
    step: FloatArray
    strength: FloatArray
    scatter: FloatArray

    @classmethod
    def of(cls, total: Moments, part: Moments) -> Gone:
        """What leaves folded moments with a folded part of them."""
        weights = np.where(total.group_counts > part.group_counts, total.group_weights - part.group_weights, 0.0)
        left = weights > 0
        step = np.where(left[:, None], part.group_means - total.group_means, 0.0)
        # What `merge` adds between the two means of a group, from the total's mean.
        strength = np.where(left, part.group_weights * total.group_weights / np.where(left, weights, 1.0), 0.0)
        scatter = np.diagonal(np.asarray(part.within)) + strength @ step**2
        return cls(weights=weights, step=step, strength=strength, scatter=scatter)

    def leaves_enough(self, total: Moments, part: Moments) -> bool:
        """Whether so much of each column's scatter, and of each group that keeps samples, stays that digits do."""
        kept = total.group_counts > part.group_counts
        heavy = (self.weights[kept] > LEFT_OF_A_GROUP * total.group_weights[kept]).all()
        return bool(heavy and (self.scatter <= (1 - LEFT_OF_A_SUM) * np.diagonal(np.asarray(total.within))).all())


def without(total: Moments, part: Moments, gone: Gone | None = None) -> Moments:
    """Moments of the samples of `total` that are not in `part`, the inverse of a merge.

    Args:
        total: folded moments of all samples.
        part: folded moments of some of them.
        gone: what leaves with the part, where that is known already.
    """
    gone = Gone.of(total, part) if gone is None else gone
    left, step = gone.weights > 0, gone.step
    means = total.group_means - step * (part.group_weights / np.where(left, gone.weights, 1.0))[:, None]
    bridge = (step * np.sqrt(gone.strength)[:, None])[gone.strength > 0]
    features = step[:, : total.n_features]
    squares = total.group_squares - part.group_squares - gone.strength * np.einsum("ij,ij->i", features, features)
    return replace(
        total,
        n_samples=total.n_samples - part.n_samples,
        weight=float(gone.weights.sum()),
        squared_weight=total.squared_weight - part.squared_weight,
        group_counts=total.group_counts - part.group_counts,
        group_weights=gone.weights,
        group_means=np.where(left[:, None], means, 0.0),
        group_squares=np.where(left, np.maximum(squares, 0.0), 0.0),
        within=add_outer(np.asarray(total.within) - np.asarray(part.within), bridge, sign=-1.0),
    )


def _with_squares(rest: Moments, total: Moments, others: Sequence[Moments]) -> Moments:
    """The rest with the own scatter of those classes merged anew that lost most of it with the part."""
    chosen = np.flatnonzero((rest.group_squares < LEFT_OF_A_SUM * total.group_squares) & (rest.group_weights > 0))
    if not len(chosen):
        return rest
    p = total.n_features
    weights, means, squares = np.zeros(len(chosen)), np.zeros((len(chosen), p)), np.zeros(len(chosen))
    for shard in others:
        there = chosen < len(shard.group_weights)
        own = chosen[there]
        joined = weights[there] + shard.group_weights[own]
        divisor = np.where(joined > 0, joined, 1.0)
        step = shard.group_means[own, :p] - means[there]
        strength = weights[there] * shard.group_weights[own] / divisor
        squares[there] += shard.group_squares[own] + strength * np.einsum("ij,ij->i", step, step)
        means[there] += step * (shard.group_weights[own] / divisor)[:, None]
        weights[there] = joined
    group_squares = rest.group_squares.copy()
    group_squares[chosen] = squares
    return replace(rest, group_squares=group_squares)
