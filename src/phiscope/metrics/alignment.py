"""How eigenfunctions lie towards the target and towards the network's outputs."""

from __future__ import annotations

import math

import numpy as np

from phiscope.glossary.definition import CENTERED_ONE, CENTERED_SHAPE, KEEPS_ONES, SHAPE, Definition, invariant
from phiscope.typing import FloatArray


def least_k_reaching(cumulative: FloatArray, level: float) -> int | None:
    """Least k (counted from 1) with Pi(k) >= level, or None when it is never reached.

    Example:
        >>> least_k_reaching(np.array([0.5, 0.9, 1.0]), 0.9)
        2
    """
    # Ten equal shares of 1/10 sum to 0.8999... after nine; an exact tie counts as reached.
    reached = cumulative >= level - 1e-9
    return int(np.argmax(reached)) + 1 if reached.any() else None


def target_alignment(cross: FloatArray, covariance_squared_norm: float, target_squared_norm: float) -> float:
    """Centered kernel-target alignment tr(Gc^T Gc) / (norm S norm Dc); 0..1.

    Args:
        cross: Gc = cov(phi, y), shape (p, c).
        covariance_squared_norm: squared Frobenius norm of S, positive.
        target_squared_norm: squared Frobenius norm of Dc, positive.

    Source: Cortes, Mohri and Rostamizadeh 2012, with the kernel y . y' on the targets.

    Example:
        >>> target_alignment(np.eye(4), 4.0, 4.0)
        1.0
    """
    # The root of each: the product of two tiny squares is 0 long before their roots are.
    value = float(np.einsum("ij,ij->", cross, cross)) / (
        math.sqrt(covariance_squared_norm) * math.sqrt(target_squared_norm)
    )
    return min(value, 1.0)


def class_target_squared_norm(shares: FloatArray) -> float:
    """Squared Frobenius norm of Dc = diag(pi) - pi pi^T for one-hot targets with class shares pi, never C x C.

    Example:
        >>> class_target_squared_norm(np.array([0.5, 0.5]))
        0.25
    """
    largest = int(np.argmax(shares))
    rest = np.delete(shares, largest)
    # Sums of what is left, not 1 - pi: a class of nearly all samples would lose every digit.
    squares = rest @ rest
    diagonal = (shares[largest] * rest.sum()) ** 2 + ((rest * (1 - rest)) ** 2).sum()
    above = 2 * shares[largest] ** 2 * squares + squares**2 - (rest**4).sum()
    return float(diagonal + above)


def class_target_variance(shares: FloatArray) -> float:
    """tr Dc = sum pi_c (1 - pi_c) for one-hot targets with class shares pi; exactly 0 for a single class.

    Example:
        >>> class_target_variance(np.array([0.5, 0.5])), class_target_variance(np.array([0.0, 1.0]))
        (0.5, 0.0)
    """
    largest = int(np.argmax(shares))
    rest = np.delete(shares, largest)
    return float(shares[largest] * rest.sum() + (rest * (1 - rest)).sum())


UTILIZATION_SHAPE = {
    **SHAPE,
    "translation": CENTERED_ONE,
    "invertible_outputs": f"the raw one with any A; the centered one, {KEEPS_ONES}",
}
"""The raw span of outputs is that of A f, too; the centered one is that of differences where targets are classes."""

_SHARE = "0: orthogonal to the span; 1: inside it"

DEFINITIONS = (
    Definition(
        name="target_alignment",
        title="target alignment",
        symbol="A",
        aliases=("alignment", "kernel-target alignment", "KTA"),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="small: the feature kernel is unlike the target kernel; large: like it",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="tr(Gcᵀ Gc) / (‖S‖ ‖Dc‖)",
        needs=("features", "targets"),
        meaning="Similarity (CKA) of the centered feature kernel and the kernel of the targets.",
        source="Cortes, Mohri and Rostamizadeh 2012, JMLR 13",
        caveat="Needs equal strength of all class directions to reach 1; class imbalance lowers it.",
    ),
)

CURVES = (
    Definition(
        name="eigenvalues",
        title="eigenvalues",
        symbol="ρₖ",
        aliases=("eigenvalue", "rho", "spectrum", "strength of eigenfunction"),
        range="> 0, descending",
        low=0.0,
        unit="squared feature units",
        direction="large: the head learns fast along this eigenfunction",
        centering="both",
        invariances=invariant("orthogonal", "permutation", "invertible_outputs", translation=CENTERED_ONE),
        equation="M vₖ = ρₖ vₖ, M = E[φ φᵀ] (centered: S = M − m mᵀ)",
        meaning="Strength of each eigenfunction of the feature operator: the speed at which gradient descent on the "
        "head learns along it.",
        source="arXiv:2410.04264 v1",
    ),
    Definition(
        name="quality",
        title="quality",
        symbol="Q*ₖ",
        aliases=("Q", "Q*"),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction=_SHARE,
        centering="both",
        invariances={**SHAPE, "translation": CENTERED_ONE},
        equation="vₖᵀ G D⁺ Gᵀ vₖ / ρₖ",
        needs=("features", "targets"),
        meaning="Share of an eigenfunction that lies in the span of the target functions.",
        source="arXiv:2410.04264 v1",
        caveat="Not 0 for uninformative labels: the expected centered value is about (rank of targets) / (n − 1) "
        "for each eigenfunction.",
    ),
    Definition(
        name="utilization",
        title="utilization",
        symbol="Q̂ₖ",
        aliases=("Q", "Qhat", "utilisation"),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction=_SHARE,
        centering="both",
        invariances=UTILIZATION_SHAPE,
        equation="vₖᵀ B F⁺ Bᵀ vₖ / ρₖ",
        needs=("features", "outputs"),
        meaning="Share of an eigenfunction that lies in the span of the network's outputs.",
        source="arXiv:2410.04264 v1",
    ),
    Definition(
        name="cumulative_quality",
        title="cumulative quality",
        symbol="Π*(k)",
        aliases=("Pi", "Pi*", "share of the target", "share of the target held by the first k"),
        range="0 .. 1, non-decreasing",
        low=0.0,
        high=1.0,
        direction="1 at the end: a linear head can express the target",
        centering="both",
        invariances={**SHAPE, "translation": CENTERED_ONE},
        equation="Σ_{j≤k} Q*ⱼ / rank(D)",
        needs=("features", "targets"),
        meaning="How much of the target span the k leading eigenfunctions hold.",
        source="arXiv:2410.04264 v1",
        caveat="With one-hot targets the constant lies in the target span, so the raw curve starts high for free; "
        "the centered one does not.",
    ),
    Definition(
        name="cumulative_utilization",
        title="cumulative utilization",
        symbol="Π̂(k)",
        aliases=(
            "Pi",
            "Pihat",
            "share of the output",
            "share of the output held by the first k",
            "cumulative utilisation",
        ),
        range="0 .. 1, non-decreasing",
        low=0.0,
        high=1.0,
        direction="reaching 1 early: the head uses only the leading eigenfunctions",
        centering="both",
        invariances=UTILIZATION_SHAPE,
        equation="Σ_{j≤k} Q̂ⱼ / rank(F)",
        needs=("features", "outputs"),
        meaning="How much of the output span the k leading eigenfunctions hold.",
        source="arXiv:2410.04264 v1",
    ),
)
