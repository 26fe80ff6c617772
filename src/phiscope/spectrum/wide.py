"""Which solver finds the leading eigenpairs of swept samples: Krylov on products, or LAPACK on a formed matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from phiscope.linalg.krylov import Leading, Pairs, block_width, lead, room_for, rounding_of
from phiscope.linalg.operators import PositiveOperator, Product
from phiscope.linalg.products import product
from phiscope.linalg.ritz import PROBES
from phiscope.moments.wide import Sweeps
from phiscope.spectrum import eigensystem
from phiscope.spectrum.eigensystem import Eigensystem, diagonalize_operator, diagonalize_with_mean, varies
from phiscope.typing import FloatArray

DECOMPOSED = 4.3
"""All eigenvalues of side d, with few vectors, take as long as this times d^3 operations of a matrix product."""


BESIDE = 24.0
"""What a block takes beside its product: this times p columns (room + k), in the same measure."""


QUICK, SLOW = 16, 30
"""Blocks that the iteration takes for a spectrum that decays, and for the edge of a flat one."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much may be spent on leading eigenpairs.

    Attributes:
        tolerance: each residual norm(S v - rho v) has to fall below this share of its eigenvalue.
        formed_first: up to this p the covariance, or the Gram matrix of fewer samples than features, is formed before
            anything else, which also gives the norm exactly.
        memory: bytes that a formed matrix, p x p or n x n, may take with its decomposition: at most four arrays.
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
    """

    leading: Leading
    product: Product
    solver: str


@dataclass(frozen=True, kw_only=True)
class Road:
    """How products with S are made before anything is solved.

    Attributes:
        matrix: S, or A A^T of fewer samples than features, where that is formed first; else None.
        product: S times columns.
        where: what it reads, in words.
    """

    matrix: FloatArray | None
    product: Product
    where: str


def road_of(sweeps: Sweeps, limits: Limits) -> Road:
    """The road to products with S that the width and the samples suggest.

    Args:
        sweeps: the samples; their means are known.
        limits: what may be spent.
    """
    n, p = sweeps.shape
    matrix = _formed(sweeps) if p <= limits.formed_first else None
    if matrix is not None and n >= p:
        return Road(matrix=matrix, product=PositiveOperator(matrix=matrix).apply, where="the formed covariance")
    return Road(matrix=matrix, product=sweeps.product, where="the samples")


def solve(sweeps: Sweeps, mean: FloatArray, k: int, limits: Limits, road: Road, *, more: int = 0) -> Solved:
    """Find the leading k eigenpairs of S and M by the solver that suits their number, the samples and the spectrum.

    LAPACK comes first where it surely costs less than the iteration would: for many pairs, or from the Gram matrices of
    few samples. Else products with the samples, or with the formed covariance where that is small, come first, and
    as soon as they have cost, or at their pace would cost, more than LAPACK, and memory allows, it takes over.

    Args:
        sweeps: the samples; their means are known.
        mean: m, shape (p,).
        k: how many, at most n and p.
        limits: what may be spent.
        road: from `road_of`.
        more: how many beyond the k are given where that takes no further product, see `Pairs`.
    """
    n, p = sweeps.shape
    matrix, apply, where = road.matrix, road.product, road.where
    block, decomposed = _costs(sweeps, k, formed=matrix is not None)
    fits = 4 * 8 * min(n, p) ** 2 <= limits.memory
    if fits and decomposed <= (SLOW if n < p else QUICK) * block:
        return _by_lapack(sweeps, mean, k, limits, matrix, more)
    leading = lead(
        apply,
        mean,
        k,
        tolerance=limits.tolerance,
        more=more,
        most_products=limits.most_products,
        hopeless=lambda products, more: fits and max(products, more) * block > decomposed,
        seed=limits.seed,
    )
    words = f"block Krylov on {where}, {leading.products} products"
    if fits and not leading.reached:
        solved = _by_lapack(sweeps, mean, k, limits, matrix, more)
        return replace(solved, solver=f"{solved.solver}, after {words}")
    if matrix is not None:
        leading = _with_norm(leading, matrix)
    return Solved(leading=leading, product=apply, solver=words)


def without_rounding(leading: Leading, features: PositiveOperator, mean: FloatArray) -> Leading:
    """Leading pairs of S without directions that are rounding of the rows themselves, all of them if nothing varies.

    Args:
        leading: of the features.
        features: S, its squared norm known.
        mean: m, shape (p,).
    """
    if not varies(features, mean):
        nothing = leading.centered.above(np.inf, 0)
        return replace(leading, centered=nothing, squared_norm=0.0, squared_norm_error=0.0)
    return replace(leading, centered=leading.centered.above(eigensystem.rounding_of(mean), 1))


def _costs(sweeps: Sweeps, k: int, *, formed: bool) -> tuple[float, float]:
    """What one block of the iteration takes, and LAPACK on a formed matrix, in additions and multiplications."""
    (n, p), width, side = sweeps.shape, block_width(k), min(sweeps.shape)
    each = 2.0 * p * p if formed and n >= p else 4.0 * n * p
    block = each * (width + PROBES) + BESIDE * p * room_for(k, p) * (width + k)
    return block, (0.0 if formed else n * p * side) + (2 if n < p else 1) * DECOMPOSED * side**3


def _formed(sweeps: Sweeps) -> FloatArray:
    """The covariance S = A^T A, or A A^T of fewer samples than features: their eigenvalues are the same."""
    n, p = sweeps.shape
    return sweeps.gram() if n < p else sweeps.scatter()


def _with_norm(leading: Leading, matrix: FloatArray) -> Leading:
    return replace(leading, squared_norm=PositiveOperator(matrix=matrix).squared_norm(), squared_norm_error=0.0)


def _by_lapack(
    sweeps: Sweeps, mean: FloatArray, k: int, limits: Limits, matrix: FloatArray | None, more: int
) -> Solved:
    """LAPACK's leading pairs, taken through the same products and bounds as any others."""
    (n, p), matrix = sweeps.shape, _formed(sweeps) if matrix is None else matrix
    wanted, k = k, min(k + more, n, p)
    apply: Product = PositiveOperator(matrix=matrix).apply
    words = "LAPACK on the formed covariance"
    if n < p:
        apply, words = sweeps.product, f"LAPACK on two {n} x {n} Gram matrices"
    pairs = _of_grams(sweeps, matrix, mean, k) if n < p else _of_covariance(matrix, mean, k)
    start = np.column_stack([vectors for vectors, _ in pairs])
    found = lead(apply, mean, k, tolerance=limits.tolerance, start=start, most_products=4, seed=limits.seed)
    centered, raw = (
        _known_beyond(each, value) for each, (_, value) in zip((found.centered, found.raw), pairs, strict=True)
    )
    leading = replace(found, centered=centered, raw=raw).first(wanted)
    return Solved(leading=_with_norm(leading, matrix), product=apply, solver=words)


