"""Diagonalising the feature operator: eigenvalues, eigenvectors, signs, and the spans of functions.

Source: arXiv:2410.04264 v1. The non-zero spectrum of the operator T on functions is that of the p x p second
moment M; its eigenfunctions are e_k(x) = v_k . phi(x) / sqrt(rho_k).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from phiscope import rank_one
from phiscope.arrays import FloatArray
from phiscope.lapack import eigh_robust
from phiscope.late import LateField
from phiscope.operators import PositiveOperator

LARGE = 1024
"""From this p on LAPACK's evr is as fast as evd and needs p^2 doubles less (measured with OpenBLAS)."""


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Eigensystem:
    """Eigenvalues, shape (K,), descending and positive, with eigenvectors as columns, shape (p, K).

    Attributes:
        eigenvalues: shape (K,).
        eigenvectors: shape (p, K), or a function that makes them when they are first read.
        projector: V^T x for columns x of shape (p, j), where that is known without the eigenvectors.
    """

    eigenvalues: FloatArray
    eigenvectors: FloatArray = LateField()  # type: ignore[assignment]
    projector: Callable[[FloatArray], FloatArray] | None = None

    def project(self, columns: FloatArray) -> FloatArray:
        """V^T x, shape (K, j), for columns x of shape (p, j)."""
        return np.asarray(self.eigenvectors.T @ columns) if self.projector is None else self.projector(columns)


def diagonalize_operator(operator: PositiveOperator) -> Eigensystem:
    """Eigenvalues above p eps rho_1 with their eigenvectors; all others are rounding.

    From rows the singular value decomposition is used: it never makes p x p and keeps eigenvectors of small
    eigenvalues orthogonal, which the Gram matrix would not.

    Args:
        operator: a symmetric positive operator of size p.

    Returns:
        The eigensystem, K <= p; K = 0 for the zero operator.
    """
    if operator.matrix is not None:
        values, vectors = _full(operator.matrix)
        values, vectors = values[::-1], vectors[:, ::-1]
    else:
        # QR first leaves an r x r problem however many features there are.
        basis, triangle = scipy.linalg.qr(np.asarray(operator.rows).T, mode="economic", check_finite=False)
        rotation, singular, _ = scipy.linalg.svd(triangle, check_finite=False)
        values, vectors = singular**2, basis @ rotation[:, : len(singular)]
    kept = _n_kept(values, operator.size)
    return Eigensystem(
        eigenvalues=np.ascontiguousarray(values[:kept]), eigenvectors=np.ascontiguousarray(vectors[:, :kept])
    )


def _full(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues, ascending, and eigenvectors as columns."""
    if len(matrix) < LARGE:
        # The same LAPACK routine as SciPy's "evd", but other threads go on: a training is not held up by an observer.
        values, vectors = np.linalg.eigh(matrix)
        return values, vectors
    return eigh_robust(matrix)


def _n_kept(descending: FloatArray, size: int) -> int:
    """How many eigenvalues are more than rounding of the largest."""
    return int((descending > size * np.finfo(np.float64).eps * max(descending[0], 0.0)).sum())


def diagonalize_with_mean(covariance: PositiveOperator, mean: FloatArray) -> tuple[Eigensystem, Eigensystem]:
    """Eigensystems of the second moment S + m m^T and of the covariance S, from one diagonalization.

    The second moment's eigenvalues follow by a rank-one update; its eigenvectors are formed when they are read.

    Args:
        covariance: S, of size p.
        mean: m, shape (p,).

    Returns:
        The raw and the centered eigensystem.
    """
    if covariance.matrix is None:
        return diagonalize_operator(covariance.plus_outer(mean)), diagonalize_operator(covariance)
    values, vectors = _full(covariance.matrix)
    rotated = rank_one.update(values, vectors.T @ mean)

    def both(eigenvalues: FloatArray, turn: Callable[[FloatArray], FloatArray]) -> Eigensystem:
        kept = _n_kept(eigenvalues[::-1], len(mean))
        return Eigensystem(
            eigenvalues=np.ascontiguousarray(eigenvalues[::-1][:kept]),
            eigenvectors=lambda: np.ascontiguousarray(turn(vectors.T)[::-1][:kept].T),  # type: ignore[arg-type]
            projector=lambda columns: turn(vectors.T @ columns)[::-1][:kept],
        )

    return both(rotated.eigenvalues, rotated.apply), both(values, np.asarray)


def fix_signs(vectors: FloatArray, class_directions: FloatArray | None) -> FloatArray:
    """Fix the arbitrary signs of eigenvectors so that pictures do not flip.

    An eigenfunction is positive on the class it correlates with most strongly; without classes the largest
    loading is positive.

    Args:
        vectors: columns, shape (p, K).
        class_directions: sqrt(pi_c) times class mean (minus the mean, for the centered operator), shape (C, p).

    Returns:
        The vectors with signs fixed, shape (p, K).
    """
    reference = vectors if class_directions is None else class_directions @ vectors
    # Rounding decides between two equally large entries; comparing with a margin picks the first of them.
    size = np.abs(reference)
    dominant = np.argmax(size >= size.max(axis=0, initial=0.0) * (1 - 1e-9), axis=0)
    sign = np.sign(reference[dominant, np.arange(vectors.shape[1])])
    return np.asarray(vectors * np.where(sign == 0, 1.0, sign))


@dataclass(frozen=True, kw_only=True)
class FunctionSpan:
    """A space of functions on the probe, known by how features load on functions u that span it.

    Attributes:
        rank: number of independent functions.
        loadings: E[phi u^T] for the raw reading, E[(phi - m) u^T] for the centered one, shape (p, columns).
            Its columns may be more than the rank (class indicators, centered); only L L^T matters.
    """

    rank: int
    loadings: FloatArray


def whitening(gram: PositiveOperator) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues phi_j of E[f f^T] and the basis A = U / sqrt(phi) for which u = A^T f is orthonormal.

    Args:
        gram: second moment or covariance of functions f, size C.

    Returns:
        phi of shape (J,), descending, and A of shape (C, J); J = 0 when all functions vanish.
    """
    system = diagonalize_operator(gram)
    return system.eigenvalues, system.eigenvectors / np.sqrt(system.eigenvalues)


def rank_at(eigenvalues: FloatArray, tolerance: float) -> int:
    """How many descending eigenvalues exceed a share of the largest.

    Example:
        >>> rank_at(np.array([1.0, 1e-3, 1e-6]), 1e-4)
        2
    """
    return int((eigenvalues > tolerance * eigenvalues[0]).sum()) if len(eigenvalues) else 0


def share_in_span(system: Eigensystem, span: FunctionSpan) -> FloatArray:
    """Squared norm of each eigenfunction projected on a span: quality for targets, utilization for outputs.

    v_k^T L L^T v_k / rho_k, shape (K,), 0..1.

    Source: arXiv:2410.04264 v1.
    """
    projected = system.project(span.loadings)
    # Cauchy-Schwarz bounds it by 1; beyond that is rounding of the smallest eigenvalues.
    return np.asarray(np.clip(np.einsum("kj,kj->k", projected, projected) / system.eigenvalues, 0.0, 1.0))


def eigenfunctions(
    features: FloatArray, eigenvalues: FloatArray, eigenvectors: FloatArray, mean: FloatArray | None
) -> FloatArray:
    """Values e_k(x) = v_k . (phi(x) - mean) / sqrt(rho_k), shape (n, K); mean None is the raw reading."""
    shifted = features if mean is None else features - mean
    return np.asarray(shifted @ (eigenvectors / np.sqrt(eigenvalues)))
