"""Two feature maps on the same samples: similarity of their kernels, and of their eigenfunctions."""

from __future__ import annotations

import math

import numpy as np

from phiscope.glossary.definition import CENTERED_SHAPE, Definition
from phiscope.linalg import dense
from phiscope.typing import FloatArray

PERSISTS = 0.9
"""An eigenfunction persists when at least this share of it lies in the other span."""


def unbiased_hsic(cross: float, products: float, first: float, second: float, n_samples: int) -> float:
    """The unbiased estimate of HSIC for linear kernels, from features instead of n x n kernels.

    With X and Y centered, d_i = norm^2(x_i) and e_i = norm^2(y_i):
    (norm^2(X^T Y) - n sum d_i e_i / (n - 2) + (sum d_i)(sum e_i) / ((n - 1)(n - 2))) / (n (n - 3)).
    Centering changes nothing: the estimate is the same for any origin of the features.

    Args:
        cross: squared Frobenius norm of X^T Y.
        products: sum of d_i e_i.
        first: sum of d_i.
        second: sum of e_i.
        n_samples: n, at least 4.

    Source: Song et al. 2012, JMLR 13, equation 5.

    Example:
        >>> x = np.array([-1.5, -0.5, 0.5, 1.5])
        >>> round(float(unbiased_hsic((x @ x) ** 2, (x**4).sum(), x @ x, x @ x, 4)), 12)
        2.166666666667
    """
    n = n_samples
    return (cross - n * products / (n - 2) + first * second / ((n - 1) * (n - 2))) / (n * (n - 3))


def principal_angles(overlap: FloatArray) -> FloatArray:
    """Angles between the spans of two sets of orthonormal functions; radians, ascending, 0..pi/2.

    Angles below about 2e-8 are rounding: the cosine of a smaller one is 1 in float64.

    Args:
        overlap: <e_j|e_k>, shape (k_a, k_b).

    Returns:
        Shape (min(k_a, k_b),).

    Source: Bjorck and Golub 1973.

    Example:
        >>> principal_angles(np.eye(2)).tolist()
        [0.0, 0.0]
    """
    if overlap.size == 0:
        return np.zeros(0)
    return np.asarray(np.arccos(np.clip(dense.singular_values(overlap), 0.0, 1.0)))


def persistence(overlap: FloatArray, depths: list[int]) -> FloatArray:
    """Squared norm of each e_j of the first map inside the span of the leading eigenfunctions of the second.

    P_j = sum over k up to depth_j of <e_j|e_k>^2; 0..1.

    Args:
        overlap: <e_j|e_k>, shape (k_a, k_b).
        depths: for each e_j how many leading eigenfunctions of the second map count, length k_a.

    Returns:
        Shape (k_a,).

    Source: phiscope's own.

    Example:
        >>> persistence(np.array([[0.6, 0.8], [0.8, -0.6]]), [1, 2]).round(9).tolist()
        [0.36, 1.0]
    """
    reached = np.concatenate([np.zeros((len(overlap), 1)), np.cumsum(overlap**2, axis=1)], axis=1)
    within = reached[np.arange(len(overlap)), np.minimum(depths, overlap.shape[1])]
    return np.asarray(np.minimum(within, 1.0))


def cka_unbiased(cross: float, first: float, second: float) -> float:
    """Ratio of unbiased HSIC estimates; -1..1, and 0 on average for independent maps.

    Args:
        cross: HSIC of the two maps.
        first: HSIC of the first map with itself, positive.
        second: HSIC of the second map with itself, positive.

    Source: Nguyen, Raghu and Kornblith 2021, arXiv:2010.15327, with Song et al. 2012.

    Example:
        >>> cka_unbiased(1.0, 1.0, 4.0)
        0.5
    """
    return min(max(cross / math.sqrt(first * second), -1.0), 1.0)


