"""Fitted on one half of the samples, judged on the other: readout and quality.

Quality that labels cannot earn by chance: eigenfunctions from one half of the samples, quality from the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from phiscope.errors import PhiscopeError
from phiscope.findings.findings import Findings
from phiscope.findings.targets import target_cross, target_means, target_variance
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.positive import cholesky_factor, solve_positive, whitened_by
from phiscope.linalg.products import product, row_products
from phiscope.moments.leaving_out import leave_one_out
from phiscope.moments.moments import Moments, merge
from phiscope.spectrum.eigensystem import diagonalize_operator
from phiscope.spectrum.spans import target_spans
from phiscope.typing import FloatArray


def quality_null(n_eigenfunctions: int, n_samples: float) -> FloatArray:
    """Expected centered Pi*(k) when the targets say nothing: k / (n - 1), shape (K,).

    Source: phiscope; the span of uninformative targets is a random one in the n - 1 centered dimensions.

    Example:
        >>> quality_null(2, 5).tolist()
        [0.25, 0.5]
    """
    # One sample can carry all but the last digit of the weight.
    return np.minimum(np.arange(1, n_eigenfunctions + 1) / max(n_samples - 1, 1e-12), 1.0)


def held_out_quality(shards: Sequence[Moments], n_eigenfunctions: int) -> FloatArray:
    """Centered cumulative quality with eigenfunctions from one half and targets of the other, both ways averaged.

    The k leading eigenvectors of half A span features V_k^T phi; the value is the share of the target span of
    half B that an affine function of these features expresses in half B, minus what k random features would
    express there, k / (n_B - 1), rescaled so that 1 stays 1. Uninformative targets average 0.

    Args:
        shards: at least 2 moments of disjoint random shards, with targets.
        n_eigenfunctions: K, how many leading eigenfunctions to follow.

    Returns:
        Shape (K,), at most 1; slightly negative values are noise around 0.

    Source: phiscope.
    """
    halves = reduce(merge, shards[::2]), reduce(merge, shards[1::2])
    curves = [_judged(found, judged, n_eigenfunctions) for found, judged in (halves, halves[::-1])]
    return np.asarray(np.mean(curves, axis=0))


def _judged(found: Moments, judged: Moments, n_eigenfunctions: int) -> FloatArray:
    vectors = diagonalize_operator(found.covariance("features")).eigenvectors[:, :n_eigenfunctions]
    spans = target_spans(judged)
    if spans is None or spans.centered.rank == 0 or vectors.shape[1] == 0:
        return np.zeros(n_eigenfunctions)
    covariance = product(vectors.T, judged.covariance("features").apply(vectors))
    loadings = product(vectors.T, spans.centered.loadings)
    # Gram-Schmidt in the order of k: the Cholesky factor's leading k x k block whitens the first k features.
    floor = np.finfo(np.float64).eps * max(float(np.trace(covariance)), np.finfo(np.float64).tiny)
    factor = cholesky_factor(covariance + floor * np.eye(len(covariance)))
    if factor is None:
        raise PhiscopeError("a covariance with a floor of its own rounding has no Cholesky factor; please report this")
    explained = (whitened_by(factor, loadings) ** 2).sum(axis=1)
    reached = np.minimum(np.cumsum(explained) / spans.centered.rank, 1.0)
    null = quality_null(len(reached), judged.effective_samples)
    curve = np.where(null < 1, (reached - null) / np.where(null < 1, 1 - null, 1.0), 0.0)
    return np.concatenate([curve, np.full(n_eigenfunctions - len(curve), curve[-1] if len(curve) else 0.0)])


HELD_OUT_RIDGE = 1e-6
"""Ridge of the held-out readout, relative to the mean eigenvalue of S: below every direction that carries signal."""


def find_held_out(found: Findings, shards: Sequence[Moments]) -> None:
    """Readout fitted on every other shard and scored on the rest, both ways; not where the whole sample has none."""
    if "readout_r2_held_out" in found.absent:
        return
    score = held_out_r2(reduce(merge, shards[::2]), reduce(merge, shards[1::2]))
    if np.isnan(score):
        found.refuse(("readout_r2_held_out",), "features or targets are constant in one half of the samples")
    else:
        found.numbers["readout_r2_held_out"] = score


def held_out_r2(first: Moments, second: Moments) -> float:
    """Mean R^2 of the head fitted on one half and judged on the other, both ways; NaN where one half is constant."""
    halves = [(half, half.covariance("features")) for half in (first, second)]
    return float(np.mean([_score(*fitted, *judged) for fitted, judged in (halves, halves[::-1])]))


def held_out_without_each(shards: Sequence[Moments]) -> list[float]:
    """`held_out_r2` without each shard in turn; no other sample changes its half."""
    halves = shards[::2], shards[1::2]
    scores = np.empty(len(shards))
    for side, other in ((0, 1), (1, 0)):
        whole = reduce(merge, halves[other])
        scores[side::2] = [held_out_r2(part, whole) for part in leave_one_out(halves[side])]
    return scores.tolist()


def _score(fitted: Moments, covariance: PositiveOperator, judged: Moments, spread: PositiveOperator) -> float:
    """R^2 on `judged` of the affine head fitted to `fitted`, NaN when one of them does not vary; S of both is given."""
    cross, judged_cross = target_cross(fitted), target_cross(judged)
    variance = target_variance(judged)
    if cross is None or judged_cross is None or covariance.trace() <= 0 or variance <= 0:
        return float("nan")
    ridge = HELD_OUT_RIDGE * covariance.trace() / covariance.size
    if covariance.matrix is not None:
        system = covariance.dense()
        system[np.diag_indices_from(system)] += ridge
        weight = solve_positive(system.T, cross)
    else:
        rows = np.asarray(covariance.rows)
        # (A^T A + r)^-1 G = (G - A^T (A A^T + r)^-1 A G) / r never makes p x p.
        small = row_products(rows) + ridge * np.eye(len(rows))
        weight = (cross - product(rows.T, solve_positive(small, product(rows, cross)))) / ridge
    p = fitted.n_features
    offset = target_means(fitted) - target_means(judged) + product(weight.T, judged.mean[:p] - fitted.mean[:p])
    expressed = float(np.einsum("ij,ij->", weight, spread.apply(weight)))
    missed = variance - 2 * float(np.einsum("ij,ij->", weight, judged_cross)) + float(product(offset, offset))
    # More than all of it is rounding.
    return min(1 - (expressed + missed) / variance, 1.0)
