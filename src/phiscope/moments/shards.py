"""Samples dealt to disjoint random shards: how many shards there are, and what each keeps of its samples.

Few rows are kept as they are, more become scatter matrices.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from threading import RLock
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from phiscope.inputs.settings import check_flag
from phiscope.moments.moments import Layout, Moments, fold, moments_from_rows
from phiscope.moments.pilots import Pilots
from phiscope.moments.scatter import Scatter, Source, copied, join, within
from phiscope.typing import FloatArray, IntArray

SHARDS = 20
"""Disjoint shards that intervals are made from: enough for a t interval of 19 degrees of freedom."""

FEWEST_SHARDS = 8
"""With fewer shards than this no interval is made: it would be too rough to print."""

HALVES = 2
"""Shards where no more fit: enough to correct for the size of the sample, too few for an interval."""

SHARD_MEMORY = 2**26
"""Bytes that the sums of all shards may take together when nobody asked for intervals."""

LAYERS_SHARD_MEMORY = 2**30
"""Bytes that the sums of all shards of all layers may take together."""

MOST_SHARD_MEMORY = 2**30
"""Bytes that the sums of all shards may come to take with classes that occur late; then two halves have to do."""

PART_BYTES = 3 * 2**27
"""Bytes that the matrices of all shards of one chunk may take: a worker holds about four such parts for each thread."""


def shards_within(memory: int, each: int, *, least: int, most: int) -> int:
    """How many shards fit: at most 20; where fewer than 8 fit no interval can be made, and between two bounds remain.

    Args:
        memory: bytes there are.
        each: bytes that one shard takes.
        least: so many are gathered even where they do not fit.
        most: and so many where there will be no interval.

    Example:
        >>> [shards_within(100, each, least=1, most=2) for each in (1, 10, 20, 90, 200)]
        [20, 10, 2, 1, 1]
    """
    room = min(SHARDS, memory // each)
    return int(room) if room >= FEWEST_SHARDS else max(least, min(int(room), most))


def shards_for(width: int, n_groups: int = 1) -> int:
    """How many shards are gathered unless a number is asked for: what fits into 64 MiB, at most 20, at least 2.

    Args:
        width: columns of a row.
        n_groups: classes, each of which takes a row of sums.

    Example:
        >>> shards_for(512), shards_for(900), shards_for(2048)
        (20, 10, 2)
    """
    return shards_within(SHARD_MEMORY, 8 * width * (width + n_groups), least=HALVES, most=HALVES)


def outgrown(memory: int, width: int, n_groups: int, n_shards: int) -> bool:
    """Whether the sums of classes in so many shards take more than there is, so that two halves have to do.

    What the matrices take was decided when the number of shards was; only classes that occur late can add to it.

    Args:
        memory: bytes there are.
        width: columns of a row.
        n_groups: classes by now, each of which takes a row of sums in every shard.
        n_shards: how many there are.

    Example:
        >>> outgrown(2**30, 768, 5_000, 20), outgrown(2**30, 768, 20_000, 20), outgrown(2**30, 768, 20_000, 2)
        (False, True, False)
    """
    return n_shards > HALVES and 8 * width * n_groups * n_shards > memory


def shards_of_chunks(width: int) -> int:
    """How many shards chunks are dealt to: what fits into `PART_BYTES`, at most 20; 2 where 8 do not fit, or 1.

    Args:
        width: columns of features, outputs and regression targets together.

    Example:
        >>> shards_of_chunks(512), shards_of_chunks(2048), shards_of_chunks(4096), shards_of_chunks(8192)
        (20, 12, 2, 1)
    """
    return shards_within(PART_BYTES, 8 * width**2, least=1, most=HALVES)


def shards_for_all(widths: Sequence[int]) -> int:
    """How many shards every layer can have when all share the memory set aside for shards; 1 when too few.

    Example:
        >>> shards_for_all([512]), shards_for_all([512] * 50), shards_for_all([4096] * 3)
        (20, 10, 1)
    """
    return shards_within(LAYERS_SHARD_MEMORY, sum(8 * width**2 for width in widths), least=1, most=1)


def shards_asked(intervals: bool | None) -> int | None:
    """The number of shards for a wish: True all, False none, None what fits.

    Example:
        >>> shards_asked(True), shards_asked(False), shards_asked(None)
        (20, 1, None)
    """
    check_flag(intervals, name="intervals", otherwise="those that fit into memory")
    return None if intervals is None else SHARDS if intervals else 1


PILOT_ROWS = 512
"""At least so many rows decide the pilots."""

Block = tuple[Source, IntArray, FloatArray]
"""Rows in the precision they came in, their groups and weights."""


class Stream:
    """Rows of one shard; at most max(p, 512) of them are ever held besides one block.

    Args:
        pilots: shared by all shards.
        block_rows: rows gathered before they are added to the scatter; None as many as make one product.
        make: makes a scatter; one that holds rows itself is handed every batch as it comes.
    """

    def __init__(self, pilots: Pilots, block_rows: int | None, make: Callable[[Pilots], Scatter] = Scatter) -> None:
        self.pilots = pilots
        self._make = make
        self.scatter: Scatter | None = None
        self.pending: list[Block] = []
        self._block_rows = block_rows or pilots.block_rows
        self._n_pending = 0

    @property
    def _enough(self) -> int:
        """Rows from which on a scatter takes less memory than they do."""
        return max(self.pilots.layout[0], PILOT_ROWS) + 1

    @property
    def n_samples(self) -> int:
        """Rows added so far."""
        return self._n_pending + (0 if self.scatter is None else int(self.scatter.counts.sum()))

    def add(
        self, parts: Sequence[NDArray[Any]], chosen: slice | IntArray, groups: IntArray, weights: FloatArray
    ) -> None:
        """Add chosen rows of the parts; `groups` and `weights` belong to the chosen rows."""
        if self.scatter is None and not self.pending and len(groups) >= self._enough:
            # Rows that come all at once are not kept first.
            self.scatter = self._make(self.pilots)
        for piece in pieces(len(groups), self.pilots.block_rows):
            self._add(parts, within(chosen, piece), groups[piece], weights[piece])

    def _add(
        self, parts: Sequence[NDArray[Any]], chosen: slice | IntArray, groups: IntArray, weights: FloatArray
    ) -> None:
        enough = self._enough
        if self.scatter is not None:
            enough = 1 if self.scatter.holds else self._block_rows // 2
        if not self.pending and len(groups) >= enough:
            self.scatter = self.scatter or self._make(self.pilots)
            self.scatter.add([(parts, chosen)], groups, weights)
            return
        # Copies: the caller may use the memory of a batch again.
        copies = [copied(part, chosen) for part in parts]
        self.pending.append(((copies, slice(0, len(groups))), groups, weights))
        self._n_pending += len(groups)
        if self._n_pending >= (enough if self.scatter is None else self._block_rows):
            self.scatter = self.scatter or self._make(self.pilots)
            self.flush()

    def absorb(self, other: Stream) -> None:
        """Take over all rows of another stream about the same pilots."""
        other.flush()
        if other.scatter is not None:
            if self.scatter is None:
                self.scatter, other.scatter = other.scatter, None
            else:
                self.scatter.absorb(other.scatter)
        self.pending += other.pending
        self._n_pending += other._n_pending
        self.flush()

    def flush(self) -> None:
        """Add the pending rows to the scatter, if there is one."""
        if self.scatter is not None and self.pending:
            add_blocks(self.scatter, self.pending)
            self.pending, self._n_pending = [], 0

    def moments(self, *, consume: bool = False) -> Moments:
        """The moments so far; more rows may follow unless the memory of the sums is consumed."""
        if self.scatter is not None:
            self.flush()
            return self.scatter.moments(consume=consume)
        return rows_as_moments(self.pilots.layout, self.pending)


def pieces(n_rows: int, most: int) -> Iterator[slice]:
    """Slices of nearly equal length, at most `most`: a short last block would be a slow product."""
    count = -(-n_rows // most)
    bounds = [n_rows * index // count for index in range(count + 1)] if count else []
    return (slice(low, high) for low, high in pairwise(bounds))


def add_blocks(scatter: Scatter, blocks: Sequence[Block]) -> None:
    """Add blocks that each have the rows of one product at most, several of them at a time."""
    taken: list[Block] = []
    size = 0
    for block in blocks:
        if size + len(block[1]) > 2 * scatter.pilots.block_rows and taken:
            scatter.add([source for source, _, _ in taken], *_labels(taken))
            taken, size = [], 0
        taken.append(block)
        size += len(block[1])
    if taken:
        scatter.add([source for source, _, _ in taken], *_labels(taken))


def _labels(blocks: Sequence[Block]) -> tuple[IntArray, FloatArray]:
    """Groups and weights of several blocks as one."""
    if len(blocks) == 1:
        return blocks[0][1:]
    return np.concatenate([groups for _, groups, _ in blocks]), np.concatenate([weights for *_, weights in blocks])


def rows_as_moments(layout: Layout, blocks: list[Block]) -> Moments:
    """Moments that keep their rows while there are at most p of them."""
    rows, (groups, weights) = join([source for source, _, _ in blocks]), _labels(blocks)
    moments = moments_from_rows(layout, rows, groups, weights, int(groups.max()) + 1)
    return fold(moments) if len(rows) > layout[0] else moments


class Streams:
    """One stream for each shard, about common pilots, so that their total is a sum.

    Args:
        layout: p, C, c and whether targets are classes.
        n_shards: number of streams.
        block_rows: rows that a stream gathers before they are added to its scatter; None as many as make one product.
        dtype: of the products.
        make: makes a scatter; the default multiplies here, with NumPy's arrays.
    """

    def __init__(
        self,
        layout: Layout,
        n_shards: int,
        block_rows: int | None,
        dtype: type[np.floating[Any]] = np.float64,
        make: Callable[[Pilots], Scatter] = Scatter,
    ) -> None:
        self._layout = layout
        self._pilots = Pilots(layout, dtype)
        self._streams = [Stream(self._pilots, block_rows, make) for _ in range(n_shards)]
        self._lent: weakref.ref[ShardMoments] | None = None

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def n_samples(self) -> int:
        """Rows added so far."""
        return sum(stream.n_samples for stream in self._streams)

    def add(
        self, parts: Sequence[NDArray[Any]], groups: IntArray, weights: FloatArray, shards: IntArray | None
    ) -> None:
        """Hand each row of positive weight to its shard."""
        self._settle_lent()
        counted = weights > 0
        if shards is None and counted.all():
            self._streams[0].add(parts, slice(0, len(groups)), groups, weights)
            return
        for index, stream in enumerate(self._streams):
            chosen = np.flatnonzero(counted if shards is None else counted & (shards == index))
            if len(chosen):
                stream.add(parts, chosen, groups[chosen], weights[chosen])

    def fold(self, n_shards: int) -> None:
        """Merge shard i into shard i mod n_shards, where rows of shard i belong from now on."""
        self._settle_lent()
        while len(self._streams) > n_shards:
            last = self._streams.pop()
            self._streams[len(self._streams) % n_shards].absorb(last)

    def _settle_lent(self) -> None:
        lent = None if self._lent is None else self._lent()
        if lent is not None:
            lent.settle()

    def total(self, *, consume: bool = False) -> Moments:
        """Moments of all shards together; `consume` gives the memory of a single one away, after which no rows come."""
        started = [stream for stream in self._streams if stream.scatter is not None]
        if not started:
            return rows_as_moments(self._layout, [block for stream in self._streams for block in stream.pending])
        if len(self._streams) == 1:
            return started[0].moments(consume=consume)
        total = Scatter(self._pilots)
        for stream in self._streams:
            stream.flush()
            if stream.scatter is not None:
                total.absorb(stream.scatter)
            elif stream.pending:
                add_blocks(total, stream.pending)
        return total.moments(consume=True)

    def shards(self, named: Naming, total: Moments | None = None, *, consume: bool = False) -> ShardMoments:
        """Moments of the shards that hold samples, each made when it is first read.

        Args:
            named: says of moments what all of them share; see `Naming`.
            total: moments of all shards, which are those of the only one.
            consume: give their memory away, after which no rows come.
        """
        if total is not None and len(self) == 1:
            return ShardMoments([], named, [total])
        lent = ShardMoments([stream for stream in self._streams if stream.n_samples], named, consume=consume)
        self._lent = weakref.ref(lent)
        return lent


Naming = Callable[[Moments], Moments]
"""Gives moments what streams do not know: classes, those that did not occur included, and how outputs were rounded."""


class ShardMoments(Sequence[Moments]):
    """Moments of disjoint shards; nothing is computed before it is read, and later batches do not change it."""

    def __init__(
        self, streams: list[Stream], named: Naming, known: Sequence[Moments] = (), *, consume: bool = False
    ) -> None:
        self._streams: list[Stream | None] | None = list(streams) or None
        self._consume, self._lock = consume, RLock()
        self._moments: list[Moments | None] = [*known] or [None] * len(streams)
        self._named = named

    def __len__(self) -> int:
        return len(self._moments)

    @overload
    def __getitem__(self, index: int) -> Moments: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Moments]: ...
    def __getitem__(self, index: int | slice) -> Moments | Sequence[Moments]:
        """One shard, or several as a tuple."""
        if isinstance(index, slice):
            return tuple(self[one] for one in range(*index.indices(len(self))))
        # One thread at a time: a stream gives its memory away only once.
        with self._lock:
            known = self._moments[index]
            if known is None:
                known = self._moments[index] = self._made(index)
        return known

    def _made(self, index: int) -> Moments:
        stream = None if self._streams is None else self._streams[index]
        if self._streams is None or stream is None:
            raise IndexError(index)
        moments = stream.moments(consume=self._consume)
        if self._consume:
            self._streams[index] = None
        return self._named(moments)

    def settle(self) -> None:
        """Compute every shard now and let go of the streams."""
        for index in range(len(self)):
            self[index]
        self._streams = None
