"""The line of training that a writer is on: which records lie before the next one, and when it leaves the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phiscope.runs.lines import Lines, on_branch

Lineage = tuple[tuple[int, int], ...]
"""Branches that were left, each with the last record of it that still counts."""


@dataclass(frozen=True)
class Moment:
    """A record on the line of training.

    Attributes:
        index: of the record.
        epoch: epochs trained so far.
        step: optimizer steps, or None when not counted.
        early: scalars that came before the record of their epoch, which will take them; None for a record proper.
    """

    index: int
    epoch: float
    step: int | None
    early: Mapping[str, float | str] | None = None

    def is_before(self, epoch: float, step: int | None) -> bool:
        """Whether it lies before a moment; steps decide within an epoch where both are known."""
        if self.epoch == epoch and self.step is not None and step is not None:
            return self.step < step
        return self.epoch < epoch

    def is_at(self, epoch: float, step: int | None) -> bool:
        """Whether what is said about a moment belongs here."""
        return self.epoch == epoch and (step is None or self.step is None or self.step == step)


@dataclass(frozen=True)
class Place:
    """Where a record goes: its branch, the branches before it, and the moments before it."""

    branch: int
    lineage: Lineage
    moments: tuple[Moment, ...]


class TrainingLine:
    """The records that lead to where the training stands.

    A resumed training whose first record steps back to an epoch that is there already leaves the line before that
    epoch and begins a branch; the records it leaves behind stay in the run.

    Args:
        lines: what stands in the run.
    """

    def __init__(self, lines: Lines) -> None:
        branch = lines.records[-1]["branch"] if lines.records else 0
        self._place = _place_of(lines, branch)
        self._branches = max((line["branch"] for line in lines.records), default=0)
        self._resumed = bool(self._place.moments)

    @property
    def last(self) -> Moment | None:
        """The moment where the training stands, None before the first."""
        return self._place.moments[-1] if self._place.moments else None

    def place(self, epoch: float, step: int | None) -> Place:
        """Where a record of a moment goes."""
        here = self._place
        if not self._resumed or not here.moments or here.moments[-1].is_before(epoch, step):
            return here
        return self._left_at(here, [moment for moment in here.moments if moment.is_before(epoch, step)])

    def take(self, place: Place, moment: Moment) -> None:
        """Stand at a moment; a second call with the same changes nothing."""
        self._place = Place(place.branch, place.lineage, (*place.moments, moment))
        self._branches = max(self._branches, place.branch)
        self._resumed = False

    def known(self, epoch: float, step: int | None) -> Moment | None:
        """The moment that a late word belongs to, None when it is not there yet."""
        moments = self._place.moments
        if self._resumed and epoch < moments[-1].epoch:
            return None  # that epoch is trained anew, and its old record is another one
        return next((moment for moment in reversed(moments) if moment.is_at(epoch, step)), None)

    def go_on_from(self, lines: Lines, index: int) -> bool:
        """Stand at a record of any branch, or before the first with -1; False when there is no such record.

        Args:
            lines: what stands in the run now.
            index: of the record.
        """
        found = next((line for line in lines.records if line["index"] == index), None)
        if found is None and index >= 0:
            return False
        whole = _place_of(lines, 0 if found is None else found["branch"])
        kept = [moment for moment in whole.moments if moment.index <= index]
        self._resumed = False
        self._place = whole if len(kept) == len(whole.moments) else self._left_at(whole, kept)
        return True

    def _left_at(self, place: Place, kept: Sequence[Moment]) -> Place:
        if not kept:
            return Place(self._branches + 1, (), ())
        last = kept[-1].index
        # The branch that the last kept record lies on is the first of the lineage that reaches so far.
        owners = [(branch, end) for branch, end in place.lineage if end >= last]
        owner = owners[0][0] if owners else place.branch
        older = tuple((branch, end) for branch, end in place.lineage if end < last)
        return Place(self._branches + 1, (*older, (owner, last)), tuple(kept))


def _place_of(lines: Lines, branch: int) -> Place:
    records = on_branch(lines.records, branch)
    lineage = next((tuple(line["lineage"]) for line in lines.records if line["branch"] == branch), ())
    return Place(branch, lineage, tuple(_moment(line) for line in records))


def _moment(line: Mapping[str, Any]) -> Moment:
    return Moment(line["index"], line["epoch"], line["step"], line["scalars"] if line["early"] else None)
