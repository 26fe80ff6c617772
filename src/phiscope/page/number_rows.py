"""The tables under the pictures: every number with its values, definition, direction, range and source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phiscope.figures import Section
from phiscope.figures.spectra import CURVES
from phiscope.metrics import DEFINITIONS, Definition
from phiscope.page.words import number_words

if TYPE_CHECKING:
    from phiscope.runs import Record, Run


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One value of one number.

    Attributes:
        run: position of the run on the page.
        split: the split; empty for what the training loop recorded.
        name: key of the number.
        text: the value at the last record.
        caption: what the value belongs to, such as the split.
    """

    run: int
    split: str
    name: str
    text: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of the table.

    Attributes:
        name: key of the number.
        title: a few words.
        definition: its definition row; None for what the training loop recorded.
        values: for each run that has the number, its position, label and cells.
        absent: why a run does not have it.
    """

    name: str
    title: str
    definition: Definition | None
    values: tuple[tuple[int, str, tuple[Cell, ...]], ...]
    absent: str = ""


def curve_rows() -> tuple[Definition, ...]:
    """The definitions behind the three panels of the picture and the two single-function numbers."""
    names = [*dict.fromkeys([*(name for name, _, _ in CURVES), "quality", "utilization"])]
    return tuple(DEFINITIONS[name] for name in names)


def section_rows(section: Section, runs: Mapping[str, Run]) -> tuple[Row, ...]:
    """One row for each panel of a section."""
    rows = []
    for panel in section.panels:
        definition = DEFINITIONS.get(panel.name)
        values = []
        for index, (label, run) in enumerate(runs.items()):
            # A loop may record a number that no measurement has, such as nc4.
            cells = (definition and _measured(index, run, panel.name)) or _recorded(index, run, panel.name)
            if cells:
                values.append((index, label, cells))
        rows.append(Row(name=panel.name, title=panel.title, definition=definition, values=tuple(values)))
    return tuple(rows)


def absent_numbers(runs: Mapping[str, Run]) -> tuple[tuple[str, str], ...]:
    """Numbers that no record has, with the reason: titles joined, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for run in runs.values():
        measured = [record for record in run.records if record.splits]
        for name, reason in measured[-1].measurement().absent.items() if measured else ():
            title = DEFINITIONS[name].title if name in DEFINITIONS else name
            if title not in reasons.setdefault(reason, []):
                reasons[reason].append(title)
    return tuple((", ".join(titles), reason) for reason, titles in reasons.items())


def _last_measured(run: Run, split: str) -> Record | None:
    return next((record for record in reversed(run.records) if split in record.splits), None)


def _measured(index: int, run: Run, name: str) -> tuple[Cell, ...]:
    cells = []
    for split in run.splits:
        last = _last_measured(run, split)
        if last is not None and any(name in r.numbers(split) for r in run.records if split in r.splits):
            text = number_words(last.numbers(split).get(name))
            cells.append(Cell(run=index, split=split, name=name, text=text, caption=split))
    return tuple(cells)


def _recorded(index: int, run: Run, name: str) -> tuple[Cell, ...]:
    from phiscope.figures.history import split_of_scalar

    found = {full: split_of_scalar(full, run.splits) for record in run.records for full in record.scalars}
    cells = []
    for full, (split, rest) in found.items():
        if rest == name:
            last = next(record for record in reversed(run.records) if full in record.scalars)
            text = number_words(last.scalars[full])
            cells.append(Cell(run=index, split="", name=full, text=text, caption=split or "recorded"))
    return tuple(cells)
