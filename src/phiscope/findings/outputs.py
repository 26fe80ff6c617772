"""Numbers that need the network's outputs: D_LR, used variance, the regime, the random head."""

from __future__ import annotations

import math

import numpy as np

from phiscope.findings.findings import NO_SPREAD, Findings
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import frobenius_norm
from phiscope.metrics import alignment, richness
from phiscope.metrics.random_head import random_head_distance
from phiscope.metrics.regime import UTILIZATION_LEVEL, RegimeEvidence, decide_regime
from phiscope.moments.moments import Moments
from phiscope.spectrum.spans import Cut, OutputFunctions, Outputs, affine_outputs, measured_outputs
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import AffineHead

OUTPUT_NUMBERS = tuple(row.name for row in richness.DEFINITIONS)


def find_output_numbers(
    found: Findings, outputs: Outputs, covariance_norm: float, trace: float, tolerance: float
) -> None:
    """D_LR in both readings, used variance and the ranks, with the warnings that belong to them.

    None of them needs an eigendecomposition of the covariance, only its norm and its trace.
    """
    found.numbers["output_rank"] = float(outputs.centered_span.rank)
    found.numbers["output_rank_raw"] = float(outputs.raw_span.rank)
    if covariance_norm == 0 or trace <= 0:
        found.refuse(("dynamical_low_rank", "dynamical_low_rank_centered", "used_variance"), NO_SPREAD)
        return
    literal = richness.low_rank_distance(outputs.literal, covariance_norm, outputs.literal.rank(tolerance))
    centered = richness.low_rank_distance(outputs.centered, covariance_norm, outputs.centered.rank(tolerance))
    for name, value in (("dynamical_low_rank", literal), ("dynamical_low_rank_centered", centered)):
        if value is None:
            found.refuse((name,), "the outputs are constant on these samples")
        else:
            found.numbers[name] = value
    if outputs.centered_span.rank:
        found.numbers["used_variance"] = richness.used_variance(outputs.centered_span.loadings, trace)
    else:
        found.refuse(("used_variance",), "the outputs are constant on these samples")
    if literal is None or centered is None:
        return
    if abs(literal - centered) > richness.READINGS_DISAGREE:
        found.warnings.append(
            f"the two readings of D_LR disagree: {literal:.3f} literal, {centered:.3f} centered; say which one you use"
        )
    _warn_of_tolerance(found, outputs.literal, covariance_norm, tolerance)


def _warn_of_tolerance(found: Findings, functions: OutputFunctions, covariance_norm: float, tolerance: float) -> None:
    around = np.array([tolerance / math.sqrt(10), tolerance, tolerance * math.sqrt(10)])
    values = [value for _, _, value in richness.low_rank_curve(functions, covariance_norm, around) if value is not None]
    if values and max(values) - min(values) > richness.TOLERANCE_MOVES:
        found.warnings.append(
            f"D_LR depends on the rank tolerance: it runs from {min(values):.3f} to {max(values):.3f} over one decade "
            f"around {tolerance:g}, because the spectrum of the outputs has no gap there"
        )


def find_regime(
    found: Findings, spectrum: Spectrum, output_rank: int, initial_kernel_similarity: float | None
) -> RegimeEvidence | None:
    """The regime, or None with the reason noted under ``"regime"``."""
    dimension_centered = found.numbers.get("effective_dimension_centered")
    if output_rank == 0 or spectrum.cumulative_utilization is None or dimension_centered is None:
        found.refuse(("regime",), "it needs features and outputs that vary over the samples")
        return None
    k90 = alignment.least_k_reaching(spectrum.cumulative_utilization, UTILIZATION_LEVEL)
    if k90 is None:
        found.refuse(
            ("regime",),
            f"the centered Pihat(k) never reaches {UTILIZATION_LEVEL:g}: the outputs are not an affine function of "
            "these features",
        )
        return None
    return decide_regime(
        output_rank=output_rank,
        k90=k90,
        effective_dimension_centered=dimension_centered,
        initial_kernel_similarity=initial_kernel_similarity,
    )


RANDOM_HEAD_ERROR = 0.005
"""A standard error of the random head's mean beyond this is said."""


def find_random_head(found: Findings, centered: Spectrum, rank: int) -> None:
    """The lazy reference, where there are outputs and features that vary."""
    name = "dynamical_low_rank_random_head"
    if not (rank and len(centered.eigenvalues)):
        found.refuse((name,), "features or outputs are constant on these samples")
        return
    found.numbers[name], error = random_head_distance(centered.eigenvalues, rank)
    if error > RANDOM_HEAD_ERROR:
        found.warnings.append(
            f"{name} is a mean over random heads that scatter widely with {rank} output{'s' * (rank > 1)}; its "
            f"standard error is {error:.2g}"
        )


HEAD_DISAGREES = 1e-3
"""From this relative difference on, outputs and head(features) are reported as two different things."""


def outputs_of(
    found: Findings,
    moments: Moments,
    covariance: PositiveOperator,
    head: AffineHead | None,
    cut: Cut,
) -> Outputs | None:
    """Measured outputs go before the head's; where both are known they have to agree."""
    if not moments.n_outputs:
        mean = moments.mean[: moments.n_features]
        return None if head is None else affine_outputs(covariance, mean, head, cut)
    if head is not None:
        measured, expected = moments.cross_covariance("outputs"), covariance.apply(head[0].T)
        distance, size = frobenius_norm(measured - expected), frobenius_norm(expected)
        if distance > HEAD_DISAGREES * size:
            found.warnings.append(
                f"the outputs are not head(features) (covariances differ by {distance / max(size, 1e-300):.2g}, "
                "relative); spans were taken from the outputs, NC3 from the head"
            )
    return measured_outputs(moments, cut)
