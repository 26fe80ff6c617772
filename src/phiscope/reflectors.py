"""Products of Householder reflectors, as LAPACK leaves them behind: Q x without ever forming Q."""

from __future__ import annotations

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.lapack import character, integer, pointer, routine, spacing

APART = 8
"""Numbers left free after each column. Columns a power of two apart, as networks are wide, fall on the same lines of
the cache; with a gap Q x takes half to four fifths of the time (measured for p = 256 to 3072 with OpenBLAS)."""

TOGETHER = 64
"""Reflectors applied together, as one product; LAPACK's own routines take 32, and up to twice the time."""

MANY_COLUMNS = 0.75
"""Columns, as a share of all eigenvectors, from which on these are formed for them: it costs little more, and stays."""


def room(height: int, width: int) -> FloatArray:
    """Room for a matrix with contiguous columns, `APART` numbers after each."""
    return np.empty((height + APART, width), order="F")[:height]


def copied(columns: FloatArray) -> FloatArray:
    """A copy laid out so."""
    found = room(*columns.shape)
    found[...] = columns
    return found


def reflect(
    reflectors: FloatArray, factors: FloatArray, columns: FloatArray, *, skipped: int, transposed: bool = False
) -> None:
    """Q x or Q^T x in place, for Q = H_1 H_2 ... H_k with H_i = I - tau_i v_i v_i^T.

    Args:
        reflectors: columns contiguous, shape (d, >= k); v_i is column i, 1 at entry i + `skipped` and 0 before that,
            neither of which is stored.
        factors: tau, shape (k,) or longer.
        columns: x, columns contiguous, shape (d, j); changed.
        skipped: first entries that no reflector touches: 0 after a QR decomposition, 1 after a tridiagonal reduction.
        transposed: Q^T x instead of Q x.
    """
    (size, width), n_reflectors = columns.shape, min(len(columns) - skipped, reflectors.shape[1])
    if width == 0:
        return
    triangle, work = np.empty((TOGETHER, TOGETHER), order="F"), room(width, TOGETHER)
    starts = range(0, n_reflectors, TOGETHER)
    for start in starts if transposed else reversed(starts):
        count, below = min(TOGETHER, n_reflectors - start), slice(start + skipped, size)
        block, rest = reflectors[below, start:], columns[below]
        routine("dlarft", "char *, char *, int *", 9)(
            character("F"), character("C"), integer(len(block)), integer(count), pointer(block), spacing(block),
            pointer(factors[start:]), pointer(triangle), spacing(triangle),
        )  # fmt: skip
        routine("dlarfb", "char *, char *, char *, char *, int *", 15)(
            character("L"), character("T" if transposed else "N"), character("F"), character("C"),
            integer(len(rest)), integer(width), integer(count), pointer(block), spacing(block),
            pointer(triangle), spacing(triangle), pointer(rest), spacing(rest), pointer(work), spacing(work),
        )  # fmt: skip
