"""Which shard a sample goes to: at random, balanced, and together with what was sampled together with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.typing import IntArray

Deal = Callable[[NDArray[np.bool_], int], IntArray]
"""Given which rows of a batch count and how many shards there are, the shard of each row."""


class Dealer:
    """Deals to shards in random permutations of all of them: balanced, yet blind to any period in the data.

    Args:
        n_shards: shards to deal to.

    Example:
        >>> dealt = Dealer(4).rows(8)
        >>> sorted(dealt[:4].tolist()), sorted(dealt[4:].tolist())
        ([0, 1, 2, 3], [0, 1, 2, 3])
    """

    def __init__(self, n_shards: int) -> None:
        self._n_shards = n_shards
        # A generator of its own: the user's random state is not ours to touch.
        self._rng = np.random.default_rng(0)
        self._queue = np.empty(0, dtype=np.int64)

    def rows(self, n_rows: int) -> IntArray:
        """Shards of so many further samples; the same however they are cut into batches."""
        missing = n_rows - len(self._queue)
        if missing > 0:
            rounds = np.tile(np.arange(self._n_shards), (-(-missing // self._n_shards), 1))
            self._queue = np.concatenate([self._queue, self._rng.permuted(rounds, axis=1).ravel()])
        dealt, self._queue = self._queue[:n_rows], self._queue[n_rows:]
        return dealt

    def units(self, units: IntArray) -> IntArray:
        """Shards of rows of which those with the same number stay together, in this batch only."""
        names, member = np.unique(units, return_inverse=True)
        return self.rows(len(names))[member]

    def batch(self, counted: NDArray[np.bool_], units: IntArray | None) -> IntArray:
        """Shard of each row; rows that do not count draw none, so that they are the same as rows that never came.

        Args:
            counted: which rows have a weight above 0, shape (b,).
            units: see `units`; None where every row is a sample of its own.
        """
        shard = np.zeros(len(counted), dtype=np.int64)
        shard[counted] = self.rows(int(counted.sum())) if units is None else self.units(units[counted])
        return shard


class GroupDeal:
    """Groups dealt as wholes, also where their rows come in different batches.

    Shards are drawn in the order in which groups first count, as the pass over a network draws them for its inputs: the
    rows of its features with the inputs as groups give the same shards.

    Args:
        groups: the group of every row as a number from 0, shape (n,).

    Example:
        >>> deal = GroupDeal(np.array([0, 1, 0, 1]))
        >>> first, second = (deal.part(slice(at, at + 2))(np.ones(2, dtype=bool), 8) for at in (0, 2))
        >>> bool((first == second).all()), deal.n_groups
        (True, 2)
    """

    def __init__(self, groups: IntArray) -> None:
        self._groups = groups
        self._shard_of = np.full(int(groups.max(initial=-1)) + 1, -1, dtype=np.int64)
        self._dealer: Dealer | None = None

    @property
    def n_groups(self) -> int:
        """Groups that were dealt, or all of them where none was."""
        return int((self._shard_of >= 0).sum()) if self._dealer is not None else len(self._shard_of)

    def part(self, rows: slice) -> Deal:
        """How the rows from one index to another are dealt."""
        return partial(self._deal, self._groups[rows])

    def _deal(self, groups: IntArray, counted: NDArray[np.bool_], n_shards: int) -> IntArray:
        self._dealer = self._dealer or Dealer(n_shards)
        own = groups[counted]
        names, first = np.unique(own, return_index=True)
        fresh = self._shard_of[names] < 0
        names = names[fresh][np.argsort(first[fresh])]
        self._shard_of[names] = self._dealer.rows(len(names))
        shard: NDArray[Any] = np.zeros(len(groups), dtype=np.int64)
        shard[counted] = self._shard_of[own]
        return shard
