"""Runs side by side as plain text: what differs in their settings, their last numbers, and how far these differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from phiscope.cli.text import columns

if TYPE_CHECKING:
    from phiscope.figures.contrast import Row
    from phiscope.runs import Run

NARROW = 28
"""Longer texts of settings are cut."""


def comparison_text(runs: Sequence[Run]) -> str:
    """The final numbers of several runs side by side.

    On top stand the settings that differ. Runs that differ by their seed alone become one column with the mean and its
    interval over seeds. Each run shows its last record; of a split, the last record that measured it. A dash stands for
    what a run does not have. Two columns get a third, their difference.
    """
    # Not for commands that print only text: it loads NumPy and SciPy.
    from phiscope.figures.contrast import contrast_of

    found = contrast_of(runs)
    cut = [(name, tuple(map(_cut, texts))) for name, texts in found.settings]
    tables = [_table("settings that differ", found.labels, cut)] if cut else []
    tables.append(_table("recorded", found.labels, found.recorded))
    third = ("difference",) * (len(found.labels) == 2)
    tables += [_table(split, (*found.labels, *third), rows) for split, rows in found.measured.items()]
    return "\n\n".join([*tables, *found.notes])


def _table(title: str, labels: Sequence[str], rows: Sequence[Row]) -> str:
    return columns([[title, *labels], *([name, *texts] for name, texts in rows)])


def _cut(text: str) -> str:
    return text if len(text) <= NARROW else text[: NARROW - 1] + "…"
