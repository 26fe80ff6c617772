"""What observing costs the training, counted by the observer itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ObserverCost:
    """What observing has cost so far.

    Attributes:
        seconds: wall time for which the observer held the training up. On an accelerator, which works off a queue, the
            time that its own kernels take is not all in here; `benchmarks/overhead.py` measures whole steps.
        share: of the wall time since it was made, 0..1.
        records: number of records that were measured.
    """

    seconds: float
    share: float
    records: int


class Stopwatch:
    """Adds up the time inside its `with` blocks.

    Example:
        >>> watch = Stopwatch()
        >>> with watch:
        ...     pass
        >>> 0 <= watch.cost(records=0).share <= 1
        True
    """

    def __init__(self) -> None:
        self._made = time.perf_counter()
        self._seconds = 0.0
        self._entered = 0.0

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seconds += time.perf_counter() - self._entered

    def cost(self, records: int) -> ObserverCost:
        """What was added up, as a share of the time since the watch was made."""
        elapsed = max(time.perf_counter() - self._made, 1e-9)
        return ObserverCost(seconds=self._seconds, share=min(self._seconds / elapsed, 1.0), records=records)


def told_cost(cost: ObserverCost) -> dict[str, Any]:
    """The cost as a run keeps it."""
    return {"observer_seconds": round(cost.seconds, 3), "observer_share": round(cost.share, 4)}
