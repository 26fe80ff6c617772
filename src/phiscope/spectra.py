"""Both spectra of a measurement with quality, utilization and the power of the targets."""

from __future__ import annotations

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.eigensystem import BothSystems, Coordinates, Eigensystem, Loadings, positive_signs
from phiscope.findings import Outputs
from phiscope.metrics import alignment
from phiscope.spans import TargetSpans
from phiscope.spectrum import FunctionSpan, Spectrum, share_in_span

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
        cumulative_quality=None
        if quality is None or targets is None
        else alignment.cumulative_share(quality, targets.rank),
        cumulative_utilization=None
        if utilization is None or outputs is None
        else alignment.cumulative_share(utilization, outputs.rank),
        target_power=None if cross is None else target_power(rho, coordinates(cross)),
    )


def target_power(eigenvalues: FloatArray, coordinates: FloatArray) -> FloatArray:
    """Squared coefficient of the targets on each eigenfunction, norm^2(v_k^T G) / rho_k, shape (K,)."""
    return np.asarray(np.einsum("kj,kj->k", coordinates, coordinates) / eigenvalues)
