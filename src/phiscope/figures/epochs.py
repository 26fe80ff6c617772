"""A logarithmic axis for epochs, with a place for epoch 0."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

ROOM = 0.16
"""Epoch 0 stands left of the first one after it by this share of the axis."""

MOST_DECADES = 30
"""No training has so many; between its epochs lies a number that is damaged."""

LEAST_ROOM = 0.25
"""But by at least so many decades."""


@dataclass(frozen=True, kw_only=True)
class LogEpochs:
    """A logarithmic axis.

    Attributes:
        low: left end.
        high: right end.
        zero: where epoch 0 is drawn, None when it does not occur.
        gap: where a line marks that the axis is broken between epoch 0 and the next, None without epoch 0.
        ticks: positions of the ticks.
        labels: their texts; the one at ``zero`` is "0".
    """

    low: float
    high: float
    zero: float | None
    gap: float | None
    ticks: tuple[float, ...]
    labels: tuple[str, ...]


def log_epochs(epochs: Iterable[float]) -> LogEpochs | None:
    """A logarithmic axis on which all these epochs have a place.

    Args:
        epochs: where something was recorded.

    Returns:
        The axis, or None when a logarithm does not help: fewer than two positive epochs, a negative one, or more than
        thirty decades.

    Example:
        >>> axis = log_epochs([0, 1, 10, 100])
        >>> axis.labels, 0 < axis.zero < 1
        (('0', '1', '3', '10', '30', '100'), True)
        >>> log_epochs([0, 1]) is None
        True
    """
    found = sorted({float(epoch) for epoch in epochs if math.isfinite(epoch)})
    positive = [epoch for epoch in found if epoch > 0]
    if len(positive) < 2 or found[0] < 0:
        return None
    first, last = positive[0], positive[-1]
    decades = math.log10(last) - math.log10(first)
    if decades > MOST_DECADES:
        return None
    room = max(LEAST_ROOM, ROOM * decades)
    zero = first / 10**room if found[0] == 0 else None
    edge = 10 ** (0.02 * (decades + room))
    steps = (1, 2, 5) if decades <= 1.5 else (1, 3) if decades <= 2.5 else (1,)
    powers = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    ticks = [tick for tick in ticks if first * 0.999 <= tick <= last * 1.001] or [first, last]
    return LogEpochs(
        low=(first if zero is None else zero) / edge,
        high=last * edge,
        zero=zero,
        gap=None if zero is None else math.sqrt(zero * first),
        ticks=(*(() if zero is None else (zero,)), *ticks),
        labels=(*(() if zero is None else ("0",)), *(f"{tick:,.6g}".replace(",", " ") for tick in ticks)),
    )
