"""Numbers that need the network's outputs: D_LR, used variance, the regime, the random head."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from phiscope.findings.findings import NO_SPREAD, Findings
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import frobenius_norm, product
from phiscope.metrics import alignment, richness
from phiscope.metrics.random_head import random_head_distance
from phiscope.metrics.regime import (
    UTILIZATION_LEVEL,
    WEAK_OUTPUT,
    RegimeEvidence,
    decide_regime,
    weak_outputs_decide,
)
from phiscope.moments.moments import Moments
from phiscope.spectrum.spans import Cut, OutputFunctions, Outputs, affine_outputs, are_differences, measured_outputs
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import AffineHead, FloatArray

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
    for name, value, why in (
        ("dynamical_low_rank", literal, _why_no_raw_span(outputs)),
        ("dynamical_low_rank_centered", centered, _why_no_span(outputs)),
    ):
        if value is None:
            found.refuse((name,), why)
        else:
            found.numbers[name] = value
    if outputs.centered_span.rank:
        found.numbers["used_variance"] = richness.used_variance(outputs.centered_span.loadings, trace)
    else:
        found.refuse(("used_variance",), _why_no_span(outputs))
    if literal is None or centered is None:
        return
    if abs(literal - centered) > richness.READINGS_DISAGREE:
        found.warnings.append(
            f"the two readings of D_LR disagree: {literal:.3f} literal, {centered:.3f} centered; say which one you use"
        )
    _warn_of_tolerance(found, outputs.literal, covariance_norm, tolerance)


ARE_CONSTANT = "the outputs are constant on these samples"


def _why_no_span(outputs: Outputs) -> str:
    """Why the centered span is empty."""
    if not outputs.vary:
        return ARE_CONSTANT
    return "the outputs differ from one another by constants only, and classes do not see a shift that all share"


def _why_no_raw_span(outputs: Outputs) -> str:
    """Why the raw span holds nothing that varies."""
    if not outputs.vary:
        return ARE_CONSTANT
    said = "at this tolerance the raw span holds only the constant: the outputs' mean is far above their spread"
    return f"{said}; read the centered number" if outputs.centered_span.rank else said


def _warn_of_tolerance(found: Findings, functions: OutputFunctions, covariance_norm: float, tolerance: float) -> None:
    around = np.array([tolerance / math.sqrt(10), tolerance, tolerance * math.sqrt(10)])
    values = [value for _, _, value in richness.low_rank_curve(functions, covariance_norm, around) if value is not None]
    if values and max(values) - min(values) > richness.TOLERANCE_MOVES:
        found.warnings.append(
            f"D_LR depends on the rank tolerance: it runs from {min(values):.3f} to {max(values):.3f} over one decade "
            f"around {tolerance:g}, because the spectrum of the outputs has no gap there"
        )


def find_regime(
    found: Findings,
    spectrum: Spectrum,
    outputs: Outputs | None,
    norm: float,
    *,
    n_samples: int,
    n_varying: int,
    head_change: float | None = None,
    project: Callable[[FloatArray], FloatArray] | None = None,
) -> RegimeEvidence:
    """The regime with the numbers that decided; where it cannot be told, the reason is noted under ``"regime"``, too.

    Args:
        found: with every number that decides, in ``numbers``.
        spectrum: centered, whole or its leading part; numbers that lie beyond that part are not known.
        outputs: None without outputs.
        norm: of the covariance.
        n_samples: n.
        n_varying: number of features that vary.
        head_change: norm(W - W_0) / norm(W_0), None where W_0 is not known.
        project: coordinates of columns in the centered eigenvectors; None leaves weak output directions unasked.
    """
    rank = 0 if outputs is None else outputs.centered_span.rank
    values = spectrum.eigenvalues
    if outputs is None or rank == 0 or spectrum.cumulative_utilization is None or not len(values):
        reason = "neither outputs nor a head were given"
        if outputs is not None:
            # Why there is no D_LR is why there is no word.
            reason = found.absent.get("used_variance", "it needs features and outputs that vary over the samples")
        evidence = RegimeEvidence(regime=None, output_rank=0, reason=reason)
        found.refuse(("regime",), reason)
        return evidence
    evidence = decide_regime(
        output_rank=rank,
        n_directions=min(n_varying, n_samples - 1),
        k90=alignment.least_k_reaching(spectrum.cumulative_utilization, UTILIZATION_LEVEL),
        used_variance=found.numbers["used_variance"],
        dynamical_low_rank=found.numbers["dynamical_low_rank_centered"],
        cliff=_cliff(spectrum, rank, n_varying),
        collapse_distance=found.numbers.get("collapse_distance"),
        effective_dimension=found.numbers.get("effective_dimension_centered"),
        initial_kernel_similarity=found.numbers.get("initial_kernel_similarity"),
        head_change=head_change,
        n_leading=len(values) if spectrum.is_cut else None,
        nothing_follows=rank >= len(values) and not spectrum.is_cut,
    )
    if evidence.regime is None:
        found.refuse(("regime",), evidence.sentence())
    if project is not None:
        said = _said_of_weak_outputs(evidence, spectrum, outputs, norm, project)
        found.warnings += [said] * bool(said)
    return evidence


def count_varying(covariance: PositiveOperator, eigenvalues: FloatArray) -> int:
    """Number of features that vary by more than rounding of the strongest direction: dead units do not count."""
    rounding = covariance.size * np.finfo(np.float64).eps * float(eigenvalues[0]) if len(eigenvalues) else 0.0
    return int((covariance.diagonal() > rounding).sum())


def _cliff(spectrum: Spectrum, rank: int, n_varying: int) -> float | None:
    """rho_r / rho_(r+1); where nothing follows but rounding, that takes the place of rho_(r+1).

    None where a cut spectrum ends before rho_(r+1), so that nobody knows what follows.
    """
    eigenvalues = spectrum.eigenvalues
    if rank < len(eigenvalues):
        return float(eigenvalues[rank - 1] / eigenvalues[rank])
    if spectrum.is_cut:
        return None
    rounding = n_varying * np.finfo(np.float64).eps * float(eigenvalues[0])
    return float(eigenvalues[-1]) / rounding


def _said_of_weak_outputs(
    evidence: RegimeEvidence,
    spectrum: Spectrum,
    outputs: Outputs,
    norm: float,
    project: Callable[[FloatArray], FloatArray],
) -> str:
    """What the word would be without output directions that hold next to nothing of the output variance."""
    rank = evidence.output_rank
    shares = outputs.centered.spectrum[:rank] / outputs.centered.spectrum[:rank].sum()
    kept = int((shares >= WEAK_OUTPUT).sum())
    distance = richness.low_rank_distance(outputs.centered, norm, kept) if kept < rank else None
    if distance is None:
        return ""
    loadings = outputs.centered.centered_loadings(kept)
    projected = project(loadings)
    held = np.cumsum(np.einsum("kj,kj->k", projected, projected) / spectrum.eigenvalues) / kept
    without = decide_regime(
        output_rank=kept,
        n_directions=evidence.n_directions,
        k90=alignment.least_k_reaching(held, UTILIZATION_LEVEL),
        used_variance=richness.used_variance(loadings, float(spectrum.eigenvalues.sum())),
        dynamical_low_rank=distance,
        cliff=_cliff(spectrum, kept, evidence.n_directions),
        collapse_distance=evidence.collapse_distance,
    )
    return weak_outputs_decide(evidence, without, float(shares[kept:].sum()))


RANDOM_HEAD_ERROR = 0.005
"""A standard error of the random head's mean beyond this is said."""


