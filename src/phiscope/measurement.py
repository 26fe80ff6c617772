"""One frozen record: the numbers, both spectra, where they came from and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phiscope.metrics.regime import RegimeEvidence

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """One diagonalised operator; all arrays are float64 with k first, leading eigenvalue first.

    Attributes:
        eigenvalues: rho_k, shape (K,), descending, positive.
        eigenvectors: v_k as columns, shape (p, K).
        quality: Q*_k, shape (K,), 0..1; None without targets.
        utilization: Qhat_k, shape (K,), 0..1; None without outputs.
        cumulative_quality: Pi*(k) for k = 1..K; None without targets.
        cumulative_utilization: Pihat(k) for k = 1..K; None without outputs.
    """

    eigenvalues: FloatArray
    eigenvectors: FloatArray
    quality: FloatArray | None = None
    utilization: FloatArray | None = None
    cumulative_quality: FloatArray | None = None
    cumulative_utilization: FloatArray | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Everything phiscope found out about one feature map on one set of samples.

    Attributes:
        numbers: every scalar by its name.
        absent: known numbers this measurement does not have, with the reason.
        raw: spectrum of the second moment M (the paper's operator; the constant is one of its functions).
        centered: spectrum of the covariance S.
        feature_mean: m, shape (p,).
        class_means: mean feature vector of each class, shape (num_classes, p), rows of classes that
            never occur are NaN; None unless the targets are classes.
        class_weights: share of each class, shape (num_classes,), sums to 1; None unless classes.
        n_samples: number of samples measured.
        n_features: p.
        n_outputs: C, None without outputs.
        n_classes: number of classes, None unless the targets are classes.
        rank_tolerance: relative tolerance on the eigenvalues of F and Fc.
        evidence: the regime with the numbers that decided; None without outputs.
        warnings: sentences a reader has to know before trusting a number.
        provenance: where this came from: split, model, head, how features were made, versions.
    """

    numbers: Mapping[str, float]
    absent: Mapping[str, str] = field(default_factory=dict)
    raw: Spectrum
    centered: Spectrum
    feature_mean: FloatArray
    class_means: FloatArray | None = None
    class_weights: FloatArray | None = None
    n_samples: int
    n_features: int
    n_outputs: int | None = None
    n_classes: int | None = None
    rank_tolerance: float = 1e-4
    evidence: RegimeEvidence | None = None
    warnings: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
