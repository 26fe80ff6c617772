"""From moments to the finished record: which numbers can be said, which not and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy
import torch

from phiscope.accumulator import FEWEST_SHARDS, HALVES
from phiscope.arrays import FloatArray, as_share
from phiscope.corrected import correct, pieces_of
from phiscope.findings import (
    COLLAPSE_NUMBERS,
    OUTPUT_NUMBERS,
    Findings,
    Outputs,
    find_alignment,
    find_collapse,
    find_dimensions,
    find_output_numbers,
    find_regime,
    warn_of_bias,
    warn_of_samples,
)
from phiscope.jackknife import Estimate
from phiscope.late import LateMapping, Later
from phiscope.measurement import Measurement
from phiscope.metrics import CORRECTED_TWINS, SCALARS
from phiscope.metrics.regime import RegimeEvidence
from phiscope.metrics.richness import low_rank_curve
from phiscope.moments import Moments
from phiscope.readouts import (
    READOUT_NUMBERS,
    REGRESSION_NUMBERS,
    find_held_out,
    find_random_head,
    find_readout,
    find_regression_collapse,
    target_crosses,
    target_squares,
)
from phiscope.resampling import Resampling
from phiscope.spans import Cut, affine_outputs, measured_outputs, target_spans
from phiscope.spectra import both_spectra
from phiscope.spectrum import Spectrum

HEAD_DISAGREES = 1e-3
"""From this relative difference on, outputs and head(features) are reported as two different things."""

Head = tuple[FloatArray, FloatArray]


def measurement_from_moments(
    moments: Moments,
    *,
    head: Head | None = None,
    rank_tolerance: float = 1e-4,
    provenance: Mapping[str, str] | None = None,
    warnings: Iterable[str] = (),
    initial_kernel_similarity: float | None = None,
    shards: Sequence[Moments] = (),
    ranks: tuple[int, int] | None = None,
) -> Measurement:
    """Every number that moments allow.

    Args:
        moments: of features, and of outputs and targets where there are any.
        head: affine head (W (C, p), b (C,)); None when unknown or when outputs were measured.
        rank_tolerance: relative tolerance on the eigenvalues of F and Fc, 0 <= tolerance < 1.
        provenance: where the samples came from, stored with the result.
        warnings: what the caller already has to warn of.
        initial_kernel_similarity: S_init from a paired pass, None without an initial state.
        shards: moments of disjoint random shards of the same samples, for corrections and intervals.
        ranks: raw and centered output rank to use instead of the tolerance.

    Returns:
        The measurement.

    Raises:
        InputError: the tolerance is outside 0..1.
    """
    rank_tolerance = as_share(rank_tolerance, name="rank_tolerance", example="1e-4")
    found = Findings(warnings=list(warnings))
    outputs = _outputs(found, moments, head, Cut(tolerance=rank_tolerance, ranks=ranks))
    measured = _measured(found, moments, outputs, head, rank_tolerance, initial_kernel_similarity)
    warn_of_samples(found, moments)
    found_ranks = (0, 0) if outputs is None else (outputs.raw_span.rank, outputs.centered_span.rank)

    def again(part: Moments) -> Measurement:
        return measurement_from_moments(part, head=head, rank_tolerance=rank_tolerance, ranks=found_ranks)

    rest = Later(
        lambda: _from_shards(found, moments, shards, outputs, head, Cut(tolerance=rank_tolerance, ranks=found_ranks))
    )
    return _record(
        moments,
        numbers=LateMapping(_in_order(found.numbers), FROM_SHARDS, lambda: _in_order(rest().numbers)),
        absent=LateMapping(found.absent, FROM_SHARDS, lambda: rest().absent),
        warnings=lambda: tuple(rest().warnings),
        estimates=lambda: rest().estimates,
        raw=measured[0],
        centered=measured[1],
        evidence=measured[2],
        n_outputs=moments.n_outputs or (None if head is None else len(head[0])),
        rank_tolerance=rank_tolerance,
        target_squares=target_squares(moments),
        tolerance_curve=_tolerance_curve(outputs, measured[1]),
        resampling=Resampling(shards=shards, measure=again) if len(shards) > 1 else None,
        provenance=_versions(moments) | dict(provenance or {}),
    )


FROM_SHARDS = frozenset({"readout_r2_held_out", *(f"{name}_corrected" for name in CORRECTED_TWINS)})
"""Numbers that are made from shards when one of them is first read."""


def _in_order(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: numbers[name] for name in SCALARS if name in numbers}


def _from_shards(
    plain: Findings,
    moments: Moments,
    shards: Sequence[Moments],
    outputs: Outputs | None,
    head: Head | None,
    cut: Cut,
) -> Findings:
    """The findings with everything that shards add: corrected numbers, the held-out readout, what is biased."""
    found = Findings(numbers=dict(plain.numbers), absent=dict(plain.absent), warnings=list(plain.warnings))
    if len(shards) > 1:
        found.estimates.update(_corrections(found, moments, shards, outputs, head, cut))
        if moments.classes or moments.n_values:
            find_held_out(found, shards)
    if "readout_r2_held_out" not in found.numbers:
        found.absent.setdefault("readout_r2_held_out", "it needs at least 2 shards of samples")
    for name in CORRECTED_TWINS:
        if f"{name}_corrected" not in found.numbers:
            found.refuse((f"{name}_corrected",), _why_not_corrected(found, name, len(shards)))
    return found


def _why_not_corrected(found: Findings, name: str, n_shards: int) -> str:
    if name in found.absent:
        return found.absent[name]
    if n_shards < HALVES:
        return f"it is made from at least {HALVES} shards of samples, and there were {max(n_shards, 1)}"
    return "the estimate of a squared norm is not positive: too few samples for these features"


def _measured(
    found: Findings,
    moments: Moments,
    outputs: Outputs | None,
    head: Head | None,
    tolerance: float,
    similarity: float | None,
) -> tuple[Spectrum, Spectrum, RegimeEvidence | None]:
    """Both spectra and every number that needs no shards."""
    covariance, mean = moments.covariance("features"), moments.mean[: moments.n_features]
    targets = target_spans(moments)
    raw, centered = both_spectra(covariance, mean, targets, outputs, target_crosses(moments))
    squared_norm = covariance.squared_norm() if len(centered.eigenvalues) else 0.0
    find_dimensions(found, raw.eigenvalues, centered.eigenvalues, min(moments.n_samples, moments.n_features))
    evidence = None
    if outputs is None:
        found.refuse((*OUTPUT_NUMBERS, "regime"), "neither outputs nor a head were given")
    else:
        find_output_numbers(found, outputs, centered, float(np.sqrt(squared_norm)), tolerance)
        find_random_head(found, centered, outputs.centered_span.rank)
        evidence = find_regime(found, centered, outputs.centered_span.rank, similarity)
    if targets is None:
        found.refuse(("target_alignment", *READOUT_NUMBERS), "no targets were given")
    else:
        find_alignment(found, moments, squared_norm)
        find_readout(found, moments, centered, head, targets.centered, float(np.sqrt(squared_norm)))
    _find_collapse_of_either_kind(found, moments, centered, head)
    if similarity is None:
        found.refuse(("initial_kernel_similarity",), "the feature map at initialization is not known here")
    else:
        found.numbers["initial_kernel_similarity"] = similarity
    return raw, centered, evidence


def _find_collapse_of_either_kind(found: Findings, moments: Moments, centered: Spectrum, head: Head | None) -> None:
    if moments.classes:
        find_collapse(found, moments, centered, None if head is None else head[0])
    else:
        found.refuse(COLLAPSE_NUMBERS, "it needs integer targets, the class of each sample")
    if moments.n_values:
        find_regression_collapse(found, moments, centered, head)
    else:
        found.refuse(REGRESSION_NUMBERS, "it needs regression targets, floats")


def _corrections(
    found: Findings,
    moments: Moments,
    shards: Sequence[Moments],
    outputs: Outputs | None,
    head: Head | None,
    cut: Cut,
) -> dict[str, Estimate]:
    """Corrected twins, and a sentence where plain numbers are off; errors only from enough shards."""
    rank = 0 if outputs is None else outputs.centered_span.rank
    quiet = Findings()
    estimates = correct(
        shards, moments, pieces_of(moments, outputs), lambda part: _outputs(quiet, part, head, cut), rank
    )
    estimates = {name: value for name, value in estimates.items() if name in found.numbers}
    for name, value in estimates.items():
        row = SCALARS[name]
        low = -np.inf if row.low is None else row.low
        high = np.inf if row.high is None else row.high
        found.numbers[f"{name}_corrected"] = float(np.clip(value.value, low, high))
    warn_of_bias(found, moments.n_samples, tuple(estimates))
    return estimates if len(shards) >= FEWEST_SHARDS else {}


def _outputs(
    found: Findings,
    moments: Moments,
    head: Head | None,
    cut: Cut,
) -> Outputs | None:
    """Measured outputs go before the head's; where both are known they have to agree."""
    covariance = moments.covariance("features")
    if not moments.n_outputs:
        mean = moments.mean[: moments.n_features]
        return None if head is None else affine_outputs(covariance, mean, head, cut)
    if head is not None:
        measured, expected = moments.cross_covariance("outputs"), covariance.apply(head[0].T)
        distance, size = float(np.linalg.norm(measured - expected)), float(np.linalg.norm(expected))
        if distance > HEAD_DISAGREES * size:
            found.warnings.append(
                f"the outputs are not head(features) (covariances differ by {distance / max(size, 1e-300):.2g}, "
                "relative); spans were taken from the outputs, NC3 from the head"
            )
    return measured_outputs(moments, cut)


