"""What one training left: its settings and its numbers over time, as one small JSON file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Self

from phiscope.errors import RunFormatError
from phiscope.reproduction.settings import Setup

FORMAT = 1
"""Version of the file's layout."""

DIGITS = 7
"""Significant digits that are kept; training itself is float32."""

NUMBERS = 2
"""Raised when trainings begin to keep more numbers; `phiscope reproduce --renew` trains older ones again."""

LAYERS = "layers"
"""The name by which claims ask for the numbers of layers."""

LATE_CHANGE = "late_change"
"""The name by which `Outcome.value` knows `Outcome.late_change`."""

PR_PER_RANK, WITHIN_PER_BETWEEN = "participation_per_rank", "within_per_between"
"""Names by which `Point.value` knows PR / r (centered) and tr S_W / tr S_B."""

_RATIOS = (
    (PR_PER_RANK, "participation_ratio_centered", "output_rank"),
    (WITHIN_PER_BETWEEN, "within_class_variance", "between_class_variance"),
)

Status = Literal["finished", "diverged"]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One moment of a training.

    Attributes:
        step: steps taken.
        epoch: passes over the training split, 0 or more, a fraction between two.
        scalars: losses and accuracies (or R²), parameter norms.
        train: numbers measured on training samples, by their names in `phiscope.DEFINITIONS`, and a few more that
            `phiscope.reproduction.probing` describes.
        test: the same on test samples.
        regimes: regime by split.
        layers: numbers on training samples by layer, in the order of the forward pass; empty where they were not kept.
    """

    step: int
    epoch: float
    scalars: Mapping[str, float]
    train: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)
    regimes: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def value(self, name: str, split: str = "train") -> float | None:
        """A scalar, or a number of a split; None when it was not measured."""
        if name in self.scalars:
            return self.scalars[name]
        numbers = self.train if split == "train" else self.test
        for ratio, above, below in _RATIOS:
            if name == ratio:
                return numbers[above] / numbers[below] if above in numbers and numbers.get(below) else None
        return numbers.get(name)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One training and what was measured.

    Attributes:
        setup: its settings.
        status: "finished", or "diverged" when numbers became infinite or undefined.
        why: what happened, when it did not finish.
        points: in the order of their steps; at least the initial state unless that could not be measured.
        source: what was trained on.
        seconds: how long it took.
        device: where it ran.
        versions: of the libraries that decide numbers.
        day: on which it ended, as 2026-01-31; empty where nobody noted it.
        numbers: `NUMBERS` when it was trained.
    """

    setup: Setup
    status: Status
    why: str
    points: tuple[Point, ...]
    source: str
    seconds: float
    device: str
    versions: Mapping[str, str]
    day: str = ""
    numbers: int = 1

    @property
    def last(self) -> Point:
        """The final moment that was measured."""
        return self.points[-1]

    def value(self, name: str, split: str = "train") -> float | None:
        """A number at the end; None when the training diverged or the number was not measured."""
        if self.status == "diverged" or not self.points:
            return None
        return self.late_change(split) if name == LATE_CHANGE else self.last.value(name, split)

    def late_change(self, split: str = "train") -> float | None:
        """D_LR at the end minus D_LR after four fifths of the steps, or at the last record before."""
        before = [point for point in self.points if point.step <= 0.8 * self.last.step]
        early, end = (point.value("dynamical_low_rank", split) for point in (before[-1], self.last))
        return None if early is None or end is None else end - early

    def at(self, step: int) -> Point:
        """The measured moment nearest to a step."""
        return min(self.points, key=lambda point: abs(point.step - step))

    def save(self, path: Path) -> None:
        """Write the file in one step, so that a kill at any moment leaves none or a whole one."""
        facts = {"format": FORMAT, **asdict(self), "setup": self.setup.facts()}
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(facts, file, allow_nan=False, separators=(",", ":"))
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).chmod(0o644)
            Path(unfinished).replace(path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            RunFormatError: the file is unreadable or was written by a newer phiscope.
        """
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            found = facts.pop("format")
            if found > FORMAT:
                raise RunFormatError(f"{path} has format {found}, this phiscope reads up to {FORMAT}; upgrade phiscope")
            setup = Setup.from_facts(facts.pop("setup"))
            points = tuple(Point(**point) for point in facts.pop("points"))
            return cls(setup=setup, points=points, **facts)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, RunFormatError):
                raise
            raise RunFormatError(f"{path} is no outcome of a training ({error}); delete it to train again") from error


def short(value: float) -> float:
    """A number with the digits that are kept."""
    return float(f"{value:.{DIGITS}g}")
