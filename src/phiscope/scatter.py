"""Rows turned into a scatter matrix about pilot means: one symmetric product for each block, no second pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import ssyrk

from phiscope.arrays import FloatArray, IntArray, as_array
from phiscope.moments import Moments, add_scatter, group_sums, mirror
from phiscope.pilots import Pilots, squared_lengths

CACHE_BYTES = 2**19
"""Bytes that are cast, shifted and squared at a time: 512 KiB stay in the cache in between."""

LEARN_ROWS = 512
"""Rows of a block that decide pilots at a time."""

Source = tuple[Sequence[NDArray[Any]], slice | IntArray]
"""Arrays whose columns, joined, make rows, and which of their rows."""


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
        self._prepare(sources, groups)
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

    def _prepare(self, sources: Sequence[Source], groups: IntArray) -> None:
        self.pilots.grow(int(groups.max()) + 1)
        if not self.pilots.known[groups].all():
            self._learn(sources, groups)
        self._grow(len(self.pilots.known))

    def _learn(self, sources: Sequence[Source], groups: IntArray) -> None:
        if len(sources) > 1:
            self.pilots.learn(join(sources), groups)
            return
        # A block that comes as a whole is not copied as a whole.
        ((parts, chosen),) = sources
        for low in range(0, len(groups), LEARN_ROWS):
            here = slice(low, min(low + LEARN_ROWS, len(groups)))
            if not self.pilots.known[groups[here]].all():
                self.pilots.learn(join([(parts, within(chosen, here))]), groups[here])

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
        else:
            self.sums += group_sums(rows, groups, weights, n_groups)
            self.squares += np.bincount(groups, weights * lengths, n_groups)
        self._count(groups, weights)
        if (weights != 1.0).any():
            rows *= np.sqrt(weights).astype(rows.dtype)[:, None]
        if rows.dtype == np.float64:
            self.scatter = add_scatter(self.scatter, rows)
        else:
            product = ssyrk(1.0, rows.T, beta=0.0, c=self.pilots.product(), overwrite_c=1)
            np.add(self.scatter, product, out=self.scatter)

    def _count(self, groups: IntArray, weights: FloatArray) -> None:
        if len(self.counts) > 2 * len(groups):
            np.add.at(self.counts, groups, 1)
            np.add.at(self.weights, groups, weights)
        else:
            self.counts += np.bincount(groups, minlength=len(self.counts))
            self.weights += np.bincount(groups, weights, len(self.counts))
        self.squared_weight += float(weights @ weights)

    def settle(self) -> None:
        """Bring the sums here, if they are made elsewhere."""

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
