"""Equations with a symmetric positive definite matrix: its Cholesky factor, how safe it is, and what follows from it.

SciPy's own functions for these hold Python's global lock while LAPACK runs; these let other threads go on.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np

from phiscope.linalg.lapack import character, check_status, integer, pointer, routine, spacing
from phiscope.linalg.products import mirror
from phiscope.typing import FloatArray


def cholesky_factor(matrix: FloatArray) -> FloatArray | None:
    """Upper U with U^T U = A, zero below; None where A is not positive definite.

    Args:
        matrix: A, symmetric, shape (k, k).

    Example:
        >>> cholesky_factor(np.diag([4.0, 9.0])).tolist(), cholesky_factor(np.diag([4.0, -9.0]))
        ([[2.0, 0.0], [0.0, 3.0]], None)
    """
    factor, status = np.array(matrix, dtype=np.float64, order="F"), ctypes.c_int(0)
    routine("dpotrf", "char *, int *", 5)(
        character("U"), integer(len(factor)), pointer(factor), spacing(factor), ctypes.byref(status)
    )
    if status.value > 0:
        return None
    check_status("dpotrf", status, factor.shape)
    for column in range(len(factor)):
        factor[column + 1 :, column] = 0.0
    return factor


def reciprocal_condition(factor: FloatArray, one_norm: float) -> float:
    """Estimate 1 / cond(A) in the 1-norm, 0..1, from the Cholesky factor.

    Args:
        factor: from `cholesky_factor`.
        one_norm: largest sum of absolute values in a column of A.
    """
    size, status, found = len(factor), ctypes.c_int(0), ctypes.c_double(math.nan)
    work, counters = np.empty(3 * size), np.empty(size, dtype=np.int32)
    routine("dpocon", "char *, int *", 9)(
        character("U"), integer(size), pointer(factor), spacing(factor), ctypes.byref(ctypes.c_double(one_norm)),
        ctypes.byref(found), pointer(work), pointer(counters), ctypes.byref(status),
    )  # fmt: skip
    check_status("dpocon", status, factor.shape)
    return found.value


def inverse_of(factor: FloatArray) -> FloatArray:
    """A^-1 from the Cholesky factor, both triangles.

    Args:
        factor: from `cholesky_factor`; its memory is used for the result.

    Example:
        >>> np.diagonal(inverse_of(cholesky_factor(np.diag([4.0, 0.25])))).tolist()
        [0.25, 4.0]
    """
    status = ctypes.c_int(0)
    routine("dpotri", "char *, int *", 5)(
        character("U"), integer(len(factor)), pointer(factor), spacing(factor), ctypes.byref(status)
    )
    check_status("dpotri", status, factor.shape)
    return mirror(factor)


def whitened_by(factor: FloatArray, columns: FloatArray) -> FloatArray:
    """U^-T x for columns x of shape (k, j): orthonormal coordinates in the order of the rows, as by Gram and Schmidt.

    Args:
        factor: U, from `cholesky_factor`.
        columns: shape (k, j).

    Example:
        >>> whitened_by(np.diag([2.0, 4.0]).T, np.array([[2.0], [2.0]])).tolist()
        [[1.0], [0.5]]
    """
    found, status = np.array(columns, dtype=np.float64, order="F"), ctypes.c_int(0)
    routine("dtrtrs", "char *, char *, char *, int *, int *", 10)(
        character("U"), character("T"), character("N"), integer(len(factor)), integer(found.shape[1]),
        pointer(factor), spacing(factor), pointer(found), spacing(found), ctypes.byref(status),
    )  # fmt: skip
    check_status("dtrtrs", status, factor.shape)
    return found


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
