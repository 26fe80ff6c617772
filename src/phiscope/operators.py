"""Symmetric positive operators on feature space, held in the smaller of two forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PositiveOperator:
    """A symmetric positive p x p operator, as a matrix or as rows A with A^T A when there are fewer rows than p.

    Attributes:
        matrix: shape (p, p), or None.
        rows: shape (r, p), or None.
    """

    matrix: FloatArray | None = None
    rows: FloatArray | None = None

    @property
    def size(self) -> int:
        """p."""
        return int((self.matrix if self.matrix is not None else self._rows()).shape[1])

    def _rows(self) -> FloatArray:
        if self.rows is None:
            raise InputError("a positive operator needs either its matrix or its rows")
        return self.rows

    def trace(self) -> float:
        """Sum of the eigenvalues."""
        if self.matrix is not None:
            return float(np.trace(self.matrix))
        return float(np.einsum("ij,ij->", self._rows(), self._rows()))

    def squared_norm(self) -> float:
        """Squared Frobenius norm, the sum of squared eigenvalues; no eigendecomposition, never p x p from rows."""
        square = self.matrix if self.matrix is not None else self._rows() @ self._rows().T
        return float(np.einsum("ij,ij->", square, square))

    def apply(self, vectors: FloatArray) -> FloatArray:
        """The operator times column vectors of shape (p, k)."""
        if self.matrix is not None:
            return np.asarray(self.matrix @ vectors)
        return np.asarray(self._rows().T @ (self._rows() @ vectors))

    def plus_outer(self, vector: FloatArray) -> PositiveOperator:
        """The operator plus v v^T for a vector of shape (p,)."""
        if self.matrix is not None:
            return PositiveOperator(matrix=self.matrix + np.outer(vector, vector))
        return PositiveOperator(rows=np.vstack([self._rows(), vector]))
