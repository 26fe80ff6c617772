"""Products, symmetric matrices and sums by group, made so that only SciPy's BLAS threads are ever awake.

NumPy's wheels and SciPy's bring an OpenBLAS each, with threads of its own that go on spinning for a while after their
work. All factorizations go to SciPy's, and so does the pass; were products between them NumPy's, the threads of both
would take the cores from each other. Sums by group in place are made on the calling thread for the same reason.

A symmetric matrix that is a sum of outer products takes half the work of a general product: one triangle is made, and
mirrored where both are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from phiscope.linalg.lapack import HANDLED, add_square, multiply
from phiscope.typing import FloatArray, IntArray

LONGEST_DOT = 10_000
"""Products that OpenBLAS takes on the calling thread in a dot product."""

SMALL = 2**13
"""Multiplications up to which no BLAS wakes its threads; NumPy has less to do around such a product."""

HALF_FROM = 128
"""Rows from which on one triangle and its mirror take less time than a general product."""

MIRROR_BLOCK = 256
"""Rows and columns mirrored at a time, so that reading and writing both stay in the cache."""

STRIP = 64
"""Rows of a symmetric matrix that are packed at once."""

try:
    # What csc_array @ rows calls, without its checks and its new array for the result: with a thousand groups these
    # take four times as long as the sums. The name is SciPy's own; without it the public way serves.
    from scipy.sparse import _sparsetools

    csc_matvecs: Callable[..., None] | None = _sparsetools.csc_matvecs
except (ImportError, AttributeError):
    csc_matvecs = None


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
        # NumPy sums strided rows as a general product, whose two triangles are rounded each on its own.
        return mirror(np.asarray(rows @ rows.T))
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


def squared_lengths(rows: NDArray[Any]) -> NDArray[Any]:
    """Squared norm of each row, shape (b,)."""
    # Longer rows would wake the threads of NumPy's BLAS.
    if hasattr(np, "vecdot") and rows.shape[1] <= LONGEST_DOT:
        return np.asarray(np.vecdot(rows, rows))
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


def add_scatter(scatter: FloatArray, rows: FloatArray, sign: float = 1.0, *, lower: bool = False) -> FloatArray:
    """scatter += sign rows^T rows on one triangle, half the work of a general product; columns contiguous."""
    if len(rows):
        add_square(scatter, rows, scale=sign, lower=lower)
    return scatter


def add_outer(matrix: FloatArray, rows: FloatArray, sign: float = 1.0) -> FloatArray:
    """A symmetric matrix += sign rows^T rows, both triangles and in place where the matrix is contiguous."""
    if len(rows) == 0:
        return matrix
    whole = matrix if matrix.flags.f_contiguous else matrix.T
    if len(rows) > HALF_FROM and whole.flags.f_contiguous:
        return mirror(add_scatter(whole, rows, sign))
    multiply(rows.T, rows, whole, scale=sign, kept=1.0)
    return whole


def mirror(upper: FloatArray) -> FloatArray:
    """The full symmetric matrix from its upper triangle, in place; the lower one is overwritten."""
    below = np.tri(min(MIRROR_BLOCK, len(upper)), k=-1, dtype=bool)
    for start in range(0, len(upper), MIRROR_BLOCK):
        stop = min(start + MIRROR_BLOCK, len(upper))
        block = upper[start:stop, start:stop]
        np.copyto(block, block.T.copy(), where=below[: len(block), : len(block)])
        for low in range(stop, len(upper), MIRROR_BLOCK):
            tile = slice(low, min(low + MIRROR_BLOCK, len(upper)))
            upper[tile, start:stop] = upper[start:stop, tile].T
    return upper


def pack_symmetric(matrix: FloatArray) -> FloatArray:
    """The upper half of a symmetric matrix, strip by strip.

    LAPACK's packed format goes entry by entry: at d = 2048 it took 36 ms and 75 ms back, this takes 6 and 13.

    Args:
        matrix: shape (d, d).

    Example:
        >>> matrix = np.arange(200.0)[:, None] + np.arange(200.0)
        >>> packed = pack_symmetric(matrix)
        >>> packed.size / matrix.size, bool((unpack_symmetric(packed, 200) == matrix).all())
        (0.6544, True)
    """
    strips = [matrix[start : start + STRIP, start:] for start in range(0, len(matrix), STRIP)]
    return np.concatenate([strip.ravel() for strip in strips])


def unpack_symmetric(packed: FloatArray, width: int) -> FloatArray:
    """The matrix of shape (width, width) that `pack_symmetric` packed."""
    matrix = np.empty((width, width))
    at = 0
    for start in range(0, width, STRIP):
        stop = min(start + STRIP, width)
        size = (stop - start) * (width - start)
        strip = packed[at : at + size].reshape(stop - start, width - start)
        matrix[start:stop, start:], matrix[start:, start:stop] = strip, strip.T
        at += size
    return matrix


def add_to_groups(sums: NDArray[Any], rows: NDArray[Any], groups: IntArray) -> None:
    """sums[g_i] += row_i for each row, in the rows' precision.

    On one thread: torch's index_add_ shares these few microseconds of work among threads of its own, which then spin
    and take the cores from BLAS; on two cores the pass took twice as long.

    Args:
        sums: shape (n_groups, d), contiguous, of the rows' precision; changed in place.
        rows: shape (b, d), contiguous.
        groups: group of each row, shape (b,), below n_groups.

    Example:
        >>> sums = np.zeros((2, 1))
        >>> add_to_groups(sums, np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 0]))
        >>> sums.tolist()
        [[5.0], [2.0]]
    """
    ends, ones = np.arange(len(rows) + 1), np.ones(len(rows), dtype=rows.dtype)
    members = np.ascontiguousarray(groups, dtype=ends.dtype)
    if csc_matvecs is None:
        sums += group_sums(rows, members, ones, len(sums))
    else:
        csc_matvecs(len(sums), len(rows), rows.shape[1], ends, members, ones, rows.ravel(), sums.reshape(-1))


def group_sums(rows: FloatArray, groups: IntArray, weights: FloatArray, n_groups: int) -> FloatArray:
    """Weighted sum of rows in each group, shape (n_groups, d), in the rows' precision; by index, never one-hot."""
    weights = weights.astype(rows.dtype, copy=False)
    if n_groups == 1:
        return product(weights, rows)[None, :]
    pick = csc_array((weights, groups, np.arange(len(rows) + 1)), shape=(n_groups, len(rows)))
    return np.asarray(pick @ rows)
