"""Whether batches come twice: each worker of a loader reads all of an IterableDataset unless that gives it a part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

REPEATED = (
    "the first two batches are the same bit for bit, so that samples count more than once and intervals are "
    "too narrow; where workers of a loader read an IterableDataset, let each read its own part "
    "(torch.utils.data.get_worker_info), or take num_workers=0"
)


class Repeats:
    """Looks at the first two batches as they pass: with several workers they come from two of them.

    Attributes:
        doubts: `REPEATED` once the two were the same; empty else, also where nothing can be compared.

    Example:
        >>> repeats, batch = Repeats(), np.arange(6.0).reshape(3, 2)
        >>> len(list(repeats.watch([batch, batch.copy(), batch + 1]))), repeats.doubts == (REPEATED,)
        (3, True)
    """

    def __init__(self) -> None:
        self.doubts: tuple[str, ...] = ()

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches."""
        first: list[Any] | None = None
        for index, batch in enumerate(batches):
            if index == 0:
                first = list(_arrays(batch))
            elif index == 1 and first is not None:
                self.doubts = (REPEATED,) if _same(first, list(_arrays(batch))) else ()
                first = None
            yield batch


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _arrays(part)
    elif isinstance(value, Tensor | np.ndarray) and value.ndim > 0:
        yield value


def _same(first: list[Any], second: list[Any]) -> bool:
    """Whether two batches hold equal arrays in memory of their own: a buffer that is filled anew looks like both."""
    # Of single samples two may well be alike.
    if not first or len(first) != len(second) or len(first[0]) < 2:
        return False
    return all(map(_equal, first, second))


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or one.shape != other.shape or one.dtype != other.dtype:
        return False
    if isinstance(one, Tensor):
        return one.device == other.device and one.data_ptr() != other.data_ptr() and one.equal(other)
    return not np.shares_memory(one, other) and bool(np.array_equal(one, other))
