"""The leading eigenpairs of a covariance and of its second moment, known only by products with columns.

A thick-restart block Krylov method with Rayleigh-Ritz (Golub and Underwood 1977; Wu and Simon 2000). One space serves
both operators: M = S + m m^T, and with m in the starting block the space of S holds that of M. The operator is read
once for each block of columns, which is what a pass over samples costs; Lanczos one vector at a time would read them
hundreds of times.

What comes back is bounded, not trusted: residuals (an eigenvalue lies within each of them) and, from random columns
that the method never sees, a bound on every eigenvalue outside and the squared norm. On a formed covariance ARPACK
finds the pairs of both operators in half to four fifths of the time; a bound on what it left out then costs as much
again, and on samples each of its hundreds of products would be a pass. The whole spectrum by LAPACK costs less for
many pairs and for few samples: `phiscope.spectrum.wide` decides. Figures in docs/guide/wide.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from phiscope.linalg.operators import Product
from phiscope.linalg.products import product
from phiscope.linalg.ritz import PROBES, Probes, Ritz, RitzSpace, orthonormal, spectral_norm
from phiscope.typing import FloatArray

NEAR = 0.01
"""Residuals of pairs that nobody asked for are at most this share of their eigenvalue."""

EPS = float(np.finfo(np.float64).eps)


def rounding_of(eigenvalues: FloatArray, eigenvectors: FloatArray) -> float:
    """p eps rho_1: eigenvalues below it are rounding."""
    return len(eigenvectors) * EPS * float(eigenvalues.max(initial=0.0))


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Approximate leading eigenpairs with their bounds.

    Attributes:
        eigenvalues: rho_k, shape (K,), descending; each at most the true k-th eigenvalue, up to rounding.
        eigenvectors: orthonormal columns, shape (p, K).
        residuals: norm(S v_k - rho_k v_k), shape (K,); an eigenvalue lies within it.
        residual_norm: spectral norm of all residuals together.
        outside: bound on every eigenvalue beyond the K-th; inf when nothing is known.
        further: eigenvalues that follow and that nobody asked for, to within 1 % of an eigenvalue each, shape (J,).
        further_vectors: orthonormal columns, shape (p, J).
        complete: whether nothing but rounding follows the K + J.
    """

    eigenvalues: FloatArray
    eigenvectors: FloatArray
    residuals: FloatArray
    residual_norm: float
    outside: float = math.inf
    further: FloatArray = field(default_factory=lambda: np.zeros(0))
    further_vectors: FloatArray | None = None
    complete: bool = False

    @property
    def known(self) -> tuple[FloatArray, FloatArray]:
        """All K + J eigenvalues and their vectors as columns."""
        if self.further_vectors is None:
            return self.eigenvalues, self.eigenvectors
        vectors = np.column_stack([self.eigenvectors, self.further_vectors])
        return np.concatenate([self.eigenvalues, self.further]), vectors

    @property
    def sine(self) -> float:
        """Bound on the sine of the largest angle to the true leading space, 0..1; 1 when there is no gap.

        Source: Davis and Kahan 1970; the (K+1)-th eigenvalue is at most `outside` (Courant and Fischer).
        """
        if len(self.eigenvalues) == 0:
            return 0.0
        gap = float(self.eigenvalues[-1]) - self.outside
        return min(self.residual_norm / gap, 1.0) if gap > 0 else 1.0

    @property
    def bounds(self) -> FloatArray:
        """Bound on the distance of each eigenvalue to the true one of the same rank, shape (K,).

        Within the block the residual norm bounds it, quadratically where a gap to everything outside exists;
        where `outside` is larger than an eigenvalue, one that was missed may take its place.

        Source: Weyl 1912; Li and Li 2005 for the quadratic term.
        """
        norm, gap = self.residual_norm, self.eigenvalues - self.outside
        root = np.sqrt(np.maximum(gap, 0.0) ** 2 + 4 * norm**2)
        quadratic = np.divide(2 * norm**2, np.maximum(gap, 0.0) + root, out=np.zeros_like(gap), where=root > 0)
        return np.asarray(np.where(gap > 0, quadratic, norm - gap)) + rounding_of(self.eigenvalues, self.eigenvectors)

    def first(self, k: int) -> Pairs:
        """The k leading pairs; the (k+1)-th with its bound limits what they leave out."""
        if k >= len(self.eigenvalues):
            return self
        values, vectors = self.known
        return replace(
            self,
            eigenvalues=self.eigenvalues[:k],
            eigenvectors=np.ascontiguousarray(self.eigenvectors[:, :k]),
            residuals=self.residuals[:k],
            residual_norm=min(self.residual_norm, float(np.linalg.norm(self.residuals[:k]))),
            outside=max(self.outside, float(self.eigenvalues[k] + self.bounds[k])),
            further=values[k:],
            further_vectors=np.ascontiguousarray(vectors[:, k:]),
        )

    def above(self, floor: float, least: int) -> Pairs:
        """The pairs whose eigenvalues are above a floor, or the first few; nothing that counts follows what is left."""
        values, vectors = self.known
        kept = max(int((values > floor).sum()), min(least, len(values)))
        if kept == len(values) and self.outside > floor:
            return self
        here = min(kept, len(self.eigenvalues))
        return replace(
            self.first(here) if here < len(self.eigenvalues) else self,
            further=values[here:kept],
            further_vectors=np.ascontiguousarray(vectors[:, here:kept]),
            complete=True,
        )


