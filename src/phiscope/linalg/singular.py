"""Singular values and vectors by SciPy's LAPACK, called so that other threads go on."""

from __future__ import annotations

import ctypes
from typing import Literal

import numpy as np

from phiscope.linalg.lapack import character, check_status, integer, pointer, routine, spacing
from phiscope.typing import FloatArray

Vectors = Literal["none", "thin", "all"]
"""Which singular vectors: none, min(n, p) on each side, or all n and p."""

_JOBS: dict[Vectors, str] = {"none": "N", "thin": "S", "all": "A"}


def singular(matrix: FloatArray, vectors: Vectors) -> tuple[FloatArray, FloatArray, FloatArray]:
    """U, the singular values and V^T of A = U diag(s) V^T; the matrix is overwritten.

    Args:
        matrix: A, shape (n, p), float64, columns contiguous.
        vectors: which ones; without any, U and V^T are empty.

    Returns:
        U of shape (n, m) or (n, n), s descending of shape (m,), V^T of shape (m, p) or (p, p), with m = min(n, p).

    Raises:
        PhiscopeError: LAPACK failed, as it does with NaN.

    Example:
        >>> left, values, right = singular(np.asfortranarray([[0.0, 2.0], [1.0, 0.0]]), "all")
        >>> values.tolist(), np.abs(left).tolist(), np.abs(right).tolist()
        ([2.0, 1.0], [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    """
    height, width = matrix.shape
    least = min(height, width)
    rows, columns = {"none": (0, 0), "thin": (least, least), "all": (height, width)}[vectors]
    if not least:
        return np.eye(height, rows), np.zeros(0), np.eye(columns, width)
    left, right = np.empty((height, rows), order="F"), np.empty((columns, width), order="F")
    values, counters, work = np.empty(least), np.empty(8 * least, dtype=np.int32), np.empty(1)
    # The first call only says how much room the second one wants.
    for asked in (True, False):
        status = ctypes.c_int(0)
        routine("dgesdd", "char *, int *, int *", 14)(
            character(_JOBS[vectors]), integer(height), integer(width), pointer(matrix), spacing(matrix),
            pointer(values), pointer(left), spacing(left), pointer(right), integer(max(columns, 1)), pointer(work),
            integer(-1 if asked else len(work)), pointer(counters), ctypes.byref(status),
        )  # fmt: skip
        check_status("dgesdd", status, matrix.shape)
        work = np.empty(int(work[0])) if asked else work
    return left, values, right
