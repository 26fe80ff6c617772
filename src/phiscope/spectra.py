"""Both spectra of a measurement with quality, utilization and the power of the targets."""

from __future__ import annotations

from phiscope.arrays import FloatArray
from phiscope.findings import Outputs, spectrum_with_shares
from phiscope.operators import PositiveOperator
from phiscope.spans import TargetSpans
from phiscope.spectrum import Eigensystem, FunctionSpan, Spectrum, diagonalize_with_mean, fix_signs


def both_spectra(
    covariance: PositiveOperator,
    mean: FloatArray,
    targets: TargetSpans | None,
    outputs: Outputs | None,
    crosses: tuple[FloatArray | None, FloatArray | None],
) -> tuple[Spectrum, Spectrum]:
    """Raw and centered spectrum with quality and utilization."""
    directions = (None, None) if targets is None or targets.directions is None else targets.directions
    target_pair: tuple[FunctionSpan | None, FunctionSpan | None] = (None, None)
    output_pair: tuple[FunctionSpan | None, FunctionSpan | None] = (None, None)
    if targets is not None:
        target_pair = (targets.raw, targets.centered)
    if outputs is not None:
        output_pair = (outputs.raw_span, outputs.centered_span)
    raw, centered = (
        spectrum_with_shares(_signed(system, pointing), *spans)
        for system, pointing, spans in zip(
            diagonalize_with_mean(covariance, mean),
            directions,
            zip(target_pair, output_pair, crosses, strict=True),
            strict=True,
        )
    )
    return raw, centered


def _signed(system: Eigensystem, directions: FloatArray | None) -> Eigensystem:
    """The system with signs fixed once its eigenvectors are read; no number depends on them."""
    return Eigensystem(
        eigenvalues=system.eigenvalues,
        eigenvectors=lambda: fix_signs(system.eigenvectors, directions),  # type: ignore[arg-type]
        projector=system.project,
    )
