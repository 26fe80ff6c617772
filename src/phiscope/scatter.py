"""Rows turned into a scatter matrix about pilot means: one symmetric product for each block, no second pass."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ssyrk

from phiscope.arrays import FloatArray, IntArray
from phiscope.moments import Layout, Moments, add_scatter, group_sums, mirror

BLOCK_ROWS = 2048
"""Rows per matrix product: large enough for full BLAS speed, small enough to stay near the cache."""

FAST_BLOCK_ROWS = 4096
"""The same in float32, whose products have to be added to float64 sums one by one."""

CACHE_BYTES = 2**19
"""Bytes that are cast, shifted and squared at a time: 512 KiB stay in the cache in between."""

PLAIN_MEAN = 16.0
"""Group means with less than this many times the within-group power are not subtracted: one digit, no more, is lost."""


Source = tuple[Sequence[NDArray[Any]], slice | IntArray]
"""Arrays whose columns, joined, make rows, and which of their rows."""


class Pilots:
    """One row for each group that is subtracted from its samples before they are squared.

    A pilot is the mean of the first samples of its group, which differs from the final mean by about one spread, or
    the common center where it lies close to that. The center is zero in float64, where a moderate mean costs no
    digits, and the mean of the first samples in float32. All scatters that share their pilots add up.

    Args:
        layout: p, C, c and whether targets are classes.
        dtype: of the products, np.float64 or np.float32; pilots are rounded to it.
    """

    def __init__(self, layout: Layout, dtype: type[np.floating[Any]] = np.float64) -> None:
        self.layout = layout
        self.dtype = np.dtype(dtype)
        self.rows = np.zeros((0, sum(layout[:3])))
        self.known = np.zeros(0, dtype=bool)
        self.uniform, self.shifted = True, False
        self._center = np.zeros(self.rows.shape[1])
        self._power: list[float] = []
        self._buffer: NDArray[Any] | None = None
        self._product: NDArray[Any] | None = None

    def buffer(self, n_rows: int) -> NDArray[Any]:
        """Room for rows, one for all scatters: fresh memory for each would cost more than the cast."""
        if self._buffer is None or len(self._buffer) < n_rows:
            self._buffer = np.empty((n_rows, self.rows.shape[1]), dtype=self.dtype)
        return self._buffer[:n_rows]

    def product(self) -> NDArray[Any]:
        """Room for one product in the precision of the products, shared for the same reason."""
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
            # Subtracted in the wider of the two types, rounded afterwards; pilots hold float32 in that mode.
            pilots = pilots.astype(np.result_type(self.dtype, piece.dtype), copy=False)
            np.subtract(piece, pilots, out=rows, casting="same_kind")

    @property
    def block_rows(self) -> int:
        """Rows for one product."""
        return BLOCK_ROWS if self.dtype == np.float64 else FAST_BLOCK_ROWS

    def grow(self, n_groups: int) -> None:
        """Make room for more groups."""
        extra = n_groups - len(self.known)
        if extra > 0:
            self.rows = np.pad(self.rows, ((0, extra), (0, 0)))
            self.known = np.pad(self.known, (0, extra))
            self.rows[-extra:] = self._center

    def learn(self, rows: FloatArray, groups: IntArray) -> None:
        """Fix the pilots of groups that occur here for the first time."""
        self.grow(int(groups.max()) + 1)
        fresh = ~self.known[groups]
        if not fresh.any():
            return
        if not fresh.all():
            rows, groups = rows[fresh], groups[fresh]
        names, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
        means = group_sums(rows, member, np.ones(len(rows)), len(names)) / counts[:, None]
        if not self._power:
            # Rounding of this difference matters only where the means are large, and those are subtracted anyway.
            alone = max(len(rows) - len(names), 1)
            self._power = [
                max(_square(rows[:, part]) - float(counts @ squared_lengths(means[:, part])), 0.0) / alone
                for part in self._parts()
            ]
            if self.dtype != np.float64:
                self._center = self._rounded(counts @ means / counts.sum())
                self.rows[:] = self._center
        apart = self._apart(means)
        self.rows[names[apart]] = self._rounded(means[apart])
        self.known[names] = True
        self.uniform = self.uniform and not apart.any()
        self.shifted = self.shifted or bool(self.rows[names].any())

    def _rounded(self, rows: FloatArray) -> FloatArray:
        return rows.astype(self.dtype).astype(np.float64)

    def _parts(self) -> list[slice]:
        ends = np.cumsum([0, *self.layout[:3]])
        return [slice(low, high) for low, high in pairwise(ends) if high > low]

    def _apart(self, means: FloatArray) -> NDArray[np.bool_]:
        """Groups whose distance from the center would cost digits in features, outputs or targets."""
        large = np.zeros(len(means), dtype=bool)
        offsets = means - self._center
        for part, power in zip(self._parts(), self._power, strict=True):
            large |= squared_lengths(offsets[:, part]) > PLAIN_MEAN * power
        return large


def _square(rows: FloatArray) -> float:
    return float(squared_lengths(rows).sum())


class Scatter:
    """Sums about the pilots, in float64: rows in, `Moments` out.

    Args:
        pilots: shared by all scatters that are to be added up.
    """

    def __init__(self, pilots: Pilots) -> None:
        self.pilots = pilots
        width = pilots.rows.shape[1]
        self.scatter = np.zeros((width, width), order="F")
        self.sums = np.zeros((0, width))
        self.squares, self.weights = np.zeros(0), np.zeros(0)
        self.counts = np.zeros(0, dtype=np.int64)
        self.squared_weight = 0.0

    def _grow(self, n_groups: int) -> None:
        extra = n_groups - len(self.counts)
        if extra > 0:
            self.sums = np.pad(self.sums, ((0, extra), (0, 0)))
            self.squares, self.weights = np.pad(self.squares, (0, extra)), np.pad(self.weights, (0, extra))
            self.counts = np.pad(self.counts, (0, extra))

    def add(self, sources: Sequence[Source], groups: IntArray, weights: FloatArray) -> None:
        """Add one block of a few thousand samples.

        Args:
            sources: where the rows are, of any precision, one source after the other.
            groups: group of each row.
            weights: weight of each row, positive.
        """
        self.pilots.grow(int(groups.max()) + 1)
        if not self.pilots.known[groups].all():
            self.pilots.learn(join(sources), groups)
        self._grow(len(self.pilots.known))
        rows, lengths = self.pilots.buffer(len(groups)), np.empty(len(groups), dtype=self.pilots.dtype)
        step = max(CACHE_BYTES // (rows.shape[1] * rows.itemsize), 1)
        start = 0
        for parts, chosen in sources:
            end = start + n_chosen(chosen)
            for low in range(start, end, step):
                here = slice(low, min(low + step, end))
                self._fill(rows[here], parts, within(chosen, slice(low - start, here.stop - start)), groups[here])
                lengths[here] = squared_lengths(rows[here, : self.pilots.layout[0]])
            start = end
        self._sum_up(rows, lengths, groups, weights)

    def _fill(
        self, rows: NDArray[Any], parts: Sequence[NDArray[Any]], chosen: slice | IntArray, groups: IntArray
    ) -> None:
        if len(parts) == 1:
            self.pilots.subtract(parts[0][chosen], rows, groups)
            return
        joined = np.empty(rows.shape, dtype=np.result_type(*parts))
        fill(joined, parts, chosen)
        self.pilots.subtract(joined, rows, groups)

    def _sum_up(self, rows: NDArray[Any], lengths: NDArray[Any], groups: IntArray, weights: FloatArray) -> None:
        n_groups = len(self.counts)
        if n_groups > 2 * len(rows):
            # Nothing as long as the list of classes is made for a block that holds few of them.
            names, member = np.unique(groups, return_inverse=True)
            self.sums[names] += group_sums(rows, member, weights, len(names))
            np.add.at(self.squares, groups, weights * lengths)
            np.add.at(self.counts, groups, 1)
            np.add.at(self.weights, groups, weights)
        else:
            self.sums += group_sums(rows, groups, weights, n_groups)
            self.squares += np.bincount(groups, weights * lengths, n_groups)
            self.counts += np.bincount(groups, minlength=n_groups)
            self.weights += np.bincount(groups, weights, n_groups)
        self.squared_weight += float(weights @ weights)
        if (weights != 1.0).any():
            rows *= np.sqrt(weights).astype(rows.dtype)[:, None]
        if rows.dtype == np.float64:
            self.scatter = add_scatter(self.scatter, rows)
        else:
            product = ssyrk(1.0, rows.T, beta=0.0, c=self.pilots.product(), overwrite_c=1)
            np.add(self.scatter, product, out=self.scatter)

    def absorb(self, other: Scatter) -> None:
        """Add the sums of another scatter about the same pilots."""
        self._grow(len(other.counts))
        n_groups = len(other.counts)
        self.scatter += other.scatter
        self.sums[:n_groups] += other.sums
        self.squares[:n_groups] += other.squares
        self.weights[:n_groups] += other.weights
        self.counts[:n_groups] += other.counts
        self.squared_weight += other.squared_weight

    def moments(self, *, consume: bool = False) -> Moments:
        """The moments so far, moved from the pilots to the true means.

        Args:
            consume: reuse the memory of the scatter, which is of no use afterwards.
        """
        divisor = np.where(self.weights > 0, self.weights, 1.0)
        shift = self.sums / divisor[:, None]
        scaled = (shift * np.sqrt(self.weights)[:, None])[self.weights > 0]
        layout = self.pilots.layout
        squares = self.squares - self.weights * squared_lengths(shift[:, : layout[0]])
        return Moments(
            n_samples=int(self.counts.sum()),
            weight=float(self.weights.sum()),
            squared_weight=self.squared_weight,
            n_features=layout[0],
            n_outputs=layout[1],
            n_values=layout[2],
            classes=layout[3],
            group_counts=self.counts.copy(),
            group_weights=self.weights.copy(),
            group_means=self.pilots.rows[: len(shift)] + shift,
            # Rounding can leave -1e-17 for a class without spread.
            group_squares=np.maximum(squares, 0.0),
            within=mirror(add_scatter(self.scatter if consume else self.scatter.copy(order="F"), scaled, sign=-1.0)),
        )


def n_chosen(chosen: slice | IntArray) -> int:
    """How many rows."""
    return int(chosen.stop - chosen.start) if isinstance(chosen, slice) else len(chosen)


def within(chosen: slice | IntArray, piece: slice) -> slice | IntArray:
    """A piece of the chosen rows."""
    if isinstance(chosen, slice):
        return slice(chosen.start + piece.start, chosen.start + piece.stop)
    return chosen[piece]


def fill(rows: NDArray[Any], parts: Sequence[NDArray[Any]], chosen: slice | IntArray) -> None:
    """Write chosen rows of all parts, side by side, into `rows`, in its precision."""
    column = 0
    for part in parts:
        rows[:, column : column + part.shape[1]] = part[chosen]
        column += part.shape[1]


def join(sources: Sequence[Source]) -> FloatArray:
    """The rows of all sources as new float64 rows."""
    lengths = [n_chosen(chosen) for _, chosen in sources]
    rows = np.empty((sum(lengths), sum(part.shape[1] for part in sources[0][0])))
    start = 0
    for (parts, chosen), length in zip(sources, lengths, strict=True):
        fill(rows[start : start + length], parts, chosen)
        start += length
    return rows


def squared_lengths(rows: NDArray[Any]) -> NDArray[Any]:
    """Squared norm of each row, shape (b,)."""
    if hasattr(np, "vecdot"):
        return np.asarray(np.vecdot(rows, rows))
    return np.asarray(np.einsum("ij,ij->i", rows, rows))