DEFINITIONS = (
    Definition(
        name="cka",
        title="kernel similarity of two maps",
        symbol="CKA",
        aliases=("HSIC",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="0: unrelated feature kernels; 1: the same up to rotation, scale and shift",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="‖cov(φᵃ, φᵇ)‖² / (‖Sᵃ‖ ‖Sᵇ‖)",
        meaning="Linear CKA of two feature maps on the same samples.",
        source="Kornblith et al. 2019, arXiv:1905.00414",
        caveat="Biased upward for few samples: unrelated maps have about p/n, so use cka_unbiased unless n is many "
        "times p. It weighs functions by their eigenvalues and is silent about the weak ones.",
    ),
    Definition(
        name="cka_unbiased",
        title="kernel similarity of two maps, unbiased",
        symbol="CKAᵤ",
        range="−1 .. 1",
        low=-1.0,
        high=1.0,
        direction="around 0: unrelated feature kernels; 1: the same up to rotation, scale and shift",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="HSICᵤ(a, b) / √(HSICᵤ(a, a) HSICᵤ(b, b)), HSICᵤ = (‖XᵀY‖² − n Σdᵢeᵢ/(n−2) + ΣdᵢΣeᵢ/((n−1)(n−2))) "
        "/ (n(n−3)), X and Y centered, dᵢ = ‖xᵢ‖², eᵢ = ‖yᵢ‖²",
        meaning="Linear CKA with unbiased estimates of its three parts, so that few samples do not raise it.",
        source="Song et al. 2012, JMLR 13; Nguyen et al. 2021, arXiv:2010.15327",
        caveat="Each part is unbiased, their ratio only nearly; small negative values are unrelated maps.",
    ),
)

CURVES = (
    Definition(
        name="overlap",
        title="overlap of eigenfunctions",
        symbol="⟨eⱼᵃ|eₖᵇ⟩",
        range="−1 .. 1",
        low=-1.0,
        high=1.0,
        direction="0: orthogonal functions; ±1: the same function",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="E[eⱼᵃ eₖᵇ]",
        meaning="Inner products of the eigenfunctions of two feature maps on the same samples; signs are arbitrary.",
        source="Inner product of arXiv:2410.04264 v1; the comparison of two maps is phiscope's own",
        ours=True,
        caveat="Inside a cluster of nearly equal eigenvalues only the sum of squares over the cluster means something.",
    ),
    Definition(
        name="principal_angles",
        title="principal angles between the spans",
        symbol="θᵢ",
        unit="radian",
        range="0 .. π/2",
        low=0.0,
        high=math.pi / 2,
        direction="0: a function both spans hold; π/2: one that only one of them holds",
        centering="centered",
        invariances={**CENTERED_SHAPE, "invertible_linear": "between all of both spans, k=None"},
        equation="arccos of the singular values of ⟨eⱼᵃ|eₖᵇ⟩",
        meaning="Angles between the spaces of functions that the leading eigenfunctions of two maps span.",
        source="Björck and Golub 1973, Mathematics of Computation 27",
        caveat="Two spans of k functions always meet when 2k exceeds n − 1.",
    ),
    Definition(
        name="persistence",
        title="persistence of eigenfunctions",
        symbol="Pⱼ",
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="0: gone; 1: the other map's leading eigenfunctions still hold it",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="Σ_{k≤K(j)} ⟨eⱼᵃ|eₖᵇ⟩², K(j) = end of the b-cluster that holds the end of the a-cluster of j",
        meaning="Share of an eigenfunction of the first map inside the span of as many leading eigenfunctions of the "
        "second, never cutting a cluster of nearly equal eigenvalues.",
        source="phiscope's own",
        ours=True,
        caveat="Chance alone gives about K/(n − 1).",
    ),
)

PLACES = {row.name: f"phiscope.compare(features_a, features_b).{row.name}" for row in (*DEFINITIONS, *CURVES)}
"""Where each of these numbers is read."""
