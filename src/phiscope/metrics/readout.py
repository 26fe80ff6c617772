"""What a linear head could do with these features: the coefficient-learning baseline.

With square loss everything about the head is closed form in the eigenbasis of the features.
"""

from __future__ import annotations

import numpy as np

from phiscope.glossary.definition import CENTERED_SHAPE, LINEAR_SPAN, SHAPE_AND_OUTPUTS, Definition, invariant
from phiscope.typing import FloatArray


def readout_r2(eigenvalues: FloatArray, target_power: FloatArray, target_variance: float, ridge: float = 0.0) -> float:
    """R^2 of the best affine head on these samples, 1 - MSE / tr(Dc); at most 1, at least 0 without ridge.

    Args:
        eigenvalues: centered rho_k, shape (K,).
        target_power: norm^2(v_k^T Gc) / rho_k, the squared coefficient of the target on e_k, shape (K,).
        target_variance: tr(Dc), positive.
        ridge: lambda of the penalty lambda norm^2(W), in squared feature units.

    Source: linear regression; as the baseline of coefficient learning phiscope's own.

    Example:
        >>> readout_r2(np.array([2.0, 1.0]), np.array([3.0, 0.0]), 4.0)
        0.75
    """
    shrunk = eigenvalues / (eigenvalues + ridge)
    return float((target_power * (2 * shrunk - shrunk**2)).sum() / target_variance)


def readout_loss(
    eigenvalues: FloatArray, target_power: FloatArray, target_square: float, times: FloatArray
) -> FloatArray:
    """Mean squared error of a head trained from zero by gradient flow on fixed features, at each time.

    The coefficient of the target on e_k is learned as 1 - exp(-rho_k t): the loss is
    tr(D) - sum_k c_k (1 - exp(-2 rho_k t)) with c_k the squared coefficient.

    Args:
        eigenvalues: rho_k, shape (K,).
        target_power: c_k, shape (K,).
        target_square: tr(D), or tr(Dc) for a head whose bias is kept at its best at every step.
        times: learning rate times steps for the loss half the squared error, in inverse squared feature units, (T,).

    Returns:
        Shape (T,), non-increasing.

    Source: arXiv:2410.04264 v1 (gradient flow of the head).

    Example:
        >>> readout_loss(np.array([1.0]), np.array([1.0]), 1.0, np.array([0.0, np.log(2) / 2])).round(12).tolist()
        [1.0, 0.5]
    """
    learned = -np.expm1(-2 * np.outer(np.asarray(times, dtype=np.float64), eigenvalues))
    return np.asarray(target_square - learned @ target_power)


def discriminant_information(eigenvalues: FloatArray, between: FloatArray, ridge: float = 0.0) -> float:
    """tr((S + r I)^-1 S_B); 0..C - 1. With r = 0 it is the H-score.

    Args:
        eigenvalues: centered rho_k, shape (K,).
        between: v_k^T S_B v_k, shape (K,).
        ridge: r >= 0 in squared feature units.

    Source: Hou and Kung 2020; ridge 0: Bao et al. 2019 (H-score).

    Example:
        >>> discriminant_information(np.array([2.0, 1.0]), np.array([1.0, 0.5]), ridge=0.0)
        1.0
    """
    return float((between / (eigenvalues + ridge)).sum())


DEFINITIONS = (
    Definition(
        name="readout_r2",
        title="best linear readout",
        symbol="R²",
        aliases=("linear probe",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="small: no linear head expresses the target; large: one does",
        centering="centered",
        invariances=LINEAR_SPAN,
        equation="Σₖ ‖vₖᵀ Gc‖² / ρᶜₖ / tr(Dc) = 1 − min_W MSE / tr(Dc)",
        needs=("features", "targets"),
        meaning="R² of the best affine head on these very samples, whatever the trained head does.",
        scale="log(1 - x)",
        source="phiscope (linear regression)",
        ours=True,
        caveat="In-sample: 1 for any targets where the centered features have rank n − 1, as they mostly have for "
        "n <= p + 1, and about rank / (n − 1) for targets that say nothing. Read the held-out value beside it.",
    ),
    Definition(
        name="readout_r2_held_out",
        title="best linear readout, held out",
        symbol="R²ₕ",
        aliases=("linear probe",),
        range="<= 1",
        high=1.0,
        direction="small or negative: the readout does not carry over to other samples; large: it does",
        centering="centered",
        invariances={**LINEAR_SPAN, "invertible_linear": "up to what its small ridge weighs"},
        equation="1 − MSE / tr(Dc) on one half of the samples, head fitted on the other half, both ways averaged",
        needs=("features", "targets"),
        meaning="R² of a linear head on samples it was not fitted to (two random halves, ridge 1e−6 tr(S)/p).",
        scale="log(1 - x)",
        source="phiscope (cross-fitted linear regression)",
        ours=True,
        caveat="Fitted on half the samples, so pessimistic when n is not much larger than p.",
    ),
    Definition(
        name="head_excess_loss",
        title="excess loss of the head",
        symbol="ΔMSE",
        range=">= 0",
        low=0.0,
        unit="squared target units",
        direction="0: the trained head is the best linear one; large: quality is left unused",
        centering="centered",
        invariances=invariant(*SHAPE_AND_OUTPUTS, "invertible_linear"),
        equation="E‖f − y‖² − min_{W,b} E‖Wφ + b − y‖²",
        needs=("features", "outputs", "targets"),
        meaning="Mean squared error of the trained outputs minus that of the best linear head.",
        scale="log(x)",
        source="phiscope",
        ours=True,
        caveat="Outputs trained with cross-entropy are logits, not estimates of one-hot targets; read it for square "
        "loss only.",
    ),
    Definition(
        name="target_alignment_whitened",
        title="target alignment, whitened",
        symbol="Aʷ",
        aliases=("alignment",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="small: feature variance lies outside the target span; large: inside and evenly",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="tr(Dc⁺ Gcᵀ Gc) / (√rank(Dc) ‖S‖)",
        needs=("features", "targets"),
        meaning="CKA of the feature kernel with the projection on the centered targets: target directions count "
        "alike, whatever their scale or class share.",
        source="phiscope",
        ours=True,
        caveat="Collapse onto targets of unequal scale leaves unequal feature strengths, so it stays below 1 there.",
    ),
    Definition(
        name="discriminant_information",
        title="discriminant information",
        symbol="DI",
        aliases=("H-score",),
        range="0 .. C − 1",
        low=0.0,
        direction="small: classes are not linearly separated; C − 1: completely",
        centering="centered",
        invariances=LINEAR_SPAN,
        equation="tr((S + rI)⁻¹ S_B), r = 0 here (the H-score)",
        needs=("features", "classes"),
        meaning="How much of the class structure a linear discriminant finds in the features.",
        scale="log(C - 1 - x)",
        source="Hou and Kung 2020; r = 0: Bao et al. 2019",
        caveat="With r = 0 it is C − 1 for any labels where the centered features have rank n − 1, as they mostly have "
        "for n <= p + 1; measurement.discriminant_information(ridge) takes a ridge.",
    ),
)
