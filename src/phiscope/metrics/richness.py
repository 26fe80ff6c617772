"""Dynamical low rank D_LR: how far the feature operator is from a minimal projection onto the outputs.

0 is the rich end and 1 the lazy end, hence the number is never called richness.
"""

from __future__ import annotations

import math

import numpy as np

from phiscope.glossary.definition import CENTERED_SHAPE, CENTERED_SHAPE_AND_SPAN, KEEPS_ONES, LINEAR_SPAN, Definition
from phiscope.spectrum.spans import OutputFunctions
from phiscope.typing import FloatArray

READINGS_DISAGREE = 0.02
"""From this difference on, the literal and the centered reading are reported as disagreeing."""

TOLERANCE_MOVES = 0.05
"""From this movement over one decade of the rank tolerance on, D_LR is reported as depending on it."""


def low_rank_distance(functions: OutputFunctions, covariance_norm: float, rank: int) -> float | None:
    """1 - CKA of the feature operator and the projection on the span of the leading output functions.

    Literal reading (functions of F): 1 - tr(F^+ Bc^T Bc) / (sqrt(tr(F^+ Fc F^+ Fc)) norm S).
    Centered reading (functions of Fc): 1 - tr(Fc^+ Bc^T Bc) / (sqrt(r) norm S).

    Args:
        functions: the whitened outputs.
        covariance_norm: Frobenius norm of S, positive.
        rank: number of leading functions that span the outputs.

    Returns:
        0..1, or None when the span is empty or holds only the constant.

    Source: D_LR from arXiv:2410.04264 v3; two centerings and tolerance are phiscope's own.

    Example:
        >>> functions = OutputFunctions(spectrum=np.ones(1), make=lambda rank: (np.eye(4)[:, :rank], np.eye(rank)))
        >>> low_rank_distance(functions, covariance_norm=2.0, rank=1)
        0.5
    """
    if functions.hold_only_the_constant(rank):
        return None
    loadings = functions.centered_loadings(rank)
    overlap = float(np.einsum("ij,ij->", loadings, loadings))
    projection = functions.squared_projection(rank)
    # Cauchy-Schwarz bounds the quotient by 1; beyond that is rounding.
    return min(max(1 - overlap / (math.sqrt(projection) * covariance_norm), 0.0), 1.0)


def low_rank_curve(
    functions: OutputFunctions, covariance_norm: float, tolerances: FloatArray
) -> list[tuple[float, int, float | None]]:
    """D_LR as a function of the rank tolerance: tolerance, rank used, value."""
    ranks = [functions.rank(float(tolerance)) for tolerance in tolerances]
    # The most first: the others are among them.
    functions.centered_loadings(max(ranks, default=0))
    return [
        (float(tolerance), rank, low_rank_distance(functions, covariance_norm, rank))
        for tolerance, rank in zip(tolerances, ranks, strict=True)
    ]


def used_variance(loadings: FloatArray, trace: float) -> float:
    """U = sum rho^c Qhat^c / sum rho^c, the share of centered feature variance inside the output span; 0..1.

    Args:
        loadings: E[(phi - m) g_j] of an orthonormal basis g of the centered output span, shape (p, r).
        trace: of the covariance, positive.

    Source: phiscope's own. With it D_LR centered = 1 - U sqrt(PR / r) exactly.

    Example:
        >>> used_variance(np.array([[1.0], [0.0]]), 2.0)
        0.5
    """
    return min(float(np.einsum("ij,ij->", loadings, loadings)) / trace, 1.0)


_LAZY = "0: richest (features are the outputs, all equally strong); 1: laziest"

