"""Outputs and targets as spans of functions on the probe, from moments or from an affine head."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product, row_products
from phiscope.moments.moments import Moments
from phiscope.spectrum.eigensystem import Loadings, diagonalize_operator, diagonalize_with_mean, rank_at, whitened
from phiscope.spectrum.output_coordinates import reduced_head, turned_outputs, without_shift
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
        eps: relative rounding of the outputs as they came.
    """

    spectrum: FloatArray
    make: Callable[[int], tuple[FloatArray, FloatArray]]
    eps: float = float(np.finfo(np.float64).eps)
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

    def hold_only_the_constant(self, rank: int) -> bool:
        """Whether the leading functions do not vary by more than rounding, or there are none.

        A last digit of each output is a share eps^2 of its square; of sums in float64 remains eps.
        """
        rounding = max(self.eps**2, float(np.finfo(np.float64).eps))
        return rank == 0 or self.squared_projection(rank) <= rounding**2

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
class Rounding:
    """What rounding alone makes of the moments of the outputs, as variance.

    A share of the largest eigenvalue is no measure of that: where nothing varies, all of them are rounding.

    Attributes:
        raw: eigenvalues of F up to which they say nothing.
        centered: the same of Fc, or of the covariance of the differences.
        whole: variance in all directions together that rounding of each sample can make: outputs whose strongest
            direction has no more of it are constant.
        eps: relative rounding of the outputs as they came.
    """

    raw: float
    centered: float
    whole: float
    eps: float = float(np.finfo(np.float64).eps)


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
    mean, size, eps = moments.mean[moments.columns("outputs")], moments.n_outputs, float(np.finfo(np.float64).eps)
    squares = covariance.diagonal() + mean**2
    # Samples came rounded to their last digit, and where all are the same but for rounding, they are off by one of it
    # at most. Where they vary by more, rounding is evenly spread and another one in each output: noise of which no
    # direction has more than Marchenko and Pastur say.
    whole = moments.output_eps**2 * float(squares.sum())
    noise = moments.output_eps**2 / 12 * float(squares.max()) * (1 + math.sqrt(size / moments.n_samples)) ** 2
    apart = None
    if are_differences(moments, size):
        apart = _differences(covariance, cross)
        # Besides, entries of a formed Fc are rounded to the last digit of the largest of them, which a large common
        # shift makes: C x C such errors shift no eigenvalue by more than C eps max_i Fc_ii, at most C eps rho_1(Fc).
        noise += (size * eps) ** 2 * float(squares.sum())
        noise += 0.0 if covariance.matrix is None else size * eps * float(covariance.diagonal().max())
    return _outputs(
        covariance=covariance,
        cross=cross,
        apart=apart,
        feature_mean=moments.mean[: moments.n_features],
        output_mean=mean,
        cut=cut,
        rounding=Rounding(raw=0.0, centered=noise, whole=whole, eps=moments.output_eps),
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
    plain = apart = _head_rounding(covariance, weight)
    if differences:
        # Turned before any product, so that rows of W that differ by nothing give differences of zero, and not the
        # rounding of W S W^T. Literal readings do not see the turn.
        turned = turned_outputs(weight)
        apart = _head_rounding(covariance, weight, turned[1:])
        weight, bias = turned, turned_outputs(bias[:, None])[:, 0]
    cross = covariance.apply(weight.T)
    if covariance.matrix is None and covariance.rows is not None:
        rows = product(covariance.rows, weight.T)
        output_covariance, differing = PositiveOperator(rows=rows), PositiveOperator(rows=rows[:, 1:])
    else:
        small = product(weight, cross)
        small = (small + small.T) / 2
        output_covariance, differing = PositiveOperator(matrix=small), PositiveOperator(matrix=small[1:, 1:])
    return _outputs(
        covariance=output_covariance,
        cross=cross,
        apart=(differing, cross[:, 1:]) if differences else None,
        feature_mean=feature_mean,
        output_mean=product(weight, feature_mean) + bias,
        cut=cut,
        rounding=Rounding(raw=plain, centered=apart, whole=plain),
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
    rounding: Rounding,
) -> Outputs:
    """Both spans.

    Args:
        covariance: Fc.
        cross: Bc.
        apart: both of the outputs' differences, where centered readings take these.
        feature_mean: m.
        output_mean: fb.
        cut: where the spectrum of the outputs ends.
        rounding: what of it says nothing.
    """
    both = diagonalize_with_mean(covariance, output_mean)
    all_values = both.centered.eigenvalues
    raw_values = both.raw.eigenvalues[both.raw.eigenvalues > rounding.raw]
    system, cross_centered = (both.centered, cross) if apart is None else (diagonalize_operator(apart[0]), apart[1])
    values = system.eigenvalues[system.eigenvalues > rounding.centered]
    values = values[: len(values) if values[:1].sum() > rounding.whole else 0]
    raw_rank, rank = cut.raw_rank(raw_values), cut.rank(values)

    def centered_functions(count: int) -> tuple[FloatArray, FloatArray]:
        return product(cross_centered, system.leading(count) / np.sqrt(values[:count])), np.eye(count)

    def literal_functions(count: int) -> tuple[FloatArray, FloatArray]:
        # Combinations of the centered functions, whose covariance is the identity.
        turn = both.raw_functions(count)
        return product(cross, both.centered.combine(turn / np.sqrt(all_values)[:, None])), row_products(turn.T)

    literal = OutputFunctions(spectrum=raw_values, make=literal_functions, eps=rounding.eps)
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
        vary=bool(len(values) or (all_values > rounding.whole).any()),
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
