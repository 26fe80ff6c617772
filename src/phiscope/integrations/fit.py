"""One training as a framework runs it, the observer that goes with it, and its end."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import torch.distributed as dist
from torch import nn

from phiscope.distributed.exchange import ProcessGroupExchange
from phiscope.errors import InputError, NonFiniteError, PhiscopeError
from phiscope.integrations.folders import folder_of, free_folder, last_folder
from phiscope.measurement.record import Measurement
from phiscope.observe import Alert, Observer
from phiscope.observe.recording import as_number, how_it_ended
from phiscope.observe.schedule import picture_schedule, schedule, steps_schedule
from phiscope.observe.settings import check_settings, check_values
from phiscope.runs import open_run

_TAKEN = frozenset({"model", "probe_data", "run", "resume", "trackers", "header"})
_KNOWN = tuple(row for row in dataclasses.fields(Observer) if row.name not in _TAKEN)

AGAIN = "the framework began the training again"
UNSAID = "the training ended without a word to its callbacks: an exception, or the process was left"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a user chose for a framework's observer.

    Attributes:
        probe_data: None takes the framework's own validation data.
        run: name of the run's folder.
        resume: go on with the last run of that name, also where no checkpoint says so.
        trackers: None takes those that the framework logs to.
        header: what to tell about the run, beside what the framework knows.
        settings: of `Observer`, by their names.
    """

    probe_data: Any
    run: str | os.PathLike[str]
    resume: bool = False
    trackers: Iterable[Any] | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def checked(
        cls, probe_data: Any, run: Any, resume: bool, trackers: Any, header: Any, settings: Mapping[str, Any]
    ) -> Choices:
        """Read them before the training begins.

        Raises:
            InputError: a setting that observers do not have, or whose value cannot be used.
        """
        check_settings(settings, {row.name for row in _KNOWN}, "an observer")
        check_values({**settings, "run": run, "header": header})
        # What gives its epochs once would have none left for the observer.
        settings = {name: list(value) if isinstance(value, Iterator) else value for name, value in settings.items()}
        if settings.get("every_steps") is None:
            schedule(settings.get("every", "epoch"))
        else:
            steps_schedule(settings["every_steps"])
        picture_schedule(settings.get("pictures"))
        free_folder(run)
        return cls(
            probe_data=probe_data,
            run=run,
            resume=resume,
            trackers=trackers,
            header=dict(header or {}),
            settings=dict(settings),
        )

    @property
    def by_steps(self) -> bool:
        """Whether records stand at optimizer steps."""
        return self.settings.get("every_steps") is not None


