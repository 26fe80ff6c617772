"""Moments whose scatter is known by its products with columns alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.moments import Moments
from phiscope.operators import PositiveOperator
from phiscope.ritz import Product


@dataclass(frozen=True, kw_only=True)
class ProductOperator(PositiveOperator):
    """A positive operator known by its products.

    Attributes:
        columns: p.
        product: the operator times columns.
        total: its trace.
        square: its squared Frobenius norm.
    """

    columns: int
    product: Product
    total: float
    square: float = math.nan

    @property
    def size(self) -> int:
        """p."""
        return self.columns

    def trace(self) -> float:
        """Sum of the eigenvalues."""
        return self.total

    def squared_norm(self) -> float:
        """Squared Frobenius norm; NaN when it is not known."""
        return self.square

    def inner(self, other: FloatArray) -> float:
        """tr(S X) for a symmetric X of shape (p, p)."""
        return float(np.trace(self.product(other)))

    def apply(self, vectors: FloatArray) -> FloatArray:
        """The operator times column vectors of shape (p, k)."""
        return self.product(vectors)


@dataclass(frozen=True, kw_only=True, eq=False)
class SweptMoments(Moments):
    """Moments of features that are too wide for their scatter: products take its place.

    Attributes:
        features: S.
        within_features: S_W.
        beside: covariance of outputs and values, shape (C + c, C + c).
        cross: covariance of features with outputs and values, shape (p, C + c).
    """

    features: ProductOperator
    within_features: ProductOperator
    beside: FloatArray
    cross: FloatArray

    def _beside(self, part: str) -> slice:
        columns = self.columns(part)
        return slice(columns.start - self.n_features, columns.stop - self.n_features)

    def covariance(self, part: str) -> PositiveOperator:
        """Covariance of one part of the columns."""
        if part == "features":
            return self.features
        return PositiveOperator(matrix=self.beside[self._beside(part), self._beside(part)])

    def within_covariance(self) -> PositiveOperator:
        """S_W: covariance of the features about the mean of their class."""
        return self.within_features

    def cross_covariance(self, part: str) -> FloatArray:
        """Covariance of features with outputs or values, shape (p, width)."""
        return self.cross[:, self._beside(part)]

    def output_target_trace(self) -> float:
        """tr cov(f, y) of measured outputs and targets of the same width."""
        if self.classes:
            return super().output_target_trace()
        return float(np.trace(self.beside[self._beside("outputs"), self._beside("values")]))
