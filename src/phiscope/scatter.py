"""One stream of rows turned into moments: early rows are kept, later ones become a scatter matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phiscope.arrays import FloatArray, IntArray
from phiscope.moments import Moments, add_scatter, fold, group_sums, mirror, moments_from_rows

BLOCK_ROWS = 2048
"""Rows per matrix product: large enough for full BLAS speed, small enough to stay near the cache."""

PILOT_ROWS = 512
"""At least so many rows decide the pilot means."""

Layout = tuple[int, int, int, bool]
Block = tuple[FloatArray, IntArray, FloatArray]


class Scatter:
    """Sums about fixed pilot means, one per group, so that no second pass over the samples is needed.

    The pilot means come from the first samples of each group. They differ from the final means by about one
    spread, so moving the scatter to the final means at the end costs no digits.
    """

    def __init__(self, layout: Layout, n_groups: int) -> None:
        width = sum(layout[:3])
        self.layout = layout
        self.scatter = np.zeros((width, width), order="F")
        self.pilot = np.zeros((n_groups, width))
        self.sums = np.zeros((n_groups, width))
        self.squares = np.zeros(n_groups)
        self.weights = np.zeros(n_groups)
        self.counts = np.zeros(n_groups, dtype=np.int64)
        self.has_pilot = np.zeros(n_groups, dtype=bool)
        self.squared_weight = 0.0

    def _grow(self, n_groups: int) -> None:
        extra = n_groups - len(self.counts)
        if extra > 0:
            self.pilot = np.pad(self.pilot, ((0, extra), (0, 0)))
            self.sums = np.pad(self.sums, ((0, extra), (0, 0)))
            self.squares, self.weights = np.pad(self.squares, (0, extra)), np.pad(self.weights, (0, extra))
            self.counts, self.has_pilot = np.pad(self.counts, (0, extra)), np.pad(self.has_pilot, (0, extra))

    def set_pilot(self, sums: FloatArray, counts: IntArray, fresh: NDArray[np.bool_]) -> None:
        """Fix the pilot means of the groups marked fresh."""
        self.pilot[fresh] = sums[fresh] / counts[fresh, None]
        self.has_pilot |= fresh

    def add(self, rows: FloatArray, groups: IntArray, weights: FloatArray) -> None:
        """Add one block; `rows` is overwritten."""
        self._grow(int(groups.max()) + 1)
        n_groups = len(self.counts)
        counts = np.bincount(groups, minlength=n_groups)
        fresh = (counts > 0) & ~self.has_pilot
        if fresh.any():
            self.set_pilot(group_sums(rows, groups, np.ones(len(rows)), n_groups), counts, fresh)
        rows -= self.pilot[groups] if n_groups > 1 else self.pilot[0]
        self.sums += group_sums(rows, groups, weights, n_groups)
        features = rows[:, : self.layout[0]]
        self.squares += np.bincount(groups, weights * np.einsum("ij,ij->i", features, features), n_groups)
        self.counts += counts
        self.weights += np.bincount(groups, weights, n_groups)
        self.squared_weight += float(weights @ weights)
        if (weights != 1.0).any():
            rows *= np.sqrt(weights)[:, None]
        self.scatter = add_scatter(self.scatter, rows)

    def moments(self) -> Moments:
        """The moments so far, moved from the pilot means to the true ones."""
        divisor = np.where(self.weights > 0, self.weights, 1.0)
        shift = self.sums / divisor[:, None]
        scaled = (shift * np.sqrt(self.weights)[:, None])[self.weights > 0]
        features = shift[:, : self.layout[0]]
        squares = self.squares - self.weights * np.einsum("ij,ij->i", features, features)
        return Moments(
            n_samples=int(self.counts.sum()),
            weight=float(self.weights.sum()),
            squared_weight=self.squared_weight,
            n_features=self.layout[0],
            n_outputs=self.layout[1],
            n_values=self.layout[2],
            classes=self.layout[3],
            group_counts=self.counts.copy(),
            group_weights=self.weights.copy(),
            group_means=self.pilot + shift,
            # Rounding can leave -1e-17 for a class without spread.
            group_squares=np.maximum(squares, 0.0),
            within=mirror(add_scatter(self.scatter.copy(order="F"), scaled, sign=-1.0)),
        )


class Stream:
    """Rows of one shard; at most max(p, 512) of them are ever held besides one block.

    Args:
        layout: p, C, c and whether targets are classes.
        block_rows: rows gathered before they are added to the scatter.
    """

    def __init__(self, layout: Layout, block_rows: int = BLOCK_ROWS) -> None:
        self._layout = layout
        self._block_rows = block_rows
        self._pending: list[Block] = []
        self._n_pending = 0
        self._scatter: Scatter | None = None

    @property
    def n_samples(self) -> int:
        """Rows added so far."""
        return self._n_pending + (0 if self._scatter is None else int(self._scatter.counts.sum()))

    def add(self, rows: FloatArray, groups: IntArray, weights: FloatArray) -> None:
        """Add rows; the stream owns them from now on."""
        if len(rows) == 0:
            return
        self._pending.append((rows, groups, weights))
        self._n_pending += len(rows)
        if self._scatter is None:
            if self._n_pending > max(self._layout[0], PILOT_ROWS):
                self._scatter = self._start()
                self._flush()
        elif self._n_pending >= self._block_rows:
            self._flush()

    def _start(self) -> Scatter:
        """A scatter whose pilot means come from all rows held."""
        groups = np.concatenate([block[1] for block in self._pending])
        counts = np.bincount(groups)
        scatter = Scatter(self._layout, len(counts))
        sums = np.zeros_like(scatter.pilot)
        for rows, row_groups, _ in self._pending:
            sums += group_sums(rows, row_groups, np.ones(len(rows)), len(counts))
        scatter.set_pilot(sums, counts, counts > 0)
        return scatter

    def _flush(self) -> None:
        if self._scatter is not None and self._pending:
            self._scatter.add(*_joined(self._pending))
            self._pending, self._n_pending = [], 0

    def moments(self) -> Moments:
        """The moments so far; more rows may follow."""
        if self._scatter is None:
            rows, groups, weights = _joined(self._pending)
            moments = moments_from_rows(self._layout, rows, groups, weights, int(groups.max()) + 1)
            return fold(moments) if len(rows) > self._layout[0] else moments
        self._flush()
        return self._scatter.moments()


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    rows, groups, weights = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return rows, groups, weights
