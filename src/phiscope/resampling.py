"""The shards of a measurement, and the measurement repeated without each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from phiscope.accumulator import FEWEST_SHARDS
from phiscope.arrays import FloatArray
from phiscope.jackknife import leave_one_out
from phiscope.moments import Moments

Result = TypeVar("Result")

NO_INTERVAL = {
    "alpha_req": "a fitted slope follows the sorted noise of a flat spectrum, and intervals were found to miss it",
    **dict.fromkeys(("srank", "output_rank", "output_rank_raw"), "it is a whole number, which has no standard error"),
}
"""Numbers without an interval, and why; see benchmarks/coverage.py."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampling(Generic[Result]):
    """The random shards of a measurement and how to measure without one of them; nothing is done before it is asked.

    Attributes:
        shards: moments of G disjoint random shards.
        measure: measures merged moments as the whole was measured.
    """

    shards: Sequence[Moments]
    measure: Callable[[Moments], Result]

    @property
    def enough(self) -> bool:
        """Whether an interval can be made from so many shards."""
        return len(self.shards) >= FEWEST_SHARDS

    @cached_property
    def shares(self) -> FloatArray:
        """Weight of each shard, shape (G,), sums to 1."""
        weights = np.array([shard.weight for shard in self.shards])
        return np.asarray(weights / weights.sum())

    @cached_property
    def without_each(self) -> list[Result]:
        """The measurement without each shard; costs as much as G measurements without their pass."""
        return [self.measure(part) for part in leave_one_out(self.shards)]
