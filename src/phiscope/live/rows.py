"""A run as a line of the list: what it is, how its features are used, how it went, how old and large it is."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phiscope.figures.history import scalar_order, split_of_scalar
from phiscope.live.sparkline import Points, sparkline
from phiscope.page.words import REGIME_TITLES, moment_words
from phiscope.runs.glance import GLANCED
from phiscope.runs.reading import UNFINISHED

if TYPE_CHECKING:
    from phiscope.runs import Record, Run

JUDGES = ("test", "val", "valid", "validation", "eval", "train", "")
"""Whose accuracy is shown where several are recorded; other splits come before the last two."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the list.

    Attributes:
        name: under which the run is asked for.
        title: what it calls itself.
        regime: word of its last measured record by the centered rule; empty where it cannot be told.
        regime_words: the same, to be read.
        status: "completed", "interrupted", "failed", "unfinished" or "unreadable".
        lowness: last centered D_LR, 0 (features are the outputs) to 1; None where it was not measured.
        accuracy: last accuracy (or R²); None where none was recorded.
        accuracy_name: under which name it was recorded.
        course: both over the records, as SVG.
        records: number of records.
        moment: of the last one, in words.
        changed: when the last one was written, in seconds since 1970; 0 where there is none.
        problem: why the run cannot be read, in a sentence; else empty.
    """

    name: str
    title: str
    regime: str = ""
    regime_words: str = ""
    status: str = "unreadable"
    lowness: float | None = None
    accuracy: float | None = None
    accuracy_name: str = ""
    course: str = ""
    records: int = 0
    moment: str = ""
    changed: float = 0.0
    problem: str = ""


def row_of(name: str, run: Run, changed: float) -> Row:
    """The line of a run.

    Args:
        name: under which it is asked for.
        run: from `phiscope.runs.glance`.
        changed: when its last record was written.
    """
    records = run.records
    measured = [record for record in records if record.splits]
    regime = measured[-1].regime() if measured else None
    judge = accuracy_name(records, run.splits)
    # A record without one of them is no gap: many loops test at every tenth epoch.
    numbers = [(record.at, record.numbers()) for record in measured]
    lowness = [(at, found[GLANCED]) for at, found in numbers if GLANCED in found]
    accuracy = [(record.at, record.scalars[judge]) for record in records if judge in record.scalars]
    return Row(
        name=name,
        title=str(run.header.get("title") or run.name),
        regime=regime if regime in REGIME_TITLES and regime is not None else "",
        regime_words=regime_words(regime if measured else None, bool(measured)),
        status="unfinished" if run.status == UNFINISHED else run.status,
        lowness=_last(lowness),
        accuracy=_last(accuracy),
        accuracy_name=judge,
        course=_course(records, lowness, accuracy),
        records=len(records),
        moment=moment_words(records[-1]) if records else "",
        changed=changed,
    )


def regime_words(regime: str | None, measured: bool) -> str:
    """A regime as the list says it.

    Example:
        >>> regime_words("minimal", True), regime_words(None, True), regime_words(None, False)
        ('minimal', 'cannot be told', 'nothing measured yet')
    """
    if not measured:
        return "nothing measured yet"
    return regime if regime in REGIME_TITLES and regime is not None else "cannot be told"


def accuracy_name(records: Sequence[Record], splits: Sequence[str]) -> str:
    """The recorded scalar that says how well the network does; empty where none does."""
    names = dict.fromkeys(name for record in records for name in record.scalars)
    kinds = {name: split_of_scalar(name, (*splits, *JUDGES[:-1])) for name in names}
    good = [name for name, (_, rest) in kinds.items() if scalar_order(rest)[0] == 0]
    middle = len(JUDGES) - 2.5
    return min(good, key=lambda one: JUDGES.index(kinds[one][0]) if kinds[one][0] in JUDGES else middle, default="")


def folder_bytes(folder: Path) -> int:
    """Bytes of a run on disk: its files and those of its records; links are not followed."""
    total = 0
    for place in (folder, folder / "records", folder / "alerts"):
        try:
            with os.scandir(place) as entries:
                total += sum(_bytes(entry) for entry in entries if entry.is_file(follow_symlinks=False))
        except OSError:  # no such folder, or deleted while it was looked at
            continue
    return total


def _bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # deleted meanwhile
        return 0


def _last(points: Points) -> float | None:
    return points[-1][1] if points and math.isfinite(points[-1][1]) else None


def _course(records: Sequence[Record], lowness: Points, accuracy: Points) -> str:
    if not records:
        return ""
    words = f"D_LR {_span(lowness)}, accuracy {_span(accuracy)}"
    # The ends of the run, also where nothing was measured there: both lines stand on one axis of time.
    ends = (records[0].at, max(record.at for record in records))
    return sparkline([("accuracy", accuracy), ("lowness", lowness)], ends, words)


def _span(points: Points) -> str:
    found = [value for _, value in points if math.isfinite(value)]
    return f"{found[0]:.3g} to {found[-1]:.3g}" if found else "not known"
