"""Quality that labels cannot earn by chance: eigenfunctions from one half of the samples, quality from the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import scipy.linalg

from phiscope.arrays import FloatArray
from phiscope.eigensystem import diagonalize_operator
from phiscope.moments import Moments, merge
from phiscope.products import product
from phiscope.spans import target_spans


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
    factor = scipy.linalg.cholesky(covariance + floor * np.eye(len(covariance)), lower=True, check_finite=False)
    whitened = scipy.linalg.solve_triangular(factor, loadings, lower=True, check_finite=False)
    explained = (whitened**2).sum(axis=1)
    reached = np.minimum(np.cumsum(explained) / spans.centered.rank, 1.0)
    null = quality_null(len(reached), judged.weight**2 / judged.squared_weight)
    curve = np.where(null < 1, (reached - null) / np.where(null < 1, 1 - null, 1.0), 0.0)
    return np.concatenate([curve, np.full(n_eigenfunctions - len(curve), curve[-1] if len(curve) else 0.0)])
