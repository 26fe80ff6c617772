"""Outputs and targets as spans of functions on the probe, from moments or from an affine head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from phiscope.arrays import FloatArray
from phiscope.findings import Outputs
from phiscope.metrics.richness import OutputFunctions
from phiscope.moments import Moments
from phiscope.operators import PositiveOperator
from phiscope.spectrum import FunctionSpan, rank_at, whitening

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
        directions: sqrt(pi_c) mu_c and sqrt(pi_c)(mu_c - m), shape (C, p), for the sign rule; None for regression.
    """

    raw: FunctionSpan
    centered: FunctionSpan
    directions: tuple[FloatArray, FloatArray] | None = None


def target_spans(moments: Moments) -> TargetSpans | None:
    """The span of the targets, None when none were given."""
    p = moments.n_features
    mean = moments.mean[:p]
    if moments.classes:
        present = moments.group_weights > 0
        means = moments.group_means[present, :p]
        root = np.sqrt(moments.group_weights[present] / moments.weight)[:, None]
        raw, centered = root * means, root * (means - mean)
        # Indicators over sqrt(pi_c) are orthonormal, and projecting on the centered ones gives S_B: no inverse needed.
        return TargetSpans(
            raw=FunctionSpan(rank=len(raw), loadings=raw.T),
            centered=FunctionSpan(rank=len(raw) - 1, loadings=centered.T),
            directions=(raw, centered),
        )
    if moments.n_values == 0:
        return None
    covariance, cross = moments.covariance("values"), moments.cross_covariance("values")
    average = moments.mean[moments.columns("values")]
    raw_span = _span(covariance.plus_outer(average), cross + np.outer(mean, average))
    return TargetSpans(raw=raw_span, centered=_span(covariance, cross))


def _span(gram: PositiveOperator, cross: FloatArray) -> FunctionSpan:
    eigenvalues, basis = whitening(gram)
    rank = rank_at(eigenvalues, TARGET_TOLERANCE)
    return FunctionSpan(rank=rank, loadings=cross @ basis[:, :rank])


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
    weight, bias = head
    if len(weight) > weight.shape[1] + 1:
        square = _triangle(weight, bias)
        weight, bias = square[:, :-1], square[:, -1]
    cross = covariance.apply(weight.T)
    if covariance.rows is not None:
        output_covariance = PositiveOperator(rows=covariance.rows @ weight.T)
    else:
        product = weight @ cross
        output_covariance = PositiveOperator(matrix=(product + product.T) / 2)
    return _outputs(
        covariance=output_covariance,
        cross=cross,
        feature_mean=feature_mean,
        output_mean=weight @ feature_mean + bias,
        cut=cut,
    )


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
    raw_values, raw_basis = whitening(covariance.plus_outer(output_mean))
    values, basis = whitening(covariance)
    raw_rank, rank = cut.raw_rank(raw_values), cut.rank(values)
    raw_means = output_mean @ raw_basis
    raw_centered, centered = cross @ raw_basis, cross @ basis
    spread = raw_basis.T @ covariance.apply(raw_basis)
    return Outputs(
        literal=OutputFunctions(spectrum=raw_values, centered_loadings=raw_centered, covariance=spread),
        centered=OutputFunctions(spectrum=values, centered_loadings=centered, covariance=np.eye(len(values))),
        raw_span=FunctionSpan(rank=raw_rank, loadings=(raw_centered + np.outer(feature_mean, raw_means))[:, :raw_rank]),
        centered_span=FunctionSpan(rank=rank, loadings=centered[:, :rank]),
    )
