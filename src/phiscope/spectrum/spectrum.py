"""Both spectra with quality, utilization, their curves, and fixed signs.

One diagonalized operator with what its eigenfunctions mean, and the spans of functions they are compared with.

Both spectra of a measurement with quality, utilization and the power of the targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from phiscope.linalg.products import product
from phiscope.spectrum.eigensystem import BothSystems, Coordinates, Eigensystem, Loadings, positive_signs
from phiscope.spectrum.lazy import LateField, settled
from phiscope.spectrum.spans import FunctionSpan, Outputs, TargetSpans
from phiscope.typing import FloatArray


def cumulative_share(share: FloatArray, rank: int) -> FloatArray:
    """Pi(k) = sum of the first k shares over the rank of the span; 0..1, non-decreasing.

    Args:
        share: quality or utilization, shape (K,), each 0..1.
        rank: dimension of the target span or output span, at least 1.

    Returns:
        Shape (K,).

    Source: arXiv:2410.04264 v1.

    Example:
        >>> cumulative_share(np.array([1.0, 0.5, 0.5]), 2).tolist()
        [0.5, 0.75, 1.0]
    """
    return np.minimum(np.cumsum(share) / rank, 1.0)


Spans = tuple[FunctionSpan | None, FunctionSpan | None, Loadings | None]
"""Targets, outputs and G in one reading; None where there are none."""


def both_spectra(
    systems: BothSystems, targets: TargetSpans | None, outputs: Outputs | None
) -> tuple[Spectrum, Spectrum]:
    """Raw and centered spectrum with quality and utilization.

    Args:
        systems: both eigensystems.
        targets: both spans of the targets, None without any.
        outputs: both spans of the outputs, None without any.
    """
    uses = (None, None) if outputs is None else (outputs.raw_span, outputs.centered_span)
    raw: Spans = (None, uses[0], None)
    centered: Spans = (None, uses[1], None)
    if targets is not None:
        raw = (targets.raw, uses[0], targets.raw_cross)
        centered = (targets.centered, uses[1], targets.cross)
    wanted = [part if isinstance(part, Loadings) else part.of for part in (*raw, *centered) if part is not None]
    coordinates = systems.coordinates(wanted)
    by_class = targets is not None and targets.by_class
    return (
        _spectrum(systems.raw, coordinates[0], raw, by_class=by_class),
        _spectrum(systems.centered, coordinates[1], centered, by_class=by_class),
    )


def _spectrum(system: Eigensystem, coordinates: Coordinates, spans: Spans, *, by_class: bool) -> Spectrum:
    """An eigensystem with quality, utilization and their cumulative curves, the power of targets, and fixed signs."""
    targets, outputs, cross = spans
    rho, signs, quality, utilization = system.eigenvalues, None, None, None
    if targets is not None:
        aimed = coordinates(targets.of)
        quality = share_in_span(rho, aimed) if targets.rank else None
        # An eigenfunction is positive on the class it correlates with most strongly.
        signs = positive_signs(aimed.T) if by_class else None
    if outputs is not None and outputs.rank:
        utilization = share_in_span(rho, coordinates(outputs.of))
    return Spectrum(
        eigenvalues=rho,
        # No number depends on the signs.
        eigenvectors=lambda: system.oriented(signs),  # type: ignore[arg-type]
        quality=quality,
        utilization=utilization,
        cumulative_quality=None if quality is None or targets is None else cumulative_share(quality, targets.rank),
        cumulative_utilization=None
        if utilization is None or outputs is None
        else cumulative_share(utilization, outputs.rank),
        target_power=None if cross is None else target_power(rho, coordinates(cross)),
    )


def target_power(eigenvalues: FloatArray, coordinates: FloatArray) -> FloatArray:
    """Squared coefficient of the targets on each eigenfunction, norm^2(v_k^T G) / rho_k, shape (K,)."""
    return np.asarray(np.einsum("kj,kj->k", coordinates, coordinates) / eigenvalues)


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
        following: of a spectrum with `eigenvalue_bounds`, the eigenvalues that are known beyond the K that it holds,
            shape (J,), descending, to 1 % or better; empty where nothing but rounding follows. None where nobody kept
            them.
    """

    eigenvalues: FloatArray
    eigenvectors: FloatArray = LateField()  # type: ignore[assignment]
    quality: FloatArray | None = None
    utilization: FloatArray | None = None
    cumulative_quality: FloatArray | None = None
    cumulative_utilization: FloatArray | None = None
    target_power: FloatArray | None = None
    eigenvalue_bounds: FloatArray | None = None
    following: FloatArray | None = None

    @property
    def is_cut(self) -> bool:
        """Whether more eigenvalues follow the K that it holds, or may: then no sum over them is that over all."""
        return self.eigenvalue_bounds is not None and (self.following is None or len(self.following) > 0)

    @property
    def has_all_vectors(self) -> bool:
        """Whether every eigenvector is here: neither was the spectrum cut, nor did a file keep leading ones only."""
        return not self.is_cut and self.eigenvectors.shape[1] == len(self.eigenvalues)

    @property
    def known_eigenvalues(self) -> FloatArray:
        """The eigenvalues that it holds and those that are known to follow, shape (K + J,), descending."""
        return self.eigenvalues if self.following is None else np.concatenate([self.eigenvalues, self.following])

    def __getstate__(self) -> dict[str, Any]:
        """With its eigenvectors, which may not have been formed yet."""
        return settled(self)


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
