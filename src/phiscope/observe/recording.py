"""What both observers share: cost, thread, header, scalars, and how a training ended.

Their common part is `Recording`. It counts what observing costs the training, and has a desk where records are
finished, diagonalized and written, at once or on a thread of its own. The header says what a run is about as far as the
network and its probe data show it; the caller's own numbers are stored beside what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from torch import Tensor, nn

from phiscope.errors import InputError
from phiscope.network import FeatureMap
from phiscope.network.batch import Batch
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


class Desk(Protocol):
    """Finishes records in the order they come."""

    def do(self, job: Callable[[], None]) -> None:
        """Finish a record, now or soon."""

    def wait(self) -> None:
        """Return when every record is finished; an error of one is raised here at the latest."""


class Inline:
    """Finishes each record before the training goes on."""

    def do(self, job: Callable[[], None]) -> None:
        """Do it now."""
        job()

    def wait(self) -> None:
        """Nothing is left to do."""


class Background:
    """Finishes records on one thread of its own, at most one behind: what waits keeps p x p arrays alive."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def do(self, job: Callable[[], None]) -> None:
        """Wait for the record before this one, then hand this one over."""
        self.wait()
        # A daemon would be cut off in the middle of a file; this thread is joined when the interpreter ends.
        self._thread = self._thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="phiscope-observer")
        self._last = self._thread.submit(job)

    def wait(self) -> None:
        """Wait for the last record, and raise what went wrong with it."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


def desk_for(background: bool) -> Desk:
    """The desk that an observer asks for."""
    return Background() if background else Inline()


def header_of(network: nn.Module, feature_map: FeatureMap, batch: Batch, splits: Iterable[str]) -> dict[str, Any]:
    """Describe a run.

    Args:
        network: unwrapped.
        feature_map: of the network.
        batch: the first of the probe data.
        splits: their names.
    """
    found, targets = feature_map.found, batch.targets
    first = next((value for value in (*batch.args, *batch.kwargs.values()) if isinstance(value, Tensor)), None)
    shape = None if first is None else list(first.shape[1:])
    task = None if targets is None else "regression" if targets.is_floating_point() else "classification"
    return {
        "task": task,
        "model": type(network).__name__,
        "head": f"{found.name or 'the model itself'} ({found.module}), {found.layout}",
        "splits": list(splits),
        "initial_parameters": sum(p.numel() for p in network.parameters()),
        "input_shape": shape,
        "image": shape is not None and len(shape) == 3 and shape[0] in (1, 3),
        "class_names": None,
    }


def as_number(name: str, value: Any) -> float:
    """Read one number; tensors of one element count.

    Raises:
        InputError: it is something else.
    """
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the scalar {name!r} is a {type(value).__name__}, not one number") from error
