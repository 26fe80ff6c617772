"""Diagonalizing arrays: features, outputs and targets in, one frozen `Measurement` out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import scipy
import torch

from phiscope.accumulator import MomentAccumulator
from phiscope.arrays import FloatArray, as_head, as_rows
from phiscope.errors import InputError, ShapeError
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
    spectrum_with_shares,
)
from phiscope.measurement import Measurement, Spectrum
from phiscope.metrics import SCALARS
from phiscope.moments import Moments
from phiscope.operators import PositiveOperator
from phiscope.spans import TargetSpans, affine_outputs, measured_outputs, target_spans
from phiscope.spectrum import Eigensystem, FunctionSpan, diagonalize_operator, fix_signs

HEAD_DISAGREES = 1e-3
"""From this relative difference on, outputs and head(features) are reported as two different things."""


def diagonalize(
    features: Any,
    outputs: Any = None,
    head: Any = None,
    targets: Any = None,
    *,
    weights: Any = None,
    num_classes: int | None = None,
    rank_tolerance: float = 1e-4,
) -> Measurement:
    """Diagonalize the feature operator of arrays and measure everything that they allow.

    Args:
        features: phi(x), shape (n, p), n >= 2; NumPy, torch, DLPack or ``__array__``, any precision.
        outputs: f(x) before the softmax, shape (n, C).
        head: the pair (W, b) with W (C, p) and b (C,) or None; outputs are then W phi + b.
        targets: integers (n,) are classes, floats (n,) or (n, c) are regression values.
        weights: non-negative sample weights, shape (n,); only their ratios matter.
        num_classes: number of classes; None takes the head's outputs or the largest target plus one.
        rank_tolerance: eigenvalues of the outputs' moments below this share of the largest count as zero.

    Returns:
        The measurement. Without outputs or targets the numbers that need them are absent.

    Raises:
        ShapeError: shapes do not fit together.
        NonFiniteError: NaN or Inf in the data.
        EmptyDataError: fewer than two samples.
        TargetError: class indices negative or not below `num_classes`.

    Source: arXiv:2410.04264 v1 and v3.

    Example:
        >>> import itertools, numpy as np
        >>> signs = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
        >>> round(diagonalize(signs)["effective_dimension"], 12)
        3.0
    """
    rows = as_rows(features, name="features", letter="p")
    affine = None if head is None else as_head(head, rows.shape[1])
    if outputs is not None:
        outputs = as_rows(outputs, name="outputs", letter="C")
        if affine is not None and outputs.shape[1] != len(affine[0]):
            raise ShapeError(
                f"outputs have C = {outputs.shape[1]} columns but the head has {len(affine[0])} rows; they have to "
                "belong to the same layer"
            )
    accumulator = MomentAccumulator(num_classes=num_classes)
    accumulator.update(rows, outputs, targets, weights)
    return measurement_from_moments(
        accumulator.result(), head=affine, rank_tolerance=rank_tolerance, provenance={"source": "arrays"}
    )


def measurement_from_moments(
    moments: Moments,
    *,
    head: tuple[FloatArray, FloatArray] | None = None,
    rank_tolerance: float = 1e-4,
    provenance: Mapping[str, str] | None = None,
    warnings: Iterable[str] = (),
    initial_kernel_similarity: float | None = None,
) -> Measurement:
    """Every number that moments allow.

    Args:
        moments: of features, and of outputs and targets where there are any.
        head: affine head (W (C, p), b (C,)); None when unknown or when outputs were measured.
        rank_tolerance: relative tolerance on the eigenvalues of F and Fc, 0 <= tolerance < 1.
        provenance: where the samples came from, stored with the result.
        warnings: what the caller already has to warn of.
        initial_kernel_similarity: S_init from a paired pass, None without an initial state.

    Returns:
        The measurement.

    Raises:
        InputError: the tolerance is outside 0..1.
    """
    if not 0 <= rank_tolerance < 1:
        raise InputError(f"rank_tolerance is {rank_tolerance}, expected 0 <= rank_tolerance < 1, for example 1e-4")
    found = Findings(warnings=list(warnings))
    covariance = moments.covariance("features")
    mean = moments.mean[: moments.n_features]
    targets = target_spans(moments)
    outputs = _outputs(found, moments, covariance, mean, head, rank_tolerance)
    raw, centered = _spectra(covariance, mean, targets, outputs)
    squared_norm = covariance.squared_norm() if len(centered.eigenvalues) else 0.0
    n_singular = min(moments.n_samples, moments.n_features)
    find_dimensions(found, raw.eigenvalues, centered.eigenvalues, n_singular)
    evidence = None
    if outputs is None:
        found.refuse((*OUTPUT_NUMBERS, "regime"), "neither outputs nor a head were given")
    else:
        find_output_numbers(found, outputs, centered, float(np.sqrt(squared_norm)), rank_tolerance)
        evidence = find_regime(found, centered, outputs.centered_span.rank, initial_kernel_similarity)
    if targets is None:
        found.refuse(("target_alignment",), "no targets were given")
    else:
        find_alignment(found, moments, squared_norm)
    if moments.classes:
        find_collapse(found, moments, centered, None if head is None else head[0])
    else:
        found.refuse(COLLAPSE_NUMBERS, "it needs integer targets, the class of each sample")
    if initial_kernel_similarity is None:
        found.refuse(("initial_kernel_similarity",), "the feature map at initialization is not known here")
    else:
        found.numbers["initial_kernel_similarity"] = initial_kernel_similarity
    _warn_of_samples(found, moments)
    return _record(found, moments, raw, centered, evidence, outputs, head, rank_tolerance, provenance)


def _outputs(
    found: Findings,
    moments: Moments,
    covariance: PositiveOperator,
    mean: FloatArray,
    head: tuple[FloatArray, FloatArray] | None,
    tolerance: float,
) -> Outputs | None:
    """Measured outputs go before the head's; where both are known they have to agree."""
    if not moments.n_outputs:
        return None if head is None else affine_outputs(covariance, mean, head, tolerance)
    if head is not None:
        measured, expected = moments.cross_covariance("outputs"), covariance.apply(head[0].T)
        distance, size = float(np.linalg.norm(measured - expected)), float(np.linalg.norm(expected))
        if distance > HEAD_DISAGREES * size:
            found.warnings.append(
                f"the outputs are not head(features) (covariances differ by {distance / max(size, 1e-300):.2g}, "
                "relative); spans were taken from the outputs, NC3 from the head"
            )
    return measured_outputs(moments, tolerance)


