"""Runs of nearly equal eigenvalues, inside which single eigenfunctions are not determined."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

CLUSTER_GAP = 0.05
"""Neighbors closer than this, relative to the larger one, belong to one cluster."""


def degenerate_clusters(eigenvalues: ArrayLike, *, gap: float = CLUSTER_GAP) -> tuple[tuple[int, int], ...]:
    """Half-open ranges of at least two eigenvalues whose neighbors differ by less than ``gap``.

    Inside such a range the single e_k, and so Q*_k and Qhat_k, are defined only up to a rotation; sums
    over the whole range are safe.

    Args:
        eigenvalues: rho_k, shape (K,), descending, non-negative.
        gap: largest relative distance (rho_k - rho_{k+1}) / rho_k inside a cluster.

    Returns:
        ``(start, stop)`` pairs counted from 0.

    Source: phiscope's own threshold; the degeneracy is standard perturbation theory.

    Example:
        >>> degenerate_clusters([5.0, 1.0, 0.99, 0.98, 0.2])
        ((1, 4),)
    """
    rho = np.asarray(eigenvalues, dtype=np.float64)
    if rho.size < 2:
        return ()
    close = np.append(rho[:-1] - rho[1:] < gap * rho[:-1], False)
    clusters: list[tuple[int, int]] = []
    start: int | None = None
    for k, joined in enumerate(close):
        if joined and start is None:
            start = k
        elif not joined and start is not None:
            clusters.append((start, k + 1))
            start = None
    return tuple(clusters)
