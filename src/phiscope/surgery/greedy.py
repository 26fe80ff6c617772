"""The exact loss of removing units one after the other, by Schur complements that wait until they fill a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phiscope.linalg.products import product, squared_lengths
from phiscope.typing import FloatArray, IntArray

BLOCK = 64
"""So many removals wait before they are taken off the inverse in one product of matrices."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Units in the order of their removal.

    Attributes:
        order: units, first removed first, shape (p,).
        losses: what each removal of this order lost, shape (p,).
    """

    order: IntArray
    losses: FloatArray


def removal(inverse: FloatArray, readout: FloatArray, order: IntArray | None = None) -> Removal:
    """Remove all units, each at the loss it has when its turn comes.

    Removing unit j from H = (S + r I)^-1 and A = H N leaves H - h_j h_j^T / H_jj and A - h_j A_j / H_jj, and loses
    norm^2(A_j) / H_jj. Rows that are gone are never looked at again, so nothing has to move.

    Args:
        inverse: H, shape (p, p); its memory is used.
        readout: A, shape (p, c); its memory is used.
        order: units in the order to remove them; None takes the one that loses least each time (ties: the first).

    Returns:
        The order and what each removal lost; all losses sum to tr(A^T N).

    Source: the loss is exact (block inverse); the order is that of arXiv:2005.13796 made exact, phiscope's own.

    Example:
        >>> done = removal(np.diag([1.0, 0.5]), np.array([[1.0], [0.5]]))
        >>> done.order.tolist(), done.losses.tolist()
        ([1, 0], [0.5, 1.0])
    """
    p = len(inverse)
    diagonal, squares = np.diagonal(inverse).copy(), squared_lengths(readout)
    left = np.ones(p, dtype=bool)
    waiting, scales = np.empty((BLOCK, p)), np.empty(BLOCK)
    chosen, losses = np.empty(p, dtype=np.int64), np.empty(p)
    filled = 0
    for turn in range(p):
        unit = _cheapest(squares, diagonal, left) if order is None else int(order[turn])
        pivot = diagonal[unit]
        column = inverse[:, unit].copy()
        if filled:
            column -= product(waiting[:filled, unit] / scales[:filled], waiting[:filled])
        row = readout[unit].copy()
        chosen[turn], losses[turn] = unit, float(row @ row) / pivot
        left[unit] = False
        # Along the unit's own readout every other one moves by its share of the column.
        along = product(readout, row)
        squares += column * (column * float(row @ row) / pivot - 2 * along) / pivot
        readout -= np.outer(column, row / pivot)
        diagonal -= column**2 / pivot
        waiting[filled], scales[filled] = column, pivot
        filled += 1
        if filled == BLOCK:
            inverse -= product(waiting.T, waiting / scales[:, None])
            filled = 0
    return Removal(order=chosen, losses=losses)


def _cheapest(squares: FloatArray, diagonal: FloatArray, left: FloatArray) -> int:
    # A unit whose diagonal has fallen to rounding says the same as those that are left: it costs nothing, and dividing
    # by it would say otherwise.
    safe = np.where(np.logical_and(left, diagonal > 0), diagonal, 1.0)
    costs = np.where(left, np.maximum(squares, 0.0) / safe, np.inf)
    return int(np.argmin(costs))
