"""Moments of a run: epochs and steps as they are handed in, and whether a run counts epochs, steps, or widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from phiscope.errors import InputError
from phiscope.runs.lines import FARTHEST

Unit = Literal["epoch", "step", "width"]
"""What the moments of a run are counted in; a sweep over widths has a network of another width at each."""

AXIS = "axis"
"""Where a header says it."""


def unit_of(header: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> Unit:
    """What the moments of a run are counted in, where pictures have one axis for them.

    Widths, when the header says so: a record's epoch is its networks' width then. Steps, when every record has its
    step, and the header says so or nobody ever gave an epoch: such records stand at their step, and calling it an
    epoch would be wrong.

    Args:
        header: of the run.
        lines: its records, each with "epoch" and "step".

    Example:
        >>> unit_of({}, [{"epoch": 0.0, "step": 0}, {"epoch": 500.0, "step": 500}])
        'step'
        >>> unit_of({}, [{"epoch": 0.0, "step": 0}, {"epoch": 1.0, "step": 500}])
        'epoch'
    """
    if header.get(AXIS) == "width":
        return "width"
    steps = [line["step"] for line in lines]
    if not steps or any(step is None for step in steps):
        return "epoch"
    if header.get(AXIS) == "step":
        return "step"
    only_steps = max(steps) > 1 and all(line["epoch"] == line["step"] for line in lines)
    return "step" if only_steps else "epoch"


def at_words(unit: Unit, at: float) -> str:
    """A moment in words.

    Example:
        >>> at_words("epoch", 2.5), at_words("step", 12500)
        ('epoch 2.5', 'step 12,500')
    """
    return f"epoch {at:g}" if unit == "epoch" else f"{unit} {at:,.0f}"


def read_epoch(epoch: Any) -> float:
    """Read an epoch as a reader of the run will find it.

    Args:
        epoch: a number; tensors and arrays of one element count.

    Raises:
        InputError: something else, NaN or infinity, or below 0: where the state before training is -1, all later
            epochs are one too small beside other runs.

    Example:
        >>> read_epoch(3), read_epoch(0.5)
        (3.0, 0.5)
    """
    number = _plain(epoch)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= FARTHEST:
        raise InputError(
            f"epoch={epoch!r:.60}, expected a finite number, 0 or more: the epochs trained so far, 0 before the first; "
            "pass an int or a float"
        )
    return float(number)


def read_step(step: Any) -> int:
    """Read a number of optimizer steps as a reader of the run will find it.

    Args:
        step: a whole number, also 5.0; tensors and arrays of one element count.

    Raises:
        InputError: something else.

    Example:
        >>> read_step(5), read_step(5.0)
        (5, 5)
    """
    number = _plain(step)
    whole = isinstance(number, int) or (isinstance(number, float) and number.is_integer())
    if isinstance(number, bool) or not whole or not 0 <= number < FARTHEST:
        raise InputError(
            f"step={step!r:.60}, expected a whole number, 0 or more: the optimizer steps taken so far; pass an int, or "
            "leave step out where none are counted"
        )
    return int(number)


def read_moment(epoch: Any, step: Any) -> tuple[float | None, int | None]:
    """Read the moment of a record or a note, before anything is measured or written; None stays None.

    Raises:
        InputError: see `read_epoch` and `read_step`.
    """
    return None if epoch is None else read_epoch(epoch), None if step is None else read_step(step)


def _plain(value: Any) -> Any:
    """The number in a NumPy scalar, or in a tensor or an array of one element; anything else as it is."""
    one = getattr(value, "size", None) == 1 or (callable(getattr(value, "numel", None)) and value.numel() == 1)
    return value.item() if one else value
