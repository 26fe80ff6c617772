"""Runs that differ by their seed alone, as one line with its mean and interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from phiscope.figures.model import Line
from phiscope.figures.palette import run_color
from phiscope.runs.groups import groups_of, spread_of

if TYPE_CHECKING:
    from phiscope.runs import Run


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Runs of one experiment as a picture shows them.

    Attributes:
        label: of the line.
        members: labels of the runs, in their order.
        color: one for all of them.
    """

    label: str
    members: tuple[str, ...]
    color: str

    @property
    def several(self) -> bool:
        """Whether there is more than one seed."""
        return len(self.members) > 1


def seeds_of(runs: Mapping[str, Run]) -> tuple[Seeds, ...]:
    """The runs in groups that differ by their seed alone.

    Args:
        runs: the runs by the label under which they are shown.

    Returns:
        Groups in the order of their first runs.
    """
    # A copy of each, so that one run which came twice has two labels.
    copies = {label: copy(run) for label, run in runs.items()}
    labels = {id(run): label for label, run in copies.items()}
    found = []
    for place, group in enumerate(groups_of(list(copies.values()))):
        members = tuple(labels[id(run)] for run in group.runs)
        several = f"{group.label} ({len(members)} seeds)"
        found.append(Seeds(label=several if len(members) > 1 else members[0], members=members, color=run_color(place)))
    # Two groups of one name are told apart by the labels of their first runs.
    names = [seeds.label for seeds in found]
    return tuple(
        replace(seeds, label=f"{seeds.members[0]} ({len(seeds.members)} seeds)")
        if names.count(seeds.label) > 1
        else seeds
        for seeds in found
    )


def color_of_each(runs: Mapping[str, Run]) -> list[str]:
    """The color of each run, which runs that differ by their seed alone share.

    Args:
        runs: the runs by the label under which they are shown.
    """
    colors = {label: seeds.color for seeds in seeds_of(runs) for label in seeds.members}
    return [colors[label] for label in runs]


def mean_line(lines: Sequence[Line], *, low: float | None = None, high: float | None = None) -> Line:
    """The mean of lines, one a seed, with Student's 95 % interval as its band.

    A moment counts where every seed that has come so far has a finite value there, and at least two have come so far.

    Args:
        lines: of the same number and split; labels, colors and dashes are those of the first.
        low: least value that the number can have.
        high: largest value.

    Example:
        >>> one = Line(label="loss", x=(0.0, 1.0, 2.0), y=(4.0, 2.0, 1.0), color="#000000")
        >>> mean = mean_line([one, replace(one, x=(0.0, 1.0), y=(2.0, 2.0))])
        >>> mean.x, mean.y, mean.low[1] == mean.high[1] == 2.0
        ((0.0, 1.0), (3.0, 2.0), True)
    """
    tables = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    reached = [max(line.x, default=-math.inf) for line in lines]
    points = []
    for at in sorted({x for line in lines for x in line.x}):
        there = [table.get(at, math.nan) for table, end in zip(tables, reached, strict=True) if at <= end]
        if len(there) > 1 and all(map(math.isfinite, there)):
            spread = spread_of(there, -math.inf if low is None else low, math.inf if high is None else high)
            points.append((at, spread.mean, spread.low, spread.high))
    x, y, lows, highs = zip(*points, strict=True) if points else ((), (), (), ())
    return replace(lines[0], x=x, y=y, low=lows, high=highs, origin=None)
