"""Moments of a part of the samples, on their way from one process to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from phiscope.arrays import FloatArray
from phiscope.moments import Moments, merge

STRIP = 64
"""Rows of a symmetric matrix that are packed at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Moments of some samples, in the same shards everywhere; merge two with `merge_parts`.

    It is sent with half of every symmetric matrix, and rows that float32 holds exactly are sent as float32.

    Attributes:
        shards: moments of each shard, None where no sample fell into it.
        reach: largest absolute value of each array.
        whole: the different values of float targets while they may be labels, else None.
        n_rows: rows read, with those of weight 0.
    """

    shards: tuple[Moments | None, ...]
    reach: Mapping[str, float]
    whole: frozenset[float] | None
    n_rows: int

    @property
    def n_samples(self) -> int:
        """Samples of positive weight."""
        return sum(shard.n_samples for shard in self.shards if shard is not None)

    def __sizeof__(self) -> int:
        # Schedulers move work to where the largest inputs lie, and would take an object of unknown size for small.
        arrays = (getattr(shard, row.name) for shard in self.shards if shard is not None for row in fields(Moments))
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (tuple(map(_pack, self.shards)), dict(self.reach), self.whole, self.n_rows)


def _unpacked(shards: tuple[Any, ...], reach: dict[str, float], whole: frozenset[float] | None, n_rows: int) -> Part:
    return Part(shards=tuple(map(_unpack, shards)), reach=reach, whole=whole, n_rows=n_rows)


def _pack(moments: Moments | None) -> tuple[Moments, FloatArray | None] | None:
    if moments is None:
        return None
    if moments.rows is not None:
        with np.errstate(over="ignore", under="ignore"):
            short = moments.rows.astype(np.float32)
        exact = np.array_equal(short, moments.rows)
        # Only on its way is it short; `_unpack` restores float64.
        return replace(moments, rows=short if exact else moments.rows), None  # type: ignore[arg-type]
    return replace(moments, within=None), pack_symmetric(np.asarray(moments.within))


def _unpack(packed: tuple[Moments, FloatArray | None] | None) -> Moments | None:
    if packed is None:
        return None
    moments, upper = packed
    if upper is None:
        return replace(moments, rows=np.asarray(moments.rows, dtype=np.float64))
    return replace(moments, within=unpack_symmetric(upper, sum(moments.layout[:3])))


def pack_symmetric(matrix: FloatArray) -> FloatArray:
    """The upper half of a symmetric matrix, strip by strip.

    LAPACK's packed format goes entry by entry: at d = 2048 it took 36 ms and 75 ms back, this takes 6 and 13.

    Args:
        matrix: shape (d, d).

    Example:
        >>> matrix = np.arange(200.0)[:, None] + np.arange(200.0)
        >>> packed = pack_symmetric(matrix)
        >>> packed.size / matrix.size, bool((unpack_symmetric(packed, 200) == matrix).all())
        (0.6544, True)
    """
    strips = [matrix[start : start + STRIP, start:] for start in range(0, len(matrix), STRIP)]
    return np.concatenate([strip.ravel() for strip in strips])


def unpack_symmetric(packed: FloatArray, width: int) -> FloatArray:
    """The matrix of shape (width, width) that `pack_symmetric` packed."""
    matrix = np.empty((width, width))
    at = 0
    for start in range(0, width, STRIP):
        stop = min(start + STRIP, width)
        size = (stop - start) * (width - start)
        strip = packed[at : at + size].reshape(stop - start, width - start)
        matrix[start:stop, start:], matrix[start:, start:stop] = strip, strip.T
        at += size
    return matrix


def merge_parts(first: Part | None, second: Part | None) -> Part | None:
    """The part that two parts make together: shard s with shard s, by `phiscope.moments.merge`.

    Args:
        first: one part, None for no samples.
        second: another, dealt to as many shards.
    """
    if first is None or second is None:
        return second if first is None else first
    shards = []
    for one, other in zip(first.shards, second.shards, strict=True):
        shards.append(merge(one, other) if one is not None and other is not None else other if one is None else one)
    whole = None if first.whole is None or second.whole is None else first.whole | second.whole
    return Part(
        shards=tuple(shards),
        reach={name: max(first.reach[name], second.reach[name]) for name in first.reach},
        whole=whole,
        n_rows=first.n_rows + second.n_rows,
    )