@dataclass(frozen=True, kw_only=True)
class Leading:
    """Leading eigenpairs of S and of M = S + m m^T, and what else the products told.

    Attributes:
        centered: of S.
        raw: of M.
        squared_norm: estimate of norm_F^2(S).
        squared_norm_error: its standard error.
        products: how often the operator was applied to a block.
        reached: whether every residual met the tolerance.
    """

    centered: Pairs
    raw: Pairs
    squared_norm: float
    squared_norm_error: float
    products: int
    reached: bool

    def first(self, k: int) -> Leading:
        """The k leading pairs of both operators."""
        return replace(self, centered=self.centered.first(k), raw=self.raw.first(k))


def lead(
    product: Product,
    mean: FloatArray,
    k: int,
    *,
    tolerance: float,
    more: int = 0,
    start: FloatArray | None = None,
    most_products: int = 60,
    hopeless: Callable[[int, float], bool] | None = None,
    seed: int = 0,
) -> Leading:
    """Find the leading k eigenpairs of S and of S + m m^T.

    Args:
        product: S times columns; S symmetric and positive, size p.
        mean: m, shape (p,).
        k: how many, 1 <= k <= p.
        tolerance: each residual has to fall below this share of its eigenvalue.
        more: pairs beyond the k that are given where they came out on the way, to `NEAR`; they cost no product.
        start: columns near the leading space, shape (p, any), when they are known; random ones otherwise.
        most_products: blocks after which to stop with what was reached.
        hopeless: called after each block with products so far and how many more the progress so far suggests (inf:
            none was made); True stops.
        seed: of the random columns; the same seed gives the same result.

    Returns:
        The pairs, with `reached` False when stopped early. Eigenvalues that are rounding are left out.
    """
    size, generator = len(mean), np.random.default_rng(seed)
    block = min(size, block_width(k))
    space = RitzSpace(product, size, room_for(k, size))
    probes = Probes(generator.standard_normal((size, PROBES)))
    columns = generator.standard_normal((size, block)) if start is None else start
    columns = np.column_stack([mean, columns])
    history: list[float] = []
    while True:
        probes.add(space.extend(columns, probes.latest))
        centered, raw = space.ritz(k, None), space.ritz(k, mean)
        lag, columns = _what_is_left(centered, raw, tolerance, block)
        enough = space.count >= min(k, size)
        if space.complete or space.products >= most_products or (enough and lag <= 1.0):
            break
        if space.count >= min(k + block, size):
            history.append(lag)
        if hopeless is not None and hopeless(space.products, _forecast(history)):
            break
        if columns.shape[1] == 0:
            columns = generator.standard_normal((size, block))
        if space.count + block > space.room < size:
            space.restart(k + block, mean, 2 * block)
    found = []
    for pairs, at in ((centered, None), (raw, mean)):
        made = _pairs(pairs, _outside(space, probes, k, block, at))
        found.append(_with_further(made, space.ritz(k + more, at), k, (enough or space.complete) and lag <= 1.0, space))
    square, error = probes.squared_norm(space)
    return Leading(
        centered=found[0],
        raw=found[1],
        squared_norm=square,
        squared_norm_error=error,
        products=space.products,
        # A space that nothing can be added to has all that there is.
        reached=(enough or space.complete) and lag <= 1.0,
    )


