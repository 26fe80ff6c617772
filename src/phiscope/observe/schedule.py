"""When to measure: every epoch, every k-th, at named epochs, or at logarithmic distance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from phiscope.errors import InputError
from phiscope.inputs.settings import walked


@dataclass(frozen=True)
class Schedule:
    """Says whether an epoch (or step) is due.

    Attributes:
        always: everything is due.
        step: every multiple of this is due; None for the other kinds.
        chosen: exactly these are due; None for the other kinds.
    """

    always: bool = False
    step: int | None = None
    chosen: frozenset[float] | None = None

    def due(self, epoch: float) -> bool:
        """Say whether to measure at this epoch; 0 is the initial state.

        Example:
            >>> [epoch for epoch in range(60) if schedule("log").due(epoch)]
            [0, 1, 2, 3, 5, 10, 20, 30, 50]
        """
        if self.always:
            return True
        if self.chosen is not None:
            return epoch in self.chosen
        if self.step is not None:
            return epoch % self.step == 0
        return _is_logarithmic(epoch)

    def due_since(self, before: float | None, now: float) -> bool:
        """Say whether anything was due after one moment and up to another: steps may come several at a time.

        Args:
            before: the last moment that was asked about; None = there was none.
            now: this moment.

        Example:
            >>> schedule(10).due_since(18, 21), schedule(10).due_since(21, 24), schedule("log").due_since(4, 7)
            (True, False, True)
        """
        if self.always or before is None or before >= now:
            return self.due(now)
        if self.chosen is not None:
            return any(before < moment <= now for moment in self.chosen)
        if self.step is not None:
            return now // self.step > before // self.step
        return _last_logarithmic(now) > before


def schedule(every: str | int | Iterable[float], *, name: str = "every", otherwise: str = "epochs") -> Schedule:
    """Read a schedule.

    Args:
        every: "epoch" = always; a number k = at multiples of k; "log" = 0, 1, 2, 3, 5, 10, 20, 30, 50, 100, ...;
            an iterable of epochs = exactly at these.
        name: of the setting, for the error.
        otherwise: what else it may be, for the error.

    Raises:
        InputError: something else.

    Example:
        >>> [epoch for epoch in range(10) if schedule(4).due(epoch)]
        [0, 4, 8]
    """
    if isinstance(every, str) and every == "epoch":
        return Schedule(always=True)
    if isinstance(every, str) and every == "log":
        return Schedule()
    if isinstance(every, int | np.integer) and not isinstance(every, bool) and every >= 1:
        return Schedule(step=int(every))
    chosen = walked(every)
    if (
        chosen is not None
        and all(
            isinstance(epoch, int | float | np.integer | np.floating) and not isinstance(epoch, bool)
            for epoch in chosen
        )
        and bool(np.isfinite(chosen).all())
    ):
        return Schedule(chosen=frozenset(float(epoch) for epoch in chosen))
    kinds = "'log', a positive integer" if name == "every_steps" else "'epoch', 'log', a positive integer"
    raise InputError(f"{name}={every!r} is no schedule; expected {kinds} or {otherwise}")


def picture_schedule(pictures: Any) -> Schedule | None:
    """Read at which records pictures are drawn; None for none.

    Raises:
        InputError: something else.
    """
    if pictures is None:
        return None
    return schedule(pictures, name="pictures", otherwise="epochs, or None for no pictures")


def steps_schedule(every_steps: str | int | Iterable[float]) -> Schedule:
    """Read a schedule of optimizer steps: a number k, "log", or steps; see `schedule`.

    Raises:
        InputError: something else.

    Example:
        >>> steps_schedule(500).due(1000)
        True
    """
    if isinstance(every_steps, str) and every_steps == "epoch":
        raise InputError("every_steps='epoch' counts no steps; expected 'log', a positive integer or steps")
    return schedule(every_steps, name="every_steps", otherwise="steps")


def _last_logarithmic(moment: float) -> float:
    """The last of 0, 1, 2, 3, 5, 10, 20, ... up to a moment."""
    scale = 10.0 ** (len(str(int(moment))) - 1)
    return max((first * scale for first in (1, 2, 3, 5) if first * scale <= moment), default=0.0)


def _is_logarithmic(epoch: float) -> bool:
    if epoch < 1:
        return epoch == 0
    while epoch >= 10 and epoch % 10 == 0:
        epoch /= 10
    return epoch in (1, 2, 3, 5)
