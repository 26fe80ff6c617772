"""Diagonalising the feature operator: eigenvalues first, coordinates of a few columns next, eigenvectors when read.

Source: arXiv:2410.04264 v1. The non-zero spectrum of the operator T on functions is that of the p x p second
moment M; its eigenfunctions are e_k(x) = v_k . phi(x) / sqrt(rho_k).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from phiscope.linalg import rank_one
from phiscope.linalg.eigen import Decomposition, Diagonalized, FewRows
from phiscope.linalg.operators import PositiveOperator
from phiscope.linalg.products import product
from phiscope.spectrum.lazy import LateField
from phiscope.typing import FloatArray

TURNED_AT_ONCE = 512
"""Columns of eigenvectors looked at or formed at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Eigensystem:
    """Eigenvalues, shape (K,), descending and positive, with eigenvectors as columns, shape (p, K).

    Attributes:
        eigenvalues: shape (K,).
        eigenvectors: shape (p, K), or a function that makes them when they are first read.
        projector: V^T x for columns x of shape (p, j), where that is known without the eigenvectors.
        orienter: the eigenvectors with other signs, where that takes no second copy of them.
        combiner: V c for coefficients c of shape (K, j), where that is known without the eigenvectors.
        leader: the first columns of V, where they are known without the others.
    """

    eigenvalues: FloatArray
    eigenvectors: FloatArray = LateField()  # type: ignore[assignment]
    projector: Callable[[FloatArray], FloatArray] | None = None
    orienter: Callable[[FloatArray | None], FloatArray] | None = None
    combiner: Callable[[FloatArray], FloatArray] | None = None
    leader: Callable[[int], FloatArray] | None = None

    def project(self, columns: FloatArray) -> FloatArray:
        """V^T x, shape (K, j), for columns x of shape (p, j)."""
        return product(self.eigenvectors.T, columns) if self.projector is None else self.projector(columns)

    def combine(self, coefficients: FloatArray) -> FloatArray:
        """V c, shape (p, j), for coefficients c of shape (K, j)."""
        return product(self.eigenvectors, coefficients) if self.combiner is None else self.combiner(coefficients)

    def leading(self, count: int) -> FloatArray:
        """The first eigenvectors, shape (p, count)."""
        return self.eigenvectors[:, :count] if self.leader is None else self.leader(count)

    def oriented(self, signs: FloatArray | None) -> FloatArray:
        """The eigenvectors times signs of shape (K,); without signs, so that the largest loading is positive."""
        if self.orienter is not None:
            return self.orienter(signs)
        vectors = self.eigenvectors
        return np.asarray(vectors * (positive_signs(vectors) if signs is None else signs))


@dataclass(frozen=True, kw_only=True, eq=False)
class Loadings:
    """Columns base @ mix + mean shift^T, shape (p, j), whose coordinates follow from those of base and mean.

    Attributes:
        base: shape (p, b); several loadings share one.
        mix: shape (b, j), factors of shape (b,) for each column of the base, or None for the base itself.
        mean: shape (p,), or None for columns without a multiple of it.
        shift: multiples of the mean, shape (j,).
    """

    base: FloatArray
    mix: FloatArray | None = None
    mean: FloatArray | None = None
    shift: FloatArray | None = None

    def columns(self) -> FloatArray:
        """The columns, shape (p, j)."""
        return self.mixed(self.base, self.mean)

    def mixed(self, base: FloatArray, mean: FloatArray | None) -> FloatArray:
        """The same combination of something else, such as coordinates, shapes (q, b) and (q,)."""
        found = base if self.mix is None else base * self.mix if self.mix.ndim == 1 else product(base, self.mix)
        if mean is None or self.shift is None:
            return found
        return np.asarray(found + np.outer(mean, self.shift))


Coordinates = Callable[[Loadings], FloatArray]
"""V^T L, shape (K, j), of loadings in one eigensystem."""


