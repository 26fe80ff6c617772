"""A family of trainings: its conditions at each scale, and what the paper says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from phiscope.errors import InputError, UnknownNameError
from phiscope.reproduction.claims import Claim
from phiscope.reproduction.outcome import LATE_CHANGE, LAYERS, NUMBERS, Outcome
from phiscope.reproduction.settings import Setup
from phiscope.typing import FloatArray

Scale = Literal["small", "medium", "full"]

SEEDS = (0, 1, 2)
"""Every condition is trained with each of them; more can be asked for."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One setup of a family, trained with several seeds.

    Attributes:
        label: short name, unique in the family and scale; claims read conditions by it.
        setup: its settings; the seed is set later.
        group: conditions of one group share a picture.
        reads: what stands before the names of its own numbers, where several conditions read one training.
        most_seeds: it is trained with no more seeds than these; None = all of the family.
    """

    label: str
    setup: Setup
    group: str = ""
    reads: str = ""
    most_seeds: int | None = None

    def trained_with(self, seeds: Iterable[int]) -> tuple[int, ...]:
        """Those of the seeds with which it is trained."""
        return tuple(seeds)[: self.most_seeds]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A number of the family's table.

    Attributes:
        title: its heading.
        name: as `Outcome.value` knows it.
        split: "train" or "test".
    """

    title: str
    name: str
    split: str = "train"


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A family on real pictures, in hours on one core.

    Attributes:
        setting: what is trained, in words.
        conditions: of this scale.
        claims: judged here; one with the sentence of a small claim is the same claim and stands beside it.
        core_minutes: planned cost of all conditions with three seeds, those that another family pays for left out.
        columns: numbers of the table; empty takes the family's.
        records: labels of conditions whose regime is shown at every record.
        from_known: D_LR is drawn from the record on at which the training samples are known by heart.
    """

    setting: str
    conditions: tuple[Condition, ...]
    claims: tuple[Claim, ...]
    core_minutes: float
    columns: tuple[Column, ...] = ()
    records: tuple[str, ...] = ()
    from_known: bool = False


@dataclass(frozen=True, kw_only=True)
class Family:
    """One of the paper's experiments.

    Attributes:
        letter: "a" to "l".
        name: as typed.
        title: one line.
        paper: what the paper says.
        setting: what is trained here, in words.
        small: conditions for two CPU cores.
        full: conditions near the paper's own; empty where the small ones are the paper's own.
        claims: what is judged.
        columns: numbers of the table.
        full_setting: what is trained at full scale, in words.
        needs: data that `full` reads from files.
        medium: the family on real pictures; None where it has no such scale.
        seeds: of each condition, unless more are asked for.
    """

    letter: str
    name: str
    title: str
    paper: str
    setting: str
    small: tuple[Condition, ...]
    full: tuple[Condition, ...] = ()
    claims: tuple[Claim, ...]
    columns: tuple[Column, ...]
    full_setting: str = ""
    needs: tuple[str, ...] = ()
    medium: Medium | None = None
    seeds: int = len(SEEDS)

    def __post_init__(self) -> None:
        for conditions in (self.small, self.conditions("medium"), self.full):
            labels = [condition.label for condition in conditions]
            if len(set(labels)) != len(labels):
                raise InputError(f"the family {self.name} has two conditions of the same label")

    def conditions(self, scale: Scale) -> tuple[Condition, ...]:
        """The conditions of a scale."""
        if scale == "medium":
            return () if self.medium is None else self.medium.conditions
        return self.full if scale == "full" and self.full else self.small

    def claims_at(self, scale: Scale) -> tuple[Claim, ...]:
        """What is judged at a scale."""
        if scale == "medium":
            return () if self.medium is None else self.medium.claims
        return self.claims

    def columns_at(self, scale: Scale) -> tuple[Column, ...]:
        """Numbers of a scale's table; at medium scale the last tells whether D_LR has stopped falling."""
        if scale != "medium" or self.medium is None:
            return self.columns
        return (*(self.medium.columns or self.columns), Column(title="D_LR, last fifth", name=LATE_CHANGE))

    def setting_at(self, scale: Scale) -> str:
        """What is trained at a scale, in words."""
        if scale == "medium":
            return "" if self.medium is None else self.medium.setting
        return self.full_setting if scale == "full" and self.full else self.setting

    def setups(self, scale: Scale, seeds: Iterable[int] = SEEDS) -> Iterator[Setup]:
        """Every training of a scale, all conditions of a seed before the next seed."""
        used = tuple(seeds)
        for seed in used:
            for condition in self.conditions(scale):
                if seed in condition.trained_with(used):
                    yield condition.setup.with_seed(seed)


class Results:
    """The outcomes of one family, read by condition.

    Args:
        family: which one.
        outcomes: by `Setup.key`; those that are not there have not been run.
        scale: of which conditions.
        seeds: in this order.
    """

    def __init__(
        self, family: Family, outcomes: Mapping[str, Outcome], *, scale: Scale, seeds: tuple[int, ...] = SEEDS
    ) -> None:
        self.family, self.scale, self.seeds = family, scale, seeds
        self.conditions = family.conditions(scale)
        self._reads = {condition.label: condition.reads for condition in self.conditions}
        self._by_label = {
            condition.label: tuple(
                outcomes.get(condition.setup.with_seed(seed).key) for seed in condition.trained_with(seeds)
            )
            for condition in self.conditions
        }

    def outcomes(self, label: str) -> tuple[Outcome | None, ...]:
        """One for each seed, None where it has not been run.

        Raises:
            UnknownNameError: there is no such condition.
        """
        if label not in self._by_label:
            raise UnknownNameError("condition", label, self._by_label)
        return self._by_label[label]

    def values(self, label: str, name: str, split: str = "train") -> FloatArray:
        """A number at the end of each seed's training; NaN where it was not run, diverged, or was not measured."""
        found = [self._value(outcome, label, name, split) for outcome in self.outcomes(label)]
        return np.array([np.nan if value is None else value for value in found])

    def _value(self, outcome: Outcome | None, label: str, name: str, split: str) -> float | None:
        if outcome is None:
            return None
        own = outcome.value(f"{self._reads[label]}{name}", split)
        return outcome.value(name, split) if own is None else own

    def missing(self, labels: Iterable[str]) -> list[str]:
        """Those of the conditions that have not been run with every seed."""
        return [label for label in labels if any(outcome is None for outcome in self.outcomes(label))]

    def lacks(self, label: str, name: str, split: str = "train") -> bool:
        """Whether a training of the condition is from before this number was kept."""
        done = [outcome for outcome in self.outcomes(label) if outcome is not None and outcome.status == "finished"]
        if name == LAYERS:
            return any(not outcome.last.layers for outcome in done)
        return any(outcome.numbers < NUMBERS and outcome.value(name, split) is None for outcome in done)

    def diverged(self, labels: Iterable[str]) -> dict[str, int]:
        """How many seeds of each condition diverged, where any did."""
        counted = {
            label: sum(outcome is not None and outcome.status == "diverged" for outcome in self.outcomes(label))
            for label in labels
        }
        return {label: count for label, count in counted.items() if count}