def observer_signature(*first: inspect.Parameter, last: inspect.Parameter | None = None) -> inspect.Signature:
    """The signature of a framework's observer: its own parameters, the settings of `Observer`, one of the framework."""
    kind = inspect.Parameter.KEYWORD_ONLY
    settings = [inspect.Parameter(row.name, kind, default=row.default, annotation=row.type) for row in _KNOWN]
    own = [
        inspect.Parameter("run", kind, annotation="str | PathLike[str]"),
        inspect.Parameter("resume", kind, default=False, annotation="bool"),
        inspect.Parameter("trackers", kind, default=None, annotation="Iterable[Any] | None"),
        inspect.Parameter("header", kind, default=None, annotation="Mapping[str, Any] | None"),
    ]
    probe = inspect.Parameter("probe_data", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation="Any")
    return inspect.Signature([*first, probe, *own, *settings, *([] if last is None else [last])])


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a framework knows when a training begins.

    Attributes:
        network: what is trained.
        probe_data: what to measure.
        facts: for the run's header.
        trackers: those that the framework logs to.
        trial: name of the trial in a sweep.
        state: of the observer, from the checkpoint that the training goes on from.
        settings: of `Observer` that the framework's own say; the user's come first.
    """

    network: nn.Module
    probe_data: Any
    facts: Mapping[str, Any]
    trackers: Iterable[Any] = ()
    trial: str | None = None
    state: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Fit:
    """One training, and the observer that goes with it.

    A network that turns NaN does not end a framework's training here: its record has no numbers, and that is said once.

    Args:
        choices: of the user.

    Attributes:
        observer: of the training that runs or ran last; None before the first.
        measurement: of the last record, None where none was due or possible.
    """

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.observer: Observer | None = None
        self.measurement: Measurement | None = None
        self._open = False
        self._late: dict[str, Any] = {}
        self._last: tuple[float | None, int | None] | None = None
        self._warned = False

    @property
    def path(self) -> Path | None:
        """Folder of the run; None before a training began."""
        return None if self.observer is None else Path(self.observer.run)

    @property
    def is_open(self) -> bool:
        """Whether a training runs."""
        return self._open

    @property
    def last(self) -> tuple[float | None, int | None] | None:
        """Epoch and step of the last record."""
        return self._last

    def begin(self, start: Start) -> None:
        """Make the observer of a training; one that still runs has failed then."""
        if self._open:
            self.end("failed", AGAIN)
        folder, resume, state = self._place(start)
        choices = self.choices
        self._late, self._last, self._warned = {}, None, False
        self.observer = Observer(
            start.network,
            start.probe_data,
            run=folder,
            resume=resume,
            header={**start.facts, **choices.header},
            trackers=tuple(start.trackers if choices.trackers is None else choices.trackers),
            **{**start.settings, **choices.settings},
        )
        self._open = True
        # Whatever ends the process, the run says that the training did not end by itself.
        self._finalizer = weakref.finalize(self, _left, self.observer, _last_error())
        if state is not None:
            self.observer.load_state_dict(state)
            self._last = (state["epoch"], state["step"])
        elif resume:
            # Where the training goes on just there, the same state is not measured twice.
            self._last = _from_first_rank(lambda: _last_moment(folder))

    def _place(self, start: Start) -> tuple[Path, bool, Mapping[str, Any] | None]:
        """The folder, whether a run goes on there, and from which state."""
        choices, state = self.choices, start.state
        if state is not None:
            # Ranks that do not write know no run; their folder is never used.
            found = folder_of(choices.run, start.trial, state.get("run")) if state.get("run") else Path(choices.run)
            if found is not None:
                return found, True, state
            warnings.warn(
                f"the checkpoint belongs to a run of phiscope that is not at {os.fspath(choices.run)!r}; a new run "
                "begins, and features are compared with those of the checkpoint",
                stacklevel=2,
            )
        if choices.resume:
            return last_folder(choices.run, start.trial), True, None
        return free_folder(choices.run, start.trial), False, None

    def epochs_at(self, step: int) -> int:
        """Whole epochs that the run has at a step, on any branch: a checkpoint may be older than the record."""
        path = self.path
        return int(_from_first_rank(lambda: 0 if path is None else _epochs_at(path, step)))

    def due(self, epoch: float | None, step: int | None) -> bool:
        """Whether a step is due; never where records stand at epochs."""
        observer = self.observer
        return self._open and observer is not None and self.choices.by_steps and observer.is_due(epoch=epoch, step=step)

    def record(self, epoch: float | None, step: int | None, scalars: Mapping[str, Any] | None = None) -> bool:
        """Record this moment, with the scalars that came since the last.

        Returns:
            Whether the framework is asked to stop; the same on all ranks.
        """
        observer = self.observer
        if not self._open or observer is None:
            return False
        if (epoch, step) == self._last:
            self.hear(scalars or {}, epoch, step)
            return self._asked_to_stop(observer)
        numbers = {**self._late, **plain_scalars(scalars or {})}
        self._late, self._last, self.measurement = {}, (epoch, step), None
        try:
            self.measurement = observer.record(epoch=epoch, step=step, **numbers)
        except NonFiniteError as error:
            if not self._warned:
                warnings.warn(f"{error}; such records have no numbers, and the training goes on", stacklevel=2)
            self._warned = True
        return self._asked_to_stop(observer)

    def _asked_to_stop(self, observer: Observer) -> bool:
        alerts = observer.alerts
        stops = any(alert.then == "stop" for alert in ([alerts] if isinstance(alerts, Alert) else alerts))
        if not stops or not _several_ranks():
            return observer.should_stop
        # A rank that does not observe knows of no alert, and a rank that stops alone leaves the others waiting.
        return bool(ProcessGroupExchange().total(np.array([int(observer.should_stop)]))[0])

    def wait(self, scalars: Mapping[str, Any]) -> None:
        """Keep scalars for the next record."""
        self._late.update(plain_scalars(scalars))

    def hear(self, scalars: Mapping[str, Any], epoch: float | None, step: int | None) -> None:
        """Take scalars of a moment: those of the last record join it, others wait for the next."""
        numbers = plain_scalars(scalars)
        if not numbers or not self._open or self.observer is None:
            return
        if self._last is not None and (epoch, step) == self._last:
            self.observer.note(epoch=epoch, step=step, **numbers)
        else:
            self._late.update(numbers)

    def state(self) -> dict[str, Any] | None:
        """For the framework's checkpoint; None where nothing is observed."""
        return None if self.observer is None else self.observer.state_dict()

    def end(self, status: Literal["completed", "interrupted", "failed"], reason: str | None = None) -> None:
        """Say how the training ended; an error of ours never stands in the way of the training's own."""
        observer = self.observer
        if not self._open or observer is None:
            return
        self._open = False
        self._finalizer.detach()
        try:
            if self._late and self._last is not None:
                observer.note(**self._late)
            observer.close(status, reason=reason)
        except PhiscopeError as error:
            if status == "completed":
                raise
            warnings.warn(f"{error}; the end of the run is not stored", stacklevel=2)