def diagonalize_operator(operator: PositiveOperator) -> Eigensystem:
    """Eigenvalues above p eps rho_1 with their eigenvectors; all others are rounding.

    From rows alone the singular value decomposition is used: it never makes p x p and keeps eigenvectors of small
    eigenvalues orthogonal, which the Gram matrix would not.

    Args:
        operator: a symmetric positive operator of size p.

    Returns:
        The eigensystem, K <= p; K = 0 for the zero operator.
    """
    found = _diagonalized(operator)
    return _of_diagonalized(found, _n_kept(found.values, operator.size))


def _diagonalized(operator: PositiveOperator, beside: FloatArray | None = None) -> Decomposition:
    if operator.matrix is None:
        return FewRows(np.asarray(operator.rows), beside)
    return Diagonalized(operator.lower())


def _n_kept(descending: FloatArray, size: int, floor: float = 0.0) -> int:
    """How many eigenvalues are more than rounding of the largest, and more than a floor."""
    return int((descending > max(size * np.finfo(np.float64).eps * max(descending[0], 0.0), floor)).sum())


def rounding_of(mean: FloatArray) -> float:
    """Variance below which a direction is rounding of the rows themselves, eps^2 norm^2(m)."""
    return np.finfo(np.float64).eps ** 2 * float(product(mean, mean))


def varies(covariance: PositiveOperator, mean: FloatArray) -> bool:
    """Whether features vary by more than rounding of their mean; numbers and spectra have to agree on it."""
    return covariance.trace() > 0 and covariance.squared_norm() > rounding_of(mean) ** 2


def _n_centered(covariance: PositiveOperator, mean: FloatArray, descending: FloatArray) -> int:
    """`_n_kept` of a covariance, of which rounding of the rows themselves is no direction."""
    return max(_n_kept(descending, len(mean), rounding_of(mean)), 1) if varies(covariance, mean) else 0


@dataclass(frozen=True, kw_only=True, eq=False)
class BothSystems:
    """Eigensystems of the second moment S + m m^T and of the covariance S.

    Attributes:
        raw: of the second moment.
        centered: of the covariance.
        mean: m, shape (p,).
        project: coordinates of columns in both, at the cost of little more than in one; None projects on each.
        along: coordinates of the mean in both, where they are known better than by a product.
        turn: the first raw eigenvectors as rows in coordinates of the centered ones, shape (count, K centered); None
            takes the products.
    """

    raw: Eigensystem
    centered: Eigensystem
    mean: FloatArray
    project: Callable[[FloatArray], tuple[FloatArray, FloatArray]] | None = None
    along: tuple[FloatArray, FloatArray] | None = None
    turn: Callable[[int], FloatArray] | None = None

    def raw_functions(self, count: int) -> FloatArray:
        """The first raw eigenfunctions in terms of the centered ones, up to a constant, shape (K centered, count).

        e_j - E e_j = sum_k A_kj e^c_k, hence A^T A is their covariance: nothing cancels, however large the mean is.
        """
        turn = product(self.raw.leading(count).T, self.centered.eigenvectors) if self.turn is None else self.turn(count)
        return np.asarray(np.sqrt(self.centered.eigenvalues)[:, None] * turn.T / np.sqrt(self.raw.eigenvalues[:count]))

    def mean_coordinates(self) -> FloatArray:
        """The mean of each raw eigenfunction, E e_j = w_j . m / sqrt(rho_j), shape (K raw,)."""
        along = self.raw.project(self.mean[:, None])[:, 0] if self.along is None else self.along[0]
        return np.asarray(along / np.sqrt(self.raw.eigenvalues))

    def coordinates(self, loadings: Sequence[Loadings]) -> tuple[Coordinates, Coordinates]:
        """Coordinates of several loadings in the raw and in the centered system; each base is projected once."""
        bases = list({id(part.base): part.base for part in loadings}.values())
        stacked = np.hstack([self.mean[:, None], *bases])
        project = self.project or (lambda columns: (self.raw.project(columns), self.centered.project(columns)))
        ends = np.cumsum([1, *(base.shape[1] for base in bases)])
        readers = []
        for index, found in enumerate(project(stacked)):
            along = found[:, 0] if self.along is None else self.along[index]
            parts = {
                id(base): found[:, low:high] for base, (low, high) in zip(bases, pairwise(ends.tolist()), strict=True)
            }
            readers.append(partial(_mixed, parts, along))
        return readers[0], readers[1]


