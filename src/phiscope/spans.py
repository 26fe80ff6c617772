"""Outputs and targets as spans of functions on the probe, from moments or from an affine head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from phiscope.arrays import FloatArray
from phiscope.eigensystem import Loadings, diagonalize_with_mean
from phiscope.findings import Outputs
from phiscope.metrics.richness import OutputFunctions
from phiscope.moments import Moments
from phiscope.operators import PositiveOperator
from phiscope.products import product, row_products
from phiscope.spectrum import FunctionSpan, rank_at, whitened

TARGET_TOLERANCE = 1e-10
"""Relative eigenvalue tolerance of the pseudo-inverse of the targets' moment matrix."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where the spectrum of the outputs ends: at a relative tolerance, or at ranks found before.

    Attributes:
        tolerance: eigenvalues at or below this share of the largest count as zero.
        ranks: raw and centered rank to use instead, so that parts of a sample are read as the whole was.
    """

    tolerance: float
    ranks: tuple[int, int] | None = None

    def raw_rank(self, eigenvalues: FloatArray) -> int:
        """Rank of F."""
        return rank_at(eigenvalues, self.tolerance) if self.ranks is None else min(self.ranks[0], len(eigenvalues))

    def rank(self, eigenvalues: FloatArray) -> int:
        """Rank of Fc."""
        return rank_at(eigenvalues, self.tolerance) if self.ranks is None else min(self.ranks[1], len(eigenvalues))


@dataclass(frozen=True, kw_only=True)
class TargetSpans:
    """H*, the span of the target functions, in the raw and the centered reading.

    Attributes:
        raw: span of the targets.
        centered: span of the centered targets.
        raw_cross: G = E[phi y^T], one-hot rows for classes.
        cross: Gc = cov(phi, y).
        by_class: whether the columns of both spans belong to classes, which the sign rule reads.
    """

    raw: FunctionSpan
    centered: FunctionSpan
    raw_cross: Loadings
    cross: Loadings
    by_class: bool


def target_spans(moments: Moments) -> TargetSpans | None:
    """The span of the targets, None when none were given."""
    p = moments.n_features
    mean = moments.mean[:p]
    if moments.classes:
        present = moments.group_weights > 0
        offsets = (moments.group_means[present, :p] - mean).T
        shares = moments.group_weights[present] / moments.weight
        root = np.sqrt(shares)
        # Indicators over sqrt(pi_c) are orthonormal, and projecting on the centered ones gives S_B: no inverse needed.
        return TargetSpans(
            raw=FunctionSpan(rank=len(shares), of=Loadings(base=offsets, mix=root, mean=mean, shift=root)),
            centered=FunctionSpan(rank=len(shares) - 1, of=Loadings(base=offsets, mix=root)),
            raw_cross=Loadings(base=offsets, mix=shares, mean=mean, shift=shares),
            cross=Loadings(base=offsets, mix=shares),
            by_class=True,
        )
    if moments.n_values == 0:
        return None
    covariance, cross = moments.covariance("values"), moments.cross_covariance("values")
    average = moments.mean[moments.columns("values")]
    both = diagonalize_with_mean(covariance, average)
    raw, centered = (
        whitened(system)[:, : rank_at(system.eigenvalues, TARGET_TOLERANCE)] for system in (both.raw, both.centered)
    )
    return TargetSpans(
        raw=FunctionSpan(rank=raw.shape[1], of=Loadings(base=cross, mix=raw, mean=mean, shift=product(average, raw))),
        centered=FunctionSpan(rank=centered.shape[1], of=Loadings(base=cross, mix=centered)),
        raw_cross=Loadings(base=cross, mean=mean, shift=average),
        cross=Loadings(base=cross),
        by_class=False,
    )


def measured_outputs(moments: Moments, cut: Cut) -> Outputs:
    """Spans of outputs that were measured sample by sample."""
    return _outputs(
        covariance=moments.covariance("outputs"),
        cross=moments.cross_covariance("outputs"),
        feature_mean=moments.mean[: moments.n_features],
        output_mean=moments.mean[moments.columns("outputs")],
        cut=cut,
    )


def affine_outputs(
    covariance: PositiveOperator,
    feature_mean: FloatArray,
    head: tuple[FloatArray, FloatArray],
    cut: Cut,
) -> Outputs:
    """Spans of the outputs W phi + b from the moments of the features alone: Bc = S W^T, Fc = W S W^T.

    With more outputs than p + 1 they are first rotated into p + 1 coordinates (W, b = Q R with orthonormal
    columns Q), which changes no span, no eigenvalue and no norm, and avoids C x C.
    """
    weight, bias = reduced_head(head)
    cross = covariance.apply(weight.T)
    if covariance.matrix is None and covariance.rows is not None:
        output_covariance = PositiveOperator(rows=product(covariance.rows, weight.T))
    else:
        small = product(weight, cross)
        output_covariance = PositiveOperator(matrix=(small + small.T) / 2)
    return _outputs(
        covariance=output_covariance,
        cross=cross,
        feature_mean=feature_mean,
        output_mean=product(weight, feature_mean) + bias,
        cut=cut,
    )


def reduced_head(head: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """A head of at most p + 1 outputs with the same span, spectrum and norms; the head itself when it has no more."""
    weight, bias = head
    if len(weight) <= weight.shape[1] + 1:
        return head
    square = _triangle(weight, bias)
    return square[:, :-1], square[:, -1]


def _triangle(weight: FloatArray, bias: FloatArray) -> FloatArray:
    """R of (W, b) = Q R, shape (p + 1, p + 1), block by block: a second and third C x p array are never made."""
    width = weight.shape[1] + 1
    step = max(4 * width, 1024)
    triangle = np.zeros((0, width))
    for start in range(0, len(weight), step):
        part = slice(start, start + step)
        stacked = np.concatenate([triangle, np.column_stack([weight[part], bias[part]])])
        factor = scipy.linalg.qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0]
        triangle = np.asarray(factor[:width], dtype=np.float64)
    return triangle


def _outputs(
    *,
    covariance: PositiveOperator,
    cross: FloatArray,
    feature_mean: FloatArray,
    output_mean: FloatArray,
    cut: Cut,
) -> Outputs:
    both = diagonalize_with_mean(covariance, output_mean)
    raw_values, values = both.raw.eigenvalues, both.centered.eigenvalues
    raw_rank, rank = cut.raw_rank(raw_values), cut.rank(values)

    def centered_functions(count: int) -> tuple[FloatArray, FloatArray]:
        return product(cross, both.centered.leading(count) / np.sqrt(values[:count])), np.eye(count)

    def literal_functions(count: int) -> tuple[FloatArray, FloatArray]:
        # Combinations of the centered functions, whose covariance is the identity.
        turn = both.raw_functions(count)
        return product(cross, both.centered.combine(turn / np.sqrt(values)[:, None])), row_products(turn.T)

    literal = OutputFunctions(spectrum=raw_values, make=literal_functions)
    centered = OutputFunctions(spectrum=values, make=centered_functions)
    if cut.ranks is None:
        # D_LR is looked at around the tolerance, too.
        literal.centered_loadings(literal.rank(cut.tolerance / np.sqrt(10)))
    return Outputs(
        literal=literal,
        centered=centered,
        raw_span=FunctionSpan(
            rank=raw_rank,
            of=Loadings(
                base=literal.centered_loadings(raw_rank), mean=feature_mean, shift=both.mean_coordinates()[:raw_rank]
            ),
        ),
        centered_span=FunctionSpan(rank=rank, of=Loadings(base=centered.centered_loadings(rank))),
        variance=covariance.trace(),
    )
