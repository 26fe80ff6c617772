"""Which solver finds the leading eigenpairs of swept samples: Krylov on products, or LAPACK on a formed matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from phiscope.linalg.krylov import Leading, Pairs, lead, rounding_of
from phiscope.linalg.operators import Product
from phiscope.linalg.products import product
from phiscope.linalg.ritz import PROBES
from phiscope.moments.wide import Sweeps
from phiscope.typing import FloatArray

LAPACK_COST = 2 * 4 * 4 / 3
"""Two subset decompositions of side d cost this times d^3 multiplications at the speed of a matrix product."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may be spent on leading eigenpairs.

    Attributes:
        tolerance: each residual norm(S v - rho v) has to fall below this share of its eigenvalue.
        formed_first: up to this p the covariance is formed before anything else, which also gives its norm exactly.
        memory: bytes a formed matrix may take, p x p or n x n, when the products make too little progress.
        most_products: passes after which to stop with what was reached.
        seed: of the random columns.
    """

    tolerance: float = 1e-4
    formed_first: int = 8192
    memory: int = 2**32
    most_products: int = 60
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Solved:
    """Leading eigenpairs and how they were found.

    Attributes:
        leading: the pairs; the squared norm in it is exact when its error is 0.
        product: S times columns, by the cheapest road that there is by now.
        solver: in words.
        doubts: what went wrong on the way.
    """

    leading: Leading
    product: Product
    solver: str
    doubts: tuple[str, ...] = ()


def solve(sweeps: Sweeps, mean: FloatArray, k: int, limits: Limits) -> Solved:
    """Find the leading k eigenpairs of S and M by the solver that suits the spectrum.

    Products with the samples, or with the formed covariance where that is small, come first. As soon as they have
    cost, or at their pace would cost, more than LAPACK's subset solver on a formed matrix, and that fits into memory,
    it takes over: never more than twice the cheaper of the two.

    Args:
        sweeps: the samples; their means are known.
        mean: m, shape (p,).
        k: how many, at most p.
        limits: what may be spent.
    """
    n, p = sweeps.n_rows, sweeps.n_features
    side = min(n, p)
    upper = sweeps.scatter() if p <= limits.formed_first else None
    product = sweeps.product if upper is None else _symmetric(upper)
    each = 4.0 * n * p if upper is None else 2.0 * p * p
    exact = (0.0 if upper is not None else n * p * side) + LAPACK_COST * side**3
    fits = upper is not None or 8 * side**2 <= limits.memory

    def hopeless(products: int, width: int, more: float) -> bool:
        return fits and max(products, more) * each * (width + PROBES) > exact

    found = lead(
        product,
        mean,
        k,
        tolerance=limits.tolerance,
        most_products=limits.most_products,
        hopeless=hopeless,
        seed=limits.seed,
    )
    words = f"block Krylov on {'the samples' if upper is None else 'the formed covariance'}, {found.products} products"
    solved = Solved(leading=found, product=product, solver=words)
    if not found.reached and fits:
        solved = _with_lapack(sweeps, mean, k, limits, upper, solved)
    if upper is not None:
        solved = replace(solved, leading=_with_norm(solved.leading, _squared_norm(upper)))
    return solved


def _with_norm(leading: Leading, square: float) -> Leading:
    return replace(leading, squared_norm=square, squared_norm_error=0.0)


def _with_lapack(
    sweeps: Sweeps, mean: FloatArray, k: int, limits: Limits, upper: FloatArray | None, before: Solved
) -> Solved:
    """LAPACK's leading pairs, taken through the same products and bounds as any others."""
    product, square = before.product, None
    try:
        if upper is not None or sweeps.n_features <= sweeps.n_rows:
            matrix = sweeps.scatter() if upper is None else upper
            product, square = _symmetric(matrix), _squared_norm(matrix)
            side, start, beyond = "covariance", *_subset_twice(matrix, mean, k)
        else:
            matrix = sweeps.gram()
            square = _squared_norm(matrix)
            side, start, beyond = "Gram matrix", *_subset_of_gram(sweeps, matrix, mean, k)
    except scipy.linalg.LinAlgError as error:
        doubt = f"LAPACK's subset solver failed ({error}), so the eigenpairs are those the products reached"
        leading = before.leading if square is None else _with_norm(before.leading, square)
        return replace(before, leading=leading, doubts=(doubt,))
    found = lead(product, mean, k, tolerance=limits.tolerance, start=start, most_products=4, seed=limits.seed)
    words = f"LAPACK evr on the formed {side}, after {before.solver}"
    leading = replace(
        _with_norm(found, square),
        centered=_known_beyond(found.centered, beyond[0]),
        raw=_known_beyond(found.raw, beyond[1]),
    )
    return Solved(leading=leading, product=product, solver=words)


