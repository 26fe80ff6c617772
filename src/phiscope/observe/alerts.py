"""Alerts: a number that stays beyond a limit for several records says so, stops the training, or calls somebody."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any, Literal

from phiscope.errors import InputError, MissingNumberError
from phiscope.glossary.digits import beside
from phiscope.inputs.settings import is_word
from phiscope.measurement.record import Measurement
from phiscope.metrics import definition_of

Action = Literal["warn", "stop", "raise"] | Callable[[Mapping[str, Any]], Any]
"""What an alert does; a function is given the evidence."""

KEPT_VALUES = 20
"""So many of the last values are evidence, and all of those in a row where patience is longer."""


@dataclass(frozen=True)
class Alert:
    """A limit for one number of one split, for `Observer(alerts=[...])`; there is none unless you set it.

    A falling dimension is collapse in a self-supervised or reinforcement-learning run, and success in a supervised one:
    docs/guide/alerts.md says which limit fits where.

    Args:
        number: its name, see `phiscope explain`.
        below: fires while the number is below this.
        above: fires while the number is above this; exactly one of the two.
        relative_to: None, and the limit is a value; "initial", and it is a factor of the first measured record; "best",
            of the largest value so far (the smallest with `above`); or k, of the k-th measured record, from 0. For
            numbers above 0.
        patience: so many measured records in a row; then it fires once, and again only after the number came back. A
            record without the number counts neither way.
        split: of which split; None is the observer's first.
        then: "warn"; "stop", and `observer.should_stop` is True; "raise" an `AlertError`; or a function of the
            evidence, called on the training's thread.

    Raises:
        UnknownNameError: there is no such number; the message offers the nearest.
        InputError: a limit, patience or action that cannot be used.

    Example:
        >>> Alert("effective_dimension_centered", below=0.5, relative_to="initial").said
        'effective_dimension_centered below 0.5 of the initial value'
    """

    number: str
    _: KW_ONLY
    below: float | None = None
    above: float | None = None
    relative_to: Literal["initial", "best"] | int | None = None
    patience: int = 2
    split: str | None = None
    then: Action = "warn"

    def __post_init__(self) -> None:
        definition_of(self.number)
        limits = [limit for limit in (self.below, self.above) if limit is not None]
        if len(limits) != 1 or not isinstance(limits[0], int | float) or limits[0] != limits[0]:
            raise InputError(
                f"an alert has one limit, got below={self.below!r} and above={self.above!r}; pass one number"
            )
        if not _is_count(self.patience) or self.patience < 1:
            raise InputError(f"patience={self.patience!r}; expected a number of records, 1 or more")
        anchored = self.relative_to is None or is_word(self.relative_to, ("initial", "best"))
        if not anchored and not _is_count(self.relative_to):
            raise InputError(f"relative_to={self.relative_to!r}; expected None, 'initial', 'best', or a record, from 0")
        if not is_word(self.then, ("warn", "stop", "raise")) and not callable(self.then):
            raise InputError(f"then={self.then!r}; expected 'warn', 'stop', 'raise', or a function of the evidence")

    @property
    def limit(self) -> float:
        """The limit, or the factor that makes it."""
        return float(self.below if self.below is not None else self.above if self.above is not None else 0.0)

    @property
    def word(self) -> str:
        """The side it fires on."""
        return "above" if self.below is None else "below"

    @property
    def said(self) -> str:
        """The alert in words."""
        of = "" if self.relative_to is None else f" of the {self.relative_to} value"
        if isinstance(self.relative_to, int):
            of = f" of the value at record {self.relative_to}"
        return f"{self.number} {self.word} {self.limit:g}{of}"

    @property
    def facts(self) -> dict[str, Any]:
        """The alert as a run keeps it."""
        action = self.then if isinstance(self.then, str) else getattr(self.then, "__qualname__", "a function")
        return {**{name: value for name, value in vars(self).items() if name != "then"}, "then": action}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


@dataclass
class _Memory:
    """What an alert remembers of the records before: plain numbers, so that a checkpoint carries it."""

    seen: int = 0
    streak: int = 0
    reference: float | None = None
    values: list[dict[str, Any]] = field(default_factory=list)


class Guard:
    """Follows one number through the records, and says when its alert fires.

    Args:
        alert: the limit.
        split: whose number it is.
    """

    def __init__(self, alert: Alert, split: str) -> None:
        self.alert = alert
        self.split = split
        self._memory = _Memory()
        self._fired = False

    @property
    def key(self) -> str:
        """What tells this guard from others in a checkpoint; the action may change."""
        return json.dumps({**self.alert.facts, "split": self.split, "then": None})

    def hear(
        self, moment: Mapping[str, Any], numbers: Mapping[str, float], measurement: Measurement | None = None
    ) -> dict[str, Any] | None:
        """Take the numbers of a record.

        Args:
            moment: where it stands: "epoch", "step".
            numbers: of the alert's split.
            measurement: for the interval of the number.

        Returns:
            The evidence, when the alert fires now.
        """
        value = numbers.get(self.alert.number)
        if value is None:
            return None
        reference, threshold = self._threshold(value)
        self._memory.seen += 1
        beyond = threshold is not None and (value < threshold if self.alert.word == "below" else value > threshold)
        interval = _interval(measurement, self.alert.number) if beyond else None
        kept = deque(self._memory.values, maxlen=max(KEPT_VALUES, self.alert.patience))
        kept.append({**moment, "value": value, "threshold": threshold, "interval": interval})
        self._memory.values = list(kept)
        self._memory.streak = self._memory.streak + 1 if beyond else 0
        if not beyond:
            self._fired = False
        if self._fired or self._memory.streak < self.alert.patience:
            return None
        self._fired = True
        return self._evidence(reference)

    def recall(self, moments: list[tuple[Mapping[str, Any], Mapping[str, float]]]) -> None:
        """Remember records that were there before; nothing fires, and what is still beyond fires at the next one."""
        self._memory, self._fired = _Memory(), False
        for moment, numbers in moments:
            self.hear(moment, numbers)
        self._fired = False

    def state(self) -> dict[str, Any]:
        """What is remembered, as plain numbers."""
        return asdict(self._memory)

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; what is still beyond its limit fires at the next record."""
        self._memory, self._fired = _Memory(**state), False

    def _threshold(self, value: float) -> tuple[float | None, float | None]:
        """What the limit is relative to, and the limit; None while it is not known."""
        alert, memory = self.alert, self._memory
        if alert.relative_to is None:
            return None, alert.limit
        if alert.relative_to == "best":
            better = max if alert.word == "below" else min
            memory.reference = value if memory.reference is None else better(memory.reference, value)
        elif memory.seen == (0 if alert.relative_to == "initial" else alert.relative_to):
            memory.reference = value
        return memory.reference, None if memory.reference is None else alert.limit * memory.reference

    def _evidence(self, reference: float | None) -> dict[str, Any]:
        last = self._memory.values[-1]
        interval, threshold = last["interval"], last["threshold"]
        within = None if interval is None else interval[0] <= threshold <= interval[1]
        return {
            "sentence": self._sentence(last, within),
            "alert": self.alert.facts,
            "title": definition_of(self.alert.number).title,
            "split": self.split,
            "epoch": last["epoch"],
            "step": last["step"],
            "value": last["value"],
            "threshold": threshold,
            "reference": reference,
            "interval": interval,
            "within_error": within,
            "values": list(self._memory.values),
        }

    def _sentence(self, last: Mapping[str, Any], within: bool | None) -> str:
        row = "" if self.alert.patience == 1 else f" for {self.alert.patience} measured records in a row"
        limit = "" if self.alert.relative_to is None else f", which is {last['threshold']:.4g}"
        error = ""
        if last["interval"] is not None:
            low, high = last["interval"]
            error = f", 95 % interval {low:.4g} to {high:.4g}{': within its error' if within else ''}"
        value = beside(last["value"], last["threshold"], 4)
        return f"{self.alert.said}{limit}, on {self.split!r}{row}: {value} at epoch {last['epoch']:g}{error}"


def _interval(measurement: Measurement | None, name: str) -> list[float] | None:
    if measurement is None:
        return None
    try:
        low, high = measurement.interval(name, 0.95)
    except MissingNumberError:  # no shards, or no interval for this number
        return None
    return [float(low), float(high)]
