"""One diagonalized operator with what its eigenfunctions mean, and the spans of functions they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.eigensystem import Eigensystem, Loadings
from phiscope.late import LateField
from phiscope.products import product


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """One diagonalized operator; all arrays are float64 with k first, leading eigenvalue first.

    Attributes:
        eigenvalues: rho_k, shape (K,), descending, positive, in squared feature units.
        eigenvectors: v_k as columns, shape (p, K); a record read from disk may hold only the leading ones.
        quality: Q*_k, shape (K,), 0..1; None without targets.
        utilization: Qhat_k, shape (K,), 0..1; None without outputs.
        cumulative_quality: Pi*(k) for k = 1..K; None without targets.
        cumulative_utilization: Pihat(k) for k = 1..K; None without outputs.
        target_power: squared coefficient of the targets on each eigenfunction, norm^2(v_k^T G) / rho_k, shape (K,),
            in squared target units; None without targets.
        eigenvalue_bounds: distance within which the true k-th eigenvalue lies, shape (K,); None where the whole
            spectrum was computed, to rounding. Only `phiscope.diagonalize(..., k=...)` sets it.
    """

    eigenvalues: FloatArray
    eigenvectors: FloatArray = LateField()  # type: ignore[assignment]
    quality: FloatArray | None = None
    utilization: FloatArray | None = None
    cumulative_quality: FloatArray | None = None
    cumulative_utilization: FloatArray | None = None
    target_power: FloatArray | None = None
    eigenvalue_bounds: FloatArray | None = None


@dataclass(frozen=True, kw_only=True)
class FunctionSpan:
    """A space of functions on the probe, known by how features load on functions u that span it.

    Attributes:
        rank: number of independent functions.
        of: E[phi u^T] for the raw reading, E[(phi - m) u^T] for the centered one. Its columns may be more than the rank
            (class indicators, centered); only L L^T matters.
    """

    rank: int
    of: Loadings

    @cached_property
    def loadings(self) -> FloatArray:
        """The columns, shape (p, j)."""
        return self.of.columns()


def whitened(system: Eigensystem) -> FloatArray:
    """The basis A = U / sqrt(phi) for which u = A^T f is orthonormal, from the eigensystem of a moment of functions f.

    Args:
        system: of the second moment or the covariance of f, size C.

    Returns:
        Shape (C, J); J = 0 when all functions vanish.
    """
    return np.asarray(system.eigenvectors / np.sqrt(system.eigenvalues))


def rank_at(eigenvalues: FloatArray, tolerance: float) -> int:
    """How many descending eigenvalues exceed a share of the largest.

    Example:
        >>> rank_at(np.array([1.0, 1e-3, 1e-6]), 1e-4)
        2
    """
    return int((eigenvalues > tolerance * eigenvalues[0]).sum()) if len(eigenvalues) else 0


def share_in_span(eigenvalues: FloatArray, coordinates: FloatArray) -> FloatArray:
    """Squared norm of each eigenfunction projected on a span: quality for targets, utilization for outputs.

    v_k^T L L^T v_k / rho_k, shape (K,), 0..1, from the coordinates V^T L of shape (K, j).

    Source: arXiv:2410.04264 v1.
    """
    # Cauchy-Schwarz bounds it by 1; beyond that is rounding of the smallest eigenvalues.
    return np.asarray(np.clip(np.einsum("kj,kj->k", coordinates, coordinates) / eigenvalues, 0.0, 1.0))


def eigenfunctions(
    features: FloatArray, eigenvalues: FloatArray, eigenvectors: FloatArray, mean: FloatArray | None
) -> FloatArray:
    """Values e_k(x) = v_k . (phi(x) - mean) / sqrt(rho_k), shape (n, K); mean None is the raw reading."""
    shifted = features if mean is None else features - mean
    return product(shifted, eigenvectors / np.sqrt(eigenvalues))
