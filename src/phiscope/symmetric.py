"""Symmetric matrices from sums of outer products: half the work of a general product, one triangle, then a mirror."""

from __future__ import annotations

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.blas import add_square, multiply

MIRROR_BLOCK = 256
"""Rows and columns mirrored at a time, so that reading and writing both stay in the cache."""


HALF_FROM = 128
"""Rows from which on one triangle and its mirror take less time than a general product."""


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
