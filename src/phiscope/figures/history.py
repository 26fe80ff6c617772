"""Every scalar over the epochs of one or several runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phiscope.figures.model import Axis, Dash, Line, Panel
from phiscope.figures.seeds import mean_line, seeds_of
from phiscope.metrics import DEFINITIONS, Definition, definition_of

if TYPE_CHECKING:
    from phiscope.runs import Record, Run

DASHES: tuple[Dash, ...] = ("solid", "dashed", "dotted")
"""One for each split: the first split is solid."""

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "How the features are used",
        (
            "dynamical_low_rank",
            "dynamical_low_rank_centered",
            "dynamical_low_rank_random_head",
            "used_variance",
            "target_alignment",
            "target_alignment_whitened",
            "initial_kernel_similarity",
            "initial_kernel_similarity_raw",
            "output_rank",
            "output_rank_raw",
        ),
    ),
    (
        "How many dimensions the features fill",
        (
            "effective_dimension",
            "effective_dimension_centered",
            "participation_ratio",
            "participation_ratio_centered",
            "stable_rank",
            "stable_rank_centered",
            "rankme",
            "srank",
            "alpha_req",
        ),
    ),
    (
        "What a linear head could make of the features",
        ("readout_r2", "readout_r2_held_out", "head_excess_loss", "discriminant_information"),
    ),
    (
        "How far the features have collapsed",
        (
            "collapse_distance",
            "within_class_variance",
            "between_class_variance",
            "nc1",
            "nc1_bounded",
            "nc2_equinorm",
            "nc2_equiangular",
            "nc3",
            "nc4",
            "cdnv",
            "nrc1",
            "nrc2",
            "nrc3",
        ),
    ),
)
"""Section title and the numbers in it, in reading order; numbers in no group follow at the end."""

LOG_SPAN = 50.0
"""Unbounded positive values further apart than this factor get a logarithmic axis."""

TRAINING = "Accuracy, loss and what else the training loop recorded"
OTHERS = "More numbers"


@dataclass(frozen=True, kw_only=True)
class Section:
    """Panels that answer one question.

    Attributes:
        title: the question or subject.
        panels: one for each number.
    """

    title: str
    panels: tuple[Panel, ...]


def history_sections(runs: Mapping[str, Run]) -> tuple[Section, ...]:
    """One panel for each scalar, over epochs or steps, grouped; what the training loop recorded comes first.

    A run has its own color, a split its own dash; runs that differ by their seed alone are one line, their mean with
    its 95 % interval over seeds. Scalars named ``<split>_<rest>`` or ``<split>/<rest>`` (``train_loss``,
    ``test_loss``) share one panel. NaN and infinite values leave gaps that the panel's
    note counts.

    Args:
        runs: the runs by the label under which they are shown.

    Returns:
        Sections without empty ones.
    """
    trained: dict[str, list[Line]] = {}
    measured: dict[str, list[Line]] = {}
    unit = next((run.unit for run in runs.values() if run.records), "epoch")
    places = list(runs)
    for seeds in seeds_of(runs):
        found: tuple[dict[str, list[Line]], dict[str, list[Line]]] = ({}, {})
        for member in seeds.members:
            run, label = runs[member], seeds.label if len(runs) > 1 else ""
            source = _Source(index=places.index(member), label=label, color=seeds.color, splits=tuple(run.splits))
            _collect(found[0], source, run.records)
            for split in run.splits:
                _collect_split(found[1], source, run.records, split)
        for kept, lines in zip((trained, measured), found, strict=True):
            for name, own in lines.items():
                kept.setdefault(name, []).extend(_means(name, own) if seeds.several else own)
    sections = [Section(title=TRAINING, panels=_training_panels(trained, unit))]
    for title, names in GROUPS:
        both = [twin for name in names for twin in (name, f"{name}_corrected")]
        panels = tuple(_number_panel(name, measured.pop(name), unit) for name in both if name in measured)
        sections.append(Section(title=title, panels=panels))
    rest = tuple(_number_panel(name, lines, unit) for name, lines in sorted(measured.items()))
    sections.append(Section(title=OTHERS, panels=rest))
    return tuple(section for section in sections if section.panels)


def split_of_scalar(name: str, splits: Sequence[str]) -> tuple[str, str]:
    """Take the split off a scalar's name: (``"test_loss"``, ...) -> (``"test"``, ``"loss"``).

    The usual words for splits count also when the run measured other ones.

    Example:
        >>> split_of_scalar("test_accuracy", ["train"]), split_of_scalar("lr", ["train"])
        (('test', 'accuracy'), ('', 'lr'))
    """
    for split in dict.fromkeys([*splits, "train", "test", "val", "valid", "validation"]):
        for separator in ("_", "/"):
            head = split + separator
            if name.startswith(head) and len(name) > len(head):
                return split, name.removeprefix(head)
    return "", name


def spans_decades(columns: Iterable[Sequence[float]]) -> bool:
    """Whether values are all positive and so far apart that only a logarithmic axis shows them.

    Example:
        >>> spans_decades([(2.0, 0.01)]), spans_decades([(2.0, 1.0)]), spans_decades([(2.0, 0.0)])
        (True, False, False)
    """
    values = [value for column in columns for value in column if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > LOG_SPAN


def scalar_order(name: str) -> tuple[int, str]:
    """Sorting key: accuracy and R² first, then losses and errors, then the rest by name."""
    low = name.lower()
    if low.startswith("acc") or "accuracy" in low or low in ("r2", "r²"):
        return 0, low
    if "loss" in low or "error" in low or low in ("mse", "mae", "rmse"):
        return 1, low
    return 2, low


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Whose lines are being collected."""

    index: int
    label: str
    color: str
    splits: tuple[str, ...]

    def line(self, split: str, points: Sequence[tuple[float, float | None]]) -> Line:
        label = " · ".join(part for part in (self.label, split) if part)
        return Line(
            label=label or "recorded",
            x=tuple(float(epoch) for epoch, _ in points),
            y=tuple(math.nan if value is None else float(value) for _, value in points),
            color=self.color,
            dash=split_dash(self.splits, split),
            origin=(self.index, split),
        )