def block_width(k: int) -> int:
    """Columns multiplied at once: wide enough for full speed of a matrix product, narrow enough for a high degree."""
    return min(max(-(-k // 2), 32), 128)


def room_for(k: int, size: int) -> int:
    """Columns that the space may hold before it is cut back."""
    return min(size, 6 * k + 4 * block_width(k))


def _what_is_left(centered: Ritz, raw: Ritz, tolerance: float, block: int) -> tuple[float, FloatArray]:
    """How far the worst pair is from its goal (1 is there), and the directions to go on with."""
    worst, columns = 0.0, []
    for found in (centered, raw):
        lengths = np.linalg.norm(found.residuals, axis=0)
        floor = max(10 * rounding_of(found.values, found.vectors), 1e-300)
        ratio = lengths / np.maximum(tolerance * found.values, floor)
        worst = max(worst, float(ratio.max(initial=0.0)))
        columns.append(found.residuals[:, ratio > 1.0] / lengths[ratio > 1.0])
    return worst, orthonormal(np.column_stack(columns))[:, :block]


def _forecast(history: list[float]) -> float:
    """Blocks still needed at the pace of the last four; optimistic (0) while there are too few to tell."""
    if len(history) < 5:
        return 0.0
    pace = (math.log(history[-5]) - math.log(history[-1])) / 4
    return math.inf if pace <= 0 else math.log(history[-1]) / pace


def _outside(space: RitzSpace, probes: Probes, k: int, block: int, mean: FloatArray | None) -> float:
    """Bound on the eigenvalues beyond the k-th, from the probes and from Ritz vectors that follow the k-th.

    Beyond the k leading Ritz vectors the operator is [[T, B^T], [B, C]] with T on the Ritz vectors that follow, so its
    norm is at most that of [[norm T, norm B], [norm B, norm C]]; the probes bound C, which lies below T.
    """
    found = math.inf
    for more in (0, block // 4, block // 2, block, 2 * block, 4 * block):
        used, top, between = space.beyond(k, more, mean)
        rest = probes.outside(used)
        if mean is not None:
            left = mean - product(used, product(used.T, mean))
            rest += float(product(left, left))
        found = min(found, (top + rest) / 2 + math.hypot((top - rest) / 2, between))
    return found


def _pairs(ritz: Ritz, outside: float) -> Pairs:
    """Without eigenvalues that are rounding of the largest."""
    rounding = rounding_of(ritz.values, ritz.vectors)
    kept = ritz.values > rounding
    residuals = ritz.residuals[:, kept]
    return Pairs(
        eigenvalues=ritz.values[kept],
        eigenvectors=np.ascontiguousarray(ritz.vectors[:, kept]),
        residuals=np.linalg.norm(residuals, axis=0),
        residual_norm=spectral_norm(residuals) if kept.any() else 0.0,
        outside=max(outside, rounding),
    )


def _with_further(pairs: Pairs, wider: Ritz, k: int, reached: bool, space: RitzSpace) -> Pairs:
    """The pairs with those behind them that came out on the way, and whether anything but rounding is left then."""
    if len(pairs.eigenvalues) < min(k, len(wider.values)):
        return replace(pairs, complete=reached)
    values, rounding = wider.values[k:], rounding_of(wider.values, wider.vectors)
    near = np.linalg.norm(wider.residuals[:, k:], axis=0) <= NEAR * values
    known = near & (values > rounding)
    count = len(known) if known.all() else int(np.argmin(known))
    ended = values[count] <= rounding if count < len(values) else space.complete and space.count <= k + count
    vectors = np.ascontiguousarray(wider.vectors[:, k : k + count])
    return replace(pairs, further=values[:count], further_vectors=vectors, complete=bool(reached and ended))
