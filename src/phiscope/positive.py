"""Equations with a positive definite matrix, by LAPACK and while other threads go on."""

from __future__ import annotations

import ctypes

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.lapack import character, check_status, integer, pointer, routine, spacing


def solve_positive(matrix: FloatArray, right: FloatArray, *, factored: bool = False) -> FloatArray:
    """X with A X = B for a positive definite A.

    Args:
        matrix: A, columns contiguous, shape (k, k); its upper triangle is read, and replaced by its Cholesky factor.
        right: B, shape (k, j).
        factored: the triangle holds the Cholesky factor already.

    Returns:
        Shape (k, j), columns contiguous.

    Raises:
        PhiscopeError: the matrix is not positive definite.

    Example:
        >>> solve_positive(np.diag([4.0, 16.0]).T, np.array([[4.0], [8.0]])).tolist()
        [[1.0], [0.5]]
    """
    name, status = "dpotrs" if factored else "dposv", ctypes.c_int(0)
    found = np.array(right, dtype=np.float64, order="F")
    routine(name, "char *, int *, int *", 8)(
        character("U"), integer(len(matrix)), integer(found.shape[1]), pointer(matrix), spacing(matrix),
        pointer(found), spacing(found), ctypes.byref(status),
    )  # fmt: skip
    check_status(name, status, matrix.shape)
    return found
