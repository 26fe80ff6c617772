"""Rows turned into a scatter matrix about pilot means: one symmetric product for each block, no second pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.inputs.arrays import as_array
from phiscope.linalg.lapack import add_square
from phiscope.linalg.products import add_scatter, add_to_groups, group_sums, mirror, product, squared_lengths
from phiscope.moments.moments import Moments
from phiscope.moments.pilots import Pilots
from phiscope.typing import FloatArray, IntArray

CACHE_BYTES = 2**21
"""Bytes that are cast, shifted, squared and summed at a time, where the rows of a product are more."""

TRIANGLE_BLOCK = 512
"""Columns of a float32 product that are added at a time; below the diagonal nothing is."""

SHIFTED_AT_ONCE = 256
"""Class means whose share of the scatter is taken out at a time; a class without samples has none."""

LEARN_ROWS = 512
"""Rows of a block that decide pilots at a time."""

Source = tuple[Sequence[NDArray[Any]], slice | IntArray]
"""Arrays whose columns, joined, make rows, and which of their rows."""


class Scatter:
    """Sums about the pilots, in float64: rows in, `Moments` out.

    Args:
        pilots: shared by all scatters that are to be added up.
        holds: rows wait in memory of its own until they make a full product, so that small batches cost no more than
            large ones; otherwise each call of `add` multiplies all of its rows, in memory that all scatters share.
    """

    def __init__(self, pilots: Pilots, *, holds: bool = False) -> None:
        self.pilots = pilots
        width = pilots.rows.shape[1]
        self.scatter = np.zeros((width, width), order="F")
        self.sums = np.zeros((0, width))
        self.squares, self.weights = np.zeros(0), np.zeros(0)
        self.counts = np.zeros(0, dtype=np.int64)
        self.squared_weight = 0.0
        self._held = np.empty((pilots.product_rows, width), dtype=pilots.dtype) if holds else None
        self._n_held = 0
        # Products and sums of the latest float32 rows, in their own precision, and how many rows were multiplied.
        self._product: NDArray[Any] | None = None
        self._recent: NDArray[Any] | None = None
        self._n_recent = 0

    @property
    def holds(self) -> bool:
        """Whether rows wait here until they make a full product."""
        return self._held is not None

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
        self._prepare(sources, groups)
        block = self.pilots.buffer(len(groups)) if self._held is None else self._held
        lengths = np.empty(len(groups), dtype=self.pilots.dtype)
        uneven = bool((weights != 1.0).any())
        sums = self._summed_in()
        step = max(CACHE_BYTES // (block.shape[1] * block.itemsize), 1)
        start, filled = 0, self._n_held
        for parts, chosen in sources:
            first, end = start, start + n_chosen(chosen)
            while start < end:
                stop = min(start + step, end, start + len(block) - filled)
                here, rows = slice(start, stop), block[filled : filled + stop - start]
                self._fill(rows, parts, within(chosen, slice(start - first, stop - first)), groups[here])
                lengths[here] = squared_lengths(rows[:, : self.pilots.layout[0]])
                self._add_sums(sums, rows, groups[here], weights[here] if uneven else None)
                filled += len(rows)
                if filled == len(block):
                    self._multiply(block)
                    filled = 0
                start = stop
        if self._held is None:
            self._multiply(block[:filled])
            self._widen()
        else:
            self._n_held = filled
        self._count(groups, weights, lengths)

    def _prepare(self, sources: Sequence[Source], groups: IntArray) -> None:
        self.pilots.grow(int(groups.max()) + 1)
        if not self.pilots.known[groups].all():
            self._learn(sources, groups)
        self._grow(len(self.pilots.known))

    def _learn(self, sources: Sequence[Source], groups: IntArray) -> None:
        # `LEARN_ROWS` at a time, however they came: fewer would not tell the spread within groups.
        taken: list[Source] = []
        start = size = 0
        for parts, chosen in sources:
            length = n_chosen(chosen)
            for low in range(0, length, LEARN_ROWS):
                piece = within(chosen, slice(low, min(low + LEARN_ROWS, length)))
                taken, size = [*taken, (parts, piece)], size + n_chosen(piece)
                if size >= LEARN_ROWS:
                    self._learn_from(taken, groups[start : start + size])
                    taken, start, size = [], start + size, 0
        self._learn_from(taken, groups[start:])

    def _learn_from(self, sources: Sequence[Source], groups: IntArray) -> None:
        """Rows of groups that are known by now are not even copied."""
        fresh = ~self.pilots.known[groups]
        if not fresh.any():
            return
        picked: list[Source] = []
        start = 0
        for parts, chosen in sources:
            stop = start + n_chosen(chosen)
            wanted = np.flatnonzero(fresh[start:stop])
            picked.append((parts, chosen.start + wanted if isinstance(chosen, slice) else chosen[wanted]))
            start = stop
        self.pilots.learn(join(picked), groups[fresh])

    def _fill(
        self, rows: NDArray[Any], parts: Sequence[NDArray[Any]], chosen: slice | IntArray, groups: IntArray
    ) -> None:
        if len(parts) == 1:
            self.pilots.subtract(parts[0][chosen], rows, groups)
            return
        joined = np.empty(rows.shape, dtype=np.result_type(*parts))
        fill(joined, parts, chosen)
        self.pilots.subtract(joined, rows, groups)

    def _summed_in(self) -> NDArray[Any] | None:
        """Where sums of rows go, of the rows' precision; None where a list of all classes would outgrow the rows."""
        if self.pilots.dtype == np.float64:
            return self.sums
        if len(self.sums) > self.pilots.block_rows:
            return None
        if self._recent is None:
            self._recent = np.zeros(self.sums.shape, dtype=self.pilots.dtype)
        elif len(self._recent) < len(self.sums):
            self._recent = np.pad(self._recent, ((0, len(self.sums) - len(self._recent)), (0, 0)))
        return self._recent

    def _add_sums(
        self, sums: NDArray[Any] | None, rows: NDArray[Any], groups: IntArray, weights: FloatArray | None
    ) -> None:
        """Add rows that are still in the cache to the sums of their groups, then weigh them for the product."""
        if sums is not None and weights is None:
            add_to_groups(sums, rows, groups)
            return
        names, member = np.unique(groups, return_inverse=True)
        self.sums[names] += group_sums(rows, member, np.ones(len(rows)) if weights is None else weights, len(names))
        if weights is not None:
            rows *= np.sqrt(weights).astype(rows.dtype)[:, None]

    def _multiply(self, rows: NDArray[Any]) -> None:
        if len(rows) == 0:
            return
        if rows.dtype == np.float64:
            self.scatter = add_scatter(self.scatter, rows)
            return
        if self._product is None:
            self._product = self.pilots.product(shared=self._held is None)
        # BLAS sums a long product piece by piece, too: this is the same sum, of rows that are still in the cache.
        add_square(self._product, rows, kept=float(self._n_recent > 0))
        self._n_recent += len(rows)
        if self._n_recent >= self.pilots.block_rows:
            self._widen()

    def _widen(self) -> None:
        """Add what was summed in float32 to the sums in float64."""
        if self._product is not None and self._n_recent:
            for start in range(0, len(self._product), TRIANGLE_BLOCK):
                columns = slice(start, start + TRIANGLE_BLOCK)
                self.scatter[: columns.stop, columns] += self._product[: columns.stop, columns]
            self._n_recent = 0
        if self._recent is not None:
            self.sums[: len(self._recent)] += self._recent
            self._recent[...] = 0.0

    def _count(self, groups: IntArray, weights: FloatArray, lengths: NDArray[Any] | None = None) -> None:
        if len(self.counts) > 2 * len(groups):
            np.add.at(self.counts, groups, 1)
            np.add.at(self.weights, groups, weights)
            if lengths is not None:
                np.add.at(self.squares, groups, weights * lengths)
        else:
            self.counts += np.bincount(groups, minlength=len(self.counts))
            self.weights += np.bincount(groups, weights, len(self.counts))
            if lengths is not None:
                self.squares += np.bincount(groups, weights * lengths, len(self.counts))
        self.squared_weight += float(product(weights, weights))

    def settle(self) -> None:
        """Multiply the rows that are held; a scatter elsewhere brings its sums here."""
        if self._held is not None and self._n_held:
            self._multiply(self._held[: self._n_held])
            self._n_held = 0
        self._widen()

    def absorb(self, other: Scatter) -> None:
        """Add the sums of another scatter about the same pilots."""
        other.settle()
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
        self.settle()
        divisor = np.where(self.weights > 0, self.weights, 1.0)[:, None]
        shift = np.divide(self.sums, divisor, out=self.sums) if consume else self.sums / divisor
        layout = self.pilots.layout
        squares = self.squares - self.weights * squared_lengths(shift[:, : layout[0]])
        within = self.scatter if consume else self.scatter.copy(order="F")
        for start in range(0, len(shift), SHIFTED_AT_ONCE):
            part = slice(start, start + SHIFTED_AT_ONCE)
            within = add_scatter(within, shift[part] * np.sqrt(self.weights[part, None]), sign=-1.0)
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
            group_means=np.add(shift, self.pilots.rows[: len(shift)], out=shift),
            # Rounding can leave -1e-17 for a class without spread.
            group_squares=np.maximum(squares, 0.0),
            within=mirror(within),
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
        rows[:, column : column + part.shape[1]] = as_array(part[chosen], name="rows")
        column += part.shape[1]


def copied(part: Any, chosen: slice | IntArray) -> Any:
    """Chosen rows of an array or a tensor, which the caller may overwrite, in memory of their own."""
    piece = part[chosen]
    if not isinstance(chosen, slice):
        return piece
    return piece.copy() if isinstance(piece, np.ndarray) else piece.clone()


def join(sources: Sequence[Source]) -> FloatArray:
    """The rows of all sources as new float64 rows."""
    lengths = [n_chosen(chosen) for _, chosen in sources]
    rows = np.empty((sum(lengths), sum(part.shape[1] for part in sources[0][0])))
    start = 0
    for (parts, chosen), length in zip(sources, lengths, strict=True):
        fill(rows[start : start + length], parts, chosen)
        start += length
    return rows