def _known_beyond(pairs: Pairs, value: float) -> Pairs:
    """Pairs with the (K+1)-th eigenvalue that LAPACK counted."""
    rounding = 10 * rounding_of(pairs.eigenvalues, pairs.eigenvectors)
    return replace(pairs, outside=min(pairs.outside, max(value, 0.0) + rounding), complete=value <= 0)


Known = tuple[FloatArray, float]
"""The k leading vectors of an operator, shape (p, k), and the eigenvalue that follows them, 0 when there is none."""


def _known(system: Eigensystem, k: int) -> Known:
    return system.leading(k), float(system.eigenvalues[k]) if len(system.eigenvalues) > k else 0.0


def _of_covariance(matrix: FloatArray, mean: FloatArray, k: int) -> tuple[Known, Known]:
    """Of S and of M."""
    both = diagonalize_with_mean(PositiveOperator(matrix=matrix), mean)
    return _known(both.centered, k), _known(both.raw, k)


def _of_grams(sweeps: Sweeps, gram: FloatArray, mean: FloatArray, k: int) -> tuple[Known, Known]:
    """The same from A A^T and, with s the roots of the samples' shares, from the raw rows A + s m^T."""
    shares, along = sweeps.shares, sweeps.forward(mean[:, None])[:, 0]
    left, value = _known(diagonalize_operator(PositiveOperator(matrix=gram)), k)
    raw = gram + np.outer(along, shares)
    raw += np.outer(shares, along + float(product(mean, mean)) * shares)
    left_raw, value_raw = _known(diagonalize_operator(PositiveOperator(matrix=raw)), k)
    start, start_raw = np.split(sweeps.backward(np.column_stack([left, left_raw])), [left.shape[1]], axis=1)
    return (start, value), (start_raw + np.outer(mean, product(shares, left_raw)), value_raw)
