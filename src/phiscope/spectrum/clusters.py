"""Clusters of nearly equal eigenvalues, inside which single eigenfunctions are not determined.

Two eigenvalues are told apart neither when they are almost equal nor when their distance is within the sampling
error of the larger one. The single e_k of a cluster, and with them Q*_k and Qhat_k, are defined only up to a
rotation; sums over the whole cluster are safe.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from phiscope.errors import InputError

CLUSTER_GAP = 0.05
"""Neighbors closer than this, relative to the larger one, belong to one cluster: at a gap of 5 % a change of the
operator by 5 % of the eigenvalue already turns one eigenfunction into the other."""

SAMPLING_ERRORS = 1.0
"""Neighbors closer than so many standard errors of the larger one belong to one cluster, too: North's rule of
thumb. The standard error of rho_k is about rho_k sqrt(2 / n); heavier tails than Gaussian ones make it larger."""


def relative_sampling_error(n_samples: float) -> float:
    """Standard error of an eigenvalue relative to itself, sqrt(2 / n), for Gaussian features.

    Args:
        n_samples: number of independent samples, or the effective number of weighted ones, positive.

    Raises:
        InputError: the number is not positive.

    Source: North et al. 1982, Monthly Weather Review 110, equation 24.

    Example:
        >>> relative_sampling_error(200)
        0.1
    """
    if not n_samples > 0:
        raise InputError(f"n_samples is {n_samples}, expected a positive number of samples")
    return math.sqrt(2 / n_samples)


def degenerate_clusters(
    eigenvalues: ArrayLike, *, gap: float = CLUSTER_GAP, n_samples: float | None = None
) -> tuple[tuple[int, int], ...]:
    """Half-open ranges of at least two eigenvalues that cannot be told from their neighbor.

    Neighbors belong together when (rho_k - rho_{k+1}) / rho_k is below `gap`, or below the relative sampling error
    sqrt(2 / n) when `n_samples` is given. Clusters grow from neighbor to neighbor, so the ends of a long one may
    differ by much more.

    Args:
        eigenvalues: rho_k, shape (K,), descending, non-negative.
        gap: largest relative distance inside a cluster, 0..1.
        n_samples: number of independent samples behind the eigenvalues; None judges by `gap` alone.

    Returns:
        ``(start, stop)`` pairs counted from 0, in ascending order.

    Raises:
        InputError: the number of samples is not positive.

    Source: North et al. 1982 for the sampling error; the fixed gap is phiscope's own.

    Example:
        >>> degenerate_clusters([5.0, 1.0, 0.99, 0.98, 0.2])
        ((1, 4),)
        >>> degenerate_clusters([5.0, 4.0, 1.0], n_samples=10)
        ((0, 2),)
    """
    rho = np.asarray(eigenvalues, dtype=np.float64)
    limit = gap if n_samples is None else max(gap, SAMPLING_ERRORS * relative_sampling_error(n_samples))
    if rho.size < 2:
        return ()
    joined = np.concatenate([[False], rho[:-1] - rho[1:] < limit * rho[:-1], [False]])
    # A cluster starts where joining begins and stops one after it ends.
    edges = np.flatnonzero(joined[1:] != joined[:-1])
    return tuple((int(start), int(stop) + 1) for start, stop in edges.reshape(-1, 2))


def cluster_ends(count: int, clusters: tuple[tuple[int, int], ...]) -> list[int]:
    """For each of `count` eigenvalues, how many eigenvalues there are up to the end of its cluster.

    Example:
        >>> cluster_ends(5, ((1, 4),))
        [1, 4, 4, 4, 5]
    """
    ends = list(range(1, count + 1))
    for start, stop in clusters:
        ends[start:stop] = [min(stop, count)] * (min(stop, count) - start)
    return ends
