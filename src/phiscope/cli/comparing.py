"""Runs side by side as plain text: what differs in their settings, their last numbers, and how far these differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from phiscope.cli.text import columns
from phiscope.errors import MissingNumberError

if TYPE_CHECKING:
    from phiscope.runs import Record, Run
    from phiscope.runs.groups import Group

NARROW = 28
"""Longer texts of settings are cut."""


def comparison_text(runs: Sequence[Run]) -> str:
    """The final numbers of several runs side by side.

    On top stand the settings that differ. Runs that differ by their seed alone become one column with the mean and its
    interval over seeds. Each run shows its last record; of a split, the last record that measured it. A dash stands for
    what a run does not have. Two columns get a third, their difference.
    """
    # Not for commands that print only text: it loads NumPy and SciPy.
    from phiscope.runs.groups import differing_settings, groups_of

    groups = groups_of(runs)
    labels = _labels(groups)
    splits = list(dict.fromkeys(split for run in runs for split in run.splits))
    differing = {
        name: texts
        for name, texts in differing_settings([group.runs[0] for group in groups]).items()
        if name != "seed" or all(len(group.runs) == 1 for group in groups)
    }
    tables = [columns([["settings that differ", *labels], *([n, *map(_cut, t)] for n, t in differing.items())])]
    tables = tables if differing else []
    tables.append(_recorded(labels, groups))
    tables += [_measured(split, labels, groups) for split in splits]
    return "\n\n".join([*tables, *_notes(groups)])


def _labels(groups: Sequence[Group]) -> list[str]:
    names = [group.label for group in groups]
    labels = []
    for group in groups:
        # Two runs of the same study have one name; their folders tell them apart.
        label = group.label if names.count(group.label) == 1 else str(group.runs[0].path)
        labels.append(label if len(group.runs) == 1 else f"{label} ({len(group.runs)} seeds)")
    return labels


def _cut(text: str) -> str:
    return text if len(text) <= NARROW else text[: NARROW - 1] + "…"


def _notes(groups: Sequence[Group]) -> list[str]:
    notes = []
    if any(len(group.runs) > 1 for group in groups):
        notes.append("Of several seeds: mean and 95 % interval of the mean over seeds (Student's t).")
    if len(groups) == 2 and all(len(group.runs) > 1 for group in groups):
        notes.append(
            "Difference: second minus first, with Welch's 95 % interval and p, each number by itself: of twenty "
            "numbers that do not differ one has p < 0.05."
        )
    elif len(groups) == 2 and all(len(group.runs) == 1 for group in groups):
        notes.append(
            "Difference: second minus first, with a 95 % interval for the samples drawn, where records have one; how "
            "much another seed would move it is not in there."
        )
    return notes


def _recorded(labels: list[str], groups: Sequence[Group]) -> str:
    last = [[run.records[-1] for run in group.runs if run.records] for group in groups]
    names = dict.fromkeys(name for records in last for record in records for name in record.scalars)
    rows = [
        ["recorded", *labels],
        ["status", *(", ".join(dict.fromkeys(run.status for run in group.runs)) for group in groups)],
        *_moments(last),
    ]
    for name in names:
        found = [[record.scalars[name] for record in records if name in record.scalars] for records in last]
        rows.append([name, *map(_spread, found)])
    return columns(rows)


def _measured(split: str, labels: list[str], groups: Sequence[Group]) -> str:
    from phiscope.metrics import DEFINITIONS
    from phiscope.runs.groups import last_of

    last = [[one for run in group.runs if (one := last_of(run, split)) is not None] for group in groups]
    measured = {name for records in last for record in records for name in record.numbers(split)}
    # In the order of the definitions, then those of a later phiscope.
    names = [*(name for name in DEFINITIONS if name in measured), *sorted(measured - set(DEFINITIONS))]
    two = len(groups) == 2
    words = [", ".join(dict.fromkeys(record.regime(split) or "-" for record in records)) or "-" for records in last]
    rows = [[split, *labels, *["difference"] * two], *(row + [""] * two for row in _moments(last))]
    rows.append(["regime", *words, *[""] * two])
    for name in names:
        found = [group.values(name, split) for group in groups]
        row = DEFINITIONS.get(name)
        low, high = (None, None) if row is None else (row.low, row.high)
        rows.append(
            [
                name,
                *(_spread(values, low, high) for values in found),
                *([_difference(name, split, last, found)] if two else []),
            ]
        )
    return columns(rows)


def _moments(last: Sequence[Sequence[Record]]) -> list[list[str]]:
    rows = [["epoch", *(_same([f"{record.epoch:g}" for record in records]) for records in last)]]
    if any(record.step is not None for records in last for record in records):
        steps = [["-" if record.step is None else str(record.step) for record in records] for records in last]
        rows.append(["step", *map(_same, steps)])
    return rows


def _same(texts: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(texts)) or "-"


def _spread(values: Sequence[float], low: float | None = None, high: float | None = None) -> str:
    from phiscope.runs.groups import spread_of

    if not values:
        return "-"
    spread = spread_of(values, -math.inf if low is None else low, math.inf if high is None else high)
    return f"{spread.mean:.4g}" if spread.n < 2 else f"{spread.mean:.4g} [{spread.low:.4g}, {spread.high:.4g}]"


def _difference(name: str, split: str, last: Sequence[Sequence[Record]], found: Sequence[Sequence[float]]) -> str:
    from phiscope.runs.groups import difference_of

    if not found[0] or not found[1]:
        return "-"
    told = difference_of(*found)
    if not math.isnan(told.low):
        return f"{told.value:+.3g} [{told.low:.3g}, {told.high:.3g}], p {told.p:.2g}"
    reach = None
    if all(len(values) == 1 for values in found):
        reach = _joint_reach([records[0] for records in last], name, split)
    return f"{told.value:+.3g}" if reach is None else f"{told.value:+.3g} ± {reach:.2g}"


def _joint_reach(records: Sequence[Record], name: str, split: str) -> float | None:
    """Half the interval of a difference of two numbers from separate samples; None where one has no interval."""
    halves = []
    for record in records:
        try:
            low, high = record.measurement(split).interval(name)
        except MissingNumberError:
            return None
        halves.append((high - low) / 2)
    return math.hypot(*halves)