def _spectra(
    covariance: PositiveOperator, mean: FloatArray, targets: TargetSpans | None, outputs: Outputs | None
) -> tuple[Spectrum, Spectrum]:
    """Raw and centered spectrum with quality and utilization."""
    directions = (None, None) if targets is None or targets.directions is None else targets.directions
    raw = _signed(diagonalize_operator(covariance.plus_outer(mean)), directions[0])
    centered = _signed(diagonalize_operator(covariance), directions[1])
    target_pair: tuple[FunctionSpan | None, FunctionSpan | None] = (None, None)
    output_pair: tuple[FunctionSpan | None, FunctionSpan | None] = (None, None)
    if targets is not None:
        target_pair = (targets.raw, targets.centered)
    if outputs is not None:
        output_pair = (outputs.raw_span, outputs.centered_span)
    return (
        spectrum_with_shares(raw, target_pair[0], output_pair[0]),
        spectrum_with_shares(centered, target_pair[1], output_pair[1]),
    )


def _signed(system: Eigensystem, directions: FloatArray | None) -> Eigensystem:
    return Eigensystem(eigenvalues=system.eigenvalues, eigenvectors=fix_signs(system.eigenvectors, directions))


def _warn_of_samples(found: Findings, moments: Moments) -> None:
    """What a reader has to know about the samples before trusting a number."""
    n, p = moments.n_samples, moments.n_features
    effective = moments.weight**2 / moments.squared_weight
    if n <= p:
        found.warnings.append(
            f"{n} samples for {p} features: any targets can be fitted exactly, so cumulative quality and nc1_bounded "
            "say nothing, and D_LR and the dimensions are biased low; use several times more samples than features"
        )
    elif effective < 10 * p:
        found.warnings.append(
            f"{effective:.0f} {'samples' if effective == n else 'effective samples'} for {p} features: D_LR and the "
            f"dimensions are biased low at this ratio unless the spectrum decays fast; 10 p = {10 * p} would do"
        )
    if moments.classes and (moments.group_weights == 0).any():
        empty = np.flatnonzero(moments.group_weights == 0)
        named = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        found.warnings.append(
            f"{len(empty)} of {len(moments.group_weights)} classes never occur ({named}); class numbers use the "
            f"{len(moments.group_weights) - len(empty)} that do"
        )


def _record(
    found: Findings,
    moments: Moments,
    raw: Spectrum,
    centered: Spectrum,
    evidence: Any,
    outputs: Outputs | None,
    head: tuple[FloatArray, FloatArray] | None,
    rank_tolerance: float,
    provenance: Mapping[str, str] | None,
) -> Measurement:
    class_means = class_weights = None
    if moments.classes:
        class_means = moments.group_means[:, : moments.n_features].copy()
        class_means[moments.group_weights == 0] = np.nan
        class_weights = moments.group_weights / moments.weight
    return Measurement(
        numbers={name: found.numbers[name] for name in SCALARS if name in found.numbers},
        absent=found.absent,
        raw=raw,
        centered=centered,
        feature_mean=moments.mean[: moments.n_features],
        class_means=class_means,
        class_weights=class_weights,
        n_samples=moments.n_samples,
        n_features=moments.n_features,
        n_outputs=moments.n_outputs or (None if head is None else len(head[0])),
        n_classes=len(moments.group_weights) if moments.classes else None,
        rank_tolerance=rank_tolerance,
        evidence=evidence,
        warnings=tuple(found.warnings),
        provenance={
            "task": "classification" if moments.classes else "regression" if moments.n_values else "none",
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "torch": str(torch.__version__),
            **(provenance or {}),
        },
    )