class ObservesFits:
    """What the callbacks of the frameworks share: their settings, the training that runs, and a block around it.

    Args:
        probe_data: what to measure, see `Observer`; None takes the framework's own validation data.
        run: name of the run's folder.
        resume: go on with the last run of that name.
        trackers: see `Observer`; None takes those that the framework logs to.
        header: see `Observer`.
        settings: of `Observer`, by their names.
    """

    def __init__(
        self,
        probe_data: Any = None,
        *,
        run: str | os.PathLike[str],
        resume: bool = False,
        trackers: Iterable[Any] | None = None,
        header: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._fit = Fit(Choices.checked(probe_data, run, resume, trackers, header, settings))

    @property
    def observer(self) -> Observer | None:
        """The observer of the training that runs or ran last."""
        return self._fit.observer

    @property
    def path(self) -> Path | None:
        """Folder of the run; None before a training began."""
        return self._fit.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fit.end(*how_it_ended(error))


def _several_ranks() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _from_first_rank(read: Callable[[], Any]) -> Any:
    """What rank 0 reads: it has the run's folder."""
    if not _several_ranks():
        return read()
    return ProcessGroupExchange().lent(read() if dist.get_rank() == 0 else None, 0)


def _last_moment(folder: Path) -> tuple[float, int | None] | None:
    records = open_run(folder, looks=False).records
    return (records[-1].epoch, records[-1].step) if records else None


def _epochs_at(folder: Path, step: int) -> int:
    run = open_run(folder, looks=False)
    lines = [run.branch(branch) for branch in run.branches]
    return max((int(record.epoch) for line in lines for record in line.records if record.step == step), default=0)


def _left(observer: Observer, before: BaseException | None) -> None:
    """Nobody said how the training ended, and its callback is gone, or the process ends."""
    error = _last_error()
    status, reason = ("failed", UNSAID) if error is before else how_it_ended(error)
    try:
        observer.close(status, reason=reason)
    except PhiscopeError as failure:
        warnings.warn(f"{failure}; the end of the run is not stored", stacklevel=2)


def _last_error() -> BaseException | None:
    """The exception that Python has reported last because nobody caught it, if there was one."""
    return getattr(sys, "last_value", None)


def plain_scalars(scalars: Mapping[str, Any]) -> dict[str, Any]:
    """What of a framework's log is one number; names that mean the moment itself are left out.

    Example:
        >>> plain_scalars({"loss": 0.5, "epoch": 2.0, "note": "fine", "grad": [1, 2]})
        {'loss': 0.5}
    """
    kept: dict[str, Any] = {}
    for name, value in scalars.items():
        if name in ("epoch", "step", "self"):
            continue
        try:
            kept[str(name)] = as_number(str(name), value)
        except InputError:
            # Frameworks log text and lists, too; a run has a place for numbers.
            continue
    return kept


def whole(epoch: float) -> float:
    """An epoch that a framework counted in fractions, without its rounding.

    Example:
        >>> whole(2.9999999996), whole(0.25)
        (3.0, 0.25)
    """
    nearest = float(round(epoch))
    return nearest if math.isclose(epoch, nearest, abs_tol=1e-6) else float(epoch)