def _known_beyond(pairs: Pairs, value: float) -> Pairs:
    """Pairs with the (K+1)-th eigenvalue that LAPACK counted."""
    rounding = 10 * rounding_of(pairs.eigenvalues, pairs.eigenvectors)
    return replace(pairs, outside=min(pairs.outside, max(value, 0.0) + rounding))


def _symmetric(upper: FloatArray) -> Product:
    def product(columns: FloatArray) -> FloatArray:
        return np.asarray(scipy.linalg.blas.dsymm(1.0, upper, columns, lower=0))

    return product


def _squared_norm(upper: FloatArray) -> float:
    """Squared Frobenius norm from the upper triangle, column by column."""
    diagonal = np.diagonal(upper)
    above = sum(float(upper[:j, j] @ upper[:j, j]) for j in range(1, len(upper)))
    return 2 * above + float(diagonal @ diagonal)


def _leading_of(upper: FloatArray, added: tuple[FloatArray, FloatArray], k: int) -> tuple[FloatArray, FloatArray]:
    """The k + 1 leading pairs, descending, of a symmetric matrix plus (a b^T + b a^T) / 2.

    The sum is made in the lower triangle, which LAPACK then overwrites: no second matrix. The upper one stays.
    """
    size = len(upper)
    diagonal = np.diagonal(upper).copy()
    left, right = added
    for start in range(0, size, 256):
        part = slice(start, min(start + 256, size))
        corner = np.triu(upper[part, part]) + np.triu(upper[part, part], 1).T
        strip = np.concatenate([corner, upper[part, part.stop :].T])
        strip += (np.outer(left[start:], right[part]) + np.outer(right[start:], left[part])) / 2
        lower = np.tri(part.stop - start, dtype=bool)
        upper[part, part] = np.where(lower, strip[: part.stop - start], upper[part, part])
        upper[part.stop :, part] = strip[part.stop - start :]
    try:
        values, vectors = scipy.linalg.eigh(
            upper,
            lower=True,
            overwrite_a=True,
            check_finite=False,
            driver="evr",
            subset_by_index=(max(size - k - 1, 0), size - 1),
        )
    finally:
        np.fill_diagonal(upper, diagonal)
    return values[::-1], vectors[:, ::-1]


def _subset_twice(upper: FloatArray, mean: FloatArray, k: int) -> tuple[FloatArray, tuple[float, float]]:
    """Leading vectors of S and M side by side, and the eigenvalue of each that follows."""
    zero = np.zeros(len(mean))
    values, vectors = _leading_of(upper, (zero, zero), k)
    raw_values, raw_vectors = _leading_of(upper, (mean, mean), k)
    return np.column_stack([vectors[:, :k], raw_vectors[:, :k]]), (_after(values, k), _after(raw_values, k))


def _after(values: FloatArray, k: int) -> float:
    return float(values[k]) if len(values) > k else 0.0


def _subset_of_gram(
    sweeps: Sweeps, upper: FloatArray, mean: FloatArray, k: int
) -> tuple[FloatArray, tuple[float, float]]:
    """The same from A A^T: with s the shares, the raw rows are A + s m^T."""
    shares = sweeps.shares
    along = sweeps.forward(mean[:, None])[:, 0]
    zero = np.zeros(len(shares))
    values, vectors = _leading_of(upper, (zero, zero), k)
    raw_values, raw_vectors = _leading_of(upper, (2 * along + float(product(mean, mean)) * shares, shares), k)
    start = sweeps.backward(np.column_stack([vectors[:, :k], raw_vectors[:, :k]]))
    start[:, -raw_vectors[:, :k].shape[1] :] += np.outer(mean, shares @ raw_vectors[:, :k])
    return start, (_after(values, k), _after(raw_values, k))
