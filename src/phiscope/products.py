"""Products of large matrices by SciPy's BLAS, so that only one set of BLAS threads is ever awake.

NumPy's wheels and SciPy's bring an OpenBLAS each, with threads of its own that go on spinning for a while after their
work. All factorizations go to SciPy's, and so does the pass; were products between them NumPy's, the threads of both
would take the cores from each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.arrays import FloatArray
from phiscope.blas import HANDLED, add_square, multiply
from phiscope.symmetric import mirror

SMALL = 2**13
"""Multiplications up to which no BLAS wakes its threads; NumPy has less to do around such a product."""


def product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """left @ right of real arrays or vectors, rows contiguous, in the precision that NumPy would choose.

    Example:
        >>> product(np.eye(2), np.array([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    if left.ndim == right.ndim == 1:
        return np.asarray(np.einsum("i,i->", left, right))
    if left.ndim == 1:
        return product(right.T, left)
    kind = np.result_type(left, right)
    small = left.size * (right.shape[1] if right.ndim == 2 else 1) <= SMALL
    if small or kind not in HANDLED or left.shape[-1] != right.shape[0]:
        # NumPy says what is wrong with shapes that do not fit.
        return np.asarray(left @ right)
    found = np.empty((len(left), *right.shape[1:]), dtype=kind)
    multiply(left, right, found)
    return found


def row_products(rows: FloatArray) -> FloatArray:
    """rows @ rows^T, both triangles, at half the work of a general product.

    Example:
        >>> row_products(np.array([[1.0, 0.0], [1.0, 2.0]])).tolist()
        [[1.0, 1.0], [1.0, 5.0]]
    """
    if rows.size * len(rows) <= SMALL:
        return np.asarray(rows @ rows.T)
    found = np.empty((len(rows), len(rows)), order="F")
    add_square(found, rows.T, kept=0.0)
    return mirror(found)


def frobenius_norm(matrix: FloatArray) -> float:
    """Root of the sum of squares, as NumPy's norm gives it, without its BLAS.

    Example:
        >>> frobenius_norm(np.array([[3.0], [4.0]]))
        5.0
    """
    return math.sqrt(float(np.einsum("ij,ij->", matrix, matrix)))
