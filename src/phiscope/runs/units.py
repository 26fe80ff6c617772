"""Whether a run counts its records in epochs, in optimizer steps, or in widths of the networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

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
