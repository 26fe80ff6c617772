"""What is subtracted from rows before they are squared, so that no product cancels against a mean."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.arrays import FloatArray, IntArray
from phiscope.moments import Layout, group_sums

BLOCK_ROWS, BLOCK_BYTES = 2048, 2**25
"""Rows for one matrix product: as many as 32 MiB hold, but not fewer, which would not reach the full speed of BLAS."""

MOST_BLOCK_ROWS, MOST_SINGLE_ROWS, NARROW = 4096, 16384, 256
"""Most rows for one product, and most in float32 beyond 256 columns: each of those products has to be added to float64
sums, so the fewer of them the better; narrow rows are sooner multiplied than fetched from memory again."""

PLAIN_MEAN, PLAIN_MEAN_WIDE = 256.0, 1024.0
"""Group means with less than p times the within-group power, within these bounds, are not subtracted from float64 rows.

The rounding that this leaves, some p eps of the spread, is what eigenvalues are dropped under anyway; subtracting costs
as much as everything else that is done to a row before its product.
"""

PLAIN_MEAN_SINGLE, PLAIN_COLUMNS = 64.0, 8192
"""The same for a class beside the common center in float32: so many columns divided by p, up to 64.

Along the class means, the scatter between classes is p times this limit in units of an even spread within them, and
rounding of the one is error of the other: NC1 keeps five digits, and the covariance, which holds both, loses none.
"""


class Pilots:
    """One row for each group that is subtracted from its samples before they are squared.

    A pilot is the mean of the first samples of its group, which differs from the final mean by about one spread, or
    the common center where it lies close to that. The center is the mean of the first samples; in float64, where a
    moderate mean costs no digits, it is zero unless a group lies far from it. All scatters that share their pilots add
    up.

    Args:
        layout: p, C, c and whether targets are classes.
        dtype: of the products, np.float64 or np.float32; pilots are rounded to it.
    """

    def __init__(self, layout: Layout, dtype: type[np.floating[Any]] = np.float64) -> None:
        self.layout = layout
        self.dtype = np.dtype(dtype)
        self.rows: NDArray[Any] = np.zeros((0, sum(layout[:3])), dtype=self.dtype)
        self.known = np.zeros(0, dtype=bool)
        self.uniform, self.shifted = True, False
        self._plain = min(PLAIN_COLUMNS / layout[0], PLAIN_MEAN_SINGLE)
        if self.dtype == np.float64:
            self._plain = min(max(float(layout[0]), PLAIN_MEAN), PLAIN_MEAN_WIDE)
        self._center: NDArray[Any] = np.zeros(self.rows.shape[1], dtype=self.dtype)
        self._power: list[float] = []
        self._buffer: NDArray[Any] | None = None
        self._product: NDArray[Any] | None = None

    def buffer(self, n_rows: int) -> NDArray[Any]:
        """Room for rows, one for all scatters: fresh memory for each would cost more than the cast."""
        if self._buffer is None or len(self._buffer) < n_rows:
            self._buffer = np.empty((n_rows, self.rows.shape[1]), dtype=self.dtype)
        return self._buffer[:n_rows]

    def product(self) -> NDArray[Any]:
        """Room for one product in the precision of the products, columns contiguous, shared for the same reason."""
        if self._product is None:
            width = self.rows.shape[1]
            self._product = np.zeros((width, width), dtype=self.dtype, order="F")
        return self._product

    def subtract(self, piece: NDArray[Any], rows: NDArray[Any], groups: IntArray) -> None:
        """Write a piece of the source minus the pilots of its samples into `rows`."""
        if not self.shifted:
            rows[...] = piece
        else:
            pilots = self.rows[0] if self.uniform else self.rows.take(groups, axis=0)
            # Subtracted in the wider of the two types, rounded afterwards.
            wide = np.result_type(self.dtype, piece.dtype)
            if wide == piece.dtype:
                np.subtract(piece, pilots, out=rows, casting="same_kind")
            else:
                # Twice as fast as a subtraction that casts on the way.
                rows[...] = piece
                rows -= pilots

    @property
    def block_rows(self) -> int:
        """Rows for one product."""
        width = self.rows.shape[1]
        fit = BLOCK_BYTES // (self.dtype.itemsize * width)
        few = self.dtype == np.float64 or width <= NARROW
        return int(min(max(fit, BLOCK_ROWS), MOST_BLOCK_ROWS if few else MOST_SINGLE_ROWS))

    def grow(self, n_groups: int) -> None:
        """Make room for more groups."""
        extra = n_groups - len(self.known)
        if extra > 0:
            self.rows = np.pad(self.rows, ((0, extra), (0, 0)))
            self.known = np.pad(self.known, (0, extra))
            self.rows[-extra:] = self._center

    def learn(self, rows: FloatArray, groups: IntArray) -> None:
        """Fix the pilots of groups that have none yet, for which there is room."""
        names, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
        means = group_sums(rows, member, np.ones(len(rows)), len(names)) / counts[:, None]
        if not self._power:
            # Rounding of this difference matters only where the means are large, and those are subtracted anyway.
            alone = max(len(rows) - len(names), 1)
            self._power = [
                max(_square(rows[:, part]) - float(counts @ squared_lengths(means[:, part])), 0.0) / alone
                for part in self._parts()
            ]
            mean = (counts @ means / counts.sum()).astype(self.dtype)
            # One row subtracted from all samples costs less than a row for each class.
            if self.dtype != np.float64 or self._apart(means).any():
                self._center = mean
                self.rows[~self.known] = mean
        apart = self._apart(means)
        self.rows[names[apart]] = means[apart]
        self.known[names] = True
        self.uniform = self.uniform and not apart.any()
        self.shifted = self.shifted or bool(self.rows[names].any())

    def _parts(self) -> list[slice]:
        ends = np.cumsum([0, *self.layout[:3]])
        return [slice(low, high) for low, high in pairwise(ends) if high > low]

    def _apart(self, means: FloatArray) -> NDArray[np.bool_]:
        """Groups whose distance from the center would cost digits in features, outputs or targets."""
        large = np.zeros(len(means), dtype=bool)
        offsets = means - self._center
        for part, power in zip(self._parts(), self._power, strict=True):
            large |= squared_lengths(offsets[:, part]) > self._plain * power
        return large


def _square(rows: FloatArray) -> float:
    return float(squared_lengths(rows).sum())


def squared_lengths(rows: NDArray[Any]) -> NDArray[Any]:
    """Squared norm of each row, shape (b,)."""
    if hasattr(np, "vecdot"):
        return np.asarray(np.vecdot(rows, rows))
    return np.asarray(np.einsum("ij,ij->i", rows, rows))
