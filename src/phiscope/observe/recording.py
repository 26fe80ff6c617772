"""What both observers share: counting records and cost, late words, checkpoints, the header, the end of a training."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

from torch import Tensor, nn

from phiscope.errors import AlertError, InputError, RunError, named_kind
from phiscope.measurement.record import Measurement
from phiscope.network import FeatureMap
from phiscope.network.batch import Batch
from phiscope.network.hooks import deafened
from phiscope.network.isolation import isolated, put_back
from phiscope.observe.alerts import Alert
from phiscope.observe.decoding import class_names_of
from phiscope.observe.desk import OnError, desk_for
from phiscope.observe.listeners import Chosen, Listeners, chosen_listeners, listeners_of
from phiscope.observe.ranks import Watch, Writer
from phiscope.runs.opening import check_class_names
from phiscope.runs.units import read_moment
from phiscope.runs.writing import check_status
from phiscope.trackers import is_own

STATE_FORMAT = 1
"""Version of what `state_dict` gives."""

LONGEST_REASON = 500
"""So many letters of an exception's message are kept with the run."""


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

    @property
    def running(self) -> float:
        """Seconds since the `with` block that is open was entered."""
        return time.perf_counter() - self._entered

    def cost(self, records: int) -> ObserverCost:
        """What was added up, as a share of the time since the watch was made."""
        elapsed = max(time.perf_counter() - self._made, 1e-9)
        return ObserverCost(seconds=self._seconds, share=min(self._seconds / elapsed, 1.0), records=records)


def told_cost(cost: ObserverCost) -> dict[str, Any]:
    """The cost as a run keeps it."""
    return {"observer_seconds": round(cost.seconds, 3), "observer_share": round(cost.share, 4)}


