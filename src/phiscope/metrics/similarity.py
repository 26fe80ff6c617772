"""Similarity of two feature kernels on the same samples."""

from __future__ import annotations

import math

import numpy as np

from phiscope.glossary.definition import CENTERED_SHAPE, SHAPE, Definition
from phiscope.typing import FloatArray


def kernel_similarity(cross: FloatArray, first_squared_norm: float, second_squared_norm: float) -> float:
    """Linear CKA norm^2(cov(phi_a, phi_b)) / (norm S_a norm S_b); 0..1.

    Args:
        cross: covariance of the two feature maps on paired samples, shape (p_a, p_b); their cross second moment
            E[phi_a phi_b^T] gives the uncentered reading.
        first_squared_norm: squared Frobenius norm of S_a, or of M_a; positive.
        second_squared_norm: squared Frobenius norm of S_b, or of M_b; positive.

    Source: Kornblith et al. 2019, arXiv:1905.00414.

    Example:
        >>> kernel_similarity(np.eye(2), 2.0, 2.0)
        1.0
    """
    # One root of the product keeps identical maps at exactly 1.
    overlap = float(np.einsum("ij,ij->", cross, cross))
    return min(overlap / math.sqrt(first_squared_norm * second_squared_norm), 1.0)


DEFINITIONS = (
    Definition(
        name="initial_kernel_similarity",
        title="similarity to the initial kernel",
        symbol="S_init",
        aliases=("similarity to the start", "initial similarity", "CKA to the start"),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="1: the feature map has not moved; small: it has changed",
        centering="centered",
        invariances=CENTERED_SHAPE,
        equation="‖E[(φ₀ − m₀)(φₜ − mₜ)ᵀ]‖² / (‖S₀‖ ‖Sₜ‖)",
        needs=("features", "initial"),
        meaning="CKA of the feature kernel now and at initialization, on the same samples.",
        source="Kornblith et al. 2019, arXiv:1905.00414; as a comparator in arXiv:2410.04264 v3",
        caveat="Says that the features moved, not where to: it does not separate good from bad features.",
    ),
    Definition(
        name="initial_kernel_similarity_raw",
        title="similarity to the initial kernel, raw",
        symbol="S_init raw",
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="1: the uncentered kernel has not moved; small: it has changed",
        centering="raw",
        invariances=SHAPE,
        equation="‖E[φ₀ φₜᵀ]‖² / (‖M₀‖ ‖Mₜ‖)",
        needs=("features", "initial"),
        meaning="Cosine of the uncentered feature kernels now and at initialization, on the same samples: what codes "
        "that do not center report.",
        source="arXiv:2410.04264 v3 (comparator, without centering)",
        caveat="Hardly moves once features have a mean, as after a ReLU: two kernels that share a large constant look "
        "alike whatever else they do. Read the centered one beside it.",
    ),
)
