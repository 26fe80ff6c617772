"""The parts of a figure, as plain frozen data.

Texts are plain Unicode without markup: whoever draws escapes them in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Dash = Literal["solid", "dashed", "dotted"]


def ending(name: str, most: int) -> str:
    """A name in at most so many letters, of which the end stays: it tells a layer from its neighbors.

    Example:
        >>> ending("vit.encoder.layer.10", 10), ending("head", 10)
        ('….layer.10', 'head')
    """
    return name if len(name) <= most else "…" + name[1 - most :]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a panel.

    Attributes:
        title: what is plotted, with its letter.
        unit: physical unit; ``"1"`` for a pure number.
        log: True for a logarithmic axis.
        low: lower end, None to follow the data.
        high: upper end, None to follow the data.
        whole: True when only whole numbers occur.
        names: where places have names instead of numbers, those of 1, 2, 3, ...
    """

    title: str
    unit: str = "1"
    log: bool = False
    low: float | None = None
    high: float | None = None
    whole: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve.

    Attributes:
        label: legend text.
        x: horizontal values.
        y: vertical values, as many as ``x``; NaN leaves a gap.
        color: ``#rrggbb``.
        dash: how the line is drawn.
        low: lower ends of its 95 % band, as many as ``x``; NaN where there is none, empty without a band.
        high: upper ends.
        tag: words at its last point.
        origin: position of the run and the split that it was measured on; None where nobody asks.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    color: str
    dash: Dash = "solid"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    tag: str = ""
    origin: tuple[int, str] | None = None

    @property
    def gaps(self) -> int:
        """How many values are NaN or infinite and therefore not drawn."""
        return sum(1 for value in self.y if value != value or value in (float("inf"), float("-inf")))


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Points that no line joins.

    Attributes:
        label: legend text.
        x: horizontal values.
        y: vertical values, as many as ``x``.
        color: ``#rrggbb``.
        symbol: marker, so that colors are not needed to tell them apart.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    color: str
    symbol: Literal["circle", "square", "triangle", "diamond", "cross"] = "circle"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A straight line across a panel with a few words on it.

    Attributes:
        at: position on the axis.
        label: the words.
        axis: the axis that ``at`` belongs to.
        color: ``#rrggbb``; empty takes that of the panel's first line.
    """

    at: float
    label: str
    axis: Literal["x", "y"] = "x"
    color: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes with curves.

    Attributes:
        name: key of the number or curve that is shown.
        title: a few words above the panel.
        x: horizontal axis.
        y: vertical axis.
        lines: the curves; empty when nothing could be drawn.
        marks: straight lines with words.
        dots: points that no line joins.
        shades: half-open ranges of places k, from 0, whose order means nothing.
        note: one sentence for below the panel: why it is empty, or what was left out.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()
    dots: tuple[Dots, ...] = ()
    shades: tuple[tuple[int, int], ...] = ()
    note: str = ""

    def description(self) -> str:
        """What the panel shows, as one sentence for somebody who cannot see it.

        Example:
            >>> Panel(name="a", title="Loss", x=Axis(title="epoch"), y=Axis(title="loss")).description()
            'Loss: nothing to draw.'
        """
        drawn = [line for line in self.lines if line.x]
        if not drawn:
            return f"{self.title}: {self.note or 'nothing to draw.'}"
        parts = [f"{line.label} from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in drawn[:4]]
        more = f" and {len(drawn) - 4} more" if len(drawn) > 4 else ""
        marks = f"; marked: {', '.join(mark.label for mark in self.marks)}" if self.marks else ""
        return f"{self.title} over {self.x.title}: {', '.join(parts)}{more}{marks}."


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Several panels that belong together.

    Attributes:
        title: a few words above the figure.
        panels: the panels in reading order.
    """

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A table of values drawn as colored cells.

    Attributes:
        title: a few words above the map.
        row_title: what a row is.
        column_title: what a column is.
        row_labels: one text for each row.
        values: rows of values; NaN cells stay empty.
        low: value of the first color.
        high: value of the last color.
        diverging: True when zero is the middle and the sign matters.
        clusters: half-open ranges of columns whose eigenvalues are nearly equal.
        row_clusters: the same for rows, where rows are eigenfunctions too.
        goes_on: whether the last cluster goes on behind the last column, or nobody knows that it does not: what is
            drawn of it is no whole then.
        scale: what the colors mean.
    """

    title: str
    row_title: str
    column_title: str
    row_labels: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    low: float
    high: float
    diverging: bool = True
    clusters: tuple[tuple[int, int], ...] = ()
    row_clusters: tuple[tuple[int, int], ...] = ()
    goes_on: bool = False
    scale: str = ""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Rows of small pictures or texts.

    Attributes:
        title: a few words above them.
        row_labels: one text for each row.
        captions: one text for each place of each row, such as a class and a value.
        images: for each row its pictures, each shape (height, width, 1 or 3) in 0..255; empty where texts are shown.
        texts: for each row its texts; empty where pictures are shown.
        gap: number of places after which a row has a gap.
    """

    title: str
    row_labels: tuple[str, ...]
    captions: tuple[tuple[str, ...], ...]
    images: tuple[tuple[NDArray[np.uint8], ...], ...] = ()
    texts: tuple[tuple[str, ...], ...] = ()
    gap: int = 0


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A figure of a paper: parts, their arrangement, and what is written below it.

    Attributes:
        name: of the kind of figure, such as "spectrum".
        headline: one line above the parts; empty for none.
        parts: in reading order.
        caption: what a reader has to know: what is drawn, of how many samples, in which units, with which bands.
        across: parts side by side where the figure is two columns wide.
        height: of one part, in inches.
        columns: how wide it is unless somebody says otherwise.
    """

    name: str
    headline: str
    parts: tuple[Panel | HeatMap | Pictures, ...]
    caption: str
    across: int = 3
    height: float = 2.1
    columns: Literal[1, 2] = 2