def find_random_head(found: Findings, centered: Spectrum, rank: int) -> None:
    """The lazy reference, where there are outputs and features that vary."""
    name = "dynamical_low_rank_random_head"
    if not (rank and len(centered.eigenvalues)):
        found.refuse((name,), found.absent.get("used_variance", "features or outputs are constant on these samples"))
        return
    found.numbers[name], error = random_head_distance(centered.eigenvalues, rank)
    if error > RANDOM_HEAD_ERROR:
        found.warnings.append(
            f"{name} is a mean over random heads that scatter widely with {rank} output{'s' * (rank > 1)}; its "
            f"standard error is {error:.2g}"
        )


HEAD_DISAGREES = 1e-3
"""From this relative difference of covariances on, outputs and head(features) are reported as two different things."""

ANSWERS_DISAGREE = 1e-2
"""The same for the root mean square of outputs minus head(features), which has the rounding of half precision in it."""


def outputs_of(moments: Moments, covariance: PositiveOperator, head: AffineHead | None, cut: Cut) -> Outputs | None:
    """Measured outputs go before the head's; see `warn_of_disagreement` for where both are known."""
    if moments.n_outputs:
        return measured_outputs(moments, cut)
    if head is None:
        return None
    mean = moments.mean[: moments.n_features]
    return affine_outputs(covariance, mean, head, cut, differences=are_differences(moments, len(head[0])))


def warn_of_disagreement(
    found: Findings, moments: Moments, covariance: PositiveOperator, head: AffineHead | None
) -> None:
    """Where outputs and head are both known, compare them: how they go along with features, and the answers themselves.

    Covariances alone do not see another bias, nor a part of the outputs that has nothing to do with the features.
    """
    if head is None or not moments.n_outputs:
        return
    weight, bias = head
    measured, expected = moments.cross_covariance("outputs"), covariance.apply(weight.T)
    distance, size = frobenius_norm(measured - expected), frobenius_norm(expected)
    covariances = distance / max(size, 1e-300)
    mean = moments.mean[moments.columns("outputs")]
    trace = moments.covariance("outputs").trace()
    # E norm^2(f - W phi - b), its part that varies and that of the means. Rounding may leave the first below 0.
    varies = trace - 2 * float(np.sum(weight.T * measured)) + float(np.sum(weight.T * expected))
    shift = mean - product(weight, moments.mean[: moments.n_features]) - (0.0 if bias is None else bias)
    apart = math.sqrt(max(varies, 0.0) + float(product(shift, shift)))
    answers = apart / max(math.sqrt(trace + float(product(mean, mean))), 1e-300)
    if covariances > HEAD_DISAGREES or answers > ANSWERS_DISAGREE:
        found.warnings.append(
            f"the outputs are not head(features) (they differ by {answers:.2g} of their size, covariances by "
            f"{covariances:.2g}); spans were taken from the outputs, NC3 from the head"
        )
