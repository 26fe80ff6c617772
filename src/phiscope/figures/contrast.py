"""Runs side by side as a table: what differs in their settings, their last numbers, and how far these differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phiscope.errors import MissingNumberError
from phiscope.metrics import DEFINITIONS
from phiscope.runs.groups import SEEDS, difference_of, differing_settings, groups_of, last_of, spread_of

if TYPE_CHECKING:
    from phiscope.runs import Record, Run
    from phiscope.runs.groups import Group

NOTE_SEEDS = "Of several seeds: mean and 95 % interval of the mean over seeds (Student's t)."

NOTE_WELCH = (
    "Difference: second minus first, with Welch's 95 % interval and p, each number by itself: of twenty numbers that "
    "do not differ one has p < 0.05."
)

NOTE_SAMPLES = (
    "Difference: second minus first, with a 95 % interval for the samples drawn, where records have one; how much "
    "another seed would move it is not in there."
)

Row = tuple[str, tuple[str, ...]]
"""A name, and one text for each column."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Runs, or groups of runs that differ by their seed alone, as columns of texts.

    Attributes:
        labels: of the columns.
        settings: those that differ.
        recorded: status, moments and what training loops recorded last.
        measured: by split: moments, regime and every number at the last record of the split; where there are two
            columns, each has a third text, their difference.
        notes: what intervals and differences mean.
    """

    labels: tuple[str, ...]
    settings: tuple[Row, ...]
    recorded: tuple[Row, ...]
    measured: Mapping[str, tuple[Row, ...]]
    notes: tuple[str, ...]


def contrast_of(runs: Sequence[Run]) -> Contrast:
    """Runs side by side.

    Runs that differ by their seed alone become one column with the mean and its interval over seeds. Each run shows its
    last record; of a split, the last record that measured it. A dash stands for what a run does not have.

    Args:
        runs: opened.
    """
    groups = groups_of(runs)
    alone = all(len(group.runs) == 1 for group in groups)
    differing = differing_settings([group.runs[0] for group in groups])
    return Contrast(
        labels=_labels(groups),
        settings=tuple((name, tuple(texts)) for name, texts in differing.items() if alone or name not in SEEDS),
        recorded=_recorded(groups),
        measured={split: _measured(split, groups) for split in dict.fromkeys(s for run in runs for s in run.splits)},
        notes=_apart(runs) or _notes(groups),
    )


def _labels(groups: Sequence[Group]) -> tuple[str, ...]:
    names = [group.label for group in groups]
    labels = []
    for group in groups:
        # Two runs of the same study have one name; their folders tell them apart.
        label = group.label if names.count(group.label) == 1 else str(group.runs[0].path)
        labels.append(label if len(group.runs) == 1 else f"{label} ({len(group.runs)} seeds)")
    return tuple(labels)


def _apart(runs: Sequence[Run]) -> tuple[str, ...]:
    """A sentence where no split was measured in more than one run, so that no number stands beside another."""
    measured = [{split for record in run.records for split in record.measured} for run in runs]
    some = sorted(set().union(*measured))
    if len(runs) < 2 or any(sum(split in splits for splits in measured) > 1 for split in some):
        return ()
    known = f" ({'; '.join(', '.join(sorted(splits)) or 'none' for splits in measured)})"
    return (
        f"The runs share no split{known}: none of their numbers can be compared; measure one of the same name in each.",
    )


def _notes(groups: Sequence[Group]) -> tuple[str, ...]:
    notes = [NOTE_SEEDS] if any(len(group.runs) > 1 for group in groups) else []
    if len(groups) == 2 and all(len(group.runs) > 1 for group in groups):
        notes.append(NOTE_WELCH)
    elif len(groups) == 2 and all(len(group.runs) == 1 for group in groups):
        notes.append(NOTE_SAMPLES)
    return tuple(notes)


def _recorded(groups: Sequence[Group]) -> tuple[Row, ...]:
    last = [[run.records[-1] for run in group.runs if run.records] for group in groups]
    names = dict.fromkeys(name for records in last for record in records for name in record.scalars)
    states = tuple(", ".join(dict.fromkeys(run.status for run in group.runs)) for group in groups)
    rows: list[Row] = [("status", states), *_moments(last)]
    for name in names:
        found = [[record.scalars[name] for record in records if name in record.scalars] for records in last]
        rows.append((name, tuple(map(_spread, found))))
    return tuple(rows)


def _measured(split: str, groups: Sequence[Group]) -> tuple[Row, ...]:
    last = [[one for run in group.runs if (one := last_of(run, split)) is not None] for group in groups]
    measured = {name for records in last for record in records for name in record.numbers(split)}
    # In the order of the definitions, then those of a later phiscope.
    names = [*(name for name in DEFINITIONS if name in measured), *sorted(measured - set(DEFINITIONS))]
    third = ("",) * (len(groups) == 2)
    words = [", ".join(dict.fromkeys(record.regime(split) or "-" for record in records)) or "-" for records in last]
    rows: list[Row] = [(name, (*texts, *third)) for name, texts in [*_moments(last), ("regime", tuple(words))]]
    for name in names:
        found = [group.values(name, split) for group in groups]
        row = DEFINITIONS.get(name)
        low, high = (None, None) if row is None else (row.low, row.high)
        texts = tuple(_spread(values, low, high) for values in found)
        rows.append((name, (*texts, _difference(name, split, last, found)) if third else texts))
    return tuple(rows)


def _moments(last: Sequence[Sequence[Record]]) -> list[Row]:
    rows = [("epoch", tuple(_same([f"{record.epoch:g}" for record in records]) for records in last))]
    if any(record.step is not None for records in last for record in records):
        steps = [["-" if record.step is None else str(record.step) for record in records] for records in last]
        rows.append(("step", tuple(map(_same, steps))))
    return rows


def _same(texts: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(texts)) or "-"


def _spread(values: Sequence[float], low: float | None = None, high: float | None = None) -> str:
    if not values:
        return "-"
    spread = spread_of(values, -math.inf if low is None else low, math.inf if high is None else high)
    return f"{spread.mean:.4g}" if spread.n < 2 else f"{spread.mean:.4g} [{spread.low:.4g}, {spread.high:.4g}]"


def _difference(name: str, split: str, last: Sequence[Sequence[Record]], found: Sequence[Sequence[float]]) -> str:
    if not found[0] or not found[1]:
        return "-"
    difference = difference_of(*found)
    if not math.isnan(difference.low):
        ends = f"[{difference.low:.3g}, {difference.high:.3g}]"
        return f"{difference.value:+.3g} {ends}, p {difference.p:.2g}"
    reach = None
    if all(len(values) == 1 for values in found):
        reach = _joint_reach([records[0] for records in last], name, split)
    return f"{difference.value:+.3g}" if reach is None else f"{difference.value:+.3g} ± {reach:.2g}"


def _joint_reach(records: Sequence[Record], name: str, split: str) -> float | None:
    """Half the interval of a difference of two numbers from separate samples; None where one has none."""
    halves = []
    for record in records:
        if split not in record.splits:
            return None
        try:
            low, high = record.measurement(split).interval(name)
        except MissingNumberError:
            return None
        halves.append((high - low) / 2)
    return math.hypot(*halves)
