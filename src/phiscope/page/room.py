"""How much of a long run goes into a page: which of its records have pictures that take much room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from phiscope.runs import Run

BUDGETS = {"maps": 400_000, "gallery": 120_000, "planes": 1_200_000}
"""At most about so many map cells, gallery numbers and quantised values of one run go into the page."""

MOST_DOTS = 2000
"""So many samples of a plane are drawn."""

LEAST_FUNCTIONS = 4
"""So many eigenfunctions stay on the plane, also in a long run; then records are left out."""


class Room:
    """Decides for each record whether the page shows its pictures, from how much those of the first one took.

    Args:
        run: the run.
        operators: how many operators are shown of each split.
    """

    def __init__(self, run: Run, operators: int) -> None:
        self._places = [place for place, record in enumerate(run.records) if record.splits]
        self._times = operators * max(1, len(run.splits))
        self._most: dict[str, int] = {}
        self._chosen: dict[str, set[int]] = {}

    def has(self, kind: str, position: int) -> bool:
        """Whether a record is shown: all are until it is known what one takes."""
        return position in self._chosen.get(kind, (position,))

    def takes(self, kind: str, count: int) -> None:
        """So much takes one picture of one split and operator; said again, the largest counts."""
        if count <= self._most.get(kind, 0):
            return
        self._most[kind] = count
        self._chosen[kind] = spread(self._places, BUDGETS[kind] // (self._times * count))

    def functions(self, samples: int, stored: int) -> int:
        """How many eigenfunctions of a plane there is room for, given its samples."""
        samples = max(1, min(samples, MOST_DOTS))
        most = BUDGETS["planes"] // (self._times * samples * max(1, len(self._places)))
        functions = min(stored, max(LEAST_FUNCTIONS, most))
        self.takes("planes", samples * functions)
        return functions


def spread(places: list[int], most: int) -> set[int]:
    """Evenly spaced ones of these places, the first and the last among them.

    Example:
        >>> sorted(spread([0, 1, 2, 3, 4, 5, 6], 3)), sorted(spread([4, 7], 9))
        ([0, 3, 6], [4, 7])
    """
    if most >= len(places):
        return set(places)
    return {places[place] for place in np.linspace(0, len(places) - 1, max(2, most)).round().astype(int).tolist()}
