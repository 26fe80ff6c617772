"""Outputs and targets as spans of functions on the probe, from moments or from an affine head."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from phiscope.linalg import dense
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product, row_products
from phiscope.moments.moments import Moments
from phiscope.spectrum.eigensystem import Loadings, diagonalize_operator, diagonalize_with_mean, rank_at, whitened
from phiscope.typing import AffineHead, FloatArray


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The outputs on the probe, measured or derived from an affine head, with both spans.

    Attributes:
        literal: whitened by F.
        centered: whitened by Fc; for classes of logit differences f - mean_c f, since softmax does not see a common
            shift of all outputs.
        raw_span: span of the outputs.
        centered_span: span of the centered outputs, for classes of their differences.
        variance: tr(Fc).
        vary: whether the outputs vary by more than rounding; those that differ by constants only do, and yet the
            centered span of their differences is empty.
    """

    literal: OutputFunctions
    centered: OutputFunctions
    raw_span: FunctionSpan
    centered_span: FunctionSpan
    variance: float
    vary: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class OutputFunctions:
    """The outputs as whitened functions u_j = U_j . f / sqrt(phi_j), in descending order of phi_j.

    Only the leading ones that somebody asks for are made: of a thousand outputs, few are above the rank tolerance.

    Attributes:
        spectrum: phi_j > 0, shape (J,), eigenvalues of F (literal) or Fc (centered).
        make: cov(phi, u), shape (p, r), and cov(u), shape (r, r), of the first r functions; the latter is the identity
            for the centered reading.
    """

    spectrum: FloatArray
    make: Callable[[int], tuple[FloatArray, FloatArray]]
    _made: list[tuple[FloatArray, FloatArray]] = field(default_factory=list, init=False, repr=False)

    def _leading(self, rank: int) -> tuple[FloatArray, FloatArray]:
        made = self._made[0] if self._made else None
        if made is None or made[0].shape[1] < rank:
            # Another thread may keep fewer meanwhile, hence what was made here is what is returned.
            made = self.make(rank)
            self._made[:] = [made]
        return made

    def centered_loadings(self, rank: int) -> FloatArray:
        """cov(phi, u) of the first functions, shape (p, rank)."""
        return self._leading(rank)[0][:, :rank]

    def rank(self, tolerance: float) -> int:
        """How many phi_j exceed the relative tolerance."""
        return rank_at(self.spectrum, tolerance)

    def squared_projection(self, rank: int) -> float:
        """Squared norm of the centered projection on the leading functions, tr(F^+ Fc F^+ Fc).

        From the covariance: I - E[u] E[u]^T would cancel for outputs whose mean is far above their spread.
        """
        kept = self._leading(rank)[1][:rank, :rank]
        return float(np.einsum("ij,ij->", kept, kept))


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
        # Indicators over sqrt(pi_c) are orthonormal, and projecting on the centered ones gives S_B: no inverse needed.
        # Shares are the eigenvalues of D; the largest of Dc lies between the two largest of them.
        tops = shares.max(), np.sort(shares)[-2:].min()
        raw, centered = (np.where(shares > TARGET_TOLERANCE * top, np.sqrt(shares), 0.0) for top in tops)
        return TargetSpans(
            raw=FunctionSpan(rank=int((raw > 0).sum()), of=Loadings(base=offsets, mix=raw, mean=mean, shift=raw)),
            centered=FunctionSpan(rank=int((centered > 0).sum()) - 1, of=Loadings(base=offsets, mix=centered)),
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


def are_differences(moments: Moments, n_outputs: int) -> bool:
    """Whether centered readings take outputs modulo a common shift: softmax, over several outputs, does not see it."""
    return moments.classes and n_outputs > 1


def measured_outputs(moments: Moments, cut: Cut) -> Outputs:
    """Spans of outputs that were measured sample by sample."""
    covariance, cross = moments.covariance("outputs"), moments.cross_covariance("outputs")
    mean, size, eps = moments.mean[moments.columns("outputs")], moments.n_outputs, np.finfo(np.float64).eps
    apart, rounding = None, 0.0
    if are_differences(moments, size):
        apart = _differences(covariance, cross)
        # Every sample is rounded to the last digit of its own size. Besides, entries of a formed Fc are rounded to
        # that of the largest of them, which a large common shift makes: C x C such errors shift no eigenvalue by more
        # than C eps max_i Fc_ii, which is at most C eps rho_1(Fc).
        # Outputs that came in single precision bring that rounding with them, as noise of so much variance at most.
        coarse = moments.output_eps if moments.output_eps > eps else 0.0
        rounding = ((size * eps) ** 2 + coarse**2) * (covariance.trace() + float(product(mean, mean)))
        rounding += 0.0 if covariance.matrix is None else size * eps * float(covariance.diagonal().max())
    return _outputs(
        covariance=covariance,
        cross=cross,
        apart=apart,
        feature_mean=moments.mean[: moments.n_features],
        output_mean=mean,
        cut=cut,
        rounding=(0.0, rounding),
    )


def affine_outputs(
    covariance: PositiveOperator,
    feature_mean: FloatArray,
    head: AffineHead,
    cut: Cut,
    *,
    differences: bool = False,
) -> Outputs:
    """Spans of the outputs W phi + b from the moments of the features alone: Bc = S W^T, Fc = W S W^T.

    With more outputs than p + 2 they are first rotated into p + 2 coordinates, which changes no span, no eigenvalue and
    no norm, and avoids C x C; see `reduced_head`.

    Args:
        covariance: S.
        feature_mean: m.
        head: (W, b).
        cut: where the spectrum of the outputs ends.
        differences: whether centered readings take the outputs modulo a common shift.
    """
    weight, bias = reduced_head(head)
    rounding = _head_rounding(covariance, weight), _head_rounding(covariance, weight)
    if differences:
        # Turned before any product, so that rows of W that differ by nothing give differences of zero, and not the
        # rounding of W S W^T. Literal readings do not see the turn.
        turned = _turned(weight)
        rounding = rounding[0], _head_rounding(covariance, weight, turned[1:])
        weight, bias = turned, _turned(bias[:, None])[:, 0]
    cross = covariance.apply(weight.T)
    if covariance.matrix is None and covariance.rows is not None:
        rows = product(covariance.rows, weight.T)
        output_covariance, apart = PositiveOperator(rows=rows), PositiveOperator(rows=rows[:, 1:])
    else:
        small = product(weight, cross)
        small = (small + small.T) / 2
        output_covariance, apart = PositiveOperator(matrix=small), PositiveOperator(matrix=small[1:, 1:])
    return _outputs(
        covariance=output_covariance,
        cross=cross,
        apart=(apart, cross[:, 1:]) if differences else None,
        feature_mean=feature_mean,
        output_mean=product(weight, feature_mean) + bias,
        cut=cut,
        rounding=rounding,
    )


def _head_rounding(covariance: PositiveOperator, weight: FloatArray, read: FloatArray | None = None) -> float:
    """Output variance that is rounding of the products with W, or with some combinations of its rows.

    From samples, or from products with them, a product is off by the last digit of what it sums, hence eps^2. A formed
    S gives W S W^T, in which terms w_ci S_ij w_cj cancel that together reach p sum_i w_ci^2 S_ii, hence eps.

    Args:
        covariance: S.
        weight: W, shape (C, p).
        read: the rows that are multiplied, made from those of W, shape (r, p); None for W itself.
    """
    eps, squares = np.finfo(np.float64).eps, float(np.einsum("cp,cp->", weight, weight))
    found = float((max(weight.shape) * eps) ** 2) * squares * covariance.trace()
    if covariance.matrix is not None:
        rows = weight if read is None else read
        found += weight.shape[1] * float(eps) * float(np.einsum("cp,cp,p->", rows, rows, covariance.diagonal()))
    return found


def reduced_head(head: AffineHead) -> AffineHead:
    """A head of at most p + 2 outputs with the same span, spectrum and norms; the head itself when it has no more.

    (1, W, b) = Q R with orthonormal columns Q, 1 the shift that is common to all outputs. A reflection then turns the
    shift, the first coordinate, back into that of all coordinates, so that logit differences of the p + 2 outputs are
    those of all.
    """
    weight, bias = head
    if len(weight) <= weight.shape[1] + 2:
        return head
    square = _triangle(weight, bias)[:, 1:]
    square = square - np.outer(_mirrored(len(square)), product(_mirrored(len(square)), square))
    return square[:, :-1], square[:, -1]


def _triangle(weight: FloatArray, bias: FloatArray) -> FloatArray:
    """R of (1, W, b) = Q R, shape (p + 2, p + 2), block by block: a second and third C x p array are never made."""
    width = weight.shape[1] + 2
    step = max(4 * width, 1024)
    reduced = np.zeros((0, width))
    for start in range(0, len(weight), step):
        part = slice(start, start + step)
        ones = np.ones(len(weight[part]))
        reduced = dense.triangle(np.concatenate([reduced, np.column_stack([ones, weight[part], bias[part]])]))
    return reduced


def _mirrored(n_outputs: int) -> FloatArray:
    """v of norm sqrt(2), I - v v^T the reflection that swaps the common shift 1 / sqrt(C) and the first coordinate."""
    shift = np.full(n_outputs, -1 / np.sqrt(n_outputs))
    shift[0] += 1.0
    return np.asarray(shift * np.sqrt(2 / product(shift, shift))) if n_outputs > 1 else np.zeros(1)


def _turned(columns: FloatArray) -> FloatArray:
    """Rows of outputs in other orthonormal coordinates: their common shift first, their differences after it."""
    first = columns[:1]
    # About one of the rows: where all are equal, nothing but zeros is turned.
    apart = without_shift(np.ascontiguousarray((columns - first).T)).T
    return np.concatenate([math.sqrt(len(columns)) * columns.mean(axis=0, keepdims=True), apart])


def without_shift(columns: FloatArray) -> FloatArray:
    """Outputs in C - 1 orthonormal coordinates of their differences.

    Args:
        columns: anything with one column for each output, shape (m, C), C >= 2.

    Returns:
        Shape (m, C - 1); inner products of rows are those of rows minus their mean.

    Example:
        >>> without_shift(np.array([[5.0, 5.0], [1.0, -1.0]])).round(12).__abs__().tolist()
        [[0.0], [1.414213562373]]
    """
    mirrored = _mirrored(columns.shape[1])
    return np.asarray(columns - np.outer(product(columns, mirrored), mirrored))[:, 1:]


def _differences(covariance: PositiveOperator, cross: FloatArray) -> tuple[PositiveOperator, FloatArray]:
    """Covariance of logit differences, and that with features."""
    if covariance.matrix is None and covariance.rows is not None:
        return PositiveOperator(rows=without_shift(covariance.rows)), without_shift(cross)
    matrix = without_shift(np.ascontiguousarray(without_shift(covariance.dense()).T))
    return PositiveOperator(matrix=(matrix + matrix.T) / 2), without_shift(cross)


def _outputs(
    *,
    covariance: PositiveOperator,
    cross: FloatArray,
    apart: tuple[PositiveOperator, FloatArray] | None,
    feature_mean: FloatArray,
    output_mean: FloatArray,
    cut: Cut,
    rounding: tuple[float, float],
) -> Outputs:
    """Both spans.

    Args:
        covariance: Fc.
        cross: Bc.
        apart: both of the outputs' differences, where centered readings take these.
        feature_mean: m.
        output_mean: fb.
        cut: where the spectrum of the outputs ends.
        rounding: eigenvalues of F, and of Fc or of the differences, up to which they say nothing. A share of the
            largest of them is no measure of that: where nothing varies, all of them are rounding.
    """
    both = diagonalize_with_mean(covariance, output_mean)
    all_values = both.centered.eigenvalues
    raw_values = both.raw.eigenvalues[both.raw.eigenvalues > rounding[0]]
    system, cross_centered = (both.centered, cross) if apart is None else (diagonalize_operator(apart[0]), apart[1])
    values = system.eigenvalues[system.eigenvalues > rounding[1]]
    raw_rank, rank = cut.raw_rank(raw_values), cut.rank(values)

    def centered_functions(count: int) -> tuple[FloatArray, FloatArray]:
        return product(cross_centered, system.leading(count) / np.sqrt(values[:count])), np.eye(count)

    def literal_functions(count: int) -> tuple[FloatArray, FloatArray]:
        # Combinations of the centered functions, whose covariance is the identity.
        turn = both.raw_functions(count)
        return product(cross, both.centered.combine(turn / np.sqrt(all_values)[:, None])), row_products(turn.T)

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
        vary=bool(len(values) or (all_values > rounding[0]).any()),
    )


@dataclass(frozen=True, kw_only=True)
class FunctionSpan:
    """A space of functions on the probe, known by how features load on functions u that span it.

    Attributes:
        rank: number of independent functions.
        of: E[phi u^T] for the raw reading, E[(phi - m) u^T] for the centered one. Its columns may be more than the rank
            (class indicators, centered); only L L^T matters.
    """

    rank: int
    of: Loadings

    @cached_property
    def loadings(self) -> FloatArray:
        """The columns, shape (p, j)."""
        return self.of.columns()
