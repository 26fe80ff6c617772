"""Joint moments of two feature maps on the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, NonFiniteError, ShapeError
from phiscope.inputs.arrays import as_array, as_rows, check_reach
from phiscope.linalg import dense
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product
from phiscope.metrics.comparison import cka_unbiased, unbiased_hsic
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.pilots import BLOCK_ROWS
from phiscope.typing import FloatArray

LOST = 1e-12
"""An unbiased squared norm below this share of the plain one is rounding of the subtraction that made it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Moments of two maps a and b, and of the squared lengths of their centered samples.

    Attributes:
        first: S_a.
        second: S_b.
        first_mean: m_a, shape (p_a,).
        second_mean: m_b, shape (p_b,).
        crossed: cov(phi_a, phi_b), shape (p_a, p_b); None while both operators keep rows.
        n_samples: samples with positive weight.
        effective_samples: (sum w)^2 / sum w^2.
        lengths: E[d], E[e], E[d e], E[d^2], E[e^2] of d = norm^2(phi_a - m_a) and e likewise; None when the weights
            are unequal.
    """

    first: PositiveOperator
    second: PositiveOperator
    first_mean: FloatArray
    second_mean: FloatArray
    crossed: FloatArray | None
    n_samples: int
    effective_samples: float
    lengths: tuple[float, float, float, float, float] | None

    def cross(self) -> FloatArray:
        """A matrix with the norm of the cross covariance: itself, or one in sample space when that is smaller."""
        if self.crossed is not None:
            return self.crossed
        first, second = _triangle(self.first), _triangle(self.second)
        return product(first.T, second)

    def between(self, left: FloatArray, right: FloatArray) -> FloatArray:
        """left^T cov(phi_a, phi_b) right, for columns of shapes (p_a, j) and (p_b, k)."""
        if self.crossed is not None:
            return product(left.T, product(self.crossed, right))
        return product(product(_rows(self.first), left).T, product(_rows(self.second), right))


def _rows(operator: PositiveOperator) -> FloatArray:
    if operator.rows is None:
        raise InputError("this pair no longer holds its rows")
    return operator.rows


def _triangle(operator: PositiveOperator) -> FloatArray:
    """Rows A rotated into at most n coordinates: shape (n, min(n, p)), the same Gram matrix."""
    rows = _rows(operator)
    if rows.shape[1] <= rows.shape[0]:
        return rows
    return dense.triangle(rows.T).T


def paired(features_a: Any, features_b: Any, weights: Any) -> Pair:
    """Gather the moments of two feature maps; row i of both is the same sample.

    Raises:
        ShapeError: not two-dimensional, or different numbers of samples.
        NonFiniteError: NaN or Inf.
        InputError: weights that are no weights, or features that are constant on these samples.
        EmptyDataError: fewer than two samples.
    """
    a, b = (
        as_rows(part, name=f"features_{name}", letter=f"p_{name}")
        for name, part in zip("ab", (features_a, features_b), strict=True)
    )
    if len(a) != len(b):
        raise ShapeError(
            f"features_a have {len(a)} samples and features_b {len(b)}; expected the same samples in the same order"
        )
    for name, part in (("features_a", a), ("features_b", b)):
        _check_finite(part, name)
    weight = None if weights is None else as_array(weights, name="weights").astype(np.float64)
    # The wider map goes first: rows are kept instead of matrices while there are no more of them than its features.
    swapped = b.shape[1] > a.shape[1]
    accumulator = MomentAccumulator()
    accumulator.update(*((b, a) if swapped else (a, b)), weights=weight)
    moments = accumulator.result()
    wide, narrow = moments.covariance("features"), moments.covariance("outputs")
    means = moments.mean[moments.columns("features")], moments.mean[moments.columns("outputs")]
    crossed = None if wide.rows is not None else moments.cross_covariance("outputs")
    if swapped:
        wide, narrow, means = narrow, wide, means[::-1]
        crossed = None if crossed is None else crossed.T
    for name, operator in (("features_a", wide), ("features_b", narrow)):
        if operator.trace() <= 0:
            raise InputError(
                f"{name} are constant on these {moments.n_samples} samples, so they have no kernel to compare; "
                "check that the map is not dead and that the samples differ"
            )
    counted = np.ones(len(a), dtype=bool) if weight is None else weight > 0
    equal = weight is None or bool(np.ptp(weight[counted]) == 0)
    return Pair(
        first=wide,
        second=narrow,
        first_mean=means[0],
        second_mean=means[1],
        crossed=crossed,
        n_samples=moments.n_samples,
        effective_samples=moments.effective_samples,
        lengths=_lengths(a, b, means, counted) if equal else None,
    )


def _check_finite(part: NDArray[Any], name: str) -> None:
    finite = np.isfinite(part).all(axis=1)
    if not finite.all():
        raise NonFiniteError(
            f"{name} hold NaN or Inf (first in sample {int(np.argmin(finite))}), expected finite numbers; "
            "the training probably diverged or the data need cleaning",
            where=name,
        )
    check_reach(float(np.abs(part).max(initial=0.0)), name=name)


def _lengths(
    a: NDArray[Any], b: NDArray[Any], means: tuple[FloatArray, ...], counted: NDArray[np.bool_]
) -> tuple[float, float, float, float, float]:
    """Means of the squared lengths of the centered samples and of their products, block by block."""
    sums, count = np.zeros(5), 0
    for block in _blocks(len(a)):
        rows = np.flatnonzero(counted[block]) + block.start
        d, e = (_squared_lengths(part[rows], mean) for part, mean in zip((a, b), means, strict=True))
        sums += (d.sum(), e.sum(), d @ e, d @ d, e @ e)
        count += len(rows)
    first, second, products, first_squares, second_squares = (sums / count).tolist()
    return first, second, products, first_squares, second_squares


def _blocks(n: int) -> Iterator[slice]:
    for start in range(0, n, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, n))


def _squared_lengths(rows: NDArray[Any], mean: FloatArray) -> FloatArray:
    centered = rows.astype(np.float64) - mean
    return np.asarray(np.einsum("ij,ij->i", centered, centered))


def unbiased_similarity(pair: Pair) -> tuple[float | None, str]:
    """CKA from unbiased estimates, or None and the reason.

    Source: Song et al. 2012, JMLR 13, equation 5.
    """
    n = pair.n_samples
    if pair.lengths is None:
        return None, "the unbiased estimate is known for equally weighted samples only"
    if n < 4:
        return None, f"the unbiased estimate needs at least 4 samples, and there are {n}"
    d, e, products, d_squares, e_squares = pair.lengths
    cross = pair.cross()
    overlap = float(np.einsum("ij,ij->", cross, cross))
    norms = pair.first.squared_norm(), pair.second.squared_norm()
    # Sums over samples are n times the means.
    between = unbiased_hsic(n**2 * overlap, n * products, n * d, n * e, n)
    first = unbiased_hsic(n**2 * norms[0], n * d_squares, n * d, n * d, n)
    second = unbiased_hsic(n**2 * norms[1], n * e_squares, n * e, n * e, n)
    if first <= LOST * norms[0] or second <= LOST * norms[1]:
        return None, "one sample stands alone against all others, which leaves nothing for the unbiased estimate"
    return cka_unbiased(between, first, second), ""
