"""Rayleigh-Ritz on a growing space, and random probes that tell what the space misses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phiscope.linalg.eigen import Diagonalized
from phiscope.linalg.operators import Product
from phiscope.linalg.products import product, row_products
from phiscope.typing import FloatArray

PROBES = 24
"""Random columns behind the bound on what was missed and the squared norm."""

PROBE_FACTOR = 2.5 * math.sqrt(2 / math.pi)
"""A norm exceeds this times the longest probe's image with probability 2.5^-24 = 3e-10 at most."""


@dataclass(frozen=True, kw_only=True)
class Ritz:
    """Ritz pairs and what they miss.

    Attributes:
        values: descending, shape (K,), at least 0.
        vectors: orthonormal columns, shape (p, K).
        residuals: S v - rho v as columns, shape (p, K).
    """

    values: FloatArray
    vectors: FloatArray
    residuals: FloatArray


class RitzSpace:
    """An orthonormal basis V with S V and V^T S V; grown by blocks, cut back to its Ritz vectors when full."""

    def __init__(self, product: Product, size: int, room: int) -> None:
        self._product = product
        self.room, self.size, self.count, self.products = room, size, 0, 0
        self._basis = np.empty((size, room), order="F")
        self._images = np.empty((size, room), order="F")
        self._small = np.zeros((room, room))
        self.complete = False

    @property
    def basis(self) -> FloatArray:
        """V, orthonormal columns."""
        return self._basis[:, : self.count]

    @property
    def images(self) -> FloatArray:
        """S V."""
        return self._images[:, : self.count]

    def extend(self, columns: FloatArray, riders: FloatArray) -> FloatArray:
        """Add what columns have outside the basis; S times the riders comes back."""
        fresh = orthonormal(columns - product(self.basis, product(self.basis.T, columns)))
        fresh = orthonormal(fresh - product(self.basis, product(self.basis.T, fresh)))[:, : self.room - self.count]
        width = fresh.shape[1]
        image = self._product(np.column_stack([fresh, riders]))
        self.products += 1
        old, new = self.count, self.count + width
        self._basis[:, old:new], self._images[:, old:new] = fresh, image[:, :width]
        self.count = new
        joint = product(self.basis.T, self._images[:, old:new])
        self._small[:new, old:new] = joint
        self._small[old:new, :new] = joint.T
        # Nothing new to add: the space is invariant, or it is everything.
        self.complete = width == 0 or new == self.size
        return image[:, width:]

    def _operator(self, mean: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """V^T (S + m m^T) V and V^T m; m is 0 for the centered operator."""
        along = np.zeros(self.count) if mean is None else product(self.basis.T, mean)
        small = self._small[: self.count, : self.count]
        return (small + small.T) / 2 + np.outer(along, along), along

    def _rotation(self, keep: int, mean: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Leading Ritz values and their coordinates."""
        if self.count == 0:
            return np.zeros(0), np.zeros((0, 0))
        found = Diagonalized(np.asfortranarray(self._operator(mean)[0]))
        return found.values[:keep], found.leading(min(keep, self.count))

    def ritz(self, k: int, mean: FloatArray | None) -> Ritz:
        """The k leading Ritz pairs of S, or of S + m m^T, with their residual vectors."""
        values, rotation = self._rotation(k, mean)
        vectors = product(self.basis, rotation)
        residual = product(self.images, rotation) - vectors * values
        if mean is not None:
            residual += np.outer(mean, product(product(mean, self.basis), rotation))
        return Ritz(values=np.maximum(values, 0.0), vectors=vectors, residuals=residual)

    def beyond(self, k: int, more: int, mean: FloatArray | None) -> tuple[FloatArray, float, float]:
        """What follows the k leading Ritz vectors: the k + more leading ones of S that are not among them.

        Returns:
            Orthonormal columns that span the k and what follows, the largest Ritz value of what follows, and the
            spectral norm of its images outside that span.
        """
        leading = self._rotation(k, mean)[1]
        follow = self._rotation(k + more, None)[1]
        for _ in range(2):
            follow = follow - product(leading, product(leading.T, follow))
            # What is left of vectors that are among them already is rounding and points anywhere.
            follow = orthonormal(follow[:, np.linalg.norm(follow, axis=0) > 1e-8])
        used = np.column_stack([leading, follow])
        if follow.shape[1] == 0:
            return product(self.basis, used), 0.0, 0.0
        small, along = self._operator(mean)
        inside = product(used, product(used.T, product(small, follow)))
        image = product(self.images, follow) - product(self.basis, inside)
        if mean is not None:
            image += np.outer(mean, product(along, follow))
        top = float(Diagonalized(np.asfortranarray(product(follow.T, product(small, follow)))).values[0])
        return product(self.basis, used), top, spectral_norm(image)

    def restart(self, keep: int, mean: FloatArray, room_for: int) -> None:
        """Cut back to the leading Ritz vectors of both operators, leaving room for so many columns."""
        both = np.column_stack([self._rotation(keep, None)[1], self._rotation(keep, mean)[1]])
        rotation = orthonormal(both)
        # Both sets nearly coincide; what remains of their difference is the progress made along m.
        rotation = rotation[:, : self.room - room_for]
        small = product(rotation.T, product(self._small[: self.count, : self.count], rotation))
        width = rotation.shape[1]
        self._basis[:, :width], self._images[:, :width] = product(self.basis, rotation), product(self.images, rotation)
        self._small[:width, :width] = small
        self.count = width


def orthonormal(columns: FloatArray) -> FloatArray:
    """An orthonormal basis of the span, strongest directions first; columns that are rounding are dropped."""
    lengths = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    kept = columns[:, lengths > 0] / lengths[lengths > 0]
    for cut in (1e-12, 1e-3):
        if kept.shape[1] == 0:
            break
        found = Diagonalized(np.asfortranarray(row_products(kept.T)))
        strong = found.values[found.values > cut * found.values[0]]
        kept = product(kept, found.leading(len(strong)) / np.sqrt(strong))
    return np.asarray(kept)


def spectral_norm(columns: FloatArray) -> float:
    """The largest singular value.

    Example:
        >>> spectral_norm(np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]))
        4.0
    """
    return math.sqrt(max(float(Diagonalized(np.asfortranarray(row_products(columns.T))).values[0]), 0.0))


class Probes:
    """Gaussian columns g that ride along with every product, S^q g, and never enter the space."""

    def __init__(self, start: FloatArray) -> None:
        self._start = start
        # S^q g as a column of moderate size and the logarithm of its factor: powers leave the range of float64.
        self._powers: list[tuple[FloatArray, float]] = []

    @property
    def latest(self) -> FloatArray:
        """What the next product has to be taken of."""
        return self._powers[-1][0] if self._powers else self._start

    def add(self, image: FloatArray) -> None:
        """Keep the next power."""
        size = float(np.abs(image).max()) or 1.0
        factor = self._powers[-1][1] if self._powers else 0.0
        self._powers.append((image / size, factor + math.log(size)))

    def outside(self, vectors: FloatArray) -> float:
        """Bound on the largest eigenvalue of S outside the span of orthonormal columns.

        Source: Halko, Martinsson and Tropp 2011, lemma 4.1 and proposition 8.6.
        """
        found = math.inf
        for power, (column, factor) in enumerate(self._powers, start=1):
            rest = column - product(vectors, product(vectors.T, column))
            longest = math.sqrt(float(np.einsum("ij,ij->j", rest, rest).max()))
            if longest == 0.0:
                return 0.0
            found = min(found, math.exp((math.log(PROBE_FACTOR * longest) + factor) / power))
        return found

    def squared_norm(self, space: RitzSpace) -> tuple[float, float]:
        """norm_F^2(S), exact on the space and estimated outside, with its standard error.

        Source: Hutchinson 1990; the deflation is that of Meyer, Musco, Musco and Woodruff 2021.
        """
        column, factor = self._powers[0]
        rest = column * math.exp(factor) - product(space.images, product(space.basis.T, self._start))
        squares = np.einsum("ij,ij->j", rest, rest)
        inside = float(np.einsum("ij,ij->", space.images, space.images))
        return inside + float(squares.mean()), float(squares.std(ddof=1)) / math.sqrt(len(squares))
