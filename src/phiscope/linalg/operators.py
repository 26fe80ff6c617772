"""Symmetric positive operators on feature space, held in the form that costs least or known by products."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phiscope.errors import InputError
from phiscope.linalg.products import add_scatter, mirror, product, row_products
from phiscope.typing import FloatArray

Product = Callable[[FloatArray], FloatArray]
"""S times columns, (p, b) to (p, b)."""


@dataclass(frozen=True, kw_only=True)
class PositiveOperator:
    """A symmetric positive p x p operator, scale * matrix + A^T A.

    A matrix that others hold too is never copied to be scaled or added to; rows alone take the place of a matrix where
    there are fewer of them than p.

    Attributes:
        matrix: shape (p, p), both triangles, or None.
        rows: A, shape (r, p), or None.
        scale: positive.
    """

    matrix: FloatArray | None = None
    rows: FloatArray | None = None
    scale: float = 1.0

    @property
    def size(self) -> int:
        """p."""
        return int((self.matrix if self.matrix is not None else self._rows()).shape[1])

    def _rows(self) -> FloatArray:
        if self.rows is None:
            raise InputError("a positive operator needs its matrix, its rows or both")
        return self.rows

    def trace(self) -> float:
        """Sum of the eigenvalues."""
        total = 0.0 if self.matrix is None else self.scale * float(np.trace(self.matrix))
        if self.rows is not None or self.matrix is None:
            total += float(np.einsum("ij,ij->", self._rows(), self._rows()))
        return total

    def diagonal(self) -> FloatArray:
        """Diagonal entries, shape (p,)."""
        found = np.zeros(self.size) if self.matrix is None else self.scale * np.diagonal(self.matrix)
        if self.rows is not None:
            found = found + np.einsum("ij,ij->j", self.rows, self.rows)
        return np.asarray(found)

    def squared_norm(self) -> float:
        """Squared Frobenius norm, the sum of squared eigenvalues; no eigendecomposition, never p x p from rows."""
        return self._squared_norm

    @cached_property
    def _squared_norm(self) -> float:
        total = 0.0
        if self.matrix is not None:
            total = self.scale**2 * float(np.einsum("ij,ij->", self.matrix, self.matrix))
        if self.rows is not None or self.matrix is None:
            rows = self._rows()
            square = row_products(rows)
            total += float(np.einsum("ij,ij->", square, square))
            if self.matrix is not None:
                total += 2 * self.scale * float(np.einsum("ij,ji->", rows, product(self.matrix, rows.T)))
        return total

    def inner(self, other: FloatArray) -> float:
        """tr(S X) for a symmetric X of shape (p, p)."""
        total = 0.0 if self.matrix is None else self.scale * float(np.einsum("ij,ij->", self.matrix, other))
        if self.rows is not None or self.matrix is None:
            total += float(np.einsum("ij,ij->", product(self._rows(), other), self._rows()))
        return total

    def apply(self, vectors: FloatArray) -> FloatArray:
        """The operator times column vectors of shape (p, k)."""
        if self.matrix is None:
            return product(self._rows().T, product(self._rows(), vectors))
        found = product(self.matrix, vectors)
        if self.scale != 1.0:
            found *= self.scale
        if self.rows is not None:
            found += product(self.rows.T, product(self.rows, vectors))
        return found

    def plus_outer(self, vector: FloatArray) -> PositiveOperator:
        """The operator plus v v^T for a vector of shape (p,)."""
        rows = vector[None, :] if self.rows is None else np.vstack([self.rows, vector])
        return PositiveOperator(matrix=self.matrix, rows=rows, scale=self.scale)

    def lower(self) -> FloatArray:
        """A new p x p array, columns contiguous, whose lower triangle is that of the operator; the rest is not."""
        size = self.size
        found = np.empty((size, size), order="F")
        if self.matrix is None:
            found[...] = 0.0
        else:
            # Read along the matrix's own rows: it is symmetric, so that either triangle will do.
            np.multiply(self.matrix if self.matrix.flags.f_contiguous else self.matrix.T, self.scale, out=found)
        if self.rows is not None and len(self.rows):
            found = add_scatter(found, np.ascontiguousarray(self.rows), lower=True)
        return found

    def dense(self) -> FloatArray:
        """The operator as a new p x p array, both triangles."""
        return mirror(self.lower().T)


@dataclass(frozen=True, kw_only=True)
class ProductOperator(PositiveOperator):
    """A positive operator known by its products.

    Attributes:
        columns: p.
        product: the operator times columns.
        total: its trace.
        square: its squared Frobenius norm.
        entries: its diagonal, shape (p,); None when it is not known.
    """

    columns: int
    product: Product
    total: float
    square: float = math.nan
    entries: FloatArray | None = None

    @property
    def size(self) -> int:
        """p."""
        return self.columns

    def trace(self) -> float:
        """Sum of the eigenvalues."""
        return self.total

    def diagonal(self) -> FloatArray:
        """Diagonal entries, shape (p,).

        Raises:
            InputError: they are not known.
        """
        if self.entries is None:
            raise InputError("an operator that is known by its products needs its diagonal; pass entries=")
        return self.entries

    def squared_norm(self) -> float:
        """Squared Frobenius norm; NaN when it is not known."""
        return self.square

    def inner(self, other: FloatArray) -> float:
        """tr(S X) for a symmetric X of shape (p, p)."""
        return float(np.trace(self.product(other)))

    def apply(self, vectors: FloatArray) -> FloatArray:
        """The operator times column vectors of shape (p, k)."""
        return self.product(vectors)

    def plus_outer(self, vector: FloatArray) -> ProductOperator:
        """The operator plus v v^T for a vector of shape (p,), known by its products as well."""
        size, along = float(product(vector, vector)), float(product(vector, self.product(vector[:, None])[:, 0]))
        return ProductOperator(
            columns=self.columns,
            product=lambda vectors: self.product(vectors) + np.outer(vector, product(vector, vectors)),
            total=self.total + size,
            square=self.square + 2 * along + size**2,
            entries=None if self.entries is None else self.entries + vector**2,
        )

    def lower(self) -> FloatArray:
        """A new p x p array, columns contiguous: the operator times every unit vector."""
        return np.asfortranarray(self.product(np.eye(self.columns)))