DEFINITIONS = (
    Definition(
        name="dynamical_low_rank",
        title="dynamical low rank",
        symbol="D_LR",
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction=_LAZY,
        centering="mixed",
        invariances=CENTERED_SHAPE,
        equation="1 − tr(F⁺ Bcᵀ Bc) / (√tr(F⁺ Fc F⁺ Fc) ‖S‖)",
        needs=("features", "outputs"),
        meaning="Distance (1 − CKA) of the feature operator from a minimal projection on the span of the network's "
        "outputs: 0 when the features are nothing but the outputs, all equally strong.",
        source="arXiv:2410.04264 v3 (literal reading)",
        caveat="Small is not good: a network that fits noise may have it too. A random head on isotropic features "
        "gives 1 − √(r/p), on others what dynamical_low_rank_random_head says; a head on weak eigenfunctions goes "
        "beyond. Depends on the rank tolerance when the spectrum of the outputs has no gap; biased when n is not much "
        "larger than p, low far from collapse and high near it: read the corrected one beside it.",
    ),
    Definition(
        name="dynamical_low_rank_centered",
        title="dynamical low rank, centered",
        symbol="D_LRᶜ",
        aliases=("from features that are the outputs",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction=_LAZY,
        centering="centered",
        invariances=CENTERED_SHAPE_AND_SPAN,
        equation="1 − tr(Fc⁺ Bcᵀ Bc) / (√r ‖S‖) = 1 − U √(PR / r)",
        needs=("features", "outputs"),
        ours=True,
        meaning="The same distance with the outputs centered before their span is taken; splits exactly into used "
        "variance U and evenness √(PR / r).",
        source="phiscope, after arXiv:2410.04264 v3",
        caveat="Outputs of uneven strength (regression targets of different scale) give a value above 0 at perfect "
        "collapse.",
    ),
    Definition(
        name="dynamical_low_rank_random_head",
        title="dynamical low rank of a random head",
        symbol="D_LRʳ",
        aliases=("random head", "lazy reference"),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="the lazy reference: what D_LR would be if the outputs ignored the features' structure",
        centering="centered",
        invariances=CENTERED_SHAPE_AND_SPAN,
        equation="mean of D_LRᶜ over Gaussian random heads with r outputs on these features",
        needs=("features", "outputs"),
        ours=True,
        meaning="Where the lazy end lies for these very features; isotropic ones give 1 − √(r/p).",
        source="phiscope",
        caveat="A mean over fixed draws, with a standard error up to about 0.002 for nine outputs or more and 0.007 "
        "for one or two; a warning tells it from 0.005 on.",
    ),
    Definition(
        name="used_variance",
        title="used variance",
        symbol="U",
        aliases=("of the feature variance is used", "unused variance"),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="small: most feature variance is not used by the head; large: all of it is",
        centering="centered",
        invariances=CENTERED_SHAPE_AND_SPAN,
        equation="Σ ρᶜₖ Q̂ᶜₖ / Σ ρᶜₖ",
        needs=("features", "outputs"),
        ours=True,
        meaning="Share of the centered feature variance that lies inside the span of the outputs.",
        source="phiscope",
    ),
    Definition(
        name="output_rank",
        title="output rank",
        symbol="r",
        aliases=("rank",),
        range="0 .. C, whole numbers",
        low=0.0,
        direction="number of independent centered outputs",
        centering="centered",
        invariances={**LINEAR_SPAN, "invertible_outputs": KEEPS_ONES},
        equation="rank(Fc) at the relative rank tolerance",
        needs=("features", "outputs"),
        meaning="How many independent directions the centered outputs have; for classes, whose outputs are taken as "
        "differences of logits, at most C − 1.",
        source="phiscope",
        ours=True,
    ),
    Definition(
        name="output_rank_raw",
        title="output rank, raw",
        symbol="rank F",
        range="0 .. C, whole numbers",
        low=0.0,
        direction="number of independent outputs, the constant included",
        centering="raw",
        invariances=LINEAR_SPAN,
        equation="rank(F) at the relative rank tolerance",
        needs=("features", "outputs"),
        meaning="Dimension of the span that the literal D_LR and the raw Π̂(k) use.",
        source="phiscope",
        ours=True,
    ),
)
