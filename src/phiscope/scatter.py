"""Rows turned into a scatter matrix about pilot means: one symmetric product for each block, no second pass."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.arrays import FloatArray, IntArray
from phiscope.moments import Layout, Moments, add_scatter, group_sums, mirror

BLOCK_ROWS = 2048
"""Rows per matrix product: large enough for full BLAS speed, small enough to stay near the cache."""

CACHE_ENTRIES = 2**16
"""Entries that are cast and shifted at a time: 512 KiB of float64 stay in the cache between the two."""

PLAIN_MEAN = 16.0
"""Group means with less than this many times the within-group power are not subtracted: one digit, no more, is lost."""


class Pilots:
    """One row for each group that is subtracted from its samples before they are squared.

    A pilot is the mean of the first samples of its group, which differs from the final mean by about one spread, or
    zero where the mean is small against the spread. All scatters that share their pilots add up.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.rows = np.zeros((0, sum(layout[:3])))
        self.known = np.zeros(0, dtype=bool)
        self.shifted = False
        self._power: list[float] | None = None

    def grow(self, n_groups: int) -> None:
        """Make room for more groups."""
        extra = n_groups - len(self.known)
        if extra > 0:
            self.rows = np.pad(self.rows, ((0, extra), (0, 0)))
            self.known = np.pad(self.known, (0, extra))

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
        if self._power is None:
            # Rounding of this difference matters only where the means are large, and those are subtracted anyway.
            alone = max(len(rows) - len(names), 1)
            self._power = [
                max(_square(rows[:, part]) - float(counts @ squared_lengths(means[:, part])), 0.0) / alone
                for part in self._parts()
            ]
        self.rows[names] = np.where(self._needed(means)[:, None], means, 0.0)
        self.known[names] = True
        self.shifted = self.shifted or bool(self.rows[names].any())

    def _parts(self) -> list[slice]:
        ends = np.cumsum([0, *self.layout[:3]])
        return [slice(low, high) for low, high in pairwise(ends) if high > low]

    def _needed(self, means: FloatArray) -> NDArray[np.bool_]:
        """Groups whose mean would cost digits in features, outputs or targets."""
        large = np.zeros(len(means), dtype=bool)
        for part, power in zip(self._parts(), self._power or [], strict=True):
            large |= squared_lengths(means[:, part]) > PLAIN_MEAN * power
        return large


def _square(rows: FloatArray) -> float:
    return float(squared_lengths(rows).sum())


class Scatter:
    """Sums about the pilots: rows in, `Moments` out.

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
        self._buffer: FloatArray | None = None

    def _grow(self, n_groups: int) -> None:
        extra = n_groups - len(self.counts)
        if extra > 0:
            self.sums = np.pad(self.sums, ((0, extra), (0, 0)))
            self.squares, self.weights = np.pad(self.squares, (0, extra)), np.pad(self.weights, (0, extra))
            self.counts = np.pad(self.counts, (0, extra))

    def add(
        self, parts: Sequence[NDArray[Any]], chosen: slice | IntArray, groups: IntArray, weights: FloatArray
    ) -> None:
        """Add one block of at most `BLOCK_ROWS` samples.

        Args:
            parts: arrays of any precision whose columns, joined, make the rows.
            chosen: which of their rows.
            groups: group of each chosen row.
            weights: weight of each chosen row, positive.
        """
        self.pilots.grow(int(groups.max()) + 1)
        if not self.pilots.known[groups].all():
            self.pilots.learn(join(parts, chosen), groups)
        self._grow(len(self.pilots.known))
        if self._buffer is None or len(self._buffer) < len(groups):
            self._buffer = np.empty((len(groups), self.sums.shape[1]))
        rows, lengths = self._buffer[: len(groups)], np.empty(len(groups))
        step = max(CACHE_ENTRIES // rows.shape[1], 1)
        pilots = self.pilots.rows
        for start in range(0, len(rows), step):
            piece = slice(start, min(start + step, len(rows)))
            fill(rows[piece], parts, within(chosen, piece))
            if self.pilots.shifted:
                rows[piece] -= pilots[0] if len(pilots) == 1 else pilots.take(groups[piece], axis=0)
            lengths[piece] = squared_lengths(rows[piece, : self.pilots.layout[0]])
        self._sum_up(rows, lengths, groups, weights)

    def _sum_up(self, rows: FloatArray, lengths: FloatArray, groups: IntArray, weights: FloatArray) -> None:
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
            rows *= np.sqrt(weights)[:, None]
        self.scatter = add_scatter(self.scatter, rows)

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


def within(chosen: slice | IntArray, piece: slice) -> slice | IntArray:
    """A piece of the chosen rows."""
    if isinstance(chosen, slice):
        return slice(chosen.start + piece.start, chosen.start + piece.stop)
    return chosen[piece]


def fill(rows: FloatArray, parts: Sequence[NDArray[Any]], chosen: slice | IntArray) -> None:
    """Write chosen rows of all parts, side by side, as float64 into `rows`."""
    column = 0
    for part in parts:
        rows[:, column : column + part.shape[1]] = part[chosen]
        column += part.shape[1]


def join(parts: Sequence[NDArray[Any]], chosen: slice | IntArray) -> FloatArray:
    """Chosen rows of all parts side by side as new float64 rows."""
    n_rows = chosen.stop - chosen.start if isinstance(chosen, slice) else len(chosen)
    rows = np.empty((n_rows, sum(part.shape[1] for part in parts)))
    fill(rows, parts, chosen)
    return rows


def squared_lengths(rows: FloatArray) -> FloatArray:
    """Squared norm of each row, shape (b,)."""
    if hasattr(np, "vecdot"):
        return np.asarray(np.vecdot(rows, rows))
    return np.asarray(np.einsum("ij,ij->i", rows, rows))