def _mixed(parts: dict[int, FloatArray], along: FloatArray, loadings: Loadings) -> FloatArray:
    return loadings.mixed(parts[id(loadings.base)], along)


def diagonalize_with_mean(covariance: PositiveOperator, mean: FloatArray) -> BothSystems:
    """Eigensystems of the second moment S + m m^T and of the covariance S, from one diagonalization.

    The second moment's eigenvalues follow by a rank-one update. Eigenvectors are formed when they are read.

    Args:
        covariance: S, of size p.
        mean: m, shape (p,).

    Returns:
        Both eigensystems.
    """
    found = _diagonalized(covariance, mean)
    along = found.project(mean[:, None])[:, 0]
    update = rank_one.update(found.values, along)
    kept, kept_raw = _n_centered(covariance, mean, found.values), _n_kept(update.eigenvalues, len(mean))

    def both(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        coordinates = found.project(columns)
        return update.apply(coordinates)[:kept_raw], coordinates[:kept]

    def raw_vectors() -> FloatArray:
        whole = np.empty((len(mean), kept_raw), order="F")
        for start in range(0, len(mean), TURNED_AT_ONCE):
            part = slice(start, start + TURNED_AT_ONCE)
            # Coordinates of the unit vectors are the rows of V.
            whole[part] = update.apply(found.vectors()[part].T)[:kept_raw].T
        return whole

    def raw_oriented(signs: FloatArray | None) -> FloatArray:
        whole = raw_vectors()
        whole *= positive_signs(whole) if signs is None else signs
        return whole

    raw = Eigensystem(
        eigenvalues=update.eigenvalues[:kept_raw],
        eigenvectors=raw_vectors,  # type: ignore[arg-type]
        projector=lambda columns: both(columns)[0],
        orienter=raw_oriented,
        leader=lambda count: found.combine(update.vectors(count).T),
    )
    centered = _of_diagonalized(found, kept)
    return BothSystems(
        raw=raw,
        centered=centered,
        mean=mean,
        project=both,
        along=(update.along[:kept_raw], along[:kept]),
        turn=lambda count: update.vectors(count)[:, :kept],
    )


def _of_diagonalized(found: Decomposition, kept: int) -> Eigensystem:
    def combined(coefficients: FloatArray) -> FloatArray:
        padded = np.zeros((len(found.values), coefficients.shape[1]))
        padded[:kept] = coefficients
        return found.combine(padded)

    return Eigensystem(
        eigenvalues=found.values[:kept].copy(),
        eigenvectors=lambda: found.vectors()[:, :kept],  # type: ignore[arg-type]
        projector=lambda columns: found.project(columns)[:kept],
        combiner=combined,
        leader=found.leading,
    )


def positive_signs(reference: FloatArray) -> FloatArray:
    """The sign of the largest entry of each column, shape (K,); 1 where all are 0."""
    found = np.empty(reference.shape[1])
    for start in range(0, len(found), TURNED_AT_ONCE):
        part = reference[:, start : start + TURNED_AT_ONCE]
        # Rounding decides between two equally large entries; comparing with a margin picks the first of them.
        size = np.abs(part)
        dominant = np.argmax(size >= size.max(axis=0, initial=0.0) * (1 - 1e-9), axis=0)
        found[start : start + TURNED_AT_ONCE] = np.sign(part[dominant, np.arange(part.shape[1])])
    return np.where(found == 0, 1.0, found)


def whitened(system: Eigensystem) -> FloatArray:
    """The basis A = U / sqrt(phi) for which u = A^T f is orthonormal, from the eigensystem of a moment of functions f.

    Args:
        system: of the second moment or the covariance of f, size C.

    Returns:
        Shape (C, J); J = 0 when all functions vanish.
    """
    return np.asarray(system.eigenvectors / np.sqrt(system.eigenvalues))


def rank_at(eigenvalues: FloatArray, tolerance: float) -> int:
    """How many descending eigenvalues exceed a share of the largest.

    Example:
        >>> rank_at(np.array([1.0, 1e-3, 1e-6]), 1e-4)
        2
    """
    return int((eigenvalues > tolerance * eigenvalues[0]).sum()) if len(eigenvalues) else 0