def split_dash(splits: Sequence[str], split: str) -> Dash:
    """How the lines of a split are drawn: solid for the first one of the run."""
    if split in splits:
        return DASHES[min(splits.index(split), len(DASHES) - 1)]
    return "solid" if split in ("", "train") else "dashed"


def _collect(found: dict[str, list[Line]], source: _Source, records: Sequence[Record]) -> None:
    """Add what the training loop recorded."""
    for name in dict.fromkeys(name for record in records for name in record.scalars):
        split, rest = split_of_scalar(name, source.splits)
        points = [(record.at, record.scalars[name]) for record in records if name in record.scalars]
        found.setdefault(rest, []).append(source.line(split, points))


def _collect_split(found: dict[str, list[Line]], source: _Source, records: Sequence[Record], split: str) -> None:
    """Add what was measured on one split."""
    points: dict[str, list[tuple[float, float | None]]] = {}
    for record in records:
        numbers = record.numbers(split) if split in record.measured else {}
        for name, value in numbers.items():
            points.setdefault(name, []).append((record.at, value))
    for name, rows in points.items():
        found.setdefault(name, []).append(source.line(split, rows))


def _means(name: str, lines: Sequence[Line]) -> list[Line]:
    """The lines of several seeds as one for each split."""
    row = DEFINITIONS.get(name)
    low, high = (None, None) if row is None else (row.low, row.high)
    same = {label: [line for line in lines if line.label == label] for label in dict.fromkeys(a.label for a in lines)}
    return [mean_line(own, low=low, high=high) for own in same.values()]


def _training_panels(found: dict[str, list[Line]], unit: str) -> tuple[Panel, ...]:
    return tuple(
        _panel(name, name.replace("_", " "), sorted(lines, key=lambda line: DASHES.index(line.dash)), unit)
        for name, lines in sorted(found.items(), key=lambda item: scalar_order(item[0]))
    )


def _number_panel(name: str, lines: Sequence[Line], unit: str) -> Panel:
    if name not in DEFINITIONS and name.removesuffix("_centered") not in DEFINITIONS:
        return _panel(name, name.replace("_", " "), lines, unit)
    row = definition_of(name)
    return _panel(name, row.title, lines, unit, row)


def _panel(name: str, title: str, lines: Sequence[Line], unit: str, row: Definition | None = None) -> Panel:
    gaps = sum(line.gaps for line in lines)
    note = f"{gaps} value{'s are' if gaps != 1 else ' is'} NaN or infinite and not drawn." if gaps else ""
    low, high = (None, None) if row is None else (row.low, row.high)
    # An accuracy that starts at chance spans decades, too, but nobody reads it on a logarithmic axis.
    share = row is None and scalar_order(name)[0] == 0
    log = high is None and not share and spans_decades(line.y for line in lines)
    y = Axis(title="" if row is None else row.direction, log=log, low=None if log else low, high=high)
    return Panel(name=name, title=title, x=Axis(title=unit), y=y, lines=tuple(lines), note=note)