TOLERANCES = 10.0 ** np.arange(-10, -0.5, 0.5)
"""Rank tolerances at which D_LR is kept, so that a reader sees whether it depends on the choice."""


def _tolerance_curve(outputs: Outputs | None, centered: Spectrum) -> FloatArray | None:
    if outputs is None or len(centered.eigenvalues) == 0:
        return None
    rows = low_rank_curve(outputs.literal, float(np.linalg.norm(centered.eigenvalues)), TOLERANCES)
    return np.array([(tolerance, rank, np.nan if value is None else value) for tolerance, rank, value in rows])


def _versions(moments: Moments) -> dict[str, str]:
    return {
        "task": "classification" if moments.classes else "regression" if moments.n_values else "none",
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": str(torch.__version__),
    }


def _record(moments: Moments, **known: Any) -> Measurement:
    class_means = class_weights = None
    if moments.classes:
        class_means = moments.group_means[:, : moments.n_features].copy()
        class_means[moments.group_weights == 0] = np.nan
        class_weights = moments.group_weights / moments.weight
    return Measurement(
        feature_mean=moments.mean[: moments.n_features],
        class_means=class_means,
        class_weights=class_weights,
        n_samples=moments.n_samples,
        n_features=moments.n_features,
        n_classes=len(moments.group_weights) if moments.classes else None,
        **known,
    )
