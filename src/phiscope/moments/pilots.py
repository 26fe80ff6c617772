"""What is subtracted from rows before they are squared, so that no product cancels against a mean."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.linalg.products import group_sums, product, squared_lengths
from phiscope.moments.moments import Layout
from phiscope.typing import FloatArray, IntArray

BLOCK_ROWS, BLOCK_BYTES = 2048, 2**25
"""Rows that are taken at a time: as many as 32 MiB hold, but not fewer."""

MOST_BLOCK_ROWS, MOST_SINGLE_ROWS = 4096, 16384
"""Most rows at a time, and most in float32: each of their products has to be added to float64 sums, so the fewer the
better."""

PRODUCT_ROWS, PRODUCT_BYTES = 384, 3 * 2**18
"""Rows of one product: as many as stay in the cache between being cast, shifted, summed and multiplied, but not fewer
than BLAS multiplies at a time anyway. From 192 to 512 rows of 512 or 2,048 columns make no difference (measured with
OpenBLAS); 2,048, which have to be fetched from memory again, take a tenth longer."""

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
        """Room to multiply so many rows in nearly equal parts, shared: fresh memory would cost more than the cast."""
        n_rows = -(-n_rows // max(-(-n_rows // self.product_rows), 1))
        if self._buffer is None or len(self._buffer) < n_rows:
            self._buffer = np.empty((n_rows, self.rows.shape[1]), dtype=self.dtype)
        return self._buffer[:n_rows]

    def product(self, *, shared: bool = True) -> NDArray[Any]:
        """Room for products in their own precision, columns contiguous; shared for the same reason, or another one."""
        width = self.rows.shape[1]
        if not shared:
            return np.zeros((width, width), dtype=self.dtype, order="F")
        if self._product is None:
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
        """Rows that are taken at a time, and most that are summed in the precision of the products."""
        width = self.rows.shape[1]
        fit = BLOCK_BYTES // (self.dtype.itemsize * width)
        return int(min(max(fit, BLOCK_ROWS), MOST_BLOCK_ROWS if self.dtype == np.float64 else MOST_SINGLE_ROWS))

    @property
    def product_rows(self) -> int:
        """Rows for one product."""
        fit = PRODUCT_BYTES // (self.dtype.itemsize * self.rows.shape[1])
        return int(min(max(fit, PRODUCT_ROWS), BLOCK_ROWS))

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
            mean = (product(counts, means) / counts.sum()).astype(self.dtype)
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
