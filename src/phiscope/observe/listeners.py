"""What hears of a record once it is stored: trackers and alerts.

Numbers are heard where records are finished, which may be a thread of its own. Whatever concerns the training or the
process (pictures, warnings, exceptions, a caller's function) waits until the training's thread comes by.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from phiscope.errors import AlertError, InputError, RunWriteError, UnknownNameError, named_kind
from phiscope.inputs.settings import rows_listed
from phiscope.measurement.record import Measurement
from phiscope.observe.alerts import Alert, Guard
from phiscope.observe.ranks import Writer
from phiscope.observe.schedule import Schedule, picture_schedule
from phiscope.runs import RunWriter, open_run
from phiscope.runs.alerts import save_alert
from phiscope.trackers import Place, Sending, chosen_trackers
from phiscope.trackers.choice import Opening
from phiscope.trackers.pixels import check_can_draw

_TOLD_TRACKERS = ("title", "model", "head", "task", "initial_parameters")
# Of the header trackers get these: never versions, the platform, or what else a caller wrote there.


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A record as its listeners hear of it.

    Attributes:
        epoch: epochs trained so far.
        step: optimizer steps so far, or None.
        numbers: by split.
    """

    epoch: float
    step: int | None
    numbers: Mapping[str, Mapping[str, float]]

    @property
    def moment(self) -> dict[str, Any]:
        """Where it stands."""
        return {"epoch": self.epoch, "step": self.step}


class Listeners:
    """Sends records to trackers, and holds them against limits.

    Args:
        guards: one for each alert.
        sending: the trackers; None where there are none.
        pictures: when to draw; None = never.
        folder: of the run; None on a rank that does not write it.
        past: measured records of a run that goes on, for the alerts.

    Attributes:
        past: those that the alerts have not been told yet.
        should_stop: an alert with then="stop" fired.
    """

    def __init__(
        self,
        guards: Sequence[Guard] = (),
        sending: Sending | None = None,
        pictures: Schedule | None = None,
        folder: Path | None = None,
        past: Sequence[Heard] = (),
    ) -> None:
        self._guards = tuple(guards)
        self._sending = sending
        self._pictures = pictures
        self._folder = folder
        self.past = list(past) if guards else []
        self._errands: deque[Callable[[], None]] = deque()
        self._unmeasured: set[str] = set()
        self.should_stop = False

    @property
    def present(self) -> bool:
        """Whether anybody listens."""
        return bool(self._guards) or self._sending is not None

    def hear(
        self,
        epoch: float,
        step: int | None,
        measurements: Mapping[str, Measurement],
        *,
        index: int,
        seconds: float,
    ) -> None:
        """Take a record that was measured.

        Args:
            epoch: epochs trained so far.
            step: optimizer steps so far, or None.
            measurements: by split.
            index: of the record in the run.
            seconds: what it has cost.
        """
        if self._sending is not None:
            self._sending.record(epoch, step, measurements, seconds=seconds)
            if self._pictures is not None and self._sending.draws and self._pictures.due(epoch):
                self._errands.append(partial(self._sending.pictures, epoch, step, dict(measurements)))
        if self._guards:
            self._recall_past(epoch, step)
            heard = Heard(epoch=epoch, step=step, numbers={name: m.to_dict() for name, m in measurements.items()})
            for number, guard in enumerate(self._guards):
                self._hold(number, guard, heard, measurements.get(guard.split), index)

    def deliver(self) -> None:
        """Do what waited for the training's thread.

        Raises:
            AlertError: an alert with then="raise" fired; what else waited is done.
        """
        failure: BaseException | None = None
        while self._errands:
            try:
                self._errands.popleft()()
            except Exception as error:
                failure = failure or error
        while self._sending is not None and self._sending.complaints:
            warnings.warn(self._sending.complaints.popleft(), stacklevel=2)
        if failure is not None:
            raise failure

    def state(self) -> list[dict[str, Any]]:
        """What the alerts remember, as plain numbers and text."""
        return [{"alert": guard.key, **guard.state()} for guard in self._guards]

    def load(self, state: Iterable[Mapping[str, Any]]) -> None:
        """Let alerts go on from what `state` gave; one that is new, or has other limits, goes on from the run."""
        known = {str(one["alert"]): {name: v for name, v in one.items() if name != "alert"} for one in state}
        for guard in self._guards:
            if guard.key in known:
                guard.load(known[guard.key])
        self.past = [] if all(guard.key in known for guard in self._guards) else self.past

    def close(self, status: str) -> dict[str, Any]:
        """Let go of the trackers; what of them a run keeps is returned."""
        if self._sending is None:
            return {}
        self._sending.close(status)
        self.deliver()
        return {"tracker_failures": dict(self._sending.failures)} if self._sending.failures else {}

    def _recall_past(self, epoch: float, step: int | None) -> None:
        """Records of a resumed run count, up to where the training goes on."""
        if self.past:
            before = [one for one in self.past if _is_before(one, epoch, step)]
            for guard in self._guards:
                guard.recall([(one.moment, one.numbers.get(guard.split, {})) for one in before])
            self.past = []

    def _hold(self, number: int, guard: Guard, heard: Heard, measurement: Measurement | None, index: int) -> None:
        numbers = heard.numbers.get(guard.split, {})
        if guard.alert.number not in numbers:
            self._say_once(guard, measurement)
            return
        evidence = guard.hear(heard.moment, numbers, measurement)
        if evidence is None:
            return
        evidence |= {"record": index}
        if self._folder is not None:
            evidence |= {"draw": f"phiscope report {self._folder}"}
            try:
                save_alert(self._folder, index, number, evidence)
            except RunWriteError as error:
                self._errands.append(partial(_warn, f"{error}; the evidence of an alert is not stored"))
        self.should_stop = self.should_stop or guard.alert.then == "stop"
        self._errands.append(partial(_act, guard.alert, evidence, self._folder is not None))

    def _say_once(self, guard: Guard, measurement: Measurement | None) -> None:
        if guard.key not in self._unmeasured and self._folder is not None:
            self._unmeasured.add(guard.key)
            why = f"nothing was measured on {guard.split!r}"
            if measurement is not None:
                why = measurement.absent.get(guard.alert.number, "it is none of the numbers of a measurement")
            sentence = f"the alert on {guard.alert.number} cannot be judged where it is not measured ({why})"
            self._errands.append(partial(_warn, f"{sentence}; such records do not count"))


