"""Pairs of classes by blocks: products and distances of class means, never more than some millions at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial.distance import cdist

from phiscope.linalg.products import product, row_products
from phiscope.typing import FloatArray

PAIR_BLOCK = 256
"""Classes whose pairs with all others are held at once, as long as these stay below `PAIRS` pairs."""

PAIRS = 2**22

DIFFERENCES = 128
"""Up to so many classes distances are taken from differences; above it from products, which are 20 times faster."""

CANCELS = 1e-4
"""Squared distances below this share of the two squared norms have lost digits as products and are taken anew."""


def pair_blocks(n_classes: int) -> Iterator[slice]:
    """Blocks of classes whose pairs with all classes from their first one on fit; pairs beyond a block count twice."""
    size = min(PAIR_BLOCK, max(PAIRS // n_classes, 1))
    for start in range(0, n_classes, size):
        yield slice(start, min(start + size, n_classes))


def sum_over_both_orders(pairs: FloatArray) -> float:
    """Sum over a block's pairs with all classes from its first one on; those beyond the block stand for two."""
    size = len(pairs)
    return float(pairs[:, :size].sum()) + 2 * float(pairs[:, size:].sum())


def pair_products(class_vectors: FloatArray) -> FloatArray | None:
    """v_c . v_c', shape (C, C), which angles and distances of pairs share; None where that would be too large.

    Example:
        >>> pair_products(np.array([[1.0, 0.0], [1.0, 2.0]])).tolist()
        [[1.0, 1.0], [1.0, 5.0]]
    """
    return row_products(class_vectors) if len(class_vectors) ** 2 <= PAIRS else None


def squared_distances(left: FloatArray, right: FloatArray, n_classes: int, products: FloatArray | None) -> FloatArray:
    """Squared distances of two sets of means, shape (a, b); never by a product that cancels."""
    if n_classes <= DIFFERENCES:
        return np.asarray(cdist(left, right, "sqeuclidean"))
    norms = np.einsum("ij,ij->i", left, left)[:, None] + np.einsum("ij,ij->i", right, right)
    distances = norms - 2 * (product(left, right.T) if products is None else products)
    rows, columns = np.nonzero(distances < CANCELS * norms)
    step = max(PAIRS // left.shape[1], 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = left[rows[part]] - right[columns[part]]
        distances[rows[part], columns[part]] = np.einsum("ij,ij->i", difference, difference)
    return np.asarray(distances)
