"""When to measure: every epoch, every k-th, at named epochs, or at logarithmic distance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from phiscope.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """Says whether an epoch (or step) is due.

    Attributes:
        step: every multiple of this is due; None for the other kinds.
        chosen: exactly these are due; None for the other kinds.
    """

    step: int | None = 1
    chosen: frozenset[float] | None = None

    def due(self, epoch: float) -> bool:
        """Say whether to measure at this epoch; 0 is the initial state.

        Example:
            >>> [epoch for epoch in range(60) if schedule("log").due(epoch)]
            [0, 1, 2, 3, 5, 10, 20, 30, 50]
        """
        if self.chosen is not None:
            return epoch in self.chosen
        if self.step is not None:
            return epoch % self.step == 0
        return _is_logarithmic(epoch)


def schedule(every: str | int | Iterable[float]) -> Schedule:
    """Read a schedule.

    Args:
        every: "epoch" = always; a number k = at multiples of k; "log" = 0, 1, 2, 3, 5, 10, 20, 30, 50, 100, ...;
            an iterable of epochs = exactly at these.

    Raises:
        InputError: something else.

    Example:
        >>> [epoch for epoch in range(10) if schedule(4).due(epoch)]
        [0, 4, 8]
    """
    if every == "epoch":
        return Schedule()
    if every == "log":
        return Schedule(step=None)
    if isinstance(every, int) and not isinstance(every, bool) and every >= 1:
        return Schedule(step=every)
    if isinstance(every, Iterable) and not isinstance(every, (str, bytes)):
        chosen = list(every)
        if all(isinstance(epoch, (int, float)) for epoch in chosen):
            return Schedule(step=None, chosen=frozenset(float(epoch) for epoch in chosen))
    raise InputError(f"every={every!r} is no schedule; expected 'epoch', 'log', a positive integer or epochs")


def _is_logarithmic(epoch: float) -> bool:
    if epoch < 1:
        return epoch == 0
    while epoch >= 10 and epoch % 10 == 0:
        epoch /= 10
    return epoch in (1, 2, 3, 5)
