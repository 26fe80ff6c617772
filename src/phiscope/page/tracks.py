"""Tracks of eigenfunctions for the page: values gathered record by record, then lines small enough for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phiscope.figures import Axis, Panel, TrackPicture, track_picture
from phiscope.page.charts import Spec, finite, panel_layout
from phiscope.page.words import moment_words

if TYPE_CHECKING:
    from phiscope.runs import Run

Values = NDArray[np.float64]

PANELS = (
    ("place", "Place <i>k</i> in the spectrum"),
    ("strength", "Strength, ρ<sub>k</sub> / ρ<sub>1</sub>"),
    ("quality", "Share in the targets' span, Q*<sub>k</sub>"),
)
"""Key and caption of the three panels."""


LOST = 3
"""So many parts has a line that is lost before the last record; the others have a color and a marker, too."""


class TrackValues:
    """Values of eigenfunctions on the gallery samples, as diagonalized and as rotated, over the records."""

    def __init__(self) -> None:
        self._plain: list[tuple[int, Values]] = []
        self._turned: list[tuple[int, Values]] = []

    def add(self, record: int, plain: Values, turned: Values | None) -> None:
        """One record's values, shape (g, k); the rotated ones are None where rotating is impossible.

        Args:
            record: position among the run's records: their numbers have gaps where one was left out.
            plain: values of the eigenfunctions on the gallery samples.
            turned: of the rotated ones.
        """
        self._plain.append((record, plain))
        if turned is not None:
            self._turned.append((record, turned))

    def pictures(self, run: Run) -> dict[str, dict[str, Any]]:
        """Both pictures, ready for JSON; the rotated one only where every record could be rotated."""
        found = {"diagonalized": _picture_frame(self._plain, run)}
        if self._turned and len(self._turned) == len(self._plain):
            found["rotated"] = _picture_frame(self._turned, run)
        return found


def _picture_frame(values: list[tuple[int, Values]], run: Run) -> dict[str, Any]:
    return picture_frame(track_picture(values, [moment_words(run.records[position]) for position, _ in values]))


def picture_frame(picture: TrackPicture) -> dict[str, Any]:
    """A picture in short: a line is its start, places, overlaps, color and marker (nothing when it ended early)."""
    return {
        "records": picture.records,
        "note": picture.note,
        "functions": picture.functions,
        "samples": picture.n_samples,
        "least": picture.least_overlap,
        "lines": [
            [line.start, line.places, [finite(value, 2) for value in line.overlaps]]
            + ([line.color, line.symbol] if line.alive else [])
            for line in picture.lines
        ],
    }


def lowest_strength(frame: dict[str, Any], curves: list[dict[str, Any] | None]) -> float:
    """Smallest relative eigenvalue on any line that reaches the last record, 1 without such a line.

    Args:
        frame: from `picture_frame`.
        curves: one frame a record with ``k`` and ``eigenvalues``.
    """
    lowest = 1.0
    for start, places, *_ in (line for line in frame["lines"] if len(line) > LOST):
        for step, place in enumerate(places):
            curve = curves[frame["records"][start + step]] or {"k": []}
            if place in curve["k"]:
                lowest = min(lowest, curve["eigenvalues"][curve["k"].index(place)] or lowest)
    return lowest


def track_layouts(functions: int, lowest: float, unit: str = "epoch") -> dict[str, Spec]:
    """Layouts of the three panels.

    Args:
        functions: how many places there are.
        lowest: smallest relative eigenvalue that a line passes.
        unit: what moments are counted in.
    """
    x = Axis(title=unit)
    axes = {
        "place": Axis(title="", low=functions + 0.7, high=0.3, whole=True),
        "strength": Axis(title="", log=True, low=0.7 * lowest, high=1.4),
        "quality": Axis(title="", low=-0.03, high=1.04),
    }
    layouts = {name: panel_layout(Panel(name=name, title="", x=x, y=axis)) for name, axis in axes.items()}
    for layout in layouts.values():
        layout["margin"] = {"l": 46, "r": 12, "t": 8, "b": 36}
    layouts["place"]["margin"] |= {"l": 12, "r": 34}
    # Every line ends at the right, so that is where its place is read.
    layouts["place"]["yaxis"] |= {"side": "right", "showgrid": False, "tickmode": "array", "ticks": ""}
    return layouts
