"""Outputs in fewer or other orthonormal coordinates, in which spans and norms are the same."""

from __future__ import annotations

import math

import numpy as np

from phiscope.linalg import dense
from phiscope.linalg.products import product
from phiscope.typing import AffineHead, FloatArray


def reduced_head(head: AffineHead) -> AffineHead:
    """A head of at most p + 2 outputs with the same span, spectrum and norms; the head itself when it has no more.

    (1, W, b) = Q R with orthonormal columns Q, 1 the shift that is common to all outputs. A reflection then turns the
    shift, the first coordinate, back into that of all coordinates, so that logit differences of the p + 2 outputs are
    those of all.
    """
    weight, bias = head
    if len(weight) <= weight.shape[1] + 2:
        return head
    square = _triangle(weight, bias)[:, 1:]
    square = square - np.outer(_mirrored(len(square)), product(_mirrored(len(square)), square))
    return square[:, :-1], square[:, -1]


def _triangle(weight: FloatArray, bias: FloatArray) -> FloatArray:
    """R of (1, W, b) = Q R, shape (p + 2, p + 2), block by block: a second and third C x p array are never made."""
    width = weight.shape[1] + 2
    step = max(4 * width, 1024)
    reduced = np.zeros((0, width))
    for start in range(0, len(weight), step):
        part = slice(start, start + step)
        ones = np.ones(len(weight[part]))
        reduced = dense.triangle(np.concatenate([reduced, np.column_stack([ones, weight[part], bias[part]])]))
    return reduced


def _mirrored(n_outputs: int) -> FloatArray:
    """v of norm sqrt(2), I - v v^T the reflection that swaps the common shift 1 / sqrt(C) and the first coordinate."""
    shift = np.full(n_outputs, -1 / np.sqrt(n_outputs))
    shift[0] += 1.0
    return np.asarray(shift * np.sqrt(2 / product(shift, shift))) if n_outputs > 1 else np.zeros(1)


def turned_outputs(columns: FloatArray) -> FloatArray:
    """Rows of outputs in other orthonormal coordinates: their common shift first, their differences after it.

    Args:
        columns: anything with one row for each output, shape (C, m), C >= 2.

    Returns:
        Shape (C, m).

    Example:
        >>> turned_outputs(np.array([[3.0], [3.0]])).round(12).tolist()
        [[4.242640687119], [0.0]]
    """
    first = columns[:1]
    # About one of the rows: where all are equal, nothing but zeros is turned.
    apart = without_shift(np.ascontiguousarray((columns - first).T)).T
    return np.concatenate([math.sqrt(len(columns)) * columns.mean(axis=0, keepdims=True), apart])


def without_shift(columns: FloatArray) -> FloatArray:
    """Outputs in C - 1 orthonormal coordinates of their differences.

    Args:
        columns: anything with one column for each output, shape (m, C), C >= 2.

    Returns:
        Shape (m, C - 1); inner products of rows are those of rows minus their mean.

    Example:
        >>> without_shift(np.array([[5.0, 5.0], [1.0, -1.0]])).round(12).__abs__().tolist()
        [[0.0], [1.414213562373]]
    """
    mirrored = _mirrored(columns.shape[1])
    return np.asarray(columns - np.outer(product(columns, mirrored), mirrored))[:, 1:]
