"""Sums of rows over groups: new ones with weights, or in place and on the calling thread alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from phiscope.arrays import FloatArray, IntArray
from phiscope.products import product

try:
    # What csc_array @ rows calls, without its checks and its new array for the result: with a thousand groups these
    # take four times as long as the sums. The name is SciPy's own; without it the public way serves.
    from scipy.sparse import _sparsetools

    csc_matvecs: Callable[..., None] | None = _sparsetools.csc_matvecs
except (ImportError, AttributeError):
    csc_matvecs = None


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
