"""Many layers of one network on the same samples: where in depth do the features become minimal?"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import UnknownNameError
from phiscope.inputs.arrays import brief
from phiscope.inputs.settings import is_word
from phiscope.measurement.record import Measurement
from phiscope.metrics import SCALARS, definition_of

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

SHOWN = (
    "effective_dimension_centered",
    "participation_ratio_centered",
    "dynamical_low_rank",
    "used_variance",
    "target_alignment",
    "readout_r2",
    "discriminant_information",
    "nc1",
)
"""The numbers of the table unless others are asked for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layers(Mapping[str, Measurement]):
    """Measurements of several layers by dotted name, in the order of the forward pass.

    Attributes:
        measurements: by layer; the head's name stands for the features that the head reads.
        head: name of the head.
        left_out: layers that "auto" or a pattern came across and that were not measured, with the reason.
        samples: features of the same first 256 samples, (g, p), of each layer that has one row a sample.

    Example:
        >>> len(Layers(measurements={}, head="fc"))
        0
    """

    measurements: Mapping[str, Measurement]
    head: str
    left_out: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Measurement:
        """The measurement of a layer.

        Raises:
            UnknownNameError: the layer was not measured; the message says why or offers the nearest names.
        """
        if not is_word(name, self.measurements):
            raise UnknownNameError("measured layer", name if isinstance(name, str) else brief(name), self.measurements)
        return self.measurements[name]

    def __contains__(self, name: object) -> bool:
        return name in self.measurements

    def __iter__(self) -> Iterator[str]:
        return iter(self.measurements)

    def __len__(self) -> int:
        return len(self.measurements)

    def get(self, key: str, default: Any = None) -> Any:
        """The measurement of a layer, or the default."""
        return self.measurements.get(key, default)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Every number of every layer."""
        return {name: one.to_dict() for name, one in self.measurements.items()}

    @property
    def output_rank(self) -> int | None:
        """r = rank(Fc) of the network's outputs on these samples, as the last layer saw it; None without layers."""
        ranks = [one.numbers["output_rank"] for one in self.measurements.values() if "output_rank" in one]
        return int(ranks[-1]) if ranks else None

    @property
    def minimal_from(self) -> str | None:
        """The first layer from which on every layer is in the minimal regime; None when the last one is not.

        The regime of a layer compares its features with the rank of the network's outputs. Thresholds are
        phiscope's own (`phiscope.metrics.regime`).
        """
        first = None
        for name, one in reversed(list(self.measurements.items())):
            if one.regime != "minimal":
                break
            first = name
        return first

    def table(self, numbers: Sequence[str] = SHOWN) -> str:
        """Layers by numbers, as text.

        Args:
            numbers: names of scalars; a number that a layer does not have is shown as a dash.

        Raises:
            UnknownNameError: there is no such number.
        """
        heads, rows = self._cells(numbers)
        table = [heads, *rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
        lines = [
            "  ".join(
                cell.ljust(width) if column in (0, 3) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        legend = [f"  {_symbol(name)}: {name} [{definition_of(name).range}]" for name in numbers]
        return "\n".join([*lines, *legend])

    def _cells(self, numbers: Sequence[str]) -> tuple[list[str], list[list[str]]]:
        for name in numbers:
            if name not in SCALARS:
                raise UnknownNameError("number", name, SCALARS)
        heads = ["layer", "p", "n", "regime", *map(_symbol, numbers)]
        rows = []
        for layer, one in self.measurements.items():
            values = [f"{one[name]:.4g}" if name in one else "-" for name in numbers]
            shown = f"{layer} (input)" if layer == self.head else layer
            rows.append([shown, str(one.n_features), str(one.n_samples), one.regime or "-", *values])
        return heads, rows

    def _notes(self) -> list[str]:
        rank = self.output_rank
        where = self.minimal_from
        notes = []
        if rank is not None:
            ending = "in no layer up to the last" if where is None else f"from layer {where} on"
            notes.append(f"minimal {ending} (outputs have rank r = {rank})")
        readings = {one.provenance.get("reading", "") for one in self.measurements.values()}
        notes += [f"reading: {text}" for text in sorted(readings) if text]
        notes += [f"left out: {name}: {reason}" for name, reason in self.left_out.items()]
        warned = {text: None for one in self.measurements.values() for text in one.warnings}
        return notes + [f"{len(warned)} different warnings; read m.warnings of a layer"] * bool(warned)

    def __str__(self) -> str:
        """The table with what has to be known beside it."""
        return "\n".join([f"{len(self)} layers", self.table(), *(f"  {note}" for note in self._notes())])

    def __repr__(self) -> str:
        """One line; ``print`` shows the table."""
        return f"<Layers {', '.join(self.measurements)}; minimal from {self.minimal_from}>"

    def _repr_html_(self) -> str:
        """The picture in a notebook, with the table folded below; everything is escaped."""
        from phiscope.figures.paper.notebook import shown

        heads, rows = self._cells(SHOWN)
        titles = ["", "features", "samples", "", *(definition_of(name).title for name in SHOWN)]
        top = "".join(
            f"<th title='{html.escape(title)}'>{html.escape(text)}</th>"
            for text, title in zip(heads, titles, strict=True)
        )
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        return shown("", [self.figure], f"{len(self)} layers", f"<table><tr>{top}</tr>{body}</table>", self._notes())

    def figure(self, name: str = "numbers") -> Drawing:
        """A picture over depth (needs matplotlib).

        Args:
            name: "numbers": dimensions, shares and utilization of each layer; "flow": which eigenfunction of a layer is
                which of the layer before, by their squared overlaps on the same samples.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            UnknownNameError: there is no such picture.
            InputError: "flow" of fewer than two layers with one row a sample.
        """
        # A door upward like Measurement.figure(): reading numbers never loads a drawing library.
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.sheets import layers_sheet

        return drawn(layers_sheet(self, name), purpose="Layers.figure()")

    def keep(self, run: str | PathLike[str], name: str = "numbers", title: str = "") -> Path:
        """Keep a picture with a run, so that the run's page shows it (needs no matplotlib).

        Args:
            run: the run's folder, also while it is being written.
            name: as of `figure`.
            title: above the picture; empty takes the picture's own.

        Returns:
            The file that was written in the run's folder.

        Raises:
            RunFormatError: there is no run.
            RunWriteError: the file cannot be written.
        """
        from phiscope.figures.kept import keep_sheet
        from phiscope.figures.paper.sheets import layers_sheet

        sheet = layers_sheet(self, name)
        return keep_sheet(replace(sheet, headline=title or sheet.headline), run)


def _symbol(name: str) -> str:
    return definition_of(name).symbol
