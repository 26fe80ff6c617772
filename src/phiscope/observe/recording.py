"""What both observers do alike: count records and cost, and say how the training ended."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

from phiscope.errors import InputError
from phiscope.observe.cost import ObserverCost, Stopwatch, told_cost
from phiscope.observe.desk import Desk, desk_for
from phiscope.observe.ranks import Watch, Writer


class Recording:
    """The common part of `Observer` and `PassiveObserver`; a context, which says at its end that the run is over."""

    _watch: Watch
    _writer: Writer

    def _begin(self, *, background: bool) -> None:
        self._stopwatch = Stopwatch()
        self._desk: Desk = desk_for(background)
        self._closed = False
        self._measured = self._calls = 0

    @property
    def cost(self) -> ObserverCost:
        """What observing has cost so far, construction included."""
        return self._stopwatch.cost(self._measured)

    def close(
        self,
        status: Literal["completed", "interrupted"] = "completed",
        results: Mapping[str, Any] | None = None,
    ) -> None:
        """Say how the training ended; a second call does nothing.

        Args:
            status: "completed" or "interrupted".
            results: further text and numbers to keep with the run.
        """
        if self._closed or self._watch.idle:
            return
        self._closed = True
        try:
            with self._stopwatch:
                self._desk.wait()
        finally:
            self._writer.finish(status, {**told_cost(self.cost), **(results or {})})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("completed" if kind is None else "interrupted")

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("this observer is closed; make a new one with resume=True to go on with the run")

    def _position(self, epoch: float | None, step: int | None) -> float:
        """Where a record stands: at its epoch, else at its step, else after those before it."""
        position = float(self._calls if step is None else step) if epoch is None else float(epoch)
        self._calls += 1
        return position