def _act(alert: Alert, evidence: dict[str, Any], speaks: bool) -> None:
    sentence = f"alert: {evidence['sentence']}"
    if alert.then == "raise":
        raise AlertError(sentence, evidence=evidence)
    if callable(alert.then):
        alert.then(evidence)
    elif speaks:
        _warn(f"{sentence}; the training is asked to stop" if alert.then == "stop" else sentence)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=2)


def _is_before(one: Heard, epoch: float, step: int | None) -> bool:
    if one.epoch == epoch and one.step is not None and step is not None:
        return one.step < step
    return one.epoch < epoch


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What hears of records, as the user asked for it.

    Attributes:
        openings: of the trackers.
        pictures: when they get one; None = never.
        alerts: limits.
    """

    openings: tuple[Opening, ...]
    pictures: Schedule | None
    alerts: tuple[Alert, ...]


def chosen_listeners(
    trackers: Iterable[Any],
    pictures: str | int | Iterable[float] | None,
    alerts: Iterable[Alert],
    splits: Iterable[str],
) -> Chosen:
    """Read what the user asked for, before anything is written.

    Raises:
        MissingDependencyError: a tracker's library, or matplotlib for pictures, is not installed.
        UnknownNameError: there is no such tracker, or no such split.
        InputError: something else that cannot be used.
    """
    openings = chosen_trackers(trackers)
    drawn = picture_schedule(pictures)
    if drawn is not None and any(opening.draws for opening in openings):
        check_can_draw()
    return Chosen(openings=openings, pictures=drawn, alerts=tuple(guard.alert for guard in guards_of(alerts, splits)))


def listeners_of(writer: Writer, chosen: Chosen, settings: Mapping[str, Any], splits: Iterable[str]) -> Listeners:
    """Open the trackers, and let alerts know what a run that goes on has seen.

    Args:
        writer: of the run.
        chosen: what the user asked for.
        settings: how is measured.
        splits: their names.
    """
    guards = guards_of(chosen.alerts, splits)
    if not isinstance(writer, RunWriter):
        return Listeners(guards)
    header = writer.header
    place = Place(name=str(header.get("name", writer.path.name)), folder=writer.path)
    facts = {name: header[name] for name in _TOLD_TRACKERS if isinstance(header.get(name), str | int | float)}
    told = {"name": place.name, "splits": ", ".join(splits), **facts, **plain_settings(settings)}
    sending = Sending([opening(place) for opening in chosen.openings], told) if chosen.openings else None
    past = past_of(writer) if guards and writer.n_records else []
    return Listeners(guards, sending, chosen.pictures, writer.path, past)


def plain_settings(settings: Mapping[str, Any]) -> dict[str, str | float | int | bool]:
    """Settings as a tracker keeps them: what is not set is left out, what is no number becomes text.

    Example:
        >>> plain_settings({"every": [1, 2], "max_samples": None, "corrected": True})
        {'every': '[1, 2]', 'corrected': True}
    """
    return {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in settings.items()
        if value is not None
    }


def past_of(writer: RunWriter) -> list[Heard]:
    """The measured records of a run that goes on."""
    return [
        Heard(epoch=one.epoch, step=one.step, numbers={split: one.numbers(split) for split in one.measured})
        for one in open_run(writer.path, looks=False).records
        if one.measured
    ]


def guards_of(alerts: Iterable[Alert], splits: Iterable[str]) -> tuple[Guard, ...]:
    """One guard for each alert.

    Args:
        alerts: what the user set.
        splits: names of the observer's splits.

    Raises:
        InputError: one of them is no `Alert`.
        UnknownNameError: an alert names a split that there is not.
    """
    names = list(splits)
    if not isinstance(alerts, Alert):
        alerts = rows_listed(
            alerts, name="alerts", of="a list of phiscope.Alert, as [phiscope.Alert('srank', below=2.0)]"
        )
    alerts = [alerts] if isinstance(alerts, Alert) else list(alerts)
    for alert in alerts:
        if not isinstance(alert, Alert):
            raise InputError(f"alerts= takes phiscope.Alert, got {named_kind(alert)}")
        if alert.split is not None and alert.split not in names:
            raise UnknownNameError("split", alert.split, names)
    return tuple(Guard(alert, names[0] if alert.split is None else alert.split) for alert in alerts)
