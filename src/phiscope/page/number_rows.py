"""The tables under the pictures: every number with its values, definition, direction, range and source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phiscope.figures import Section
from phiscope.figures.history import split_of_scalar
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


class LastValues:
    """The last value of everything in one run, gathered in one walk through its records.

    Args:
        index: position of the run on the page.
        run: the run.
    """

    def __init__(self, index: int, run: Run) -> None:
        self._measured: dict[str, dict[str, Cell]] = {}
        self._recorded: dict[str, dict[str, Cell]] = {}
        last: dict[str, Record] = {}
        ever: dict[str, dict[str, None]] = {}
        scalars: dict[str, float] = {}
        for record in run.records:
            scalars |= record.scalars
            for split in record.measured:
                last[split] = record
                ever.setdefault(split, {}).update(dict.fromkeys(record.line["numbers"][split]))
        for split in (split for split in run.splits if split in last):
            numbers = last[split].numbers(split)
            for name in ever[split]:
                text = number_words(numbers.get(name))
                cell = Cell(run=index, split=split, name=name, text=text, caption=split)
                self._measured.setdefault(name, {})[split] = cell
        for full, value in scalars.items():
            split, rest = split_of_scalar(full, run.splits)
            cell = Cell(run=index, split="", name=full, text=number_words(value), caption=split or "recorded")
            self._recorded.setdefault(rest, {})[full] = cell

    def measured(self, name: str) -> tuple[Cell, ...]:
        """One cell a split that has ever had the number; its value at the split's last record."""
        return tuple(self._measured.get(name, {}).values())

    def recorded(self, name: str) -> tuple[Cell, ...]:
        """One cell a scalar of that name without its split."""
        return tuple(self._recorded.get(name, {}).values())


def last_values(runs: Mapping[str, Run]) -> dict[str, LastValues]:
    """The last values of several runs by label."""
    return {label: LastValues(index, run) for index, (label, run) in enumerate(runs.items())}


def section_rows(section: Section, values: Mapping[str, LastValues]) -> tuple[Row, ...]:
    """One row for each panel of a section.

    Args:
        section: panels of numbers that belong together.
        values: from `last_values`.
    """
    rows = []
    for panel in section.panels:
        definition = DEFINITIONS.get(panel.name)
        found = []
        for index, (label, of_run) in enumerate(values.items()):
            # A loop may record a number that no measurement has, such as nc4.
            cells = (definition and of_run.measured(panel.name)) or of_run.recorded(panel.name)
            if cells:
                found.append((index, label, cells))
        rows.append(Row(name=panel.name, title=panel.title, definition=definition, values=tuple(found)))
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
