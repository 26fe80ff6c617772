"""The lazy reference: D_LR of Gaussian random heads on the features at hand, and how well their mean is known."""

from __future__ import annotations

import math

import numpy as np

from phiscope.linalg import dense
from phiscope.linalg.products import product
from phiscope.typing import FloatArray

FEWEST_DRAWS, MOST_DRAWS = 8, 16
"""Draws of all weights, always the same ones, so that the number repeats exactly; fewer would not tell their error."""

GOOD_ENOUGH = 2e-3
"""Standard error at which no further draws are made."""

FEW_OUTPUTS = 32
"""Up to so many outputs, nearly all scatter comes from the strongest eigenfunctions, which are drawn more often."""

STRONG_DRAWS = 300
"""Draws of the strongest eigenfunctions for each draw of the others, divided by r: one output scatters most."""

MOST_STRONG_DRAWS = 128


def random_head_distance(eigenvalues: FloatArray, rank: int) -> tuple[float, float]:
    """Centered D_LR that a Gaussian random head of `rank` outputs has on these features, averaged over heads.

    In the eigenbasis a random head stays Gaussian, so only eigenvalues are needed. For few outputs the weights of the
    strongest eigenfunctions are drawn anew many times for each draw of all others.

    Args:
        eigenvalues: centered rho_k, shape (K,), descending.
        rank: number of outputs, 1 <= rank.

    Returns:
        The mean, 0..1, and its standard error over the draws; the draws are fixed.

    Source: phiscope's own; two-stage sampling after Cochran 1977, Sampling Techniques, chapter 10. Errors of both:
    benchmarks/random_head.py.

    Example:
        >>> value, error = random_head_distance(np.ones(100), 4)
        >>> round(value, 6), error < 1e-12
        (0.8, True)
    """
    rank, norm = min(rank, len(eigenvalues)), dense.length(eigenvalues)
    if rank == len(eigenvalues):
        # As many outputs as features see all of them.
        overlaps = [float(eigenvalues.sum())]
    else:
        overlaps = _overlaps(eigenvalues, rank, GOOD_ENOUGH * math.sqrt(rank) * norm)
    error = float(np.std(overlaps, ddof=1)) / math.sqrt(len(overlaps)) if len(overlaps) > 1 else 0.0
    size = math.sqrt(rank) * norm
    return float(np.clip(1 - np.mean(overlaps) / size, 0.0, 1.0)), error / size


def _overlaps(eigenvalues: FloatArray, rank: int, enough: float) -> list[float]:
    """tr(Q^T Lambda Q), Q an orthonormal basis of the outputs as functions of the whitened features, for each draw."""
    generator = np.random.default_rng(0)
    strong = min(2 * rank + 8, len(eigenvalues)) if rank <= FEW_OUTPUTS else 0
    top, rest = eigenvalues[:strong], eigenvalues[strong:]
    found: list[float] = []
    while len(found) < MOST_DRAWS:
        basis, triangle = _weak_outputs(rest, rank, generator)
        if strong:
            found.append(_with_strong(top, triangle, product((basis * rest[:, None]).T, basis), generator))
        else:
            found.append(float((rest @ basis**2).sum()))
        if len(found) >= FEWEST_DRAWS and np.std(found, ddof=1) <= enough * math.sqrt(len(found)):
            break
    return found


def _weak_outputs(rest: FloatArray, rank: int, generator: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Random outputs of the weak eigenfunctions as Q R, shapes (K', t) and (t, r)."""
    if len(rest) == 0:
        return np.zeros((0, 0)), np.zeros((0, rank))
    heads = np.sqrt(rest)[:, None] * generator.standard_normal((len(rest), rank))
    basis, triangle = dense.orthonormal(heads)
    return np.asarray(basis, dtype=np.float64), np.asarray(triangle, dtype=np.float64)


def _with_strong(top: FloatArray, triangle: FloatArray, inner: FloatArray, generator: np.random.Generator) -> float:
    """The overlap for one draw of the weak eigenfunctions, averaged over draws of the strong ones.

    Args:
        top: strong eigenvalues, shape (s,).
        triangle: R of the weak outputs, shape (t, r).
        inner: Q^T Lambda Q of the weak ones, shape (t, t).
        generator: of the draws.
    """
    rank, edge = triangle.shape[1], len(triangle)
    repeats = min(max(STRONG_DRAWS // rank, 1), MOST_STRONG_DRAWS)
    stacked = np.empty((repeats, edge + len(top), rank))
    stacked[:, :edge] = triangle
    stacked[:, edge:] = np.sqrt(top)[:, None] * generator.standard_normal((repeats, len(top), rank))
    outputs = dense.orthonormal_stack(stacked)
    weak, leading = outputs[:, :edge], outputs[:, edge:]
    overlap = np.einsum("mij,mij->", inner @ weak, weak) + (top @ leading**2).sum()
    return float(overlap / repeats)