def header_of(
    network: nn.Module,
    feature_map: FeatureMap,
    batch: Batch,
    splits: Iterable[str],
    own: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe a run.

    Args:
        network: unwrapped.
        feature_map: of the network.
        batch: the first of the probe data.
        splits: their names.
        own: what the caller tells, which stands above what is found.
    """
    own = dict(own or {})
    if own.get("class_names") is not None:
        with isolated(network):
            n_outputs = feature_map.rows(batch).n_outputs
        own["class_names"] = class_names_of(own["class_names"], n_outputs)
        check_class_names(own["class_names"], n_outputs)
    targets = batch.targets
    first = next((value for value in (*batch.args, *batch.kwargs.values()) if isinstance(value, Tensor)), None)
    shape = None if first is None else list(first.shape[1:])
    task = None if targets is None else "regression" if targets.is_floating_point() else "classification"
    return {
        "task": task,
        **feature_map.described(),
        "splits": list(splits),
        "initial_parameters": sum(p.numel() for p in network.parameters()),
        "input_shape": shape,
        "image": shape is not None and len(shape) == 3 and shape[0] in (1, 3),
        "class_names": None,
        **own,
    }


class Recording:
    """The common part of `Observer` and `PassiveObserver`; a context, which says at its end that the run is over."""

    trackers: Iterable[Any]
    pictures: str | int | Iterable[float] | None
    alerts: Iterable[Alert]
    resume: bool
    _watch: Watch
    _writer: Writer
    _network: nn.Module

    def _begin(self, *, background: bool, on_error: OnError) -> None:
        self._stopwatch = Stopwatch()
        self._desk = desk_for(background, on_error)
        self._closed = False
        self._measured = self._calls = 0
        self._latest: tuple[float, int | None] | None = None
        self._listeners = Listeners()

    def _chosen_listeners(self) -> Chosen:
        """Read what hears of records, before anything is written; what is wrong is wrong on all ranks."""
        # Another rank sends nothing, and a client given to it may be a stand-in.
        trackers = self.trackers if self._watch.writes else ()
        task = partial(chosen_listeners, trackers, self.pictures, self.alerts, self._watch.crews)
        return self._watch.crew.attempt(task, self._network)

    def _listen(self, chosen: Chosen, settings: Mapping[str, Any]) -> None:
        """Let trackers and alerts hear of records from now on; the run is open."""
        crew = self._watch.crew
        task = partial(listeners_of, self._writer, chosen, settings, self._watch.crews)
        self._listeners = crew.attempt(task, self._network)
        if self.resume and chosen.alerts and crew.exchange is not None:
            # The rank that writes knows the run; all have to stop together.
            self._listeners.past = crew.exchange.lent(self._listeners.past, 0)

    @property
    def should_stop(self) -> bool:
        """Whether an alert with then="stop" fired; with background=True that may be said one record later."""
        return self._listeners.should_stop

    @property
    def cost(self) -> ObserverCost:
        """What observing has cost so far, construction included."""
        return self._stopwatch.cost(self._measured)

    def note(self, *, epoch: float | None = None, step: int | None = None, **scalars: Any) -> None:
        """Store scalars that come late, or before the record of their epoch; nothing is measured.

        Args:
            epoch: of the record they belong to; None takes the step, else the last record.
            step: optimizer steps, where they tell records of one epoch apart.
            scalars: numbers, such as eval_loss=0.2; a name that is there already gets the new value.

        Raises:
            InputError: the observer is closed, a scalar or the epoch is not a number, or the step no whole one.
        """
        self._check_open()
        epoch, step = read_moment(epoch, step)
        if self._watch.idle:
            return
        numbers = as_numbers(scalars)
        at = step if epoch is None else epoch
        with self._stopwatch:
            self._desk.do(partial(self._writer.note, None if at is None else float(at), step, numbers))
            self._listeners.deliver()

    def state_dict(self) -> dict[str, Any]:
        """Where the training stands in the run, for a checkpoint: plain numbers and text; waits for what is on its way.

        `load_state_dict` of an observer with resume=True goes on from there, and what was recorded later stays in the
        run as a branch that the training left.
        """
        self._desk.wait()
        epoch, step = self._latest or (None, None)
        facts = {} if self._watch.idle else {"run": self._writer.header.get("id"), "record": self._writer.last_index}
        alerts = self._listeners.state()
        facts |= {"alerts": alerts} if alerts else {}
        return {"format": STATE_FORMAT, "epoch": epoch, "step": step, "calls": self._calls, **facts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was called.

        Args:
            state: what it returned.

        Raises:
            InputError: it is none of an observer.
            RunError: it belongs to another run, or this run does not have its last record.
        """
        calls, index, latest = _read_state(state)
        self._check_open()
        self._desk.wait()
        if not self._watch.idle and self._watch.writes:
            own, given = self._writer.header.get("id"), state.get("run")
            if given is not None and given != own:
                raise RunError(
                    f"the checkpoint belongs to the run with id {given}, and this observer writes {own}; make it with "
                    "resume=True and that run's folder, or leave its state out"
                )
            self._writer.go_on_from(index)
        self._listeners.load(state.get("alerts", ()))
        self._calls, self._latest = calls, latest

    def close(
        self,
        status: Literal["completed", "interrupted", "failed"] = "completed",
        results: Mapping[str, Any] | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        """Say how the training ended; a second call does nothing, unless Ctrl-C came into the first.

        Args:
            status: "completed", "interrupted" by somebody, or "failed".
            results: further text and numbers to keep with the run.
            reason: why it ended so, kept with the run.

        Raises:
            InputError: the status is none of the three.
            RunError: the last record or the end cannot be written, and on_error is "raise".
        """
        check_status(status)
        if self._closed or self._watch.idle:
            return
        end = partial(self._end, status, results, reason)
        try:
            with self._stopwatch:
                self._desk.close()
                self._listeners.deliver()
        except Exception:
            end()
            raise
        end()

    def _end(self, status: str, results: Mapping[str, Any] | None, reason: str | None) -> None:
        try:
            self._desk.now(partial(self._finish_run, status, results, reason))
        except Exception:
            self._let_go()
            raise
        self._let_go()

    def _let_go(self) -> None:
        self._writer.close()
        leave_nothing(self._network)
        self._closed = True

    def _finish_run(self, status: str, results: Mapping[str, Any] | None, reason: str | None) -> None:
        failures = self._listeners.close(status)
        self._writer.finish(status, {**told_cost(self.cost), **failures, **(results or {})}, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status, reason = how_it_ended(error)
        try:
            self.close(status, reason=reason)
        except KeyboardInterrupt:
            # The last record is still on its way; it is waited for once more.
            self.close("interrupted")
            raise
        except RunError as failure:
            if error is None:
                raise
            # What ended the training says more than the disk that could not keep it.
            warnings.warn(f"{failure}; the end of the run is not stored", stacklevel=2)
        except AlertError as failure:
            if error is None:
                raise
            warnings.warn(str(failure), stacklevel=2)

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("this observer is closed; make a new one with resume=True to go on with the run")

    def _position(self, epoch: float | None, step: int | None) -> float:
        """Where a record stands: at its epoch, else at its step, else after those before it."""
        position = float(self._calls if step is None else step) if epoch is None else float(epoch)
        self._calls += 1
        return position

    def _is_recorded(self, position: float, step: int | None) -> bool:
        """Whether the last record stands at this moment, so that what comes is a late word about it."""
        return self._latest is not None and self._latest[0] == position and step in (None, self._latest[1])

    def _store(
        self,
        position: float,
        step: int | None,
        job: Callable[[], None],
        measurements: Mapping[str, Measurement] | None = None,
    ) -> None:
        """Hand a record over, and what hears of it once it is stored."""
        self._desk.do(partial(self._kept, position, step, job, measurements or {}, self._stopwatch.running))
        self._latest = (position, step)
        self._listeners.deliver()

    def _kept(
        self,
        position: float,
        step: int | None,
        job: Callable[[], None],
        measurements: Mapping[str, Measurement],
        held: float,
    ) -> None:
        began = time.perf_counter()
        try:
            job()
        finally:
            # Also where the disk is full: a tracker may be the only place left to see it.
            if measurements and self._listeners.present:
                seconds = held + time.perf_counter() - began
                index = self._writer.last_index
                self._listeners.hear(position, step, measurements, index=index, seconds=seconds)


def _read_state(state: Any) -> tuple[int, int, tuple[float, int | None] | None]:
    """Calls, number of the last record, and its moment, of what `state_dict` gave; before anything is changed."""
    with suppress(TypeError, LookupError, ValueError, AttributeError, InputError):  # whatever it is, it is said below
        epoch, step = read_moment(state["epoch"], state["step"])
        calls, index = int(state["calls"]), int(state.get("record", -1))
        if state["format"] == STATE_FORMAT:
            return calls, index, None if epoch is None else (epoch, step)
    raise InputError(f"the state of an observer is what state_dict() gave, got {state!r:.80}")


def leave_nothing(network: nn.Module) -> None:
    """Put back what Ctrl-C left between the end of a block and its cleanup; no block may be open."""
    put_back(network)
    deafened(network)


def how_it_ended(error: BaseException | None) -> tuple[Literal["completed", "interrupted", "failed"], str | None]:
    """Status and reason by the exception that left an observer's block.

    Example:
        >>> how_it_ended(None), how_it_ended(KeyboardInterrupt()), how_it_ended(ValueError("no"))
        (('completed', None), ('interrupted', None), ('failed', 'ValueError: no'))
    """
    if error is None:
        return "completed", None
    if isinstance(error, Exception):
        return "failed", f"{type(error).__name__}: {error}"[:LONGEST_REASON]
    return "interrupted", None


def as_numbers(scalars: Mapping[str, Any]) -> dict[str, float]:
    """Read the caller's scalars; those that a framework hands back of what phiscope told its tracker are left out.

    Raises:
        InputError: one of them is not a number.
    """
    return {name: as_number(name, value) for name, value in scalars.items() if not is_own(name)}


def as_number(name: str, value: Any) -> float:
    """Read one number; tensors of one element count.

    Raises:
        InputError: it is something else.
    """
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the scalar {name!r} is {named_kind(value)}, not one number") from error
